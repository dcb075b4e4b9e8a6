//! Contacts are asked by mail whether somebody reads them: once they are set, and again every half-year.
//!
//! Flow: [`crate::members::Members::contacts_to_ask`] → one mail with a link and what a reply must quote → noted with the contact, where the queue
//! shows it → a week later a reminder, up to [`crate::members::MAX_ASKS`] mails in all → the duty desk.
//! Invariant: where the hub sends no mail nobody is asked. A mail is noted once the server has it; what is tried again, or was not noted, is the same
//! mail with the same Message-ID. An address that the server refuses is bouncing, which is in the queue, too.
//! Not here: whom to ask and what the link does (`members::contacts`), the page behind it (`web::pages::contact`), addresses of subscriptions
//! (`confirming`).

use super::mail::{Mailer, Recipient};
use super::message::{Lane, Language, Message, Notice};
use super::rhythm;
use super::webhook::SendError;
use crate::members::{ContactState, ContactToAsk, link_code};
use crate::{Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::{OrgId, Organisation, Timestamp};
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked whom to ask.
const ROUND: Duration = Duration::from_secs(10);
/// Mails of one look, so that those who moved in together are not asked all at once.
const MAX_A_ROUND: usize = 20;
/// How long a contact that was set stands before it is asked: whoever set it may have the reply already.
const SETTLED: Duration = Duration::from_secs(20);
/// Wait where an organisation has had enough mail for today, or a server takes a mail too often not.
const LATER: Duration = Duration::from_secs(6 * 3_600);
/// What stands for a subscription in mails to contacts.
const LIST: &str = "contacts";

/// What is known of a mail that is to be sent.
#[derive(Debug)]
pub(super) struct Asking {
    contact: ContactToAsk,
    /// When it was come upon, which is when the mail was made.
    since: Timestamp,
    /// Not before.
    next: Timestamp,
    attempts: u32,
    /// The server has it; it is to be noted still.
    taken: bool,
}

impl Asking {
    fn new(contact: &ContactToAsk, now: Timestamp) -> Self {
        let is_new = contact.state == ContactState::Unverified && contact.asks == 0;
        Self { contact: contact.clone(), since: now, next: if is_new { now.plus(SETTLED) } else { now }, attempts: 0, taken: false }
    }
}

/// Asks contacts until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if hub.delivery.mailer.is_none() {
                return;
            }
            if let Err(error) = hub.ask_contacts(&stopping).await {
                tracing::warn!(%error, "contacts wait to be asked");
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

impl Hub {
    /// Asks those whose time has come.
    pub(super) async fn ask_contacts(&self, stopping: &watch::Receiver<bool>) -> Result<(), HubError> {
        let Some(mailer) = &self.delivery.mailer else { return Ok(()) };
        let mut known = self.delivery.asking.lock().await;
        let to_ask = self.members().contacts_to_ask().await?;
        forget_others(&mut known, &to_ask);
        let mut mails = 0;
        for contact in &to_ask {
            let now = self.clock().now();
            let asking = known.entry(contact.organisation).or_insert_with(|| Asking::new(contact, now));
            if asking.contact != *contact {
                *asking = Asking::new(contact, now);
            }
            if now < asking.next {
                continue;
            }
            if mails >= MAX_A_ROUND || *stopping.borrow() {
                return Ok(());
            }
            if !asking.taken {
                // Addresses are not proven to be anybody's, and an organisation may set another one every minute.
                if asking.attempts == 0 && self.may_send_code(contact.organisation).is_err() {
                    asking.next = now.plus(LATER);
                    continue;
                }
                mails += 1;
                match self.ask_contact(mailer, asking).await {
                    Ok(()) => {}
                    Err(SendError::Never(said)) => {
                        self.members().contact_refused(contact, &said).await?;
                        continue;
                    }
                    Err(SendError::Later(said) | SendError::Refused(said)) => {
                        asking.attempts = asking.attempts.saturating_add(1);
                        asking.next = now.plus(rhythm::backoff(asking.attempts, u64::from(asking.attempts)).unwrap_or(LATER));
                        tracing::warn!(organisation = %contact.organisation, error = %said, "a contact was not asked; tried again");
                        // The server may take none now.
                        return Ok(());
                    }
                }
                asking.taken = true;
            }
            self.members().contact_asked(contact).await?;
        }
        Ok(())
    }

    /// Sends one contact its mail.
    async fn ask_contact(&self, mailer: &Mailer, asking: &Asking) -> Result<(), SendError> {
        let contact = &asking.contact;
        let Some(organisation) = self.directory().by_id(contact.organisation) else {
            return Err(SendError::Later("the organisation is not known now".to_owned()));
        };
        let recipient = Recipient { address: contact.address.to_string(), openpgp: None };
        mailer.send(&self.asking_message(contact, &organisation, asking.since), &recipient).await?;
        metrics::counter!("bongsu_contacts_asked_total").increment(1);
        Ok(())
    }

    fn asking_message(&self, contact: &ContactToAsk, organisation: &Organisation, made: Timestamp) -> Message {
        let site = self.options.mail.as_ref().and_then(|mail| mail.link.as_deref());
        let link = site.map(|site| format!("{}/contacts/confirm/{}", site.trim_end_matches('/'), link_code(contact.organisation, &contact.token)));
        let is_at_home = organisation.country.as_deref().is_none_or(|country| country.eq_ignore_ascii_case("KR"));
        Message {
            id: self.asking_id(contact),
            lane: Lane::Warning,
            realm: self.options.realm.clone(),
            subscription: LIST.to_owned(),
            name: organisation.name.clone(),
            organisation: organisation.name.clone(),
            language: if is_at_home { Language::Ko } else { Language::En },
            made,
            events: Vec::new(),
            findings: Vec::new(),
            withdrawn: Vec::new(),
            left_out: 0,
            notice: Some(Notice::Contact { link, token: contact.token.to_string() }),
        }
    }

    /// The id of a mail: the same whenever it is tried, another one for each reminder.
    fn asking_id(&self, contact: &ContactToAsk) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.delivery.secret);
        hasher.update(b"contact");
        hasher.update(contact.organisation.0.as_bytes());
        hasher.update(contact.token.as_bytes());
        hasher.update(&contact.asks.to_le_bytes());
        let bytes: [u8; 16] = hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// Forgets who is not to be asked any more.
fn forget_others(known: &mut HashMap<OrgId, Asking>, to_ask: &[ContactToAsk]) {
    let asked: HashSet<OrgId> = to_ask.iter().map(|contact| contact.organisation).collect();
    known.retain(|organisation, _| asked.contains(organisation));
}
