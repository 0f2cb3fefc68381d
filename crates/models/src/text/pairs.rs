//! Likenesses of all pairs of items, band by band, and the best of each row.

use rayon::prelude::*;
use zhiyin_core::ItemIx;

use crate::{content::index::Index, linalg};

/// Items whose likenesses are computed at a time.
const BAND_ROWS: usize = 128;

/// What the likeness of two items is made of.
pub(super) struct Pairs<'a> {
    pub vectors: &'a [f32],
    pub dims: usize,
    pub words: &'a Index,
    /// Share of the words.
    pub share: f32,
}

/// Buffers of one thread.
#[derive(Default)]
struct Work {
    /// One row of likenesses for each item of a band.
    rows: Vec<f32>,
    words: WordCosines,
}

/// Cosines of words with one item.
#[derive(Default)]
pub(super) struct WordCosines {
    cosines: Vec<f32>,
    touched: Vec<ItemIx>,
}

impl Pairs<'_> {
    fn n_items(&self) -> usize {
        self.vectors.len() / self.dims
    }

    /// The `width` nearest items of every item and their likenesses.
    pub(super) fn lists(&self, width: usize) -> (Vec<ItemIx>, Vec<f32>) {
        let (mut items, mut likenesses) = (vec![0; self.n_items() * width], vec![0.0; self.n_items() * width]);
        if width == 0 {
            return (items, likenesses);
        }
        let bands = self.vectors.par_chunks(BAND_ROWS * self.dims).enumerate();
        let outs = items.par_chunks_mut(BAND_ROWS * width).zip(likenesses.par_chunks_mut(BAND_ROWS * width));
        bands.zip(outs).for_each_init(Work::default, |work, ((band, vectors), (items, likenesses))| {
            self.compare(band * BAND_ROWS, vectors, work);
            let lists = items.chunks_exact_mut(width).zip(likenesses.chunks_exact_mut(width));
            for ((own, row), (items, likenesses)) in
                (band * BAND_ROWS..).zip(work.rows.chunks_exact(self.n_items())).zip(lists)
            {
                fill(own, row, items, likenesses);
            }
        });
        (items, likenesses)
    }

    /// Likenesses of the items from `first` on, whose vectors are given, with all items.
    fn compare(&self, first: usize, vectors: &[f32], work: &mut Work) {
        let Work { rows, words } = work;
        rows.resize(vectors.len() / self.dims * self.n_items(), 0.0);
        linalg::multiply_transposed(vectors, self.vectors, self.dims, rows);
        for (item, row) in (first..).zip(rows.chunks_exact_mut(self.n_items())) {
            words.mix(self.words, self.share, item as ItemIx, row);
        }
    }
}

impl WordCosines {
    /// Makes cosines of vectors of an item with all others likenesses, by adding the cosines of words.
    pub(super) fn mix(&mut self, index: &Index, share: f32, item: ItemIx, row: &mut [f32]) {
        if share == 0.0 {
            return;
        }
        row.iter_mut().for_each(|likeness| *likeness = likeness.max(0.0) * (1.0 - share));
        let Some(document) = index.document(item) else { return };
        self.cosines.resize(row.len().max(index.n_items()), 0.0);
        index.cosines(document, &mut self.cosines, &mut self.touched);
        for other in self.touched.drain(..) {
            let cosine = std::mem::take(&mut self.cosines[other as usize]);
            if let Some(likeness) = row.get_mut(other as usize) {
                *likeness += share * cosine;
            }
        }
    }
}

/// Writes the best of a row into a list that is as long as wanted.
pub(super) fn fill(own: usize, row: &[f32], items: &mut [ItemIx], likenesses: &mut [f32]) {
    let is_wanted = |(item, likeness): &(ItemIx, f32)| *likeness > 0.0 && *item as usize != own;
    let mut found: Vec<(ItemIx, f32)> = (0..).zip(row.iter().copied()).filter(is_wanted).collect();
    keep_best(&mut found, items.len());
    for (place, (item, likeness)) in found.into_iter().enumerate() {
        (items[place], likenesses[place]) = (item, likeness.min(1.0));
    }
}

/// Cuts a list down to its best entries, best first, ties by item.
pub(super) fn keep_best(found: &mut Vec<(ItemIx, f32)>, count: usize) {
    let order = |a: &(ItemIx, f32), b: &(ItemIx, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < found.len() {
        found.select_nth_unstable_by(count, order);
        found.truncate(count);
    }
    found.sort_unstable_by(order);
}
