//! Keys that must never be written anywhere.

use std::fmt;
use thiserror::Error;

/// What replaces a secret in any text.
pub const REDACTED: &str = "[redacted]";

/// A key. It has no `Display`, its `Debug` hides it, and only this crate can read it.
#[derive(Clone)]
pub struct Secret(String);

/// The environment doesn't hold a usable key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The variable is missing or empty.
    #[error("the environment variable {0} is not set; put the key of the endpoint into it")]
    Missing(String),
    /// The value can't be sent in a header.
    #[error("the environment variable {0} holds characters that no key has; check for line breaks")]
    Malformed(String),
}

impl Secret {
    /// Reads a key from an environment variable; never from a file or an argument, which others could read.
    ///
    /// # Errors
    /// [`SecretError`] if it is missing, empty, or not printable ASCII.
    pub fn from_environment(variable: &str) -> Result<Self, SecretError> {
        let value = std::env::var(variable).unwrap_or_default();
        Self::parse(value.trim()).ok_or_else(|| match value.trim() {
            "" => SecretError::Missing(variable.to_owned()),
            _ => SecretError::Malformed(variable.to_owned()),
        })
    }

    /// A key that the caller already has; none if it is empty or not printable ASCII.
    pub fn parse(value: &str) -> Option<Self> {
        let printable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then(|| Self(value.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The text with every occurrence of the key replaced: for messages that come from outside and might repeat it.
    pub fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({REDACTED})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_in_no_output() {
        let key = Secret::parse("sk-very-secret").expect("printable");
        assert_eq!(format!("{key:?} {:#?}", Some(key.clone())).matches("very").count(), 0);
        assert_eq!(key.scrub("bad key sk-very-secret, try again"), "bad key [redacted], try again");
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused() {
        assert!(Secret::parse("").is_none());
        assert!(Secret::parse("two\nlines").is_none());
        let missing = Secret::from_environment("ZHIYIN_TEST_NO_SUCH_KEY").expect_err("not set");
        assert!(missing.to_string().contains("ZHIYIN_TEST_NO_SUCH_KEY"));
    }
}
