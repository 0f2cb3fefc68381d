//! The port to text encoders: texts in, unit vectors out. Who implements it, with which model and where, the engine doesn't know.

use thiserror::Error;

use crate::language::KeepError;

/// Turns texts into vectors whose dot products tell how alike in meaning the texts are.
pub trait Encoder: Send + Sync {
    /// The name by which it is chosen and reported.
    fn name(&self) -> &str;

    /// Tells apart encoders that give different vectors for the same text: weights and way of reading them.
    fn version(&self) -> &str;

    /// Numbers in a vector.
    fn dims(&self) -> usize;

    /// Unit vectors of the texts, row by row: `texts.len() · dims` numbers. Equal texts get equal vectors up to rounding, whatever stands
    /// beside them. Text beyond the encoder's window is cut off.
    ///
    /// # Errors
    /// A text cannot be read by the encoder, or a remote one doesn't answer.
    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError>;
}

/// Why texts could not be encoded.
#[derive(Debug, Error)]
#[error("the encoder {encoder} failed: {detail}; items keep their older vectors")]
pub struct EncodeError {
    /// Name of the encoder.
    pub encoder: String,
    /// What happened.
    pub detail: String,
}

/// Identifies a vector: a hash over the encoder's version and the text.
pub type VectorKey = [u8; 32];

/// Keeps vectors, so that a text is encoded once. What is kept is derived and may be lost.
pub trait VectorCache: Send + Sync {
    /// The vectors of these keys, in their order; none where nothing is kept.
    ///
    /// # Errors
    /// When the storage fails; callers go on as if nothing were kept.
    fn get(&self, keys: &[VectorKey]) -> Result<Vec<Option<Vec<f32>>>, KeepError>;

    /// Keeps vectors; the least recently used ones beyond the bound go.
    ///
    /// # Errors
    /// When the storage fails.
    fn put(&self, vectors: &[(VectorKey, &[f32])]) -> Result<(), KeepError>;
}
