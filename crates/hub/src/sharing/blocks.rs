//! Whole events by place, with the few blocks asked for last kept in memory.

use model::{Event, OrgNo, Seq, Timestamp};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use store::Store;
use store::ledger::{Body, Frame, Kind, columns};
use store::views::reporter_of;

/// Frames kept at the most.
const KEPT: usize = 32;

/// An event with what the ledger knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The event, whole.
    pub(crate) event: Event,
    /// Who reported it.
    pub(crate) reporter: OrgNo,
    /// When the hub received it.
    pub(crate) received: Timestamp,
}

/// Reads events by place.
#[derive(Debug)]
pub(crate) struct Blocks {
    store: Arc<Store>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Arc<Frame>>,
    /// How often everything was forgotten: a frame read before is not kept after.
    forgotten: u64,
}

impl Blocks {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// The event at `seq`, where it is applied and still counts.
    pub(crate) fn event(&self, seq: Seq) -> Option<Found> {
        if seq >= self.store.views.position() || !self.store.views.counts(seq) {
            return None;
        }
        self.any_event(seq)
    }

    /// The values of the event at `seq` with what policy looks at, and who reported it; where it is applied and still counts.
    pub(crate) fn outline(&self, seq: Seq) -> Option<(OrgNo, Event)> {
        if seq >= self.store.views.position() || !self.store.views.counts(seq) {
            return None;
        }
        self.read(seq, |frame, body, row| Some((reporter_of(&frame.submissions(), row), body.outline(frame.vault(), row as usize)?)))
    }

    /// The event at `seq`, withdrawn and merged ones too.
    pub(crate) fn any_event(&self, seq: Seq) -> Option<Found> {
        self.read(seq, |frame, body, row| {
            let event = body.events(frame.vault())?.event(row as usize)?;
            Some(Found { event, reporter: reporter_of(&frame.submissions(), row), received: frame.header.received_at(row) })
        })
    }

    fn read<T>(&self, seq: Seq, take: impl FnOnce(&Frame, &Body<'_>, u32) -> Option<T>) -> Option<T> {
        let frame = self.frame(seq)?;
        let row = u32::try_from(seq.0.checked_sub(frame.header.first_seq.0)?).ok()?;
        if frame.header.kind == Kind::Control || row >= frame.header.rows {
            return None;
        }
        let (_, body) = columns::split_filter(frame.body())?;
        take(&frame, &Body::open(frame.header.rows, body)?, row)
    }

    /// The frame that holds `seq`; none where its events are expired.
    pub(crate) fn frame(&self, seq: Seq) -> Option<Arc<Frame>> {
        if self.store.views.is_expired(seq) {
            return None;
        }
        let holds = |frame: &Frame| frame.header.first_seq <= seq && seq < frame.header.end();
        let forgotten = {
            let kept = self.kept.lock();
            if let Some(frame) = kept.frames.iter().find(|frame| holds(frame)) {
                return Some(frame.clone());
            }
            kept.forgotten
        };
        let place = self.store.ledger.place(self.store.ledger.index_of(seq))?;
        if place.header.first_seq > seq {
            return None;
        }
        let frame = self.store.ledger.read(&place).inspect_err(|error| tracing::error!(%error, "a block cannot be read")).ok()?;
        // They may have expired meanwhile.
        let frame = Some(Arc::new(frame)).filter(|frame| !frame.header.expired)?;
        let mut kept = self.kept.lock();
        if kept.forgotten == forgotten {
            kept.frames.push_front(frame.clone());
            kept.frames.truncate(KEPT);
        }
        Some(frame)
    }

    /// Forgets every frame, after a segment was rewritten.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept.lock();
        kept.frames.clear();
        kept.forgotten += 1;
    }
}
