//! Control entries on their way into the ledger, written in the same transaction as the change they tell of.
//!
//! Flow: [`super::Writer`] puts rows → `hub` carries [`Records::outbox_pending`] into the ledger → [`Records::outbox_done`].
//! Invariant: ids rise in the order of commits and are never used twice, so that a row carried twice is known by its id.

use super::{Records, RecordsError};
use model::Timestamp;
use sqlx::SqliteConnection;

/// Control entries that one change may have.
pub const OUTBOX_PER_CHANGE: i64 = 16;

/// One control entry that the ledger has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Rises in the order of commits.
    pub id: i64,
    /// JSON object with a `control` word.
    pub payload: String,
    /// When the change was made.
    pub created: Timestamp,
}

impl Records {
    /// The oldest entries that are not done, up to `limit`, in order.
    pub async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, RecordsError> {
        let rows: Vec<(i64, String, i64)> =
            sqlx::query_as("SELECT id, payload, created FROM outbox ORDER BY id LIMIT $1").bind(i64::from(limit)).fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().map(|(id, payload, created)| OutboxRow { id, payload, created: Timestamp::from_micros(created) }).collect())
    }

    /// Removes every entry up to and with `id`: the ledger has them.
    pub async fn outbox_done(&self, id: i64) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM outbox WHERE id <= $1").bind(id).execute(&self.file.writes).await?;
        Ok(())
    }
}

/// Writes the entries of the change at history position `position`.
pub(super) async fn put(connection: &mut SqliteConnection, position: i64, control: &[serde_json::Value], at: Timestamp) -> Result<(), RecordsError> {
    if i64::try_from(control.len()).unwrap_or(i64::MAX) > OUTBOX_PER_CHANGE {
        return Err(RecordsError::TooManyEntries { found: control.len(), limit: OUTBOX_PER_CHANGE });
    }
    // The history is never shortened, so ids made of its positions are never used twice.
    for (id, payload) in (position * OUTBOX_PER_CHANGE..).zip(control) {
        sqlx::query("INSERT INTO outbox (id, payload, created) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(payload.to_string())
            .bind(at.micros())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
