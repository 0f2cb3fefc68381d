//! From what SQLite reports to what an operator can act on.

use std::{error::Error as StdError, io, path::Path};

use rusqlite::{Error, ErrorCode, ffi};
use zhiyin_core::storage::StorageError;

/// How to get a damaged file back.
pub const REPAIR: &str = "restore the file from a backup, or save what can be read with `sqlite3 FILE .recover`";

const BYTES_PROBED: usize = 64 * 1024;

/// Gives an error of SQLite its meaning; `path` is the database file.
pub fn storage_error(path: &Path, error: &Error) -> StorageError {
    match error {
        Error::SqliteFailure(failure, message) => sqlite_failure(path, failure, message.as_deref()),
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => damaged(path, error.to_string()),
        other => StorageError::Other(other.to_string()),
    }
}

fn sqlite_failure(path: &Path, failure: &ffi::Error, message: Option<&str>) -> StorageError {
    let detail = message.map_or_else(|| failure.to_string(), str::to_owned);
    match failure.code {
        ErrorCode::DiskFull => full(path),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(path, detail),
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => unusable(
            path,
            detail,
            "make sure that the folder exists and that this user may write to it and to the files in it",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            unusable(path, detail, "another program holds the file locked; close that program and try again")
        }
        ErrorCode::SystemIoFailure => io_failure(path, failure, detail),
        _ => StorageError::Other(detail),
    }
}

fn io_failure(path: &Path, failure: &ffi::Error, detail: String) -> StorageError {
    match failure.extended_code {
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => damaged(path, detail),
        _ if has_no_room(path) => full(path),
        _ => StorageError::Other(format!("{detail} ({}, code {})", path.display(), failure.extended_code)),
    }
}

/// Whether the disk is full. SQLite reports some failures for want of space as plain I/O errors, so a small write decides.
fn has_no_room(path: &Path) -> bool {
    let probe = path.with_extension("probe");
    let outcome = fs_err::write(&probe, [0_u8; BYTES_PROBED]);
    let _ = fs_err::remove_file(&probe);
    outcome.is_err_and(|error| is_out_of_space(&error))
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A failure of the file system outside SQLite.
pub fn file_error(path: &Path, error: &io::Error) -> StorageError {
    if is_out_of_space(error) {
        return full(path);
    }
    unusable(path, error.to_string(), "choose a folder that this user may create and write to")
}

fn full(path: &Path) -> StorageError {
    StorageError::Full { path: path.display().to_string() }
}

/// The file cannot be trusted.
pub fn damaged(path: &Path, detail: impl Into<String>) -> StorageError {
    StorageError::Damaged { path: path.display().to_string(), detail: detail.into(), remedy: REPAIR.into() }
}

/// The file cannot be opened or written, with the way out.
pub fn unusable(path: &Path, detail: impl Into<String>, remedy: impl Into<String>) -> StorageError {
    StorageError::Unusable { path: path.display().to_string(), detail: detail.into(), remedy: remedy.into() }
}

/// A value in column `column` that does not mean anything.
pub fn unreadable(column: usize, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
