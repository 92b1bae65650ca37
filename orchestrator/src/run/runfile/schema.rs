//! The tables of a run file. `docs/run-file.md` describes them for people who
//! query them; what stands there is part of the program's promises.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Error, Fault};

/// Says whose file it is: `orcf` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x6f72_6366;

/// How the tables of each version come from those of the one before.
const MIGRATIONS: [&str; 3] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
];

/// Makes a file that is known to be ours, or new and empty, one of this version.
///
/// # Errors
/// When it is from a later version, or cannot be written.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let version = version(connection)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for step in &MIGRATIONS[version..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(())
}

/// Checks that these are tables that this version can read.
///
/// # Errors
/// When the file is somebody else's, from a later version, or damaged.
pub(super) fn check(connection: &Connection) -> Result<(), Fault> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    match (id, tables) {
        (APPLICATION_ID, _) => version(connection).map(drop),
        (0, 0) => Ok(()),
        _ => Err(Error::Foreign.into()),
    }
}

/// The version of a file that is ours.
///
/// # Errors
/// When it is a later one.
pub(super) fn version(connection: &Connection) -> Result<usize, Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Error::Newer(version).into()),
    }
}
