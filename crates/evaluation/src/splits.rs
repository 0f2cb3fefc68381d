//! Ways to divide interactions into training, validation and test.
//!
//! A split doesn't copy anything: it gives every event of a [`Log`] its [`Part`] and every user's events an order, and lists what
//! is to be predicted as [`Target`]s. All protocols give the same [`Split`], so one evaluator drives them.

mod by_time;
mod by_user;

pub use by_time::{prequential, temporal};
pub use by_user::{cold_items, cold_users, leave_one_out, leave_one_out_shuffled, sessions, sessions_by_time};

/// The interactions of users (or sessions) in compressed rows.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// Events of user `u` are `offsets[u]..offsets[u + 1]`, oldest first. Length: users + 1.
    pub offsets: &'a [usize],
    /// Item of each event.
    pub items: &'a [u32],
    /// Time of each event in seconds; any rising numbers do if only the order within a user is known.
    pub times_s: &'a [u32],
}

impl Log<'_> {
    /// Users.
    pub fn n_users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Events.
    pub fn n_events(&self) -> usize {
        self.items.len()
    }

    /// Positions of a user's events.
    pub fn row(&self, user: usize) -> std::ops::Range<usize> {
        self.offsets[user]..self.offsets[user + 1]
    }

    /// Positions of all events by time, ties by user and place: the order of a replay.
    pub fn in_time_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.n_events()).collect();
        order.sort_by_key(|&position| self.times_s[position]);
        order
    }
}

/// What an event is for. Every event is in exactly one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Models learn from it.
    Train,
    /// Hyper-parameters are chosen by how well it is predicted.
    Validation,
    /// Measured.
    Test,
    /// In no use: an event of a held-out item or user that would give it away.
    Removed,
}

/// An event to be predicted, or the first of several that are predicted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whose event.
    pub user: usize,
    /// Its place in the user's row of [`Split::order`]; the events before it are the history.
    pub place: usize,
}

/// A division of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    offsets: Vec<usize>,
    order: Vec<usize>,
    parts: Vec<Part>,
    /// Validation and test events in the order in which they are to be predicted.
    targets: Vec<Target>,
    /// By item, whether it was held out; empty if the protocol holds none out.
    pub cold_items: Vec<bool>,
}

impl Split {
    /// A split that keeps the order of the log. `part` gives the part of each position.
    fn new(log: &Log<'_>, part: impl Fn(usize) -> Part) -> Self {
        let order: Vec<usize> = (0..log.n_events()).collect();
        Self::ordered(log, order, part)
    }

    fn ordered(log: &Log<'_>, order: Vec<usize>, part: impl Fn(usize) -> Part) -> Self {
        let parts: Vec<Part> = order.iter().map(|&position| part(position)).collect();
        let mut split =
            Self { offsets: log.offsets.to_vec(), order, parts, targets: Vec::new(), cold_items: Vec::new() };
        split.targets = (0..log.n_users()).flat_map(|user| split.targets_of(user)).collect();
        split
    }

    fn targets_of(&self, user: usize) -> Vec<Target> {
        let row = self.parts_of(user).iter().zip(0..);
        let predicted = row.filter(|(part, _)| matches!(part, Part::Validation | Part::Test));
        predicted.map(|(_, place)| Target { user, place }).collect()
    }

    /// Users.
    pub fn n_users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Positions (in the log) of a user's events, in the order that the protocol gives them.
    pub fn order(&self, user: usize) -> &[usize] {
        &self.order[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Parts of a user's events, parallel to [`Split::order`].
    pub fn parts_of(&self, user: usize) -> &[Part] {
        &self.parts[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Positions of a user's events of one part.
    pub fn of(&self, user: usize, part: Part) -> impl Iterator<Item = usize> + '_ {
        let events = self.order(user).iter().zip(self.parts_of(user));
        events.filter(move |(_, own)| **own == part).map(|(&position, _)| position)
    }

    /// The part that each position of the log is in.
    pub fn part_by_position(&self) -> Vec<Part> {
        let mut parts = vec![Part::Removed; self.order.len()];
        self.order.iter().zip(&self.parts).for_each(|(&position, &part)| parts[position] = part);
        parts
    }

    /// Events of one part to be predicted one by one, in the order of prediction: by user, or by time for [`prequential`].
    pub fn targets(&self, part: Part) -> impl Iterator<Item = Target> + '_ {
        self.targets.iter().copied().filter(move |target| self.parts_of(target.user)[target.place] == part)
    }

    /// The first event of one part of each user who has any: for predicting all of a user's events of that part at once.
    pub fn first_targets(&self, part: Part) -> Vec<Target> {
        let first =
            |user: usize| self.parts_of(user).iter().position(|&own| own == part).map(|place| Target { user, place });
        (0..self.n_users()).filter_map(first).collect()
    }

    /// Position of the event to be predicted.
    pub fn position(&self, target: Target) -> usize {
        self.order(target.user)[target.place]
    }

    /// Positions of the events before the target, oldest first, without removed ones.
    pub fn history(&self, target: Target) -> Vec<usize> {
        let events = self.order(target.user)[..target.place].iter().zip(self.parts_of(target.user));
        events.filter(|(_, part)| **part != Part::Removed).map(|(&position, _)| position).collect()
    }

    /// As [`Split::history`], without events of the target's own time: nothing of its own basket can be seen.
    pub fn history_of_earlier_times(&self, log: &Log<'_>, target: Target) -> Vec<usize> {
        let now = log.times_s[self.position(target)];
        let mut history = self.history(target);
        history.retain(|&position| log.times_s[position] < now);
        history
    }

    /// By item, whether a training event has it: targets among them are warm, the others cold.
    pub fn warm_items(&self, log: &Log<'_>, n_items: usize) -> Vec<bool> {
        let mut warm = vec![false; n_items];
        for (&position, _) in self.order.iter().zip(&self.parts).filter(|(_, part)| **part == Part::Train) {
            warm[log.items[position] as usize] = true;
        }
        warm
    }
}

#[cfg(test)]
mod tests;
