//! 95 % intervals by the percentile bootstrap over users.
//!
//! A user (or session) is the unit that is resampled, because the cases of one user aren't independent. Every resample has its own
//! stream of random numbers, so results don't depend on threads, and two rows of the same length and seed get the same resamples:
//! that is what makes the interval of a difference paired.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Resamples.
pub(crate) const RESAMPLES: u64 = 1_000;
/// From so many units on, each unit's multiplicity is drawn on its own from a Poisson distribution of mean 1, which for the mean is
/// as good as drawing exactly n units (Chamandy et al. 2012) and needs no random access.
const POISSON_FROM: usize = 1_000;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// 2.5 % quantile of the resampled means.
    pub low: f64,
    /// 97.5 % quantile of the resampled means.
    pub high: f64,
    /// Units.
    pub n: usize,
}

impl Summary {
    /// Whether the whole interval is above 0.
    pub fn is_above_zero(&self) -> bool {
        self.low > 0.0
    }
}

/// Mean of one value per unit. All zeros for no units.
pub fn interval(values: &[f64], seed: u64) -> Summary {
    ratio_interval(values, &vec![1.0; values.len()], seed)
}

/// Paired difference of two rows, one value per unit each: the mean of `a` − `b`. The rows have the same units in the same order.
pub fn paired_interval(a: &[f64], b: &[f64], seed: u64) -> Summary {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    interval(&differences, seed)
}

/// Mean over cases where a unit has several: Σ `sums` / Σ `counts`, each with one entry per unit. For a paired difference of two
/// models, pass the differences of their sums.
pub fn ratio_interval(sums: &[f64], counts: &[f64], seed: u64) -> Summary {
    let n = sums.len().min(counts.len());
    let (sums, counts) = (&sums[..n], &counts[..n]);
    let mean = ratio((sums.iter().sum(), counts.iter().sum()));
    let resample = |number: u64| {
        // Weyl increments keep the seeds of neighbouring resamples far apart.
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        ratio(if n < POISSON_FROM { drawn(sums, counts, &mut random) } else { weighted(sums, counts, &mut random) })
    };
    let mut means: Vec<f64> = (0..RESAMPLES).into_par_iter().map(resample).collect();
    means.sort_unstable_by(f64::total_cmp);
    Summary { mean, low: quantile(&means, 0.025), high: quantile(&means, 0.975), n }
}

fn ratio((sum, count): (f64, f64)) -> f64 {
    if count == 0.0 { 0.0 } else { sum / count }
}

fn drawn(sums: &[f64], counts: &[f64], random: &mut Pcg64Mcg) -> (f64, f64) {
    let units = (0..sums.len()).map(|_| random.random_range(0..sums.len()));
    units.fold((0.0, 0.0), |(sum, count), unit| (sum + sums[unit], count + counts[unit]))
}

/// P(X ≤ m) · 2¹⁶ of the Poisson distribution of mean 1, for m = 0, 1, …
const POISSON: [u16; 8] = [24_109, 48_219, 60_273, 64_291, 65_296, 65_497, 65_530, 65_535];

fn weighted(sums: &[f64], counts: &[f64], random: &mut Pcg64Mcg) -> (f64, f64) {
    let (mut sum, mut count) = (0.0, 0.0);
    for (sums, counts) in sums.chunks(4).zip(counts.chunks(4)) {
        let bits = random.next_u64();
        for (lane, (s, c)) in sums.iter().zip(counts).enumerate() {
            let draw = (bits >> (16 * lane)) as u16;
            let times = f64::from(POISSON.iter().map(|&bound| u32::from(draw >= bound)).sum::<u32>());
            sum += times * s;
            count += times * c;
        }
    }
    (sum, count)
}

/// Quantile of sorted values, linear between neighbours.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = sorted[place as usize];
    let above = sorted[(place as usize + 1).min(sorted.len() - 1)];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alternating(n: usize) -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i % 10 == 0))).collect()
    }

    #[test]
    fn the_width_is_that_of_the_normal_approximation() {
        for n in [500, 5_000] {
            let summary = interval(&alternating(n), 7);
            let half_width = 1.96 * (0.1 * 0.9 / n as f64).sqrt();
            assert_eq!((summary.mean, summary.n), (0.1, n));
            assert!(((summary.high - summary.low) / (2.0 * half_width) - 1.0).abs() < 0.12, "{summary:?} {half_width}");
        }
    }

    #[test]
    fn a_small_but_paired_difference_is_seen() {
        let (a, b) = (alternating(2_000), alternating(2_000));
        let better: Vec<f64> = a.iter().enumerate().map(|(i, x)| x + if i % 5 == 0 { 0.01 } else { 0.0 }).collect();
        let difference = paired_interval(&better, &b, 3);
        assert!((difference.mean - 0.002).abs() < 1e-12 && difference.is_above_zero(), "{difference:?}");
        let none = paired_interval(&a, &b, 3);
        assert_eq!((none.mean, none.low, none.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let values = alternating(3_000);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| interval(&values, 1));
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| interval(&values, 1));
        assert_eq!(one, three);
        assert_ne!(one, interval(&values, 2));
    }

    #[test]
    fn a_mean_over_cases_weighs_units_by_their_cases() {
        let summary = ratio_interval(&[3.0, 0.0], &[3.0, 1.0], 1);
        assert_eq!((summary.mean, summary.low, summary.high), (0.75, 0.0, 1.0));
        assert_eq!(interval(&[], 1).mean, 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_interval_contains_the_mean_of_equal_values(value in -5.0_f64..5.0, n in 1_usize..1_500) {
            let summary = interval(&vec![value; n], 1);
            prop_assert!((summary.low - value).abs() < 1e-9 && (summary.high - value).abs() < 1e-9);
        }
    }
}
