//! A trained model: scores the whole catalogue for a history.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};
use zhiyin_models::{Cause, Contribution, Model, Query, Scores, dataset::latest, whitening::Whitening};

use crate::{
    design::Design,
    events::{Pack, gap_class, kind_class},
    layout::Layout,
    network::{Network, Pass, Senses, build},
    panels::Panels,
    params::{Architecture, Params},
    product::{rows, rows_mut, set},
    reader::{Buffers, Memory, Read},
    transformer::Transformer,
};

/// A trained model. The score of an item is the dot product of the history's state with the item's vector less the mean vector of all items
/// with events: an item that nothing is known of scores 0, as does every item without a history.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Neural {
    stored: Stored,
    network: Arc<dyn Network>,
    /// The network as it serves, if it is a transformer.
    transformer: Option<Arc<Transformer>>,
    /// Tells what a thread remembers of one model from what it would of another.
    number: u64,
}

/// Numbers of models.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The history that this thread read last, and buffers.
    static READER: RefCell<Reader> = RefCell::default();
}

#[derive(Default)]
struct Reader {
    /// The model that `memory` is of.
    number: Option<u64>,
    memory: Memory,
    buffers: Buffers,
    events: Vec<Read>,
}

/// What is stored of a model.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    params: Params,
    senses: Senses,
    /// Numbers of the network.
    values: Vec<f32>,
    /// Mean vector of the items with events.
    mean: Vec<f32>,
    /// Vectors of all items less the mean; zeros for one that nothing is known of.
    items: Panels,
    /// How vectors of texts are whitened, and what maps them to item vectors; empty if texts don't enter that way.
    whitening: Whitening,
    text_map: Vec<f32>,
}

impl From<Stored> for Neural {
    fn from(stored: Stored) -> Self {
        let network = build(&stored.params, stored.senses, &mut Layout::default()).into();
        let is_transformer = matches!(stored.params.architecture, Architecture::Transformer { .. });
        let transformer =
            is_transformer.then(|| Transformer::new(&stored.params, stored.senses, &mut Layout::default()).into());
        Self { stored, network, transformer, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }
}

impl From<Neural> for Stored {
    fn from(model: Neural) -> Self {
        model.stored
    }
}

impl Neural {
    pub(crate) fn new(design: &Design, values: &[f32], whitening: Whitening) -> Self {
        let dims = design.params.dims;
        let everything: Vec<ItemIx> = (0..design.items.len() as ItemIx).collect();
        let mut items = design.items.vectors(values, &everything);
        let mean =
            mean(items.chunks_exact(dims).zip(&everything).filter(|(_, item)| design.items.is_warm(**item)), dims);
        for (row, item) in items.chunks_exact_mut(dims).zip(0..) {
            if design.items.is_known(item) {
                row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
            } else {
                row.fill(0.0);
            }
        }
        let text_map = design.items.text_map(values).unwrap_or_default().to_vec();
        let stored = Stored {
            params: design.params.clone(),
            senses: design.senses,
            values: values[..design.network_len].to_vec(),
            mean,
            items: Panels::from_rows(&items, dims),
            whitening,
            text_map,
        };
        stored.into()
    }

    /// How it was built and trained.
    pub fn params(&self) -> &Params {
        &self.stored.params
    }

    /// Items that it has vectors of.
    pub fn n_items(&self) -> usize {
        self.stored.items.n_items()
    }

    /// Gives an item that came after the training a vector, from what an encoder made of its text. False, with nothing changed, if texts don't
    /// enter the vectors of this model, or the encoder's vector hasn't got the size that it was trained on.
    pub fn admit(&mut self, item: ItemIx, text: &[f32]) -> bool {
        let Stored { params, whitening, text_map, mean, items, .. } = &mut self.stored;
        if text_map.is_empty() || text.len() != whitening.dims_in() || text.iter().any(|value| !value.is_finite()) {
            return false;
        }
        let (text, mut vector) = (whitening.apply(text), vec![0.0; params.dims]);
        set(rows_mut(&mut vector, params.dims), rows(&text, text.len()), rows(text_map, params.dims), 1.0);
        vector.iter_mut().zip(mean).for_each(|(value, mean)| *value -= *mean);
        items.set(item, &vector);
        self.number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Calls `with` with the state after a history, the next event coming at `now_s`.
    fn with_state<R>(&self, history: &[Interaction], now_s: u32, with: impl FnOnce(&[f32]) -> R) -> R {
        let Some(transformer) = &self.transformer else {
            let states = self.states(history, now_s);
            return with(&states[states.len() - self.stored.params.dims..]);
        };
        READER.with_borrow_mut(|reader| {
            // Taken, so that what a panic leaves behind is never used.
            if reader.number.take() != Some(self.number) {
                reader.memory = Memory::default();
            }
            let Reader { memory, buffers, events, number } = reader;
            let senses = self.stored.senses;
            events.clear();
            let nexts = history.iter().skip(1).map(|event| event.time_s).chain([now_s]);
            events.extend(history.iter().zip(nexts).map(|(event, next)| Read {
                item: event.item,
                gap: if senses.time { gap_class(next.saturating_sub(event.time_s)) } else { 0 },
                kind: if senses.kinds { kind_class(event.kind) } else { 0 },
            }));
            let known = memory.keep_common(events, self.stored.params.dims);
            buffers.states.clear();
            events[known..].iter().for_each(|event| self.push_vector(event.item, &mut buffers.states));
            transformer.read(&self.stored.values, &events[known..], memory, buffers);
            *number = Some(self.number);
            with(&buffers.states)
        })
    }

    /// The states after each event of a history, the next event coming at `now_s`.
    fn states(&self, history: &[Interaction], now_s: u32) -> Vec<f32> {
        let mut pack = Pack::new();
        pack.push(history, now_s);
        let mut inputs = Vec::with_capacity(history.len() * self.stored.params.dims);
        history.iter().for_each(|event| self.push_vector(event.item, &mut inputs));
        self.network.states(Pass { values: &self.stored.values, pack: &pack, noise: None }, inputs)
    }

    /// Appends the vector of an item; the mean vector for one that nothing is known of.
    fn push_vector(&self, item: ItemIx, out: &mut Vec<f32>) {
        let mean = &self.stored.mean;
        match self.stored.items.vector(item) {
            Some(row) => out.extend(row.zip(mean).map(|(value, mean)| value + mean)),
            None => out.extend_from_slice(mean),
        }
    }

    fn window<'a>(&self, query: &Query<'a>) -> &'a [Interaction] {
        latest(query.history, self.stored.params.window)
    }
}

impl Model for Neural {
    fn name(&self) -> &'static str {
        self.stored.params.name()
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let history = self.window(query);
        if history.is_empty() {
            return;
        }
        let out = scores.dense_mut();
        self.with_state(history, query.now_s, |state| self.stored.items.add_dots(state, out));
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.explain_each(query, &[item]).pop().unwrap_or_default()
    }

    /// What each event of the history adds, averaged over two orders in which events are left out: the oldest first, and the newest first.
    /// Either way the differences sum to the score.
    fn explain_each(&self, query: &Query<'_>, items: &[ItemIx]) -> Vec<Vec<Contribution>> {
        let history = self.window(query);
        // The scores of the items after each beginning and each ending of the history.
        let scores = |part: &[Interaction]| -> Vec<f32> {
            self.with_state(part, query.now_s, |state| {
                items
                    .iter()
                    .map(|&item| self.stored.items.vector(item).map_or(0.0, |vector| product(state, vector)))
                    .collect()
            })
        };
        let nothing = || vec![vec![0.0; items.len()]];
        let beginnings: Vec<Vec<f32>> =
            nothing().into_iter().chain((1..=history.len()).map(|to| scores(&history[..to]))).collect();
        let endings: Vec<Vec<f32>> = (0..history.len()).map(|from| scores(&history[from..])).chain(nothing()).collect();
        let parts = |place: usize| {
            let amount = |at: usize| {
                let by_beginning = beginnings[at + 1][place] - beginnings[at][place];
                (by_beginning + endings[at][place] - endings[at + 1][place]) / 2.0
            };
            by_item(history.iter().enumerate().map(|(at, event)| (event.item, amount(at))))
        };
        (0..items.len()).map(parts).collect()
    }

    fn bytes(&self) -> usize {
        let Stored { values, mean, items, text_map, whitening, .. } = &self.stored;
        size_of::<Self>()
            + (values.len() + mean.len() + text_map.len()) * size_of::<f32>()
            + items.bytes()
            + whitening.bytes()
    }
}

/// Sums amounts by item, in the order in which items first occur.
fn by_item(amounts: impl Iterator<Item = (ItemIx, f32)>) -> Vec<Contribution> {
    let mut parts: Vec<Contribution> = Vec::new();
    for (item, amount) in amounts {
        let cause = Cause::History(item);
        match parts.iter_mut().find(|part| part.cause == cause) {
            Some(part) => part.amount += amount,
            None => parts.push(Contribution { cause, amount }),
        }
    }
    parts
}

fn mean<'a>(rows: impl Iterator<Item = (&'a [f32], &'a ItemIx)>, dims: usize) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0.0_f64; dims], 0_usize);
    for (row, _) in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        count += 1;
    }
    sums.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
}

fn product(state: &[f32], vector: impl Iterator<Item = f32>) -> f32 {
    state.iter().zip(vector).map(|(state, value)| state * value).sum()
}
