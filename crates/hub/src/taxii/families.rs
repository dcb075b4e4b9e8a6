//! Names of malware, and the versions of indicators that first brought each into a collection.
//!
//! Flow: the log of a collection is read in its order, as far as a page needs it; soon after the start all of it ([`warm`]).
//! Invariant: a function of the log. A name is brought by the first version that names it, is given as an indicator and has room beside it
//! ([`super::beside`]), so that it is in the collection once, before everything that refers to it; for whom a narrower reach hides stricter versions, by
//! the first of those it reaches.
//! Invariant: nobody who looks a name up waits for who reads the log, and no log is read twice. Of those who need more of it one reads a page at a
//! time while the others wait, each until its own deadline ([`is_waiting`]); what was read by then stays.
//! Not here: how a family is written (`formats::stix::write`).

use super::beside::has_room;
use crate::Hub;
use formats::stix::write::{pattern, shaped};
use model::{Text, Timestamp, Tlp};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use store::views::indicators::{Collection, Indicator, Indicators};
use uuid::Uuid;

/// Names of one collection at the most; indicators that bring others have no relationship.
const MAX_FAMILIES: usize = 65_536;
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
    brought: HashMap<Text, Brought>,
    names: HashMap<Uuid, Text>,
}

/// When a name was brought for those who read up to each marking.
type Brought = [Option<Timestamp>; LEVELS];

/// The log was not read far enough in time.
#[derive(Debug, thiserror::Error)]
#[error("the log of indicators is still being read")]
struct Waiting;

/// Whether an error says that a log was not read far enough in time; the next try goes on from there.
pub(super) fn is_waiting(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Waiting>)
}

fn waiting() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, Waiting)
}

fn level(tlp: Tlp) -> usize {
    usize::from(tlp.number()).min(LEVELS - 1)
}

impl Known {
    fn take(&mut self, version: &Indicator, id: impl Fn(&str) -> Uuid) {
        let room = has_room(self.position, version.added);
        self.position = Some(version.added);
        let Some(name) = version.malware.as_ref().filter(|_| room && !version.revoked) else { return };
        let known = self.brought.contains_key(name);
        if (!known && self.brought.len() >= MAX_FAMILIES) || pattern(version.kind, &version.value).is_none() {
            return;
        }
        if !known {
            self.names.insert(id(name), name.clone());
        }
        for place in self.brought.entry(name.clone()).or_default().iter_mut().skip(level(version.tlp)) {
            place.get_or_insert(version.added);
        }
    }

    /// When a name was brought for those who read up to a marking.
    fn brought(&self, name: &Text, most: Tlp) -> Option<Timestamp> {
        self.brought.get(name).and_then(|brought| *brought.get(level(most))?)
    }

    /// Whether everything up to a moment was read; `None`: everything there will be.
    fn reaches(&self, until: Option<Timestamp>) -> bool {
        until.is_some_and(|until| self.position.is_some_and(|position| position >= until))
    }
}

impl Hub {
    /// The UUID of a family in a collection.
    pub(super) fn family_uuid(&self, events: Collection, name: &str) -> Uuid {
        shaped(self.store().views.keys.label(&format!("{} malware {name}", events.title())))
    }

    /// When a name was brought into a collection for those who read up to a marking, if that was not after a moment; `None` where it was not.
    ///
    /// # Errors
    /// What the log says; [`is_waiting`] where it was not read far enough by `deadline`.
    pub(super) fn family_brought(&self, events: Collection, name: &Text, most: Tlp, until: Timestamp, deadline: Instant) -> std::io::Result<Option<Timestamp>> {
        let shelf = self.families.of(events);
        self.read_families(events, &shelf, Some(until), Some(deadline), || true)?;
        let brought = shelf.known.read().brought(name, most);
        Ok(brought.filter(|brought| *brought <= until))
    }

    /// When the family with this UUID was brought into the collection for those who read up to a marking.
    ///
    /// # Errors
    /// As [`Hub::family_brought`].
    pub(super) fn family(&self, events: Collection, id: Uuid, most: Tlp, deadline: Instant) -> std::io::Result<Option<Timestamp>> {
        let shelf = self.families.of(events);
        let look = || {
            let known = shelf.known.read();
            known.names.get(&id).and_then(|name| known.brought(name, most))
        };
        if let Some(brought) = look() {
            return Ok(Some(brought));
        }
        self.read_families(events, &shelf, None, Some(deadline), || true)?;
        Ok(look())
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
        shelf.read(until, deadline, go_on, |after| log.page(events, after, PAGE), |name| self.family_uuid(events, name))
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
        id: impl Fn(&str) -> Uuid,
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
                versions.iter().for_each(|version| known.take(version, &id));
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
    use model::{Category, ObservableType, Pap};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn version(micros: i64, kind: ObservableType, malware: Option<&str>, revoked: bool) -> Indicator {
        let at = Timestamp::from_micros(micros);
        Indicator {
            collection: Collection::Green,
            added: at,
            key: 7,
            kind,
            value: Text::from("a.example.com"),
            created: at,
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

    fn by_length(name: &str) -> Uuid {
        shaped(name.len() as u128)
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
            known.take(&version, by_length);
        }
        let mut brought: Vec<(&str, Brought)> = known.brought.iter().map(|(name, at)| (name.as_str(), *at)).collect();
        brought.sort_unstable();
        let at = |micros| [None, Some(Timestamp::from_micros(micros)), Some(Timestamp::from_micros(micros)), Some(Timestamp::from_micros(micros))];
        assert_eq!(brought, [("a", at(40)), ("close behind", at(60))]);
        assert_eq!((known.names.len(), known.position), (2, Some(Timestamp::from_micros(60))));
    }

    #[test]
    fn who_reads_less_gets_a_name_with_the_first_version_that_it_may_read() {
        let mut known = Known::default();
        for (micros, tlp) in [(10, Tlp::AmberStrict), (20, Tlp::Amber), (30, Tlp::Clear), (40, Tlp::Green)] {
            known.take(&Indicator { tlp, ..version(micros, ObservableType::Domain, Some("a"), false) }, by_length);
        }
        let brought = |most| known.brought(&Text::from("a"), most).map(Timestamp::micros);
        assert_eq!([Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red].map(brought), [Some(30), Some(30), Some(20), Some(10), Some(10)]);
        assert_eq!(known.brought(&Text::from("b"), Tlp::Red), None);
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
                scope.spawn(|| shelf.read(Some(all), Some(Instant::now() + Duration::from_secs(60)), || true, page, by_length).unwrap());
            }
        });
        assert_eq!((read.load(Ordering::Relaxed), shelf.known.read().position), (PAGES, Some(all)));

        let later = Timestamp::from_micros(all.micros() + 1);
        let _turn = shelf.turn.lock();
        let error = shelf.read(Some(later), Some(Instant::now()), || true, page, by_length).unwrap_err();
        assert!(is_waiting(&error) && !is_waiting(&std::io::ErrorKind::TimedOut.into()));
        // What is known is looked up all the same.
        shelf.read(Some(all), Some(Instant::now()), || true, page, by_length).unwrap();
        assert!(shelf.known.read().brought(&Text::from("a"), Tlp::Green).is_some());
    }
}
