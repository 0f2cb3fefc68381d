//! Language models for Zhiyin: runtimes behind the port of [`zhiyin_core::language`], and what makes them safe to rely on.
//!
//! * [`local`]: GGUF models in this process; [`remote`]: any server with the OpenAI interface; [`fake`]: for tests.
//! * [`router`] asks the first runtime that can answer and tells which; [`cache`] keeps results by content; [`budget`] stops spending;
//!   [`jobs`] works through background tasks.
//!
//! This crate knows neither the store nor the HTTP server, and no prompt of any feature.

pub mod absent;
pub mod budget;
pub mod cache;
pub mod circuit;
pub mod fake;
pub mod jobs;
pub mod local;
pub mod remote;
pub mod router;
pub mod secret;
pub mod status;
mod validate;
mod waiting;

pub use router::Router;
pub use secret::Secret;
pub use status::{Availability, Runtime, RuntimeStatus};
