//! Neural recommenders, trained by back-propagation on the CPU: a sequence transformer (`sequence`) and two baselines that share its training,
//! a gated recurrent unit (`gru`) and a feed-forward network (`dense`).
//!
//! All of them turn a history into a state, whose dot products with item vectors are the scores ([`Neural`]). An item vector is what was learned
//! of the item plus a learned map of its text, so an item that came after the training has one at once. [`train`] fits them; forward and backward
//! passes are written out over flat arrays, with the products of matrices from a library, and histories lie one after the other, so that short
//! ones cost no padding.
//!
//! Nothing here does I/O, reads a clock, knows async, or draws randomness without a seed.

mod adam;
mod attention;
mod dense;
mod design;
mod events;
mod gru;
mod items;
mod layout;
mod loss;
mod model;
mod network;
mod noise;
mod panels;
pub mod params;
mod product;
mod reader;
mod sample;
pub mod train;
mod transformer;

pub use model::Neural;
pub use params::Params;
pub use train::{Report, Trainer, Watched, fit};

/// Names of the models.
pub const NAMES: [&str; 3] = ["sequence", "gru", "dense"];

#[cfg(test)]
mod checks;
#[cfg(test)]
mod tests;
