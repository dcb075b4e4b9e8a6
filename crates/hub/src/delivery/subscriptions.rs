//! Subscriptions: made, shown, changed, paused, resumed, tried, removed.
//!
//! Flow: rights → fields → the record with its history → the roster in memory → the next look goes by it.
//! Invariant: a subscription is its organisation's alone; the coordinator sees all of them, and pauses, resumes and removes them. No mail but a
//! code goes to an address before whoever reads it has given the code back, but to the organisation's verified contact. A secret is given once.
//! Not here: codes (`confirming`), what is sent (`queue`), whether a receiver may be called (`outbound`, which is asked again at every attempt).

use super::confirming::is_unconfirmed;
use super::message::Notice;
use super::openpgp;
use super::rhythm::Rhythm;
use super::roster::Entry;
use super::shapes::{NewChannel, NewSubscription, SubscriptionPatch, SubscriptionView, view};
use crate::members::{MAX_PAGE, invalid};
use crate::{Actor, Hub, HubError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::canonical::canonical;
use model::ids::SubscriptionId;
use model::{Category, Filter, KeyRole, ObservableType, OrgId, Text, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::records::{About, Change, Channel, Subscription, SubscriptionState, Writer};

/// Subscriptions of one organisation at the most.
pub const MAX_SUBSCRIPTIONS: usize = 100;
/// Of them those that may want a large part of all events: what one organisation asks for must not hold up what all others do.
pub const MAX_WIDE: usize = 20;
/// Words of one filter at the most: categories, types, sectors and readings of a value.
const MAX_WORDS: usize = 200;
/// A range of fewer bits, and a domain of fewer labels, is as good as none.
const NARROW_BITS: u8 = 8;
const NARROW_LABELS: usize = 2;
/// Characters of a name.
const MAX_NAME: usize = 200;
/// Characters of a webhook's URL.
const MAX_URL: usize = 2_000;
/// What a webhook's secret begins with.
///
/// Source: Standard Webhooks, "Signature scheme".
const SECRET_PREFIX: &str = "whsec_";

impl Hub {
    /// Makes a subscription; gives it, and a webhook's secret, which is given nowhere else.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that only read or only send, [`HubError::Invalid`] with the field that is wrong,
    /// [`HubError::TooLarge`] where the organisation has too many, [`HubError::Quota`] where it had too many codes sent today.
    pub async fn add_subscription(&self, actor: &Actor, new: NewSubscription) -> Result<(SubscriptionView, Option<String>), HubError> {
        may_subscribe(actor)?;
        let now = self.clock().now();
        let rhythm = new.rhythm.unwrap_or_else(|| json!("at-once"));
        check_rhythms(new.about, &rhythm, &new.categories)?;
        check_filter(new.about, &new.filter)?;
        let organisation = actor.organisation.id;
        let subscription = Subscription {
            id: SubscriptionId(self.clock().uuid()),
            organisation,
            name: name(&new.name)?,
            about: new.about,
            filter: Some(new.filter),
            channel: self.checked_channel(organisation, new.channel, 0).await?,
            rhythm,
            categories: new.categories,
            language: Text::from(new.language.as_str()),
            state: SubscriptionState::Active,
            version: 1,
            created: now,
            updated: now,
        };
        let code = is_unconfirmed(&subscription.channel);
        if code {
            self.may_send_code(organisation)?;
        }
        let mut writer = self.records().write().await?;
        let owned: Vec<Subscription> = writer.owned(&organisation.to_string()).await?;
        if owned.iter().filter(|other| other.state.is_open()).count() >= MAX_SUBSCRIPTIONS {
            return Err(HubError::TooLarge { limit: MAX_SUBSCRIPTIONS as u64, unit: "subscriptions of an organisation" });
        }
        check_width(&subscription, &owned)?;
        writer.insert(&subscription, &changed(actor, "add", now), &[]).await?;
        writer.commit().await?;
        self.refresh_subscriptions().await?;
        if code {
            self.send_code(subscription.id).await?;
        }
        let secret = self.secret_of(&subscription);
        Ok((self.shown_subscription(subscription).await?, secret))
    }

    /// The subscriptions that the actor may know, newest first, and where the next page starts.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that read no events, [`HubError::Invalid`] for a cursor of another list.
    pub async fn subscriptions(&self, actor: &Actor, limit: usize, cursor: Option<&str>) -> Result<(Vec<SubscriptionView>, Option<String>), HubError> {
        may_read(actor)?;
        if cursor.is_some_and(|cursor| cursor.parse::<SubscriptionId>().is_err()) {
            return Err(invalid("cursor", "not a cursor of this list"));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let mut before = cursor.map(str::to_owned);
        let mut page: Vec<SubscriptionView> = Vec::new();
        loop {
            let read: Vec<Subscription> = if actor.is_coordinator() {
                self.records().page(before.as_deref(), limit as u32 + 1).await?
            } else {
                let owned: Vec<Subscription> = self.records().owned(&actor.organisation.id.to_string()).await?;
                owned.into_iter().rev().filter(|one| before.as_ref().is_none_or(|before| one.id.to_string() < *before)).take(limit + 1).collect()
            };
            let Some(last) = read.last() else { return Ok((page, None)) };
            before = Some(last.id.to_string());
            for subscription in read.into_iter().filter(|subscription| subscription.state.is_open()) {
                if page.len() == limit {
                    let next = page.last().map(|last| last.id.to_string());
                    return Ok((page, next));
                }
                page.push(self.shown_subscription(subscription).await?);
            }
        }
    }

    /// One subscription.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is another organisation's.
    pub async fn subscription(&self, actor: &Actor, id: SubscriptionId) -> Result<SubscriptionView, HubError> {
        may_read(actor)?;
        let subscription: Option<Subscription> = self.records().get(&id.to_string()).await?;
        let subscription = subscription.filter(|subscription| may_know(actor, subscription)).ok_or(HubError::NotFound)?;
        self.shown_subscription(subscription).await
    }

    /// Changes a subscription that the caller read at `version`; gives it, and the secret where it is a webhook for the first time.
    ///
    /// # Errors
    /// As [`Hub::add_subscription`], and [`HubError::Conflict`] for a stale version.
    pub async fn change_subscription(
        &self,
        actor: &Actor,
        id: SubscriptionId,
        version: u64,
        patch: SubscriptionPatch,
    ) -> Result<(SubscriptionView, Option<String>), HubError> {
        let now = self.clock().now();
        let (mut writer, before) = self.own_subscription(actor, id, Some(version), Acts::Change).await?;
        let mut subscription = before.clone();
        if let Some(given) = patch.name {
            subscription.name = name(&given)?;
        }
        if let Some(filter) = patch.filter {
            check_filter(subscription.about, &filter)?;
            subscription.filter = Some(filter);
        }
        if let Some(rhythm) = patch.rhythm {
            subscription.rhythm = rhythm;
        }
        if let Some(categories) = patch.categories {
            subscription.categories = categories;
        }
        check_rhythms(subscription.about, &subscription.rhythm, &subscription.categories)?;
        if is_wide(&subscription) && !is_wide(&before) {
            check_width(&subscription, &writer.owned::<Subscription>(&subscription.organisation.to_string()).await?)?;
        }
        if let Some(language) = patch.language {
            subscription.language = Text::from(language.as_str());
        }
        if let Some(channel) = patch.channel {
            // Another receiver must not know what signs for the one before.
            let rotation = match &before.channel {
                Channel::Webhook { rotation, .. } => *rotation,
                Channel::Inbox | Channel::Mail { .. } => 0,
            };
            subscription.channel = self.checked_channel(subscription.organisation, channel, rotation).await?;
        }
        let elsewhere = leads_elsewhere(&before.channel, &subscription.channel);
        if elsewhere && let Channel::Webhook { rotation, .. } = &mut subscription.channel {
            *rotation += 1;
        }
        let code = elsewhere && is_unconfirmed(&subscription.channel);
        if code {
            self.may_send_code(subscription.organisation)?;
        }
        let subscription = self.write_subscription(&mut writer, subscription, &changed(actor, "change", now)).await?;
        writer.commit().await?;
        self.refresh_subscriptions().await?;
        self.follow_subscription_change(&before, &subscription, elsewhere).await?;
        if code {
            self.send_code(id).await?;
        }
        let secret = elsewhere.then(|| self.secret_of(&subscription)).flatten();
        Ok((self.shown_subscription(subscription).await?, secret))
    }

    /// Lets what matches wait.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is another organisation's, [`HubError::Forbidden`] for roles that may not.
    pub async fn pause_subscription(&self, actor: &Actor, id: SubscriptionId) -> Result<SubscriptionView, HubError> {
        let subscription = self.set_subscription_state(actor, id, SubscriptionState::Paused, "pause").await?;
        if let Some(entry) = self.subscription_entry(id) {
            self.delivery.file.hold(entry.number).await?;
        }
        self.shown_subscription(subscription).await
    }

    /// Sends again, after a pause or after the receiver was given up, beginning with what waits.
    ///
    /// # Errors
    /// As [`Hub::pause_subscription`].
    pub async fn resume_subscription(&self, actor: &Actor, id: SubscriptionId) -> Result<SubscriptionView, HubError> {
        let subscription = self.set_subscription_state(actor, id, SubscriptionState::Active, "resume").await?;
        if let Some(entry) = self.subscription_entry(id) {
            self.delivery.file.release(entry.number, self.clock().now()).await?;
            self.delivery.look_at(entry.number).await?;
            self.delivery.queue_nudge.notify_one();
            self.delivery.lane_nudges.iter().for_each(|nudge| nudge.notify_one());
        }
        self.shown_subscription(subscription).await
    }

    /// Ends a subscription with all that waits for it; what is in the inbox stays.
    ///
    /// # Errors
    /// As [`Hub::pause_subscription`].
    pub async fn remove_subscription(&self, actor: &Actor, id: SubscriptionId) -> Result<(), HubError> {
        let (mut writer, mut subscription) = self.own_subscription(actor, id, None, Acts::Steps).await?;
        subscription.state = SubscriptionState::Removed;
        if let Channel::Mail { address, openpgp, confirmed } = &mut subscription.channel {
            // Nobody needs them any more.
            (*address, *openpgp, *confirmed) = (None, None, None);
        }
        self.write_subscription(&mut writer, subscription, &changed(actor, "remove", self.clock().now())).await?;
        writer.commit().await?;
        // The roster takes it out of the file of deliveries, too.
        self.refresh_subscriptions().await
    }

    /// Replaces a webhook's secret at once; gives the new one, which is given nowhere else.
    ///
    /// # Errors
    /// [`HubError::IllegalStep`] for what is no webhook; else as [`Hub::change_subscription`].
    pub async fn rotate_subscription_secret(&self, actor: &Actor, id: SubscriptionId) -> Result<(SubscriptionView, Option<String>), HubError> {
        let (mut writer, mut subscription) = self.own_subscription(actor, id, None, Acts::Change).await?;
        let Channel::Webhook { rotation, .. } = &mut subscription.channel else {
            return Err(crate::members::illegal("rotate-secret", "pause, resume, test"));
        };
        *rotation += 1;
        let subscription = self.write_subscription(&mut writer, subscription, &changed(actor, "rotate-secret", self.clock().now())).await?;
        writer.commit().await?;
        self.refresh_subscriptions().await?;
        let secret = self.secret_of(&subscription);
        Ok((self.shown_subscription(subscription).await?, secret))
    }

    /// Sends a message that says nothing but that it is a test; gives its id.
    ///
    /// # Errors
    /// [`HubError::IllegalStep`] where nothing can arrive, [`HubError::Quota`] while another word is on its way.
    pub async fn test_subscription(&self, actor: &Actor, id: SubscriptionId) -> Result<String, HubError> {
        // Nothing is changed, so that nothing is written.
        let (writer, _) = self.own_subscription(actor, id, None, Acts::Change).await?;
        drop(writer);
        let entry = self.subscription_entry(id).ok_or(HubError::NotFound)?;
        if !super::roster::is_reachable(&entry.subscription.channel) {
            return Err(crate::members::illegal("test", "confirm"));
        }
        if self.delivery.file.has_word(entry.number).await? {
            return Err(HubError::Quota { retry_after: 60 });
        }
        self.say_to(&entry, Notice::Test).await
    }

    /// A subscription that the actor may act on, with the writer that holds it as it is.
    pub(super) async fn own_subscription(
        &self,
        actor: &Actor,
        id: SubscriptionId,
        version: Option<u64>,
        acts: Acts,
    ) -> Result<(Writer, Subscription), HubError> {
        may_read(actor)?;
        let mut writer = self.records().write().await?;
        let subscription: Option<Subscription> = writer.get(&id.to_string()).await?;
        let subscription = subscription.filter(|subscription| may_know(actor, subscription)).ok_or(HubError::NotFound)?;
        if let Some(given) = version.filter(|given| *given != subscription.version) {
            return Err(HubError::Conflict { given, current: subscription.version });
        }
        may_subscribe(actor)?;
        if actor.organisation.id != subscription.organisation && acts == Acts::Change {
            return Err(HubError::Forbidden("the coordinator pauses, resumes and removes the subscriptions of others, and changes none"));
        }
        Ok((writer, subscription))
    }

    /// Writes a subscription with its next version.
    pub(super) async fn write_subscription(&self, writer: &mut Writer, subscription: Subscription, change: &Change<'_>) -> Result<Subscription, HubError> {
        let before = subscription.version;
        let subscription = Subscription { version: before + 1, updated: change.at, ..subscription };
        writer.update(&subscription, before, change, &[]).await?;
        Ok(subscription)
    }

    async fn set_subscription_state(&self, actor: &Actor, id: SubscriptionId, state: SubscriptionState, action: &str) -> Result<Subscription, HubError> {
        let (mut writer, subscription) = self.own_subscription(actor, id, None, Acts::Steps).await?;
        if subscription.state == state {
            return Ok(subscription);
        }
        let subscription = self.write_subscription(&mut writer, Subscription { state, ..subscription }, &changed(actor, action, self.clock().now())).await?;
        writer.commit().await?;
        self.refresh_subscriptions().await?;
        Ok(subscription)
    }

    /// Lets what waits go by what was changed.
    async fn follow_subscription_change(&self, before: &Subscription, after: &Subscription, elsewhere: bool) -> Result<(), HubError> {
        let Some(entry) = self.subscription_entry(after.id) else { return Ok(()) };
        let file = &self.delivery.file;
        if elsewhere {
            let _turn = self.delivery.making.lock().await;
            file.unmake_all(entry.number).await?;
            file.release(entry.number, self.clock().now()).await?;
        }
        if before.rhythm != after.rhythm || before.categories != after.categories {
            let now = self.clock().now();
            file.set_due(entry.number, None, self.delivery.due(&entry.rhythm, now)).await?;
            for (category, rhythm) in &entry.categories {
                file.set_due(entry.number, Some(*category), self.delivery.due(rhythm, now)).await?;
            }
        }
        self.delivery.look_at(entry.number).await?;
        self.delivery.queue_nudge.notify_one();
        Ok(())
    }

    pub(super) fn subscription_entry(&self, id: SubscriptionId) -> Option<Arc<Entry>> {
        self.delivery.roster.entries().iter().find(|entry| entry.subscription.id == id).cloned()
    }

    pub(super) async fn shown_subscription(&self, subscription: Subscription) -> Result<SubscriptionView, HubError> {
        let subscriber = self.delivery.file.subscriber(&subscription.id.to_string()).await?;
        Ok(view(subscription, subscriber))
    }

    /// A channel as it is asked for, checked. An address is confirmed where somebody of the organisation has shown before that it is read.
    async fn checked_channel(&self, organisation: OrgId, new: NewChannel, rotation: u32) -> Result<Channel, HubError> {
        match new {
            NewChannel::Inbox => Ok(Channel::Inbox),
            NewChannel::Mail { address, openpgp } => {
                if self.delivery.mailer.is_none() {
                    return Err(invalid("/channel/mail", "this hub sends no mail"));
                }
                let address = canonical(ObservableType::Email, &address).map_err(|error| invalid("/channel/mail/address", error.to_string()))?;
                super::mail::address(&address).map_err(|reason| invalid("/channel/mail/address", reason))?;
                if let Some(key) = openpgp.clone() {
                    // Signatures are verified; somebody else's key may have many.
                    let checked = tokio::task::spawn_blocking(move || openpgp::check(&key)).await.map_err(|broken| HubError::Internal(Box::new(broken)))?;
                    checked.map_err(|reason| invalid("/channel/mail/openpgp", reason))?;
                }
                let confirmed = self.is_confirmed_address(organisation, &address).await?.then(|| self.clock().now());
                Ok(Channel::Mail { address: Some(address), openpgp: openpgp.map(Text::from), confirmed })
            }
            NewChannel::Webhook { url } => {
                let wrong = |reason: String| invalid("/channel/webhook/url", reason);
                if url.chars().count() > MAX_URL {
                    return Err(wrong(format!("longer than {MAX_URL} characters")));
                }
                let parsed = url::Url::parse(url.trim()).map_err(|error| wrong(error.to_string()))?;
                self.webhooks.check(&parsed).map_err(|error| wrong(error.to_string()))?;
                if parsed.fragment().is_some() {
                    return Err(wrong("a fragment is never sent".to_owned()));
                }
                Ok(Channel::Webhook { url: Some(Text::from(parsed.as_str())), rotation })
            }
        }
    }

    /// A webhook's secret as its receiver is told it.
    fn secret_of(&self, subscription: &Subscription) -> Option<String> {
        match &subscription.channel {
            Channel::Webhook { rotation, .. } => Some(format!("{SECRET_PREFIX}{}", STANDARD.encode(self.webhook_secret(subscription.id, *rotation)))),
            Channel::Inbox | Channel::Mail { .. } => None,
        }
    }
}

/// What is done with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acts {
    /// What the coordinator may do, too.
    Steps,
    /// What its organisation alone may do.
    Change,
}

pub(super) fn changed<'a>(actor: &Actor, action: &'a str, at: Timestamp) -> Change<'a> {
    Change { actor_key: Some(actor.key), actor_org: Some(actor.organisation.id), at, action, reason: "" }
}

fn may_know(actor: &Actor, subscription: &Subscription) -> bool {
    subscription.state.is_open() && (actor.is_coordinator() || actor.organisation.id == subscription.organisation)
}

fn may_read(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role reads no subscriptions")) }
}

fn may_subscribe(actor: &Actor) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst => Ok(()),
        KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => Err(HubError::Forbidden("administrators and analysts make and change subscriptions")),
    }
}

fn name(name: &str) -> Result<Text, HubError> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME || name.chars().any(char::is_control) {
        return Err(invalid("/name", format!("a name has 1 to {MAX_NAME} characters and no control characters")));
    }
    Ok(Text::from(name))
}

fn check_rhythms(about: About, rhythm: &Value, categories: &BTreeMap<Category, Value>) -> Result<(), HubError> {
    let wrong = |pointer: &str, error: serde_json::Error| invalid(pointer, error.to_string());
    serde_json::from_value::<Rhythm>(rhythm.clone()).map_err(|error| wrong("/rhythm", error))?;
    if about != About::Findings && !categories.is_empty() {
        return Err(invalid("/categories", "only findings have a rhythm of their own by category"));
    }
    for (category, rhythm) in categories {
        serde_json::from_value::<Rhythm>(rhythm.clone()).map_err(|error| wrong(&format!("/categories/{category}"), error))?;
    }
    Ok(())
}

fn check_filter(about: About, filter: &Filter) -> Result<(), HubError> {
    if about == About::Findings && !filter.sectors.is_empty() {
        return Err(invalid("/filter/sector", "findings are the organisation's own and have no sector"));
    }
    if filter.categories.len() + filter.types.len() + filter.sectors.len() + filter.values.len() > MAX_WORDS {
        return Err(invalid("/filter", format!("at most {MAX_WORDS} categories, types and sectors are taken together")));
    }
    Ok(())
}

/// Whether a subscription may want a large part of all events: its filter names no value, range, domain or malware.
fn is_wide(subscription: &Subscription) -> bool {
    let Some(filter) = subscription.filter.as_ref().filter(|_| subscription.about == About::Events) else { return false };
    let is_narrow = filter.malware.is_some()
        || !filter.values.is_empty()
        || filter.within.is_some_and(|range| range.prefix_len() >= NARROW_BITS)
        || filter.domain.as_ref().is_some_and(|domain| domain.as_str().split('.').count() >= NARROW_LABELS);
    !is_narrow
}

/// Refuses a wide subscription where its organisation has too many others.
fn check_width(subscription: &Subscription, owned: &[Subscription]) -> Result<(), HubError> {
    let others = owned.iter().filter(|other| other.id != subscription.id && other.state.is_open() && is_wide(other)).count();
    if !is_wide(subscription) || others < MAX_WIDE {
        return Ok(());
    }
    let reason = format!(
        "an organisation has at most {MAX_WIDE} subscriptions to events without a value, a domain, malware or a range of /{NARROW_BITS} or narrower; put \
         categories and sectors together into one, or name one of these"
    );
    Err(invalid("/filter", reason))
}

/// Whether another receiver gets what is sent.
fn leads_elsewhere(before: &Channel, after: &Channel) -> bool {
    match (before, after) {
        (Channel::Inbox, Channel::Inbox) => false,
        (Channel::Mail { address: before, .. }, Channel::Mail { address: after, .. }) => before != after,
        (Channel::Webhook { url: before, .. }, Channel::Webhook { url: after, .. }) => before != after,
        (Channel::Inbox | Channel::Mail { .. } | Channel::Webhook { .. }, _) => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod unit {
    use super::*;

    #[test]
    fn a_rhythm_that_cannot_be_kept_is_refused_where_it_stands() {
        assert!(check_rhythms(About::Events, &json!("at-once"), &BTreeMap::new()).is_ok());
        assert!(check_rhythms(About::Events, &json!({ "times": ["09:00"], "business_days": true }), &BTreeMap::new()).is_ok());
        for wrong in [json!("hourly"), json!({ "times": [] }), json!({ "times": ["25:00"] }), json!(5)] {
            assert!(matches!(check_rhythms(About::Events, &wrong, &BTreeMap::new()), Err(HubError::Invalid { pointer, .. }) if pointer == "/rhythm"));
        }
        let by_category = BTreeMap::from([(Category::InfectedSystem, json!("at-once"))]);
        assert!(check_rhythms(About::Findings, &json!({ "times": ["09:00"] }), &by_category).is_ok());
        assert!(matches!(check_rhythms(About::Events, &json!("at-once"), &by_category), Err(HubError::Invalid { .. })));
    }

    #[test]
    fn another_receiver_is_another_address_or_channel() {
        let mail = |address: &str| Channel::Mail { address: Some(Text::from(address)), openpgp: None, confirmed: None };
        let hook = |url: &str| Channel::Webhook { url: Some(Text::from(url)), rotation: 0 };
        assert!(!leads_elsewhere(&mail("a@b.kr"), &mail("a@b.kr")) && leads_elsewhere(&mail("a@b.kr"), &mail("c@b.kr")));
        assert!(!leads_elsewhere(&hook("https://a/"), &hook("https://a/")) && leads_elsewhere(&hook("https://a/"), &hook("https://b/")));
        assert!(leads_elsewhere(&Channel::Inbox, &hook("https://a/")) && !leads_elsewhere(&Channel::Inbox, &Channel::Inbox));
    }
}
