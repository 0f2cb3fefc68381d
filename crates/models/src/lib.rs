//! The recommendation models, one file each, in plain Rust over flat arrays.
//!
//! A model scores items for a [`Query`]. [`Online`] models are made of exact counts: they learn from every event in place and can
//! forget it again without a trace. The others are fitted on a frozen [`Dataset`] in the background.
//!
//! Nothing here does I/O, reads a clock, knows async, or draws randomness without a seed.

pub mod bayes;
pub mod content;
pub mod cooccurrence;
mod counts;
pub mod dataset;
pub mod diversity;
pub mod ease;
pub mod features;
pub mod feedback;
pub mod fusion;
mod gram;
pub mod ials;
pub mod kernels;
pub mod least_squares;
pub mod linalg;
pub mod linear;
pub mod markov;
pub mod model;
mod neighbours;
#[cfg(test)]
mod online_checks;
mod packed;
pub mod popularity;
mod postings;
pub mod ranked;
pub mod repeat;
pub mod scores;
pub mod session_knn;
pub mod slist;
pub mod text;
pub mod transforms;
pub mod user_knn;
pub mod vectors;
pub mod whitening;

pub use dataset::{Dataset, Histories, ItemFacts};
pub use model::{Cause, Contribution, FitError, Model, Online, Query, Step};
pub use ranked::Ranked;
pub use scores::Scores;
pub use vectors::ItemVectors;
