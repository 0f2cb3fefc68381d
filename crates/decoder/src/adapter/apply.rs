//! What an adapter adds to a product, and how that is differentiated.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};

use super::{Adapter, Map, Place};

/// Adds (α/r)·B·A·x to the outputs of a map for each row x. `rows` are rows of its inputs; `out` has as many rows of `width` numbers.
pub fn adapt(adapter: &Adapter, layer: usize, map: Map, rows: &[f32], out: &mut [f32], width: usize) {
    for place in adapter.of(layer, map) {
        let low = low(adapter, place, rows);
        let count = rows.len() / place.inputs;
        let up = MatRef::from_row_major_slice(&adapter.values[place.up()], place.outputs, place.rank);
        let low = MatRef::from_column_major_slice(&low, place.rank, count);
        // Seen as columns, since these are what lies together.
        let out = &mut out[place.first..(count - 1) * width + place.first + place.outputs];
        let out = MatMut::from_column_major_slice_with_stride_mut(out, place.outputs, count, width);
        matmul(out, Accum::Add, up, low, adapter.scale(), Par::rayon(0));
    }
}

/// A·x of each row: rows of as many numbers as the rank.
fn low(adapter: &Adapter, place: &Place, rows: &[f32]) -> Vec<f32> {
    let count = rows.len() / place.inputs;
    let mut low = vec![0.0; count * place.rank];
    let rows = MatRef::from_row_major_slice(rows, count, place.inputs);
    let down = MatRef::from_column_major_slice(&adapter.values[place.down()], place.inputs, place.rank);
    let out = MatMut::from_row_major_slice_mut(&mut low, count, place.rank);
    matmul(out, Accum::Replace, rows, down, 1.0, Par::rayon(0));
    low
}

/// One map, on the way back.
pub struct Learning<'a> {
    pub layer: usize,
    pub map: Map,
    /// What the map read: rows of its inputs.
    pub rows: &'a [f32],
    /// What the loss says of its outputs: as many rows of `width` numbers.
    pub slopes: &'a [f32],
    pub width: usize,
}

impl Learning<'_> {
    /// Adds the derivatives by A and B to `gradients`, and those by the inputs to `below`.
    pub fn back(&self, adapter: &Adapter, gradients: &mut [f32], below: &mut [f32]) {
        for place in adapter.of(self.layer, self.map) {
            let Place { inputs, outputs, rank, first, .. } = *place;
            let (count, scale) = (self.rows.len() / inputs, adapter.scale());
            let slopes = &self.slopes[first..(count - 1) * self.width + first + outputs];
            let slopes = MatRef::from_row_major_slice_with_stride(slopes, count, outputs, self.width);
            let low = low(adapter, place, self.rows);
            let low = MatRef::from_row_major_slice(&low, count, rank);
            let by_up = MatMut::from_row_major_slice_mut(&mut gradients[place.up()], outputs, rank);
            matmul(by_up, Accum::Add, slopes.transpose(), low, scale, Par::rayon(0));

            let up = MatRef::from_row_major_slice(&adapter.values[place.up()], outputs, rank);
            let mut by_low = vec![0.0; count * rank];
            let out = MatMut::from_row_major_slice_mut(&mut by_low, count, rank);
            matmul(out, Accum::Replace, slopes, up, scale, Par::rayon(0));
            let by_low = MatRef::from_row_major_slice(&by_low, count, rank);
            let rows = MatRef::from_row_major_slice(self.rows, count, inputs);
            let by_down = MatMut::from_row_major_slice_mut(&mut gradients[place.down()], rank, inputs);
            matmul(by_down, Accum::Add, by_low.transpose(), rows, 1.0, Par::rayon(0));

            let down = MatRef::from_row_major_slice(&adapter.values[place.down()], rank, inputs);
            let below = MatMut::from_row_major_slice_mut(below, count, inputs);
            matmul(below, Accum::Add, by_low, down, 1.0, Par::rayon(0));
        }
    }
}
