//! What was learned, for other programs that read GGUF: an adapter of its own in the layout of llama.cpp, or weights with the adapter in them.
//!
//! Rows of queries and keys are in the order of GGUF everywhere in this crate, so they are written as they are.

use std::{fmt, io::Write, ops::Range, path::Path, str::FromStr};

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use zhiyin_kernels::{half, to_half};

use crate::{
    adapter::{Adapter, Place, Target},
    error::{Defect, LoadError},
    gguf::{ALIGNMENT, Gguf, Piece, RawValues, Tensor, file},
    llama::Shape,
    matrix::{BLOCK, F16, F32, Matrix, Q8_0, encoded_bytes},
};

/// The architecture that adapters belong to.
const ARCHITECTURE: &str = "llama";

/// How adapted weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedEncoding {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// Blocks of 32 numbers of 8 bits with a common scale of 16, which the local runtime takes over without another rounding.
    Q8,
}

impl MergedEncoding {
    const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8_0",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::F32 => F32,
            Self::F16 => F16,
            Self::Q8 => Q8_0,
        }
    }

    fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|number| to_half(*number)).collect(),
            Self::Q8 => numbers.chunks(BLOCK).flat_map(q8_block).collect(),
        }
    }
}

impl fmt::Display for MergedEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MergedEncoding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|encoding| encoding.name() == name);
        found.ok_or_else(|| format!("there is no encoding {name:?}; choose from {}", names()))
    }
}

/// The scale, then a signed byte for each number, the greatest being ±127.
fn q8_block(numbers: &[f32]) -> Vec<u8> {
    let greatest = numbers.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
    let scale = to_half(greatest / 127.0);
    // By the scale as it is read again, so that it isn't rounded twice.
    let read = half(scale);
    let factor = if read > 0.0 { 1.0 / read } else { 0.0 };
    let code = |number: &f32| (number * factor).round().clamp(-127.0, 127.0) as i8;
    scale.into_iter().chain(numbers.iter().map(|number| code(number).to_le_bytes()[0])).collect()
}

impl Adapter {
    /// Writes the adapter in the layout in which llama.cpp reads it: tensors `NAME.lora_a` (A, as many rows as the rank) and `NAME.lora_b` (B) for the
    /// weights called NAME.
    ///
    /// # Errors
    /// The file can't be written; its path is in the message.
    pub fn write_gguf(&self, path: &Path) -> Result<(), std::io::Error> {
        let mut values = RawValues::default();
        values.text("general.type", "adapter");
        values.text("general.architecture", ARCHITECTURE);
        values.text("adapter.type", "lora");
        values.float("adapter.lora.alpha", self.config().alpha);
        let piece = |place: &Place, part: char, shape: [usize; 2], range: Range<usize>| Piece {
            name: format!("{}.lora_{part}", tensor_name(place)),
            shape: shape.to_vec(),
            encoding: F32,
            bytes: MergedEncoding::F32.encode(&self.values()[range]),
        };
        let both = |place: &Place| {
            let down = piece(place, 'a', [place.inputs, place.rank], place.down());
            [down, piece(place, 'b', [place.rank, place.outputs], place.up())]
        };
        let tensors: Vec<Piece> = self.places().iter().flat_map(both).collect();
        replace(path, &file(&values, &tensors, ALIGNMENT))
    }

    /// Writes the weights of `base` with this adapter in them: every W that it changes as W + (α/r)·B·A, all other tensors and all values as they are.
    ///
    /// # Errors
    /// [`LoadError`]: the base can't be read or is of another shape; the file can't be written.
    pub fn merge(&self, base: &Path, path: &Path, encoding: MergedEncoding) -> Result<(), LoadError> {
        let gguf = Gguf::parse(fs_err::read(base)?).map_err(|defect| defect.at(base))?;
        let merged = self.merged(&gguf, encoding).map_err(|defect| defect.at(base))?;
        Ok(replace(path, &file(&gguf.raw_values(), &merged, gguf.alignment))?)
    }

    fn merged(&self, gguf: &Gguf, encoding: MergedEncoding) -> Result<Vec<Piece>, Defect> {
        if !self.fits(Shape::read(gguf)?) {
            return Err(Defect::Unsupported("the adapter belongs to a model of another shape".to_owned()));
        }
        let piece = |(name, tensor): (&String, &Tensor)| {
            let Tensor { shape, encoding: own, start } = tensor;
            let length = encoded_bytes(*own, shape.iter().product());
            let bytes = length.and_then(|length| gguf.bytes_from(*start)?.get(..length));
            let bytes = bytes.ok_or_else(|| Defect::malformed(format!("{name} can't be read")))?;
            let place = self.places().iter().find(|place| tensor_name(place) == *name);
            let (encoding, bytes) = match place {
                Some(place) => (encoding.number(), encoding.encode(&self.changed(place, *own, bytes)?)),
                None => (*own, bytes.to_vec()),
            };
            Ok(Piece { name: name.clone(), shape: shape.clone(), encoding, bytes })
        };
        let mut tensors: Vec<_> = gguf.tensors.iter().collect();
        tensors.sort_by_key(|(_, tensor)| tensor.start);
        tensors.into_iter().map(piece).collect()
    }

    /// The numbers of a map with what the adapter adds to them.
    fn changed(&self, place: &Place, encoding: u32, bytes: &[u8]) -> Result<Vec<f32>, Defect> {
        let mut numbers = match encoding {
            F32 => bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect(),
            F16 => bytes.as_chunks().0.iter().map(|number| half(*number)).collect(),
            _ => Matrix::decode(encoding, bytes, place.inputs, place.outputs)?.numbers(),
        };
        let up = MatRef::from_row_major_slice(&self.values()[place.up()], place.outputs, place.rank);
        let down = MatRef::from_row_major_slice(&self.values()[place.down()], place.rank, place.inputs);
        let out = MatMut::from_row_major_slice_mut(&mut numbers, place.outputs, place.inputs);
        matmul(out, Accum::Add, up, down, self.scale(), Par::rayon(0));
        Ok(numbers)
    }
}

/// What the weights of a map are called in a GGUF file.
fn tensor_name(place: &Place) -> String {
    let part = match place.target {
        Target::Query => "attn_q",
        Target::Key => "attn_k",
        Target::Value => "attn_v",
        Target::Output => "attn_output",
        Target::Gate => "ffn_gate",
        Target::Up => "ffn_up",
        Target::Down => "ffn_down",
    };
    format!("blk.{}.{part}.weight", place.layer)
}

/// Either the whole file is there or the earlier one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapter::AdapterConfig,
        llama::{Llama, Run},
        memory::Memory,
    };

    const WORDS: usize = 40;

    /// Numbers in [−½, ½) that look random.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// A model of two layers, 64 wide, in 8 bits.
    fn base() -> Vec<u8> {
        let mut values = RawValues::default();
        values.text("general.architecture", ARCHITECTURE);
        for (key, value) in [
            ("llama.embedding_length", 64_u32),
            ("llama.block_count", 2),
            ("llama.attention.head_count", 4),
            ("llama.attention.head_count_kv", 2),
            ("llama.feed_forward_length", 96),
            ("llama.context_length", 64),
        ] {
            values.entry(key, 4, &value.to_le_bytes());
        }
        let words = vec![[1_u64.to_le_bytes().as_slice(), b"w"].concat(); WORDS].concat();
        let list = [8_u32.to_le_bytes().as_slice(), &(WORDS as u64).to_le_bytes(), &words].concat();
        values.entry("tokenizer.ggml.tokens", 9, &list);
        let mut tensors = Vec::new();
        let mut tensor = |name: String, shape: &[usize], encoding: MergedEncoding| {
            let own = numbers(shape.iter().product(), tensors.len() as u64 + 1);
            let bytes = encoding.encode(&own);
            tensors.push(Piece { name, shape: shape.to_vec(), encoding: encoding.number(), bytes });
        };
        tensor("token_embd.weight".to_owned(), &[64, WORDS], MergedEncoding::Q8);
        tensor("output_norm.weight".to_owned(), &[64], MergedEncoding::F32);
        for layer in 0..2 {
            for norm in ["attn_norm", "ffn_norm"] {
                tensor(format!("blk.{layer}.{norm}.weight"), &[64], MergedEncoding::F32);
            }
            for (part, shape) in [
                ("attn_q", [64, 64]),
                ("attn_k", [64, 32]),
                ("attn_v", [64, 32]),
                ("attn_output", [64, 64]),
                ("ffn_gate", [64, 96]),
                ("ffn_up", [64, 96]),
                ("ffn_down", [96, 64]),
            ] {
                tensor(format!("blk.{layer}.{part}.weight"), &shape, MergedEncoding::Q8);
            }
        }
        file(&values, &tensors, ALIGNMENT)
    }

    fn load(bytes: Vec<u8>) -> Llama {
        Llama::load(&Gguf::parse(bytes).ok().unwrap()).ok().unwrap()
    }

    fn adapter(shape: Shape) -> Adapter {
        let config = AdapterConfig { rank: 3, alpha: 5.0, targets: Target::ALL.to_vec() };
        let mut adapter = Adapter::fresh(shape, config, || 0.0).unwrap();
        let own = numbers(adapter.values().len(), 99);
        adapter.values_mut().copy_from_slice(&own);
        adapter
    }

    fn logits(model: &Llama) -> Vec<f32> {
        let mut memory = Memory::default();
        let states = model.states(&mut [Run { tokens: &[3, 17, 5, 39, 0], memory: &mut memory, wanted_from: 0 }]);
        model.logits(&states)
    }

    fn greatest_difference(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn merged_weights_say_what_base_and_adapter_say() {
        let folder = tempfile::tempdir().unwrap();
        let (own, merged) = (folder.path().join("base.gguf"), folder.path().join("merged.gguf"));
        fs_err::write(&own, base()).unwrap();
        let mut model = load(base());
        let plain = logits(&model);
        let adapter = adapter(model.shape);
        model.adapter = Some(adapter.clone());
        let wanted = logits(&model);
        let span = greatest_difference(&wanted, &vec![0.0; wanted.len()]);
        assert!(greatest_difference(&plain, &wanted) > 0.3 * span, "the adapter changes something");
        for encoding in MergedEncoding::ALL {
            adapter.merge(&own, &merged, encoding).unwrap();
            let found = logits(&load(fs_err::read(&merged).unwrap()));
            // Weights are rounded to 8 bits when they are loaded, whatever they were written in.
            let difference = greatest_difference(&found, &wanted);
            assert!(difference < 0.03 * span, "{encoding}: {difference} of {span}");
        }
        // What isn't adapted is copied.
        let values = Adapter::fresh(model.shape, AdapterConfig::default(), || 0.5).unwrap();
        values.merge(&own, &merged, MergedEncoding::F32).unwrap();
        let (before, after) =
            (Gguf::parse(base()).ok().unwrap(), Gguf::parse(fs_err::read(&merged).unwrap()).ok().unwrap());
        assert_eq!(before.raw_values().bytes, after.raw_values().bytes);
        let (before_tensor, after_tensor) =
            (&before.tensors["blk.1.ffn_up.weight"], &after.tensors["blk.1.ffn_up.weight"]);
        assert_eq!((before_tensor.encoding, &before_tensor.shape), (after_tensor.encoding, &after_tensor.shape));
        let bytes = |gguf: &Gguf, tensor: &Tensor| gguf.bytes_from(tensor.start).unwrap()[..6_528].to_vec();
        assert_eq!(bytes(&before, before_tensor), bytes(&after, after_tensor));
    }

    #[test]
    fn what_does_not_belong_together_is_not_merged() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("base.gguf");
        fs_err::write(&own, base()).unwrap();
        let shape = Shape { hidden: 96, ..load(base()).shape };
        let refused = adapter(shape).merge(&own, &folder.path().join("merged.gguf"), MergedEncoding::F16).unwrap_err();
        assert!(refused.to_string().contains("another shape"), "{refused}");
        assert!(!folder.path().join("merged.gguf").exists());
    }

    #[test]
    fn an_adapter_is_written_as_llama_cpp_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter.gguf");
        let adapter = adapter(load(base()).shape);
        adapter.write_gguf(&path).unwrap();
        let gguf = Gguf::parse(fs_err::read(&path).unwrap()).ok().unwrap();
        let texts = ["general.type", "general.architecture", "adapter.type"].map(|key| gguf.text(key).unwrap());
        assert_eq!((texts, gguf.float("adapter.lora.alpha")), (["adapter", "llama", "lora"], Some(5.0)));
        assert_eq!(gguf.tensors.len(), 2 * 2 * 7);
        let (down, up) = (&gguf.tensors["blk.1.attn_k.weight.lora_a"], &gguf.tensors["blk.1.attn_k.weight.lora_b"]);
        assert_eq!((down.shape.as_slice(), up.shape.as_slice()), ([64, 3].as_slice(), [3, 32].as_slice()));
        let place = adapter.places().iter().find(|place| tensor_name(place) == "blk.1.attn_k.weight").unwrap();
        let read = |tensor: &Tensor, count: usize| -> Vec<f32> {
            let bytes = &gguf.bytes_from(tensor.start).unwrap()[..4 * count];
            bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
        };
        assert_eq!(read(down, 64 * 3), adapter.values()[place.down()]);
        assert_eq!(read(up, 3 * 32), adapter.values()[place.up()]);
    }
}
