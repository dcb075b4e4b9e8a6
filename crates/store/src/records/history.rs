//! The history of every change, as one chain of hashes over all kinds.
//!
//! Invariant: rows are only appended; position counts from 1 without a gap; each hash covers its row and the hash before.
//! What the chain cannot show is a tail cut off together with the records it changed; a backup's last hash shows that.

use super::{Change, Records, RecordsError};
use model::Timestamp;
use sqlx::SqliteConnection;

/// Rows read at a time when the chain is checked.
const CHECK_PAGE: i64 = 1_000;
/// Rows of one record's history given at the most.
const MAX_HISTORY: i64 = 1_000;

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Place in the chain, from 1.
    pub position: i64,
    /// Kind of the record.
    pub kind: String,
    /// The record.
    pub record_id: String,
    /// Its version after the change.
    pub version: u64,
    /// The key that acted; `None`: the hub itself.
    pub actor_key: Option<String>,
    /// Its organisation.
    pub actor_org: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What was done.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Content after the change, JSON.
    pub content: String,
    /// Hash of the row before; empty for the first.
    pub previous_hash: String,
    /// Hash over this row and the one before.
    pub hash: String,
}

/// Where the history does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryBreak {
    /// Position in the chain; `None` where the chain holds but a record differs from it.
    pub position: Option<i64>,
    /// The record concerned.
    pub record_id: String,
    /// What is wrong.
    pub reason: BreakReason,
}

/// What is wrong with a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakReason {
    /// A row is missing before this one.
    Gap,
    /// The row does not follow on the one before.
    NotLinked,
    /// The row was changed after it was written.
    Changed,
    /// A record differs from its last history row.
    RecordDiffers,
}

impl std::fmt::Display for HistoryBreak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = match self.reason {
            BreakReason::Gap => "a history row is missing before it",
            BreakReason::NotLinked => "its history row does not follow on the one before",
            BreakReason::Changed => "its history row was changed",
            BreakReason::RecordDiffers => "the record differs from its last history row",
        };
        match self.position {
            Some(position) => write!(f, "record {} at history position {position}: {reason}", self.record_id),
            None => write!(f, "record {}: {reason}", self.record_id),
        }
    }
}

/// The chain's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: i64,
    pub(super) hash: String,
}

type Columns = (i64, String, String, i64, Option<String>, Option<String>, i64, String, String, String, String, String);

impl Records {
    /// A record's changes, newest first, up to 1,000.
    pub async fn history(&self, record_id: &str) -> Result<Vec<HistoryRow>, RecordsError> {
        let mut connection = self.reads.acquire().await?;
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT position, kind, record_id, version, actor_key, actor_org, at, action, reason, content, previous_hash, hash
             FROM history WHERE record_id = $1 ORDER BY version DESC LIMIT $2",
        )
        .bind(record_id)
        .bind(MAX_HISTORY)
        .fetch_all(&mut *connection)
        .await?;
        Ok(rows.into_iter().map(row_of).collect())
    }

    /// Checks the chain from its start, then every record against its last row; gives the first break.
    pub async fn verify_history(&self) -> Result<Option<HistoryBreak>, RecordsError> {
        let mut head = Head { position: 0, hash: String::new() };
        loop {
            let rows: Vec<Columns> = sqlx::query_as(
                "SELECT position, kind, record_id, version, actor_key, actor_org, at, action, reason, content, previous_hash, hash
                 FROM history WHERE position > $1 ORDER BY position LIMIT $2",
            )
            .bind(head.position)
            .bind(CHECK_PAGE)
            .fetch_all(&self.reads)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in rows.into_iter().map(row_of) {
                if let Some(reason) = check(&head, &row) {
                    return Ok(Some(HistoryBreak { position: Some(row.position), record_id: row.record_id, reason }));
                }
                head = Head { position: row.position, hash: row.hash };
            }
        }
        let differing: Option<String> = sqlx::query_scalar(
            "SELECT record.id FROM record LEFT JOIN history ON history.record_id = record.id AND history.version = record.version
             WHERE history.content IS NULL OR history.content <> record.content ORDER BY record.id LIMIT 1",
        )
        .fetch_optional(&self.reads)
        .await?;
        Ok(differing.map(|record_id| HistoryBreak { position: None, record_id, reason: BreakReason::RecordDiffers }))
    }
}

/// The chain's end as of the transaction.
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Head, RecordsError> {
    let row: Option<(i64, String)> = sqlx::query_as("SELECT position, hash FROM history ORDER BY position DESC LIMIT 1").fetch_optional(connection).await?;
    Ok(row.map_or_else(|| Head { position: 0, hash: String::new() }, |(position, hash)| Head { position, hash }))
}

/// Appends one row after `head` and gives the new end.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    head: &Head,
    kind: &str,
    record_id: String,
    version: i64,
    content: String,
    change: &Change<'_>,
) -> Result<Head, RecordsError> {
    let mut row = HistoryRow {
        position: head.position + 1,
        kind: kind.to_owned(),
        record_id,
        version: u64::try_from(version).unwrap_or_default(),
        actor_key: change.actor_key.map(|key| key.to_string()),
        actor_org: change.actor_org.map(|organisation| organisation.to_string()),
        at: change.at,
        action: change.action.to_owned(),
        reason: change.reason.to_owned(),
        content,
        previous_hash: head.hash.clone(),
        hash: String::new(),
    };
    row.hash = hash_of(&row);
    sqlx::query(
        "INSERT INTO history (position, kind, record_id, version, actor_key, actor_org, at, action, reason, content, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(row.position)
    .bind(&row.kind)
    .bind(&row.record_id)
    .bind(version)
    .bind(&row.actor_key)
    .bind(&row.actor_org)
    .bind(row.at.micros())
    .bind(&row.action)
    .bind(&row.reason)
    .bind(&row.content)
    .bind(&row.previous_hash)
    .bind(&row.hash)
    .execute(connection)
    .await?;
    Ok(Head { position: row.position, hash: row.hash })
}

fn row_of(columns: Columns) -> HistoryRow {
    let (position, kind, record_id, version, actor_key, actor_org, at, action, reason, content, previous_hash, hash) = columns;
    HistoryRow {
        position,
        kind,
        record_id,
        version: u64::try_from(version).unwrap_or_default(),
        actor_key,
        actor_org,
        at: Timestamp::from_micros(at),
        action,
        reason,
        content,
        previous_hash,
        hash,
    }
}

fn check(head: &Head, row: &HistoryRow) -> Option<BreakReason> {
    if row.position != head.position + 1 {
        Some(BreakReason::Gap)
    } else if row.previous_hash != head.hash {
        Some(BreakReason::NotLinked)
    } else if row.hash != hash_of(row) {
        Some(BreakReason::Changed)
    } else {
        None
    }
}

/// Hash over every field and the hash before; each field goes in behind its length, so that none can be moved into the next.
fn hash_of(row: &HistoryRow) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(row.previous_hash.as_bytes());
    field(&row.position.to_le_bytes());
    field(row.kind.as_bytes());
    field(row.record_id.as_bytes());
    field(&row.version.to_le_bytes());
    field(row.actor_key.as_deref().unwrap_or_default().as_bytes());
    field(row.actor_org.as_deref().unwrap_or_default().as_bytes());
    field(&row.at.micros().to_le_bytes());
    field(row.action.as_bytes());
    field(row.reason.as_bytes());
    field(row.content.as_bytes());
    hasher.finalize().to_hex().to_string()
}
