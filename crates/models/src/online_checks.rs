//! What every online model is tested for: exact forgetting, equal fitting and storing, and explanations that sum to the score.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use zhiyin_core::{ActorIx, Interaction, ItemIx, Weight, limits::FOLD_WINDOW_MAX};

use crate::{Dataset, Histories, ItemFacts, Model, Online, Query, Scores, Step, dataset::latest};

pub(crate) const N_ITEMS: usize = 8;
pub(crate) const N_ACTORS: u32 = 4;
const DAY_S: u32 = 86_400;

/// An event of a made-up log: whose, and what.
pub(crate) type Logged = (ActorIx, Interaction);

/// Logs of a few actors and items over some weeks, with repeats, several weights and events of one time.
pub(crate) fn logs() -> impl Strategy<Value = Vec<Logged>> {
    let weight = prop::sample::select(vec![Weight(26), Weight(256), Weight(1280)]);
    let event = (0..N_ACTORS, 0..N_ITEMS as u32, prop::sample::select(vec![0, 0, 60, 7_200, DAY_S]), weight);
    prop::collection::vec(event, 0..150).prop_map(|events| {
        let mut time_s = 20_000 * DAY_S;
        let place = |(actor, item, pause, weight)| {
            time_s += pause;
            (actor, Interaction { item, time_s, kind: 0, weight })
        };
        events.into_iter().map(place).collect()
    })
}

/// Actors 0 and 1 are in segment 0, actor 2 in segment 1, the others in none.
fn segment(actor: ActorIx) -> Option<u32> {
    [Some(0), Some(0), Some(1)].get(actor as usize).copied().flatten()
}

/// Calls `learn` with each event of a log as a step.
pub(crate) fn each_logged(log: &[Logged], mut learn: impl FnMut(&Step<'_>)) {
    let mut histories = vec![Vec::new(); N_ACTORS as usize];
    for &(actor, event) in log {
        let history = &mut histories[actor as usize];
        learn(&Step { actor, segment: segment(actor), past: latest(history, FOLD_WINDOW_MAX), event });
        history.push(event);
    }
}

pub(crate) fn learned<M: Online>(mut model: M, log: &[Logged]) -> M {
    each_logged(log, |step| model.fold(step));
    model
}

pub(crate) fn query<'a>(histories: &'a Rows, actor: ActorIx, friends: &'a [ActorIx]) -> Query<'a> {
    Query {
        history: histories.of(actor),
        actor: Some(actor),
        segment: segment(actor),
        friends,
        now_s: 20_040 * DAY_S,
        histories,
    }
}

/// Histories by actor, for queries.
pub(crate) struct Rows(pub(crate) Vec<Vec<Interaction>>);

impl Histories for Rows {
    fn of(&self, actor: ActorIx) -> &[Interaction] {
        self.0.get(actor as usize).map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn scores(model: &dyn Model, query: &Query<'_>) -> Scores {
    let mut scores = Scores::new(N_ITEMS);
    model.score(query, &mut scores);
    scores
}

pub(crate) fn histories(log: &[Logged]) -> Rows {
    let mut histories = vec![Vec::new(); N_ACTORS as usize];
    log.iter().for_each(|(actor, event)| histories[*actor as usize].push(*event));
    Rows(histories)
}

/// Unfolding one actor's steps, in the opposite order and scored in between, equals never having folded them; and the state survives
/// storing.
pub(crate) fn check_forgetting<M>(fresh: &M, log: &[Logged], forgotten: ActorIx)
where
    M: Online + Clone + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let others: Vec<Logged> = log.iter().copied().filter(|(actor, _)| *actor != forgotten).collect();
    let expected = learned(fresh.clone(), &others);
    let mut model = learned(fresh.clone(), log);
    let rows = histories(&others);
    scores(&model, &query(&rows, 0, &[]));
    let history = histories(log).of(forgotten).to_vec();
    for (place, &event) in history.iter().enumerate().rev() {
        let past = latest(&history[..place], FOLD_WINDOW_MAX);
        model.unfold(&Step { actor: forgotten, segment: segment(forgotten), past, event });
    }
    assert_eq!(model, expected);
    assert_eq!(scores(&model, &query(&rows, 0, &[1])).values(), scores(&expected, &query(&rows, 0, &[1])).values());
    let stored = postcard::to_allocvec(&model).unwrap();
    assert_eq!(stored, postcard::to_allocvec(&expected).unwrap());
    let restored: M = postcard::from_bytes(&stored).unwrap();
    assert_eq!(restored, model);
    assert_eq!(scores(&restored, &query(&rows, 0, &[1])).values(), scores(&expected, &query(&rows, 0, &[1])).values());
}

/// Fitting a set equals folding it event by event.
pub(crate) fn check_fit<M: Online + Clone + PartialEq + Debug>(fresh: &M, fit: impl Fn(&Dataset) -> M, log: &[Logged]) {
    let rows = histories(log);
    let mut data = Dataset::from_histories(vec![ItemFacts::default(); N_ITEMS], rows.0.iter().map(Vec::as_slice));
    data.segments = vec![0, 0, 1];
    let mut folded = fresh.clone();
    each_logged(log, |step| folded.fold(step));
    assert_eq!(fit(&data), folded);
}

/// The parts of every explanation sum to the score.
pub(crate) fn check_explanations<M: Online + Clone>(fresh: &M, log: &[Logged]) {
    let model = learned(fresh.clone(), log);
    let rows = histories(log);
    for actor in 0..N_ACTORS {
        let query = query(&rows, actor, &[2, 3]);
        let scores = scores(&model, &query);
        let items: Vec<ItemIx> = (0..=N_ITEMS as ItemIx).collect();
        for (&item, parts) in items.iter().zip(model.explain_each(&query, &items)) {
            assert_eq!(parts, model.explain(&query, item), "item {item}");
            let sum: f32 = parts.iter().map(|part| part.amount).sum();
            let score = scores.get(item);
            assert!(
                (sum - score).abs() <= 1e-4 * (1.0 + score.abs()),
                "item {item}: parts sum to {sum}, the score is {score}"
            );
        }
    }
}

/// A log from histories of plain events, one second apart.
pub(crate) fn plain_log(rows: &[&[ItemIx]]) -> Vec<Logged> {
    let events =
        rows.iter().zip(0..).flat_map(|(items, actor)| items.iter().zip(0..).map(move |(&item, at)| (at, actor, item)));
    let mut events: Vec<(u32, ActorIx, ItemIx)> = events.collect();
    events.sort_unstable();
    events.into_iter().map(|(at, actor, item)| (actor, Interaction::plain(item, 20_000 * DAY_S + at))).collect()
}

/// A model that has learned plain histories.
pub(crate) fn taught<M: Online>(model: M, rows: &[&[ItemIx]]) -> M {
    learned(model, &plain_log(rows))
}

/// Items of a plain query.
pub(crate) fn plain(items: &[ItemIx]) -> Vec<Interaction> {
    items.iter().map(|&item| Interaction::plain(item, 20_010 * DAY_S)).collect()
}

/// A query of somebody unknown.
pub(crate) fn ask<'a>(history: &'a [Interaction], histories: &'a dyn Histories) -> Query<'a> {
    Query { history, actor: None, segment: None, friends: &[], now_s: 20_010 * DAY_S, histories }
}
