//! Sorted counts in blocks of 64, each as wide as what is in it: 2 to 4 bytes per entry where rows are long.

use super::row::Entry;

/// Entries of a block; the last block may have fewer.
const BLOCK: usize = 64;

/// Entries by ascending key. A count can change where it stands as long as its width allows; keys can't.
///
/// An entry of 0 is dead: it is skipped, and left out when the row is packed anew.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    blocks: Box<[Block]>,
    /// By block: the gaps between its keys (from its first key), then its counts, little-endian.
    bytes: Box<[u8]>,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    first: u32,
    /// Where its bytes begin.
    at: u32,
    /// Bytes of a gap: 1, 2 or 4.
    gap_width: u8,
    /// Bytes of a count: 1, 2, 4 or 8.
    units_width: u8,
}

/// Where a key's count stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    at: usize,
    width: u8,
}

impl Packed {
    /// Packs entries that are sorted by key, without duplicates.
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut bytes = Vec::with_capacity(entries.len() * 4);
        let blocks = entries.chunks(BLOCK).map(|entries| Block::write(entries, &mut bytes)).collect();
        Self { blocks, bytes: bytes.into_boxed_slice(), len: entries.len() as u32 }
    }

    /// Number of entries, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Calls `visit` with every living entry by ascending key.
    pub(super) fn each(&self, mut visit: impl FnMut(u32, u64)) {
        let (mut keys, mut units) = ([0; BLOCK], [0; BLOCK]);
        for (n, block) in self.blocks.iter().enumerate() {
            let (gap_bytes, unit_bytes) = self.parts(n);
            let count = block.keys(gap_bytes, &mut keys);
            read(unit_bytes, block.units_width, &mut units);
            for (&key, &units) in keys[..count].iter().zip(&units).filter(|(_, units)| **units > 0) {
                visit(key, units);
            }
        }
    }

    /// Where a key stands, dead or alive.
    pub(super) fn find(&self, key: u32) -> Option<Place> {
        let n = self.blocks.partition_point(|block| block.first <= key).checked_sub(1)?;
        let block = self.blocks[n];
        let (gap_bytes, _) = self.parts(n);
        let place = match block.gap_width {
            1 => position::<1>(gap_bytes, key - block.first),
            2 => position::<2>(gap_bytes, key - block.first),
            _ => position::<4>(gap_bytes, key - block.first),
        }?;
        let at = block.at as usize + gap_bytes.len() + place * usize::from(block.units_width);
        Some(Place { at, width: block.units_width })
    }

    /// The count at a place.
    pub(super) fn units(&self, place: Place) -> u64 {
        let mut units = [0; 8];
        let width = usize::from(place.width);
        units[..width].copy_from_slice(&self.bytes[place.at..place.at + width]);
        u64::from_le_bytes(units)
    }

    /// Sets the count at a place; false, with nothing changed, if it is too wide.
    pub(super) fn set(&mut self, place: Place, units: u64) -> bool {
        let width = usize::from(place.width);
        let fits = width_of(units) <= place.width;
        if fits {
            self.bytes[place.at..place.at + width].copy_from_slice(&units.to_le_bytes()[..width]);
        }
        fits
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.len() * size_of::<Block>() + self.bytes.len()
    }

    /// The bytes of a block: of its gaps, and of its counts.
    fn parts(&self, n: usize) -> (&[u8], &[u8]) {
        let block = self.blocks[n];
        let end = self.blocks.get(n + 1).map_or(self.bytes.len(), |next| next.at as usize);
        let bytes = &self.bytes[block.at as usize..end];
        let count = bytes.len() / usize::from(block.gap_width + block.units_width);
        bytes.split_at(count * usize::from(block.gap_width))
    }
}

impl Block {
    /// Appends the bytes of at most [`BLOCK`] entries.
    fn write(entries: &[Entry], bytes: &mut Vec<u8>) -> Self {
        let gaps = || {
            let before = entries[..1].iter().chain(entries);
            entries.iter().zip(before).map(|(entry, before)| u64::from(entry.key - before.key))
        };
        let block = Self {
            first: entries[0].key,
            at: bytes.len() as u32,
            gap_width: width_of(gaps().max().unwrap_or(0)),
            units_width: width_of(entries.iter().map(|entry| entry.units).max().unwrap_or(0)),
        };
        gaps().for_each(|gap| append(bytes, gap, block.gap_width));
        entries.iter().for_each(|entry| append(bytes, entry.units, block.units_width));
        block
    }

    /// Fills in the keys and returns their number.
    fn keys(self, gap_bytes: &[u8], keys: &mut [u32; BLOCK]) -> usize {
        let mut gaps = [0; BLOCK];
        let count = read(gap_bytes, self.gap_width, &mut gaps);
        let mut key = self.first;
        for (slot, gap) in keys.iter_mut().zip(&gaps[..count]) {
            key += *gap as u32;
            *slot = key;
        }
        count
    }
}

/// The bytes that a number needs: 1, 2, 4 or 8.
fn width_of(number: u64) -> u8 {
    match number {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

fn append(bytes: &mut Vec<u8>, number: u64, width: u8) {
    bytes.extend_from_slice(&number.to_le_bytes()[..usize::from(width)]);
}

/// Reads numbers of a width and returns how many.
fn read(bytes: &[u8], width: u8, numbers: &mut [u64; BLOCK]) -> usize {
    match width {
        1 => read_as::<1>(bytes, numbers),
        2 => read_as::<2>(bytes, numbers),
        4 => read_as::<4>(bytes, numbers),
        _ => read_as::<8>(bytes, numbers),
    }
}

/// The place at which gaps add up to a distance.
fn position<const WIDTH: usize>(gap_bytes: &[u8], distance: u32) -> Option<usize> {
    let mut reached = 0;
    for (place, bytes) in gap_bytes.chunks_exact(WIDTH).enumerate() {
        reached += number::<WIDTH>(bytes) as u32;
        if reached >= distance {
            return (reached == distance).then_some(place);
        }
    }
    None
}

fn number<const WIDTH: usize>(bytes: &[u8]) -> u64 {
    let mut padded = [0; 8];
    padded[..WIDTH].copy_from_slice(bytes);
    u64::from_le_bytes(padded)
}

fn read_as<const WIDTH: usize>(bytes: &[u8], numbers: &mut [u64; BLOCK]) -> usize {
    for (slot, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(WIDTH)) {
        *slot = number::<WIDTH>(bytes);
    }
    bytes.len() / WIDTH
}
