//! A nation that a seed makes: organisations and keys of every kind, events of every marking, and what its members send of them.
//!
//! Invariant: every value, text and organisation has a mark of its own (`support::marks`), and no two events share a value, so that what an answer
//! holds tells of which event it is.
//! Not here: what of it is shown to whom (`model`).

use crate::support::{
    Behaviour, Client, Hub, MailServer, Random, Receiver, Told, ago, eventually, hub_with_every_door, register, until_findings_follow,
    until_registration_counts,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const EVENTS: usize = 200;
pub const TLPS: [&str; 5] = ["clear", "green", "amber", "amber+strict", "red"];
pub const GREEN: usize = 1;
pub const STRICT: usize = 3;
pub const RED: usize = 4;
const PAPS: [&str; 4] = ["clear", "green", "amber", "red"];
const SECTORS: [&str; 4] = ["finance", "energy", "telecom", "health"];
const GROUPS: [&str; 2] = ["grp-banks", "grp-grid"];
const CATEGORIES: [&str; 8] = ["c2-server", "phishing", "scanner", "infected-system", "ddos", "data-leak", "vulnerable-system", "test"];
const ORIGINS: [&str; 5] = ["sensor", "manual", "honeypot", "sinkhole", "relayed"];
/// How widely a member lets its events be passed on; the last is the same as not to say.
const LICENCES: [&str; 4] = ["none", "members", "partners", "public"];
pub const MEMBERS: usize = 1;
pub const PARTNERS: usize = 2;
pub const PUBLIC: usize = 3;
/// Products, each with the strictest permissible actions of what may be in it: lists are for blocking, rules for detecting, the others for reading.
pub const PRODUCTS: [(&str, usize); 4] = [("list.txt", 1), ("suricata.rules", 2), ("csv", 3), ("stix", 3)];
/// MISP's feed is made for tools that detect.
pub const MISP_FEED: (&str, usize) = ("misp", 2);
/// Below these names lies what is on a warning list, and what is registered as protected.
pub const BENIGN: &str = "benign-mail.kr";
pub const PROTECTED: &str = "grid-works.kr";

/// What is agreed with a partner.
#[derive(Clone, Copy)]
pub struct Agreement {
    /// The strictest marking, as its place in [`TLPS`]; never red.
    pub covered: usize,
    pub categories: &'static [&'static str],
    pub sectors: &'static [&'static str],
    pub names: bool,
}

pub struct Organisation {
    pub id: String,
    /// A mark.
    pub name: String,
    pub kind: &'static str,
    pub constituency: &'static str,
    pub sector: &'static str,
    pub groups: &'static [&'static str],
    pub standing: &'static str,
    pub licence: usize,
    pub agreement: Option<Agreement>,
}

pub struct Reader {
    pub name: String,
    pub organisation: usize,
    pub role: &'static str,
    pub red: bool,
    pub client: Client,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Anywhere,
    Reserved,
    Listed,
    Protected,
}

pub struct Watched {
    pub mark: String,
    pub kind: &'static str,
    pub value: String,
    pub role: &'static str,
    pub place: Place,
}

pub struct Event {
    pub seq: u64,
    /// What it says beside its values and its reporter begins with it: `zq7`.
    pub mark: String,
    pub reporter: usize,
    pub tlp: usize,
    pub pap: usize,
    pub audience: Vec<String>,
    pub named: bool,
    pub detect: bool,
    pub category: &'static str,
    /// Empty where it names none.
    pub sector: &'static str,
    pub origin: &'static str,
    pub values: Vec<Watched>,
    /// The far side of the flow: the victim, the sinkhole or the honeypot.
    pub far_side: Option<String>,
    /// Came through MISP's door, where it has values alone.
    pub by_misp: bool,
    /// Sent before the registration of the protected network counted.
    pub early: bool,
}

pub struct Nation {
    pub hub: Hub,
    pub organisations: Vec<Organisation>,
    pub readers: Vec<Reader>,
    /// By sequence number; the last is the marker, which every reader of events sees.
    pub events: Vec<Event>,
    /// The organisations that are told of things.
    pub told: Vec<(usize, Told)>,
    pub receiver: Receiver,
    pub mail: MailServer,
    /// Every mark there is.
    pub known: BTreeSet<String>,
}

/// Places in [`organisations`].
const FIRST_COMPANY: usize = 2;
const REVOKED: usize = 8;
pub const OWNER: usize = 18;
const MARKER: usize = 19;
const HUB: usize = 20;
const NOBODY: usize = 21;

/// Keys that go to the doors: whose, with which role, and whether flagged for red.
const READERS: [(usize, &str, bool); 29] = [
    (0, "authority", false),
    (0, "authority", true),
    (0, "analyst", true),
    (1, "authority", true),
    (FIRST_COMPANY, "analyst", false),
    (FIRST_COMPANY, "analyst", true),
    (FIRST_COMPANY, "reporter", true),
    (FIRST_COMPANY, "auditor", true),
    (3, "member-admin", false),
    (4, "reader", false),
    (4, "analyst", true),
    (5, "analyst", true),
    (6, "analyst", true),
    (7, "analyst", false),
    (REVOKED, "analyst", true),
    (9, "reader", true),
    (10, "reader", true),
    (11, "reader", true),
    (12, "reader", true),
    (13, "analyst", true),
    (14, "reader", false),
    (15, "analyst", false),
    (17, "analyst", false),
    (OWNER, "analyst", false),
    (OWNER, "reader", true),
    (HUB, "coordinator", false),
    (HUB, "coordinator", true),
    (HUB, "reader", false),
    (NOBODY, "stranger", false),
];

/// One of each kind that the law tells apart; ids and names come with the hub.
fn organisations() -> Vec<Organisation> {
    let of = |kind: &'static str, constituency: &'static str, sector: &'static str| {
        let (id, name) = (String::new(), String::new());
        Organisation { id, name, kind, constituency, sector, groups: &[], standing: "full", licence: PUBLIC, agreement: None }
    };
    let company = |sector: &'static str| of("company", "private", sector);
    let partner = |covered: usize, categories: &'static [&'static str], sectors: &'static [&'static str], names: bool| {
        let agreement = Some(Agreement { covered, categories, sectors, names });
        Organisation { agreement, groups: &["grp-grid"], ..of("partner", "", "") }
    };
    vec![
        of("authority", "private", "government"),
        of("authority", "public", "government"),
        Organisation { groups: &["grp-banks"], ..company("finance") },
        company("finance"),
        Organisation { groups: &["grp-grid"], ..company("energy") },
        Organisation { groups: &["grp-banks"], ..of("agency", "public", "health") },
        Organisation { groups: &["grp-grid"], standing: "receive-limited", ..company("finance") },
        Organisation { standing: "warned", ..company("energy") },
        Organisation { standing: "revoked", ..company("telecom") },
        of("cert", "private", "telecom"),
        of("partner", "", ""),
        partner(2, &[], &[], false),
        partner(STRICT, &[], &[], true),
        partner(2, &["c2-server", "phishing", "ddos"], &[], false),
        partner(STRICT, &[], &["finance", "energy"], true),
        Organisation { licence: MEMBERS, ..company("health") },
        Organisation { licence: PARTNERS, ..company("health") },
        Organisation { licence: 0, ..company("health") },
        company("energy"),
        company("telecom"),
        of("hub", "", ""),
        of("nobody", "", ""),
    ]
}

/// Makes a nation and lets it send.
pub fn found(seed: u64) -> Nation {
    let mut random = Random::new(seed);
    let (mail, receiver) = (MailServer::start(), Receiver::start(Behaviour::Takes, seed));
    let hub = hub_with_every_door(&mail, BENIGN);
    let organisations = settle(&hub);
    register(&hub, &organisations[OWNER].id, "domain", PROTECTED, true);
    let client = |number: usize, role: &str, red: bool| match number {
        NOBODY => hub.stranger(),
        _ => hub.client(&hub.key_with(&organisations[number].id, &json!({ "role": role, "red": red })).1),
    };
    let reader = |&(organisation, role, red): &(usize, &'static str, bool)| {
        let Organisation { kind, sector, .. } = &organisations[organisation];
        let name = format!("{role}{} of {kind} {organisation} ({sector})", if red { ", red," } else { "" });
        Reader { name, organisation, role, red, client: client(organisation, role, red) }
    };
    let readers: Vec<Reader> = READERS.iter().map(reader).collect();
    let subscriber = |number: usize| client(number, if number == HUB { "coordinator" } else { "analyst" }, true);
    let told = (0..MARKER).chain([HUB]).map(|number| (number, Told::subscribe(&hub, &organisations[number].id, subscriber(number), "events", &receiver)));
    let told: Vec<(usize, Told)> = told.collect();
    let senders: Vec<Client> = (0..HUB).map(|number| client(number, "reporter", false)).collect();
    let by_misp = client(FIRST_COMPANY, "analyst", false);
    // Its subscription was made while it was a member.
    hub.change_organisation(&organisations[REVOKED].id, &json!({ "standing": "revoked" }));

    let mut events: Vec<Event> = Vec::new();
    let count = until_registration_counts(&hub, |number| {
        let mut probe = [probe(number)];
        send(&senders[MARKER], probe.iter_mut());
        events.extend(probe);
    });
    // The one that was told of is the last; those before it are not made findings of.
    events.iter_mut().take(count - 1).for_each(|event| event.early = true);
    events.extend(contribute_by_misp(&by_misp));
    let mut drawn: Vec<Event> = (0..EVENTS).map(|number| draw(&mut random, number, &organisations)).collect();
    for (number, sender) in senders.iter().enumerate() {
        send(sender, drawn.iter_mut().filter(|event| event.reporter == number));
    }
    let mut marker = [marker()];
    send(&senders[MARKER], marker.iter_mut());
    events.extend(drawn);
    events.extend(marker);
    events.sort_by_key(|event| event.seq);
    until_findings_follow(&hub);

    let mut known: BTreeSet<String> = organisations[..NOBODY].iter().flat_map(|organisation| [organisation.id.clone(), organisation.name.clone()]).collect();
    // The hub's own name and id are in what it signs.
    known.remove(&organisations[HUB].id);
    known.remove(&organisations[HUB].name);
    for event in &events {
        known.extend(event.values.iter().map(|value| value.mark.clone()).chain(event.far_side.clone()));
        known.extend(["malware", "note", "id", "extra"].map(|what| format!("{}{what}", event.mark)));
    }
    Nation { hub, organisations, readers, events, told, receiver, mail, known }
}

/// Adds the organisations with all that the law asks of them.
fn settle(hub: &Hub) -> Vec<Organisation> {
    let mut organisations = organisations();
    for (number, organisation) in organisations.iter_mut().enumerate().take(HUB) {
        organisation.name = format!("zqorganisation{number}");
        organisation.id = hub.organisation(&organisation.name, organisation.kind, organisation.constituency, organisation.sector);
        let mut patch = json!({ "groups": organisation.groups });
        if organisation.licence < PUBLIC {
            patch["licence"] = json!(LICENCES[organisation.licence]);
        }
        if ["receive-limited", "warned"].contains(&organisation.standing) {
            patch["standing"] = json!(organisation.standing);
        }
        hub.change_organisation(&organisation.id, &patch);
        let Some(Agreement { covered, categories, sectors, names }) = organisation.agreement else { continue };
        let path = format!("/api/v1/organisations/{}/agreement", organisation.id);
        let version = hub.coordinator().get(&path).json()["version"].clone();
        let agreement = json!({
            "version": version, "reason": "signed", "max_tlp": TLPS[covered.min(2)], "strict": covered == STRICT, "categories": categories, "sectors": sectors,
            "names": names, "expires": "2090-01-01T00:00:00Z",
        });
        let body = serde_json::to_vec(&agreement).unwrap();
        let answer = hub.coordinator().request("PUT", &path, &[("content-type", "application/json")], Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    organisations[HUB].id = hub.own_organisation();
    let me = hub.coordinator().get("/api/v1/me").json();
    me["organisation"]["name"].as_str().unwrap().clone_into(&mut organisations[HUB].name);
    organisations
}

/// An event that everyone who reads events sees, and that is in everything.
fn marker() -> Event {
    let mark = "zqmarker".to_owned();
    let value = Watched { mark: "zqmarkerv".to_owned(), kind: "domain", value: "zqmarkerv.net".to_owned(), role: "attacker", place: Place::Anywhere };
    Event {
        seq: 0,
        mark,
        reporter: MARKER,
        tlp: 0,
        pap: 0,
        audience: Vec::new(),
        named: false,
        detect: true,
        category: "c2-server",
        sector: "finance",
        origin: "sensor",
        values: vec![value],
        far_side: None,
        by_misp: false,
        early: false,
    }
}

/// An event that concerns the owner of the protected network and that next to nobody else sees.
fn probe(number: usize) -> Event {
    let mark = format!("zqprobe{number}");
    let value = Watched { mark: format!("{mark}v"), kind: "domain", value: format!("{mark}v.{PROTECTED}"), role: "victim", place: Place::Protected };
    Event { mark, tlp: STRICT, audience: vec!["grp-nobody".to_owned()], values: vec![value], ..marker() }
}

/// A random event.
fn draw(random: &mut Random, number: usize, organisations: &[Organisation]) -> Event {
    let senders: Vec<usize> = (0..OWNER).filter(|number| *number != REVOKED).collect();
    let reporter = *random.pick(&senders);
    let (mark, tlp) = (format!("zq{number}x"), random.below(TLPS.len()));
    let mut audience = Vec::new();
    if random.percent(if tlp == RED { 80 } else { 30 }) {
        for _ in 0..=random.below(2) {
            audience.push(match random.below(3) {
                0 => organisations[random.below(OWNER)].id.clone(),
                1 => (*random.pick(&SECTORS)).to_owned(),
                _ => (*random.pick(&GROUPS)).to_owned(),
            });
        }
        audience.sort_unstable();
        audience.dedup();
    }
    let values = (0..=random.below(2)).map(|place| watch(random, &mark, number, place)).collect();
    Event {
        seq: 0,
        reporter,
        tlp,
        pap: random.below(PAPS.len()),
        audience,
        named: random.percent(30),
        detect: random.percent(80),
        category: random.pick::<&str>(&CATEGORIES),
        sector: if random.percent(60) { random.pick::<&str>(&SECTORS) } else { "" },
        origin: random.pick::<&str>(&ORIGINS),
        values,
        far_side: random.percent(40).then(|| format!("46.{}.{}.9", 60 + number / 200, 1 + number % 200)),
        by_misp: false,
        early: false,
        mark,
    }
}

/// A value that no other event has.
fn watch(random: &mut Random, mark: &str, number: usize, place: usize) -> Watched {
    let role = if random.percent(60) { "attacker" } else { *random.pick(&["victim", "bystander"]) };
    let own = format!("{mark}v{place}");
    let named = |below: &str, lies| Watched { mark: own.clone(), kind: "domain", value: format!("{own}.{below}"), role, place: lies };
    match random.below(10) {
        0 => named("example.org", Place::Reserved),
        1 => named(BENIGN, Place::Listed),
        2 => named(PROTECTED, Place::Protected),
        3..=5 => {
            let address = format!("45.{}.{}.{}", 60 + number / 200, 1 + number % 200, 1 + place);
            Watched { mark: address.clone(), kind: "ipv4", value: address, role, place: Place::Anywhere }
        }
        6 => Watched { kind: "url", value: format!("http://{own}.net/login"), ..named("net", Place::Anywhere) },
        _ => named("net", Place::Anywhere),
    }
}

/// Sends events of one sender at once, and notes their places.
fn send<'a>(sender: &Client, events: impl Iterator<Item = &'a mut Event>) {
    let events: Vec<&mut Event> = events.collect();
    if events.is_empty() {
        return;
    }
    let bodies: Vec<Value> = events.iter().enumerate().map(|(number, event)| body(number, event)).collect();
    let taken = sender.events(&bodies);
    let (first, last) = (taken["first_seq"].as_u64().unwrap(), taken["last_seq"].as_u64().unwrap());
    assert_eq!((taken["accepted"].as_u64(), last - first + 1), (Some(bodies.len() as u64), bodies.len() as u64), "{taken}");
    for (number, event) in events.into_iter().enumerate() {
        event.seq = first + number as u64;
    }
}

fn body(number: usize, event: &Event) -> Value {
    let observables: Vec<Value> = event.values.iter().map(|value| json!({ "type": value.kind, "value": value.value, "role": value.role })).collect();
    let word = |what: &str| format!("{}{what}", event.mark);
    let mut body = json!({
        "time": ago(1_000 + number as u64), "category": event.category, "observables": observables, "tlp": TLPS[event.tlp], "pap": PAPS[event.pap],
        "origin": event.origin, "named": event.named, "detect": event.detect, "audience": event.audience,
        "malware": word("malware"), "id": word("id"), "note": word("note"), "internal": word("extra"),
    });
    if !event.sector.is_empty() {
        body["sector"] = json!(event.sector);
    }
    if let Some(far_side) = &event.far_side {
        body["dst_ip"] = json!(far_side);
    }
    body
}

/// An event of each marking through MISP's door, where there is one.
fn contribute_by_misp(client: &Client) -> Vec<Event> {
    if client.get("/misp/servers/getVersion").status == 404 {
        return Vec::new();
    }
    let contributed = (0..TLPS.len()).map(|tlp| {
        let mark = format!("zqmisp{tlp}");
        let value = Watched { mark: format!("{mark}v"), kind: "domain", value: format!("{mark}v.net"), role: "attacker", place: Place::Anywhere };
        let event = json!({
            "info": "a case", "distribution": "3", "published": true, "Tag": [{ "name": format!("tlp:{}", TLPS[tlp]) }, { "name": "rsit:fraud=\"phishing\"" }],
            "Attribute": [{ "type": "domain", "value": value.value, "to_ids": true }],
        });
        let answer = client.post("/misp/events/add", &event);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = eventually("what was published is among the events", || client.search(&format!("domain={}", value.value)).first().cloned());
        let (seq, pap) = (found["seq"].as_u64().unwrap(), PAPS.iter().position(|pap| found["pap"] == *pap).unwrap());
        Event { seq, mark, reporter: FIRST_COMPANY, tlp, pap, category: "phishing", sector: "", values: vec![value], by_misp: true, ..marker() }
    });
    contributed.collect()
}
