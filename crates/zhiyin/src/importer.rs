//! Feeds a data set into the engine, in batches, and keeps count of what became of each record.
//!
//! The place reached is written in the same transaction as the events, under a hash of the files: an import that was stopped goes on
//! where it stopped, and one that was finished does nothing.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use zhiyin_core::{EventInput, Item, User, storage::Storage};
use zhiyin_datasets::{LineProblem, Reader, Record, Source, rules};
use zhiyin_engine::request::{EventOutcome, EventStatus};

use crate::{home::Home, output};

/// Events that one transaction takes.
const EVENTS_PER_BATCH: usize = 5_000;
/// Bytes read at once while hashing.
const HASH_BYTES: usize = 1 << 20;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportReport {
    /// Records that an earlier run had taken already.
    pub resumed_after: u64,
    /// Items and users taken in.
    pub items: u64,
    /// Users taken in.
    pub users: u64,
    /// Events taken in, repaired ones included.
    pub kept: u64,
    /// Events taken in that the log had already.
    pub duplicates: u64,
    /// Records that were changed and taken in, by rule.
    pub repaired: BTreeMap<String, RuleCount>,
    /// Records that were left out, by rule.
    pub dropped: BTreeMap<String, RuleCount>,
}

/// How often a rule applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleCount {
    /// How often.
    pub count: u64,
    /// The first case, for a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub example: String,
}

impl ImportReport {
    fn count(rules: &mut BTreeMap<String, RuleCount>, rule: &str, times: u64, example: impl FnOnce() -> String) {
        let entry = rules.entry(rule.to_owned()).or_insert_with(|| RuleCount { count: 0, example: example() });
        entry.count += times;
    }

    fn drop_line(&mut self, problem: &LineProblem) {
        Self::count(&mut self.dropped, problem.rule, 1, || problem.to_string());
    }

    fn take(&mut self, outcome: EventOutcome) {
        let rule = outcome.rule.as_deref().unwrap_or("unnamed");
        let example = || outcome.reason.clone().unwrap_or_default();
        match outcome.status {
            EventStatus::Accepted => self.kept += 1,
            EventStatus::Duplicate => self.duplicates += 1,
            EventStatus::Repaired => {
                self.kept += 1;
                Self::count(&mut self.repaired, rule, 1, example);
            }
            EventStatus::Rejected => Self::count(&mut self.dropped, rule, 1, example),
        }
    }
}

/// Reads `source` into the engine; `bar` shows how far.
///
/// # Errors
/// Files that cannot be read, or not to their end; failing storage. What was taken until then stays, and the next run goes on from there.
pub fn import(home: &Home, source: &Source, bar: &ProgressBar) -> Result<ImportReport> {
    let hash = source_hash(source)?;
    let mut reader = zhiyin_datasets::open(source)?;
    let mut run = Run { home, hash, report: ImportReport::default(), batch: Batch::default() };
    run.resume(&mut reader)?;
    while let Some(record) = reader.next() {
        run.take(record)?;
        if run.batch.is_full() {
            run.flush(reader.position())?;
            show(bar, &reader);
        }
    }
    run.flush(reader.position())?;
    show(bar, &reader);
    for (rule, times) in reader.repairs() {
        ImportReport::count(&mut run.report.repaired, rule, *times, String::new);
    }
    Ok(run.report)
}

fn show(bar: &ProgressBar, reader: &Reader) {
    let (done, total) = reader.progress();
    bar.set_length(total);
    bar.set_position(done);
}

#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    users: Vec<User>,
    events: Vec<EventInput>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.items.len() + self.users.len() + self.events.len() >= EVENTS_PER_BATCH
    }
}

struct Run<'a> {
    home: &'a Home,
    hash: String,
    report: ImportReport,
    batch: Batch,
}

impl Run<'_> {
    fn resume(&mut self, reader: &mut Reader) -> Result<()> {
        if let Some(position) = self.home.store.import_progress(&self.hash)? {
            reader.skip_to(position);
            self.report.resumed_after = position;
        }
        Ok(())
    }

    fn take(&mut self, record: Result<Record, LineProblem>) -> Result<()> {
        match record {
            Ok(Record::Event(event)) => self.batch.events.push(event),
            Ok(Record::Item(item)) => self.batch.items.push(item),
            Ok(Record::User(user)) => self.batch.users.push(user),
            Err(problem) if problem.rule == rules::UNREADABLE => {
                bail!("{problem}; what came before was taken in; repair the file and import it again");
            }
            Err(problem) => self.report.drop_line(&problem),
        }
        Ok(())
    }

    /// Writes what was gathered: items and users first, since the events name them.
    fn flush(&mut self, position: u64) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.report.items += batch.items.len() as u64;
        self.report.users += batch.users.len() as u64;
        let engine = &self.home.engine;
        if !batch.items.is_empty() {
            wait(engine.put_items(batch.items))?;
        }
        if !batch.users.is_empty() {
            wait(engine.put_users(batch.users))?;
        }
        let outcomes = engine.ingest_blocking(batch.events, Some((self.hash.clone(), position)))?;
        outcomes.into_iter().for_each(|outcome| self.report.take(outcome));
        Ok(())
    }
}

/// Waits for one of the engine's futures on this thread. They need no reactor: another thread completes them.
fn wait<T, E: Into<anyhow::Error>>(future: impl Future<Output = Result<T, E>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("cannot start the runtime")?;
    runtime.block_on(future).map_err(Into::into)
}

/// Hash over the format, the column mapping and the bytes of every file of a source.
fn source_hash(source: &Source) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.format.name().as_bytes());
    hasher.update(format!("{:?}", source.columns).as_bytes());
    for path in files(&source.path)?.iter().chain(&source.items_path) {
        hash_file(path, &mut hasher)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs_err::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn hash_file(path: &Path, hasher: &mut blake3::Hasher) -> Result<()> {
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hasher.update(&buffer[..n]),
        };
    }
}

/// Prints what was kept, repaired and dropped, and why.
pub fn print(report: &ImportReport) {
    use output::Align::{Left, Right};
    if report.resumed_after > 0 {
        output::say(format_args!(
            "went on after record {}, which an earlier import had reached",
            output::count(report.resumed_after)
        ));
    }
    let plain = |name: &str, n: u64| vec![name.to_owned(), String::new(), output::count(n), String::new()];
    let mut rows = vec![
        plain("items", report.items),
        plain("users", report.users),
        plain("events kept", report.kept),
        plain("events known before", report.duplicates),
    ];
    for (what, rules) in [("repaired", &report.repaired), ("dropped", &report.dropped)] {
        let row = |(rule, seen): (&String, &RuleCount)| {
            vec![what.to_owned(), rule.clone(), output::count(seen.count), seen.example.clone()]
        };
        rows.extend(rules.iter().map(row));
    }
    let columns = [("what", Left), ("rule", Left), ("records", Right), ("first case", Left)];
    output::say(output::table(&columns, rows));
}
