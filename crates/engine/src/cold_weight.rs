//! A weight of their own for cold items: what lets them into the list where the text speaks for them.
//!
//! A cold item has scores from text and words only, so in the fusion it loses against every item that behaviour speaks for, and weights
//! that are learned from mostly warm targets don't change that. Cold items therefore get the standard score of one more source, the
//! finder, times a weight that only they have. The score stays a sum of parts.

use zhiyin_models::{Model, Query, Scores, fusion::Standard};

/// The weight, and who gets it.
#[derive(Clone, Copy)]
pub struct ColdWeight<'a> {
    /// The source that finds cold items.
    pub finder: &'a dyn Model,
    /// By item, whether it is cold.
    pub cold: &'a [bool],
    /// The weight of the finder's standard score.
    pub weight: f32,
}

impl ColdWeight<'_> {
    /// The finder's standard scores of the cold items, 0 for all others, written to `scores`.
    pub fn standard(&self, query: &Query<'_>, n_items: usize, scores: &mut Scores) {
        scores.reset(n_items);
        self.finder.score(query, scores);
        let standard = Standard::measure(scores);
        for (score, cold) in scores.dense_mut().iter_mut().zip(self.cold) {
            *score = if *cold { standard.of(*score) } else { 0.0 };
        }
    }

    /// Adds the weighted scores of the cold items to `fused`. `scores` is a buffer.
    pub fn add(&self, query: &Query<'_>, fused: &mut Scores, scores: &mut Scores) {
        self.standard(query, fused.n_items(), scores);
        for (sum, score) in fused.dense_mut().iter_mut().zip(scores.values()) {
            *sum += self.weight * score;
        }
    }
}

#[cfg(test)]
mod tests {
    use zhiyin_core::ItemIx;
    use zhiyin_models::{Contribution, dataset::NoHistories};

    use super::*;

    /// Gives items 1 and 2 a score of 2.
    struct Finder;

    impl Model for Finder {
        fn name(&self) -> &'static str {
            "finder"
        }

        fn score(&self, _: &Query<'_>, scores: &mut Scores) {
            scores.add(1, 2.0);
            scores.add(2, 2.0);
        }

        fn explain(&self, _: &Query<'_>, _: ItemIx) -> Vec<Contribution> {
            Vec::new()
        }

        fn bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn only_cold_items_get_it_in_units_of_the_deviation() {
        let query = Query { history: &[], actor: None, segment: None, friends: &[], now_s: 0, histories: &NoHistories };
        let mut fused = Scores::new(4);
        fused.add(0, 1.0);
        fused.add(2, 0.5);
        let weight = ColdWeight { finder: &Finder, cold: &[false, false, true, true], weight: 3.0 };
        weight.add(&query, &mut fused, &mut Scores::default());
        // 0, 2, 2, 0 has a deviation of 1.
        assert_eq!(fused.values(), [1.0, 0.0, 6.5, 0.0]);
    }
}
