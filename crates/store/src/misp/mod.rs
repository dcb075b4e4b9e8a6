//! Contributed MISP events, kept whole, in an SQL file of their own beside the records.
//!
//! Flow: `hub::misp` reads heads and rows ([`Events::heads`], [`Events::rows`]), decides what of them a reader sees, and only then reads
//! contents ([`Events::content`]); it changes an event inside one transaction ([`Events::write`] → [`Edit`]).
//! Invariant: an event's content, its rows and its tags are of one moment. Numbers are never given twice.
//! Not here: what an event says (`formats::misp`, `hub::misp`), who may see it (`policy`), what of it is among the hub's events (`ledger`).

mod edit;
mod query;
mod schema;
#[cfg(test)]
mod tests;

pub use edit::{Edit, NewAttribute, NewEvent, NewObject, NewProposal, NewSighting};
pub use query::{Condition, EventQuery, Found, Named, RowQuery, TagCondition, Words};
pub use schema::SCHEMA_VERSION;

use crate::records::RecordsError;
use crate::sqlite::Database;
use model::{OrgNo, Seq, Text, Tlp};
use std::path::Path;

/// Heads or rows of one read at the most.
pub const MAX_READ: usize = 10_000;
/// Proposals of one read at the most: each may be large.
pub const MAX_PROPOSALS_READ: usize = 50;
/// Bytes of a value that it is found by; what is longer is found by its beginning.
pub const KEY_BYTES: usize = 1_024;
/// Bytes of an event's content at the most, unpacked.
pub const MAX_CONTENT: usize = 64 * 1024 * 1024;
/// Places of one name that are given of each organisation, so that none crowds out another's.
pub const PLACES_OF_ONE: i64 = 100;
/// Level of compression of contents.
const LEVEL: i32 = 3;
/// Bytes of a packed content in which its length unpacked stands: the longest header of a frame (RFC 8878, 3.1.1.1).
const FRAME_HEADER: i64 = 18;

/// Which of an event's parts a number or UUID is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The event itself.
    Event,
    /// An attribute.
    Attribute,
    /// An object.
    Object,
    /// A report.
    Report,
}

/// How something is named in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// By its number.
    Id(i64),
    /// By its UUID, in lower case.
    Uuid(String),
}

/// An event without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub id: i64,
    /// Who contributed it.
    pub org: OrgNo,
    /// Its UUID.
    pub uuid: String,
    /// Whether it is published.
    pub published: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Its marking.
    pub tlp: Tlp,
    /// Ids that it is narrowed to.
    pub audience: Vec<Text>,
    /// Whether it is for tests.
    pub test: bool,
    /// When it was changed last, seconds.
    pub timestamp: i64,
    /// When it was published last, seconds; 0: never.
    pub published_at: i64,
    /// Its day.
    pub date: String,
    /// Attributes that are not deleted.
    pub attributes: u64,
    /// How often it was changed.
    pub generation: i64,
    /// Its own fields as JSON.
    pub json: String,
}

/// A part of an event that a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The event.
    pub event: i64,
    /// The part's number.
    pub id: i64,
}

/// What was seen of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its number.
    pub id: i64,
    /// Its UUID.
    pub uuid: String,
    /// The event.
    pub event: i64,
    /// The attribute.
    pub attribute: i64,
    /// Who says so.
    pub org: OrgNo,
    /// 0 seen, 1 false positive, 2 expired.
    pub kind: i64,
    /// When, seconds.
    pub seen: i64,
    /// By what, in the words of who says so.
    pub source: String,
}

/// An attribute that is among the hub's own events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Its UUID.
    pub attribute: String,
    /// Hash of what was said.
    pub digest: i64,
    /// Its sequence number.
    pub seq: Seq,
}

/// What somebody would have changed in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its number.
    pub id: i64,
    /// The attribute's UUID, or that of the attribute it would be.
    pub uuid: String,
    /// The event.
    pub event: i64,
    /// The attribute; 0: one that is to be added.
    pub attribute: i64,
    /// Who proposes it.
    pub org: OrgNo,
    /// When, seconds.
    pub created: i64,
    /// The attribute as it would be, as JSON.
    pub json: String,
}

/// The contributed events.
#[derive(Debug)]
pub struct Events {
    file: Database,
}

impl Events {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`RecordsError::UnknownSchema`] for a file of a newer program; else what the file system or engine says.
    pub async fn open(path: &Path) -> Result<Self, RecordsError> {
        let file = Database::open(path, &schema::SCHEMA).await?;
        schema::bring_up(&file.writes).await?;
        Ok(Self { file })
    }

    /// Starts a change; waits for the one before. Dropping it undoes everything.
    pub async fn write(&self) -> Result<Edit, RecordsError> {
        Edit::begin(&self.file.writes).await
    }

    /// The events that a name leads to, deleted ones too: one by its number, and by its UUID one for each who contributed it.
    pub async fn named(&self, name: &Name) -> Result<Vec<Head>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::named(&mut connection, name).await
    }

    /// Where the attributes, objects or reports of a name are, in events that are not deleted: those of `own` first, and of each organisation at most
    /// [`PLACES_OF_ONE`].
    pub async fn places(&self, part: Part, name: &Name, own: OrgNo) -> Result<Vec<Place>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::places(&mut connection, part, name, own).await
    }

    /// Where reports are, in order of their numbers: of an event, or of all events that are not deleted; at most [`MAX_READ`].
    pub async fn reports(&self, event: Option<i64>, after: i64) -> Result<Vec<Place>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::reports(&mut connection, event, after).await
    }

    /// Heads of events in order of their numbers.
    pub async fn heads(&self, query: &EventQuery) -> Result<Vec<Head>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::heads(&mut connection, query).await
    }

    /// What is known of attributes for finding them and for deciding who sees them, in order of events and numbers.
    pub async fn rows(&self, query: &RowQuery) -> Result<Vec<Found>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::rows(&mut connection, query).await
    }

    /// Everything of an event but its own fields, as JSON; `None` where there is none.
    pub async fn content(&self, event: i64) -> Result<Option<Vec<u8>>, RecordsError> {
        let packed: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM event WHERE id = $1").bind(event).fetch_optional(&self.file.reads).await?;
        packed.map(|packed| unpack(&packed)).transpose()
    }

    /// Bytes of [`Events::content`], without unpacking it into memory; `None` where there is none.
    pub async fn size(&self, event: i64) -> Result<Option<usize>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        let beginning: Option<Vec<u8>> = sqlx::query_scalar("SELECT substr(content, 1, $1) FROM event WHERE id = $2")
            .bind(FRAME_HEADER)
            .bind(event)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(beginning) = beginning else { return Ok(None) };
        if let Some(size) = zstd::decompressed_size(&beginning) {
            return Ok(Some(usize::try_from(size).unwrap_or(usize::MAX)));
        }
        // Contents of an earlier program do not say it. They are measured while a connection is held, so a few at a time.
        let packed: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM event WHERE id = $1").bind(event).fetch_optional(&mut *connection).await?;
        packed.map(|packed| measured(&packed)).transpose()
    }

    /// Tags with the events and attributes that have them, after a tag's name; at most [`MAX_READ`].
    pub async fn tags(&self, after: Option<&(String, i64, i64)>) -> Result<Vec<(String, i64, i64)>, RecordsError> {
        let none = (String::new(), 0, 0);
        let (name, event, attribute) = after.unwrap_or(&none);
        Ok(sqlx::query_as("SELECT name, event, attribute FROM tag WHERE (name, event, attribute) > ($1, $2, $3) ORDER BY name, event, attribute LIMIT $4")
            .bind(name.as_str())
            .bind(*event)
            .bind(*attribute)
            .bind(i64::try_from(MAX_READ).unwrap_or(1))
            .fetch_all(&self.file.reads)
            .await?)
    }

    /// Sightings, oldest first: of an event, of one attribute of it, or of all events; at most [`MAX_READ`].
    pub async fn sightings(&self, event: Option<i64>, attribute: Option<i64>, after: i64) -> Result<Vec<Sighting>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::sightings(&mut connection, event, attribute, after).await
    }

    /// The attributes of an event that somebody sighted.
    pub async fn sighted(&self, event: i64) -> Result<Vec<i64>, RecordsError> {
        Ok(sqlx::query_scalar("SELECT DISTINCT attribute FROM sighting WHERE event = $1").bind(event).fetch_all(&self.file.reads).await?)
    }

    /// The sightings that a name leads to: one by its number, and by its UUID one for each who said it.
    pub async fn sighting(&self, name: &Name) -> Result<Vec<Sighting>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::sighting(&mut connection, name).await
    }

    /// Proposals, oldest first: for an event, for one attribute of it (0: those that would add one), or for all events; at most [`MAX_PROPOSALS_READ`].
    pub async fn proposals(&self, event: Option<i64>, attribute: Option<i64>, after: i64) -> Result<Vec<Proposal>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::proposals(&mut connection, event, attribute, after).await
    }

    /// The attributes of an event that somebody would change; 0 where somebody would add one.
    pub async fn proposed(&self, event: i64) -> Result<Vec<i64>, RecordsError> {
        Ok(sqlx::query_scalar("SELECT DISTINCT attribute FROM proposal WHERE event = $1").bind(event).fetch_all(&self.file.reads).await?)
    }

    /// The proposals that a name leads to: one by its number, and by an attribute's UUID all for it.
    pub async fn proposal(&self, name: &Name) -> Result<Vec<Proposal>, RecordsError> {
        let mut connection = self.file.reads.acquire().await?;
        query::proposal(&mut connection, name).await
    }

    /// Numbers of events after one, deleted ones too, at most 1,000.
    pub async fn ids(&self, after: i64) -> Result<Vec<i64>, RecordsError> {
        Ok(sqlx::query_scalar("SELECT id FROM event WHERE id > $1 ORDER BY id LIMIT 1000").bind(after).fetch_all(&self.file.reads).await?)
    }

    /// What of an event is among the hub's own.
    pub async fn shared(&self, event: i64) -> Result<Vec<Shared>, RecordsError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT attribute, digest, seq FROM shared WHERE event = $1").bind(event).fetch_all(&self.file.reads).await?;
        Ok(rows.into_iter().map(|(attribute, digest, seq)| Shared { attribute, digest, seq: Seq(u64::try_from(seq).unwrap_or(0)) }).collect())
    }

    /// Events whose last change is not yet among the hub's own, oldest first.
    pub async fn pending(&self) -> Result<Vec<i64>, RecordsError> {
        Ok(sqlx::query_scalar("SELECT id FROM event WHERE pending = 1 ORDER BY id LIMIT 1000").fetch_all(&self.file.reads).await?)
    }

    /// Writes a whole and consistent copy to `path`, which must not exist, while reads and writes go on.
    ///
    /// # Errors
    /// [`RecordsError::Io`] where the file exists or its name is not UTF-8.
    pub async fn backup_to(&self, path: &Path) -> Result<(), RecordsError> {
        self.file.backup_to(path).await
    }

    /// Empties the write-ahead log into the file, so that what was overwritten is in neither.
    ///
    /// # Errors
    /// [`RecordsError::Busy`] where readers hold it for too long; the caller may retry.
    pub async fn checkpoint(&self) -> Result<(), RecordsError> {
        self.file.checkpoint().await
    }

    /// What is broken in the file: what the engine finds, contents that cannot be unpacked or hold no JSON, and lists of attributes that do not
    /// fit their events.
    ///
    /// # Errors
    /// What the engine says where it cannot look at all.
    pub async fn check(&self) -> Result<Vec<String>, RecordsError> {
        let mut problems = self.file.check().await?;
        let mut after = 0;
        loop {
            let ids = self.ids(after).await?;
            let Some(last) = ids.last() else { return Ok(problems) };
            after = *last;
            for id in ids {
                let content = self.content(id).await;
                let whole = content.is_ok_and(|content| content.is_some_and(|content| serde_json::from_slice::<serde::de::IgnoredAny>(&content).is_ok()));
                if !whole {
                    problems.push(format!("content of event {id} cannot be read"));
                }
                let (said, there): (i64, i64) = sqlx::query_as(
                    "SELECT e.attributes, (SELECT COUNT(*) FROM attribute a WHERE a.event = e.id AND a.deleted = 0) FROM event e WHERE e.id = $1",
                )
                .bind(id)
                .fetch_one(&self.file.reads)
                .await?;
                if said != there {
                    problems.push(format!("event {id} has {said} attributes and {there} rows of them"));
                }
            }
        }
    }

    /// Closes every connection after what runs on it; later calls fail.
    pub async fn close(&self) {
        self.file.close().await;
    }
}

/// The form in which a text is found: lower case, no longer than [`KEY_BYTES`].
pub fn key_of(text: &str) -> String {
    let mut key = text.trim().to_lowercase();
    let mut end = key.len().min(KEY_BYTES);
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    key.truncate(end);
    key
}

/// Contents are bounded when they are packed, at once, so that their length stands at their beginning.
fn pack(json: &[u8]) -> Result<Vec<u8>, RecordsError> {
    if json.len() > MAX_CONTENT {
        return Err(broken("content is too large and"));
    }
    Ok(zstd::bulk::compress(json, LEVEL)?)
}

/// The length of a content unpacked, without keeping it.
fn measured(packed: &[u8]) -> Result<usize, RecordsError> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    let size = std::io::copy(&mut decoder, &mut std::io::sink())?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, RecordsError> {
    Ok(zstd::decode_all(packed)?)
}

fn organisation(number: i64) -> Result<OrgNo, RecordsError> {
    u32::try_from(number).map(OrgNo).map_err(|_| broken("organisation"))
}

fn marking(number: i64) -> Result<Tlp, RecordsError> {
    u8::try_from(number).ok().and_then(Tlp::from_number).ok_or_else(|| broken("marking"))
}

fn audience(json: &str) -> Result<Vec<Text>, RecordsError> {
    if json.is_empty() { Ok(Vec::new()) } else { serde_json::from_str(json).map_err(|_| broken("audience")) }
}

fn broken(what: &str) -> RecordsError {
    RecordsError::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("an event's {what} cannot be read")))
}
