//! Looks at what was looked at before: what has become a day old, what a collection may say too much of, and what it may say now and did not.
//!
//! Flow: a change of what the ledger told ([`Following::hear`]) begins a look, carried on piece by piece: in every round where something may be said
//! too much, in rounds without new frames where something is missing. What is left of it is in `POSITION`.
//! Invariant: no look holds up new frames for more than one piece.

use super::evaluate::{BATCH_KEYS, Why};
use super::fold::SETTLED;
use super::follow::{BATCH_FRAMES, Following, Shelf};
use super::frames::{Admitting, Values};
use super::growing::START;
use super::register::looks;
use super::rows::Rows;
use super::state::Kept;
use super::{Collection, MAX_SETTLED, Settled};
use crate::ledger::Kind;
use hashbrown::HashSet;
use model::Seq;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

/// Versions of a collection that are looked at again in one round, and the rest of a row.
const LOOK_AGAIN: usize = 2_048;
/// Touched values of which it is asked where they stand; of more it is taken for granted.
const MAX_ASKED: usize = 10_000;

impl Following {
    /// Hears what the ledger told of agreements and reporters up to where the views are, and begins the looks that a change asks for.
    pub(super) fn hear(&mut self) -> std::io::Result<()> {
        let end = self.frames.views.position();
        if end == self.heard {
            return Ok(());
        }
        let (first, last) = (self.frames.ledger.index_of(self.heard), self.frames.ledger.index_of(end));
        let mut register = None;
        for at in first..last {
            let Some(place) = self.frames.ledger.place(at).filter(|place| place.header.kind == Kind::Control) else { continue };
            if let Some(control) = self.frames.control(&place)? {
                register.get_or_insert_with(|| self.register.clone()).hear(control);
            }
        }
        if let Some(register) = register.filter(|register| *register != self.register) {
            // What may fail comes first: nothing is heard by halves.
            for partner in register.partners() {
                self.open_log(Collection::Agreement(partner))?;
            }
            let has_events = |organisation| self.frames.views.classes.has_reporter(organisation);
            let looks = looks(&self.register, &register, (self.now)(), has_events);
            self.indicators.told.write().1 = Arc::new(register.clone());
            self.register = register;
            self.changes += 1;
            for collection in looks.again {
                // Also where the log is empty: what is on its way into it was decided by what was told before.
                if let Some(shelf) = self.shelves.get_mut(&collection) {
                    shelf.again = Some(START);
                }
            }
            if looks.everything && self.position > Seq(0) {
                self.walk = Some(Seq(0));
            }
        }
        self.heard = end;
        self.indicators.told.write().0 = end;
        Ok(())
    }

    /// Makes the log of a collection that has none yet.
    fn open_log(&mut self, collection: Collection) -> std::io::Result<()> {
        if self.shelves.contains_key(&collection) {
            return Ok(());
        }
        let log = Rows::open(&self.folder, collection, 0, &self.indicators.bodies)?;
        let log = Arc::new(log.ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "a log of indicators that nobody knows is damaged"))?);
        File::open(&self.folder)?.sync_all()?;
        self.indicators.logs.write().insert(collection, log.clone());
        self.shelves.insert(collection, Shelf::new(log, Kept::default()));
        Ok(())
    }

    /// Looks once more at versions that have become a day old: what changed meanwhile was not worth a version then.
    pub(super) fn look_again(&mut self) -> std::io::Result<()> {
        let now = (self.now)();
        let mut keys = HashSet::new();
        let mut reached = Vec::new();
        for (&collection, shelf) in &self.shelves {
            if shelf.look_from > now || !self.register.is_open(collection, now) {
                continue;
            }
            let mut old: Vec<(u64, u128)> = Vec::new();
            // Where nothing is left, what comes is as old as that tomorrow.
            let mut next = now.plus(SETTLED);
            let end = shelf.log.walk(&self.indicators.bodies, shelf.looked_at, |walked| {
                // The versions of a row were written together: all are old when the last one is.
                let settled = walked.last_added()?.plus(SETTLED);
                if settled > now || old.len() >= LOOK_AGAIN {
                    next = settled;
                    return Ok(false);
                }
                walked.put_keys(&mut old)?;
                Ok(true)
            })?;
            self.standing(collection, old, &mut keys)?;
            reached.push((collection, end, next));
        }
        let withheld = self.evaluate(keys.into_iter().map(|key| (key, None)).collect(), Why::Due)?;
        self.touched.extend(withheld);
        for (collection, looked_at, look_from) in reached {
            if let Some(shelf) = self.shelves.get_mut(&collection) {
                (shelf.looked_at, shelf.look_from) = (looked_at, look_from);
            }
        }
        Ok(())
    }

    /// Looks at a piece of what collections may say too much of; true where more waits.
    pub(super) fn take_back(&mut self) -> std::io::Result<bool> {
        let now = (self.now)();
        let due = |(collection, shelf): (&Collection, &Shelf)| {
            let from = shelf.again.filter(|_| self.register.is_open(*collection, now))?;
            Some((*collection, from, shelf.log.clone()))
        };
        let Some((collection, from, log)) = self.shelves.iter().find_map(due) else { return Ok(false) };
        let (end, changes) = (log.end(), self.changes);
        let mut piece: Vec<(u64, u128)> = Vec::new();
        let reached = log.walk(&self.indicators.bodies, from, |walked| {
            if piece.len() >= LOOK_AGAIN {
                return Ok(false);
            }
            walked.put_keys(&mut piece)?;
            Ok(true)
        })?;
        let mut keys = HashSet::new();
        self.standing(collection, piece, &mut keys)?;
        let withheld = self.evaluate(keys.into_iter().map(|key| (key, None)).collect(), Why::Narrowed)?;
        self.touched.extend(withheld);
        // What is added from here on says what may be said. Another change may have begun it anew.
        if let Some(shelf) = self.shelves.get_mut(&collection).filter(|_| self.changes == changes) {
            shelf.again = (reached < end).then_some(reached);
        }
        Ok(true)
    }

    /// Notes which logs have settled under what is agreed: what was to be looked at was, and nothing waits that could not be. True where one has.
    pub(super) fn settle(&self) -> bool {
        let now = (self.now)();
        let mut is_new = false;
        let looked_at = self.shelves.iter().filter(|(collection, shelf)| shelf.again.is_none() && self.register.is_open(**collection, now));
        for (&collection, shelf) in looked_at {
            let Some(version) = self.unsettled(collection) else { continue };
            if self.waits_in(collection) {
                continue;
            }
            let mut all = self.indicators.settled.write();
            let settled = all.entry(collection).or_default();
            if settled.len() >= MAX_SETTLED {
                settled.remove(0);
            }
            settled.push(Settled { version, at: shelf.log.stand().last });
            is_new = true;
        }
        is_new
    }

    /// Whether a version that stands in a collection waits to be looked at.
    fn waits_in(&self, collection: Collection) -> bool {
        let stands = |key: u128| self.indicators.newest.get(key).map_or(true, |versions| versions.of(collection).is_some_and(|version| !version.revoked));
        self.touched.len() > MAX_ASKED || self.touched.iter().any(|&key| stands(key))
    }

    /// The version of the record with which a collection's agreement came, where the log has not settled under it.
    pub(super) fn unsettled(&self, collection: Collection) -> Option<u64> {
        let Collection::Agreement(partner) = collection else { return None };
        let version = self.register.terms(partner)?.version;
        let settled = self.indicators.settled.read();
        let last = settled.get(&collection).and_then(|settled| settled.last());
        last.is_none_or(|last| last.version < version).then_some(version)
    }

    /// Looks at a piece of the ledger for what collections may say and did not; true where more waits.
    pub(super) fn walk(&mut self) -> std::io::Result<bool> {
        let Some(from) = self.walk else { return Ok(false) };
        let (first, last) = (self.frames.ledger.index_of(from), self.frames.ledger.index_of(self.position));
        let (mut values, changes) = (Values::default(), self.changes);
        let (mut reached, mut at) = (from, first);
        let admitting = Admitting::of(&self.register, (self.now)());
        while at < last && values.len() < BATCH_KEYS && at - first < BATCH_FRAMES {
            let Some(place) = self.frames.ledger.place(at) else { break };
            self.check_stop()?;
            if place.header.kind == Kind::Events {
                self.frames.bring(&place, &admitting, &mut values)?;
            }
            reached = place.header.end();
            at += 1;
        }
        let withheld = self.evaluate(values.into_iter().map(|(key, found)| (key, Some(found))).collect(), Why::Due)?;
        self.touched.extend(withheld);
        if self.changes == changes {
            self.walk = (at < last).then_some(reached);
        }
        Ok(true)
    }

    /// Adds the keys of those versions that are still the newest of their values and stand.
    fn standing(&self, collection: Collection, versions: Vec<(u64, u128)>, keys: &mut HashSet<u128>) -> std::io::Result<()> {
        for (place, key) in versions {
            let newest = self.indicators.newest.get(key)?;
            if newest.of(collection).is_some_and(|version| version.place == place && !version.revoked) {
                keys.insert(key);
            }
        }
        Ok(())
    }
}
