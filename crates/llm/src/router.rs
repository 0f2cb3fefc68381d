//! Asks the first runtime that can answer, and tells which one that is. With none left, callers get a clear error and do without.

use crate::circuit::CircuitState;
use crate::status::{Availability, Runtime, RuntimeStatus};
use parking_lot::Mutex;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use zhiyin_core::language::{GenerateRequest, Generated, LanguageError, LanguageModel, ScoreRequest, Scored};

/// Runtimes in order of preference.
pub struct Router {
    runtimes: Vec<Arc<dyn Runtime>>,
    last_answer_by: Mutex<Option<String>>,
}

/// Who answers, and how every runtime is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouterStatus {
    /// The first runtime that could answer now; none: every feature works in its form without a model.
    pub serving: Option<String>,
    /// Whether that isn't the preferred one.
    pub degraded: bool,
    /// Why it is degraded, in a sentence per runtime that was passed over.
    pub reasons: Vec<String>,
    /// The runtime that gave the newest answer.
    pub last_answer_by: Option<String>,
    /// All of them, in order of preference.
    pub runtimes: Vec<RuntimeStatus>,
}

impl Router {
    /// A router over runtimes, the preferred one first. With none, every request fails as unavailable.
    pub fn new(runtimes: Vec<Arc<dyn Runtime>>) -> Self {
        Self { runtimes, last_answer_by: Mutex::new(None) }
    }

    /// Who answers, and how every runtime is.
    pub fn status(&self) -> RouterStatus {
        let runtimes: Vec<_> = self.runtimes.iter().map(|runtime| runtime.status()).collect();
        let reasons: Vec<_> = runtimes.iter().map_while(passed_over).collect();
        RouterStatus {
            serving: runtimes.get(reasons.len()).map(|status| status.name.clone()),
            degraded: runtimes.is_empty() || !reasons.is_empty(),
            reasons,
            last_answer_by: self.last_answer_by.lock().clone(),
            runtimes,
        }
    }

    /// Whether a request would be answered now, or once a model is loaded or a circuit closes.
    pub fn may_answer(&self) -> bool {
        self.runtimes.iter().any(|runtime| may_answer(&runtime.status()))
    }

    /// Asks one after the other until one answers; `goes_on` may forbid to ask another.
    fn ask<T>(
        &self,
        goes_on: impl Fn() -> bool,
        mut ask: impl FnMut(&dyn Runtime) -> Result<T, LanguageError>,
    ) -> Result<T, LanguageError> {
        let mut failure = LanguageError::unavailable("none is configured");
        for runtime in &self.runtimes {
            match guarded(|| ask(runtime.as_ref())) {
                Ok(answer) => {
                    *self.last_answer_by.lock() = Some(runtime.status().name);
                    return Ok(answer);
                }
                Err(e) if e.another_may_answer() && goes_on() => {
                    tracing::debug!("{} did not answer: {e}", runtime.model());
                    failure = worse(failure, e);
                }
                Err(e) => return Err(e),
            }
        }
        Err(failure)
    }
}

impl LanguageModel for Router {
    /// The model of the first runtime that answers now, or will once its model is loaded.
    fn model(&self) -> String {
        let statuses = self.runtimes.iter().map(|runtime| runtime.status());
        let first = statuses.filter(may_answer).map(|status| status.model).next();
        first.unwrap_or_else(|| "none".to_owned())
    }

    /// Another runtime is asked only as long as no piece was given out: pieces can't be taken back.
    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        let begun = std::cell::Cell::new(false);
        self.ask(
            || !begun.get(),
            |runtime| {
                runtime.generate(request, &mut |piece| {
                    begun.set(true);
                    on_piece(piece);
                })
            },
        )
    }

    fn log_probabilities(&self, request: &ScoreRequest) -> Result<Scored, LanguageError> {
        self.ask(|| true, |runtime| runtime.log_probabilities(request))
    }
}

/// Whether a request would be answered now or after a while.
fn may_answer(status: &RuntimeStatus) -> bool {
    !matches!(status.availability, Availability::Unavailable { .. })
}

fn passed_over(status: &RuntimeStatus) -> Option<String> {
    let reason = match (&status.availability, &status.circuit) {
        (Availability::Unavailable { reason }, _) => reason.clone(),
        (Availability::Loading, _) => "its model is still being loaded".to_owned(),
        (Availability::Ready, Some(CircuitState::Open { until_ms })) => format!("its circuit is open until {until_ms}"),
        (Availability::Ready, _) => return None,
    };
    Some(format!("{}: {reason}", status.name))
}

/// A panic in a runtime costs its answer, never the caller.
fn guarded<T>(ask: impl FnOnce() -> Result<T, LanguageError>) -> Result<T, LanguageError> {
    catch_unwind(AssertUnwindSafe(ask))
        .unwrap_or_else(|_| Err(LanguageError::unavailable("the runtime panicked; see the log")))
}

/// The failure to report when all failed: that of the preferred runtime, unless it only says that it can't do such things.
fn worse(first: LanguageError, next: LanguageError) -> LanguageError {
    let says_little = matches!(&first, LanguageError::Unsupported { .. })
        || first == LanguageError::unavailable("none is configured");
    if says_little { next } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::time::Duration;
    use zhiyin_core::language::{Limits, Message, Role};

    fn request() -> GenerateRequest {
        GenerateRequest::new(vec![Message::new(Role::User, "good day to you")], 16)
    }

    fn pair() -> (Arc<Fake>, Arc<Fake>, Router) {
        let (first, second) = (Arc::new(Fake::new("first")), Arc::new(Fake::new("second")));
        let router = Router::new(vec![Arc::clone(&first) as Arc<dyn Runtime>, Arc::clone(&second) as Arc<dyn Runtime>]);
        (first, second, router)
    }

    #[test]
    fn the_next_runtime_answers_for_one_that_is_away_and_the_status_says_so() {
        let (first, _, router) = pair();
        first.reply(Err(LanguageError::unavailable("unplugged")));
        let answer = router.generate(&request(), &mut |_| {}).expect("the second answers");
        assert_eq!(answer.model, "second@1");
        let status = router.status();
        assert_eq!(status.last_answer_by.as_deref(), Some("second"));
        assert_eq!(status.runtimes[0].counts.failed, 1);
        assert!(status.runtimes[0].counts.last_error.as_deref().expect("kept").contains("unplugged"));
    }

    #[test]
    fn a_late_or_cancelled_request_is_not_asked_again() {
        let slow: Arc<dyn Runtime> = Arc::new(Fake::new("slow").with_delay(Duration::from_secs(5)));
        let spare = Arc::new(Fake::new("spare"));
        let router = Router::new(vec![slow, Arc::clone(&spare) as Arc<dyn Runtime>]);
        let late = GenerateRequest { limits: Limits::within(Duration::from_millis(20)), ..request() };
        assert_eq!(router.generate(&late, &mut |_| {}), Err(LanguageError::DeadlinePassed));
        assert!(spare.requests().is_empty());
    }

    #[test]
    fn without_any_runtime_the_failure_is_clear() {
        let router = Router::new(Vec::new());
        let failure = router.generate(&request(), &mut |_| {}).expect_err("nobody there");
        assert_eq!(failure.to_string(), "the language model is unavailable: none is configured");
        assert!(router.status().degraded);
        assert_eq!(router.status().serving, None);
    }

    #[test]
    fn a_caller_that_panics_on_a_piece_is_not_served_twice() {
        let (_, second, router) = pair();
        let failure = router.generate(&request(), &mut |_| panic!("on purpose")).expect_err("the panic is caught");
        assert!(failure.to_string().contains("panicked"));
        assert!(second.requests().is_empty(), "a piece was given out already");
    }
}
