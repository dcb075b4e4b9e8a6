//! What the hub makes of the attributes of a MISP event that it keeps: the event that each gives, its marking, whether it names a victim.
//!
//! Flow: `hub::misp` holds an event as JSON → [`Surroundings`] of the event and of each object → [`judge`] for each attribute.
//! Invariant: the same reading as that of documents ([`super::parse`]), so that an event sent to either door gives the same.
//! Not here: distribution as an audience (`policy::distribution`).

use super::attribute::{self, Around};
use super::tags::Tags;
use super::types::{self, Kind};
use crate::Defaults;
use crate::stix::lenient;
use model::{Category, Event, Role, Tlp};
use serde_json::{Map, Value};

/// Describing types that name whom an attack was aimed at.
const OF_VICTIMS: [&str; 6] = ["target-user", "target-email", "target-machine", "target-org", "target-location", "target-external"];

/// What an event, or an object in it, says of the attributes in it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    around: Around,
}

/// What an attribute is to the hub.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The event it gives; `None` where it only describes, was deleted, or cannot be matched here.
    pub event: Option<Event>,
    /// Its marking, without what its distribution adds.
    pub tlp: Tlp,
    /// Whether it names a victim.
    pub victim: bool,
    /// Whether it is for tests.
    pub test: bool,
}

impl Surroundings {
    /// Of an event's own fields.
    pub fn of_event(event: &Map<String, Value>) -> Self {
        Self { around: Around::of_event(event) }
    }

    /// Of an object's own fields, in this event.
    #[must_use]
    pub fn with_object(&self, object: &Map<String, Value>) -> Self {
        Self { around: self.around.with_object(object) }
    }

    /// The event's own marking, without what its distribution adds.
    pub fn tlp(&self, defaults: &Defaults) -> Tlp {
        attribute::marking(&Tags::default(), &self.around, defaults)
    }

    /// Whether the whole event is for tests.
    pub fn test(&self) -> bool {
        self.around.tags.category.is_some_and(|(category, _)| category == Category::Test)
    }
}

/// Reads one attribute.
pub fn judge(attribute: &Map<String, Value>, surroundings: &Surroundings, defaults: &Defaults) -> Judged {
    let own = Tags::read(attribute);
    let around = &surroundings.around;
    let tlp = attribute::marking(&own, around, defaults);
    let test = own.category.or(around.tags.category).is_some_and(|(category, _)| category == Category::Test);
    // Whom it names does not change with its deletion.
    let mut there = attribute.clone();
    there.insert("deleted".to_owned(), Value::Bool(false));
    let standing = Around { deleted: false, ..around.clone() };
    let raw = serde_json::to_string(&there).unwrap_or_default();
    let event = attribute::read(&raw, &standing, defaults).ok().flatten();
    let victim = names_victim(attribute) || event.as_ref().is_some_and(|event| event.observables.iter().any(|observable| observable.role == Role::Victim));
    let deleted = around.deleted || lenient::flag_of(attribute, "deleted") == Some(true);
    Judged { event: event.filter(|_| !deleted), tlp, victim, test }
}

fn names_victim(attribute: &Map<String, Value>) -> bool {
    let kind = lenient::text_of(attribute, "type").unwrap_or_default();
    let section = lenient::text_of(attribute, "category").unwrap_or_default();
    OF_VICTIMS.contains(&&*kind) || section.eq_ignore_ascii_case("Targeting data")
}

/// Whether an attribute of this type holds words, and nothing to match.
pub fn only_describes(name: &str) -> bool {
    types::kind(name) == Kind::Context
}

/// Whether there is an attribute type of this name.
pub fn is_type(name: &str) -> bool {
    types::kind(name) != Kind::Unknown
}

/// The values that an attribute is found by: the whole, and the parts of a type that has two.
pub fn parts<'a>(kind: &str, value: &'a str) -> (&'a str, Option<&'a str>) {
    if kind.contains('|') || kind == "malware-sample" {
        value.split_once('|').map_or((value, None), |(first, second)| (first, Some(second)))
    } else {
        (value, None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Pap, Timestamp};
    use serde_json::json;

    fn defaults() -> Defaults {
        Defaults { now: Timestamp::from_seconds(1_790_000_000), tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None }
    }

    fn of(event: Value, attribute: Value) -> Judged {
        let (Value::Object(event), Value::Object(attribute)) = (event, attribute) else { panic!() };
        judge(&attribute, &Surroundings::of_event(&event), &defaults())
    }

    #[test]
    fn an_attribute_gives_what_the_document_s_reader_gives() {
        let judged =
            of(json!({ "Tag": [{ "name": "tlp:green" }] }), json!({ "type": "ip-dst", "value": "198.51.100.1", "timestamp": "1767225600", "uuid": "u" }));
        assert_eq!((judged.tlp, judged.victim, judged.test), (Tlp::Green, false, false));
        assert_eq!(judged.event.unwrap().observables[0].value, "198.51.100.1");
    }

    #[test]
    fn victims_are_told_even_where_the_attribute_only_describes_or_is_deleted() {
        assert!(of(json!({}), json!({ "type": "target-user", "value": "kim" })).victim);
        assert!(of(json!({}), json!({ "type": "comment", "value": "x", "category": "Targeting data" })).victim);
        let infected = json!({ "Tag": [{ "name": "rsit:malicious-code=\"infected-system\"" }] });
        let judged = of(infected, json!({ "type": "ip-src", "value": "198.51.100.9", "to_ids": false, "deleted": true }));
        assert!(judged.victim && judged.event.is_none());
    }

    #[test]
    fn a_pair_is_found_by_its_parts_and_a_url_with_a_bar_is_not_one() {
        assert_eq!(parts("filename|md5", "x.exe|abc"), ("x.exe", Some("abc")));
        assert_eq!(parts("url", "http://a/b|c"), ("http://a/b|c", None));
    }
}
