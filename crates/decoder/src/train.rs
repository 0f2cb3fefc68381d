//! The loss that an adapter is trained by, and its derivatives.

use zhiyin_kernels::{dispatch, softmax};

use crate::{
    Decoder,
    backward::back,
    kernel::LogSoftmax,
    llama::{Llama, Run},
    memory::Memory,
    tape::Tape,
    tree::{After, Tree},
};

/// Rows of logits that are in memory at once; each has the size of the vocabulary.
const LOGITS_ROWS: usize = 256;

/// A text, or how one goes on, of which tokens are foretold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Its tokens, at least one.
    pub tokens: Vec<u32>,
    /// For each token, the number of the sum that its −ln p is added to; none if nobody asks for it. The first token of all can't be foretold.
    pub sums: Vec<Option<u32>>,
    /// The number of an earlier example of the same batch, and how many of its tokens come before these.
    pub after: After,
}

impl Example {
    /// Tokens that are all foretold, for one sum, after the beginning of an earlier example.
    pub fn foretold(tokens: Vec<u32>, sum: u32, after: After) -> Self {
        Self { sums: vec![Some(sum); tokens.len()], tokens, after }
    }

    /// Tokens that are only read.
    pub fn read(tokens: Vec<u32>, after: After) -> Self {
        Self { sums: vec![None; tokens.len()], tokens, after }
    }
}

/// The value that is to become small, and its derivative by each sum of −ln p.
pub type Objective<'a> = &'a (dyn Fn(&[f64]) -> (f64, Vec<f64>) + Sync);

impl Decoder {
    /// Σ −ln p(token | those before it) by sum. What several examples begin with is read once.
    ///
    /// # Panics
    /// If an example has no tokens or not as many sums, or goes on after one that isn't there.
    pub fn losses(&self, examples: &[Example]) -> Vec<f64> {
        let batch = Batch::new(examples);
        let states = batch.forward(&self.model, None);
        let (mut losses, mut logits, mut scratch) = (vec![0.0; batch.sums], Vec::new(), Vec::new());
        for chunk in batch.targets.chunks(LOGITS_ROWS) {
            let rows = foretelling(&states, chunk, self.model.shape.hidden);
            self.model.logits_into(&rows, &mut logits, &mut scratch);
            for (row, target) in logits.chunks_exact_mut(self.model.shape.vocabulary).zip(chunk) {
                dispatch(LogSoftmax { row });
                losses[target.sum] -= f64::from(row[target.token as usize]);
            }
        }
        losses
    }

    /// What an objective makes of the [`Decoder::losses`]; its derivatives by the numbers of the adapter are added to `gradients`. Does nothing
    /// without an adapter.
    ///
    /// # Panics
    /// As [`Decoder::losses`]; if `gradients` isn't as long as the adapter, or the objective gives fewer derivatives than there are sums.
    pub fn gradients(&self, examples: &[Example], objective: Objective<'_>, gradients: &mut [f32]) -> f64 {
        let Some(adapter) = &self.model.adapter else { return 0.0 };
        let batch = Batch::new(examples);
        let mut tape = Tape::default();
        let states = batch.forward(&self.model, Some(&mut tape));
        let (losses, by_states) = self.by_states(&batch, &states);
        let (value, by_losses) = objective(&losses);
        let hidden = self.model.shape.hidden;
        let mut slopes = vec![0.0; states.len()];
        for (target, by_state) in batch.targets.iter().zip(by_states.chunks_exact(hidden)) {
            let weight = by_losses[target.sum] as f32;
            let slopes = &mut slopes[target.row * hidden..][..hidden];
            slopes.iter_mut().zip(by_state).for_each(|(slope, value)| *slope += weight * value);
        }
        back(&self.model, adapter, tape, &batch.tree, &slopes, gradients);
        value
    }

    /// The losses by sum, and the derivative of each target's −ln p by the state that foretells it: rows in the order of the targets.
    fn by_states(&self, batch: &Batch<'_>, states: &[f32]) -> (Vec<f64>, Vec<f32>) {
        let (hidden, vocabulary) = (self.model.shape.hidden, self.model.shape.vocabulary);
        let (mut losses, mut logits, mut scratch) = (vec![0.0; batch.sums], Vec::new(), Vec::new());
        let mut by_states = vec![0.0; batch.targets.len() * hidden];
        for (chunk, below) in batch.targets.chunks(LOGITS_ROWS).zip(by_states.chunks_mut(LOGITS_ROWS * hidden)) {
            self.model.logits_into(&foretelling(states, chunk, hidden), &mut logits, &mut scratch);
            for (row, target) in logits.chunks_exact_mut(vocabulary).zip(chunk) {
                dispatch(Softmax { row });
                let share = &mut row[target.token as usize];
                losses[target.sum] -= f64::from(share.max(f32::MIN_POSITIVE)).ln();
                // The derivative of −ln p by the logits is the distribution less the truth.
                *share -= 1.0;
            }
            self.model.output().back(&logits, below, &mut scratch);
        }
        (losses, by_states)
    }
}

/// Something to be foretold.
struct Target {
    sum: usize,
    /// The state that foretells it.
    row: usize,
    token: u32,
}

/// Examples that are read together.
struct Batch<'a> {
    examples: &'a [Example],
    tree: Tree,
    targets: Vec<Target>,
    sums: usize,
}

impl<'a> Batch<'a> {
    fn new(examples: &'a [Example]) -> Self {
        let tree = Tree::new(examples.iter().map(|example| (example.tokens.len(), 0, example.after)));
        let mut targets = Vec::new();
        for (number, Example { tokens, sums, .. }) in examples.iter().enumerate() {
            assert!(!tokens.is_empty() && tokens.len() == sums.len(), "an example is malformed");
            let before = tree.row_before(number).into_iter().chain(tree.span(number));
            // Without a beginning there is no row before the first token.
            let unforeseen = usize::from(tree.row_before(number).is_none());
            let foreseen = tokens.iter().zip(sums).skip(unforeseen).zip(before);
            targets
                .extend(foreseen.filter_map(|((&token, sum), row)| Some(Target { sum: (*sum)? as usize, row, token })));
        }
        let sums = targets.iter().map(|target| target.sum + 1).max().unwrap_or(0);
        Self { examples, tree, targets, sums }
    }

    /// Normalised states of all tokens.
    fn forward(&self, model: &Llama, tape: Option<&mut Tape>) -> Vec<f32> {
        let mut memories: Vec<Memory> = self.examples.iter().map(|_| Memory::default()).collect();
        let runs = self.examples.iter().zip(&mut memories);
        let mut runs: Vec<Run<'_>> =
            runs.map(|(example, memory)| Run { tokens: &example.tokens, memory, wanted_from: 0 }).collect();
        model.taped(&mut runs, &self.tree, tape)
    }
}

/// The states that foretell these targets.
fn foretelling(states: &[f32], targets: &[Target], hidden: usize) -> Vec<f32> {
    targets.iter().flat_map(|target| &states[target.row * hidden..][..hidden]).copied().collect()
}

struct Softmax<'a> {
    row: &'a mut [f32],
}

zhiyin_kernels::kernel!(Softmax, Softmax { row } => {
    softmax(row);
});

#[cfg(test)]
mod checks;
