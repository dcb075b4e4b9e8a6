//! Feeds that the hub collects: on good days and on bad ones, seen from outside.
//!
//! Flow: a feed on this machine gives what the test says → the hub is told to collect it → its answers and events are looked at.
//! Not here: TAXII servers, MISP feeds, reports and mail (tested beside their rooms), the guard's table of addresses (`hub::outbound`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Client, Feed, Hub};
use tempfile::TempDir;

/// A hub with sources, and the folder of its configuration.
struct Bench {
    hub: Hub,
    coordinator: Client,
    _folder: TempDir,
}

impl Bench {
    /// A hub whose sources are these tables; this machine may be called.
    fn start(sources: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bongsu.toml");
        std::fs::write(&file, format!("[outbound]\nallow = [\"127.0.0.1\"]\n{sources}")).unwrap();
        let hub = Hub::start_with(&["--config", file.to_str().unwrap()]);
        let coordinator = hub.coordinator();
        Self { hub, coordinator, _folder: folder }
    }

    /// One run of a source.
    fn run(&self, name: &str) -> Value {
        self.post(name, "run")
    }

    fn post(&self, name: &str, step: &str) -> Value {
        let answer = self.coordinator.post(&format!("/api/v1/sources/{name}/{step}"), &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["finished"], true);
        answer.json()["run"].clone()
    }

    fn source(&self, name: &str) -> Value {
        let answer = self.coordinator.get(&format!("/api/v1/sources/{name}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Events that stand of the addresses the tests use.
    fn events(&self) -> usize {
        self.coordinator.search("within=185.60.0.0/16").len()
    }
}

/// A `[[sources]]` table of a list that is run by hand.
fn list(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[sources]]\nname = \"{name}\"\nkind = \"list\"\nurl = \"{url}\"\ncategory = \"c2-server\"\ntlp = \"green\"\nredistribute = \"members\"\nenabled = false\n{more}\n"
    )
}

/// Addresses with these numbers, one per line.
fn addresses(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|number| format!("185.60.{}.{}\n", number / 250, number % 250 + 1)).collect::<Vec<_>>().concat()
}

fn figures(run: &Value) -> (&str, u64, u64, u64) {
    (run["result"].as_str().unwrap(), run["entries"].as_u64().unwrap(), run["taken"].as_u64().unwrap(), run["delisted"].as_u64().unwrap())
}

fn alarms(holder: &Value) -> Vec<&str> {
    holder["alarms"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn what_vanishes_from_a_snapshot_is_delisted_and_what_comes_back_is_reported_anew() {
    let feed = Feed::start();
    let mut bench = Bench::start(&list("feed", &feed.url("/list.txt"), "snapshot = true"));
    feed.give_tagged(&addresses(0..40), "\"one\"");
    assert_eq!(figures(&bench.run("feed")), ("taken", 40, 40, 0));
    assert_eq!(bench.events(), 40);
    assert_eq!(figures(&bench.run("feed")), ("unchanged", 0, 0, 0));
    assert!(feed.asked()[1].contains("if-none-match: \"one\""), "{:?}", feed.asked());

    feed.give(&addresses(2..41));
    assert_eq!(figures(&bench.run("feed")), ("taken", 39, 1, 2));
    assert_eq!((bench.events(), bench.source("feed")["listed"].as_u64()), (39, Some(39)));
    // The same bytes change nothing.
    assert_eq!(figures(&bench.run("feed")), ("unchanged", 0, 0, 0));

    let (status, _) = bench.hub.terminate();
    assert!(status.success());
    bench.hub.restart();
    feed.give(&addresses(1..41));
    assert_eq!(figures(&bench.run("feed")), ("taken", 40, 1, 0));
    assert_eq!(bench.events(), 40);
    feed.give(&addresses(1..40));
    assert_eq!(figures(&bench.run("feed")), ("taken", 39, 0, 1));
    assert_eq!(bench.events(), 39);
    let source = bench.source("feed");
    assert!(alarms(&source).is_empty(), "{source}");
    assert_eq!(source["runs"].as_array().unwrap().len(), 6, "{source}");
}

#[test]
fn an_empty_a_tenfold_and_a_truncated_day_delist_nothing() {
    let feed = Feed::start();
    let bench = Bench::start(&list("feed", &feed.url("/list.txt"), "snapshot = true"));
    feed.give(&addresses(0..40));
    assert_eq!(figures(&bench.run("feed")), ("taken", 40, 40, 0));

    feed.give("");
    let empty = bench.run("feed");
    assert_eq!((figures(&empty), alarms(&empty)), (("held", 0, 0, 0), vec!["empty"]));
    assert_eq!(alarms(&bench.source("feed")), ["empty"]);
    // Emptiness is not believed for being repeated.
    assert_eq!(figures(&bench.run("feed")).0, "held");
    assert_eq!(bench.events(), 40);

    feed.give(&addresses(0..441));
    let large = bench.run("feed");
    assert_eq!((figures(&large), alarms(&large)), (("held", 441, 0, 0), vec!["jump"]));
    assert_eq!((bench.events(), bench.source("feed")["held"].as_bool()), (40, Some(true)));
    // What comes in place of what was seen is not accepted with it.
    feed.give(&addresses(0..4_000));
    let other = bench.post("feed", "accept");
    assert_eq!((figures(&other), alarms(&other)), (("held", 4_000, 0, 0), vec!["jump"]));
    assert_eq!((bench.events(), bench.source("feed")["held_entries"].as_u64()), (40, Some(4_000)));
    assert_eq!(bench.coordinator.post("/api/v1/sources/feed/accept", &json!({ "entries": 441 })).status, 422, "another number is held");
    feed.give(&addresses(0..441));
    assert_eq!(figures(&bench.run("feed")), ("held", 441, 0, 0));
    assert_eq!(figures(&bench.post("feed", "accept")), ("taken", 441, 401, 0));
    assert_eq!((bench.events(), bench.source("feed")["held"].as_bool()), (441, Some(false)));
    assert_eq!(bench.coordinator.post("/api/v1/sources/feed/accept", &json!({})).status, 409, "nothing is held");

    let whole = addresses(0..441);
    feed.give(&whole[..whole.len() - 3]);
    let cut = bench.run("feed");
    assert_eq!((figures(&cut), alarms(&cut)), (("taken", 440, 0, 0), vec!["truncated"]));
    feed.break_off(&addresses(0..430));
    let broken = bench.run("feed");
    assert_eq!((figures(&broken), alarms(&broken)), (("failed", 0, 0, 0), vec!["truncated"]));
    assert_eq!(bench.events(), 441);

    // Less than half is taken, and believed once the next run says the same.
    feed.give(&addresses(0..150));
    let shrunk = bench.run("feed");
    assert_eq!((figures(&shrunk), alarms(&shrunk)), (("taken", 150, 0, 0), vec!["shrunk"]));
    let again = bench.run("feed");
    assert_eq!((figures(&again), alarms(&again)), (("taken", 150, 0, 291), vec![]));
    assert_eq!(bench.events(), 150);
    assert!(bench.hub.log().contains("a source needs a look"));
}

#[test]
fn a_server_in_trouble_is_told_and_leads_nowhere_inside() {
    let feed = Feed::start();
    let bench = Bench::start(&list("feed", &feed.url("/list.txt"), "snapshot = true"));
    feed.give(&addresses(0..40));
    assert_eq!(figures(&bench.run("feed")).0, "taken");
    let error = |run: &Value| {
        assert_eq!(run["result"], "failed", "{run}");
        run["error"].as_str().unwrap().to_owned()
    };
    feed.answer("500 Internal Server Error");
    assert!(error(&bench.run("feed")).contains("500"));
    for inside in [format!("http://127.0.0.2:{}/", feed.port), "https://169.254.169.254/latest/meta-data/".to_owned(), "https://[::ffff:10.0.0.1]/".to_owned()]
    {
        let asked = feed.asked().len();
        feed.answer(&format!("302 Found\r\nLocation: {inside}"));
        assert!(error(&bench.run("feed")).contains("forbidden"), "{inside}");
        assert_eq!(feed.asked().len(), asked + 1, "{inside}");
    }
    feed.give("<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n");
    assert!(error(&bench.run("feed")).contains("web page"));
    let source = bench.source("feed");
    assert_eq!((alarms(&source), source["failures"].as_u64()), (vec!["failing"], Some(5)));
    assert_eq!(bench.events(), 40);

    feed.give(&addresses(0..40));
    assert_ne!(bench.run("feed")["result"], "failed");
    assert!(alarms(&bench.source("feed")).is_empty());
}

#[test]
fn a_source_inside_is_not_asked_without_leave() {
    let feed = Feed::start();
    feed.give(&addresses(0..3));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bongsu.toml");
    let named = list("named", &feed.url("/").replace("127.0.0.1", "localhost"), "");
    std::fs::write(&file, list("feed", &feed.url("/"), "") + &named).unwrap();
    let hub = Hub::start_with(&["--config", file.to_str().unwrap()]);
    for name in ["feed", "named"] {
        let answer = hub.coordinator().post(&format!("/api/v1/sources/{name}/run"), &json!({})).json();
        assert!(answer["run"]["error"].as_str().unwrap().contains("forbidden"), "{answer}");
    }
    assert!(feed.asked().is_empty());
}

#[test]
fn silence_is_an_alarm() {
    let feed = Feed::start();
    let bench = Bench::start(&list("feed", &feed.url("/list.txt"), "expect = { silence = \"2s\" }"));
    feed.give(&addresses(0..5));
    assert_eq!(figures(&bench.run("feed")), ("taken", 5, 5, 0));
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(alarms(&bench.source("feed")), ["silent"]);
    let metrics = bench.hub.stranger().get("/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with("bongsu_source_alarm") && line.contains("\"silent\"") && line.contains("\"feed\"")).unwrap();
    assert!(line.ends_with(" 1"), "{line}");
    feed.give(&addresses(0..6));
    bench.run("feed");
    let source = bench.coordinator.get("/api/v1/sources").json()["sources"][0].clone();
    assert!(alarms(&source).is_empty(), "{source}");
}

#[test]
fn a_dry_run_changes_nothing_and_shows_what_would_be_taken() {
    let feed = Feed::start();
    let table = format!(
        "[[sources]]\nname = \"table\"\nkind = \"csv\"\nurl = \"{}\"\ncategory = \"phishing\"\ntlp = \"clear\"\nenabled = false\nconfidence = 80\ncolumns = {{ \"Bad IP\" = \"ip\", \"When\" = \"time\" }}\n",
        feed.url("/table.csv")
    );
    let bench = Bench::start(&table);
    let rows = (1..=8).map(|number| format!("2025-01-0{number} 10:00:00;185.60.9.{number};x\n")).collect::<Vec<_>>().concat();
    feed.give(&format!("When;Bad IP;Who\n{rows}2025-01-09;nonsense;y\n"));
    let output = bench.hub.command(&bench.hub.coordinator_key(), &["pull", "table", "--dry-run", "--json"], None);
    assert!(output.status.success(), "{}", support::said(&output));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((run["result"].as_str(), run["entries"].as_u64(), run["refused"].as_u64()), (Some("dry-run"), Some(8), Some(1)));
    assert_eq!(run["refusals"][0]["line"], 10, "{run}");
    assert_eq!(run["samples"].as_array().unwrap().len(), 5);
    assert_eq!((&run["samples"][0]["origin"], &run["samples"][0]["confidence"]), (&json!("relayed"), &json!(80)));
    assert_eq!(bench.events(), 0);
    assert!(bench.source("table")["runs"].as_array().unwrap().is_empty());

    let output = bench.hub.command(&bench.hub.coordinator_key(), &["pull", "table"], None);
    assert!(support::said(&output).contains("8 taken"), "{}", support::said(&output));
    assert_eq!(bench.events(), 8);
    let shown = support::said(&bench.hub.command(&bench.hub.coordinator_key(), &["sources", "table"], None));
    assert!(shown.contains("taken") && shown.contains("table"), "{shown}");
}

#[test]
fn a_source_is_no_member_has_no_weight_and_its_licence_holds() {
    let (open, closed) = (Feed::start(), Feed::start());
    let tables = list("open", &open.url("/"), "") + &list("closed", &closed.url("/"), "").replace("\"members\"", "\"none\"");
    let bench = Bench::start(&tables);
    open.give("185.60.4.1\n");
    closed.give("185.60.5.1\n");
    for name in ["open", "closed"] {
        assert_eq!(figures(&bench.run(name)), ("taken", 1, 1, 0));
    }
    let member = bench.hub.member("Member", "member-admin");
    assert_eq!(member.search("within=185.60.4.0/24").len(), 1);
    assert!(member.search("within=185.60.5.0/24").is_empty());
    let known = member.observable("ipv4", "185.60.4.1").json();
    assert_eq!(known["reporters"], 0, "{known}");
    assert_eq!(member.observable("ipv4", "185.60.5.1").status, 404);

    let source = bench.source("open")["organisation"].as_str().unwrap().to_owned();
    let shown = bench.coordinator.get(&format!("/api/v1/organisations/{source}")).json();
    assert_eq!((&shown["kind"], &shown["licence"]), (&json!("source"), &json!("members")));
    assert_eq!(member.get(&format!("/api/v1/organisations/{source}")).status, 404);
    let key = bench.coordinator.post(&format!("/api/v1/organisations/{source}/keys"), &json!({ "role": "reporter" }));
    assert!([403, 409, 422].contains(&key.status), "{}", key.text());
    let refused = bench.coordinator.post("/api/v1/organisations", &json!({ "name": "Feed", "kind": "source" }));
    assert_eq!(refused.status, 422, "{}", refused.text());
    for path in ["/api/v1/sources", "/api/v1/sources/open"] {
        assert_eq!(member.get(path).status, 403);
    }
    let authority = bench.hub.organisation("Authority", "authority", "private", "government");
    let authority = bench.hub.client(&bench.hub.key(&authority, "authority"));
    assert_eq!(authority.get("/api/v1/sources").json()["sources"].as_array().unwrap().len(), 2);
    assert_eq!(authority.post("/api/v1/sources/open/run", &json!({})).status, 403);
    assert_eq!(bench.coordinator.post("/api/v1/sources/nobody/run", &json!({})).status, 404);
}

#[test]
fn an_enabled_source_runs_by_itself_and_a_secret_is_shown_to_nobody() {
    let feed = Feed::start();
    feed.give("{\"items\":[{\"host\":\"evil.example.com\",\"ip\":\"185.60.7.1\"}]}");
    let secrets = tempfile::tempdir().unwrap();
    let key = secrets.path().join("key");
    std::fs::write(&key, "very-secret\n").unwrap();
    let bench = Bench::start(&format!(
        "[[sources]]\nname = \"feed\"\nkind = \"json\"\nurl = \"{}\"\nevery = \"1m\"\ntlp = \"green\"\nkey_file = \"{}\"\nkey_header = \"Auth-Key\"\nentries = \"items\"\n",
        feed.url("/data.json?token=also-secret"),
        key.display()
    ));
    let began = Instant::now();
    while bench.events() == 0 {
        assert!(began.elapsed() < Duration::from_secs(40), "it did not run\n{}", bench.hub.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(feed.asked()[0].contains("auth-key: very-secret"), "{:?}", feed.asked());
    let source = bench.coordinator.get("/api/v1/sources/feed").text();
    for text in [&source, &bench.hub.log()] {
        assert!(!text.contains("very-secret") && !text.contains("also-secret"), "{text}");
    }
    assert!(bench.source("feed")["next_run"].is_string());
}
