//! Splits within each user's row, or by which users and items are held out.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;

use super::{Log, Part, Split, Target};

/// The last event is the test, the last but one the validation, the rest trains; users with fewer than three events only train.
///
/// For comparison with papers only: what other users did later trains too.
pub fn leave_one_out(log: &Log<'_>) -> Split {
    last_two(log, (0..log.n_events()).collect())
}

/// As [`leave_one_out`], with events of equal time of a user in random order: shows whether a result is an artefact of the order of
/// lines in a file.
pub fn leave_one_out_shuffled(log: &Log<'_>, seed: u64) -> Split {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..log.n_events()).collect();
    for user in 0..log.n_users() {
        let row = &mut order[log.row(user)];
        row.shuffle(&mut random);
        row.sort_by_key(|&position| log.times_s[position]);
    }
    last_two(log, order)
}

fn last_two(log: &Log<'_>, order: Vec<usize>) -> Split {
    let mut parts = vec![Part::Train; log.n_events()];
    for row in (0..log.n_users()).map(|user| log.row(user)).filter(|row| row.len() >= 3) {
        parts[order[row.end - 1]] = Part::Test;
        parts[order[row.end - 2]] = Part::Validation;
    }
    Split::ordered(log, order, |position| parts[position])
}

/// Cold start of items: of `n_items`, a random `share` (.05 by custom) is held out: their events are removed, except where one is the
/// last or last but one of a row, which are test and validation as in [`leave_one_out`]. Histories don't contain held-out items.
pub fn cold_items(log: &Log<'_>, n_items: usize, share: f64, seed: u64) -> Split {
    let mut items: Vec<usize> = (0..n_items).collect();
    items.shuffle(&mut Pcg64::seed_from_u64(seed));
    let mut cold = vec![false; n_items];
    items.iter().take((share * n_items as f64).round() as usize).for_each(|&item| cold[item] = true);
    let mut split = leave_one_out(log);
    let is_cold = |position: usize| cold[log.items[position] as usize];
    let trained = split.order.iter().zip(&mut split.parts).filter(|(_, part)| **part == Part::Train);
    trained.filter(|(position, _)| is_cold(**position)).for_each(|(_, part)| *part = Part::Removed);
    split.cold_items = cold;
    split
}

/// Cold start of users: a random `share` of the users is held out of training, half of them for validation. Their first
/// `events_max + 1` events are predicted in turn, each from those before it, so [`Target::place`] is the number of known events.
pub fn cold_users(log: &Log<'_>, share: f64, events_max: usize, seed: u64) -> Split {
    let mut users: Vec<usize> = (0..log.n_users()).collect();
    users.shuffle(&mut Pcg64::seed_from_u64(seed));
    let held_out = (share * users.len() as f64).round() as usize;
    let mut parts = vec![Part::Train; log.n_events()];
    for (place, &user) in users.iter().take(held_out).enumerate() {
        let part = if place % 2 == 0 { Part::Test } else { Part::Validation };
        for (event, position) in log.row(user).enumerate() {
            parts[position] = if event <= events_max { part } else { Part::Removed };
        }
    }
    Split::new(log, |position| parts[position])
}

/// Sessions, each revealed event by event: rows that `is_test` are predicted from their second event on, the others train, except a
/// random `validation` share of them. The first event of a predicted row is its history and isn't learnt from.
pub fn sessions(log: &Log<'_>, is_test: &[bool], validation: f64, seed: u64) -> Split {
    let mut random = Pcg64::seed_from_u64(seed);
    let parts: Vec<Part> = is_test
        .iter()
        .map(|&is_test| match is_test {
            true => Part::Test,
            false if random.random_bool(validation.clamp(0.0, 1.0)) => Part::Validation,
            false => Part::Train,
        })
        .collect();
    revealed(log, &parts)
}

/// As [`sessions`], by when a session begins: the last `test` share of the sessions is measured, the `validation` share before it
/// chooses hyper-parameters, the rest trains.
pub fn sessions_by_time(log: &Log<'_>, validation: f64, test: f64) -> Split {
    let n = log.n_users();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&user| log.times_s.get(log.row(user).start).copied());
    let tested = ((test * n as f64).round() as usize).min(n);
    let validated = ((validation * n as f64).round() as usize).min(n - tested);
    let mut parts = vec![Part::Train; n];
    order[n - tested..].iter().for_each(|&user| parts[user] = Part::Test);
    order[n - tested - validated..n - tested].iter().for_each(|&user| parts[user] = Part::Validation);
    revealed(log, &parts)
}

/// Gives whole rows their part; the first event of a predicted row is no target.
fn revealed(log: &Log<'_>, by_user: &[Part]) -> Split {
    let mut parts = vec![Part::Train; log.n_events()];
    for (user, &part) in by_user.iter().enumerate() {
        parts[log.row(user)].fill(part);
    }
    let mut split = Split::new(log, |position| parts[position]);
    split.targets.retain(|Target { place, .. }| *place > 0);
    split
}
