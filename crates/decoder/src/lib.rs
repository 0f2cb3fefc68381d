//! Generative language models on the CPU: [`Decoder`] reads a GGUF file with its tokenizer, reads tokens, and says what it expects next.
//!
//! The forward pass is written out by hand, as that of the sentence encoders: new tokens of several sequences lie in one ragged batch, so
//! the linear maps are a few large products; attention runs head by head over what each sequence remembers. Weights stay in 8 bits.
//!
//! It decides nothing: queues, grammars, and the choice of tokens are the runtime's (`zhiyin-llm`). It downloads nothing: `zhiyin-weights` does.

mod adapter;
mod attention;
mod backward;
mod error;
mod gguf;
mod kernel;
mod llama;
mod matrix;
mod memory;
mod merge;
mod tape;
mod tokens;
mod train;
mod tree;

use std::path::Path;

pub use adapter::{Adapter, AdapterConfig, AdapterError, CONFIG_FILE, RANK_MAX, Target, WEIGHTS_FILE};
pub use error::LoadError;
pub use llama::{Run, Shape};
pub use memory::{Memory, Past};
pub use merge::MergedEncoding;
pub use tokens::Tokens;
pub use train::{Example, Objective};
pub use tree::After;

use zhiyin_kernels::dispatch;

use crate::{gguf::Gguf, kernel::LogSoftmax, llama::Llama};

/// A generative model in memory.
pub struct Decoder {
    tokens: Tokens,
    template: Option<String>,
    model: Llama,
}

impl Decoder {
    /// Reads a GGUF file.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let gguf = Gguf::parse(fs_err::read(path)?).map_err(|defect| defect.at(path))?;
        let load = || {
            let template = gguf.text("tokenizer.chat_template").map(str::to_owned);
            Ok(Self { tokens: Tokens::load(&gguf)?, template, model: Llama::load(&gguf)? })
        };
        load().map_err(|defect: error::Defect| defect.at(path))
    }

    /// Its tokenizer.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The chat template that the file brings, in Jinja; base models have none.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Its sizes.
    pub fn shape(&self) -> Shape {
        self.model.shape
    }

    /// The adapter on top of its weights.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.model.adapter.as_ref()
    }

    /// The adapter on top of its weights, to be trained.
    pub fn adapter_mut(&mut self) -> Option<&mut Adapter> {
        self.model.adapter.as_mut()
    }

    /// Puts an adapter on top of its weights, or takes it off, and returns the one that was there.
    ///
    /// # Errors
    /// [`AdapterError::Config`] if the adapter belongs to a model of another shape.
    pub fn adapt(&mut self, adapter: Option<Adapter>) -> Result<Option<Adapter>, AdapterError> {
        if adapter.as_ref().is_some_and(|adapter| !adapter.fits(self.model.shape)) {
            return Err(AdapterError::Config("it belongs to a model of another shape".to_owned()));
        }
        Ok(std::mem::replace(&mut self.model.adapter, adapter))
    }

    /// Reads new tokens of several sequences. Returns the states of the wanted ones, run by run, in rows of [`Shape::hidden`] numbers. Uses
    /// the threads of the current `rayon` pool.
    ///
    /// # Panics
    /// If a run has no tokens, or a token that doesn't exist.
    pub fn read(&self, runs: &mut [Run<'_>]) -> Vec<f32> {
        self.model.states(runs)
    }

    /// What each state says of the next token: rows of [`Shape::vocabulary`] numbers, whose softmax is the distribution.
    pub fn logits(&self, states: &[f32]) -> Vec<f32> {
        self.model.logits(states)
    }

    /// Logits as natural logarithms of probabilities, in place.
    pub fn log_probabilities(&self, logits: &mut [f32]) {
        logits.chunks_exact_mut(self.model.shape.vocabulary).for_each(|row| dispatch(LogSoftmax { row }));
    }
}
