//! Repeats: what an actor chose before and may want again (groceries, music, restocking).
//!
//! score_j = Σ over the actor's own events on j of e^(−age/δ), where age is the rank from the newest event (0) or from the newest
//! time, so that a basket bought at one instant counts as one step. It has no state besides the history that the query carries, so it
//! is always fresh and has nothing to forget.

use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{Cause, Contribution, Dataset, Model, Online, Query, Scores, Step};

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    /// δ, in distinct times: how many visits ago a choice still counts by 1/e.
    pub visits_decay: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { visits_decay: 8.0 }
    }
}

impl Params {
    /// Alternatives by hyper-parameter.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        vec![[2.0, 8.0, 32.0].map(|visits_decay| Self { visits_decay }).to_vec()]
    }
}

/// The model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    params: Params,
}

impl Repeat {
    /// A model with these hyper-parameters.
    pub fn new(params: Params) -> Self {
        Self { params }
    }

    /// The hyper-parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// There is nothing to learn from a data set.
    pub fn fit(_: &Dataset, params: &Params) -> Self {
        Self::new(params.clone())
    }

    /// All hyper-parameters matter only when scoring.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.params = params.clone();
        true
    }

    /// Weight of each event of a history, newest first.
    fn weighted<'a>(&self, history: &'a [Interaction]) -> impl Iterator<Item = (ItemIx, f32)> + use<'a> {
        let factor = (-1.0 / self.params.visits_decay).exp();
        let mut weight = 1.0;
        let mut visit_s = history.last().map(|event| event.time_s);
        history.iter().rev().map(move |event| {
            if visit_s != Some(event.time_s) {
                visit_s = Some(event.time_s);
                weight *= factor;
            }
            (event.item, weight)
        })
    }
}

impl Model for Repeat {
    fn name(&self) -> &'static str {
        "repeat"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        for (item, weight) in self.weighted(query.history) {
            scores.add(item, weight);
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let own = self.weighted(query.history).filter(|(seen, _)| *seen == item);
        let amount: f32 = own.map(|(_, weight)| weight).sum();
        if amount == 0.0 { Vec::new() } else { vec![Contribution { cause: Cause::History(item), amount }] }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

impl Online for Repeat {
    fn fold(&mut self, _: &Step<'_>) {}

    fn unfold(&mut self, _: &Step<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::NoHistories;

    fn query(history: &[Interaction]) -> Query<'_> {
        Query { history, actor: None, segment: None, friends: &[], now_s: 99, histories: &NoHistories }
    }

    #[test]
    fn a_visit_ago_counts_less_and_a_basket_is_one_visit() {
        let history = [(0, 10), (1, 20), (2, 20), (0, 30)].map(|(item, time_s)| Interaction::plain(item, time_s));
        let model = Repeat::new(Params { visits_decay: 1.0 });
        let mut scores = Scores::new(4);
        model.score(&query(&history), &mut scores);
        let e = (-1.0f32).exp();
        let expected = [1.0 + e * e, e, e, 0.0];
        assert!(scores.values().iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-6));
        assert!((model.explain(&query(&history), 0)[0].amount - scores.get(0)).abs() < 1e-6);
        assert!(model.explain(&query(&history), 3).is_empty());
    }
}
