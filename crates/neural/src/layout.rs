//! All numbers that are learned, in one flat array, with names.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::noise::normal;

/// How the numbers of a part begin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Start {
    Zeros,
    Ones,
    /// Normally distributed with this deviation.
    Normal(f32),
}

/// A matrix within the flat array, row by row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    from: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Slot {
    pub fn len(self) -> usize {
        self.rows * self.columns
    }

    pub fn of(self, values: &[f32]) -> &[f32] {
        &values[self.from..self.from + self.len()]
    }

    pub fn of_mut(self, values: &mut [f32]) -> &mut [f32] {
        &mut values[self.from..self.from + self.len()]
    }
}

/// A part of the array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub slot: Slot,
    start: Start,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// Which part of the array is what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    pub parts: Vec<Part>,
    pub len: usize,
}

impl Layout {
    /// Appends a matrix. A vector has one row.
    pub fn add(&mut self, name: impl Into<String>, rows: usize, columns: usize, start: Start) -> Slot {
        let slot = Slot { from: self.len, rows, columns };
        self.len += slot.len();
        let name = name.into();
        let decays = rows > 1 && !name.starts_with("items");
        self.parts.push(Part { name, slot, start, decays });
        slot
    }

    /// The array as training begins with it.
    pub fn begin(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.len];
        for (part, stream) in self.parts.iter().zip(0..) {
            let mut random = Pcg64Mcg::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(stream));
            let slot = part.slot.of_mut(&mut values);
            match part.start {
                Start::Zeros => {}
                Start::Ones => slot.fill(1.0),
                Start::Normal(deviation) => slot.iter_mut().for_each(|value| *value = deviation * normal(&mut random)),
            }
        }
        values
    }
}
