//! What item texts mean: vectors made beside the requests, and the model `text` that serves over them.
//!
//! A thread of low priority (`worker`) encodes new and changed items in batches and keeps the model up to date: it alone changes vectors and
//! model, requests only read. All of it is derived from the catalogue. Without an encoder the model knows nothing and everything else works
//! as ever; a text that cannot be encoded leaves its item with its older vector.

mod cached;
mod queue;
mod thread;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use serde::{Deserialize, Serialize};
use zhiyin_core::{EncodeError, Encoder, ItemIx, VectorCache, VectorKey};
use zhiyin_models::{
    ItemVectors, Model,
    text::{Params, Text},
};

pub use self::cached::CachedEncoder;
use self::queue::Queue;
pub(crate) use self::thread::EncodingThread;
use crate::{engine::Engine, trained::TextsRead};

/// How often waiting for the encoder looks again.
const LOOK: Duration = Duration::from_millis(20);

/// What the engine is given to understand texts with.
#[derive(Clone)]
pub struct TextEncoding {
    /// The encoder, or why there is none.
    pub encoder: Result<Arc<dyn Encoder>, String>,
    /// Where vectors are kept, so that a restart doesn't encode again.
    pub cache: Option<Arc<dyn VectorCache>>,
}

impl TextEncoding {
    /// No encoder, for this reason.
    pub fn none(reason: impl Into<String>) -> Self {
        Self { encoder: Err(reason.into()), cache: None }
    }
}

/// How far the encoding of texts has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TextStatus {
    /// Name of the encoder; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Items that have a vector.
    pub encoded: usize,
    /// Items that are still to be looked at.
    pub queued: usize,
    /// Items whose text could not be encoded; they are tried again.
    pub failed: usize,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Vectors as the encoder gives them, by item, and what of each item was read.
#[derive(Default)]
struct Raw {
    rows: Vec<f32>,
    keys: Vec<VectorKey>,
}

/// What the worker, the requests and the training share.
pub(crate) struct Texts {
    encoding: TextEncoding,
    queue: Queue,
    raw: Mutex<Raw>,
    served: RwLock<Text>,
    encoded: AtomicUsize,
    failed: AtomicUsize,
    error: Mutex<Option<String>>,
}

impl Texts {
    /// Serves `base`, if the encoder that it came from is the one in use.
    pub(crate) fn new(encoding: TextEncoding, base: Option<(Text, TextsRead)>) -> (Self, TextsRead) {
        let version = encoding.encoder.as_ref().map_or("", |encoder| encoder.version());
        let (text, read) = match base {
            Some((text, read)) if read.version == version => (text, read),
            Some((text, _)) => (Text::empty(text.params()), TextsRead::default()),
            None => (Text::empty(&Params::default()), TextsRead::default()),
        };
        let texts = Self {
            encoding,
            queue: Queue::default(),
            raw: Mutex::default(),
            served: RwLock::new(text),
            encoded: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            error: Mutex::new(None),
        };
        if texts.encoding.encoder.is_ok() {
            texts.queue.rescan();
        }
        (texts, read)
    }

    /// The model that serves.
    pub(crate) fn served(&self) -> RwLockReadGuard<'_, Text> {
        self.served.read()
    }

    /// Items are new, changed or gone.
    pub(crate) fn changed(&self, items: impl Iterator<Item = ItemIx>) {
        if self.encoding.encoder.is_ok() {
            self.queue.push(items);
        }
    }

    fn stop(&self) {
        self.queue.stop();
    }

    /// Puts a fitted model in place of the one that serves, and waits for that.
    pub(crate) fn adopt(&self, text: Text, read: TextsRead) {
        if self.encoding.encoder.is_ok() {
            self.queue.adopt(text, read.keys);
        }
    }

    /// The vectors of a catalogue of this many items, and what was read for them; nothing if no item has one.
    pub(crate) fn vectors(&self, n_items: usize) -> (ItemVectors, TextsRead) {
        let Ok(encoder) = &self.encoding.encoder else { return Default::default() };
        let (mut rows, mut keys) = {
            let raw = self.raw.lock();
            (raw.rows.clone(), raw.keys.clone())
        };
        if rows.iter().all(|number| *number == 0.0) {
            return Default::default();
        }
        rows.resize(n_items * encoder.dims(), 0.0);
        keys.resize(n_items, VectorKey::default());
        (ItemVectors::new(encoder.dims(), rows), TextsRead { version: encoder.version().to_owned(), keys })
    }

    fn is_idle(&self) -> bool {
        self.encoding.encoder.is_err() || self.queue.is_idle()
    }

    pub(crate) fn status(&self) -> TextStatus {
        TextStatus {
            encoder: self.encoding.encoder.as_ref().ok().map(|encoder| encoder.name().to_owned()),
            reason: self.encoding.encoder.as_ref().err().cloned(),
            encoded: self.encoded.load(Ordering::Relaxed),
            queued: self.queue.waiting(),
            failed: self.failed.load(Ordering::Relaxed),
            error: self.error.lock().clone(),
        }
    }

    /// Bytes of memory, approximately.
    pub(crate) fn bytes(&self) -> usize {
        let raw = self.raw.lock();
        let raw = raw.rows.len() * size_of::<f32>() + raw.keys.len() * size_of::<VectorKey>();
        raw + self.served().bytes()
    }
}

impl Engine {
    /// The vector of a text that isn't an item's, such as a search. Blocks for some milliseconds; none without an encoder.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn encode(&self, text: &str) -> Result<Option<Vec<f32>>, EncodeError> {
        let Ok(encoder) = &self.core.texts.encoding.encoder else { return Ok(None) };
        encoder.encode(&[text]).map(Some)
    }

    /// Waits until all items are encoded, at most so long; whether they are.
    pub fn await_encoding(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.core.texts.is_idle() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }
}
