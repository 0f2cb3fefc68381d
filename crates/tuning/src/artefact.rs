//! What was learned, as a folder that never changes: the adapter in the layout of PEFT, and a manifest. Its name ends with the hash of its content.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zhiyin_core::clock::Millis;
use zhiyin_decoder::{Adapter, AdapterError, CONFIG_FILE, Decoder, WEIGHTS_FILE};

use crate::{
    measure::Measured,
    router::Route,
    run::{Report, TuneConfig},
};

/// Name of the manifest's file.
const MANIFEST_FILE: &str = "manifest.json";
/// Version of the manifest's layout.
const FORMAT: u32 = 2;
/// Letters of the hash in the folder's name.
const HASH_LETTERS: usize = 12;

/// Where an adapter comes from and what it is good for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// The base model's name.
    pub base: String,
    /// The base model's version: the beginning of its file's hash.
    pub base_version: String,
    /// Template of the texts, see `zhiyin_assistant::preference`.
    pub template: String,
    /// When it was made.
    pub created_ms: Millis,
    /// What was learned from.
    pub data: DataRange,
    /// How.
    pub config: TuneConfig,
    /// What came of it.
    pub training: Report,
    /// Who judges histories of which length, by validation; empty if it wasn't measured.
    pub routes: Vec<Route>,
    /// What was measured on users and times that nothing was learned from.
    pub measured: Option<Measured>,
    /// BLAKE3 of both files of the adapter and of this manifest's text with an empty text here.
    #[serde(default)]
    pub hash: String,
}

/// What was learned from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataRange {
    /// Name of the data.
    pub name: String,
    /// Histories.
    pub histories: usize,
    /// Titles.
    pub titles: usize,
    /// Events.
    pub events: usize,
    /// Time of the first of them, in seconds since 1970 UTC.
    pub from_s: u32,
    /// Time of the last.
    pub to_s: u32,
}

/// Why an artefact can't be written or used.
#[derive(Debug, Error)]
pub enum ArtefactError {
    /// The adapter in it.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// It was changed, or damaged.
    #[error("{folder} is not what was written: {detail}; remove it, or train again with `zhiyin llm finetune`")]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file can't be read or written; its path is in the message.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A folder and its verified manifest.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// The folder.
    pub folder: PathBuf,
    /// What is written about it.
    pub manifest: Manifest,
}

impl Manifest {
    /// A manifest of this layout, of nothing measured yet.
    pub fn new(
        base: &str,
        base_version: &str,
        created_ms: Millis,
        config: TuneConfig,
        training: Report,
        data: DataRange,
    ) -> Self {
        Self {
            format: FORMAT,
            base: base.to_owned(),
            base_version: base_version.to_owned(),
            template: zhiyin_assistant::preference::TEMPLATE.to_owned(),
            created_ms,
            data,
            config,
            training,
            routes: Vec::new(),
            measured: None,
            hash: String::new(),
        }
    }
}

impl Artefact {
    /// Writes the adapter of a decoder with its manifest into a new folder under `root`. Either the whole folder is there or nothing.
    ///
    /// # Errors
    /// [`ArtefactError`]; there has to be an adapter.
    pub fn write(root: &Path, decoder: &Decoder, mut manifest: Manifest) -> Result<Self, ArtefactError> {
        let adapter = decoder.adapter().ok_or_else(|| AdapterError::Config("there is none to be kept".to_owned()))?;
        fs_err::create_dir_all(root)?;
        let under_way = tempfile::Builder::new().prefix(".").tempdir_in(root)?;
        adapter.write(under_way.path(), decoder.shape(), &manifest.base)?;
        manifest.hash = String::new();
        let text = |manifest: &Manifest| serde_json::to_string_pretty(manifest).map_err(std::io::Error::from);
        manifest.hash = hash(under_way.path(), &text(&manifest)?)?;
        fs_err::write(under_way.path().join(MANIFEST_FILE), text(&manifest)?)?;
        for name in [WEIGHTS_FILE, CONFIG_FILE, MANIFEST_FILE] {
            fs_err::File::open(under_way.path().join(name))?.sync_all()?;
        }
        let folder = root.join(format!("{}-{}", manifest.base, &manifest.hash[..HASH_LETTERS]));
        fs_err::rename(under_way.keep(), &folder)?;
        Self::open(&folder)
    }

    /// Opens a folder and verifies the hash.
    ///
    /// # Errors
    /// [`ArtefactError`].
    pub fn open(folder: &Path) -> Result<Self, ArtefactError> {
        let changed = |detail: String| ArtefactError::Changed { folder: folder.to_owned(), detail };
        let text = fs_err::read_to_string(folder.join(MANIFEST_FILE))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| changed(format!("{MANIFEST_FILE}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(changed(format!("its layout is {}, this program knows {FORMAT}", manifest.format)));
        }
        if hash(folder, &text.replace(&manifest.hash, ""))? != manifest.hash {
            return Err(changed("its hash is another".to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// All artefacts under a folder, the newest first, and what can't be used.
    pub fn all(root: &Path) -> (Vec<Self>, Vec<ArtefactError>) {
        let entries = fs_err::read_dir(root).into_iter().flatten().flatten();
        let folders = entries.map(|entry| entry.path()).filter(|path| path.join(MANIFEST_FILE).is_file());
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for folder in folders {
            match Self::open(&folder) {
                Ok(artefact) => good.push(artefact),
                Err(error) => bad.push(error),
            }
        }
        good.sort_by_key(|artefact| std::cmp::Reverse(artefact.manifest.created_ms));
        (good, bad)
    }

    /// The adapter, for a decoder that it belongs to.
    ///
    /// # Errors
    /// [`ArtefactError::Adapter`].
    pub fn adapter(&self, decoder: &Decoder) -> Result<Adapter, ArtefactError> {
        Ok(Adapter::read(&self.folder, decoder.shape())?)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Of the text and not of what it says: a float that is read may differ in its last digit from the one that was written.
fn hash(folder: &Path, manifest: &str) -> Result<String, std::io::Error> {
    let mut hasher = blake3::Hasher::new();
    for name in [WEIGHTS_FILE, CONFIG_FILE] {
        let bytes = fs_err::read(folder.join(name))?;
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    hasher.update(manifest.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}
