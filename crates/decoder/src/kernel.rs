//! The element-wise parts of the forward pass.

use zhiyin_kernels::{exp, greatest, kernel, sum};

/// rows ← rows + added.
pub struct Add<'a> {
    pub rows: &'a mut [f32],
    pub added: &'a [f32],
}

kernel!(Add, Add { rows, added } => {
    rows.iter_mut().zip(added).for_each(|(value, added)| *value += added);
});

/// Replaces numbers by the logarithms of their shares: x − ln Σ eˣ. Returns nothing; the row is changed.
pub struct LogSoftmax<'a> {
    pub row: &'a mut [f32],
}

kernel!(LogSoftmax, LogSoftmax { row } => {
    let greatest = greatest(row);
    let total = sum(row, |value| exp(value - greatest));
    let shift = greatest + total.ln();
    row.iter_mut().for_each(|value| *value -= shift);
});

#[cfg(test)]
mod tests {
    use super::*;
    use zhiyin_kernels::dispatch;

    #[test]
    fn logarithms_of_shares_sum_to_one() {
        let mut row: Vec<f32> = (0..50).map(|at| (at % 7) as f32).collect();
        dispatch(LogSoftmax { row: &mut row });
        assert!((row.iter().map(|value| f64::from(*value).exp()).sum::<f64>() - 1.0).abs() < 1e-5);
        assert!((row[6] - row[0] - 6.0).abs() < 1e-5);
    }
}
