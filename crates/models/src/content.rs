//! Content-based scores: items whose text and categories resemble what the actor had lately.
//!
//! score(j) = Σ over the history of e^(−age/δ) · max(cos(i, j), 0)^p, where age counts the later events and cos is taken between
//! vectors of words (weighted by BM25 or TF-IDF) and categories. The power sharpens: one near match beats many weak ones.
//!
//! It needs no events of the scored item, so it is what finds new items. It knows words, not meaning: synonyms and other languages
//! don't match. Each item keeps its nearest [`Params::neighbours`] items; similarities beyond these count as 0. Refreshing costs the
//! sum of the squares of the terms' frequencies, half a second for 12,000 product titles; catalogues beyond some 300,000 items want
//! a dense encoder instead.

pub(crate) mod index;
mod lists;
pub mod tokens;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{Cause, Contribution, Dataset, ItemFacts, Model, Query, Scores};
use index::{Document, Index};
pub use lists::Neighbour;
use lists::{List, top};

/// Ages whose weight falls below this add nothing that could change a list.
const WEIGHT_MIN: f32 = 1e-4;

/// How the occurrences of a word become its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// idf · c(k₁ + 1)/(c + k₁(1 − b + b·length/mean length)) (Robertson and Zaragoza 2009).
    Bm25,
    /// idf · (1 + ln c).
    TfIdf,
}

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Decay δ of the history, in events.
    pub decay: f32,
    /// Power p that sharpens cosines.
    pub power: f32,
    /// Weight of a category against a word that occurs once and is as rare.
    pub category_weight: f32,
    /// How words are weighted.
    pub weighting: Weighting,
    /// Saturation of BM25.
    pub k1: f32,
    /// Correction of BM25 for the length of the text, 0 to 1.
    pub b: f32,
    /// Most similar items that each item keeps.
    pub neighbours: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            decay: 2.0,
            power: 1.5,
            category_weight: 0.7,
            weighting: Weighting::Bm25,
            k1: 1.2,
            b: 0.25,
            neighbours: 128,
        }
    }
}

impl Params {
    /// For each hyper-parameter worth tuning, this set with only that one changed.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        vec![
            [1.0, 3.0, 8.0, 20.0].map(|decay| Self { decay, ..self.clone() }).to_vec(),
            [1.0, 1.5, 2.0, 3.0, 4.0].map(|power| Self { power, ..self.clone() }).to_vec(),
            [0.0, 0.25, 0.5, 1.0].map(|category_weight| Self { category_weight, ..self.clone() }).to_vec(),
        ]
    }

    /// Whether both give the same vectors and lists.
    fn same_index(&self, other: &Self) -> bool {
        *self == Self { decay: self.decay, power: self.power, ..other.clone() }
    }
}

/// The model: see the module.
///
/// Counts are exact after every [`Content::upsert`] and [`Content::remove`]. Inverse document frequencies are those of the last
/// [`Content::refresh`]; lists are always exactly what these frequencies give. Refreshing makes the whole state equal to a fit
/// from scratch on the same facts. The index refreshes itself whenever the catalogue has doubled since the last time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    index: Index,
    lists: Vec<List>,
    known_at_refresh: u32,
}

/// Buffers of one thread, one entry per item.
#[derive(Default)]
struct Workspace {
    cosines: Vec<f32>,
    touched: Vec<ItemIx>,
    found: Vec<Neighbour>,
}

impl Content {
    /// A model that knows no item yet.
    pub fn new(params: Params) -> Self {
        Self::of_items(&[], &params)
    }

    /// The model of a data set's items; interactions don't matter.
    pub fn fit(data: &Dataset, params: &Params) -> Self {
        Self::of_items(&data.items, params)
    }

    /// The model of some items.
    pub fn of_items(items: &[ItemFacts], params: &Params) -> Self {
        let index = Index::new(params, items);
        let mut model = Self { lists: Vec::new(), known_at_refresh: 0, index };
        model.rebuild_lists();
        model
    }

    /// The parameters in force.
    pub fn params(&self) -> &Params {
        self.index.params()
    }

    /// Takes over parameters that only change how lists are used; false, and nothing changed, if a fit is needed.
    pub fn adopt(&mut self, params: &Params) -> bool {
        if !self.params().same_index(params) {
            return false;
        }
        self.index.set_params(params);
        let power = params.power;
        let neighbours = self.lists.iter_mut().flat_map(|list| list.all_mut());
        neighbours.for_each(|neighbour| neighbour.resharpen(power));
        true
    }

    /// Recomputes every weight and list from the counts: worth calling after many updates and at each training.
    pub fn refresh(&mut self) {
        self.index.refresh();
        self.rebuild_lists();
    }

    fn rebuild_lists(&mut self) {
        let index = &self.index;
        let items = 0..index.n_items() as ItemIx;
        self.lists =
            items.into_par_iter().map_init(Workspace::default, |work, item| nearest(index, item, work)).collect();
        self.known_at_refresh = index.known();
    }

    /// Learns or replaces what is known of an item; it can be scored and found at once.
    pub fn upsert(&mut self, item: ItemIx, facts: &ItemFacts) {
        self.remove(item);
        self.index.set(item, facts);
        self.lists.resize(self.index.n_items(), List::default());
        if self.index.known() > 2 * self.known_at_refresh.max(8) {
            self.refresh();
            return;
        }
        let (count, mut work) = (self.params().neighbours, Workspace::default());
        for other in similar(&self.index, item, &mut work) {
            self.lists[other.item as usize].insert(Neighbour { item, ..*other }, count);
        }
        self.lists[item as usize] = List::of(&mut work.found, count);
    }

    /// Learns many items, then refreshes once.
    pub fn upsert_all<'a>(&mut self, items: impl IntoIterator<Item = (ItemIx, &'a ItemFacts)>) {
        for (item, facts) in items {
            self.index.set(item, facts);
        }
        self.refresh();
    }

    /// Forgets what is known of an item.
    pub fn remove(&mut self, item: ItemIx) {
        if self.index.document(item).is_none_or(Document::is_empty) {
            return;
        }
        let (count, mut work) = (self.params().neighbours, Workspace::default());
        let mut short = Vec::new();
        for other in similar(&self.index, item, &mut work) {
            if self.lists[other.item as usize].remove(&Neighbour { item, ..*other }, count) {
                short.push(other.item);
            }
        }
        self.index.clear(item);
        self.lists[item as usize] = List::default();
        for other in short {
            self.lists[other as usize] = nearest(&self.index, other, &mut work);
        }
    }

    /// The most similar items, best first, ties by item.
    pub fn neighbours(&self, item: ItemIx) -> &[Neighbour] {
        self.lists.get(item as usize).map_or(&[], |list| list.best(self.params().neighbours))
    }

    /// The items that best match a text, with their cosines, best first, ties by item.
    pub fn search(&self, text: &str, count: usize) -> Vec<(ItemIx, f32)> {
        let (query, mut work) = (self.index.query(text), Workspace::default());
        gather(&self.index, &query, None, &mut work);
        top(&mut work.found, count).into_iter().map(|found| (found.item, found.cosine)).collect()
    }

    /// Unit vectors of `dims` numbers, one row per item, whose dot products approximate the cosines: signed random projections of
    /// the word vectors, the same for every run (error about 1/√dims). A row of an item of which nothing is known is 0.
    pub fn projections(&self, dims: usize) -> Vec<f32> {
        let mut rows = vec![0.0; self.index.n_items() * dims];
        for (row, item) in rows.chunks_exact_mut(dims.max(1)).zip(0..) {
            self.project(item, row);
        }
        rows
    }

    /// One row of [`Content::projections`], written to `row`.
    pub fn project(&self, item: ItemIx, row: &mut [f32]) {
        row.fill(0.0);
        let Some(document) = self.index.document(item) else { return };
        for (term, weight) in document.vector() {
            for (word, entries) in (0..).zip(row.chunks_mut(64)) {
                let signs = mix(term ^ mix(word));
                for (bit, entry) in entries.iter_mut().enumerate() {
                    *entry += if signs >> bit & 1 == 1 { weight } else { -weight };
                }
            }
        }
        let norm = row.iter().map(|entry| entry * entry).sum::<f32>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|entry| *entry /= norm);
        }
    }

    fn weighted<'a>(&self, history: &'a [Interaction]) -> impl Iterator<Item = (ItemIx, f32)> + 'a {
        let step = (-1.0 / self.params().decay.max(1e-3)).exp();
        let ages = std::iter::successors(Some(1.0_f32), move |weight| Some(weight * step));
        history.iter().rev().map(|event| event.item).zip(ages).take_while(|(_, weight)| *weight >= WEIGHT_MIN)
    }
}

impl Model for Content {
    fn name(&self) -> &'static str {
        "content"
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        for (item, weight) in self.weighted(query.history) {
            for neighbour in self.neighbours(item) {
                scores.add(neighbour.item, weight * neighbour.sharpened);
            }
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let causes = self.weighted(query.history).filter_map(|(cause, weight)| {
            let neighbour = self.neighbours(cause).iter().find(|neighbour| neighbour.item == item)?;
            Some(Contribution { cause: Cause::History(cause), amount: weight * neighbour.sharpened })
        });
        causes.collect()
    }

    fn bytes(&self) -> usize {
        self.index.bytes() + self.lists.iter().map(List::bytes).sum::<usize>()
    }
}

/// Leaves in `work.found` the items that share a term with a vector, in no particular order.
fn gather(index: &Index, document: &Document, without: Option<ItemIx>, work: &mut Workspace) {
    work.cosines.resize(index.n_items(), 0.0);
    index.cosines(document, &mut work.cosines, &mut work.touched);
    work.found.clear();
    let power = index.params().power;
    for item in work.touched.drain(..) {
        let cosine = std::mem::take(&mut work.cosines[item as usize]).min(1.0);
        if cosine > 0.0 && Some(item) != without {
            work.found.push(Neighbour::new(item, cosine, power));
        }
    }
}

fn similar<'a>(index: &Index, item: ItemIx, work: &'a mut Workspace) -> &'a [Neighbour] {
    work.found.clear();
    if let Some(document) = index.document(item) {
        gather(index, document, Some(item), work);
    }
    &work.found
}

fn nearest(index: &Index, item: ItemIx, work: &mut Workspace) -> List {
    similar(index, item, work);
    List::of(&mut work.found, index.params().neighbours)
}

/// Finaliser of splitmix64: every input bit affects every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
