//! Expiry: events received longer ago than the realm keeps them leave every view, then the files.
//!
//! Flow: `hub::expiry` asks [`Store::next_expiry`] → [`Store::expire`] writes the entry → `views-apply` takes the events out of counters, and aggregates
//! are made anew without them → [`Store::empty_expired`] leaves of their frames what merging still needs.
//! Invariant: a frame is emptied once the entry is durable and applied and a checkpoint knows of it; views of a checkpoint that does not are made
//! anew (`open_views`). Whatever a stop leaves undone is done by the next [`Store::empty_expired`].
//! Invariant: control entries never expire: what was disputed, withdrawn or erased stays so.
//! Not here: how old is too old (`hub::expiry`), files (`ledger::rewrite`), what is left of a frame (`views::remains`).

use super::{Applying, Job, Store, StoreError, Writing, refusal};
use crate::ledger::rewrite::{self, Expired};
use crate::ledger::{Control, Kind, Place};
use crate::views::{ID_WINDOW, Part, checkpoint, remains, replay};
use hashbrown::HashSet;
use model::{Seq, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Events that expire with one entry, but for the frame in which the number is reached: the memory for making their aggregates anew is bounded by it.
const MAX_STEP_EVENTS: u64 = 500_000;
/// How often it is looked whether a checkpoint is written.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks after which it is asked for again: one before it may have been under way.
const LOOKS_A_REQUEST: u32 = 50;
/// Looks after which it is given up.
const MAX_LOOKS: u32 = 3_000;

/// Expired frames in the newest segments, to be emptied.
pub(super) struct Emptying {
    /// The first of these segments.
    from: u32,
    expired: Arc<Expired>,
    reply: oneshot::Sender<Result<u64, StoreError>>,
}

impl Store {
    /// Up to where, exclusive, the next events expire of those received before a moment; `None` where there are none. The oldest come first,
    /// a limited number at a time.
    pub fn next_expiry(&self, received_before: Timestamp) -> Option<Seq> {
        let position = self.views.position();
        let mut index = self.ledger.index_of(self.views.expired_before());
        let (mut events, mut before) = (0, None);
        while let Some(Place { header, .. }) = self.ledger.place(index) {
            let newest = header.received_at(header.rows.saturating_sub(1));
            if header.end() > position || newest >= received_before || events >= MAX_STEP_EVENTS {
                break;
            }
            if header.kind == Kind::Events {
                events += u64::from(header.rows);
                before = Some(header.end());
            }
            index += 1;
        }
        before
    }

    /// Lets every event before `before` expire, which is where a frame ends. When this returns no answer knows of them, after a restart either.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written then, or the store stops before aggregates are made anew.
    pub async fn expire(&self, before: Seq) -> Result<(), StoreError> {
        self.control(Control::Expire { before }).await.map(drop)
    }

    /// Empties the frames of expired events that are still whole, and forgets what was left of others once nothing needs it. Gives the number of frames
    /// that changed. Not for two callers at once, nor beside [`Store::erase`].
    ///
    /// # Errors
    /// [`StoreError`]; part of it may be done then, and asking again does the rest.
    pub async fn empty_expired(&self) -> Result<u64, StoreError> {
        let before = self.views.expired_before();
        let Some(last) = self.ledger.index_of(before).checked_sub(1).and_then(|index| self.ledger.place(index)) else { return Ok(0) };
        // Whatever comes after was received later than the last that expired.
        let keep_from = last.header.received_at(last.header.rows.saturating_sub(1)).minus(ID_WINDOW);
        if !rewrite::is_any_due(&self.ledger, 0..self.ledger.segment_count(), before, keep_from) {
            return Ok(0);
        }
        self.checkpoint_reaches(self.views.position()).await?;
        let (ledger, keys, make_days) = (self.ledger.clone(), self.options.keys.clone(), self.options.days.clone());
        let left = tokio::task::spawn_blocking(move || remains::remains(&ledger, &keys, make_days().as_mut(), before, keep_from)).await;
        let remains = left.map_err(|_| StoreError::Stopped)??;
        let expired = Arc::new(Expired { before, keep_from, remains });
        // The newest segment first, see `rewrite::expire`; the writer stands still for that one alone.
        let from = self.ledger.segment_count().saturating_sub(1);
        let mut frames = 0;
        if rewrite::is_any_due(&self.ledger, from..self.ledger.segment_count(), before, keep_from) {
            let (reply, answer) = oneshot::channel();
            self.writer.send(Job::Expire(Emptying { from, expired: expired.clone(), reply })).await.map_err(|_| StoreError::Stopped)?;
            frames += answer.await.map_err(|_| StoreError::Stopped)??;
        }
        let ledger = self.ledger.clone();
        let closed = tokio::task::spawn_blocking(move || rewrite::expire(&ledger, 0..from, &expired)).await.map_err(|_| StoreError::Stopped)?;
        Ok(frames + closed.map_err(|error| refusal(&error))?)
    }

    /// Waits until a checkpoint with everything before `position` is durable.
    async fn checkpoint_reaches(&self, position: Seq) -> Result<(), StoreError> {
        for look in 0..MAX_LOOKS {
            if checkpoint::position(&self.views_folder) >= position {
                return Ok(());
            }
            if look % LOOKS_A_REQUEST == 0 {
                self.ask_for_checkpoint().await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(StoreError::View(std::io::Error::other("the views' checkpoint is not written")))
    }
}

impl Writing {
    /// Empties expired frames where the ledger grows.
    pub(super) fn empty(&mut self, emptying: Emptying) {
        let Emptying { from, expired, reply } = emptying;
        let emptied = self.writer.expire(from, &expired).map_err(|error| {
            tracing::error!(%error, "expired blocks cannot be emptied");
            refusal(&error)
        });
        // Nobody may wait any more.
        let _ = reply.send(emptied);
    }
}

impl Applying {
    /// Takes every event before `before` out of the views. Their values are left out of answers until their rows are made anew.
    pub(super) fn expire(&mut self, before: Seq, done: &mut Option<(Seq, oneshot::Sender<Result<Seq, StoreError>>)>) {
        let views = self.applier.views.clone();
        // An entry speaks of whole frames that came before it.
        let before = before.min(views.position());
        let before = self.ledger.place(self.ledger.index_of(before)).map_or(before, |place| before.min(place.header.first_seq));
        let from = views.expired_before();
        if before <= from {
            return;
        }
        let mut keys = HashSet::new();
        let mut events = 0;
        let mut days = (self.options.days)();
        for place in self.ledger.places(self.ledger.index_of(from)..self.ledger.index_of(before)) {
            // Of a frame that was emptied nothing was ever counted in these views.
            if place.header.kind == Kind::Control || place.header.expired {
                continue;
            }
            let frame = self.read(&place);
            for part in replay(&frame, &views.keys, days.as_mut()).unwrap_or_default() {
                events += self.expire_part(&place, &part, &mut keys);
            }
        }
        views.expire(before);
        // The frames kept for followers hold them still.
        self.live.forget();
        if self.publish {
            metrics::counter!("bongsu_expired_events_total").increment(events);
            tracing::info!(before = before.0, events, "events expired");
        }
        if !keys.is_empty() {
            self.make_anew(keys, done);
        }
    }

    /// Uncounts the events of a part and collects their keys; gives how many had counted.
    fn expire_part(&self, place: &Place, part: &Part, keys: &mut HashSet<u128>) -> u64 {
        let views = &self.applier.views;
        let prepared = &part.prepared;
        let (merged, withdrawn) = (views.merged.read(), views.withdrawn.read());
        let mut events = 0;
        let mut references = prepared.references.iter().peekable();
        for (row, event) in prepared.events.iter().enumerate() {
            let seq = place.header.first_seq.0 + u64::from(part.submission.start) + row as u64;
            // What had come before has no row; what was withdrawn has one that says so.
            let has_rows = !merged.contains(seq);
            while let Some(reference) = references.next_if(|reference| reference.event as usize == row) {
                if has_rows {
                    keys.insert(reference.key);
                }
            }
            if has_rows && !withdrawn.contains(seq) {
                self.uncount(prepared, row, event);
                events += 1;
            }
        }
        events
    }

    /// Sets the marks that are left of an expired frame, at a replay.
    pub(super) fn remember(&mut self, place: &Place, marks: &[crate::views::seen::Mark]) {
        for mark in marks {
            self.applier.seen.set(mark.key, mark.received, mark.taken);
        }
        self.moved_to(place);
    }
}

#[cfg(test)]
mod tests;
