//! A network with the items that it is about: what is learned, and the gradient of one step.

use std::sync::Arc;

use rayon::prelude::*;
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    events::Pack,
    items::{Items, Texts},
    layout::Layout,
    loss::{Foretold, Sampled, Slopes},
    network::{Network, Pass, Senses, build},
    noise::Noise,
    params::Params,
};

/// Parts that a step's histories are shared out in. Their gradients are added in order, so results don't depend on the number of threads.
const SHARDS: usize = 4;
/// Stands for an item that hasn't got a row.
const NO_ROW: u32 = u32::MAX;

/// What is learned, and how it is laid out. The network's numbers come first.
pub struct Design {
    pub params: Params,
    pub senses: Senses,
    pub layout: Layout,
    /// Numbers of the network.
    pub network_len: usize,
    pub network: Arc<dyn Network>,
    pub items: Items,
}

/// What one step learns from.
pub struct Step<'a> {
    /// Stretches of histories: all but the last event of each are read, all but the first foretold.
    pub histories: &'a [&'a [Interaction]],
    /// Sampled items.
    pub sampled: &'a [ItemIx],
    /// ln k·q of each.
    pub corrections: &'a [f32],
    /// Items that they were sampled from.
    pub sampled_of: usize,
    /// What is left out.
    pub noise: Option<Noise>,
}

impl Design {
    pub fn new(params: &Params, senses: Senses, texts: Texts, warm: Arc<[bool]>) -> Self {
        let mut layout = Layout::default();
        let network = build(params, senses, &mut layout).into();
        let network_len = layout.len;
        let items = Items::new(params, texts, warm, &mut layout);
        Self { params: params.clone(), senses, layout, network_len, network, items }
    }

    /// The numbers that training begins with.
    pub fn begin(&self) -> Vec<f32> {
        let mut values = self.layout.begin(self.params.seed);
        self.items.begin(&mut values);
        values
    }

    /// The mean loss of the events that are foretold; its gradient replaces what is in `gradients`. `rows` is scratch.
    pub fn gradient(&self, values: &[f32], step: &Step<'_>, rows: &mut Rows, gradients: &mut [f32]) -> f64 {
        gradients.fill(0.0);
        let events: usize = step.histories.iter().map(|history| history.len() - 1).sum();
        rows.begin(self.items.len());
        let shards: Vec<Shard> =
            shares(step.histories).into_iter().map(|histories| Shard::new(histories, rows)).collect();
        let sampled_rows: Vec<u32> = step.sampled.iter().map(|&item| rows.of(item)).collect();
        let vectors = self.items.vectors(values, &rows.items);
        let sampled_vectors: Vec<f32> = sampled_rows.iter().flat_map(|&row| self.row(&vectors, row)).copied().collect();
        let foretold = |next| Foretold {
            loss: self.params.loss,
            dims: self.params.dims,
            sampled: Sampled {
                vectors: &sampled_vectors,
                rows: &sampled_rows,
                corrections: step.corrections,
                of: step.sampled_of,
            },
            vectors: &vectors,
            next,
            weight: 1.0 / events.max(1) as f32,
        };
        let results: Vec<ShardResult> = shards
            .par_iter()
            .enumerate()
            .map(|(number, shard)| {
                let noise = step.noise.map(|noise| noise.at(number));
                self.shard(values, shard, noise, &foretold(&shard.next))
            })
            .collect();
        let mut by_vectors = vec![0.0; vectors.len()];
        let mut loss = 0.0;
        for result in results {
            loss += result.loss;
            add(&mut by_vectors, &result.slopes.vectors);
            add(gradients, &result.network);
            for (slope, &row) in result.slopes.sampled.chunks_exact(self.params.dims).zip(&sampled_rows) {
                add(&mut by_vectors[row as usize * self.params.dims..][..self.params.dims], slope);
            }
        }
        self.items.back(values, &rows.items, &by_vectors, gradients);
        loss
    }

    fn row<'a>(&self, vectors: &'a [f32], row: u32) -> &'a [f32] {
        &vectors[row as usize * self.params.dims..][..self.params.dims]
    }

    fn shard(&self, values: &[f32], shard: &Shard, noise: Option<Noise>, foretold: &Foretold<'_>) -> ShardResult {
        let mut result =
            ShardResult { loss: 0.0, network: vec![0.0; self.network_len], slopes: Slopes::zeros(foretold) };
        if shard.read.is_empty() {
            return result;
        }
        let inputs: Vec<f32> = shard.read.iter().flat_map(|&row| self.row(foretold.vectors, row)).copied().collect();
        let pass = Pass { values, pack: &shard.pack, noise };
        let ShardResult { loss, network, slopes } = &mut result;
        let mut measure = |states: &[f32]| {
            let (found, by_states) = foretold.measure(states, slopes);
            *loss = found;
            by_states
        };
        let by_inputs = self.network.learn(pass, inputs, &mut measure, network);
        let dims = self.params.dims;
        for (slope, &row) in by_inputs.chunks_exact(dims).zip(&shard.read) {
            add(&mut slopes.vectors[row as usize * dims..][..dims], slope);
        }
        result
    }
}

/// Which row of a step's vectors is whose.
#[derive(Default)]
pub struct Rows {
    of_item: Vec<u32>,
    pub items: Vec<ItemIx>,
}

impl Rows {
    fn begin(&mut self, n_items: usize) {
        for &item in &self.items {
            self.of_item[item as usize] = NO_ROW;
        }
        self.items.clear();
        self.of_item.resize(n_items, NO_ROW);
    }

    fn of(&mut self, item: ItemIx) -> u32 {
        let row = &mut self.of_item[item as usize];
        if *row == NO_ROW {
            *row = self.items.len() as u32;
            self.items.push(item);
        }
        *row
    }
}

/// Histories that one thread works on.
struct Shard {
    pack: Pack,
    /// Row of each event that is read.
    read: Vec<u32>,
    /// Row of what comes next.
    next: Vec<u32>,
}

impl Shard {
    fn new(histories: &[&[Interaction]], rows: &mut Rows) -> Self {
        let mut shard = Self { pack: Pack::new(), read: Vec::new(), next: Vec::new() };
        for history in histories {
            let Some((last, read)) = history.split_last() else { continue };
            shard.pack.push(read, last.time_s);
            shard.read.extend(read.iter().map(|event| rows.of(event.item)));
            shard.next.extend(history.iter().skip(1).map(|event| rows.of(event.item)));
        }
        shard
    }
}

struct ShardResult {
    loss: f64,
    network: Vec<f32>,
    slopes: Slopes,
}

/// Shares histories out so that each part has about as many events.
fn shares<'a, 'b>(histories: &'b [&'a [Interaction]]) -> Vec<&'b [&'a [Interaction]]> {
    let total: usize = histories.iter().map(|history| history.len()).sum();
    let mut parts = Vec::new();
    let (mut from, mut events) = (0, 0);
    for (at, history) in histories.iter().enumerate() {
        events += history.len();
        if events * SHARDS >= total * (parts.len() + 1) {
            parts.push(&histories[from..=at]);
            from = at + 1;
        }
    }
    parts
}

fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
