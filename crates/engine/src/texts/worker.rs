//! The thread that encodes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rayon::ThreadPool;
use rustc_hash::FxHashSet;
use zhiyin_core::{EncodeError, ItemIx, VectorKey};
use zhiyin_models::{
    ItemFacts, ItemVectors,
    text::{Change, Text, Words},
};

use super::{CachedEncoder, queue::Task};
use crate::{engine::Core, error::EngineError, state::encoder_text, trained::TextsRead};

/// Items in one batch.
const BATCH_ITEMS: usize = 64;
/// Bytes of text after which a batch ends, so that an item posted meanwhile needn't wait long.
const BATCH_BYTES: usize = 8 * 1024;
/// Up to so many items the model is fitted anew with every batch: whitening needs to know what varies.
const REFITTED_ITEMS: usize = 512;
/// How long items whose text could not be encoded are left alone.
const RETRY: Duration = Duration::from_secs(60);
/// By how much the threads that encode give way to others.
const NICENESS: i32 = 10;

/// An item that is to be encoded.
struct Reading {
    item: ItemIx,
    text: String,
    key: VectorKey,
}

/// The thread's own state.
pub(crate) struct Worker {
    core: Arc<Core>,
    encoder: CachedEncoder,
    pool: ThreadPool,
    words: Words,
    /// What of each item the model that serves was made from.
    served: Vec<VectorKey>,
    known: usize,
    known_at_fit: usize,
    /// First item that a scan has still before it.
    unscanned: Option<ItemIx>,
    failed: FxHashSet<ItemIx>,
    retry_at: Instant,
}

impl Worker {
    /// The worker; none without an encoder. `read` is what the model that serves was made from.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn new(core: Arc<Core>, read: TextsRead) -> Result<Option<Self>, EngineError> {
        let Ok(encoder) = core.texts.encoding.encoder.clone() else { return Ok(None) };
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|number| format!("zhiyin-encoder-{number}"))
            .start_handler(|_| {
                // Where it isn't allowed the work is done at the usual priority.
                let _ = rustix::process::nice(NICENESS);
            })
            .build()
            .map_err(|error| EngineError::Internal(format!("no threads for the encoder: {error}")))?;
        let encoder = CachedEncoder::new(encoder, core.texts.encoding.cache.clone());
        let mut worker = Self {
            encoder,
            pool,
            words: Words::new(&[], &Default::default()),
            served: read.keys,
            known: 0,
            known_at_fit: 0,
            unscanned: None,
            failed: FxHashSet::default(),
            retry_at: Instant::now(),
            core,
        };
        worker.prepare_words();
        Ok(Some(worker))
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        loop {
            let unscanned = self.unscanned.map_or(0, |from| self.n_items().saturating_sub(from as usize));
            let core = Arc::clone(&self.core);
            match core.texts.queue.next(BATCH_ITEMS, unscanned, RETRY) {
                Task::Items(items) => self.take(items),
                Task::Scan => self.unscanned = Some(0),
                Task::Adopt(model) => {
                    self.adopt(model.text, model.keys);
                    // Nobody may wait any more.
                    let _ = model.done.send(());
                }
                Task::Idle if unscanned > 0 => self.scan(),
                Task::Idle => {
                    self.unscanned = None;
                    self.retry();
                }
                Task::Stop => return,
            }
        }
    }

    fn n_items(&self) -> usize {
        self.core.state.read().items.len()
    }

    fn scan(&mut self) {
        let Some(from) = self.unscanned else { return };
        let to = (from as usize + BATCH_ITEMS).min(self.n_items()) as ItemIx;
        self.unscanned = (to > from).then_some(to);
        self.take((from..to).collect());
    }

    fn retry(&mut self) {
        if !self.failed.is_empty() && Instant::now() >= self.retry_at {
            self.core.texts.queue.push(std::mem::take(&mut self.failed).into_iter());
        }
    }

    /// Encodes what changed of these items, in batches, and lets the model learn it.
    fn take(&mut self, items: Vec<ItemIx>) {
        let changed = self.changed(&items);
        let mut rest = changed.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_end(rest));
            rest = later;
            let encoded = self.encode(batch);
            self.learn(&encoded);
            // Only now: whoever reads the number finds so many items by their texts.
            self.core.texts.encoded.store(self.known, Ordering::Relaxed);
        }
    }

    /// Those of some items whose text isn't what was encoded or what the model knows.
    fn changed(&self, items: &[ItemIx]) -> Vec<Reading> {
        let state = self.core.state.read();
        let raw = self.core.texts.raw.lock();
        let reading = |&item: &ItemIx| {
            let row = state.items.get(item);
            let text = row.map(|row| encoder_text(row)).unwrap_or_default();
            let key = if text.is_empty() { VectorKey::default() } else { self.encoder.key(&text) };
            let known = |keys: &[VectorKey]| keys.get(item as usize).copied().unwrap_or_default();
            let is_new = known(&raw.keys) != key || known(&self.served) != key;
            is_new.then_some(Reading { item, text, key })
        };
        items.iter().filter_map(reading).collect()
    }

    /// Encodes a batch and keeps the vectors; the items that succeeded. If the batch fails, its texts are tried one by one.
    fn encode<'a>(&mut self, batch: &'a [Reading]) -> Vec<&'a Reading> {
        if let Ok(rows) = self.rows(batch) {
            self.keep(batch, &rows);
            return batch.iter().collect();
        }
        let mut encoded = Vec::new();
        for reading in batch {
            let single = std::slice::from_ref(reading);
            match self.rows(single) {
                Ok(rows) => {
                    self.keep(single, &rows);
                    encoded.push(reading);
                }
                Err(error) => self.fail(reading.item, &error),
            }
        }
        encoded
    }

    fn rows(&self, batch: &[Reading]) -> Result<Vec<f32>, EncodeError> {
        let texts: Vec<&str> = batch.iter().map(|reading| reading.text.as_str()).collect();
        let encode = || self.pool.install(|| self.encoder.rows(&texts));
        catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(|_| {
            let encoder = self.encoder.encoder().name().to_owned();
            Err(EncodeError { encoder, detail: "it panicked".into() })
        })
    }

    fn keep(&mut self, batch: &[Reading], rows: &[f32]) {
        let dims = self.encoder.encoder().dims();
        let mut raw = self.core.texts.raw.lock();
        for (reading, row) in batch.iter().zip(rows.chunks_exact(dims)) {
            let (at, end) = (reading.item as usize * dims, (reading.item as usize + 1) * dims);
            if raw.rows.len() < end {
                raw.rows.resize(end, 0.0);
                raw.keys.resize(reading.item as usize + 1, VectorKey::default());
            }
            let is_known = |row: &[f32]| row.iter().any(|number| *number != 0.0);
            self.known = self.known + usize::from(is_known(row)) - usize::from(is_known(&raw.rows[at..end]));
            raw.rows[at..end].copy_from_slice(row);
            raw.keys[reading.item as usize] = reading.key;
            self.failed.remove(&reading.item);
        }
        drop(raw);
        self.core.texts.failed.store(self.failed.len(), Ordering::Relaxed);
    }

    fn fail(&mut self, item: ItemIx, error: &EncodeError) {
        if self.failed.is_empty() {
            tracing::warn!(%error, item, "a text could not be encoded; it is tried again later");
        }
        self.failed.insert(item);
        self.retry_at = Instant::now() + RETRY;
        self.core.texts.failed.store(self.failed.len(), Ordering::Relaxed);
        *self.core.texts.error.lock() = Some(error.to_string());
    }

    /// Lets the model that serves know what was encoded.
    fn learn(&mut self, encoded: &[&Reading]) {
        let known = |reading: &Reading| self.served.get(reading.item as usize).copied().unwrap_or_default();
        let new: Vec<&Reading> = encoded.iter().copied().filter(|reading| known(reading) != reading.key).collect();
        if new.is_empty() {
            return;
        }
        let is_fitted = self.core.texts.served().dims() > 0;
        if !is_fitted || self.known <= REFITTED_ITEMS || self.known > 2 * self.known_at_fit {
            self.refit();
        } else {
            self.update(&new);
        }
    }

    fn update(&mut self, new: &[&Reading]) {
        let dims = self.encoder.encoder().dims();
        let (facts, counts): (Vec<ItemFacts>, Vec<u64>) = {
            let state = self.core.state.read();
            let facts = new.iter().map(|reading| state.items.facts(reading.item).clone());
            (facts.collect(), state.items.all_interactions().to_vec())
        };
        let rows: Vec<Vec<f32>> = {
            let raw = self.core.texts.raw.lock();
            new.iter().map(|reading| raw.rows[reading.item as usize * dims..][..dims].to_vec()).collect()
        };
        let is_warm = |item: ItemIx| counts.get(item as usize).is_some_and(|count| *count > 0);
        let parts = new.iter().zip(&facts).zip(&rows);
        let changes: Vec<Change<'_>> = parts
            .map(|((reading, facts), vector)| Change {
                item: reading.item,
                vector,
                facts,
                is_cold: !is_warm(reading.item),
            })
            .collect();
        let update = {
            let served = self.core.texts.served();
            let words = &mut self.words;
            self.pool.install(|| served.prepare(words, &changes, is_warm))
        };
        self.core.texts.served.write().apply(update);
        for reading in new {
            if self.served.len() <= reading.item as usize {
                self.served.resize(reading.item as usize + 1, VectorKey::default());
            }
            self.served[reading.item as usize] = reading.key;
        }
    }

    /// Fits the model anew on all vectors, with what leads to the items taken over.
    fn refit(&mut self) {
        let (facts, counts) = {
            let state = self.core.state.read();
            (state.items.all_facts().to_vec(), state.items.all_interactions().to_vec())
        };
        let (mut rows, keys) = {
            let raw = self.core.texts.raw.lock();
            (raw.rows.clone(), raw.keys.clone())
        };
        let dims = self.encoder.encoder().dims();
        rows.resize(facts.len() * dims, 0.0);
        let (vectors, params) = (ItemVectors::new(dims, rows), self.core.texts.served().params().clone());
        let fitted = self.pool.install(|| Text::of_items(&vectors, &facts, &params));
        match fitted {
            Ok(mut text) => {
                let is_cold = |item: ItemIx| counts.get(item as usize).is_none_or(|count| *count == 0);
                text.inherit_transitions(&self.core.texts.served(), is_cold);
                *self.core.texts.served.write() = text;
                self.words = Words::new(&facts, &params);
                (self.served, self.known_at_fit) = (keys, self.known);
            }
            // Too few different texts: they are all the same to search and to the lists.
            Err(zhiyin_models::FitError::TooLittleData { .. }) => {}
            Err(error) => *self.core.texts.error.lock() = Some(error.to_string()),
        }
    }

    fn adopt(&mut self, text: Text, keys: Vec<VectorKey>) {
        *self.core.texts.served.write() = text;
        self.served = keys;
        self.prepare_words();
        // What was encoded since the training began isn't in it yet.
        self.core.texts.queue.rescan();
    }

    fn prepare_words(&mut self) {
        let params = self.core.texts.served().params().clone();
        let facts = self.core.state.read().items.all_facts().to_vec();
        self.words = Words::new(&facts, &params);
        self.known_at_fit = self.served.iter().filter(|key| **key != VectorKey::default()).count();
    }
}

/// Items of the next batch.
fn batch_end(readings: &[Reading]) -> usize {
    let mut bytes = 0;
    let fits = |reading: &&Reading| {
        bytes += reading.text.len();
        bytes <= BATCH_BYTES
    };
    readings.iter().take(BATCH_ITEMS).take_while(fits).count().max(1)
}
