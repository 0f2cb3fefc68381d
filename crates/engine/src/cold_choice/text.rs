//! What only items without events show in the model `text`: the weight of their transitions, which orders them, and their lift, which places
//! them among all. Both are chosen on the validation part by supposing that some items are such.

use rayon::prelude::*;
use zhiyin_core::ItemIx;
use zhiyin_evaluation::metrics::ndcg_at;
use zhiyin_models::{
    Model, Query, Scores,
    text::{self, Supposing, Text},
};

use super::{DEPTH, possible, supposed};
use crate::{
    learn::{BatchModel, Learned},
    rank::{Case, Cases, mask},
};

/// Transitions must gain more than so many standard errors of the paired difference to none.
const GAIN_ERRORS: f64 = 2.0;
/// Weights of the transitions that are tried; the first is none.
const TRANSITIONS: [f32; 7] = [0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// Lifts that are tried; the first is none.
const LIFTS: [f32; 8] = [1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5];

/// Chooses weight and lift in the model `text`, if it is one of these; other models know nothing of the kind. The parameters that it has
/// from then on. Arguments as for [`super::choose`].
pub fn choose_in_text(models: &mut [Learned], cases: &Cases<'_>, counts: &[u32], seed: u64) -> Option<text::Params> {
    let model = models.iter_mut().find_map(text_of)?;
    let supposed = supposed(counts, seed);
    let mut supposing = model.supposing_cold(|item| supposed[item as usize] || counts[item as usize] == 0);
    supposing.lift = 1.0;
    supposing.weight = choose_transitions(&mut supposing, cases, &supposed);
    let lift = choose_lift(&supposing, cases, &supposed);
    let params = text::Params { transitions: supposing.weight, lift, ..model.params().clone() };
    model.adopt(&params);
    Some(params)
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

/// The weight with the best NDCG@10 of the targets that are supposed to be cold, among all such items: how these compare with others is for
/// their lift to say.
fn choose_transitions(supposing: &mut Supposing<'_>, cases: &Cases<'_>, supposed: &[bool]) -> f32 {
    let rivals: Vec<ItemIx> = (0..supposed.len() as ItemIx).filter(|item| supposed[*item as usize]).collect();
    let cold = Cases { list: cases.list.iter().filter(|case| is_cold(case, supposed)).cloned().collect(), ..*cases };
    let mut quality = |weight: f32| {
        supposing.weight = weight;
        let of_case = |scores: &mut Scores, case: &Case<'_>| {
            score(supposing, &cold, case, supposed, scores);
            let own = case.targets.first().map_or(0.0, |target| scores.get(*target));
            // The target itself is one of its equals.
            gain(rank(own, rivals.iter().map(|item| scores.get(*item))) - 0.5)
        };
        cold.list.par_iter().map_init(Scores::default, of_case).collect::<Vec<f64>>()
    };
    let gains = TRANSITIONS.map(&mut quality);
    let sum = |at: usize| gains[at].iter().sum::<f64>();
    let best = (1..TRANSITIONS.len()).fold(0, |best, at| if sum(at) > sum(best) { at } else { best });
    TRANSITIONS[if is_clear(&gains[best], &gains[0]) { best } else { 0 }]
}

/// The lift with the greatest sum of the mean NDCG@10 of cold and of warm targets among all items. The two count alike: a history is full of
/// items that were there long ago, so the share of its targets that are cold says little of how often somebody will meet a new item.
fn choose_lift(supposing: &Supposing<'_>, cases: &Cases<'_>, supposed: &[bool]) -> f32 {
    let outcome = |(scores, masked): &mut (Scores, Vec<ItemIx>), case: &Case<'_>| {
        score(supposing, cases, case, supposed, scores);
        mask(case, cases.mask_history, masked);
        let target = *case.targets.first()?;
        masked.binary_search(&target).is_err().then(|| gains_at_lifts(scores, target, supposed, masked))
    };
    let outcomes = cases.list.par_iter().map_init(Default::default, outcome).flatten().collect::<Vec<Gains>>();
    let mean = |is_cold: bool, at: usize| {
        let gains = outcomes.iter().filter(|gains| gains.is_cold == is_cold).map(|gains| gains.at[at]);
        gains.clone().sum::<f64>() / gains.count().max(1) as f64
    };
    let quality: [f64; LIFTS.len()] = std::array::from_fn(|at| mean(true, at) + mean(false, at));
    LIFTS[(1..LIFTS.len()).fold(0, |best, at| if quality[at] > quality[best] { at } else { best })]
}

/// NDCG@10 of one target at each lift.
struct Gains {
    is_cold: bool,
    at: [f64; LIFTS.len()],
}

fn gains_at_lifts(scores: &Scores, target: ItemIx, supposed: &[bool], masked: &[ItemIx]) -> Gains {
    let is_lifted = |item: ItemIx| supposed[item as usize];
    let (own, is_cold) = (scores.get(target), is_lifted(target));
    let rivals = scores.touched().iter().copied().filter(|item| *item != target && masked.binary_search(item).is_err());
    let (lifted, fixed): (Vec<ItemIx>, Vec<ItemIx>) = rivals.partition(|item| is_lifted(*item));
    let value = |item: &ItemIx| scores.get(*item);
    let at = LIFTS.map(|lift| {
        // An item that the model says nothing of isn't found at any lift.
        if own == 0.0 {
            return 0.0;
        }
        let own = if is_cold { own * lift } else { own };
        gain(rank(own, fixed.iter().map(value).chain(lifted.iter().map(|item| value(item) * lift))))
    });
    Gains { is_cold, at }
}

/// Scores a case whose history holds no item that is supposed to be cold.
fn score(supposing: &Supposing<'_>, cases: &Cases<'_>, case: &Case<'_>, supposed: &[bool], scores: &mut Scores) {
    let history = possible(case.history, supposed).unwrap_or_default();
    scores.reset(cases.n_items);
    supposing.score(&Query { history: &history, ..cases.query(case) }, scores);
}

fn is_cold(case: &Case<'_>, supposed: &[bool]) -> bool {
    case.targets.first().is_some_and(|target| supposed[*target as usize])
}

fn gain(rank: f64) -> f64 {
    ndcg_at(&[rank], DEPTH as usize)
}

/// Rank from 1 against other values, ties counting half.
#[allow(clippy::float_cmp, reason = "a tie is exact equality")]
fn rank(own: f32, others: impl Iterator<Item = f32>) -> f64 {
    others.fold(1.0, |rank, other| rank + if other > own { 1.0 } else { f64::from(u8::from(other == own)) / 2.0 })
}

/// Whether the first is better than the second by more than chance.
fn is_clear(first: &[f64], second: &[f64]) -> bool {
    let count = first.len().max(1) as f64;
    let differences = || first.iter().zip(second).map(|(a, b)| a - b);
    let mean = differences().sum::<f64>() / count;
    let variance = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>() / count;
    mean > GAIN_ERRORS * (variance / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_chance_is_no_gain() {
        assert!(!is_clear(&[1.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 0.9]));
        assert!(is_clear(&[1.0, 0.8, 0.9, 1.0], &[0.5, 0.4, 0.5, 0.4]));
        assert!(!is_clear(&[], &[]) && !is_clear(&[0.5; 3], &[0.5; 3]));
    }

    #[test]
    fn a_lift_brings_a_cold_target_up_and_a_warm_one_down() {
        // Items 0 and 1 are warm, 2 and 3 are supposed to be cold, nobody knows item 4.
        let mut scores = Scores::new(5);
        for (item, value) in [(0, 2.0), (1, 1.0), (2, 1.5), (3, 0.9)] {
            scores.add(item, value);
        }
        let supposed = [false, false, true, true, false];
        let ranks = |target: ItemIx, masked: &[ItemIx]| {
            let gains = gains_at_lifts(&scores, target, &supposed, masked);
            // NDCG of one target at rank r is 1 / log2(r + 1).
            gains.at.map(|gain| if gain == 0.0 { 0.0 } else { ((1.0 / gain).exp2() - 1.0).round() })
        };
        assert_eq!(ranks(2, &[]), [2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(ranks(3, &[]), [4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]);
        assert_eq!(ranks(0, &[]), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0]);
        assert_eq!(ranks(1, &[2]), [2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0], "what is masked doesn't compete");
        assert_eq!(ranks(4, &[]), [0.0; 8]);
    }
}
