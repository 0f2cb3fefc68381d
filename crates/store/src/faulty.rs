//! Storage in memory that can be told to block and to fail, for tests of what is built on storage.

use std::ops::Range;

use parking_lot::{Condvar, Mutex};
use zhiyin_core::{
    ActorIx, Decision, DecisionId, ItemIx,
    clock::Millis,
    storage::{
        ActorRow, Appended, Batch, Erased, HighWater, ItemRow, LoggedEvent, OutcomeRow, Position, RejectedEvent,
        Storage, StorageError,
    },
};

use crate::MemoryStorage;

/// [`MemoryStorage`] with switches.
#[derive(Default)]
pub struct FaultyStorage {
    inner: MemoryStorage,
    /// Commits wait while this is set.
    blocked: Mutex<bool>,
    changed: Condvar,
    /// Commits find the disk full while this is set.
    full: Mutex<bool>,
    /// Erasures find the disk full while this is set.
    erasures_fail: Mutex<bool>,
}

impl FaultyStorage {
    /// Lets commits wait, or go on.
    pub fn block(&self, blocked: bool) {
        *self.blocked.lock() = blocked;
        self.changed.notify_all();
    }

    /// Lets commits find the disk full, or find room.
    pub fn fill(&self, full: bool) {
        *self.full.lock() = full;
    }

    /// Lets erasures find the disk full, or find room.
    pub fn fail_erasures(&self, fail: bool) {
        *self.erasures_fail.lock() = fail;
    }

    fn room(full: &Mutex<bool>) -> Result<(), StorageError> {
        if *full.lock() { Err(StorageError::Full { path: "zhiyin.db".into() }) } else { Ok(()) }
    }
}

impl Storage for FaultyStorage {
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError> {
        let mut blocked = self.blocked.lock();
        while *blocked {
            self.changed.wait(&mut blocked);
        }
        drop(blocked);
        Self::room(&self.full)?;
        self.inner.commit(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.inner.sync()
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
        window_ms: Range<Millis>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError> {
        self.inner.decisions(window_ms, after, limit)
    }

    fn outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError> {
        self.inner.outcomes(window_ms)
    }

    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError> {
        Self::room(&self.erasures_fail)?;
        self.inner.erase(actors)
    }

    fn high_water(&self) -> Result<HighWater, StorageError> {
        self.inner.high_water()
    }

    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError> {
        self.inner.import_progress(file_hash)
    }
}
