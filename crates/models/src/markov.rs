//! A Markov chain of order 1 or 2 with interpolated Witten–Bell back-off (Witten and Bell, 1991) to decayed popularity.
//!
//! With c the counted weight, T the number of different successors and κ a factor on T:
//! P(j | a b) = (c(a b j) + κT(a b) · P(j | b)) / (c(a b) + κT(a b)), P(j | b) likewise over the popularity share P₀(j).
//! Scores are these probabilities: they are never negative and sum to 1 once anything was learned.
//!
//! It looks at the last one or two items only. A pair of neighbours costs about 4 bytes in a long row and 12 in a
//! short one, a context of order 2 about 40.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{CountRow, CountTable, each_step},
    popularity::{self, Popularity},
};

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// How many of the last items are looked at: 1 or 2.
    pub order: u8,
    /// κ: how readily the longer context gives way to the shorter; 1 is Witten and Bell's choice.
    pub backoff: f32,
    /// Half-life of the popularity at the end of the back-off, in days; none: no decay.
    pub half_life_days: Option<f32>,
}

impl Default for Params {
    fn default() -> Self {
        Self { order: 1, backoff: 1.0, half_life_days: Some(30.0) }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        vec![
            [1, 2].map(|order| Self { order, ..self.clone() }).to_vec(),
            [0.3, 1.0, 3.0].map(|backoff| Self { backoff, ..self.clone() }).to_vec(),
            [Some(7.0), Some(30.0), None].map(|half_life_days| Self { half_life_days, ..self.clone() }).to_vec(),
        ]
    }

    fn popularity(&self) -> popularity::Params {
        popularity::Params { half_life_days: self.half_life_days, segment_share: 0.0 }
    }
}

/// The transition counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Markov {
    params: Params,
    unigrams: Popularity,
    singles: CountTable,
    pairs: Contexts,
}

/// Successors by context of two items. Most contexts are seen once, so the first successor needs no table.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contexts(FxHashMap<u64, Successors>);

#[derive(Clone, Debug)]
enum Successors {
    One { item: ItemIx, units: u32 },
    Many(Box<CountRow>),
}

impl Successors {
    fn add(&mut self, next: ItemIx, more: u32) {
        match self {
            Self::One { item, units } if *item == next && units.checked_add(more).is_some() => *units += more,
            Self::One { item, units } => {
                let mut row = CountRow::default();
                row.add(*item, *units);
                row.add(next, more);
                *self = Self::Many(Box::new(row));
            }
            Self::Many(row) => row.add(next, more),
        }
    }

    /// Takes units away and tells whether nothing is left.
    fn subtract(&mut self, next: ItemIx, less: u32) -> bool {
        match self {
            Self::One { item, units } if *item == next => {
                *units = units.saturating_sub(less);
                *units == 0
            }
            Self::One { .. } => false,
            Self::Many(row) => {
                row.subtract(next, less);
                row.is_empty()
            }
        }
    }

    fn each(&self, mut visit: impl FnMut(ItemIx, u64)) {
        match self {
            Self::One { item, units } => visit(*item, u64::from(*units)),
            Self::Many(row) => row.each_exact(visit),
        }
    }

    fn get(&self, next: ItemIx) -> u64 {
        match self {
            Self::One { item, units } => u64::from(*units) * u64::from(*item == next),
            Self::Many(row) => row.get(next),
        }
    }

    fn kinds_and_total(&self) -> (usize, u64) {
        match self {
            Self::One { units, .. } => (1, u64::from(*units)),
            Self::Many(row) => (row.len(), row.total()),
        }
    }

    fn sorted(&self) -> Vec<(u32, u64)> {
        match self {
            Self::One { item, units } => vec![(*item, u64::from(*units))],
            Self::Many(row) => row.sorted(),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::One { .. } => 0,
            Self::Many(row) => size_of::<CountRow>() + row.heap_bytes(),
        }
    }
}

impl PartialEq for Successors {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl Contexts {
    fn key(first: ItemIx, second: ItemIx) -> u64 {
        u64::from(first) << 32 | u64::from(second)
    }

    fn get(&self, first: ItemIx, second: ItemIx) -> Option<&Successors> {
        self.0.get(&Self::key(first, second))
    }

    fn add(&mut self, first: ItemIx, second: ItemIx, next: ItemIx, units: u32) {
        let fresh = Successors::One { item: next, units: 0 };
        self.0.entry(Self::key(first, second)).or_insert(fresh).add(next, units);
    }

    fn subtract(&mut self, first: ItemIx, second: ItemIx, next: ItemIx, units: u32) {
        let key = Self::key(first, second);
        if self.0.get_mut(&key).is_some_and(|successors| successors.subtract(next, units)) {
            self.0.remove(&key);
        }
    }

    fn heap_bytes(&self) -> usize {
        let entry = size_of::<(u64, Successors)>() + 1;
        self.0.capacity() * entry * 8 / 7 + self.0.values().map(Successors::heap_bytes).sum::<usize>()
    }
}

impl Serialize for Contexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut contexts: Vec<(u64, &Successors)> = self.0.iter().map(|(&key, successors)| (key, successors)).collect();
        contexts.sort_unstable_by_key(|(key, _)| *key);
        serializer.collect_seq(contexts.into_iter().map(|(key, successors)| (key, successors.sorted())))
    }
}

impl<'de> Deserialize<'de> for Contexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Vec::<(u64, CountRow)>::deserialize(deserializer)?;
        let unpack = |row: CountRow| match row.sorted()[..] {
            [(item, units)] if u32::try_from(units).is_ok() => Successors::One { item, units: units as u32 },
            _ => Successors::Many(Box::new(row)),
        };
        Ok(Self(stored.into_iter().map(|(key, row)| (key, unpack(row))).collect()))
    }
}

/// How one query's probability is put together.
struct Mixture<'a> {
    pair: Option<(&'a Successors, f32)>,
    single: Option<(&'a CountRow, f32)>,
    /// The last two items, the last one first.
    last: [Option<ItemIx>; 2],
    /// What is left for popularity.
    rest: f32,
}

impl Markov {
    /// A model that knows nothing yet.
    pub fn new(params: Params) -> Self {
        let unigrams = Popularity::new(params.popularity());
        Self { params, unigrams, singles: CountTable::default(), pairs: Contexts::default() }
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

    /// Takes over hyper-parameters that only concern scoring. False, with nothing changed, if the order differs.
    pub fn adopt(&mut self, params: &Params) -> bool {
        if params.order != self.params.order {
            return false;
        }
        self.unigrams.adopt(&params.popularity());
        self.params = params.clone();
        true
    }

    /// Splits a mass between a context (per unit) and what backs it off.
    fn split(&self, mass: f32, kinds: usize, total: u64) -> (f32, f32) {
        let given_way = self.params.backoff * kinds as f32;
        let whole = total as f32 / 256.0 + given_way;
        (mass / whole / 256.0, mass * given_way / whole)
    }

    fn mixture(&self, history: &[Interaction]) -> Mixture<'_> {
        let mut recent = history.iter().rev().map(|event| event.item);
        let last = [recent.next(), recent.next()];
        let (mut pair, mut single, mut rest) = (None, None, 1.0);
        if let [Some(second), Some(first)] = last
            && let Some(successors) = self.pairs.get(first, second)
        {
            let (kinds, total) = successors.kinds_and_total();
            let (per_unit, left) = self.split(rest, kinds, total);
            (pair, rest) = (Some((successors, per_unit)), left);
        }
        if let Some(row) = last[0].and_then(|item| self.singles.row(item)) {
            let (per_unit, left) = self.split(rest, row.len(), row.total());
            (single, rest) = (Some((row, per_unit)), left);
        }
        Mixture { pair, single, last, rest }
    }

    /// The contexts that an event follows: the item before it, and the one before that.
    fn contexts(&self, past: &[Interaction]) -> (Option<ItemIx>, Option<(ItemIx, ItemIx)>) {
        match past {
            [.., first, second] if self.params.order >= 2 => (Some(second.item), Some((first.item, second.item))),
            [.., second] => (Some(second.item), None),
            [] => (None, None),
        }
    }
}

/// The same step without a segment: the back-off is the same for everyone.
fn for_everyone<'a>(step: &Step<'a>) -> Step<'a> {
    Step { segment: None, ..*step }
}

impl Model for Markov {
    fn name(&self) -> &'static str {
        "markov"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let mixture = self.mixture(query.history);
        self.unigrams.add_shares(mixture.rest, scores);
        if let Some((row, per_unit)) = mixture.single {
            row.each(|item, units| scores.add(item, per_unit * units));
        }
        if let Some((successors, per_unit)) = mixture.pair {
            successors.each(|item, units| scores.add(item, per_unit * units as f32));
        }
    }

    /// What the pair says is shared equally by its two items.
    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let mixture = self.mixture(query.history);
        let from_pair = mixture.pair.map_or(0.0, |(successors, per_unit)| per_unit * successors.get(item) as f32);
        let from_single = mixture.single.map_or(0.0, |(row, per_unit)| per_unit * row.get(item) as f32);
        let amounts = [from_single + from_pair / 2.0, from_pair / 2.0];
        let items = mixture.last.into_iter().zip(amounts);
        let histories = items.filter_map(|(item, amount)| Some((Cause::History(item?), amount)));
        let popular = (Cause::Feature("popularity"), mixture.rest * self.unigrams.share(item));
        let parts = histories.chain([popular]).filter(|(_, amount)| *amount != 0.0);
        parts.map(|(cause, amount)| Contribution { cause, amount }).collect()
    }

    fn bytes(&self) -> usize {
        self.unigrams.bytes() + self.singles.heap_bytes() + self.pairs.heap_bytes()
    }
}

impl Online for Markov {
    fn fold(&mut self, step: &Step<'_>) {
        let (item, units) = (step.event.item, u32::from(step.event.weight.0));
        if units == 0 {
            return;
        }
        self.unigrams.fold(&for_everyone(step));
        let (single, pair) = self.contexts(step.past);
        if let Some(last) = single {
            self.singles.add(last, item, units);
        }
        if let Some((first, second)) = pair {
            self.pairs.add(first, second, item, units);
        }
    }

    fn unfold(&mut self, step: &Step<'_>) {
        let (item, units) = (step.event.item, u32::from(step.event.weight.0));
        self.unigrams.unfold(&for_everyone(step));
        let (single, pair) = self.contexts(step.past);
        if let Some(last) = single {
            self.singles.subtract(last, item, units);
        }
        if let Some((first, second)) = pair {
            self.pairs.subtract(first, second, item, units);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{dataset::NoHistories, online_checks::*};

    #[test]
    fn a_hand_computed_probability() {
        let params = Params { order: 2, half_life_days: None, ..Params::default() };
        let model = taught(Markov::new(params), &[&[0, 1, 2], &[3, 1, 3]]);
        let history = plain(&[0, 1]);
        let scores = scores(&model, &ask(&history, &NoHistories));
        // c(1 2) = c(1 3) = 1, T(1) = 2; c(0 1 2) = 1, T(0 1) = 1; P₀(2) = 1/6.
        let single = (1.0 + 2.0 / 6.0) / (2.0 + 2.0);
        assert!((scores.get(2) - (1.0 + single) / 2.0).abs() < 1e-6, "{}", scores.get(2));
    }

    #[test]
    fn order_two_tells_planted_contexts_apart() {
        let rows: [&[u32]; 4] = [&[0, 1, 2], &[0, 1, 2], &[3, 1, 4], &[3, 1, 4]];
        let model = taught(Markov::new(Params { order: 2, ..Params::default() }), &rows);
        let (after_0, after_3) = (plain(&[0, 1]), plain(&[3, 1]));
        let best = |history: &[Interaction]| {
            let scores = scores(&model, &ask(history, &NoHistories));
            (0..N_ITEMS as u32).max_by(|&a, &b| scores.get(a).total_cmp(&scores.get(b))).unwrap()
        };
        assert_eq!((best(&after_0), best(&after_3)), (2, 4));
        assert!(!model.clone().adopt(&Params::default()), "the order needs a refit");
    }

    proptest! {
        #[test]
        fn scores_are_a_distribution(log in logs(), order in 1u8..=2, backoff in 0.1f32..5.0) {
            let mut model = Markov::new(Params { order, backoff, ..Params::default() });
            each_logged(&log, |step| model.fold(step));
            let rows = histories(&log);
            for actor in 0..5 {
                let scores = scores(&model, &query(&rows, actor, &[]));
                let total: f32 = scores.values().iter().sum();
                prop_assert!(log.is_empty() || (total - 1.0).abs() < 1e-4, "sums to {}", total);
                prop_assert!(scores.values().iter().all(|p| *p >= 0.0));
            }
        }
    }

    proptest! {
        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = Markov::new(Params { order: 2, ..Params::default() });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| Markov::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
