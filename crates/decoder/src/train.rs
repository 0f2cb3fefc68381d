//! The loss that an adapter is trained by, and its derivatives.

use zhiyin_kernels::{dispatch, softmax};

use crate::{
    Decoder,
    backward::back,
    kernel::LogSoftmax,
    llama::{Llama, Run},
    memory::Memory,
    tape::Tape,
};

/// Rows of logits that are in memory at once; each has the size of the vocabulary.
const LOGITS_ROWS: usize = 256;

/// A text to learn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Its tokens, at least two.
    pub tokens: Vec<u32>,
    /// For each token, how much it counts as something to be foretold from those before it. That of the first token means nothing.
    pub weights: Vec<f32>,
}

impl Example {
    /// Sum of the weights of what is foretold.
    pub fn weight(&self) -> f64 {
        self.weights.iter().skip(1).map(|weight| f64::from(*weight)).sum()
    }
}

impl Decoder {
    /// Σ weight · −ln p(token | those before it) of each text.
    ///
    /// # Panics
    /// If an example has fewer than two tokens or not as many weights.
    pub fn losses(&self, examples: &[&Example]) -> Vec<f64> {
        let states = forward(&self.model, examples, None);
        let mut losses = vec![0.0; examples.len()];
        let targets = targets(examples);
        let hidden = self.model.shape.hidden;
        for chunk in targets.chunks(LOGITS_ROWS) {
            let rows = foretelling(&states, chunk, hidden);
            let mut logits = self.model.logits(&rows);
            for (row, target) in logits.chunks_exact_mut(self.model.shape.vocabulary).zip(chunk) {
                dispatch(LogSoftmax { row });
                losses[target.example] -= f64::from(target.weight * row[target.token as usize]);
            }
        }
        losses
    }

    /// The sum of [`Decoder::losses`]; its derivatives by the numbers of the adapter are added to `gradients`. Does nothing without an adapter.
    ///
    /// # Panics
    /// As [`Decoder::losses`]; if `gradients` isn't as long as the adapter.
    pub fn gradients(&self, examples: &[&Example], gradients: &mut [f32]) -> f64 {
        let Some(adapter) = &self.model.adapter else { return 0.0 };
        let mut tape = Tape::default();
        let states = forward(&self.model, examples, Some(&mut tape));
        let (hidden, vocabulary) = (self.model.shape.hidden, self.model.shape.vocabulary);
        let mut slopes = vec![0.0; states.len()];
        let (mut loss, mut scratch) = (0.0, Vec::new());
        for chunk in targets(examples).chunks(LOGITS_ROWS) {
            let rows = foretelling(&states, chunk, hidden);
            let mut logits = self.model.logits(&rows);
            for (row, target) in logits.chunks_exact_mut(vocabulary).zip(chunk) {
                dispatch(Softmax { row });
                let share = &mut row[target.token as usize];
                loss -= f64::from(target.weight) * f64::from(share.max(f32::MIN_POSITIVE)).ln();
                // The derivative of −ln p by the logits is the distribution less the truth.
                *share -= 1.0;
                row.iter_mut().for_each(|value| *value *= target.weight);
            }
            let mut below = vec![0.0; rows.len()];
            self.model.output().back(&logits, &mut below, &mut scratch);
            for (row, target) in below.chunks_exact(hidden).zip(chunk) {
                slopes[target.row * hidden..][..hidden].copy_from_slice(row);
            }
        }
        let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
        back(&self.model, adapter, tape, &lengths, &slopes, gradients);
        loss
    }
}

/// Something to be foretold.
struct Target {
    example: usize,
    /// The state that foretells it.
    row: usize,
    token: u32,
    weight: f32,
}

fn targets(examples: &[&Example]) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut first = 0;
    for (number, example) in examples.iter().enumerate() {
        assert!(example.tokens.len() >= 2 && example.tokens.len() == example.weights.len(), "an example is malformed");
        for (at, (&token, &weight)) in example.tokens.iter().zip(&example.weights).enumerate().skip(1) {
            if weight != 0.0 {
                targets.push(Target { example: number, row: first + at - 1, token, weight });
            }
        }
        first += example.tokens.len();
    }
    targets
}

/// The states that foretell these targets.
fn foretelling(states: &[f32], targets: &[Target], hidden: usize) -> Vec<f32> {
    targets.iter().flat_map(|target| &states[target.row * hidden..][..hidden]).copied().collect()
}

/// Normalised states of all tokens.
fn forward(model: &Llama, examples: &[&Example], tape: Option<&mut Tape>) -> Vec<f32> {
    let mut memories: Vec<Memory> = examples.iter().map(|_| Memory::default()).collect();
    let runs = examples.iter().zip(&mut memories);
    let mut runs: Vec<Run<'_>> =
        runs.map(|(example, memory)| Run { tokens: &example.tokens, memory, wanted_from: 0 }).collect();
    model.taped(&mut runs, tape)
}

struct Softmax<'a> {
    row: &'a mut [f32],
}

zhiyin_kernels::kernel!(Softmax, Softmax { row } => {
    softmax(row);
});

#[cfg(test)]
mod checks;
