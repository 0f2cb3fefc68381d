//! L2-regularised logistic regression on sparse rows, fitted by L-BFGS.
//!
//! Minimises Σᵢ sᵢ·[softplus(zᵢ) − tᵢ·zᵢ] + λ/2·‖w‖² with zᵢ = w·xᵢ + b: tᵢ in 0 to 1 is the outcome, sᵢ the weight of the row. The
//! constant b is not regularised. Limited-memory BFGS after Nocedal and Wright (2006, algorithm 7.5) with a backtracking line search; the
//! objective is convex, so that it reaches the one minimum. Deterministic.

use std::collections::VecDeque;

/// Pairs of steps that the curvature is remembered by.
const MEMORY: usize = 10;
const ITERATIONS_MAX: usize = 500;
/// The fit ends when the gradient is this much smaller than at the start.
const GRADIENT_SHARE: f64 = 1e-4;
/// Share of the promised decrease that a step must bring (Armijo).
const DECREASE_MIN: f64 = 1e-4;
const HALVINGS_MAX: usize = 40;

/// Sparse rows: row `i` has the entries `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug)]
pub struct Rows {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { starts: vec![0], columns: Vec::new(), values: Vec::new() }
    }
}

impl Rows {
    /// Appends a row of (column, value).
    pub fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (column, value) in row {
            self.columns.push(column);
            self.values.push(value);
        }
        self.starts.push(self.columns.len());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self, row: usize) -> impl Iterator<Item = (usize, f64)> {
        let places = self.starts[row]..self.starts[row + 1];
        places.map(|at| (self.columns[at] as usize, f64::from(self.values[at])))
    }
}

/// A fitted regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// One weight per column.
    pub weights: Vec<f32>,
    /// The constant.
    pub constant: f32,
    /// Iterations that it took.
    pub iterations: usize,
}

/// Fits `columns` weights and a constant. `outcomes` and `row_weights` have one entry per row; `lambda` is above 0.
pub fn fit(rows: &Rows, columns: usize, outcomes: &[f32], row_weights: &[f32], lambda: f64) -> Fit {
    let problem = Objective { rows, outcomes, row_weights, lambda };
    let mut at = vec![0.0; columns + 1];
    let mut gradient = vec![0.0; columns + 1];
    let mut value = problem.evaluate(&at, &mut gradient);
    let goal = norm(&gradient) * GRADIENT_SHARE;
    let mut memory = Memory::default();
    let mut iterations = 0;
    while iterations < ITERATIONS_MAX && norm(&gradient) > goal {
        let direction = memory.direction(&gradient);
        let Some(step) = problem.search(&at, value, &gradient, &direction) else { break };
        memory.remember(&at, &gradient, &step);
        (at, gradient, value) = (step.at, step.gradient, step.value);
        iterations += 1;
    }
    let weights = at[..columns].iter().map(|&weight| weight as f32).collect();
    Fit { weights, constant: at[columns] as f32, iterations }
}

struct Objective<'a> {
    rows: &'a Rows,
    outcomes: &'a [f32],
    row_weights: &'a [f32],
    lambda: f64,
}

/// A place that a step led to.
struct Step {
    at: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

impl Objective<'_> {
    /// The value at a place; writes the gradient.
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let (constant, weights) = at.split_last().map_or((0.0, at), |(constant, weights)| (*constant, weights));
        let columns = weights.len();
        for (slope, weight) in gradient.iter_mut().zip(weights) {
            *slope = self.lambda * weight;
        }
        gradient[columns] = 0.0;
        let mut value = self.lambda / 2.0 * dot(weights, weights);
        for row in 0..self.rows.len() {
            let (outcome, weight) = (f64::from(self.outcomes[row]), f64::from(self.row_weights[row]));
            let z = constant + self.rows.entries(row).map(|(column, x)| weights[column] * x).sum::<f64>();
            value += weight * (softplus(z) - outcome * z);
            let slope = weight * (sigmoid(z) - outcome);
            self.rows.entries(row).for_each(|(column, x)| gradient[column] += slope * x);
            gradient[columns] += slope;
        }
        value
    }

    /// Goes along a direction until the value has fallen enough; none if it doesn't fall.
    fn search(&self, at: &[f64], value: f64, gradient: &[f64], direction: &[f64]) -> Option<Step> {
        let promise = dot(gradient, direction);
        let mut length = 1.0;
        let mut step = Step { at: at.to_vec(), gradient: vec![0.0; at.len()], value };
        for _ in 0..HALVINGS_MAX {
            step.at.iter_mut().zip(at.iter().zip(direction)).for_each(|(new, (old, d))| *new = old + length * d);
            step.value = self.evaluate(&step.at, &mut step.gradient);
            if step.value <= value + DECREASE_MIN * length * promise {
                return Some(step);
            }
            length /= 2.0;
        }
        None
    }
}

/// The latest steps and how the gradient changed along them.
#[derive(Default)]
struct Memory {
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
}

impl Memory {
    /// The two-loop recursion: the gradient times the remembered inverse curvature, downhill.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (step, change, curvature) in self.pairs.iter().rev() {
            let share = dot(step, &q) / curvature;
            add(&mut q, -share, change);
            shares.push(share);
        }
        let scale = match self.pairs.back() {
            Some((_, change, curvature)) => curvature / dot(change, change),
            None => 1.0 / norm(gradient).max(f64::MIN_POSITIVE),
        };
        q.iter_mut().for_each(|x| *x *= scale);
        for ((step, change, curvature), share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let correction = share - dot(change, &q) / curvature;
            add(&mut q, correction, step);
        }
        q
    }

    fn remember(&mut self, at: &[f64], gradient: &[f64], step: &Step) {
        let moved: Vec<f64> = step.at.iter().zip(at).map(|(new, old)| new - old).collect();
        let changed: Vec<f64> = step.gradient.iter().zip(gradient).map(|(new, old)| new - old).collect();
        let curvature = dot(&moved, &changed);
        if curvature <= f64::EPSILON * dot(&changed, &changed) {
            return;
        }
        if self.pairs.len() == MEMORY {
            self.pairs.pop_front();
        }
        self.pairs.push_back((moved, changed, curvature));
    }
}

fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(x, y)| *x += factor * y);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// ln(1 + eᶻ) without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// 1 / (1 + e⁻ᶻ).
pub(crate) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_alone_is_the_log_odds() {
        let mut rows = Rows::default();
        (0..4).for_each(|_| rows.push([]));
        let fit = fit(&rows, 1, &[1.0, 1.0, 1.0, 0.0], &[1.0; 4], 1.0);
        assert!((fit.constant - 3.0_f32.ln()).abs() < 1e-3, "{fit:?}");
        assert_eq!(fit.weights, [0.0]);
    }

    #[test]
    fn the_gradient_vanishes_at_the_minimum() {
        let mut rows = Rows::default();
        let mut outcomes = Vec::new();
        for i in 0_u32..200 {
            rows.push([(i % 7, 1.0), (7 + i % 11, 0.5 + (i % 3) as f32)]);
            outcomes.push(if (i * i) % 13 < 6 { 1.0 } else { 0.0 });
        }
        let weights: Vec<f32> = (0_u8..200).map(|i| 1.0 + f32::from(i % 4)).collect();
        let fit = fit(&rows, 18, &outcomes, &weights, 0.3);
        let mut at: Vec<f64> = fit.weights.iter().map(|&w| f64::from(w)).collect();
        at.push(f64::from(fit.constant));
        let problem = Objective { rows: &rows, outcomes: &outcomes, row_weights: &weights, lambda: 0.3 };
        let (mut gradient, mut at_zero) = (vec![0.0; 19], vec![0.0; 19]);
        problem.evaluate(&at, &mut gradient);
        problem.evaluate(&[0.0; 19], &mut at_zero);
        assert!(norm(&gradient) < 2e-4 * norm(&at_zero), "{} of {}", norm(&gradient), norm(&at_zero));
        assert!(fit.iterations < 100);
    }

    #[test]
    fn a_planted_direction_is_found() {
        let mut rows = Rows::default();
        let mut outcomes = Vec::new();
        for i in 0_u32..400 {
            let word = i % 4;
            rows.push([(word, 1.0)]);
            outcomes.push(if word < 2 { 1.0 } else { 0.0 });
        }
        let fit = fit(&rows, 4, &outcomes, &[1.0; 400], 0.1);
        assert!(fit.weights[0] > 3.0 && fit.weights[1] > 3.0 && fit.weights[2] < -3.0 && fit.weights[3] < -3.0);
    }
}
