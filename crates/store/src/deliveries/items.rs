//! What matched: events and findings on their way into messages, and those that are in one.
//!
//! Flow: [`Deliveries::note`] and [`Deliveries::note_findings`] add → [`Deliveries::waiting`] gives what is due → `messages` puts it into one →
//! [`Deliveries::withdraw`] takes back what no longer stands: what waits goes, what was put into a message is to be told.
//! Invariant: an item is added once, whatever is looked through twice. Past its limit a subscriber's items are counted and not kept.

use super::{Deliveries, write_seq};
use crate::records::RecordsError;
use model::{Category, Seq, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeMap;

/// Rows of one transaction at the most.
pub const MAX_ROWS: usize = 10_000;
/// Rows of one statement.
pub(super) const ROWS: usize = 500;
/// Ranges of a withdrawal in one transaction.
const RANGES: usize = 2_000;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// An event.
    Event,
    /// A finding.
    Finding,
}

impl ItemKind {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Event => 0,
            Self::Finding => 1,
        }
    }
}

/// One thing that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// An event, by its place.
    Event(Seq),
    /// A finding, by its number.
    Finding(u128),
}

impl Item {
    /// What it is.
    pub const fn kind(self) -> ItemKind {
        match self {
            Self::Event(_) => ItemKind::Event,
            Self::Finding(_) => ItemKind::Finding,
        }
    }

    pub(super) fn key(self) -> Vec<u8> {
        match self {
            Self::Event(seq) => key_of(seq),
            Self::Finding(id) => id.to_be_bytes().to_vec(),
        }
    }

    pub(super) fn read(kind: i64, key: &[u8]) -> Option<Self> {
        if kind == ItemKind::Event.number() {
            key.try_into().ok().map(|bytes| Self::Event(Seq(u64::from_be_bytes(bytes))))
        } else {
            key.try_into().ok().map(|bytes| Self::Finding(u128::from_be_bytes(bytes)))
        }
    }
}

/// The key of an event: in the order of places.
pub(super) fn key_of(seq: Seq) -> Vec<u8> {
    seq.0.to_be_bytes().to_vec()
}

/// That a thing is for a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// For whom.
    pub subscriber: i64,
    /// What.
    pub item: Item,
    /// A finding's category, after which its rhythm may go.
    pub category: Option<Category>,
    /// When the owner was told of a finding last.
    pub noticed: Timestamp,
    /// When it is to be sent.
    pub due: Timestamp,
}

/// What was delivered and no longer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToTell {
    /// What.
    pub item: Item,
    /// Since when.
    pub at: Timestamp,
}

impl Deliveries {
    /// Adds events that matched and moves on to `position`, up to which, exclusive, everything was looked through. Of a subscriber at most `cap`
    /// items wait; the rest is counted.
    pub async fn note(&self, position: Seq, matches: &[Match], cap: u64) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        // What lies before the place was noted with it.
        let reached: Option<i64> = sqlx::query_scalar("SELECT seq FROM position WHERE name = 'events'").fetch_optional(&mut *tx).await?;
        if reached.is_some_and(|reached| reached as u64 >= position.0) {
            return Ok(());
        }
        add(&mut tx, matches, cap).await?;
        move_to(&mut tx, position).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Adds findings of a subscriber of which the owner was told again, and notes up to when it was looked at. One that was sent before is sent
    /// again, where the owner was told since.
    pub async fn note_findings(&self, subscriber: i64, noticed: Timestamp, matches: &[Match], cap: u64) -> Result<(), RecordsError> {
        let mut tx = self.begin().await?;
        for matched in matches {
            // What the owner was told of before is in a message already: it makes room for what it is told now.
            sqlx::query("DELETE FROM item WHERE subscriber = $1 AND kind = $2 AND key = $3 AND noticed < $4 AND message IS NOT NULL")
                .bind(subscriber)
                .bind(matched.item.kind().number())
                .bind(matched.item.key())
                .bind(matched.noticed.micros())
                .execute(&mut *tx)
                .await?;
        }
        add(&mut tx, matches, cap).await?;
        sqlx::query("UPDATE subscriber SET noticed = $2 WHERE number = $1 AND noticed < $2").bind(subscriber).bind(noticed.micros()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What waits of a subscriber and is due by `until`: those due first come first, and of those the oldest.
    pub async fn waiting(&self, subscriber: i64, until: Timestamp, limit: usize) -> Result<Vec<Item>, RecordsError> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT kind, key FROM item WHERE subscriber = $1 AND message IS NULL AND due <= $2 ORDER BY due, kind, key LIMIT $3")
                .bind(subscriber)
                .bind(until.micros())
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&self.file.reads)
                .await?;
        Ok(rows.iter().filter_map(|(kind, key)| Item::read(*kind, key)).collect())
    }

    /// What was put into messages of a subscriber and no longer stands, the longest first.
    pub async fn to_tell(&self, subscriber: i64, limit: usize) -> Result<Vec<ToTell>, RecordsError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT kind, key, withdrawn FROM item WHERE subscriber = $1 AND withdrawn IS NOT NULL AND notice IS NULL ORDER BY withdrawn, kind, key LIMIT $2",
        )
        .bind(subscriber)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.file.reads)
        .await?;
        Ok(rows.iter().filter_map(|(kind, key, at)| Some(ToTell { item: Item::read(*kind, key)?, at: Timestamp::from_micros(*at) })).collect())
    }

    /// Says when what waits is due, after the rhythm was changed; with `category` of findings of it alone, else of everything.
    pub async fn set_due(&self, subscriber: i64, category: Option<Category>, due: Timestamp) -> Result<(), RecordsError> {
        let statement = match category {
            None => "UPDATE item SET due = $2 WHERE subscriber = $1 AND message IS NULL",
            Some(_) => "UPDATE item SET due = $2 WHERE subscriber = $1 AND message IS NULL AND kind = 1 AND category = $3",
        };
        let query = sqlx::query(statement).bind(subscriber).bind(due.micros());
        let query = match category {
            None => query,
            Some(category) => query.bind(i64::from(category.number())),
        };
        query.execute(&self.file.writes).await?;
        Ok(())
    }

    /// Takes back events of these ranges, first and last, and moves on to `position`. What waits goes; a message that holds one and was never
    /// tried is taken apart; what is in others is to be told. Gives the subscribers concerned.
    pub async fn withdraw(&self, position: Seq, ranges: &[(Seq, Seq)], at: Timestamp) -> Result<Vec<i64>, RecordsError> {
        let mut concerned = Vec::new();
        for ranges in ranges.chunks(RANGES) {
            let mut tx = self.begin().await?;
            for &(first, last) in ranges {
                let here: Vec<(i64, Option<i64>)> =
                    sqlx::query_as("SELECT DISTINCT subscriber, message FROM item WHERE kind = 0 AND key >= $1 AND key <= $2 AND withdrawn IS NULL")
                        .bind(key_of(first))
                        .bind(key_of(last))
                        .fetch_all(&mut *tx)
                        .await?;
                if here.is_empty() {
                    continue;
                }
                for (subscriber, message) in here {
                    concerned.push(subscriber);
                    if let Some(message) = message {
                        super::messages::unmake_untried(&mut tx, message).await?;
                    }
                }
                sqlx::query(
                    "UPDATE subscriber SET waiting = waiting - (
                        SELECT COUNT(*) FROM item WHERE item.subscriber = subscriber.number AND kind = 0 AND key >= $1 AND key <= $2 AND message IS NULL)
                     WHERE number IN (SELECT subscriber FROM item WHERE kind = 0 AND key >= $1 AND key <= $2 AND message IS NULL)",
                )
                .bind(key_of(first))
                .bind(key_of(last))
                .execute(&mut *tx)
                .await?;
                sqlx::query("DELETE FROM item WHERE kind = 0 AND key >= $1 AND key <= $2 AND message IS NULL")
                    .bind(key_of(first))
                    .bind(key_of(last))
                    .execute(&mut *tx)
                    .await?;
                sqlx::query("UPDATE item SET withdrawn = $3 WHERE kind = 0 AND key >= $1 AND key <= $2 AND withdrawn IS NULL")
                    .bind(key_of(first))
                    .bind(key_of(last))
                    .bind(at.micros())
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
        // Last, so that what was interrupted is done again.
        let mut tx = self.begin().await?;
        move_to(&mut tx, position).await?;
        tx.commit().await?;
        concerned.sort_unstable();
        concerned.dedup();
        Ok(concerned)
    }

    /// The findings that are in a message of a subscriber and stand as far as it knows.
    pub async fn told_findings(&self, subscriber: i64) -> Result<Vec<u128>, RecordsError> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT kind, key FROM item WHERE subscriber = $1 AND kind = 1 AND message IS NOT NULL AND withdrawn IS NULL")
                .bind(subscriber)
                .fetch_all(&self.file.reads)
                .await?;
        let id = |(kind, key): &(i64, Vec<u8>)| match Item::read(*kind, key)? {
            Item::Finding(id) => Some(id),
            Item::Event(_) => None,
        };
        Ok(rows.iter().filter_map(id).collect())
    }

    /// Notes that findings which a subscriber was sent are no more.
    pub async fn withdraw_findings(&self, subscriber: i64, ids: &[u128], at: Timestamp) -> Result<(), RecordsError> {
        for ids in ids.chunks(MAX_ROWS) {
            let mut tx = self.begin().await?;
            for id in ids {
                sqlx::query("UPDATE item SET withdrawn = $3 WHERE subscriber = $1 AND kind = 1 AND key = $2 AND message IS NOT NULL AND withdrawn IS NULL")
                    .bind(subscriber)
                    .bind(Item::Finding(*id).key())
                    .bind(at.micros())
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

async fn move_to(connection: &mut SqliteConnection, position: Seq) -> Result<(), RecordsError> {
    sqlx::query("INSERT INTO position (name, seq) VALUES ('events', $1) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq")
        .bind(write_seq(position))
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds what there is room for, and counts the rest.
async fn add(connection: &mut SqliteConnection, matches: &[Match], cap: u64) -> Result<(), RecordsError> {
    let mut by_subscriber: BTreeMap<i64, Vec<&Match>> = BTreeMap::new();
    for matched in matches {
        by_subscriber.entry(matched.subscriber).or_default().push(matched);
    }
    for (subscriber, matches) in by_subscriber {
        let waiting: Option<i64> =
            sqlx::query_scalar("SELECT waiting FROM subscriber WHERE number = $1").bind(subscriber).fetch_optional(&mut *connection).await?;
        // It was removed meanwhile.
        let Some(waiting) = waiting else { continue };
        let room = usize::try_from(cap.saturating_sub(super::count(waiting))).unwrap_or(usize::MAX);
        let (taken, over) = matches.split_at(room.min(matches.len()));
        let mut added = 0;
        for rows in taken.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO item (subscriber, kind, key, category, noticed, due) ");
            sql.push_values(rows, |mut row, matched| {
                row.push_bind(subscriber)
                    .push_bind(matched.item.kind().number())
                    .push_bind(matched.item.key())
                    .push_bind(matched.category.map_or(-1, |category| i64::from(category.number())))
                    .push_bind(matched.noticed.micros())
                    .push_bind(matched.due.micros());
            });
            added += sql.build().execute(&mut *connection).await?.rows_affected();
        }
        sqlx::query("UPDATE subscriber SET waiting = waiting + $2, left_out = left_out + $3, left_out_ever = left_out_ever + $3 WHERE number = $1")
            .bind(subscriber)
            .bind(i64::try_from(added).unwrap_or_default())
            .bind(i64::try_from(over.len()).unwrap_or_default())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
