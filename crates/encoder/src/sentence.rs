//! The encoder that callers see: tokens, batches, threads.

use std::path::Path;

use rayon::prelude::*;
use zhiyin_core::{EncodeError, Encoder};

use crate::{
    LoadError,
    bert::forward,
    e5, minilm,
    ragged::{Ragged, runs},
    tokens::Tokens,
    weights::Weights,
};

/// Tokens of one batch: large enough for full speed of the matrix products, small enough to stay in the cache.
const BATCH_TOKENS: usize = 1024;
/// Tokens of a text for MiniLM, as it was trained.
const MINILM_TOKENS: usize = 256;

/// A sentence encoder in memory.
pub struct SentenceEncoder {
    name: &'static str,
    version: &'static str,
    /// Put before every text, as the model was trained with.
    prefix: &'static str,
    tokens: Tokens,
    weights: Weights,
}

/// Version of this way of reading texts; it changes whenever vectors would.
const MINILM_VERSION: &str = "all-MiniLM-L6-v2/1";
const E5_VERSION: &str = "multilingual-e5-small-q4/1";

impl SentenceEncoder {
    /// Names of the encoders, which are those of the weights.
    pub const NAMES: [&str; 2] = ["minilm", "e5-small"];

    /// Loads the encoder of this name from the folder of its files.
    ///
    /// # Errors
    /// An unknown name, or files that are missing or damaged.
    pub fn load(name: &str, folder: &Path) -> Result<Self, LoadError> {
        match name {
            "minilm" => Self::minilm(folder),
            "e5-small" => Self::e5_small(folder),
            _ => Err(LoadError::Unknown { name: name.into(), known: Self::NAMES.join(", ") }),
        }
    }

    fn minilm(folder: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            name: "minilm",
            version: MINILM_VERSION,
            prefix: "",
            tokens: Tokens::described(&folder.join("tokenizer.json"), MINILM_TOKENS)?,
            weights: minilm::load(&folder.join("model.safetensors"))?,
        })
    }

    /// Texts are compared with each other, for which the model's authors prescribe the prefix `query: ` on both sides.
    fn e5_small(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("e5-small-q4.bin");
        let (weights, pieces) = e5::load(&path)?;
        let tokens = Tokens::unigram(pieces, weights.shape.positions, &path)?;
        Ok(Self { name: "e5-small", version: E5_VERSION, prefix: "query: ", tokens, weights })
    }

    /// Tokens that a text is cut into.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn token_count(&self, text: &str) -> Result<usize, EncodeError> {
        Ok(self.sequence(text)?.len())
    }

    fn sequence(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let failed = |detail| EncodeError { encoder: self.name.into(), detail };
        let tokens = self.tokens.of(&format!("{}{text}", self.prefix)).map_err(failed)?;
        if tokens.iter().any(|&token| token as usize >= self.weights.vocabulary) {
            return Err(failed("the tokenizer knows more words than the weights".into()));
        }
        Ok(tokens)
    }
}

impl Encoder for SentenceEncoder {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        self.version
    }

    fn dims(&self) -> usize {
        self.weights.shape.hidden
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        let sequences = texts.par_iter().map(|text| self.sequence(text)).collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let runs = runs(&lengths, BATCH_TOKENS, rayon::current_num_threads());
        let vectors = runs.into_par_iter().map(|run| forward(&self.weights, &Ragged::of(&sequences[run])));
        Ok(vectors.collect::<Vec<_>>().concat())
    }
}
