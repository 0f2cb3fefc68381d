//! Counts of opinions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhiyin_core::{AspectIx, Opinion, Sentiment, opinion::Remark};

/// How many opinions were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// For it.
    pub positive: u32,
    /// Both, neither, or unclear.
    pub mixed: u32,
    /// Against it.
    pub negative: u32,
}

impl Balance {
    /// All of them.
    pub fn total(self) -> u32 {
        self.positive + self.mixed + self.negative
    }

    /// Mean of the Beta posterior of the positive share under a prior of this mean and weight.
    pub fn share(self, prior: f32, weight: f32) -> f32 {
        (self.positive as f32 + weight * prior) / ((self.positive + self.negative) as f32 + weight)
    }

    /// The share with one more of each, for a prior.
    pub(super) fn prior(self) -> f32 {
        self.share(0.5, 2.0)
    }

    fn of(&mut self, sentiment: Sentiment) -> &mut u32 {
        match sentiment {
            Sentiment::Positive => &mut self.positive,
            Sentiment::Mixed => &mut self.mixed,
            Sentiment::Negative => &mut self.negative,
        }
    }
}

/// What a set of reviews says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Sentiments of the reviews.
    pub reviews: Balance,
    /// Reviews by language, in the order of [`zhiyin_core::opinion::Language::ALL`].
    pub languages: [u32; 3],
    /// Reviews by what their sentiment rests on, in the order of [`zhiyin_core::opinion::Basis::ALL`].
    pub bases: [u32; 3],
    /// Reviews by remark, in the order of [`Remark::ALL`].
    pub remarks: [u32; Remark::ALL.len()],
    /// What they say of aspects.
    pub aspects: BTreeMap<AspectIx, Balance>,
}

impl Tally {
    /// Adds an opinion.
    pub fn add(&mut self, opinion: &Opinion) {
        self.each_count(opinion, |count| *count += 1);
    }

    /// Takes an opinion out that was added before.
    pub(super) fn subtract(&mut self, opinion: &Opinion) {
        self.each_count(opinion, |count| *count -= 1);
        self.aspects.retain(|_, balance| balance.total() > 0);
    }

    fn each_count(&mut self, opinion: &Opinion, change: impl Fn(&mut u32)) {
        change(self.reviews.of(opinion.sentiment));
        change(&mut self.languages[opinion.language as usize]);
        change(&mut self.bases[opinion.basis as usize]);
        opinion.remarks.iter().for_each(|remark| change(&mut self.remarks[remark as usize]));
        for &(aspect, sentiment) in &opinion.aspects {
            change(self.aspects.entry(aspect).or_default().of(sentiment));
        }
    }
}
