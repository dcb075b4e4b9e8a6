//! Organisations, their keys' roles and their standing.
//!
//! Not here: storage and history (`store::records`), what a role may do (`policy`).

pub use crate::agreement::{Agreement, Redistribution, Sends};

use crate::event::word_enum;
use crate::{OrgId, OrgNo, Pap, Text, Timestamp, Tlp};
use serde::{Deserialize, Serialize};

word_enum! {
    /// What an organisation is.
    OrgKind: u8, "organisation kind" {
        /// A company.
        Company = 0 => "company",
        /// A public agency.
        Agency = 1 => "agency",
        /// An authority responsible for a constituency.
        Authority = 2 => "authority",
        /// The national CERT or a sector CERT.
        Cert = 3 => "cert",
        /// A vendor of products.
        Vendor = 4 => "vendor",
        /// A foreign CERT under an agreement.
        Partner = 5 => "partner",
        /// A feed that the hub collects. No member: it has no keys and counts nowhere.
        Source = 6 => "source",
    }
}

word_enum! {
    /// Which of the three lines an organisation belongs to.
    Constituency: u8, "constituency" {
        /// Companies.
        Private = 0 => "private",
        /// Government bodies.
        Public = 1 => "public",
        /// Armed forces.
        Defence = 2 => "defence",
    }
}

word_enum! {
    /// Standing by contribution.
    Standing: u8, "standing" {
        /// Receives everything its marking admits.
        Full = 0 => "full",
        /// Contribution below quota; a date is set.
        Warned = 1 => "warned",
        /// Receives clear data, warnings and its own findings only; still may submit.
        ReceiveLimited = 2 => "receive-limited",
        /// No longer a member.
        Revoked = 3 => "revoked",
    }
}

word_enum! {
    /// Who decided a standing.
    StandingBy: u8, "decider" {
        /// The written rule, carried out by the hub; also accreditation.
        Rule = 0 => "rule",
        /// An operator, whose decision holds until its date.
        Operator = 1 => "operator",
    }
}

word_enum! {
    /// What a key may do.
    KeyRole: u8, "role" {
        /// The hub's own duty desk: sees all, manages members.
        Coordinator = 0 => "coordinator",
        /// Acts for the authority of a constituency.
        Authority = 1 => "authority",
        /// Manages its own organisation's keys and registrations.
        MemberAdmin = 2 => "member-admin",
        /// Reads and submits.
        Analyst = 3 => "analyst",
        /// Submits only; reads its own receipts.
        Reporter = 4 => "reporter",
        /// Reads only.
        Reader = 5 => "reader",
        /// Reads status, histories and totals; no events.
        Auditor = 6 => "auditor",
    }
}

/// An organisation as policy and answers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// Its id.
    pub id: OrgId,
    /// Its small number in blocks.
    #[serde(skip_serializing)]
    pub number: OrgNo,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: OrgKind,
    /// Its line; partners and sources have none.
    pub constituency: Option<Constituency>,
    /// Its sector.
    pub sector: Option<Text>,
    /// Two-letter country code.
    pub country: Option<Text>,
    /// Ids of the groups it belongs to.
    pub groups: Vec<Text>,
    /// Its standing.
    pub standing: Standing,
    /// When the standing was decided; `None`: when it was added.
    #[serde(default)]
    pub standing_since: Option<Timestamp>,
    /// Why, in words.
    #[serde(default)]
    pub standing_reason: Option<Text>,
    /// The date of the decision: a warned member is limited from then; an operator's decision holds until then.
    #[serde(default)]
    pub standing_review: Option<Timestamp>,
    /// Who decided it.
    #[serde(default = "by_rule")]
    pub standing_by: StandingBy,
    /// Whether the rule applies to it, where its kind is bound to share.
    #[serde(default = "rule_applies")]
    pub standing_rule: bool,
    /// Organisations it may act for.
    pub acts_for: Vec<OrgId>,
    /// A partner's agreement.
    pub agreement: Option<Agreement>,
    /// How widely what it reports may be passed on; `None`: as the marking says.
    #[serde(default)]
    pub licence: Option<Redistribution>,
    /// Default marking of its events.
    pub default_tlp: Tlp,
    /// Default permissible actions of its events.
    pub default_pap: Pap,
    /// Whether it is shown as reporter by default.
    pub named: bool,
    /// Events per day it may send; `None`: no quota.
    pub quota_per_day: Option<u64>,
    /// Version for lost-update checks; starts at 1.
    pub version: u64,
    /// When it was added.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// Records written before the rule was carried out say nothing of it.
const fn by_rule() -> StandingBy {
    StandingBy::Rule
}

/// As [`by_rule`].
const fn rule_applies() -> bool {
    true
}
