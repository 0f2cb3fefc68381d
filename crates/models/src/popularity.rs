//! Time-decayed popularity, overall and per segment.
//!
//! Weights are counted by item and UTC day, so any half-life can be asked of the same counts. A score is a share: the item's part of all
//! decayed weight, (1 − β) · overall + β · in the actor's segment, so that scores sum to 1. As the decay is exponential, shares don't
//! change while nothing happens: the time of the request has no influence, only the times of the events have.
//!
//! It knows nothing of persons. Days are whole: a half-life below one day isn't meaningful.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{CountRow, Derived, best, each_step},
};

/// Seconds of a bucket.
const DAY_S: u32 = 86_400;
/// Bits behind the point of a decayed unit; older days than this many half-lives don't count.
const DECAY_BITS: u32 = 24;
/// Turns decayed units into weights: 1/256 per unit, then the decay's bits.
const UNIT: f64 = 1.0 / (256u64 << DECAY_BITS) as f64;

/// Hyper-parameters. All of them only concern scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Days after which an event counts half; none: every event counts in full for ever.
    pub half_life_days: Option<f32>,
    /// β, 0 to 1: how much the actor's segment counts against everyone, where the segment is known.
    pub segment_share: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { half_life_days: Some(30.0), segment_share: 0.0 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        let half_lives = [Some(1.0), Some(7.0), Some(30.0), Some(90.0), None];
        vec![
            half_lives.map(|half_life_days| Self { half_life_days, ..self.clone() }).to_vec(),
            [0.0, 0.5, 0.8].map(|segment_share| Self { segment_share, ..self.clone() }).to_vec(),
        ]
    }

    /// What a unit is worth after `age` days, in 1/2^24.
    fn decay(&self, age_days: u32) -> u32 {
        let halvings = self.half_life_days.map_or(0.0, |half_life| f64::from(age_days) / f64::from(half_life));
        (f64::from(1u32 << DECAY_BITS) * (-halvings).exp2()).round() as u32
    }
}

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Popularity {
    params: Params,
    overall: Tally,
    segments: BTreeMap<u32, Tally>,
}

/// Weight units by day and item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    days: BTreeMap<u32, CountRow>,
    #[serde(skip)]
    decayed: Derived<Decayed>,
}

/// Decayed units as of the newest day. They are whole numbers, so that keeping them up to date event by event gives the same as
/// computing them anew.
#[derive(Debug, Default)]
struct Decayed {
    newest_day: u32,
    units: FxHashMap<ItemIx, u64>,
    total: u64,
    /// The same by item as plain numbers; kept for the overall tally only.
    dense: Option<Vec<f32>>,
}

impl Decayed {
    fn change(&mut self, item: ItemIx, change: impl FnOnce(u64) -> u64) {
        let units = self.units.entry(item).or_default();
        let before = *units;
        *units = change(before);
        self.total = self.total + *units - before;
        if let Some(dense) = &mut self.dense {
            if item as usize >= dense.len() {
                dense.resize(item as usize + 1, 0.0);
            }
            dense[item as usize] = *units as f32;
        }
        if *units == 0 {
            self.units.remove(&item);
        }
    }

    fn share(&self, item: ItemIx) -> f32 {
        self.share_of(self.units.get(&item).copied().unwrap_or(0))
    }

    fn share_of(&self, units: u64) -> f32 {
        if units == 0 { 0.0 } else { (units as f64 / self.total as f64) as f32 }
    }
}

impl Tally {
    fn add(&mut self, params: &Params, day: u32, item: ItemIx, units: u32) {
        self.days.entry(day).or_default().add(item, units);
        let Some(decayed) = self.decayed.get_mut() else { return };
        if day > decayed.newest_day {
            self.decayed.clear();
        } else {
            let worth = u64::from(units) * u64::from(params.decay(decayed.newest_day - day));
            decayed.change(item, |before| before + worth);
        }
    }

    fn subtract(&mut self, params: &Params, day: u32, item: ItemIx, units: u32) {
        let Some(row) = self.days.get_mut(&day) else { return };
        row.subtract(item, units);
        let emptied = row.is_empty();
        if emptied {
            self.days.remove(&day);
        }
        let Some(decayed) = self.decayed.get_mut() else { return };
        if emptied && day == decayed.newest_day {
            self.decayed.clear();
        } else {
            let worth = u64::from(units) * u64::from(params.decay(decayed.newest_day - day));
            decayed.change(item, |before| before.saturating_sub(worth));
        }
    }

    fn decayed(&self, params: &Params, dense: bool) -> &Decayed {
        self.decayed.get_or_init(|| {
            let newest_day = self.days.last_key_value().map_or(0, |(&day, _)| day);
            let mut decayed = Decayed { newest_day, dense: dense.then(Vec::new), ..Decayed::default() };
            for (&day, row) in self.days.iter().rev() {
                let decay = u64::from(params.decay(newest_day - day));
                if decay == 0 {
                    break;
                }
                row.each_exact(|item, units| decayed.change(item, |before| before + units * decay));
            }
            decayed
        })
    }

    fn heap_bytes(&self) -> usize {
        let counts: usize = self.days.values().map(|row| row.heap_bytes() + size_of::<CountRow>() + 16).sum();
        let decayed = self
            .decayed
            .get()
            .map_or(0, |decayed| decayed.units.capacity() * 18 + decayed.dense.as_ref().map_or(0, Vec::len) * 4);
        counts + decayed
    }
}

impl Popularity {
    /// A model that knows nothing yet.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
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

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        if self.params.half_life_days != params.half_life_days {
            self.overall.decayed.clear();
            self.segments.values_mut().for_each(|tally| tally.decayed.clear());
        }
        self.params = params.clone();
        true
    }

    /// The `k` most popular items for a segment (or for everyone), best first. As of the newest event, see the module.
    pub fn top(&self, _now_s: u32, segment: Option<u32>, k: usize) -> Vec<(ItemIx, f32)> {
        let overall = self.overall();
        let in_segment = self.segment(segment);
        let (share, of_segment) = self.shares(in_segment);
        let scored = overall.units.iter().map(|(&item, &units)| {
            let segment_share = of_segment.map_or(0.0, |tally| tally.share(item) * self.params.segment_share);
            (item, overall.share_of(units) * share + segment_share)
        });
        best(scored, k)
    }

    /// An item's share of all decayed weight, whatever the segment.
    pub fn share(&self, item: ItemIx) -> f32 {
        self.overall().share(item)
    }

    /// Adds every item's share times `factor`, whatever the segment.
    pub(crate) fn add_shares(&self, factor: f32, scores: &mut Scores) {
        let overall = self.overall();
        if overall.total == 0 || factor == 0.0 {
            return;
        }
        let scale = (f64::from(factor) / overall.total as f64) as f32;
        for (score, units) in scores.dense_mut().iter_mut().zip(overall.dense.iter().flatten()) {
            *score += scale * units;
        }
    }

    /// Decayed weight of all events (not a share), as of the newest one.
    pub fn total_weight(&self) -> f64 {
        self.overall().total as f64 * UNIT
    }

    fn overall(&self) -> &Decayed {
        self.overall.decayed(&self.params, true)
    }

    fn segment(&self, segment: Option<u32>) -> Option<&Decayed> {
        if self.params.segment_share == 0.0 {
            return None;
        }
        segment.and_then(|segment| self.segments.get(&segment)).map(|tally| tally.decayed(&self.params, false))
    }

    /// The factor of the overall share, and the segment if it counts.
    fn shares<'a>(&self, in_segment: Option<&'a Decayed>) -> (f32, Option<&'a Decayed>) {
        (if in_segment.is_some() { 1.0 - self.params.segment_share } else { 1.0 }, in_segment)
    }
}

impl Model for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let (share, in_segment) = self.shares(self.segment(query.segment));
        self.add_shares(share, scores);
        let Some(tally) = in_segment else { return };
        let scale = (f64::from(self.params.segment_share) / tally.total as f64) as f32;
        for (&item, &units) in &tally.units {
            scores.add(item, scale * units as f32);
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let (share, in_segment) = self.shares(self.segment(query.segment));
        let mut parts = vec![Contribution { cause: Cause::Feature("popularity"), amount: share * self.share(item) }];
        if let Some(tally) = in_segment {
            let amount = self.params.segment_share * tally.share(item);
            parts.push(Contribution { cause: Cause::Feature("segment_popularity"), amount });
        }
        parts
    }

    fn bytes(&self) -> usize {
        self.overall.heap_bytes() + self.segments.values().map(Tally::heap_bytes).sum::<usize>()
    }
}

impl Online for Popularity {
    fn fold(&mut self, step: &Step<'_>) {
        let (day, item, units) = (step.event.time_s / DAY_S, step.event.item, u32::from(step.event.weight.0));
        if units == 0 {
            return;
        }
        self.overall.add(&self.params, day, item, units);
        if let Some(segment) = step.segment {
            self.segments.entry(segment).or_default().add(&self.params, day, item, units);
        }
    }

    fn unfold(&mut self, step: &Step<'_>) {
        let (day, item, units) = (step.event.time_s / DAY_S, step.event.item, u32::from(step.event.weight.0));
        self.overall.subtract(&self.params, day, item, units);
        let Some(segment) = step.segment else { return };
        let Some(tally) = self.segments.get_mut(&segment) else { return };
        tally.subtract(&self.params, day, item, units);
        if tally.days.is_empty() {
            self.segments.remove(&segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::online_checks::*;

    const START_S: u32 = 20_000 * DAY_S;

    fn fold_at(model: &mut Popularity, segment: Option<u32>, item: ItemIx, day: u32) {
        let event = zhiyin_core::Interaction::plain(item, START_S + day * DAY_S);
        model.fold(&Step { actor: 0, segment, past: &[], event });
    }

    #[test]
    fn a_hand_computed_share() {
        let mut model = Popularity::new(Params { half_life_days: Some(7.0), segment_share: 0.5 });
        fold_at(&mut model, Some(1), 0, 0);
        fold_at(&mut model, None, 1, 14);
        // Item 0 is two half-lives older: ¼ against 1 overall, everything in segment 1.
        assert_eq!(model.top(0, None, 5), [(1, 0.8), (0, 0.2)]);
        assert_eq!(model.top(0, Some(1), 1), [(0, 0.6)]);
        assert!((model.total_weight() - 1.25).abs() < 1e-6);
        assert!(model.adopt(&Params { half_life_days: None, segment_share: 0.0 }));
        assert_eq!(model.top(0, Some(1), 5), [(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn a_short_memory_finds_the_planted_trend() {
        let mut model = Popularity::new(Params { half_life_days: Some(1.0), segment_share: 0.0 });
        (0..50).for_each(|_| fold_at(&mut model, None, 0, 0));
        (0..3).for_each(|_| fold_at(&mut model, None, 1, 10));
        assert_eq!(model.top(0, None, 1)[0].0, 1);
        model.adopt(&Params { half_life_days: None, segment_share: 0.0 });
        assert_eq!(model.top(0, None, 1)[0].0, 0);
    }

    proptest! {
        #[test]
        fn keeping_up_event_by_event_equals_computing_anew(log in logs()) {
            let params = Params { half_life_days: Some(3.0), segment_share: 0.4 };
            let mut live = Popularity::new(params.clone());
            let histories = histories(&log);
            let query = query(&histories, 0, &[]);
            each_logged(&log, |step| {
                live.fold(step);
                scores(&live, &query);
            });
            let anew = live.clone();
            let (live, anew) = (scores(&live, &query), scores(&anew, &query));
            prop_assert_eq!(live.values(), anew.values());
            let total: f32 = anew.values().iter().sum();
            prop_assert!(log.is_empty() || (total - 1.0).abs() < 1e-5, "shares sum to {}", total);
        }
    }

    proptest! {
        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = Popularity::new(Params { half_life_days: Some(3.0), segment_share: 0.4 });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| Popularity::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
