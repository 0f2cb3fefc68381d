//! Directed decayed co-occurrence: what people go on to after an item, always fresh.
//!
//! For each event on item j and each earlier item i of the same history at lag ℓ: C_ij += w(ℓ) × the event's weight, with
//! w(ℓ) ∝ ℓ·e^(−(ℓ−1)/δ). That is what SLIST's prefix recipe (Choi et al., WWW 2021: source decay times target decay, summed over every
//! split between i and j) comes to for one pair. score_j = Σ_i e^(−age/δ_in) · C_ij / (n_i^½ · n_j^γ).
//!
//! It doesn't smooth, so it knows nothing of pairs that never met; repeats of one item don't count. A pair costs 4 to 12 bytes; an
//! event touches at most [`Params::window`] pairs.

use serde::{Deserialize, Serialize};
use zhiyin_core::{ItemIx, limits::FOLD_WINDOW_MAX};

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{CountTable, Totals, best, each_step, newest},
};

/// Units of the greatest lag weight at an event weight of 1.
const LAG_UNITS: f32 = 1024.0;
/// History items that weigh less than this don't count.
const INPUT_WEIGHT_MIN: f32 = 1e-3;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// δ, in events: how fast a pair's weight falls with its lag.
    pub lag_decay: f32,
    /// Largest lag that counts, in events, at most [`FOLD_WINDOW_MAX`].
    pub window: usize,
    /// δ_in, in events: how fast the history's influence falls with age.
    pub input_decay: f32,
    /// γ: how strongly the popularity of the scored item is divided out; ½ gives the cosine.
    pub damping: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { lag_decay: 1.0, window: 8, input_decay: 2.0, damping: 0.4 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time. The length of memory moves both decays and the window together.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        let memories = [(1.0, 8), (2.0, 16), (5.0, 32), (20.0, 64)];
        vec![
            memories
                .map(|(decay, window)| Self { lag_decay: decay, window, input_decay: 2.0 * decay, ..self.clone() })
                .to_vec(),
            [1.0, 2.0, 4.0, 8.0, 20.0].map(|input_decay| Self { input_decay, ..self.clone() }).to_vec(),
            [0.3, 0.4, 0.5, 0.6].map(|damping| Self { damping, ..self.clone() }).to_vec(),
        ]
    }

    /// Units by lag, from lag 1; the greatest is [`LAG_UNITS`]. Lags that round to nothing at the end are left out.
    fn lag_units(&self) -> Vec<u32> {
        let weight = |lag: usize| lag as f32 * (-(lag as f32 - 1.0) / self.lag_decay).exp();
        let weights: Vec<f32> = (1..=self.window.min(FOLD_WINDOW_MAX)).map(weight).collect();
        let greatest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let mut units: Vec<u32> = weights.iter().map(|w| (w / greatest * LAG_UNITS).round() as u32).collect();
        while units.last() == Some(&0) {
            units.pop();
        }
        units
    }
}

/// The pair counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Cooccurrence {
    params: Params,
    pairs: CountTable,
    totals: Totals<u64>,
    #[serde(skip)]
    lag_units: Vec<u32>,
    /// n^−γ by item, a function of `totals`.
    #[serde(skip)]
    damped: Vec<f32>,
}

/// What is stored of the model; the rest follows from it.
#[derive(Deserialize)]
struct Stored {
    params: Params,
    pairs: CountTable,
    totals: Totals<u64>,
}

impl From<Stored> for Cooccurrence {
    fn from(stored: Stored) -> Self {
        let lag_units = stored.params.lag_units();
        let mut model =
            Self { params: stored.params, pairs: stored.pairs, totals: stored.totals, lag_units, damped: Vec::new() };
        model.damp_all();
        model
    }
}

impl Cooccurrence {
    /// A model that knows nothing yet.
    pub fn new(params: Params) -> Self {
        let lag_units = params.lag_units();
        Self { params, pairs: CountTable::default(), totals: Totals::default(), lag_units, damped: Vec::new() }
    }

    /// The hyper-parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A model that has learned a whole set.
    pub fn fit(data: &Dataset, params: &Params) -> Self {
        let mut model = Self::new(params.clone());
        each_step(data, |step| model.fold(step));
        model
    }

    /// Takes over hyper-parameters that only concern scoring. False, with nothing changed, if others differ.
    pub fn adopt(&mut self, params: &Params) -> bool {
        let fits = params.lag_decay == self.params.lag_decay && params.window == self.params.window;
        if fits {
            self.params = params.clone();
            self.damp_all();
        }
        fits
    }

    /// The `k` items that most strongly follow an item, with the score they would have after it alone.
    pub fn similar(&self, item: ItemIx, k: usize) -> Vec<(ItemIx, f32)> {
        let Some(row) = self.pairs.row(item) else { return Vec::new() };
        let source = self.source_factor(item);
        let mut scored = Vec::with_capacity(row.len());
        row.each(|other, units| scored.push((other, source * units * self.damped(other))));
        best(scored.into_iter(), k)
    }

    /// Number of pairs that are counted.
    pub fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    fn damp(&self, units: u64) -> f32 {
        if units == 0 { 0.0 } else { (units as f32 / 256.0).powf(-self.params.damping) }
    }

    fn damp_all(&mut self) {
        self.damped = self.totals.values().iter().map(|&units| self.damp(units)).collect();
    }

    fn damp_one(&mut self, item: ItemIx) {
        self.damped.resize(self.totals.values().len(), 0.0);
        let damped = self.damp(self.totals.get(item));
        if let Some(entry) = self.damped.get_mut(item as usize) {
            *entry = damped;
        }
    }

    fn damped(&self, item: ItemIx) -> f32 {
        self.damped.get(item as usize).copied().unwrap_or(0.0)
    }

    /// 1 / (units of a weight of 1 · √n_i).
    fn source_factor(&self, item: ItemIx) -> f32 {
        let count = self.totals.get(item) as f32 / 256.0;
        if count > 0.0 { 1.0 / (LAG_UNITS * count.sqrt()) } else { 0.0 }
    }

    /// The history items that count, with their weights divided by √n_i, newest first.
    fn sources<'q>(&'q self, query: &Query<'q>) -> impl Iterator<Item = (ItemIx, f32)> + 'q {
        let weighed =
            newest(query.history, usize::MAX).map(|(age, item)| (item, age_weight(age, self.params.input_decay)));
        let heavy = weighed.take_while(|(_, weight)| *weight >= INPUT_WEIGHT_MIN);
        heavy.map(|(item, weight)| (item, weight * self.source_factor(item)))
    }

    /// Calls `change` with the pairs that an event makes: the earlier item and the units.
    fn each_pair(lag_units: &[u32], step: &Step<'_>, mut change: impl FnMut(ItemIx, u32)) {
        for (&units, earlier) in lag_units.iter().zip(step.past.iter().rev()) {
            if earlier.item != step.event.item {
                change(earlier.item, (units * u32::from(step.event.weight.0) + 128) >> 8);
            }
        }
    }
}

fn age_weight(age: usize, decay: f32) -> f32 {
    (-(age as f32) / decay).exp()
}

impl Model for Cooccurrence {
    fn name(&self) -> &'static str {
        "cooccurrence"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        for (item, factor) in self.sources(query) {
            let Some(row) = self.pairs.row(item) else { continue };
            row.each(|other, units| scores.add(other, factor * units * self.damped(other)));
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let damped = self.damped(item);
        let amount = |source: ItemIx, factor: f32| {
            self.pairs.row(source).map_or(0.0, |row| factor * row.get(item) as f32 * damped)
        };
        let parts = self.sources(query).map(|(source, factor)| (source, amount(source, factor)));
        parts
            .filter(|part| part.1 != 0.0)
            .map(|(source, amount)| Contribution { cause: Cause::History(source), amount })
            .collect()
    }

    fn bytes(&self) -> usize {
        self.pairs.heap_bytes() + self.totals.heap_bytes() + self.damped.capacity() * size_of::<f32>()
    }
}

impl Online for Cooccurrence {
    fn fold(&mut self, step: &Step<'_>) {
        let item = step.event.item;
        self.totals.add(item, u64::from(step.event.weight.0));
        self.damp_one(item);
        let pairs = &mut self.pairs;
        Self::each_pair(&self.lag_units, step, |earlier, units| pairs.add(earlier, item, units));
    }

    fn unfold(&mut self, step: &Step<'_>) {
        let item = step.event.item;
        self.totals.subtract(item, u64::from(step.event.weight.0));
        self.damp_one(item);
        let pairs = &mut self.pairs;
        Self::each_pair(&self.lag_units, step, |earlier, units| pairs.subtract(earlier, item, units));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{dataset::NoHistories, online_checks::*};

    #[test]
    fn a_hand_computed_score() {
        // 0 1 2 and 0 2: lags 0→1 and 1→2 are 1, 0→2 is 2 (weight 2e^(-1), scaled by the greatest, which is 1) and 1.
        let model = taught(
            Cooccurrence::new(Params { input_decay: 1.0, damping: 0.5, ..Params::default() }),
            &[&[0, 1, 2], &[0, 2]],
        );
        let history = plain(&[1, 0]);
        let scores = scores(&model, &ask(&history, &NoHistories));
        let lag_2 = (2.0 * (-1.0f32).exp() * 1024.0).round() / 1024.0;
        let from_0 = (1.0 + lag_2) / (2.0f32 * 2.0).sqrt();
        let from_1 = (-1.0f32).exp() / (1.0f32 * 2.0).sqrt();
        assert!((scores.get(2) - (from_0 + from_1)).abs() < 1e-6, "{}", scores.get(2));
        assert_eq!(model.similar(0, 1)[0].0, 2);
        assert!((model.similar(0, 1)[0].1 - from_0).abs() < 1e-6);
    }

    #[test]
    fn finds_planted_successors_and_only_forward() {
        let rows: Vec<Vec<u32>> = (0..40).map(|n| if n % 2 == 0 { vec![0, 1] } else { vec![2, 3] }).collect();
        let model =
            taught(Cooccurrence::new(Params::default()), &rows[..4].iter().map(Vec::as_slice).collect::<Vec<_>>());
        let history = plain(&[2]);
        let scores = scores(&model, &ask(&history, &NoHistories));
        assert!(scores.get(3) > 0.0);
        assert_eq!((scores.get(0), scores.get(1), scores.get(2)), (0.0, 0.0, 0.0));
        let backward = plain(&[1]);
        assert_eq!(super::tests::scores(&model, &ask(&backward, &NoHistories)).get(0), 0.0);
    }

    #[test]
    fn adopts_what_only_concerns_scoring() {
        let mut model = taught(Cooccurrence::new(Params::default()), &[&[0, 1, 2], &[0, 2]]);
        let scoring = Params { damping: 0.3, input_decay: 4.0, ..Params::default() };
        assert!(model.adopt(&scoring));
        assert_eq!(model, taught(Cooccurrence::new(scoring), &[&[0, 1, 2], &[0, 2]]));
        assert!(!model.adopt(&Params { lag_decay: 3.0, ..Params::default() }));
    }

    proptest! {
        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = Cooccurrence::new(Params { lag_decay: 3.0, window: 20, ..Params::default() });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| Cooccurrence::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
