//! The prequential protocol: replay of the last tenth of the events, in three arms.
//!
//! `frozen`: histories and models as of the cut, what a batch recommender serves. `fresh`: live histories, frozen models. `live`: both
//! learn from every event. Each arm has its own weights of the sources, chosen by replaying the tenth before the cut in the same arm.

use std::collections::BTreeMap;

use zhiyin_core::ItemIx;
use zhiyin_models::{
    Dataset, Histories, Model, Scores,
    fusion::{ColdWeight, Fusion},
};

use super::{
    ExperimentConfig, ExperimentError,
    measure::Accuracy,
    report::{ModelResult, PairedDifference},
    run::{Lineup, Outcome, fit_all, fusion_row, microseconds, paired},
    split::{ExperimentData, OwnedCase, Split, dataset_of},
};
use crate::{
    cold_choice,
    cost::Cost,
    fuse,
    learn::Learned,
    progress::Progress,
    rank::{Case, Cases, Scorer, each_case, target_ranks},
    replay::{Prediction, Prefixes, Reading, Stretch, lineup},
};

const ARMS: [&str; 3] = ["frozen", "fresh", "live"];
const LIVE: usize = 2;
/// Validation predictions that the weights are chosen by.
const VALIDATION_PREDICTIONS: usize = 3_000;

/// The whole set with its two cuts.
struct Timeline {
    data: Dataset,
    order: Vec<(u32, u32)>,
    validation_from: usize,
    test_from: usize,
}

impl Timeline {
    fn of(data: Dataset) -> Self {
        let order = data.in_time_order();
        let cut = |share: f64| (order.len() as f64 * share) as usize;
        Self { validation_from: cut(0.8), test_from: cut(0.9), data, order }
    }

    fn stretch(&self, from: usize, to: usize, reading: Reading, predictions_max: usize) -> Stretch<'_> {
        let every = (to - from).div_ceil(predictions_max.max(1)).max(1);
        Stretch { data: &self.data, order: &self.order, from, to, reading, every }
    }

    fn validation(&self, reading: Reading) -> Stretch<'_> {
        self.stretch(self.validation_from, self.test_from, reading, VALIDATION_PREDICTIONS)
    }

    fn test(&self, reading: Reading, predictions_max: usize) -> Stretch<'_> {
        self.stretch(self.test_from, self.order.len(), reading, predictions_max)
    }

    /// By item, the place of its first event.
    fn first_events(&self) -> Vec<usize> {
        let mut first = vec![usize::MAX; self.data.n_items()];
        for (place, &(actor, at)) in self.order.iter().enumerate().rev() {
            first[self.data.of(actor)[at as usize].item as usize] = place;
        }
        first
    }

    fn before(&self, cut: usize) -> Prefixes<'_> {
        Prefixes::before(&self.data, &self.order, cut)
    }
}

pub(super) fn run(
    data: &ExperimentData,
    config: &ExperimentConfig,
    mask_history: bool,
    progress: &dyn Progress,
) -> Result<Outcome, ExperimentError> {
    if data.order_only {
        return Err(ExperimentError::Unsuitable {
            protocol: "prequential",
            reason: "the data tells the order within each history but no times".into(),
            remedy: "use leave-one-out",
        });
    }
    let timeline = Timeline::of(dataset_of(data, &data.histories));
    let readings = match config.readings.as_slice() {
        [] => vec![Reading::Sequence, Reading::Simultaneous],
        chosen => chosen.to_vec(),
    };
    let mut outcome = Outcome { results: Vec::new(), paired: Vec::new(), skipped: Default::default() };
    for reading in readings {
        let run = OneReading { timeline: &timeline, config, reading, mask_history, progress };
        run.add_to(&mut outcome)?;
    }
    Ok(outcome)
}

/// What training chose, and how it did on the newest tenth.
pub(crate) struct Chosen {
    /// Hyper-parameters and costs of every model.
    pub models: Vec<ModelResult>,
    /// The weights.
    pub fusion: Fusion,
    /// Every model and the fusion on the newest tenth, replayed live.
    pub held_out: Vec<ModelResult>,
    /// Differences between the fusion and the single models.
    pub paired: Vec<PairedDifference>,
    /// Models that could not be fitted.
    pub skipped: BTreeMap<String, String>,
}

/// Chooses hyper-parameters and weights for serving: fits before the 80 % point of the events, weighs by replaying up to the 90 % point,
/// and measures by replaying the rest, all of it the way the system is used.
pub(crate) fn choose_live(
    data: Dataset,
    config: &ExperimentConfig,
    mask_history: bool,
    progress: &dyn Progress,
) -> Result<Chosen, ExperimentError> {
    let timeline = Timeline::of(data);
    let run = OneReading { timeline: &timeline, config, reading: Reading::Sequence, mask_history, progress };
    let train = timeline.before(timeline.validation_from).dataset();
    let validation = timeline.validation(run.reading);
    let (train, mut fitted) = run.fit(train, &validation)?;
    progress.stage("choosing the weight of cold items", 0, 1);
    let started = Cost::now();
    fitted.choose_in_text(&run.cases(validation.cases(true), &train), &train, config.seed);
    let cold = run.cold_weight(&fitted, &validation, &train);
    progress.stage("weighing the sources by replay", 0, 1);
    let weighed = fuse::weigh_live(&mut fitted.models, &validation, mask_history, config.seed).fusion;
    let fusion = Fusion { cold, ..weighed };
    let weighing = started.elapsed();
    let stretch = timeline.test(run.reading, config.predictions_max);
    let accuracies = run.live(&mut fitted, &fusion, &stretch);
    let units: Vec<u32> = stretch.cases(true).iter().filter_map(|case| case.actor).collect();
    let mut held_out = run.rows(LIVE, &fitted, &fusion, &accuracies, &units, weighing);
    run.time(&mut held_out, &fitted, &fusion, &stretch);
    let paired = super::run::compare(&held_out, &accuracies, &units, config);
    Ok(Chosen { models: fitted.rows, fusion, held_out, paired, skipped: fitted.skipped })
}

fn scorers(fitted: &Lineup) -> Vec<&dyn Model> {
    fitted.models.iter().map(Learned::model).collect()
}

/// One reading of the timestamps.
struct OneReading<'a> {
    timeline: &'a Timeline,
    config: &'a ExperimentConfig,
    reading: Reading,
    mask_history: bool,
    progress: &'a dyn Progress,
}

/// The accuracy of one arm: one entry a single model, then the fusion.
type ArmAccuracy = Vec<Accuracy>;

impl OneReading<'_> {
    fn add_to(&self, outcome: &mut Outcome) -> Result<(), ExperimentError> {
        let (mut fitted, weights, weighing) = self.choose()?;
        let at_cut = self.timeline.before(self.timeline.test_from).dataset();
        fitted.refit(&at_cut, self.progress)?;
        let stretch = self.timeline.test(self.reading, self.config.predictions_max);
        let arms = [
            self.still(&fitted, &weights[0], &stretch, &at_cut, false),
            self.still(&fitted, &weights[1], &stretch, &at_cut, true),
            self.live(&mut fitted, &weights[2], &stretch),
        ];
        let units: Vec<u32> = stretch.cases(true).iter().filter_map(|case| case.actor).collect();
        let rows_of = |arm: usize| {
            let mut rows = self.rows(arm, &fitted, &weights[arm], &arms[arm], &units, weighing);
            self.time(&mut rows, &fitted, &weights[arm], &stretch);
            rows
        };
        let rows: Vec<Vec<ModelResult>> = (0..ARMS.len()).map(rows_of).collect();
        outcome.paired.extend(self.compare(&rows, &fitted, &arms, &units));
        outcome.results.extend(rows.into_iter().flatten());
        outcome.skipped.extend(fitted.skipped);
        Ok(())
    }

    /// Fits before the validation stretch, and weighs the sources on it, in each arm.
    fn choose(&self) -> Result<(Lineup, [Fusion; 3], Cost), ExperimentError> {
        let stretch = self.timeline.validation(self.reading);
        let (train, mut fitted) = self.fit(self.timeline.before(self.timeline.validation_from).dataset(), &stretch)?;
        self.progress.stage("weighing the sources by replay", 0, 1);
        let started = Cost::now();
        let weigh = |is_live| {
            let cases = self.cases(stretch.cases(is_live), &train);
            fuse::weigh(&scorers(&fitted), &cases, self.config.seed).fusion
        };
        let (of_frozen, of_fresh) = (weigh(false), weigh(true));
        let of_live = fuse::weigh_live(&mut fitted.models, &stretch, self.mask_history, self.config.seed).fusion;
        Ok((fitted, [of_frozen, of_fresh, of_live], started.elapsed()))
    }

    /// The weight of items that nobody has met, with live histories and models as of the start of the stretch: these don't know it yet.
    fn cold_weight(&self, fitted: &Lineup, stretch: &Stretch<'_>, train: &Dataset) -> Option<ColdWeight> {
        let cases = self.cases(stretch.cases(true), train);
        let fusion = fuse::weigh(&scorers(fitted), &cases, self.config.seed).fusion;
        cold_choice::choose(&fitted.models, &fusion, &cases, train, self.config.seed)
    }

    /// Fits and tunes every model on `train`, choosing by the stretch after it with live histories.
    fn fit(&self, train: Dataset, stretch: &Stretch<'_>) -> Result<(Dataset, Lineup), ExperimentError> {
        let split = Split {
            validation: stretch.cases(true).iter().map(OwnedCase::from).collect(),
            train,
            refit: None,
            test: Vec::new(),
            mask_history: self.mask_history,
            cold_items: Vec::new(),
        };
        let fitted = fit_all(&split, self.config, self.progress)?;
        Ok((split.train, fitted))
    }

    fn cases<'a>(&self, list: Vec<Case<'a>>, data: &'a Dataset) -> Cases<'a> {
        Cases {
            list,
            histories: data,
            friends: &data.friends,
            n_items: data.n_items(),
            mask_history: self.mask_history,
        }
    }

    /// An arm whose models don't learn.
    fn still(
        &self,
        fitted: &Lineup,
        fusion: &Fusion,
        stretch: &Stretch<'_>,
        at_cut: &Dataset,
        fresh: bool,
    ) -> ArmAccuracy {
        self.progress.stage(if fresh { "replaying: fresh histories" } else { "replaying: frozen" }, 0, 1);
        let cases = self.cases(stretch.cases(fresh), at_cut);
        let sources = lineup(&fitted.models);
        let singles = fitted.models.iter().map(|learned| Scorer::Single(learned.model()));
        let scorers = singles.chain([Scorer::Fused { lineup: &sources, fusion, is_cold: None }]);
        let accuracy_of = |scorer| {
            let ranks =
                each_case(&cases, scorer, |case, values, masked| target_ranks(values, case, self.mask_history, masked));
            self.accuracy(&ranks)
        };
        scorers.map(accuracy_of).collect()
    }

    /// The arm in which everything learns.
    fn live(&self, fitted: &mut Lineup, fusion: &Fusion, stretch: &Stretch<'_>) -> ArmAccuracy {
        self.progress.stage("replaying: live", 0, 1);
        let mut ranks: Vec<Vec<Vec<f64>>> = vec![Vec::new(); fitted.models.len() + 1];
        let (mut fused, mut standard, mut masked) = (Scores::default(), Vec::new(), Vec::new());
        let first = self.timeline.first_events();
        stretch.run(&mut fitted.models, |Prediction { case, per_source, number }| {
            for (scores, ranks) in per_source.iter().zip(&mut ranks) {
                ranks.push(target_ranks(scores.values(), &case, self.mask_history, &mut masked));
            }
            fused.reset(self.timeline.data.n_items());
            fusion.combine(per_source, &mut standard, &mut fused);
            let now = stretch.from + number as usize * stretch.every.max(1);
            fusion.raise_cold(per_source, &standard, &|item: ItemIx| first[item as usize] >= now, &mut fused);
            if let Some(last) = ranks.last_mut() {
                last.push(target_ranks(fused.values(), &case, self.mask_history, &mut masked));
            }
        });
        ranks.iter().map(|ranks| self.accuracy(ranks)).collect()
    }

    fn accuracy(&self, ranks: &[Vec<f64>]) -> Accuracy {
        let mut accuracy = Accuracy::default();
        accuracy.add("", &self.config.cut_offs, ranks.iter().map(|ranks| Some(ranks.as_slice())));
        accuracy
    }

    fn rows(
        &self,
        arm: usize,
        fitted: &Lineup,
        fusion: &Fusion,
        accuracies: &ArmAccuracy,
        units: &[u32],
        weighing: Cost,
    ) -> Vec<ModelResult> {
        let singles = fitted.rows.iter().cloned();
        let all = singles.chain([fusion_row(fusion, &fitted.rows, weighing)]).zip(accuracies);
        let wanted = all.filter(|(row, _)| self.config.reports(&row.model));
        wanted
            .map(|(mut row, accuracy)| {
                row.arm = Some(ARMS[arm].to_owned());
                row.reading = Some(self.reading.name().to_owned());
                accuracy.complete(&mut row, units, self.config.seed);
                row
            })
            .collect()
    }

    /// Writes into each row how long scoring takes.
    fn time(&self, rows: &mut [ModelResult], fitted: &Lineup, fusion: &Fusion, stretch: &Stretch<'_>) {
        let cases = self.cases(stretch.cases(true), &self.timeline.data);
        let sources = lineup(&fitted.models);
        for row in rows {
            let single = fitted.place(&row.model).map(|place| Scorer::Single(fitted.models[place].model()));
            let scorer = single.unwrap_or(Scorer::Fused { lineup: &sources, fusion, is_cold: None });
            row.score_microseconds_per_user = microseconds(&cases, scorer);
        }
    }

    /// `live` against `fresh` and `frozen`, for every model.
    fn compare(
        &self,
        rows: &[Vec<ModelResult>],
        fitted: &Lineup,
        arms: &[ArmAccuracy; 3],
        units: &[u32],
    ) -> Vec<PairedDifference> {
        let mut compared = Vec::new();
        for (place, row) in rows[LIVE].iter().enumerate() {
            // The fusion comes after the single models.
            let at = fitted.place(&row.model).unwrap_or(fitted.models.len());
            for against in [1, 0] {
                let metric = "ndcg@10";
                let (Some(first), Some(second)) = (arms[LIVE][at].rows.get(metric), arms[against][at].rows.get(metric))
                else {
                    continue;
                };
                if let Some((difference, ci95)) = paired(first, second, units, self.config.seed) {
                    compared.push(PairedDifference {
                        model: row.label(),
                        against: rows[against][place].label(),
                        metric: metric.to_owned(),
                        difference,
                        ci95,
                    });
                }
            }
        }
        compared
    }
}
