//! The state of an unfinished training, from which it goes on after an interruption.

use std::{io::Write, path::Path};

use serde::{Deserialize, Serialize};

use crate::{optimizer::AdamW, texts::Loss};

/// Letters before the state: the hash of the rest, in hexadecimal.
const HASH_LETTERS: usize = 64;

/// Everything that the next step depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What was being trained on what: a state is never taken for another's.
    pub key: String,
    /// Steps done, and windows of the present epoch that they used.
    pub step: u64,
    pub epoch: u32,
    pub used: usize,
    pub cpu_seconds: f64,
    pub tokens: u64,
    pub values: Vec<f32>,
    pub optimizer: AdamW,
    /// The numbers with the least loss on validation so far, that loss, and how many looks it hasn't become less since.
    pub best: Vec<f32>,
    pub best_loss: Loss,
    pub first_loss: Loss,
    pub looks_without_gain: u32,
    pub losses: Vec<(u64, Loss)>,
}

impl Checkpoint {
    /// Replaces the file as a whole: a crash leaves the old or the new one.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let state = postcard::to_stdvec(self).map_err(std::io::Error::other)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(blake3::hash(&state).to_hex().as_bytes())?;
        file.write_all(&state)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The state in a file; none if there is no file, or it is damaged or another training's.
    pub fn read(path: &Path, key: &str) -> Option<Self> {
        let bytes = fs_err::read(path).ok()?;
        let (hash, state) = bytes.split_at_checked(HASH_LETTERS)?;
        if blake3::hash(state).to_hex().as_bytes() != hash {
            return None;
        }
        postcard::from_bytes(state).ok().filter(|checkpoint: &Self| checkpoint.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_unless_it_is_damaged_or_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper").join("state");
        let loss = Loss { token: 3.0, choice: 1.5 };
        let own = Checkpoint {
            key: "a".to_owned(),
            step: 3,
            epoch: 1,
            used: 7,
            cpu_seconds: 1.5,
            tokens: 90,
            values: vec![1.0, 2.0],
            optimizer: AdamW::new(2),
            best: vec![0.5, 0.5],
            best_loss: loss,
            first_loss: loss,
            looks_without_gain: 1,
            losses: vec![(1, loss)],
        };
        own.write(&path).unwrap();
        let back = Checkpoint::read(&path, "a").unwrap();
        assert_eq!((back.step, back.values, back.losses), (3, vec![1.0, 2.0], vec![(1, loss)]));
        assert!(Checkpoint::read(&path, "b").is_none());
        let mut bytes = fs_err::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs_err::write(&path, bytes).unwrap();
        assert!(Checkpoint::read(&path, "a").is_none());
        assert!(Checkpoint::read(&folder.path().join("absent"), "a").is_none());
    }
}
