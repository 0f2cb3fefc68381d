//! Sentence encoders on the CPU: [`SentenceEncoder`] reads a BERT-like model with its tokenizer and gives unit vectors.
//!
//! The forward pass is written out by hand for one purpose, throughput on a few cores: the tokens of many texts lie in one ragged
//! batch without padding, so the linear layers are a few large matrix products; attention runs text by text. Weights are `f32`
//! (4-bit ones are unpacked when they are loaded, except the word embeddings). Vector instructions are chosen at run time.
//!
//! It does not download anything: `zhiyin-weights` does.

mod attention;
mod bert;
mod e5;
mod error;
mod math;
mod minilm;
mod ragged;
mod sentence;
mod tokens;
mod weights;

pub use error::LoadError;
pub use sentence::SentenceEncoder;
pub use zhiyin_core::{EncodeError, Encoder};
