//! VMIS-kNN: items from the sessions that most resemble the current one (Kersbergen, Sprangers and Schelter, SIGMOD 2022).
//!
//! A session is an actor's history. The latest different items of the query are walked newest first; item at place p gives e^(−p/decay)
//! to each session among its `recent` latest, the `neighbours` most similar sessions (ties by recency) vote for their items with
//! similarity × λ × idf, where λ = 1 − p/10 of the newest shared item and idf = log(1 + sessions / postings of the item).
//!
//! Unlike the paper the bound on recent sessions holds per item and not for all together, so nothing has to be evicted. Once `neighbours`
//! sessions are more similar than anyone new can become, the older query items only raise those. Neighbours' items come from
//! [`Query::histories`]. There is one posting per event.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, Model, Online, Query, Scores, Step,
    counts::{each_step, fast_ln},
    dataset::latest,
    neighbours::{Candidate, Candidates, SOURCES_MAX, distinct_newest},
    postings::{Gathered, Posting, Postings},
};

/// Hyper-parameters. All of them only concern scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// m: sessions that are looked at per query item, the latest ones.
    pub recent: usize,
    /// k: sessions that vote.
    pub neighbours: usize,
    /// Latest different items of the query that are looked up, at most 32.
    pub query_items: usize,
    /// In items: how fast the weight of a query item falls with its age.
    pub decay: f32,
    /// Latest items of a neighbour that get its vote.
    pub neighbour_items: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { recent: 500, neighbours: 100, query_items: 4, decay: 1.0, neighbour_items: 32 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        let memories = [(4, 1.0), (4, 2.0), (8, 5.0), (20, 20.0)];
        vec![
            memories.map(|(query_items, decay)| Self { query_items, decay, ..self.clone() }).to_vec(),
            [50, 100, 200, 500].map(|neighbours| Self { neighbours, ..self.clone() }).to_vec(),
            [200, 500, 1500].map(|recent| Self { recent, ..self.clone() }).to_vec(),
        ]
    }

    /// Weight of the query item at each place.
    fn weights(&self) -> [f32; SOURCES_MAX] {
        std::array::from_fn(|place| (-(place as f32) / self.decay).exp())
    }
}

/// The postings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionKnn {
    params: Params,
    postings: Postings,
    /// Actors with at least one event.
    sessions: u64,
}

impl SessionKnn {
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
            postings.push(step.event.item, posting(step));
            model.sessions += u64::from(step.past.is_empty());
        });
        Self { postings: postings.sorted(), ..model }
    }

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.params = params.clone();
        true
    }

    fn idf(&self, item: ItemIx) -> f32 {
        let postings = self.postings.of(item).len();
        if postings == 0 { 0.0 } else { fast_ln(1.0 + self.sessions as f32 / postings as f32) }
    }

    /// Gives the voting sessions to `count`.
    fn with_neighbours<R>(&self, query: &Query<'_>, count: impl FnOnce(&[Candidate]) -> R) -> R {
        let Params { recent, neighbours, query_items, .. } = self.params;
        let weights = self.params.weights();
        let (items, found) = distinct_newest(query.history, query_items);
        Candidates::borrow(found * recent, query.actor, |candidates| {
            let mut are_enough = false;
            for (place, &item) in items[..found].iter().enumerate() {
                // Whoever shares none of the newer items gets no more than this.
                let newcomer_max: f32 = weights[place..found].iter().sum();
                are_enough = are_enough || candidates.outdo(newcomer_max, neighbours);
                let postings = self.postings.of(item);
                if are_enough {
                    candidates.credit_known(postings, recent, place, weights[place]);
                } else {
                    candidates.credit(postings, recent, place, weights[place]);
                }
            }
            count(candidates.best(neighbours))
        })
    }
}

/// λ: a session whose newest shared item is older in the query counts less.
fn match_weight(candidate: &Candidate) -> f32 {
    (1.0 - candidate.shared.trailing_zeros() as f32 / 10.0).max(0.0)
}

fn posting(step: &Step<'_>) -> Posting {
    Posting { time_s: step.event.time_s, actor: step.actor }
}

impl Model for SessionKnn {
    fn name(&self) -> &'static str {
        "session-knn"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        self.with_neighbours(query, |neighbours| {
            // Histories lie far apart: reading the newest event of each first lets the processor wait for many at once.
            let voice = |neighbour: &Candidate| {
                let vote = neighbour.similarity * match_weight(neighbour);
                let session = latest(query.histories.of(neighbour.actor), self.params.neighbour_items);
                session.split_last().map(|(newest, older)| (vote, newest.item, older))
            };
            let voices: Vec<(f32, ItemIx, &[Interaction])> = neighbours.iter().filter_map(voice).collect();
            for (vote, newest, older) in voices {
                scores.add(newest, vote);
                older.iter().for_each(|event| scores.add(event.item, vote));
            }
        });
        scores.scale(|item| self.idf(item));
    }

    /// Attributed to the shared items by which the voting sessions were found.
    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.explain_each(query, &[item]).pop().unwrap_or_default()
    }

    fn explain_each(&self, query: &Query<'_>, items: &[ItemIx]) -> Vec<Vec<Contribution>> {
        let weights = self.params.weights();
        let (causes, found) = distinct_newest(query.history, self.params.query_items);
        let places: FxHashMap<ItemIx, usize> = items.iter().copied().zip(0..).collect();
        let mut amounts = vec![[0.0; SOURCES_MAX]; items.len()];
        self.with_neighbours(query, |neighbours| {
            for neighbour in neighbours {
                let session = latest(query.histories.of(neighbour.actor), self.params.neighbour_items);
                for place in session.iter().filter_map(|event| places.get(&event.item)) {
                    for cause in (0..found).filter(|cause| neighbour.shared >> cause & 1 == 1) {
                        amounts[*place][cause] += weights[cause] * match_weight(neighbour);
                    }
                }
            }
        });
        let explained = items.iter().zip(amounts).map(|(&item, amounts)| {
            let idf = self.idf(item);
            let parts = causes.into_iter().zip(amounts).filter(|(_, amount)| *amount != 0.0);
            parts.map(|(seen, amount)| Contribution { cause: Cause::History(seen), amount: amount * idf }).collect()
        });
        explained.collect()
    }

    fn bytes(&self) -> usize {
        self.postings.heap_bytes()
    }
}

impl Online for SessionKnn {
    fn fold(&mut self, step: &Step<'_>) {
        self.postings.add(step.event.item, posting(step));
        self.sessions += u64::from(step.past.is_empty());
    }

    fn unfold(&mut self, step: &Step<'_>) {
        self.postings.remove(step.event.item, posting(step));
        self.sessions -= u64::from(step.past.is_empty()).min(self.sessions);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::online_checks::*;

    #[test]
    fn a_hand_computed_score() {
        let params = Params { decay: 1.0, ..Params::default() };
        let rows: [&[u32]; 3] = [&[0, 1, 2], &[1, 3], &[4, 5]];
        let model = taught(SessionKnn::new(params), &rows);
        let sessions = histories(&plain_log(&rows));
        let history = plain(&[0, 1]);
        let scores = scores(&model, &ask(&history, &sessions));
        let idf = (3.0f32 / 1.0).ln_1p();
        // Session 0 shares both items, session 1 the newest, session 2 none.
        assert!((scores.get(2) - (1.0 + (-1.0f32).exp()) * idf).abs() < 1e-6, "{}", scores.get(2));
        assert!((scores.get(3) - idf).abs() < 1e-6);
        assert_eq!(scores.get(5), 0.0);
    }

    #[test]
    fn keeps_only_the_most_similar_and_never_the_own_session() {
        let rows: [&[u32]; 3] = [&[0, 1, 2], &[1, 3], &[0, 1, 4]];
        let model = taught(SessionKnn::new(Params { neighbours: 1, ..Params::default() }), &rows);
        let sessions = histories(&plain_log(&rows));
        let history = plain(&[0, 1]);
        let scores_of = |actor| scores(&model, &Query { actor, ..ask(&history, &sessions) });
        // Sessions 0 and 2 are equally similar and recent: the smaller number wins.
        let anyone = scores_of(None);
        assert!(anyone.get(2) > 0.0 && anyone.get(3) == 0.0 && anyone.get(4) == 0.0);
        let own = scores_of(Some(0));
        assert!(own.get(2) == 0.0 && own.get(4) > 0.0);
    }

    #[test]
    fn walks_only_the_latest_postings() {
        let rows: [&[u32]; 2] = [&[1, 2], &[5, 1, 3]];
        let model = taught(SessionKnn::new(Params { recent: 1, ..Params::default() }), &rows);
        let sessions = histories(&plain_log(&rows));
        let history = plain(&[1]);
        let scores = scores(&model, &ask(&history, &sessions));
        assert!(scores.get(3) > 0.0 && scores.get(2) == 0.0);
    }

    /// What the module says, without any short cut: every session is looked at, all candidates are sorted.
    fn plainly(model: &SessionKnn, query: &Query<'_>) -> Vec<(f32, zhiyin_core::ActorIx)> {
        let (items, found) = distinct_newest(query.history, model.params.query_items);
        let weights = model.params.weights();
        let mut sessions = Vec::new();
        for actor in (0..N_ACTORS).filter(|&actor| Some(actor) != query.actor) {
            let place_of = |&place: &usize| {
                let postings = model.postings.of(items[place]).all().into_iter().rev().take(model.params.recent);
                postings.filter(|posting| posting.actor == actor).map(|posting| posting.time_s).next()
            };
            let shared: Vec<(usize, u32)> = (0..found).filter_map(|place| Some((place, place_of(&place)?))).collect();
            let similarity = shared.iter().map(|&(place, _)| weights[place]).sum::<f32>();
            sessions.extend(shared.first().map(|&(_, time_s)| (similarity, time_s, actor)));
        }
        sessions.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        sessions.truncate(model.params.neighbours);
        sessions.into_iter().map(|(similarity, _, actor)| (similarity, actor)).collect()
    }

    proptest! {
        #[test]
        fn stopping_early_finds_the_same_neighbours(
            log in logs(), neighbours in 1_usize..4, recent in 1_usize..6, decay in 0.5_f32..20.0, asker in 0u32..4,
        ) {
            let params = Params { neighbours, recent, decay, ..Params::default() };
            let model = learned(SessionKnn::new(params), &log);
            let rows = histories(&log);
            let query = query(&rows, asker, &[]);
            let mut found = model.with_neighbours(&query, |found| {
                found.iter().map(|candidate| (candidate.similarity, candidate.actor)).collect::<Vec<_>>()
            });
            let mut expected = plainly(&model, &query);
            found.sort_by_key(|&(_, actor)| actor);
            expected.sort_by_key(|&(_, actor)| actor);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn forgets_exactly_and_explains_what_it_scores(log in logs(), forgotten in 0u32..4) {
            let fresh = SessionKnn::new(Params { neighbours: 2, ..Params::default() });
            check_forgetting(&fresh, &log, forgotten);
            check_fit(&fresh, |data| SessionKnn::fit(data, fresh.params()), &log);
            check_explanations(&fresh, &log);
        }
    }
}
