//! The loss of states, and its derivatives: each state is to tell the item that came next from the sampled ones.
//!
//! With s the dot product of a state and an item vector, y the next item and N the sampled ones less y:
//! * softmax: ln(e^s(y) + Σ_N e^(s(j) − ln k·q(j))) − s(y); the correction by k items sampled with probabilities q makes the sum an unbiased
//!   estimate of that over the catalogue;
//! * logistic: −β ln σ(s(y)) − Σ_N ln σ(−s(j)), with β = α(t(1 − 1/α) + 1/α) and α the sampled share;
//! * squared: (s(y) − 1)² + Σ_N s(j)²/√k.

use zhiyin_kernels::{dispatch, dot, exp, greatest, kernel, sum};

use crate::{
    params::Loss,
    product::{add, rows, rows_mut, set},
};

/// States whose scores are in memory at once.
const BAND_ROWS: usize = 128;
/// Score of an item that doesn't take part.
const ABSENT: f32 = -1e30;

/// The sampled items of a step.
pub struct Sampled<'a> {
    /// Their vectors.
    pub vectors: &'a [f32],
    /// Their rows among the vectors of the step.
    pub rows: &'a [u32],
    /// What is subtracted from their scores for the softmax: ln k·q.
    pub corrections: &'a [f32],
    /// Items that they were sampled from.
    pub of: usize,
}

/// What is foretold.
pub struct Foretold<'a> {
    pub loss: Loss,
    /// Numbers in a vector.
    pub dims: usize,
    pub sampled: Sampled<'a>,
    /// Vectors of all items of the step.
    pub vectors: &'a [f32],
    /// For each state the row of the next item among them.
    pub next: &'a [u32],
    /// What each state's loss is multiplied by.
    pub weight: f32,
}

/// Derivatives by vectors, to which more is added.
pub struct Slopes {
    /// By those of all items of the step.
    pub vectors: Vec<f32>,
    /// By those of the sampled ones.
    pub sampled: Vec<f32>,
}

impl Slopes {
    pub fn zeros(foretold: &Foretold<'_>) -> Self {
        Self { vectors: vec![0.0; foretold.vectors.len()], sampled: vec![0.0; foretold.sampled.vectors.len()] }
    }
}

impl Foretold<'_> {
    /// The sum of the losses times the weight, and its derivatives by the states; those by the vectors are added to `slopes`.
    pub fn measure(&self, states: &[f32], slopes: &mut Slopes) -> (f64, Vec<f32>) {
        let (dims, count) = (self.dims, self.sampled.rows.len());
        let mut by_states = vec![0.0; states.len()];
        let mut scores = vec![0.0; BAND_ROWS * count];
        let mut total = 0.0;
        let bands = states.chunks(BAND_ROWS * dims).zip(by_states.chunks_mut(BAND_ROWS * dims));
        for ((states, by_states), next) in bands.zip(self.next.chunks(BAND_ROWS)) {
            let scores = &mut scores[..next.len() * count];
            let (states_of, sampled) = (rows(states, dims), rows(self.sampled.vectors, dims));
            set(rows_mut(scores, count), states_of, sampled.transpose(), 1.0);
            let pairs = states.chunks_exact(dims).zip(next);
            let mut own: Vec<f32> = pairs.map(|(state, &next)| dot(state, self.vector(next))).collect();
            dispatch(Band { foretold: self, scores, own: &mut own, next, total: &mut total });
            let by_scores = rows(scores, count);
            set(rows_mut(by_states, dims), by_scores, sampled, 1.0);
            add(rows_mut(&mut slopes.sampled, dims), by_scores.transpose(), states_of, 1.0);
            for (((state, by_state), &slope), &next) in
                states.chunks_exact(dims).zip(by_states.chunks_exact_mut(dims)).zip(&own).zip(next)
            {
                add_multiple(by_state, slope, self.vector(next));
                add_multiple(&mut slopes.vectors[next as usize * dims..][..dims], slope, state);
            }
        }
        (total, by_states)
    }

    fn vector(&self, row: u32) -> &[f32] {
        &self.vectors[row as usize * self.dims..][..self.dims]
    }
}

fn add_multiple(out: &mut [f32], factor: f32, row: &[f32]) {
    out.iter_mut().zip(row).for_each(|(out, value)| *out += factor * value);
}

/// Losses of some states, whose scores become the derivatives by them.
struct Band<'a> {
    foretold: &'a Foretold<'a>,
    /// Scores of the sampled items, row by row.
    scores: &'a mut [f32],
    /// Score of each state's next item.
    own: &'a mut [f32],
    next: &'a [u32],
    total: &'a mut f64,
}

kernel!(Band, Band { foretold, scores, own, next, total } => {
    let Foretold { sampled, loss, weight, .. } = foretold;
    let count = sampled.rows.len();
    for ((row, own), &next) in scores.chunks_exact_mut(count).zip(own).zip(next) {
        let found = match *loss {
            Loss::Softmax => {
                for ((score, &other), correction) in row.iter_mut().zip(sampled.rows).zip(sampled.corrections) {
                    *score = if other == next { ABSENT } else { *score - correction };
                }
                softmax_loss(row, own)
            }
            Loss::Logistic { calibration } => {
                let beta = beta(count, sampled.of, calibration);
                absent(row, sampled.rows, next);
                logistic_loss(row, own, beta)
            }
            Loss::Squared => squared_loss(row, own, sampled.rows, next),
        };
        *total += f64::from(found * weight);
        *own *= weight;
        row.iter_mut().for_each(|slope| *slope *= weight);
    }
});

#[inline(always)]
fn absent(row: &mut [f32], items: &[u32], next: u32) {
    for (score, &other) in row.iter_mut().zip(items) {
        *score = if other == next { ABSENT } else { *score };
    }
}

#[inline(always)]
fn softmax_loss(row: &mut [f32], own: &mut f32) -> f32 {
    let top = greatest(row).max(*own);
    row.iter_mut().for_each(|score| *score = exp(*score - top));
    let own_power = (*own - top).exp();
    let all = sum(row, |power| power) + own_power;
    let loss = top + all.ln() - *own;
    row.iter_mut().for_each(|power| *power /= all);
    *own = own_power / all - 1.0;
    loss
}

#[inline(always)]
fn logistic_loss(row: &mut [f32], own: &mut f32, beta: f32) -> f32 {
    let mut loss = beta * softplus(-*own);
    *own = -beta * sigmoid(-*own);
    for score in row.iter_mut() {
        loss += softplus(*score);
        *score = sigmoid(*score);
    }
    loss
}

#[inline(always)]
fn squared_loss(row: &mut [f32], own: &mut f32, items: &[u32], next: u32) -> f32 {
    let share = 1.0 / (row.len() as f32).sqrt();
    let mut loss = (*own - 1.0) * (*own - 1.0);
    *own = 2.0 * (*own - 1.0);
    for (score, &other) in row.iter_mut().zip(items) {
        let taken = if other == next { 0.0 } else { *score };
        loss += share * taken * taken;
        *score = 2.0 * share * taken;
    }
    loss
}

/// The exponent of gBCE.
fn beta(sampled: usize, of: usize, calibration: f32) -> f32 {
    let share = (sampled as f32 / of.saturating_sub(1).max(1) as f32).min(1.0);
    share * (calibration * (1.0 - 1.0 / share) + 1.0 / share)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (1.0 + exp(-x.abs())).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(loss: Loss, sampled: &[u32], corrections: &[f32]) -> (f64, Vec<f32>, Slopes) {
        let vectors = [1.0, 0.0, 0.0, 1.0];
        let of_sampled: Vec<f32> = sampled.iter().flat_map(|&row| &vectors[row as usize * 2..][..2]).copied().collect();
        let foretold = Foretold {
            loss,
            dims: 2,
            sampled: Sampled { vectors: &of_sampled, rows: sampled, corrections, of: 3 },
            vectors: &vectors,
            next: &[0],
            weight: 1.0,
        };
        let mut slopes = Slopes::zeros(&foretold);
        let (total, by_states) = foretold.measure(&[1.0, 0.0], &mut slopes);
        (total, by_states, slopes)
    }

    fn close(found: &[f32], wanted: &[f32]) -> bool {
        found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    #[test]
    fn two_items_by_hand() {
        // Scores 1 and 0: the next item has the share e/(e + 1) = .731059. Sampling it changes nothing.
        for sampled in [&[1][..], &[0, 1][..]] {
            let (loss, by_states, slopes) = measured(Loss::Softmax, sampled, &[0.0; 2][..sampled.len()]);
            assert!((loss - 0.313_261_7).abs() < 1e-6, "{loss}");
            assert!(close(&by_states, &[-0.268_941, 0.268_941]));
            assert!(close(&slopes.vectors, &[-0.268_941, 0.0, 0.0, 0.0]));
            assert!(close(&slopes.sampled[slopes.sampled.len() - 2..], &[0.268_941, 0.0]));
        }
        // The sampled item stands for two: e/(e + 2).
        let (loss, ..) = measured(Loss::Softmax, &[1], &[-(2.0_f32.ln())]);
        assert!((loss - (1.0_f64.exp() + 2.0).ln() + 1.0).abs() < 1e-6);
        // ln(1 + e^−1) + ln(1 + e^0), and with a calibration of 1 and half of the others sampled, half of the first.
        let (loss, by_states, _) = measured(Loss::Logistic { calibration: 0.0 }, &[1], &[0.0]);
        assert!((loss - 1.006_408_9).abs() < 1e-6 && close(&by_states, &[-0.268_941, 0.5]));
        let (loss, ..) = measured(Loss::Logistic { calibration: 1.0 }, &[1], &[0.0]);
        assert!((loss - 0.849_778).abs() < 1e-5, "{loss}");
        // The score of the next item is as wanted, and so is that of the other.
        let (loss, by_states, _) = measured(Loss::Squared, &[1], &[0.0]);
        assert!(loss == 0.0 && close(&by_states, &[0.0, 0.0]));
    }
}
