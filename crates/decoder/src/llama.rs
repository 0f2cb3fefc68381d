//! The forward pass of Llama (Touvron et al. 2023): RMS norms, rotary positions (Su et al. 2021), grouped-query attention (Ainslie et al.
//! 2023) and SwiGLU, over a ragged batch of new tokens of several sequences.

use std::ops::Range;

use rayon::prelude::*;
use zhiyin_kernels::{
    dispatch,
    rows::{RmsNorm, SwiGlu},
};

use crate::{
    adapter::{Adapter, Map, adapt},
    attention::Head,
    error::Defect,
    gguf::Gguf,
    kernel::Add,
    matrix::Matrix,
    memory::{Memory, Stretch},
    tape::Tape,
    tree::Tree,
};

/// Rows that one task of an element-wise part works on.
const ROWS_PER_TASK: usize = 16;

/// Sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width of a token's vector.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads that ask.
    pub heads: usize,
    /// Heads that are asked; each serves the same number of those that ask.
    pub key_heads: usize,
    /// Width of a head.
    pub width: usize,
    /// Width inside the feed-forward part.
    pub feed_forward: usize,
    /// Tokens that the model was trained to look back on.
    pub context: usize,
    /// Words.
    pub vocabulary: usize,
    /// What keeps norms from dividing by 0.
    pub epsilon: f32,
    /// Wavelengths of the rotary positions grow from 2π to 2π times this.
    pub rotary_base: f32,
}

pub(crate) struct Layer {
    pub attention_norm: Vec<f32>,
    /// Queries, keys and values side by side.
    pub attention: Matrix,
    pub attention_out: Matrix,
    pub feed_norm: Vec<f32>,
    /// Gates and ups side by side.
    pub feed_in: Matrix,
    pub feed_out: Matrix,
}

impl Layer {
    pub fn map(&self, map: Map) -> &Matrix {
        match map {
            Map::Attention => &self.attention,
            Map::AttentionOut => &self.attention_out,
            Map::FeedIn => &self.feed_in,
            Map::FeedOut => &self.feed_out,
        }
    }
}

/// The weights.
pub struct Llama {
    pub shape: Shape,
    pub words: Matrix,
    pub layers: Vec<Layer>,
    pub norm: Vec<f32>,
    /// None if the words serve as output, too.
    pub output: Option<Matrix>,
    /// What was learned on top of the weights.
    pub adapter: Option<Adapter>,
}

/// New tokens of one sequence.
pub struct Run<'a> {
    /// The tokens; at least one.
    pub tokens: &'a [u32],
    /// What came before; they are added to it.
    pub memory: &'a mut Memory,
    /// States are given for the tokens from this one on.
    pub wanted_from: usize,
}

impl Llama {
    /// Reads the weights.
    pub fn load(gguf: &Gguf) -> Result<Self, Defect> {
        let architecture = gguf.text("general.architecture").unwrap_or("none");
        if architecture != "llama" {
            return Err(Defect::Unsupported(format!("its architecture is {architecture:?}; only \"llama\" is known")));
        }
        let shape = Shape::read(gguf)?;
        let loader = Loader { gguf, shape };
        let has_output = gguf.tensors.contains_key("output.weight");
        let output = || loader.matrix("output.weight", shape.hidden, shape.vocabulary);
        Ok(Self {
            shape,
            words: loader.matrix("token_embd.weight", shape.hidden, shape.vocabulary)?,
            layers: (0..shape.layers).map(|layer| loader.layer(layer)).collect::<Result<_, _>>()?,
            norm: loader.vector("output_norm.weight", shape.hidden)?,
            output: has_output.then(output).transpose()?,
            adapter: None,
        })
    }

    /// Reads the tokens of all runs. Returns the normalised states of the wanted ones, run by run, in rows of `hidden` numbers.
    pub fn states(&self, runs: &mut [Run<'_>]) -> Vec<f32> {
        let apart = Tree::new(runs.iter().map(|run| (run.tokens.len(), run.memory.tokens(), None)));
        self.taped(runs, &apart, None)
    }

    /// [`Llama::states`] of runs that go on after each other as `tree` says; what the way back needs is written to `tape`.
    pub fn taped(&self, runs: &mut [Run<'_>], tree: &Tree, mut tape: Option<&mut Tape>) -> Vec<f32> {
        let mut pass = Pass::new(self, runs, tree);
        for number in 0..self.layers.len() {
            pass.layer(number, tape.as_deref_mut());
        }
        if let Some(tape) = tape {
            tape.last.clone_from(&pass.states);
        }
        pass.finish()
    }

    /// What maps states to words.
    pub fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.words)
    }

    /// What each state says of the next token: rows of as many numbers as there are words; their softmax is the distribution.
    pub fn logits(&self, states: &[f32]) -> Vec<f32> {
        let mut logits = Vec::new();
        self.logits_into(states, &mut logits, &mut Vec::new());
        logits
    }

    /// [`Llama::logits`] into a buffer of any size, which has their number afterwards. These buffers are the largest of all: whoever needs them again keeps them.
    pub fn logits_into(&self, states: &[f32], logits: &mut Vec<f32>, scratch: &mut Vec<f32>) {
        logits.resize(states.len() / self.shape.hidden * self.shape.vocabulary, 0.0);
        self.output().product(states, logits, scratch);
    }
}

/// The state of one pass: a row per new token in every buffer.
struct Pass<'a, 'r> {
    model: &'a Llama,
    runs: &'a mut [Run<'r>],
    tree: &'a Tree,
    /// Cosine and sine by which each pair of dimensions is turned.
    turns: Vec<(f32, f32)>,
    states: Vec<f32>,
    normal: Vec<f32>,
    /// Queries, keys and values.
    attention: Vec<f32>,
    /// What each head gives: for each head a row per token.
    heads: Vec<f32>,
    mixed: Vec<f32>,
    mapped: Vec<f32>,
    feed: Vec<f32>,
    inner: Vec<f32>,
    scratch: Vec<f32>,
}

impl<'a, 'r> Pass<'a, 'r> {
    fn new(model: &'a Llama, runs: &'a mut [Run<'r>], tree: &'a Tree) -> Self {
        let shape = model.shape;
        runs.iter_mut().for_each(|run| run.memory.prepare(shape.layers));
        let rows = |width: usize| vec![0.0; tree.rows() * width];
        let mut pass = Self {
            turns: turns(shape, tree.positions()),
            states: rows(shape.hidden),
            normal: rows(shape.hidden),
            attention: rows((shape.heads + 2 * shape.key_heads) * shape.width),
            heads: rows(shape.heads * shape.width),
            mixed: rows(shape.heads * shape.width),
            mapped: rows(shape.hidden),
            feed: rows(2 * shape.feed_forward),
            inner: rows(shape.feed_forward),
            scratch: Vec::new(),
            model,
            runs,
            tree,
        };
        let tokens = pass.runs.iter().flat_map(|run| run.tokens);
        pass.states
            .chunks_exact_mut(shape.hidden)
            .zip(tokens)
            .for_each(|(row, &token)| model.words.row(token as usize, row));
        pass
    }

    fn layer(&mut self, number: usize, mut tape: Option<&mut Tape>) {
        let model = self.model;
        let (layer, width) = (&model.layers[number], model.shape.feed_forward);
        if let Some(tape) = tape.as_deref_mut() {
            tape.before(&self.states);
        }
        self.normalise(&layer.attention_norm);
        layer.attention.product(&self.normal, &mut self.attention, &mut self.scratch);
        self.adapt(number, Map::Attention);
        self.turn();
        self.remember(number);
        self.attend(number);
        layer.attention_out.product(&self.mixed, &mut self.mapped, &mut self.scratch);
        self.adapt(number, Map::AttentionOut);
        dispatch(Add { rows: &mut self.states, added: &self.mapped });
        if let Some(tape) = tape.as_deref_mut() {
            tape.between(&self.attention, &self.mixed, &self.states);
        }
        self.normalise(&layer.feed_norm);
        layer.feed_in.product(&self.normal, &mut self.feed, &mut self.scratch);
        self.adapt(number, Map::FeedIn);
        let tasks =
            self.inner.par_chunks_mut(ROWS_PER_TASK * width).zip(self.feed.par_chunks(ROWS_PER_TASK * 2 * width));
        tasks.for_each(|(out, rows)| dispatch(SwiGlu { rows, width, out }));
        layer.feed_out.product(&self.inner, &mut self.mapped, &mut self.scratch);
        self.adapt(number, Map::FeedOut);
        dispatch(Add { rows: &mut self.states, added: &self.mapped });
        if let Some(tape) = tape {
            tape.after(&self.feed);
        }
    }

    /// Adds what the adapter changes of a map's outputs.
    fn adapt(&mut self, number: usize, map: Map) {
        let Some(adapter) = &self.model.adapter else { return };
        let (rows, out) = match map {
            Map::Attention => (&self.normal, &mut self.attention),
            Map::AttentionOut => (&self.mixed, &mut self.mapped),
            Map::FeedIn => (&self.normal, &mut self.feed),
            Map::FeedOut => (&self.inner, &mut self.mapped),
        };
        adapt(adapter, number, map, rows, out, self.model.layers[number].map(map).outputs);
    }

    fn normalise(&mut self, scale: &[f32]) {
        let epsilon = self.model.shape.epsilon;
        dispatch(RmsNorm { rows: &self.states, scale, epsilon, out: &mut self.normal });
    }

    /// Turns queries and keys by their positions. Pairs are neighbouring dimensions.
    fn turn(&mut self) {
        turn(self.model.shape, &mut self.attention, &self.turns);
    }

    /// Adds keys and values to the memories.
    fn remember(&mut self, number: usize) {
        let shape = self.model.shape;
        let (queries, keys) = (shape.heads * shape.width, shape.key_heads * shape.width);
        let mut rows = self.attention.chunks_exact(queries + 2 * keys);
        for run in &mut *self.runs {
            let layer = run.memory.layer_mut(number);
            for row in rows.by_ref().take(run.tokens.len()) {
                layer.keys.extend_from_slice(&row[queries..][..keys]);
                layer.values.extend_from_slice(&row[queries + keys..]);
            }
        }
    }

    fn attend(&mut self, number: usize) {
        let shape = self.model.shape;
        let (width, memory_width) = (shape.width, shape.key_heads * shape.width);
        let input_width = shape.heads * width + 2 * memory_width;
        let tokens = self.tree.rows();
        let (attention, tree, runs) = (&self.attention, self.tree, &*self.runs);
        let stretches: Vec<Vec<Stretch<'_>>> =
            (0..runs.len()).map(|run| seen(runs, tree, run, number, memory_width)).collect();
        self.heads.par_chunks_mut(tokens * width).enumerate().for_each_init(Vec::new, |scores, (head, mut out)| {
            for (run, stretches) in stretches.iter().enumerate() {
                let rows = tree.span(run);
                let (own, rest) = out.split_at_mut(rows.len() * width);
                out = rest;
                let inputs = &attention[rows.start * input_width..rows.end * input_width];
                let key = head / (shape.heads / shape.key_heads) * width;
                let query = head * width;
                Head { inputs, input_width, query, stretches, memory_width, key, out: own, width }.attend(scores);
            }
        });
        for (head, rows) in self.heads.chunks_exact(tokens * width).enumerate() {
            for (row, mixed) in rows.chunks_exact(width).zip(self.mixed.chunks_exact_mut(shape.heads * width)) {
                mixed[head * width..][..width].copy_from_slice(row);
            }
        }
    }

    fn finish(mut self) -> Vec<f32> {
        self.normalise(&self.model.norm);
        let hidden = self.model.shape.hidden;
        let mut wanted = Vec::new();
        for (number, run) in self.runs.iter_mut().enumerate() {
            let rows = self.tree.span(number);
            let from = rows.start + run.wanted_from.min(rows.len());
            wanted.extend_from_slice(&self.normal[from * hidden..rows.end * hidden]);
            run.memory.advance(run.tokens.len());
        }
        wanted
    }
}

/// Keys and values of a layer that the last token of a run sees. `width` is that of a row of keys.
fn seen<'a>(runs: &'a [Run<'_>], tree: &Tree, run: usize, layer: usize, width: usize) -> Vec<Stretch<'a>> {
    let of_run = |(run, tokens): (usize, usize)| {
        let memory = &*runs[run].memory;
        memory.stretches(layer, (memory.own().tokens() + tokens) * width)
    };
    tree.path(run).into_iter().flat_map(of_run).collect()
}

/// Turns queries and keys in rows of queries, keys and values. `turns` holds cosine and sine of each pair of each row.
pub(crate) fn turn(shape: Shape, rows: &mut [f32], turns: &[(f32, f32)]) {
    let (pairs, turned) = (shape.width / 2, (shape.heads + shape.key_heads) * shape.width);
    let row_width = (shape.heads + 2 * shape.key_heads) * shape.width;
    for (row, turns) in rows.chunks_exact_mut(row_width).zip(turns.chunks_exact(pairs)) {
        for head in row[..turned].chunks_exact_mut(shape.width) {
            for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
            }
        }
    }
}

/// Cosines and sines of all tokens: for pair `i` of `d` dimensions the angle is position · base^(−2i/d).
pub(crate) fn turns(shape: Shape, positions: impl Iterator<Item = Range<usize>>) -> Vec<(f32, f32)> {
    let rate = |pair: usize| f64::from(shape.rotary_base).powf(-2.0 * pair as f64 / shape.width as f64);
    let rates: Vec<f64> = (0..shape.width / 2).map(rate).collect();
    positions
        .flatten()
        .flat_map(|position| rates.iter().map(move |rate| (position as f64 * rate).sin_cos()))
        .map(|(sin, cos)| (cos as f32, sin as f32))
        .collect()
}

impl Shape {
    /// The sizes that a file states.
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, Defect> {
        let missing = |key: &str| Defect::malformed(format!("it has no value {key:?}"));
        let whole = |key: &str| gguf.whole(key).ok_or_else(|| missing(key));
        let (hidden, heads) = (whole("llama.embedding_length")?, whole("llama.attention.head_count")?);
        let vocabulary = gguf.list("tokenizer.ggml.tokens").ok_or_else(|| missing("tokenizer.ggml.tokens"))?.len();
        let shape = Self {
            hidden,
            layers: whole("llama.block_count")?,
            heads,
            key_heads: gguf.whole("llama.attention.head_count_kv").unwrap_or(heads),
            width: gguf.whole("llama.attention.key_length").unwrap_or(hidden / heads.max(1)),
            feed_forward: whole("llama.feed_forward_length")?,
            context: whole("llama.context_length")?,
            vocabulary,
            epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rotary_base: gguf.float("llama.rope.freq_base").unwrap_or(10_000.0),
        };
        let is_sound = (1..=1 << 10).contains(&shape.layers)
            && (1..=1 << 10).contains(&shape.heads)
            && (1..=shape.heads).contains(&shape.key_heads)
            && shape.heads.is_multiple_of(shape.key_heads)
            && (2..=1 << 10).contains(&shape.width)
            && shape.width.is_multiple_of(2)
            && (1..=1 << 16).contains(&shape.hidden)
            && (1..=1 << 18).contains(&shape.feed_forward)
            && (1..=1 << 22).contains(&shape.vocabulary);
        if !is_sound {
            return Err(Defect::malformed("its sizes don't go together"));
        }
        let scaling = gguf.text("llama.rope.scaling.type").is_some_and(|kind| kind != "none");
        let is_partial = gguf.whole("llama.rope.dimension_count").is_some_and(|turned| turned != shape.width);
        if scaling || is_partial {
            return Err(Defect::Unsupported(
                "its rotary positions are scaled or partial, which isn't known".to_owned(),
            ));
        }
        Ok(shape)
    }
}

struct Loader<'a> {
    gguf: &'a Gguf,
    shape: Shape,
}

impl Loader<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<(u32, &[u8]), Defect> {
        let tensor = self.gguf.tensors.get(name).ok_or_else(|| Defect::malformed(format!("{name} is missing")))?;
        if tensor.shape != shape {
            return Err(Defect::malformed(format!("{name} has the shape {:?} instead of {shape:?}", tensor.shape)));
        }
        let bytes = self.gguf.bytes_from(tensor.start);
        Ok((tensor.encoding, bytes.ok_or_else(|| Defect::malformed(format!("{name} lies beyond the end")))?))
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix, Defect> {
        let (encoding, bytes) = self.tensor(name, &[inputs, outputs])?;
        Matrix::decode(encoding, bytes, inputs, outputs)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Defect> {
        let (encoding, bytes) = self.tensor(name, &[length])?;
        let bytes = bytes.get(..4 * length).filter(|_| encoding == 0);
        let bytes = bytes.ok_or_else(|| Defect::malformed(format!("{name} isn't {length} numbers of 32 bits")))?;
        Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }

    fn layer(&self, layer: usize) -> Result<Layer, Defect> {
        let Shape { hidden, heads, key_heads, width, feed_forward, .. } = self.shape;
        let matrix = |part: &str, inputs, outputs| self.matrix(&format!("blk.{layer}.{part}.weight"), inputs, outputs);
        let vector = |part: &str| self.vector(&format!("blk.{layer}.{part}.weight"), hidden);
        let queries = matrix("attn_q", hidden, heads * width)?;
        let (keys, values) =
            (matrix("attn_k", hidden, key_heads * width)?, matrix("attn_v", hidden, key_heads * width)?);
        let (gates, ups) = (matrix("ffn_gate", hidden, feed_forward)?, matrix("ffn_up", hidden, feed_forward)?);
        Ok(Layer {
            attention_norm: vector("attn_norm")?,
            attention: Matrix::joined(vec![queries, keys, values]),
            attention_out: matrix("attn_output", heads * width, hidden)?,
            feed_norm: vector("ffn_norm")?,
            feed_in: Matrix::joined(vec![gates, ups]),
            feed_out: matrix("ffn_down", feed_forward, hidden)?,
        })
    }
}
