//! Cleaning: every rule that an event must pass before it reaches the log, each with a name and a counter.
//!
//! It comes in two parts. [`rules`] need nothing but the event and the time, so callers run them on their own threads. [`habits`]
//! remember what came before (bursts, repeats, usual quantities) within bounded memory, so the writer runs them, in order. An event
//! that breaks a rule is repaired where its meaning is certain (a clock that runs ahead, an absurd quantity), else refused and kept
//! apart with the rule and the reason. What habits remember is a protection, not state: it is lost with the process and rebuilt from
//! the end of the log.

mod config;
pub mod counters;
mod generations;
pub mod habits;
pub mod rules;

use std::fmt;

use zhiyin_core::{Event, EventInput, KindWeights, Problem, clock::Millis};

pub use config::CleaningConfig;
pub use counters::Counters;
pub use habits::{Habits, Judgement};
pub use rules::Rules;

/// The rules by which an event is repaired or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The event could not be read at all.
    Schema,
    /// Its kind is neither built in nor configured.
    UnknownType,
    /// It names neither user nor session.
    MissingActor,
    /// Its kind is about an item and it names none.
    MissingItem,
    /// A name is empty, too long or has control characters.
    Id,
    /// Its decision is no UUID; the decision is dropped.
    DecisionId,
    /// Its time is neither milliseconds nor RFC 3339.
    TimeFormat,
    /// Its time is in the future: set to now within the clock skew, refused beyond.
    FutureTime,
    /// Its time is too far in the past.
    TooOld,
    /// A number is infinite or not a number.
    NotFinite,
    /// Its quantity is 0, too large, or negative where only a purchase can be returned.
    RangeQuantity,
    /// Its price is negative or too large.
    RangePrice,
    /// A rating without value or with one outside the scale.
    RangeRating,
    /// Its dwell is negative, or is cut to the longest one.
    RangeDwell,
    /// A text is too long.
    TextTooLong,
    /// Its attributes take too many bytes.
    AttributesTooLarge,
    /// Its attributes are nested too deeply.
    AttributesTooDeep,
    /// It names a user or session that does not exist, and creating them is off.
    UnknownUser,
    /// It names an item that does not exist, and creating them is off.
    UnknownItem,
    /// Too many events of one actor within a minute of their own time, purchases left out.
    Burst,
    /// The same actor did the same to the same item a moment ago.
    Repeat,
    /// A quantity far from what is usual for the item; set to the limit.
    OutlierQuantity,
    /// A return of something that was not bought; kept in the log, changes nothing.
    ReturnWithoutPurchase,
}

impl Rule {
    /// All rules, in the order of the declaration.
    pub const ALL: [Rule; 23] = [
        Rule::Schema,
        Rule::UnknownType,
        Rule::MissingActor,
        Rule::MissingItem,
        Rule::Id,
        Rule::DecisionId,
        Rule::TimeFormat,
        Rule::FutureTime,
        Rule::TooOld,
        Rule::NotFinite,
        Rule::RangeQuantity,
        Rule::RangePrice,
        Rule::RangeRating,
        Rule::RangeDwell,
        Rule::TextTooLong,
        Rule::AttributesTooLarge,
        Rule::AttributesTooDeep,
        Rule::UnknownUser,
        Rule::UnknownItem,
        Rule::Burst,
        Rule::Repeat,
        Rule::OutlierQuantity,
        Rule::ReturnWithoutPurchase,
    ];

    /// The rule's name, as outcomes, counters and rejected events carry it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Schema => "schema",
            Rule::UnknownType => "unknown-type",
            Rule::MissingActor => "missing-actor",
            Rule::MissingItem => "missing-item",
            Rule::Id => "id",
            Rule::DecisionId => "decision-id",
            Rule::TimeFormat => "time-format",
            Rule::FutureTime => "future-time",
            Rule::TooOld => "too-old",
            Rule::NotFinite => "not-finite",
            Rule::RangeQuantity => "range-quantity",
            Rule::RangePrice => "range-price",
            Rule::RangeRating => "range-rating",
            Rule::RangeDwell => "range-dwell",
            Rule::TextTooLong => "text-too-long",
            Rule::AttributesTooLarge => "attributes-too-large",
            Rule::AttributesTooDeep => "attributes-too-deep",
            Rule::UnknownUser => "unknown-user",
            Rule::UnknownItem => "unknown-item",
            Rule::Burst => "burst",
            Rule::Repeat => "repeat",
            Rule::OutlierQuantity => "outlier-quantity",
            Rule::ReturnWithoutPurchase => "return-without-purchase",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that an event broke, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What is wrong and what to do, or what was repaired, for a person.
    pub reason: String,
}

impl Finding {
    /// A finding from its parts.
    pub fn new(rule: Rule, reason: impl Into<String>) -> Self {
        Self { rule, reason: reason.into() }
    }

    /// A finding that says which field breaks the rule how, and what to do.
    fn field(rule: Rule, field: &str, wrong: impl fmt::Display, remedy: &str) -> Self {
        Self::new(rule, format!("{field} {wrong}; {remedy}"))
    }

    /// A finding from a problem that core found.
    fn from_problem(rule: Rule, problem: &Problem) -> Self {
        Self::new(rule, format!("{} {}; {}", problem.field, problem.rule, problem.remedy))
    }
}

/// An event that passed, with what was repaired on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Screened {
    /// The clean event.
    pub event: Event,
    /// What was repaired; empty for most.
    pub repairs: Vec<Finding>,
}

/// What became of an event in both parts of cleaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may go to the log.
    Clean(Box<Screened>),
    /// It repeats an event of a moment ago and is passed over.
    Repeated(Finding),
    /// It is refused.
    Refused(Finding),
}

/// Both parts of cleaning in one, for callers that have a single thread, such as tests and reports.
pub struct Cleaner {
    rules: Rules,
    habits: Habits,
}

impl Cleaner {
    /// A cleaner that has seen nothing.
    ///
    /// # Errors
    /// The configured weights are out of range.
    pub fn new(config: &CleaningConfig, kinds: KindWeights) -> Self {
        Self { rules: Rules::new(config.clone(), kinds), habits: Habits::new(config.clone()) }
    }

    /// Judges an event that arrives at `now_ms`.
    pub fn check(&mut self, input: EventInput, now_ms: Millis) -> Verdict {
        let mut screened = match self.rules.screen(input, now_ms) {
            Ok(screened) => screened,
            Err(refused) => return Verdict::Refused(refused.finding),
        };
        match self.habits.judge(&mut screened) {
            Judgement::Pass => Verdict::Clean(Box::new(screened)),
            Judgement::Repeated(finding) => Verdict::Repeated(finding),
            Judgement::Refused(finding) => Verdict::Refused(finding),
        }
    }
}
