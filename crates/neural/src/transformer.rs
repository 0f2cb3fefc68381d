//! A causal transformer over a history (Kang and McAuley 2018), with pre-norm blocks: x ← x + attention(norm(x)), x ← x + feed(norm(x)),
//! RMS norms, and SwiGLU in the feed-forward part.
//!
//! Nothing in it belongs to a user: somebody new is served after one event.

use zhiyin_kernels::{
    dispatch,
    rows::{RmsNorm, RmsNormBack, SwiGlu, SwiGluBack},
};

use crate::{
    attention::Attention,
    events::{GAPS, KINDS_MAX, Pack},
    layout::{Layout, Slot, Start},
    network::{LossOf, Network, Pass, Senses},
    noise::drop,
    params::{Architecture, Params},
    product::{back, rows, through},
};

/// Added to mean squares.
pub const EPSILON: f32 = 1e-6;
/// Deviation that the vectors of positions, gaps and kinds begin with.
const PLACE_DEVIATION: f32 = 0.02;

/// The numbers of a block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub attention_norm: Slot,
    /// To queries, keys and values.
    pub attention_in: Slot,
    pub attention_out: Slot,
    pub feed_norm: Slot,
    /// To gates and ups.
    pub feed_in: Slot,
    pub feed_out: Slot,
}

impl Block {
    fn new(number: usize, dims: usize, feed: usize, layout: &mut Layout) -> Self {
        let deviation = Start::Normal(1.0 / (dims as f32).sqrt());
        let mut add =
            |name: &str, rows, columns, start| layout.add(format!("block.{number}.{name}"), rows, columns, start);
        Self {
            attention_norm: add("attention_norm", 1, dims, Start::Ones),
            attention_in: add("attention_in", dims, 3 * dims, deviation),
            attention_out: add("attention_out", dims, dims, deviation),
            feed_norm: add("feed_norm", 1, dims, Start::Ones),
            feed_in: add("feed_in", dims, 2 * feed, deviation),
            feed_out: add("feed_out", feed, dims, Start::Normal(1.0 / (feed as f32).sqrt())),
        }
    }
}

/// Where the transformer's numbers lie.
#[derive(Clone, Debug)]
pub struct Transformer {
    pub dims: usize,
    pub heads: usize,
    pub blocks: Vec<Block>,
    /// One row for each place in the window.
    pub positions: Slot,
    pub gaps: Option<Slot>,
    pub kinds: Option<Slot>,
    pub last_norm: Slot,
}

impl Transformer {
    pub fn new(params: &Params, senses: Senses, layout: &mut Layout) -> Self {
        let Architecture::Transformer { blocks, heads, feed } = params.architecture else {
            unreachable!("a transformer is built for its own architecture")
        };
        let dims = params.dims;
        let places = Start::Normal(PLACE_DEVIATION);
        Self {
            dims,
            heads,
            positions: layout.add("positions", params.window, dims, places),
            gaps: senses.time.then(|| layout.add("gaps", GAPS, dims, places)),
            kinds: senses.kinds.then(|| layout.add("kinds", KINDS_MAX, dims, places)),
            blocks: (0..blocks).map(|number| Block::new(number, dims, feed, layout)).collect(),
            last_norm: layout.add("last_norm", 1, dims, Start::Ones),
        }
    }

    /// What item vectors are multiplied by before places are added.
    pub fn input_scale(&self) -> f32 {
        (self.dims as f32).sqrt()
    }

    /// The rows of the parameters that are added to the vector of an event: of its place, of its gap, of its kind.
    pub fn places(&self, position: usize, gap: u8, kind: u8) -> impl Iterator<Item = (Slot, usize)> {
        let gap = self.gaps.map(|slot| (slot, usize::from(gap)));
        let kind = self.kinds.map(|slot| (slot, usize::from(kind)));
        [Some((self.positions, position)), gap, kind].into_iter().flatten()
    }

    fn each_place<'a>(&'a self, pack: &'a Pack) -> impl Iterator<Item = (usize, Slot, usize)> + 'a {
        let events = pack.histories().flat_map(|events| events.clone().map(move |event| (event, event - events.start)));
        events.flat_map(|(event, position)| {
            let places = self.places(position, pack.gaps[event], pack.kinds[event]);
            places.map(move |(slot, row)| (event, slot, row))
        })
    }

    fn embed(&self, pass: Pass<'_>, mut rows: Vec<f32>) -> Vec<f32> {
        let factor = self.input_scale();
        rows.iter_mut().for_each(|value| *value *= factor);
        for (event, slot, row) in self.each_place(pass.pack) {
            let place = &slot.of(pass.values)[row * self.dims..][..self.dims];
            let event = &mut rows[event * self.dims..][..self.dims];
            event.iter_mut().zip(place).for_each(|(value, place)| *value += place);
        }
        drop(pass.noise, 0, &mut rows);
        rows
    }

    fn embed_back(&self, pass: Pass<'_>, mut slopes: Vec<f32>, gradients: &mut [f32]) -> Vec<f32> {
        drop(pass.noise, 0, &mut slopes);
        for (event, slot, row) in self.each_place(pass.pack) {
            let place = &mut slot.of_mut(gradients)[row * self.dims..][..self.dims];
            let event = &slopes[event * self.dims..][..self.dims];
            place.iter_mut().zip(event).for_each(|(place, slope)| *place += slope);
        }
        let factor = self.input_scale();
        slopes.iter_mut().for_each(|value| *value *= factor);
        slopes
    }

    fn there(&self, pass: Pass<'_>, inputs: Vec<f32>, mut tape: Option<&mut Vec<Kept>>) -> Vec<f32> {
        let mut states = self.embed(pass, inputs);
        for number in 0..self.blocks.len() {
            let kept = self.block(number, pass, &mut states);
            if let Some(tape) = &mut tape {
                tape.push(kept);
            }
        }
        states
    }

    fn attention<'a>(&self, number: usize, pass: Pass<'a>) -> Attention<'a> {
        let noise = pass.noise.map(|noise| noise.at(3 * number + 1));
        Attention { pack: pass.pack, heads: self.heads, dims: self.dims, noise }
    }

    fn block(&self, number: usize, pass: Pass<'_>, states: &mut [f32]) -> Kept {
        let (block, values) = (self.blocks[number], pass.values);
        let before = states.to_vec();
        let attention = through(&normed(&before, block.attention_norm, values), map(block.attention_in, values));
        let mixed = self.attention(number, pass).there(&attention);
        let mut added = through(&mixed, map(block.attention_out, values));
        drop(pass.noise, 3 * number + 2, &mut added);
        add(states, &added);
        let middle = states.to_vec();
        let feed = through(&normed(&middle, block.feed_norm, values), map(block.feed_in, values));
        let mut added = through(&gated(&feed, block.feed_out.rows), map(block.feed_out, values));
        drop(pass.noise, 3 * number + 3, &mut added);
        add(states, &added);
        Kept { before, attention, mixed, middle, feed }
    }

    /// Derivatives by a block's outputs become those by its inputs.
    fn block_back(&self, number: usize, pass: Pass<'_>, mut kept: Kept, slopes: &mut [f32], gradients: &mut [f32]) {
        let (block, values) = (self.blocks[number], pass.values);
        let mut of_added = slopes.to_vec();
        drop(pass.noise, 3 * number + 3, &mut of_added);
        let width = block.feed_out.rows;
        let inner = gated(&kept.feed, width);
        let by_inner = back(&inner, map(block.feed_out, values), &of_added, block.feed_out.of_mut(gradients));
        dispatch(SwiGluBack { rows: &mut kept.feed, width, slopes: &by_inner });
        let normal = normed(&kept.middle, block.feed_norm, values);
        let by_normal = back(&normal, map(block.feed_in, values), &kept.feed, block.feed_in.of_mut(gradients));
        norm_back(&kept.middle, block.feed_norm, values, &by_normal, slopes, gradients);

        let mut of_added = slopes.to_vec();
        drop(pass.noise, 3 * number + 2, &mut of_added);
        let out = block.attention_out;
        let by_mixed = back(&kept.mixed, map(out, values), &of_added, out.of_mut(gradients));
        let by_attention = self.attention(number, pass).back(&kept.attention, &by_mixed);
        let normal = normed(&kept.before, block.attention_norm, values);
        let into = block.attention_in;
        let by_normal = back(&normal, map(into, values), &by_attention, into.of_mut(gradients));
        norm_back(&kept.before, block.attention_norm, values, &by_normal, slopes, gradients);
    }
}

impl Network for Transformer {
    fn states(&self, pass: Pass<'_>, inputs: Vec<f32>) -> Vec<f32> {
        normed(&self.there(pass, inputs, None), self.last_norm, pass.values)
    }

    fn learn(&self, pass: Pass<'_>, inputs: Vec<f32>, loss: LossOf<'_>, gradients: &mut [f32]) -> Vec<f32> {
        let mut tape = Vec::new();
        let last = self.there(pass, inputs, Some(&mut tape));
        let by_states = loss(&normed(&last, self.last_norm, pass.values));
        let mut slopes = vec![0.0; last.len()];
        norm_back(&last, self.last_norm, pass.values, &by_states, &mut slopes, gradients);
        for (number, kept) in tape.into_iter().enumerate().rev() {
            self.block_back(number, pass, kept, &mut slopes, gradients);
        }
        self.embed_back(pass, slopes, gradients)
    }
}

/// What the way back needs of a block.
struct Kept {
    before: Vec<f32>,
    /// Queries, keys and values.
    attention: Vec<f32>,
    /// What the heads gave.
    mixed: Vec<f32>,
    middle: Vec<f32>,
    /// Gates and ups.
    feed: Vec<f32>,
}

fn map(slot: Slot, values: &[f32]) -> crate::product::MatRef<'_, f32> {
    rows(slot.of(values), slot.columns)
}

fn normed(states: &[f32], scale: Slot, values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; states.len()];
    dispatch(RmsNorm { rows: states, scale: scale.of(values), epsilon: EPSILON, out: &mut out });
    out
}

fn norm_back(states: &[f32], scale: Slot, values: &[f32], slopes: &[f32], below: &mut [f32], gradients: &mut [f32]) {
    let by_scale = scale.of_mut(gradients);
    dispatch(RmsNormBack { rows: states, scale: scale.of(values), epsilon: EPSILON, slopes, below, by_scale });
}

fn gated(feed: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; feed.len() / 2];
    dispatch(SwiGlu { rows: feed, width, out: &mut out });
    out
}

fn add(states: &mut [f32], added: &[f32]) {
    states.iter_mut().zip(added).for_each(|(state, added)| *state += added);
}
