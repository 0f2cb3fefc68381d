//! Which items a step is to tell the next one apart from.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use zhiyin_core::{Interaction, ItemIx};

/// Samples items for steps.
pub struct Sampler<'a> {
    /// Items with events.
    warm: Vec<ItemIx>,
    /// How often each item occurs.
    counts: Vec<u32>,
    events: &'a [Interaction],
    count: usize,
    popular: f32,
}

/// Items and what corrects for how likely they were sampled: ln k·q.
#[derive(Default)]
pub struct Sample {
    pub items: Vec<ItemIx>,
    pub corrections: Vec<f32>,
}

impl<'a> Sampler<'a> {
    /// Samples `count` items at a time, the share `popular` by how often they occur in `events`, the others evenly among those that occur.
    pub fn new(counts: Vec<u32>, events: &'a [Interaction], count: usize, popular: f32) -> Self {
        let warm = (0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(item, _)| item).collect();
        Self { warm, counts, events, count, popular }
    }

    /// Items that are sampled from.
    pub fn of(&self) -> usize {
        self.warm.len()
    }

    /// A sample for this seed; all items once if no fewer are wanted than there are.
    pub fn draw(&self, seed: u64, sample: &mut Sample) {
        sample.items.clear();
        sample.corrections.clear();
        if self.count >= self.warm.len() {
            sample.items.extend_from_slice(&self.warm);
            sample.corrections.resize(self.warm.len(), 0.0);
            return;
        }
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        for _ in 0..self.count {
            let by_events = self.popular > 0.0 && random.random::<f32>() < self.popular;
            let item = if by_events {
                self.events[random.random_range(0..self.events.len())].item
            } else {
                self.warm[random.random_range(0..self.warm.len())]
            };
            sample.items.push(item);
            sample.corrections.push((self.count as f32 * self.probability(item)).ln());
        }
    }

    fn probability(&self, item: ItemIx) -> f32 {
        let share = self.counts[item as usize] as f32 / self.events.len() as f32;
        (1.0 - self.popular) / self.warm.len() as f32 + self.popular * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_weights_estimate_the_catalogue() {
        let events: Vec<Interaction> = [0, 0, 0, 0, 0, 0, 1, 2, 4].map(|item| Interaction::plain(item, 0)).to_vec();
        let sampler = Sampler::new(vec![6, 1, 1, 0, 1], &events, 3, 0.5);
        let (mut sample, mut estimate) = (Sample::default(), [0.0; 5]);
        for seed in 0..20_000 {
            sampler.draw(seed, &mut sample);
            for (&item, correction) in sample.items.iter().zip(&sample.corrections) {
                estimate[item as usize] += f64::from((-correction).exp()) / 20_000.0;
            }
        }
        // Each item with events counts once on average, whatever its share of the sample.
        for (found, wanted) in estimate.into_iter().zip([1.0, 1.0, 1.0, 0.0, 1.0]) {
            assert!((found - wanted).abs() < 0.05, "{estimate:?}");
        }
        Sampler::new(vec![6, 1, 1, 0, 1], &events, 4, 0.5).draw(1, &mut sample);
        assert_eq!((sample.items, sample.corrections), (vec![0, 1, 2, 4], vec![0.0; 4]));
    }
}
