//! Subscriptions, as records: what a member asked to be told of, where and how often.
//!
//! Invariant: a mail address can be a person's: it is kept beside the content with its public key, in no history but as a hash. Whatever people
//! wrote freely is in flat texts that an erasure can take out of the history; one that was taken out is read as `None`, and then nothing is sent.
//! Not here: what waits and what was sent (`crate::deliveries`), what a rhythm means (`hub::delivery`).

use super::{Change, Erasable, Parts, Record, Records, RecordsError};
use crate::ledger::Victim;
use ipnet::IpNet;
use model::ids::SubscriptionId;
use model::{Category, Filter, ObservableType, OrgId, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a subscription tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// Events of others.
    Events,
    /// What is wrong in the organisation's own networks.
    Findings,
}

impl About {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Findings => "findings",
        }
    }

    /// What a wire word names.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "events" => Some(Self::Events),
            "findings" => Some(Self::Findings),
            _ => None,
        }
    }
}

/// Life of a subscription. `Removed` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionState {
    /// What matches is sent.
    Active,
    /// What matches waits.
    Paused,
    /// Nothing is matched any more.
    Removed,
}

impl SubscriptionState {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }

    /// Whether it is matched.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Active | Self::Paused => true,
            Self::Removed => false,
        }
    }
}

/// Where a subscription sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// The organisation's inbox.
    Inbox,
    /// A mail address.
    Mail {
        /// The address in canonical form; `None` once erased.
        address: Option<Text>,
        /// The reader's public key, armoured.
        openpgp: Option<Text>,
        /// When whoever reads the address said that mail is wanted; `None`: not yet.
        confirmed: Option<Timestamp>,
    },
    /// An HTTPS receiver.
    Webhook {
        /// Its URL; `None` once erased.
        url: Option<Text>,
        /// How often the secret was replaced.
        rotation: u32,
    },
}

impl Channel {
    /// The wire word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Mail { .. } => "mail",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// A subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose it is.
    pub organisation: OrgId,
    /// Its name for people.
    pub name: Text,
    /// What it tells of.
    pub about: About,
    /// What is wanted; `None` where its conditions were erased.
    pub filter: Option<Filter>,
    /// Where it sends.
    pub channel: Channel,
    /// When it sends, as JSON.
    pub rhythm: Value,
    /// Of findings of these categories: when instead, as JSON.
    pub categories: BTreeMap<Category, Value>,
    /// In which language, `ko` or `en`.
    pub language: Text,
    /// How far it is.
    pub state: SubscriptionState,
    /// Version, starting at 1.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// The content of a record. Its free texts have names of their own, which `history` knows.
#[derive(Serialize, Deserialize)]
struct Content {
    id: SubscriptionId,
    organisation: OrgId,
    label: Text,
    about: About,
    conditions: String,
    channel: Text,
    #[serde(default)]
    confirmed: Option<Timestamp>,
    #[serde(default)]
    url: Option<Text>,
    #[serde(default)]
    rotation: u32,
    rhythm: Value,
    #[serde(default)]
    categories: BTreeMap<String, Value>,
    language: Text,
    state: SubscriptionState,
}

/// A filter as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    category: Vec<String>,
    #[serde(rename = "type")]
    kind: Vec<String>,
    sector: Vec<Text>,
    within: Option<String>,
    domain: Option<Text>,
    malware: Option<Text>,
    /// Type and value of each reading.
    #[serde(default)]
    value: Vec<(String, Text)>,
}

fn write_filter(filter: &Filter) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Conditions {
        since: filter.since,
        until: filter.until,
        category: filter.categories.iter().map(|category| category.as_str().to_owned()).collect(),
        kind: filter.types.iter().map(|kind| kind.as_str().to_owned()).collect(),
        sector: filter.sectors.clone(),
        within: filter.within.map(|range| range.to_string()),
        domain: filter.domain.clone(),
        malware: filter.malware.clone(),
        value: filter.values.iter().map(|(kind, value)| (kind.as_str().to_owned(), value.clone())).collect(),
    })
}

/// The filter that a text says; `None` for any other text: a condition must never be lost, or more would be sent than was asked for.
fn read_filter(text: &str) -> Option<Filter> {
    let conditions: Conditions = serde_json::from_str(text).ok()?;
    Some(Filter {
        since: conditions.since,
        until: conditions.until,
        categories: conditions.category.iter().map(|word| Category::parse(word)).collect::<Option<_>>()?,
        types: conditions.kind.iter().map(|word| ObservableType::parse(word)).collect::<Option<_>>()?,
        sectors: conditions.sector,
        within: match conditions.within {
            Some(range) => Some(range.parse::<IpNet>().ok()?),
            None => None,
        },
        domain: conditions.domain,
        malware: conditions.malware,
        values: conditions.value.into_iter().map(|(kind, value)| Some((ObservableType::parse(&kind)?, value))).collect::<Option<_>>()?,
    })
}

impl Record for Subscription {
    const KIND: &'static str = "subscription";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        let (confirmed, url, rotation) = match &self.channel {
            Channel::Inbox => (None, None, 0),
            Channel::Mail { confirmed, .. } => (*confirmed, None, 0),
            Channel::Webhook { url, rotation } => (None, url.clone(), *rotation),
        };
        serde_json::to_string(&Content {
            id: self.id,
            organisation: self.organisation,
            label: self.name.clone(),
            about: self.about,
            conditions: self.filter.as_ref().map(write_filter).transpose()?.unwrap_or_default(),
            channel: Text::from(self.channel.as_str()),
            confirmed,
            url,
            rotation,
            rhythm: self.rhythm.clone(),
            categories: self.categories.iter().map(|(category, rhythm)| (category.as_str().to_owned(), rhythm.clone())).collect(),
            language: self.language.clone(),
            state: self.state,
        })
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let content: Content = serde_json::from_str(&parts.content)?;
        let channel = match content.channel.as_str() {
            "mail" => {
                let (address, openpgp) = parts.erasable.map_or((None, None), |erasable| (Some(erasable.value), erasable.note));
                Channel::Mail { address, openpgp, confirmed: content.confirmed }
            }
            // What was taken out of the history is no URL.
            "webhook" => Channel::Webhook { url: content.url.filter(|url| url.starts_with("http")), rotation: content.rotation },
            _ => Channel::Inbox,
        };
        Ok(Self {
            id: content.id,
            organisation: content.organisation,
            name: content.label,
            about: content.about,
            filter: read_filter(&content.conditions),
            channel,
            rhythm: content.rhythm,
            categories: content.categories.into_iter().filter_map(|(word, rhythm)| Some((Category::parse(&word)?, rhythm))).collect(),
            language: content.language,
            state: content.state,
            version: parts.version,
            created: parts.created,
            updated: parts.updated,
        })
    }

    fn owner(&self) -> Option<String> {
        Some(self.organisation.to_string())
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn erasable(&self) -> Option<Erasable> {
        match &self.channel {
            Channel::Mail { address: Some(address), openpgp, .. } => Some(Erasable { value: address.clone(), note: openpgp.clone() }),
            Channel::Mail { address: None, .. } | Channel::Inbox | Channel::Webhook { .. } => None,
        }
    }
}

impl Records {
    /// Destroys the address of every subscription that is the victim's value; gives how many there were.
    pub async fn erase_subscriptions(&self, victim: &Victim, change: &Change<'_>) -> Result<u64, RecordsError> {
        let mut writer = self.write().await?;
        let subscriptions: Vec<Subscription> = writer.all().await?;
        let mut changed = 0;
        for subscription in subscriptions {
            let Channel::Mail { address: Some(address), openpgp, .. } = &subscription.channel else { continue };
            // A key names its holder, as a rule by the address.
            if !victim.is_value(ObservableType::Email, address) && !openpgp.as_ref().is_some_and(|key| victim.is_in(key)) {
                continue;
            }
            let version = subscription.version;
            let channel = Channel::Mail { address: None, openpgp: None, confirmed: None };
            writer.update(&Subscription { channel, version: version + 1, ..subscription }, version, change, &[]).await?;
            changed += 1;
        }
        writer.commit().await?;
        Ok(changed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subscription(channel: Channel) -> Subscription {
        Subscription {
            id: SubscriptionId(uuid::Uuid::from_u128(1)),
            organisation: OrgId(uuid::Uuid::from_u128(2)),
            name: Text::from("night shift"),
            about: About::Events,
            filter: Some(Filter {
                since: Some(Timestamp::from_seconds(5)),
                categories: vec![Category::Phishing],
                types: vec![ObservableType::Url],
                within: Some("192.0.2.0/24".parse().unwrap()),
                domain: Some(Text::from("bank.example")),
                ..Filter::default()
            }),
            channel,
            rhythm: json!({ "times": ["09:00"], "business_days": true }),
            categories: BTreeMap::from([(Category::InfectedSystem, json!("at-once"))]),
            language: Text::from("ko"),
            state: SubscriptionState::Active,
            version: 3,
            created: Timestamp::from_seconds(10),
            updated: Timestamp::from_seconds(11),
        }
    }

    fn again(subscription: &Subscription, content: String) -> Subscription {
        let parts = Parts {
            content,
            number: None,
            version: subscription.version,
            erasable: subscription.erasable(),
            created: subscription.created,
            updated: subscription.updated,
        };
        Subscription::from_parts(parts).unwrap()
    }

    #[test]
    fn a_subscription_is_read_back_as_it_was_written() {
        let mail =
            Channel::Mail { address: Some(Text::from("soc@bank.example")), openpgp: Some(Text::from("KEY")), confirmed: Some(Timestamp::from_seconds(9)) };
        let webhook = Channel::Webhook { url: Some(Text::from("https://bank.example/hook")), rotation: 2 };
        for channel in [Channel::Inbox, mail, webhook] {
            let subscription = subscription(channel);
            assert_eq!(again(&subscription, subscription.content().unwrap()), subscription);
        }
    }

    #[test]
    fn an_address_is_in_no_content() {
        let mail = Channel::Mail { address: Some(Text::from("soc@bank.example")), openpgp: Some(Text::from("KEY")), confirmed: None };
        let content = subscription(mail).content().unwrap();
        assert!(!content.contains("soc@") && !content.contains("KEY"), "{content}");
    }

    #[test]
    fn conditions_that_were_erased_match_nothing_instead_of_everything() {
        let subscription = subscription(Channel::Webhook { url: Some(Text::from("https://bank.example/hook")), rotation: 0 });
        let mut content: Value = serde_json::from_str(&subscription.content().unwrap()).unwrap();
        content["conditions"] = json!("[erased]");
        content["url"] = json!("[erased]");
        let read = again(&subscription, content.to_string());
        assert_eq!(read.filter, None);
        assert_eq!(read.channel, Channel::Webhook { url: None, rotation: 0 });
    }
}
