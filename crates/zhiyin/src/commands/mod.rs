//! One file per command: reads its arguments, calls the crate that does the work, prints.

pub mod bench;
pub mod completions;
pub mod config;
pub mod demo;
pub mod evaluate;
pub mod events;
pub mod explanations;
pub mod import;
pub mod keys;
pub mod llm;
pub mod metrics;
pub mod openapi;
pub mod recommend;
pub mod reviews;
pub mod serve;
pub mod status;
pub mod train;

use anyhow::Result;

use crate::cli::Command;

/// Runs a command to its end.
///
/// # Errors
/// Whatever went wrong, in words for the person at the terminal.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Recommend(arguments) => recommend::run(&arguments),
        Command::Explanations(arguments) => explanations::run(&arguments),
        Command::Reviews(arguments) => reviews::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Metrics(arguments) => metrics::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Llm(arguments) => llm::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Openapi => openapi::run(),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}
