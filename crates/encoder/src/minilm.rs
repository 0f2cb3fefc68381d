//! Reads a BERT-like model in safetensors with the names that sentence-transformers uses.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::{
    LoadError,
    weights::{Layer, Linear, Norm, Shape, Weights, Words, with_type},
};

/// all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), six layers.
const SHAPE: Shape = Shape { hidden: 384, heads: 12, feed_forward: 1536, positions: 512, epsilon: 1e-12 };
const LAYERS: usize = 6;

/// The weights in a file.
pub fn load(path: &Path) -> Result<Weights, LoadError> {
    let bytes = fs_err::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| LoadError::malformed(path, error))?;
    let reader = Reader { path, tensors };
    let (hidden, words) = (SHAPE.hidden, reader.any("embeddings.word_embeddings.weight")?);
    let positions = reader.numbers("embeddings.position_embeddings.weight", SHAPE.positions * hidden)?;
    let types = reader.numbers("embeddings.token_type_embeddings.weight", 2 * hidden)?;
    Ok(Weights {
        shape: SHAPE,
        vocabulary: words.len() / hidden,
        words: Words::Full(words),
        positions: with_type(positions, &types[..hidden]),
        norm: reader.norm("embeddings.LayerNorm")?,
        layers: (0..LAYERS).map(|layer| reader.layer(layer)).collect::<Result<_, _>>()?,
    })
}

struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Reader<'_> {
    fn any(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensors.tensor(name).map_err(|error| LoadError::malformed(self.path, error))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(LoadError::malformed(self.path, format!("{name} is {:?}, not F32", tensor.dtype())));
        }
        let (words, _) = tensor.data().as_chunks();
        Ok(words.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, LoadError> {
        let values = self.any(name)?;
        if values.len() == count {
            return Ok(values);
        }
        Err(LoadError::malformed(self.path, format!("{name} has {} numbers instead of {count}", values.len())))
    }

    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear, LoadError> {
        Ok(Linear {
            weight: self.numbers(&format!("{name}.weight"), outputs * inputs)?,
            bias: self.numbers(&format!("{name}.bias"), outputs)?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        Ok(Norm {
            scale: self.numbers(&format!("{name}.weight"), SHAPE.hidden)?,
            shift: self.numbers(&format!("{name}.bias"), SHAPE.hidden)?,
        })
    }

    fn layer(&self, layer: usize) -> Result<Layer, LoadError> {
        let (hidden, feed) = (SHAPE.hidden, SHAPE.feed_forward);
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let part = |name: &str| self.linear(&at(&format!("attention.self.{name}")), hidden, hidden);
        Ok(Layer {
            attention: Linear::joined([part("query")?, part("key")?, part("value")?]),
            attention_out: self.linear(&at("attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&at("attention.output.LayerNorm"))?,
            feed_in: self.linear(&at("intermediate.dense"), feed, hidden)?,
            feed_out: self.linear(&at("output.dense"), hidden, feed)?,
            feed_norm: self.norm(&at("output.LayerNorm"))?,
        })
    }
}
