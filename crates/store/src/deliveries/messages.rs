//! Messages on their way: made, tried, taken, parked, taken apart again.
//!
//! Invariant: a message is stored with all that is in it before it is tried, and its content does not change; `tried` is set before the first
//! attempt. One that is taken apart gives back what was in it, to be put into another one as it is then.

use super::items::ROWS;
use super::{Deliveries, Item, ItemKind, count};
use crate::records::RecordsError;
use model::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// A message for an inbox.
#[derive(Debug, Clone, Copy)]
pub struct NewInbox<'a> {
    /// Whose inbox.
    pub organisation: &'a str,
}

/// A message to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: &'a str,
    /// The number of its lane; the lowest is sent first.
    pub lane: i64,
    /// A hash of the facts that policy decided on.
    pub reader: &'a str,
    /// When it is made.
    pub made: Timestamp,
    /// The inbox where it is kept; `None`: it is to be sent.
    pub inbox: Option<NewInbox<'a>>,
    /// The message.
    pub content: &'a [u8],
}

/// What becomes of items with the making of a message.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What is in the message.
    pub taken: Vec<Item>,
    /// What is in it as withdrawn.
    pub told: Vec<Item>,
    /// What no longer is to be sent.
    pub dropped: Vec<Item>,
    /// How many of those that had been left out before it tells of.
    pub left_out: u64,
    /// Leaves out what is due by then and not taken, of which it tells so many.
    pub leave_out: Option<(Timestamp, u64)>,
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its number in this file.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// For whom.
    pub subscriber: i64,
    /// The hash of the facts that policy decided on when it was made.
    pub reader: String,
    /// Attempts made since it was made or released.
    pub attempts: u32,
}

impl Deliveries {
    /// How many of a subscriber's things were left out and are told by no message yet.
    pub async fn left_out(&self, subscriber: i64) -> Result<u64, RecordsError> {
        let number: Option<i64> =
            sqlx::query_scalar("SELECT left_out FROM subscriber WHERE number = $1").bind(subscriber).fetch_optional(&self.file.reads).await?;
        Ok(number.map_or(0, count))
    }

    /// How many things of a subscriber wait and are due by `until`.
    pub async fn due_count(&self, subscriber: i64, until: Timestamp) -> Result<u64, RecordsError> {
        let number: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM item WHERE subscriber = $1 AND message IS NULL AND due <= $2")
            .bind(subscriber)
            .bind(until.micros())
            .fetch_one(&self.file.reads)
            .await?;
        Ok(count(number))
    }

    /// Makes a message, or none, and does with the items what `outcome` says. Durable when it returns; nothing is done where the subscriber is gone.
    pub async fn make(&self, subscriber: i64, message: Option<&NewMessage<'_>>, outcome: &Outcome) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM subscriber WHERE number = $1").bind(subscriber).fetch_one(&mut *tx).await?;
        if known == 0 {
            return Ok(());
        }
        let mut gone = 0;
        if let Some(message) = message {
            // Taken apart it gives back all that it tells of.
            let told = outcome.leave_out.map_or(0, |(_, told)| told);
            let number = insert(&mut tx, subscriber, message, outcome.left_out + told).await?;
            for items in pieces(&outcome.taken) {
                let mut sql = QueryBuilder::<Sqlite>::new("UPDATE item SET message = ");
                sql.push_bind(number).push(", at = ").push_bind(message.made.micros()).push(" WHERE message IS NULL");
                gone += among(&mut sql, subscriber, &items, &mut tx).await?;
            }
            for items in pieces(&outcome.told) {
                let mut sql = QueryBuilder::<Sqlite>::new("UPDATE item SET notice = ");
                sql.push_bind(number).push(" WHERE withdrawn IS NOT NULL AND notice IS NULL");
                among(&mut sql, subscriber, &items, &mut tx).await?;
            }
        }
        for items in pieces(&outcome.dropped) {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM item WHERE message IS NULL");
            gone += among(&mut sql, subscriber, &items, &mut tx).await?;
        }
        let mut over = (0, 0);
        if let Some((until, told)) = outcome.leave_out {
            let deleted = sqlx::query("DELETE FROM item WHERE subscriber = $1 AND message IS NULL AND due <= $2")
                .bind(subscriber)
                .bind(until.micros())
                .execute(&mut *tx)
                .await?
                .rows_affected();
            gone += deleted;
            // What came to it since they were counted is told by the next message.
            over = (deleted, deleted.saturating_sub(told));
        }
        sqlx::query(
            "UPDATE subscriber SET waiting = MAX(0, waiting - $2), left_out = MAX(0, left_out - $3) + $4, left_out_ever = left_out_ever + $5 WHERE number = $1",
        )
        .bind(subscriber)
        .bind(signed(gone))
        .bind(signed(if message.is_some() { outcome.left_out } else { 0 }))
        .bind(signed(over.1))
        .bind(signed(over.0))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Puts a message of the hub's own into an inbox; one with the same id is there once.
    pub async fn say(&self, id: &str, inbox: NewInbox<'_>, made: Timestamp, content: &[u8]) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        super::inbox::insert(&mut tx, id, inbox.organisation, made, content).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Messages of a lane whose time has come, but for those that are being sent and those of some subscribers; those that wait for the longest come
    /// first.
    pub async fn to_send(&self, lane: i64, now: Timestamp, sent: &[i64], passed_over: &[i64], limit: usize) -> Result<Vec<Queued>, RecordsError> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT number, id, subscriber, reader, attempts FROM message WHERE state = 0 AND lane = ");
        sql.push_bind(lane).push(" AND next_attempt <= ").push_bind(now.micros());
        for (among, besides) in [(" AND number NOT IN (", sent), (" AND subscriber NOT IN (", passed_over)] {
            if besides.is_empty() {
                continue;
            }
            sql.push(among);
            let mut list = sql.separated(", ");
            for number in besides {
                list.push_bind(*number);
            }
            sql.push(")");
        }
        sql.push(" ORDER BY next_attempt, number LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<(i64, String, i64, String, i64)> = sql.build_query_as().fetch_all(&self.file.reads).await?;
        let attempts = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(rows.into_iter().map(|row| Queued { number: row.0, id: row.1, subscriber: row.2, reader: row.3, attempts: attempts(row.4) }).collect())
    }

    /// Notes that a message is about to be tried and gives its content; `None` where it is no longer to be sent.
    pub async fn begin_attempt(&self, number: i64) -> Result<Option<Vec<u8>>, RecordsError> {
        let mut tx = self.begin().await?;
        let begun = sqlx::query("UPDATE message SET tried = 1, attempts = attempts + 1 WHERE number = $1 AND state = 0").bind(number).execute(&mut *tx).await?;
        if begun.rows_affected() == 0 {
            return Ok(None);
        }
        let content: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM message WHERE number = $1").bind(number).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(content)
    }

    /// Notes that a message was taken; its content goes.
    pub async fn sent(&self, number: i64, at: Timestamp) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE message SET state = 1, sent = $2, content = NULL WHERE number = $1").bind(number).bind(at.micros()).execute(&mut *tx).await?;
        sqlx::query(
            "UPDATE subscriber SET sent = sent + 1, last_sent = $2, error = NULL, failed = NULL
             WHERE number = (SELECT subscriber FROM message WHERE number = $1)",
        )
        .bind(number)
        .bind(at.micros())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a message was not taken, why, and when it is tried again.
    pub async fn failed(&self, number: i64, at: Timestamp, error: &str, next: Timestamp) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE message SET next_attempt = $2 WHERE number = $1").bind(number).bind(next.micros()).execute(&mut *tx).await?;
        note_error(&mut tx, number, at, error).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives a message up until somebody releases it, and with it everything else of its subscriber that is no word of the hub's own. True where
    /// its subscriber was not parked yet.
    pub async fn park(&self, number: i64, at: Timestamp, error: &str) -> Result<bool, RecordsError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE message SET state = 2 WHERE number = $1 AND state = 0").bind(number).execute(&mut *tx).await?;
        note_error(&mut tx, number, at, error).await?;
        let parked = sqlx::query("UPDATE subscriber SET parked = $2 WHERE number = (SELECT subscriber FROM message WHERE number = $1) AND parked IS NULL")
            .bind(number)
            .bind(at.micros())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(parked.rows_affected() > 0)
    }

    /// Gives up one word of the hub's own, which says nothing of the rest.
    pub async fn give_up(&self, number: i64, at: Timestamp, error: &str) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        note_error(&mut tx, number, at, error).await?;
        sqlx::query("DELETE FROM message WHERE number = $1").bind(number).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a message that was not taken apart: what was in it waits again.
    pub async fn unmake(&self, number: i64) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        unmake(&mut tx, number).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes everything apart that is on its way to a subscriber, whose receiver is another one now; the hub's own words go.
    pub async fn unmake_all(&self, subscriber: i64) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        let open: Vec<i64> = sqlx::query_scalar("SELECT number FROM message WHERE subscriber = $1 AND state <> 1").bind(subscriber).fetch_all(&mut *tx).await?;
        for number in open {
            unmake(&mut tx, number).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Whether a subscriber has a word of the hub's own on its way.
    pub async fn has_word(&self, subscriber: i64) -> Result<bool, RecordsError> {
        let words: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM message WHERE subscriber = $1 AND state = 0 AND lane = 0")
            .bind(subscriber)
            .fetch_one(&self.file.reads)
            .await?;
        Ok(words > 0)
    }
}

/// Writes the row of a message and gives its number.
async fn insert(connection: &mut SqliteConnection, subscriber: i64, message: &NewMessage<'_>, left_out: u64) -> Result<i64, RecordsError> {
    let kept = message.inbox.is_some();
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO message (id, subscriber, lane, state, reader, made, next_attempt, left_out, sent, content)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9) RETURNING number",
    )
    .bind(message.id)
    .bind(subscriber)
    .bind(message.lane)
    .bind(i64::from(kept))
    .bind(message.reader)
    .bind(message.made.micros())
    .bind(signed(left_out))
    .bind(kept.then(|| message.made.micros()))
    .bind((!kept).then(|| message.content.to_vec()))
    .fetch_one(&mut *connection)
    .await?;
    if let Some(inbox) = message.inbox {
        super::inbox::insert(connection, message.id, inbox.organisation, message.made, message.content).await?;
        sqlx::query("UPDATE subscriber SET sent = sent + 1, last_sent = $2 WHERE number = $1")
            .bind(subscriber)
            .bind(message.made.micros())
            .execute(&mut *connection)
            .await?;
    }
    Ok(number)
}

/// Items of one kind each, no more than one statement takes: so each is found by its whole key.
fn pieces(items: &[Item]) -> Vec<Vec<Item>> {
    let (events, findings): (Vec<Item>, Vec<Item>) = items.iter().copied().partition(|item| item.kind() == ItemKind::Event);
    events.chunks(ROWS).chain(findings.chunks(ROWS)).map(<[Item]>::to_vec).collect()
}

/// Ends a statement with the items of one kind that it is about, and carries it out; gives how many there were.
async fn among(sql: &mut QueryBuilder<Sqlite>, subscriber: i64, items: &[Item], connection: &mut SqliteConnection) -> Result<u64, RecordsError> {
    let Some(first) = items.first() else { return Ok(0) };
    sql.push(" AND subscriber = ").push_bind(subscriber).push(" AND kind = ").push_bind(first.kind().number()).push(" AND key IN (");
    let mut list = sql.separated(", ");
    for item in items {
        list.push_bind(item.key());
    }
    sql.push(")");
    Ok(sql.build().execute(connection).await?.rows_affected())
}

async fn note_error(connection: &mut SqliteConnection, number: i64, at: Timestamp, error: &str) -> Result<(), RecordsError> {
    sqlx::query("UPDATE subscriber SET error = $2, failed = $3 WHERE number = (SELECT subscriber FROM message WHERE number = $1)")
        .bind(number)
        .bind(error)
        .bind(at.micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a message apart where it was never tried; what may have arrived stays as it is.
pub(super) async fn unmake_untried(connection: &mut SqliteConnection, number: i64) -> Result<(), RecordsError> {
    let untried: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM message WHERE number = $1 AND tried = 0 AND state <> 1").bind(number).fetch_one(&mut *connection).await?;
    if untried > 0 { unmake(connection, number).await } else { Ok(()) }
}

/// Takes a message that is not sent apart: what was in it waits again, and what it would have told of what was left out is told by another one.
pub(super) async fn unmake(connection: &mut SqliteConnection, number: i64) -> Result<(), RecordsError> {
    let open: Option<(i64, i64)> =
        sqlx::query_as("SELECT subscriber, left_out FROM message WHERE number = $1 AND state <> 1").bind(number).fetch_optional(&mut *connection).await?;
    let Some((subscriber, left_out)) = open else { return Ok(()) };
    // What was withdrawn meanwhile is in no message then, so that there is nothing to tell.
    sqlx::query("DELETE FROM item WHERE message = $1 AND withdrawn IS NOT NULL").bind(number).execute(&mut *connection).await?;
    let waiting = sqlx::query("UPDATE item SET message = NULL, at = NULL WHERE message = $1").bind(number).execute(&mut *connection).await?.rows_affected();
    sqlx::query("UPDATE item SET notice = NULL WHERE notice = $1").bind(number).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM message WHERE number = $1").bind(number).execute(&mut *connection).await?;
    sqlx::query("UPDATE subscriber SET waiting = waiting + $2, left_out = left_out + $3 WHERE number = $1")
        .bind(subscriber)
        .bind(signed(waiting))
        .bind(left_out)
        .execute(connection)
        .await?;
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
