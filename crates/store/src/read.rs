//! Reading: pages of the log, of the catalogue, of actors and refused events.

use rusqlite::{Connection, OptionalExtension, Row, params};
use zhiyin_core::{
    ActorIx, Event, ItemIx, Kind,
    storage::{ActorKind, ActorRow, ItemRow, LoggedEvent, Position, RejectedEvent, StagedEvent},
};

use crate::{
    encode::{self, from_json, signed, unsigned},
    error::unreadable,
};

// CROSS JOIN keeps SQLite from starting with another table than the log, whose order is wanted.
const SELECT_EVENTS: &str =
    "SELECT e.position, e.id, e.kind, e.actor, e.session, e.item, e.time_ms, e.decision, e.details,
        a.kind, a.id, i.id
    FROM events e CROSS JOIN actors a ON a.ix = e.actor LEFT JOIN items i ON i.ix = e.item";

/// A limit for a statement.
pub fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn event(row: &Row<'_>) -> rusqlite::Result<LoggedEvent> {
    let actor_id = encode::external_id(row, 10)?;
    let (user, session) = match encode::actor_kind_at(row, 9)? {
        ActorKind::User => (Some(actor_id), encode::external_id_or_null(row, 4)?),
        ActorKind::Session => (None, Some(actor_id)),
    };
    let item_ix: Option<ItemIx> = row.get(5)?;
    let event = Event {
        id: encode::external_id(row, 1)?,
        kind: Kind::named(encode::text(row, 2)?),
        user,
        session,
        item: encode::external_id_or_null(row, 11)?,
        time_ms: row.get(6)?,
        details: encode::details_at(row, 8, 7)?,
    };
    Ok(LoggedEvent { position: unsigned(row, 0)?, staged: StagedEvent { event, actor: row.get(3)?, item: item_ix } })
}

pub fn events_after(connection: &Connection, after: Position, limit: usize) -> rusqlite::Result<Vec<LoggedEvent>> {
    let sql = format!("{SELECT_EVENTS} WHERE e.position > ?1 ORDER BY e.position LIMIT ?2");
    connection.prepare_cached(&sql)?.query_map(params![signed(after), page(limit)], event)?.collect()
}

pub fn events_of(connection: &Connection, actors: &[ActorIx]) -> rusqlite::Result<Vec<LoggedEvent>> {
    let mut positions = Vec::new();
    for &actor in actors {
        positions.extend(positions_of(connection, actor)?);
    }
    positions.sort_unstable();
    positions.dedup();
    let mut find = connection.prepare_cached(&format!("{SELECT_EVENTS} WHERE e.position = ?1"))?;
    positions.into_iter().map(|position| find.query_row([position], event)).collect()
}

/// Places of the events of an actor, rising. The log is indexed by actor in segments, so this looks into each of them.
pub fn positions_of(connection: &Connection, actor: ActorIx) -> rusqlite::Result<Vec<i64>> {
    let mut find = connection.prepare_cached(
        "WITH RECURSIVE segments (n, last) AS (
             SELECT (SELECT min(position) FROM events) >> 16, (SELECT max(position) FROM events) >> 16
             UNION ALL SELECT n + 1, last FROM segments WHERE n < last)
         SELECT e.position FROM segments s CROSS JOIN events e INDEXED BY events_by_actor
             ON e.position >> 16 = s.n AND e.actor = ?1
         ORDER BY e.position",
    )?;
    find.query_map([actor], |row| row.get(0))?.collect()
}

pub fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    connection.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| unsigned(row, 0))
}

pub fn actors_from(connection: &Connection, from: ActorIx, limit: usize) -> rusqlite::Result<Vec<ActorRow>> {
    let mut find = connection
        .prepare_cached("SELECT ix, kind, id, linked_user, profile FROM actors WHERE ix >= ?1 ORDER BY ix LIMIT ?2")?;
    let actor = |row: &Row<'_>| {
        Ok(ActorRow {
            ix: row.get(0)?,
            kind: encode::actor_kind_at(row, 1)?,
            id: encode::external_id(row, 2)?,
            linked_user: row.get(3)?,
            user: json_or_null(row, 4)?,
        })
    };
    find.query_map(params![from, page(limit)], actor)?.collect()
}

pub fn items_from(connection: &Connection, from: ItemIx, limit: usize) -> rusqlite::Result<Vec<ItemRow>> {
    let mut find = connection.prepare_cached("SELECT ix, body FROM items WHERE ix >= ?1 ORDER BY ix LIMIT ?2")?;
    let item = |row: &Row<'_>| Ok(ItemRow { ix: row.get(0)?, item: json_or_null(row, 1)? });
    find.query_map(params![from, page(limit)], item)?.collect()
}

fn json_or_null<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(|error| unreadable(column, error))?;
    text.map(|text| from_json(column, text)).transpose()
}

pub fn rejected(
    connection: &Connection,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, RejectedEvent)>> {
    let mut find = connection.prepare_cached(
        "SELECT row, received_ms, rule, reason, body FROM rejected WHERE row < ?1 ORDER BY row DESC LIMIT ?2",
    )?;
    let event = |row: &Row<'_>| {
        let event =
            RejectedEvent { received_ms: row.get(1)?, rule: row.get(2)?, reason: row.get(3)?, body: row.get(4)? };
        Ok((unsigned(row, 0)?, event))
    };
    find.query_map(params![before.map_or(i64::MAX, signed), page(limit)], event)?.collect()
}

pub fn import_progress(connection: &Connection, file_hash: &str) -> rusqlite::Result<Option<u64>> {
    let mut find = connection.prepare_cached("SELECT line FROM imports WHERE file_hash = ?1")?;
    find.query_row([file_hash], |row| unsigned(row, 0)).optional()
}
