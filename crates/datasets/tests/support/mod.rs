//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use zhiyin_core::{EventInput, Item, User};
use zhiyin_datasets::{LineProblem, Reader, Record, Source, open};

/// A file with this content, in a folder that lives as long as `dir`.
pub fn file(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    fs_err::write(&path, content).unwrap();
    path
}

/// Everything that a reader gave, by kind.
#[derive(Default)]
pub struct Read {
    pub events: Vec<EventInput>,
    pub items: Vec<Item>,
    pub users: Vec<User>,
    pub problems: Vec<LineProblem>,
}

impl Read {
    pub fn all(source: &Source) -> Self {
        Self::from_reader(open(source).unwrap())
    }

    pub fn from_reader(reader: Reader) -> Self {
        let mut read = Self::default();
        for record in reader {
            match record {
                Ok(Record::Event(event)) => read.events.push(event),
                Ok(Record::Item(item)) => read.items.push(item),
                Ok(Record::User(user)) => read.users.push(user),
                Err(problem) => read.problems.push(problem),
            }
        }
        read
    }

    /// (line, rule) of each problem.
    pub fn broken(&self) -> Vec<(u64, &'static str)> {
        self.problems.iter().map(|problem| (problem.line, problem.rule)).collect()
    }

    pub fn by_rule(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for problem in &self.problems {
            *counts.entry(problem.rule).or_default() += 1;
        }
        counts
    }
}

/// Root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The bundled data set.
pub fn bundled() -> PathBuf {
    root().join("data/online-retail/online_retail.csv.xz")
}

/// A folder of the research data beside the project; none, with a note on the terminal, when it isn't there.
#[allow(clippy::print_stderr, reason = "a test says what it skips")]
pub fn research(folder: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(folder);
    if !path.is_dir() {
        eprintln!("skipped: ../shared/data/{folder} isn't here, and it may not be shipped with the project");
        return None;
    }
    Some(path)
}
