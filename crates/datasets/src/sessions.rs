//! Tab-separated click sessions: `SessionId`, `ItemId`, `Time` (seconds since 1970, with or without fraction) with a header.

use zhiyin_core::{EventInput, TimeInput};

use crate::{
    DatasetError, LineProblem, Source,
    error::rules,
    input::{ByteCount, Lines},
    reader::{Opened, Record, steps, with_item_table},
    table::{Table, clipped},
    time::parse_time,
};

pub(crate) fn open(source: &Source) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let mut table = Table::open(Lines::open(&source.path, &mut bytes)?)?;
    let columns = Columns {
        session: table.needed_column(&["SessionId", "session_id"])?,
        item: table.needed_column(&["ItemId", "item_id"])?,
        time: table.needed_column(&["Time", "Timestamp"])?,
    };
    let prefix = table.lines().id_prefix();
    let clicks = steps(move || {
        if !table.advance()? {
            return Ok(None);
        }
        columns.click(&table, &prefix).map(|event| Some(Record::Event(event)))
    });
    let steps = with_item_table(source, &mut bytes, clicks)?;
    Ok(Opened { steps, bytes, loaded: None })
}

struct Columns {
    session: usize,
    item: usize,
    time: usize,
}

impl Columns {
    fn click(&self, table: &Table, prefix: &str) -> Result<EventInput, LineProblem> {
        let (session, item, time) = (table.field(self.session), table.field(self.item), table.field(self.time));
        if session.is_empty() || item.is_empty() {
            return Err(table.problem(rules::BAD_ID, "the session or the item is empty"));
        }
        let time_ms = match time {
            "" => return Err(table.problem(rules::NO_TIME, "the time is empty")),
            _ => parse_time(time)
                .ok_or_else(|| table.problem(rules::BAD_TIME, format!("the time is `{}`", clipped(time))))?,
        };
        Ok(EventInput {
            id: Some(format!("{prefix}-{}", table.line())),
            kind: "view".to_owned(),
            session: Some(session.to_owned()),
            item: Some(item.to_owned()),
            time: Some(TimeInput::Millis(time_ms)),
            ..EventInput::default()
        })
    }
}
