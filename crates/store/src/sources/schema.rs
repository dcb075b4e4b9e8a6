//! The tables of sources.
//!
//! Invariant: a file of a newer program is refused, never guessed at.

use crate::sqlite::Schema;

/// The version this program writes, and the newest it opens.
pub const SCHEMA_VERSION: i64 = 1;

/// The tables.
pub(super) const SCHEMA: Schema = Schema { version: SCHEMA_VERSION, tables: &TABLES };

const TABLES: [&str; 8] = [
    "CREATE TABLE source (name TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL)",
    "CREATE TABLE run (number INTEGER NOT NULL PRIMARY KEY, source TEXT NOT NULL, started BIGINT NOT NULL, content TEXT NOT NULL)",
    "CREATE INDEX run_by_source ON run (source, number)",
    // An entry that is listed for long is reported more than once.
    "CREATE TABLE entry (source TEXT NOT NULL, hash BLOB NOT NULL, seq BIGINT NOT NULL, due BIGINT NOT NULL, PRIMARY KEY (source, hash, seq)) WITHOUT ROWID",
    // Objects with versions: an event of one, what it is a version of, and what that is a part of.
    "CREATE TABLE brought (source TEXT NOT NULL, id BLOB NOT NULL, object BLOB NOT NULL, part_of BLOB NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID",
    "CREATE INDEX brought_by_object ON brought (source, object)",
    "CREATE INDEX brought_by_group ON brought (source, part_of)",
    "CREATE TABLE schema_version (version BIGINT NOT NULL)",
];
