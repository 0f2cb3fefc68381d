use proptest::prelude::*;
use zhiyin_core::{
    Opinion, Sentiment,
    opinion::{Basis, Language, Remark, Remarks},
};

use super::*;
use crate::{Dataset, Online, Step, dataset::NoHistories};

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
