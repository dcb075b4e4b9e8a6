//! Expiry in files: frames of events that expired, without their events.
//!
//! Invariant: a frame keeps its numbers, times, chain and the hash of what it held; what is left of it is what merging needs (`views::remains`).
//! Invariant: frames are emptied from the newest segment to the oldest, each segment at once, so that a frame which is still whole always has
//! everything before it that decided about its events: what a crash leaves says the same as what comes of it.
//! Not here: when frames may be emptied (`engine::expiry`).

use super::{Changed, rewrite_segment};
use crate::ledger::zone::Zone;
use crate::ledger::{Frame, Header, Kind, Ledger, LedgerError};
use hashbrown::HashMap;
use model::{Seq, Timestamp};
use std::borrow::Cow;
use std::ops::Range;

/// What expires and what is left of it.
#[derive(Debug)]
pub(crate) struct Expired {
    /// Frames of events that end here or before are emptied.
    pub(crate) before: Seq,
    /// What was left of frames from before this moment is needed no longer.
    pub(crate) keep_from: Timestamp,
    /// What is left of each frame that is to be emptied, by its first sequence number.
    pub(crate) remains: HashMap<Seq, Vec<u8>>,
}

/// Empties frames in these segments, which nobody may append to meanwhile. Gives the number of frames that changed.
///
/// # Errors
/// [`LedgerError`]; segments that were put in place stay so, and asking again does the rest.
pub(crate) fn expire(ledger: &Ledger, segments: Range<u32>, expired: &Expired) -> Result<u64, LedgerError> {
    let mut frames = 0;
    for index in segments.rev() {
        // Most segments have nothing to give up and are not read.
        if is_any_due(ledger, index..index + 1, expired.before, expired.keep_from) {
            frames += rewrite_segment(ledger, index, |frame| Some(emptied(frame, expired)))?;
        }
    }
    Ok(frames)
}

/// Whether a frame in these segments is to be emptied, or to be rid of what was left of it.
pub(crate) fn is_any_due(ledger: &Ledger, segments: Range<u32>, before: Seq, keep_from: Timestamp) -> bool {
    let places = ledger.places.read();
    let start = places.partition_point(|place| place.segment < segments.start);
    let mut of_them = places.iter().skip(start).take_while(|place| place.segment < segments.end && place.header.end() <= before);
    of_them.any(|place| is_due(&place.header, before, keep_from))
}

fn is_due(header: &Header, before: Seq, keep_from: Timestamp) -> bool {
    // No mark of a frame is younger than its last row.
    let forgotten = header.meta_length > 0 && header.received_at(header.rows.saturating_sub(1)) < keep_from;
    header.kind == Kind::Events && header.end() <= before && (!header.expired || forgotten)
}

/// A frame as it is to be from now on.
fn emptied<'f>(frame: &'f Frame, expired: &Expired) -> Changed<'f> {
    let header = frame.header;
    if !is_due(&header, expired.before, expired.keep_from) {
        return Changed::unchanged(frame);
    }
    let left = if header.expired {
        Vec::new()
    } else if let Some(left) = expired.remains.get(&header.first_seq) {
        left.clone()
    } else {
        // Nobody worked out what is to be left of it; it waits for the next round.
        return Changed::unchanged(frame);
    };
    Changed {
        header: Header {
            rewritten: true,
            expired: true,
            meta_length: left.len() as u32,
            body_length: 0,
            vault_length: 0,
            vault_crc: crc32fast::hash(&left),
            zone: Zone::default(),
            ..header
        },
        meta: Cow::Owned(left),
        body: Cow::Borrowed(&[]),
        vault: Cow::Borrowed(&[]),
        entries: 1,
    }
}
