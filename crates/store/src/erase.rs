//! Deleting actors with everything that they left.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use zhiyin_core::{ActorIx, storage::Erased};

use crate::{
    commit::Writer,
    decisions,
    outcomes::{self, Described, Totals},
    read,
};

/// Removes the actors in one transaction. Deleted rows are overwritten with zeros, and the log of SQLite, which still has them, is folded
/// into the file and cut.
pub fn erase(writer: &mut Writer, actors: &[ActorIx]) -> rusqlite::Result<Erased> {
    // Only here: it would slow every commit down.
    writer.connection.pragma_update(None, "secure_delete", true)?;
    let erased = erase_actors(&mut writer.connection, actors);
    writer.connection.pragma_update(None, "secure_delete", false)?;
    let erased = erased?;
    actors.iter().for_each(|&actor| writer.actors.remove(actor));
    // A reader in the middle of its work can hold this up; then a later checkpoint does it.
    let _ = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    Ok(erased)
}

fn erase_actors(connection: &mut Connection, actors: &[ActorIx]) -> rusqlite::Result<Erased> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut erased = Erased::default();
    let mut totals = Totals::default();
    erased.decisions = decisions::erase(&transaction, &mut totals, actors)?;
    for &actor in actors {
        erased.events += erase_events(&transaction, &mut totals, actor)?;
        erased.actors += erase_actor(&transaction, actor)?;
    }
    totals.write(&transaction)?;
    transaction.commit()?;
    Ok(erased)
}

fn erase_events(transaction: &Transaction<'_>, totals: &mut Totals, actor: ActorIx) -> rusqlite::Result<u64> {
    let positions = read::positions_of(transaction, actor)?;
    let mut delete = transaction.prepare_cached("DELETE FROM events WHERE position = ?1")?;
    for &position in &positions {
        if let Some(claim) = outcomes::claim_of(transaction, position)?
            && let Some(decision) = Described::find(transaction, claim.decision)?
        {
            outcomes::unjoin(transaction, totals, &decision, &claim)?;
        }
        delete.execute([position])?;
    }
    Ok(positions.len() as u64)
}

fn erase_actor(transaction: &Transaction<'_>, actor: ActorIx) -> rusqlite::Result<u64> {
    let mut name = transaction.prepare_cached("SELECT json_quote(id) FROM actors WHERE ix = ?1")?;
    let Some(name) = name.query_row([actor], |row| row.get::<_, String>(0)).optional()? else { return Ok(0) };
    // A refused event may be cut anywhere, so its text is searched, not parsed. Taking one too many does no harm.
    transaction.prepare_cached("DELETE FROM rejected WHERE instr(body, ?1) > 0")?.execute([name])?;
    delete(transaction, "UPDATE actors SET linked_user = NULL WHERE linked_user = ?1", actor)?;
    delete(transaction, "DELETE FROM teacher_scores WHERE actor = ?1", actor)?;
    delete(transaction, "DELETE FROM actors WHERE ix = ?1", actor)
}

/// Runs a statement about one actor; the number of rows that it touched.
fn delete(transaction: &Transaction<'_>, sql: &str, actor: ActorIx) -> rusqlite::Result<u64> {
    let rows = transaction.prepare_cached(sql)?.execute([actor])?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}
