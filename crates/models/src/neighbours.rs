//! What the neighbourhood models share: a scratch table in which a query collects candidates from postings.

use std::{cell::RefCell, cmp::Reverse};

use zhiyin_core::{ActorIx, ItemIx};

use crate::postings::{List, Posting};

/// Query items that one search can tell apart.
pub(crate) const SOURCES_MAX: usize = 32;

/// An actor who shares items with the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Who.
    pub(crate) actor: ActorIx,
    /// Bit `p` is set if the `p`-th query item (the newest is 0) is shared.
    pub(crate) shared: u32,
    /// Sum of the weights of the shared query items, or what a model makes of it; never negative.
    pub(crate) similarity: f32,
    /// The time of the newest shared posting.
    pub(crate) time_s: u32,
}

impl Candidate {
    /// Higher is better: by similarity, then by recency, then the lower number. The bits of floats that aren't negative stand in their
    /// order, and comparing one whole number doesn't branch.
    fn rank(&self) -> u128 {
        u128::from(self.similarity.to_bits()) << 64 | u128::from(self.time_s) << 32 | u128::from(!self.actor)
    }

    fn credit(&mut self, place: usize, weight: f32) {
        // Somebody may stand in an item's postings several times.
        if self.shared >> place & 1 == 0 {
            self.shared |= 1 << place;
            self.similarity += weight;
        }
    }
}

/// Candidates by actor: an open-addressing table of places in a list, cleared by raising a stamp.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    slots: Vec<Slot>,
    stamp: u32,
    list: Vec<Candidate>,
    /// Who asks, and is no candidate.
    asker: Option<ActorIx>,
}

/// A place in the list; free unless it bears the table's stamp.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    stamp: u32,
    place: u32,
}

thread_local! {
    static SCRATCH: RefCell<Candidates> = RefCell::default();
}

impl Candidates {
    /// Lends this thread's table, empty, with room for `actors` besides the `asker`. Its size follows the walk's bounds, never the
    /// catalogue.
    pub(crate) fn borrow<R>(actors: usize, asker: Option<ActorIx>, work: impl FnOnce(&mut Self) -> R) -> R {
        let mut table = SCRATCH.take();
        table.clear(actors);
        table.asker = asker;
        let result = work(&mut table);
        SCRATCH.set(table);
        result
    }

    fn clear(&mut self, actors: usize) {
        let slots = (actors * 2).next_power_of_two().max(64);
        self.list.clear();
        self.stamp = self.stamp.wrapping_add(1);
        if self.slots.len() < slots || self.stamp == 0 {
            self.slots = vec![Slot::default(); slots.max(self.slots.len())];
            self.stamp = 1;
        }
    }

    /// Walks the `count` latest postings of the query item at `place`, adding `weight` to everyone there once.
    pub(crate) fn credit(&mut self, postings: &List, count: usize, place: usize, weight: f32) {
        postings.each_newest(count, |Posting { actor, time_s }| match self.find(actor) {
            Ok(known) => self.list[known].credit(place, weight),
            Err(_) if Some(actor) == self.asker => {}
            Err(slot) => {
                self.slots[slot] = Slot { stamp: self.stamp, place: self.list.len() as u32 };
                self.list.push(Candidate { actor, shared: 1 << place, similarity: weight, time_s });
            }
        });
    }

    /// As [`Candidates::credit`], but passes over those who aren't candidates yet.
    pub(crate) fn credit_known(&mut self, postings: &List, count: usize, place: usize, weight: f32) {
        postings.each_newest(count, |posting| {
            if let Ok(known) = self.find(posting.actor) {
                self.list[known].credit(place, weight);
            }
        });
    }

    /// Where an actor stands in the list, or the slot that is free for them.
    fn find(&self, actor: ActorIx) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = (actor.wrapping_mul(0x9E37_79B9) >> 7) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.stamp != self.stamp {
                return Err(at);
            }
            if self.list[slot.place as usize].actor == actor {
                return Ok(slot.place as usize);
            }
            at = (at + 1) & mask;
        }
    }

    /// Whether `k` candidates are more similar than `similarity`.
    pub(crate) fn outdo(&self, similarity: f32, k: usize) -> bool {
        self.list.len() >= k && self.list.iter().filter(|candidate| candidate.similarity > similarity).count() >= k
    }

    /// The `k` most similar candidates, ties by recency and then by number; in no particular order.
    pub(crate) fn best(&mut self, k: usize) -> &[Candidate] {
        if k == 0 {
            return &[];
        }
        if self.list.len() > k {
            self.list.select_nth_unstable_by_key(k - 1, |candidate| Reverse(candidate.rank()));
            self.list.truncate(k);
        }
        &self.list
    }

    /// All candidates.
    pub(crate) fn all_mut(&mut self) -> &mut [Candidate] {
        &mut self.list
    }
}

/// The different items among the latest, newest first, each with its age in places; at most [`SOURCES_MAX`].
pub(crate) fn distinct_newest(history: &[zhiyin_core::Interaction], count: usize) -> ([ItemIx; SOURCES_MAX], usize) {
    let mut items = [0; SOURCES_MAX];
    let mut found = 0;
    for event in history.iter().rev() {
        if found == count.min(SOURCES_MAX) {
            break;
        }
        if !items[..found].contains(&event.item) {
            items[found] = event.item;
            found += 1;
        }
    }
    (items, found)
}
