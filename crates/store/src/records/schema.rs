//! The tables, and the version that tells whether this program may open them.
//!
//! Invariant: a file of a newer program is refused, never guessed at; a step up from one version to the next is one transaction.

use crate::sqlite::Schema;

/// The version this program writes, and the newest it opens.
pub const SCHEMA_VERSION: i64 = 1;

/// One row per deliberate record of any kind; `content` is the kind's JSON.
/// `erasable` is JSON that is in no history but as a hash, so that it can be destroyed.
/// The tables.
pub(super) const SCHEMA: Schema = Schema { version: SCHEMA_VERSION, tables: &TABLES };

const TABLES: [&str; 7] = [
    "CREATE TABLE record (
        id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        number BIGINT,
        owner TEXT REFERENCES record (id),
        state TEXT NOT NULL,
        unique_name TEXT,
        version BIGINT NOT NULL,
        content TEXT NOT NULL,
        erasable TEXT,
        created BIGINT NOT NULL,
        updated BIGINT NOT NULL,
        UNIQUE (kind, number),
        UNIQUE (kind, unique_name)
    )",
    "CREATE INDEX record_by_kind ON record (kind, id)",
    "CREATE INDEX record_by_owner ON record (owner, kind, id)",
    // Append-only; each row's hash covers the row and the hash of the one before.
    "CREATE TABLE history (
        position BIGINT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        record_id TEXT NOT NULL REFERENCES record (id),
        version BIGINT NOT NULL,
        actor_key TEXT,
        actor_org TEXT,
        at BIGINT NOT NULL,
        action TEXT NOT NULL,
        reason TEXT NOT NULL,
        content TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL,
        UNIQUE (record_id, version)
    )",
    // Control entries on their way into the ledger; gone once they are there.
    "CREATE TABLE outbox (
        id BIGINT NOT NULL PRIMARY KEY,
        payload TEXT NOT NULL,
        created BIGINT NOT NULL
    )",
    // Use of a key is no deliberate change: it has neither version nor history.
    "CREATE TABLE key_use (
        key_id TEXT NOT NULL PRIMARY KEY REFERENCES record (id),
        last_used BIGINT NOT NULL
    )",
    "CREATE TABLE schema_version (version BIGINT NOT NULL)",
];
