//! `zhiyin completions`: what a shell needs to complete our command line.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, output};

/// Arguments of `zhiyin completions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell, for example `zhiyin completions bash > ~/.local/share/bash-completion/completions/zhiyin`.
    pub shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// None today.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "zhiyin", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
