//! What waits for the writer.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use zhiyin_core::{Item, User, clock::Millis, limits, storage::Erased};
use zhiyin_intake::clean::{Screened, rules::Refused};

use crate::{engine::Frozen, error::EngineError, listen::Listener, online::OnlineModels, request::EventOutcome};

/// Where an answer goes. The caller may be gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// Seconds after which a caller should try again: what waits is written in less.
const RETRY_SECONDS: u32 = 1;

/// An event after the rules that need no state.
pub(crate) type Candidate = Result<Screened, Refused>;

/// Events of one caller.
pub(crate) struct Events {
    pub candidates: Vec<Candidate>,
    pub received_ms: Millis,
    pub import_mark: Option<(String, u64)>,
    pub reply: Reply<Vec<EventOutcome>>,
}

/// Models to put in the place of the present ones.
pub(crate) struct Replacement {
    /// What they were fitted on.
    pub frozen: Frozen,
    /// The models.
    pub models: OnlineModels,
    /// What reads reviews from then on; what the models have heard was read by it.
    pub listener: Listener,
}

/// Work for the writer, in order of arrival.
pub(crate) enum Work {
    Events(Events),
    Items(Vec<Item>, Reply<()>),
    Users(Vec<User>, Reply<()>),
    DeleteItem(String, Reply<bool>),
    DeleteUser(String, Reply<Erased>),
    /// Enough decisions wait to be written.
    Decisions,
    Replace(Box<Replacement>, Reply<()>),
    Snapshot(Reply<()>),
    Stop(Reply<()>),
}

impl Work {
    /// How much of a batch it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Work::Events(events) => events.candidates.len(),
            Work::Items(items, _) => items.len(),
            Work::Users(users, _) => users.len(),
            _ => 0,
        }
    }

    /// Whether it shares a transaction with what comes before and after.
    pub(crate) fn is_batched(&self) -> bool {
        matches!(self, Work::Events(_) | Work::Items(..) | Work::Users(..) | Work::Decisions)
    }
}

/// Counts what waits, in events.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    /// Takes room for `count` events.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if more than [`limits::QUEUED_EVENTS_MAX`] would wait.
    pub(crate) fn enter(&self, count: usize) -> Result<(), EngineError> {
        let waiting = self.0.fetch_add(count, Ordering::AcqRel);
        if waiting + count > limits::QUEUED_EVENTS_MAX {
            self.leave(count);
            return Err(EngineError::Busy { retry_after_seconds: RETRY_SECONDS });
        }
        Ok(())
    }

    /// Gives room back.
    pub(crate) fn leave(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::AcqRel);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
