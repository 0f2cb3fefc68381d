//! Adam with decoupled weight decay (Loshchilov and Hutter 2019), the rate at which it learns, and the length of a step.

use serde::{Deserialize, Serialize};
use zhiyin_kernels::{dispatch, kernel, sum};

use crate::layout::Layout;

const BETA_1: f32 = 0.9;
/// Below the usual .999, since rare items meet few steps.
const BETA_2: f32 = 0.98;
const EPSILON: f32 = 1e-8;
/// Steps in which the rate rises from 0.
const WARM_UP_STEPS: u64 = 100;
/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.1;

/// Moments of the derivatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    pub steps: u64,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    pub fn new(numbers: usize) -> Self {
        Self { steps: 0, first: vec![0.0; numbers], second: vec![0.0; numbers] }
    }

    /// One step downhill along gradients that are multiplied by `factor`. `decay` is the share of each number that a step at rate 1 takes away.
    pub fn step(&mut self, layout: &Layout, values: &mut [f32], gradients: &[f32], factor: f32, rate: f32, decay: f32) {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (shrink_1, shrink_2) = (1.0 - BETA_1.powi(steps), 1.0 - BETA_2.powi(steps));
        let mut from = 0;
        for part in &layout.parts {
            let range = from..from + part.slot.len();
            from = range.end;
            dispatch(Step {
                values: &mut values[range.clone()],
                gradients: &gradients[range.clone()],
                first: &mut self.first[range.clone()],
                second: &mut self.second[range],
                factor,
                rate: rate / shrink_1,
                root: shrink_2.sqrt().recip(),
                keep: if part.decays { 1.0 - rate * decay } else { 1.0 },
            });
        }
    }
}

struct Step<'a> {
    values: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factor: f32,
    rate: f32,
    root: f32,
    keep: f32,
}

kernel!(Step, Step { values, gradients, first, second, factor, rate, root, keep } => {
    let moments = first.iter_mut().zip(second);
    for ((value, gradient), (first, second)) in values.iter_mut().zip(gradients).zip(moments) {
        let gradient = factor * gradient;
        *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
        *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
        *value = keep * *value - rate * *first / (second.sqrt() * root + EPSILON);
    }
});

/// The length of a gradient; not a number if it has none.
pub fn length(gradients: &[f32]) -> f32 {
    let mut squares = 0.0;
    dispatch(Squares { numbers: gradients, squares: &mut squares });
    squares.sqrt() as f32
}

struct Squares<'a> {
    numbers: &'a [f32],
    squares: &'a mut f64,
}

kernel!(Squares, Squares { numbers, squares } => {
    *squares = numbers.chunks(4096).map(|chunk| f64::from(sum(chunk, |value| value * value))).sum();
});

/// The share of the full rate at this step, when `done` of the training is behind: a short rise, then half a cosine down.
pub fn schedule(step: u64, done: f64) -> f64 {
    let rise = ((step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
    rise * (RATE_LEFT + (1.0 - RATE_LEFT) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Start;

    fn layout() -> Layout {
        let mut layout = Layout::default();
        layout.add("vector", 1, 2, Start::Zeros);
        layout.add("matrix", 2, 1, Start::Zeros);
        layout
    }

    #[test]
    fn the_bottom_of_a_bowl_is_found() {
        let (mut values, mut adam) = (vec![3.0_f32, -2.0, 1.0, 0.0], Adam::new(4));
        for step in 0..2000 {
            let gradients = [2.0 * (values[0] - 1.0), 20.0 * (values[1] + 1.0), 0.0, values[3] - 2.0];
            let rate = 0.02 * schedule(step, step as f64 / 2000.0) as f32;
            adam.step(&layout(), &mut values, &gradients, 1.0, rate, 0.0);
        }
        assert!((values[0] - 1.0).abs() < 0.02 && (values[1] + 1.0).abs() < 0.02 && (values[3] - 2.0).abs() < 0.02);
        assert_eq!(values[2], 1.0);
    }

    #[test]
    fn the_first_step_is_as_long_as_the_rate_and_matrices_alone_decay() {
        let (mut values, mut adam) = (vec![0.0_f32, 0.0, 1.0, 1.0], Adam::new(4));
        adam.step(&layout(), &mut values, &[1e-3, -50.0, 0.0, 0.0], 1.0, 0.5, 0.1);
        let wanted = [-0.5, 0.5, 0.95, 0.95];
        assert!(values.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-3), "{values:?}");
    }

    #[test]
    fn the_rate_rises_and_falls_and_lengths_are_right() {
        assert!(schedule(0, 0.0) < 0.02 && schedule(100, 0.0) > 0.999 && schedule(1000, 0.5) < 0.6);
        assert!((schedule(1000, 1.0) - RATE_LEFT).abs() < 1e-9);
        assert_eq!(length(&[3.0, 0.0, 4.0]), 5.0);
        assert!(length(&[1.0, f32::NAN]).is_nan());
    }
}
