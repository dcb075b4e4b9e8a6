//! What is due of keys: their rows, folded for every collection that is written, against the newest versions; then the logs.
//!
//! Invariant: what a value's newest version says decides, so that looking twice writes nothing twice. What was told of reporters and agreements is
//! heard up to where the rows are, so that no row is ever admitted by what was true before it came.
//! Collections for many that say the same of a value, after the same version before, share one body. What is dated tells nothing of what a reader may
//! not have: bodies are placed collection by collection, the one with most readers first, and an agreement's have dates of their own.

use super::fold::{self, Content, Step, is_young};
use super::follow::Following;
use super::frames::Found;
use super::latest::{Version, Versions};
use super::pending::Pending;
use super::{Collection, Indicator};
use crate::views::Row;
use crate::views::strings::Class;
use model::{ObservableType, Text, Timestamp};
use smallvec::{SmallVec, smallvec};

/// Keys that are looked at before what is due is synced.
pub(super) const BATCH_KEYS: usize = 16_384;

/// Why keys are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Events brought them, or a day has passed: what changed is written when it is due.
    Due,
    /// Somebody touched them on purpose: what is no longer as the newest version says is written at once.
    Touched,
    /// A collection may say too much of them: what is to be taken back is written at once.
    Narrowed,
}

impl Why {
    /// Whether this is written although it would not be due.
    fn writes(self, content: &Content, before: &Indicator) -> bool {
        match self {
            Self::Due => false,
            Self::Touched => !content.is_said_by(before),
            Self::Narrowed => content.takes_back(before),
        }
    }
}

/// What is due of some keys, on its way into the logs.
struct Batch {
    now: Timestamp,
    /// The collections that are written, in order.
    collections: Vec<Collection>,
    /// What comes into their logs.
    pending: Pending,
    decided: Vec<Decided>,
    changed: Vec<(u128, Versions)>,
    /// Keys that cannot be looked at now.
    withheld: Vec<u128>,
}

/// What is to be written of one key.
struct Decided {
    key: u128,
    versions: Versions,
    said: SmallVec<[Said; 3]>,
}

/// A body that is to be written for some collections of a key: those that have the same step to take from the same version share it.
struct Said {
    /// In order; the first one has most readers.
    collections: SmallVec<[Collection; 3]>,
    step: Step,
    previous: Option<u64>,
    /// Without its dates.
    indicator: Indicator,
}

/// Joins a collection to what is said already in the same words; true where it is. An agreement's body is its own.
fn joined(said: &mut [Said], collection: Collection, step: &Step, previous: Option<u64>) -> bool {
    let for_many = |collection: Collection| collection.place().is_some();
    let same = |said: &&mut Said| said.previous == previous && said.step == *step && said.collections.first().copied().is_some_and(for_many);
    match said.iter_mut().find(same).filter(|_| for_many(collection)) {
        Some(same) => {
            same.collections.push(collection);
            true
        }
        None => false,
    }
}

impl Batch {
    /// Gives what was decided its dates and places.
    fn place(&mut self) {
        for &collection in &self.collections {
            self.pending.turn_to(collection);
            for Decided { versions, said, .. } in &mut self.decided {
                for Said { collections, previous, indicator, .. } in said.iter_mut().filter(|said| said.collections.first() == Some(&collection)) {
                    // How far it must be from the one before follows from what it says.
                    indicator.added = self.pending.next_added(self.now, indicator.room());
                    if previous.is_none() {
                        indicator.created = indicator.added;
                    }
                    let Some(placed) = self.pending.add(indicator, *previous) else {
                        tracing::error!("what is said of a value is too long for the log; it makes no indicator");
                        continue;
                    };
                    for &of in collections.iter() {
                        self.pending.name(of, placed);
                        versions.set(of, Version::of(indicator, placed.place));
                    }
                }
            }
        }
        self.changed.extend(self.decided.drain(..).map(|decided| (decided.key, decided.versions)));
    }
}

impl Following {
    /// Writes what is due of these keys. Gives those that are withheld.
    pub(super) fn evaluate(&mut self, mut keys: Vec<(u128, Option<Found>)>, why: Why) -> std::io::Result<Vec<u128>> {
        // What lies together on disk is read together.
        keys.sort_unstable_by_key(|(key, _)| *key);
        let mut withheld = Vec::new();
        for chunk in keys.chunks(BATCH_KEYS) {
            let now = (self.now)();
            let open = self.register.open_collections(now).into_iter();
            let logs = open.filter_map(|collection| Some((collection, self.indicators.log(collection)?)));
            let pending = Pending::new(&self.indicators.bodies, logs);
            let mut batch =
                Batch { now, collections: pending.collections().collect(), pending, decided: Vec::new(), changed: Vec::new(), withheld: Vec::new() };
            for (key, found) in chunk {
                self.check_stop()?;
                self.evaluate_key(*key, found.as_ref(), why, &mut batch)?;
            }
            batch.place();
            self.commit(&mut batch)?;
            withheld.append(&mut batch.withheld);
        }
        Ok(withheld)
    }

    fn evaluate_key(&mut self, key: u128, found: Option<&Found>, why: Why, batch: &mut Batch) -> std::io::Result<()> {
        let now = batch.now;
        let last = self.indicators.newest.get(key)?;
        let views = self.frames.views.clone();
        let disputed = views.disputed.read().contains(&key);
        // Most values come again and again: where every version is young and stands, nothing more need be read.
        let stands = |collection: &Collection| {
            let covers = |version: &Version| found.is_none_or(|found| version.pap >= found.pap && version.tlp >= found.tlp.min(collection.tlp()));
            last.of(*collection).is_some_and(|version| !version.revoked && is_young(version, now) && covers(version))
        };
        if !disputed && found.is_some_and(|found| found.enters.iter().all(stands)) {
            return Ok(());
        }
        let Some(rows) = views.observables.get_unless_withheld(key)? else {
            batch.withheld.push(key);
            return Ok(());
        };
        // What was told of their reporters lies before them.
        self.hear()?;
        let rows: Vec<(Row, Class)> = rows.into_iter().filter_map(|row| views.class(row.class).map(|class| (row, class))).collect();
        let contents: Vec<(Collection, Option<Content>)> = {
            let strings = &views.strings;
            let text = |number: u32| strings.get(number);
            let content = |collection: Collection| {
                let admits = |class: &Class| self.register.admits(collection, class, text, now);
                // An upheld false positive leaves every collection.
                fold::fold(&rows, admits, collection, strings).filter(|_| !disputed)
            };
            batch.collections.iter().map(|collection| (*collection, content(*collection))).collect()
        };
        let mut value = found.map(|found| (found.kind, found.value.clone()));
        let mut said: SmallVec<[Said; 3]> = SmallVec::new();
        for (collection, content) in contents {
            let newest = last.of(collection).copied();
            let corrected = if why == Why::Due { None } else { content.clone() };
            let mut step = fold::step(newest.as_ref(), content, now);
            if step == Step::Keep && corrected.is_none() {
                continue;
            }
            let previous = newest.map(|version| version.place);
            // What was said of the same version before is the same here.
            if joined(&mut said, collection, &step, previous) {
                continue;
            }
            let before = previous.map(|place| self.indicators.bodies.entry(place, collection)).transpose()?.map(|entry| entry.indicator);
            // A withdrawal or an amendment does not wait for tomorrow.
            if step == Step::Keep {
                match (corrected, &before) {
                    (Some(content), Some(before)) if why.writes(&content, before) => step = Step::Write(content),
                    _ => continue,
                }
                if joined(&mut said, collection, &step, previous) {
                    continue;
                }
            }
            if value.is_none() {
                value = match &before {
                    Some(before) => Some((before.kind, before.value.clone())),
                    None => self.known_value(key, &rows, &last)?,
                };
            }
            let created = before.as_ref().map(|before| before.created);
            let threats_before = before.as_ref().map_or(0, Indicator::threats_yet);
            // The log keeps no key: what is written must lead back to this one.
            let own = value.clone().filter(|(kind, value)| views.keys.observable(*kind, value) == key);
            let mut indicator = match (step.clone(), before, own) {
                (Step::Write(content), _, Some(value)) => content.into_indicator(collection, key, value, now, now),
                (Step::Revoke, Some(before), _) => Indicator { revoked: true, ..before },
                (Step::Write(_) | Step::Revoke | Step::Keep, _, _) => {
                    tracing::error!("a value is in no block that its aggregates name; it makes no indicator");
                    continue;
                }
            };
            indicator.threats_before = threats_before;
            indicator.created = created.unwrap_or(now);
            said.push(Said { collections: smallvec![collection], step, previous, indicator });
        }
        if !said.is_empty() {
            batch.decided.push(Decided { key, versions: last, said });
        }
        Ok(())
    }

    /// The value of a key that no frame has just brought: from another collection's version, else from the ledger, as where a false-positive
    /// claim about it was rejected again.
    fn known_value(&mut self, key: u128, rows: &[(Row, Class)], last: &Versions) -> std::io::Result<Option<(ObservableType, Text)>> {
        if let Some((collection, version)) = last.iter().next() {
            let known = self.indicators.bodies.entry(version.place, collection)?.indicator;
            return Ok(Some((known.kind, known.value)));
        }
        match fold::newest_event(rows) {
            Some(event) => self.frames.value_of(key, event),
            None => Ok(None),
        }
    }

    /// Makes what is due durable, then lets readers see it.
    fn commit(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        if batch.changed.is_empty() {
            return Ok(());
        }
        let bodies = &self.indicators.bodies;
        if self.untidy {
            // What a write that failed left must be gone before others come where it names them: rows first.
            for log in self.indicators.logs.read().values() {
                log.cut()?;
            }
            bodies.cut()?;
        }
        self.untidy = true;
        batch.pending.write(bodies)?;
        self.untidy = false;
        batch.pending.publish(bodies);
        self.indicators.newest.put(batch.changed.drain(..));
        // A long round must not outgrow memory.
        self.freeze_where_due()
    }
}
