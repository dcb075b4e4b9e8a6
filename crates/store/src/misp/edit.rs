//! One change of contributed events: a transaction in which what is read cannot change before the commit.
//!
//! Flow: [`super::Events::write`] → reads that decide → [`Edit::put`] → [`Edit::commit`].
//! Invariant: of an event's rows only those that say something else are written again, so that a small change of a large event is small.

use super::query;
use super::{Head, Name, Part, Place, Shared, pack, unpack};
use crate::records::RecordsError;
use hashbrown::HashMap;
use model::{OrgNo, Text, Tlp};
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite, Transaction};

/// Rows of one statement.
const ROWS: usize = 100;
/// Numbers of one statement.
const IDS: usize = 500;

/// An event to be written, whole.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event as it will be read; how many attributes it has is worked out when it is written.
    pub head: Head,
    /// What it is about, as it is found.
    pub info: String,
    /// Everything but its own fields as JSON.
    pub content: Vec<u8>,
    /// Its attributes, those of objects too.
    pub attributes: Vec<NewAttribute>,
    /// Its objects.
    pub objects: Vec<NewObject>,
    /// Numbers and UUIDs, in lower case, of its reports.
    pub reports: Vec<(i64, String)>,
    /// Tags in lower case, each with the number of the attribute that has it; 0: the event.
    pub tags: Vec<(i64, String)>,
}

/// An attribute as it is found.
#[derive(Debug, Clone)]
pub struct NewAttribute {
    /// Its number.
    pub id: i64,
    /// Number of the object that it is in; 0: none.
    pub object: i64,
    /// Its UUID, in lower case.
    pub uuid: String,
    /// Its type, in lower case.
    pub kind: String,
    /// Its category, in lower case.
    pub category: String,
    /// Its value.
    pub value: String,
    /// The value's first part.
    pub value1: String,
    /// The value's second part; empty: none.
    pub value2: String,
    /// Its comment.
    pub comment: String,
    /// Whether it is worth detecting.
    pub to_ids: bool,
    /// Whether it is deleted.
    pub deleted: bool,
    /// When it was changed last, seconds.
    pub timestamp: i64,
    /// Its marking.
    pub tlp: Tlp,
    /// Ids that it is narrowed to.
    pub audience: Vec<Text>,
    /// Whether it names a victim.
    pub victim: bool,
    /// Whether it is for tests.
    pub test: bool,
}

/// An object as it is found.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its number.
    pub id: i64,
    /// Its UUID, in lower case.
    pub uuid: String,
    /// Its name, in lower case.
    pub name: String,
    /// Whether it is deleted.
    pub deleted: bool,
}

/// A sighting to be added.
#[derive(Debug, Clone)]
pub struct NewSighting {
    /// Its UUID, in lower case.
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
    /// By what.
    pub source: String,
}

/// A proposal to be added.
#[derive(Debug, Clone)]
pub struct NewProposal {
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

/// A change that is being made.
pub struct Edit {
    tx: Transaction<'static, Sqlite>,
}

impl Edit {
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Self, RecordsError> {
        Ok(Self { tx: pool.begin_with("BEGIN IMMEDIATE").await? })
    }

    /// The events that a name leads to, as [`super::Events::named`].
    pub async fn named(&mut self, name: &Name) -> Result<Vec<Head>, RecordsError> {
        query::named(&mut self.tx, name).await
    }

    /// Where the attributes or objects of a name are, as [`super::Events::places`].
    pub async fn places(&mut self, part: Part, name: &Name, own: OrgNo) -> Result<Vec<Place>, RecordsError> {
        query::places(&mut self.tx, part, name, own).await
    }

    /// Everything of an event but its own fields, as JSON.
    pub async fn content(&mut self, event: i64) -> Result<Vec<u8>, RecordsError> {
        let packed: Vec<u8> = sqlx::query_scalar("SELECT content FROM event WHERE id = $1").bind(event).fetch_one(&mut *self.tx).await?;
        unpack(&packed)
    }

    /// The first of so many numbers that were never given before.
    pub async fn numbers(&mut self, part: Part, count: usize) -> Result<i64, RecordsError> {
        let name = match part {
            Part::Event => "event",
            Part::Attribute => "attribute",
            Part::Object => "object",
            Part::Report => "report",
        };
        self.next(name, count).await
    }

    async fn next(&mut self, name: &'static str, count: usize) -> Result<i64, RecordsError> {
        let first: i64 = sqlx::query_scalar("SELECT next FROM counter WHERE name = $1").bind(name).fetch_one(&mut *self.tx).await?;
        let next = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        sqlx::query("UPDATE counter SET next = $1 WHERE name = $2").bind(next).bind(name).execute(&mut *self.tx).await?;
        Ok(first)
    }

    /// Writes an event in the place of what has its number, and notes that the hub's own events are behind it.
    ///
    /// # Errors
    /// [`RecordsError::Taken`] where the organisation has another event of this UUID.
    pub async fn put(&mut self, event: &NewEvent) -> Result<(), RecordsError> {
        let living = event.attributes.iter().filter(|attribute| !attribute.deleted).count();
        sqlx::query(
            "INSERT INTO event (id, org, uuid, published, deleted, tlp, audience, test, timestamp, published_at, date, info, attributes, generation, pending, head, content)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $16)
             ON CONFLICT (id) DO UPDATE SET published = excluded.published, deleted = excluded.deleted, tlp = excluded.tlp, audience = excluded.audience,
                 test = excluded.test, timestamp = excluded.timestamp, published_at = excluded.published_at, date = excluded.date, info = excluded.info,
                 attributes = excluded.attributes, generation = excluded.generation, pending = 1, head = excluded.head, content = excluded.content",
        )
        .bind(event.head.id)
        .bind(i64::from(event.head.org.0))
        .bind(event.head.uuid.as_str())
        .bind(i64::from(event.head.published))
        .bind(i64::from(event.head.deleted))
        .bind(i64::from(event.head.tlp.number()))
        .bind(list(&event.head.audience))
        .bind(i64::from(event.head.test))
        .bind(event.head.timestamp)
        .bind(event.head.published_at)
        .bind(event.head.date.as_str())
        .bind(event.info.as_str())
        .bind(i64::try_from(living).unwrap_or(i64::MAX))
        .bind(event.head.generation)
        .bind(event.head.json.as_str())
        .bind(pack(&event.content)?)
        .execute(&mut *self.tx)
        .await?;
        self.put_attributes(event).await?;
        self.put_objects(event).await?;
        self.put_reports(event).await?;
        self.put_tags(event).await
    }

    async fn put_attributes(&mut self, event: &NewEvent) -> Result<(), RecordsError> {
        let stored: Vec<(i64, i64)> = sqlx::query_as("SELECT id, digest FROM attribute WHERE event = $1").bind(event.head.id).fetch_all(&mut *self.tx).await?;
        let mut stored: HashMap<i64, i64> = stored.into_iter().collect();
        let mut changed: Vec<(&NewAttribute, i64)> = Vec::new();
        let mut gone: Vec<i64> = Vec::new();
        for attribute in &event.attributes {
            let digest = digest(attribute);
            match stored.remove(&attribute.id) {
                Some(there) if there == digest => {}
                Some(_) => {
                    gone.push(attribute.id);
                    changed.push((attribute, digest));
                }
                None => changed.push((attribute, digest)),
            }
        }
        gone.extend(stored.into_keys());
        for ids in gone.chunks(IDS) {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM attribute WHERE event = ");
            sql.push_bind(event.head.id).push(" AND id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            sql.push(")");
            sql.build().execute(&mut *self.tx).await?;
        }
        for rows in changed.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO attribute (id, event, object, uuid, type, category, value, value1, value2, comment, to_ids, deleted, timestamp, tlp, audience, victim, test, digest) ",
            );
            sql.push_values(rows, |mut row, (attribute, digest)| {
                row.push_bind(attribute.id)
                    .push_bind(event.head.id)
                    .push_bind(attribute.object)
                    .push_bind(attribute.uuid.as_str())
                    .push_bind(attribute.kind.as_str())
                    .push_bind(attribute.category.as_str())
                    .push_bind(attribute.value.as_str())
                    .push_bind(attribute.value1.as_str())
                    .push_bind(attribute.value2.as_str())
                    .push_bind(attribute.comment.as_str())
                    .push_bind(i64::from(attribute.to_ids))
                    .push_bind(i64::from(attribute.deleted))
                    .push_bind(attribute.timestamp)
                    .push_bind(i64::from(attribute.tlp.number()))
                    .push_bind(list(&attribute.audience))
                    .push_bind(i64::from(attribute.victim))
                    .push_bind(i64::from(attribute.test))
                    .push_bind(*digest);
            });
            sql.build().execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn put_objects(&mut self, event: &NewEvent) -> Result<(), RecordsError> {
        let mut stored: Vec<(i64, String, String, i64)> =
            sqlx::query_as("SELECT id, uuid, name, deleted FROM object WHERE event = $1").bind(event.head.id).fetch_all(&mut *self.tx).await?;
        let mut wanted: Vec<(i64, String, String, i64)> =
            event.objects.iter().map(|object| (object.id, object.uuid.clone(), object.name.clone(), i64::from(object.deleted))).collect();
        stored.sort_unstable();
        wanted.sort_unstable();
        if stored == wanted {
            return Ok(());
        }
        sqlx::query("DELETE FROM object WHERE event = $1").bind(event.head.id).execute(&mut *self.tx).await?;
        for rows in wanted.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO object (id, event, uuid, name, deleted) ");
            sql.push_values(rows, |mut row, (id, uuid, name, deleted)| {
                row.push_bind(*id).push_bind(event.head.id).push_bind(uuid.as_str()).push_bind(name.as_str()).push_bind(*deleted);
            });
            sql.build().execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn put_reports(&mut self, event: &NewEvent) -> Result<(), RecordsError> {
        let stored: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, uuid FROM report WHERE event = $1 ORDER BY id").bind(event.head.id).fetch_all(&mut *self.tx).await?;
        let mut wanted = event.reports.clone();
        wanted.sort_unstable();
        if stored == wanted {
            return Ok(());
        }
        sqlx::query("DELETE FROM report WHERE event = $1").bind(event.head.id).execute(&mut *self.tx).await?;
        for rows in wanted.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO report (id, event, uuid) ");
            sql.push_values(rows, |mut row, (id, uuid)| {
                row.push_bind(*id).push_bind(event.head.id).push_bind(uuid.as_str());
            });
            sql.build().execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn put_tags(&mut self, event: &NewEvent) -> Result<(), RecordsError> {
        let mut stored: Vec<(i64, String)> =
            sqlx::query_as("SELECT attribute, name FROM tag WHERE event = $1").bind(event.head.id).fetch_all(&mut *self.tx).await?;
        let mut wanted = event.tags.clone();
        stored.sort_unstable();
        wanted.sort_unstable();
        wanted.dedup();
        if stored == wanted {
            return Ok(());
        }
        sqlx::query("DELETE FROM tag WHERE event = $1").bind(event.head.id).execute(&mut *self.tx).await?;
        for rows in wanted.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO tag (event, attribute, name) ");
            sql.push_values(rows, |mut row, (attribute, name)| {
                row.push_bind(event.head.id).push_bind(*attribute).push_bind(name.as_str());
            });
            sql.build().execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Notes what of an event is among the hub's own now. It stays behind where the event was changed since `generation`.
    pub async fn set_shared(&mut self, event: i64, generation: i64, gone: &[String], came: &[Shared]) -> Result<(), RecordsError> {
        for uuids in gone.chunks(IDS) {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM shared WHERE event = ");
            sql.push_bind(event).push(" AND attribute IN (");
            let mut list = sql.separated(", ");
            for uuid in uuids {
                list.push_bind(uuid.as_str());
            }
            sql.push(")");
            sql.build().execute(&mut *self.tx).await?;
        }
        for rows in came.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO shared (event, attribute, digest, seq) ");
            sql.push_values(rows, |mut row, shared| {
                row.push_bind(event).push_bind(shared.attribute.as_str()).push_bind(shared.digest).push_bind(i64::try_from(shared.seq.0).unwrap_or(i64::MAX));
            });
            sql.build().execute(&mut *self.tx).await?;
        }
        sqlx::query("UPDATE event SET pending = 0 WHERE id = $1 AND generation = $2").bind(event).bind(generation).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// How many sightings of an organisation's there are, in all and of each attribute of an event.
    pub async fn count_sightings(&mut self, org: OrgNo, event: i64) -> Result<(i64, Vec<(i64, i64)>), RecordsError> {
        let all = sqlx::query_scalar("SELECT COUNT(*) FROM sighting WHERE org = $1").bind(i64::from(org.0)).fetch_one(&mut *self.tx).await?;
        let of_event = sqlx::query_as("SELECT attribute, COUNT(*) FROM sighting WHERE org = $1 AND event = $2 GROUP BY attribute")
            .bind(i64::from(org.0))
            .bind(event)
            .fetch_all(&mut *self.tx)
            .await?;
        Ok((all, of_event))
    }

    /// Adds a sighting and gives its number.
    ///
    /// # Errors
    /// [`RecordsError::Taken`] where the organisation has another one of this UUID.
    pub async fn add_sighting(&mut self, sighting: &NewSighting) -> Result<i64, RecordsError> {
        let id = self.next("sighting", 1).await?;
        sqlx::query("INSERT INTO sighting (id, uuid, event, attribute, org, kind, seen, source) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(id)
            .bind(sighting.uuid.as_str())
            .bind(sighting.event)
            .bind(sighting.attribute)
            .bind(i64::from(sighting.org.0))
            .bind(sighting.kind)
            .bind(sighting.seen)
            .bind(sighting.source.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(id)
    }

    /// Takes a sighting back.
    pub async fn delete_sighting(&mut self, id: i64) -> Result<(), RecordsError> {
        sqlx::query("DELETE FROM sighting WHERE id = $1").bind(id).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Takes the words out of a sighting.
    pub async fn silence_sighting(&mut self, id: i64) -> Result<(), RecordsError> {
        sqlx::query("UPDATE sighting SET source = '' WHERE id = $1").bind(id).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Adds a proposal and gives its number.
    pub async fn add_proposal(&mut self, proposal: &NewProposal) -> Result<i64, RecordsError> {
        let id = self.next("proposal", 1).await?;
        sqlx::query("INSERT INTO proposal (id, uuid, event, attribute, org, created, content) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(id)
            .bind(proposal.uuid.as_str())
            .bind(proposal.event)
            .bind(proposal.attribute)
            .bind(i64::from(proposal.org.0))
            .bind(proposal.created)
            .bind(proposal.json.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(id)
    }

    /// How many proposals of an organisation's wait.
    pub async fn count_proposals(&mut self, org: OrgNo) -> Result<i64, RecordsError> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM proposal WHERE org = $1").bind(i64::from(org.0)).fetch_one(&mut *self.tx).await?)
    }

    /// Takes a proposal out; false where it is not there any more.
    pub async fn delete_proposal(&mut self, id: i64) -> Result<bool, RecordsError> {
        let done = sqlx::query("DELETE FROM proposal WHERE id = $1").bind(id).execute(&mut *self.tx).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Makes the change durable.
    pub async fn commit(self) -> Result<(), RecordsError> {
        self.tx.commit().await?;
        Ok(())
    }
}

fn list(ids: &[Text]) -> String {
    if ids.is_empty() { String::new() } else { serde_json::to_string(ids).unwrap_or_default() }
}

/// The beginning of a hash of all that a row says.
fn digest(attribute: &NewAttribute) -> i64 {
    let hash = blake3::hash(format!("{attribute:?}").as_bytes());
    hash.as_bytes().iter().take(8).fold(0, |sum: i64, &byte| sum << 8 | i64::from(byte))
}
