//! What language models keep, across restarts.

use proptest::prelude::*;
use std::path::Path;
use zhiyin_core::language::{
    DayUsage, JobRecord, JobState, JobStore, JobTask, ResultCache, ResultKey, TokenUsage, UsageLedger,
};
use zhiyin_store::LanguageStore;

const KEY_BYTES: usize = size_of::<ResultKey>();

fn open(folder: &Path, bytes_max: u64) -> LanguageStore {
    LanguageStore::open(folder, bytes_max).unwrap()
}

fn key(n: u8) -> ResultKey {
    [n; KEY_BYTES]
}

#[test]
fn results_survive_a_restart_and_a_smaller_bound_drops_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10_000);
    for n in 0..4 {
        store.put(&key(n), "m", &[n; 67]).unwrap();
    }
    assert_eq!(store.get(&key(0)).unwrap(), Some(vec![0; 67]));
    drop(store);
    let store = open(folder.path(), 200);
    let left: Vec<bool> = (0..4).map(|n| store.get(&key(n)).unwrap().is_some()).collect();
    assert_eq!(left, [true, false, false, true], "0 was used last before the restart");
    assert_eq!((store.status().unwrap().bytes, store.status().unwrap().evicted), (200, 2));
}

#[test]
fn a_model_is_forgotten_with_all_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10_000);
    store.put(&key(1), "old", b"a").unwrap();
    store.put(&key(2), "new", b"b").unwrap();
    store.put(&key(1), "new", b"replaced").unwrap();
    assert_eq!(store.forget_model("old").unwrap(), 0, "its only result was replaced");
    assert_eq!(store.forget_model("new").unwrap(), 2);
    let status = store.status().unwrap();
    assert_eq!((status.entries, status.bytes), (0, 0));
}

#[test]
fn use_is_kept_per_runtime_and_day() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = TokenUsage { prompt: 5, cached: 2, completion: 3 };
    let usage = DayUsage { requests: 1, tokens, money: 0.1 + 0.2 };
    UsageLedger::store(&open(folder.path(), 0), "a", 20_000, &usage).unwrap();
    let store = open(folder.path(), 0);
    assert_eq!(UsageLedger::load(&store, "a", 20_000).unwrap(), usage);
    assert_eq!(UsageLedger::load(&store, "a", 20_001).unwrap(), DayUsage::default());
    assert_eq!(UsageLedger::load(&store, "b", 20_000).unwrap(), DayUsage::default());
}

fn record(done: u64, state: JobState) -> JobRecord {
    let (id, kind) = ("aspects-1".to_owned(), "aspects".to_owned());
    let tokens = TokenUsage { prompt: 7 * done, ..TokenUsage::default() };
    JobRecord { id, kind, state, total: 2, done, failed: 0, tokens, money: 0.25, busy_ms: 9, last_error: None }
}

#[test]
fn a_job_goes_on_after_a_restart_with_the_tasks_that_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let task = |key: &str, priority| JobTask { key: key.to_owned(), priority, attempts: 0 };
    let store = open(folder.path(), 0);
    store.create(&record(0, JobState::Running), &[task("b", 1.5), task("a", 2.5)]).unwrap();
    let waiting = record(1, JobState::Waiting { until_ms: 77, reason: "budget".to_owned() });
    store.update(&waiting, Some("a")).unwrap();
    drop(store);
    let store = open(folder.path(), 0);
    assert_eq!(JobStore::load(&store).unwrap(), [(waiting, vec![task("b", 1.5)])]);
    let unknown = JobRecord { id: "other".to_owned(), ..record(0, JobState::Paused) };
    assert!(store.update(&unknown, None).unwrap_err().to_string().contains("other"));
    store.create(&record(0, JobState::Running), &[task("c", 0.0)]).unwrap();
    assert_eq!(JobStore::load(&store).unwrap()[0].1, [task("c", 0.0)], "a new job of the same name begins anew");
}

/// The cache as a list, the least recently used first.
fn expected(operations: &[(bool, u8, usize)], bytes_max: usize) -> Vec<(u8, usize)> {
    let mut entries: Vec<(u8, usize)> = Vec::new();
    for &(writes, key, length) in operations {
        let found = entries.iter().position(|entry| entry.0 == key).map(|i| entries.remove(i));
        entries.extend(if writes { Some((key, length)) } else { found });
        while entries.iter().map(|entry| KEY_BYTES + 1 + entry.1).sum::<usize>() > bytes_max {
            entries.remove(0);
        }
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_least_recently_used_goes_first(operations in prop::collection::vec((any::<bool>(), 0u8..8, 0usize..150), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 500);
        for &(writes, n, length) in &operations {
            if writes {
                store.put(&key(n), "m", &vec![n; length]).unwrap();
            } else {
                store.get(&key(n)).unwrap();
            }
        }
        let expected = expected(&operations, 500);
        let bytes: usize = expected.iter().map(|entry| KEY_BYTES + 1 + entry.1).sum();
        prop_assert_eq!(store.status().unwrap().bytes, bytes as u64);
        for (n, length) in expected {
            prop_assert_eq!(store.get(&key(n)).unwrap(), Some(vec![n; length]));
        }
    }
}
