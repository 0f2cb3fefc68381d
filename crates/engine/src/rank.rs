//! Scoring a whole catalogue and ranking items in it: the part of the pipeline that the evaluator drives too.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rayon::prelude::*;
use zhiyin_core::{ActorIx, Interaction, ItemIx};
use zhiyin_models::{
    Histories, Model, Query, Ranked, Scores,
    fusion::{Fusion, IsCold, Standard},
};

/// One thing to predict: what did this actor choose next?
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The actor.
    pub actor: Option<ActorIx>,
    /// The actor's segment.
    pub segment: Option<u32>,
    /// What was known, oldest first.
    pub history: &'a [Interaction],
    /// What was chosen: at least one item.
    pub targets: Vec<ItemIx>,
    /// When.
    pub now_s: u32,
}

/// Cases with what all of them share.
pub struct Cases<'a> {
    /// The cases.
    pub list: Vec<Case<'a>>,
    /// Histories of other actors.
    pub histories: &'a dyn Histories,
    /// Friends by actor.
    pub friends: &'a [Vec<ActorIx>],
    /// Size of the catalogue.
    pub n_items: usize,
    /// Whether items of the history are left out of the ranking.
    pub mask_history: bool,
}

impl<'a> Cases<'a> {
    /// The query that a case poses.
    pub fn query<'b>(&'b self, case: &'b Case<'_>) -> Query<'b> {
        let friends = case.actor.and_then(|actor| self.friends.get(actor as usize));
        Query {
            history: case.history,
            actor: case.actor,
            segment: case.segment,
            friends: friends.map_or(&[], Vec::as_slice),
            now_s: case.now_s,
            histories: self.histories,
        }
    }

    /// Every `step`-th case such that at most `count` remain.
    pub fn sample(&self, count: usize) -> Cases<'a> {
        let step = self.list.len().div_ceil(count.max(1)).max(1);
        Cases { list: self.list.iter().step_by(step).cloned().collect(), ..*self }
    }
}

/// Something that scores the whole catalogue for a query: one model, or the fusion of several.
#[derive(Clone, Copy)]
pub enum Scorer<'a> {
    /// A single model.
    Single(&'a dyn Model),
    /// A weighted sum of standardised models.
    Fused {
        /// The models, in the order of the fusion's weights.
        lineup: &'a [Option<&'a dyn Model>],
        /// The weights.
        fusion: &'a Fusion,
        /// Which items get the weight of cold ones; none if that weight is to be left out.
        is_cold: Option<IsCold<'a>>,
    },
}

/// Time that all sources of one request may take together; those that would start later are left out.
const SOURCES_MILLISECONDS_MAX: u64 = 50;

/// When to stop asking sources.
pub struct Guard {
    deadline: Option<Instant>,
}

impl Guard {
    /// Requests don't wait longer than the limit.
    pub fn for_request() -> Self {
        Self { deadline: Some(Instant::now() + Duration::from_millis(SOURCES_MILLISECONDS_MAX)) }
    }

    /// Evaluation waits for every source.
    pub fn none() -> Self {
        Self { deadline: None }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now > deadline)
    }
}

/// Buffers of one thread, reused from query to query.
#[derive(Default)]
pub struct Scratch {
    /// Scores by source.
    pub sources: Vec<Scores>,
    /// The sum.
    pub fused: Scores,
    /// How each source was standardised for this query.
    pub standard: Vec<Standard>,
    /// Microseconds by source.
    pub microseconds: Vec<f32>,
    /// Places of sources that failed or came too late.
    pub failed: Vec<usize>,
}

impl Scratch {
    /// What became of a source.
    pub fn status(&self, place: usize, is_used: bool) -> &'static str {
        match (!is_used, self.failed.contains(&place)) {
            (true, _) => "disabled",
            (_, true) => "failed",
            _ => "used",
        }
    }
}

/// Asks every source that has a weight, and sums their standardised scores into `scratch.fused`, with the weight of cold items if it is told
/// which ones are.
///
/// A source that is absent, panics, or would start after the guard's deadline gives nothing and is listed in `scratch.failed`.
pub fn score_sources(
    lineup: &[Option<&dyn Model>],
    fusion: &Fusion,
    query: &Query<'_>,
    n_items: usize,
    is_cold: Option<IsCold<'_>>,
    guard: &Guard,
    scratch: &mut Scratch,
) {
    scratch.failed.clear();
    scratch.microseconds.clear();
    scratch.sources.resize_with(lineup.len(), Scores::default);
    let mut started = Instant::now();
    for (place, scores) in scratch.sources.iter_mut().enumerate() {
        scores.reset(n_items);
        let mut took = Duration::ZERO;
        if fusion.is_used(place) {
            if guard.is_over(started) || !asked(lineup[place], query, scores) {
                scores.reset(n_items);
                scratch.failed.push(place);
            }
            let ended = Instant::now();
            took = ended - started;
            started = ended;
        }
        scratch.microseconds.push(took.as_secs_f32() * 1e6);
    }
    scratch.fused.reset(n_items);
    fusion.combine(&scratch.sources, &mut scratch.standard, &mut scratch.fused);
    if let Some(is_cold) = is_cold {
        fusion.raise_cold(&scratch.sources, &scratch.standard, is_cold, &mut scratch.fused);
    }
}

/// Whether the source answered. A panic of a model is a bug, but no reason to leave the user without an answer.
fn asked(model: Option<&dyn Model>, query: &Query<'_>, scores: &mut Scores) -> bool {
    let Some(model) = model else { return false };
    catch_unwind(AssertUnwindSafe(|| model.score(query, scores))).is_ok()
}

impl Scorer<'_> {
    /// Scores all items for a query; the result is in `scratch.fused`.
    pub fn score(&self, query: &Query<'_>, n_items: usize, scratch: &mut Scratch) {
        match self {
            Scorer::Single(model) => {
                scratch.fused.reset(n_items);
                model.score(query, &mut scratch.fused);
            }
            Scorer::Fused { lineup, fusion, is_cold } => {
                score_sources(lineup, fusion, query, n_items, *is_cold, &Guard::none(), scratch);
            }
        }
    }
}

/// Ranks of the targets of one case, from 1, ties counting half.
///
/// Items of the history don't compete if the cases say so. A target that is masked has no rank and is left out.
pub fn target_ranks(values: &[f32], case: &Case<'_>, mask_history: bool, masked: &mut Vec<ItemIx>) -> Vec<f64> {
    mask(case, mask_history, masked);
    let targets = case.targets.iter().filter(|target| masked.binary_search(target).is_err());
    targets.map(|&target| rank_of(values, target, masked)).collect()
}

/// Gathers the items that don't compete in a case, sorted: those of its history, if `mask_history`.
pub fn mask(case: &Case<'_>, mask_history: bool, masked: &mut Vec<ItemIx>) {
    masked.clear();
    if mask_history {
        masked.extend(case.history.iter().map(|event| event.item));
        masked.sort_unstable();
        masked.dedup();
    }
}

#[allow(clippy::float_cmp, reason = "a tie is exact equality")]
fn rank_of(values: &[f32], target: ItemIx, masked: &[ItemIx]) -> f64 {
    let Some(&own) = values.get(target as usize) else { return values.len() as f64 + 1.0 };
    let above = count(values, |value| value > own);
    let equal = count(values, |value| value == own);
    let masked_values = masked.iter().filter_map(|&item| values.get(item as usize));
    let (mut masked_above, mut masked_equal) = (0, 0);
    for &value in masked_values {
        masked_above += usize::from(value > own);
        masked_equal += usize::from(value == own);
    }
    1.0 + (above - masked_above) as f64 + (equal - masked_equal - 1) as f64 / 2.0
}

/// Counts in blocks of a fixed size, which compiles to vector comparisons.
fn count(values: &[f32], is_counted: impl Fn(f32) -> bool) -> usize {
    let block_count = |block: &[f32]| block.iter().map(|&value| u32::from(is_counted(value))).sum::<u32>() as usize;
    values.chunks(1024).map(block_count).sum()
}

/// NDCG@10 of one model, averaged over the cases: what hyper-parameters are chosen by.
pub fn mean_ndcg(model: &dyn Model, cases: &Cases<'_>) -> f64 {
    let per_case = each_case(cases, Scorer::Single(model), |case, values, masked| {
        let ranks = target_ranks(values, case, cases.mask_history, masked);
        zhiyin_evaluation::metrics::ndcg_at(&ranks, 10)
    });
    per_case.iter().sum::<f64>() / per_case.len().max(1) as f64
}

/// Scores every case on all cores and maps case and scores to a result, in the order of the cases.
pub fn each_case<R: Send>(
    cases: &Cases<'_>,
    scorer: Scorer<'_>,
    judge: impl Fn(&Case<'_>, &[f32], &mut Vec<ItemIx>) -> R + Sync,
) -> Vec<R> {
    let judged = cases.list.par_iter().map_init(
        || (Scratch::default(), Vec::new()),
        |(scratch, masked), case| {
            scorer.score(&cases.query(case), cases.n_items, scratch);
            judge(case, scratch.fused.values(), masked)
        },
    );
    judged.collect()
}

/// All items of an array of scores, with them.
pub fn scored(values: &[f32]) -> impl Iterator<Item = (ItemIx, f32)> {
    (0..).zip(values.iter().copied())
}

/// The best `count` of items with scores that `is_eligible`, best first; ties by number, so that the order is deterministic.
///
/// For many items of which few are taken: all that is kept is a heap of the best ones so far.
pub fn best_items(
    items: impl Iterator<Item = (ItemIx, f32)>,
    count: usize,
    is_eligible: impl Fn(ItemIx) -> bool,
) -> Vec<ItemIx> {
    let mut best: BinaryHeap<Reverse<Ranked>> = BinaryHeap::with_capacity(count + 1);
    for (item, score) in items {
        let ranked = Ranked::new(item, score);
        let is_better = best.len() < count || best.peek().is_some_and(|worst| ranked > worst.0);
        if is_better && is_eligible(item) {
            best.push(Reverse(ranked));
            if best.len() > count {
                best.pop();
            }
        }
    }
    best.into_sorted_vec().into_iter().map(|ranked| ranked.0.item()).collect()
}

/// Items with scores in the order of [`best_items`]. For few items: those that nobody asks for are never compared among each other.
pub fn best_first(items: impl Iterator<Item = (ItemIx, f32)>) -> impl Iterator<Item = ItemIx> {
    let ranked: Vec<Ranked> = items.map(|(item, score)| Ranked::new(item, score)).collect();
    let mut rest = BinaryHeap::from(ranked);
    std::iter::from_fn(move || rest.pop()).map(Ranked::item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(history: &[Interaction], target: ItemIx) -> Case<'_> {
        Case { actor: None, segment: None, history, targets: vec![target], now_s: 0 }
    }

    #[test]
    fn ties_count_half_and_masked_items_do_not_compete() {
        let values = [0.9, 0.5, 0.5, 0.5, 0.1];
        let seen = [Interaction::plain(0, 1), Interaction::plain(0, 2)];
        let mut masked = Vec::new();
        assert_eq!(target_ranks(&values, &case(&[], 1), true, &mut masked), [3.0]);
        assert_eq!(target_ranks(&values, &case(&seen, 1), true, &mut masked), [2.0]);
        assert_eq!(target_ranks(&values, &case(&seen, 1), false, &mut masked), [3.0]);
        assert!(target_ranks(&values, &case(&seen, 0), true, &mut masked).is_empty());
    }

    #[test]
    fn best_items_are_sorted_with_ties_by_number() {
        let values = [0.5, 0.9, 0.5, -1.0, 0.5];
        assert_eq!(best_items(scored(&values), 3, |_| true), [1, 0, 2]);
        assert_eq!(best_items(scored(&values), 3, |item| item != 0), [1, 2, 4]);
        assert_eq!(best_items(scored(&values), 9, |_| true).len(), 5);
        assert_eq!(best_first(scored(&values)).collect::<Vec<_>>(), best_items(scored(&values), 9, |_| true));
    }
}
