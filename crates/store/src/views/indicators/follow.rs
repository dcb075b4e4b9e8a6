//! The thread that follows the ledger and writes what is due.
//!
//! Flow: frames past the position → values and touched keys → [`Following::evaluate`]: the aggregate rows of each, the newest versions, a step
//! for each collection → the logs, synced → readers → now and then `POSITION`.
//! Invariant: what a value's newest version says decides, so that looking twice writes nothing twice. A key that is withheld while its rows
//! are being made anew is looked at when they are there, and until then the position stands still. Nobody waits for this thread.

use super::fold::{self, SETTLED, Step, is_young};
use super::frames::{Found, Frames, Values};
use super::latest::{Version, Versions};
use super::log::{Log, Pending};
use super::open::{self, FREEZE_AT};
use super::state::State;
use super::{Collection, Indicator, Indicators, entry};
use crate::engine::MakeDays;
use crate::ledger::Ledger;
use crate::maintenance::{FAN_IN, Pace, due, give_way};
use crate::views::checkpoint::hex;
use crate::views::strings::Class;
use crate::views::{Row, Views};
use hashbrown::HashSet;
use model::{ObservableType, Seq, Text, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Keys that are looked at before what is due is synced.
const BATCH_KEYS: usize = 16_384;
/// Frames that are read before their values are looked at.
const BATCH_FRAMES: usize = 256;
/// Versions of a collection that are looked at again in one round.
const LOOK_AGAIN: usize = 2_048;
/// Between two rounds where nothing waits; many small frames share a sync.
const REST: Duration = Duration::from_millis(300);
/// Wait before a failed round is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// A wait is cut into pieces of this length, so that a stop is heard.
const STEP: Duration = Duration::from_millis(50);
/// Between two writes of the position.
const PERSIST_EVERY: Duration = Duration::from_secs(10);

/// What the thread reads.
pub(crate) struct Sources {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) views: Arc<Views>,
    pub(crate) days: MakeDays,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The thread's own.
pub(crate) struct Following {
    indicators: Arc<Indicators>,
    frames: Frames,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    stop: Arc<AtomicBool>,
    folder: PathBuf,
    /// What `POSITION` says.
    state: State,
    position: Seq,
    chain: [u8; 32],
    /// Keys to be looked at as soon as they are not withheld.
    touched: HashSet<u128>,
    /// Where the versions begin that were not looked at again, and when that is worth a look.
    looked_at: [u64; 3],
    look_from: [Timestamp; 3],
    /// What lies before is in the runs.
    covered: [u64; 3],
    next_run: u64,
    /// Runs that were merged and that `POSITION` may still name.
    retired: Vec<PathBuf>,
    persisted: Instant,
    pace: Pace,
}

/// What is due of some keys, on its way into the logs.
struct Batch {
    now: Timestamp,
    pending: [Pending; 3],
    changed: Vec<(u128, Versions)>,
    /// Keys that cannot be looked at now.
    withheld: Vec<u128>,
}

impl Following {
    /// Opens the log in `folder` and readies the thread that follows.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a log of a later release.
    pub(crate) fn open(folder: &Path, sources: Sources) -> std::io::Result<(Arc<Indicators>, Self)> {
        let Sources { ledger, views, days, now, stop } = sources;
        let (indicators, state) = open::open(folder, |state| chain_at(&ledger, state.position).is_some_and(|chain| hex(&chain) == state.chain))?;
        let following = Self {
            indicators: indicators.clone(),
            position: state.position,
            chain: chain_at(&ledger, state.position).unwrap_or_default(),
            frames: Frames { ledger, views, days: days() },
            now,
            stop,
            folder: folder.to_owned(),
            touched: HashSet::new(),
            looked_at: state.looked_at,
            look_from: [Timestamp::MIN; 3],
            covered: state.covered,
            next_run: open::next_run(&state),
            retired: Vec::new(),
            persisted: Instant::now(),
            pace: Pace::default(),
            state,
        };
        Ok((indicators, following))
    }

    /// Follows until the stop.
    pub(crate) fn run(mut self) {
        give_way();
        while !self.stopping() {
            match self.round() {
                Ok(true) => {}
                Ok(false) => self.wait(REST),
                Err(_) if self.stopping() => {}
                Err(error) => {
                    tracing::warn!(%error, "the log of indicators waits, trying again");
                    self.wait(RETRY);
                }
            }
        }
        if let Err(error) = self.persist() {
            tracing::warn!(%error, "the position of the log of indicators was not written; what follows it is looked at again");
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time && !self.stopping() {
            std::thread::sleep(STEP);
        }
    }

    /// Takes in what waits; true where more does.
    fn round(&mut self) -> std::io::Result<bool> {
        let behind = self.take_frames()?;
        let more = self.take_touched()?;
        if !behind && !more {
            self.look_again()?;
        }
        if self.touched.is_empty() {
            let position = self.position;
            self.indicators.position.send_if_modified(|known| std::mem::replace(known, position) != position);
        }
        self.freeze_where_due()?;
        if self.persisted.elapsed() >= PERSIST_EVERY {
            self.persist()?;
        }
        Ok(behind || more)
    }

    /// Takes in frames past the position; true where more wait.
    fn take_frames(&mut self) -> std::io::Result<bool> {
        let first = self.frames.ledger.index_of(self.position);
        let last = self.frames.ledger.index_of(self.frames.views.position());
        let mut values = Values::default();
        let (mut position, mut chain) = (self.position, self.chain);
        let mut at = first;
        while at < last && values.len() < BATCH_KEYS && at - first < BATCH_FRAMES {
            let Some(place) = self.frames.ledger.place(at) else { break };
            self.check_stop()?;
            self.frames.take(&place, &mut values, &mut self.touched, &self.stop)?;
            (position, chain) = (place.header.end(), place.header.chain);
            at += 1;
        }
        let withheld = self.evaluate(values.into_iter().map(|(key, found)| (key, Some(found))).collect(), false)?;
        self.touched.extend(withheld);
        (self.position, self.chain) = (position, chain);
        Ok(at < last)
    }

    /// Looks at keys that were touched and are not withheld; true where more may wait.
    fn take_touched(&mut self) -> std::io::Result<bool> {
        let observables = &self.frames.views.observables;
        let chosen: Vec<u128> = self.touched.iter().copied().filter(|&key| !observables.is_withheld(key)).take(BATCH_KEYS).collect();
        let withheld = self.evaluate(chosen.iter().map(|&key| (key, None)).collect(), true)?;
        for key in &chosen {
            self.touched.remove(key);
        }
        self.touched.extend(withheld);
        Ok(chosen.len() == BATCH_KEYS)
    }

    /// Looks once more at versions that have become a day old: what changed meanwhile was not worth a version then.
    fn look_again(&mut self) -> std::io::Result<()> {
        let now = (self.now)();
        let (mut looked_at, mut look_from) = (self.looked_at, self.look_from);
        let mut keys = HashSet::new();
        for collection in Collection::ALL {
            if *collection.of(&look_from) > now {
                continue;
            }
            let mut old: Vec<(u64, u128)> = Vec::new();
            // Where nothing is left, what comes is as old as that tomorrow.
            let mut next = now.plus(SETTLED);
            let reached = collection.of(&self.indicators.logs).walk(*collection.of(&looked_at), |offset, content| {
                let (Some(added), Some(key)) = (entry::added(content), entry::key(content)) else { return false };
                if added.plus(SETTLED) > now || old.len() == LOOK_AGAIN {
                    next = added.plus(SETTLED);
                    return false;
                }
                old.push((offset, key));
                true
            })?;
            for (offset, key) in old {
                let newest = *collection.of(&self.indicators.newest.get(key)?);
                if newest.is_some_and(|version| version.offset == offset && !version.revoked) {
                    keys.insert(key);
                }
            }
            *collection.of_mut(&mut looked_at) = reached;
            *collection.of_mut(&mut look_from) = next;
        }
        let withheld = self.evaluate(keys.into_iter().map(|key| (key, None)).collect(), false)?;
        self.touched.extend(withheld);
        (self.looked_at, self.look_from) = (looked_at, look_from);
        Ok(())
    }

    /// Writes what is due of these keys; of those that somebody touched on purpose, whatever is no longer as the newest version says. Gives
    /// those that are withheld.
    fn evaluate(&mut self, mut keys: Vec<(u128, Option<Found>)>, touched: bool) -> std::io::Result<Vec<u128>> {
        // What lies together on disk is read together.
        keys.sort_unstable_by_key(|(key, _)| *key);
        let mut withheld = Vec::new();
        for chunk in keys.chunks(BATCH_KEYS) {
            let pending = self.indicators.logs.each_ref().map(Log::pending);
            let mut batch = Batch { now: (self.now)(), pending, changed: Vec::new(), withheld: Vec::new() };
            for (key, found) in chunk {
                self.check_stop()?;
                self.evaluate_key(*key, found.as_ref(), touched, &mut batch)?;
            }
            self.commit(&mut batch)?;
            withheld.append(&mut batch.withheld);
        }
        Ok(withheld)
    }

    fn evaluate_key(&mut self, key: u128, found: Option<&Found>, touched: bool, batch: &mut Batch) -> std::io::Result<()> {
        let now = batch.now;
        let last = self.indicators.newest.get(key)?;
        let views = self.frames.views.clone();
        let disputed = views.disputed.read().contains(&key);
        // Most values come again and again: where every version is young and stands, nothing more need be read.
        let stands = |collection: Collection| {
            let covers = |version: &Version| found.is_none_or(|found| version.pap >= found.pap && version.tlp >= found.tlp.min(collection.tlp()));
            collection.of(&last).is_some_and(|version| !version.revoked && is_young(&version, now) && covers(&version))
        };
        if !disputed && found.is_some_and(|found| Collection::ALL.into_iter().filter(|&collection| collection >= found.opens).all(stands)) {
            return Ok(());
        }
        let Some(rows) = views.observables.get_unless_withheld(key)? else {
            batch.withheld.push(key);
            return Ok(());
        };
        let rows: Vec<(Row, Class)> = rows.into_iter().filter_map(|row| views.class(row.class).map(|class| (row, class))).collect();
        // An upheld false positive leaves every collection.
        let contents = Collection::ALL.map(|collection| fold::fold(&rows, collection, &views.strings).filter(|_| !disputed));
        let mut value = found.map(|found| (found.kind, found.value.clone()));
        let mut versions = last;
        for (collection, content) in Collection::ALL.into_iter().zip(contents) {
            let newest = collection.of_mut(&mut versions);
            let corrected = if touched { content.clone() } else { None };
            let mut step = fold::step(newest.as_ref(), content, now);
            if step == Step::Keep && corrected.is_none() {
                continue;
            }
            let previous = newest.as_ref().map(|version| version.offset);
            let before = previous.map(|offset| collection.of(&self.indicators.logs).entry_at(offset)).transpose()?.map(|entry| entry.indicator);
            // A withdrawal or an amendment does not wait for tomorrow.
            if step == Step::Keep {
                match (corrected, &before) {
                    (Some(content), Some(before)) if !content.is_said_by(before) => step = Step::Write(content),
                    _ => continue,
                }
            }
            if value.is_none() {
                value = match &before {
                    Some(before) => Some((before.kind, before.value.clone())),
                    None => self.value_from_ledger(key, &rows)?,
                };
            }
            let pending = collection.of_mut(&mut batch.pending);
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
            *newest = Some(Version::of(&indicator, offset));
        }
        if versions != last {
            batch.changed.push((key, versions));
        }
        Ok(())
    }

    /// The value of a key that has no version and that no frame has just brought: a false-positive claim about it was rejected again.
    fn value_from_ledger(&mut self, key: u128, rows: &[(Row, Class)]) -> std::io::Result<Option<(ObservableType, Text)>> {
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
        for (log, pending) in self.indicators.logs.iter().zip(&batch.pending) {
            log.write(pending)?;
        }
        for (log, pending) in self.indicators.logs.iter().zip(&batch.pending) {
            log.publish(pending);
        }
        self.indicators.newest.put(batch.changed.drain(..));
        // A long round must not outgrow memory.
        self.freeze_where_due()
    }

    fn freeze_where_due(&mut self) -> std::io::Result<()> {
        if self.indicators.newest.len() >= FREEZE_AT {
            let path = self.next_run_path();
            self.indicators.newest.freeze(&path)?;
            self.covered = self.ends();
            self.persist()?;
        }
        while let Some(range) = due(&self.indicators.newest.runs(), FAN_IN) {
            let runs = self.indicators.newest.runs();
            let inputs: Vec<PathBuf> = runs.get(range.clone()).unwrap_or_default().iter().map(|run| run.path().to_owned()).collect();
            let path = self.next_run_path();
            self.indicators.newest.merge(range, &path, &self.stop)?;
            self.retired.extend(inputs);
            self.persist()?;
        }
        Ok(())
    }

    fn next_run_path(&mut self) -> PathBuf {
        let path = open::run_path(&self.folder, self.next_run);
        self.next_run += 1;
        path
    }

    fn ends(&self) -> [u64; 3] {
        self.indicators.logs.each_ref().map(Log::end)
    }

    /// Writes `POSITION`, and removes what it no longer names.
    fn persist(&mut self) -> std::io::Result<()> {
        let runs = open::names(&self.indicators.newest.runs());
        let mut state = State { lengths: self.ends(), covered: self.covered, runs, ..self.state.clone() };
        // While keys wait, what touched them must be found again after a crash.
        if self.touched.is_empty() {
            (state.position, state.chain, state.looked_at) = (self.position, hex(&self.chain), self.looked_at);
        }
        if state != self.state {
            for log in &self.indicators.logs {
                log.write_index()?;
            }
            state.write(&self.folder)?;
            self.state = state;
        }
        for path in std::mem::take(&mut self.retired) {
            if let Err(error) = std::fs::remove_file(&path) {
                // It is removed at the next start, as a file that nothing names.
                tracing::debug!(%error, "a merged run stays for now");
            }
        }
        self.persisted = Instant::now();
        Ok(())
    }

    /// Called between two small pieces of work: gives way, too, while events stream in.
    fn check_stop(&mut self) -> std::io::Result<()> {
        self.pace.rest(self.frames.views.position());
        if self.stopping() { Err(std::io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// Chain value of the last frame before a position, where the position is the end of one.
fn chain_at(ledger: &Ledger, position: Seq) -> Option<[u8; 32]> {
    match ledger.index_of(position).checked_sub(1) {
        Some(before) => ledger.place(before).filter(|place| place.header.end() == position).map(|place| place.header.chain),
        None => (position == Seq(0)).then_some([0; 32]),
    }
}
