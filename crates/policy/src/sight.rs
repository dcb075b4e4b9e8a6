//! The law of sight: what a reader sees of an item.
//!
//! Invariant: a stricter marking or an added audience never shows more.

use crate::Reader;
use model::{Constituency, OrgKind, OrgNo, Pap, Standing, Text, Tlp};

/// What decides who sees an event, an aggregate row or a deliberate record.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Who reported it.
    pub reporter: OrgNo,
    /// The line of the reporter, whose authority sees everything.
    pub reporter_constituency: Option<Constituency>,
    /// Its marking.
    pub tlp: Tlp,
    /// Ids that narrow who receives it; empty: no narrowing.
    pub audience: &'a [Text],
    /// Whether it is of category `test`.
    pub test: bool,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Whether its audience permits that the reporter is shown inside it, as [`groups_permit_naming`] finds.
    pub group_leave: bool,
}

/// Whether an audience is made of groups alone and each of them permits its members to be named to one another. No audience permits nothing.
pub fn groups_permit_naming(audience: &[Text], permits: impl Fn(&Text) -> bool) -> bool {
    !audience.is_empty() && audience.iter().all(permits)
}

/// How much of an item a reader sees. Ordered: a later variant shows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// Nothing, not even that it exists.
    Hidden,
    /// Only what concerns the reader's own network.
    OwnFinding,
    /// The event without who reported it and without victims.
    WithoutReporterAndVictims,
    /// The event with its reporter, without victims.
    WithoutVictims,
    /// Everything but a honeypot's own address: the coordinator and the reporter's authority.
    Whole,
    /// The reader's own report.
    Own,
}

impl Sight {
    /// Whether anything but an own finding is seen.
    pub fn sees_event(self) -> bool {
        self >= Self::WithoutReporterAndVictims
    }

    /// Whether the reporter is shown.
    pub fn sees_reporter(self) -> bool {
        self >= Self::WithoutVictims
    }

    /// Whether victims, `extra`, notes and the original text are shown.
    pub fn sees_victims(self) -> bool {
        self >= Self::Whole
    }
}

/// Decides what `reader` sees of `item`.
pub fn sight(reader: &Reader, item: &Item<'_>) -> Sight {
    if !reader.reads_events() || reader.standing == Standing::Revoked {
        return Sight::Hidden;
    }
    if reader.org == item.reporter {
        return Sight::Own;
    }
    if item.test {
        return Sight::Hidden;
    }
    if reader.is_coordinator() || reader.is_authority_of(item.reporter_constituency) {
        return if item.tlp == Tlp::Red && !reader.red { Sight::Hidden } else { Sight::Whole };
    }
    let named_in_audience = item.audience.iter().any(|id| reader.audience_ids.contains(id));
    if !item.audience.is_empty() && !named_in_audience {
        return Sight::Hidden;
    }
    if item.tlp == Tlp::Red && !(reader.red && named_in_audience) {
        return Sight::Hidden;
    }
    if item.tlp > strictest_received(reader) {
        return Sight::Hidden;
    }
    let leave = item.named || (item.group_leave && named_in_audience);
    if leave && reader.kind != OrgKind::Partner { Sight::WithoutVictims } else { Sight::WithoutReporterAndVictims }
}

/// The strictest marking that a reader's membership or agreement lets it receive.
pub(crate) fn strictest_received(reader: &Reader) -> Tlp {
    if reader.kind == OrgKind::Partner {
        // Without an agreement a partner gets clear and green.
        return reader.agreement.unwrap_or(Tlp::Green);
    }
    match reader.standing {
        Standing::Full | Standing::Warned => Tlp::Red,
        Standing::ReceiveLimited => Tlp::Green,
        Standing::Revoked => Tlp::Clear,
    }
}

/// Where something may leave the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// A public page or product.
    Public,
    /// A product for members and partners' communities.
    Community,
    /// A keyed product for the own organisation and its clients.
    OwnAndClients,
    /// A keyed product for the own organisation alone.
    OwnOnly,
    /// Synchronisation with another hub.
    OnwardHub,
}

/// Whether TLP lets an item leave by this way.
pub fn export_allowed(tlp: Tlp, export: Export) -> bool {
    match tlp {
        Tlp::Clear => true,
        Tlp::Green => export != Export::Public,
        Tlp::Amber => matches!(export, Export::OwnAndClients | Export::OwnOnly | Export::OnwardHub),
        Tlp::AmberStrict => export == Export::OwnOnly,
        Tlp::Red => false,
    }
}

/// Whether a blocking product may hold an item with these permissible actions.
pub fn blocking_allowed(pap: Pap) -> bool {
    pap <= Pap::Green
}
