//! Every door against a model of the law of sight, written here anew from the table of the issue and read by brute force.
//!
//! Flow: a seed gives a nation of organisations, keys and events; for every pair of reader and event the model says what is seen;
//! search, one event, lookup and the live stream must say the same.
//! Invariant: the model reads every event for every question and shares no code with the hub.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use support::{Client, Hub, Random, ago};

const EVENTS: usize = 240;
const TLPS: [&str; 5] = ["clear", "green", "amber", "amber+strict", "red"];
const SECTORS: [&str; 4] = ["finance", "energy", "telecom", "health"];
const GROUPS: [&str; 2] = ["grp-banks", "grp-grid"];
const CATEGORIES: [&str; 8] = ["c2-server", "phishing", "scanner", "infected-system", "ddos", "data-leak", "vulnerable-system", "test"];
const ORIGINS: [&str; 5] = ["sensor", "manual", "honeypot", "sinkhole", "relayed"];
const ROLES: [&str; 3] = ["attacker", "victim", "bystander"];
/// Partners: without an agreement, with one that is over when it is asked, for amber, for amber+strict with names, for some of amber.
const PARTNERS: usize = 6;
const EXPIRES_AT_ONCE: usize = 1;
const AGREEMENTS: [Option<Agreement>; PARTNERS] = [
    None,
    None,
    Some(Agreement { covered: 2, categories: &[], sectors: &[], names: false }),
    Some(Agreement { covered: 3, categories: &[], sectors: &[], names: true }),
    Some(Agreement { covered: 3, categories: &["c2-server", "phishing", "ddos"], sectors: &[], names: false }),
    Some(Agreement { covered: 2, categories: &[], sectors: &["finance", "energy"], names: true }),
];
const MALWARE: [&str; 3] = ["Sinmul", "Norang", "Paran"];

struct Organisation {
    id: String,
    kind: &'static str,
    constituency: &'static str,
    sector: &'static str,
    groups: Vec<&'static str>,
    limited: bool,
    /// What a partner's agreement covers today.
    agreement: Option<Agreement>,
}

/// What is agreed with a partner.
#[derive(Clone, Copy)]
struct Agreement {
    /// The strictest marking, as its place in [`TLPS`]; never red.
    covered: usize,
    /// What lies above green must be of these; empty: anything.
    categories: &'static [&'static str],
    /// Which sectors it must name; empty: any or none.
    sectors: &'static [&'static str],
    /// Whether names of reporters pass.
    names: bool,
}

impl Agreement {
    fn covers(&self, event: &Event) -> bool {
        let of = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
        event.tlp <= self.covered && (event.tlp <= 1 || of(self.categories, event.category) && of(self.sectors, event.sector))
    }
}

struct Reader {
    name: String,
    organisation: usize,
    role: &'static str,
    red: bool,
    client: Client,
}

struct Event {
    seq: u64,
    number: usize,
    reporter: usize,
    tlp: usize,
    audience: Vec<String>,
    named: bool,
    category: &'static str,
    /// Empty where it names none.
    sector: &'static str,
    origin: &'static str,
    malware: &'static str,
    count: u64,
    confidence: u64,
    /// Value and role, as the contract gives it where the sender does not.
    values: Vec<(String, &'static str)>,
    /// The far side of the flow: the victim, the sinkhole or the honeypot.
    far_side: Option<String>,
}

/// What a reader sees of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sees {
    Nothing,
    WithoutReporter,
    WithReporter,
    AllButHoneypots,
    Everything,
}

struct Nation {
    organisations: Vec<Organisation>,
    readers: Vec<Reader>,
    events: Vec<Event>,
    values: Vec<String>,
}

#[test]
fn every_door_agrees_with_the_model_in_random_nations() {
    let first = support::setting("BONGSU_NATION", 1);
    for seed in first..first + support::setting("BONGSU_NATIONS", 2) {
        let hub = Hub::start();
        let nation = found(&hub, seed);
        let pairs = nation.readers.len() * nation.events.len();
        for reader in &nation.readers {
            check_reader(&nation, reader);
        }
        println!("nation {seed}: {pairs} pairs of reader and event, no difference");
        assert!(pairs > 5_000);
    }
}

fn check_reader(nation: &Nation, reader: &Reader) {
    let who = &reader.name;
    if ["reporter", "auditor"].contains(&reader.role) {
        let one = format!("/api/v1/events/{}", nation.events[0].seq);
        for path in ["/api/v1/events", "/api/v1/stream", &one] {
            assert!([403, 404].contains(&reader.client.status("GET", path, &[], None)), "{who}: {path}");
        }
        return;
    }
    let expected: Vec<&Event> = nation.events.iter().filter(|event| !visible(nation, reader, event).is_empty()).collect();
    let by_search = check_search(nation, reader, &expected);
    for event in &nation.events {
        let answer = reader.client.get(&format!("/api/v1/events/{}", event.seq));
        let seen = expected.iter().any(|other| other.seq == event.seq);
        assert_eq!(answer.status, if seen { 200 } else { 404 }, "{who}, event {}: {}", event.number, answer.text());
        if seen {
            check_content(nation, reader, event, &answer.json());
            assert_eq!(by_search[&event.seq], answer.json(), "{who}: search and event differ");
        }
    }
    check_stream(reader, &expected, &by_search);
    check_lookup(nation, reader);
}

/// Search without and with filters; gives what it found without.
fn check_search(nation: &Nation, reader: &Reader, expected: &[&Event]) -> BTreeMap<u64, Value> {
    let who = &reader.name;
    let found = reader.client.search("");
    let order: Vec<u64> = found.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let newest_first: Vec<u64> = expected.iter().rev().map(|event| event.seq).collect();
    assert_eq!(order, newest_first, "{who}: search");
    for malware in MALWARE {
        let with: Vec<u64> = expected.iter().rev().filter(|event| event.malware == malware).map(|event| event.seq).collect();
        assert_eq!(numbers(&reader.client.search(&format!("malware={malware}"))), with, "{who}: {malware}");
    }
    for category in CATEGORIES {
        let with: Vec<u64> = expected.iter().rev().filter(|event| event.category == category).map(|event| event.seq).collect();
        assert_eq!(numbers(&reader.client.search(&format!("category={category}"))), with, "{who}: {category}");
    }
    for value in &nation.values {
        // A value that is hidden from the reader must not be found by asking for it.
        let filter = if value.ends_with(".net") { format!("domain={value}") } else { format!("within={value}/32") };
        let holds = |event: &&&Event| visible(nation, reader, event).contains(&value.as_str());
        let with: Vec<u64> = expected.iter().rev().filter(holds).map(|event| event.seq).collect();
        assert_eq!(numbers(&reader.client.search(&filter)), with, "{who}: {filter}");
    }
    found.into_iter().map(|event| (event["seq"].as_u64().unwrap(), event)).collect()
}

/// Everything that may be there is, and nothing of what may not: not in any field.
fn check_content(nation: &Nation, reader: &Reader, event: &Event, answer: &Value) {
    let text = answer.to_string();
    let context = format!("{}, event {}: {text}", reader.name, event.number);
    let sees = sees(nation, reader, event);
    let seen = visible(nation, reader, event);
    let shown: BTreeSet<&str> = answer["observables"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap()).collect();
    assert_eq!(shown, seen.iter().copied().collect::<BTreeSet<_>>(), "values: {context}");
    for (value, _) in &event.values {
        assert!(seen.contains(&value.as_str()) || !text.contains(&format!("\"{value}\"")), "a hidden value: {context}");
    }
    if let Some(far_side) = &event.far_side {
        let shown = sees == Sees::Everything || (sees == Sees::AllButHoneypots && event.origin != "honeypot");
        assert_eq!(text.contains(far_side.as_str()), shown, "the far side: {context}");
    }
    let named = matches!(sees, Sees::WithReporter | Sees::AllButHoneypots | Sees::Everything);
    assert_eq!(text.contains(&nation.organisations[event.reporter].id), named, "the reporter: {context}");
    assert_eq!(text.contains(&format!("note of {} end", event.number)), named, "the note: {context}");
    assert_eq!(text.contains(&format!("id-{}-end", event.number)), named, "the sender's id: {context}");
    let whole = matches!(sees, Sees::AllButHoneypots | Sees::Everything);
    assert_eq!(text.contains(&format!("extra of {} end", event.number)), whole, "extra: {context}");
}

fn check_stream(reader: &Reader, expected: &[&Event], by_search: &BTreeMap<u64, Value>) {
    let mut stream = reader.client.stream("from=0", &[]);
    for event in expected {
        let (seq, content) = stream.next_event().expect("the stream goes on");
        assert_eq!(seq, event.seq, "{}: stream", reader.name);
        assert_eq!(by_search[&seq], content, "{}: stream and search differ", reader.name);
    }
}

fn check_lookup(nation: &Nation, reader: &Reader) {
    let values: Vec<&str> = nation.values.iter().map(String::as_str).collect();
    for (value, answer) in values.iter().zip(reader.client.lookup(&values)) {
        let context = format!("{}, {value}: {answer}", reader.name);
        let kind = if value.ends_with(".net") { "domain" } else { "ipv4" };
        let one = reader.client.observable(kind, value);
        let rows: Vec<&Event> = nation.events.iter().filter(|event| visible(nation, reader, event).contains(value)).collect();
        if rows.is_empty() {
            assert!(answer.is_null() && one.status == 404, "known to exist: {context}");
            continue;
        }
        assert_eq!(one.json(), answer, "lookup and bulk lookup differ: {context}");
        assert_eq!(answer["events"], rows.len() as u64, "events: {context}");
        assert_eq!(answer["count"], rows.iter().map(|event| event.count).sum::<u64>(), "count: {context}");
        assert_eq!(answer["confidence"], rows.iter().map(|event| event.confidence).max().unwrap(), "confidence: {context}");
        assert_eq!(answer["tlp"], TLPS[rows.iter().map(|event| event.tlp).max().unwrap()], "tlp: {context}");
        assert_eq!(words(&answer["categories"]), rows.iter().map(|event| event.category).collect::<BTreeSet<_>>(), "categories: {context}");
        assert_eq!(words(&answer["malware"]), rows.iter().map(|event| event.malware).collect::<BTreeSet<_>>(), "malware: {context}");
        assert_eq!(answer["reporters"], reporters(nation, reader, &rows), "reporters: {context}");
        let beside: BTreeSet<&str> = rows.iter().flat_map(|event| visible(nation, reader, event)).filter(|other| other != value).collect();
        let related: BTreeSet<&str> = answer["related"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap()).collect();
        assert!(related.is_subset(&beside), "related: {context}");
    }
}

/// How many reporters an answer may show: relayed events have none, and under three the number is withheld with the names.
fn reporters(nation: &Nation, reader: &Reader, rows: &[&Event]) -> Value {
    let own: Vec<&&Event> = rows.iter().filter(|event| event.origin != "relayed").collect();
    let distinct: BTreeSet<usize> = own.iter().map(|event| event.reporter).collect();
    let withheld = own.iter().any(|event| sees(nation, reader, event) == Sees::WithoutReporter);
    if withheld && distinct.len() < 3 { json!("<3") } else { json!(distinct.len()) }
}

/// The law of sight, from the table.
fn sees(nation: &Nation, reader: &Reader, event: &Event) -> Sees {
    let (organisation, sender) = (&nation.organisations[reader.organisation], &nation.organisations[event.reporter]);
    if reader.organisation == event.reporter {
        return Sees::Everything;
    }
    if event.category == "test" {
        return Sees::Nothing;
    }
    let red = event.tlp == 4;
    let authority = reader.role == "authority" && !sender.constituency.is_empty() && organisation.constituency == sender.constituency;
    if reader.role == "coordinator" || authority {
        return if red && !reader.red { Sees::Nothing } else { Sees::AllButHoneypots };
    }
    let addressed = event.audience.iter().any(|id| *id == organisation.id || id == organisation.sector || organisation.groups.contains(&id.as_str()));
    if !event.audience.is_empty() && !addressed {
        return Sees::Nothing;
    }
    let partner = organisation.kind == "partner";
    let received = match event.tlp {
        0 | 1 => true,
        _ if partner => organisation.agreement.is_some_and(|agreement| agreement.covers(event)),
        _ => !organisation.limited,
    };
    if !received || (red && !(reader.red && addressed)) {
        return Sees::Nothing;
    }
    let names = !partner || organisation.agreement.is_some_and(|agreement| agreement.names);
    if event.named && names { Sees::WithReporter } else { Sees::WithoutReporter }
}

/// The values of an event that a reader sees; none where the event is hidden.
fn visible<'a>(nation: &Nation, reader: &Reader, event: &'a Event) -> Vec<&'a str> {
    let honeypot = event.origin == "honeypot";
    let shown = |role: &str| match sees(nation, reader, event) {
        Sees::Nothing => false,
        Sees::Everything => true,
        Sees::AllButHoneypots => role == "attacker" || !honeypot,
        Sees::WithoutReporter | Sees::WithReporter => role == "attacker" || (role == "bystander" && !honeypot),
    };
    event.values.iter().filter(|(_, role)| shown(role)).map(|(value, _)| value.as_str()).collect()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Makes a nation: organisations of every kind, keys of every role, events of every marking.
fn found(hub: &Hub, seed: u64) -> Nation {
    let mut random = Random::new(seed);
    let organisations = organisations(hub, &mut random);
    let readers = readers(hub, &organisations);
    let senders: BTreeMap<usize, Client> =
        (0..organisations.len() - 1).map(|number| (number, hub.client(&hub.key(&organisations[number].id, "reporter")))).collect();
    let mut values: Vec<String> = (1..=14).map(|number| format!("185.77.{}.{number}", seed % 200)).collect();
    values.extend((1..=6).map(|number| format!("name{number}-{seed}.net")));
    let mut events = Vec::new();
    for number in 0..EVENTS {
        let mut event = draw(&mut random, number, &organisations, &values);
        if number + 1 == EVENTS {
            // The last is for everyone, so that a reader of the stream knows where it ends.
            event = Event { tlp: 0, audience: Vec::new(), category: "c2-server", origin: "sensor", values: vec![(values[0].clone(), "attacker")], ..event };
        }
        events.push(send(event, &senders, &mut random));
    }
    // What was agreed until a moment ago is over when it is asked.
    std::thread::sleep(std::time::Duration::from_secs(2));
    Nation { organisations, readers, events, values }
}

fn organisations(hub: &Hub, random: &mut Random) -> Vec<Organisation> {
    let kinds: [(&'static str, &'static str, usize); 8] = [
        ("authority", "private", 1),
        ("authority", "public", 1),
        ("authority", "defence", 1),
        ("company", "private", 5),
        ("agency", "public", 3),
        ("agency", "defence", 1),
        ("cert", "private", 1),
        ("partner", "", PARTNERS),
    ];
    let mut organisations = Vec::new();
    for (kind, constituency, number) in kinds {
        for place in 0..number {
            let partner = kind == "partner";
            let sector = if partner { "" } else { random.pick(&SECTORS) };
            let id = hub.organisation(&format!("{kind} {constituency} {place}"), kind, constituency, sector);
            let groups: Vec<&'static str> = GROUPS.into_iter().filter(|_| random.percent(40)).collect();
            let limited = kind == "company" && place == 0;
            let agreement = AGREEMENTS.get(place).copied().flatten().filter(|_| partner);
            let mut patch = json!({ "groups": groups });
            if let Some(Agreement { covered, categories, sectors, names }) = agreement {
                patch["agreement"] = json!({
                    "max_tlp": TLPS[covered.min(2)], "strict": covered > 2, "categories": categories, "sectors": sectors, "names": names,
                    "expires": "2090-01-01T00:00:00Z",
                });
            } else if partner && place == EXPIRES_AT_ONCE {
                patch["agreement"] = json!({ "max_tlp": "amber", "names": true, "expires": support::now() + 2 });
            }
            if limited {
                patch["standing"] = json!("receive-limited");
            }
            hub.change_organisation(&id, &patch);
            organisations.push(Organisation { id, kind, constituency, sector, groups, limited, agreement });
        }
    }
    organisations.push(Organisation {
        id: hub.own_organisation(),
        kind: "hub",
        constituency: "",
        sector: "",
        groups: Vec::new(),
        limited: false,
        agreement: None,
    });
    organisations
}

fn readers(hub: &Hub, organisations: &[Organisation]) -> Vec<Reader> {
    let mut readers = Vec::new();
    for (number, organisation) in organisations.iter().enumerate() {
        let roles: &[&'static str] = match organisation.kind {
            "hub" => &["coordinator"],
            "authority" => &["authority", "analyst"],
            "company" => &["analyst", "member-admin", "reporter", "auditor"],
            _ => &["reader"],
        };
        for role in roles {
            for red in [false, true] {
                let (_, key) = hub.key_with(&organisation.id, &json!({ "role": role, "red": red }));
                let name = format!("{role}{} of {} {number}", if red { ", red," } else { "" }, organisation.kind);
                readers.push(Reader { name, organisation: number, role, red, client: hub.client(&key) });
            }
        }
    }
    readers
}

fn draw(random: &mut Random, number: usize, organisations: &[Organisation], values: &[String]) -> Event {
    // The hub's own desk sends nothing here: its constituency is a matter of its own.
    let reporter = random.below(organisations.len() - 1);
    let mut audience = Vec::new();
    let tlp = random.below(TLPS.len());
    if random.percent(if tlp == 4 { 80 } else { 30 }) {
        for _ in 0..=random.below(2) {
            let other = (reporter + 1 + random.below(organisations.len() - 2)) % (organisations.len() - 1);
            audience.push(match random.below(3) {
                0 => organisations[other].id.clone(),
                1 => (*random.pick(&SECTORS)).to_owned(),
                _ => (*random.pick(&GROUPS)).to_owned(),
            });
        }
        audience.sort_unstable();
        audience.dedup();
        audience.retain(|id| *id != organisations[reporter].id);
    }
    let category = *random.pick(&CATEGORIES);
    let mut taken = BTreeSet::new();
    let mut drawn: Vec<(String, &'static str)> = Vec::new();
    for _ in 0..=random.below(2) {
        let value = random.pick(values).clone();
        let role = if random.percent(30) { *random.pick(&ROLES) } else { default_role(category, &value) };
        if taken.insert(value.clone()) {
            drawn.push((value, role));
        }
    }
    Event {
        seq: 0,
        number,
        reporter,
        tlp,
        audience,
        named: random.percent(25),
        category,
        sector: if random.percent(60) { random.pick::<&str>(&SECTORS) } else { "" },
        origin: random.pick::<&str>(&ORIGINS),
        malware: random.pick::<&str>(&MALWARE),
        count: 1 + random.below(5) as u64,
        confidence: random.below(101) as u64,
        values: drawn,
        far_side: random.percent(30).then(|| format!("203.99.{}.{}", number / 250, number % 250)),
    }
}

/// The default of the contract: who suffers in these classes is the victim.
fn default_role(category: &str, value: &str) -> &'static str {
    let address = !value.ends_with(".net");
    match category {
        "data-leak" | "vulnerable-system" => "victim",
        "infected-system" | "ddos" if address => "victim",
        _ => "attacker",
    }
}

fn send(mut event: Event, senders: &BTreeMap<usize, Client>, random: &mut Random) -> Event {
    let observables: Vec<Value> = event
        .values
        .iter()
        .map(|(value, role)| {
            // Where the role is the default, leave it to the hub half of the time.
            let kind = if value.ends_with(".net") { "domain" } else { "ipv4" };
            let stated = *role != default_role(event.category, value) || random.percent(50);
            if stated { json!({ "type": kind, "value": value, "role": role }) } else { json!({ "type": kind, "value": value }) }
        })
        .collect();
    let number = event.number;
    let mut body = json!({
        "time": ago(1_000 + number as u64), "category": event.category, "observables": observables, "tlp": TLPS[event.tlp],
        "origin": event.origin, "named": event.named, "malware": event.malware, "count": event.count, "confidence": event.confidence,
        "id": format!("id-{number}-end"), "note": format!("note of {number} end"), "internal": format!("extra of {number} end"),
    });
    if !event.sector.is_empty() {
        body["sector"] = json!(event.sector);
    }
    if !event.audience.is_empty() {
        body["audience"] = json!(event.audience);
    }
    if let Some(far_side) = &event.far_side {
        body["dst_ip"] = json!(far_side);
    }
    let taken = senders[&event.reporter].events(&[body]);
    assert_eq!(taken["accepted"], 1, "{taken}");
    event.seq = taken["first_seq"].as_u64().unwrap();
    event
}
