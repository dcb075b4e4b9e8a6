//! Which events an object brought: the places in the ledger of what came with its request.
//!
//! Flow: a request's objects are written with a row that says when they came → intake takes their events in → [`Objects::note_events`] says where
//! those lie → [`Objects::events_of`] tells it when the objects are taken back.
//! Invariant: between the two writes, and where a crash came between them, it is known that there may be events and from when on.
//! Not here: which of the events in a place are the object's; its id and version tell (`hub::taxii`).

use super::Objects;
use super::writer::IDS;
use crate::records::RecordsError;
use model::{Seq, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// Rows of one statement.
const ROWS: usize = 200;

/// A request whose objects may bring events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bringing {
    /// Date of the first object that it added.
    pub(super) first: Option<i64>,
    /// How many it added.
    pub(super) added: usize,
    /// Dates of those that had been there.
    pub(super) known: Vec<i64>,
}

/// Where the events lie that came with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Among these, both included.
    Between(Seq, Seq),
    /// It is not known; not before this moment.
    Since(Timestamp),
}

impl Objects {
    /// Notes where the events of a request lie, of which so many were new; `None`: it brought none.
    pub async fn note_events(&self, bringing: &Bringing, places: Option<(Seq, Seq)>, events: u64) -> Result<(), RecordsError> {
        let again = if events > bringing.added as u64 { bringing.known.as_slice() } else { &[] };
        if bringing.first.is_none() && again.is_empty() {
            return Ok(());
        }
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        match (bringing.first, places) {
            (Some(first), Some(places)) => {
                sqlx::query("UPDATE posting SET first_seq = $1, last_seq = $2 WHERE first_added = $3")
                    .bind(write_seq(places.0))
                    .bind(write_seq(places.1))
                    .bind(first)
                    .execute(&mut *tx)
                    .await?;
            }
            (Some(first), None) => {
                sqlx::query("DELETE FROM posting WHERE first_added = $1").bind(first).execute(&mut *tx).await?;
            }
            (None, _) => {}
        }
        if let Some(places) = places {
            for dates in again.chunks(ROWS) {
                let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO again (added, first_seq, last_seq) ");
                sql.push_values(dates, |mut row, added| {
                    row.push_bind(*added).push_bind(write_seq(places.0)).push_bind(write_seq(places.1));
                });
                sql.build().execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Where the events lie that the objects with these dates of addition brought. Objects without any are left out, others may be there more than once.
    pub async fn events_of(&self, added: &[Timestamp]) -> Result<Vec<(Timestamp, Brought)>, RecordsError> {
        let mut tx = self.file.reads.begin().await?;
        let mut found = Vec::new();
        let mut range: Option<Range> = None;
        for &date in added {
            // Neighbours came with the same request, as a rule.
            if !range.as_ref().is_some_and(|range| range.holds(date)) {
                range = range_of(&mut tx, date).await?;
            }
            found.extend(range.as_ref().map(|range| (date, range.brought)));
        }
        for dates in added.chunks(IDS) {
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT added, first_seq, last_seq FROM again WHERE added IN (");
            let mut list = sql.separated(", ");
            for date in dates {
                list.push_bind(date.micros());
            }
            sql.push(")");
            let rows: Vec<(i64, i64, i64)> = sql.build_query_as().fetch_all(&mut *tx).await?;
            found.extend(rows.into_iter().map(|(added, first, last)| (Timestamp::from_micros(added), Brought::Between(read_seq(first), read_seq(last)))));
        }
        tx.rollback().await?;
        Ok(found)
    }
}

/// One request's objects.
struct Range {
    first: i64,
    last: i64,
    brought: Brought,
}

impl Range {
    fn holds(&self, date: Timestamp) -> bool {
        (self.first..=self.last).contains(&date.micros())
    }
}

/// The request that an object came with, where it brought events.
async fn range_of(connection: &mut SqliteConnection, date: Timestamp) -> Result<Option<Range>, RecordsError> {
    let row: Option<(i64, i64, i64, Option<i64>, Option<i64>)> =
        sqlx::query_as("SELECT first_added, last_added, came, first_seq, last_seq FROM posting WHERE first_added <= $1 ORDER BY first_added DESC LIMIT 1")
            .bind(date.micros())
            .fetch_optional(connection)
            .await?;
    let range = row.map(|(first, last, came, first_seq, last_seq)| {
        let brought = match (first_seq, last_seq) {
            (Some(first), Some(last)) => Brought::Between(read_seq(first), read_seq(last)),
            _ => Brought::Since(Timestamp::from_micros(came)),
        };
        Range { first, last, brought }
    });
    Ok(range.filter(|range| range.holds(date)))
}

fn write_seq(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn read_seq(number: i64) -> Seq {
    Seq(u64::try_from(number).unwrap_or(0))
}
