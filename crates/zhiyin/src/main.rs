//! The `zhiyin` program: reads the command line and the configuration, puts the crates together, and prints.
//!
//! It decides nothing about events, ranking or storage: each file in `commands` wires one command to the crate that does the work.
//!
//! Exit codes: 0 for success, 1 when something failed, 2 when the command line, the configuration or an input is wrong.

mod cli;
mod client;
mod commands;
mod config;
mod encoders;
mod experiment_data;
mod home;
mod importer;
mod language;
mod load;
mod output;
mod plot;
mod progress;
mod serving;

use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use zhiyin_core::Problem;
use zhiyin_engine::{EngineError, experiment::ExperimentError};
use zhiyin_weights::WeightsError;

/// The allocator of the whole program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    start_log(cli.verbose);
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::remark(format_args!("error: {error:#}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The log goes to standard error; `RUST_LOG` overrides what `-v` says.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// 2 when the caller has to change something about the input, 1 for everything else.
fn exit_code(error: &Error) -> u8 {
    let is_problem = error.chain().any(|cause| {
        let refused = cause.downcast_ref::<EngineError>();
        let unfit = cause.downcast_ref::<ExperimentError>();
        let unknown = cause.downcast_ref::<WeightsError>();
        cause.is::<Problem>()
            || matches!(unknown, Some(WeightsError::UnknownModel { .. } | WeightsError::Catalogue { .. }))
            || matches!(refused, Some(EngineError::Bad(_) | EngineError::NotFound(_)))
            || matches!(unfit, Some(ExperimentError::UnknownModel(..) | ExperimentError::CutOff))
    });
    if is_problem { 2 } else { 1 }
}
