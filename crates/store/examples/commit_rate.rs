//! Measures how fast durable commits are: `cargo run --release -p zhiyin-store --example commit_rate -- FOLDER [EVENTS]`.
//!
//! Prints, for batches of 1,000 events with ids in order of time and with random ids, and for batches of 1,000 decisions of 20 items, the
//! rate and the slowest commit; then the rates of reading back. Everything is written to a new folder inside FOLDER.

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use uuid::Uuid;
use zhiyin_core::{
    Decision, Event, ExternalId, Item, Kind, ShownItem,
    event::EventDetails,
    storage::{ActorKind, ActorRow, Batch, ItemRow, StagedEvent, Storage},
};
use zhiyin_store::{Store, StoreOptions};

const BATCH: u64 = 1_000;
const ACTORS: u32 = 100_000;
const ITEMS: u32 = 10_000;
const START_MS: u64 = 1_700_000_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().ok_or("name a folder on the disk to measure")?;
    let events: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = tempfile::tempdir_in(&parent)?;
    for (label, random) in [("ids in order of time", false), ("random ids", true)] {
        let folder = folder.path().join(if random { "random" } else { "ordered" });
        measure_events(&folder, label, events, random)?;
    }
    measure_decisions(&folder.path().join("decisions"), 100_000)
}

fn measure_events(folder: &Path, label: &str, events: u64, random: bool) -> Result<(), Failure> {
    let store = prepared(folder)?;
    let batches: Vec<Batch> = (0..events / BATCH).map(|batch| event_batch(batch, random)).collect();
    report(&format!("events, {label}"), &store, &batches, BATCH)?;
    let started = Instant::now();
    let mut after = 0;
    while let Some(last) = store.events_after(after, 10_000)?.last() {
        after = last.position;
    }
    println!("  read back: {:.0} events/s", rate(events, started.elapsed()));
    let started = Instant::now();
    for actor in 0..1_000 {
        store.events_of(&[actor * 97 % ACTORS])?;
    }
    println!("  events_of: {:.0} µs per actor", started.elapsed().as_secs_f64() * 1e3);
    println!("  {} bytes per event", fs_err::metadata(store.path())?.len() / events);
    Ok(())
}

fn measure_decisions(folder: &Path, decisions: u64) -> Result<(), Failure> {
    let store = prepared(folder)?;
    let batches: Vec<Batch> = (0..decisions / BATCH).map(decision_batch).collect();
    report("decisions of 20 items", &store, &batches, BATCH)?;
    println!("  {} bytes per decision", fs_err::metadata(store.path())?.len() / decisions);
    Ok(())
}

fn report(label: &str, store: &Store, batches: &[Batch], per_batch: u64) -> Result<(), Failure> {
    let cpu_before = cpu_seconds();
    let started = Instant::now();
    let mut times: Vec<Duration> = Vec::with_capacity(batches.len());
    for batch in batches {
        let began = Instant::now();
        store.commit(batch)?;
        times.push(began.elapsed());
    }
    let total = started.elapsed();
    let tenth: Duration = times[times.len() - times.len().div_ceil(10)..].iter().sum();
    let last = rate(per_batch * times.len().div_ceil(10) as u64, tenth);
    if let (Some(before), Some(after)) = (cpu_before, cpu_seconds()) {
        let busy = Duration::from_secs_f64(after - before);
        println!("{label}: {:.0} per second of processor time", rate(per_batch * batches.len() as u64, busy));
    }
    times.sort_unstable();
    let millis = |quantile: usize| times[(times.len() - 1) * quantile / 100].as_secs_f64() * 1e3;
    println!("{label}: {:.0}/s, last tenth {last:.0}/s", rate(per_batch * batches.len() as u64, total));
    println!("  commit p50 {:.2} ms, p99 {:.2} ms, slowest {:.2} ms", millis(50), millis(99), millis(100));
    Ok(())
}

/// Processor time of this thread, where the system tells it: what a busy machine leaves comparable.
fn cpu_seconds() -> Option<f64> {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1e9)
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn name(text: String) -> ExternalId {
    ExternalId::parse("id", &text).expect("names of this program are valid")
}

/// A store with actors and items.
fn prepared(folder: &Path) -> Result<Store, Failure> {
    let store = Store::open(folder, StoreOptions::default())?;
    let actor =
        |ix| ActorRow { ix, kind: ActorKind::User, id: name(format!("user-{ix}")), linked_user: None, user: None };
    let item = |ix| ItemRow { ix, item: Some(Item::bare(name(format!("item-{ix}")))) };
    let batch =
        Batch { actors: (0..ACTORS).map(actor).collect(), items: (0..ITEMS).map(item).collect(), ..Batch::default() };
    store.commit(&batch)?;
    Ok(store)
}

/// A spread of numbers that looks random and is the same in every run.
fn scatter(n: u64) -> u64 {
    let mixed = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn event_batch(batch: u64, random: bool) -> Batch {
    let event = |n: u64| {
        let bits = u128::from(scatter(n)) << 64 | u128::from(scatter(n + 1));
        let ordered = u128::from(START_MS + batch) << 80 | (bits >> 48);
        let actor = (scatter(n) % u64::from(ACTORS)) as u32;
        let item = (scatter(n + 7) % u64::from(ITEMS)) as u32;
        let event = Event {
            id: name(Uuid::from_u128(if random { bits } else { ordered }).to_string()),
            kind: Kind::View,
            user: Some(name(format!("user-{actor}"))),
            session: None,
            item: Some(name(format!("item-{item}"))),
            time_ms: (START_MS + n) as i64,
            details: EventDetails::default(),
        };
        StagedEvent { event, actor, item: Some(item) }
    };
    Batch { events: (batch * BATCH..(batch + 1) * BATCH).map(event).collect(), ..Batch::default() }
}

fn decision_batch(batch: u64) -> Batch {
    let shown = |n: u64, rank: u64| ShownItem {
        item: (scatter(n * 20 + rank) % u64::from(ITEMS)) as u32,
        score: 1.0 / (rank + 1) as f32,
        source: ["cooccurrence", "session-knn", "slist", "popular"][(scatter(n + rank) % 4) as usize].into(),
        propensity: 1.0,
    };
    let decision = |n: u64| Decision {
        id: Uuid::from_u128(u128::from(START_MS + n) << 80 | 7 << 76 | u128::from(scatter(n))),
        actor: Some((scatter(n) % u64::from(ACTORS)) as u32),
        surface: Some("home".into()),
        model: "fusion-1".into(),
        arm: None,
        fallback: false,
        items: (0..20).map(|rank| shown(n, rank)).collect(),
    };
    Batch { decisions: (batch * BATCH..(batch + 1) * BATCH).map(decision).collect(), ..Batch::default() }
}
