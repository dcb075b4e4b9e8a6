//! Who may call what: every operation of the OpenAPI document, without a key, with a revoked one, and with a key of each role.
//!
//! Flow: the document (`bongsu openapi`) lists under `x-roles` which roles may call an operation; the running hub is asked.
//! Invariant: an operation that the document lacks, that states no access, or whose path or body cannot be filled here fails the test.
//! Not here: that router and document hold the same operations (`web`), what of an answer a reader sees (`policy_doors`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use support::{Client, Hub, ago};

const ROLES: [&str; 7] = ["coordinator", "authority", "member-admin", "analyst", "reporter", "reader", "auditor"];

/// What the contract and the issue promise by name: operation, and the roles that may call it where that is said.
const PROMISED: [(&str, &str, Option<&[&str]>); 24] = [
    ("post", "/api/v1/events", Some(&["coordinator", "authority", "member-admin", "analyst", "reporter"])),
    ("get", "/api/v1/events", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("get", "/api/v1/events/{}", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("post", "/api/v1/events/withdraw", None),
    ("post", "/api/v1/events/{}/amend", None),
    ("get", "/api/v1/events/{}/history", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("get", "/api/v1/receipts/{}", None),
    ("get", "/api/v1/observables/{}/{}", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("post", "/api/v1/observables/{}/{}/sightings", None),
    ("post", "/api/v1/observables/lookup", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("get", "/api/v1/stream", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("post", "/api/v1/organisations", Some(&["coordinator"])),
    ("get", "/api/v1/organisations", None),
    ("get", "/api/v1/organisations/{}", None),
    ("post", "/api/v1/organisations/{}/keys", Some(&["coordinator", "member-admin"])),
    ("get", "/api/v1/organisations/{}/networks", None),
    ("get", "/api/v1/organisations/{}/contribution", None),
    ("get", "/api/v1/findings", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("post", "/api/v1/findings/{}/steps", Some(&["coordinator", "authority", "member-admin", "analyst"])),
    ("post", "/api/v1/subscriptions", Some(&["coordinator", "authority", "member-admin", "analyst"])),
    ("get", "/api/v1/subscriptions", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("get", "/api/v1/inbox", Some(&["coordinator", "authority", "member-admin", "analyst", "reader"])),
    ("get", "/api/v1/status", Some(&ROLES)),
    ("get", "/feeds/", None),
];

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    roles: Vec<String>,
    public: bool,
}

/// A key's holder, with what belongs to its own organisation.
struct Caller {
    role: &'static str,
    client: Client,
    organisation: String,
    seq: String,
    receipt: String,
}

#[test]
fn every_operation_answers_401_without_a_key_and_403_or_404_to_the_wrong_role() {
    let hub = Hub::start();
    let operations = operations();
    let callers: Vec<Caller> = ROLES.into_iter().map(|role| caller(&hub, role)).collect();
    let revoked = revoked(&hub);
    let mut wrong = Vec::new();
    for operation in &operations {
        let name = format!("{} {}", operation.method, operation.path);
        for (whose, client) in [("no key", hub.stranger()), ("a revoked key", revoked.clone())] {
            let status = call(&hub, &client, operation, &callers[0]);
            let refused = status == 401;
            // A public operation asks for no key; a bad one may still be refused.
            if refused == operation.public && !(operation.public && whose == "a revoked key") {
                wrong.push(format!("{name} with {whose}: {status}"));
            }
        }
        if operation.public {
            continue;
        }
        for caller in &callers {
            let allowed = operation.roles.iter().any(|role| role == caller.role);
            let status = call(&hub, &caller.client, operation, caller);
            let fits = if allowed { status < 500 && ![401, 403, 405].contains(&status) } else { [403, 404].contains(&status) };
            if !fits {
                wrong.push(format!("{name} as {} ({}): {status}", caller.role, if allowed { "allowed" } else { "refused" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_document_holds_what_the_contract_promises_for_the_roles_it_names() {
    let operations = operations();
    for (method, path, roles) in PROMISED {
        let found = operations.iter().find(|operation| operation.method == method && nameless(&operation.path) == path);
        let found = found.unwrap_or_else(|| panic!("{method} {path} is missing"));
        if let Some(roles) = roles {
            assert_eq!(found.roles, roles, "{method} {path}");
        }
    }
}

#[test]
fn an_unknown_path_is_401_to_strangers_and_404_to_members() {
    let hub = Hub::start();
    let member = hub.member("Member", "reader");
    for path in ["/api/v1/", "/api/v1/secrets", "/api/v2/events", "/api/v1/events/1/2/3"] {
        assert_eq!(hub.stranger().get(path).status, 401, "{path}");
        assert_eq!(member.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_key_is_good_only_from_its_addresses_and_until_it_expires() {
    let hub = Hub::start();
    let company = hub.organisation("Member", "company", "private", "finance");
    let elsewhere = hub.key_with(&company, &json!({ "role": "reader", "allow": ["192.0.2.0/24"] })).1;
    let here = hub.key_with(&company, &json!({ "role": "reader", "allow": ["127.0.0.0/8"] })).1;
    assert_eq!(hub.client(&elsewhere).get("/api/v1/status").status, 401);
    assert_eq!(hub.client(&here).get("/api/v1/status").status, 200);
    let past = hub.coordinator().post(&format!("/api/v1/organisations/{company}/keys"), &json!({ "role": "reader", "expires": "2020-01-01T00:00:00Z" }));
    assert!(past.status != 201 || hub.client(past.json()["key"].as_str().unwrap()).get("/api/v1/status").status == 401, "{}", past.text());
}

#[test]
fn a_rotated_key_and_its_successor_both_hold_during_the_overlap() {
    let hub = Hub::start();
    let company = hub.organisation("Member", "company", "private", "finance");
    let (id, old) = hub.key_with(&company, &json!({ "role": "reader" }));
    let rotated = hub.coordinator().post(&format!("/api/v1/organisations/{company}/keys/{id}/rotate"), &json!({ "overlap": 3_600 }));
    assert!([200, 201].contains(&rotated.status), "{}", rotated.text());
    let new = rotated.json()["key"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    for key in [old, new] {
        assert_eq!(hub.client(&key).get("/api/v1/status").status, 200);
    }
}

#[test]
fn an_organisation_sends_in_anothers_name_only_where_it_acts_for_it() {
    let hub = Hub::start();
    let provider = hub.organisation("Provider", "company", "private", "telecom");
    let client = hub.organisation("Client", "company", "private", "finance");
    let (agent, owner) = (hub.client(&hub.key(&provider, "analyst")), hub.client(&hub.key(&client, "analyst")));
    let path = format!("/api/v1/events?on_behalf_of={client}");
    let event = json!([{ "time": ago(60), "category": "scanner", "value": "185.60.1.9", "tlp": "green", "id": "ticket-1" }]);
    assert_eq!(agent.post(&path, &event).status, 404, "it may not know of the other one");
    assert_eq!(hub.coordinator().post(&path, &event).status, 403);
    assert_eq!(agent.post("/api/v1/events?on_behalf_of=somebody", &event).status, owner.post("/api/v1/events?dry_run=maybe", &event).status);

    hub.change_organisation(&provider, &json!({ "acts_for": [client] }));
    let taken = agent.post(&path, &event);
    assert_eq!((taken.status, taken.json()["accepted"].as_u64()), (200, Some(1)), "{}", taken.text());
    let seq = taken.json()["first_seq"].as_u64().unwrap();
    // It is the client's report: the client sees its own id on it, the provider does not, and each holds its own receipts only.
    assert_eq!(owner.get(&format!("/api/v1/events/{seq}")).json()["id"], "ticket-1");
    assert!(!agent.get(&format!("/api/v1/events/{seq}")).text().contains("ticket-1"));
    let receipt = format!("/api/v1/receipts/{}", taken.json()["receipt"].as_str().unwrap());
    assert_eq!((owner.get(&receipt).status, agent.get(&receipt).status), (200, 404));
    assert!(hub.log().contains("on behalf of another organisation"));
    let shown = owner.get(&format!("/api/v1/organisations/{client}")).json();
    assert_eq!(shown["acted_for_by"], json!([provider]));

    let line = json!({ "time": 1_700_000_000, "category": "scanner", "value": "185.60.1.10" }).to_string();
    let sent = hub.command(&hub.key(&provider, "reporter"), &["submit", "--on-behalf-of", &client, "-"], Some(line.as_bytes()));
    assert!(sent.status.success(), "{}", support::said(&sent));
    assert_eq!(owner.search("mine=1").len(), 2);
}

#[test]
fn a_standing_is_shown_to_the_member_with_its_reason_and_date() {
    let hub = Hub::start();
    let company = hub.organisation("Member", "company", "private", "finance");
    let reader = hub.client(&hub.key(&company, "reader"));
    let path = format!("/api/v1/organisations/{company}");
    let before = reader.get(&path).json();
    assert_eq!((&before["standing"], &before["standing_by"], &before["standing_rule"]), (&json!("full"), &json!("rule"), &json!(true)));
    let decision = json!({ "standing": "receive-limited", "reason": "as agreed", "until": support::now() + 86_400 });
    let decided = hub.coordinator().post(&format!("{path}/standing"), &decision);
    assert_eq!(decided.status, 200, "{}", decided.text());
    for answer in [reader.get(&path).json(), reader.get(&format!("{path}/contribution")).json()] {
        let shown = ["standing", "standing_by", "standing_reason"].map(|field| answer[field].as_str().unwrap_or_default());
        assert_eq!(shown, ["receive-limited", "operator", "as agreed"]);
        assert!(answer["standing_since"].is_string() && answer["standing_review"].is_string(), "{answer}");
    }
    let past = hub.coordinator().post(&format!("{path}/standing"), &json!({ "standing": "full", "reason": "heard", "until": 5 }));
    assert_eq!(past.status, 422, "{}", past.text());
}

fn operations() -> Vec<Operation> {
    let output = support::offline(&["openapi"]);
    assert!(output.status.success(), "{}", support::said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let public = operation["security"].as_array().is_some_and(Vec::is_empty);
            let stated = operation["x-roles"].as_array().cloned().unwrap_or_default();
            let roles: Vec<String> = stated.iter().map(|role| role.as_str().unwrap().to_owned()).collect();
            assert!(public || !roles.is_empty(), "{method} {path} serves no role");
            assert!(roles.iter().all(|role| ROLES.contains(&role.as_str())), "{method} {path}: {roles:?}");
            operations.push(Operation { method: method.clone(), path: path.clone(), roles, public });
        }
    }
    assert!(operations.len() >= PROMISED.len());
    operations
}

/// The path with the names of its parameters taken out.
fn nameless(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect();
    segments.join("/")
}

fn caller(hub: &Hub, role: &'static str) -> Caller {
    let organisation = match role {
        "coordinator" => hub.own_organisation(),
        "authority" => hub.organisation("Authority", "authority", "private", "government"),
        _ => hub.organisation(&format!("Company of a {role}"), "company", "private", "finance"),
    };
    let sender = hub.client(&hub.key(&organisation, "analyst"));
    let sent = sender.events(&[json!({ "time": ago(60), "category": "scanner", "value": "185.60.1.1", "tlp": "green" })]);
    let client = hub.client(&hub.key_with(&organisation, &json!({ "role": role, "holder": format!("Holder of {role}") })).1);
    Caller { role, client, organisation, seq: sent["first_seq"].to_string(), receipt: sent["receipt"].as_str().unwrap().to_owned() }
}

fn revoked(hub: &Hub) -> Client {
    let company = hub.organisation("Former member", "company", "private", "finance");
    let (id, secret) = hub.key_with(&company, &json!({ "role": "analyst" }));
    let client = hub.client(&secret);
    assert_eq!(client.get("/api/v1/status").status, 200);
    let done = hub.coordinator().request(
        "POST",
        &format!("/api/v1/organisations/{company}/keys/{id}/revoke"),
        &[("content-type", "application/json")],
        Some(br#"{"reason":"left"}"#),
    );
    assert!([200, 204].contains(&done.status), "{}", done.text());
    client
}

/// Calls an operation with parameters and a body that are right for the caller, so that only its rights can stop it.
fn call(hub: &Hub, client: &Client, operation: &Operation, caller: &Caller) -> u16 {
    let path = filled(hub, &operation.path, caller);
    let body = body(&operation.method, &nameless(&operation.path), caller).map(|body| serde_json::to_vec(&body).unwrap());
    let media = if path.starts_with("/taxii2") { "application/taxii+json;version=2.1" } else { "application/json" };
    let headers = [("content-type", media)];
    let headers: &[(&str, &str)] = if body.is_some() { &headers } else { &[] };
    client.status(&operation.method.to_uppercase(), &path, headers, body.as_deref())
}

fn filled(hub: &Hub, path: &str, caller: &Caller) -> String {
    const NOBODY: &str = "0190a5b8a1b27000800000000000abcd";
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        if !segment.starts_with('{') {
            segments.push(segment.to_owned());
            continue;
        }
        let before = segments.last().map_or("", String::as_str);
        let value = match before {
            "organisations" => caller.organisation.clone(),
            // A key of its own for every call: some calls end it.
            "keys" => hub.key_with(&caller.organisation, &json!({ "role": "reader" })).0,
            "events" => caller.seq.clone(),
            "receipts" => caller.receipt.clone(),
            "observables" => "ipv4".to_owned(),
            "ipv4" => "185.60.1.1".to_owned(),
            "claims" => format!("clm_{NOBODY}"),
            "confirm" => format!("{NOBODY}-{NOBODY}"),
            "findings" => format!("fnd_{NOBODY}"),
            "networks" => format!("net_{NOBODY}"),
            "erasures" => format!("ers_{NOBODY}"),
            "subscriptions" => format!("sub_{NOBODY}"),
            "inbox" => "0190a5b8-a1b2-7000-8000-00000000abcd".to_owned(),
            "groups" => "grp-nobody".to_owned(),
            "sources" => "nobody".to_owned(),
            "taxii2" => "main".to_owned(),
            "collections" => "intelligence".to_owned(),
            "objects" => "tool--0190a5b8-a1b2-4000-8000-00000000abcd".to_owned(),
            "status" => "0190a5b8-a1b2-4000-8000-00000000abcd".to_owned(),
            "feeds" => "ipv4.txt".to_owned(),
            "misp" => "manifest.json".to_owned(),
            "view" => "me".to_owned(),
            "add" | "edit" | "delete" | "publish" | "alert" | "unpublish" | "restore" | "index" | "accept" | "discard" => "1".to_owned(),
            "bulkSaveSightings" | "filterSightingUuidsForPush" => "1".to_owned(),
            "restSearch" => "event".to_owned(),
            _ => panic!("no value for {segment} of {path}: add one"),
        };
        segments.push(value);
    }
    segments.join("/")
}

/// A valid body for each operation that takes one; `{}` for those not named.
fn body(method: &str, path: &str, caller: &Caller) -> Option<Value> {
    if ["get", "delete"].contains(&method) {
        return None;
    }
    let event = json!({ "time": ago(60), "category": "scanner", "value": "185.60.1.1", "tlp": "green" });
    let seq: Value = serde_json::from_str(&caller.seq).unwrap();
    Some(match path {
        "/api/v1/events" => json!([event]),
        "/api/v1/events/withdraw" => json!({ "seq": seq, "reason": "test", "dry_run": true }),
        "/api/v1/events/{}/amend" => event,
        "/api/v1/observables/lookup" => json!({ "values": ["185.60.1.1"] }),
        "/api/v1/observables/{}/{}/sightings" => json!({ "kind": "false-positive", "note": "ours" }),
        "/api/v1/organisations" => json!({ "name": "New", "kind": "company", "constituency": "private", "sector": "energy" }),
        "/api/v1/organisations/{}" => json!({ "version": 1, "named": false, "reason": "test" }),
        "/api/v1/organisations/{}/keys" => json!({ "role": "reader" }),
        "/api/v1/organisations/{}/keys/{}/rotate" => json!({ "overlap": 60 }),
        "/api/v1/organisations/{}/keys/{}/revoke" => json!({ "reason": "test" }),
        "/api/v1/organisations/{}/standing" => json!({ "standing": "full", "reason": "test" }),
        "/api/v1/organisations/{}/networks" => json!({ "kind": "cidr", "value": "198.51.100.0/24" }),
        "/api/v1/organisations/{}/networks/{}/steps" => json!({ "step": "remove", "reason": "test" }),
        "/api/v1/organisations/{}/networks/{}/proof" => json!({ "method": "operator", "reason": "test" }),
        "/api/v1/organisations/{}/agreement" => json!({ "version": 1, "max_tlp": "amber", "reason": "test" }),
        "/api/v1/organisations/{}/contact" => json!({ "address": "abuse@member.example" }),
        "/api/v1/organisations/{}/contact/verify" => json!({ "token": "not the one" }),
        "/api/v1/organisations/{}/contact/bounce" => json!({ "reason": "550 no such user" }),
        "/api/v1/contacts" => json!({ "contacts": [{ "value": "185.60.1.0/24", "address": "abuse@isp.example" }] }),
        "/api/v1/findings/{}/steps" => json!({ "step": "acknowledge", "reason": "test" }),
        "/api/v1/subscriptions" => json!({ "name": "All", "about": "events", "channel": { "inbox": {} } }),
        "/api/v1/subscriptions/{}" => json!({ "version": 1, "name": "All" }),
        "/api/v1/subscriptions/{}/confirm" => json!({ "code": "0000-0000-0000" }),
        "/taxii2/{}/collections/{}/objects/" => json!({ "objects": [{ "type": "tool", "spec_version": "2.1", "name": "nmap",
            "id": "tool--0190a5b8-a1b2-4000-8000-00000000abce", "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z" }] }),
        "/api/v1/groups" => json!({ "id": "grp-test", "title": "A group" }),
        "/api/v1/groups/{}" => json!({ "version": 1, "title": "A group" }),
        "/api/v1/claims/{}/steps" => json!({ "step": "uphold", "reason": "test" }),
        "/api/v1/erasures" => json!({ "type": "email", "value": "nobody@nowhere.kr", "basis": "PIPA article 36" }),
        "/api/v1/erasures/{}/steps" => json!({ "step": "confirm" }),
        _ => json!({}),
    })
}
