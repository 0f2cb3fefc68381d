//! Soft labels: what a language model thinks of candidates, kept for smaller models to learn from.

use rusqlite::params;
use zhiyin_core::{ActorIx, ItemIx, clock::Millis, storage::StorageError};

use crate::Store;

/// What a model thinks of an actor's candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherScores {
    /// Whose candidates they are.
    pub actor: ActorIx,
    /// The model with its version.
    pub model: String,
    /// When it was asked.
    pub made_ms: Millis,
    /// Titles of the history that it read.
    pub length: u32,
    /// Candidates with their preferences, in the order in which they were recommended.
    pub labels: Vec<(ItemIx, f64)>,
}

impl Store {
    /// Keeps scores, in place of earlier ones of the same actor and model. An actor that doesn't exist (any more) is skipped: erasure is final.
    ///
    /// # Errors
    /// As every writing method.
    pub fn put_teacher_scores(&self, all: &[TeacherScores]) -> Result<(), StorageError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            let sql = "INSERT OR REPLACE INTO teacher_scores SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM actors WHERE ix = ?1)";
            for scores in all {
                let labels = serde_json::to_string(&scores.labels).map_err(broken)?;
                let row = params![scores.actor, scores.model, scores.made_ms, scores.length, labels];
                transaction.prepare_cached(sql)?.execute(row)?;
            }
            transaction.commit()
        })
    }

    /// All scores of a model, by actor.
    ///
    /// # Errors
    /// As every reading method.
    pub fn teacher_scores(&self, model: &str) -> Result<Vec<TeacherScores>, StorageError> {
        self.read(|connection| {
            let sql =
                "SELECT actor, model, made_ms, length, labels FROM teacher_scores WHERE model = ?1 ORDER BY actor";
            let mut find = connection.prepare_cached(sql)?;
            let rows = find.query_map([model], |row| {
                let labels = serde_json::from_str(&row.get::<_, String>(4)?).map_err(broken)?;
                let (actor, model) = (row.get(0)?, row.get(1)?);
                Ok(TeacherScores { actor, model, made_ms: row.get(2)?, length: row.get(3)?, labels })
            })?;
            rows.collect()
        })
    }
}

fn broken(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
