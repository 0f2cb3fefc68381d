//! The tables, and how an older file becomes a newer one.
//!
//! Each migration is one SQL file that takes the schema from one version to the next; the version is SQLite's `user_version`. A migration
//! that has been released is never edited.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours in its header: `ZhYN`.
pub const APPLICATION_ID: i32 = 0x5A68_594E;

/// Migrations in order; the first makes version 1 out of an empty file.
pub const MIGRATIONS: &[&str] =
    &[include_str!("schema/v1.sql"), include_str!("schema/v2.sql"), include_str!("schema/v3.sql")];

/// What the header of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose file it is.
    pub application_id: i32,
    /// Version of the schema.
    pub version: usize,
    /// Whether it holds no table at all.
    pub empty: bool,
}

/// Reads the header.
pub fn header(connection: &Connection) -> rusqlite::Result<Header> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let version = usize::try_from(number("user_version")?).unwrap_or(usize::MAX);
    Ok(Header { application_id: number("application_id")?, version, empty: tables == 0 })
}

/// Takes the schema forward to the last of `migrations`, each in a transaction of its own: a failing one leaves the version before it.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let from = header(connection)?.version;
    for (version, sql) in migrations.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(version + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 2] =
        ["CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (7);", "ALTER TABLE a ADD COLUMN y TEXT;"];

    #[test]
    fn an_older_schema_is_taken_forward_with_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &STEPS[..1]).unwrap();
        migrate(&mut connection, &STEPS).unwrap();
        let row: (i64, Option<String>) =
            connection.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(row, (7, None));
        let expected = Header { application_id: APPLICATION_ID, version: 2, empty: false };
        assert_eq!(header(&connection).unwrap(), expected);
    }

    #[test]
    fn a_failing_migration_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = [STEPS[0], "ALTER TABLE a ADD COLUMN y TEXT; SELECT nonsense;"];
        assert!(migrate(&mut connection, &broken).is_err());
        assert_eq!(header(&connection).unwrap().version, 1);
        assert!(connection.prepare("SELECT y FROM a").is_err(), "half of the step must be undone");
    }
}
