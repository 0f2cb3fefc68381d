//! Exact counts by key.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::packed::Packed;

/// Entries that a row keeps unpacked at least.
const FRESH_MIN: usize = 16;
/// Entries that a row keeps unpacked at most.
const FRESH_MAX: usize = 512;

/// A key and its count, in 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, packed(4))]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) units: u64,
}

/// Counts by key: about 4 bytes per entry of a long row, 12 of a short one.
///
/// New keys go into a small sorted array, which is packed together with the rest when it is full. A key has its count in one of the two,
/// so a packed count that outgrows its width moves to the array. Entries of 0 don't exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountRow {
    packed: Option<Box<Packed>>,
    fresh: Vec<Entry>,
    len: u32,
    total: u64,
}

impl CountRow {
    /// A row of entries that are sorted by key, without duplicates or zeros.
    fn of(entries: &[Entry]) -> Self {
        let total = entries.iter().map(|entry| entry.units).sum();
        let (packed, fresh) = if entries.len() > FRESH_MIN {
            (Some(Box::new(Packed::new(entries))), Vec::new())
        } else {
            (None, entries.to_vec())
        };
        Self { packed, fresh, len: entries.len() as u32, total }
    }

    /// Adds units to a key.
    pub(crate) fn add(&mut self, key: u32, units: u32) {
        if units == 0 {
            return;
        }
        let units = u64::from(units);
        self.total += units;
        match self.position(key) {
            Ok(at) => self.fresh[at].units += units,
            Err(at) => self.add_packed(key, units, at),
        }
    }

    /// Adds to a key that isn't among the fresh ones, or puts it there at a place.
    fn add_packed(&mut self, key: u32, units: u64, at: usize) {
        let Some(packed) = &mut self.packed else { return self.add_fresh(key, units, at) };
        let Some(place) = packed.find(key) else { return self.add_fresh(key, units, at) };
        let before = packed.units(place);
        if packed.set(place, before + units) {
            self.len += u32::from(before == 0);
            return;
        }
        packed.set(place, 0);
        self.len -= u32::from(before > 0);
        self.add_fresh(key, before + units, at);
    }

    fn add_fresh(&mut self, key: u32, units: u64, at: usize) {
        if self.fresh.len() == self.fresh.capacity() {
            self.fresh.reserve_exact((self.fresh.len() / 4).max(2));
        }
        self.fresh.insert(at, Entry { key, units });
        self.len += 1;
        let packed = self.packed.as_ref().map_or(0, |packed| packed.len());
        if self.fresh.len() > (packed / 8).clamp(FRESH_MIN, FRESH_MAX) {
            *self = Self::of(&self.entries());
        }
    }

    /// Takes units away from a key; an entry that reaches 0 disappears.
    pub(crate) fn subtract(&mut self, key: u32, units: u32) {
        let before = self.get(key);
        let left = before.saturating_sub(u64::from(units));
        if left == before {
            return;
        }
        self.total -= before - left;
        self.len -= u32::from(left == 0);
        match self.position(key) {
            Ok(at) if left == 0 => drop(self.fresh.remove(at)),
            Ok(at) => self.fresh[at].units = left,
            Err(_) => self.set_packed(key, left),
        }
        if self.len == 0 {
            *self = Self::default();
        }
    }

    fn set_packed(&mut self, key: u32, units: u64) {
        let Some(packed) = &mut self.packed else { return };
        if let Some(place) = packed.find(key) {
            packed.set(place, units);
        }
        if packed.len() > 2 * self.len as usize + FRESH_MIN {
            *self = Self::of(&self.entries());
        }
    }

    /// The count of a key.
    pub(crate) fn get(&self, key: u32) -> u64 {
        if let Ok(at) = self.position(key) {
            return self.fresh[at].units;
        }
        let packed = self.packed.as_ref();
        packed.and_then(|packed| packed.find(key).map(|place| packed.units(place))).unwrap_or(0)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sum of all counts.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Calls `visit` with all entries as plain numbers, each once, in no particular order.
    pub(crate) fn each(&self, mut visit: impl FnMut(u32, f32)) {
        // A signed number becomes a float in one instruction; no count reaches 2^63.
        self.each_exact(|key, units| visit(key, units as i64 as f32));
    }

    /// Calls `visit` with all entries, each once, in no particular order.
    pub(crate) fn each_exact(&self, mut visit: impl FnMut(u32, u64)) {
        if let Some(packed) = &self.packed {
            packed.each(&mut visit);
        }
        self.fresh.iter().for_each(|entry| visit(entry.key, entry.units));
    }

    /// All entries by key.
    pub(crate) fn sorted(&self) -> Vec<(u32, u64)> {
        self.entries().into_iter().map(|entry| (entry.key, entry.units)).collect()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let packed = self.packed.as_ref().map_or(0, |packed| size_of::<Packed>() + packed.heap_bytes());
        packed + self.fresh.capacity() * size_of::<Entry>()
    }

    /// Where a key is among the fresh ones, or would be.
    fn position(&self, key: u32) -> Result<usize, usize> {
        self.fresh.binary_search_by_key(&key, |entry| entry.key)
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.len());
        self.each_exact(|key, units| entries.push(Entry { key, units }));
        entries.sort_by_key(|entry| entry.key);
        entries
    }
}

impl PartialEq for CountRow {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.entries() == other.entries()
    }
}

impl Serialize for CountRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CountRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Vec::<(u32, u64)>::deserialize(deserializer)?;
        if !stored.is_sorted_by(|a, b| a.0 < b.0) || stored.iter().any(|(_, units)| *units == 0) {
            return Err(serde::de::Error::custom("a row of counts must be sorted by key, without duplicates or zeros"));
        }
        let entries: Vec<Entry> = stored.into_iter().map(|(key, units)| Entry { key, units }).collect();
        Ok(Self::of(&entries))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    #[derive(Clone, Copy, Debug)]
    struct Change {
        key: u32,
        units: u32,
        adds: bool,
    }

    /// Keys near and far, so that gaps of every width occur; counts that outgrow a byte and two; more additions than subtractions.
    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let key = prop_oneof![0u32..300, (0u32..300).prop_map(|n| n * 1_000), (0u32..9).prop_map(|n| u32::MAX - n)];
        let units = prop_oneof![1u32..9, Just(200), Just(70_000)];
        let change = (key, units, prop::bool::weighted(0.7)).prop_map(|(key, units, adds)| Change { key, units, adds });
        prop::collection::vec(change, 0..900)
    }

    proptest! {
        #[test]
        fn a_row_agrees_with_an_ordered_map(changes in changes()) {
            let (mut row, mut map) = (CountRow::default(), BTreeMap::<u32, u64>::new());
            for Change { key, units, adds } in changes {
                let held = map.get(&key).copied().unwrap_or(0);
                if adds {
                    row.add(key, units);
                    map.insert(key, held + u64::from(units));
                } else {
                    row.subtract(key, units);
                    map.insert(key, held.saturating_sub(u64::from(units)));
                }
                map.retain(|_, units| *units > 0);
                prop_assert_eq!(row.get(key), map.get(&key).copied().unwrap_or(0));
            }
            prop_assert_eq!(row.sorted(), map.clone().into_iter().collect::<Vec<_>>());
            // Keys that were never counted too, beside and between those that were.
            let near = map.keys().flat_map(|&key| [key.saturating_sub(1), key.saturating_add(1)]).chain(0..300);
            for key in near {
                prop_assert_eq!(row.get(key), map.get(&key).copied().unwrap_or(0));
            }
            prop_assert_eq!((row.len(), row.total()), (map.len(), map.values().sum::<u64>()));
            let stored = postcard::to_allocvec(&row).unwrap();
            prop_assert_eq!(postcard::from_bytes::<CountRow>(&stored).unwrap(), row.clone());
            map.iter().for_each(|(&key, &units)| row.subtract(key, units as u32));
            prop_assert_eq!(row, CountRow::default());
        }
    }

    #[test]
    fn a_stored_row_out_of_order_is_refused() {
        let stored = postcard::to_allocvec(&vec![(7u32, 1u64), (3, 1)]).unwrap();
        assert!(postcard::from_bytes::<CountRow>(&stored).is_err());
    }

    #[test]
    fn a_long_row_takes_few_bytes() {
        let row = row_of(&(0..10_000).map(|n| (n * 7, 1 + n % 200)).collect::<Vec<_>>());
        assert!(row.heap_bytes() < 10_000 * 4, "{}", row.heap_bytes());
    }
}
