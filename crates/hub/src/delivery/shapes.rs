//! Shapes of subscriptions at the doors: what one is made with, what may change of it, how it is shown.

use super::message::Language;
use super::openpgp;
use super::roster::is_reachable;
use model::ids::SubscriptionId;
use model::{Category, Filter, OrgId, Text, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::deliveries::Subscriber;
use store::records::{About, Channel, Subscription, SubscriptionState};

/// Where a subscription is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewChannel {
    /// To the organisation's inbox.
    Inbox,
    /// By mail.
    Mail {
        /// The address.
        address: String,
        /// The reader's armoured public key; with one, mail is encrypted.
        openpgp: Option<String>,
    },
    /// To an HTTPS receiver.
    Webhook {
        /// Its URL.
        url: String,
    },
}

/// What a subscription is made with.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Its name for people.
    pub name: String,
    /// What it tells of.
    pub about: About,
    /// What is wanted.
    pub filter: Filter,
    /// Where it sends.
    pub channel: NewChannel,
    /// When, as JSON; `None`: at once.
    pub rhythm: Option<Value>,
    /// Of findings of these categories: when instead.
    pub categories: BTreeMap<Category, Value>,
    /// In which language.
    pub language: Language,
}

/// What is to change of a subscription; a field that is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionPatch {
    /// Its name.
    pub name: Option<String>,
    /// What is wanted.
    pub filter: Option<Filter>,
    /// Where it sends.
    pub channel: Option<NewChannel>,
    /// When.
    pub rhythm: Option<Value>,
    /// Of findings of these categories: when instead.
    pub categories: Option<BTreeMap<Category, Value>>,
    /// In which language.
    pub language: Option<Language>,
}

/// Where a subscription sends, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelView {
    /// To the organisation's inbox.
    Inbox {},
    /// By mail.
    Mail {
        /// The address; absent once erased.
        address: Option<Text>,
        /// Fingerprint of the reader's public key.
        openpgp: Option<String>,
        /// When whoever reads the address said that mail is wanted.
        confirmed: Option<Timestamp>,
    },
    /// To an HTTPS receiver.
    Webhook {
        /// Its URL; absent once erased.
        url: Option<Text>,
        /// How often the secret was replaced.
        rotation: u32,
    },
}

/// How sending goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Events or findings that matched and are in no message yet.
    pub waiting: u64,
    /// How many matched and are in no message, ever; a search finds them.
    pub left_out: u64,
    /// Messages that are made and not taken.
    pub queued: u64,
    /// Messages that were taken.
    pub sent: u64,
    /// When the last one was.
    pub last_sent: Option<Timestamp>,
    /// When the next attempt is made.
    pub next_attempt: Option<Timestamp>,
    /// What the receiver said last, where it took nothing.
    pub last_error: Option<String>,
    /// When it said so.
    pub failed: Option<Timestamp>,
    /// Since when sending waits for somebody to resume it.
    pub parked: Option<Timestamp>,
}

/// A subscription for those who may know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriptionView {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose it is.
    pub organisation: OrgId,
    /// Its name for people.
    pub name: Text,
    /// What it tells of.
    pub about: About,
    /// What is wanted; absent once erased.
    pub filter: Option<Value>,
    /// Where it sends.
    pub channel: ChannelView,
    /// When.
    pub rhythm: Value,
    /// Of findings of these categories: when instead.
    pub categories: BTreeMap<&'static str, Value>,
    /// In which language.
    pub language: Text,
    /// `active`, `paused`, `unconfirmed` (the address), `parked` (the receiver), or `erased` (a part of it).
    pub state: &'static str,
    /// Version, starting at 1.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// How sending goes.
    pub delivery: DeliveryView,
}

/// A subscription with what the file of deliveries knows of it.
pub(super) fn view(subscription: Subscription, subscriber: Option<Subscriber>) -> SubscriptionView {
    let parked = subscriber.as_ref().and_then(|subscriber| subscriber.parked);
    SubscriptionView {
        state: state(&subscription, parked.is_some()),
        id: subscription.id,
        organisation: subscription.organisation,
        name: subscription.name,
        about: subscription.about,
        filter: subscription.filter.as_ref().map(filter),
        channel: channel(subscription.channel),
        rhythm: subscription.rhythm,
        categories: subscription.categories.into_iter().map(|(category, rhythm)| (category.as_str(), rhythm)).collect(),
        language: subscription.language,
        version: subscription.version,
        created: subscription.created,
        updated: subscription.updated,
        delivery: DeliveryView {
            waiting: subscriber.as_ref().map_or(0, |subscriber| subscriber.waiting),
            left_out: subscriber.as_ref().map_or(0, |subscriber| subscriber.left_out),
            queued: subscriber.as_ref().map_or(0, |subscriber| subscriber.queued),
            sent: subscriber.as_ref().map_or(0, |subscriber| subscriber.sent),
            last_sent: subscriber.as_ref().and_then(|subscriber| subscriber.last_sent),
            next_attempt: subscriber.as_ref().and_then(|subscriber| subscriber.next_attempt),
            failed: subscriber.as_ref().and_then(|subscriber| subscriber.failed),
            last_error: subscriber.and_then(|subscriber| subscriber.error),
            parked,
        },
    }
}

/// The one word for how a subscription is, the gravest first.
fn state(subscription: &Subscription, parked: bool) -> &'static str {
    let unconfirmed = match &subscription.channel {
        Channel::Mail { address, confirmed, .. } => address.is_some() && confirmed.is_none(),
        Channel::Inbox | Channel::Webhook { .. } => false,
    };
    if subscription.filter.is_none() || (!unconfirmed && !is_reachable(&subscription.channel)) {
        return "erased";
    }
    match subscription.state {
        SubscriptionState::Paused => "paused",
        SubscriptionState::Removed => "removed",
        SubscriptionState::Active if unconfirmed => "unconfirmed",
        SubscriptionState::Active if parked => "parked",
        SubscriptionState::Active => "active",
    }
}

fn channel(channel: Channel) -> ChannelView {
    match channel {
        Channel::Inbox => ChannelView::Inbox {},
        Channel::Mail { address, openpgp, confirmed } => {
            let fingerprint = openpgp.and_then(|key| openpgp::fingerprint(&key));
            ChannelView::Mail { address, openpgp: fingerprint, confirmed }
        }
        Channel::Webhook { url, rotation } => ChannelView::Webhook { url, rotation },
    }
}

/// A filter in the words of a search; what is not asked for is left out.
fn filter(filter: &Filter) -> Value {
    let mut fields = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    add("since", filter.since.map(|time| json!(time)));
    add("until", filter.until.map(|time| json!(time)));
    add("category", (!filter.categories.is_empty()).then(|| json!(filter.categories)));
    add("type", (!filter.types.is_empty()).then(|| json!(filter.types)));
    add("sector", (!filter.sectors.is_empty()).then(|| json!(filter.sectors)));
    add("within", filter.within.map(|range| json!(range.to_string())));
    add("domain", filter.domain.as_ref().map(|domain| json!(domain)));
    add("malware", filter.malware.as_ref().map(|malware| json!(malware)));
    add("value", filter.values.first().map(|(_, value)| json!(value)));
    Value::Object(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_shown_in_the_words_of_a_search() {
        let shown = filter(&Filter { categories: vec![Category::Phishing], domain: Some(Text::from("kr")), ..Filter::default() });
        assert_eq!(shown, json!({ "category": ["phishing"], "domain": "kr" }));
        assert_eq!(filter(&Filter::default()), json!({}));
    }

    #[test]
    fn channels_are_shown_as_they_are_given() {
        assert_eq!(serde_json::to_value(channel(Channel::Inbox)).unwrap(), json!({ "inbox": {} }));
        let mail = channel(Channel::Mail { address: Some(Text::from("a@b.kr")), openpgp: None, confirmed: None });
        assert_eq!(serde_json::to_value(mail).unwrap(), json!({ "mail": { "address": "a@b.kr", "openpgp": null, "confirmed": null } }));
        let webhook = channel(Channel::Webhook { url: Some(Text::from("https://a.kr/")), rotation: 1 });
        assert_eq!(serde_json::to_value(webhook).unwrap(), json!({ "webhook": { "url": "https://a.kr/", "rotation": 1 } }));
    }
}
