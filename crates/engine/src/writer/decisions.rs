//! How the writer keeps decisions: in small pieces as they come, and all of them durable ten times a second.
//!
//! A large piece would take a processor from the requests for as long as a hundred answers take, so a small one is written as soon as it
//! is full. Only waiting for the disk is put off: a power loss may take the decisions of the last tenths of a second, nothing else may.

use std::{sync::atomic::Ordering, time::Instant};

use zhiyin_core::{Decision, storage::Batch};

use super::Writer;
use crate::error::EngineError;

/// Decisions that are written at once, without waiting for more.
pub(crate) const DECISIONS_PIECE: usize = 64;
/// Decisions in one transaction.
const DECISIONS_MAX: usize = 8_192;

impl Writer {
    /// As [`Writer::commit_decisions`], for when nobody waits.
    pub(super) fn commit_decisions_or_warn(&mut self) {
        self.commit_decisions().unwrap_or_else(are_lost);
    }

    /// Writes what has become a piece.
    pub(super) fn write_pieces_or_warn(&mut self) {
        self.write_decisions(DECISIONS_PIECE).unwrap_or_else(are_lost);
    }

    /// Writes the decisions that wait and makes all durable.
    pub(super) fn commit_decisions(&mut self) -> Result<(), EngineError> {
        self.synced = Instant::now();
        self.write_decisions(1)?;
        if std::mem::take(&mut self.unsynced) {
            self.core.storage.sync()?;
        }
        Ok(())
    }

    /// Writes the decisions that wait now, if they are at least so many, without waiting for the disk. Those that come meanwhile have to
    /// wait, or this would go on for ever in pieces of a few.
    fn write_decisions(&mut self, least: usize) -> Result<(), EngineError> {
        let mut waiting = self.decisions.len();
        while waiting >= least {
            let decisions = self.waiting_decisions();
            waiting = waiting.saturating_sub(decisions.len());
            self.core.storage.commit(&Batch { decisions, deferred: true, ..Batch::default() })?;
            self.unsynced = true;
        }
        Ok(())
    }

    /// The decisions that wait, as many as fit into a transaction.
    pub(super) fn waiting_decisions(&self) -> Vec<Decision> {
        // From here on a full piece sends for the writer again.
        self.core.decisions_called.store(false, Ordering::Release);
        self.decisions.try_iter().take(DECISIONS_MAX).collect()
    }
}

fn are_lost(error: EngineError) {
    tracing::warn!(%error, "decisions could not be written; they are lost");
}
