//! One SQLite file: how it is opened, what its tables begin with, and how it is copied while it is in use.
//!
//! Flow: `records`, `objects` and `misp` open a [`Database`] with their own tables and keep its two pools.
//! Invariant: one connection writes, with a full sync, and what is deleted is overwritten; a file of a newer program is refused, never guessed at.
//! Not here: what is in the tables (`records`, `objects`, `misp`).

use crate::records::RecordsError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::time::Duration;

/// How long a statement waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for the one writing connection.
const WRITER_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections for reads.
const READERS: u32 = 4;
/// What the writing connection keeps of the file in memory, KiB (SQLite reads a negative number so). With the 2 MiB that are usual an index of
/// random ids is read from the file and spilled to it again within one request.
const WRITER_CACHE: &str = "-65536";
/// Pages in the write-ahead log at which it is carried over into the file: pages of an index that many requests change are carried once.
const CHECKPOINT_PAGES: &str = "8192";
/// How often emptying the write-ahead log is tried while a reader holds it, 50 ms apart.
const CHECKPOINT_TRIES: u32 = 40;

/// The tables of a file.
pub(crate) struct Schema {
    /// The version this program writes, and the newest it opens.
    pub(crate) version: i64,
    /// What makes them; `schema_version` is among them.
    pub(crate) tables: &'static [&'static str],
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Database {
    options: SqliteConnectOptions,
    /// The one writing connection.
    pub(crate) writes: SqlitePool,
    /// Connections that cannot write.
    pub(crate) reads: SqlitePool,
}

impl Database {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub(crate) async fn open(path: &Path, schema: &Schema) -> Result<Self, RecordsError> {
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON");
        // One connection writes, so that no change waits on or deadlocks with another.
        // A full disk ends SQLite's transaction behind the pool's back; such a connection still counts one and is replaced.
        let writes = SqlitePoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(WRITER_TIMEOUT)
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone().pragma("cache_size", WRITER_CACHE).pragma("wal_autocheckpoint", CHECKPOINT_PAGES))
            .await?;
        prepare(&writes, schema).await?;
        let reads = SqlitePoolOptions::new().max_connections(READERS).max_lifetime(None).connect_with(options.clone().pragma("query_only", "ON")).await?;
        Ok(Self { options, writes, reads })
    }

    /// Writes a whole and consistent copy to `path`, which must not exist, while reads and writes go on.
    ///
    /// # Errors
    /// [`RecordsError::Io`] where the file exists or its name is not UTF-8.
    pub(crate) async fn backup_to(&self, path: &Path) -> Result<(), RecordsError> {
        let name = path.to_str().ok_or_else(|| std::io::Error::other("name of the backup is not UTF-8"))?;
        if path.exists() {
            return Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into());
        }
        create_private(path)?;
        // A connection of its own: a copy takes long, and the reads' connections may not write any file.
        let mut connection = self.options.connect().await?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
        connection.close().await?;
        std::fs::File::open(path)?.sync_all()?;
        Ok(())
    }

    /// Empties the write-ahead log into the file, so that what was deleted is in neither.
    ///
    /// # Errors
    /// [`RecordsError::Busy`] where readers hold it for too long; the caller may retry.
    pub(crate) async fn checkpoint(&self) -> Result<(), RecordsError> {
        for _ in 0..CHECKPOINT_TRIES {
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writes).await?;
            if busy == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(RecordsError::Busy)
    }

    /// What the engine finds broken in the file, a few findings at the most.
    ///
    /// # Errors
    /// What the engine says where it cannot look at all.
    pub(crate) async fn check(&self) -> Result<Vec<String>, RecordsError> {
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(10)").fetch_all(&self.reads).await?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Closes every connection after what runs on it; later calls fail.
    pub(crate) async fn close(&self) {
        self.reads.close().await;
        self.writes.close().await;
    }
}

/// Makes the tables in an empty file; refuses a file of a newer program.
async fn prepare(pool: &SqlitePool, schema: &Schema) -> Result<(), RecordsError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'").fetch_one(&mut *tx).await?;
    if known == 0 {
        for &statement in schema.tables {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(schema.version).execute(&mut *tx).await?;
        tx.commit().await?;
        return Ok(());
    }
    let found: i64 = sqlx::query_scalar("SELECT version FROM schema_version").fetch_one(&mut *tx).await?;
    tx.rollback().await?;
    if found == schema.version { Ok(()) } else { Err(RecordsError::UnknownSchema { found, known: schema.version }) }
}

/// Makes the file for its owner alone, where it is missing, and makes its name durable: such files hold key hashes, people's decisions and
/// what members contribute.
fn create_private(path: &Path) -> Result<(), RecordsError> {
    if path.exists() {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
