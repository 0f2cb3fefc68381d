//! SLIST: a closed-form linear model of which items follow which.
//!
//! Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation", WWW 2021. Over every prefix of every
//! history, S holds the decayed past and T the decayed future; with the sets X,
//! B = (αXᵀX + (1−α)SᵀS + λI)⁻¹ (αXᵀX + (1−α)SᵀT), its diagonal forced to 0 by the Lagrangian. An item scores Σ w_i·B_ij over the
//! history with weights that decay by age.
//!
//! The inverse costs n³ operations and n² floats (twice that while fitting), so it serves catalogues up to [`ITEMS_MAX`]; the right-hand
//! side is sparse, which makes the product cheap. An item never recommends itself.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

use crate::{
    Contribution, Dataset, FitError, Model, Query, Scores,
    ease::{add_ridge, add_rows, decayed_inputs, invert, row_contributions},
    gram::{self, Occurrences, PrefixWeights},
    linalg::{SparseColumns, Symmetric},
};

/// Name of the model.
const NAME: &str = "slist";
/// Items that it handles: 30,000² floats are 3.6 GB.
pub const ITEMS_MAX: usize = 30_000;
/// Largest window.
pub const WINDOW_MAX: usize = 1_000;
/// Smallest decay of the past and the future, in events: below it only the neighbouring event counts.
const DECAY_MIN: f32 = 0.05;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Share α of the unordered sets, 0 to 1.
    pub alpha: f32,
    /// δ of the weights e^(−lag/δ) of the past and of the future at each cut, in events.
    pub decay: f32,
    /// Events before and after each cut that count.
    pub window: usize,
    /// Ridge λ.
    pub lambda: f32,
    /// δ of the weights e^(−age/δ) of the history when scoring, in events.
    pub input_decay: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { alpha: 0.2, decay: 2.0, window: 14, lambda: 10.0, input_decay: 2.0 }
    }
}

impl Params {
    /// Alternatives to these for a coordinate search, the most important axis first: memory, ridge, input, share of the sets.
    pub fn axes(&self) -> Vec<Vec<Self>> {
        let memories = [(2.0, 14), (8.0, 30), (20.0, 60)];
        let memories =
            memories.map(|(decay, window)| Self { decay, window, input_decay: decay, ..self.clone() }).to_vec();
        let lambdas = [10.0, 50.0, 200.0].map(|lambda| Self { lambda, ..self.clone() }).to_vec();
        let inputs = [1.0, 2.0, 4.0, 8.0, 20.0].map(|input_decay| Self { input_decay, ..self.clone() }).to_vec();
        let alphas = [0.05, 0.2, 0.5].map(|alpha| Self { alpha, ..self.clone() }).to_vec();
        let mut axes = vec![memories, lambdas, inputs, alphas];
        axes.iter_mut().for_each(|axis| axis.retain(|params| params != self));
        axes
    }
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slist {
    params: Params,
    n_items: usize,
    /// B, row by row.
    weights: Vec<f32>,
}

impl Slist {
    /// Fits the model. α is clamped to 0..=1, the window to 1..=[`WINDOW_MAX`].
    ///
    /// # Errors
    /// No events, more than [`ITEMS_MAX`] items, or a matrix that isn't positive definite (λ too small).
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        gram::check(data, NAME, ITEMS_MAX)?;
        let alpha = params.alpha.clamp(0.0, 1.0);
        let weights = PrefixWeights::new(params.decay.max(DECAY_MIN), params.window.clamp(1, WINDOW_MAX));
        let (sequences, sets) = (Occurrences::sequences(data), Occurrences::sets(data));
        let mut targets = sequences.targets(&sets, alpha, 1.0 - alpha, &weights);

        let mut matrix = Symmetric::zeros(data.n_items());
        if alpha > 0.0 {
            sets.add_set_gram(alpha, &mut matrix);
        }
        sequences.add_source_gram(1.0 - alpha, &weights, &mut matrix);
        add_ridge(&mut matrix, params.lambda);
        invert(&mut matrix, NAME)?;

        force_zero_diagonal(&matrix, &mut targets);
        let mut weights = matrix.times_sparse(&targets);
        let n_items = matrix.n();
        // What is left on the diagonal is rounding.
        weights.iter_mut().step_by(n_items + 1).for_each(|value| *value = 0.0);
        Ok(Self { params: params.clone(), n_items, weights })
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
}

/// Subtracts from the diagonal of R what makes the diagonal of P·R zero: (P·R)_jj / P_jj, the Lagrange multiplier of B_jj = 0.
fn force_zero_diagonal(inverse: &Symmetric, targets: &mut SparseColumns) {
    let multiplier = |column: usize| {
        let (rows, values) = targets.column(column);
        let product = rows.iter().zip(values).map(|(&row, value)| value * inverse.get(row as usize, column));
        product.sum::<f32>() / inverse.get(column, column)
    };
    let multipliers: Vec<f32> = (0..targets.n_columns()).into_par_iter().map(multiplier).collect();
    for (column, multiplier) in multipliers.into_iter().enumerate() {
        let (rows, values) = targets.column_mut(column);
        if let Ok(at) = rows.binary_search(&(column as u32)) {
            values[at] -= multiplier;
        }
    }
}

impl Model for Slist {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let inputs = decayed_inputs(query.history, self.params.input_decay);
        add_rows(&self.weights, self.n_items, &inputs, scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let inputs = decayed_inputs(query.history, self.params.input_decay);
        row_contributions(&self.weights, self.n_items, &inputs, item)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.weights[..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zhiyin_core::Interaction;

    use super::*;
    use crate::{ItemFacts, dataset::NoHistories, ease};

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

    fn scores_of(model: &dyn Model, history: &[u32], n_items: usize) -> Scores {
        let mut scores = Scores::new(n_items);
        model.score(&query(&plain(history)), &mut scores);
        scores
    }

    #[test]
    fn one_transition_by_hand() {
        // The only cut has source item 0 and target item 1: (SᵀS + I)⁻¹ = diag(1/2, 1) and SᵀT has a 1 at (0, 1).
        let params = Params { alpha: 0.0, lambda: 1.0, ..Params::default() };
        let mut model = Slist::fit(&dataset(2, &[vec![0, 1]]), &params).unwrap();
        assert!((scores_of(&model, &[0], 2).get(1) - 0.5).abs() < 1e-6);
        assert_eq!(scores_of(&model, &[1], 2).values(), [0.0, 0.0]);

        assert!(model.adopt(&Params { input_decay: 1.0, ..params.clone() }));
        assert!((scores_of(&model, &[0, 1], 2).get(1) - 0.5 * (-1.0f32).exp()).abs() < 1e-6);
        assert!(!model.adopt(&Params { window: 3, ..params }));
    }

    #[test]
    fn refuses_what_it_cannot_fit() {
        let empty = Slist::fit(&dataset(2, &[]), &Params::default()).unwrap_err();
        assert!(matches!(empty, FitError::TooLittleData { model: "slist", .. }));
        let negative = Params { lambda: -9.0, ..Params::default() };
        let broken = Slist::fit(&dataset(2, &[vec![0, 1]]), &negative).unwrap_err();
        assert!(matches!(broken, FitError::Numerical { model: "slist", .. }));
    }

    #[test]
    fn finds_a_planted_cycle_and_its_direction() {
        let histories: Vec<Vec<u32>> = (0..200u32).map(|u| (0..6).map(|k| (u + k) % 20).collect()).collect();
        let model =
            Slist::fit(&dataset(20, &histories), &Params { alpha: 0.0, lambda: 5.0, ..Params::default() }).unwrap();
        for item in 0..20u32 {
            let scores = scores_of(&model, &[item], 20);
            let next = (item + 1) % 20;
            assert!((0..20).filter(|other| *other != next).all(|other| scores.get(next) > scores.get(other)));
        }
    }

    #[test]
    fn the_axes_offer_alternatives_only() {
        let params = Params::default();
        assert!(params.axes().iter().all(|axis| !axis.is_empty() && !axis.contains(&params)));
        let long = params.axes()[0].iter().find(|p| p.decay == 20.0).cloned().unwrap();
        assert_eq!(long.input_decay, 20.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn with_the_sets_alone_it_is_ease(
            histories in prop::collection::vec(prop::collection::vec(0u32..9, 1..7), 1..12),
            history in prop::collection::vec(0u32..9, 1..6),
        ) {
            let data = dataset(9, &histories);
            let slist = Slist::fit(&data, &Params { alpha: 1.0, lambda: 3.0, ..Params::default() }).unwrap();
            let ease = ease::Ease::fit(&data, &ease::Params { lambda: 3.0, input_decay: Some(2.0) }).unwrap();
            let (a, b) = (scores_of(&slist, &history, 9), scores_of(&ease, &history, 9));
            prop_assert!(a.values().iter().zip(b.values()).all(|(x, y)| (x - y).abs() < 1e-4));
        }

        #[test]
        fn explanations_sum_to_the_score(
            histories in prop::collection::vec(prop::collection::vec(0u32..8, 1..9), 1..12),
            history in prop::collection::vec(0u32..10, 0..8),
        ) {
            let model = Slist::fit(&dataset(8, &histories), &Params::default()).unwrap();
            let scores = scores_of(&model, &history, 9);
            for item in 0..9 {
                let sum: f32 = model.explain(&query(&plain(&history)), item).iter().map(|part| part.amount).sum();
                prop_assert!((sum - scores.get(item)).abs() < 1e-4);
            }
        }
    }

    #[test]
    #[allow(clippy::print_stderr, clippy::disallowed_methods)]
    fn hit_rate_on_the_last_events_of_movielens_100k() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/movielens-100k/u.data");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: ../shared/data/movielens-100k is not there");
            return;
        };
        let mut rows = vec![Vec::new(); 943];
        for line in text.lines() {
            let fields: Vec<u32> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
            rows[fields[0] as usize - 1].push((fields[3], fields[1] - 1));
        }
        rows.iter_mut().for_each(|row| row.sort_unstable());
        let histories: Vec<Vec<u32>> =
            rows.iter().map(|row| row[..row.len() - 1].iter().map(|e| e.1).collect()).collect();
        let params = Params { lambda: 200.0, input_decay: 4.0, ..Params::default() };
        let model = Slist::fit(&dataset(1682, &histories), &params).unwrap();
        let hit = |(history, row): (&Vec<u32>, &Vec<(u32, u32)>)| {
            let (scores, target) = (scores_of(&model, history, 1682), row[row.len() - 1].1);
            let above = |item: &u32| scores.get(*item) > scores.get(target) && !history.contains(item);
            (0..1682).filter(above).count() < 10
        };
        let rate = histories.iter().zip(&rows).filter(|pair| hit(*pair)).count() as f64 / 943.0;
        assert!(rate >= 0.12, "HR@10 is {rate}");
    }
}
