//! Which event is for which subscription: one task reads every applied frame once, for all of them.
//!
//! Flow: frames from the place on → zone map → columns, where there are few subscriptions → event → filter → `policy` → the filter again → rows in the
//! file with the place, in one transaction. A withdrawal in the ledger takes back what waits and has told what was sent.
//! Invariant: without a subscription to events no event is read. Nothing waits for this, and its thread gives way to all that answer. What was not
//! yet durable is looked through again after a crash, and added once.
//! Not here: findings (`look`), messages (`queue`).

use super::queue::MAX_WAITING;
use super::roster::Entry;
use crate::sharing::view::View;
use crate::{Hub, HubError};
use model::{Category, Event, OrgNo, Seq, Timestamp};
use policy::{Reader, redact};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use store::deliveries::{Item, MAX_ROWS, Match};
use store::ledger::{Body, Control, Frame, Kind, LedgerError, Place, columns};
use store::views::reporter_of;
use tokio::sync::watch;

/// How often it is looked whether there is more; it bounds how often the file is synced, too.
const PAUSE: Duration = Duration::from_millis(200);
/// Wait after something could not be read or written.
const RETRY: Duration = Duration::from_secs(1);
/// Frames looked through before what was found is written.
const MAX_FRAMES: usize = 256;
/// How often the place is written while nothing matches.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Up to so many subscriptions columns are asked before events are made; with more, the events of a frame are as cheap.
const FEW: usize = 16;

/// Where matching stands.
struct Progress {
    /// The place up to which, exclusive, everything was looked through; `None` until it is read from the file.
    position: Option<Seq>,
    saved: Seq,
    saved_at: Instant,
}

/// What a look through some frames gave.
struct Found {
    /// Number of the subscriber, and the event.
    matches: Vec<(i64, Seq)>,
    /// Where to go on.
    next: Seq,
    /// The deliberate act that comes there.
    control: Option<Place>,
    /// The file system refused.
    failed: Option<LedgerError>,
}

/// Matches events until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    let mut progress = Progress { position: None, saved: Seq(0), saved_at: Instant::now() };
    loop {
        let wait = {
            let Some(hub) = hub.upgrade() else { return };
            match hub.match_more(&mut progress).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "events wait to be matched with subscriptions");
                    RETRY
                }
            }
        };
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Hub {
    /// Looks through some frames; true where there may be more.
    async fn match_more(self: &Arc<Self>, progress: &mut Progress) -> Result<bool, HubError> {
        // In this order: who subscribes between the two begins at the earlier one or after it.
        let applied = self.store().views.position();
        let all = self.delivery.roster.entries();
        if all.is_empty() {
            // Who subscribes next begins where the views are then.
            progress.position = Some(applied);
            return Ok(false);
        }
        let entries: Vec<Arc<Entry>> = all.iter().filter(|entry| entry.is_of_events()).cloned().collect();
        // For findings alone only deliberate acts are read: what was sent of them may be withdrawn.
        let first = entries.iter().map(|entry| entry.first).min();
        let position = match progress.position {
            Some(position) => position,
            None => self.delivery.file.position().await?.unwrap_or(first.unwrap_or(applied)),
        };
        let position = position.max(first.unwrap_or_default()).max(self.store().views.expired_before());
        progress.position = Some(position);
        if position >= applied {
            self.save_matched(progress, position).await?;
            return Ok(false);
        }
        let hub = Arc::clone(self);
        let looked = self.delivery.background.run(move || {
            let groups = groups(&hub, &entries);
            (hub.look_through_frames(position, applied, &groups), entries)
        });
        let (found, entries) = looked.await.map_err(|error| HubError::Internal(Box::new(error)))?;
        if found.next > position {
            self.note_matched_events(&found, &entries).await?;
            progress.position = Some(found.next);
            if found.matches.is_empty() {
                self.save_matched(progress, found.next).await?;
            } else {
                (progress.saved, progress.saved_at) = (found.next, Instant::now());
            }
        }
        if let Some(error) = found.failed {
            return Err(HubError::Internal(Box::new(error)));
        }
        if let Some(place) = found.control {
            self.heed_control(&place).await?;
            progress.position = Some(place.header.end());
        }
        Ok(progress.position.is_some_and(|position| position < applied))
    }

    /// Writes the place where nothing matched for a while, so that a start does not look through all of it again.
    async fn save_matched(&self, progress: &mut Progress, position: Seq) -> Result<(), HubError> {
        if position > progress.saved && progress.saved_at.elapsed() >= SAVE_EVERY {
            self.delivery.file.note(position, &[], MAX_WAITING).await?;
            (progress.saved, progress.saved_at) = (position, Instant::now());
        }
        Ok(())
    }

    async fn note_matched_events(&self, found: &Found, entries: &[Arc<Entry>]) -> Result<(), HubError> {
        if found.matches.is_empty() {
            return Ok(());
        }
        let now = self.clock().now();
        let due: hashbrown::HashMap<i64, Timestamp> = entries.iter().map(|entry| (entry.number, self.delivery.due(&entry.rhythm, now))).collect();
        let row = |&(subscriber, seq): &(i64, Seq)| Match {
            subscriber,
            item: Item::Event(seq),
            category: None,
            noticed: Timestamp::from_micros(0),
            due: due.get(&subscriber).copied().unwrap_or(now),
        };
        let rows: Vec<Match> = found.matches.iter().map(row).collect();
        self.delivery.file.note(found.next, &rows, MAX_WAITING).await?;
        metrics::counter!("bongsu_deliveries_matched_total", "about" => "events").increment(rows.len() as u64);
        let mut told: Vec<(i64, Timestamp)> = rows.iter().map(|row| (row.subscriber, row.due)).collect();
        told.sort_unstable();
        told.dedup();
        told.into_iter().for_each(|(subscriber, due)| self.delivery.is_due(subscriber, due));
        Ok(())
    }

    /// Does what a deliberate act asks for.
    async fn heed_control(self: &Arc<Self>, place: &Place) -> Result<(), HubError> {
        let (hub, at) = (Arc::clone(self), *place);
        let read = self.delivery.background.run(move || hub.store().ledger.read(&at)).await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let frame = match read {
            Ok(frame) => frame,
            Err(error) if may_pass(&error) => return Err(HubError::Internal(Box::new(error))),
            Err(error) => {
                tracing::error!(%error, seq = place.header.first_seq.0, "a control entry cannot be read; deliveries pass over it");
                return Ok(());
            }
        };
        let ranges = match serde_json::from_slice(frame.body()) {
            Ok(Control::Withdraw { ranges, .. }) => ranges,
            Ok(Control::Amend { old, .. }) => vec![(old, old)],
            // What expired drops out when its message is made; every other act changes no event.
            Ok(_) => return Ok(()),
            Err(_) => {
                tracing::error!(seq = place.header.first_seq.0, "a control entry cannot be read; deliveries pass over it");
                return Ok(());
            }
        };
        let concerned = {
            // A message that is being made either has none of these events or is stored before they are looked for.
            let _turn = self.delivery.making.lock().await;
            self.delivery.file.withdraw(place.header.end(), &ranges, place.header.received).await?
        };
        self.delivery.withdrawn_to.store(place.header.end().0, Ordering::Release);
        for subscriber in concerned {
            self.delivery.look_at(subscriber).await?;
        }
        self.delivery.queue_nudge.notify_one();
        Ok(())
    }

    /// Looks through frames from a place on, until there is enough, an act, or no more.
    fn look_through_frames(&self, from: Seq, applied: Seq, groups: &[Group]) -> Found {
        let mut found = Found { matches: Vec::new(), next: from, control: None, failed: None };
        let ledger = &self.store().ledger;
        for _ in 0..MAX_FRAMES {
            let Some(place) = ledger.place(ledger.index_of(found.next)) else { return found };
            if place.header.end() > applied {
                return found;
            }
            match place.header.kind {
                Kind::Control => {
                    found.control = Some(place);
                    return found;
                }
                Kind::Events if !groups.iter().any(|group| group.may_match(&place)) => {}
                Kind::Events => match ledger.read(&place) {
                    Ok(frame) => match self.match_frame_for(&frame, found.next, groups, &mut found.matches) {
                        Some(Reached::Before(next)) => {
                            found.next = next;
                            return found;
                        }
                        Some(Reached::End) => {}
                        None => tracing::error!(seq = place.header.first_seq.0, "a block cannot be decoded; deliveries pass over it"),
                    },
                    Err(error) if may_pass(&error) => {
                        found.failed = Some(error);
                        return found;
                    }
                    Err(error) => tracing::error!(%error, seq = place.header.first_seq.0, "a block cannot be read; deliveries pass over it"),
                },
            }
            found.next = place.header.end();
            if found.matches.len() >= MAX_ROWS {
                return found;
            }
        }
        found
    }

    /// Matches the events of a frame from a place on; gives where to go on, where there is enough before its end. `None` where it is broken.
    fn match_frame_for(&self, frame: &Frame, from: Seq, groups: &[Group], matches: &mut Vec<(i64, Seq)>) -> Option<Reached> {
        if frame.header.expired {
            return Some(Reached::End);
        }
        let (_, columns) = columns::split_filter(frame.body())?;
        let body = Body::open(frame.header.rows, columns)?;
        let wanted = wanted_rows(&body, frame, groups)?;
        let submissions = frame.submissions();
        let snapshot = self.directory().snapshot();
        let views: Vec<(View<'_>, &Group)> = groups.iter().map(|group| (View { reader: &group.reader, directory: snapshot.clone() }, group)).collect();
        let mut events = None;
        let passed = from.0.saturating_sub(frame.header.first_seq.0) as u32;
        for row in passed..frame.header.rows {
            if !wanted.holds(row) {
                continue;
            }
            let seq = Seq(frame.header.first_seq.0 + u64::from(row));
            if !self.store().views.counts(seq) {
                continue;
            }
            let events = match &mut events {
                Some(events) => events,
                empty => empty.insert(body.events(frame.vault())?),
            };
            let event = events.event(row as usize)?;
            if event.category == Category::Test {
                continue;
            }
            let reporter = reporter_of(&submissions, row);
            for (view, group) in &views {
                group.matches(view, seq, reporter, &event, matches);
            }
            if matches.len() >= MAX_ROWS && row + 1 < frame.header.rows {
                return Some(Reached::Before(seq.next()));
            }
        }
        Some(Reached::End)
    }
}

/// How far a frame was looked through.
enum Reached {
    /// To its end.
    End,
    /// To before this event: there is enough.
    Before(Seq),
}

/// Which rows of a frame are worth a look.
enum Wanted {
    All,
    Rows(Vec<bool>),
}

impl Wanted {
    fn holds(&self, row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Rows(rows) => rows.get(row as usize).copied().unwrap_or_default(),
        }
    }
}

/// The subscriptions of one organisation.
struct Group {
    org: OrgNo,
    reader: Reader,
    entries: Vec<Arc<Entry>>,
}

impl Group {
    fn may_match(&self, place: &Place) -> bool {
        self.entries.iter().any(|entry| entry.filter().is_some_and(|filter| place.header.zone.may_match(filter)))
    }

    /// Adds the subscriptions that an event is for. What the organisation may see is decided once for all of them.
    fn matches(&self, view: &View<'_>, seq: Seq, reporter: OrgNo, event: &Event, matches: &mut Vec<(i64, Seq)>) {
        if self.org == reporter {
            return;
        }
        let mut shown: Option<Event> = None;
        for entry in &self.entries {
            let Some(filter) = entry.filter().filter(|filter| seq >= entry.first && filter.matches(event)) else { continue };
            if shown.is_none() {
                shown = visible(view, reporter, event);
            }
            // What is hidden from one of them is hidden from all.
            let Some(shown) = &shown else { return };
            if filter.matches(shown) {
                matches.push((entry.number, seq));
            }
        }
    }
}

/// What is left of an event for a reader; `None` where that is nothing.
fn visible(view: &View<'_>, reporter: OrgNo, event: &Event) -> Option<Event> {
    let sight = view.event(reporter, event);
    if !sight.sees_event() {
        return None;
    }
    let mut event = event.clone();
    redact(&mut event, sight).then_some(event)
}

/// The subscriptions by organisation, with what each may see as of now.
fn groups(hub: &Hub, entries: &[Arc<Entry>]) -> Vec<Group> {
    let now = hub.clock().now();
    let mut groups: Vec<Group> = Vec::new();
    for entry in entries {
        let Some(organisation) = hub.directory().by_id(entry.subscription.organisation) else { continue };
        match groups.iter_mut().find(|group| group.org == organisation.number) {
            Some(group) => group.entries.push(entry.clone()),
            None => groups.push(Group { org: organisation.number, reader: hub.delivery_recipient(&organisation, now).reader, entries: vec![entry.clone()] }),
        }
    }
    groups
}

/// The rows that a filter may want, where asking the columns is worth it. `None` where the frame is broken.
fn wanted_rows(body: &Body<'_>, frame: &Frame, groups: &[Group]) -> Option<Wanted> {
    let filters = || groups.iter().flat_map(|group| &group.entries).filter_map(|entry| entry.filter()).filter(|filter| frame.header.zone.may_match(filter));
    if filters().count() > FEW || filters().any(model::Filter::is_empty) {
        return Some(Wanted::All);
    }
    let mut wanted = vec![false; body.rows()];
    for filter in filters() {
        for row in body.rows_that_may_match(frame.vault(), &frame.header.zone, filter)? {
            if let Some(wanted) = wanted.get_mut(row as usize) {
                *wanted = true;
            }
        }
    }
    Some(Wanted::Rows(wanted))
}

/// Whether an error may pass by itself: a file that is shorter than it was stays so, and so does damage.
fn may_pass(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Io { source, .. } if source.kind() != std::io::ErrorKind::UnexpectedEof)
}
