//! EASE: the closed-form linear autoencoder over the set of items in a history.
//!
//! Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. With X one row of ones and zeros per actor,
//! P = (XᵀX + λI)⁻¹ and B = −P·diag(P)⁻¹ with a zero diagonal; an item scores Σ w_i·B_ij over the history.
//! Fitting costs n³ operations and n² floats, so it serves catalogues up to [`ITEMS_MAX`]. It doesn't see the order of a history
//! except through the decay of the input.

use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};

use crate::{
    Cause, Contribution, Dataset, FitError, Model, Query, Scores,
    gram::{self, Occurrences},
    kernels,
    linalg::Symmetric,
};

/// Name of the model.
const NAME: &str = "ease";
/// Items that it handles: 30,000² floats are 3.6 GB.
pub const ITEMS_MAX: usize = 30_000;
/// Items of the history that weigh less are passed over.
const INPUT_WEIGHT_MIN: f32 = 1e-3;
/// Smallest decay of the input, in events: only the newest event counts.
const INPUT_DECAY_MIN: f32 = 1e-3;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Ridge λ: 100–500 for sparse data, 200–1,000 for dense.
    pub lambda: f32,
    /// δ of the weight e^(−age/δ) of the history's items, age counted in events; none: each distinct item counts 1.
    pub input_decay: Option<f32>,
}

impl Default for Params {
    fn default() -> Self {
        Self { lambda: 200.0, input_decay: Some(4.0) }
    }
}

impl Params {
    /// Alternatives to these for a coordinate search, the most important axis first.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        let decays = [None, Some(2.0), Some(4.0), Some(8.0), Some(20.0)];
        let decays = decays.map(|input_decay| Self { input_decay, ..self.clone() }).to_vec();
        let lambdas = [100.0, 200.0, 400.0, 1_000.0].map(|lambda| Self { lambda, ..self.clone() }).to_vec();
        let mut axes = vec![decays, lambdas];
        axes.iter_mut().for_each(|axis| axis.retain(|params| params != self));
        axes
    }
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ease {
    params: Params,
    n_items: usize,
    /// B, row by row.
    weights: Vec<f32>,
}

impl Ease {
    /// Fits the model.
    ///
    /// # Errors
    /// No events, more than [`ITEMS_MAX`] items, or a matrix that isn't positive definite (λ too small).
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        gram::check(data, NAME, ITEMS_MAX)?;
        let mut matrix = Symmetric::zeros(data.n_items());
        Occurrences::sets(data).add_set_gram(1.0, &mut matrix);
        add_ridge(&mut matrix, params.lambda);
        invert(&mut matrix, NAME)?;
        let n_items = matrix.n();
        Ok(Self { params: params.clone(), n_items, weights: zero_diagonal_weights(matrix) })
    }

    /// The hyper-parameters in use.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Takes over what only matters for scoring. False, and nothing changed, when `params` need another fit.
    pub fn adopt(&mut self, params: &Params) -> bool {
        let fits = params.lambda == self.params.lambda;
        if fits {
            self.params = params.clone();
        }
        fits
    }

    fn inputs(&self, history: &[Interaction]) -> Vec<(ItemIx, f32)> {
        history_inputs(history, self.params.input_decay)
    }
}

impl Model for Ease {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        add_rows(&self.weights, self.n_items, &self.inputs(query.history), scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        row_contributions(&self.weights, self.n_items, &self.inputs(query.history), item)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.weights[..])
    }
}

/// −P_ij/P_jj off the diagonal, 0 on it.
fn zero_diagonal_weights(inverse: Symmetric) -> Vec<f32> {
    use rayon::prelude::*;
    let n = inverse.n();
    let scales: Vec<f32> = (0..n).map(|j| -1.0 / inverse.get(j, j)).collect();
    let mut weights = inverse.into_full();
    weights.par_chunks_mut(n).enumerate().for_each(|(row, values)| {
        values.iter_mut().zip(&scales).for_each(|(value, scale)| *value *= scale);
        values[row] = 0.0;
    });
    weights
}

/// Adds λ to the diagonal.
pub(crate) fn add_ridge(matrix: &mut Symmetric, lambda: f32) {
    use rayon::prelude::*;
    matrix.rows_mut().for_each(|(row, values)| values[row] += lambda);
}

/// Inverts, naming the model in the error.
pub(crate) fn invert(matrix: &mut Symmetric, model: &'static str) -> Result<(), FitError> {
    matrix.invert().map_err(|error| FitError::Numerical { model, detail: error.to_string() })
}

/// Items of a history with their weights: decayed by age, or 1 for each distinct item.
pub(crate) fn history_inputs(history: &[Interaction], decay: Option<f32>) -> Vec<(ItemIx, f32)> {
    if let Some(decay) = decay {
        return decayed_inputs(history, decay);
    }
    let mut items: Vec<ItemIx> = history.iter().map(|event| event.item).collect();
    items.sort_unstable();
    items.dedup();
    items.into_iter().map(|item| (item, 1.0)).collect()
}

/// (item, e^(−age/δ)) for the events of a history that weigh enough, newest first.
pub(crate) fn decayed_inputs(history: &[Interaction], decay: f32) -> Vec<(ItemIx, f32)> {
    let decay = decay.max(INPUT_DECAY_MIN);
    let weights = (0..).map(|age| (-(age as f32) / decay).exp());
    let recent = history.iter().rev().zip(weights).take_while(|(_, weight)| *weight > INPUT_WEIGHT_MIN);
    recent.map(|(event, weight)| (event.item, weight)).collect()
}

/// scores += Σ weight · row of the item, for a matrix of n columns; items beyond it have no row.
pub(crate) fn add_rows(matrix: &[f32], n: usize, inputs: &[(ItemIx, f32)], scores: &mut Scores) {
    let known = inputs.iter().filter(|(item, _)| (*item as usize) < n);
    let scores = scores.dense_mut();
    for &(item, weight) in known {
        let from = item as usize * n;
        kernels::axpy(weight, &matrix[from..from + n], scores);
    }
}

/// What [`add_rows`] gives to one item, by item of the history.
pub(crate) fn row_contributions(matrix: &[f32], n: usize, inputs: &[(ItemIx, f32)], item: ItemIx) -> Vec<Contribution> {
    let column = item as usize;
    if column >= n {
        return Vec::new();
    }
    let mut parts: Vec<(ItemIx, f32)> = inputs
        .iter()
        .filter(|(source, _)| (*source as usize) < n)
        .map(|&(source, weight)| (source, weight * matrix[source as usize * n + column]))
        .collect();
    parts.sort_unstable_by_key(|(source, _)| *source);
    let merged = parts.chunk_by(|a, b| a.0 == b.0).map(|same| Contribution {
        cause: Cause::History(same[0].0),
        amount: same.iter().map(|(_, amount)| amount).sum(),
    });
    merged.filter(|part| part.amount != 0.0).collect()
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

    fn scores_of(model: &Ease, history: &[u32], n_items: usize) -> Scores {
        let mut scores = Scores::new(n_items);
        model.score(&query(&plain(history)), &mut scores);
        scores
    }

    #[test]
    fn two_items_by_hand() {
        // XᵀX + I = [[2, 1], [1, 2]], its inverse [[2, −1], [−1, 2]] / 3, so B is 1/2 off the diagonal.
        let params = Params { lambda: 1.0, input_decay: None };
        let mut model = Ease::fit(&dataset(2, &[vec![0, 1, 0]]), &params).unwrap();
        let scores = scores_of(&model, &[0, 0, 9], 3);
        assert!((scores.get(1) - 0.5).abs() < 1e-6);
        assert_eq!((scores.get(0), scores.get(2)), (0.0, 0.0));

        assert!(model.adopt(&Params { input_decay: Some(1.0), ..params.clone() }));
        let decayed = scores_of(&model, &[0, 0], 2).get(1);
        assert!((decayed - 0.5 * (1.0 + (-1.0f32).exp())).abs() < 1e-6);
        assert!(!model.adopt(&Params { lambda: 2.0, ..params }));
    }

    #[test]
    fn refuses_what_it_cannot_fit() {
        let empty = Ease::fit(&dataset(2, &[]), &Params::default()).unwrap_err();
        assert!(matches!(empty, FitError::TooLittleData { model: "ease", .. }));
        let many = Ease::fit(&dataset(ITEMS_MAX + 1, &[vec![0]]), &Params::default()).unwrap_err();
        assert_eq!(many, FitError::CatalogueTooLarge { model: "ease", items: ITEMS_MAX + 1, items_max: ITEMS_MAX });
        let negative = Params { lambda: -5.0, ..Params::default() };
        let broken = Ease::fit(&dataset(2, &[vec![0, 1]]), &negative).unwrap_err();
        assert!(matches!(broken, FitError::Numerical { model: "ease", .. }), "{broken}");
    }

    #[test]
    fn the_axes_offer_alternatives_only() {
        let params = Params::default();
        let axes = params.axes();
        assert_eq!(axes.len(), 2);
        assert!(axes.iter().all(|axis| !axis.is_empty() && !axis.contains(&params)));
    }

    #[test]
    fn finds_planted_groups() {
        // Items 0–4 go together and so do 5–9.
        let histories: Vec<Vec<u32>> =
            (0..60u32).map(|u| (0..4).map(|k| (u % 2) * 5 + (u / 2 + k) % 5).collect()).collect();
        let model = Ease::fit(&dataset(10, &histories), &Params { lambda: 5.0, input_decay: None }).unwrap();
        let scores = scores_of(&model, &[6, 7], 10);
        assert!([5, 8, 9].iter().all(|&near| (0..5).all(|far| scores.get(near) > scores.get(far))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn explanations_sum_to_the_score(
            histories in prop::collection::vec(prop::collection::vec(0u32..8, 1..6), 1..12),
            history in prop::collection::vec(0u32..10, 0..8),
            input_decay in prop::option::of(0.5f32..9.0),
        ) {
            let model = Ease::fit(&dataset(8, &histories), &Params { lambda: 1.0, input_decay }).unwrap();
            let scores = scores_of(&model, &history, 9);
            for item in 0..9 {
                let parts = model.explain(&query(&plain(&history)), item);
                let sum: f32 = parts.iter().map(|part| part.amount).sum();
                prop_assert!((sum - scores.get(item)).abs() < 1e-4);
            }
        }
    }

    /// (user, item) of a MovieLens 100K file, numbered from 0.
    fn ratings(file: &str) -> Option<Vec<(usize, u32)>> {
        let path = format!("{}/../../../shared/data/movielens-100k/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).ok()?;
        let number = |field: Option<&str>| field.and_then(|f| f.parse::<u32>().ok()).map(|n| n - 1);
        text.lines()
            .map(|line| {
                let mut fields = line.split_whitespace();
                Some((number(fields.next())? as usize, number(fields.next())?))
            })
            .collect()
    }

    #[test]
    #[allow(clippy::print_stderr, clippy::disallowed_methods)]
    fn ndcg_on_the_official_split_of_movielens_100k() {
        let (Some(train), Some(test)) = (ratings("ua.base"), ratings("ua.test")) else {
            eprintln!("skipped: ../shared/data/movielens-100k is not there");
            return;
        };
        let (mut known, mut wanted) = (vec![Vec::new(); 943], vec![Vec::new(); 943]);
        train.iter().for_each(|&(user, item)| known[user].push(item));
        test.iter().for_each(|&(user, item)| wanted[user].push(item));
        let params = Params { lambda: 400.0, input_decay: None };
        let model = Ease::fit(&dataset(1682, &known), &params).unwrap();
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let ndcg = |(known, wanted): (&Vec<u32>, &Vec<u32>)| {
            let scores = scores_of(&model, known, 1682);
            let mut order: Vec<u32> = (0..1682).filter(|item| !known.contains(item)).collect();
            order.sort_by(|a, b| scores.get(*b).total_cmp(&scores.get(*a)));
            let hits = order.iter().take(10).enumerate().filter(|(_, item)| wanted.contains(item));
            hits.map(|(rank, _)| gain(rank)).sum::<f64>() / (0..wanted.len().min(10)).map(gain).sum::<f64>()
        };
        let mean = known.iter().zip(&wanted).map(ndcg).sum::<f64>() / 943.0;
        assert!(mean >= 0.31, "NDCG@10 is {mean}");
    }
}
