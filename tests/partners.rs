//! Partners from outside: what an agreement shows, hands over and takes, from its beginning to its end.
//!
//! Not here: every pair of reader and event (`policy_doors`), hubs that pull from each other, who may call what (`authorisation`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::{Answer, Client, Hub, ago, ndjson, said};

const MEDIA: &str = "application/taxii+json;version=2.1";
const ROOT: &str = "/taxii2/main";
/// How long what was submitted or agreed may take to show in a collection.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(30);

/// A hub with a member that sends, and two partners.
struct World {
    hub: Hub,
    member: Client,
    first: Partner,
    second: Partner,
}

struct Partner {
    id: String,
    client: Client,
}

impl Partner {
    fn new(hub: &Hub, name: &str) -> Self {
        let id = hub.organisation(name, "partner", "", "");
        let client = hub.client(&hub.key(&id, "analyst"));
        Self { id, client }
    }

    fn title(&self) -> String {
        format!("agreement-{}", self.id)
    }

    fn path(&self) -> String {
        format!("/api/v1/organisations/{}/agreement", self.id)
    }
}

impl World {
    fn start() -> Self {
        let hub = Hub::start();
        let member = hub.member("Member", "analyst");
        let (first, second) = (Partner::new(&hub, "CERT of the North"), Partner::new(&hub, "CERT of the South"));
        Self { hub, member, first, second }
    }

    fn agree(&self, partner: &Partner, agreement: &Value) -> Value {
        let coordinator = self.hub.coordinator();
        let mut body = agreement.clone();
        body["version"] = coordinator.get(&partner.path()).json()["version"].clone();
        body["reason"] = json!("signed");
        let answer = put(&coordinator, &partner.path(), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn end(&self, partner: &Partner) {
        let coordinator = self.hub.coordinator();
        let version = coordinator.get(&partner.path()).json()["version"].clone();
        let body = serde_json::to_vec(&json!({ "version": version, "reason": "not renewed" })).unwrap();
        let answer = coordinator.request("DELETE", &partner.path(), &[("content-type", "application/json")], Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn put(client: &Client, path: &str, body: &Value) -> Answer {
    client.request("PUT", path, &[("content-type", "application/json")], Some(&serde_json::to_vec(body).unwrap()))
}

fn event(value: &str, tlp: &str) -> Value {
    json!({ "time": ago(600), "category": "c2-server", "value": value, "tlp": tlp })
}

fn with(mut event: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn titles(client: &Client) -> Vec<String> {
    let all = client.get(&format!("{ROOT}/collections/")).json();
    all["collections"].as_array().unwrap().iter().map(|collection| collection["title"].as_str().unwrap().to_owned()).collect()
}

/// Values of a collection by whether they stand, from the newest version of each.
fn values(client: &Client, title: &str) -> BTreeMap<String, bool> {
    let answer = client.get(&format!("{ROOT}/collections/{title}/objects/?match[type]=indicator"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let envelope = answer.json();
    let objects = envelope["objects"].as_array().cloned().unwrap_or_default();
    objects.iter().map(|object| (value_of(object), object["revoked"] != true)).collect()
}

fn value_of(indicator: &Value) -> String {
    let pattern = indicator["pattern"].as_str().unwrap();
    pattern.split('\'').nth(1).unwrap_or_else(|| panic!("{pattern}")).to_owned()
}

fn standing(client: &Client, title: &str) -> Vec<String> {
    values(client, title).into_iter().filter(|(_, stands)| *stands).map(|(value, _)| value).collect()
}

fn until_standing(client: &Client, title: &str, expected: &[&str]) {
    let began = Instant::now();
    while standing(client, title) != expected {
        assert!(began.elapsed() < FOLLOWS_WITHIN, "{title} holds {:?} and not {expected:?}", values(client, title));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn until_taken_back(client: &Client, title: &str, value: &str) {
    let began = Instant::now();
    while values(client, title).get(value) != Some(&false) {
        assert!(began.elapsed() < FOLLOWS_WITHIN, "{title} holds {:?}, where {value} is not taken back", values(client, title));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_agreement_begins_with_what_was_there_narrows_and_ends() {
    let world = World::start();
    let (first, title) = (&world.first, world.first.title());
    world.member.events(&[
        event("clear.net", "clear"),
        with(event("energy.net", "amber"), &json!({ "sector": "energy" })),
        with(event("phish.net", "amber"), &json!({ "category": "phishing", "sector": "energy" })),
        event("strict.net", "amber+strict"),
        with(event("only-us.net", "amber"), &json!({ "audience": ["finance"] })),
        with(event("for-you.net", "amber"), &json!({ "audience": [first.id] })),
    ]);
    assert!(!titles(&first.client).contains(&title));
    assert_eq!(first.client.get(&format!("{ROOT}/collections/{title}/objects/")).status, 404);
    assert_eq!(first.client.search("").len(), 1, "without an agreement clear and green");

    let agreed = world.agree(first, &json!({ "max_tlp": "amber" }));
    assert_eq!((&agreed["holds"], &agreed["agreement"]["strict"], &agreed["collection"]), (&json!(true), &json!(false), &json!(title)));
    assert_eq!(first.client.search("").len(), 4);
    until_standing(&first.client, &title, &["clear.net", "energy.net", "for-you.net", "phish.net"]);
    assert_eq!(values(&first.client, &title), values(&world.hub.coordinator(), &title), "the coordinator sees what is handed over");
    assert!(!titles(&world.second.client).contains(&title) && !titles(&world.member).contains(&title));
    world.member.events(&[event("later.net", "amber")]);
    until_standing(&first.client, &title, &["clear.net", "energy.net", "for-you.net", "later.net", "phish.net"]);

    world.agree(first, &json!({ "max_tlp": "amber", "strict": true, "categories": ["c2-server"] }));
    until_standing(&first.client, &title, &["clear.net", "energy.net", "for-you.net", "later.net", "strict.net"]);
    assert_eq!(values(&first.client, &title).get("phish.net"), Some(&false), "it is taken back and not only gone");
    assert_eq!(first.client.search("category=phishing").len(), 0);
    assert!(!titles(&first.client).contains(&"events-amber".to_owned()), "who gets a part of amber does not get all of it");

    world.agree(first, &json!({ "max_tlp": "green" }));
    assert_eq!(standing(&first.client, &title), ["clear.net"], "what it no longer covers is hidden at once");
    until_standing(&first.client, &title, &["clear.net"]);
    for had in ["energy.net", "for-you.net", "later.net", "strict.net"] {
        until_taken_back(&first.client, &title, had);
    }
    assert_eq!(values(&first.client, &title), values(&world.hub.coordinator(), &title));

    world.end(first);
    assert!(!titles(&first.client).contains(&title));
    assert_eq!(first.client.get(&format!("{ROOT}/collections/{title}/")).status, 404);
    assert_eq!(world.hub.coordinator().get(&format!("{ROOT}/collections/{title}/")).status, 404);
    let history = world.hub.coordinator().get(&format!("/api/v1/organisations/{}/history", first.id)).json();
    let actions: Vec<&str> = history["history"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["end agreement", "agree", "agree", "agree", "add"]);
    assert!(first.client.get(&first.path()).json()["agreement"].is_null());
}

#[test]
fn who_came_after_something_was_taken_back_is_told_neither_what_it_was_nor_that_it_is_over() {
    let world = World::start();
    let first = &world.first;
    let emotet = |value: &str| with(event(value, "green"), &json!({ "malware": "Emotet" }));
    world.agree(first, &json!({ "max_tlp": "amber" }));
    let gone = world.member.events(&[emotet("gone.net")]);
    world.member.events(&[emotet("stays.net"), event("wide.net", "amber")]);
    until_standing(&first.client, &first.title(), &["gone.net", "stays.net", "wide.net"]);
    until_standing(&world.member, "events-green", &["gone.net", "stays.net"]);
    let withdrawn = world.member.post("/api/v1/events/withdraw", &json!({ "receipt": gone["receipt"], "reason": "a mistake" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    until_taken_back(&first.client, &first.title(), "gone.net");
    until_taken_back(&world.second.client, "events-green", "gone.net");
    let path = format!("{ROOT}/collections/events-green/objects/");
    let objects = world.member.get(&format!("{path}?match[type]=indicator")).json()["objects"].as_array().cloned().unwrap();
    let id = objects.iter().find(|object| value_of(object) == "gone.net").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.member.get(&format!("{path}{id}/")).status, 200);

    let (late, newcomer) = (world.hub.member("Late", "analyst"), Partner::new(&world.hub, "CERT of the East"));
    for client in [&late, &newcomer.client] {
        assert_eq!(values(client, "events-green").into_iter().collect::<Vec<_>>(), [("stays.net".to_owned(), true)]);
        let all = client.get(&format!("{path}?match[version]=all"));
        assert!(!all.text().contains("gone.net") && all.text().contains("stays.net"), "{}", all.text());
        assert_eq!(client.get(&format!("{path}{id}/")).status, 404);
        // What is left refers to nothing that is missing, the malware that a withdrawn one brought included.
        let objects = all.json()["objects"].as_array().cloned().unwrap();
        let ids: Vec<&str> = objects.iter().map(|object| object["id"].as_str().unwrap()).collect();
        for relationship in objects.iter().filter(|object| object["type"] == "relationship") {
            assert!(["source_ref", "target_ref"].iter().all(|end| ids.contains(&relationship[*end].as_str().unwrap())), "{relationship}");
        }
        let manifest = client.get(&format!("{ROOT}/collections/events-green/manifest/?match[version]=all")).json();
        assert_eq!(manifest["objects"].as_array().unwrap().len(), objects.len());
    }
    // Nor does an agreement open what was over before it began.
    world.agree(&newcomer, &json!({ "max_tlp": "amber" }));
    until_standing(&newcomer.client, &newcomer.title(), &["stays.net", "wide.net"]);
    assert_eq!(values(&newcomer.client, &newcomer.title()).get("gone.net"), None);
}

/// `created`, `modified` and whether it is revoked, of the objects under a path in the order of their addition.
fn dates(client: &Client, path: &str) -> Vec<(String, String, bool)> {
    let answer = client.get(path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let objects = answer.json()["objects"].as_array().cloned().unwrap_or_default();
    let date = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
    objects.iter().map(|object| (date(object, "created"), date(object, "modified"), object["revoked"] == true)).collect()
}

#[test]
fn who_came_after_a_value_was_taken_back_and_before_it_came_again_is_not_told_by_its_dates_that_it_was_there() {
    let world = World::start();
    let emotet = || with(event("again.net", "green"), &json!({ "malware": "Emotet" }));
    let withdraw = |sent: &Value| {
        let withdrawn = world.member.post("/api/v1/events/withdraw", &json!({ "receipt": sent["receipt"], "reason": "a mistake" }));
        assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    };
    let sent = world.member.events(&[emotet()]);
    until_standing(&world.member, "events-green", &["again.net"]);
    withdraw(&sent);
    until_taken_back(&world.member, "events-green", "again.net");
    // Dates are written in milliseconds.
    std::thread::sleep(Duration::from_millis(20));
    let late = world.hub.member("Late", "analyst");
    let sent = world.member.events(&[emotet()]);
    until_standing(&late, "events-green", &["again.net"]);

    let objects = format!("{ROOT}/collections/events-green/objects/");
    let found = late.get(&format!("{objects}?match[type]=indicator,relationship")).json()["objects"].as_array().cloned().unwrap();
    let ids: Vec<&str> = found.iter().map(|object| object["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{found:?}");
    for id in ids {
        for path in [format!("{objects}?match[id]={id}&match[version]=all"), format!("{objects}{id}/?match[version]=all")] {
            let seen = dates(&late, &path);
            assert!(seen.len() == 1 && seen[0].0 == seen[0].1, "{path}: {seen:?}");
            // Who was there has all of it, made when it came first.
            let known = dates(&world.member, &path);
            assert!(known.len() == 3 && known.iter().all(|one| one.0 == known[0].1) && known[2].1 == seen[0].1, "{path}: {known:?}");
        }
    }
    // It stays so when it is over.
    let every = format!("{objects}?match[type]=indicator&match[version]=all");
    let before = dates(&late, &every);
    withdraw(&sent);
    until_taken_back(&late, "events-green", "again.net");
    let after = dates(&late, &every);
    assert!(after.len() == 2 && after.starts_with(&before) && after[1].2 && after[1].0 == before[0].0, "{before:?} {after:?}");
}

#[test]
fn what_a_narrower_agreement_no_longer_covers_is_hidden_at_every_door_of_the_collection_at_once() {
    let world = World::start();
    let (first, title) = (&world.first, world.first.title());
    world.agree(first, &json!({ "max_tlp": "amber" }));
    let phishing = |value: &str| with(event(value, "amber"), &json!({ "category": "phishing" }));
    let green = with(event("green.net", "green"), &json!({ "category": "phishing" }));
    world.member.events(&[event("stays.net", "amber"), phishing("one.net"), phishing("two.net"), green]);
    until_standing(&first.client, &title, &["green.net", "one.net", "stays.net", "two.net"]);
    let objects = format!("{ROOT}/collections/{title}/objects/");
    let all = first.client.get(&format!("{objects}?match[type]=indicator")).json()["objects"].as_array().cloned().unwrap();
    let id = all.iter().find(|object| value_of(object) == "one.net").unwrap()["id"].as_str().unwrap().to_owned();

    world.agree(first, &json!({ "max_tlp": "amber", "categories": ["c2-server"] }));
    // Whether it is hidden for now or taken back already: nothing of it stands.
    for client in [&first.client, &world.hub.coordinator()] {
        for path in [format!("{objects}?match[type]=indicator&match[version]=all"), format!("{objects}{id}/?match[version]=all")] {
            let answer = client.get(&path);
            assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
            let objects = if answer.status == 200 { answer.json()["objects"].as_array().cloned().unwrap_or_default() } else { Vec::new() };
            for object in objects.iter().filter(|object| ["one.net", "two.net"].contains(&value_of(object).as_str())) {
                assert_eq!(object["revoked"], true, "{path}: {object}");
            }
        }
    }
    until_standing(&first.client, &title, &["green.net", "stays.net"]);
    until_taken_back(&first.client, &title, "one.net");
    // What it said before it was taken back is not given any more, by whatever name it is asked for.
    let count = |door: &str, list: &str| first.client.get(&format!("{ROOT}/collections/{title}/{door}")).json()[list].as_array().map_or(0, Vec::len);
    assert_eq!(count(&format!("objects/{id}/?match[version]=all"), "objects"), 1);
    assert_eq!(count(&format!("objects/{id}/versions/"), "versions"), 1);
    assert_eq!(count(&format!("manifest/?match[id]={id}&match[version]=all"), "objects"), 1);
    // What came since by the narrower one is there in every version.
    world.member.events(&[event("new.net", "amber"), phishing("new-phish.net")]);
    until_standing(&first.client, &title, &["green.net", "new.net", "stays.net"]);
    assert_eq!(values(&first.client, &title), values(&world.hub.coordinator(), &title));
}

#[test]
fn what_a_partner_reported_is_handed_to_no_partner_whatever_is_agreed() {
    let world = World::start();
    let (first, second) = (&world.first, &world.second);
    for partner in [first, second] {
        world.agree(partner, &json!({ "max_tlp": "amber" }));
    }
    first.client.events(&[event("north.net", "clear"), event("both.net", "clear")]);
    second.client.events(&[event("south.net", "green")]);
    world.member.events(&[event("both.net", "clear"), event("member.net", "clear")]);
    for partner in [first, second] {
        until_standing(&partner.client, &partner.title(), &["both.net", "member.net"]);
    }
    // Members, and the collections for many, have all of it.
    until_standing(&world.member, "events-green", &["both.net", "member.net", "north.net", "south.net"]);
    for partner in [first, second] {
        assert_eq!(values(&partner.client, &partner.title()).len(), 2);
    }
}

#[test]
fn names_pass_only_where_the_agreement_and_the_reporter_let_them() {
    let world = World::start();
    let first = &world.first;
    world.member.events(&[with(event("named.net", "green"), &json!({ "named": true, "note": "seen at noon" })), event("withheld.net", "green")]);
    let told = || first.client.search("").iter().map(|event| event.to_string().contains("Member")).collect::<Vec<_>>();
    assert_eq!(told(), [false, false]);
    world.agree(first, &json!({ "max_tlp": "green" }));
    assert_eq!(told(), [false, false]);
    world.agree(first, &json!({ "max_tlp": "green", "names": true }));
    assert_eq!(told(), [false, true], "newest first");
    let expires = support::now() + 2;
    world.agree(first, &json!({ "max_tlp": "amber", "names": true, "expires": expires }));
    world.member.events(&[event("amber.net", "amber")]);
    while support::now() <= expires {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(told(), [false, false], "what is over gives neither names nor amber");
    assert_eq!(first.client.get(&first.path()).json()["holds"], false);
    assert!(!titles(&first.client).contains(&first.title()));
}

#[test]
fn what_a_partner_sends_outside_of_its_agreement_is_refused_with_line_and_reason() {
    let world = World::start();
    let first = &world.first;
    world.agree(first, &json!({ "max_tlp": "amber", "sends": { "max_tlp": "green", "categories": ["c2-server"] } }));
    let lines = [event("good.net", "green"), event("strict.net", "amber"), with(event("other.net", "clear"), &json!({ "category": "scanner" }))];
    let answer = first.client.submit("application/x-ndjson", &ndjson(&lines));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!((answer["accepted"].as_u64(), answer["refused"].as_u64()), (Some(1), Some(2)));
    let errors: Vec<(u64, &str)> =
        answer["errors"].as_array().unwrap().iter().map(|error| (error["line"].as_u64().unwrap(), error["reason"].as_str().unwrap())).collect();
    assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert!(errors[0].1.contains("up to green") && errors[1].1.contains("scanner"), "{errors:?}");
    let amended = first.client.post(&format!("/api/v1/events/{}/amend", answer["first_seq"]), &event("good.net", "amber"));
    assert_eq!(amended.status, 422, "{}", amended.text());

    // The same through its collection, where what it passes on is relayed.
    let indicator = |number: u32, value: &str, more: Value| {
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--0190a5b8-a1b2-4000-8000-{number:012x}"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "valid_from": "2026-01-01T00:00:00Z",
            "pattern_type": "stix", "pattern": format!("[domain-name:value = '{value}']"), "indicator_types": ["malicious-activity"],
        });
        with(object, &more)
    };
    let green = json!({ "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"] });
    world.agree(first, &json!({ "max_tlp": "amber", "sends": { "max_tlp": "green" } }));
    let body = json!({ "objects": [indicator(1, "relayed.net", green), indicator(2, "unmarked.net", json!({}))] });
    let path = format!("{ROOT}/collections/{}/objects/", first.title());
    let posted = first.client.request("POST", &path, &[("content-type", MEDIA)], Some(&serde_json::to_vec(&body).unwrap()));
    assert_eq!(posted.status, 202, "{}", posted.text());
    let status = posted.json();
    assert_eq!((status["success_count"].as_u64(), status["failure_count"].as_u64()), (Some(1), Some(1)), "{status}");
    assert!(status["failures"][0]["message"].as_str().unwrap().contains("up to green"), "{status}");
    let again = first.client.get(&format!("{ROOT}/status/{}/", status["id"].as_str().unwrap())).json();
    assert_eq!(again["failure_count"], 1);
    let shown = world.member.observable("domain", "relayed.net").json();
    assert_eq!((shown["events"].as_u64(), &shown["reporters"]), (Some(1), &json!(0)), "who passes on has not seen it: {shown}");
    assert_eq!(world.second.client.request("POST", &path, &[("content-type", MEDIA)], Some(b"{}")).status, 404);
    assert_eq!(world.hub.coordinator().request("POST", &path, &[("content-type", MEDIA)], Some(b"{}")).status, 403);
}

#[test]
fn an_agreement_survives_a_restart_and_a_backup() {
    let mut world = World::start();
    let title = world.first.title();
    world.agree(&world.first, &json!({ "max_tlp": "amber" }));
    world.member.events(&[event("kept.net", "amber")]);
    until_standing(&world.first.client, &title, &["kept.net"]);
    let ids = |client: &Client| {
        let objects = client.get(&format!("{ROOT}/collections/{title}/objects/?match[type]=indicator")).json()["objects"].clone();
        (objects[0]["id"].clone(), objects[0]["modified"].clone())
    };
    let before = ids(&world.first.client);
    world.hub.kill();
    world.hub.restart();
    until_standing(&world.first.client, &title, &["kept.net"]);
    assert_eq!(ids(&world.first.client), before);

    let backup = world.hub.scratch().join("backup");
    let data = world.hub.data.to_str().unwrap().to_owned();
    let made = support::offline(&["backup", backup.to_str().unwrap(), "--data", &data]);
    assert!(made.status.success(), "{}", said(&made));
    let logs: Vec<String> = std::fs::read_dir(backup.join("indicators")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(logs.iter().any(|name| name.starts_with("agreement-") && name.ends_with(".log")), "{logs:?}");
    let (status, _) = world.hub.terminate();
    assert!(status.success());
    let verified = support::offline(&["verify", "--data", &data]);
    assert!(verified.status.success(), "{}", said(&verified));
    let restored = world.hub.scratch().join("restored");
    let done = support::offline(&["restore", backup.to_str().unwrap(), "--data", restored.to_str().unwrap()]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(logs.iter().all(|name| restored.join("indicators").join(name).exists()), "{logs:?}");
}

#[test]
fn the_command_line_sets_shows_and_ends_an_agreement() {
    let world = World::start();
    let (key, id) = (world.hub.coordinator_key(), world.first.id.as_str());
    let run = |arguments: &[&str]| {
        let output = world.hub.command(&key, &[&["org", "agreement", id][..], arguments].concat(), None);
        (output.status.success(), said(&output))
    };
    let set = run(&["--max-tlp", "amber", "--strict", "--categories", "phishing,c2-server", "--sectors", "energy", "--names", "--expires", "365d", "--json"]);
    assert!(set.0, "{}", set.1);
    let shown: Value = serde_json::from_str(run(&["--json"]).1.trim()).unwrap();
    let agreement = &shown["agreement"];
    assert_eq!((&agreement["max_tlp"], &agreement["strict"], &agreement["names"]), (&json!("amber"), &json!(true), &json!(true)));
    assert_eq!(agreement["categories"].as_array().unwrap().len(), 2);
    let words = run(&[]).1;
    assert!(words.contains("in force         yes") && words.contains("categories: c2-server, phishing") && !words.contains('{'), "{words}");
    let own = world.hub.command(&world.hub.key(id, "analyst"), &["org", "agreement"], None);
    assert!(own.status.success() && said(&own).contains(id) && said(&own).contains("amber+strict is covered"), "{}", said(&own));
    assert!(!world.hub.command(&key, &["org", "agreement", "--end"], None).status.success(), "whose is not said");
    let org = world.hub.command(&key, &["org", "show", id], None);
    assert!(said(&org).contains("phishing"), "{}", said(&org));
    assert!(!run(&["--max-tlp", "red"]).0 && !run(&["--end", "--max-tlp", "green"]).0 && !run(&["--strict"]).0);
    let ended = run(&["--end", "--reason", "not renewed"]);
    assert!(ended.0, "{}", ended.1);
    assert!(!run(&["--end"]).0, "there is none any more");
}
