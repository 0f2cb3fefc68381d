//! Small named values that outlive the process.

use rusqlite::{OptionalExtension, params};
use zhiyin_core::storage::StorageError;

use crate::Store;

impl Store {
    /// The value of a setting, if it was ever set.
    ///
    /// # Errors
    /// As every reading method.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StorageError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
            find.query_row([name], |row| row.get(0)).optional()
        })
    }

    /// Sets a setting; durable when it returns.
    ///
    /// # Errors
    /// As every writing method.
    pub fn set_setting(&self, name: &str, value: &str) -> Result<(), StorageError> {
        self.write(|connection| {
            let mut set = connection.prepare_cached("INSERT OR REPLACE INTO settings VALUES (?1, ?2)")?;
            set.execute(params![name, value]).map(|_| ())
        })
    }
}
