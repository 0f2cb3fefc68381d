//! The weights of what finds items that nobody has met, chosen on the validation part by supposing that some items are such.
//!
//! As many of the items with events as there are items without, [`COLD_SHARE_MIN`] of them at least, are taken at random and count as
//! cold: sources know of them what their texts say, if anything. Of the weights at which nearly no warm target is pushed out of the list the
//! one is chosen that finds most of the cold targets.

mod text;

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use zhiyin_core::{Interaction, ItemIx};
use zhiyin_evaluation::metrics::ndcg_at;
use zhiyin_models::{
    Dataset, ItemVectors, Model, Query, Scores,
    fusion::{ColdWeight, Fusion, Standard},
};
use zhiyin_neural::Neural;

pub use self::text::choose_in_text;
use crate::{
    learn::{BatchModel, Learned},
    rank::{Case, Cases, Guard, Scratch, score_sources, target_ranks},
};

/// Sources that need no events of an item; the first that there is finds cold items.
const FINDERS: [&str; 2] = ["text", "content"];
/// Items that are supposed to be cold, at least.
const COLD_SHARE_MIN: f64 = 0.05;
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

/// What becomes of the target of a case at each weight.
enum Outcome {
    /// Whether a warm target is in the list.
    Warm(Vec<bool>),
    /// The NDCG of a cold target.
    Cold(Vec<f64>),
}

/// The weight for these models under this fusion; none if no source finds cold items, or no weight helps.
///
/// The models know what is in `train`; the cases must lie after it.
pub fn choose(
    models: &[Learned],
    fusion: &Fusion,
    cases: &Cases<'_>,
    train: &Dataset,
    seed: u64,
) -> Option<ColdWeight> {
    let place = |finder: &str| models.iter().position(|learned| learned.model().name() == finder);
    let source = FINDERS.into_iter().find_map(place)?;
    let counts = train.item_counts();
    let supposed = supposed(&counts, seed);
    let is_cold = |item: ItemIx| supposed[item as usize] || counts[item as usize] == 0;
    let views: Vec<View<'_>> = models.iter().map(|learned| View::of(learned, is_cold, &train.vectors)).collect();
    let sources: Vec<Option<&dyn Model>> =
        views.iter().zip(models).map(|(view, learned)| Some(view.model(learned))).collect();
    let asked = Fusion { cold: Some(ColdWeight { source, weight: 1.0 }), ..fusion.clone() };
    let weights = weights();
    let outcomes = cases.list.par_iter().map_init(Scratch::default, |scratch, case| {
        let history = possible(case.history, &supposed)?;
        let query = Query { history: &history, ..cases.query(case) };
        score_sources(&sources, &asked, &query, cases.n_items, None, &Guard::none(), scratch);
        let Scratch { sources, standard, fused, .. } = scratch;
        for (view, scores) in views.iter().zip(sources.iter_mut()) {
            if matches!(view, View::Blind) {
                scores.silence(|item| supposed[item as usize]);
            }
        }
        fused.reset(cases.n_items);
        asked.combine(sources, standard, fused);
        Supposition { cases, supposed: &supposed, found: &sources[source], standard: standard[source], fused }
            .outcome(case, &weights)
    });
    let best = best(outcomes.collect::<Vec<_>>().into_iter().flatten(), weights.len());
    (best > 0).then(|| ColdWeight { source, weight: weights[best] })
}

/// What a model would know of items that nobody has met.
enum View<'a> {
    /// What it knows anyway: it doesn't learn from events of items.
    Same,
    /// Less: this model in its place.
    Instead(Box<dyn Model + 'a>),
    /// Nothing.
    Blind,
}

impl<'a> View<'a> {
    fn of(learned: &'a Learned, is_cold: impl Fn(ItemIx) -> bool, vectors: &ItemVectors) -> Self {
        match learned {
            Learned::Batch(model) => match &**model {
                BatchModel::Text(text) => Self::Instead(Box::new(text.supposing_cold(is_cold))),
                BatchModel::Neural(neural) => Self::of_neural(neural, is_cold, vectors),
                _ => Self::Blind,
            },
            Learned::Online(model) if model.name() == "content" => Self::Same,
            Learned::Online(_) => Self::Blind,
        }
    }

    /// A network knows such items by their texts, if these enter its item vectors.
    fn of_neural(neural: &Neural, is_cold: impl Fn(ItemIx) -> bool, vectors: &ItemVectors) -> Self {
        let mut neural = neural.clone();
        let mut cold = (0..vectors.len() as ItemIx).filter(|item| is_cold(*item));
        let are_known = cold.all(|item| vectors.of(item).is_some_and(|text| neural.admit(item, text)));
        if are_known && !vectors.is_empty() { Self::Instead(Box::new(neural)) } else { Self::Blind }
    }

    fn model<'b>(&'b self, learned: &'b Learned) -> &'b dyn Model {
        match self {
            Self::Instead(model) => &**model,
            Self::Same | Self::Blind => learned.model(),
        }
    }
}

/// The step that finds most of the cold targets among those that keep the warm ones; the smallest among equals.
fn best(outcomes: impl Iterator<Item = Outcome>, steps: usize) -> usize {
    let (mut warm, mut cold) = (vec![0.0; steps], vec![0.0; steps]);
    for outcome in outcomes {
        match outcome {
            Outcome::Warm(hits) => warm.iter_mut().zip(hits).for_each(|(sum, hit)| *sum += f64::from(u8::from(hit))),
            Outcome::Cold(gains) => cold.iter_mut().zip(gains).for_each(|(sum, gain)| *sum += gain),
        }
    }
    let allowed = (0..steps).take_while(|&step| warm[step] >= WARM_KEPT * warm[0]);
    allowed.fold(0, |best, step| if cold[step] > cold[best] { step } else { best })
}

/// Which items are supposed to be cold.
fn supposed(counts: &[u32], seed: u64) -> Vec<bool> {
    let mut warm: Vec<usize> = (0..counts.len()).filter(|&item| counts[item] > 0).collect();
    let cold = counts.len() - warm.len();
    let wanted = cold.max((warm.len() as f64 * COLD_SHARE_MIN).ceil() as usize).min(warm.len() / 2);
    let (chosen, _) = warm.partial_shuffle(&mut Pcg64Mcg::seed_from_u64(seed), wanted);
    let mut supposed = vec![false; counts.len()];
    chosen.iter().for_each(|&item| supposed[item] = true);
    supposed
}

/// A history without events of items that nobody is supposed to have met; none if nothing is left.
fn possible(history: &[Interaction], supposed: &[bool]) -> Option<Vec<Interaction>> {
    let left: Vec<Interaction> = history.iter().copied().filter(|event| !supposed[event.item as usize]).collect();
    (!left.is_empty()).then_some(left)
}

/// The scores for one case under the supposition.
struct Supposition<'a> {
    cases: &'a Cases<'a>,
    supposed: &'a [bool],
    found: &'a Scores,
    standard: Standard,
    fused: &'a Scores,
}

impl Supposition<'_> {
    fn outcome(&self, case: &Case<'_>, weights: &[f32]) -> Option<Outcome> {
        let target = *case.targets.first()?;
        let mut masked = Vec::new();
        let rank = *target_ranks(self.fused.values(), case, self.cases.mask_history, &mut masked).first()?;
        let rivals: Vec<(f32, f32)> = (0..self.fused.n_items() as ItemIx)
            .filter(|&item| self.supposed[item as usize] && item != target && masked.binary_search(&item).is_err())
            .map(|item| (self.fused.get(item), self.standard.of(self.found.get(item))))
            .collect();
        let own = self.fused.get(target);
        if !self.supposed[target as usize] {
            // A rival counts once it passes; those that were above anyway are in the rank.
            let passes = |weight: f32| rivals.iter().filter(|(v, f)| *v <= own && v + weight * f > own).count() as f64;
            return Some(Outcome::Warm(weights.iter().map(|&weight| rank + passes(weight) <= DEPTH).collect()));
        }
        let is_warm = |item: &ItemIx| !self.supposed[*item as usize] && masked.binary_search(item).is_err();
        let warm: Vec<f32> =
            (0..self.fused.n_items() as ItemIx).filter(is_warm).map(|item| self.fused.get(item)).collect();
        let lift = self.standard.of(self.found.get(target));
        let ndcg = |&weight: &f32| {
            let own = own + weight * lift;
            let values = || warm.iter().copied().chain(rivals.iter().map(|(value, lift)| value + weight * lift));
            let above = values().filter(|value| *value > own).count();
            let equal = values().filter(|value| *value == own).count();
            ndcg_at(&[1.0 + above as f64 + equal as f64 / 2.0], DEPTH as usize)
        };
        Some(Outcome::Cold(weights.iter().map(ndcg).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(hits: &[bool]) -> Outcome {
        Outcome::Warm(hits.to_vec())
    }

    #[test]
    fn the_step_that_finds_most_is_taken_among_those_that_keep_the_warm() {
        let cold = || Outcome::Cold(vec![0.0, 0.5, 0.5, 1.0]);
        let kept = [warm(&[true; 4]), cold()];
        assert_eq!(best(kept.into_iter(), 4), 3);
        let lost = [warm(&[true, true, true, false]), cold()];
        assert_eq!(best(lost.into_iter(), 4), 1, "the smaller of two that find as much");
        let useless = [warm(&[true; 2]), Outcome::Cold(vec![0.3, 0.3])];
        assert_eq!(best(useless.into_iter(), 2), 0);
    }

    #[test]
    fn as_many_items_are_supposed_as_are_cold_but_a_twentieth_at_least() {
        let count = |counts: &[u32]| supposed(counts, 1).iter().filter(|is| **is).count();
        assert_eq!(count(&[1; 100]), 5);
        let mut many_cold = [1; 100];
        many_cold[60..].fill(0);
        assert_eq!(count(&many_cold), 30, "at most half of the warm ones");
        many_cold[60..80].fill(1);
        assert_eq!(count(&many_cold), 20);
        assert!(supposed(&many_cold, 1).iter().zip(many_cold).all(|(is, count)| !is || count > 0));
    }
}
