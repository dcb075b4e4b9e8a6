//! Registered networks, domains and AS numbers, as records.

use super::{Parts, Record};
use model::ids::NetworkId;
use model::{OrgId, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// What is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// An address range.
    Cidr,
    /// A domain with everything below it.
    Domain,
    /// An AS number.
    Asn,
}

impl NetworkKind {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cidr => "cidr",
            Self::Domain => "domain",
            Self::Asn => "asn",
        }
    }
}

/// Life of a registration. `Removed` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkState {
    /// Asked for; counts for nothing yet.
    Pending,
    /// Counts.
    Approved,
    /// No longer registered.
    Removed,
}

impl NetworkState {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Removed => "removed",
        }
    }

    /// After approval; `None` where it is not legal.
    pub const fn approved(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Approved),
            Self::Approved | Self::Removed => None,
        }
    }

    /// After removal; `None` where it is not legal.
    pub const fn removed(self) -> Option<Self> {
        match self {
            Self::Pending | Self::Approved => Some(Self::Removed),
            Self::Removed => None,
        }
    }
}

/// A registered network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Whose it is.
    pub organisation: OrgId,
    /// What is registered.
    pub kind: NetworkKind,
    /// Canonical, as `model::canonical` gives it: a range with host bits cleared, a lower-case A-label domain, a bare AS number.
    pub value: Text,
    /// Whether a system in it may not be touched: seen by owner, authority and coordinator only.
    pub protected: bool,
    /// Whether it counts.
    pub state: NetworkState,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was asked for.
    #[serde(skip)]
    pub created: Timestamp,
    /// When it was changed last.
    #[serde(skip)]
    pub updated: Timestamp,
}

impl Record for Network {
    const KIND: &'static str = "network";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let network: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { version: parts.version, created: parts.created, updated: parts.updated, ..network })
    }

    fn owner(&self) -> Option<String> {
        Some(self.organisation.to_string())
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn unique_name(&self) -> Option<String> {
        // Once per organisation while it is registered; two organisations may share a range.
        (self.state != NetworkState::Removed).then(|| format!("{} {} {}", self.organisation, self.kind.as_str(), self.value))
    }
}
