//! Background jobs: one row for each, and one for each task that isn't over.

use crate::encode::{from_json, json, text};
use crate::language::LanguageStore;
use rusqlite::{Connection, params};
use zhiyin_core::language::{JobRecord, JobStore, JobTask, KeepError};

impl JobStore for LanguageStore {
    fn load(&self) -> Result<Vec<(JobRecord, Vec<JobTask>)>, KeepError> {
        self.run(|inner| {
            let mut select = inner.connection.prepare_cached("SELECT record FROM jobs ORDER BY id")?;
            let records = select.query_map([], |row| from_json::<JobRecord>(0, text(row, 0)?))?;
            let records = records.collect::<rusqlite::Result<Vec<_>>>()?;
            let with_tasks = |record: JobRecord| {
                let tasks = tasks(&inner.connection, &record.id)?;
                Ok((record, tasks))
            };
            records.into_iter().map(with_tasks).collect()
        })
    }

    fn create(&self, job: &JobRecord, new: &[JobTask]) -> Result<(), KeepError> {
        self.run(|inner| {
            let transaction = inner.connection.transaction()?;
            transaction.execute("DELETE FROM tasks WHERE job = ?1", [&job.id])?;
            transaction.execute("INSERT OR REPLACE INTO jobs VALUES (?1, ?2)", params![job.id, json(job)?])?;
            let mut insert = transaction.prepare_cached("INSERT INTO tasks VALUES (?1, ?2, ?3)")?;
            new.iter().try_for_each(|task| insert.execute(params![job.id, task.key, task.priority]).map(|_| ()))?;
            drop(insert);
            transaction.commit()
        })
    }

    fn update(&self, job: &JobRecord, settled_task: Option<&str>) -> Result<(), KeepError> {
        let changed = self.run(|inner| {
            let transaction = inner.connection.transaction()?;
            let changed = transaction
                .prepare_cached("UPDATE jobs SET record = ?2 WHERE id = ?1")?
                .execute(params![job.id, json(job)?])?;
            if let Some(key) = settled_task {
                transaction.prepare_cached("DELETE FROM tasks WHERE job = ?1 AND key = ?2")?.execute([&job.id, key])?;
            }
            transaction.commit()?;
            Ok(changed)
        })?;
        if changed == 1 { Ok(()) } else { Err(KeepError(format!("there is no job {:?}", job.id))) }
    }
}

/// Attempts begin anew: a restart may have mended what made them fail.
fn tasks(connection: &Connection, job: &str) -> rusqlite::Result<Vec<JobTask>> {
    let mut select = connection.prepare_cached("SELECT key, priority FROM tasks WHERE job = ?1 ORDER BY key")?;
    let rows = select.query_map([job], |row| Ok(JobTask { key: row.get(0)?, priority: row.get(1)?, attempts: 0 }))?;
    rows.collect()
}
