//! The folder of snapshots: written whole or not at all, the last two are kept, damaged ones are passed over and never overwritten.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;
use zhiyin_core::{clock::Millis, storage::Position, storage::StorageError};

use crate::{
    error::EngineError,
    state::snapshot::{Snapshot, Unreadable},
};

/// Snapshots that are kept.
pub(crate) const KEPT: usize = 2;
const EXTENSION: &str = "snapshot";

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

/// A snapshot that was found sound, and warnings about those that were not.
pub(crate) struct Latest {
    /// The newest sound one.
    pub snapshot: Option<Snapshot<'static>>,
    /// What was wrong with newer ones and what to do, each naming its file.
    pub warnings: Vec<String>,
}

impl Snapshots {
    /// Opens the folder, creates it if it isn't there.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, EngineError> {
        fs::create_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
        Ok(Self { folder })
    }

    /// The newest sound snapshot for which `fits` finds nothing wrong.
    pub(crate) fn latest(
        &self,
        fits: impl Fn(&Snapshot<'static>) -> Result<(), Unreadable>,
    ) -> Result<Latest, EngineError> {
        let mut warnings = Vec::new();
        for path in self.newest_first()? {
            let read = fs::read(&path).map_err(|error| error.to_string());
            let decoded = read.and_then(|bytes| Snapshot::decode(&bytes).map_err(|error| error.to_string()));
            match decoded.and_then(|snapshot| fits(&snapshot).map(|()| snapshot).map_err(|error| error.to_string())) {
                Ok(snapshot) => return Ok(Latest { snapshot: Some(snapshot), warnings }),
                Err(wrong) => warnings.push(passed_over(&path, &wrong)),
            }
        }
        Ok(Latest { snapshot: None, warnings })
    }

    /// Writes a snapshot: under another name first, made durable, then renamed. Older ones beyond [`KEPT`] are removed after that.
    /// `fill` writes its content.
    pub(crate) fn write(
        &self,
        position: Position,
        now_ms: Millis,
        fill: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
    ) -> Result<(), EngineError> {
        let path = self.folder.join(format!("{position:020}-{now_ms:015}.{EXTENSION}"));
        if path.exists() {
            // The same place at the same time: there is nothing new to keep.
            return Ok(());
        }
        write_durably(&path, fill).map_err(|error| failed(&path, &error))?;
        for old in self.newest_first()?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(|error| failed(&old, &error))?;
        }
        Ok(())
    }

    /// Removes all snapshots, durably: they hold data of somebody who is about to be erased.
    pub(crate) fn remove_all(&self) -> Result<(), EngineError> {
        let all = self.newest_first()?;
        for path in &all {
            fs::remove_file(path).map_err(|error| failed(path, &error))?;
        }
        if !all.is_empty() {
            sync_folder(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        }
        Ok(())
    }

    fn newest_first(&self) -> Result<Vec<PathBuf>, EngineError> {
        let entries = fs::read_dir(&self.folder).map_err(|error| unusable(&self.folder, &error))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        paths.sort_unstable_by(|a, b| b.cmp(a));
        Ok(paths)
    }
}

/// Writes a file so that it is whole or absent after a crash.
pub(crate) fn write_durably(
    path: &Path,
    fill: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::File::create(&unfinished)?;
    let written = fill(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // Best effort: the disk may be full, and half a snapshot only takes room.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn passed_over(path: &Path, wrong: &str) -> String {
    format!(
        "snapshot {} was passed over: {wrong}; the state is rebuilt from the log, which takes longer; the file is left as it is and \
         may be deleted",
        path.display()
    )
}

fn unusable(path: &Path, error: &std::io::Error) -> EngineError {
    let remedy = "give the server a folder that it may read and write".into();
    EngineError::Storage(Arc::new(StorageError::Unusable {
        path: path.display().to_string(),
        detail: error.to_string(),
        remedy,
    }))
}

fn failed(path: &Path, error: &std::io::Error) -> EngineError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return EngineError::Storage(Arc::new(StorageError::Full { path: path.display().to_string() }));
    }
    unusable(path, error)
}
