//! Deliberate records: what people decide, kept in SQL with a version and a history for every change.
//!
//! Flow: `hub` opens a [`Writer`], reads what it judges, inserts or updates whole records, commits; reads go past it, concurrently.
//! Invariant: the only ways to write a record are [`Writer::insert`] and [`Writer::update`], and both check the version, write the
//! row, append to the history's chain of hashes and put control entries into the outbox in one transaction. [`Writer::redact`] alone
//! takes words out of what they wrote, for an erasure.
//! Invariant: the SQL is what SQLite and PostgreSQL share; what only SQLite knows is in `sqlite.rs`, in this file and in `schema.rs`.
//! Not here: who may change what (`hub::members`), the ledger that the outbox is carried into.

mod abuse;
mod addressed;
mod claims;
mod contacts;
mod erasable;
mod erasures;
mod error;
mod findings;
mod groups;
mod history;
mod keys;
mod networks;
mod organisations;
mod outbox;
mod schema;
mod subscriptions;
#[cfg(test)]
mod tests;
mod writer;

pub use abuse::AbuseContact;
pub use addressed::Addressed;
pub use claims::{Claim, ClaimState};
pub use contacts::Contact;
pub use erasable::Erasable;
pub use erasures::{Erasure, ErasureState, Signatory};
pub use error::RecordsError;
pub use findings::FindingRecord;
pub use groups::Group;
pub use history::{BreakReason, HistoryBreak, HistoryRow};
pub use keys::Key;
pub use networks::{CheckResult, DecidedBy, Decision, Network, NetworkKind, NetworkState, Proof, ProofCheck, ProofMethod};
pub use organisations::MAX_NAME;
pub use outbox::{OUTBOX_PER_CHANGE, OutboxRow};
pub use schema::SCHEMA_VERSION;
pub use subscriptions::{About, Channel, Subscription, SubscriptionState};
pub use writer::{Change, Writer};

use crate::sqlite::Database;
use model::{KeyId, Organisation, Timestamp};
use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::collections::HashMap;
use std::path::Path;

/// The columns every read of a record takes, in the order of [`RecordRow`].
macro_rules! columns {
    () => {
        "SELECT id, number, version, content, erasable, created, updated FROM record "
    };
}

/// One row as read by [`columns`].
type RecordRow = (String, Option<i64>, i64, String, Option<String>, i64, i64);

/// What a row holds beside the kind's own content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// JSON of the content.
    pub content: String,
    /// Number within the kind, for kinds that count.
    pub number: Option<u32>,
    /// Version, starting at 1.
    pub version: u64,
    /// What may be erased and is in no history.
    pub erasable: Option<Erasable>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A kind of deliberate record.
pub trait Record: Sized + Send + Sync + 'static {
    /// Name of the kind, as in the `kind` column.
    const KIND: &'static str;

    /// Its prefixed id.
    fn id(&self) -> String;

    /// Content as JSON: all that the history must keep.
    fn content(&self) -> Result<String, serde_json::Error>;

    /// The record that a row holds.
    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error>;

    /// Number within the kind, for kinds that count.
    fn number(&self) -> Option<u32> {
        None
    }

    /// Id of the record it belongs to.
    fn owner(&self) -> Option<String> {
        None
    }

    /// Its state, for lists by state.
    fn state(&self) -> &'static str {
        "active"
    }

    /// A text that no other record of the kind may have.
    fn unique_name(&self) -> Option<String> {
        None
    }

    /// What may have to be erased one day and so may not enter the history but as a hash.
    fn erasable(&self) -> Option<Erasable> {
        None
    }
}

/// All that the directory of organisations and keys is made of, as of one moment.
#[derive(Debug)]
pub struct DirectoryRows {
    /// Position of the last change in it; a higher one is newer.
    pub position: i64,
    /// Every organisation.
    pub organisations: Vec<Organisation>,
    /// Every key, revoked ones too.
    pub keys: Vec<Key>,
    /// Every registration that is neither withdrawn nor rejected.
    pub networks: Vec<Network>,
    /// Every group.
    pub groups: Vec<Group>,
    /// When each key was used last, as far as written.
    pub last_used: HashMap<KeyId, Timestamp>,
}

/// The records store.
#[derive(Debug)]
pub struct Records {
    file: Database,
}

impl Records {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub async fn open(path: &Path) -> Result<Self, RecordsError> {
        Ok(Self { file: Database::open(path, &schema::SCHEMA).await? })
    }

    /// Starts a change; waits for the one before. Dropping the writer undoes everything.
    pub async fn write(&self) -> Result<Writer, RecordsError> {
        Writer::begin(&self.file.writes).await
    }

    /// One record, `None` where there is none of this kind with the id.
    pub async fn get<R: Record>(&self, id: &str) -> Result<Option<R>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        get(&mut connection, id).await
    }

    /// Every record of a kind, oldest first.
    pub async fn all<R: Record>(&self) -> Result<Vec<R>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        all(&mut connection).await
    }

    /// The records of a kind that belong to `owner`, oldest first.
    pub async fn owned<R: Record>(&self, owner: &str) -> Result<Vec<R>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        owned(&mut connection, owner).await
    }

    /// Up to `limit` records of a kind, newest first, from the one before the id `before`.
    pub async fn page<R: Record>(&self, before: Option<&str>, limit: u32) -> Result<Vec<R>, RecordsError> {
        // Ids are time-ordered UUIDs behind a fixed prefix; '~' sorts after all of them.
        let rows: Vec<RecordRow> = sqlx::query_as(concat!(columns!(), "WHERE kind = $1 AND id < $2 ORDER BY id DESC LIMIT $3"))
            .bind(R::KIND)
            .bind(before.unwrap_or("~"))
            .bind(i64::from(limit))
            .fetch_all(&self.file.reads)
            .await?;
        rows.into_iter().map(read_row).collect()
    }

    /// What the directory of organisations and keys is made of, read as of one moment.
    pub async fn directory_rows(&self) -> Result<DirectoryRows, RecordsError> {
        let mut tx: Transaction<'static, Sqlite> = self.file.reads.begin().await?;
        let rows = DirectoryRows {
            position: history::head(&mut tx).await?.position,
            organisations: all(&mut tx).await?,
            keys: all(&mut tx).await?,
            networks: all::<Network>(&mut tx).await?.into_iter().filter(|network| network.state.is_open()).collect(),
            groups: all(&mut tx).await?,
            last_used: keys::last_used(&mut tx).await?,
        };
        tx.rollback().await?;
        Ok(rows)
    }

    /// Writes a whole and consistent copy to `path`, which must not exist, while reads and writes go on.
    ///
    /// # Errors
    /// [`RecordsError::Io`] where the file exists or its name is not UTF-8.
    pub async fn backup_to(&self, path: &Path) -> Result<(), RecordsError> {
        self.file.backup_to(path).await
    }

    /// Moves the write-ahead log into the main file and empties it, so that no overwritten byte stays behind.
    ///
    /// # Errors
    /// [`RecordsError::Busy`] where readers hold it for too long; the caller may retry.
    pub async fn checkpoint(&self) -> Result<(), RecordsError> {
        self.file.checkpoint().await
    }

    /// Closes every connection after what runs on it; later calls fail.
    pub async fn close(&self) {
        self.file.close().await;
    }
}

async fn get<R: Record>(connection: &mut SqliteConnection, id: &str) -> Result<Option<R>, RecordsError> {
    let row: Option<RecordRow> = sqlx::query_as(concat!(columns!(), "WHERE kind = $1 AND id = $2")).bind(R::KIND).bind(id).fetch_optional(connection).await?;
    row.map(read_row).transpose()
}

async fn all<R: Record>(connection: &mut SqliteConnection) -> Result<Vec<R>, RecordsError> {
    let rows: Vec<RecordRow> = sqlx::query_as(concat!(columns!(), "WHERE kind = $1 ORDER BY id")).bind(R::KIND).fetch_all(connection).await?;
    rows.into_iter().map(read_row).collect()
}

async fn owned<R: Record>(connection: &mut SqliteConnection, owner: &str) -> Result<Vec<R>, RecordsError> {
    let rows: Vec<RecordRow> =
        sqlx::query_as(concat!(columns!(), "WHERE kind = $1 AND owner = $2 ORDER BY id")).bind(R::KIND).bind(owner).fetch_all(connection).await?;
    rows.into_iter().map(read_row).collect()
}

fn read_row<R: Record>((id, number, version, content, erasable, created, updated): RecordRow) -> Result<R, RecordsError> {
    let broken = |source| RecordsError::Content { id: id.clone(), source };
    let erasable = erasable.as_deref().map(Erasable::read).transpose().map_err(broken)?;
    let parts = Parts {
        content,
        number: number.and_then(|number| u32::try_from(number).ok()),
        version: u64::try_from(version).unwrap_or_default(),
        erasable,
        created: Timestamp::from_micros(created),
        updated: Timestamp::from_micros(updated),
    };
    R::from_parts(parts).map_err(broken)
}
