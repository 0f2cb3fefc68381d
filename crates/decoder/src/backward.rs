//! The way back through the model (reverse-mode differentiation): from the derivatives of a loss by the last states to those by the adapter.
//!
//! The weights themselves are frozen, so no derivative by them is ever made: the way back costs as many products as the way there.

mod heads;

use zhiyin_kernels::{
    dispatch,
    rows::{RmsNorm, RmsNormBack, SwiGlu, SwiGluBack},
};

use crate::{
    adapter::{Adapter, Learning, Map},
    llama::{Llama, turn, turns},
    tape::{Kept, Tape},
    tree::Tree,
};

/// Adds the derivatives by the numbers of the adapter to `gradients`. `tree` tells which runs the pass had; `slopes` are the derivatives by
/// the normalised states of all tokens.
pub fn back(model: &Llama, adapter: &Adapter, tape: Tape, tree: &Tree, slopes: &[f32], gradients: &mut [f32]) {
    let shape = model.shape;
    let mut states = vec![0.0; slopes.len()];
    let (scale, epsilon) = (&model.norm, shape.epsilon);
    dispatch(RmsNormBack { rows: &tape.last, scale, epsilon, slopes, below: &mut states, by_scale: &mut [] });
    let mut turns = turns(shape, tree.positions());
    // Back by the same angles.
    turns.iter_mut().for_each(|(_, sin)| *sin = -*sin);
    let mut back = Back { model, adapter, tree, turns, states, gradients, scratch: Vec::new() };
    for (number, kept) in tape.layers.into_iter().enumerate().rev() {
        back.layer(number, kept);
    }
}

struct Back<'a> {
    model: &'a Llama,
    adapter: &'a Adapter,
    tree: &'a Tree,
    turns: Vec<(f32, f32)>,
    /// Derivatives by the states at the present place.
    states: Vec<f32>,
    gradients: &'a mut [f32],
    scratch: Vec<f32>,
}

impl Back<'_> {
    fn layer(&mut self, number: usize, mut kept: Kept) {
        let layer = &self.model.layers[number];
        let (epsilon, width) = (self.model.shape.epsilon, self.model.shape.feed_forward);
        let tokens = self.tree.rows();

        let mut inner = vec![0.0; tokens * width];
        dispatch(SwiGlu { rows: &kept.feed, width, out: &mut inner });
        let slopes = std::mem::take(&mut self.states);
        let by_inner = self.through(number, Map::FeedOut, &inner, &slopes);
        dispatch(SwiGluBack { rows: &mut kept.feed, width, slopes: &by_inner });
        let mut normal = vec![0.0; slopes.len()];
        dispatch(RmsNorm { rows: &kept.middle, scale: &layer.feed_norm, epsilon, out: &mut normal });
        let by_normal = self.through(number, Map::FeedIn, &normal, &kept.feed);
        let mut states = slopes;
        let scale = &layer.feed_norm;
        dispatch(RmsNormBack {
            rows: &kept.middle,
            scale,
            epsilon,
            slopes: &by_normal,
            below: &mut states,
            by_scale: &mut [],
        });

        let by_mixed = self.through(number, Map::AttentionOut, &kept.mixed, &states);
        let mut by_attention = heads::back(self.model.shape, self.tree, &kept.attention, &by_mixed);
        turn(self.model.shape, &mut by_attention, &self.turns);
        dispatch(RmsNorm { rows: &kept.before, scale: &layer.attention_norm, epsilon, out: &mut normal });
        let by_normal = self.through(number, Map::Attention, &normal, &by_attention);
        let scale = &layer.attention_norm;
        dispatch(RmsNormBack {
            rows: &kept.before,
            scale,
            epsilon,
            slopes: &by_normal,
            below: &mut states,
            by_scale: &mut [],
        });
        self.states = states;
    }

    /// Back through a map that read `rows`: returns the derivatives by them.
    fn through(&mut self, number: usize, map: Map, rows: &[f32], slopes: &[f32]) -> Vec<f32> {
        let matrix = self.model.layers[number].map(map);
        let mut below = vec![0.0; rows.len()];
        matrix.back(slopes, &mut below, &mut self.scratch);
        let learning = Learning { layer: number, map, rows, slopes, width: matrix.outputs };
        learning.back(self.adapter, self.gradients, &mut below);
        below
    }
}
