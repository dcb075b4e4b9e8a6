//! Mail addresses: no mail but a code goes to one before somebody of the organisation has given the code back.
//!
//! Flow: a subscription to an address that is not known → [`Hub::send_code`] → whoever reads it tells the code → [`Hub::confirm_subscription`].
//! Invariant: of a code only a keyed hash is kept, for one subscription and address; it is taken once, for a day, and not after too many guesses.
//! Not here: the contact that is verified by other means (`members::contacts`).

use super::SubscriptionView;
use super::message::Notice;
use super::subscriptions::{Acts, changed};
use crate::members::invalid;
use crate::{Actor, Hub, HubError};
use model::ids::SubscriptionId;
use model::{OrgId, Text};
use std::time::Duration;
use store::deliveries::CodeAnswer;
use store::records::{Channel, Subscription};
use uuid::Uuid;

/// Codes that an organisation has sent in a day.
const MAX_CODES: u32 = 20;
/// How long a code is taken.
const CODE_LIFE: Duration = Duration::from_secs(86_400);

impl Hub {
    /// Takes the code that was sent to a mail address; without one, sends another.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a wrong one, [`HubError::IllegalStep`] where none is open.
    pub async fn confirm_subscription(&self, actor: &Actor, id: SubscriptionId, code: Option<&str>) -> Result<SubscriptionView, HubError> {
        let (writer, subscription) = self.own_subscription(actor, id, None, Acts::Change).await?;
        // The file of deliveries is asked meanwhile; no two files are held at once.
        drop(writer);
        if !is_unconfirmed(&subscription.channel) {
            return Err(crate::members::illegal("confirm", "pause, resume, test"));
        }
        let Some(code) = code else {
            self.may_send_code(subscription.organisation)?;
            self.send_code(id).await?;
            return self.shown_subscription(subscription).await;
        };
        let entry = self.subscription_entry(id).ok_or(HubError::NotFound)?;
        let now = self.clock().now();
        match self.delivery.file.try_code(entry.number, &self.code_hash(id, &subscription.channel, code), now).await? {
            CodeAnswer::Right => {}
            CodeAnswer::Wrong => return Err(invalid("/code", "not the code that was sent to the address")),
            CodeAnswer::None => return Err(invalid("/code", "no code is open: it is too old or was tried too often; ask for another one")),
        }
        let (mut writer, mut now_there) = self.own_subscription(actor, id, None, Acts::Change).await?;
        let asked = address_of(&subscription.channel).cloned();
        if let Channel::Mail { address, confirmed, .. } = &mut now_there.channel {
            // Another address may have come meanwhile.
            if *address != asked {
                return Err(HubError::Conflict { given: subscription.version, current: now_there.version });
            }
            *confirmed = Some(now);
        }
        let subscription = self.write_subscription(&mut writer, now_there, &changed(actor, "confirm", now)).await?;
        writer.commit().await?;
        self.refresh_subscriptions().await?;
        self.delivery.look_at(entry.number).await?;
        self.delivery.queue_nudge.notify_one();
        self.shown_subscription(subscription).await
    }

    /// Whether it is known that the organisation reads this address.
    pub(super) async fn is_confirmed_address(&self, organisation: OrgId, address: &Text) -> Result<bool, HubError> {
        if self.members().verified_address(organisation).await?.as_ref() == Some(address) {
            return Ok(true);
        }
        let others: Vec<Subscription> = self.records().owned(&organisation.to_string()).await?;
        let confirms = |other: &Subscription| match &other.channel {
            Channel::Mail { address: Some(known), confirmed: Some(_), .. } => other.state.is_open() && known == address,
            Channel::Mail { .. } | Channel::Inbox | Channel::Webhook { .. } => false,
        };
        Ok(others.iter().any(confirms))
    }

    /// Counts a code against what an organisation may have sent in a day: mail to strangers is not to be had without end.
    pub(super) fn may_send_code(&self, organisation: OrgId) -> Result<(), HubError> {
        let today = self.clock().now().utc_day();
        let mut codes = self.delivery.codes.lock();
        let (day, sent) = codes.entry(organisation).or_insert((today, 0));
        if *day != today {
            (*day, *sent) = (today, 0);
        }
        if *sent >= MAX_CODES {
            return Err(HubError::Quota { retry_after: 3_600 });
        }
        *sent += 1;
        Ok(())
    }

    /// Makes a code and sends it to the subscription's address.
    pub(super) async fn send_code(&self, id: SubscriptionId) -> Result<(), HubError> {
        let entry = self.subscription_entry(id).ok_or(HubError::NotFound)?;
        let code = fresh_code();
        let until = self.clock().now().plus(CODE_LIFE);
        self.delivery.file.set_code(entry.number, &self.code_hash(id, &entry.subscription.channel, &code), until).await?;
        self.say_to(&entry, Notice::Confirm { code, until }).await.map(drop)
    }

    /// What is kept of a code: it holds for one subscription and address.
    fn code_hash(&self, id: SubscriptionId, channel: &Channel, code: &str) -> String {
        let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_uppercase()).collect();
        let mut hasher = blake3::Hasher::new_keyed(&self.delivery.secret);
        hasher.update(b"code");
        hasher.update(id.0.as_bytes());
        hasher.update(address_of(channel).map_or("", Text::as_str).as_bytes());
        hasher.update(b"\0");
        hasher.update(plain.as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

fn address_of(channel: &Channel) -> Option<&Text> {
    match channel {
        Channel::Mail { address, .. } => address.as_ref(),
        Channel::Inbox | Channel::Webhook { .. } => None,
    }
}

/// Whether a code is to be given back before anything else is sent.
pub(super) fn is_unconfirmed(channel: &Channel) -> bool {
    match channel {
        Channel::Mail { address, confirmed, .. } => address.is_some() && confirmed.is_none(),
        Channel::Inbox | Channel::Webhook { .. } => false,
    }
}

/// Twelve digits of 48 random bits, in groups that can be read out.
fn fresh_code() -> String {
    let digits = Uuid::new_v4().simple().to_string().to_uppercase();
    // The last twelve are all random; version and variant come before.
    let digits = digits.get(20..).unwrap_or_default();
    let groups: Vec<&str> = [0..4, 4..8, 8..12].into_iter().filter_map(|range| digits.get(range)).collect();
    groups.join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod unit {
    use super::*;

    #[test]
    fn a_code_is_twelve_digits_in_three_groups() {
        let code = fresh_code();
        assert_eq!(code.len(), 14, "{code}");
        assert!(code.split('-').all(|group| group.len() == 4 && group.bytes().all(|byte| byte.is_ascii_hexdigit())), "{code}");
        assert_ne!(code, fresh_code());
    }
}
