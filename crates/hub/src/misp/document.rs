//! An event of MISP's as it is kept: its own fields, its attributes, its objects with theirs.
//!
//! Flow: a request's JSON → [`Document::new`] or [`Document::merge`] → [`Document::number`] → store; and back by [`Document::open`].
//! Invariant: whatever of it is not MISP's stays as it came. What only an instance can say — numbers, who is whose — is never taken from outside.
//! What is deleted is marked, and gone only where that is asked for. Resident numbers in texts are masked before anything is kept.
//! Not here: who may change it (`super::change`), what of it a reader sees (`super::show`).

use super::fields::{Fields, flag, number, objects, set, text, text_of, uuid_of, wrong};
use super::{MAX_ATTRIBUTES, MAX_OBJECTS, MAX_TAG, MAX_TAGS, MAX_TEXT};
use crate::HubError;
use formats::misp::describe::{defaults_of, is_category};
use formats::misp::judge::{is_type, only_describes};
use formats::privacy::mask_resident_numbers;
use hashbrown::HashMap;
use serde_json::{Value, json};
use std::borrow::Cow;
use uuid::Uuid;

/// What an instance says of an event itself, and what is given beside events.
const NOT_OF_EVENTS: [&str; 18] = [
    "id",
    "org_id",
    "orgc_id",
    "Org",
    "Orgc",
    "User",
    "user_id",
    "event_creator_email",
    "attribute_count",
    "proposal_email_lock",
    "locked",
    "sighting_timestamp",
    "RelatedEvent",
    "ShadowAttribute",
    "EventTag",
    "Feed",
    "warnings",
    "published",
];
/// The same of attributes and objects.
const NOT_OF_PARTS: [&str; 15] = [
    "id",
    "event_id",
    "object_id",
    "event_uuid",
    "Event",
    "Object",
    "value1",
    "value2",
    "Sighting",
    "ShadowAttribute",
    "RelatedAttribute",
    "AttributeTag",
    "warnings",
    "breakOnDuplicate",
    "enforceWarninglist",
];
/// MISP's distribution "as what it is in".
const INHERIT: &str = "5";

/// The moment and the day of a change.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// Seconds.
    pub now: i64,
    /// `2026-11-21` in the realm's zone.
    pub today: String,
}

/// An event.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    /// Its own fields.
    pub head: Fields,
    /// Attributes that are in no object.
    pub attributes: Vec<Fields>,
    /// Objects, each with its attributes.
    pub objects: Vec<Fields>,
}

impl Document {
    /// What is kept of an event.
    pub(super) fn open(head: &str, content: &[u8]) -> Result<Self, HubError> {
        let internal = |error: serde_json::Error| HubError::Internal(Box::new(error));
        let head: Fields = serde_json::from_str(head).map_err(internal)?;
        let mut content: Fields = serde_json::from_slice(content).map_err(internal)?;
        Ok(Self { head, attributes: objects(&mut content, "Attribute"), objects: objects(&mut content, "Object") })
    }

    /// Its own fields as they are kept.
    pub(super) fn head_json(&self) -> String {
        Value::Object(self.head.clone()).to_string()
    }

    /// Everything else as it is kept.
    pub(super) fn content_json(&self) -> Vec<u8> {
        serde_json::to_vec(&json!({ "Attribute": self.attributes, "Object": self.objects })).unwrap_or_default()
    }

    /// A new event.
    pub(super) fn new(mut given: Fields, moment: &Moment) -> Result<Self, HubError> {
        let tags = tags_of(&mut given);
        let (attributes, objects) = (objects(&mut given, "Attribute"), objects(&mut given, "Object"));
        let mut head = given;
        NOT_OF_EVENTS.iter().for_each(|name| drop(head.remove(*name)));
        tidy_event(&mut head, moment)?;
        merge_tags(&mut head, tags)?;
        let mut document = Self { head, ..Self::default() };
        for attribute in attributes {
            document.add_attribute(attribute, moment)?;
        }
        for object in objects {
            document.add_object(object, moment)?;
        }
        Ok(document)
    }

    /// Takes in what a request says of an event that is there.
    pub(super) fn merge(&mut self, mut given: Fields, moment: &Moment) -> Result<(), HubError> {
        let stored = number(&self.head, "timestamp").unwrap_or(0);
        if number(&given, "timestamp").is_some_and(|stated| stated <= stored) {
            return Err(HubError::Forbidden("the event in the request is not newer than the one here"));
        }
        let tags = tags_of(&mut given);
        let (attributes, objects) = (objects(&mut given, "Attribute"), objects(&mut given, "Object"));
        NOT_OF_EVENTS.iter().for_each(|name| drop(given.remove(*name)));
        given.remove("uuid");
        if number(&given, "timestamp").is_none() {
            set(&mut given, "timestamp", moment.now.max(stored + 1).to_string());
        }
        self.head.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        tidy_event(&mut self.head, moment)?;
        merge_tags(&mut self.head, tags)?;
        let mut places = Places::of(&self.attributes);
        for attribute in attributes {
            match places.find(&attribute).and_then(|place| self.attributes.get_mut(place)) {
                Some(there) => {
                    merge_attribute(there, attribute, moment)?;
                }
                None => {
                    let place = self.attributes.len();
                    self.add_attribute(attribute, moment)?;
                    if let Some(new) = self.attributes.get(place) {
                        places.add(new, place);
                    }
                }
            }
        }
        let mut places = Places::of(&self.objects);
        for object in objects {
            match places.find(&object).and_then(|place| self.objects.get_mut(place)) {
                Some(there) => merge_object(there, object, moment)?,
                None => {
                    let place = self.objects.len();
                    self.add_object(object, moment)?;
                    if let Some(new) = self.objects.get(place) {
                        places.add(new, place);
                    }
                }
            }
        }
        self.check()
    }

    /// Adds an attribute that is in no object; gives nothing but what is wrong with it.
    pub(super) fn add_attribute(&mut self, given: Fields, moment: &Moment) -> Result<(), HubError> {
        self.attributes.push(new_attribute(given, moment)?);
        self.check()
    }

    /// Adds an object.
    pub(super) fn add_object(&mut self, mut given: Fields, moment: &Moment) -> Result<(), HubError> {
        let attributes = objects(&mut given, "Attribute");
        let references = given.remove("ObjectReference");
        let mut new = given;
        NOT_OF_PARTS.iter().for_each(|name| drop(new.remove(*name)));
        tidy_object(&mut new, moment)?;
        if let Some(references) = references.filter(Value::is_array) {
            new.insert("ObjectReference".to_owned(), references);
        }
        let inner: Result<Vec<Fields>, HubError> = attributes.into_iter().map(|attribute| new_attribute(attribute, moment)).collect();
        set(&mut new, "Attribute", inner?.into_iter().map(Value::Object).collect::<Vec<_>>());
        self.objects.push(new);
        self.check()
    }

    /// An attribute by its number, wherever it is.
    pub(super) fn attribute_mut(&mut self, id: i64) -> Option<&mut Fields> {
        let of_objects = self.objects.iter_mut().flat_map(inner_mut);
        self.attributes.iter_mut().chain(of_objects).find(|attribute| number(attribute, "id") == Some(id))
    }

    /// An object by its number.
    pub(super) fn object_mut(&mut self, id: i64) -> Option<&mut Fields> {
        self.objects.iter_mut().find(|object| number(object, "id") == Some(id))
    }

    /// Takes an attribute out for good.
    pub(super) fn remove_attribute(&mut self, id: i64) {
        let other = |attribute: &Fields| number(attribute, "id") != Some(id);
        self.attributes.retain(other);
        for object in &mut self.objects {
            if let Some(Value::Array(list)) = object.get_mut("Attribute") {
                list.retain(|value| value.as_object().is_none_or(other));
            }
        }
    }

    /// Every attribute, with the object that it is in.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Fields, Option<&Fields>)> {
        let of_objects = self.objects.iter().flat_map(|object| inner(object).map(move |attribute| (attribute, Some(object))));
        self.attributes.iter().map(|attribute| (attribute, None)).chain(of_objects)
    }

    /// How many attributes and objects have no number yet.
    pub(super) fn unnumbered(&self) -> (usize, usize) {
        let attributes = self.each().filter(|(attribute, _)| !attribute.contains_key("id")).count();
        (attributes, self.objects.iter().filter(|object| !object.contains_key("id")).count())
    }

    /// Gives numbers to those that have none.
    pub(super) fn number(&mut self, mut attribute: i64, mut object: i64) {
        let give = |fields: &mut Fields, next: &mut i64| {
            if !fields.contains_key("id") {
                set(fields, "id", next.to_string());
                *next += 1;
            }
        };
        for fields in &mut self.attributes {
            give(fields, &mut attribute);
        }
        for fields in &mut self.objects {
            give(fields, &mut object);
            inner_mut(fields).for_each(|inner| give(inner, &mut attribute));
        }
    }

    /// Whether it has an object of this name whose attributes say the same and that is not deleted.
    pub(super) fn repeats_object(&self, given: &Fields) -> bool {
        let says = |object: &Fields| {
            let living = inner(object).filter(|attribute| flag(attribute, "deleted") != Some(true));
            let mut all: Vec<_> = living.map(|attribute| (text(attribute, "object_relation"), text(attribute, "type"), text(attribute, "value"))).collect();
            all.sort_unstable();
            (text(object, "name"), all)
        };
        let wanted = says(given);
        self.objects.iter().any(|there| flag(there, "deleted") != Some(true) && says(there) == wanted)
    }

    /// Notes that it was changed now.
    pub(super) fn touch(&mut self, moment: &Moment) {
        let stored = number(&self.head, "timestamp").unwrap_or(0);
        set(&mut self.head, "timestamp", moment.now.max(stored + 1).to_string());
    }

    fn check(&self) -> Result<(), HubError> {
        if self.objects.len() > MAX_OBJECTS {
            return Err(HubError::TooLarge { limit: MAX_OBJECTS as u64, unit: "objects an event" });
        }
        if self.attributes.len() > MAX_ATTRIBUTES || self.each().count() > MAX_ATTRIBUTES {
            return Err(HubError::TooLarge { limit: MAX_ATTRIBUTES as u64, unit: "attributes an event" });
        }
        Ok(())
    }
}

/// The attributes of an object.
pub(super) fn inner(object: &Fields) -> impl Iterator<Item = &Fields> {
    object.get("Attribute").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The same to be changed.
pub(super) fn inner_mut(object: &mut Fields) -> impl Iterator<Item = &mut Fields> {
    object.get_mut("Attribute").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Where the parts of a list are, so that a request with many of them does not look through all for each.
#[derive(Default)]
struct Places {
    uuids: HashMap<String, usize>,
    numbers: HashMap<i64, usize>,
}

impl Places {
    fn of(parts: &[Fields]) -> Self {
        let mut places = Self::default();
        parts.iter().enumerate().for_each(|(place, part)| places.add(part, place));
        places
    }

    fn add(&mut self, part: &Fields, place: usize) {
        if let Some(uuid) = text(part, "uuid") {
            self.uuids.entry(uuid).or_insert(place);
        }
        if let Some(id) = number(part, "id") {
            self.numbers.entry(id).or_insert(place);
        }
    }

    /// Where what is given is, by its UUID or else by its number.
    fn find(&self, given: &Fields) -> Option<usize> {
        match text(given, "uuid").and_then(|uuid| uuid_of(&uuid)) {
            Some(uuid) => self.uuids.get(&uuid).copied(),
            None => number(given, "id").and_then(|id| self.numbers.get(&id).copied()),
        }
    }
}

/// A new attribute in the form in which all are kept.
pub(super) fn new_attribute(mut given: Fields, moment: &Moment) -> Result<Fields, HubError> {
    let tags = tags_of(&mut given);
    NOT_OF_PARTS.iter().for_each(|name| drop(given.remove(*name)));
    tidy_attribute(&mut given, moment)?;
    merge_tags(&mut given, tags)?;
    Ok(given)
}

/// Takes in what a request says of an attribute; false where it says nothing newer. Of one that states the time of what is here the tags alone are
/// taken: a client that has read it and tags it sends it with the time that it has read.
pub(super) fn merge_attribute(there: &mut Fields, mut given: Fields, moment: &Moment) -> Result<bool, HubError> {
    let stored = number(there, "timestamp").unwrap_or(0);
    let stated = number(&given, "timestamp");
    if stated.is_some_and(|stated| stated < stored) {
        return Ok(false);
    }
    let tags = tags_of(&mut given);
    if stated == Some(stored) {
        let before = there.get("Tag").cloned();
        merge_tags(there, tags)?;
        let tagged = there.get("Tag") != before.as_ref();
        if tagged {
            set(there, "timestamp", moment.now.max(stored + 1).to_string());
        }
        return Ok(tagged);
    }
    NOT_OF_PARTS.iter().for_each(|name| drop(given.remove(*name)));
    given.remove("uuid");
    if number(&given, "timestamp").is_none() {
        set(&mut given, "timestamp", moment.now.max(stored + 1).to_string());
    }
    let mut merged = there.clone();
    merged.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    tidy_attribute(&mut merged, moment)?;
    merge_tags(&mut merged, tags)?;
    *there = merged;
    Ok(true)
}

/// Takes in what a request says of an object. Attributes that it does not name stay.
pub(super) fn merge_object(there: &mut Fields, mut given: Fields, moment: &Moment) -> Result<(), HubError> {
    let attributes = objects(&mut given, "Attribute");
    let stored = number(there, "timestamp").unwrap_or(0);
    if number(&given, "timestamp").is_none_or(|stated| stated > stored) {
        NOT_OF_PARTS.iter().for_each(|name| drop(given.remove(*name)));
        given.remove("uuid");
        if number(&given, "timestamp").is_none() {
            set(&mut given, "timestamp", moment.now.max(stored + 1).to_string());
        }
        there.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        tidy_object(there, moment)?;
    }
    let mut places = Places::default();
    for (place, known) in there.get("Attribute").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(known) = known.as_object() {
            places.add(known, place);
        }
    }
    for attribute in attributes {
        let Some(Value::Array(list)) = there.get_mut("Attribute") else { break };
        match places.find(&attribute).and_then(|place| list.get_mut(place)).and_then(Value::as_object_mut) {
            Some(known) => {
                merge_attribute(known, attribute, moment)?;
            }
            None => {
                let new = new_attribute(attribute, moment)?;
                places.add(&new, list.len());
                list.push(Value::Object(new));
            }
        }
    }
    if flag(there, "deleted") == Some(true) {
        inner_mut(there).for_each(|attribute| mark_deleted(attribute, true, moment));
    }
    Ok(())
}

/// Marks an attribute or object as deleted, or as there again.
pub(super) fn mark_deleted(fields: &mut Fields, deleted: bool, moment: &Moment) {
    if flag(fields, "deleted") == Some(deleted) {
        return;
    }
    let stored = number(fields, "timestamp").unwrap_or(0);
    set(fields, "deleted", deleted);
    set(fields, "timestamp", moment.now.max(stored + 1).to_string());
}

fn tidy_event(head: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let info = text(head, "info").ok_or_else(|| wrong("info", "an event says what it is about"))?;
    if info.len() > MAX_TEXT {
        return Err(wrong("info", format!("at most {MAX_TEXT} bytes")));
    }
    set(head, "info", info);
    tidy_uuid(head)?;
    let date = text(head, "date").unwrap_or_else(|| moment.today.clone());
    set(head, "date", day(&date).ok_or_else(|| wrong("date", "must be a day, YYYY-MM-DD"))?);
    choice(head, "threat_level_id", &["1", "2", "3", "4"], "4")?;
    choice(head, "analysis", &["0", "1", "2"], "0")?;
    choice(head, "distribution", &["0", "1", "2", "3", "4"], "1")?;
    tidy_times(head, moment);
    let published = number(head, "publish_timestamp").unwrap_or(0).max(0);
    set(head, "publish_timestamp", published.to_string());
    let extends = text(head, "extends_uuid").and_then(|uuid| uuid_of(&uuid)).unwrap_or_default();
    set(head, "extends_uuid", extends);
    let group = number(head, "sharing_group_id").unwrap_or(0);
    set(head, "sharing_group_id", group.to_string());
    mask(head);
    Ok(())
}

fn tidy_attribute(fields: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let kind = text(fields, "type").filter(|kind| is_type(kind)).ok_or_else(|| wrong("type", "must be one of the attribute types of MISP"))?;
    let value = text(fields, "value").ok_or_else(|| wrong("value", "an attribute has a value"))?;
    if value.len() > MAX_TEXT {
        return Err(wrong("value", format!("at most {MAX_TEXT} bytes")));
    }
    let (usual, detect) = defaults_of(&kind).unwrap_or(("Other", false));
    let category = text(fields, "category").filter(|category| is_category(category)).unwrap_or_else(|| usual.to_owned());
    let value = if only_describes(&kind) { mask_resident_numbers(&value).into_owned() } else { value };
    set(fields, "type", kind);
    set(fields, "value", value);
    set(fields, "category", category);
    tidy_uuid(fields)?;
    choice(fields, "distribution", &["0", "1", "2", "3", "4", "5"], INHERIT)?;
    tidy_times(fields, moment);
    tidy_part(fields)?;
    let to_ids = flag(fields, "to_ids").unwrap_or(detect);
    set(fields, "to_ids", to_ids);
    let alone = flag(fields, "disable_correlation").unwrap_or(false);
    set(fields, "disable_correlation", alone);
    if !fields.contains_key("object_relation") {
        set(fields, "object_relation", Value::Null);
    }
    Ok(())
}

fn tidy_object(fields: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let name = text(fields, "name").filter(|name| name.len() <= MAX_TAG).ok_or_else(|| wrong("name", "an object has a name"))?;
    set(fields, "name", name);
    tidy_uuid(fields)?;
    choice(fields, "distribution", &["0", "1", "2", "3", "4", "5"], INHERIT)?;
    tidy_times(fields, moment);
    tidy_part(fields)
}

/// Masks resident numbers in every text but values, which are observables, and what is attached.
fn mask(fields: &mut Fields) {
    for (name, value) in fields {
        if !matches!(name.as_str(), "uuid" | "value" | "data" | "Attribute") {
            mask_value(value);
        }
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            let masked = match mask_resident_numbers(text) {
                Cow::Owned(masked) => masked,
                Cow::Borrowed(_) => return,
            };
            *text = masked;
        }
        Value::Array(list) => list.iter_mut().for_each(mask_value),
        Value::Object(fields) => fields.values_mut().for_each(mask_value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What attributes and objects share.
fn tidy_part(fields: &mut Fields) -> Result<(), HubError> {
    mask(fields);
    let comment = fields.get("comment").and_then(text_of).unwrap_or_default();
    if comment.len() > MAX_TEXT {
        return Err(wrong("comment", format!("at most {MAX_TEXT} bytes")));
    }
    set(fields, "comment", comment);
    let deleted = flag(fields, "deleted").unwrap_or(false);
    set(fields, "deleted", deleted);
    let group = number(fields, "sharing_group_id").unwrap_or(0);
    set(fields, "sharing_group_id", group.to_string());
    for name in ["first_seen", "last_seen"] {
        if !fields.contains_key(name) {
            set(fields, name, Value::Null);
        }
    }
    Ok(())
}

fn tidy_uuid(fields: &mut Fields) -> Result<(), HubError> {
    let uuid = match text(fields, "uuid") {
        Some(uuid) => uuid_of(&uuid).ok_or_else(|| wrong("uuid", "must be a UUID"))?,
        None => Uuid::new_v4().to_string(),
    };
    set(fields, "uuid", uuid);
    Ok(())
}

fn tidy_times(fields: &mut Fields, moment: &Moment) {
    // Nobody sees the future: what is ahead of the hub could not be changed until then.
    let timestamp = number(fields, "timestamp").filter(|stated| *stated > 0).unwrap_or(moment.now).min(moment.now.saturating_add(1));
    set(fields, "timestamp", timestamp.to_string());
}

/// One of a few numbers, as a text.
fn choice(fields: &mut Fields, name: &str, all: &[&str], usual: &str) -> Result<(), HubError> {
    let chosen = text(fields, name).unwrap_or_else(|| usual.to_owned());
    if !all.contains(&chosen.as_str()) {
        return Err(wrong(name, format!("must be one of {}", all.join(", "))));
    }
    set(fields, name, chosen);
    Ok(())
}

/// A day in its one form.
pub(super) fn day(text: &str) -> Option<String> {
    let date = text.get(..10).unwrap_or(text);
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let days = model::time::days_from_civil(year, month, day);
    // What is no day of the calendar comes back as another.
    ((1..=9_999).contains(&year) && model::time::civil_from_days(days) == (year, month, day)).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The tags of a request.
fn tags_of(given: &mut Fields) -> Vec<Value> {
    match given.remove("Tag") {
        Some(Value::Array(list)) => list,
        Some(one @ (Value::Object(_) | Value::String(_))) => vec![one],
        _ => Vec::new(),
    }
}

/// Adds the tags of a request to those that are there, and takes out those that it marks as deleted.
fn merge_tags(fields: &mut Fields, given: Vec<Value>) -> Result<(), HubError> {
    let mut tags: Vec<Value> = fields.remove("Tag").and_then(|tags| tags.as_array().cloned()).unwrap_or_default();
    for entry in given {
        let (name, local, deleted, more) = match entry {
            Value::String(name) => (Some(name.trim().to_owned()), false, false, Fields::new()),
            Value::Object(entry) => (text(&entry, "name"), flag(&entry, "local") == Some(true), flag(&entry, "deleted") == Some(true), entry),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => continue,
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
        if deleted {
            tags.retain(|there| !is_named(there, &name));
        } else if !tags.iter().any(|there| is_named(there, &name)) {
            tags.push(tag(&name, local, &more)?);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(HubError::TooLarge { limit: MAX_TAGS as u64, unit: "tags" });
    }
    set(fields, "Tag", tags);
    Ok(())
}

/// Adds a tag; false where it is there.
pub(super) fn add_tag(fields: &mut Fields, name: &str, local: bool, relationship: Option<&str>) -> Result<bool, HubError> {
    let there = fields.get("Tag").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|tag| is_named(tag, name)));
    let mut more = Fields::new();
    set(&mut more, "name", name);
    set(&mut more, "local", local);
    set(&mut more, "relationship_type", relationship.unwrap_or_default());
    merge_tags(fields, vec![Value::Object(more)])?;
    Ok(!there)
}

/// Takes a tag out; false where it is not there.
pub(super) fn remove_tag(fields: &mut Fields, name: &str) -> bool {
    let Some(Value::Array(tags)) = fields.get_mut("Tag") else { return false };
    let before = tags.len();
    tags.retain(|tag| !is_named(tag, name));
    tags.len() < before
}

/// The name of a tag as it is kept.
pub(super) fn tag_name(tag: &Value) -> Option<&str> {
    tag.get("name").and_then(Value::as_str)
}

fn is_named(tag: &Value, name: &str) -> bool {
    tag_name(tag).is_some_and(|there| there.eq_ignore_ascii_case(name))
}

/// A tag in MISP's form.
pub(super) fn tag(name: &str, local: bool, given: &Fields) -> Result<Value, HubError> {
    if name.len() > MAX_TAG || name.chars().any(char::is_control) {
        return Err(wrong("Tag", format!("a tag's name has at most {MAX_TAG} bytes and no control characters")));
    }
    let colour = text(given, "colour").filter(|colour| colour.len() <= 7).unwrap_or_else(|| colour_of(name).to_owned());
    let relationship = text(given, "relationship_type").filter(|word| word.len() <= MAX_TAG).unwrap_or_default();
    Ok(json!({
        "id": super::people::tag_number(name).to_string(),
        "name": name,
        "colour": colour,
        "exportable": true,
        "user_id": "0",
        "hide_tag": false,
        "numerical_value": null,
        "is_galaxy": name.starts_with("misp-galaxy:"),
        "is_custom_galaxy": false,
        "local_only": false,
        "local": local,
        "relationship_type": relationship,
    }))
}

fn colour_of(name: &str) -> &'static str {
    model::Tlp::parse(name).filter(|_| name.starts_with("tlp:")).map_or(formats::misp::feed::PLAIN, formats::misp::feed::colour)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::fields::object;
    use super::*;

    const UUID: &str = "ab2b6e28-fda5-4282-bf60-22b81de77851";

    fn moment(now: i64) -> Moment {
        Moment { now, today: "2026-11-21".to_owned() }
    }

    fn fields(value: Value) -> Fields {
        object(value).unwrap()
    }

    fn event(more: Value) -> Document {
        let mut given = fields(json!({ "info": "x", "Attribute": [{ "type": "ip-dst", "value": "198.51.100.1", "uuid": UUID, "timestamp": 50 }] }));
        given.extend(fields(more));
        Document::new(given, &moment(1_000)).unwrap()
    }

    #[test]
    fn a_new_event_has_what_misp_gives_it_and_nothing_of_another_instance() {
        let mut document =
            event(json!({ "id": "7", "Org": {}, "x_own": [1], "Object": [{ "name": "file", "Attribute": [{ "type": "filename", "value": "a" }] }] }));
        assert_eq!((document.head["distribution"].as_str(), document.head["date"].as_str()), (Some("1"), Some("2026-11-21")));
        assert!(!document.head.contains_key("id") && !document.head.contains_key("Org") && document.head["x_own"] == json!([1]));
        assert_eq!(document.attributes[0]["category"], "Network activity");
        assert_eq!(document.unnumbered(), (2, 1));
        document.number(10, 20);
        assert_eq!((document.unnumbered(), document.attribute_mut(11).unwrap()["value"].as_str()), ((0, 0), Some("a")));
        let again = Document::open(&document.head_json(), &document.content_json()).unwrap();
        assert_eq!((again.head, again.attributes, again.objects), (document.head, document.attributes, document.objects));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, field) in [
            (json!({}), "/info"),
            (json!({ "info": "x", "distribution": 7 }), "/distribution"),
            (json!({ "info": "x", "date": "2026-02-30" }), "/date"),
            (json!({ "info": "x", "uuid": "7" }), "/uuid"),
            (json!({ "info": "x", "Attribute": [{ "type": "no-such", "value": "x" }] }), "/type"),
            (json!({ "info": "x", "Attribute": [{ "type": "text", "value": " " }] }), "/value"),
            (json!({ "info": "x", "Object": [{}] }), "/name"),
        ] {
            let refused = Document::new(fields(given.clone()), &moment(1)).unwrap_err();
            assert!(matches!(&refused, HubError::Invalid { pointer, .. } if pointer == field), "{given} {refused}");
        }
    }

    #[test]
    fn a_change_takes_what_is_newer_and_keeps_what_it_does_not_name() {
        let mut document = event(json!({}));
        let stale = document.merge(fields(json!({ "info": "y", "timestamp": "1000" })), &moment(2_000));
        assert!(matches!(stale, Err(HubError::Forbidden(_))));
        let older = json!({ "info": "y", "Attribute": [{ "uuid": UUID, "type": "ip-dst", "value": "198.51.100.2", "timestamp": 50 }] });
        document.merge(fields(older), &moment(2_000)).unwrap();
        assert_eq!((document.head["info"].as_str(), document.attributes[0]["value"].as_str()), (Some("y"), Some("198.51.100.1")));
        let newer = json!({ "Attribute": [{ "uuid": UUID, "value": "198.51.100.2" }, { "type": "text", "value": "new" }] });
        document.merge(fields(newer), &moment(2_000)).unwrap();
        assert_eq!((document.attributes.len(), document.attributes[0]["value"].as_str()), (2, Some("198.51.100.2")));
        assert_eq!(document.attributes[0]["type"], "ip-dst");
        assert_eq!((document.head["info"].as_str(), document.head["timestamp"].as_str()), (Some("y"), Some("2001")));
    }

    #[test]
    fn what_one_request_names_twice_is_one_thing_here() {
        let mut document = event(json!({ "Object": [{ "name": "file", "uuid": UUID, "Attribute": [] }] }));
        let (one, other) = ("0b2b6e28-fda5-4282-bf60-22b81de77851", "1b2b6e28-fda5-4282-bf60-22b81de77851");
        let given = json!({
            "Attribute": [{ "uuid": one, "type": "text", "value": "x", "timestamp": 100 }, { "uuid": one, "value": "y", "timestamp": 101 }],
            "Object": [{ "uuid": UUID, "Attribute": [{ "uuid": other, "type": "text", "value": "x", "timestamp": 100 }, { "uuid": other, "value": "z", "timestamp": 101 }] }],
        });
        document.merge(fields(given), &moment(2_000)).unwrap();
        let values: Vec<_> = document.each().map(|(attribute, _)| attribute["value"].as_str().unwrap()).collect();
        assert_eq!(values, ["198.51.100.1", "y", "z"]);
    }

    #[test]
    fn an_object_that_is_deleted_takes_its_attributes_with_it_and_they_stay_to_be_seen() {
        let mut document = event(json!({ "Object": [{ "name": "file", "uuid": UUID, "Attribute": [{ "type": "filename", "value": "a" }] }] }));
        document.merge(fields(json!({ "Object": [{ "uuid": UUID, "deleted": true }] })), &moment(2_000)).unwrap();
        assert_eq!(document.objects[0]["deleted"], true);
        assert!(inner(&document.objects[0]).all(|attribute| attribute["deleted"] == true));
    }

    #[test]
    fn tags_are_added_once_and_removed_where_that_is_said() {
        let mut document = event(json!({ "Tag": [{ "name": "tlp:green" }, "own"] }));
        document
            .merge(fields(json!({ "Tag": [{ "name": "TLP:GREEN" }, { "name": "own", "deleted": 1 }, { "name": "new", "local": true }] })), &moment(2_000))
            .unwrap();
        let names: Vec<&str> = document.head["Tag"].as_array().unwrap().iter().filter_map(tag_name).collect();
        assert_eq!(names, ["tlp:green", "new"]);
        assert_eq!(document.head["Tag"][0]["colour"], "#33ff00");
        assert!(!add_tag(&mut document.head, "new", false, None).unwrap() && remove_tag(&mut document.head, "NEW"));
    }

    #[test]
    fn an_object_that_says_the_same_is_known_by_what_it_says() {
        let file = |name: &str| fields(json!({ "name": "file", "Attribute": [{ "object_relation": "filename", "type": "filename", "value": name }] }));
        let document = event(json!({ "Object": [file("a")] }));
        assert!(document.repeats_object(&file("a")) && !document.repeats_object(&file("b")));
    }

    #[test]
    fn a_tag_is_taken_with_the_time_that_was_read_and_nothing_else_is() {
        let mut document = event(json!({}));
        let read = json!({ "uuid": UUID, "type": "ip-dst", "value": "198.51.100.9", "timestamp": 50, "Tag": ["own"] });
        assert!(merge_attribute(&mut document.attributes[0], fields(read.clone()), &moment(2_000)).unwrap());
        assert_eq!((&document.attributes[0]["value"], &document.attributes[0]["timestamp"]), (&json!("198.51.100.1"), &json!("2000")));
        assert!(!merge_attribute(&mut document.attributes[0], fields(read), &moment(3_000)).unwrap());
    }

    #[test]
    fn resident_numbers_are_masked_in_every_text_and_observables_stay_whole() {
        let text = |value: &str| json!({ "type": "text", "value": value, "comment": value });
        let document = event(json!({ "info": "of 850315-1234561", "x_own": [{ "note": "850315-1234561" }], "Attribute": [text("850315-1234561"),
            { "type": "url", "value": "http://evil.example/850315-1234561" }] }));
        let whole = format!("{}{}", document.head_json(), String::from_utf8(document.content_json()).unwrap());
        assert_eq!(whole.matches("1234561").count(), 1, "{whole}");
        assert!(whole.contains("850315-1******"), "{whole}");
    }

    #[test]
    fn days_have_one_form() {
        assert_eq!(day("2018-9-1").as_deref(), Some("2018-09-01"));
        assert_eq!(day("2018-09-01T00:00:00").as_deref(), Some("2018-09-01"));
        assert_eq!(day("Aug 18 2018"), None);
    }
}
