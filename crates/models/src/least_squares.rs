//! Multiple linear regression by least squares with the statistics of the fit, and recursive least squares for learning online.
//!
//! All coefficients are solved for jointly from the normal equations in `f64`. A regressor that the earlier ones determine gets the
//! coefficient 0 and is reported as such instead of breaking the fit. Made for tens of regressors, not thousands.

use serde::{Deserialize, Serialize};

use crate::{FitError, linalg};

/// Whose fit failed, in errors.
const MODEL: &str = "least squares";
/// A regressor of which less than this share of its sum of squares is left, given the earlier ones, is determined by them.
const TOLERANCE: f64 = 1e-9;

/// A fitted regression y = b₀ + Σ bₖxₖ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeastSquares {
    /// The intercept, then one coefficient per regressor; 0 for one that the earlier ones determine.
    pub coefficients: Vec<f64>,
    /// Their standard errors; not a number where undefined.
    pub standard_errors: Vec<f64>,
    /// Coefficient / standard error; not a number where undefined.
    pub t_values: Vec<f64>,
    /// Share of the variance that is explained.
    pub r_squared: f64,
    /// The same, corrected for the number of regressors.
    pub adjusted_r_squared: f64,
    /// Observations used.
    pub observations: usize,
    /// (XᵀX)⁻¹ with the intercept first, row by row; zeros for determined regressors.
    pub inverse: Vec<f64>,
}

impl LeastSquares {
    /// Fits on observations of (regressors, outcome), all with `width` regressors.
    ///
    /// # Errors
    /// Fewer observations than coefficients, or numbers that aren't finite.
    pub fn fit<'a>(width: usize, observations: impl IntoIterator<Item = (&'a [f32], f64)>) -> Result<Self, FitError> {
        let size = width + 2;
        let mut products = vec![0.0; size * size];
        let mut count = 0;
        let mut line = vec![1.0; size];
        for (x, y) in observations {
            line[1..=width].iter_mut().zip(x).for_each(|(slot, x)| *slot = f64::from(*x));
            line[width + 1] = y;
            add_outer_product(&mut products, &line);
            count += 1;
        }
        if count <= width {
            let found = format!("{count} observations for {} coefficients", width + 1);
            return Err(FitError::TooLittleData { model: MODEL, found, needed: "more than one per coefficient" });
        }
        if products.iter().any(|value| !value.is_finite()) {
            return Err(FitError::Numerical { model: MODEL, detail: "a feature or outcome is not finite".to_owned() });
        }
        Ok(Self::solve(products, width, count))
    }

    fn solve(mut products: Vec<f64>, width: usize, observations: usize) -> Self {
        let (size, pivots) = (width + 2, width + 1);
        let (n, last) = (observations as f64, size - 1);
        let total = products[last * size + last] - products[last].powi(2) / n;
        let swept = linalg::sweep(&mut products, size, pivots, TOLERANCE);
        let rank = swept.iter().filter(|swept| **swept).count();
        let residual = products[last * size + last].max(0.0);
        let freedom = n - rank as f64;
        let variance = residual / freedom;
        let if_swept = |k: usize, value: f64, otherwise: f64| if swept[k] { value } else { otherwise };
        let inverse_at = |i: usize, j: usize| if swept[i] && swept[j] { -products[i * size + j] } else { 0.0 };
        let coefficients: Vec<f64> = (0..pivots).map(|k| if_swept(k, products[k * size + last], 0.0)).collect();
        let standard_errors: Vec<f64> =
            (0..pivots).map(|k| if_swept(k, (variance * inverse_at(k, k)).sqrt(), f64::NAN)).collect();
        let unexplained = if total > 0.0 { residual / total } else { 0.0 };
        Self {
            t_values: coefficients.iter().zip(&standard_errors).map(|(b, error)| b / error).collect(),
            coefficients,
            standard_errors,
            r_squared: 1.0 - unexplained,
            adjusted_r_squared: 1.0 - unexplained * (n - 1.0) / freedom,
            observations,
            inverse: (0..pivots * pivots).map(|at| inverse_at(at / pivots, at % pivots)).collect(),
        }
    }

    /// The predicted outcome.
    pub fn predict(&self, x: &[f32]) -> f64 {
        self.coefficients[0] + x.iter().zip(&self.coefficients[1..]).map(|(x, b)| f64::from(*x) * b).sum::<f64>()
    }
}

fn add_outer_product(products: &mut [f64], line: &[f64]) {
    for (row, &left) in products.chunks_exact_mut(line.len()).zip(line) {
        row.iter_mut().zip(line).for_each(|(sum, right)| *sum += left * right);
    }
}

/// Least squares that learns from one observation at a time and forgets old ones: an observation k steps ago weighs γᵏ.
///
/// P ← (P − Pxxᵀ P/(γ + xᵀPx))/γ (Haykin, Adaptive Filter Theory, chapter on RLS). With γ = 1, started from a fit, it equals a fit on all
/// the observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecursiveLeastSquares {
    coefficients: Vec<f64>,
    /// P, row by row.
    covariance: Vec<f64>,
    forgetting: f64,
    /// Forgetting pauses while P's trace is above this: with little news, 1/γ would otherwise let P grow without bound.
    trace_max: f64,
}

impl RecursiveLeastSquares {
    /// Starts from coefficients of 0 that count like `ridge` observations per regressor. `width` includes the constant, if wanted.
    /// The forgetting γ is clamped to .5..=1, `ridge` to at least 1e-9.
    pub fn new(width: usize, forgetting: f64, ridge: f64) -> Self {
        let ridge = ridge.max(1e-9);
        let covariance =
            (0..width * width).map(|at| if at / width == at % width { 1.0 / ridge } else { 0.0 }).collect();
        Self::start(vec![0.0; width], covariance, forgetting)
    }

    /// Goes on from a fit. Observations then begin with a 1 for the intercept.
    pub fn from_fit(fit: &LeastSquares, forgetting: f64) -> Self {
        Self::start(fit.coefficients.clone(), fit.inverse.clone(), forgetting)
    }

    fn start(coefficients: Vec<f64>, covariance: Vec<f64>, forgetting: f64) -> Self {
        let width = coefficients.len();
        let trace: f64 = covariance.iter().step_by(width + 1).sum();
        Self { coefficients, covariance, forgetting: forgetting.clamp(0.5, 1.0), trace_max: 10.0 * trace.max(1.0) }
    }

    /// The coefficients.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The predicted outcome.
    pub fn predict(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.coefficients).map(|(x, b)| x * b).sum()
    }

    /// Learns one observation; false, and nothing changed, when a number isn't finite or the width is wrong. O(width²).
    pub fn update(&mut self, x: &[f64], y: f64) -> bool {
        let width = self.coefficients.len();
        if x.len() != width || !y.is_finite() || x.iter().any(|x| !x.is_finite()) {
            return false;
        }
        let rows = self.covariance.chunks_exact(width);
        let px: Vec<f64> = rows.map(|row| row.iter().zip(x).map(|(p, x)| p * x).sum()).collect();
        let trace: f64 = self.covariance.iter().step_by(width + 1).sum();
        let forgetting = if trace > self.trace_max { 1.0 } else { self.forgetting };
        let scale = 1.0 / (forgetting + x.iter().zip(&px).map(|(x, p)| x * p).sum::<f64>());
        let error = y - self.predict(x);
        self.coefficients.iter_mut().zip(&px).for_each(|(b, p)| *b += scale * error * p);
        for (row, left) in self.covariance.chunks_exact_mut(width).zip(&px) {
            row.iter_mut().zip(&px).for_each(|(p, right)| *p = (*p - scale * left * right) / forgetting);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * (1.0 + b.abs())
    }

    fn fit(rows: &[(Vec<f32>, f64)]) -> LeastSquares {
        LeastSquares::fit(rows[0].0.len(), rows.iter().map(|(x, y)| (x.as_slice(), *y))).unwrap()
    }

    #[test]
    fn simple_regression_by_hand() {
        // Mean of x 2, of y 10/3; Sxx 2, Sxy 3, Syy 14/3: slope 3/2, residuals 1/6, −1/3, 1/6 with sum of squares 1/6.
        let fit = fit(&[(vec![1.0], 2.0), (vec![2.0], 3.0), (vec![3.0], 5.0)]);
        assert!(close(fit.coefficients[1], 1.5) && close(fit.coefficients[0], 1.0 / 3.0));
        assert!(close(fit.r_squared, 27.0 / 28.0) && close(fit.adjusted_r_squared, 13.0 / 14.0));
        assert!(close(fit.standard_errors[1], (1.0f64 / 12.0).sqrt()));
        assert!(close(fit.t_values[1], 1.5 / (1.0f64 / 12.0).sqrt()));
        assert!(close(fit.predict(&[4.0]), 1.0 / 3.0 + 6.0));
    }

    #[test]
    fn a_copied_or_constant_regressor_is_passed_over() {
        let rows: Vec<_> = (0..9).map(|i| (vec![i as f32, 2.0 * i as f32, 7.0], f64::from(i * 3 + 1))).collect();
        let fit = fit(&rows);
        assert!(close(fit.coefficients[0], 1.0) && close(fit.coefficients[1], 3.0));
        assert_eq!(fit.coefficients[2..], [0.0, 0.0]);
        assert!(fit.standard_errors[2].is_nan() && fit.standard_errors[3].is_nan());
    }

    #[test]
    fn too_few_or_broken_observations_are_refused() {
        let one = [(vec![1.0f32], 2.0)];
        let few = LeastSquares::fit(1, one.iter().map(|(x, y)| (x.as_slice(), *y))).unwrap_err();
        assert!(matches!(few, FitError::TooLittleData { .. }));
        let broken = [(vec![1.0f32], 2.0), (vec![2.0], f64::NAN)];
        let error = LeastSquares::fit(1, broken.iter().map(|(x, y)| (x.as_slice(), *y))).unwrap_err();
        assert!(matches!(error, FitError::Numerical { .. }));
        assert!(!RecursiveLeastSquares::new(1, 1.0, 1.0).update(&[f64::NAN], 1.0));
    }

    #[test]
    fn forgetting_follows_a_change() {
        let mut model = RecursiveLeastSquares::new(1, 0.9, 1.0);
        (0..200).for_each(|_| assert!(model.update(&[1.0], 1.0)));
        (0..200).for_each(|_| assert!(model.update(&[1.0], 3.0)));
        assert!((model.coefficients()[0] - 3.0).abs() < 1e-3);
    }

    fn observations() -> impl Strategy<Value = Vec<(Vec<f32>, f64)>> {
        let one = (prop::collection::vec(-5.0f32..5.0, 3), -5.0f64..5.0);
        prop::collection::vec(one, 12..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn residuals_are_orthogonal_to_every_regressor(rows in observations()) {
            let fit = fit(&rows);
            for k in 0..4 {
                let regressor = |x: &[f32]| if k == 0 { 1.0 } else { f64::from(x[k - 1]) };
                let product: f64 = rows.iter().map(|(x, y)| (y - fit.predict(x)) * regressor(x)).sum();
                prop_assert!(product.abs() < 1e-6, "{product}");
            }
        }

        #[test]
        fn going_on_without_forgetting_equals_one_fit(rows in observations()) {
            let mut online = RecursiveLeastSquares::from_fit(&fit(&rows[..8]), 1.0);
            for (x, y) in &rows[8..] {
                let with_constant: Vec<f64> = std::iter::once(1.0).chain(x.iter().map(|x| f64::from(*x))).collect();
                prop_assert!(online.update(&with_constant, *y));
            }
            let batch = fit(&rows);
            for (a, b) in online.coefficients().iter().zip(&batch.coefficients) {
                prop_assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}");
            }
        }
    }
}
