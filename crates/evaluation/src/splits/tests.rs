use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const N_ITEMS: usize = 12;

#[derive(Clone, Debug)]
struct Owned {
    offsets: Vec<usize>,
    items: Vec<u32>,
    times_s: Vec<u32>,
}

impl Owned {
    fn log(&self) -> Log<'_> {
        Log { offsets: &self.offsets, items: &self.items, times_s: &self.times_s }
    }
}

fn owned(rows: &[Vec<(u32, u32)>]) -> Owned {
    let mut log = Owned { offsets: vec![0], items: Vec::new(), times_s: Vec::new() };
    for row in rows {
        let mut row = row.clone();
        row.sort_by_key(|(_, time)| *time);
        log.items.extend(row.iter().map(|(item, _)| item));
        log.times_s.extend(row.iter().map(|(_, time)| time));
        log.offsets.push(log.items.len());
    }
    log
}

fn logs() -> impl Strategy<Value = Owned> {
    let event = (0..N_ITEMS as u32, 0_u32..40);
    prop::collection::vec(prop::collection::vec(event, 0..10), 1..12).prop_map(|rows| owned(&rows))
}

fn all_splits(log: &Log<'_>, seed: u64) -> Vec<Split> {
    let is_test: Vec<bool> = (0..log.n_users()).map(|user| user % 3 == 0).collect();
    vec![
        leave_one_out(log),
        leave_one_out_shuffled(log, seed),
        temporal(log, 0.8, 0.9),
        prequential(log, 0.8, 0.9),
        cold_items(log, N_ITEMS, 0.25, seed),
        cold_users(log, 0.5, 3, seed),
        sessions(log, &is_test, 0.3, seed),
        sessions_by_time(log, 0.1, 0.2),
    ]
}

fn times(split: &Split, log: &Log<'_>, part: Part) -> Vec<u32> {
    (0..split.n_users()).flat_map(|user| split.of(user, part)).map(|position| log.times_s[position]).collect()
}

#[test]
fn leave_one_out_by_hand() {
    let log = owned(&[vec![(5, 1), (6, 2), (7, 3), (8, 4)], vec![(1, 1), (2, 2)]]);
    let split = leave_one_out(&log.log());
    let test: Vec<Target> = split.targets(Part::Test).collect();
    assert_eq!(test, [Target { user: 0, place: 3 }]);
    assert_eq!((split.position(test[0]), split.history(test[0])), (3, vec![0, 1, 2]));
    assert_eq!(split.of(0, Part::Train).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(split.of(0, Part::Validation).collect::<Vec<_>>(), [2]);
    assert_eq!(split.of(1, Part::Train).count(), 2);
}

#[test]
fn temporal_by_hand_with_warm_items_and_baskets() {
    let rows = [vec![(0, 1), (1, 2), (2, 8), (3, 9), (4, 9)], vec![(0, 3), (1, 4), (5, 5), (6, 6), (7, 7)]];
    let log = owned(&rows);
    let split = temporal(&log.log(), 0.7, 0.8);
    // Times in order: 1 … 9, 9; the cuts are at the eighth (8) and the ninth (9).
    assert_eq!(times(&split, &log.log(), Part::Validation), [8]);
    assert_eq!(times(&split, &log.log(), Part::Test), [9, 9]);
    let warm = split.warm_items(&log.log(), N_ITEMS);
    assert_eq!((warm[1], warm[7], warm[2], warm[3]), (true, true, false, false));
    let second = split.targets(Part::Test).nth(1).unwrap();
    assert_eq!(split.history(second).len(), 4);
    assert_eq!(split.history_of_earlier_times(&log.log(), second).len(), 3);
    assert_eq!(split.first_targets(Part::Test), [Target { user: 0, place: 3 }]);
}

#[test]
fn shuffling_moves_only_ties_and_depends_on_the_seed() {
    let log = owned(&[(0..10).map(|item| (item, item / 5)).collect()]);
    let orders: BTreeSet<Vec<usize>> =
        (0..5).map(|seed| leave_one_out_shuffled(&log.log(), seed).order(0).to_vec()).collect();
    assert!(orders.len() > 1);
    for order in orders {
        assert!(order[..5].iter().all(|position| *position < 5), "{order:?}");
    }
}

#[test]
fn sessions_are_revealed_from_the_second_event_on() {
    let log = owned(&[vec![(0, 1), (1, 2)], vec![(2, 3), (3, 4), (2, 5)], vec![(4, 6)]]);
    let split = sessions_by_time(&log.log(), 0.0, 0.67);
    let targets: Vec<Target> = split.targets(Part::Test).collect();
    assert_eq!(targets, [Target { user: 1, place: 1 }, Target { user: 1, place: 2 }]);
    assert_eq!(split.of(0, Part::Train).count(), 2);
}

#[test]
fn cold_users_are_predicted_from_0_to_3_events() {
    let log = owned(&vec![(0..8).map(|item| (item, item)).collect::<Vec<_>>(); 10]);
    let split = cold_users(&log.log(), 0.4, 3, 1);
    let known: Vec<usize> = split.targets(Part::Test).map(|target| target.place).collect();
    assert_eq!(known, [0, 1, 2, 3, 0, 1, 2, 3]);
    assert!(split.targets(Part::Test).all(|target| split.of(target.user, Part::Train).count() == 0));
}

proptest! {
    #[test]
    fn every_event_is_in_exactly_one_part_and_orders_are_permutations(log in logs(), seed in 0_u64..5) {
        let log = log.log();
        for split in all_splits(&log, seed) {
            let mut seen: Vec<usize> = Vec::new();
            for part in [Part::Train, Part::Validation, Part::Test, Part::Removed] {
                seen.extend((0..split.n_users()).flat_map(|user| split.of(user, part)));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..log.n_events()).collect::<Vec<_>>());
            for user in 0..log.n_users() {
                prop_assert!(split.order(user).iter().all(|position| log.row(user).contains(position)));
                prop_assert!(split.order(user).is_sorted_by_key(|&position| log.times_s[position]));
            }
            let parts = split.part_by_position();
            prop_assert!(split.targets(Part::Test).all(|target| parts[split.position(target)] == Part::Test));
        }
    }

    #[test]
    fn histories_never_reach_beyond_their_target(log in logs(), seed in 0_u64..5) {
        let log = log.log();
        for split in all_splits(&log, seed) {
            for target in split.targets(Part::Test).chain(split.targets(Part::Validation)) {
                let now = log.times_s[split.position(target)];
                let history = split.history(target);
                prop_assert!(!history.contains(&split.position(target)));
                prop_assert!(history.iter().all(|&position| log.times_s[position] <= now));
                let earlier = split.history_of_earlier_times(&log, target);
                prop_assert!(earlier.iter().all(|&position| log.times_s[position] < now));
            }
        }
    }

    #[test]
    fn temporal_splits_never_leak(log in logs()) {
        let log = log.log();
        for split in [temporal(&log, 0.8, 0.9), prequential(&log, 0.8, 0.9)] {
            let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(|part| times(&split, &log, part));
            let ordered = |before: &[u32], after: &[u32]| match (before.iter().max(), after.iter().min()) {
                (Some(last), Some(first)) => last < first,
                _ => true,
            };
            prop_assert!(ordered(&train, &validation) && ordered(&validation, &test) && ordered(&train, &test));
        }
        let replay = prequential(&log, 0.8, 0.9);
        prop_assert!(replay.targets(Part::Test).is_sorted_by_key(|target| log.times_s[replay.position(target)]));
    }

    #[test]
    fn held_out_items_are_in_no_history_and_no_training(log in logs(), seed in 0_u64..5) {
        let log = log.log();
        let split = cold_items(&log, N_ITEMS, 0.25, seed);
        prop_assert_eq!(split.cold_items.iter().filter(|cold| **cold).count(), 3);
        let is_cold = |position: usize| split.cold_items[log.items[position] as usize];
        for user in 0..log.n_users() {
            prop_assert!(!split.of(user, Part::Train).any(is_cold));
        }
    }
}
