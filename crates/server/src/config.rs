//! What can be set about the HTTP interface.

use std::{sync::Arc, time::Duration};

use zhiyin_assistant::Assistant;
use zhiyin_core::limits;

use crate::AuthMode;

/// Everything that can be set about the HTTP interface.
#[derive(Clone)]
pub struct ServerConfig {
    /// Who may do what.
    pub auth: AuthMode,
    /// Whether `GET /metrics` answers without a key, for scrapers that have none.
    pub metrics_open: bool,
    /// Connections served at once; further ones wait in the backlog of the operating system.
    pub connections_max: usize,
    /// Time for a client to send the head of a request. An idle connection is closed after it, too.
    pub header_timeout: Duration,
    /// Time for a client to send the body of a request.
    pub body_timeout: Duration,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Time that running requests get to finish after the signal to stop.
    pub shutdown_grace: Duration,
    /// What asks language models. Without it every feature takes its form without a model.
    pub assistant: Option<Arc<Assistant>>,
}

impl ServerConfig {
    /// The defaults, with the given way of authentication. There is no default for that: leaving doors open must be spelled out.
    pub fn new(auth: AuthMode) -> Self {
        Self {
            auth,
            metrics_open: false,
            connections_max: 4_096,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_bytes_max: limits::BODY_BYTES_MAX,
            shutdown_grace: Duration::from_secs(10),
            assistant: None,
        }
    }
}
