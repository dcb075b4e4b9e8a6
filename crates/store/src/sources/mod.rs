//! What the hub keeps of its sources: their state, their last runs, and what a snapshot listed, in an SQL file of its own.
//!
//! Flow: `hub::sources` notes the beginning of a run ([`Sources::save`]) and writes its end in one transaction ([`Sources::finish`]).
//! Invariant: state, run and entries of one run are there together or not at all. An entry is a hash and a place in the ledger, never a value.
//! Not here: what a state or a run says (`hub::sources`), the events themselves (`ledger`).

mod brought;
mod schema;
#[cfg(test)]
mod tests;

pub use brought::Brought;
pub use schema::SCHEMA_VERSION;

use crate::ledger::Victim;
use crate::records::RecordsError;
use crate::sqlite::Database;
use model::{Seq, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Runs kept of a source.
pub const KEPT_RUNS: u32 = 200;
/// Rows of one statement.
const ROWS: usize = 200;
/// Runs looked at in one go by an erasure.
const ERASED_AT_ONCE: i64 = 100;
/// How often emptying the write-ahead log is tried while a reader holds it, 50 ms apart.
const CHECKPOINT_TRIES: u32 = 40;

/// An entry that a snapshot lists, reported at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Hash of what it is.
    pub hash: u128,
    /// Where it was reported.
    pub seq: Seq,
    /// When it is to be reported again while it is listed.
    pub due: Timestamp,
}

/// The end of a run.
#[derive(Debug, Default)]
pub struct Finished<'a> {
    /// The source's state from now on, JSON.
    pub state: &'a str,
    /// What is told of the run, JSON; `None` for a run that is not told of.
    pub run: Option<&'a str>,
    /// When it began.
    pub started: Timestamp,
    /// Entries that were reported.
    pub added: &'a [Entry],
    /// Entries that are listed no more.
    pub removed: &'a [u128],
}

/// The file.
#[derive(Debug)]
pub struct Sources {
    file: Database,
}

impl Sources {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub async fn open(path: &Path) -> Result<Self, RecordsError> {
        Ok(Self { file: Database::open(path, &schema::SCHEMA).await? })
    }

    /// The state of every source that has one, by name.
    pub async fn states(&self) -> Result<BTreeMap<String, String>, RecordsError> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, state FROM source").fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().collect())
    }

    /// Writes a source's state.
    pub async fn save(&self, name: &str, state: &str) -> Result<(), RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        write_state(&mut tx, name, state).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes the end of a run. Durable when it returns.
    pub async fn finish(&self, name: &str, end: &Finished<'_>) -> Result<(), RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        write_state(&mut tx, name, end.state).await?;
        if let Some(run) = end.run {
            sqlx::query("INSERT INTO run (source, started, content) VALUES ($1, $2, $3)")
                .bind(name)
                .bind(end.started.micros())
                .bind(run)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM run WHERE source = $1 AND number NOT IN (SELECT number FROM run WHERE source = $1 ORDER BY number DESC LIMIT $2)")
                .bind(name)
                .bind(i64::from(KEPT_RUNS))
                .execute(&mut *tx)
                .await?;
        }
        for entries in end.added.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO entry (source, hash, seq, due) ");
            sql.push_values(entries, |mut row, entry| {
                row.push_bind(name.to_owned()).push_bind(entry.hash.to_be_bytes().to_vec()).push_bind(entry.seq.0 as i64).push_bind(entry.due.micros());
            });
            sql.build().execute(&mut *tx).await?;
        }
        for hashes in end.removed.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM entry WHERE source = ");
            sql.push_bind(name.to_owned()).push(" AND hash IN (");
            let mut list = sql.separated(", ");
            for hash in hashes {
                list.push_bind(hash.to_be_bytes().to_vec());
            }
            sql.push(")");
            sql.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The last runs of a source as they were written, newest first.
    pub async fn runs(&self, name: &str, limit: u32) -> Result<Vec<String>, RecordsError> {
        let rows: Vec<(String,)> = sqlx::query_as("SELECT content FROM run WHERE source = $1 ORDER BY number DESC LIMIT $2")
            .bind(name)
            .bind(i64::from(limit))
            .fetch_all(&self.file.reads)
            .await?;
        Ok(rows.into_iter().map(|(content,)| content).collect())
    }

    /// What a source lists, in the order of hashes and, of one entry, of places.
    pub async fn entries(&self, name: &str) -> Result<Vec<Entry>, RecordsError> {
        let rows: Vec<(Vec<u8>, i64, i64)> =
            sqlx::query_as("SELECT hash, seq, due FROM entry WHERE source = $1 ORDER BY hash, seq").bind(name).fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().filter_map(|(hash, seq, due)| read_entry(&hash, seq, due)).collect())
    }

    /// How many entries each source lists.
    pub async fn listed(&self) -> Result<BTreeMap<String, u64>, RecordsError> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT source, COUNT(DISTINCT hash) FROM entry GROUP BY source").fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().map(|(name, count)| (name, count.max(0) as u64)).collect())
    }

    /// Forgets entries at places that the ledger does not have, as after a restore of an older one; tells how many.
    pub async fn forget_from(&self, end: Seq) -> Result<u64, RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query("DELETE FROM entry WHERE seq >= $1").bind(end.0 as i64).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM brought WHERE seq >= $1").bind(end.0 as i64).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Forgets the runs whose account mentions a value, as the name of a file or the reason of a refusal may; tells how many.
    ///
    /// # Errors
    /// [`RecordsError::Busy`] where a reader keeps the write-ahead log from being emptied.
    pub async fn erase(&self, victim: &Victim) -> Result<u64, RecordsError> {
        let mut erased = 0;
        let mut last = 0_i64;
        loop {
            let rows: Vec<(i64, String)> = sqlx::query_as("SELECT number, content FROM run WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(last)
                .bind(ERASED_AT_ONCE)
                .fetch_all(&self.file.reads)
                .await?;
            let Some(newest) = rows.last() else { break };
            last = newest.0;
            for (number, _) in rows.iter().filter(|(_, content)| victim.is_in(content)) {
                sqlx::query("DELETE FROM run WHERE number = $1").bind(*number).execute(&self.file.writes).await?;
                erased += 1;
            }
        }
        for _ in 0..CHECKPOINT_TRIES {
            // Emptied, so that no overwritten byte stays behind.
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.file.writes).await?;
            if busy == 0 {
                return Ok(erased);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(RecordsError::Busy)
    }

    /// Writes a whole and consistent copy to `path`, which must not exist, while reads and writes go on.
    ///
    /// # Errors
    /// [`RecordsError::Io`] where the file exists or its name is not UTF-8.
    pub async fn backup_to(&self, path: &Path) -> Result<(), RecordsError> {
        self.file.backup_to(path).await
    }

    /// Closes every connection after what runs on it; later calls fail.
    pub async fn close(&self) {
        self.file.close().await;
    }
}

async fn write_state(connection: &mut SqliteConnection, name: &str, state: &str) -> Result<(), RecordsError> {
    sqlx::query("INSERT INTO source (name, state) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET state = $2")
        .bind(name)
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}

/// A row as an entry; none where it cannot be one.
fn read_entry(hash: &[u8], seq: i64, due: i64) -> Option<Entry> {
    Some(Entry { hash: u128::from_be_bytes(hash.try_into().ok()?), seq: Seq(u64::try_from(seq).ok()?), due: Timestamp::from_micros(due) })
}
