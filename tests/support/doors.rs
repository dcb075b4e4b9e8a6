//! Every door through which a reader can learn of an event, each read to its end, with every byte that was answered kept.
//!
//! Flow: a test makes a [`Visit`] for a reader → a method a door gives what is in it, or `None` where the door is closed to the reader →
//! [`Visit::said`] is searched by [`marks`] for what should be nowhere in it.
//! Invariant: what a test hides carries a mark that is found in any bytes, whatever is around it: a word that begins with `zq`, an address or an
//! organisation's id.
//! Not here: what a reader should see (`doors_agree`).

use super::{Answer, Client, Hub, MailServer, Receiver, escape, items};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long what was sent may take to come through every door, on two busy cores.
const COMES_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Values of a look-up that are answered with the values beside them.
const WITH_RELATED: usize = 100;
const TAXII_ROOT: &str = "/taxii2/main";

/// Asks until there is an answer; fails after [`COMES_WITHIN`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < COMES_WITHIN, "not within {COMES_WITHIN:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Fails where a door shows more or less than it should.
pub fn same<T: Ord + std::fmt::Debug>(door: &str, shown: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let more: Vec<&T> = shown.difference(expected).take(5).collect();
    let less: Vec<&T> = expected.difference(shown).take(5).collect();
    assert!(more.is_empty() && less.is_empty(), "{door}: shows what it must not: {more:?}; does not show: {less:?}");
}

/// Looks until a door that follows behind shows all that it should; at no look may it show more.
pub fn becomes<T: Ord + std::fmt::Debug>(door: &str, expected: &BTreeSet<T>, mut look: impl FnMut() -> BTreeSet<T>) {
    let began = Instant::now();
    loop {
        let shown = look();
        let more: Vec<&T> = shown.difference(expected).take(5).collect();
        assert!(more.is_empty(), "{door}: shows what it must not: {more:?}");
        if shown.len() == expected.len() {
            return;
        }
        let less: Vec<&T> = expected.difference(&shown).take(5).collect();
        assert!(began.elapsed() < COMES_WITHIN, "{door}: does not show within {COMES_WITHIN:?}: {less:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Every mark in a text, wherever it stands.
pub fn marks(text: &str) -> BTreeSet<String> {
    let text = text.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for begin in ["zq", "org_"] {
        for (at, _) in text.match_indices(begin) {
            let rest = &text[at + begin.len()..];
            let end = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
            found.insert(format!("{begin}{}", &rest[..end]));
        }
    }
    let runs = text.split(|character: char| !(character.is_ascii_digit() || character == '.'));
    found.extend(runs.map(|run| run.trim_matches('.')).filter(|run| run.split('.').count() == 4).map(str::to_owned));
    found
}

/// One reader's way through the doors.
pub struct Visit<'a> {
    client: &'a Client,
    /// What was answered, headers and body, by what was asked.
    pub said: Vec<(String, String)>,
}

/// What is found at MISP's doors.
pub struct Misp {
    /// Marks of the values that a search for attributes finds.
    pub found: Option<BTreeSet<String>>,
    /// Marks of the values in the feed that a caller gets without naming a marking.
    pub feed: Option<BTreeSet<String>>,
}

/// What stands in a collection, and what was taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Marks of the values whose newest version stands.
    pub stands: BTreeSet<String>,
    /// Marks of the values whose newest version is revoked.
    pub revoked: BTreeSet<String>,
}

impl<'a> Visit<'a> {
    /// A reader who was at no door yet.
    pub fn new(client: &'a Client) -> Self {
        Self { client, said: Vec::new() }
    }

    /// Asks, and keeps the answer.
    pub fn get(&mut self, path: &str) -> Answer {
        self.keep(path, self.client.get(path))
    }

    /// Asks with a body, and keeps the answer.
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.keep(path, self.client.post(path, body))
    }

    fn keep(&mut self, path: &str, answer: Answer) -> Answer {
        self.said.push((path.to_owned(), format!("{:?}\n{}", answer.headers, answer.text())));
        answer
    }

    /// What is known of each value; null where nothing is.
    pub fn lookup(&mut self, values: &[String]) -> Option<Vec<Value>> {
        let path = "/api/v1/observables/lookup";
        let mut found = Vec::new();
        for part in values.chunks(WITH_RELATED) {
            let answer = self.post(path, &json!({ "values": part }));
            found.extend(opened(path, answer)?.json()["results"].as_array().unwrap().iter().cloned());
        }
        Some(found)
    }

    /// Every event, newest first.
    pub fn search(&mut self) -> Option<Vec<Value>> {
        self.pages("/api/v1/events?limit=500")
    }

    /// One event; `None` where it is hidden or not there.
    pub fn event(&mut self, seq: u64) -> Option<Value> {
        let path = format!("/api/v1/events/{seq}");
        let answer = self.get(&path);
        opened(&path, answer).map(|answer| answer.json())
    }

    /// Every event up to `last`, which the reader must see, as the live stream gives them to who comes for the first time.
    pub fn stream(&mut self, last: u64) -> Option<Vec<Value>> {
        let path = "/api/v1/stream?from=0";
        let response = self.client.open("GET", path, &[], None).unwrap();
        match response.status().as_u16() {
            200 => {}
            401 | 403 | 404 => return None,
            status => panic!("{path}: {status}"),
        }
        let mut lines = BufReader::new(response.into_body().into_reader());
        let (mut said, mut events) = (String::new(), Vec::new());
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the stream ended before {last}");
            said.push_str(&line);
            let Some(data) = line.strip_prefix("data:") else { continue };
            let event: Value = serde_json::from_str(data.trim()).unwrap();
            let reached = event["seq"].as_u64().is_some_and(|seq| seq >= last);
            events.push(event);
            if reached {
                break;
            }
        }
        self.said.push((path.to_owned(), said));
        Some(events)
    }

    /// The indicators of a TAXII collection by the newest version of each.
    pub fn collection(&mut self, title: &str) -> Option<Standing> {
        let mut standing = Standing::default();
        let mut after = String::new();
        loop {
            let path = format!("{TAXII_ROOT}/collections/{title}/objects/?match[type]=indicator{after}");
            let answer = self.get(&path);
            let envelope = opened(&path, answer)?.json();
            for object in envelope["objects"].as_array().into_iter().flatten() {
                let found = marks(object["pattern"].as_str().unwrap());
                if object["revoked"] == true { standing.revoked.extend(found) } else { standing.stands.extend(found) }
            }
            match envelope["next"].as_str().filter(|_| envelope["more"] == true) {
                Some(next) => after = format!("&next={}", escape(next)),
                None => return Some(standing),
            }
        }
    }

    /// Marks in a product of a marking.
    pub fn product(&mut self, name: &str, tlp: &str) -> Option<BTreeSet<String>> {
        let path = format!("/feeds/{name}?tlp={tlp}");
        // While the log is read after the start there is nothing to give yet.
        let answer = eventually(&path, || Some(self.get(&path)).filter(|answer| answer.status != 503));
        opened(&path, answer).map(|answer| marks(&answer.text()))
    }

    /// Findings; their table is asked for as well, and kept.
    pub fn findings(&mut self) -> Option<Vec<Value>> {
        self.get("/api/v1/findings.csv");
        self.pages("/api/v1/findings?limit=500")
    }

    /// Messages of the organisation's inbox.
    pub fn inbox(&mut self) -> Option<Vec<Value>> {
        self.pages("/api/v1/inbox?limit=500")
    }

    /// MISP's doors; `None` where this build has none, which is said once.
    pub fn misp(&mut self) -> Option<Misp> {
        static SAID: Once = Once::new();
        if self.client.get("/misp/servers/getVersion").status == 404 {
            SAID.call_once(|| eprintln!("SKIPPED: this build has no doors for MISP"));
            return None;
        }
        let search = "/misp/attributes/restSearch";
        let answer = self.post(search, &json!({ "returnFormat": "json" }));
        let found = opened(search, answer).map(|answer| attributes(&answer.json()["response"]["Attribute"]));
        let manifest = self.get("/feeds/misp/manifest.json");
        let feed = opened("/feeds/misp/manifest.json", manifest).map(|manifest| {
            let mut held = BTreeSet::new();
            for uuid in manifest.json().as_object().unwrap().keys() {
                let path = format!("/feeds/misp/{uuid}.json");
                let file = self.get(&path);
                // What was last of a day may have left between the two.
                held.extend(opened(&path, file).map(|file| attributes(&file.json()["Event"]["Attribute"])).unwrap_or_default());
            }
            held
        });
        Some(Misp { found, feed })
    }

    /// A list, page after page. `path` has a query.
    fn pages(&mut self, path: &str) -> Option<Vec<Value>> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&format!("{path}{after}"));
            let page = opened(path, answer)?.json();
            found.extend(items(&page).iter().cloned());
            match page["cursor"].as_str() {
                Some(cursor) => after = format!("&cursor={}", escape(cursor)),
                None => return Some(found),
            }
        }
    }
}

/// The answer of a door that is open; `None` for a refusal. Anything else ends the test.
fn opened(path: &str, answer: Answer) -> Option<Answer> {
    match answer.status {
        200 => Some(answer),
        401 | 403 | 404 => None,
        status => panic!("{path}: {status} {}", answer.text()),
    }
}

/// Marks of the values of MISP attributes that were not taken back.
fn attributes(list: &Value) -> BTreeSet<String> {
    let held = list.as_array().into_iter().flatten().filter(|attribute| attribute["deleted"] != true);
    held.flat_map(|attribute| marks(attribute["value"].as_str().unwrap())).collect()
}

/// A hub that calls this machine, sends mail through `mail`, and holds everything below `benign` for harmless.
pub fn hub_with_every_door(mail: &MailServer, benign: &str) -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let lists = folder.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    let list = json!({ "name": "benign hosts", "type": "hostname", "version": 1, "list": [benign] });
    std::fs::write(lists.join("hosts.json"), list.to_string()).unwrap();
    let text = format!(
        "warning_lists = {:?}\n\n[outbound]\nwebhooks_allow = [\"127.0.0.0/8\"]\n\n\
         [mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"Hub <hub@cert.example>\"\n",
        lists.display().to_string(),
        mail.port
    );
    let configuration = folder.path().join("bongsu.toml");
    std::fs::write(&configuration, text).unwrap();
    let data = folder.path().join("data");
    Hub::start_in(folder, data, &["--config", configuration.to_str().unwrap()])
}

/// The ways by which an organisation is told of the same things: its inbox, a webhook and mail.
pub struct Told {
    /// Somebody of the organisation who may subscribe.
    pub client: Client,
    path: String,
    address: String,
}

impl Told {
    /// Subscribes an organisation by all ways to `events` or `findings`. Its verified contact gets the mail, so that no code is asked for.
    pub fn subscribe(hub: &Hub, organisation: &str, client: Client, about: &str, receiver: &Receiver) -> Self {
        let (path, address) = (format!("/{about}/{organisation}"), format!("{about}-{organisation}@members.example"));
        let contact = format!("/api/v1/organisations/{organisation}/contact");
        for (path, body) in [(contact.clone(), json!({ "address": address })), (format!("{contact}/verify"), json!({}))] {
            let answer = hub.coordinator().post(&path, &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        for channel in [json!({ "inbox": {} }), json!({ "webhook": { "url": receiver.url(&path) } }), json!({ "mail": { "address": address } })] {
            let answer = client.post("/api/v1/subscriptions", &json!({ "name": about, "about": about, "language": "en", "channel": channel }));
            assert_eq!((answer.status, &answer.json()["state"]), (201, &json!("active")), "{}", answer.text());
        }
        Self { client, path, address }
    }

    /// What came so far, by the name of the way: its messages, and all its bytes as text. An inbox that cannot be read any more has nothing.
    pub fn so_far(&self, receiver: &Receiver, server: &MailServer) -> [(&'static str, Vec<Value>, String); 3] {
        let mut visit = Visit::new(&self.client);
        let inbox = visit.inbox().unwrap_or_default();
        let inbox_said: String = visit.said.into_iter().map(|(_, said)| said).collect();
        let posted = receiver.at(&self.path);
        let posted_said: String = posted.iter().map(|posted| String::from_utf8_lossy(&posted.body).into_owned()).collect();
        let mut mailed = Vec::new();
        let mut mailed_said = String::new();
        for mail in server.to(&self.address) {
            let attached: Vec<String> = attachments(&mail).iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
            mailed.push(message(&attached));
            mailed_said.push_str(&mail);
            mailed_said.extend(attached);
        }
        let posted = posted.iter().filter(|posted| posted.taken).map(super::Posted::message).collect();
        [("inbox", inbox, inbox_said), ("webhook", posted, posted_said), ("mail", mailed, mailed_said)]
    }
}

/// The message that a mail's attached lines make.
fn message(attached: &[String]) -> Value {
    let mut message = json!({ "events": [], "findings": [], "withdrawn": [] });
    for line in attached.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        for (one, all) in [("event", "events"), ("finding", "findings"), ("withdrawn", "withdrawn")] {
            if !line[one].is_null() {
                message[all].as_array_mut().unwrap().push(line[one].clone());
            }
        }
    }
    message
}

/// The parts of a mail that are written in Base64.
///
/// Source: RFC 2045 section 6.8.
fn attachments(mail: &str) -> Vec<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let parts = mail.split("Content-Transfer-Encoding: base64").skip(1).filter_map(|part| part.split_once("\r\n\r\n"));
    let decoded = parts.map(|(_, body)| {
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
        let lines = body.lines().take_while(|line| !line.starts_with("--"));
        for digit in lines.flat_map(str::chars).filter_map(|character| ALPHABET.find(character)) {
            (bits, held) = ((bits << 6 | digit as u32) & 0xFFFF, held + 6);
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xFF) as u8);
            }
        }
        bytes
    });
    decoded.collect()
}

/// Registers a network for an organisation, approved and proven at once.
pub fn register(hub: &Hub, organisation: &str, kind: &str, value: &str, protected: bool) {
    let body = json!({ "kind": kind, "value": value, "protected": protected, "reason": "test" });
    let answer = hub.coordinator().post(&format!("/api/v1/organisations/{organisation}/networks"), &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Waits until findings are as far as every other view.
pub fn until_findings_follow(hub: &Hub) {
    let coordinator = hub.coordinator();
    eventually("findings follow", || {
        let views = coordinator.get("/api/v1/status").json()["views"].clone();
        (views["owners"].as_u64() >= views["observables"].as_u64()).then_some(())
    });
}

/// Sends one event after another, as `send` makes them, until one has become a finding: from there on the registration of its network counts.
/// Gives how many were sent.
pub fn until_registration_counts(hub: &Hub, mut send: impl FnMut(usize)) -> usize {
    let coordinator = hub.coordinator();
    let found = || items(&coordinator.get("/api/v1/findings").json()).len();
    let before = found();
    let mut sent = 0;
    eventually("the registration counts", || {
        send(sent);
        sent += 1;
        until_findings_follow(hub);
        (found() > before).then_some(sent)
    })
}
