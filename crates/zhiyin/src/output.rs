//! What the commands print: lines and tables for people, JSON for programs.
//!
//! A reader that goes away (`zhiyin … | head`) is no error.

use std::{fmt::Display, io::Write};

use anyhow::{Context, Result};
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;
use zhiyin_core::clock::Millis;

/// Prints one line to standard output.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints one line to standard error: progress and remarks that are no result.
pub fn remark(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints a value as indented JSON.
///
/// # Errors
/// A value that JSON cannot express.
pub fn json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?);
    Ok(())
}

/// One line below the header and nothing else, so that many rows fit a screen.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none().junction(' '));

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table that fits the width of the terminal.
pub fn table(columns: &[(&str, Align)], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(name, _)| Cell::new(name).add_attribute(Attribute::Bold)));
    for (at, (_, align)) in columns.iter().enumerate() {
        if let (Align::Right, Some(column)) = (align, table.column_mut(at)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    table
}

/// A number with its thousands separated.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in a unit that a person reads.
pub fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

/// A moment as a person reads it, in UTC.
pub fn time(ms: Millis) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |moment| moment.strftime("%F %T UTC").to_string())
}

/// A table with one row per number or text of a JSON value, named by its path.
pub fn fields(value: &Value) -> Table {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    table(&[("what", Align::Left), ("value", Align::Right)], rows)
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields {
                let path = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&path, inner, rows);
            }
        }
        Value::Null => {}
        Value::String(text) => rows.push(vec![name.into(), text.clone()]),
        other => rows.push(vec![name.into(), shown(name, other)]),
    }
}

/// A number in the unit that its name tells.
fn shown(name: &str, value: &Value) -> String {
    match (value.as_u64(), value.as_i64()) {
        (_, Some(ms)) if name.ends_with("_ms") => time(ms),
        (Some(n), _) if name.contains("bytes") => bytes(n),
        (Some(n), _) => count(n),
        _ => value.to_string(),
    }
}

/// A progress bar over `total` steps; hidden when standard error is no terminal.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    let template = "{msg:<28} {wide_bar} {percent:>3} % {elapsed:>4} (left {eta})";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts: Vec<String> = [0, 999, 1_000, 541_909, 1_234_567].into_iter().map(count).collect();
        assert_eq!(texts, ["0", "999", "1,000", "541,909", "1,234,567"]);
    }

    #[test]
    fn a_table_keeps_within_its_width() {
        let long = "word ".repeat(60);
        let mut table = table(&[("name", Align::Left), ("n", Align::Right)], [vec![long, "7".into()]]);
        table.set_width(60);
        assert!(table.lines().all(|line| line.chars().count() <= 60), "{table}");
    }
}
