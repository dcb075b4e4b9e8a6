//! Whom to tell of what belongs to no member: addresses for abuse of ranges, AS numbers and domains, as records.
//!
//! Invariant: one for each place, under an id made of the place, so that a table imported twice changes nothing. The address can be a person's
//! ([`Addressed`]).

use super::addressed::{self, Addressed};
use super::{Erasable, NetworkKind, Parts, Record};
use model::ids::AbuseContactId;
use model::{Text, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whom to tell of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbuseContact {
    /// Its id, made of kind and value.
    pub id: AbuseContactId,
    /// What kind of place.
    pub kind: NetworkKind,
    /// The place in canonical form.
    pub value: Text,
    /// The mail address in canonical form; `None` where it was taken away or erased.
    #[serde(skip)]
    pub address: Option<Text>,
    /// Where it is from, in the words of who imported it.
    pub source: Text,
    /// When a mail server refused mail to the address for good; `None`: it has not, since the address was set.
    #[serde(default)]
    pub refused: Option<Timestamp>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was changed last.
    #[serde(skip)]
    pub updated: Timestamp,
}

impl AbuseContact {
    /// The id of a place's contact.
    pub fn id_of(kind: NetworkKind, value: &str) -> AbuseContactId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"abuse contact");
        hasher.update(kind.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(value.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
        AbuseContactId(Uuid::from_bytes(half))
    }
}

impl Record for AbuseContact {
    const KIND: &'static str = "abuse-contact";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let contact: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { address: addressed::address(parts.erasable), version: parts.version, updated: parts.updated, ..contact })
    }

    fn state(&self) -> &'static str {
        if self.address.is_some() { "active" } else { "gone" }
    }

    fn erasable(&self) -> Option<Erasable> {
        addressed::erasable(self)
    }
}

impl Addressed for AbuseContact {
    fn address(&self) -> Option<&Text> {
        self.address.as_ref()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn without_address(self) -> Self {
        let version = self.version + 1;
        Self { address: None, refused: None, version, ..self }
    }
}
