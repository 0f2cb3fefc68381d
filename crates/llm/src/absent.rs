//! Stands for a runtime that can't be started, so that the status names it and says why.

use crate::status::{Availability, Counts, Runtime, RuntimeStatus};
use zhiyin_core::language::{GenerateRequest, Generated, LanguageError, LanguageModel, ScoreRequest, Scored};

/// A runtime that never answers.
pub struct Absent {
    /// Its name in the configuration.
    pub name: String,
    /// `local` or `remote`.
    pub kind: &'static str,
    /// Why it can't be started, and what to do about it.
    pub reason: String,
}

impl LanguageModel for Absent {
    fn model(&self) -> String {
        self.name.clone()
    }

    fn generate(&self, _: &GenerateRequest, _: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        Err(LanguageError::unavailable(&self.reason))
    }

    fn log_probabilities(&self, _: &ScoreRequest) -> Result<Scored, LanguageError> {
        Err(LanguageError::unavailable(&self.reason))
    }
}

impl Runtime for Absent {
    fn status(&self) -> RuntimeStatus {
        RuntimeStatus {
            name: self.name.clone(),
            kind: self.kind,
            model: self.name.clone(),
            availability: Availability::Unavailable { reason: self.reason.clone() },
            circuit: None,
            queued: 0,
            queue_capacity: 0,
            running: 0,
            counts: Counts::default(),
            budget: None,
        }
    }
}
