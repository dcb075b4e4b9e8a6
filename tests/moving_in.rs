//! Moving in from a MISP and an n6, moving on to another hub, and reports of Shadowserver and IntelMQ's JSON as they are sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::path::PathBuf;
use support::{Hub, said};

fn write(hub: &Hub, name: &str, content: &Value) -> PathBuf {
    let path = hub.scratch().join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

fn import(hub: &Hub, arguments: &[&str]) -> std::process::Output {
    let mut all = vec!["import"];
    all.extend(arguments);
    hub.command(&hub.coordinator_key(), &all, None)
}

fn organisations(hub: &Hub) -> Vec<Value> {
    hub.coordinator().get("/api/v1/organisations?limit=1000").json()["organisations"].as_array().unwrap().clone()
}

fn n6() -> Value {
    json!({
        "orgs": [
            {"org_id": "bank.test-n6.org", "actual_name": "Bank of the Test", "inside_filter_asns": [4200], "inside_filter_ip_networks": ["45.150.0.0/16"],
                "inside_filter_fqdns": ["bank.test-n6.org"], "email_notification_addresses": ["abuse@bank.test-n6.org"], "org_groups": ["Banks"],
                "users": [{"login": "one@bank.test-n6.org"}, {"login": "gone@bank.test-n6.org", "is_blocked": true}]},
            {"org_id": "power.test-n6.org", "inside_filter_ip_networks": ["45.151.0.0/16", "not a network"]},
        ],
        "org_groups": [{"org_group_id": "Banks", "comment": "all banks"}],
    })
}

#[test]
fn an_n6_moves_in_once_and_what_is_left_out_is_told() {
    let hub = Hub::start();
    let file = write(&hub, "n6.json", &n6());
    let (file, keys, report) = (file.to_str().unwrap(), hub.scratch().join("keys.tsv"), hub.scratch().join("report.json"));
    let (keys_text, report_text) = (keys.to_str().unwrap(), report.to_str().unwrap());

    let before = organisations(&hub).len();
    let dry = import(&hub, &["n6", file, "--dry-run", "--keys", keys_text]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(said(&dry).contains("organisations to add") && organisations(&hub).len() == before && !keys.exists(), "{}", said(&dry));

    let first = import(&hub, &["n6", file, "--keys", keys_text, "--report", report_text]);
    // One network is none, which the hub has refused.
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    assert!(said(&first).contains("not a network") && said(&first).contains("blocked"), "{}", said(&first));
    assert_eq!(organisations(&hub).len(), before + 2);
    let bank = organisations(&hub).into_iter().find(|organisation| organisation["name"] == "Bank of the Test").unwrap();
    let path = format!("/api/v1/organisations/{}", bank["id"].as_str().unwrap());
    assert_eq!(bank["groups"], json!(["banks"]));
    let networks = hub.coordinator().get(&format!("{path}/networks")).json();
    assert_eq!(networks["networks"].as_array().unwrap().len(), 3);
    assert!(networks["networks"].as_array().unwrap().iter().all(|network| network["state"] == "approved" && network["proof"] == "proven"));
    assert_eq!(hub.coordinator().get(&format!("{path}/contact")).json()["address"], "abuse@bank.test-n6.org");
    // The key works, is written down once, and is its reader's alone.
    let written = std::fs::read_to_string(&keys).unwrap();
    let row: Vec<&str> = written.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((row[0], row[1], row[2]), ("Bank of the Test", "one@bank.test-n6.org", "analyst"));
    assert_eq!(hub.client(row[4]).get("/api/v1/me").status, 200);
    assert!(!written.contains("gone@") && !said(&first).contains(row[4]));

    // Again, and under another name: nothing is there twice.
    let mut renamed = n6();
    renamed["orgs"][0]["actual_name"] = json!("Bank of the Test, renamed");
    let renamed = write(&hub, "renamed.json", &renamed);
    let second = import(&hub, &["n6", renamed.to_str().unwrap(), "--keys", keys_text, "--report", report_text]);
    assert_eq!(organisations(&hub).len(), before + 2, "{}", said(&second));
    assert_eq!(std::fs::read_to_string(&keys).unwrap(), written, "{}", said(&second));
    assert!(said(&second).contains("organisations there already"), "{}", said(&second));
}

#[test]
fn a_misps_answers_move_in_from_files() {
    let hub = Hub::start();
    let folder = hub.scratch().join("misp");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, content: Value| std::fs::write(folder.join(name), content.to_string()).unwrap();
    write(
        "organisations.json",
        json!([
            {"Organisation": {"id": "1", "name": "Grid", "uuid": "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0001", "local": true, "sector": "Energy", "nationality": "South Korea"}},
            {"Organisation": {"id": "2", "name": "Friends abroad", "uuid": "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0002", "local": false}},
        ]),
    );
    write("users.json", json!([{"User": {"org_id": "1", "email": "admin@grid.test-misp.org", "disabled": false}, "Role": {"name": "Org Admin"}}]));
    write(
        "groups.json",
        json!({"response": [{"SharingGroup": {"name": "Power and friends", "uuid": "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0003", "active": true},
            "SharingGroupOrg": [{"org_id": "1", "Organisation": {"uuid": "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0001"}}, {"org_id": "2", "Organisation": {"uuid": "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0002"}}]}]}),
    );
    let output = import(&hub, &["misp", folder.to_str().unwrap(), "--external", "partner"]);
    assert!(output.status.success(), "{}", said(&output));
    let all = organisations(&hub);
    let grid = all.iter().find(|organisation| organisation["name"] == "Grid").unwrap();
    assert_eq!((&grid["sector"], &grid["country"], &grid["groups"]), (&json!("energy"), &json!("KR"), &json!(["power-and-friends"])));
    let abroad = all.iter().find(|organisation| organisation["name"] == "Friends abroad").unwrap();
    assert_eq!((&abroad["kind"], &abroad["groups"]), (&json!("partner"), &json!(["power-and-friends"])));
    assert!(said(&output).contains("--keys FILE"), "{}", said(&output));
}

#[test]
fn two_of_one_name_are_never_merged_and_a_match_by_name_is_told() {
    let hub = Hub::start();
    hub.organisation("Twin", "company", "private", "finance");
    let before = organisations(&hub).len();
    let row = |number: u32, name: &str| json!({"Organisation": {"id": number.to_string(), "name": name, "uuid": format!("5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a001{number}"), "local": true}});
    let both = write(&hub, "both.json", &json!([row(1, "Twin"), row(2, "twin")]));
    for more in [&["--dry-run"][..], &[]] {
        let output = import(&hub, &[&["misp", both.to_str().unwrap()][..], more].concat());
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains("2 organisations there have this name"), "{}", said(&output));
        assert_eq!(organisations(&hub).len(), before);
    }
    let (one, report) = (write(&hub, "one.json", &json!([row(1, "TWIN")])), hub.scratch().join("twins.json"));
    let dry = import(&hub, &["misp", one.to_str().unwrap(), "--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("by its name taken for org_"), "{}", said(&dry));
    let done = import(&hub, &["misp", one.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    assert!(done.status.success() && organisations(&hub).len() == before, "{}", said(&done));
    // Noted now: the other one of the name is another one.
    let again = import(&hub, &["misp", both.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    assert!(said(&again).contains("stands for \"Twin\"") && !said(&again).contains("by its name taken"), "{}", said(&again));
    assert_eq!(organisations(&hub).len(), before);
}

#[test]
fn a_misps_key_is_not_sent_in_the_clear() {
    let hub = Hub::start();
    let key = hub.scratch().join("misp.key");
    std::fs::write(&key, "only-for-this-test").unwrap();
    let refused = import(&hub, &["misp", "http://misp.bongsu-test.invalid", "--misp-key-file", key.to_str().unwrap()]);
    assert!(!refused.status.success() && said(&refused).contains("--insecure"), "{}", said(&refused));
    let asked = import(&hub, &["misp", "http://misp.bongsu-test.invalid", "--insecure", "--misp-key-file", key.to_str().unwrap()]);
    assert!(!asked.status.success() && said(&asked).contains("plain http") && said(&asked).contains("cannot reach"), "{}", said(&asked));
}

#[test]
fn a_directory_is_exported_and_another_hub_reads_it_back() {
    let one = Hub::start();
    let file = write(&one, "n6.json", &n6());
    import(&one, &["n6", file.to_str().unwrap(), "--keys", "keys.tsv"]);
    let exported = one.scratch().join("directory.json");
    let output = one.command(&one.coordinator_key(), &["export", "directory", "--out", exported.to_str().unwrap()], None);
    assert!(output.status.success(), "{}", said(&output));
    let text = std::fs::read_to_string(&exported).unwrap();
    let keys = std::fs::read_to_string(one.scratch().join("keys.tsv")).unwrap();
    let secret = keys.lines().nth(1).unwrap().rsplit('\t').next().unwrap();
    assert!(!text.contains(secret) && !text.contains("token"), "a directory holds no secret");

    let other = Hub::start();
    let output = import(&other, &["directory", exported.to_str().unwrap(), "--keys", "keys.tsv"]);
    assert!(output.status.success(), "{}", said(&output));
    let again = other.scratch().join("again.json");
    other.command(&other.coordinator_key(), &["export", "directory", "--out", again.to_str().unwrap()], None);
    let strip = |text: &str| {
        let mut directory: Value = serde_json::from_str(text).unwrap();
        for organisation in directory["organisations"].as_array_mut().unwrap() {
            organisation["ref"] = Value::Null;
        }
        directory
    };
    assert_eq!(strip(&text), strip(&std::fs::read_to_string(&again).unwrap()));
}

#[test]
fn intelmqs_objects_are_taken_one_a_request_and_one_a_line() {
    let hub = Hub::start();
    let member = hub.member("IntelMQ", "analyst");
    let object =
        json!({ "classification.type": "infected-system", "source.ip": "45.150.1.1", "time.source": support::now() - 600, "feed.name": "x", "raw": "eA==" });
    let answer = member.submit("application/json", object.to_string().as_bytes());
    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(1)), "{}", answer.text());
    let answer = member.submit("application/x-ndjson", format!("{object}\n").as_bytes());
    assert_eq!((answer.status, &answer.json()["merged"]), (200, &json!(1)), "{}", answer.text());
    let events = member.search("mine=1");
    assert_eq!((events.len(), &events[0]["observables"][0]["role"], &events[0]["original"]), (1, &json!("victim"), &json!("eA==")));
}
