//! Multiple linear regression by least squares, with the statistics of the fit, recursive least squares for learning online, and the
//! model "linear" that predicts from the features of [`crate::features`] whether an event happens.
//!
//! All coefficients are solved for jointly from the normal equations in `f64`. A regressor that the earlier ones determine gets the
//! coefficient 0 and is reported as such instead of breaking the fit. The outcome is 0 or 1, so the standard errors are descriptive:
//! residuals of a linear probability model are neither normal nor equally spread.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, Histories, Model, Query, Scores,
    dataset::{NoHistories, latest},
    features::{COUNT, Extractor, NAMES, OF_ITEM, OF_PAIR, OF_QUERY, Row, Scaler},
    linalg,
};

/// Name of the model.
const NAME: &str = "linear";
/// Name of the constant term in explanations and reports.
pub const INTERCEPT: &str = "intercept";
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
            return Err(FitError::TooLittleData { model: NAME, found, needed: "more than one per coefficient" });
        }
        if products.iter().any(|value| !value.is_finite()) {
            return Err(FitError::Numerical { model: NAME, detail: "a feature or outcome is not finite".to_owned() });
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

/// Hyper-parameters of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Sampled items with outcome 0 per event with outcome 1.
    pub negatives: usize,
    /// Events that are sampled at most.
    pub events_max: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { negatives: 4, events_max: 50_000, seed: 1 }
    }
}

impl Params {
    /// Alternatives to these for a coordinate search.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        let negatives = [1, 4, 16].map(|negatives| Self { negatives, ..self.clone() });
        vec![negatives.into_iter().filter(|params| params != self).collect()]
    }
}

/// The model "linear": ŷ for every item from the features of (query, item).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    params: Params,
    extractor: Extractor,
    scaler: Scaler,
    fit: LeastSquares,
    /// Intercept plus what the features of the item alone add, by item.
    base: Vec<f32>,
}

impl LinearModel {
    /// Fits on a sample of the training histories: the query as it was before an event, with the event's item as outcome 1 and random
    /// other items as outcome 0.
    ///
    /// # Errors
    /// Fewer than two items, or too few events.
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        if data.n_items() < 2 {
            let found = format!("{} items", data.n_items());
            return Err(FitError::TooLittleData { model: NAME, found, needed: "at least two" });
        }
        let extractor = Extractor::fit(data);
        let (rows, outcomes) = sample(data, &extractor, params);
        let scaler = Scaler::fit(&rows);
        let scaled: Vec<Row> = rows.iter().map(|row| scaler.apply(row)).collect();
        let fit = LeastSquares::fit(COUNT, scaled.iter().map(<[f32; COUNT]>::as_slice).zip(outcomes))?;
        let mut model = Self { params: params.clone(), extractor, scaler, fit, base: Vec::new() };
        model.base = (0..data.n_items() as ItemIx).map(|item| model.base_score(item)).collect();
        Ok(model)
    }

    /// The hyper-parameters in use.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Whether `params` are the ones in use: every knob needs another fit.
    pub fn adopt(&mut self, params: &Params) -> bool {
        *params == self.params
    }

    /// The regression.
    pub fn least_squares(&self) -> &LeastSquares {
        &self.fit
    }

    /// The regression as a table for people; it prints through [`fmt::Display`].
    pub fn report(&self) -> Report<'_> {
        Report { fit: &self.fit }
    }

    fn base_score(&self, item: ItemIx) -> f32 {
        let mut row = [f32::NAN; COUNT];
        self.extractor.item_features(item, &mut row);
        self.fit.coefficients[0] as f32 + self.part(OF_ITEM, &row)
    }

    /// β·x of one feature.
    fn contribution(&self, feature: usize, row: &Row) -> f32 {
        self.fit.coefficients[feature + 1] as f32 * self.scaler.apply_to(feature, row[feature])
    }

    fn part(&self, features: std::ops::Range<usize>, row: &Row) -> f32 {
        features.map(|feature| self.contribution(feature, row)).sum()
    }
}

impl Model for LinearModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let state = self.extractor.state(query);
        let mut row = [f32::NAN; COUNT];
        state.query_features(&mut row);
        let of_query = self.part(OF_QUERY, &row);
        for (item, (score, base)) in (0..).zip(scores.dense_mut().iter_mut().zip(&self.base)) {
            state.pair_features(item, &mut row);
            *score += base + of_query + self.part(OF_PAIR, &row);
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        if item as usize >= self.base.len() {
            return Vec::new();
        }
        let row = self.extractor.state(query).row(item);
        let intercept = Contribution { cause: Cause::Feature(INTERCEPT), amount: self.fit.coefficients[0] as f32 };
        let features = NAMES.iter().enumerate().map(|(feature, name)| Contribution {
            cause: Cause::Feature(name),
            amount: self.contribution(feature, &row),
        });
        std::iter::once(intercept).chain(features).filter(|part| part.amount != 0.0).collect()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.extractor.bytes() + size_of_val(&self.base[..])
    }
}

/// Raw rows and outcomes of sampled events and of random other items at the same moments.
fn sample(data: &Dataset, extractor: &Extractor, params: &Params) -> (Vec<Row>, Vec<f64>) {
    let mut random = Pcg64Mcg::seed_from_u64(params.seed);
    let share = params.events_max as f64 / data.interactions.len().max(1) as f64;
    let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
    for actor in 0..data.n_actors() as u32 {
        let history = data.of(actor);
        for (place, event) in history.iter().enumerate() {
            if share < 1.0 && random.random::<f64>() >= share {
                continue;
            }
            let state = extractor.state(&query_before(history, place));
            rows.push(state.row(event.item));
            outcomes.push(1.0);
            for _ in 0..params.negatives {
                rows.push(state.row(another_item(event.item, data.n_items(), &mut random)));
                outcomes.push(0.0);
            }
        }
    }
    (rows, outcomes)
}

fn query_before(history: &[Interaction], place: usize) -> Query<'_> {
    let past = latest(&history[..place], zhiyin_core::limits::HISTORY_MAX);
    let now_s = history[place].time_s;
    Query { history: past, actor: None, segment: None, friends: &[], now_s, histories: &NoHistories }
}

/// A random item other than this one.
fn another_item(item: ItemIx, n_items: usize, random: &mut Pcg64Mcg) -> ItemIx {
    let other = random.random_range(0..n_items as ItemIx - 1);
    if other < item { other } else { other + 1 }
}

/// A table of the coefficients, for people.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    fit: &'a LeastSquares,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18} {:>12} {:>12} {:>10}", "feature", "coefficient", "std. error", "t")?;
        let names = std::iter::once(INTERCEPT).chain(NAMES);
        for (k, name) in names.enumerate() {
            let (b, error, t) = (self.fit.coefficients[k], self.fit.standard_errors[k], self.fit.t_values[k]);
            if error.is_nan() {
                writeln!(f, "{name:<18} {:>12} {:>12} {:>10}", "constant", "–", "–")?;
            } else {
                writeln!(f, "{name:<18} {b:>12.5} {error:>12.5} {t:>10.2}")?;
            }
        }
        let LeastSquares { observations, r_squared, adjusted_r_squared, .. } = self.fit;
        writeln!(f, "{observations} observations, R² {r_squared:.4}, adjusted R² {adjusted_r_squared:.4}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ItemFacts;

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

    /// Two kinds of actors, each wanting the items of one category; item 0 of each is wanted most.
    fn planted() -> Dataset {
        let item =
            |item: u32| ItemFacts { categories: vec![item / 10], price: 1.0 + item as f32, ..ItemFacts::default() };
        let row = |u: u32| -> Vec<Interaction> {
            let pick = |k: u32| if k.is_multiple_of(2) { 0 } else { (u / 2 + k) % 10 };
            (0..6).map(|k| Interaction::plain((u % 2) * 10 + pick(k), u * 1_000 + k * 60)).collect()
        };
        let rows: Vec<_> = (0..80).map(row).collect();
        Dataset::from_histories((0..20).map(item).collect(), rows.iter().map(Vec::as_slice))
    }

    fn query(history: &[Interaction]) -> Query<'_> {
        Query { history, actor: None, segment: None, friends: &[], now_s: 90_000, histories: &NoHistories }
    }

    #[test]
    fn finds_planted_taste_and_popularity() {
        let model = LinearModel::fit(&planted(), &Params::default()).unwrap();
        let mut scores = Scores::new(20);
        model.score(&query(&[Interaction::plain(13, 89_000)]), &mut scores);
        assert!((10..20).all(|near| (1..10).all(|far| scores.get(near) > scores.get(far))));
        assert!((11..20).filter(|item| *item != 13).all(|item| scores.get(10) > scores.get(item)));
        let report = model.report().to_string();
        assert!(report.contains("category_affinity") && report.contains("R²"), "{report}");
        assert!(model.least_squares().r_squared > 0.2);
        let again = LinearModel::fit(&planted(), &Params::default()).unwrap();
        assert_eq!(model.least_squares().coefficients, again.least_squares().coefficients);
    }

    #[test]
    fn explanations_sum_to_the_score() {
        let model = LinearModel::fit(&planted(), &Params::default()).unwrap();
        for history in [vec![], vec![Interaction::plain(3, 80_000), Interaction::plain(25, 89_900)]] {
            let mut scores = Scores::new(22);
            model.score(&query(&history), &mut scores);
            for item in 0..22 {
                let sum: f32 = model.explain(&query(&history), item).iter().map(|part| part.amount).sum();
                assert!((sum - scores.get(item)).abs() < 1e-5, "{item}: {sum} {}", scores.get(item));
            }
        }
    }

    #[test]
    fn refuses_what_it_cannot_fit() {
        let none = Dataset::from_histories(vec![ItemFacts::default(); 3], []);
        assert!(matches!(LinearModel::fit(&none, &Params::default()), Err(FitError::TooLittleData { .. })));
    }
}
