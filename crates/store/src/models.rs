//! Which model is live, and which were before it. The model files themselves lie in a folder, named by the hash of their content.

use rusqlite::{Row, params};
use serde::Serialize;
use zhiyin_core::{clock::Millis, storage::StorageError};

use crate::Store;

/// A pointer to a model file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveModel {
    /// What it serves as, such as `ranker`; each slot has its own live model.
    pub slot: String,
    /// Version, as decisions name it.
    pub version: String,
    /// Path of the file, relative to the folder of models.
    pub path: String,
    /// Hash of the file's content, in hex.
    pub hash: String,
    /// Since when it is (or was) live.
    pub set_ms: Millis,
}

impl Store {
    /// Makes a model the live one of its slot; durable when it returns.
    ///
    /// # Errors
    /// As every writing method.
    pub fn set_live_model(&self, model: &LiveModel) -> Result<(), StorageError> {
        self.write(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO live_models (slot, version, path, hash, set_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            insert.execute(params![model.slot, model.version, model.path, model.hash, model.set_ms]).map(|_| ())
        })
    }

    /// The live model of a slot, if there is one.
    ///
    /// # Errors
    /// As every reading method.
    pub fn live_model(&self, slot: &str) -> Result<Option<LiveModel>, StorageError> {
        Ok(self.model_history(slot, 1)?.pop())
    }

    /// Up to `limit` models that were live in a slot, the live one first.
    ///
    /// # Errors
    /// As every reading method.
    pub fn model_history(&self, slot: &str, limit: usize) -> Result<Vec<LiveModel>, StorageError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT slot, version, path, hash, set_ms FROM live_models WHERE slot = ?1 ORDER BY row DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            find.query_map(params![slot, limit], live_model)?.collect()
        })
    }
}

fn live_model(row: &Row<'_>) -> rusqlite::Result<LiveModel> {
    Ok(LiveModel { slot: row.get(0)?, version: row.get(1)?, path: row.get(2)?, hash: row.get(3)?, set_ms: row.get(4)? })
}
