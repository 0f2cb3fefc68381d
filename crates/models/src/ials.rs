//! iALS++: matrix factorisation of implicit feedback by alternating least squares over blocks of dimensions.
//!
//! Rendle et al., "iALS++: Speeding up Matrix Factorization with Subspace Optimization" (2021) and "Revisiting the Performance of iALS
//! on Item Recommendation Benchmarks" (RecSys 2022). For catalogues too large for [`crate::ease`]: memory is (actors + items) · d floats
//! while fitting and items · d afterwards. Vectors of actors aren't kept: a history is folded in by one solve per query, so new actors
//! and new events count at once. The order of a history counts only through the decay of the input.
//!
//! Vectors are kept in the eigenbasis of VᵀV, which changes no score and makes the part of the normal equations that all actors share a
//! diagonal D. By Woodbury's identity a history of n items then takes a solve of n × n: (D + VWVᵀ)⁻¹VW = D⁻¹V√W(I + √WVᵀD⁻¹V√W)⁻¹√W.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, Model, Query, Scores,
    ease::history_inputs,
    gram::{self, Occurrences},
    kernels::{axpy, dot},
    linalg,
};

/// Name of the model.
const NAME: &str = "ials";
/// Dimensions that are solved for together.
const BLOCK: usize = 32;
/// Most dimensions.
pub const DIMENSIONS_MAX: usize = 512;
/// Items that it handles.
pub const ITEMS_MAX: usize = 10_000_000;
/// Standard deviation of the first vectors' length.
const FIRST_LENGTH: f32 = 0.1;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Dimensions d of the vectors, 1 to [`DIMENSIONS_MAX`].
    pub dimensions: usize,
    /// Weight α₀ of every pair, observed or not; an observed one weighs 1 more.
    pub unobserved_weight: f32,
    /// Regularisation λ; row u of the normal equations gets λ(|S_u| + α₀n)^ν.
    pub lambda: f32,
    /// Frequency scaling ν of the regularisation: 0 the same for all, 1 in proportion to the events.
    pub frequency_scaling: f32,
    /// Passes over actors and items.
    pub epochs: usize,
    /// Seed of the first vectors.
    pub seed: u64,
    /// δ of the weight e^(−age/δ) of the history's items when scoring; none: each distinct item counts 1.
    pub input_decay: Option<f32>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            dimensions: 128,
            unobserved_weight: 0.02,
            lambda: 0.01,
            frequency_scaling: 1.0,
            epochs: 16,
            seed: 1,
            input_decay: Some(2.0),
        }
    }
}

impl Params {
    /// Alternatives to these for a coordinate search, the most important axis first.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        let lambdas = [0.003, 0.01, 0.03].map(|lambda| Self { lambda, ..self.clone() }).to_vec();
        let unobserved =
            [0.005, 0.02, 0.2].map(|unobserved_weight| Self { unobserved_weight, ..self.clone() }).to_vec();
        let inputs = [None, Some(2.0), Some(4.0), Some(8.0), Some(20.0)];
        let inputs = inputs.map(|input_decay| Self { input_decay, ..self.clone() }).to_vec();
        let dimensions = [64, 128].map(|dimensions| Self { dimensions, ..self.clone() }).to_vec();
        let mut axes = vec![unobserved, inputs, lambdas, dimensions];
        axes.iter_mut().for_each(|axis| axis.retain(|params| params != self));
        axes
    }

    fn regularisation(&self, events: f32, opposite_rows: usize) -> f32 {
        self.lambda * (events + self.unobserved_weight * opposite_rows as f32).powf(self.frequency_scaling)
    }
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ials {
    params: Params,
    /// Item vectors, d floats each, in the eigenbasis of VᵀV.
    items: Vec<f32>,
    /// Eigenvalues of α₀VᵀV.
    spectrum: Vec<f32>,
}

impl Ials {
    /// Fits the model.
    ///
    /// # Errors
    /// No events, more than [`ITEMS_MAX`] items, or normal equations that aren't positive definite (λ too small).
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        gram::check(data, NAME, ITEMS_MAX)?;
        let params = Params { dimensions: params.dimensions.clamp(1, DIMENSIONS_MAX), ..params.clone() };
        let by_actor = Occurrences::sets(data).into_rows();
        let by_item = by_actor.transposed(data.n_items());
        let mut random = Pcg64Mcg::seed_from_u64(params.seed);
        let mut actors = first_vectors(data.n_actors(), params.dimensions, &mut random);
        let mut items = first_vectors(data.n_items(), params.dimensions, &mut random);
        for _ in 0..params.epochs {
            update(&mut actors, &by_actor, &items, &params)?;
            update(&mut items, &by_item, &actors, &params)?;
        }
        let Some((spectrum, basis)) = eigenbasis(&scaled_gram(&items, &params), params.dimensions) else {
            return Err(FitError::Numerical { model: NAME, detail: "the item vectors have no eigenbasis".into() });
        };
        let mut rotated = vec![0.0; items.len()];
        linalg::multiply_transposed(&items, &basis, params.dimensions, &mut rotated);
        Ok(Self { params, items: rotated, spectrum })
    }

    /// The hyper-parameters in use.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Takes over what only matters for scoring. False, and nothing changed, when `params` need another fit.
    pub fn adopt(&mut self, params: &Params) -> bool {
        let fits = *params == Params { input_decay: params.input_decay, ..self.params.clone() };
        if fits {
            self.params = params.clone();
        }
        fits
    }

    /// Vector of an item, if the model knows it.
    pub fn item_vector(&self, item: ItemIx) -> Option<&[f32]> {
        let d = self.params.dimensions;
        self.items.get(item as usize * d..(item as usize + 1) * d)
    }

    fn n_items(&self) -> usize {
        self.items.len() / self.params.dimensions
    }

    /// Items of the history that the model knows, with weights.
    fn inputs(&self, history: &[Interaction]) -> Vec<(f32, ItemIx, &[f32])> {
        let inputs = history_inputs(history, self.params.input_decay).into_iter();
        inputs.filter_map(|(item, weight)| Some((weight, item, self.item_vector(item)?))).collect()
    }

    fn folding<'q>(&'q self, history: &[Interaction]) -> Option<Folding<'q>> {
        let inputs = self.inputs(history);
        let events = inputs.iter().map(|(weight, ..)| weight).sum();
        let ridge = self.params.regularisation(events, self.n_items());
        Folding::new(inputs, &self.spectrum, ridge)
    }
}

/// The normal equations of one history.
struct Folding<'a> {
    inputs: Vec<(f32, ItemIx, &'a [f32])>,
    /// √w·D⁻¹v of every input, d floats each.
    scaled: Vec<f32>,
    /// Cholesky factor of I + √WVᵀD⁻¹V√W.
    factor: Vec<f32>,
}

impl<'a> Folding<'a> {
    /// None for an empty history, or when the equations aren't positive definite.
    fn new(inputs: Vec<(f32, ItemIx, &'a [f32])>, spectrum: &[f32], ridge: f32) -> Option<Self> {
        let (n, d) = (inputs.len(), spectrum.len());
        let scale = |weight: f32, vector: &'a [f32]| {
            vector.iter().zip(spectrum).map(move |(value, shared)| weight.sqrt() * value / (shared + ridge))
        };
        let scaled: Vec<f32> = inputs.iter().flat_map(|(weight, _, vector)| scale(*weight, vector)).collect();
        let mut factor = vec![0.0; n * n];
        for (row, (weight, _, vector)) in inputs.iter().enumerate() {
            for (column, other) in scaled.chunks_exact(d).enumerate().take(row + 1) {
                factor[row * n + column] = weight.sqrt() * dot(vector, other);
            }
            factor[row * n + row] += 1.0;
        }
        (n > 0 && linalg::cholesky(&mut factor, n)).then_some(Self { inputs, scaled, factor })
    }

    /// The actor's vector if each input counted `share` times, given its place: what the whole history comes to is linear in the shares.
    fn actor(&self, share: impl Fn(usize) -> f32) -> Vec<f32> {
        let n = self.inputs.len();
        let d = self.scaled.len() / n;
        let mut amounts: Vec<f32> =
            self.inputs.iter().enumerate().map(|(at, input)| share(at) * input.0.sqrt()).collect();
        linalg::cholesky_solve(&self.factor, n, &mut amounts);
        let mut actor = vec![0.0; d];
        for (amount, scaled) in amounts.iter().zip(self.scaled.chunks_exact(d)) {
            axpy(*amount, scaled, &mut actor);
        }
        actor
    }

    /// What each input adds to the actor's vector.
    fn parts(&self) -> Vec<(ItemIx, Vec<f32>)> {
        let alone = |place: usize| self.actor(|other| if other == place { 1.0 } else { 0.0 });
        self.inputs.iter().enumerate().map(|(place, (_, item, _))| (*item, alone(place))).collect()
    }
}

impl Model for Ials {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let folding = self.folding(query.history);
        let scores = scores.dense_mut();
        let Some(actor) = folding.map(|folding| folding.actor(|_| 1.0)) else { return };
        for (score, vector) in scores.iter_mut().zip(self.items.chunks_exact(self.params.dimensions)) {
            *score += dot(&actor, vector);
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.explain_each(query, &[item]).pop().unwrap_or_default()
    }

    fn explain_each(&self, query: &Query<'_>, items: &[ItemIx]) -> Vec<Vec<Contribution>> {
        let sources = self.folding(query.history).map_or_else(Vec::new, |folding| folding.parts());
        let explained = items.iter().map(|&item| {
            let Some(vector) = self.item_vector(item) else { return Vec::new() };
            let parts = sources
                .iter()
                .map(|(source, part)| Contribution { cause: Cause::History(*source), amount: dot(part, vector) });
            merged(parts.collect())
        });
        explained.collect()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.items[..]) + size_of_val(&self.spectrum[..])
    }
}

/// Adds up the contributions of one cause.
fn merged(mut parts: Vec<Contribution>) -> Vec<Contribution> {
    let item = |part: &Contribution| match part.cause {
        Cause::History(item) => item,
        _ => ItemIx::MAX,
    };
    parts.sort_by_key(item);
    let same = parts.chunk_by(|a, b| a.cause == b.cause);
    same.map(|same| Contribution { cause: same[0].cause, amount: same.iter().map(|part| part.amount).sum() }).collect()
}

/// Vectors of normally distributed numbers (Box–Muller).
fn first_vectors(rows: usize, dimensions: usize, random: &mut Pcg64Mcg) -> Vec<f32> {
    let scale = FIRST_LENGTH / (dimensions as f32).sqrt();
    let normal = |random: &mut Pcg64Mcg| {
        let (radius, angle): (f32, f32) = (random.random(), random.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()
    };
    (0..rows * dimensions).map(|_| scale * normal(random)).collect()
}

fn scaled_gram(vectors: &[f32], params: &Params) -> Vec<f32> {
    let mut gram = linalg::gram(vectors, params.dimensions);
    gram.iter_mut().for_each(|value| *value *= params.unobserved_weight);
    gram
}

/// Eigenvalues of a Gram matrix, none below 0, and its unit eigenvectors as rows.
fn eigenbasis(gram: &[f32], d: usize) -> Option<(Vec<f32>, Vec<f32>)> {
    let gram: Vec<f64> = gram.iter().map(|&value| f64::from(value)).collect();
    let (values, vectors) = linalg::eigen(&gram, d)?;
    let values = values.into_iter().map(|value| value.max(0.0) as f32).collect();
    Some((values, vectors.into_iter().map(|value| value as f32).collect()))
}

/// Moves every vector of one side to its optimum, block by block, the other side being fixed.
fn update(vectors: &mut [f32], rows: &gram::Rows, opposite: &[f32], params: &Params) -> Result<(), FitError> {
    let d = params.dimensions;
    let gram = scaled_gram(opposite, params);
    let opposite_rows = opposite.len() / d;
    let solved = vectors.par_chunks_mut(d).enumerate().map_init(RowScratch::default, |scratch, (row, vector)| {
        let partners = rows.row(row);
        let ridge = params.regularisation(partners.len() as f32, opposite_rows);
        let problem = RowProblem { partners, opposite, gram: &gram, ridge, d };
        (0..d).step_by(BLOCK).all(|from| problem.solve_block(from, vector, scratch))
    });
    if solved.all(|ok| ok) {
        return Ok(());
    }
    Err(FitError::Numerical { model: NAME, detail: format!("a block of {BLOCK} dimensions is not positive definite") })
}

/// Buffers of one thread.
#[derive(Default)]
struct RowScratch {
    hessian: Vec<f32>,
    gradient: Vec<f32>,
}

/// The least-squares problem of one vector.
struct RowProblem<'a> {
    partners: &'a [u32],
    opposite: &'a [f32],
    /// α₀ times the Gram matrix of the opposite side.
    gram: &'a [f32],
    ridge: f32,
    d: usize,
}

impl RowProblem<'_> {
    /// One Newton step in the dimensions from `from` on, exact because the problem is quadratic. False when it breaks down.
    fn solve_block(&self, from: usize, vector: &mut [f32], scratch: &mut RowScratch) -> bool {
        let width = BLOCK.min(self.d - from);
        let block = from..from + width;
        let RowScratch { hessian, gradient } = scratch;
        hessian.clear();
        gradient.clear();
        for (row, dimension) in block.clone().enumerate() {
            let line = &self.gram[dimension * self.d..(dimension + 1) * self.d];
            gradient.push(dot(line, vector) + self.ridge * vector[dimension]);
            hessian.extend_from_slice(&line[block.clone()]);
            hessian[row * width + row] += self.ridge;
        }
        for &partner in self.partners {
            let partner = &self.opposite[partner as usize * self.d..(partner as usize + 1) * self.d];
            let part = &partner[block.clone()];
            axpy(dot(partner, vector) - 1.0, part, gradient);
            for (row, line) in hessian.chunks_exact_mut(width).enumerate() {
                axpy(part[row], &part[..=row], line);
            }
        }
        if !linalg::cholesky(hessian, width) {
            return false;
        }
        linalg::cholesky_solve(hessian, width, gradient);
        axpy(-1.0, gradient, &mut vector[block]);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ItemFacts, dataset::NoHistories};

    fn plain(items: &[u32]) -> Vec<Interaction> {
        items.iter().map(|&item| Interaction::plain(item, 0)).collect()
    }

    fn dataset(n_items: usize, histories: &[Vec<u32>]) -> Dataset {
        let rows: Vec<_> = histories.iter().map(|row| plain(row)).collect();
        Dataset::from_histories(vec![ItemFacts::default(); n_items], rows.iter().map(Vec::as_slice))
    }

    fn query(history: &[Interaction]) -> Query<'_> {
        Query { history, actor: None, segment: None, friends: &[], now_s: 0, histories: &NoHistories }
    }

    fn scores_of(model: &Ials, history: &[u32], n_items: usize) -> Scores {
        let mut scores = Scores::new(n_items);
        model.score(&query(&plain(history)), &mut scores);
        scores
    }

    /// 40 items in 4 groups; every actor stays in one.
    fn grouped() -> Dataset {
        let row = |u: u32| (0..6).map(|k| (u % 4) * 10 + (u / 4 + k) % 10).collect();
        dataset(40, &(0..200).map(row).collect::<Vec<_>>())
    }

    #[test]
    fn folding_in_by_hand() {
        // A = 2² + 2.5 + 1 = 7.5, so the actor is 2 / 7.5.
        let params =
            Params { dimensions: 1, lambda: 1.0, frequency_scaling: 0.0, input_decay: None, ..Params::default() };
        let model = Ials { params, items: vec![1.0, 2.0], spectrum: vec![2.5] };
        let scores = scores_of(&model, &[1, 1, 5], 3);
        assert!((scores.get(0) - 2.0 / 7.5).abs() < 1e-6 && (scores.get(1) - 4.0 / 7.5).abs() < 1e-6);
        assert_eq!(scores.get(2), 0.0);
    }

    #[test]
    fn finds_planted_groups() {
        let params = Params { dimensions: 8, ..Params::default() };
        let model = Ials::fit(&grouped(), &params).unwrap();
        let scores = scores_of(&model, &[13, 17], 40);
        let lowest_near = (10..20).map(|item| scores.get(item)).fold(f32::INFINITY, f32::min);
        let highest_far = (0..10).chain(20..40).map(|item| scores.get(item)).fold(f32::NEG_INFINITY, f32::max);
        assert!(lowest_near > highest_far, "{lowest_near} {highest_far}");
    }

    #[test]
    fn a_seed_decides_everything_whatever_the_threads() {
        let params = Params { dimensions: 40, epochs: 3, ..Params::default() };
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Ials::fit(&grouped(), &params)).unwrap()
        };
        assert_eq!(fit(1), fit(3));
        let other = Ials::fit(&grouped(), &Params { seed: 2, ..params.clone() }).unwrap();
        assert_ne!(fit(1).items, other.items);
    }

    #[test]
    fn blocks_converge_to_the_joint_optimum() {
        // With the items fixed, sweeps over blocks must reach the actor that folding in solves for at once.
        let params =
            Params { dimensions: 2 * BLOCK + 5, epochs: 4, input_decay: None, lambda: 0.05, ..Params::default() };
        let model = Ials::fit(&grouped(), &params).unwrap();
        let rows = gram::Rows::from_rows(&[vec![3, 5]]);
        let mut actor = vec![0.3; params.dimensions];
        for _ in 0..300 {
            update(&mut actor, &rows, &model.items, &params).unwrap();
        }
        let scores = scores_of(&model, &[3, 5], 40);
        for item in 0..40 {
            let swept = dot(&actor, model.item_vector(item).unwrap());
            assert!((swept - scores.get(item)).abs() < 1e-3, "{swept} {}", scores.get(item));
        }
    }

    #[test]
    fn refuses_what_it_cannot_fit() {
        let empty = Ials::fit(&dataset(2, &[]), &Params::default()).unwrap_err();
        assert!(matches!(empty, FitError::TooLittleData { model: "ials", .. }));
        let negative = Params { lambda: -1.0, ..Params::default() };
        let broken = Ials::fit(&grouped(), &negative).unwrap_err();
        assert!(matches!(broken, FitError::Numerical { model: "ials", .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn explanations_sum_to_the_score(history in prop::collection::vec(0u32..42, 0..8), decay in prop::option::of(0.5f32..9.0)) {
            let params = Params { dimensions: 6, epochs: 2, input_decay: decay, ..Params::default() };
            let model = Ials::fit(&grouped(), &params).unwrap();
            let scores = scores_of(&model, &history, 41);
            for item in 0..41 {
                let parts = model.explain(&query(&plain(&history)), item);
                let sum: f32 = parts.iter().map(|part| part.amount).sum();
                prop_assert!((sum - scores.get(item)).abs() < 1e-4);
            }
        }
    }
}
