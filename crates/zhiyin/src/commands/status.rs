//! `zhiyin status`: what a data folder holds.

use anyhow::Result;

use crate::{
    cli::HomeArguments,
    home::{self, Home},
    output,
};

/// Prints the status.
///
/// # Errors
/// A folder that a server has open, or that is damaged.
pub fn run(arguments: &HomeArguments) -> Result<()> {
    let home = Home::open(home::configuration(arguments)?)?;
    let status = serde_json::to_value(home.engine.status())?;
    home.close()?;
    if arguments.json {
        return output::json(&status);
    }
    output::say(output::fields(&status));
    Ok(())
}
