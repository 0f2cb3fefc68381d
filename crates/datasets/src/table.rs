//! Delimited text with a header.
//!
//! Fields may be quoted (RFC 4180), and a quoted field may span lines, but only [`QUOTED_LINES_MAX`] of them: one stray quote must not
//! swallow the rest of a file. Tab-separated text has no quotes: there `"` is a character like any other.

use std::ops::Range;

use crate::{DatasetError, LineProblem, error::rules, input::Lines};

/// Lines that one record may span.
const QUOTED_LINES_MAX: usize = 50;

/// A table, read row by row.
pub(crate) struct Table {
    lines: Lines,
    delimiter: u8,
    header: Vec<String>,
    row: Row,
    /// Number of the row's first line.
    line: u64,
}

/// The fields of one row, without quotes.
#[derive(Default)]
struct Row {
    text: String,
    fields: Vec<Range<usize>>,
}

impl Table {
    /// Reads the header. The delimiter is the one of comma, semicolon and tab that the first line has most often.
    pub(crate) fn open(lines: Lines) -> Result<Self, DatasetError> {
        let delimiter = detect_delimiter(lines.first_line());
        let mut table = Self { lines, delimiter, header: Vec::new(), row: Row::default(), line: 0 };
        if table.read_row()? {
            table.header = (0..table.row.fields.len()).map(|at| table.field(at).to_owned()).collect();
        }
        Ok(table)
    }

    /// Names of the columns.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// Place of the first column that has one of these names, whatever the case.
    pub(crate) fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.header.iter().position(|column| column.eq_ignore_ascii_case(name)))
    }

    /// Place of a column that must be there.
    pub(crate) fn needed_column(&self, names: &[&str]) -> Result<usize, DatasetError> {
        self.column(names).ok_or_else(|| self.missing(names.join(" or "), "check the format, or rename the column"))
    }

    /// The error about a missing column.
    pub(crate) fn missing(&self, missing: impl Into<String>, remedy: impl Into<String>) -> DatasetError {
        let found = if self.header.is_empty() { "none".to_owned() } else { self.header.join(", ") };
        DatasetError::MissingColumn {
            file: self.lines.file().to_string(),
            missing: missing.into(),
            found,
            remedy: remedy.into(),
        }
    }

    /// Goes to the next row that isn't blank; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, LineProblem> {
        if !self.read_row()? {
            return Ok(false);
        }
        let (found, expected) = (self.row.fields.len(), self.header.len());
        if found != expected {
            return Err(self.problem(rules::COLUMN_COUNT, format!("has {found} columns, the header has {expected}")));
        }
        Ok(true)
    }

    fn read_row(&mut self) -> Result<bool, LineProblem> {
        loop {
            let more = self.lines.advance();
            self.line = self.lines.line();
            if !more? {
                return Ok(false);
            }
            if !self.lines.bytes().trim_ascii().is_empty() {
                break;
            }
        }
        let text = self.lines.text()?;
        if self.row.split(text, self.delimiter) {
            return Ok(true);
        }
        self.join_lines()
    }

    /// The row has an open quote: appends further lines until it closes.
    fn join_lines(&mut self) -> Result<bool, LineProblem> {
        let mut joined = self.lines.text()?.to_owned();
        let mut taken = Vec::new();
        while taken.len() < QUOTED_LINES_MAX && self.lines.advance()? {
            taken.push((self.lines.line(), self.lines.bytes().to_vec()));
            let Ok(text) = self.lines.text() else { break };
            joined.push('\n');
            joined.push_str(text);
            if self.row.split(&joined, self.delimiter) {
                return Ok(true);
            }
        }
        self.lines.put_back(taken);
        let detail = format!("a quoted field doesn't end within {QUOTED_LINES_MAX} lines; double or remove the quote");
        Err(self.problem(rules::UNCLOSED_QUOTE, detail))
    }

    /// A field of the row, without space around it.
    pub(crate) fn field(&self, column: usize) -> &str {
        self.row.fields.get(column).map_or("", |range| self.row.text[range.clone()].trim())
    }

    /// A field as a number; none when it is empty.
    pub(crate) fn number(&self, column: usize) -> Result<Option<f64>, LineProblem> {
        let text = self.field(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.problem(rules::NOT_A_NUMBER, format!("{} is `{}`", self.header[column], clipped(text)))),
        }
    }

    /// Number of the row's first line.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The lines below.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// A problem with the row.
    pub(crate) fn problem(&self, rule: &'static str, detail: impl Into<String>) -> LineProblem {
        LineProblem { line: self.line, ..self.lines.problem(rule, detail) }
    }
}

impl Row {
    /// Splits a line; false when a quoted field is still open at its end.
    fn split(&mut self, line: &str, delimiter: u8) -> bool {
        self.text.clear();
        self.fields.clear();
        let mut rest = line;
        loop {
            let start = self.text.len();
            let after = match rest.strip_prefix('"') {
                Some(quoted) if delimiter != b'\t' => match self.push_quoted(quoted) {
                    Some(after) => after,
                    None => return false,
                },
                _ => rest,
            };
            let end = after.bytes().position(|byte| byte == delimiter);
            self.text.push_str(&after[..end.unwrap_or(after.len())]);
            self.fields.push(start..self.text.len());
            match end {
                Some(end) => rest = &after[end + 1..],
                None => return true,
            }
        }
    }

    /// Takes a quoted field; gives what comes after its closing quote.
    fn push_quoted<'a>(&mut self, quoted: &'a str) -> Option<&'a str> {
        let mut rest = quoted;
        loop {
            let (inside, after) = rest.split_once('"')?;
            self.text.push_str(inside);
            match after.strip_prefix('"') {
                Some(next) => {
                    self.text.push('"');
                    rest = next;
                }
                None => return Some(after),
            }
        }
    }
}

fn detect_delimiter(first_line: &[u8]) -> u8 {
    let count = |delimiter: u8| first_line.iter().filter(|&&byte| byte == delimiter).count();
    [b',', b'\t', b';'].into_iter().rev().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// A value for a message: cut when it is long.
pub(crate) fn clipped(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
