//! Changes of contributed events: adding, editing, publishing, tagging, deleting them and their parts.
//!
//! Flow: who may → [`Hub::changed`]: one transaction reads the event, changes it on a thread for that, numbers what is new, works out who sees what,
//! writes it → [`super::sharing`] brings the hub's own events in line → the answer is what the caller sees of it then.
//! Invariant: success means durable. Only the organisation that contributed an event changes it; the coordinator may take it or parts of it back and
//! tag it, but not widen it. A change of an event ends its being published, unless it says otherwise.
//! Not here: what a document may hold ([`super::document`]), whom it is for ([`super::access`]).

use super::access::Owner;
use super::document::{Document, Moment, add_tag, inner_mut, mark_deleted, merge_attribute, merge_object, remove_tag, tag_name};
use super::fields::{Fields, flag, number, object, set, text, unwrapped, uuid_of, wrong};
use super::people::may_write;
use super::show::{Extent, name_of};
use super::{MAX_ATTRIBUTES, MAX_HEAD, apart};
use crate::directory::Snapshot;
use crate::sharing::view::View;
use crate::{Actor, Hub, HubError};
use formats::Defaults;
use formats::misp::judge::{Judged, Surroundings, judge, parts};
use hashbrown::{HashMap, HashSet};
use model::{KeyRole, OrgNo, Organisation, Origin, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Condition, Edit, Head, Name, NewAttribute, NewEvent, NewObject, Part, Place, RowQuery, key_of};

/// MISP's words for a refusal for want of rights; clients look for them, and make proposals instead.
pub(super) const NOT_YOURS: HubError = HubError::Forbidden("You do not have permission to do that.");

/// What a caller wants to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Anything.
    Change,
    /// Take it or a part of it back, or tag it without touching its marking: the coordinator may, too.
    Duty,
}

/// What a change does to the event's being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// It is published from now on, or not.
    Set(bool),
    /// It stays as it is.
    Keep,
}

/// What a change of a document gives back: what it found or made, and what becomes of publishing.
pub(super) struct Changed<T> {
    given: T,
    publishing: Publishing,
    deleted: bool,
}

impl<T> Changed<T> {
    pub(super) fn new(given: T) -> Self {
        Self { given, publishing: Publishing::Set(false), deleted: false }
    }

    pub(super) fn publishing(given: T, publishing: Publishing) -> Self {
        Self { given, publishing, deleted: false }
    }
}

impl Hub {
    /// Adds an event.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not submit and for events that are another's; [`HubError::Invalid`] for what is no event or there already.
    pub async fn misp_add(self: &Arc<Self>, actor: &Actor, body: Value, metadata: bool, sync: bool) -> Result<Value, HubError> {
        if !may_write(actor) && actor.role != KeyRole::Reporter {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let mut given = unwrapped(body, "Event").ok_or_else(|| wrong("Event", "the body must be an event"))?;
        let creator = self.creator(actor, &given)?;
        if sync {
            step_down(&mut given);
        }
        let publish = flag(&given, "published") == Some(true);
        let stated = number(&given, "timestamp");
        let moment = self.misp_moment();
        let at = moment.clone();
        let mut document = apart(move || Document::new(given, &at)).await?;
        if let Some(creator) = creator {
            set(&mut document.head, "Orgc", creator);
        }
        fits(&document, 0)?;
        let uuid = text(&document.head, "uuid").unwrap_or_default();
        if self.misp.feed.is_ours(&uuid) {
            return Err(HubError::Forbidden("this event is this instance's own"));
        }
        let mut edit = self.misp_events().write().await?;
        let own = edit.named(&Name::Uuid(uuid)).await?.into_iter().find(|head| head.org == actor.organisation.number);
        let old = match own {
            // Whoever deleted it may add it anew; an instance that has not heard of it does not bring it back.
            Some(head) if head.deleted && stated.is_none_or(|stated| stated > head.timestamp) && !sync => Some(head),
            Some(head) if head.deleted => return Err(HubError::Forbidden("the event was deleted here")),
            Some(_) => return Err(wrong("uuid", "the event is here already; edit it")),
            None => None,
        };
        let (id, generation) = match &old {
            Some(head) => (head.id, head.generation + 1),
            None => (edit.numbers(Part::Event, 1).await?, 1),
        };
        let kept =
            Kept { id, generation, org: actor.organisation.number, published: publish, published_at: if publish { moment.now } else { 0 }, deleted: false };
        self.keep(&mut edit, &actor.organisation, document, kept).await?;
        edit.commit().await?;
        self.misp_share(id).await;
        if actor.role == KeyRole::Reporter {
            return Ok(json!({ "Event": { "id": id.to_string(), "published": publish } }));
        }
        let head = self.misp_find(actor, &Name::Id(id), false).await?;
        self.misp_shown(actor, &head, Extent { metadata, ..Extent::WHOLE }, false).await
    }

    /// Who made an event, where that is nobody of this hub's.
    fn creator(&self, actor: &Actor, given: &Fields) -> Result<Option<Value>, HubError> {
        let Some(creator) = given.get("Orgc").and_then(Value::as_object) else { return Ok(None) };
        let Some(uuid) = text(creator, "uuid").and_then(|uuid| uuid_of(&uuid)) else { return Ok(None) };
        if uuid == self.stix_identity().to_string() {
            // It has been here before, under the hub's name.
            return Err(HubError::Forbidden("this event is this instance's own"));
        }
        let known = self.directory().snapshot().organisations().find(|organisation| organisation.id.0.to_string() == uuid).map(|found| found.number);
        match known {
            Some(number) if number == actor.organisation.number => Ok(None),
            // Whether another is a member is nothing that this answer tells: the event is taken as one that was passed on.
            Some(_) | None => {
                let name = text(creator, "name").unwrap_or_else(|| uuid.clone());
                Ok(Some(json!({ "id": "0", "uuid": uuid, "name": name })))
            }
        }
    }

    /// Takes in what a request says of an event that is there.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of, [`HubError::Forbidden`] where it is another's or the request is not newer.
    pub async fn misp_edit(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, metadata: bool, sync: bool) -> Result<Value, HubError> {
        let mut given = unwrapped(body, "Event").ok_or_else(|| wrong("Event", "the body must be an event"))?;
        if sync {
            step_down(&mut given);
        }
        let publishing = Publishing::Set(flag(&given, "published") == Some(true));
        let (head, ()) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                document.merge(given, moment)?;
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        self.misp_shown(actor, &head, Extent { metadata, ..Extent::WHOLE }, false).await
    }

    /// Publishes an event, or takes that back.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_publish(self: &Arc<Self>, actor: &Actor, name: &str, publish: bool) -> Result<Value, HubError> {
        let act = if publish { Act::Change } else { Act::Duty };
        let (head, ()) = self.changed(actor, Part::Event, name, act, move |_, _, _| Ok(Changed::publishing((), Publishing::Set(publish)))).await?;
        let said = if publish { "Event published" } else { "Event unpublished" };
        Ok(saved(said, &format!("{said}."), head.id))
    }

    /// Deletes an event. It stays, to be seen by nobody, so that it does not come back from elsewhere.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let (head, ()) = self
            .changed(actor, Part::Event, name, Act::Duty, |document, _, moment| {
                document.touch(moment);
                Ok(Changed { given: (), publishing: Publishing::Set(false), deleted: true })
            })
            .await?;
        Ok(saved("Event deleted.", "Event deleted.", head.id))
    }

    /// Adds one attribute to an event, or several.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`]; of several, those that cannot be added are named and the others added.
    pub async fn misp_add_attributes(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, again: bool) -> Result<Value, HubError> {
        let list = match body {
            Value::Array(list) => list,
            one => match unwrapped(one, "Attribute") {
                Some(mut fields) => match fields.remove("Attribute") {
                    Some(Value::Array(list)) => list,
                    _ => return self.add_one(actor, name, fields, again).await,
                },
                None => return Err(wrong("Attribute", "the body must be an attribute, or a list of them")),
            },
        };
        for given in &list {
            self.not_listed(given.get("Attribute").unwrap_or(given))?;
        }
        if list.len() > MAX_ATTRIBUTES {
            return Err(HubError::TooLarge { limit: MAX_ATTRIBUTES as u64, unit: "attributes an event" });
        }
        let (head, (uuids, errors)) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                let (mut uuids, mut errors) = (Vec::new(), Fields::new());
                let mut held = Held::of(document);
                for (place, given) in list.into_iter().enumerate() {
                    let given = unwrapped(given, "Attribute").ok_or_else(|| wrong("Attribute", "is no attribute"));
                    match given.and_then(|given| add_to(document, &mut held, given, again, moment)) {
                        Ok(uuid) => uuids.push(uuid),
                        Err(HubError::Invalid { pointer, reason }) => {
                            set(&mut errors, &format!("attribute_{place}"), json!({ (pointer.trim_start_matches('/')): [reason] }));
                        }
                        Err(other) => return Err(other),
                    }
                }
                if uuids.is_empty() && !errors.is_empty() {
                    return Err(wrong("Attribute", Value::Object(errors).to_string()));
                }
                Ok(Changed::new((uuids, errors)))
            })
            .await?;
        let document = self.misp_document(&head).await?;
        let ids: Vec<i64> = uuids.iter().filter_map(|uuid| id_of(&document, uuid)).collect();
        let mut attributes = Vec::with_capacity(ids.len());
        for id in ids {
            let shown = self.misp_attribute_at(actor, &head, id).await?;
            attributes.extend(shown.get("Attribute").cloned());
        }
        // MISP answers a list of one with the one.
        let given = if attributes.len() == 1 && errors.is_empty() { attributes.pop().unwrap_or_default() } else { Value::Array(attributes) };
        let mut answer = Fields::new();
        set(&mut answer, "Attribute", given);
        if !errors.is_empty() {
            set(&mut answer, "errors", errors);
        }
        Ok(Value::Object(answer))
    }

    async fn add_one(self: &Arc<Self>, actor: &Actor, name: &str, given: Fields, again: bool) -> Result<Value, HubError> {
        let given = Value::Object(given);
        self.not_listed(&given)?;
        let given = object(given).unwrap_or_default();
        let (head, uuid) =
            self.changed(actor, Part::Event, name, Act::Change, move |document, _, moment| Ok(Changed::new(add(document, given, again, moment)?))).await?;
        let document = self.misp_document(&head).await?;
        let id = id_of(&document, &uuid).ok_or(HubError::NotFound)?;
        self.misp_attribute_at(actor, &head, id).await
    }

    /// Refuses an attribute that asks for that where a warning list holds its value.
    fn not_listed(&self, given: &Value) -> Result<(), HubError> {
        let Some(fields) = given.as_object().filter(|fields| flag(fields, "enforceWarninglist") == Some(true)) else { return Ok(()) };
        let (kind, value) = (text(fields, "type").unwrap_or_default(), text(fields, "value").unwrap_or_default());
        if self.misp_is_listed(&kind, &value) {
            return Err(HubError::Forbidden("the attribute trips over a warninglist and enforceWarninglist is enforced"));
        }
        Ok(())
    }

    /// Takes in what a request says of an attribute.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_edit_attribute(self: &Arc<Self>, actor: &Actor, name: &str, body: Value) -> Result<Value, HubError> {
        let given = unwrapped(body, "Attribute").ok_or_else(|| wrong("Attribute", "the body must be an attribute"))?;
        let (head, id) = self
            .changed(actor, Part::Attribute, name, Act::Change, move |document, id, moment| {
                let there = document.attribute_mut(id).ok_or(HubError::NotFound)?;
                if !merge_attribute(there, given, moment)? {
                    return Err(HubError::Forbidden("the attribute in the request is not newer than the one here"));
                }
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.misp_attribute_at(actor, &head, id).await
    }

    /// Deletes an attribute: it is marked, or with `hard` gone.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete_attribute(self: &Arc<Self>, actor: &Actor, name: &str, hard: bool) -> Result<Value, HubError> {
        let publishing = after_deletion(actor);
        let (head, ()) = self
            .changed(actor, Part::Attribute, name, Act::Duty, move |document, id, moment| {
                if hard {
                    document.remove_attribute(id);
                } else {
                    mark_deleted(document.attribute_mut(id).ok_or(HubError::NotFound)?, true, moment);
                }
                document.touch(moment);
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        Ok(saved("Attribute deleted.", "Attribute deleted.", head.id))
    }

    /// Takes the deletion of an attribute back.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_restore_attribute(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let (head, id) = self
            .changed(actor, Part::Attribute, name, Act::Change, move |document, id, moment| {
                mark_deleted(document.attribute_mut(id).ok_or(HubError::NotFound)?, false, moment);
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.misp_attribute_at(actor, &head, id).await
    }

    /// Adds an object to an event; with `unique` only one that says something new.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_add_object(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, unique: bool) -> Result<Value, HubError> {
        let given = unwrapped(body, "Object").ok_or_else(|| wrong("Object", "the body must be an object of MISP's"))?;
        let unique = unique || flag(&given, "breakOnDuplicate") == Some(true);
        let (head, uuid) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                let uuid = text(&given, "uuid").and_then(|uuid| uuid_of(&uuid));
                if uuid.is_some() && document.objects.iter().any(|there| text(there, "uuid") == uuid) {
                    return Err(wrong("uuid", "an object of this UUID is in the event"));
                }
                if unique && document.repeats_object(&given) {
                    return Err(HubError::Forbidden("Duplicate object found; without breakOnDuplicate it would be added all the same"));
                }
                document.add_object(given, moment)?;
                document.touch(moment);
                Ok(Changed::new(document.objects.last().and_then(|object| text(object, "uuid")).unwrap_or_default()))
            })
            .await?;
        let document = self.misp_document(&head).await?;
        let id = document.objects.iter().find(|object| text(object, "uuid").as_ref() == Some(&uuid)).and_then(|object| number(object, "id"));
        self.misp_object_at(actor, &head, id.ok_or(HubError::NotFound)?).await
    }

    /// Takes in what a request says of an object.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_edit_object(self: &Arc<Self>, actor: &Actor, name: &str, body: Value) -> Result<Value, HubError> {
        let given = unwrapped(body, "Object").ok_or_else(|| wrong("Object", "the body must be an object of MISP's"))?;
        let (head, id) = self
            .changed(actor, Part::Object, name, Act::Change, move |document, id, moment| {
                merge_object(document.object_mut(id).ok_or(HubError::NotFound)?, given, moment)?;
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.misp_object_at(actor, &head, id).await
    }

    /// Deletes an object with its attributes: they are marked, or with `hard` gone.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete_object(self: &Arc<Self>, actor: &Actor, name: &str, hard: bool) -> Result<Value, HubError> {
        let publishing = after_deletion(actor);
        let (head, ()) = self
            .changed(actor, Part::Object, name, Act::Duty, move |document, id, moment| {
                if hard {
                    document.objects.retain(|object| number(object, "id") != Some(id));
                } else {
                    let object = document.object_mut(id).ok_or(HubError::NotFound)?;
                    mark_deleted(object, true, moment);
                    inner_mut(object).for_each(|attribute| mark_deleted(attribute, true, moment));
                }
                document.touch(moment);
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        Ok(saved("Object deleted", "Object deleted", head.id))
    }

    /// Adds a tag to an event or attribute, or takes it off.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`]; [`HubError::Forbidden`] for a marking on another's.
    pub async fn misp_tag_part(self: &Arc<Self>, actor: &Actor, body: &Value, attach: bool) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let fields = body.as_object().ok_or_else(|| wrong("uuid", "the body must name what is tagged"))?;
        let name = text(fields, "uuid").ok_or_else(|| wrong("uuid", "names nothing that can be tagged"))?;
        let asked = match fields.get("tag") {
            Some(Value::Object(tag)) => text(tag, "name"),
            _ => text(fields, "tag"),
        };
        let mut asked = asked.ok_or_else(|| wrong("tag", "a tag is needed"))?;
        if asked.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number is one of a tag that there is.
            let tag = self.misp_tag(actor, &asked).await?;
            tag_name(&tag).unwrap_or_default().clone_into(&mut asked);
        }
        let marks = ["tlp:", "pap:"].iter().any(|beginning| asked.to_ascii_lowercase().starts_with(beginning));
        let act = if marks { Act::Change } else { Act::Duty };
        let local = flag(fields, "local") == Some(true);
        let relationship = text(fields, "relationship_type");
        let part = match self.misp_find(actor, &name_of(&name)?, false).await {
            Ok(_) => Part::Event,
            Err(HubError::NotFound) => Part::Attribute,
            Err(other) => return Err(other),
        };
        let (tag, stays) = (asked.clone(), local || actor.is_coordinator());
        let (_, id) = self
            .changed(actor, part, &name, act, move |document, id, moment| {
                let target = if part == Part::Event { &mut document.head } else { document.attribute_mut(id).ok_or(HubError::NotFound)? };
                if attach {
                    add_tag(target, &tag, local, relationship.as_deref())?;
                } else if !remove_tag(target, &tag) {
                    return Err(wrong("tag", "is not attached"));
                }
                if !local {
                    document.touch(moment);
                }
                // A local tag is nothing that others are told of, and the desk's tags do not hold a member's event back.
                let publishing = if stays { Publishing::Keep } else { Publishing::Set(false) };
                Ok(Changed::publishing(id, publishing))
            })
            .await?;
        let kind = if part == Part::Event { "Event" } else { "Attribute" };
        let message = match (attach, local) {
            (true, true) => format!("Local tag {asked} successfully attached to {kind}({id})."),
            (true, false) => format!("Global tag {asked} successfully attached to {kind}({id})."),
            (false, _) => format!("Tag {asked} successfully removed from {kind}({id})."),
        };
        Ok(json!({ "saved": true, "success": message, "check_publish": true, "name": message, "message": message, "url": "/tags" }))
    }

    /// Makes one change of one event. Gives its new head and what the change gives.
    pub(super) async fn changed<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        part: Part,
        name: &str,
        act: Act,
        change: impl FnOnce(&mut Document, i64, &Moment) -> Result<Changed<T>, HubError> + Send + 'static,
    ) -> Result<(Head, T), HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let name = name_of(name)?;
        let mut edit = self.misp_events().write().await?;
        let (head, place) = self.to_change(actor, &mut edit, part, &name, act).await?;
        let content = edit.content(head.id).await?;
        let (moment, json, id) = (self.misp_moment(), head.json.clone(), place.id);
        let at = moment.clone();
        let (document, Changed { given, publishing, deleted }) = apart(move || {
            let mut document = Document::open(&json, &content)?;
            let changed = change(&mut document, id, &at)?;
            if !changed.deleted {
                fits(&document, json.len())?;
            }
            Ok((document, changed))
        })
        .await?;
        let (published, published_at) = match publishing {
            Publishing::Set(true) => (true, moment.now),
            Publishing::Set(false) => (false, head.published_at),
            Publishing::Keep => (head.published, head.published_at),
        };
        let organisation = self.directory().organisation(head.org).ok_or(HubError::NotFound)?;
        let kept = Kept { id: head.id, generation: head.generation + 1, org: head.org, published, published_at, deleted };
        self.keep(&mut edit, &organisation, document, kept).await?;
        let heads = edit.named(&Name::Id(head.id)).await?;
        edit.commit().await?;
        self.misp_share(head.id).await;
        let head = heads.into_iter().next().ok_or(HubError::NotFound)?;
        Ok((head, given))
    }

    /// The event that is to be changed, where the caller may.
    async fn to_change(&self, actor: &Actor, edit: &mut Edit, part: Part, name: &Name, act: Act) -> Result<(Head, Place), HubError> {
        let places = if part == Part::Event {
            edit.named(name).await?.iter().map(|head| Place { event: head.id, id: head.id }).collect()
        } else {
            edit.places(part, name).await?
        };
        let mut foreign = None;
        for place in places {
            let Some(head) = edit.named(&Name::Id(place.event)).await?.into_iter().find(|head| !head.deleted) else { continue };
            if head.org == actor.organisation.number {
                return Ok((head, place));
            }
            let seen = View { reader: &actor.reader, directory: self.directory().snapshot() }.misp_event(&head).sees_event();
            if seen && foreign.is_none() {
                foreign = Some((head, place));
            }
        }
        match foreign {
            None => Err(HubError::NotFound),
            Some(found) if act == Act::Duty && actor.is_coordinator() => Ok(found),
            Some(_) if part == Part::Event => Err(NOT_YOURS),
            // Of another's event the parts that are hidden are not known, nor are objects of which nothing is seen.
            Some((head, place)) => {
                let one = Condition { any: vec![place.id], none: Vec::new() };
                let query = if part == Part::Object { RowQuery { objects: one, ..RowQuery::default() } } else { RowQuery { ids: one, ..RowQuery::default() } };
                let visible = self.misp_visible(actor, &head, query).await?;
                Err(if visible.is_empty() { HubError::NotFound } else { NOT_YOURS })
            }
        }
    }

    /// Numbers what is new of an event and writes it.
    pub(super) async fn keep(&self, edit: &mut Edit, organisation: &Arc<Organisation>, mut document: Document, kept: Kept) -> Result<(), HubError> {
        let (attributes, objects) = document.unnumbered();
        let attribute = if attributes > 0 { edit.numbers(Part::Attribute, attributes).await? } else { 0 };
        let object = if objects > 0 { edit.numbers(Part::Object, objects).await? } else { 0 };
        document.number(attribute, object);
        let (organisation, directory, now) = (Arc::clone(organisation), self.directory().snapshot(), self.clock().now());
        let event = apart(move || Ok(indexed(&document, &kept, &organisation, &directory, now))).await?;
        edit.put(&event).await?;
        Ok(())
    }
}

/// What of an event does not stand in its document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub id: i64,
    pub generation: i64,
    pub org: OrgNo,
    pub published: bool,
    pub published_at: i64,
    pub deleted: bool,
}

/// What the desk takes out does not hold the rest of a member's event back; its own contributor says anew what is published.
fn after_deletion(actor: &Actor) -> Publishing {
    if actor.is_coordinator() { Publishing::Keep } else { Publishing::Set(false) }
}

/// An event's own fields are read with those of many others, wherever events are listed. What was larger before may stay so.
fn fits(document: &Document, before: usize) -> Result<(), HubError> {
    if document.head_json().len() > MAX_HEAD.max(before) {
        return Err(HubError::TooLarge { limit: MAX_HEAD as u64, unit: "bytes of an event without its attributes and objects" });
    }
    Ok(())
}

/// What an attribute says: its type, category and value.
type Said = (Option<String>, Option<String>, Option<String>);

fn said(fields: &Fields) -> Said {
    (text(fields, "type"), text(fields, "category"), text(fields, "value"))
}

/// What an event holds, so that a long list of attributes does not look through all of it for each.
struct Held {
    uuids: HashSet<String>,
    /// Places of the attributes outside of objects that are not deleted, by what they say.
    says: HashMap<Said, usize>,
}

impl Held {
    fn of(document: &Document) -> Self {
        let uuids = document.each().filter_map(|(attribute, _)| text(attribute, "uuid")).collect();
        let mut says = HashMap::new();
        for (place, there) in document.attributes.iter().enumerate().filter(|(_, there)| flag(there, "deleted") != Some(true)) {
            says.entry(said(there)).or_insert(place);
        }
        Self { uuids, says }
    }
}

/// Adds an attribute and gives its UUID. One that is there is refused, or with `again` changed.
pub(super) fn add(document: &mut Document, given: Fields, again: bool, moment: &Moment) -> Result<String, HubError> {
    let mut held = Held::of(document);
    add_to(document, &mut held, given, again, moment)
}

fn add_to(document: &mut Document, held: &mut Held, given: Fields, again: bool, moment: &Moment) -> Result<String, HubError> {
    let new = super::document::new_attribute(given.clone(), moment)?;
    let uuid = text(&new, "uuid").unwrap_or_default();
    if held.uuids.contains(&uuid) {
        return Err(wrong("uuid", "an attribute of this UUID is in the event"));
    }
    let says = said(&new);
    if let Some(place) = held.says.get(&says).copied() {
        if !again {
            // MISP's words; clients look for them.
            return Err(wrong("value", "A similar attribute already exists for this event."));
        }
        let there = document.attributes.get_mut(place).ok_or(HubError::NotFound)?;
        let mut given = given;
        ["uuid", "id", "timestamp"].iter().for_each(|name| drop(given.remove(*name)));
        merge_attribute(there, given, moment)?;
        let uuid = text(there, "uuid").unwrap_or_default();
        if flag(there, "deleted") == Some(true) {
            held.says.remove(&says);
        }
        document.touch(moment);
        return Ok(uuid);
    }
    let place = document.attributes.len();
    document.add_attribute(given_with(given, &uuid), moment)?;
    document.touch(moment);
    held.uuids.insert(uuid.clone());
    if flag(&new, "deleted") != Some(true) {
        held.says.insert(says, place);
    }
    Ok(uuid)
}

/// The same with the UUID that was made for it.
fn given_with(mut given: Fields, uuid: &str) -> Fields {
    set(&mut given, "uuid", uuid);
    given
}

fn id_of(document: &Document, uuid: &str) -> Option<i64> {
    document.each().find(|(attribute, _)| text(attribute, "uuid").as_deref() == Some(uuid)).and_then(|(attribute, _)| number(attribute, "id"))
}

/// One step less far, for what comes from another instance.
fn step_down(given: &mut Fields) {
    let step = |fields: &mut Fields| match number(fields, "distribution") {
        Some(1) => set(fields, "distribution", "0"),
        Some(2) => set(fields, "distribution", "1"),
        _ => {}
    };
    // What is not said is this community alone, which is what is stepped down from.
    if given.get("distribution").is_none_or(Value::is_null) && given.contains_key("info") {
        set(given, "distribution", "1");
    }
    step(given);
    let mut parts: Vec<&mut Fields> = Vec::new();
    let mut rest: Vec<&mut Value> = given.iter_mut().filter(|(name, _)| matches!(name.as_str(), "Attribute" | "Object")).map(|(_, value)| value).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(list) => rest.extend(list.iter_mut()),
            Value::Object(fields) => parts.push(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for part in parts {
        step(part);
        if let Some(Value::Array(list)) = part.get_mut("Attribute") {
            list.iter_mut().filter_map(Value::as_object_mut).for_each(step);
        }
    }
}

/// An event with its rows, as it is kept.
fn indexed(document: &Document, kept: &Kept, organisation: &Organisation, directory: &Snapshot, now: Timestamp) -> NewEvent {
    let owner = Owner::new(organisation, directory);
    let defaults = defaults(organisation, &document.head, now);
    let surroundings = Surroundings::of_event(&document.head);
    let event = owner.event(&document.head, &surroundings, &defaults);
    let mut tags: Vec<(i64, String)> = tag_keys(&document.head).map(|name| (0, name)).collect();
    let mut attributes = Vec::new();
    let mut seen: HashSet<i64> = HashSet::new();
    for (attribute, object) in document.each() {
        let Some(id) = number(attribute, "id").filter(|id| seen.insert(*id)) else { continue };
        let judged = judge_in(attribute, object, &surroundings, &defaults);
        let access = owner.attribute(attribute, object, &event, &judged);
        tags.extend(tag_keys(attribute).map(|name| (id, name)));
        let (kind, value) = (text(attribute, "type").unwrap_or_default(), text(attribute, "value").unwrap_or_default());
        let (first, second) = parts(&kind, &value);
        let gone = flag(attribute, "deleted") == Some(true) || object.is_some_and(|object| flag(object, "deleted") == Some(true));
        attributes.push(NewAttribute {
            id,
            object: object.and_then(|object| number(object, "id")).unwrap_or(0),
            uuid: text(attribute, "uuid").unwrap_or_default(),
            kind: key_of(&kind),
            category: key_of(&text(attribute, "category").unwrap_or_default()),
            value: key_of(&value),
            value1: key_of(first),
            value2: second.map(key_of).unwrap_or_default(),
            comment: key_of(&text(attribute, "comment").unwrap_or_default()),
            to_ids: flag(attribute, "to_ids") == Some(true),
            deleted: gone,
            timestamp: number(attribute, "timestamp").unwrap_or(0),
            tlp: access.tlp,
            audience: access.audience,
            victim: judged.victim,
            test: judged.test,
        });
    }
    let objects = document.objects.iter().filter_map(|object| {
        Some(NewObject {
            id: number(object, "id")?,
            uuid: text(object, "uuid")?,
            name: key_of(&text(object, "name")?),
            deleted: flag(object, "deleted") == Some(true),
        })
    });
    NewEvent {
        id: kept.id,
        org: kept.org,
        uuid: text(&document.head, "uuid").unwrap_or_default(),
        published: kept.published,
        deleted: kept.deleted,
        tlp: event.tlp,
        audience: event.audience,
        test: surroundings.test(),
        timestamp: number(&document.head, "timestamp").unwrap_or(0),
        published_at: kept.published_at,
        date: text(&document.head, "date").unwrap_or_default(),
        info: key_of(&text(&document.head, "info").unwrap_or_default()),
        generation: kept.generation,
        head: document.head_json(),
        content: document.content_json(),
        attributes,
        objects: objects.collect(),
        tags,
    }
}

/// What an attribute is, in its object and event.
pub(super) fn judge_in(attribute: &Fields, object: Option<&Fields>, surroundings: &Surroundings, defaults: &Defaults) -> Judged {
    match object {
        Some(object) => judge(attribute, &surroundings.with_object(object), defaults),
        None => judge(attribute, surroundings, defaults),
    }
}

/// What an attribute has where nothing is said. What somebody else made is passed on.
pub(super) fn defaults(organisation: &Organisation, head: &Fields, now: Timestamp) -> Defaults {
    let origin = head.contains_key("Orgc").then_some(Origin::Relayed);
    Defaults { now, tlp: organisation.default_tlp, pap: organisation.default_pap, named: organisation.named, category: None, origin, role: None }
}

/// The tags that it is found by. Local ones are shown to the owner and the hub's desk alone, and what is found by a tag tells that it is there.
fn tag_keys(fields: &Fields) -> impl Iterator<Item = String> {
    let tags = fields.get("Tag").and_then(Value::as_array).into_iter().flatten();
    tags.filter(|tag| tag.get("local").and_then(Value::as_bool) != Some(true)).filter_map(tag_name).map(key_of)
}

fn saved(name: &str, message: &str, id: i64) -> Value {
    json!({ "saved": true, "success": true, "name": name, "message": message, "url": "/events/view", "id": id.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_another_instance_reaches_one_step_less_far() {
        let mut given = super::super::fields::object(json!({ "info": "x", "distribution": "2", "Attribute": [{ "distribution": 1 }, { "distribution": 5 }],
            "Object": [{ "distribution": 3, "Attribute": [{ "distribution": "2" }] }] }))
        .unwrap();
        step_down(&mut given);
        assert_eq!(
            (&given["distribution"], &given["Attribute"][0]["distribution"], &given["Attribute"][1]["distribution"]),
            (&json!("1"), &json!("0"), &json!(5))
        );
        assert_eq!((&given["Object"][0]["distribution"], &given["Object"][0]["Attribute"][0]["distribution"]), (&json!(3), &json!("1")));
        let mut unsaid = super::super::fields::object(json!({ "info": "x" })).unwrap();
        step_down(&mut unsaid);
        assert_eq!(unsaid["distribution"], "0");
    }

    #[test]
    fn nothing_is_found_by_a_local_tag() {
        let tagged = super::super::fields::object(json!({ "Tag": [{ "name": "Own", "local": true }, { "name": "Shared", "local": false }] })).unwrap();
        assert_eq!(tag_keys(&tagged).collect::<Vec<_>>(), ["shared"]);
    }

    #[test]
    fn an_event_without_its_attributes_has_a_bound_that_what_is_there_may_keep() {
        let moment = Moment { now: 1_000, today: "2026-11-21".to_owned() };
        let given = super::super::fields::object(json!({ "info": "x", "x_own": "y".repeat(MAX_HEAD) })).unwrap();
        let document = Document::new(given, &moment).unwrap();
        assert!(matches!(fits(&document, 0), Err(HubError::TooLarge { .. })));
        assert!(fits(&document, document.head_json().len()).is_ok());
    }

    #[test]
    fn an_attribute_that_is_there_is_refused_or_changed() {
        let moment = Moment { now: 1_000, today: "2026-11-21".to_owned() };
        let fields = |value: Value| super::super::fields::object(value).unwrap();
        let mut document = Document::new(fields(json!({ "info": "x" })), &moment).unwrap();
        let one = json!({ "type": "domain", "value": "a.example" });
        let uuid = add(&mut document, fields(one.clone()), false, &moment).unwrap();
        assert!(matches!(add(&mut document, fields(one.clone()), false, &moment), Err(HubError::Invalid { pointer, .. }) if pointer == "/value"));
        let mut commented = fields(one);
        set(&mut commented, "comment", "again");
        assert_eq!(add(&mut document, commented, true, &moment).unwrap(), uuid);
        assert_eq!((document.attributes.len(), &document.attributes[0]["comment"]), (1, &json!("again")));
    }
}
