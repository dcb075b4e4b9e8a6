//! Messages are sent until they are taken or it is hopeless: a task for warnings and the hub's own words, and one for the rest.
//!
//! Flow: what is due of the lane → whose turn it is (`turns`) → the attempt is noted → mail or webhook → taken, tried again later
//! (`rhythm::backoff`), or parked.
//! Invariant: an attempt is noted before it is made, and its content is the one that was stored: whatever stops the hub, the receiver gets the
//! same message with the same id again, or once. What was made for an organisation as it was is not sent to it as it is: the message is taken
//! apart and made again.
//! Not here: what is in a message (`queue`), HTTP and SMTP (`webhook`, `mail`).

use super::mail::Recipient;
use super::mark;
use super::message::{Lane, Message, Notice};
use super::roster::Entry;
use super::turns::{Flight, Receiver};
use super::webhook::{self, SendError};
use crate::{Hub, HubError};
use hashbrown::HashMap;
use model::ids::SubscriptionId;
use model::{OrgId, Timestamp};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::deliveries::{NewInbox, Queued};
use store::records::Channel;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Messages that are looked at for those whose turn it is: more than the subscriptions of one organisation, so that there are others among them.
const WINDOW: usize = 256;
/// Subscriptions that are passed over in the file at the most, for their organisation or receiver has its share already; more are looked at.
const MAX_PASSED_OVER: usize = 8_192;
/// How often it is looked whether a time has come.
const TICK: Duration = Duration::from_secs(1);
/// Wait before a message is looked at again whose subscription cannot be read.
const UNREADABLE: Duration = Duration::from_secs(600);
/// Characters kept of what a receiver says.
const MAX_ERROR: usize = 500;

/// Sends the messages of a lane until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, lane: Lane, mut stopping: watch::Receiver<bool>, nudge: Arc<Notify>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if let Err(error) = hub.send_due_messages(lane, &nudge).await {
                tracing::warn!(%error, lane = lane.as_str(), "messages wait to be sent");
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = nudge.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// A message on its way; its place is free when this goes, whatever became of it.
struct OnItsWay {
    hub: Arc<Hub>,
    number: i64,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.hub.delivery.turns.lock().end(self.number);
    }
}

impl Hub {
    /// Begins to send what is due and whose turn it is ([`super::turns`]), as far as there is room.
    async fn send_due_messages(self: &Arc<Self>, lane: Lane, nudge: &Arc<Notify>) -> Result<(), HubError> {
        loop {
            let entries = self.delivery.roster.entries();
            let (sent, load) = {
                let turns = self.delivery.turns.lock();
                if !turns.has_room(lane) {
                    return Ok(());
                }
                (turns.numbers(), turns.load(lane))
            };
            // Those that cannot set out now would stand before others who can.
            let held = |entry: &&Arc<Entry>| !load.may_begin(lane, entry.subscription.organisation, &entry.receiver);
            let passed_over: Vec<i64> =
                if load.is_empty() { Vec::new() } else { entries.iter().filter(held).take(MAX_PASSED_OVER).map(|entry| entry.number).collect() };
            let found = self.delivery.file.to_send(lane.number(), self.clock().now(), &sent, &passed_over, WINDOW).await?;
            let is_all = found.len() < WINDOW;
            let known: HashMap<i64, &Arc<Entry>> = entries.iter().map(|entry| (entry.number, entry)).collect();
            // One that cannot be read stands for itself.
            let nobodys = || Flight { organisation: OrgId(Uuid::nil()), receiver: Receiver::Inbox };
            let waiting =
                found.into_iter().map(|queued| (queued.number, known.get(&queued.subscriber).map_or_else(nobodys, |entry| flight_of(entry)), queued)).collect();
            let chosen = self.delivery.turns.lock().choose(lane, waiting);
            let is_none = chosen.is_empty();
            for (number, queued) in chosen {
                let on_its_way = OnItsWay { hub: Arc::clone(self), number };
                tokio::spawn(send_in_turn(on_its_way, lane, queued, Arc::clone(nudge)));
            }
            // What filled the window may have had its share; others may stand behind it.
            if is_all || is_none {
                return Ok(());
            }
        }
    }

    /// Makes one attempt, and notes what became of it.
    async fn send_one_message(self: &Arc<Self>, lane: Lane, queued: &Queued) -> Result<(), HubError> {
        let file = &self.delivery.file;
        let entry = self.delivery.roster.entry(queued.subscriber);
        let organisation = entry.as_ref().and_then(|entry| self.directory().by_id(entry.subscription.organisation));
        let (Some(entry), Some(organisation)) = (entry, organisation) else {
            // One that cannot be read takes no turn from others; of one that was removed nothing is there.
            let now = self.clock().now();
            file.failed(queued.number, now, "the subscription cannot be read", now.plus(UNREADABLE)).await?;
            return Ok(());
        };
        let reader = self.delivery_recipient(&organisation, self.clock().now()).reader;
        if lane == Lane::Ordinary && mark(&reader) != queued.reader {
            tracing::info!(subscriber = queued.subscriber, "a message is made again: what its organisation may receive has changed");
            file.unmake(queued.number).await?;
            return Ok(());
        }
        let Some(content) = file.begin_attempt(queued.number).await? else { return Ok(()) };
        let message: Message = serde_json::from_slice(&content).map_err(|error| HubError::Internal(Box::new(error)))?;
        let outcome = self.attempt_delivery(&entry, &message).await;
        let now = self.clock().now();
        let channel = entry.subscription.channel.as_str();
        let error = match outcome {
            Ok(()) => {
                file.sent(queued.number, now).await?;
                metrics::counter!("bongsu_deliveries_sent_total", "channel" => channel).increment(1);
                return Ok(());
            }
            Err(error) => error,
        };
        metrics::counter!("bongsu_deliveries_failed_total", "channel" => channel).increment(1);
        let words: String = error.to_string().chars().take(MAX_ERROR).collect();
        let attempts = queued.attempts.saturating_add(1);
        match error.wait(attempts, jitter(&message.id, attempts)) {
            Some(wait) => file.failed(queued.number, now, &words, now.plus(wait)).await?,
            None if lane == Lane::Warning && message.notice.is_some() => file.give_up(queued.number, now, &words).await?,
            None => self.park_subscription(&entry, queued.number, &words, now).await?,
        }
        Ok(())
    }

    /// Sends a message where its subscription wants it.
    async fn attempt_delivery(&self, entry: &Entry, message: &Message) -> Result<(), SendError> {
        match &entry.subscription.channel {
            Channel::Mail { address: Some(address), openpgp, confirmed } if confirmed.is_some() || matches!(message.notice, Some(Notice::Confirm { .. })) => {
                let Some(mailer) = &self.delivery.mailer else { return Err(SendError::Later("this hub sends no mail now".to_owned())) };
                let recipient = Recipient { address: address.to_string(), openpgp: openpgp.as_ref().map(ToString::to_string) };
                mailer.send(message, &recipient).await
            }
            Channel::Mail { .. } => Err(SendError::Never("the address is not confirmed".to_owned())),
            Channel::Webhook { url: Some(url), rotation } => {
                let url = url::Url::parse(url).map_err(|error| SendError::Never(error.to_string()))?;
                let secret = self.webhook_secret(entry.subscription.id, *rotation);
                webhook::send(&self.webhooks, &url, &secret, message, self.clock().now()).await
            }
            Channel::Webhook { url: None, .. } => Err(SendError::Never("the receiver was erased".to_owned())),
            // It was another channel when the message was made.
            Channel::Inbox => {
                let organisation = entry.subscription.organisation.to_string();
                let content = serde_json::to_vec(message).map_err(|error| SendError::Never(error.to_string()))?;
                let kept = self.delivery.file.say(&message.id, NewInbox { organisation: &organisation }, message.made, &content).await;
                kept.map_err(|error| SendError::Later(error.to_string()))
            }
        }
    }

    /// Gives a subscription up until somebody resumes it, and tells its organisation in the hub.
    async fn park_subscription(&self, entry: &Entry, number: i64, error: &str, now: Timestamp) -> Result<(), HubError> {
        if !self.delivery.file.park(number, now, error).await? {
            return Ok(());
        }
        tracing::warn!(subscription = %entry.subscription.id, "a subscription is parked: its receiver took nothing for too long");
        metrics::counter!("bongsu_deliveries_parked_total", "channel" => entry.subscription.channel.as_str()).increment(1);
        let Some(organisation) = self.directory().by_id(entry.subscription.organisation) else { return Ok(()) };
        let notice = Some(Notice::Parked { error: error.to_owned() });
        let message = Message { notice, ..self.blank_message(entry, &organisation, Lane::Warning, now) };
        let content = serde_json::to_vec(&message).map_err(|error| HubError::Internal(Box::new(error)))?;
        let id = organisation.id.to_string();
        self.delivery.file.say(&message.id, NewInbox { organisation: &id }, now, &content).await?;
        Ok(())
    }

    /// The secret with which messages to a webhook are signed: kept nowhere, made again from the realm's.
    pub(super) fn webhook_secret(&self, id: SubscriptionId, rotation: u32) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.delivery.secret);
        hasher.update(b"webhook");
        hasher.update(id.0.as_bytes());
        hasher.update(&rotation.to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// Whose messages these are, and where they go.
fn flight_of(entry: &Entry) -> Flight {
    Flight { organisation: entry.subscription.organisation, receiver: entry.receiver.clone() }
}

/// Makes an attempt, then lets what waits behind it come.
async fn send_in_turn(on_its_way: OnItsWay, lane: Lane, queued: Queued, nudge: Arc<Notify>) {
    let hub = Arc::clone(&on_its_way.hub);
    let subscriber = queued.subscriber;
    if let Err(error) = hub.send_one_message(lane, &queued).await {
        tracing::warn!(%error, subscriber, "what became of a message was not noted; it may be sent again, with the same id");
        // It is due still: without a rest a full disk would be asked again and again.
        tokio::time::sleep(TICK).await;
    }
    drop(on_its_way);
    nudge.notify_one();
    // The next one of this subscriber can be made now.
    if let Err(error) = hub.delivery.look_at(subscriber).await {
        tracing::debug!(%error, "the state of a subscriber was not read");
    }
    hub.delivery.queue_nudge.notify_one();
}

/// A number that differs from message to message and from attempt to attempt.
fn jitter(id: &str, attempt: u32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(&attempt.to_le_bytes());
    hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
