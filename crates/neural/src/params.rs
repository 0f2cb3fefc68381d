//! Hyper-parameters.

use serde::{Deserialize, Serialize};

/// Largest number of events that are read of a history.
pub const WINDOW_MAX: usize = 1_000;

/// What stands between the vectors of the history and the state that scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Causal attention in pre-norm blocks with SwiGLU.
    Transformer {
        /// Blocks.
        blocks: usize,
        /// Heads of the attention; they share the dimensions.
        heads: usize,
        /// Units between the two maps of the feed-forward part.
        feed: usize,
    },
    /// A gated recurrent unit (Cho et al. 2014) with variational dropout (Gal and Ghahramani 2016).
    Gru,
    /// A feed-forward network on means of the history.
    Dense {
        /// Hidden units.
        units: usize,
    },
}

/// What a state is trained to tell apart: the next item from others that are sampled for a whole step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Cross-entropy over the next item and the sampled ones, these corrected by how likely they were sampled (Bengio and Senécal 2008).
    Softmax,
    /// Logistic loss, the positive one calibrated for the sampling (gBCE, Petrov and Macdonald 2023).
    Logistic {
        /// t: 0 is plain logistic loss, 1 as if nothing were sampled.
        calibration: f32,
    },
    /// Squared error, 1 for the next item and 0 for the others, which weigh 1/√(their number).
    Squared,
}

/// How the text of an item enters its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextUse {
    /// Not at all.
    None,
    /// A learned map of the text is added to a vector of the item's own.
    Sum,
    /// The item's own vector begins as its text (Harte et al. 2023).
    Initialisation,
    /// Half of the dimensions are the text and stay, the other half is learned (Hu et al. 2025).
    Subspace,
    /// The text stays; what is learned on top is bounded.
    Delta,
}

/// How a model is built and trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// What reads the history.
    pub architecture: Architecture,
    /// Numbers in the vector of an item and in a state.
    pub dims: usize,
    /// Newest events of a history that are read, at most [`WINDOW_MAX`].
    pub window: usize,
    /// Share of the numbers that are left out at random while training.
    pub dropout: f32,
    /// What is minimised.
    pub loss: Loss,
    /// Items that are sampled for each step; from as many as there are on, all of them are used.
    pub negatives: usize,
    /// Share of them that is sampled by how often items occur; the others are sampled evenly.
    pub popular: f32,
    /// How the text of an item enters its vector, where there are texts.
    pub text: TextUse,
    /// Principal axes of the text vectors that are used.
    pub text_axes: usize,
    /// Whether the time between events is read.
    pub time: bool,
    /// Greatest learning rate.
    pub rate: f32,
    /// Share of each number that a step at rate 1 takes away (AdamW); vectors of items and norms are left alone.
    pub weight_decay: f32,
    /// Length of the derivatives of a step, at most.
    pub clip: f32,
    /// Events that a step learns from, about: whole histories are taken until there are as many. Fewer where there is little data.
    pub batch: usize,
    /// Times that all events are gone through, at most.
    pub epochs: usize,
    /// Events that are gone through in all, at most: a limit of the effort that is the same on every machine.
    pub events_max: u64,
    /// Epochs after which it ends whatever comes, the rate being that of a training over `epochs`: what validation chose.
    pub stop_after: Option<usize>,
    /// Epochs without a gain on validation after which training ends.
    pub patience: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self::sequence()
    }
}

impl Params {
    /// Those of the sequence transformer.
    pub fn sequence() -> Self {
        Self {
            architecture: Architecture::Transformer { blocks: 1, heads: 1, feed: 176 },
            dims: 64,
            window: 50,
            dropout: 0.3,
            loss: Loss::Softmax,
            negatives: 512,
            popular: 0.5,
            text: TextUse::Sum,
            text_axes: 256,
            time: true,
            rate: 1e-3,
            weight_decay: 0.0,
            clip: 5.0,
            batch: 1024,
            epochs: 40,
            events_max: 20_000_000,
            stop_after: None,
            patience: 10,
            seed: 42,
        }
    }

    /// Those of the recurrent network.
    pub fn gru() -> Self {
        Self { architecture: Architecture::Gru, text: TextUse::None, ..Self::sequence() }
    }

    /// Those of the feed-forward network.
    pub fn dense() -> Self {
        // Logistic loss learns first that every sampled item is unlikely, and validation ends it before it tells them apart.
        let loss = Loss::Squared;
        Self { architecture: Architecture::Dense { units: 128 }, loss, text: TextUse::None, ..Self::sequence() }
    }

    /// The defaults of the model of this name, one of [`crate::NAMES`].
    pub fn named(name: &str) -> Self {
        match name {
            "gru" => Self::gru(),
            "dense" => Self::dense(),
            _ => Self::sequence(),
        }
    }

    /// Name of the model.
    pub fn name(&self) -> &'static str {
        match self.architecture {
            Architecture::Transformer { .. } => "sequence",
            Architecture::Gru => "gru",
            Architecture::Dense { .. } => "dense",
        }
    }

    /// The numbers that make no sense: name, value, rule.
    pub(crate) fn fault(&self) -> Option<String> {
        let sizes =
            [("dims", self.dims), ("window", self.window), ("negatives", self.negatives), ("batch", self.batch)];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Some(format!("{name} is 0, it has to be at least 1"));
        }
        if self.window > WINDOW_MAX {
            return Some(format!("window is {}, it can be at most {WINDOW_MAX}", self.window));
        }
        if !(0.0..0.95).contains(&self.dropout) {
            return Some(format!("dropout is {}, it has to be from 0 to below 0.95", self.dropout));
        }
        if !(0.0..=1.0).contains(&self.popular) {
            return Some(format!("popular is {}, it has to be from 0 to 1", self.popular));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Some(format!("rate is {}, it has to be above 0", self.rate));
        }
        match self.architecture {
            Architecture::Transformer { heads, .. } if heads == 0 || !self.dims.is_multiple_of(heads) => {
                Some(format!("heads is {heads}, it has to divide dims, which is {}", self.dims))
            }
            Architecture::Transformer { blocks: 0, .. } => Some("blocks is 0, it has to be at least 1".into()),
            _ => None,
        }
    }
}
