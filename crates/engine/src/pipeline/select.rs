//! From ranked candidates to the list: diversity, slots for cold items, backfill.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use zhiyin_core::{DecisionId, ItemIx};
use zhiyin_models::{Scores, diversity, text::Text};

use super::{eligible::Eligibility, plan::Plan};
use crate::{
    config::RecommendConfig,
    rank::{best_first, best_items, scored},
    state::OnlineState,
    trained::Trained,
};

/// Candidates that diversity chooses from, per item of the list.
const POOL_PER_ITEM: usize = 5;
/// Candidates that diversity chooses from, at most.
const POOL_MAX: usize = 500;
/// Cold items among which a cold slot is drawn.
const COLD_POOL: usize = 10;

/// An item of the list, before it is explained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Selected {
    pub item: ItemIx,
    pub score: f32,
    pub propensity: f32,
    pub slot: Slot,
}

/// How an item came into the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// By its score.
    Ranked,
    /// Because cold items get exposure.
    Cold,
    /// Because there was nothing better.
    Backfill,
}

/// What the selection needs to know.
pub(super) struct Selection<'a> {
    pub state: &'a OnlineState,
    pub text: &'a Text,
    pub trained: &'a Trained,
    pub plan: &'a Plan,
    pub config: &'a RecommendConfig,
    pub eligibility: &'a Eligibility<'a>,
}

impl Selection<'_> {
    /// The list, best first. `cold_scores` rank the cold items.
    pub(super) fn choose(&self, fused: &Scores, cold_scores: Option<&Scores>, decision: DecisionId) -> Vec<Selected> {
        let pool = self.pool(fused);
        let mut list = self.diversified(&pool, fused);
        self.backfill(&mut list);
        if let Some(scores) = cold_scores.filter(|_| self.plan.explore) {
            self.place_cold(&mut list, scores, decision);
        }
        list
    }

    fn pool(&self, fused: &Scores) -> Vec<ItemIx> {
        let wanted = if self.plan.diversity > 0.0 {
            (self.plan.limit * POOL_PER_ITEM).min(POOL_MAX).max(self.plan.limit)
        } else {
            self.plan.limit
        };
        let is_eligible = |item| self.eligibility.objection(item).is_none();
        if fused.is_dense() {
            return best_items(scored(fused.values()), wanted, is_eligible);
        }
        let touched = fused.touched().iter().map(|&item| (item, fused.get(item)));
        let liked = best_first(touched).take_while(|&item| fused.get(item) > 0.0);
        liked.filter(|&item| is_eligible(item)).take(wanted).collect()
    }

    fn diversified(&self, pool: &[ItemIx], fused: &Scores) -> Vec<Selected> {
        let (vectors, dims) = if self.plan.diversity > 0.0 { self.vectors_of(pool) } else { (Vec::new(), 0) };
        let order = if dims > 0 {
            let relevances: Vec<f32> = pool.iter().map(|&item| fused.get(item)).collect();
            diversity::dpp(&relevances, &vectors, dims, self.plan.diversity, self.plan.limit)
        } else {
            (0..pool.len().min(self.plan.limit)).collect()
        };
        let ranked = |place: usize| Selected {
            item: pool[place],
            score: fused.get(pool[place]),
            propensity: 1.0,
            slot: Slot::Ranked,
        };
        order.into_iter().map(ranked).collect()
    }

    /// Unit vectors by which items resemble each other, and the numbers in one: those of the texts' meaning, or else those of their words as
    /// of the training.
    fn vectors_of(&self, pool: &[ItemIx]) -> (Vec<f32>, usize) {
        let by_meaning = self.text.dims() > 0;
        let dims = if by_meaning { self.text.dims() } else { self.trained.dimensions };
        let words = |item: ItemIx| self.trained.vectors.get(item as usize * dims..(item as usize + 1) * dims);
        let mut vectors = Vec::with_capacity(pool.len() * dims);
        for &item in pool {
            match if by_meaning { self.text.vector(item) } else { words(item) } {
                Some(vector) => vectors.extend_from_slice(vector),
                // What isn't known resembles nothing.
                None => vectors.extend(std::iter::repeat_n(0.0, dims)),
            }
        }
        (vectors, dims)
    }

    /// Fills a list that is too short with popular items, then with any.
    fn backfill(&self, list: &mut Vec<Selected>) {
        if list.len() >= self.plan.limit {
            return;
        }
        let popular = self.state.models.popularity.top(self.state.newest_s, None, self.plan.limit * 2);
        let everything = 0..self.state.items.len() as ItemIx;
        for item in popular.into_iter().map(|(item, _)| item).chain(everything) {
            let is_new = list.iter().all(|selected| selected.item != item);
            if is_new && self.eligibility.objection(item).is_none() {
                list.push(Selected { item, score: 0.0, propensity: 1.0, slot: Slot::Backfill });
            }
            if list.len() == self.plan.limit {
                return;
            }
        }
    }

    /// Gives the last position of every run of `1 / cold_share` positions to a cold item, drawn from the best ones with equal
    /// probability, which is logged as the propensity.
    fn place_cold(&self, list: &mut [Selected], scores: &Scores, decision: DecisionId) {
        let every = (1.0 / self.config.cold_share.clamp(0.01, 1.0)).round() as usize;
        let mut pool = self.cold_pool(list, scores);
        let mut random = Pcg64Mcg::seed_from_u64(decision.as_u128() as u64);
        for place in (every - 1..list.len()).step_by(every) {
            if pool.is_empty() {
                return;
            }
            let propensity = 1.0 / pool.len() as f32;
            let item = pool.swap_remove(random.random_range(0..pool.len()));
            list[place] = Selected { item, score: scores.get(item), propensity, slot: Slot::Cold };
        }
    }

    fn cold_pool(&self, list: &[Selected], scores: &Scores) -> Vec<ItemIx> {
        let is_cold = |item: ItemIx| {
            self.state.items.interactions(item) < self.config.cold_interactions_max
                && list.iter().all(|selected| selected.item != item)
                && self.eligibility.objection(item).is_none()
        };
        best_items(scored(scores.values()), COLD_POOL, is_cold)
    }
}
