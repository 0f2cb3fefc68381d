//! What all requests to one endpoint share: connection, key, circuit, budget, pace and turns.

use crate::budget::Budget;
use crate::circuit::Circuit;
use crate::remote::config::RemoteConfig;
use crate::remote::exchange::attempt;
use crate::remote::failure::{Again, Failed};
use crate::secret::Secret;
use crate::waiting::Told;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use zhiyin_core::Clock;
use zhiyin_core::language::{Finish, LanguageError, TokenUsage};

/// Doublings of the wait between attempts.
const DOUBLINGS_MAX: u32 = 16;

/// A finished answer.
pub(super) enum Reply {
    Text { text: String, finish: Finish, usage: TokenUsage },
    Vectors(Vec<Vec<f32>>),
}

/// A request as it goes over the wire.
pub(super) struct Call {
    pub path: &'static str,
    pub body: Vec<u8>,
    pub estimate: TokenUsage,
    pub deadline: Option<Instant>,
    /// Where pieces of text go; none for embeddings.
    pub pieces: Option<Sender<Told<Reply>>>,
}

pub(super) struct Endpoint {
    pub config: RemoteConfig,
    pub circuit: Arc<Circuit>,
    pub budget: Arc<Budget>,
    pub waiting: AtomicUsize,
    pub turns: Semaphore,
    http: reqwest::Client,
    key: Option<Secret>,
    limiter: Option<DefaultDirectRateLimiter>,
    jitter: Mutex<Pcg64Mcg>,
    clock: Arc<dyn Clock>,
}

impl Endpoint {
    pub(super) fn new(
        config: RemoteConfig,
        key: Option<Secret>,
        budget: Arc<Budget>,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, LanguageError> {
        Ok(Self {
            circuit: Arc::new(Circuit::new(config.circuit, Arc::clone(&clock))),
            budget,
            waiting: AtomicUsize::new(0),
            turns: Semaphore::new(config.concurrency_max.max(1) as usize),
            http: client(&config, key.as_ref())?,
            key,
            limiter: config.requests_per_minute.map(|n| RateLimiter::direct(Quota::per_minute(n))),
            jitter: Mutex::new(Pcg64Mcg::seed_from_u64(seed)),
            clock,
            config,
        })
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Asks until there is an answer, a failure that lasts, or no attempt left.
    pub(super) async fn ask(&self, call: &Call) -> Result<Reply, LanguageError> {
        let _turn = self.turn().await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failed = match attempt(self, call).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let Some(wait) = self.wait(&failed, attempts, call.deadline) else { return Err(failed.error) };
            tracing::debug!("{} is asked again in {} ms: {}", self.config.name, wait.as_millis(), failed.error);
            tokio::time::sleep(wait).await;
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, LanguageError> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let capacity = self.config.waiting_max as usize;
        let _place = Place::take(&self.waiting, capacity)?;
        self.turns.acquire().await.map_err(|_| LanguageError::unavailable("the endpoint is shut down"))
    }

    /// Waits until the rate allows another request.
    pub(super) async fn pace(&self) {
        let Some(limiter) = &self.limiter else { return };
        while let Err(early) = limiter.check() {
            tokio::time::sleep(early.wait_time_from(limiter.clock().now())).await;
        }
    }

    pub(super) async fn send(&self, call: &Call) -> Result<reqwest::Response, reqwest::Error> {
        let url = format!("{}/{}", self.config.base_url.trim_end_matches('/'), call.path);
        let request = self.http.post(url).header("content-type", "application/json");
        request.body(call.body.clone()).send().await
    }

    /// A server may repeat the key in its complaint about it.
    pub(super) fn scrubbed(&self, failed: Failed) -> Failed {
        let Some(key) = &self.key else { return failed };
        let error = match failed.error {
            LanguageError::Unavailable { reason } => LanguageError::unavailable(key.scrub(&reason)),
            LanguageError::InvalidRequest { reason } => LanguageError::invalid_request(key.scrub(&reason)),
            LanguageError::InvalidOutput { reason } => LanguageError::invalid_output(key.scrub(&reason)),
            other => other,
        };
        Failed { error, ..failed }
    }

    /// The time to the next attempt; none if there is no use in one.
    fn wait(&self, failed: &Failed, attempts: u32, deadline: Option<Instant>) -> Option<Duration> {
        let longest = Duration::from_millis(self.config.backoff_ms_max.into());
        let wait = match failed.again {
            Again::Never => return None,
            Again::Soon => self.backoff(attempts).min(longest),
            Again::After(asked) => asked,
        };
        let in_time = deadline.is_none_or(|deadline| Instant::now() + wait < deadline);
        (attempts < self.config.attempts_max && wait <= longest && in_time).then_some(wait)
    }

    /// Exponential, with a random half, so that clients that failed together don't return together.
    fn backoff(&self, attempts: u32) -> Duration {
        let full = f64::from(self.config.backoff_ms) * f64::from(1 << (attempts - 1).min(DOUBLINGS_MAX));
        let share: f64 = self.jitter.lock().random_range(0.5..1.0);
        Duration::from_secs_f64(full * share / 1e3)
    }
}

/// A place in the queue of those that wait for a turn.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, capacity: usize) -> Result<Self, LanguageError> {
        let more = |n: usize| (n < capacity).then_some(n + 1);
        let taken = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.map(|_| Self(waiting)).map_err(|_| LanguageError::QueueFull { capacity })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn client(config: &RemoteConfig, key: Option<&Secret>) -> Result<reqwest::Client, LanguageError> {
    // A provider that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| LanguageError::unavailable("the key of the endpoint can't be sent in a header"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(Duration::from_millis(config.connect_ms.into()))
        .read_timeout(Duration::from_millis(config.idle_ms.into()))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| LanguageError::unavailable(format!("the HTTP client can't start: {e}")))
}
