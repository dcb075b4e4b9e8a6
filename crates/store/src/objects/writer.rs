//! One request's objects into a collection: one transaction, one sync, and no statement per object.
//!
//! Flow: which versions of these ids are there → decide in memory what is new → is there room for it → rows, a hundred to a statement → flags of
//! what they replace → the request's status → commit.
//! Invariant: what is read here cannot change before the commit, for there is one writer at a time.

use super::brought::Bringing;
use super::{CollectionNo, Objects, erasing, schema};
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
pub(super) const IDS: usize = 500;
/// Versions of one object in a collection.
pub const MAX_VERSIONS: usize = 10_000;

/// What one organisation holds in all collections together at the most: five million versions, 16 GiB of JSON.
pub const MAX_HELD: Holding = Holding { objects: 5_000_000, bytes: 16 << 30 };

/// So many versions of objects, and bytes of their JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// Versions of objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is there, as each object's [`Outcome`] says.
    Done(Bringing),
    /// There is no room for it, and nothing of it is there; the organisation holds this.
    Full(Holding),
}

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
    /// This version was here and was taken out by an erasure.
    Erased(Timestamp),
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
    /// Whether its objects may bring events.
    pub brings: bool,
    /// What the contributor may hold.
    pub most: Holding,
    /// What marks of erased versions are made under.
    pub secret: u128,
    /// What is to be added.
    pub objects: Vec<NewObject>,
}

/// Versions of one object that are there, or come with this request.
#[derive(Debug, Default)]
struct Known {
    /// By version: contributor, the beginning of the content's hash, and the date of addition.
    versions: BTreeMap<i64, (i64, i64, i64)>,
    /// The newest and the oldest in the file; `None` where there is none.
    stored: Option<(i64, i64)>,
}

impl Known {
    fn newest(&self) -> Option<(i64, i64, i64)> {
        self.versions.last_key_value().map(|(&version, &(org, digest, _))| (version, org, digest))
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
    /// Adds a request's objects and the status that `status` makes of what became of each, in their order. Durable when it returns. Where the
    /// contributor holds too much for it nothing is added.
    ///
    /// # Errors
    /// [`RecordsError`]; nothing was added then.
    pub async fn add(&self, posting: &Posting, status: impl FnOnce(&[Outcome]) -> String + Send) -> Result<Added, RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        let stored: Option<i64> = sqlx::query_scalar("SELECT MAX(added) FROM object").fetch_one(&mut *tx).await?;
        let after = stored.unwrap_or(0).max(self.last.load(Ordering::Relaxed));
        let mut next = posting.now.micros().max(after + 1);
        let erased = erasing::erased_before(&mut tx, posting).await?;
        let mut known = known(&mut tx, posting).await?;
        let Decided { outcomes, accepted, again } = decide(posting, &erased, &mut known, &mut next);
        let more = Holding { objects: accepted.len() as u64, bytes: accepted.iter().map(|accepted| accepted.object.json.len() as u64).sum() };
        if more.objects > 0 {
            let held = held(&mut tx, posting.org).await?;
            if held.objects + more.objects > posting.most.objects || held.bytes + more.bytes > posting.most.bytes {
                tx.rollback().await?;
                return Ok(Added::Full(held));
            }
            schema::count(&mut tx, i64::from(posting.org.0), signed(more.objects), signed(more.bytes)).await?;
        }
        for rows in accepted.chunks(ROWS) {
            insert(&mut tx, posting, rows, &known).await?;
        }
        lower_flags(&mut tx, posting, &accepted, &known).await?;
        let bringing = if posting.brings { begin(&mut tx, posting, &accepted, again).await? } else { Bringing::default() };
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
        Ok(Added::Done(bringing))
    }
}

/// Notes that these objects may bring events.
async fn begin(connection: &mut SqliteConnection, posting: &Posting, accepted: &[Accepted<'_>], known: Vec<i64>) -> Result<Bringing, RecordsError> {
    let first = accepted.first().map(|accepted| accepted.added);
    if let (Some(first), Some(last)) = (first, accepted.last()) {
        // A date is given twice only where the clock went back and what had it is gone.
        sqlx::query("INSERT OR REPLACE INTO posting (first_added, last_added, came) VALUES ($1, $2, $3)")
            .bind(first)
            .bind(last.added)
            .bind(posting.now.micros())
            .execute(connection)
            .await?;
    }
    Ok(Bringing { first, added: accepted.len(), known })
}

/// What an organisation holds.
async fn held(connection: &mut SqliteConnection, org: OrgNo) -> Result<Holding, RecordsError> {
    let row: Option<(i64, i64)> = sqlx::query_as("SELECT objects, bytes FROM holding WHERE org = $1").bind(i64::from(org.0)).fetch_optional(connection).await?;
    let (objects, bytes) = row.unwrap_or_default();
    Ok(Holding { objects: u64::try_from(objects).unwrap_or(0), bytes: u64::try_from(bytes).unwrap_or(0) })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The versions that are there of the objects of a request.
async fn known(connection: &mut SqliteConnection, posting: &Posting) -> Result<HashMap<String, Known>, RecordsError> {
    let mut known: HashMap<String, Known> = HashMap::with_capacity(posting.objects.len());
    for objects in posting.objects.chunks(IDS) {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT id, version, org, digest, added FROM object WHERE collection = ");
        sql.push_bind(posting.collection.0).push(" AND id IN (");
        let mut list = sql.separated(", ");
        for object in objects {
            list.push_bind(object.id.as_str());
        }
        sql.push(")");
        let rows: Vec<(String, i64, i64, i64, i64)> = sql.build_query_as().fetch_all(&mut *connection).await?;
        for (id, version, org, digest, added) in rows {
            let entry = known.entry(id).or_default();
            // An id may be in two chunks of ids.
            if entry.versions.insert(version, (org, digest, added)).is_some() {
                continue;
            }
            entry.stored = Some(entry.stored.map_or((version, version), |(newest, oldest)| (newest.max(version), oldest.min(version))));
        }
    }
    Ok(known)
}

/// What is to become of a request.
struct Decided<'a> {
    outcomes: Vec<Outcome>,
    accepted: Vec<Accepted<'a>>,
    /// Dates of addition of the contributor's own that had been there.
    again: Vec<i64>,
}

/// Decides in order what is added, and notes it as known for what comes after. `erased` are places of the request.
fn decide<'a>(posting: &'a Posting, erased: &HashSet<usize>, known: &mut HashMap<String, Known>, next: &mut i64) -> Decided<'a> {
    let me = i64::from(posting.org.0);
    let mut accepted = Vec::with_capacity(posting.objects.len());
    let mut outcomes = Vec::with_capacity(posting.objects.len());
    let mut again = Vec::new();
    for (place, object) in posting.objects.iter().enumerate() {
        if erased.contains(&place) {
            outcomes.push(Outcome::Erased(object.version.unwrap_or(posting.now)));
            continue;
        }
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
        match outcome {
            Outcome::Added(version) => {
                entry.versions.insert(version.micros(), (me, digest, *next));
                accepted.push(Accepted { object, added: *next, version: version.micros(), digest });
                *next += 1;
            }
            Outcome::Known(version) => again.extend(entry.versions.get(&version.micros()).filter(|(org, ..)| *org == me).map(|(_, _, added)| *added)),
            Outcome::Foreign(_) | Outcome::TooMany(_) | Outcome::Erased(_) => {}
        }
        outcomes.push(outcome);
    }
    Decided { outcomes, accepted, again }
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
