//! The transformer as it serves: reads events one after the other and remembers their keys and values, so that a history which grew by an
//! event costs that event and the one before it, whose gap has changed. Everything is written into buffers that are used again.

use zhiyin_kernels::{
    dispatch, dot, kernel,
    rows::{RmsNorm, SwiGlu},
    softmax,
};

use crate::{
    attention::scale,
    layout::Slot,
    product::{MatRef, rows, rows_mut, set},
    transformer::{Block, EPSILON, Transformer},
};

/// An event as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub item: u32,
    pub gap: u8,
    pub kind: u8,
}

/// Events that were read, with their keys and values by block.
#[derive(Debug, Default)]
pub struct Memory {
    pub read: Vec<Read>,
    /// Rows of keys and values, one after the other.
    blocks: Vec<Vec<f32>>,
}

impl Memory {
    /// Forgets what isn't the beginning of these events, and the last of them, whose state is wanted; how many it still knows.
    pub fn keep_common(&mut self, events: &[Read], dims: usize) -> usize {
        let common = self.read.iter().zip(events).take_while(|(known, event)| known == event).count();
        let common = common.min(events.len().saturating_sub(1));
        self.read.truncate(common);
        self.blocks.iter_mut().for_each(|block| block.truncate(common * 2 * dims));
        common
    }
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub struct Buffers {
    /// States of the events that are read, row by row; the last row at the end.
    pub states: Vec<f32>,
    normal: Vec<f32>,
    queries: Vec<f32>,
    memory: Vec<f32>,
    mixed: Vec<f32>,
    added: Vec<f32>,
    feed: Vec<f32>,
    inner: Vec<f32>,
    shares: Vec<f32>,
}

impl Transformer {
    /// Reads events after those in `memory`, which then remembers them too. `buffers.states` holds the vectors of their items; afterwards it holds
    /// the state after the last one.
    pub fn read(&self, values: &[f32], events: &[Read], memory: &mut Memory, buffers: &mut Buffers) {
        let factor = self.input_scale();
        buffers.states.iter_mut().for_each(|value| *value *= factor);
        for ((row, event), position) in buffers.states.chunks_exact_mut(self.dims).zip(events).zip(memory.read.len()..)
        {
            for (slot, place) in self.places(position, event.gap, event.kind) {
                let place = &slot.of(values)[place * self.dims..][..self.dims];
                row.iter_mut().zip(place).for_each(|(value, place)| *value += place);
            }
        }
        memory.blocks.resize_with(self.blocks.len(), Vec::new);
        for (number, block) in self.blocks.iter().enumerate() {
            let is_last = number + 1 == self.blocks.len();
            self.read_block(*block, values, is_last, &mut memory.blocks[number], buffers);
        }
        memory.read.extend_from_slice(events);
        normed(&buffers.states, self.last_norm, values, &mut buffers.normal);
        std::mem::swap(&mut buffers.states, &mut buffers.normal);
    }

    /// Of the last block only the last event's state is wanted: keys and values of all new events, the rest for that one.
    fn read_block(&self, block: Block, values: &[f32], is_last: bool, memory: &mut Vec<f32>, buffers: &mut Buffers) {
        let dims = self.dims;
        normed(&buffers.states, block.attention_norm, values, &mut buffers.normal);
        let map = rows(block.attention_in.of(values), 3 * dims);
        product(&buffers.normal, map.subcols(dims, 2 * dims), &mut buffers.memory);
        memory.extend_from_slice(&buffers.memory);
        if is_last {
            keep_last(&mut buffers.states, dims);
            keep_last(&mut buffers.normal, dims);
        }
        product(&buffers.normal, map.subcols(0, dims), &mut buffers.queries);
        fit(&mut buffers.mixed, buffers.queries.len());
        dispatch(Attend {
            queries: &buffers.queries,
            memory,
            dims,
            heads: self.heads,
            shares: &mut buffers.shares,
            out: &mut buffers.mixed,
        });
        product(&buffers.mixed, rows(block.attention_out.of(values), dims), &mut buffers.added);
        add(&mut buffers.states, &buffers.added);
        normed(&buffers.states, block.feed_norm, values, &mut buffers.normal);
        product(&buffers.normal, rows(block.feed_in.of(values), block.feed_in.columns), &mut buffers.feed);
        let width = block.feed_out.rows;
        fit(&mut buffers.inner, buffers.feed.len() / 2);
        dispatch(SwiGlu { rows: &buffers.feed, width, out: &mut buffers.inner });
        product(&buffers.inner, rows(block.feed_out.of(values), dims), &mut buffers.added);
        add(&mut buffers.states, &buffers.added);
    }
}

fn fit(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

fn keep_last(rows: &mut Vec<f32>, width: usize) {
    let from = rows.len() - width;
    rows.copy_within(from.., 0);
    rows.truncate(width);
}

fn normed(states: &[f32], scale: Slot, values: &[f32], out: &mut Vec<f32>) {
    fit(out, states.len());
    dispatch(RmsNorm { rows: states, scale: scale.of(values), epsilon: EPSILON, out });
}

fn product(inputs: &[f32], map: MatRef<'_, f32>, out: &mut Vec<f32>) {
    let inputs = rows(inputs, map.nrows());
    fit(out, inputs.nrows() * map.ncols());
    set(rows_mut(out, map.ncols()), inputs, map, 1.0);
}

fn add(states: &mut [f32], added: &[f32]) {
    states.iter_mut().zip(added).for_each(|(state, added)| *state += added);
}

/// Attention of the newest events to all before them and to themselves.
struct Attend<'a> {
    /// One row for each of the newest events.
    queries: &'a [f32],
    /// Keys and values of all events.
    memory: &'a [f32],
    dims: usize,
    heads: usize,
    shares: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

kernel!(Attend, Attend { queries, memory, dims, heads, shares, out } => {
    let (width, total, asking) = (dims / heads, memory.len() / (2 * dims), queries.len() / dims);
    let factor = scale(width);
    for (number, (query, out)) in queries.chunks_exact(dims).zip(out.chunks_exact_mut(dims)).enumerate() {
        let seen = &memory[..(total - asking + number + 1) * 2 * dims];
        for head in (0..dims).step_by(width) {
            let query = &query[head..head + width];
            shares.clear();
            shares.extend(seen.chunks_exact(2 * dims).map(|row| factor * dot(query, &row[head..head + width])));
            softmax(shares);
            let out = &mut out[head..head + width];
            for (share, row) in shares.iter().zip(seen.chunks_exact(2 * dims)) {
                out.iter_mut().zip(&row[dims + head..][..width]).for_each(|(out, value)| *out += share * value);
            }
        }
    }
});
