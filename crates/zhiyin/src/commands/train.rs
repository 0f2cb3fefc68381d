//! `zhiyin train`: trains the models on what the data folder holds.

use anyhow::Result;
use clap::Args;

use super::evaluate;
use crate::{
    cli::HomeArguments,
    home::{self, Home},
    output::{self, Align},
    progress::BarProgress,
};

/// Arguments of `zhiyin train`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArguments,
}

/// Trains and reports.
///
/// # Errors
/// Too few events; a folder that a server has open; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let home = Home::open(home::configuration(&arguments.home)?)?;
    let progress = BarProgress::new("training");
    let report = home.engine.train(&progress);
    progress.finish();
    home.close()?;
    let report = report?;
    if arguments.home.json {
        return output::json(&report);
    }
    evaluate::print(&report.evaluation, &[10]);
    let weights = report.weights.iter().map(|(name, weight)| vec![name.clone(), format!("{weight:.3}")]);
    output::say(output::table(&[("source", Align::Left), ("weight", Align::Right)], weights));
    if let Some((source, weight)) = &report.cold_weight {
        output::say(format_args!("{source} counts {weight:.3} more for items that nobody has met"));
    }
    output::say(format_args!(
        "model {} from {} events in {:.1} s ({:.1} CPU s)",
        report.version,
        output::count(report.events),
        report.cost.seconds,
        report.cost.cpu_seconds
    ));
    Ok(())
}
