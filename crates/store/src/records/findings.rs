//! What people decided on findings, as records; one is there once somebody took a step.
//!
//! Invariant: no value and no fact of an event is in it: those are the view's (`crate::views::owners`), which the answer merges it with.

use super::{Parts, Record};
use model::ids::FindingId;
use model::{FindingState, OrgId, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// What people decided on a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// Its id, made of the owner, the value's key and the category.
    pub id: FindingId,
    /// Whose it is.
    pub organisation: OrgId,
    /// As people set it.
    pub state: FindingState,
    /// When they did.
    pub set: Timestamp,
    /// Until when a risk is accepted.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Seconds from the first time the owner was told to the first time it was fixed.
    #[serde(default)]
    pub fix_seconds: Option<u64>,
    /// Why, in the words of the last step.
    #[serde(default)]
    pub reason: Option<Text>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
}

impl Record for FindingRecord {
    const KIND: &'static str = "finding";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let finding: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { version: parts.version, ..finding })
    }

    fn owner(&self) -> Option<String> {
        Some(self.organisation.to_string())
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }
}
