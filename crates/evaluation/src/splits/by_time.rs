//! Splits at points in time: the only ones that cannot see the future.

use super::{Log, Part, Split, Target};

/// Global cuts at the times of the events at the shares `first` and `second` (.8 and .9 by custom) of all events: train < t₁ ≤
/// validation < t₂ ≤ test. Events of one time are never separated.
pub fn temporal(log: &Log<'_>, first: f64, second: f64) -> Split {
    let times = log.in_time_order().into_iter().map(|position| log.times_s[position]).collect::<Vec<u32>>();
    let cut = |share: f64| times.get((share * times.len() as f64) as usize).copied().unwrap_or(u32::MAX);
    let (first, second) = (cut(first), cut(second));
    Split::new(log, |position| match log.times_s[position] {
        time if time < first => Part::Train,
        time if time < second => Part::Validation,
        _ => Part::Test,
    })
}

/// Replay: as [`temporal`], with the targets in the order of time, so that an evaluator can predict, then learn, event by event.
/// Which of an event's predecessors of the same time it may look at is its choice: [`Split::history`] or
/// [`Split::history_of_earlier_times`].
pub fn prequential(log: &Log<'_>, first: f64, second: f64) -> Split {
    let mut split = temporal(log, first, second);
    // Stable, and the targets are by user and place: ties keep that order, as in `Log::in_time_order`.
    let mut targets: Vec<(u32, Target)> =
        split.targets.iter().map(|&target| (log.times_s[split.position(target)], target)).collect();
    targets.sort_by_key(|(time, _)| *time);
    split.targets = targets.into_iter().map(|(_, target)| target).collect();
    split
}
