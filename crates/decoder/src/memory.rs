//! What a model remembers of the tokens that it has read: keys and values of every layer.

use std::sync::Arc;

/// Keys and values of consecutive tokens, from the first on.
#[derive(Clone, Debug, Default)]
pub struct Past {
    tokens: usize,
    layers: Vec<Layer>,
}

/// Rows of one number per dimension of all key heads, a row per token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

/// Keys and values of some tokens of a layer, as [`Layer`] has them.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub keys: &'a [f32],
    pub values: &'a [f32],
}

impl Layer {
    /// Its first numbers: so many of the keys, and of the values.
    pub fn beginning(&self, numbers: usize) -> Stretch<'_> {
        Stretch { keys: &self.keys[..numbers], values: &self.values[..numbers] }
    }

    /// All of it.
    pub fn whole(&self) -> Stretch<'_> {
        self.beginning(self.keys.len())
    }
}

impl Past {
    /// Tokens remembered.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// A copy of the first tokens.
    #[must_use]
    pub fn beginning(&self, tokens: usize) -> Self {
        let tokens = tokens.min(self.tokens);
        let cut = |numbers: &Vec<f32>| numbers[..numbers.len() / self.tokens.max(1) * tokens].to_vec();
        let layer = |layer: &Layer| Layer { keys: cut(&layer.keys), values: cut(&layer.values) };
        Self { tokens, layers: self.layers.iter().map(layer).collect() }
    }
}

/// The memory of one sequence: its own past, which may follow a past that several sequences share.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Option<Arc<Past>>,
    own: Past,
}

impl From<Past> for Memory {
    fn from(own: Past) -> Self {
        Self { shared: None, own }
    }
}

impl Memory {
    /// Goes on after a past, without copying it.
    pub fn after(past: Arc<Past>) -> Self {
        Self { shared: Some(past), own: Past::default() }
    }

    /// Tokens remembered.
    pub fn tokens(&self) -> usize {
        self.shared.as_ref().map_or(0, |past| past.tokens) + self.own.tokens
    }

    /// The own past; what is shared is not part of it.
    pub fn into_own(self) -> Past {
        self.own
    }

    /// The own past; what is shared is not part of it.
    pub fn own(&self) -> &Past {
        &self.own
    }

    /// Makes room for the layers of a model.
    pub(crate) fn prepare(&mut self, layers: usize) {
        self.own.layers.resize_with(layers, Layer::default);
    }

    pub(crate) fn layer_mut(&mut self, layer: usize) -> &mut Layer {
        &mut self.own.layers[layer]
    }

    /// Counts tokens whose keys and values were added to every layer.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.own.tokens += tokens;
    }

    /// The stretches of a layer, the shared one first; so many numbers of the own one.
    pub(crate) fn stretches(&self, layer: usize, own_numbers: usize) -> impl Iterator<Item = Stretch<'_>> {
        let shared = self.shared.as_deref().and_then(|past| past.layers.get(layer));
        shared.map(Layer::whole).into_iter().chain([self.own.layers[layer].beginning(own_numbers)])
    }
}
