//! Scores by the meaning of item texts: a sharpened nearest-neighbour vote over an encoder's vectors.
//!
//! score(j) = Σ over the history of e^(−age/δ) · (max(s(i, j), 0)^p + t(i, j)), where age counts the later events. The likeness s is (1 − β)
//! times the cosine of partially whitened vectors, see [`crate::whitening`], plus β times the cosine of word vectors, see
//! [`crate::content`]: an encoder knows meaning, words know brands and model names. The power sharpens: one near match beats many
//! weak ones. The transitions t are those of the file `cold`, for items that have no event yet; they need the events of other items only.
//!
//! Each item keeps its nearest [`Params::neighbours`]; likenesses beyond these count as 0. Fitting compares all pairs: 2·n²·k operations,
//! about 2 seconds for 12,000 items on two cores. A list entry takes 8 bytes.

mod cold;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, ItemFacts, ItemVectors, Model, Query, Scores,
    content::{self, index::Index},
    linalg,
    whitening::Whitening,
};
use cold::Transitions;

/// Ages whose weight falls below this add nothing that could change a list.
const WEIGHT_MIN: f32 = 1e-4;
/// Items whose similarities are computed at a time.
const BAND_ROWS: usize = 128;
/// Entries of all lists together, at most (1 GiB): beyond it lists become shorter.
const ENTRIES_MAX: usize = 1 << 27;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Decay δ of the history, in events.
    pub decay: f32,
    /// Power p that sharpens cosines.
    pub power: f32,
    /// Principal axes that are kept.
    pub axes: usize,
    /// How far the axes are evened out: 0 not at all, 1 fully.
    pub whitening: f64,
    /// Share β of the words in the likeness.
    pub words: f32,
    /// Weight of the transitions to items without events, against a likeness of 1.
    pub transitions: f32,
    /// Most similar items that each item keeps.
    pub neighbours: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { decay: 2.0, power: 3.0, axes: 256, whitening: 0.5, words: 0.5, transitions: 0.2, neighbours: 512 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        vec![
            [1.0, 2.0, 3.0, 5.0, 10.0, 20.0].map(|decay| Self { decay, ..self.clone() }).to_vec(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|power| Self { power, ..self.clone() }).to_vec(),
            [0.0, 0.25, 0.75].map(|words| Self { words, ..self.clone() }).to_vec(),
        ]
    }

    /// Whether both give the same vectors and lists.
    fn same_lists(&self, other: &Self) -> bool {
        *self == Self { decay: self.decay, power: self.power, transitions: self.transitions, ..other.clone() }
    }
}

/// The model: see the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Text {
    params: Params,
    whitening: Whitening,
    /// Whitened unit vectors of all items; zeros for one without text.
    vectors: Vec<f32>,
    /// Entries per list.
    width: usize,
    /// Nearest items, best first; `width` per item. A list that is shorter ends in cosines of 0.
    items: Vec<ItemIx>,
    /// Their likenesses.
    cosines: Vec<f32>,
    transitions: Transitions,
}

impl Text {
    /// Fits whitening and lists on the vectors and words of a data set's items, and the transitions on its interactions.
    ///
    /// # Errors
    /// The data set has no vectors, or all are the same.
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        let mut model = Self::of_items(&data.vectors, &data.items, params)?;
        model.transitions = Transitions::fit(data, |item| model.neighbours(item));
        Ok(model)
    }

    /// The model of some items without any interaction.
    ///
    /// # Errors
    /// As [`Text::fit`].
    pub fn of_items(vectors: &ItemVectors, facts: &[ItemFacts], params: &Params) -> Result<Self, FitError> {
        let little = |found: &str| FitError::TooLittleData {
            model: "text",
            found: found.into(),
            needed: "an encoder, such as `zhiyin llm pull minilm` gives, and items with different texts",
        };
        if vectors.is_empty() {
            return Err(little("no vectors of item texts"));
        }
        let whitening = Whitening::fit(vectors.rows(), vectors.dims(), params.axes, params.whitening)
            .ok_or_else(|| little("no two items with different texts"))?;
        let vectors = whitening.apply(vectors.rows());
        let n_items = vectors.len() / whitening.dims();
        let width = params.neighbours.min(n_items.saturating_sub(1)).min(ENTRIES_MAX / n_items.max(1));
        let words = Index::new(&content::Params::default(), if params.words > 0.0 { facts } else { &[] });
        let pairs = Pairs { vectors: &vectors, dims: whitening.dims(), words: &words, share: params.words };
        let (items, cosines) = pairs.lists(width);
        Ok(Self {
            params: params.clone(),
            whitening,
            vectors,
            width,
            items,
            cosines,
            transitions: Transitions::default(),
        })
    }

    /// Takes over hyper-parameters that only concern scoring. False, with nothing changed, if others differ.
    pub fn adopt(&mut self, params: &Params) -> bool {
        let fits = self.params.same_lists(params);
        if fits {
            self.params = params.clone();
        }
        fits
    }

    /// The map from the encoder's vectors to those that are compared.
    pub fn whitening(&self) -> &Whitening {
        &self.whitening
    }

    /// The most similar items with their likenesses, best first.
    pub fn neighbours(&self, item: ItemIx) -> impl Iterator<Item = (ItemIx, f32)> + '_ {
        let from = item as usize * self.width;
        let items = self.items.get(from..from + self.width).unwrap_or_default();
        let cosines = self.cosines.get(from..from + self.width).unwrap_or_default();
        items.iter().copied().zip(cosines.iter().copied()).take_while(|(_, cosine)| *cosine > 0.0)
    }

    /// The items nearest to a vector of the encoder, with their cosines, best first, ties by item. Looks at every item.
    pub fn nearest(&self, vector: &[f32], count: usize) -> Vec<(ItemIx, f32)> {
        let whitened = self.whitening.apply(vector);
        let mut row = vec![0.0; self.vectors.len() / self.whitening.dims()];
        linalg::multiply_transposed(&whitened, &self.vectors, self.whitening.dims(), &mut row);
        let mut found: Vec<(ItemIx, f32)> = (0..).zip(row).filter(|(_, cosine)| *cosine > 0.0).collect();
        keep_best(&mut found, count);
        found
    }

    fn weighted<'a>(&self, history: &'a [Interaction]) -> impl Iterator<Item = (ItemIx, f32)> + 'a {
        let step = (-1.0 / self.params.decay.max(1e-3)).exp();
        let ages = std::iter::successors(Some(1.0_f32), move |weight| Some(weight * step));
        history.iter().rev().map(|event| event.item).zip(ages).take_while(|(_, weight)| *weight >= WEIGHT_MIN)
    }
}

impl Model for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        for (item, weight) in self.weighted(query.history) {
            for (other, cosine) in self.neighbours(item) {
                scores.add(other, weight * sharpen(cosine, self.params.power));
            }
            for (other, transition) in self.transitions.from(item) {
                scores.add(other, weight * self.params.transitions * transition);
            }
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let causes = self.weighted(query.history).filter_map(|(cause, weight)| {
            let likeness = self.neighbours(cause).find(|(other, _)| *other == item).map_or(0.0, |(_, cosine)| cosine);
            let transition =
                self.transitions.from(cause).find(|(other, _)| *other == item).map_or(0.0, |found| found.1);
            let amount = weight * (sharpen(likeness, self.params.power) + self.params.transitions * transition);
            (amount > 0.0).then_some(Contribution { cause: Cause::History(cause), amount })
        });
        causes.collect()
    }

    fn bytes(&self) -> usize {
        let numbers = self.vectors.len() + self.items.len() + self.cosines.len();
        numbers * size_of::<f32>() + self.whitening.bytes() + self.transitions.bytes()
    }
}

#[allow(clippy::float_cmp, reason = "the common powers are whole numbers, which need no logarithm")]
fn sharpen(cosine: f32, power: f32) -> f32 {
    if power == power.trunc() { cosine.powi(power as i32) } else { cosine.powf(power) }
}

/// What the likeness of two items is made of.
struct Pairs<'a> {
    vectors: &'a [f32],
    dims: usize,
    words: &'a Index,
    /// Share of the words.
    share: f32,
}

/// Buffers of one thread.
#[derive(Default)]
struct Work {
    /// One row of likenesses for each item of a band.
    rows: Vec<f32>,
    /// Cosines of words with one item.
    words: Vec<f32>,
    touched: Vec<ItemIx>,
}

impl Pairs<'_> {
    fn n_items(&self) -> usize {
        self.vectors.len() / self.dims
    }

    /// The `width` nearest items of every item and their likenesses.
    fn lists(&self, width: usize) -> (Vec<ItemIx>, Vec<f32>) {
        let (mut items, mut likenesses) = (vec![0; self.n_items() * width], vec![0.0; self.n_items() * width]);
        if width == 0 {
            return (items, likenesses);
        }
        let bands = self.vectors.par_chunks(BAND_ROWS * self.dims).enumerate();
        let outs = items.par_chunks_mut(BAND_ROWS * width).zip(likenesses.par_chunks_mut(BAND_ROWS * width));
        bands.zip(outs).for_each_init(Work::default, |work, ((band, vectors), (items, likenesses))| {
            self.compare(band * BAND_ROWS, vectors, work);
            let lists = items.chunks_exact_mut(width).zip(likenesses.chunks_exact_mut(width));
            for ((own, row), (items, likenesses)) in
                (band * BAND_ROWS..).zip(work.rows.chunks_exact(self.n_items())).zip(lists)
            {
                fill(own, row, items, likenesses);
            }
        });
        (items, likenesses)
    }

    /// Likenesses of the items from `first` on, whose vectors are given, with all items.
    fn compare(&self, first: usize, vectors: &[f32], work: &mut Work) {
        work.rows.resize(vectors.len() / self.dims * self.n_items(), 0.0);
        linalg::multiply_transposed(vectors, self.vectors, self.dims, &mut work.rows);
        if self.share == 0.0 {
            return;
        }
        work.words.resize(self.n_items().max(self.words.n_items()), 0.0);
        for (item, row) in (first..).zip(work.rows.chunks_exact_mut(self.n_items())) {
            row.iter_mut().for_each(|likeness| *likeness = likeness.max(0.0) * (1.0 - self.share));
            let Some(document) = self.words.document(item as ItemIx) else { continue };
            self.words.cosines(document, &mut work.words, &mut work.touched);
            for other in work.touched.drain(..) {
                let cosine = std::mem::take(&mut work.words[other as usize]);
                if let Some(likeness) = row.get_mut(other as usize) {
                    *likeness += self.share * cosine;
                }
            }
        }
    }
}

/// Writes the best of a row into a list that is as long as wanted.
fn fill(own: usize, row: &[f32], items: &mut [ItemIx], likenesses: &mut [f32]) {
    let is_wanted = |(item, likeness): &(ItemIx, f32)| *likeness > 0.0 && *item as usize != own;
    let mut found: Vec<(ItemIx, f32)> = (0..).zip(row.iter().copied()).filter(is_wanted).collect();
    keep_best(&mut found, items.len());
    for (place, (item, likeness)) in found.into_iter().enumerate() {
        (items[place], likenesses[place]) = (item, likeness.min(1.0));
    }
}

/// Cuts a list down to its best entries, best first, ties by item.
fn keep_best(found: &mut Vec<(ItemIx, f32)>, count: usize) {
    let order = |a: &(ItemIx, f32), b: &(ItemIx, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < found.len() {
        found.select_nth_unstable_by(count, order);
        found.truncate(count);
    }
    found.sort_unstable_by(order);
}

#[cfg(test)]
mod tests;
