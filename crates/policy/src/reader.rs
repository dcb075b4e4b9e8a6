//! The facts about a reader that decide what it may see.

use crate::distribution::MEMBERS;
use model::agreement::Agreement;
use model::{Constituency, KeyRole, OrgKind, OrgNo, Organisation, Standing, Text, Timestamp};

/// One key's holder at the time of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its organisation's number.
    pub org: OrgNo,
    /// What the organisation is.
    pub kind: OrgKind,
    /// The line it belongs to.
    pub constituency: Option<Constituency>,
    /// Ids under which an audience can name it: its own id, its sector, its groups; [`MEMBERS`] but for partners.
    pub audience_ids: Vec<Text>,
    /// Standing by contribution.
    pub standing: Standing,
    /// The agreement that holds today; `None` for members and for partners without one.
    pub agreement: Option<Agreement>,
    /// What the key may do.
    pub role: KeyRole,
    /// Whether the key is a person's flagged for red.
    pub red: bool,
}

impl Reader {
    /// The reader that a key of `organisation` is at `now`.
    pub fn new(organisation: &Organisation, role: KeyRole, red: bool, now: Timestamp) -> Self {
        Self {
            org: organisation.number,
            kind: organisation.kind,
            constituency: organisation.constituency,
            audience_ids: audience_ids(organisation),
            standing: organisation.standing,
            agreement: organisation.agreement.as_ref().filter(|agreement| agreement.holds(now)).cloned(),
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

/// Ids under which an audience can name an organisation: its own, its sector, its groups; and all members at once, of which partners are none.
pub fn audience_ids(organisation: &Organisation) -> Vec<Text> {
    let mut ids = vec![Text::from(organisation.id.to_string())];
    ids.extend(organisation.sector.clone());
    ids.extend(organisation.groups.iter().cloned());
    if organisation.kind != OrgKind::Partner {
        ids.push(Text::from(MEMBERS));
    }
    ids
}
