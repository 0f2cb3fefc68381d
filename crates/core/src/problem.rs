//! What is wrong with an input, by which rule, and what to do about it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A refusal that a client can act on. The HTTP edge turns it into `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{field}: {rule}; {remedy}")]
pub struct Problem {
    /// The field, parameter or file that is wrong.
    pub field: String,
    /// The rule that it breaks, with the offending value where that helps.
    pub rule: String,
    /// What the caller can do.
    pub remedy: String,
}

impl Problem {
    /// A problem with one field.
    pub fn field(field: impl Into<String>, rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into(), remedy: remedy.into() }
    }
}
