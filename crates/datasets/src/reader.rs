//! The stream of records that every format gives.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zhiyin_core::{EventInput, Item, User};

use crate::{
    DatasetError, Format, LineProblem, Options, Source, csv_events,
    input::{ByteCount, Lines},
    items, jsonl, movielens, retail, reviews, sequences, sessions,
};

/// One thing that a data set says.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Something happened. Every event has an identifier that is the same each time the file is read, so that importing twice counts
    /// once.
    Event(EventInput),
    /// What is known of an item.
    Item(Item),
    /// What is known of a user.
    User(User),
}

/// A record or a problem, and what was repaired on the way.
pub(crate) struct Step {
    pub(crate) outcome: Result<Record, LineProblem>,
    pub(crate) repair: Option<&'static str>,
}

impl From<Result<Record, LineProblem>> for Step {
    fn from(outcome: Result<Record, LineProblem>) -> Self {
        Self { outcome, repair: None }
    }
}

impl From<Record> for Step {
    fn from(record: Record) -> Self {
        Ok(record).into()
    }
}

impl From<LineProblem> for Step {
    fn from(problem: LineProblem) -> Self {
        Err(problem).into()
    }
}

/// Steps of a format, in the order in which they are given.
pub(crate) type Steps = Box<dyn Iterator<Item = Step> + Send>;

/// What a format opened.
pub(crate) struct Opened {
    pub(crate) steps: Steps,
    pub(crate) bytes: ByteCount,
    /// For a format that is held in memory: how many steps there are. Its files are read before the first one.
    pub(crate) loaded: Option<u64>,
}

/// Reads a data set, one record after the other: items and users first (except in `jsonl`, where they stand where they stand), then the
/// events. MovieLens and Online Retail come in the order of time, ties in the order of the file; the other formats in the order of
/// the file. What is wrong with a line comes out as a [`LineProblem`], and reading goes on.
pub struct Reader {
    steps: Steps,
    bytes: ByteCount,
    loaded: Option<u64>,
    position: u64,
    repairs: BTreeMap<&'static str, u64>,
}

impl Reader {
    /// How far reading has come: (done, total), in bytes of the files as they are stored. For the formats that are held in memory it
    /// follows the records that were handed out, because those files are read when they are opened.
    pub fn progress(&self) -> (u64, u64) {
        let total = self.bytes.total();
        let done = match self.loaded {
            Some(0) => total,
            Some(steps) => (u128::from(total) * u128::from(self.position.min(steps)) / u128::from(steps)) as u64,
            None => self.bytes.done(),
        };
        (done, total)
    }

    /// How many records and problems were handed out (or skipped).
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Skips to a position that an earlier reader of the same source reported, to resume where that one stopped. Positions, not lines:
    /// some formats come in another order than their lines. Does nothing when the reader is there already or past it.
    pub fn skip_to(&mut self, position: u64) {
        while self.position < position && self.steps.next().is_some() {
            self.position += 1;
        }
    }

    /// How many records were repaired, by rule, among those handed out.
    pub fn repairs(&self) -> &BTreeMap<&'static str, u64> {
        &self.repairs
    }
}

impl Iterator for Reader {
    type Item = Result<Record, LineProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        self.position += 1;
        if let Some(rule) = step.repair {
            *self.repairs.entry(rule).or_default() += 1;
        }
        Some(step.outcome)
    }
}

/// Opens a data set with the default options: see [`open_with`].
///
/// # Errors
/// As [`open_with`].
pub fn open(source: &Source) -> Result<Reader, DatasetError> {
    open_with(source, &Options::default())
}

/// Opens a data set. Formats that must be sorted are read here, the others while the reader is used.
///
/// # Errors
/// A file that is missing or cannot be read; a header without the columns that are needed; for formats that are read here also a file
/// that is cut off or damaged.
pub fn open_with(source: &Source, options: &Options) -> Result<Reader, DatasetError> {
    let opened = match source.format {
        Format::OnlineRetail => retail::open(source, options.retail),
        Format::Movielens100k => movielens::open(source, &movielens::ML_100K),
        Format::Movielens1m => movielens::open(source, &movielens::ML_1M),
        Format::Sequences => sequences::open(source),
        Format::Sessions => sessions::open(source),
        Format::Csv => csv_events::open(source),
        Format::Jsonl => jsonl::open(source),
        Format::AmazonReviews => reviews::open(source),
    }?;
    let Opened { steps, bytes, loaded } = opened;
    Ok(Reader { steps, bytes, loaded, position: 0, repairs: BTreeMap::new() })
}

/// The file to read: the path itself, or the first of `names` that the folder has.
pub(crate) fn locate(path: &Path, names: &[&str]) -> Result<PathBuf, DatasetError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    names
        .iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| DatasetError::NoDataFile { path: path.display().to_string(), expected: names.join(", ") })
}

/// Items of the source's item table, if it has one, before `events`.
pub(crate) fn with_item_table(source: &Source, bytes: &mut ByteCount, events: Steps) -> Result<Steps, DatasetError> {
    match &source.items_path {
        Some(path) => Ok(Box::new(items::read(path, bytes)?.chain(events))),
        None => Ok(events),
    }
}

/// Opens a file in which each line that isn't blank is a record. `record` also gets the prefix of the events' identifiers.
pub(crate) fn open_lines(
    source: &Source,
    path: &Path,
    record: fn(&Lines, &str) -> Result<Record, LineProblem>,
) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let mut lines = Lines::open(path, &mut bytes)?;
    let prefix = lines.id_prefix();
    let records = steps(move || {
        while lines.advance()? {
            if !lines.bytes().trim_ascii().is_empty() {
                return record(&lines, &prefix).map(Some);
            }
        }
        Ok(None)
    });
    let steps = with_item_table(source, &mut bytes, records)?;
    Ok(Opened { steps, bytes, loaded: None })
}

/// Turns a function that gives the next record into steps. A file that cannot be read on ends them.
pub(crate) fn steps(mut next: impl FnMut() -> Result<Option<Record>, LineProblem> + Send + 'static) -> Steps {
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let outcome = next().transpose();
        ended = match &outcome {
            Some(Err(problem)) => problem.rule == crate::rules::UNREADABLE,
            Some(Ok(_)) => false,
            None => true,
        };
        outcome.map(Step::from)
    }))
}
