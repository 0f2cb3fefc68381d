//! Matrices in 8 bits per number, and their products with vectors.
//!
//! Rows are cut into blocks of 32 numbers; number `i` of a block is `scale · code[i] + offset`. All encodings of GGUF with blocks of 32
//! (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) are of this form, so they are taken over without loss. Activations stay `f32`.
//!
//! Codes lie in 8 words of 32 bits: number `8 · k + lane` is byte `k` of word `lane`, so shifting whole words gives 8 neighbours at once.
//!
//! A few vectors meet each block right where it is unpacked, in registers: what limits writing token by token is reading the weights. For
//! many vectors the whole matrix is unpacked once and multiplied as a matrix of `f32`: what limits reading prompts is multiplying.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;
use zhiyin_kernels::{dispatch, dot, half, kernel};

use crate::error::Defect;

/// Numbers of a block.
pub const BLOCK: usize = 32;
/// Numbers of encodings in GGUF.
pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q8_0: u32 = 8;
/// With more vectors than this the matrix is unpacked first.
const FEW: usize = 12;
/// Vectors that a block meets at once.
const TOGETHER: usize = 4;
/// Words of a block, and numbers that a word holds.
const WORDS: usize = 8;
const PER_WORD: usize = BLOCK / WORDS;
/// Rows that one task works on.
const ROWS_PER_TASK: usize = 48;

/// A matrix of `outputs` rows with `inputs` numbers each.
pub struct Matrix {
    pub inputs: usize,
    pub outputs: usize,
    codes: Vec<[u32; WORDS]>,
    scales: Vec<f32>,
    offsets: Vec<f32>,
}

impl Matrix {
    /// Unpacks a tensor of the numbered encoding. `bytes` begins where the tensor begins.
    pub fn decode(encoding: u32, bytes: &[u8], inputs: usize, outputs: usize) -> Result<Self, Defect> {
        let block = Encoding::numbered(encoding)?;
        if inputs == 0 || !inputs.is_multiple_of(BLOCK) {
            return Err(Defect::Unsupported(format!("rows of {inputs} numbers are no whole blocks of {BLOCK}")));
        }
        let blocks = inputs / BLOCK * outputs;
        let bytes = block.bytes.checked_mul(blocks).and_then(|length| bytes.get(..length));
        let bytes = bytes.ok_or_else(|| Defect::malformed("a tensor goes beyond its end"))?;
        let mut matrix = Self {
            inputs,
            outputs,
            codes: vec![[0; WORDS]; blocks],
            scales: vec![0.0; blocks],
            offsets: vec![0.0; blocks],
        };
        for (at, packed) in bytes.chunks_exact(block.bytes).enumerate() {
            let mut codes = [0; BLOCK];
            (matrix.scales[at], matrix.offsets[at]) = (block.unpack)(packed, &mut codes);
            for (number, code) in codes.into_iter().enumerate() {
                matrix.codes[at][number % WORDS] |= u32::from(code) << (8 * (number / WORDS));
            }
        }
        Ok(matrix)
    }

    /// Matrices that read the same input as one, their outputs side by side.
    pub fn joined(parts: Vec<Self>) -> Self {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        let mut joined = Self { inputs, outputs: 0, codes: Vec::new(), scales: Vec::new(), offsets: Vec::new() };
        for part in parts {
            joined.outputs += part.outputs;
            joined.codes.extend(part.codes);
            joined.scales.extend(part.scales);
            joined.offsets.extend(part.offsets);
        }
        joined
    }

    /// All numbers, row by row.
    pub fn numbers(&self) -> Vec<f32> {
        let mut numbers = Vec::new();
        self.unpacked(&mut numbers);
        numbers
    }

    /// The numbers of a row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        self.unpack(row, out);
    }

    /// out ← rows · Wᵀ: `out` has as many rows of `outputs` numbers as `rows` has rows of `inputs`. `scratch` is a buffer of any size.
    pub fn product(&self, rows: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        let count = rows.len() / self.inputs;
        if count == 0 {
            return;
        }
        if count <= FEW {
            self.few(rows, out, scratch);
        } else {
            self.many(rows, count, out, scratch);
        }
    }

    /// out ← rows · W: the way back of [`Matrix::product`]. `rows` has rows of `outputs` numbers, `out` as many rows of `inputs`.
    pub fn back(&self, rows: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        let count = rows.len() / self.outputs;
        let left = MatRef::from_row_major_slice(rows, count, self.outputs);
        let right = MatRef::from_row_major_slice(self.unpacked(scratch), self.outputs, self.inputs);
        let out = MatMut::from_row_major_slice_mut(out, count, self.inputs);
        matmul(out, Accum::Replace, left, right, 1.0, Par::rayon(0));
    }

    fn many(&self, rows: &[f32], count: usize, out: &mut [f32], scratch: &mut Vec<f32>) {
        let left = MatRef::from_row_major_slice(rows, count, self.inputs);
        let right = MatRef::from_column_major_slice(self.unpacked(scratch), self.inputs, self.outputs);
        let out = MatMut::from_row_major_slice_mut(out, count, self.outputs);
        matmul(out, Accum::Replace, left, right, 1.0, Par::rayon(0));
    }

    /// All rows one after the other.
    fn unpacked<'a>(&self, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(scratch.len().max(self.inputs * self.outputs), 0.0);
        let unpacked = &mut scratch[..self.inputs * self.outputs];
        unpacked
            .par_chunks_mut(ROWS_PER_TASK * self.inputs)
            .enumerate()
            .for_each(|(task, out)| self.unpack(task * ROWS_PER_TASK, out));
        unpacked
    }

    fn few(&self, rows: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        let count = rows.len() / self.inputs;
        scratch.resize(scratch.len().max(self.outputs * count), 0.0);
        let columns = &mut scratch[..self.outputs * count];
        let block_sums: Vec<f32> = rows.chunks_exact(BLOCK).map(|block| block.iter().sum()).collect();
        // Each task writes the results of its rows for all vectors side by side.
        columns.par_chunks_mut(ROWS_PER_TASK * count).enumerate().for_each(|(task, out)| {
            dispatch(Few { matrix: self, first: task * ROWS_PER_TASK, rows, block_sums: &block_sums, out });
        });
        for (at, out) in out.chunks_exact_mut(self.outputs).enumerate() {
            out.iter_mut().zip(columns[at..].iter().step_by(count)).for_each(|(out, value)| *out = *value);
        }
    }

    /// The numbers from a row on.
    fn unpack(&self, first: usize, out: &mut [f32]) {
        let start = first * self.inputs / BLOCK;
        let blocks = start..start + out.len() / BLOCK;
        let (scales, offsets) = (&self.scales[blocks.clone()], &self.offsets[blocks.clone()]);
        dispatch(Unpack { codes: &self.codes[blocks], scales, offsets, out });
    }
}

struct Unpack<'a> {
    codes: &'a [[u32; WORDS]],
    scales: &'a [f32],
    offsets: &'a [f32],
    out: &'a mut [f32],
}

kernel!(Unpack, Unpack { codes, scales, offsets, out } => {
    let factors = scales.iter().zip(offsets);
    for ((out, words), (&scale, &offset)) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(codes).zip(factors) {
        for (part, out) in out.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
            let numbers = numbers(words, part);
            for lane in 0..WORDS {
                out[lane] = scale * numbers[lane] + offset;
            }
        }
    }
});

/// Codes `8 · part` to `8 · part + 7` of a block.
#[inline(always)]
fn numbers(words: &[u32; WORDS], part: usize) -> [f32; WORDS] {
    let mut numbers = [0.0; WORDS];
    for lane in 0..WORDS {
        // As a signed number, for which there is an instruction.
        numbers[lane] = ((words[lane] >> (8 * part) & 255) as i32) as f32;
    }
    numbers
}

/// Products of some rows of a matrix with a few vectors.
struct Few<'a> {
    matrix: &'a Matrix,
    first: usize,
    rows: &'a [f32],
    /// The sum of each block of each vector, which offsets are multiplied with.
    block_sums: &'a [f32],
    /// As many numbers for each row of the matrix as there are vectors.
    out: &'a mut [f32],
}

kernel!(Few, Few { matrix, first, rows, block_sums, out } => {
    let (count, per_row) = (rows.len() / matrix.inputs, matrix.inputs / BLOCK);
    let vectors = rows.as_chunks::<BLOCK>().0;
    for (row, out) in out.chunks_exact_mut(count).enumerate() {
        let blocks = (first + row) * per_row..(first + row + 1) * per_row;
        let (codes, scales) = (&matrix.codes[blocks.clone()], &matrix.scales[blocks.clone()]);
        let (many, rest) = out.as_chunks_mut::<TOGETHER>();
        let mut vectors = vectors.chunks_exact(per_row);
        for out in many {
            *out = products(codes, scales, std::array::from_fn(|_| vectors.next().unwrap_or_default()));
        }
        for out in rest {
            [*out] = products(codes, scales, [vectors.next().unwrap_or_default()]);
        }
        for (out, sums) in out.iter_mut().zip(block_sums.chunks_exact(per_row)) {
            *out += dot(&matrix.offsets[blocks.clone()], sums);
        }
    }
});

/// Products of one row, without its offsets, with `N` vectors.
#[inline(always)]
fn products<const N: usize>(codes: &[[u32; WORDS]], scales: &[f32], vectors: [&[[f32; BLOCK]]; N]) -> [f32; N] {
    let mut totals = [[0.0_f32; WORDS]; N];
    for (at, (words, &scale)) in codes.iter().zip(scales).enumerate() {
        let mut sums = [[0.0_f32; WORDS]; N];
        for part in 0..PER_WORD {
            let numbers = numbers(words, part);
            for (sums, vector) in sums.iter_mut().zip(&vectors) {
                let vector = &vector[at].as_chunks::<WORDS>().0[part];
                for lane in 0..WORDS {
                    sums[lane] += numbers[lane] * vector[lane];
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(&sums) {
            for lane in 0..WORDS {
                totals[lane] += scale * sums[lane];
            }
        }
    }
    totals.map(|totals| totals.iter().sum())
}

/// Bytes of so many numbers in a numbered encoding; none if it isn't known, or the numbers are no whole blocks.
pub fn encoded_bytes(encoding: u32, numbers: usize) -> Option<usize> {
    match encoding {
        F32 => numbers.checked_mul(4),
        F16 => numbers.checked_mul(2),
        _ => {
            let block = Encoding::numbered(encoding).ok()?;
            numbers.is_multiple_of(BLOCK).then(|| (numbers / BLOCK).checked_mul(block.bytes))?
        }
    }
}

/// How a block of 32 numbers is packed.
struct Encoding {
    bytes: usize,
    /// Writes the codes and returns scale and offset.
    unpack: fn(&[u8], &mut [u8; BLOCK]) -> (f32, f32),
}

impl Encoding {
    /// The numbers are those of GGUF.
    fn numbered(number: u32) -> Result<Self, Defect> {
        let encoding = |bytes, unpack| Ok(Self { bytes, unpack });
        match number {
            F32 => encoding(4 * BLOCK, |bytes, codes| {
                rounded(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)), codes)
            }),
            F16 => encoding(2 * BLOCK, |bytes, codes| {
                rounded(bytes.as_chunks().0.iter().map(|number| half(*number)), codes)
            }),
            2 => encoding(18, |bytes, codes| {
                nibbles(&bytes[2..], codes);
                around(half([bytes[0], bytes[1]]), 8.0)
            }),
            3 => encoding(20, |bytes, codes| {
                nibbles(&bytes[4..], codes);
                (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]))
            }),
            6 => encoding(22, |bytes, codes| {
                nibbles(&bytes[6..], codes);
                fifth_bits(&bytes[2..6], codes);
                around(half([bytes[0], bytes[1]]), 16.0)
            }),
            7 => encoding(24, |bytes, codes| {
                nibbles(&bytes[8..], codes);
                fifth_bits(&bytes[4..8], codes);
                (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]))
            }),
            Q8_0 => encoding(34, |bytes, codes| {
                // From signed to unsigned.
                codes.iter_mut().zip(&bytes[2..]).for_each(|(code, byte)| *code = byte ^ 128);
                around(half([bytes[0], bytes[1]]), 128.0)
            }),
            other => Err(Defect::Unsupported(format!(
                "its weights are in the GGUF encoding {other}; known are F32, F16, Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0"
            ))),
        }
    }
}

/// Scale and offset of an encoding in which the code `zero` stands for 0.
fn around(scale: f32, zero: f32) -> (f32, f32) {
    (scale, -zero * scale)
}

/// Numbers 0–15 of a block are the low halves of its bytes, 16–31 the high halves.
fn nibbles(packed: &[u8], codes: &mut [u8; BLOCK]) {
    let (low, high) = codes.split_at_mut(BLOCK / 2);
    for ((packed, low), high) in packed.iter().zip(low).zip(high) {
        (*low, *high) = (packed & 15, packed >> 4);
    }
}

/// Bit `i` is worth 16 for number `i`.
fn fifth_bits(bytes: &[u8], codes: &mut [u8; BLOCK]) {
    for (at, code) in codes.iter_mut().enumerate() {
        *code |= (bytes[at / 8] >> (at % 8) & 1) << 4;
    }
}

/// Rounds 32 numbers to 8 bits, the greatest to ±127.
fn rounded(numbers: impl Iterator<Item = f32>, codes: &mut [u8; BLOCK]) -> (f32, f32) {
    let mut all = [0.0_f32; BLOCK];
    all.iter_mut().zip(numbers).for_each(|(own, number)| *own = number);
    let scale = all.iter().fold(0.0_f32, |most, number| most.max(number.abs())) / 127.0;
    let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    codes.iter_mut().zip(all).for_each(|(code, number)| *code = ((number * factor).round() + 128.0) as u8);
    around(scale, 128.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half precision 0.5 and 1.
    const HALF: [u8; 2] = [0x00, 0x38];
    const ONE: [u8; 2] = [0x00, 0x3c];

    fn numbers(encoding: u32, bytes: &[u8]) -> Vec<f32> {
        let matrix = Matrix::decode(encoding, bytes, BLOCK, 1).ok().unwrap();
        let mut out = vec![0.0; BLOCK];
        matrix.row(0, &mut out);
        out
    }

    #[test]
    fn every_encoding_is_unpacked_by_hand() {
        // The first byte holds 15 for number 0 and 3 for number 16; all others 0.
        let mut nibbles = vec![0x3f];
        nibbles.resize(16, 0);
        let joined = |parts: &[&[u8]]| parts.concat();
        let q4_0 = numbers(2, &joined(&[&HALF, &nibbles]));
        assert_eq!((q4_0[0], q4_0[16], q4_0[1]), (3.5, -2.5, -4.0));
        let q4_1 = numbers(3, &joined(&[&HALF, &ONE, &nibbles]));
        assert_eq!((q4_1[0], q4_1[16], q4_1[1]), (8.5, 2.5, 1.0));
        // Number 1 has its fifth bit.
        let q5_0 = numbers(6, &joined(&[&HALF, &[2, 0, 0, 0], &nibbles]));
        assert_eq!((q5_0[0], q5_0[1], q5_0[2]), (-0.5, 0.0, -8.0));
        let q5_1 = numbers(7, &joined(&[&HALF, &ONE, &[2, 0, 0, 0], &nibbles]));
        assert_eq!((q5_1[0], q5_1[1], q5_1[2]), (8.5, 9.0, 1.0));
        let mut bytes = vec![0xff, 0x7f];
        bytes.resize(32, 0);
        let q8_0 = numbers(8, &joined(&[&HALF, &bytes]));
        assert_eq!((q8_0[0], q8_0[1], q8_0[2]), (-0.5, 63.5, 0.0));
        let floats: Vec<u8> = (0..32).flat_map(|at| (at as f32 - 16.0).to_le_bytes()).collect();
        for (at, number) in numbers(0, &floats).into_iter().enumerate() {
            assert!((number - (at as f32 - 16.0)).abs() < 16.0 / 127.0, "{at}: {number}");
        }
    }

    #[test]
    fn what_is_unknown_or_too_short_is_refused() {
        assert!(matches!(Matrix::decode(12, &[0; 400], BLOCK, 1), Err(Defect::Unsupported(_))));
        assert!(matches!(Matrix::decode(8, &[0; 400], 33, 1), Err(Defect::Unsupported(_))));
        assert!(matches!(Matrix::decode(8, &[0; 33], BLOCK, 1), Err(Defect::Malformed(_))));
    }

    #[test]
    fn products_are_those_of_the_unpacked_matrix_however_many_vectors_there_are() {
        let (inputs, outputs) = (96, 101);
        for encoding in [3, 8] {
            let block_bytes = if encoding == 3 { 20 } else { 34 };
            let mut bytes: Vec<u8> =
                (0..inputs / BLOCK * outputs * block_bytes).map(|at| (at * 37 % 251) as u8).collect();
            for block in bytes.chunks_exact_mut(block_bytes) {
                block[..2].copy_from_slice(&HALF);
                if encoding == 3 {
                    block[2..4].copy_from_slice(&ONE);
                }
            }
            let matrix = Matrix::decode(encoding, &bytes, inputs, outputs).ok().unwrap();
            let mut row = vec![0.0; inputs];
            for count in [0, 1, 2, 3, 5, 8, FEW, FEW + 1, 40] {
                let vectors: Vec<f32> = (0..count * inputs).map(|at| ((at * 13 % 29) as f32 - 14.0) / 14.0).collect();
                let mut out = vec![f32::NAN; count * outputs];
                matrix.product(&vectors, &mut out, &mut Vec::new());
                for (vector, out) in vectors.chunks(inputs).zip(out.chunks(outputs)) {
                    for (at, found) in out.iter().enumerate() {
                        matrix.row(at, &mut row);
                        let wanted: f64 = row.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        assert!(
                            (f64::from(*found) - wanted).abs() < 1e-2 + wanted.abs() * 1e-4,
                            "{count} {at}: {found} {wanted}"
                        );
                    }
                }
            }
        }
    }
}
