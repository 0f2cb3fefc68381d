//! A frozen set of interactions and what is known of the items: what models are fitted on.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, Interaction, ItemIx, Said};

use crate::ItemVectors;

/// Where the histories of actors are looked up.
pub trait Histories: Sync {
    /// The remembered interactions of an actor, oldest first; empty for an unknown one.
    fn of(&self, actor: ActorIx) -> &[Interaction];
}

/// What models may know of an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemFacts {
    /// Title, description, tags and textual attributes, joined.
    pub text: String,
    /// Numbers of its categories (see [`Labels`]).
    pub categories: Vec<u32>,
    /// Price of one piece; not a number when unknown.
    pub price: f32,
    /// When it was published or first seen, in seconds since 1970 UTC; 0 when unknown.
    pub since_s: u32,
}

/// Dense numbers for labels such as category names or segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    numbers: FxHashMap<String, u32>,
}

impl Labels {
    /// The number of a label, a new one if it is new.
    pub fn number(&mut self, label: &str) -> u32 {
        if let Some(&number) = self.numbers.get(label) {
            return number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(label.to_owned(), number);
        number
    }

    /// The number of a known label.
    pub fn get(&self, label: &str) -> Option<u32> {
        self.numbers.get(label).copied()
    }

    /// The label with a number. Looks through all of them.
    pub fn label(&self, number: u32) -> Option<&str> {
        self.numbers.iter().find(|(_, known)| **known == number).map(|(label, _)| label.as_str())
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Interactions by actor in compressed rows, with item facts. Actors and items are dense numbers from 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Facts by item; its length is the number of items.
    pub items: Vec<ItemFacts>,
    /// Row `u` is `interactions[offsets[u]..offsets[u + 1]]`, oldest first. Length: actors + 1.
    pub offsets: Vec<usize>,
    /// All interactions.
    pub interactions: Vec<Interaction>,
    /// Segment of each actor (country, for example; [`Dataset::NO_SEGMENT`] where it isn't known), or empty.
    pub segments: Vec<u32>,
    /// Friends of each actor, or empty.
    pub friends: Vec<Vec<ActorIx>>,
    /// What an encoder made of the items' texts, or nothing. Derived, so it isn't stored.
    #[serde(skip)]
    pub vectors: ItemVectors,
    /// What was said in reviews, in order of time, or nothing. Derived, so it isn't stored.
    #[serde(skip)]
    pub opinions: Arc<[Said]>,
}

impl Dataset {
    /// Stands in [`Dataset::segments`] for an actor whose segment isn't known.
    pub const NO_SEGMENT: u32 = u32::MAX;

    /// A set from one history per actor.
    pub fn from_histories<'a>(items: Vec<ItemFacts>, histories: impl IntoIterator<Item = &'a [Interaction]>) -> Self {
        let mut set = Self { items, offsets: vec![0], ..Self::default() };
        for history in histories {
            set.interactions.extend_from_slice(history);
            set.offsets.push(set.interactions.len());
        }
        set
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Number of actors.
    pub fn n_actors(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Segment of an actor, if it is known.
    pub fn segment(&self, actor: ActorIx) -> Option<u32> {
        self.segments.get(actor as usize).copied().filter(|&segment| segment != Self::NO_SEGMENT)
    }

    /// Friends of an actor.
    pub fn friends_of(&self, actor: ActorIx) -> &[ActorIx] {
        self.friends.get(actor as usize).map_or(&[], Vec::as_slice)
    }

    /// Every (actor, place in the history), by time, ties by actor and place: the order in which online models learn.
    pub fn in_time_order(&self) -> Vec<(ActorIx, u32)> {
        let mut order: Vec<(u32, ActorIx, u32)> = Vec::with_capacity(self.interactions.len());
        for actor in 0..self.n_actors() as ActorIx {
            let times = self.of(actor).iter().zip(0..).map(|(event, place)| (event.time_s, actor, place));
            order.extend(times);
        }
        order.sort_unstable();
        order.into_iter().map(|(_, actor, place)| (actor, place)).collect()
    }

    /// How often each item occurs.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_items()];
        for event in &self.interactions {
            counts[event.item as usize] += 1;
        }
        counts
    }
}

impl Histories for Dataset {
    fn of(&self, actor: ActorIx) -> &[Interaction] {
        let row = actor as usize;
        match (self.offsets.get(row), self.offsets.get(row + 1)) {
            (Some(&from), Some(&to)) => &self.interactions[from..to],
            _ => &[],
        }
    }
}

/// No histories at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHistories;

impl Histories for NoHistories {
    fn of(&self, _: ActorIx) -> &[Interaction] {
        &[]
    }
}

/// The last `count` interactions of a history.
pub fn latest(history: &[Interaction], count: usize) -> &[Interaction] {
    &history[history.len().saturating_sub(count)..]
}

/// Whether an item occurs in a history.
pub fn contains(history: &[Interaction], item: ItemIx) -> bool {
    history.iter().any(|event| event.item == item)
}
