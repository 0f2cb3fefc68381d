//! `user item item …` per line, oldest first: the layout of the Amazon 5-core files in the literature on sequential recommendation.
//!
//! These files have an order and no times. The event at place `k` of every line gets the time [`SEQUENCE_START_S`] + k ·
//! [`SEQUENCE_STEP_S`], the same for every user: the order within a history is kept, and the times of different users say nothing about
//! each other. Protocols that cut at a point in time make no sense on them.

use std::sync::Arc;

use zhiyin_core::{EventInput, TimeInput};

use crate::{
    DatasetError, LineProblem, Source,
    error::rules,
    input::{ByteCount, Lines, short_hash},
    reader::{Opened, Record, Step, Steps, with_item_table},
};

/// The time of the first event of every sequence, in seconds since 1970 UTC: 2000-01-01.
pub const SEQUENCE_START_S: u32 = 946_684_800;
/// Seconds between the events of a sequence: an hour, so that nobody looks like a robot.
pub const SEQUENCE_STEP_S: u32 = 3_600;
/// Steps after which the synthetic time stands still, long before the present.
const STEPS_MAX: usize = 200_000;

/// The synthetic time of the event at a place of a sequence, in seconds since 1970 UTC.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn synthetic_time_s(place: usize) -> u32 {
    SEQUENCE_START_S + SEQUENCE_STEP_S * place.min(STEPS_MAX) as u32
}

pub(crate) fn open(source: &Source) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let lines = Lines::open(&source.path, &mut bytes)?;
    let steps: Steps = Box::new(Sequences { lines, user: Arc::from(""), items: Vec::new(), place: 0, ended: false });
    let steps = with_item_table(source, &mut bytes, steps)?;
    Ok(Opened { steps, bytes, loaded: None })
}

/// Gives the events of one line after the other.
struct Sequences {
    lines: Lines,
    user: Arc<str>,
    items: Vec<Box<str>>,
    place: usize,
    ended: bool,
}

impl Sequences {
    /// Reads the next line that has events; false at the end.
    fn load_line(&mut self) -> Result<bool, LineProblem> {
        while self.lines.advance()? {
            let mut names = self.lines.text()?.split_ascii_whitespace();
            let Some(user) = names.next() else { continue };
            self.user = Arc::from(user);
            self.items = names.map(Box::from).collect();
            self.place = 0;
            if self.items.is_empty() {
                return Err(self.lines.problem(rules::NO_ITEMS, format!("user {} has no items", self.user)));
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn event(&self, item: &str) -> EventInput {
        EventInput {
            id: Some(self.event_id(item)),
            kind: "purchase".to_owned(),
            user: Some(self.user.to_string()),
            item: Some(item.to_owned()),
            time: Some(TimeInput::Millis(i64::from(synthetic_time_s(self.place)) * 1000)),
            ..EventInput::default()
        }
    }

    /// Doesn't depend on the line, so that a file whose users have moved or whose sequences have grown keeps the identifiers of what
    /// it said before.
    fn event_id(&self, item: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.user.as_bytes()).update(&[0]).update(item.as_bytes());
        format!("{}-{}-{}", self.lines.stem(), short_hash(&hasher), self.place)
    }
}

impl Iterator for Sequences {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.place >= self.items.len() {
            if self.ended {
                return None;
            }
            match self.load_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(problem) => {
                    self.ended = problem.rule == rules::UNREADABLE;
                    return Some(problem.into());
                }
            }
        }
        let event = self.event(&self.items[self.place]);
        self.place += 1;
        Some(Record::Event(event).into())
    }
}
