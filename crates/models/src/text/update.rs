//! Items that arrive, change or go after the fit.
//!
//! What is costly, comparing the changed items with all others, is [`Text::prepare`]d beside the model that serves; putting it in place
//! is short. Whitening and the frequencies of words stay those of the fit, everything else is what a fit with the items would give,
//! except that a list out of which an item was taken is one shorter until the next fit.

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use zhiyin_core::ItemIx;

use super::{
    Params, Text,
    pairs::{WordCosines, fill},
};
use crate::{
    ItemFacts,
    content::{self, index::Index},
    linalg,
};

/// The words of the items, as far as the likeness needs them.
#[derive(Clone, Debug)]
pub struct Words(pub(super) Index);

impl Words {
    /// The words of a catalogue; nothing if the parameters give words no share.
    pub fn new(facts: &[ItemFacts], params: &Params) -> Self {
        Self(Index::new(&content::Params::default(), if params.words > 0.0 { facts } else { &[] }))
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// What is known of an item from now on.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The item.
    pub item: ItemIx,
    /// Its vector as the encoder gives it; zeros for an item that is gone or without text.
    pub vector: &'a [f32],
    /// Its facts.
    pub facts: &'a ItemFacts,
    /// Whether nobody has met it yet.
    pub is_cold: bool,
}

/// Changes that only need to be put in place.
#[derive(Debug, Default)]
pub struct Update {
    changed: Vec<Changed>,
    /// Lists of other items that have a changed item in them.
    holders: Vec<ItemIx>,
    /// (list, entry, likeness), by list.
    entries: Vec<(ItemIx, ItemIx, f32)>,
}

#[derive(Debug)]
struct Changed {
    item: ItemIx,
    vector: Vec<f32>,
    list: Vec<(ItemIx, f32)>,
    /// The warm items like it, if it is cold.
    stand_ins: Option<Vec<(ItemIx, f32)>>,
}

impl Text {
    /// Compares changed items, each named once, with all others. `is_warm` tells which items have events. `words` learns the changes.
    pub fn prepare(&self, words: &mut Words, changes: &[Change<'_>], is_warm: impl Fn(ItemIx) -> bool) -> Update {
        let dims = self.dims();
        if dims == 0 || changes.is_empty() {
            return Update::default();
        }
        if self.params.words > 0.0 {
            changes.iter().for_each(|change| words.0.set(change.item, change.facts));
        }
        let encoded: Vec<f32> = changes.iter().flat_map(|change| change.vector.iter().copied()).collect();
        let centred = self.means.take_off(&encoded, |at| &changes[at].facts.text);
        let vectors = self.whitening.apply(&centred);
        let all: FxHashSet<ItemIx> = changes.iter().map(|change| change.item).collect();
        let mut update = Update { holders: self.holders(&all), ..Update::default() };
        let mut cosines = WordCosines::default();
        for (change, mut row) in changes.iter().zip(self.rows(changes, &vectors)) {
            cosines.mix(&words.0, self.params.words, change.item, &mut row);
            let (mut items, mut likenesses) = (vec![0; self.width], vec![0.0; self.width]);
            fill(change.item as usize, &row, &mut items, &mut likenesses);
            let list: Vec<(ItemIx, f32)> =
                items.into_iter().zip(likenesses).take_while(|entry| entry.1 > 0.0).collect();
            let others = (0..).zip(row).filter(|(other, _)| !all.contains(other));
            let entries = others.filter(|&(other, likeness)| likeness > self.least(other));
            update.entries.extend(entries.map(|(other, likeness)| (other, change.item, likeness.min(1.0))));
            let warm = list.iter().copied().filter(|(other, _)| is_warm(*other));
            let stand_ins = change.is_cold.then(|| warm.collect());
            update.changed.push(Changed { item: change.item, vector: Vec::new(), list, stand_ins });
        }
        for (changed, vector) in update.changed.iter_mut().zip(vectors.chunks_exact(dims)) {
            changed.vector = vector.to_vec();
        }
        update.entries.sort_unstable_by_key(|(list, entry, _)| (*list, *entry));
        update
    }

    /// Puts prepared changes in place. Nothing else may have changed the model in between.
    pub fn apply(&mut self, update: Update) {
        let dims = self.dims();
        let changed: FxHashSet<ItemIx> = update.changed.iter().map(|changed| changed.item).collect();
        let known: FxHashSet<ItemIx> = changed.iter().copied().filter(|item| self.is_known(*item)).collect();
        self.transitions.remove(&known);
        for &holder in &update.holders {
            let list: Vec<(ItemIx, f32)> =
                self.neighbours(holder).filter(|(item, _)| !changed.contains(item)).collect();
            self.set_list(holder, &list);
        }
        for Changed { item, vector, list, stand_ins } in update.changed {
            place(&mut self.vectors, dims, item, &vector);
            self.set_list(item, &list);
            if let Some(stand_ins) = stand_ins {
                self.transitions.add(item, stand_ins.into_iter());
            }
        }
        for (list, entry, likeness) in update.entries {
            self.insert(list, entry, likeness);
        }
    }

    /// Cosines of each changed item's vector with those of all items, as they are from now on.
    fn rows<'a>(&'a self, changes: &'a [Change<'_>], vectors: &'a [f32]) -> impl Iterator<Item = Vec<f32>> + 'a {
        let (known, dims) = (self.n_items(), self.dims());
        let last = changes.iter().map(|change| change.item as usize + 1).max().unwrap_or(0);
        let (mut old, mut new) = (vec![0.0; changes.len() * known], vec![0.0; changes.len() * changes.len()]);
        linalg::multiply_transposed(vectors, &self.vectors, dims, &mut old);
        linalg::multiply_transposed(vectors, vectors, dims, &mut new);
        (0..changes.len()).map(move |at| {
            let mut row = old[at * known..(at + 1) * known].to_vec();
            row.resize(known.max(last), 0.0);
            for (change, cosine) in changes.iter().zip(&new[at * changes.len()..]) {
                row[change.item as usize] = *cosine;
            }
            row
        })
    }

    /// Items outside of `changed` whose lists have one of them.
    fn holders(&self, changed: &FxHashSet<ItemIx>) -> Vec<ItemIx> {
        if self.width == 0 || !changed.iter().any(|item| self.is_known(*item)) {
            return Vec::new();
        }
        let lists = self.items.par_chunks_exact(self.width).enumerate();
        let holds = lists.filter(|(own, list)| {
            !changed.contains(&(*own as ItemIx)) && list.iter().any(|item| changed.contains(item))
        });
        holds.map(|(own, _)| own as ItemIx).collect()
    }

    fn is_known(&self, item: ItemIx) -> bool {
        self.vector(item).is_some() || self.neighbours(item).next().is_some()
    }

    /// The likeness that an entry of an item's list must exceed.
    fn least(&self, item: ItemIx) -> f32 {
        let last = (item as usize + 1) * self.width;
        if last == 0 { f32::INFINITY } else { self.cosines.get(last - 1).copied().unwrap_or(0.0) }
    }

    fn set_list(&mut self, item: ItemIx, list: &[(ItemIx, f32)]) {
        let bounds = self.make_list(item);
        let (items, cosines) = (&mut self.items[bounds.clone()], &mut self.cosines[bounds]);
        items.fill(0);
        cosines.fill(0.0);
        for ((entry, cosine), (item, likeness)) in items.iter_mut().zip(cosines).zip(list) {
            (*entry, *cosine) = (*item, *likeness);
        }
    }

    /// Puts an entry where it belongs; the last one gives way.
    fn insert(&mut self, list: ItemIx, entry: ItemIx, likeness: f32) {
        let bounds = self.make_list(list);
        let (items, cosines) = (&mut self.items[bounds.clone()], &mut self.cosines[bounds]);
        let is_before = |at: &usize| cosines[*at] > likeness || (cosines[*at] == likeness && items[*at] < entry);
        let at = (0..cosines.len()).take_while(is_before).count();
        if at < cosines.len() {
            let end = cosines.len() - 1;
            items.copy_within(at..end, at + 1);
            cosines.copy_within(at..end, at + 1);
            (items[at], cosines[at]) = (entry, likeness);
        }
    }

    fn make_list(&mut self, item: ItemIx) -> std::ops::Range<usize> {
        let from = item as usize * self.width;
        let needed = from + self.width;
        if self.items.len() < needed {
            self.items.resize(needed, 0);
            self.cosines.resize(needed, 0.0);
        }
        from..needed
    }
}

fn place(vectors: &mut Vec<f32>, dims: usize, item: ItemIx, row: &[f32]) {
    let from = item as usize * dims;
    if vectors.len() < from + dims {
        vectors.resize(from + dims, 0.0);
    }
    vectors[from..from + dims].copy_from_slice(row);
}
