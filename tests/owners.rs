//! Owners of networks from outside: registration, proof, findings, their life, release, who stands in for an owner, contacts, and that nobody learns
//! more than is theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::net::UdpSocket;
use std::path::Path;
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
        // Of what another has registered a reporter's word alone tells nobody.
        json!({ "time": ago(60), "category": "scanner", "tlp": "green", "value": "185.60.1.2", "source_asn": 64_500 }),
    ]);
    let own = |found: &[Value]| {
        let mut values: Vec<String> = found.iter().map(|finding| finding["value"].as_str().unwrap().to_owned()).collect();
        values.sort_unstable();
        values
    };
    let found = eventually(&banker, "", |found| found.len() == 4);
    assert_eq!(own(&found), ["185.60.1.1", "185.60.1.2", "185.60.7.9", "pay.bank.example"], "all prefixes, not the longest alone");
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

#[test]
fn who_does_not_see_all_that_waits_of_a_sender_releases_none_of_it() {
    let hub = Hub::start();
    let owner = hub.organisation("Owner", "company", "private", "finance");
    register(&hub, &owner, "cidr", "185.60.1.0/24", false);
    let reader = hub.client(&hub.key(&owner, "analyst"));
    let agency = hub.organisation("Agency", "agency", "public", "government");
    let sender = hub.client(&hub.key(&agency, "analyst"));
    let line = hub.organisation("Authority", "authority", "public", "government");
    let (cleared, uncleared) = (hub.client(&hub.key_with(&line, &json!({ "role": "authority", "red": true })).1), hub.client(&hub.key(&line, "authority")));
    std::thread::sleep(Duration::from_millis(1_500));
    let event = |seconds: u64, fields: Value| {
        let mut event = json!({ "time": ago(seconds), "category": "infected-system", "value": "185.60.1.9" });
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    };
    sender.events(&[event(60, json!({ "tlp": "green", "notify_owner": "hold" })), event(50, json!({ "tlp": "red" }))]);
    let waiting = eventually(&cleared, "", |found| found.len() == 1 && found[0]["waiting"]["events"] == 2);
    let part = eventually(&uncleared, "", |found| found.len() == 1);
    assert_eq!((&part[0]["waiting"]["events"], &part[0]["waiting"]["red"]), (&json!(1), &json!(false)), "the red one it does not see");
    let refused = step(&uncleared, &part[0]["id"], &json!({ "step": "release" }));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(!refused.text().contains("red"), "nor is it told that there is one: {}", refused.text());
    settled(&hub);
    assert!(eventually(&reader, "", |_| true).is_empty(), "not even what that key sees was released");
    let released = step(&cleared, &waiting[0]["id"], &json!({ "step": "release" }));
    assert_eq!(released.status, 200, "{}", released.text());
    assert_eq!(eventually(&reader, "", |found| found.len() == 1)[0]["events"], 2);
}

/// A hub with a configuration of its own, made in the folder that holds its data.
fn hub_with(configuration: impl FnOnce(&Path) -> String) -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bongsu.toml");
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let data = folder.path().join("data");
    Hub::start_in(folder, data, &["--config", file.to_str().unwrap()])
}

/// Asks until the nation is as wanted.
fn nation(hub: &Hub, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let found = hub.coordinator().get("/api/v1/national").json();
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_nobody_registered_in_the_nation_is_told_to_its_provider_else_to_the_authority() {
    const DELEGATED: &str = "2.3|apnic|20260101|2|19850701|20251231|+1000\napnic|KR|ipv4|185.60.0.0|65536|20100101|allocated|A\n\
        apnic|KR|asn|64500|1|20100101|allocated|A\n";
    let mut hub = hub_with(|folder| {
        let (delegated, routes) = (folder.join("delegated"), folder.join("routes"));
        std::fs::write(&delegated, DELEGATED).unwrap();
        std::fs::write(&routes, "185.60.2.0/24,64501\n").unwrap();
        format!("[national]\ncountry = \"KR\"\ndelegated = [{delegated:?}]\nroutes = {routes:?}\n")
    });
    let line = hub.organisation("Authority", "authority", "private", "government");
    let provider = hub.organisation("Provider", "company", "private", "telecom");
    let owner = hub.organisation("Owner", "company", "private", "finance");
    register(&hub, &owner, "cidr", "185.60.3.0/24", false);
    register(&hub, &provider, "asn", "64501", false);
    let told = nation(&hub, |nation| nation["active"] == true && nation["authorities"]["private"] == line.as_str());
    assert_eq!((&told["size"]["ipv4_addresses"], &told["size"]["routes"], &told["problem"]), (&json!(65_536), &json!(1), &Value::Null), "{told}");
    assert_eq!(told["authorities"]["public"], line.as_str(), "where a line has none, the private one's");
    std::thread::sleep(Duration::from_millis(1_500));
    settled(&hub);

    let sender = hub.member("Sender", "analyst");
    let event = |value: &str| json!({ "time": ago(60), "category": "infected-system", "value": value, "tlp": "green" });
    // What a reporter says of an AS brings no address into the nation.
    sender.events(&[json!({ "time": ago(60), "category": "infected-system", "value": "203.0.113.8", "source_asn": 64_500, "tlp": "green" })]);
    sender.events(&["185.60.1.9", "185.60.2.9", "185.60.3.9", "203.0.113.9"].map(event));
    for (organisation, value, fallback) in [(&line, "185.60.1.9", true), (&provider, "185.60.2.9", true), (&owner, "185.60.3.9", false)] {
        let client = hub.client(&hub.key(organisation, "analyst"));
        let found = eventually(&client, "", |found| found.len() == 1);
        assert_eq!((&found[0]["value"], &found[0]["part"], found[0].get("fallback").is_some()), (&json!(value), &json!("owner"), fallback));
        assert!(eventually(&sender, "", |_| true).is_empty());
    }
    assert_eq!(eventually(&hub.coordinator(), "", |_| true).len(), 3, "what lies abroad is told to nobody");
    assert_eq!(sender.get("/api/v1/national").status, 403);

    // A broken file changes nothing but that it is told of; what was withdrawn leaves, by whoever stood in for an owner then.
    hub.terminate();
    std::fs::write(hub.scratch().join("delegated"), "<html>moved</html>").unwrap();
    hub.restart();
    assert!(nation(&hub, |nation| nation["problem"].is_string())["active"] == true);
    let sent = sender.events(&[event("185.60.1.10")]);
    let stands_in = hub.client(&hub.key(&line, "analyst"));
    eventually(&stands_in, "", |found| found.len() == 2);
    let withdrawn = sender.post("/api/v1/events/withdraw", &json!({ "seq": sent["first_seq"], "reason": "mistaken" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    eventually(&stands_in, "", |found| found.len() == 1 && found[0]["value"] == "185.60.1.9");
}

/// Answers every question for a text of `name` with `text`, and every other with none.
fn name_server(name: &'static str, text: std::sync::mpsc::Receiver<String>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut asked = [0_u8; 1_500];
        let mut known = String::new();
        while let Ok((length, from)) = socket.recv_from(&mut asked) {
            known = text.try_recv().unwrap_or(known);
            let question = &asked[12..length];
            let labels: Vec<u8> = name.split('.').flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).chain([0]).collect();
            let end = question.iter().position(|byte| *byte == 0).unwrap() + 5;
            let found = question.starts_with(&labels);
            let mut answer = asked[..2].to_vec();
            answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
            answer.extend_from_slice(&question[..end]);
            if found {
                answer.extend_from_slice(&[0xC0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, known.len() as u8 + 1, known.len() as u8]);
                answer.extend_from_slice(known.as_bytes());
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    port
}

#[test]
fn a_domain_is_proven_by_the_challenge_in_dns_and_by_nothing_else() {
    let (told, text) = std::sync::mpsc::channel();
    let port = name_server("_bongsu-proof.bank.example", text);
    let hub = hub_with(|_| format!("[dns]\nservers = [\"127.0.0.1:{port}\"]\n"));
    let owner = hub.organisation("Owner", "company", "private", "finance");
    let (administrator, analyst) = (hub.client(&hub.key(&owner, "member-admin")), hub.client(&hub.key(&owner, "analyst")));
    let path = format!("/api/v1/organisations/{owner}/networks");
    let asked = ["domain bank.example", "domain shop.example", "cidr 185.60.1.0/24"].map(|asked| {
        let (kind, value) = asked.split_once(' ').unwrap();
        let answer = administrator.post(&path, &json!({ "kind": kind, "value": value }));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let network = answer.json();
        let approved = hub.coordinator().post(&format!("{path}/{}/steps", network["id"].as_str().unwrap()), &json!({ "step": "approve" }));
        assert_eq!(approved.status, 200, "{}", approved.text());
        network
    });
    let check = |client: &Client, network: &Value| client.post(&format!("{path}/{}/proof/check", network["id"].as_str().unwrap()), &json!({}));
    let [bank, shop, range] = &asked;
    assert_eq!(bank["challenge"]["record"], "_bongsu-proof.bank.example");
    assert_eq!(check(&analyst, bank).status, 403);
    assert_eq!(check(&administrator, range).status, 422, "a range has no name in DNS");

    let absent = check(&administrator, shop);
    assert_eq!((absent.status, &absent.json()["proof"], &absent.json()["challenge"]["found"]), (200, &json!("claimed"), &json!("absent")), "{}", absent.text());
    let soon = check(&administrator, shop);
    assert!(soon.status == 429 && soon.text().contains("try again in"), "right after another look: {}", soon.text());
    assert!(check(&administrator, range).text().contains("abuse address"), "how a range is proven");
    told.send(bank["challenge"]["token"].as_str().unwrap().to_owned()).unwrap();
    let proven = check(&administrator, bank);
    assert_eq!((proven.status, &proven.json()["proof"], &proven.json()["proof_method"]), (200, &json!("proven"), &json!("dns-txt")), "{}", proven.text());
    assert_eq!(check(&administrator, bank).status, 409);
    std::thread::sleep(Duration::from_millis(1_500));
    settled(&hub);
    let event = |value: &str| json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": "green" });
    hub.member("Sender", "analyst").events(&["pay.bank.example", "pay.shop.example"].map(event));
    let found = eventually(&analyst, "", |found| !found.is_empty());
    assert_eq!(found.iter().map(|finding| finding["value"].as_str().unwrap()).collect::<Vec<_>>(), ["pay.bank.example"]);
}

#[test]
fn the_command_line_registers_a_network_and_says_what_is_left_to_do() {
    let (told, text) = std::sync::mpsc::channel();
    let port = name_server("_bongsu-proof.bank.example", text);
    let hub = hub_with(|_| format!("[dns]\nservers = [\"127.0.0.1:{port}\"]\n"));
    let owner = hub.organisation("Small Bank", "company", "private", "finance");
    let (administrator, coordinator) = (hub.key(&owner, "member-admin"), hub.coordinator_key());
    let run = |key: &str, arguments: &[&str]| {
        let output = hub.command(key, &[&["network"][..], arguments].concat(), None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&administrator, &["list"]), (Some(0), String::new(), "no registered networks\n".to_owned()));

    let (code, printed, words) = run(&administrator, &["add", "bank.example"]);
    let bank = printed.trim();
    assert!(code == Some(0) && bank.starts_with("net_") && bank.len() == 36 && printed.lines().count() == 1, "the id alone: {printed}{words}");
    let next = format!("bongsu network check {bank}");
    for part in ["Approval", "name   _bongsu-proof.bank.example", "type   TXT", "value  bongsu-proof=", next.as_str()] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let (_, shop, _) = run(&administrator, &["add", "shop.example"]);
    let absent = run(&administrator, &["check", shop.trim()]);
    assert!(absent.0 == Some(1) && absent.2.contains("no TXT record at _bongsu-proof.shop.example"), "{absent:?}");
    let shown: Value = serde_json::from_str(&run(&administrator, &["show", bank, "--json"]).1).unwrap();
    told.send(shown["challenge"]["token"].as_str().unwrap().to_owned()).unwrap();
    let proven = run(&administrator, &["check", bank]);
    assert!(proven.0 == Some(0) && proven.1.contains("pending and proven") && proven.2.contains("Approval"), "{proven:?}");
    assert_eq!(run(&administrator, &["approve", bank]).0, Some(1), "nobody decides on its own");

    // The coordinator needs the id alone.
    let approved = run(&coordinator, &["approve", bank]);
    assert!(approved.0 == Some(0) && approved.1.contains("approved and proven") && approved.2.contains("in force"), "{approved:?}");
    let waiting = run(&coordinator, &["list", "--all", "--state", "pending"]);
    assert!(waiting.1.contains("shop.example") && waiting.1.contains("Small Bank") && !waiting.1.contains("bank.example"), "{waiting:?}");
    let rejected = run(&coordinator, &["reject", shop.trim(), "--reason", "of another company", "--org", "small bank"]);
    assert!(rejected.0 == Some(0) && rejected.2.contains("shop.example was rejected: of another company"), "{rejected:?}");
    assert!(rejected.1.contains("is rejected") && !rejected.1.contains("claimed"), "{rejected:?}");
    assert!(!approved.2.contains("subscribe"), "it is not the coordinator's to subscribe: {approved:?}");
    let twice = run(&coordinator, &["approve", bank]);
    assert!(twice.0 == Some(1) && twice.2.contains("is approved and proven") && !twice.2.contains("legal"), "{twice:?}");

    // The company learns what became of it, and why; a stranger nothing.
    let mine = run(&administrator, &["list"]);
    assert!(!mine.1.contains("shop.example") && mine.2.contains("--state rejected"), "{mine:?}");
    let ended = run(&administrator, &["list", "--state", "rejected,withdrawn"]).1;
    assert!(ended.contains("shop.example") && ended.contains("of another company") && !ended.contains("bank.example"), "{ended}");
    for named in [shop.trim(), "shop.example", "SHOP.example"] {
        let shown = run(&administrator, &["show", named]);
        assert!(shown.0 == Some(0) && shown.1.contains("of another company") && shown.1.contains("coordinator"), "{shown:?}");
    }
    let stranger = hub.key(&hub.organisation("Stranger", "company", "private", "finance"), "member-admin");
    assert_eq!(run(&stranger, &["show", shop.trim()]).0, Some(1));
    let path = format!("/api/v1/organisations/{owner}/networks");
    let door = |key: &str, path: &str| hub.client(key).get(path).status;
    assert_eq!(door(&stranger, &format!("{path}/{}", shop.trim())), 404);
    assert_eq!(door(&stranger, &format!("{path}?state=rejected")), 404);
    assert_eq!((door(&administrator, &format!("{path}/{}", shop.trim())), door(&administrator, &format!("{path}?state=lost"))), (200, 400));

    // What collides is told to who decides, and to nobody else.
    let (_, _, words) = run(&stranger, &["add", "pay.bank.example", "--reason", "we run it"]);
    assert!(!words.contains("Small Bank") && !words.contains(bank), "{words}");
    let collides = run(&coordinator, &["approve", "pay.bank.example"]);
    assert!(collides.0 == Some(0) && collides.2.contains("Small Bank") && collides.2.contains(bank), "{collides:?}");
    let again = run(&administrator, &["add", "bank.example"]);
    assert!(again.0 == Some(1) && again.2.contains(bank), "{again:?}");
    for (wrong, words) in [("our office", "AS64500"), ("192.168.0.0/16", "private addresses"), ("naver.com", "mail address")] {
        let refused = run(&administrator, &["add", wrong]);
        assert!(refused.0 == Some(1) && refused.2.contains(words), "{refused:?}");
    }

    let (_, range, words) = run(&administrator, &["add", "185.60.1.7/24"]);
    assert!(words.contains("185.60.1.7/24 was taken as 185.60.1.0/24"), "{words}");
    assert!(words.contains("abuse") && words.contains("bongsu-proof=") && !words.contains("TXT"), "{words}");
    assert_eq!(run(&coordinator, &["approve", range.trim()]).0, Some(0));
    let confirmed = run(&coordinator, &["prove", range.trim(), "--method", "abuse-mail", "--reason", "reply of 3 May"]);
    assert!(confirmed.0 == Some(0) && confirmed.1.contains("approved and proven"), "{confirmed:?}");
    let listed = run(&administrator, &["list"]).1;
    assert!(listed.contains("IN FORCE") && listed.lines().filter(|line| line.contains("true")).count() == 2, "{listed}");
    let withdrawn = run(&administrator, &["withdraw", range.trim(), "--reason", "sold"]);
    assert!(withdrawn.0 == Some(0) && withdrawn.1.contains("withdrawn"), "{withdrawn:?}");
    let sold = run(&administrator, &["show", "185.60.1.0/24"]);
    assert!(sold.0 == Some(0) && sold.1.contains("withdrawn") && sold.1.contains("sold") && sold.1.contains("organisation"), "{sold:?}");
    let nowhere = run(&administrator, &["show", "nowhere.example"]);
    assert!(nowhere.0 == Some(1) && nowhere.2.contains("bongsu network list"), "{nowhere:?}");
}

#[test]
fn contacts_of_members_are_looked_after_and_a_table_of_others_is_imported() {
    let hub = Hub::start();
    let owner = hub.organisation("Owner", "company", "private", "finance");
    let line = hub.organisation("Authority", "authority", "private", "government");
    let (administrator, authority) = (hub.client(&hub.key(&owner, "member-admin")), hub.client(&hub.key(&line, "authority")));
    let path = format!("/api/v1/organisations/{owner}/contact");
    assert_eq!(administrator.post(&path, &json!({ "address": "abuse@bank.example" })).status, 200);
    let queue = |query: &str| items(&authority.get(&format!("/api/v1/contacts/queue{query}")).json()).to_vec();
    let states = |rows: &[Value]| rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(states(&queue("")), ["missing", "unverified"]);

    // The link that is mailed where the hub sends mail: to look changes nothing, the button verifies, once.
    let token = hub.coordinator().get(&path).json()["token"].as_str().unwrap().to_owned();
    let link = format!("/contacts/confirm/{}-{}", owner.strip_prefix("org_").unwrap(), token.strip_prefix("bongsu-contact-").unwrap());
    let shown = hub.stranger().get(&link);
    assert_eq!((shown.status, shown.text().contains("<strong>Owner</strong>"), shown.text().contains("abuse@")), (200, true, false), "{}", shown.text());
    assert_eq!(states(&queue("")), ["missing", "unverified"]);
    assert_eq!(hub.stranger().post(&link, &json!({})).status, 200);
    assert_eq!(administrator.get(&path).json()["state"], "verified");
    assert_eq!((hub.stranger().post(&link, &json!({})).status, hub.stranger().get(&link).status), (404, 404));
    assert_eq!(hub.coordinator().post(&format!("{path}/verify"), &json!({})).status, 200);
    assert_eq!(states(&queue("?state=unverified,due,bouncing")), Vec::<String>::new());
    let bounced = hub.coordinator().post(&format!("{path}/bounce"), &json!({ "reason": "550 5.1.1 no such user" }));
    assert_eq!((bounced.status, &bounced.json()["state"], &bounced.json()["bounces"]), (200, &json!("bouncing"), &json!(1)), "{}", bounced.text());
    assert_eq!(queue("?limit=1")[0]["organisation"], owner.as_str());
    let told = hub.command(&hub.coordinator_key(), &["contacts", "queue"], None);
    let row = String::from_utf8_lossy(&told.stdout).lines().find(|line| line.starts_with("bouncing")).map(str::to_owned);
    assert!(row.is_some_and(|row| row.contains("Owner") && row.contains("abuse@bank.example") && row.ends_with(&owner)), "{}", support::said(&told));
    assert_eq!(administrator.get("/api/v1/contacts/queue").status, 403);

    let table = "place,mail\n185.60.0.0/16,abuse@isp.example\n185.60.1.0/24,soc@shop.example\nAS64500,noc@isp.example\n\
        shop.example,web@shop.example\nnowhere at all,x@y.example\n";
    let import = |table: &str| hub.command(&hub.coordinator_key(), &["contacts", "import", "-", "--source", "test"], Some(table.as_bytes()));
    let first = import(table);
    assert_eq!(first.status.code(), Some(3), "{}", support::said(&first));
    assert!(support::said(&first).contains("4 added") && support::said(&first).contains("line 6"), "{}", support::said(&first));
    let found = |value: &str| {
        let answer = authority.get(&format!("/api/v1/contacts?value={value}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        items(&answer.json()).iter().map(|row| row["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("185.60.1.9"), ["soc@shop.example", "abuse@isp.example"], "the innermost first");
    assert_eq!(found("www.shop.example"), ["web@shop.example"]);
    assert!(found("203.0.113.9").is_empty());
    let again = import("185.60.0.0/16,abuse@isp.example\n185.60.1.0/24,\nAS64500,noc2@isp.example\n");
    assert!(support::said(&again).contains("0 added, 1 changed, 1 unchanged, 1 removed"), "{}", support::said(&again));
    assert_eq!(found("185.60.1.9"), ["abuse@isp.example"]);
    let listed = hub.command(&hub.coordinator_key(), &["contacts", "list", "--json"], None);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 3, "{}", support::said(&listed));
    assert_eq!(administrator.get("/api/v1/contacts").status, 403);
    assert_eq!(authority.post("/api/v1/contacts", &json!({ "contacts": [] })).status, 403);
}
