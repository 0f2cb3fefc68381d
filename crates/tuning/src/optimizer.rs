//! AdamW (Loshchilov and Hutter 2019) over one flat array, and the rate at which it learns.

use serde::{Deserialize, Serialize};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Share of the training in which the rate rises from 0.
const WARM_UP: f64 = 0.05;
/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.1;

/// Moments of the derivatives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdamW {
    steps: i32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    pub fn new(numbers: usize) -> Self {
        Self { steps: 0, first: vec![0.0; numbers], second: vec![0.0; numbers] }
    }

    /// One step downhill. `decay` is the share of each value that a step at rate 1 would take away.
    pub fn step(&mut self, values: &mut [f32], gradients: &[f32], rate: f32, decay: f32) {
        self.steps += 1;
        let (shrink_1, shrink_2) = (1.0 - BETA_1.powi(self.steps), 1.0 - BETA_2.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradients).zip(moments) {
            *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
            *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
            let step = (*first / shrink_1) / ((*second / shrink_2).sqrt() + EPSILON);
            *value -= rate * (step + decay * *value);
        }
    }
}

/// Scales derivatives to at most this length; returns the length that they had.
pub fn clip(gradients: &mut [f32], length_max: f64) -> f64 {
    let length = gradients.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > length_max {
        let factor = (length_max / length) as f32;
        gradients.iter_mut().for_each(|value| *value *= factor);
    }
    length
}

/// The share of the full rate after this share of the training: a short rise, then half a cosine down.
pub fn schedule(done: f64) -> f64 {
    if done < WARM_UP {
        return (done / WARM_UP).max(0.05);
    }
    let rest = ((done - WARM_UP) / (1.0 - WARM_UP)).min(1.0);
    RATE_LEFT + (1.0 - RATE_LEFT) * 0.5 * (1.0 + (std::f64::consts::PI * rest).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bowl_is_found() {
        let (mut values, mut adam) = (vec![3.0_f32, -2.0], AdamW::new(2));
        for step in 0..400 {
            let gradients = [2.0 * (values[0] - 1.0), 20.0 * (values[1] + 1.0)];
            adam.step(&mut values, &gradients, 0.1 * schedule(f64::from(step) / 400.0) as f32, 0.0);
        }
        assert!((values[0] - 1.0).abs() < 0.02 && (values[1] + 1.0).abs() < 0.02, "{values:?}");
    }

    #[test]
    fn the_first_step_is_as_long_as_the_rate_whatever_the_slope() {
        let (mut values, mut adam) = (vec![0.0_f32, 0.0], AdamW::new(2));
        adam.step(&mut values, &[1e-3, -50.0], 0.5, 0.0);
        assert!((values[0] + 0.5).abs() < 1e-3 && (values[1] - 0.5).abs() < 1e-3);
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_kept() {
        let mut gradients = [3.0, 4.0];
        assert_eq!(clip(&mut gradients, 10.0), 5.0);
        assert_eq!(gradients, [3.0, 4.0]);
        clip(&mut gradients, 1.0);
        assert!((gradients[0] - 0.6).abs() < 1e-6 && (gradients[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn the_rate_rises_and_falls() {
        assert!(schedule(0.0) < 0.1 && schedule(WARM_UP) > 0.999 && schedule(0.5) < 0.7);
        assert!((schedule(1.0) - RATE_LEFT).abs() < 1e-9 && (schedule(2.0) - RATE_LEFT).abs() < 1e-9);
    }
}
