//! The element-wise parts of the forward pass, compiled for several instruction sets and chosen at run time.
//!
//! `pulp` recompiles what is inlined into a [`Kernel`]; loops are written so that the compiler turns them into vector instructions:
//! fixed numbers of lanes for sums, no branches.

use pulp::{Arch, NullaryFnOnce};

/// Partial sums kept side by side.
pub const LANES: usize = 16;

/// Runs a kernel with the best instructions that this machine has.
pub fn dispatch<K: NullaryFnOnce<Output = ()>>(kernel: K) {
    Arch::new().dispatch(kernel);
}

/// Makes a struct of borrowed arguments a kernel; a macro because the body has to be inlined into each instruction set.
macro_rules! kernel {
    ($name:ident, $run:expr) => {
        impl NullaryFnOnce for $name<'_> {
            type Output = ();

            #[inline(always)]
            fn call(self) {
                ($run)(self)
            }
        }
    };
}
pub(crate) use kernel;

/// Adds a bias to every row and applies GELU, x·Φ(x), in its exact form.
pub struct BiasGelu<'a> {
    /// Rows of `bias.len()` numbers.
    pub rows: &'a mut [f32],
    pub bias: &'a [f32],
}

kernel!(BiasGelu, |BiasGelu { rows, bias }: BiasGelu<'_>| {
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

kernel!(Bias, |Bias { rows, bias }: Bias<'_>| {
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

kernel!(AddNorm, |AddNorm { rows, added, bias, scale, shift, epsilon }: AddNorm<'_>| {
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

/// Σ f(x) in [`LANES`] partial sums.
#[inline(always)]
pub fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += f(*value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| f(*value)).sum::<f32>()
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

/// e^x for x ≤ 0, relative error below 1e-7 · (3 + |x|): 2^n from the exponent bits, the rest by a polynomial on [−½ ln 2, ½ ln 2].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to a whole number, whose bits are then the lowest of the sum.
    const ROUND: f32 = 12_582_912.0;
    let scaled = (x * std::f32::consts::LOG2_E).max(-126.0);
    let shifted = scaled + ROUND;
    let rest = (scaled - (shifted - ROUND)) * std::f32::consts::LN_2;
    let series = 1.0 / 120.0 + rest * (1.0 / 720.0);
    let series = 1.0 / 6.0 + rest * (1.0 / 24.0 + rest * series);
    let value = 1.0 + rest * (1.0 + rest * (0.5 + rest * series));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    value * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close() {
        for step in 0..4000 {
            let x = -f32::from(step as u16) * 0.02;
            let exact = f64::from(x).exp();
            let bound = 1e-7 * (3.0 + f64::from(x).abs());
            assert!((f64::from(exp(x)) - exact).abs() <= bound * exact, "{x}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

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
