//! What the engine says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhiyin_core::clock::Millis;

use crate::{engine::Engine, texts::TextStatus};

/// The state of the engine at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Whether events are taken and requests answered.
    pub ready: bool,
    /// When it was started.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub started_ms: Millis,
    /// Events in the log.
    pub events: u64,
    /// Place of the last event in the log.
    pub position: u64,
    /// Known users.
    pub users: usize,
    /// Known sessions.
    pub sessions: usize,
    /// Items of the catalogue, deleted ones left out.
    pub items: usize,
    /// Version of the trained models, or `none`.
    pub model: String,
    /// Bytes of memory by part, approximately.
    pub memory_bytes: BTreeMap<String, usize>,
    /// Events that wait for the log.
    pub queued_events: usize,
    /// Decisions that were dropped because too many waited.
    pub decisions_dropped: u64,
    /// Histories that were dropped from memory because they took too much.
    pub evictions: u64,
    /// How often each source failed while answering.
    pub failed_sources: BTreeMap<String, u64>,
    /// How far the encoding of texts has come.
    pub texts: TextStatus,
    /// What was wrong at the start and what to do.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Whether events are taken and requests answered.
    pub fn ready(&self) -> bool {
        self.core.is_running()
    }

    /// The state of the engine now.
    pub fn status(&self) -> Status {
        let state = self.state();
        let memory = [
            ("histories", state.actors.history_bytes()),
            ("actors", state.actors.row_bytes()),
            ("items", state.items.bytes()),
            ("models", state.models.bytes()),
            ("texts", self.core.texts.bytes()),
        ];
        Status {
            ready: self.ready(),
            started_ms: self.started_ms,
            events: state.events,
            position: state.position,
            users: state.actors.users(),
            sessions: state.actors.sessions(),
            items: state.items.live(),
            model: self.trained().version.clone(),
            memory_bytes: memory.into_iter().map(|(part, bytes)| (part.to_owned(), bytes)).collect(),
            queued_events: self.core.queued.waiting(),
            decisions_dropped: self.decisions_dropped(),
            evictions: state.actors.evictions(),
            failed_sources: self.core.failed_sources.lock().clone(),
            texts: self.core.texts.status(),
            warnings: self.core.warnings.clone(),
        }
    }
}
