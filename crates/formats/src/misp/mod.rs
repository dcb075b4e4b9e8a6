//! MISP events: attributes, alone and in objects, as events.
//!
//! Flow: bytes → wrappers (`Event`, `response`, lists) → event → attributes in order → `attribute` makes an event of each.
//! Invariant: only one attribute at a time is held as a tree; every attribute gives an event, only describes, or is refused with its number.
//! Not here: proposals (`ShadowAttribute`), sightings inside attributes, reports, relations between objects; what is given out is in [`feed`].

mod attribute;
pub mod describe;
pub mod feed;
pub mod judge;
mod md5;
mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod types;

pub use md5::md5_hex;

use crate::stix::lenient::{self, Body, Fields, MAX_ENTRIES};
use crate::{Defaults, Parsed};
use attribute::Around;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Lists in wrappers in lists: deeper than this nobody nests on purpose.
const MAX_NESTING: u32 = 6;

/// Parses a document: an event, events in any of MISP's wrappers, or attributes alone. An entry's line is the attribute's number.
pub fn parse(document: &[u8], defaults: &Defaults, parsed: &mut Parsed) {
    let text = lenient::text(document);
    let (events_before, refusals_before) = (parsed.events.len(), parsed.refusals.len());
    let mut walk = Walk { parsed: &mut *parsed, defaults, next: 1, full: false, described: 0 };
    match lenient::body(&text) {
        Body::Empty => {}
        Body::One(text) => walk.value(text, 0),
        Body::Lines(text) => lenient::lines(text).for_each(|line| walk.value(line, 0)),
        Body::Broken(text, error) => {
            let repaired = lenient::without_trailing_commas(text);
            if let Body::One(text) = lenient::body(&repaired) {
                walk.value(text, 0);
            } else if is_list_of_hashes(text) {
                walk.refuse("a feed's list of hashes holds no attributes; send its events");
            } else {
                walk.refuse(format!("document is no JSON: {}", lenient::unreadable(&error)));
            }
        }
    }
    let described = walk.described;
    if described > 0 && parsed.events.len() == events_before && parsed.refusals.len() == refusals_before {
        parsed.refuse(1, format!("document holds no observation: {described} events and attributes only describe"));
    }
}

/// The fields that tell wrappers, events and attributes apart, and those of an event that its attributes need.
#[derive(Deserialize)]
struct Top<'a> {
    #[serde(rename = "Event", default, borrow)]
    event: Option<&'a RawValue>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
    #[serde(rename = "Attribute", default, borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(rename = "Object", default, borrow)]
    objects: Option<&'a RawValue>,
    #[serde(rename = "type", default, borrow)]
    kind: Option<&'a RawValue>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    date: Option<&'a RawValue>,
    #[serde(default, borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(default, borrow)]
    publish_timestamp: Option<&'a RawValue>,
    #[serde(default, borrow)]
    distribution: Option<&'a RawValue>,
    #[serde(default, borrow)]
    sharing_group_id: Option<&'a RawValue>,
    #[serde(rename = "Tag", default, borrow)]
    tag: Option<&'a RawValue>,
    #[serde(rename = "EventTag", default, borrow)]
    event_tag: Option<&'a RawValue>,
    #[serde(rename = "Galaxy", default, borrow)]
    galaxy: Option<&'a RawValue>,
}

/// The fields of an object that its attributes need.
#[derive(Deserialize)]
struct Composite<'a> {
    #[serde(rename = "Attribute", default, borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(default, borrow)]
    deleted: Option<&'a RawValue>,
    #[serde(default, borrow)]
    first_seen: Option<&'a RawValue>,
    #[serde(default, borrow)]
    last_seen: Option<&'a RawValue>,
    #[serde(default, borrow)]
    distribution: Option<&'a RawValue>,
    #[serde(default, borrow)]
    sharing_group_id: Option<&'a RawValue>,
}

struct Walk<'p> {
    parsed: &'p mut Parsed,
    defaults: &'p Defaults,
    next: u64,
    full: bool,
    /// Events without attributes and attributes that only describe.
    described: u64,
}

impl Walk<'_> {
    fn value(&mut self, raw: &str, depth: u32) {
        if depth > MAX_NESTING {
            return self.refuse(format!("wrappers are nested deeper than {MAX_NESTING} levels"));
        }
        if raw.starts_with('[') {
            let read = lenient::each_element(raw, &mut |element| self.value(element, depth + 1));
            if let Err(reason) = read {
                self.refuse(reason);
            }
            return;
        }
        if !raw.starts_with('{') {
            return self.refuse("entry is no object");
        }
        let top = match serde_json::from_str::<Top<'_>>(raw) {
            Ok(top) => top,
            Err(error) => return self.refuse(lenient::unreadable(&error)),
        };
        let is_event = top.attributes.is_some() || top.objects.is_some() || (top.info.is_some() && top.date.is_some());
        if top.kind.is_some() && top.value.is_some() && !is_event {
            // Attributes from a search carry the event they are from; its tags are repeated beside each.
            self.attribute(raw, &Around::default());
        } else if let Some(inner) = top.event.or(top.response) {
            self.value(inner.get(), depth + 1);
        } else if is_event {
            self.event(&top);
        } else {
            self.refuse(not_misp(raw));
        }
    }

    fn event(&mut self, top: &Top<'_>) {
        let fields = small_fields([
            ("Tag", top.tag),
            ("EventTag", top.event_tag),
            ("Galaxy", top.galaxy),
            ("date", top.date),
            ("timestamp", top.timestamp),
            ("publish_timestamp", top.publish_timestamp),
            ("distribution", top.distribution),
            ("sharing_group_id", top.sharing_group_id),
        ]);
        let around = Around::of_event(&fields);
        let (attributes, objects) = (top.attributes.map_or("", RawValue::get), top.objects.map_or("", RawValue::get));
        if attributes.is_empty() && objects.is_empty() {
            self.described += 1;
        }
        // Numbers follow the document, in which either may stand first.
        if objects.as_ptr() < attributes.as_ptr() {
            self.objects(objects, &around);
            self.attributes(attributes, &around);
        } else {
            self.attributes(attributes, &around);
            self.objects(objects, &around);
        }
    }

    fn objects(&mut self, raw: &str, around: &Around) {
        self.each(raw, &mut |walk, raw| match serde_json::from_str::<Composite<'_>>(raw) {
            Ok(object) => {
                let fields = small_fields([
                    ("deleted", object.deleted),
                    ("first_seen", object.first_seen),
                    ("last_seen", object.last_seen),
                    ("distribution", object.distribution),
                    ("sharing_group_id", object.sharing_group_id),
                ]);
                walk.attributes(object.attributes.map_or("", RawValue::get), &around.with_object(&fields));
            }
            Err(error) => walk.refuse(lenient::unreadable(&error)),
        });
    }

    fn attributes(&mut self, raw: &str, around: &Around) {
        self.each(raw, &mut |walk, raw| walk.attribute(raw, around));
    }

    /// Gives each element of a list, or the one object that stands in its place.
    fn each(&mut self, raw: &str, take: &mut dyn FnMut(&mut Self, &str)) {
        if raw.starts_with('{') {
            take(self, raw);
        } else if raw.starts_with('[') {
            let read = lenient::each_element(raw, &mut |element| take(self, element));
            if let Err(reason) = read {
                self.refuse(reason);
            }
        }
    }

    fn attribute(&mut self, raw: &str, around: &Around) {
        let Some(line) = self.number() else { return };
        match attribute::read(raw, around, self.defaults) {
            Ok(Some(event)) => self.parsed.take(line, event),
            Ok(None) => self.described += 1,
            Err(reason) => self.parsed.refuse(line, reason),
        }
    }

    fn refuse(&mut self, reason: impl Into<String>) {
        if let Some(line) = self.number() {
            self.parsed.refuse(line, reason);
        }
    }

    /// The next entry's number; `None` past the limit, which is said once.
    fn number(&mut self) -> Option<u64> {
        if self.next > MAX_ENTRIES {
            if !self.full {
                self.full = true;
                self.parsed.refuse(self.next, format!("document holds more than {MAX_ENTRIES} attributes; the rest is not read"));
            }
            return None;
        }
        let line = self.next;
        self.next += 1;
        Some(line)
    }
}

/// A few fields as a tree; those that are absent or broken are left out.
fn small_fields<const N: usize>(parts: [(&str, Option<&RawValue>); N]) -> Fields {
    parts.into_iter().filter_map(|(key, raw)| Some((key.to_owned(), serde_json::from_str(raw?.get()).ok()?))).collect()
}

/// Why an object is neither event nor attribute.
fn not_misp(raw: &str) -> &'static str {
    let beginning = lenient::clip(raw, 4096);
    let first_key = beginning.split('"').nth(1).unwrap_or_default();
    if first_key.len() == 36 && uuid::Uuid::try_parse(first_key).is_ok() {
        "a feed's manifest lists events and holds no attributes; send the events"
    } else if beginning.contains("\"bundle\"") || beginning.contains("\"spec_version\"") {
        "this is STIX; send it as application/stix+json"
    } else {
        "no MISP event or attribute"
    }
}

/// Whether a text is the `hashes.csv` of a feed: hash and event id on each line.
fn is_list_of_hashes(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first
        .split_once(',')
        .is_some_and(|(hash, id)| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && uuid::Uuid::try_parse(id.trim()).is_ok())
}
