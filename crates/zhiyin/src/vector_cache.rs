//! Vectors of whole catalogues on disk, by the hash of their texts and the version of the encoder, so that repeated evaluations don't
//! encode again.
//!
//! A file is the BLAKE3 hash of the rest, then the numbers in little-endian order. A file that is damaged counts as absent.

use std::path::PathBuf;

use zhiyin_core::Encoder;

/// Catalogues that are kept; the oldest go first.
const KEPT: usize = 16;
const HASH_BYTES: usize = 32;

/// A folder of such files.
pub struct VectorCache {
    folder: PathBuf,
}

impl VectorCache {
    /// The cache in a folder that need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The name under which these texts are kept.
    pub fn key(&self, encoder: &dyn Encoder, texts: &[String]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(encoder.version()).chain(texts.iter().map(String::as_str)) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// What is kept under a key, if it has as many numbers.
    pub fn get(&self, key: &str, numbers: usize) -> Option<Vec<f32>> {
        let bytes = fs_err::read(self.path(key)).ok()?;
        let (hash, body) = bytes.split_at_checked(HASH_BYTES)?;
        let is_whole = body.len() == numbers * size_of::<f32>() && blake3::hash(body).as_bytes() == hash;
        let (words, _) = body.as_chunks();
        is_whole.then(|| words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// Keeps vectors under a key.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put(&self, key: &str, rows: &[f32]) -> std::io::Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        let body: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = blake3::hash(&body);
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        fs_err::write(file.path(), [hash.as_bytes(), body.as_slice()].concat())?;
        file.persist(self.path(key))?;
        self.remove_oldest();
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.vectors"))
    }

    /// What can't be removed stays; it only takes room.
    fn remove_oldest(&self) {
        let Ok(entries) = fs_err::read_dir(&self.folder) else { return };
        let dated = |entry: fs_err::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut files: Vec<_> = entries.flatten().filter_map(dated).collect();
        files.sort();
        let surplus = files.len().saturating_sub(KEPT);
        for (_, path) in files.drain(..surplus) {
            let _ = fs_err::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use zhiyin_core::EncodeError;

    use super::*;

    struct Lengths(&'static str);

    impl Encoder for Lengths {
        fn name(&self) -> &str {
            "lengths"
        }

        fn version(&self) -> &str {
            self.0
        }

        fn dims(&self) -> usize {
            1
        }

        fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
            Ok(texts.iter().map(|text| text.len() as f32).collect())
        }
    }

    fn cache() -> (tempfile::TempDir, VectorCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = VectorCache::new(folder.path().join("vectors"));
        (folder, cache)
    }

    #[test]
    fn keys_tell_texts_and_encoders_apart() {
        let (_folder, cache) = cache();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let keys = [
            cache.key(&Lengths("1"), &texts(&["ab", "c"])),
            cache.key(&Lengths("1"), &texts(&["a", "bc"])),
            cache.key(&Lengths("2"), &texts(&["ab", "c"])),
        ];
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
        assert_eq!(keys[0], cache.key(&Lengths("1"), &texts(&["ab", "c"])));
    }

    #[test]
    fn what_was_put_comes_back_and_damage_is_noticed() {
        let (_folder, cache) = cache();
        cache.put("key", &[1.0, 2.5]).unwrap();
        assert_eq!(cache.get("key", 2), Some(vec![1.0, 2.5]));
        assert_eq!((cache.get("key", 3), cache.get("other", 2)), (None, None));
        let path = cache.path("key");
        let mut bytes = fs_err::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(&path, bytes).unwrap();
        assert_eq!(cache.get("key", 2), None);
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let (_folder, cache) = cache();
        for n in 0..KEPT + 4 {
            cache.put(&format!("key-{n}"), &[0.0]).unwrap();
        }
        assert_eq!(fs_err::read_dir(&cache.folder).unwrap().count(), KEPT);
    }

    #[test]
    fn vectors_are_computed_once_and_empty_texts_have_none() {
        let (_folder, cache) = cache();
        let texts = vec!["four".to_owned(), " ".to_owned(), "sixsix".to_owned()];
        let computed = crate::encoders::vectors(&Lengths("1"), &texts, &cache).unwrap();
        assert_eq!(computed.rows(), [4.0, 0.0, 6.0]);
        cache.put(&cache.key(&Lengths("1"), &texts), &[7.0, 8.0, 9.0]).unwrap();
        let kept = crate::encoders::vectors(&Lengths("1"), &texts, &cache).unwrap();
        assert_eq!(kept.rows(), [7.0, 8.0, 9.0]);
    }
}
