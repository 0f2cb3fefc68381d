//! The lists of nearest items, kept exact through single updates.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

/// An item and how much it resembles another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The similar item.
    pub item: ItemIx,
    /// Cosine of the two vectors, in (0, 1].
    pub cosine: f32,
    /// The cosine to the power in force.
    pub sharpened: f32,
}

impl Neighbour {
    pub(super) fn new(item: ItemIx, cosine: f32, power: f32) -> Self {
        Self { item, cosine, sharpened: sharpen(cosine, power) }
    }

    pub(super) fn resharpen(&mut self, power: f32) {
        self.sharpened = sharpen(self.cosine, power);
    }
}

fn sharpen(cosine: f32, power: f32) -> f32 {
    if power == 2.0 { cosine * cosine } else { cosine.powf(power) }
}

/// Best first, ties by item.
pub(super) fn order(a: &Neighbour, b: &Neighbour) -> Ordering {
    b.cosine.total_cmp(&a.cosine).then(a.item.cmp(&b.item))
}

/// The first `count` in order.
pub(super) fn top(found: &mut [Neighbour], count: usize) -> Vec<Neighbour> {
    let mut found = found;
    if count < found.len() {
        found.select_nth_unstable_by(count, order);
        found = &mut found[..count];
    }
    found.sort_unstable_by(order);
    found.to_vec()
}

/// The nearest items of one item: always the exact first ones of the full order, somewhat more of them than are used, so that most
/// removals need no new search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct List {
    all: Vec<Neighbour>,
    /// Whether there are similar items beyond the list.
    truncated: bool,
}

impl List {
    /// Entries kept for `count` used ones.
    fn capacity(count: usize) -> usize {
        count + count / 4
    }

    /// The list of everything that was found similar.
    pub(super) fn of(found: &mut [Neighbour], count: usize) -> Self {
        let kept = Self::capacity(count);
        Self { truncated: found.len() > kept, all: top(found, kept) }
    }

    /// The best `count`.
    pub(super) fn best(&self, count: usize) -> &[Neighbour] {
        &self.all[..count.min(self.all.len())]
    }

    pub(super) fn all_mut(&mut self) -> &mut [Neighbour] {
        &mut self.all
    }

    pub(super) fn insert(&mut self, neighbour: Neighbour, count: usize) {
        let at = self.all.partition_point(|other| order(other, &neighbour).is_lt());
        let kept = Self::capacity(count);
        if at == self.all.len() && (self.truncated || at == kept) {
            self.truncated = true;
            return;
        }
        self.all.insert(at, neighbour);
        if self.all.len() > kept {
            self.all.pop();
            self.truncated = true;
        }
    }

    /// Takes an entry out; true if too few are left and the list must be searched anew.
    pub(super) fn remove(&mut self, neighbour: &Neighbour, count: usize) -> bool {
        if let Ok(at) = self.all.binary_search_by(|other| order(other, neighbour)) {
            self.all.remove(at);
        }
        self.truncated && self.all.len() < count
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.all.capacity() * size_of::<Neighbour>()
    }
}
