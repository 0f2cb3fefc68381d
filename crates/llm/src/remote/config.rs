//! How an endpoint is reached, and what it may be sent.

use crate::budget::{BudgetLimits, Prices};
use crate::circuit::CircuitConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use zhiyin_core::language::Field;

/// One endpoint with the OpenAI interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteConfig {
    /// Its name in status, logs and the ledger of use.
    pub name: String,
    /// Address up to and with the version, such as `https://models.example.org/v1`.
    pub base_url: String,
    /// Model for chats.
    pub model: String,
    /// Model for embeddings; none: it isn't asked for any.
    pub embedding_model: Option<String>,
    /// Environment variable that holds the key; none: the endpoint needs no key.
    pub key_variable: Option<String>,
    /// Kinds of data that may be sent. A request with any other kind is refused before it leaves this machine.
    pub fields: BTreeSet<Field>,
    /// Whether the server understands `grammar` in a request, as the server of llama.cpp does.
    pub grammar: bool,
    /// Name of the parameter that limits generated tokens: `max_tokens`, or `max_completion_tokens` for some servers.
    pub tokens_parameter: String,
    /// Time to connect, in milliseconds.
    pub connect_ms: u32,
    /// Time without a byte from the server, in milliseconds.
    pub idle_ms: u32,
    /// Time of one attempt from start to end, in milliseconds.
    pub attempt_ms: u32,
    /// Attempts per request.
    pub attempts_max: u32,
    /// Wait before the second attempt, in milliseconds; doubles for each further one, and a random part of it is taken.
    pub backoff_ms: u32,
    /// Longest wait between attempts, in milliseconds. A server that asks for more is not asked again.
    pub backoff_ms_max: u32,
    /// Requests side by side.
    pub concurrency_max: u32,
    /// Requests that may wait for their turn.
    pub waiting_max: u32,
    /// Requests per minute, further attempts included; none: without limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// What tokens cost.
    pub prices: Prices,
    /// What may be used per day.
    pub budget: BudgetLimits,
    /// When it is left alone.
    pub circuit: CircuitConfig,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            name: "remote".to_owned(),
            base_url: String::new(),
            model: String::new(),
            embedding_model: None,
            key_variable: None,
            fields: BTreeSet::new(),
            grammar: false,
            tokens_parameter: "max_tokens".to_owned(),
            connect_ms: 5_000,
            idle_ms: 30_000,
            attempt_ms: 120_000,
            attempts_max: 4,
            backoff_ms: 500,
            backoff_ms_max: 30_000,
            concurrency_max: 4,
            waiting_max: 64,
            requests_per_minute: None,
            prices: Prices::default(),
            budget: BudgetLimits::default(),
            circuit: CircuitConfig::default(),
        }
    }
}
