//! Why a model could not be loaded.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a model could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file is damaged, or not what it should be.
    #[error("{path} can't be used: {detail}; run `zhiyin llm check`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file is in order, but of a kind that this crate doesn't compute.
    #[error("{path} can't be used: {detail}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What isn't known, and what is.
        detail: String,
    },
    /// The file cannot be read; its path is in the message.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What is wrong with the bytes of a file, before its name is known.
#[derive(Debug)]
pub enum Defect {
    Malformed(String),
    Unsupported(String),
}

impl Defect {
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed(detail.into())
    }

    pub fn at(self, path: &Path) -> LoadError {
        let path = path.to_owned();
        match self {
            Self::Malformed(detail) => LoadError::Malformed { path, detail },
            Self::Unsupported(detail) => LoadError::Unsupported { path, detail },
        }
    }
}
