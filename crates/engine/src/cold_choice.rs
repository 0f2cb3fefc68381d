//! The weights of what finds items that nobody has met, chosen on the validation part by supposing that some items are such.
//!
//! As many of the items with events as there are items without, [`COLD_SHARE_MIN`] of them at least, are taken at random and count as
//! cold: of the sources only those that need no events know them. Of the weights at which nearly no warm target is pushed out of the list the
//! one is chosen that finds most of the cold targets.

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use zhiyin_core::{Interaction, ItemIx};
use zhiyin_evaluation::metrics::ndcg_at;
use zhiyin_models::{
    Model, Query, Scores,
    fusion::{ColdWeight, Fusion, Standard},
    text::{self, Supposing, Text},
};

use crate::{
    learn::{BatchModel, Learned},
    rank::{Case, Cases, Guard, Scratch, score_sources, target_ranks},
    replay::lineup,
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

/// Transitions must gain more than so many standard errors of the paired difference to none.
const GAIN_ERRORS: f64 = 2.0;
/// Weights of the transitions in the model `text` that are tried; the first is none.
const TRANSITIONS: [f32; 7] = [0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// Chooses the weight of the transitions in the model `text`, if it is one of these, by NDCG@10 of the targets that are supposed to be cold
/// among all such items; others have no transitions. The parameters that it has from then on. Arguments as for [`choose`].
pub fn choose_transitions(
    models: &mut [Learned],
    cases: &Cases<'_>,
    counts: &[u32],
    seed: u64,
) -> Option<text::Params> {
    let model = models.iter_mut().find_map(text_of)?;
    let supposed = supposed(counts, seed);
    let mut supposing = model.supposing_cold(|item| supposed[item as usize] || counts[item as usize] == 0);
    let is_cold = |case: &&Case<'_>| case.targets.first().is_some_and(|target| supposed[*target as usize]);
    let list: Vec<Case<'_>> = cases.list.iter().filter(is_cold).cloned().collect();
    let cold = Cases { list, ..*cases };
    let rivals: Vec<ItemIx> = (0..supposed.len() as ItemIx).filter(|item| supposed[*item as usize]).collect();
    let quality = |weight: f32| {
        supposing.weight = weight;
        let gains = cold.list.par_iter().map_init(Scores::default, |scores, case| {
            let history = possible(case.history, &supposed).unwrap_or_default();
            scores.reset(cold.n_items);
            supposing.score(&Query { history: &history, ..cold.query(case) }, scores);
            let own = case.targets.first().map_or(0.0, |target| scores.get(*target));
            // Among cold items only: how these compare with others is for their weight to say. The target itself is one equal.
            let others =
                |test: fn(f32, f32) -> bool| rivals.iter().filter(|&&item| test(scores.get(item), own)).count() as f64;
            let (above, equal) = (others(|other, own| other > own), others(|other, own| other == own) - 1.0);
            ndcg_at(&[1.0 + above + equal / 2.0], DEPTH as usize)
        });
        gains.collect::<Vec<f64>>()
    };
    let gains = TRANSITIONS.map(quality);
    let sum = |at: usize| gains[at].iter().sum::<f64>();
    let best = (1..TRANSITIONS.len()).fold(0, |best, at| if sum(at) > sum(best) { at } else { best });
    let best = if is_clear(&gains[best], &gains[0]) { best } else { 0 };
    let params = text::Params { transitions: TRANSITIONS[best], ..model.params().clone() };
    model.adopt(&params);
    Some(params)
}

/// Whether the first is better than the second by more than chance.
fn is_clear(first: &[f64], second: &[f64]) -> bool {
    let count = first.len().max(1) as f64;
    let differences = || first.iter().zip(second).map(|(a, b)| a - b);
    let mean = differences().sum::<f64>() / count;
    let variance = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>() / count;
    mean > GAIN_ERRORS * (variance / count).sqrt()
}

fn text_of(learned: &mut Learned) -> Option<&mut Text> {
    match learned {
        Learned::Batch(model) => match &mut **model {
            BatchModel::Text(text) => Some(text),
            _ => None,
        },
        Learned::Online(_) => None,
    }
}

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
/// `counts` has the events of each item that the models know of. The cases must lie after these.
pub fn choose(models: &[Learned], fusion: &Fusion, cases: &Cases<'_>, counts: &[u32], seed: u64) -> Option<ColdWeight> {
    let place = |finder: &str| models.iter().position(|learned| learned.model().name() == finder);
    let source = FINDERS.into_iter().find_map(place)?;
    let supposed = supposed(counts, seed);
    let supposing = supposing(&models[source], |item| supposed[item as usize] || counts[item as usize] == 0);
    let mut sources = lineup(models);
    if let Some(supposing) = &supposing {
        sources[source] = Some(supposing);
    }
    let asked = Fusion { cold: Some(ColdWeight { source, weight: 1.0 }), ..fusion.clone() };
    let weights = weights();
    let outcomes = cases.list.par_iter().map_init(Scratch::default, |scratch, case| {
        let history = possible(case.history, &supposed)?;
        let query = Query { history: &history, ..cases.query(case) };
        score_sources(&sources, &asked, &query, cases.n_items, None, &Guard::none(), scratch);
        let Scratch { sources, standard, fused, .. } = scratch;
        for (learned, scores) in models.iter().zip(sources.iter_mut()) {
            if !FINDERS.contains(&learned.model().name()) {
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

/// The finder under the supposition, if it knows of events at all.
fn supposing(finder: &Learned, is_cold: impl Fn(ItemIx) -> bool) -> Option<Supposing<'_>> {
    match finder {
        Learned::Batch(model) => match &**model {
            BatchModel::Text(text) => Some(text.supposing_cold(is_cold)),
            _ => None,
        },
        Learned::Online(_) => None,
    }
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
    fn what_could_be_chance_is_no_gain() {
        assert!(!is_clear(&[1.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 0.9]));
        assert!(is_clear(&[1.0, 0.8, 0.9, 1.0], &[0.5, 0.4, 0.5, 0.4]));
        assert!(!is_clear(&[], &[]) && !is_clear(&[0.5; 3], &[0.5; 3]));
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
