//! One change of records: a transaction that checks versions, writes rows, appends to the history and fills the outbox.
//!
//! Flow: [`super::Records::write`] → reads that decide → [`Writer::insert`] or [`Writer::update`] → [`Writer::commit`].
//! Invariant: what is read through the writer cannot change before its commit, for there is one writer at a time.

use super::erasable::marked;
use super::history::{self, Head};
use super::{Record, RecordsError, all, get, outbox, owned};
use model::{KeyId, OrgId, Timestamp};
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};

/// Who changes something, when, what and why.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The key that acts; `None` for the hub itself.
    pub actor_key: Option<KeyId>,
    /// Its organisation; `None` for the hub itself.
    pub actor_org: Option<OrgId>,
    /// When.
    pub at: Timestamp,
    /// What is done, one word.
    pub action: &'a str,
    /// Why, in the actor's words; may be empty.
    pub reason: &'a str,
}

/// A change that is being made.
pub struct Writer {
    tx: Transaction<'static, Sqlite>,
    head: Head,
}

impl Writer {
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Self, RecordsError> {
        // Takes SQLite's write lock at once: a transaction that starts by reading could find itself unable to write.
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        let head = history::head(&mut tx).await?;
        Ok(Self { tx, head })
    }

    /// One record, `None` where there is none of this kind with the id.
    pub async fn get<R: Record>(&mut self, id: &str) -> Result<Option<R>, RecordsError> {
        get(&mut self.tx, id).await
    }

    /// Every record of a kind, oldest first.
    pub async fn all<R: Record>(&mut self) -> Result<Vec<R>, RecordsError> {
        all(&mut self.tx).await
    }

    /// The records of a kind that belong to `owner`, oldest first.
    pub async fn owned<R: Record>(&mut self, owner: &str) -> Result<Vec<R>, RecordsError> {
        owned(&mut self.tx, owner).await
    }

    /// The next number of a kind that counts: one more than the largest given, 1 at first.
    pub async fn next_number<R: Record>(&mut self) -> Result<u32, RecordsError> {
        let largest: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM record WHERE kind = $1").bind(R::KIND).fetch_one(&mut *self.tx).await?;
        Ok(largest.and_then(|number| u32::try_from(number).ok()).map_or(1, |number| number.saturating_add(1)))
    }

    /// Whether a record of the kind has this number.
    pub async fn has_number<R: Record>(&mut self, number: u32) -> Result<bool, RecordsError> {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM record WHERE kind = $1 AND number = $2")
            .bind(R::KIND)
            .bind(i64::from(number))
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(found > 0)
    }

    /// Writes a new record as version 1, with its control entries.
    ///
    /// # Errors
    /// [`RecordsError::Taken`] where its unique name, number or id is another's.
    pub async fn insert<R: Record>(&mut self, record: &R, change: &Change<'_>, control: &[serde_json::Value]) -> Result<(), RecordsError> {
        let id = record.id();
        let (content, erasable) = written(record, &id)?;
        sqlx::query(
            "INSERT INTO record (id, kind, number, owner, state, unique_name, version, content, erasable, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&id)
        .bind(R::KIND)
        .bind(record.number().map(i64::from))
        .bind(record.owner())
        .bind(record.state())
        .bind(record.unique_name())
        .bind(1_i64)
        .bind(&content)
        .bind(erasable)
        .bind(change.at.micros())
        .bind(change.at.micros())
        .execute(&mut *self.tx)
        .await?;
        self.note::<R>(id, 1, content, change, control).await
    }

    /// Writes a record that the caller read at version `expected`, with its control entries; gives the new version.
    ///
    /// # Errors
    /// [`RecordsError::Stale`] where it has another version by now; [`RecordsError::Missing`] where there is none.
    pub async fn update<R: Record>(&mut self, record: &R, expected: u64, change: &Change<'_>, control: &[serde_json::Value]) -> Result<u64, RecordsError> {
        let id = record.id();
        let (content, erasable) = written(record, &id)?;
        let version = i64::try_from(expected).unwrap_or(i64::MAX - 1);
        let written = sqlx::query(
            "UPDATE record SET owner = $1, state = $2, unique_name = $3, version = $4, content = $5, erasable = $6, updated = $7
             WHERE kind = $8 AND id = $9 AND version = $10",
        )
        .bind(record.owner())
        .bind(record.state())
        .bind(record.unique_name())
        .bind(version + 1)
        .bind(&content)
        .bind(erasable)
        .bind(change.at.micros())
        .bind(R::KIND)
        .bind(&id)
        .bind(version)
        .execute(&mut *self.tx)
        .await?;
        if written.rows_affected() == 0 {
            return Err(self.why_not_written::<R>(id, expected).await?);
        }
        self.note::<R>(id, version + 1, content, change, control).await?;
        Ok(expected + 1)
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), RecordsError> {
        self.tx.commit().await?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.tx
    }

    async fn why_not_written<R: Record>(&mut self, id: String, given: u64) -> Result<RecordsError, RecordsError> {
        let current: Option<i64> =
            sqlx::query_scalar("SELECT version FROM record WHERE kind = $1 AND id = $2").bind(R::KIND).bind(&id).fetch_optional(&mut *self.tx).await?;
        Ok(match current {
            Some(current) => RecordsError::Stale { id, given, current: u64::try_from(current).unwrap_or_default() },
            None => RecordsError::Missing { id },
        })
    }

    /// Appends the history row of a write just made, and its control entries.
    async fn note<R: Record>(
        &mut self,
        id: String,
        version: i64,
        content: String,
        change: &Change<'_>,
        control: &[serde_json::Value],
    ) -> Result<(), RecordsError> {
        self.head = history::append(&mut self.tx, &self.head, R::KIND, id, version, content, change).await?;
        outbox::put(&mut self.tx, self.head.position, control, change.at).await
    }
}

/// What is written of a record: its content, and what may be erased, of which the content has the hash alone.
fn written<R: Record>(record: &R, id: &str) -> Result<(String, Option<String>), RecordsError> {
    let broken = |source| RecordsError::Content { id: id.to_owned(), source };
    let content = record.content().map_err(broken)?;
    let Some(erasable) = record.erasable() else { return Ok((content, None)) };
    let sealed = erasable.seal().map_err(broken)?;
    Ok((marked(&content, &sealed.hash), Some(sealed.kept)))
}
