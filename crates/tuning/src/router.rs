//! For which lengths of histories a language model is worth asking: decided by validation, bucket by bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhiyin_evaluation::{Summary, bootstrap::ratio_interval};

/// The name of the language model among the arms.
pub const LANGUAGE_MODEL: &str = "language-model";
/// Least lengths of the histories of each bucket; the last one has no end.
pub const BUCKETS: [usize; 5] = [1, 3, 6, 11, 21];

/// Number of the bucket that a history of this length belongs to.
pub fn bucket(length: usize) -> usize {
    BUCKETS.iter().rposition(|&least| length >= least).unwrap_or(0)
}

/// How a bucket is called: `1–2`, `21+`.
pub fn bucket_name(bucket: usize) -> String {
    match BUCKETS.get(bucket + 1) {
        Some(next) => format!("{}–{}", BUCKETS[bucket], next - 1),
        None => format!("{}+", BUCKETS[bucket.min(BUCKETS.len() - 1)]),
    }
}

/// One case as all arms judged it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Whose case it is: cases of one user aren't independent.
    pub user: u32,
    /// Bucket of the history's length.
    pub bucket: usize,
    /// Area under the ROC curve by arm: the share of the titles not chosen that the chosen one stands above, ties counting half.
    pub auc: BTreeMap<String, f64>,
}

/// Area under the ROC curve of one case whose first score is that of what was chosen.
pub fn case_auc(scores: &[f64]) -> f64 {
    let Some((chosen, others)) = scores.split_first().filter(|(_, others)| !others.is_empty()) else { return 0.5 };
    let won = |other: &f64| if chosen > other { 1.0 } else { f64::from(u8::from(chosen == other)) / 2.0 };
    others.iter().map(won).sum::<f64>() / others.len() as f64
}

/// Who judges histories of a bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Number of the bucket.
    pub bucket: usize,
    /// The arm.
    pub arm: String,
    /// The best of the other arms.
    pub other: String,
    /// What the language model gains over it on validation.
    pub gain: Summary,
}

/// For each bucket the language model where it gains over the best other arm, with the whole 95 % interval above 0; else that one.
pub fn choose(validation: &[Judged], seed: u64) -> Vec<Route> {
    let route = |bucket: usize| {
        let cases: Vec<&Judged> = validation.iter().filter(|case| case.bucket == bucket).collect();
        let other = best_other(&cases).or_else(|| best_other(&validation.iter().collect::<Vec<_>>()))?;
        let gain = difference(&cases, |case| Some(case.auc.get(LANGUAGE_MODEL)? - case.auc.get(&other)?), seed);
        let arm = if gain.is_above_zero() { LANGUAGE_MODEL.to_owned() } else { other.clone() };
        Some(Route { bucket, arm, other, gain })
    };
    (0..BUCKETS.len()).filter_map(route).collect()
}

fn best_other(cases: &[&Judged]) -> Option<String> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (arm, auc) in cases.iter().flat_map(|case| &case.auc) {
        *sums.entry(arm).or_default() += auc;
    }
    let others = sums.into_iter().filter(|(arm, _)| !arm.starts_with(LANGUAGE_MODEL));
    others.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(arm, _)| arm.to_owned())
}

/// Mean of a value over cases with its interval over users; cases without it don't count.
pub fn difference(cases: &[&Judged], value: impl Fn(&Judged) -> Option<f64>, seed: u64) -> Summary {
    let mut units: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for case in cases {
        if let Some(value) = value(case) {
            let unit = units.entry(case.user).or_default();
            *unit = (unit.0 + value, unit.1 + 1.0);
        }
    }
    let (sums, counts): (Vec<f64>, Vec<f64>) = units.into_values().unzip();
    ratio_interval(&sums, &counts, seed)
}

/// The area that a case has under the arm that its bucket is routed to.
pub fn routed(case: &Judged, routes: &[Route]) -> Option<f64> {
    let route = routes.iter().find(|route| route.bucket == case.bucket)?;
    case.auc.get(&route.arm).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(user: u32, bucket: usize, language: f64, linear: f64, text: f64) -> Judged {
        let auc = [(LANGUAGE_MODEL, language), ("linear", linear), ("text", text)];
        Judged { user, bucket, auc: auc.map(|(arm, auc)| (arm.to_owned(), auc)).into() }
    }

    #[test]
    fn lengths_fall_into_buckets() {
        let found: Vec<usize> = [0, 1, 2, 3, 5, 6, 10, 11, 20, 21, 500].map(bucket).to_vec();
        assert_eq!(found, [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!((bucket_name(0), bucket_name(4)), ("1–2".to_owned(), "21+".to_owned()));
    }

    #[test]
    fn the_model_is_asked_only_where_it_surely_gains() {
        let mut cases = Vec::new();
        for user in 0..200 {
            let noise = f64::from(user % 5) / 10.0;
            cases.push(case(user, 0, 0.6 + noise, 0.4 + noise, 0.3));
            // In the second bucket it gains for one half of the users what it loses for the other.
            cases.push(case(user, 1, if user % 2 == 0 { 0.9 } else { 0.5 }, 0.7, 0.2));
        }
        let routes = choose(&cases, 1);
        assert_eq!((routes[0].arm.as_str(), routes[0].other.as_str()), (LANGUAGE_MODEL, "linear"));
        assert_eq!(routes[1].arm, "linear");
        // Buckets that nobody fell into have the best other arm of all.
        assert_eq!(routes[4].arm, "linear");
        assert_eq!(routed(&cases[0], &routes), Some(0.6));
        assert_eq!(routed(&cases[1], &routes), Some(0.7));
    }

    #[test]
    fn the_area_of_a_case_is_the_share_that_it_stands_above() {
        assert_eq!(case_auc(&[0.5, 0.4, 0.6, 0.5, 0.1]), 0.625);
        assert_eq!(case_auc(&[1.0]), 0.5);
    }
}
