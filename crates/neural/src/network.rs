//! What the networks have in common.

use crate::{
    dense::Dense,
    events::Pack,
    gru::Gru,
    layout::Layout,
    noise::Noise,
    params::{Architecture, Params},
    transformer::Transformer,
};

/// What a network is asked to read.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// All numbers that are learned.
    pub values: &'a [f32],
    /// The events.
    pub pack: &'a Pack,
    /// What is left out at random; nothing when it isn't for learning.
    pub noise: Option<Noise>,
}

/// From the derivatives by the states to the loss: gives these for given states.
pub type LossOf<'a> = &'a mut dyn FnMut(&[f32]) -> Vec<f32>;

/// Turns the vectors of a history's items into states, one for each event, whose dot products with item vectors are scores of what comes
/// next. A state depends on the events of its history up to its own alone.
pub trait Network: Send + Sync {
    /// The states. `inputs` and they are rows of as many numbers as an item vector has, one for each event.
    fn states(&self, pass: Pass<'_>, inputs: Vec<f32>) -> Vec<f32>;

    /// Computes the states, has `loss` give the derivatives by them, adds those by the numbers of the network to `gradients` (as long as
    /// `pass.values`, or just as the network's part of it), and returns those by the inputs.
    fn learn(&self, pass: Pass<'_>, inputs: Vec<f32>, loss: LossOf<'_>, gradients: &mut [f32]) -> Vec<f32>;
}

/// What is known of the data when a network is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Senses {
    /// Whether the time between events is read.
    pub time: bool,
    /// Whether the kind of an event is read.
    pub kinds: bool,
}

/// Builds a network, whose numbers are appended to a layout.
pub fn build(params: &Params, senses: Senses, layout: &mut Layout) -> Box<dyn Network> {
    match params.architecture {
        Architecture::Transformer { .. } => Box::new(Transformer::new(params, senses, layout)),
        Architecture::Gru => Box::new(Gru::new(params, layout)),
        Architecture::Dense { units } => Box::new(Dense::new(params.dims, units, layout)),
    }
}
