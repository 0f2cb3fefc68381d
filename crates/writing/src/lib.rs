//! Texts that say nothing beyond the evidence.
//!
//! [`explain`] writes from exact attributions by template, at once. [`check`] judges what a language model wrote instead: every word has to be
//! harmless, or part of the evidence, or a claim that the evidence makes of the things in the same clause. It errs on the side of refusal: what
//! it lets through is grounded, what it refuses may have been harmless. Pure functions; no model, no I/O.

mod check;
mod evidence;
mod template;

pub use check::{Rejection, Vocabulary, check, vocabulary};
pub use evidence::{Claim, Evidence, Fact, Language};
pub use template::{blurb, explain, headline};
