//! Six things the hub must never do, or must always do for a member; each stated as a test.
//!
//! Not here: the whole law of sight (`policy_doors`), who may call what (`authorisation`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::{Client, Hub, Stream, ago};

/// Every answer of every door that a reader gets for these values and this event, as one text.
fn everything(reader: &Client, seq: u64, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut add = |answer: support::Answer| {
        text.push_str(&answer.text());
        text.push_str(&format!("{:?}", answer.headers));
    };
    let mut paths =
        vec![format!("/api/v1/events/{seq}"), "/api/v1/events?limit=1000".to_owned(), "/api/v1/organisations".to_owned(), "/api/v1/status".to_owned()];
    for (kind, value) in values {
        paths.push(format!("/api/v1/observables/{kind}/{}", support::escape(value)));
    }
    for path in paths {
        add(reader.get(&path));
    }
    let all: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
    add(reader.post("/api/v1/observables/lookup", &json!({ "values": all })));
    text
}

/// The events of a stream up to a marker that everyone may see.
fn until_marker(mut stream: Stream, marker: u64) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some((seq, event)) = stream.next_event() {
        if seq == marker {
            return events;
        }
        events.push(event);
    }
    panic!("the stream ended before the marker");
}

#[test]
fn no_reporter_is_named_without_leave() {
    let hub = Hub::start();
    let organisation = hub.organisation("Quiet Reporter Ltd", "company", "private", "finance");
    let sender = hub.client(&hub.key(&organisation, "analyst"));
    let reader = hub.member("Reader", "analyst");
    let taken = sender.events(&[
        json!({ "time": ago(60), "category": "phishing", "value": "quiet.net", "tlp": "green", "id": "quiet-id", "note": "quiet note", "own_field": "quiet extra" }),
    ]);
    let first = taken["first_seq"].as_u64().unwrap();
    let text = everything(&reader, first, &[("domain", "quiet.net")]);
    let quiet: Vec<Value> = reader.search("domain=quiet.net");
    for event in quiet.iter().map(Value::to_string).chain([text]) {
        for secret in ["quiet-id", "quiet note", "quiet extra", "Quiet Reporter"] {
            assert!(!event.contains(secret), "{secret} is shown: {event}");
        }
    }
    assert!(!quiet[0].to_string().contains(&organisation), "{}", quiet[0]);
    let named = sender.events(&[json!({ "time": ago(60), "category": "phishing", "value": "loud.net", "tlp": "green", "named": true, "id": "loud-id" })]);
    let last = named["last_seq"].as_u64().unwrap();
    let loud = reader.get(&format!("/api/v1/events/{last}")).text();
    assert!(loud.contains(&organisation) && loud.contains("loud-id"), "leave was given: {loud}");
    assert_eq!(reader.observable("domain", "quiet.net").json()["reporters"], "<3");
}

#[test]
fn a_groups_leave_names_a_reporter_to_its_members_and_to_nobody_else() {
    let hub = Hub::start();
    let member = |name: &str, groups: Value| {
        let id = hub.organisation(name, "company", "private", "finance");
        hub.change_organisation(&id, &json!({ "groups": groups }));
        (hub.client(&hub.key(&id, "analyst")), id)
    };
    let (sender, reporter) = member("Quiet Reporter Ltd", json!(["grp-banks", "grp-grid"]));
    let (inside, _) = member("Inside", json!(["grp-banks"]));
    let (outside, _) = member("Outside", json!(["grp-other"]));
    let event = |value: &str, audience: Value| json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": "green", "audience": audience });
    let taken = sender.events(&[event("inner.net", json!(["grp-banks"])), event("mixed.net", json!(["grp-banks", "grp-grid"])), event("open.net", json!([]))]);
    let first = taken["first_seq"].as_u64().unwrap();
    let named = |reader: &Client, at: u64| reader.get(&format!("/api/v1/events/{at}")).text().contains(&reporter);
    let coordinator = hub.coordinator();
    let group = json!({ "id": "grp-banks", "title": "Banks", "named": true });
    assert_eq!(coordinator.post("/api/v1/groups", &group).status, 422, "leave needs a reason");
    assert!(!named(&inside, first), "without a record a group permits nothing");
    assert_eq!(inside.get("/api/v1/groups/grp-banks").status, 404);

    let group = json!({ "id": "grp-banks", "title": "Banks", "named": true, "reason": "agreed by all members" });
    let added = coordinator.post("/api/v1/groups", &group);
    assert_eq!(added.status, 201, "{}", added.text());
    assert!(named(&inside, first));
    assert_eq!(inside.observable("domain", "inner.net").json()["reporters"], 1);
    assert_eq!(outside.get(&format!("/api/v1/events/{first}")).status, 404);
    // The other group gives no leave, and the last event is for everyone.
    assert!(!named(&inside, first + 1) && !named(&inside, first + 2) && !named(&outside, first + 2));
    assert_eq!(inside.observable("domain", "mixed.net").json()["reporters"], "<3");
    assert_eq!((inside.get("/api/v1/groups/grp-banks").status, outside.get("/api/v1/groups/grp-banks").status), (200, 404));
    assert_eq!(inside.get("/api/v1/groups/grp-banks").json()["members"].as_array().unwrap().len(), 1, "members are not told of each other");

    let back = json!({ "version": 1, "named": false });
    assert_eq!(inside.patch("/api/v1/groups/grp-banks", &back).status, 403);
    assert_eq!(coordinator.patch("/api/v1/groups/grp-banks", &back).json()["version"], 2);
    assert!(!named(&inside, first));
    assert_eq!(coordinator.get("/api/v1/groups/grp-banks/history").json()["history"].as_array().unwrap().len(), 2);
}

#[test]
fn no_victim_is_in_any_answer_to_a_stranger() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"));
    let event = |value: &str| {
        json!({
            "time": ago(60), "category": "data-leak", "tlp": "green", "dst_ip": "203.0.114.77", "target": { "ip": "203.0.114.78" },
            "observables": [{ "type": "domain", "value": "thief.net", "role": "attacker" }, value, { "type": "phone", "value": "+82-10-5555-7777" }]
        })
    };
    let first = sender.events(&[event("kim.victim@firm.co.kr")])["first_seq"].as_u64().unwrap();
    let marker = sender.events(&[json!({ "time": ago(60), "category": "scanner", "value": "185.3.3.3", "tlp": "green" })])["first_seq"].as_u64().unwrap();
    let values = [("email", "kim.victim@firm.co.kr"), ("ipv4", "203.0.114.77"), ("domain", "thief.net")];
    let mut text = everything(&reader, first, &values[2..]);
    text.push_str(&format!("{:?}", until_marker(reader.stream("from=0", &[]), marker)));
    for filter in ["domain=firm.co.kr", "type=email", "type=phone", "within=203.0.114.0/24", "value=kim.victim@firm.co.kr", "value=%2B821055557777"] {
        assert!(reader.search(filter).is_empty(), "{filter}");
    }
    assert_eq!((reader.search("value=thief.net").len(), sender.search("value=kim.victim@firm.co.kr").len()), (1, 1));
    assert!(text.contains("thief.net"));
    for victim in ["kim.victim", "firm.co.kr", "203.0.114", "5555"] {
        assert!(!text.contains(victim), "{victim} is shown: {text}");
    }
    for (kind, value) in &values[..2] {
        assert_eq!(reader.observable(kind, value).status, 404, "{value}");
    }
    assert_eq!(sender.observable("email", "kim.victim@firm.co.kr").status, 200, "its reporter finds it");
    assert!(sender.get(&format!("/api/v1/events/{first}")).text().contains("kim.victim"));
}

#[test]
fn no_count_order_or_error_betrays_what_is_hidden() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"));
    let other = hub.organisation("Audience", "company", "private", "energy");
    let event = |tlp: &str| json!({ "time": ago(60), "category": "scanner", "value": "185.4.4.4", "tlp": tlp, "malware": "Betrayed", "confidence": 10 });
    sender.events(&[event("green"), event("green")]);
    let before = (reader.observable("ipv4", "185.4.4.4").json(), reader.search("malware=Betrayed"));
    let mut hidden = event("amber");
    hidden["audience"] = json!([other]);
    hidden["confidence"] = json!(99);
    let mut test = event("clear");
    test["category"] = json!("test");
    let hidden = sender.events(&[hidden, event("red"), test])["first_seq"].as_u64().unwrap();
    let after = (reader.observable("ipv4", "185.4.4.4").json(), reader.search("malware=Betrayed"));
    assert_eq!(before, after);
    let never = 9_007_199_254_740_991_u64 - 5;
    let pairs = [
        (reader.get(&format!("/api/v1/events/{hidden}")), reader.get(&format!("/api/v1/events/{never}"))),
        (reader.post(&format!("/api/v1/events/{hidden}/amend"), &event("green")), reader.post(&format!("/api/v1/events/{never}/amend"), &event("green"))),
        (
            reader.post("/api/v1/events/withdraw", &json!({ "seq": hidden, "reason": "x" })),
            reader.post("/api/v1/events/withdraw", &json!({ "seq": never, "reason": "x" })),
        ),
    ];
    for (known, unknown) in pairs {
        let strip = |text: String| text.replace(&hidden.to_string(), "N").replace(&never.to_string(), "N");
        assert_eq!((known.status, strip(known.text())), (unknown.status, strip(unknown.text())));
        assert_eq!(known.status, 404);
    }
}

/// A key that a person holds, as erasures ask for.
fn person(hub: &Hub, organisation: &str, role: &str, holder: &str) -> Client {
    hub.client(&hub.key_with(organisation, &json!({ "role": role, "holder": holder })).1)
}

/// A value that an erasure is asked for, and the ways in which others write it.
const ERASED: &str = "erase.me.lee@household.kr";
const SPELLINGS: [&str; 4] = [ERASED, "ERASE.ME.LEE@HOUSEHOLD.KR", "erase[.]me[.]lee[at]household[.]kr", "erase.me.lee%40household.kr"];

/// Events of another line that mention the value in every text there is, in every format.
fn mention(other: &Client) {
    let [plain, upper, defanged, escaped] = SPELLINGS;
    let mut event = json!({ "time": ago(60), "category": "c2-server", "value": "185.7.7.1", "tlp": "green", "id": format!("case {plain}") });
    event["note"] = json!(format!("mail of {upper}."));
    event["own_field"] = json!({ "to": [defanged], "link": format!("http://shop.kr/?u={escaped}") });
    event["original"] = json!(format!("({defanged})"));
    other.events(&[event]);
    let csv = format!("time,category,value,note\n{},phishing,csv-mention.net,\"from {upper}, again\"\n", ago(60));
    let list = format!("list-mention.net # told by {plain}\n");
    let stix = json!({ "type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56e", "objects": [{
        "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3e", "description": format!("sent to {upper}"),
        "created": "2026-01-05T08:00:00.000Z", "modified": "2026-01-05T08:00:00.000Z", "valid_from": "2026-01-05T08:00:00Z",
        "indicator_types": ["malicious-activity"], "pattern_type": "stix", "pattern": "[domain-name:value = 'stix-mention.net']"
    }] });
    let misp = json!({ "Event": { "info": "campaign", "date": "2026-01-05", "uuid": "5a3e0b5c-6d2c-4d3f-9f41-0a8f02de0b91", "Attribute": [{
        "type": "domain", "category": "Network activity", "to_ids": true, "value": "misp-mention.net", "comment": format!("sent to {defanged}"),
        "timestamp": "1767600000", "uuid": "5a3e0b5c-6d2c-4d3f-9f41-0a8f02de0b92"
    }] } });
    for (media_type, body) in
        [("text/csv", csv), ("text/plain", list), ("application/stix+json", stix.to_string()), ("application/x-misp+json", misp.to_string())]
    {
        let answer = other.submit(media_type, body.as_bytes());
        assert!(answer.status == 200 && answer.json()["accepted"] == 1, "{media_type}: {}", answer.text());
    }
}

/// What must be after an erasure as it was before.
fn counts_around(hub: &Hub, other: &Client) -> Vec<Value> {
    let mut counts = vec![hub.coordinator().get("/api/v1/status").json()["ledger"]["events"].clone()];
    for (kind, value) in
        [("domain", "stays.net"), ("ipv4", "185.7.7.1"), ("domain", "csv-mention.net"), ("domain", "stix-mention.net"), ("domain", "misp-mention.net")]
    {
        let known = other.observable(kind, value).json();
        counts.extend(["events", "count", "reporters", "state"].map(|field| known[field].clone()));
    }
    counts
}

#[test]
fn erasure_by_two_people_leaves_no_byte_of_the_value_in_any_file() {
    let mut hub = Hub::start();
    let authority = hub.organisation("Authority", "authority", "private", "government");
    let agency = hub.organisation("Agency", "agency", "public", "government");
    let [first, same, second] = ["Kim Jiwoo", " kim  JIWOO", "Park Minseo"].map(|holder| person(&hub, &authority, "authority", holder));
    let (sender, other) = (hub.member("Sender", "analyst"), hub.client(&hub.key(&agency, "analyst")));
    let taken = sender.events(&[json!({
        "time": ago(60), "category": "data-leak", "tlp": "green", "id": "erasable", "note": format!("mailbox of {}", SPELLINGS[1]), "own_field": SPELLINGS[2],
        "original": SPELLINGS[3], "observables": [ERASED, { "type": "domain", "value": "stays.net", "role": "attacker" }]
    })]);
    let csv = format!("time,category,value,note\n{},data-leak,{ERASED},{}\n", ago(60), SPELLINGS[2]);
    assert_eq!(sender.submit("text/csv", csv.as_bytes()).json()["accepted"], 1);
    mention(&other);
    assert_eq!(sender.observable("email", ERASED).json()["events"], 2);
    // A claim whose note and whose decision mention the value.
    let claim = json!({ "kind": "false-positive", "note": format!("that is {}", SPELLINGS[1]) });
    let claimed = other.post("/api/v1/observables/domain/stays.net/sightings", &claim);
    assert!([200, 201].contains(&claimed.status), "{}", claimed.text());
    let claim = first.get("/api/v1/claims").json()["claims"][0]["id"].as_str().unwrap().to_owned();
    let decided = first.post(&format!("/api/v1/claims/{claim}/steps"), &json!({ "step": "reject", "reason": format!("not {}", SPELLINGS[2]) }));
    assert_eq!(decided.status, 200, "{}", decided.text());
    // A restart, so that what is kept in memory alone has been written too.
    assert!(hub.terminate().0.success());
    hub.restart();
    let before = counts_around(&hub, &other);

    let request = json!({ "type": "email", "value": ERASED, "basis": "PIPA article 36" });
    let nobody = hub.coordinator().post("/api/v1/erasures", &request);
    assert!(nobody.status == 403 && nobody.text().contains("--holder"), "a key without a holder is nobody's: {}", nobody.text());
    let asked = first.post("/api/v1/erasures", &request);
    assert!([200, 201].contains(&asked.status), "{}", asked.text());
    assert!(!asked.text().contains(ERASED), "the request does not repeat the value: {}", asked.text());
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/erasures/{id}/steps");
    for alone in [&first, &same, &hub.coordinator()] {
        let alone = alone.post(&path, &json!({ "step": "confirm" }));
        assert_eq!(alone.status, 403, "one person is not enough, with however many keys: {}", alone.text());
    }
    assert_eq!(sender.observable("email", ERASED).status, 200, "nothing happens before the second person confirms");
    let done = second.post(&path, &json!({ "step": "confirm" }));
    assert_eq!(done.status, 200, "{}", done.text());
    for client in [&sender, &first] {
        assert_eq!(client.observable("email", ERASED).status, 404);
    }
    assert_eq!(counts_around(&hub, &other), before);
    let event = sender.get(&format!("/api/v1/events/{}", taken["first_seq"]));
    assert!(event.status == 200 && event.text().contains("stays.net") && !event.text().contains(ERASED), "{}", event.text());
    let claims = first.get("/api/v1/claims").text();
    assert!(claims.contains("[erased]") && claims.contains("stays.net"), "{claims}");
    assert!(hub.terminate().0.success());
    let data = hub.data.to_str().unwrap().to_owned();
    for step in ["before", "after the rebuild"] {
        let all = files(hub.scratch());
        let holding: Vec<(&str, &PathBuf)> =
            SPELLINGS.iter().flat_map(|spelling| all.iter().filter(move |file| holds(file, spelling)).map(move |file| (*spelling, file))).collect();
        assert!(holding.is_empty(), "{step}: {holding:?}");
        for command in ["verify", "rebuild"] {
            let output = support::offline(&[command, "--data", &data]);
            assert!(output.status.success(), "{command}: {}", support::said(&output));
        }
    }
    hub.restart();
    assert_eq!(sender.observable("email", ERASED).status, 404);
    assert_eq!(counts_around(&hub, &other), before);
}

#[test]
fn resident_numbers_are_masked_before_anything_is_kept() {
    // A made-up number with a valid date and check digit.
    const NUMBER: &str = "850315-1234561";
    let mut hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let taken = sender.events(&[json!({
        "time": ago(60), "category": "data-leak", "value": "dump.net", "role": "attacker", "note": format!("holds {NUMBER} of a customer"), "seen": NUMBER
    })]);
    let text = sender.get(&format!("/api/v1/events/{}", taken["first_seq"])).text();
    assert!(text.contains("of a customer") && !text.contains("1234561"), "{text}");
    assert!(hub.terminate().0.success());
    let holding: Vec<PathBuf> = files(hub.scratch()).into_iter().filter(|file| holds(file, "1234561")).collect();
    assert!(holding.is_empty(), "{holding:?}");
}

#[test]
fn relayed_feeds_confirm_nothing() {
    let hub = Hub::start();
    let (first, second) = (hub.member("First", "analyst"), hub.member("Second", "analyst"));
    let event = |origin: &str| json!({ "time": ago(60), "category": "c2-server", "value": "185.5.5.5", "tlp": "green", "origin": origin });
    let taken = first.events(&[event("sensor")]);
    let receipt = format!("/api/v1/receipts/{}", taken["receipt"].as_str().unwrap());
    second.events(&[event("relayed"), event("relayed")]);
    assert_eq!(second.submit("text/plain", b"185.5.5.5\n").status, 200);
    assert_eq!((&first.get(&receipt).json()["confirmed"], &first.observable("ipv4", "185.5.5.5").json()["reporters"]), (&json!(0), &json!(1)));
    second.events(&[event("honeypot")]);
    assert_eq!(first.get(&receipt).json()["confirmed"], 1, "an instrument's own observation does");
}

#[test]
fn a_members_data_is_handed_back_whole() {
    let hub = Hub::start();
    let organisation = hub.organisation("Member", "company", "private", "finance");
    let key = hub.key(&organisation, "analyst");
    let (sender, other) = (hub.client(&key), hub.member("Other", "analyst"));
    let event = |number: u32| {
        json!({
            "time": ago(60), "category": if number.is_multiple_of(3) { "test" } else { "data-leak" }, "id": format!("mine-{number}"), "note": format!("note {number}"),
            "own_field": { "kept": number }, "tlp": if number.is_multiple_of(2) { "red" } else { "clear" }, "count": 3, "dst_ip": "203.0.114.9",
            "observables": [format!("victim{number}@firm.kr"), { "type": "domain", "value": format!("d{number}.net"), "role": "attacker" }]
        })
    };
    let sent: Vec<Value> = (0..1_500).map(event).collect();
    sender.events(&sent);
    other.events(&[json!({ "time": ago(60), "category": "phishing", "value": "not-mine.net", "tlp": "clear" })]);
    let output = hub.command(&key, &["export", "--mine", "--format", "ndjson", "--out", "mine.ndjson"], None);
    assert!(output.status.success(), "{}", support::said(&output));
    let text = std::fs::read_to_string(hub.scratch().join("mine.ndjson")).unwrap();
    let mut back: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    back.sort_by_key(|event| event["id"].as_str().unwrap().trim_start_matches("mine-").parse::<u32>().unwrap());
    assert_eq!(back.len(), sent.len());
    for (back, sent) in back.iter().zip(&sent) {
        for field in ["id", "category", "note", "tlp", "count", "dst_ip"] {
            assert_eq!(back[field], sent[field], "{field}: {back}");
        }
        let text = back.to_string();
        assert!(text.contains(sent["observables"][0].as_str().unwrap()), "its victims: {text}");
        assert!(text.contains("own_field"), "its own fields: {text}");
    }
    // What came back goes in again unchanged, and is known to have been there.
    let again = hub.command(&key, &["submit", "--format", "ndjson", "mine.ndjson"], None);
    assert_eq!(support::counts(&again).merged, 1_500, "{}", support::said(&again));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Whether a file holds a text as it stands, or inside what is compressed with zstd in it.
fn holds(file: &Path, text: &str) -> bool {
    const ZSTD_FRAME: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    let bytes = std::fs::read(file).unwrap();
    if contains(&bytes, text.as_bytes()) {
        return true;
    }
    let mut starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == ZSTD_FRAME).map(|(place, _)| place);
    starts.any(|place| {
        let mut plain = Vec::new();
        let decoder = zstd::Decoder::with_buffer(&bytes[place..]).map(zstd::Decoder::single_frame);
        // What follows a frame is not its own; the part that could be read is what counts.
        let _ = decoder.and_then(|mut decoder| std::io::copy(&mut decoder, &mut plain));
        contains(&plain, text.as_bytes())
    })
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
