//! A naive-Bayes preference network: which item y comes next, given what was seen lately, the hour, the weekday and the segment.
//!
//! score(y) = log P(y) + Σ_j w_j · log P(x_j | y), where every probability is smoothed by pseudo-events that follow the feature's overall
//! distribution (Laplace's rule with the marginal as the prior): P(x | y) = (c(x, y) + κ·P(x)) / (c(y) + κ). The score is measured against
//! an item that nothing is known of, which gets 0; a known item whose evidence speaks against it gets less.
//!
//! It counts events, not their weights, and takes the features as independent given the item, which they aren't: `history_decay`
//! softens the double counting. Hours and weekdays are UTC. A pair costs 4 to 12 bytes; an event touches `history` of them.

use serde::{Deserialize, Serialize};
use zhiyin_core::{ItemIx, limits::FOLD_WINDOW_MAX};

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{CountTable, Totals, each_step, fast_ln, newest},
};

const HOUR_BANDS: u32 = 6;
const WEEKDAYS: u32 = 7;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// How many of the latest items are features.
    pub history: usize,
    /// In events: the evidence of an item seen `age` events ago weighs e^(−age/history_decay).
    pub history_decay: f32,
    /// κ of history items, in events.
    pub smoothing: f32,
    /// κ of hour, weekday and segment, in events.
    pub context_smoothing: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { history: 3, history_decay: 2.0, smoothing: 10.0, context_smoothing: 20.0 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        let memories = [(1, 1.0), (3, 2.0), (8, 5.0), (20, 20.0)];
        vec![
            memories.map(|(history, history_decay)| Self { history, history_decay, ..self.clone() }).to_vec(),
            [0.1, 1.0, 10.0, 100.0].map(|smoothing| Self { smoothing, ..self.clone() }).to_vec(),
            [5.0, 20.0, 100.0].map(|context_smoothing| Self { context_smoothing, ..self.clone() }).to_vec(),
        ]
    }
}

/// The counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Bayes {
    params: Params,
    counts: Counts,
    /// By item: logarithms that follow from the counts.
    #[serde(skip)]
    logs: Vec<Logs>,
}

/// Everything that is counted, in events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    events: u64,
    profiles: Profiles,
    /// Row x, entry y: events on y with x among the latest items before.
    pairs: CountTable,
    pairs_by_earlier: Totals<u64>,
    pairs_by_item: Totals<u64>,
    pairs_total: u64,
    hour_events: [u64; HOUR_BANDS as usize],
    weekday_events: [u64; WEEKDAYS as usize],
    segments: CountTable,
    segment_events: Totals<u64>,
    segmented: u64,
}

/// Events by item, all arrays of one length: that of the last item with an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Profiles {
    all: Vec<u32>,
    hours: [Vec<u32>; HOUR_BANDS as usize],
    weekdays: [Vec<u32>; WEEKDAYS as usize],
    /// Those of actors whose segment is known.
    segmented: Vec<u32>,
}

impl Profiles {
    fn resize(&mut self, n_items: usize) {
        let contexts = self.hours.iter_mut().chain(&mut self.weekdays);
        contexts.chain([&mut self.all, &mut self.segmented]).for_each(|counts| counts.resize(n_items, 0));
    }

    fn count(&mut self, step: &Step<'_>, adds: bool) {
        let at = step.event.item as usize;
        if at >= self.all.len() {
            self.resize(at + 1);
        }
        let (band, day) = (hour_band(step.event.time_s), weekday(step.event.time_s));
        let segmented = step.segment.map(|_| &mut self.segmented[at]);
        let counts = [&mut self.all[at], &mut self.hours[band][at], &mut self.weekdays[day][at]];
        for count in counts.into_iter().chain(segmented) {
            *count = if adds { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        let n_items = self.all.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        if n_items < self.all.len() {
            self.resize(n_items);
        }
    }

    fn of(&self, item: ItemIx) -> u32 {
        self.all.get(item as usize).copied().unwrap_or(0)
    }

    fn heap_bytes(&self) -> usize {
        self.all.capacity() * size_of::<u32>() * (HOUR_BANDS + WEEKDAYS + 2) as usize
    }
}

/// What is stored of the model.
#[derive(Deserialize)]
struct Stored {
    params: Params,
    counts: Counts,
}

impl From<Stored> for Bayes {
    fn from(stored: Stored) -> Self {
        let mut model = Self { params: stored.params, counts: stored.counts, logs: Vec::new() };
        model.refresh_all();
        model
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Logs {
    /// log(c(y) + 1): the prior against an unknown item.
    prior: f32,
    /// log(κ / (pairs(y) + κ)): an item of the history that never preceded y.
    stranger: f32,
}

/// A feature x that has one of a few values: events with it by item, and 1 / P(x).
#[derive(Clone, Copy)]
struct Context<'a> {
    with: &'a [u32],
    rarity: f32,
}

impl Context<'_> {
    /// P(x | y) / P(x), smoothed, for an item with `with` such events `of` all.
    fn lift(&self, item: usize, of: u32, smoothing: f32) -> f32 {
        (self.with[item] as f32 * self.rarity + smoothing) / (of as f32 + smoothing)
    }
}

impl Bayes {
    /// A model that knows nothing yet.
    pub fn new(params: Params) -> Self {
        Self { params, counts: Counts::default(), logs: Vec::new() }
    }

    /// The hyper-parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A model that has learned a whole set.
    pub fn fit(data: &Dataset, params: &Params) -> Self {
        let mut model = Self::new(params.clone());
        each_step(data, |step| model.count(step, true));
        model.refresh_all();
        model
    }

    /// Takes over hyper-parameters that only concern scoring. False, with nothing changed, if `history` differs.
    pub fn adopt(&mut self, params: &Params) -> bool {
        if params.history != self.params.history {
            return false;
        }
        self.params = params.clone();
        self.refresh_all();
        true
    }

    fn logs_of(&self, item: ItemIx) -> Logs {
        let pairs = self.counts.pairs_by_item.get(item) as f32;
        Logs {
            prior: (self.counts.profiles.of(item) as f32).ln_1p(),
            stranger: -(pairs / self.params.smoothing).ln_1p(),
        }
    }

    fn refresh_all(&mut self) {
        let n_items = self.counts.profiles.all.len() as u32;
        self.logs = (0..n_items).map(|item| self.logs_of(item)).collect();
    }

    fn refresh(&mut self, item: ItemIx) {
        self.logs.resize(self.counts.profiles.all.len(), Logs::default());
        let logs = self.logs_of(item);
        if let Some(entry) = self.logs.get_mut(item as usize) {
            *entry = logs;
        }
    }

    /// Items of the history that the model has met before an event, with their weights and 1 / (κ·P(x)).
    fn clues<'q>(&'q self, query: &Query<'q>) -> impl Iterator<Item = (ItemIx, f32, f32)> + 'q {
        let smoothing = self.params.smoothing;
        newest(query.history, self.params.history).filter_map(move |(age, item)| {
            let met = self.counts.pairs_by_earlier.get(item);
            let weight = (-(age as f32) / self.params.history_decay).exp();
            (met > 0).then(|| (item, weight, self.counts.pairs_total as f32 / (met as f32 * smoothing)))
        })
    }

    /// The evidence of the hour and of the weekday; all events together, which say nothing, where a value was never met.
    fn contexts(&self, now_s: u32) -> [Context<'_>; 2] {
        let Counts { events, profiles, hour_events, weekday_events, .. } = &self.counts;
        let (band, day) = (hour_band(now_s), weekday(now_s));
        let context = |with, of: u64| Context { with, rarity: *events as f32 / of as f32 };
        let none = Context { with: &profiles.all, rarity: 1.0 };
        let hour = if hour_events[band] > 0 { context(&profiles.hours[band], hour_events[band]) } else { none };
        let weekday =
            if weekday_events[day] > 0 { context(&profiles.weekdays[day], weekday_events[day]) } else { none };
        [hour, weekday]
    }

    /// 1 / (κ·P(segment)), if the segment was met.
    fn segment_rarity(&self, segment: Option<u32>) -> Option<(u32, f32)> {
        let segment = segment?;
        let events = self.counts.segment_events.get(segment);
        let rarity = self.counts.segmented as f32 / (events as f32 * self.params.context_smoothing);
        (events > 0).then_some((segment, rarity))
    }

    /// Adds the logarithm of the hour's, the weekday's and (for items that never met it) the segment's P(x | y) / P(x), in one pass.
    fn score_context(&self, query: &Query<'_>, values: &mut [f32]) {
        let smoothing = self.params.context_smoothing;
        let [hour, weekday] = self.contexts(query.now_s);
        let segment_known = if self.segment_rarity(query.segment).is_some() { 1.0 } else { 0.0 };
        let profiles = &self.counts.profiles;
        let events = profiles.all.iter().zip(&profiles.segmented);
        let contexts = hour.with.iter().zip(weekday.with);
        for ((value, (&all, &segmented)), (&in_hour, &on_weekday)) in values.iter_mut().zip(events).zip(contexts) {
            let of = all as f32 + smoothing;
            let with = (in_hour as f32 * hour.rarity + smoothing) * (on_weekday as f32 * weekday.rarity + smoothing);
            *value += fast_ln(with * smoothing / (of * of * (segmented as f32 * segment_known + smoothing)));
        }
    }

    fn explain_context(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let smoothing = self.params.context_smoothing;
        let (at, of) = (item as usize, self.counts.profiles.of(item));
        let [hour, weekday] = self.contexts(query.now_s).map(|context| context.lift(at, of, smoothing).ln());
        let segment = self.segment_rarity(query.segment).map_or(0.0, |(segment, rarity)| {
            let with = self.counts.segments.row(segment).map_or(0, |row| row.get(item)) as f32;
            (with * rarity).ln_1p() - (self.counts.profiles.segmented[at] as f32 / smoothing).ln_1p()
        });
        let named = [("hour", hour), ("weekday", weekday), ("segment", segment)];
        let parts = named.into_iter().filter(|(_, amount)| *amount != 0.0);
        parts.map(|(name, amount)| Contribution { cause: Cause::Feature(name), amount }).collect()
    }

    /// Adds (or takes away) one event.
    fn count(&mut self, step: &Step<'_>, adds: bool) {
        if step.event.weight.0 == 0 {
            return;
        }
        let counts = &mut self.counts;
        let item = step.event.item;
        bump(&mut counts.events, adds);
        counts.profiles.count(step, adds);
        bump(&mut counts.hour_events[hour_band(step.event.time_s)], adds);
        bump(&mut counts.weekday_events[weekday(step.event.time_s)], adds);
        if let Some(segment) = step.segment {
            pair(&mut counts.segments, segment, item, adds);
            tally(&mut counts.segment_events, segment, adds);
            bump(&mut counts.segmented, adds);
        }
        for (_, earlier) in newest(step.past, self.params.history.min(FOLD_WINDOW_MAX)) {
            pair(&mut counts.pairs, earlier, item, adds);
            tally(&mut counts.pairs_by_earlier, earlier, adds);
            tally(&mut counts.pairs_by_item, item, adds);
            bump(&mut counts.pairs_total, adds);
        }
    }
}

fn bump(count: &mut u64, adds: bool) {
    *count = if adds { *count + 1 } else { count.saturating_sub(1) };
}

fn tally(totals: &mut Totals<u64>, at: u32, adds: bool) {
    if adds { totals.add(at, 1) } else { totals.subtract(at, 1) }
}

fn pair(table: &mut CountTable, row: u32, key: u32, adds: bool) {
    if adds { table.add(row, key, 1) } else { table.subtract(row, key, 1) }
}

/// Four-hour band of the UTC day.
fn hour_band(time_s: u32) -> usize {
    (time_s / (86_400 / HOUR_BANDS) % HOUR_BANDS) as usize
}

/// UTC weekday from Monday = 0; the first of January 1970 was a Thursday.
fn weekday(time_s: u32) -> usize {
    ((time_s / 86_400 + 3) % WEEKDAYS) as usize
}

impl Model for Bayes {
    fn name(&self) -> &'static str {
        "bayes"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let clue_weight: f32 = self.clues(query).map(|(_, weight, _)| weight).sum();
        let values = scores.dense_mut();
        for (value, logs) in values.iter_mut().zip(&self.logs) {
            *value += logs.prior + clue_weight * logs.stranger;
        }
        self.score_context(query, values);
        for (earlier, weight, rarity) in self.clues(query) {
            let Some(row) = self.counts.pairs.row(earlier) else { continue };
            row.each(|item, count| scores.add(item, weight * fast_ln(1.0 + count * rarity)));
        }
        let Some((segment, rarity)) = self.segment_rarity(query.segment) else { return };
        let Some(row) = self.counts.segments.row(segment) else { return };
        row.each(|item, count| scores.add(item, fast_ln(1.0 + count * rarity)));
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let Some(logs) = self.logs.get(item as usize) else { return Vec::new() };
        let mut parts = vec![Contribution { cause: Cause::Feature("popularity"), amount: logs.prior }];
        parts.extend(self.clues(query).map(|(earlier, weight, rarity)| {
            let count = self.counts.pairs.row(earlier).map_or(0, |row| row.get(item));
            let amount = weight * (logs.stranger + (count as f32 * rarity).ln_1p());
            Contribution { cause: Cause::History(earlier), amount }
        }));
        parts.extend(self.explain_context(query, item));
        parts
    }

    fn bytes(&self) -> usize {
        let counts = &self.counts;
        let rows = counts.pairs.heap_bytes() + counts.segments.heap_bytes();
        let pairs = counts.pairs_by_earlier.heap_bytes() + counts.pairs_by_item.heap_bytes();
        counts.profiles.heap_bytes() + rows + pairs + self.logs.capacity() * size_of::<Logs>()
    }
}

impl Online for Bayes {
    fn fold(&mut self, step: &Step<'_>) {
        self.count(step, true);
        self.refresh(step.event.item);
    }

    fn unfold(&mut self, step: &Step<'_>) {
        self.count(step, false);
        self.refresh(step.event.item);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{dataset::NoHistories, online_checks::*};

    #[test]
    fn a_hand_computed_score() {
        let params = Params { history: 1, smoothing: 2.0, ..Params::default() };
        let model = taught(Bayes::new(params), &[&[0, 1], &[0, 1], &[2, 3]]);
        let history = plain(&[0]);
        let scores = scores(&model, &ask(&history, &NoHistories));
        // Everything happened in one hour band of one weekday, which says nothing. P(0 before) = 2/3 of 3 pairs.
        let evidence = |together: f32, pairs: f32| ((together + 2.0 * 2.0 / 3.0) / (pairs + 2.0) / (2.0 / 3.0)).ln();
        assert!((scores.get(1) - (3.0f32.ln() + evidence(2.0, 2.0))).abs() < 1e-5, "{}", scores.get(1));
        assert!((scores.get(3) - (2.0f32.ln() + evidence(0.0, 1.0))).abs() < 1e-5, "{}", scores.get(3));
        assert_eq!(scores.get(7), 0.0);
    }

    #[test]
    fn finds_a_planted_preference_by_hour_and_segment() {
        let mut model = Bayes::new(Params::default());
        for n in 0..40 {
            // Mornings of segment 0 are for item 0, evenings of segment 1 for item 1.
            let evening = n % 2;
            let time_s = (20_000 + n) * 86_400 + 30_000 + evening * 40_000;
            let event = zhiyin_core::Interaction::plain(evening, time_s);
            model.fold(&Step { actor: n, segment: Some(evening), past: &[], event });
        }
        let at = |now_s, segment| {
            let scores = scores(&model, &Query { now_s, segment, ..ask(&[], &NoHistories) });
            scores.get(0) - scores.get(1)
        };
        assert!(at(30_000, None) > 0.1 && at(70_000, None) < -0.1);
        assert!(at(30_000, Some(0)) > at(30_000, None) && at(30_000, Some(1)) < at(30_000, None));
    }

    proptest! {
        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = Bayes::new(Params { history: 4, ..Params::default() });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| Bayes::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
