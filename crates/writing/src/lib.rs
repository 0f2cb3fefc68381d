//! Texts that say nothing beyond the evidence.
//!
//! [`write()`] writes from exact attributions by template, at once. [`pattern`] is all ways in which a language model may put the same; what a
//! model makes is judged by [`check`]: every word has to be harmless, or part of the evidence, or a claim that the evidence makes of the things
//! beside it. It errs on the side of refusal: what it lets through is grounded, what it refuses may have been harmless. [`reads_well`] refuses
//! what is grounded but no proper sentence. Pure functions; no model, no I/O.

mod check;
mod evidence;
mod form;
mod wording;

pub use check::{Rejection, check};
pub use evidence::{Claim, Evidence, Fact, Kind, Language};
pub use form::reads_well;
pub use wording::{pattern, write};
