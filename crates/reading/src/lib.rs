//! Reads reviews: how the writer felt, about which aspects, what is asked for and complained of, and in which language.
//!
//! [`Reader::learn`] makes a reader from a deployment's own reviews: a linear model of polarity with stars as labels, and a closed list
//! of aspects. [`Reader::read`] turns a text into an [`zhiyin_core::Opinion`] in about a tenth of a millisecond, deterministically; what is counted
//! are opinions, so no text can do more than add one to counts. English and Chinese; texts in other languages have a polarity if the
//! deployment has enough rated reviews in them.
//!
//! Nothing here does I/O, reads a clock, draws randomness, or calls a language model.

pub mod aspects;
mod lexicon;
pub mod logistic;
pub mod ngrams;
pub mod polarity;
mod reader;
mod remarks;
pub mod text;
mod tongue;
pub mod trial;

pub use aspects::Aspects;
pub use polarity::Polarity;
pub use reader::{REVIEWS_MAX, Reader, Review};
pub use text::Words;
