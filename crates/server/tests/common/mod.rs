//! A whole server in memory, and requests to it that need no network.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use zhiyin_core::{TestClock, clock::Millis};
use zhiyin_engine::{Engine, EngineConfig, Status, TextEncoding};
use zhiyin_server::{AuthMode, KeyVerifier, Scope, Scopes, ServerConfig};
use zhiyin_store::FaultyStorage;

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

/// A server without a network.
pub struct Api {
    pub engine: Arc<Engine>,
    pub storage: Arc<FaultyStorage>,
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
        Self::with_encoding(config, TextEncoding::none("no test encoder"))
    }

    pub fn with_encoding(config: ServerConfig, encoding: TextEncoding) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(FaultyStorage::default());
        let clock = Arc::new(TestClock::at(NOW_MS));
        let engine =
            Engine::open_with(storage.clone(), folder.path(), EngineConfig::default(), clock, encoding).unwrap();
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
