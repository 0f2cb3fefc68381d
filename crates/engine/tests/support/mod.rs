//! What the tests of whole engines share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use zhiyin_core::{
    ActorIx, Decision, DecisionId, EventInput, ExternalId, Item, ItemIx, TestClock, TimeInput, User,
    storage::{
        ActorRow, Appended, Batch, Erased, HighWater, ItemRow, LoggedEvent, OutcomeRow, Position, RejectedEvent,
        Storage, StorageError,
    },
};
use zhiyin_engine::{Engine, EngineConfig};
use zhiyin_store::MemoryStorage;

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
    pub storage: Arc<Flaky>,
    pub clock: Arc<TestClock>,
    pub folder: tempfile::TempDir,
    pub config: EngineConfig,
}

impl Bench {
    pub fn new(config: EngineConfig) -> Self {
        let (storage, clock) = (Arc::new(Flaky::default()), Arc::new(TestClock::at(NOW_MS)));
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

fn open(storage: &Arc<Flaky>, folder: &Path, config: &EngineConfig, clock: &Arc<TestClock>) -> Arc<Engine> {
    Engine::open(Arc::clone(storage) as Arc<dyn Storage>, folder, config.clone(), Arc::clone(clock) as _).unwrap()
}

/// Storage in memory that can be told to fail, and to let commits wait.
#[derive(Default)]
pub struct Flaky {
    pub inner: MemoryStorage,
    pub commits_fail: AtomicBool,
    pub erasures_fail: AtomicBool,
    /// Commits wait while somebody holds this for writing.
    pub gate: RwLock<()>,
}

fn full() -> StorageError {
    StorageError::Full { path: "zhiyin.db".into() }
}

impl Storage for Flaky {
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError> {
        let _open = self.gate.read();
        if self.commits_fail.load(Ordering::SeqCst) { Err(full()) } else { self.inner.commit(batch) }
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StorageError> {
        self.inner.events_after(after, limit)
    }

    fn events_of(&self, actors: &[ActorIx]) -> Result<Vec<LoggedEvent>, StorageError> {
        self.inner.events_of(actors)
    }

    fn last_position(&self) -> Result<Position, StorageError> {
        self.inner.last_position()
    }

    fn actors_from(&self, from: ActorIx, limit: usize) -> Result<Vec<ActorRow>, StorageError> {
        self.inner.actors_from(from, limit)
    }

    fn items_from(&self, from: ItemIx, limit: usize) -> Result<Vec<ItemRow>, StorageError> {
        self.inner.items_from(from, limit)
    }

    fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, StorageError> {
        self.inner.rejected(before, limit)
    }

    fn decisions(
        &self,
        window_ms: Range<i64>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError> {
        self.inner.decisions(window_ms, after, limit)
    }

    fn outcomes(&self, window_ms: Range<i64>) -> Result<Vec<OutcomeRow>, StorageError> {
        self.inner.outcomes(window_ms)
    }

    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError> {
        if self.erasures_fail.load(Ordering::SeqCst) { Err(full()) } else { self.inner.erase(actors) }
    }

    fn high_water(&self) -> Result<HighWater, StorageError> {
        self.inner.high_water()
    }

    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError> {
        self.inner.import_progress(file_hash)
    }
}
