//! Training: from the log to models that serve, without a pause.
//!
//! A frozen copy of the state is fitted and tuned on its first 80 %, the sources are weighed by replaying the next tenth and measured by
//! replaying the last one, then everything is fitted again on all of it. The online models catch up with what was logged meanwhile
//! and are swapped in; requests never wait.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zhiyin_core::Problem;
use zhiyin_models::{Dataset, content::Content};

use crate::{
    artefact,
    config::{EngineConfig, ExcludeSeen},
    cost::Cost,
    engine::{Engine, Frozen},
    error::EngineError,
    experiment::{self, Chosen, DatasetSize, ExperimentConfig, Protocol, Report},
    learn::{BatchModel, Learned, refit},
    online::{OnlineModels, OnlineParams},
    progress::Progress,
    trained::Trained,
    writer::queue::Replacement,
};

/// Dimensions of the item vectors that diversity works with.
const VECTOR_DIMENSIONS: usize = 32;
/// Name of the folder of model files.
const FOLDER: &str = "models";
/// Predictions by which training is measured.
const PREDICTIONS_MAX: usize = 3_000;

/// How long a training waits for item texts to be encoded; it goes on without those that aren't by then.
const ENCODING_PATIENCE: Duration = Duration::from_secs(600);
/// How often the progress of the encoding is reported meanwhile.
const ENCODING_REPORT: Duration = Duration::from_millis(250);

/// What a training did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Version that serves from now on.
    pub version: String,
    /// Events of the log that it learned from.
    pub events: u64,
    /// Every source and the fusion on the newest tenth, replayed live, before that tenth was learned.
    pub evaluation: Report,
    /// Weight of each source in the fusion.
    pub weights: Vec<(String, f32)>,
    /// By how much the source that finds items which nobody has met counts more for these: its name, and what its weight grows by. Absent
    /// if that helps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_weight: Option<(String, f32)>,
    /// What it cost.
    pub cost: Cost,
}

impl Engine {
    /// Trains and swaps the new models in. Blocks for as long as it takes; requests and events go on meanwhile.
    ///
    /// # Errors
    /// There are fewer events than `train.events_min`, no model could be fitted, or the model file could not be written. The models that
    /// served before go on serving.
    pub fn train(&self, progress: &dyn Progress) -> Result<TrainReport, EngineError> {
        let started = Cost::now();
        check_amount(self.state().events, self.config())?;
        self.wait_for_vectors(progress);
        let mut frozen = self.freeze()?;
        progress.stage("learning to read reviews", 0, 1);
        let mut listener = self.state().listener().clone();
        let reviews = self.reviews(&frozen)?;
        frozen.data.opinions = reviews.opinions(&listener, &frozen.data).into();
        let chosen = choose(&frozen.data, self.config(), progress)?;
        progress.stage("fitting everything on all events", 0, 1);
        if !reviews.is_empty() {
            listener = listener.with_reader(reviews.learn(&listener));
            frozen.data.opinions = self.all_said(&frozen, &listener)?.into();
        }
        let online = OnlineModels::fit(&frozen.data, &online_params(&chosen)?);
        let mut trained = fit_batch(&frozen, &chosen)?;
        trained.version = artefact::save(&self.models_folder(), &trained, self.clock().now_ms())?;
        let report = report(&frozen.data, frozen.events, self.config(), chosen, &trained, started.elapsed());
        if let Some((text, read)) = trained.take_text() {
            self.core.texts.adopt(text, read);
        }
        self.replace_models(Replacement { frozen, models: online, listener })?;
        self.trained.store(trained.into());
        Ok(report)
    }

    fn wait_for_vectors(&self, progress: &dyn Progress) {
        let deadline = Instant::now() + ENCODING_PATIENCE;
        while !self.await_encoding(ENCODING_REPORT) && Instant::now() < deadline {
            let status = self.core.texts.status();
            progress.stage("encoding item texts", status.encoded as u64, (status.encoded + status.queued) as u64);
        }
    }

    /// Where model files lie.
    pub(crate) fn models_folder(&self) -> PathBuf {
        self.core.params_file.with_file_name(FOLDER)
    }
}

/// The models that were trained last, from their file; untrained ones if there was no training.
///
/// # Errors
/// The file is damaged or cannot be read.
pub(crate) fn load_trained(folder: &Path) -> Result<Trained, EngineError> {
    artefact::load_live(&folder.join(FOLDER))
}

fn check_amount(events: u64, config: &EngineConfig) -> Result<(), EngineError> {
    let needed = config.train.events_min;
    if events >= needed {
        return Ok(());
    }
    let rule = format!("there are {events} events, training needs {needed}");
    Err(Problem::field("train", rule, "collect or import more events, or lower train.events_min").into())
}

fn choose(data: &Dataset, config: &EngineConfig, progress: &dyn Progress) -> Result<Chosen, EngineError> {
    let experiment = ExperimentConfig {
        tune: config.train.tune,
        seed: config.train.seed,
        predictions_max: PREDICTIONS_MAX,
        neural_events_max: config.train.neural_events_max,
        ..ExperimentConfig::new(Protocol::Prequential)
    };
    let mask_history = config.recommend.exclude_seen != ExcludeSeen::None;
    experiment::choose_live(data.clone(), &experiment, mask_history, progress)
        .map_err(|error| Problem::field("train", error.to_string(), "collect or import more events").into())
}

/// The chosen hyper-parameters of the online models.
fn online_params(chosen: &Chosen) -> Result<OnlineParams, EngineError> {
    let by_name = chosen.models.iter().map(|row| (row.model.replace('-', "_"), row.params.clone()));
    let known: Map<String, Value> = by_name.collect();
    serde_json::from_value(Value::Object(known))
        .map_err(|error| EngineError::Internal(format!("hyper-parameters: {error}")))
}

/// Fits the models that don't learn online, as far as the fusion uses them.
fn fit_batch(frozen: &Frozen, chosen: &Chosen) -> Result<Trained, EngineError> {
    let data = &frozen.data;
    let mut batch = Vec::new();
    for (place, row) in chosen.models.iter().enumerate() {
        // Search and diversity use the model of texts whatever it weighs.
        if !chosen.fusion.is_used(place) && row.model != "text" {
            continue;
        }
        match refit_batch(data, &row.model, &row.params) {
            Some(Ok(model)) => batch.push(model),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    let vectors = Content::of_items(&data.items, &Default::default()).projections(VECTOR_DIMENSIONS);
    let texts = frozen.texts.clone();
    let fusion = chosen.fusion.clone();
    Ok(Trained { batch, fusion, vectors, dimensions: VECTOR_DIMENSIONS, texts, ..Trained::default() })
}

/// The refitted model, or none for an online one, which the engine keeps itself.
fn refit_batch(data: &Dataset, name: &str, params: &Value) -> Option<Result<BatchModel, EngineError>> {
    const FITTED_IN_THE_BACKGROUND: [&str; 6] = ["linear", "ease", "slist", "ials", "text", "sequence"];
    if !FITTED_IN_THE_BACKGROUND.contains(&name) {
        return None;
    }
    match refit(name, data, params) {
        Ok(Learned::Batch(model)) => Some(Ok(*model)),
        Ok(Learned::Online(_)) => None,
        Err(error) => Some(Err(Problem::field("train", error.to_string(), "see the error").into())),
    }
}

fn report(
    data: &Dataset,
    events: u64,
    config: &EngineConfig,
    chosen: Chosen,
    trained: &Trained,
    cost: Cost,
) -> TrainReport {
    let users = (0..data.n_actors()).filter(|&actor| data.offsets[actor] != data.offsets[actor + 1]).count();
    let dataset =
        DatasetSize { name: "event log".into(), users, items: data.n_items(), events: data.interactions.len() };
    TrainReport {
        version: trained.version.clone(),
        events,
        evaluation: Report {
            dataset,
            protocol: "replay of the newest tenth".into(),
            seed: config.train.seed,
            history_masked: config.recommend.exclude_seen != ExcludeSeen::None,
            results: chosen.held_out,
            paired: chosen.paired,
            skipped: chosen.skipped,
        },
        cold_weight: chosen.fusion.cold.map(|cold| (chosen.fusion.sources[cold.source].clone(), cold.weight)),
        weights: chosen.fusion.sources.into_iter().zip(chosen.fusion.weights).collect(),
        cost,
    }
}
