//! The compact form in which an event stays in memory and reaches the models.

use serde::{Deserialize, Serialize};

use crate::ItemIx;

/// A non-negative weight in units of 1/256.
///
/// Counts made of whole units add and subtract exactly and in any order, which is what makes forgetting a user exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u16);

impl Weight {
    /// The weight 1.
    pub const ONE: Self = Self(256);

    /// The nearest representable weight; negative values give 0, values above 255.99 give the largest.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn from_f32(weight: f32) -> Self {
        Self((weight * 256.0).round().clamp(0.0, f32::from(u16::MAX)) as u16)
    }

    /// The weight as a number.
    pub fn to_f32(self) -> f32 {
        f32::from(self.0) / 256.0
    }
}

/// One positive interaction of an actor with an item. 12 bytes, so that a history is a flat array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Interaction {
    /// The item.
    pub item: ItemIx,
    /// Seconds since 1970 UTC (enough until 2106).
    pub time_s: u32,
    /// Index of the event's kind in [`crate::KindWeights`].
    pub kind: u16,
    /// How much the event counts for the item.
    pub weight: Weight,
}

impl Interaction {
    /// An interaction of kind 0 with weight 1: all that data sets of plain sequences need.
    pub fn plain(item: ItemIx, time_s: u32) -> Self {
        Self { item, time_s, kind: 0, weight: Weight::ONE }
    }
}
