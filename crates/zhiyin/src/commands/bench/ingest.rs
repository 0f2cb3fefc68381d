//! `zhiyin bench ingest`: durable events over HTTP, and the time from acknowledged to visible.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use super::target::{Target, TargetArguments};
use crate::{
    load::{Connection, Latency, Pace, Plan, Report, Request},
    output,
};

/// Different request bodies that are rendered before the clock starts, at most.
const BODIES_MAX: usize = 2_048;
/// Events over all bodies, about.
const EVENTS_RENDERED: usize = 200_000;
/// Kinds that are sent, in the proportions of a shop.
const KINDS: [&str; 8] = ["view", "view", "view", "view", "click", "click", "cart", "purchase"];
/// Requests after which an event that was acknowledged counts as lost to view.
const LOOKS_MAX: usize = 1_000;

/// Arguments of `zhiyin bench ingest`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Events in one request.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Connections, one thread each.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Requests per second whatever the server does; without it each connection sends when it was answered.
    #[arg(long)]
    rate: Option<f64>,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long to send before measuring.
    #[arg(long, default_value_t = 2.0)]
    warmup_seconds: f64,
    /// Users that the events are spread over.
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// Items that the events are spread over.
    #[arg(long, default_value_t = 10_000)]
    items: usize,
    /// Measure instead how long an acknowledged event takes to show in the next recommendation.
    #[arg(long)]
    visibility: bool,
    /// Seed of the events.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

/// Measures and prints. Without --data and --url the server works on a new folder that is removed afterwards.
///
/// # Errors
/// A server that doesn't come up or answer.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = super::target::own_folder()?;
    let target = Target::new(&arguments.target, folder.path())?;
    let report = if arguments.visibility { visibility(arguments, &target) } else { throughput(arguments, &target) };
    output::json(&report?)
}

fn throughput(arguments: &Arguments, target: &Target) -> Result<Report> {
    let requests = requests(arguments, target);
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
    let report = Report::new("ingest", arguments.rate, arguments.connections, &outcome, &cost);
    let events_per_second = report.throughput_per_second * arguments.batch as f64;
    Ok(report.with("batch", arguments.batch).with("events_per_second", events_per_second))
}

fn requests(arguments: &Arguments, target: &Target) -> Vec<Request> {
    let mut random = Pcg64Mcg::seed_from_u64(arguments.seed);
    let bodies = (EVENTS_RENDERED / arguments.batch.max(1)).clamp(arguments.connections, BODIES_MAX);
    let body = |_| {
        let events: Vec<Value> = (0..arguments.batch).map(|_| event(arguments, &mut random)).collect();
        target.request("POST", "/v1/events", Some(&Value::from(events).to_string()))
    };
    (0..bodies).map(body).collect()
}

fn event(arguments: &Arguments, random: &mut Pcg64Mcg) -> Value {
    // Squaring makes a few items popular, as in a shop.
    let share: f64 = random.random();
    let item = (share * share * arguments.items as f64) as usize;
    json!({
        "type": KINDS[random.random_range(0..KINDS.len())],
        "user": format!("user-{}", random.random_range(0..arguments.users.max(1))),
        "item": format!("item-{item}"),
    })
}

/// Posts one event after the other for users of their own, and asks for each user's recommendations as soon as the event was acknowledged,
/// until the trace shows it.
fn visibility(arguments: &Arguments, target: &Target) -> Result<Report> {
    let mut connection = Connection::open(target.address)?;
    let mut outcome = crate::load::Outcome::empty()?;
    let mut to_answer: Histogram<u64> = outcome.latencies_ns.clone();
    let mut seen_at_first_look = 0_u64;
    let meter = target.meter()?;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < arguments.seconds {
        let n = outcome.latencies_ns.len();
        let user = format!("visible-{}-{n}", arguments.seed);
        let seen = look_for(&mut connection, target, &user, &format!("item-{}", n as usize % arguments.items.max(1)))?;
        outcome.latencies_ns.saturating_record(nanoseconds(seen.acknowledged_to_asked));
        to_answer.saturating_record(nanoseconds(seen.acknowledged_to_answered));
        seen_at_first_look += u64::from(seen.looks == 1);
    }
    outcome.elapsed = start.elapsed();
    let cost = target.cost_since(&meter)?;
    Ok(Report::new("visibility", None, 1, &outcome, &cost)
        .with("acknowledged_to_answered_ms", Latency::of(&to_answer))
        .with("seen_at_first_look", seen_at_first_look))
}

struct Seen {
    looks: usize,
    /// From the acknowledgement to when the request was sent whose answer showed the event.
    acknowledged_to_asked: Duration,
    /// From the acknowledgement to that answer.
    acknowledged_to_answered: Duration,
}

fn look_for(connection: &mut Connection, target: &Target, user: &str, item: &str) -> Result<Seen> {
    let event = json!({ "type": "click", "user": user, "item": item }).to_string();
    let post = target.request("POST", "/v1/events", Some(&event));
    let look = json!({ "user": user, "limit": 1, "explain": "trace" }).to_string();
    let ask = target.request("POST", "/v1/recommendations", Some(&look));
    let reply = connection.exchange(&post)?;
    if reply.status != 202 {
        bail!("an event was answered {}: {}", reply.status, String::from_utf8_lossy(reply.body));
    }
    let acknowledged = Instant::now();
    for looks in 1..=LOOKS_MAX {
        let asked = Instant::now();
        let reply = connection.exchange(&ask)?;
        let answered = Instant::now();
        let answer: Value = serde_json::from_slice(reply.body).context("a recommendation is no JSON")?;
        if answer["trace"]["hydrate"]["history"][0] == *item {
            let since = |moment: Instant| moment.duration_since(acknowledged);
            return Ok(Seen { looks, acknowledged_to_asked: since(asked), acknowledged_to_answered: since(answered) });
        }
    }
    bail!("the event of {user} about {item} was acknowledged but {LOOKS_MAX} recommendations didn't show it")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
