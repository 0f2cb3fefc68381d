//! Numbers of one width in bits, one behind the other.

/// Bytes behind the last number, so that eight bytes can be read wherever a number begins.
pub(crate) const PADDING: usize = 7;
/// The widest number that eight bytes hold wherever in a byte it begins.
const SHIFTED_BITS_MAX: u32 = 56;

/// Numbers of one width in bits.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    bits: usize,
    mask: u64,
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(bytes: &'a [u8], bits: u8) -> Self {
        Self { bytes, bits: usize::from(bits), mask: mask(u32::from(bits)) }
    }

    #[inline]
    pub(crate) fn at(self, index: usize) -> u64 {
        let bit = index * self.bits;
        (eight_bytes(&self.bytes[bit / 8..]) >> (bit % 8)) & self.mask
    }
}

#[inline]
fn eight_bytes(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Writes one number over another one of the same width.
pub(crate) fn put(bytes: &mut [u8], index: usize, bits: u32, number: u64) {
    let bit = index * bits as usize;
    let Some(bytes) = bytes[bit / 8..].first_chunk_mut() else { return };
    let kept = u64::from_le_bytes(*bytes) & !(mask(bits) << (bit % 8));
    *bytes = (kept | number << (bit % 8)).to_le_bytes();
}

/// Writes numbers one behind the other, and zeros behind them to the end of the byte.
pub(crate) fn pack(bytes: &mut [u8], bits: u32, numbers: impl Iterator<Item = u64>) {
    let (mut held, mut held_bits, mut at) = (0u128, 0, 0);
    for number in numbers {
        held |= u128::from(number) << held_bits;
        held_bits += bits;
        if held_bits >= u64::BITS {
            bytes[at..at + 8].copy_from_slice(&(held as u64).to_le_bytes());
            held >>= u64::BITS;
            held_bits -= u64::BITS;
            at += 8;
        }
    }
    let rest = held_bits.div_ceil(8) as usize;
    bytes[at..at + rest].copy_from_slice(&held.to_le_bytes()[..rest]);
}

/// The bits that a number needs, as wide as can be read at once.
pub(crate) fn bits_of(number: u64) -> u32 {
    match u64::BITS - number.leading_zeros() {
        bits if bits > SHIFTED_BITS_MAX => u64::BITS,
        bits => bits,
    }
}

pub(crate) fn mask(bits: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(0)
}
