//! What belongs to a subscription and is no deliberate change of it: how far it was matched, what waits, how sending goes.

use super::{Deliveries, count, read_seq, write_seq};
use crate::records::RecordsError;
use model::{Seq, Timestamp};

/// Wrong codes that are taken before another one must be sent.
pub const MAX_TRIES: i64 = 10;

/// A subscription as this file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Its number in this file.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// The first event that it can match.
    pub first: Seq,
    /// Findings of which the owner was told before this were looked at.
    pub noticed: Timestamp,
    /// Things that are in no message yet.
    pub waiting: u64,
    /// How many matched and are in no message, ever.
    pub left_out: u64,
    /// Messages that were taken.
    pub sent: u64,
    /// When the last one was.
    pub last_sent: Option<Timestamp>,
    /// Since when sending waits for somebody to resume it.
    pub parked: Option<Timestamp>,
    /// What the receiver said last, where it took nothing.
    pub error: Option<String>,
    /// When it said so.
    pub failed: Option<Timestamp>,
    /// Messages that are made and not taken.
    pub queued: u64,
    /// When the next of them is tried.
    pub next_attempt: Option<Timestamp>,
}

/// What decides whether a message is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// When the first of what waits is due.
    pub due: Option<Timestamp>,
    /// Since when a withdrawal is to be told.
    pub withdrawn: Option<Timestamp>,
    /// Whether a message of events or findings is made and not taken.
    pub queued: bool,
    /// Whether sending waits for somebody to resume it.
    pub parked: bool,
}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeAnswer {
    /// It is the one that was sent.
    Right,
    /// It is not.
    Wrong,
    /// None is open: none was sent, its time is over, or too many were wrong.
    None,
}

type Row = (i64, String, i64, i64, i64, i64, i64, Option<i64>, Option<i64>, Option<String>, Option<i64>, i64, Option<i64>);

/// Every read of a subscriber, in the order of [`Row`].
macro_rules! subscriber {
    ($rest:literal) => {
        concat!(
            "SELECT number, id, first, noticed, waiting, left_out_ever, sent, last_sent, parked, error, failed,
                (SELECT COUNT(*) FROM message WHERE message.subscriber = subscriber.number AND state <> 1),
                (SELECT MIN(next_attempt) FROM message WHERE message.subscriber = subscriber.number AND state = 0)
             FROM subscriber ",
            $rest
        )
    };
}

impl Deliveries {
    /// Gives a subscription its number; one that has a number keeps it with all that belongs to it.
    pub async fn add_subscriber(&self, id: &str, first: Seq, now: Timestamp) -> Result<i64, RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT OR IGNORE INTO subscriber (id, first, noticed) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(write_seq(first))
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
        let number: i64 = sqlx::query_scalar("SELECT number FROM subscriber WHERE id = $1").bind(id).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(number)
    }

    /// Takes a subscription out with all that waits and all that is known of what it was sent; what is in an inbox stays there.
    pub async fn remove_subscriber(&self, id: &str) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        for delete in [
            "DELETE FROM item WHERE subscriber = (SELECT number FROM subscriber WHERE id = $1)",
            "DELETE FROM message WHERE subscriber = (SELECT number FROM subscriber WHERE id = $1)",
            "DELETE FROM subscriber WHERE id = $1",
        ] {
            sqlx::query(delete).bind(id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Every subscription.
    pub async fn subscribers(&self) -> Result<Vec<Subscriber>, RecordsError> {
        let rows: Vec<Row> = sqlx::query_as(subscriber!("ORDER BY number")).fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// One subscription.
    pub async fn subscriber(&self, id: &str) -> Result<Option<Subscriber>, RecordsError> {
        let row: Option<Row> = sqlx::query_as(subscriber!("WHERE id = $1")).bind(id).fetch_optional(&self.file.reads).await?;
        Ok(row.map(read))
    }

    /// What decides whether a message of a subscriber is to be made.
    pub async fn state(&self, subscriber: i64) -> Result<State, RecordsError> {
        let row: Option<(Option<i64>, Option<i64>, i64, Option<i64>)> = sqlx::query_as(
            "SELECT
                (SELECT MIN(due) FROM item WHERE item.subscriber = $1 AND message IS NULL),
                (SELECT MIN(withdrawn) FROM item WHERE item.subscriber = $1 AND withdrawn IS NOT NULL AND notice IS NULL),
                EXISTS (SELECT 1 FROM message WHERE message.subscriber = $1 AND state <> 1 AND lane = 1),
                parked
             FROM subscriber WHERE number = $1",
        )
        .bind(subscriber)
        .fetch_optional(&self.file.reads)
        .await?;
        Ok(row.map_or_else(State::default, |(due, withdrawn, queued, parked)| State {
            due: due.map(Timestamp::from_micros),
            withdrawn: withdrawn.map(Timestamp::from_micros),
            queued: queued != 0,
            parked: parked.is_some(),
        }))
    }

    /// Holds back what is made and not sent, until [`Deliveries::release`].
    pub async fn hold(&self, subscriber: i64) -> Result<(), RecordsError> {
        sqlx::query("UPDATE message SET state = 2 WHERE subscriber = $1 AND state = 0 AND lane = 1").bind(subscriber).execute(&self.file.writes).await?;
        Ok(())
    }

    /// Lets what was held back or parked be sent, from the first attempt on.
    pub async fn release(&self, subscriber: i64, now: Timestamp) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE subscriber SET parked = NULL, error = NULL, failed = NULL WHERE number = $1").bind(subscriber).execute(&mut *tx).await?;
        sqlx::query("UPDATE message SET state = 0, attempts = 0, next_attempt = $2 WHERE subscriber = $1 AND state = 2")
            .bind(subscriber)
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes the hash of a code that is sent to a subscriber; the one before holds no more.
    pub async fn set_code(&self, subscriber: i64, hash: &str, until: Timestamp) -> Result<(), RecordsError> {
        sqlx::query("UPDATE subscriber SET code = $2, code_until = $3, code_tries = 0 WHERE number = $1")
            .bind(subscriber)
            .bind(hash)
            .bind(until.micros())
            .execute(&self.file.writes)
            .await?;
        Ok(())
    }

    /// Tries the hash of a code. A right one holds no more after it.
    pub async fn try_code(&self, subscriber: i64, hash: &str, now: Timestamp) -> Result<CodeAnswer, RecordsError> {
        let mut tx = self.begin().await?;
        let row: Option<(Option<String>, Option<i64>, i64)> =
            sqlx::query_as("SELECT code, code_until, code_tries FROM subscriber WHERE number = $1").bind(subscriber).fetch_optional(&mut *tx).await?;
        let Some((Some(code), Some(until), tries)) = row else { return Ok(CodeAnswer::None) };
        if now.micros() >= until || tries >= MAX_TRIES {
            return Ok(CodeAnswer::None);
        }
        // Both are hashes: where they begin to differ tells nothing of the code.
        let right = code == hash;
        let change = if right {
            "UPDATE subscriber SET code = NULL, code_until = NULL WHERE number = $1"
        } else {
            "UPDATE subscriber SET code_tries = code_tries + 1 WHERE number = $1"
        };
        sqlx::query(change).bind(subscriber).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(if right { CodeAnswer::Right } else { CodeAnswer::Wrong })
    }
}

fn read(row: Row) -> Subscriber {
    let (number, id, first, noticed, waiting, left_out, sent, last_sent, parked, error, failed, queued, next_attempt) = row;
    Subscriber {
        number,
        id,
        first: read_seq(first),
        noticed: Timestamp::from_micros(noticed),
        waiting: count(waiting),
        left_out: count(left_out),
        sent: count(sent),
        last_sent: last_sent.map(Timestamp::from_micros),
        parked: parked.map(Timestamp::from_micros),
        error,
        failed: failed.map(Timestamp::from_micros),
        queued: count(queued),
        next_attempt: next_attempt.map(Timestamp::from_micros),
    }
}
