//! Views: what answers are made from. Each follows the ledger and can be made anew from it.
//!
//! Flow: the apply thread gives each frame's parts to [`Applier::apply`], in ledger order; readers ask [`Views`].
//! Invariant: every view is a function of the ledger alone, but for the dates and number of versions in [`indicators`]; merging is decided here,
//! in ledger order, and nowhere else.
//! Not here: who may see what (`policy`), threads (`engine`).

pub mod checkpoint;
mod coverage;
mod filter;
pub mod indicators;
pub mod key;
pub mod observables;
pub mod owners;
pub mod prepare;
pub mod recent;
pub(crate) mod remains;
pub mod row;
pub mod run;
pub mod seen;
pub mod strings;
pub mod tallies;

pub use filter::Filter as KeyFilter;
pub use key::Keys;
pub use prepare::{Days, Prepared, prepare};
pub use row::Row;

use crate::ledger::columns::{Tombstone, Tombstones};
use crate::ledger::frame::Header;
use crate::ledger::{Hole, Submission};
use coverage::Coverage;
use hashbrown::HashSet;
use model::{Event, OrgNo, Seq, Timestamp};
use observables::Observables;
use parking_lot::RwLock;
use recent::Gathered;
use roaring::RoaringTreemap;
use seen::Seen;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strings::{Class, Classes, Strings};
use tallies::{Tallies, TallyKey};

/// How long a sender's id covers an event sent again.
pub const ID_WINDOW: Duration = Duration::from_secs(7 * 86_400);
/// How long an entry without a time of its own covers its repeats.
pub const LIST_WINDOW: Duration = Duration::from_secs(86_400);

/// What readers ask.
#[derive(Debug)]
pub struct Views {
    /// Keys of values.
    pub keys: Keys,
    /// Aggregates by value.
    pub observables: Observables,
    /// Interned texts.
    pub strings: Strings,
    /// Interned classes.
    pub classes: Classes,
    /// Counters per day.
    pub tallies: RwLock<Tallies>,
    /// Events that had come before.
    pub merged: RwLock<RoaringTreemap>,
    /// Events withdrawn or amended.
    pub withdrawn: RwLock<RoaringTreemap>,
    /// Keys of values whose false-positive claim was upheld.
    pub disputed: RwLock<HashSet<u128>>,
    /// Events that count.
    pub events: AtomicU64,
    applied: AtomicU64,
    /// Events with smaller sequence numbers are expired.
    expired: AtomicU64,
}

impl Views {
    /// Empty views at the beginning of the ledger.
    pub fn new(keys: Keys, recent_rows: usize) -> Self {
        Self {
            keys,
            observables: Observables::new(recent_rows, Vec::new()),
            strings: Strings::default(),
            classes: Classes::default(),
            tallies: RwLock::default(),
            merged: RwLock::default(),
            withdrawn: RwLock::default(),
            disputed: RwLock::default(),
            events: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }

    /// The sequence number up to which, exclusive, every view is current.
    pub fn position(&self) -> Seq {
        Seq(self.applied.load(Ordering::Acquire))
    }

    pub(crate) fn set_position(&self, seq: Seq) {
        self.applied.store(seq.0, Ordering::Release);
    }

    /// The sequence number up to which, exclusive, events are expired: they are unknown, whether or not the ledger still holds them.
    pub fn expired_before(&self) -> Seq {
        Seq(self.expired.load(Ordering::Acquire))
    }

    /// Whether an event is expired.
    pub fn is_expired(&self, seq: Seq) -> bool {
        seq < self.expired_before()
    }

    /// Lets events expire whose traces in aggregates and counters the caller removes.
    pub(crate) fn expire(&self, before: Seq) {
        self.expired.store(before.0, Ordering::Release);
        for set in [&self.merged, &self.withdrawn] {
            set.write().remove_range(..before.0);
        }
    }

    /// Whether an event counts: it is not expired, and neither had come before nor was withdrawn.
    pub fn counts(&self, seq: Seq) -> bool {
        !self.is_expired(seq) && !self.merged.read().contains(seq.0) && !self.withdrawn.read().contains(seq.0)
    }

    /// The class of a row, with its texts.
    pub fn class(&self, number: u32) -> Option<Class> {
        self.classes.get(number)
    }

    /// The global number of a local class.
    fn intern(&self, prepared: &Prepared) -> (Vec<u32>, Vec<u32>) {
        let mut texts = vec![0];
        texts.append(&mut self.strings.intern_all(prepared.strings.iter()));
        let text = |local: u32| texts.get(local as usize).copied().unwrap_or(0);
        let global = |class: &Class| {
            let Class { audience, sector, malware, threats, .. } = *class;
            Class { audience: text(audience), sector: text(sector), malware: text(malware), threats: text(threats), ..*class }
        };
        let numbers = self.classes.intern_all(prepared.classes.iter().map(global));
        (numbers, texts)
    }
}

/// One request's part of a frame.
#[derive(Debug)]
pub struct Part {
    /// Who sent which rows.
    pub submission: Submission,
    /// The refused lines between its events.
    pub holes: Vec<Hole>,
    /// The events and what was prepared of them.
    pub prepared: Prepared,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events taken.
    pub accepted: u64,
    /// Events that had come before.
    pub merged: u64,
    /// Of those that had come before, the ones whose event was withdrawn since, as far as marks tell.
    pub merged_withdrawn: u64,
}

/// As what an event had come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It had not.
    Nothing,
    /// As a line under the request's key.
    Line,
    /// Under its own id, or as an entry of a list; and whether it was withdrawn since.
    Marked { withdrawn: bool },
}

/// What a mark of an id or of a list's entry says beside its time: its event counts, as far as is known.
const TAKEN: u64 = 0;
/// Its event was withdrawn.
const WITHDRAWN: u64 = 1;

/// Takes frames into the views. Held by one thread.
#[derive(Debug)]
pub struct Applier {
    /// The views.
    pub views: std::sync::Arc<Views>,
    /// What came before.
    pub seen: Seen,
    /// Rows on their way into the observables; empty between two parts.
    pub gathered: Gathered,
}

impl Applier {
    /// Takes one request's part of a frame in.
    pub fn apply(&mut self, header: &Header, part: &Part) -> Applied {
        let Part { submission, holes, prepared } = part;
        let (classes, texts) = self.views.intern(prepared);
        let active = self.views.observables.active();
        let mut coverage = Coverage::of(&self.seen, submission, holes, header.received);
        let mut counted = vec![(0_u64, 0_u64); prepared.tally_keys.len()];
        let mut applied = Applied::default();
        let mut references = prepared.references.iter().peekable();
        let mut merged = Vec::new();
        for (row, event) in prepared.events.iter().enumerate() {
            let place = submission.start + row as u32;
            let seq = Seq(header.first_seq.0 + u64::from(place));
            let covered = coverage.as_mut().is_some_and(|coverage| coverage.next_came_before(&mut self.seen));
            let withdrawn = match came_before(&mut self.seen, &self.views.keys, header.received_at(place), part, row, event, covered) {
                Before::Nothing => None,
                Before::Line => Some(coverage.as_ref().is_some_and(|coverage| coverage.was_withdrawn(&self.seen))),
                Before::Marked { withdrawn } => Some(withdrawn),
            };
            if let Some(withdrawn) = withdrawn {
                while references.next_if(|reference| reference.event == row as u32).is_some() {}
                merged.push(seq.0);
                applied.merged += 1;
                applied.merged_withdrawn += u64::from(withdrawn);
                continue;
            }
            applied.accepted += 1;
            if let Some(slot) = prepared.tallies.get(row).and_then(|&tally| counted.get_mut(tally as usize)) {
                slot.0 += 1;
                slot.1 += u64::from(event.count);
            }
            while let Some(reference) = references.next_if(|reference| reference.event == row as u32) {
                let Some(&class) = classes.get(reference.class as usize) else { continue };
                let row = Row {
                    key: reference.key,
                    class,
                    events: 1,
                    count: u64::from(event.count),
                    first_time: event.time,
                    last_time: last_time(event),
                    first_seq: seq,
                    last_seq: seq,
                    expires: reference.expires,
                    confidence: event.confidence.map_or(0, |confidence| confidence + 1),
                };
                self.gathered.push(row, &active);
            }
        }
        self.gathered.finish(&active);
        if !merged.is_empty() {
            self.views.merged.write().extend(merged);
        }
        if let Some(coverage) = coverage {
            coverage.remember(&mut self.seen);
        }
        let mut tallies = self.views.tallies.write();
        for (key, (events, count)) in prepared.tally_keys.iter().zip(counted) {
            if events > 0 {
                let sector = texts.get(key.sector as usize).copied().unwrap_or(0);
                tallies.add(TallyKey { sector, ..*key }, events, count);
            }
        }
        self.views.events.fetch_add(applied.accepted, Ordering::Relaxed);
        applied
    }

    /// Remembers that events of a part that counted were withdrawn, so that who sends them again is told. `newest` is the receipt of the ledger's
    /// last entry: what a mark no longer covers by then is left alone, for a later event may have the mark.
    pub(crate) fn remember_withdrawn(&mut self, header: &Header, part: &Part, rows: &[u32], newest: Timestamp) {
        for &row in rows {
            let received = header.received_at(part.submission.start + row);
            let row = row as usize;
            let Some(event) = part.prepared.events.get(row) else { continue };
            let (key, window) = match id_of(part, row) {
                Some(id) => (Some(id), ID_WINDOW),
                None => (list_entry_of(&self.views.keys, part, row, event), LIST_WINDOW),
            };
            if let Some(key) = key.filter(|_| received >= newest.minus(window)) {
                self.seen.set(key, received, WITHDRAWN);
            }
        }
        if header.received >= newest.minus(ID_WINDOW) {
            coverage::remember_withdrawn(&mut self.seen, &part.submission, &part.holes, rows, header.received);
        }
    }
}

/// Decides whether an event had come before; remembers it where it had not. An event's own id wins over the request's key.
fn came_before(seen: &mut Seen, keys: &Keys, received: Timestamp, part: &Part, row: usize, event: &Event, covered: bool) -> Before {
    let (key, window) = if let Some(id) = id_of(part, row) {
        (id, ID_WINDOW)
    } else if covered {
        return Before::Line;
    } else if let Some(entry) = list_entry_of(keys, part, row, event) {
        (entry, LIST_WINDOW)
    } else {
        return Before::Nothing;
    };
    if let Some((_, said)) = seen.get(key).filter(|(before, _)| *before >= received.minus(window)) {
        return Before::Marked { withdrawn: said == WITHDRAWN };
    }
    seen.set(key, received, TAKEN);
    Before::Nothing
}

/// Key of an event's own id, where it has one.
fn id_of(part: &Part, row: usize) -> Option<u128> {
    part.prepared.ids.get(row).copied().filter(|id| *id != 0)
}

/// Key of an entry without a time of its own.
fn list_entry_of(keys: &Keys, part: &Part, row: usize, event: &Event) -> Option<u128> {
    if !event.timeless {
        return None;
    }
    let references = &part.prepared.references;
    let start = references.partition_point(|reference| (reference.event as usize) < row);
    let values = references.iter().skip(start).take_while(|reference| reference.event as usize == row).map(|reference| reference.key);
    Some(keys.list_entry(part.submission.org, event.category, values))
}

/// When an event was seen last.
pub fn last_time(event: &Event) -> Timestamp {
    event.details.as_ref().and_then(|details| details.last_time).map_or(event.time, |last| last.max(event.time))
}

/// Parts of a frame read from the ledger, prepared anew; none where it expired.
pub fn replay(frame: &crate::ledger::Frame, keys: &Keys, days: &mut dyn Days) -> Option<Vec<Part>> {
    if frame.header.expired {
        return Some(Vec::new());
    }
    let (_, body) = crate::ledger::columns::split_filter(frame.body())?;
    let body = crate::ledger::Body::open(frame.header.rows, body)?;
    let reader = body.events(frame.vault())?;
    Submission::read_all(frame.meta())?
        .into_iter()
        .map(|(submission, holes)| {
            let rows = submission.start as usize..(submission.start + submission.rows) as usize;
            let tombstones = reader.tombstones(rows.clone());
            let events = rows.map(|row| reader.event(row)).collect::<Option<Vec<_>>>()?;
            let prepared = prepare::prepare_remains(events, &tombstones, submission.org, keys, days);
            Some(Part { submission, holes, prepared })
        })
        .collect()
}

/// The rows of a frame read from the ledger that have a value with one of some keys, prepared anew, of each submission with their numbers in the frame.
pub(crate) fn replay_with(frame: &crate::ledger::Frame, keys: &Keys, wanted: &HashSet<u128>, days: &mut dyn Days) -> Option<Vec<(Vec<u32>, Prepared)>> {
    if frame.header.expired {
        return Some(Vec::new());
    }
    let (_, body) = crate::ledger::columns::split_filter(frame.body())?;
    let body = crate::ledger::Body::open(frame.header.rows, body)?;
    let rows = body.rows_with(frame.vault(), |kind, value| wanted.contains(&keys.observable(kind, value)))?;
    if rows.is_empty() {
        return Some(Vec::new());
    }
    let reader = body.events(frame.vault())?;
    let mut found = Vec::new();
    for (submission, _) in Submission::read_all(frame.meta())? {
        let start = rows.partition_point(|row| *row < submission.start);
        let end = rows.partition_point(|row| *row < submission.start + submission.rows);
        let mine = rows.get(start..end).filter(|mine| !mine.is_empty());
        let Some(mine) = mine else { continue };
        let events = mine.iter().map(|row| reader.event(*row as usize)).collect::<Option<Vec<_>>>()?;
        let mut gone = Tombstones::default();
        for (number, row) in (0..).zip(mine) {
            let here = reader.tombstones(*row as usize..*row as usize + 1);
            gone.values.extend(here.values.into_iter().map(|tombstone| Tombstone { row: number, ..tombstone }));
        }
        found.push((mine.to_vec(), prepare::prepare_remains(events, &gone, submission.org, keys, days)));
    }
    Some(found)
}

/// The reporter of one row of a frame.
pub fn reporter_of(submissions: &[Submission], row: u32) -> OrgNo {
    submissions.iter().find(|submission| row >= submission.start && row - submission.start < submission.rows).map_or(OrgNo::HUB, |submission| submission.org)
}
