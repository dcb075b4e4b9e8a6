//! Erasures of a value, as records: asked for by one person on a legal basis, confirmed by another.
//!
//! Invariant: the value is kept beside the content, in no history but as a hash, and only until the erasure is done or rejected.

use super::{Erasable, Parts, Record};
use model::ids::ErasureId;
use model::{KeyId, ObservableType, OrgId, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// How far an erasure is. `Done` and `Rejected` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasureState {
    /// Waits for a second person.
    Requested,
    /// Is being carried out; taken up again where it was interrupted.
    Confirmed,
    /// The value is destroyed.
    Done,
    /// Nothing was destroyed.
    Rejected,
}

impl ErasureState {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Confirmed => "confirmed",
            Self::Done => "done",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the value is still there.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Confirmed)
    }
}

/// A person who asks or confirms, by the key that the person holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatory {
    /// The key.
    pub key: KeyId,
    /// Its organisation.
    pub organisation: OrgId,
}

/// The destruction of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// The value in canonical form, while it is to be destroyed.
    #[serde(skip)]
    pub value: Option<Text>,
    /// The legal basis.
    pub basis: Text,
    /// How far it is.
    pub state: ErasureState,
    /// Who asked.
    pub requested_by: Signatory,
    /// Who confirmed, another than who asked.
    pub confirmed_by: Option<Signatory>,
    /// When it was confirmed.
    pub confirmed: Option<Timestamp>,
    /// When it was done or rejected.
    pub ended: Option<Timestamp>,
    /// Why it was confirmed or rejected.
    pub reason: Option<Text>,
    /// Entries of the vault that were destroyed.
    pub entries: u64,
    /// Positions of the history's rows out of which words were taken because they held the value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<i64>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was asked for.
    #[serde(skip)]
    pub created: Timestamp,
}

impl Record for Erasure {
    const KIND: &'static str = "erasure";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let erasure: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { value: parts.erasable.map(|erasable| erasable.value), version: parts.version, created: parts.created, ..erasure })
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn erasable(&self) -> Option<Erasable> {
        self.value.clone().map(|value| Erasable { value, note: None })
    }
}
