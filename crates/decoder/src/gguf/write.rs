//! Writes the container GGUF, version 3.

use super::MAGIC;

/// The version that is written; it differs from 2 in nothing that is written here.
const VERSION: u32 = 3;
/// Kinds of values.
const FLOAT: u32 = 6;
const TEXT: u32 = 8;

/// Named values as they lie in a file.
#[derive(Default)]
pub struct RawValues {
    /// How many.
    pub count: u64,
    /// They, one after the other.
    pub bytes: Vec<u8>,
}

impl RawValues {
    pub fn text(&mut self, key: &str, value: &str) {
        self.entry(key, TEXT, &string(value));
    }

    pub fn float(&mut self, key: &str, value: f32) {
        self.entry(key, FLOAT, &value.to_le_bytes());
    }

    pub fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.count += 1;
        self.bytes.extend([string(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat());
    }
}

/// A tensor to be written.
pub struct Piece {
    pub name: String,
    /// Lengths of the dimensions, the innermost first.
    pub shape: Vec<usize>,
    pub encoding: u32,
    pub bytes: Vec<u8>,
}

/// A whole file: values, and tensors at multiples of `alignment`.
pub fn file(values: &RawValues, tensors: &[Piece], alignment: usize) -> Vec<u8> {
    let mut bytes = [MAGIC, &VERSION.to_le_bytes(), &(tensors.len() as u64).to_le_bytes()].concat();
    bytes.extend(values.count.to_le_bytes());
    bytes.extend(&values.bytes);
    let mut start = 0;
    for tensor in tensors {
        bytes.extend(string(&tensor.name));
        bytes.extend((tensor.shape.len() as u32).to_le_bytes());
        bytes.extend(tensor.shape.iter().flat_map(|length| (*length as u64).to_le_bytes()));
        bytes.extend(tensor.encoding.to_le_bytes());
        bytes.extend((start as u64).to_le_bytes());
        start += tensor.bytes.len().next_multiple_of(alignment);
    }
    for tensor in tensors {
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        bytes.extend(&tensor.bytes);
    }
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
