//! The live stream: whoever is entitled to an event gets it once and in order, however often the connection or the hub dies.
//!
//! Not here: who is entitled to what (`policy_doors`), latency (`cargo xtask bench`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{BINARY, Client, Hub, RaiseAtEnd, Random, ago};

const KILLS: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_client_killed_and_resumed_twenty_times_under_load_gets_every_entitled_event_once_in_order() {
    let hub = Hub::start();
    let company = hub.organisation("Reader", "company", "private", "finance");
    let key = hub.key(&company, "reader");
    let reader = hub.client(&key);
    let senders: Vec<Client> = (0..2).map(|number| hub.member(&format!("Sender {number}"), "analyst")).collect();
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let received = std::thread::scope(|scope| {
        for sender in &senders {
            scope.spawn(move || send_until(sender, stop));
        }
        let _end = RaiseAtEnd(stop);
        let mut random = Random::new(20);
        let mut received: Vec<u64> = Vec::new();
        for kill in 0..KILLS {
            let wanted = 1 + random.below(60);
            // Command and bare HTTP in turn: both resume without loss.
            if kill % 2 == 0 { by_command(&hub, &key, &mut received, wanted) } else { by_http(&reader, &mut received, wanted) }
        }
        received
    });
    assert_received(&reader, received);
}

#[test]
fn a_stream_resumes_across_a_restart_of_the_hub() {
    let mut hub = Hub::start();
    let reader = hub.member("Reader", "analyst");
    let sender = hub.member("Sender", "analyst");
    let mut received = Vec::new();
    for _ in 0..3 {
        sender.events(&batch());
        by_http(&reader, &mut received, 2);
        sender.events(&batch());
        hub.kill();
        hub.restart();
    }
    assert_received(&reader, received);
}

#[test]
fn filters_of_the_stream_are_those_of_search_and_a_bad_one_is_refused() {
    let hub = Hub::start();
    let (reader, sender) = (hub.member("Reader", "analyst"), hub.member("Sender", "analyst"));
    sender.events(&[
        json!({ "time": ago(5), "category": "phishing", "value": "one.filter.net", "tlp": "green" }),
        json!({ "time": ago(5), "category": "scanner", "value": "185.9.9.9", "tlp": "green" }),
        json!({ "time": ago(5), "category": "phishing", "value": "two.filter.net", "tlp": "green" }),
    ]);
    let mut stream = reader.stream("from=0&category=phishing&domain=filter.net", &[]);
    for value in ["one.filter.net", "two.filter.net"] {
        assert_eq!(stream.next_event().unwrap().1["observables"][0]["value"], value);
    }
    assert!([400, 422].contains(&reader.status("GET", "/api/v1/stream?type=nonsense", &[], None)));
}

#[test]
fn many_followers_with_different_filters_and_rights_get_each_what_a_search_gives_them_under_load() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let company = hub.organisation("Reader", "company", "private", "energy");
    let reader = hub.client(&hub.key(&company, "reader"));
    let limited = hub.organisation("Limited", "company", "private", "finance");
    let decision = json!({ "standing": "receive-limited", "reason": "test", "until": support::now() + 86_400 });
    assert_eq!(hub.coordinator().post(&format!("/api/v1/organisations/{limited}/standing"), &decision).status, 200);
    let partner = hub.organisation("Partner", "partner", "", "");
    let readers = [
        reader,
        sender.clone(),
        hub.coordinator(),
        hub.client(&hub.key(&limited, "analyst")),
        hub.client(&hub.key(&partner, "reader")),
        hub.member("Other", "reader"),
    ];
    let filters =
        ["", "category=phishing", "type=domain", "domain=load.net", "within=185.200.0.0/16", "sector=energy&category=scanner,phishing", "malware=emotet"];
    let mut streams: Vec<_> = readers.iter().flat_map(|reader| filters.map(|filter| (reader, filter, reader.stream(filter, &[])))).collect();
    let (categories, markings) = (["scanner", "phishing", "c2-server", "test"], ["clear", "green", "amber", "red", "amber+strict"]);
    let mut number = 0_u32;
    for _ in 0..40 {
        let events: Vec<Value> = (0..25)
            .map(|_| {
                number += 1;
                let place = number as usize;
                let value = if number.is_multiple_of(2) { format!("185.200.{}.{}", number / 250, number % 250) } else { format!("n{number}.load.net") };
                let (category, tlp, sector) = (categories[place % 4], markings[place % 5], ["energy", "water"][place % 2]);
                let mut event = json!({
                    "time": ago(5), "category": category, "value": value, "tlp": tlp, "sector": sector, "note": "of the sender",
                });
                if number.is_multiple_of(3) {
                    event["malware"] = json!("Emotet");
                }
                if number.is_multiple_of(11) {
                    event["audience"] = json!(["energy"]);
                }
                event
            })
            .collect();
        sender.events(&events);
    }
    for (reader, filter, stream) in &mut streams {
        let mut expected = reader.search(filter);
        expected.reverse();
        let received: Vec<Value> = expected.iter().map(|_| stream.next_event().expect("the stream goes on").1).collect();
        assert_eq!(received, expected, "{filter}");
    }
    assert!(!reader_sees_all(&streams), "the readers differ");
}

/// Whether every reader sees the same without a filter.
fn reader_sees_all(streams: &[(&Client, &str, support::Stream)]) -> bool {
    let counts: Vec<usize> = streams.iter().filter(|(_, filter, _)| filter.is_empty()).map(|(reader, _, _)| reader.search("").len()).collect();
    counts.windows(2).all(|pair| pair[0] == pair[1])
}

/// Reads on with `bongsu stream` until it has `wanted` more, then kills the process in the middle of its work.
fn by_command(hub: &Hub, key: &str, received: &mut Vec<u64>, wanted: usize) {
    let from = received.last().map_or(0, |last| last + 1).to_string();
    let mut child =
        Command::new(BINARY).args(["stream", "--from", &from]).env("BONGSU_URL", &hub.url).env("BONGSU_KEY", key).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..wanted {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        received.push(event["seq"].as_u64().unwrap());
    }
    end(child);
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reads on as a browser would, with the last number in `Last-Event-ID`, then drops the connection.
fn by_http(reader: &Client, received: &mut Vec<u64>, wanted: usize) {
    let last = received.last().map(u64::to_string);
    let headers: Vec<(&str, &str)> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
    let mut stream = reader.stream(if last.is_some() { "" } else { "from=0" }, &headers);
    for _ in 0..wanted {
        let (seq, event) = stream.next_event().expect("the stream goes on");
        assert_eq!(event["seq"], seq);
        received.push(seq);
    }
}

/// Reads the rest, then compares with a search, which knows everything the reader is entitled to.
fn assert_received(reader: &Client, mut received: Vec<u64>) {
    let mut expected: Vec<u64> = reader.search("").iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    expected.reverse();
    assert!(received.len() <= expected.len());
    let rest = expected.len() - received.len();
    let began = Instant::now();
    by_http(reader, &mut received, rest);
    assert!(began.elapsed() < WITHIN);
    assert_eq!(received, expected);
}

fn send_until(sender: &Client, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sender.events(&batch());
        std::thread::sleep(PAUSE);
    }
}

/// Some for every member, some that only their sender and the authorities may see.
fn batch() -> Vec<Value> {
    (0..6)
        .map(|number| {
            let (tlp, category) = [("green", "scanner"), ("red", "scanner"), ("amber", "test")][number % 3];
            json!({ "time": ago(5), "category": category, "value": format!("185.200.1.{number}"), "tlp": tlp })
        })
        .collect()
}
