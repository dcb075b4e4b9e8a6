//! What an indicator leads to: malware, techniques of ATT&CK and vulnerabilities, as objects of a collection, and the relationships to them.
//!
//! Flow: what a version names ([`named`]) → the objects that it brings and the relationships that it changes, which [`super::gather`] puts in their places.
//! Invariant: ids follow from the collection, what is named and, for a relationship, the value, under the realm's secret. A value has one relationship to
//! malware, whichever that is, and one to each technique and each vulnerability. What is no id of ATT&CK or CVE is named nowhere.
//! Not here: which version brings an object ([`super::families`]) and which changes a relationship ([`super::beside`]); how they are written
//! (`formats::stix::write`).

use super::Item;
use super::beside::Change;
use crate::Hub;
use formats::stix::write::{self, Head};
use model::{Text, Timestamp};
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A family of malware.
    Malware,
    /// A technique of ATT&CK.
    AttackPattern,
    /// What has a CVE id.
    Vulnerability,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 3] = [Self::Malware, Self::AttackPattern, Self::Vulnerability];

    /// The type of its objects.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Malware => "malware",
            Self::AttackPattern => "attack-pattern",
            Self::Vulnerability => "vulnerability",
        }
    }

    /// The kind whose objects have this type.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// What an indicator can have a relationship to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Target {
    /// What it is.
    pub(super) kind: Kind,
    /// The family's name, the technique's id, the CVE id.
    pub(super) name: Text,
}

impl Target {
    /// Whether a value's relationship to it is the one to the other, too: that to malware leads to whatever family is named.
    pub(super) fn is_linked_as(&self, other: &Self) -> bool {
        self == other || (self.kind == Kind::Malware && other.kind == Kind::Malware)
    }
}

/// What a version leads to; nothing where it takes back.
pub(super) fn named(version: &Indicator) -> Vec<Target> {
    if version.revoked { Vec::new() } else { said_by(version) }
}

/// What a version says, whether or not it takes that back.
pub(super) fn said_by(version: &Indicator) -> Vec<Target> {
    let target = |kind: Kind| move |name: &Text| Target { kind, name: name.clone() };
    let malware = version.malware.iter().map(target(Kind::Malware));
    let techniques = version.techniques.iter().filter(|id| write::is_technique(id)).map(target(Kind::AttackPattern));
    let cves = version.cves.iter().filter(|id| write::is_cve(id)).map(target(Kind::Vulnerability));
    malware.chain(techniques).chain(cves).collect()
}

impl Hub {
    /// The UUID of a target in a collection.
    pub(super) fn target_uuid(&self, events: Collection, target: &Target) -> Uuid {
        write::shaped(self.store().views.keys.label(&format!("{} {} {}", events.title(), target.kind.word(), target.name)))
    }

    /// The UUID of a value's relationship to a target, which leads back to the value's key as the indicator's does.
    pub(super) fn relationship_uuid(&self, events: Collection, key: u128, target: &Target) -> Uuid {
        let mask = match target.kind {
            Kind::Malware => self.relationship_mask(events, None),
            Kind::AttackPattern | Kind::Vulnerability => self.relationship_mask(events, Some(target)),
        };
        write::shaped(key ^ mask)
    }

    /// What the keys of a collection are mixed with for that; without a target: for malware.
    pub(super) fn relationship_mask(&self, events: Collection, target: Option<&Target>) -> u128 {
        let own = target.map_or_else(String::new, |target| format!(" {} {}", target.kind.word(), target.name));
        self.store().views.keys.label(&format!("{} relationship{own}", events.title()))
    }

    /// What a version is the first to name, as it stands so many microseconds before it.
    pub(super) fn target_item(&self, version: &Indicator, target: &Target, before: i64) -> Item {
        let id = self.target_uuid(version.collection, target);
        let head = Head { id, creator: self.stix_identity(), created: version.added, modified: version.added, revoked: false, tlp: version.tlp };
        let mut json = Vec::with_capacity(512);
        match target.kind {
            Kind::Malware => write::malware(&mut json, &head, &target.name),
            Kind::AttackPattern => _ = write::attack_pattern(&mut json, &head, &target.name, None),
            Kind::Vulnerability => _ = write::vulnerability(&mut json, &head, &target.name),
        }
        item(version, before, format!("{}--{id}", target.kind.word()), json)
    }

    /// A relationship as a version leaves it.
    pub(super) fn relationship_item(&self, version: &Indicator, change: &Change) -> Item {
        let Change { target, ends, before } = change;
        let events = version.collection;
        let id = self.relationship_uuid(events, version.key, target);
        let head = Head { id, creator: self.stix_identity(), created: version.created, modified: version.added, revoked: *ends, tlp: version.tlp };
        let (indicator, leads_to) = (self.indicator_uuid(events, version.key), self.target_uuid(events, target));
        let mut json = Vec::with_capacity(512);
        write::relationship(&mut json, &head, &format!("indicator--{indicator}"), &format!("{}--{leads_to}", target.kind.word()));
        item(version, *before, format!("relationship--{id}"), json)
    }
}

fn item(version: &Indicator, before: i64, id: String, json: Vec<u8>) -> Item {
    Item { added: Timestamp::from_micros(version.added.micros() - before), id, version: write::floor(version.added), spec: "2.1".to_owned(), json }
}
