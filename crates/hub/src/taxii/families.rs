//! Names of malware, and the version of an indicator that first brought each into a collection.
//!
//! Flow: the log of a collection is read in its order, as far as a page needs it; soon after the start all of it ([`warm`]).
//! Invariant: a function of the log. A name is brought by the first version that names it, is given as an indicator and has room beside it
//! ([`super::beside`]), so that it is in the collection once, before everything that refers to it.
//! Not here: how a family is written (`formats::stix::write`).

use super::beside::has_room;
use crate::Hub;
use formats::stix::write::{pattern, shaped};
use model::{Text, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use store::views::indicators::{Collection, Indicator, Indicators};
use uuid::Uuid;

/// Names of one collection at the most; indicators that bring others have no relationship.
const MAX_FAMILIES: usize = 65_536;
/// Versions read at once.
const PAGE: usize = 4_096;

/// What each collection's log names, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<HashMap<Collection, Arc<Mutex<Known>>>>);

/// One collection's.
#[derive(Debug, Default)]
struct Known {
    /// Date of the last version that was read.
    position: Option<Timestamp>,
    brought: HashMap<Text, Timestamp>,
    names: HashMap<Uuid, Text>,
}

impl Known {
    fn take(&mut self, version: &Indicator, id: impl Fn(&str) -> Uuid) {
        let room = has_room(self.position, version.added);
        self.position = Some(version.added);
        let Some(name) = version.malware.as_ref().filter(|_| room && !version.revoked) else { return };
        if self.brought.contains_key(name) || self.brought.len() >= MAX_FAMILIES || pattern(version.kind, &version.value).is_none() {
            return;
        }
        self.brought.insert(name.clone(), version.added);
        self.names.insert(id(name), name.clone());
    }
}

impl Hub {
    /// The UUID of a family in a collection.
    pub(super) fn family_uuid(&self, events: Collection, name: &str) -> Uuid {
        shaped(self.store().views.keys.label(&format!("{} malware {name}", events.title())))
    }

    /// When a name was brought into a collection, if that was not after a moment; `None` where it was not.
    ///
    /// # Errors
    /// What the log says.
    pub(super) fn family_brought(&self, events: Collection, name: &Text, until: Timestamp) -> std::io::Result<Option<Timestamp>> {
        let known = self.families.of(events);
        let mut known = known.lock();
        self.read_families(events, &mut known, Some(until), || true)?;
        Ok(known.brought.get(name).copied().filter(|brought| *brought <= until))
    }

    /// The name of a family with this UUID, and when it was brought into the collection.
    ///
    /// # Errors
    /// What the log says.
    pub(super) fn family(&self, events: Collection, id: Uuid) -> std::io::Result<Option<(Text, Timestamp)>> {
        let known = self.families.of(events);
        let mut known = known.lock();
        self.read_families(events, &mut known, None, || true)?;
        Ok(known.names.get(&id).and_then(|name| Some((name.clone(), *known.brought.get(name)?))))
    }

    /// Reads on until everything up to a moment is known, or all there is.
    fn read_families(&self, events: Collection, known: &mut Known, until: Option<Timestamp>, go_on: impl Fn() -> bool) -> std::io::Result<()> {
        let log: &Indicators = &self.store().indicators;
        while go_on() && until.is_none_or(|until| known.position.is_none_or(|position| position < until)) {
            let page = log.page(events, known.position, PAGE)?;
            page.iter().for_each(|version| known.take(version, |name| self.family_uuid(events, name)));
            if page.len() < PAGE {
                break;
            }
        }
        Ok(())
    }
}

impl Families {
    fn of(&self, events: Collection) -> Arc<Mutex<Known>> {
        self.0.lock().entry(events).or_default().clone()
    }
}

/// Reads the logs of the collections for many, so that the first page after a start need not.
pub(crate) fn warm(hub: &Weak<Hub>) {
    for events in Collection::ALL {
        let Some(hub) = hub.upgrade() else { return };
        let stopping = hub.stopping();
        let known = hub.families.of(events);
        if let Err(error) = hub.read_families(events, &mut known.lock(), None, || !*stopping.borrow()) {
            tracing::warn!(%error, collection = %events.title(), "the log of indicators was not read to its end");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, ObservableType, Pap, Tlp};

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
            known.take(&version, |name| shaped(name.len() as u128));
        }
        let mut brought: Vec<(&str, i64)> = known.brought.iter().map(|(name, at)| (name.as_str(), at.micros())).collect();
        brought.sort_unstable();
        assert_eq!(brought, [("a", 40), ("close behind", 60)]);
        assert_eq!((known.names.len(), known.position), (2, Some(Timestamp::from_micros(60))));
    }
}
