//! Compact exact counts: tables of whole units that add and subtract in any order.
//!
//! Equality and the serialised form depend only on what is counted, not on the order in which it was learned. The tables don't know
//! what they count, and taking away what was never added is a mistake of the caller: it leaves the entry at 0.

use std::{
    collections::BTreeMap,
    ops::{AddAssign, SubAssign},
    sync::OnceLock,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zhiyin_core::{Interaction, ItemIx, limits::FOLD_WINDOW_MAX};

use crate::{Dataset, Histories, Step, dataset::latest};

/// Marks an empty slot; never a key.
const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u32,
    /// The low 32 bits of the count.
    units: u32,
}

/// Counts by key, in an open-addressing table that is at most 5/6 full and grows by a quarter: about 10.5 bytes per entry.
///
/// Keys are dense numbers below `u32::MAX`. Entries of 0 don't exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountRow {
    slots: Box<[Slot]>,
    len: u32,
    /// High 32 bits of the rare counts that outgrow a slot.
    #[allow(clippy::box_collection, reason = "there are many rows and hardly any carries: a box keeps rows small")]
    carries: Option<Box<BTreeMap<u32, u32>>>,
}

impl CountRow {
    /// A row with room for `entries`.
    fn with_room(entries: usize) -> Self {
        let slots = vec![Slot { key: EMPTY, units: 0 }; entries + entries / 5 + 2].into_boxed_slice();
        Self { slots, len: 0, carries: None }
    }

    /// Adds units to a key.
    pub(crate) fn add(&mut self, key: u32, units: u32) {
        if units == 0 || key == EMPTY {
            return;
        }
        if (self.len as usize + 1) * 6 > self.slots.len() * 5 {
            self.resize(self.slots.len() + (self.slots.len() / 4).max(2));
        }
        let at = self.find(key);
        let slot = &mut self.slots[at];
        if slot.key == EMPTY {
            *slot = Slot { key, units };
            self.len += 1;
            return;
        }
        let (sum, overflowed) = slot.units.overflowing_add(units);
        slot.units = sum;
        if overflowed {
            *self.carries.get_or_insert_default().entry(key).or_default() += 1;
        }
    }

    /// Takes units away from a key; an entry that reaches 0 disappears.
    pub(crate) fn subtract(&mut self, key: u32, units: u32) {
        if units == 0 || self.len == 0 || key == EMPTY {
            return;
        }
        let at = self.find(key);
        if self.slots[at].key == EMPTY {
            return;
        }
        let left = self.value(self.slots[at]).saturating_sub(u64::from(units));
        self.set_carry(key, (left >> 32) as u32);
        self.slots[at].units = left as u32;
        if left == 0 {
            self.remove(at);
        }
    }

    /// The count of a key.
    pub(crate) fn get(&self, key: u32) -> u64 {
        if self.len == 0 || key == EMPTY {
            return 0;
        }
        let slot = self.slots[self.find(key)];
        if slot.key == EMPTY { 0 } else { self.value(slot) }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, each once, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.slots.iter().filter(|slot| slot.key != EMPTY).map(|slot| (slot.key, self.value(*slot)))
    }

    /// Calls `visit` with all entries as plain numbers; faster than [`CountRow::iter`] for the usual row without carries.
    pub(crate) fn each(&self, mut visit: impl FnMut(u32, f32)) {
        if self.carries.is_some() {
            return self.iter().for_each(|(key, units)| visit(key, units as f32));
        }
        // Which slots are empty can't be predicted, so blocks are compacted without a branch first.
        let mut full = [Slot { key: EMPTY, units: 0 }; 32];
        for block in self.slots.chunks(full.len()) {
            let mut count = 0;
            for slot in block {
                full[count & 31] = *slot;
                count += usize::from(slot.key != EMPTY);
            }
            full[..count].iter().for_each(|slot| visit(slot.key, slot.units as f32));
        }
    }

    /// All entries by key.
    pub(crate) fn sorted(&self) -> Vec<(u32, u64)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable();
        entries
    }

    /// Sum of all counts.
    pub(crate) fn total(&self) -> u64 {
        self.iter().map(|(_, units)| units).sum()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.carries.as_ref().map_or(0, |carries| carries.len() * 32)
    }

    fn value(&self, slot: Slot) -> u64 {
        let high = self.carries.as_ref().and_then(|carries| carries.get(&slot.key)).copied().unwrap_or(0);
        u64::from(high) << 32 | u64::from(slot.units)
    }

    fn set_carry(&mut self, key: u32, high: u32) {
        let Some(carries) = &mut self.carries else { return };
        if high == 0 {
            carries.remove(&key);
        } else {
            carries.insert(key, high);
        }
        if carries.is_empty() {
            self.carries = None;
        }
    }

    /// Where a key's probing starts: Fibonacci hashing spreads dense numbers evenly over any number of slots.
    fn home(&self, key: u32) -> usize {
        let hash = u64::from(key.wrapping_mul(0x9E37_79B9));
        ((hash * self.slots.len() as u64) >> 32) as usize
    }

    /// The slot of a key, or the empty one where it would go. There is always an empty slot.
    fn find(&self, key: u32) -> usize {
        let mut at = self.home(key);
        while self.slots[at].key != key && self.slots[at].key != EMPTY {
            at = self.next(at);
        }
        at
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn resize(&mut self, capacity: usize) {
        let fresh = vec![Slot { key: EMPTY, units: 0 }; capacity].into_boxed_slice();
        let old = std::mem::replace(&mut self.slots, fresh);
        for slot in old.iter().filter(|slot| slot.key != EMPTY) {
            let at = self.find(slot.key);
            self.slots[at] = *slot;
        }
    }

    /// Puts a whole count into a row that has room for it and doesn't have the key.
    fn insert(&mut self, key: u32, units: u64) {
        let at = self.find(key);
        if units == 0 || key == EMPTY || self.slots[at].key != EMPTY {
            return;
        }
        self.slots[at] = Slot { key, units: units as u32 };
        self.len += 1;
        if units >> 32 > 0 {
            self.carries.get_or_insert_default().insert(key, (units >> 32) as u32);
        }
    }

    /// Empties a slot and moves later entries of its probe chain forward, so that no lookup stops early.
    fn remove(&mut self, mut hole: usize) {
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
            return;
        }
        let mut at = self.next(hole);
        while self.slots[at].key != EMPTY {
            let home = self.home(self.slots[at].key);
            let stays = if hole < at { hole < home && home <= at } else { hole < home || home <= at };
            if !stays {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.slots[hole] = Slot { key: EMPTY, units: 0 };
    }
}

impl PartialEq for CountRow {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, units)| other.get(key) == units)
    }
}

impl Serialize for CountRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CountRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<(u32, u64)>::deserialize(deserializer)?;
        let mut row = Self::with_room(entries.len());
        for (key, units) in entries {
            row.insert(key, units);
        }
        Ok(row)
    }
}

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
pub(crate) fn best(mut scored: Vec<(ItemIx, f32)>, k: usize) -> Vec<(ItemIx, f32)> {
    let by_score = |a: &(ItemIx, f32), b: &(ItemIx, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if k == 0 {
        return Vec::new();
    }
    if scored.len() > k {
        scored.select_nth_unstable_by(k - 1, by_score);
        scored.truncate(k);
    }
    scored.sort_unstable_by(by_score);
    scored
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row_of(entries: &[(u32, u32)]) -> CountRow {
        let mut row = CountRow::default();
        for &(key, units) in entries {
            row.add(key, units);
        }
        row
    }

    #[test]
    fn counts_beyond_a_slot_carry_and_come_back() {
        let mut row = row_of(&[(7, u32::MAX), (7, 1), (7, u32::MAX), (9, 5)]);
        assert_eq!(row.get(7), 2 * u64::from(u32::MAX) + 1);
        assert_eq!(row.sorted(), [(7, 2 * u64::from(u32::MAX) + 1), (9, 5)]);
        let stored = postcard::to_allocvec(&row).unwrap();
        assert_eq!(postcard::from_bytes::<CountRow>(&stored).unwrap(), row);
        row.subtract(7, u32::MAX);
        row.subtract(7, u32::MAX);
        assert_eq!(row, row_of(&[(9, 5), (7, 1)]));
        row.subtract(7, 1);
        row.subtract(9, 5);
        assert_eq!(row, CountRow::default());
    }

    #[test]
    fn a_count_of_exactly_two_to_the_32_survives_storage() {
        let row = row_of(&[(3, u32::MAX), (3, 1)]);
        let stored = postcard::to_allocvec(&row).unwrap();
        let back = postcard::from_bytes::<CountRow>(&stored).unwrap();
        assert_eq!(back.sorted(), [(3, 1 << 32)]);
    }

    #[test]
    fn the_fast_logarithm_is_close() {
        for exponent in -60..60 {
            let x = 1.37f32 * (exponent as f32 / 2.0).exp2();
            assert!((fast_ln(x) - x.ln()).abs() < 2e-6 * (1.0 + x.ln().abs()), "{x}");
        }
        assert_eq!(fast_ln(1.0), 0.0);
    }

    proptest! {
        #[test]
        fn a_row_agrees_with_an_ordered_map(steps in prop::collection::vec((0u32..40, 1u32..9, any::<bool>()), 0..400)) {
            let (mut row, mut map) = (CountRow::default(), BTreeMap::<u32, u64>::new());
            for (key, units, adds) in steps {
                let held = map.get(&key).copied().unwrap_or(0);
                if adds {
                    row.add(key, units);
                    map.insert(key, held + u64::from(units));
                } else if held >= u64::from(units) {
                    row.subtract(key, units);
                    map.insert(key, held - u64::from(units));
                }
                map.retain(|_, units| *units > 0);
            }
            prop_assert_eq!(row.sorted(), map.clone().into_iter().collect::<Vec<_>>());
            prop_assert!((0..40).all(|key| row.get(key) == map.get(&key).copied().unwrap_or(0)));
            let stored = postcard::to_allocvec(&row).unwrap();
            prop_assert_eq!(postcard::from_bytes::<CountRow>(&stored).unwrap(), row);
        }
    }
}
