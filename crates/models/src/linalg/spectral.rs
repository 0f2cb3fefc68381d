//! Eigenvectors of small symmetric matrices, and products of a band of rows with many rows.

use faer::{Accum, MatMut, MatRef, Par, Side, linalg::matmul::matmul};

/// Eigenvalues of a symmetric n × n matrix in falling order, with their unit eigenvectors as rows; none if the numbers break down.
/// O(n³), for n of some hundreds.
pub fn eigen(a: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let matrix = MatRef::from_row_major_slice(a, n, n);
    let decomposition = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let (values, vectors) = (decomposition.S().column_vector(), decomposition.U());
    let falling = || (0..n).rev();
    let rows = falling().flat_map(|column| (0..n).map(move |row| vectors[(row, column)]));
    let values: Vec<f64> = falling().map(|at| values[at]).collect();
    values.iter().all(|value| value.is_finite()).then(|| (values, rows.collect()))
}

/// out ← left · rightᵀ for rows of `width` numbers: one row of `out` per row of `left`, one column per row of `right`. On the calling
/// thread.
pub fn multiply_transposed(left: &[f32], right: &[f32], width: usize, out: &mut [f32]) {
    let (rows, columns) = (left.len() / width, right.len() / width);
    let left = MatRef::from_row_major_slice(left, rows, width);
    let right = MatRef::from_column_major_slice(right, width, columns);
    matmul(MatMut::from_row_major_slice_mut(out, rows, columns), Accum::Replace, left, right, 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_two_by_two_matrix_by_hand() {
        // (2 1; 1 2) has the eigenvalues 3 and 1 along the diagonals.
        let (values, vectors) = eigen(&[2.0, 1.0, 1.0, 2.0], 2).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(values[0], 3.0) && close(values[1], 1.0));
        assert!(close(vectors[0], vectors[1]) && close(vectors[2], -vectors[3]));
    }

    proptest! {
        #[test]
        fn the_eigenbasis_makes_a_matrix_diagonal(n in 1usize..30, numbers in prop::collection::vec(-2.0f64..2.0, 900)) {
            let a: Vec<f64> = (0..n * n).map(|at| numbers[(at / n).max(at % n) * 30 + (at / n).min(at % n)]).collect();
            let (values, vectors) = eigen(&a, n).unwrap();
            prop_assert!(values.is_sorted_by(|one, next| one >= next));
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            for (k, vector) in vectors.chunks_exact(n).enumerate() {
                for (other, against) in vectors.chunks_exact(n).enumerate() {
                    prop_assert!((dot(vector, against) - f64::from(u8::from(k == other))).abs() < 1e-9);
                }
                for (row, value) in a.chunks_exact(n).zip(vector) {
                    prop_assert!((dot(row, vector) - values[k] * value).abs() < 1e-9 * n as f64);
                }
            }
        }
    }

    #[test]
    fn rows_meet_rows() {
        let mut out = [0.0; 6];
        multiply_transposed(&[1.0, 2.0, 3.0, 4.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2, &mut out);
        assert_eq!(out, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
    }
}
