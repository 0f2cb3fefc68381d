//! Products of matrices, row by row in flat arrays. The matrix library stays hidden here.
//!
//! Each runs on one thread: work is shared out by histories, see [`crate::train`].

use faer::{Accum, Par, linalg::matmul::matmul};
pub use faer::{MatMut, MatRef};

/// Rows of `columns` numbers.
pub fn rows(numbers: &[f32], columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(numbers, numbers.len() / columns, columns)
}

/// Rows of `columns` numbers, for writing.
pub fn rows_mut(numbers: &mut [f32], columns: usize) -> MatMut<'_, f32> {
    let count = numbers.len() / columns;
    MatMut::from_row_major_slice_mut(numbers, count, columns)
}

/// `count` rows of `columns` numbers that begin `stride` numbers after each other.
pub fn strided(numbers: &[f32], count: usize, columns: usize, stride: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice_with_stride(&numbers[..(count - 1) * stride + columns], count, columns, stride)
}

/// The same, for writing.
pub fn strided_mut(numbers: &mut [f32], count: usize, columns: usize, stride: usize) -> MatMut<'_, f32> {
    let numbers = &mut numbers[..(count - 1) * stride + columns];
    // The library's own function for rows takes the stride for that of columns.
    MatMut::from_column_major_slice_with_stride_mut(numbers, columns, count, stride).transpose_mut()
}

/// out ← scale · left · right.
pub fn set(out: MatMut<'_, f32>, left: MatRef<'_, f32>, right: MatRef<'_, f32>, scale: f32) {
    matmul(out, Accum::Replace, left, right, scale, Par::Seq);
}

/// out ← out + scale · left · right.
pub fn add(out: MatMut<'_, f32>, left: MatRef<'_, f32>, right: MatRef<'_, f32>, scale: f32) {
    matmul(out, Accum::Add, left, right, scale, Par::Seq);
}

/// inputs · map, for rows of `map.rows` numbers.
pub fn through(inputs: &[f32], map: MatRef<'_, f32>) -> Vec<f32> {
    let inputs = rows(inputs, map.nrows());
    let mut out = vec![0.0; inputs.nrows() * map.ncols()];
    set(rows_mut(&mut out, map.ncols()), inputs, map, 1.0);
    out
}

/// The way back of [`through`]: returns the derivatives by the inputs, and adds those by the map to `gradient`.
pub fn back(inputs: &[f32], map: MatRef<'_, f32>, slopes: &[f32], gradient: &mut [f32]) -> Vec<f32> {
    let slopes = rows(slopes, map.ncols());
    add(rows_mut(gradient, map.ncols()), rows(inputs, map.nrows()).transpose(), slopes, 1.0);
    let mut below = vec![0.0; inputs.len()];
    set(rows_mut(&mut below, map.nrows()), slopes, map.transpose(), 1.0);
    below
}
