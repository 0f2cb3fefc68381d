//! Pulled encoders: where models are, which encoder is used, and vectors of texts that were encoded before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use zhiyin_core::{Problem, VectorCache};
use zhiyin_encoder::SentenceEncoder;
use zhiyin_engine::{TextEncoding, experiment::ExperimentData, texts::CachedEncoder};
use zhiyin_models::ItemVectors;
use zhiyin_store::VectorStore;
use zhiyin_weights::{Folder, PullOptions, WeightModel};

use crate::{config::Config, output, progress::BytesProgress};

/// Variable that names a folder of models shared by several data folders.
const FOLDER_VARIABLE: &str = "ZHIYIN_MODELS";
/// Says that no encoder is wanted.
pub const NONE: &str = "none";
/// The encoder that is proposed and fetched.
const FIRST: &str = "minilm";
/// Texts that are encoded between two movements of the progress bar.
const TEXTS_PER_STEP: usize = 512;

/// The folder of pulled models: what the variable says, else the configuration, else `models` in the data folder.
pub fn models_folder(config: &Config) -> Folder {
    let shared = std::env::var_os(FOLDER_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let set = Some(&config.data.models_folder).filter(|path| !path.as_os_str().is_empty()).cloned();
    Folder::new(shared.or(set).unwrap_or_else(|| config.data.folder.join("models")))
}

/// The encoder of this name, or without one the first that is pulled; none if `name` is `none` or nothing is pulled.
///
/// # Errors
/// A name that isn't known, an encoder that isn't pulled, damaged files.
pub fn choose(folder: &Folder, name: Option<&str>) -> Result<Option<SentenceEncoder>> {
    let catalogue = folder.catalogue()?;
    let is_pulled = |name: &str| catalogue.find(name).is_ok_and(|model| folder.has(model));
    match name {
        Some(NONE) => Ok(None),
        Some(name) => {
            let names = SentenceEncoder::NAMES;
            if !names.contains(&name) {
                let rule = format!("there is no encoder `{name}`");
                return Err(Problem::field("encoder", rule, format!("choose from {}, {NONE}", names.join(", "))).into());
            }
            if !is_pulled(name) {
                let rule = format!("{name} is not in {}", folder.root().display());
                return Err(Problem::field("encoder", rule, format!("run `zhiyin llm pull {name}`")).into());
            }
            Ok(Some(SentenceEncoder::load(name, &folder.model(name))?))
        }
        None => {
            let pulled = SentenceEncoder::NAMES.into_iter().find(|name| is_pulled(name));
            pulled.map(|name| Ok(SentenceEncoder::load(name, &folder.model(name))?)).transpose()
        }
    }
}

/// What the engine understands texts with: the configured encoder and the vectors that are kept in the data folder. What isn't there is
/// done without, and the status says why.
pub fn encoding(config: &Config) -> TextEncoding {
    let folder = models_folder(config);
    let name = Some(config.text.encoder.as_str()).filter(|name| !name.is_empty());
    match choose(&folder, name) {
        Ok(Some(encoder)) => TextEncoding { encoder: Ok(Arc::new(encoder)), cache: cache(config) },
        Ok(None) if name.is_some() => TextEncoding::none("text.encoder is \"none\""),
        Ok(None) => TextEncoding::none(format!(
            "there is no encoder in {}; `zhiyin llm pull {FIRST}` gets one for the next start",
            folder.root().display()
        )),
        Err(error) => {
            output::remark(format_args!("warning: going on without an encoder of texts: {error:#}"));
            TextEncoding::none(format!("{error:#}"))
        }
    }
}

fn cache(config: &Config) -> Option<Arc<dyn VectorCache>> {
    match VectorStore::open(&config.data.folder, config.text.vectors_bytes_max) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) => {
            output::remark(format_args!("warning: vectors of texts are not kept: {error}"));
            None
        }
    }
}

/// Fetches the first encoder unless one is there or none is wanted. Without a network that is remarked on, and nothing else.
pub fn pull_first(config: &Config) {
    let folder = models_folder(config);
    let is_there = choose(&folder, None).is_ok_and(|encoder| encoder.is_some());
    if config.text.encoder.is_empty() && !is_there {
        pull_or_remark(&folder, FIRST, "an encoder of texts");
    }
}

/// Fetches a model, or says what is done without.
pub fn pull_or_remark(folder: &Folder, name: &str, what: &str) {
    let pulled = folder.catalogue().map_err(Into::into).and_then(|catalogue| {
        let model = catalogue.find(name)?;
        pull(folder, model, &PullOptions::from_environment(&catalogue.hub))
    });
    if let Err(error) = pulled {
        output::remark(format_args!("going on without {what}, {name} could not be fetched: {error:#}"));
    }
}

/// Fetches a model and shows how far it has come; how many files were missing.
///
/// # Errors
/// No source gives it.
pub fn pull(folder: &Folder, model: &WeightModel, options: &PullOptions) -> Result<usize> {
    let progress = BytesProgress::new(&model.name);
    let fetched = zhiyin_weights::pull(folder, model, options, &progress);
    progress.finish();
    Ok(fetched?)
}

/// Gives the data of an experiment the vectors of its items, and says on standard error what they come from.
///
/// # Errors
/// As [`encode`].
pub fn equip(data: &mut ExperimentData, name: Option<&str>) -> Result<()> {
    match encode(name, &data.texts)? {
        Some((_, vectors)) => data.vectors = vectors,
        None if name.is_none() => output::remark(format_args!(
            "no encoder in {}: texts are compared by their words only (`zhiyin llm pull {FIRST}` gets one)",
            models_folder(&Config::from_environment(None)?).root().display()
        )),
        None => {}
    }
    Ok(())
}

/// The vectors of texts, zeros for a blank one, and the name of the encoder; none without an encoder. They are kept beside the models
/// for the next time.
///
/// # Errors
/// As [`choose`]; vectors that cannot be computed.
pub fn encode(name: Option<&str>, texts: &[String]) -> Result<Option<(String, ItemVectors)>> {
    let config = Config::from_environment(None)?;
    let folder = models_folder(&config);
    let Some(encoder) = choose(&folder, name)? else { return Ok(None) };
    let kept: Option<Arc<dyn VectorCache>> = match VectorStore::open(folder.root(), config.text.vectors_bytes_max) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) => {
            output::remark(format_args!("vectors are not kept for the next time: {error}"));
            None
        }
    };
    let encoder = CachedEncoder::new(Arc::new(encoder), kept);
    let vectors = vectors(&encoder, texts)?;
    Ok(Some((encoder.encoder().name().to_owned(), vectors)))
}

/// One row per text; zeros for a blank one.
fn vectors(encoder: &CachedEncoder, texts: &[String]) -> Result<ItemVectors> {
    let mut rows = Vec::with_capacity(texts.len() * encoder.encoder().dims());
    let bar = output::bar(texts.len() as u64, &format!("encoding with {}", encoder.encoder().name()));
    for step in texts.chunks(TEXTS_PER_STEP) {
        let batch: Vec<&str> = step.iter().map(String::as_str).collect();
        rows.extend(encoder.rows(&batch)?);
        bar.inc(step.len() as u64);
    }
    bar.finish_and_clear();
    Ok(ItemVectors::new(encoder.encoder().dims(), rows))
}

/// Loads an encoder from a folder for measuring it.
///
/// # Errors
/// Files that are missing or damaged.
pub fn load(name: &str, folder: &Path) -> Result<SentenceEncoder> {
    SentenceEncoder::load(name, folder).with_context(|| format!("`zhiyin llm pull {name}` gets it"))
}
