//! The tables of deliveries.
//!
//! Invariant: a file of a newer program is refused, never guessed at. A thing waits where its row names no message, and is in one message
//! where it does; of one subscriber it is there once.

use crate::sqlite::Schema;

/// The version this program writes, and the newest it opens.
pub const SCHEMA_VERSION: i64 = 1;

/// The tables.
pub(super) const SCHEMA: Schema = Schema { version: SCHEMA_VERSION, tables: &TABLES };

const TABLES: [&str; 17] = [
    // How far the ledger was looked through, exclusive (`events`), and numbers that others keep under names of their own.
    "CREATE TABLE position (
        name TEXT NOT NULL PRIMARY KEY,
        seq BIGINT NOT NULL
    )",
    // What belongs to a subscription and is no deliberate change. `waiting` counts its items that are in no message.
    "CREATE TABLE subscriber (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        first BIGINT NOT NULL,
        noticed BIGINT NOT NULL,
        waiting BIGINT NOT NULL DEFAULT 0,
        left_out BIGINT NOT NULL DEFAULT 0,
        left_out_ever BIGINT NOT NULL DEFAULT 0,
        sent BIGINT NOT NULL DEFAULT 0,
        last_sent BIGINT,
        parked BIGINT,
        error TEXT,
        failed BIGINT,
        code TEXT,
        code_until BIGINT,
        code_tries BIGINT NOT NULL DEFAULT 0
    )",
    // An event (its place, big-endian) or a finding (its number, big-endian) that matched. Kept for a while after it was sent, so that a
    // withdrawal can be told to who got it.
    "CREATE TABLE item (
        subscriber BIGINT NOT NULL,
        kind BIGINT NOT NULL,
        key BLOB NOT NULL,
        category BIGINT NOT NULL,
        noticed BIGINT NOT NULL,
        due BIGINT NOT NULL,
        message BIGINT,
        at BIGINT,
        withdrawn BIGINT,
        notice BIGINT,
        PRIMARY KEY (subscriber, kind, key)
    ) WITHOUT ROWID",
    "CREATE INDEX item_waiting ON item (subscriber, due) WHERE message IS NULL",
    "CREATE INDEX item_by_message ON item (message) WHERE message IS NOT NULL",
    "CREATE INDEX item_by_notice ON item (notice) WHERE notice IS NOT NULL",
    "CREATE INDEX item_to_tell ON item (subscriber, withdrawn) WHERE withdrawn IS NOT NULL AND notice IS NULL",
    "CREATE INDEX item_by_key ON item (kind, key)",
    "CREATE INDEX item_by_age ON item (at) WHERE at IS NOT NULL",
    // Without content once it was sent. `tried` is 1 from before the first attempt on; `reader` is a hash of the facts that policy decided on.
    "CREATE TABLE message (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        subscriber BIGINT NOT NULL,
        lane BIGINT NOT NULL,
        state BIGINT NOT NULL,
        reader TEXT NOT NULL,
        made BIGINT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0,
        tried BIGINT NOT NULL DEFAULT 0,
        next_attempt BIGINT NOT NULL,
        left_out BIGINT NOT NULL,
        sent BIGINT,
        content BLOB
    )",
    "CREATE INDEX message_due ON message (lane, next_attempt) WHERE state = 0",
    "CREATE INDEX message_by_subscriber ON message (subscriber, state, lane)",
    "CREATE INDEX message_by_age ON message (sent) WHERE sent IS NOT NULL",
    "CREATE TABLE inbox (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        organisation TEXT NOT NULL,
        made BIGINT NOT NULL,
        read BIGINT,
        size BIGINT NOT NULL,
        content BLOB NOT NULL
    )",
    "CREATE INDEX inbox_by_organisation ON inbox (organisation, number, size)",
    "CREATE INDEX inbox_unread ON inbox (organisation, number) WHERE read IS NULL",
    "CREATE TABLE schema_version (version BIGINT NOT NULL)",
];
