//! The newest frames, kept in memory for those who follow the stream.
//!
//! Invariant: a follower that is too slow for this reads the ledger instead; it never holds anyone up and misses nothing.

use crate::ledger::Header;
use crate::views::Part;
use model::{Event, OrgNo, Seq};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Events kept at the most.
const MAX_EVENTS: u64 = 131_072;

/// One applied frame.
#[derive(Debug)]
pub struct LiveFrame {
    /// Its header.
    pub header: Header,
    /// Its parts, in order of their first rows.
    pub parts: Vec<Part>,
}

impl LiveFrame {
    /// The event of a row and who reported it; `None` where there is none, as in a control entry.
    pub fn event(&self, row: u32) -> Option<(OrgNo, &Event)> {
        let next = self.parts.partition_point(|part| part.submission.start <= row);
        let part = self.parts.get(next.checked_sub(1)?)?;
        let event = part.prepared.events.get(row.checked_sub(part.submission.start)? as usize)?;
        Some((part.submission.org, event))
    }
}

/// The newest frames and the position that the views have reached.
#[derive(Debug)]
pub struct Live {
    frames: RwLock<(VecDeque<Arc<LiveFrame>>, u64)>,
    position: watch::Sender<Seq>,
    followers: AtomicUsize,
}

impl Live {
    pub(crate) fn new(position: Seq) -> Self {
        Self { frames: RwLock::default(), position: watch::Sender::new(position), followers: AtomicUsize::new(0) }
    }

    /// Tells everyone who waits how far the views are.
    pub(crate) fn moved_to(&self, position: Seq) {
        self.position.send_replace(position);
    }

    /// Adds a frame and tells everyone who waits.
    pub(crate) fn publish(&self, frame: LiveFrame) {
        let end = frame.header.end();
        if self.followers.load(Ordering::Relaxed) > 0 {
            let mut frames = self.frames.write();
            frames.1 += u64::from(frame.header.rows);
            frames.0.push_back(Arc::new(frame));
            while frames.1 > MAX_EVENTS && frames.0.len() > 1 {
                if let Some(old) = frames.0.pop_front() {
                    frames.1 -= u64::from(old.header.rows);
                }
            }
        } else {
            self.forget();
        }
        self.moved_to(end);
    }

    /// Lets go of every frame: followers read the ledger instead.
    pub(crate) fn forget(&self) {
        let mut frames = self.frames.write();
        frames.0.clear();
        frames.1 = 0;
    }

    /// Begins to follow; frames are kept from now on. Drop the guard to stop.
    pub fn follow(self: &Arc<Self>) -> Follower {
        self.followers.fetch_add(1, Ordering::Relaxed);
        Follower { live: self.clone() }
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.followers.load(Ordering::Relaxed)
    }

    /// The position that the views have reached, each time it moves.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.position.subscribe()
    }

    /// The frame that holds `seq`, where it is still kept.
    pub fn frame(&self, seq: Seq) -> Option<Arc<LiveFrame>> {
        let frames = self.frames.read();
        let index = frames.0.partition_point(|frame| frame.header.end() <= seq);
        frames.0.get(index).filter(|frame| index > 0 || frame.header.first_seq <= seq).cloned()
    }
}

/// Someone who follows.
#[derive(Debug)]
pub struct Follower {
    live: Arc<Live>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.live.followers.fetch_sub(1, Ordering::Relaxed);
    }
}
