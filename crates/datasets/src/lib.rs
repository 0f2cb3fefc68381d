//! Readers that turn interaction files into typed records: what `zhiyin import` sends to the engine and what `zhiyin evaluate`
//! measures on.
//!
//! [`open`] gives a stream of [`Record`]s. A line that breaks a rule comes out as a [`LineProblem`] that names the rule, and reading
//! goes on: every line of a file is either a record, or a problem, or part of the header, or blank. [`interactions`] and [`load_pair`]
//! collect the same stream into histories for the evaluator.
//!
//! What this crate isn't: it doesn't clean. Outliers, bursts, returns without a purchase and dates in the future are the business of the
//! engine's cleaning; a reader only refuses what it cannot turn into an event, and what is no shopping at all in the invoices of
//! Online Retail.
//!
//! Limits: formats whose files aren't in the order of time (MovieLens) or need facts from every line (Online Retail) are held in
//! memory, about 60 bytes per line; everything else streams. Files compressed by gzip or xz are recognised by their content.

mod columns;
mod csv_events;
mod error;
mod input;
mod interactions;
mod intern;
mod items;
mod jsonl;
mod movielens;
mod reader;
mod retail;
mod retail_items;
mod reviews;
mod sequences;
mod sessions;
mod source;
mod table;
mod time;

pub use columns::{ColumnMapping, MappedField};
pub use error::{DatasetError, LineProblem, rules};
pub use interactions::{InteractionSet, SplitSet, interactions, load_pair};
pub use reader::{Reader, Record, open, open_with};
pub use sequences::{SEQUENCE_START_S, SEQUENCE_STEP_S};
pub use source::{Format, Options, RetailLines, Source};
