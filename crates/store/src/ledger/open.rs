//! Opening: walks the headers of every segment, checks the last one whole, and cuts what a crash left unfinished.
//!
//! Invariant: only bytes that no answer was given for are cut. A frame that does not check but is followed by a frame of a later sync is
//! damage, not a torn tail: it is kept, reported, and writes are refused.

use super::frame::{Frame, FrameError, HEADER, Header, MAGIC, MAX_CONTENT};
use super::rewrite::UNFINISHED;
use super::{Ledger, LedgerError, OpenReport, Place, SEGMENT_MAGIC, Segment, sync_folder};
use model::Seq;
use parking_lot::RwLock;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Ledger {
    /// Opens the ledger in `folder`, making the folder where it is missing. What lies before `acknowledged` is never cut.
    ///
    /// # Errors
    /// [`LedgerError`] for files that cannot be read or are of a later release. Damage is no error: see [`OpenReport::damage`].
    pub fn open(folder: &Path, acknowledged: Seq) -> Result<(Arc<Self>, OpenReport), LedgerError> {
        std::fs::create_dir_all(folder).map_err(|source| LedgerError::io(folder, source))?;
        let paths = segment_paths(folder)?;
        let mut report = OpenReport::default();
        let mut segments = Vec::new();
        let mut places = Vec::new();
        let last = paths.len().saturating_sub(1);
        for (index, (number, path)) in paths.into_iter().enumerate() {
            let file = File::options().read(true).write(true).open(&path).or_else(|_| File::open(&path)).map_err(|source| LedgerError::io(&path, source))?;
            let segment = Segment { number, path, file };
            walk(&segment, index as u32, (index == last).then_some(acknowledged), &mut places, &mut report)?;
            segments.push(Arc::new(segment));
        }
        sync_folder(folder)?;
        let ledger =
            Self { folder: folder.to_owned(), segments: RwLock::new(segments), places: RwLock::new(places), damage: RwLock::new(report.damage.clone()) };
        Ok((Arc::new(ledger), report))
    }
}

fn segment_paths(folder: &Path) -> Result<Vec<(u32, PathBuf)>, LedgerError> {
    let entries = std::fs::read_dir(folder).map_err(|source| LedgerError::io(folder, source))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| LedgerError::io(folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".seg").and_then(|stem| stem.parse().ok()) {
            paths.push((number, path));
        } else if name.ends_with(UNFINISHED) {
            // An erasure was interrupted; it begins anew. No copy may lie here that a later one does not know of; where nothing can be
            // removed nothing can be erased either.
            drop(std::fs::remove_file(&path));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Adds the places of a segment's frames. The last segment is told up to where everything was acknowledged.
fn walk(segment: &Segment, index: u32, last: Option<Seq>, places: &mut Vec<Place>, report: &mut OpenReport) -> Result<(), LedgerError> {
    let is_last = last.is_some();
    let may_cut = |places: &[Place]| last.is_some_and(|acknowledged| places.last().map_or(Seq(0), |place| place.header.end()) >= acknowledged);
    let io = |source| LedgerError::io(&segment.path, source);
    let length = segment.file.metadata().map_err(io)?.len();
    let mut magic = [0; 8];
    if length < 8 {
        // A crash between making the file and its first sync: nothing was acknowledged from it.
        if is_last {
            report.torn_bytes += length;
            segment.file.set_len(0).map_err(io)?;
            segment.file.write_all_at(&SEGMENT_MAGIC, 0).map_err(io)?;
            segment.file.sync_all().map_err(io)?;
        } else {
            note_damage(report, segment, 0);
        }
        return Ok(());
    }
    segment.file.read_exact_at(&mut magic, 0).map_err(io)?;
    if magic != SEGMENT_MAGIC {
        if magic[..6] == SEGMENT_MAGIC[..6] {
            return Err(LedgerError::UnknownVersion { path: segment.path.clone(), found: u16::from_le_bytes([magic[6], magic[7]]) });
        }
        note_damage(report, segment, 0);
        return Ok(());
    }
    let mut offset = 8;
    while offset < length {
        match frame_at(segment, offset, length, is_last)? {
            Some(header) => {
                places.push(Place { segment: index, offset, header });
                offset += header.length();
            }
            None => {
                let next_seq = places.last().map_or(Seq(0), |place| place.header.end());
                match next_frame_after(segment, offset, length, next_seq)? {
                    // A later frame of the same sync means that the sync never finished.
                    Some((_, header)) if may_cut(places) && is_of_sync_begun_at(&header, next_seq) => {
                        return cut(segment, offset, length, report);
                    }
                    Some((at, _)) => {
                        note_damage(report, segment, offset);
                        offset = at;
                    }
                    None if may_cut(places) => return cut(segment, offset, length, report),
                    None => {
                        note_damage(report, segment, offset);
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether a frame was written in the sync whose first unfinished frame would have had `next` as its sequence number, or the next
/// block's first.
fn is_of_sync_begun_at(header: &Header, next: Seq) -> bool {
    let next_block = Seq::new(next.block() + 1, 0);
    header.group_seq < next || (header.group_seq < header.first_seq && (header.group_seq == next || header.group_seq == next_block))
}

fn cut(segment: &Segment, offset: u64, length: u64, report: &mut OpenReport) -> Result<(), LedgerError> {
    let io = |source| LedgerError::io(&segment.path, source);
    report.torn_bytes += length - offset;
    segment.file.set_len(offset).map_err(io)?;
    segment.file.sync_all().map_err(io)
}

fn note_damage(report: &mut OpenReport, segment: &Segment, offset: u64) {
    if report.damage.is_none() {
        report.damage = Some(format!("{} at byte {offset}", segment.path.display()));
    }
}

/// The header of the frame at `offset`, `None` where it does not check; with `whole` its content is checked too.
fn frame_at(segment: &Segment, offset: u64, length: u64, whole: bool) -> Result<Option<Header>, LedgerError> {
    let io = |source| LedgerError::io(&segment.path, source);
    if offset + HEADER as u64 > length {
        return Ok(None);
    }
    let mut bytes = [0; HEADER];
    segment.file.read_exact_at(&mut bytes, offset).map_err(io)?;
    let header = match Header::from_bytes(&bytes) {
        Ok(header) => header,
        Err(FrameError::Damaged) => return Ok(None),
        Err(FrameError::UnknownVersion { found }) => return Err(LedgerError::UnknownVersion { path: segment.path.clone(), found }),
    };
    if header.length() > MAX_CONTENT || offset + header.length() > length {
        return Ok(None);
    }
    if whole {
        let mut content = vec![0; (header.length() - HEADER as u64) as usize];
        segment.file.read_exact_at(&mut content, offset + HEADER as u64).map_err(io)?;
        if Frame::new(header, content).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(header))
}

/// The first whole frame after a damaged place that continues the sequence.
fn next_frame_after(segment: &Segment, damaged: u64, length: u64, next_seq: Seq) -> Result<Option<(u64, Header)>, LedgerError> {
    const STEP: usize = 1 << 20;
    let io = |source| LedgerError::io(&segment.path, source);
    let mut start = damaged + 1;
    while start < length {
        let mut window = vec![0; STEP.min((length - start) as usize)];
        segment.file.read_exact_at(&mut window, start).map_err(io)?;
        for (index, bytes) in window.windows(4).enumerate() {
            if bytes == MAGIC {
                let at = start + index as u64;
                if let Some(header) = frame_at(segment, at, length, true)?
                    && header.first_seq >= next_seq
                {
                    return Ok(Some((at, header)));
                }
            }
        }
        // Windows overlap by three bytes, so that no magic is missed at an edge.
        start += window.len().saturating_sub(3).max(1) as u64;
        if window.len() < STEP {
            break;
        }
    }
    Ok(None)
}
