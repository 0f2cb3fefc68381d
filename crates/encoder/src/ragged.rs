//! Token sequences of several texts one after the other, without padding.

use std::ops::Range;

/// Tokens of several texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ragged {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// Text `i` is `tokens[offsets[i]..offsets[i + 1]]`. Length: texts + 1.
    pub offsets: Vec<usize>,
}

impl Ragged {
    /// The sequences one after the other.
    pub fn of(sequences: &[Vec<u32>]) -> Self {
        let mut ragged = Self { tokens: Vec::new(), offsets: vec![0] };
        for sequence in sequences {
            ragged.tokens.extend_from_slice(sequence);
            ragged.offsets.push(ragged.tokens.len());
        }
        ragged
    }

    /// Places of the tokens of each text.
    pub fn texts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }
}

/// Cuts sequences into runs of at most `tokens_max` tokens (or one longer sequence) of about the same size, at least `runs_min` if there
/// are as many sequences.
pub fn runs(lengths: &[usize], tokens_max: usize, runs_min: usize) -> Vec<Range<usize>> {
    let total: usize = lengths.iter().sum();
    let count = total.div_ceil(tokens_max.max(1)).max(runs_min).max(1);
    let target = total.div_ceil(count);
    let mut runs = Vec::new();
    let (mut from, mut tokens) = (0, 0);
    for (at, length) in lengths.iter().enumerate() {
        if at > from && tokens + length > target {
            runs.push(from..at);
            (from, tokens) = (at, 0);
        }
        tokens += length;
    }
    if from < lengths.len() {
        runs.push(from..lengths.len());
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_everything_once_within_the_limit() {
        let lengths = [5, 9, 2, 30, 1, 1, 1, 8];
        let runs = runs(&lengths, 12, 1);
        assert_eq!(runs.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        for run in runs {
            assert!(lengths[run.clone()].iter().sum::<usize>() <= 12 || run.len() == 1, "{run:?}");
        }
    }

    #[test]
    fn few_tokens_are_spread_over_the_cores() {
        assert_eq!(runs(&[5, 5, 5, 5], 1000, 2), [0..2, 2..4]);
        assert_eq!(runs(&[5], 1000, 2).len(), 1);
        assert!(runs(&[], 1000, 2).is_empty());
    }
}
