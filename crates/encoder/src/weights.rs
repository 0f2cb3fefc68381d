//! The numbers of a BERT-like encoder, in the layout that the forward pass reads.

/// Shape of an encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width of a token's vector.
    pub hidden: usize,
    /// Attention heads; they divide `hidden`.
    pub heads: usize,
    /// Width between the two linear maps of a layer.
    pub feed_forward: usize,
    /// Tokens of a text, at most.
    pub positions: usize,
    /// What keeps layer normalisation from dividing by 0.
    pub epsilon: f32,
}

/// A linear map y = W·x + b: `weight` has one row per output.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// Layer normalisation with its scale and shift.
#[derive(Clone, Debug)]
pub struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Queries, keys and values in one map of 3 · hidden outputs.
    pub attention: Linear,
    pub attention_out: Linear,
    pub attention_norm: Norm,
    pub feed_in: Linear,
    pub feed_out: Linear,
    pub feed_norm: Norm,
}

/// Vectors of the words: a table of `hidden` numbers each.
#[derive(Clone, Debug)]
pub enum Words {
    Full(Vec<f32>),
    /// Blocks of 32 numbers in 4 bits, see [`crate::e5`].
    Packed(Vec<u8>),
}

/// All weights of an encoder.
#[derive(Clone, Debug)]
pub struct Weights {
    pub shape: Shape,
    pub words: Words,
    /// Number of words.
    pub vocabulary: usize,
    /// Vector of each position, plus that of the only token type: both are always added.
    pub positions: Vec<f32>,
    pub norm: Norm,
    pub layers: Vec<Layer>,
}

/// Adds the vector of the token type to that of each position.
pub fn with_type(mut positions: Vec<f32>, kind: &[f32]) -> Vec<f32> {
    for row in positions.chunks_exact_mut(kind.len().max(1)) {
        row.iter_mut().zip(kind).for_each(|(value, kind)| *value += kind);
    }
    positions
}

impl Linear {
    /// Maps that read the same input as one map, their outputs side by side.
    pub fn joined(parts: [Self; 3]) -> Self {
        let mut joined = Self { weight: Vec::new(), bias: Vec::new() };
        for part in parts {
            joined.weight.extend(part.weight);
            joined.bias.extend(part.bias);
        }
        joined
    }
}
