//! Vectors of texts, so that a text is encoded once: `vectors.db`, a file of its own that may be deleted.
//!
//! Several processes may have it open. A commit doesn't wait for the disk: the death of the process loses nothing, a power loss at most the
//! newest vectors, and never the file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use zhiyin_core::{VectorCache, VectorKey, language::KeepError, storage::StorageError};

use crate::{error::storage_error, open, schema::migrate};

/// Name of the file in its folder.
pub const VECTOR_DATABASE: &str = "vectors.db";
const MIGRATIONS: &[&str] = &[include_str!("schema/vectors-v1.sql")];
/// How long another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Share of the bound that is left when vectors have to go, so that they don't go one by one.
const LEFT: f64 = 0.9;

struct Inner {
    connection: Connection,
    /// Number of this opening.
    tick: i64,
}

/// The durable cache of vectors.
pub struct VectorStore {
    path: PathBuf,
    bytes_max: u64,
    inner: Mutex<Inner>,
}

impl VectorStore {
    /// Opens the file in a folder, and makes it if it isn't there. `bytes_max` bounds keys and vectors; SQLite's own bookkeeping comes on
    /// top.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if the file is damaged; it may be deleted, and the texts are encoded again.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, StorageError> {
        open::make_folder(folder)?;
        let path = folder.join(VECTOR_DATABASE);
        let inner = open_file(&path).map_err(|error| storage_error(&path, &error))?;
        Ok(Self { path, bytes_max, inner: Mutex::new(inner) })
    }

    fn run<T>(&self, act: impl FnOnce(&mut Inner) -> rusqlite::Result<T>) -> Result<T, KeepError> {
        act(&mut self.inner.lock()).map_err(|error| KeepError(storage_error(&self.path, &error).to_string()))
    }
}

fn open_file(path: &Path) -> rusqlite::Result<Inner> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut connection, MIGRATIONS)?;
    let newest = "SELECT coalesce(max(used), 0) FROM vectors";
    let tick = connection.query_row(newest, [], |row| row.get::<_, i64>(0))? + 1;
    Ok(Inner { connection, tick })
}

impl Inner {
    fn get(&mut self, keys: &[VectorKey]) -> rusqlite::Result<Vec<Option<Vec<f32>>>> {
        let tick = self.tick;
        let transaction = self.connection.transaction()?;
        let mut found = Vec::with_capacity(keys.len());
        {
            let mut select = transaction.prepare_cached("SELECT vector, used FROM vectors WHERE key = ?1")?;
            let mut touch = transaction.prepare_cached("UPDATE vectors SET used = ?2 WHERE key = ?1")?;
            for key in keys {
                let row = select.query_row(params![key], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).optional()?;
                if row.as_ref().is_some_and(|(_, used)| *used < tick) {
                    touch.execute(params![key, tick])?;
                }
                found.push(row.map(|(bytes, _): (Vec<u8>, _)| numbers(&bytes)));
            }
        }
        transaction.commit()?;
        Ok(found)
    }

    fn put(&mut self, vectors: &[(VectorKey, &[f32])], bytes_max: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let insert = "INSERT OR REPLACE INTO vectors (key, used, bytes, vector) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = transaction.prepare_cached(insert)?;
            for (key, vector) in vectors {
                let value: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                let bytes = i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
                insert.execute(params![key, self.tick, bytes, value])?;
            }
        }
        shrink(&transaction, bytes_max)?;
        transaction.commit()
    }
}

/// Drops the least recently used vectors if there are more bytes than allowed.
fn shrink(connection: &Connection, bytes_max: u64) -> rusqlite::Result<()> {
    let sum = "SELECT coalesce(sum(bytes), 0) FROM vectors";
    let bytes: u64 = connection.prepare_cached(sum)?.query_row([], |row| crate::encode::unsigned(row, 0))?;
    if bytes <= bytes_max {
        return Ok(());
    }
    // What is older than the newest that fit together.
    let surplus = "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM
                       (SELECT rowid, sum(bytes) OVER (ORDER BY used DESC, rowid DESC) AS total FROM vectors) WHERE total > ?1)";
    connection.execute(surplus, params![(bytes_max as f64 * LEFT) as i64])?;
    Ok(())
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

impl VectorCache for VectorStore {
    fn get(&self, keys: &[VectorKey]) -> Result<Vec<Option<Vec<f32>>>, KeepError> {
        self.run(|inner| inner.get(keys))
    }

    fn put(&self, vectors: &[(VectorKey, &[f32])]) -> Result<(), KeepError> {
        self.run(|inner| inner.put(vectors, self.bytes_max))
    }
}
