//! What runtimes tell of themselves, so that a degraded answer is never a mystery.

use crate::budget::BudgetStatus;
use crate::circuit::CircuitState;
use parking_lot::Mutex;
use serde::Serialize;
use zhiyin_core::language::{LanguageError, LanguageModel};

/// Whether a runtime could answer now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Availability {
    /// Yes.
    Ready,
    /// Its model is being loaded.
    Loading,
    /// No.
    Unavailable {
        /// Why, and what to do about it.
        reason: String,
    },
}

/// A runtime as seen by an operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuntimeStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `local`, `remote` or `fake`.
    pub kind: &'static str,
    /// Name and version of the model.
    pub model: String,
    /// Whether it could answer now.
    pub availability: Availability,
    /// Its circuit breaker, if it has one.
    pub circuit: Option<CircuitState>,
    /// Requests that wait.
    pub queued: usize,
    /// Requests that may wait.
    pub queue_capacity: usize,
    /// Requests being answered.
    pub running: usize,
    /// Requests answered and failed since the start.
    pub counts: Counts,
    /// Tokens and money of today, with their limits.
    pub budget: Option<BudgetStatus>,
}

/// Requests since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Answered.
    pub answered: u64,
    /// Failed, for any reason.
    pub failed: u64,
    /// Answered from the cache, without the runtime.
    pub from_cache: u64,
    /// The newest failure.
    pub last_error: Option<String>,
}

/// A model that also tells how it is.
pub trait Runtime: LanguageModel {
    /// How it is; cheap enough for every status page.
    fn status(&self) -> RuntimeStatus;
}

/// Counts results as they pass.
#[derive(Default)]
pub(crate) struct Counter(Mutex<Counts>);

impl Counter {
    pub(crate) fn count<T>(&self, result: Result<T, LanguageError>) -> Result<T, LanguageError> {
        let mut counts = self.0.lock();
        match &result {
            Ok(_) => counts.answered += 1,
            Err(e) => {
                counts.failed += 1;
                counts.last_error = Some(e.to_string());
            }
        }
        result
    }

    pub(crate) fn snapshot(&self) -> Counts {
        self.0.lock().clone()
    }
}
