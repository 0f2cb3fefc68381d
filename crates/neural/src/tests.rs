//! Whole trainings, through what the crate offers.

use std::ops::ControlFlow;

use zhiyin_core::Interaction;
use zhiyin_models::{Dataset, FitError, ItemFacts, ItemVectors, Model, Query, Scores, dataset::NoHistories};

use crate::{
    NAMES, Neural, Params, Trainer,
    params::{Architecture, TextUse},
    train::{Ended, Report},
};

const RING: u32 = 20;

fn plain(items: impl IntoIterator<Item = u32>) -> Vec<Interaction> {
    items.into_iter().zip(0..).map(|(item, time_s)| Interaction::plain(item, time_s)).collect()
}

fn dataset(n_items: u32, histories: &[Vec<Interaction>]) -> Dataset {
    Dataset::from_histories(vec![ItemFacts::default(); n_items as usize], histories.iter().map(Vec::as_slice))
}

/// Everybody walks around a ring of items, from somewhere on.
fn ring() -> Dataset {
    let walk = |user: u32| plain((0..3 + user % 9).map(|step| (user * 7 + step) % RING));
    dataset(RING, &(0..300).map(walk).collect::<Vec<_>>())
}

fn small(name: &str) -> Params {
    let mut params =
        Params { dims: 16, window: 8, batch: 128, epochs: 25, negatives: 8, rate: 0.01, ..Params::named(name) };
    if let Architecture::Transformer { feed, .. } = &mut params.architecture {
        *feed = 24;
    }
    params
}

fn fit(data: &Dataset, params: &Params) -> Result<(Neural, Report), FitError> {
    crate::fit(data, params, None, &mut |_, _| ControlFlow::Continue(()))
}

fn query(history: &[Interaction], now_s: u32) -> Query<'_> {
    Query { history, actor: None, segment: None, friends: &[], now_s, histories: &NoHistories }
}

fn scores(model: &Neural, history: &[Interaction], n_items: u32) -> Vec<f32> {
    let mut scores = Scores::new(n_items as usize);
    model.score(&query(history, history.len() as u32), &mut scores);
    scores.values().to_vec()
}

fn best(scores: &[f32]) -> u32 {
    (0..).zip(scores).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(item, _)| item)
}

#[test]
fn a_planted_ring_is_found_by_every_network() {
    for name in NAMES {
        let (model, report) = fit(&ring(), &small(name)).unwrap();
        assert_eq!((model.name(), &report.ended), (name, &Ended::Planned));
        let found = (0..RING).filter(|&item| {
            let history = plain([(item + RING - 1) % RING, item]);
            best(&scores(&model, &history, RING)) == (item + 1) % RING
        });
        let found = found.count();
        assert!(found >= 18, "{name} finds {found} of {RING}; {:?}", report.epochs.last());
        let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.loss).collect();
        assert!(losses[losses.len() - 1] < 0.7 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn a_training_that_goes_on_ends_like_one_that_was_never_interrupted() {
    let data = ring();
    for name in NAMES {
        let params = Params { epochs: 4, ..small(name) };
        let whole = fit(&data, &params).unwrap();
        let mut checkpoint = Vec::new();
        let stopped = crate::fit(&data, &params, None, &mut |trainer, watched| {
            checkpoint = trainer.checkpoint();
            if watched.step == 23 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(stopped.unwrap().1.ended, Ended::Stopped);
        let mut trainer = Trainer::new(&data, &params).unwrap();
        assert!(trainer.resume(&checkpoint));
        let (model, report) = trainer.run(None, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(report, whole.1, "{name}");
        let history = plain([3, 4, 5]);
        assert_eq!(scores(&model, &history, RING), scores(&whole.0, &history, RING), "{name}");

        let mut other = Trainer::new(&data, &Params { seed: 1, ..params.clone() }).unwrap();
        assert!(!other.resume(&checkpoint) && !other.resume(&checkpoint[..40]));
    }
}

#[test]
fn validation_says_what_is_kept_and_when_it_ends() {
    let data = ring();
    let params = Params { patience: 2, ..small("sequence") };
    let mut looks = [0.1, 0.3, 0.2, 0.3, 0.9].into_iter();
    let mut seen = Vec::new();
    let mut validate = |model: &Neural| {
        seen.push(scores(model, &plain([1, 2]), RING));
        looks.next().unwrap()
    };
    let fitted = crate::fit(&data, &params, Some(&mut validate), &mut |_, _| ControlFlow::Continue(()));
    let (model, report) = fitted.unwrap();
    assert_eq!((report.kept_after, report.quality, report.ended), (2, Some(0.3), Ended::Patience));
    assert_eq!(report.epochs.len(), 4);
    assert_eq!(scores(&model, &plain([1, 2]), RING), seen[1]);
    // The same numbers come of a training that is told to stop there.
    let again = fit(&data, &Params { stop_after: Some(2), ..params }).unwrap();
    assert_eq!(scores(&again.0, &plain([1, 2]), RING), seen[1]);
}

#[test]
fn the_limit_of_events_holds() {
    let data = ring();
    let params = Params { events_max: 2_000, ..small("sequence") };
    let (_, report) = fit(&data, &params).unwrap();
    assert!((2_000..2_200).contains(&report.events), "{}", report.events);
}

#[test]
fn parts_sum_to_the_score_and_the_last_event_says_most() {
    for (name, spread) in [("sequence", 1), ("sequence", 977), ("gru", 1), ("dense", 977)] {
        let mut data = ring();
        data.interactions.iter_mut().enumerate().for_each(|(at, event)| event.time_s *= 1 + (at as u32 % spread));
        let (model, _) = fit(&data, &small(name)).unwrap();
        let mut history = plain([9, 2, 9, 3]);
        history.iter_mut().for_each(|event| event.time_s *= spread);
        let all = scores(&model, &history, RING);
        let items: Vec<u32> = (0..RING + 2).collect();
        for (item, parts) in items.iter().zip(model.explain_each(&query(&history, 4), &items)) {
            let sum: f32 = parts.iter().map(|part| part.amount).sum();
            let score = all.get(*item as usize).copied().unwrap_or(0.0);
            assert!((sum - score).abs() < 1e-4, "{name} {item}: {sum} {score}");
            assert_eq!(parts.len(), 3, "an item that occurs twice is one cause");
        }
        assert_eq!(model.explain(&query(&[], 4), 1).iter().map(|part| part.amount).sum::<f32>(), 0.0);
    }
}

#[test]
fn reading_on_gives_what_reading_anew_gives() {
    let params =
        Params { architecture: Architecture::Transformer { blocks: 2, heads: 2, feed: 24 }, ..small("sequence") };
    let (model, _) = fit(&ring(), &Params { epochs: 3, ..params }).unwrap();
    let stored = postcard::to_stdvec(&model).unwrap();
    let long = plain((0..12).map(|step| step * 3 % RING));
    for to in 1..=long.len() {
        // The thread remembers what it read of this model, and nothing of a copy that was loaded just now.
        let grown = scores(&model, &long[..to], RING);
        let anew: Neural = postcard::from_bytes(&stored).unwrap();
        assert!(grown.iter().zip(scores(&anew, &long[..to], RING)).all(|(a, b)| (a - b).abs() < 1e-4), "{to}");
    }
    assert_eq!(scores(&model, &[], RING), [0.0; RING as usize]);
}

/// Users keep to one of two groups of items, which the texts tell.
fn groups(text: TextUse) -> (Dataset, Params) {
    let walk = |user: u32| plain((0..6).map(|step| (user % 2) * 10 + (user * 3 + step * step) % 10));
    let mut data = dataset(RING + 1, &(0..200).map(walk).collect::<Vec<_>>());
    let row = |item: u32| {
        [if item < 10 { 1.0 } else { -1.0 }, (item * 7 % 10) as f32 / 9.0, (item * 3 % 10) as f32 / 9.0, 0.5]
    };
    data.vectors = ItemVectors::new(4, (0..=RING).flat_map(row).collect());
    (data, Params { text, epochs: 12, ..small("sequence") })
}

#[test]
fn items_without_events_are_known_by_their_text() {
    for text in [TextUse::Sum, TextUse::Initialisation, TextUse::Subspace, TextUse::Delta] {
        let (data, params) = groups(text);
        let (model, _) = fit(&data, &params).unwrap();
        let (first, second) =
            (scores(&model, &plain([1, 4, 7]), RING + 1), scores(&model, &plain([12, 15, 18]), RING + 1));
        // Item 20 is of the second group.
        assert!(second[20] > first[20], "{text:?}: {} {}", second[20], first[20]);
    }
    let (data, params) = groups(TextUse::None);
    let (model, _) = fit(&data, &params).unwrap();
    assert_eq!(scores(&model, &plain([1, 4, 7]), RING + 1)[20], 0.0);
}

#[test]
fn an_item_that_comes_later_gets_a_vector_from_its_text() {
    let (data, params) = groups(TextUse::Sum);
    let (mut model, _) = fit(&data, &params).unwrap();
    let before = scores(&model, &plain([12, 15, 18]), RING + 4);
    assert_eq!(before[23], 0.0);
    assert!(model.admit(23, data.vectors.of(20).unwrap()));
    let after = scores(&model, &plain([12, 15, 18]), RING + 4);
    assert!((after[23] - after[20]).abs() < 1e-4 && after[20] == before[20] && after[22] == 0.0);
    assert!(!model.admit(24, &[1.0; 5]) && !model.admit(24, &[f32::NAN; 4]));
    assert_eq!(model.n_items(), 24);
}

#[test]
fn what_cannot_be_trained_is_refused_with_a_reason() {
    let refused = |data: &Dataset, params: &Params| fit(data, params).err().unwrap().to_string();
    let params = small("sequence");
    assert!(refused(&dataset(0, &[]), &params).contains("0 items with events"));
    assert!(refused(&dataset(3, &[plain([1]), plain([2])]), &params).contains("no history of two events"));
    assert!(refused(&dataset(3, &[plain([1, 1, 1])]), &params).contains("1 items with events"));
    let uneven = Params { architecture: Architecture::Transformer { blocks: 1, heads: 3, feed: 8 }, ..params.clone() };
    assert!(refused(&ring(), &uneven).contains("heads is 3"));
    let (mut data, params) = groups(TextUse::Sum);
    let mut rows = data.vectors.rows().to_vec();
    rows[4 * 7 + 2] = f32::NAN;
    data.vectors = ItemVectors::new(4, rows);
    assert!(refused(&data, &params).contains("item 7"));
}

#[test]
fn a_loss_that_comes_apart_ends_the_training_and_keeps_what_was_good() {
    // Rates beyond all measure: the numbers overflow sooner or later.
    let params = Params { rate: 1e30, clip: f32::INFINITY, ..small("sequence") };
    let error = fit(&ring(), &params).err().unwrap().to_string();
    assert!(error.contains("step") && error.contains("lower the rate"), "{error}");

    // One that comes apart later: the state after two epochs, its numbers replaced by some that overflow.
    let (data, params) = (ring(), Params { epochs: 6, ..small("dense") });
    let mut checkpoint = Vec::new();
    let stopped = crate::fit(&data, &params, None, &mut |trainer, watched| {
        checkpoint = trainer.checkpoint();
        if watched.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let good = scores(&stopped.unwrap().0, &plain([1, 2]), RING);
    let mut trainer = Trainer::new(&data, &params).unwrap();
    assert!(trainer.resume(&checkpoint));
    trainer.spoil();
    let (model, report) = trainer.run(None, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(matches!(&report.ended, Ended::Diverged(why) if why.contains("no longer a number")), "{:?}", report.ended);
    assert_eq!(report.kept_after, 2);
    assert_eq!(scores(&model, &plain([1, 2]), RING), good);
}
