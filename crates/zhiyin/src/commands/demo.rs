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
    home::{self, Home},
    importer, output,
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
/// Users that are looked through for one with a history worth showing.
const USERS_LOOKED_AT: usize = 200;

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
    let is_new = report.accepted > 0 || report.items > 0;
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

/// A user of whom enough is known for the list to be about them.
fn shown_user(home: &Home) -> Result<String> {
    let page = home.engine.users(None, USERS_LOOKED_AT)?;
    let first = page.rows.first().ok_or_else(|| anyhow!("the data has no users"))?.id.to_string();
    let answers_fully = |user: &String| {
        let request = zhiyin_engine::RecommendRequest { user: Some(user.clone()), ..Default::default() };
        home.engine.recommend(&request).is_ok_and(|answer| answer.fallback.is_none() && answer.items.len() >= 5)
    };
    Ok(page.rows.iter().map(|user| user.id.to_string()).find(answers_fully).unwrap_or(first))
}

fn serve(serving: Serving, key: &str, user: &str) -> Result<()> {
    let (address, item) = (serving.address, clicked_item(&serving, user)?);
    let ask =
        format!("curl -s http://{address}/v1/users/{user}/recommendations?limit=5 -H 'Authorization: Bearer {key}'");
    let event = json!({ "type": "click", "user": user, "item": item });
    output::say(format_args!(
        "\nserving on http://{address} (documentation: http://{address}/docs), API key {key}\n\n\
         ask for recommendations, click on an item, and ask again:\n\n{ask}\n\
         curl -s http://{address}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{event}'\n{ask}\n\n\
         Ctrl-C stops; a second start takes up the same data"
    ));
    serving.run(serving::stop_signal())
}

/// An item that the user hasn't been recommended, so that a click on it is news.
fn clicked_item(serving: &Serving, user: &str) -> Result<String> {
    let engine = &serving.home().engine;
    let request =
        zhiyin_engine::RecommendRequest { user: Some(user.to_owned()), limit: Some(50), ..Default::default() };
    let list = engine.recommend(&request)?.items;
    let last = list.last().ok_or_else(|| anyhow!("{user} gets no recommendations"))?;
    Ok(last.item.clone())
}

/// Talks to itself over HTTP: a list, a click, another list.
fn check(serving: Serving, key: &str, user: &str) -> Result<()> {
    let client = Client::new(serving.address, Some(key));
    let item = clicked_item(&serving, user)?;
    let user = user.to_owned();
    let (done, stop) = oneshot::channel::<()>();
    let checking = std::thread::spawn(move || {
        let outcome = reacts(&client, &user, &item);
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

/// Whether a click changes the next list.
fn reacts(client: &Client, user: &str, item: &str) -> Result<String> {
    let before = list(client, user)?;
    let decision = before["decision_id"].clone();
    let event = json!({ "type": "click", "user": user, "item": item, "decision": decision });
    let taken = client.post("/v1/events", &event)?;
    if taken["accepted"] != 1 {
        bail!("the click was not accepted: {taken}");
    }
    let after = list(client, user)?;
    let names = |answer: &Value| -> Vec<String> {
        answer["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["item"].as_str().map(str::to_owned))
            .collect()
    };
    let (before, after) = (names(&before), names(&after));
    if before.is_empty() || after.is_empty() {
        bail!("a list is empty: {before:?} before the click, {after:?} after it");
    }
    if before == after {
        bail!("the list of {user} is the same before and after a click on {item}: {before:?}");
    }
    Ok(format!(
        "self-check passed: after a click on {item}, {user} gets {} instead of {}",
        after.join(", "),
        before.join(", ")
    ))
}

fn list(client: &Client, user: &str) -> Result<Value> {
    client.post("/v1/recommendations", &json!({ "user": user, "limit": 10, "explain": "none" }))
}
