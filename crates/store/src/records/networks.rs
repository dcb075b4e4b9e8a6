//! Registered networks, domains, AS numbers and places on the web, as records.
//!
//! Invariant: a registration counts where it is approved *and* proven; the first is the hub's word, the second the network's own.

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
    /// A place on the web with everything below it: scheme, host and the beginning of a path.
    Url,
}

impl NetworkKind {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cidr => "cidr",
            Self::Domain => "domain",
            Self::Asn => "asn",
            Self::Url => "url",
        }
    }
}

/// Life of a registration. `Rejected` and `Withdrawn` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkState {
    /// Asked for; counts for nothing yet.
    Pending,
    /// The hub agrees; counts once it is proven.
    Approved,
    /// The hub does not agree.
    Rejected,
    /// No longer registered.
    #[serde(alias = "removed")]
    Withdrawn,
}

impl NetworkState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Pending, Self::Approved, Self::Rejected, Self::Withdrawn];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state that a wire word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == word)
    }

    /// Whether it is neither rejected nor withdrawn.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Approved => true,
            Self::Rejected | Self::Withdrawn => false,
        }
    }

    /// After approval; `None` where it is not legal.
    pub const fn approved(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Approved),
            Self::Approved | Self::Rejected | Self::Withdrawn => None,
        }
    }

    /// After rejection; `None` where it is not legal.
    pub const fn rejected(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Rejected),
            Self::Approved | Self::Rejected | Self::Withdrawn => None,
        }
    }

    /// After withdrawal; `None` where it is not legal.
    pub const fn withdrawn(self) -> Option<Self> {
        match self {
            Self::Pending | Self::Approved => Some(Self::Withdrawn),
            Self::Rejected | Self::Withdrawn => None,
        }
    }
}

/// How ownership was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofMethod {
    /// The challenge stands in the domain's DNS.
    DnsTxt,
    /// A reply from the registered abuse address quotes the challenge.
    AbuseMail,
    /// The hub's operator knows by other means.
    Operator,
}

impl ProofMethod {
    /// Every method.
    pub const ALL: &'static [Self] = &[Self::DnsTxt, Self::AbuseMail, Self::Operator];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsTxt => "dns-txt",
            Self::AbuseMail => "abuse-mail",
            Self::Operator => "operator",
        }
    }

    /// The method that a wire word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.as_str() == word)
    }
}

/// That ownership was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// How.
    pub method: ProofMethod,
    /// When it was confirmed.
    pub at: Timestamp,
}

/// What a look into DNS found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// The challenge.
    Found,
    /// No text.
    Absent,
    /// Other texts.
    Other,
    /// No answer.
    Unreachable,
}

/// That the hub looked for the challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofCheck {
    /// When.
    pub at: Timestamp,
    /// What it found.
    pub found: CheckResult,
}

/// On whose side a registration was decided on. Whose key it was the history alone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// The coordination centre.
    Coordinator,
    /// The authority of the organisation's constituency.
    Authority,
    /// The organisation itself.
    Organisation,
}

/// The last decision on a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// On whose side.
    pub by: DecidedBy,
    /// When.
    pub at: Timestamp,
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
    /// Whether the hub agrees.
    pub state: NetworkState,
    /// That it is the organisation's; `None` while it is only claimed.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// What is to stand in the domain's DNS, or to be quoted in a reply.
    #[serde(default)]
    pub challenge: Option<Text>,
    /// When the hub looked for it last.
    #[serde(default)]
    pub check: Option<ProofCheck>,
    /// That it was approved, rejected or withdrawn; `None` while nobody decided, and where it was decided before this was kept.
    #[serde(default)]
    pub decided: Option<Decision>,
    /// Registrations of others that it overlapped when it was asked for or approved.
    #[serde(default)]
    pub conflicts: Vec<NetworkId>,
    /// Why, in the words of the last step.
    #[serde(default)]
    pub reason: Option<Text>,
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

impl Network {
    /// Whether events are matched with it: approved and proven.
    pub fn counts(&self) -> bool {
        self.state == NetworkState::Approved && self.proof.is_some()
    }
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
        self.state.is_open().then(|| format!("{} {} {}", self.organisation, self.kind.as_str(), self.value))
    }
}
