//! The embedded store of Zhiyin: event log, catalogue, actors, decisions, outcome counts, API keys and model pointers in one SQLite file.
//!
//! [`Store`] is the durable implementation of [`zhiyin_core::storage::Storage`]; [`MemoryStorage`] is its twin without a disk, for tests
//! and throw-away evaluations. One contract test suite runs on both.
//!
//! What this is not: it knows nothing of ranking, HTTP or time of day (callers pass times in), and it keeps no cache of what it reads.
//!
//! Limits: one process owns a folder at a time (a second one is refused, see [`Access`]); one transaction is written at a time, readers
//! never wait for it; a folder must lie on a file system with working locks and shared memory, so not on NFS.
//!
//! Files in the folder: `zhiyin.db` (open it with any SQL tool), `zhiyin.db-wal` and `zhiyin.db-shm` (belong to it while the store is
//! open or after a crash), `language.db` and `vectors.db` with the same companions (see [`language`]
//! and [`vectors`]), `zhiyin.lock` (its lock tells that a process owns the folder; the file itself stays).

mod commit;
mod decisions;
mod encode;
mod erase;
mod error;
pub mod faulty;
pub mod keys;
pub mod language;
pub mod memory;
pub mod models;
mod open;
mod outcomes;
mod read;
mod schema;
mod settings;
mod store;
pub mod teacher;
pub mod vectors;

pub use faulty::FaultyStorage;
pub use keys::{ApiKey, KeyError, NewKey, Scope, Scopes};
pub use language::LanguageStore;
pub use memory::MemoryStorage;
pub use models::LiveModel;
pub use store::{Access, Store, StoreOptions};
pub use teacher::TeacherScores;
pub use vectors::VectorStore;
