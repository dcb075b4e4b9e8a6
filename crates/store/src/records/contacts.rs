//! Where an organisation is told of abuse, as records; one each.
//!
//! Invariant: the address can be a person's; it is kept beside the content, in no history but as a hash, so that
//! [`Records::erase_addresses`] leaves no byte of it.

use super::{Change, Erasable, Parts, Record, Records, RecordsError};
use crate::ledger::Victim;
use model::ids::ContactId;
use model::{ObservableType, OrgId, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// Where an organisation is told of abuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its id: that of its organisation behind another prefix.
    pub id: ContactId,
    /// Whose it is.
    pub organisation: OrgId,
    /// The mail address in canonical form; `None` once erased.
    #[serde(skip)]
    pub address: Option<Text>,
    /// What a reply must quote to verify it.
    pub token: Text,
    /// When a reply verified it last.
    pub verified: Option<Timestamp>,
    /// When a mail to it came back last; `None`: none since it was set or verified.
    #[serde(default)]
    pub bounced: Option<Timestamp>,
    /// How many mails came back since then.
    #[serde(default)]
    pub bounces: u32,
    /// When a mail asked last whether somebody reads it; `None`: none has since it was set or verified.
    #[serde(default)]
    pub asked: Option<Timestamp>,
    /// How many mails asked since then.
    #[serde(default)]
    pub asks: u32,
    /// When mails asked a contact of the organisation lately, oldest first, whatever its address was then and whatever became of it.
    #[serde(default)]
    pub mails: Vec<Timestamp>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
}

impl Contact {
    /// The id of an organisation's contact.
    pub const fn id_of(organisation: OrgId) -> ContactId {
        ContactId(organisation.0)
    }
}

impl Record for Contact {
    const KIND: &'static str = "contact";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let contact: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { address: parts.erasable.map(|erasable| erasable.value), version: parts.version, ..contact })
    }

    fn owner(&self) -> Option<String> {
        Some(self.organisation.to_string())
    }

    fn state(&self) -> &'static str {
        match (self.bounced, self.verified) {
            (Some(_), _) => "bouncing",
            (None, Some(_)) => "verified",
            (None, None) => "unverified",
        }
    }

    fn erasable(&self) -> Option<Erasable> {
        self.address.clone().map(|value| Erasable { value, note: None })
    }
}

impl Addressed for Contact {
    fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn without_address(self) -> Self {
        let version = self.version + 1;
        Self { address: None, verified: None, bounced: None, bounces: 0, asked: None, asks: 0, version, ..self }
    }
}

/// A record with a mail address that may be a person's.
pub trait Addressed: Record {
    /// The address.
    fn address(&self) -> Option<&str>;

    /// The version that is in force.
    fn version(&self) -> u64;

    /// The next version, without the address and what was known of it.
    #[must_use]
    fn without_address(self) -> Self;
}

impl Records {
    /// Destroys the address of every record of a kind that is the victim's value; gives how many there were.
    ///
    /// # Errors
    /// [`RecordsError`]; then nothing is changed.
    pub async fn erase_addresses<R: Addressed>(&self, victim: &Victim, change: &Change<'_>) -> Result<u64, RecordsError> {
        let mut writer = self.write().await?;
        let all: Vec<R> = writer.all().await?;
        let mut changed = 0;
        for record in all.into_iter().filter(|record| record.address().is_some_and(|address| victim.is_value(ObservableType::Email, address))) {
            let version = record.version();
            writer.update(&record.without_address(), version, change, &[]).await?;
            changed += 1;
        }
        writer.commit().await?;
        Ok(changed)
    }
}
