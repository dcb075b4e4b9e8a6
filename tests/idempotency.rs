//! What an `Idempotency-Key` promises: a body sent again, corrected or not, loses no line and doubles none.
//!
//! Not here: senders' own ids and plain lists (`walkthrough`), crashes between the two (`kill`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Answer, Client, Counts, Hub, ago, ndjson, now, outcome};

/// The lines of a body of `count` lines; those that `is_bad` chooses lie too far ahead in time to be taken.
fn lines(count: u64, malware: &str, is_bad: impl Fn(u64) -> bool) -> Vec<u8> {
    let line = |number: u64| {
        let time = if is_bad(number) { json!(now() + 90_000) } else { ago(600) };
        json!({ "time": time, "category": "c2-server", "value": value(malware, number), "malware": malware, "tlp": "green" })
    };
    ndjson(&(0..count).map(line).collect::<Vec<Value>>())
}

fn value(malware: &str, number: u64) -> String {
    format!("{}-{number}.net", malware.to_lowercase())
}

fn send(client: &Client, key: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
    let answer = client.request("POST", "/api/v1/events", &headers, Some(body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

fn counts(accepted: u64, merged: u64, refused: u64) -> Counts {
    Counts { accepted, merged, refused }
}

#[test]
fn a_corrected_body_under_the_same_key_takes_the_corrected_lines_alone() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let bad = [0, 4, 5, 11];
    let first = send(&sender, "one", &lines(12, "Mended", |line| bad.contains(&line)));
    assert_eq!(outcome(&first), counts(8, 0, 4), "{}", first.text());
    let second = send(&sender, "one", &lines(12, "Mended", |line| line == 5));
    assert_eq!(outcome(&second), counts(3, 8, 1), "{}", second.text());
    assert_eq!(second.json()["errors"][0]["line"], 6);
    let third = send(&sender, "one", &lines(12, "Mended", |_| false));
    assert_eq!(outcome(&third), counts(1, 11, 0), "{}", third.text());
    let fourth = send(&sender, "one", &lines(12, "Mended", |_| false));
    assert_eq!(outcome(&fourth), counts(0, 12, 0), "{}", fourth.text());
    let found = sender.search("malware=Mended");
    let values: BTreeSet<String> = found.iter().map(|event| event["observables"][0]["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!((found.len(), values.len()), (12, 12), "each is found once: {found:?}");
    let other = send(&sender, "two", &lines(12, "Mended", |_| false));
    assert_eq!(outcome(&other), counts(12, 0, 0), "another key is another request");
}

#[test]
fn a_line_that_was_taken_stays_taken_when_it_is_sent_broken_and_whole_again() {
    let hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    let bodies = [(lines(6, "Kept", |_| false), counts(6, 0, 0)), (lines(8, "Kept", |line| line == 2 || line == 6), counts(1, 5, 2))];
    for (body, expected) in bodies {
        assert_eq!(outcome(&send(&sender, "key", &body)), expected);
    }
    assert_eq!(outcome(&send(&sender, "key", &lines(8, "Kept", |_| false))), counts(1, 7, 0), "line 7 alone is new");
    assert_eq!(sender.search("malware=Kept").len(), 8);
}

#[test]
fn a_body_of_many_chunks_is_corrected_step_by_step_and_the_ledger_tells_the_same() {
    const LINES: u64 = 40_000;
    let mut hub = Hub::start();
    let sender = hub.member("Sender", "analyst");
    // More than an answer names, alone and in a run, the last line among them.
    let at_first = |line: u64| line % 7 == 3 || (20_000..31_000).contains(&line) || line > 39_900;
    let then = |line: u64| line % 14 == 3 || line > 39_950;
    let none = |_: u64| false;
    let steps: [&dyn Fn(u64) -> bool; 4] = [&at_first, &then, &none, &none];
    let mut taken = BTreeSet::new();
    for (number, is_bad) in steps.into_iter().enumerate() {
        let body = lines(LINES, "Many", is_bad);
        let good: Vec<u64> = (0..LINES).filter(|line| !is_bad(*line)).collect();
        let accepted = good.iter().filter(|line| taken.insert(**line)).count() as u64;
        let expected = counts(accepted, good.len() as u64 - accepted, LINES - good.len() as u64);
        assert_eq!(outcome(&send(&sender, "many", &body)), expected, "step {number}");
        if number == 1 {
            // Marks and views are read back.
            assert!(hub.terminate().0.success());
            hub.restart();
        }
    }
    let values: Vec<String> = (0..LINES).map(|number| value("Many", number)).collect();
    for part in values.chunks(5_000) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        for (value, answer) in part.iter().zip(sender.lookup(&part)) {
            assert_eq!(answer["events"], 1, "{value}: {answer}");
        }
    }
    assert!(hub.terminate().0.success());
    let output = support::offline(&["verify", "--data", hub.data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", support::said(&output));
}

#[test]
fn who_sends_a_withdrawn_event_again_is_told_that_it_stays_withdrawn() {
    let mut hub = Hub::start();
    let organisation = hub.organisation("Sender", "company", "private", "finance");
    let key = hub.key(&organisation, "analyst");
    let sender = hub.client(&key);
    let event = |value: &str, id: Option<&str>| json!({ "time": ago(600), "category": "c2-server", "value": value, "id": id, "tlp": "green" });
    let by_id = ndjson(&[event("by-id.net", Some("w-1")), event("kept.net", Some("w-2"))]);
    let by_key = ndjson(&[event("by-key.net", None), json!({ "time": 1 }), event("also-by-key.net", None)]);
    let send_all = || {
        [
            sender.submit("application/x-ndjson", &by_id),
            send(&sender, "withdrawn", &by_key),
            sender.submit("text/plain", b"in-a-list.net\nstays-in-a-list.net\n"),
        ]
    };
    let first = send_all();
    assert_eq!(first.each_ref().map(|answer| outcome(answer).accepted), [2, 2, 2]);
    for value in ["by-id.net", "also-by-key.net", "in-a-list.net"] {
        let found = sender.search(&format!("value={value}"));
        let done = sender.post("/api/v1/events/withdraw", &json!({ "seq": found[0]["seq"], "reason": "a mistake" }));
        assert_eq!(done.json()["withdrawn"], 1, "{}", done.text());
    }
    for step in ["at once", "after a crash", "after a stop"] {
        for answer in send_all() {
            let body = answer.json();
            assert_eq!((&body["accepted"], &body["merged"], &body["merged_withdrawn"]), (&json!(0), &json!(2), &json!(1)), "{step}: {body}");
        }
        assert!(sender.search("value=by-id.net").is_empty(), "{step}");
        match step {
            "at once" => hub.kill(),
            _ => assert!(hub.terminate().0.success()),
        }
        hub.restart();
    }
    let list = hub.command(&key, &["submit", "-"], Some(b"in-a-list.net\n"));
    assert!(support::said(&list).contains("1 of the merged were withdrawn earlier and stay withdrawn"), "{}", support::said(&list));

    // A corrected event counts: who sends the old one again is told nothing.
    let kept = sender.search("value=kept.net")[0]["seq"].clone();
    assert_eq!(sender.post(&format!("/api/v1/events/{kept}/amend"), &event("corrected.net", None)).status, 200);
    let again = sender.submit("application/x-ndjson", &ndjson(&[event("kept.net", Some("w-2"))])).json();
    assert_eq!((&again["merged"], &again["merged_withdrawn"]), (&json!(1), &Value::Null), "{again}");
    assert!(hub.terminate().0.success());
    let output = support::offline(&["verify", "--data", hub.data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", support::said(&output));
}
