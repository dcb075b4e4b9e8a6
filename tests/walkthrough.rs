//! The tour that a member takes: submit in every format, look up, search, read one event, follow the receipt, withdraw, amend.
//!
//! Not here: who else may see it (`policy_doors`), crashes (`kill`), the shared real data (`data`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::io::Write;
use support::{Counts, Hub, ago, counts, escape, items, ndjson, now, outcome, said};

fn event(value: &str, malware: &str) -> Value {
    json!({ "time": ago(600), "category": "c2-server", "observables": [value], "malware": malware, "tlp": "green" })
}

#[test]
fn every_format_goes_in_by_submit_plain_or_compressed_and_is_found_by_lookup() {
    let hub = Hub::start();
    let company = hub.organisation("Hanbit Logistics", "company", "private", "logistics");
    let key = hub.key(&company, "analyst");
    let time = now() - 600;
    let ndjson_text = ndjson(&[event("c2-ndjson.net", "Formatia"), event("185.11.22.1", "Formatia")]);
    let array = json!([event("c2-array.net", "Formatia")]).to_string();
    let csv = format!("time,category,value,malware\n{time},c2-server,c2-csv.net,Formatia\n{time},phishing,\"http://phish-csv.net/a,b\",\n");
    let list = "# a list\nc2-list[.]net\n\nhxxp://list-url.net/x\r\n185.11.22.2:443\n";
    let stix = json!({
        "type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d", "objects": [{
            "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2026-01-05T08:00:00.000Z", "modified": "2026-01-05T08:00:00.000Z", "valid_from": "2026-01-05T08:00:00Z",
            "indicator_types": ["malicious-activity"], "pattern_type": "stix", "pattern": "[domain-name:value = 'c2-stix.net']"
        }]
    })
    .to_string();
    let misp = json!({ "Event": { "info": "campaign", "date": "2026-01-05", "uuid": "5a3e0b5c-6d2c-4d3f-9f41-0a8f02de0b81", "Attribute": [
        { "type": "domain", "category": "Network activity", "to_ids": true, "value": "c2-misp.net", "timestamp": "1767600000", "uuid": "5a3e0b5c-6d2c-4d3f-9f41-0a8f02de0b82" }
    ] } })
    .to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&ndjson(&[event("c2-gzip.net", "Formatia")])).unwrap();
    let files: [(&str, Vec<u8>, u64, &[&str]); 8] = [
        ("a.ndjson", ndjson_text, 2, &["c2-ndjson.net", "185.11.22.1"]),
        ("b.json", array.into_bytes(), 1, &["c2-array.net"]),
        ("c.csv", csv.into_bytes(), 2, &["c2-csv.net", "http://phish-csv.net/a,b"]),
        ("d.txt", list.into(), 3, &["c2-list.net", "http://list-url.net/x", "185.11.22.2"]),
        ("e.stix.json", stix.into_bytes(), 1, &["c2-stix.net"]),
        ("f.misp.json", misp.into_bytes(), 1, &["c2-misp.net"]),
        ("g.ndjson.gz", gzip.finish().unwrap(), 1, &["c2-gzip.net"]),
        ("h.ndjson.zst", zstd::encode_all(ndjson(&[event("c2-zstd.net", "Formatia")]).as_slice(), 3).unwrap(), 1, &["c2-zstd.net"]),
    ];
    for (name, bytes, accepted, values) in files {
        std::fs::write(hub.scratch().join(name), bytes).unwrap();
        let first = hub.command(&key, &["submit", name], None);
        assert_eq!(first.status.code(), Some(0), "{name}: {}", said(&first));
        assert_eq!(counts(&first), Counts { accepted, merged: 0, refused: 0 }, "{name}: {}", said(&first));
        let again = hub.command(&key, &["submit", name], None);
        assert_eq!(counts(&again), Counts { accepted: 0, merged: accepted, refused: 0 }, "{name}, sent again: {}", said(&again));
        for answer in hub.client(&key).lookup(values) {
            assert_eq!(answer["events"], 1, "{name}: {answer}");
        }
    }
    let looked_up = hub.command(&key, &["lookup", "--json", "c2-ndjson.net"], None);
    assert!(looked_up.status.success() && said(&looked_up).contains("c2-ndjson.net"), "{}", said(&looked_up));
    let found = hub.command(&key, &["search", "--json", "--malware", "Formatia", "--within", "185.11.22.0/24"], None);
    assert!(said(&found).contains("185.11.22.1") && !said(&found).contains("c2-array.net"), "{}", said(&found));
    let exact = hub.command(&key, &["search", "--json", "--value", "C2-ndjson[.]net"], None);
    assert_eq!(String::from_utf8_lossy(&exact.stdout).lines().count(), 1, "{}", said(&exact));
    let nothing = hub.command(&key, &["search", "--value", "nobody-reported.net"], None);
    assert_eq!((nothing.status.code(), nothing.stdout.as_slice()), (Some(0), &b""[..]));
    assert_eq!(String::from_utf8_lossy(&nothing.stderr), "nothing matches\n");
    let shown = hub.command(&key, &["org", "show", "hanbit logistics", "--json"], None);
    assert!(shown.status.success() && said(&shown).contains(&company), "{}", said(&shown));
    assert_eq!(hub.command(&key, &["org", "show", "Hanbi"], None).status.code(), Some(1));
}

#[test]
fn a_list_that_is_empty_says_so_on_standard_error() {
    let hub = Hub::start();
    let company = hub.organisation("Hanbit Logistics", "company", "private", "logistics");
    for (arguments, words) in [
        (&["sources"][..], "no sources"),
        (&["subscribe", "list"][..], "no subscriptions"),
        (&["subscribe", "list", "--json"][..], "no subscriptions"),
        (&["contacts", "list"][..], "no abuse contacts"),
        (&["contacts", "list", "203.0.113.7"][..], "no abuse contact for 203.0.113.7"),
        (&["contacts", "queue", "--state", "bouncing"][..], "no contacts"),
        (&["network", "list"][..], "no registered networks"),
        (&["network", "list", "--all", "--json"][..], "no registered networks"),
        (&["key", "list", company.as_str()][..], "no keys"),
        (&["inbox"][..], "no messages"),
        (&["findings"][..], "no findings"),
    ] {
        let output = hub.command(&hub.coordinator_key(), arguments, None);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b""[..]), "{arguments:?}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(words), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_command_that_cannot_mean_what_it_says_is_told_so_in_plain_words() {
    let hub = Hub::start();
    let company = hub.organisation("Hanbit Logistics", "company", "private", "logistics");
    let key = hub.key(&company, "analyst");
    for (arguments, code, words) in [
        (&["search", "--sector", "finanse"][..], 0, "nothing matches\n--sector finanse: none of the usual sectors"),
        (&["search", "--limit", "0"][..], 0, "--limit 0: no event is asked for"),
        (&["search", "--within", "everywhere"][..], 1, "error: within: "),
        (&["submit", "nowhere.csv"][..], 1, "error: nowhere.csv: "),
        (&["export", "domain.txt"][..], 2, "bongsu export --format list --type domain"),
        (&["export", "list"][..], 2, "bongsu export --format list"),
        (&["subscribe", "add", "night", "--inbox", "--at", "25:00"][..], 2, "--at takes HH:MM"),
        (&["subscribe", "pause", "nothing"][..], 1, "neither a subscription's id nor the name of one"),
        (&["org", "agreement"][..], 1, "your organisation is no partner; name one: bongsu org agreement NAME"),
    ] {
        let output = hub.command(&key, arguments, None);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{arguments:?}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{arguments:?}: {}", said(&output));
    }
    let own = hub.command(&key, &["org", "show"], None);
    assert!(own.status.success() && said(&own).contains(&company), "{}", said(&own));
    let keys = hub.command(&hub.coordinator_key(), &["key", "list"], None);
    assert!(keys.status.success() && said(&keys).contains("coordinator"), "{}", said(&keys));
}

#[test]
fn standard_input_is_read_refused_lines_are_kept_in_a_file_and_the_exit_code_tells() {
    let hub = Hub::start();
    let company = hub.organisation("Hanbit Logistics", "company", "private", "logistics");
    let key = hub.key(&company, "reporter");
    let lines = format!("{}\nnot json at all\n{}\n", event("stdin-one.net", "Lines"), json!({ "category": "phishing", "value": "no-time.net" }));
    let output = hub.command(&key, &["submit", "--format", "ndjson", "--refused", "kept.txt", "-"], Some(lines.as_bytes()));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(counts(&output), Counts { accepted: 1, merged: 0, refused: 2 });
    let kept = std::fs::read_to_string(hub.scratch().join("kept.txt")).unwrap();
    assert!(kept.lines().count() == 2 && kept.contains(":2: ") && kept.contains(":3: "), "each by its line, with the reason: {kept}");
    let empty = hub.command(&key, &["submit", "-"], Some(b""));
    assert_eq!(empty.status.code(), Some(0), "{}", said(&empty));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("nothing to send"), "{}", said(&empty));
    let wrong_key = hub.command("bgs_nobody", &["submit", "-"], Some(lines.as_bytes()));
    assert_eq!(wrong_key.status.code(), Some(1), "{}", said(&wrong_key));
}

#[test]
fn an_event_is_found_by_every_filter_read_by_number_and_told_of_by_its_receipt() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "analyst"));
    let sent = json!({
        "time": now() - 60, "category": "phishing", "tlp": "green", "sector": "finance", "malware": "Walker", "confidence": 80, "severity": "high",
        "observables": ["login.walker-bank.net", "http://login.walker-bank.net/in", "2001:DB8:7::0001"], "id": "walk-1"
    });
    let taken = sender.events(std::slice::from_ref(&sent));
    let seq = taken["first_seq"].as_u64().unwrap();
    sender.events(&[event("unrelated.net", "Other")]);
    let since = format!("since={}", now() - 3_600);
    let values = ["value=LOGIN.walker-bank.net", "value=2001:db8:7:0::1", "value=hxxp://login.walker-bank.net/in"];
    let others = ["malware=walker", "sector=finance", "category=phishing", "type=url", "domain=walker-bank.net", "within=2001:db8:7::/48", since.as_str()];
    for query in values.into_iter().chain(others) {
        let found = other.search(query);
        assert!(found.iter().any(|event| event["seq"] == seq), "{query}: {found:?}");
    }
    let unmet = ["malware=walk", "sector=energy", "domain=bank.net", "within=2001:db8:8::/48", "until=2020-01-01T00:00:00Z", "value=walker-bank.net"];
    for query in unmet {
        assert!(other.search(query).iter().all(|event| event["seq"] != seq), "{query}");
    }
    let one = other.get(&format!("/api/v1/events/{seq}")).json();
    assert_eq!((&one["category"], &one["malware"], &one["tlp"]), (&json!("phishing"), &json!("Walker"), &json!("green")));
    let known = other.observable("ipv6", "2001:db8:7:0::1").json();
    assert_eq!((&known["value"], &known["state"], &known["reporters"]), (&json!("2001:db8:7::1"), &json!("active"), &json!("<3")), "{known}");
    assert_eq!(sender.observable("domain", "LOGIN.walker-bank.net.").json()["reporters"], 1);
    assert_eq!(other.observable("domain", "nobody-knows.net").status, 404);
    let receipt = sender.get(&format!("/api/v1/receipts/{}", taken["receipt"].as_str().unwrap()));
    assert_eq!((receipt.status, &receipt.json()["accepted"]), (200, &json!(1)));
}

#[test]
fn a_withdrawn_event_is_gone_from_every_answer_and_an_amended_one_replaced() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "analyst"));
    let kept = sender.events(&[event("kept.net", "Keeper")])["first_seq"].as_u64().unwrap();
    let gone = sender.events(&[event("gone.net", "Goner")])["first_seq"].as_u64().unwrap();
    let refused = other.post("/api/v1/events/withdraw", &json!({ "seq": gone, "reason": "not mine" }));
    assert!([403, 404].contains(&refused.status), "{}", refused.text());
    let trial = sender.post("/api/v1/events/withdraw", &json!({ "seq": gone, "reason": "a mistake", "dry_run": true }));
    assert_eq!((trial.status, &trial.json()["withdrawn"]), (200, &json!(1)));
    assert_eq!(other.search("malware=Goner").len(), 1, "a dry run changes nothing");
    let done = sender.post("/api/v1/events/withdraw", &json!({ "seq": gone, "reason": "a mistake" }));
    assert_eq!((done.status, &done.json()["withdrawn"]), (200, &json!(1)));
    assert!(other.search("malware=Goner").is_empty());
    let known = other.observable("domain", "gone.net");
    assert!(known.status == 404 || known.json()["state"] == "withdrawn", "{}", known.text());

    let corrected = json!({ "time": ago(600), "category": "phishing", "value": "corrected.net", "malware": "Keeper", "tlp": "green" });
    let amended = sender.post(&format!("/api/v1/events/{kept}/amend"), &corrected);
    assert_eq!((amended.status, outcome(&amended).accepted), (200, 1), "{}", amended.text());
    let found = other.search("malware=Keeper");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().contains("corrected.net"));
    assert_eq!(other.observable("domain", "corrected.net").json()["events"], 1);
    let old = other.observable("domain", "kept.net");
    assert!(old.status == 404 || old.json()["state"] == "withdrawn", "{}", old.text());
}

#[test]
fn sent_again_is_merged_and_a_plain_list_never_confirms() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "analyst"));
    let with_id = json!({ "time": ago(60), "category": "scanner", "value": "185.40.1.1", "id": "mine-1", "tlp": "green" });
    assert_eq!(sender.events(std::slice::from_ref(&with_id))["accepted"], 1);
    assert_eq!(sender.events(std::slice::from_ref(&with_id))["merged"], 1);
    assert_eq!(other.events(std::slice::from_ref(&with_id))["accepted"], 1, "another sender's id is another event");
    let alike = event("185.40.1.2", "Alike");
    assert_eq!(sender.events(&[alike.clone(), alike.clone()])["accepted"], 2, "every other event counts, however alike");
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "key-1")];
    let body = ndjson(&[alike.clone(), alike]);
    let first = sender.request("POST", "/api/v1/events", &headers, Some(&body));
    let second = sender.request("POST", "/api/v1/events", &headers, Some(&body));
    assert_eq!((outcome(&first).accepted, outcome(&second).merged), (2, 2), "{}", second.text());
    assert_eq!(outcome(&other.submit("text/plain", b"185.40.1.2\n")).accepted, 1);
    let known = sender.observable("ipv4", "185.40.1.2").json();
    assert_eq!((&known["events"], &known["reporters"]), (&json!(5), &json!(1)), "a relayed entry is no reporter: {known}");
}

#[test]
fn refusals_say_what_is_wrong_as_problem_documents() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let future = json!({ "time": now() + 90_000, "category": "phishing", "value": "future.net" });
    let partly = sender.submit("application/x-ndjson", &ndjson(&[future.clone(), event("fine.net", "Fine")]));
    assert_eq!((partly.status, outcome(&partly)), (200, Counts { accepted: 1, merged: 0, refused: 1 }));
    assert_eq!(partly.json()["errors"][0]["line"], 1);
    let nothing = sender.submit("application/x-ndjson", &ndjson(&[future]));
    let trial = sender.request("POST", "/api/v1/events?dry_run=1", &[("content-type", "application/x-ndjson")], Some(&ndjson(&[event("dry.net", "Dry")])));
    assert_eq!((trial.status, outcome(&trial).accepted, sender.observable("domain", "dry.net").status), (200, 1, 404));
    let bad_gzip = sender.request("POST", "/api/v1/events", &[("content-type", "text/plain"), ("content-encoding", "gzip")], Some(b"no gzip"));
    let many: Vec<String> = (0..10_001).map(|number| format!("v{number}.net")).collect();
    let problems = [
        (422, nothing),
        (400, bad_gzip),
        (400, sender.get("/api/v1/events?within=everywhere")),
        (400, sender.get("/api/v1/events?cursor=bogus")),
        (404, sender.get("/api/v1/events/9007199254740991")),
        (404, sender.get("/api/v1/nowhere")),
        (401, hub.stranger().get("/api/v1/nowhere")),
        (413, sender.post("/api/v1/observables/lookup", &json!({ "values": many }))),
    ];
    for (status, answer) in problems {
        // A wrong parameter may be 400 or 422: both name it.
        let fits = answer.status == status || (status == 400 && answer.status == 422) || (status == 413 && answer.status == 422);
        assert!(fits, "expected {status}, found {}: {}", answer.status, answer.text());
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status, "{problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
    }
}

#[test]
fn pages_are_newest_first_and_hold_still_while_others_write() {
    let hub = Hub::start();
    let (sender, other) = (hub.member("Sender", "analyst"), hub.member("Other", "reader"));
    let batch = |from: u32| -> Vec<Value> { (from..from + 30).map(|number| event(&format!("p{number}.net"), "Pager")).collect() };
    sender.events(&batch(0));
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for round in 1.. {
        let page = other.get(&format!("/api/v1/events?malware=Pager&limit=7{cursor}")).json();
        seen.extend(items(&page).iter().map(|event| event["seq"].as_u64().unwrap()));
        sender.events(&batch(round * 100));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", escape(next)),
            None => break,
        }
    }
    assert_eq!(seen.len(), 30, "later events are not in the pages begun before them");
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "{seen:?}");
}
