//! `zhiyin bench`: measures speed and cost, and prints JSON.

mod encode;
mod ingest;
mod llm;
mod memory;
mod serve;
mod target;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `zhiyin bench`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Recommendations over HTTP: throughput, latency, CPU and memory.
    Serve(serve::Arguments),
    /// Durable events over HTTP, and the time from acknowledged to visible.
    Ingest(ingest::Arguments),
    /// Texts per second of a sentence encoder.
    Encode(encode::Arguments),
    /// Speed of the local language model.
    Llm(llm::Arguments),
    /// Bytes that the online state of many users takes.
    Memory(memory::Arguments),
}

/// Measures.
///
/// # Errors
/// A server that doesn't come up or answer.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::Serve(arguments) => serve::run(arguments),
        Action::Ingest(arguments) => ingest::run(arguments),
        Action::Encode(arguments) => encode::run(arguments),
        Action::Llm(arguments) => llm::run(arguments),
        Action::Memory(arguments) => memory::run(arguments),
    }
}
