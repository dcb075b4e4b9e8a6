//! Findings: what the owner of a network is told of an event, and who else sees it.
//!
//! Flow: `hub` asks [`sees_told`] and [`sees_waiting`] who may see which part of a finding, and [`finding`] what its content is.
//! Invariant: an owner sees its own value with what describes it, and neither who reported it nor any other value, whatever the marking;
//! what waits for release is seen by whom the event itself would be seen whole, and by its sender.

use crate::{Item, Reader, Sight, sight};
use model::concern::concerns;
use model::{Category, Constituency, Event, ObservableType, OrgNo, Standing, Text, Timestamp, Tlp};

/// Why a reader sees a part of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingPart {
    /// As who reported it; it learns nothing of the owner.
    Sender,
    /// As the coordinator or an authority.
    Authority,
    /// As whose network it is.
    Owner,
}

/// All that an owner is told of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingContent {
    /// When it was seen.
    pub time: Timestamp,
    /// What is wrong.
    pub category: Category,
    /// What kind of value.
    pub kind: ObservableType,
    /// The owner's own value.
    pub value: Text,
    /// The value's port.
    pub port: Option<u16>,
    /// Name of the malware.
    pub malware: Option<Text>,
}

/// Why the reader sees what the owner `owner` is told. Standing never limits a member's own findings.
pub fn sees_told(reader: &Reader, owner: OrgNo, owner_constituency: Option<Constituency>) -> Option<FindingPart> {
    if !reader.reads_events() || reader.standing == Standing::Revoked {
        None
    } else if reader.org == owner {
        Some(FindingPart::Owner)
    } else if reader.is_coordinator() || reader.is_authority_of(owner_constituency) {
        Some(FindingPart::Authority)
    } else {
        None
    }
}

/// Why the reader sees what waits for release of one reporter's events: who would see such an event whole does.
pub fn sees_waiting(reader: &Reader, reporter: OrgNo, reporter_constituency: Option<Constituency>, red: bool) -> Option<FindingPart> {
    let tlp = if red { Tlp::Red } else { Tlp::AmberStrict };
    // Only who reported it and who oversees the reporter are asked for; to them neither content nor licence makes a difference.
    let item = Item {
        reporter,
        reporter_constituency,
        source: false,
        licence: None,
        tlp,
        audience: &[],
        category: Category::Other,
        sector: None,
        named: false,
        group_leave: false,
    };
    match sight(reader, &item) {
        Sight::Own => Some(FindingPart::Sender),
        Sight::Whole => Some(FindingPart::Authority),
        Sight::Hidden | Sight::OwnFinding | Sight::WithoutReporterAndVictims | Sight::WithoutVictims => None,
    }
}

/// What an owner may be told of an event: the first of its values that `owned` knows as the owner's. `None` where there is none, and for tests.
pub fn finding(event: &Event, mut owned: impl FnMut(ObservableType, &str) -> bool) -> Option<FindingContent> {
    if event.category == Category::Test {
        return None;
    }
    let mut content = None;
    concerns(event, |concern| {
        if content.is_none() && owned(concern.kind, &concern.value) {
            content = Some(FindingContent {
                time: event.time,
                category: event.category,
                kind: concern.kind,
                value: Text::from(&*concern.value),
                port: concern.port,
                malware: event.malware.clone(),
            });
        }
    });
    content
}
