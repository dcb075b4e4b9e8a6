//! What stands beside a version of an indicator in a collection made from events: the malware that it is the first to name, and the relationship
//! that says so.
//!
//! Flow: an entry of the log, the version before it → what changes ([`change`]) → objects with dates right before the version's own.
//! Invariant: a function of the log alone. An indicator has one relationship, to the malware that its newest version names; a version of it stands where
//! that changes, and one that is `revoked` where nothing is named any more. The two dates before an entry's are kept free by the log; where an
//! entry of before that lies too close behind another one, nothing stands beside it.
//! Not here: attack patterns and vulnerabilities, of which the log of indicators knows nothing; which families there are ([`super::families`]).

use super::Item;
use crate::Hub;
use formats::stix::write::{self, Head};
use model::{Text, Timestamp};
use std::cell::OnceCell;
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

/// Microseconds between two entries with room for what stands beside the later one.
pub(super) const ROOM: i64 = 3;
/// How far before its version a relationship stands.
const RELATIONSHIP: i64 = 1;
/// How far before it malware does.
const MALWARE: i64 = 2;

/// Whether an entry has room beside it, by the date of the one before.
pub(super) fn has_room(before: Option<Timestamp>, added: Timestamp) -> bool {
    before.is_none_or(|before| added.micros() - before.micros() >= ROOM)
}

/// What a version changes of its indicator's relationship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It names this malware, and the version before did not.
    Names(Text),
    /// It names none any more; this was the last.
    TakesBack(Text),
}

/// What a version changes. `before` is the one before it.
pub(super) fn change(before: Option<&Indicator>, version: &Indicator) -> Option<Change> {
    let said = before.and_then(named);
    match named(version) {
        Some(name) if said != Some(name) => Some(Change::Names(name.clone())),
        Some(_) => None,
        None => said.map(|said| Change::TakesBack(said.clone())),
    }
}

fn named(version: &Indicator) -> Option<&Text> {
    version.malware.as_ref().filter(|_| !version.revoked)
}

/// One version of an indicator among the others, which are read when they are needed.
pub(super) struct Among<'a> {
    hub: &'a Hub,
    pub(super) version: &'a Indicator,
    /// All of them, where they were read before.
    given: Option<&'a [Indicator]>,
    versions: OnceCell<Vec<Indicator>>,
}

impl<'a> Among<'a> {
    pub(super) fn new(hub: &'a Hub, version: &'a Indicator, given: Option<&'a [Indicator]>) -> Self {
        Self { hub, version, given, versions: OnceCell::new() }
    }

    /// All versions that are given of it, newest first.
    fn all(&self) -> std::io::Result<&[Indicator]> {
        if let Some(versions) = self.given.or_else(|| self.versions.get().map(Vec::as_slice)) {
            return Ok(versions);
        }
        let versions = self.hub.store().indicators.versions(self.version.collection, self.version.key)?;
        Ok(self.versions.get_or_init(|| versions).as_slice())
    }

    /// Whether it is the first version.
    pub(super) fn is_first(&self) -> bool {
        self.version.added == self.version.created
    }

    /// Whether it is the newest.
    pub(super) fn is_newest(&self) -> std::io::Result<bool> {
        Ok(self.all()?.first().is_none_or(|newest| newest.added <= self.version.added))
    }

    /// What it changes of the relationship.
    pub(super) fn change(&self) -> std::io::Result<Option<Change>> {
        if self.is_first() {
            return Ok(change(None, self.version));
        }
        Ok(change(self.all()?.iter().find(|other| other.added < self.version.added), self.version))
    }

    /// Whether no version before it changes the relationship.
    pub(super) fn is_first_change(&self) -> std::io::Result<bool> {
        Ok(self.is_first() || !self.changes()?.any(|added| added < self.version.added))
    }

    /// Whether no version after it does.
    pub(super) fn is_last_change(&self) -> std::io::Result<bool> {
        Ok(!self.changes()?.any(|added| added > self.version.added))
    }

    /// Dates of the versions that change the relationship, newest first.
    fn changes(&self) -> std::io::Result<impl Iterator<Item = Timestamp>> {
        let all = self.all()?;
        let changing = all.iter().enumerate().filter(move |(place, version)| change(all.get(place + 1), version).is_some());
        Ok(changing.map(|(_, version)| version.added))
    }
}

impl Hub {
    /// The UUID of an indicator's relationship, which leads back to the value's key as the indicator's does.
    pub(super) fn relationship_uuid(&self, events: Collection, key: u128) -> Uuid {
        write::shaped(key ^ self.relationship_mask(events))
    }

    /// What the keys of a collection are mixed with for that.
    pub(super) fn relationship_mask(&self, events: Collection) -> u128 {
        self.store().views.keys.label(&format!("{} relationship", events.title()))
    }

    /// The family that a version is the first to name.
    pub(super) fn malware_item(&self, version: &Indicator, name: &str) -> Item {
        let id = self.family_uuid(version.collection, name);
        let head = Head { id, creator: self.stix_identity(), created: version.added, modified: version.added, revoked: false, tlp: version.tlp };
        let mut json = Vec::with_capacity(512);
        write::malware(&mut json, &head, name);
        item(version, MALWARE, format!("malware--{id}"), json)
    }

    /// The relationship as a version leaves it.
    pub(super) fn relationship_item(&self, version: &Indicator, change: &Change) -> Item {
        let (name, revoked) = match change {
            Change::Names(name) => (name, false),
            Change::TakesBack(name) => (name, true),
        };
        let events = version.collection;
        let id = self.relationship_uuid(events, version.key);
        let head = Head { id, creator: self.stix_identity(), created: version.created, modified: version.added, revoked, tlp: version.tlp };
        let (indicator, malware) = (self.indicator_uuid(events, version.key), self.family_uuid(events, name));
        let mut json = Vec::with_capacity(512);
        write::relationship(&mut json, &head, &format!("indicator--{indicator}"), &format!("malware--{malware}"));
        item(version, RELATIONSHIP, format!("relationship--{id}"), json)
    }
}

fn item(version: &Indicator, before: i64, id: String, json: Vec<u8>) -> Item {
    Item { added: Timestamp::from_micros(version.added.micros() - before), id, version: write::floor(version.added), spec: "2.1".to_owned(), json }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, ObservableType, Pap, Tlp};

    fn version(second: i64, malware: Option<&str>, revoked: bool) -> Indicator {
        let at = Timestamp::from_seconds(second);
        Indicator {
            collection: Collection::Green,
            added: at,
            key: 7,
            kind: ObservableType::Domain,
            value: Text::from("a.example.com"),
            created: Timestamp::from_seconds(1),
            revoked,
            category: Category::C2Server,
            malware: malware.map(Text::from),
            pap: Pap::Green,
            tlp: Tlp::Green,
            confidence: None,
            reporters: 1,
            first_seen: at,
            last_seen: at,
            valid_until: None,
            sectors: Vec::new(),
        }
    }

    #[test]
    fn a_relationship_changes_with_the_malware_that_is_named_and_ends_with_it() {
        let names = |name: &str| Some(Change::Names(Text::from(name)));
        let takes_back = |name: &str| Some(Change::TakesBack(Text::from(name)));
        for (before, after, expected) in [
            (None, (Some("a"), false), names("a")),
            (None, (None, false), None),
            (None, (Some("a"), true), None),
            (Some((Some("a"), false)), (Some("a"), false), None),
            (Some((Some("a"), false)), (Some("b"), false), names("b")),
            (Some((Some("a"), false)), (None, false), takes_back("a")),
            (Some((Some("a"), false)), (Some("a"), true), takes_back("a")),
            (Some((Some("a"), true)), (Some("a"), false), names("a")),
            (Some((Some("a"), true)), (None, false), None),
        ] {
            let before = before.map(|(malware, revoked)| version(1, malware, revoked));
            assert_eq!(change(before.as_ref(), &version(2, after.0, after.1)), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_stands_beside_an_entry_has_dates_of_its_own() {
        let at = Timestamp::from_micros;
        assert!(has_room(None, at(5)) && has_room(Some(at(2)), at(5)) && !has_room(Some(at(3)), at(5)));
        const { assert!(MALWARE < ROOM && RELATIONSHIP < MALWARE) };
    }
}
