//! How what a request says is taken into an event that is there.
//!
//! Invariant: what is newer is taken and what is not named stays; what one request names twice is one thing.

use super::reports::reports_of;
use super::tags::{merge_tags, tags_of};
use super::tidy::{tidy_attribute, tidy_event, tidy_object};
use super::{Document, Moment, NOT_OF_EVENTS, NOT_OF_PARTS, inner_mut};
use crate::HubError;
use crate::misp::fields::{Fields, flag, number, objects, set, text, uuid_of};
use hashbrown::HashMap;
use serde_json::Value;

impl Document {
    /// Takes in what a request says of an event that is there.
    pub(in crate::misp) fn merge(&mut self, mut given: Fields, moment: &Moment) -> Result<(), HubError> {
        let stored = number(&self.head, "timestamp").unwrap_or(0);
        if number(&given, "timestamp").is_some_and(|stated| stated <= stored) {
            return Err(HubError::Forbidden("the event in the request is not newer than the one here"));
        }
        let (tags, reports) = (tags_of(&mut given), reports_of(&mut given));
        let (attributes, objects) = (objects(&mut given, "Attribute"), objects(&mut given, "Object"));
        NOT_OF_EVENTS.iter().for_each(|name| drop(given.remove(*name)));
        given.remove("uuid");
        if number(&given, "timestamp").is_none() {
            set(&mut given, "timestamp", moment.now.max(stored + 1).to_string());
        }
        self.head.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        tidy_event(&mut self.head, moment)?;
        merge_tags(&mut self.head, tags)?;
        self.merge_reports(reports, moment)?;
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
pub(in crate::misp) fn new_attribute(mut given: Fields, moment: &Moment) -> Result<Fields, HubError> {
    let tags = tags_of(&mut given);
    NOT_OF_PARTS.iter().for_each(|name| drop(given.remove(*name)));
    tidy_attribute(&mut given, moment)?;
    merge_tags(&mut given, tags)?;
    Ok(given)
}

/// Takes in what a request says of an attribute; false where it says nothing newer. Of one that states the time of what is here the tags alone are
/// taken: a client that has read it and tags it sends it with the time that it has read.
pub(in crate::misp) fn merge_attribute(there: &mut Fields, mut given: Fields, moment: &Moment) -> Result<bool, HubError> {
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
pub(in crate::misp) fn merge_object(there: &mut Fields, mut given: Fields, moment: &Moment) -> Result<(), HubError> {
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
pub(in crate::misp) fn mark_deleted(fields: &mut Fields, deleted: bool, moment: &Moment) {
    if flag(fields, "deleted") == Some(deleted) {
        return;
    }
    let stored = number(fields, "timestamp").unwrap_or(0);
    set(fields, "deleted", deleted);
    set(fields, "timestamp", moment.now.max(stored + 1).to_string());
}
