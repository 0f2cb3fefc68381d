//! Decisions: what was shown to whom, why, and with what probability.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ActorIx, ItemIx, clock::Millis};

/// Identity of a decision: a UUID of version 7, so that ids sort by time.
pub type DecisionId = Uuid;

/// One answer of the recommender, as the log keeps it. Outcomes carry its id and are joined to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its identity, given to the client with the answer.
    pub id: DecisionId,
    /// When the answer was given.
    pub time_ms: Millis,
    /// For whom; none for a request without user and session.
    pub actor: Option<ActorIx>,
    /// Where in the product.
    pub surface: Option<String>,
    /// Version of the model that scored, or `none`.
    pub model: String,
    /// Experiment arm; room for experiments.
    pub arm: Option<String>,
    /// Whether the answer was a fallback.
    pub fallback: bool,
    /// What was shown, in order.
    pub items: Vec<ShownItem>,
}

/// One position of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownItem {
    /// The item.
    pub item: ItemIx,
    /// Score by which it was ranked.
    pub score: f32,
    /// Name of the source that contributed most.
    pub source: String,
    /// Probability with which the policy would show it; 1 for a deterministic choice.
    pub propensity: f32,
}
