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
    /// Area under the ROC curve by arm: the share of the pairs of a title that was chosen and one that wasn't which stand right, ties counting half.
    pub auc: BTreeMap<String, f64>,
}

/// Area under the ROC curve of one case of whose scores so many, the first ones, are those of what was chosen; the others are those of what wasn't.
pub fn case_auc(scores: &[f64], chosen: usize) -> f64 {
    let (chosen, others) = scores.split_at(chosen.min(scores.len()));
    if chosen.is_empty() || others.is_empty() {
        return 0.5;
    }
    let won = |own: &f64, other: &f64| if own > other { 1.0 } else { f64::from(u8::from(own == other)) / 2.0 };
    let pairs: f64 = chosen.iter().map(|own| others.iter().map(|other| won(own, other)).sum::<f64>()).sum();
    pairs / (chosen.len() * others.len()) as f64
}

/// Who judges histories of a bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Number of the bucket.
    pub bucket: usize,
    /// The arm.
    pub arm: String,
    /// The arm that judges where the language model doesn't.
    pub other: String,
    /// What the language model gains over it on validation.
    pub gain: Summary,
}

/// So many half intervals a difference within a bucket has to be away from 0. Four arms are compared in five buckets, so that among twenty
/// intervals of 95 % one would deceive by chance; one and a half of them hold 99.7 %.
const SURE: f64 = 1.5;

fn is_sure(gain: &Summary) -> bool {
    gain.n > 0 && gain.mean > SURE * (gain.mean - gain.low) && gain.mean > 0.0
}

/// Who judges the histories of each bucket. What a few cases of one bucket say is believed only if it is sure:
///
/// * the other arm is the one that is best over all cases, unless another one surely gains over it within the bucket;
/// * the language model is asked where it surely gains over that one within the bucket, or where it surely gains over all cases and doesn't lose
///   within the bucket.
pub fn choose(validation: &[Judged], seed: u64) -> Vec<Route> {
    let all: Vec<&Judged> = validation.iter().collect();
    let Some(default) = best_other(&all) else { return Vec::new() };
    let gain = |cases: &[&Judged], arm: &str, over: &str| {
        difference(cases, |case| Some(case.auc.get(arm)? - case.auc.get(over)?), seed)
    };
    let route = |bucket: usize| {
        let cases: Vec<&Judged> = all.iter().copied().filter(|case| case.bucket == bucket).collect();
        let best = best_other(&cases).filter(|best| is_sure(&gain(&cases, best, &default)));
        let other = best.unwrap_or_else(|| default.clone());
        let within = gain(&cases, LANGUAGE_MODEL, &other);
        let is_asked = is_sure(&within) || is_sure(&gain(&all, LANGUAGE_MODEL, &other)) && within.mean > 0.0;
        let arm = if is_asked { LANGUAGE_MODEL.to_owned() } else { other.clone() };
        Route { bucket, arm, other, gain: within }
    };
    (0..BUCKETS.len()).map(route).collect()
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
            cases.push(case(user, 1, if user % 2 == 0 { 0.9 } else { 0.5 }, 0.75, 0.2));
        }
        let routes = choose(&cases, 1);
        assert_eq!((routes[0].arm.as_str(), routes[0].other.as_str()), (LANGUAGE_MODEL, "linear"));
        assert_eq!(routes[1].arm, "linear");
        // Buckets that nobody fell into have the best other arm of all.
        assert_eq!(routes[4].arm, "linear");
        assert_eq!(routed(&cases[0], &routes), Some(0.6));
        assert_eq!(routed(&cases[1], &routes), Some(0.75));
    }

    #[test]
    fn a_few_cases_of_one_bucket_do_not_overrule_all_others() {
        let mut cases: Vec<Judged> = (0..200).map(|user| case(user, 0, 0.5, 0.7, 0.6)).collect();
        // Half of the users of a small bucket are better served by `text`, by more than the other half by `linear`.
        cases.extend((0..12).map(|user| case(user, 2, 0.5, 0.6, if user % 2 == 0 { 1.0 } else { 0.4 })));
        // All users of another one are, by a little more or less.
        cases.extend((0..12).map(|user| case(user, 3, 0.5, 0.6, 0.8 + f64::from(user % 3) / 20.0)));
        let arms: Vec<String> = choose(&cases, 1).into_iter().map(|route| route.arm).collect();
        assert_eq!(arms, ["linear", "linear", "linear", "text", "linear"]);
    }

    #[test]
    fn what_is_sure_of_the_whole_holds_where_a_bucket_does_not_contradict() {
        let noise = |user: u32| f64::from(user % 7) / 10.0;
        let mut cases: Vec<Judged> =
            (0..300).map(|user| case(user, 4, 0.4 + noise(user), 0.3 + noise(user), 0.2)).collect();
        // Two small buckets, in which nothing is sure: in one it gains a little, in the other it loses a little.
        cases.extend((0..8).map(|user| case(user, 0, if user % 2 == 0 { 0.9 } else { 0.5 }, 0.68, 0.2)));
        cases.extend((0..8).map(|user| case(user, 1, if user % 2 == 0 { 0.9 } else { 0.5 }, 0.72, 0.2)));
        let arms: Vec<String> = choose(&cases, 1).into_iter().map(|route| route.arm).collect();
        assert_eq!([&arms[0], &arms[1], &arms[4]], [LANGUAGE_MODEL, "linear", LANGUAGE_MODEL]);
    }

    #[test]
    fn the_area_of_a_case_is_the_share_that_it_stands_above() {
        assert_eq!(case_auc(&[0.5, 0.4, 0.6, 0.5, 0.1], 1), 0.625);
        // Of the six pairs of two chosen ones and three others, four stand right and one is even.
        assert_eq!(case_auc(&[0.5, 0.3, 0.3, 0.4, 0.1], 2), 4.5 / 6.0);
        assert_eq!((case_auc(&[1.0], 1), case_auc(&[1.0], 0)), (0.5, 0.5));
    }
}
