//! Transforms of one number, fitted on training values and stored with the model: z-score, min-max, logarithm, clip, in chains.
//!
//! A chain treats a value that isn't finite as unknown and puts the mean of the training values in its place.

use serde::{Deserialize, Serialize};

/// One step of a chain of transforms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Transform {
    /// (x − mean) / deviation; 0 when the training values were all the same.
    ZScore {
        /// Mean of the training values.
        mean: f32,
        /// Their standard deviation.
        deviation: f32,
    },
    /// (x − low) / (high − low); 0 when the training values were all the same.
    MinMax {
        /// Least training value.
        low: f32,
        /// Greatest training value.
        high: f32,
    },
    /// sign(x)·ln(1 + |x|).
    Log1p,
    /// x, but no less than `low` and no more than `high`.
    Clip {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
}

/// A transform whose constants are still to be fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Becomes [`Transform::ZScore`].
    ZScore,
    /// Becomes [`Transform::MinMax`].
    MinMax,
    /// Becomes [`Transform::Log1p`].
    Log1p,
    /// Becomes [`Transform::Clip`] at the 1st and 99th percentile.
    Clip,
}

impl Transform {
    /// The transform of a known value.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::ZScore { mean, deviation } => {
                if deviation > 0.0 {
                    (x - mean) / deviation
                } else {
                    0.0
                }
            }
            Self::MinMax { low, high } => {
                if high > low {
                    (x - low) / (high - low)
                } else {
                    0.0
                }
            }
            Self::Log1p => x.abs().ln_1p().copysign(x),
            Self::Clip { low, high } => x.clamp(low, high),
        }
    }
}

impl Recipe {
    /// Fits the constants on finite values (at least one).
    fn fit(self, values: &[f32]) -> Transform {
        match self {
            Self::ZScore => {
                let (mean, deviation) = mean_and_deviation(values);
                Transform::ZScore { mean, deviation }
            }
            Self::MinMax => {
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                Transform::MinMax { low, high }
            }
            Self::Log1p => Transform::Log1p,
            Self::Clip => {
                let mut sorted = values.to_vec();
                sorted.sort_unstable_by(f32::total_cmp);
                let margin = sorted.len() / 100;
                Transform::Clip { low: sorted[margin], high: sorted[sorted.len() - 1 - margin] }
            }
        }
    }
}

/// Mean and standard deviation; a deviation that is rounding next to the mean is 0.
fn mean_and_deviation(values: &[f32]) -> (f32, f32) {
    let n = values.len() as f64;
    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let variance = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    (mean as f32, if deviation > 1e-6 * mean.abs() { deviation as f32 } else { 0.0 })
}

/// Transforms applied one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    steps: Vec<Transform>,
    /// What an unknown value counts as, before the first step.
    missing: f32,
}

impl Chain {
    /// Fits each step on the training values as the steps before it left them. Values that aren't finite are unknown; if all are, the
    /// chain gives the transform of 0.
    pub fn fit(recipes: &[Recipe], values: impl IntoIterator<Item = f32>) -> Self {
        let mut known: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
        if known.is_empty() {
            known.push(0.0);
        }
        let missing = mean_and_deviation(&known).0;
        let fit_step = |recipe: &Recipe| {
            let step = recipe.fit(&known);
            known.iter_mut().for_each(|x| *x = step.apply(*x));
            step
        };
        let steps = recipes.iter().map(fit_step).collect();
        Self { steps, missing }
    }

    /// The transformed value; always finite for a chain that ends in a z-score or min-max after a clip or logarithm.
    pub fn apply(&self, x: f32) -> f32 {
        let x = if x.is_finite() { x } else { self.missing };
        self.steps.iter().fold(x, |x, step| step.apply(x))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn transforms_by_hand() {
        let chain = Chain::fit(&[Recipe::ZScore], [1.0, 3.0, f32::NAN]);
        assert_eq!((chain.apply(3.0), chain.apply(f32::NAN), chain.apply(1.0)), (1.0, 0.0, -1.0));
        let chain = Chain::fit(&[Recipe::MinMax], [2.0, 6.0]);
        assert_eq!((chain.apply(3.0), chain.apply(10.0)), (0.25, 2.0));
        let chain = Chain::fit(&[Recipe::Clip, Recipe::MinMax], (0..=200).map(|x| x as f32));
        assert_eq!((chain.apply(-5.0), chain.apply(1e9), chain.apply(100.0)), (0.0, 1.0, 0.5));
        assert!((Transform::Log1p.apply(-(1f32.exp() - 1.0)) + 1.0).abs() < 1e-6);
        let constant = Chain::fit(&[Recipe::Log1p, Recipe::ZScore], [5.0; 9]);
        assert_eq!(constant.apply(7.0), 0.0);
        assert_eq!(Chain::fit(&[Recipe::ZScore], [f32::NAN]).apply(f32::NAN), 0.0);
    }

    proptest! {
        #[test]
        fn standardised_training_values_have_mean_zero_and_deviation_one(values in prop::collection::vec(-50.0f32..50.0, 2..60)) {
            let chain = Chain::fit(&[Recipe::Log1p, Recipe::ZScore], values.iter().copied());
            let scaled: Vec<f32> = values.iter().map(|x| chain.apply(*x)).collect();
            let (mean, deviation) = mean_and_deviation(&scaled);
            prop_assert!(mean.abs() < 1e-3);
            prop_assert!(deviation == 0.0 || (deviation - 1.0).abs() < 1e-3);
        }

        #[test]
        fn chains_are_monotone_and_finite(values in prop::collection::vec(-50.0f32..50.0, 1..40), a in any::<f32>(), b in any::<f32>()) {
            let chain = Chain::fit(&[Recipe::Clip, Recipe::Log1p, Recipe::ZScore], values);
            prop_assert!(chain.apply(a).is_finite());
            if a.is_finite() && b.is_finite() && a <= b {
                prop_assert!(chain.apply(a) <= chain.apply(b));
            }
        }
    }
}
