//! Transitions to items that nobody has met: those to their nearest known items, averaged.
//!
//! t(i, j) = Σ over the [`NEAREST`] nearest warm items k of j of n(j, k) · c(i, k), where n falls with distance as e^(likeness/temperature) and
//! sums to 1, and c is the directed co-occurrence of [`crate::cooccurrence`], scaled such that a strong transition counts like an equal
//! text.

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
/// The quantile of the transitions that is scaled to 1.
const STRONG: f64 = 0.999;

/// Sparse rows: for each item, cold items that it may lead to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Transitions {
    /// Row `i` is `offsets[i]..offsets[i + 1]` of the others.
    offsets: Vec<usize>,
    items: Vec<ItemIx>,
    amounts: Vec<f32>,
}

impl Transitions {
    /// Fits them. `nearest` gives the items like one, best first.
    pub(super) fn fit<N: Iterator<Item = (ItemIx, f32)>>(data: &Dataset, nearest: impl Fn(ItemIx) -> N) -> Self {
        let counts = data.item_counts();
        let stood_in = stand_ins(&counts, nearest);
        if stood_in.iter().all(Vec::is_empty) {
            return Self::default();
        }
        let followers = Cooccurrence::fit(data, &Params::default());
        let mut rows = Self { offsets: vec![0], ..Self::default() };
        let mut sums = vec![0.0; counts.len()];
        for item in 0..counts.len() as ItemIx {
            for (warm, strength) in followers.similar(item, FOLLOWERS) {
                for &(cold, share) in &stood_in[warm as usize] {
                    if sums[cold as usize] == 0.0 {
                        rows.items.push(cold);
                    }
                    sums[cold as usize] += share * strength;
                }
            }
            let row = rows.offsets.last().copied().unwrap_or(0);
            rows.items[row..].sort_unstable();
            let amounts = rows.items[row..].iter().map(|cold| std::mem::take(&mut sums[*cold as usize]));
            rows.amounts.extend(amounts);
            rows.offsets.push(rows.items.len());
        }
        rows.scale();
        rows
    }

    fn scale(&mut self) {
        let mut sorted = self.amounts.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let strong = sorted.get((sorted.len() as f64 * STRONG) as usize).copied().unwrap_or(1.0);
        if strong > 0.0 {
            self.amounts.iter_mut().for_each(|amount| *amount /= strong);
        }
    }

    /// Cold items after an item, with the strength of the transition.
    pub(super) fn from(&self, item: ItemIx) -> impl Iterator<Item = (ItemIx, f32)> + '_ {
        let row = item as usize;
        let bounds = match (self.offsets.get(row), self.offsets.get(row + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        self.items[bounds.clone()].iter().copied().zip(self.amounts[bounds].iter().copied())
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.offsets.len() * size_of::<usize>() + self.items.len() * (size_of::<ItemIx>() + size_of::<f32>())
    }
}

/// By warm item, the cold items that it stands in for and its share in them.
fn stand_ins<N: Iterator<Item = (ItemIx, f32)>>(
    counts: &[u32],
    nearest: impl Fn(ItemIx) -> N,
) -> Vec<Vec<(ItemIx, f32)>> {
    let mut stood_in = vec![Vec::new(); counts.len()];
    for cold in (0..counts.len() as ItemIx).filter(|item| counts[*item as usize] == 0) {
        let warm: Vec<(ItemIx, f32)> =
            nearest(cold).filter(|(item, _)| counts[*item as usize] > 0).take(NEAREST).collect();
        let weights: Vec<f32> = warm.iter().map(|(_, likeness)| (likeness / TEMPERATURE).exp()).collect();
        let total: f32 = weights.iter().sum();
        for ((item, _), weight) in warm.iter().zip(weights) {
            stood_in[*item as usize].push((cold, weight / total));
        }
    }
    stood_in
}
