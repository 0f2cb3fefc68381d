//! Language models of a deployment: from the configuration to an assistant that asks them.

use std::{ops::Range, sync::Arc, thread::JoinHandle};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use zhiyin_assistant::{Assistant, Taught, preference::TEMPLATE};
use zhiyin_core::{
    Clock, Problem, SystemClock,
    language::{Cancellation, LanguageModel, UsageLedger},
};
use zhiyin_llm::{
    Router, Runtime,
    absent::Absent,
    cache::Cached,
    jobs::Jobs,
    local::{Local, LocalConfig},
    remote::{Remote, RemoteConfig},
};
use zhiyin_store::LanguageStore;
use zhiyin_tuning::{
    Artefact, Manifest,
    router::{BUCKETS, LANGUAGE_MODEL},
};
use zhiyin_weights::{Folder, Kind};
use zhiyin_writing::Language;

use crate::{config::Config, encoders, output};

/// The local runtime's name in `order`.
const LOCAL: &str = "local";
/// The local model that is fetched where none is there.
const FIRST: &str = "smollm2";
/// Folder of what was learned from behaviour, in the data folder.
pub const ADAPTERS: &str = "adapters";
/// Says that no local model, or no adapter, is wanted.
const NONE: &str = "none";
/// Letters of a file's hash that tell versions of a model apart.
const VERSION_LETTERS: usize = 12;

/// Language models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageSection {
    /// Names of runtimes in the order in which they are asked; `local` is the local one. Empty: the local one, then the remote ones.
    pub order: Vec<String>,
    /// Languages in which models write texts.
    pub languages: Vec<Language>,
    /// Bytes of kept results.
    pub cache_bytes_max: u64,
    /// Remote endpoints.
    pub remote: Vec<RemoteConfig>,
    /// The local model; its name may be empty for the first that is pulled, or `none`.
    pub local: LocalConfig,
}

impl Default for LanguageSection {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            languages: vec![Language::English],
            cache_bytes_max: 64 << 20,
            remote: Vec::new(),
            local: LocalConfig::default(),
        }
    }
}

impl LanguageSection {
    /// Rules that the types don't express.
    pub fn check(&self) -> Result<(), Problem> {
        let known = |name: &String| name == LOCAL || self.remote.iter().any(|remote| remote.name == *name);
        if let Some(unknown) = self.order.iter().find(|name| !known(name)) {
            let rule = format!("names {unknown:?}, which is no runtime");
            return Err(Problem::field("language.order", rule, "name `local` and names of [[language.remote]]"));
        }
        for (at, remote) in self.remote.iter().enumerate() {
            let twice = remote.name == LOCAL || self.remote[..at].iter().any(|other| other.name == remote.name);
            if twice {
                let rule = format!("{:?} is taken", remote.name);
                return Err(Problem::field("language.remote.name", rule, "give each runtime a name of its own"));
            }
        }
        Ok(())
    }

    /// Who may see what, as lines of comment for a printed configuration.
    pub fn privacy(&self) -> String {
        let mut lines = String::from("# What may leave this machine:\n");
        if self.remote.is_empty() {
            lines.push_str("# nothing: no remote language model is configured\n");
        }
        for remote in &self.remote {
            let fields: Vec<&str> = remote.fields.iter().map(|field| field.name()).collect();
            let what = if fields.is_empty() { "no data, only our own templates".into() } else { fields.join(", ") };
            lines.push_str(&format!("# to {} ({}): {what}\n", remote.name, remote.base_url));
        }
        lines
    }

    fn names(&self) -> Vec<String> {
        if !self.order.is_empty() {
            return self.order.clone();
        }
        std::iter::once(LOCAL.to_owned()).chain(self.remote.iter().map(|remote| remote.name.clone())).collect()
    }
}

/// The runtimes in the order of the configuration. A runtime that can't be started is there and says why; without a pulled local model there
/// is no local one.
pub fn runtimes(config: &Config, ledger: &Arc<dyn UsageLedger>) -> Result<Vec<Arc<dyn Runtime>>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut runtimes: Vec<Arc<dyn Runtime>> = Vec::new();
    for name in config.language.names() {
        if name == LOCAL {
            let Some(local) = local_config(config)? else { continue };
            let started = Local::start(local, Arc::clone(&clock), Arc::clone(ledger));
            runtimes.push(started.map_or_else(|e| absent(&name, "local", &e), |local| Arc::new(local) as _));
        } else if let Some(remote) = config.language.remote.iter().find(|remote| remote.name == name) {
            let started = Remote::new(remote.clone(), Arc::clone(&clock), Arc::clone(ledger), rand::random());
            runtimes.push(started.map_or_else(|e| absent(&name, "remote", &e), |remote| Arc::new(remote) as _));
        }
    }
    Ok(runtimes)
}

fn absent(name: &str, kind: &'static str, error: &dyn std::fmt::Display) -> Arc<dyn Runtime> {
    Arc::new(Absent { name: name.to_owned(), kind, reason: error.to_string() })
}

/// The local model that the configuration names, or the first that is pulled.
///
/// # Errors
/// A name that the catalogue doesn't know, or that isn't pulled.
pub fn local_config(config: &Config) -> Result<Option<LocalConfig>> {
    let section = &config.language.local;
    if section.model == NONE {
        return Ok(None);
    }
    let folder = encoders::models_folder(config);
    let catalogue = folder.catalogue()?;
    let pulled = |name: &str| catalogue.find(name).is_ok_and(|model| folder.has(model));
    let generators = catalogue.models.iter().filter(|model| model.kind == Kind::Generator);
    let model = if section.model.is_empty() {
        let Some(model) = generators.into_iter().find(|model| pulled(&model.name)) else { return Ok(None) };
        model
    } else {
        catalogue.find(&section.model)?
    };
    if !pulled(&model.name) {
        let rule = format!("{} is not in {}", model.name, folder.root().display());
        let remedy = format!("run `zhiyin llm pull {}`", model.name);
        return Err(Problem::field("language.local.model", rule, remedy).into());
    }
    Ok(Some(LocalConfig {
        model: model.name.clone(),
        path: weights(&folder, model)?,
        version: model.files[0].sha256.chars().take(VERSION_LETTERS).collect(),
        ..section.clone()
    }))
}

/// Fetches the first local model unless one is there or none is wanted. Without a network that is remarked on, and nothing else.
pub fn pull_first(config: &Config) {
    let is_there = local_config(config).is_ok_and(|local| local.is_some());
    if config.language.local.model.is_empty() && !is_there {
        encoders::pull_or_remark(&encoders::models_folder(config), FIRST, "a language model");
    }
}

/// The local model with what it learned from behaviour, and the lengths of histories that it is asked about.
///
/// # Errors
/// As [`taught_artefact`].
fn taught(config: &Config, ledger: &Arc<dyn UsageLedger>) -> Result<Option<Taught>> {
    let Some((local, artefact)) = taught_artefact(config)? else { return Ok(None) };
    let lengths = asked_about(&artefact.manifest);
    let with_adapter = LocalConfig { adapter_folder: Some(artefact.folder), ..local };
    let model: Arc<dyn LanguageModel> = match Local::start(with_adapter, Arc::new(SystemClock), Arc::clone(ledger)) {
        Ok(local) => Arc::new(local),
        Err(error) => absent(LOCAL, "local", &error),
    };
    Ok(Some(Taught { model, lengths }))
}

/// The adapter that the configuration names, or the newest that was made for the local model and the present template; and that model. What
/// can't be used is remarked on.
///
/// # Errors
/// A name that there isn't; a local model that isn't there.
pub fn taught_artefact(config: &Config) -> Result<Option<(LocalConfig, Artefact)>> {
    let wanted = config.language.local.adapter.as_str();
    let Some(local) = local_config(config)?.filter(|_| wanted != NONE) else { return Ok(None) };
    let (artefacts, unusable) = Artefact::all(&config.data.folder.join(ADAPTERS));
    for error in unusable {
        output::remark(format_args!("warning: {error}"));
    }
    let fits = |artefact: &Artefact| {
        let Manifest { base, base_version, template, .. } = &artefact.manifest;
        (base, base_version) == (&local.model, &local.version) && template == TEMPLATE
    };
    let is_wanted = |artefact: &Artefact| wanted.is_empty() || artefact.name() == wanted;
    match artefacts.into_iter().find(|artefact| fits(artefact) && is_wanted(artefact)) {
        Some(artefact) => Ok(Some((local, artefact))),
        None if wanted.is_empty() => Ok(None),
        None => {
            let rule = format!("there is no adapter {wanted:?} for {}", local.model);
            let remedy = "`zhiyin llm finetune` makes one; or leave it empty";
            Err(Problem::field("language.local.adapter", rule, remedy).into())
        }
    }
}

/// Lengths of histories for which validation found a gain; all if nothing was measured.
pub fn asked_about(manifest: &Manifest) -> Vec<Range<usize>> {
    if manifest.measured.is_none() {
        return std::iter::once(0..usize::MAX).collect();
    }
    let asked = manifest.routes.iter().filter(|route| route.arm == LANGUAGE_MODEL);
    asked.map(|route| BUCKETS[route.bucket]..BUCKETS.get(route.bucket + 1).copied().unwrap_or(usize::MAX)).collect()
}

fn weights(folder: &Folder, model: &zhiyin_weights::WeightModel) -> Result<std::path::PathBuf> {
    let file = model.files.first().with_context(|| format!("{} has no files in the catalogue", model.name))?;
    Ok(folder.file(model, file))
}

/// An assistant at work: a thread does its background jobs until this is dropped.
pub struct Working {
    /// The assistant.
    pub assistant: Arc<Assistant>,
    stop: Cancellation,
    thread: Option<JoinHandle<()>>,
}

impl Working {
    /// Starts the runtimes of a configuration. Models are loaded in the background.
    ///
    /// # Errors
    /// `language.db` is damaged; a local model is named that isn't there.
    pub fn start(config: &Config) -> Result<Self> {
        let store = Arc::new(LanguageStore::open(&config.data.folder, config.language.cache_bytes_max)?);
        let ledger: Arc<dyn UsageLedger> = Arc::clone(&store) as _;
        let runtimes = runtimes(config, &ledger)?;
        let cached = runtimes.into_iter().map(|runtime| Arc::new(Cached::new(runtime, Arc::clone(&store) as _)) as _);
        let router = Router::new(cached.collect());
        let jobs = Jobs::open(Arc::clone(&store) as _, Arc::new(SystemClock)).context("the jobs can't be read")?;
        let languages = config.language.languages.clone();
        let taught = taught(config, &ledger)?;
        let assistant = Arc::new(Assistant::new(router, store, jobs, languages).with_taught(taught));
        let stop = Cancellation::default();
        let (worker, stopped) = (Arc::clone(&assistant), stop.clone());
        let thread = std::thread::Builder::new().name("texts".into()).spawn(move || worker.work(&stopped))?;
        Ok(Self { assistant, stop, thread: Some(thread) })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.cancel();
        // A text that is being written is cut off with its model; its task is done again after the next start.
        self.assistant.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that has texts written had panicked");
        }
    }
}
