//! A load generator for HTTP, written to cost little, since it shares the machine with the server that it measures.
//!
//! One thread per connection, blocking sockets, requests rendered before the clock starts: a request costs one write, one read and one
//! switch of threads. It speaks just enough HTTP/1.1 for our own server: keep-alive, answers with `content-length`.

mod process;
mod report;
mod run;
mod wire;

pub use process::{LISTENING, Server, Usage, own_usage};
pub use report::{Cost, Latency, Report};
pub use run::{Outcome, Pace, Plan, run};
pub use wire::{Connection, Request};
