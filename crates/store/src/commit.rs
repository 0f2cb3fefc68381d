//! Writing a batch in one transaction.

use std::collections::HashSet;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};
use zhiyin_core::{
    ActorIx, limits,
    storage::{ActorRow, Appended, Batch, HighWater, ItemRow, RejectedEvent, StagedEvent},
};

use crate::{
    decisions,
    encode::{self, actor_kind, json, signed},
    outcomes::{self, Claim, Described, Totals},
};

/// A set of dense numbers, one bit each.
#[derive(Clone, Debug, Default)]
pub struct NumberSet(Vec<u64>);

impl NumberSet {
    /// Whether the number is in the set.
    pub fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Puts a number in.
    pub fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }
}

/// The connection that writes, with what it knows of the state as of the last commit.
#[derive(Debug)]
pub struct Writer {
    pub connection: Connection,
    /// First free numbers.
    pub marks: HighWater,
    /// Actors that exist.
    pub actors: NumberSet,
    /// Items that exist, deleted ones included.
    pub items: NumberSet,
}

/// Writes the batch. When this fails nothing was written and `writer` stands as before.
pub fn commit(writer: &mut Writer, batch: &Batch) -> rusqlite::Result<Vec<Appended>> {
    let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut marks = writer.marks;
    let mut totals = Totals::default();
    write_actors(&transaction, &batch.actors, &mut marks)?;
    write_items(&transaction, &batch.items, &mut marks)?;
    let appended = append_events(&transaction, &batch.events, &mut marks, &mut totals)?;
    write_rejected(&transaction, &batch.rejected)?;
    let new_actors: HashSet<ActorIx> = batch.actors.iter().map(|row| row.ix).collect();
    let exists = |actor| writer.actors.has(actor) || new_actors.contains(&actor);
    decisions::append(&transaction, &batch.decisions, exists, &mut totals)?;
    totals.write(&transaction)?;
    if let Some((file_hash, line)) = &batch.import_mark {
        let mut mark = transaction.prepare_cached("INSERT OR REPLACE INTO imports VALUES (?1, ?2)")?;
        mark.execute(params![file_hash, signed(*line)])?;
    }
    write_marks(&transaction, writer.marks, marks)?;
    transaction.commit()?;
    writer.marks = marks;
    batch.actors.iter().for_each(|row| writer.actors.insert(row.ix));
    batch.items.iter().for_each(|row| writer.items.insert(row.ix));
    Ok(appended)
}

/// As [`commit`], but without waiting for the disk.
pub fn commit_deferred(writer: &mut Writer, batch: &Batch) -> rusqlite::Result<Vec<Appended>> {
    writer.connection.pragma_update(None, "synchronous", "NORMAL")?;
    let appended = commit(writer, batch);
    writer.connection.pragma_update(None, "synchronous", "FULL")?;
    appended
}

fn write_actors(transaction: &Transaction<'_>, actors: &[ActorRow], marks: &mut HighWater) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT INTO actors (ix, kind, id, linked_user, profile) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (ix) DO UPDATE SET kind = ?2, id = ?3, linked_user = ?4, profile = ?5",
    )?;
    for actor in actors {
        let profile = actor.user.as_ref().map(json).transpose()?;
        write.execute(params![actor.ix, actor_kind(actor.kind), actor.id.as_str(), actor.linked_user, profile])?;
        marks.next_actor = marks.next_actor.max(actor.ix.saturating_add(1));
    }
    Ok(())
}

fn write_items(transaction: &Transaction<'_>, items: &[ItemRow], marks: &mut HighWater) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT INTO items (ix, id, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (ix) DO UPDATE SET id = coalesce(?2, id), body = ?3",
    )?;
    for row in items {
        let body = row.item.as_ref().map(json).transpose()?;
        write.execute(params![row.ix, row.item.as_ref().map(|item| item.id.as_str()), body])?;
        marks.next_item = marks.next_item.max(row.ix.saturating_add(1));
    }
    Ok(())
}

fn append_events(
    transaction: &Transaction<'_>,
    events: &[StagedEvent],
    marks: &mut HighWater,
    totals: &mut Totals,
) -> rusqlite::Result<Vec<Appended>> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (position, id, kind, actor, session, item, time_ms, decision, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
    )?;
    let mut appended = Vec::with_capacity(events.len());
    for staged in events {
        if !insert_event(&mut insert, staged, marks.next_position)? {
            appended.push(Appended::Duplicate);
            continue;
        }
        appended.push(Appended::At(marks.next_position));
        marks.next_position += 1;
        if let Some(claim) = Claim::of(&staged.event.kind, &staged.event.details, staged.item)
            && let Some(decision) = Described::find(transaction, claim.decision)?
        {
            outcomes::join(transaction, totals, &decision, &claim)?;
        }
    }
    Ok(appended)
}

/// Whether the event was new.
fn insert_event(insert: &mut CachedStatement<'_>, staged: &StagedEvent, position: u64) -> rusqlite::Result<bool> {
    let event = &staged.event;
    // The actor's row has the user's name, or the session's if there is no user: only the rest is kept here.
    let session = event.user.as_ref().and(event.session.as_ref()).map(|session| session.as_str());
    let decision = event.details.decision;
    let rows = insert.execute(params![
        signed(position),
        event.id.as_str(),
        event.kind.name(),
        staged.actor,
        session,
        staged.item,
        event.time_ms,
        decision.as_ref().map(|id| id.as_bytes().as_slice()),
        encode::details(&event.details)?,
    ])?;
    Ok(rows == 1)
}

fn write_rejected(transaction: &Transaction<'_>, rejected: &[RejectedEvent]) -> rusqlite::Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut insert =
        transaction.prepare_cached("INSERT INTO rejected (received_ms, rule, reason, body) VALUES (?1, ?2, ?3, ?4)")?;
    for event in rejected {
        insert.execute(params![event.received_ms, event.rule, event.reason, event.body])?;
    }
    let newest = transaction.last_insert_rowid();
    let mut trim = transaction.prepare_cached("DELETE FROM rejected WHERE row <= ?1")?;
    trim.execute([newest - i64::try_from(limits::REJECTED_ROWS_MAX).unwrap_or(i64::MAX)])?;
    Ok(())
}

fn write_marks(transaction: &Transaction<'_>, before: HighWater, after: HighWater) -> rusqlite::Result<()> {
    let changes = [
        ("next_actor", i64::from(before.next_actor), i64::from(after.next_actor)),
        ("next_item", i64::from(before.next_item), i64::from(after.next_item)),
        ("next_position", signed(before.next_position), signed(after.next_position)),
    ];
    let mut write = transaction.prepare_cached("UPDATE marks SET value = ?2 WHERE name = ?1")?;
    for (name, _, value) in changes.iter().filter(|(_, old, new)| old != new) {
        write.execute(params![name, value])?;
    }
    Ok(())
}
