//! The store itself: one writing connection behind a lock, a few reading ones, and the implementation of the port.

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use rusqlite::Connection;
use zhiyin_core::{
    ActorIx, Decision, DecisionId, ItemIx,
    clock::Millis,
    storage::{
        ActorRow, Appended, Batch, Erased, HighWater, ItemRow, LoggedEvent, OutcomeRow, Position, RejectedEvent,
        StagedEvent, Storage, StorageError,
    },
};

use crate::{
    commit::{self, Writer},
    decisions, erase,
    error::{file_error, storage_error, unusable},
    open, outcomes, read,
};

/// What a process may do with a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything. One process at a time.
    #[default]
    Owner,
    /// Read, and manage keys, model pointers and settings, beside a running owner: for commands such as `keys create`.
    Guest,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// What this process may do.
    pub access: Access,
    /// Bytes beyond which the database file may not grow (the write then fails with [`StorageError::Full`]); none for no limit.
    /// SQLite's log beside it takes about 64 MiB more.
    pub max_bytes: Option<u64>,
    /// After an unclean shutdown a file up to this many bytes is checked for damage before it is used (about a second per GiB from a
    /// warm disk). A larger one is only checked where it is read.
    pub check_bytes_max: u64,
    /// Reading connections that are kept open; more are opened for a moment when more threads read at once.
    pub readers: usize,
    /// Bytes of the page cache of the writing connection.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            access: Access::Owner,
            max_bytes: None,
            check_bytes_max: 1024 * 1024 * 1024,
            readers: 4,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Durable storage in a folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    access: Access,
    readers_max: usize,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Writer>,
    damaged: AtomicBool,
    // Last, so that the folder is free only when every connection is closed.
    _lock: Option<fs_err::File>,
}

impl Store {
    /// Opens the store in `folder`, and makes both if they are not there.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if the file is not a whole database; [`StorageError::Unusable`] if another process owns the folder, the
    /// file belongs to another application or to a newer version, or the folder cannot be written. Nothing was changed then.
    pub fn open(folder: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StorageError> {
        let folder = folder.as_ref();
        let path = open::database(folder);
        let lock = match options.access {
            Access::Owner => {
                open::make_folder(folder)?;
                Some(open::lock(folder)?)
            }
            Access::Guest => None,
        };
        if !open::inspect(&path, &options)? && options.access == Access::Guest {
            return Err(unusable(&path, "there is no such database", "start the server once, which makes it"));
        }
        let writer = Mutex::new(open::writer(&path, &options)?);
        let readers = Mutex::new(Vec::with_capacity(options.readers));
        let damaged = AtomicBool::new(false);
        Ok(Self { path, access: options.access, readers_max: options.readers, readers, writer, damaged, _lock: lock })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the database to the new file `to` while others read and write. The copy is compact, has everything that was committed when
    /// this began, and is on the disk when this returns. To restore it, stop the server, put the copy in the place of `zhiyin.db` and
    /// remove `zhiyin.db-wal` and `zhiyin.db-shm`.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] if `to` exists already or cannot be written; nothing is ever overwritten.
    pub fn backup(&self, to: &Path) -> Result<(), StorageError> {
        if to.exists() {
            return Err(unusable(to, "it exists already", "choose a new name"));
        }
        let partial = to.with_extension("partial");
        let reader = open::reader(&self.path)?;
        let name = partial.display().to_string();
        reader.execute("VACUUM INTO ?1", [name]).map_err(|error| storage_error(&partial, &error))?;
        let publish = || {
            fs_err::File::open(&partial)?.sync_all()?;
            fs_err::rename(&partial, to)?;
            match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => fs_err::File::open(parent)?.sync_all(),
                None => Ok(()),
            }
        };
        publish().map_err(|error: std::io::Error| file_error(to, &error))
    }

    /// The same as [`Storage::outcomes`], counted anew from the decisions and the events. Takes a look at every decision of the window.
    ///
    /// # Errors
    /// As every reading method.
    pub fn recount_outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError> {
        self.read(|connection| outcomes::recounted(connection, &window_ms))
    }

    /// Reads from one consistent state, without waiting for the writer.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StorageError> {
        let idle = self.readers.lock().pop();
        let connection = idle.map_or_else(|| open::reader(&self.path), Ok)?;
        let snapshot = connection.unchecked_transaction().map_err(|error| self.failed(&error))?;
        let answer = work(&snapshot).map_err(|error| self.failed(&error));
        drop(snapshot);
        let mut readers = self.readers.lock();
        if readers.len() < self.readers_max {
            readers.push(connection);
        }
        answer
    }

    /// Writes as one process among others.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        work(&mut self.writer.lock().connection).map_err(|error| self.failed(&error))
    }

    fn require_owner(&self) -> Result<(), StorageError> {
        match self.access {
            Access::Owner => Ok(()),
            Access::Guest => {
                Err(unusable(&self.path, "it was opened as a guest", "send the change to the server that owns it"))
            }
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> StorageError {
        let error = storage_error(&self.path, error);
        if matches!(error, StorageError::Damaged { .. }) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.readers.lock().clear();
        if self.access == Access::Owner && !self.damaged.load(Ordering::Relaxed) {
            // If this fails the next start checks the file, which is what it should do then.
            let _ = open::set_clean(&self.writer.lock().connection, true);
        }
    }
}

/// Refuses what the tables could not give back as it was.
pub(crate) fn check_events(events: &[StagedEvent]) -> Result<(), StorageError> {
    let unnumbered = |staged: &&StagedEvent| staged.item.is_some() != staged.event.item.is_some();
    let nameless = |staged: &&StagedEvent| staged.event.user.is_none() && staged.event.session.is_none();
    if let Some(staged) = events.iter().find(unnumbered) {
        let id = &staged.event.id;
        return Err(StorageError::Other(format!("event {id} must have an item and its number, or neither of them")));
    }
    match events.iter().find(nameless) {
        Some(staged) => {
            Err(StorageError::Other(format!("event {} names neither a user nor a session", staged.event.id)))
        }
        None => Ok(()),
    }
}

/// Refuses events about an actor or item that is neither in the batch nor known.
pub(crate) fn check_numbers(
    batch: &Batch,
    actor_known: impl Fn(ActorIx) -> bool,
    item_known: impl Fn(ItemIx) -> bool,
) -> Result<(), StorageError> {
    let actors: HashSet<ActorIx> = batch.actors.iter().map(|row| row.ix).collect();
    let items: HashSet<ItemIx> = batch.items.iter().map(|row| row.ix).collect();
    for StagedEvent { event, actor, item } in &batch.events {
        let what = match item {
            _ if !actor_known(*actor) && !actors.contains(actor) => format!("actor {actor}"),
            Some(item) if !item_known(*item) && !items.contains(item) => format!("item {item}"),
            _ => continue,
        };
        let rule = "which was never written or was erased; write it in the same batch or before";
        return Err(StorageError::Other(format!("event {} names {what}, {rule}", event.id)));
    }
    Ok(())
}

impl Storage for Store {
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError> {
        self.require_owner()?;
        check_events(&batch.events)?;
        let mut writer = self.writer.lock();
        check_numbers(batch, |ix| writer.actors.has(ix), |ix| writer.items.has(ix))?;
        let commit = if batch.deferred { commit::commit_deferred } else { commit::commit };
        commit(&mut writer, batch).map_err(|error| self.failed(&error))
    }

    fn sync(&self) -> Result<(), StorageError> {
        let log = open::log(&self.path);
        let synced = fs_err::File::open(&log).and_then(|log| log.sync_data());
        synced.map_err(|error| file_error(&log, &error))
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StorageError> {
        self.read(|connection| read::events_after(connection, after, limit))
    }

    fn events_of(&self, actors: &[ActorIx]) -> Result<Vec<LoggedEvent>, StorageError> {
        self.read(|connection| read::events_of(connection, actors))
    }

    fn last_position(&self) -> Result<Position, StorageError> {
        self.read(read::last_position)
    }

    fn actors_from(&self, from: ActorIx, limit: usize) -> Result<Vec<ActorRow>, StorageError> {
        self.read(|connection| read::actors_from(connection, from, limit))
    }

    fn items_from(&self, from: ItemIx, limit: usize) -> Result<Vec<ItemRow>, StorageError> {
        self.read(|connection| read::items_from(connection, from, limit))
    }

    fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, StorageError> {
        self.read(|connection| read::rejected(connection, before, limit))
    }

    fn decisions(
        &self,
        window_ms: Range<Millis>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError> {
        self.read(|connection| decisions::within(connection, &window_ms, after, limit))
    }

    fn outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError> {
        self.read(|connection| outcomes::summed(connection, &window_ms))
    }

    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError> {
        self.require_owner()?;
        erase::erase(&mut self.writer.lock(), actors).map_err(|error| self.failed(&error))
    }

    fn high_water(&self) -> Result<HighWater, StorageError> {
        self.read(open::high_water)
    }

    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError> {
        self.read(|connection| read::import_progress(connection, file_hash))
    }
}
