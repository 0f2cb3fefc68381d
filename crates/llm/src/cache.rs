//! Results by content: the same request to the same model version is answered without the model.
//!
//! The key is a BLAKE3 hash over model, messages and parameters; deadlines and priorities are no part of it. A result is kept only when
//! it is a function of its request: every runtime draws with the request's seed.

mod memory;

pub use memory::MemoryCache;

use crate::status::{Runtime, RuntimeStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zhiyin_core::language::{
    GenerateRequest, Generated, LanguageError, LanguageModel, ResultCache, ResultKey, ScoreRequest, Scored, TokenUsage,
};

/// Bumped when the shape of kept values changes, so that old ones are not read as new.
const KEY_VERSION: &str = "zhiyin-llm-result-1";

/// A runtime with a cache before it.
pub struct Cached {
    runtime: Arc<dyn Runtime>,
    cache: Arc<dyn ResultCache>,
    hits: AtomicU64,
}

impl Cached {
    /// Puts a cache before a runtime.
    pub fn new(runtime: Arc<dyn Runtime>, cache: Arc<dyn ResultCache>) -> Self {
        Self { runtime, cache, hits: AtomicU64::new(0) }
    }

    /// A failing cache costs time, never an answer.
    fn find<T: DeserializeOwned>(&self, key: &ResultKey) -> Option<T> {
        let found =
            self.cache.get(key).inspect_err(|e| tracing::warn!("the cache of results can't be read: {e}")).ok()??;
        let value = serde_json::from_slice(&found).ok()?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    fn keep<T: Serialize>(&self, key: &ResultKey, model: &str, value: &T) {
        let kept = serde_json::to_vec(value).map_err(|e| e.to_string());
        let kept = kept.and_then(|bytes| self.cache.put(key, model, &bytes).map_err(|e| e.to_string()));
        if let Err(e) = kept {
            tracing::warn!("a result is not kept: {e}");
        }
    }
}

impl LanguageModel for Cached {
    fn model(&self) -> String {
        self.runtime.model()
    }

    /// A cached text comes as one piece, with nothing used.
    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        let model = self.model();
        let asked =
            (&request.messages, request.tokens_max, request.temperature.to_bits(), request.seed, &request.constraint);
        let key = key(&model, "generate", &asked)?;
        if let Some(found) = self.find::<Generated>(&key) {
            on_piece(&found.text);
            return Ok(Generated { usage: TokenUsage::default(), money: 0.0, ..found });
        }
        let generated = self.runtime.generate(request, on_piece)?;
        self.keep(&key, &model, &generated);
        Ok(generated)
    }

    fn log_probabilities(&self, request: &ScoreRequest) -> Result<Scored, LanguageError> {
        let model = self.model();
        let key = key(&model, "score", &(&request.messages, &request.continuations))?;
        if let Some(found) = self.find::<Scored>(&key) {
            return Ok(Scored { usage: TokenUsage::default(), ..found });
        }
        let scored = self.runtime.log_probabilities(request)?;
        self.keep(&key, &model, &scored);
        Ok(scored)
    }
}

impl Runtime for Cached {
    fn status(&self) -> RuntimeStatus {
        let mut status = self.runtime.status();
        status.counts.from_cache = self.hits.load(Ordering::Relaxed);
        status
    }
}

fn key(model: &str, kind: &str, asked: &impl Serialize) -> Result<ResultKey, LanguageError> {
    let text = serde_json::to_vec(&(KEY_VERSION, model, kind, asked))
        .map_err(|e| LanguageError::invalid_request(format!("the request can't be written as JSON: {e}")))?;
    Ok(*blake3::hash(&text).as_bytes())
}

#[cfg(test)]
mod tests;
