//! The container GGUF, versions 2 and 3: named values, then named tensors.
//!
//! Every length in the file is checked against what is left of it before anything is reserved, so damaged files are refused.

mod write;

use std::{collections::HashMap, ops::Range};

pub use write::{Piece, RawValues, file};

use crate::error::Defect;

const MAGIC: &[u8] = b"GGUF";
/// Where tensors begin, unless the file says otherwise: at a multiple of this.
pub const ALIGNMENT: usize = 32;
/// Dimensions of a tensor at most.
const DIMENSIONS_MAX: usize = 4;

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

/// Where a tensor lies and what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the dimensions, the innermost first.
    pub shape: Vec<usize>,
    /// Number of the encoding, see [`crate::matrix`].
    pub encoding: u32,
    /// Where it begins in the file.
    pub start: usize,
}

/// A file, read.
pub struct Gguf {
    pub values: HashMap<String, Value>,
    pub tensors: HashMap<String, Tensor>,
    /// Tensors begin at multiples of this.
    pub alignment: usize,
    bytes: Vec<u8>,
    /// Where the named values lie.
    value_bytes: Range<usize>,
}

impl Gguf {
    /// Reads the index of a whole file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Defect> {
        let mut reader = Reader { bytes: &bytes, at: 0 };
        let index = reader.index().ok_or_else(|| Defect::malformed("it is no whole GGUF file of version 2 or 3"))?;
        let Index { values, value_bytes, mut tensors } = index;
        let alignment = match values.get("general.alignment") {
            Some(Value::Unsigned(alignment)) if (1..=1 << 20).contains(alignment) => *alignment as usize,
            _ => ALIGNMENT,
        };
        let start = reader.at.next_multiple_of(alignment);
        tensors.values_mut().for_each(|tensor| tensor.start = tensor.start.saturating_add(start));
        Ok(Self { values, tensors, alignment, bytes, value_bytes })
    }

    /// The named values as they lie in the file.
    pub fn raw_values(&self) -> RawValues {
        RawValues { count: self.values.len() as u64, bytes: self.bytes[self.value_bytes.clone()].to_vec() }
    }

    /// The file from a place on; none beyond its end.
    pub fn bytes_from(&self, start: usize) -> Option<&[u8]> {
        self.bytes.get(start..)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn whole(&self, key: &str) -> Option<usize> {
        match self.values.get(key)? {
            Value::Unsigned(value) => usize::try_from(*value).ok(),
            Value::Signed(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub fn float(&self, key: &str) -> Option<f32> {
        match self.values.get(key)? {
            Value::Float(value) => Some(*value as f32),
            _ => None,
        }
    }

    pub fn list(&self, key: &str) -> Option<&[Value]> {
        match self.values.get(key)? {
            Value::List(values) => Some(values),
            _ => None,
        }
    }
}

struct Index {
    values: HashMap<String, Value>,
    value_bytes: Range<usize>,
    tensors: HashMap<String, Tensor>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn index(&mut self) -> Option<Index> {
        let is_known = self.take(4)? == MAGIC && matches!(self.u32()?, 2 | 3);
        if !is_known {
            return None;
        }
        let (tensors, values) = (self.u64()?, self.u64()?);
        let start = self.at;
        let values = (0..values).map(|_| Some((self.string()?, self.value()?))).collect::<Option<_>>()?;
        let value_bytes = start..self.at;
        let tensors = (0..tensors).map(|_| Some((self.string()?, self.tensor()?))).collect::<Option<_>>()?;
        Some(Index { values, value_bytes, tensors })
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.u64()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn value(&mut self) -> Option<Value> {
        let kind = self.u32()?;
        self.value_of(kind, true)
    }

    fn value_of(&mut self, kind: u32, may_be_list: bool) -> Option<Value> {
        Some(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.take(1)?[0] != 0),
            8 => Value::Text(self.string()?),
            9 if may_be_list => {
                let (inner, count) = (self.u32()?, self.u64()?);
                // `collect` into an option reserves nothing ahead, so a false count ends at the end of the file.
                Value::List((0..count).map(|_| self.value_of(inner, false)).collect::<Option<_>>()?)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => return None,
        })
    }

    fn tensor(&mut self) -> Option<Tensor> {
        let dimensions = self.u32()? as usize;
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return None;
        }
        let shape = (0..dimensions).map(|_| usize::try_from(self.u64()?).ok()).collect::<Option<_>>()?;
        Some(Tensor { shape, encoding: self.u32()?, start: usize::try_from(self.u64()?).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    /// One value of each of three kinds and one tensor of 2 × 1 floats.
    fn file() -> Vec<u8> {
        let mut bytes = [MAGIC, &3_u32.to_le_bytes(), &1_u64.to_le_bytes(), &3_u64.to_le_bytes()].concat();
        bytes.extend([string("a"), 4_u32.to_le_bytes().to_vec(), 7_u32.to_le_bytes().to_vec()].concat());
        bytes.extend([string("b"), 8_u32.to_le_bytes().to_vec(), string("text")].concat());
        let list = [9_u32.to_le_bytes().to_vec(), 6_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec()].concat();
        bytes.extend([string("c"), list, 0.5_f32.to_le_bytes().to_vec(), 2_f32.to_le_bytes().to_vec()].concat());
        let shape = [2_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()].concat();
        bytes.extend([string("w"), shape, 0_u32.to_le_bytes().to_vec(), 0_u64.to_le_bytes().to_vec()].concat());
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend([1_f32.to_le_bytes(), 3_f32.to_le_bytes()].concat());
        bytes
    }

    #[test]
    fn values_and_tensors_are_found() {
        let bytes = file();
        let end = bytes.len();
        let gguf = Gguf::parse(bytes).ok().unwrap();
        assert_eq!((gguf.whole("a"), gguf.text("b")), (Some(7), Some("text")));
        assert_eq!(gguf.list("c"), Some([Value::Float(0.5), Value::Float(2.0)].as_slice()));
        let tensor = &gguf.tensors["w"];
        assert_eq!((tensor.shape.as_slice(), tensor.encoding, tensor.start), ([2, 1].as_slice(), 0, end - 8));
        assert_eq!(gguf.bytes_from(end - 8), Some([1_f32.to_le_bytes(), 3_f32.to_le_bytes()].concat().as_slice()));
        assert_eq!(gguf.bytes_from(end + 1), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let whole = Gguf::parse(file()).ok().unwrap();
        let mut values = whole.raw_values();
        values.text("d", "more");
        values.float("e", 2.5);
        let piece = |name: &str, shape: &[usize], numbers: &[f32]| Piece {
            name: name.to_owned(),
            shape: shape.to_vec(),
            encoding: 0,
            bytes: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        };
        let pieces = [piece("v", &[3, 1], &[1.0, 2.0, 3.0]), piece("w", &[1], &[7.0])];
        let again = Gguf::parse(write::file(&values, &pieces, ALIGNMENT)).ok().unwrap();
        assert_eq!(again.list("c"), whole.list("c"));
        assert_eq!((again.whole("a"), again.text("d"), again.float("e")), (Some(7), Some("more"), Some(2.5)));
        for piece in &pieces {
            let tensor = &again.tensors[&piece.name];
            assert_eq!((&tensor.shape, tensor.start % ALIGNMENT), (&piece.shape, 0));
            assert_eq!(again.bytes_from(tensor.start).unwrap()[..piece.bytes.len()], piece.bytes);
        }
    }

    #[test]
    fn no_beginning_of_a_file_and_no_false_count_is_taken_for_a_file() {
        let whole = file();
        for cut in 0..whole.len() - 40 {
            assert!(Gguf::parse(whole[..cut].to_vec()).is_err(), "{cut}");
        }
        for place in [8, 16, 24] {
            let mut wrong = whole.clone();
            wrong[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(Gguf::parse(wrong).is_err(), "{place}");
        }
    }
}
