//! An event of MISP's as it is kept: its own fields, its attributes, its objects with theirs.
//!
//! Flow: a request's JSON → [`Document::new`] or [`Document::merge`] → [`Document::number`] → store; and back by [`Document::open`].
//! Invariant: whatever of it is not MISP's stays as it came. What only an instance can say — numbers, who is whose — is never taken from outside.
//! What is deleted is marked, and gone only where that is asked for. Resident numbers in texts are masked before anything is kept.
//! Not here: how a change is taken in ([`merge`]), which form each field has ([`tidy`]), tags ([`tags`]), reports ([`reports`]); who may change it (`super::change`), what of
//! it a reader sees (`super::show`).

mod merge;
mod reports;
mod tags;
#[cfg(test)]
mod tests;
mod tidy;

pub(super) use merge::{mark_deleted, merge_attribute, merge_object, new_attribute};
pub(super) use reports::{REPORTS, merge_report};
pub(super) use tags::{add_tag, remove_tag, tag, tag_name};
pub(super) use tidy::day;

use super::fields::{Fields, flag, number, objects, set, text};
use super::{MAX_ATTRIBUTES, MAX_OBJECTS};
use crate::HubError;
use reports::reports_of;
use serde_json::{Value, json};
use tags::{merge_tags, tags_of};
use tidy::{tidy_event, tidy_object};

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
        let (tags, reports) = (tags_of(&mut given), reports_of(&mut given));
        let (attributes, objects) = (objects(&mut given, "Attribute"), objects(&mut given, "Object"));
        let mut head = given;
        NOT_OF_EVENTS.iter().for_each(|name| drop(head.remove(*name)));
        tidy_event(&mut head, moment)?;
        merge_tags(&mut head, tags)?;
        let mut document = Self { head, ..Self::default() };
        document.merge_reports(reports, moment)?;
        for attribute in attributes {
            document.add_attribute(attribute, moment)?;
        }
        for object in objects {
            document.add_object(object, moment)?;
        }
        Ok(document)
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
