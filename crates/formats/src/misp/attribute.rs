//! One MISP attribute to at most one event.
//!
//! Flow: attribute, with what its event and object say → values by type → event; `Ok(None)` where it only describes.
//! Invariant: the attribute's own word wins over its object's, that over its event's; a restricted distribution is never widened.
//! Not here: where attributes are found ([`super`]), what types and tags mean ([`super::types`], [`super::tags`]).

use super::tags::{MAX_TECHNIQUES, Tags};
use super::types::{self, Kind};
use crate::stix::lenient::{self, Fields, MAX_QUOTE};
use crate::stix::value::{self, Casting, Found, MAX_OBSERVABLES, Means};
use crate::{Defaults, privacy};
use model::{Category, Event, ObservableType, Origin, Role, Text, Timestamp, Tlp};
use std::time::Duration;

/// How far ahead of the hub's time an event may lie.
const AHEAD: Duration = Duration::from_hours(24);
/// Characters of a comment kept as note; the original keeps the rest.
const MAX_NOTE: usize = 4096;
/// MISP's distribution "your organisation only".
const OWN_ORGANISATION: u64 = 0;
/// MISP's distribution "sharing group".
const SHARING_GROUP: u64 = 4;
/// MISP's distribution "as the event's".
const INHERIT: u64 = 5;

/// What an event or object says of the attributes in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// Tags.
    pub tags: Tags,
    /// The event's day or time.
    pub date: Option<Timestamp>,
    /// The event's own version, for attributes without a time stamp.
    pub version: String,
    /// First and last time of the object.
    pub seen: (Option<Timestamp>, Option<Timestamp>),
    /// Whom the sender shares it with; `None` where it does not say.
    pub distribution: Option<Distribution>,
    /// Whether it was deleted at the sender.
    pub deleted: bool,
}

/// MISP's distribution level, with the sharing group where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Distribution {
    level: u64,
    group: Option<String>,
}

impl Around {
    /// Reads it from an event's fields.
    pub(super) fn of_event(fields: &Fields) -> Self {
        let date = ["date", "timestamp", "publish_timestamp"].into_iter().find_map(|key| time(fields, key)?.ok());
        Self {
            tags: Tags::read(fields),
            date,
            version: lenient::text_of(fields, "timestamp").unwrap_or_default().into_owned(),
            seen: (None, None),
            distribution: distribution(fields),
            deleted: false,
        }
    }

    /// What an object in this event says of its attributes.
    pub(super) fn with_object(&self, fields: &Fields) -> Self {
        let moment = |key| time(fields, key).and_then(Result::ok);
        Self {
            seen: (moment("first_seen"), moment("last_seen")),
            distribution: distribution(fields).or_else(|| self.distribution.clone()),
            deleted: lenient::flag_of(fields, "deleted") == Some(true),
            ..self.clone()
        }
    }
}

/// Reads an attribute; `Ok(None)` where it only describes, or was deleted.
///
/// # Errors
/// Why the attribute is not taken, in words for the sender.
pub(super) fn read(raw: &str, around: &Around, defaults: &Defaults) -> Result<Option<Event>, String> {
    let fields = lenient::fields(raw)?;
    if around.deleted || lenient::flag_of(&fields, "deleted") == Some(true) {
        return Ok(None);
    }
    let name = lenient::text_of(&fields, "type").ok_or("attribute has no type")?;
    let kind = types::kind(&name);
    match kind {
        Kind::Context => return Ok(None),
        Kind::Unmatched => return Err(format!("attribute type {name} is no observable of this hub")),
        Kind::Unknown => return Err(format!("attribute type {} is unknown", lenient::clip(&name, MAX_QUOTE))),
        Kind::One(_) | Kind::Pair(..) | Kind::First(_) | Kind::WithPort(_) | Kind::Victim(_) => {}
    }
    let text = lenient::text_of(&fields, "value").ok_or_else(|| format!("attribute of type {} has no value", lenient::clip(&name, MAX_QUOTE)))?;
    let (found, port) = values(kind, &text);
    let own = Tags::read(&fields);
    let casting = cast(&fields, &name, &own, around, defaults);
    let (mut observables, reasons) = value::observables(&found, casting);
    if observables.is_empty() {
        // A type may begin as a known one and go on without end.
        let name = lenient::clip(&name, MAX_QUOTE);
        return Err(format!("{name}: {}", reasons.first().map_or("value is empty", String::as_str)));
    }
    if observables.len() > MAX_OBSERVABLES {
        return Err(format!("attribute holds more than {MAX_OBSERVABLES} values"));
    }
    let (at, stated) = moment(&fields, around, defaults)?;
    let rest = observables.split_off(1);
    let first = observables.pop().ok_or("value is empty")?;
    let mut event = Event::new(at, casting.category, first);
    event.observables.extend(rest);
    event.id = sender_id(&fields, around);
    event.timeless = !stated || event.id.is_none();
    event.origin = defaults.origin.unwrap_or(Origin::Sensor);
    event.named = defaults.named;
    event.port = port;
    mark(&mut event, &fields, &own, around, defaults);
    describe(&mut event, raw, &fields, own, around);
    privacy::finish(&mut event);
    Ok(Some(event))
}

/// The values of an attribute by its type, and the port beside them.
fn values(kind: Kind, text: &str) -> (Vec<Found>, Option<u16>) {
    let lines = |means: Means| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| Found::new(means, line)).collect::<Vec<_>>();
    match kind {
        Kind::One(means) => (lines(means), None),
        Kind::Victim(means) => (lines(means).into_iter().map(|found| Found { role: Some(Role::Victim), detect: Some(false), ..found }).collect(), None),
        Kind::Pair(first, second) => match text.rsplit_once('|') {
            Some((one, other)) => (vec![Found::new(first, one), Found::new(second, other)], None),
            None => (lines(first), None),
        },
        Kind::First(means) => (vec![Found::new(means, text.rsplit_once('|').map_or(text, |(one, _)| one))], None),
        Kind::WithPort(means) => {
            if let Some((one, port)) = text.rsplit_once('|') {
                return (vec![Found::new(means, one)], port.trim().parse().ok());
            }
            match model::detect::detect_with_port(text) {
                Some((kind, value, port)) => (vec![Found::new(Means::Exactly(kind), value.as_str())], port),
                None => (lines(means), None),
            }
        }
        Kind::Unmatched | Kind::Context | Kind::Unknown => (Vec::new(), None),
    }
}

/// Category, role and detection: tags of the attribute, tags of the event, the attribute's own category, the batch.
fn cast(fields: &Fields, name: &str, own: &Tags, around: &Around, defaults: &Defaults) -> Casting {
    let detect = lenient::flag_of(fields, "to_ids");
    // An event's tag tells what happened. Where that makes addresses victims', it does not hold for a value its sender wants detected.
    let of_event = around.tags.category.filter(|(category, _)| detect != Some(true) || Role::default_for(*category, ObservableType::Ipv4) != Role::Victim);
    let section = lenient::text_of(fields, "category").unwrap_or_default();
    let (category, role) = own
        .category
        .or(of_event)
        .or_else(|| from_section(&section).map(|category| (category, None)))
        .unwrap_or((defaults.category.unwrap_or(Category::Other), None));
    let relation = lenient::text_of(fields, "object_relation").unwrap_or_default();
    let received = name == "email-dst" && matches!(&*relation, "to" | "cc" | "bcc");
    if received || section.eq_ignore_ascii_case("Targeting data") {
        return Casting { category, role: Some(Role::Victim), detect: Some(false) };
    }
    Casting { category, role: role.or(defaults.role), detect }
}

/// The category that MISP's own attribute category suggests.
fn from_section(section: &str) -> Option<Category> {
    const MALWARE: [&str; 6] =
        ["Payload delivery", "Payload installation", "Payload type", "Artifacts dropped", "Persistence mechanism", "Antivirus detection"];
    if MALWARE.iter().any(|known| section.eq_ignore_ascii_case(known)) {
        Some(Category::MalwareDistribution)
    } else if section.eq_ignore_ascii_case("Financial fraud") {
        Some(Category::Masquerade)
    } else {
        None
    }
}

/// When it was seen, and whether anything states it.
fn moment(fields: &Fields, around: &Around, defaults: &Defaults) -> Result<(Timestamp, bool), String> {
    let latest = defaults.now.plus(AHEAD);
    let stated = [
        ("first_seen", time(fields, "first_seen")),
        ("first_seen", around.seen.0.map(Ok)),
        ("timestamp", time(fields, "timestamp")),
        ("event's date", around.date.map(Ok)),
    ];
    let mut problem = None;
    for (key, time) in stated {
        match time {
            None => {}
            Some(Ok(at)) if at <= latest => return Ok((at, true)),
            Some(Ok(_)) => problem = problem.or_else(|| Some(format!("{key} is more than 24 hours ahead"))),
            Some(Err(error)) => problem = problem.or_else(|| Some(format!("{key}: {error}"))),
        }
    }
    problem.map_or(Ok((defaults.now, false)), Err)
}

/// A time; MISP's 0 is none.
fn time(fields: &Fields, key: &str) -> Option<Result<Timestamp, model::time::TimeError>> {
    lenient::time_of(fields, key).filter(|time| *time != Ok(Timestamp::default()))
}

fn sender_id(fields: &Fields, around: &Around) -> Option<Text> {
    let uuid = lenient::text_of(fields, "uuid")?;
    let version = lenient::text_of(fields, "timestamp");
    lenient::sender_id(&uuid, version.as_deref().unwrap_or(&around.version))
}

fn mark(event: &mut Event, fields: &Fields, own: &Tags, around: &Around, defaults: &Defaults) {
    event.tlp = marking(own, around, defaults);
    event.pap = own.pap.or(around.tags.pap).unwrap_or(defaults.pap);
    let Some(distribution) = distribution(fields).or_else(|| around.distribution.clone()) else { return };
    let floor = match distribution.level {
        OWN_ORGANISATION => Tlp::AmberStrict,
        SHARING_GROUP => Tlp::Amber,
        _ => return,
    };
    event.tlp = event.tlp.max(floor);
    let extra = serde_json::json!({ "distribution": distribution.level, "sharing_group_id": distribution.group });
    event.details_mut().extra = Some(Text::from(extra.to_string()));
}

/// The marking that tags give: the attribute's own, else the event's, else the sender's default.
pub(super) fn marking(own: &Tags, around: &Around, defaults: &Defaults) -> Tlp {
    let tags = if own.tlp.is_some() || own.unclear { own } else { &around.tags };
    let tlp = tags.tlp.unwrap_or(defaults.tlp);
    if tags.unclear { tlp.max(Tlp::Amber) } else { tlp }
}

fn distribution(fields: &Fields) -> Option<Distribution> {
    let level = lenient::number_of(fields, "distribution").filter(|&level| level != INHERIT)?;
    let group = lenient::text_of(fields, "sharing_group_id").filter(|_| level == SHARING_GROUP).map(|group| lenient::clip(&group, MAX_QUOTE).into_owned());
    Some(Distribution { level, group })
}

fn describe(event: &mut Event, raw: &str, fields: &Fields, own: Tags, around: &Around) {
    event.malware = own.malware.or_else(|| around.tags.malware.clone());
    let mut technique = own.technique;
    for further in &around.tags.technique {
        if technique.len() < MAX_TECHNIQUES && !technique.contains(further) {
            technique.push(further.clone());
        }
    }
    let last = time(fields, "last_seen").and_then(Result::ok).or(around.seen.1).filter(|last| *last > event.time);
    let note = lenient::text_of(fields, "comment").map(|comment| Text::from(lenient::clip(&comment, MAX_NOTE)));
    let details = event.details_mut();
    details.technique = technique;
    details.last_time = last;
    details.note = note;
    details.original = lenient::original(raw);
}
