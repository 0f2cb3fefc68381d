//! A process that commits is killed at many moments: what it was told is durable is there, once.
//!
//! The writing process is this test program again, started with a folder in its environment.

mod common;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use common::*;
use zhiyin_core::{
    Kind,
    storage::{Appended, Batch, StagedEvent, Storage},
};
use zhiyin_store::Store;

const FOLDER: &str = "ZHIYIN_CRASH_FOLDER";
const ROUND: &str = "ZHIYIN_CRASH_ROUND";
const KILLS: u64 = 24;
const BATCH: u64 = 20;

/// Events of one batch of one round; every fifth names a decision that comes a batch later.
fn batch_of(round: u64, batch: u64) -> Batch {
    let staged = |n: u64| {
        let staged = event(&format!("e-{round}-{batch}-{n}"), Kind::Click, (n % 4) as u32, (n % 6) as u32);
        if n.is_multiple_of(5) { after(decision_of(round, batch).id, staged) } else { staged }
    };
    let events: Vec<StagedEvent> = (0..BATCH).map(staged).collect();
    let decisions = if batch > 0 { vec![decision_of(round, batch - 1)] } else { Vec::new() };
    Batch { events, decisions, import_mark: Some((format!("file-{round}"), batch)), ..cast() }
}

fn decision_of(round: u64, batch: u64) -> zhiyin_core::Decision {
    decision(START, round * 1_000_000 + batch, Some(0), "m-1", &[(0, "a"), (5, "b"), (3, "a")])
}

/// The writing process: says `BATCH POSITION…` for each batch that was committed. Does nothing in a normal test run.
#[test]
fn write_until_killed() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else { return };
    let round: u64 = round.parse().unwrap();
    let store = open(Path::new(&folder));
    let mut out = std::io::stdout().lock();
    for batch in 0.. {
        let appended = store.commit(&batch_of(round, batch)).unwrap();
        // A retry, as of a client that missed the answer.
        assert_eq!(store.commit(&batch_of(round, batch)).unwrap(), [Appended::Duplicate; BATCH as usize]);
        let positions: Vec<String> = appended.iter().map(position).collect();
        writeln!(out, "ack {batch} {}", positions.join(" ")).unwrap();
        out.flush().unwrap();
    }
}

fn position(appended: &Appended) -> String {
    match appended {
        Appended::At(position) => position.to_string(),
        Appended::Duplicate => panic!("a new event cannot be a duplicate"),
    }
}

fn start_writer(folder: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "write_until_killed", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs the writer, kills it some time after its first acknowledgement, and collects what it acknowledged: name to place.
fn acknowledged(folder: &Path, round: u64) -> HashMap<String, u64> {
    let mut writer = start_writer(folder, round);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.contains("ack ")).unwrap();
    let collector = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
    // Spread over some commits and over the moments within one.
    thread::sleep(Duration::from_micros(round * 7_919 % 25_000));
    writer.kill().unwrap();
    writer.wait().unwrap();
    let mut places = HashMap::new();
    for line in std::iter::once(first).chain(collector.join().unwrap()) {
        let Some((_, line)) = line.split_once("ack ") else { continue };
        let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        // A line that the kill cut short acknowledges nothing.
        if numbers.len() as u64 == BATCH + 1 {
            let named = |n: usize| format!("e-{round}-{}-{n}", numbers[0]);
            places.extend(numbers[1..].iter().enumerate().map(|(n, &place)| (named(n), place)));
        }
    }
    places
}

fn check(store: &Store, acknowledged: &HashMap<String, u64>) {
    let logged = store.events_after(0, usize::MAX).unwrap();
    let mut places: HashMap<String, u64> = HashMap::new();
    for event in &logged {
        let twice = places.insert(event.staged.event.id.to_string(), event.position);
        assert_eq!(twice, None, "{} is in the log twice", event.staged.event.id);
    }
    for (name, place) in acknowledged {
        assert_eq!(places.get(name), Some(place), "{name} was acknowledged");
    }
    assert_eq!(logged.len() as u64 % BATCH, 0, "batches are whole");
    assert!(logged.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(store.outcomes(ALWAYS).unwrap(), store.recount_outcomes(ALWAYS).unwrap());
}

#[test]
fn no_acknowledged_event_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = HashMap::new();
    for round in 0..KILLS {
        let acknowledged = acknowledged(folder.path(), round);
        assert!(acknowledged.len() as u64 >= BATCH);
        let batches = acknowledged.len() as u64 / BATCH;
        all.extend(acknowledged);
        let store = open(folder.path());
        check(&store, &all);
        let mark = store.import_progress(&format!("file-{round}")).unwrap().unwrap();
        assert!(mark + 1 >= batches, "the mark of the import is not behind what was acknowledged");
        let logged = store.events_after(0, usize::MAX).unwrap();
        let of_round = logged.iter().filter(|event| event.staged.event.id.as_str().starts_with(&format!("e-{round}-")));
        assert_eq!(of_round.count() as u64, (mark + 1) * BATCH, "the mark tells exactly what is there");
    }
}
