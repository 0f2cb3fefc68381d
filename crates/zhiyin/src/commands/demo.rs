//! `zhiyin demo`: loads the bundled shop data, trains, shows an evaluation, and serves it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use zhiyin_datasets::{Format, Source};
use zhiyin_engine::{Status, experiment::Report};
use zhiyin_store::{Scope, Scopes};

use super::evaluate;
use crate::{
    cli::ListenArguments,
    client::Client,
    config::Config,
    encoders,
    home::{self, Home},
    importer, language, output,
    progress::BarProgress,
    serving::{self, Serving},
};

/// Where the demo keeps its data when nothing is said.
pub const FOLDER: &str = "zhiyin-data/demo";
/// The bundled data, from the project's folder.
const DATA: &str = "data/online-retail/online_retail.csv.xz";
/// Name of the key that each start makes anew.
const KEY_NAME: &str = "demo";
/// Version of an engine that was never trained.
const UNTRAINED: &str = "none";
/// File in the data folder that keeps the evaluation for the next start.
const EVALUATION: &str = "evaluation.json";
/// Items of the catalogue of which the last is clicked in the example.
const ITEMS_LOOKED_AT: usize = 100;

/// Arguments of `zhiyin demo`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Check over HTTP that recommendations react to a click, and exit.
    #[arg(long)]
    once: bool,
    /// Folder of the demo's data.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    data: PathBuf,
    /// The file of Online Retail.
    #[arg(long, value_name = "FILE", default_value = DATA)]
    source: PathBuf,
    #[command(flatten)]
    listen: ListenArguments,
}

/// Runs the demo.
///
/// # Errors
/// Data that isn't there; a folder or a port that is taken; with `--once`, recommendations that don't react.
pub fn run(arguments: &Arguments) -> Result<()> {
    let source = source(&arguments.source)?;
    let mut config = Config::from_environment(None)?;
    config.data.folder.clone_from(&arguments.data);
    if let Some(listen) = arguments.listen.listen {
        config.server.listen = listen;
    }
    encoders::pull_first(&config);
    language::pull_first(&config);
    let home = Home::open(config)?;
    let evaluation = load(&home, &source)?;
    print_status(&home.engine.status());
    evaluate::print(&evaluation, &[10]);
    let key = new_key(&home)?;
    let user = shown_user(&home)?;
    let auth = serving::by_keys(&home.store);
    let serving = Serving::bind(home, auth)?;
    if arguments.once { check(serving, &key, &user) } else { serve(serving, &key, &user) }
}

fn source(path: &Path) -> Result<Source> {
    if path.is_file() {
        return Ok(Source::new(Format::OnlineRetail, path));
    }
    Err(anyhow!(
        "{} is not there: run the demo in the project's folder, or name the file with --source",
        path.display()
    ))
}

/// Imports and trains, unless an earlier start did; the evaluation that the training made.
fn load(home: &Home, source: &Source) -> Result<Report> {
    let bar = output::bar(0, "importing");
    let report = importer::import(home, source, &bar);
    bar.finish_and_clear();
    let report = report?;
    let is_new = report.kept > 0 || report.items > 0;
    if is_new {
        importer::print(&report);
    }
    let kept = home.config.data.folder.join(EVALUATION);
    match fs_err::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
        Some(evaluation) if !is_new && home.engine.status().model != UNTRAINED => Ok(evaluation),
        _ => train(home, &kept),
    }
}

fn train(home: &Home, keep: &Path) -> Result<Report> {
    let progress = BarProgress::new("training");
    let trained = home.engine.train(&progress);
    progress.finish();
    let evaluation = trained?.evaluation;
    fs_err::write(keep, serde_json::to_vec_pretty(&evaluation)?)?;
    Ok(evaluation)
}

fn print_status(status: &Status) {
    output::say(format_args!(
        "{} events of {} users and {} sessions about {} items; model {}",
        output::count(status.events),
        output::count(status.users as u64),
        output::count(status.sessions as u64),
        output::count(status.items as u64),
        status.model
    ));
}

fn new_key(home: &Home) -> Result<String> {
    home.store.revoke_key(KEY_NAME, home::now_ms())?;
    Ok(home.store.create_key(KEY_NAME, Scopes::of(&[Scope::Admin]), home::now_ms())?.plain)
}

/// The first customer of the data. Nothing is asked of the recommender here, which would count as shown to somebody.
fn shown_user(home: &Home) -> Result<String> {
    let page = home.engine.users(None, 1)?;
    Ok(page.rows.first().ok_or_else(|| anyhow!("the data has no users"))?.id.to_string())
}

/// Any article, for the click that is shown.
fn shown_item(home: &Home) -> Result<String> {
    let page = home.engine.items(None, ITEMS_LOOKED_AT)?;
    Ok(page.rows.last().ok_or_else(|| anyhow!("the data has no items"))?.id.to_string())
}

fn serve(serving: Serving, key: &str, user: &str) -> Result<()> {
    let (address, item) = (serving.address, shown_item(serving.home())?);
    let ask =
        format!("curl -s 'http://{address}/v1/users/{user}/recommendations?limit=5' -H 'Authorization: Bearer {key}'");
    let event = json!({ "type": "click", "user": user, "item": item });
    output::say(format_args!(
        "\nserving on http://{address} (documentation: http://{address}/docs), API key {key}\n\n\
         ask for recommendations, click on an item, and ask again:\n\n{ask}\n\
         curl -s http://{address}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{event}'\n{ask}\n\n\
         Ctrl-C stops; a second start takes up the same data"
    ));
    serving.run(serving::stop_signal())
}

/// Talks to itself over HTTP: a list, a click, another list.
fn check(serving: Serving, key: &str, user: &str) -> Result<()> {
    let client = Client::new(serving.address, Some(key));
    let user = user.to_owned();
    let (done, stop) = oneshot::channel::<()>();
    let checking = std::thread::spawn(move || {
        let outcome = reacts(&client, &user);
        // The receiver is gone only when the server failed, which is reported instead.
        let _ = done.send(());
        outcome
    });
    serving.run(async move {
        let _ = stop.await;
    })?;
    let outcome = checking.join().map_err(|_| anyhow!("the self-check died"))?;
    output::say(outcome.context("the self-check failed")?);
    Ok(())
}

/// Whether a click on the last item of a list changes the next one.
fn reacts(client: &Client, user: &str) -> Result<String> {
    let answer = list(client, user)?;
    let before = names(&answer);
    let Some(item) = before.last() else { bail!("{user} gets an empty list: {answer}") };
    let event = json!({ "type": "click", "user": user, "item": item, "decision": answer["decision_id"] });
    let taken = client.post("/v1/events", &event)?;
    if taken["accepted"] != 1 {
        bail!("the click was not accepted: {taken}");
    }
    let after = names(&list(client, user)?);
    if after.is_empty() || before == after {
        bail!("the list of {user} does not react to a click on {item}: {before:?} before, {after:?} after");
    }
    let (before, after) = (before.join(" "), after.join(" "));
    Ok(format!("self-check passed: after a click on {item}, {user} gets\n  {after}\ninstead of\n  {before}"))
}

fn names(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["item"].as_str().map(str::to_owned)).collect()
}

fn list(client: &Client, user: &str) -> Result<Value> {
    client.post("/v1/recommendations", &json!({ "user": user, "limit": 10, "explain": "none" }))
}
