//! Measuring how well polarity is told: learn from the older texts, score the newer ones, from words, from an encoder's vectors, or both.

use crate::{
    ngrams::{Row, Vocabulary},
    polarity::Scorer,
    text::Words,
};

/// Rows of numbers, one per text, `dims` each.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// All numbers.
    pub rows: &'a [f32],
    /// Numbers in a row.
    pub dims: usize,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Log-odds of the newer texts.
    pub scores: Vec<f64>,
    /// Their calibrated probabilities of being positive.
    pub probabilities: Vec<f64>,
    /// The chosen strength, 1/λ.
    pub strength: f64,
    /// Numbers that a text may have.
    pub columns: usize,
}

/// Learns from the first `cut` texts, which are in order of time, and scores the others. `words`: whether n-grams are looked at;
/// `vectors`: one row per text. None if there is too little to learn from.
pub fn run(texts: &[Words], outcomes: &[bool], cut: usize, words: bool, vectors: Option<Vectors<'_>>) -> Option<Trial> {
    let vocabulary = if words { Vocabulary::of(&texts[..cut]) } else { Vocabulary::default() };
    let offset = vocabulary.len() as u32;
    let row = |(at, text): (usize, &Words)| -> Row {
        let dense = vectors.map_or(&[][..], |vectors| &vectors.rows[at * vectors.dims..(at + 1) * vectors.dims]);
        vocabulary.row(text).into_iter().chain((offset..).zip(dense.iter().copied())).collect()
    };
    let rows: Vec<Row> = texts.iter().enumerate().map(row).collect();
    let columns = vocabulary.len() + vectors.map_or(0, |vectors| vectors.dims);
    let scorer = Scorer::fit(&rows[..cut], columns, &outcomes[..cut])?;
    let scores: Vec<f32> = rows[cut..].iter().map(|row| scorer.score(row)).collect();
    Some(Trial {
        probabilities: scores.iter().map(|&score| scorer.probability(score)).collect(),
        scores: scores.into_iter().map(f64::from).collect(),
        strength: scorer.strength(),
        columns,
    })
}
