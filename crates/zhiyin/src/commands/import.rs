//! `zhiyin import`: reads a file of interactions into the data folder.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser};
use zhiyin_datasets::{ColumnMapping, Format, Source};

use crate::{
    cli::HomeArguments,
    home::{self, Home},
    importer, output,
};

/// Arguments of `zhiyin import`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// The file; for MovieLens and Online Retail also the folder that holds it. May be compressed by gzip or xz.
    path: PathBuf,
    #[command(flatten)]
    home: HomeArguments,
}

/// How a data set is laid out.
#[derive(Clone, Debug, Args)]
pub struct SourceArguments {
    /// Layout of the data.
    #[arg(long, value_parser = formats())]
    pub format: Format,
    /// Table of items with a header: item_id, title and whatever else.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// For csv: which column is what, such as user=CustomerID,item=sku,time=ts,type:=view (:= gives a constant).
    #[arg(long, value_name = "MAPPING")]
    pub columns: Option<ColumnMapping>,
}

/// The names of formats, as values of an option.
pub fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

impl SourceArguments {
    /// The data set at `path`.
    pub fn source(&self, path: &std::path::Path) -> Source {
        Source {
            format: self.format,
            path: path.to_owned(),
            items_path: self.items.clone(),
            columns: self.columns.clone(),
        }
    }
}

/// Imports and reports.
///
/// # Errors
/// Files that cannot be read; a folder that a server has open; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let home = Home::open(home::configuration(&arguments.home)?)?;
    let bar = output::bar(0, "importing");
    let report = importer::import(&home, &arguments.source.source(&arguments.path), &bar);
    bar.finish_and_clear();
    // Closing first: what was taken in deserves its snapshot even if the file turned out to be damaged.
    home.close()?;
    let report = report?;
    if arguments.home.json {
        return output::json(&report);
    }
    importer::print(&report);
    Ok(())
}
