//! Erasure and expiry in files: segments written anew without a value, or without events.
//!
//! Flow: read a segment's frames → where one is to change, write the segment beside the old one with the same frames, numbers, times
//! of receipt and chain → sync → put it in the old one's place.
//! Invariant: a crash leaves the old segment or the new one, each whole. Doing it again finds nothing and changes nothing.
//! Not here: the page of a block (`columns::erasing`), what is left of an expired frame (`expiry`), how a text is found to hold the value (`mention`),
//! what the views forget (`engine`), bytes that the disk itself keeps of the old file.

use super::columns::{self, Victim};
use super::frame::{Frame, content_hash};
use super::{Control, Header, Kind, Ledger, LedgerError, Place, Segment};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::Range;
use std::path::PathBuf;

mod expiry;
pub(crate) mod mention;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use expiry::{Expired, expire, is_any_due};

/// Ending of a segment that is being written anew; one that a crash left is removed on opening.
pub(super) const UNFINISHED: &str = "seg.tmp";

/// Destroys a value in these segments, which nobody may append to meanwhile. Gives the number of entries destroyed.
///
/// # Errors
/// [`LedgerError`]; segments that were put in place stay so, and erasing again does the rest.
pub fn erase(ledger: &Ledger, segments: Range<u32>, victim: &Victim) -> Result<u64, LedgerError> {
    let mut entries = 0;
    for index in segments {
        entries += rewrite_segment(ledger, index, |frame| change(frame, victim))?;
    }
    Ok(entries)
}

/// Writes a segment anew where a frame is to `change`, which is `None` for a broken one. Gives what the changes took out.
fn rewrite_segment(ledger: &Ledger, index: u32, change: impl Fn(&Frame) -> Option<Changed<'_>>) -> Result<u64, LedgerError> {
    if ledger.damage().is_some() {
        // What lies between damaged frames would not come along.
        return Err(LedgerError::ReadOnly);
    }
    let segment = ledger.segments.read().get(index as usize).cloned().ok_or(LedgerError::ReadOnly)?;
    let mut anew = None;
    let done = rewrite(ledger, &segment, index, &change, &mut anew).and_then(|entries| {
        if let Some(Anew { path, out, places, .. }) = anew.take() {
            let file = out.into_inner().map_err(|error| LedgerError::io(&path, error.into_error()))?;
            ledger.replace_segment(index, &path, file, &places)?;
        }
        Ok(entries)
    });
    if done.is_err() {
        // It is not there where it was put in place or never begun.
        drop(std::fs::remove_file(segment.path.with_extension(UNFINISHED)));
    }
    done
}

/// Reads a segment, and from the first frame that changes on writes it anew.
fn rewrite(
    ledger: &Ledger,
    segment: &Segment,
    index: u32,
    change: &impl Fn(&Frame) -> Option<Changed<'_>>,
    anew: &mut Option<Anew>,
) -> Result<u64, LedgerError> {
    let mut entries = 0;
    for place in ledger.places_in(index) {
        let frame = ledger.read_checked(&place)?;
        let damaged = || LedgerError::Damaged { path: segment.path.clone(), offset: place.offset };
        let changed = change(&frame).ok_or_else(damaged)?;
        if changed.entries > 0 && anew.is_none() {
            *anew = Some(Anew::begin(segment, index, place.offset)?);
        }
        if let Some(anew) = anew.as_mut() {
            anew.push(&changed)?;
        }
        entries += changed.entries;
    }
    Ok(entries)
}

/// A frame as it is to be written.
struct Changed<'f> {
    header: Header,
    meta: Cow<'f, [u8]>,
    body: Cow<'f, [u8]>,
    vault: Cow<'f, [u8]>,
    entries: u64,
}

impl<'f> Changed<'f> {
    /// A frame as it is.
    fn unchanged(frame: &'f Frame) -> Self {
        let [meta, body, vault] = [frame.meta(), frame.body(), frame.vault()].map(Cow::Borrowed);
        Self { header: frame.header, meta, body, vault, entries: 0 }
    }
}

/// A frame without the value; `None` where it is broken.
fn change<'f>(frame: &'f Frame, victim: &Victim) -> Option<Changed<'f>> {
    let header = frame.header;
    let mut changed = Changed::unchanged(frame);
    match header.kind {
        // Nothing of its events is left.
        Kind::Events if header.expired => {}
        Kind::Events => {
            let without = columns::without(frame, victim)?;
            if without.entries > 0 {
                changed.header = Header { rewritten: true, vault_length: without.page.len() as u32, vault_crc: crc32fast::hash(&without.page), ..header };
                changed.vault = Cow::Owned(without.page);
                changed.entries = without.entries;
            }
        }
        Kind::Control => {
            if let Some(without) = control_without(serde_json::from_slice(frame.body()).ok()?, victim) {
                let body = serde_json::to_vec(&without).ok()?;
                changed.header = Header { rewritten: true, body_length: body.len() as u32, content: content_hash(frame.meta(), &body), ..header };
                changed.body = Cow::Owned(body);
                changed.entries = 1;
            }
        }
    }
    Some(changed)
}

/// A control entry without the words that hold the value; `None` where there are none.
fn control_without(control: Control, victim: &Victim) -> Option<Control> {
    match control {
        Control::Withdraw { ranges, by, reason } if victim.is_in(&reason) => Some(Control::Withdraw { ranges, by, reason: String::new() }),
        // An erasure's basis was checked for the value it was about, not for others.
        Control::Erase { erasure, key, basis, entries } if victim.is_in(&basis) => Some(Control::Erase { erasure, key, basis: String::new(), entries }),
        Control::Withdraw { .. }
        | Control::Amend { .. }
        | Control::Dispute { .. }
        | Control::Erase { .. }
        | Control::Expire { .. }
        | Control::Record { .. }
        | Control::Network { .. }
        | Control::Reporter { .. }
        | Control::Agreement { .. }
        | Control::National { .. }
        | Control::Release { .. } => None,
    }
}

/// A segment being written anew.
struct Anew {
    segment: u32,
    path: PathBuf,
    out: BufWriter<File>,
    offset: u64,
    /// Frames from the first that changed on.
    places: Vec<Place>,
}

impl Anew {
    /// Begins with everything before `offset` as it is.
    fn begin(old: &Segment, index: u32, offset: u64) -> Result<Self, LedgerError> {
        let path = old.path.with_extension(UNFINISHED);
        let io = |source| LedgerError::io(&path, source);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(io)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        File::open(&old.path).and_then(|before| std::io::copy(&mut before.take(offset), &mut out)).map_err(io)?;
        Ok(Self { segment: index, path, out, offset, places: Vec::new() })
    }

    fn push(&mut self, changed: &Changed<'_>) -> Result<(), LedgerError> {
        let header = changed.header;
        for bytes in [header.to_bytes().as_slice(), &*changed.meta, &*changed.body, &*changed.vault] {
            self.out.write_all(bytes).map_err(|source| LedgerError::io(&self.path, source))?;
        }
        self.places.push(Place { segment: self.segment, offset: self.offset, header });
        self.offset += header.length();
        Ok(())
    }
}
