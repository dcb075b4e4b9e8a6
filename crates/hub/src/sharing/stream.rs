//! The live stream: a follower has a place of its own in the ledger and is never ahead of the views.
//!
//! Invariant: lossless and in order. Who falls behind reads blocks from disk at its own pace and holds nobody up; who stays behind too
//! long is told so and dropped. Nobody holds more than a piece of a frame, and nothing that was rendered for a key outlives it.

use super::lookup::reads;
use super::view::View;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use model::{Event, Filter, OrgNo, Seq, Timestamp};
use policy::redact;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::ledger::{Body, Kind, columns};
use store::views::reporter_of;
use tokio::time::Instant;

/// Silence after which a heartbeat is sent, and after which the key is looked at again.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A follower that had been current and is now this far behind is dropped.
const MAX_LAG: Duration = Duration::from_secs(900);

/// Bytes that are rendered ahead from memory, about.
const LIVE_PIECE: usize = 256 * 1024;
/// The same from disk, where each piece opens its block again.
const STORED_PIECE: usize = 1024 * 1024;
/// Open streams of an organisation at the most.
const MAX_STREAMS: usize = 128;

/// What a follower gets.
#[derive(Debug, Clone)]
pub enum StreamItem {
    /// An event, rendered.
    Event {
        /// Its place.
        seq: Seq,
        /// Its JSON.
        json: Bytes,
    },
    /// Nothing came for a while.
    Heartbeat {
        /// The place up to which the follower has everything; `None` before the first.
        seen: Option<Seq>,
    },
    /// The last word before the end.
    Dropped {
        /// Why.
        reason: &'static str,
    },
    /// The hub stops; resume elsewhere or later.
    Closed,
}

/// One follower.
pub struct Subscription {
    hub: Arc<Hub>,
    /// On whose account the stream is open.
    org: OrgNo,
    actor: Actor,
    filter: Filter,
    next: Seq,
    ready: VecDeque<(Seq, Bytes)>,
    follower: store::Follower,
    stopping: tokio::sync::watch::Receiver<bool>,
    checked: Timestamp,
    /// When a heartbeat is due, unless something comes before.
    heartbeat: Instant,
    was_current: bool,
    ended: bool,
}

impl Hub {
    /// Begins to follow, from `from` on (inclusive), or from now.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not read events, [`HubError::Quota`] where the organisation has too many streams open.
    pub fn subscribe(self: &Arc<Self>, actor: &Actor, filter: Filter, from: Option<Seq>) -> Result<Subscription, HubError> {
        reads(actor)?;
        {
            let mut streams = self.streams.lock();
            let open = streams.entry(actor.organisation.number).or_default();
            if *open >= MAX_STREAMS {
                return Err(HubError::Quota { retry_after: HEARTBEAT.as_secs() });
            }
            *open += 1;
        }
        let follower = self.store().live.follow();
        Ok(Subscription {
            hub: self.clone(),
            actor: actor.clone(),
            filter,
            next: from.unwrap_or_else(|| self.store().views.position()),
            ready: VecDeque::new(),
            follower,
            org: actor.organisation.number,
            stopping: self.streams_stopping(),
            checked: self.clock().now(),
            heartbeat: Instant::now() + HEARTBEAT,
            was_current: false,
            ended: false,
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut streams = self.hub.streams.lock();
        if let Some(open) = streams.get_mut(&self.org) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                streams.remove(&self.org);
            }
        }
    }
}

impl Subscription {
    /// The place up to which the follower has everything it is entitled to, once it has taken what was handed out: it resumes after it.
    pub fn seen(&self) -> Option<Seq> {
        let next = self.ready.front().map_or(self.next, |(seq, _)| *seq);
        next.0.checked_sub(1).map(Seq)
    }

    /// The next item; waits for it.
    pub async fn next(&mut self) -> StreamItem {
        loop {
            if self.ended || *self.stopping.borrow() {
                return StreamItem::Closed;
            }
            if let Some(reason) = self.last_word() {
                self.ended = true;
                return StreamItem::Dropped { reason };
            }
            if let Some((seq, json)) = self.ready.pop_front() {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return StreamItem::Event { seq, json };
            }
            // Also while others' events pass by, so that who comes back does not begin before them.
            if Instant::now() >= self.heartbeat {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return StreamItem::Heartbeat { seen: self.seen() };
            }
            let position = *self.follower.position.borrow_and_update();
            if self.next < position {
                if let Err(reason) = self.read_frame(position).await {
                    self.ended = true;
                    return StreamItem::Dropped { reason };
                }
                continue;
            }
            self.was_current = true;
            tokio::select! {
                changed = self.follower.position.changed() => if changed.is_err() { return StreamItem::Closed },
                _ = self.stopping.changed() => return StreamItem::Closed,
                () = tokio::time::sleep_until(self.heartbeat) => {}
            }
        }
    }

    /// Why the follower must go, where it must.
    fn last_word(&mut self) -> Option<&'static str> {
        let now = self.hub.clock().now();
        if now < self.checked.plus(HEARTBEAT) {
            return None;
        }
        self.checked = now;
        match self.hub.directory().again(&self.actor, now) {
            Ok(actor) => self.actor = actor,
            Err(_) => return Some("the key is no longer valid"),
        }
        // What was rendered for the key as it was is rendered again for the key as it is.
        if let Some((seq, _)) = self.ready.front() {
            self.next = *seq;
            self.ready.clear();
        }
        let place = self.hub.store().ledger.place(self.hub.store().ledger.index_of(self.next))?;
        (self.was_current && self.next < self.hub.store().views.position() && place.header.received.plus(MAX_LAG) < now)
            .then_some("too slow: more than 15 minutes behind; resume with Last-Event-ID")
    }

    /// Renders a piece of what the follower sees of the frame at its place, and moves on.
    async fn read_frame(&mut self, position: Seq) -> Result<(), &'static str> {
        if let Some(frame) = self.hub.store().live.frame(self.next) {
            let view = View { reader: &self.actor.reader, directory: self.hub.directory().snapshot() };
            let mut bytes = 0;
            for part in &frame.parts {
                let passed = self.next.0.saturating_sub(frame.header.first_seq.0 + u64::from(part.submission.start)) as usize;
                for (row, event) in part.prepared.events.iter().enumerate().skip(passed) {
                    let place = part.submission.start + row as u32;
                    let seq = Seq(frame.header.first_seq.0 + u64::from(place));
                    if self.hub.store().views.counts(seq)
                        && let Some(json) = render(&view, &self.filter, seq, frame.header.received_at(place), part.submission.org, event)
                    {
                        bytes += json.len();
                        self.ready.push_back((seq, json));
                        if bytes >= LIVE_PIECE {
                            self.next = seq.next();
                            return Ok(());
                        }
                    }
                }
            }
            self.next = frame.header.end();
            return Ok(());
        }
        let (hub, actor, filter, next) = (self.hub.clone(), self.actor.clone(), self.filter.clone(), self.next);
        let read = tokio::task::spawn_blocking(move || hub.frame_for(&actor, &filter, next)).await;
        match read {
            Ok(Some((ready, end))) => {
                self.ready = ready;
                self.next = end;
            }
            Ok(None) => self.next = position,
            Err(_) => return Err("internal error"),
        }
        Ok(())
    }
}

impl Hub {
    /// A piece of what a follower sees of the frame that holds `next` or comes after, and where to go on.
    fn frame_for(&self, actor: &Actor, filter: &Filter, next: Seq) -> Option<(VecDeque<(Seq, Bytes)>, Seq)> {
        let mut ready = VecDeque::new();
        let expired = self.store().views.expired_before();
        if next < expired {
            return Some((ready, expired));
        }
        let place = self.store().ledger.place(self.store().ledger.index_of(next))?;
        if place.header.kind == Kind::Control || !place.header.zone.may_match(filter) {
            return Some((ready, place.header.end()));
        }
        let Some(frame) = self.blocks.frame(place.header.first_seq) else {
            // Its events may have expired meanwhile; what comes after has not.
            return self.store().views.is_expired(place.header.first_seq).then(|| (ready, place.header.end()));
        };
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let submissions = frame.submissions();
        let (_, body) = columns::split_filter(frame.body())?;
        let reader = Body::open(frame.header.rows, body)?.events(frame.vault())?;
        let mut bytes = 0;
        let passed = next.0.saturating_sub(frame.header.first_seq.0) as u32;
        for row in passed..frame.header.rows {
            let seq = Seq(frame.header.first_seq.0 + u64::from(row));
            if !self.store().views.counts(seq) {
                continue;
            }
            let event = reader.event(row as usize)?;
            if let Some(json) = render(&view, filter, seq, frame.header.received_at(row), reporter_of(&submissions, row), &event) {
                bytes += json.len();
                ready.push_back((seq, json));
                if bytes >= STORED_PIECE {
                    return Some((ready, seq.next()));
                }
            }
        }
        Some((ready, frame.header.end()))
    }
}

fn render(view: &View<'_>, filter: &Filter, seq: Seq, received: Timestamp, reporter: OrgNo, event: &Event) -> Option<Bytes> {
    let sight = view.event(reporter, event);
    if !sight.sees_event() {
        return None;
    }
    let mut event = event.clone();
    (redact(&mut event, sight) && filter.matches(&event)).then(|| Bytes::from(view.write(seq, received, reporter, &event, sight)))
}
