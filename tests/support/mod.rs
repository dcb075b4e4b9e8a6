//! Starts the real binary on a folder of its own and talks to it as a member would: over HTTP and by its command line.
//!
//! Invariant: a test ends only the processes it started, by their id; every folder is its own and goes with it.
//! Absent on purpose: any use of the project's crates, so that a test cannot share a mistake with what it tests.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod client;
mod doors;
mod feed;
mod receiver;

pub use client::{Answer, Client, Stream, escape, items, ndjson};
pub use doors::{
    Misp, Standing, Told, Visit, becomes, eventually, hub_with_every_door, marks, register, same, until_findings_follow, until_registration_counts,
};
pub use feed::Feed;
pub use receiver::{Behaviour, MailServer, Posted, Receiver};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_bongsu");
/// How long a hub may take until it is ready; generous, because tests share two cores.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// One request, an upload of a large file included.
const REQUEST_WITHIN: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

/// A running hub.
pub struct Hub {
    child: Option<Child>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its data folder.
    pub data: PathBuf,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Hub {
    /// A hub on a fresh folder.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A hub on a fresh folder, with further arguments of `serve`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self::start_in(folder, data, arguments)
    }

    /// A hub on the folder `data`; its log goes to `folder`.
    pub fn start_in(folder: TempDir, data: PathBuf, arguments: &[&str]) -> Self {
        Self::start_by("http", folder, data, arguments)
    }

    /// The same, where the configuration decides whether it speaks `http` or `https`.
    pub fn start_by(scheme: &str, folder: TempDir, data: PathBuf, arguments: &[&str]) -> Self {
        let port = free_port();
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        let mut hub = Self { child: None, url: format!("{scheme}://127.0.0.1:{port}"), data, port, arguments, folder };
        hub.restart();
        hub
    }

    /// Starts the program anew on the same folder and port, and waits until it is ready.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the hub still runs");
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new(BINARY)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data"])
            .arg(&self.data)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        let anyone = self.stranger();
        while !anyone.try_request("GET", "/readyz", &[], None).is_ok_and(|answer| answer.status == 200) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "serve ended with {ended:?}\n{}", self.log());
            assert!(began.elapsed() < READY_WITHIN, "not ready within {READY_WITHIN:?}\n{}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to stop; gives how it ended and how long it took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("the hub runs");
        let began = Instant::now();
        signal(&child, "TERM");
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("did not stop within {READY_WITHIN:?} of SIGTERM\n{}", self.log());
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("the hub runs").id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// A folder for the test's own files, outside the hub's data.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// A caller without a key.
    pub fn stranger(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// A caller with `key`.
    pub fn client(&self, key: &str) -> Client {
        Client::new(&self.url, Some(key))
    }

    /// The coordinator, by the key of the first start.
    pub fn coordinator(&self) -> Client {
        self.client(&self.coordinator_key())
    }

    /// The coordinator's key as the first start wrote it.
    pub fn coordinator_key(&self) -> String {
        std::fs::read_to_string(self.data.join("coordinator.key")).unwrap().trim().to_owned()
    }

    /// Adds an organisation and gives its id. A partner's constituency and sector are left out.
    pub fn organisation(&self, name: &str, kind: &str, constituency: &str, sector: &str) -> String {
        let mut body = json!({ "name": name, "kind": kind });
        if kind == "partner" {
            body["country"] = json!("JP");
        } else {
            body["constituency"] = json!(constituency);
            body["sector"] = json!(sector);
        }
        let answer = self.coordinator().post("/api/v1/organisations", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Makes a key and gives the secret.
    pub fn key(&self, organisation: &str, role: &str) -> String {
        self.key_with(organisation, &json!({ "role": role })).1
    }

    /// Makes a key and gives its id and the secret.
    pub fn key_with(&self, organisation: &str, body: &Value) -> (String, String) {
        let answer = self.coordinator().post(&format!("/api/v1/organisations/{organisation}/keys"), body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = answer.json();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// A company of the private line with one key of `role`.
    pub fn member(&self, name: &str, role: &str) -> Client {
        let organisation = self.organisation(name, "company", "private", "finance");
        self.client(&self.key(&organisation, role))
    }

    /// Changes an organisation as the coordinator, whatever its version is.
    pub fn change_organisation(&self, id: &str, patch: &Value) {
        let coordinator = self.coordinator();
        let path = format!("/api/v1/organisations/{id}");
        let version = coordinator.get(&path).json()["version"].clone();
        let mut body = patch.clone();
        body["version"] = version;
        body["reason"] = json!("test");
        let answer = coordinator.patch(&path, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The id of the hub's own organisation.
    pub fn own_organisation(&self) -> String {
        self.coordinator().get("/api/v1/me").json()["organisation"]["id"].as_str().unwrap().to_owned()
    }

    /// A client command with `key`, to its end.
    pub fn command(&self, key: &str, arguments: &[&str], input: Option<&[u8]>) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("BONGSU_URL", &self.url).env("BONGSU_KEY", key).current_dir(self.scratch());
        run(&mut command, input)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("hub.log")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4_000);
            eprintln!("end of the hub's log:\n{}", log.get(from..).unwrap_or(&log));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal by name. Through the shell, because that has it built in everywhere.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status().unwrap();
    assert!(status.success());
}

/// A command of the program that needs no hub, to its end.
pub fn offline(arguments: &[&str]) -> Output {
    run(Command::new(BINARY).args(arguments), None)
}

/// Runs a command to its end, with `input` on its standard input.
pub fn run(command: &mut Command, input: Option<&[u8]>) -> Output {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.take();
    let input = input.map(<[u8]>::to_vec);
    let writer = std::thread::spawn(move || {
        if let (Some(mut pipe), Some(input)) = (pipe, input) {
            let _ = pipe.write_all(&input); // the command may end before it has read everything
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What a command wrote, both streams, for messages and for reading its counts.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The counts that `submit` ends with, in whichever order it writes number and word.
pub fn counts(output: &Output) -> Counts {
    const WORDS: [&str; 3] = ["accepted", "merged", "refused"];
    let said = said(output);
    let line = said.lines().rev().find(|line| WORDS.iter().all(|word| line.contains(word)));
    let line = line.unwrap_or_else(|| panic!("submit names no counts:\n{said}"));
    let tokens: Vec<String> = line.replace(',', "").split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
    let numbers: Vec<u64> = tokens.iter().filter_map(|token| token.parse().ok()).collect();
    let mut order: Vec<(usize, &str)> = WORDS.iter().filter_map(|word| Some((tokens.iter().position(|token| token == word)?, *word))).collect();
    order.sort_unstable();
    let last = numbers.len().checked_sub(3).unwrap_or_else(|| panic!("three numbers expected: {line}"));
    let by_word: BTreeMap<&str, u64> = order.iter().map(|(_, word)| *word).zip(numbers[last..].iter().copied()).collect();
    Counts { accepted: by_word["accepted"], merged: by_word["merged"], refused: by_word["refused"] }
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events taken.
    pub accepted: u64,
    /// Events that had come before.
    pub merged: u64,
    /// Entries refused.
    pub refused: u64,
}

/// The counts of an answer to `POST /api/v1/events`.
pub fn outcome(answer: &Answer) -> Counts {
    let body = answer.json();
    let number = |name: &str| body[name].as_u64().unwrap_or_else(|| panic!("{name} is missing: {body}"));
    Counts { accepted: number("accepted"), merged: number("merged"), refused: number("refused") }
}

/// Raises a flag when the test leaves the scope, also by a panic, so that its threads end too.
pub struct RaiseAtEnd<'a>(pub &'a AtomicBool);

impl Drop for RaiseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "a member's script reads its own clock")]
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A time that many seconds ago.
pub fn ago(seconds: u64) -> Value {
    json!(now() - seconds)
}

/// The folder of the shared real data, where they are; `None` otherwise.
pub fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("BONGSU_SHARED_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// The number in an environment variable, or `default`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Text in base64.
///
/// Source: RFC 4648, section 4.
pub fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in text.as_bytes().chunks(3) {
        let bits = part.iter().enumerate().fold(0_u32, |bits, (place, &byte)| bits | u32::from(byte) << (16 - 8 * place));
        for place in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]);
            out.push(if place <= part.len() { digit } else { '=' });
        }
    }
    out
}

/// A small generator of repeatable randomness (SplitMix64).
///
/// Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub const fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub const fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
