//! Attention of new tokens to everything before them and to themselves: softmax(QKᵀ/√d)·V, one head at a time.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use zhiyin_kernels::{NullaryFnOnce, dispatch, dot, rows::Causal, softmax};

use crate::memory::Stretch;

/// With fewer new tokens than this, products of matrices don't pay.
const TOKENS_MIN: usize = 4;

/// Attention of one head in one sequence.
pub struct Head<'a> {
    /// Rows whose numbers from `query` on are the queries of the head.
    pub inputs: &'a [f32],
    /// Numbers of a row of `inputs`.
    pub input_width: usize,
    pub query: usize,
    /// Keys and values, stretch by stretch; the new tokens are the last ones.
    pub stretches: &'a [Stretch<'a>],
    /// Numbers of a row of keys or values.
    pub memory_width: usize,
    /// Where the key head begins in such a row.
    pub key: usize,
    /// Receives a row of as many numbers as a head is wide for each new token.
    pub out: &'a mut [f32],
    /// Width of a head.
    pub width: usize,
}

impl Head<'_> {
    pub fn attend(self, scores: &mut Vec<f32>) {
        if self.out.len() / self.width < TOKENS_MIN {
            dispatch(Few { head: self, scores });
        } else {
            self.many(scores);
        }
    }

    fn total(&self) -> usize {
        self.stretches.iter().map(|layer| layer.keys.len() / self.memory_width).sum()
    }

    fn many(self, scores: &mut Vec<f32>) {
        let (tokens, total, width) = (self.out.len() / self.width, self.total(), self.width);
        scores.clear();
        scores.resize(tokens * total, 0.0);
        let queries = strided(&self.inputs[self.query..], tokens, width, self.input_width);
        let scale = 1.0 / (width as f32).sqrt();
        let mut first = 0;
        for layer in self.stretches {
            let count = layer.keys.len() / self.memory_width;
            if count > 0 {
                let keys = strided(&layer.keys[self.key..], count, width, self.memory_width);
                let out = &mut scores[first..(tokens - 1) * total + first + count];
                let out = MatMut::from_column_major_slice_with_stride_mut(out, count, tokens, total);
                matmul(out, Accum::Replace, keys, queries.transpose(), scale, Par::Seq);
            }
            first += count;
        }
        dispatch(Causal { scores, total, tokens });
        let mut accumulate = Accum::Replace;
        let mut first = 0;
        for layer in self.stretches {
            let count = layer.values.len() / self.memory_width;
            if count > 0 {
                let values = strided(&layer.values[self.key..], count, width, self.memory_width);
                let shares = strided(&scores[first..], tokens, count, total);
                let out = MatMut::from_row_major_slice_mut(&mut *self.out, tokens, width);
                matmul(out, accumulate, shares, values, 1.0, Par::Seq);
                accumulate = Accum::Add;
            }
            first += count;
        }
    }
}

/// Rows of `width` numbers that begin `stride` numbers after each other.
pub fn strided(numbers: &[f32], rows: usize, width: usize, stride: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice_with_stride(&numbers[..(rows - 1) * stride + width], rows, width, stride)
}

/// For few new tokens: row by row.
struct Few<'a, 'b> {
    head: Head<'a>,
    scores: &'b mut Vec<f32>,
}

impl NullaryFnOnce for Few<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { head, scores } = self;
        let (width, total) = (head.width, head.total());
        let tokens = head.out.len() / width;
        let scale = 1.0 / (width as f32).sqrt();
        for (token, out) in head.out.chunks_exact_mut(width).enumerate() {
            let query = &head.inputs[token * head.input_width + head.query..][..width];
            let seen = total - tokens + token + 1;
            scores.clear();
            for layer in head.stretches {
                for row in layer.keys.chunks_exact(head.memory_width).take(seen - scores.len()) {
                    scores.push(scale * dot(query, &row[head.key..][..width]));
                }
            }
            softmax(scores);
            out.fill(0.0);
            let values = head.stretches.iter().flat_map(|layer| layer.values.chunks_exact(head.memory_width));
            for (&share, row) in scores.iter().zip(values) {
                let values = &row[head.key..][..width];
                out.iter_mut().zip(values).for_each(|(out, value)| *out += share * value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Layer;

    /// Attention by the definition, in double precision.
    fn plain(inputs: &[f32], stretches: &[Stretch<'_>], tokens: usize) -> Vec<f64> {
        let rows = |pick: fn(&Stretch<'_>) -> Vec<f32>| -> Vec<Vec<f64>> {
            stretches
                .iter()
                .flat_map(|layer| pick(layer).chunks(4).map(<[f32]>::to_vec).collect::<Vec<_>>())
                .map(|row| row[2..].iter().map(|v| f64::from(*v)).collect())
                .collect()
        };
        let (keys, values) = (rows(|layer| layer.keys.to_vec()), rows(|layer| layer.values.to_vec()));
        let mut out = Vec::new();
        for token in 0..tokens {
            let query = &inputs[token * 6 + 2..token * 6 + 4];
            let seen = keys.len() - tokens + token + 1;
            let weight = |key: &Vec<f64>| {
                (key.iter().zip(query).map(|(k, q)| k * f64::from(*q)).sum::<f64>() / 2_f64.sqrt()).exp()
            };
            let weights: Vec<f64> = keys[..seen].iter().map(weight).collect();
            let total: f64 = weights.iter().sum();
            for dimension in 0..2 {
                out.push(weights.iter().zip(&values).map(|(w, v)| w / total * v[dimension]).sum());
            }
        }
        out
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 29 + seed * 17) % 23) as f32 / 11.0 - 1.0).collect()
    }

    #[test]
    fn few_and_many_tokens_after_one_or_two_stretches_match_the_definition() {
        for tokens in [1, 3, 4, 9] {
            for shared in [0, 7] {
                let layer =
                    |rows: usize, seed| Layer { keys: numbers(rows * 4, seed), values: numbers(rows * 4, seed + 1) };
                let (first, second) = (layer(shared, 1), layer(tokens + 2, 5));
                let stretches = [first.whole(), second.whole()];
                let inputs = numbers(tokens * 6, 9);
                let mut out = vec![f32::NAN; tokens * 2];
                let head = Head {
                    inputs: &inputs,
                    input_width: 6,
                    query: 2,
                    stretches: &stretches,
                    memory_width: 4,
                    key: 2,
                    out: &mut out,
                    width: 2,
                };
                head.attend(&mut Vec::new());
                for (found, wanted) in out.iter().zip(plain(&inputs, &stretches, tokens)) {
                    assert!((f64::from(*found) - wanted).abs() < 1e-5, "{tokens} {shared}: {out:?}");
                }
            }
        }
    }
}
