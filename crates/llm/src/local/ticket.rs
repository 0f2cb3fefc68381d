//! A request on its way to the model's thread.

use crate::waiting::Told;
use std::sync::mpsc::Sender;
use zhiyin_core::language::{GenerateRequest, Generated, LanguageError, Limits, Priority, ScoreRequest, Scored};

/// What is asked, and where the answer goes. Sending fails only when nobody listens any more, which is no failure of ours.
pub(super) enum Ticket {
    Generate(GenerateRequest, Sender<Told<Generated>>),
    Score(ScoreRequest, Sender<Told<Scored>>),
}

impl Ticket {
    pub(super) fn limits(&self) -> &Limits {
        match self {
            Self::Generate(request, _) => &request.limits,
            Self::Score(request, _) => &request.limits,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        self.limits().priority
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.limits().check().is_ok()
    }

    pub(super) fn fail(self, error: LanguageError) {
        match self {
            Self::Generate(_, sender) => drop(sender.send(Told::Done(Err(error)))),
            Self::Score(_, sender) => drop(sender.send(Told::Done(Err(error)))),
        }
    }
}
