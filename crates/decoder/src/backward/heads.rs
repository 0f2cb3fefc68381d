//! The way back through the attention.
//!
//! With P = softmax(QKᵀ/√d) and O = P·V: V gets Pᵀ·dO, the scores get P ∘ (dP − rows of Σ P ∘ dP) with dP = dO·Vᵀ, and Q and K what
//! follows from them. P is computed anew, which is cheaper than to have kept it.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;
use zhiyin_kernels::{
    dispatch,
    rows::{Causal, SoftmaxBack},
};

use crate::{attention::strided, llama::Shape};

/// Derivatives by queries, keys and values, in rows as `attention` has them. `by_mixed` are those by what the heads give.
pub fn back(shape: Shape, lengths: &[usize], attention: &[f32], by_mixed: &[f32]) -> Vec<f32> {
    let group = shape.heads / shape.key_heads;
    let mut tasks = Vec::new();
    let mut first = 0;
    for &tokens in lengths {
        tasks.extend((0..shape.key_heads).map(|key| Task { shape, attention, by_mixed, first, tokens, key }));
        first += tokens;
    }
    let parts: Vec<Vec<f32>> = tasks.par_iter().map(Task::run).collect();
    let row_width = (shape.heads + 2 * shape.key_heads) * shape.width;
    let mut out = vec![0.0; attention.len()];
    for (task, part) in tasks.iter().zip(parts) {
        let starts = (0..group).map(|head| task.key * group + head);
        let starts = starts.chain([shape.heads + task.key, shape.heads + shape.key_heads + task.key]);
        for (rows, head) in part.chunks_exact(task.tokens * shape.width).zip(starts) {
            for (token, row) in rows.chunks_exact(shape.width).enumerate() {
                let at = (task.first + token) * row_width + head * shape.width;
                out[at..at + shape.width].copy_from_slice(row);
            }
        }
    }
    out
}

/// One key head of one run, with the heads that ask it.
struct Task<'a> {
    shape: Shape,
    attention: &'a [f32],
    by_mixed: &'a [f32],
    /// First token of the run, and how many it has.
    first: usize,
    tokens: usize,
    key: usize,
}

impl Task<'_> {
    /// Rows for each query head, then those of the keys, then those of the values.
    fn run(&self) -> Vec<f32> {
        let Shape { heads, key_heads, width, .. } = self.shape;
        let (tokens, group) = (self.tokens, heads / key_heads);
        let row_width = (heads + 2 * key_heads) * width;
        let of =
            |head: usize| strided(&self.attention[self.first * row_width + head * width..], tokens, width, row_width);
        let (keys, values) = (of(heads + self.key), of(heads + key_heads + self.key));
        let scale = 1.0 / (width as f32).sqrt();
        let mut out = vec![0.0; (group + 2) * tokens * width];
        let (by_queries, rest) = out.split_at_mut(group * tokens * width);
        let (by_keys, by_values) = rest.split_at_mut(tokens * width);
        let mut shares = vec![0.0; tokens * tokens];
        let mut by_shares = vec![0.0; tokens * tokens];
        for (head, by_queries) in by_queries.chunks_exact_mut(tokens * width).enumerate() {
            let head = self.key * group + head;
            let queries = of(head);
            let slopes = &self.by_mixed[self.first * heads * width + head * width..];
            let slopes = strided(slopes, tokens, width, heads * width);
            matmul(square_mut(&mut shares, tokens), Accum::Replace, queries, keys.transpose(), scale, Par::Seq);
            dispatch(Causal { scores: &mut shares, total: tokens, tokens });
            matmul(square_mut(&mut by_shares, tokens), Accum::Replace, slopes, values.transpose(), 1.0, Par::Seq);
            let transposed = square(&shares, tokens).transpose();
            matmul(flat_mut(by_values, tokens, width), Accum::Add, transposed, slopes, 1.0, Par::Seq);
            dispatch(SoftmaxBack { shares: &shares, by_shares: &mut by_shares, width: tokens });
            let by_scores = square(&by_shares, tokens);
            matmul(flat_mut(by_queries, tokens, width), Accum::Replace, by_scores, keys, scale, Par::Seq);
            matmul(flat_mut(by_keys, tokens, width), Accum::Add, by_scores.transpose(), queries, scale, Par::Seq);
        }
        out
    }
}

fn square(numbers: &[f32], side: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(numbers, side, side)
}

fn square_mut(numbers: &mut [f32], side: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(numbers, side, side)
}

fn flat_mut(numbers: &mut [f32], rows: usize, width: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(numbers, rows, width)
}
