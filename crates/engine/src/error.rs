//! Why the engine refused or failed, and what the caller can do.

use std::sync::Arc;

use thiserror::Error;
use zhiyin_core::{Problem, storage::StorageError};

/// A failure of the engine. Cheap to clone: every caller whose work was in a failed batch gets one.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    /// The caller's input breaks a rule. Nothing was changed.
    #[error("{0}")]
    Bad(Problem),
    /// What the caller named does not exist.
    #[error("{0}")]
    NotFound(Problem),
    /// More waits for the log than the queue may hold. Nothing was taken; send it again later.
    #[error("too many events are waiting for the log; send again in {retry_after_seconds} s")]
    Busy {
        /// Seconds after which trying again makes sense.
        retry_after_seconds: u32,
    },
    /// Storage failed. Nothing of the batch was written.
    #[error("{0}")]
    Storage(Arc<StorageError>),
    /// The engine was shut down, or its writer died; the log has every acknowledged event.
    #[error("the engine has stopped; restart it")]
    Stopped,
    /// A defect of the engine itself.
    #[error("internal error: {0}; please report it with the log of the server")]
    Internal(String),
}

impl From<Problem> for EngineError {
    fn from(problem: Problem) -> Self {
        Self::Bad(problem)
    }
}

impl From<StorageError> for EngineError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}
