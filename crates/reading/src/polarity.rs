//! Whether a text speaks for or against what it is about: logistic regression on n-grams, learned from texts with known outcome.
//!
//! The two outcomes weigh the same, however many texts have each. How strongly weights are held back is chosen by the area under the ROC
//! curve on the newest fifth, and there a second regression (Platt 1999) turns scores into probabilities under the true mixture; then
//! the weights are fitted again on everything.

use serde::{Deserialize, Serialize};
use zhiyin_evaluation::classification::auc;

use crate::{
    logistic::{self, Fit, Rows, sigmoid},
    ngrams::{Row, Vocabulary},
    text::Words,
};

/// Strengths (1/λ) that are tried; the weakest of equally good ones is taken.
const STRENGTHS: [f64; 4] = [1.0, 3.0, 10.0, 30.0];
/// Share of the texts, the newest, on which it is chosen.
const VALIDATION_SHARE: f64 = 0.2;
/// Texts of each outcome without which nothing is learned.
pub const TEXTS_MIN: usize = 20;
/// λ of the regression that calibrates: only to keep it finite.
const CALIBRATION_LAMBDA: f64 = 1e-3;

/// A regression with what turns its scores into probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scorer {
    weights: Vec<f32>,
    constant: f32,
    slope: f32,
    offset: f32,
    strength: f64,
}

impl Scorer {
    /// Learns from rows in order of time. None if an outcome has fewer than [`TEXTS_MIN`] rows, or none in the part that it would be
    /// learned from or chosen on.
    pub fn fit(rows: &[Row], columns: usize, outcomes: &[bool]) -> Option<Self> {
        let cut = rows.len() - (rows.len() as f64 * VALIDATION_SHARE) as usize;
        let count = |part: &[bool], outcome| part.iter().filter(|own| **own == outcome).count();
        let is_enough = |outcome| {
            count(outcomes, outcome) >= TEXTS_MIN
                && count(&outcomes[..cut], outcome) > 0
                && count(&outcomes[cut..], outcome) > 0
        };
        if !(is_enough(true) && is_enough(false)) {
            return None;
        }
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for strength in STRENGTHS {
            let fit = balanced(&rows[..cut], columns, &outcomes[..cut], strength);
            let scores: Vec<f64> =
                rows[cut..].iter().map(|row| f64::from(score(&fit.weights, fit.constant, row))).collect();
            let quality = auc(&scores, &outcomes[cut..]);
            if best.as_ref().is_none_or(|(known, ..)| quality > *known) {
                best = Some((quality, strength, scores));
            }
        }
        let (_, strength, scores) = best?;
        let (slope, offset) = calibrate(&scores, &outcomes[cut..]);
        let fit = balanced(rows, columns, outcomes, strength);
        Some(Self { weights: fit.weights, constant: fit.constant, slope, offset, strength })
    }

    /// The log-odds if both outcomes were equally frequent.
    pub fn score(&self, row: &Row) -> f32 {
        score(&self.weights, self.constant, row)
    }

    /// The probability that a text with this score is positive, under the mixture of the texts that it was learned from.
    pub fn probability(&self, score: f32) -> f64 {
        sigmoid(f64::from(self.slope * score + self.offset))
    }

    /// The chosen strength, 1/λ.
    pub fn strength(&self) -> f64 {
        self.strength
    }
}

fn score(weights: &[f32], constant: f32, row: &Row) -> f32 {
    constant + row.iter().map(|&(column, value)| weights[column as usize] * value).sum::<f32>()
}

/// Fits with weights under which both outcomes have half of the sum.
fn balanced(rows: &[Row], columns: usize, outcomes: &[bool], strength: f64) -> Fit {
    let positive = outcomes.iter().filter(|outcome| **outcome).count() as f32;
    let n = outcomes.len() as f32;
    let weight = |outcome: &bool| n / (2.0 * if *outcome { positive } else { n - positive });
    let mut matrix = Rows::default();
    rows.iter().for_each(|row| matrix.push(row.iter().copied()));
    let weights: Vec<f32> = outcomes.iter().map(weight).collect();
    logistic::fit(&matrix, columns, &numbers(outcomes), &weights, 1.0 / strength)
}

/// Slope and offset of the log-odds on the score.
fn calibrate(scores: &[f64], outcomes: &[bool]) -> (f32, f32) {
    let mut matrix = Rows::default();
    scores.iter().for_each(|&score| matrix.push([(0, score as f32)]));
    let fit = logistic::fit(&matrix, 1, &numbers(outcomes), &vec![1.0; outcomes.len()], CALIBRATION_LAMBDA);
    (fit.weights[0], fit.constant)
}

fn numbers(outcomes: &[bool]) -> Vec<f32> {
    outcomes.iter().map(|outcome| f32::from(u8::from(*outcome))).collect()
}

/// A scorer with its vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Polarity {
    vocabulary: Vocabulary,
    scorer: Scorer,
}

impl Polarity {
    /// Learns from texts in order of time; none if there are too few, as [`Scorer::fit`].
    pub fn fit(texts: &[&Words], outcomes: &[bool]) -> Option<Self> {
        let vocabulary = Vocabulary::of(texts.iter().copied());
        let rows: Vec<Row> = texts.iter().map(|words| vocabulary.row(words)).collect();
        let scorer = Scorer::fit(&rows, vocabulary.len(), outcomes)?;
        Some(Self { vocabulary, scorer })
    }

    /// The log-odds of a whole text if both outcomes were equally frequent; none if nothing in it is known.
    pub fn score(&self, words: &Words) -> Option<f32> {
        let row = self.vocabulary.row(words);
        (!row.is_empty()).then(|| self.scorer.score(&row))
    }

    /// The same of one clause.
    pub fn clause(&self, clause: &[String]) -> Option<f32> {
        let row = self.vocabulary.clause(clause);
        (!row.is_empty()).then(|| self.scorer.score(&row))
    }

    /// See [`Scorer::probability`].
    pub fn probability(&self, score: f32) -> f64 {
        self.scorer.probability(score)
    }

    /// See [`Scorer::strength`].
    pub fn strength(&self) -> f64 {
        self.scorer.strength()
    }

    /// N-grams that it knows.
    pub fn columns(&self) -> usize {
        self.vocabulary.len()
    }
}
