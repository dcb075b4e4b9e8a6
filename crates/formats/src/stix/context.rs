//! What the objects of one document say about each other.
//!
//! Flow: two passes over the cut objects: who refers to whom, then what is referred to.
//! Invariant: an object is read as a tree at most once per pass, however many refer to it; memory is in proportion to the document.
//! Not here: the events ([`super::reader`]).

use super::document::Object;
use super::lenient::{self, Fields};
use super::marking::{self, Marking};
use super::sco::{self, Sco};
use model::canonical::canonical;
use model::{ObservableType, Text};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Objects that one indicator may indicate; more are not read.
const MAX_INDICATED: usize = 64;
/// ATT&CK techniques kept of one indicator.
const MAX_TECHNIQUES: usize = 32;
/// CVE ids kept of one indicator.
const MAX_CVES: usize = 32;

/// What the objects of one document say about each other.
#[derive(Default)]
pub(super) struct Context<'a> {
    by_id: HashMap<&'a str, &'a Object<'a>>,
    scos: HashMap<&'a str, (Sco, Marking)>,
    belonging: HashSet<String>,
    recipients: HashSet<String>,
    indicates: HashMap<String, Vec<String>>,
    threats: HashMap<&'a str, Threat>,
    definitions: HashMap<String, Marking>,
}

/// What an indicated object gives the indicator's event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Threat {
    /// Name of malware or a tool.
    pub malware: Option<Text>,
    /// ATT&CK ids, upper-case.
    pub technique: Vec<Text>,
    /// CVE ids, canonical.
    pub cve: Vec<Text>,
}

#[derive(Deserialize)]
struct Relation<'a> {
    #[serde(default, borrow)]
    relationship_type: Cow<'a, str>,
    #[serde(default, borrow)]
    source_ref: Cow<'a, str>,
    #[serde(default, borrow)]
    target_ref: Cow<'a, str>,
}

impl<'a> Context<'a> {
    /// Reads it. Objects that cannot be read here are named when their turn comes.
    pub(super) fn read(objects: &'a [Object<'a>]) -> Self {
        let mut context = Self::default();
        let mut indicated = HashSet::new();
        for object in objects {
            match &*object.kind {
                "relationship" => context.relate(object, &mut indicated),
                "marking-definition" => context.define(object),
                "observed-data" | "network-traffic" | "email-message" => context.refer(object),
                _ => {}
            }
            if object.kind != "relationship" && !object.id.is_empty() {
                context.by_id.insert(&*object.id, object);
            }
        }
        for object in objects {
            let id = &*object.id;
            if context.belonging.contains(id) && sco::is_understood(&object.kind) {
                if let Ok(fields) = lenient::fields(object.raw) {
                    let marking = marking::of(&fields, &context.definitions);
                    context.scos.insert(id, (Sco::read(&object.kind, &fields), marking));
                }
            } else if indicated.contains(id)
                && let Ok(fields) = lenient::fields(object.raw)
            {
                context.threats.insert(id, threat(&object.kind, &fields));
            }
        }
        context
    }

    /// The object with an id; the last of several.
    pub(super) fn find(&self, id: &str) -> Option<&'a Object<'a>> {
        self.by_id.get(id).copied()
    }

    /// A readable observable object that another one refers to, with its marking.
    pub(super) fn sco(&self, id: &str) -> Option<(&Sco, Marking)> {
        self.scos.get(id).map(|(sco, marking)| (sco, *marking))
    }

    /// Whether an observable object is taken with another one that refers to it.
    pub(super) fn belongs(&self, object: &Object<'_>) -> bool {
        self.belonging.contains(&*object.id) && (self.scos.contains_key(&*object.id) || sco::is_unmatched(&object.kind))
    }

    /// Whether a mail address received the mail that refers to it.
    pub(super) fn is_recipient(&self, id: &str) -> bool {
        self.recipients.contains(id)
    }

    /// The markings of an object.
    pub(super) fn marking(&self, fields: &Fields) -> Marking {
        marking::of(fields, &self.definitions)
    }

    /// What an indicator indicates or, as a vulnerability, is related to: the first malware named, all techniques and CVE ids.
    pub(super) fn threat(&self, indicator: &str) -> Threat {
        let mut whole = Threat::default();
        for threat in self.indicates.get(indicator).into_iter().flatten().filter_map(|id| self.threats.get(id.as_str())) {
            if whole.malware.is_none() {
                whole.malware.clone_from(&threat.malware);
            }
            whole.technique.extend(threat.technique.iter().cloned());
            whole.cve.extend(threat.cve.iter().cloned());
        }
        for (ids, most) in [(&mut whole.technique, MAX_TECHNIQUES), (&mut whole.cve, MAX_CVES)] {
            ids.sort_unstable();
            ids.dedup();
            ids.truncate(most);
        }
        whole
    }

    fn relate(&mut self, object: &'a Object<'a>, indicated: &mut HashSet<String>) {
        let Ok(relation) = serde_json::from_str::<Relation<'_>>(object.raw) else { return };
        // The standard has no more than `related-to` from an indicator to a vulnerability.
        let related = relation.relationship_type == "related-to" && relation.target_ref.starts_with("vulnerability--");
        if relation.relationship_type != "indicates" && !related {
            return;
        }
        let targets = self.indicates.entry(relation.source_ref.into_owned()).or_default();
        if targets.len() < MAX_INDICATED {
            indicated.insert(relation.target_ref.clone().into_owned());
            targets.push(relation.target_ref.into_owned());
        }
    }

    fn define(&mut self, object: &'a Object<'a>) {
        if let Ok(fields) = lenient::fields(object.raw) {
            self.definitions.insert(object.id.to_ascii_lowercase(), marking::define(&fields));
        }
    }

    fn refer(&mut self, object: &'a Object<'a>) {
        let Ok(fields) = lenient::fields(object.raw) else { return };
        if object.kind == "observed-data" {
            self.belonging.extend(lenient::texts_of(&fields, "object_refs").into_iter().map(str::to_owned));
        }
        for (id, role) in sco::references(&object.kind, &fields) {
            // Connections and messages refer to addresses; one that refers to its own kind would swallow it.
            if id.starts_with("network-traffic--") || id.starts_with("email-message--") {
                continue;
            }
            if role.is_some() {
                self.recipients.insert(id.clone());
            }
            self.belonging.insert(id);
        }
    }
}

fn threat(kind: &str, fields: &Fields) -> Threat {
    let mut threat = Threat::default();
    match kind {
        "malware" | "tool" => threat.malware = lenient::text_of(fields, "name").and_then(|name| lenient::name(&name)),
        "attack-pattern" => {
            let ids = references(fields, |source| source.starts_with("mitre-"));
            threat.technique = ids.filter_map(|id| technique(&id)).take(MAX_TECHNIQUES).collect();
        }
        "vulnerability" => {
            let ids = references(fields, |source| source == "cve").chain(lenient::text_of(fields, "name"));
            threat.cve = ids.filter_map(|id| canonical(ObservableType::Cve, &id).ok()).take(MAX_CVES).collect();
        }
        _ => {}
    }
    threat
}

/// The external ids that an object gives for a source, sources compared in lower case.
pub(super) fn references<'f>(fields: &'f Fields, source: impl Fn(&str) -> bool + 'f) -> impl Iterator<Item = Cow<'f, str>> + 'f {
    lenient::objects_of(fields, "external_references").into_iter().filter_map(move |reference| {
        let name = lenient::text_of(reference, "source_name")?;
        if source(&name.to_ascii_lowercase()) { lenient::text_of(reference, "external_id") } else { None }
    })
}

/// An ATT&CK technique's id, upper-case: `T1566`, `T1566.001`.
pub(crate) fn technique(text: &str) -> Option<Text> {
    let text = text.trim().to_ascii_uppercase();
    let (main, sub) = text.split_once('.').map_or((text.as_str(), None), |(main, sub)| (main, Some(sub)));
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let known = main.strip_prefix('T').is_some_and(|number| digits(number, 4)) && sub.is_none_or(|number| digits(number, 3));
    known.then(|| Text::from(text.as_str()))
}
