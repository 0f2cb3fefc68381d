//! Learning to read: a reader from the reviews of the log, and the opinions that weighing the sources needs.

use std::collections::VecDeque;

use zhiyin_core::{
    Said,
    storage::{Position, StagedEvent},
};
use zhiyin_models::Dataset;
use zhiyin_reading::{REVIEWS_MAX, Reader, Review};

use crate::{
    engine::{Engine, Frozen},
    error::EngineError,
    listen::Listener,
};

/// Events that are read at once.
const ROWS: usize = 8_192;
/// Share of the events, the oldest, from which the reader learns by which the sources are weighed: it must not have seen the rest.
const EARLIER_SHARE: f64 = 0.8;

/// The newest reviews of the log, in order of time.
pub(crate) struct Reviews(Vec<(Position, StagedEvent)>);

impl Engine {
    /// The newest reviews up to where the state was frozen.
    pub(crate) fn reviews(&self, frozen: &Frozen) -> Result<Reviews, EngineError> {
        let listener = self.state().listener().clone();
        let mut newest = VecDeque::new();
        if !self.state().models.feedback.is_empty() {
            self.each_event(frozen.position, |position, event| {
                if listener.review(&event).is_some() {
                    newest.push_back((position, event));
                    if newest.len() > REVIEWS_MAX {
                        newest.pop_front();
                    }
                }
            })?;
        }
        let mut reviews = Vec::from(newest);
        reviews.sort_by_key(|(position, event)| (event.event.time_ms, *position));
        Ok(Reviews(reviews))
    }

    /// Everything that was said up to where the state was frozen, in order of time.
    pub(crate) fn all_said(&self, frozen: &Frozen, listener: &Listener) -> Result<Vec<Said>, EngineError> {
        let mut all = Vec::new();
        self.each_event(frozen.position, |position, event| all.extend(listener.hear(position, &event)))?;
        all.sort_by_key(|said: &Said| (said.time_s, said.position));
        Ok(all)
    }

    fn each_event(&self, until: Position, mut each: impl FnMut(Position, StagedEvent)) -> Result<(), EngineError> {
        let mut after = 0;
        while after < until {
            let events = self.core.storage.events_after(after, ROWS)?;
            let Some(last) = events.last() else { break };
            after = last.position;
            for event in events.into_iter().filter(|event| event.position <= until) {
                each(event.position, event.staged);
            }
        }
        Ok(())
    }
}

impl Reviews {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A reader of all of them.
    pub(crate) fn learn(&self, listener: &Listener) -> Reader {
        learn(listener, &self.0)
    }

    /// What they say to a reader that knows only those before the part of `data` on which the sources are weighed.
    pub(crate) fn opinions(&self, listener: &Listener, data: &Dataset) -> Vec<Said> {
        let mut times: Vec<u32> = data.interactions.iter().map(|event| event.time_s).collect();
        times.sort_unstable();
        let cut_s = times.get((times.len() as f64 * EARLIER_SHARE) as usize).copied().unwrap_or(u32::MAX);
        let cut = self.0.partition_point(|(_, event)| event.event.time_ms < i64::from(cut_s) * 1000);
        let earlier = listener.with_reader(learn(listener, &self.0[..cut]));
        self.0.iter().filter_map(|(position, event)| earlier.hear(*position, event)).collect()
    }
}

fn learn(listener: &Listener, reviews: &[(Position, StagedEvent)]) -> Reader {
    let review = |(_, event): &'_ (Position, StagedEvent)| {
        let (text, item) = listener.review(event)?;
        Some((text.to_owned(), listener.outcome(event), item, event.actor))
    };
    let owned: Vec<_> = reviews.iter().filter_map(review).collect();
    let borrowed =
        owned.iter().map(|(text, outcome, item, actor)| Review { text, outcome: *outcome, item: *item, actor: *actor });
    Reader::learn(&borrowed.collect::<Vec<_>>())
}
