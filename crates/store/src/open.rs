//! Opening a folder: the lock, the checks that come before anything is written, and the settings of connections.

use std::{
    fs::TryLockError,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use zhiyin_core::storage::{HighWater, StorageError};

use crate::{
    commit::{NumberSet, Writer},
    encode::unsigned,
    error::{damaged, file_error, storage_error, unusable},
    schema::{self, APPLICATION_ID, MIGRATIONS},
    store::{Access, StoreOptions},
};

/// Name of the database in its folder.
pub const DATABASE: &str = "zhiyin.db";
/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const LOCK: &str = "zhiyin.lock";
/// How long to wait for another program that holds the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared.
const STATEMENTS_CACHED: usize = 64;
/// Page cache of each reading connection.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Pages of SQLite's log after which the writer folds it into the file (64 MiB): rarer is faster, and makes the log longer.
const CHECKPOINT_PAGES: i64 = 16_384;
/// Size to which the log is cut once it was folded into the file.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// A file up to this size is checked at every start: it takes a moment only.
const ALWAYS_CHECKED_BYTES: u64 = 32 * 1024 * 1024;

/// Takes the folder for this process, until the answer is dropped or the process ends in whatever way.
pub fn lock(folder: &Path) -> Result<fs_err::File, StorageError> {
    let path = folder.join(LOCK);
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| file_error(&path, &error))?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let remedy = "stop the other process, or choose another folder";
            Err(unusable(folder, "another process has the folder open", remedy))
        }
        Err(TryLockError::Error(error)) => Err(file_error(&path, &error)),
    }
}

/// Makes the folder, so that its name survives a power loss.
pub fn make_folder(folder: &Path) -> Result<(), StorageError> {
    let make = || {
        fs_err::create_dir_all(folder)?;
        match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => fs_err::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    make().map_err(|error: io::Error| file_error(folder, &error))
}

/// Looks at a file without writing to it: is it ours, is it whole, can this program read it? The answer is whether there was a file.
pub fn inspect(path: &Path, options: &StoreOptions) -> Result<bool, StorageError> {
    let bytes = fs_err::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes == 0 {
        return Ok(false);
    }
    check_magic(path)?;
    let connection = reader(path)?;
    let header = schema::header(&connection).map_err(|error| storage_error(path, &error))?;
    if header.empty && header.application_id == 0 {
        return Ok(false);
    }
    if header.application_id != APPLICATION_ID {
        return Err(unusable(path, "it belongs to another application", "choose another folder"));
    }
    check_version(path, header.version, options.access)?;
    check_whole(path, &connection, bytes, options.check_bytes_max)?;
    Ok(true)
}

/// Refuses what does not begin as a database does. SQLite itself takes a file of a few bytes for an empty database and overwrites it.
fn check_magic(path: &Path) -> Result<(), StorageError> {
    let mut beginning = [0_u8; MAGIC.len()];
    let read = fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    match read {
        Ok(()) if beginning == *MAGIC => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(file_error(path, &error)),
        _ => Err(damaged(path, "it does not begin as a database does")),
    }
}

fn check_version(path: &Path, version: usize, access: Access) -> Result<(), StorageError> {
    let known = MIGRATIONS.len();
    if version > known {
        let detail = format!("its schema has version {version}, this program knows versions up to {known}");
        return Err(unusable(path, detail, "use the newer program that wrote it, or restore an older backup"));
    }
    if version < known && access == Access::Guest {
        let detail = format!("its schema has version {version}, this program needs version {known}");
        return Err(unusable(path, detail, "start the server of this version once, which takes the file forward"));
    }
    Ok(())
}

/// Checks the pages of the file unless it is too large for the occasion.
fn check_whole(path: &Path, connection: &Connection, bytes: u64, bytes_max: u64) -> Result<(), StorageError> {
    let clean = mark(connection, "clean").map_err(|error| storage_error(path, &error))? == 1;
    if bytes > if clean { bytes_max.min(ALWAYS_CHECKED_BYTES) } else { bytes_max } {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| storage_error(path, &error))?;
    if found == "ok" { Ok(()) } else { Err(damaged(path, found.replace('\n', ": "))) }
}

/// A connection that only reads.
pub fn reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection, READER_CACHE_KIB)?;
        Ok(connection)
    };
    open().map_err(|error| storage_error(path, &error))
}

fn prepare(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "cache_size", -cache_kib)
}

/// The connection that writes. Brings the schema up to date if this process owns the folder.
pub fn writer(path: &Path, options: &StoreOptions) -> Result<Writer, StorageError> {
    open_writer(path, options).map_err(|error| storage_error(path, &error))
}

fn open_writer(path: &Path, options: &StoreOptions) -> rusqlite::Result<Writer> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if options.access == Access::Owner {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, i64::try_from(options.cache_bytes / 1024).unwrap_or(i64::MAX))?;
    if options.access == Access::Owner {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    if let Some(bytes) = options.max_bytes {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page_bytes;
        connection.pragma_update(None, "max_page_count", pages.max(1))?;
    }
    if options.access == Access::Owner {
        schema::migrate(&mut connection, MIGRATIONS)?;
        set_clean(&connection, false)?;
    }
    let marks = high_water(&connection)?;
    // A guest never appends, so it needs not know what exists.
    let (actors, items) = match options.access {
        Access::Owner => {
            (numbers(&connection, "SELECT ix FROM actors")?, numbers(&connection, "SELECT ix FROM items")?)
        }
        Access::Guest => (NumberSet::default(), NumberSet::default()),
    };
    Ok(Writer { connection, marks, actors, items })
}

fn numbers(connection: &Connection, sql: &str) -> rusqlite::Result<NumberSet> {
    let mut set = NumberSet::default();
    let mut find = connection.prepare(sql)?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        set.insert(row.get(0)?);
    }
    Ok(set)
}

/// Notes whether the store was closed in order.
pub fn set_clean(connection: &Connection, clean: bool) -> rusqlite::Result<()> {
    connection.execute("UPDATE marks SET value = ?1 WHERE name = 'clean'", [clean]).map(|_| ())
}

fn mark(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut find = connection.prepare_cached("SELECT value FROM marks WHERE name = ?1")?;
    find.query_row([name], |row| unsigned(row, 0))
}

/// The first free numbers.
pub fn high_water(connection: &Connection) -> rusqlite::Result<HighWater> {
    let number = |name: &str| mark(connection, name).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    Ok(HighWater {
        next_actor: number("next_actor")?,
        next_item: number("next_item")?,
        next_position: mark(connection, "next_position")?,
    })
}

/// The database in a folder.
pub fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}

/// SQLite's log of a database.
pub fn log(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

#[cfg(test)]
mod tests {
    use zhiyin_core::storage::Batch;

    use super::*;

    /// No test can cut the power, so this looks at what makes SQLite wait for the disk.
    #[test]
    fn a_commit_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&database(folder.path()), &StoreOptions::default()).unwrap();
        let level = |writer: &Writer| -> i64 {
            writer.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap()
        };
        let mode: String = writer.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((level(&writer), mode.as_str()), (2, "wal"));
        crate::commit::commit_deferred(&mut writer, &Batch::default()).unwrap();
        assert_eq!(level(&writer), 2, "only the deferred commit itself doesn't wait");
    }
}
