//! Dense symmetric matrices in `f32` (inverse, product with a sparse matrix), small Cholesky solves and eigenvectors, and the sweep operator in `f64`.
//!
//! Only what the linear models need, up to about 30,000 rows: one matrix of n² floats and strips of n × 256. The matrix library stays
//! hidden here. Work is spread over the current rayon pool; results do not depend on the number of threads.

mod spectral;

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::DenseSolveCore;
use faer::reborrow::{IntoConst, ReborrowMut};
use faer::{Accum, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

use crate::kernels::{self, PANEL_WIDTH};
pub use spectral::{eigen, multiply_transposed};

/// Columns that one step of the inverse eliminates: wide enough that the update runs at the speed of a matrix product.
const PIVOT_BLOCK: usize = 256;
/// Rows and columns of a tile, the unit of parallel work.
const TILE: usize = 1024;

/// A matrix is not positive definite, as far as `f32` can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite at row {row} of {n}")]
pub struct NotPositiveDefinite {
    /// The first row (or a row of the first block) whose pivot isn't above 0.
    pub row: usize,
    /// Rows of the matrix.
    pub n: usize,
}

/// A symmetric n × n matrix, row by row. Only the lower triangle (column ≤ row) means anything; the rest is scratch.
#[derive(Clone, Debug)]
pub struct Symmetric {
    n: usize,
    values: Vec<f32>,
}

impl Symmetric {
    /// A matrix of zeros.
    pub fn zeros(n: usize) -> Self {
        Self { n, values: vec![0.0; n * n] }
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The value at a row and a column, either way round.
    pub fn get(&self, row: usize, column: usize) -> f32 {
        self.values[row.max(column) * self.n + row.min(column)]
    }

    /// The rows, for filling: of row `i` the entries 0 to `i` count.
    pub fn rows_mut(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
        let n = self.n;
        self.values.par_chunks_mut(n.max(1)).enumerate().map(move |(row, values)| (row, &mut values[..=row]))
    }

    /// Replaces the matrix by its inverse, in place.
    ///
    /// The blocked sweep operator (Goodnight, The American Statistician 1979): each step inverts a block on the diagonal and updates
    /// the whole lower triangle, n³ operations in all, nearly all of them in matrix products. Takes as long as a Cholesky
    /// factorisation followed by the inverse of its factor, with a third of the memory.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`], after which the contents mean nothing.
    pub fn invert(&mut self) -> Result<(), NotPositiveDefinite> {
        let width = PIVOT_BLOCK.min(self.n);
        let (mut strip, mut scaled) = (vec![0.0; self.n * width], vec![0.0; self.n * width]);
        for from in (0..self.n).step_by(PIVOT_BLOCK) {
            let width = width.min(self.n - from);
            self.sweep(from, width, &mut strip[..self.n * width], &mut scaled[..self.n * width])?;
        }
        self.rows_mut().for_each(|(_, row)| row.iter_mut().for_each(|value| *value = -*value));
        Ok(())
    }

    /// One step of [`Symmetric::invert`]: after all of them the matrix holds the negative inverse.
    fn sweep(
        &mut self,
        from: usize,
        width: usize,
        strip: &mut [f32],
        scaled: &mut [f32],
    ) -> Result<(), NotPositiveDefinite> {
        let n = self.n;
        self.copy_strip(from, width, strip);
        let strip = MatRef::from_row_major_slice(strip, n, width);
        let pivot = strip.subrows(from, width);
        let factor = pivot.llt(Side::Lower).map_err(|_| NotPositiveDefinite { row: from, n })?;
        let pivot_inverse = factor.inverse();
        // The library lets not-a-number through.
        if !(0..width).all(|i| pivot_inverse[(i, i)] > 0.0 && pivot_inverse[(i, i)].is_finite()) {
            return Err(NotPositiveDefinite { row: from, n });
        }
        let mut scaled = MatMut::from_row_major_slice_mut(scaled, n, width);
        multiply_rows(scaled.rb_mut(), strip, pivot_inverse.as_ref());
        let scaled = scaled.into_const();
        let whole = MatMut::from_row_major_slice_mut(&mut self.values, n, n);
        lower_tiles(whole).into_par_iter().for_each(|tile| tile.subtract_product(scaled, strip));
        self.store_strip(from, width, scaled, pivot_inverse.as_ref());
        Ok(())
    }

    /// Copies columns `from..from + width` of all rows, row by row.
    fn copy_strip(&self, from: usize, width: usize, strip: &mut [f32]) {
        let n = self.n;
        strip.par_chunks_mut(width).enumerate().for_each(|(row, line)| {
            let stored = (row + 1).saturating_sub(from).min(width);
            line[..stored].copy_from_slice(&self.values[row * n + from..][..stored]);
            for (column, value) in (from..).zip(line.iter_mut()).skip(stored) {
                *value = self.values[column * n + row];
            }
        });
    }

    /// Writes the columns of a swept block back: the scaled strip, and the negative inverse on the diagonal.
    fn store_strip(&mut self, from: usize, width: usize, scaled: MatRef<'_, f32>, pivot_inverse: MatRef<'_, f32>) {
        let n = self.n;
        self.values.par_chunks_mut(n).enumerate().skip(from).for_each(|(row, values)| {
            if row >= from + width {
                for (column, value) in values[from..from + width].iter_mut().enumerate() {
                    *value = scaled[(row, column)];
                }
                return;
            }
            let pivot_row = row - from;
            for (earlier, value) in values[..from].iter_mut().enumerate() {
                *value = scaled[(earlier, pivot_row)];
            }
            for (column, value) in values[from..=row].iter_mut().enumerate() {
                *value = -pivot_inverse[(pivot_row, column)];
            }
        });
    }

    /// This matrix times a sparse one: n × columns, row by row. Costs n · entries operations, not n³.
    pub fn times_sparse(&self, right: &SparseColumns) -> Vec<f32> {
        let columns = right.n_columns();
        let mut product = vec![0.0; self.n * columns];
        if columns == 0 {
            return product;
        }
        let strips = product.par_chunks_mut(PANEL_WIDTH * columns).enumerate();
        strips.for_each_init(
            || vec![0.0; self.n * PANEL_WIDTH],
            |panel, (strip, rows)| {
                self.pack_panel(strip * PANEL_WIDTH, panel);
                for column in 0..columns {
                    let (at, values) = right.column(column);
                    let sums = kernels::sparse_times_panel(at, values, panel);
                    for (line, sum) in rows.chunks_exact_mut(columns).zip(sums) {
                        line[column] = sum;
                    }
                }
            },
        );
        product
    }

    /// Columns `from..from + PANEL_WIDTH` of all rows, packed; columns beyond the matrix are left as they are.
    fn pack_panel(&self, from: usize, panel: &mut [f32]) {
        let width = PANEL_WIDTH.min(self.n - from);
        for (row, line) in panel.chunks_exact_mut(PANEL_WIDTH).enumerate() {
            if row >= from + width {
                line[..width].copy_from_slice(&self.values[row * self.n + from..][..width]);
            } else {
                line[..width].iter_mut().zip(from..).for_each(|(value, column)| *value = self.get(row, column));
            }
        }
    }

    /// The whole matrix, row by row, the upper triangle filled in.
    pub fn into_full(mut self) -> Vec<f32> {
        let n = self.n;
        // In square blocks, so that the transposed side stays in cache.
        const BLOCK: usize = 64;
        for top in (0..n).step_by(BLOCK) {
            for left in (0..=top).step_by(BLOCK) {
                for row in top..(top + BLOCK).min(n) {
                    for column in left..(left + BLOCK).min(row) {
                        self.values[column * n + row] = self.values[row * n + column];
                    }
                }
            }
        }
        self.values
    }
}

/// A sparse matrix by columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseColumns {
    offsets: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl SparseColumns {
    /// A matrix from the entries (row, value) of each column.
    pub fn from_columns(columns: &[Vec<(u32, f32)>]) -> Self {
        let mut offsets = vec![0];
        offsets.extend(columns.iter().scan(0, |end, column| {
            *end += column.len();
            Some(*end)
        }));
        let (rows, values) = columns.iter().flatten().copied().unzip();
        Self { offsets, rows, values }
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of entries.
    pub fn n_entries(&self) -> usize {
        self.rows.len()
    }

    /// Rows and values of the entries of a column.
    pub fn column(&self, column: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[column]..self.offsets[column + 1];
        (&self.rows[range.clone()], &self.values[range])
    }

    /// The values of a column, for changing, with their rows.
    pub fn column_mut(&mut self, column: usize) -> (&[u32], &mut [f32]) {
        let range = self.offsets[column]..self.offsets[column + 1];
        (&self.rows[range.clone()], &mut self.values[range])
    }
}

/// A part of the lower triangle.
struct Tile<'a> {
    row: usize,
    column: usize,
    values: MatMut<'a, f32>,
}

impl Tile<'_> {
    /// tile ← tile − left·rightᵀ, restricted to the tile's rows and columns.
    fn subtract_product(mut self, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
        let left = left.subrows(self.row, self.values.nrows());
        let right = right.subrows(self.column, self.values.ncols()).transpose();
        if self.row > self.column {
            matmul(self.values.rb_mut(), Accum::Add, left, right, -1.0, Par::Seq);
            return;
        }
        let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        triangular::matmul(self.values.rb_mut(), lower, Accum::Add, left, all, right, all, -1.0, Par::Seq);
    }
}

/// Cuts the lower triangle (with the diagonal) of a square matrix into tiles.
fn lower_tiles(matrix: MatMut<'_, f32>) -> Vec<Tile<'_>> {
    let mut tiles = Vec::new();
    let mut right = matrix;
    let mut column = 0;
    while right.ncols() > 0 {
        let width = TILE.min(right.ncols());
        let (strip, rest) = right.split_at_col_mut(width);
        let (_, mut below) = strip.split_at_row_mut(column);
        let mut row = column;
        while below.nrows() > 0 {
            let height = TILE.min(below.nrows());
            let (values, rest) = below.split_at_row_mut(height);
            tiles.push(Tile { row, column, values });
            row += height;
            below = rest;
        }
        column += width;
        right = rest;
    }
    tiles
}

/// out ← left·right, a band of rows at a time in parallel.
fn multiply_rows(out: MatMut<'_, f32>, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    out.par_row_chunks_mut(TILE).zip(left.par_row_chunks(TILE)).for_each(|(out, left)| {
        matmul(out, Accum::Replace, left, right, 1.0, Par::Seq);
    });
}

/// AᵀA for `a` with rows of `width` floats, as a full width × width matrix.
///
/// The rows are summed in bands of fixed size in fixed order, so that the result is the same with any number of threads.
pub fn gram(a: &[f32], width: usize) -> Vec<f32> {
    const BAND_ROWS: usize = 4096;
    let product = |band: &[f32]| {
        let band = MatRef::from_row_major_slice(band, band.len() / width, width);
        let mut sum = vec![0.0; width * width];
        let out = MatMut::from_row_major_slice_mut(&mut sum, width, width);
        matmul(out, Accum::Replace, band.transpose(), band, 1.0, Par::Seq);
        sum
    };
    let bands: Vec<Vec<f32>> = a.par_chunks(BAND_ROWS * width).map(product).collect();
    bands.iter().fold(vec![0.0; width * width], |mut total, band| {
        kernels::axpy(1.0, band, &mut total);
        total
    })
}

/// Factors a small symmetric matrix (row by row, lower triangle used) as LLᵀ in place. False when it isn't positive definite.
pub fn cholesky(a: &mut [f32], n: usize) -> bool {
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..(j + 1) * n];
            row[j] = (row[j] - kernels::dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - kernels::dot(&row[..i], &row[..i]);
        if !(pivot > 0.0 && pivot.is_finite()) {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Solves LLᵀx = b in place, given the factor that [`cholesky`] left.
pub fn cholesky_solve(factor: &[f32], n: usize, b: &mut [f32]) {
    for i in 0..n {
        let row = &factor[i * n..(i + 1) * n];
        b[i] = (b[i] - kernels::dot(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..n).rev() {
        let row = &factor[i * n..(i + 1) * n];
        b[i] /= row[i];
        let (before, value) = b.split_at_mut(i);
        kernels::axpy(-value[0], &row[..i], before);
    }
}

/// Sweeps rows `0..pivots` of a symmetric n × n matrix in `f64`, which solves a regression at once: with the cross products of
/// [regressors, outcome] it leaves −(XᵀX)⁻¹, the coefficients in the last column and the residual sum of squares in the corner.
///
/// A regressor that the earlier ones determine (its pivot fell below `tolerance` of its diagonal) is passed over; the answer tells which
/// were swept.
///
/// # Panics
/// If `a` has fewer than n² entries or `pivots` exceeds n.
pub fn sweep(a: &mut [f64], n: usize, pivots: usize, tolerance: f64) -> Vec<bool> {
    let diagonal: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    let mut swept = vec![false; pivots];
    for k in 0..pivots {
        let pivot = a[k * n + k];
        if pivot > tolerance * diagonal[k] && pivot.is_finite() {
            sweep_row(a, n, k);
            swept[k] = true;
        }
    }
    swept
}

fn sweep_row(a: &mut [f64], n: usize, k: usize) {
    let pivot = a[k * n + k];
    let row: Vec<f64> = a[k * n..(k + 1) * n].to_vec();
    for (i, &factor) in row.iter().enumerate().filter(|(i, _)| *i != k) {
        let factor = factor / pivot;
        for j in 0..n {
            a[i * n + j] -= factor * row[j];
        }
        a[i * n + k] = factor;
        a[k * n + i] = factor;
    }
    a[k * n + k] = -1.0 / pivot;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A well-conditioned symmetric matrix from a seed.
    fn planted(n: usize, seed: u32) -> Symmetric {
        let mut state = seed;
        let mut matrix = Symmetric::zeros(n);
        for row in 0..n {
            for column in 0..=row {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                matrix.values[row * n + column] = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            }
            matrix.values[row * n + row] += 2.0 * (n as f32).sqrt() + 1.0;
        }
        matrix
    }

    /// Largest deviation of A·A⁻¹ from the identity.
    fn residual(matrix: &Symmetric, inverse: &Symmetric, rows: impl Iterator<Item = usize>) -> f64 {
        let n = matrix.n();
        let entry = |i, j| (0..n).map(|k| f64::from(matrix.get(i, k)) * f64::from(inverse.get(k, j))).sum::<f64>();
        rows.flat_map(|i| (0..n).map(move |j| (i, j)))
            .map(|(i, j)| (entry(i, j) - if i == j { 1.0 } else { 0.0 }).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn inverse_of_a_two_by_two_matrix() {
        let mut matrix = Symmetric { n: 2, values: vec![4.0, 99.0, 1.0, 2.0] };
        matrix.invert().unwrap();
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(close(matrix.get(0, 0), 2.0 / 7.0) && close(matrix.get(1, 1), 4.0 / 7.0));
        assert!(close(matrix.get(0, 1), -1.0 / 7.0) && close(matrix.get(1, 0), -1.0 / 7.0));
    }

    #[test]
    fn inverse_across_blocks_and_tiles() {
        for n in [PIVOT_BLOCK + 1, 2 * PIVOT_BLOCK, TILE + 77] {
            let matrix = planted(n, 7);
            let mut inverse = matrix.clone();
            inverse.invert().unwrap();
            let error = residual(&matrix, &inverse, [0, n / 3, n - 1].into_iter());
            assert!(error < 1e-5, "n {n}: {error}");
        }
    }

    #[test]
    fn an_indefinite_matrix_and_not_a_number_are_refused() {
        let mut indefinite = Symmetric { n: 2, values: vec![1.0, 0.0, 2.0, 1.0] };
        assert_eq!(indefinite.invert(), Err(NotPositiveDefinite { row: 0, n: 2 }));
        let mut broken = Symmetric { n: 2, values: vec![1.0, 0.0, 0.0, f32::NAN] };
        assert!(broken.invert().is_err());
        let mut late = planted(PIVOT_BLOCK + 3, 1);
        let row = PIVOT_BLOCK + 2;
        late.values[row * late.n + row] = -1.0;
        assert_eq!(late.invert().unwrap_err().row, PIVOT_BLOCK);
    }

    #[test]
    fn sweeping_solves_a_regression_and_passes_over_a_copy() {
        // y = 3 + 2x, with x given twice.
        let rows = [[1.0, 0.0, 0.0, 3.0], [1.0, 1.0, 1.0, 5.0], [1.0, 2.0, 2.0, 7.0]];
        let mut products = vec![0.0; 16];
        for row in rows {
            (0..16).for_each(|at| products[at] += row[at / 4] * row[at % 4]);
        }
        let swept = sweep(&mut products, 4, 3, 1e-9);
        assert_eq!(swept, [true, true, false]);
        assert!((products[3] - 3.0).abs() < 1e-12 && (products[7] - 2.0).abs() < 1e-12 && products[15].abs() < 1e-12);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn inverse_and_sparse_product(n in 1usize..70, seed in any::<u32>(), entries in prop::collection::vec((0u32..70, 0usize..70, -2.0f32..2.0), 0..80)) {
            let matrix = planted(n, seed);
            let mut inverse = matrix.clone();
            inverse.invert().unwrap();
            prop_assert!(residual(&matrix, &inverse, 0..n) < 1e-5);

            let mut columns = vec![Vec::new(); n + 1];
            for (row, column, value) in entries.into_iter().filter(|(row, column, _)| (*row as usize) < n && *column <= n) {
                columns[column].push((row, value));
            }
            let product = matrix.times_sparse(&SparseColumns::from_columns(&columns));
            for (at, &value) in product.iter().enumerate() {
                let (row, column) = (at / (n + 1), at % (n + 1));
                let expected: f32 = columns[column].iter().map(|(k, v)| matrix.get(row, *k as usize) * v).sum();
                prop_assert!((value - expected).abs() < 1e-3);
            }

            let full = matrix.clone().into_full();
            prop_assert!((0..n * n).all(|at| full[at] == matrix.get(at / n, at % n)));
        }

        #[test]
        fn small_solve(n in 1usize..40, seed in any::<u32>()) {
            let matrix = planted(n, seed);
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
            let mut b: Vec<f32> = (0..n).map(|i| (0..n).map(|j| matrix.get(i, j) * x[j]).sum()).collect();
            let mut factor = matrix.values.clone();
            prop_assert!(cholesky(&mut factor, n));
            cholesky_solve(&factor, n, &mut b);
            prop_assert!(b.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-3));
        }

        #[test]
        fn gram_is_the_sum_of_outer_products(rows in prop::collection::vec(prop::collection::vec(-3.0f32..3.0, 3), 1..50)) {
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let product = gram(&flat, 3);
            for at in 0..9 {
                let expected: f32 = rows.iter().map(|row| row[at / 3] * row[at % 3]).sum();
                prop_assert!((product[at] - expected).abs() < 1e-3);
            }
        }
    }
}
