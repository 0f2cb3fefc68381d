//! What an operator sees.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use zhiyin_core::language::CacheStatus;
use zhiyin_llm::jobs::Progress;
use zhiyin_llm::router::RouterStatus;

/// Texts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextCounts {
    /// Given by template.
    pub templates: u64,
    /// Given from what a model had written.
    pub model_texts: u64,
    /// Written by a model and passed by the checker.
    pub accepted: u64,
    /// Written by a model and refused by the checker.
    pub rejected: u64,
}

/// Who writes, how much, and what waits.
#[derive(Clone, Debug, Serialize)]
pub struct AssistantStatus {
    /// The runtimes: who answers, why another doesn't, budgets.
    pub runtimes: RouterStatus,
    /// Texts since the start.
    pub texts: TextCounts,
    /// Kept results; none if they can't be read.
    pub cache: Option<CacheStatus>,
    /// Background work.
    pub jobs: Vec<Progress>,
}

#[derive(Default)]
pub(crate) struct Counter {
    templates: AtomicU64,
    model_texts: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
}

impl Counter {
    pub(crate) fn gave(&self, by_model: bool) {
        let counter = if by_model { &self.model_texts } else { &self.templates };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn checked(&self, passed: bool) {
        let counter = if passed { &self.accepted } else { &self.rejected };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> TextCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TextCounts {
            templates: load(&self.templates),
            model_texts: load(&self.model_texts),
            accepted: load(&self.accepted),
            rejected: load(&self.rejected),
        }
    }
}
