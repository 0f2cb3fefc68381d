//! Exact counts by key.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zhiyin_core::capacity::make_room;

use super::leaf::{Entry, LEAF_MAX, Leaf};

/// Entries of a leaf at first, so that it can take some before it splits.
const LEAF_START: usize = LEAF_MAX * 3 / 4;

/// Counts by key: the lowest level of a B-tree, with a flat array above it. Entries of 0 don't exist.
///
/// A new key makes one leaf be written anew, whatever the length of the row, and all leaves are of like size, so the memory that one
/// gives up serves another.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountRow {
    /// By their keys.
    leaves: Vec<Leaf>,
    len: u32,
    total: u64,
}

impl CountRow {
    /// A row of entries that are sorted by key, without duplicates or zeros.
    fn of(entries: &[Entry]) -> Self {
        Self {
            leaves: entries.chunks(LEAF_START).map(Leaf::new).collect(),
            len: entries.len() as u32,
            total: entries.iter().map(|entry| entry.units).sum(),
        }
    }

    /// Adds units to a key.
    pub(crate) fn add(&mut self, key: u32, units: u32) {
        if units == 0 {
            return;
        }
        let units = u64::from(units);
        self.total += units;
        let at = self.leaf_of(key);
        let Some(leaf) = self.leaves.get_mut(at) else {
            *self = Self::of(&[Entry { key, units }]);
            return;
        };
        match leaf.find(key) {
            Some(place) if leaf.set(place, place.units + units) => {}
            Some(place) => self.rewrite(at, key, place.units + units),
            None => {
                self.len += 1;
                self.rewrite(at, key, units);
            }
        }
    }

    /// Takes units away from a key; an entry that reaches 0 disappears.
    pub(crate) fn subtract(&mut self, key: u32, units: u32) {
        let at = self.leaf_of(key);
        let Some(place) = self.leaves.get(at).and_then(|leaf| leaf.find(key)) else { return };
        let left = place.units.saturating_sub(u64::from(units));
        self.total -= place.units - left;
        if left == 0 {
            self.len -= 1;
            self.rewrite(at, key, 0);
        } else {
            self.leaves[at].set(place, left);
        }
    }

    /// The count of a key.
    pub(crate) fn get(&self, key: u32) -> u64 {
        self.leaves.get(self.leaf_of(key)).and_then(|leaf| leaf.find(key)).map_or(0, |place| place.units)
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

    /// Calls `visit` with all entries as plain numbers, by key.
    pub(crate) fn each(&self, mut visit: impl FnMut(u32, f32)) {
        // A signed number becomes a float in one instruction; no count reaches 2^63.
        self.each_exact(|key, units| visit(key, units as i64 as f32));
    }

    /// Calls `visit` with all entries by key.
    pub(crate) fn each_exact(&self, mut visit: impl FnMut(u32, u64)) {
        self.leaves.iter().for_each(|leaf| leaf.each(&mut visit));
    }

    /// All entries by key.
    pub(crate) fn sorted(&self) -> Vec<(u32, u64)> {
        let mut entries = Vec::with_capacity(self.len());
        self.each_exact(|key, units| entries.push((key, units)));
        entries
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.leaves.capacity() * size_of::<Leaf>() + self.leaves.iter().map(Leaf::heap_bytes).sum::<usize>()
    }

    /// The leaf that has a key if one has: the last that doesn't begin behind it, or the first.
    fn leaf_of(&self, key: u32) -> usize {
        self.leaves.partition_point(|leaf| leaf.first() <= key).saturating_sub(1)
    }

    /// Writes a leaf anew with a key's count changed, put in, or left out if it is 0.
    fn rewrite(&mut self, at: usize, key: u32, units: u64) {
        let mut entries = [Entry::default(); LEAF_MAX + 1];
        let mut len = self.leaves[at].read(&mut entries);
        let place = entries[..len].partition_point(|entry| entry.key < key);
        let held = place < len && entries[place].key == key;
        if !held {
            entries.copy_within(place..len, place + 1);
            len += 1;
        }
        entries[place] = Entry { key, units };
        if units == 0 {
            entries.copy_within(place + 1..len, place);
            len -= 1;
        }
        self.replace(at, &entries[..len]);
    }

    /// Gives a leaf other entries: none remove it, too many split it.
    fn replace(&mut self, at: usize, entries: &[Entry]) {
        if entries.is_empty() {
            self.leaves.remove(at);
            if self.leaves.is_empty() {
                self.leaves = Vec::new();
            }
        } else if entries.len() <= LEAF_MAX {
            self.leaves[at].write(entries);
        } else {
            let (low, high) = entries.split_at(entries.len() / 2);
            self.leaves[at].write(low);
            make_room(&mut self.leaves);
            self.leaves.insert(at + 1, Leaf::new(high));
        }
    }
}

impl PartialEq for CountRow {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.sorted() == other.sorted()
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
        assert!(row.heap_bytes() < 10_000 * 3, "{}", row.heap_bytes());
    }
}
