//! Decisions: appending them, reading pages of them, and finding those of an actor.
//!
//! Every answer of the server ends here, so appending is kept cheap: the table is ordered by id, that is by time, and the only other
//! thing written is one row per transaction that lists the actors of its decisions.

use std::{collections::HashSet, ops::Range};

use rusqlite::{Connection, Transaction, params};
use zhiyin_core::{ActorIx, Decision, DecisionId, clock::Millis, ids_within};

use crate::{
    encode::{self, DECISION_COLUMNS, Shown, json},
    outcomes::{self, Described, Totals},
    read::page,
};

/// Bytes of an actor in a list.
const ACTOR_BYTES: usize = size_of::<ActorIx>();

/// Writes the decisions whose id is new and whose actor, if they name one, `exists`.
pub fn append(
    transaction: &Transaction<'_>,
    decisions: &[Decision],
    exists: impl Fn(ActorIx) -> bool,
    totals: &mut Totals,
) -> rusqlite::Result<()> {
    let mut kept: Vec<&Decision> = decisions.iter().filter(|decision| decision.actor.is_none_or(&exists)).collect();
    // Rows that come in the order of the table are appended without looking for their place.
    kept.sort_unstable_by_key(|decision| decision.id);
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Ok(()) };
    let are_claimed = are_claimed(transaction, first.id, last.id)?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO decisions (id, actor, surface, model, arm, fallback, shown)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
    )?;
    for decision in &kept {
        let shown = Shown::of(&decision.items);
        let rows = insert.execute(params![
            decision.id.as_bytes(),
            decision.actor,
            decision.surface,
            decision.model,
            decision.arm,
            decision.fallback,
            json(&shown)?,
        ])?;
        if rows == 1 {
            count(transaction, totals, decision, shown, are_claimed)?;
        }
    }
    list_actors(transaction, &kept)
}

/// Whether any event names a decision between these: one question for all spares most transactions a question for each.
fn are_claimed(connection: &Connection, first: DecisionId, last: DecisionId) -> rusqlite::Result<bool> {
    let mut ask = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE decision BETWEEN ?1 AND ?2)")?;
    ask.query_row([first.as_bytes(), last.as_bytes()], |row| row.get(0))
}

/// Counts a new decision, and the events that were there before it.
fn count(
    transaction: &Transaction<'_>,
    totals: &mut Totals,
    decision: &Decision,
    shown: Shown,
    is_claimed: bool,
) -> rusqlite::Result<()> {
    let hour = outcomes::hour_of(decision.id);
    let described = Described { id: decision.id, hour, model: decision.model.clone(), shown };
    totals.add_impressions(&described, 1);
    let claims = if is_claimed { outcomes::claims_on(transaction, decision.id)? } else { Vec::new() };
    claims.iter().try_for_each(|claim| outcomes::join(transaction, totals, &described, claim))
}

/// Notes who these decisions, which are in the order of their ids, were for.
fn list_actors(transaction: &Transaction<'_>, decisions: &[&Decision]) -> rusqlite::Result<()> {
    let mut personal = decisions.iter().filter(|decision| decision.actor.is_some());
    let mut actors: Vec<ActorIx> = personal.clone().filter_map(|decision| decision.actor).collect();
    let Some(first) = personal.next() else { return Ok(()) };
    let last = personal.next_back().unwrap_or(first);
    actors.sort_unstable();
    actors.dedup();
    let bytes: Vec<u8> = actors.into_iter().flat_map(ActorIx::to_be_bytes).collect();
    let mut insert =
        transaction.prepare_cached("INSERT INTO decision_actors (first, last, actors) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![first.id.as_bytes(), last.id.as_bytes(), bytes])?;
    Ok(())
}

/// Decisions of a window in the order of their ids, which is that of their times. The decision that a cursor names needn't exist.
pub fn within(
    connection: &Connection,
    window_ms: &Range<Millis>,
    after: Option<DecisionId>,
    limit: usize,
) -> rusqlite::Result<Vec<Decision>> {
    let Some((first, last)) = ids_within(window_ms) else { return Ok(Vec::new()) };
    // No decision has the least of all ids.
    let after = after.unwrap_or_default();
    let sql =
        format!("SELECT {DECISION_COLUMNS} FROM decisions WHERE id BETWEEN ?1 AND ?2 AND id > ?3 ORDER BY id LIMIT ?4");
    let parameters = params![first.as_bytes(), last.as_bytes(), after.as_bytes(), page(limit)];
    connection.prepare_cached(&sql)?.query_map(parameters, encode::decision_at)?.collect()
}

/// Removes all decisions of these actors with what came of them, and the actors from the lists; the number of decisions removed.
pub fn erase(transaction: &Transaction<'_>, totals: &mut Totals, actors: &[ActorIx]) -> rusqlite::Result<u64> {
    let gone: HashSet<ActorIx> = actors.iter().copied().collect();
    let mut find = transaction
        .prepare_cached("SELECT id, model, shown FROM decisions WHERE id BETWEEN ?1 AND ?2 AND actor = ?3")?;
    let mut delete = transaction.prepare_cached("DELETE FROM decisions WHERE id = ?1")?;
    let mut erased = 0;
    for list in lists_with(transaction, &gone)? {
        for &actor in &list.theirs {
            let named = params![list.first, list.last, actor];
            let decisions = find.query_map(named, Described::at)?.collect::<rusqlite::Result<Vec<_>>>()?;
            for decision in &decisions {
                outcomes::forget(transaction, totals, decision)?;
                delete.execute([decision.id.as_bytes()])?;
                erased += 1;
            }
        }
        list.shorten(transaction)?;
    }
    Ok(erased)
}

/// A row of `decision_actors` that names some of the wanted actors.
struct List {
    row: i64,
    first: [u8; 16],
    last: [u8; 16],
    theirs: Vec<ActorIx>,
    /// The others, as they stand in the column.
    others: Vec<u8>,
}

impl List {
    fn shorten(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.others.is_empty() {
            transaction.prepare_cached("DELETE FROM decision_actors WHERE row = ?1")?.execute([self.row])?;
        } else {
            let mut write = transaction.prepare_cached("UPDATE decision_actors SET actors = ?2 WHERE row = ?1")?;
            write.execute(params![self.row, self.others])?;
        }
        Ok(())
    }
}

/// The lists that name any of these actors. Looks at all of them: that is one page for many transactions.
fn lists_with(connection: &Connection, wanted: &HashSet<ActorIx>) -> rusqlite::Result<Vec<List>> {
    let mut read = connection.prepare_cached("SELECT row, first, last, actors FROM decision_actors")?;
    let mut rows = read.query([])?;
    let mut lists = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(3)?.as_blob().map_err(|error| crate::error::unreadable(3, error))?;
        let (actors, _) = bytes.as_chunks::<ACTOR_BYTES>();
        let is_wanted = |actor: &&[u8; ACTOR_BYTES]| wanted.contains(&ActorIx::from_be_bytes(**actor));
        let theirs: Vec<ActorIx> =
            actors.iter().filter(is_wanted).map(|&actor| ActorIx::from_be_bytes(actor)).collect();
        if !theirs.is_empty() {
            let others = actors.iter().filter(|actor| !is_wanted(actor)).flatten().copied().collect();
            lists.push(List { row: row.get(0)?, first: row.get(1)?, last: row.get(2)?, theirs, others });
        }
    }
    Ok(lists)
}
