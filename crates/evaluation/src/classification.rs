//! How well scores tell two outcomes apart, and whether probabilities mean what they say.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use crate::bootstrap::{RESAMPLES, Summary, quantile};

/// Area under the ROC curve: the probability that a positive case scores higher than a negative one, ties counting half (Mann and
/// Whitney). ½ if there are none of either.
pub fn auc(scores: &[f64], outcomes: &[bool]) -> f64 {
    let cases: Vec<(f64, bool)> = scores.iter().copied().zip(outcomes.iter().copied()).collect();
    auc_of(cases)
}

fn auc_of(mut cases: Vec<(f64, bool)>) -> f64 {
    cases.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut positive, mut negative, mut won) = (0.0, 0.0, 0.0);
    for level in cases.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let up = level.iter().filter(|(_, outcome)| *outcome).count() as f64;
        let down = level.len() as f64 - up;
        won += up * (negative + down / 2.0);
        positive += up;
        negative += down;
    }
    if positive * negative == 0.0 { 0.5 } else { won / (positive * negative) }
}

/// [`auc`] with its 95 % percentile bootstrap interval over cases.
pub fn auc_interval(scores: &[f64], outcomes: &[bool], seed: u64) -> Summary {
    let cases: Vec<(f64, bool)> = scores.iter().copied().zip(outcomes.iter().copied()).collect();
    let n = cases.len();
    let resampled = |number: u64| {
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        auc_of((0..n).map(|_| cases[random.random_range(0..n)]).collect())
    };
    let mean = auc_of(cases.clone());
    if n == 0 {
        return Summary { mean, low: mean, high: mean, n };
    }
    let mut values: Vec<f64> = (0..RESAMPLES).into_par_iter().map(resampled).collect();
    values.sort_unstable_by(f64::total_cmp);
    Summary { mean, low: quantile(&values, 0.025), high: quantile(&values, 0.975), n }
}

/// Share of cases whose probability is on the side of ½ where the outcome is.
pub fn accuracy(probabilities: &[f64], outcomes: &[bool]) -> f64 {
    let right = probabilities.iter().zip(outcomes).filter(|(p, outcome)| (**p >= 0.5) == **outcome).count();
    right as f64 / probabilities.len().max(1) as f64
}

/// Expected calibration error (Naeini et al. 2015): |mean probability − share of positive outcomes| over ten bins of equally many
/// cases, averaged.
pub fn calibration_error(probabilities: &[f64], outcomes: &[bool]) -> f64 {
    let mut cases: Vec<(f64, f64)> =
        probabilities.iter().zip(outcomes).map(|(p, outcome)| (*p, f64::from(u8::from(*outcome)))).collect();
    cases.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let gap = |bin: &[(f64, f64)]| bin.iter().map(|(p, outcome)| p - outcome).sum::<f64>().abs();
    let size = cases.len().div_ceil(10).max(1);
    cases.chunks(size).map(gap).sum::<f64>() / cases.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_by_hand() {
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), 0.75);
        assert_eq!(auc(&[1.0, 1.0], &[true, false]), 0.5);
        assert_eq!(auc(&[2.0], &[true]), 0.5);
    }

    #[test]
    fn the_interval_contains_the_area_and_narrows() {
        let outcomes = |n: u32| (0..n).map(|i| i % 3 == 0).collect::<Vec<_>>();
        let scores = |n: u32| (0..n).map(|i| f64::from((i * 7919) % 101) + f64::from(u8::from(i % 3 == 0)) * 30.0);
        let width = |n: u32| {
            let summary = auc_interval(&scores(n).collect::<Vec<_>>(), &outcomes(n), 1);
            assert!(summary.low <= summary.mean && summary.mean <= summary.high);
            summary.high - summary.low
        };
        assert!(width(2_000) < width(200) / 2.0);
    }

    #[test]
    fn probabilities_that_come_true_are_calibrated() {
        let probabilities = [0.2; 10];
        let outcomes: Vec<bool> = (0..10).map(|i| i < 2).collect();
        // Ten bins of one case each would be noise; all cases of one probability are not one bin either, so check two extremes.
        assert_eq!(calibration_error(&[0.0, 0.0, 1.0, 1.0], &[false, false, true, true]), 0.0);
        assert_eq!(calibration_error(&[1.0; 4], &[false; 4]), 1.0);
        assert_eq!(accuracy(&probabilities, &outcomes), 0.8);
    }
}
