//! What callers send, checked before anything acts on it: the cleaning of events and filter expressions.
//!
//! Nothing here does I/O, knows a model or keeps state that has to survive. Being small it is also what fuzzing builds.

pub mod clean;
pub mod filter;
