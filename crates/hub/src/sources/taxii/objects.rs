//! The objects of a page as events: what STIX says, what our own extension adds, and where it came from.
//!
//! Flow: a page's objects, with the definitions that came before → `formats::stix` → events → one line each, with its provenance under
//! `extra.taxii` → a body.
//! Invariant: an event is relayed, whatever it says; a marking is kept or made stricter, never laxer; a newer version of an object puts an older
//! one out of force, and a revoked one all of them. A vulnerability that a hub made beside an indicator of its own is an event of that alone.
//! Not here: paging ([`super`]), carrying out what was superseded (`sources::superseded`).

use super::super::{Body, Collected, Context, Superseded};
use super::asking::Collection;
use formats::stix::write::EXTENSION;
use formats::{Defaults, Format, Refusal};
use model::{Event, Pap, Text, Timestamp, Tlp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Definitions and identities that are remembered.
const MAX_KNOWN: usize = 1_000;
/// Bytes of one of them.
const MAX_KNOWN_BYTES: usize = 4_096;
/// Bytes of all of them.
const MAX_ALL_KNOWN_BYTES: usize = 1 << 20;
/// Techniques and vulnerabilities that are remembered, for a hub gives each once, and relationships to it later.
const MAX_THREATS: usize = 2_000;
/// Bytes of all of them.
const MAX_ALL_THREATS_BYTES: usize = 1 << 20;
/// Entries that could not be read and are named.
const MAX_REFUSED: usize = 1_000;
/// Bytes of a name in the provenance.
const MAX_NAME: usize = 256;

/// What a run brings.
pub(super) struct Objects<'a> {
    context: &'a Context<'a>,
    /// By STIX id.
    known: BTreeMap<String, String>,
    known_bytes: usize,
    /// Techniques, and vulnerabilities that a hub made, by STIX id.
    threats: BTreeMap<String, String>,
    threats_bytes: usize,
    /// Those of the pages of this run.
    threats_beside: BTreeSet<String>,
    collected: Collected,
    superseded: BTreeMap<String, Option<String>>,
    count: usize,
    bytes: usize,
}

/// What of an object is needed beside its event.
struct Facts {
    version: String,
    creator: Option<String>,
    extension: Option<Map<String, Value>>,
}

impl<'a> Objects<'a> {
    /// Begins with the definitions that runs before have seen.
    pub(super) fn new(context: &'a Context<'a>, known: Vec<String>) -> Self {
        let mut objects = Self {
            context,
            known: BTreeMap::new(),
            known_bytes: 0,
            threats: BTreeMap::new(),
            threats_bytes: 0,
            threats_beside: BTreeSet::new(),
            collected: Collected::default(),
            superseded: BTreeMap::new(),
            count: 0,
            bytes: 0,
        };
        for raw in known {
            if let Ok(object) = serde_json::from_str::<Value>(&raw) {
                objects.remember(&object, &raw);
                objects.remember_threat(&object, &raw);
            }
        }
        objects
    }

    /// Objects taken so far.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Bytes taken so far.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a page's objects.
    pub(super) fn take(&mut self, collection: &Collection, objects: &[&str]) {
        self.count += objects.len();
        let mut facts: BTreeMap<String, Facts> = BTreeMap::new();
        let mut standing: Vec<&str> = Vec::with_capacity(objects.len());
        let read: Vec<(&str, Option<Value>)> = objects.iter().map(|&raw| (raw, serde_json::from_str(raw).ok())).collect();
        // Who gives indicators with our own extension is a hub.
        let is_ours = |object: &&Value| object.get("extensions").is_some_and(|all| all.get(EXTENSION).is_some());
        let ours = read.iter().filter_map(|(_, object)| object.as_ref()).filter(is_ours);
        let hubs: BTreeSet<String> = ours.filter_map(|own| text(own, "created_by_ref")).collect();
        let mut referred: BTreeSet<String> = BTreeSet::new();
        for (raw, object) in read {
            let Some(object) = object else {
                standing.push(raw); // the reader says what is wrong with it
                continue;
            };
            let id = text(&object, "id").unwrap_or_default();
            let version = text(&object, "modified").or_else(|| text(&object, "created")).unwrap_or_default();
            self.remember(&object, raw);
            if id.starts_with("relationship--") {
                referred.extend(text(&object, "target_ref"));
            }
            if is_beside(&id, &object, &hubs) {
                self.remember_threat(&object, raw);
                self.threats_beside.insert(id);
            } else if gives_events(&id) {
                let revoked = object.get("revoked") == Some(&Value::Bool(true));
                self.supersede(&id, &version, revoked);
                if revoked {
                    continue;
                }
                let extension = object.get("extensions").and_then(|all| all.get(EXTENSION)).and_then(Value::as_object).cloned();
                facts.insert(id, Facts { version, creator: text(&object, "created_by_ref"), extension });
            }
            standing.push(raw);
        }
        let body = self.convert(collection, &facts, &standing, &referred);
        if !body.is_empty() {
            self.bytes += body.len();
            let name = format!("{} {}", collection.title, self.collected.bodies.len() + 1);
            self.collected.bodies.push(Body { is_ours: true, ..Body::new(name, Some(Format::Ndjson), body) });
        }
    }

    /// Everything brought, and the definitions to be remembered.
    pub(super) fn finish(mut self) -> (Collected, Vec<String>) {
        self.collected.superseded = self
            .superseded
            .into_iter()
            .map(|(object, version)| Superseded { keep: version.map(|version| format!("{object}|{version}")).into_iter().collect(), object })
            .collect();
        (self.collected, self.known.into_values().chain(self.threats.into_values()).collect())
    }

    /// Notes which version of an object stands; of several in one run the newest does, and revoked is the end.
    fn supersede(&mut self, id: &str, version: &str, revoked: bool) {
        let standing = self.superseded.entry(id.to_owned()).or_insert_with(|| Some(version.to_owned()));
        if revoked {
            *standing = None;
        } else if let Some(known) = standing
            && is_newer(version, known)
        {
            version.clone_into(known);
        }
    }

    /// Remembers what later objects refer to.
    fn remember(&mut self, object: &Value, raw: &str) {
        let Some(id) = text(object, "id").filter(|id| id.starts_with("marking-definition--") || id.starts_with("identity--")) else { return };
        let room = self.known.len() < MAX_KNOWN && self.known_bytes + raw.len() <= MAX_ALL_KNOWN_BYTES;
        if raw.len() <= MAX_KNOWN_BYTES && (room || self.known.contains_key(&id)) {
            let before = self.known.insert(id, raw.to_owned()).map_or(0, |before| before.len());
            self.known_bytes = self.known_bytes + raw.len() - before;
        }
    }

    /// Remembers what relationships that come later lead to; of vulnerabilities those that a hub made are given.
    fn remember_threat(&mut self, object: &Value, raw: &str) {
        let is_threat = |id: &String| id.starts_with("attack-pattern--") || id.starts_with("vulnerability--");
        let Some(id) = text(object, "id").filter(is_threat) else { return };
        let before = self.threats.get(&id).map_or(0, String::len);
        let room = self.threats.len() < MAX_THREATS || before > 0;
        if room && raw.len() <= MAX_KNOWN_BYTES && self.threats_bytes + raw.len() - before <= MAX_ALL_THREATS_BYTES {
            self.threats_bytes = self.threats_bytes + raw.len() - before;
            self.threats.insert(id, raw.to_owned());
        }
    }

    fn convert(&mut self, collection: &Collection, facts: &BTreeMap<String, Facts>, standing: &[&str], referred: &BTreeSet<String>) -> Vec<u8> {
        let mut out = Vec::new();
        if facts.is_empty() && standing.iter().all(|raw| raw.starts_with('{')) {
            return out; // context alone
        }
        // What comes again on this page comes after what is remembered of it, and counts.
        let threats: Vec<&str> = referred.iter().filter_map(|id| self.threats.get(id)).map(String::as_str).collect();
        let before = (self.known.len() + threats.len()) as u64;
        let mut document = String::from("{\"objects\":[");
        for (place, raw) in self.known.values().map(String::as_str).chain(threats).chain(standing.iter().copied()).enumerate() {
            if place > 0 {
                document.push(',');
            }
            document.push_str(raw);
        }
        document.push_str("]}");
        let parsed = formats::parse_document(Format::Stix, document.as_bytes(), &self.defaults());
        for event in parsed.events {
            let id = event.id.as_deref().and_then(|id| id.split_once('|')).map_or("", |(id, _)| id).to_owned();
            // It is beside an indicator, whose event has it.
            if self.threats.contains_key(&id) || self.threats_beside.contains(&id) {
                continue;
            }
            if let Some(line) = self.line(collection, &id, facts.get(&id), event) {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
        let room = MAX_REFUSED.saturating_sub(self.collected.refused.len());
        let refused = parsed.refusals.into_iter().filter(|refusal| !refusal.reason.starts_with("document holds no observation"));
        let named = refused.take(room).map(|refusal| (collection.title.clone(), Refusal { line: refusal.line.saturating_sub(before).max(1), ..refusal }));
        self.collected.refused.extend(named);
        out
    }

    /// An event as a line for intake.
    fn line(&self, collection: &Collection, id: &str, facts: Option<&Facts>, mut event: Event) -> Option<String> {
        if let Some(extension) = facts.and_then(|facts| facts.extension.as_ref()) {
            extend(&mut event, extension);
        }
        let mut extra: Map<String, Value> =
            event.details.as_deref().and_then(|details| details.extra.as_deref()).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        extra.insert("taxii".to_owned(), self.provenance(collection, id, facts));
        event.details_mut().extra = serde_json::to_string(&extra).ok().map(Text::from);
        // What the line leaves out is the source's: whether its name is shown, and its word on confidence.
        let mut line: Map<String, Value> = serde_json::from_str(&formats::json::to_submission(&event)).ok()?;
        line.remove("named");
        serde_json::to_string(&line).ok()
    }

    fn provenance(&self, collection: &Collection, id: &str, facts: Option<&Facts>) -> Value {
        let mut from = json!({ "server": collection.url.origin().ascii_serialization(), "collection": collection.title, "collection_id": collection.id });
        let mut add = |name: &str, value: Option<String>| {
            if let (Some(object), Some(value)) = (from.as_object_mut(), value.filter(|value| !value.is_empty())) {
                object.insert(name.to_owned(), Value::String(value.chars().take(MAX_NAME).collect()));
            }
        };
        add("object", Some(id.to_owned()));
        add("version", facts.map(|facts| facts.version.clone()));
        let creator = facts.and_then(|facts| facts.creator.clone());
        let identity = creator.as_ref().and_then(|creator| self.known.get(creator)).and_then(|raw| serde_json::from_str::<Value>(raw).ok());
        add("created_by_ref", creator);
        add("created_by", identity.and_then(|identity| text(&identity, "name")));
        from
    }

    /// What an object has that says nothing of itself.
    fn defaults(&self) -> Defaults {
        let source = self.context.source;
        Defaults {
            now: self.context.now,
            tlp: source.tlp.unwrap_or(Tlp::Amber),
            pap: source.pap.unwrap_or(Pap::Green),
            named: false,
            category: source.category,
            origin: Some(model::Origin::Relayed),
            role: source.role,
        }
    }
}

/// Adds what only our own extension says.
fn extend(event: &mut Event, extension: &Map<String, Value>) {
    let word = |name: &str| extension.get(name).and_then(Value::as_str);
    if event.malware.is_none() {
        event.malware = word("malware").map(str::trim).filter(|name| !name.is_empty() && name.len() < MAX_NAME).map(Text::from);
    }
    if let Some(pap) = word("pap").and_then(Pap::parse) {
        event.pap = event.pap.max(pap);
    }
    if let Some(last) = word("last_seen").and_then(|text| Timestamp::parse(text).ok()).filter(|last| *last > event.time) {
        event.details_mut().last_time.get_or_insert(last);
    }
}

/// Whether an object stands beside indicators: a technique, or a vulnerability that a hub made.
fn is_beside(id: &str, object: &Value, hubs: &BTreeSet<String>) -> bool {
    id.starts_with("attack-pattern--") || (id.starts_with("vulnerability--") && text(object, "created_by_ref").is_some_and(|creator| hubs.contains(&creator)))
}

/// Whether an object of this id can give an event of its own.
fn gives_events(id: &str) -> bool {
    const CONTEXT: [&str; 16] = [
        "identity",
        "marking-definition",
        "extension-definition",
        "language-content",
        "relationship",
        "malware",
        "malware-analysis",
        "tool",
        "attack-pattern",
        "campaign",
        "course-of-action",
        "grouping",
        "infrastructure",
        "intrusion-set",
        "report",
        "threat-actor",
    ];
    const FURTHER: [&str; 4] = ["location", "note", "opinion", "incident"];
    let kind = id.split("--").next().unwrap_or_default();
    !kind.is_empty() && !CONTEXT.contains(&kind) && !FURTHER.contains(&kind)
}

/// Whether a version is newer; texts that are no dates are compared as texts.
fn is_newer(version: &str, known: &str) -> bool {
    match (Timestamp::parse(version), Timestamp::parse(known)) {
        (Ok(version), Ok(known)) => version > known,
        _ => version > known,
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}
