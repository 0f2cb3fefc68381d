//! Fitting the fusion's weights on what actors did next.
//!
//! Every validation query gives a [`Sample`]: the target, its strongest rivals (the best of each source) and some random items.
//! Weights start at the maximum of a conditional logit, which is convex, then a coordinate search raises NDCG@10 itself where that
//! gains clearly, and sources whose removal costs nothing are dropped.
//!
//! How much the random items count decides what the logit is good at. As the whole rest of the catalogue it spends its weights on
//! separating the bulk (popularity gets 40 %); as single items it hardly sees the bulk at all. Amazon Beauty, five plain sources and
//! a noise one, weights from the last but one items, NDCG@10 of the last items of half of the users: .0567 for power 1, .0657 for ½,
//! .0653 for 0 (with six times as many random items), .0594 for equal weights. The power was chosen by these very figures, so they
//! flatter it, and ½ and 0 don't differ by more than chance; 1 is clearly worse.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use zhiyin_core::ItemIx;

use super::{
    Fusion, Standard,
    logistic::{self, Block},
};
use crate::Scores;

/// Depth of the measure that training maximises.
const DEPTH: f32 = 10.0;
/// A weight is changed if the gain is more than so many standard errors of the paired difference. With a fixed bar of .5 % the search
/// followed chance: on the data of the module's figures NDCG@10 of the last items fell from .0657 to .0632.
const GAIN_ERRORS: f64 = 2.0;
/// A loss of at most so many standard errors of the paired difference counts as chance …
const CHANCE_ERRORS: f64 = 1.0;
/// … as long as at least this share of NDCG@10 stays.
const CHANCE_KEPT: f64 = 0.99;
/// Factors by which the search tries to change a weight.
const FACTORS: [f32; 6] = [0.5, 0.75, 0.9, 1.1, 1.33, 2.0];

/// How the fusion is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Best items of each source that become rivals of the target.
    pub rivals_per_source: usize,
    /// Random items that become rivals.
    pub random_rivals: usize,
    /// Power of the number of items for which each random rival counts: 0 as one, 1 as all that it stands for.
    pub random_share: f32,
    /// Samples that are kept; more are passed over.
    pub samples_max: usize,
    /// Penalty on the squared weights.
    pub ridge: f64,
    /// Sources are dropped as long as NDCG@10 stays at least this share of what all of them reach.
    pub kept_without: f64,
    /// Passes of the search over all sources; 0 leaves the weights of the conditional logit.
    pub passes_max: usize,
    /// Seed of the random rivals.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            rivals_per_source: 30,
            random_rivals: 50,
            random_share: 0.5,
            samples_max: 5_000,
            ridge: 1e-3,
            kept_without: 0.999,
            passes_max: 4,
            seed: 1,
        }
    }
}

/// One query: standard scores of its candidates, the target first.
#[derive(Clone, Debug)]
pub struct Sample(Block);

/// What training found.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The fusion, its weights summing to 1.
    pub fusion: Fusion,
    /// NDCG@10 of the samples among their candidates.
    pub ndcg: f64,
    /// The same for equal weights.
    pub ndcg_uniform: f64,
    /// Samples that it was fitted on.
    pub samples: usize,
}

/// Collects samples and fits a [`Fusion`].
#[derive(Clone, Debug)]
pub struct FusionTrainer {
    sources: Vec<String>,
    training: Training,
    samples: Vec<Sample>,
}

impl FusionTrainer {
    /// A trainer for sources in the order in which their scores will come.
    pub fn new(sources: Vec<String>, training: Training) -> Self {
        Self { sources, training, samples: Vec::new() }
    }

    /// Whether no more samples are kept.
    pub fn is_full(&self) -> bool {
        self.samples.len() >= self.training.samples_max
    }

    /// The sample of one query: what each source gave, which distinct items may not be recommended, and which item came next.
    /// `number` tells queries apart, for their random rivals. None if the target is excluded or outside the catalogue.
    pub fn sample(&self, per_source: &[Scores], excluded: &[ItemIx], target: ItemIx, number: u64) -> Option<Sample> {
        let n_items = per_source.first()?.n_items();
        if target as usize >= n_items || excluded.contains(&target) {
            return None;
        }
        let barred: BTreeSet<ItemIx> = excluded.iter().copied().chain([target]).collect();
        let mut rivals: BTreeSet<ItemIx> = BTreeSet::new();
        for scores in per_source {
            rivals.extend(best(scores, self.training.rivals_per_source + excluded.len()));
        }
        rivals.retain(|item| !barred.contains(item));
        let mut random = Pcg64::seed_from_u64(self.training.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let drawn = (0..self.training.random_rivals).map(|_| random.random_range(0..n_items as ItemIx));
        let drawn: Vec<ItemIx> = drawn.filter(|item| !rivals.contains(item) && !barred.contains(item)).collect();
        let others = n_items.saturating_sub(rivals.len() + barred.len());
        let candidates: Vec<ItemIx> =
            [target].into_iter().chain(rivals.iter().copied()).chain(drawn.iter().copied()).collect();
        Some(Sample(Block {
            n: candidates.len(),
            hard: candidates.len() - drawn.len(),
            offset: self.training.random_share * (others as f32 / drawn.len().max(1) as f32).max(1.0).ln(),
            rows: standard_scores(per_source, &candidates),
        }))
    }

    /// Keeps a sample, unless there are enough.
    pub fn add(&mut self, sample: Sample) {
        if !self.is_full() {
            self.samples.push(sample);
        }
    }

    /// [`FusionTrainer::sample`] and [`FusionTrainer::add`] in one.
    pub fn observe(&mut self, per_source: &[Scores], excluded: &[ItemIx], target: ItemIx) {
        if let Some(sample) = self.sample(per_source, excluded, target, self.samples.len() as u64) {
            self.add(sample);
        }
    }

    /// Fits the weights. Without samples every source weighs the same.
    pub fn fit(self) -> Fitted {
        let uniform = Fusion::uniform(self.sources);
        let blocks: Vec<Block> = self.samples.into_iter().map(|sample| sample.0).collect();
        let (samples, sources) = (blocks.len(), uniform.weights.len());
        let all: Vec<usize> = (0..sources).collect();
        let logit = logistic::fit_non_negative(&blocks, sources, &all, self.training.ridge);
        let mut search = Search::new(blocks, uniform.weights.clone());
        let ndcg_uniform = search.ndcg();
        search.start_at(logit.iter().map(|&weight| weight as f32).collect());
        search.climb(self.training.passes_max);
        let all = search.ndcg();
        while search.drop_idle(all, self.training.kept_without) {
            search.climb(self.training.passes_max);
        }
        let ndcg = search.ndcg();
        if ndcg <= ndcg_uniform {
            return Fitted { fusion: uniform, ndcg: ndcg_uniform, ndcg_uniform, samples };
        }
        let fusion = Fusion { weights: normalised(search.weights), ..uniform };
        Fitted { fusion, ndcg, ndcg_uniform, samples }
    }
}

fn normalised(weights: Vec<f32>) -> Vec<f32> {
    let sum: f32 = weights.iter().sum();
    if sum > 0.0 { weights.iter().map(|weight| weight / sum).collect() } else { weights }
}

/// Standard scores of the candidates, one row per source.
fn standard_scores(per_source: &[Scores], candidates: &[ItemIx]) -> Vec<f32> {
    let mut rows = Vec::with_capacity(per_source.len() * candidates.len());
    for source in per_source {
        let standard = Standard::measure(source);
        let score = |&item: &ItemIx| if standard.scale == 0.0 { 0.0 } else { standard.of(source.get(item)) };
        rows.extend(candidates.iter().map(score));
    }
    rows
}

/// The items with the `count` highest scores above 0 (or above nothing, for a dense source), in no particular order.
fn best(scores: &Scores, count: usize) -> Vec<ItemIx> {
    let order = |&a: &ItemIx, &b: &ItemIx| scores.get(b).total_cmp(&scores.get(a)).then(a.cmp(&b));
    let mut items =
        if scores.is_dense() { (0..scores.n_items() as ItemIx).collect() } else { scores.touched().to_vec() };
    if count < items.len() {
        items.select_nth_unstable_by(count, order);
        items.truncate(count);
    }
    items
}

/// Coordinate search on NDCG@10.
struct Search {
    blocks: Vec<Block>,
    weights: Vec<f32>,
    /// Current score of every candidate of every sample.
    fused: Vec<Vec<f32>>,
}

impl Search {
    fn new(blocks: Vec<Block>, weights: Vec<f32>) -> Self {
        let fused = blocks.par_iter().map(|block| block.fused(&weights)).collect();
        Self { blocks, weights, fused }
    }

    fn start_at(&mut self, weights: Vec<f32>) {
        self.weights = weights;
        self.update();
    }

    fn update(&mut self) {
        self.fused = self.blocks.par_iter().map(|block| block.fused(&self.weights)).collect();
    }

    fn ndcg(&self) -> f64 {
        self.ndcg_after(0, 0.0)
    }

    /// NDCG@10 if a weight changed by `change`.
    fn ndcg_after(&self, source: usize, change: f32) -> f64 {
        mean(&self.gains_after(source, change))
    }

    /// NDCG@10 of each sample if a weight changed by `change`.
    fn gains_after(&self, source: usize, change: f32) -> Vec<f64> {
        let gain = |(block, fused): (&Block, &Vec<f32>)| {
            let row = block.row(source);
            let target = fused[0] + change * row[0];
            let scores = fused[1..].iter().zip(&row[1..]).map(|(sum, x)| sum + change * x);
            let (mut above, mut level) = (0_u32, 0_u32);
            for score in scores {
                above += u32::from(score > target);
                level += u32::from(score == target);
            }
            let rank = 1.0 + above as f32 + 0.5 * level as f32;
            if rank <= DEPTH { f64::from(1.0 / (rank + 1.0).log2()) } else { 0.0 }
        };
        self.blocks.par_iter().zip(&self.fused).with_min_len(64).map(gain).collect()
    }

    fn change(&mut self, source: usize, change: f32) {
        self.weights[source] += change;
        self.update();
    }

    /// Moves one weight at a time as long as that gains something.
    fn climb(&mut self, passes_max: usize) {
        for _ in 0..passes_max {
            let moved = (0..self.weights.len()).filter(|&source| self.improve(source)).count();
            if moved == 0 {
                break;
            }
        }
    }

    /// Makes the best change of one weight, if its gain can't well be chance; whether there was one.
    fn improve(&mut self, source: usize) -> bool {
        let (weight, now) = (self.weights[source], self.gains_after(source, 0.0));
        let changes = FACTORS.map(|factor| weight * (factor - 1.0));
        let tried = changes.map(|change| (self.gains_after(source, change), change));
        let best = tried.into_iter().max_by(|a, b| mean(&a.0).total_cmp(&mean(&b.0)));
        let Some((gains, change)) = best else { return false };
        let differences = differences(&gains, &now);
        let is_gain = mean(&differences) > GAIN_ERRORS * standard_error(&differences);
        if is_gain {
            self.change(source, change);
        }
        is_gain
    }

    /// Drops the source that is missed least, if NDCG@10 stays at `kept` of `all`, what all sources reach, or the loss could well be
    /// chance.
    fn drop_idle(&mut self, all: f64, kept: f64) -> bool {
        let used: Vec<usize> = (0..self.weights.len()).filter(|&source| self.weights[source] != 0.0).collect();
        if used.len() < 2 {
            return false;
        }
        let without = used.into_iter().map(|source| (self.gains_after(source, -self.weights[source]), source));
        let Some((gains, source)) = without.max_by(|a, b| mean(&a.0).total_cmp(&mean(&b.0))) else { return false };
        let losses: Vec<f64> =
            self.gains_after(source, 0.0).iter().zip(&gains).map(|(with, without)| with - without).collect();
        let by_chance = mean(&losses) <= CHANCE_ERRORS * standard_error(&losses) && mean(&gains) >= CHANCE_KEPT * all;
        let is_idle = by_chance || mean(&gains) >= kept * all;
        if is_idle {
            self.weights[source] = 0.0;
            self.update();
        }
        is_idle
    }
}

fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Standard error of the mean.
fn standard_error(values: &[f64]) -> f64 {
    let (n, center) = (values.len().max(2) as f64, mean(values));
    (values.iter().map(|value| (value - center).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}
