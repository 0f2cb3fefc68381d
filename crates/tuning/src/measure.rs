//! How well each arm tells what was chosen from what wasn't, by length of history, and what fine-tuning and the router gain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use zhiyin_evaluation::Summary;

use crate::router::{BUCKETS, Judged, LANGUAGE_MODEL, Route, bucket_name, choose, difference, routed};

/// The language model before it was fine-tuned, among the arms.
pub const ZERO_SHOT: &str = "language-model-zero-shot";
/// The router, among the arms.
pub const ROUTER: &str = "router";

/// Areas under the ROC curve of one arm with their 95 % intervals over users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name.
    pub arm: String,
    /// Over all cases.
    pub all: Summary,
    /// By bucket.
    pub buckets: Vec<Summary>,
}

/// The test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How the buckets are called.
    pub buckets: Vec<String>,
    /// Cases by bucket.
    pub cases: Vec<usize>,
    /// Processor seconds that the language models took for judging, validation included.
    pub cpu_seconds: f64,
    /// The arms, the router last.
    pub arms: Vec<Arm>,
    /// What fine-tuning gains over the model as it was: over all cases, then by bucket.
    pub tuning_gain: Vec<Summary>,
    /// What the router gains over the better of its two arms in each bucket, on the test. Below 0 where the test's better arm wasn't
    /// validation's.
    pub router_gain: Vec<Summary>,
}

/// Chooses the routes by validation and measures everything on the test. Only the test's cases need the zero-shot arm.
/// `cpu_seconds` is what judging took.
pub fn measure(validation: &[Judged], test: &[Judged], cpu_seconds: f64, seed: u64) -> (Vec<Route>, Measured) {
    let routes = choose(validation, seed);
    let of = |bucket: Option<usize>| -> Vec<&Judged> {
        test.iter().filter(|case| bucket.is_none_or(|bucket| case.bucket == bucket)).collect()
    };
    let wheres: Vec<Option<usize>> = std::iter::once(None).chain((0..BUCKETS.len()).map(Some)).collect();
    let arm = |name: &str, value: &dyn Fn(&Judged) -> Option<f64>| {
        let mut summaries = wheres.iter().map(|bucket| difference(&of(*bucket), value, seed));
        let all = summaries.next().unwrap_or(Summary { mean: 0.0, low: 0.0, high: 0.0, n: 0 });
        Arm { arm: name.to_owned(), all, buckets: summaries.collect() }
    };
    let names: BTreeSet<&str> = test.iter().flat_map(|case| case.auc.keys().map(String::as_str)).collect();
    let mut arms: Vec<Arm> = names.iter().map(|name| arm(name, &|case| case.auc.get(*name).copied())).collect();
    arms.push(arm(ROUTER, &|case| routed(case, &routes)));
    let gain = |case: &Judged| Some(case.auc.get(LANGUAGE_MODEL)? - case.auc.get(ZERO_SHOT)?);
    let tuning_gain = wheres.iter().map(|bucket| difference(&of(*bucket), gain, seed)).collect();
    let router_gain = routes.iter().map(|route| {
        let cases = of(Some(route.bucket));
        let mean = |name: &str| difference(&cases, |case| case.auc.get(name).copied(), seed).mean;
        let better = if mean(LANGUAGE_MODEL) > mean(&route.other) { LANGUAGE_MODEL } else { &route.other };
        difference(&cases, |case| Some(routed(case, &routes)? - case.auc.get(better)?), seed)
    });
    let measured = Measured {
        buckets: (0..BUCKETS.len()).map(bucket_name).collect(),
        cases: (0..BUCKETS.len()).map(|bucket| of(Some(bucket)).len()).collect(),
        cpu_seconds,
        arms,
        tuning_gain,
        router_gain: router_gain.collect(),
    };
    (routes, measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(first: f64, other: f64, users: u32) -> Vec<Judged> {
        let case = |user: u32| {
            let noise = f64::from(user % 7) / 50.0;
            let auc = [(LANGUAGE_MODEL, first + noise), (ZERO_SHOT, 0.5 + noise), ("slist", other + noise)];
            Judged { user, bucket: 1, auc: auc.map(|(arm, auc)| (arm.to_owned(), auc)).into() }
        };
        (0..users).map(case).collect()
    }

    #[test]
    fn gains_are_those_over_the_model_as_it_was_and_over_the_better_arm() {
        let (routes, measured) = measure(&cases(0.7, 0.6, 90), &cases(0.65, 0.7, 90), 7.5, 1);
        assert_eq!(routes[1].arm, LANGUAGE_MODEL);
        assert!((measured.tuning_gain[0].mean - 0.15).abs() < 1e-9 && measured.tuning_gain[0].is_above_zero());
        // Validation was wrong about the test: the router loses what the other arm is better.
        assert!((measured.router_gain[1].mean + 0.05).abs() < 1e-9);
        assert_eq!(measured.cases, [0, 90, 0, 0, 0]);
        let router = measured.arms.last().unwrap();
        assert!((router.all.mean - measured.arms[0].all.mean).abs() < 1e-9 && router.arm == ROUTER);
    }
}
