//! Model files: immutable, named by their content, with a pointer to the one that serves.
//!
//! A file is a magic line, the BLAKE3 hash of the rest, and the models in postcard. `live` holds the name of the live version. Files are
//! written beside their final name, made durable and renamed, so a reader sees all of one or nothing.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use crate::{error::EngineError, snapshots::write_durably, trained::Trained};

const MAGIC: &[u8] = b"zhiyin model 3\n";
const HASH_BYTES: usize = 32;
/// Versions that are kept, the live one included.
const KEPT: usize = 3;

/// Writes a model file, points `live` at it, and removes the oldest files. Returns the version: when it was trained, and what it is.
///
/// # Errors
/// The folder cannot be written; the live version is unchanged then.
pub(crate) fn save(folder: &Path, trained: &Trained, now_ms: i64) -> Result<String, EngineError> {
    fs_err::create_dir_all(folder).map_err(failed)?;
    let body = postcard::to_stdvec(trained).map_err(|error| EngineError::Internal(format!("model file: {error}")))?;
    let hash = blake3::hash(&body);
    let version = format!("{}-{}", now_ms / 1000, &hash.to_hex()[..8]);
    let parts = [MAGIC, hash.as_bytes(), &body];
    write_durably(&path_of(folder, &version), |file| parts.iter().try_for_each(|part| file.write_all(part)))
        .map_err(failed)?;
    write_durably(&folder.join("live"), |file| file.write_all(version.as_bytes())).map_err(failed)?;
    remove_oldest(folder, &version);
    Ok(version)
}

/// The models of the live version; untrained ones if there is none.
///
/// # Errors
/// The file is missing, damaged, or of another version of the program. Nothing is changed.
pub(crate) fn load_live(folder: &Path) -> Result<Trained, EngineError> {
    let pointer = folder.join("live");
    if !pointer.exists() {
        return Ok(Trained::default());
    }
    let version = fs_err::read_to_string(&pointer).map_err(failed)?;
    let path = path_of(folder, version.trim());
    let bytes = fs_err::read(&path).map_err(failed)?;
    let mut trained = decode(&bytes).ok_or_else(|| damaged(&path))?;
    trained.version = version.trim().to_owned();
    Ok(trained)
}

fn decode(bytes: &[u8]) -> Option<Trained> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (hash, body) = rest.split_at_checked(HASH_BYTES)?;
    if blake3::hash(body).as_bytes() != hash {
        return None;
    }
    postcard::from_bytes(body).ok()
}

fn path_of(folder: &Path, version: &str) -> PathBuf {
    folder.join(format!("{version}.model"))
}

/// Versions begin with their time, so the order of names is the order of age. What can't be removed stays; it only takes room.
fn remove_oldest(folder: &Path, live: &str) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    let is_model = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "model");
    let mut models: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_model).collect();
    models.sort();
    let surplus = models.len().saturating_sub(KEPT);
    for path in models.into_iter().take(surplus).filter(|path| *path != path_of(folder, live)) {
        let _ = fs_err::remove_file(path);
    }
}

fn failed(error: std::io::Error) -> EngineError {
    EngineError::Internal(format!("{error}"))
}

fn damaged(path: &Path) -> EngineError {
    let file = path.display();
    EngineError::Internal(format!(
        "the model file {file} is damaged or of another version; nothing was changed; remove the file \"live\" beside it to serve \
         without it, then train again"
    ))
}

#[cfg(test)]
mod tests {
    use zhiyin_models::fusion::Fusion;

    use super::*;

    #[test]
    fn the_live_version_comes_back_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!load_live(folder.path()).unwrap().is_trained());
        for round in 0..5_u8 {
            let fusion = Fusion::new(vec!["markov".into()], vec![f32::from(round)]);
            let version =
                save(folder.path(), &Trained { fusion, ..Trained::default() }, i64::from(round) * 1000).unwrap();
            let live = load_live(folder.path()).unwrap();
            assert_eq!((live.version, live.fusion.weights), (version, vec![f32::from(round)]));
        }
        let files = fs_err::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, KEPT + 1);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let version = save(folder.path(), &Trained::default(), 0).unwrap();
        let path = path_of(folder.path(), &version);
        let mut bytes = fs_err::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        let error = load_live(folder.path()).err().unwrap().to_string();
        assert!(error.contains(&version) && error.contains("train again"), "{error}");
        assert_eq!(fs_err::read(&path).unwrap(), bytes);
    }
}
