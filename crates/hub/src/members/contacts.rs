//! Where an organisation is told of abuse: one mail address each, verified by a reply and again every half-year.
//!
//! Flow: [`Members::set_contact`] makes a token → it is sent to the address → whoever quotes it, or the coordinator who has the reply,
//! verifies it by [`Members::verify_contact`].
//! Invariant: another address is not verified by what was said of the one before.
//! Not here: sending mail.

use super::{Members, coordinator_only, invalid, may_administer};
use crate::{Actor, HubError};
use model::canonical::canonical;
use model::{KeyRole, ObservableType, OrgId, Text, Timestamp};
use serde::Serialize;
use std::time::Duration;
use store::records::Contact;
use subtle::ConstantTimeEq;

/// How long a verification holds.
const VERIFIED_FOR: Duration = Duration::from_secs(182 * 86_400);

/// A contact for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContactView {
    /// Whose it is.
    pub organisation: OrgId,
    /// The mail address; absent once erased.
    pub address: Option<Text>,
    /// `unverified`, `verified`, or `due` where the half-year is over.
    pub state: &'static str,
    /// When it was verified last.
    pub verified: Option<Timestamp>,
    /// Until when that holds.
    pub due: Option<Timestamp>,
    /// What a reply must quote, for the coordinator who asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Text>,
    /// Version, starting at 1.
    pub version: u64,
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

    /// Sets an organisation's contact; it is to be verified anew where the address is another.
    pub async fn set_contact(&self, actor: &Actor, organisation: OrgId, address: &str) -> Result<ContactView, HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        let address = canonical(ObservableType::Email, address).map_err(|error| invalid("/address", error.to_string()))?;
        let change = self.noted(actor, "set", "");
        let id = Contact::id_of(organisation.id);
        let mut writer = self.records.write().await?;
        let before: Option<Contact> = writer.get(&id.to_string()).await?;
        let verified = before.as_ref().filter(|before| before.address.as_ref() == Some(&address)).and_then(|before| before.verified);
        let version = before.as_ref().map_or(0, |before| before.version);
        let contact = Contact { id, organisation: organisation.id, address: Some(address), token: token(), verified, version: version + 1 };
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
        // The next reply quotes another one.
        let contact = Contact { verified: Some(change.at), token: token(), version: version + 1, ..contact };
        writer.update(&contact, version, &change, &[]).await?;
        writer.commit().await?;
        Ok(view(contact, actor, change.at))
    }
}

fn token() -> Text {
    Text::from(format!("bongsu-contact-{}", uuid::Uuid::new_v4().simple()))
}

fn view(contact: Contact, actor: &Actor, now: Timestamp) -> ContactView {
    let due = contact.verified.map(|verified| verified.plus(VERIFIED_FOR));
    ContactView {
        organisation: contact.organisation,
        address: contact.address,
        state: match due {
            None => "unverified",
            Some(due) if now >= due => "due",
            Some(_) => "verified",
        },
        verified: contact.verified,
        due,
        token: actor.is_coordinator().then_some(contact.token),
        version: contact.version,
    }
}
