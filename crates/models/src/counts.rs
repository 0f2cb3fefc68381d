//! Compact exact counts: tables of whole units that add and subtract in any order.
//!
//! Equality and the serialised form depend only on what is counted, not on the order in which it was learned. The tables don't know
//! what they count, and taking away what was never added is a mistake of the caller: it leaves the entry at 0.

mod leaf;
mod row;

use std::{
    cmp::Reverse,
    ops::{AddAssign, SubAssign},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx, limits::FOLD_WINDOW_MAX};

pub(crate) use self::row::CountRow;
use crate::{Dataset, Histories, Ranked, Step, dataset::latest};

/// One [`CountRow`] per dense number; rows that are empty at the end don't exist.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CountTable(Vec<CountRow>);

impl CountTable {
    /// Adds units to a key of a row.
    pub(crate) fn add(&mut self, row: u32, key: u32, units: u32) {
        if units == 0 {
            return;
        }
        let row = row as usize;
        if row >= self.0.len() {
            self.0.resize_with(row + 1, CountRow::default);
        }
        self.0[row].add(key, units);
    }

    /// Takes units away from a key of a row.
    pub(crate) fn subtract(&mut self, row: u32, key: u32, units: u32) {
        let Some(counts) = self.0.get_mut(row as usize) else { return };
        counts.subtract(key, units);
        while self.0.last().is_some_and(CountRow::is_empty) {
            self.0.pop();
        }
    }

    /// A row, if it has entries.
    pub(crate) fn row(&self, row: u32) -> Option<&CountRow> {
        self.0.get(row as usize).filter(|counts| !counts.is_empty())
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(CountRow::len).sum()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<CountRow>() + self.0.iter().map(CountRow::heap_bytes).sum::<usize>()
    }
}

/// Totals by dense number; zeros at the end don't exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Totals<T>(Vec<T>);

impl<T: Copy + Default + PartialOrd + AddAssign + SubAssign> Totals<T> {
    /// Adds to a number's total.
    pub(crate) fn add(&mut self, at: u32, more: T) {
        if more == T::default() {
            return;
        }
        let at = at as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, T::default());
        }
        self.0[at] += more;
    }

    /// Takes away from a number's total.
    pub(crate) fn subtract(&mut self, at: u32, less: T) {
        let Some(total) = self.0.get_mut(at as usize) else { return };
        *total -= if less > *total { *total } else { less };
        while self.0.last() == Some(&T::default()) {
            self.0.pop();
        }
    }

    /// The total of a number.
    pub(crate) fn get(&self, at: u32) -> T {
        self.0.get(at as usize).copied().unwrap_or_default()
    }

    /// All totals.
    pub(crate) fn values(&self) -> &[T] {
        &self.0
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }
}

/// Something computed from counts when it is first needed. It is no part of the state: always equal, never copied or stored.
#[derive(Debug)]
pub(crate) struct Derived<T>(OnceLock<T>);

impl<T> Derived<T> {
    /// The value, computed if it isn't there.
    pub(crate) fn get_or_init(&self, compute: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(compute)
    }

    /// The value, if it was computed.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.get_mut()
    }

    /// The value, if it was computed.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Forgets the value.
    pub(crate) fn clear(&mut self) {
        self.0.take();
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Derived<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Calls `learn` with every event of a set as a [`Step`], actor by actor. Exact counts don't depend on the order, and this one spares
/// the sorting by time.
pub(crate) fn each_step(data: &Dataset, mut learn: impl FnMut(&Step<'_>)) {
    for actor in 0..data.n_actors() as u32 {
        let history = data.of(actor);
        let segment = data.segment(actor);
        for (place, &event) in history.iter().enumerate() {
            let past = latest(&history[..place], FOLD_WINDOW_MAX);
            learn(&Step { actor, segment, past, event });
        }
    }
}

/// The `count` latest interactions, newest first, each with its age in places.
pub(crate) fn newest(history: &[Interaction], count: usize) -> impl Iterator<Item = (usize, ItemIx)> + '_ {
    history.iter().rev().take(count).map(|event| event.item).enumerate()
}

/// Natural logarithm of a positive normal number to about 1e-7, without branches so that loops over items become vector code.
pub(crate) fn fast_ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_add(0x3f80_0000 - SQRT_HALF_BITS);
    let exponent = (bits >> 23) as i32 - 127;
    let f = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF_BITS) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0))))
}

/// The `k` best of some scored items, best first, ties by the smaller number.
pub(crate) fn best(scored: impl Iterator<Item = (ItemIx, f32)>, k: usize) -> Vec<(ItemIx, f32)> {
    if k == 0 {
        return Vec::new();
    }
    let mut ranked: Vec<Ranked> = scored.map(|(item, score)| Ranked::new(item, score)).collect();
    if ranked.len() > k {
        ranked.select_nth_unstable_by_key(k - 1, |&ranked| Reverse(ranked));
        ranked.truncate(k);
    }
    ranked.sort_unstable_by_key(|&ranked| Reverse(ranked));
    ranked.into_iter().map(|ranked| (ranked.item(), ranked.score())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_logarithm_is_close() {
        for exponent in -60..60 {
            let x = 1.37f32 * (exponent as f32 / 2.0).exp2();
            assert!((fast_ln(x) - x.ln()).abs() < 2e-6 * (1.0 + x.ln().abs()), "{x}");
        }
        assert_eq!(fast_ln(1.0), 0.0);
    }
}
