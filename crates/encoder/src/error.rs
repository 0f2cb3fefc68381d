//! Why an encoder could not be loaded.

use std::path::PathBuf;

use thiserror::Error;

/// Why an encoder could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// No encoder goes by this name.
    #[error("there is no encoder `{name}`; choose from {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A file is not what it should be.
    #[error("{path} is no such model: {detail}; run `zhiyin llm check`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file cannot be read; its path is in the message.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl LoadError {
    /// A file that is not what it should be.
    pub(crate) fn malformed(path: &std::path::Path, detail: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), detail: detail.to_string() }
    }
}
