//! A run of postings, each in as many bits as the widest needs.

use super::Posting;
use crate::packed::{Numbers, PADDING, bits_of, mask, pack};

/// Postings of a block when it is made.
pub(super) const BLOCK: usize = 64;

/// Between 1 and 2 · [`BLOCK`] postings in their order.
///
/// Each is one number: the seconds since the one before, then the actor. Reading goes backwards from the last one.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Box<[u8]>,
    last: Posting,
    len: u8,
    bits: u8,
    actor_bits: u8,
}

impl Block {
    /// A block of sorted postings.
    pub(super) fn new(postings: &[Posting]) -> Self {
        let actor_bits = postings.iter().map(|posting| bits_of(posting.actor.into())).max().unwrap_or(0);
        let gaps = std::iter::once(0).chain(postings.windows(2).map(|pair| pair[1].time_s - pair[0].time_s));
        let numbers = gaps.zip(postings).map(|(gap, posting)| u64::from(gap) << actor_bits | u64::from(posting.actor));
        let bits = numbers.clone().map(bits_of).max().unwrap_or(0);
        let mut bytes = vec![0; (postings.len() * bits as usize).div_ceil(8) + PADDING];
        pack(&mut bytes, bits, numbers);
        Self {
            bytes: bytes.into(),
            last: postings.last().copied().unwrap_or_default(),
            len: postings.len() as u8,
            bits: bits as u8,
            actor_bits: actor_bits as u8,
        }
    }

    /// The last posting.
    pub(super) fn last(&self) -> Posting {
        self.last
    }

    /// Number of postings.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Calls `visit` with the `count` latest postings, newest first.
    #[inline]
    pub(super) fn each_newest(&self, count: usize, mut visit: impl FnMut(Posting)) {
        let numbers = Numbers::new(&self.bytes, self.bits);
        let (actor_bits, actor_mask) = (self.actor_bits, mask(self.actor_bits.into()));
        let mut time_s = self.last.time_s;
        for index in (self.len().saturating_sub(count)..self.len()).rev() {
            let number = numbers.at(index);
            visit(Posting { time_s, actor: (number & actor_mask) as u32 });
            time_s -= (number >> actor_bits) as u32;
        }
    }

    /// All postings in their order.
    pub(super) fn read(&self) -> Vec<Posting> {
        let mut postings = Vec::with_capacity(self.len() + 1);
        self.each_newest(usize::MAX, |posting| postings.push(posting));
        postings.reverse();
        postings
    }
}
