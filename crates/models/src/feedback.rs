//! What people say of items: an item whose reviews are better than usual gains, and more so in the aspects that the asker writes about.
//!
//! An item's share of positive reviews is θᵢ = (positive + m·θ) / (positive + negative + m), a Beta posterior whose prior is the share θ
//! over all items, worth m reviews; an aspect's share θᵢₐ is the same over what reviews say of the aspect. The score is
//! (θᵢ − θ) + λ·Σₐ fₐ·(θᵢₐ − θₐ), where fₐ is the part of the asker's own mentions that aspect a has. Items without reviews score 0.
//! Mixed opinions are counted and weigh nothing.
//!
//! All counts are whole numbers and every opinion is kept with whose it is, so that forgetting an actor is exact.

mod replayed;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, AspectIx, ItemIx, Said, storage::Position};

pub use replayed::Replayed;
pub use tally::{Balance, Tally};

use crate::{Cause, Contribution, Model, Query, Scores};

const NAME: &str = "feedback";
/// Name of the part of a score that an item's reviews as a whole give.
pub const REVIEWS: &str = "reviews";

/// Hyper-parameters. All of them only concern scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// m: reviews that the prior is worth.
    pub prior_reviews: f32,
    /// λ: how much the asker's own aspects count against the whole.
    pub aspects: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { prior_reviews: 5.0, aspects: 1.0 }
    }
}

impl Params {
    /// Alternatives, one hyper-parameter at a time.
    pub fn axes(&self) -> Vec<Vec<Params>> {
        vec![
            [2.0, 5.0, 20.0].map(|prior_reviews| Self { prior_reviews, ..self.clone() }).to_vec(),
            [0.0, 1.0, 4.0].map(|aspects| Self { aspects, ..self.clone() }).to_vec(),
        ]
    }
}

/// The counts, and every opinion behind them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    params: Params,
    overall: Tally,
    items: BTreeMap<ItemIx, Tally>,
    /// Places in the log of what was said of each item, with whose it is, rising.
    said_of: BTreeMap<ItemIx, Vec<(Position, ActorIx)>>,
    /// What each actor said, by place in the log.
    said_by: BTreeMap<ActorIx, Vec<Said>>,
}

impl Feedback {
    /// A model that knows nothing yet.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
    }

    /// The hyper-parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.params = params.clone();
        true
    }

    /// Learns an opinion. One at the same place in the log is the same and counts once.
    pub fn learn(&mut self, said: Said) {
        let own = self.said_by.entry(said.actor).or_default();
        let Err(place) = own.binary_search_by_key(&said.position, |known| known.position) else { return };
        let of_item = self.said_of.entry(said.item).or_default();
        let at = of_item.partition_point(|(position, _)| *position < said.position);
        of_item.insert(at, (said.position, said.actor));
        self.overall.add(&said.opinion);
        self.items.entry(said.item).or_default().add(&said.opinion);
        own.insert(place, said);
    }

    /// Forgets all that an actor said.
    pub fn forget(&mut self, actor: ActorIx) {
        for said in self.said_by.remove(&actor).unwrap_or_default() {
            self.overall.subtract(&said.opinion);
            if let Some(tally) = self.items.get_mut(&said.item) {
                tally.subtract(&said.opinion);
            }
            let Some(of_item) = self.said_of.get_mut(&said.item) else { continue };
            of_item.retain(|(position, _)| *position != said.position);
            if of_item.is_empty() {
                self.said_of.remove(&said.item);
                self.items.remove(&said.item);
            }
        }
    }

    /// Everybody who said something.
    pub fn actors(&self) -> impl Iterator<Item = ActorIx> {
        self.said_by.keys().copied()
    }

    /// Whether nobody said anything.
    pub fn is_empty(&self) -> bool {
        self.said_by.is_empty()
    }

    /// What all reviews say.
    pub fn overall(&self) -> &Tally {
        &self.overall
    }

    /// What the reviews of an item say.
    pub fn of_item(&self, item: ItemIx) -> Option<&Tally> {
        self.items.get(&item)
    }

    /// What was said of an item, newest first.
    pub fn said_of(&self, item: ItemIx) -> impl Iterator<Item = &Said> {
        let places = self.said_of.get(&item).map_or(&[][..], Vec::as_slice).iter().rev();
        places.filter_map(move |(position, actor)| {
            let own = self.said_by(*actor);
            own.binary_search_by_key(position, |said| said.position).ok().map(|place| &own[place])
        })
    }

    /// What an actor said, oldest first.
    pub fn said_by(&self, actor: ActorIx) -> &[Said] {
        self.said_by.get(&actor).map_or(&[], Vec::as_slice)
    }

    /// The smoothed positive share of what a balance says of an aspect.
    pub fn aspect_share(&self, aspect: AspectIx, balance: Balance) -> f32 {
        balance.share(self.aspect_prior(aspect), self.params.prior_reviews)
    }

    /// The positive share of all reviews.
    pub fn usual_share(&self) -> f32 {
        self.overall.reviews.prior()
    }

    /// The positive share of a balance of reviews, smoothed towards the usual one.
    pub fn smoothed(&self, reviews: Balance) -> f32 {
        reviews.share(self.usual_share(), self.params.prior_reviews)
    }

    /// The positive share of all that is said of an aspect.
    pub fn aspect_prior(&self, aspect: AspectIx) -> f32 {
        self.overall.aspects.get(&aspect).copied().unwrap_or_default().prior()
    }

    /// The aspects that the asker speaks of, with their parts of all mentions.
    fn interests(&self, query: &Query<'_>) -> Vec<(AspectIx, f32)> {
        let own = query.actor.map_or(&[][..], |actor| self.said_by(actor));
        let mut counts: BTreeMap<AspectIx, u32> = BTreeMap::new();
        let earlier = own.iter().filter(|said| said.time_s <= query.now_s);
        earlier.flat_map(|said| &said.opinion.aspects).for_each(|(aspect, _)| *counts.entry(*aspect).or_default() += 1);
        let total: u32 = counts.values().sum();
        counts.into_iter().map(|(aspect, count)| (aspect, count as f32 / total as f32)).collect()
    }

    fn of_aspect(&self, tally: &Tally, (aspect, part): (AspectIx, f32)) -> f32 {
        let Some(&balance) = tally.aspects.get(&aspect) else { return 0.0 };
        let prior = self.aspect_prior(aspect);
        self.params.aspects * part * (balance.share(prior, self.params.prior_reviews) - prior)
    }
}

impl Model for Feedback {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        let (usual, n_items) = (self.usual_share(), scores.n_items());
        let interests = self.interests(query);
        for (&item, tally) in self.items.iter().filter(|(item, _)| (**item as usize) < n_items) {
            let personal: f32 = interests.iter().map(|&interest| self.of_aspect(tally, interest)).sum();
            scores.add(item, self.smoothed(tally.reviews) - usual + personal);
        }
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        let Some(tally) = self.items.get(&item) else { return Vec::new() };
        let whole =
            Contribution { cause: Cause::Feature(REVIEWS), amount: self.smoothed(tally.reviews) - self.usual_share() };
        let aspects = self
            .interests(query)
            .into_iter()
            .map(|interest| Contribution { cause: Cause::Aspect(interest.0), amount: self.of_aspect(tally, interest) });
        std::iter::once(whole).chain(aspects).filter(|part| part.amount != 0.0).collect()
    }

    fn bytes(&self) -> usize {
        let aspects = |tally: &Tally| tally.aspects.len() * (size_of::<Balance>() + 16);
        let items: usize = self.items.values().map(|tally| size_of::<Tally>() + 32 + aspects(tally)).sum();
        let said = |said: &Said| size_of::<Said>() + size_of::<(Position, ActorIx)>() + 2 * said.opinion.aspects.len();
        items + self.said_by.values().flatten().map(said).sum::<usize>()
    }
}
