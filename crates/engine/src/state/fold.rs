//! Folding events into the state and unfolding them.
//!
//! A step of the models is an interaction with the at most [`limits::FOLD_WINDOW_MAX`] interactions before it. When an interaction is
//! put in between (a late event) or taken out (a return), the steps whose past it is in are unfolded and folded again, so that the
//! models always know exactly the steps of the effective sequences. An event at the end, which nearly all are, costs one step.

use std::ops::Range;

use zhiyin_core::{
    ActorIx, Interaction, ItemIx,
    capacity::make_room,
    limits::{FOLD_WINDOW_MAX, HISTORY_MAX},
    storage::{Position, StagedEvent},
};
use zhiyin_models::{Step, dataset::latest};

use super::{
    Actor, OnlineState, Sequence,
    effect::{Effect, seconds},
    sequence::{place_of, push_negative, returned},
};
use crate::online::OnlineModels;

/// What folding an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// It changed the history of its actor.
    Counted,
    /// It is only recorded.
    Recorded,
    /// It returns something that was not bought; it is only recorded.
    ReturnWithoutPurchase,
}

/// Whose steps the models learn or forget.
#[derive(Clone, Copy)]
struct Learner {
    actor: ActorIx,
    segment: Option<u32>,
}

impl Learner {
    fn step(self, history: &[Interaction], place: usize) -> Step<'_> {
        let past = latest(&history[..place], FOLD_WINDOW_MAX);
        Step { actor: self.actor, segment: self.segment, past, event: history[place] }
    }

    fn fold(self, models: &mut OnlineModels, history: &[Interaction], places: Range<usize>) {
        for place in places {
            models.fold(&self.step(history, place));
        }
    }

    fn unfold(self, models: &mut OnlineModels, history: &[Interaction], places: Range<usize>) {
        for place in places.rev() {
            models.unfold(&self.step(history, place));
        }
    }
}

/// Folds or unfolds all steps of a sequence.
pub(crate) fn fold_all(models: &mut OnlineModels, actor: ActorIx, segment: Option<u32>, history: &[Interaction]) {
    Learner { actor, segment }.fold(models, history, 0..history.len());
}

/// Unfolds all steps of a sequence.
pub(crate) fn unfold_all(models: &mut OnlineModels, actor: ActorIx, segment: Option<u32>, history: &[Interaction]) {
    Learner { actor, segment }.unfold(models, history, 0..history.len());
}

impl OnlineState {
    /// Whether folding an event needs the actor's whole sequence in memory first ([`OnlineState::load`]).
    pub fn needs_log(&self, staged: &StagedEvent) -> bool {
        let Some(actor) = self.actors.get(staged.actor).filter(|actor| actor.is_incomplete()) else { return false };
        match self.meaning.effect(&staged.event, staged.item) {
            Effect::Nothing => false,
            Effect::Return(..) => true,
            Effect::Against(..) => actor.evicted,
            // A late event is put in between, and the pasts of what follows must be in memory.
            Effect::For(event) => {
                actor.evicted || {
                    let place = place_of(&actor.history, event.time_s);
                    place < actor.history.len() && place < FOLD_WINDOW_MAX
                }
            }
        }
    }

    /// Puts an actor's whole sequence into memory. [`OnlineState::settle`] cuts it to size again.
    pub fn load(&mut self, actor: ActorIx, sequence: Sequence) {
        self.actors.load(actor, sequence);
        self.untrimmed.push(actor);
    }

    /// Folds the event at a position. If [`OnlineState::needs_log`] says so, the actor's sequence must be loaded before. Call
    /// [`OnlineState::settle`] after a few dozen events.
    pub fn fold(&mut self, position: Position, staged: &StagedEvent) -> Folded {
        self.position = position;
        self.events += 1;
        let time_s = seconds(staged.event.time_ms);
        self.newest_s = self.newest_s.max(time_s);
        if let Some(actor) = self.actors.get_mut(staged.actor) {
            actor.last_s = actor.last_s.max(time_s);
        }
        match self.meaning.effect(&staged.event, staged.item) {
            Effect::Nothing => Folded::Recorded,
            Effect::For(event) => self.insert(staged.actor, event),
            Effect::Return(item, time_s) => self.take_back(staged.actor, item, time_s),
            Effect::Against(item, time_s) => {
                let push =
                    |actor: &mut Actor| actor.extras.change(|extra| push_negative(&mut extra.negatives, item, time_s));
                self.actors.change(staged.actor, push);
                Folded::Counted
            }
        }
    }

    fn insert(&mut self, ix: ActorIx, event: Interaction) -> Folded {
        let models = &mut self.models;
        let changed = self.actors.change(ix, |actor| {
            let learner = Learner { actor: ix, segment: actor.segment };
            let place = place_of(&actor.history, event.time_s);
            let affected = place..actor.history.len().min(place + FOLD_WINDOW_MAX);
            learner.unfold(models, &actor.history, affected.clone());
            make_room(&mut actor.history);
            actor.history.insert(place, event);
            learner.fold(models, &actor.history, affected.start..affected.end + 1);
            actor.history.len()
        });
        let Some(length) = changed else { return Folded::Recorded };
        if length == HISTORY_MAX + 1 {
            self.untrimmed.push(ix);
        }
        self.items.count(event.item, 1);
        Folded::Counted
    }

    fn take_back(&mut self, ix: ActorIx, item: ItemIx, time_s: u32) -> Folded {
        let purchase = self.meaning.purchase_kind();
        let models = &mut self.models;
        let remove = |actor: &mut Actor| {
            let learner = Learner { actor: ix, segment: actor.segment };
            let place = returned(&actor.history, purchase, item, time_s)?;
            let affected = place..actor.history.len().min(place + FOLD_WINDOW_MAX + 1);
            learner.unfold(models, &actor.history, affected.clone());
            actor.history.remove(place);
            learner.fold(models, &actor.history, affected.start..affected.end - 1);
            Some(())
        };
        match self.actors.change(ix, remove).flatten() {
            Some(()) => {
                self.items.count(item, -1);
                Folded::Counted
            }
            None => Folded::ReturnWithoutPurchase,
        }
    }

    /// Moves a user to another segment: what the user contributed to the old one goes to the new one.
    pub(super) fn set_segment(&mut self, ix: ActorIx, segment: Option<u32>) {
        let models = &mut self.models;
        self.actors.change(ix, |actor| {
            if actor.segment == segment {
                return;
            }
            let places = 0..actor.history.len();
            Learner { actor: ix, segment: actor.segment }.unfold(models, &actor.history, places.clone());
            actor.segment = segment;
            Learner { actor: ix, segment }.fold(models, &actor.history, places);
        });
    }

    /// Cuts histories to their limit and drops the least recently used ones beyond the bytes that they may take.
    pub fn settle(&mut self) {
        for ix in std::mem::take(&mut self.untrimmed) {
            self.actors.trim(ix);
        }
        self.actors.evict(self.histories_bytes_max);
    }

    /// Unfolds a part of an actor's whole sequence, from the end: the first half of forgetting the actor, in pieces so that
    /// requests are answered in between. [`OnlineState::remove_actor`] is the second.
    pub fn unfold(&mut self, ix: ActorIx, history: &[Interaction], places: Range<usize>) {
        let segment = self.actors.get(ix).and_then(|actor| actor.segment);
        for event in &history[places.clone()] {
            self.items.count(event.item, -1);
        }
        Learner { actor: ix, segment }.unfold(&mut self.models, history, places);
    }

    /// Removes an actor whose steps are unfolded and who had `events` events in the log.
    pub fn remove_actor(&mut self, ix: ActorIx, events: u64) {
        let last_s = self.actors.get(ix).map_or(0, |actor| actor.last_s);
        self.actors.remove(ix);
        self.models.feedback.forget(ix);
        self.events = self.events.saturating_sub(events);
        if last_s == self.newest_s {
            self.newest_s = self.actors.newest_s();
        }
    }
}
