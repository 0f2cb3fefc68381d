//! The protocols: from interactions to a [`Split`].

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use zhiyin_core::{ActorIx, Interaction, ItemIx};
use zhiyin_evaluation::{
    Log, Part, Split as Division, Target,
    splits::{cold_items, cold_users, leave_one_out, leave_one_out_shuffled, sessions, sessions_by_time, temporal},
};
use zhiyin_models::Dataset;

use super::{
    ExperimentConfig, ExperimentError, Protocol,
    split::{ExperimentData, Group, OwnedCase, Split, dataset_of},
};
use crate::replay::distinct_items;

/// Share of the sessions, items, users or interactions that a protocol holds out where custom doesn't say otherwise.
const VALIDATION_SHARE: f64 = 0.1;
/// Share of items that `cold-items` holds out.
const COLD_ITEM_SHARE: f64 = 0.05;
/// Share of users that `cold-users` holds out, half of them for validation.
const COLD_USER_SHARE: f64 = 0.2;
/// Known events of `cold-users`, at most.
const COLD_USER_EVENTS: usize = 3;
/// Share of repeated choices from which on a data set is read as one where repeats are welcome.
const REPEATS_MIN: f64 = 0.05;

/// Splits the data as the protocol says.
pub(super) fn split(data: &ExperimentData, config: &ExperimentConfig) -> Result<Split, ExperimentError> {
    match config.protocol {
        Protocol::Given => given(data, config.seed),
        Protocol::Temporal if data.order_only => Err(ExperimentError::Unsuitable {
            protocol: "temporal",
            reason: "the data tells the order within each history but no times".into(),
            remedy: "use leave-one-out",
        }),
        _ => divided(data, config),
    }
}

/// Whether rankings leave out items of the history: by custom for some protocols, else unless repeats are common in the data.
pub(super) fn masks_history(data: &ExperimentData, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Sessions => false,
        Protocol::Temporal | Protocol::Prequential => repeated_share(data) < REPEATS_MIN,
        _ => true,
    }
}

fn repeated_share(data: &ExperimentData) -> f64 {
    let events: usize = data.histories.iter().map(Vec::len).sum();
    let distinct: usize = data.histories.iter().map(|history| distinct_items(history).len()).sum();
    1.0 - distinct as f64 / events.max(1) as f64
}

/// Flat copies of histories, as the splitter reads them.
struct Flat {
    offsets: Vec<usize>,
    items: Vec<ItemIx>,
    times_s: Vec<u32>,
    events: Vec<Interaction>,
}

impl Flat {
    fn of<'a>(histories: impl Iterator<Item = &'a Vec<Interaction>>) -> Self {
        let mut flat = Self { offsets: vec![0], items: Vec::new(), times_s: Vec::new(), events: Vec::new() };
        for history in histories {
            flat.events.extend_from_slice(history);
            flat.offsets.push(flat.events.len());
        }
        flat.items = flat.events.iter().map(|event| event.item).collect();
        flat.times_s = flat.events.iter().map(|event| event.time_s).collect();
        flat
    }

    fn log(&self) -> Log<'_> {
        Log { offsets: &self.offsets, items: &self.items, times_s: &self.times_s }
    }
}

fn divided(data: &ExperimentData, config: &ExperimentConfig) -> Result<Split, ExperimentError> {
    let tests = data.test_histories.as_deref().unwrap_or_default();
    let flat = Flat::of(data.histories.iter().chain(tests));
    let log = flat.log();
    let seed = config.seed;
    let division = match config.protocol {
        Protocol::Temporal => temporal(&log, 0.8, 0.9),
        Protocol::LeaveOneOutShuffled => leave_one_out_shuffled(&log, seed),
        Protocol::ColdItems => cold_items(&log, data.items.len(), COLD_ITEM_SHARE, seed),
        Protocol::ColdUsers => cold_users(&log, COLD_USER_SHARE, COLD_USER_EVENTS, seed),
        Protocol::Sessions if tests.is_empty() => sessions_by_time(&log, VALIDATION_SHARE, VALIDATION_SHARE),
        Protocol::Sessions => {
            let is_test: Vec<bool> = (0..log.n_users()).map(|row| row >= data.histories.len()).collect();
            sessions(&log, &is_test, VALIDATION_SHARE, seed)
        }
        _ => leave_one_out(&log),
    };
    let maker = Maker { data, flat: &flat, division: &division, protocol: config.protocol };
    let split = maker.split();
    if split.test.is_empty() || split.validation.is_empty() {
        return Err(ExperimentError::Unsuitable {
            protocol: config.protocol.name(),
            reason: format!("it leaves {} validation and {} test cases", split.validation.len(), split.test.len()),
            remedy: "use more data or another protocol",
        });
    }
    Ok(split)
}

/// Turns a division of positions into histories and cases.
struct Maker<'a> {
    data: &'a ExperimentData,
    flat: &'a Flat,
    division: &'a Division,
    protocol: Protocol,
}

impl Maker<'_> {
    fn split(&self) -> Split {
        let refits = matches!(self.protocol, Protocol::Temporal | Protocol::Sessions);
        Split {
            train: self.dataset(&[Part::Train]),
            validation: self.cases(Part::Validation, &[Part::Train]),
            refit: refits.then(|| self.dataset(&[Part::Train, Part::Validation])),
            test: self.cases(Part::Test, if refits { &[Part::Train, Part::Validation] } else { &[Part::Train] }),
            mask_history: masks_history(self.data, self.protocol),
            cold_items: self.division.cold_items.clone(),
        }
    }

    fn dataset(&self, parts: &[Part]) -> Dataset {
        let history = |user: usize| {
            let events = self.division.order(user).iter().zip(self.division.parts_of(user));
            events.filter(|(_, part)| parts.contains(part)).map(|(&at, _)| self.flat.events[at]).collect::<Vec<_>>()
        };
        let histories: Vec<Vec<Interaction>> = (0..self.division.n_users()).map(history).collect();
        dataset_of(self.data, &histories)
    }

    fn cases(&self, part: Part, known: &[Part]) -> Vec<OwnedCase> {
        let warm = self.warm_items(known);
        if self.protocol == Protocol::Temporal {
            // All that a user chose in the period is to be found from what was known when it began.
            let first = self.division.first_targets(part);
            return first
                .into_iter()
                .map(|target| self.case(target, self.items_of(target.user, part), &warm))
                .collect();
        }
        let single = |target| self.case(target, vec![self.flat.items[self.division.position(target)]], &warm);
        self.division.targets(part).map(single).collect()
    }

    fn items_of(&self, user: usize, part: Part) -> Vec<ItemIx> {
        let mut items: Vec<ItemIx> = self.division.of(user, part).map(|at| self.flat.items[at]).collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    fn warm_items(&self, known: &[Part]) -> Vec<bool> {
        let mut warm = vec![false; self.data.items.len()];
        for (at, part) in self.division.part_by_position().into_iter().enumerate() {
            if known.contains(&part) {
                warm[self.flat.items[at] as usize] = true;
            }
        }
        warm
    }

    fn case(&self, target: Target, targets: Vec<ItemIx>, warm: &[bool]) -> OwnedCase {
        let history: Vec<Interaction> =
            self.division.history(target).into_iter().map(|at| self.flat.events[at]).collect();
        let trains = !matches!(self.protocol, Protocol::Sessions | Protocol::ColdUsers);
        OwnedCase {
            actor: trains.then_some(target.user as ActorIx),
            group: self.group(&targets, history.len(), warm),
            history,
            targets,
            now_s: self.flat.times_s[self.division.position(target)],
            unit: target.user as u32,
        }
    }

    fn group(&self, targets: &[ItemIx], known: usize, warm: &[bool]) -> Group {
        let is_warm = targets.iter().any(|&item| warm[item as usize]);
        match self.protocol {
            Protocol::ColdUsers => Group::Events(known as u8),
            Protocol::ColdItems => {
                let is_cold = targets.iter().any(|&item| self.division.cold_items[item as usize]);
                if is_cold { Group::Cold } else { Group::Warm }
            }
            Protocol::Temporal => {
                if is_warm {
                    Group::Warm
                } else {
                    Group::Cold
                }
            }
            _ => Group::Whole,
        }
    }
}

/// A training and a test file: a random tenth of each training history is the validation.
fn given(data: &ExperimentData, seed: u64) -> Result<Split, ExperimentError> {
    let Some(tests) = &data.test_histories else {
        return Err(ExperimentError::Unsuitable {
            protocol: "given",
            reason: "there is no test file".into(),
            remedy: "name it with --test",
        });
    };
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut kept = Vec::with_capacity(data.histories.len());
    let mut validation = Vec::new();
    for (user, history) in data.histories.iter().enumerate() {
        let (held, rest): (Vec<_>, Vec<_>) =
            history.iter().copied().partition(|_| random.random_bool(VALIDATION_SHARE));
        if !held.is_empty() && !rest.is_empty() {
            validation.push(set_case(user, rest.clone(), &held));
        }
        kept.push(rest);
    }
    let test = data.histories.iter().zip(tests).enumerate().filter(|(_, (_, test))| !test.is_empty());
    Ok(Split {
        train: dataset_of(data, &kept),
        validation,
        refit: Some(dataset_of(data, &data.histories)),
        test: test.map(|(user, (history, test))| set_case(user, history.clone(), test)).collect(),
        mask_history: true,
        cold_items: Vec::new(),
    })
}

/// A case with all of `chosen` to be found.
fn set_case(user: usize, history: Vec<Interaction>, chosen: &[Interaction]) -> OwnedCase {
    OwnedCase {
        actor: Some(user as ActorIx),
        now_s: chosen.iter().chain(&history).map(|event| event.time_s).max().unwrap_or(0),
        targets: distinct_items(chosen),
        history,
        unit: user as u32,
        group: Group::Whole,
    }
}
