//! Erasure among contributed objects: those that name the value are taken out whole, with every version that does.
//!
//! Flow: rows in their order, some at a time → those whose text holds the value, in any spelling, or refers to it by the id that follows from it →
//! gone in one transaction, and a mark of each left → the write-ahead log is emptied.
//! Invariant: a mark is a keyed hash of collection, id and version: it keeps the same version from coming back and tells nothing to whoever lacks the
//! key. What was deleted is overwritten.
//! Not here: events (`ledger::rewrite`), who may erase what (`hub::erasures`).

use super::writer::{IDS, Posting};
use super::{MAX_PAGE_BYTES, Objects, fitting, schema, take_out};
use crate::ledger::Victim;
use crate::records::RecordsError;
use hashbrown::HashSet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeSet;
use std::time::Duration;

/// Rows looked at in one go.
const ROWS: i64 = 1_000;
/// How often emptying the write-ahead log is tried while a reader holds it.
const CHECKPOINT_TRIES: u32 = 40;
/// Between two tries.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// A row that is looked at: date of addition, collection, id, version, organisation, content.
type Row = (i64, i64, String, i64, i64, Vec<u8>);

/// Whether an object states a version.
#[derive(Deserialize)]
struct Dated {
    modified: Option<IgnoredAny>,
    created: Option<IgnoredAny>,
}

impl Objects {
    /// Takes out every object that names the value, or refers to it by `id`, which is the id that the standard gives its observable. Gives how many
    /// versions are gone; doing it again does what is left. `secret` is what marks are made under ([`Posting::secret`]).
    pub async fn erase(&self, victim: &Victim, id: Option<&str>, secret: u128) -> Result<u64, RecordsError> {
        let mut gone = 0;
        let mut after = i64::MIN;
        loop {
            let sizes: Vec<(i64, i64)> = sqlx::query_as("SELECT added, LENGTH(content) FROM object WHERE added > $1 ORDER BY added LIMIT $2")
                .bind(after)
                .bind(ROWS)
                .fetch_all(&self.file.reads)
                .await?;
            let count = fitting(&sizes, MAX_PAGE_BYTES);
            if count == 0 {
                break;
            }
            let rows: Vec<Row> = sqlx::query_as("SELECT added, collection, id, version, org, content FROM object WHERE added > $1 ORDER BY added LIMIT $2")
                .bind(after)
                .bind(i64::try_from(count).unwrap_or(1))
                .fetch_all(&self.file.reads)
                .await?;
            // Rows may have gone meanwhile, so that later ones came along; none is passed over.
            let Some(last) = rows.last() else { break };
            after = last.0;
            let (victim, id) = (victim.clone(), id.map(str::to_ascii_lowercase));
            // Looking at texts is work, which is done away from the threads that serve connections.
            let looking = tokio::task::spawn_blocking(move || rows.into_iter().filter(|row| names(row, &victim, id.as_deref())).collect::<Vec<Row>>());
            let found = looking.await.map_err(|broken| RecordsError::Io(std::io::Error::other(broken)))?;
            gone += self.take_out_all(&found, secret).await?;
        }
        self.erase_statuses(victim, id).await?;
        self.checkpoint().await?;
        Ok(gone)
    }

    async fn take_out_all(&self, rows: &[Row], secret: u128) -> Result<u64, RecordsError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        let mut gone = 0;
        let mut touched = BTreeSet::new();
        for (added, collection, id, version, org, content) in rows {
            // Someone may have taken it out since.
            let there: Option<i64> = sqlx::query_scalar("SELECT added FROM object WHERE added = $1").bind(*added).fetch_optional(&mut *tx).await?;
            if there.is_none() {
                continue;
            }
            // An object without dates was given its version here; it is known again without one.
            let undated = serde_json::from_slice::<Dated>(content).is_ok_and(|dated| dated.modified.is_none() && dated.created.is_none());
            for version in [Some(*version), None].into_iter().take(if undated { 2 } else { 1 }) {
                let mark = mark(secret, *collection, id, version);
                sqlx::query("INSERT OR IGNORE INTO erased (mark) VALUES ($1)").bind(mark.to_vec()).execute(&mut *tx).await?;
            }
            take_out(&mut tx, *added, *org, i64::try_from(content.len()).unwrap_or(i64::MAX)).await?;
            touched.insert((*collection, id.as_str()));
            gone += 1;
        }
        for (collection, id) in touched {
            schema::flag_again(&mut tx, collection, id).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// What became of a request may repeat ids and what was wrong with an object.
    async fn erase_statuses(&self, victim: &Victim, id: Option<&str>) -> Result<(), RecordsError> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM status").fetch_all(&self.file.reads).await?;
        for status in ids {
            let asked = sqlx::query_scalar("SELECT content FROM status WHERE id = $1").bind(status.as_str());
            let content: Option<String> = asked.fetch_optional(&self.file.reads).await?;
            let names = content.is_some_and(|content| victim.is_in(&content) || id.is_some_and(|id| content.to_ascii_lowercase().contains(id)));
            if names {
                sqlx::query("DELETE FROM status WHERE id = $1").bind(status.as_str()).execute(&self.file.writes).await?;
            }
        }
        Ok(())
    }

    /// Moves the write-ahead log into the main file and empties it, so that no overwritten byte stays behind.
    async fn checkpoint(&self) -> Result<(), RecordsError> {
        for _ in 0..CHECKPOINT_TRIES {
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.file.writes).await?;
            if busy == 0 {
                return Ok(());
            }
            tokio::time::sleep(CHECKPOINT_PAUSE).await;
        }
        Err(RecordsError::Busy)
    }
}

/// Which of a request's objects were taken out by an erasure, by their places in it.
pub(super) async fn erased_before(connection: &mut SqliteConnection, posting: &Posting) -> Result<HashSet<usize>, RecordsError> {
    let any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM erased LIMIT 1").fetch_optional(&mut *connection).await?;
    let mut places = HashSet::new();
    if any.is_none() {
        return Ok(places);
    }
    let mark_of = |object: &super::NewObject| mark(posting.secret, posting.collection.0, &object.id, object.version.map(model::Timestamp::micros));
    for (chunk, objects) in posting.objects.chunks(IDS).enumerate() {
        let marks: Vec<Vec<u8>> = objects.iter().map(|object| mark_of(object).to_vec()).collect();
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT mark FROM erased WHERE mark IN (");
        let mut list = sql.separated(", ");
        for mark in &marks {
            list.push_bind(mark.as_slice());
        }
        sql.push(")");
        let known: Vec<Vec<u8>> = sql.build_query_scalar().fetch_all(&mut *connection).await?;
        if known.is_empty() {
            continue;
        }
        places.extend(marks.iter().enumerate().filter(|(_, mark)| known.contains(mark)).map(|(place, _)| chunk * IDS + place));
    }
    Ok(places)
}

/// Whether a row names the value.
fn names(row: &Row, victim: &Victim, id: Option<&str>) -> bool {
    let text = String::from_utf8_lossy(&row.5);
    id.is_some_and(|id| text.to_ascii_lowercase().contains(id)) || victim.is_in(&text)
}

/// Sixteen bytes that stand for a version of an object in a collection.
fn mark(secret: u128, collection: i64, id: &str, version: Option<i64>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&secret.to_le_bytes()).update(&collection.to_le_bytes()).update(id.to_ascii_lowercase().as_bytes());
    // Timestamps are eight bytes, so that none is taken for the word.
    match version {
        Some(version) => hasher.update(b"|").update(&version.to_le_bytes()),
        None => hasher.update(b"|none"),
    };
    let mut mark = [0; 16];
    mark.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    mark
}
