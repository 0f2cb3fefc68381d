//! The order in which items are ranked, as one whole number.

use zhiyin_core::ItemIx;

/// An item with its score. Greater is better: the higher score (in the total order of floats), among equals the lower number.
///
/// Both are packed into one number, so that comparing, which is all that sorting and selecting do, takes a single instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked(u64);

/// The bit of a float that tells its sign.
const SIGN: u32 = 1 << 31;

impl Ranked {
    /// An item with its score.
    pub fn new(item: ItemIx, score: f32) -> Self {
        // Bits of positive floats stand in their order, those of negative ones in the opposite order.
        let bits = score.to_bits();
        let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!item))
    }

    /// The item.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is the item")]
    pub fn item(self) -> ItemIx {
        !(self.0 as u32)
    }

    /// Its score.
    pub fn score(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_as_score_and_number_do(a in any::<(u32, f32)>(), b in any::<(u32, f32)>(), tied in any::<bool>()) {
            let b = if tied { (b.0, a.1) } else { b };
            let expected = a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
            let ranked = Ranked::new(a.0, a.1);
            prop_assert_eq!(ranked.cmp(&Ranked::new(b.0, b.1)), expected);
            prop_assert_eq!((ranked.item(), ranked.score().to_bits()), (a.0, a.1.to_bits()));
        }
    }
}
