//! A full disk: writes are refused with 507, reads go on, nothing acknowledged is lost, and writes come back with the space.
//!
//! Needs root, to mount a small file system in memory; otherwise it says so and skips.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Hub, Random, ndjson, now, outcome};

const DISK_MIB: u64 = 96;
/// What is left free for the hub after the filler; it is used up by a few hundred batches.
const LEFT_MIB: u64 = 6;
const BATCH: u64 = 500;
const MOST_BATCHES: u64 = 2_000;
const RECOVER_WITHIN: Duration = Duration::from_secs(30);

/// A small file system that goes with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_reading_and_recovers_when_space_returns() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let Some(disk) = Disk::mount(&at) else {
        println!("skipped: mounting a tmpfs needs root");
        return;
    };
    let mut hub = Hub::start_in(folder, at.join("data"), &[]);
    let sender = hub.member("Sender", "analyst");
    fill(&at);

    let started = now() - 60;
    let mut taken = 0;
    let refused = loop {
        assert!(taken < MOST_BATCHES, "the disk never filled");
        let answer = sender.submit("application/x-ndjson", &ndjson(&batch(taken, started)));
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(outcome(&answer).accepted, BATCH);
        taken += 1;
    };
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(taken > 0, "there was room for some");

    // Reads go on, and know all that was acknowledged.
    assert_eq!(hub.stranger().get("/healthz").status, 200);
    let first = value(0, 0);
    assert_eq!(sender.observable("domain", &first).json()["events"], 1);
    assert_eq!(sender.search("malware=Full").len() as u64, taken * BATCH);
    assert_eq!(sender.submit("application/x-ndjson", &ndjson(&batch(taken, started))).status, 507, "still full");

    std::fs::remove_file(at.join("filler")).unwrap();
    let began = Instant::now();
    loop {
        let answer = sender.submit("application/x-ndjson", &ndjson(&batch(taken, started)));
        if answer.status == 200 {
            // What was refused before may have come half-way to the disk; it counts once all the same.
            assert_eq!(outcome(&answer).accepted + outcome(&answer).merged, BATCH);
            taken += 1;
            break;
        }
        assert!(began.elapsed() < RECOVER_WITHIN, "does not recover by itself: {}", answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    hub.kill();
    let verified = support::offline(&["verify", "--data", hub.data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", support::said(&verified));
    hub.restart();
    assert_eq!(sender.search("malware=Full").len() as u64, taken * BATCH);
    hub.kill();
    drop(disk);
}

/// Takes the space but for a little, with a file of zeros.
fn fill(at: &Path) {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(at).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let free: u64 = text.lines().last().unwrap().trim().parse().unwrap();
    let size = free.saturating_sub(LEFT_MIB << 20) as usize;
    std::fs::write(at.join("filler"), vec![0; size]).unwrap();
}

fn value(batch: u64, place: u64) -> String {
    let mut random = Random::new(batch * BATCH + place);
    format!("{:016x}{:016x}.net", random.number(), random.number())
}

fn batch(batch: u64, started: u64) -> Vec<Value> {
    let event = |place| {
        json!({
            "time": started, "category": "c2-server", "value": value(batch, place), "malware": "Full", "id": format!("full-{batch}-{place}"), "tlp": "green",
            "note": value(batch + 1_000_000, place)
        })
    };
    (0..BATCH).map(event).collect()
}
