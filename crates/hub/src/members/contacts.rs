//! Where an organisation is told of abuse: one mail address each, verified by a reply and again every half-year.
//!
//! Flow: [`Members::set_contact`] makes a token → it is sent to the address ([`Members::contacts_to_ask`]) → whoever quotes it, or the coordinator who
//! has the reply, verifies it by [`Members::verify_contact`], whoever opens the link in the mail by [`Members::confirm_contact`]. Mail that
//! comes back is noted by [`Members::contact_bounced`]; what somebody has to look after is in [`Members::contact_queue`].
//! Invariant: another address is not verified by what was said of the one before; what came back waits in the queue until it is verified anew or
//! another address is set. Nobody is asked more than [`MAX_ASKS`] times; and of one organisation no more than [`MAX_MAILS`] mails ask in half a year,
//! [`MAX_MAILS_A_DAY`] a day, whatever addresses it sets one after another and whoever verifies them meanwhile.
//! Not here: sending mail (`delivery::asking`); contacts of those who are no members (`owners::abuse`).

use super::{MAX_REASON, Members, coordinator_only, invalid, may_administer, reason_text};
use crate::{Actor, HubError};
use model::canonical::canonical;
use model::{KeyRole, ObservableType, OrgId, OrgKind, Organisation, Standing, Text, Timestamp};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::records::{Change, Contact};
use subtle::ConstantTimeEq;

/// How long a verification holds.
const VERIFIED_FOR: Duration = Duration::from_secs(182 * 86_400);
/// Mails that ask a contact whether somebody reads it, until it is verified or set anew: the first and its reminders.
pub const MAX_ASKS: u32 = 3;
/// Time between them.
const REMIND_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Mails of one organisation that ask, to all addresses that it sets within [`MAILS_KEPT`] together.
pub(super) const MAX_MAILS: usize = 9;
/// Of these in a day.
const MAX_MAILS_A_DAY: usize = 3;
/// How long a mail counts. No longer than a verification holds, so that what is due is asked.
const MAILS_KEPT: Duration = VERIFIED_FOR;
const DAY: Duration = Duration::from_secs(86_400);
/// How every token begins.
const TOKEN_PREFIX: &str = "bongsu-contact-";
/// Characters of a token after that, and of an organisation in a link.
const DIGITS: usize = 32;

/// What there is to say of a contact, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContactState {
    /// Mail to it came back.
    Bouncing,
    /// There is none.
    Missing,
    /// Nobody replied yet.
    Unverified,
    /// The half-year is over.
    Due,
    /// A reply verified it.
    Verified,
}

impl ContactState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Bouncing, Self::Missing, Self::Unverified, Self::Due, Self::Verified];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bouncing => "bouncing",
            Self::Missing => "missing",
            Self::Unverified => "unverified",
            Self::Due => "due",
            Self::Verified => "verified",
        }
    }

    /// The state that a wire word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == word)
    }

    fn of(contact: &Contact, now: Timestamp) -> Self {
        match (&contact.address, contact.bounced, contact.verified) {
            (None, _, _) => Self::Missing,
            (Some(_), Some(_), _) => Self::Bouncing,
            (Some(_), None, None) => Self::Unverified,
            (Some(_), None, Some(verified)) if now >= verified.plus(VERIFIED_FOR) => Self::Due,
            (Some(_), None, Some(_)) => Self::Verified,
        }
    }
}

/// A contact for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContactView {
    /// Whose it is.
    pub organisation: OrgId,
    /// The mail address; absent where there is none.
    pub address: Option<Text>,
    /// Whether somebody has to look after it.
    pub state: ContactState,
    /// When it was verified last.
    pub verified: Option<Timestamp>,
    /// Until when that holds.
    pub due: Option<Timestamp>,
    /// When a mail to it came back last, since it was set or verified.
    pub bounced: Option<Timestamp>,
    /// How many came back since then.
    pub bounces: u32,
    /// When the hub asked last by mail whether somebody reads it, since it was set or verified.
    pub asked: Option<Timestamp>,
    /// How many mails asked since then.
    pub asks: u32,
    /// What a reply must quote, for the coordinator who asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Text>,
    /// Version, starting at 1.
    pub version: u64,
}

/// A contact that is to be asked by mail whether somebody reads it, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactToAsk {
    /// Whose it is.
    pub organisation: OrgId,
    /// The mail address.
    pub address: Text,
    /// What a reply must quote.
    pub token: Text,
    /// Whether it is unverified or due.
    pub state: ContactState,
    /// How many mails have asked so far.
    pub asks: u32,
}

impl ContactToAsk {
    /// Whether a record is still this contact.
    fn is(&self, contact: &Contact) -> bool {
        contact.address.as_ref() == Some(&self.address) && contact.token == self.token && contact.asks == self.asks
    }
}

/// What a link leads to that a contact was mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactBehind {
    /// Name of the organisation whose contact it is.
    pub organisation: String,
}

impl Members {
    /// An organisation's contact.
    pub async fn contact(&self, actor: &Actor, organisation: OrgId) -> Result<ContactView, HubError> {
        let organisation = self.known(actor, organisation)?;
        if actor.role == KeyRole::Auditor {
            return Err(HubError::Forbidden("this role reads no contacts"));
        }
        let contact: Option<Contact> = self.records.get(&Contact::id_of(organisation.id).to_string()).await?;
        contact.map(|contact| view(contact, actor, self.clock.now())).ok_or(HubError::NotFound)
    }

    /// The address of an organisation's contact, while a reply verifies it.
    pub(crate) async fn verified_address(&self, organisation: OrgId) -> Result<Option<Text>, HubError> {
        let contact: Option<Contact> = self.records.get(&Contact::id_of(organisation).to_string()).await?;
        let now = self.clock.now();
        Ok(contact.filter(|contact| ContactState::of(contact, now) == ContactState::Verified).and_then(|contact| contact.address))
    }

    /// Sets an organisation's contact; it is to be verified anew where the address is another.
    pub async fn set_contact(&self, actor: &Actor, organisation: OrgId, address: &str) -> Result<ContactView, HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        let address = canonical(ObservableType::Email, address).map_err(|error| invalid("/address", error.to_string()))?;
        let change = self.noted(actor, "set", "");
        let id = Contact::id_of(organisation.id);
        let mut writer = self.records.write().await?;
        let before: Option<Contact> = writer.get(&id.to_string()).await?;
        let same = before.as_ref().filter(|before| before.address.as_ref() == Some(&address));
        let (verified, bounced) = (same.and_then(|before| before.verified), same.and_then(|before| before.bounced));
        let bounces = same.map_or(0, |before| before.bounces);
        let (asked, asks) = same.map_or((None, 0), |before| (before.asked, before.asks));
        let mails = before.as_ref().map(|before| before.mails.clone()).unwrap_or_default();
        let version = before.as_ref().map_or(0, |before| before.version) + 1;
        let (organisation, address, token) = (organisation.id, Some(address), token());
        let contact = Contact { id, organisation, address, token, verified, bounced, bounces, asked, asks, mails, version };
        match before {
            Some(before) => writer.update(&contact, before.version, &change, &[]).await.map(drop)?,
            None => writer.insert(&contact, &change, &[]).await?,
        }
        writer.commit().await?;
        Ok(view(contact, actor, change.at))
    }

    /// Notes that a reply came from the address: by an administrator who quotes the token that was sent there, or by the coordinator.
    pub async fn verify_contact(&self, actor: &Actor, organisation: OrgId, quoted: Option<&str>) -> Result<ContactView, HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        let change = self.noted(actor, "verify", "");
        let mut writer = self.records.write().await?;
        let contact: Option<Contact> = writer.get(&Contact::id_of(organisation.id).to_string()).await?;
        let contact = contact.filter(|contact| contact.address.is_some()).ok_or(HubError::NotFound)?;
        match quoted {
            Some(quoted) if bool::from(quoted.as_bytes().ct_eq(contact.token.as_bytes())) => {}
            Some(_) => return Err(invalid("/token", "not the token that was sent to the address")),
            None => coordinator_only(actor)?,
        }
        let version = contact.version;
        let contact = verified(contact, change.at);
        writer.update(&contact, version, &change, &[]).await?;
        writer.commit().await?;
        Ok(view(contact, actor, change.at))
    }

    /// What a link leads to, by what it ends with.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for a link that was used, that another mail has replaced, or that never was.
    pub async fn contact_behind(&self, code: &str) -> Result<ContactBehind, HubError> {
        let (organisation, quoted) = parsed_link(code).ok_or(HubError::NotFound)?;
        let contact: Option<Contact> = self.records.get(&Contact::id_of(organisation).to_string()).await?;
        self.quoted(contact, &quoted).map(|(_, organisation)| ContactBehind { organisation: organisation.name.clone() })
    }

    /// Verifies the contact that a link leads to: who opens it reads the mail. A link is good once.
    ///
    /// # Errors
    /// As [`Members::contact_behind`].
    pub async fn confirm_contact(&self, code: &str) -> Result<ContactBehind, HubError> {
        let (organisation, quoted) = parsed_link(code).ok_or(HubError::NotFound)?;
        let mut writer = self.records.write().await?;
        let contact: Option<Contact> = writer.get(&Contact::id_of(organisation).to_string()).await?;
        let (contact, organisation) = self.quoted(contact, &quoted)?;
        let reason = "by the link that was mailed to it";
        let change = Change { actor_key: None, actor_org: Some(organisation.id), at: self.clock.now(), action: "verify", reason };
        let version = contact.version;
        writer.update(&verified(contact, change.at), version, &change, &[]).await?;
        writer.commit().await?;
        Ok(ContactBehind { organisation: organisation.name.clone() })
    }

    /// The contact, where it has an address, this is its token, and its organisation is to have one.
    fn quoted(&self, contact: Option<Contact>, quoted: &str) -> Result<(Contact, Arc<Organisation>), HubError> {
        let is_it = |contact: &Contact| contact.address.is_some() && bool::from(quoted.as_bytes().ct_eq(contact.token.as_bytes()));
        let contact = contact.filter(is_it).ok_or(HubError::NotFound)?;
        let organisation = self.directory.by_id(contact.organisation).filter(|organisation| is_told(organisation)).ok_or(HubError::NotFound)?;
        Ok((contact, organisation))
    }
}

impl Members {
    /// Notes that a mail to an organisation's contact came back, as the coordinator saw it.
    pub async fn note_bounce(&self, actor: &Actor, organisation: OrgId, reason: &str) -> Result<ContactView, HubError> {
        let organisation = self.known(actor, organisation)?;
        coordinator_only(actor)?;
        let reason = reason_text("/reason", reason, true)?;
        let contact = self.bounce(organisation.id, &self.noted(actor, "bounce", reason)).await?.ok_or(HubError::NotFound)?;
        Ok(view(contact, actor, self.clock.now()))
    }

    /// Notes that a mail of the hub's to an organisation's contact came back; `said` is what the other side said, cut where it is long. Gives
    /// whether there is such a contact.
    pub async fn contact_bounced(&self, organisation: OrgId, said: &str) -> Result<bool, HubError> {
        let said: String = said.chars().filter(|character| !character.is_control()).take(MAX_REASON).collect();
        let change = Change { actor_key: None, actor_org: None, at: self.clock.now(), action: "bounce", reason: &said };
        Ok(self.bounce(organisation, &change).await?.is_some())
    }

    async fn bounce(&self, organisation: OrgId, change: &Change<'_>) -> Result<Option<Contact>, HubError> {
        let mut writer = self.records.write().await?;
        let contact: Option<Contact> = writer.get(&Contact::id_of(organisation).to_string()).await?;
        let Some(contact) = contact.filter(|contact| contact.address.is_some()) else { return Ok(None) };
        let version = contact.version;
        let contact = Contact { bounced: Some(change.at), bounces: contact.bounces.saturating_add(1), version: version + 1, ..contact };
        writer.update(&contact, version, change, &[]).await?;
        writer.commit().await?;
        Ok(Some(contact))
    }

    /// The contacts that somebody has to look after, the most urgent first, and how many there are; of the actor's line, or all for the coordinator.
    /// `states` narrows it; without any it is every state but `verified`.
    pub async fn contact_queue(&self, actor: &Actor, states: &[ContactState], limit: usize) -> Result<(Vec<ContactView>, u64), HubError> {
        let sees = |organisation: &Organisation| actor.is_coordinator() || actor.reader.is_authority_of(organisation.constituency);
        if !matches!(actor.role, KeyRole::Coordinator | KeyRole::Authority) {
            return Err(HubError::Forbidden("only the coordinator and authorities look after contacts"));
        }
        let now = self.clock.now();
        let mut contacts: HashMap<OrgId, Contact> = self.records.all::<Contact>().await?.into_iter().map(|contact| (contact.organisation, contact)).collect();
        let snapshot = self.directory.snapshot();
        let mut queue: Vec<ContactView> = Vec::new();
        for organisation in snapshot.organisations().filter(|organisation| is_told(organisation) && sees(organisation)) {
            let view = match contacts.remove(&organisation.id) {
                Some(contact) => view(contact, actor, now),
                None => missing(organisation.id),
            };
            let wanted = if states.is_empty() { view.state != ContactState::Verified } else { states.contains(&view.state) };
            if wanted {
                queue.push(view);
            }
        }
        // Of what is equally urgent first what waits for the longest.
        queue.sort_by_key(|view| (view.state, view.bounced.or(view.due)));
        let total = queue.len() as u64;
        queue.truncate(limit);
        Ok((queue, total))
    }

    /// Whom to ask now: every contact that nobody verified, or not for half a year, to which mail goes through, and which was not asked lately nor
    /// [`MAX_ASKS`] times, of organisations that had not had too many such mails; those that were asked the least come first.
    pub async fn contacts_to_ask(&self) -> Result<Vec<ContactToAsk>, HubError> {
        let now = self.clock.now();
        let snapshot = self.directory.snapshot();
        let ask = |contact: Contact| {
            let state = ContactState::of(&contact, now);
            let is_open = matches!(state, ContactState::Unverified | ContactState::Due) && snapshot.by_id(contact.organisation).is_some_and(|of| is_told(of));
            let is_time = contact.asks < MAX_ASKS && contact.asked.is_none_or(|asked| now >= asked.plus(REMIND_AFTER)) && may_be_mailed(&contact, now);
            let Contact { organisation, address, token, asks, .. } = contact;
            address.filter(|_| is_open && is_time).map(|address| ContactToAsk { organisation, address, token, state, asks })
        };
        let mut found: Vec<ContactToAsk> = self.records.all::<Contact>().await?.into_iter().filter_map(ask).collect();
        found.sort_by_key(|contact| contact.asks);
        Ok(found)
    }

    /// Notes that a mail has asked a contact. Where another address was set or this one verified meanwhile, the mail was sent all the same: it counts for
    /// the organisation alone.
    pub(crate) async fn contact_asked(&self, asked: &ContactToAsk) -> Result<(), HubError> {
        let change = Change { actor_key: None, actor_org: None, at: self.clock.now(), action: "ask", reason: "" };
        let mut writer = self.records.write().await?;
        let contact: Option<Contact> = writer.get(&Contact::id_of(asked.organisation).to_string()).await?;
        let is_noted = |contact: &Contact| contact.token == asked.token && contact.asks != asked.asks;
        let Some(contact) = contact.filter(|contact| !is_noted(contact)) else { return Ok(()) };
        let version = contact.version;
        let mails = recent_mails(&contact, change.at, MAILS_KEPT).chain([change.at]).collect();
        let counts = contact.address.as_ref() == Some(&asked.address) && ContactState::of(&contact, change.at) != ContactState::Verified;
        let (at, asks) = if counts { (Some(change.at), contact.asks.saturating_add(1)) } else { (contact.asked, contact.asks) };
        let contact = Contact { asked: at, asks, mails, version: version + 1, ..contact };
        writer.update(&contact, version, &change, &[]).await?;
        writer.commit().await?;
        Ok(())
    }

    /// Notes that the mail server refused the mail that was to ask a contact; nothing where it is another one by now.
    pub(crate) async fn contact_refused(&self, asked: &ContactToAsk, said: &str) -> Result<(), HubError> {
        let contact: Option<Contact> = self.records.get(&Contact::id_of(asked.organisation).to_string()).await?;
        if contact.is_some_and(|contact| asked.is(&contact)) {
            self.contact_bounced(asked.organisation, said).await?;
        }
        Ok(())
    }
}

/// The mails of an organisation that asked within a time before now.
fn recent_mails(contact: &Contact, now: Timestamp, within: Duration) -> impl Iterator<Item = Timestamp> {
    contact.mails.iter().copied().filter(move |at| now < at.plus(within))
}

/// Whether one more mail may ask a contact of its organisation.
fn may_be_mailed(contact: &Contact, now: Timestamp) -> bool {
    recent_mails(contact, now, MAILS_KEPT).count() < MAX_MAILS && recent_mails(contact, now, DAY).count() < MAX_MAILS_A_DAY
}

/// What a link ends with that verifies a contact: whose it is, and its token. [`Members::confirm_contact`] takes it.
pub(crate) fn link_code(organisation: OrgId, token: &str) -> String {
    format!("{}-{}", organisation.0.simple(), token.strip_prefix(TOKEN_PREFIX).unwrap_or(token))
}

/// Whose contact a link means, and the token that it quotes.
fn parsed_link(code: &str) -> Option<(OrgId, String)> {
    let (organisation, digits) = code.split_once('-').filter(|(organisation, digits)| organisation.len() == DIGITS && digits.len() == DIGITS)?;
    Some((OrgId(uuid::Uuid::try_parse(organisation).ok()?), format!("{TOKEN_PREFIX}{digits}")))
}

/// A contact that was verified; the next reply quotes another token.
fn verified(contact: Contact, at: Timestamp) -> Contact {
    let version = contact.version + 1;
    Contact { verified: Some(at), bounced: None, bounces: 0, asked: None, asks: 0, token: token(), version, ..contact }
}

/// Whether an organisation is one that has to have a contact.
fn is_told(organisation: &Organisation) -> bool {
    organisation.standing != Standing::Revoked && !super::is_hub(organisation) && has_networks(organisation.kind)
}

const fn has_networks(kind: OrgKind) -> bool {
    match kind {
        OrgKind::Company | OrgKind::Agency | OrgKind::Authority | OrgKind::Cert | OrgKind::Vendor => true,
        OrgKind::Partner | OrgKind::Source => false,
    }
}

fn missing(organisation: OrgId) -> ContactView {
    let state = ContactState::Missing;
    ContactView { organisation, address: None, state, verified: None, due: None, bounced: None, bounces: 0, asked: None, asks: 0, token: None, version: 0 }
}

fn token() -> Text {
    Text::from(format!("{TOKEN_PREFIX}{}", uuid::Uuid::new_v4().simple()))
}

fn view(contact: Contact, actor: &Actor, now: Timestamp) -> ContactView {
    ContactView {
        organisation: contact.organisation,
        state: ContactState::of(&contact, now),
        address: contact.address,
        verified: contact.verified,
        due: contact.verified.map(|verified| verified.plus(VERIFIED_FOR)),
        bounced: contact.bounced,
        bounces: contact.bounces,
        asked: contact.asked,
        asks: contact.asks,
        token: actor.is_coordinator().then_some(contact.token),
        version: contact.version,
    }
}
