//! Claims that a value is a false positive, as records.
//!
//! Invariant: the value and the claimant's note can be a person's data; they are kept beside the content, in no history but as a hash, so
//! that [`Records::erase_claims`] leaves no byte of them.

use super::{Change, Erasable, Parts, Record, Records, RecordsError};
use crate::ledger::Victim;
use model::ids::ClaimId;
use model::{ObservableType, OrgId, OrgNo, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// What became of a claim. `Upheld` and `Rejected` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimState {
    /// Waits for an analyst.
    Open,
    /// The value is a false positive.
    Upheld,
    /// It is not.
    Rejected,
}

impl ClaimState {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Upheld => "upheld",
            Self::Rejected => "rejected",
        }
    }

    /// The only place a claim changes state; `None` means that it was decided before.
    pub const fn decided(self, upheld: bool) -> Option<Self> {
        match (self, upheld) {
            (Self::Open, true) => Some(Self::Upheld),
            (Self::Open, false) => Some(Self::Rejected),
            (Self::Upheld | Self::Rejected, _) => None,
        }
    }
}

/// A claim that a value is a false positive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// The value in canonical form; `None` once erased.
    #[serde(skip)]
    pub value: Option<Text>,
    /// Why, in the claimant's words.
    #[serde(skip)]
    pub note: Option<Text>,
    /// Who claims.
    pub claimant: OrgId,
    /// Who sent the value.
    pub senders: Vec<OrgNo>,
    /// Whether the claimant knows the value from red events alone.
    pub red: bool,
    /// What became of it.
    pub state: ClaimState,
    /// Until when it is to be decided.
    pub due: Timestamp,
    /// When it was decided.
    pub decided: Option<Timestamp>,
    /// Why it was decided so.
    pub reason: Option<Text>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was opened.
    #[serde(skip)]
    pub created: Timestamp,
}

impl Record for Claim {
    const KIND: &'static str = "claim";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let claim: Self = serde_json::from_str(&parts.content)?;
        let (value, note) = parts.erasable.map_or((None, None), |erasable| (Some(erasable.value), erasable.note));
        Ok(Self { value, note, version: parts.version, created: parts.created, ..claim })
    }

    fn owner(&self) -> Option<String> {
        Some(self.claimant.to_string())
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn erasable(&self) -> Option<Erasable> {
        self.value.clone().map(|value| Erasable { value, note: self.note.clone() })
    }
}

impl Records {
    /// Destroys value and note of every claim about the victim's value, and every other note that mentions it; gives how many claims changed.
    pub async fn erase_claims(&self, victim: &Victim, change: &Change<'_>) -> Result<u64, RecordsError> {
        let mut writer = self.write().await?;
        let claims: Vec<Claim> = writer.all().await?;
        let mut changed = 0;
        for claim in claims {
            let about_it = claim.value.as_deref().is_some_and(|value| victim.is_value(claim.kind, value));
            let value = claim.value.clone().filter(|_| !about_it);
            let note = claim.note.clone().filter(|note| !about_it && !victim.is_in(note));
            if value == claim.value && note == claim.note {
                continue;
            }
            let version = claim.version;
            writer.update(&Claim { value, note, version: version + 1, ..claim }, version, change, &[]).await?;
            changed += 1;
        }
        writer.commit().await?;
        Ok(changed)
    }
}
