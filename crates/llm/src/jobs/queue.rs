//! One job: its tasks by priority, and what the end of a task does to it.

use crate::jobs::{ATTEMPTS_MAX, Estimate, Progress, TaskCost};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;
use zhiyin_core::language::{JobRecord, JobState, JobTask, LanguageError};

/// First wait for a model that is away, in milliseconds; doubles with each further failure.
const AWAY_MS: i64 = 1_000;
/// Longest such wait, in milliseconds.
const AWAY_MS_MAX: i64 = 60_000;

/// Orders tasks: priority, then key, so that the order never depends on chance.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Urgency<'a>(f64, Reverse<&'a str>);

impl Eq for Urgency<'_> {}

impl PartialOrd for Urgency<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Urgency<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then_with(|| self.1.cmp(&other.1))
    }
}

struct Ranked(JobTask);

impl Ranked {
    fn urgency(&self) -> Urgency<'_> {
        Urgency(self.0.priority, Reverse(&self.0.key))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.urgency().cmp(&other.urgency())
    }
}

/// A job in memory.
pub(super) struct Job {
    pub record: JobRecord,
    tasks: BinaryHeap<Ranked>,
    running: u64,
    away_in_a_row: u32,
}

impl Job {
    pub(super) fn new(record: JobRecord, tasks: Vec<JobTask>) -> Self {
        Self { record, tasks: tasks.into_iter().map(Ranked).collect(), running: 0, away_in_a_row: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.record.state, JobState::Finished | JobState::Cancelled)
    }

    /// Goes on if its wait is over.
    pub(super) fn wake(&mut self, now_ms: i64) {
        if matches!(self.record.state, JobState::Waiting { until_ms, .. } if until_ms <= now_ms) {
            self.record.state = JobState::Running;
        }
    }

    /// That of its most urgent task; none if it may not or need not work.
    pub(super) fn urgency(&self) -> Option<Urgency<'_>> {
        self.tasks.peek().filter(|_| self.record.state == JobState::Running).map(Ranked::urgency)
    }

    pub(super) fn take(&mut self) -> Option<JobTask> {
        let Ranked(task) = self.tasks.pop()?;
        self.running += 1;
        Some(task)
    }

    /// Counts the end of a task. Returns whether the task is over, done or given up.
    pub(super) fn settle(
        &mut self,
        task: JobTask,
        result: Result<TaskCost, LanguageError>,
        span: Duration,
        now_ms: i64,
    ) -> bool {
        self.running -= 1;
        self.record.busy_ms += u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let over = match result {
            Ok(cost) => self.done(cost),
            Err(e) => self.failed(task, &e, now_ms),
        };
        if self.tasks.is_empty() && self.running == 0 && !self.is_over() {
            self.record.state = JobState::Finished;
        }
        over
    }

    fn done(&mut self, cost: TaskCost) -> bool {
        self.away_in_a_row = 0;
        self.record.done += 1;
        self.record.tokens += cost.tokens;
        self.record.money += cost.money;
        true
    }

    fn failed(&mut self, mut task: JobTask, error: &LanguageError, now_ms: i64) -> bool {
        self.record.last_error = Some(error.to_string());
        match error {
            LanguageError::Cancelled => {}
            LanguageError::BudgetExhausted { resets_at_ms, .. } => self.wait_until(*resets_at_ms, error),
            LanguageError::Unavailable { .. } | LanguageError::QueueFull { .. } => {
                let wait = AWAY_MS.saturating_mul(1 << self.away_in_a_row.min(16)).min(AWAY_MS_MAX);
                self.away_in_a_row += 1;
                self.wait_until(now_ms + wait, error);
            }
            LanguageError::DeadlinePassed | LanguageError::InvalidOutput { .. } => task.attempts += 1,
            // The same task fails the same way again.
            _ => task.attempts = ATTEMPTS_MAX,
        }
        if task.attempts >= ATTEMPTS_MAX {
            self.record.failed += 1;
            return true;
        }
        self.tasks.push(Ranked(task));
        false
    }

    /// An operator's pause stays a pause.
    fn wait_until(&mut self, until_ms: i64, error: &LanguageError) {
        if matches!(self.record.state, JobState::Running | JobState::Waiting { .. }) {
            self.record.state = JobState::Waiting { until_ms, reason: error.to_string() };
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let record = &self.record;
        let left = record.total.saturating_sub(record.done + record.failed) as f64;
        let to_the_end = (record.done > 0).then(|| {
            let ratio = left / record.done as f64;
            Estimate {
                tokens: record.tokens.total() as f64 * ratio,
                money: record.money * ratio,
                busy_ms: record.busy_ms as f64 * ratio,
            }
        });
        Progress { job: record.clone(), running: self.running, to_the_end }
    }
}
