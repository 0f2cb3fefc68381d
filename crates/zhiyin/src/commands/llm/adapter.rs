//! `zhiyin llm adapter`: what was learned from behaviour, for other programs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use zhiyin_decoder::{Decoder, MergedEncoding};
use zhiyin_tuning::Artefact;

use crate::{
    cli::HomeArguments,
    home,
    language::{self, ADAPTERS},
    output::{self, Align},
};

/// Arguments of `zhiyin llm adapter`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the adapters of the data folder; their hashes are verified.
    List {
        #[command(flatten)]
        home: HomeArguments,
    },
    /// Write an adapter as a GGUF file, as llama.cpp loads it onto the same base model (`--lora`).
    Export {
        #[command(flatten)]
        which: Which,
    },
    /// Write the base model with an adapter in its weights as a GGUF file of its own.
    Merge {
        #[command(flatten)]
        which: Which,
        /// How the weights that the adapter changes are written: f32, f16 or q8_0. All others stay as they are.
        #[arg(long, value_name = "ENCODING", default_value_t = MergedEncoding::Q8)]
        encoding: MergedEncoding,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// Its name [default: the one that serves].
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The file to be written.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    home: HomeArguments,
}

/// Lists, exports or merges.
///
/// # Errors
/// An adapter that there isn't, or that was changed; a base model that isn't pulled; a file that can't be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::List { home } => list(home),
        Action::Export { which } => export(which, None),
        Action::Merge { which, encoding } => export(which, Some(*encoding)),
    }
}

fn list(arguments: &HomeArguments) -> Result<()> {
    let config = home::configuration(arguments)?;
    let (artefacts, unusable) = Artefact::all(&config.data.folder.join(ADAPTERS));
    if arguments.json {
        let value = |artefact: &Artefact| json!({ "name": artefact.name(), "folder": artefact.folder, "manifest": artefact.manifest });
        let unusable: Vec<String> = unusable.iter().map(ToString::to_string).collect();
        let adapters: Vec<_> = artefacts.iter().map(value).collect();
        return output::json(&json!({ "adapters": adapters, "unusable": unusable }));
    }
    for error in unusable {
        output::remark(format_args!("warning: {error}"));
    }
    let columns = [
        ("name", Align::Left),
        ("base", Align::Left),
        ("learned from", Align::Left),
        ("CPU s", Align::Right),
        ("gain on the test", Align::Right),
    ];
    let row = |artefact: &Artefact| {
        let manifest = &artefact.manifest;
        let gain = manifest.measured.as_ref().and_then(|measured| measured.tuning_gain.first());
        let gain =
            gain.map_or("–".to_owned(), |gain| format!("{:+.4} ({:+.4} to {:+.4})", gain.mean, gain.low, gain.high));
        let seconds = format!("{:.0}", manifest.training.cpu_seconds);
        vec![artefact.name(), manifest.base.clone(), manifest.data.name.clone(), seconds, gain]
    };
    output::say(output::table(&columns, artefacts.iter().map(row)));
    Ok(())
}

/// Writes the adapter, or the merged model if an encoding says how.
fn export(which: &Which, merged: Option<MergedEncoding>) -> Result<()> {
    let mut config = home::configuration(&which.home)?;
    if let Some(name) = &which.name {
        config.language.local.adapter.clone_from(name);
    }
    let Some((local, artefact)) = language::taught_artefact(&config)? else {
        bail!("there is no adapter yet; `zhiyin llm finetune` makes one");
    };
    let adapter = artefact.adapter(&Decoder::load(&local.path)?)?;
    match merged {
        None => adapter.write_gguf(&which.to)?,
        Some(encoding) => adapter.merge(&local.path, &which.to, encoding)?,
    }
    let bytes = fs_err::metadata(&which.to)?.len();
    if which.home.json {
        return output::json(
            &json!({ "name": artefact.name(), "base": local.model, "file": which.to, "bytes": bytes }),
        );
    }
    let what = if merged.is_some() { format!("{} with {}", local.model, artefact.name()) } else { artefact.name() };
    output::say(format_args!("{what} is written to {} ({})", which.to.display(), output::bytes(bytes)));
    Ok(())
}
