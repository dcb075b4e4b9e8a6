//! The law of sight: what a reader sees of an item.
//!
//! Invariant: a stricter marking or an added audience never shows more.

use crate::Reader;
use crate::partner::{covers, reach};
use model::{Category, Constituency, KeyRole, OrgKind, OrgNo, Pap, Redistribution, Standing, Text, Tlp};

/// What decides who sees an event, an aggregate row or a deliberate record.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Who reported it.
    pub reporter: OrgNo,
    /// The line of the reporter, whose authority sees everything.
    pub reporter_constituency: Option<Constituency>,
    /// Whether the reporter is a feed that the hub collects, which is never named.
    pub source: bool,
    /// How widely the reporter lets it be passed on; `None`: as the marking says.
    pub licence: Option<Redistribution>,
    /// Its marking.
    pub tlp: Tlp,
    /// Ids that narrow who receives it; empty: no narrowing.
    pub audience: &'a [Text],
    /// What it is; a test is its reporter's alone.
    pub category: Category,
    /// The sector it concerns, where it names one.
    pub sector: Option<&'a str>,
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
    if item.category == Category::Test {
        return Sight::Hidden;
    }
    if reader.is_coordinator() || reader.is_authority_of(item.reporter_constituency) {
        return if item.tlp == Tlp::Red && !reader.red { Sight::Hidden } else { Sight::Whole };
    }
    if !licence_lets(reader, item.licence) {
        return Sight::Hidden;
    }
    let named_in_audience = item.audience.iter().any(|id| reader.audience_ids.contains(id));
    if !item.audience.is_empty() && !named_in_audience {
        return Sight::Hidden;
    }
    if item.tlp == Tlp::Red && !(reader.red && named_in_audience) {
        return Sight::Hidden;
    }
    let received = match reader.kind {
        OrgKind::Partner => covers(reader.agreement.as_ref(), item.tlp, item.category, item.sector),
        OrgKind::Company | OrgKind::Agency | OrgKind::Authority | OrgKind::Cert | OrgKind::Vendor | OrgKind::Source => item.tlp <= strictest_received(reader),
    };
    if !received {
        return Sight::Hidden;
    }
    let leave = (item.named || (item.group_leave && named_in_audience)) && !item.source;
    let names = reader.kind != OrgKind::Partner || reader.agreement.as_ref().is_some_and(|agreement| agreement.names);
    if leave && names { Sight::WithoutVictims } else { Sight::WithoutReporterAndVictims }
}

/// Whether the reader receives everything of this marking that has no audience, whoever reported it: what of it is made for many alike it may have.
pub fn receives_all(reader: &Reader, tlp: Tlp) -> bool {
    let reads = reader.reads_events() && reader.standing != Standing::Revoked;
    reads && tlp < Tlp::Red && (reader.is_coordinator() || tlp <= strictest_received(reader))
}

/// Whether the licence of a reporter lets its events come to the reader, who is neither the reporter nor oversees it.
fn licence_lets(reader: &Reader, licence: Option<Redistribution>) -> bool {
    let least = if reader.role == KeyRole::Authority && reader.kind == OrgKind::Authority {
        Redistribution::None
    } else if reader.kind == OrgKind::Partner {
        Redistribution::Partners
    } else {
        Redistribution::Members
    };
    licence.is_none_or(|licence| licence >= least)
}

/// The strictest marking of which a reader's membership or agreement lets it receive everything.
pub(crate) fn strictest_received(reader: &Reader) -> Tlp {
    if reader.kind == OrgKind::Partner {
        // What is made of amber for all members alike holds what a licence keeps from partners; a partner has a collection of its own.
        return reach(reader.agreement.as_ref()).min(Tlp::Green);
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
