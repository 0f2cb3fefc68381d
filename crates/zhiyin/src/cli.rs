//! The command line as it is written. What each command does with it stands in `commands`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    bench, completions, config, demo, evaluate, events, explanations, import, keys, llm, metrics, recommend, reviews,
    serve, train,
};

/// Zhiyin, a self-hosted recommendation engine: events in, recommendations out.
#[derive(Debug, Parser)]
#[command(name = "zhiyin", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// Say more about what happens, on standard error (twice: everything).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer over HTTP: take events in, give recommendations.
    Serve(serve::Arguments),
    /// Load the bundled shop data, train, show an evaluation and serve it.
    Demo(demo::Arguments),
    /// Read a file of interactions into the data folder.
    Import(import::Arguments),
    /// Train the models on what the data folder holds.
    Train(train::Arguments),
    /// Measure the models on a data set under a protocol.
    Evaluate(Box<evaluate::Arguments>),
    /// Recommend items to a user.
    Recommend(Box<recommend::Arguments>),
    /// Measure what the reasons of recommendations are worth.
    Explanations(explanations::Arguments),
    /// Measure how well reviews are read.
    Reviews(reviews::Arguments),
    /// Look at events.
    Events(events::Arguments),
    /// Count what the recommendations led to, by source and by model.
    Metrics(metrics::Arguments),
    /// Create, list and revoke API keys.
    Keys(keys::Arguments),
    /// Fetch pre-trained models and tell which are there.
    Llm(llm::Arguments),
    /// Check or print the configuration.
    Config(config::Arguments),
    /// Tell what the data folder holds.
    Status(HomeArguments),
    /// Print the OpenAPI document of the HTTP interface.
    Openapi,
    /// Print the completions of a shell.
    Completions(completions::Arguments),
    /// Measure speed and cost.
    Bench(bench::Arguments),
}

/// Where the data and the configuration are.
#[derive(Clone, Debug, Args)]
pub struct HomeArguments {
    /// Configuration file; defaults are used without one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the data; the configuration's `data.folder` without it.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print JSON for programs instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Where to listen.
#[derive(Clone, Debug, Args)]
pub struct ListenArguments {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8723].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_is_described() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no description", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} has no description",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }
}
