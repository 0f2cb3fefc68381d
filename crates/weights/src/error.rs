//! What can go wrong with weights.

use std::path::PathBuf;

use thiserror::Error;

/// Why weights are not there.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The name is not in the catalogue.
    #[error("there is no model `{name}` in the catalogue; choose from {known}")]
    UnknownModel {
        /// The name.
        name: String,
        /// Names that are in it.
        known: String,
    },
    /// A catalogue file that cannot be used.
    #[error("the catalogue {place} is wrong: {detail}; compare with `zhiyin llm list --json`")]
    Catalogue {
        /// Where it was read.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// No source gave the file.
    #[error(
        "{file} of {model} could not be fetched: {attempts}; take a copy from elsewhere with `zhiyin llm pull {model} --from PATH`"
    )]
    NoSource {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What each source answered.
        attempts: String,
    },
    /// The bytes are not those of the catalogue.
    #[error("{path} is not what the catalogue describes: {detail}; pull it again")]
    Different {
        /// The file.
        path: PathBuf,
        /// How it differs.
        detail: String,
    },
    /// The pip client failed.
    #[error("`{command}` failed: {detail}")]
    Package {
        /// The command.
        command: String,
        /// Its last words.
        detail: String,
    },
    /// A server did not give the file.
    #[error("{url}: {detail}")]
    Http {
        /// What was asked for.
        url: String,
        /// What came back.
        detail: String,
    },
    /// A package does not hold the member.
    #[error("{archive}: {detail}")]
    Archive {
        /// The package's file.
        archive: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Reading or writing failed; the path is in the message.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
