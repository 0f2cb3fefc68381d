//! Runs a protocol: fit and tune every model, weigh them, fit again, score the test cases, compare.

use std::{collections::BTreeMap, time::Instant};

use rayon::prelude::*;
use serde_json::json;
use zhiyin_core::ItemIx;
use zhiyin_models::{
    Dataset, Model,
    content::Content,
    fusion::{Fusion, IsCold},
};

use super::{
    ExperimentConfig, ExperimentError, WITHOUT_TEXT,
    measure::{Accuracy, Beyond, Judged, interval},
    report::{ModelResult, PairedDifference},
    split::{Group, OwnedCase, Split},
};
use crate::{
    cold_choice,
    cost::{Cost, peak_rss_bytes},
    fuse,
    learn::{BASELINES, Entry, Learned, fit_named, refit},
    progress::Progress,
    rank::{Cases, Scorer, Scratch, best_items, each_case, scored, target_ranks},
};

/// Validation cases that hyper-parameters are chosen by under `--tune quick`.
const QUICK_CASES: usize = 2_000;
/// Depth of the lists that coverage, diversity and novelty are measured on.
const LIST_DEPTH: usize = 10;
/// Cases whose scoring time is measured on one core.
const TIMED_CASES: usize = 200;
/// Validation cases that the weight of cold items is chosen by.
const COLD_CASES: usize = 10_000;
/// Dimensions of the vectors that intra-list diversity is measured with.
const VECTOR_DIMENSIONS: usize = 32;

/// Models that read what an encoder makes of texts.
const READING_TEXT: [&str; 2] = ["text", "sequence"];

/// The row of what serves: the fusion with the weight that items without events have on top.
const COLD_SLOTS: &str = "fusion-cold-slots";

/// Results, differences and skipped models of one split.
pub(super) struct Outcome {
    pub results: Vec<ModelResult>,
    pub paired: Vec<PairedDifference>,
    pub skipped: BTreeMap<String, String>,
}

/// Fitted models with how they came about.
pub(super) struct Lineup {
    pub models: Vec<Learned>,
    pub rows: Vec<ModelResult>,
    pub skipped: BTreeMap<String, String>,
}

/// Fits and tunes every single model that the configuration needs, on `split.train`.
pub(super) fn fit_all(
    split: &Split,
    config: &ExperimentConfig,
    progress: &dyn Progress,
) -> Result<Lineup, ExperimentError> {
    let names = config.single_models();
    let validation = split.cases(&split.validation, &split.train);
    let sample = match config.tune {
        crate::config::Tune::Full => validation.sample(usize::MAX),
        _ => validation.sample(QUICK_CASES),
    };
    let mut lineup = Lineup { models: Vec::new(), rows: Vec::new(), skipped: BTreeMap::new() };
    for (done, name) in names.iter().enumerate() {
        progress.stage(&format!("fitting {name}"), done as u64, names.len() as u64);
        match fit_named(name, &split.train, &sample, &config.effort(), progress) {
            Ok(entry) => lineup.push(entry),
            Err(error) => {
                lineup.skipped.insert((*name).to_owned(), error.to_string());
            }
        }
    }
    if lineup.models.is_empty() {
        return Err(ExperimentError::NothingFitted(lineup.skipped));
    }
    Ok(lineup)
}

impl Lineup {
    fn push(&mut self, entry: Entry) {
        self.rows.push(ModelResult {
            model: entry.name.to_owned(),
            fit_seconds: entry.fit.seconds,
            cpu_seconds: entry.fit.cpu_seconds,
            tuning: entry.tuning,
            trials: entry.trials,
            params: entry.params,
            peak_rss_bytes: peak_rss_bytes(),
            ..ModelResult::default()
        });
        self.models.push(entry.learned);
    }

    /// Place of a single model.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.model == name)
    }

    /// Chooses what only items without events show in the model `text`.
    pub(super) fn choose_in_text(&mut self, validation: &Cases<'_>, train: &Dataset, seed: u64) {
        let params = cold_choice::choose_in_text(&mut self.models, validation, &train.item_counts(), seed);
        if let (Some(params), Some(place)) = (params, self.place("text")) {
            self.rows[place].params = json!(params);
        }
    }

    /// The models in the order of a fusion's weights.
    fn sources(&self, fusion: &Fusion) -> Vec<Option<&dyn Model>> {
        fusion.sources.iter().map(|name| Some(self.models[self.place(name)?].model())).collect()
    }

    /// The models that the fusion sums, those of some names left out.
    fn without(&self, names: &[&str]) -> Vec<&dyn Model> {
        let is_summed = |name: &str| !BASELINES.contains(&name) && !names.contains(&name);
        self.models.iter().map(Learned::model).filter(|model| is_summed(model.name())).collect()
    }

    /// Fits every model again on more data, with the hyper-parameters that were chosen.
    pub(super) fn refit(&mut self, data: &Dataset, progress: &dyn Progress) -> Result<(), ExperimentError> {
        let total = self.models.len() as u64;
        for (done, (learned, row)) in self.models.iter_mut().zip(&mut self.rows).enumerate() {
            progress.stage(&format!("fitting {} on all that came before the test", row.model), done as u64, total);
            let started = Cost::now();
            *learned = refit(&row.model, data, &row.params)?;
            let cost = started.elapsed();
            (row.fit_seconds, row.cpu_seconds) = (cost.seconds, cost.cpu_seconds);
        }
        Ok(())
    }
}

/// Runs one split to the end.
pub(super) fn run_split(
    split: &Split,
    config: &ExperimentConfig,
    progress: &dyn Progress,
) -> Result<Outcome, ExperimentError> {
    let mut lineup_of = fit_all(split, config, progress)?;
    let started = Cost::now();
    lineup_of.choose_in_text(&split.cases(&split.validation, &split.train), &split.train, config.seed);
    let fusions = if config.wants_fusion() { weigh(split, &lineup_of, config, progress) } else { Vec::new() };
    let weighing = started.elapsed();
    if let Some(data) = &split.refit {
        lineup_of.refit(data, progress)?;
    }
    let data = split.known();
    let judge = Judge::new(split, data, config);
    let mut results = Vec::new();
    let mut accuracies = Vec::new();
    let mut add = |scorer: Scorer<'_>, row: ModelResult| {
        progress.stage(&format!("scoring {}", row.model), results.len() as u64, lineup_of.rows.len() as u64);
        let (row, accuracy) = judge.row(scorer, row);
        results.push(row);
        accuracies.push(accuracy);
    };
    for (learned, row) in lineup_of.models.iter().zip(&lineup_of.rows) {
        if config.reports(&row.model) {
            add(Scorer::Single(learned.model()), row.clone());
        }
    }
    let counts = data.item_counts();
    let is_cold = |item: ItemIx| counts[item as usize] == 0;
    for (name, fusion) in &fusions {
        let sources = lineup_of.sources(fusion);
        let is_cold: Option<IsCold<'_>> = if *name == COLD_SLOTS { Some(&is_cold) } else { None };
        let row = ModelResult { model: (*name).to_owned(), ..fusion_row(fusion, &lineup_of.rows, weighing) };
        add(Scorer::Fused { lineup: &sources, fusion, is_cold }, row);
    }
    let paired = compare(&results, &accuracies, &judge.units, config);
    Ok(Outcome { results, paired, skipped: lineup_of.skipped })
}

/// The fusions that are reported, by the names of their rows, the plain one last. All of it is chosen on the validation part.
fn weigh(
    split: &Split,
    lineup_of: &Lineup,
    config: &ExperimentConfig,
    progress: &dyn Progress,
) -> Vec<(&'static str, Fusion)> {
    let cases = split.cases(&split.validation, &split.train);
    let mut fusions = Vec::new();
    if config.reports(WITHOUT_TEXT) && lineup_of.place("text").is_some() {
        progress.stage("weighing the sources without text", 0, 1);
        fusions.push((WITHOUT_TEXT, fuse::weigh(&lineup_of.without(&READING_TEXT), &cases, config.seed).fusion));
    }
    progress.stage("weighing the sources", 0, 1);
    let fusion = fuse::weigh(&lineup_of.without(&[]), &cases, config.seed).fusion;
    if split.known().item_counts().contains(&0) {
        progress.stage("choosing the weight of cold items", 0, 1);
        let sample = cases.sample(COLD_CASES);
        let cold = cold_choice::choose(&lineup_of.models, &fusion, &sample, &split.train, config.seed);
        fusions.push((COLD_SLOTS, Fusion { cold, ..fusion.clone() }));
    }
    fusions.push(("fusion", fusion));
    fusions
}

/// The row of the fusion: its cost is that of its sources and of the weighing.
pub(super) fn fusion_row(fusion: &Fusion, sources: &[ModelResult], weighing: Cost) -> ModelResult {
    let is_used = |row: &&ModelResult| {
        let place = fusion.sources.iter().position(|name| *name == row.model);
        place.is_some_and(|place| fusion.is_used(place))
    };
    let used = || sources.iter().filter(is_used);
    let weights: BTreeMap<&String, f32> = fusion.sources.iter().zip(fusion.weights.iter().copied()).collect();
    let mut params = json!({ "weights": weights });
    if let Some(cold) = fusion.cold {
        params["cold_weight"] = json!({ "source": fusion.sources[cold.source], "weight": cold.weight });
    }
    ModelResult {
        model: "fusion".into(),
        fit_seconds: weighing.seconds + used().map(|row| row.fit_seconds).sum::<f64>(),
        cpu_seconds: weighing.cpu_seconds + used().map(|row| row.cpu_seconds).sum::<f64>(),
        params,
        peak_rss_bytes: peak_rss_bytes(),
        ..ModelResult::default()
    }
}

/// Scores test cases and turns them into rows.
pub(super) struct Judge<'a> {
    cases: Cases<'a>,
    owned: &'a [OwnedCase],
    cold_items: &'a [bool],
    cut_offs: &'a [usize],
    seed: u64,
    beyond: Beyond<'a>,
    /// Unit of each case.
    pub units: Vec<u32>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(split: &'a Split, data: &'a Dataset, config: &'a ExperimentConfig) -> Self {
        let vectors = Content::of_items(&data.items, &Default::default()).projections(VECTOR_DIMENSIONS);
        Self {
            cases: split.cases(&split.test, data),
            owned: &split.test,
            cold_items: &split.cold_items,
            cut_offs: &config.cut_offs,
            seed: config.seed,
            beyond: Beyond::new(data, vectors, VECTOR_DIMENSIONS),
            units: split.test.iter().map(|case| case.unit).collect(),
        }
    }

    /// Scores all cases and completes a row.
    pub(super) fn row(&self, scorer: Scorer<'_>, mut row: ModelResult) -> (ModelResult, Accuracy) {
        let judged = each_case(&self.cases, scorer, |case, values, masked| {
            let ranks = target_ranks(values, case, self.cases.mask_history, masked);
            let top = best_items(scored(values), LIST_DEPTH, |item| masked.binary_search(&item).is_err());
            let cold_only_ranks = self.cold_only(values, case.targets.as_slice());
            Judged { ranks, cold_only_ranks, top }
        });
        let mut accuracy = self.accuracy(&judged);
        accuracy.rows.extend(self.beyond.rows(&self.cases.list, &judged, LIST_DEPTH));
        accuracy.complete(&mut row, &self.units, self.seed);
        let lists: Vec<Vec<ItemIx>> = judged.into_iter().map(|judged| judged.top).collect();
        row.metrics.extend(self.beyond.together(&lists, LIST_DEPTH));
        row.score_microseconds_per_user = microseconds(&self.cases, scorer);
        row.peak_rss_bytes = peak_rss_bytes();
        (row, accuracy)
    }

    fn accuracy(&self, judged: &[Judged]) -> Accuracy {
        let mut accuracy = Accuracy::default();
        accuracy.add(
            "",
            self.cut_offs,
            judged.iter().zip(self.owned).map(|(judged, case)| {
                // Under `cold-items` the headline is about the cold targets; warm ones have names of their own.
                (self.cold_items.is_empty() || case.group == Group::Cold).then_some(judged.ranks.as_slice())
            }),
        );
        for (group, qualifier) in self.groups() {
            accuracy.add(
                &qualifier,
                self.cut_offs,
                judged
                    .iter()
                    .zip(self.owned)
                    .map(|(judged, case)| (case.group == group).then_some(judged.ranks.as_slice())),
            );
        }
        if !self.cold_items.is_empty() {
            accuracy.add(
                ":cold-only",
                self.cut_offs,
                judged
                    .iter()
                    .zip(self.owned)
                    .map(|(judged, case)| (case.group == Group::Cold).then_some(judged.cold_only_ranks.as_slice())),
            );
        }
        accuracy
    }

    /// The groups that are reported apart.
    fn groups(&self) -> Vec<(Group, String)> {
        let mut groups: Vec<Group> = self.owned.iter().map(|case| case.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let named = groups.into_iter().filter_map(|group| match group {
            Group::Whole => None,
            Group::Warm => Some((group, ":warm".to_owned())),
            Group::Cold => self.cold_items.is_empty().then(|| (group, ":cold".to_owned())),
            Group::Events(count) => Some((group, format!(":{count}"))),
        });
        named.collect()
    }

    /// Ranks of the targets among the cold items.
    fn cold_only(&self, values: &[f32], targets: &[ItemIx]) -> Vec<f64> {
        if self.cold_items.is_empty() {
            return Vec::new();
        }
        let cold: Vec<f32> =
            values.iter().zip(self.cold_items).filter(|(_, cold)| **cold).map(|(value, _)| *value).collect();
        let rank = |target: &ItemIx| {
            let own = values[*target as usize];
            let above = cold.iter().filter(|value| **value > own).count();
            let equal = cold.iter().filter(|value| **value == own).count();
            1.0 + above as f64 + equal.saturating_sub(1) as f64 / 2.0
        };
        targets.iter().filter(|target| self.cold_items[**target as usize]).map(rank).collect()
    }
}

/// Microseconds to score the whole catalogue for one case, on one core.
pub(super) fn microseconds(cases: &Cases<'_>, scorer: Scorer<'_>) -> f64 {
    let sample = cases.sample(TIMED_CASES);
    let mut scratch = Scratch::default();
    let started = Instant::now();
    for case in &sample.list {
        scorer.score(&sample.query(case), sample.n_items, &mut scratch);
    }
    started.elapsed().as_secs_f64() * 1e6 / sample.list.len().max(1) as f64
}

/// Paired differences of the last row (the fusion, where it is run) against every other one.
pub(super) fn compare(
    results: &[ModelResult],
    accuracies: &[Accuracy],
    units: &[u32],
    config: &ExperimentConfig,
) -> Vec<PairedDifference> {
    let Some((fusion, others)) = results.split_last().filter(|(last, _)| last.model == "fusion") else {
        return Vec::new();
    };
    let metrics = ["ndcg@10", "hr@10"];
    let pairs: Vec<(usize, &str)> =
        (0..others.len()).flat_map(|other| metrics.into_iter().map(move |metric| (other, metric))).collect();
    let compared = pairs.into_par_iter().filter_map(|(other, metric)| {
        let (first, second) = (accuracies.last()?.rows.get(metric)?, accuracies[other].rows.get(metric)?);
        let difference = paired(first, second, units, config.seed)?;
        Some(PairedDifference {
            model: fusion.label(),
            against: others[other].label(),
            metric: metric.to_owned(),
            difference: difference.0,
            ci95: difference.1,
        })
    });
    compared.collect()
}

/// Mean difference of two rows over the same cases, with its interval over the units.
pub(super) fn paired(first: &[f64], second: &[f64], units: &[u32], seed: u64) -> Option<(f64, (f64, f64))> {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    interval(&differences, units, seed)
}
