//! What language models keep: results by content, use per day, and background jobs.
//!
//! This is a file of its own beside the log, `language.db`: results come and go all the time, may be lost, and must not delay an event or
//! swell a backup. A commit therefore doesn't wait for the disk (`synchronous=NORMAL`): the death of the process loses nothing, a power
//! loss at most the newest commits, and never the file.

mod jobs;

use crate::error::storage_error;
use crate::schema::migrate;
use crate::{encode::unsigned, open};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use zhiyin_core::language::{CacheStatus, DayUsage, KeepError, ResultCache, ResultKey, TokenUsage, UsageLedger};
use zhiyin_core::storage::StorageError;

/// Name of the file in the store's folder.
pub const LANGUAGE_DATABASE: &str = "language.db";
const MIGRATIONS: &[&str] = &[include_str!("schema/language-v1.sql")];
/// Results dropped in one statement while room is made.
const EVICTED_AT_ONCE: i64 = 64;

struct Inner {
    connection: Connection,
    bytes: u64,
    tick: i64,
    evicted: u64,
}

/// The durable cache, ledger and jobs of language models.
pub struct LanguageStore {
    path: PathBuf,
    bytes_max: u64,
    inner: Mutex<Inner>,
}

impl LanguageStore {
    /// Opens the file in the store's folder, and makes it if it isn't there. `bytes_max` bounds the keys, model names and values of
    /// results; SQLite's own bookkeeping comes on top. One process at a time: that which owns the store.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if the file is damaged; it may be deleted, which forgets results, today's use and jobs.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, StorageError> {
        open::make_folder(folder)?;
        let path = folder.join(LANGUAGE_DATABASE);
        let inner = open_file(&path).map_err(|error| storage_error(&path, &error))?;
        let store = Self { path, bytes_max, inner: Mutex::new(inner) };
        store.run(|inner| inner.shrink(bytes_max)).map_err(|KeepError(error)| StorageError::Other(error))?;
        Ok(store)
    }

    fn run<T>(&self, act: impl FnOnce(&mut Inner) -> rusqlite::Result<T>) -> Result<T, KeepError> {
        act(&mut self.inner.lock()).map_err(|error| KeepError(storage_error(&self.path, &error).to_string()))
    }
}

fn open_file(path: &Path) -> rusqlite::Result<Inner> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection, MIGRATIONS)?;
    let sums = "SELECT coalesce(sum(bytes), 0), coalesce(max(used), 0) FROM results";
    let (bytes, tick) = connection.query_row(sums, [], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
    Ok(Inner { connection, bytes, tick, evicted: 0 })
}

impl Inner {
    fn get(&mut self, key: &ResultKey) -> rusqlite::Result<Option<Vec<u8>>> {
        self.tick += 1;
        let touch = "UPDATE results SET used = ?2 WHERE key = ?1 RETURNING value";
        self.connection.prepare_cached(touch)?.query_row(params![key, self.tick], |row| row.get(0)).optional()
    }

    fn put(&mut self, key: &ResultKey, model: &str, value: &[u8], bytes: u64) -> rusqlite::Result<()> {
        self.tick += 1;
        let transaction = self.connection.transaction()?;
        let removed = remove(&transaction, "key = ?1", params![key])?;
        let insert = "INSERT INTO results (key, model, used, bytes, value) VALUES (?1, ?2, ?3, ?4, ?5)";
        transaction.prepare_cached(insert)?.execute(params![key, model, self.tick, signed(bytes), value])?;
        transaction.commit()?;
        self.bytes = self.bytes.saturating_sub(removed.bytes) + bytes;
        Ok(())
    }

    fn shrink(&mut self, bytes_max: u64) -> rusqlite::Result<()> {
        while self.bytes > bytes_max {
            let oldest = "rowid IN (SELECT rowid FROM results ORDER BY used LIMIT ?1)";
            // One by one near the bound, so that nothing is dropped needlessly; a bound that was lowered by far is reached faster.
            let count = if self.bytes > 2 * bytes_max { EVICTED_AT_ONCE } else { 1 };
            let removed = remove(&self.connection, oldest, params![count])?;
            if removed.entries == 0 {
                break;
            }
            self.bytes = self.bytes.saturating_sub(removed.bytes);
            self.evicted += removed.entries;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Removed {
    entries: u64,
    bytes: u64,
}

fn remove(connection: &Connection, which: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<Removed> {
    let mut delete = connection.prepare_cached(&format!("DELETE FROM results WHERE {which} RETURNING bytes"))?;
    let mut rows = delete.query(parameters)?;
    let mut removed = Removed::default();
    while let Some(row) = rows.next()? {
        removed.entries += 1;
        removed.bytes += unsigned(row, 0)?;
    }
    Ok(removed)
}

impl ResultCache for LanguageStore {
    fn get(&self, key: &ResultKey) -> Result<Option<Vec<u8>>, KeepError> {
        self.run(|inner| inner.get(key))
    }

    fn put(&self, key: &ResultKey, model: &str, value: &[u8]) -> Result<(), KeepError> {
        let bytes = (size_of::<ResultKey>() + model.len() + value.len()) as u64;
        if bytes > self.bytes_max {
            return Ok(());
        }
        self.run(|inner| {
            inner.put(key, model, value, bytes)?;
            inner.shrink(self.bytes_max)
        })
    }

    fn forget_model(&self, model: &str) -> Result<u64, KeepError> {
        self.run(|inner| {
            let removed = remove(&inner.connection, "model = ?1", params![model])?;
            inner.bytes = inner.bytes.saturating_sub(removed.bytes);
            Ok(removed.entries)
        })
    }

    fn status(&self) -> Result<CacheStatus, KeepError> {
        self.run(|inner| {
            let entries = inner.connection.query_row("SELECT count(*) FROM results", [], |row| unsigned(row, 0))?;
            Ok(CacheStatus { entries, bytes: inner.bytes, bytes_max: self.bytes_max, evicted: inner.evicted })
        })
    }
}

impl UsageLedger for LanguageStore {
    fn load(&self, runtime: &str, day: i64) -> Result<DayUsage, KeepError> {
        let select = "SELECT requests, prompt_tokens, cached_tokens, completion_tokens, money FROM usage
                      WHERE runtime = ?1 AND day = ?2";
        self.run(|inner| {
            let found =
                inner.connection.prepare_cached(select)?.query_row(params![runtime, day], day_usage).optional()?;
            Ok(found.unwrap_or_default())
        })
    }

    fn store(&self, runtime: &str, day: i64, usage: &DayUsage) -> Result<(), KeepError> {
        let replace = "INSERT OR REPLACE INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let DayUsage { requests, tokens, money } = *usage;
        let (prompt, cached, completion) = (signed(tokens.prompt), signed(tokens.cached), signed(tokens.completion));
        self.run(|inner| {
            let mut replace = inner.connection.prepare_cached(replace)?;
            replace.execute(params![runtime, day, signed(requests), prompt, cached, completion, money]).map(|_| ())
        })
    }
}

fn day_usage(row: &Row<'_>) -> rusqlite::Result<DayUsage> {
    let tokens = TokenUsage { prompt: unsigned(row, 1)?, cached: unsigned(row, 2)?, completion: unsigned(row, 3)? };
    Ok(DayUsage { requests: unsigned(row, 0)?, tokens, money: row.get(4)? })
}

/// SQLite's numbers have a sign; no count of ours comes near the bound.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
