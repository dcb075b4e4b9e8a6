//! One STIX object to at most one event.
//!
//! Flow: object → its kind's reader → values, time, marking, category → event; `Ok(None)` where the object is context.
//! Invariant: an object taken as part of another is not taken again; what references can multiply is bounded by [`MAX_REFERENCED`].
//! Not here: cutting the document ([`super::document`]), who refers to whom ([`super::context`]).

use super::category::{self, Classified};
use super::context::{self, Context};
use super::document::Object;
use super::lenient::{self, Fields, MAX_QUOTE};
use super::marking::Marking;
use super::paths::{self, Meaning};
use super::pattern;
use super::sco::{self, Sco, Traffic};
use super::value::{self, Casting, Found, MAX_OBSERVABLES, Means};
use crate::{Defaults, privacy};
use model::{Category, Event, Observable, ObservableType, Origin, Text, Timestamp, Tlp};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

/// Values taken through references in one document: a few objects that refer to each other may not make a flood.
const MAX_REFERENCED: usize = 4_000_000;
/// How far ahead of the hub's time an event may lie.
const AHEAD: Duration = Duration::from_hours(24);
/// Reasons named together.
const MAX_REASONS: usize = 3;

/// Reads the objects of one document.
pub(super) struct Reader<'a> {
    context: &'a Context<'a>,
    defaults: &'a Defaults,
    /// Events of indicators that sightings refer to.
    sighted: HashMap<String, Result<Event, String>>,
    /// Values that may still be taken through references.
    remaining: usize,
}

/// A time and whether the object states it.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Timestamp,
    stated: bool,
}

impl<'a> Reader<'a> {
    /// A reader for one document.
    pub(super) fn new(context: &'a Context<'a>, defaults: &'a Defaults) -> Self {
        Self { context, defaults, sighted: HashMap::new(), remaining: MAX_REFERENCED }
    }

    /// Reads an object; `Ok(None)` where it is context or part of another one's event.
    ///
    /// # Errors
    /// Why the object is not taken, in words for the sender.
    pub(super) fn read(&mut self, object: &Object<'_>) -> Result<Option<Event>, String> {
        let event = match &*object.kind {
            "indicator" => Some(self.indicator(object)?),
            "observed-data" => Some(self.observed(object)?),
            "sighting" => self.sighting(object)?,
            "vulnerability" => Some(self.vulnerability(object)?),
            kind if sco::is_understood(kind) || sco::is_unmatched(kind) => {
                if self.context.belongs(object) {
                    None
                } else {
                    Some(self.sco(object)?)
                }
            }
            _ => None,
        };
        Ok(event.map(|mut event| {
            privacy::finish(&mut event);
            event
        }))
    }

    fn indicator(&self, object: &Object<'_>) -> Result<Event, String> {
        let fields = lenient::fields(object.raw)?;
        if lenient::flag_of(&fields, "revoked") == Some(true) {
            return Err("indicator is revoked by its creator".to_owned());
        }
        if let Some(kind) = lenient::text_of(&fields, "pattern_type")
            && !kind.eq_ignore_ascii_case("stix")
        {
            return Err(format!("pattern type {} is not matched by value", lenient::clip(&kind, MAX_QUOTE)));
        }
        let text = lenient::text_of(&fields, "pattern").ok_or("indicator has no pattern")?;
        let mut pattern = pattern::read(&text).map_err(|error| error.to_string())?;
        let (found, port) = named(&mut pattern);
        let classified = category::classify(&fields, self.defaults);
        let (observables, reasons) = value::observables(&found, casting(classified));
        reasons.into_iter().for_each(|reason| pattern.skip(reason));
        if observables.is_empty() {
            return Err(without_value("pattern names no value that this hub matches", &pattern.skipped));
        }
        let moment = self.moment(&fields, &["valid_from", "created", "modified"])?;
        let mut event = self.assemble(object, &fields, moment, classified.category, observables)?;
        self.mark(&mut event, self.context.marking(&fields));
        event.port = port;
        let threat = self.context.threat(&object.id);
        event.malware = threat.malware;
        if !threat.technique.is_empty() {
            event.details_mut().technique = threat.technique;
        }
        if !threat.cve.is_empty() {
            event.details_mut().cve = threat.cve;
        }
        if let Some(Ok(until)) = lenient::time_of(&fields, "valid_until") {
            event.details_mut().valid_until = Some(until);
        }
        Ok(event)
    }

    fn observed(&mut self, object: &Object<'_>) -> Result<Event, String> {
        let fields = lenient::fields(object.raw)?;
        let context = self.context;
        let mut gathering = Gathering::default();
        if let Some(Value::Object(parts)) = fields.get("objects") {
            let scos: HashMap<&str, (Sco, &str)> = parts.iter().filter_map(|(key, part)| read_part(part).map(|sco| (key.as_str(), sco))).collect();
            for (sco, kind) in parts.keys().filter_map(|key| scos.get(key.as_str())) {
                gathering.take(sco, kind, |id| scos.get(id).map(|(sco, _)| sco), &mut self.remaining)?;
            }
        }
        for id in lenient::texts_of(&fields, "object_refs") {
            let kind = id.split_once("--").map_or(id, |(kind, _)| kind);
            if let Some((sco, marking)) = context.sco(id) {
                gathering.marking = gathering.marking.and(marking);
                let before = gathering.found.len();
                gathering.take(sco, kind, |id| context.sco(id).map(|(sco, _)| sco), &mut self.remaining)?;
                for (referenced, _) in &sco.refs {
                    gathering.marking = gathering.marking.and(context.sco(referenced).map(|(_, marking)| marking).unwrap_or_default());
                }
                if context.is_recipient(id) {
                    gathering.found.iter_mut().skip(before).for_each(|found| found.role = Some(model::Role::Victim));
                }
            } else if context.find(id).is_some() {
                gathering.pass_over(kind);
            } else {
                gathering.pass_over("an object that is not in the document");
            }
        }
        let classified = category::classify(&fields, self.defaults);
        let (observables, reasons) = value::observables(&gathering.found, casting(classified));
        if observables.is_empty() {
            gathering.passed_over.extend(reasons);
            return Err(without_value("observed-data holds no value that this hub matches", &gathering.passed_over));
        }
        let moment = self.moment(&fields, &["first_observed", "created", "modified"])?;
        let mut event = self.assemble(object, &fields, moment, classified.category, observables)?;
        self.mark(&mut event, self.context.marking(&fields));
        // The parts' own markings bind the whole; their silence does not.
        tighten(&mut event, gathering.marking);
        repeat(&mut event, &fields, "number_observed", "last_observed");
        set_ports(&mut event, gathering.traffic);
        Ok(event)
    }

    fn sighting(&mut self, object: &Object<'_>) -> Result<Option<Event>, String> {
        let fields = lenient::fields(object.raw)?;
        let of = lenient::text_of(&fields, "sighting_of_ref").ok_or("sighting_of_ref is missing")?.into_owned();
        if !of.starts_with("indicator--") {
            return Ok(None);
        }
        if lenient::number_of(&fields, "count") == Some(0) {
            return Err("count 0 says that nothing was seen".to_owned());
        }
        if self.remaining == 0 {
            return Err(too_many());
        }
        let indicated = if let Some(known) = self.sighted.get(&of) {
            known.clone()
        } else {
            let fresh = self.sighted_indicator(&of);
            self.sighted.insert(of, fresh.clone());
            fresh
        };
        let indicated = indicated.map_err(|reason| format!("sighting of an indicator that is not taken: {reason}"))?;
        spend(&mut self.remaining, indicated.observables.len())?;
        let floor = Marking { tlp: Some(indicated.tlp), pap: Some(indicated.pap), unresolved: false };
        let moment = self.moment(&fields, &["first_seen", "last_seen", "created", "modified"])?;
        let mut event = self.assemble(object, &fields, moment, indicated.category, indicated.observables.into_vec())?;
        event.port = indicated.port;
        event.malware = indicated.malware;
        event.confidence = event.confidence.or(indicated.confidence);
        if let Some(details) = indicated.details {
            let details = *details;
            let own = event.details_mut();
            own.technique = details.technique;
            own.cve = details.cve;
            own.valid_until = details.valid_until;
        }
        self.mark(&mut event, self.context.marking(&fields));
        tighten(&mut event, floor);
        repeat(&mut event, &fields, "count", "last_seen");
        Ok(Some(event))
    }

    /// The event of an indicator that a sighting refers to, without its text.
    fn sighted_indicator(&self, id: &str) -> Result<Event, String> {
        let indicator = self.context.find(id).ok_or("it is not in the document")?;
        let mut event = self.indicator(indicator)?;
        if let Some(details) = event.details.as_deref_mut() {
            details.original = None;
        }
        Ok(event)
    }

    fn vulnerability(&self, object: &Object<'_>) -> Result<Event, String> {
        let fields = lenient::fields(object.raw)?;
        let cve = Means::Exactly(ObservableType::Cve);
        let mut found: Vec<Found> = context::references(&fields, |source| source == "cve").map(|id| Found::new(cve, id)).collect();
        if let Some(name) = lenient::text_of(&fields, "name") {
            let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            found.extend(words.filter(|word| word.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("cve-"))).map(|word| Found::new(cve, word)));
        }
        let casting = Casting { category: Category::Other, role: self.defaults.role, detect: Some(false) };
        let (observables, reasons) = value::observables(&found, casting);
        if observables.is_empty() {
            return Err(without_value("vulnerability names no CVE", &reasons));
        }
        let moment = self.moment(&fields, &["created", "modified"])?;
        let mut event = self.assemble(object, &fields, moment, Category::Other, observables)?;
        self.mark(&mut event, self.context.marking(&fields));
        Ok(event)
    }

    /// An observable object that nothing else in the document takes.
    fn sco(&mut self, object: &Object<'_>) -> Result<Event, String> {
        if sco::is_unmatched(&object.kind) {
            return Err(format!("object type {} is matched by no observable of this hub", object.kind));
        }
        let fields = lenient::fields(object.raw)?;
        let context = self.context;
        let sco = Sco::read(&object.kind, &fields);
        let mut gathering = Gathering { marking: context.marking(&fields), ..Gathering::default() };
        gathering.take(&sco, &object.kind, |id| context.sco(id).map(|(sco, _)| sco), &mut self.remaining)?;
        let parts = sco.refs.iter().filter_map(|(id, _)| context.sco(id)).fold(Marking::default(), |marking, (_, part)| marking.and(part));
        let classified = category::classify(&fields, self.defaults);
        let (observables, reasons) = value::observables(&gathering.found, casting(classified));
        if observables.is_empty() {
            return Err(without_value(&format!("{} holds no value that this hub matches", object.kind), &reasons));
        }
        let mut event = self.assemble(object, &fields, Moment { at: self.defaults.now, stated: false }, classified.category, observables)?;
        self.mark(&mut event, gathering.marking);
        tighten(&mut event, parts);
        set_ports(&mut event, gathering.traffic);
        Ok(event)
    }

    /// The first of the fields that is a time not too far ahead; the hub's time where the object states none.
    fn moment(&self, fields: &Fields, keys: &[&str]) -> Result<Moment, String> {
        let latest = self.defaults.now.plus(AHEAD);
        let mut problem = None;
        for key in keys {
            match lenient::time_of(fields, key) {
                None => {}
                Some(Ok(at)) if at <= latest => return Ok(Moment { at, stated: true }),
                Some(Ok(_)) => problem = problem.or_else(|| Some(format!("{key} is more than 24 hours ahead"))),
                Some(Err(error)) => problem = problem.or_else(|| Some(format!("{key}: {error}"))),
            }
        }
        problem.map_or(Ok(Moment { at: self.defaults.now, stated: false }), Err)
    }

    /// An event with what every kind of object states the same way.
    fn assemble(&self, object: &Object<'_>, fields: &Fields, moment: Moment, category: Category, observables: Vec<Observable>) -> Result<Event, String> {
        if observables.len() > MAX_OBSERVABLES {
            return Err(format!("object holds more than {MAX_OBSERVABLES} values"));
        }
        let mut observables = observables.into_iter();
        let first = observables.next().ok_or("object holds no value")?;
        let mut event = Event::new(moment.at, category, first);
        event.observables.extend(observables);
        event.id = sender_id(object, fields);
        event.timeless = !moment.stated || event.id.is_none();
        event.origin = self.defaults.origin.unwrap_or(Origin::Sensor);
        event.named = self.defaults.named;
        event.confidence = lenient::number_of(fields, "confidence").and_then(|number| u8::try_from(number).ok()).filter(|&confidence| confidence <= 100);
        if let Some(original) = lenient::original(object.raw) {
            event.details_mut().original = Some(original);
        }
        Ok(event)
    }

    /// Gives an event the object's own marking, or the sender's default.
    fn mark(&self, event: &mut Event, marking: Marking) {
        event.tlp = marking.tlp(self.defaults);
        event.pap = marking.pap(self.defaults);
    }
}

/// Makes an event's marking at least as strict as that of a part.
fn tighten(event: &mut Event, part: Marking) {
    let floor = if part.unresolved { Some(Tlp::Amber) } else { None };
    for tlp in [part.tlp, floor].into_iter().flatten() {
        event.tlp = event.tlp.max(tlp);
    }
    if let Some(pap) = part.pap {
        event.pap = event.pap.max(pap);
    }
}

const fn casting(classified: Classified) -> Casting {
    Casting { category: classified.category, role: classified.role, detect: classified.detect }
}

/// The values that a pattern names, and the port where it names exactly one.
fn named(pattern: &mut pattern::Pattern) -> (Vec<Found>, Option<u16>) {
    let (mut found, mut source, mut destination) = (Vec::new(), Vec::new(), Vec::new());
    for comparison in std::mem::take(&mut pattern.comparisons) {
        let meaning = paths::meaning(&comparison.path);
        let (means, detect) = match meaning {
            Meaning::Value(means) => (means, None),
            Meaning::Recipient => (Means::Exactly(ObservableType::Email), Some(false)),
            // A common file name that only counts beside a hash would find harmless files when taken alone.
            Meaning::FileName => (Means::Exactly(ObservableType::Filename), comparison.joined.then_some(false)),
            Meaning::SourcePort => {
                source.extend(comparison.values);
                continue;
            }
            Meaning::DestinationPort => {
                destination.extend(comparison.values);
                continue;
            }
            Meaning::Constraint => continue,
            Meaning::Unknown => {
                pattern.skip(pattern::quote(&comparison.path));
                continue;
            }
        };
        found.extend(comparison.values.into_iter().map(|text| Found { means, text, role: paths::role(meaning), detect }));
    }
    let ports = if destination.is_empty() { source } else { destination };
    let port = match ports.as_slice() {
        [port] => port.parse().ok(),
        _ => None,
    };
    (found, port)
}

/// Values gathered from objects that refer to each other.
#[derive(Default)]
struct Gathering {
    found: Vec<Found>,
    traffic: Vec<Traffic>,
    passed_over: Vec<String>,
    marking: Marking,
}

impl Gathering {
    /// Takes an object's values and those of the objects it refers to, one step far.
    fn take<'s>(&mut self, sco: &'s Sco, kind: &str, find: impl Fn(&str) -> Option<&'s Sco>, remaining: &mut usize) -> Result<(), String> {
        let before = self.found.len();
        self.extend(&sco.found, None, remaining)?;
        for (id, role) in &sco.refs {
            if let Some(referenced) = find(id) {
                self.extend(&referenced.found, *role, remaining)?;
            }
        }
        if self.found.len() == before {
            self.pass_over(kind);
        }
        // Two are enough to know that there is not exactly one.
        if self.traffic.len() < 2 {
            self.traffic.extend(sco.traffic);
        }
        Ok(())
    }

    fn extend(&mut self, found: &[Found], role: Option<model::Role>, remaining: &mut usize) -> Result<(), String> {
        spend(remaining, found.len())?;
        self.found.extend(found.iter().map(|found| Found { role: role.or(found.role), ..found.clone() }));
        Ok(())
    }

    fn pass_over(&mut self, what: &str) {
        let what = lenient::clip(what, MAX_QUOTE / MAX_REASONS);
        if self.passed_over.len() < MAX_REASONS && !self.passed_over.iter().any(|known| *known == what) {
            self.passed_over.push(what.into_owned());
        }
    }
}

/// One part of STIX 2.0 observed-data, with its type.
fn read_part(part: &Value) -> Option<(Sco, &str)> {
    let fields = part.as_object()?;
    let kind = fields.get("type")?.as_str()?;
    Some((Sco::read(kind, fields), kind))
}

/// Ports of the one connection that an event is about.
fn set_ports(event: &mut Event, traffic: Vec<Traffic>) {
    if let [traffic] = traffic.as_slice() {
        event.port = traffic.source;
        if traffic.destination.is_some() {
            event.details_mut().dst_port = traffic.destination;
        }
    }
}

/// How often and until when it was seen.
fn repeat(event: &mut Event, fields: &Fields, count: &str, last: &str) {
    if let Some(count) = lenient::number_of(fields, count) {
        event.count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    }
    if let Some(Ok(last)) = lenient::time_of(fields, last)
        && last > event.time
    {
        event.details_mut().last_time = Some(last);
    }
}

/// A STIX object's id and version: the same version again is the same event, a new version a new one.
fn sender_id(object: &Object<'_>, fields: &Fields) -> Option<Text> {
    if object.id.is_empty() {
        return None;
    }
    lenient::sender_id(&object.id, &version_of(fields))
}

/// The same, of an object that is known by its fields alone.
pub(super) fn event_id(fields: &Fields) -> Option<Text> {
    let id = fields.get("id")?.as_str().filter(|id| !id.is_empty())?;
    lenient::sender_id(id, &version_of(fields))
}

fn version_of(fields: &Fields) -> Cow<'_, str> {
    lenient::text_of(fields, "modified").or_else(|| lenient::text_of(fields, "created")).unwrap_or_default()
}

fn without_value(what: &str, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return what.to_owned();
    }
    let named = reasons.iter().take(MAX_REASONS).map(String::as_str).collect::<Vec<_>>().join("; ");
    format!("{what}: {named}")
}

/// Takes from what may still be taken; nothing may be taken once it did not suffice.
fn spend(remaining: &mut usize, amount: usize) -> Result<(), String> {
    let left = remaining.checked_sub(amount);
    *remaining = left.unwrap_or(0);
    left.map(|_| ()).ok_or_else(too_many)
}

fn too_many() -> String {
    format!("objects refer to more than {MAX_REFERENCED} values in all")
}
