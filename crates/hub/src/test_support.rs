//! What tests of use cases share: a realm in a folder of its own, a clock that stands still until it is set, members and what they send,
//! and a version of an indicator to begin with ([`indicator`]).
//!
//! Flow: [`Realm::open`] → members with a key each → what the test is about; [`Realm::close`] and [`Closed::open`] where it goes on after a stop.
//! Not here: members without a hub (`members::tests`), callers made by hand (`taxii::tests`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use crate::clock::Clock;
use crate::intake::Options;
use crate::members::{NewKey, NewOrganisation};
use crate::{Actor, Hub, HubOptions};
use model::{Category, Constituency, ObservableType, OrgId, OrgKind, Pap, ReceiptId, Seq, Standing, Text, Timestamp, Tlp};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use store::views::indicators::{Collection, Indicator};

/// Rounds of the start, and what still holds a closed hub, are over by then.
const SETTLED: Duration = Duration::from_millis(300);

/// An open realm.
pub(crate) struct Realm {
    pub(crate) hub: Arc<Hub>,
    pub(crate) coordinator: Actor,
    closed: Closed,
}

/// A realm that nobody has open.
pub(crate) struct Closed {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
    retention: Option<Duration>,
}

impl Realm {
    /// A new realm at a time in seconds.
    pub(crate) async fn open(seconds: i64, retention: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Closed { folder, seconds: Arc::new(AtomicI64::new(seconds)), retention }.open().await
    }

    /// Sets the clock.
    pub(crate) fn now(&self, seconds: i64) {
        self.closed.seconds.store(seconds, Ordering::Relaxed);
    }

    /// An organisation of the private line with an analyst.
    pub(crate) async fn member(&self, name: &str, kind: OrgKind) -> (OrgId, Actor) {
        let new = NewOrganisation { name: name.to_owned(), kind, constituency: Some(Constituency::Private), sector: None, country: None };
        let id = self.hub.members().add(&self.coordinator, new).await.unwrap().id;
        let key: NewKey = serde_json::from_str(r#"{"role": "analyst"}"#).unwrap();
        let (_, secret) = self.hub.members().add_key(&self.coordinator, id, key).await.unwrap();
        (id, self.hub.authenticate(&secret, home()).unwrap())
    }

    /// Sends one event of this moment, of which `fields` are JSON without braces; it must be taken.
    pub(crate) async fn send(&self, actor: &Actor, fields: &str) -> Seq {
        self.send_at(actor, self.closed.seconds.load(Ordering::Relaxed), fields).await.0
    }

    /// The same of another moment.
    pub(crate) async fn send_at(&self, actor: &Actor, time: i64, fields: &str) -> (Seq, ReceiptId) {
        let mut session = self.hub.intake(actor, Options::default()).unwrap();
        session.push(bytes::Bytes::from(format!("{{\"time\":{time},{fields}}}\n"))).await.unwrap();
        let outcome = session.finish().await.unwrap();
        assert_eq!(outcome.accepted, 1);
        (outcome.first_seq.unwrap(), outcome.receipt.unwrap().parse().unwrap())
    }

    pub(crate) fn standing(&self, id: OrgId) -> Standing {
        self.hub.directory().by_id(id).unwrap().standing
    }

    /// Stops the hub and waits until nothing holds its folder.
    pub(crate) async fn close(self) -> Closed {
        let Self { hub, closed, .. } = self;
        hub.close().await;
        drop(hub);
        tokio::time::sleep(SETTLED).await;
        closed
    }
}

impl Closed {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Opens it, and lets the rounds of the start go by.
    pub(crate) async fn open(self) -> Realm {
        let seconds = Arc::clone(&self.seconds);
        let options = HubOptions {
            data: self.data(),
            realm: "main".to_owned(),
            zone: "Asia/Seoul".to_owned(),
            memory: 64 << 20,
            parse_threads: 1,
            max_body: 1 << 20,
            max_events: 1_000,
            retention: self.retention,
            warning_lists: None,
            sectors: Vec::new(),
            national: None,
            dns: crate::owners::DnsOptions::default(),
            mail: None,
            holidays: std::collections::BTreeSet::new(),
            outbound: crate::outbound::OutboundOptions::default(),
            sources: Vec::new(),
            clock: Clock::from_fn(move || Timestamp::from_seconds(seconds.load(Ordering::Relaxed))),
        };
        let hub = Hub::open(options).await.unwrap();
        let secret = std::fs::read_to_string(self.data().join("coordinator.key")).unwrap();
        let coordinator = hub.authenticate(secret.trim(), home()).unwrap();
        tokio::time::sleep(SETTLED).await;
        Realm { hub, coordinator, closed: self }
    }
}

/// A version of an indicator as a log has it: a green name, seen, made and added at one moment, of which nothing more is known.
pub(crate) fn indicator(at: Timestamp) -> Indicator {
    Indicator {
        collection: Collection::Green,
        added: at,
        key: 7,
        kind: ObservableType::Domain,
        value: Text::from("a.example.com"),
        created: at,
        revoked: false,
        category: Category::C2Server,
        malware: None,
        pap: Pap::Green,
        tlp: Tlp::Green,
        confidence: None,
        reporters: 1,
        first_seen: at,
        last_seen: at,
        valid_until: None,
        sectors: Vec::new(),
        techniques: Vec::new(),
        cves: Vec::new(),
        threats_before: 0,
    }
}

/// Where callers come from.
fn home() -> IpAddr {
    "192.0.2.10".parse().unwrap()
}
