//! How good a ranking is: metrics, splits of the data, and intervals.
//!
//! Nothing here knows what a model is or how it works: metrics take ranks or lists of item numbers, splits take times and items and
//! give positions, intervals take one number per user. All randomness is seeded and no result depends on the number of threads.

pub mod bootstrap;
pub mod classification;
pub mod lists;
pub mod metrics;
pub mod splits;

pub use bootstrap::Summary;
pub use splits::{Log, Part, Split, Target};
