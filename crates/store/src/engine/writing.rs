//! The writer thread: takes what waits into groups, each written and synced at once.
//!
//! Flow: jobs of the store's queue → [`Group`]: frames, small batches sharing one → the ledger's writer → the apply thread's queue.
//! Invariant: a part taken means that every part of its request before it was; on an error everyone in the group is refused and nothing of it is kept.
//! Not here: files (`ledger::writer`), what a batch means (`applying`).

use super::{ApplyJob, Batch, Erasing, Job, Replies, StoreError};
use crate::ledger::{Content, Control, LedgerError, Pending, Writer, encode};
use crate::views::Part;
use hashbrown::HashSet;
use model::{Seq, Timestamp};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Events that are grouped into one frame at the most; one block holds 65,535.
const MAX_FRAME_EVENTS: usize = 60_000;
/// Bytes written with one sync at the most.
const MAX_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// The writer thread.
pub(super) struct Writing {
    pub(super) writer: Writer,
    pub(super) apply: crossbeam_channel::Sender<ApplyJob>,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Requests a part of which was refused: what follows of them is refused too, so that a part taken means every part before it was.
    pub(super) refused: HashSet<u64>,
}

/// Refused requests remembered at the most; a request is over long before as many more were refused.
const MAX_REFUSED: usize = 65_536;

/// A frame of the group being written, with what is needed after the sync.
enum Planned {
    Events { parts: Vec<Part>, replies: Replies },
    Control { control: Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>> },
}

impl Writing {
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
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

pub(super) fn refusal(error: &LedgerError) -> StoreError {
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
