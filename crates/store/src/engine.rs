//! The store at work: one thread writes and syncs, one applies in ledger order, two keep house.
//!
//! Flow: `hub::intake` → [`Store::submit`] → writer (group commit) → apply (views, merging) → the sender's answer → followers.
//! Invariant: an answer of success is given after the sync and after every view has taken the events in.
//! Not here: parsing (`hub::intake`), policy; expiry is in `engine::expiry`.

use crate::ledger::{
    Content, Control, Encoded, Frame, Hole, Kind, Ledger, LedgerError, OpenReport, Pending, Place, Submission, Victim, Writer, encode, rewrite,
};
use crate::live::{Live, LiveFrame};
use crate::maintenance::{Flush, Maintenance, give_way};
use crate::recompute;
use crate::views::checkpoint::{self, Snapshot};
use crate::views::indicators::{self, Indicators};
use crate::views::owners::{Following, Owners};
use crate::views::seen::{Mark, Seen};
use crate::views::tallies::TallyKey;
use crate::views::{Applied, Applier, Days, Keys, Part, Prepared, Row, Views, recent::Gathered, remains, replay};
use hashbrown::{HashMap, HashSet};
use model::{Event, Seq, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

mod expiry;

/// Batches that wait for the writer at the most; past it senders wait.
const WRITER_QUEUE: usize = 512;
/// Frames that wait to be applied at the most.
const APPLY_QUEUE: usize = 64;
/// Events that are grouped into one frame at the most; one block holds 65,535.
pub const MAX_FRAME_EVENTS: usize = 60_000;
/// Bytes written with one sync at the most.
const MAX_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Marks in memory at the most before a freeze.
const MAX_MARKS: usize = 4_000_000;

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
            let following = Following::new(owners.clone(), views.clone(), ledger.clone(), options.folder.join("owners"), maintenance.stop_flag());
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

/// The writer thread.
struct Writing {
    writer: Writer,
    apply: crossbeam_channel::Sender<ApplyJob>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Requests a part of which was refused: what follows of them is refused too, so that a part taken means every part before it was.
    refused: HashSet<u64>,
}

/// Refused requests remembered at the most; a request is over long before as many more were refused.
const MAX_REFUSED: usize = 65_536;

/// A frame of the group being written, with what is needed after the sync.
enum Planned {
    Events { parts: Vec<Part>, replies: Replies },
    Control { control: Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>> },
}

impl Writing {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut open = true;
        while open {
            let Some(first) = jobs.blocking_recv() else { break };
            let mut group = Group::default();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Stop => open = false,
                    Job::Erase(erasing) => {
                        // What came before is written first: the segment it goes to is rewritten too.
                        self.write(std::mem::take(&mut group));
                        self.erase(erasing, &mut group);
                    }
                    Job::Expire(emptying) => {
                        // Likewise.
                        self.write(std::mem::take(&mut group));
                        self.empty(emptying);
                    }
                    Job::Batch(batch) if self.refused.contains(&batch.submission.nonce) => drop(batch.reply.send(Err(StoreError::DiskFull))),
                    job => group.add(job),
                }
                next = if group.is_full() { None } else { jobs.try_recv().ok() };
            }
            self.write(group);
        }
        drop(self.apply.send(ApplyJob::Stop));
    }

    fn erase(&mut self, erasing: Erasing, group: &mut Group) {
        let Erasing { victim, from, entries, erasure, basis, counted, reply } = erasing;
        match self.writer.erase(from, &victim) {
            Ok(more) => {
                let entries = entries + more;
                // Nobody may wait any more.
                let _ = counted.send(entries);
                group.add_control(Control::Erase { erasure, key: format!("{:032x}", victim.key()), basis, entries }, Some(reply));
            }
            Err(error) => {
                tracing::error!(%error, "the ledger refused an erasure");
                drop(reply.send(Err(refusal(&error))));
            }
        }
    }

    fn write(&mut self, mut group: Group) {
        group.close_small();
        if group.pending.is_empty() {
            return;
        }
        let started = Instant::now();
        match self.writer.write(&group.pending, (self.now)()) {
            Ok(places) => {
                metrics::histogram!("bongsu_ledger_sync_seconds").record(started.elapsed().as_secs_f64());
                for (place, planned) in places.into_iter().zip(group.planned) {
                    let job = match planned {
                        Planned::Events { parts, replies } => ApplyJob::Frame { place, parts, replies },
                        Planned::Control { control, reply } => ApplyJob::Control { place, control, reply },
                    };
                    drop(self.apply.send(job));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the ledger refused a write");
                let refused = || refusal(&error);
                if self.refused.len() > MAX_REFUSED {
                    self.refused.clear();
                }
                for planned in &group.planned {
                    if let Planned::Events { parts, .. } = planned {
                        self.refused.extend(parts.iter().map(|part| part.submission.nonce));
                    }
                }
                for planned in group.planned {
                    match planned {
                        Planned::Events { replies, .. } => replies.into_iter().for_each(|(_, reply)| drop(reply.send(Err(refused())))),
                        Planned::Control { reply, .. } => drop(reply.map(|reply| reply.send(Err(refused())))),
                    }
                }
            }
        }
    }
}

fn refusal(error: &LedgerError) -> StoreError {
    match error {
        LedgerError::DiskFull => StoreError::DiskFull,
        _ => StoreError::ReadOnly,
    }
}

/// What is written with one sync.
#[derive(Default)]
struct Group {
    pending: Vec<Pending>,
    planned: Vec<Planned>,
    small: Vec<Part>,
    small_replies: Replies,
    small_events: usize,
    bytes: usize,
}

impl Group {
    fn is_full(&self) -> bool {
        self.bytes >= MAX_GROUP_BYTES || self.small_events >= MAX_FRAME_EVENTS / 2
    }

    fn add(&mut self, job: Job) {
        match job {
            Job::Batch(batch) => self.add_batch(batch),
            Job::Control(control, reply) => self.add_control(control, Some(reply)),
            Job::Amend(control, batch, reply) => {
                // The corrected event first: a torn write must not take the old one away alone.
                self.add_batch(batch);
                self.add_control(control, Some(reply));
            }
            // The writer does these itself.
            Job::Erase(_) | Job::Expire(_) | Job::Stop => {}
        }
    }

    fn add_control(&mut self, control: Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>>) {
        // Order matters: what came before the act is written before it.
        self.close_small();
        self.pending.push(Pending { content: Content::Control(control.clone()) });
        self.planned.push(Planned::Control { control, reply });
    }

    fn add_batch(&mut self, batch: Batch) {
        let Batch { prepared, encoded, mut submission, holes, reply } = batch;
        submission.rows = prepared.events.len() as u32;
        if let Some(encoded) = encoded {
            self.close_small();
            submission.start = 0;
            self.bytes += encoded.body.len() + encoded.vault.len();
            let mut meta = Vec::new();
            submission.write(&holes, &mut meta);
            self.pending.push(Pending { content: Content::Events { encoded, meta } });
            self.planned.push(Planned::Events { parts: vec![Part { submission, holes, prepared }], replies: vec![(submission, reply)] });
        } else {
            if self.small_events + submission.rows as usize > MAX_FRAME_EVENTS {
                self.close_small();
            }
            submission.start = self.small_events as u32;
            self.small_events += submission.rows as usize;
            self.small.push(Part { submission, holes, prepared });
            self.small_replies.push((submission, reply));
        }
    }

    /// Turns the small batches gathered so far into one frame.
    fn close_small(&mut self) {
        if self.small.is_empty() {
            return;
        }
        let parts = std::mem::take(&mut self.small);
        let keys: Vec<u128> = parts.iter().flat_map(|part| part.prepared.references.iter().map(|reference| reference.key)).collect();
        let encoded = encode(parts.iter().flat_map(|part| &part.prepared.events), &keys);
        self.bytes += encoded.body.len() + encoded.vault.len();
        let mut meta = Vec::new();
        for part in &parts {
            part.submission.write(&part.holes, &mut meta);
        }
        self.pending.push(Pending { content: Content::Events { encoded, meta } });
        self.planned.push(Planned::Events { parts, replies: std::mem::take(&mut self.small_replies) });
        self.small_events = 0;
    }
}

/// The apply thread.
struct Applying {
    applier: Applier,
    ledger: Arc<Ledger>,
    live: Arc<Live>,
    options: Options,
    flushes: crossbeam_channel::Sender<Flush>,
    jobs: crossbeam_channel::Sender<ApplyJob>,
    last_freeze: Instant,
    chain: [u8; 32],
    newest: Timestamp,
    stalled: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    publish: bool,
    /// Number of the next job that makes aggregates anew, and of the latest one of each key.
    next_anew: u64,
    anew: HashMap<u128, u64>,
}

impl Applying {
    fn run(mut self, jobs: &crossbeam_channel::Receiver<ApplyJob>) {
        loop {
            match jobs.recv_timeout(Duration::from_secs(5)) {
                Ok(ApplyJob::Stop) | Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return,
                Ok(job) => self.take(job),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            }
            self.freeze_where_due();
        }
    }

    fn take(&mut self, job: ApplyJob) {
        match job {
            ApplyJob::Frame { place, parts, replies } => self.frame(&place, parts, replies),
            ApplyJob::Control { place, control, reply } => self.control(&place, &control, reply),
            ApplyJob::Recomputed(anew, rows) => self.recomputed(anew, rows),
            ApplyJob::Checkpoint(reply) => {
                self.freeze();
                // Nobody may wait any more.
                let _ = reply.send(());
            }
            ApplyJob::Stop => {}
        }
    }

    fn frame(&mut self, place: &Place, parts: Vec<Part>, replies: Replies) {
        let results: Vec<_> = parts.iter().map(|part| self.applier.apply(&place.header, part)).collect();
        self.moved_to(place);
        for ((submission, reply), result) in replies.into_iter().zip(results) {
            let first = Seq(place.header.first_seq.0 + u64::from(submission.start));
            let answer = Ok(BatchResult {
                first_seq: first,
                last_seq: Seq(first.0 + u64::from(submission.rows.saturating_sub(1))),
                received: place.header.received_at(submission.start),
                applied: result,
            });
            drop(reply.send(answer));
        }
        if self.publish {
            self.live.publish(LiveFrame { header: place.header, parts });
        }
    }

    fn moved_to(&mut self, place: &Place) {
        self.chain = place.header.chain;
        self.newest = place.header.received_at(place.header.rows);
        self.applier.views.set_position(place.header.end());
    }

    fn control(&mut self, place: &Place, control: &Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>>) {
        let views = self.applier.views.clone();
        let mut done = reply.map(|reply| (place.header.first_seq, reply));
        match control {
            Control::Withdraw { ranges, .. } => self.withdraw(ranges, &mut done),
            Control::Amend { old, .. } => self.withdraw(&[(*old, *old)], &mut done),
            Control::Dispute { key, upheld } => {
                if let Ok(key) = u128::from_str_radix(key, 16) {
                    let mut disputed = views.disputed.write();
                    if *upheld {
                        disputed.insert(key);
                    } else {
                        disputed.remove(&key);
                    }
                }
            }
            Control::Erase { key, .. } => {
                // The frames kept for followers hold what the ledger no longer has.
                self.live.forget();
                if let Ok(key) = u128::from_str_radix(key, 16) {
                    self.make_anew(std::iter::once(key).collect(), &mut done);
                }
            }
            Control::Expire { before } => self.expire(*before, &mut done),
            // The owners' view follows these by itself.
            Control::Record { .. } | Control::Network { .. } | Control::Release { .. } => {}
        }
        self.moved_to(place);
        if let Some((seq, reply)) = done {
            drop(reply.send(Ok(seq)));
        }
        if self.publish {
            self.live.publish(LiveFrame { header: place.header, parts: Vec::new() });
        }
    }

    /// Takes events out of every view. Their values are left out of answers until their rows are made anew.
    fn withdraw(&mut self, ranges: &[(Seq, Seq)], done: &mut Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>) {
        let views = self.applier.views.clone();
        let mut keys = HashSet::new();
        let mut days = (self.options.days)();
        let mut ranges = ranges.to_vec();
        ranges.sort_unstable();
        let (Some(&(first, _)), Some(last)) = (ranges.first(), ranges.iter().map(|range| range.1).max()) else { return };
        // Each block is read once, however many of its rows are withdrawn.
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            let touched = |range: &(Seq, Seq)| range.0 < place.header.end() && range.1 >= place.header.first_seq;
            let here: Vec<(Seq, Seq)> = ranges.iter().copied().filter(touched).collect();
            if place.header.kind == Kind::Control || here.is_empty() {
                continue;
            }
            let frame = self.read(&place);
            for part in replay(&frame, &views.keys, days.as_mut()).unwrap_or_default() {
                self.withdraw_part(&place, &part, &here, &mut keys);
            }
        }
        if !keys.is_empty() {
            self.make_anew(keys, done);
        }
    }

    /// Reads a block that events are to be taken out of, again and again where it must.
    fn read(&self, place: &Place) -> Frame {
        loop {
            match self.ledger.read(place) {
                Ok(frame) => return frame,
                Err(error) => {
                    tracing::error!(%error, "a block to take events out of cannot be read, trying again");
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }

    /// Makes the aggregates of these keys anew from the ledger; until then they are left out of answers.
    fn make_anew(&mut self, keys: HashSet<u128>, done: &mut Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>) {
        let views = self.applier.views.clone();
        views.observables.withhold(keys.iter().copied());
        let number = self.next_anew;
        self.next_anew += 1;
        self.anew.extend(keys.iter().map(|&key| (key, number)));
        let up_to = self.ledger.index_of(views.position());
        // What is expired has nothing to give.
        let places = self.ledger.places(self.ledger.index_of(views.expired_before())..up_to);
        let (ledger, jobs, make_days) = (self.ledger.clone(), self.jobs.clone(), self.options.days.clone());
        let anew = Anew { number, keys, up_to, done: done.take() };
        let work = move || {
            give_way();
            let mut rows = recompute::rows_of(&views, &ledger, &places, &anew.keys, make_days().as_mut());
            while let Err(error) = &rows {
                tracing::error!(%error, "aggregates cannot be made anew, trying again");
                std::thread::sleep(Duration::from_secs(5));
                rows = recompute::rows_of(&views, &ledger, &places, &anew.keys, make_days().as_mut());
            }
            drop(jobs.send(ApplyJob::Recomputed(anew, rows.unwrap_or_default())));
        };
        if !self.publish {
            // During replay the apply thread is this one; the job waits in its queue until then.
            std::thread::scope(|scope| drop(scope.spawn(work)));
        } else if let Err(error) = std::thread::Builder::new().name("views-recompute".to_owned()).spawn(work) {
            tracing::error!(%error, "no thread for making aggregates anew");
        }
    }

    fn withdraw_part(&self, place: &Place, part: &Part, ranges: &[(Seq, Seq)], keys: &mut HashSet<u128>) {
        let views = &self.applier.views;
        let prepared = &part.prepared;
        let mut references = prepared.references.iter().peekable();
        for (row, event) in prepared.events.iter().enumerate() {
            let seq = Seq(place.header.first_seq.0 + u64::from(part.submission.start) + row as u64);
            let range = ranges.partition_point(|range| range.0 <= seq).checked_sub(1).and_then(|at| ranges.get(at));
            let chosen = range.is_some_and(|range| seq <= range.1) && views.counts(seq);
            while let Some(reference) = references.next_if(|reference| reference.event as usize == row) {
                if chosen {
                    keys.insert(reference.key);
                }
            }
            if !chosen {
                continue;
            }
            views.withdrawn.write().insert(seq.0);
            self.uncount(prepared, row, event);
        }
    }

    /// Takes an event that counted out of the counters.
    fn uncount(&self, prepared: &Prepared, row: usize, event: &Event) {
        let views = &self.applier.views;
        views.events.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = prepared.tallies.get(row).and_then(|&tally| prepared.tally_keys.get(tally as usize)) {
            let sector = (key.sector as usize).checked_sub(1).and_then(|at| prepared.strings.get(at)).map_or(0, |text| views.strings.write().intern(text));
            views.tallies.write().subtract(TallyKey { sector, ..*key }, u64::from(event.count));
        }
    }

    fn recomputed(&mut self, anew: Anew, mut rows: HashMap<u128, Vec<Row>>) {
        let Anew { number, mut keys, up_to, done } = anew;
        // A later job about the same key knows of more withdrawals and erasures than this one.
        keys.retain(|key| self.anew.get(key) == Some(&number));
        let views = &self.applier.views;
        // What came while the rows were being made is read now, so that nothing falls between.
        let since = self.ledger.places(up_to..self.ledger.index_of(views.position()));
        match recompute::rows_of(views, &self.ledger, &since, &keys, (self.options.days)().as_mut()) {
            Ok(newer) => {
                for (key, newer) in newer {
                    let mine = rows.entry(key).or_default();
                    for row in newer {
                        match mine.iter_mut().find(|other| other.class == row.class) {
                            Some(other) => other.merge(&row),
                            None => mine.push(row),
                        }
                    }
                }
                for &key in &keys {
                    views.observables.replace(key, rows.get(&key).map_or(&[], Vec::as_slice));
                    self.anew.remove(&key);
                }
            }
            Err(error) => tracing::error!(%error, "aggregates cannot be made anew; their values stay out of answers until the next start"),
        }
        if let Some((seq, reply)) = done {
            drop(reply.send(Ok(seq)));
        }
    }

    fn freeze_where_due(&mut self) {
        let active = self.applier.views.observables.active().rows();
        let full = active >= self.options.recent_rows || self.applier.seen.len() >= MAX_MARKS;
        let old = self.last_freeze.elapsed() >= self.options.recent_age && active + self.applier.seen.len() > 0;
        if !full && !old {
            return;
        }
        let mut waited = Duration::ZERO;
        while !self.freeze() {
            // The one before is still being written. Going on is fine until this one has twice its size.
            if self.applier.views.observables.active().rows() < self.options.recent_rows.saturating_mul(2) {
                return;
            }
            const STEP: Duration = Duration::from_millis(5);
            std::thread::sleep(STEP);
            waited += STEP;
            if waited > Duration::from_secs(2) {
                self.stalled.store(true, Ordering::Relaxed);
            }
            // What is not in a checkpoint is replayed at the next start.
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        self.stalled.store(false, Ordering::Relaxed);
    }

    /// Freezes the recent part and hands it over to be written; false where the one before is not written yet.
    fn freeze(&mut self) -> bool {
        let Some(frozen) = self.applier.views.observables.freeze() else { return false };
        let marks = self.applier.seen.freeze();
        let snapshot = Snapshot::take(&self.applier.views, self.applier.views.position(), self.chain);
        self.last_freeze = Instant::now();
        drop(self.flushes.send(Flush { frozen, marks, snapshot, newest: self.newest }));
        true
    }

    /// Takes in what the ledger holds past the checkpoint. Other threads decode ahead.
    fn replay_tail(&mut self, own_jobs: &crossbeam_channel::Receiver<ApplyJob>) -> Result<(), StoreError> {
        let position = self.applier.views.position();
        let first = self.ledger.index_of(position);
        if let Some(before) = first.checked_sub(1).and_then(|index| self.ledger.place(index)) {
            self.chain = before.header.chain;
            self.newest = before.header.received_at(before.header.rows);
        }
        let places = self.ledger.places(first..self.ledger.frames());
        let threads = self.options.threads.max(1);
        let (ledger, keys, make_days) = (self.ledger.clone(), self.options.keys.clone(), self.options.days.clone());
        std::thread::scope(|scope| -> Result<(), StoreError> {
            let mut lanes = Vec::new();
            for lane in 0..threads {
                let (sender, receiver) = crossbeam_channel::bounded(2);
                lanes.push(receiver);
                let (ledger, keys, places, mut days) = (&ledger, &keys, &places, make_days());
                scope.spawn(move || {
                    for place in places.iter().skip(lane).step_by(threads) {
                        if sender.send(decode(ledger, place, keys, days.as_mut())).is_err() {
                            return;
                        }
                    }
                });
            }
            for (index, place) in places.iter().enumerate() {
                let Some(decoded) = lanes.get(index % threads).and_then(|lane| lane.recv().ok()) else { break };
                match decoded? {
                    Decoded::Parts(parts) => self.frame(place, parts, Vec::new()),
                    Decoded::Remains(marks) => self.remember(place, &marks),
                    Decoded::Control(control) => self.control(place, &control, None),
                }
                while let Ok(job) = own_jobs.try_recv() {
                    self.take(job);
                }
                self.freeze_where_due();
            }
            Ok(())
        })
    }
}

enum Decoded {
    Parts(Vec<Part>),
    /// What is left of an expired frame.
    Remains(Vec<Mark>),
    Control(Control),
}

fn decode(ledger: &Ledger, place: &Place, keys: &Keys, days: &mut dyn Days) -> Result<Decoded, StoreError> {
    let damaged = || LedgerError::Damaged { path: ledger.folder().to_owned(), offset: place.offset };
    let frame = ledger.read_checked(place)?;
    match place.header.kind {
        Kind::Events if frame.header.expired => Ok(Decoded::Remains(remains::marks_in(&frame).ok_or_else(damaged)?)),
        Kind::Events => Ok(Decoded::Parts(replay(&frame, keys, days).ok_or_else(damaged)?)),
        Kind::Control => Ok(Decoded::Control(serde_json::from_slice(frame.body()).map_err(|_| damaged())?)),
    }
}
