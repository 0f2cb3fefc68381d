//! Decisions: what was shown to whom, why, and with what probability.

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::{ActorIx, ItemIx, clock::Millis};

/// Identity of a decision: a UUID of version 7, so that ids sort by time.
pub type DecisionId = Uuid;

/// Milliseconds that fit into an id.
const MILLIS_MAX: Millis = (1 << 48) - 1;

/// The identity of a decision made at `time_ms`, told apart from others of the same millisecond by `random`.
pub fn decision_id(time_ms: Millis, random: [u8; 10]) -> DecisionId {
    let millis = u64::try_from(time_ms.clamp(0, MILLIS_MAX)).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The time that an id of version 7 begins with; for any other id the least time.
pub fn decision_time(id: DecisionId) -> Millis {
    if id.get_version_num() != 7 {
        return Millis::MIN;
    }
    Millis::try_from(id.as_u128() >> 80).unwrap_or(Millis::MAX)
}

/// The least and the greatest id of the decisions made within a window; none if no id can lie in it.
pub fn ids_within(window_ms: &Range<Millis>) -> Option<(DecisionId, DecisionId)> {
    let first = window_ms.start.max(0);
    let last = window_ms.end.saturating_sub(1).min(MILLIS_MAX);
    let least = |millis: Millis| u128::try_from(millis).unwrap_or(0) << 80;
    (first <= last).then(|| (Uuid::from_u128(least(first)), Uuid::from_u128(least(last) | u128::MAX >> 48)))
}

/// One answer of the recommender, as the log keeps it. Outcomes carry its id and are joined to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its identity, given to the client with the answer; tells when that was.
    pub id: DecisionId,
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
    pub source: Cow<'static, str>,
    /// Probability with which the policy would show it; 1 for a deterministic choice.
    pub propensity: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_lies_in_the_windows_that_hold_it() {
        for time in [0, 1_700_000_000_123, MILLIS_MAX] {
            for random in [[0; 10], [255; 10]] {
                let id = decision_id(time, random);
                assert_eq!((decision_time(id), id.get_version_num()), (time, 7));
                let is_in = |window: Range<Millis>| ids_within(&window).is_some_and(|(a, b)| (a..=b).contains(&id));
                assert!(is_in(time..time + 1) && is_in(Millis::MIN..Millis::MAX));
                assert!(!is_in(time + 1..time + 2) && !is_in(time - 1..time) && !is_in(time..time));
            }
        }
        assert_eq!(decision_time(Uuid::from_u128(5)), Millis::MIN);
    }
}
