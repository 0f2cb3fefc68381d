//! Amazon reviews as McAuley's collections have them: one JSON object per line with `reviewerID`, `asin`, `overall`, `summary`,
//! `reviewText` and `unixReviewTime` (seconds, a whole day). Each becomes an event `review` whose text is the summary, a line break, and
//! the text.

use serde::Deserialize;
use zhiyin_core::{EventInput, TimeInput};

use crate::{
    DatasetError, LineProblem, Source,
    error::rules,
    input::Lines,
    reader::{Opened, Record, locate, open_lines},
};

/// Names under which a folder may have the file.
const FILES: [&str; 2] = ["reviews.jsonl.gz", "reviews.jsonl"];

/// The fields that are read; others are left out.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "reviewerID")]
    reviewer: String,
    asin: String,
    overall: Option<f64>,
    #[serde(default)]
    summary: String,
    #[serde(rename = "reviewText", default)]
    text: String,
    #[serde(rename = "unixReviewTime")]
    time_s: Option<i64>,
}

pub(crate) fn open(source: &Source) -> Result<Opened, DatasetError> {
    open_lines(source, &locate(&source.path, &FILES)?, record)
}

fn record(lines: &Lines, prefix: &str) -> Result<Record, LineProblem> {
    let line: Line = serde_json::from_str(lines.text()?).map_err(|error| {
        let rule = if error.is_data() { rules::BAD_RECORD } else { rules::NOT_JSON };
        lines.problem(rule, error.to_string())
    })?;
    let text = [line.summary.trim(), line.text.trim()].join("\n");
    Ok(Record::Event(EventInput {
        id: Some(format!("{prefix}-{}", lines.line())),
        kind: "review".into(),
        user: Some(line.reviewer),
        item: Some(line.asin),
        time: line.time_s.map(|seconds| TimeInput::Millis(seconds.saturating_mul(1_000))),
        value: line.overall,
        text: Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        ..EventInput::default()
    }))
}
