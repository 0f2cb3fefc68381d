//! The innermost loops over `f32` arrays: dot product, scaled addition, sums, and a sparse row times a packed panel.
//!
//! On x86-64 with AVX2 and FMA they use `std::arch`; elsewhere a portable twin of eight lanes runs. The choice is made at run time.
//! The two differ in rounding only (fused multiply-add, order of sums), which the tests bound. This is no linear algebra: products
//! of matrices and factorisations are in [`crate::linalg`].
#![allow(unsafe_code, reason = "vector instructions need unsafe; every function checks its lengths before it reads")]

/// Columns of a packed panel, see [`sparse_times_panel`]: 16 floats are one cache line.
pub const PANEL_WIDTH: usize = 16;

/// Σ a·b over the shorter length.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features that the function was compiled for were detected.
        return unsafe { avx2::dot(a, b) };
    }
    portable::dot(a, b)
}

/// y ← y + a·x over the shorter length.
#[inline]
pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features that the function was compiled for were detected.
        return unsafe { avx2::axpy(a, x, y) };
    }
    portable::axpy(a, x, y);
}

/// Σ x and Σ x².
#[inline]
pub fn sum_and_sum_of_squares(x: &[f32]) -> (f32, f32) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features that the function was compiled for were detected.
        return unsafe { avx2::sum_and_sum_of_squares(x) };
    }
    portable::sum_and_sum_of_squares(x)
}

/// Σ `values[e]` · panel row `rows[e]`, where the panel is stored row by row, [`PANEL_WIDTH`] floats each: one column of a sparse
/// matrix from the left side times a strip of a dense one.
///
/// # Panics
/// If a row lies outside the panel.
#[inline]
pub fn sparse_times_panel(rows: &[u32], values: &[f32], panel: &[f32]) -> [f32; PANEL_WIDTH] {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features that the function was compiled for were detected.
        return unsafe { avx2::sparse_times_panel(rows, values, panel) };
    }
    portable::sparse_times_panel(rows, values, panel)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    // The standard library caches both answers: this is a load and a test.
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::PANEL_WIDTH;

    const LANES: usize = 8;
    /// Floats per turn of a loop: four registers hide the latency of the multiply-add.
    const STRIDE: usize = 4 * LANES;

    #[target_feature(enable = "avx2,fma")]
    fn horizontal_sum(v: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[target_feature(enable = "avx2,fma")]
    fn sum_of_four(s: [__m256; 4]) -> f32 {
        horizontal_sum(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])))
    }

    #[target_feature(enable = "avx2,fma")]
    fn load(block: &[f32], register: usize) -> __m256 {
        let lanes = &block[register * LANES..(register + 1) * LANES];
        // SAFETY: the slice holds the eight floats that are read.
        unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
    }

    #[target_feature(enable = "avx2,fma")]
    fn store(block: &mut [f32], register: usize, v: __m256) {
        let lanes = &mut block[register * LANES..(register + 1) * LANES];
        // SAFETY: the slice holds the eight floats that are written.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let len = a.len().min(b.len());
        let (a, b) = (a[..len].chunks_exact(STRIDE), b[..len].chunks_exact(STRIDE));
        let tail: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
        let mut sums = [_mm256_setzero_ps(); 4];
        for (x, y) in a.zip(b) {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_fmadd_ps(load(x, r), load(y, r), *sum);
            }
        }
        sum_of_four(sums) + tail
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
        let len = x.len().min(y.len());
        let factor = _mm256_set1_ps(a);
        let whole = len - len % STRIDE;
        for (x, y) in x[..whole].chunks_exact(STRIDE).zip(y[..whole].chunks_exact_mut(STRIDE)) {
            for r in 0..4 {
                store(y, r, _mm256_fmadd_ps(factor, load(x, r), load(y, r)));
            }
        }
        for (x, y) in x[whole..len].iter().zip(&mut y[whole..len]) {
            *y = a.mul_add(*x, *y);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn sum_and_sum_of_squares(x: &[f32]) -> (f32, f32) {
        let chunks = x.chunks_exact(STRIDE);
        let tail = super::portable::sum_and_sum_of_squares(chunks.remainder());
        let (mut sums, mut squares) = ([_mm256_setzero_ps(); 4], [_mm256_setzero_ps(); 4]);
        for block in chunks {
            for r in 0..4 {
                let v = load(block, r);
                sums[r] = _mm256_add_ps(sums[r], v);
                squares[r] = _mm256_fmadd_ps(v, v, squares[r]);
            }
        }
        (sum_of_four(sums) + tail.0, sum_of_four(squares) + tail.1)
    }

    #[target_feature(enable = "avx2,fma")]
    fn add_row(sums: &mut [__m256; 2], row: u32, value: f32, panel: &[f32]) {
        let from = row as usize * PANEL_WIDTH;
        let line = &panel[from..from + PANEL_WIDTH];
        let factor = _mm256_set1_ps(value);
        sums[0] = _mm256_fmadd_ps(factor, load(line, 0), sums[0]);
        sums[1] = _mm256_fmadd_ps(factor, load(line, 1), sums[1]);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn sparse_times_panel(rows: &[u32], values: &[f32], panel: &[f32]) -> [f32; PANEL_WIDTH] {
        let mut sums = [[_mm256_setzero_ps(); 2]; 4];
        let (row_blocks, value_blocks) = (rows.chunks_exact(4), values.chunks_exact(4));
        for (&row, &value) in row_blocks.remainder().iter().zip(value_blocks.remainder()) {
            add_row(&mut sums[0], row, value, panel);
        }
        for (row, value) in row_blocks.zip(value_blocks) {
            for (s, sum) in sums.iter_mut().enumerate() {
                add_row(sum, row[s], value[s], panel);
            }
        }
        let [a, b, c, d] = sums;
        let mut out = [0.0; PANEL_WIDTH];
        for (half, out) in out.chunks_exact_mut(LANES).enumerate() {
            let sum = _mm256_add_ps(_mm256_add_ps(a[half], b[half]), _mm256_add_ps(c[half], d[half]));
            store(out, 0, sum);
        }
        out
    }
}

/// The twins for processors without AVX2; also what the tests compare the others with.
mod portable {
    use super::PANEL_WIDTH;

    /// Independent partial sums, which a compiler turns into whatever vectors the processor has.
    const LANES: usize = 8;

    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let len = a.len().min(b.len());
        let (a, b) = (a[..len].chunks_exact(LANES), b[..len].chunks_exact(LANES));
        let tail: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
        let mut sums = [0.0; LANES];
        for (x, y) in a.zip(b) {
            for lane in 0..LANES {
                sums[lane] += x[lane] * y[lane];
            }
        }
        sums.iter().sum::<f32>() + tail
    }

    pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y += a * x;
        }
    }

    pub fn sum_and_sum_of_squares(x: &[f32]) -> (f32, f32) {
        let chunks = x.chunks_exact(LANES);
        let tail = chunks.remainder().iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for block in chunks {
            for lane in 0..LANES {
                sums[lane] += block[lane];
                squares[lane] += block[lane] * block[lane];
            }
        }
        (sums.iter().sum::<f32>() + tail.0, squares.iter().sum::<f32>() + tail.1)
    }

    pub fn sparse_times_panel(rows: &[u32], values: &[f32], panel: &[f32]) -> [f32; PANEL_WIDTH] {
        let mut out = [0.0; PANEL_WIDTH];
        for (&row, &value) in rows.iter().zip(values) {
            let from = row as usize * PANEL_WIDTH;
            axpy(value, &panel[from..from + PANEL_WIDTH], &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(len: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-10.0f32..10.0, len)
    }

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0usize..200).prop_flat_map(|len| (vector(len), vector(len)))
    }

    #[test]
    fn hand_computed() {
        assert_eq!(dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 32.0);
        let mut y = [1.0, 1.0];
        axpy(2.0, &[3.0, 4.0], &mut y);
        assert_eq!(y, [7.0, 9.0]);
        assert_eq!(sum_and_sum_of_squares(&[1.0, -2.0, 3.0]), (2.0, 14.0));
    }

    #[test]
    fn the_shorter_operand_decides() {
        assert_eq!(dot(&[2.0; 40], &[1.0; 3]), 6.0);
        let mut y = [0.0; 2];
        axpy(1.0, &[5.0; 70], &mut y);
        assert_eq!(y, [5.0, 5.0]);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_row_outside_the_panel_is_refused() {
        sparse_times_panel(&[1], &[1.0], &[0.0; PANEL_WIDTH]);
    }

    proptest! {
        #[test]
        fn vector_and_portable_twins_agree((a, b) in pair(), factor in -3.0f32..3.0) {
            // Rounding is bounded by the sum of absolute products.
            let bound = 1e-5 * (1.0 + a.iter().zip(&b).map(|(x, y)| (x * y).abs()).sum::<f32>());
            prop_assert!((dot(&a, &b) - portable::dot(&a, &b)).abs() <= bound);

            let (mut fast, mut plain) = (b.clone(), b.clone());
            axpy(factor, &a, &mut fast);
            portable::axpy(factor, &a, &mut plain);
            prop_assert!(fast.iter().zip(&plain).all(|(x, y)| (x - y).abs() <= 1e-4));

            let (fast, plain) = (sum_and_sum_of_squares(&a), portable::sum_and_sum_of_squares(&a));
            let size = 1.0 + a.iter().map(|x| x.abs()).sum::<f32>();
            prop_assert!((fast.0 - plain.0).abs() <= 1e-5 * size);
            prop_assert!((fast.1 - plain.1).abs() <= 1e-4 * size);
        }

        #[test]
        fn panel_twins_agree(entries in prop::collection::vec((0u32..9, -5.0f32..5.0), 0..40), panel in vector(9 * PANEL_WIDTH)) {
            let (rows, values): (Vec<u32>, Vec<f32>) = entries.into_iter().unzip();
            let fast = sparse_times_panel(&rows, &values, &panel);
            let plain = portable::sparse_times_panel(&rows, &values, &panel);
            prop_assert!(fast.iter().zip(&plain).all(|(x, y)| (x - y).abs() <= 1e-2));
        }
    }
}
