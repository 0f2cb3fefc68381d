//! Names that clients give to things, and the dense numbers that stand for them inside.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

use crate::{Problem, limits};

/// Dense number of an item: its row in every array of the catalogue and the models. Assigned once, never reused.
pub type ItemIx = u32;

/// Dense number of an actor, that is of a user or of an anonymous session. Assigned once, never reused.
pub type ActorIx = u32;

/// A name that a client gave to a user, session, item or event: 1 to [`limits::ID_BYTES_MAX`] bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalId(Box<str>);

impl ExternalId {
    /// Checks `text` against the rules for names; `field` is named in the problem that a bad one gives.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::field(field, "is empty", "give a non-empty string"));
        }
        if text.len() > limits::ID_BYTES_MAX {
            let rule = format!("has {} bytes, at most {} are allowed", text.len(), limits::ID_BYTES_MAX);
            return Err(Problem::field(field, rule, "use a shorter identifier"));
        }
        if text.chars().any(char::is_control) {
            return Err(Problem::field(field, "has a control character", "use printable characters only"));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExternalId {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        Self::parse("id", &text)
    }
}

impl From<ExternalId> for String {
    fn from(id: ExternalId) -> Self {
        id.0.into()
    }
}

impl Borrow<str> for ExternalId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
