//! What is due of keys: their rows, folded for every collection that is written, against the newest versions; then the logs.
//!
//! Invariant: what a value's newest version says decides, so that looking twice writes nothing twice. What was told of reporters and agreements is
//! heard up to where the rows are, so that no row is ever admitted by what was true before it came.

use super::fold::{self, Content, Step, is_young};
use super::follow::Following;
use super::frames::Found;
use super::latest::{Version, Versions};
use super::log::{Log, Pending};
use super::{Collection, Indicator};
use crate::views::Row;
use crate::views::strings::Class;
use model::{ObservableType, Text, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// The collections that are written, with what comes into their logs.
    logs: BTreeMap<Collection, (Arc<Log>, Pending)>,
    changed: Vec<(u128, Versions)>,
    /// Keys that cannot be looked at now.
    withheld: Vec<u128>,
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
            let logs = open.filter_map(|collection| {
                let log = self.indicators.log(collection)?;
                let pending = log.pending();
                Some((collection, (log, pending)))
            });
            let mut batch = Batch { now, logs: logs.collect(), changed: Vec::new(), withheld: Vec::new() };
            for (key, found) in chunk {
                self.check_stop()?;
                self.evaluate_key(*key, found.as_ref(), why, &mut batch)?;
            }
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
            batch.logs.keys().map(|collection| (*collection, content(*collection))).collect()
        };
        let mut value = found.map(|found| (found.kind, found.value.clone()));
        let mut versions = last.clone();
        for (collection, content) in contents {
            let newest = last.of(collection).copied();
            let corrected = if why == Why::Due { None } else { content.clone() };
            let mut step = fold::step(newest.as_ref(), content, now);
            if step == Step::Keep && corrected.is_none() {
                continue;
            }
            let Some((log, pending)) = batch.logs.get_mut(&collection) else { continue };
            let previous = newest.map(|version| version.offset);
            let before = previous.map(|offset| log.entry_at(offset)).transpose()?.map(|entry| entry.indicator);
            // A withdrawal or an amendment does not wait for tomorrow.
            if step == Step::Keep {
                match (corrected, &before) {
                    (Some(content), Some(before)) if why.writes(&content, before) => step = Step::Write(content),
                    _ => continue,
                }
            }
            if value.is_none() {
                value = match &before {
                    Some(before) => Some((before.kind, before.value.clone())),
                    None => self.known_value(key, &rows, &last)?,
                };
            }
            let added = pending.next_added(now);
            let created = before.as_ref().map_or(added, |before| before.created);
            let indicator = match (step, before, value.clone()) {
                (Step::Write(content), _, Some(value)) => content.into_indicator(collection, key, value, added, created),
                (Step::Revoke, Some(before), _) => Indicator { added, revoked: true, ..before },
                (Step::Write(_) | Step::Revoke | Step::Keep, _, _) => {
                    tracing::error!("a value is in no block that its aggregates name; it makes no indicator");
                    continue;
                }
            };
            let offset = pending.push(&indicator, previous);
            versions.set(collection, Version::of(&indicator, offset));
        }
        if versions != last {
            batch.changed.push((key, versions));
        }
        Ok(())
    }

    /// The value of a key that no frame has just brought: from another collection's version, else from the ledger, as where a false-positive
    /// claim about it was rejected again.
    fn known_value(&mut self, key: u128, rows: &[(Row, Class)], last: &Versions) -> std::io::Result<Option<(ObservableType, Text)>> {
        for (collection, version) in last.iter() {
            if let Some(log) = self.indicators.log(collection) {
                let known = log.entry_at(version.offset)?.indicator;
                return Ok(Some((known.kind, known.value)));
            }
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
        for (log, pending) in batch.logs.values() {
            log.write(pending)?;
        }
        for (log, pending) in batch.logs.values() {
            log.publish(pending);
        }
        self.indicators.newest.put(batch.changed.drain(..));
        // A long round must not outgrow memory.
        self.freeze_where_due()
    }
}
