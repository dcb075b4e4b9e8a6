//! The tables of contributed MISP events.
//!
//! Invariant: a number that was given is never given again: `counter` outlives what it counted.

use crate::records::RecordsError;
use crate::sqlite::Schema;
use serde_json::{Map, Value};
use sqlx::sqlite::SqlitePool;

/// The version this program writes, and the newest it opens.
pub const SCHEMA_VERSION: i64 = 1;

/// The tables.
pub(super) const SCHEMA: Schema = Schema { version: SCHEMA_VERSION, tables: &TABLES };

const TABLES: [&str; 31] = [
    // What decides about an event, and what a list of events shows, is read without its content.
    "CREATE TABLE event (
        id INTEGER NOT NULL PRIMARY KEY,
        org BIGINT NOT NULL,
        uuid TEXT NOT NULL,
        published BIGINT NOT NULL,
        deleted BIGINT NOT NULL,
        tlp BIGINT NOT NULL,
        audience TEXT NOT NULL,
        test BIGINT NOT NULL,
        timestamp BIGINT NOT NULL,
        published_at BIGINT NOT NULL,
        date TEXT NOT NULL,
        info TEXT NOT NULL,
        attributes BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        pending BIGINT NOT NULL,
        head TEXT NOT NULL,
        content BLOB NOT NULL
    )",
    // Two members may each keep the event of a third party: neither learns of the other's by its id.
    "CREATE UNIQUE INDEX event_by_uuid ON event (uuid, org)",
    "CREATE INDEX event_by_org ON event (org, id)",
    "CREATE INDEX event_pending ON event (id) WHERE pending = 1",
    "CREATE TABLE attribute (
        id INTEGER NOT NULL PRIMARY KEY,
        event BIGINT NOT NULL,
        object BIGINT NOT NULL,
        uuid TEXT NOT NULL,
        type TEXT NOT NULL,
        category TEXT NOT NULL,
        value TEXT NOT NULL,
        value1 TEXT NOT NULL,
        value2 TEXT NOT NULL,
        comment TEXT NOT NULL,
        to_ids BIGINT NOT NULL,
        deleted BIGINT NOT NULL,
        timestamp BIGINT NOT NULL,
        tlp BIGINT NOT NULL,
        audience TEXT NOT NULL,
        victim BIGINT NOT NULL,
        test BIGINT NOT NULL,
        digest BIGINT NOT NULL
    )",
    "CREATE INDEX attribute_by_event ON attribute (event, id)",
    "CREATE INDEX attribute_by_uuid ON attribute (uuid)",
    "CREATE INDEX attribute_by_value ON attribute (value)",
    "CREATE INDEX attribute_by_value1 ON attribute (value1)",
    "CREATE INDEX attribute_by_value2 ON attribute (value2) WHERE value2 <> ''",
    "CREATE INDEX attribute_by_type ON attribute (type, id)",
    "CREATE TABLE object (
        id INTEGER NOT NULL PRIMARY KEY,
        event BIGINT NOT NULL,
        uuid TEXT NOT NULL,
        name TEXT NOT NULL,
        deleted BIGINT NOT NULL
    )",
    "CREATE INDEX object_by_uuid ON object (uuid)",
    "CREATE INDEX object_by_event ON object (event)",
    REPORT,
    REPORT_BY_UUID,
    REPORT_BY_EVENT,
    // Attribute 0 is the event itself.
    "CREATE TABLE tag (
        event BIGINT NOT NULL,
        attribute BIGINT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (event, attribute, name)
    ) WITHOUT ROWID",
    "CREATE INDEX tag_by_name ON tag (name, event)",
    SIGHTING,
    SIGHTING_BY_UUID,
    SIGHTING_BY_ATTRIBUTE,
    SIGHTING_BY_ORG,
    // What of an event is among the hub's own events: each attribute, a hash of what was said, and its sequence number.
    "CREATE TABLE shared (
        event BIGINT NOT NULL,
        attribute TEXT NOT NULL,
        digest BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        PRIMARY KEY (event, attribute)
    ) WITHOUT ROWID",
    // Attribute 0: one that is to be added.
    "CREATE TABLE proposal (
        id INTEGER NOT NULL PRIMARY KEY,
        uuid TEXT NOT NULL,
        event BIGINT NOT NULL,
        attribute BIGINT NOT NULL,
        org BIGINT NOT NULL,
        created BIGINT NOT NULL,
        content TEXT NOT NULL
    )",
    "CREATE INDEX proposal_by_event ON proposal (event, id)",
    "CREATE INDEX proposal_by_org ON proposal (org, id)",
    "CREATE INDEX proposal_by_uuid ON proposal (uuid)",
    "CREATE TABLE counter (name TEXT NOT NULL PRIMARY KEY, next BIGINT NOT NULL)",
    "INSERT INTO counter (name, next) VALUES ('event', 1), ('attribute', 1), ('object', 1), ('sighting', 1), ('proposal', 1), ('report', 1)",
    "CREATE TABLE schema_version (version BIGINT NOT NULL)",
];

/// What a report says stands in its event's own fields; here is where a name leads.
const REPORT: &str = "CREATE TABLE report (id INTEGER NOT NULL PRIMARY KEY, event BIGINT NOT NULL, uuid TEXT NOT NULL)";
const REPORT_BY_UUID: &str = "CREATE INDEX report_by_uuid ON report (uuid)";
const REPORT_BY_EVENT: &str = "CREATE INDEX report_by_event ON report (event, id)";
const SIGHTING: &str = "CREATE TABLE sighting (
        id INTEGER NOT NULL PRIMARY KEY,
        uuid TEXT NOT NULL,
        event BIGINT NOT NULL,
        attribute BIGINT NOT NULL,
        org BIGINT NOT NULL,
        kind BIGINT NOT NULL,
        seen BIGINT NOT NULL,
        source TEXT NOT NULL
    )";
/// A UUID is one organisation's: whoever takes another's stands in nobody's way.
const SIGHTING_BY_UUID: &str = "CREATE UNIQUE INDEX sighting_by_uuid ON sighting (uuid, org)";
const SIGHTING_BY_ATTRIBUTE: &str = "CREATE INDEX sighting_by_attribute ON sighting (event, attribute)";
const SIGHTING_BY_ORG: &str = "CREATE INDEX sighting_by_org ON sighting (org, event, attribute)";

/// What makes the table of sightings anew, where it is as it was before.
const SIGHTINGS_ANEW: [&str; 7] = [
    "ALTER TABLE sighting RENAME TO sighting_before",
    SIGHTING,
    "INSERT INTO sighting (id, uuid, event, attribute, org, kind, seen, source) SELECT id, uuid, event, attribute, org, kind, seen, source FROM sighting_before",
    "DROP TABLE sighting_before",
    SIGHTING_BY_UUID,
    SIGHTING_BY_ATTRIBUTE,
    SIGHTING_BY_ORG,
];

/// Brings a file of an earlier program in line.
pub(super) async fn bring_up(writes: &SqlitePool) -> Result<(), RecordsError> {
    own_sightings(writes).await?;
    numbered_reports(writes).await
}

/// Gives every report of an event a number and its place, where reports were parts of their events alone.
async fn numbered_reports(writes: &SqlitePool) -> Result<(), RecordsError> {
    let mut tx = writes.begin_with("BEGIN IMMEDIATE").await?;
    let table: Option<String> = sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'report'").fetch_optional(&mut *tx).await?;
    if table.is_some() {
        tx.rollback().await?;
        return Ok(());
    }
    for statement in [REPORT, REPORT_BY_UUID, REPORT_BY_EVENT] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    let (mut next, mut after): (i64, i64) = (1, 0);
    loop {
        let events: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, head FROM event WHERE id > $1 AND instr(head, '\"EventReport\":[{') > 0 ORDER BY id LIMIT 100")
                .bind(after)
                .fetch_all(&mut *tx)
                .await?;
        let Some((last, _)) = events.last() else { break };
        after = *last;
        for (event, head) in events {
            let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&head) else { continue };
            let reports = fields.get_mut("EventReport").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
            for report in reports {
                let uuid = report.get("uuid").and_then(Value::as_str).unwrap_or_default().to_lowercase();
                report.insert("id".to_owned(), Value::from(next.to_string()));
                sqlx::query("INSERT INTO report (id, event, uuid) VALUES ($1, $2, $3)").bind(next).bind(event).bind(uuid).execute(&mut *tx).await?;
                next += 1;
            }
            sqlx::query("UPDATE event SET head = $1 WHERE id = $2").bind(Value::Object(fields).to_string()).bind(event).execute(&mut *tx).await?;
        }
    }
    sqlx::query("INSERT INTO counter (name, next) VALUES ('report', $1)").bind(next).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// One organisation's UUID of a sighting stands in the way of another's no more.
async fn own_sightings(writes: &SqlitePool) -> Result<(), RecordsError> {
    let mut tx = writes.begin_with("BEGIN IMMEDIATE").await?;
    let table: Option<String> = sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'sighting'").fetch_optional(&mut *tx).await?;
    if !table.is_some_and(|table| table.contains("UNIQUE")) {
        tx.rollback().await?;
        return Ok(());
    }
    for statement in SIGHTINGS_ANEW {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
