//! The tables of contributed objects.
//!
//! Invariant: a file of a newer program is refused, never guessed at. Of the versions of an object in a collection exactly one is flagged as the
//! newest and one as the oldest. What an organisation holds is counted with every change.
//! Tables that came later are made in a file of before where they are missing: an older program does not look at them, and none needs them to read.

use crate::records::RecordsError;
use crate::sqlite::Schema;
use sqlx::{SqliteConnection, SqlitePool};

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

/// What an organisation holds, in objects and bytes of their JSON.
const HOLDING: &str = "CREATE TABLE holding (
        org INTEGER NOT NULL PRIMARY KEY,
        objects BIGINT NOT NULL,
        bytes BIGINT NOT NULL
    )";

const LATER: [&str; 4] = [
    // A request whose objects tell of events, by the dates of the objects that it added. The places of its events are those of all that it brought;
    // none are known between the two writes of one request, and where the second did not come to pass.
    "CREATE TABLE IF NOT EXISTS posting (
        first_added INTEGER NOT NULL PRIMARY KEY,
        last_added BIGINT NOT NULL,
        came BIGINT NOT NULL,
        first_seq BIGINT,
        last_seq BIGINT
    )",
    // Objects that were there when a request brought their events.
    "CREATE TABLE IF NOT EXISTS again (
        added BIGINT NOT NULL,
        first_seq BIGINT NOT NULL,
        last_seq BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS again_by_added ON again (added)",
    // Versions that an erasure took out, by a keyed hash of what names them, so that the same ones do not come back.
    "CREATE TABLE IF NOT EXISTS erased (mark BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID",
];

/// Makes the tables that came later, where they are missing.
pub(super) async fn complete(pool: &SqlitePool) -> Result<(), RecordsError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let counted: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'holding'").fetch_one(&mut *tx).await?;
    if counted == 0 {
        sqlx::query(HOLDING).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO holding (org, objects, bytes) SELECT org, COUNT(*), SUM(LENGTH(content)) FROM object GROUP BY org").execute(&mut *tx).await?;
    }
    for statement in LATER {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Counts what an organisation holds now: so many objects and bytes more, or less.
pub(super) async fn count(connection: &mut SqliteConnection, org: i64, objects: i64, bytes: i64) -> Result<(), RecordsError> {
    if objects == 0 && bytes == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO holding (org, objects, bytes) VALUES ($1, $2, $3)
         ON CONFLICT (org) DO UPDATE SET objects = objects + excluded.objects, bytes = bytes + excluded.bytes",
    )
    .bind(org)
    .bind(objects)
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

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
