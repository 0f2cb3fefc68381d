//! Offline evaluation: protocols that split interactions, fit and tune every model, and measure the code that serves.
//!
//! *Invariant:* hyper-parameters and weights are chosen on the validation part alone; test cases are scored once, after all choices.
//!
//! Rankings are over the full catalogue, ties count half, and every figure has a 95 % bootstrap interval over users.

pub mod html;
mod measure;
pub mod preferences;
mod prequential;
mod protocol;
pub mod report;
mod run;
mod split;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zhiyin_models::FitError;

pub(crate) use self::prequential::{Chosen, choose_live};
pub use self::{
    report::{DatasetSize, ModelResult, PairedDifference, Report},
    split::ExperimentData,
};
use crate::{
    config::Tune,
    learn::{BASELINES, Effort, MODELS},
    progress::Progress,
    replay::Reading,
};

/// How interactions are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The last event of each user is the test, the last but one the validation.
    LeaveOneOut,
    /// The same with ties in time shuffled, for three seeds.
    LeaveOneOutShuffled,
    /// Global cuts at the 80 % and 90 % points of time.
    Temporal,
    /// Replay of the last tenth, event by event.
    Prequential,
    /// Sessions revealed click by click.
    Sessions,
    /// Items that the training part has never seen.
    ColdItems,
    /// Users of whom nothing to three events are known.
    ColdUsers,
    /// A training file and a test file.
    Given,
}

impl Protocol {
    /// All of them with their names.
    pub const NAMES: [(&str, Protocol); 8] = [
        ("leave-one-out", Protocol::LeaveOneOut),
        ("leave-one-out-shuffled", Protocol::LeaveOneOutShuffled),
        ("temporal", Protocol::Temporal),
        ("prequential", Protocol::Prequential),
        ("sessions", Protocol::Sessions),
        ("cold-items", Protocol::ColdItems),
        ("cold-users", Protocol::ColdUsers),
        ("given", Protocol::Given),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    /// The protocol of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol)
    }
}

/// The row of the fusion without the models that read what an encoder makes of texts, chosen and weighed in the same way: what the encoder
/// gains is at most the difference to it.
pub const WITHOUT_TEXT: &str = "fusion-without-text";

/// What to evaluate and how.
#[derive(Clone, Debug)]
pub struct ExperimentConfig {
    /// How interactions are split.
    pub protocol: Protocol,
    /// Names of the models, of `MODELS`, `BASELINES`, `fusion` or [`WITHOUT_TEXT`]; all but the baselines when empty.
    pub models: Vec<String>,
    /// Cut-offs k of the metrics.
    pub cut_offs: Vec<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// How hyper-parameters are chosen.
    pub tune: Tune,
    /// Prequential only: how events of one timestamp are read; both when empty.
    pub readings: Vec<Reading>,
    /// Prequential only: predicted events, at most; the stretch is sampled evenly.
    pub predictions_max: usize,
    /// Events that a neural network learns from in all, each as often as it does.
    pub neural_events_max: u64,
}

impl ExperimentConfig {
    /// The usual settings for a protocol.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            models: Vec::new(),
            cut_offs: vec![5, 10, 20],
            seed: 42,
            tune: Tune::Quick,
            readings: Vec::new(),
            predictions_max: 6_000,
            neural_events_max: u64::MAX,
        }
    }

    /// How models are fitted.
    pub fn effort(&self) -> Effort {
        Effort { tune: self.tune, seed: self.seed, neural_events_max: self.neural_events_max }
    }

    /// Whether a model's row is wanted.
    pub fn reports(&self, name: &str) -> bool {
        let is_asked_for = self.models.is_empty() && !BASELINES.contains(&name);
        is_asked_for || self.models.iter().any(|wanted| wanted == name)
    }

    /// Whether the fusion is wanted.
    pub fn wants_fusion(&self) -> bool {
        self.reports("fusion") || self.reports(WITHOUT_TEXT)
    }

    /// The single models that have to be fitted: those that are wanted, or all for the fusion.
    pub fn single_models(&self) -> Vec<&'static str> {
        let summed = MODELS.into_iter().filter(|name| self.wants_fusion() || self.reports(name));
        let summed = summed.filter(|name| *name != "sequence" || self.neural_events_max > 0);
        summed.chain(BASELINES.into_iter().filter(|name| self.reports(name))).collect()
    }

    /// # Errors
    /// A model that doesn't exist, or a cut-off of 0.
    pub fn check(&self) -> Result<(), ExperimentError> {
        let names = [&MODELS[..], &BASELINES[..]].concat();
        let is_unknown = |name: &&String| !names.contains(&name.as_str()) && *name != "fusion" && *name != WITHOUT_TEXT;
        if let Some(unknown) = self.models.iter().find(is_unknown) {
            return Err(ExperimentError::UnknownModel(unknown.clone(), names.join(", ")));
        }
        if self.cut_offs.is_empty() || self.cut_offs.contains(&0) {
            return Err(ExperimentError::CutOff);
        }
        Ok(())
    }
}

/// Why an experiment could not be run.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A model that doesn't exist.
    #[error("there is no model {0:?}; choose from {1}, fusion, {WITHOUT_TEXT}")]
    UnknownModel(String, String),
    /// A cut-off that means nothing.
    #[error("a cut-off k is 0 or there is none; use numbers such as 5,10,20")]
    CutOff,
    /// The protocol needs something that the data hasn't.
    #[error("the protocol {protocol} cannot be run: {reason}; {remedy}")]
    Unsuitable {
        /// Name of the protocol.
        protocol: &'static str,
        /// What is missing.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A model could not be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// No model could be fitted.
    #[error("no model could be fitted: {0:?}")]
    NothingFitted(BTreeMap<String, String>),
}

/// Runs an experiment.
///
/// # Errors
/// The configuration is wrong, or the data doesn't suit the protocol. A model that can't be fitted is listed in the report as skipped.
pub fn run(
    data: &ExperimentData,
    config: &ExperimentConfig,
    progress: &dyn Progress,
) -> Result<Report, ExperimentError> {
    config.check()?;
    let mask_history = protocol::masks_history(data, config.protocol);
    let outcome = match config.protocol {
        Protocol::Prequential => prequential::run(data, config, mask_history, progress)?,
        Protocol::LeaveOneOutShuffled => run_shuffled(data, config, progress)?,
        _ => run::run_split(&protocol::split(data, config)?, config, progress)?,
    };
    Ok(Report {
        dataset: size(data),
        protocol: config.protocol.name().to_owned(),
        seed: config.seed,
        history_masked: mask_history,
        results: outcome.results,
        paired: outcome.paired,
        skipped: outcome.skipped,
    })
}

/// Three shuffles; figures are means over them, intervals those of the first.
fn run_shuffled(
    data: &ExperimentData,
    config: &ExperimentConfig,
    progress: &dyn Progress,
) -> Result<run::Outcome, ExperimentError> {
    const SHUFFLES: u64 = 3;
    let mut outcomes = Vec::new();
    for shuffle in 0..SHUFFLES {
        let config = ExperimentConfig { seed: config.seed + shuffle, ..config.clone() };
        outcomes.push(run::run_split(&protocol::split(data, &config)?, &config, progress)?);
    }
    let mut mean = outcomes.swap_remove(0);
    for (place, row) in mean.results.iter_mut().enumerate() {
        for (name, value) in &mut row.metrics {
            let others: f64 = outcomes.iter().filter_map(|other| other.results.get(place)?.metrics.get(name)).sum();
            *value = (*value + others) / SHUFFLES as f64;
        }
    }
    Ok(mean)
}

fn size(data: &ExperimentData) -> DatasetSize {
    let events = |histories: &[Vec<_>]| histories.iter().map(Vec::len).sum::<usize>();
    DatasetSize {
        name: data.name.clone(),
        users: data.histories.len(),
        items: data.items.len(),
        events: events(&data.histories) + data.test_histories.as_deref().map_or(0, events),
    }
}
