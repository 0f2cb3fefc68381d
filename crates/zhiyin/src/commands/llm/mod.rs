//! `zhiyin llm`: fetches the weights of pre-trained models, tells what is there, and fine-tunes.

mod adapter;
mod behaviour;
mod finetune;
mod rerank;
mod teach;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zhiyin_core::language::{GenerateRequest, Limits, Message, Role, UsageLedger};
use zhiyin_llm::{Runtime, budget::MemoryLedger};
use zhiyin_weights::{Catalogue, FileState, Folder, PullOptions, WeightModel};

use crate::{
    cli::HomeArguments,
    config::Config,
    encoders, home, language,
    output::{self, Align},
};

/// What each runtime is asked.
const QUESTION: &str = "What is the capital of France?";
/// Tokens of its answer, at most.
const ANSWER_TOKENS: u32 = 32;
/// Time for loading a model and answering.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `zhiyin llm`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch models into the models folder; what is there already is only checked.
    Pull {
        /// Names of models, see `zhiyin llm list`.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Take the files from this folder (or this file) instead of their sources.
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        #[command(flatten)]
        home: HomeArguments,
    },
    /// Show the catalogue and what of it is there.
    List {
        #[command(flatten)]
        home: HomeArguments,
    },
    /// Compare the files that are there with their hashes, and ask each configured runtime a question.
    Check {
        /// Names of models; all that are there without it.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        home: HomeArguments,
    },
    /// Teach a language model what users choose (LoRA), measure what it then expects, and keep what was learned.
    Finetune(Box<finetune::Arguments>),
    /// List what was learned, and write it for other programs: the adapter, or a model with it in its weights.
    Adapter(adapter::Arguments),
    /// Measure what ordering lists anew by a language model gains, and how long it takes.
    Rerank(rerank::Arguments),
    /// Have the fine-tuned model judge the best candidates of short histories, for smaller models to learn from.
    Teach(teach::Arguments),
}

/// Fetches, lists or checks.
///
/// # Errors
/// An unknown name, a model that no source gives, a file that is not what the catalogue says.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::Pull { names, from, home } => pull(&folder(home)?, names, from.clone(), home.json),
        Action::List { home } => list(&folder(home)?, home.json),
        Action::Check { names, home } => check(&home::configuration(home)?, names, home.json),
        Action::Finetune(arguments) => finetune::run(arguments),
        Action::Adapter(arguments) => adapter::run(arguments),
        Action::Rerank(arguments) => rerank::run(arguments),
        Action::Teach(arguments) => teach::run(arguments),
    }
}

fn folder(arguments: &HomeArguments) -> Result<Folder> {
    Ok(encoders::models_folder(&home::configuration(arguments)?))
}

fn pull(folder: &Folder, names: &[String], from: Option<PathBuf>, as_json: bool) -> Result<()> {
    let catalogue = folder.catalogue()?;
    let models = named(&catalogue, names)?;
    let options = PullOptions { from, ..PullOptions::from_environment(&catalogue.hub) };
    let mut results = Vec::new();
    for model in models {
        let fetched = encoders::pull(folder, model, &options)?;
        let place = folder.model(&model.name);
        if !as_json {
            let what = if fetched > 0 { "is pulled" } else { "was there already" };
            output::say(format_args!("{} {what}: {} ({})", model.name, place.display(), output::bytes(model.bytes())));
        }
        results.push(json!({ "name": model.name, "fetched_files": fetched, "folder": place, "bytes": model.bytes() }));
    }
    if as_json { output::json(&results) } else { Ok(()) }
}

fn named<'a>(catalogue: &'a Catalogue, names: &[String]) -> Result<Vec<&'a WeightModel>> {
    Ok(names.iter().map(|name| catalogue.find(name)).collect::<Result<_, _>>()?)
}

fn list(folder: &Folder, as_json: bool) -> Result<()> {
    let catalogue = folder.catalogue()?;
    if as_json {
        let models: Vec<Value> = catalogue.models.iter().map(|model| as_value(folder, model)).collect();
        return output::json(&json!({ "folder": folder.root(), "hub": catalogue.hub, "models": models }));
    }
    let columns = [
        ("name", Align::Left),
        ("kind", Align::Left),
        ("size", Align::Right),
        ("licence", Align::Left),
        ("here", Align::Left),
        ("what it is", Align::Left),
    ];
    let row = |model: &WeightModel| {
        let here = if folder.has(model) { "yes" } else { "no" };
        let size = output::bytes(model.bytes());
        [&model.name, model.kind.name(), &size, &model.licence, here, &model.about].map(String::from).to_vec()
    };
    output::say(output::table(&columns, catalogue.models.iter().map(row)));
    output::remark(format_args!("models folder: {}", folder.root().display()));
    Ok(())
}

fn as_value(folder: &Folder, model: &WeightModel) -> Value {
    let mut value = json!(model);
    value["here"] = folder.has(model).into();
    value["bytes"] = model.bytes().into();
    value
}

fn check(config: &Config, names: &[String], as_json: bool) -> Result<()> {
    let folder = &encoders::models_folder(config);
    let catalogue = folder.catalogue()?;
    let models: Vec<&WeightModel> = match names {
        [] => catalogue.models.iter().filter(|model| folder.model(&model.name).is_dir()).collect(),
        names => named(&catalogue, names)?,
    };
    let mut found = Vec::new();
    for model in models {
        for file in &model.files {
            found.push((model.name.clone(), file.name.clone(), folder.check(model, file)?));
        }
    }
    let asked = if names.is_empty() { ask_each(config)? } else { Vec::new() };
    print_states(&found, &asked, as_json)?;
    let wrong = found.iter().filter(|(_, _, state)| *state != FileState::Verified).count();
    if wrong > 0 {
        bail!("{wrong} of {} files are not as the catalogue says; pull their models again", found.len());
    }
    let silent = asked.iter().filter(|(_, answer)| answer.is_err()).count();
    if silent > 0 {
        bail!("{silent} of {} language models don't answer", asked.len());
    }
    Ok(())
}

/// What a runtime answered, or why it didn't.
type Asked = (String, Result<String, String>);

/// Asks each configured runtime a question that any model can answer. What that takes isn't counted against budgets of a server.
fn ask_each(config: &Config) -> Result<Vec<Asked>> {
    let ledger: Arc<dyn UsageLedger> = Arc::new(MemoryLedger::default());
    let question = vec![Message::new(Role::User, QUESTION)];
    let request = || GenerateRequest {
        limits: Limits::within(PATIENCE),
        ..GenerateRequest::new(question.clone(), ANSWER_TOKENS)
    };
    let ask = |runtime: &Arc<dyn Runtime>| {
        let begun = Instant::now();
        let answer = runtime.generate(&request(), &mut |_| {}).map_err(|error| error.to_string());
        let answer = answer.map(|generated| {
            let text = generated.text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{text} ({} tokens in {:.1} s)", generated.usage.total(), begun.elapsed().as_secs_f32())
        });
        (runtime.status().name, answer)
    };
    Ok(language::runtimes(config, &ledger)?.iter().map(ask).collect())
}

fn print_states(found: &[(String, String, FileState)], asked: &[Asked], as_json: bool) -> Result<()> {
    if as_json {
        let value = |(model, file, state): &(String, String, FileState)| {
            let mut value = json!(state);
            value["model"] = json!(model);
            value["file"] = json!(file);
            value
        };
        let answer = |(runtime, answer): &Asked| match answer {
            Ok(text) => json!({ "runtime": runtime, "state": "answers", "answer": text }),
            Err(reason) => json!({ "runtime": runtime, "state": "silent", "reason": reason }),
        };
        return output::json(&found.iter().map(value).chain(asked.iter().map(answer)).collect::<Vec<_>>());
    }
    let row = |(model, file, state): &(String, String, FileState)| {
        let state = match state {
            FileState::Verified => "right".to_owned(),
            FileState::Present => "there".to_owned(),
            FileState::Missing => "missing".to_owned(),
            FileState::Different { detail } => detail.clone(),
        };
        vec![model.clone(), file.clone(), state]
    };
    let columns = [("model", Align::Left), ("file", Align::Left), ("state", Align::Left)];
    output::say(output::table(&columns, found.iter().map(row)));
    for (runtime, answer) in asked {
        match answer {
            Ok(text) => output::say(format_args!("{runtime} answers {QUESTION:?}: {text}")),
            Err(reason) => output::say(format_args!("{runtime} doesn't answer: {reason}")),
        }
    }
    Ok(())
}
