//! The port to text encoders: texts in, unit vectors out. Who implements it, with which model and where, the engine doesn't know.

use thiserror::Error;

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
