//! User-based collaborative filtering: actors with a similar set of items, and friends, vote for what they met lately.
//!
//! Similarity is the cosine of the two item sets, |A ∩ B| / √(|A|·|B|), over the `query_items` latest different items of the query and the
//! `recent` latest actors of each. score = Σ_neighbours similarity · Σ recency / Σ similarity + friend_weight · Σ_friends Σ recency / friends,
//! with recency = ½^(age / half-life) per event, so that either part is about the share of neighbours or friends who met the item.
//!
//! Sets are counted within the fold window: an item met again after more than 64 other events counts twice.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{Totals, each_step},
    dataset::{contains, latest},
    neighbours::{Candidates, distinct_newest},
    postings::{Gathered, Posting, Postings},
};

const DAY_S: f32 = 86_400.0;

/// Hyper-parameters. All of them only concern scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Actors that are looked at per query item, the latest ones.
    pub recent: usize,
    /// Actors that vote.
    pub neighbours: usize,
    /// Latest different items of the query that are looked up, at most 32.
    pub query_items: usize,
    /// Latest events of a neighbour or friend that get its vote.
    pub neighbour_items: usize,
    /// Days after which an event of a neighbour or friend counts half; none: all count in full.
    pub half_life_days: Option<f32>,
    /// How much friends count against neighbours.
    pub friend_weight: f32,
}

impl Default for Params {
    fn default() -> Self {
        let (query_items, neighbour_items) = (20, 32);
        Self {
            recent: 200,
            neighbours: 100,
            query_items,
            neighbour_items,
            half_life_days: Some(90.0),
            friend_weight: 0.5,
        }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        vec![
            [2, 5, 20].map(|query_items| Self { query_items, ..self.clone() }).to_vec(),
            [50, 100, 300].map(|neighbours| Self { neighbours, ..self.clone() }).to_vec(),
            [Some(7.0), Some(90.0), None].map(|half_life_days| Self { half_life_days, ..self.clone() }).to_vec(),
            [0.0, 0.5, 2.0].map(|friend_weight| Self { friend_weight, ..self.clone() }).to_vec(),
        ]
    }

    fn recency(&self, event: &Interaction, now_s: u32) -> f32 {
        let Some(half_life) = self.half_life_days else { return 1.0 };
        let age_days = now_s.saturating_sub(event.time_s) as f32 / DAY_S;
        (-age_days / half_life).exp2()
    }
}

/// The inverted index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserKnn {
    params: Params,
    /// The first event of each actor on each item (within the fold window).
    postings: Postings,
    /// Different items by actor.
    set_sizes: Totals<u32>,
}

impl UserKnn {
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
        let mut postings = Gathered::default();
        each_step(data, |step| {
            if let Some(posting) = first_posting(step) {
                postings.push(step.event.item, posting);
                model.set_sizes.add(step.actor, 1);
            }
        });
        Self { postings: postings.sorted(), ..model }
    }

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.params = params.clone();
        true
    }

    /// Hands each voting actor and the share of its vote to `vote`; the shares sum to 1.
    fn each_neighbour(&self, query: &Query<'_>, mut vote: impl FnMut(ActorIx, f32)) {
        let (items, found) = distinct_newest(query.history, self.params.query_items);
        Candidates::borrow(found * self.params.recent, query.actor, |candidates| {
            for (place, &item) in items[..found].iter().enumerate() {
                candidates.credit(self.postings.of(item), self.params.recent, place, 1.0);
            }
            for candidate in candidates.all_mut() {
                let sizes = self.set_sizes.get(candidate.actor).max(1) as f32 * found as f32;
                candidate.similarity /= sizes.sqrt();
            }
            let voters = candidates.best(self.params.neighbours);
            let total: f32 = voters.iter().map(|voter| voter.similarity).sum();
            voters.iter().for_each(|voter| vote(voter.actor, voter.similarity / total));
        });
    }

    /// What a friend's vote is worth.
    fn friend_share(&self, query: &Query<'_>) -> f32 {
        self.params.friend_weight / query.friends.len().max(1) as f32
    }

    fn recent_events<'q>(&self, query: &Query<'q>, actor: ActorIx) -> &'q [Interaction] {
        latest(query.histories.of(actor), self.params.neighbour_items)
    }

    /// Adds what one actor's vote of `share` gives to the items that have a place.
    fn meet(
        &self,
        query: &Query<'_>,
        actor: ActorIx,
        share: f32,
        places: &FxHashMap<ItemIx, usize>,
        amounts: &mut [f32],
    ) {
        for event in self.recent_events(query, actor) {
            if let Some(&place) = places.get(&event.item) {
                amounts[place] += share * self.params.recency(event, query.now_s);
            }
        }
    }
}

/// The posting of an event on an item that the actor didn't meet within the window before.
fn first_posting(step: &Step<'_>) -> Option<Posting> {
    let first = !contains(step.past, step.event.item);
    first.then_some(Posting { time_s: step.event.time_s, actor: step.actor })
}

impl Model for UserKnn {
    fn name(&self) -> &'static str {
        "user-knn"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let mut vote = |actor: ActorIx, share: f32| {
            for event in self.recent_events(query, actor) {
                scores.add(event.item, share * self.params.recency(event, query.now_s));
            }
        };
        self.each_neighbour(query, &mut vote);
        let share = self.friend_share(query);
        if share > 0.0 {
            query.friends.iter().for_each(|&friend| vote(friend, share));
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.explain_each(query, &[item]).pop().unwrap_or_default()
    }

    fn explain_each(&self, query: &Query<'_>, items: &[ItemIx]) -> Vec<Vec<Contribution>> {
        let places: FxHashMap<ItemIx, usize> = items.iter().copied().zip(0..).collect();
        let (mut neighbours, mut friends) = (vec![0.0; items.len()], vec![0.0; items.len()]);
        self.each_neighbour(query, |actor, share| self.meet(query, actor, share, &places, &mut neighbours));
        let share = self.friend_share(query);
        query.friends.iter().for_each(|&friend| self.meet(query, friend, share, &places, &mut friends));
        let explained = neighbours.into_iter().zip(friends).map(|(neighbours, friends)| {
            let parts = [(Cause::Neighbours, neighbours), (Cause::Friends, friends)].into_iter();
            let known = parts.filter(|(_, amount)| *amount != 0.0);
            known.map(|(cause, amount)| Contribution { cause, amount }).collect()
        });
        explained.collect()
    }

    fn bytes(&self) -> usize {
        self.postings.heap_bytes() + self.set_sizes.heap_bytes()
    }
}

impl Online for UserKnn {
    fn fold(&mut self, step: &Step<'_>) {
        if let Some(posting) = first_posting(step) {
            self.postings.add(step.event.item, posting);
            self.set_sizes.add(step.actor, 1);
        }
    }

    fn unfold(&mut self, step: &Step<'_>) {
        if let Some(posting) = first_posting(step) {
            self.postings.remove(step.event.item, posting);
            self.set_sizes.subtract(step.actor, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::online_checks::*;

    #[test]
    fn a_hand_computed_score() {
        let rows: [&[u32]; 3] = [&[0, 1, 2], &[1, 3], &[4]];
        let params = Params { half_life_days: None, friend_weight: 0.5, ..Params::default() };
        let model = taught(UserKnn::new(params), &rows);
        let others = histories(&plain_log(&rows));
        let history = plain(&[0, 1]);
        let scores = scores(&model, &Query { friends: &[2, 1], ..ask(&history, &others) });
        // Cosines: 2/√(3·2) with actor 0, 1/√(2·2) with actor 1.
        let (first, second) = (2.0 / 6.0f32.sqrt(), 0.5);
        assert!((scores.get(2) - first / (first + second)).abs() < 1e-6, "{}", scores.get(2));
        assert!((scores.get(3) - (second / (first + second) + 0.25)).abs() < 1e-6);
        assert_eq!(scores.get(4), 0.25);
    }

    #[test]
    fn finds_a_planted_community() {
        let rows: [&[u32]; 4] = [&[0, 1, 2], &[1, 2, 3], &[4, 5, 6], &[5, 6, 7]];
        let model = taught(UserKnn::new(Params::default()), &rows);
        let others = histories(&plain_log(&rows));
        let history = plain(&[0, 1, 2]);
        let scores = scores(&model, &Query { actor: Some(0), ..ask(&history, &others) });
        assert!(scores.get(3) > 0.0);
        assert!((4..8).all(|item| scores.get(item) == 0.0));
        assert_eq!(scores.get(0), 0.0, "the actor is no neighbour of their own");
    }

    #[test]
    fn old_events_of_friends_fade() {
        let mut params = Params { half_life_days: Some(10.0), friend_weight: 1.0, ..Params::default() };
        let model = UserKnn::new(params.clone());
        let others = Rows(vec![plain(&[3])]);
        let later = |model: &UserKnn| {
            let query = Query { friends: &[0], now_s: 20_020 * 86_400, ..ask(&[], &others) };
            scores(model, &query).get(3)
        };
        assert_eq!(later(&model), 0.5);
        params.half_life_days = None;
        assert_eq!(later(&UserKnn::new(params)), 1.0);
    }

    proptest! {
        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = UserKnn::new(Params { neighbours: 2, ..Params::default() });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| UserKnn::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
