//! `zhiyin bench memory`: what the online state of many users takes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use zhiyin_core::{EventInput, SystemClock, TimeInput};
use zhiyin_engine::{Engine, EngineConfig};
use zhiyin_store::{Store, StoreOptions};

use crate::{load, output};

/// Events that one transaction takes.
const EVENTS_PER_BATCH: usize = 10_000;
/// Milliseconds between two events of a user.
const STEP_MS: i64 = 3_600_000;
/// When the first event happens: 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

/// Arguments of `zhiyin bench memory`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Users.
    #[arg(long, default_value_t = 1_000_000)]
    users: usize,
    /// Events of each user.
    #[arg(long, default_value_t = 20)]
    events: usize,
    /// Items that the events are spread over.
    #[arg(long, default_value_t = 50_000)]
    items: usize,
    /// Seed of the events.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Open what such a run left in this folder, and print the size of that.
    #[arg(long, value_name = "DIR", hide = true)]
    reopen: Option<PathBuf>,
}

/// Builds the state in this process, over a database in a folder that is removed afterwards, and prints its size; then that of a process which
/// opens the folder, as after a restart: there nothing grew side by side.
///
/// # Errors
/// Failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(folder) = &arguments.reopen {
        return output::json(&reopened(folder)?);
    }
    let folder = super::target::own_folder()?;
    let before = load::own_usage()?;
    let start = Instant::now();
    let engine = engine(folder.path())?;
    fill(arguments, &engine)?;
    let after = load::own_usage()?;
    let status = serde_json::to_value(engine.status())?;
    let snapshot = Instant::now();
    engine.snapshot()?;
    let snapshot_seconds = snapshot.elapsed().as_secs_f64();
    let peak_with_snapshot = load::own_usage()?.rss_peak_bytes;
    engine.shutdown()?;
    drop(engine);
    let restarted = restart(folder.path())?;
    output::json(&json!({
        "benchmark": "memory",
        "users": arguments.users,
        "events": arguments.users * arguments.events,
        "items": arguments.items,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "rss_bytes_before": before.rss_bytes,
        "rss_bytes": after.rss_bytes,
        "rss_peak_bytes": after.rss_peak_bytes,
        "snapshot_seconds": snapshot_seconds,
        "rss_peak_bytes_with_snapshot": peak_with_snapshot,
        "status": status,
        "restarted": restarted,
    }))
}

/// What [`reopened`] prints in a process of its own.
fn restart(folder: &Path) -> Result<Value> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let done = Command::new(program).args(["bench", "memory", "--reopen"]).arg(folder).output()?;
    ensure!(
        done.status.success(),
        "the process that opens the folder failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(serde_json::from_slice(&done.stdout)?)
}

fn reopened(folder: &Path) -> Result<Value> {
    let start = Instant::now();
    let engine = engine(folder)?;
    let seconds = start.elapsed().as_secs_f64();
    let usage = load::own_usage()?;
    let events = engine.status().events;
    engine.shutdown()?;
    let (rss_bytes, rss_peak_bytes) = (usage.rss_bytes, usage.rss_peak_bytes);
    Ok(json!({ "events": events, "seconds": seconds, "rss_bytes": rss_bytes, "rss_peak_bytes": rss_peak_bytes }))
}

fn engine(folder: &Path) -> Result<Arc<Engine>> {
    let store = Store::open(folder, StoreOptions::default())?;
    let mut config = EngineConfig::default();
    // A snapshot in the middle would count as the state's memory.
    config.state.snapshot_every_events = u64::MAX;
    Ok(Engine::open(Arc::new(store), folder, config, Arc::new(SystemClock))?)
}

/// One event for every user in turn, so that all histories grow side by side.
fn fill(arguments: &Arguments, engine: &Engine) -> Result<()> {
    let mut random = Pcg64Mcg::seed_from_u64(arguments.seed);
    let bar = output::bar((arguments.users * arguments.events) as u64, "taking in events");
    for round in 0..arguments.events {
        for first in (0..arguments.users).step_by(EVENTS_PER_BATCH) {
            let users = first..(first + EVENTS_PER_BATCH).min(arguments.users);
            let events: Vec<EventInput> = users.map(|user| event(user, round, arguments.items, &mut random)).collect();
            bar.inc(events.len() as u64);
            engine.ingest_blocking(events, None)?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn event(user: usize, round: usize, items: usize, random: &mut Pcg64Mcg) -> EventInput {
    let share: f64 = random.random();
    EventInput {
        id: Some(format!("{user}-{round}")),
        kind: "view".into(),
        user: Some(format!("user-{user}")),
        item: Some(format!("item-{}", (share * share * items as f64) as usize)),
        time: Some(TimeInput::Millis(START_MS + round as i64 * STEP_MS)),
        ..EventInput::default()
    }
}
