//! `zhiyin serve`: answers over HTTP until it is told to stop.

use anyhow::Result;
use clap::Args;
use zhiyin_server::AuthMode;

use crate::{
    cli::{HomeArguments, ListenArguments},
    home::{self, Home},
    load, output,
    serving::{self, Serving},
};

/// Arguments of `zhiyin serve`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    listen: ListenArguments,
    /// Let everybody who reaches the port do everything, without a key.
    #[arg(long)]
    insecure_no_auth: bool,
    #[command(flatten)]
    home: HomeArguments,
}

/// Serves.
///
/// # Errors
/// A wrong configuration; a folder that another server has open or that is damaged; a port that is taken.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut config = home::configuration(&arguments.home)?;
    if let Some(listen) = arguments.listen.listen {
        config.server.listen = listen;
    }
    let home = Home::open(config)?;
    let auth = if arguments.insecure_no_auth {
        output::remark("warning: everybody who reaches the port may do everything (--insecure-no-auth)");
        AuthMode::Insecure
    } else {
        announce_first_key(&home)?;
        serving::by_keys(&home.store)
    };
    let serving = Serving::bind(home, auth)?;
    output::say(format_args!("{}{}", load::LISTENING, serving.address));
    serving.run(serving::stop_signal())
}

fn announce_first_key(home: &Home) -> Result<()> {
    if let Some(key) = serving::first_key(&home.store)? {
        output::say(format_args!("first API key (shown only now, with every scope): {key}"));
    }
    Ok(())
}
