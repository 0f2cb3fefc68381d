//! The behaviour that language models are taught, and measured on.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use zhiyin_datasets::{ColumnMapping, Format, Source};
use zhiyin_engine::experiment::ExperimentData;

use crate::{
    commands::import::formats,
    config::Config,
    encoders, experiment_data,
    home::{self, Home},
};

/// A data set, or the log of the data folder.
#[derive(Debug, Args)]
pub struct BehaviourArguments {
    /// Read this data set instead of the log of the data folder.
    #[arg(long, value_name = "PATH", requires = "format")]
    from: Option<PathBuf>,
    /// Layout of that data set.
    #[arg(long, value_parser = formats(), requires = "from")]
    format: Option<Format>,
    /// Its table of items with a header: item_id, title and whatever else.
    #[arg(long, value_name = "FILE", requires = "from")]
    items: Option<PathBuf>,
    /// For csv: which column is what, as for `zhiyin import`.
    #[arg(long, value_name = "MAPPING", requires = "from")]
    columns: Option<ColumnMapping>,
    /// Encoder of item texts, for the model text, or none [default: the pulled one].
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,
}

impl BehaviourArguments {
    /// Reads it.
    ///
    /// # Errors
    /// Files that can't be read; a data folder without data.
    pub fn read(&self, config: &Config) -> Result<ExperimentData> {
        if let (Some(path), Some(format)) = (&self.from, self.format) {
            let (items_path, columns) = (self.items.clone(), self.columns.clone());
            let source = Source { format, path: path.clone(), items_path, columns };
            let mut data = experiment_data::load(&source)?;
            encoders::equip(&mut data, self.encoder.as_deref())?;
            return Ok(data);
        }
        if !home::has_data(&config.data.folder) {
            bail!("{} holds no data: import some, or give --from PATH --format F", config.data.folder.display());
        }
        let home = Home::open(config.clone())?;
        let data = home.engine.experiment_data();
        home.close()?;
        Ok(data?)
    }
}
