//! Partial whitening: vectors of an encoder lie in a narrow cone, in which nearly everything resembles everything. Taking off the mean
//! and evening out the principal axes lets cosines tell items apart (Su et al. 2021, there with full whitening).
//!
//! z = (v − mean) · U_k · s^(−p), at length 1, with s the singular values of the centred vectors and k leading axes. p = ½ is half way;
//! p = 1 would raise the noise of the last axes to the level of the first.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{linalg, vectors::is_known};

/// Rows that are summed at a time.
const BAND_ROWS: usize = 1024;
/// A singular value below this part of the greatest is noise; its axis is left out.
const SINGULAR_SHARE_MIN: f64 = 1e-6;

/// The map from an encoder's vectors to whitened ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Whitening {
    mean: Vec<f32>,
    /// One row of `mean.len()` numbers per axis.
    axes: Vec<f32>,
}

impl Whitening {
    /// Fits it on rows of `dims` numbers, keeping at most `axes_max` axes; rows of zeros don't count. None if there are fewer than two
    /// different rows.
    pub fn fit(rows: &[f32], dims: usize, axes_max: usize, power: f64) -> Option<Self> {
        let known: Vec<&[f32]> = rows.chunks_exact(dims.max(1)).filter(|row| is_known(row)).collect();
        let mean = mean(&known, dims)?;
        let (squares, directions) = linalg::eigen(&scatter(&known, &mean), dims)?;
        let singular: Vec<f64> = squares.iter().map(|square| square.max(0.0).sqrt()).collect();
        let kept = singular.iter().take(axes_max).take_while(|value| **value > singular[0] * SINGULAR_SHARE_MIN);
        let kept: Vec<f64> = kept.copied().collect();
        if kept.is_empty() {
            return None;
        }
        let scaled = kept.iter().zip(directions.chunks_exact(dims)).flat_map(|(value, axis)| {
            // In units of the first axis, so that the numbers stay moderate.
            let factor = (value / kept[0]).powf(-power);
            axis.iter().map(move |part| (part * factor) as f32)
        });
        Some(Self { axes: scaled.collect(), mean })
    }

    /// Numbers in a whitened vector.
    pub fn dims(&self) -> usize {
        self.axes.len() / self.mean.len().max(1)
    }

    /// Numbers in a vector that it takes.
    pub fn dims_in(&self) -> usize {
        self.mean.len()
    }

    /// Whitened unit vectors of rows of [`Whitening::dims_in`] numbers; a row of zeros stays one.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let (from, to) = (self.dims_in(), self.dims());
        let mut whitened = vec![0.0; rows.len() / from * to];
        let bands = whitened.par_chunks_mut(BAND_ROWS * to).zip(rows.par_chunks(BAND_ROWS * from));
        bands.for_each(|(out, rows)| self.apply_band(rows, out));
        whitened
    }

    fn apply_band(&self, rows: &[f32], out: &mut [f32]) {
        let from = self.dims_in();
        let centred: Vec<f32> = rows
            .chunks_exact(from)
            .flat_map(|row| row.iter().zip(&self.mean).map(|(value, mean)| value - mean))
            .collect();
        linalg::multiply_transposed(&centred, &self.axes, from, out);
        for (row, out) in rows.chunks_exact(from).zip(out.chunks_exact_mut(self.dims())) {
            let norm = out.iter().map(|value| value * value).sum::<f32>().sqrt();
            let factor = if is_known(row) && norm > 0.0 { norm.recip() } else { 0.0 };
            out.iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        (self.mean.len() + self.axes.len()) * size_of::<f32>()
    }
}

fn mean(rows: &[&[f32]], dims: usize) -> Option<Vec<f32>> {
    if rows.len() < 2 {
        return None;
    }
    let mut sums = vec![0.0_f64; dims];
    for row in rows {
        sums.iter_mut().zip(*row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    Some(sums.into_iter().map(|sum| (sum / rows.len() as f64) as f32).collect())
}

/// Σ (v − mean)(v − mean)ᵀ, band by band in fixed order, so that it doesn't depend on the number of threads.
fn scatter(rows: &[&[f32]], mean: &[f32]) -> Vec<f64> {
    let dims = mean.len();
    let centre = |band: &[&[f32]]| -> Vec<f32> {
        band.iter().flat_map(|row| row.iter().zip(mean).map(|(value, mean)| value - mean)).collect()
    };
    let bands: Vec<Vec<f32>> = rows.par_chunks(BAND_ROWS).map(|band| linalg::gram(&centre(band), dims)).collect();
    let mut total = vec![0.0_f64; dims * dims];
    for band in bands {
        total.iter_mut().zip(band).for_each(|(sum, value)| *sum += f64::from(value));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cloud that is long in one direction and far from the origin.
    fn cloud() -> Vec<f32> {
        let row = |at: i32| {
            let (a, b) = ((at % 7 - 3) as f32, (at % 5 - 2) as f32);
            [10.0 + 4.0 * a, 5.0 + b, 1.0]
        };
        (0..35).flat_map(row).collect()
    }

    #[test]
    fn full_whitening_evens_out_the_axes() {
        let rows = cloud();
        let whitening = Whitening::fit(&rows, 3, 3, 1.0).unwrap();
        assert_eq!(whitening.dims(), 2, "the third number never varies");
        let centred: Vec<f32> = rows.chunks(3).flat_map(|row| [row[0] - 10.0, row[1] - 5.0]).collect();
        // Before normalisation both axes have the same spread: (4a, b) becomes a multiple of (a/2, b/√2), their deviations being 2 and √2.
        for (whitened, row) in whitening.apply(&rows).chunks(2).zip(centred.chunks(2)) {
            let (x, y) = (row[0] / 8.0, row[1] / 2.0_f32.sqrt());
            let norm = (x * x + y * y).sqrt();
            if norm == 0.0 {
                continue;
            }
            assert!((whitened[0].abs() - x.abs() / norm).abs() < 1e-4, "{whitened:?} {x} {y}");
        }
    }

    #[test]
    fn unknown_rows_neither_count_nor_change() {
        let mut rows = cloud();
        let plain = Whitening::fit(&rows, 3, 2, 0.5).unwrap();
        rows.extend([0.0; 3]);
        let whitening = Whitening::fit(&rows, 3, 2, 0.5).unwrap();
        assert_eq!(whitening, plain);
        assert_eq!(whitening.apply(&rows)[70..], [0.0, 0.0]);
    }

    #[test]
    fn too_few_rows_give_none() {
        assert!(Whitening::fit(&[], 3, 2, 0.5).is_none());
        assert!(Whitening::fit(&[1.0, 2.0, 3.0], 3, 2, 0.5).is_none());
        assert!(Whitening::fit(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], 3, 2, 0.5).is_none());
    }
}
