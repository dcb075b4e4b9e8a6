//! What the laws are stated over: readers, reports, and the fields of an event.
//!
//! Invariant: [`fields`] names every field of an event; a new one breaks it until the laws cover it.

use model::agreement::{Agreement, Redistribution, Sends};
use model::{
    Category, Constituency, Details, Event, KeyRole, Notify, Observable, ObservableType, OrgId, OrgKind, OrgNo, Organisation, Origin, Pap, Role, Severity,
    Standing, StandingBy, Target, Text, Timestamp, Tlp,
};
use policy::{Item, Reader, Sight, groups_permit_naming, redact, sight};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::fmt::Debug;

/// When every answer is given.
pub const NOW: Timestamp = Timestamp::from_seconds(1_750_000_000);
/// One second.
pub const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
/// Organisations of the nation; few, so that reader and reporter are often the same.
const ORGANISATIONS: u32 = 4;
const SECTORS: &[&str] = &["finance", "energy"];
const GROUPS: &[&str] = &["grp_banks", "grp_grid"];
/// Every amount of sight, from least to most.
pub const SIGHTS: &[Sight] = &[Sight::Hidden, Sight::OwnFinding, Sight::WithoutReporterAndVictims, Sight::WithoutVictims, Sight::Whole, Sight::Own];

// Texts that occur in one field only, so that a trace of that field is found wherever it is.
pub const FAR_SIDE: &str = "192.0.2.77";
pub const TARGET: &str = "198.51.100.88";
pub const NOTE: &str = "a note by the reporter";
pub const OWN_ID: &str = "ticket-4711";
const EXTRA: &str = "{\"analyst\":\"kim\"}";
pub const ORIGINAL: &str = "the line as it came";

/// An event and who reported it.
#[derive(Debug, Clone)]
pub struct Report {
    pub event: Event,
    pub reporter: OrgNo,
    pub constituency: Option<Constituency>,
    pub source: bool,
    pub licence: Option<Redistribution>,
}

impl Report {
    pub fn sight(&self, reader: &Reader) -> Sight {
        self.sight_with_leave_of(reader, &[])
    }

    /// The same where these groups permit their members to be named to one another.
    pub fn sight_with_leave_of(&self, reader: &Reader, groups: &[Text]) -> Sight {
        let item = Item {
            reporter: self.reporter,
            reporter_constituency: self.constituency,
            source: self.source,
            licence: self.licence,
            tlp: self.event.tlp,
            audience: self.event.audience(),
            category: self.event.category,
            sector: self.event.sector.as_deref(),
            named: self.event.named,
            group_leave: groups_permit_naming(self.event.audience(), |id| groups.contains(id)),
        };
        sight(reader, &item)
    }

    /// Every content of the answer to `reader`; empty where nothing is shown. What decides it is left out: marking, audience, `named`.
    pub fn answer(&self, reader: &Reader) -> Vec<Field> {
        let sight = self.sight(reader);
        let mut event = self.event.clone();
        if !redact(&mut event, sight) {
            return Vec::new();
        }
        let mut answer = fields(&event);
        answer.retain(|(name, _)| !["tlp", "audience", "named"].contains(name));
        answer.extend(sight.sees_reporter().then(|| ("reporter", self.reporter.to_string())));
        answer
    }

    pub fn with_tlp(&self, tlp: Tlp) -> Self {
        let mut other = self.clone();
        other.event.tlp = tlp;
        other
    }

    pub fn with_audience(&self, mut audience: Vec<Text>) -> Self {
        audience.sort_unstable();
        audience.dedup();
        let mut other = self.clone();
        other.event.details_mut().audience = audience;
        other
    }

    pub fn named(&self, named: bool) -> Self {
        let mut other = self.clone();
        other.event.named = named;
        other
    }
}

/// Whether the law of the coordinator and of the reporter's authority holds for the reader.
pub fn oversees(reader: &Reader, report: &Report) -> bool {
    reader.is_coordinator() || reader.is_authority_of(report.constituency)
}

pub fn is_named_in(reader: &Reader, audience: &[Text]) -> bool {
    audience.iter().any(|id| reader.audience_ids.contains(id))
}

/// A field of an event and its value in words.
pub type Field = (&'static str, String);

/// Every field that holds something. A flag is a field only where it is set.
pub fn fields(event: &Event) -> Vec<Field> {
    let Event { time, category, observables, origin, tlp, pap, named, timeless, notify_owner, confidence, severity, port, count, sector, malware, id, details } =
        event;
    let mut all = vec![
        ("time", format!("{time:?}")),
        ("category", category.to_string()),
        ("origin", origin.to_string()),
        ("tlp", tlp.to_string()),
        ("pap", pap.to_string()),
        ("notify_owner", notify_owner.to_string()),
        ("count", count.to_string()),
    ];
    all.extend(observables.iter().map(|observable| ("observable", format!("{observable:?}"))));
    all.extend(named.then(|| ("named", "true".to_owned())));
    all.extend(timeless.then(|| ("timeless", "true".to_owned())));
    add(&mut all, "confidence", confidence.as_ref());
    add(&mut all, "severity", severity.as_ref());
    add(&mut all, "port", port.as_ref());
    add(&mut all, "sector", sector.as_ref());
    add(&mut all, "malware", malware.as_ref());
    add(&mut all, "id", id.as_ref());
    if let Some(details) = details.as_deref() {
        add_details(&mut all, details);
    }
    all
}

fn add_details(all: &mut Vec<Field>, details: &Details) {
    let Details { last_time, valid_until, audience, technique, cve, dst_ip, dst_port, protocol, target, source_asn, note, extra, original } = details;
    add(all, "last_time", last_time.as_ref());
    add(all, "valid_until", valid_until.as_ref());
    all.extend(audience.iter().map(|id| ("audience", id.to_string())));
    all.extend(technique.iter().map(|id| ("technique", id.to_string())));
    all.extend(cve.iter().map(|id| ("cve", id.to_string())));
    add(all, "dst_ip", dst_ip.as_ref());
    add(all, "dst_port", dst_port.as_ref());
    add(all, "protocol", protocol.as_ref());
    if let Some(Target { ip, asn, sector }) = target {
        add(all, "target.ip", ip.as_ref());
        add(all, "target.asn", asn.as_ref());
        add(all, "target.sector", sector.as_ref());
    }
    add(all, "source_asn", source_asn.as_ref());
    add(all, "note", note.as_ref());
    add(all, "extra", extra.as_ref());
    add(all, "original", original.as_ref());
}

fn add<T: Debug>(all: &mut Vec<Field>, name: &'static str, value: Option<&T>) {
    all.extend(value.map(|value| (name, format!("{value:?}"))));
}

/// Whether every field of `less` is one of `more`, as often.
pub fn is_part(less: &[Field], more: &[Field]) -> bool {
    let mut rest = more.to_vec();
    less.iter().all(|field| {
        let place = rest.iter().position(|other| other == field);
        place.map(|place| rest.swap_remove(place)).is_some()
    })
}

fn organisation_number() -> impl Strategy<Value = OrgNo> {
    (1..=ORGANISATIONS).prop_map(OrgNo)
}

fn organisation_id(number: OrgNo) -> OrgId {
    format!("org_{:032x}", number.0).parse().unwrap()
}

/// An id that an audience can hold: of an organisation, a sector or a group that readers can have.
pub fn audience_id() -> impl Strategy<Value = Text> {
    prop_oneof![
        organisation_number().prop_map(|number| Text::from(organisation_id(number).to_string())),
        select(SECTORS).prop_map(Text::from),
        select(GROUPS).prop_map(Text::from),
    ]
}

/// An agreement. Of categories and sectors few, so that one is often a part of another.
pub fn agreement() -> impl Strategy<Value = Agreement> {
    let expires = option::of(select(vec![NOW.minus(SECOND), NOW, NOW.plus(SECOND)]));
    let categories = vec(select(vec![Category::Phishing, Category::C2Server, Category::Scanner]), 0..3);
    let sectors = vec(select(SECTORS).prop_map(Text::from), 0..2);
    (select(Tlp::ALL), any::<bool>(), categories, sectors, any::<bool>(), expires).prop_map(|(max_tlp, strict, categories, sectors, names, expires)| {
        Agreement { max_tlp, strict, categories, sectors, names, expires, sends: Sends::default() }
    })
}

pub fn organisation() -> impl Strategy<Value = Organisation> {
    (
        organisation_number(),
        select(OrgKind::ALL),
        option::of(select(Constituency::ALL)),
        option::of(select(SECTORS).prop_map(Text::from)),
        vec(select(GROUPS).prop_map(Text::from), 0..3),
        select(Standing::ALL),
        option::of(agreement()),
    )
        .prop_map(|(number, kind, constituency, sector, groups, standing, agreement)| Organisation {
            id: organisation_id(number),
            number,
            name: format!("organisation {number}"),
            kind,
            constituency,
            sector,
            country: None,
            groups,
            standing,
            standing_since: None,
            standing_reason: None,
            standing_review: None,
            standing_by: StandingBy::Rule,
            standing_rule: true,
            acts_for: Vec::new(),
            agreement,
            licence: None,
            default_tlp: Tlp::Amber,
            default_pap: Pap::Green,
            named: false,
            quota_per_day: None,
            version: 1,
            created: NOW,
            updated: NOW,
        })
}

pub fn reader() -> impl Strategy<Value = Reader> {
    (organisation(), select(KeyRole::ALL), any::<bool>()).prop_map(|(organisation, role, red)| Reader::new(&organisation, role, red, NOW))
}

pub fn partner() -> impl Strategy<Value = Reader> {
    // The directory gives the hub's own roles to no partner.
    let role = select(vec![KeyRole::MemberAdmin, KeyRole::Analyst, KeyRole::Reader]);
    (organisation(), role, any::<bool>()).prop_map(|(organisation, role, red)| {
        let organisation = Organisation { kind: OrgKind::Partner, ..organisation };
        Reader::new(&organisation, role, red, NOW)
    })
}

/// A value whose text tells the part it plays.
fn observables() -> impl Strategy<Value = Vec<Observable>> {
    vec((select(ObservableType::ALL), select(Role::ALL), any::<bool>(), any::<bool>()), 1..5).prop_map(|parts| {
        let observable = |(place, (kind, role, detect, reserved)): (usize, (ObservableType, Role, bool, bool))| Observable {
            kind,
            role,
            detect,
            reserved,
            value: value_of(role, place).into(),
        };
        parts.into_iter().enumerate().map(observable).collect()
    })
}

pub fn value_of(role: Role, place: usize) -> String {
    format!("{role}-value-{place}")
}

fn text(text: &'static str) -> impl Strategy<Value = Option<Text>> {
    option::of(Just(Text::from(text)))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000).prop_map(Timestamp::from_seconds)
}

fn target() -> impl Strategy<Value = Target> {
    (text(TARGET), option::of(any::<u32>()), text("energy")).prop_map(|(ip, asn, sector)| Target { ip, asn, sector })
}

fn details() -> impl Strategy<Value = Details> {
    let ids = (vec(audience_id(), 0..3), vec(Just(Text::from("T1566")), 0..2), vec(Just(Text::from("CVE-2024-3400")), 0..2));
    let flow = (text(FAR_SIDE), option::of(any::<u16>()), text("tcp"), option::of(target()), option::of(any::<u32>()));
    let rest = (option::of(moment()), option::of(moment()), text(NOTE), text(EXTRA), text(ORIGINAL));
    (ids, flow, rest).prop_map(
        |((mut audience, technique, cve), (dst_ip, dst_port, protocol, target, source_asn), (last_time, valid_until, note, extra, original))| {
            audience.sort_unstable();
            audience.dedup();
            Details { last_time, valid_until, audience, technique, cve, dst_ip, dst_port, protocol, target, source_asn, note, extra, original }
        },
    )
}

pub fn event() -> impl Strategy<Value = Event> {
    // Tests are one in thirty-nine otherwise, and so is what an agreement names.
    let named = select(vec![Category::Phishing, Category::C2Server, Category::Scanner]);
    let category = prop_oneof![6 => select(Category::ALL), 3 => named, 1 => Just(Category::Test)];
    let words = (category, select(Origin::ALL), select(Tlp::ALL), select(Pap::ALL), select(Notify::ALL), option::of(select(Severity::ALL)));
    let numbers = (moment(), option::of(0_u8..=100), option::of(any::<u16>()), 1_u32..1_000, any::<bool>(), any::<bool>());
    let texts = (option::of(select(SECTORS).prop_map(Text::from)), text("Qakbot"), text(OWN_ID));
    (observables(), words, numbers, texts, option::of(details())).prop_map(
        |(
            observables,
            (category, origin, tlp, pap, notify_owner, severity),
            (time, confidence, port, count, named, timeless),
            (sector, malware, id),
            details,
        )| Event {
            time,
            category,
            observables: observables.into_iter().collect(),
            origin,
            tlp,
            pap,
            named,
            timeless,
            notify_owner,
            confidence,
            severity,
            port,
            count,
            sector,
            malware,
            id,
            details: details.map(Box::new),
        },
    )
}

pub fn report() -> impl Strategy<Value = Report> {
    // Most have no licence, as members do.
    let licence = prop_oneof![3 => Just(None), 2 => select(Redistribution::ALL).prop_map(Some)];
    (event(), organisation_number(), option::of(select(Constituency::ALL)), proptest::bool::weighted(0.2), licence)
        .prop_map(|(event, reporter, constituency, source, licence)| Report { event, reporter, constituency, source, licence })
}
