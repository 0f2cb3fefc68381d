//! The model "linear": a multiple linear regression on the features of [`crate::features`] that predicts whether an event happens.
//!
//! The outcome is 0 or 1, so the standard errors are descriptive: residuals of a linear probability model are neither normal nor equally
//! spread. It is the plain, readable baseline, and shows what each feature is worth; it knows of items that go together only through
//! categories and prices.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, Histories, ItemFacts, Model, Query, Scores,
    dataset::{NoHistories, latest},
    features::{COUNT, Extractor, NAMES, OF_ITEM, OF_PAIR, OF_QUERY, Row, Scaler},
    least_squares::LeastSquares,
};

/// Name of the model.
const NAME: &str = "linear";
/// Name of the constant term in explanations and reports.
pub const INTERCEPT: &str = "intercept";
/// Share of the training events from which the item statistics behind the training rows come; the rows are made of the others.
const EARLIER_SHARE: f64 = 0.75;

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
    /// Fits on a sample of the later training events: the query as it was before an event, with the event's item as outcome 1 and
    /// random other items as outcome 0. The item statistics behind those rows come from the earlier events alone: with the event
    /// itself among them, a rare item would look as if its hour and weekday told everything. Scoring uses the statistics of all.
    ///
    /// # Errors
    /// Fewer than two items, or too few events.
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        if data.n_items() < 2 {
            let found = format!("{} items", data.n_items());
            return Err(FitError::TooLittleData { model: NAME, found, needed: "at least two" });
        }
        let (rows, outcomes) = sample(data, params);
        let scaler = Scaler::fit(&rows);
        let scaled: Vec<Row> = rows.iter().map(|row| scaler.apply(row)).collect();
        let fit = LeastSquares::fit(COUNT, scaled.iter().map(<[f32; COUNT]>::as_slice).zip(outcomes))?;
        let mut model = Self { params: params.clone(), extractor: Extractor::fit(data), scaler, fit, base: Vec::new() };
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
        let coefficient = self.fit.coefficients[feature + 1] as f32;
        if coefficient == 0.0 { 0.0 } else { coefficient * self.scaler.apply_to(feature, row[feature]) }
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

/// Which events count as later.
enum Cut {
    /// Those from this time on.
    Time(u32),
    /// The last part of each history, for data without times.
    Place,
}

impl Cut {
    fn new(data: &Dataset) -> Self {
        let mut times: Vec<u32> = data.interactions.iter().map(|event| event.time_s).collect();
        times.sort_unstable();
        let at = (times.len() as f64 * EARLIER_SHARE) as usize;
        match times.get(at) {
            Some(&time_s) if time_s > times[0] => Self::Time(time_s),
            _ => Self::Place,
        }
    }

    fn is_later(&self, history: &[Interaction], place: usize) -> bool {
        match self {
            Self::Time(from_s) => history[place].time_s >= *from_s,
            Self::Place => place as f64 >= history.len() as f64 * EARLIER_SHARE,
        }
    }

    /// The earlier events, and of the items what features are made of.
    fn earlier(&self, data: &Dataset) -> Dataset {
        let facts = |item: &ItemFacts| ItemFacts { categories: item.categories.clone(), text: String::new(), ..*item };
        let rows = (0..data.n_actors() as u32).map(|actor| {
            let history = data.of(actor);
            let early = (0..history.len()).filter(|place| !self.is_later(history, *place));
            early.map(|place| history[place]).collect::<Vec<_>>()
        });
        let rows: Vec<_> = rows.collect();
        Dataset::from_histories(data.items.iter().map(facts).collect(), rows.iter().map(Vec::as_slice))
    }
}

/// Raw rows and outcomes of sampled later events and of random other items at the same moments.
fn sample(data: &Dataset, params: &Params) -> (Vec<Row>, Vec<f64>) {
    let cut = Cut::new(data);
    let extractor = Extractor::fit(&cut.earlier(data));
    let places = (0..data.n_actors() as u32).flat_map(|actor| {
        let history = data.of(actor);
        (0..history.len()).map(move |place| (history, place))
    });
    let later: Vec<_> = places.filter(|(history, place)| cut.is_later(history, *place)).collect();
    let share = params.events_max as f64 / later.len().max(1) as f64;
    let mut random = Pcg64Mcg::seed_from_u64(params.seed);
    let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
    for (history, place) in later {
        if share < 1.0 && random.random::<f64>() >= share {
            continue;
        }
        let item = history[place].item;
        let state = extractor.state(&query_before(history, place));
        rows.push(state.row(item));
        outcomes.push(1.0);
        for _ in 0..params.negatives {
            rows.push(state.row(another_item(item, data.n_items(), &mut random)));
            outcomes.push(0.0);
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
    use super::*;

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
