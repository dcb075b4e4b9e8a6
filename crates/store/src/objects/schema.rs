//! The tables of contributed objects.
//!
//! Invariant: a file of a newer program is refused, never guessed at. Of the versions of an object in a collection exactly one is flagged as the
//! newest and one as the oldest.

use crate::records::RecordsError;
use crate::sqlite::Schema;
use sqlx::SqliteConnection;

/// The version this program writes, and the newest it opens.
pub const SCHEMA_VERSION: i64 = 1;

/// The tables.
pub(super) const SCHEMA: Schema = Schema { version: SCHEMA_VERSION, tables: &TABLES };

const TABLES: [&str; 7] = [
    // The date of addition is unique over all collections and so is the row's own number: rows lie in the order in which they are read.
    "CREATE TABLE object (
        added INTEGER NOT NULL PRIMARY KEY,
        collection BIGINT NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        spec_version TEXT NOT NULL,
        version BIGINT NOT NULL,
        latest BIGINT NOT NULL,
        earliest BIGINT NOT NULL,
        org BIGINT NOT NULL,
        tlp BIGINT NOT NULL,
        parts TEXT,
        digest BIGINT NOT NULL,
        content BLOB NOT NULL
    )",
    "CREATE UNIQUE INDEX object_by_id ON object (collection, id, version)",
    // A page of the newest versions, which is what is asked for most, and one of all; with the type, so that the wrong ones are not read.
    "CREATE INDEX object_latest ON object (collection, added, type) WHERE latest = 1",
    "CREATE INDEX object_by_place ON object (collection, added, type)",
    "CREATE TABLE status (
        id TEXT NOT NULL PRIMARY KEY,
        org BIGINT NOT NULL,
        created BIGINT NOT NULL,
        content TEXT NOT NULL
    )",
    "CREATE INDEX status_by_age ON status (created)",
    "CREATE TABLE schema_version (version BIGINT NOT NULL)",
];

/// Finds the newest and the oldest version of an object again, after some were taken out.
pub(super) async fn flag_again(connection: &mut SqliteConnection, collection: i64, id: &str) -> Result<(), RecordsError> {
    sqlx::query(
        "UPDATE object SET
            latest = CASE WHEN version = (SELECT MAX(version) FROM object WHERE collection = $1 AND id = $2) THEN 1 ELSE 0 END,
            earliest = CASE WHEN version = (SELECT MIN(version) FROM object WHERE collection = $1 AND id = $2) THEN 1 ELSE 0 END
         WHERE collection = $1 AND id = $2",
    )
    .bind(collection)
    .bind(id.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}
