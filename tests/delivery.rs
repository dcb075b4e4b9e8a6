//! Delivery from outside: webhooks that fail at random while the hub is killed, mail that waits for a code, the inbox and its commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{Behaviour, Client, Hub, MailServer, Random, Receiver, ago, items, said, setting};

/// What comes at once comes within this, on two busy cores.
const WITHIN: Duration = Duration::from_secs(30);
/// With failures: a retry comes after half a minute at the earliest, the second after a minute more.
const WITH_RETRIES: Duration = Duration::from_secs(240);

/// A hub whose webhooks may be on this machine, and sends mail through `mail` where one is given.
fn hub(mail: Option<&MailServer>) -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "[outbound]\nwebhooks_allow = [\"127.0.0.0/8\"]\n".to_owned();
    if let Some(server) = mail {
        text.push_str(&format!("[mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"Hub <hub@cert.example>\"\n", server.port));
    }
    let path = folder.path().join("bongsu.toml");
    std::fs::write(&path, text).unwrap();
    let data = folder.path().join("data");
    Hub::start_in(folder, data, &["--config", path.to_str().unwrap()])
}

fn subscribe(client: &Client, body: &Value) -> Value {
    let answer = client.post("/api/v1/subscriptions", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn shown(client: &Client, id: &Value) -> Value {
    client.get(&format!("/api/v1/subscriptions/{}", id.as_str().unwrap())).json()
}

fn act(client: &Client, id: &Value, what: &str, body: &Value) -> support::Answer {
    client.post(&format!("/api/v1/subscriptions/{}/{what}", id.as_str().unwrap()), body)
}

fn scanner(value: &str) -> Value {
    json!({ "time": ago(60), "category": "scanner", "value": value, "tlp": "green" })
}

/// Asks until there is an answer.
fn eventually<T>(within: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn inbox(client: &Client) -> Vec<Value> {
    let answer = client.get("/api/v1/inbox?limit=1000");
    assert_eq!(answer.status, 200, "{}", answer.text());
    items(&answer.json()).to_vec()
}

/// The events that a receiver has taken at a path, in the order in which it took them, whatever came twice.
fn taken(receiver: &Receiver, path: &str) -> Vec<u64> {
    let mut ids = BTreeSet::new();
    let mut seqs = Vec::new();
    for posted in receiver.at(path).into_iter().filter(|posted| posted.taken) {
        if ids.insert(posted.id.clone()) {
            seqs.extend(posted.message()["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        }
    }
    seqs
}

#[test]
fn each_event_comes_once_to_a_receiver_that_fails_at_random_while_the_hub_is_killed() {
    const PATHS: [&str; 3] = ["/a", "/b", "/c"];
    let mut random = Random::new(setting("BONGSU_TEST_SEED", 7));
    let receiver = Receiver::start(Behaviour::FailsAtRandom(2), random.number());
    let mut hub = hub(None);
    let member = hub.member("Member", "analyst");
    let sender = hub.member("Sender", "analyst");
    for path in PATHS {
        let body = json!({ "name": path, "about": "events", "filter": { "category": "scanner" }, "channel": { "webhook": { "url": receiver.url(path) } } });
        assert!(subscribe(&member, &body)["secret"].as_str().unwrap().starts_with("whsec_"));
    }
    let mut sent = Vec::new();
    for round in 0..8_u32 {
        let events: Vec<Value> = (0..=random.below(40)).map(|number| scanner(&format!("185.60.{round}.{number}"))).collect();
        let first = sender.events(&events)["first_seq"].as_u64().unwrap();
        sent.extend((0..events.len() as u64).map(|number| first + number));
        sender.events(&[json!({ "time": ago(60), "category": "phishing", "value": "185.61.1.1", "tlp": "green" })]);
        std::thread::sleep(Duration::from_millis(random.below(900) as u64));
        if round % 3 == 2 {
            hub.kill();
            hub.restart();
        }
    }
    for path in PATHS {
        eventually(WITH_RETRIES, path, || (taken(&receiver, path).len() >= sent.len()).then_some(()));
    }
    // Nothing comes after that is not known already.
    std::thread::sleep(Duration::from_secs(2));
    for path in PATHS {
        assert_eq!(taken(&receiver, path), sent, "{path}: each once, in order");
        let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for posted in receiver.at(path) {
            let first = bodies.entry(posted.id.clone()).or_insert_with(|| posted.body.clone());
            assert_eq!(*first, posted.body, "a retry sends the same");
        }
    }
}

#[test]
fn a_dead_receiver_is_parked_visibly_told_in_the_inbox_and_resumed() {
    let receiver = Receiver::start(Behaviour::Gone, 1);
    let hub = hub(None);
    let member = hub.member("Member", "analyst");
    let sender = hub.member("Sender", "analyst");
    let id = subscribe(&member, &json!({ "name": "soc", "about": "events", "channel": { "webhook": { "url": receiver.url("/x") } } }))["id"].clone();
    let first = sender.events(&[scanner("185.60.1.1")])["first_seq"].as_u64().unwrap();
    let parked = eventually(WITHIN, "parked", || Some(shown(&member, &id)).filter(|shown| shown["state"] == "parked"));
    assert!(parked["delivery"]["last_error"].as_str().unwrap().contains("410") && parked["delivery"]["queued"] == 1, "{parked}");
    let notice = eventually(WITHIN, "told", || inbox(&member).first().cloned());
    assert_eq!((&notice["notice"]["kind"], &notice["subscription"]), (&json!("parked"), &id));
    let second = sender.events(&[scanner("185.60.1.2")])["first_seq"].as_u64().unwrap();
    eventually(WITHIN, "waiting", || (shown(&member, &id)["delivery"]["waiting"] == 1).then_some(()));
    receiver.behave(Behaviour::Takes);
    assert_eq!(act(&member, &id, "resume", &json!({})).json()["state"], "active");
    eventually(WITHIN, "resumed", || (taken(&receiver, "/x") == [first, second]).then_some(()));
    assert_eq!(act(&member, &id, "test", &json!({})).status, 202);
    eventually(WITHIN, "test", || receiver.at("/x").iter().any(|posted| posted.taken && posted.message()["notice"]["kind"] == "test").then_some(()));
}

#[test]
fn receivers_that_never_answer_hold_up_nobody_but_whose_they_are() {
    let hub = hub(None);
    let (busy, quiet, sender) = (hub.member("Busy", "analyst"), hub.member("Quiet", "analyst"), hub.member("Sender", "analyst"));
    // They take connections, and never say a word.
    let silent: Vec<std::net::TcpListener> = (0..8).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for number in 0..24_usize {
        let port = silent[number % silent.len()].local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/{number}");
        let filter = json!({ "within": "185.60.1.0/24" });
        subscribe(&busy, &json!({ "name": format!("slow {number}"), "about": "events", "filter": filter, "channel": { "webhook": { "url": url } } }));
    }
    let receiver = Receiver::start(Behaviour::Takes, 1);
    sender.events(&[scanner("185.60.1.1")]);
    // All that is due of the first is due before the second subscribes.
    std::thread::sleep(Duration::from_secs(3));
    subscribe(&quiet, &json!({ "name": "soc", "about": "events", "channel": { "webhook": { "url": receiver.url("/quiet") } } }));
    let second = sender.events(&[scanner("185.60.1.2")])["first_seq"].as_u64().unwrap();
    // A receiver has twenty seconds to answer; whoever waited for one would not be here by then.
    eventually(Duration::from_secs(12), "the quiet one's", || (taken(&receiver, "/quiet") == [second]).then_some(()));
}

#[test]
fn an_address_gets_a_code_and_nothing_else_until_the_code_is_given_back() {
    let server = MailServer::start();
    let hub = hub(Some(&server));
    let member = hub.member("Member", "analyst");
    let sender = hub.member("Sender", "analyst");
    let body = json!({ "name": "night", "about": "events", "language": "en", "channel": { "mail": { "address": "soc@bank.example" } } });
    let made = subscribe(&member, &body);
    assert_eq!(made["state"], "unconfirmed", "{made}");
    let mail = eventually(WITHIN, "code", || server.to("soc@bank.example").first().cloned());
    let code = code_in(&mail);
    let seq = sender.events(&[scanner("185.60.1.1")])["first_seq"].as_u64().unwrap();
    eventually(WITHIN, "waiting", || (shown(&member, &made["id"])["delivery"]["waiting"] == 1).then_some(()));
    assert_eq!(act(&member, &made["id"], "confirm", &json!({ "code": "0000-0000-0000" })).status, 422);
    assert_eq!(server.to("soc@bank.example").len(), 1);
    let confirmed = act(&member, &made["id"], "confirm", &json!({ "code": code.to_lowercase() }));
    assert_eq!((confirmed.status, &confirmed.json()["state"]), (200, &json!("active")), "{}", confirmed.text());
    let mail = eventually(WITHIN, "mail", || server.to("soc@bank.example").get(1).cloned());
    assert!(mail.contains("Message-ID:") && mail.contains("X-Bongsu-TLP: GREEN"), "{mail}");
    // The same address is known now, and another organisation's word is not enough for it.
    assert_eq!(subscribe(&member, &body)["state"], "active");
    assert_eq!(subscribe(&hub.member("Other", "analyst"), &body)["state"], "unconfirmed");
    let sent = eventually(WITHIN, "sent", || Some(shown(&member, &made["id"])).filter(|shown| shown["delivery"]["sent"] == 2));
    assert_eq!(sent["delivery"]["waiting"], 0, "{seq}");
}

/// Twelve digits in three groups that stand alone.
fn code_in(mail: &str) -> String {
    let is_group = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_code = |word: &&str| word.len() == 14 && word.split('-').count() == 3 && word.split('-').all(is_group);
    let text = format!("{mail}\n{}", decoded(mail));
    let code = text.split_whitespace().find(is_code).map(str::to_owned);
    code.unwrap_or_else(|| panic!("no code in {text}"))
}

/// The parts of a mail that are written in Base64.
fn decoded(mail: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in mail.split("\r\n\r\n") {
        let mut bytes = Vec::new();
        let (mut bits, mut held) = (0_u32, 0_u32);
        let lines = part.lines().take_while(|line| !line.starts_with("--") && !line.contains(' '));
        for digit in lines.flat_map(str::chars).filter_map(|character| ALPHABET.find(character)) {
            (bits, held) = ((bits << 6 | digit as u32) & 0xFFFF, held + 6);
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xFF) as u8);
            }
        }
        text.push_str(&String::from_utf8_lossy(&bytes));
        text.push('\n');
    }
    text
}

#[test]
fn an_owner_is_told_of_findings_once_and_of_their_end() {
    let hub = hub(None);
    let owner = hub.organisation("Owner", "company", "private", "finance");
    let administrator = hub.client(&hub.key(&owner, "member-admin"));
    let sender = hub.member("Sender", "analyst");
    let network = json!({ "kind": "cidr", "value": "185.60.1.0/24", "reason": "test" });
    assert_eq!(hub.coordinator().post(&format!("/api/v1/organisations/{owner}/networks"), &network).status, 201);
    subscribe(&administrator, &json!({ "name": "ours", "about": "findings", "channel": { "inbox": {} } }));
    // The outbox is carried within half a second.
    std::thread::sleep(Duration::from_millis(1_500));
    let infected = json!({ "time": ago(60), "category": "infected-system", "value": "185.60.1.7", "tlp": "green" });
    let seq = sender.events(std::slice::from_ref(&infected))["first_seq"].as_u64().unwrap();
    let message = eventually(WITHIN, "finding", || inbox(&administrator).first().cloned());
    assert_eq!((&message["findings"][0]["value"], message["events"].as_array().unwrap().len()), (&json!("185.60.1.7"), 0));
    let again = sender.events(&[infected])["first_seq"].as_u64().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(inbox(&administrator).len(), 1, "a repeat is counted and not told");
    for seq in [seq, again] {
        assert_eq!(sender.post("/api/v1/events/withdraw", &json!({ "seq": seq, "reason": "mistaken" })).status, 200);
    }
    let told = eventually(WITHIN, "withdrawal", || inbox(&administrator).first().filter(|newest| newest["withdrawn"][0]["finding"].is_string()).cloned());
    assert_eq!(told["withdrawn"][0]["finding"], message["findings"][0]["id"]);
}

#[test]
fn a_subscription_is_its_organisations_alone_and_the_coordinator_sees_it() {
    let hub = hub(None);
    let (member, other) = (hub.member("Member", "analyst"), hub.member("Other", "member-admin"));
    let made = subscribe(&member, &json!({ "name": "all", "about": "events", "channel": { "inbox": {} }, "rhythm": { "times": ["09:00"] } }));
    let path = format!("/api/v1/subscriptions/{}", made["id"].as_str().unwrap());
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/pause")), ("POST", format!("{path}/test"))] {
        assert_eq!(other.status(method, &path, &[], None), 404, "{method} {path}");
    }
    assert!(items(&other.get("/api/v1/subscriptions").json()).is_empty());
    assert_eq!(items(&hub.coordinator().get("/api/v1/subscriptions").json()).len(), 1);
    assert_eq!(hub.coordinator().patch(&path, &json!({ "version": 1, "name": "mine" })).status, 403);
    assert_eq!(hub.coordinator().post(&format!("{path}/pause"), &json!({})).json()["state"], "paused");
    assert_eq!(member.patch(&path, &json!({ "version": 1, "name": "ours" })).status, 409, "it was paused meanwhile");
    let changed = member.patch(&path, &json!({ "version": 2, "name": "ours", "filter": { "category": ["phishing"] } }));
    assert_eq!(
        (changed.status, &changed.json()["name"], &changed.json()["filter"]),
        (200, &json!("ours"), &json!({ "category": ["phishing"] })),
        "{}",
        changed.text()
    );
    for wrong in [
        json!({ "name": "x", "about": "events", "channel": { "inbox": {} }, "rhythm": { "times": ["25:00"] } }),
        json!({ "name": "x", "about": "events", "channel": { "webhook": { "url": "https://10.0.0.1/" } } }),
        json!({ "name": "x", "about": "events", "channel": { "mail": { "address": "soc@bank.example" } } }),
        json!({ "name": "x", "about": "findings", "channel": { "inbox": {} }, "filter": { "sector": ["finance"] } }),
        json!({ "name": "x", "about": "everything", "channel": { "inbox": {} } }),
    ] {
        let refused = member.post("/api/v1/subscriptions", &wrong);
        assert_eq!(refused.status, 422, "{wrong}: {}", refused.text());
    }
    assert_eq!(member.status("DELETE", &path, &[], None), 204);
    assert_eq!(member.get(&path).status, 404);
}

#[test]
fn what_is_opened_for_sources_is_closed_to_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bongsu.toml");
    std::fs::write(&path, "[outbound]\nallow = [\"127.0.0.0/8\"]\n").unwrap();
    let data = folder.path().join("data");
    let hub = Hub::start_in(folder, data, &["--config", path.to_str().unwrap()]);
    let member = hub.member("Bank", "analyst");
    for url in ["http://127.0.0.1:9/hook", "https://127.0.0.1:9/hook", "https://[::1]/hook"] {
        let refused = member.post("/api/v1/subscriptions", &json!({ "name": "x", "about": "events", "channel": { "webhook": { "url": url } } }));
        assert_eq!(refused.status, 422, "{url}: {}", refused.text());
    }
}

#[test]
fn the_commands_subscribe_list_and_read() {
    let hub = hub(None);
    let company = hub.organisation("Member", "company", "private", "finance");
    let (key, sender) = (hub.key(&company, "analyst"), hub.member("Sender", "analyst"));
    let added = hub.command(&key, &["subscribe", "add", "night", "--inbox", "--category", "scanner", "--language", "en"], None);
    assert!(added.status.success(), "{}", said(&added));
    let id = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    assert!(id.starts_with("sub_") && id.len() == 36, "{id}");
    sender.events(&[scanner("185.60.1.1")]);
    let message = eventually(WITHIN, "inbox", || {
        let listed = hub.command(&key, &["inbox", "--unread", "--json"], None);
        assert!(listed.status.success(), "{}", said(&listed));
        serde_json::from_slice::<Value>(listed.stdout.split(|byte| *byte == b'\n').next().unwrap()).ok()
    });
    let read = hub.command(&key, &["inbox", message["id"].as_str().unwrap()], None);
    assert!(read.status.success() && said(&read).contains("185.60.1.1"), "{}", said(&read));
    assert!(said(&read).contains("\n1 event\n") && !said(&read).contains('{'), "for people: {}", said(&read));
    let as_it_is = hub.command(&key, &["inbox", message["id"].as_str().unwrap(), "--json"], None);
    assert_eq!(serde_json::from_slice::<Value>(&as_it_is.stdout).unwrap()["id"], message["id"]);
    let listed = hub.command(&key, &["inbox", "--unread", "--json"], None);
    assert!(listed.stdout.is_empty(), "{}", said(&listed));
    let listed = hub.command(&key, &["subscribe", "list"], None);
    assert!(said(&listed).contains(&id) && said(&listed).contains("inbox"), "{}", said(&listed));
    let twin = hub.command(&key, &["subscribe", "add", "night", "--inbox"], None);
    assert!(String::from_utf8_lossy(&twin.stderr).contains(&format!("already: {id}")), "{}", said(&twin));
    let twin = String::from_utf8(twin.stdout).unwrap().trim().to_owned();
    let either = hub.command(&key, &["subscribe", "pause", "night"], None);
    assert!(!either.status.success() && said(&either).contains(&twin), "{}", said(&either));
    for (what, which) in [("remove", twin.as_str()), ("pause", "night"), ("resume", "night"), ("remove", "night")] {
        let done = hub.command(&key, &["subscribe", what, which], None);
        assert!(done.status.success(), "{what}: {}", said(&done));
        assert_eq!(said(&done).lines().count(), 1, "{what}: {}", said(&done));
    }
    assert!(!hub.command(&key, &["subscribe", "show", &id], None).status.success());
}

#[test]
fn an_erased_value_leaves_the_inboxes_and_the_file() {
    let mut hub = hub(None);
    let member = hub.member("Member", "analyst");
    let sender = hub.member("Sender", "analyst");
    subscribe(&member, &json!({ "name": "all", "about": "events", "channel": { "inbox": {} } }));
    let observable = json!({ "type": "email", "value": "lee@household.kr", "role": "attacker" });
    let event = json!({ "time": ago(60), "category": "phishing", "tlp": "green", "observables": [observable] });
    sender.events(&[event]);
    eventually(WITHIN, "inbox", || inbox(&member).first().filter(|message| message.to_string().contains("lee@household.kr")).cloned());
    let own = hub.own_organisation();
    let [first, second] = ["Kim", "Park"].map(|holder| hub.client(&hub.key_with(&own, &json!({ "role": "coordinator", "holder": holder })).1));
    let asked = first.post("/api/v1/erasures", &json!({ "type": "email", "value": "lee@household.kr", "basis": "PIPA article 36" }));
    assert_eq!(asked.status, 201, "{}", asked.text());
    let done = second.post(&format!("/api/v1/erasures/{}/steps", asked.json()["id"].as_str().unwrap()), &json!({ "step": "confirm" }));
    assert_eq!((done.status, &done.json()["state"]), (200, &json!("done")), "{}", done.text());
    assert!(!inbox(&member).iter().any(|message| message.to_string().contains("household")));
    hub.kill();
    for entry in hub.data.read_dir().unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("deliveries.sqlite")) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"household"), "{}", entry.path().display());
    }
}
