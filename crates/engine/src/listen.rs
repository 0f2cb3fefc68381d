//! From events to opinions: which events are reviews, what their stars say, and the reader that serves, with its file.
//!
//! The state is a function of the log, the hyper-parameters and the reader. Training makes a new reader; it is kept for every later
//! start, and all reviews of the log are read anew by it.

use std::{io::Write, path::Path, sync::Arc};

use zhiyin_core::{
    ItemIx, Kind, Opinion, Said,
    storage::{Position, StagedEvent},
};
use zhiyin_reading::Reader;

use crate::{config::EventsConfig, error::EngineError, snapshots::write_durably, state::effect::seconds};

/// Name of the reader's file.
const FILE: &str = "reader.model";
const MAGIC: &[u8] = b"zhiyin reader 1\n";
const HASH_BYTES: usize = 32;
/// Version of a reader that learned nothing.
const UNTRAINED: &str = "none";

/// Reads reviews as they come.
#[derive(Clone, Debug)]
pub struct Listener {
    reader: Arc<Reader>,
    version: String,
    positive_stars_min: f64,
    negative_stars_max: f64,
}

impl Listener {
    /// One whose reader learned nothing.
    pub fn new(config: &EventsConfig) -> Self {
        Self {
            reader: Arc::default(),
            version: UNTRAINED.into(),
            positive_stars_min: config.review_positive_min,
            negative_stars_max: config.review_negative_max,
        }
    }

    /// The same with another reader.
    #[must_use]
    pub fn with_reader(&self, reader: Reader) -> Self {
        let version = match encoded(&reader) {
            _ if reader.reviews() == 0 => UNTRAINED.into(),
            body => blake3::hash(&body).to_hex()[..8].to_owned(),
        };
        Self { reader: Arc::new(reader), version, ..self.clone() }
    }

    /// The reader.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Tells readers apart: a hash of what it learned, or `none`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The text of a review, a comment or a rating, and what it is about.
    pub fn review<'a>(&self, event: &'a StagedEvent) -> Option<(&'a str, ItemIx)> {
        let speaks = matches!(event.event.kind, Kind::Review | Kind::Rating | Kind::Custom(_));
        let text = event.event.details.text.as_deref().filter(|text| speaks && !text.trim().is_empty())?;
        Some((text, event.item?))
    }

    /// Whether stars speak for the item; none if there are none or they speak of both.
    pub fn outcome(&self, event: &StagedEvent) -> Option<bool> {
        match event.event.details.value? {
            stars if stars >= self.positive_stars_min => Some(true),
            stars if stars <= self.negative_stars_max => Some(false),
            _ => None,
        }
    }

    /// What an event says, if it is a review.
    pub fn hear(&self, position: Position, event: &StagedEvent) -> Option<Said> {
        let (text, item) = self.review(event)?;
        Some(self.said(position, event, item, self.reader.read(text, self.outcome(event))))
    }

    fn said(&self, position: Position, event: &StagedEvent, item: ItemIx, opinion: Opinion) -> Said {
        Said { position, actor: event.actor, item, time_s: seconds(event.event.time_ms), opinion }
    }

    /// The same with the reader of a folder, if there is one.
    ///
    /// # Errors
    /// The file is damaged or cannot be read.
    pub(crate) fn load(self, folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(self);
        }
        let bytes = fs_err::read(&path).map_err(|error| EngineError::Internal(error.to_string()))?;
        let reader = decoded(&bytes).ok_or_else(|| {
            EngineError::Internal(format!(
                "{} is damaged or of another version; nothing was changed; remove it to read reviews by a general word list, then \
                 train again",
                path.display()
            ))
        })?;
        Ok(self.with_reader(reader))
    }

    /// Keeps the reader for later starts.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), EngineError> {
        let body = encoded(&self.reader);
        let hash = blake3::hash(&body);
        let parts = [MAGIC, hash.as_bytes(), &body];
        write_durably(&folder.join(FILE), |file| parts.iter().try_for_each(|part| file.write_all(part)))
            .map_err(|error| EngineError::Internal(error.to_string()))
    }
}

fn encoded(reader: &Reader) -> Vec<u8> {
    // Plain numbers and texts always can be.
    postcard::to_stdvec(reader).unwrap_or_default()
}

fn decoded(bytes: &[u8]) -> Option<Reader> {
    let (hash, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH_BYTES)?;
    if blake3::hash(body).as_bytes() != hash {
        return None;
    }
    postcard::from_bytes(body).ok()
}
