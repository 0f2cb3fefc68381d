//! Pulled encoders: where models are, which encoder is used, and vectors of texts that were encoded before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zhiyin_core::{Encoder, Problem};
use zhiyin_encoder::SentenceEncoder;
use zhiyin_engine::experiment::ExperimentData;
use zhiyin_models::ItemVectors;
use zhiyin_weights::Folder;

use crate::{config::Config, output, vector_cache::VectorCache};

/// Variable that names a folder of models shared by several data folders.
const FOLDER_VARIABLE: &str = "ZHIYIN_MODELS";
/// Says that no encoder is wanted.
pub const NONE: &str = "none";
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
                return Err(
                    Problem::field("--encoder", rule, format!("choose from {}, {NONE}", names.join(", "))).into()
                );
            }
            if !is_pulled(name) {
                let rule = format!("{name} is not in {}", folder.root().display());
                return Err(Problem::field("--encoder", rule, format!("run `zhiyin llm pull {name}`")).into());
            }
            Ok(Some(SentenceEncoder::load(name, &folder.model(name))?))
        }
        None => {
            let pulled = SentenceEncoder::NAMES.into_iter().find(|name| is_pulled(name));
            pulled.map(|name| Ok(SentenceEncoder::load(name, &folder.model(name))?)).transpose()
        }
    }
}

/// Gives the data of an experiment the vectors of its items, and says on standard error what they come from.
///
/// # Errors
/// As [`choose`]; vectors that cannot be computed.
pub fn equip(data: &mut ExperimentData, name: Option<&str>) -> Result<()> {
    let folder = models_folder(&Config::from_environment(None)?);
    let Some(encoder) = choose(&folder, name)? else {
        if name.is_none() {
            output::remark(format_args!(
                "no encoder in {}: texts are compared by their words only (`zhiyin llm pull minilm` gets one)",
                folder.root().display()
            ));
        }
        return Ok(());
    };
    let cache = VectorCache::new(folder.root().join("vectors"));
    data.vectors = vectors(&encoder, &data.texts, &cache)?;
    Ok(())
}

/// One row per text, from the cache if the same texts were encoded before; zeros for an empty text.
///
/// # Errors
/// The encoder fails. A cache that cannot be written is only remarked on.
pub fn vectors(encoder: &dyn Encoder, texts: &[String], cache: &VectorCache) -> Result<ItemVectors> {
    let key = cache.key(encoder, texts);
    if let Some(rows) = cache.get(&key, encoder.dims() * texts.len()) {
        return Ok(ItemVectors::new(encoder.dims(), rows));
    }
    let rows = encode(encoder, texts)?;
    if let Err(error) = cache.put(&key, &rows) {
        output::remark(format_args!("vectors are not kept for the next time: {error}"));
    }
    Ok(ItemVectors::new(encoder.dims(), rows))
}

fn encode(encoder: &dyn Encoder, texts: &[String]) -> Result<Vec<f32>> {
    let known: Vec<usize> = (0..texts.len()).filter(|&at| !texts[at].trim().is_empty()).collect();
    let mut rows = vec![0.0; texts.len() * encoder.dims()];
    let bar = output::bar(known.len() as u64, &format!("encoding with {}", encoder.name()));
    for step in known.chunks(TEXTS_PER_STEP) {
        let batch: Vec<&str> = step.iter().map(|&at| texts[at].as_str()).collect();
        let encoded = encoder.encode(&batch)?;
        for (&at, row) in step.iter().zip(encoded.chunks_exact(encoder.dims())) {
            rows[at * encoder.dims()..][..row.len()].copy_from_slice(row);
        }
        bar.inc(step.len() as u64);
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// Loads an encoder from a folder for measuring it.
///
/// # Errors
/// Files that are missing or damaged.
pub fn load(name: &str, folder: &Path) -> Result<SentenceEncoder> {
    SentenceEncoder::load(name, folder).with_context(|| format!("`zhiyin llm pull {name}` gets it"))
}
