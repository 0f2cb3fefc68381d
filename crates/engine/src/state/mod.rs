//! The online state: what all events of the log amount to.
//!
//! *Invariant:* the state is a function of the catalogue, the profiles and the effective sequences of all actors (see [`sequence`]),
//! and of the hyper-parameters. The order in which events of different actors arrived, late events, returns, evictions, snapshots and
//! replays leave no trace in it. In particular the counting models equal a fit on [`dataset`].

mod actor;
mod actors;
#[cfg(test)]
mod checks;
mod dataset;
pub mod effect;
mod fold;
mod items;
pub mod sequence;
pub(crate) mod snapshot;

use zhiyin_core::{
    ActorIx, Item, ItemIx, Problem, User,
    storage::{ActorRow, ItemRow, Position},
};
use zhiyin_models::content::Content;

pub use actor::Actor;
pub use actors::Actors;
pub use dataset::{append_complete, dataset};
pub use effect::{Effect, Meaning};
pub use fold::Folded;
pub(crate) use fold::{fold_all, unfold_all};
pub use items::Items;
pub(crate) use items::{encoder_text, facts};
pub use sequence::Sequence;

use crate::{
    config::EngineConfig,
    listen::Listener,
    online::{OnlineModels, OnlineParams},
};

/// What all events of the log amount to.
#[derive(Debug)]
pub struct OnlineState {
    /// Place of the last event that is folded in.
    pub position: Position,
    /// Users and sessions.
    pub actors: Actors,
    /// The catalogue.
    pub items: Items,
    /// The models that learn from every event.
    pub models: OnlineModels,
    /// Second of the newest event.
    pub newest_s: u32,
    /// Events in the log.
    pub events: u64,
    meaning: Meaning,
    listener: Listener,
    histories_bytes_max: usize,
    /// Actors whose histories may be longer than the limit until the next [`OnlineState::settle`].
    untrimmed: Vec<ActorIx>,
}

impl OnlineState {
    /// The state of an empty log.
    ///
    /// # Errors
    /// A configured weight is out of range.
    pub fn new(config: &EngineConfig, params: &OnlineParams) -> Result<Self, Problem> {
        Ok(Self {
            position: 0,
            actors: Actors::default(),
            items: Items::default(),
            models: OnlineModels::new(params),
            newest_s: 0,
            events: 0,
            meaning: Meaning::new(&config.events)?,
            listener: Listener::new(&config.events),
            histories_bytes_max: config.state.histories_bytes_max,
            untrimmed: Vec::new(),
        })
    }

    /// How events are read.
    pub fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// How reviews are read.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Reads reviews by another reader from now on. What was said before must be heard anew.
    pub fn set_listener(&mut self, listener: Listener) {
        self.listener = listener;
    }

    /// Fills the catalogue of an empty state.
    pub fn load_items(&mut self, rows: impl IntoIterator<Item = ItemRow>) {
        for row in rows {
            self.items.put(row.ix, row.item);
        }
        self.rebuild_content();
    }

    /// Makes the content model what a fit on the catalogue gives. Updates one by one keep older frequencies of words.
    pub fn rebuild_content(&mut self) {
        let params = self.models.content.params().clone();
        self.models.content = Content::of_items(self.items.all_facts(), &params);
    }

    /// Creates, replaces or deletes items of the catalogue. The content model doesn't know of it yet: see
    /// [`OnlineState::content_with`].
    pub fn put_items(&mut self, rows: Vec<ItemRow>) {
        for row in rows {
            self.items.put(row.ix, row.item);
        }
    }

    /// The content model with what the catalogue has on these items. It takes long for many items, so that it is made on a copy while
    /// requests are answered; [`OnlineState::set_content`] puts it in place.
    pub fn content_with(&self, items: &[ItemIx]) -> Content {
        let mut content = self.models.content.clone();
        let (kept, gone): (Vec<ItemIx>, Vec<ItemIx>) = items.iter().partition(|&&ix| self.items.get(ix).is_some());
        for ix in gone {
            content.remove(ix);
        }
        content.upsert_all(kept.into_iter().map(|ix| (ix, self.items.facts(ix))));
        content
    }

    /// Puts a content model in place.
    pub fn set_content(&mut self, content: Content) {
        self.models.content = content;
    }

    /// Creates, replaces or deletes an item.
    pub fn put_item(&mut self, ix: ItemIx, item: Option<Item>) {
        let deleted = item.is_none();
        self.items.put(ix, item);
        if deleted {
            self.models.remove_item(ix);
        } else {
            self.models.upsert_item(ix, self.items.facts(ix));
        }
    }

    /// Creates actors, sets profiles and ties sessions. An actor whose segment changes must be complete: see
    /// [`OnlineState::changes_segment`].
    pub fn put_actors(&mut self, rows: &[ActorRow]) {
        for row in rows {
            self.actors.insert(row);
        }
        for row in rows {
            if let Some(user) = &row.user {
                self.put_profile(row.ix, user);
            }
            if let Some(user) = row.linked_user {
                self.actors.tie(row.ix, user);
            }
        }
    }

    /// Whether a row puts an actor into another segment.
    pub fn changes_segment(&self, row: &ActorRow) -> bool {
        let label = row.user.as_ref().and_then(|user| self.meaning.segment_label(user));
        let actor = self.actors.get(row.ix);
        row.user.is_some()
            && actor.is_some_and(|actor| actor.segment != label.and_then(|label| self.items.segments().get(&label)))
    }

    fn put_profile(&mut self, ix: ActorIx, user: &User) {
        let segment = self.meaning.segment_label(user).map(|label| self.items.segments_mut().number(&label));
        self.set_segment(ix, segment);
        self.actors.set_profile(ix, user);
    }
}

/// Equal in everything that is known; what happens to be in memory doesn't count, except that evicted histories only equal evicted
/// ones.
impl PartialEq for OnlineState {
    fn eq(&self, other: &Self) -> bool {
        let numbers = |state: &Self| (state.position, state.newest_s, state.events);
        numbers(self) == numbers(other)
            && self.actors == other.actors
            && self.items == other.items
            && self.items.segments() == other.items.segments()
            && self.models == other.models
    }
}
