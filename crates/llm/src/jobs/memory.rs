//! The job store that forgets when the process ends.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use zhiyin_core::language::{JobRecord, JobStore, JobTask, KeepError};

/// Keeps jobs in memory.
#[derive(Default)]
pub struct MemoryJobStore(Mutex<BTreeMap<String, (JobRecord, Vec<JobTask>)>>);

impl JobStore for MemoryJobStore {
    fn load(&self) -> Result<Vec<(JobRecord, Vec<JobTask>)>, KeepError> {
        Ok(self.0.lock().values().cloned().collect())
    }

    fn create(&self, job: &JobRecord, tasks: &[JobTask]) -> Result<(), KeepError> {
        self.0.lock().insert(job.id.clone(), (job.clone(), tasks.to_vec()));
        Ok(())
    }

    fn update(&self, job: &JobRecord, settled_task: Option<&str>) -> Result<(), KeepError> {
        let mut jobs = self.0.lock();
        let kept = jobs.get_mut(&job.id).ok_or_else(|| KeepError(format!("there is no job {:?}", job.id)))?;
        kept.0 = job.clone();
        kept.1.retain(|task| Some(task.key.as_str()) != settled_task);
        Ok(())
    }
}
