//! Vectors of all items, laid out for scoring them at once.

use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;
use zhiyin_kernels::{dispatch, kernel};

/// Items that lie side by side: sums for so many are made at a time, none of which has to wait for another.
const WIDTH: usize = 32;

/// Vectors in panels of [`WIDTH`] items: first the first number of each, then the second, and so on. Items beyond the last have zeros.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panels {
    dims: usize,
    n_items: usize,
    numbers: Vec<f32>,
}

impl Panels {
    /// From vectors row by row.
    pub fn from_rows(rows: &[f32], dims: usize) -> Self {
        let mut panels = Self { dims, n_items: 0, numbers: Vec::new() };
        (0..).zip(rows.chunks_exact(dims)).for_each(|(item, row)| panels.set(item, row));
        panels
    }

    /// Items that there are.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Gives an item a vector; items before it that have none get zeros.
    pub fn set(&mut self, item: ItemIx, vector: &[f32]) {
        self.n_items = self.n_items.max(item as usize + 1);
        let panels = self.n_items.div_ceil(WIDTH);
        self.numbers.resize(panels * WIDTH * self.dims, 0.0);
        let first = self.first(item);
        let places = self.numbers[first..].iter_mut().step_by(WIDTH);
        places.zip(vector).for_each(|(place, value)| *place = *value);
    }

    fn first(&self, item: ItemIx) -> usize {
        item as usize / WIDTH * WIDTH * self.dims + item as usize % WIDTH
    }

    /// The numbers of an item's vector.
    pub fn vector(&self, item: ItemIx) -> Option<impl Iterator<Item = f32> + '_> {
        let is_there = (item as usize) < self.n_items;
        is_there.then(|| self.numbers[self.first(item)..].iter().step_by(WIDTH).take(self.dims).copied())
    }

    /// Adds the dot product of a state with each item's vector.
    pub fn add_dots(&self, state: &[f32], out: &mut [f32]) {
        dispatch(AddDots { state, panels: &self.numbers, out });
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }
}

struct AddDots<'a> {
    state: &'a [f32],
    panels: &'a [f32],
    out: &'a mut [f32],
}

kernel!(AddDots, AddDots { state, panels, out } => {
    for (out, panel) in out.chunks_mut(WIDTH).zip(panels.chunks_exact(state.len() * WIDTH)) {
        let mut sums = [0.0; WIDTH];
        for (row, factor) in panel.as_chunks::<WIDTH>().0.iter().zip(state) {
            for lane in 0..WIDTH {
                sums[lane] += factor * row[lane];
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_and_are_multiplied_exactly() {
        let rows: Vec<f32> = (0..70 * 3).map(|at| (at % 11) as f32 - 5.0).collect();
        let mut panels = Panels::from_rows(&rows, 3);
        let back: Vec<f32> = (0..70).filter_map(|item| panels.vector(item)).flatten().collect();
        assert_eq!(back, rows);
        let mut out = vec![1.0; 70];
        panels.add_dots(&[1.0, -2.0, 0.5], &mut out);
        for (found, row) in out.iter().zip(rows.chunks(3)) {
            assert_eq!(*found, 1.0 + row[0] - 2.0 * row[1] + 0.5 * row[2]);
        }
        panels.set(75, &[1.0, 2.0, 3.0]);
        assert_eq!(panels.vector(75).unwrap().collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert_eq!(panels.vector(72).unwrap().sum::<f32>(), 0.0);
        assert!(panels.vector(76).is_none() && panels.n_items() == 76);
    }
}
