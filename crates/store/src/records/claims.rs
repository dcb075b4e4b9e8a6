//! Claims that a value is a false positive, as records.
//!
//! Invariant: the value and the claimant's note can be a person's data; they are kept beside the content, in no history, so that
//! [`Records::erase_claims`] leaves no byte of them.

use super::{Parts, Record, Records, RecordsError};
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

/// The part of a claim that is in no history.
#[derive(Serialize, Deserialize)]
struct Erasable {
    value: Text,
    note: Option<Text>,
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
        let erasable: Option<Erasable> = parts.erasable.as_deref().map(serde_json::from_str).transpose()?;
        let (value, note) = erasable.map_or((None, None), |erasable| (Some(erasable.value), erasable.note));
        Ok(Self { value, note, version: parts.version, created: parts.created, ..claim })
    }

    fn owner(&self) -> Option<String> {
        Some(self.claimant.to_string())
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn erasable(&self) -> Option<String> {
        let value = self.value.clone()?;
        serde_json::to_string(&Erasable { value, note: self.note.clone() }).ok()
    }
}

impl Records {
    /// Destroys the value and note of every claim about this value, in the file and its log; gives how many there were.
    pub async fn erase_claims(&self, kind: ObservableType, value: &str) -> Result<u64, RecordsError> {
        let mut writer = self.write().await?;
        let claims: Vec<Claim> = writer.all().await?;
        let mut erased = 0;
        for claim in claims.iter().filter(|claim| claim.kind == kind && claim.value.as_deref() == Some(value)) {
            sqlx::query("UPDATE record SET erasable = NULL WHERE id = $1").bind(claim.id.to_string()).execute(writer.connection()).await?;
            erased += 1;
        }
        writer.commit().await?;
        self.checkpoint().await?;
        Ok(erased)
    }
}
