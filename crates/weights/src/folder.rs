//! The folder of models: `NAME/FILE` for what is whole, `.partial/NAME/` for what is being fetched.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{Catalogue, WeightFile, WeightModel, WeightsError, hash::Hasher};

/// Where unfinished files lie.
const PARTIAL: &str = ".partial";
/// Name of the file that adds to the catalogue.
const OWN_CATALOGUE: &str = "catalogue.toml";

/// A folder of models.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum FileState {
    /// It is not there.
    Missing,
    /// It is there with the right size.
    Present,
    /// It is there and its hash is right.
    Verified,
    /// It is there and is not what the catalogue describes.
    Different {
        /// How it differs.
        detail: String,
    },
}

impl Folder {
    /// A folder at a place that need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The shipped catalogue with what the folder's own `catalogue.toml` adds.
    ///
    /// # Errors
    /// The folder's catalogue cannot be read or is wrong.
    pub fn catalogue(&self) -> Result<Catalogue, WeightsError> {
        let mut catalogue = Catalogue::shipped()?;
        let own = self.root.join(OWN_CATALOGUE);
        if own.is_file() {
            let text = fs_err::read_to_string(&own)?;
            catalogue.merge(Catalogue::parse(&text, &own.display().to_string())?);
        }
        Ok(catalogue)
    }

    /// Where a model's files are.
    pub fn model(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where a file is or would be.
    pub fn file(&self, model: &WeightModel, file: &WeightFile) -> PathBuf {
        self.model(&model.name).join(&file.name)
    }

    pub(crate) fn partial(&self, model: &WeightModel) -> PathBuf {
        self.root.join(PARTIAL).join(&model.name)
    }

    /// Whether all files are there with the right sizes. Files get their names only after their hashes were right, so this is enough
    /// to use them; [`Folder::check`] looks for later damage.
    pub fn has(&self, model: &WeightModel) -> bool {
        model.files.iter().all(|file| self.look(model, file) == FileState::Present)
    }

    /// The state of a file by its size.
    pub fn look(&self, model: &WeightModel, file: &WeightFile) -> FileState {
        match fs_err::metadata(self.file(model, file)) {
            Err(_) => FileState::Missing,
            Ok(found) if found.len() == file.bytes => FileState::Present,
            Ok(found) => FileState::Different { detail: wrong_size(found.len(), file.bytes) },
        }
    }

    /// The state of a file by its hash: reads all of it.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn check(&self, model: &WeightModel, file: &WeightFile) -> Result<FileState, WeightsError> {
        let looked = self.look(model, file);
        if looked != FileState::Present {
            return Ok(looked);
        }
        let hash = hash_of(&mut fs_err::File::open(self.file(model, file))?)?;
        if hash == file.sha256 {
            return Ok(FileState::Verified);
        }
        Ok(FileState::Different { detail: wrong_hash(&hash, &file.sha256) })
    }
}

pub(crate) fn wrong_size(found: u64, wanted: u64) -> String {
    format!("it has {found} bytes instead of {wanted}")
}

pub(crate) fn wrong_hash(found: &str, wanted: &str) -> String {
    format!("its sha256 is {found} instead of {wanted}")
}

fn hash_of(file: &mut dyn Read) -> std::io::Result<String> {
    let mut hasher = Hasher::default();
    hasher.copy(file, &mut std::io::sink(), &mut |_| {})?;
    Ok(hasher.finish())
}
