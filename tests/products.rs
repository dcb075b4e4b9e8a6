//! Products under `/feeds/`: who gets what, in which form, and what is never in one; each loaded by its real consumer where that is installed.
//!
//! Not here: each format byte by byte (`formats::products`), differences and recalls over random histories (`hub::products`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Answer, Client, Hub, ago, base64, escape, free_port};

/// Products of every shape.
const PRODUCTS: [&str; 24] = [
    "list.txt",
    "ipv4.txt",
    "ipv6.txt",
    "cidr.txt",
    "domain.txt",
    "url.txt",
    "email.txt",
    "md5.txt",
    "sha256.txt",
    "csv",
    "stix",
    "suricata.rules",
    "suricata-ipv4.lst",
    "suricata-domain.lst",
    "suricata-md5.lst",
    "suricata-sha256.lst",
    "snort.rules",
    "zeek.intel",
    "rpz.zone",
    "hosts",
    "squid.acl",
    "squid-ip.acl",
    "pf.table",
    "nft",
];
/// The contract gives products two seconds; a test's machine may be busy.
const WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

fn event(value: &str, tlp: &str) -> Value {
    json!({ "time": ago(60), "category": "c2-server", "value": value, "tlp": tlp, "confidence": 80, "malware": "Emotet", "sector": "energy" })
}

fn feed(client: &Client, product: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/feeds/{product}"));
        // While the log is read after the start there is nothing to give yet.
        if answer.status != 503 || began.elapsed() > WITHIN {
            return answer;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The product once it holds, or no longer holds, a text.
fn feed_until(client: &Client, product: &str, text: &str, held: bool) -> Answer {
    let began = Instant::now();
    loop {
        let answer = feed(client, product);
        assert_eq!(answer.status, 200, "{product}: {}", answer.text());
        if answer.text().contains(text) == held {
            return answer;
        }
        assert!(began.elapsed() < WITHIN, "{product} holds {text}: {}, after {WITHIN:?}:\n{}", !held, answer.text());
        std::thread::sleep(PAUSE);
    }
}

fn holds(answer: &Answer, value: &str) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.text());
    writes(&answer.text(), value)
}

/// Whether a product writes a value down: a name with its labels' lengths between in one format, and in base64 in another.
fn writes(text: &str, value: &str) -> bool {
    text.contains(value) || text.contains(&base64(value)) || text.contains(&value.replace('.', "|02|"))
}

fn entries(answer: &Answer) -> Vec<String> {
    answer.text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn each_caller_gets_what_its_membership_allows_and_no_more() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let stranger = hub.stranger();
    sender.events(&[
        event("clear.kr", "clear"),
        event("green.kr", "green"),
        event("amber.kr", "amber"),
        event("strict.kr", "amber+strict"),
        event("red.kr", "red"),
        json!({ "time": ago(60), "category": "c2-server", "value": "narrow.kr", "tlp": "green", "audience": ["energy"] }),
    ]);
    let partner = hub.organisation("Partner", "partner", "", "");
    let limited = hub.organisation("Limited", "company", "private", "finance");
    let decision = json!({ "standing": "receive-limited", "reason": "test", "until": support::now() + 86_400 });
    assert_eq!(hub.coordinator().post(&format!("/api/v1/organisations/{limited}/standing"), &decision).status, 200);
    let member = hub.member("Reader", "reader");
    feed_until(&member, "domain.txt", "amber.kr", true);
    for (name, client, tlp, expected) in [
        ("stranger", &stranger, "clear", vec!["clear.kr"]),
        ("member", &member, "amber", vec!["amber.kr", "clear.kr", "green.kr"]),
        ("coordinator", &hub.coordinator(), "amber", vec!["amber.kr", "clear.kr", "green.kr"]),
        ("partner", &hub.client(&hub.key(&partner, "reader")), "green", vec!["clear.kr", "green.kr"]),
        ("limited", &hub.client(&hub.key(&limited, "reader")), "green", vec!["clear.kr", "green.kr"]),
        ("reporter", &hub.member("Reporting", "reporter"), "clear", vec!["clear.kr"]),
        ("auditor", &hub.member("Auditing", "auditor"), "clear", vec!["clear.kr"]),
    ] {
        let answer = feed(client, "domain.txt");
        assert_eq!((answer.status, answer.header("x-tlp"), entries(&answer)), (200, tlp, expected.iter().map(|value| (*value).to_owned()).collect()), "{name}");
        assert!(answer.text().contains(&format!("# tlp: {tlp}\n")), "{name}: {}", answer.text());
        for asked in ["clear", "green", "amber"] {
            let rank = |tlp: &str| ["clear", "green", "amber"].iter().position(|known| *known == tlp).unwrap();
            let refused = if name == "stranger" { 401 } else { 403 };
            let status = if rank(asked) <= rank(tlp) { 200 } else { refused };
            assert_eq!(feed(client, &format!("domain.txt?tlp={asked}")).status, status, "{name} asks for {asked}");
        }
        assert_eq!(feed(client, "domain.txt?tlp=red").status, 400, "{name}");
        assert_eq!(feed(client, "nothing.txt").status, 404, "{name}");
    }
    assert_eq!(hub.client("bgs_wrong").get("/feeds/domain.txt").status, 401, "a wrong key is not taken for none");
    let key = hub.key(&hub.own_organisation(), "reader");
    let basic = format!("Basic {}", base64(&format!("firewall:{key}")));
    let answer = stranger.request("GET", "/feeds/domain.txt", &[("authorization", &basic)], None);
    assert_eq!((answer.status, answer.header("x-tlp")), (200, "amber"));
    assert!(answer.header("cache-control").contains("private"));
    assert!(feed(&stranger, "domain.txt").header("cache-control").contains("public"));
}

#[test]
fn the_index_lists_what_each_caller_may_fetch_for_programs_and_for_people() {
    let hub = Hub::start();
    let (sender, stranger, member) = (hub.member("Sender", "analyst"), hub.stranger(), hub.member("Reader", "reader"));
    sender.events(&[event("clear.kr", "clear"), event("green.kr", "green")]);
    feed_until(&stranger, "hosts", "clear.kr", true);
    let row = |index: &Value, product: &str| {
        let found = index["products"].as_array().unwrap().iter().find(|row| row["path"] == format!("/feeds/{product}"));
        found.cloned().unwrap_or_else(|| panic!("{product} is not listed"))
    };
    for path in ["/feeds/", "/feeds"] {
        let answer = stranger.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{path}: {}", answer.text());
        assert!(answer.header("cache-control").contains("public"), "{path}");
        let index = answer.json();
        assert_eq!((&index["markings"], &index["valid_for"]), (&json!(["clear"]), &json!(86_400)));
        for product in PRODUCTS {
            assert_eq!(row(&index, product)["tlp"], "clear", "{product}");
        }
        let hosts = row(&index, "hosts");
        assert_eq!((&hosts["entries"], &hosts["types"], &hosts["use"]), (&json!(1), &json!(["domain"]), &json!("blocking")), "{hosts}");
        assert!(hosts["expires"].is_string() && row(&index, "nft")["entries"].is_null(), "{hosts}");
        assert!(!answer.text().contains("/feeds/recalls"), "strangers cannot be told of recalls");
        for wrong in ["?tpl=green", "?lang=de"] {
            assert_eq!(stranger.get(&format!("{path}{wrong}")).status, 400, "{path}{wrong}");
        }
    }
    let index = member.get("/feeds/");
    assert!(index.header("cache-control").contains("private") && index.text().contains("/feeds/recalls"));
    let index = index.json();
    assert_eq!((&index["markings"], &row(&index, "csv")["tlp"]), (&json!(["clear", "green", "amber"]), &json!("amber")));
    for listed in index["products"].as_array().unwrap() {
        let product = listed["path"].as_str().unwrap().trim_start_matches("/feeds/");
        let answer = feed(&member, product);
        assert_eq!((answer.status, answer.header("content-type")), (200, listed["media"].as_str().unwrap()), "{product}");
    }
    let reporter = hub.member("Reporting", "reporter").get("/feeds/").json();
    assert_eq!((&reporter["markings"], reporter["also"].as_array().unwrap().len()), (&json!(["clear"]), 1));
    assert_eq!(hub.client("bgs_wrong").get("/feeds/").status, 401, "a wrong key is not taken for none");

    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (path, language, words) in [("/feeds/", "ko", "항목 수"), ("/feeds?lang=en", "en", "Entries")] {
        let page = stranger.request("GET", path, &[browser, ("accept-language", "ko")], None);
        assert_eq!((page.status, page.header("content-type"), page.header("content-language")), (200, "text/html; charset=utf-8", language), "{path}");
        assert!(page.text().contains(words) && page.text().contains("<a href=\"/feeds/hosts\">") && !page.text().contains("<script"), "{path}");
    }
}

#[test]
fn nothing_reserved_benign_protected_victim_or_not_for_blocking_is_in_any_product() {
    let folder = tempfile::tempdir().unwrap();
    let lists = folder.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    let list = |kind: &str, values: &Value| json!({ "name": kind, "type": kind, "version": 1, "list": values }).to_string();
    std::fs::write(lists.join("hosts.json"), list("hostname", &json!(["benign.kr"]))).unwrap();
    std::fs::write(lists.join("ranges.json"), list("cidr", &json!(["168.126.63.0/24"]))).unwrap();
    let configuration = folder.path().join("hub.toml");
    std::fs::write(&configuration, format!("warning_lists = {:?}\n", lists.display().to_string())).unwrap();
    let hub = Hub::start_with(&["--config", configuration.to_str().unwrap()]);
    let (owner, sender) = (hub.organisation("Owner", "company", "private", "energy"), hub.member("Sender", "analyst"));
    for (kind, value) in [("cidr", "211.45.0.0/24"), ("domain", "grid.kr")] {
        let body = json!({ "kind": kind, "value": value, "protected": true });
        let added = hub.coordinator().post(&format!("/api/v1/organisations/{owner}/networks"), &body);
        assert_eq!(added.status, 201, "{}", added.text());
    }
    let kept_out = [
        ("10.1.2.3", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("www.example.com", "reserved"),
        ("http://192.168.1.1/x", "reserved"),
        ("168.126.63.1", "benign"),
        ("168.126.0.0/16", "holds a benign one"),
        ("www.benign.kr", "benign"),
        ("http://benign.kr/x", "benign"),
        ("211.45.0.7", "protected"),
        ("211.45.0.0/16", "holds a protected one"),
        ("http://211.45.0.9/x", "protected"),
        ("www.grid.kr", "protected"),
        ("http://portal.grid.kr/x", "protected"),
        ("co.kr", "a registry's"),
    ];
    let mut events: Vec<Value> = kept_out.iter().map(|(value, _)| event(value, "clear")).collect();
    let mut secret = vec!["victim.kr", "77.77.77.77", "tested.kr", "undetected.kr", "old.kr", "quiet.kr", "careful.kr"];
    events.push(
        json!({ "time": ago(60), "category": "c2-server", "tlp": "clear", "observables": [{ "type": "domain", "value": "victim.kr", "role": "victim" }] }),
    );
    events.push(json!({ "time": ago(60), "category": "vulnerable-system", "tlp": "clear", "value": "77.77.77.77" }));
    events.push(json!({ "time": ago(60), "category": "test", "tlp": "clear", "value": "tested.kr" }));
    events.push(json!({ "time": ago(60), "category": "c2-server", "tlp": "clear", "value": "undetected.kr", "detect": false }));
    events.push(json!({ "time": ago(400 * 86_400), "category": "c2-server", "tlp": "clear", "value": "old.kr" }));
    events.push(json!({ "time": ago(60), "category": "c2-server", "tlp": "clear", "value": "quiet.kr", "pap": "red" }));
    events.push(json!({ "time": ago(60), "category": "c2-server", "tlp": "clear", "value": "careful.kr", "pap": "amber" }));
    events.push(event("evil.kr", "clear"));
    events.push(event("http://urls.kr/only", "clear"));
    sender.events(&events);
    secret.extend(kept_out.iter().map(|(value, _)| *value));

    // The last one to be folded is there: so is everything before it.
    feed_until(&hub.coordinator(), "url.txt", "http://urls.kr/only", true);
    let detects = |product: &str| ["suricata.rules", "snort.rules", "zeek.intel"].contains(&product);
    let informs = |product: &str| ["csv", "stix"].contains(&product);
    for product in PRODUCTS {
        for client in [&hub.stranger(), &hub.coordinator()] {
            let text = feed(client, product).text();
            for value in &secret {
                let allowed = match *value {
                    "careful.kr" => detects(product) || informs(product),
                    "quiet.kr" => informs(product),
                    _ => false,
                };
                assert!(allowed || !writes(&text, value), "{value} is in {product}:\n{text}");
            }
        }
    }
    for (product, held) in [("csv", "careful.kr"), ("csv", "quiet.kr"), ("suricata.rules", "careful.kr"), ("hosts", "0.0.0.0 evil.kr"), ("stix", "quiet.kr")] {
        feed_until(&hub.stranger(), product, held, true);
    }
    for product in ["domain.txt", "hosts", "rpz.zone", "squid.acl", "suricata-domain.lst"] {
        assert!(!feed(&hub.stranger(), product).text().contains("urls.kr"), "a URL yields no domain: {product}");
    }
}

#[test]
fn a_reporters_licence_keeps_its_values_out_of_products_that_go_further() {
    let hub = Hub::start();
    let mut senders = Vec::new();
    for licence in ["none", "members", "partners", "public"] {
        let organisation = hub.organisation(&format!("Licence {licence}"), "company", "private", "finance");
        hub.change_organisation(&organisation, &json!({ "licence": licence }));
        hub.client(&hub.key(&organisation, "analyst")).events(&[event(&format!("{licence}.kr"), "clear"), event("shared.kr", "clear")]);
        senders.push(organisation);
    }
    let partner = hub.organisation("Partner", "partner", "", "");
    let coordinator = hub.coordinator();
    let path = format!("/api/v1/organisations/{partner}/agreement");
    let terms = json!({ "version": coordinator.get(&path).json()["version"], "max_tlp": "amber", "reason": "signed" });
    let agreed = coordinator.request("PUT", &path, &[("content-type", "application/json")], Some(&serde_json::to_vec(&terms).unwrap()));
    assert_eq!(agreed.status, 200, "{}", agreed.text());
    let (member, partner) = (hub.member("Reader", "reader"), hub.client(&hub.key(&partner, "reader")));
    for client in [&hub.stranger(), &partner, &member, &coordinator] {
        feed_until(client, "domain.txt", "public.kr", true);
    }
    let anyone = ["public.kr", "shared.kr"];
    let community = ["partners.kr", "public.kr", "shared.kr"];
    let members = ["members.kr", "partners.kr", "public.kr", "shared.kr"];
    for (name, client, expected) in [
        ("stranger", &hub.stranger(), &anyone[..]),
        ("partner", &partner, &community[..]),
        ("member", &member, &members[..]),
        ("coordinator", &coordinator, &members[..]),
    ] {
        assert_eq!(entries(&feed(client, "domain.txt")), expected, "{name}");
        let rows = feed(client, "csv").text();
        assert_eq!(rows.lines().count(), expected.len() + 1, "{name}: {rows}");
    }
    // What amber products hold is for members alone, whatever is agreed with a partner.
    assert_eq!(feed(&partner, "domain.txt?tlp=amber").status, 403);

    // A licence that becomes narrower takes back what is out.
    hub.change_organisation(&senders[3], &json!({ "licence": "members" }));
    feed_until(&hub.stranger(), "domain.txt", ".kr", false);
    feed_until(&partner, "domain.txt", "public.kr", false);
    assert_eq!(entries(&feed(&partner, "domain.txt")), ["partners.kr", "shared.kr"]);
    assert_eq!(entries(&feed(&member, "domain.txt")), members);
}

#[test]
fn export_writes_each_product_as_it_is_fetched_and_leaves_an_earlier_file_where_it_fails() {
    let hub = filled();
    let organisation = hub.organisation("Reader", "company", "private", "energy");
    let key = hub.key(&organisation, "reader");
    let reader = hub.client(&key);
    let folder = hub.scratch().join("exported");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.to_str().unwrap();
    let bodies = |text: &[u8]| String::from_utf8_lossy(text).lines().filter(|line| !line.starts_with(['#', ';'])).map(str::to_owned).collect::<Vec<_>>();
    for (format, file, product) in [
        ("list", "list.txt", "list.txt"),
        ("csv", "indicators.csv", "csv"),
        ("stix", "bundle.json", "stix"),
        ("suricata", "suricata.rules", "suricata.rules"),
        ("snort", "snort.rules", "snort.rules"),
        ("squid", "squid.acl", "squid.acl"),
        ("squid-ip", "squid-ip.acl", "squid-ip.acl"),
        ("pf", "pf.table", "pf.table"),
        ("nft", "nft", "nft"),
        ("rpz", "rpz.zone", "rpz.zone"),
        ("hosts", "hosts", "hosts"),
        ("zeek", "zeek.intel", "zeek.intel"),
    ] {
        let output = hub.command(&key, &["export", "--format", format, "--out", out], None);
        assert!(output.status.success(), "{format}: {}", support::said(&output));
        let expected = feed(&reader, product);
        assert!(expected.header("x-entries").parse::<u32>().unwrap() > 0, "{product}");
        assert_eq!(bodies(&std::fs::read(folder.join(file)).unwrap()), bodies(&expected.body), "{format}");
    }
    let output = hub.command(&key, &["export", "--format", "suricata-dataset", "--type", "domain", "--out", out], None);
    assert!(output.status.success(), "{}", support::said(&output));
    assert_eq!(std::fs::read(folder.join("suricata-domain.lst")).unwrap(), feed(&reader, "suricata-domain.lst").body);
    let named = folder.join("named.txt");
    let filters = ["export", "--format", "list", "--type", "domain", "--sector", "energy", "--min-confidence", "60", "--max-age-days", "7", "--tlp", "clear"];
    let output = hub.command(&key, &[&filters[..], &["--out", named.to_str().unwrap()]].concat(), None);
    assert!(output.status.success(), "{}", support::said(&output));
    let kept = std::fs::read(&named).unwrap();
    assert_eq!(bodies(&kept), bodies(&feed(&reader, "domain.txt?sector=energy&min_confidence=60&max_age_days=7&tlp=clear").body));
    assert!(String::from_utf8_lossy(&kept).contains("evil.kr"));
    let standard = hub.command(&key, &["export", "--format", "hosts"], None);
    assert!(standard.status.success() && String::from_utf8_lossy(&standard.stdout).contains("0.0.0.0 evil.kr\n"), "{}", support::said(&standard));

    for (arguments, named) in [
        (&["--format", "list", "--tlp", "red"][..], "clear, green or amber"),
        (&["--format", "list", "--type", "nothing"][..], "400"),
        (&["--format", "csv", "--category", "phishing"][..], "--category"),
        (&["--format", "stix", "--mine"][..], "--mine"),
        (&["--format", "ndjson", "--min-confidence", "5"][..], "--min-confidence"),
        (&["--format", "misp-feed", "--type", "domain"][..], "whole"),
    ] {
        let output = hub.command(&key, &[&["export"][..], arguments, &["--out", out]].concat(), None);
        assert!(!output.status.success() && support::said(&output).contains(named), "{arguments:?}: {}", support::said(&output));
    }
    let output = hub.command(&key, &["export", "--format", "misp-feed"], None);
    assert!(!output.status.success() && support::said(&output).contains("folder"), "{}", support::said(&output));
    let failed = hub.command("bgs_wrong", &["export", "--format", "list", "--out", named.to_str().unwrap()], None);
    assert!(!failed.status.success());
    assert_eq!(std::fs::read(&named).unwrap(), kept, "the earlier file stays");
    let mut files: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name.ends_with(".unfinished"));
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn a_product_is_fetched_again_only_where_it_has_changed() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "reader"));
    sender.events(&[event("one.kr", "green"), event("185.60.1.1", "green")]);
    let whole = feed_until(&reader, "domain.txt", "one.kr", true);
    let (tag, modified) = (whole.header("etag").to_owned(), whole.header("last-modified").to_owned());
    assert!(tag.starts_with("W/\"") && modified.ends_with(" GMT") && whole.header("expires").ends_with(" GMT"));
    assert_eq!(whole.header("x-entries"), "1");
    let with = |name: &'static str, value: &str| reader.request("GET", "/feeds/domain.txt", &[(name, value)], None);
    let same = with("if-none-match", &tag);
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, tag.as_str()));
    assert_eq!(with("if-none-match", &format!("\"other\", {tag}")).status, 304);
    assert_eq!(with("if-none-match", "\"other\"").status, 200);
    assert_eq!(with("if-modified-since", &modified).status, 304);
    assert_eq!(with("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT").status, 200);

    let packed = with("accept-encoding", "gzip");
    assert_eq!((packed.status, packed.header("vary").contains("accept-encoding")), (200, true));
    let mut plain = String::new();
    // The client of the tests may have unpacked it already.
    if flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut plain).is_err() {
        plain = packed.text();
    }
    assert_eq!(plain, whole.text());

    // What concerns another type changes the log and not this product.
    sender.events(&[event("185.60.1.2", "green")]);
    feed_until(&reader, "ipv4.txt", "185.60.1.2", true);
    assert_eq!(with("if-none-match", &tag).status, 304);
    sender.events(&[event("two.kr", "green")]);
    let changed = feed_until(&reader, "domain.txt", "two.kr", true);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(with("if-none-match", &tag).status, 200);
}

#[test]
fn filters_choose_and_a_wrong_one_is_named() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    sender.events(&[
        event("sure.kr", "clear"),
        json!({ "time": ago(60), "category": "c2-server", "value": "unsure.kr", "tlp": "clear", "confidence": 10, "sector": "water" }),
        json!({ "time": ago(20 * 86_400), "category": "c2-server", "value": "older.kr", "tlp": "clear", "confidence": 100, "sector": "water" }),
        event("185.60.1.1", "clear"),
    ]);
    let anyone = hub.stranger();
    feed_until(&anyone, "list.txt", "185.60.1.1", true);
    for (query, expected) in [
        ("", vec!["185.60.1.1", "older.kr", "sure.kr", "unsure.kr"]),
        ("?type=domain", vec!["older.kr", "sure.kr", "unsure.kr"]),
        ("?type=ipv4,url", vec!["185.60.1.1"]),
        ("?sector=energy", vec!["185.60.1.1", "sure.kr"]),
        ("?min_confidence=60", vec!["185.60.1.1", "older.kr", "sure.kr"]),
        ("?min_confidence=70", vec!["185.60.1.1", "sure.kr"]),
        ("?max_age_days=7", vec!["185.60.1.1", "sure.kr", "unsure.kr"]),
        ("?type=domain&sector=water&min_confidence=5&max_age_days=7", vec!["unsure.kr"]),
    ] {
        let answer = feed(&anyone, &format!("list.txt{query}"));
        assert_eq!(entries(&answer), expected, "{query}");
        let title = format!("product list.txt{query}");
        assert!(answer.text().contains(&title), "{}", answer.text());
    }
    for query in ["type=ip", "min_confidence=101", "max_age_days=0", "tlp=amber%2Bstrict", "colour=red", "since="] {
        let answer = feed(&anyone, &format!("list.txt?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let rows = feed(&anyone, "csv?type=domain&min_confidence=70").text();
    let row = rows.lines().nth(1).unwrap();
    assert!(row.starts_with("domain,sure.kr,c2-server,Emotet,clear,green,80,") && row.ends_with(",energy"), "{row}");
}

#[test]
fn what_came_and_what_left_since_a_version_makes_the_newer_list_of_the_older() {
    let hub = Hub::start();
    let (sender, reader) = (hub.member("Sender", "analyst"), hub.member("Reader", "reader"));
    let first = sender.events(&[event("stays.kr", "green"), event("leaves.kr", "green")])["first_seq"].as_u64().unwrap();
    let old = feed_until(&reader, "domain.txt", "stays.kr", true);
    let old = if old.text().contains("leaves.kr") { old } else { feed_until(&reader, "domain.txt", "leaves.kr", true) };
    sender.events(&[event("comes.kr", "green")]);
    assert_eq!(sender.post("/api/v1/events/withdraw", &json!({ "seq": first + 1, "reason": "wrong" })).status, 200);
    feed_until(&reader, "domain.txt", "comes.kr", true);
    feed_until(&reader, "domain.txt", "leaves.kr", false);
    let since = |version: &str| feed(&reader, &format!("domain.txt?since={}", escape(version)));
    let delta = since(old.header("x-version"));
    assert_eq!((delta.status, entries(&delta)), (200, vec!["-leaves.kr".to_owned(), "+comes.kr".to_owned()]), "{}", delta.text());
    assert_eq!(entries(&since(old.header("etag"))), entries(&delta), "the tag does as well");
    let none = since(delta.header("x-version"));
    assert_eq!((none.status, entries(&none).len()), (200, 0), "{}", none.text());
    assert_eq!(since("1-2-3").status, 410);
    for unreadable in ["abc", "gibberish", "1-2", "1-2-x", "2026-01-01"] {
        let refused = since(unreadable);
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (400, &json!("since")), "{unreadable}: {}", refused.text());
        assert!(refused.text().contains("X-Version"), "{}", refused.text());
    }
    assert_eq!(feed(&reader, "hosts?since=1-2-3").status, 400);
    let rows = feed(&reader, &format!("csv?since={}", escape(old.header("x-version"))));
    assert!(rows.text().contains("\n+domain,comes.kr,c2-server,") && rows.text().contains("\n-domain,leaves.kr\n"), "{}", rows.text());
}

#[test]
fn an_upheld_false_positive_leaves_every_product_and_those_who_fetched_it_are_told() {
    let mut hub = Hub::start();
    let (sender, reader, other) = (hub.member("Sender", "analyst"), hub.member("Reader", "analyst"), hub.member("Other", "analyst"));
    sender.events(&[event("wrong.kr", "green"), event("right.kr", "green"), event("185.60.1.1", "green")]);
    for product in ["domain.txt", "rpz.zone", "csv"] {
        feed_until(&reader, product, "wrong.kr", true);
    }
    let holding: Vec<&str> = PRODUCTS.into_iter().filter(|product| holds(&feed(&hub.coordinator(), product), "wrong.kr")).collect();
    assert!(holding.len() >= 10, "{holding:?}");
    feed_until(&other, "ipv4.txt", "185.60.1.1", true);
    assert_eq!(reader.get("/feeds/recalls").json()["items"], json!([]));
    let claim = reader.post("/api/v1/observables/domain/wrong.kr/sightings", &json!({ "kind": "false-positive", "note": "our own" }));
    assert_eq!(claim.status, 201, "{}", claim.text());
    let path = format!("/api/v1/claims/{}/steps", claim.json()["id"].as_str().unwrap());
    let upheld = hub.coordinator().post(&path, &json!({ "step": "uphold", "reason": "indeed" }));
    assert_eq!(upheld.status, 200, "{}", upheld.text());
    // The issue gives it five minutes.
    for product in holding {
        let began = Instant::now();
        while holds(&feed(&hub.coordinator(), product), "wrong.kr") {
            assert!(began.elapsed() < WITHIN, "{product} still holds it");
            std::thread::sleep(PAUSE);
        }
    }
    for product in ["domain.txt", "rpz.zone", "csv"] {
        feed_until(&reader, product, "wrong.kr", false);
    }
    for _ in 0..2 {
        let items = reader.get("/feeds/recalls").json()["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
        let recall = &items[0];
        assert_eq!((&recall["type"], &recall["value"], &recall["reason"]), (&json!("domain"), &json!("wrong.kr"), &json!("false-positive")));
        assert_eq!((&recall["products"], &recall["replaced"]), (&json!(["csv", "domain.txt", "rpz.zone"]), &json!(true)));
        assert_eq!(other.get("/feeds/recalls").json()["items"], json!([]), "its product never held it");
        assert_eq!(hub.stranger().get("/feeds/recalls").status, 401);
        // Who fetched what is not forgotten by a restart.
        hub.terminate();
        hub.restart();
        feed_until(&reader, "domain.txt", "right.kr", true);
    }
    assert_eq!(reader.get("/feeds/recalls?limit=0").status, 400);
}

/// A hub with an indicator of each kind, all clear; some of them are hard to write down.
fn filled() -> Hub {
    let hub = Hub::start();
    let values = [
        "185.60.1.1",
        "185.61.0.0/16",
        "185.61.7.7",
        "2001:67c:2e8::1",
        "2a00:1450::/32",
        "2a00:0:0:1::2",
        "evil.kr",
        "_under.score-name.kr",
        "xn--3e0b707e.kr",
        "http://urls.kr/a?b=1;c=%22d%22",
        "https://urls.kr:8443/x%20y",
        "http://185.60.1.2/",
        "bad@mailer.kr",
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];
    let mut events: Vec<Value> = values.iter().map(|value| event(value, "clear")).collect();
    for (kind, value) in
        [("user-agent", "Evil/1.0 (\"quoted\"; semi;colon)"), ("ja3", "e7d705a3286e19ea42f587b344ee6865"), ("filename", "invoice, \"final\".exe")]
    {
        let observables = json!([{ "type": kind, "value": value }]);
        events.push(json!({ "time": ago(60), "category": "c2-server", "tlp": "clear", "malware": "a;b\"c", "observables": observables }));
    }
    hub.member("Sender", "analyst").events(&events);
    feed_until(&hub.stranger(), "filename.txt", "invoice", true);
    hub
}

/// Runs a consumer on a product. A consumer that is not there, or may not do its work here, is said and passed over.
fn consume(program: &str, arguments: &[&str]) {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIPPED: {program} is not installed; cargo xtask test installs it as root");
        return;
    }
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = support::said(&output);
    if said.contains("Operation not permitted") {
        eprintln!("SKIPPED: {program} may not look at this machine's kernel: {said}");
        return;
    }
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

fn save(hub: &Hub, product: &str) -> String {
    let answer = feed(&hub.stranger(), product);
    assert_eq!(answer.status, 200, "{product}: {}", answer.text());
    let path = hub.scratch().join(product);
    std::fs::write(&path, &answer.body).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn bind_takes_the_policy_zone_with_every_record() {
    let hub = filled();
    let zone = save(&hub, "rpz.zone");
    consume("named-checkzone", &["-i", "local", "rpz.bongsu", &zone]);
    let text = std::fs::read_to_string(&zone).unwrap();
    for record in ["*.evil.kr IN CNAME .", "16.0.0.61.185.rpz-ip IN CNAME .", "128.2.zz.1.0.0.2a00.rpz-ip IN CNAME .", "$TTL 300"] {
        assert!(text.contains(record), "{record}: {text}");
    }
}

#[test]
fn nftables_takes_the_sets_although_addresses_lie_in_ranges() {
    let hub = filled();
    consume("nft", &["--check", "--file", &save(&hub, "nft")]);
}

#[test]
fn suricata_takes_the_rules_and_the_data_sets() {
    let hub = filled();
    let rules = save(&hub, "suricata.rules");
    let mut with_sets = std::fs::read_to_string(&rules).unwrap();
    assert!(with_sets.lines().filter(|line| line.starts_with("alert ")).count() >= 12, "{with_sets}");
    let sets = [("domain", "dns", "dns.query"), ("user-agent", "http", "http.user_agent"), ("ja3", "tls", "ja3.hash")];
    for (place, (name, protocol, buffer)) in sets.iter().enumerate() {
        let set = save(&hub, &format!("suricata-{name}.lst"));
        let options = format!("{buffer}; dataset:isset,bongsu-{name},type string,load {set}; sid:{}; rev:1;", place + 1);
        with_sets.push_str(&format!("alert {protocol} any any -> any any (msg:\"set\"; {options})\n"));
    }
    let all = hub.scratch().join("all.rules");
    std::fs::write(&all, with_sets).unwrap();
    let logs = hub.scratch().join("suricata-logs");
    std::fs::create_dir(&logs).unwrap();
    let configuration = Path::new("/etc/suricata/suricata.yaml");
    if !configuration.is_file() {
        eprintln!("SKIPPED: there is no {}", configuration.display());
        return;
    }
    // A rule that cannot be read fails the test of the configuration.
    let settings = ["--init-errors-fatal", "--set", "datasets.rules.allow-absolute-filenames=true"];
    let mut arguments = vec!["-T", "-c", configuration.to_str().unwrap(), "-S", all.to_str().unwrap(), "-l", logs.to_str().unwrap()];
    arguments.extend(settings);
    consume("suricata", &arguments);
}

#[test]
fn squid_takes_the_lists_of_names_and_addresses() {
    let hub = filled();
    let (names, addresses) = (save(&hub, "squid.acl"), save(&hub, "squid-ip.acl"));
    let configuration = hub.scratch().join("squid.conf");
    let text = format!(
        "http_port 127.0.0.1:{}\nacl bad dstdomain \"{names}\"\nacl worse dst \"{addresses}\"\nhttp_access deny bad\nhttp_access deny worse\n",
        free_port()
    );
    std::fs::write(&configuration, text).unwrap();
    consume("squid", &["-k", "parse", "-f", configuration.to_str().unwrap()]);
}

#[test]
fn snort_and_zeek_take_theirs() {
    let hub = filled();
    let (rules, intelligence) = (save(&hub, "snort.rules"), save(&hub, "zeek.intel"));
    // Debian's package is Snort 2, which reads other rules.
    if Command::new("snort").arg("-V").output().is_ok_and(|output| support::said(&output).contains("Version 3")) {
        consume("snort", &["-q", "-T", "-R", &rules]);
    } else {
        eprintln!("SKIPPED: Snort 3 is not installed");
    }
    let text = std::fs::read_to_string(&intelligence).unwrap();
    let mut rows = text.lines().filter(|line| !line.starts_with('#') || line.starts_with("#fields"));
    assert_eq!(rows.next(), Some("#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc"));
    assert!(rows.clone().count() >= 15 && rows.all(|row| row.split('\t').count() == 4), "{text}");
    // Only that it parses: Zeek reads the file beside its traffic, of which there is none.
    let path = hub.scratch().join("intel.zeek");
    std::fs::write(&path, format!("redef Intel::read_files += {{ \"{intelligence}\" }};\n")).unwrap();
    consume("zeek", &["-a", "base/frameworks/intel", path.to_str().unwrap()]);
}

#[test]
fn the_bundle_is_one_of_stix_with_an_object_for_each_indicator_that_it_can_say() {
    let hub = filled();
    let answer = feed(&hub.stranger(), "stix");
    assert_eq!(answer.header("content-type"), "application/stix+json;version=2.1");
    let bundle = answer.json();
    let objects = bundle["objects"].as_array().unwrap();
    assert_eq!(bundle["type"], "bundle");
    let indicators = objects.iter().filter(|object| object["type"] == "indicator").count();
    assert_eq!(indicators.to_string(), answer.header("x-entries"));
    assert!(indicators >= 15, "{bundle}");
    assert_eq!(feed(&hub.stranger(), "stix").json()["id"], bundle["id"], "the same content is the same bundle");
}
