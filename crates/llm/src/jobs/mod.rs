//! Background work for language models: many small tasks, the busiest items first, with progress, pause, cost and an estimate to the end.
//!
//! A task that is running when the process dies is done again after the restart, so handlers have to be idempotent. A job whose budget is
//! used up, or whose model is away, waits by itself and goes on by itself.

mod memory;
mod queue;

pub use memory::MemoryJobStore;

use parking_lot::{Condvar, Mutex};
use queue::Job;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use zhiyin_core::Clock;
use zhiyin_core::language::{
    Cancellation, JobRecord, JobState, JobStore, JobTask, KeepError, LanguageError, TokenUsage,
};

/// Jobs that aren't over, at once.
pub const JOBS_MAX: usize = 64;
/// Tasks of one job.
pub const TASKS_MAX: usize = 10_000_000;
/// Times that a task is begun before it is given up.
pub const ATTEMPTS_MAX: u32 = 3;
/// How long an idle worker sleeps before it looks for waiting jobs.
const IDLE: Duration = Duration::from_millis(100);

/// Why a job can't be submitted or steered.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum JobError {
    /// The name is taken by a job that isn't over.
    #[error("the job {0:?} is already there; cancel it or choose another name")]
    Exists(String),
    /// There is no such job.
    #[error("there is no job {0:?}")]
    Unknown(String),
    /// The job is over.
    #[error("the job {0:?} is over and can't be changed")]
    Over(String),
    /// Too many jobs or tasks, or a priority that can't be ordered.
    #[error("{0}")]
    Limit(String),
    /// The storage failed.
    #[error("the job can't be kept: {0}")]
    Keep(#[from] KeepError),
}

/// What one task took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskCost {
    /// Tokens.
    pub tokens: TokenUsage,
    /// Money.
    pub money: f64,
}

/// Does the tasks of all kinds.
pub trait TaskHandler: Sync {
    /// Does one task, once or again.
    ///
    /// # Errors
    /// Those of the model. The job waits if the model is away or a budget is used up; other errors count against the task.
    fn handle(&self, kind: &str, task: &JobTask) -> Result<TaskCost, LanguageError>;
}

/// What is left to do, if the rest costs what the tasks so far did on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Tokens to the end.
    pub tokens: f64,
    /// Money to the end.
    pub money: f64,
    /// Working time to the end in milliseconds, of one worker.
    pub busy_ms: f64,
}

/// A job as shown to an operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// The job with its counts and cost so far.
    pub job: JobRecord,
    /// Tasks being done now.
    pub running: u64,
    /// What is left; none before the first task is done.
    pub to_the_end: Option<Estimate>,
}

/// All jobs of a deployment.
pub struct Jobs {
    clock: Arc<dyn Clock>,
    store: Arc<dyn JobStore>,
    jobs: Mutex<BTreeMap<String, Job>>,
    more: Condvar,
}

struct Taken {
    job: String,
    kind: String,
    task: JobTask,
}

impl Jobs {
    /// Goes on with the jobs of the store.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn open(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>) -> Result<Self, KeepError> {
        let jobs =
            store.load()?.into_iter().map(|(record, tasks)| (record.id.clone(), Job::new(record, tasks))).collect();
        Ok(Self { clock, store, jobs: Mutex::new(jobs), more: Condvar::new() })
    }

    /// Jobs that are forgotten when the process ends.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        let store = Arc::new(MemoryJobStore::default());
        Self { clock, store, jobs: Mutex::default(), more: Condvar::new() }
    }

    /// Adds a job; it is kept before this returns. Of tasks with the same key the first counts.
    ///
    /// # Errors
    /// [`JobError`]; nothing is added then.
    pub fn submit(&self, id: &str, kind: &str, mut tasks: Vec<JobTask>) -> Result<(), JobError> {
        let mut seen = std::collections::HashSet::new();
        tasks.retain(|task| seen.insert(task.key.clone()));
        let mut jobs = self.jobs.lock();
        check_submission(&jobs, id, &tasks)?;
        let record = new_record(id, kind, tasks.len() as u64);
        self.store.create(&record, &tasks)?;
        jobs.insert(id.to_owned(), Job::new(record, tasks));
        self.more.notify_all();
        Ok(())
    }

    /// Takes no further tasks of a job until it is resumed; those running are finished.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn pause(&self, id: &str) -> Result<(), JobError> {
        self.steer(id, JobState::Paused)
    }

    /// Goes on with a job that is paused or waits.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn resume(&self, id: &str) -> Result<(), JobError> {
        self.steer(id, JobState::Running)
    }

    /// Gives a job up.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn cancel(&self, id: &str) -> Result<(), JobError> {
        self.steer(id, JobState::Cancelled)
    }

    /// All jobs by name.
    pub fn progress(&self) -> Vec<Progress> {
        self.jobs.lock().values().map(Job::progress).collect()
    }

    /// Does tasks until `stop`; several threads may do so side by side.
    pub fn work(&self, handler: &dyn TaskHandler, stop: &Cancellation) {
        while !stop.is_cancelled() {
            if !self.work_once(handler) {
                let mut jobs = self.jobs.lock();
                self.more.wait_for(&mut jobs, IDLE);
            }
        }
    }

    /// Does one task, the most urgent of all jobs. Returns whether there was one.
    pub fn work_once(&self, handler: &dyn TaskHandler) -> bool {
        let Some(taken) = self.take() else { return false };
        let begun = Instant::now();
        let result = handler.handle(&taken.kind, &taken.task);
        self.settle(taken, result, begun.elapsed());
        true
    }

    fn steer(&self, id: &str, state: JobState) -> Result<(), JobError> {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(id).ok_or_else(|| JobError::Unknown(id.to_owned()))?;
        if job.is_over() {
            return Err(JobError::Over(id.to_owned()));
        }
        let changed = JobRecord { state, ..job.record.clone() };
        self.store.update(&changed, None)?;
        job.record = changed;
        self.more.notify_all();
        Ok(())
    }

    fn take(&self) -> Option<Taken> {
        let mut jobs = self.jobs.lock();
        let now_ms = self.clock.now_ms();
        jobs.values_mut().for_each(|job| job.wake(now_ms));
        let urgent =
            jobs.values_mut().filter(|job| job.urgency().is_some()).max_by(|a, b| a.urgency().cmp(&b.urgency()))?;
        let task = urgent.take()?;
        Some(Taken { job: urgent.record.id.clone(), kind: urgent.record.kind.clone(), task })
    }

    fn settle(&self, taken: Taken, result: Result<TaskCost, LanguageError>, span: Duration) {
        let mut jobs = self.jobs.lock();
        let Some(job) = jobs.get_mut(&taken.job) else { return };
        let key = taken.task.key.clone();
        let settled = job.settle(taken.task, result, span, self.clock.now_ms());
        if let Err(e) = self.store.update(&job.record, settled.then_some(key.as_str())) {
            tracing::error!("progress of the job {} is kept in memory only: {e}", taken.job);
        }
    }
}

fn check_submission(jobs: &BTreeMap<String, Job>, id: &str, tasks: &[JobTask]) -> Result<(), JobError> {
    if jobs.get(id).is_some_and(|job| !job.is_over()) {
        return Err(JobError::Exists(id.to_owned()));
    }
    if jobs.values().filter(|job| !job.is_over()).count() >= JOBS_MAX {
        return Err(JobError::Limit(format!("{JOBS_MAX} jobs are not over; wait for one or cancel one")));
    }
    if tasks.len() > TASKS_MAX {
        return Err(JobError::Limit(format!("{} tasks are more than {TASKS_MAX}; split the job", tasks.len())));
    }
    match tasks.iter().find(|task| !task.priority.is_finite()) {
        Some(task) => Err(JobError::Limit(format!("the priority of {:?} isn't a finite number", task.key))),
        None => Ok(()),
    }
}

fn new_record(id: &str, kind: &str, total: u64) -> JobRecord {
    JobRecord {
        id: id.to_owned(),
        kind: kind.to_owned(),
        state: if total == 0 { JobState::Finished } else { JobState::Running },
        total,
        done: 0,
        failed: 0,
        tokens: TokenUsage::default(),
        money: 0.0,
        busy_ms: 0,
        last_error: None,
    }
}

#[cfg(test)]
mod tests;
