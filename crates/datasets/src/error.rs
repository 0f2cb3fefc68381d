//! What can go wrong: with a whole file, or with one line of it.

use std::{fmt, io, sync::Arc};

use thiserror::Error;

/// Names of the rules that a line can break, as they appear in reports.
pub mod rules {
    /// The line isn't UTF-8 text.
    pub const NOT_UTF8: &str = "not-utf8";
    /// The line is longer than a reader accepts.
    pub const LINE_TOO_LONG: &str = "line-too-long";
    /// The line doesn't have as many columns as the header, or as the format says.
    pub const COLUMN_COUNT: &str = "column-count";
    /// A quoted field doesn't end within the lines that one record may span.
    pub const UNCLOSED_QUOTE: &str = "unclosed-quote";
    /// A field that must be a number isn't one.
    pub const NOT_A_NUMBER: &str = "not-a-number";
    /// A field that must be a time isn't one that we read.
    pub const BAD_TIME: &str = "bad-time";
    /// The line has no time, and the format needs one.
    pub const NO_TIME: &str = "no-time";
    /// The name of a user, session or item is empty, too long, or has control characters.
    pub const BAD_ID: &str = "bad-id";
    /// The line names a user but no item.
    pub const NO_ITEMS: &str = "no-items";
    /// The line isn't a JSON object.
    pub const NOT_JSON: &str = "not-json";
    /// The JSON object isn't an event, an item or a user.
    pub const BAD_RECORD: &str = "bad-record";
    /// The rest of the file could not be read, because it is cut off or damaged, or the disk failed. It is the last thing a reader
    /// gives: what came before is sound, an import should end with an error.
    pub const UNREADABLE: &str = "unreadable";
    /// Online Retail: postage, fees, samples, vouchers, discounts and manual entries.
    pub const NOT_A_PRODUCT: &str = "not-a-product";
    /// Online Retail: a price of zero or below.
    pub const NO_PRICE: &str = "no-price";
    /// Online Retail: the same article, quantity, price and time once more in the same invoice.
    pub const DUPLICATE_LINE: &str = "duplicate-line";
    /// Online Retail: a negative quantity that is no cancellation: breakage, losses, corrections of the stock.
    pub const STOCK_ADJUSTMENT: &str = "stock-adjustment";
    /// Online Retail, positive lines only: the line has no customer.
    pub const NO_CUSTOMER: &str = "no-customer";
    /// A cancelled purchase, where only positive interactions are collected.
    pub const RETURN: &str = "return";
    /// An event that isn't positive (an impression, a dislike, a skip), where only positive interactions are collected.
    pub const NOT_POSITIVE: &str = "not-positive";
    /// An event without user and session, where interactions are collected.
    pub const NO_ACTOR: &str = "no-actor";
    /// An event without item, where interactions are collected.
    pub const NO_ITEM: &str = "no-item";

    /// A repair, not a refusal. Online Retail: the stock code was written in lower case (`85123a` is the article `85123A`: the
    /// descriptions are the same).
    pub const STOCK_CODE_CASE: &str = "stock-code-case";
}

/// A line that could not become a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// Name of the file, without its folder.
    pub file: Arc<str>,
    /// Number of the line, from 1.
    pub line: u64,
    /// Name of the rule, one of [`rules`].
    pub rule: &'static str,
    /// What was found, for a person.
    pub detail: String,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: {}: {}", self.file, self.line, self.rule, self.detail)
    }
}

/// Why a data set could not be read at all. The caller or the file is to blame; nothing was changed.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The file is missing or may not be read. The inner error names the file.
    #[error("{0}; check the path and its permissions")]
    Open(io::Error),
    /// A folder was given where the format needs a file, or the folder lacks the file.
    #[error("{path} has none of the files {expected}; give the folder that holds one of them, or the file itself")]
    NoDataFile {
        /// What was given.
        path: String,
        /// The files that the format looks for.
        expected: String,
    },
    /// The file ends early, or is damaged.
    #[error("{file} cannot be read past line {line}: {detail}; fetch the file again")]
    Damaged {
        /// Name of the file.
        file: String,
        /// The last line that was read.
        line: u64,
        /// What the decoder said.
        detail: String,
    },
    /// The header doesn't name a column that is needed.
    #[error("{file} has no column {missing}; its columns are {found}; {remedy}")]
    MissingColumn {
        /// Name of the file.
        file: String,
        /// The column, or the columns of which one is needed.
        missing: String,
        /// The columns that there are.
        found: String,
        /// What the caller can do.
        remedy: String,
    },
    /// The name of a format isn't known.
    #[error("unknown format `{value}`; choose one of {known}")]
    UnknownFormat {
        /// What was given.
        value: String,
        /// The names that are known.
        known: String,
    },
    /// A column mapping cannot be understood.
    #[error("column mapping `{part}`: {rule}; write it like user=CustomerID,item=sku,time=ts,type:=view")]
    Mapping {
        /// The part that is wrong.
        part: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// Nothing is left to evaluate.
    #[error("{path} gives no interaction ({dropped}); check the format and the columns")]
    Empty {
        /// The source.
        path: String,
        /// What was dropped, and how often.
        dropped: String,
    },
}

// Not the source of the error: its text is in the message, and whoever prints the whole chain would say it twice.
impl From<io::Error> for DatasetError {
    fn from(error: io::Error) -> Self {
        Self::Open(error)
    }
}

impl From<LineProblem> for DatasetError {
    fn from(problem: LineProblem) -> Self {
        Self::Damaged { file: problem.file.to_string(), line: problem.line, detail: problem.detail }
    }
}
