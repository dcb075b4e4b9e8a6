//! Where an organisation is told of abuse, as records; one each.
//!
//! Invariant: the address can be a person's ([`Addressed`]).

use super::addressed::{self, Addressed};
use super::{Erasable, Parts, Record};
use model::ids::ContactId;
use model::{OrgId, Text, Timestamp};
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
        Ok(Self { address: addressed::address(parts.erasable), version: parts.version, ..contact })
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
        addressed::erasable(self)
    }
}

impl Addressed for Contact {
    fn address(&self) -> Option<&Text> {
        self.address.as_ref()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn without_address(self) -> Self {
        let version = self.version + 1;
        Self { address: None, verified: None, bounced: None, bounces: 0, asked: None, asks: 0, version, ..self }
    }
}
