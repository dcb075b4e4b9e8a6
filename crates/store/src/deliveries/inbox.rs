//! Inboxes: what an organisation reads in the hub itself.
//!
//! Invariant: of one organisation at most [`MAX_INBOX`] messages of [`MAX_INBOX_BYTES`] bytes in all are kept; the oldest make room.

use super::{Deliveries, count};
use crate::records::RecordsError;
use model::Timestamp;
use sqlx::SqliteConnection;

/// Messages of one inbox at the most.
pub const MAX_INBOX: u64 = 2_000;
/// Bytes of one inbox's messages at the most.
pub const MAX_INBOX_BYTES: u64 = 64 << 20;

/// A message of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Its place: a higher one is newer.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// When it was made.
    pub made: Timestamp,
    /// When somebody read it.
    pub read: Option<Timestamp>,
    /// The message.
    pub content: Vec<u8>,
}

type Row = (i64, String, i64, Option<i64>, Vec<u8>);

impl Deliveries {
    /// Messages of an organisation's inbox, newest first, from the one before `before`; unread ones alone where that is asked for.
    pub async fn inbox(&self, organisation: &str, before: Option<i64>, unread: bool, limit: usize) -> Result<Vec<InboxRow>, RecordsError> {
        let statement = if unread {
            "SELECT number, id, made, read, content FROM inbox WHERE organisation = $1 AND number < $2 AND read IS NULL ORDER BY number DESC LIMIT $3"
        } else {
            "SELECT number, id, made, read, content FROM inbox WHERE organisation = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
        };
        let rows: Vec<Row> = sqlx::query_as(statement)
            .bind(organisation)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.file.reads)
            .await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// How many messages of an inbox nobody has read.
    pub async fn unread(&self, organisation: &str) -> Result<u64, RecordsError> {
        let number: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM inbox WHERE organisation = $1 AND read IS NULL").bind(organisation).fetch_one(&self.file.reads).await?;
        Ok(count(number))
    }

    /// Notes that somebody read a message; who did so first did. `None` where the inbox has no such message.
    pub async fn read_inbox(&self, organisation: &str, id: &str, at: Timestamp) -> Result<Option<InboxRow>, RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE inbox SET read = $3 WHERE organisation = $1 AND id = $2 AND read IS NULL")
            .bind(organisation)
            .bind(id)
            .bind(at.micros())
            .execute(&mut *tx)
            .await?;
        let row: Option<Row> = sqlx::query_as("SELECT number, id, made, read, content FROM inbox WHERE organisation = $1 AND id = $2")
            .bind(organisation)
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(row.map(read))
    }
}

fn read((number, id, made, read, content): Row) -> InboxRow {
    InboxRow { number, id, made: Timestamp::from_micros(made), read: read.map(Timestamp::from_micros), content }
}

/// Adds a message and makes room for it.
pub(super) async fn insert(connection: &mut SqliteConnection, id: &str, organisation: &str, made: Timestamp, content: &[u8]) -> Result<(), RecordsError> {
    sqlx::query("INSERT OR IGNORE INTO inbox (id, organisation, made, size, content) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(organisation)
        .bind(made.micros())
        .bind(i64::try_from(content.len()).unwrap_or(i64::MAX))
        .bind(content)
        .execute(&mut *connection)
        .await?;
    // The newest that fit stay; the newest of all does in any case.
    sqlx::query(
        "DELETE FROM inbox WHERE organisation = $1 AND number <= (
            SELECT number FROM (
                SELECT number, ROW_NUMBER() OVER newest AS place, SUM(size) OVER newest AS bytes FROM inbox WHERE organisation = $1
                WINDOW newest AS (ORDER BY number DESC ROWS UNBOUNDED PRECEDING)
            ) WHERE place > 1 AND (place > $2 OR bytes > $3) ORDER BY number DESC LIMIT 1)",
    )
    .bind(organisation)
    .bind(i64::try_from(MAX_INBOX).unwrap_or(i64::MAX))
    .bind(i64::try_from(MAX_INBOX_BYTES).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}
