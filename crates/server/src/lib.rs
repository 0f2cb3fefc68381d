//! The HTTP interface of Zhiyin: routes, keys, limits, problems, metrics and the OpenAPI document.
//!
//! It decides nothing about ranking, cleaning or storage: every handler turns a request into one call of [`zhiyin_engine::Engine`] and
//! the answer into JSON. It speaks HTTP/1.1 without TLS; put a proxy in front for anything else.
//!
//! *Invariant:* no key is ever logged, and no handler returns an error that isn't `application/problem+json` (RFC 9457).
//!
//! Reading order: [`serve()`] (connections) → `router.rs` (which route needs what) → `guard` (keys, counters, panics) →
//! `routes/*` (handlers).

mod access;
mod answer;
mod body;
mod config;
mod depth;
mod fault;
mod guard;
pub mod openapi;
mod params;
mod router;
mod routes;
mod serve;
mod telemetry;

pub use access::{AuthMode, KeyVerifier, Scope, Scopes};
pub use config::ServerConfig;
pub use router::router;
pub use serve::serve;
