//! A short run of sorted counts, each number in as many bits as the widest of its kind needs: about 3 bytes per entry.

use zhiyin_core::capacity::size_class;

use crate::packed::{Numbers, PADDING, bits_of, pack, put};

/// Entries of a leaf at most.
pub(super) const LEAF_MAX: usize = 128;

/// A key and its count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) units: u64,
}

/// Between 1 and [`LEAF_MAX`] entries by ascending key; no count is 0.
///
/// The bytes hold the gaps between the keys, less 1, and from the next whole byte on the counts. What is left of them is room to grow.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    bytes: Box<[u8]>,
    first: u32,
    len: u8,
    gap_bits: u8,
    units_bits: u8,
}

/// Where a key's count stands, and the count.
#[derive(Clone, Copy)]
pub(super) struct Place {
    index: usize,
    pub(super) units: u64,
}

impl Leaf {
    /// A leaf of 1 to [`LEAF_MAX`] entries.
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut leaf = Self { bytes: Box::default(), first: 0, len: 0, gap_bits: 0, units_bits: 0 };
        leaf.write(entries);
        leaf
    }

    /// The lowest key.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Calls `visit` with every entry by ascending key.
    pub(super) fn each(&self, mut visit: impl FnMut(u32, u64)) {
        let units = self.units();
        let mut key = self.first;
        visit(key, units.at(0));
        let gaps = self.gaps();
        for index in 1..self.len() {
            key += gaps.at(index - 1) as u32 + 1;
            visit(key, units.at(index));
        }
    }

    /// The count of a key, and where it stands.
    pub(super) fn find(&self, key: u32) -> Option<Place> {
        let distance = key.checked_sub(self.first)?;
        let gaps = self.gaps();
        let (mut index, mut reached) = (0, 0);
        while reached < distance && index + 1 < self.len() {
            reached += gaps.at(index) as u32 + 1;
            index += 1;
        }
        (reached == distance).then(|| Place { index, units: self.units().at(index) })
    }

    /// Sets the count at a place; false, with nothing changed, if it is too wide.
    pub(super) fn set(&mut self, place: Place, units: u64) -> bool {
        let fits = bits_of(units) <= u32::from(self.units_bits);
        if fits {
            let (start, bits) = (self.units_start(), u32::from(self.units_bits));
            put(&mut self.bytes[start..], place.index, bits, units);
        }
        fits
    }

    /// Copies the entries to the front of `entries` and returns how many there are.
    pub(super) fn read(&self, entries: &mut [Entry]) -> usize {
        let mut filled = 0;
        self.each(|key, units| {
            entries[filled] = Entry { key, units };
            filled += 1;
        });
        filled
    }

    /// Replaces all entries, in the old bytes if they suffice.
    pub(super) fn write(&mut self, entries: &[Entry]) {
        let gap = |pair: &[Entry]| u64::from(pair[1].key - pair[0].key - 1);
        let gap_bits = entries.windows(2).map(|pair| bits_of(gap(pair))).max().unwrap_or(0);
        let units_bits = entries.iter().map(|entry| bits_of(entry.units)).max().unwrap_or(0);
        self.first = entries[0].key;
        (self.len, self.gap_bits, self.units_bits) = (entries.len() as u8, gap_bits as u8, units_bits as u8);
        let start = self.units_start();
        let needed = start + (entries.len() * units_bits as usize).div_ceil(8) + PADDING;
        if needed > self.bytes.len() || needed < self.bytes.len() / 2 {
            self.bytes = vec![0; size_class(needed)].into();
        }
        let (gaps, units) = self.bytes.split_at_mut(start);
        pack(gaps, gap_bits, entries.windows(2).map(gap));
        pack(units, units_bits, entries.iter().map(|entry| entry.units));
    }

    fn gaps(&self) -> Numbers<'_> {
        Numbers::new(&self.bytes, self.gap_bits)
    }

    fn units(&self) -> Numbers<'_> {
        Numbers::new(&self.bytes[self.units_start()..], self.units_bits)
    }

    fn units_start(&self) -> usize {
        ((self.len() - 1) * usize::from(self.gap_bits)).div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let key = prop_oneof![0u32..300, (0u32..300).prop_map(|n| n * 1_000), any::<u32>()];
        let units = prop_oneof![1u64..9, Just(70_000), 1..u64::MAX, Just(u64::MAX), Just(1 << 56), Just((1 << 56) - 1)];
        prop::collection::btree_map(key, units, 1..=LEAF_MAX)
            .prop_map(|map| map.into_iter().map(|(key, units)| Entry { key, units }).collect())
    }

    fn read(leaf: &Leaf) -> Vec<Entry> {
        let mut entries = [Entry::default(); LEAF_MAX];
        let len = leaf.read(&mut entries);
        entries[..len].to_vec()
    }

    proptest! {
        #[test]
        fn entries_come_back(first in entries(), second in entries()) {
            let mut leaf = Leaf::new(&first);
            prop_assert_eq!(read(&leaf), first);
            leaf.write(&second);
            prop_assert_eq!(read(&leaf), second);
        }

        #[test]
        fn a_count_changes_where_it_stands(mut held in entries(), at in any::<prop::sample::Index>(), units in 1..u64::MAX) {
            let mut leaf = Leaf::new(&held);
            let at = at.index(held.len());
            let place = leaf.find(held[at].key).unwrap();
            prop_assert_eq!(place.units, held[at].units);
            if leaf.set(place, units) {
                held[at].units = units;
            }
            prop_assert_eq!(read(&leaf), held);
        }

        #[test]
        fn keys_that_are_not_there_are_not_found(held in entries(), key in any::<u32>()) {
            let found = Leaf::new(&held).find(key).map(|place| place.units);
            prop_assert_eq!(found, held.iter().find(|entry| entry.key == key).map(|entry| entry.units));
        }
    }

    #[test]
    fn widths_follow_the_widest() {
        let entries: Vec<Entry> = (0..128).map(|n| Entry { key: n * 5, units: 1 + u64::from(n % 4) }).collect();
        // 127 gaps of 3 bits, 128 counts of 3 bits and the padding, rounded up to a size of the allocator.
        assert_eq!(Leaf::new(&entries).heap_bytes(), 112);
    }
}
