#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::mail::{MailOptions, MailTls};
use super::*;
use crate::HubOptions;
use crate::clock::Clock;
use crate::intake::Options;
use crate::members::{ContactState, MAX_ASKS, NewKey, NewOrganisation};
use crate::sharing::Withdrawal;
use model::{Category, Constituency, Filter, OrgKind, Seq, Standing};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// 2026-11-23 08:00 in Seoul, a Monday.
const BEGIN: i64 = 1_795_388_400;
const WITHIN: Duration = Duration::from_secs(20);

struct Realm {
    folder: tempfile::TempDir,
    hub: Arc<Hub>,
    seconds: Arc<AtomicI64>,
}

impl Realm {
    async fn open() -> Self {
        Self::open_with(None).await
    }

    /// One that sends mail through a server on this machine.
    async fn open_with(mail: Option<MailOptions>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicI64::new(BEGIN));
        let hub = Hub::open(HubOptions { mail, ..options(&folder.path().join("data"), &seconds) }).await.unwrap();
        Self { folder, hub, seconds }
    }

    async fn again(self) -> Self {
        let Self { folder, hub, seconds } = self;
        hub.close().await;
        // Every task lets go of the hub before the folder can be taken again.
        let began = Instant::now();
        while Arc::strong_count(&hub) > 1 {
            assert!(began.elapsed() < WITHIN, "somebody holds the hub");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(hub);
        let hub = Hub::open(options(&folder.path().join("data"), &seconds)).await.unwrap();
        Self { folder, hub, seconds }
    }

    fn coordinator(&self) -> Actor {
        let secret = std::fs::read_to_string(self.folder.path().join("data/coordinator.key")).unwrap();
        self.hub.authenticate(secret.trim(), "192.0.2.10".parse().unwrap()).unwrap()
    }

    async fn member(&self, name: &str) -> Actor {
        let new = NewOrganisation { name: name.to_owned(), kind: OrgKind::Company, constituency: Some(Constituency::Private), sector: None, country: None };
        let id = self.hub.members().add(&self.coordinator(), new).await.unwrap().id;
        let key: NewKey = serde_json::from_str(r#"{"role": "analyst"}"#).unwrap();
        let (_, secret) = self.hub.members().add_key(&self.coordinator(), id, key).await.unwrap();
        self.hub.authenticate(&secret, "192.0.2.10".parse().unwrap()).unwrap()
    }

    async fn send(&self, actor: &Actor, fields: &str) -> Seq {
        let line = format!("{{\"time\":{},{fields}}}\n", self.seconds.load(Ordering::Relaxed));
        let mut session = self.hub.intake(actor, Options::default()).unwrap();
        session.push(bytes::Bytes::from(line)).await.unwrap();
        session.finish().await.unwrap().first_seq.unwrap()
    }

    async fn subscribe(&self, actor: &Actor, filter: Filter, rhythm: Value) -> SubscriptionView {
        let new = NewSubscription {
            name: "night".to_owned(),
            about: About::Events,
            filter,
            channel: NewChannel::Inbox,
            rhythm: Some(rhythm),
            categories: BTreeMap::new(),
            language: Language::En,
        };
        self.hub.add_subscription(actor, new).await.unwrap().0
    }

    /// The inbox, oldest first, once it has so many messages.
    async fn inbox(&self, actor: &Actor, messages: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let (mut page, _) = self.hub.inbox(actor, false, 1_000, None).await.unwrap();
            if page.len() >= messages {
                page.reverse();
                return page.iter().map(|message| serde_json::to_value(message).unwrap()).collect();
            }
            assert!(began.elapsed() < WITHIN, "{} messages", page.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many things wait for a subscription.
    async fn waiting(&self, actor: &Actor, subscription: &SubscriptionView, things: u64) {
        let began = Instant::now();
        while self.hub.subscription(actor, subscription.id).await.unwrap().delivery.waiting != things {
            assert!(began.elapsed() < WITHIN, "{:?}", self.hub.subscription(actor, subscription.id).await.unwrap().delivery);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn later(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn options(data: &Path, seconds: &Arc<AtomicI64>) -> HubOptions {
    let seconds = seconds.clone();
    HubOptions {
        data: data.to_owned(),
        realm: "main".to_owned(),
        zone: "Asia/Seoul".to_owned(),
        memory: 64 << 20,
        parse_threads: 1,
        max_body: 1 << 20,
        max_events: 1_000,
        retention: None,
        warning_lists: None,
        sectors: Vec::new(),
        national: None,
        dns: crate::owners::DnsOptions::default(),
        mail: None,
        holidays: BTreeSet::new(),
        outbound: crate::outbound::OutboundOptions::default(),
        sources: Vec::new(),
        clock: Clock::from_fn(move || Timestamp::from_seconds(seconds.load(Ordering::Relaxed))),
    }
}

fn seqs(message: &Value) -> Vec<u64> {
    message["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

fn scanners() -> Filter {
    Filter { categories: vec![Category::Scanner], ..Filter::default() }
}

fn morning() -> Value {
    json!({ "times": ["09:00"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_told_what_others_reported_as_a_key_of_its_own_sees_it_and_nothing_else() {
    let realm = Realm::open().await;
    let (sender, member) = (realm.member("Sender").await, realm.member("Member").await);
    realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await;
    realm.subscribe(&member, scanners(), json!("at-once")).await;
    realm.send(&sender, r#""category":"phishing","value":"185.60.1.2","tlp":"green""#).await;
    realm.send(&sender, r#""category":"scanner","value":"185.60.1.3","tlp":"red""#).await;
    realm.send(&member, r#""category":"scanner","value":"185.60.1.4","tlp":"green""#).await;
    let wanted = realm.send(&sender, r#""category":"scanner","value":"185.60.1.5","tlp":"amber","note":"ours","id":"ticket-1","dst_ip":"185.60.9.9""#).await;
    let messages = realm.inbox(&member, 1).await;
    assert_eq!(seqs(&messages[0]), [wanted.0], "not what was before, is of another category, is red or is its own");
    let seen: Value = serde_json::from_slice(&realm.hub.event(&member, wanted).unwrap()).unwrap();
    assert_eq!(messages[0]["events"][0], seen);
    for secret in ["ticket", "ours", "185.60.9.9", "Sender"] {
        assert!(!messages[0].to_string().contains(secret), "{secret}");
    }
    assert_eq!((messages[0]["name"].as_str(), messages[0]["language"].as_str(), &messages[0]["read"]), (Some("night"), Some("en"), &Value::Null));
    let read = realm.hub.read_inbox(&member, messages[0]["id"].as_str().unwrap()).await.unwrap();
    assert!(read.read.is_some());
    assert!(matches!(realm.hub.read_inbox(&sender, messages[0]["id"].as_str().unwrap()).await, Err(HubError::NotFound)));
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_gathers_until_its_time_and_holds_what_stands_then() {
    let realm = Realm::open().await;
    let (sender, member) = (realm.member("Sender").await, realm.member("Member").await);
    let subscription = realm.subscribe(&member, scanners(), morning()).await;
    let first = realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await;
    let amber = realm.send(&sender, r#""category":"scanner","value":"185.60.1.2","tlp":"amber""#).await;
    let mistaken = realm.send(&sender, r#""category":"scanner","value":"185.60.1.3","tlp":"green""#).await;
    realm.waiting(&member, &subscription, 3).await;
    realm.hub.withdraw(&sender, Withdrawal::Seq(mistaken), "mistaken", false).await.unwrap();
    realm.waiting(&member, &subscription, 2).await;
    realm.later(3_000);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(realm.hub.inbox(&member, false, 10, None).await.unwrap().0.is_empty(), "it is not nine yet");
    realm.hub.members().set_standing(&realm.coordinator(), member.organisation.id, Standing::ReceiveLimited, "idle", None).await.unwrap();
    realm.later(700);
    let messages = realm.inbox(&member, 1).await;
    assert_eq!(seqs(&messages[0]), [first.0], "{amber} may not be seen any more");
    realm.waiting(&member, &subscription, 0).await;
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_got_an_event_is_told_that_it_was_withdrawn() {
    let realm = Realm::open().await;
    let (sender, member) = (realm.member("Sender").await, realm.member("Member").await);
    realm.subscribe(&member, scanners(), json!("at-once")).await;
    let wrong = realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await;
    realm.inbox(&member, 1).await;
    realm.hub.withdraw(&sender, Withdrawal::Seq(wrong), "mistaken", false).await.unwrap();
    // The ledger's time is a little ahead of a clock that stands still.
    realm.later(1);
    let messages = realm.inbox(&member, 2).await;
    assert_eq!(messages[1]["withdrawn"][0]["seq"], wrong.0);
    assert!(seqs(&messages[1]).is_empty());
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_neither_loses_nor_doubles_anything() {
    let realm = Realm::open().await;
    let (sender, member) = (realm.member("Sender").await, realm.member("Member").await);
    let digest = realm.subscribe(&member, scanners(), morning()).await;
    let mut sent = vec![realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await.0];
    realm.waiting(&member, &digest, 1).await;
    sent.push(realm.send(&sender, r#""category":"scanner","value":"185.60.1.2","tlp":"green""#).await.0);
    let realm = realm.again().await;
    sent.push(realm.send(&sender, r#""category":"scanner","value":"185.60.1.3","tlp":"green""#).await.0);
    realm.waiting(&member, &digest, 3).await;
    realm.later(3_700);
    let messages = realm.inbox(&member, 1).await;
    assert_eq!(seqs(&messages[0]), sent);
    let realm = realm.again().await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(realm.inbox(&member, 1).await.len(), 1);
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_during_a_pause_is_sent_after_it_and_what_comes_after_the_end_is_not() {
    let realm = Realm::open().await;
    let (sender, member) = (realm.member("Sender").await, realm.member("Member").await);
    let subscription = realm.subscribe(&member, scanners(), json!("at-once")).await;
    let paused = realm.hub.pause_subscription(&member, subscription.id).await.unwrap();
    assert_eq!(paused.state, "paused");
    let during = realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await;
    realm.waiting(&member, &subscription, 1).await;
    assert!(realm.hub.inbox(&member, false, 10, None).await.unwrap().0.is_empty());
    realm.hub.resume_subscription(&member, subscription.id).await.unwrap();
    assert_eq!(seqs(&realm.inbox(&member, 1).await[0]), [during.0]);
    assert!(matches!(realm.hub.remove_subscription(&sender, subscription.id).await, Err(HubError::NotFound)), "another organisation's");
    realm.hub.remove_subscription(&member, subscription.id).await.unwrap();
    assert!(matches!(realm.hub.subscription(&member, subscription.id).await, Err(HubError::NotFound)));
    realm.send(&sender, r#""category":"scanner","value":"185.60.1.2","tlp":"green""#).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(realm.inbox(&member, 1).await.len(), 1);
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_may_not_be_called_and_mail_that_cannot_be_sent_are_refused_at_once() {
    let realm = Realm::open().await;
    let member = realm.member("Member").await;
    let new = |channel: NewChannel| NewSubscription {
        name: "night".to_owned(),
        about: About::Events,
        filter: Filter::default(),
        channel,
        rhythm: None,
        categories: BTreeMap::new(),
        language: Language::Ko,
    };
    for url in
        ["http://example.kr/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.7/hook", "https://user:word@example.kr/", "ftp://example.kr/", "soc"]
    {
        let refused = realm.hub.add_subscription(&member, new(NewChannel::Webhook { url: url.to_owned() })).await;
        assert!(matches!(refused, Err(HubError::Invalid { .. })), "{url}");
    }
    let refused = realm.hub.add_subscription(&member, new(NewChannel::Mail { address: "soc@bank.kr".to_owned(), openpgp: None })).await;
    assert!(matches!(refused, Err(HubError::Invalid { pointer, .. }) if pointer == "/channel/mail"), "this hub sends no mail");
    let (made, secret) = realm.hub.add_subscription(&member, new(NewChannel::Webhook { url: "https://soc.example/hook".to_owned() })).await.unwrap();
    let secret = secret.unwrap();
    assert!(secret.starts_with("whsec_"));
    let (_, other) = realm.hub.rotate_subscription_secret(&member, made.id).await.unwrap();
    assert_ne!(other.unwrap(), secret);
    realm.hub.close().await;
}

/// A mail server that answers `recipient` to whom a mail is for, and keeps what it takes.
async fn mail_server(recipient: &'static str) -> (MailOptions, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mails: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&mails);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, recipient, Arc::clone(&kept)));
        }
    });
    let options = MailOptions {
        host: "127.0.0.1".to_owned(),
        port,
        tls: MailTls::None,
        ca: None,
        user: None,
        password: None,
        from: "hub@cert.example".to_owned(),
        link: Some("https://hub.cert.example/".to_owned()),
        abuse_contacts: false,
        abuse_never: Vec::new(),
    };
    (options, mails)
}

async fn talk(stream: TcpStream, recipient: &'static str, mails: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await.unwrap();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let reply = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => "250-test\r\n250 8BITMIME",
            "RCPT" => recipient,
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                mails.lock().push(text);
                "250 kept"
            }
            _ => "250 ok",
        };
        if stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_asked_once_reminded_within_bounds_and_left_alone_once_it_is_confirmed() {
    const WEEK: i64 = 7 * 86_400;
    let (options, mails) = mail_server("250 ok").await;
    let realm = Realm::open_with(Some(options)).await;
    let coordinator = realm.coordinator();
    let organisation = realm.member("Member").await.organisation.id;
    let going = realm.hub.stopping();
    let ask = async || {
        realm.hub.ask_contacts(&going).await.unwrap();
        mails.lock().len()
    };
    let members = realm.hub.members();
    members.set_contact(&coordinator, organisation, "abuse@bank.example").await.unwrap();
    assert_eq!(ask().await, 0, "whoever set it may have the reply already");
    realm.later(30);
    assert_eq!((ask().await, ask().await), (1, 1));
    for expected in 2..=MAX_ASKS as usize {
        realm.later(WEEK + 1);
        assert_eq!((ask().await, ask().await), (expected, expected));
    }
    realm.later(WEEK + 1);
    assert_eq!(ask().await, MAX_ASKS as usize, "somebody is to look after it now");
    let shown = members.contact(&coordinator, organisation).await.unwrap();
    assert_eq!((shown.state, shown.asks), (ContactState::Unverified, MAX_ASKS));

    let ids = |mails: &[String]| {
        let all: BTreeSet<String> = mails.iter().map(|mail| mail.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned()).collect();
        all.len()
    };
    assert_eq!(ids(&mails.lock()), MAX_ASKS as usize, "a reminder is another mail");
    let mail = mails.lock()[0].clone();
    let text = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap().body_text(0).unwrap().into_owned();
    let code = text.split_once("https://hub.cert.example/contacts/confirm/").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert_eq!(members.contact_behind(&code).await.unwrap().organisation, "Member");
    members.confirm_contact(&code).await.unwrap();
    assert_eq!(members.contact(&coordinator, organisation).await.unwrap().state, ContactState::Verified);
    realm.later(WEEK + 1);
    assert_eq!(ask().await, MAX_ASKS as usize);
    realm.later(26 * WEEK);
    assert_eq!(members.contact(&coordinator, organisation).await.unwrap().state, ContactState::Due);
    assert_eq!((ask().await, ask().await), (MAX_ASKS as usize + 1, MAX_ASKS as usize + 1), "the half-year is over");
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_server_refuses_bounces_and_a_hub_without_mail_asks_nobody() {
    let (options, mails) = mail_server("550 5.1.1 no such user").await;
    let (refused, silent) = (Realm::open_with(Some(options)).await, Realm::open().await);
    for (realm, state) in [(&refused, ContactState::Bouncing), (&silent, ContactState::Unverified)] {
        let coordinator = realm.coordinator();
        let organisation = realm.member("Member").await.organisation.id;
        realm.hub.members().set_contact(&coordinator, organisation, "abuse@bank.example").await.unwrap();
        let going = realm.hub.stopping();
        realm.hub.ask_contacts(&going).await.unwrap();
        realm.later(30);
        for _ in 0..2 {
            realm.hub.ask_contacts(&going).await.unwrap();
        }
        let shown = realm.hub.members().contact(&coordinator, organisation).await.unwrap();
        assert_eq!((shown.state, shown.asks), (state, 0));
    }
    assert!(mails.lock().is_empty());
    for realm in [refused, silent] {
        realm.hub.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abuse_contact_of_no_member_gets_one_digest_a_day_of_what_is_wrong_in_its_network_and_nothing_else() {
    const DELEGATED: &str = "2.3|apnic|20260101|1|19850701|20251231|+1000\napnic|KR|ipv4|185.60.0.0|65536|20100101|allocated|A\n";
    const DAY: i64 = 86_400;
    let (mail, mails) = mail_server("250 ok").await;
    let mail = MailOptions { abuse_contacts: true, abuse_never: vec!["quiet.example".to_owned()], ..mail };
    let folder = tempfile::tempdir().unwrap();
    let delegated = folder.path().join("delegated");
    std::fs::write(&delegated, DELEGATED).unwrap();
    let national = crate::owners::NationalOptions { country: "KR".to_owned(), delegated: vec![delegated], ..crate::owners::NationalOptions::default() };
    let seconds = Arc::new(AtomicI64::new(BEGIN));
    let opened = HubOptions { mail: Some(mail), national: Some(national), ..options(&folder.path().join("data"), &seconds) };
    let realm = Realm { hub: Hub::open(opened).await.unwrap(), folder, seconds };
    let row = |value: &str, address: &str| crate::owners::abuse::NewAbuseContact { value: value.to_owned(), address: Some(address.to_owned()) };
    let rows = vec![row("185.60.0.0/16", "noc@isp.example"), row("185.60.1.0/24", "abuse@shop.example"), row("185.60.2.0/24", "abuse@quiet.example")];
    realm.hub.import_abuse_contacts(&realm.coordinator(), rows, "test").await.unwrap();
    let began = Instant::now();
    while !realm.hub.store().owners.has_table() {
        assert!(began.elapsed() < WITHIN, "the nation is not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let going = realm.hub.stopping();
    let mailed = async |findings: usize| {
        let began = Instant::now();
        while realm.hub.findings_told_since(model::OrgNo::HUB, Timestamp::from_seconds(0), 100).len() < findings {
            assert!(began.elapsed() < WITHIN, "{findings} findings");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for _ in 0..3 {
            realm.hub.mail_outsiders(&going).await.unwrap();
        }
        mails.lock().len()
    };
    assert_eq!(mailed(0).await, 0);
    realm.later(60);
    let sender = realm.member("Whoever").await;
    realm.send(&sender, r#""category":"infected-system","value":"185.60.1.9","malware":"Emotet","note":"between us","tlp":"amber""#).await;
    realm.send(&sender, r#""category":"infected-system","value":"185.60.2.9""#).await;
    realm.send(&sender, r#""category":"infected-system","value":"185.60.1.10","notify_owner":"hold""#).await;
    realm.send(&sender, r#""category":"test","value":"185.60.1.11""#).await;
    assert_eq!(mailed(2).await, 0, "not before nine");
    realm.later(3_700);
    assert_eq!(mailed(2).await, 1);
    let raw = mails.lock()[0].clone();
    let parsed = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
    let text = parsed.body_text(0).unwrap().into_owned();
    assert!(raw.contains("abuse@shop.example") && raw.contains("List-Unsubscribe: <mailto:hub@cert.example?subject=STOP>"), "{raw}");
    assert!(text.contains("185[.]60[.]1[.]9") && text.contains("answer STOP"), "{text}");
    let ndjson = String::from_utf8(parsed.attachments().nth(1).unwrap().contents().to_vec()).unwrap();
    let told: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: BTreeSet<&str> = told[0]["finding"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["id", "category", "type", "value", "port", "malware", "first_time", "last_time", "count", "guidance"];
    assert_eq!((told.len(), names), (1, BTreeSet::from(expected)));
    for hidden in ["between us", "Whoever", "185.60.1.10", "185.60.1.11", "org_"] {
        assert!(!text.contains(hidden) && !ndjson.contains(hidden), "{hidden}");
    }
    realm.later(DAY);
    assert_eq!(mailed(2).await, 1, "nothing is new");
    realm.send(&sender, r#""category":"infected-system","value":"185.60.9.9""#).await;
    assert_eq!(mailed(3).await, 1, "once a day");
    realm.later(DAY);
    assert_eq!(mailed(3).await, 2);
    assert!(mails.lock()[1].contains("noc@isp.example"));
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_few_subscriptions_that_may_want_everything_and_more_that_name_what_they_want() {
    let realm = Realm::open().await;
    let (member, other) = (realm.member("Member").await, realm.member("Other").await);
    let new = |filter: Filter, about: About| NewSubscription {
        name: "one more".to_owned(),
        about,
        filter,
        channel: NewChannel::Inbox,
        rhythm: None,
        categories: BTreeMap::new(),
        language: Language::En,
    };
    let refused = |outcome: Result<(SubscriptionView, Option<String>), HubError>| match outcome {
        Err(HubError::Invalid { pointer, .. }) => pointer,
        outcome => panic!("{outcome:?}"),
    };
    let first = realm.subscribe(&member, scanners(), morning()).await;
    for _ in 1..MAX_WIDE {
        realm.subscribe(&member, Filter::default(), morning()).await;
    }
    let within = |range: &str| Filter { within: Some(range.parse().unwrap()), ..Filter::default() };
    for wide in [scanners(), within("0.0.0.0/1"), Filter { domain: Some(model::Text::from("com")), ..Filter::default() }] {
        assert_eq!(refused(realm.hub.add_subscription(&member, new(wide, About::Events)).await), "/filter");
    }
    assert!(realm.hub.add_subscription(&other, new(scanners(), About::Events)).await.is_ok(), "each organisation has its own");
    assert!(realm.hub.add_subscription(&member, new(Filter::default(), About::Findings)).await.is_ok(), "findings are its own");
    let (narrow, _) = realm.hub.add_subscription(&member, new(within("192.0.2.0/24"), About::Events)).await.unwrap();
    let widen = || SubscriptionPatch { filter: Some(Filter::default()), ..SubscriptionPatch::default() };
    assert_eq!(refused(realm.hub.change_subscription(&member, narrow.id, narrow.version, widen()).await), "/filter");
    // One that is wide stays so; one that goes makes room.
    let (first, _) = realm.hub.change_subscription(&member, first.id, first.version, widen()).await.unwrap();
    realm.hub.remove_subscription(&member, first.id).await.unwrap();
    assert!(realm.hub.change_subscription(&member, narrow.id, narrow.version, widen()).await.is_ok());
    let many = Filter { sectors: (0..300).map(|number| model::Text::from(format!("s{number}"))).collect(), ..within("192.0.2.0/24") };
    assert_eq!(refused(realm.hub.add_subscription(&member, new(many, About::Events)).await), "/filter");
    realm.hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_organisation_has_its_turn_before_any_has_its_second() {
    let realm = Realm::open().await;
    let (sender, busy, quiet) = (realm.member("Sender").await, realm.member("Busy").await, realm.member("Quiet").await);
    let mut subscriptions = Vec::new();
    for (actor, count) in [(&busy, 5), (&quiet, 1)] {
        for _ in 0..count {
            subscriptions.push((actor, realm.subscribe(actor, scanners(), morning()).await));
        }
    }
    realm.send(&sender, r#""category":"scanner","value":"185.60.1.1","tlp":"green""#).await;
    for (actor, subscription) in &subscriptions {
        realm.waiting(actor, subscription, 1).await;
    }
    // As it will be at nine, when nobody has taken a turn yet.
    let nine = Timestamp::from_seconds(BEGIN + 3_700);
    let mut served = hashbrown::HashSet::new();
    let mut passes: Vec<Vec<OrgId>> = Vec::new();
    loop {
        let turns = realm.hub.organisations_turns(nine, &served);
        if turns.is_empty() {
            break;
        }
        served.extend(turns.iter().map(|entry| entry.number));
        passes.push(turns.iter().map(|entry| entry.subscription.organisation).collect());
    }
    assert_eq!(passes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    assert!(passes[0].contains(&quiet.organisation.id));
    realm.later(3_700);
    assert_eq!((realm.inbox(&busy, 5).await.len(), realm.inbox(&quiet, 1).await.len()), (5, 1));
    realm.hub.close().await;
}
