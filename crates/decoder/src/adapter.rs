//! Low-rank adapters (LoRA, Hu et al. 2021): a linear map W becomes W + (α/r)·B·A, where A and B are all that is learned.

mod apply;
mod layout;
mod peft;

use serde::{Deserialize, Serialize};

pub(crate) use apply::{Learning, adapt};
pub use layout::Target;
pub(crate) use layout::{Map, Place};
pub use peft::{AdapterError, CONFIG_FILE, WEIGHTS_FILE};

use crate::llama::Shape;

/// Greatest rank of an adapter.
pub const RANK_MAX: usize = 256;

/// What an adapter changes, and by how much at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rank of each change, 1 to [`RANK_MAX`].
    pub rank: usize,
    /// The change is multiplied by α over the rank.
    pub alpha: f32,
    /// The maps that are changed, in every layer.
    pub targets: Vec<Target>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: vec![Target::Query, Target::Value] }
    }
}

/// An adapter to a model of one shape. All its numbers lie in one array, so that an optimiser needn't know what they mean.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: AdapterConfig,
    /// By layer, and in it by map.
    places: Vec<Place>,
    values: Vec<f32>,
}

impl Adapter {
    /// An adapter that changes nothing yet: all B are 0, and all A are uniform in ±1/√inputs (Kaiming with a = √5, as in the paper's code).
    /// `uniform` gives numbers in [0, 1).
    ///
    /// # Errors
    /// [`AdapterError::Config`] if the rank or the targets make no sense.
    pub fn fresh(shape: Shape, config: AdapterConfig, mut uniform: impl FnMut() -> f32) -> Result<Self, AdapterError> {
        let mut adapter = Self::empty(shape, config)?;
        for place in &adapter.places {
            let bound = 1.0 / (place.inputs as f32).sqrt();
            adapter.values[place.down()].iter_mut().for_each(|value| *value = (2.0 * uniform() - 1.0) * bound);
        }
        Ok(adapter)
    }

    fn empty(shape: Shape, mut config: AdapterConfig) -> Result<Self, AdapterError> {
        config.targets.sort_unstable();
        config.targets.dedup();
        if !(1..=RANK_MAX).contains(&config.rank) {
            return Err(AdapterError::Config(format!("its rank is {}; it has to be 1 to {RANK_MAX}", config.rank)));
        }
        if config.targets.is_empty() || !config.alpha.is_finite() || config.alpha <= 0.0 {
            return Err(AdapterError::Config("it needs a target and an alpha above 0".to_owned()));
        }
        let places = layout::places(shape, &config);
        let values = vec![0.0; places.last().map_or(0, |place| place.up().end)];
        Ok(Self { config, places, values })
    }

    /// What it changes.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// All numbers.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All numbers, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// What the product B·A is multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        self.config.alpha / self.config.rank as f32
    }

    /// All that it changes.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The changes of one map of a layer.
    pub(crate) fn of(&self, layer: usize, map: Map) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| place.layer == layer && place.map == map)
    }

    /// Whether it belongs to a model of this shape.
    pub(crate) fn fits(&self, shape: Shape) -> bool {
        self.places == layout::places(shape, &self.config)
    }
}
