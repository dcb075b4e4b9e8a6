//! The history of every change, as one chain of hashes over all kinds.
//!
//! Invariant: rows are only appended; position counts from 1 without a gap; each hash covers its row and the hash before.
//! An erasure alone takes words out of rows; their hashes stay, so that the chain does, and the erasure's own row names their positions.
//! What the chain cannot show is a tail cut off together with the records it changed; a backup's last hash shows that.

use super::{Change, Erasure, Record, Records, RecordsError, Writer, erasable};
use crate::ledger::Victim;
use model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sqlx::SqliteConnection;
use std::collections::HashSet;

/// Rows read at a time when the chain is checked.
const CHECK_PAGE: i64 = 1_000;
/// Rows of one record's history given at the most.
const MAX_HISTORY: i64 = 1_000;

/// What stands where words were erased.
const ERASED: &str = "[erased]";
/// Fields of a content in which people write freely; the last three are those of subscriptions.
const FREE_TEXT: [&str; 6] = ["basis", "reason", "standing_reason", "label", "conditions", "url"];

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
        let mut connection = self.file.reads.acquire().await?;
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
        let redacted = self.redacted_rows().await?;
        let mut head = Head { position: 0, hash: String::new() };
        loop {
            let rows: Vec<Columns> = sqlx::query_as(
                "SELECT position, kind, record_id, version, actor_key, actor_org, at, action, reason, content, previous_hash, hash
                 FROM history WHERE position > $1 ORDER BY position LIMIT $2",
            )
            .bind(head.position)
            .bind(CHECK_PAGE)
            .fetch_all(&self.file.reads)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in rows.into_iter().map(row_of) {
                if let Some(reason) = check(&head, &row, redacted.contains(&row.position)) {
                    return Ok(Some(HistoryBreak { position: Some(row.position), record_id: row.record_id, reason }));
                }
                head = Head { position: row.position, hash: row.hash };
            }
        }
        let differing: Option<String> = sqlx::query_scalar(
            "SELECT record.id FROM record LEFT JOIN history ON history.record_id = record.id AND history.version = record.version
             WHERE history.content IS NULL OR history.content <> record.content ORDER BY record.id LIMIT 1",
        )
        .fetch_optional(&self.file.reads)
        .await?;
        let differing = match differing {
            Some(record_id) => Some(record_id),
            None => self.unlike_its_hash().await?,
        };
        Ok(differing.map(|record_id| HistoryBreak { position: None, record_id, reason: BreakReason::RecordDiffers }))
    }

    /// Positions that erasures name. A row names only rows before it, so that the last of them is itself checked.
    async fn redacted_rows(&self) -> Result<HashSet<i64>, RecordsError> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            redacted: Vec<i64>,
        }
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT position, content FROM history WHERE kind = $1").bind(Erasure::KIND).fetch_all(&self.file.reads).await?;
        let names = rows.iter().filter_map(|(position, content)| Some((*position, serde_json::from_str::<Names>(content).ok()?)));
        Ok(names.flat_map(|(position, names)| names.redacted.into_iter().filter(move |named| *named < position)).collect())
    }

    /// A record whose erasable part is not what its content has the hash of.
    async fn unlike_its_hash(&self) -> Result<Option<String>, RecordsError> {
        let rows: Vec<(String, String, Option<String>)> =
            sqlx::query_as("SELECT id, content, erasable FROM record WHERE erasable IS NOT NULL OR content LIKE '%\"sealed\":%' ORDER BY id")
                .fetch_all(&self.file.reads)
                .await?;
        Ok(rows.into_iter().find(|(_, content, kept)| !erasable::fits(content, kept.as_deref())).map(|(id, ..)| id))
    }
}

impl Writer {
    /// Takes the words that hold the victim's value out of the whole history and out of the records it is of; gives the positions of the
    /// rows. An erasure written by the same writer must name them: without it [`Records::verify_history`] takes them for damage.
    pub async fn redact(&mut self, victim: &Victim) -> Result<Vec<i64>, RecordsError> {
        let mut redacted = Vec::new();
        let mut last = 0;
        loop {
            let rows: Vec<(i64, String, String, String)> =
                sqlx::query_as("SELECT position, record_id, reason, content FROM history WHERE position > $1 ORDER BY position LIMIT $2")
                    .bind(last)
                    .bind(CHECK_PAGE)
                    .fetch_all(self.connection())
                    .await?;
            let Some(newest) = rows.last() else { return Ok(redacted) };
            last = newest.0;
            for (position, record_id, reason, content) in rows {
                let (words, fields) = (victim.is_in(&reason), without(&content, victim));
                if !words && fields.is_none() {
                    continue;
                }
                sqlx::query("UPDATE history SET reason = $1, content = $2 WHERE position = $3")
                    .bind(if words { ERASED } else { reason.as_str() })
                    .bind(fields.as_ref().unwrap_or(&content))
                    .bind(position)
                    .execute(self.connection())
                    .await?;
                // The record as of this row, where no later one changed it.
                if let Some(fields) = &fields {
                    sqlx::query("UPDATE record SET content = $1 WHERE id = $2 AND content = $3")
                        .bind(fields)
                        .bind(&record_id)
                        .bind(&content)
                        .execute(self.connection())
                        .await?;
                }
                redacted.push(position);
            }
        }
    }
}

/// A content without the free texts that hold the victim's value; `None` where there are none.
fn without(content: &str, victim: &Victim) -> Option<String> {
    let mut content: Value = serde_json::from_str(content).ok()?;
    let mut changed = false;
    for field in FREE_TEXT {
        if let Some(Value::String(text)) = content.get_mut(field)
            && victim.is_in(text)
        {
            ERASED.clone_into(text);
            changed = true;
        }
    }
    changed.then(|| content.to_string())
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

fn check(head: &Head, row: &HistoryRow, redacted: bool) -> Option<BreakReason> {
    if row.position != head.position + 1 {
        Some(BreakReason::Gap)
    } else if row.previous_hash != head.hash {
        Some(BreakReason::NotLinked)
    } else if !redacted && row.hash != hash_of(row) {
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
