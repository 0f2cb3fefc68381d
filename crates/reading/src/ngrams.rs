//! Words to weighted n-grams: sublinear frequency times inverse document frequency, rows of length 1.
//!
//! N-grams are known by hashes, so that a vocabulary holds no text of the reviews that it was made of. One must occur in at least
//! `TEXTS_MIN` texts, or it would be learned by heart.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::text::Words;

/// Texts in which an n-gram must occur.
const TEXTS_MIN: u32 = 2;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// A sparse row of (column, value), by column.
pub type Row = Vec<(u32, f32)>;

/// The n-grams that are told apart, and how rare each is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Hashes, rising; the place is the column.
    grams: Vec<u64>,
    /// ln((1 + texts) / (1 + texts with it)) + 1, by column.
    rarity: Vec<f32>,
}

impl Vocabulary {
    /// The n-grams of some texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a Words>) -> Self {
        let mut frequency: FxHashMap<u64, u32> = FxHashMap::default();
        let mut seen = FxHashSet::default();
        let mut n = 0_u32;
        for words in texts {
            n += 1;
            seen.clear();
            for_each(words.sentences(), |gram| {
                if seen.insert(gram) {
                    *frequency.entry(gram).or_default() += 1;
                }
            });
        }
        let mut kept: Vec<(u64, u32)> = frequency.into_iter().filter(|(_, texts)| *texts >= TEXTS_MIN).collect();
        kept.sort_unstable();
        let rarity = |texts: u32| (f64::from(1 + n) / f64::from(1 + texts)).ln() as f32 + 1.0;
        let rarity = kept.iter().map(|(_, texts)| rarity(*texts)).collect();
        Self { grams: kept.into_iter().map(|(gram, _)| gram).collect(), rarity }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.grams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.grams.is_empty()
    }

    /// The row of a whole text; empty if nothing in it is known.
    pub fn row(&self, words: &Words) -> Row {
        self.row_of(words.sentences())
    }

    /// The row of one clause.
    pub fn clause(&self, clause: &[String]) -> Row {
        self.row_of(std::iter::once(clause))
    }

    fn row_of<'a>(&self, pieces: impl Iterator<Item = &'a [String]>) -> Row {
        let mut columns = Vec::new();
        for_each(pieces, |gram| columns.extend(self.grams.binary_search(&gram)));
        columns.sort_unstable();
        let mut row: Row = Vec::with_capacity(columns.len());
        for group in columns.chunk_by(|a, b| a == b) {
            let frequency = 1.0 + (group.len() as f32).ln();
            row.push((group[0] as u32, frequency * self.rarity[group[0]]));
        }
        let length = row.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, value)| *value /= length);
        row
    }
}

/// Calls `each` with the hash of every word and of every pair of neighbours within a piece.
fn for_each<'a>(pieces: impl Iterator<Item = &'a [String]>, mut each: impl FnMut(u64)) {
    for piece in pieces {
        let mut before = None;
        for word in piece {
            let own = hash(FNV_OFFSET, word);
            each(own);
            if let Some(before) = before {
                each(hash(hash(before, " "), word));
            }
            before = Some(own);
        }
    }
}

/// The hash of the n-gram of these words.
pub(crate) fn hash_words<'a>(words: impl Iterator<Item = &'a str>) -> u64 {
    let join = |so_far: Option<u64>, word| {
        Some(so_far.map_or(FNV_OFFSET, |start| hash(start, " "))).map(|start| hash(start, word))
    };
    words.fold(None, join).unwrap_or(FNV_OFFSET)
}

/// FNV-1a, continued from `start`.
fn hash(start: u64, text: &str) -> u64 {
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_row() {
        let texts = ["good sound", "good sound", "good price"].map(Words::of);
        let vocabulary = Vocabulary::of(&texts);
        // "price" and "good price" are in one text only.
        assert_eq!(vocabulary.len(), 3);
        let row = vocabulary.row(&texts[2]);
        assert_eq!(row.len(), 1);
        assert!((row[0].1 - 1.0).abs() < 1e-6);
        // ln(4/4) + 1 for "good", ln(4/3) + 1 for the other two.
        let mut values: Vec<f32> = vocabulary.row(&texts[0]).iter().map(|(_, value)| *value).collect();
        values.sort_unstable_by(f32::total_cmp);
        let rare = 1.0 + (4.0_f32 / 3.0).ln();
        let length = (1.0 + 2.0 * rare * rare).sqrt();
        assert!((values[0] - 1.0 / length).abs() < 1e-5 && (values[1] - rare / length).abs() < 1e-5, "{values:?}");
    }

    #[test]
    fn pairs_do_not_cross_sentences_and_unknown_words_give_nothing() {
        let texts = ["loud. cheap", "loud. cheap"].map(Words::of);
        let vocabulary = Vocabulary::of(&texts);
        assert_eq!(vocabulary.len(), 2);
        assert!(vocabulary.row(&Words::of("quiet")).is_empty());
    }
}
