//! The ledger: segment files of checksummed frames, the truth that every view is made from.
//!
//! Flow: the writer thread groups what waits, [`Writer::write`] appends and syncs once, views read frames in order through [`Ledger`].
//! Invariant: a frame's bytes never change, except that expiry and erasure rewrite a whole segment, keeping numbers and chain.
//! What was torn by a crash is cut on opening; damage before the tail is kept, reported, and stops writes.
//! Not here: who waits for the sync (`engine`), what the views make of it (`views`).

pub mod columns;
mod container;
pub mod control;
pub mod frame;
mod ints;
mod open;
pub(crate) mod rewrite;
mod streams;
mod submission;
mod writer;
pub mod zone;

pub use columns::{Body, Encoded, EventReader, Victim, encode};
pub(crate) use container::{compress, decompress};
pub use control::{Control, Nation};
pub use frame::{Frame, Header, Kind};
pub use submission::{Hole, Submission};
pub use writer::{Content, Pending, Writer};

use frame::HEADER;
use model::Seq;
use parking_lot::RwLock;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// First bytes of a segment file: name and format version.
pub const SEGMENT_MAGIC: [u8; 8] = *b"BGSEG\0\x01\0";
/// A segment is closed when it reaches this many bytes.
pub const SEGMENT_SIZE: u64 = 256 * 1024 * 1024;

/// Why the ledger cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("ledger file {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No space left; the write was undone.
    #[error("no space left for the ledger")]
    DiskFull,
    /// A file of a later release.
    #[error("{path} has format version {found}; this release reads version 1")]
    UnknownVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// Bytes that are not what was written.
    #[error("ledger is damaged in {path} at byte {offset}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// Writes are refused because the ledger is damaged.
    #[error("the ledger is damaged, writes are refused")]
    ReadOnly,
}

impl LedgerError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull || source.kind() == std::io::ErrorKind::QuotaExceeded {
            return Self::DiskFull;
        }
        Self::Io { path: path.to_owned(), source }
    }
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Index of its segment.
    pub segment: u32,
    /// Byte in the file.
    pub offset: u64,
    /// Its header.
    pub header: Header,
}

/// One file of the ledger.
#[derive(Debug)]
pub struct Segment {
    /// Its number, from 1.
    pub number: u32,
    /// Its path.
    pub path: PathBuf,
    /// Open for positioned reads.
    pub file: File,
}

/// The ledger, open for reading by many.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    segments: RwLock<Vec<Arc<Segment>>>,
    places: RwLock<Vec<Place>>,
    damage: RwLock<Option<String>>,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Bytes of an unfinished write that were cut.
    pub torn_bytes: u64,
    /// Damage before the tail, in words.
    pub damage: Option<String>,
}

impl Ledger {
    /// The end of the last frame that was emptied by expiry; zero where there is none.
    pub(crate) fn emptied_to(&self) -> Seq {
        self.places.read().iter().rev().find(|place| place.header.expired).map_or(Seq(0), |place| place.header.end())
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.places.read().len()
    }

    /// The frame with this index, in order of sequence.
    pub fn place(&self, index: usize) -> Option<Place> {
        self.places.read().get(index).copied()
    }

    /// A copy of the places from one index up to another, newest last.
    pub fn places(&self, range: std::ops::Range<usize>) -> Vec<Place> {
        let places = self.places.read();
        let end = range.end.min(places.len());
        places.get(range.start.min(end)..end).unwrap_or(&[]).to_vec()
    }

    /// Index of the frame that holds `seq`, or of the first one after it.
    pub fn index_of(&self, seq: Seq) -> usize {
        self.places.read().partition_point(|place| place.header.end() <= seq)
    }

    /// The sequence number after the last row; zero for an empty ledger.
    pub fn end(&self) -> Seq {
        self.places.read().last().map_or(Seq(0), |place| place.header.end())
    }

    /// Why writes are refused, where the ledger is damaged.
    pub fn damage(&self) -> Option<String> {
        self.damage.read().clone()
    }

    /// Reads a frame, trusting what was checked before.
    ///
    /// # Errors
    /// [`LedgerError`] where the file cannot be read or is shorter than it was.
    pub fn read(&self, place: &Place) -> Result<Frame, LedgerError> {
        let (segment, place, content) = self.content(place)?;
        Frame::trusting(place.header, content).ok_or(LedgerError::Damaged { path: segment.path.clone(), offset: place.offset })
    }

    /// Reads a frame and checks every checksum.
    ///
    /// # Errors
    /// As [`Ledger::read`], and [`LedgerError::Damaged`] where a checksum does not fit.
    pub fn read_checked(&self, place: &Place) -> Result<Frame, LedgerError> {
        let (segment, place, content) = self.content(place)?;
        Frame::new(place.header, content).map_err(|_| LedgerError::Damaged { path: segment.path.clone(), offset: place.offset })
    }

    /// The filter of keys of a frame of events, without the rest of it; `None` where the frame has none.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub(crate) fn read_filter(&self, place: &Place) -> Result<Option<Vec<u8>>, LedgerError> {
        let (segment, place) = self.now_at(place).ok_or(LedgerError::ReadOnly)?;
        let Some(most) = place.header.body_length.checked_sub(columns::FILTER_LENGTH as u32).filter(|_| !place.header.expired) else { return Ok(None) };
        let body = place.offset + HEADER as u64 + u64::from(place.header.meta_length);
        let io = |source| LedgerError::io(&segment.path, source);
        let mut length = [0; columns::FILTER_LENGTH];
        segment.file.read_exact_at(&mut length, body).map_err(io)?;
        let mut filter = vec![0; u32::from_le_bytes(length).min(most) as usize];
        segment.file.read_exact_at(&mut filter, body + columns::FILTER_LENGTH as u64).map_err(io)?;
        Ok(Some(filter))
    }

    fn content(&self, place: &Place) -> Result<(Arc<Segment>, Place, Vec<u8>), LedgerError> {
        let (segment, place) = self.now_at(place).ok_or(LedgerError::ReadOnly)?;
        let mut content = vec![0; (place.header.length() - HEADER as u64) as usize];
        segment.file.read_exact_at(&mut content, place.offset + HEADER as u64).map_err(|source| LedgerError::io(&segment.path, source))?;
        Ok((segment, place, content))
    }

    /// Where a frame lies now, with its file: rewriting may have moved it since the caller looked.
    fn now_at(&self, place: &Place) -> Option<(Arc<Segment>, Place)> {
        let segments = self.segments.read();
        let places = self.places.read();
        let at = places.partition_point(|other| other.header.first_seq < place.header.first_seq);
        let now = places.get(at).filter(|other| other.header.first_seq == place.header.first_seq).copied().unwrap_or(*place);
        segments.get(now.segment as usize).map(|segment| (segment.clone(), now))
    }

    /// Places of the frames in one segment.
    fn places_in(&self, segment: u32) -> Vec<Place> {
        let places = self.places.read();
        let start = places.partition_point(|place| place.segment < segment);
        let end = places.partition_point(|place| place.segment <= segment);
        places.get(start..end).unwrap_or(&[]).to_vec()
    }

    /// Replaces a segment's file by a rewritten one with the same frames in the same order, after expiry or erasure.
    ///
    /// # Errors
    /// [`LedgerError`] where the new file cannot be put in place; the old one then stays. Where only the folder cannot be synced the new
    /// one is in use, but a crash may bring the old one back.
    fn replace_segment(&self, index: u32, replacement: &Path, file: File, places: &[Place]) -> Result<(), LedgerError> {
        let old = self.segments.read().get(index as usize).cloned().ok_or(LedgerError::ReadOnly)?;
        let io = |source| LedgerError::io(&old.path, source);
        file.sync_all().map_err(io)?;
        std::fs::rename(replacement, &old.path).map_err(io)?;
        {
            // Both at once, for readers must never look into one file with the places of the other.
            let mut segments = self.segments.write();
            let mut all = self.places.write();
            for place in places {
                let at = all.partition_point(|other| other.header.first_seq < place.header.first_seq);
                if let Some(slot) = all.get_mut(at) {
                    *slot = *place;
                }
            }
            if let Some(slot) = segments.get_mut(index as usize) {
                *slot = Arc::new(Segment { number: old.number, path: old.path.clone(), file });
            }
        }
        sync_folder(&self.folder)
    }

    /// The ledger's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of segments.
    pub fn segment_count(&self) -> u32 {
        self.segments.read().len() as u32
    }
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), LedgerError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|source| LedgerError::io(folder, source))
}
