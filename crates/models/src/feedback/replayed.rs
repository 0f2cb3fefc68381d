//! The model while time is replayed, for weighing it against the others.

use std::sync::Arc;

use zhiyin_core::{ItemIx, Said};

use super::{Feedback, NAME, Params};
use crate::{Contribution, Dataset, FitError, Model, Online, Query, Scores, Step};

/// The model while time is replayed: it hears every opinion of a set when the replay has passed its time, and no sooner.
#[derive(Clone, Debug)]
pub struct Replayed {
    model: Feedback,
    /// In order of time.
    opinions: Arc<[Said]>,
    next: usize,
}

impl Replayed {
    /// The model as of the end of a set; what was said in its last second may belong to what is still to be predicted.
    ///
    /// # Errors
    /// The set has no opinions.
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        if data.opinions.is_empty() {
            let needed = "reviews with text in the event log";
            return Err(FitError::TooLittleData { model: NAME, found: "no review that could be read".into(), needed });
        }
        let mut replayed = Self { model: Feedback::new(params.clone()), opinions: Arc::clone(&data.opinions), next: 0 };
        let end_s = data.interactions.iter().map(|event| event.time_s).max().unwrap_or(0);
        replayed.hear_before(end_s);
        Ok(replayed)
    }

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.model.adopt(params)
    }

    fn hear_before(&mut self, time_s: u32) {
        while let Some(said) = self.opinions.get(self.next).filter(|said| said.time_s < time_s) {
            self.model.learn(said.clone());
            self.next += 1;
        }
    }
}

impl Model for Replayed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        self.model.score(query, scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.model.explain(query, item)
    }

    fn bytes(&self) -> usize {
        self.model.bytes()
    }
}

impl Online for Replayed {
    /// Hears what was said before the event. What was said at its very time may belong to an event that is still to be predicted.
    fn fold(&mut self, step: &Step<'_>) {
        self.hear_before(step.event.time_s);
    }

    /// Time doesn't run backwards.
    fn unfold(&mut self, _: &Step<'_>) {}
}
