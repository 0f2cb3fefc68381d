//! `zhiyin bench serve`: recommendations over HTTP.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use super::target::{Target, TargetArguments, check_folder};
use crate::{
    client::Client,
    commands::demo,
    load::{Pace, Plan, Report, Request},
    output,
};

/// Different requests that are rendered before the clock starts.
const REQUESTS: usize = 8_192;
/// Users and items that are sampled from.
const NAMES_MAX: usize = 20_000;
/// Rows of one page of a listing.
const PAGE_ROWS: usize = 1_000;

/// Arguments of `zhiyin bench serve`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Connections, one thread each.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests per second whatever the server does (open loop); without it each connection sends when it was answered (closed loop).
    #[arg(long)]
    rate: Option<f64>,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long to send before measuring.
    #[arg(long, default_value_t = 3.0)]
    warmup_seconds: f64,
    /// Path of the request; {user} and {item} are replaced.
    #[arg(long, default_value = "/v1/recommendations")]
    path: String,
    /// Body of the request; {user} and {item} are replaced. With --path alone the request is a GET.
    #[arg(long)]
    body: Option<String>,
    /// How much to explain in the default body.
    #[arg(long, value_enum, default_value_t = Detail::Reasons)]
    explain: Detail,
    /// Items to ask for in the default body.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Detail {
    /// Scores only.
    None,
    /// The strongest reasons of each item.
    Reasons,
    /// Every stage of the pipeline.
    Trace,
}

/// Measures and prints.
///
/// # Errors
/// A server that doesn't come up or answer; no data to sample from.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = Path::new(demo::FOLDER);
    if arguments.target.url.is_none() {
        check_folder(arguments.target.data.as_deref().unwrap_or(folder))?;
    }
    let target = Target::new(&arguments.target, folder)?;
    let requests = requests(arguments, &target)?;
    let plan = |seconds| Plan {
        address: target.address,
        connections: arguments.connections,
        pace: arguments.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
        duration: Duration::from_secs_f64(seconds),
    };
    if arguments.warmup_seconds > 0.0 {
        target.measure(&plan(arguments.warmup_seconds), &requests)?;
    }
    let (outcome, cost) = target.measure(&plan(arguments.seconds), &requests)?;
    output::json(&Report::new("serve", arguments.rate, arguments.connections, &outcome, &cost))
}

fn requests(arguments: &Arguments, target: &Target) -> Result<Vec<Request>> {
    let body = body(arguments);
    let templates = format!("{} {}", arguments.path, body.as_deref().unwrap_or_default());
    let client = target.client();
    let sample = |name: &str, listing: &str| {
        if templates.contains(name) { names(&client, listing) } else { Ok(vec![String::new()]) }
    };
    let (users, items) = (sample("{user}", "/v1/users")?, sample("{item}", "/v1/items")?);
    let mut random = Pcg64Mcg::seed_from_u64(arguments.seed);
    let one = |_| {
        let user = &users[random.random_range(0..users.len())];
        let item = &items[random.random_range(0..items.len())];
        let filled = |template: &str| template.replace("{user}", user).replace("{item}", item);
        let method = if body.is_some() { "POST" } else { "GET" };
        target.request(method, &filled(&arguments.path), body.as_deref().map(filled).as_deref())
    };
    Ok((0..REQUESTS).map(one).collect())
}

fn body(arguments: &Arguments) -> Option<String> {
    let is_default = arguments.body.is_none() && arguments.path == "/v1/recommendations";
    let explain = match arguments.explain {
        Detail::None => "none",
        Detail::Reasons => "reasons",
        Detail::Trace => "trace",
    };
    let limit = arguments.limit;
    is_default
        .then(|| format!(r#"{{"user":"{{user}}","limit":{limit},"explain":"{explain}"}}"#))
        .or_else(|| arguments.body.clone())
}

/// Names from a paged listing.
fn names(client: &Client, listing: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut after = String::new();
    while names.len() < NAMES_MAX {
        let page = client.get(&format!("{listing}?limit={PAGE_ROWS}{after}"))?;
        let (rows, next) = page_of(&page).with_context(|| format!("GET {listing} has another layout than expected"))?;
        names.extend(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)));
        match next {
            Some(token) => after = format!("&after={token}"),
            None => break,
        }
    }
    if names.is_empty() { Err(anyhow!("the server's {listing} is empty: import data first")) } else { Ok(names) }
}

/// The rows of a listing and the token of its next page.
fn page_of(page: &Value) -> Option<(&Vec<Value>, Option<&str>)> {
    let rows = page.as_object()?.values().find_map(Value::as_array)?;
    Some((rows, page["next"].as_str()))
}
