//! The engine: cleans events, keeps the online state, recommends, trains and evaluates.
//!
//! It reaches durable storage only through [`zhiyin_core::storage::Storage`] and knows neither HTTP nor SQL.
//!
//! *Invariant:* one writer thread changes the online state, always after the same change is durable; requests only read it.

mod artefact;
pub mod catalogue;
#[cfg(test)]
mod checks;
mod cold_choice;
pub mod config;
pub mod cost;
pub mod engine;
mod erase;
pub mod error;
pub mod experiment;
pub mod feedback;
mod fuse;
mod learn;
mod learn_neural;
mod learn_reading;
mod listen;
pub mod online;
mod open;
mod pipeline;
pub mod progress;
mod rank;
mod replay;
pub mod request;
pub mod search;
mod snapshots;
pub mod state;
pub mod status;
pub mod texts;
pub mod train;
mod trained;
mod writer;

pub use catalogue::Page;
pub use config::EngineConfig;
pub use engine::{Engine, Frozen, Incoming};
pub use error::EngineError;
pub use pipeline::{Deletion, OwnHistory, Wish};
pub use request::{RecommendRequest, Recommendations};
pub use search::SearchRequest;
pub use status::Status;
pub use texts::TextEncoding;
