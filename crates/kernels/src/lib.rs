//! Loops over flat arrays, compiled for several instruction sets, of which the best is chosen at run time.
//!
//! `pulp` recompiles what is inlined into a [`kernel!`]; loops are written so that the compiler turns them into vector instructions: fixed
//! numbers of lanes for sums, no branches.

pub mod rows;

use pulp::Arch;
pub use pulp::NullaryFnOnce;

/// Partial sums kept side by side.
pub const LANES: usize = 16;

/// Runs a kernel with the best instructions that this machine has.
pub fn dispatch<K: NullaryFnOnce<Output = ()>>(kernel: K) {
    Arch::new().dispatch(kernel);
}

/// Makes a struct of borrowed arguments a kernel. A macro because the body has to be inlined into each instruction set; a closure isn't always.
#[macro_export]
macro_rules! kernel {
    ($name:ident, $arguments:pat => $body:block) => {
        impl $crate::NullaryFnOnce for $name<'_> {
            type Output = ();

            #[inline(always)]
            fn call(self) {
                let $arguments = self;
                $body
            }
        }
    };
}

/// Turns a row into shares of e to its power.
#[inline(always)]
pub fn softmax(row: &mut [f32]) {
    let greatest = greatest(row);
    row.iter_mut().for_each(|value| *value = exp(*value - greatest));
    let factor = 1.0 / sum(row, |value| value);
    row.iter_mut().for_each(|value| *value *= factor);
}

/// The greatest number; minus infinity of none.
#[inline(always)]
pub fn greatest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
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

/// Σ a · b in [`LANES`] partial sums.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (blocks, rest) = a.as_chunks::<LANES>();
    let (others, other_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (block, other) in blocks.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += block[lane] * other[lane];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f32>()
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

/// A number in half precision (IEEE 754 binary16), given in little-endian bytes.
pub fn half(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2_f32.powi(-14),
        31 => sign * if fraction == 0.0 { f32::INFINITY } else { f32::NAN },
        _ => sign * (1.0 + fraction) * 2_f32.powi(exponent - 15),
    }
}

/// The nearest number in half precision, in little-endian bytes; ties go to the even one. What is too large becomes infinite.
pub fn to_half(value: f32) -> [u8; 2] {
    /// Half the way from the greatest number to what would follow it.
    const OVERFLOW: f32 = 65_520.0;
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    let size = value.abs();
    let bits = if size.is_nan() {
        0x7e00
    } else if size >= OVERFLOW {
        0x7c00
    } else if size < 2_f32.powi(-14) {
        // Multiples of 2⁻²⁴; rounding up to 2⁻¹⁴ gives its bits.
        (size * 2_f32.powi(24)).round_ties_even() as u16
    } else {
        let exponent = (size.to_bits() >> 23) as i32 - 127;
        let fraction = (size * 2_f32.powi(10 - exponent)).round_ties_even() as u16;
        // Rounding up to a power of two carries into the exponent.
        ((exponent + 15) as u16) * 1024 + (fraction - 1024)
    };
    (sign | bits).to_le_bytes()
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
    fn sums_and_shares_are_right_beyond_whole_lanes() {
        let row: Vec<f32> = (0..21).map(|at| at as f32).collect();
        assert_eq!((sum(&row, |value| value), dot(&row, &row), greatest(&row)), (210.0, 2870.0, 20.0));
        let mut shares = [0.0, 3_f32.ln()];
        softmax(&mut shares);
        assert!((shares[1] - 0.75).abs() < 1e-6, "{shares:?}");
    }

    #[test]
    fn halves_are_read() {
        let known =
            [([0x00, 0x38], 0.5), ([0x00, 0xbc], -1.0), ([0xff, 0x7b], 65_504.0), ([0x01, 0x00], 2_f32.powi(-24))];
        known.into_iter().for_each(|(bytes, value)| assert_eq!(half(bytes), value));
        assert!(half([0x00, 0x7c]).is_infinite() && half([0x01, 0x7c]).is_nan());
    }

    #[test]
    fn halves_are_written_as_they_are_read_and_others_become_the_nearest() {
        for bits in (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00) {
            assert_eq!(to_half(half(bits.to_le_bytes())), bits.to_le_bytes(), "{bits:#x}");
        }
        let near = |value: f32| half(to_half(value));
        // Neighbours of 1 are 2⁻¹⁰ apart.
        let step = 2_f32.powi(-10);
        assert_eq!((near(1.0 + 0.4 * step), near(1.0 + 0.6 * step)), (1.0, 1.0 + step));
        assert_eq!((near(1.0 + 0.5 * step), near(1.0 + 1.5 * step)), (1.0, 1.0 + 2.0 * step));
        assert_eq!((near(1.999_9), near(65_519.0), near(1e-9)), (2.0, 65_504.0, 0.0));
        assert!(near(65_520.0).is_infinite() && near(f32::NAN).is_nan());
    }

    struct Double<'a>(&'a mut [f32]);

    kernel!(Double, Double(row) => { row.iter_mut().for_each(|value| *value *= 2.0) });

    #[test]
    fn a_kernel_runs_with_whatever_instructions_there_are() {
        let mut row = [1.5; 19];
        dispatch(Double(&mut row));
        assert_eq!(row, [3.0; 19]);
    }
}
