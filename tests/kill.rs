//! Kills the hub at random moments under load: what it acknowledged is there once, none twice, none half.
//!
//! Flow: senders submit small batches and send each again until it is acknowledged, as members' scripts do; meanwhile the process gets
//! SIGKILL and is started anew; at the end every event is compared with what was sent.
//! `BONGSU_KILL_ROUNDS` sets the number of kills (6; the long form is 50), `BONGSU_KILL_SEED` the moments.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Client, Hub, RaiseAtEnd, Random, ndjson, now, outcome};

const SENDERS: u64 = 4;
const BATCH: u64 = 50;
/// From ready to the kill: short enough to hit the first appends, long enough to hit a checkpoint.
const SHORTEST_LIFE: u64 = 50;
const LONGEST_LIFE: u64 = 1_500;
const RETRY: Duration = Duration::from_millis(20);
const GIVE_UP: Duration = Duration::from_secs(90);

#[test]
fn nothing_acknowledged_is_lost_doubled_or_halved_by_kills_under_load() {
    let rounds = support::setting("BONGSU_KILL_ROUNDS", 6);
    let seed = support::setting("BONGSU_KILL_SEED", now());
    println!("{rounds} kills, seed {seed}");
    let mut random = Random::new(seed);
    let mut hub = Hub::start();
    let started = now() - 60;
    let senders: Vec<Client> = (0..SENDERS).map(|number| hub.member(&format!("Sender {number}"), "analyst")).collect();
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter()
            .zip(0..)
            .map(|(client, sender)| {
                let stop = &stop;
                scope.spawn(move || send_until(client, sender, started, stop))
            })
            .collect();
        let end = RaiseAtEnd(&stop);
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(SHORTEST_LIFE + random.number() % (LONGEST_LIFE - SHORTEST_LIFE)));
            hub.kill();
            println!("kill {}", round + 1);
            hub.restart();
        }
        drop(end);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    hub.kill();
    let verified = support::offline(&["verify", "--data", hub.data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", support::said(&verified));
    hub.restart();
    for (sender, batches) in acknowledged.iter().enumerate() {
        let sender = sender as u64;
        let found = senders[sender as usize].search(&format!("malware={}", malware(sender)));
        let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
        for event in &found {
            let id = event["id"].as_str().expect("a sender sees its own id");
            assert!(by_id.insert(id, event).is_none(), "{id} is there twice");
        }
        assert_eq!(by_id.len() as u64, batches * BATCH, "sender {sender}");
        for batch in 0..*batches {
            for sent in events(sender, batch, started) {
                let id = sent["id"].as_str().unwrap();
                let kept = by_id.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
                for field in ["category", "malware", "count", "confidence", "tlp"] {
                    assert_eq!(kept[field], sent[field], "{field} of {id}");
                }
                assert_eq!(kept["observables"][0]["value"], sent["observables"][0], "value of {id}");
            }
        }
        assert_counts(&senders[sender as usize], sender, *batches, started);
    }
    println!("{} batches of {BATCH} events, each there once", acknowledged.iter().sum::<u64>());
}

/// Submits batch after batch, each until it is acknowledged; gives how many were.
fn send_until(client: &Client, sender: u64, started: u64, stop: &AtomicBool) -> u64 {
    let mut batch = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = ndjson(&events(sender, batch, started));
        let key = format!("kill-{sender}-{batch}");
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key.as_str())];
        let began = Instant::now();
        loop {
            match client.try_request("POST", "/api/v1/events", &headers, Some(&body)) {
                Ok(answer) if answer.status == 200 => {
                    let outcome = outcome(&answer);
                    assert_eq!((outcome.accepted + outcome.merged, outcome.refused), (BATCH, 0), "{}", answer.text());
                    break;
                }
                Ok(answer) => assert!([429, 503].contains(&answer.status), "{}: {}", answer.status, answer.text()),
                Err(_) => {} // killed, or not up again yet
            }
            assert!(began.elapsed() < GIVE_UP, "batch {batch} of sender {sender} finds no hub");
            std::thread::sleep(RETRY);
        }
        batch += 1;
    }
    batch
}

/// What the views say of a few values agrees with what was sent: a batch counts once in them too.
fn assert_counts(client: &Client, sender: u64, batches: u64, started: u64) {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for event in (0..batches).flat_map(|batch| events(sender, batch, started)) {
        *expected.entry(event["observables"][0].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let values: Vec<&str> = expected.keys().map(String::as_str).collect();
    for part in values.chunks(1_000) {
        for (value, answer) in part.iter().zip(client.lookup(part)) {
            assert_eq!(answer["events"], expected[*value], "{value}: {answer}");
        }
    }
}

fn malware(sender: u64) -> String {
    format!("Kill{sender}")
}

/// The events of a batch: a function of its numbers alone, so that sending it again sends the same.
fn events(sender: u64, batch: u64, started: u64) -> Vec<Value> {
    (0..BATCH)
        .map(|place| {
            let number = batch * BATCH + place;
            json!({
                "time": started, "category": "c2-server", "tlp": "green", "malware": malware(sender), "id": format!("k{sender}-{number}"),
                "observables": [format!("k{sender}-{}.net", number % 997)], "count": number % 9 + 1, "confidence": number % 101
            })
        })
        .collect()
}
