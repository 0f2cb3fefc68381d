//! Behaviour prediction: which of a few items did somebody choose next? For arms that can't score a whole catalogue, and for models beside them.
//!
//! Users are held out as a whole: three tenths for the test, two for validation. Models learn from the others' events before 70 % of time,
//! validation's cases lie between 70 and 80 %, the test's after that. A case has a history and the next few items that were chosen after it, so
//! that one reading of the history is measured by several choices. Items that weren't chosen are drawn as often as they were chosen in the training
//! part, so that being popular tells nothing.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use zhiyin_core::{Interaction, ItemIx};
use zhiyin_models::{Dataset, FitError, Scores, dataset::NoHistories};

use super::{ExperimentConfig, ExperimentData, ExperimentError, Protocol, split::dataset_of};
use crate::{
    learn::fit_named,
    progress::{Progress, Silent},
    rank::{Case, Cases},
};

/// Parts of equal size that users fall into.
const FOLDS: u32 = 10;
/// Those for the test, and those for validation; the others are learned from.
const TEST: std::ops::Range<u32> = 0..3;
const VALIDATION: std::ops::Range<u32> = 3..5;
/// Where the training part and the validation end, as shares of all events in order of time.
const CUTS: [f64; 2] = [0.7, 0.8];
/// Draws of an item that wasn't chosen, before a case is given up.
const DRAWS_MAX: usize = 1_000;

/// How cases are made.
#[derive(Clone, Debug)]
pub struct PreferenceConfig {
    /// Items of a case that were chosen, at most.
    pub chosen_max: usize,
    /// Items of a case that weren't chosen.
    pub others: usize,
    /// Cases of the test, at most; half as many for validation.
    pub cases_max: usize,
    /// Least lengths of histories; a user gives one case for each bucket at most.
    pub buckets: Vec<usize>,
    /// Seed of everything random.
    pub seed: u64,
}

/// Somebody who chose some of several items.
#[derive(Clone, Debug)]
pub struct PreferenceCase {
    /// Whose case it is.
    pub user: u32,
    /// Bucket of the history's length.
    pub bucket: usize,
    /// What was chosen before, oldest first, the first time of each item only.
    pub history: Vec<Interaction>,
    /// What was chosen next, in that order, then what wasn't.
    pub candidates: Vec<ItemIx>,
    /// Candidates that were chosen.
    pub chosen: usize,
    /// When the first of them was.
    pub now_s: u32,
}

/// What is learned from, chosen by, and measured on.
pub struct PreferenceSplit {
    /// Events of the users who aren't held out, before the first cut.
    pub train: Dataset,
    /// Cases that choices are made by.
    pub validation: Vec<PreferenceCase>,
    /// Cases that are measured.
    pub test: Vec<PreferenceCase>,
    /// Histories of validation's users before the first cut, as item numbers without repeats.
    pub validation_histories: Vec<Vec<ItemIx>>,
}

/// Splits the data. Only items with a title take part in cases.
///
/// # Errors
/// [`ExperimentError::Unsuitable`] if no case remains.
pub fn split(data: &ExperimentData, config: &PreferenceConfig) -> Result<PreferenceSplit, ExperimentError> {
    let cuts = cuts(data);
    let fold = |user: usize| {
        let mut random = Pcg64Mcg::seed_from_u64(config.seed ^ ((user as u64) << 20));
        random.random_range(0..FOLDS)
    };
    let before = |history: &[Interaction]| {
        history.iter().copied().filter(|event| event.time_s < cuts[0]).collect::<Vec<Interaction>>()
    };
    let of_train = |(user, history): (usize, &Vec<Interaction>)| {
        if fold(user) < VALIDATION.end { Vec::new() } else { before(history) }
    };
    let histories: Vec<Vec<Interaction>> = data.histories.iter().enumerate().map(of_train).collect();
    let train = dataset_of(data, &histories);
    let draws: Vec<ItemIx> =
        train.interactions.iter().map(|event| event.item).filter(|&item| has_title(data, item)).collect();
    let part = |folds: std::ops::Range<u32>, from: u32, to: u32, cases_max: usize| -> Vec<PreferenceCase> {
        let mut random = Pcg64Mcg::seed_from_u64(config.seed ^ u64::from(folds.start));
        let mut cases = Vec::new();
        for (user, history) in data.histories.iter().enumerate().filter(|(user, _)| folds.contains(&fold(*user))) {
            let user = Choices { data, user: user as u32, history: &first_times(data, history), draws: &draws };
            cases.extend(user.cases(config, from..to, &mut random));
        }
        cases.shuffle(&mut random);
        cases.truncate(cases_max);
        cases
    };
    let test = part(TEST, cuts[1], u32::MAX, config.cases_max);
    let validation = part(VALIDATION, cuts[0], cuts[1], config.cases_max.div_ceil(2));
    if test.is_empty() || validation.is_empty() {
        return Err(ExperimentError::Unsuitable {
            protocol: "behaviour prediction",
            reason: format!("{} cases for validation and {} for the test remain", validation.len(), test.len()),
            remedy: "use data with times, titles and more users",
        });
    }
    let own = data.histories.iter().enumerate().filter(|(user, _)| VALIDATION.contains(&fold(*user)));
    let validation_histories = own.map(|(_, history)| items(&first_times(data, &before(history)))).collect();
    Ok(PreferenceSplit { train, validation, test, validation_histories })
}

impl PreferenceSplit {
    /// Histories of the training part as item numbers without repeats, those of titled items.
    pub fn train_histories(&self, data: &ExperimentData) -> Vec<Vec<ItemIx>> {
        let rows = self.train.offsets.windows(2).map(|row| &self.train.interactions[row[0]..row[1]]);
        rows.map(|history| items(&first_times(data, history))).filter(|history| history.len() > 1).collect()
    }

    /// Scores that the named models give the candidates, by model in this order and by case: validation, then test. Hyper-parameters
    /// are chosen on the validation cases.
    ///
    /// # Errors
    /// A model that can't be fitted comes with its reason.
    #[allow(clippy::type_complexity, reason = "a name for it would hide that it is two lists of lists")]
    pub fn scores(
        &self,
        names: &[&'static str],
        progress: &dyn Progress,
    ) -> Vec<(&'static str, Result<[Vec<Vec<f64>>; 2], FitError>)> {
        let validation = self.cases(&self.validation);
        let test = self.cases(&self.test);
        let effort = ExperimentConfig::new(Protocol::Temporal).effort();
        let score = |(done, name): (usize, &&'static str)| {
            progress.stage(&format!("fitting {name}"), done as u64, names.len() as u64);
            let scored = fit_named(name, &self.train, &validation, &effort, progress).map(|entry| {
                let of = |cases: &Cases<'_>, own: &[PreferenceCase]| {
                    let scored = cases.list.par_iter().zip(own).map_init(Scores::default, |scores, (case, own)| {
                        scores.reset(cases.n_items);
                        entry.learned.model().score(&cases.query(case), scores);
                        own.candidates.iter().map(|&item| f64::from(scores.values()[item as usize])).collect()
                    });
                    scored.collect::<Vec<Vec<f64>>>()
                };
                [of(&validation, &self.validation), of(&test, &self.test)]
            });
            (*name, scored)
        };
        names.iter().enumerate().map(score).collect()
    }

    /// The best items of the named model for each case of the test, without those of the history. Hyper-parameters are chosen on the validation
    /// cases.
    ///
    /// # Errors
    /// A model that can't be fitted.
    pub fn lists(&self, name: &'static str, length: usize) -> Result<Vec<Vec<ItemIx>>, FitError> {
        let effort = ExperimentConfig::new(Protocol::Temporal).effort();
        let entry = fit_named(name, &self.train, &self.cases(&self.validation), &effort, &Silent)?;
        let test = self.cases(&self.test);
        let list = |scores: &mut Scores, case: &Case<'_>| {
            scores.reset(test.n_items);
            entry.learned.model().score(&test.query(case), scores);
            let known: rustc_hash::FxHashSet<ItemIx> = case.history.iter().map(|event| event.item).collect();
            let mut items: Vec<ItemIx> = (0..test.n_items as ItemIx).filter(|item| !known.contains(item)).collect();
            items.sort_by(|&a, &b| scores.values()[b as usize].total_cmp(&scores.values()[a as usize]));
            items.truncate(length);
            items
        };
        Ok(test.list.par_iter().map_init(Scores::default, list).collect())
    }

    fn cases<'a>(&'a self, own: &'a [PreferenceCase]) -> Cases<'a> {
        let case = |case: &'a PreferenceCase| Case {
            actor: None,
            segment: None,
            history: &case.history,
            targets: case.candidates[..case.chosen].to_vec(),
            now_s: case.now_s,
        };
        Cases {
            list: own.iter().map(case).collect(),
            histories: &NoHistories,
            friends: &[],
            n_items: self.train.n_items(),
            mask_history: true,
        }
    }
}

/// The times of the two cuts. Data that only knows the order within histories has none: everything is before and after them.
fn cuts(data: &ExperimentData) -> [u32; 2] {
    let mut times: Vec<u32> = data.histories.iter().flatten().map(|event| event.time_s).collect();
    times.sort_unstable();
    CUTS.map(|cut| times.get((times.len() as f64 * cut) as usize).copied().unwrap_or_default())
}

fn has_title(data: &ExperimentData, item: ItemIx) -> bool {
    data.titles.get(item as usize).is_some_and(|title| !title.trim().is_empty())
}

/// Of each titled item the first time.
fn first_times(data: &ExperimentData, history: &[Interaction]) -> Vec<Interaction> {
    let mut seen = rustc_hash::FxHashSet::default();
    history.iter().copied().filter(|event| has_title(data, event.item) && seen.insert(event.item)).collect()
}

fn items(history: &[Interaction]) -> Vec<ItemIx> {
    history.iter().map(|event| event.item).collect()
}

/// One user's choices.
struct Choices<'a> {
    data: &'a ExperimentData,
    user: u32,
    history: &'a [Interaction],
    draws: &'a [ItemIx],
}

impl Choices<'_> {
    /// A case of each bucket, at a random place within the times.
    fn cases(
        &self,
        config: &PreferenceConfig,
        times: std::ops::Range<u32>,
        random: &mut Pcg64Mcg,
    ) -> Vec<PreferenceCase> {
        let mut cases = Vec::new();
        for (bucket, &least) in config.buckets.iter().enumerate() {
            let end = config.buckets.get(bucket + 1).copied().unwrap_or(usize::MAX).min(self.history.len());
            let fits = |place: &usize| times.contains(&self.history[*place].time_s);
            let places: Vec<usize> =
                (least..end.max(least)).filter(|place| *place < self.history.len()).filter(fits).collect();
            if places.is_empty() {
                continue;
            }
            let place = places[random.random_range(0..places.len())];
            cases.extend(self.case(config, bucket, place, &times, random));
        }
        cases
    }

    fn case(
        &self,
        config: &PreferenceConfig,
        bucket: usize,
        place: usize,
        times: &std::ops::Range<u32>,
        random: &mut Pcg64Mcg,
    ) -> Option<PreferenceCase> {
        let title = |item: ItemIx| &self.data.titles[item as usize];
        // The same words under two numbers would be no choice.
        let is_new = |candidates: &[ItemIx], item: ItemIx| candidates.iter().all(|&there| title(there) != title(item));
        let mut candidates = Vec::new();
        for event in self.history[place..].iter().take_while(|event| times.contains(&event.time_s)) {
            if candidates.len() < config.chosen_max && is_new(&candidates, event.item) {
                candidates.push(event.item);
            }
        }
        let chosen = candidates.len();
        let mut draws = 0;
        while candidates.len() < chosen + config.others {
            draws += 1;
            if draws > DRAWS_MAX || self.draws.is_empty() {
                return None;
            }
            let drawn = self.draws[random.random_range(0..self.draws.len())];
            let is_own = self.history.iter().any(|event| event.item == drawn);
            if !is_own && is_new(&candidates, drawn) {
                candidates.push(drawn);
            }
        }
        let history = self.history[..place].to_vec();
        Some(PreferenceCase { user: self.user, bucket, history, candidates, chosen, now_s: self.history[place].time_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 users who choose items in steps of one, each beginning where the last one did plus one.
    fn data() -> ExperimentData {
        let history =
            |user: u32| (0..20).map(|at| Interaction::plain((user + at) % 40, 100 + at * 60 + user % 7)).collect();
        ExperimentData {
            name: "steps".to_owned(),
            items: vec![Default::default(); 40],
            titles: (0..40).map(|item| if item == 5 { String::new() } else { format!("Title {item}") }).collect(),
            histories: (0..60).map(history).collect(),
            ..ExperimentData::default()
        }
    }

    #[test]
    fn nothing_of_the_test_is_learned_from_and_cases_are_fair() {
        let data = data();
        let config = PreferenceConfig { chosen_max: 3, others: 4, cases_max: 1_000, buckets: vec![1, 11, 17], seed: 3 };
        let split = split(&data, &config).unwrap();
        let cuts = cuts(&data);
        assert!(split.train.interactions.iter().all(|event| event.time_s < cuts[0]));
        let held_out: Vec<u32> = split.test.iter().chain(&split.validation).map(|case| case.user).collect();
        for user in &held_out {
            let row = &split.train.offsets[*user as usize..][..2];
            assert_eq!(row[0], row[1], "events of user {user} were learned from");
        }
        assert!(split.test.iter().all(|case| case.now_s >= cuts[1]));
        assert!(split.validation.iter().all(|case| (cuts[0]..cuts[1]).contains(&case.now_s)));
        for case in split.test.iter().chain(&split.validation) {
            let (chosen, others) = case.candidates.split_at(case.chosen);
            assert!((1..=3).contains(&chosen.len()) && others.len() == 4, "{case:?}");
            assert!(!case.candidates.contains(&5) && case.history.iter().all(|event| event.item != 5));
            let whole = &data.histories[case.user as usize];
            assert!(others.iter().all(|other| whole.iter().all(|event| event.item != *other)));
            let after: Vec<ItemIx> = items(&whole[whole.iter().position(|event| event.item == chosen[0]).unwrap()..]);
            let after: Vec<ItemIx> = after.into_iter().filter(|item| *item != 5).collect();
            assert_eq!(after[..chosen.len()], *chosen, "they are the next ones");
            assert!(case.history.len() >= config.buckets[case.bucket]);
        }
        let users =
            |cases: &[PreferenceCase]| cases.iter().map(|case| case.user).collect::<std::collections::BTreeSet<_>>();
        assert!(users(&split.test).is_disjoint(&users(&split.validation)));
    }

    #[test]
    fn lists_hold_the_best_items_that_are_new_to_somebody() {
        let data = data();
        let config = PreferenceConfig { chosen_max: 1, others: 4, cases_max: 1_000, buckets: vec![1], seed: 3 };
        let split = split(&data, &config).unwrap();
        let lists = split.lists("cooccurrence", 5).unwrap();
        assert_eq!(lists.len(), split.test.len());
        let mut found = 0;
        for (list, case) in lists.iter().zip(&split.test) {
            assert!(list.len() == 5 && case.history.iter().all(|event| !list.contains(&event.item)));
            found += usize::from(list.contains(&case.candidates[0]));
        }
        assert!(found * 10 > lists.len() * 8, "{found} of {}", lists.len());
    }

    #[test]
    fn a_model_that_knows_the_order_stands_above_chance() {
        let data = data();
        let config = PreferenceConfig { chosen_max: 1, others: 4, cases_max: 1_000, buckets: vec![1], seed: 3 };
        let split = split(&data, &config).unwrap();
        let scored = split.scores(&["cooccurrence"], &crate::progress::Silent);
        let [_, test] = scored[0].1.as_ref().unwrap();
        let won = test.iter().filter(|scores| scores[1..].iter().all(|other| scores[0] > *other)).count();
        assert!(won * 10 > test.len() * 8, "{won} of {}", test.len());
    }
}
