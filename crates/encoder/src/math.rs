//! The element-wise parts of the forward pass.

use zhiyin_kernels::{exp, kernel, sum};

/// Adds a bias to every row and applies GELU, x·Φ(x), in its exact form.
pub struct BiasGelu<'a> {
    /// Rows of `bias.len()` numbers.
    pub rows: &'a mut [f32],
    pub bias: &'a [f32],
}

kernel!(BiasGelu, BiasGelu { rows, bias } => {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value = gelu(*value + bias);
        }
    }
});

/// Adds a bias to every row.
pub struct Bias<'a> {
    pub rows: &'a mut [f32],
    pub bias: &'a [f32],
}

kernel!(Bias, Bias { rows, bias } => {
    for row in rows.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
});

/// rows ← norm(rows + added + bias): the end of each half of a layer.
pub struct AddNorm<'a> {
    pub rows: &'a mut [f32],
    /// As many numbers as `rows`.
    pub added: &'a [f32],
    pub bias: &'a [f32],
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    pub epsilon: f32,
}

kernel!(AddNorm, AddNorm { rows, added, bias, scale, shift, epsilon } => {
    let width = bias.len();
    for (row, added) in rows.chunks_exact_mut(width).zip(added.chunks_exact(width)) {
        for ((value, added), bias) in row.iter_mut().zip(added).zip(bias) {
            *value += added + bias;
        }
        normalise(row, scale, shift, epsilon);
    }
});

/// Brings a row to mean 0 and variance 1, then scales and shifts it.
#[inline(always)]
pub fn normalise(row: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mean = sum(row, |value| value) / count;
    let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
    let factor = 1.0 / (variance + epsilon).sqrt();
    for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
        *value = (*value - mean) * factor * scale + shift;
    }
}

/// x·Φ(x) with Φ from the error function of Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the constants are those of the source")]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = 0.5 * series * exp(-z * z);
    // Φ(x) = 1 − tail for x ≥ 0 and tail below.
    let positive = x.max(0.0);
    positive - x.abs() * tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_has_its_known_values() {
        // x·Φ(x) with Φ from a table of the normal distribution.
        let known = [(0.0, 0.0), (1.0, 0.841_344_7), (-1.0, -0.158_655_25), (2.5, 2.484_475_8), (-10.0, 0.0)];
        for (x, y) in known {
            assert!((gelu(x) - y).abs() < 1e-6, "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn a_normalised_row_has_mean_0_and_variance_1() {
        let mut row: Vec<f32> = (0..21).map(|at| (at * at) as f32).collect();
        normalise(&mut row, &[1.0; 21], &[0.0; 21], 0.0);
        assert!(sum(&row, |value| value).abs() < 1e-4);
        assert!((sum(&row, |value| value * value) / 21.0 - 1.0).abs() < 1e-4);
    }
}
