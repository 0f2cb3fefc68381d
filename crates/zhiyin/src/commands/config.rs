//! `zhiyin config`: checks the configuration, or prints it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    config::{Config, SHIPPED},
    output,
};

/// Arguments of `zhiyin config`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do with the configuration.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tell whether a file and the environment variables are right.
    Check {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print what is in force, or the commented file with all defaults.
    Print {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the commented file with every value and its default.
        #[arg(long)]
        defaults: bool,
    },
}

/// Checks or prints.
///
/// # Errors
/// A configuration that is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::Check { config } => {
            Config::from_environment(config.as_deref())?;
            output::say("the configuration is right");
        }
        Action::Print { defaults: true, .. } => output::say(SHIPPED.trim_end()),
        Action::Print { config, .. } => {
            let config = Config::from_environment(config.as_deref())?;
            output::say(format_args!("{}\n{}", config.to_toml()?, config.language.privacy().trim_end()));
        }
    }
    Ok(())
}
