//! How often each rule acted since the start.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use super::{Finding, Rule};

const RULES: usize = Rule::ALL.len();

/// Counts per rule. Shared between threads; each count is exact.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    repaired: [AtomicU64; RULES],
    rejected: [AtomicU64; RULES],
}

/// What one rule did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleCount {
    /// Events that it repaired (or, for `return-without-purchase`, that it noted).
    pub repaired: u64,
    /// Events that it refused (or, for `repeat`, passed over).
    pub rejected: u64,
}

impl Counters {
    /// Counts an event that reached the log, with its repairs.
    pub fn accept(&self, repairs: &[Finding]) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        for repair in repairs {
            self.note(repair.rule);
        }
    }

    /// Counts a repair, or a rule that only takes note.
    pub fn note(&self, rule: Rule) {
        self.repaired[rule as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal.
    pub fn reject(&self, rule: Rule) {
        self.rejected[rule as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that the log already had.
    pub fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// Events that reached the log.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Events that the log already had.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// What each rule did, rules that never acted included.
    pub fn by_rule(&self) -> BTreeMap<&'static str, RuleCount> {
        let count = |rule: Rule| RuleCount {
            repaired: self.repaired[rule as usize].load(Ordering::Relaxed),
            rejected: self.rejected[rule as usize].load(Ordering::Relaxed),
        };
        Rule::ALL.iter().map(|&rule| (rule.name(), count(rule))).collect()
    }
}
