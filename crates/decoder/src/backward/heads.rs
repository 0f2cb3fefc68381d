//! The way back through the attention.
//!
//! With P = softmax(QKᵀ/√d) and O = P·V: V gets Pᵀ·dO, the scores get P ∘ (dP − rows of Σ P ∘ dP) with dP = dO·Vᵀ, and Q and K what
//! follows from them. P is computed anew, which is cheaper than to have kept it. Keys and values that several runs see get what all of them say.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;
use zhiyin_kernels::{
    dispatch,
    rows::{Causal, SoftmaxBack},
};

use crate::{attention::strided, llama::Shape, tree::Tree};

/// Derivatives by queries, keys and values, in rows as `attention` has them. `by_mixed` are those by what the heads give.
pub fn back(shape: Shape, tree: &Tree, attention: &[f32], by_mixed: &[f32]) -> Vec<f32> {
    let task = |key: usize| Task { shape, tree, attention, by_mixed, key };
    let parts: Vec<Vec<f32>> = (0..shape.key_heads).into_par_iter().map(|key| task(key).run()).collect();
    let row_width = (shape.heads + 2 * shape.key_heads) * shape.width;
    let mut out = vec![0.0; attention.len()];
    for (key, part) in parts.iter().enumerate() {
        for (rows, head) in part.chunks_exact(tree.rows() * shape.width).zip(task(key).heads()) {
            for (row, rows) in rows.chunks_exact(shape.width).zip(out.chunks_exact_mut(row_width)) {
                rows[head * shape.width..][..shape.width].copy_from_slice(row);
            }
        }
    }
    out
}

/// One key head, with the heads that ask it.
struct Task<'a> {
    shape: Shape,
    tree: &'a Tree,
    attention: &'a [f32],
    by_mixed: &'a [f32],
    key: usize,
}

impl Task<'_> {
    /// Heads that ask one key head.
    fn group(&self) -> usize {
        self.shape.heads / self.shape.key_heads
    }

    /// Heads that ask, then the keys, then the values, numbered as they lie in a row of the attention.
    fn heads(&self) -> impl Iterator<Item = usize> {
        let Shape { heads, key_heads, .. } = self.shape;
        let asking = self.key * self.group()..(self.key + 1) * self.group();
        asking.chain([heads + self.key, heads + key_heads + self.key])
    }

    /// For each of the heads a row per token of the batch.
    fn run(&self) -> Vec<f32> {
        let rows = self.tree.rows() * self.shape.width;
        let mut out = vec![0.0; (self.group() + 2) * rows];
        let (by_queries, rest) = out.split_at_mut(self.group() * rows);
        let (by_keys, by_values) = rest.split_at_mut(rows);
        for span in 0..self.tree.spans() {
            self.span(span, by_queries, by_keys, by_values);
        }
        out
    }

    /// What the tokens of one span say: of their own queries, and of all keys and values that they see.
    fn span(&self, span: usize, by_queries: &mut [f32], by_keys: &mut [f32], by_values: &mut [f32]) {
        let Shape { heads, key_heads, width, .. } = self.shape;
        let row_width = (heads + 2 * key_heads) * width;
        let own = self.tree.span(span);
        let seen: Vec<usize> = self.rows_seen(span).collect();
        let (tokens, total) = (own.len(), seen.len());
        let gather = |head: usize| -> Vec<f32> {
            seen.iter().flat_map(|row| &self.attention[row * row_width + head * width..][..width]).copied().collect()
        };
        let (keys, values) = (gather(heads + self.key), gather(heads + key_heads + self.key));
        let (keys, values) = (flat(&keys, total, width), flat(&values, total, width));
        let (mut by_seen_keys, mut by_seen_values) = (vec![0.0; total * width], vec![0.0; total * width]);
        let (mut shares, mut by_shares) = (vec![0.0; tokens * total], vec![0.0; tokens * total]);
        let scale = 1.0 / (width as f32).sqrt();
        let all = self.tree.rows() * width;
        for (head, by_queries) in self.heads().zip(by_queries.chunks_exact_mut(all)) {
            let queries = strided(&self.attention[own.start * row_width + head * width..], tokens, width, row_width);
            let slopes = &self.by_mixed[own.start * heads * width + head * width..];
            let slopes = strided(slopes, tokens, width, heads * width);
            matmul(flat_mut(&mut shares, tokens, total), Accum::Replace, queries, keys.transpose(), scale, Par::Seq);
            dispatch(Causal { scores: &mut shares, total, tokens });
            let by_shares_of = flat_mut(&mut by_shares, tokens, total);
            matmul(by_shares_of, Accum::Replace, slopes, values.transpose(), 1.0, Par::Seq);
            let transposed = flat(&shares, tokens, total).transpose();
            matmul(flat_mut(&mut by_seen_values, total, width), Accum::Add, transposed, slopes, 1.0, Par::Seq);
            dispatch(SoftmaxBack { shares: &shares, by_shares: &mut by_shares, width: total });
            let by_scores = flat(&by_shares, tokens, total);
            let by_queries = flat_mut(&mut by_queries[own.start * width..own.end * width], tokens, width);
            matmul(by_queries, Accum::Replace, by_scores, keys, scale, Par::Seq);
            let by_keys = flat_mut(&mut by_seen_keys, total, width);
            matmul(by_keys, Accum::Add, by_scores.transpose(), queries, scale, Par::Seq);
        }
        for (by_all, by_seen) in [(by_keys, by_seen_keys), (by_values, by_seen_values)] {
            for (row, seen) in seen.iter().zip(by_seen.chunks_exact(width)) {
                by_all[row * width..][..width].iter_mut().zip(seen).for_each(|(sum, value)| *sum += value);
            }
        }
    }

    /// Rows that the last token of a span sees, its own span last.
    fn rows_seen(&self, span: usize) -> impl Iterator<Item = usize> {
        self.tree.path(span).into_iter().flat_map(|(span, tokens)| self.tree.span(span).take(tokens))
    }
}

fn flat(numbers: &[f32], rows: usize, width: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(numbers, rows, width)
}

fn flat_mut(numbers: &mut [f32], rows: usize, width: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(numbers, rows, width)
}
