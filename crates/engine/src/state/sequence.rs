//! The effective sequence of one actor: what their events amount to.
//!
//! It is made from the actor's events in the order of the log: an event that speaks for an item is put at its time (after those of
//! the same second), a return removes the latest purchase of its item that isn't later than the return itself. The online state is a
//! function of the effective sequences of all actors and nothing else, so it doesn't matter in which order events of different
//! actors arrived, and an actor is forgotten by unfolding their sequence.

use zhiyin_core::{Interaction, ItemIx, storage::LoggedEvent};

use super::effect::{Effect, Meaning};

/// Items that an actor is remembered to dislike or to have skipped.
pub const NEGATIVES_MAX: usize = 64;

/// The whole effective sequence of an actor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// Positive interactions, oldest first.
    pub history: Vec<Interaction>,
    /// Items that the actor spoke against, with the second, newest last, at most [`NEGATIVES_MAX`].
    pub negatives: Vec<(ItemIx, u32)>,
}

impl Sequence {
    /// The sequence that an actor's events amount to.
    pub fn of<'a>(meaning: &Meaning, events: impl IntoIterator<Item = &'a LoggedEvent>) -> Self {
        let mut sequence = Self::default();
        for event in events {
            sequence.apply(meaning, meaning.effect(&event.staged.event, event.staged.item));
        }
        sequence
    }

    fn apply(&mut self, meaning: &Meaning, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::For(event) => self.history.insert(place_of(&self.history, event.time_s), event),
            Effect::Against(item, time_s) => push_negative(&mut self.negatives, item, time_s),
            Effect::Return(item, time_s) => {
                if let Some(place) = returned(&self.history, meaning.purchase_kind(), item, time_s) {
                    self.history.remove(place);
                }
            }
        }
    }
}

/// Where an interaction of that second goes.
pub(super) fn place_of(history: &[Interaction], time_s: u32) -> usize {
    // Nearly every event is the newest.
    if history.last().is_none_or(|last| last.time_s <= time_s) {
        return history.len();
    }
    history.partition_point(|event| event.time_s <= time_s)
}

/// The purchase that a return takes back.
pub(super) fn returned(history: &[Interaction], purchase: u16, item: ItemIx, time_s: u32) -> Option<usize> {
    let until = history.partition_point(|event| event.time_s <= time_s);
    history[..until].iter().rposition(|event| event.item == item && event.kind == purchase)
}

/// Remembers an item that the actor spoke against; the oldest is dropped beyond [`NEGATIVES_MAX`].
pub(super) fn push_negative(negatives: &mut Vec<(ItemIx, u32)>, item: ItemIx, time_s: u32) {
    let place = negatives.partition_point(|(_, known_s)| *known_s <= time_s);
    negatives.insert(place, (item, time_s));
    if negatives.len() > NEGATIVES_MAX {
        negatives.remove(0);
    }
}
