//! Accuracy of one ranking, from the ranks of its relevant items.
//!
//! Ranks count from 1 over the full catalogue; a tie counts half, so a rank may end in ½ (see [`rank`]). Every function takes the
//! ranks of *all* relevant items, in any order, including those far down the list. A ranking without relevant items scores 0: leave
//! such users out of averages.

/// Rank of item `target`: 1 + how many items score higher + half of how many others score the same, not counting `masked` items.
///
/// `masked` lists distinct items, the target not among them. Items outside `scores` rank last; so does a target whose score isn't a
/// number.
pub fn rank(scores: &[f32], target: usize, masked: &[u32]) -> f64 {
    let last = scores.len().saturating_sub(masked.len()) as f64;
    let Some(&own) = scores.get(target).filter(|own| !own.is_nan()) else { return last.max(1.0) };
    let (mut above, mut level) = (0_i64, 0_i64);
    for block in scores.chunks(4096) {
        above += i64::from(block.iter().map(|&score| u32::from(score > own)).sum::<u32>());
        level += i64::from(block.iter().map(|&score| u32::from(score == own)).sum::<u32>());
    }
    for score in masked.iter().filter_map(|&item| scores.get(item as usize)) {
        above -= i64::from(*score > own);
        level -= i64::from(*score == own);
    }
    1.0 + above as f64 + 0.5 * (level - 1) as f64
}

fn hits(ranks: &[f64], k: usize) -> usize {
    ranks.iter().filter(|&&rank| rank <= k as f64).count()
}

/// Hit rate: 1 if any relevant item is among the first k.
pub fn hr_at(ranks: &[f64], k: usize) -> f64 {
    f64::from(u8::from(hits(ranks, k) > 0))
}

/// Precision: relevant items among the first k, over k.
pub fn precision_at(ranks: &[f64], k: usize) -> f64 {
    hits(ranks, k) as f64 / k.max(1) as f64
}

/// Recall: relevant items among the first k, over all relevant items.
pub fn recall_at(ranks: &[f64], k: usize) -> f64 {
    hits(ranks, k) as f64 / ranks.len().max(1) as f64
}

/// Reciprocal rank of the first relevant item if it is among the first k, else 0. Its mean over users is MRR.
pub fn mrr_at(ranks: &[f64], k: usize) -> f64 {
    let first = ranks.iter().copied().fold(f64::INFINITY, f64::min);
    if first <= k as f64 { 1.0 / first } else { 0.0 }
}

/// Normalised discounted cumulative gain with binary gains: Σ 1/log₂(rank + 1) over relevant items among the first k, divided by
/// the same sum for the ideal ranking, Σ 1/log₂(i + 1) for i = 1 … min(k, relevant). With one relevant item: 1/log₂(rank + 1).
pub fn ndcg_at(ranks: &[f64], k: usize) -> f64 {
    let gain: f64 = ranks.iter().filter(|&&rank| rank <= k as f64).map(|rank| (rank + 1.0).log2().recip()).sum();
    let ideal: f64 = (1..=k.min(ranks.len())).map(|i| (i as f64 + 1.0).log2().recip()).sum();
    if ideal > 0.0 { (gain / ideal).min(1.0) } else { 0.0 }
}

/// Average precision: the mean over the first min(k, relevant) relevant items of precision at their ranks, 0 for those beyond k.
/// Its mean over users is MAP.
pub fn average_precision_at(ranks: &[f64], k: usize) -> f64 {
    let mut found: Vec<f64> = ranks.iter().copied().filter(|&rank| rank <= k as f64).collect();
    found.sort_unstable_by(f64::total_cmp);
    let sum: f64 = found.iter().zip(1..).map(|(rank, count)| (f64::from(count) / rank).min(1.0)).sum();
    sum / k.min(ranks.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_count_half_and_masked_items_do_not_compete() {
        let scores = [0.9, 0.5, 0.5, 0.5, 0.1];
        assert_eq!(rank(&scores, 1, &[]), 3.0);
        assert_eq!(rank(&scores, 1, &[0, 2]), 1.5);
        assert_eq!(rank(&scores, 0, &[]), 1.0);
        assert_eq!(rank(&scores, 9, &[0]), 4.0);
        assert_eq!(rank(&[f32::NAN, 1.0], 0, &[]), 2.0);
        assert_eq!(rank(&[f32::NAN, 1.0], 1, &[]), 1.0);
    }

    #[test]
    fn one_relevant_item_by_hand() {
        let values = |k| [hr_at(&[3.0], k), ndcg_at(&[3.0], k), mrr_at(&[3.0], k), recall_at(&[3.0], k)];
        assert_eq!(values(2), [0.0; 4]);
        assert_eq!(values(3), [1.0, 0.5, 1.0 / 3.0, 1.0]);
        assert_eq!((hr_at(&[1.5], 1), hr_at(&[1.5], 2)), (0.0, 1.0));
    }

    #[test]
    fn several_relevant_items_by_hand() {
        // Relevant at 4, 1 and 12 of the first ten.
        let ranks = [4.0, 1.0, 12.0];
        assert_eq!(precision_at(&ranks, 10), 0.2);
        assert_eq!(recall_at(&ranks, 10), 2.0 / 3.0);
        assert_eq!(mrr_at(&ranks, 10), 1.0);
        assert!((average_precision_at(&ranks, 10) - (1.0 + 0.5) / 3.0).abs() < 1e-12);
        let ideal = 1.0 + 1.0 / 3.0_f64.log2() + 0.5;
        assert!((ndcg_at(&ranks, 10) - (1.0 + 1.0 / 5.0_f64.log2()) / ideal).abs() < 1e-12);
        assert_eq!(average_precision_at(&[1.0, 2.0, 3.0], 2), 1.0);
    }

    #[test]
    fn nothing_relevant_scores_nothing() {
        let all = [hr_at, ndcg_at, mrr_at, recall_at, precision_at, average_precision_at];
        assert!(all.iter().all(|metric| metric(&[], 10) == 0.0 && metric(&[1.0], 0) == 0.0));
    }

    proptest! {
        #[test]
        fn metrics_are_in_0_to_1_and_fall_with_the_rank(
            ranks in prop::collection::hash_set(1_u32..60, 1..8), place in 0_usize..8, down in 1_u32..50, k in 1_usize..30,
        ) {
            let mut better: Vec<f64> = ranks.iter().map(|&rank| f64::from(rank)).collect();
            better.sort_unstable_by(f64::total_cmp);
            let mut worse = better.clone();
            let place = place % worse.len();
            worse[place] += f64::from(down);
            prop_assume!(!better.contains(&worse[place]));
            for metric in [hr_at, ndcg_at, mrr_at, recall_at, precision_at, average_precision_at] {
                prop_assert!((0.0..=1.0).contains(&metric(&better, k)));
                prop_assert!(metric(&worse, k) <= metric(&better, k) + 1e-12);
            }
        }

        #[test]
        fn ranks_of_all_items_sum_to_that_of_a_permutation(scores in prop::collection::vec(0_u8..4, 1..30)) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let n = scores.len() as f64;
            let sum: f64 = (0..scores.len()).map(|item| rank(&scores, item, &[])).sum();
            prop_assert_eq!(sum, n * (n + 1.0) / 2.0);
        }
    }
}
