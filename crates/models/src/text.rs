//! Scores by the meaning of item texts: a sharpened nearest-neighbour vote over an encoder's vectors.
//!
//! score(j) = Σ over the history of e^(−age/δ) · (max(s(i, j), 0)^p + t(i, j)), where age counts the later events. The likeness s is (1 − β)
//! times the cosine of partially whitened vectors (see [`crate::whitening`]; the mean of each writing system is taken off before), plus β
//! times the cosine of word vectors (see [`crate::content`]): an encoder knows meaning, words know brands and model names. The power
//! sharpens: one near match beats many weak ones. The transitions t are those of the file `cold`, for items that have no event yet; they need
//! the events of other items only. Such items are ordered among themselves by these scores; how they stand against others is another question,
//! so their sums are multiplied by a factor of their own, [`Params::lift`].
//!
//! Each item keeps its nearest [`Params::neighbours`]; likenesses beyond these count as 0. Fitting compares all pairs: 2·n²·k operations,
//! about 2 seconds for 12,000 items on two cores. A list entry takes 8 bytes.

mod cold;
mod pairs;
mod scripts;
mod update;

use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, ItemFacts, ItemVectors, Model, Query, Scores, linalg, vectors::is_known,
    whitening::Whitening,
};
use cold::Transitions;
use pairs::{Pairs, keep_best};
use scripts::Means;
pub use update::{Change, Update, Words};

/// Ages whose weight falls below this add nothing that could change a list.
const WEIGHT_MIN: f32 = 1e-4;
/// Entries of all lists together, at most (1 GiB): beyond it lists become shorter.
const ENTRIES_MAX: usize = 1 << 27;
/// Items that are compared in minutes, not hours.
const ITEMS_MAX: usize = 300_000;

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
    /// How far the axes are evened out: 0 not at all, 1 fully; less if there are not many more texts than numbers in a vector.
    pub whitening: f64,
    /// Share β of the words in the likeness.
    pub words: f32,
    /// Weight of the transitions to items without events, against a likeness of 1.
    pub transitions: f32,
    /// Factor of the scores of items without events.
    pub lift: f32,
    /// Most similar items that each item keeps.
    pub neighbours: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            decay: 2.0,
            power: 3.0,
            axes: 256,
            whitening: 0.5,
            words: 0.5,
            transitions: 0.2,
            lift: 1.0,
            neighbours: 512,
        }
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
        let Self { decay, power, transitions, lift, .. } = *self;
        *self == Self { decay, power, transitions, lift, ..other.clone() }
    }
}

/// The model: see the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Text {
    params: Params,
    /// What is taken off before the whitening.
    means: Means,
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
        model.transitions = Transitions::fit(data);
        let counts = data.item_counts();
        let is_cold = |item: ItemIx| counts.get(item as usize).is_none_or(|count| *count == 0);
        model.transitions = model.transitions_to(&model.transitions, is_cold);
        Ok(model)
    }

    /// The model as it would be if nobody had met these items.
    pub fn supposing_cold(&self, is_cold: impl Fn(ItemIx) -> bool) -> Supposing<'_> {
        let transitions = self.transitions_to(&self.transitions, is_cold);
        Supposing { text: self, transitions, weight: self.params.transitions, lift: self.params.lift }
    }

    /// Takes over what leads to the items from a model that was fitted on events. `is_cold` tells which items nobody has met.
    pub fn inherit_transitions(&mut self, from: &Self, is_cold: impl Fn(ItemIx) -> bool) {
        self.transitions = self.transitions_to(&from.transitions, is_cold);
    }

    fn transitions_to(&self, learned: &Transitions, is_cold: impl Fn(ItemIx) -> bool) -> Transitions {
        let mut transitions = learned.without_cold();
        for item in (0..self.n_items() as ItemIx).filter(|item| is_cold(*item)) {
            transitions.add(item, self.neighbours(item).filter(|(other, _)| !is_cold(*other)));
        }
        transitions
    }

    /// A model that knows no item.
    pub fn empty(params: &Params) -> Self {
        Self {
            params: params.clone(),
            means: Means::default(),
            whitening: Whitening::default(),
            vectors: Vec::new(),
            width: 0,
            items: Vec::new(),
            cosines: Vec::new(),
            transitions: Transitions::default(),
        }
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
        if vectors.len() > ITEMS_MAX {
            return Err(FitError::CatalogueTooLarge { model: "text", items: vectors.len(), items_max: ITEMS_MAX });
        }
        // The principal axes of few texts are the texts themselves: evening them out would make all of them equally unlike.
        let known = vectors.rows().chunks_exact(vectors.dims()).filter(|row| is_known(row)).count() as f64;
        let power = params.whitening * known / (known + vectors.dims() as f64);
        let text = |at: usize| facts.get(at).map_or("", |facts| facts.text.as_str());
        let means = Means::of(vectors.rows(), vectors.dims(), text);
        let centred = means.take_off(vectors.rows(), text);
        let whitening = Whitening::fit(&centred, vectors.dims(), params.axes, power)
            .ok_or_else(|| little("no two items with different texts"))?;
        let vectors = whitening.apply(&centred);
        let n_items = vectors.len() / whitening.dims();
        // Room for as many items again, which may come before the next fit.
        let width = params.neighbours.min(2 * n_items).min(ENTRIES_MAX / n_items.max(1));
        let words = Words::new(facts, params);
        let pairs = Pairs { vectors: &vectors, dims: whitening.dims(), words: &words.0, share: params.words };
        let (items, cosines) = pairs.lists(width);
        Ok(Self {
            params: params.clone(),
            means,
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

    /// The hyper-parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Numbers in a vector of the encoder; 0 for a model that knows no item.
    pub fn dims_in(&self) -> usize {
        self.whitening.dims_in()
    }

    /// Numbers in a whitened vector; 0 for a model that knows no item.
    pub fn dims(&self) -> usize {
        self.whitening.dims()
    }

    /// The whitened unit vector of an item, if it has a text.
    pub fn vector(&self, item: ItemIx) -> Option<&[f32]> {
        let from = item as usize * self.dims();
        self.vectors.get(from..from + self.dims()).filter(|row| is_known(row))
    }

    /// Items that have a row, with or without text.
    pub fn n_items(&self) -> usize {
        self.vectors.len().checked_div(self.dims()).unwrap_or(0)
    }

    /// The most similar items with their likenesses, best first.
    pub fn neighbours(&self, item: ItemIx) -> impl Iterator<Item = (ItemIx, f32)> + '_ {
        let from = item as usize * self.width;
        let items = self.items.get(from..from + self.width).unwrap_or_default();
        let cosines = self.cosines.get(from..from + self.width).unwrap_or_default();
        items.iter().copied().zip(cosines.iter().copied()).take_while(|(_, cosine)| *cosine > 0.0)
    }

    /// The items nearest to a text with this vector of the encoder, with their cosines, best first, ties by item. Looks at every item.
    pub fn nearest(&self, text: &str, vector: &[f32], count: usize) -> Vec<(ItemIx, f32)> {
        if self.dims() == 0 {
            return Vec::new();
        }
        let whitened = self.whitening.apply(&self.means.take_off(vector, |_| text));
        let mut row = vec![0.0; self.n_items()];
        linalg::multiply_transposed(&whitened, &self.vectors, self.dims(), &mut row);
        let mut found: Vec<(ItemIx, f32)> = (0..).zip(row).filter(|(_, cosine)| *cosine > 0.0).collect();
        keep_best(&mut found, count);
        found
    }

    fn score_with(&self, cold: &ColdTerms<'_>, query: &Query<'_>, scores: &mut Scores) {
        for (item, weight) in self.weighted(query.history) {
            for (other, cosine) in self.neighbours(item) {
                scores.add(other, weight * sharpen(cosine, self.params.power));
            }
            for (other, transition) in cold.transitions.from(item) {
                scores.add(other, weight * cold.weight * transition);
            }
        }
        if cold.lift != 1.0 {
            scores.scale(|item| cold.factor(item));
        }
    }

    fn explain_with(&self, cold: &ColdTerms<'_>, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let causes = self.weighted(query.history).filter_map(|(cause, weight)| {
            let likeness = self.neighbours(cause).find(|(other, _)| *other == item).map_or(0.0, |(_, cosine)| cosine);
            let transition =
                cold.transitions.from(cause).find(|(other, _)| *other == item).map_or(0.0, |found| found.1);
            let sum = sharpen(likeness, self.params.power) + cold.weight * transition;
            let amount = weight * sum * cold.factor(item);
            (amount > 0.0).then_some(Contribution { cause: Cause::History(cause), amount })
        });
        causes.collect()
    }

    fn cold_terms(&self) -> ColdTerms<'_> {
        let Params { transitions, lift, .. } = self.params;
        ColdTerms { transitions: &self.transitions, weight: transitions, lift }
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
        self.score_with(&self.cold_terms(), query, scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.explain_with(&self.cold_terms(), query, item)
    }

    fn bytes(&self) -> usize {
        let numbers = self.vectors.len() + self.items.len() + self.cosines.len();
        numbers * size_of::<f32>() + self.means.bytes() + self.whitening.bytes() + self.transitions.bytes()
    }
}

/// What only items without events get.
struct ColdTerms<'a> {
    transitions: &'a Transitions,
    /// Weight of the transitions.
    weight: f32,
    /// Factor of the sum.
    lift: f32,
}

impl ColdTerms<'_> {
    fn factor(&self, item: ItemIx) -> f32 {
        if self.transitions.is_cold(item) { self.lift } else { 1.0 }
    }
}

/// A model under the supposition that nobody has met some items: see [`Text::supposing_cold`].
pub struct Supposing<'a> {
    text: &'a Text,
    transitions: Transitions,
    /// Weight of the transitions, as [`Params::transitions`].
    pub weight: f32,
    /// As [`Params::lift`].
    pub lift: f32,
}

impl Supposing<'_> {
    fn cold_terms(&self) -> ColdTerms<'_> {
        ColdTerms { transitions: &self.transitions, weight: self.weight, lift: self.lift }
    }
}

impl Model for Supposing<'_> {
    fn name(&self) -> &'static str {
        self.text.name()
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        self.text.score_with(&self.cold_terms(), query, scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.text.explain_with(&self.cold_terms(), query, item)
    }

    fn bytes(&self) -> usize {
        self.transitions.bytes()
    }
}

#[allow(clippy::float_cmp, reason = "the common powers are whole numbers, which need no logarithm")]
fn sharpen(cosine: f32, power: f32) -> f32 {
    if power == power.trunc() { cosine.powi(power as i32) } else { cosine.powf(power) }
}

#[cfg(test)]
mod tests;
