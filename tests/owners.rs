//! Owners of networks from outside: registration, proof, findings, their life, release, and that nobody learns more than is theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Client, Hub, ago, items};

/// How long findings may lag behind an answer.
const WITHIN: Duration = Duration::from_secs(20);

/// Asks until the answer is as wanted.
fn eventually(client: &Client, query: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/api/v1/findings?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = items(&answer.json()).to_vec();
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until findings are as far as every other view.
fn settled(hub: &Hub) {
    let began = Instant::now();
    loop {
        let status = hub.coordinator().get("/api/v1/status").json();
        if status["views"]["owners"].as_u64() >= status["views"]["observables"].as_u64() {
            return;
        }
        assert!(began.elapsed() < WITHIN, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn register(hub: &Hub, organisation: &str, kind: &str, value: &str, protected: bool) -> String {
    let body = json!({ "kind": kind, "value": value, "protected": protected, "reason": "test" });
    let answer = hub.coordinator().post(&format!("/api/v1/organisations/{organisation}/networks"), &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!((&answer.json()["state"], &answer.json()["proof"]), (&json!("approved"), &json!("proven")));
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn step(client: &Client, id: &Value, body: &Value) -> support::Answer {
    client.post(&format!("/api/v1/findings/{}/steps", id.as_str().unwrap()), body)
}

#[test]
fn a_claim_counts_once_it_is_approved_and_proven_and_brings_no_history() {
    let hub = Hub::start();
    let owner = hub.organisation("Owner", "company", "private", "finance");
    let administrator = hub.client(&hub.key(&owner, "member-admin"));
    let sender = hub.member("Sender", "analyst");
    let path = format!("/api/v1/organisations/{owner}/networks");
    let asked = administrator.post(&path, &json!({ "kind": "cidr", "value": "185.60.1.0/24" }));
    assert_eq!((asked.status, &asked.json()["state"], &asked.json()["proof"]), (201, &json!("pending"), &json!("claimed")));
    let network = asked.json()["id"].as_str().unwrap().to_owned();
    let event = |last: u8| json!({ "time": ago(60), "category": "infected-system", "value": format!("185.60.1.{last}"), "tlp": "green" });

    sender.events(&[event(1)]);
    assert_eq!(hub.coordinator().post(&format!("{path}/{network}/steps"), &json!({ "step": "approve" })).status, 200);
    sender.events(&[event(2)]);
    assert_eq!(administrator.post(&format!("{path}/{network}/proof"), &json!({ "method": "operator", "reason": "mine" })).status, 403);
    let proven = hub.coordinator().post(&format!("{path}/{network}/proof"), &json!({ "method": "abuse-mail", "reason": "the reply quotes it" }));
    assert_eq!((proven.status, &proven.json()["proof"]), (200, &json!("proven")), "{}", proven.text());
    settled(&hub);
    // The outbox is carried within half a second.
    std::thread::sleep(Duration::from_millis(1_500));
    sender.events(&[event(3)]);
    let found = eventually(&administrator, "", |found| !found.is_empty());
    assert_eq!(found.iter().map(|finding| finding["value"].as_str().unwrap()).collect::<Vec<_>>(), ["185.60.1.3"], "what was before brings nothing");

    assert_eq!(administrator.post(&format!("{path}/{network}/steps"), &json!({ "step": "withdraw", "reason": "sold" })).status, 200);
    std::thread::sleep(Duration::from_millis(1_500));
    sender.events(&[event(4)]);
    settled(&hub);
    assert_eq!(eventually(&administrator, "", |_| true).len(), 1, "what it knew it keeps, and nothing comes any more");
}

#[test]
fn an_owner_is_told_of_its_own_value_and_of_nothing_else_whatever_the_marking() {
    let hub = Hub::start();
    let (bank, grid) = (hub.organisation("Bank", "company", "private", "finance"), hub.organisation("Grid", "company", "private", "energy"));
    register(&hub, &bank, "cidr", "185.60.0.0/16", false);
    register(&hub, &bank, "domain", "bank.example", false);
    register(&hub, &grid, "cidr", "185.60.7.0/24", false);
    register(&hub, &grid, "asn", "64500", false);
    let (banker, gridder) = (hub.client(&hub.key(&bank, "analyst")), hub.client(&hub.key(&grid, "reader")));
    let stranger = hub.member("Stranger", "analyst");
    let sender_organisation = hub.organisation("Very secret sender", "agency", "public", "government");
    let sender = hub.client(&hub.key(&sender_organisation, "analyst"));
    std::thread::sleep(Duration::from_millis(1_500));
    sender.events(&[
        json!({
            "time": ago(90), "category": "c2-server", "tlp": "amber+strict", "audience": ["grp-nobody"], "malware": "Sinmul", "port": 8443,
            "observables": [{ "type": "ipv4", "value": "185.60.7.9", "role": "attacker" }, { "type": "domain", "value": "pay.bank.example", "role": "victim" }],
            "note": "seen by our own people", "id": "ticket-4711", "extra_field": "x",
        }),
        json!({ "time": ago(80), "category": "scanner", "tlp": "green", "value": "203.0.113.200", "source_asn": 64_500, "dst_ip": "185.60.1.1", "dst_port": 22 }),
        json!({ "time": ago(70), "category": "test", "tlp": "green", "value": "185.60.7.10" }),
    ]);
    let own = |found: &[Value]| {
        let mut values: Vec<String> = found.iter().map(|finding| finding["value"].as_str().unwrap().to_owned()).collect();
        values.sort_unstable();
        values
    };
    let found = eventually(&banker, "", |found| found.len() == 3);
    assert_eq!(own(&found), ["185.60.1.1", "185.60.7.9", "pay.bank.example"], "all prefixes, not the longest alone");
    let flow = found.iter().find(|finding| finding["value"] == "185.60.1.1").unwrap();
    assert_eq!((&flow["port"], &flow["category"]), (&json!(22), &json!("scanner")));
    let found = eventually(&gridder, "", |found| found.len() == 2);
    assert_eq!(own(&found), ["185.60.7.9", "203.0.113.200"], "the prefix, and what the reporter says lies in the AS");
    let told = gridder.get("/api/v1/findings").text();
    for secret in ["secret", "ticket", "our own people", "bank", "185.60.1.1", "grp-nobody", "amber", &sender_organisation] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    assert!(told.contains("Sinmul") && told.contains("guidance"));
    assert!(eventually(&stranger, "", |_| true).is_empty() && eventually(&sender, "", |_| true).is_empty());
    let id = found[0]["id"].as_str().unwrap();
    for client in [&stranger, &sender, &banker] {
        assert_eq!(client.get(&format!("/api/v1/findings/{id}")).status, 404);
        assert_eq!(client.get(&format!("/api/v1/findings/{id}/history")).status, 404);
    }
    let csv = gridder.get("/api/v1/findings.csv?category=c2-server");
    assert_eq!((csv.status, csv.text().lines().count()), (200, 2), "{}", csv.text());
    assert_eq!(gridder.get(&format!("/api/v1/findings?owner={bank}")).json()["findings"], json!([]));
    let listed = hub.command(&hub.key(&grid, "reader"), &["findings", "--json"], None);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2, "{}", support::said(&listed));
}

#[test]
fn a_finding_lives_by_the_owners_steps_and_by_what_is_seen() {
    let hub = Hub::start();
    let owner = hub.organisation("Owner", "company", "private", "finance");
    register(&hub, &owner, "cidr", "185.60.1.0/24", true);
    let (analyst, reader) = (hub.client(&hub.key(&owner, "analyst")), hub.client(&hub.key(&owner, "reader")));
    let sender = hub.member("Sender", "analyst");
    std::thread::sleep(Duration::from_millis(1_500));
    let event = |seconds: u64| json!({ "time": ago(seconds), "category": "infected-system", "value": "185.60.1.9", "tlp": "green", "notify_owner": "hold" });
    sender.events(&[event(600)]);
    let found = eventually(&analyst, "", |found| found.len() == 1);
    let (finding, id) = (&found[0], &found[0]["id"]);
    assert_eq!(
        (&finding["protected"], &finding["state"], &finding["version"]),
        (&json!(true), &json!("open"), &json!(0)),
        "a hold does not hold what is protected"
    );
    let held = eventually(&sender, "", |found| found.len() == 1);
    assert_eq!((&held[0]["part"], &held[0]["waiting"]["events"], held[0].get("protected")), (&json!("sender"), &json!(1), None), "a sender does not learn so");

    assert_eq!(step(&reader, id, &json!({ "step": "acknowledge" })).status, 403);
    assert_eq!(step(&analyst, id, &json!({ "step": "acknowledge", "version": 7 })).status, 409);
    assert_eq!(step(&analyst, id, &json!({ "step": "verify" })).status, 409);
    assert_eq!(step(&analyst, id, &json!({ "step": "accept-risk", "reason": "old" })).status, 422);
    let acknowledged = step(&analyst, id, &json!({ "step": "acknowledge", "version": 0 }));
    assert_eq!((acknowledged.status, &acknowledged.json()["state"], &acknowledged.json()["version"]), (200, &json!("acknowledged"), &json!(1)));
    assert_eq!(step(&analyst, id, &json!({ "step": "fix", "reason": "reinstalled", "version": 1 })).json()["state"], "fixed");
    assert_eq!(step(&hub.coordinator(), id, &json!({ "step": "verify", "version": 2 })).json()["state"], "verified");
    assert_eq!(step(&hub.coordinator(), id, &json!({ "step": "false-positive", "reason": "no" })).status, 403, "the owner alone says so");
    let summary = analyst.get("/api/v1/findings/summary").json();
    assert_eq!((&summary["states"]["verified"], &summary["time_to_fix"]["finance"]["findings"]), (&json!(1), &json!(1)), "{summary}");

    std::thread::sleep(Duration::from_millis(1_100));
    sender.events(&[event(0)]);
    eventually(&analyst, "state=reopened", |found| found.len() == 1);
    let finding = analyst.get(&format!("/api/v1/findings/{}", id.as_str().unwrap())).json();
    assert_eq!((&finding["events"], &finding["version"]), (&json!(2), &json!(3)));
    let history = analyst.get(&format!("/api/v1/findings/{}/history", id.as_str().unwrap())).json();
    let actions: Vec<&str> = items(&history).iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["verify", "fix", "acknowledge"]);
}

#[test]
fn red_waits_for_its_sender_or_the_authority_and_what_is_withdrawn_leaves() {
    let mut hub = Hub::start();
    let owner = hub.organisation("Owner", "company", "private", "finance");
    register(&hub, &owner, "domain", "bank.example", false);
    let reader = hub.client(&hub.key(&owner, "analyst"));
    let agency = hub.organisation("Agency", "agency", "public", "government");
    let sender = hub.client(&hub.key(&agency, "analyst"));
    let line = hub.organisation("Authority", "authority", "public", "government");
    let (cleared, uncleared) = (hub.client(&hub.key_with(&line, &json!({ "role": "authority", "red": true })).1), hub.client(&hub.key(&line, "authority")));
    let other = hub.organisation("Other authority", "authority", "private", "government");
    let owners_authority = hub.client(&hub.key(&other, "authority"));
    std::thread::sleep(Duration::from_millis(1_500));
    let sent = sender.events(&[json!({ "time": ago(60), "category": "phishing", "value": "http://login.bank.example/x", "tlp": "red" })]);
    let waiting = eventually(&sender, "", |found| found.len() == 1);
    assert_eq!((&waiting[0]["part"], &waiting[0]["waiting"]["red"], waiting[0].get("owner")), (&json!("sender"), &json!(true), None));
    let of_line = eventually(&cleared, "", |found| found.len() == 1);
    assert_eq!((&of_line[0]["part"], of_line[0].get("owner"), of_line[0].get("protected")), (&json!("authority"), None, None), "nor does its authority");
    assert!(eventually(&cleared, &format!("owner={owner}"), |_| true).is_empty());
    for client in [&reader, &uncleared, &owners_authority] {
        assert!(eventually(client, "", |_| true).is_empty());
        assert_eq!(step(client, &waiting[0]["id"], &json!({ "step": "release" })).status, 404);
    }
    let released = step(&sender, &waiting[0]["id"], &json!({ "step": "release", "reason": "tell them" }));
    assert_eq!(released.status, 200, "{}", released.text());
    let told = eventually(&reader, "", |found| found.len() == 1);
    assert_eq!((&told[0]["value"], told[0].get("waiting")), (&json!("http://login.bank.example/x"), None));
    let history = reader.get(&format!("/api/v1/findings/{}/history", told[0]["id"].as_str().unwrap())).text();
    assert!(history.contains("release") && !history.contains(&agency) && !history.contains("tell them"), "{history}");
    assert_eq!(eventually(&owners_authority, "", |_| true).len(), 1, "what the owner is told its authority sees");

    hub.terminate();
    hub.restart();
    assert_eq!(eventually(&reader, "", |found| found.len() == 1)[0]["value"], "http://login.bank.example/x");
    let withdrawn = sender.post("/api/v1/events/withdraw", &json!({ "seq": sent["first_seq"], "reason": "mistaken" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    eventually(&reader, "", <[Value]>::is_empty);
}
