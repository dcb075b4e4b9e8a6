//! What a reader is given of the versions of an indicator, and what stands beside one of them: the malware that it is the first to name, and the
//! relationship that says so.
//!
//! Flow: the versions of a value, when the reader could read the collection → those that it is given ([`given`], by the law of [`super::gather`]) → what
//! one of them changes ([`change`]) → objects with dates right before the version's own.
//! Invariant: a function of the log and of when the reader could read it. An indicator has one relationship, to the malware that its newest version
//! names; a version of it stands where that changes among the versions that are given, and one that is `revoked` where nothing is named any more. The
//! two dates before an entry's are kept free by the log; where an entry of before that lies too close behind another one, nothing stands beside it.
//! Not here: attack patterns and vulnerabilities, of which the log of indicators knows nothing; which families there are ([`super::families`]).

use super::{Item, Reach};
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

/// What a version changes. `said` is the malware that the relationship names before it.
pub(super) fn change(said: Option<&Text>, version: &Indicator) -> Option<Change> {
    match named(version) {
        Some(name) if said != Some(name) => Some(Change::Names(name.clone())),
        Some(_) => None,
        None => said.map(|said| Change::TakesBack(said.clone())),
    }
}

fn named(version: &Indicator) -> Option<&Text> {
    version.malware.as_ref().filter(|_| !version.revoked)
}

/// A version as a reader is given it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub(super) version: Indicator,
    /// The malware that the relationship names before it.
    pub(super) said: Option<Text>,
}

/// What a reader is given of the versions of a value, newest first as they are.
pub(super) fn given(versions: &[Indicator], reach: &Reach) -> Vec<Given> {
    let mut given: Vec<Given> = Vec::with_capacity(versions.len());
    for (place, version) in versions.iter().enumerate() {
        let whole = reach.gives(version);
        if version.revoked {
            let words = if whole == Some(true) { Some(version) } else { last_had(versions, place, reach).filter(|_| whole.is_none()) };
            let Some(words) = words else { continue };
            // What it takes back is what the reader had.
            let said = words.malware.clone();
            given.push(Given { version: Indicator { added: version.added, revoked: true, ..words.clone() }, said });
        } else if whole.unwrap_or_else(|| was_had(versions, place, reach)) {
            given.push(Given { version: version.clone(), said: None });
        }
    }
    let before: Vec<Option<Text>> = given.iter().skip(1).map(|before| named(&before.version).cloned()).collect();
    for (given, before) in given.iter_mut().zip(before) {
        if !given.version.revoked {
            given.said = before;
        }
    }
    given
}

/// The newest version before a revoked one, back to the revoked one before that, which the reader may have received.
fn last_had<'v>(versions: &'v [Indicator], revoked: usize, reach: &Reach) -> Option<&'v Indicator> {
    let mut before = versions.iter().enumerate().skip(revoked + 1).take_while(|(_, version)| !version.revoked);
    before.find(|(place, _)| was_had(versions, *place, reach)).map(|(_, version)| version)
}

/// Whether the reader may have received the version at a place while it was the newest.
fn was_had(versions: &[Indicator], place: usize, reach: &Reach) -> bool {
    let until = place.checked_sub(1).and_then(|next| versions.get(next)).map_or(Timestamp::MAX, |next| next.added);
    versions.get(place).is_some_and(|version| reach.had(version.tlp, version.added, until))
}

/// One version of an indicator among the others, which are read when they are needed.
pub(super) struct Among<'a> {
    hub: &'a Hub,
    reach: &'a Reach,
    version: &'a Indicator,
    /// All of them, where they were read before.
    read: Option<&'a [Indicator]>,
    versions: OnceCell<Others>,
}

/// The versions that a reader is given, newest first.
struct Others {
    given: Vec<Given>,
    /// Whether the value's first version was among those that were looked at.
    complete: bool,
}

impl Others {
    fn of(versions: &[Indicator], reach: &Reach) -> Self {
        Self { given: given(versions, reach), complete: versions.last().is_some_and(|first| first.added == first.created) }
    }
}

impl<'a> Among<'a> {
    pub(super) fn new(hub: &'a Hub, reach: &'a Reach, version: &'a Indicator, read: Option<&'a [Indicator]>) -> Self {
        Self { hub, reach, version, read, versions: OnceCell::new() }
    }

    /// The version as the reader is given it; `None` where it is not.
    pub(super) fn shown(&self) -> std::io::Result<Option<&Indicator>> {
        match self.reach.gives(self.version) {
            Some(true) => Ok(Some(self.version)),
            Some(false) => Ok(None),
            None => Ok(self.own()?.map(|given| &given.version)),
        }
    }

    fn others(&self) -> std::io::Result<&Others> {
        if let Some(others) = self.versions.get() {
            return Ok(others);
        }
        let others = match self.read {
            Some(versions) => Others::of(versions, self.reach),
            None => Others::of(&self.hub.store().indicators.versions(self.version.collection, self.version.key)?, self.reach),
        };
        Ok(self.versions.get_or_init(|| others))
    }

    /// The version among those that are given.
    fn own(&self) -> std::io::Result<Option<&Given>> {
        Ok(self.others()?.given.iter().find(|given| given.version.added == self.version.added))
    }

    /// Whether it is the value's very first.
    fn is_beginning(&self) -> bool {
        self.version.added == self.version.created
    }

    /// Whether it is the first that is given.
    pub(super) fn is_first(&self) -> std::io::Result<bool> {
        if self.is_beginning() {
            return Ok(true);
        }
        let others = self.others()?;
        Ok(others.complete && others.given.last().is_some_and(|first| first.version.added == self.version.added))
    }

    /// Whether it is the newest that is given.
    pub(super) fn is_newest(&self) -> std::io::Result<bool> {
        Ok(self.others()?.given.first().is_none_or(|newest| newest.version.added <= self.version.added))
    }

    /// What it changes of the relationship.
    pub(super) fn change(&self) -> std::io::Result<Option<Change>> {
        if self.is_beginning() {
            return Ok(change(None, self.version));
        }
        Ok(self.own()?.and_then(|given| change(given.said.as_ref(), &given.version)))
    }

    /// Whether no version before it changes the relationship.
    pub(super) fn is_first_change(&self) -> std::io::Result<bool> {
        Ok(self.is_beginning() || !self.changes()?.any(|added| added < self.version.added))
    }

    /// Whether no version after it does.
    pub(super) fn is_last_change(&self) -> std::io::Result<bool> {
        Ok(!self.changes()?.any(|added| added > self.version.added))
    }

    /// Dates of the versions that change the relationship, newest first.
    fn changes(&self) -> std::io::Result<impl Iterator<Item = Timestamp>> {
        let changing = self.others()?.given.iter().filter(|given| change(given.said.as_ref(), &given.version).is_some());
        Ok(changing.map(|given| given.version.added))
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
    use crate::taxii::reach::tests::reach;
    use model::{Category, ObservableType, Pap, Tlp};
    use proptest::prelude::*;

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
            let said = before.as_ref().and_then(named);
            assert_eq!(change(said, &version(2, after.0, after.1)), expected, "{before:?} {after:?}");
        }
    }

    /// Versions, written oldest first, as the log has them: second, marking, malware, whether it takes back.
    fn log(versions: &[(i64, Tlp, &str, bool)]) -> Vec<Indicator> {
        versions.iter().rev().map(|&(second, tlp, malware, revoked)| Indicator { tlp, ..version(second, Some(malware), revoked) }).collect()
    }

    /// What is given, oldest first: second, malware, whether it is revoked, what its relationship said before.
    fn told(versions: &[Indicator], reach: &Reach) -> Vec<(i64, String, bool, String)> {
        let text = |text: &Option<Text>| text.as_ref().map_or_else(String::new, ToString::to_string);
        let given = given(versions, reach);
        given.iter().rev().map(|given| (given.version.added.seconds(), text(&given.version.malware), given.version.revoked, text(&given.said))).collect()
    }

    fn item_of(second: i64, malware: &str, revoked: bool, said: &str) -> (i64, String, bool, String) {
        (second, malware.to_owned(), revoked, said.to_owned())
    }

    #[test]
    fn who_was_always_there_is_given_every_version_as_it_is() {
        let versions = log(&[(10, Tlp::Green, "a", false), (20, Tlp::Green, "b", false), (30, Tlp::Green, "b", true)]);
        let expected = [item_of(10, "a", false, ""), item_of(20, "b", false, "a"), item_of(30, "b", true, "b")];
        assert_eq!(told(&versions, &reach(&[(1, 0, Tlp::Green)])), expected);
        // Who came later gets what was not replaced by then, and that it was taken back.
        let later = [item_of(20, "b", false, ""), item_of(30, "b", true, "b")];
        assert_eq!(told(&versions, &reach(&[(20, 0, Tlp::Green)])), later);
        assert_eq!(told(&versions, &reach(&[(29, 0, Tlp::Green)])), later);
    }

    #[test]
    fn what_was_taken_back_before_a_reader_came_is_nothing_to_it() {
        let versions = log(&[(10, Tlp::Green, "a", false), (20, Tlp::Green, "a", true), (30, Tlp::Green, "c", false)]);
        assert!(told(&versions[1..], &reach(&[(20, 0, Tlp::Green)])).is_empty());
        let last = [item_of(30, "c", false, "")];
        assert_eq!(told(&versions, &reach(&[(25, 0, Tlp::Green)])), last);
        // As is what came and went while it could not read.
        assert_eq!(told(&versions, &reach(&[(1, 5, Tlp::Green), (25, 0, Tlp::Green)])), last);
        assert_eq!(told(&versions, &reach(&[(1, 11, Tlp::Green), (25, 0, Tlp::Green)])).len(), 3);
        assert!(told(&versions, &Reach::default()).is_empty());
    }

    #[test]
    fn who_reads_less_than_before_is_told_that_what_it_had_is_taken_back_and_nothing_of_what_it_never_had() {
        let had = reach(&[(1, 25, Tlp::Amber), (25, 0, Tlp::Green)]);
        let never = reach(&[(1, 5, Tlp::Amber), (5, 0, Tlp::Green)]);
        let versions = log(&[(10, Tlp::Amber, "secret", false), (30, Tlp::Amber, "secret", true)]);
        assert_eq!(told(&versions, &had), [item_of(30, "secret", true, "secret")]);
        assert!(told(&versions, &never).is_empty());
        // Written after it was agreed otherwise, before the log heard of that: the words are those of the version that it had.
        let versions = log(&[(10, Tlp::Green, "known", false), (20, Tlp::Amber, "secret", false), (30, Tlp::Amber, "secret", true)]);
        assert_eq!(told(&versions, &never), [item_of(10, "known", false, ""), item_of(30, "known", true, "known")]);
        let revoked = given(&versions, &never).remove(0).version;
        assert_eq!((revoked.tlp, revoked.added.seconds(), revoked.revoked), (Tlp::Green, 30, true));
        // What stands and is too strict now is hidden.
        assert_eq!(told(&versions[1..], &had), [item_of(10, "known", false, "")]);
    }

    proptest! {
        #[test]
        fn nothing_is_given_that_could_not_be_had_and_the_short_way_says_the_same(
            steps in proptest::collection::vec((1_i64..6, 0_usize..3, proptest::option::of(0_u8..3), any::<bool>()), 1..8),
            stretches in proptest::collection::vec((0_i64..6, 1_i64..9, 0_usize..3), 0..4),
            lasts in any::<bool>(),
        ) {
            // As the log writes them: what is taken back says what stood.
            let mut versions: Vec<Indicator> = Vec::new();
            let mut second = 0;
            for (step, tlp, malware, taken) in steps {
                second += step;
                let before = versions.last().filter(|before| taken && !before.revoked);
                let fresh = Indicator { tlp: Tlp::ALL[tlp], ..version(second, malware.map(|name| ["a", "b", "c"][usize::from(name)]), false) };
                let next = before.map_or(fresh, |before| Indicator { added: Timestamp::from_seconds(second), revoked: true, ..before.clone() });
                versions.push(next);
            }
            versions.reverse();
            let mut from = 0;
            let mut all: Vec<(i64, i64, Tlp)> = Vec::new();
            for (gap, length, tlp) in stretches {
                all.push((from + gap, from + gap + length, Tlp::ALL[tlp]));
                from += gap + length;
            }
            if let Some(last) = all.last_mut().filter(|_| lasts) {
                last.1 = 0;
            }
            let reach = reach(&all);
            let given = given(&versions, &reach);
            for (place, version) in versions.iter().enumerate() {
                let found = given.iter().find(|given| given.version.added == version.added).map(|given| &given.version);
                match reach.gives(version) {
                    Some(true) => prop_assert_eq!(found, Some(version)),
                    Some(false) => prop_assert_eq!(found, None),
                    None => {}
                }
                let Some(found) = found else { continue };
                // Some version of its life that says the same could be had while it stood.
                let source = (place..versions.len()).find(|&place| !versions[place].revoked && was_had(&versions, place, &reach)
                    && versions[place].malware == found.malware && versions[place].tlp == found.tlp);
                prop_assert!(source.is_some(), "{versions:?} {reach:?}");
                prop_assert!(found.revoked || reach.now().is_some_and(|most| found.tlp <= most));
            }
        }
    }

    #[test]
    fn what_stands_beside_an_entry_has_dates_of_its_own() {
        let at = Timestamp::from_micros;
        assert!(has_room(None, at(5)) && has_room(Some(at(2)), at(5)) && !has_room(Some(at(3)), at(5)));
        const { assert!(MALWARE < ROOM && RELATIONSHIP < MALWARE) };
    }
}
