//! The scores that one model gives to the items of a catalogue.

use zhiyin_core::ItemIx;

/// Scores of one model for one query: an array with one entry per item, most of them 0 for a sparse model.
///
/// A buffer is reused from query to query; [`Scores::reset`] costs as much as was touched, not as much as the catalogue is large.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    values: Vec<f32>,
    touched: Vec<ItemIx>,
    dense: bool,
}

impl Scores {
    /// Scores of 0 for `n_items` items.
    pub fn new(n_items: usize) -> Self {
        Self { values: vec![0.0; n_items], touched: Vec::new(), dense: false }
    }

    /// Makes every score 0 and sets the number of items.
    pub fn reset(&mut self, n_items: usize) {
        if self.dense || self.values.len() != n_items {
            self.values.clear();
            self.values.resize(n_items, 0.0);
        } else {
            for &item in &self.touched {
                self.values[item as usize] = 0.0;
            }
        }
        self.touched.clear();
        self.dense = false;
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.values.len()
    }

    /// Adds to the score of an item; an item outside the catalogue is passed over.
    pub fn add(&mut self, item: ItemIx, amount: f32) {
        let Some(value) = self.values.get_mut(item as usize) else { return };
        let sum = *value + amount;
        if self.dense {
            *value = sum;
            return;
        }
        if *value == 0.0 {
            if amount == 0.0 {
                return;
            }
            self.touched.push(item);
        }
        // Amounts that cancel leave the smallest number, so that no item is touched twice.
        *value = if sum == 0.0 { f32::MIN_POSITIVE } else { sum };
    }

    /// Multiplies every score that a sparse model gave by its item's factor, which must be positive.
    pub fn scale(&mut self, factor: impl Fn(ItemIx) -> f32) {
        for &item in &self.touched {
            self.values[item as usize] *= factor(item);
        }
    }

    /// Makes the scores of some items 0.
    pub fn silence(&mut self, is_silent: impl Fn(ItemIx) -> bool) {
        let Self { values, touched, dense } = self;
        if *dense {
            let silent = (0..).zip(values.iter_mut()).filter(|(item, _)| is_silent(*item));
            silent.for_each(|(_, value)| *value = 0.0);
            return;
        }
        touched.retain(|&item| {
            let stays = !is_silent(item);
            if !stays {
                values[item as usize] = 0.0;
            }
            stays
        });
    }

    /// All scores as one array, for models that score every item. From then on every item counts as touched.
    pub fn dense_mut(&mut self) -> &mut [f32] {
        self.dense = true;
        &mut self.values
    }

    /// Whether every item counts as touched.
    pub fn is_dense(&self) -> bool {
        self.dense
    }

    /// The score of an item; 0 outside the catalogue.
    pub fn get(&self, item: ItemIx) -> f32 {
        self.values.get(item as usize).copied().unwrap_or(0.0)
    }

    /// All scores, indexed by item.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The items that a sparse model gave a score, in no particular order, each once. Empty if [`Scores::is_dense`].
    pub fn touched(&self) -> &[ItemIx] {
        &self.touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_cancel_are_touched_once() {
        let mut scores = Scores::new(2);
        for amount in [1.0, -1.0, 2.0, 0.0] {
            scores.add(1, amount);
        }
        scores.add(0, 0.0);
        assert_eq!((scores.touched(), scores.get(1)), (&[1][..], 2.0));
    }

    #[test]
    fn scaling_concerns_the_touched() {
        let mut scores = Scores::new(3);
        scores.add(2, 1.5);
        scores.scale(|item| item as f32);
        assert_eq!(scores.values(), [0.0, 0.0, 3.0]);
    }

    #[test]
    fn silent_items_are_touched_no_more() {
        let mut scores = Scores::new(3);
        scores.add(1, 2.0);
        scores.add(2, 3.0);
        scores.silence(|item| item == 1);
        assert_eq!((scores.values(), scores.touched()), (&[0.0, 0.0, 3.0][..], &[2][..]));
        scores.dense_mut()[0] = 4.0;
        scores.silence(|item| item == 2);
        assert_eq!(scores.values(), [4.0, 0.0, 0.0]);
    }

    #[test]
    fn reset_forgets_sparse_and_dense_scores() {
        let mut scores = Scores::new(3);
        scores.add(1, 2.0);
        scores.add(7, 9.0);
        assert_eq!((scores.get(1), scores.get(7), scores.touched()), (2.0, 0.0, &[1][..]));
        scores.reset(3);
        assert_eq!(scores.values(), [0.0; 3]);
        scores.dense_mut()[2] = 1.0;
        scores.reset(4);
        assert_eq!(scores.values(), [0.0; 4]);
        assert!(!scores.is_dense());
    }
}
