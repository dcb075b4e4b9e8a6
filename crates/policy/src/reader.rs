//! The facts about a reader that decide what it may see.

use model::organisation::Agreement;
use model::{Constituency, KeyRole, OrgKind, OrgNo, Organisation, Standing, Text, Timestamp, Tlp};

/// One key's holder at the time of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its organisation's number.
    pub org: OrgNo,
    /// What the organisation is.
    pub kind: OrgKind,
    /// The line it belongs to.
    pub constituency: Option<Constituency>,
    /// Ids under which an audience can name it: its own id, its sector, its groups.
    pub audience_ids: Vec<Text>,
    /// Standing by contribution.
    pub standing: Standing,
    /// The strictest marking its agreement covers today; `None` for members and for partners without a valid agreement.
    pub agreement: Option<Tlp>,
    /// What the key may do.
    pub role: KeyRole,
    /// Whether the key is a person's flagged for red.
    pub red: bool,
}

impl Reader {
    /// The reader that a key of `organisation` is at `now`.
    pub fn new(organisation: &Organisation, role: KeyRole, red: bool, now: Timestamp) -> Self {
        let mut audience_ids = vec![Text::from(organisation.id.to_string())];
        audience_ids.extend(organisation.sector.clone());
        audience_ids.extend(organisation.groups.iter().cloned());
        Self {
            org: organisation.number,
            kind: organisation.kind,
            constituency: organisation.constituency,
            audience_ids,
            standing: organisation.standing,
            agreement: organisation.agreement.as_ref().filter(|agreement| valid(agreement, now)).map(|agreement| agreement.max_tlp),
            role,
            red,
        }
    }

    /// Whether the key belongs to the hub's own duty desk.
    pub fn is_coordinator(&self) -> bool {
        self.role == KeyRole::Coordinator
    }

    /// Whether the key acts for the authority of `constituency`.
    pub fn is_authority_of(&self, constituency: Option<Constituency>) -> bool {
        self.role == KeyRole::Authority && self.kind == OrgKind::Authority && constituency.is_some() && self.constituency == constituency
    }

    /// Whether this role reads events at all: reporters only submit, auditors read totals and histories.
    pub fn reads_events(&self) -> bool {
        match self.role {
            KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reader => true,
            KeyRole::Reporter | KeyRole::Auditor => false,
        }
    }
}

fn valid(agreement: &Agreement, now: Timestamp) -> bool {
    agreement.expires.is_none_or(|expires| now < expires)
}
