//! Texts of several writing systems: an encoder of many languages puts each of them into a corner of its own, so that a text resembles every
//! text of its language more than the same thing said in another. Taking off the mean of each language takes that away (Libovický, Rosa
//! and Fraser 2020); the writing system stands in for the language here.
//!
//! The mean of a system with few texts is drawn towards the mean of all, as if that had been seen once more.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::vectors::is_known;

/// Writing systems that are told apart, as ranges of characters; everything else is one more.
const SCRIPTS: [&[(char, char)]; 8] = [
    &[('\u{3040}', '\u{30ff}'), ('\u{3400}', '\u{9fff}'), ('\u{f900}', '\u{faff}')],
    &[('\u{1100}', '\u{11ff}'), ('\u{ac00}', '\u{d7af}')],
    &[('\u{400}', '\u{52f}')],
    &[('\u{370}', '\u{3ff}')],
    &[('\u{590}', '\u{5ff}')],
    &[('\u{600}', '\u{6ff}')],
    &[('\u{900}', '\u{97f}')],
    &[('\u{e00}', '\u{e7f}')],
];

/// The number of the writing system that most letters of a text belong to.
fn script(text: &str) -> usize {
    let mut counts = [0_usize; SCRIPTS.len() + 1];
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        let has = |ranges: &&[(char, char)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter));
        counts[SCRIPTS.iter().position(has).unwrap_or(SCRIPTS.len())] += 1;
    }
    // Without any letter it is the last, the most common one.
    (0..counts.len()).rev().max_by_key(|&script| (counts[script], script)).unwrap_or(SCRIPTS.len())
}

/// The mean of the vectors of each writing system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    dims: usize,
    /// One row a system.
    rows: Vec<f32>,
}

impl Means {
    /// Of rows of `dims` numbers with their texts; missing texts count as of the last system, rows of zeros don't count.
    pub(super) fn of<'a>(rows: &[f32], dims: usize, text: impl Fn(usize) -> &'a str) -> Self {
        let systems = SCRIPTS.len() + 1;
        let (mut sums, mut counts) = (vec![0.0_f64; systems * dims], vec![0.0_f64; systems]);
        for (at, row) in rows.chunks_exact(dims.max(1)).enumerate().filter(|(_, row)| is_known(row)) {
            let system = script(text(at));
            counts[system] += 1.0;
            sums[system * dims..][..dims].iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let known = counts.iter().sum::<f64>().max(1.0);
        let overall: Vec<f64> = (0..dims).map(|at| sums.iter().skip(at).step_by(dims).sum::<f64>() / known).collect();
        let mean = |at: usize| (sums[at] + overall[at % dims]) / (counts[at / dims] + 1.0);
        Self { dims, rows: (0..systems * dims).map(|at| mean(at) as f32).collect() }
    }

    /// Takes the mean of its system off each row; a row of zeros stays one.
    pub(super) fn take_off<'a>(&self, rows: &[f32], text: impl Fn(usize) -> &'a str + Sync) -> Vec<f32> {
        let mut centred = rows.to_vec();
        centred.par_chunks_exact_mut(self.dims.max(1)).enumerate().filter(|(_, row)| is_known(row)).for_each(
            |(at, row)| {
                let mean = &self.rows[script(text(at)) * self.dims..][..self.dims];
                row.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
            },
        );
        centred
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_letters_decide() {
        assert_eq!(script("不锈钢 knife 菜刀厨房"), script("吉他"));
        assert_ne!(script("吉他"), script("guitar"));
        assert_eq!(script("88, 20!"), script("piano"));
        assert_ne!(script("рояль"), script("piano"));
    }

    #[test]
    fn the_same_thing_in_two_languages_comes_together() {
        // The first number tells the language, the others the thing.
        let rows = [5.0, 1.0, 0.0, 5.0, 0.0, 1.0, 5.0, 0.0, 0.0, -5.0, 1.0, 0.0, -5.0, 0.0, 1.0, -5.0, 0.0, 0.0];
        let texts = ["lamp", "chair", "carpet", "灯", "椅子", "地毯"];
        let means = Means::of(&rows, 3, |at| texts[at]);
        let centred = means.take_off(&rows, |at| texts[at]);
        // Means of ±5·3/4 are left of the languages: a quarter of the way is the share of what all have in common.
        for (english, chinese) in centred[..9].chunks(3).zip(centred[9..].chunks(3)) {
            assert!((english[0] - 1.25).abs() < 1e-6 && (chinese[0] + 1.25).abs() < 1e-6);
            assert!(english[1..].iter().zip(&chinese[1..]).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        assert_eq!(means.take_off(&[0.0; 3], |_| "灯"), [0.0; 3]);
    }
}
