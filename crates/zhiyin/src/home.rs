//! Opens what a command works on: the configuration, the data folder, and the engine over it.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Error, Result};
use zhiyin_core::{Clock, SystemClock, clock::Millis, storage::StorageError};
use zhiyin_engine::Engine;
use zhiyin_store::{Access, Store, StoreOptions};

use crate::{cli::HomeArguments, config::Config, encoders};

/// Setting under which a server leaves its address, so that other commands can say where to ask.
const SERVED_AT: &str = "served-at";

/// An engine over a data folder that this process owns.
pub struct Home {
    /// What is set.
    pub config: Config,
    /// The database.
    pub store: Arc<Store>,
    /// The engine.
    pub engine: Arc<Engine>,
}

/// The configuration that the arguments name, with the folder that they name.
///
/// # Errors
/// A configuration file that is missing or wrong.
pub fn configuration(arguments: &HomeArguments) -> Result<Config> {
    let mut config = Config::from_environment(arguments.config.as_deref())?;
    if let Some(folder) = &arguments.data {
        config.data.folder.clone_from(folder);
    }
    Ok(config)
}

impl Home {
    /// Opens the folder and recovers the online state from snapshot and log. An encoder that cannot be loaded is remarked on and done without.
    ///
    /// # Errors
    /// A folder that another process owns, that cannot be written, or that is damaged.
    pub fn open(config: Config) -> Result<Self> {
        let store = Arc::new(open_store(&config, Access::Owner).map_err(|error| owned_elsewhere(&config, error))?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let encoding = encoders::encoding(&config);
        let engine = Engine::open_with(Arc::clone(&store) as _, &config.data.folder, config.engine(), clock, encoding)?;
        Ok(Self { config, store, engine })
    }

    /// Leaves word of where this folder is served.
    ///
    /// # Errors
    /// Failing storage.
    pub fn serve_at(&self, address: &str) -> Result<()> {
        Ok(self.store.set_setting(SERVED_AT, address)?)
    }

    /// Drains what waits, takes a snapshot, and lets go of the folder.
    ///
    /// # Errors
    /// Failing storage; every acknowledged event is in the log all the same.
    pub fn close(self) -> Result<()> {
        self.engine
            .shutdown()
            .context("the last snapshot could not be written; every acknowledged event is safe in the log")
    }
}

/// Opens the database beside a server that may be running.
///
/// # Errors
/// A folder without data, or one that is damaged.
pub fn guest(config: &Config) -> Result<Store> {
    Ok(open_store(config, Access::Guest)?)
}

fn open_store(config: &Config, access: Access) -> Result<Store, StorageError> {
    let bytes = config.data.database_bytes_max;
    let options = StoreOptions { access, max_bytes: (bytes > 0).then_some(bytes), ..StoreOptions::default() };
    Store::open(&config.data.folder, options)
}

/// Adds to the refusal of an owned folder how to ask its owner.
fn owned_elsewhere(config: &Config, error: StorageError) -> Error {
    let is_owned = matches!(&error, StorageError::Unusable { detail, .. } if detail.contains("another process"));
    let address = is_owned.then(|| served_at(config)).flatten();
    match address {
        Some(address) => Error::new(error).context(format!(
            "a server has {} open; ask it over HTTP: curl -H 'Authorization: Bearer KEY' \
             http://{address}/v1/users/USER/recommendations (its interface: http://{address}/docs)",
            config.data.folder.display()
        )),
        None => error.into(),
    }
}

fn served_at(config: &Config) -> Option<String> {
    guest(config).ok()?.setting(SERVED_AT).ok()?
}

/// The wall clock, for what commands date.
pub fn now_ms() -> Millis {
    SystemClock.now_ms()
}

/// Whether the folder holds a database.
pub fn has_data(folder: &Path) -> bool {
    folder.join("zhiyin.db").is_file()
}
