//! Two hubs under agreements with each other: what is agreed passes, once, and nothing else does; nothing goes round.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Client, Hub, Random, ago, said};

/// How long an exchange may take to settle.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// Rounds of random events; `HUBS_ROUNDS` sets another number.
const ROUNDS: u64 = 4;
/// Events that each hub's member sends in a round.
const EVENTS: usize = 25;
/// The source under which each hub knows the other.
const SOURCE: &str = "the-other";

/// One hub with its member and its partner.
struct Side {
    hub: Hub,
    configuration: PathBuf,
    /// The partner that stands for the other hub.
    partner: String,
    /// What the other hub signs in with.
    key: String,
    member: Client,
    /// The second byte of its addresses.
    net: usize,
    sent: usize,
    /// Values that the other hub is to have.
    shared: BTreeSet<String>,
    /// Values that it is never to have.
    kept: BTreeSet<String>,
    /// Sequence numbers of what is shared, for withdrawals.
    places: Vec<(u64, String)>,
}

impl Side {
    fn start(folder: &Path, name: &str, net: usize, agreement: &Value) -> Self {
        let configuration = folder.join(format!("{name}.toml"));
        std::fs::write(&configuration, "[outbound]\nallow = [\"127.0.0.0/8\"]\n").unwrap();
        let hub = Hub::start_with(&["--config", configuration.to_str().unwrap()]);
        let partner = hub.organisation(&format!("Partner of {name}"), "partner", "", "");
        let path = format!("/api/v1/organisations/{partner}/agreement");
        let mut body = agreement.clone();
        body["version"] = hub.coordinator().get(&format!("/api/v1/organisations/{partner}")).json()["version"].clone();
        let answer = hub.coordinator().request("PUT", &path, &[("content-type", "application/json")], Some(&serde_json::to_vec(&body).unwrap()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let key = hub.key(&partner, "reader");
        let member = hub.member(&format!("Member of {name}"), "analyst");
        Self { hub, configuration, partner, key, member, net, sent: 0, shared: BTreeSet::new(), kept: BTreeSet::new(), places: Vec::new() }
    }

    /// Makes the other hub a source.
    fn follow(&mut self, other_url: &str, other_key: &str, folder: &Path) {
        let key_file = folder.join(format!("key-{}", self.net));
        std::fs::write(&key_file, format!("Bearer {other_key}\n")).unwrap();
        let text = format!(
            "[outbound]\nallow = [\"127.0.0.0/8\"]\n\n[[sources]]\nname = \"{SOURCE}\"\nkind = \"taxii\"\nurl = \"{other_url}\"\nkey_file = \"{}\"\npartner = \"{}\"\nenabled = false\nexpect = {{ max_change = 1000000.0 }}\n",
            key_file.display(),
            self.partner
        );
        std::fs::write(&self.configuration, text).unwrap();
        self.hub.terminate();
        self.hub.restart();
    }

    fn pull(&self) -> Value {
        let output = self.hub.command(&self.hub.coordinator_key(), &["pull", SOURCE, "--json"], None);
        assert!(output.status.success(), "{}\n{}", said(&output), self.hub.log());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// Sends events of every kind, some of which may pass.
    fn report(&mut self, random: &mut Random) {
        let mut events = Vec::new();
        for _ in 0..EVENTS {
            self.sent += 1;
            let value = format!("45.{}.{}.{}", self.net, self.sent / 200 + 1, self.sent % 200 + 1);
            let tlp = *random.pick(&["clear", "green", "amber", "amber+strict", "red"]);
            let category = *random.pick(&["c2-server", "scanner", "phishing", "vulnerable-system", "test"]);
            let role = if random.percent(80) { "attacker" } else { "victim" };
            let mut event = json!({ "time": ago(random.below(80_000) as u64 + 60), "category": category, "tlp": tlp, "observables": [{ "type": "ipv4", "value": value, "role": role }] });
            let narrowed = random.percent(15);
            if narrowed {
                event["audience"] = json!(["energy"]);
            }
            let passes =
                role == "attacker" && !narrowed && matches!(tlp, "clear" | "green" | "amber") && matches!(category, "c2-server" | "scanner" | "phishing");
            events.push((event, value, passes));
        }
        for (event, value, passes) in events {
            let seq = self.member.events(&[event])["first_seq"].as_u64().unwrap();
            if passes {
                self.shared.insert(value.clone());
                self.places.push((seq, value));
            } else {
                self.kept.insert(value);
            }
        }
    }

    /// Takes some back.
    fn withdraw(&mut self, random: &mut Random) {
        for _ in 0..3.min(self.places.len()) {
            let (seq, value) = self.places.swap_remove(random.below(self.places.len()));
            let answer = self.member.post("/api/v1/events/withdraw", &json!({ "seq": seq, "reason": "a mistake" }));
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.shared.remove(&value);
            self.kept.insert(value);
        }
    }

    /// Values that the partner brought, one for each event.
    fn brought(&self) -> Vec<String> {
        let found = self.hub.coordinator().search("");
        let of_partner = found.iter().filter(|event| event["reporter"]["id"] == json!(self.partner));
        of_partner.map(|event| event["observables"][0]["value"].as_str().unwrap().to_owned()).collect()
    }
}

fn agreement() -> Value {
    json!({ "max_tlp": "amber", "reason": "exchange" })
}

/// Pulls both ways until each has what the other shares, and nothing more comes.
fn settle(one: &Side, other: &Side) {
    let began = Instant::now();
    loop {
        one.pull();
        other.pull();
        let got: [BTreeSet<String>; 2] = [one.brought().into_iter().collect(), other.brought().into_iter().collect()];
        if got[0] == other.shared && got[1] == one.shared {
            return;
        }
        let difference = |got: &BTreeSet<String>, wanted: &BTreeSet<String>| got.symmetric_difference(wanted).cloned().collect::<Vec<_>>();
        assert!(
            began.elapsed() < SETTLES_WITHIN,
            "still different: {:?} and {:?}\n{}",
            difference(&got[0], &other.shared),
            difference(&got[1], &one.shared),
            one.hub.log()
        );
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn two_hubs_exchange_what_is_agreed_once_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(support::setting("HUBS_SEED", 7));
    let mut one = Side::start(folder.path(), "one", 140, &agreement());
    let mut other = Side::start(folder.path(), "other", 141, &agreement());
    // An address, an API root: each leads to the collection of the agreement.
    let (url_of_one, url_of_other) = (one.hub.url.clone(), format!("{}/taxii2/main/", other.hub.url));
    one.follow(&url_of_other, &other.key, folder.path());
    other.follow(&url_of_one, &one.key, folder.path());

    for _ in 0..support::setting("HUBS_ROUNDS", ROUNDS) {
        one.report(&mut random);
        other.report(&mut random);
        settle(&one, &other);
        one.withdraw(&mut random);
        other.withdraw(&mut random);
        settle(&one, &other);
    }

    // Nothing goes round: what came from the other is never handed back, and more rounds bring nothing.
    for side in [&one, &other] {
        let before = side.brought();
        assert_eq!(before.len(), before.iter().collect::<BTreeSet<_>>().len(), "each value came once");
        for _ in 0..3 {
            let run = side.pull();
            assert_eq!((&run["taken"], &run["delisted"]), (&json!(0), &json!(0)), "{run}");
        }
        assert_eq!(side.brought().len(), before.len());
    }
    for (side, from) in [(&one, &other), (&other, &one)] {
        let coordinator = side.hub.coordinator();
        // Nothing leaks: not a value of what is stricter, narrower, a victim's, withdrawn or a test.
        let kept: Vec<&str> = from.kept.iter().map(String::as_str).collect();
        let events = coordinator.search("");
        let told: BTreeSet<&str> = events.iter().filter_map(|event| event["observables"][0]["value"].as_str()).collect();
        assert!(kept.iter().all(|value| !told.contains(value)));
        // Everything is relayed, is the partner's, and says where it is from.
        for event in events.iter().filter(|event| event["reporter"]["id"] == json!(side.partner)) {
            assert_eq!(event["origin"], "relayed", "{event}");
            let from_where = &event["extra"]["taxii"];
            assert!(from_where["collection"].as_str().unwrap().starts_with("agreement-"), "{event}");
            assert!(from_where["object"].as_str().unwrap().starts_with("indicator--"), "{event}");
        }
        // A member of the other hub sees it without a count of reporters: what is relayed confirms nothing.
        let shared: Vec<&str> = from.shared.iter().map(String::as_str).take(5).collect();
        for found in side.member.lookup(&shared) {
            assert_eq!(found["state"], "active", "{found}");
        }
    }
}

#[test]
fn an_agreement_on_green_lets_nothing_stricter_pass_and_one_that_is_over_lets_nothing_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = Side::start(folder.path(), "one", 142, &json!({ "max_tlp": "green", "reason": "exchange" }));
    let mut other = Side::start(folder.path(), "other", 143, &agreement());
    one.member.events(&[
        json!({ "time": ago(600), "category": "c2-server", "tlp": "green", "value": "45.142.9.1" }),
        json!({ "time": ago(600), "category": "c2-server", "tlp": "amber", "value": "45.142.9.2" }),
    ]);
    one.shared = BTreeSet::from(["45.142.9.1".to_owned()]);
    let (url, key) = (one.hub.url.clone(), one.key.clone());
    other.follow(&url, &key, folder.path());
    one.follow(&other.hub.url.clone(), &other.key.clone(), folder.path());
    settle(&one, &other);
    assert_eq!(other.hub.coordinator().lookup(&["45.142.9.2"]), [Value::Null]);

    // The agreement ends at the other side: what came stays, and nothing more is taken.
    let path = format!("/api/v1/organisations/{}/agreement", other.partner);
    let version = other.hub.coordinator().get(&path).json()["version"].clone();
    let body = serde_json::to_vec(&json!({ "version": version, "reason": "over" })).unwrap();
    let answer = other.hub.coordinator().request("DELETE", &path, &[("content-type", "application/json")], Some(&body));
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    let output = other.hub.command(&other.hub.coordinator_key(), &["pull", SOURCE, "--json"], None);
    assert!(!output.status.success() && said(&output).contains("agreement"), "{}", said(&output));
    assert_eq!(other.brought(), ["45.142.9.1"]);
}
