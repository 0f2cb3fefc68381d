//! A whole server in memory, and requests to it that need no network.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{ops::Range, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use zhiyin_core::{
    ActorIx, Decision, DecisionId, ItemIx, TestClock,
    clock::Millis,
    storage::{
        ActorRow, Appended, Batch, Erased, HighWater, ItemRow, LoggedEvent, OutcomeRow, Position, RejectedEvent,
        Storage, StorageError,
    },
};
use zhiyin_engine::{Engine, EngineConfig, Status};
use zhiyin_server::{AuthMode, KeyVerifier, Scope, Scopes, ServerConfig};
use zhiyin_store::MemoryStorage;

/// The time in all tests: 2026-11-24 08:00:00 UTC.
pub const NOW_MS: Millis = 1_795_507_200_000;

/// Knows `zy_all` and one key per scope, `zy_ingest` and so on.
pub struct TestKeys;

impl KeyVerifier for TestKeys {
    fn verify(&self, key: &str) -> Option<Scopes> {
        match key.strip_prefix("zy_")? {
            "all" => Some(Scopes::all()),
            name => Some([Scope::named(name)?].into_iter().collect()),
        }
    }
}

/// Storage that can be told to block or to fail.
#[derive(Default)]
pub struct Moody {
    inner: MemoryStorage,
    /// Commits wait while this is set.
    blocked: Mutex<bool>,
    changed: Condvar,
    /// Commits find the disk full while this is set.
    full: Mutex<bool>,
}

impl Moody {
    pub fn block(&self, blocked: bool) {
        *self.blocked.lock() = blocked;
        self.changed.notify_all();
    }

    pub fn fill(&self, full: bool) {
        *self.full.lock() = full;
    }
}

impl Storage for Moody {
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError> {
        let mut blocked = self.blocked.lock();
        while *blocked {
            self.changed.wait(&mut blocked);
        }
        drop(blocked);
        if *self.full.lock() {
            return Err(StorageError::Full { path: "zhiyin.db".into() });
        }
        self.inner.commit(batch)
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StorageError> {
        self.inner.events_after(after, limit)
    }

    fn events_of(&self, actors: &[ActorIx]) -> Result<Vec<LoggedEvent>, StorageError> {
        self.inner.events_of(actors)
    }

    fn last_position(&self) -> Result<Position, StorageError> {
        self.inner.last_position()
    }

    fn actors_from(&self, from: ActorIx, limit: usize) -> Result<Vec<ActorRow>, StorageError> {
        self.inner.actors_from(from, limit)
    }

    fn items_from(&self, from: ItemIx, limit: usize) -> Result<Vec<ItemRow>, StorageError> {
        self.inner.items_from(from, limit)
    }

    fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, StorageError> {
        self.inner.rejected(before, limit)
    }

    fn decisions(
        &self,
        window_ms: Range<Millis>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError> {
        self.inner.decisions(window_ms, after, limit)
    }

    fn outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError> {
        self.inner.outcomes(window_ms)
    }

    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError> {
        self.inner.erase(actors)
    }

    fn high_water(&self) -> Result<HighWater, StorageError> {
        self.inner.high_water()
    }

    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError> {
        self.inner.import_progress(file_hash)
    }
}

/// A server without a network.
pub struct Api {
    pub engine: Arc<Engine>,
    pub storage: Arc<Moody>,
    pub router: Router,
    _folder: TempDir,
}

/// An answer, read to its end.
pub struct Reply {
    /// What was asked, for messages.
    pub request: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a problem about `field`, complete and consistent.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, field: &str) {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.request, self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.request);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["field"], field, "{}: {problem}", self.request);
        for member in ["type", "title", "detail", "rule", "remedy"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} is missing in {problem}");
        }
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.request, self.text);
        self
    }
}

impl Api {
    pub fn open() -> Self {
        Self::with(ServerConfig::new(AuthMode::Keys(Arc::new(TestKeys))))
    }

    pub fn with(config: ServerConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Moody::default());
        let clock = Arc::new(TestClock::at(NOW_MS));
        let engine = Engine::open(storage.clone(), folder.path(), EngineConfig::default(), clock).unwrap();
        let router = zhiyin_server::router(engine.clone(), &config);
        Self { engine, storage, router, _folder: folder }
    }

    /// Sends a request with the key that may do everything.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.raw(request.header("authorization", "Bearer zy_all").body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Body::empty()).await
    }

    pub async fn raw(&self, request: Request<Body>) -> Reply {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply {
            request: asked,
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// What the engine holds, as far as requests can change it.
    pub fn held(&self) -> Status {
        self.engine.status()
    }

    /// Waits until `done` says so.
    pub async fn until(&self, what: &str, mut done: impl FnMut(&Engine) -> bool) {
        for _ in 0..500 {
            if done(&self.engine) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not happen in 5 s");
    }
}
