//! Where a data set is and how to read it.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::{ColumnMapping, DatasetError};

/// Layout of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Invoice lines of UCI Online Retail.
    OnlineRetail,
    /// The files of MovieLens 100K: `u.data`, `u.item`, `u.user`, or a split such as `ua.base`.
    Movielens100k,
    /// The files of MovieLens 1M: `ratings.dat` or `ml-1m.merged.tsv.gz`, `movies.dat`, `users.dat`.
    Movielens1m,
    /// `user item item …` per line, oldest first, without times.
    Sequences,
    /// Tab-separated `SessionId`, `ItemId`, `Time` with a header.
    Sessions,
    /// Delimited text with a header and a [`ColumnMapping`].
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// Reviews of Amazon products, one JSON object per line.
    AmazonReviews,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::OnlineRetail,
        Self::Movielens100k,
        Self::Movielens1m,
        Self::Sequences,
        Self::Sessions,
        Self::Csv,
        Self::Jsonl,
        Self::AmazonReviews,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnlineRetail => "online-retail",
            Self::Movielens100k => "movielens-100k",
            Self::Movielens1m => "movielens-1m",
            Self::Sequences => "sequences",
            Self::Sessions => "sessions",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::AmazonReviews => "amazon-reviews",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| DatasetError::UnknownFormat {
            value: text.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// A data set to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its layout.
    pub format: Format,
    /// The file, or for MovieLens and Online Retail the folder that holds the file under its official name.
    pub path: PathBuf,
    /// A table of items with a header: `item_id`, and any of `title`, `description`, `categories` and `tags` (separated by `|`),
    /// `price`; other columns become attributes. Takes the place of a MovieLens item file.
    pub items_path: Option<PathBuf>,
    /// For [`Format::Csv`]: which column is what. Without it, columns that are named like fields are taken.
    pub columns: Option<ColumnMapping>,
}

impl Source {
    /// A source without item table and column mapping.
    pub fn new(format: Format, path: impl Into<PathBuf>) -> Self {
        Self { format, path: path.into(), items_path: None, columns: None }
    }

    /// With a table of items.
    #[must_use]
    pub fn with_items(mut self, path: impl Into<PathBuf>) -> Self {
        self.items_path = Some(path.into());
        self
    }

    /// With a column mapping.
    #[must_use]
    pub fn with_columns(mut self, columns: ColumnMapping) -> Self {
        self.columns = Some(columns);
        self
    }
}

/// Which lines of Online Retail count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetailLines {
    /// What a shop would import: sales with and without customer, cancellations as returns; repeated lines, articles that are
    /// none, and corrections are kept out.
    #[default]
    Cleaned,
    /// The lines that published figures on this data use: customer known, no cancellation, quantity and price above 0, stock code
    /// starting with a digit. Repeated lines stay, codes stay as written.
    PositiveCustomer,
}

/// Choices of a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For [`Format::OnlineRetail`].
    pub retail: RetailLines,
}

impl Options {
    /// The choices under which evaluation figures compare with published ones.
    pub fn evaluation() -> Self {
        Self { retail: RetailLines::PositiveCustomer }
    }
}
