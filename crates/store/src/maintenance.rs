//! Background work on the views: frozen parts become runs, runs of like size are merged, checkpoints are written.
//!
//! Invariant: nothing here is needed for an answer or for durability; a failure (a full disk) is tried again and holds nothing up but the
//! next freeze.

use crate::views::checkpoint::{Small, Snapshot};
use crate::views::row::Row;
use crate::views::run::{Record, Run};
use crate::views::seen::{self, Mark, Marks, Settled};
use crate::views::{ID_WINDOW, Views, observables};
use crossbeam_channel::RecvTimeoutError;
use model::{Seq, Timestamp};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As many runs of like size are merged into one.
pub(crate) const FAN_IN: usize = 4;
/// As many while parts fill quickly: each row is then written anew less often, and the processor is the senders'. Lookups look into more filters meanwhile.
const FAN_IN_UNDER_LOAD: usize = 12;
/// A part that was full before this time was filled quickly.
const QUICKLY: Duration = Duration::from_secs(20);
/// Wait before a failed step is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the writing thread looks whether the next part is near.
const LOOK: Duration = Duration::from_millis(250);

/// Niceness of housekeeping: it gets about a quarter of what a thread that answers gets where both want the processor.
const HOUSEKEEPING: i32 = 6;

/// Lets the calling thread give way to those that answer.
pub fn give_way() {
    give_way_by(HOUSEKEEPING);
}

/// Makes the calling thread nicer by so many steps; each is worth about a fifth of its share of the processor.
pub fn give_way_by(steps: i32) {
    // On Linux a thread's id stands for the thread alone.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), steps) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// How a thread that follows behind the views keeps out of the way: while events stream in it works for a small part of the time, and
/// catches up after. A lower priority instead would let it be sent off the processor for long, with a lock in its hands.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    position: Seq,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now(), position: Seq(u64::MAX) }
    }
}

impl Pace {
    /// Work between two looks at how quickly the views move.
    const WORK: Duration = Duration::from_millis(5);
    /// So many times as long as it worked it rests.
    const REST: u32 = 19;
    /// From so many events a second on.
    const QUICK: f64 = 50_000.0;

    /// Called between two pieces of work with the views' position; rests where it is time to.
    pub fn rest(&mut self, position: Seq) {
        let worked = self.since.elapsed();
        if worked < Self::WORK {
            return;
        }
        let moved = position.0.saturating_sub(self.position.0);
        if moved as f64 > worked.as_secs_f64() * Self::QUICK {
            // What took long was no work: it had waited for a frame or for the processor.
            std::thread::sleep(worked.min(Self::WORK * 4) * Self::REST);
        }
        (self.since, self.position) = (Instant::now(), position);
    }
}

/// One freeze to be written.
pub(crate) struct Flush {
    pub(crate) frozen: Arc<crate::views::recent::Recent>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) snapshot: Snapshot,
    pub(crate) newest: Timestamp,
}

/// Runs of a freeze that are on disk already.
#[derive(Default)]
struct Written {
    rows: Option<Arc<Run>>,
    marks: Option<Arc<Run>>,
}

/// Runs and the small views that the last checkpoint named.
struct Named {
    observables: Vec<Arc<Run>>,
    seen: Vec<Arc<Run>>,
    small: Option<Small>,
    newest: Timestamp,
}

/// What the two background threads share.
pub(crate) struct Maintenance {
    folder: PathBuf,
    views: Arc<Views>,
    named: Mutex<Named>,
    counter: AtomicU64,
    stop: Arc<AtomicBool>,
    settled: Arc<Settled>,
    /// When the last part came to be written, and whether it was filled quickly.
    pace: Mutex<(Instant, bool)>,
}

impl Maintenance {
    pub(crate) fn new(folder: PathBuf, views: Arc<Views>, settled: Arc<Settled>) -> Arc<Self> {
        let seen = settled.runs();
        let observables = views.observables.runs().as_ref().clone();
        let counter = observables.iter().chain(&seen).filter_map(|run| number_of(run.path())).max().unwrap_or(0) + 1;
        Arc::new(Self {
            folder,
            views,
            named: Mutex::new(Named { observables, seen, small: None, newest: Timestamp::MIN }),
            counter: AtomicU64::new(counter),
            stop: Arc::new(AtomicBool::new(false)),
            settled,
            pace: Mutex::new((Instant::now(), false)),
        })
    }

    /// Ends both threads after what they are at.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Set when both threads are to end.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Whether what came before cannot be told any more.
    pub(crate) fn marks_are_damaged(&self) -> bool {
        self.settled.is_damaged()
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{kind}-{:08}.run", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    /// Writes freezes as they come; ends when the channel closes.
    pub(crate) fn flush_all(&self, flushes: &crossbeam_channel::Receiver<Flush>) {
        give_way();
        loop {
            let flush = match flushes.recv_timeout(LOOK) {
                Ok(flush) => flush,
                Err(RecvTimeoutError::Timeout) => {
                    self.views.observables.prepare_spare();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let started = Instant::now();
            {
                let mut pace = self.pace.lock();
                *pace = (started, pace.0.elapsed() < QUICKLY);
            }
            let mut written = Written::default();
            while let Err(error) = self.flush(&flush, &mut written) {
                tracing::warn!(%error, "a part of the views cannot be written, trying again");
                if self.stopping() {
                    return;
                }
                std::thread::sleep(RETRY);
            }
            metrics::histogram!("bongsu_checkpoint_seconds").record(started.elapsed().as_secs_f64());
        }
    }

    /// Writes one freeze; what was written before a failure is not written again.
    fn flush(&self, flush: &Flush, written: &mut Written) -> std::io::Result<()> {
        if written.rows.is_none() && flush.frozen.rows() > 0 {
            written.rows = Some(Arc::new(observables::write_frozen(&flush.frozen, &self.path("observables"))?));
        }
        if written.marks.is_none() && !flush.marks.is_empty() {
            written.marks = Some(Arc::new(seen::write_frozen(&flush.marks, &self.path("seen"))?));
        }
        // Under the lock: naming another checkpoint meanwhile would remove a file that none names yet.
        let mut named = self.named.lock();
        let small = flush.snapshot.write(&self.views, &self.folder)?;
        let observables: Vec<_> = written.rows.iter().chain(&named.observables).cloned().collect();
        let seen: Vec<_> = written.marks.iter().chain(&named.seen).cloned().collect();
        small.name(&self.folder, &observables, &seen)?;
        named.newest = flush.newest;
        named.small = Some(small);
        // The marks first: once the rows are in place the next part may be frozen.
        self.settled.install(seen.clone(), true);
        self.views.observables.install(observables.clone(), true);
        named.observables = observables;
        named.seen = seen;
        Ok(())
    }

    /// Merges runs of like size whenever there are enough of them; ends on [`Maintenance::stop`].
    pub(crate) fn merge_all(&self) {
        give_way();
        while !self.stopping() {
            match self.merge_once() {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(Duration::from_millis(200)),
                Err(error) => {
                    tracing::warn!(%error, "runs cannot be merged, trying again");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// How many runs of like size are merged at present.
    fn fan_in(&self) -> usize {
        let (last, quick) = *self.pace.lock();
        if quick && last.elapsed() < QUICKLY { FAN_IN_UNDER_LOAD } else { FAN_IN }
    }

    /// One merge, where one is due.
    fn merge_once(&self) -> std::io::Result<bool> {
        let (observables, seen, newest) = {
            let named = self.named.lock();
            (named.observables.clone(), named.seen.clone(), named.newest)
        };
        let fan_in = self.fan_in();
        if let Some(range) = due(&observables, fan_in) {
            let chosen: Vec<_> = observables.get(range.clone()).unwrap_or(&[]).to_vec();
            let merged = observables::merge(&chosen, range.end == observables.len(), &self.path("observables"))?;
            self.replace::<Row>(&chosen, merged)?;
            return Ok(true);
        }
        if let Some(range) = due(&seen, fan_in) {
            let chosen: Vec<_> = seen.get(range).unwrap_or(&[]).to_vec();
            let merged = seen::merge(&chosen, newest.minus(ID_WINDOW), &self.path("seen"))?;
            self.replace::<Mark>(&chosen, merged)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts a merged run in the place of its inputs, names it in the checkpoint, then removes them.
    fn replace<R: Record>(&self, inputs: &[Arc<Run>], merged: Run) -> std::io::Result<()> {
        let is_rows = R::TAG == Row::TAG;
        let mut named = self.named.lock();
        let Named { observables, seen, small, .. } = &mut *named;
        let list = if is_rows { &mut *observables } else { &mut *seen };
        let mut before = list.clone();
        let Some(at) = list.iter().position(|run| inputs.first().is_some_and(|first| Arc::ptr_eq(first, run))) else { return Ok(()) };
        list.retain(|run| !inputs.iter().any(|input| Arc::ptr_eq(input, run)));
        list.insert(at, Arc::new(merged));
        if let Some(small) = small
            && let Err(error) = small.name(&self.folder, observables, seen)
        {
            let list = if is_rows { observables } else { seen };
            std::mem::swap(list, &mut before);
            return Err(error);
        }
        if is_rows {
            self.views.observables.install(named.observables.clone(), false);
        } else {
            self.settled.install(named.seen.clone(), false);
        }
        if named.small.is_some() {
            for input in inputs {
                std::fs::remove_file(input.path())?;
            }
        }
        Ok(())
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.rsplit('-').next()?.parse().ok()
}

/// The first neighbours, newest first, that are of like size, where there are at least `fan_in` of them.
pub(crate) fn due(runs: &[Arc<Run>], fan_in: usize) -> Option<std::ops::Range<usize>> {
    let level = |run: &Arc<Run>| run.records().max(1).ilog2() / 2;
    let mut start = 0;
    while start < runs.len() {
        let first = runs.get(start).map(level)?;
        // A smaller neighbour counts with the larger: it would only ever be merged into it.
        let length = runs.get(start..)?.iter().take_while(|run| level(run) <= first).count();
        if length >= fan_in {
            return Some(start..start + length);
        }
        start += 1;
    }
    None
}
