//! What an operator does: start, stop, configure, back up, restore, verify, rebuild, certificates.
//!
//! Not here: crashes (`kill`), a full disk (`disk_full`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{BINARY, Client, Hub, RaiseAtEnd, ago, free_port, offline, said};

const STOP_WITHIN: Duration = Duration::from_secs(20);
const REFUSE_WITHIN: Duration = Duration::from_secs(10);

fn batch(from: u32) -> Vec<Value> {
    (from..from + 200)
        .map(|number| {
            json!({
                "time": ago(600), "category": (["scanner", "phishing", "data-leak"][number as usize % 3]), "tlp": (["clear", "green", "amber"][number as usize % 3]),
                "observables": [format!("h{}.net", number % 37), format!("185.90.{}.7", number % 50)], "malware": format!("M{}", number % 5),
                "id": format!("o-{number}"), "named": number % 4 == 0
            })
        })
        .collect()
}

/// Everything that two readers get from every door, to compare before and after.
fn answers(clients: &[&Client]) -> Vec<Value> {
    let values: Vec<String> = (0..37).map(|number| format!("h{number}.net")).chain((0..50).map(|number| format!("185.90.{number}.7"))).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.search(""));
        all.extend(client.search("malware=M3&type=domain"));
        all.extend(client.lookup(&values));
    }
    all
}

fn same_clients(from: &Hub, to: &Hub, keys: &[String]) -> (Vec<Value>, Vec<Value>) {
    let ask = |hub: &Hub| {
        let clients: Vec<Client> = keys.iter().map(|key| hub.client(key)).collect();
        answers(&clients.iter().collect::<Vec<_>>())
    };
    (ask(from), ask(to))
}

fn filled() -> (Hub, Vec<String>) {
    let hub = Hub::start();
    let keys: Vec<String> = (0..2)
        .map(|number| {
            let organisation = hub.organisation(&format!("Member {number}"), "company", "private", "finance");
            hub.key(&organisation, "analyst")
        })
        .collect();
    for (key, from) in keys.iter().zip([0, 1_000]) {
        hub.client(key).events(&batch(from));
    }
    (hub, keys)
}

#[test]
fn a_backup_taken_while_events_flow_holds_all_that_was_acknowledged_and_restores_to_the_same_answers() {
    let (mut hub, keys) = filled();
    let acknowledged = hub.client(&keys[0]).search("").len();
    let stop = AtomicBool::new(false);
    let backup = hub.scratch().join("backup");
    std::thread::scope(|scope| {
        let sender = hub.client(&keys[1]);
        let stop_flag = &stop;
        scope.spawn(move || {
            for from in (10_000..).step_by(200) {
                if stop_flag.load(Ordering::Relaxed) {
                    break;
                }
                sender.events(&batch(from));
            }
        });
        let _end = RaiseAtEnd(&stop);
        let output = offline(&["backup", backup.to_str().unwrap(), "--data", hub.data.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
    });
    assert!(hub.terminate().0.success());

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("restored");
    let output = offline(&["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let verified = offline(&["verify", "--data", data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", said(&verified));
    let restored = Hub::start_in(folder, data.clone(), &[]);
    assert!(restored.client(&keys[0]).search("").len() >= acknowledged);
    // Sent again, what the backup holds is merged: it is the same ledger.
    assert_eq!(restored.client(&keys[0]).events(&batch(0))["merged"], 200);
    let refused = offline(&["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "a folder in use is not overwritten: {}", said(&refused));
}

/// Every file and folder below one, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.push((path, Vec::new()));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[test]
fn verify_leaves_no_trace_in_a_backup_and_finds_its_damage() {
    let (mut hub, _) = filled();
    assert!(hub.terminate().0.success());
    let backup = hub.scratch().join("backup");
    assert!(offline(&["backup", backup.to_str().unwrap(), "--data", hub.data.to_str().unwrap()]).status.success());
    let temporary = hub.scratch().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let verify = || support::run(Command::new(BINARY).args(["verify", "--data", backup.to_str().unwrap()]).env("TMPDIR", &temporary), None);
    let segment = largest_file(&backup.join("ledger"));
    // An unfinished write at the end, as a backup of a running hub may have one: opening would cut it.
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"BGF1");
    std::fs::write(&segment, &bytes).unwrap();
    let before = contents(&backup);
    let output = verify();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("400 events"), "{}", said(&output));
    assert!(contents(&backup) == before, "the backup was changed");
    assert!(contents(&temporary).is_empty());

    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&segment, &bytes).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(!said(&output).contains("bongsu-verify"), "{}", said(&output));
    assert!(contents(&temporary).is_empty());
}

#[test]
fn a_restored_backup_of_a_stopped_hub_gives_the_same_answers() {
    let (mut hub, keys) = filled();
    assert!(hub.terminate().0.success());
    let backup = hub.scratch().join("backup");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("restored");
    assert!(offline(&["backup", backup.to_str().unwrap(), "--data", hub.data.to_str().unwrap()]).status.success());
    assert!(offline(&["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]).status.success());
    hub.restart();
    let restored = Hub::start_in(folder, data, &[]);
    let (expected, found) = same_clients(&hub, &restored, &keys);
    assert_eq!(expected, found);
}

#[test]
fn rebuilt_views_give_the_same_answers() {
    let (mut hub, keys) = filled();
    let first = hub.client(&keys[0]);
    let gone = first.search("malware=M2&mine=true")[0]["seq"].clone();
    assert_eq!(first.post("/api/v1/events/withdraw", &json!({ "seq": gone, "reason": "a mistake" })).json()["withdrawn"], 1);
    let clients: Vec<Client> = keys.iter().map(|key| hub.client(key)).collect();
    let clients: Vec<&Client> = clients.iter().collect();
    let before = answers(&clients);
    assert!(hub.terminate().0.success());
    let output = offline(&["rebuild", "--data", hub.data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    hub.restart();
    assert_eq!(answers(&clients), before);
}

#[test]
fn verify_ends_with_1_when_one_byte_of_the_ledger_is_another() {
    let (mut hub, _) = filled();
    assert!(hub.terminate().0.success());
    let data = hub.data.to_str().unwrap().to_owned();
    assert!(offline(&["verify", "--data", &data]).status.success());
    let segment = largest_file(&hub.data.join("ledger"));
    let mut bytes = std::fs::read(&segment).unwrap();
    // The file may end in space set aside; the damage must fall on what was written.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[written / 2] ^= 0x40;
    std::fs::write(&segment, bytes).unwrap();
    let output = offline(&["verify", "--data", &data]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let nothing = offline(&["verify", "--data", "/nonexistent/bongsu"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", said(&nothing));
}

#[test]
fn a_stop_takes_less_than_twenty_seconds_even_with_streams_open() {
    let (mut hub, keys) = filled();
    let reader = hub.client(&keys[0]);
    let mut streams: Vec<support::Stream> = (0..4).map(|_| reader.stream("from=0", &[])).collect();
    assert!(streams[0].next_event().is_some());
    let (status, took) = hub.terminate();
    assert_eq!(status.code(), Some(0), "{}", hub.log());
    assert!(took < STOP_WITHIN, "{took:?}");
    while streams[0].next_event().is_some() {}
}

#[test]
fn the_coordinators_key_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let hub = Hub::start();
    let mode = std::fs::metadata(hub.data.join("coordinator.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!hub.log().contains(&hub.coordinator_key()));
}

#[test]
fn listening_beyond_loopback_without_tls_is_refused_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("0.0.0.0:{}", free_port());
    for command in ["serve", "demo"] {
        let data = folder.path().join(command);
        let words = refused(&[command, "--listen", &listen, "--data", data.to_str().unwrap()]);
        assert!(words.contains("plain-http"), "{command} does not say what would allow it: {words}");
    }
}

#[test]
fn a_wrong_configuration_is_refused_in_words_that_name_the_key_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bongsu.toml");
    let cases = [
        ("listn = \"127.0.0.1:1\"", vec!["listn", "listen"]),
        ("memory = \"plenty\"", vec!["memory", "512 MiB"]),
        ("[limits]\nmax_events = \"many\"", vec!["max_events"]),
        ("zone = \"Asia/Nowhere\"", vec!["zone", "Asia/Nowhere"]),
        ("[tls]\ncertificate = \"/nonexistent.pem\"\nkey = \"/nonexistent.key\"", vec!["/nonexistent"]),
        ("not toml", vec!["bongsu.toml"]),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let data = folder.path().join("data");
        let words =
            refused(&["serve", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap(), "--listen", &format!("127.0.0.1:{}", free_port())]);
        for word in expected {
            assert!(words.contains(word), "{text:?} is refused without {word:?}: {words}");
        }
    }
}

#[test]
fn with_a_certificate_it_speaks_tls_and_may_listen_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key, file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"), folder.path().join("bongsu.toml"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: the openssl command is needed to make a certificate");
        return;
    }
    std::fs::write(&file, format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")).unwrap();
    let data = folder.path().join("data");
    let hub = Hub::start_by("https", folder, data, &["--config", file.to_str().unwrap()]);
    assert_eq!(hub.coordinator().get("/api/v1/status").status, 200);
    let plain = Client::new(&hub.url.replace("https", "http"), None);
    assert!(!plain.try_request("GET", "/healthz", &[], None).is_ok_and(|answer| answer.status == 200), "plain HTTP is not answered");
}

#[test]
fn metrics_and_health_are_told_without_payloads() {
    let (hub, _) = filled();
    assert_eq!((hub.stranger().get("/healthz").status, hub.stranger().get("/readyz").status), (200, 200));
    // Where metrics ask for a key, the coordinator's opens them.
    let metrics = hub.coordinator().get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().lines().any(|line| line.starts_with("# TYPE ")), "{}", metrics.text());
    for text in [metrics.text(), hub.log()] {
        assert!(!text.contains("h1.net") && !text.contains("185.90."), "{text}");
    }
}

/// Runs a command that must end by itself with an error, and gives its words.
fn refused(arguments: &[&str]) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(BINARY).args(arguments).stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap()).spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > REFUSE_WITHIN {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{arguments:?} was not refused");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(!status.success(), "{arguments:?}");
    std::fs::read_to_string(log.path()).unwrap()
}

fn largest_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).max_by_key(|path| path.metadata().unwrap().len()).expect("a segment of the ledger")
}
