//! Multinomial logistic regression with shared weights (conditional logit): which candidate of each query was the target.
//!
//! Candidates drawn at random count for all the items that they stand for, so that the likelihood is that of a choice from the whole
//! catalogue; without that, sources would be judged only on items that some source ranks high. Convex, solved by damped Newton steps; the sums run over fixed chunks in a fixed order, so the answer doesn't depend on threads.

use rayon::prelude::*;

/// Queries per parallel piece.
const CHUNK: usize = 64;
const STEPS_MAX: usize = 30;

/// Standard scores of one query's candidates: `rows[s * n + c]` for source s and candidate c, the target first.
#[derive(Clone, Debug)]
pub struct Block {
    /// Number of candidates.
    pub n: usize,
    /// The first `hard` candidates are there by choice and stand for themselves; the others were drawn at random.
    pub hard: usize,
    /// ln of the number of items that each random candidate stands for.
    pub offset: f32,
    /// Scores, one row per source.
    pub rows: Vec<f32>,
}

impl Block {
    /// One source's scores.
    pub fn row(&self, source: usize) -> &[f32] {
        &self.rows[source * self.n..(source + 1) * self.n]
    }

    /// Σ_s w_s x_s of every candidate.
    pub fn fused(&self, weights: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.n];
        for (source, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            sums.iter_mut().zip(self.row(source)).for_each(|(sum, x)| *sum += weight * x);
        }
        sums
    }
}

/// Loss, gradient and Hessian.
struct Derivatives {
    loss: f64,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
}

impl Derivatives {
    fn zero(sources: usize) -> Self {
        Self { loss: 0.0, gradient: vec![0.0; sources], hessian: vec![0.0; sources * sources] }
    }

    fn merge(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        self.hessian.iter_mut().zip(&other.hessian).for_each(|(a, b)| *a += b);
        self
    }

    fn add_query(&mut self, block: &Block, weights: &[f32], active: &[usize]) {
        let mut shares = block.fused(weights);
        shares[block.hard..].iter_mut().for_each(|logit| *logit += block.offset);
        self.loss += softmax(&mut shares);
        let sources = weights.len();
        let mut scaled = vec![0.0_f32; block.n];
        for &a in active {
            let row = block.row(a);
            let mean = inner(row, &shares);
            self.gradient[a] += f64::from(mean - row[0]);
            // Centred before it is multiplied: where the target is nearly certain, the difference of two large products would leave
            // a Hessian that isn't positive definite.
            scaled.iter_mut().zip(row).zip(&shares).for_each(|((out, x), share)| *out = (x - mean) * share);
            for &b in active.iter().filter(|&&b| b <= a) {
                self.hessian[a * sources + b] += f64::from(inner(&scaled, block.row(b)));
            }
        }
    }
}

fn inner(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Turns logits into probabilities; returns −ln of the first.
fn softmax(logits: &mut [f32]) -> f64 {
    let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let target = logits[0];
    logits.iter_mut().for_each(|logit| *logit = (*logit - high).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|logit| *logit /= sum);
    f64::from(high - target) + f64::from(sum).ln()
}

fn derivatives(blocks: &[Block], weights: &[f64], active: &[usize], ridge: f64) -> Derivatives {
    let sources = weights.len();
    let single: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    let piece = |chunk: &[Block]| {
        let mut sums = Derivatives::zero(sources);
        chunk.iter().for_each(|block| sums.add_query(block, &single, active));
        sums
    };
    let pieces: Vec<Derivatives> = blocks.par_chunks(CHUNK).map(piece).collect();
    let mut total = pieces.iter().fold(Derivatives::zero(sources), Derivatives::merge);
    let count = blocks.len().max(1) as f64;
    total.loss = total.loss / count + 0.5 * ridge * weights.iter().map(|weight| weight * weight).sum::<f64>();
    for &a in active {
        total.gradient[a] = total.gradient[a] / count + ridge * weights[a];
        for &b in active {
            total.hessian[a * sources + b] /= count;
        }
        total.hessian[a * sources + a] += ridge;
    }
    total
}

fn loss(blocks: &[Block], weights: &[f64], ridge: f64) -> f64 {
    derivatives(blocks, weights, &[], ridge).loss
}

/// The weights that make the targets most likely, with penalty ½·ridge·|w|² on the mean loss; sources outside `active` get 0.
pub fn fit(blocks: &[Block], sources: usize, active: &[usize], ridge: f64) -> Vec<f64> {
    let mut weights = vec![0.0; sources];
    for _ in 0..STEPS_MAX {
        let here = derivatives(blocks, &weights, active, ridge);
        let step = solve(&here, active, sources);
        let slope: f64 = active.iter().map(|&a| here.gradient[a] * step[a]).sum();
        // The Newton decrement bounds how much is left to gain. A slope that is no number ends the search too.
        if slope.is_nan() || slope < 1e-9 {
            break;
        }
        let Some(next) = descend(blocks, &weights, &step, slope, here.loss, ridge) else { break };
        weights = next;
    }
    weights
}

/// The weights after the longest of a step's halvings that lowers the loss enough (Armijo); none if rounding leaves no such step.
fn descend(
    blocks: &[Block],
    weights: &[f64],
    step: &[f64],
    slope: f64,
    loss_here: f64,
    ridge: f64,
) -> Option<Vec<f64>> {
    let mut length = 1.0;
    while length > 1e-4 {
        let next = advance(weights, step, length);
        // Compared this way round, a loss that is no number is refused.
        if loss(blocks, &next, ridge) <= loss_here - 1e-4 * length * slope {
            return Some(next);
        }
        length *= 0.5;
    }
    None
}

/// As [`fit`], without negative weights: the most negative source is left out until none is.
pub fn fit_non_negative(blocks: &[Block], sources: usize, active: &[usize], ridge: f64) -> Vec<f64> {
    let mut active = active.to_vec();
    loop {
        let weights = fit(blocks, sources, &active, ridge);
        let lowest = active.iter().copied().min_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        match lowest {
            Some(lowest) if weights[lowest] < 0.0 => active.retain(|&source| source != lowest),
            _ => return weights,
        }
    }
}

fn advance(weights: &[f64], step: &[f64], length: f64) -> Vec<f64> {
    weights.iter().zip(step).map(|(weight, step)| weight - length * step).collect()
}

/// H⁻¹ g over the active sources by Cholesky; H is positive definite because of the ridge.
fn solve(at: &Derivatives, active: &[usize], sources: usize) -> Vec<f64> {
    let n = active.len();
    let mut factor = vec![0.0; n * n];
    let mut half = vec![0.0; n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            let entry = at.hessian[active[i] * sources + active[j]] - inner;
            factor[i * n + j] = if i == j { entry.max(1e-12).sqrt() } else { entry / factor[j * n + j] };
        }
        let inner: f64 = (0..i).map(|k| factor[i * n + k] * half[k]).sum();
        half[i] = (at.gradient[active[i]] - inner) / factor[i * n + i];
    }
    let mut step = vec![0.0; sources];
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| factor[k * n + i] * step[active[k]]).sum();
        step[active[i]] = (half[i] - inner) / factor[i * n + i];
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_binary_choice_has_the_weight_of_its_odds() {
        // The target has x = 1 against 0 in three of four queries: without a penalty e^w/(1 + e^w) = 3/4, so w = ln 3.
        let won = Block { n: 2, hard: 2, offset: 0.0, rows: vec![1.0, 0.0] };
        let lost = Block { n: 2, hard: 2, offset: 0.0, rows: vec![0.0, 1.0] };
        let weights = fit(&[won.clone(), won.clone(), won, lost], 1, &[0], 1e-9);
        assert!((weights[0] - 3.0_f64.ln()).abs() < 1e-4, "{weights:?}");
    }

    #[test]
    fn certain_outcomes_and_sources_that_agree_give_finite_weights() {
        let rows: Vec<f32> = [6.2_f32, 6.2, 5.9].iter().flat_map(|x| [*x, 0.0, -0.3, 0.1]).collect();
        let blocks = vec![Block { n: 4, hard: 4, offset: 0.0, rows }; 120];
        let weights = fit(&blocks, 3, &[0, 1, 2], 1e-6);
        assert!(weights.iter().all(|weight| weight.is_finite()) && weights.iter().sum::<f64>() > 0.5, "{weights:?}");
    }

    #[test]
    fn a_random_candidate_counts_for_all_it_stands_for() {
        let drawn = Block { n: 3, hard: 2, offset: 2.0_f32.ln(), rows: vec![1.0, 0.5, 0.2] };
        let twice = Block { n: 4, hard: 4, offset: 0.0, rows: vec![1.0, 0.5, 0.2, 0.2] };
        let (drawn, twice) = (fit(&[drawn], 1, &[0], 0.1), fit(&[twice], 1, &[0], 0.1));
        assert!((drawn[0] - twice[0]).abs() < 1e-4 && drawn[0] > 0.1, "{drawn:?} {twice:?}");
    }

    #[test]
    fn a_misleading_source_gets_no_weight() {
        let block =
            |good: f32, bad: f32| Block { n: 3, hard: 3, offset: 0.0, rows: vec![good, 0.0, 0.1, -bad, 0.0, bad] };
        let blocks = [block(1.0, 0.5), block(0.5, 1.0), block(-0.2, 0.7)];
        let weights = fit_non_negative(&blocks, 2, &[0, 1], 0.01);
        assert!(weights[0] > 0.0 && weights[1] == 0.0, "{weights:?}");
    }
}
