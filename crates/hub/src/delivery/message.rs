//! One message to one subscriber, whole: what every channel renders in its own way.
//!
//! Flow: `sending` stores it before the first attempt → `mail` and `webhook` render it → a retry renders the same bytes.
//! Invariant: whether its organisation may see what is in it was asked when it was made; its id never changes, so that a receiver that gets it
//! twice knows it by that.
//! Not here: when it is made and what goes into it (`queue`), how it looks (`render`).

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands for a subscription in digests to abuse contacts of those who are no members; a subscription's id never looks like it.
pub(super) const ABUSE_LIST: &str = "abuse-contacts";

/// In which order messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Warnings, and the hub's own words to a subscriber: before everything else, by a task of their own.
    Warning,
    /// Events and findings.
    Ordinary,
}

impl Lane {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Ordinary => "ordinary",
        }
    }

    /// The number kept in the file.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Warning => 0,
            Self::Ordinary => 1,
        }
    }
}

/// In which language a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Korean.
    Ko,
    /// English.
    En,
}

impl Language {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// The language that a wire word names.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "ko" => Some(Self::Ko),
            "en" => Some(Self::En),
            _ => None,
        }
    }
}

/// The hub's own words to a subscriber, in a message that carries nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Notice {
    /// Whoever reads the address is to give this code to the hub.
    Confirm {
        /// The code.
        code: String,
        /// Until when it is taken.
        until: Timestamp,
    },
    /// Whoever reads an organisation's contact is to say so. It is mailed and kept in no inbox.
    Contact {
        /// Where to say so; `None` where the hub's address is not configured.
        link: Option<String>,
        /// What a reply must quote.
        token: String,
    },
    /// The subscriber asked for a message, to see that one arrives.
    Test,
    /// A subscription's receiver did not take anything for too long; sending waits until somebody resumes it.
    Parked {
        /// What the receiver said last.
        error: String,
    },
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Stable: a UUID, fixed and stored before the first attempt.
    pub id: String,
    /// In which order it is sent.
    pub lane: Lane,
    /// Name of the realm.
    pub realm: String,
    /// Id of the subscription, `sub_…`.
    pub subscription: String,
    /// The subscriber's name for it.
    pub name: String,
    /// Name of the organisation.
    pub organisation: String,
    /// In which language it is written.
    pub language: Language,
    /// When it was made.
    pub made: Timestamp,
    /// Events, as the live stream gives them to this organisation.
    pub events: Vec<Value>,
    /// Findings, as `GET /api/v1/findings` gives them to this organisation.
    pub findings: Vec<Value>,
    /// What was delivered before and no longer stands: `{"seq" | "finding", "at"}`.
    pub withdrawn: Vec<Value>,
    /// How many more had matched and are in no message; a search finds them.
    pub left_out: u64,
    /// The hub's own words; then it carries nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

impl Message {
    /// Whether it goes to an abuse contact, who knows nothing of the hub.
    pub(super) fn is_to_outsider(&self) -> bool {
        self.subscription == ABUSE_LIST
    }

    /// Whether nothing is in it that is worth sending; what was left out is told with the next that is.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.findings.is_empty() && self.withdrawn.is_empty() && self.notice.is_none()
    }
}
