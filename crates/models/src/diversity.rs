//! Choosing a varied list from ranked candidates.
//!
//! [`dpp`] maximises relevance plus the log-determinant of the chosen items' similarities, greedily, with an incremental
//! Cholesky factor (Chen, Zhang and Zhou, NeurIPS 2018): O(k²N + kNd) for k of N candidates with d-dimensional vectors. [`mmr`]
//! is maximal marginal relevance (Carbonell and Goldstein 1998), the simple option. Neither knows what an item is: similarity is
//! the dot product of unit vectors that the caller supplies. An all-zero vector resembles nothing.

use crate::kernels;

/// Off-diagonal similarities shrink by this factor, so that even an exact duplicate keeps some determinant and the order among
/// candidates stays defined when more are chosen than the vectors have dimensions.
pub const SIMILARITY_SHRINKAGE: f32 = 0.95;

/// Candidates to choose from, as [`dpp`] takes them.
#[derive(Clone, Copy)]
struct Candidates<'a> {
    relevances: &'a [f32],
    vectors: &'a [f32],
    dims: usize,
}

impl Candidates<'_> {
    fn len(&self) -> usize {
        self.relevances.len()
    }

    fn similarity(&self, a: usize, b: usize) -> f32 {
        let row = |i: usize| self.vectors.get(i * self.dims..(i + 1) * self.dims).unwrap_or(&[]);
        if a == b { 1.0 } else { SIMILARITY_SHRINKAGE * kernels::dot(row(a), row(b)).clamp(-1.0, 1.0) }
    }

    /// Relevances from 0 for the lowest to 1 for the highest; all 0 if they don't differ.
    fn scaled(&self) -> Vec<f32> {
        let low = self.relevances.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.relevances.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = high - low;
        let scale = |relevance: f32| if range > 0.0 { (relevance - low) / range } else { 0.0 };
        self.relevances.iter().map(|&relevance| scale(relevance)).collect()
    }
}

/// Greedy MAP of a dpp point process with kernel diag(q) S diag(q), q = exp((1 − θ)/(2θ) · relevance).
///
/// `relevances` are in descending order, on any scale: only the place between the lowest and the highest matters. `vectors` has one
/// unit row of `dims` numbers per candidate. `theta` goes from 0 (exactly the given order) to 1 (diversity only). Returns the
/// indices of `count` candidates in the order of choice; fewer if there are fewer. Ties go to the earlier candidate.
pub fn dpp(relevances: &[f32], vectors: &[f32], dims: usize, theta: f32, count: usize) -> Vec<usize> {
    let candidates = Candidates { relevances, vectors, dims };
    let count = count.min(candidates.len());
    let theta = theta.clamp(0.0, 1.0);
    if theta == 0.0 {
        return (0..count).collect();
    }
    // Maximising q² d² spares a logarithm per candidate and step; double precision keeps small θ from underflowing.
    let sharpness = f64::from(2.0 * (1.0 - theta) / theta);
    let squared: Vec<f64> = candidates.scaled().iter().map(|&r| (sharpness * f64::from(r - 1.0)).exp()).collect();
    let mut factor = Factor::new(candidates.len(), count);
    greedy(candidates.len(), count, |chosen, last| {
        if let Some(last) = last {
            factor.extend(&candidates, last);
        }
        best(candidates.len(), chosen, |i| squared[i] * f64::from(factor.remainders[i]))
    })
}

/// Maximal marginal relevance: next is the candidate with the highest (1 − θ) · relevance − θ · (similarity to the nearest chosen).
///
/// Arguments and answer as for [`dpp`].
pub fn mmr(relevances: &[f32], vectors: &[f32], dims: usize, theta: f32, count: usize) -> Vec<usize> {
    let candidates = Candidates { relevances, vectors, dims };
    let count = count.min(candidates.len());
    let theta = theta.clamp(0.0, 1.0);
    if theta == 0.0 {
        return (0..count).collect();
    }
    let relevances = candidates.scaled();
    let mut nearest = vec![0.0_f32; candidates.len()];
    greedy(candidates.len(), count, |chosen, last| {
        if let Some(last) = last {
            let update = |(i, nearest): (usize, &mut f32)| *nearest = nearest.max(candidates.similarity(i, last));
            nearest.iter_mut().enumerate().for_each(update);
        }
        best(candidates.len(), chosen, |i| f64::from((1.0 - theta) * relevances[i] - theta * nearest[i]))
    })
}

/// Calls `next` with what is chosen and the last choice until `count` are chosen.
fn greedy(n: usize, count: usize, mut next: impl FnMut(&[bool], Option<usize>) -> Option<usize>) -> Vec<usize> {
    let (mut order, mut chosen) = (Vec::with_capacity(count), vec![false; n]);
    while order.len() < count {
        let Some(choice) = next(&chosen, order.last().copied()) else { break };
        chosen[choice] = true;
        order.push(choice);
    }
    order
}

/// The unchosen candidate with the highest value, the earliest among equals.
fn best(n: usize, chosen: &[bool], value: impl Fn(usize) -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for i in (0..n).filter(|&i| !chosen[i]) {
        let value = value(i);
        if best.is_none_or(|(_, highest)| value > highest) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

/// Cholesky factor of the chosen items' similarity matrix, extended to all candidates.
struct Factor {
    /// Row `k` has entry k of every candidate's c, so that a step runs along rows.
    rows: Vec<f32>,
    filled: usize,
    /// d_i²: by how much the determinant is multiplied when candidate `i` is chosen next.
    remainders: Vec<f32>,
}

impl Factor {
    fn new(candidates: usize, count: usize) -> Self {
        Self { rows: vec![0.0; candidates * count], filled: 0, remainders: vec![1.0; candidates] }
    }

    /// Adds a chosen candidate.
    fn extend(&mut self, candidates: &Candidates<'_>, last: usize) {
        let n = self.remainders.len();
        let (before, row) = self.rows.split_at_mut(self.filled * n);
        let row = &mut row[..n];
        row.iter_mut().enumerate().for_each(|(i, entry)| *entry = candidates.similarity(last, i));
        for earlier in before.chunks_exact(n) {
            kernels::axpy(-earlier[last], earlier, row);
        }
        let per_root = self.remainders[last].sqrt().recip();
        for (entry, remainder) in row.iter_mut().zip(&mut self.remainders) {
            *entry *= per_root;
            *remainder = (*remainder - *entry * *entry).max(1e-6);
        }
        self.filled += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Choice = fn(&[f32], &[f32], usize, f32, usize) -> Vec<usize>;

    impl Candidates<'_> {
        fn choose(&self, choice: Choice, theta: f32, count: usize) -> Vec<usize> {
            choice(self.relevances, self.vectors, self.dims, theta, count)
        }
    }

    fn unit_rows(dims: usize, numbers: &[f32]) -> Vec<f32> {
        let mut rows = numbers.to_vec();
        for row in rows.chunks_exact_mut(dims) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            row.iter_mut().for_each(|x| *x /= norm);
        }
        rows
    }

    /// Determinant by elimination, in double precision.
    fn determinant(candidates: &Candidates<'_>, set: &[usize]) -> f64 {
        let similarity = |i: usize, j: usize| f64::from(candidates.similarity(i, j));
        let mut rows: Vec<Vec<f64>> = set.iter().map(|&i| set.iter().map(|&j| similarity(i, j)).collect()).collect();
        let mut product = 1.0;
        while !rows.is_empty() {
            let pivot = rows.remove(0);
            product *= pivot[0];
            let reduced = |row: &Vec<f64>| {
                let factor = row[0] / pivot[0];
                row.iter().zip(&pivot).skip(1).map(|(x, y)| x - factor * y).collect()
            };
            rows = rows.iter().map(reduced).collect();
        }
        product
    }

    /// The greedy choice with a fresh determinant for every candidate set.
    fn brute_force(candidates: &Candidates<'_>, theta: f32, count: usize) -> Vec<usize> {
        let relevances = candidates.scaled();
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count {
            let value = |i: usize| {
                let set: Vec<usize> = chosen.iter().copied().chain([i]).collect();
                let relevance: f64 = set.iter().map(|&j| f64::from(relevances[j])).sum();
                f64::from(1.0 - theta) * relevance + f64::from(theta) * 0.5 * determinant(candidates, &set).ln()
            };
            let free = (0..candidates.len()).filter(|i| !chosen.contains(i));
            let next = free.max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a)));
            chosen.extend(next);
        }
        chosen
    }

    #[test]
    fn a_duplicate_gives_way_to_something_else() {
        let vectors = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let candidates = Candidates { relevances: &[1.0, 0.9, 0.5], vectors: &vectors, dims: 2 };
        assert_eq!(candidates.choose(dpp, 0.5, 3), [0, 2, 1]);
        assert_eq!(candidates.choose(mmr, 0.5, 3), [0, 2, 1]);
        assert_eq!(candidates.choose(dpp, 0.05, 3), [0, 1, 2]);
    }

    #[test]
    fn more_are_chosen_than_there_are_dimensions_or_candidates() {
        let vectors = [1.0; 6];
        let candidates = Candidates { relevances: &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0], vectors: &vectors, dims: 1 };
        assert_eq!(candidates.choose(dpp, 0.9, 10), [0, 1, 2, 3, 4, 5]);
        let none = Candidates { relevances: &[], vectors: &[], dims: 4 };
        assert!(none.choose(dpp, 0.5, 3).is_empty());
    }

    #[test]
    fn items_without_a_vector_resemble_nothing() {
        let vectors = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let candidates = Candidates { relevances: &[1.0, 1.0, 1.0], vectors: &vectors, dims: 2 };
        assert_eq!(candidates.choose(dpp, 0.5, 2), [0, 2]);
    }

    proptest! {
        #[test]
        fn theta_0_is_the_order_of_relevance(relevances in prop::collection::vec(-5.0_f32..5.0, 1..20), count in 1_usize..25) {
            let vectors = vec![1.0; relevances.len()];
            let candidates = Candidates { relevances: &relevances, vectors: &vectors, dims: 1 };
            let expected: Vec<usize> = (0..count.min(relevances.len())).collect();
            prop_assert_eq!(candidates.choose(dpp, 0.0, count), expected.clone());
            prop_assert_eq!(candidates.choose(mmr, 0.0, count), expected);
        }

        #[test]
        fn the_incremental_factor_agrees_with_fresh_determinants(
            numbers in prop::collection::vec(-1.0_f32..1.0, 8 * 3),
            relevances in prop::collection::vec(0.0_f32..1.0, 8),
            theta in 0.05_f32..1.0,
        ) {
            let vectors = unit_rows(3, &numbers);
            let candidates = Candidates { relevances: &relevances, vectors: &vectors, dims: 3 };
            let (fast, slow) = (candidates.choose(dpp, theta, 5), brute_force(&candidates, theta, 5));
            let relevances = candidates.scaled();
            let value = |set: &[usize]| {
                let relevance: f64 = set.iter().map(|&j| f64::from(relevances[j])).sum();
                f64::from(1.0 - theta) * relevance + f64::from(theta) * 0.5 * determinant(&candidates, set).ln()
            };
            // Rounding may swap near ties, so the values are compared at every length rather than the indices.
            for length in 1..=5 {
                prop_assert!((value(&fast[..length]) - value(&slow[..length])).abs() < 1e-3, "{fast:?} {slow:?}");
            }
        }
    }
}
