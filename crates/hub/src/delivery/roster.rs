//! The subscriptions in memory, parsed: what matching, making and sending go by.
//!
//! Flow: a change of a record is committed → [`Roster::refresh`] reads all again → the next look sees it.
//! Invariant: one that cannot be read, or of which an erasure took a part, is matched with nothing and sent nothing.

use super::message::Language;
use super::rhythm::Rhythm;
use super::turns::Receiver;
use crate::HubError;
use arc_swap::ArcSwap;
use model::{Category, Filter, Seq, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::deliveries::Deliveries;
use store::records::{About, Channel, Records, Subscription, SubscriptionState};

/// One subscription.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its number in the file of deliveries.
    pub(super) number: i64,
    /// The first event that it can match.
    pub(super) first: Seq,
    /// Its record.
    pub(super) subscription: Subscription,
    /// When it is served.
    pub(super) rhythm: Rhythm,
    /// When it is served instead, for findings of a category.
    pub(super) categories: BTreeMap<Category, Rhythm>,
    /// In which language.
    pub(super) language: Language,
    /// Where its messages go.
    pub(super) receiver: Receiver,
}

impl Entry {
    /// What it asks for; `None` where that was erased.
    pub(super) fn filter(&self) -> Option<&Filter> {
        self.subscription.filter.as_ref()
    }

    /// When a thing is served.
    pub(super) fn rhythm_of(&self, category: Option<Category>) -> &Rhythm {
        category.and_then(|category| self.categories.get(&category)).unwrap_or(&self.rhythm)
    }

    /// Whether it tells of events.
    pub(super) fn is_of_events(&self) -> bool {
        self.subscription.about == About::Events
    }

    /// Whether messages may be made for it.
    pub(super) fn is_ready(&self) -> bool {
        self.subscription.state == SubscriptionState::Active && self.subscription.filter.is_some() && is_reachable(&self.subscription.channel)
    }
}

/// Whether a channel leads anywhere, and mail is wanted there.
pub(super) fn is_reachable(channel: &Channel) -> bool {
    match channel {
        Channel::Inbox => true,
        Channel::Mail { address, confirmed, .. } => address.is_some() && confirmed.is_some(),
        Channel::Webhook { url, .. } => url.is_some(),
    }
}

/// Every subscription that is not removed.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: ArcSwap<Vec<Arc<Entry>>>,
    refreshing: tokio::sync::Mutex<()>,
}

impl Roster {
    /// The subscriptions as of now.
    pub(super) fn entries(&self) -> Arc<Vec<Arc<Entry>>> {
        self.entries.load_full()
    }

    /// The subscription with this number.
    pub(super) fn entry(&self, number: i64) -> Option<Arc<Entry>> {
        self.entries.load().iter().find(|entry| entry.number == number).cloned()
    }

    /// Reads all again. One that the file of deliveries does not know begins at `end`, as after a restore.
    pub(super) async fn refresh(&self, records: &Records, file: &Deliveries, end: Seq, now: Timestamp) -> Result<(), HubError> {
        let _turn = self.refreshing.lock().await;
        let known: BTreeMap<String, (i64, Seq)> =
            file.subscribers().await?.into_iter().map(|subscriber| (subscriber.id, (subscriber.number, subscriber.first))).collect();
        let mut entries = Vec::new();
        let mut open = Vec::new();
        for subscription in records.all::<Subscription>().await? {
            if !subscription.state.is_open() {
                continue;
            }
            let id = subscription.id.to_string();
            let (number, first) = match known.get(&id) {
                Some(known) => *known,
                None => (file.add_subscriber(&id, end, now).await?, end),
            };
            open.push(id);
            match entry(number, first, subscription) {
                Some(entry) => entries.push(Arc::new(entry)),
                None => tracing::error!(subscriber = number, "a subscription cannot be read; nothing is sent for it"),
            }
        }
        // Removed, and the file did not hear of it.
        for id in known.keys().filter(|id| !open.contains(id)) {
            file.remove_subscriber(id).await?;
        }
        self.entries.store(Arc::new(entries));
        Ok(())
    }
}

fn entry(number: i64, first: Seq, subscription: Subscription) -> Option<Entry> {
    let rhythm: Rhythm = serde_json::from_value(subscription.rhythm.clone()).ok()?;
    let one = |(category, rhythm): (&Category, &serde_json::Value)| Some((*category, serde_json::from_value::<Rhythm>(rhythm.clone()).ok()?));
    let categories = subscription.categories.iter().map(one).collect::<Option<BTreeMap<Category, Rhythm>>>()?;
    let language = Language::parse(&subscription.language)?;
    let receiver = Receiver::of(&subscription.channel);
    Some(Entry { number, first, subscription, rhythm, categories, language, receiver })
}
