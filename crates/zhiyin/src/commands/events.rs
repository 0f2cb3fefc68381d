//! `zhiyin events rejected`: what cleaning refused and why, also while a server runs.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use zhiyin_core::{limits, storage::Storage};

use crate::{
    cli::HomeArguments,
    home,
    output::{self, Align},
};

/// Arguments of `zhiyin events`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which events.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the events that cleaning refused, newest first.
    Rejected {
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only those older than this row number of an earlier list.
        #[arg(long, value_name = "ROW")]
        before: Option<u64>,
        #[command(flatten)]
        home: HomeArguments,
    },
}

/// Lists.
///
/// # Errors
/// Failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Action::Rejected { limit, before, home } = &arguments.action;
    let store = home::guest(&home::configuration(home)?)?;
    let rows = store.rejected(*before, (*limit).min(limits::PAGE_ROWS_MAX))?;
    if home.json {
        return output::json(
            &rows.iter().map(|(row, event)| json!({ "row": row, "event": event })).collect::<Vec<_>>(),
        );
    }
    let columns = [
        ("row", Align::Right),
        ("arrived", Align::Left),
        ("rule", Align::Left),
        ("reason", Align::Left),
        ("event", Align::Left),
    ];
    let cells = rows.into_iter().map(|(row, event)| {
        vec![row.to_string(), output::time(event.received_ms), event.rule, event.reason, event.body]
    });
    output::say(output::table(&columns, cells));
    Ok(())
}
