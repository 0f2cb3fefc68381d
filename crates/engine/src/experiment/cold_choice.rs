//! The weight of cold items, chosen on the validation part such that nearly no warm target is pushed out of the list.

use zhiyin_models::{Model, Scores};

use super::split::Split;
use crate::{
    cold_weight::ColdWeight,
    rank::{Scorer, each_case, target_ranks},
};

/// Steps of the weight that are tried, each greater by [`STEP`] than the one before, from [`WEIGHT_MIN`].
const STEPS: usize = 24;
const STEP: f32 = 1.2;
const WEIGHT_MIN: f32 = 0.02;
/// Share of the warm hit rate that validation must keep: less than the one per cent that may be lost, for the error of the estimate.
const WARM_KEPT: f64 = 0.993;
/// Depth of the list.
const DEPTH: f64 = 10.0;

/// The weights that are tried, rising; the first is none.
fn weights() -> Vec<f32> {
    let rising = std::iter::successors(Some(WEIGHT_MIN), |weight| Some(weight * STEP));
    std::iter::once(0.0).chain(rising.take(STEPS)).collect()
}

/// The weight for a split with cold items. `scorer` gives the fused scores as they are.
pub(super) fn choose<'a>(split: &'a Split, scorer: Scorer<'_>, finder: &'a dyn Model) -> ColdWeight<'a> {
    let none = ColdWeight { finder, cold: &split.cold_items, weight: 0.0 };
    let (cases, weights) = (split.cases(&split.validation, &split.train), weights());
    let hits_by_case = each_case(&cases, scorer, |case, values, masked| {
        let is_warm = case.targets.first().is_some_and(|&target| !split.cold_items[target as usize]);
        let rank = target_ranks(values, case, cases.mask_history, masked).first().copied().filter(|_| is_warm)?;
        let mut found = Scores::default();
        none.standard(&cases.query(case), cases.n_items, &mut found);
        let own = values[case.targets[0] as usize];
        let rivals: Vec<(f32, f32)> =
            found.values().iter().zip(values).filter(|(found, _)| **found != 0.0).map(|(f, v)| (*f, *v)).collect();
        // A rival counts once it passes; those that were above anyway are in the rank.
        let passes = |weight: f32| rivals.iter().filter(|(f, v)| *v <= own && v + weight * f > own).count() as f64;
        Some(weights.iter().map(|&weight| rank + passes(weight) <= DEPTH).collect::<Vec<bool>>())
    });
    let hits_by_case: Vec<Vec<bool>> = hits_by_case.into_iter().flatten().collect();
    let hits = |step: usize| hits_by_case.iter().filter(|hits| hits[step]).count() as f64;
    let kept = (0..weights.len()).take_while(|&step| hits(step) >= WARM_KEPT * hits(0)).last();
    ColdWeight { weight: kept.map_or(0.0, |step| weights[step]), ..none }
}
