//! STIX objects that members contribute: what the hub must know of one to keep it whole, and what is taken out of one for a reader.
//!
//! Flow: a TAXII envelope or a bundle → [`read`] → `hub::taxii` keeps the objects as they came → [`redact`] for readers who may not see all.
//! Invariant: an object that nothing is taken out of is given back byte by byte. A part that is marked more strictly than a reader may see is
//! removed; an object that would not be whole without it is not shown at all.
//! Not here: who may see what (`policy`, `hub::taxii`), the events that objects become ([`super::parse`]).
//!
//! Source: OASIS STIX 2.1, sections 2.9 (identifiers), 3.2 (common properties), 7.2.3 (granular markings).

mod derived;
mod parts;

use super::marking::{self, Marking};
use super::{lenient, sco};
use model::{Text, Timestamp, Tlp};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Bytes of one object at the most.
pub const MAX_OBJECT: usize = 4 * 1024 * 1024;
/// Objects of one envelope at the most.
pub const MAX_OBJECTS: usize = 100_000;
/// Parts of one object that are marked on their own, and selectors of them in all, at the most.
const MAX_PARTS: usize = 1_000;
/// Characters of a refused object's id that are told.
const MAX_TOLD: usize = 300;
/// Characters of a type's name. Source: STIX 2.1, section 2.3 (3 to 250).
const TYPE_LENGTH: std::ops::RangeInclusive<usize> = 3..=250;

/// An object that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution<'a> {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// `2.0` or `2.1`.
    pub spec: &'static str,
    /// `modified`, else `created`; `None` for observables, which have neither.
    pub version: Option<Timestamp>,
    /// Whether its creator takes it back with this version.
    pub revoked: bool,
    /// What its own marking says, with the sender's default where it says nothing. Parts do not count.
    pub tlp: Tlp,
    /// Parts that are marked on their own.
    pub parts: Vec<Part>,
    /// Its JSON as it came.
    pub raw: &'a str,
}

/// Parts of an object with a marking of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Their marking.
    pub tlp: Tlp,
    /// Where they are.
    pub selectors: Vec<String>,
}

/// An object that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Its version, where it has one.
    pub version: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    objects: Option<Entries<'a>>,
}

/// Entries of an envelope; more than [`MAX_OBJECTS`] are never held.
struct Entries<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded).map(Entries)
    }
}

struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(object) = entries.next_element::<&'de RawValue>()? {
            if objects.len() >= MAX_OBJECTS {
                return Err(serde::de::Error::custom(format_args!("more than {MAX_OBJECTS} objects")));
            }
            objects.push(object);
        }
        Ok(objects)
    }
}

/// What of an object is looked at.
#[derive(Deserialize)]
struct Facts {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    spec_version: Option<String>,
    created: Option<String>,
    modified: Option<String>,
    revoked: Option<Value>,
    object_marking_refs: Option<Vec<String>>,
    granular_markings: Option<Vec<Granular>>,
}

#[derive(Deserialize)]
struct Granular {
    marking_ref: Option<String>,
    #[serde(default)]
    selectors: Vec<String>,
}

/// The objects of an envelope or a bundle, in order. `default` is the marking of objects that have none.
///
/// # Errors
/// Why the body is no envelope, in words for the sender.
pub fn read(body: &[u8], default: Tlp) -> Result<Vec<Result<Contribution<'_>, Refused>>, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| format!("the body is no envelope: {}", lenient::unreadable(&error)))?;
    let raws = envelope.objects.map(|entries| entries.0).filter(|objects| !objects.is_empty()).ok_or("the envelope holds no objects")?;
    let facts: Vec<(&str, Result<Facts, serde_json::Error>)> = raws.into_iter().map(|raw| (raw.get(), serde_json::from_str(raw.get()))).collect();
    let definitions = definitions(&facts);
    Ok(facts.into_iter().map(|(raw, facts)| contribution(raw, facts, &definitions, default)).collect())
}

/// The markings that the body defines.
fn definitions(facts: &[(&str, Result<Facts, serde_json::Error>)]) -> HashMap<String, Marking> {
    let mut definitions = HashMap::new();
    for (raw, facts) in facts {
        let Ok(Facts { id: Some(id), kind: Some(kind), .. }) = facts else { continue };
        if kind == "marking-definition"
            && let Ok(fields) = lenient::fields(raw)
        {
            definitions.insert(id.to_ascii_lowercase(), marking::define(&fields));
        }
    }
    definitions
}

fn contribution<'a>(
    raw: &'a str,
    facts: Result<Facts, serde_json::Error>,
    definitions: &HashMap<String, Marking>,
    default: Tlp,
) -> Result<Contribution<'a>, Refused> {
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return Err(Refused { id: id_of(raw), version: None, reason: lenient::unreadable(&error) }),
    };
    let version = version(&facts);
    let refuse = |reason: &str| Refused {
        id: facts.id.as_deref().map(|id| lenient::clip(id, MAX_TOLD).into_owned()),
        version: version.as_ref().ok().copied().flatten(),
        reason: reason.to_owned(),
    };
    // A list of the same values in order would be read as well.
    if !raw.starts_with('{') {
        return Err(refuse("entry is no object"));
    }
    if raw.len() > MAX_OBJECT {
        return Err(refuse("larger than 4 MiB"));
    }
    let kind = facts.kind.as_deref().filter(|kind| is_type(kind)).ok_or_else(|| refuse("type is missing or no name of a STIX type"))?;
    if kind == "bundle" {
        return Err(refuse("a bundle is no object of a collection"));
    }
    let id = facts.id.as_deref().filter(|id| is_id(id, kind)).ok_or_else(|| refuse("id is missing or not made of the type, -- and a UUID"))?;
    let dated = version.as_ref().map_err(|reason| refuse(reason))?;
    let spec = match facts.spec_version.as_deref() {
        Some("2.1") => "2.1",
        // Observables may leave it out; of the rest only objects of STIX 2.0 do, which have a date.
        None if dated.is_none() => "2.1",
        Some("2.0") | None => "2.0",
        Some(_) => return Err(refuse("spec_version is neither 2.0 nor 2.1")),
    };
    if spec == "2.1" && !derived::fits(id, kind, raw) {
        return Err(refuse("id is worked out of the content, but of another one"));
    }
    let parts = parts_of(&facts, definitions).ok_or_else(|| refuse("more than 1000 granular markings or selectors"))?;
    let own = facts.object_marking_refs.iter().flatten().fold(Marking::default(), |sum, reference| sum.and(marking::resolve(reference, definitions)));
    let named = own.tlp.unwrap_or(default);
    let tlp = if own.unresolved { named.max(Tlp::Amber) } else { named };
    let revoked = facts.revoked == Some(Value::Bool(true));
    Ok(Contribution { id: id.to_owned(), kind: kind.to_owned(), spec, version: *dated, revoked, tlp, parts, raw })
}

/// Whether objects of a type are taken in as events, alone or with others.
pub fn gives_events(kind: &str) -> bool {
    matches!(kind, "indicator" | "observed-data" | "sighting" | "vulnerability") || sco::is_understood(kind)
}

/// The sender's id of the event that a version of an object becomes; `None` where it has none.
pub fn event_id(raw: &[u8]) -> Option<Text> {
    super::reader::event_id(&lenient::fields(std::str::from_utf8(raw).ok()?).ok()?)
}

/// The version that an object states; `None` where it states none.
fn version(facts: &Facts) -> Result<Option<Timestamp>, String> {
    let Some((name, text)) = facts.modified.as_deref().map(|text| ("modified", text)).or_else(|| facts.created.as_deref().map(|text| ("created", text))) else {
        return Ok(None);
    };
    // Numbers and dates alone are times elsewhere, not in STIX.
    let shaped = text.len() >= 20 && text.as_bytes().get(10).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'T'));
    let time = if shaped { Timestamp::parse(text).ok() } else { None };
    time.map(Some).ok_or_else(|| format!("{name} is no timestamp"))
}

/// Parts marked on their own; `None` where there are too many. Languages are no markings.
fn parts_of(facts: &Facts, definitions: &HashMap<String, Marking>) -> Option<Vec<Part>> {
    let granular = facts.granular_markings.as_deref().unwrap_or_default();
    // Each selector is looked up in the whole object when a reader may not see it.
    let selectors = granular.iter().fold(0_usize, |sum, granular| sum.saturating_add(granular.selectors.len()));
    if granular.len() > MAX_PARTS || selectors > MAX_PARTS {
        return None;
    }
    let part = |granular: &Granular| {
        let marking = marking::resolve(granular.marking_ref.as_deref()?, definitions);
        let tlp = if marking.unresolved { Some(marking.tlp.map_or(Tlp::Amber, |tlp| tlp.max(Tlp::Amber))) } else { marking.tlp };
        Some(Part { tlp: tlp?, selectors: granular.selectors.clone() })
    };
    Some(granular.iter().filter_map(part).filter(|part| !part.selectors.is_empty()).collect())
}

fn id_of(raw: &str) -> Option<String> {
    let value: Value = serde_json::from_str(raw).ok()?;
    Some(lenient::clip(value.get("id")?.as_str()?, MAX_TOLD).into_owned())
}

/// Source: STIX 2.1, section 2.3; underscores were allowed in STIX 2.0's custom names.
fn is_type(kind: &str) -> bool {
    TYPE_LENGTH.contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

fn is_id(id: &str, kind: &str) -> bool {
    let uuid = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix("--"));
    uuid.is_some_and(|uuid| uuid.len() == 36 && uuid::Uuid::try_parse(uuid).is_ok())
}

/// An object as a reader sees it: without the parts that `hidden` selects and, where `creator` is given, with that identity's id in the place of
/// its contributor's. `None` where nothing may be shown.
///
/// Where the contributor is withheld, so are identities of persons and organisations: they are the contributor itself, or whoever it names.
pub fn redact(raw: &[u8], hidden: &[&str], creator: Option<&str>) -> Option<Vec<u8>> {
    let mut object: Value = serde_json::from_slice(raw).ok()?;
    if let Some(creator) = creator {
        withhold(&mut object, creator)?;
    }
    if !hidden.is_empty() {
        parts::remove(&mut object, hidden)?;
    }
    serde_json::to_vec(&object).ok()
}

/// Takes out who contributed an object; `None` where the object is about that alone.
fn withhold(object: &mut Value, creator: &str) -> Option<()> {
    let fields = object.as_object_mut()?;
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind == "identity" && fields.get("identity_class").and_then(Value::as_str) != Some("class") {
        return None;
    }
    // Where something was seen is at the contributor, or at someone whom it does not name either.
    fields.remove("where_sighted_refs");
    // Whoever wrote a note or an opinion is a person of the contributor's, by name.
    fields.remove("authors");
    if let Some(contributor) = fields.get("created_by_ref").and_then(Value::as_str).map(str::to_owned) {
        replace(object, &contributor, creator);
    }
    Some(())
}

/// Puts `new` wherever a text is `old`.
fn replace(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text.as_str() == old => new.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, old, new)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const UUID: &str = "5e57c739-391a-4eb3-b6be-7d15ca92d5e0";
    const AMBER: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";
    const RED: &str = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1";

    fn tool(more: &Value) -> Value {
        let mut object = json!({ "type": "tool", "spec_version": "2.1", "id": format!("tool--{UUID}"), "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-02T00:00:00.000Z", "name": "nmap" });
        for (name, value) in more.as_object().unwrap() {
            object[name] = value.clone();
        }
        object
    }

    fn one(object: &Value) -> Result<(String, &'static str, Option<Timestamp>, Tlp, Vec<Part>), String> {
        let body = serde_json::to_vec(&json!({ "objects": [object] })).unwrap();
        let mut read = read(&body, Tlp::Green).unwrap();
        assert_eq!(read.len(), 1);
        let kept = read.remove(0).map_err(|refused| refused.reason)?;
        Ok((kept.kind, kept.spec, kept.version, kept.tlp, kept.parts))
    }

    #[test]
    fn an_object_is_known_by_its_type_version_and_marking() {
        let version = Timestamp::parse("2026-01-02T00:00:00Z").ok();
        assert_eq!(one(&tool(&json!({}))), Ok(("tool".to_owned(), "2.1", version, Tlp::Green, Vec::new())));
        assert_eq!(one(&tool(&json!({ "object_marking_refs": [AMBER] }))).unwrap().3, Tlp::Amber);
        let unknown = format!("marking-definition--{UUID}");
        assert_eq!(one(&tool(&json!({ "object_marking_refs": [unknown] }))).unwrap().3, Tlp::Amber);
        let observable = json!({ "type": "ipv4-addr", "id": format!("ipv4-addr--{UUID}"), "value": "198.51.100.1" });
        assert_eq!(one(&observable).map(|(_, spec, version, ..)| (spec, version)), Ok(("2.1", None)));
        let old = json!({ "type": "tool", "id": format!("tool--{UUID}"), "created": "2016-01-01T00:00:00.000Z", "modified": "2016-01-01T00:00:00.000Z" });
        assert_eq!(one(&old).unwrap().1, "2.0");
    }

    #[test]
    fn what_cannot_be_kept_says_why() {
        for (object, reason) in [
            (json!(1), "JSON"),
            (json!({}), "type"),
            (json!({ "type": "bundle", "id": format!("bundle--{UUID}"), "objects": [] }), "bundle"),
            (tool(&json!({ "id": "tool--1" })), "id"),
            (tool(&json!({ "id": format!("malware--{UUID}") })), "id"),
            (tool(&json!({ "type": "Tool" })), "type"),
            (tool(&json!({ "spec_version": "3.0" })), "spec_version"),
            (tool(&json!({ "modified": "yesterday" })), "modified"),
            (tool(&json!({ "modified": "1700000000" })), "modified"),
            (tool(&json!({ "granular_markings": [{ "marking_ref": RED, "selectors": vec!["name"; 1_001] }] })), "selectors"),
            (json!({ "type": "ipv4-addr", "id": "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3", "value": "198.51.100.1" }), "worked out"),
            (json!({ "type": "mutex", "id": "mutex--826fe3cb-56b0-5620-9d30-4c17ed7b24e3", "name": "other" }), "worked out"),
        ] {
            let told = one(&object).unwrap_err();
            assert!(told.contains(reason), "{object}: {told}");
        }
        for body in [&b"{"[..], b"[]", b"{}", b"{\"objects\":[]}", b"{\"objects\":7}", b"\xff"] {
            assert!(read(body, Tlp::Green).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_revoked_version_is_told_and_every_version_is_another_event() {
        let body = |more: &Value| serde_json::to_vec(&json!({ "objects": [tool(more)] })).unwrap();
        for (more, expected) in
            [(json!({}), false), (json!({ "revoked": true }), true), (json!({ "revoked": "true" }), false), (json!({ "revoked": null }), false)]
        {
            let body = body(&more);
            assert_eq!(read(&body, Tlp::Green).unwrap()[0].as_ref().unwrap().revoked, expected, "{more}");
        }
        let id = |object: &Value| event_id(object.to_string().as_bytes());
        assert_eq!(id(&tool(&json!({}))), Some(Text::from(format!("tool--{UUID}|2026-01-02T00:00:00.000Z"))));
        assert_ne!(id(&tool(&json!({}))), id(&tool(&json!({ "modified": "2026-01-03T00:00:00.000Z" }))));
        assert_eq!((id(&json!({ "type": "tool" })), event_id(b"{")), (None, None));
        assert!(gives_events("indicator") && gives_events("ipv4-addr") && !gives_events("tool") && !gives_events("relationship"));
    }

    #[test]
    fn an_envelope_of_more_objects_than_the_limit_is_refused_whole() {
        let body = |count: usize| format!("{{\"objects\":[{}0]}}", "0,".repeat(count - 1));
        assert_eq!(read(body(MAX_OBJECTS).as_bytes(), Tlp::Green).unwrap().len(), MAX_OBJECTS);
        assert!(read(body(MAX_OBJECTS + 1).as_bytes(), Tlp::Green).unwrap_err().contains("more than 100000 objects"));
    }

    #[test]
    fn parts_are_known_with_their_markings() {
        let marked = tool(
            &json!({ "granular_markings": [{ "marking_ref": RED, "selectors": ["description", "labels.[0]"] }, { "lang": "ko", "selectors": ["name"] }] }),
        );
        let parts = one(&marked).unwrap().4;
        assert_eq!(parts, [Part { tlp: Tlp::Red, selectors: vec!["description".to_owned(), "labels.[0]".to_owned()] }]);
        assert_eq!(one(&marked).unwrap().3, Tlp::Green, "the whole is not marked by its parts");
    }

    #[test]
    fn a_withheld_contributor_is_in_no_field() {
        let contributor = format!("identity--{UUID}");
        let object =
            tool(&json!({ "created_by_ref": contributor, "authors": ["Kim"], "x_also": [{ "by": contributor }], "where_sighted_refs": ["identity--other"] }));
        let shown = redact(object.to_string().as_bytes(), &[], Some("identity--hub")).unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["created_by_ref"], "identity--hub");
        assert!(!shown.to_string().contains(&contributor) && shown.get("where_sighted_refs").is_none() && shown.get("authors").is_none());
        let identity = json!({ "type": "identity", "id": contributor, "identity_class": "organization" });
        assert_eq!(redact(identity.to_string().as_bytes(), &[], Some("identity--hub")), None);
        let sector = json!({ "type": "identity", "id": contributor, "identity_class": "class" });
        assert!(redact(sector.to_string().as_bytes(), &[], Some("identity--hub")).is_some());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_fail(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, Tlp::Green);
            let _ = redact(&body, &["a.[0].b"], Some("identity--x"));
        }
    }
}
