//! Users and what is known of them besides their events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ExternalId;

/// A known user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The client's name for the user.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: ExternalId,
    /// Free attributes, for example country or age band.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: Map<String, Value>,
    /// Users whose taste counts as a hint for this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub friends: Vec<ExternalId>,
}

impl User {
    /// A user of whom nothing but the name is known.
    pub fn bare(id: ExternalId) -> Self {
        Self { id, attributes: Map::new(), friends: Vec::new() }
    }
}
