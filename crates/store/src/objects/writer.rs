//! One request's objects into a collection: one transaction, one sync, and no statement per object.
//!
//! Flow: which versions of these ids are there → decide in memory what is new → rows, a hundred to a statement → flags of what they replace →
//! the request's status → commit.
//! Invariant: what is read here cannot change before the commit, for there is one writer at a time.

use super::{CollectionNo, Objects};
use crate::records::RecordsError;
use hashbrown::{HashMap, HashSet};
use model::{OrgNo, Timestamp, Tlp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Rows of one statement.
const ROWS: usize = 100;
/// Ids of one statement.
const IDS: usize = 500;
/// Versions of one object in a collection.
pub const MAX_VERSIONS: usize = 10_000;

/// An object to be added.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its STIX id.
    pub id: String,
    /// Its STIX type.
    pub kind: String,
    /// `2.0` or `2.1`.
    pub spec: &'static str,
    /// Its version; `None` where it states none and the store chooses.
    pub version: Option<Timestamp>,
    /// Its marking.
    pub tlp: Tlp,
    /// JSON of the parts that are marked on their own, where there are any.
    pub parts: Option<String>,
    /// Its JSON.
    pub json: Vec<u8>,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was added, as this version.
    Added(Timestamp),
    /// This version had been there.
    Known(Timestamp),
    /// Another organisation contributed the object, and this would be a new version of it.
    Foreign(Timestamp),
    /// The object has [`MAX_VERSIONS`] versions.
    TooMany(Timestamp),
}

/// A request's objects, and who sends them.
#[derive(Debug)]
pub struct Posting {
    /// Id of the request's status.
    pub status: String,
    /// Where to.
    pub collection: CollectionNo,
    /// Who contributes.
    pub org: OrgNo,
    /// Whether it may add versions to the objects of others.
    pub supersedes_others: bool,
    /// When the request came.
    pub now: Timestamp,
    /// How long statuses are kept.
    pub keep_statuses: Duration,
    /// What is to be added.
    pub objects: Vec<NewObject>,
}

/// Versions of one object that are there, or come with this request.
#[derive(Debug, Default)]
struct Known {
    /// By version: contributor, and the beginning of the content's hash.
    versions: BTreeMap<i64, (i64, i64)>,
    /// The newest and the oldest in the file; `None` where there is none.
    stored: Option<(i64, i64)>,
}

impl Known {
    fn newest(&self) -> Option<(i64, i64, i64)> {
        self.versions.last_key_value().map(|(&version, &(org, digest))| (version, org, digest))
    }

    fn oldest(&self) -> Option<i64> {
        self.versions.first_key_value().map(|(&version, _)| version)
    }
}

/// An object that will be a row.
struct Accepted<'a> {
    object: &'a NewObject,
    added: i64,
    version: i64,
    digest: i64,
}

impl Objects {
    /// Adds a request's objects and the status that `status` makes of what became of each, in their order. Durable when it returns.
    ///
    /// # Errors
    /// [`RecordsError`]; nothing was added then.
    pub async fn add(&self, posting: &Posting, status: impl FnOnce(&[Outcome]) -> String + Send) -> Result<(), RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        let stored: Option<i64> = sqlx::query_scalar("SELECT MAX(added) FROM object").fetch_one(&mut *tx).await?;
        let after = stored.unwrap_or(0).max(self.last.load(Ordering::Relaxed));
        let mut next = posting.now.micros().max(after + 1);
        let mut known = known(&mut tx, posting).await?;
        let (outcomes, accepted) = decide(posting, &mut known, &mut next);
        for rows in accepted.chunks(ROWS) {
            insert(&mut tx, posting, rows, &known).await?;
        }
        lower_flags(&mut tx, posting, &accepted, &known).await?;
        sqlx::query("DELETE FROM status WHERE created < $1").bind(posting.now.minus(posting.keep_statuses).micros()).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO status (id, org, created, content) VALUES ($1, $2, $3, $4)")
            .bind(posting.status.as_str())
            .bind(i64::from(posting.org.0))
            .bind(posting.now.micros())
            .bind(status(&outcomes))
            .execute(&mut *tx)
            .await?;
        // While this transaction is open nobody else asks for a date.
        self.last.store(next - 1, Ordering::Relaxed);
        tx.commit().await?;
        Ok(())
    }
}

/// The versions that are there of the objects of a request.
async fn known(connection: &mut SqliteConnection, posting: &Posting) -> Result<HashMap<String, Known>, RecordsError> {
    let mut known: HashMap<String, Known> = HashMap::with_capacity(posting.objects.len());
    for objects in posting.objects.chunks(IDS) {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT id, version, org, digest FROM object WHERE collection = ");
        sql.push_bind(posting.collection.0).push(" AND id IN (");
        let mut list = sql.separated(", ");
        for object in objects {
            list.push_bind(object.id.as_str());
        }
        sql.push(")");
        let rows: Vec<(String, i64, i64, i64)> = sql.build_query_as().fetch_all(&mut *connection).await?;
        for (id, version, org, digest) in rows {
            let entry = known.entry(id).or_default();
            // An id may be in two chunks of ids.
            if entry.versions.insert(version, (org, digest)).is_some() {
                continue;
            }
            entry.stored = Some(entry.stored.map_or((version, version), |(newest, oldest)| (newest.max(version), oldest.min(version))));
        }
    }
    Ok(known)
}

/// Decides in order what is added, and notes it as known for what comes after.
fn decide<'a>(posting: &'a Posting, known: &mut HashMap<String, Known>, next: &mut i64) -> (Vec<Outcome>, Vec<Accepted<'a>>) {
    let me = i64::from(posting.org.0);
    let mut accepted = Vec::with_capacity(posting.objects.len());
    let mut outcomes = Vec::with_capacity(posting.objects.len());
    for object in &posting.objects {
        let digest = digest(&object.json);
        let entry = known.entry(object.id.clone()).or_default();
        let newest = entry.newest();
        let outcome = match (object.version, newest) {
            (Some(version), _) if entry.versions.contains_key(&version.micros()) => Outcome::Known(version),
            (Some(version), Some((_, org, _))) if org != me && !posting.supersedes_others => Outcome::Foreign(version),
            (Some(version), _) => Outcome::Added(version),
            // Without a version of its own an object is told by its content.
            (None, Some((version, _, there))) if there == digest => Outcome::Known(Timestamp::from_micros(version)),
            (None, Some((version, org, _))) if org != me && !posting.supersedes_others => Outcome::Foreign(Timestamp::from_micros(version)),
            (None, _) => Outcome::Added(Timestamp::from_micros(*next)),
        };
        let outcome = match outcome {
            Outcome::Added(version) if entry.versions.len() >= MAX_VERSIONS => Outcome::TooMany(version),
            outcome => outcome,
        };
        if let Outcome::Added(version) = outcome {
            entry.versions.insert(version.micros(), (me, digest));
            accepted.push(Accepted { object, added: *next, version: version.micros(), digest });
            *next += 1;
        }
        outcomes.push(outcome);
    }
    (outcomes, accepted)
}

async fn insert(connection: &mut SqliteConnection, posting: &Posting, rows: &[Accepted<'_>], known: &HashMap<String, Known>) -> Result<(), RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO object (added, collection, id, type, spec_version, version, latest, earliest, org, tlp, parts, digest, content) ",
    );
    sql.push_values(rows, |mut row, accepted| {
        let object = accepted.object;
        let entry = known.get(object.id.as_str());
        let latest = entry.and_then(Known::newest).is_none_or(|newest| newest.0 == accepted.version);
        let earliest = entry.and_then(Known::oldest).is_none_or(|oldest| oldest == accepted.version);
        row.push_bind(accepted.added)
            .push_bind(posting.collection.0)
            .push_bind(object.id.as_str())
            .push_bind(object.kind.as_str())
            .push_bind(object.spec)
            .push_bind(accepted.version)
            .push_bind(i64::from(latest))
            .push_bind(i64::from(earliest))
            .push_bind(i64::from(posting.org.0))
            .push_bind(i64::from(object.tlp.number()))
            .push_bind(object.parts.clone())
            .push_bind(accepted.digest)
            .push_bind(object.json.as_slice());
    });
    sql.build().execute(connection).await?;
    Ok(())
}

/// Takes the flags from the stored versions that are the newest or the oldest no more.
async fn lower_flags(
    connection: &mut SqliteConnection,
    posting: &Posting,
    accepted: &[Accepted<'_>],
    known: &HashMap<String, Known>,
) -> Result<(), RecordsError> {
    let (mut superseded, mut preceded) = (HashSet::new(), HashSet::new());
    for accepted in accepted {
        let id = accepted.object.id.as_str();
        let Some((newest, oldest)) = known.get(id).and_then(|entry| entry.stored) else { continue };
        if accepted.version > newest {
            superseded.insert(id);
        }
        if accepted.version < oldest {
            preceded.insert(id);
        }
    }
    // The new rows of these ids carry the right flags already, and a flag is only taken where a newer or older version is.
    let statements = [
        (superseded, "UPDATE object SET latest = 0 WHERE latest = 1 AND added < ", " AND collection = "),
        (preceded, "UPDATE object SET earliest = 0 WHERE earliest = 1 AND added < ", " AND collection = "),
    ];
    let Some(first) = accepted.first().map(|accepted| accepted.added) else { return Ok(()) };
    for (ids, update, of) in statements {
        let ids: Vec<&str> = ids.into_iter().collect();
        for ids in ids.chunks(IDS) {
            let mut sql = QueryBuilder::<Sqlite>::new(update);
            sql.push_bind(first).push(of).push_bind(posting.collection.0).push(" AND id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            sql.push(")");
            sql.build().execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The beginning of the content's hash.
fn digest(json: &[u8]) -> i64 {
    let hash = blake3::hash(json);
    hash.as_bytes().iter().take(8).fold(0, |sum: i64, &byte| sum << 8 | i64::from(byte))
}
