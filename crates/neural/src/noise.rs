//! What is random: how numbers begin, and which are left out while training (dropout, Srivastava et al. 2014).
//!
//! What is left out follows from a key and the place of the number, so the way back repeats what the way there did without having kept it.

use rand::RngExt;
use zhiyin_kernels::{dispatch, kernel};

/// A number of the standard normal distribution (Box and Muller 1958).
pub fn normal(random: &mut impl rand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.random::<f64>()).cos()) as f32
}

/// Leaves numbers out.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    key: u32,
    /// Share that is left out.
    share: f32,
}

impl Noise {
    pub fn new(seed: u64, share: f32) -> Self {
        Self { key: mixed((seed >> 32) as u32 ^ mixed(seed as u32)), share }
    }

    /// Another one for each number.
    pub fn at(self, number: usize) -> Self {
        Self { key: mixed(self.key ^ (number as u32).wrapping_mul(0x9e37_79b9)), ..self }
    }

    /// Leaves a share of the numbers out and enlarges the others, so that the expected value stays.
    pub fn drop(self, rows: &mut [f32]) {
        if self.share > 0.0 {
            let threshold = (f64::from(self.share) * f64::from(u32::MAX)) as u32;
            dispatch(Drop { rows, key: self.key, threshold, factor: 1.0 / (1.0 - self.share) });
        }
    }
}

/// Leaves nothing out where there is no noise.
pub fn drop(noise: Option<Noise>, number: usize, rows: &mut [f32]) {
    if let Some(noise) = noise {
        noise.at(number).drop(rows);
    }
}

struct Drop<'a> {
    rows: &'a mut [f32],
    key: u32,
    threshold: u32,
    factor: f32,
}

kernel!(Drop, Drop { rows, key, threshold, factor } => {
    for (value, place) in rows.iter_mut().zip(0_u32..) {
        let kept = mixed(place.wrapping_mul(0x9e37_79b1) ^ key) >= threshold;
        *value *= if kept { factor } else { 0.0 };
    }
});

/// A bijection of 32-bit numbers in which every bit depends on every other (Wellons' `lowbias32`).
#[inline(always)]
fn mixed(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_share_is_left_out_and_the_mean_stays() {
        let noise = Noise::new(7, 0.2);
        let mut rows = vec![1.0; 100_000];
        noise.at(3).drop(&mut rows);
        let kept = rows.iter().filter(|value| **value != 0.0).count() as f64 / 1e5;
        let mean = rows.iter().map(|value| f64::from(*value)).sum::<f64>() / 1e5;
        assert!((kept - 0.8).abs() < 0.005 && (mean - 1.0).abs() < 0.01, "{kept} {mean}");
        // Another place, another choice; the same place, the same choice.
        let (mut again, mut other) = (vec![1.0; 100_000], vec![1.0; 100_000]);
        noise.at(3).drop(&mut again);
        noise.at(4).drop(&mut other);
        assert_eq!(again, rows);
        let common = other.iter().zip(&rows).filter(|(a, b)| **a != 0.0 && **b != 0.0).count() as f64 / 1e5;
        assert!((common - 0.64).abs() < 0.01, "{common}");
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        let numbers: Vec<f64> = (0..50_000).map(|_| f64::from(normal(&mut random))).collect();
        let mean = numbers.iter().sum::<f64>() / 5e4;
        let square = numbers.iter().map(|value| value * value).sum::<f64>() / 5e4;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.03, "{mean} {square}");
    }
}
