//! What language models keep: results, use per day, and background jobs. Implemented by the store, and in memory by the crate `llm`.

use crate::language::TokenUsage;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Something that was to be kept could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct KeepError(pub String);

/// Identifies a result by its content: a hash over model version, request and parameters.
pub type ResultKey = [u8; 32];

/// How full a cache of results is, and how much it saved since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Results in it.
    pub entries: u64,
    /// Bytes of keys, model names and values.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub bytes_max: u64,
    /// Results dropped to make room, since the start.
    pub evicted: u64,
}

/// Results of language models, bounded in bytes; those unused for longest go first.
pub trait ResultCache: Send + Sync {
    /// The value of a key, which becomes the most recently used.
    ///
    /// # Errors
    /// When the storage fails; callers go on as if nothing were there.
    fn get(&self, key: &ResultKey) -> Result<Option<Vec<u8>>, KeepError>;

    /// Keeps a value; replaces an older one of the same key. A value larger than the whole cache is not kept.
    ///
    /// # Errors
    /// When the storage fails.
    fn put(&self, key: &ResultKey, model: &str, value: &[u8]) -> Result<(), KeepError>;

    /// Drops every result of a model. Returns how many there were.
    ///
    /// # Errors
    /// When the storage fails.
    fn forget_model(&self, model: &str) -> Result<u64, KeepError>;

    /// How full it is.
    ///
    /// # Errors
    /// When the storage fails.
    fn status(&self) -> Result<CacheStatus, KeepError>;
}

/// What one runtime used on one UTC day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayUsage {
    /// Requests that were sent or begun.
    pub requests: u64,
    /// Tokens.
    pub tokens: TokenUsage,
    /// Money, in the currency of the configured prices.
    pub money: f64,
}

/// Use per runtime and UTC day, so that a restart doesn't renew a budget. Days count from 1970-01-01.
pub trait UsageLedger: Send + Sync {
    /// What a runtime used on a day; zero if nothing is known.
    ///
    /// # Errors
    /// When the storage fails.
    fn load(&self, runtime: &str, day: i64) -> Result<DayUsage, KeepError>;

    /// Replaces what is known of a day.
    ///
    /// # Errors
    /// When the storage fails.
    fn store(&self, runtime: &str, day: i64, usage: &DayUsage) -> Result<(), KeepError>;
}

/// One piece of background work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobTask {
    /// What to work on, such as an item's identifier; unique within the job.
    pub key: String,
    /// Higher goes first: the busiest items.
    pub priority: f64,
    /// Times that it was begun and failed.
    pub attempts: u32,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Its tasks are taken by priority.
    Running,
    /// Stopped by an operator.
    Paused,
    /// Stopped until a time, since a budget is used up or the model is away.
    Waiting {
        /// When it goes on, in milliseconds since 1970.
        until_ms: i64,
        /// Why it waits.
        reason: String,
    },
    /// Nothing is left to do.
    Finished,
    /// Given up by an operator.
    Cancelled,
}

/// A job, as shown and as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Unique name.
    pub id: String,
    /// What kind of work it is; the program knows the handler of a kind.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// Tasks in all.
    pub total: u64,
    /// Tasks done.
    pub done: u64,
    /// Tasks given up.
    pub failed: u64,
    /// Tokens so far.
    pub tokens: TokenUsage,
    /// Money so far.
    pub money: f64,
    /// Time that tasks took so far, in milliseconds, summed over workers.
    pub busy_ms: u64,
    /// The newest error of a task.
    pub last_error: Option<String>,
}

/// Keeps jobs across restarts.
pub trait JobStore: Send + Sync {
    /// Every job with those of its tasks that are neither done nor given up.
    ///
    /// # Errors
    /// When the storage fails.
    fn load(&self) -> Result<Vec<(JobRecord, Vec<JobTask>)>, KeepError>;

    /// Keeps a new job with its tasks, in one transaction.
    ///
    /// # Errors
    /// When the storage fails.
    fn create(&self, job: &JobRecord, tasks: &[JobTask]) -> Result<(), KeepError>;

    /// Keeps where a job stands and, in the same transaction, drops a task that is done or given up.
    ///
    /// # Errors
    /// When the storage fails.
    fn update(&self, job: &JobRecord, settled_task: Option<&str>) -> Result<(), KeepError>;
}
