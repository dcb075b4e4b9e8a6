//! How long things are kept, and how a value is taken out of them.
//!
//! Invariant: what was sent keeps no content here but in an inbox. An erasure finds a value in whatever spelling a message or an error has it;
//! what was not taken yet waits again without it.

use super::{Deliveries, messages};
use crate::ledger::Victim;
use crate::records::RecordsError;
use model::Timestamp;
use std::time::Duration;

/// How long it is known what was sent to whom, so that a withdrawal reaches it.
pub const SENT_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long messages stay in an inbox.
pub const INBOX_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Items of one subscriber of which it is known that they were sent, at the most.
pub const MAX_REMEMBERED: u64 = 200_000;
/// Messages looked at in one go.
const PAGE: i64 = 100;
/// How often emptying the write-ahead log is tried while a reader holds it, 50 ms apart.
const CHECKPOINT_TRIES: u32 = 40;

/// What an erasure met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Messages of inboxes that were deleted.
    pub inbox: u64,
    /// Messages on their way that were taken apart.
    pub messages: u64,
}

impl Deliveries {
    /// Forgets what is past its time, and what is more than is kept.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        for (delete, before) in [
            ("DELETE FROM inbox WHERE made < $1", now.minus(INBOX_KEPT)),
            // What is still to be told is kept until it is.
            ("DELETE FROM item WHERE at < $1 AND (withdrawn IS NULL OR notice IS NOT NULL)", now.minus(SENT_KEPT)),
            ("DELETE FROM message WHERE sent < $1", now.minus(SENT_KEPT)),
        ] {
            sqlx::query(delete).bind(before.micros()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        let numbers: Vec<i64> = sqlx::query_scalar("SELECT number FROM subscriber").fetch_all(&self.file.reads).await?;
        for number in numbers {
            self.forget_surplus(number).await?;
        }
        Ok(())
    }

    /// Forgets the oldest messages of a subscriber with what was in them, where more is known than [`MAX_REMEMBERED`].
    async fn forget_surplus(&self, subscriber: i64) -> Result<(), RecordsError> {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT message FROM item WHERE subscriber = $1 AND message IS NOT NULL ORDER BY message DESC LIMIT 1 OFFSET $2")
                .bind(subscriber)
                .bind(i64::try_from(MAX_REMEMBERED).unwrap_or(i64::MAX))
                .fetch_optional(&self.file.reads)
                .await?;
        let Some(newest) = newest else { return Ok(()) };
        let mut tx = self.begin().await?;
        for delete in [
            "DELETE FROM item WHERE subscriber = $1 AND message IN (SELECT number FROM message WHERE subscriber = $1 AND number <= $2 AND state = 1)",
            "DELETE FROM message WHERE subscriber = $1 AND number <= $2 AND state = 1",
        ] {
            sqlx::query(delete).bind(subscriber).bind(newest).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes a value out of everything: inboxes lose the messages that mention it, messages on their way are taken apart.
    pub async fn erase(&self, victim: &Victim) -> Result<Erased, RecordsError> {
        let mut erased = Erased::default();
        let mut last = 0;
        loop {
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT number, content FROM inbox WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(last)
                .bind(PAGE)
                .fetch_all(&self.file.reads)
                .await?;
            let Some(newest) = rows.last() else { break };
            last = newest.0;
            for (number, content) in rows {
                if victim.is_in(&String::from_utf8_lossy(&content)) {
                    sqlx::query("DELETE FROM inbox WHERE number = $1").bind(number).execute(&self.file.writes).await?;
                    erased.inbox += 1;
                }
            }
        }
        last = 0;
        loop {
            let rows: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT number, content FROM message WHERE number > $1 AND content IS NOT NULL ORDER BY number LIMIT $2")
                    .bind(last)
                    .bind(PAGE)
                    .fetch_all(&self.file.reads)
                    .await?;
            let Some(newest) = rows.last() else { break };
            last = newest.0;
            for (number, content) in rows {
                if victim.is_in(&String::from_utf8_lossy(&content)) {
                    let mut tx = self.begin().await?;
                    messages::unmake(&mut tx, number).await?;
                    tx.commit().await?;
                    erased.messages += 1;
                }
            }
        }
        self.erase_errors(victim).await?;
        self.checkpoint().await?;
        Ok(erased)
    }

    /// What a receiver said may name the address it was sent to.
    async fn erase_errors(&self, victim: &Victim) -> Result<(), RecordsError> {
        let errors: Vec<(i64, String)> = sqlx::query_as("SELECT number, error FROM subscriber WHERE error IS NOT NULL").fetch_all(&self.file.reads).await?;
        for (number, _) in errors.iter().filter(|(_, error)| victim.is_in(error)) {
            sqlx::query("UPDATE subscriber SET error = '[erased]' WHERE number = $1").bind(*number).execute(&self.file.writes).await?;
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
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(RecordsError::Busy)
    }
}
