//! `restSearch` and the list of events.
//!
//! Flow: filters → rows and heads that meet them, page by page → those that the reader sees → the page that was asked for → contents of that page alone.
//! Invariant: a filter finds nothing in what the reader does not see: not by a hidden attribute, nor by an organisation that is not shown.
//! Not here: how filters are read ([`super::filter`]), formats other than JSON ([`super::export`]).

use super::export::{self, Line};
use super::fields::{Fields, flag, number, set, text, text_of};
use super::filter::{Format, Search};
use super::show::{Extent, attribute_fields, object_fields};
use super::{MAX_ANSWER, MAX_LISTED, MAX_VALUES, apart, reads};
use crate::sharing::view::View;
use crate::{Actor, Hub, HubError};
use formats::misp::judge::parts;
use hashbrown::{HashMap, HashSet};
use model::detect::detect;
use policy::Sight;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::misp::{Condition, EventQuery, Found, Head, MAX_READ, Name, Part, RowQuery, TagCondition, key_of};

pub use super::filter::Scope;

/// Numbers of events asked for at once, and heads read at once.
const AT_ONCE: usize = 500;
/// Rows and heads that one search looks at; then what was found is given.
const MAX_LOOKED_AT: usize = 1_000_000;
/// Attributes of other events that are looked at for what says the same, and of those that are given beside one.
const MAX_RELATED: usize = 5_000;
/// As [`MAX_RELATED`], beside one attribute.
const MAX_BESIDE: usize = 100;

/// Fields of the event that stand beside an attribute.
const BRIEF: [&str; 6] = ["id", "uuid", "info", "org_id", "orgc_id", "distribution"];
/// The same where the context is asked for.
const CONTEXT: [&str; 15] = [
    "id",
    "uuid",
    "info",
    "org_id",
    "orgc_id",
    "distribution",
    "published",
    "threat_level_id",
    "analysis",
    "date",
    "timestamp",
    "publish_timestamp",
    "Orgc",
    "Org",
    "Tag",
];

/// The answer to a search.
#[derive(Debug, Clone)]
pub struct MispAnswer {
    /// What it is written in.
    pub media: MispMedia,
    /// Its bytes.
    pub body: Vec<u8>,
    /// How many events, attributes or objects were found on the page.
    pub count: usize,
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MispMedia {
    /// JSON.
    Json,
    /// A table.
    Csv,
    /// Lines.
    Text,
}

/// Heads by number; those that are not there or do not meet what is asked of events' tags are none.
struct Heads<'h> {
    hub: &'h Hub,
    actor: &'h Actor,
    search: &'h Search,
    known: HashMap<i64, Option<Head>>,
}

impl Heads<'_> {
    /// Learns the events of some rows, and which of them the reader sees and asks for.
    async fn learn(&mut self, events: impl Iterator<Item = i64>) -> Result<(), HubError> {
        let wanted: BTreeSet<i64> = events.filter(|event| !self.known.contains_key(event)).collect();
        let wanted: Vec<i64> = wanted.into_iter().collect();
        for ids in wanted.chunks(AT_ONCE) {
            self.known.extend(ids.iter().map(|id| (*id, None)));
            let tags = self.search.rows.events.tags.clone();
            let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, tags, limit: MAX_READ, ..EventQuery::default() };
            for head in self.hub.misp_events().heads(&query).await? {
                if self.hub.misp_wants(self.actor, self.search, &head)? {
                    self.known.insert(head.id, Some(head));
                }
            }
        }
        Ok(())
    }

    fn get(&self, event: i64) -> Option<&Head> {
        self.known.get(&event).and_then(Option::as_ref)
    }
}

impl Hub {
    /// Searches events, attributes or objects.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a format that is not given, [`HubError::TooLarge`] for too many values.
    pub async fn misp_search(&self, actor: &Actor, scope: Scope, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let mut search = Search::read(given, scope, &self.misp_moment())?;
        self.narrow(actor, &mut search, scope, sync).await?;
        match scope {
            Scope::Events => self.search_events(actor, &search, sync).await,
            Scope::Attributes => self.search_attributes(actor, &search).await,
            Scope::Objects => self.search_objects(actor, &search).await,
        }
    }

    /// Looks up what is named by UUID, so that the rest goes by numbers.
    async fn narrow(&self, actor: &Actor, search: &mut Search, scope: Scope, sync: bool) -> Result<(), HubError> {
        if sync {
            search.rows.events.published = Some(true);
        }
        if search.uuids.is_empty() {
            return Ok(());
        }
        let (mut events, mut attributes, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        for uuid in &search.uuids {
            let name = Name::Uuid(uuid.to_lowercase());
            let heads = self.misp_events().named(&name).await?;
            // One that the reader does not see makes no difference to what else it finds, else it would know of it by that.
            events.extend(heads.iter().filter(|head| !head.deleted && self.misp_sight(actor, head).sees_event()).map(|head| head.id));
            attributes.extend(self.misp_events().places(Part::Attribute, &name).await?);
            if scope == Scope::Objects {
                objects.extend(self.misp_events().places(Part::Object, &name).await?);
            }
        }
        // A UUID is one of few things; what is named past this is passed over.
        events.truncate(MAX_READ);
        attributes.truncate(MAX_READ);
        objects.truncate(MAX_READ);
        if events.is_empty() && !objects.is_empty() {
            search.rows.objects.any = objects.iter().map(|place| place.id).collect();
        } else if events.is_empty() && attributes.is_empty() {
            search.never = true;
        } else if events.is_empty() && (scope == Scope::Attributes || scope == Scope::Events) {
            search.rows.ids.any = attributes.iter().map(|place| place.id).collect();
            search.of_attributes = true;
        } else {
            let ids = &mut search.rows.events.ids.any;
            if ids.is_empty() {
                ids.extend(events);
            } else {
                ids.retain(|id| events.contains(id));
            }
            search.never |= ids.is_empty();
        }
        Ok(())
    }

    /// Whether the reader sees an event, and it meets the conditions on what is shown of it.
    fn misp_wants(&self, actor: &Actor, search: &Search, head: &Head) -> Result<bool, HubError> {
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        if !view.misp_event(head).sees_event() {
            return Ok(false);
        }
        if search.orgs.is_empty() && search.levels.is_empty() {
            return Ok(true);
        }
        let shown = self.misp_head(actor, head, false)?;
        let creator = shown.get("Orgc").and_then(Value::as_object);
        let is_by = |wanted: &String| {
            let says = |name: &str| creator.and_then(|creator| text(creator, name)).is_some_and(|said| said.eq_ignore_ascii_case(wanted));
            says("id") || says("uuid") || says("name")
        };
        let by = (search.orgs.any.is_empty() || search.orgs.any.iter().any(is_by)) && !search.orgs.none.iter().any(is_by);
        Ok(by && search.levels.iter().all(|(field, values)| text(&shown, field).is_some_and(|level| values.contains(&level))))
    }

    /// The events that meet a search and that the reader sees, by number.
    async fn picked(&self, actor: &Actor, search: &Search, most: usize) -> Result<BTreeSet<i64>, HubError> {
        let mut picked = BTreeSet::new();
        if search.never {
            return Ok(picked);
        }
        if search.of_attributes || search.rows.tags.wants_some() {
            self.each_row(actor, search, |found, _| {
                picked.insert(found.event);
                picked.len() < most
            })
            .await?;
        }
        if !search.of_attributes {
            let tags = both(&search.rows.tags, &search.rows.events.tags);
            let mut query = EventQuery { tags, limit: AT_ONCE, ..search.rows.events.clone() };
            let mut looked_at = 0;
            loop {
                let heads = self.misp_events().heads(&query).await?;
                looked_at += heads.len();
                for head in &heads {
                    if self.misp_wants(actor, search, head)? {
                        picked.insert(head.id);
                    }
                }
                match heads.last().filter(|_| heads.len() >= AT_ONCE && looked_at < MAX_LOOKED_AT && picked.len() < most) {
                    Some(last) => query.after = last.id,
                    None => break,
                }
            }
        }
        Ok(picked)
    }

    /// Gives every attribute that meets a search and that the reader sees, in order of events and numbers, until it is enough.
    pub(super) async fn each_row(&self, actor: &Actor, search: &Search, mut take: impl FnMut(&Found, &Head) -> bool) -> Result<(), HubError> {
        let mut heads = Heads { hub: self, actor, search, known: HashMap::new() };
        let mut query = RowQuery { limit: MAX_READ, ..search.rows.clone() };
        let mut looked_at = 0;
        loop {
            let rows = self.misp_events().rows(&query).await?;
            looked_at += rows.len();
            heads.learn(rows.iter().map(|found| found.event)).await?;
            let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
            for found in &rows {
                let Some(head) = heads.get(found.event) else { continue };
                if view.misp_attribute(head, found) && !take(found, head) {
                    return Ok(());
                }
            }
            match rows.last().filter(|_| rows.len() >= MAX_READ && looked_at < MAX_LOOKED_AT) {
                Some(last) => query.after = (last.event, last.id),
                None => return Ok(()),
            }
        }
    }

    async fn search_events(&self, actor: &Actor, search: &Search, sync: bool) -> Result<MispAnswer, HubError> {
        let end = search.page.saturating_mul(search.limit);
        let picked = self.picked(actor, search, end).await?;
        let page: Vec<i64> = picked.into_iter().skip(end - search.limit).take(search.limit).collect();
        let mut events: Vec<Value> = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        let mut bytes = 0;
        for id in page {
            let Some(head) = self.first_seen_by(actor, self.misp_events().named(&Name::Id(id)).await?, sync) else { continue };
            let tags = TagCondition { none: search.rows.tags.none.clone(), ..TagCondition::default() };
            let shown = RowQuery { deleted: search.rows.deleted, to_ids: search.rows.to_ids, tags, ..RowQuery::default() };
            let mut visible = if search.metadata { HashSet::new() } else { self.misp_visible(actor, &head, shown).await? };
            if search.warning_lists {
                self.without_listed(&head, &mut visible).await?;
            }
            if search.format != Format::Json {
                lines.extend(self.lines(actor, &head, &visible, false).await?);
                continue;
            }
            let extent = Extent { metadata: search.metadata, attachments: search.attachments, deleted: search.rows.deleted };
            let event = self.misp_written(actor, &head, extent, sync, visible).await?;
            bytes += event.to_string().len();
            events.push(event);
            if bytes > MAX_ANSWER {
                break;
            }
        }
        if search.format != Format::Json {
            return self.exported(search, lines).await;
        }
        let count = events.len();
        answer(json!({ "response": events }), count).await
    }

    async fn search_attributes(&self, actor: &Actor, search: &Search) -> Result<MispAnswer, HubError> {
        let (from, to) = (search.page.saturating_mul(search.limit) - search.limit, search.page.saturating_mul(search.limit));
        let mut by_event: BTreeMap<i64, (Head, HashSet<i64>)> = BTreeMap::new();
        let mut place = 0;
        if !search.never {
            self.each_row(actor, search, |found, head| {
                if place >= from {
                    by_event.entry(found.event).or_insert_with(|| (head.clone(), HashSet::new())).1.insert(found.id);
                }
                place += 1;
                place < to
            })
            .await?;
        }
        let mut lines: Vec<Line> = Vec::new();
        let mut attributes: Vec<Value> = Vec::new();
        let mut bytes = 0;
        for (head, mut visible) in by_event.into_values() {
            if search.warning_lists {
                self.without_listed(&head, &mut visible).await?;
            }
            let found = self.lines(actor, &head, &visible, search.attachments).await?;
            if search.format != Format::Json {
                lines.extend(found);
                continue;
            }
            let sightings = if search.sightings { self.misp_sightings_of(actor, &head, None).await? } else { Vec::new() };
            for line in found {
                let attribute = with_context(line, search, &head.uuid, &sightings);
                bytes += attribute.to_string().len();
                attributes.push(attribute);
            }
            if bytes > MAX_ANSWER {
                break;
            }
        }
        if search.format != Format::Json {
            return self.exported(search, lines).await;
        }
        if search.correlations {
            self.add_related(actor, &mut attributes).await?;
        }
        let count = attributes.len();
        answer(json!({ "response": { "Attribute": attributes } }), count).await
    }

    /// Puts beside each attribute what of other events says the same, as far as the reader sees it.
    async fn add_related(&self, actor: &Actor, attributes: &mut [Value]) -> Result<(), HubError> {
        let mut wanted: Vec<String> = attributes.iter().filter_map(correlating).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(MAX_VALUES);
        if wanted.is_empty() {
            return Ok(());
        }
        let mut search = Search::read(&Fields::new(), Scope::Attributes, &self.misp_moment())?;
        search.rows.value.any = wanted;
        let mut by_event: BTreeMap<i64, (Head, HashSet<i64>)> = BTreeMap::new();
        let mut count = 0;
        self.each_row(actor, &search, |found, head| {
            by_event.entry(found.event).or_insert_with(|| (head.clone(), HashSet::new())).1.insert(found.id);
            count += 1;
            count < MAX_RELATED
        })
        .await?;
        let mut related: HashMap<String, Vec<Value>> = HashMap::new();
        for (head, visible) in by_event.into_values() {
            for line in self.lines(actor, &head, &visible, false).await? {
                let attribute = with_context(line, &search, &head.uuid, &[]);
                if let Some(key) = correlating(&attribute) {
                    related.entry(key).or_default().push(attribute);
                }
            }
        }
        for attribute in attributes {
            let others = correlating(attribute).and_then(|key| related.get(&key));
            let event = attribute.get("event_id").cloned();
            let beside: Vec<Value> = others.into_iter().flatten().filter(|other| other.get("event_id") != event.as_ref()).take(MAX_BESIDE).cloned().collect();
            if let Some(fields) = attribute.as_object_mut() {
                set(fields, "RelatedAttribute", beside);
            }
        }
        Ok(())
    }

    async fn search_objects(&self, actor: &Actor, search: &Search) -> Result<MispAnswer, HubError> {
        let (from, to) = (search.page.saturating_mul(search.limit) - search.limit, search.page.saturating_mul(search.limit));
        let mut by_event: BTreeMap<i64, (Head, HashSet<i64>)> = BTreeMap::new();
        let mut seen: HashSet<i64> = HashSet::new();
        if !search.never {
            self.each_row(actor, search, |found, head| {
                if found.object != 0 && seen.insert(found.object) && seen.len() > from {
                    by_event.entry(found.event).or_insert_with(|| (head.clone(), HashSet::new())).1.insert(found.object);
                }
                seen.len() < to
            })
            .await?;
        }
        let mut found: Vec<Value> = Vec::new();
        for (head, wanted) in by_event.into_values() {
            let query = RowQuery { deleted: search.rows.deleted, ..RowQuery::default() };
            let visible = self.misp_visible(actor, &head, query).await?;
            let sight = View { reader: &actor.reader, directory: self.directory().snapshot() }.misp_event(&head);
            let document = self.misp_document(&head).await?;
            let extent = Extent { metadata: false, attachments: search.attachments, deleted: None };
            let wanted = document.objects.iter().filter(|object| number(object, "id").is_some_and(|id| wanted.contains(&id)));
            found.extend(wanted.filter_map(|object| object_fields(object, head.id, &visible, extent, sight, false)).map(|object| json!({ "Object": object })));
        }
        let count = found.len();
        answer(json!({ "response": found }), count).await
    }

    /// The attributes of an event that are to be written, each with what a table says of it.
    async fn lines(&self, actor: &Actor, head: &Head, visible: &HashSet<i64>, attachments: bool) -> Result<Vec<Line>, HubError> {
        let shown = std::sync::Arc::new(self.misp_head(actor, head, false)?);
        let sight = View { reader: &actor.reader, directory: self.directory().snapshot() }.misp_event(head);
        let document = self.misp_document(head).await?;
        let (event, visible) = (head.id, visible.clone());
        apart(move || {
            let seen = document.each().filter(|(attribute, _)| number(attribute, "id").is_some_and(|id| visible.contains(&id)));
            Ok(seen.map(|(attribute, object)| line(attribute, object, event, &shown, attachments, sight)).collect())
        })
        .await
    }

    async fn exported(&self, search: &Search, lines: Vec<Line>) -> Result<MispAnswer, HubError> {
        let count = lines.len();
        let (search, now) = (search.clone(), self.clock().now());
        let (creator, name) = (self.stix_identity(), self.misp_hub_name());
        apart(move || {
            let (media, body) = match search.format {
                Format::Csv => (MispMedia::Csv, export::csv(&lines, search.context, &search.columns, search.headerless)),
                Format::Text => (MispMedia::Text, export::text_lines(&lines)),
                Format::Cache => (MispMedia::Text, export::cache(&lines)),
                Format::Suricata => (MispMedia::Text, export::suricata(&lines, now)),
                Format::Stix2 | Format::Json => (MispMedia::Json, export::stix2(&lines, creator, &name, now)),
            };
            Ok(MispAnswer { media, body, count })
        })
        .await
    }

    /// Takes out the attributes whose value a warning list holds.
    async fn without_listed(&self, head: &Head, visible: &mut HashSet<i64>) -> Result<(), HubError> {
        let document = self.misp_document(head).await?;
        for (attribute, _) in document.each() {
            let (Some(id), Some(kind), Some(value)) = (number(attribute, "id"), text(attribute, "type"), text(attribute, "value")) else { continue };
            if visible.contains(&id) && self.misp_is_listed(&kind, &value) {
                visible.remove(&id);
            }
        }
        Ok(())
    }

    /// Whether a warning list holds the value of an attribute, or a part of it.
    pub(super) fn misp_is_listed(&self, kind: &str, value: &str) -> bool {
        let (first, second) = parts(kind, value);
        let listed = |text: &str| detect(text).is_some_and(|(kind, value)| self.warning_lists.touches(kind, &value));
        listed(first) || second.is_some_and(listed)
    }

    /// The list of events, without what is in them.
    ///
    /// # Errors
    /// As [`Hub::misp_search`].
    pub async fn misp_index(&self, actor: &Actor, given: &Fields, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let mut search = Search::read(given, Scope::Events, &self.misp_moment())?;
        self.narrow(actor, &mut search, Scope::Events, sync).await?;
        let stated = number(given, "limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        search.limit = stated.unwrap_or(MAX_LISTED).min(MAX_LISTED);
        let minimal = flag(given, "minimal") == Some(true);
        let end = search.page.saturating_mul(search.limit);
        let sort = text(given, "sort").filter(|_| !minimal);
        let picked = self.picked(actor, &search, if sort.is_some() { MAX_LISTED } else { end }).await?;
        let mut ids: Vec<i64> = picked.into_iter().collect();
        if let Some(sort) = sort {
            self.sort(&mut ids, &sort, text(given, "direction").is_some_and(|word| word.eq_ignore_ascii_case("desc"))).await?;
        }
        let page: Vec<i64> = ids.into_iter().skip(end - search.limit).take(search.limit).collect();
        let mut shown = Vec::with_capacity(page.len().min(MAX_READ));
        let mut uuids = HashSet::new();
        for ids in page.chunks(AT_ONCE) {
            let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, limit: MAX_READ, ..EventQuery::default() };
            let heads: HashMap<i64, Head> = self.misp_events().heads(&query).await?.into_iter().map(|head| (head.id, head)).collect();
            for head in ids.iter().filter_map(|id| heads.get(id)) {
                let event = self.misp_head(actor, head, sync)?;
                if minimal {
                    // Another instance goes by UUIDs: of two that are the same it takes the first.
                    if uuids.insert(head.uuid.clone()) {
                        shown.push(minimal_of(head, &event));
                    }
                } else {
                    shown.push(listed(event));
                }
            }
        }
        Ok(Value::Array(shown))
    }

    async fn sort(&self, ids: &mut Vec<i64>, by: &str, descending: bool) -> Result<(), HubError> {
        let mut keyed: Vec<(String, i64)> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, limit: MAX_READ, ..EventQuery::default() };
            for head in self.misp_events().heads(&query).await? {
                let key = match by {
                    "timestamp" => format!("{:020}", head.timestamp),
                    "publish_timestamp" => format!("{:020}", head.published_at),
                    "date" => head.date.clone(),
                    "info" => serde_json::from_str::<Fields>(&head.json).ok().and_then(|fields| text(&fields, "info")).unwrap_or_default(),
                    _ => format!("{:020}", head.id),
                };
                keyed.push((key, head.id));
            }
        }
        keyed.sort_unstable();
        if descending {
            keyed.reverse();
        }
        *ids = keyed.into_iter().map(|(_, id)| id).collect();
        Ok(())
    }

    /// Of the events that another instance would push, those that it should: unknown here, or older.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not write.
    pub async fn misp_wanted(&self, actor: &Actor, given: &Value) -> Result<Value, HubError> {
        if !super::people::may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let mut wanted = Vec::new();
        for entry in given.as_array().into_iter().flatten().take(MAX_LISTED) {
            let Some(event) = entry.get("Event").and_then(Value::as_object) else { continue };
            let Some(uuid) = text(event, "uuid").and_then(|uuid| super::fields::uuid_of(&uuid)) else { continue };
            let heads = self.misp_events().named(&Name::Uuid(uuid.clone())).await?;
            let own = heads.iter().find(|head| head.org == actor.organisation.number);
            let stamp = number(event, "timestamp").unwrap_or(i64::MAX);
            if !self.misp.feed.is_ours(&uuid) && own.is_none_or(|head| head.timestamp < stamp) {
                wanted.push(Value::from(uuid));
            }
        }
        Ok(Value::Array(wanted))
    }
}

/// Two conditions on tags at once.
fn both(one: &TagCondition, other: &TagCondition) -> TagCondition {
    let mut all: Vec<String> = one.all.iter().chain(&other.all).cloned().collect();
    let any = if one.any.is_empty() || other.any.is_empty() {
        one.any.iter().chain(&other.any).cloned().collect()
    } else {
        // Tags of which one is wanted, twice: narrower than asked for where several are named, and never wider.
        all.extend(other.any.iter().cloned());
        one.any.clone()
    };
    TagCondition { any, all, none: one.none.iter().chain(&other.none).cloned().collect() }
}

fn line(attribute: &Fields, object: Option<&Fields>, event: i64, shown: &std::sync::Arc<Fields>, attachments: bool, sight: Sight) -> Line {
    let number = object.and_then(|object| number(object, "id")).unwrap_or(0);
    let said = |name: &str| object.and_then(|object| text(object, name)).unwrap_or_default();
    Line {
        attribute: attribute_fields(attribute, event, number, attachments, sight, false),
        object_uuid: said("uuid"),
        object_name: said("name"),
        object_category: said("meta-category"),
        event: std::sync::Arc::clone(shown),
    }
}

/// An attribute of a search with the event it is in, as far as that is asked for.
fn with_context(line: Line, search: &Search, uuid: &str, sightings: &[Value]) -> Value {
    let Line { mut attribute, event, .. } = line;
    set(&mut attribute, "event_uuid", uuid);
    let mut context = Fields::new();
    let names: &[&str] = if search.context { &CONTEXT } else { &BRIEF };
    for name in names {
        if let Some(value) = event.get(*name) {
            set(&mut context, name, value.clone());
        }
    }
    set(&mut attribute, "Event", context);
    if search.event_tags
        && let (Some(Value::Array(of_event)), Some(Value::Array(own))) = (event.get("Tag"), attribute.get_mut("Tag"))
    {
        for tag in of_event {
            let mut tag = tag.clone();
            if let Some(fields) = tag.as_object_mut() {
                set(fields, "inherited", 1);
            }
            own.push(tag);
        }
    }
    if search.sightings {
        let id = attribute.get("id").and_then(text_of);
        let own: Vec<Value> = sightings.iter().filter(|sighting| sighting.get("attribute_id").and_then(text_of) == id).cloned().collect();
        set(&mut attribute, "Sighting", own);
    }
    Value::Object(attribute)
}

/// What an attribute correlates by: its value in lower case. `%` would stand for anything.
fn correlating(attribute: &Value) -> Option<String> {
    let fields = attribute.as_object().filter(|fields| flag(fields, "disable_correlation") != Some(true))?;
    text(fields, "value").map(|value| key_of(&value)).filter(|key| !key.contains('%'))
}

/// What another instance needs to tell whether it has an event.
fn minimal_of(head: &Head, event: &Fields) -> Value {
    json!({
        "id": head.id.to_string(),
        "uuid": head.uuid,
        "timestamp": head.timestamp.to_string(),
        "sighting_timestamp": "0",
        "published": head.published,
        "orgc_uuid": event.get("Orgc").and_then(|creator| creator.get("uuid")),
    })
}

/// An event of a list: tags are called otherwise there.
fn listed(mut event: Fields) -> Value {
    let id = event.get("id").cloned().unwrap_or_default();
    let tags: Vec<Value> = match event.remove("Tag") {
        Some(Value::Array(tags)) => tags,
        _ => Vec::new(),
    };
    let of_event: Vec<Value> = tags.into_iter().map(|tag| json!({ "event_id": id, "tag_id": tag.get("id"), "local": tag.get("local"), "Tag": tag })).collect();
    set(&mut event, "EventTag", of_event);
    for name in ["EventReport", "CryptographicKey"] {
        event.remove(name);
    }
    Value::Object(event)
}

async fn answer(body: Value, count: usize) -> Result<MispAnswer, HubError> {
    let body = apart(move || serde_json::to_vec(&body).map_err(|error| HubError::Internal(Box::new(error)))).await?;
    Ok(MispAnswer { media: MispMedia::Json, body, count })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn condition(any: &[&str], all: &[&str], none: &[&str]) -> TagCondition {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        TagCondition { any: list(any), all: list(all), none: list(none) }
    }

    #[test]
    fn two_conditions_on_tags_are_never_wider_than_each() {
        assert_eq!(both(&condition(&["a"], &[], &["x"]), &condition(&[], &["b"], &["y"])), condition(&["a"], &["b"], &["x", "y"]));
        assert_eq!(both(&condition(&["a"], &[], &[]), &condition(&["b"], &[], &[])), condition(&["a"], &["b"], &[]));
    }

    #[test]
    fn an_event_of_a_list_carries_its_tags_as_misp_does_there() {
        let event = super::super::fields::object(json!({ "id": "7", "Tag": [{ "id": "3", "name": "a" }], "EventReport": [] })).unwrap();
        let listed = listed(event);
        assert_eq!((&listed["EventTag"][0]["Tag"]["name"], &listed["EventTag"][0]["event_id"]), (&json!("a"), &json!("7")));
        assert!(listed.get("Tag").is_none() && listed.get("EventReport").is_none());
    }
}
