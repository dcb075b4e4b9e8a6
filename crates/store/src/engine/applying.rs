//! The apply thread: takes frames into the views in ledger order, answers senders, and freezes the recent part where it is due.
//!
//! Flow: frames and control entries of the writer → the views → each sender's answer → followers; at the start the ledger's tail the same way.
//! Invariant: nobody is answered before every view has taken the events in. What a deliberate act touches is withheld until its rows are made anew.
//! Not here: merging itself (`views`), rows made anew (`recompute`), what expiry takes away (`expiry`).

use super::{Anew, ApplyJob, BatchResult, Options, Replies, StoreError};
use crate::ledger::{Control, Frame, Kind, Ledger, LedgerError, Place};
use crate::live::{Live, LiveFrame};
use crate::maintenance::{Flush, give_way};
use crate::recompute;
use crate::views::checkpoint::Snapshot;
use crate::views::seen::Mark;
use crate::views::tallies::TallyKey;
use crate::views::{Applier, Days, Keys, Part, Prepared, Row, remains, replay};
use hashbrown::{HashMap, HashSet};
use model::{Event, Seq, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Marks in memory at the most before a freeze.
const MAX_MARKS: usize = 4_000_000;

/// The apply thread.
pub(super) struct Applying {
    pub(super) applier: Applier,
    pub(super) ledger: Arc<Ledger>,
    pub(super) live: Arc<Live>,
    pub(super) options: Options,
    pub(super) flushes: crossbeam_channel::Sender<Flush>,
    pub(super) jobs: crossbeam_channel::Sender<ApplyJob>,
    pub(super) last_freeze: Instant,
    pub(super) chain: [u8; 32],
    pub(super) newest: Timestamp,
    pub(super) stalled: Arc<AtomicBool>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) publish: bool,
    /// Number of the next job that makes aggregates anew, and of the latest one of each key.
    pub(super) next_anew: u64,
    pub(super) anew: HashMap<u128, u64>,
}

impl Applying {
    pub(super) fn run(mut self, jobs: &crossbeam_channel::Receiver<ApplyJob>) {
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

    pub(super) fn moved_to(&mut self, place: &Place) {
        self.chain = place.header.chain;
        self.newest = place.header.received_at(place.header.rows);
        self.applier.views.set_position(place.header.end());
    }

    fn control(&mut self, place: &Place, control: &Control, reply: Option<oneshot::Sender<Result<Seq, StoreError>>>) {
        let views = self.applier.views.clone();
        let mut done = reply.map(|reply| (place.header.first_seq, reply));
        match control {
            Control::Withdraw { ranges, .. } => self.withdraw(ranges, true, &mut done),
            // What stands in its place counts: who sends the old one again need not be told.
            Control::Amend { old, .. } => self.withdraw(&[(*old, *old)], false, &mut done),
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
            // The owners' view and the log of indicators follow these by themselves.
            Control::Record { .. }
            | Control::Network { .. }
            | Control::Reporter { .. }
            | Control::Agreement { .. }
            | Control::National { .. }
            | Control::Release { .. } => {}
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
    /// With `marked`, who sends them again is told.
    fn withdraw(&mut self, ranges: &[(Seq, Seq)], marked: bool, done: &mut Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>) {
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
                let withdrawn = self.withdraw_part(&place, &part, &here, &mut keys);
                if marked {
                    self.applier.remember_withdrawn(&place.header, &part, &withdrawn, self.newest);
                }
            }
        }
        if !keys.is_empty() {
            self.make_anew(keys, done);
        }
    }

    /// Reads a block that events are to be taken out of, again and again where it must.
    pub(super) fn read(&self, place: &Place) -> Frame {
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
    pub(super) fn make_anew(&mut self, keys: HashSet<u128>, done: &mut Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>) {
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

    /// Withdraws what of a part is in the ranges and counts; gives its rows.
    fn withdraw_part(&self, place: &Place, part: &Part, ranges: &[(Seq, Seq)], keys: &mut HashSet<u128>) -> Vec<u32> {
        let mut rows = Vec::new();
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
            rows.push(row as u32);
        }
        rows
    }

    /// Takes an event that counted out of the counters.
    pub(super) fn uncount(&self, prepared: &Prepared, row: usize, event: &Event) {
        let views = &self.applier.views;
        views.events.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = prepared.tallies.get(row).and_then(|&tally| prepared.tally_keys.get(tally as usize)) {
            let sector = (key.sector as usize).checked_sub(1).and_then(|at| prepared.strings.get(at)).map_or(0, |text| views.strings.intern(text));
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
    pub(super) fn replay_tail(&mut self, own_jobs: &crossbeam_channel::Receiver<ApplyJob>) -> Result<(), StoreError> {
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
