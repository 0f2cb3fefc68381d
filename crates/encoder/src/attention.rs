//! Attention within one text: softmax(QKᵀ/√d)·V, head by head.

use zhiyin_kernels::{kernel, softmax};

/// Attention of all heads of one text.
pub struct Attention<'a> {
    /// Queries, keys and values of each token: rows of 3 · hidden numbers.
    pub inputs: &'a [f32],
    /// Receives rows of `hidden` numbers.
    pub out: &'a mut [f32],
    pub hidden: usize,
    pub heads: usize,
    pub work: &'a mut Work,
}

/// Buffers for the longest text so far.
#[derive(Default)]
pub struct Work {
    /// Keys of a head, one row per dimension.
    keys: Vec<f32>,
    /// Scores of one query.
    scores: Vec<f32>,
}

kernel!(Attention, Attention { inputs, out, hidden, heads, work } => {
    let (width, tokens) = (hidden / heads, out.len() / hidden);
    work.keys.resize(width * tokens, 0.0);
    work.scores.resize(tokens, 0.0);
    for head in 0..heads {
        transpose_keys(inputs, hidden, head * width, width, &mut work.keys);
        let scale = 1.0 / (width as f32).sqrt();
        for (token, out) in out.chunks_exact_mut(hidden).enumerate() {
            let query = &inputs[token * 3 * hidden + head * width..][..width];
            score(query, scale, &work.keys, &mut work.scores);
            softmax(&mut work.scores);
            mix(&work.scores, inputs, hidden, head * width, &mut out[head * width..][..width]);
        }
    }
});

/// Lays the keys of a head out by dimension, so that a query meets all of them with whole vectors.
#[inline(always)]
fn transpose_keys(inputs: &[f32], hidden: usize, offset: usize, width: usize, keys: &mut [f32]) {
    let tokens = keys.len() / width;
    for (token, row) in inputs.chunks_exact(3 * hidden).enumerate() {
        for (dimension, &key) in row[hidden + offset..][..width].iter().enumerate() {
            keys[dimension * tokens + token] = key;
        }
    }
}

#[inline(always)]
fn score(query: &[f32], scale: f32, keys: &[f32], scores: &mut [f32]) {
    scores.fill(0.0);
    for (&query, keys) in query.iter().zip(keys.chunks_exact(scores.len())) {
        let query = query * scale;
        scores.iter_mut().zip(keys).for_each(|(score, key)| *score += query * key);
    }
}

/// out ← Σ score · value.
#[inline(always)]
fn mix(scores: &[f32], inputs: &[f32], hidden: usize, offset: usize, out: &mut [f32]) {
    out.fill(0.0);
    for (&score, row) in scores.iter().zip(inputs.chunks_exact(3 * hidden)) {
        let values = &row[2 * hidden + offset..][..out.len()];
        out.iter_mut().zip(values).for_each(|(out, value)| *out += score * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiyin_kernels::dispatch;

    #[test]
    fn two_tokens_and_two_heads_by_hand() {
        // Hidden 2, two heads of width 1. Rows: q q k k v v.
        let inputs = [1.0, 0.0, 1.0, 5.0, 10.0, 1.0, 0.0, 0.0, 0.0, 5.0, 20.0, 3.0];
        let mut out = [0.0; 4];
        let mut work = Work::default();
        dispatch(Attention { inputs: &inputs, out: &mut out, hidden: 2, heads: 2, work: &mut work });
        // The first head of the first token prefers its own key by e : 1; everything else is a plain mean.
        let first = (10.0 * std::f32::consts::E + 20.0) / (std::f32::consts::E + 1.0);
        for (found, wanted) in out.iter().zip([first, 2.0, 15.0, 2.0]) {
            assert!((found - wanted).abs() < 1e-4, "{out:?}");
        }
    }
}
