//! What indicators lead to (malware, techniques, vulnerabilities), and the versions that first brought each into a collection.
//!
//! Flow: the log of a collection is read in its order, as far as a page needs it; soon after the start all of it ([`warm`]).
//! Invariant: a function of the log. A name is brought by the first version that names it, is given as an indicator and has room beside it
//! ([`super::beside`]), so that it is in the collection once, before everything that refers to it; for whom a narrower reach hides stricter versions, by
//! the first of those it reaches. A relationship to a technique or a vulnerability is told from its UUID by a list of those that were read.
//! Invariant: nobody who looks a name up waits for who reads the log, and no log is read twice. Of those who need more of it one reads a page at a
//! time while the others wait, each until its own deadline ([`is_waiting`]); what was read by then stays.
//! Not here: how what is named is written ([`super::targets`]).

use super::beside::has_room;
use super::targets::{Kind, Target, named};
use crate::Hub;
use formats::stix::write::pattern;
use model::{Timestamp, Tlp};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use store::views::indicators::{Collection, Indicator, Indicators};
use uuid::Uuid;

/// Names of each kind in one collection at the most; indicators that bring others have no relationship to them.
const MAX_NAMES: usize = 65_536;
/// Relationships to techniques and vulnerabilities of one collection that are found by their ids alone: 25 MiB.
const MAX_LINKS: usize = 900_000;
/// Versions read at once.
const PAGE: usize = 4_096;
/// Markings that a version in a log can have: clear to amber+strict.
const LEVELS: usize = 4;

/// What each collection's log names, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<HashMap<Collection, Arc<Shelf>>>);

/// One collection's.
#[derive(Debug, Default)]
struct Shelf {
    /// Held for looking up and for taking in what was read, never while it is read.
    known: RwLock<Known>,
    /// Held by who reads the next page.
    turn: Mutex<()>,
}

/// What was read of one log.
#[derive(Debug, Default)]
struct Known {
    /// Date of the last version that was read.
    position: Option<Timestamp>,
    brought: HashMap<Target, Brought>,
    names: HashMap<Uuid, Target>,
    /// Names of each kind.
    counts: HashMap<Kind, usize>,
    /// What relationships lead to, by half of their UUIDs: whoever looks one up compares the whole.
    links: HashMap<u64, Uuid>,
}

/// When a name was brought for those who read up to each marking.
type Brought = [Option<Timestamp>; LEVELS];

/// The log was not read far enough in time, or not everything was looked up that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the log of indicators is still being read")]
struct Waiting;

/// Whether an error says that a log was not read far enough in time; the next try goes on from there.
pub(super) fn is_waiting(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Waiting>)
}

/// That error.
pub(super) fn waiting() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, Waiting)
}

/// What of a relationship's UUID is kept.
fn half(id: Uuid) -> u64 {
    id.as_u128() as u64
}

fn level(tlp: Tlp) -> usize {
    usize::from(tlp.number()).min(LEVELS - 1)
}

impl Known {
    /// Takes the next version. `id` gives the UUID of what it names, `link` that of its value's relationship to it.
    fn take(&mut self, version: &Indicator, id: impl Fn(&Target) -> Uuid, link: impl Fn(&Target, u128) -> Uuid) {
        let room = has_room(self.position, version);
        self.position = Some(version.added);
        let named = if room { named(version) } else { Vec::new() };
        if named.is_empty() || pattern(version.kind, &version.value).is_none() {
            return;
        }
        for target in named {
            let known = self.brought.contains_key(&target);
            let count = self.counts.entry(target.kind).or_default();
            if !known && *count >= MAX_NAMES {
                continue;
            }
            if !known {
                *count += 1;
                self.names.insert(id(&target), target.clone());
            }
            if target.kind != Kind::Malware && self.links.len() < MAX_LINKS {
                self.links.insert(half(link(&target, version.key)), id(&target));
            }
            for place in self.brought.entry(target).or_default().iter_mut().skip(level(version.tlp)) {
                place.get_or_insert(version.added);
            }
        }
    }

    /// When a name was brought for those who read up to a marking.
    fn brought(&self, target: &Target, most: Tlp) -> Option<Timestamp> {
        self.brought.get(target).and_then(|brought| *brought.get(level(most))?)
    }

    /// Whether everything up to a moment was read; `None`: everything there will be.
    fn reaches(&self, until: Option<Timestamp>) -> bool {
        until.is_some_and(|until| self.position.is_some_and(|position| position >= until))
    }
}

impl Hub {
    /// When something was brought into a collection for those who read up to a marking, if that was not after a moment; `None` where it was not.
    ///
    /// # Errors
    /// What the log says; [`is_waiting`] where it was not read far enough by `deadline`.
    pub(super) fn target_brought(
        &self,
        events: Collection,
        target: &Target,
        most: Tlp,
        until: Timestamp,
        deadline: Instant,
    ) -> std::io::Result<Option<Timestamp>> {
        let shelf = self.families.of(events);
        self.read_families(events, &shelf, Some(until), Some(deadline), || true)?;
        let brought = shelf.known.read().brought(target, most);
        Ok(brought.filter(|brought| *brought <= until))
    }

    /// When what has this UUID was brought into the collection for those who read up to a marking.
    ///
    /// # Errors
    /// As [`Hub::target_brought`].
    pub(super) fn brought_as(&self, events: Collection, id: Uuid, most: Tlp, deadline: Instant) -> std::io::Result<Option<Timestamp>> {
        self.look(events, deadline, |known| known.names.get(&id).and_then(|target| known.brought(target, most)))
    }

    /// The technique or the vulnerability that the relationship with this UUID may lead to: what it is told of is to be compared.
    ///
    /// # Errors
    /// As [`Hub::target_brought`].
    pub(super) fn linked(&self, events: Collection, id: Uuid, deadline: Instant) -> std::io::Result<Option<Target>> {
        self.look(events, deadline, |known| known.links.get(&half(id)).and_then(|target| known.names.get(target)).cloned())
    }

    /// Looks something up in what is known, then in all there is.
    fn look<T>(&self, events: Collection, deadline: Instant, look: impl Fn(&Known) -> Option<T>) -> std::io::Result<Option<T>> {
        let shelf = self.families.of(events);
        let found = look(&shelf.known.read());
        if found.is_some() {
            return Ok(found);
        }
        self.read_families(events, &shelf, None, Some(deadline), || true)?;
        let found = look(&shelf.known.read());
        Ok(found)
    }

    /// Reads on until everything up to a moment is known, or all there is. Without a deadline it takes the time that it takes.
    fn read_families(
        &self,
        events: Collection,
        shelf: &Shelf,
        until: Option<Timestamp>,
        deadline: Option<Instant>,
        go_on: impl Fn() -> bool,
    ) -> std::io::Result<()> {
        let log: &Indicators = &self.store().indicators;
        let (id, link) = (|target: &Target| self.target_uuid(events, target), |target: &Target, key: u128| self.relationship_uuid(events, key, target));
        shelf.read(until, deadline, go_on, |after| log.page(events, after, PAGE), id, link)
    }
}

impl Shelf {
    /// Takes pages in until everything up to a moment is known, or all there is. `page` reads one from after a date on.
    fn read(
        &self,
        until: Option<Timestamp>,
        deadline: Option<Instant>,
        go_on: impl Fn() -> bool,
        page: impl Fn(Option<Timestamp>) -> std::io::Result<Vec<Indicator>>,
        id: impl Fn(&Target) -> Uuid,
        link: impl Fn(&Target, u128) -> Uuid,
    ) -> std::io::Result<()> {
        loop {
            if self.known.read().reaches(until) {
                return Ok(());
            }
            let turn = deadline.map_or_else(|| Some(self.turn.lock()), |deadline| self.turn.try_lock_until(deadline));
            if turn.is_none() || !go_on() {
                return Err(waiting());
            }
            // Whoever had the turn before may have read it.
            let position = {
                let known = self.known.read();
                if known.reaches(until) {
                    return Ok(());
                }
                known.position
            };
            let versions = page(position)?;
            {
                let mut known = self.known.write();
                versions.iter().for_each(|version| known.take(version, &id, &link));
            }
            drop(turn);
            if versions.len() < PAGE {
                return Ok(());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) && !self.known.read().reaches(until) {
                return Err(waiting());
            }
        }
    }
}

impl Families {
    fn of(&self, events: Collection) -> Arc<Shelf> {
        self.0.lock().entry(events).or_default().clone()
    }
}

/// Reads the logs of all collections, so that the first page after a start need not.
pub(crate) fn warm(hub: &Weak<Hub>) {
    let agreements = hub.upgrade().map(|hub| hub.store().indicators.told().1.partners().map(Collection::Agreement).collect::<Vec<_>>());
    let Some(agreements) = agreements else { return };
    for events in Collection::ALL.into_iter().chain(agreements) {
        let Some(hub) = hub.upgrade() else { return };
        let stopping = hub.stopping();
        let shelf = hub.families.of(events);
        match hub.read_families(events, &shelf, None, None, || !*stopping.borrow()) {
            Err(error) if !is_waiting(&error) => {
                tracing::warn!(%error, collection = %events.title(), "the log of indicators was not read to its end");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::test_support::indicator;
    use formats::stix::write::shaped;
    use model::{ObservableType, Text};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn version(micros: i64, kind: ObservableType, malware: Option<&str>, revoked: bool) -> Indicator {
        Indicator { kind, malware: malware.map(Text::from), revoked, ..indicator(Timestamp::from_micros(micros)) }
    }

    fn by_length(target: &Target) -> Uuid {
        shaped((target.kind as u128) << 32 | target.name.len() as u128)
    }

    fn by_key(target: &Target, key: u128) -> Uuid {
        shaped(by_length(target).as_u128() ^ key << 8)
    }

    fn family(name: &str) -> Target {
        Target { kind: Kind::Malware, name: Text::from(name) }
    }

    #[test]
    fn a_name_is_brought_once_by_the_first_that_is_given_and_has_room() {
        let mut known = Known::default();
        for version in [
            version(10, ObservableType::Domain, None, false),
            version(11, ObservableType::Domain, Some("close behind"), false),
            version(20, ObservableType::Ja3, Some("no pattern"), false),
            version(30, ObservableType::Domain, Some("taken back"), true),
            version(40, ObservableType::Domain, Some("a"), false),
            version(50, ObservableType::Domain, Some("a"), false),
            version(60, ObservableType::Domain, Some("close behind"), false),
        ] {
            known.take(&version, by_length, by_key);
        }
        let mut brought: Vec<(&str, Brought)> = known.brought.iter().map(|(target, at)| (target.name.as_str(), *at)).collect();
        brought.sort_unstable();
        let at = |micros| [None, Some(Timestamp::from_micros(micros)), Some(Timestamp::from_micros(micros)), Some(Timestamp::from_micros(micros))];
        assert_eq!(brought, [("a", at(40)), ("close behind", at(60))]);
        assert_eq!((known.names.len(), known.position), (2, Some(Timestamp::from_micros(60))));
    }

    #[test]
    fn who_reads_less_gets_a_name_with_the_first_version_that_it_may_read() {
        let mut known = Known::default();
        for (micros, tlp) in [(10, Tlp::AmberStrict), (20, Tlp::Amber), (30, Tlp::Clear), (40, Tlp::Green)] {
            known.take(&Indicator { tlp, ..version(micros, ObservableType::Domain, Some("a"), false) }, by_length, by_key);
        }
        let brought = |most| known.brought(&family("a"), most).map(Timestamp::micros);
        assert_eq!([Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red].map(brought), [Some(30), Some(30), Some(20), Some(10), Some(10)]);
        assert_eq!(known.brought(&family("b"), Tlp::Red), None);
    }

    #[test]
    fn techniques_and_vulnerabilities_are_brought_as_malware_is_and_their_relationships_are_told_from_their_ids() {
        let mut known = Known::default();
        let technique = Target { kind: Kind::AttackPattern, name: Text::from("T1566.001") };
        let cve = Target { kind: Kind::Vulnerability, name: Text::from("CVE-2024-3400") };
        let naming = |micros: i64, malware: Option<&str>, cves: bool| Indicator {
            techniques: vec![technique.name.clone(), Text::from("TA0001")],
            cves: if cves { vec![cve.name.clone()] } else { Vec::new() },
            ..version(micros, ObservableType::Domain, malware, false)
        };
        // The second needs nine microseconds.
        for version in [naming(10, None, false), naming(14, Some("close behind"), true), naming(40, Some("a"), true), naming(60, None, true)] {
            known.take(&version, by_length, by_key);
        }
        let brought = |target: &Target| known.brought(target, Tlp::Green).map(Timestamp::micros);
        assert_eq!([brought(&technique), brought(&cve), brought(&family("a")), brought(&family("close behind"))], [Some(10), Some(40), Some(40), None]);
        let told = |target: &Target, key: u128| known.links.get(&half(by_key(target, key))).and_then(|id| known.names.get(id));
        assert_eq!((told(&technique, 7), told(&cve, 7), told(&cve, 8), told(&family("a"), 7)), (Some(&technique), Some(&cve), None, None));
        assert_eq!((known.names.len(), known.counts[&Kind::AttackPattern]), (3, 1));
    }

    #[test]
    fn many_who_need_a_log_read_each_page_of_it_once_and_one_who_waits_too_long_is_told() {
        const PAGES: usize = 5;
        let (shelf, read) = (Shelf::default(), AtomicUsize::new(0));
        let page = |after: Option<Timestamp>| -> std::io::Result<Vec<Indicator>> {
            read.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
            let from = after.map_or(0, Timestamp::micros);
            let full = from < (PAGES * PAGE * 10) as i64;
            Ok((1..=if full { PAGE as i64 } else { 0 }).map(|place| version(from + place * 10, ObservableType::Domain, Some("a"), false)).collect())
        };
        let all = Timestamp::from_micros((PAGES * PAGE * 10) as i64);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| shelf.read(Some(all), Some(Instant::now() + Duration::from_secs(60)), || true, page, by_length, by_key).unwrap());
            }
        });
        assert_eq!((read.load(Ordering::Relaxed), shelf.known.read().position), (PAGES, Some(all)));

        let later = Timestamp::from_micros(all.micros() + 1);
        let _turn = shelf.turn.lock();
        let error = shelf.read(Some(later), Some(Instant::now()), || true, page, by_length, by_key).unwrap_err();
        assert!(is_waiting(&error) && !is_waiting(&std::io::ErrorKind::TimedOut.into()));
        // What is known is looked up all the same.
        shelf.read(Some(all), Some(Instant::now()), || true, page, by_length, by_key).unwrap();
        assert!(shelf.known.read().brought(&family("a"), Tlp::Green).is_some());
    }
}
