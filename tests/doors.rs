//! What the doors owe beyond the main way: what was kept of a request that broke off, the versions of an event, where a stream goes on,
//! words that help.
//!
//! Not here: the main way (`walkthrough`), who may call what (`authorisation`), connections that stand still (`bongsu::serve`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use support::{Answer, Client, Hub, ago, ndjson, outcome};

const LIMIT: usize = 20_000;

fn event(value: &str) -> Value {
    json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": "green" })
}

/// A hub that takes so many events a request.
fn limited() -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bongsu.toml");
    std::fs::write(&config, format!("[limits]\nmax_events = {LIMIT}\n")).unwrap();
    let data = folder.path().join("data");
    Hub::start_in(folder, data, &["--config", config.to_str().unwrap()])
}

#[test]
fn a_request_past_the_limit_names_the_receipt_of_what_was_kept() {
    let hub = limited();
    let sender = hub.member("Sender", "analyst");
    // Several chunks of the hub, of which the first is within the limit.
    let note = "n".repeat(120);
    let events: Vec<Value> = (0..LIMIT + 10_000)
        .map(|number| json!({ "time": ago(60), "category": "scanner", "value": format!("185.{}.{}.7", number / 250 % 250, number % 250), "tlp": "green", "note": note }))
        .collect();
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "long-1")];
    let refused = sender.request("POST", "/api/v1/events", &headers, Some(&ndjson(&events)));
    assert_eq!(refused.status, 413, "{}", refused.text());
    let problem = refused.json();
    let kept = usize::try_from(problem["accepted"].as_u64().unwrap()).unwrap();
    assert!(kept > 0 && kept <= LIMIT, "{problem}");
    assert_eq!((&problem["limit"], &problem["merged"]), (&json!(LIMIT), &json!(0)));
    let receipt = sender.get(&format!("/api/v1/receipts/{}", problem["receipt"].as_str().unwrap()));
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    for field in ["receipt", "first_seq", "last_seq", "accepted"] {
        assert_eq!(receipt.json()[field], problem[field], "{field}");
    }
    let again = sender.request("POST", "/api/v1/events", &headers, Some(&ndjson(&events[..kept])));
    assert_eq!((outcome(&again).accepted, outcome(&again).merged), (0, kept as u64), "{}", again.text());
}

#[test]
fn a_request_of_which_nothing_was_kept_names_no_receipt() {
    let hub = limited();
    let sender = hub.member("Sender", "analyst");
    let lines: Vec<String> = (0..LIMIT + 5_000).map(|number| format!("185.{}.{}.7\n", number / 250, number % 250)).collect();
    let list = lines.concat();
    let refused = sender.submit("text/plain", list.as_bytes());
    assert_eq!((refused.status, &refused.json()["receipt"]), (413, &Value::Null), "{}", refused.text());
    assert_eq!(sender.observable("ipv4", "185.0.0.7").status, 404);
}

#[test]
fn a_batch_and_what_meets_a_filter_are_withdrawn() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "analyst"));
    let batch = sender.events(&[event("a.batch.net"), event("b.batch.net"), event("c.batch.net")]);
    let withdrawn = sender.post("/api/v1/events/withdraw", &json!({ "receipt": batch["receipt"], "reason": "a mistake" }));
    assert_eq!(withdrawn.json()["withdrawn"], 3, "{}", withdrawn.text());
    let named = |value: &str| {
        let mut event = event(value);
        event["malware"] = json!("Filtered");
        event
    };
    sender.events(&[named("a.filter.net"), event("kept.net"), named("b.filter.net")]);
    other.events(&[named("others.net")]);
    let filter = json!({ "filter": { "malware": "Filtered" }, "reason": "a mistake" });
    assert_eq!(sender.post("/api/v1/events/withdraw", &filter).json()["withdrawn"], 2);
    assert_eq!((other.search("domain=batch.net").len(), other.search("malware=Filtered").len(), other.search("domain=kept.net").len()), (0, 1, 1));
}

fn amend(client: &Client, seq: u64, value: &str) -> u64 {
    let answer = client.post(&format!("/api/v1/events/{seq}/amend"), &event(value));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["first_seq"].as_u64().unwrap()
}

fn history(client: &Client, seq: u64) -> Answer {
    client.get(&format!("/api/v1/events/{seq}/history"))
}

#[test]
fn the_versions_of_an_event_are_for_its_sender_its_authority_and_the_coordinator() {
    let mut hub = Hub::start();
    let company = hub.organisation("Sender", "company", "private", "finance");
    let above = hub.organisation("Authority", "authority", "private", "government");
    let (sender, authority) = (hub.client(&hub.key(&company, "analyst")), hub.client(&hub.key(&above, "authority")));
    let reader = hub.member("Reader", "analyst");
    // Beside others in one batch, so that a version is told from its neighbours.
    let first = sender.events(&[event("before.net"), event("one.net"), event("after.net")])["first_seq"].as_u64().unwrap() + 1;
    let second = amend(&sender, first, "two.net");
    let third = amend(&authority, second, "three.net");

    for client in [&sender, &authority, &hub.coordinator()] {
        for seq in [first, second, third] {
            let answer = history(client, seq);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let items = answer.json()["items"].as_array().unwrap().clone();
            let short: Vec<_> = items.iter().map(|item| (item["seq"].as_u64().unwrap(), item["state"].as_str().unwrap(), item["by"]["id"].as_str())).collect();
            assert_eq!(short, [(third, "current", None), (second, "amended", Some(above.as_str())), (first, "amended", Some(company.as_str()))]);
            for (item, value) in items.iter().zip(["three.net", "two.net", "one.net"]) {
                assert_eq!((&item["event"]["observables"][0]["value"], &item["event"]["seq"]), (&json!(value), &item["seq"]), "{item}");
            }
        }
    }
    assert_eq!(history(&sender, first - 1).json()["items"].as_array().unwrap().len(), 1, "its neighbour was never corrected");
    assert_eq!((history(&reader, third).status, history(&reader, second).status, history(&reader, first).status), (403, 404, 404));
    let replaced = sender.get(&format!("/api/v1/events/{first}"));
    assert_eq!((replaced.status, &replaced.json()["seq"]), (410, &json!(third)), "{}", replaced.text());
    assert_eq!(reader.get(&format!("/api/v1/events/{first}")).status, 404);

    let withdrawn = sender.post("/api/v1/events/withdraw", &json!({ "seq": third, "reason": "all wrong" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    hub.kill();
    hub.restart();
    let newest = history(&sender, first).json()["items"][0].clone();
    assert_eq!((&newest["state"], &newest["reason"], &newest["by"]["id"]), (&json!("withdrawn"), &json!("all wrong"), &json!(company)));
    assert_eq!((sender.get(&format!("/api/v1/events/{first}")).status, history(&reader, third).status), (404, 404));
    assert_eq!(history(&sender, 9_007_199_254_740_000).status, 404);
}

/// The first message of a stream.
fn opening(reader: &Client, query: &str) -> Vec<String> {
    let response = reader.open("GET", &format!("/api/v1/stream{query}"), &[], None).unwrap();
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_stream_that_breaks_before_its_first_event_is_resumed_without_loss() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"));
    sender.events(&[event("before.net")]);
    let said = opening(&reader, "");
    let id = said.iter().find_map(|line| line.strip_prefix("id: ")).unwrap_or_else(|| panic!("no id: {said:?}")).to_owned();
    let missed = sender.events(&[event("meanwhile.net")])["first_seq"].as_u64().unwrap();
    let (seq, event) = reader.stream("", &[("last-event-id", &id)]).next_event().unwrap();
    assert_eq!((seq, &event["observables"][0]["value"]), (missed, &json!("meanwhile.net")));
    assert!(opening(&reader, "?from=7").contains(&"id: 6".to_owned()));
    assert!(!opening(&reader, "?from=0").iter().any(|line| line.starts_with("id:")));
}

#[test]
fn a_wrong_word_is_answered_with_the_right_ones() {
    let hub = Hub::start();
    let reader = hub.member("Reader", "analyst");
    for (query, expected) in [("category=phisching", "phishing"), ("type=ip", "ipv4"), ("categroy=phishing", "unknown parameter")] {
        let answer = reader.get(&format!("/api/v1/events?{query}"));
        assert!(answer.status == 400 && answer.text().contains(expected), "{query}: {}", answer.text());
    }
    for (body, pointer) in [(json!(["1.1.1.1"]), ""), (json!({ "value": [] }), "/values"), (json!({ "values": ["1.1.1.1", 7] }), "/values/1")] {
        let answer = reader.post("/api/v1/observables/lookup", &body);
        assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)), "{}", answer.text());
    }
}

#[test]
fn a_name_in_letters_is_found_as_it_was_sent_and_people_see_both_forms() {
    let hub = Hub::start();
    let organisation = hub.organisation("Sender", "company", "private", "finance");
    let key = hub.key(&organisation, "analyst");
    let sender = hub.client(&key);
    sender.events(&[event("가짜은행.kr"), event("http://가짜은행.kr/login"), event("аррӏе.com")]);
    let found = sender.observable("domain", "가짜은행.kr");
    assert_eq!(found.status, 200, "{}", found.text());
    let label = found.json()["value"].as_str().unwrap().to_owned();
    assert!(label.starts_with("xn--") && label.is_ascii(), "{label}");
    let results = sender.post("/api/v1/observables/lookup", &json!({ "values": ["가짜은행.kr", label, "가짜은행[.]KR"] })).json()["results"].clone();
    assert!(results.as_array().unwrap().iter().all(|result| result["value"] == json!(label)), "{results}");
    let name = support::escape("가짜은행.kr");
    assert_eq!((sender.search(&format!("value={name}")).len(), sender.search(&format!("domain={name}")).len()), (1, 2));
    let both = format!("{label} (가짜은행.kr)");
    let told = |arguments: &[&str]| support::said(&hub.command(&key, arguments, None));
    assert!(told(&["lookup", "가짜은행.kr"]).contains(&both) && told(&["search", "--type", "domain"]).contains(&both));
    assert!(!told(&["lookup", "--json", "가짜은행.kr"]).contains("가짜은행"), "what programs read stays as it is");
    let disguised = told(&["lookup", "аррӏе.com"]);
    assert!(disguised.contains("xn--80ak6aa92e.com") && !disguised.contains("аррӏе"), "{disguised}");
}

#[test]
fn objects_written_over_several_lines_are_taken_whole() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let pretty = |event: &Value| serde_json::to_string_pretty(event).unwrap();
    let taken = sender.submit("application/octet-stream", pretty(&event("pretty.net")).as_bytes());
    assert_eq!((taken.status, outcome(&taken).accepted), (200, 1), "{}", taken.text());
    let timeless = json!({ "category": "phishing", "target": { "sector": "energy" }, "value": "timeless.net" });
    let two = format!("{}\n{}\n", pretty(&timeless), pretty(&event("second.net")));
    let partly = sender.submit("application/octet-stream", two.as_bytes());
    assert_eq!((partly.status, outcome(&partly).accepted, outcome(&partly).refused), (200, 1, 1), "{}", partly.text());
    assert_eq!(partly.json()["errors"][0]["line"], 1);
}

#[test]
fn a_misspelt_field_is_kept_and_told_and_so_are_the_defaults_that_stood_in() {
    let hub = Hub::start();
    let organisation = hub.organisation("Sender", "company", "private", "finance");
    let key = hub.key(&organisation, "analyst");
    let sender = hub.client(&key);
    let line = |number: u64| json!({ "time": ago(60), "category": "scanner", "value": format!("185.7.{}.{}", number / 250, number % 250), "tpl": "red" });
    let body = ndjson(&(0..150).map(line).collect::<Vec<Value>>());
    for path in ["/api/v1/events?dry_run=1", "/api/v1/events"] {
        let answer = sender.request("POST", path, &[("content-type", "application/x-ndjson")], Some(&body));
        let told = answer.json();
        assert_eq!((answer.status, outcome(&answer).accepted, &told["warned"]), (200, 150, &json!(150)), "{told}");
        assert_eq!(told["warnings"].as_array().unwrap().len(), 100);
        assert_eq!(told["warnings"][1], json!({ "line": 2, "reason": "\"tpl\" is unknown and kept under extra; is tlp meant?" }));
        assert_eq!(told["defaults"], json!([{ "field": "tlp", "value": "amber", "entries": 150 }]));
    }
    let kept = &sender.search("value=185.7.0.7&mine=true")[0];
    assert_eq!((&kept["extra"]["tpl"], &kept["tlp"]), (&json!("red"), &json!("amber")), "{kept}");
    let right = sender.request("POST", "/api/v1/events?tlp=green", &[("content-type", "application/x-ndjson")], Some(&ndjson(&[event("right.net")]))).json();
    assert!(right["warnings"].is_null() && right["warned"].is_null() && right["defaults"].is_null(), "{right}");
    let seq = kept["seq"].clone();
    let amended = sender.post(&format!("/api/v1/events/{seq}/amend"), &line(7)).json();
    assert_eq!((&amended["warned"], amended["warnings"].as_array().unwrap().len()), (&json!(1), 1), "{amended}");

    let table = format!("time,categroy,value\n{},phishing,misspelt-column.net\n", support::now() - 60);
    let refused = sender.submit("text/csv", table.as_bytes());
    assert_eq!((refused.status, &refused.json()["warnings"][0]["line"]), (422, &json!(1)), "{}", refused.text());
    let shown = hub.command(&key, &["submit", "--dry-run", "-"], Some(&body));
    let said = support::said(&shown);
    assert!(said.contains("defaults: tlp amber\n") && said.contains(":1: warning: \"tpl\"") && said.contains("and 140 more warnings"), "{said}");
}

#[test]
fn a_browser_is_asked_for_the_key_where_it_wants_the_description_and_nowhere_else() {
    let hub = Hub::start();
    let stranger = hub.stranger();
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for path in ["/api/docs", "/api/openapi.json"] {
        let page = stranger.request("GET", path, &[browser, ("accept-language", "ko")], None);
        assert_eq!((page.status, page.header("content-type"), page.header("content-language")), (401, "text/html; charset=utf-8", "ko"), "{path}");
        assert!(page.headers.get_all("www-authenticate").iter().any(|value| value.to_str().unwrap().starts_with("Basic ")), "{path}");
        let told = stranger.get(path);
        assert_eq!((told.status, told.header("content-type"), told.header("www-authenticate")), (401, "application/problem+json", "Bearer"), "{path}");
        for (password, status) in [(hub.coordinator_key(), 200), ("bgs_wrong".to_owned(), 401)] {
            let basic = format!("Basic {}", support::base64(&format!("me:{password}")));
            assert_eq!(stranger.request("GET", path, &[browser, ("authorization", &basic)], None).status, status, "{path}");
        }
    }
    // Elsewhere another site's page could let a browser send the password that it keeps.
    let basic = format!("Basic {}", support::base64(&format!("me:{}", hub.coordinator_key())));
    for path in ["/api/v1/status", "/api/v1/events", "/api/nowhere"] {
        let answer = stranger.request("GET", path, &[browser, ("authorization", &basic)], None);
        assert_eq!((answer.status, answer.header("content-type")), (401, "application/problem+json"), "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("expected is Authorization: Bearer KEY"), "{}", answer.text());
    }
    assert!(stranger.get("/api/v1/me").json()["detail"].as_str().unwrap().ends_with("Authorization: Bearer KEY"));
}

#[test]
fn a_browser_meets_pages_where_programs_meet_problem_documents() {
    let hub = Hub::start();
    let stranger = hub.stranger();
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let basic = format!("Basic {}", support::base64(&format!("me:{}", hub.coordinator_key())));
    for (method, path, status) in [
        ("GET", "/nonsense/%3Cb%3E", 404),
        ("GET", "/?lang=de", 400),
        ("GET", "/?%3Cb%3E=1", 400),
        ("POST", "/", 405),
        ("GET", "/feeds/recalls", 401),
        ("GET", "/feeds/nothing", 404),
        ("GET", "/feeds/list.txt?since=abc", 400),
        ("GET", "/contacts/confirm/none?x=1", 400),
        ("GET", "/contacts/confirm/none", 404),
    ] {
        for (language, words) in [("ko", "처음으로"), ("en", "Front page")] {
            let page = stranger.request(method, path, &[browser, ("accept-language", language)], None);
            assert_eq!((page.status, page.header("content-type"), page.header("content-language")), (status, "text/html; charset=utf-8", language), "{path}");
            let text = page.text();
            assert!(!text.contains("<b>") && !text.contains("<script") && text.contains("<html lang="), "{path}: {text}");
            let leads_on = [words, "href=\"/feeds/\"", "href=\"/api/docs\""].iter().all(|part| text.contains(part));
            assert!(leads_on || path == "/contacts/confirm/none", "{path}: {text}");
            assert!(page.header("content-security-policy").starts_with("default-src 'none'") && page.header("x-content-type-options") == "nosniff", "{path}");
        }
        for accepted in ["*/*", "application/json, text/html;q=0.5"] {
            let told = stranger.request(method, path, &[("accept", accepted)], None);
            assert_eq!((told.status, told.header("content-type")), (status, "application/problem+json"), "{path}");
        }
    }
    let recalls = stranger.request("GET", "/feeds/recalls", &[browser], None);
    assert!(recalls.headers.get_all("www-authenticate").iter().any(|value| value.to_str().unwrap().starts_with("Basic ")), "the browser asks for the key");
    let described = stranger.request("GET", "/api/docs?x=1", &[browser, ("authorization", &basic)], None);
    assert_eq!((described.status, described.header("content-type")), (400, "text/html; charset=utf-8"), "{}", described.text());
}

#[test]
fn every_caller_learns_how_far_the_views_are_and_only_some_the_totals() {
    let hub = Hub::start();
    let reader = hub.member("Reader", "reader");
    let last = hub.member("Sender", "analyst").events(&[event("status.net")])["last_seq"].as_u64();
    for (client, sees_totals) in [(&reader, false), (&hub.coordinator(), true)] {
        let status = client.get("/api/v1/status").json();
        assert_eq!(status["ledger"]["events"].is_u64(), sees_totals, "{status}");
        // Records are carried into the ledger, too, and may have come since.
        assert!(status["ledger"]["last_seq"].as_u64() >= last && status["views"]["observables"].as_u64() >= last, "{status}");
    }
}
