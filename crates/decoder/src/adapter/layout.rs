//! Which maps can be adapted, and where the numbers of each lie.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use super::AdapterConfig;
use crate::llama::Shape;

/// A linear map of a layer, by its name in PEFT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// Queries of the attention.
    #[serde(rename = "q_proj")]
    Query,
    /// Keys of the attention.
    #[serde(rename = "k_proj")]
    Key,
    /// Values of the attention.
    #[serde(rename = "v_proj")]
    Value,
    /// What mixes the heads.
    #[serde(rename = "o_proj")]
    Output,
    /// Gates of the feed-forward part.
    #[serde(rename = "gate_proj")]
    Gate,
    /// What the gates let through.
    #[serde(rename = "up_proj")]
    Up,
    /// The way back from the feed-forward part.
    #[serde(rename = "down_proj")]
    Down,
}

impl Target {
    /// All of them, in the order in which they are computed.
    pub const ALL: [Self; 7] = [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Its name in PEFT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The module of a layer that it belongs to, in PEFT.
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|target| target.name() == name)
            .ok_or_else(|| format!("there is no map {name:?}; choose from {}", names()))
    }
}

/// The products that a layer computes; some hold several targets side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Attention,
    AttentionOut,
    FeedIn,
    FeedOut,
}

/// One adapted map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub layer: usize,
    pub target: Target,
    pub map: Map,
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// Where these begin among those of the map.
    pub first: usize,
    /// Where its own numbers begin among those of the adapter.
    start: usize,
    pub rank: usize,
}

impl Place {
    /// A: as many rows as the rank, of `inputs` numbers.
    pub fn down(&self) -> Range<usize> {
        self.start..self.start + self.rank * self.inputs
    }

    /// B: `outputs` rows of as many numbers as the rank.
    pub fn up(&self) -> Range<usize> {
        let start = self.down().end;
        start..start + self.outputs * self.rank
    }
}

/// Places of all adapted maps.
pub fn places(shape: Shape, config: &AdapterConfig) -> Vec<Place> {
    let Shape { hidden, heads, key_heads, width, feed_forward, .. } = shape;
    let (queries, keys) = (heads * width, key_heads * width);
    let mut places = Vec::new();
    let mut start = 0;
    for layer in 0..shape.layers {
        for &target in &config.targets {
            let (map, inputs, outputs, first) = match target {
                Target::Query => (Map::Attention, hidden, queries, 0),
                Target::Key => (Map::Attention, hidden, keys, queries),
                Target::Value => (Map::Attention, hidden, keys, queries + keys),
                Target::Output => (Map::AttentionOut, queries, hidden, 0),
                Target::Gate => (Map::FeedIn, hidden, feed_forward, 0),
                Target::Up => (Map::FeedIn, hidden, feed_forward, feed_forward),
                Target::Down => (Map::FeedOut, feed_forward, hidden, 0),
            };
            let place = Place { layer, target, map, inputs, outputs, first, start, rank: config.rank };
            start = place.up().end;
            places.push(place);
        }
    }
    places
}
