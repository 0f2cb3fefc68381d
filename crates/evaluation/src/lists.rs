//! What recommended lists are like beyond their accuracy.
//!
//! Lists are item numbers, best first, each list without repeats; item vectors are flat, one unit row per item.

/// Share of the catalogue that occurs in any list.
pub fn coverage(lists: &[Vec<u32>], n_items: usize) -> f64 {
    let shown = exposures(lists, n_items).into_iter().filter(|&count| count > 0).count();
    shown as f64 / n_items.max(1) as f64
}

/// How often each item occurs in the lists; numbers outside the catalogue are passed over.
pub fn exposures(lists: &[Vec<u32>], n_items: usize) -> Vec<u64> {
    let mut counts = vec![0; n_items];
    for &item in lists.iter().flatten() {
        if let Some(count) = counts.get_mut(item as usize) {
            *count += 1;
        }
    }
    counts
}

/// Mean of 1 − cosine over all pairs of a list; 0 for fewer than two items. `vectors` has rows of `dims` numbers of unit length (or
/// all 0: unlike everything).
pub fn intra_list_diversity(list: &[u32], vectors: &[f32], dims: usize) -> f64 {
    let row = |item: u32| vectors.get(item as usize * dims..(item as usize + 1) * dims).unwrap_or(&[]);
    let cosine = |a: u32, b: u32| row(a).iter().zip(row(b)).map(|(x, y)| f64::from(x * y)).sum::<f64>();
    let mut sum = 0.0;
    for (place, &a) in list.iter().enumerate() {
        sum += list[place + 1..].iter().map(|&b| 1.0 - cosine(a, b)).sum::<f64>();
    }
    let pairs = list.len() * list.len().saturating_sub(1) / 2;
    sum / pairs.max(1) as f64
}

/// Novelty: mean self-information −log₂ p in bits, p being the share of users who had the item in training ((count + 1)/(users + 1),
/// so that a new item has a finite value).
pub fn novelty(list: &[u32], counts: &[u64], users: u64) -> f64 {
    let bits = |&item: &u32| {
        let count = counts.get(item as usize).copied().unwrap_or(0).min(users);
        -((count + 1) as f64 / (users + 1) as f64).log2()
    };
    list.iter().map(bits).sum::<f64>() / list.len().max(1) as f64
}

/// Serendipity (Ge, Delgado-Battenfeld and Jannach 2010): share of the list that is relevant and isn't in the list of a primitive
/// recommender, such as the most popular items.
pub fn serendipity(list: &[u32], relevant: &[u32], expected: &[u32]) -> f64 {
    let surprising = list.iter().filter(|item| relevant.contains(item) && !expected.contains(item));
    surprising.count() as f64 / list.len().max(1) as f64
}

/// Gini coefficient of exposure: 0 if every item is shown equally often, near 1 if one item takes all. `exposures` has an entry for
/// every item of the catalogue.
pub fn gini(exposures: &[u64]) -> f64 {
    let mut sorted = exposures.to_vec();
    sorted.sort_unstable();
    let (n, total) = (sorted.len() as f64, sorted.iter().map(|&count| count as f64).sum::<f64>());
    if total == 0.0 {
        return 0.0;
    }
    let weighted: f64 =
        sorted.iter().zip(1..).map(|(&count, place)| (2.0 * f64::from(place) - n - 1.0) * count as f64).sum();
    weighted / (n * total)
}

/// Mean training count of the items of a list.
pub fn average_popularity(list: &[u32], counts: &[u64]) -> f64 {
    let sum: f64 = list.iter().map(|&item| counts.get(item as usize).copied().unwrap_or(0) as f64).sum();
    sum / list.len().max(1) as f64
}

/// Miscalibration (Steck 2018): Kullback–Leibler divergence in bits of the list's category shares q from the history's p, with q
/// smoothed to .99 q + .01 p so that it is finite. 0 is perfect calibration.
///
/// `categories` gives the categories of an item, each taking an equal part of it; items without any are passed over. 0 if the history
/// has none.
pub fn miscalibration<'a>(
    history: &[u32],
    list: &[u32],
    categories: impl Fn(u32) -> &'a [u32],
    n_categories: usize,
) -> f64 {
    const SMOOTHING: f64 = 0.01;
    let shares = |items: &[u32]| category_shares(items, &categories, n_categories);
    let divergence =
        |(p, q): (f64, f64)| if p > 0.0 { p * (p / ((1.0 - SMOOTHING) * q + SMOOTHING * p)).log2() } else { 0.0 };
    shares(history).into_iter().zip(shares(list)).map(divergence).sum::<f64>().max(0.0)
}

fn category_shares<'a>(items: &[u32], categories: &impl Fn(u32) -> &'a [u32], n_categories: usize) -> Vec<f64> {
    let mut shares = vec![0.0; n_categories];
    for &item in items {
        let own = categories(item);
        for &category in own {
            if let Some(share) = shares.get_mut(category as usize) {
                *share += 1.0 / own.len() as f64;
            }
        }
    }
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total.max(f64::MIN_POSITIVE));
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coverage_and_exposure_by_hand() {
        let lists = [vec![0, 1], vec![1, 3], vec![9]];
        assert_eq!(exposures(&lists, 4), [1, 2, 0, 1]);
        assert_eq!(coverage(&lists, 4), 0.75);
        assert_eq!(coverage(&[], 0), 0.0);
    }

    #[test]
    fn diversity_is_the_mean_distance_of_pairs() {
        let vectors = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        // Pairs: (0, 1) at distance 1, (0, 2) at 0, (1, 2) at 1.
        assert!((intra_list_diversity(&[0, 1, 2], &vectors, 2) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(intra_list_diversity(&[0], &vectors, 2), 0.0);
    }

    #[test]
    fn novelty_popularity_and_serendipity_by_hand() {
        // Shares (1 + 1)/8 and (3 + 1)/8: 2 bits and 1 bit.
        assert_eq!(novelty(&[0, 1], &[1, 3], 7), 1.5);
        assert_eq!(average_popularity(&[0, 1], &[1, 3]), 2.0);
        assert_eq!(serendipity(&[0, 1, 2, 3], &[1, 2, 8], &[2, 9]), 0.25);
    }

    #[test]
    fn gini_by_hand() {
        assert_eq!(gini(&[5, 5, 5, 5]), 0.0);
        assert_eq!(gini(&[0, 0, 0, 8]), 0.75);
        assert_eq!(gini(&[0, 0]), 0.0);
        // Sorted 1, 3: (−1·1 + 1·3)/(2·4).
        assert_eq!(gini(&[3, 1]), 0.25);
    }

    #[test]
    fn a_list_like_the_history_is_calibrated() {
        let of = |item: u32| -> &[u32] { [&[0][..], &[1], &[0, 1], &[]][item as usize] };
        assert!(miscalibration(&[0, 1], &[2], of, 2) < 1e-12);
        let skewed = miscalibration(&[0, 1], &[0, 3], of, 2);
        // p = (½, ½), q = (.995, .005).
        let expected = 0.5 * (0.5_f64 / 0.995).log2() + 0.5 * (0.5_f64 / 0.005).log2();
        assert!((skewed - expected).abs() < 1e-9, "{skewed} {expected}");
        assert_eq!(miscalibration(&[3], &[0], of, 2), 0.0);
    }

    proptest! {
        #[test]
        fn gini_stays_in_0_to_1_and_ignores_scale(counts in prop::collection::vec(0_u64..50, 1..40)) {
            let doubled: Vec<u64> = counts.iter().map(|count| count * 2).collect();
            prop_assert!((0.0..1.0).contains(&gini(&counts)));
            prop_assert!((gini(&counts) - gini(&doubled)).abs() < 1e-12);
        }
    }
}
