//! The cache that forgets when the process ends, and the twin that the store's is tested against.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use zhiyin_core::language::{CacheStatus, KeepError, ResultCache, ResultKey};

struct Entry {
    used: u64,
    model: String,
    value: Vec<u8>,
}

impl Entry {
    fn bytes(&self) -> u64 {
        (size_of::<ResultKey>() + self.model.len() + self.value.len()) as u64
    }
}

#[derive(Default)]
struct Inner {
    entries: HashMap<ResultKey, Entry>,
    /// Keys by when they were last used; the first is dropped first.
    by_use: BTreeMap<u64, ResultKey>,
    tick: u64,
    bytes: u64,
    evicted: u64,
}

/// Least recently used first out, bounded in bytes.
pub struct MemoryCache {
    bytes_max: u64,
    inner: Mutex<Inner>,
}

impl MemoryCache {
    /// An empty cache that holds this many bytes of keys, model names and values.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }
}

impl Inner {
    fn touch(&mut self, key: &ResultKey) -> Option<Vec<u8>> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        entry.used = self.tick;
        self.by_use.insert(self.tick, *key);
        Some(entry.value.clone())
    }

    fn remove(&mut self, key: &ResultKey) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.by_use.remove(&entry.used);
        self.bytes -= entry.bytes();
        true
    }

    fn insert(&mut self, key: ResultKey, mut entry: Entry) {
        self.remove(&key);
        self.tick += 1;
        entry.used = self.tick;
        self.bytes += entry.bytes();
        self.by_use.insert(self.tick, key);
        self.entries.insert(key, entry);
    }

    fn shrink(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.by_use.first_key_value().map(|(used, key)| (*used, *key)) else { return };
            self.remove(&oldest);
            self.evicted += 1;
        }
    }
}

impl ResultCache for MemoryCache {
    fn get(&self, key: &ResultKey) -> Result<Option<Vec<u8>>, KeepError> {
        Ok(self.inner.lock().touch(key))
    }

    fn put(&self, key: &ResultKey, model: &str, value: &[u8]) -> Result<(), KeepError> {
        let entry = Entry { used: 0, model: model.to_owned(), value: value.to_vec() };
        if entry.bytes() > self.bytes_max {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        inner.insert(*key, entry);
        inner.shrink(self.bytes_max);
        Ok(())
    }

    fn forget_model(&self, model: &str) -> Result<u64, KeepError> {
        let mut inner = self.inner.lock();
        let doomed: Vec<_> = inner.entries.iter().filter(|(_, e)| e.model == model).map(|(key, _)| *key).collect();
        Ok(doomed.iter().filter(|key| inner.remove(key)).count() as u64)
    }

    fn status(&self) -> Result<CacheStatus, KeepError> {
        let inner = self.inner.lock();
        let (entries, bytes, evicted) = (inner.entries.len() as u64, inner.bytes, inner.evicted);
        Ok(CacheStatus { entries, bytes, bytes_max: self.bytes_max, evicted })
    }
}
