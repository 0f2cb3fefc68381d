//! A circuit breaker: after several failures in a row an endpoint is left alone for a while, then one request tries it.
//! Each further failure doubles the while.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zhiyin_core::Clock;
use zhiyin_core::language::LanguageError;

/// When a circuit opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitConfig {
    /// Failed requests in a row that open it.
    pub failures_max: u32,
    /// How long it stays open the first time, in milliseconds.
    pub open_ms: u32,
    /// How long it stays open at most, in milliseconds.
    pub open_ms_max: u32,
}

impl Default for CircuitConfig {
    fn default() -> Self {
        Self { failures_max: 5, open_ms: 10_000, open_ms_max: 300_000 }
    }
}

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CircuitState {
    /// Requests pass.
    Closed,
    /// Requests are refused at once.
    Open {
        /// When one may try again, in milliseconds since 1970.
        until_ms: i64,
    },
    /// One request is trying.
    HalfOpen,
}

/// How a request that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint works.
    Success,
    /// The endpoint fails.
    Failure,
    /// Nothing is learnt about the endpoint: the caller gave up.
    Unknown,
}

struct Inner {
    state: CircuitState,
    failures: u32,
    open_ms: u32,
}

/// The circuit of one endpoint.
pub struct Circuit {
    config: CircuitConfig,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(config: CircuitConfig, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { state: CircuitState::Closed, failures: 0, open_ms: config.open_ms };
        Self { config, clock, inner: Mutex::new(inner) }
    }

    /// Lets a request through, or refuses it. The permit takes the outcome.
    ///
    /// # Errors
    /// [`LanguageError::Unavailable`] while open, or while another request is trying.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, LanguageError> {
        let mut inner = self.inner.lock();
        match inner.state {
            CircuitState::Closed => {}
            CircuitState::Open { until_ms } if self.clock.now_ms() >= until_ms => inner.state = CircuitState::HalfOpen,
            CircuitState::Open { until_ms } => return Err(open(inner.failures, until_ms)),
            CircuitState::HalfOpen => {
                return Err(LanguageError::unavailable("one request is trying the endpoint after failures"));
            }
        }
        Ok(Permit { circuit: Arc::clone(self), outcome: Outcome::Unknown })
    }

    /// Where it stands.
    pub fn state(&self) -> CircuitState {
        self.inner.lock().state
    }

    fn record(&self, outcome: Outcome) {
        let mut inner = self.inner.lock();
        match (outcome, inner.state) {
            (Outcome::Success, _) => {
                *inner = Inner { state: CircuitState::Closed, failures: 0, open_ms: self.config.open_ms }
            }
            (Outcome::Failure, CircuitState::HalfOpen) => {
                inner.open_ms = inner.open_ms.saturating_mul(2).min(self.config.open_ms_max);
                self.open(&mut inner);
            }
            (Outcome::Failure, CircuitState::Closed) => self.count(&mut inner),
            (Outcome::Unknown, CircuitState::HalfOpen) => {
                inner.state = CircuitState::Open { until_ms: self.clock.now_ms() }
            }
            (Outcome::Failure | Outcome::Unknown, _) => {}
        }
    }

    fn count(&self, inner: &mut Inner) {
        inner.failures += 1;
        if inner.failures >= self.config.failures_max {
            self.open(inner);
        }
    }

    fn open(&self, inner: &mut Inner) {
        inner.state = CircuitState::Open { until_ms: self.clock.now_ms() + i64::from(inner.open_ms) };
    }
}

fn open(failures: u32, until_ms: i64) -> LanguageError {
    LanguageError::unavailable(format!(
        "the endpoint failed {failures} times in a row and is left alone until {until_ms} (milliseconds since 1970)"
    ))
}

/// A request that was let through. Dropped without an outcome, nothing is learnt.
pub struct Permit {
    circuit: Arc<Circuit>,
    outcome: Outcome,
}

impl Permit {
    /// Says how the request ended.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.circuit.record(self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiyin_core::TestClock;

    fn circuit(clock: &Arc<TestClock>) -> Arc<Circuit> {
        let config = CircuitConfig { failures_max: 2, open_ms: 100, open_ms_max: 150 };
        Arc::new(Circuit::new(config, Arc::clone(clock) as Arc<dyn Clock>))
    }

    fn fail(circuit: &Arc<Circuit>) {
        circuit.admit().expect("let through").end(Outcome::Failure);
    }

    #[test]
    fn failures_open_it_and_each_failed_try_doubles_the_wait_up_to_the_limit() {
        let clock = Arc::new(TestClock::at(0));
        let circuit = circuit(&clock);
        fail(&circuit);
        assert_eq!(circuit.state(), CircuitState::Closed);
        fail(&circuit);
        assert_eq!(circuit.state(), CircuitState::Open { until_ms: 100 });
        assert!(circuit.admit().is_err());
        clock.advance(100);
        fail(&circuit);
        assert_eq!(circuit.state(), CircuitState::Open { until_ms: 250 }, "200 is cut to 150");
        clock.advance(150);
        circuit.admit().expect("one try").end(Outcome::Success);
        assert_eq!(circuit.state(), CircuitState::Closed);
        fail(&circuit);
        assert_eq!(circuit.state(), CircuitState::Closed, "the count began anew");
    }

    #[test]
    fn only_one_request_tries_and_one_that_gives_up_leaves_the_next_to_try() {
        let clock = Arc::new(TestClock::at(0));
        let circuit = circuit(&clock);
        fail(&circuit);
        fail(&circuit);
        clock.advance(100);
        let trying = circuit.admit().expect("one try");
        assert!(circuit.admit().is_err());
        drop(trying);
        circuit.admit().expect("the next may try at once").end(Outcome::Success);
        assert_eq!(circuit.state(), CircuitState::Closed);
    }
}
