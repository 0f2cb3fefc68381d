//! One JSON object per line: an event as `POST /v1/events` takes it, or `{"item": {…}}`, or `{"user": {…}}`.

use serde_json::{Map, Value};
use zhiyin_core::EventInput;

use crate::{
    DatasetError, LineProblem, Source,
    error::rules,
    input::Lines,
    reader::{Opened, Record, open_lines},
};

pub(crate) fn open(source: &Source) -> Result<Opened, DatasetError> {
    open_lines(source, &source.path, record)
}

fn record(lines: &Lines, prefix: &str) -> Result<Record, LineProblem> {
    let not_json = |error: serde_json::Error| lines.problem(rules::NOT_JSON, error.to_string());
    let mut object: Map<String, Value> = serde_json::from_str(lines.text()?).map_err(not_json)?;
    let bad = |error: serde_json::Error| lines.problem(rules::BAD_RECORD, error.to_string());
    if let Some(item) = wrapped(&mut object, "item") {
        return serde_json::from_value(item).map(Record::Item).map_err(bad);
    }
    if let Some(user) = wrapped(&mut object, "user") {
        return serde_json::from_value(user).map(Record::User).map_err(bad);
    }
    let mut event: EventInput = serde_json::from_value(Value::Object(object)).map_err(bad)?;
    event.id.get_or_insert_with(|| format!("{prefix}-{}", lines.line()));
    Ok(Record::Event(event))
}

/// The object inside `{"name": {…}}`. An event's `item` and `user` are strings, so the two cannot be confused.
fn wrapped(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    (object.len() == 1 && object.get(name).is_some_and(Value::is_object)).then(|| object.remove(name)).flatten()
}
