//! What the tests of whole engines share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{path::Path, sync::Arc};

use zhiyin_core::{EventInput, ExternalId, Item, TestClock, TimeInput, User, storage::Storage};
use zhiyin_engine::{Engine, EngineConfig};
use zhiyin_store::FaultyStorage;

/// The time at which every test begins.
pub const NOW_MS: i64 = 1_800_000_000_000;

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub fn id(text: &str) -> ExternalId {
    ExternalId::parse("id", text).unwrap()
}

pub fn item(name: &str, title: &str) -> Item {
    Item { title: title.into(), ..Item::bare(id(name)) }
}

pub fn user(name: &str, country: &str) -> User {
    User { attributes: std::iter::once(("country".to_owned(), country.into())).collect(), ..User::bare(id(name)) }
}

pub fn event(kind: &str, user: &str, item: &str) -> EventInput {
    EventInput { kind: kind.into(), user: Some(user.into()), item: Some(item.into()), ..EventInput::default() }
}

pub fn at(event: EventInput, time_ms: i64) -> EventInput {
    EventInput { time: Some(TimeInput::Millis(time_ms)), ..event }
}

pub fn bought(quantity: f64, user: &str, item: &str) -> EventInput {
    EventInput { quantity: Some(quantity), ..event("purchase", user, item) }
}

/// An engine with all that can be changed from outside.
pub struct Bench {
    pub engine: Arc<Engine>,
    pub storage: Arc<FaultyStorage>,
    pub clock: Arc<TestClock>,
    pub folder: tempfile::TempDir,
    pub config: EngineConfig,
}

impl Bench {
    pub fn new(config: EngineConfig) -> Self {
        let (storage, clock) = (Arc::new(FaultyStorage::default()), Arc::new(TestClock::at(NOW_MS)));
        let folder = tempfile::tempdir().unwrap();
        let engine = open(&storage, folder.path(), &config, &clock);
        Self { engine, storage, clock, folder, config }
    }

    /// Stops without a snapshot and starts again.
    pub fn restart(&mut self) {
        self.engine = open(&self.storage, self.folder.path(), &self.config, &self.clock);
    }

    pub fn snapshots(&self) -> Vec<std::path::PathBuf> {
        let entries = fs_err::read_dir(self.folder.path().join("snapshots")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

fn open(storage: &Arc<FaultyStorage>, folder: &Path, config: &EngineConfig, clock: &Arc<TestClock>) -> Arc<Engine> {
    Engine::open(Arc::clone(storage) as Arc<dyn Storage>, folder, config.clone(), Arc::clone(clock) as _).unwrap()
}
