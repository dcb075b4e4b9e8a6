//! Ways by which what is hidden could reach someone after all: over another's correction, a sighting, a claim, a count.
//!
//! Not here: the whole law of sight (`policy_doors`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use support::{Client, Hub, ago};

fn event(value: &str, tlp: &str, audience: &[&str]) -> Value {
    json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": tlp, "audience": audience })
}

fn sighting(client: &Client, value: &str, kind: &str) -> Value {
    let answer = client.post(&format!("/api/v1/observables/domain/{value}/sightings"), &json!({ "kind": kind }));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn claims(client: &Client) -> Vec<Value> {
    let answer = client.get("/api/v1/claims");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["claims"].as_array().unwrap().clone()
}

fn decide(client: &Client, claim: &Value, step: &str) -> u16 {
    client.post(&format!("/api/v1/claims/{}/steps", claim["id"].as_str().unwrap()), &json!({ "step": step, "reason": "test" })).status
}

#[test]
fn an_authoritys_correction_shows_an_event_to_nobody_new() {
    let hub = Hub::start();
    let company = hub.organisation("Sender", "company", "private", "finance");
    let chosen = hub.organisation("Chosen", "company", "private", "energy");
    let authority = hub.client(&hub.key(&hub.organisation("Authority", "authority", "private", "government"), "authority"));
    let (sender, stranger) = (hub.client(&hub.key(&company, "analyst")), hub.member("Stranger", "analyst"));
    let narrow = sender.events(&[event("narrow.net", "amber", &[&chosen])])["first_seq"].as_u64().unwrap();
    let wide = sender.events(&[event("wide.net", "green", &[])])["first_seq"].as_u64().unwrap();
    let correct = |seq: u64, value: &str| {
        let body = json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": "clear", "named": true });
        let answer = authority.post(&format!("/api/v1/events/{seq}/amend"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["first_seq"].as_u64().unwrap()
    };
    let narrow = correct(narrow, "narrow-again.net");
    assert_eq!(stranger.get(&format!("/api/v1/events/{narrow}")).status, 404);
    assert_eq!(stranger.observable("domain", "narrow-again.net").status, 404);
    assert_eq!(sender.get(&format!("/api/v1/events/{narrow}")).json()["tlp"], "amber");
    let wide = correct(wide, "wide-again.net");
    let shown = stranger.get(&format!("/api/v1/events/{wide}"));
    assert_eq!((shown.status, &shown.json()["tlp"]), (200, &json!("green")));
    assert!(!shown.text().contains(&company), "the sender gave no leave to be named: {}", shown.text());
}

#[test]
fn a_sighting_takes_a_value_no_further_than_its_events() {
    let hub = Hub::start();
    let chosen = hub.organisation("Chosen", "company", "private", "energy");
    let reader = hub.client(&hub.key_with(&chosen, &json!({ "role": "analyst", "red": true })).1);
    let (sender, stranger) = (hub.member("Sender", "analyst"), hub.member("Stranger", "analyst"));
    sender.events(&[event("red.net", "red", &[&chosen]), event("narrow.net", "green", &[&chosen])]);
    for value in ["red.net", "narrow.net"] {
        assert_eq!(reader.observable("domain", value).status, 200, "{value}");
        sighting(&reader, value, "seen");
        assert_eq!(stranger.observable("domain", value).status, 404, "{value}");
    }
    assert_eq!(reader.observable("domain", "red.net").json()["tlp"], "red");
}

#[test]
fn an_expired_sighting_confirms_nothing() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "analyst"));
    sender.events(&[event("over.net", "green", &[])]);
    sighting(&other, "over.net", "expired");
    assert_eq!(sender.observable("domain", "over.net").json()["reporters"], 1);
}

#[test]
fn hidden_events_of_many_senders_change_no_answer() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"));
    let chosen = hub.organisation("Chosen", "company", "private", "energy");
    let secret = |malware: &str| {
        let mut event = event("shared.net", "amber", &[&chosen]);
        event["malware"] = json!(malware);
        event
    };
    let secrets: Vec<Value> = (0..50).map(|number| secret(&format!("Secret{number}"))).collect();
    sender.events(&secrets);
    assert_eq!(reader.observable("domain", "shared.net").status, 404);
    sender.events(&[event("shared.net", "green", &[])]);
    let before = reader.observable("domain", "shared.net").json();
    assert_eq!((&before["events"], before["at_least"].as_bool().unwrap_or(false)), (&json!(1), false));
    sender.events(&secrets);
    assert_eq!(reader.observable("domain", "shared.net").json(), before);
}

#[test]
fn a_claim_is_shown_to_nobody_who_may_not_know_its_value() {
    let hub = Hub::start();
    let claimant = hub.organisation("Claimant", "company", "private", "energy");
    let agency = hub.organisation("Sender", "agency", "public", "government");
    let authority = |line: &str| hub.client(&hub.key(&hub.organisation(line, "authority", line, "government"), "authority"));
    let (private, public) = (authority("private"), authority("public"));
    let (claimant_client, sender) = (hub.client(&hub.key(&claimant, "analyst")), hub.client(&hub.key(&agency, "analyst")));
    sender.events(&[event("claimed.net", "amber", &[&claimant])]);
    let claim = sighting(&claimant_client, "claimed.net", "false-positive");
    assert_eq!(private.observable("domain", "claimed.net").status, 404);
    assert!(claims(&private).is_empty(), "the claimant's authority does not know the value");
    assert_eq!(decide(&private, &claim, "uphold"), 404);
    assert_eq!(claims(&public).len(), 1, "the sender's authority decides");

    let own = sighting(&hub.coordinator(), "claimed.net", "false-positive");
    assert_eq!(decide(&hub.coordinator(), &own, "uphold"), 403, "nobody decides an own claim");
}

#[test]
fn a_removed_address_takes_its_network_and_port_along() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"));
    let sent = json!({
        "time": ago(60), "category": "infected-system", "tlp": "green", "source_asn": 64_511, "port": 44_123,
        "observables": [{ "type": "ipv4", "value": "203.0.114.50", "role": "victim" }, { "type": "domain", "value": "control.net", "role": "attacker" }]
    });
    let path = format!("/api/v1/events/{}", sender.events(&[sent])["first_seq"]);
    let (whole, shown) = (sender.get(&path).text(), reader.get(&path).text());
    assert!(shown.contains("control.net"), "{shown}");
    for trace in ["203.0.114.50", "64511", "44123"] {
        assert!(whole.contains(trace) && !shown.contains(trace), "{trace}: {shown}");
    }
}

#[test]
fn rejecting_one_claim_leaves_what_another_upheld_one_changed() {
    let hub = Hub::start();
    let (sender, first, second) = (hub.member("Sender", "analyst"), hub.member("First", "analyst"), hub.member("Second", "analyst"));
    sender.events(&[event("benign.net", "green", &[])]);
    let claims = [sighting(&first, "benign.net", "false-positive"), sighting(&second, "benign.net", "false-positive")];
    let state = || first.observable("domain", "benign.net").json()["state"].clone();
    assert_eq!(state(), "active");
    assert_eq!(decide(&hub.coordinator(), &claims[0], "uphold"), 200);
    assert_eq!(state(), "disputed", "the answer comes once it applies");
    assert_eq!(decide(&hub.coordinator(), &claims[1], "reject"), 200);
    assert_eq!(state(), "disputed");
}
