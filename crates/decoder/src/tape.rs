//! What a forward pass writes down for the way back.

/// The states of a pass at the places from which everything else is recomputed cheaply. Rows are tokens, run by run.
#[derive(Default)]
pub struct Tape {
    pub layers: Vec<Kept>,
    /// What the last norm reads.
    pub last: Vec<f32>,
}

/// What is kept of a layer.
#[derive(Default)]
pub struct Kept {
    /// What the layer reads.
    pub before: Vec<f32>,
    /// Queries, keys and values, turned.
    pub attention: Vec<f32>,
    /// What the heads give.
    pub mixed: Vec<f32>,
    /// What the feed-forward part reads.
    pub middle: Vec<f32>,
    /// Gates and ups.
    pub feed: Vec<f32>,
}

impl Tape {
    pub fn before(&mut self, states: &[f32]) {
        self.layers.push(Kept { before: states.to_vec(), ..Kept::default() });
    }

    pub fn between(&mut self, attention: &[f32], mixed: &[f32], states: &[f32]) {
        if let Some(layer) = self.layers.last_mut() {
            layer.attention = attention.to_vec();
            layer.mixed = mixed.to_vec();
            layer.middle = states.to_vec();
        }
    }

    pub fn after(&mut self, feed: &[f32]) {
        if let Some(layer) = self.layers.last_mut() {
            layer.feed = feed.to_vec();
        }
    }
}
