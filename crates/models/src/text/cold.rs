//! Transitions to items that nobody has met: those to their nearest known items, averaged.
//!
//! t(i, j) = Σ over the [`NEAREST`] nearest warm items k of j of n(j, k) · c(i, k), where n falls with distance as e^(likeness/temperature) and
//! sums to 1, and c is the directed co-occurrence of [`crate::cooccurrence`], scaled such that a strong one counts like an equal text.
//!
//! What leads to each warm item is kept, so that an item which arrives later gets the transitions that a fit would have given it.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

use crate::{
    Dataset,
    cooccurrence::{Cooccurrence, Params},
};

/// Warm items that stand in for a cold one.
const NEAREST: usize = 20;
/// How fast the weight of a stand-in falls with its likeness.
const TEMPERATURE: f32 = 0.05;
/// Strongest followers of an item that count.
const FOLLOWERS: usize = 200;
/// The quantile of the co-occurrences that is scaled to 1.
const STRONG: f64 = 0.999;

/// Sparse rows in both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Transitions {
    /// What leads to item `k` is `offsets[k]..offsets[k + 1]` of the next two.
    offsets: Vec<usize>,
    leading: Vec<ItemIx>,
    strengths: Vec<f32>,
    /// By item, the cold items that it may lead to.
    rows: Vec<Vec<(ItemIx, f32)>>,
    /// By item, whether it is a cold one.
    cold: Vec<bool>,
}

impl Transitions {
    /// Learns what leads to the items that have events.
    pub(super) fn fit(data: &Dataset) -> Self {
        let followers = Cooccurrence::fit(data, &Params::default());
        let mut by_target = vec![Vec::new(); data.n_items()];
        for item in 0..data.n_items() as ItemIx {
            for (target, strength) in followers.similar(item, FOLLOWERS) {
                by_target[target as usize].push((item, strength));
            }
        }
        let mut rows = Self { offsets: vec![0], ..Self::default() };
        for (item, strength) in by_target.iter().flatten() {
            rows.leading.push(*item);
            rows.strengths.push(*strength);
        }
        for leading in &by_target {
            rows.offsets.push(rows.offsets.last().copied().unwrap_or(0) + leading.len());
        }
        rows.scale();
        rows
    }

    fn scale(&mut self) {
        let mut sorted = self.strengths.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let strong = sorted.get((sorted.len() as f64 * STRONG) as usize).copied().unwrap_or(1.0);
        if strong > 0.0 {
            self.strengths.iter_mut().for_each(|strength| *strength /= strong);
        }
    }

    /// Gives a cold item the transitions of the warm items that are like it: `nearest` with their likenesses, best first.
    pub(super) fn add(&mut self, cold: ItemIx, nearest: impl Iterator<Item = (ItemIx, f32)>) {
        if self.cold.len() <= cold as usize {
            self.cold.resize(cold as usize + 1, false);
        }
        self.cold[cold as usize] = true;
        let warm: Vec<(ItemIx, f32)> = nearest.take(NEAREST).collect();
        let weights: Vec<f32> = warm.iter().map(|(_, likeness)| (likeness / TEMPERATURE).exp()).collect();
        let total: f32 = weights.iter().sum();
        let mut sums: FxHashMap<ItemIx, f32> = FxHashMap::default();
        for ((stand_in, _), weight) in warm.iter().zip(weights) {
            for (item, strength) in self.leading_to(*stand_in) {
                *sums.entry(item).or_default() += weight / total * strength;
            }
        }
        for (item, amount) in sums {
            if self.rows.len() <= item as usize {
                self.rows.resize(item as usize + 1, Vec::new());
            }
            let row = &mut self.rows[item as usize];
            let place = row.partition_point(|(other, _)| *other < cold);
            row.insert(place, (cold, amount));
        }
    }

    /// Makes cold items others again, and takes the transitions to them away.
    pub(super) fn remove(&mut self, cold: &FxHashSet<ItemIx>) {
        for &item in cold {
            if let Some(is_cold) = self.cold.get_mut(item as usize) {
                *is_cold = false;
            }
        }
        if !cold.is_empty() {
            self.rows.iter_mut().for_each(|row| row.retain(|(item, _)| !cold.contains(item)));
        }
    }

    /// The same without any cold item.
    pub(super) fn without_cold(&self) -> Self {
        Self { rows: Vec::new(), cold: Vec::new(), ..self.clone() }
    }

    /// Whether an item was added.
    pub(super) fn is_cold(&self, item: ItemIx) -> bool {
        self.cold.get(item as usize).is_some_and(|is_cold| *is_cold)
    }

    fn leading_to(&self, item: ItemIx) -> impl Iterator<Item = (ItemIx, f32)> + '_ {
        let row = item as usize;
        let bounds = match (self.offsets.get(row), self.offsets.get(row + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        self.leading[bounds.clone()].iter().copied().zip(self.strengths[bounds].iter().copied())
    }

    /// Cold items after an item, with the strength of the transition.
    pub(super) fn from(&self, item: ItemIx) -> impl Iterator<Item = (ItemIx, f32)> + '_ {
        self.rows.get(item as usize).into_iter().flatten().copied()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.leading.len() + self.rows.iter().map(Vec::len).sum::<usize>();
        entries * (size_of::<ItemIx>() + size_of::<f32>())
            + self.offsets.len() * size_of::<usize>()
            + self.rows.len() * size_of::<Vec<(ItemIx, f32)>>()
            + self.cold.len()
    }
}
