//! The linear fusion: one score from the scores of several sources.
//!
//! score(j) = Σ_s w_s · s(j)/σ_s, with σ_s the standard deviation of source s over the catalogue for this query, the items that a
//! sparse source doesn't mention counting as 0. This is the weighted sum of z-scores (s − μ)/σ less what it gives to an item that
//! no source knows of, a constant: the order is the same, sparse sources stay sparse, and the parts of a score,
//! [`Fusion::contribution`], are 0 where a source has nothing to say. The weights come from [`FusionTrainer`], fitted on what actors
//! did next. It combines what sources say and cannot find an item that none of them mentions.
//!
//! Items that nobody has met score in few sources, so they lose against every item that behaviour speaks for, and weights that are learned
//! from mostly warm targets don't change that. [`ColdWeight`] gives them a greater weight in the source that finds them.
//!
//! Tried and left out: ln(1 + |z|) in place of z (Amazon Beauty, five sources with equal weights: NDCG@10 .0576 against .0594).

mod logistic;
mod training;

use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

use crate::{Scores, kernels};
pub use training::{Fitted, FusionTrainer, Sample, Training};

/// How one source is standardised for one query.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standard {
    /// 1/σ; 0 for a source that gave all items the same score, or one that isn't a finite number.
    pub scale: f32,
}

impl Standard {
    /// The statistics of a source's scores.
    pub fn measure(scores: &Scores) -> Self {
        let (sum, squares) = if scores.is_dense() {
            sums(scores.values())
        } else {
            let values = scores.touched().iter().map(|&item| f64::from(scores.get(item)));
            values.fold((0.0, 0.0), |(sum, squares), value| (sum + value, squares + value * value))
        };
        let count = scores.n_items().max(1) as f64;
        let (mean, square_mean) = (sum / count, squares / count);
        let variance = square_mean - mean * mean;
        // Less than that is rounding: the scores are all the same.
        let tells_apart = variance.is_finite() && variance > 1e-6 * square_mean;
        Self { scale: if tells_apart { variance.sqrt().recip() as f32 } else { 0.0 } }
    }

    /// The standard value of a score: in units of the deviation, 0 for an item that the source doesn't know.
    pub fn of(&self, score: f32) -> f32 {
        score * self.scale
    }
}

/// Sum and sum of squares, in single precision within blocks and in double precision across them.
fn sums(values: &[f32]) -> (f64, f64) {
    let blocks = values.chunks(4096).map(kernels::sum_and_sum_of_squares);
    blocks.fold((0.0, 0.0), |(sum, squares), block| (sum + f64::from(block.0), squares + f64::from(block.1)))
}

/// What items that nobody has met get on top: see the module.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdWeight {
    /// Place of the source that finds them.
    pub source: usize,
    /// By how much it counts more for them.
    pub weight: f32,
}

/// Tells which items nobody has met.
pub type IsCold<'a> = &'a (dyn Fn(ItemIx) -> bool + Sync);

/// Weighted sum of standardised sources: see the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fusion {
    /// Names of the sources; every list of scores is in this order.
    pub sources: Vec<String>,
    /// Weight of each; 0 for one that isn't asked.
    pub weights: Vec<f32>,
    /// What items that nobody has met get on top.
    #[serde(default)]
    pub cold: Option<ColdWeight>,
}

impl Fusion {
    /// A fusion of these sources.
    pub fn new(sources: Vec<String>, weights: Vec<f32>) -> Self {
        Self { sources, weights, cold: None }
    }

    /// The same weight for every source.
    pub fn uniform(sources: Vec<String>) -> Self {
        let weight = 1.0 / sources.len().max(1) as f32;
        Self::new(sources.clone(), vec![weight; sources.len()])
    }

    /// Whether a source has any weight; the scores of one without needn't be computed.
    pub fn is_used(&self, source: usize) -> bool {
        self.weights.get(source).is_some_and(|&weight| weight != 0.0) || self.cold_weight(source) != 0.0
    }

    /// The weight that a source has for an item.
    pub fn weight(&self, source: usize, is_cold: bool) -> f32 {
        self.weights[source] + if is_cold { self.cold_weight(source) } else { 0.0 }
    }

    fn cold_weight(&self, source: usize) -> f32 {
        self.cold.filter(|cold| cold.source == source).map_or(0.0, |cold| cold.weight)
    }

    /// Standardises and sums. `scores` has one entry per source; `standard` receives how each was standardised; `fused` was reset to
    /// the size of the catalogue and receives the sums.
    pub fn combine(&self, scores: &[Scores], standard: &mut Vec<Standard>, fused: &mut Scores) {
        standard.clear();
        let measure =
            |(source, scores)| if self.is_used(source) { Standard::measure(scores) } else { Standard::default() };
        standard.extend(scores.iter().enumerate().map(measure));
        let used =
            || scores.iter().zip(&self.weights).zip(&*standard).filter(|((_, weight), s)| **weight * s.scale != 0.0);
        let mentions: usize = used().map(|((scores, _), _)| scores.touched().len()).sum();
        if mentions * 2 > fused.n_items() || used().any(|((scores, _), _)| scores.is_dense()) {
            let sums = fused.dense_mut();
            used().for_each(|((scores, &weight), standard)| add_to_all(sums, scores, weight, standard));
        } else {
            for ((scores, &weight), standard) in used() {
                scores.touched().iter().for_each(|&item| fused.add(item, weight * standard.of(scores.get(item))));
            }
        }
    }

    /// Adds what cold items get on top to sums that [`Fusion::combine`] made.
    pub fn raise_cold(&self, scores: &[Scores], standard: &[Standard], is_cold: IsCold<'_>, fused: &mut Scores) {
        let Some(ColdWeight { source, weight }) = self.cold else { return };
        let (found, standard) = (&scores[source], &standard[source]);
        let mut raise = |item: ItemIx, score: f32| {
            if score != 0.0 && is_cold(item) {
                fused.add(item, weight * standard.of(score));
            }
        };
        if found.is_dense() {
            (0..).zip(found.values()).for_each(|(item, score)| raise(item, *score));
        } else {
            found.touched().iter().for_each(|&item| raise(item, found.get(item)));
        }
    }

    /// What one source adds to an item's fused score; over all sources these sum to it, up to rounding.
    pub fn contribution(
        &self,
        scores: &[Scores],
        standard: &[Standard],
        source: usize,
        item: ItemIx,
        is_cold: bool,
    ) -> f32 {
        self.weight(source, is_cold) * standard[source].of(scores[source].get(item))
    }
}

fn add_to_all(sums: &mut [f32], scores: &Scores, weight: f32, standard: &Standard) {
    let factor = weight * standard.scale;
    if scores.is_dense() {
        let length = sums.len().min(scores.n_items());
        kernels::axpy(factor, &scores.values()[..length], &mut sums[..length]);
    } else {
        scores.touched().iter().for_each(|&item| sums[item as usize] += factor * scores.get(item));
    }
}

#[cfg(test)]
mod tests;
