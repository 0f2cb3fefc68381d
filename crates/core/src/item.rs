//! Items of the catalogue.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ExternalId, clock::Millis};

/// One thing that can be recommended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The client's name for it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: ExternalId,
    /// What people read first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// A longer text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Categories, the most specific last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Free tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Price of one piece in the shop's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Whether it may be recommended now.
    #[serde(default = "yes")]
    pub available: bool,
    /// When it was or will be published; not recommended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub published_ms: Option<Millis>,
    /// When it ends; not recommended from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub expires_ms: Option<Millis>,
    /// Anything else, usable in filters as `attributes.NAME`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: Map<String, Value>,
    /// A vector of the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
}

fn yes() -> bool {
    true
}

impl Item {
    /// An item of which nothing but the name is known: what an event about an unknown item creates.
    pub fn bare(id: ExternalId) -> Self {
        Self {
            id,
            title: String::new(),
            description: String::new(),
            categories: Vec::new(),
            tags: Vec::new(),
            price: None,
            available: true,
            published_ms: None,
            expires_ms: None,
            attributes: Map::new(),
            vector: None,
        }
    }

    /// Whether the item may be shown at `now_ms`.
    pub fn is_live(&self, now_ms: Millis) -> bool {
        self.available && self.published_ms.is_none_or(|t| t <= now_ms) && self.expires_ms.is_none_or(|t| now_ms < t)
    }
}
