//! Contributed STIX objects, kept whole, in an SQL file of their own beside the records.
//!
//! Flow: `hub::taxii` adds a request's objects with one transaction and one sync ([`Objects::add`]) and reads pages in the order in which they
//! were added ([`Objects::page`]); which events an object brought is noted beside it ([`Objects::note_events`]) and asked for before it is taken
//! back ([`Objects::events_of`]); an erasure goes through all of them ([`Objects::erase`]).
//! Invariant: dates of addition go up by at least a microsecond over all collections and are given inside the writing transaction, so that what
//! a reader sees of a collection is never followed by something older. A page costs the same wherever it is.
//! Not here: what an object says (`formats::stix`), who may see it (`hub::taxii`, `policy`).

mod brought;
mod erasing;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use brought::{Bringing, Brought};
pub use schema::SCHEMA_VERSION;
pub use writer::{Added, Holding, MAX_HELD, MAX_VERSIONS, NewObject, Outcome, Posting};

use crate::records::RecordsError;
use crate::sqlite::Database;
use model::{OrgNo, Timestamp, Tlp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::path::Path;
use std::sync::atomic::AtomicI64;
use uuid::Uuid;

/// Objects of one page at the most.
pub const MAX_PAGE: usize = 10_000;
/// Bytes of one page's objects at the most, but for a page of one object.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// A collection's number in the file: the first half of its UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CollectionNo(i64);

impl CollectionNo {
    /// The number of the collection with this id.
    pub const fn of(id: Uuid) -> Self {
        Self((id.as_u128() >> 64) as i64)
    }
}

/// Which versions of an object are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Versions {
    /// The newest.
    #[default]
    Last,
    /// Every one.
    All,
    /// Those named.
    Chosen {
        /// The oldest.
        first: bool,
        /// The newest.
        last: bool,
        /// The ones of these moments.
        at: Vec<Timestamp>,
    },
}

/// What a page is asked for. Empty lists ask for nothing in particular.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The collection.
    pub collection: CollectionNo,
    /// Added after this, exclusive.
    pub after: Option<Timestamp>,
    /// Ids.
    pub ids: &'a [String],
    /// Types.
    pub types: &'a [String],
    /// Versions of the specification.
    pub specs: &'a [String],
    /// Versions.
    pub versions: &'a Versions,
    /// Objects at the most.
    pub limit: usize,
}

/// One version of an object as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// When it was added.
    pub added: Timestamp,
    /// Its STIX id.
    pub id: String,
    /// Its STIX type.
    pub kind: String,
    /// `2.0` or `2.1`.
    pub spec: String,
    /// Its version.
    pub version: Timestamp,
    /// Who contributed it.
    pub org: OrgNo,
    /// Its marking.
    pub tlp: Tlp,
    /// JSON of the parts that are marked on their own, where there are any.
    pub parts: Option<String>,
    /// Its JSON, as it came.
    pub json: Vec<u8>,
}

/// Objects read at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectPage {
    /// The objects, in the order in which they were added.
    pub objects: Vec<Object>,
    /// Whether there were more, which [`MAX_PAGE_BYTES`] left no room for.
    pub cut: bool,
}

/// What became of a request, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whose request it was.
    pub org: OrgNo,
    /// When it came.
    pub created: Timestamp,
    /// The status resource.
    pub json: String,
}

/// What a deletion met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Versions that the request names.
    pub found: usize,
    /// Those that are gone now.
    pub deleted: usize,
}

/// One row as a page reads it.
type Row = (i64, String, String, String, i64, i64, i64, Option<String>, Vec<u8>);

/// The contributed objects.
#[derive(Debug)]
pub struct Objects {
    file: Database,
    /// The newest date of addition given by this process, in microseconds: what it was given to may be deleted again.
    last: AtomicI64,
}

impl Objects {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub async fn open(path: &Path) -> Result<Self, RecordsError> {
        let file = Database::open(path, &schema::SCHEMA).await?;
        schema::complete(&file.writes).await?;
        Ok(Self { file, last: AtomicI64::new(0) })
    }

    /// Objects of a collection, in the order in which they were added; at most `limit`, and at most [`MAX_PAGE`], and of at most [`MAX_PAGE_BYTES`].
    pub async fn page(&self, query: &Query<'_>) -> Result<ObjectPage, RecordsError> {
        let mut tx = self.file.reads.begin().await?;
        // The sizes alone first, which stand at the rows' beginnings: what does not fit is never read.
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT added, LENGTH(content) FROM object WHERE collection = ");
        narrow(&mut sql, query, query.limit);
        let sizes: Vec<(i64, i64)> = sql.build_query_as().fetch_all(&mut *tx).await?;
        let fitting = fitting(&sizes, MAX_PAGE_BYTES);
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT added, id, type, spec_version, version, org, tlp, parts, content FROM object WHERE collection = ");
        narrow(&mut sql, query, fitting);
        let rows: Vec<Row> = sql.build_query_as().fetch_all(&mut *tx).await?;
        tx.rollback().await?;
        Ok(ObjectPage { objects: rows.into_iter().map(read_row).collect::<Result<_, _>>()?, cut: fitting < sizes.len() })
    }

    /// Takes versions of one object out of a collection. With `only`, those that this organisation contributed alone.
    pub async fn delete(
        &self,
        collection: CollectionNo,
        id: &str,
        versions: &Versions,
        specs: &[String],
        only: Option<OrgNo>,
    ) -> Result<Deleted, RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT added, org, LENGTH(content) FROM object WHERE collection = ");
        sql.push_bind(collection.0).push(" AND id = ").push_bind(id.to_owned());
        one_of(&mut sql, "spec_version", specs);
        of_versions(&mut sql, versions);
        let found: Vec<(i64, i64, i64)> = sql.build_query_as().fetch_all(&mut *tx).await?;
        let mut deleted = 0;
        for (added, org, bytes) in &found {
            if only.is_some_and(|only| i64::from(only.0) != *org) {
                continue;
            }
            take_out(&mut tx, *added, *org, *bytes).await?;
            deleted += 1;
        }
        if deleted > 0 {
            schema::flag_again(&mut tx, collection.0, id).await?;
        }
        tx.commit().await?;
        Ok(Deleted { found: found.len(), deleted })
    }

    /// What became of a request; `None` where there is no such request any more.
    pub async fn status(&self, id: &str) -> Result<Option<Status>, RecordsError> {
        let row: Option<(i64, i64, String)> =
            sqlx::query_as("SELECT org, created, content FROM status WHERE id = $1").bind(id).fetch_optional(&self.file.reads).await?;
        row.map(|(org, created, json)| Ok(Status { org: organisation(org)?, created: Timestamp::from_micros(created), json })).transpose()
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

/// Takes one row out, with what is noted of it.
async fn take_out(connection: &mut SqliteConnection, added: i64, org: i64, bytes: i64) -> Result<(), RecordsError> {
    sqlx::query("DELETE FROM object WHERE added = $1").bind(added).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM again WHERE added = $1").bind(added).execute(&mut *connection).await?;
    schema::count(connection, org, -1, -bytes).await
}

/// Narrows a query to what a page is asked for, in its order.
fn narrow(sql: &mut QueryBuilder<Sqlite>, query: &Query<'_>, limit: usize) {
    sql.push_bind(query.collection.0);
    if let Some(after) = query.after {
        sql.push(" AND added > ").push_bind(after.micros());
    }
    one_of(sql, "id", query.ids);
    one_of(sql, "type", query.types);
    one_of(sql, "spec_version", query.specs);
    of_versions(sql, query.versions);
    sql.push(" ORDER BY added LIMIT ").push_bind(i64::try_from(limit.min(MAX_PAGE)).unwrap_or(1));
}

/// How many of the rows fit, but one at the least.
fn fitting(sizes: &[(i64, i64)], bytes: usize) -> usize {
    let mut sum = 0_usize;
    let fit = sizes.iter().take_while(|(_, size)| {
        sum = sum.saturating_add(usize::try_from(*size).unwrap_or(usize::MAX));
        sum <= bytes
    });
    fit.count().max(1).min(sizes.len())
}

/// Narrows a query to rows whose column has one of the values, where there are any.
fn one_of(sql: &mut QueryBuilder<Sqlite>, column: &'static str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    sql.push(" AND ").push(column).push(" IN (");
    let mut list = sql.separated(", ");
    for value in values {
        list.push_bind(value.clone());
    }
    sql.push(")");
}

/// Narrows a query to the versions wanted. The word for the newest alone is what the index of the newest is made for.
fn of_versions(sql: &mut QueryBuilder<Sqlite>, versions: &Versions) {
    match versions {
        Versions::All => {}
        Versions::Last => {
            sql.push(" AND latest = 1");
        }
        Versions::Chosen { first, last, at } => {
            sql.push(" AND (1 = 0");
            if *first {
                sql.push(" OR earliest = 1");
            }
            if *last {
                sql.push(" OR latest = 1");
            }
            // One list, however long: a chain of conditions is a tree as deep as it is long, which the engine refuses.
            if !at.is_empty() {
                sql.push(" OR version IN (");
                let mut list = sql.separated(", ");
                for version in at {
                    list.push_bind(version.micros());
                }
                sql.push(")");
            }
            sql.push(")");
        }
    }
}

fn read_row((added, id, kind, spec, version, org, tlp, parts, json): Row) -> Result<Object, RecordsError> {
    let tlp = u8::try_from(tlp).ok().and_then(Tlp::from_number).ok_or_else(|| broken("marking"))?;
    Ok(Object { added: Timestamp::from_micros(added), id, kind, spec, version: Timestamp::from_micros(version), org: organisation(org)?, tlp, parts, json })
}

fn organisation(number: i64) -> Result<OrgNo, RecordsError> {
    u32::try_from(number).map(OrgNo).map_err(|_| broken("organisation"))
}

fn broken(what: &str) -> RecordsError {
    RecordsError::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("an object's {what} is no number of ours")))
}
