//! The live stream: a follower has a place of its own in the ledger and is never ahead of the views.
//!
//! Flow: a frame is applied → [`pace`] tells every follower how far the views are → each takes what its filter wants from the sheets of the newest
//! frames (`super::sheets`), or from the ledger where it is further behind. A record that policy reads changes → the directory wakes every follower, and
//! each asks what its key is now.
//! Invariant: lossless and in order. What comes after a change of a key, a standing, an agreement or a membership is judged by what holds since, and
//! what was rendered before it and not taken yet is rendered again; whether there was a change costs one load. Who falls behind reads blocks from disk
//! at its own pace and holds nobody up; who stays behind too long is told so and dropped. Nobody holds more than a piece of a frame; what was rendered
//! for a reader's facts is given to who has them now.

use super::lookup::reads;
use super::sheets::{Candidate, Glass, in_common};
use super::view::View;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use model::{Event, Filter, OrgNo, Seq, Timestamp};
use policy::{Reader, redact};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::LiveFrame;
use store::ledger::{Body, Kind, columns};
use store::views::reporter_of;
use tokio::sync::watch;
use tokio::time::Instant;

/// Silence after which a heartbeat is sent; how often it is looked whether a follower lags.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A follower that had been current and is now this far behind is dropped.
const MAX_LAG: Duration = Duration::from_secs(900);

/// Bytes that are rendered ahead from memory, about.
const LIVE_PIECE: usize = 256 * 1024;
/// The same from disk, where each piece opens its block again.
const STORED_PIECE: usize = 1024 * 1024;
/// Open streams of an organisation at the most.
const MAX_STREAMS: usize = 128;
/// How long followers wait to be told of more after they were told, for each of them: waking a thousand for every small frame costs more than the frame.
const GATHER_EACH: Duration = Duration::from_micros(20);
/// The same, at the most.
const MAX_GATHER: Duration = Duration::from_millis(50);
/// A shorter wait is none.
const MIN_GATHER: Duration = Duration::from_millis(1);

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
    /// The facts that it shares with others.
    common: Reader,
    filter: Filter,
    glass: Glass,
    next: Seq,
    ready: VecDeque<(Seq, Bytes)>,
    /// How far the views are.
    position: watch::Receiver<Seq>,
    /// Changes of records since it was asked what the key is.
    rules: watch::Receiver<u64>,
    /// When that is to be asked although no record changes.
    rules_until: Option<Timestamp>,
    _follower: store::Follower,
    stopping: watch::Receiver<bool>,
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
    /// [`HubError::Forbidden`] for roles that do not read events, [`HubError::Quota`] where the organisation has too many streams open,
    /// [`HubError::Unauthenticated`] where the key has been ended since it was shown.
    pub fn subscribe(self: &Arc<Self>, actor: &Actor, filter: Filter, from: Option<Seq>) -> Result<Subscription, HubError> {
        // In this order: what changes between the two is asked again before the first event.
        let rules = self.directory().changes();
        let now = self.clock().now();
        let (actor, rules_until) = self.directory().again_until(actor, now)?;
        reads(&actor)?;
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
            common: in_common(&actor.reader),
            org: actor.organisation.number,
            actor,
            glass: Glass::of(&filter),
            filter,
            next: from.unwrap_or_else(|| self.store().views.position()),
            ready: VecDeque::new(),
            position: self.paced.subscribe(),
            rules,
            rules_until,
            _follower: follower,
            stopping: self.streams_stopping(),
            checked: now,
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
            let position = *self.position.borrow_and_update();
            // Asked again after the position: whatever lies before it and came after a change finds the change here.
            if self.rules_changed() {
                continue;
            }
            if self.next < position {
                if let Err(reason) = self.read_frame().await {
                    self.ended = true;
                    return StreamItem::Dropped { reason };
                }
                if self.ready.is_empty() && self.next < position {
                    // Others who follow have their turn.
                    tokio::task::yield_now().await;
                }
                continue;
            }
            self.was_current = true;
            tokio::select! {
                changed = self.position.changed() => if changed.is_err() { return StreamItem::Closed },
                _ = self.stopping.changed() => return StreamItem::Closed,
                changed = self.rules.changed() => match changed {
                    // Waiting has taken note of it; it is dealt with above.
                    Ok(()) => self.rules.mark_changed(),
                    Err(_) => return StreamItem::Closed,
                },
                () = tokio::time::sleep_until(self.heartbeat) => {}
            }
        }
    }

    /// Whether a record that decides what the follower sees has changed since that was asked.
    fn rules_changed(&self) -> bool {
        // Its other end lives as long as the hub.
        self.rules.has_changed().unwrap_or(false)
    }

    /// Why the follower must go, where it must.
    fn last_word(&mut self) -> Option<&'static str> {
        let now = self.hub.clock().now();
        let is_time = now >= self.checked.plus(HEARTBEAT);
        if !is_time && !self.rules_changed() && self.rules_until.is_none_or(|until| now < until) {
            return None;
        }
        self.checked = now;
        // Before the records are read: a change in between is found once more.
        self.rules.mark_unchanged();
        match self.hub.directory().again_until(&self.actor, now) {
            Ok((actor, until)) => {
                self.common = in_common(&actor.reader);
                self.actor = actor;
                self.rules_until = until;
            }
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
    async fn read_frame(&mut self) -> Result<(), &'static str> {
        if let Some(frame) = self.hub.store().live.frame(self.next) {
            self.read_live(&frame);
            return Ok(());
        }
        let (hub, actor, filter, next) = (self.hub.clone(), self.actor.clone(), self.filter.clone(), self.next);
        let read = tokio::task::spawn_blocking(move || hub.frame_for(&actor, &filter, next)).await;
        match read {
            Ok(Some((ready, end))) => {
                self.ready = ready;
                self.next = end;
            }
            // Passing over it would lose what it holds without a word; who comes back begins with it.
            Ok(None) => return Err("a block cannot be read now; resume with Last-Event-ID"),
            Err(_) => return Err("internal error"),
        }
        Ok(())
    }

    /// The same from a frame in memory: what is alike for many was worked out for all of them.
    fn read_live(&mut self, frame: &Arc<LiveFrame>) {
        if !frame.header.zone.may_match(&self.filter) {
            self.next = frame.header.end();
            return;
        }
        let first = frame.header.first_seq.0;
        let from = self.next.0.saturating_sub(first) as u32;
        let directory = self.hub.directory().snapshot();
        let sheet = self.hub.sheets.sheet(frame, from, &self.common, &directory);
        let view = View { reader: &self.actor.reader, directory };
        let mut bytes = 0;
        for (place, candidate) in sheet.candidates(from, self.actor.organisation.number, self.glass) {
            let seq = Seq(first + u64::from(place));
            let received = frame.header.received_at(place);
            let Some((reporter, event)) = frame.event(place) else { continue };
            let wanted = match &candidate {
                Candidate::Apart => true,
                Candidate::Shared(shared) => self.filter.matches(shared.event()),
            };
            if !wanted || !self.hub.store().views.counts(seq) {
                continue;
            }
            let json = match candidate {
                Candidate::Apart => render(&view, &self.filter, seq, received, reporter, event),
                Candidate::Shared(shared) => Some(shared.json(|event, sight| view.write(seq, received, reporter, event, sight))),
            };
            if let Some(json) = json {
                bytes += json.len();
                self.ready.push_back((seq, json));
                if bytes >= LIVE_PIECE {
                    self.next = seq.next();
                    return;
                }
            }
        }
        self.next = Seq(first + u64::from(sheet.end()));
    }
}

/// Tells followers how far the views are: at once where nothing came for a while, else the more seldom the more there are. Lets go of the sheets of
/// frames that are not kept any more.
pub(crate) async fn pace(hub: Weak<Hub>) {
    let Some(mut position) = hub.upgrade().map(|hub| hub.store().live.watch()) else { return };
    loop {
        let wait = {
            let Some(hub) = hub.upgrade() else { return };
            let reached = *position.borrow_and_update();
            hub.paced.send_replace(reached);
            hub.sheets.tidy();
            GATHER_EACH.saturating_mul(u32::try_from(hub.store().live.followers()).unwrap_or(u32::MAX)).min(MAX_GATHER)
        };
        if wait >= MIN_GATHER {
            tokio::time::sleep(wait).await;
        }
        if position.changed().await.is_err() {
            return;
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
