//! Finding events, attributes and sightings.
//!
//! Invariant: a text of the caller's is always bound, never a part of a statement.
//! Not here: which of what is found a reader sees; that is decided on the rows, before anything is counted.

use super::{Head, MAX_PROPOSALS_READ, MAX_READ, Name, PLACES_OF_ONE, Part, Place, Proposal, Sighting, audience, key_of, marking, organisation};
use crate::records::RecordsError;
use model::{OrgNo, Text, Tlp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// Values that are wanted and values that are not; nothing wanted: any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition<T> {
    /// One of these.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Condition<T> {
    fn default() -> Self {
        Self { any: Vec::new(), none: Vec::new() }
    }
}

impl<T> Condition<T> {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

/// Texts, in which `%` stands for anything; a few hundred of those that hold it at the most.
pub type Words = Condition<String>;

/// Conditions on tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagCondition {
    /// One of these.
    pub any: Vec<String>,
    /// All of these.
    pub all: Vec<String>,
    /// None of these.
    pub none: Vec<String>,
}

impl TagCondition {
    /// Whether it asks for a tag to be there.
    pub fn wants_some(&self) -> bool {
        !self.any.is_empty() || !self.all.is_empty()
    }
}

/// Conditions on events. All must hold; ranges include their ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// With a greater number.
    pub after: i64,
    /// Heads at the most; at most [`MAX_READ`].
    pub limit: usize,
    /// Numbers.
    pub ids: Condition<i64>,
    /// UUIDs.
    pub uuids: Condition<String>,
    /// Numbers of organisations.
    pub orgs: Condition<i64>,
    /// Whether it is published.
    pub published: Option<bool>,
    /// When it was changed, seconds.
    pub timestamp: (Option<i64>, Option<i64>),
    /// When it was published, seconds.
    pub published_at: (Option<i64>, Option<i64>),
    /// Its day.
    pub date: (Option<String>, Option<String>),
    /// What it is about.
    pub info: Words,
    /// The event's own tags.
    pub tags: TagCondition,
}

/// Numbers of events, attributes and objects that something of one name may be; an attribute is wanted where it is one, or in one. None: no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Events.
    pub events: Vec<i64>,
    /// Attributes.
    pub attributes: Vec<i64>,
    /// Objects.
    pub objects: Vec<i64>,
}

/// Conditions on attributes, and on the events they are in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowQuery {
    /// The events; its `after`, `limit` and `tags` do not matter.
    pub events: EventQuery,
    /// After this event and attribute.
    pub after: (i64, i64),
    /// Rows at the most; at most [`MAX_READ`].
    pub limit: usize,
    /// Numbers of attributes.
    pub ids: Condition<i64>,
    /// UUIDs of attributes.
    pub uuids: Condition<String>,
    /// Numbers of objects.
    pub objects: Condition<i64>,
    /// What a name leads to.
    pub named: Named,
    /// Values, whole or their parts.
    pub value: Words,
    /// Somewhere in the value, the comment, or the event's info.
    pub anywhere: Words,
    /// Types.
    pub kind: Words,
    /// Categories.
    pub category: Words,
    /// Whether it is worth detecting.
    pub to_ids: Option<bool>,
    /// Whether it is deleted.
    pub deleted: Option<bool>,
    /// When it was changed, seconds.
    pub timestamp: (Option<i64>, Option<i64>),
    /// Tags of the attribute or of its event.
    pub tags: TagCondition,
    /// Name of the object that it is in.
    pub object_name: Words,
}

/// An attribute that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The event.
    pub event: i64,
    /// Its number.
    pub id: i64,
    /// The object that it is in; 0: none.
    pub object: i64,
    /// Its marking.
    pub tlp: Tlp,
    /// Ids that it is narrowed to.
    pub audience: Vec<Text>,
    /// Whether it names a victim.
    pub victim: bool,
    /// Whether it is for tests.
    pub test: bool,
}

const HEAD: &str = "SELECT e.id, e.org, e.uuid, e.published, e.deleted, e.tlp, e.audience, e.test, e.timestamp, e.published_at, e.date, e.attributes, e.generation, e.head FROM event e";

type HeadRow = (i64, i64, String, i64, i64, i64, String, i64, i64, i64, String, i64, i64, String);

fn read_head(row: HeadRow) -> Result<Head, RecordsError> {
    let (id, org, uuid, published, deleted, tlp, narrowed, test, timestamp, published_at, date, attributes, generation, json) = row;
    Ok(Head {
        id,
        org: organisation(org)?,
        uuid,
        published: published != 0,
        deleted: deleted != 0,
        tlp: marking(tlp)?,
        audience: audience(&narrowed)?,
        test: test != 0,
        timestamp,
        published_at,
        date,
        attributes: u64::try_from(attributes).unwrap_or(0),
        generation,
        json,
    })
}

pub(super) async fn named(connection: &mut SqliteConnection, name: &Name) -> Result<Vec<Head>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(HEAD);
    match name {
        Name::Id(id) => sql.push(" WHERE e.id = ").push_bind(*id),
        Name::Uuid(uuid) => sql.push(" WHERE e.uuid = ").push_bind(uuid.clone()),
    };
    sql.push(" ORDER BY e.id");
    let rows: Vec<HeadRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_head).collect()
}

pub(super) async fn places(connection: &mut SqliteConnection, part: Part, name: &Name, own: OrgNo) -> Result<Vec<Place>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "SELECT event, id FROM (SELECT e.id AS event, p.id AS id, e.org AS org, ROW_NUMBER() OVER (PARTITION BY e.org ORDER BY p.id) AS rank FROM ",
    );
    sql.push(match part {
        Part::Event => "event p JOIN event e ON e.id = p.id",
        Part::Attribute => "attribute p JOIN event e ON e.id = p.event",
        Part::Object => "object p JOIN event e ON e.id = p.event",
        Part::Report => "report p JOIN event e ON e.id = p.event",
    });
    match name {
        Name::Id(id) => sql.push(" WHERE p.id = ").push_bind(*id),
        Name::Uuid(uuid) => sql.push(" WHERE p.uuid = ").push_bind(uuid.clone()),
    };
    sql.push(" AND e.deleted = 0) WHERE rank <= ").push_bind(PLACES_OF_ONE);
    sql.push(" ORDER BY org <> ").push_bind(i64::from(own.0)).push(", id LIMIT ").push_bind(bounded(MAX_READ));
    let rows: Vec<(i64, i64)> = sql.build_query_as().fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(event, id)| Place { event, id }).collect())
}

pub(super) async fn reports(connection: &mut SqliteConnection, event: Option<i64>, after: i64) -> Result<Vec<Place>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT r.event, r.id FROM report r JOIN event e ON e.id = r.event WHERE e.deleted = 0 AND r.id > ");
    sql.push_bind(after);
    if let Some(event) = event {
        sql.push(" AND r.event = ").push_bind(event);
    }
    sql.push(" ORDER BY r.id LIMIT ").push_bind(bounded(MAX_READ));
    let rows: Vec<(i64, i64)> = sql.build_query_as().fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(event, id)| Place { event, id }).collect())
}

pub(super) async fn heads(connection: &mut SqliteConnection, query: &EventQuery) -> Result<Vec<Head>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(HEAD);
    sql.push(" WHERE e.deleted = 0 AND e.id > ").push_bind(query.after);
    of_events(&mut sql, query);
    with_tags(&mut sql, &query.tags, "t.event = e.id AND t.attribute = 0");
    sql.push(" ORDER BY e.id LIMIT ").push_bind(bounded(query.limit));
    let rows: Vec<HeadRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_head).collect()
}

pub(super) async fn rows(connection: &mut SqliteConnection, query: &RowQuery) -> Result<Vec<Found>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "SELECT a.event, a.id, a.object, a.tlp, a.audience, a.victim, a.test FROM attribute a JOIN event e ON e.id = a.event WHERE e.deleted = 0 AND (a.event, a.id) > (",
    );
    sql.push_bind(query.after.0).push(", ").push_bind(query.after.1).push(")");
    of_events(&mut sql, &query.events);
    numbers(&mut sql, "a.id", &query.ids);
    texts(&mut sql, &["a.uuid"], &query.uuids);
    numbers(&mut sql, "a.object", &query.objects);
    one_of(&mut sql, &query.named);
    texts(&mut sql, &["a.value", "a.value1", "a.value2"], &query.value);
    texts(&mut sql, &["a.value", "a.comment", "e.info"], &query.anywhere);
    texts(&mut sql, &["a.type"], &query.kind);
    texts(&mut sql, &["a.category"], &query.category);
    flag(&mut sql, "a.to_ids", query.to_ids);
    flag(&mut sql, "a.deleted", query.deleted);
    range(&mut sql, "a.timestamp", query.timestamp);
    with_tags(&mut sql, &query.tags, "t.event = a.event AND (t.attribute = a.id OR t.attribute = 0)");
    if !query.object_name.is_empty() {
        sql.push(" AND EXISTS (SELECT 1 FROM object o WHERE o.id = a.object");
        texts(&mut sql, &["o.name"], &query.object_name);
        sql.push(")");
    }
    sql.push(" ORDER BY a.event, a.id LIMIT ").push_bind(bounded(query.limit));
    let rows: Vec<(i64, i64, i64, i64, String, i64, i64)> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter()
        .map(|(event, id, object, tlp, narrowed, victim, test)| {
            Ok(Found { event, id, object, tlp: marking(tlp)?, audience: audience(&narrowed)?, victim: victim != 0, test: test != 0 })
        })
        .collect()
}

type SightingRow = (i64, String, i64, i64, i64, i64, i64, String);

fn read_sighting((id, uuid, event, attribute, org, kind, seen, source): SightingRow) -> Result<Sighting, RecordsError> {
    Ok(Sighting { id, uuid, event, attribute, org: organisation(org)?, kind, seen, source })
}

const SIGHTING: &str = "SELECT id, uuid, event, attribute, org, kind, seen, source FROM sighting WHERE ";

pub(super) async fn sightings(
    connection: &mut SqliteConnection,
    event: Option<i64>,
    attribute: Option<i64>,
    after: i64,
) -> Result<Vec<Sighting>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SIGHTING);
    sql.push("id > ").push_bind(after);
    for (column, wanted) in [("event", event), ("attribute", attribute)] {
        if let Some(wanted) = wanted {
            sql.push(" AND ").push(column).push(" = ").push_bind(wanted);
        }
    }
    sql.push(" ORDER BY id LIMIT ").push_bind(bounded(MAX_READ));
    let rows: Vec<SightingRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_sighting).collect()
}

pub(super) async fn sighting(connection: &mut SqliteConnection, name: &Name) -> Result<Vec<Sighting>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SIGHTING);
    match name {
        Name::Id(id) => sql.push("id = ").push_bind(*id),
        Name::Uuid(uuid) => sql.push("uuid = ").push_bind(uuid.clone()),
    };
    sql.push(" ORDER BY id LIMIT ").push_bind(bounded(MAX_READ));
    let rows: Vec<SightingRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_sighting).collect()
}

type ProposalRow = (i64, String, i64, i64, i64, i64, String);

fn read_proposal((id, uuid, event, attribute, org, created, json): ProposalRow) -> Result<Proposal, RecordsError> {
    Ok(Proposal { id, uuid, event, attribute, org: organisation(org)?, created, json })
}

const PROPOSAL: &str = "SELECT id, uuid, event, attribute, org, created, content FROM proposal WHERE ";

pub(super) async fn proposals(
    connection: &mut SqliteConnection,
    event: Option<i64>,
    attribute: Option<i64>,
    after: i64,
) -> Result<Vec<Proposal>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(PROPOSAL);
    sql.push("id > ").push_bind(after);
    for (column, wanted) in [("event", event), ("attribute", attribute)] {
        if let Some(wanted) = wanted {
            sql.push(" AND ").push(column).push(" = ").push_bind(wanted);
        }
    }
    sql.push(" ORDER BY id LIMIT ").push_bind(bounded(MAX_PROPOSALS_READ));
    let rows: Vec<ProposalRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_proposal).collect()
}

pub(super) async fn proposal(connection: &mut SqliteConnection, name: &Name) -> Result<Vec<Proposal>, RecordsError> {
    let mut sql = QueryBuilder::<Sqlite>::new(PROPOSAL);
    match name {
        Name::Id(id) => sql.push("id = ").push_bind(*id),
        Name::Uuid(uuid) => sql.push("uuid = ").push_bind(uuid.clone()),
    };
    sql.push(" ORDER BY id LIMIT ").push_bind(bounded(MAX_READ));
    let rows: Vec<ProposalRow> = sql.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(read_proposal).collect()
}

fn of_events(sql: &mut QueryBuilder<Sqlite>, query: &EventQuery) {
    numbers(sql, "e.id", &query.ids);
    texts(sql, &["e.uuid"], &query.uuids);
    numbers(sql, "e.org", &query.orgs);
    flag(sql, "e.published", query.published);
    range(sql, "e.timestamp", query.timestamp);
    range(sql, "e.published_at", query.published_at);
    for (sign, day) in [(" AND e.date >= ", &query.date.0), (" AND e.date <= ", &query.date.1)] {
        if let Some(day) = day {
            sql.push(sign).push_bind(day.clone());
        }
    }
    texts(sql, &["e.info"], &query.info);
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit.min(MAX_READ)).unwrap_or(1)
}

fn flag(sql: &mut QueryBuilder<Sqlite>, column: &'static str, wanted: Option<bool>) {
    if let Some(wanted) = wanted {
        sql.push(" AND ").push(column).push(" = ").push_bind(i64::from(wanted));
    }
}

fn range(sql: &mut QueryBuilder<Sqlite>, column: &'static str, (from, to): (Option<i64>, Option<i64>)) {
    for (sign, end) in [(" >= ", from), (" <= ", to)] {
        if let Some(end) = end {
            sql.push(" AND ").push(column).push(sign).push_bind(end);
        }
    }
}

fn numbers(sql: &mut QueryBuilder<Sqlite>, column: &'static str, condition: &Condition<i64>) {
    for (word, list) in [(" IN (", &condition.any), (" NOT IN (", &condition.none)] {
        if list.is_empty() {
            continue;
        }
        sql.push(" AND ").push(column).push(word);
        let mut parts = sql.separated(", ");
        for number in list {
            parts.push_bind(*number);
        }
        sql.push(")");
    }
}

fn one_of(sql: &mut QueryBuilder<Sqlite>, named: &Named) {
    let lists = [("e.id", &named.events), ("a.id", &named.attributes), ("a.object", &named.objects)];
    let mut word = " AND (";
    for (column, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        sql.push(std::mem::replace(&mut word, " OR ")).push(column).push(" IN (");
        let mut parts = sql.separated(", ");
        for number in list {
            parts.push_bind(*number);
        }
        sql.push(")");
    }
    if word == " OR " {
        sql.push(")");
    }
}

/// One of the columns is one of the texts wanted, and none of them is one of those not wanted.
fn texts(sql: &mut QueryBuilder<Sqlite>, columns: &[&'static str], condition: &Words) {
    for (word, list) in [(" AND (", &condition.any), (" AND NOT (", &condition.none)] {
        if list.is_empty() {
            continue;
        }
        let (patterns, plain): (Vec<String>, Vec<String>) = list.iter().map(|text| key_of(text)).partition(|key| key.contains('%'));
        sql.push(word);
        let mut or = "";
        for column in columns {
            if !plain.is_empty() {
                // A list, for SQLite bounds how deep a chain of alternatives may be.
                sql.push(std::mem::replace(&mut or, " OR ")).push(column).push(" IN (");
                let mut parts = sql.separated(", ");
                for text in &plain {
                    parts.push_bind(text.clone());
                }
                sql.push(")");
            }
            for pattern in &patterns {
                let escaped = pattern.replace('\\', "\\\\").replace('_', "\\_");
                sql.push(std::mem::replace(&mut or, " OR ")).push(column).push(" LIKE ").push_bind(escaped).push(" ESCAPE '\\'");
            }
        }
        sql.push(")");
    }
}

fn with_tags(sql: &mut QueryBuilder<Sqlite>, tags: &TagCondition, of: &'static str) {
    let mut any_of = |word: &'static str, names: &[String]| {
        sql.push(word).push("EXISTS (SELECT 1 FROM tag t WHERE ").push(of);
        texts(sql, &["t.name"], &Words { any: names.to_vec(), none: Vec::new() });
        sql.push(")");
    };
    if !tags.any.is_empty() {
        any_of(" AND ", &tags.any);
    }
    for name in &tags.all {
        any_of(" AND ", std::slice::from_ref(name));
    }
    if !tags.none.is_empty() {
        any_of(" AND NOT ", &tags.none);
    }
}
