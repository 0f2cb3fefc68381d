//! A feed-forward network on what a history is in sum: the mean of its item vectors with two decays, and how long it is. One hidden layer with
//! ReLU. A baseline: it knows the order of events only through the decays.

use crate::{
    events::Pack,
    layout::{Layout, Slot, Start},
    network::{LossOf, Network, Pass},
    noise::drop,
    product::{back, rows, through},
};

/// Events after which an item counts e times less, for each of the means.
const DECAYS: [f32; 2] = [2.0, 20.0];

/// Where the network's numbers lie.
pub struct Dense {
    dims: usize,
    hidden: Slot,
    hidden_bias: Slot,
    output: Slot,
    output_bias: Slot,
}

impl Dense {
    pub fn new(dims: usize, units: usize, layout: &mut Layout) -> Self {
        let inputs = DECAYS.len() * dims + 1;
        let deviation = |inputs: usize| Start::Normal((2.0 / inputs as f32).sqrt());
        Self {
            dims,
            hidden: layout.add("hidden", inputs, units, deviation(inputs)),
            hidden_bias: layout.add("hidden_bias", 1, units, Start::Zeros),
            output: layout.add("output", units, dims, deviation(units)),
            output_bias: layout.add("output_bias", 1, dims, Start::Zeros),
        }
    }

    fn features(&self, pack: &Pack, inputs: &[f32]) -> Vec<f32> {
        let width = self.hidden.rows;
        let mut features = vec![0.0; pack.events() * width];
        for events in pack.histories() {
            let mut sums = vec![0.0; DECAYS.len() * self.dims];
            let mut weights = [0.0; DECAYS.len()];
            for (place, event) in events.enumerate() {
                let row = &mut features[event * width..][..width];
                let input = &inputs[event * self.dims..][..self.dims];
                for (mean, decay) in DECAYS.into_iter().enumerate() {
                    let (keep, sums) = ((-1.0 / decay).exp(), &mut sums[mean * self.dims..][..self.dims]);
                    weights[mean] = keep * weights[mean] + 1.0;
                    let factor = self.factor() / weights[mean];
                    let out = &mut row[mean * self.dims..][..self.dims];
                    for ((sum, value), out) in sums.iter_mut().zip(input).zip(out) {
                        *sum = keep * *sum + value;
                        *out = factor * *sum;
                    }
                }
                row[width - 1] = (place as f32 + 1.0).ln();
            }
        }
        features
    }

    fn features_back(&self, pack: &Pack, slopes: &[f32]) -> Vec<f32> {
        let width = self.hidden.rows;
        let mut below = vec![0.0; pack.events() * self.dims];
        for events in pack.histories() {
            for (mean, decay) in DECAYS.into_iter().enumerate() {
                let keep = (-1.0 / decay).exp();
                let weights: Vec<f32> =
                    std::iter::successors(Some(1.0), |weight| Some(keep * weight + 1.0)).take(events.len()).collect();
                let mut carried = vec![0.0; self.dims];
                for (event, weight) in events.clone().zip(weights).rev() {
                    let factor = self.factor() / weight;
                    let slopes = &slopes[event * width + mean * self.dims..][..self.dims];
                    let below = &mut below[event * self.dims..][..self.dims];
                    for ((carried, slope), below) in carried.iter_mut().zip(slopes).zip(below) {
                        *carried = keep * *carried + factor * slope;
                        *below += *carried;
                    }
                }
            }
        }
        below
    }

    /// What item vectors, which begin small, are multiplied by.
    fn factor(&self) -> f32 {
        (self.dims as f32).sqrt()
    }

    fn hidden(&self, pass: Pass<'_>, features: &[f32]) -> Vec<f32> {
        let mut hidden = self.layer(pass, features, self.hidden, self.hidden_bias);
        hidden.iter_mut().for_each(|value| *value = value.max(0.0));
        drop(pass.noise, 0, &mut hidden);
        hidden
    }

    fn layer(&self, pass: Pass<'_>, inputs: &[f32], map: Slot, bias: Slot) -> Vec<f32> {
        let mut out = through(inputs, rows(map.of(pass.values), map.columns));
        let bias = bias.of(pass.values);
        for row in out.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        out
    }
}

impl Network for Dense {
    fn states(&self, pass: Pass<'_>, inputs: Vec<f32>) -> Vec<f32> {
        let hidden = self.hidden(pass, &self.features(pass.pack, &inputs));
        self.layer(pass, &hidden, self.output, self.output_bias)
    }

    fn learn(&self, pass: Pass<'_>, inputs: Vec<f32>, loss: LossOf<'_>, gradients: &mut [f32]) -> Vec<f32> {
        let features = self.features(pass.pack, &inputs);
        let hidden = self.hidden(pass, &features);
        let slopes = loss(&self.layer(pass, &hidden, self.output, self.output_bias));
        sum_rows(&slopes, self.output_bias.of_mut(gradients));
        let map = rows(self.output.of(pass.values), self.dims);
        let mut by_hidden = back(&hidden, map, &slopes, self.output.of_mut(gradients));
        drop(pass.noise, 0, &mut by_hidden);
        by_hidden.iter_mut().zip(&hidden).filter(|(_, value)| **value <= 0.0).for_each(|(slope, _)| *slope = 0.0);
        sum_rows(&by_hidden, self.hidden_bias.of_mut(gradients));
        let map = rows(self.hidden.of(pass.values), self.hidden.columns);
        let by_features = back(&features, map, &by_hidden, self.hidden.of_mut(gradients));
        self.features_back(pass.pack, &by_features)
    }
}

fn sum_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}
