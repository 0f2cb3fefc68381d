//! What people say of items: an item whose reviews are better than usual gains, and more so in the aspects that the asker writes about.
//!
//! An item's share of positive reviews is θᵢ = (positive + m·θ) / (positive + negative + m), a Beta posterior whose prior is the share θ
//! over all items, worth m reviews; an aspect's share θᵢₐ is the same over what reviews say of the aspect. The score is
//! (θᵢ − θ) + λ·Σₐ fₐ·(θᵢₐ − θₐ), where fₐ is the part of the asker's own mentions that aspect a has. Items without reviews score 0.
//! Mixed opinions are counted and weigh nothing.
//!
//! All counts are whole numbers and every opinion is kept with whose it is, so that forgetting an actor is exact.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, AspectIx, ItemIx, Opinion, Said, Sentiment, opinion::Remark, storage::Position};

use crate::{Cause, Contribution, Dataset, FitError, Model, Online, Query, Scores, Step};

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
    fn prior(self) -> f32 {
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
    fn subtract(&mut self, opinion: &Opinion) {
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

/// The model while time is replayed: it hears every opinion of a set when the replay has passed its time, and no sooner.
#[derive(Clone, Debug)]
pub struct Replayed {
    model: Feedback,
    /// In order of time.
    opinions: Arc<[Said]>,
    next: usize,
}

impl Replayed {
    /// The model as of the end of a set; what was said in its last second may belong to what is still to be predicted.
    ///
    /// # Errors
    /// The set has no opinions.
    pub fn fit(data: &Dataset, params: &Params) -> Result<Self, FitError> {
        if data.opinions.is_empty() {
            let needed = "reviews with text in the event log";
            return Err(FitError::TooLittleData { model: NAME, found: "no review that could be read".into(), needed });
        }
        let mut replayed = Self { model: Feedback::new(params.clone()), opinions: Arc::clone(&data.opinions), next: 0 };
        let end_s = data.interactions.iter().map(|event| event.time_s).max().unwrap_or(0);
        replayed.hear_before(end_s);
        Ok(replayed)
    }

    /// Takes over other hyper-parameters; always possible.
    pub fn adopt(&mut self, params: &Params) -> bool {
        self.model.adopt(params)
    }

    fn hear_before(&mut self, time_s: u32) {
        while let Some(said) = self.opinions.get(self.next).filter(|said| said.time_s < time_s) {
            self.model.learn(said.clone());
            self.next += 1;
        }
    }
}

impl Model for Replayed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn score(&self, query: &Query<'_>, scores: &mut Scores) {
        self.model.score(query, scores);
    }

    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution> {
        self.model.explain(query, item)
    }

    fn bytes(&self) -> usize {
        self.model.bytes()
    }
}

impl Online for Replayed {
    /// Hears what was said before the event. What was said at its very time may belong to an event that is still to be predicted.
    fn fold(&mut self, step: &Step<'_>) {
        self.hear_before(step.event.time_s);
    }

    /// Time doesn't run backwards.
    fn unfold(&mut self, _: &Step<'_>) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zhiyin_core::opinion::{Basis, Language, Remarks};

    use super::*;
    use crate::dataset::NoHistories;

    fn opinion(sentiment: Sentiment, aspects: &[(AspectIx, Sentiment)]) -> Opinion {
        let mut remarks = Remarks::default();
        if sentiment == Sentiment::Negative {
            remarks.insert(Remark::Broke);
        }
        Opinion { sentiment, basis: Basis::Stars, language: Language::English, aspects: aspects.to_vec(), remarks }
    }

    fn said(position: Position, actor: ActorIx, item: ItemIx, opinion: Opinion) -> Said {
        Said { position, actor, item, time_s: position as u32, opinion }
    }

    fn asked_by(actor: ActorIx) -> Query<'static> {
        let now_s = u32::MAX;
        Query { history: &[], actor: Some(actor), segment: None, friends: &[], now_s, histories: &NoHistories }
    }

    fn scored(model: &dyn Model, actor: ActorIx) -> Vec<f32> {
        let mut scores = Scores::new(4);
        model.score(&asked_by(actor), &mut scores);
        scores.values().to_vec()
    }

    use Sentiment::{Mixed, Negative, Positive};

    #[test]
    fn a_hand_computed_score() {
        let mut model = Feedback::new(Params { prior_reviews: 2.0, aspects: 1.0 });
        model.learn(said(1, 0, 0, opinion(Positive, &[(3, Positive)])));
        model.learn(said(2, 1, 0, opinion(Positive, &[])));
        model.learn(said(3, 2, 1, opinion(Negative, &[(3, Mixed)])));
        model.learn(said(4, 3, 1, opinion(Mixed, &[])));
        // Usual share (2 + 1) / (3 + 2) = .6; item 0 has (2 + 2·.6) / (2 + 2) = .8, item 1 (0 + 1.2) / (1 + 2) = .4.
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        let scores = scored(&model, 9);
        close(scores[0], 0.2);
        close(scores[1], -0.2);
        assert_eq!(scores[2..], [0.0, 0.0]);
        // Actor 0 speaks of aspect 3 alone: its usual share is 2/3, that of item 0 (1 + 4/3) / 3.
        close(scored(&model, 0)[0], 0.2 + 7.0 / 9.0 - 2.0 / 3.0);
        let causes: Vec<Cause> = model.explain(&asked_by(0), 0).iter().map(|part| part.cause).collect();
        assert_eq!(causes, [Cause::Feature(REVIEWS), Cause::Aspect(3)]);
    }

    #[test]
    fn replaying_hears_nothing_too_early() {
        let history = [zhiyin_core::Interaction::plain(0, 1), zhiyin_core::Interaction::plain(1, 7)];
        let mut data = Dataset::from_histories(vec![Default::default(); 4], [&history[..]]);
        assert!(Replayed::fit(&data, &Params::default()).is_err());
        let opinions = [(2, 0), (7, 1), (9, 2)].map(|(at, item)| said(at, 0, item, opinion(Positive, &[])));
        data.opinions = opinions.to_vec().into();
        let mut model = Replayed::fit(&data, &Params::default()).unwrap();
        let heard = |model: &Replayed| scored(model, 5).iter().filter(|score| **score != 0.0).count();
        // What was said at 7, with the last event, is not known when an event of that second is predicted.
        assert_eq!(heard(&model), 1);
        let event = zhiyin_core::Interaction::plain(3, 9);
        model.fold(&Step { actor: 0, segment: None, past: &[], event });
        assert_eq!(heard(&model), 2);
    }

    fn logs() -> impl Strategy<Value = Vec<Said>> {
        let sentiment = || prop::sample::select(vec![Negative, Mixed, Positive]);
        let aspects = prop::collection::btree_map(0_u8..5, sentiment(), 0..3);
        let one = (0_u32..4, 0_u32..4, sentiment(), aspects);
        prop::collection::vec(one, 0..60).prop_map(|log| {
            let each = |(position, (actor, item, sentiment, aspects)): (_, (_, _, _, BTreeMap<_, _>))| {
                said(position, actor, item, opinion(sentiment, &aspects.into_iter().collect::<Vec<_>>()))
            };
            (1..).zip(log).map(each).collect()
        })
    }

    proptest! {
        #[test]
        fn forgetting_is_exact_and_order_leaves_no_trace(log in logs(), forgotten in 0_u32..4, seed in 0_usize..100) {
            let (mut all, mut others, mut shuffled) = (Feedback::default(), Feedback::default(), Feedback::default());
            log.iter().for_each(|said| all.learn(said.clone()));
            let mut order = log.clone();
            if !order.is_empty() {
                order.rotate_left(seed % log.len());
            }
            order.into_iter().for_each(|said| shuffled.learn(said));
            prop_assert_eq!(&all, &shuffled);
            log.iter().filter(|said| said.actor != forgotten).for_each(|said| others.learn(said.clone()));
            all.forget(forgotten);
            prop_assert_eq!(&all, &others);
            let bytes = postcard::to_stdvec(&all).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Feedback>(&bytes).unwrap(), all);
        }

        #[test]
        fn parts_sum_to_the_score(log in logs(), asker in 0_u32..5) {
            let mut model = Feedback::default();
            log.into_iter().for_each(|said| model.learn(said));
            let scores = scored(&model, asker);
            for item in 0..4 {
                let sum: f32 = model.explain(&asked_by(asker), item).iter().map(|part| part.amount).sum();
                prop_assert!((sum - scores[item as usize]).abs() < 1e-5);
                let replay: Vec<u64> = model.said_of(item).map(|said| said.position).collect();
                prop_assert!(replay.is_sorted_by(|a, b| a > b));
            }
        }
    }
}
