//! The thread that follows the ledger and writes what is due.
//!
//! Flow: frames past the position → values and touched keys → [`Following::evaluate`]: the aggregate rows of each, the newest versions, a step
//! for each collection → bodies, then rows that name them, synced → readers → now and then `POSITION`.
//! Invariant: what a value's newest version says decides, so that looking twice writes nothing twice. A key that is withheld while its rows
//! are being made anew is looked at when they are there, and until then the position stands still. Nobody waits for this thread.

use super::evaluate::{BATCH_KEYS, Why};
use super::frames::{Admitting, Frames, Values};
use super::growing::START;
use super::open::{self, FREEZE_AT};
use super::register::Register;
use super::rows::Rows;
use super::state::{Kept, State};
use super::{Collection, Indicators};
use crate::engine::MakeDays;
use crate::ledger::Ledger;
use crate::maintenance::{FAN_IN, Pace, due, give_way};
use crate::views::Views;
use crate::views::checkpoint::hex;
use hashbrown::HashSet;
use model::{Seq, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Frames that are read before their values are looked at.
pub(super) const BATCH_FRAMES: usize = 256;
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
    pub(super) indicators: Arc<Indicators>,
    pub(super) frames: Frames,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    stop: Arc<AtomicBool>,
    pub(super) folder: PathBuf,
    /// What `POSITION` says.
    state: State,
    pub(super) position: Seq,
    chain: [u8; 32],
    /// What the ledger told of agreements and reporters, up to where, and how often that changed.
    pub(super) register: Register,
    pub(super) heard: Seq,
    pub(super) changes: u64,
    /// Keys to be looked at as soon as they are not withheld.
    pub(super) touched: HashSet<u128>,
    pub(super) shelves: BTreeMap<Collection, Shelf>,
    /// Where the look at everything goes on that collections may admit since the last change; `None`: it is done.
    pub(super) walk: Option<Seq>,
    /// Whether a write failed and left something past the ends.
    pub(super) untidy: bool,
    next_run: u64,
    /// Runs that were merged and that `POSITION` may still name.
    retired: Vec<PathBuf>,
    persisted: Instant,
    pace: RefCell<Pace>,
}

/// One collection's log, and how far the thread is with it, in bytes of its rows.
pub(super) struct Shelf {
    pub(super) log: Arc<Rows>,
    /// What lies before is in the runs.
    pub(super) covered: u64,
    /// Where the versions begin that were not looked at again, and when that is worth a look.
    pub(super) looked_at: u64,
    pub(super) look_from: Timestamp,
    /// Where the look goes on at what may say too much; `None`: it is done.
    pub(super) again: Option<u64>,
}

impl Shelf {
    /// What is kept of a log that `kept` tells of.
    pub(super) fn new(log: Arc<Rows>, kept: Kept) -> Self {
        Self { log, covered: kept.covered, looked_at: kept.looked_at, look_from: Timestamp::MIN, again: kept.again }
    }
}

impl Following {
    /// Opens the log in `folder` and readies the thread that follows.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a log of a later release.
    pub(crate) fn open(folder: &Path, sources: Sources) -> std::io::Result<(Arc<Indicators>, Self)> {
        let Sources { ledger, views, days, now, stop } = sources;
        let (indicators, state) = open::open(folder, &views.keys, |state| chain_at(&ledger, state.position).is_some_and(|chain| hex(&chain) == state.chain))?;
        let logs = indicators.logs.read().clone();
        let following = Self {
            indicators: indicators.clone(),
            position: state.position,
            chain: chain_at(&ledger, state.position).unwrap_or_default(),
            frames: Frames { ledger, views, days: days() },
            now,
            stop,
            folder: folder.to_owned(),
            register: state.register.clone(),
            // What was told since is heard again, which changes nothing where it was heard.
            heard: state.position,
            changes: 0,
            touched: HashSet::new(),
            shelves: logs.into_iter().map(|(collection, log)| (collection, Shelf::new(log, state.kept(collection)))).collect(),
            walk: state.walk,
            untidy: false,
            next_run: open::next_run(&state),
            retired: Vec::new(),
            persisted: Instant::now(),
            pace: RefCell::default(),
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
        self.hear()?;
        let behind = self.take_frames()?;
        let more = self.take_touched()?;
        // What may be said too much is taken back piece by piece even while events stream in; what is missing waits until they have passed.
        let looking = self.take_back()? || (!behind && !more && self.walk()?);
        if !behind && !more && !looking {
            self.look_again()?;
        }
        if self.touched.is_empty() {
            let position = self.position;
            self.indicators.position.send_if_modified(|known| std::mem::replace(known, position) != position);
        }
        self.freeze_where_due()?;
        if self.settle() || self.persisted.elapsed() >= PERSIST_EVERY {
            self.persist()?;
        }
        Ok(behind || more || looking)
    }

    /// Takes in frames past the position; true where more wait.
    fn take_frames(&mut self) -> std::io::Result<bool> {
        let first = self.frames.ledger.index_of(self.position);
        // What was told of who reported them is known up to here.
        let last = self.frames.ledger.index_of(self.heard);
        let mut values = Values::default();
        let (mut position, mut chain) = (self.position, self.chain);
        let mut at = first;
        let admitting = Admitting::of(&self.register, (self.now)());
        while at < last && values.len() < BATCH_KEYS && at - first < BATCH_FRAMES {
            let Some(place) = self.frames.ledger.place(at) else { break };
            self.check_stop()?;
            self.frames.take(&place, &admitting, &mut values, &mut self.touched, &self.stop)?;
            (position, chain) = (place.header.end(), place.header.chain);
            at += 1;
        }
        let withheld = self.evaluate(values.into_iter().map(|(key, found)| (key, Some(found))).collect(), Why::Due)?;
        self.touched.extend(withheld);
        (self.position, self.chain) = (position, chain);
        Ok(at < last)
    }

    /// Looks at keys that were touched and are not withheld; true where more may wait.
    fn take_touched(&mut self) -> std::io::Result<bool> {
        let observables = &self.frames.views.observables;
        let chosen: Vec<u128> = self.touched.iter().copied().filter(|&key| !observables.is_withheld(key)).take(BATCH_KEYS).collect();
        let withheld = self.evaluate(chosen.iter().map(|&key| (key, None)).collect(), Why::Touched)?;
        for key in &chosen {
            self.touched.remove(key);
        }
        self.touched.extend(withheld);
        Ok(chosen.len() == BATCH_KEYS)
    }

    pub(super) fn freeze_where_due(&mut self) -> std::io::Result<()> {
        if self.indicators.newest.held() >= FREEZE_AT {
            let path = self.next_run_path();
            self.indicators.newest.freeze(&path)?;
            self.shelves.values_mut().for_each(|shelf| shelf.covered = shelf.log.end());
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

    /// Writes `POSITION`, and removes what it no longer names.
    fn persist(&mut self) -> std::io::Result<()> {
        let runs = open::names(&self.indicators.newest.runs());
        // While keys wait, what touched them must be found again after a crash.
        let waits = !self.touched.is_empty();
        let kept = |(&collection, shelf): (&Collection, &Shelf)| {
            let before = self.state.kept(collection);
            let looked_at = if waits { before.looked_at } else { shelf.looked_at };
            let begun = (shelf.again.is_some() || before.again.is_some() || self.unsettled(collection).is_some()).then_some(START);
            (collection, Kept { length: shelf.log.end(), covered: shelf.covered, looked_at, again: if waits { begun } else { shelf.again } })
        };
        let logs = self.shelves.iter().map(kept).collect();
        let (register, settled) = (self.register.clone(), self.indicators.settled.read().clone());
        let mut state = State { bodies: self.indicators.bodies.end(), logs, runs, register, settled, ..self.state.clone() };
        if waits {
            state.walk = (self.walk.is_some() || self.state.walk.is_some()).then_some(Seq(0));
        } else {
            (state.position, state.chain, state.walk) = (self.position, hex(&self.chain), self.walk);
        }
        if state != self.state {
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
    pub(super) fn check_stop(&self) -> std::io::Result<()> {
        self.pace.borrow_mut().rest(self.frames.views.position());
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
