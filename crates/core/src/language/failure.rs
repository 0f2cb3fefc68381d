//! How a language model fails.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A budget per UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// Tokens of prompts and completions.
    Tokens,
    /// Money, in the currency of the configured prices.
    Money,
}

impl std::fmt::Display for BudgetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tokens => "token",
            Self::Money => "money",
        })
    }
}

/// Why there is no answer. Every feature that meets one of these works on without the model, and says so.
#[derive(Clone, Debug, PartialEq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LanguageError {
    /// No runtime can answer now: none configured, still loading, broken, unreachable, or its circuit is open.
    #[error("the language model is unavailable: {reason}")]
    Unavailable {
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// As many requests wait as may.
    #[error("{capacity} requests already wait for the language model; try again later")]
    QueueFull {
        /// Requests that may wait.
        capacity: usize,
    },
    /// The caller's deadline passed.
    #[error("the deadline passed before the language model was done")]
    DeadlinePassed,
    /// The caller took the request back.
    #[error("the request was cancelled")]
    Cancelled,
    /// A daily budget can't pay for the request.
    #[error(
        "the {budget} budget of today can't pay for this request: {used:.4} of {limit:.4} are used or promised; it starts anew at {resets_at_ms} (milliseconds since 1970, UTC midnight)"
    )]
    BudgetExhausted {
        /// Which one.
        budget: BudgetKind,
        /// Used or promised to running requests today, in tokens or in money.
        used: f64,
        /// The limit of a day.
        limit: f64,
        /// When the next day begins, in milliseconds since 1970-01-01 00:00 UTC.
        resets_at_ms: i64,
    },
    /// The model's answer broke the rules that the request gave, or isn't an answer at all.
    #[error("the language model gave invalid output: {reason}")]
    InvalidOutput {
        /// What is wrong with it.
        reason: String,
    },
    /// The request itself is wrong.
    #[error("invalid request to the language model: {reason}")]
    InvalidRequest {
        /// Which rule it breaks, and the remedy.
        reason: String,
    },
    /// This runtime can't do that.
    #[error("{runtime} can't do this: {reason}")]
    Unsupported {
        /// The runtime.
        runtime: String,
        /// What it can't do.
        reason: String,
    },
    /// The request holds data that the configuration doesn't allow to leave this machine.
    #[error(
        "{field} may not be sent to {runtime}; list it under the fields that may be sent, or use a local model for this"
    )]
    NotPermitted {
        /// The field, as written in the configuration.
        field: String,
        /// The runtime that refuses.
        runtime: String,
    },
}

impl LanguageError {
    /// [`Self::Unavailable`] for a reason.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }

    /// [`Self::InvalidRequest`] for a reason.
    pub fn invalid_request(reason: impl Into<String>) -> Self {
        Self::InvalidRequest { reason: reason.into() }
    }

    /// [`Self::InvalidOutput`] for a reason.
    pub fn invalid_output(reason: impl Into<String>) -> Self {
        Self::InvalidOutput { reason: reason.into() }
    }

    /// Whether another runtime might answer where this one didn't.
    pub fn another_may_answer(&self) -> bool {
        !matches!(self, Self::DeadlinePassed | Self::Cancelled | Self::InvalidRequest { .. })
    }
}
