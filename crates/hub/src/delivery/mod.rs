//! Delivery: what a member asked to be told of comes to it, by inbox, mail or webhook.
//!
//! Flow: `matching` reads every applied frame once and notes which event is for which subscription; `look` does so for findings → `queue` makes
//! messages of what is due, as of now → `sending` sends them until they are taken or it is hopeless, an organisation after the other (`turns`); an
//! inbox has them at once (`inbox`). Beside it contacts are asked by mail whether somebody reads them (`asking`), and abuse contacts
//! of those who are no members get digests (`outsiders`).
//! Invariant: an organisation is sent what a key of its own with the role reader and without red would see, and nothing that it reported
//! itself. What matched is durable together with the place up to which was looked; a message is stored before it is sent, and keeps its id.
//! No sender of events waits for any of this.
//! Not here: the file (`store::deliveries`), requests to the outside (`outbound`).

mod asking;
mod background;
mod confirming;
pub mod holidays;
mod inbox;
mod look;
pub mod mail;
mod matching;
mod message;
pub mod openpgp;
mod outsiders;
mod queue;
mod render;
pub mod rhythm;
mod roster;
mod sending;
mod shapes;
mod subscriptions;
#[cfg(test)]
mod tests;
mod turns;
mod webhook;

pub use inbox::InboxMessage;
pub use message::{Lane, Language, Message, Notice};
pub use queue::{MAX_THINGS, MAX_WAITING};
pub use shapes::{ChannelView, DeliveryView, NewChannel, NewSubscription, SubscriptionPatch, SubscriptionView};
pub use store::records::About;
pub use subscriptions::{MAX_SUBSCRIPTIONS, MAX_WIDE};

use crate::{Actor, Hub, HubError};
use asking::Asking;
use background::Background;
use hashbrown::HashMap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mail::Mailer;
use model::{KeyId, KeyRole, OrgId, Organisation, Seq, Timestamp};
use outsiders::Outsiders;
use parking_lot::Mutex;
use policy::Reader;
use rhythm::{Rhythm, next_due};
use roster::Roster;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::deliveries::{Deliveries, State};
use store::records::Records;
use store::views::Views;
use tokio::sync::{Notify, watch};
use turns::Turns;
use uuid::Uuid;

/// How often what is past its time is forgotten; once at the start, too.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// What the secrets of webhooks are derived for.
const SECRETS: &str = "bongsu 2026-01 secrets of webhooks and codes";

/// Deliveries of one realm.
pub(crate) struct Delivery {
    pub(crate) file: Arc<Deliveries>,
    roster: Roster,
    background: Background,
    mailer: Option<Mailer>,
    zone: TimeZone,
    holidays: BTreeSet<Date>,
    /// What webhooks' secrets and codes are made with.
    secret: [u8; 32],
    /// What decides whether a message is to be made, by subscriber.
    states: Mutex<HashMap<i64, State>>,
    /// One state is read at a time, so that an older one never takes the place of a newer one.
    looking: tokio::sync::Mutex<()>,
    /// One message is made at a time; who takes things out of them waits until it is stored.
    making: tokio::sync::Mutex<()>,
    queue_nudge: Arc<Notify>,
    lane_nudges: [Arc<Notify>; 2],
    /// Messages that are being sent, and whose turn it is.
    turns: Mutex<Turns>,
    /// Contacts that are to be asked, by organisation.
    asking: tokio::sync::Mutex<HashMap<OrgId, Asking>>,
    /// Digests to abuse contacts of those who are no members.
    outsiders: tokio::sync::Mutex<Outsiders>,
    /// Codes sent today, by organisation, and first mails to contacts.
    codes: Mutex<HashMap<OrgId, (i64, u32)>>,
    /// Place after the last withdrawal that was come upon.
    withdrawn_to: AtomicU64,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delivery")
    }
}

/// What deliveries are opened with.
pub(crate) struct DeliveryOptions {
    /// The mailer, where the hub sends mail.
    pub(crate) mailer: Option<Mailer>,
    /// The realm's zone.
    pub(crate) zone: TimeZone,
    /// Days on which digests for business days wait.
    pub(crate) holidays: BTreeSet<Date>,
    /// The realm's secret.
    pub(crate) realm_secret: [u8; 32],
    /// The ledger's end.
    pub(crate) end: Seq,
    /// Now.
    pub(crate) now: Timestamp,
    /// The views, which say how quickly events come.
    pub(crate) views: Arc<Views>,
}

impl Delivery {
    /// Takes up what the file holds.
    pub(crate) async fn open(file: Deliveries, records: &Records, options: DeliveryOptions) -> Result<Self, HubError> {
        // The place is written now and then; a subscription may begin behind it.
        let views = options.views;
        let is_ahead = file.position().await?.is_some_and(|position| position > options.end)
            || file.subscribers().await?.iter().any(|subscriber| subscriber.first > options.end);
        if is_ahead {
            tracing::warn!("deliveries are of a longer ledger, as after a restore; what the ledger lacks is forgotten");
            file.cut(options.end).await?;
        }
        let delivery = Self {
            file: Arc::new(file),
            roster: Roster::default(),
            background: Background::start(move || views.position()).map_err(|error| HubError::Internal(Box::new(error)))?,
            mailer: options.mailer,
            zone: options.zone,
            holidays: options.holidays,
            secret: blake3::derive_key(SECRETS, &options.realm_secret),
            states: Mutex::default(),
            looking: tokio::sync::Mutex::new(()),
            making: tokio::sync::Mutex::new(()),
            queue_nudge: Arc::default(),
            lane_nudges: [Arc::default(), Arc::default()],
            turns: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            outsiders: tokio::sync::Mutex::default(),
            codes: Mutex::default(),
            withdrawn_to: AtomicU64::new(options.end.0),
        };
        delivery.roster.refresh(records, &delivery.file, options.end, options.now).await?;
        for entry in delivery.roster.entries().iter() {
            delivery.look_at(entry.number).await?;
        }
        Ok(delivery)
    }

    /// Waits a little for what is being sent, then closes the file. What is cut off is sent again, with the same id.
    pub(crate) async fn close(&self) {
        const STEPS: u32 = 40;
        for _ in 0..STEPS {
            if self.turns.lock().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.file.close().await;
    }

    /// Reads again what decides whether a message of a subscriber is to be made.
    async fn look_at(&self, subscriber: i64) -> Result<(), HubError> {
        let _turn = self.looking.lock().await;
        // What was due before is in the file already; what comes to be due meanwhile may not be in what is read.
        let before = self.states.lock().entry(subscriber).or_default().due.take();
        let read = self.file.state(subscriber).await;
        let mut states = self.states.lock();
        let now = states.entry(subscriber).or_default();
        let meanwhile = now.due;
        let earliest = |one: Option<Timestamp>| one.into_iter().chain(meanwhile).min();
        match read {
            Ok(state) => {
                *now = State { due: earliest(state.due), ..state };
                Ok(())
            }
            Err(error) => {
                now.due = earliest(before);
                Err(error.into())
            }
        }
    }

    /// Things are due for a subscriber.
    fn is_due(&self, subscriber: i64, at: Timestamp) {
        let mut states = self.states.lock();
        let state = states.entry(subscriber).or_default();
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
        drop(states);
        self.queue_nudge.notify_one();
    }

    /// When what comes at `now` is served.
    fn due(&self, rhythm: &Rhythm, now: Timestamp) -> Timestamp {
        match rhythm {
            Rhythm::AtOnce => now,
            Rhythm::Digest { .. } => next_due(rhythm, now, &self.zone, &self.holidays),
        }
    }

    /// Takes a value out of everything that is kept; what is being made meanwhile is waited for.
    pub(crate) async fn erase(&self, victim: &store::ledger::Victim) -> Result<(), HubError> {
        let erased = {
            let _turn = self.making.lock().await;
            self.file.erase(victim).await?
        };
        if erased.inbox + erased.messages > 0 {
            tracing::info!(inbox = erased.inbox, messages = erased.messages, "messages that mention an erased value were deleted");
        }
        for entry in self.roster.entries().iter() {
            self.look_at(entry.number).await?;
        }
        self.queue_nudge.notify_one();
        Ok(())
    }
}

/// Starts every task of deliveries.
pub(crate) fn start(hub: &Arc<Hub>) {
    let tasks = Arc::downgrade(hub);
    tokio::spawn(matching::run(tasks.clone(), hub.stopping()));
    tokio::spawn(look::run(tasks.clone(), hub.stopping()));
    tokio::spawn(queue::run(tasks.clone(), hub.stopping(), hub.delivery.queue_nudge.clone()));
    let [warnings, ordinary] = &hub.delivery.lane_nudges;
    tokio::spawn(sending::run(tasks.clone(), Lane::Warning, hub.stopping(), warnings.clone()));
    tokio::spawn(sending::run(tasks.clone(), Lane::Ordinary, hub.stopping(), ordinary.clone()));
    tokio::spawn(asking::run(tasks.clone(), hub.stopping()));
    tokio::spawn(outsiders::run(tasks.clone(), hub.stopping()));
    tokio::spawn(tidy(tasks, hub.stopping()));
}

/// Forgets what is past its time, now and then.
async fn tidy(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if let Err(error) = hub.delivery.file.tidy(hub.clock().now()).await {
                tracing::warn!(%error, "deliveries past their time were not forgotten; the next round does");
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(TIDY_EVERY) => {}
        }
    }
}

impl Hub {
    /// The reader that an organisation is for what is sent to it.
    fn delivery_recipient(&self, organisation: &Arc<Organisation>, now: Timestamp) -> Actor {
        Actor {
            key: KeyId(Uuid::nil()),
            organisation: Arc::clone(organisation),
            role: KeyRole::Reader,
            red: false,
            reader: Reader::new(organisation, KeyRole::Reader, false, now),
        }
    }

    /// Reads the subscriptions again, after one was changed.
    pub(crate) async fn refresh_subscriptions(&self) -> Result<(), HubError> {
        self.delivery.roster.refresh(self.records(), &self.delivery.file, self.store().views.position(), self.clock().now()).await
    }
}

/// A mark of the facts that policy decides on: where it differs, what a message holds was decided on others.
fn mark(reader: &Reader) -> String {
    let hash = blake3::hash(format!("{reader:?}").as_bytes()).to_hex();
    hash.as_str().chars().take(16).collect()
}
