//! What was matched for whom, what is to be sent, and what was: an SQL file of its own beside the records.
//!
//! Flow: `hub::delivery` notes what matched ([`Deliveries::note`]) → takes what is due ([`Deliveries::waiting`]) and makes a message of it
//! ([`Deliveries::make`]) → says what became of each attempt ([`Deliveries::sent`], [`Deliveries::failed`], [`Deliveries::park`]).
//! Invariant: every step is one transaction with one sync: what matched is there with the place up to which was looked, and a message with
//! everything that is in it, or neither is. A thing is in one message at the most.
//! Not here: what matches, what a message looks like, when to try again (`hub::delivery`), subscriptions themselves (`crate::records`).

mod inbox;
mod items;
mod keeping;
mod messages;
mod schema;
mod subscribers;
#[cfg(test)]
mod tests;

pub use inbox::{InboxRow, MAX_INBOX, MAX_INBOX_BYTES};
pub use items::{Item, ItemKind, MAX_ROWS, Match, ToTell};
pub use keeping::{Erased, INBOX_KEPT, MAX_REMEMBERED, SENT_KEPT};
pub use messages::{NewInbox, NewMessage, Outcome, Queued};
pub use schema::SCHEMA_VERSION;
pub use subscribers::{CodeAnswer, MAX_TRIES, State, Subscriber};

use crate::records::RecordsError;
use crate::sqlite::Database;
use model::Seq;
use sqlx::{Sqlite, Transaction};
use std::path::Path;

/// The deliveries.
#[derive(Debug)]
pub struct Deliveries {
    file: Database,
}

impl Deliveries {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub async fn open(path: &Path) -> Result<Self, RecordsError> {
        Ok(Self { file: Database::open(path, &schema::SCHEMA).await? })
    }

    /// The place up to which, exclusive, events were looked through; `None` before the first look.
    pub async fn position(&self) -> Result<Option<Seq>, RecordsError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM position WHERE name = 'events'").fetch_optional(&self.file.reads).await?;
        Ok(seq.map(read_seq))
    }

    /// A number that somebody keeps under a name of its own.
    pub async fn mark(&self, name: &str) -> Result<Option<i64>, RecordsError> {
        Ok(sqlx::query_scalar("SELECT seq FROM position WHERE name = $1").bind(name).fetch_optional(&self.file.reads).await?)
    }

    /// Keeps numbers under their names, all or none. `events` is the place up to which events were looked through.
    pub async fn set_marks(&self, marks: &[(&str, i64)]) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        for (name, number) in marks {
            sqlx::query("INSERT INTO position (name, seq) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq")
                .bind(*name)
                .bind(*number)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets what the ledger does not have, as after a restore: events from `end` on would be taken for others.
    pub async fn cut(&self, end: Seq) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE position SET seq = $1 WHERE name = 'events' AND seq > $1").bind(write_seq(end)).execute(&mut *tx).await?;
        sqlx::query("UPDATE subscriber SET first = $1 WHERE first > $1").bind(write_seq(end)).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM item WHERE kind = $1 AND key >= $2").bind(ItemKind::Event.number()).bind(items::key_of(end)).execute(&mut *tx).await?;
        sqlx::query("UPDATE subscriber SET waiting = (SELECT COUNT(*) FROM item WHERE item.subscriber = subscriber.number AND item.message IS NULL)")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
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

    /// Starts a change; waits for the one before.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, RecordsError> {
        Ok(self.file.writes.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn write_seq(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn read_seq(seq: i64) -> Seq {
    Seq(u64::try_from(seq).unwrap_or_default())
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
