//! MISP's interface and feed from outside: what members see of each other's events, and what of them reaches the other doors.
//!
//! Not here: PyMISP (`tests/python/misp.py`), who may call what (`authorisation`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Answer, Client, Hub};

/// How long what was published may take to come into the feed.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
const UUID: &str = "ab2b6e28-fda5-4282-bf60-22b81de77851";

/// A hub with two members and a partner.
struct Shared {
    hub: Hub,
    owner: Client,
    other: Client,
    partner: Client,
}

impl Shared {
    fn start() -> Self {
        let hub = Hub::start();
        let (owner, other) = (hub.member("Owner", "analyst"), hub.member("Other", "analyst"));
        let partner = hub.client(&hub.key(&hub.organisation("Partner", "partner", "", ""), "analyst"));
        Self { hub, owner, other, partner }
    }
}

/// Adds an event; it must be taken. Gives what is answered.
fn add(client: &Client, event: &Value) -> Value {
    let answer = client.post("/misp/events/add", event);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["Event"].clone()
}

fn attribute(kind: &str, value: &str) -> Value {
    json!({ "type": kind, "value": value, "to_ids": true })
}

fn event(more: &Value) -> Value {
    let mut event = json!({ "info": "A case", "distribution": "3", "Tag": [{ "name": "tlp:green" }], "Attribute": [attribute("domain", "evil.example.kr")] });
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn id(event: &Value) -> &str {
    event["id"].as_str().unwrap()
}

fn view(client: &Client, event: &str) -> Answer {
    client.get(&format!("/misp/events/view/{event}"))
}

/// The values that a search for attributes finds.
fn found(client: &Client, filter: &Value) -> Vec<String> {
    let answer = client.post("/misp/attributes/restSearch", filter);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = answer.json()["response"]["Attribute"].as_array().unwrap().clone();
    list.iter().map(|attribute| attribute["value"].as_str().unwrap().to_owned()).collect()
}

fn publish(client: &Client, event: &Value) {
    let answer = client.post(&format!("/misp/events/publish/{}", id(event)), &json!({}));
    assert_eq!((answer.status, answer.json()["success"].as_bool()), (200, Some(true)), "{}", answer.text());
}

#[test]
fn an_event_is_kept_whole_changed_by_its_owner_alone_and_deleted_for_good() {
    let Shared { owner, other, hub: _hub, .. } = Shared::start();
    let object = json!({ "name": "file", "x_of_object": 1, "Attribute": [{ "type": "filename", "value": "a.exe", "object_relation": "filename" }] });
    let added = add(&owner, &event(&json!({ "uuid": UUID, "x_own": { "deep": [1] }, "Object": [object] })));
    assert_eq!(
        (&added["uuid"], &added["x_own"], &added["Object"][0]["x_of_object"], &added["published"]),
        (&json!(UUID), &json!({ "deep": [1] }), &json!(1), &json!(false))
    );
    assert_eq!(view(&owner, UUID).json()["Event"]["Object"][0]["Attribute"][0]["value"], "a.exe");

    let again = owner.post("/misp/events/add", &event(&json!({ "uuid": UUID })));
    assert_eq!((again.status, again.json()["errors"]["uuid"].is_array()), (422, true), "{}", again.text());
    let foreign = other.post(&format!("/misp/events/edit/{UUID}"), &json!({ "info": "mine" }));
    assert_eq!((foreign.status, &foreign.json()["message"]), (403, &json!("You do not have permission to do that.")));
    let changed = owner.post(&format!("/misp/events/edit/{UUID}"), &json!({ "info": "Another case", "Attribute": [attribute("ip-dst", "185.60.1.7")] }));
    assert_eq!(changed.json()["Event"]["Attribute"].as_array().unwrap().len(), 2, "{}", changed.text());
    assert_eq!(view(&other, UUID).json()["Event"]["info"], "Another case");

    let first = added["Attribute"][0]["id"].as_str().unwrap();
    assert_eq!(owner.post(&format!("/misp/attributes/delete/{first}"), &json!({})).status, 200);
    assert_eq!(found(&owner, &json!({ "eventid": id(&added) })), ["185.60.1.7", "a.exe"]);
    assert_eq!(found(&owner, &json!({ "eventid": id(&added), "deleted": 1 })), ["evil.example.kr"]);
    let both = owner.post(&format!("/misp/events/view/{UUID}"), &json!({ "deleted": [0, 1] })).json();
    assert_eq!(both["Event"]["Attribute"].as_array().unwrap().len(), 2);

    assert_eq!(other.post(&format!("/misp/events/delete/{UUID}"), &json!({})).status, 403);
    assert_eq!(owner.post(&format!("/misp/events/delete/{UUID}"), &json!({})).json()["message"], "Event deleted.");
    assert_eq!((view(&owner, UUID).status, view(&owner, id(&added)).status, found(&owner, &json!({})).len()), (404, 404, 0));
    let pushed = owner.request(
        "POST",
        "/misp/events/add",
        &[("content-type", "application/json"), ("misp-uuid", "x")],
        Some(event(&json!({ "uuid": UUID })).to_string().as_bytes()),
    );
    assert_eq!(pushed.status, 403, "what was deleted does not come back from elsewhere");
}

#[test]
fn distribution_and_marking_decide_together_and_attributes_only_narrow() {
    let Shared { owner, other, partner, hub: _hub } = Shared::start();
    for (distribution, tag, to_other, to_partner) in [
        ("0", "tlp:clear", 404, 404),
        ("1", "tlp:clear", 200, 404),
        ("2", "tlp:green", 200, 200),
        ("3", "tlp:clear", 200, 200),
        ("3", "tlp:amber", 200, 404),
        ("3", "tlp:red", 404, 404),
        ("4", "tlp:green", 404, 404),
    ] {
        // What is not published goes to no partner, whatever its distribution.
        let draft = add(&owner, &event(&json!({ "distribution": distribution, "sharing_group_id": "77", "Tag": [{ "name": tag }] })));
        assert_eq!((view(&other, id(&draft)).status, view(&partner, id(&draft)).status), (to_other, 404), "{distribution} {tag}");
        let given = json!({ "distribution": distribution, "sharing_group_id": "77", "Tag": [{ "name": tag }], "published": true });
        let added = add(&owner, &event(&given));
        let seen = (view(&owner, id(&added)).status, view(&other, id(&added)).status, view(&partner, id(&added)).status);
        assert_eq!(seen, (200, to_other, to_partner), "{distribution} {tag}");
        let uuid = added["uuid"].as_str().unwrap();
        let listed = partner.get("/misp/events/index").json().as_array().unwrap().iter().any(|event| event["uuid"] == uuid);
        assert_eq!(listed, to_partner == 200, "{distribution} {tag}");
    }
    let mut own = attribute("domain", "own.example.kr");
    own["distribution"] = json!(0);
    let mut red = attribute("domain", "red.example.kr");
    red["Tag"] = json!([{ "name": "tlp:red" }]);
    let mut wide = attribute("domain", "wide.example.kr");
    wide["distribution"] = json!(3);
    let added = add(&owner, &event(&json!({ "distribution": 1, "Attribute": [own, red, wide] })));
    let seen: Vec<String> = found(&other, &json!({ "eventid": id(&added) }));
    assert_eq!(seen, ["wide.example.kr"]);
    assert!(found(&partner, &json!({ "value": "wide.example.kr" })).is_empty(), "an attribute reaches no further than its event");
    let hidden = other.post("/misp/events/restSearch", &json!({ "value": "own.example.kr" })).json();
    assert_eq!(hidden["response"], json!([]), "a filter finds nothing that is hidden");
    let hidden = added["Attribute"][0]["uuid"].as_str().unwrap();
    assert_eq!(other.get(&format!("/misp/attributes/view/{hidden}")).status, 404);
    assert_eq!(other.post(&format!("/misp/attributes/edit/{hidden}"), &json!({ "comment": "x" })).status, 404);
}

#[test]
fn victims_and_who_contributed_are_withheld_as_everywhere() {
    let Shared { hub, owner, other, .. } = Shared::start();
    let target = json!({ "type": "target-user", "value": "kim.minsu", "category": "Targeting data" });
    let infected = json!({ "type": "ip-src", "value": "185.60.1.44", "to_ids": false, "Tag": [{ "name": "rsit:malicious-code=\"infected-system\"" }] });
    let added = add(&owner, &event(&json!({ "Attribute": [attribute("domain", "c2.example.kr"), target, infected] })));
    let text = view(&other, id(&added)).text();
    assert!(text.contains("c2.example.kr") && !text.contains("kim.minsu") && !text.contains("185.60.1.44") && !text.contains("Owner"), "{text}");
    let seen = view(&other, id(&added)).json();
    assert_eq!((&seen["Event"]["Orgc"]["name"], &seen["Event"]["org_id"]), (&json!("Bongsu main"), &json!("0")));
    assert_eq!(view(&owner, id(&added)).json()["Event"]["Orgc"]["name"], "Owner");
    assert!(view(&hub.coordinator(), id(&added)).text().contains("kim.minsu"));
    let own = added["Orgc"]["id"].as_str().unwrap();
    let by = |client: &Client, org: &str| client.post("/misp/events/restSearch", &json!({ "org": org })).json()["response"].as_array().unwrap().len();
    assert_eq!((by(&owner, own), by(&other, own), by(&other, "Owner"), by(&other, "Bongsu main")), (1, 0, 0, 1), "nobody is found by a name that is not shown");
}

#[test]
fn what_is_published_is_among_the_hubs_events_until_it_is_taken_back() {
    let Shared { owner, other, partner, hub: _hub } = Shared::start();
    let knows = |client: &Client, value: &str| {
        let answer = client.observable("domain", value);
        answer.status == 200 && answer.json()["state"] != "withdrawn"
    };
    let added = add(&owner, &event(&json!({ "distribution": 1 })));
    assert!(!knows(&other, "evil.example.kr"), "what is not published is in nothing but MISP");
    publish(&owner, &added);
    assert!(knows(&other, "evil.example.kr") && !knows(&partner, "evil.example.kr"));
    let more = owner.post(&format!("/misp/attributes/add/{}", id(&added)), &attribute("domain", "more.example.kr")).json();
    assert_eq!(more["Attribute"]["value"], "more.example.kr");
    assert!(!knows(&other, "evil.example.kr"), "a change ends its being published");
    publish(&owner, &added);
    assert!(knows(&other, "evil.example.kr") && knows(&other, "more.example.kr"));
    assert_eq!(other.search("domain=evil.example.kr").len(), 1, "once");
    let changed = json!({ "value": "other.example.kr" });
    assert_eq!(owner.post(&format!("/misp/attributes/edit/{}", more["Attribute"]["uuid"].as_str().unwrap()), &changed).status, 200);
    publish(&owner, &added);
    assert!(!knows(&other, "more.example.kr") && knows(&other, "other.example.kr"));
    assert_eq!(owner.post(&format!("/misp/events/unpublish/{}", id(&added)), &json!({})).status, 200);
    assert!(!knows(&other, "evil.example.kr"));
    publish(&owner, &added);
    assert!(knows(&other, "evil.example.kr"));
    owner.post(&format!("/misp/events/delete/{}", id(&added)), &json!({}));
    assert!(!knows(&other, "evil.example.kr") && other.search("domain=example.kr").is_empty());
}

#[test]
fn another_instance_is_told_of_published_events_alone_and_its_own_come_one_step_less_far() {
    let Shared { hub, owner, other, .. } = Shared::start();
    let sync = |client: &Client, method: &str, path: &str, body: &Value| {
        let body = (method == "POST").then(|| body.to_string().into_bytes());
        client.request(method, path, &[("content-type", "application/json"), ("user-agent", "MISP 2.5.12 - #x")], body.as_deref())
    };
    let added = add(&owner, &event(&json!({})));
    let pulled = |client: &Client| sync(client, "POST", "/misp/events/index", &json!({ "minimal": 1, "published": 1 })).json().as_array().unwrap().len();
    assert_eq!((pulled(&other), sync(&other, "GET", &format!("/misp/events/view/{}", id(&added)), &Value::Null).status), (0, 404));
    publish(&owner, &added);
    assert_eq!(pulled(&other), 1);
    let seen =
        sync(&other, "GET", &format!("/misp/events/view/{}/deleted[]:0/deleted[]:1/excludeLocalTags:1", added["uuid"].as_str().unwrap()), &Value::Null).json();
    assert_eq!(seen["Event"]["uuid"], added["uuid"]);

    let back = sync(&other, "POST", "/misp/events/add", &seen);
    assert_eq!(back.status, 403, "what came from here does not come back: {}", back.text());
    let pushed = sync(&owner, "POST", "/misp/events/add/metadata:1", &event(&json!({ "distribution": 2, "published": true, "uuid": UUID })));
    assert_eq!(
        (pushed.json()["Event"]["distribution"].as_str(), pushed.json()["Event"]["Attribute"].as_array().map(Vec::len)),
        (Some("1"), Some(0)),
        "{}",
        pushed.text()
    );
    let wanted = sync(
        &owner,
        "POST",
        "/misp/events/filterEventIdsForPush",
        &json!([{ "Event": { "uuid": UUID, "timestamp": "1" } }, { "Event": { "uuid": "5b0a6f3e-0d8e-4a47-8c24-0d3a4f1e2b11", "timestamp": "1" } }]),
    );
    assert_eq!(wanted.json(), json!(["5b0a6f3e-0d8e-4a47-8c24-0d3a4f1e2b11"]));
    let foreign = json!({ "Orgc": { "uuid": "0d3a4f1e-2b11-4a47-8c24-5b0a6f3e0d8e", "name": "Elsewhere" } });
    let kept = add(&owner, &event(&foreign));
    assert_eq!(view(&owner, id(&kept)).json()["Event"]["Orgc"]["name"], "Elsewhere");
    assert_eq!(view(&other, id(&kept)).json()["Event"]["Orgc"]["name"], "Bongsu main");
    drop(hub);
}

#[test]
fn searches_are_answered_in_each_format_and_tags_and_sightings_are_kept() {
    let Shared { owner, other, hub: _hub, .. } = Shared::start();
    let added = add(
        &owner,
        &event(&json!({ "Attribute": [attribute("domain", "one.example.kr"), { "type": "comment", "value": "words", "to_ids": false }], "published": true })),
    );
    let as_format = |format: &str| owner.post("/misp/attributes/restSearch", &json!({ "eventid": id(&added), "returnFormat": format }));
    assert_eq!(as_format("text").text(), "one.example.kr\n");
    assert!(as_format("csv").text().starts_with("uuid,event_id,") && as_format("csv").text().lines().count() == 3);
    assert!(as_format("suricata").text().contains("one.example.kr"));
    assert!(as_format("cache").text().lines().all(|line| line.ends_with(added["uuid"].as_str().unwrap())));
    assert!(as_format("stix2").json()["objects"].as_array().unwrap().iter().any(|object| object["pattern"] == "[domain-name:value = 'one.example.kr']"));
    assert_eq!((as_format("openioc").status, owner.get("/misp/events/restSearch/value:one.example.kr").json()["response"].as_array().unwrap().len()), (422, 1));

    let uuid = added["Attribute"][0]["uuid"].as_str().unwrap();
    let tagged = owner.post("/misp/tags/attachTagToObject", &json!({ "uuid": uuid, "tag": "own:tag" }));
    assert!(tagged.json()["message"].as_str().unwrap().contains("successfully attached"), "{}", tagged.text());
    assert_eq!(found(&other, &json!({ "tags": "own:%" })), ["one.example.kr"]);
    assert!(found(&other, &json!({ "tags": ["tlp:green", "!own:tag"] })).iter().all(|value| value == "words"));
    assert_eq!(other.post("/misp/tags/attachTagToObject", &json!({ "uuid": uuid, "tag": "x" })).status, 403);
    let names = other.get("/misp/tags/index").json()["Tag"].as_array().unwrap().iter().filter(|tag| tag["name"] == "own:tag").count();
    assert_eq!(names, 1);

    let sighted = other.post(&format!("/misp/sightings/add/{uuid}"), &json!({ "source": "desk", "type": "0" }));
    assert_eq!((sighted.status, &sighted.json()["Sighting"]["source"]), (200, &json!("desk")), "{}", sighted.text());
    let wrong = other.post("/misp/sightings/add", &json!({ "value": "one.example.kr", "type": "1" }));
    assert_eq!(wrong.status, 200, "{}", wrong.text());
    let list = |client: &Client| client.post("/misp/sightings/listSightings", &json!({ "context": "event", "id": id(&added) })).json();
    let (own, seen) = (list(&other), list(&owner));
    assert_eq!(
        (own.as_array().unwrap().len(), own[0]["source"].as_str(), seen[0]["source"].as_str(), seen[0]["org_id"].as_str()),
        (2, Some("desk"), Some(""), Some("0"))
    );
    assert_eq!(seen.as_array().unwrap().len(), 2, "who contributed it learns that it is called a false positive");
}

#[test]
fn refusals_are_misps_and_nothing_is_known_without_a_key() {
    let Shared { hub, owner, .. } = Shared::start();
    let company = hub.organisation("Bare", "company", "private", "finance");
    let key = hub.key(&company, "analyst");
    let bare = hub.stranger().request("GET", "/misp/servers/getVersion.json", &[("authorization", key.as_str())], None);
    assert_eq!((bare.status, bare.json()["perm_sync"].as_bool()), (200, Some(true)), "{}", bare.text());
    for path in ["/misp/servers/getVersion", "/misp/nowhere", "/misp"] {
        assert_eq!(hub.stranger().get(path).status, 401, "{path}");
    }
    let missing = owner.get("/misp/events/view/5b0a6f3e-0d8e-4a47-8c24-0d3a4f1e2b11").json();
    assert!(missing["name"].is_string() && missing["message"].is_string() && missing["url"].as_str().unwrap().starts_with("/events/view/"), "{missing}");
    let many: Vec<Value> = (0..10_001).map(|number| attribute("domain", &format!("n{number}.example.kr"))).collect();
    assert_eq!(owner.post("/misp/events/add", &event(&json!({ "Attribute": many }))).status, 413);
    assert_eq!(owner.post("/misp/events/add", &event(&json!({ "Attribute": [{ "type": "no-such", "value": "x" }] }))).status, 422);
    let auditor = hub.client(&hub.key(&company, "auditor"));
    assert_eq!((auditor.get("/misp/events/index").status, auditor.get("/misp/users/view/me").status), (403, 200));
    let reporter = hub.client(&hub.key(&company, "reporter"));
    let sent = reporter.post("/misp/events/add", &event(&json!({})));
    assert_eq!((sent.status, view(&reporter, sent.json()["Event"]["id"].as_str().unwrap()).status), (200, 403));
}

#[test]
fn the_feed_holds_what_each_caller_may_have_and_says_what_was_taken_back() {
    let Shared { hub, owner, .. } = Shared::start();
    let clear = add(
        &owner,
        &event(
            &json!({ "published": true, "Tag": [{ "name": "tlp:clear" }], "Attribute": [attribute("domain", "clear.example.kr"), attribute("ip-dst", "10.1.2.3")] }),
        ),
    );
    add(&owner, &event(&json!({ "published": true, "Attribute": [attribute("domain", "green.example.kr")] })));
    add(&owner, &event(&json!({ "distribution": 1, "published": true, "Attribute": [attribute("domain", "members.example.kr")] })));
    add(&owner, &event(&json!({ "Attribute": [attribute("domain", "draft.example.kr")] })));
    let attributes = |client: &Client| -> Vec<(String, bool)> {
        let manifest = client.get("/feeds/misp/manifest.json");
        if manifest.status != 200 {
            return Vec::new();
        }
        let manifest = manifest.json();
        let files = manifest.as_object().unwrap().keys().map(|uuid| client.get(&format!("/feeds/misp/{uuid}.json")).json());
        let mut all: Vec<(String, bool)> = files
            .flat_map(|file| file["Event"]["Attribute"].as_array().unwrap().clone())
            .map(|attribute| (attribute["value"].as_str().unwrap().to_owned(), attribute["deleted"].as_bool().unwrap()))
            .collect();
        all.sort();
        all
    };
    let is = |value: &str, deleted: bool| (value.to_owned(), deleted);
    wait("the feed", || attributes(&hub.stranger()) == [is("clear.example.kr", false)]);
    wait("the keyed feed", || attributes(&owner) == [is("clear.example.kr", false), is("green.example.kr", false)]);
    let manifest = hub.stranger().get("/feeds/misp/manifest.json");
    let again = hub.stranger().request("GET", "/feeds/misp/manifest.json", &[("if-none-match", manifest.header("etag"))], None);
    assert_eq!((again.status, manifest.header("x-tlp")), (304, "clear"));
    let (uuid, head) = manifest.json().as_object().unwrap().iter().next().map(|(uuid, head)| (uuid.clone(), head.clone())).unwrap();
    assert_eq!(head["Orgc"]["name"], "Bongsu main");
    let hashes = hub.stranger().get("/feeds/misp/hashes.csv").text();
    assert!(hashes.lines().count() == 1 && hashes.trim().ends_with(&uuid), "{hashes}");
    assert_eq!(hub.stranger().get("/feeds/misp/manifest.json?tlp=green").status, 401);
    assert_eq!(hub.stranger().get("/feeds/misp/5b0a6f3e-0d8e-4a47-8c24-0d3a4f1e2b11.json").status, 404);

    let copied = owner.post("/misp/events/add", &event(&json!({ "uuid": uuid })));
    assert_eq!(copied.status, 403, "an event of the feed is the hub's own");
    owner.post(&format!("/misp/events/unpublish/{}", id(&clear)), &json!({}));
    wait("the recall", || attributes(&hub.stranger()) == [is("clear.example.kr", true)]);
    assert!(hub.stranger().get("/feeds/misp/hashes.csv").text().is_empty());
}

#[test]
fn a_proposal_changes_nothing_until_the_contributor_accepts_it_and_names_nobody() {
    let Shared { hub, owner, other, partner } = Shared::start();
    let added = add(&owner, &event(&json!({ "distribution": 1 })));
    let first = added["Attribute"][0]["uuid"].as_str().unwrap();
    let refused = other.post(&format!("/misp/attributes/add/{}", id(&added)), &attribute("domain", "more.example.kr"));
    assert_eq!((refused.status, &refused.json()["message"]), (403, &json!("You do not have permission to do that.")));

    let proposed = other.post(&format!("/misp/shadow_attributes/add/{}", id(&added)), &attribute("domain", "more.example.kr"));
    assert_eq!((proposed.status, &proposed.json()["ShadowAttribute"]["Org"]["name"]), (200, &json!("Other")), "{}", proposed.text());
    let changed = other.post(&format!("/misp/shadow_attributes/edit/{first}"), &json!({ "to_ids": false, "distribution": 3 }));
    let changed = changed.json()["ShadowAttribute"].clone();
    assert_eq!((&changed["to_ids"], &changed["value"], changed.get("distribution")), (&json!(false), &json!("evil.example.kr"), None));
    let deletion = other.post(&format!("/misp/shadow_attributes/delete/{first}"), &json!({}));
    assert_eq!((deletion.status, &deletion.json()["saved"]), (200, &json!(true)), "{}", deletion.text());

    let list = |client: &Client| client.get("/misp/shadow_attributes/index").json().as_array().unwrap().clone();
    assert_eq!((list(&owner).len(), list(&other).len(), list(&hub.coordinator()).len()), (3, 3, 3));
    let seen = list(&owner)[0]["ShadowAttribute"].clone();
    assert_eq!((&seen["Org"]["name"], &seen["org_id"]), (&json!("Bongsu main"), &json!("0")), "the contributor learns what, not by whom");
    let (second, third) = (hub.member("Third", "analyst"), hub.member("Fourth", "analyst"));
    assert!(list(&second).is_empty() && list(&partner).is_empty(), "no other member learns of it");
    assert_eq!(third.get(&format!("/misp/shadow_attributes/view/{}", seen["id"].as_str().unwrap())).status, 404);
    assert_eq!(partner.post(&format!("/misp/shadow_attributes/add/{}", id(&added)), &attribute("domain", "x.example.kr")).status, 404);
    let whole = view(&owner, id(&added)).json()["Event"].clone();
    assert_eq!((whole["ShadowAttribute"].as_array().unwrap().len(), whole["Attribute"][0]["ShadowAttribute"].as_array().unwrap().len()), (1, 2));
    assert_eq!(found(&other, &json!({ "eventid": id(&added) })), ["evil.example.kr"], "nothing has changed");

    let step = |client: &Client, step: &str, proposal: &Value| {
        client.post(&format!("/misp/shadow_attributes/{step}/{}", proposal["id"].as_str().unwrap()), &json!({}))
    };
    assert_eq!(step(&other, "accept", &seen).status, 403, "who proposes does not accept");
    assert_eq!(step(&owner, "accept", &seen).json()["message"], "Proposed change accepted.");
    assert_eq!(found(&other, &json!({ "eventid": id(&added) })), ["evil.example.kr", "more.example.kr"]);
    assert_eq!(step(&owner, "accept", &changed).status, 200);
    assert_eq!(owner.get(&format!("/misp/attributes/view/{first}")).json()["Attribute"]["to_ids"], false);
    let last = list(&other)[0]["ShadowAttribute"].clone();
    assert_eq!((&last["proposal_to_delete"], step(&other, "discard", &last).json()["message"].as_str()), (&json!(true), Some("Proposal discarded.")));
    assert!(list(&owner).is_empty());
    assert_eq!(step(&owner, "discard", &last).status, 404);
}

#[test]
fn sightings_come_one_by_one_in_lists_and_from_an_instance_that_pushes_them_once() {
    let Shared { owner, other, hub: _hub, .. } = Shared::start();
    let added = add(&owner, &event(&json!({})));
    let uuid = added["Attribute"][0]["uuid"].as_str().unwrap();
    let two = other.post(&format!("/misp/sightings/add/{uuid}"), &json!([{ "type": "0" }, { "type": "0", "source": "desk" }]));
    assert_eq!((two.status, &two.json()["message"]), (200, &json!("2 sightings successfully added.")), "{}", two.text());
    let pushed = json!([{ "uuid": UUID, "attribute_uuid": uuid, "date_sighting": "1767225600", "type": "0" }, { "attribute_uuid": UUID, "type": "0" }]);
    let path = format!("/misp/sightings/bulkSaveSightings/{}", added["uuid"].as_str().unwrap());
    let wanted = |uuids: &Value| other.post(&format!("/misp/sightings/filterSightingUuidsForPush/{}", id(&added)), uuids).json();
    assert_eq!(wanted(&json!([UUID])), json!([UUID]));
    assert_eq!(other.post(&path, &pushed).json()["message"], "1 sighting successfully added.");
    assert_eq!(other.post(&path, &pushed).json()["message"], "0 sightings successfully added.", "what is here is passed over");
    assert_eq!(wanted(&json!([UUID])), json!([]));
    let seen = view(&owner, id(&added)).json()["Event"]["Attribute"][0]["Sighting"].as_array().map(Vec::len);
    let without = owner.get(&format!("/misp/events/view/{}/noSightings:1", id(&added))).json()["Event"]["Attribute"][0].get("Sighting").is_some();
    assert_eq!((seen, without), (Some(3), false));
}

#[test]
fn what_other_events_say_of_a_value_is_given_as_far_as_it_is_seen() {
    let Shared { owner, other, hub: _hub, .. } = Shared::start();
    let first = add(&owner, &event(&json!({})));
    let second = add(&other, &event(&json!({ "distribution": 1 })));
    add(&other, &event(&json!({ "distribution": 0 })));
    let search = json!({ "eventid": id(&first), "includeCorrelations": 1 });
    let related = |client: &Client| {
        let answer = client.post("/misp/attributes/restSearch", &search).json();
        answer["response"]["Attribute"][0]["RelatedAttribute"].as_array().unwrap().clone()
    };
    assert_eq!((related(&owner).len(), &related(&owner)[0]["Event"]["uuid"], related(&other).len()), (1, &second["uuid"], 2));
}

#[test]
fn a_base_url_without_its_slash_leads_to_the_same_door() {
    let Shared { hub, owner, .. } = Shared::start();
    let added = add(&owner, &event(&json!({})));
    assert_eq!(owner.get(&format!("/events/view/{}", id(&added))).json()["Event"]["uuid"], added["uuid"]);
    assert_eq!(owner.get("/sharingGroups/index.json").status, 200);
    assert_eq!((hub.stranger().get("/events/view/1").status, hub.stranger().get("/nowhere").status), (401, 404));
}

#[test]
fn an_erased_value_is_in_no_event_proposal_or_file_and_a_backup_holds_the_rest() {
    const VALUE: &str = "erase.me.park@household.kr";
    let Shared { mut hub, owner, other, .. } = Shared::start();
    let victim = json!({ "type": "target-email", "category": "Targeting data", "value": VALUE });
    let mut told = attribute("domain", "c2.example.kr");
    told["comment"] = json!(format!("mailed to {}", VALUE.to_uppercase()));
    let added = add(&owner, &event(&json!({ "published": true, "info": format!("Mail to {VALUE}"), "Attribute": [victim, told] })));
    let proposal = json!({ "type": "domain", "value": "p.example.kr", "comment": VALUE });
    assert_eq!(other.post(&format!("/misp/shadow_attributes/add/{}", id(&added)), &proposal).status, 200);
    let authority = hub.organisation("Authority", "authority", "private", "government");
    let person = |holder: &str| hub.client(&hub.key_with(&authority, &json!({ "role": "authority", "holder": holder })).1);
    let (first, second) = (person("Kim Jiwoo"), person("Park Minseo"));
    let asked = first.post("/api/v1/erasures", &json!({ "type": "email", "value": VALUE, "basis": "PIPA article 36" })).json();
    let done = second.post(&format!("/api/v1/erasures/{}/steps", asked["id"].as_str().unwrap()), &json!({ "step": "confirm" }));
    assert_eq!(done.status, 200, "{}", done.text());

    let left = owner.post(&format!("/misp/events/view/{}", id(&added)), &json!({ "deleted": [0, 1] })).text();
    assert!(!left.to_lowercase().contains(VALUE) && left.contains("c2.example.kr") && left.contains("[erased]"), "{left}");
    assert_eq!(other.get("/misp/shadow_attributes/index").json(), json!([]));
    wait("the event without the words", || owner.observable("domain", "c2.example.kr").json()["events"] == 1);
    let (backup, data) = (hub.scratch().join("backup"), hub.scratch().join("restored"));
    let (backup, data) = (backup.to_str().unwrap().to_owned(), data.to_str().unwrap().to_owned());
    assert!(hub.terminate().0.success());
    for entry in std::fs::read_dir(&hub.data).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("misp.sqlite")) {
        let bytes = std::fs::read(entry.path()).unwrap().to_ascii_lowercase();
        assert!(!bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()), "{}", entry.path().display());
    }
    for command in [&["backup", &backup, "--data", hub.data.to_str().unwrap()][..], &["restore", &backup, "--data", &data], &["verify", "--data", &data]] {
        let output = support::offline(command);
        assert!(output.status.success(), "{command:?}: {}", support::said(&output));
    }
    assert!(std::path::Path::new(&data).join("misp.sqlite").exists());
}

/// Paths of MISP's that give nothing of events: they change them, or are of something else.
const GIVE_NO_EVENTS: [&str; 36] = [
    "/misp/servers/",
    "/misp/users/",
    "/misp/organisations/",
    "/misp/sharing_groups/",
    "/misp/warninglists/",
    "/misp/tags/add",
    "/misp/tags/attachTagToObject",
    "/misp/tags/removeTagFromObject",
    "/misp/events/add",
    "/misp/events/edit/",
    "/misp/events/delete/",
    "/misp/events/publish/",
    "/misp/events/alert/",
    "/misp/events/unpublish/",
    "/misp/events/filterEventIdsForPush",
    "/misp/attributes/add/",
    "/misp/attributes/edit/",
    "/misp/attributes/delete/",
    "/misp/attributes/restore/",
    "/misp/attributes/describeTypes",
    "/misp/objects/add/",
    "/misp/objects/edit/",
    "/misp/objects/delete/",
    "/misp/event_reports/add/",
    "/misp/event_reports/edit/",
    "/misp/event_reports/delete/",
    "/misp/event_reports/restore/",
    "/misp/sightings/add",
    "/misp/sightings/delete/",
    "/misp/sightings/bulkSaveSightings/",
    "/misp/sightings/filterSightingUuidsForPush/",
    "/misp/shadow_attributes/add/",
    "/misp/shadow_attributes/edit/",
    "/misp/shadow_attributes/delete/",
    "/misp/shadow_attributes/accept/",
    "/misp/shadow_attributes/discard/",
];

#[test]
fn every_door_that_gives_events_hides_drafts_from_partners() {
    let Shared { owner, other, partner, hub: _hub } = Shared::start();
    let object = json!({ "name": "file", "Attribute": [{ "type": "filename", "value": "secret.exe", "object_relation": "filename" }] });
    let added = add(
        &owner,
        &event(&json!({ "info": "Secret case", "published": true, "Tag": [{ "name": "tlp:green" }, { "name": "secretmark" }],
            "Attribute": [attribute("domain", "secret.example.kr")], "Object": [object], "EventReport": [{ "name": "Secret report" }] })),
    );
    let event = id(&added);
    let report = added["EventReport"][0]["id"].as_str().unwrap();
    let (first, file) = (added["Attribute"][0]["id"].as_str().unwrap(), added["Object"][0]["id"].as_str().unwrap());
    let sighted = other.post(&format!("/misp/sightings/add/{}", added["Attribute"][0]["uuid"].as_str().unwrap()), &json!({ "type": "0" }));
    assert_eq!(sighted.status, 200, "{}", sighted.text());
    let sighting = sighted.json()["Sighting"]["uuid"].as_str().unwrap().to_owned();
    let proposed = partner.post(&format!("/misp/shadow_attributes/add/{event}"), &attribute("domain", "secret-too.example.kr"));
    assert_eq!(proposed.status, 200, "{}", proposed.text());
    let proposal = proposed.json()["ShadowAttribute"]["id"].as_str().unwrap().to_owned();
    let (none, of_event, of_attribute) = (Value::Null, json!({ "context": "event", "id": event }), json!({ "id": first }));
    let doors: [(&str, &str, String, Value); 26] = [
        ("GET", "/misp/events/index", "/misp/events/index".into(), none.clone()),
        ("POST", "/misp/events/index", "/misp/events/index".into(), json!({ "limit": 10, "sort": "info" })),
        ("GET", "/misp/events/view/{event}", format!("/misp/events/view/{event}"), none.clone()),
        ("POST", "/misp/events/view/{event}", format!("/misp/events/view/{event}"), json!({})),
        ("GET", "/misp/events/restSearch", format!("/misp/events/restSearch/eventid:{event}"), none.clone()),
        ("POST", "/misp/events/restSearch", "/misp/events/restSearch".into(), json!({ "tags": "secretmark" })),
        ("GET", "/misp/attributes/index", "/misp/attributes/index".into(), none.clone()),
        ("GET", "/misp/attributes/view/{attribute}", format!("/misp/attributes/view/{first}"), none.clone()),
        ("GET", "/misp/attributes/restSearch", format!("/misp/attributes/restSearch/eventid:{event}"), none.clone()),
        ("POST", "/misp/attributes/restSearch", "/misp/attributes/restSearch".into(), json!({ "returnFormat": "csv" })),
        ("GET", "/misp/objects/view/{misp_object}", format!("/misp/objects/view/{file}"), none.clone()),
        ("POST", "/misp/objects/restSearch", "/misp/objects/restSearch".into(), json!({ "object_name": "file" })),
        ("GET", "/misp/event_reports/index", "/misp/event_reports/index".into(), none.clone()),
        ("GET", "/misp/event_reports/view/{report}", format!("/misp/event_reports/view/{report}"), none.clone()),
        ("GET", "/misp/tags/index", "/misp/tags/index".into(), none.clone()),
        ("GET", "/misp/tags/view/{tag}", "/misp/tags/view/secretmark".into(), none.clone()),
        ("POST", "/misp/tags/search", "/misp/tags/search".into(), json!({ "tagname": "secretmark" })),
        ("POST", "/misp/sightings/index", "/misp/sightings/index".into(), json!({})),
        ("POST", "/misp/sightings/listSightings", "/misp/sightings/listSightings".into(), of_event),
        ("POST", "/misp/sightings/restSearch", "/misp/sightings/restSearch".into(), json!({})),
        ("POST", "/misp/sightings/restSearch/{context}", "/misp/sightings/restSearch/attribute".into(), of_attribute),
        ("GET", "/misp/shadow_attributes/index", "/misp/shadow_attributes/index".into(), none.clone()),
        ("POST", "/misp/shadow_attributes/index", "/misp/shadow_attributes/index".into(), json!({})),
        ("GET", "/misp/shadow_attributes/index/{event}", format!("/misp/shadow_attributes/index/{event}"), none.clone()),
        ("GET", "/misp/shadow_attributes/view/{proposal}", format!("/misp/shadow_attributes/view/{proposal}"), none.clone()),
        ("POST", "/misp/sightings/listSightings", "/misp/sightings/listSightings".into(), json!({ "context": "attribute", "id": first })),
    ];
    let described = owner.get("/api/openapi.json").json();
    for (path, methods) in described["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/misp/")) {
        for method in ["GET", "POST"].into_iter().filter(|method| methods.get(method.to_lowercase()).is_some()) {
            let is_looked_at = doors.iter().any(|door| (door.0, door.1) == (method, path.as_str()));
            assert!(is_looked_at || GIVE_NO_EVENTS.iter().any(|beginning| path.starts_with(beginning)), "{method} {path} is neither looked at nor named");
        }
    }
    let marks = [
        "Secret case",
        "secret.example.kr",
        "secret.exe",
        "secretmark",
        "Secret report",
        "secret-too.example.kr",
        sighting.as_str(),
        added["uuid"].as_str().unwrap(),
    ];
    let shown = |client: &Client| -> Vec<bool> {
        let ask = |method: &str, path: &str, body: &Value| {
            let body = (method == "POST").then(|| body.to_string().into_bytes());
            client.request(method, path, &[("content-type", "application/json")], body.as_deref())
        };
        doors
            .iter()
            .map(|(method, _, path, body)| {
                let answer = ask(method, path.as_str(), body);
                assert!([200, 404].contains(&answer.status), "{method} {path}: {}", answer.text());
                answer.status == 200 && marks.iter().any(|mark| answer.text().contains(*mark))
            })
            .collect()
    };
    let all = |expected: bool, of: &[bool], who: &str| {
        let wrong: Vec<&String> = doors.iter().zip(of).filter(|(_, shown)| **shown != expected).map(|(door, _)| &door.2).collect();
        assert!(wrong.is_empty(), "{who}: {wrong:?}");
    };
    all(true, &shown(&partner), "a partner, published");
    assert_eq!(owner.post(&format!("/misp/events/unpublish/{event}"), &json!({})).status, 200);
    all(false, &shown(&partner), "a partner, taken back");
    assert_eq!(view(&other, event).status, 200, "who is of the hub sees it still");
    let of_draft = [
        (format!("/misp/events/edit/{event}"), json!({ "info": "x" })),
        (format!("/misp/attributes/edit/{first}"), json!({ "comment": "x" })),
        (format!("/misp/event_reports/edit/{report}"), json!({ "name": "x" })),
        (format!("/misp/event_reports/add/{event}"), json!({ "name": "x" })),
        (format!("/misp/shadow_attributes/add/{event}"), attribute("domain", "x.example.kr")),
        (format!("/misp/shadow_attributes/discard/{proposal}"), json!({})),
        (format!("/misp/sightings/add/{first}"), json!({ "type": "0" })),
        (format!("/misp/sightings/bulkSaveSightings/{event}"), json!([])),
    ];
    for (path, body) in &of_draft {
        assert_eq!(partner.post(path, body).status, 404, "{path}");
    }
    publish(&owner, &added);
    all(true, &shown(&partner), "a partner, published again");
}

#[test]
fn a_uuid_that_another_took_hides_nothing_and_keeps_nothing_from_coming() {
    const ATTRIBUTE: &str = "0c2b6e28-fda5-4282-bf60-22b81de77852";
    const PUSHED: &str = "1c2b6e28-fda5-4282-bf60-22b81de77853";
    let Shared { hub, owner, other, .. } = Shared::start();
    let third = hub.member("Third", "analyst");
    let sync = |client: &Client, method: &str, path: &str, body: &Value| {
        let body = (method == "POST").then(|| body.to_string().into_bytes());
        client.request(method, path, &[("content-type", "application/json"), ("misp-uuid", "x")], body.as_deref())
    };
    let with_uuid = |value: &str| json!([{ "type": "domain", "value": value, "to_ids": true, "uuid": ATTRIBUTE }]);

    // Hidden: whoever comes later learns nothing of it.
    add(&other, &event(&json!({ "uuid": UUID, "distribution": 0, "info": "Taken", "Attribute": with_uuid("taken.example.kr") })));
    let hidden = owner.get(&format!("/misp/events/view/{UUID}"));
    assert_eq!((hidden.status, owner.get(&format!("/misp/attributes/view/{ATTRIBUTE}")).status), (404, 404));
    assert_eq!(owner.post("/misp/events/filterEventIdsForPush", &json!([{ "Event": { "uuid": UUID, "timestamp": "1" } }])).json(), json!([UUID]));
    let mine = add(&owner, &event(&json!({ "uuid": UUID, "distribution": 1, "info": "Rightful", "Attribute": with_uuid("mine.example.kr") })));
    assert_eq!(mine["Attribute"][0]["uuid"], ATTRIBUTE);
    assert_eq!((&view(&third, UUID).json()["Event"]["info"], &view(&other, UUID).json()["Event"]["info"]), (&json!("Rightful"), &json!("Taken")));
    assert_eq!(third.get(&format!("/misp/attributes/view/{ATTRIBUTE}")).json()["Attribute"]["value"], "mine.example.kr");

    // An event of the UUID that an attribute has: it stands before it nowhere.
    add(&other, &event(&json!({ "uuid": ATTRIBUTE, "distribution": 1, "Attribute": [attribute("domain", "decoy.example.kr")] })));
    let tagged = owner.post("/misp/tags/attachTagToObject", &json!({ "uuid": ATTRIBUTE, "tag": "own:tag" }));
    assert!(tagged.json()["message"].as_str().unwrap().contains("attached to Attribute("), "{}", tagged.text());
    let mut values = found(&third, &json!({ "uuid": ATTRIBUTE }));
    values.sort();
    assert_eq!(values, ["decoy.example.kr", "mine.example.kr"]);

    // Seen: an instance takes it for its own and changes it; what it pushes comes all the same, and is what is seen from then on.
    let creator = json!({ "uuid": mine["Orgc"]["uuid"], "name": "Elsewhere" });
    add(&other, &event(&json!({ "uuid": PUSHED, "distribution": 1, "info": "Taken", "published": true, "Orgc": creator })));
    add(&hub.member("Fourth", "analyst"), &event(&json!({ "uuid": PUSHED, "distribution": 1, "info": "Squatted", "published": true })));
    assert_eq!(view(&third, PUSHED).json()["Event"]["info"], "Taken", "nobody takes the place of what is passed on but who made it");
    assert_eq!(sync(&owner, "GET", &format!("/misp/events/view/{PUSHED}"), &Value::Null).status, 200);
    let pushed = sync(&owner, "POST", &format!("/misp/events/edit/{PUSHED}"), &event(&json!({ "uuid": PUSHED, "info": "Rightful", "published": true })));
    assert_eq!((pushed.status, &pushed.json()["Event"]["info"]), (200, &json!("Rightful")), "{}", pushed.text());
    assert_eq!(view(&third, PUSHED).json()["Event"]["info"], "Rightful", "its creator's own stands before what others pass on");
    let again =
        sync(&owner, "POST", &format!("/misp/events/edit/{PUSHED}"), &json!({ "info": "Rightful still", "distribution": "3", "timestamp": "4000000000" }));
    assert_eq!((again.status, &view(&owner, PUSHED).json()["Event"]["info"]), (200, &json!("Rightful still")), "{}", again.text());
    publish(&owner, &json!({ "id": PUSHED }));
    let listed = sync(&third, "POST", "/misp/events/index", &json!({ "minimal": 1, "published": 1 })).json();
    let of_pushed: Vec<&Value> = listed.as_array().unwrap().iter().filter(|event| event["uuid"] == PUSHED).collect();
    let shown = view(&third, PUSHED).json()["Event"].clone();
    assert_eq!((of_pushed.len(), &of_pushed[0]["id"]), (1, &shown["id"]), "an instance is told of the one that it is given");
    let back = sync(&third, "POST", &format!("/misp/events/edit/{PUSHED}"), &json!({ "Event": shown }));
    assert_eq!(back.status, 403, "what came from here does not come back: {}", back.text());
    let desk = hub.coordinator();
    let viewed = view(&desk, PUSHED).json()["Event"]["id"].clone();
    let deleted = desk.post(&format!("/misp/events/delete/{PUSHED}"), &json!({}));
    assert_eq!((&deleted.json()["id"], viewed.is_string()), (&viewed, true), "what a UUID shows is what it deletes: {}", deleted.text());

    // A sighting.
    let sighting = |attribute: &str| json!([{ "uuid": PUSHED, "attribute_uuid": attribute, "type": "0" }]);
    let push =
        |client: &Client, event: &str| client.post(&format!("/misp/sightings/bulkSaveSightings/{event}"), &sighting(ATTRIBUTE)).json()["message"].clone();
    assert_eq!(push(&other, UUID), "1 sighting successfully added.");
    let wanted = third.post(&format!("/misp/sightings/filterSightingUuidsForPush/{UUID}"), &json!([PUSHED])).json();
    assert_eq!((wanted, push(&third, UUID)), (json!([PUSHED]), json!("1 sighting successfully added.")));
    assert_eq!(push(&third, UUID), "0 sightings successfully added.");
}

#[test]
fn attributes_that_are_added_together_are_answered_in_order_and_given_beside_sightings() {
    let Shared { owner, hub: _hub, .. } = Shared::start();
    let added = add(&owner, &event(&json!({ "Attribute": [] })));
    let values: Vec<String> = (0..20).map(|number| format!("host-{number}.example.kr")).collect();
    let list: Vec<Value> = values.iter().map(|value| attribute("domain", value)).collect();
    let answer = owner.post(&format!("/misp/attributes/add/{}", id(&added)), &Value::from(list)).json();
    let attributes = answer["Attribute"].as_array().unwrap();
    assert!(attributes.iter().map(|attribute| attribute["value"].as_str().unwrap()).eq(values.iter().map(String::as_str)), "{answer}");
    assert_eq!(attributes[0]["event_uuid"], added["uuid"]);
    for attribute in &attributes[3..6] {
        let path = format!("/misp/sightings/add/{}", attribute["id"].as_str().unwrap());
        assert_eq!(owner.post(&path, &json!({ "type": "0" })).status, 200);
    }
    let listed = owner.post("/misp/sightings/restSearch/event", &json!({ "id": id(&added), "includeAttribute": 1 })).json();
    let sighted: Vec<&Value> = listed["response"].as_array().unwrap().iter().map(|entry| &entry["Sighting"]["Attribute"]["value"]).collect();
    assert_eq!(sighted, ["host-3.example.kr", "host-4.example.kr", "host-5.example.kr"]);
}

#[test]
fn an_organisations_sightings_have_bounds_and_count_towards_its_quota() {
    let Shared { hub, owner, other, .. } = Shared::start();
    let added = add(&owner, &event(&json!({})));
    let uuid = added["Attribute"][0]["uuid"].as_str().unwrap();
    let path = format!("/misp/sightings/bulkSaveSightings/{}", id(&added));
    let many = |count: usize| Value::from(vec![json!({ "attribute_uuid": uuid, "type": "0" }); count]);
    let refused = other.post(&path, &many(1_001));
    assert_eq!(refused.status, 413);
    assert!(refused.json()["message"].as_str().unwrap().contains("1000 sightings of one attribute"), "{}", refused.text());
    let kept = || view(&owner, id(&added)).json()["Event"]["Attribute"][0]["Sighting"].as_array().map_or(0, Vec::len);
    assert_eq!(kept(), 0, "of what is refused nothing is kept");
    assert_eq!(other.post(&path, &many(1_000)).json()["message"], "1000 sightings successfully added.");
    assert_eq!(other.post(&format!("/misp/sightings/add/{uuid}"), &json!({ "type": "0" })).status, 413);
    assert_eq!((owner.post(&format!("/misp/sightings/add/{uuid}"), &json!({ "type": "0" })).status, kept()), (200, 1_001), "another has bounds of its own");

    let small = hub.organisation("Small", "company", "private", "finance");
    let key = hub.client(&hub.key(&small, "analyst"));
    hub.change_organisation(&small, &json!({ "quota_per_day": 2 }));
    assert_eq!(key.post(&path, &many(3)).status, 429);
    assert_eq!(key.post(&path, &many(2)).status, 200);
    let used_up = key.post(&format!("/misp/sightings/add/{uuid}"), &json!({ "type": "0" }));
    assert_eq!((used_up.status, used_up.header("retry-after").is_empty()), (429, false), "{}", used_up.text());
}

#[test]
fn a_search_gives_all_of_it_however_much_it_is() {
    const EVENTS: usize = 6;
    let Shared { owner, hub: _hub, .. } = Shared::start();
    // More than any answer held at once before: 69 MiB.
    let data = "A".repeat(11_500 * 1024);
    for number in 0..EVENTS {
        let file = json!({ "type": "attachment", "category": "Payload delivery", "value": format!("file-{number}.bin"), "data": data });
        add(&owner, &event(&json!({ "info": format!("Large {number}"), "Attribute": [file] })));
    }
    let whole = owner.post("/misp/events/restSearch", &json!({ "withAttachments": 1 }));
    assert_eq!((whole.status, whole.body.len() > EVENTS * data.len()), (200, true));
    let events = whole.json()["response"].as_array().unwrap().clone();
    let names: Vec<&Value> = events.iter().map(|event| &event["Event"]["info"]).collect();
    assert_eq!(names, ["Large 0", "Large 1", "Large 2", "Large 3", "Large 4", "Large 5"]);
    assert!(events.iter().all(|event| event["Event"]["Attribute"][0]["data"].as_str().is_some_and(|kept| kept.len() == data.len())));
    let attributes = owner.post("/misp/attributes/restSearch", &json!({ "withAttachments": 1, "limit": 2, "page": 3 }));
    let values: Vec<String> =
        attributes.json()["response"]["Attribute"].as_array().unwrap().iter().map(|attribute| attribute["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values, ["file-4.bin", "file-5.bin"]);
    let brief = owner.post("/misp/events/restSearch", &json!({ "limit": 4, "page": 2, "metadata": 1 }));
    assert_eq!((brief.json()["response"].as_array().unwrap().len(), brief.header("x-result-count")), (2, "2"));
    assert_eq!(owner.post("/misp/attributes/restSearch", &json!({ "returnFormat": "csv", "headerless": 1 })).text().lines().count(), EVENTS);
}

#[test]
fn an_event_is_answered_whole_however_large_it_is_and_a_change_of_it_too() {
    let Shared { owner, hub: _hub, .. } = Shared::start();
    let data = "A".repeat(9 * 1024 * 1024);
    let file = json!({ "type": "attachment", "category": "Payload delivery", "value": "file.bin", "data": data });
    let object = json!({ "name": "file", "Attribute": [{ "type": "filename", "value": "a.exe", "object_relation": "filename" }] });
    let added = add(&owner, &event(&json!({ "Attribute": [file, attribute("domain", "evil.example.kr")], "Object": [object] })));
    let is_whole = |event: &Value| {
        event["Attribute"][0]["data"].as_str().map(str::len) == Some(data.len())
            && event["Attribute"][1]["value"] == "evil.example.kr"
            && event["Object"][0]["Attribute"][0]["value"] == "a.exe"
    };
    assert!(is_whole(&added));
    let sighted = owner.post(&format!("/misp/sightings/add/{}", added["Attribute"][1]["uuid"].as_str().unwrap()), &json!([{ "type": "0" }, { "type": "0" }]));
    assert_eq!(sighted.status, 200, "{}", sighted.text());
    // Slower than it is written: what waits has room until it is taken, and gives it back.
    for _ in 0..5 {
        let viewed = view(&owner, id(&added)).json()["Event"].clone();
        assert!(is_whole(&viewed) && viewed["Attribute"][1]["Sighting"].as_array().map(Vec::len) == Some(2));
        assert_eq!((viewed["Attribute"][0].get("Sighting"), &viewed["attribute_count"]), (None, &json!("3")));
    }
    let first = added["Attribute"][0]["id"].as_str().unwrap();
    let changed = owner.post(&format!("/misp/attributes/edit/{first}"), &json!({ "comment": "large" })).json();
    assert_eq!((changed["Attribute"]["data"].as_str().map(str::len), &changed["Attribute"]["comment"]), (Some(data.len()), &json!("large")));
    let edited = owner.post(&format!("/misp/events/edit/{}", id(&added)), &json!({ "info": "Still whole" }));
    assert_eq!((edited.status, is_whole(&edited.json()["Event"])), (200, true));
    let brief = owner.get(&format!("/misp/events/view/{}/metadata:1", id(&added))).json()["Event"].clone();
    assert_eq!((&brief["info"], &brief["Attribute"], &brief["Object"]), (&json!("Still whole"), &json!([]), &json!([])));
}

#[test]
fn tags_sightings_and_proposals_are_given_to_the_end_and_page_by_page() {
    let Shared { owner, other, partner, hub: _hub } = Shared::start();
    let mut hidden = attribute("domain", "hidden.example.kr");
    hidden["distribution"] = json!(0);
    hidden["Tag"] = json!([{ "name": "own:hidden" }, { "name": "own:a" }]);
    let mut seen = attribute("domain", "seen.example.kr");
    seen["Tag"] = json!([{ "name": "own:a" }, { "name": "own:B" }]);
    let added = add(
        &owner,
        &event(&json!({ "distribution": 1, "Tag": [{ "name": "tlp:green" }, { "name": "own:a" }, { "name": "zz:last" }], "Attribute": [seen, hidden] })),
    );
    let tags = |client: &Client, query: &str| -> Vec<(String, u64)> {
        let list = client.get(&format!("/misp/tags/index{query}")).json()["Tag"].as_array().unwrap().clone();
        list.iter().map(|tag| (tag["name"].as_str().unwrap().to_owned(), tag["count"].as_u64().unwrap())).collect()
    };
    let all = tags(&other, "");
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_sorted_by_key(|name| name.to_lowercase()) && names.contains(&"PAP:RED") && names.last() == Some(&"zz:last"), "{names:?}");
    let count = |list: &[(String, u64)], name: &str| list.iter().find(|tag| tag.0 == name).map(|tag| tag.1);
    assert_eq!((count(&all, "own:a"), count(&all, "own:b"), count(&all, "tlp:green"), count(&all, "own:hidden")), (Some(2), Some(1), Some(1), None));
    assert_eq!((count(&tags(&owner, ""), "own:a"), count(&tags(&owner, ""), "own:hidden")), (Some(3), Some(1)));
    assert_eq!(count(&tags(&partner, ""), "tlp:green"), Some(0), "what is ours is there, and on nothing");
    let mut paged = Vec::new();
    for page in 1..=all.len().div_ceil(7) {
        paged.extend(tags(&other, &format!("?limit=7&page={page}")));
    }
    assert_eq!(paged, all);
    assert_eq!(tags(&other, "/searchall:own:%25/limit:1/page:2"), [("own:b".to_owned(), 1)]);
    let found = other.post("/misp/tags/search", &json!({ "tagname": "own:%" })).json();
    let found: Vec<&Value> = found.as_array().unwrap().iter().map(|tag| &tag["Tag"]["name"]).collect();
    assert_eq!(found, ["own:a", "own:b"]);
    let one = other.get("/misp/tags/view/own%3Aa").json();
    let by_number = other.get(&format!("/misp/tags/view/{}", one["id"].as_str().unwrap())).json();
    assert_eq!((&one["count"], &by_number), (&json!(2), &one));
    assert_eq!((other.get("/misp/tags/view/own%3Ahidden").status, other.get("/misp/tags/view/PAP%3ARED").status), (404, 200));

    let path = format!("/misp/sightings/bulkSaveSightings/{}", id(&added));
    let list: Vec<Value> = (0..600).map(|_| json!({ "attribute_uuid": added["Attribute"][0]["uuid"], "type": "0" })).collect();
    assert_eq!(other.post(&path, &Value::from(list)).json()["message"], "600 sightings successfully added.");
    let listed = |more: &Value| -> Vec<u64> {
        let mut asked = json!({ "context": "event", "id": id(&added) });
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let list = owner.post("/misp/sightings/listSightings", &asked).json().as_array().unwrap().clone();
        list.iter().map(|sighting| sighting["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let whole = listed(&json!({}));
    assert_eq!((whole.len(), whole.is_sorted()), (600, true));
    let pages: Vec<u64> = (1..=3).flat_map(|page| listed(&json!({ "limit": 250, "page": page, "includeAttribute": 1 }))).collect();
    assert_eq!((pages, listed(&json!({ "limit": 250, "page": 4 })).len()), (whole, 0));
    let search = json!({ "eventid": id(&added), "includeSightings": 1 });
    let beside = owner.post("/misp/attributes/restSearch", &search).json()["response"]["Attribute"].clone();
    let counts: Vec<usize> = beside.as_array().unwrap().iter().map(|attribute| attribute["Sighting"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [600, 0]);

    for number in 0..120 {
        let proposed = other.post(&format!("/misp/shadow_attributes/add/{}", id(&added)), &attribute("domain", &format!("p{number}.example.kr")));
        assert_eq!(proposed.status, 200, "{}", proposed.text());
    }
    let proposals = |query: &str| owner.get(&format!("/misp/shadow_attributes/index/{}{query}", id(&added))).json().as_array().unwrap().len();
    assert_eq!((proposals(""), proposals("?limit=50&page=3"), proposals("?limit=50&page=4")), (120, 20, 0));
    let whole = view(&owner, id(&added)).json()["Event"].clone();
    let without = owner.get(&format!("/misp/events/view/{}/noShadowAttributes:1", id(&added))).json()["Event"]["ShadowAttribute"].clone();
    assert_eq!((whole["ShadowAttribute"].as_array().map(Vec::len), &whole["Attribute"][0]["ShadowAttribute"], &without), (Some(120), &json!([]), &json!([])));
    let large = json!({ "type": "domain", "value": "x.example.kr", "first_seen": "x".repeat(300 * 1024) });
    assert_eq!(other.post(&format!("/misp/shadow_attributes/add/{}", id(&added)), &large).status, 413);
}

#[test]
fn an_attribute_says_where_not_all_that_is_related_is_given() {
    let Shared { owner, other, hub: _hub, .. } = Shared::start();
    let first = add(&owner, &event(&json!({ "Attribute": [attribute("domain", "many.example.kr"), attribute("domain", "few.example.kr")] })));
    for number in 0..101 {
        let few = if number < 3 { vec![attribute("domain", "few.example.kr")] } else { Vec::new() };
        let all: Vec<Value> = few.into_iter().chain([attribute("domain", "many.example.kr")]).collect();
        add(&other, &event(&json!({ "info": format!("Case {number}"), "Attribute": all })));
    }
    let found = owner.post("/misp/attributes/restSearch", &json!({ "eventid": id(&first), "includeCorrelations": 1 })).json();
    let of = |place: usize| found["response"]["Attribute"][place].clone();
    assert_eq!((of(0)["RelatedAttribute"].as_array().unwrap().len(), &of(0)["RelatedAttributeLeftOut"]), (100, &json!(true)));
    assert_eq!((of(1)["RelatedAttribute"].as_array().unwrap().len(), of(1).get("RelatedAttributeLeftOut").is_some()), (3, false));
}

#[test]
fn reports_are_read_added_changed_and_deleted_one_by_one_under_their_events_rules() {
    let Shared { hub, owner, other, partner } = Shared::start();
    let within = json!([{ "id": "900", "name": "From elsewhere", "content": "# a", "distribution": "5" }, { "name": "Own", "distribution": "0" }]);
    let added = add(&owner, &event(&json!({ "distribution": 1, "published": true, "EventReport": within })));
    let path = |step: &str, name: &Value| format!("/misp/event_reports/{step}/{}", name.as_str().unwrap());
    let given = owner.post(&path("add", &added["id"]), &json!({ "EventReport": { "uuid": UUID, "name": "Analysis", "content": "# What was seen" } }));
    let report = given.json()["EventReport"].clone();
    assert_eq!(
        (given.status, &report["uuid"], &report["event_id"], &report["distribution"]),
        (200, &json!(UUID), &added["id"], &json!("5")),
        "{}",
        given.text()
    );
    assert_eq!(view(&owner, id(&added)).json()["Event"]["published"], false, "a change of a report is one of the event");
    let names = |client: &Client, more: &str| -> Vec<String> {
        let list = client.get(&format!("/eventReports/index/event_id:{}{more}", id(&added))).json().as_array().unwrap().clone();
        list.iter().map(|report| report["EventReport"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&owner, ""), ["From elsewhere", "Own", "Analysis"]);
    assert_eq!((names(&other, ""), names(&owner, "/limit:1/page:2")), (vec!["From elsewhere".to_owned(), "Analysis".to_owned()], vec!["Own".to_owned()]));
    assert_eq!(owner.get("/misp/event_reports/index").json().as_array().unwrap().len(), 3);
    let own = added["EventReport"][1]["id"].clone();
    assert_eq!(
        (other.get(&path("view", &own)).status, owner.get(&path("view", &own)).status, partner.get(&path("view", &json!(UUID))).status),
        (404, 200, 404)
    );
    assert_eq!(other.get(&path("view", &report["id"])).json()["EventReport"]["content"], "# What was seen");

    let foreign = other.post(&path("edit", &report["uuid"]), &json!({ "name": "mine" }));
    assert_eq!((foreign.status, other.post(&path("edit", &own), &json!({ "name": "mine" })).status), (403, 404), "{}", foreign.text());
    assert_eq!(
        (other.post(&path("add", &added["id"]), &json!({ "name": "mine" })).status, other.post(&path("delete", &report["id"]), &json!({})).status),
        (403, 403)
    );
    let again = owner.post(&path("add", &added["id"]), &json!({ "uuid": UUID, "name": "twice" }));
    assert_eq!((again.status, owner.post(&path("add", &added["id"]), &json!({ "content": "no name" })).status), (422, 422), "{}", again.text());
    let large = owner.post(&path("add", &added["id"]), &json!({ "name": "large", "content": "x".repeat(1024 * 1024) }));
    assert_eq!(large.status, 413, "{}", large.text());
    let changed = owner.post(&path("edit", &report["uuid"]), &json!({ "name": "Updated", "timestamp": report["timestamp"] })).json()["EventReport"].clone();
    assert_eq!((&changed["name"], &changed["content"], &changed["id"]), (&json!("Updated"), &json!("# What was seen"), &report["id"]));
    assert_eq!(owner.post(&path("edit", &report["uuid"]), &json!({ "name": "older", "timestamp": "5" })).status, 403);

    let deleted = owner.post(&path("delete", &report["id"]), &json!({})).json();
    assert_eq!((&deleted["success"], &deleted["name"]), (&json!(true), &json!(format!("Event Report {UUID} soft deleted"))));
    let in_view = |options: &Value| owner.post(&format!("/misp/events/view/{}", id(&added)), options).json()["Event"]["EventReport"].as_array().unwrap().len();
    assert_eq!((in_view(&json!({})), in_view(&json!({ "deleted": [0, 1] })), in_view(&json!({ "noEventReports": 1 }))), (2, 3, 0));
    assert_eq!((names(&owner, "").len(), names(&owner, "/context:deleted"), names(&owner, "/context:all").len()), (2, vec!["Updated".to_owned()], 3));
    assert_eq!(owner.post(&path("restore", &report["id"]), &json!({})).json()["success"], true);
    assert_eq!(names(&owner, "").len(), 3);
    // An event that is sent again keeps what it does not name.
    let sent = owner.post(&format!("/misp/events/edit/{}", id(&added)), &json!({ "info": "y", "EventReport": [{ "name": "Fourth" }] }));
    assert_eq!((sent.status, names(&owner, "").len()), (200, 4), "{}", sent.text());
    assert_eq!(hub.coordinator().post(&path("delete", &report["id"]), &json!({ "hard": 1 })).json()["name"], format!("Event Report {UUID} hard deleted"));
    assert_eq!((owner.get(&path("view", &report["uuid"])).status, names(&owner, "/context:all").len()), (404, 3));
}

/// Waits until it is so.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < FOLLOWS_WITHIN, "{what} does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}
