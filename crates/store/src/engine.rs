//! The store at work: one thread writes and syncs, one applies in ledger order, two keep house.
//!
//! Flow: `hub::intake` → [`Store::submit`] → writer (group commit) → apply (views, merging) → the sender's answer → followers.
//! Invariant: an answer of success is given after the sync and after every view has taken the events in.
//! Not here: parsing (`hub::intake`), policy; what the threads do is in `engine/{writing,applying}`, expiry in `engine/expiry`.

use crate::ledger::{Control, Encoded, Hole, Ledger, LedgerError, OpenReport, Place, Submission, Victim, Writer, rewrite};
use crate::live::Live;
use crate::maintenance::Maintenance;
use crate::views::checkpoint::{self};
use crate::views::indicators::{self, Indicators};
use crate::views::owners::{self, Following, Owners};
use crate::views::seen::Seen;
use crate::views::{Applied, Applier, Days, Keys, Part, Prepared, Row, Views, recent::Gathered};
use hashbrown::{HashMap, HashSet};
use model::{Seq, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

mod applying;
mod expiry;
mod writing;

use applying::Applying;
use writing::{Writing, refusal};

/// Batches that wait for the writer at the most; past it senders wait.
const WRITER_QUEUE: usize = 512;
/// Frames that wait to be applied at the most.
const APPLY_QUEUE: usize = 64;

/// Makes civil days; each thread has its own.
pub type MakeDays = Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// Folder of the realm: `ledger/` and `views/` are below it.
    pub folder: PathBuf,
    /// Folder of the views where it is another one, for `verify`.
    pub views_folder: Option<PathBuf>,
    /// Rows of the recent part before it is written as a run.
    pub recent_rows: usize,
    /// Age of the recent part at which it is written all the same.
    pub recent_age: Duration,
    /// Keys of values.
    pub keys: Keys,
    /// Civil days in the realm's zone.
    pub days: MakeDays,
    /// The clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Threads that decode while the ledger's tail is replayed.
    pub threads: usize,
}

/// Why a write was refused; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space left.
    #[error("no space left to write")]
    DiskFull,
    /// The ledger is damaged or on a read-only file system.
    #[error("writes are refused")]
    ReadOnly,
    /// The store is stopping.
    #[error("the store is stopping")]
    Stopped,
    /// A file could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A view could not be read.
    #[error("a view cannot be read")]
    View(#[from] std::io::Error),
}

/// One request's events, or a part of them.
#[derive(Debug)]
pub struct Batch {
    /// The events and what was prepared of them.
    pub prepared: Prepared,
    /// The columns, where the batch is large enough for a frame of its own.
    pub encoded: Option<Encoded>,
    /// Who sends them; `start` is set by the writer.
    pub submission: Submission,
    /// The refused lines between the events, where the request has an idempotency key.
    pub holes: Vec<Hole>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<BatchResult, StoreError>>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchResult {
    /// Place of its first event.
    pub first_seq: Seq,
    /// Place of its last event.
    pub last_seq: Seq,
    /// Receipt of the first event.
    pub received: Timestamp,
    /// Events taken and events that had come before.
    pub applied: Applied,
}

type Replies = Vec<(Submission, oneshot::Sender<Result<BatchResult, StoreError>>)>;

enum Job {
    Batch(Batch),
    Control(Control, oneshot::Sender<Result<Seq, StoreError>>),
    Amend(Control, Batch, oneshot::Sender<Result<Seq, StoreError>>),
    Erase(Erasing),
    Expire(expiry::Emptying),
    Stop,
}

/// A value being destroyed, with the closed segments done.
struct Erasing {
    victim: Arc<Victim>,
    /// The first segment that is not done.
    from: u32,
    entries: u64,
    erasure: String,
    basis: String,
    counted: oneshot::Sender<u64>,
    reply: oneshot::Sender<Result<Seq, StoreError>>,
}

pub(crate) enum ApplyJob {
    Frame { place: Place, parts: Vec<Part>, replies: Replies },
    Control { place: Place, control: Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>> },
    Recomputed(Anew, HashMap<u128, Vec<Row>>),
    Checkpoint(oneshot::Sender<()>),
    Stop,
}

/// Aggregates being made anew.
pub(crate) struct Anew {
    /// Number of the job: of two about the same key the later one counts.
    number: u64,
    keys: HashSet<u128>,
    /// Frames that were read in the background.
    up_to: usize,
    done: Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>,
}

/// An open store.
pub struct Store {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The views.
    pub views: Arc<Views>,
    /// The newest frames, for followers.
    pub live: Arc<Live>,
    /// What is wrong in whose network.
    pub owners: Arc<Owners>,
    /// The log of indicators.
    pub indicators: Arc<Indicators>,
    writer: mpsc::Sender<Job>,
    apply: crossbeam_channel::Sender<ApplyJob>,
    options: Options,
    views_folder: PathBuf,
    maintenance: Arc<Maintenance>,
    threads: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    stalled: Arc<AtomicBool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("position", &self.views.position()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, replaying what the last checkpoint does not hold.
    ///
    /// # Errors
    /// [`StoreError`] where files cannot be read or are of a later release.
    pub fn open(options: &Options) -> Result<(Arc<Self>, OpenReport), StoreError> {
        let views_folder = options.views_folder.clone().unwrap_or_else(|| options.folder.join("views"));
        let (ledger, report) = Ledger::open(&options.folder.join("ledger"), checkpoint::position(&options.folder.join("views")))?;
        std::fs::create_dir_all(&views_folder)?;
        let (views, seen) = open_views(options, &ledger, &views_folder);
        let views = Arc::new(views);
        let (apply, apply_jobs) = crossbeam_channel::bounded(APPLY_QUEUE);
        let (flushes, flush_jobs) = crossbeam_channel::bounded(1);
        let maintenance = Maintenance::new(views_folder.clone(), views.clone(), seen.settled.clone());
        let stalled = Arc::new(AtomicBool::new(false));
        let live = Arc::new(Live::new(views.position()));
        let mut applying = Applying {
            applier: Applier { views: views.clone(), seen, gathered: Gathered::default() },
            ledger: ledger.clone(),
            live: live.clone(),
            options: options.clone(),
            flushes,
            jobs: apply.clone(),
            last_freeze: Instant::now(),
            chain: [0; 32],
            newest: Timestamp::MIN,
            stalled: stalled.clone(),
            stop: maintenance.stop_flag(),
            publish: false,
            next_anew: 0,
            anew: HashMap::new(),
        };
        let keep = maintenance.clone();
        let merge = maintenance.clone();
        let mut threads = vec![spawn("views-flush", move || keep.flush_all(&flush_jobs))?, spawn("views-merge", move || merge.merge_all())?];
        applying.replay_tail(&apply_jobs)?;
        // Values whose rows were being made anew when the checkpoint was taken are still left out: their rows are stale.
        let stale = views.observables.withheld();
        if !stale.is_empty() {
            applying.make_anew(stale, &mut None);
        }
        live.moved_to(views.position());
        applying.publish = true;
        threads.push(spawn("views-apply", move || applying.run(&apply_jobs))?);
        let (writer, writer_jobs) = mpsc::channel(WRITER_QUEUE);
        let writing = Writing { writer: Writer::new(ledger.clone())?, apply: apply.clone(), now: options.now.clone(), refused: HashSet::new() };
        threads.push(spawn("ledger-writer", move || writing.run(writer_jobs))?);
        let owners = Arc::new(Owners::default());
        if options.views_folder.is_none() {
            let following = Following::new(owners.clone(), views.clone(), ledger.clone(), options.folder.join(owners::FOLDER), maintenance.stop_flag());
            threads.push(spawn("views-owners", move || following.run())?);
        }
        let indicators = if options.views_folder.is_some() {
            // Views made for comparison give nothing out.
            Indicators::idle()
        } else {
            let (ledger, views, days, now, stop) = (ledger.clone(), views.clone(), options.days.clone(), options.now.clone(), maintenance.stop_flag());
            let sources = indicators::Sources { ledger, views, days, now, stop };
            let (log, following) = indicators::Following::open(&options.folder.join(indicators::FOLDER), sources)?;
            threads.push(spawn("views-indicators", move || following.run())?);
            log
        };
        let (options, threads) = (options.clone(), parking_lot::Mutex::new(threads));
        let store = Self { ledger, views, live, owners, indicators, writer, apply, options, views_folder, maintenance, threads, stalled };
        Ok((Arc::new(store), report))
    }

    /// Hands a batch to the writer; waits where too many wait already. The answer comes through the batch's own channel.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] while stopping, [`StoreError::DiskFull`] while the views cannot be written.
    pub async fn submit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.stalled.load(Ordering::Relaxed) {
            return Err(StoreError::DiskFull);
        }
        if self.maintenance.marks_are_damaged() {
            return Err(StoreError::ReadOnly);
        }
        self.writer.send(Job::Batch(batch)).await.map_err(|_| StoreError::Stopped)
    }

    /// Writes a control entry and waits until it is durable and applied. Returns its place.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written then.
    pub async fn control(&self, control: Control) -> Result<Seq, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Control(control, reply)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Writes a corrected event and the entry that lets it replace another, with one sync, and waits until both are applied.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written then. The batch's own channel has what became of it.
    pub async fn amend(&self, control: Control, batch: Batch) -> Result<Seq, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Amend(control, batch, reply)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Destroys a value wherever it plays another part than the attacker's, and every text that holds it, in every file but the records.
    /// Gives the number of entries destroyed. `erasure` and `basis` go into the ledger and must not hold the value. Not for two callers
    /// at once.
    ///
    /// # Errors
    /// [`StoreError`]; part of it may be done then, and asking again does the rest.
    pub async fn erase(&self, victim: Victim, erasure: String, basis: String) -> Result<u64, StoreError> {
        let victim = Arc::new(victim);
        // Closed segments are rewritten here, so that the writer stands still for the open one alone.
        let from = self.ledger.segment_count().saturating_sub(1);
        let (ledger, gone) = (self.ledger.clone(), victim.clone());
        let closed = tokio::task::spawn_blocking(move || rewrite::erase(&ledger, 0..from, &gone)).await.map_err(|_| StoreError::Stopped)?;
        let entries = closed.map_err(|error| refusal(&error))?;
        let (counted, count) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Erase(Erasing { victim, from, entries, erasure, basis, counted, reply })).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)??;
        count.await.map_err(|_| StoreError::Stopped)
    }

    /// Writes the recent part and a checkpoint.
    pub async fn checkpoint(&self) {
        // While stopping there is nobody to ask.
        let _ = self.ask_for_checkpoint().await;
    }

    /// Asks for a checkpoint; it is on its way when this returns, unless the one before was not written yet.
    async fn ask_for_checkpoint(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let apply = self.apply.clone();
        // The queue may be full, and waiting for it must not hold up other tasks.
        let sent = tokio::task::spawn_blocking(move || apply.send(ApplyJob::Checkpoint(reply)).is_ok()).await.unwrap_or(false);
        if !sent {
            return Err(StoreError::Stopped);
        }
        answer.await.map_err(|_| StoreError::Stopped)
    }

    /// Stops every thread after what is under way. Everything acknowledged is durable already.
    pub async fn close(&self) {
        drop(self.writer.send(Job::Stop).await);
        self.maintenance.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        drop(tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(body)?)
}

fn open_views(options: &Options, ledger: &Ledger, folder: &Path) -> (Views, Seen) {
    let chain_at = |position: Seq| {
        let index = ledger.index_of(position);
        if position.0 <= 1 {
            return Some([0; 32]);
        }
        // The position must be the end of a frame that is there.
        let place = ledger.place(index.checked_sub(1)?)?;
        (place.header.end() <= position).then_some(place.header.chain)
    };
    match checkpoint::open(folder, &options.keys, options.recent_rows, chain_at) {
        Some((views, _, manifest)) if ledger.emptied_to() > views.expired_before() => {
            // It holds events that the ledger no longer has, and nothing could take them out of it.
            tracing::warn!(position = manifest.position.0, "the views' checkpoint is older than the last expiry; they are made anew");
            (Views::new(options.keys.clone(), options.recent_rows), Seen::default())
        }
        Some((views, seen, manifest)) => {
            tracing::info!(position = manifest.position.0, "views opened from their checkpoint");
            (views, seen)
        }
        None => (Views::new(options.keys.clone(), options.recent_rows), Seen::default()),
    }
}
