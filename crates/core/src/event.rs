//! Events: as clients send them, and as they are kept after cleaning.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DecisionId, ExternalId, Kind, clock::Millis};

/// An event as a client sends it. Every rule about its content is checked by the engine's cleaning, one by one, so that each
/// rejection can name its rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EventInput {
    /// Idempotency key: an event with an id that was seen before is a duplicate. Minted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Kind of event, such as `view` or `purchase`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Anonymous session. With `user`, ties the session to that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The item it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// When it happened; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeInput>,
    /// Stars of a rating, or any number that belongs to the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Pieces; negative for a return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
    /// Price of one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Seconds of a play or of reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_seconds: Option<f64>,
    /// What was searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Text of a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where in the product it happened, such as `home` or `cart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The decision that showed the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: Map<String, Value>,
}

/// A point in time: milliseconds since 1970 UTC, or RFC 3339 text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum TimeInput {
    /// Milliseconds since 1970 UTC.
    Millis(i64),
    /// RFC 3339 text such as `2026-11-24T08:00:00Z`.
    Text(String),
}

/// A clean event, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Idempotency key.
    pub id: ExternalId,
    /// What happened.
    pub kind: Kind,
    /// Known user, if any. At least one of `user` and `session` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<ExternalId>,
    /// Anonymous session, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<ExternalId>,
    /// The item, if the kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ExternalId>,
    /// When it happened.
    pub time_ms: Millis,
    /// Everything that most events don't have.
    #[serde(flatten)]
    pub details: EventDetails,
}

/// The parts of an event that most events don't have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventDetails {
    /// Stars of a rating, or any number that belongs to the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Pieces; negative for a return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
    /// Price of one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Seconds of a play or of reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_seconds: Option<f64>,
    /// What was searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Text of a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where in the product it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The decision that showed the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

impl Event {
    /// Money that the event moved: price × quantity of a purchase (negative for a return), else 0.
    pub fn revenue(&self) -> f64 {
        match self.kind {
            Kind::Purchase => self.details.price.unwrap_or(0.0) * self.details.quantity.unwrap_or(1.0),
            _ => 0.0,
        }
    }
}
