//! An encoder that remembers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use zhiyin_core::{EncodeError, Encoder, VectorCache, VectorKey};

/// An encoder with the place where its vectors are kept.
pub struct CachedEncoder {
    encoder: Arc<dyn Encoder>,
    cache: Option<Arc<dyn VectorCache>>,
    has_warned: AtomicBool,
}

impl CachedEncoder {
    /// An encoder whose vectors are kept in `cache`, if there is one.
    pub fn new(encoder: Arc<dyn Encoder>, cache: Option<Arc<dyn VectorCache>>) -> Self {
        Self { encoder, cache, has_warned: AtomicBool::new(false) }
    }

    /// The encoder.
    pub fn encoder(&self) -> &dyn Encoder {
        &*self.encoder
    }

    /// What a vector is kept under.
    pub fn key(&self, text: &str) -> VectorKey {
        let mut hasher = blake3::Hasher::new();
        for part in [self.encoder.version(), text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// One row per text, encoded only if it isn't kept; zeros for a blank one. A cache that fails is warned of once and done without.
    ///
    /// # Errors
    /// The encoder fails, or gives something else than rows of its size.
    pub fn rows(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        let dims = self.encoder.dims();
        let mut rows = vec![0.0; texts.len() * dims];
        let known: Vec<usize> = (0..texts.len()).filter(|&at| !texts[at].trim().is_empty()).collect();
        let keys: Vec<VectorKey> = known.iter().map(|&at| self.key(texts[at])).collect();
        let mut missing = Vec::new();
        for ((&at, key), kept) in known.iter().zip(&keys).zip(self.kept(&keys)) {
            match kept.filter(|row| row.len() == dims) {
                Some(row) => rows[at * dims..][..dims].copy_from_slice(&row),
                None => missing.push((at, *key)),
            }
        }
        let batch: Vec<&str> = missing.iter().map(|(at, _)| texts[*at]).collect();
        if batch.is_empty() {
            return Ok(rows);
        }
        let encoded = self.encoder.encode(&batch)?;
        if encoded.len() != batch.len() * dims || encoded.iter().any(|number| !number.is_finite()) {
            let detail = format!("it gave no {} finite rows of {dims} numbers", batch.len());
            return Err(EncodeError { encoder: self.encoder.name().to_owned(), detail });
        }
        for ((at, _), row) in missing.iter().zip(encoded.chunks_exact(dims)) {
            rows[at * dims..][..dims].copy_from_slice(row);
        }
        let kept: Vec<(VectorKey, &[f32])> =
            missing.iter().map(|(_, key)| *key).zip(encoded.chunks_exact(dims)).collect();
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.put(&kept)) {
            self.warn(&error.0);
        }
        Ok(rows)
    }

    fn kept(&self, keys: &[VectorKey]) -> Vec<Option<Vec<f32>>> {
        let Some(cache) = &self.cache else { return vec![None; keys.len()] };
        cache.get(keys).unwrap_or_else(|error| {
            self.warn(&error.0);
            vec![None; keys.len()]
        })
    }

    fn warn(&self, error: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "vectors of texts are not kept: a restart encodes them again");
        }
    }
}
