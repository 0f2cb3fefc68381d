//! Causal attention within each history: softmax(Q·Kᵀ/√d)·V by head, and the way back.
//!
//! With P the shares, some of them left out, and O = P·V: V gets Pᵀ·dO, P gets dO·Vᵀ, and Q and K what follows through the softmax. P is
//! computed anew on the way back, which is cheaper than to keep it.

use zhiyin_kernels::{
    dispatch,
    rows::{Causal, SoftmaxBack},
};

use crate::{
    events::Pack,
    noise::{Noise, drop},
    product::{MatRef, rows, rows_mut, set, strided, strided_mut},
};

/// Attention over all histories.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    pub pack: &'a Pack,
    pub heads: usize,
    /// Numbers of an output row, of all heads together.
    pub dims: usize,
    pub noise: Option<Noise>,
}

/// One head of one history.
struct Head {
    /// First event, and how many.
    first: usize,
    events: usize,
    /// Where the head's numbers begin in an output row, and how many.
    at: usize,
    width: usize,
    number: usize,
}

impl Attention<'_> {
    fn each_head(&self) -> impl Iterator<Item = Head> + '_ {
        let width = self.dims / self.heads;
        self.pack.histories().enumerate().filter(|(_, events)| !events.is_empty()).flat_map(move |(history, events)| {
            (0..self.heads).map(move |head| Head {
                first: events.start,
                events: events.len(),
                at: head * width,
                width,
                number: history * self.heads + head,
            })
        })
    }

    /// A part of the rows of queries, keys and values: `which` is 0 for queries, 1 for keys, 2 for values.
    fn part<'b>(&self, head: &Head, numbers: &'b [f32], which: usize) -> MatRef<'b, f32> {
        let stride = 3 * self.dims;
        strided(&numbers[head.first * stride + which * self.dims + head.at..], head.events, head.width, stride)
    }

    /// The outputs, from rows of queries, keys and values.
    pub fn there(&self, inputs: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; inputs.len() / 3];
        let (mut shares, mut kept) = (Vec::new(), Vec::new());
        for head in self.each_head() {
            self.shares(&head, inputs, &mut shares, &mut kept);
            let out = &mut out[head.first * self.dims + head.at..];
            let out = strided_mut(out, head.events, head.width, self.dims);
            set(out, rows(&kept, head.events), self.part(&head, inputs, 2), 1.0);
        }
        out
    }

    /// The shares, and what is left of them.
    fn shares(&self, head: &Head, inputs: &[f32], shares: &mut Vec<f32>, kept: &mut Vec<f32>) {
        let events = head.events;
        shares.clear();
        shares.resize(events * events, 0.0);
        let (queries, keys) = (self.part(head, inputs, 0), self.part(head, inputs, 1));
        set(rows_mut(shares, events), queries, keys.transpose(), scale(head.width));
        dispatch(Causal { scores: shares, total: events, tokens: events });
        kept.clear();
        kept.extend_from_slice(shares);
        drop(self.noise, head.number, kept);
    }

    /// Derivatives by queries, keys and values from those by the outputs.
    pub fn back(&self, inputs: &[f32], slopes: &[f32]) -> Vec<f32> {
        let mut below = vec![0.0; inputs.len()];
        let (mut shares, mut kept, mut by_shares) = (Vec::new(), Vec::new(), Vec::new());
        for head in self.each_head() {
            let events = head.events;
            self.shares(&head, inputs, &mut shares, &mut kept);
            let slopes = strided(&slopes[head.first * self.dims + head.at..], events, head.width, self.dims);
            let [queries, keys, values] = [0, 1, 2].map(|which| self.part(&head, inputs, which));
            let mut put = |which: usize, left: MatRef<'_, f32>, right: MatRef<'_, f32>, scale: f32| {
                let stride = 3 * self.dims;
                let out = &mut below[head.first * stride + which * self.dims + head.at..];
                set(strided_mut(out, events, head.width, stride), left, right, scale);
            };
            put(2, rows(&kept, events).transpose(), slopes, 1.0);
            by_shares.clear();
            by_shares.resize(events * events, 0.0);
            set(rows_mut(&mut by_shares, events), slopes, values.transpose(), 1.0);
            drop(self.noise, head.number, &mut by_shares);
            dispatch(SoftmaxBack { shares: &shares, by_shares: &mut by_shares, width: events });
            let by_scores = rows(&by_shares, events);
            put(0, by_scores, keys, scale(head.width));
            put(1, by_scores.transpose(), queries, scale(head.width));
        }
        below
    }
}

/// What dot products of queries and keys are multiplied by.
pub fn scale(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 29 + seed * 17) % 23) as f32 / 11.0 - 1.0).collect()
    }

    #[test]
    fn outputs_and_slopes_match_the_definition() {
        for (heads, noise) in [(1, None), (2, None), (2, Some(Noise::new(3, 0.3)))] {
            let mut pack = Pack::new();
            pack.starts.extend([1, 4, 9]);
            let attention = Attention { pack: &pack, heads, dims: 4, noise };
            let (inputs, slopes) = (numbers(9 * 12, 1), numbers(9 * 4, 2));
            if noise.is_none() {
                let out = attention.there(&inputs);
                for (found, wanted) in out.iter().zip(plain(&pack, heads, &inputs)) {
                    assert!((f64::from(*found) - wanted).abs() < 1e-5, "{heads}");
                }
            }
            let along = |inputs: &[f32]| -> f64 {
                attention.there(inputs).iter().zip(&slopes).map(|(out, slope)| f64::from(out * slope)).sum()
            };
            for (at, found) in attention.back(&inputs, &slopes).into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut inputs = inputs.clone();
                    inputs[at] += by;
                    along(&inputs)
                };
                let wanted = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((f64::from(found) - wanted).abs() < 1e-3, "{heads} {noise:?} {at}: {found} {wanted}");
            }
        }
    }

    /// Attention by the definition, in double precision.
    fn plain(pack: &Pack, heads: usize, inputs: &[f32]) -> Vec<f64> {
        let width = 4 / heads;
        let number = |event: usize, which: usize, at: usize| f64::from(inputs[event * 12 + which * 4 + at]);
        let mut out = vec![0.0; 36];
        for events in pack.histories() {
            for (event, head) in events.clone().flat_map(|event| (0..heads).map(move |head| (event, head * width))) {
                let score = |other: usize| -> f64 {
                    let dot: f64 = (head..head + width).map(|at| number(event, 0, at) * number(other, 1, at)).sum();
                    (dot / (width as f64).sqrt()).exp()
                };
                let total: f64 = (events.start..=event).map(score).sum();
                for at in head..head + width {
                    let sum: f64 = (events.start..=event).map(|other| score(other) * number(other, 2, at)).sum();
                    out[event * 4 + at] = sum / total;
                }
            }
        }
        out
    }
}
