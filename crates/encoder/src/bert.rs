//! The forward pass of BERT (Devlin et al. 2019) over a ragged batch, ending in the mean of each text's tokens.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use zhiyin_kernels::{dispatch, kernel, sum};

use crate::{
    attention::{self, Attention},
    e5::unpack,
    math::{AddNorm, Bias, BiasGelu, normalise},
    ragged::Ragged,
    weights::{Layer, Linear, Norm, Weights, Words},
};

/// Unit vectors of the texts of a batch, one row of `hidden` numbers each. Runs on the calling thread.
pub fn forward(weights: &Weights, batch: &Ragged) -> Vec<f32> {
    let mut pass = Pass::new(weights, batch);
    pass.embed();
    weights.layers.iter().for_each(|layer| pass.layer(layer));
    pass.pooled()
}

/// The state of one pass: one row per token in every buffer.
struct Pass<'a> {
    weights: &'a Weights,
    batch: &'a Ragged,
    /// Vectors of the tokens: `hidden` numbers a row.
    states: Vec<f32>,
    /// Queries, keys and values.
    attention: Vec<f32>,
    /// What the heads give, then what a map gives: `hidden` numbers a row.
    mixed: Vec<f32>,
    mapped: Vec<f32>,
    /// Inside of the feed-forward part.
    feed: Vec<f32>,
    work: attention::Work,
}

impl<'a> Pass<'a> {
    fn new(weights: &'a Weights, batch: &'a Ragged) -> Self {
        let rows = |width: usize| vec![0.0; batch.tokens.len() * width];
        let shape = weights.shape;
        Self {
            weights,
            batch,
            states: rows(shape.hidden),
            attention: rows(3 * shape.hidden),
            mixed: rows(shape.hidden),
            mapped: rows(shape.hidden),
            feed: rows(shape.feed_forward),
            work: attention::Work::default(),
        }
    }

    fn embed(&mut self) {
        let hidden = self.weights.shape.hidden;
        let positions = self.batch.texts().flat_map(|text| 0..text.len());
        let rows = self.states.chunks_exact_mut(hidden).zip(&self.batch.tokens).zip(positions);
        for ((row, &token), position) in rows {
            word(&self.weights.words, token as usize, row);
            let position = &self.weights.positions[position * hidden..][..hidden];
            row.iter_mut().zip(position).for_each(|(value, position)| *value += position);
        }
        let Norm { scale, shift } = &self.weights.norm;
        let epsilon = self.weights.shape.epsilon;
        dispatch(Normalise { rows: &mut self.states, scale, shift, epsilon });
    }

    fn layer(&mut self, layer: &Layer) {
        product(&self.states, &layer.attention, &mut self.attention);
        dispatch(Bias { rows: &mut self.attention, bias: &layer.attention.bias });
        self.attend();
        product(&self.mixed, &layer.attention_out, &mut self.mapped);
        self.add_and_normalise(&layer.attention_out, &layer.attention_norm);
        product(&self.states, &layer.feed_in, &mut self.feed);
        dispatch(BiasGelu { rows: &mut self.feed, bias: &layer.feed_in.bias });
        product(&self.feed, &layer.feed_out, &mut self.mapped);
        self.add_and_normalise(&layer.feed_out, &layer.feed_norm);
    }

    fn attend(&mut self) {
        let (hidden, heads) = (self.weights.shape.hidden, self.weights.shape.heads);
        for text in self.batch.texts() {
            let inputs = &self.attention[text.start * 3 * hidden..text.end * 3 * hidden];
            let out = &mut self.mixed[text.start * hidden..text.end * hidden];
            dispatch(Attention { inputs, out, hidden, heads, work: &mut self.work });
        }
    }

    fn add_and_normalise(&mut self, map: &Linear, norm: &Norm) {
        dispatch(AddNorm {
            rows: &mut self.states,
            added: &self.mapped,
            bias: &map.bias,
            scale: &norm.scale,
            shift: &norm.shift,
            epsilon: self.weights.shape.epsilon,
        });
    }

    /// The mean over each text's tokens, at length 1.
    fn pooled(&self) -> Vec<f32> {
        let hidden = self.weights.shape.hidden;
        let mut vectors = vec![0.0; (self.batch.offsets.len() - 1) * hidden];
        for (vector, text) in vectors.chunks_exact_mut(hidden).zip(self.batch.texts()) {
            for row in self.states[text.start * hidden..text.end * hidden].chunks_exact(hidden) {
                vector.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let norm = sum(vector, |value| value * value).sqrt().max(f32::MIN_POSITIVE);
            vector.iter_mut().for_each(|value| *value /= norm);
        }
        vectors
    }
}

/// Normalises every row.
struct Normalise<'a> {
    rows: &'a mut [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    epsilon: f32,
}

kernel!(Normalise, Normalise { rows, scale, shift, epsilon } => {
    rows.chunks_exact_mut(scale.len()).for_each(|row| normalise(row, scale, shift, epsilon));
});

fn word(words: &Words, token: usize, row: &mut [f32]) {
    match words {
        Words::Full(table) => row.copy_from_slice(&table[token * row.len()..][..row.len()]),
        Words::Packed(blocks) => unpack(blocks, token * row.len(), row),
    }
}

/// out ← rows · Wᵀ, without the bias.
fn product(rows: &[f32], map: &Linear, out: &mut [f32]) {
    let outputs = map.bias.len();
    let (tokens, inputs) = (out.len() / outputs, map.weight.len() / outputs);
    let left = MatRef::from_row_major_slice(rows, tokens, inputs);
    let right = MatRef::from_column_major_slice(&map.weight, inputs, outputs);
    let out = MatMut::from_row_major_slice_mut(out, tokens, outputs);
    matmul(out, Accum::Replace, left, right, 1.0, Par::Seq);
}
