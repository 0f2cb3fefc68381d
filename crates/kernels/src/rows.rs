//! The element-wise parts of transformers, row by row, and their ways back.

use crate::{dot, exp, kernel, softmax, sum};

/// Divides each row by its root mean square and multiplies by a scale (Zhang and Sennrich 2019).
pub struct RmsNorm<'a> {
    /// Rows of `scale.len()` numbers.
    pub rows: &'a [f32],
    /// Factor of each number of a row.
    pub scale: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
    /// As many numbers as `rows`.
    pub out: &'a mut [f32],
}

kernel!(RmsNorm, RmsNorm { rows, scale, epsilon, out } => {
    let width = scale.len();
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let square = sum(row, |value| value * value) / width as f32;
        let factor = 1.0 / (square + epsilon).sqrt();
        for ((out, value), scale) in out.iter_mut().zip(row).zip(scale) {
            *out = value * factor * scale;
        }
    }
});

/// gate ← gate · σ(gate) · up, for rows that hold first all gates and then all ups (SwiGLU, Shazeer 2020).
pub struct SwiGlu<'a> {
    /// Rows of 2 · width numbers.
    pub rows: &'a [f32],
    /// Numbers of a row of gates.
    pub width: usize,
    /// Rows of `width` numbers.
    pub out: &'a mut [f32],
}

kernel!(SwiGlu, SwiGlu { rows, width, out } => {
    for (row, out) in rows.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        let (gates, ups) = row.split_at(width);
        for ((out, &gate), up) in out.iter_mut().zip(gates).zip(ups) {
            // σ(x) from e^−|x|, which can't overflow.
            let small = exp(-gate.abs());
            let sigmoid = if gate >= 0.0 { 1.0 } else { small } / (1.0 + small);
            *out = gate * sigmoid * up;
        }
    }
});

/// The way back of [`RmsNorm`], added to `below`: with f = 1/√(mean x² + ε) it is f·(s·g) − x·f³/n · Σ s·g·x.
pub struct RmsNormBack<'a> {
    /// What was normalised.
    pub rows: &'a [f32],
    /// Factor of each number of a row.
    pub scale: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
    /// Derivatives by the results.
    pub slopes: &'a [f32],
    /// Derivatives by the rows are added to it.
    pub below: &'a mut [f32],
    /// Derivatives by the scale are added to it; empty if nobody wants them.
    pub by_scale: &'a mut [f32],
}

kernel!(RmsNormBack, RmsNormBack { rows, scale, epsilon, slopes, below, by_scale } => {
    let width = scale.len();
    let rows = rows.chunks_exact(width).zip(slopes.chunks_exact(width)).zip(below.chunks_exact_mut(width));
    for ((row, slopes), below) in rows {
        let square = sum(row, |value| value * value) / width as f32;
        let factor = 1.0 / (square + epsilon).sqrt();
        let along: f32 = row.iter().zip(slopes).zip(scale).map(|((x, slope), scale)| x * slope * scale).sum();
        let shrink = factor * factor * factor / width as f32 * along;
        for (((below, x), slope), scale) in below.iter_mut().zip(row).zip(slopes).zip(scale) {
            *below += factor * scale * slope - shrink * x;
        }
        for ((by_scale, x), slope) in by_scale.iter_mut().zip(row).zip(slopes) {
            *by_scale += slope * factor * x;
        }
    }
});

/// The way back of [`SwiGlu`]. With σ = σ(gate), the derivative by the gate is up · σ · (1 + gate · (1 − σ)), by the up gate · σ.
pub struct SwiGluBack<'a> {
    /// Rows of 2 · width numbers: gates and ups, which are replaced by the derivatives by them.
    pub rows: &'a mut [f32],
    /// Numbers of a row of gates.
    pub width: usize,
    /// Derivatives by the results: rows of `width` numbers.
    pub slopes: &'a [f32],
}

kernel!(SwiGluBack, SwiGluBack { rows, width, slopes } => {
    for (row, slopes) in rows.chunks_exact_mut(2 * width).zip(slopes.chunks_exact(width)) {
        let (gates, ups) = row.split_at_mut(width);
        for ((gate, up), slope) in gates.iter_mut().zip(ups).zip(slopes) {
            let small = exp(-gate.abs());
            let sigmoid = if *gate >= 0.0 { 1.0 } else { small } / (1.0 + small);
            let by_gate = *up * sigmoid * (1.0 + *gate * (1.0 - sigmoid));
            let by_up = *gate * sigmoid;
            (*gate, *up) = (slope * by_gate, slope * by_up);
        }
    }
});

/// The way back of a softmax: derivatives by the shares become those by the scores, P ∘ (dP − Σ P ∘ dP) row by row.
pub struct SoftmaxBack<'a> {
    /// Rows of `width` shares.
    pub shares: &'a [f32],
    /// Derivatives by the shares, which are replaced.
    pub by_shares: &'a mut [f32],
    /// Numbers of a row.
    pub width: usize,
}

kernel!(SoftmaxBack, SoftmaxBack { shares, by_shares, width } => {
    for (shares, slopes) in shares.chunks_exact(width).zip(by_shares.chunks_exact_mut(width)) {
        let mean = dot(shares, slopes);
        slopes.iter_mut().zip(shares).for_each(|(slope, share)| *slope = share * (*slope - mean));
    }
});

/// Turns scores into shares; a token sees nothing that comes after it.
pub struct Causal<'a> {
    /// Rows of `total` numbers, one for each of the last tokens.
    pub scores: &'a mut [f32],
    /// Tokens that there are.
    pub total: usize,
    /// Tokens that ask.
    pub tokens: usize,
}

kernel!(Causal, Causal { scores, total, tokens } => {
    for (token, row) in scores.chunks_exact_mut(total).enumerate() {
        let (seen, hidden) = row.split_at_mut(total - tokens + token + 1);
        softmax(seen);
        hidden.fill(0.0);
    }
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch;

    #[test]
    fn a_normalised_row_has_mean_square_1() {
        let row: Vec<f32> = (0..21).map(|at| at as f32 - 3.0).collect();
        let mut out = vec![0.0; 21];
        dispatch(RmsNorm { rows: &row, scale: &[1.0; 21], epsilon: 0.0, out: &mut out });
        assert!((sum(&out, |value| value * value) / 21.0 - 1.0).abs() < 1e-5);
        assert!(out[3].abs() < 1e-6 && (out[20] / out[4] - 17.0).abs() < 1e-4);
    }

    #[test]
    fn swiglu_has_its_known_values() {
        // x·σ(x): 0.731058578 at 1, −0.268941421 at −1; a large gate lets the other half through, a large negative one nothing.
        let mut out = [0.0; 4];
        dispatch(SwiGlu { rows: &[1.0, -1.0, 30.0, -300.0, 1.0, 2.0, 0.5, 7.0], width: 4, out: &mut out });
        for (found, wanted) in out.iter().zip([0.731_058_6, -0.537_882_8, 15.0, 0.0]) {
            assert!((found - wanted).abs() < 1e-5, "{out:?}");
        }
    }
}
