//! How a caller waits for a runtime that works elsewhere: freed by the answer, the deadline or the cancellation, whichever is first.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use zhiyin_core::language::{LanguageError, Limits};

/// How often a waiting caller looks at its deadline and its cancellation.
const LOOK: Duration = Duration::from_millis(5);

/// What a runtime tells the thread that waits for it.
pub(crate) enum Told<T> {
    /// A piece of text, in order.
    Piece(String),
    /// The end.
    Done(Result<T, LanguageError>),
}

/// Waits for the end, passing on the pieces.
pub(crate) fn wait<T>(
    receiver: &Receiver<Told<T>>,
    limits: &Limits,
    on_piece: &mut dyn FnMut(&str),
) -> Result<T, LanguageError> {
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(Told::Piece(piece)) => on_piece(&piece),
            Ok(Told::Done(result)) => return result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(LanguageError::unavailable("it broke off without an answer; see the log"));
            }
        }
        limits.check()?;
    }
}
