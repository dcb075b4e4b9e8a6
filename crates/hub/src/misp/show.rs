//! Contributed events, attributes and objects as a reader sees them.
//!
//! Flow: a name → [`Hub::misp_find`] (own first, then what is visible, by [`Hub::misp_ranks`]) → which attributes are visible, by their rows → room for
//! the event, by its length → the document without the rest.
//! Invariant: no event is unpacked before it has room; what is hidden is absent; who contributed is the hub where `policy` withholds it. Other instances
//! see nothing that is not published.

use super::document::{Document, inner, inner_mut};
use super::fields::{Fields, flag, number, number_of, set, text, text_of, uuid_of};
use super::people::organisation_number;
use super::{apart, reads};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::{OrgKind, OrgNo};
use policy::Sight;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Condition, Head, MAX_READ, Name, Part, Place, RowQuery};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// How many times its bytes an event takes in memory while it is looked at, about.
const GROWS: usize = 4;

/// Where an event stands among those of one name: smaller first.
pub(super) type Rank = (bool, i64, bool, i64);

/// How much of an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Only the event's own fields.
    pub metadata: bool,
    /// Also what is attached.
    pub attachments: bool,
    /// Deleted parts: none, only those, or both.
    pub deleted: Option<bool>,
}

impl Extent {
    /// What a client is answered that has changed an event.
    pub(super) const WHOLE: Self = Self { metadata: false, attachments: true, deleted: Some(false) };
}

/// What becomes of a caller for whose event there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It is refused, and asks again later.
    Refused,
    /// Its change, or a part of it, was made, and a refusal would say that it was not: one event at a time is opened beside the room.
    InLine,
}

/// The name in a path: a number or a UUID.
pub(super) fn name_of(text: &str) -> Result<Name, HubError> {
    if let Some(uuid) = uuid_of(text) {
        return Ok(Name::Uuid(uuid));
    }
    text.parse().map(Name::Id).map_err(|_| HubError::NotFound)
}

impl Hub {
    /// An event, as the caller sees it.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_view(&self, actor: &Actor, name: &str, options: &Fields, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let head = self.misp_find(actor, &name_of(name)?, sync).await?;
        let deleted = match options.get("deleted") {
            Some(Value::String(word)) if word == "only" => Some(true),
            Some(Value::Array(list)) if !list.is_empty() => deleted_of(list),
            Some(value) if super::fields::flag_of(value) == Some(true) => None,
            _ => Some(false),
        };
        // A pulling instance asks for deleted parts, so that it deletes them, too.
        let deleted = options.get("deleted[]").map_or(deleted, |_| None);
        let extent = Extent { metadata: flag(options, "metadata") == Some(true), deleted, ..Extent::WHOLE };
        let mut shown = self.misp_shown(actor, &head, extent, sync, Wait::Refused).await?;
        // An instance asks for them on their own.
        if !sync && !extent.metadata {
            let sightings = if flag(options, "noSightings") == Some(true) { Vec::new() } else { self.misp_sightings_of(actor, &head, None).await? };
            let proposals = self.misp_proposals_of(actor, head.id).await?;
            if let Some(event) = shown.get_mut("Event").and_then(Value::as_object_mut) {
                put_beside(event, "Sighting", "attribute_id", sightings);
                put_beside(event, "ShadowAttribute", "old_id", proposals);
            }
        }
        Ok(shown)
    }

    /// The event that a name leads the caller to: its own one, else the first that it sees.
    pub(super) async fn misp_find(&self, actor: &Actor, name: &Name, sync: bool) -> Result<Head, HubError> {
        let heads = self.misp_events().named(name).await?;
        self.first_seen_by(actor, heads, sync).ok_or(HubError::NotFound)
    }

    /// Of several events of one name, the one that is meant.
    pub(super) fn first_seen_by(&self, actor: &Actor, heads: Vec<Head>, sync: bool) -> Option<Head> {
        let reading = self.misp_reading(actor, sync);
        let mut seen: Vec<Head> = heads.into_iter().filter(|head| !head.deleted && reading.event(head).sees_event()).collect();
        if seen.len() > 1 {
            let ranks = self.misp_ranks(seen.iter(), actor.organisation.number);
            seen.sort_by_key(|head| ranks.get(&head.id).copied());
        }
        seen.into_iter().next()
    }

    /// Where each of several of one name stands: one's own first; else those that came earlier. Where one is passed on and whoever made it, by the UUID
    /// of its `Orgc`, has one here, too, that goes before it: nobody else's does, so that nobody takes the place of what is here already.
    pub(super) fn misp_ranks<'h>(&self, heads: impl Iterator<Item = &'h Head> + Clone, own: OrgNo) -> HashMap<i64, Rank> {
        let directory = self.directory().snapshot();
        ranks(heads, own, |number| directory.organisation(number).map(|organisation| organisation.id.0.to_string()))
    }

    /// The attribute or object that a name leads the caller to, with its event.
    pub(super) async fn misp_find_part(&self, actor: &Actor, part: Part, name: &Name, sync: bool) -> Result<(Head, Place), HubError> {
        let own = actor.organisation.number;
        let mut found: Vec<(Head, Place)> = Vec::new();
        for place in self.misp_events().places(part, name, own).await? {
            let Some(head) = self.first_seen_by(actor, self.misp_events().named(&Name::Id(place.event)).await?, sync) else { continue };
            let query = RowQuery { ids: Condition { any: vec![place.id], none: Vec::new() }, ..RowQuery::default() };
            if part != Part::Attribute || !self.misp_visible(actor, &head, query).await?.is_empty() {
                // One's own are the first, and nothing goes before them.
                if head.org == own {
                    return Ok((head, place));
                }
                found.push((head, place));
            }
        }
        if found.len() > 1 {
            let ranks = self.misp_ranks(found.iter().map(|(head, _)| head), own);
            found.sort_by_key(|(head, place)| (ranks.get(&head.id).copied(), place.id));
        }
        found.into_iter().next().ok_or(HubError::NotFound)
    }

    /// The attributes of an event that meet a condition and that the caller sees.
    pub(super) async fn misp_visible(&self, actor: &Actor, head: &Head, query: RowQuery) -> Result<HashSet<i64>, HubError> {
        let mut query = RowQuery { limit: MAX_READ, ..query };
        query.events.ids = Condition { any: vec![head.id], none: Vec::new() };
        let mut visible = HashSet::new();
        loop {
            let rows = self.misp_events().rows(&query).await?;
            let reading = self.misp_reading(actor, false);
            visible.extend(rows.iter().filter(|found| reading.attribute(head, found)).map(|found| found.id));
            match rows.last().filter(|_| rows.len() >= MAX_READ) {
                Some(last) => query.after = (last.event, last.id),
                None => return Ok(visible),
            }
        }
    }

    /// An event that the caller sees, in its wrapper.
    pub(super) async fn misp_shown(&self, actor: &Actor, head: &Head, extent: Extent, sync: bool, wait: Wait) -> Result<Value, HubError> {
        let query = RowQuery { deleted: extent.deleted, ..RowQuery::default() };
        if extent.metadata {
            return self.misp_written(actor, head, extent, sync, None, HashSet::new()).await;
        }
        let visible = self.misp_visible(actor, head, query).await?;
        let (document, _room) = self.opened(head, wait).await?;
        self.misp_written(actor, head, extent, sync, Some(document), visible).await
    }

    /// The same with what is kept of it, where that is wanted, and the attributes that are to be shown.
    pub(super) async fn misp_written(
        &self,
        actor: &Actor,
        head: &Head,
        extent: Extent,
        sync: bool,
        document: Option<Document>,
        visible: HashSet<i64>,
    ) -> Result<Value, HubError> {
        let mut shown = self.misp_head(actor, head, sync)?;
        let sight = self.misp_sight(actor, head);
        if let Some(document) = document {
            let event = head.id;
            set(&mut shown, "attribute_count", visible.len().to_string());
            let parts = apart(move || Ok(parts(document, event, &visible, extent, sight, sync))).await?;
            shown.extend(parts);
        }
        for name in ["RelatedEvent", "ShadowAttribute", "Galaxy", "EventReport", "CryptographicKey", "Attribute", "Object"] {
            if !shown.contains_key(name) {
                set(&mut shown, name, Vec::<Value>::new());
            }
        }
        Ok(json!({ "Event": shown }))
    }

    /// An event's own fields.
    pub(super) fn misp_head(&self, actor: &Actor, head: &Head, sync: bool) -> Result<Fields, HubError> {
        let sight = self.misp_sight(actor, head);
        let mut shown: Fields = serde_json::from_str(&head.json).map_err(|error| HubError::Internal(Box::new(error)))?;
        // Nobody appears as another member by saying so.
        let foreign = shown.remove("Orgc").filter(|creator| sight == Sight::Own || !self.passes_for_member(creator));
        let organisation = self.directory().organisation(head.org).filter(|_| sight.sees_reporter());
        let (org, orgc) = match organisation {
            Some(organisation) => {
                let own = self.misp_organisation_json(&organisation);
                (own.clone(), foreign.unwrap_or(own))
            }
            None => (self.misp_hub_json(), self.misp_hub_json()),
        };
        let number = if sight.sees_reporter() { organisation_number(head.org) } else { 0 };
        set(&mut shown, "id", head.id.to_string());
        set(&mut shown, "org_id", number.to_string());
        set(&mut shown, "orgc_id", orgc.get("id").and_then(Value::as_str).unwrap_or("0"));
        set(&mut shown, "published", head.published);
        set(&mut shown, "publish_timestamp", head.published_at.to_string());
        if sight.sees_victims() {
            // How many there are tells of hidden ones.
            set(&mut shown, "attribute_count", head.attributes.to_string());
        }
        set(&mut shown, "locked", false);
        set(&mut shown, "proposal_email_lock", false);
        set(&mut shown, "Org", org);
        set(&mut shown, "Orgc", orgc);
        limit(&mut shown, sight, sync);
        Ok(shown)
    }

    /// Whether a creator has the UUID or the name of an organisation of this hub's, or of the hub. Sources are no members: others pass on what they
    /// publish, too, under the name that they have everywhere.
    fn passes_for_member(&self, creator: &Value) -> bool {
        let uuid = creator.get("uuid").and_then(Value::as_str).and_then(|uuid| Uuid::try_parse(uuid).ok());
        let name = creator.get("name").and_then(Value::as_str).map(plain_name).filter(|name| !name.is_empty());
        let directory = self.directory().snapshot();
        let is_named = |known: &str| name.as_ref().is_some_and(|name| *name == plain_name(known));
        uuid == Some(self.stix_identity())
            || is_named(&self.misp_hub_name())
            || directory
                .organisations()
                .any(|organisation| uuid == Some(organisation.id.0) || (organisation.kind != OrgKind::Source && is_named(&organisation.name)))
    }

    pub(super) fn misp_sight(&self, actor: &Actor, head: &Head) -> Sight {
        self.misp_reading(actor, false).event(head)
    }

    /// What is kept of an event, with the room that it takes while it is looked at: of the length that it has, before it is unpacked.
    pub(super) async fn opened(&self, head: &Head, wait: Wait) -> Result<(Document, OwnedSemaphorePermit), HubError> {
        let size = self.misp_events().size(head.id).await?.ok_or(HubError::NotFound)?;
        let room = match (self.misp_room(size.saturating_add(head.json.len()).saturating_mul(GROWS)).await, wait) {
            (Err(HubError::Overloaded { .. }), Wait::InLine) => {
                let turn = Arc::clone(&self.misp.changed).acquire_owned().await;
                turn.map_err(|_| HubError::Overloaded { retry_after: 5 })?
            }
            (room, _) => room?,
        };
        let content = self.misp_events().content(head.id).await?.ok_or(HubError::NotFound)?;
        let json = head.json.clone();
        let document = apart(move || Document::open(&json, &content)).await?;
        Ok((document, room))
    }

    /// One attribute, in its wrapper.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_attribute(&self, actor: &Actor, name: &str, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let (head, place) = self.misp_find_part(actor, Part::Attribute, &name_of(name)?, sync).await?;
        self.misp_attribute_at(actor, &head, place.id, Wait::Refused).await
    }

    pub(super) async fn misp_attribute_at(&self, actor: &Actor, head: &Head, id: i64, wait: Wait) -> Result<Value, HubError> {
        let (document, _room) = self.opened(head, wait).await?;
        let found = document.each().find(|(attribute, _)| number(attribute, "id") == Some(id));
        let (attribute, object) = found.ok_or(HubError::NotFound)?;
        Ok(json!({ "Attribute": attribute_alone(attribute, object, head, self.misp_sight(actor, head)) }))
    }

    /// One object with its attributes, in its wrapper.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_object(&self, actor: &Actor, name: &str, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let (head, place) = self.misp_find_part(actor, Part::Object, &name_of(name)?, sync).await?;
        let (document, _room) = self.opened(&head, Wait::Refused).await?;
        self.misp_object_of(actor, &head, &document, place.id).await
    }

    /// The same of an event that is open.
    pub(super) async fn misp_object_of(&self, actor: &Actor, head: &Head, document: &Document, id: i64) -> Result<Value, HubError> {
        let sight = self.misp_sight(actor, head);
        let found = document.objects.iter().find(|object| number(object, "id") == Some(id)).ok_or(HubError::NotFound)?;
        // A deleted attribute of an object that stands is asked for by its own name.
        let deleted = if flag(found, "deleted") == Some(true) { None } else { Some(false) };
        let visible = self.misp_visible(actor, head, RowQuery { deleted, ..RowQuery::default() }).await?;
        let extent = Extent { deleted, ..Extent::WHOLE };
        let shown = object_fields(found, head.id, &visible, extent, sight, false).ok_or(HubError::NotFound)?;
        Ok(json!({ "Object": shown }))
    }
}

/// What decides on the rank of an event: whether it is passed on, and whose it is then.
#[derive(Deserialize)]
struct Made {
    #[serde(rename = "Orgc")]
    creator: Option<Value>,
}

impl Made {
    /// The UUID of who made an event that is passed on; `None`: its contributor made it.
    fn elsewhere(head: &Head) -> Option<String> {
        let creator = serde_json::from_str::<Self>(&head.json).ok()?.creator?;
        Some(creator.get("uuid").and_then(Value::as_str).unwrap_or_default().to_lowercase())
    }
}

/// As [`Hub::misp_ranks`], with the UUIDs of organisations.
fn ranks<'h>(heads: impl Iterator<Item = &'h Head> + Clone, own: OrgNo, uuid_of: impl Fn(OrgNo) -> Option<String>) -> HashMap<i64, Rank> {
    let creators: HashMap<i64, Option<String>> = heads.clone().map(|head| (head.id, Made::elsewhere(head))).collect();
    // The first event that passes on what an organisation made.
    let mut passed_on: HashMap<&str, i64> = HashMap::new();
    for (id, creator) in &creators {
        if let Some(creator) = creator.as_deref() {
            let first = passed_on.entry(creator).or_insert(*id);
            *first = (*first).min(*id);
        }
    }
    heads
        .map(|head| {
            let is_passed_on = creators.get(&head.id).is_some_and(Option::is_some);
            let made_by = if is_passed_on { None } else { uuid_of(head.org) };
            let before = made_by.and_then(|uuid| passed_on.get(uuid.as_str()).copied()).unwrap_or(head.id);
            (head.id, (head.org != own, before.min(head.id), is_passed_on, head.id))
        })
        .collect()
}

/// A name as it is compared.
fn plain_name(name: &str) -> String {
    name.trim().to_lowercase()
}

/// An attribute on its own.
pub(super) fn attribute_alone(attribute: &Fields, object: Option<&Fields>, head: &Head, sight: Sight) -> Fields {
    let object = object.and_then(|object| number(object, "id")).unwrap_or(0);
    let mut shown = attribute_fields(attribute, head.id, object, true, sight, false);
    set(&mut shown, "event_uuid", head.uuid.as_str());
    shown
}

/// Puts entries into the attributes that they are about, and those about none into the event.
fn put_beside(event: &mut Fields, name: &str, by: &str, entries: Vec<Value>) {
    let mut grouped: HashMap<String, Vec<Value>> = HashMap::new();
    for entry in entries {
        let of = entry.get(by).and_then(text_of).unwrap_or_default();
        grouped.entry(of).or_default().push(entry);
    }
    if let Some(own) = grouped.remove("0") {
        set(event, name, own);
    }
    if grouped.is_empty() {
        return;
    }
    let mut put = |attribute: &mut Fields| {
        if let Some(own) = text(attribute, "id").and_then(|id| grouped.remove(&id)) {
            set(attribute, name, own);
        }
    };
    inner_mut(event).for_each(&mut put);
    let objects = event.get_mut("Object").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
    for object in objects {
        inner_mut(object).for_each(&mut put);
    }
}

/// Which parts a list of truth values asks for: deleted ones, others, or both.
pub(super) fn deleted_of(list: &[Value]) -> Option<bool> {
    let asks = |wanted| list.iter().any(|value| super::fields::flag_of(value) == Some(wanted));
    match (asks(true), asks(false)) {
        (true, true) => None,
        (true, false) => Some(true),
        (false, _) => Some(false),
    }
}

/// The attributes and objects of an event.
fn parts(document: Document, event: i64, visible: &HashSet<i64>, extent: Extent, sight: Sight, sync: bool) -> Fields {
    let is_seen = |fields: &&Fields| number(fields, "id").is_some_and(|id| visible.contains(&id));
    let attributes: Vec<Value> = document
        .attributes
        .iter()
        .filter(is_seen)
        .map(|attribute| Value::Object(attribute_fields(attribute, event, 0, extent.attachments, sight, sync)))
        .collect();
    let objects: Vec<Value> =
        document.objects.iter().filter_map(|object| object_fields(object, event, visible, extent, sight, sync)).map(Value::Object).collect();
    let mut parts = Fields::new();
    set(&mut parts, "Attribute", attributes);
    set(&mut parts, "Object", objects);
    parts
}

/// An object with those of its attributes that are to be shown; `None` where it is not.
pub(super) fn object_fields(object: &Fields, event: i64, visible: &HashSet<i64>, extent: Extent, sight: Sight, sync: bool) -> Option<Fields> {
    if extent.deleted.is_some_and(|wanted| (flag(object, "deleted") == Some(true)) != wanted) {
        return None;
    }
    let id = number(object, "id").unwrap_or(0);
    let attributes: Vec<Value> = inner(object)
        .filter(|attribute| number(attribute, "id").is_some_and(|id| visible.contains(&id)))
        .map(|attribute| Value::Object(attribute_fields(attribute, event, id, extent.attachments, sight, sync)))
        .collect();
    // An object of which nothing may be seen is not there, but for those who see everything.
    if attributes.is_empty() && !sight.sees_victims() {
        return None;
    }
    let mut shown: Fields = object.iter().filter(|(name, _)| name.as_str() != "Attribute").map(|(name, value)| (name.clone(), value.clone())).collect();
    set(&mut shown, "event_id", event.to_string());
    set(&mut shown, "Attribute", attributes);
    if !shown.contains_key("ObjectReference") {
        set(&mut shown, "ObjectReference", Vec::<Value>::new());
    }
    limit(&mut shown, sight, sync);
    Some(shown)
}

/// An attribute.
pub(super) fn attribute_fields(attribute: &Fields, event: i64, object: i64, attachments: bool, sight: Sight, sync: bool) -> Fields {
    let mut shown: Fields =
        attribute.iter().filter(|(name, _)| attachments || name.as_str() != "data").map(|(name, value)| (name.clone(), value.clone())).collect();
    set(&mut shown, "event_id", event.to_string());
    set(&mut shown, "object_id", object.to_string());
    for name in ["Galaxy", "ShadowAttribute"] {
        if !shown.contains_key(name) {
            set(&mut shown, name, Vec::<Value>::new());
        }
    }
    limit(&mut shown, sight, sync);
    shown
}

/// Takes out what is for the owner and those who see everything alone: who is in a sharing group, what inside is shared less far, what references
/// repeat of parts that may be hidden, and local tags, which no instance gets.
fn limit(shown: &mut Fields, sight: Sight, sync: bool) {
    if !sight.sees_victims() {
        shown.remove("SharingGroup");
        let outer = number(shown, "distribution").unwrap_or(0);
        narrow(shown, outer);
        // Instances write what is referred to into a reference, value and all; who sees that is decided where it stands.
        let references = shown.get_mut("ObjectReference").and_then(Value::as_array_mut).into_iter().flatten();
        for reference in references.filter_map(Value::as_object_mut) {
            reference.retain(|_, value| !value.is_object() && !value.is_array());
        }
    }
    if (sync || !sight.sees_victims())
        && let Some(Value::Array(tags)) = shown.get_mut("Tag")
    {
        tags.retain(|tag| tag.as_object().is_none_or(|tag| flag(tag, "local") != Some(true)));
    }
    if text(shown, "distribution").is_none() {
        set(shown, "distribution", "1");
    }
}

/// Takes out what has a distribution of its own that is narrower than that of what it is in: reports, notes, clusters.
fn narrow(fields: &mut Fields, outer: i64) {
    // Who sees attributes and objects is decided on each of them.
    let is_part = |name: &str| matches!(name, "Attribute" | "Object");
    fields.retain(|name, value| is_part(name) || reaches(value, outer));
    fields.iter_mut().filter(|(name, _)| !is_part(name)).for_each(|(_, value)| narrow_value(value, outer));
}

fn narrow_value(value: &mut Value, outer: i64) {
    match value {
        Value::Array(list) => {
            list.retain(|entry| reaches(entry, outer));
            list.iter_mut().for_each(|entry| narrow_value(entry, outer));
        }
        Value::Object(fields) => narrow(fields, outer),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether something inside reaches as far as what it is in, by its own distribution where it has one. A group of its own is nobody's here.
fn reaches(value: &Value, outer: i64) -> bool {
    match value.get("distribution") {
        None | Some(Value::Null) => true,
        Some(level) => match number_of(level) {
            Some(3 | 5) => true,
            Some(level @ (1 | 2)) => (1..=level).contains(&outer),
            Some(_) | None => false,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        super::super::fields::object(value).unwrap()
    }

    #[test]
    fn a_name_is_a_number_or_a_uuid() {
        assert_eq!(name_of("7").unwrap(), Name::Id(7));
        assert!(matches!(name_of("AB2B6E28-fda5-4282-bf60-22b81de77851").unwrap(), Name::Uuid(uuid) if uuid.starts_with("ab2b")));
        assert!(matches!(name_of("x"), Err(HubError::NotFound)));
    }

    #[test]
    fn an_event_goes_before_one_that_is_passed_on_only_where_that_names_its_organisation() {
        let uuid_of = |number: OrgNo| Some(format!("uuid-{}", number.0));
        let head = |id: i64, org: u32, creator: Option<&str>| Head {
            id,
            org: OrgNo(org),
            uuid: "u".to_owned(),
            published: true,
            deleted: false,
            tlp: model::Tlp::Green,
            audience: Vec::new(),
            test: false,
            timestamp: 0,
            published_at: 0,
            date: String::new(),
            attributes: 0,
            generation: 1,
            json: creator.map_or_else(|| "{}".to_owned(), |uuid| json!({ "info": "x", "Orgc": { "uuid": uuid } }).to_string()),
        };
        let order = |own: u32, mut heads: Vec<Head>| -> Vec<i64> {
            let ranks = ranks(heads.iter(), OrgNo(own), uuid_of);
            heads.sort_by_key(|head| ranks.get(&head.id).copied());
            heads.iter().map(|head| head.id).collect()
        };
        // Of 7's event, which 1 passes on, 7's own copy goes first, and not what 3 made later under its UUID.
        let heads = || vec![head(10, 1, Some("uuid-7")), head(11, 3, None), head(12, 7, None), head(13, 4, Some("elsewhere"))];
        assert_eq!(order(9, heads()), [12, 10, 11, 13]);
        assert_eq!(order(3, heads()), [11, 12, 10, 13], "one's own goes first");
        assert_eq!(order(9, vec![head(1, 3, None), head(2, 4, None), head(3, 5, Some("elsewhere"))]), [1, 2, 3]);
        assert_eq!(order(9, vec![head(1, 5, Some("elsewhere")), head(2, 3, None)]), [1, 2]);
    }

    #[tokio::test]
    async fn nobody_passes_for_a_member_or_the_hub_by_its_name() {
        let realm = crate::test_support::Realm::open(1_790_000_000, None).await;
        let (id, _) = realm.member("Kim Co", OrgKind::Company).await;
        let passes = |name: &str, uuid: &str| realm.hub.passes_for_member(&json!({ "id": "0", "uuid": uuid, "name": name }));
        let elsewhere = "0d3a4f1e-2b11-4a47-8c24-5b0a6f3e0d8e";
        assert!(passes(" KIM co", elsewhere) && passes("bongsu MAIN ", elsewhere));
        assert!(passes("Someone", &id.0.to_string()) && passes("Someone", &realm.hub.stix_identity().to_string()));
        assert!(!passes("Kim", elsewhere) && !passes("", elsewhere));
    }

    #[tokio::test]
    async fn no_event_is_opened_without_room_but_to_answer_a_change_that_was_made() {
        let realm = crate::test_support::Realm::open(1_790_000_000, None).await;
        let (_, actor) = realm.member("A", OrgKind::Company).await;
        let taken = Arc::clone(&realm.hub.gathering).acquire_many_owned(u32::try_from(realm.hub.gathering.available_permits()).unwrap()).await.unwrap();
        let event = json!({ "info": "x", "Attribute": [{ "type": "domain", "value": "evil.example.kr" }] });
        let added = realm.hub.misp_add(&actor, event, false, false).await.unwrap();
        let (id, attribute) = (added["Event"]["id"].as_str().unwrap(), added["Event"]["Attribute"][0]["id"].as_str().unwrap());
        assert!(matches!(realm.hub.misp_view(&actor, id, &Fields::new(), false).await, Err(HubError::Overloaded { .. })));
        drop(taken);
        assert_eq!(realm.hub.misp_attribute(&actor, attribute, false).await.unwrap()["Attribute"]["value"], "evil.example.kr");
        assert!(realm.hub.misp_view(&actor, id, &Fields::new(), false).await.is_ok());
    }

    #[test]
    fn an_object_without_anything_to_see_is_not_there_but_for_its_owner() {
        let object = fields(json!({ "id": "3", "name": "file", "deleted": false, "Attribute": [{ "id": "9", "value": "x", "data": "AAAA" }] }));
        let shown = |visible: &[i64], sight| {
            object_fields(&object, 1, &visible.iter().copied().collect(), Extent { attachments: false, ..Extent::WHOLE }, sight, false)
        };
        assert!(shown(&[], Sight::WithoutVictims).is_none());
        assert!(shown(&[], Sight::Own).unwrap()["Attribute"].as_array().unwrap().is_empty());
        let seen = shown(&[9], Sight::WithoutVictims).unwrap();
        assert_eq!((&seen["Attribute"][0]["object_id"], seen["Attribute"][0].get("data")), (&json!("3"), None));
    }

    #[test]
    fn local_tags_and_the_members_of_a_group_are_for_the_owner_alone() {
        let event = json!({ "Tag": [{ "name": "a", "local": true }, { "name": "b", "local": false }], "SharingGroup": {} });
        let seen = |sight, sync| {
            let mut shown = fields(event.clone());
            limit(&mut shown, sight, sync);
            (shown["Tag"].as_array().unwrap().len(), shown.contains_key("SharingGroup"))
        };
        assert_eq!(seen(Sight::Own, false), (2, true));
        assert_eq!(seen(Sight::Own, true), (1, true));
        assert_eq!(seen(Sight::WithoutVictims, false), (1, false));
    }

    #[test]
    fn what_is_inside_and_shared_less_far_is_for_the_owner_alone() {
        let event = json!({ "distribution": "2", "EventReport": [{ "name": "a", "distribution": "0" }, { "name": "b", "distribution": "5" },
            { "name": "c", "distribution": 1 }, { "name": "d", "distribution": 4 }], "Galaxy": [{ "GalaxyCluster": [{ "distribution": "0" }, { "value": "x" }] }],
            "Note": { "distribution": 0 }, "ObjectReference": [{ "referenced_uuid": "u", "Attribute": { "value": "hidden" } }] });
        let seen = |sight| {
            let mut shown = fields(event.clone());
            limit(&mut shown, sight, false);
            Value::Object(shown)
        };
        assert_eq!(seen(Sight::Own), event);
        let shown = seen(Sight::WithoutVictims);
        assert_eq!(shown["EventReport"], json!([{ "name": "b", "distribution": "5" }]));
        assert_eq!((&shown["Galaxy"][0]["GalaxyCluster"], shown.get("Note")), (&json!([{ "value": "x" }]), None));
        assert_eq!((&shown["ObjectReference"], &shown["distribution"]), (&json!([{ "referenced_uuid": "u" }]), &json!("2")));
    }

    #[test]
    fn what_is_beside_an_event_comes_to_the_attribute_that_it_is_about() {
        let mut event = fields(json!({ "Attribute": [{ "id": "7" }], "Object": [{ "Attribute": [{ "id": "8" }] }], "ShadowAttribute": [] }));
        let about = |id: &str| json!({ "old_id": id });
        put_beside(&mut event, "ShadowAttribute", "old_id", vec![about("8"), about("0"), about("7"), about("7"), about("9")]);
        let count = |value: &Value| value["ShadowAttribute"].as_array().map_or(0, Vec::len);
        assert_eq!((count(&event["Attribute"][0]), count(&event["Object"][0]["Attribute"][0]), event["ShadowAttribute"].as_array().unwrap().len()), (2, 1, 1));
    }

    #[test]
    fn a_list_of_truth_values_asks_for_deleted_parts_others_or_both() {
        for (list, expected) in [(json!([0, 1]), None), (json!([1]), Some(true)), (json!(["0"]), Some(false)), (json!([true, false]), None)] {
            assert_eq!(deleted_of(list.as_array().unwrap()), expected, "{list}");
        }
    }
}
