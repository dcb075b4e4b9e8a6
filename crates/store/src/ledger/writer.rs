//! Appending: one write and one sync for everything that waits.
//!
//! Invariant: after an error the file is as it was before the write, and nothing of the write is visible to readers.

use super::frame::{HEADER, Header, Kind, content_hash};
use super::rewrite::{self, Expired};
use super::zone::Zone;
use super::{Control, Encoded, Ledger, LedgerError, Place, SEGMENT_MAGIC, SEGMENT_SIZE, Segment, Victim, sync_folder};
use model::{Seq, Timestamp};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a frame is to hold.
#[derive(Debug)]
pub enum Content {
    /// Events with the requests they came in; rows of the submissions follow each other.
    Events {
        /// Encoded columns.
        encoded: Encoded,
        /// Who sent which rows: the table of `submission`.
        meta: Vec<u8>,
    },
    /// A control entry.
    Control(Control),
}

/// A frame about to be written.
#[derive(Debug)]
pub struct Pending {
    /// What it is to hold.
    pub content: Content,
}

/// The only one who appends.
#[derive(Debug)]
pub struct Writer {
    ledger: Arc<Ledger>,
    segment: Option<Arc<Segment>>,
    offset: u64,
    next: Seq,
    chain: [u8; 32],
    last_received: Timestamp,
    /// Set where undoing a failed write failed as well; the file's end is then unknown until reopened.
    broken: bool,
}

impl Writer {
    /// A writer that continues at the ledger's end.
    ///
    /// # Errors
    /// [`LedgerError`] where the last segment's length cannot be read.
    pub fn new(ledger: Arc<Ledger>) -> Result<Self, LedgerError> {
        let segment = ledger.segments.read().last().cloned();
        let offset = match &segment {
            Some(segment) => segment.file.metadata().map_err(|source| LedgerError::io(&segment.path, source))?.len(),
            None => 0,
        };
        let last = ledger.places.read().last().copied();
        Ok(Self {
            segment,
            offset,
            // Sequence number 0 is never given, so that `from=0` and "nothing yet" are unambiguous.
            next: last.map_or(Seq(1), |place| place.header.end()),
            chain: last.map_or([0; 32], |place| place.header.chain),
            last_received: last.map_or(Timestamp::MIN, |place| place.header.received_at(place.header.rows.saturating_sub(1))),
            ledger,
            broken: false,
        })
    }

    /// Writes frames with one sync and makes them visible. Returns their places in order.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing was written then.
    pub fn write(&mut self, pending: &[Pending], now: Timestamp) -> Result<Vec<Place>, LedgerError> {
        if self.broken || self.ledger.damage().is_some() {
            return Err(LedgerError::ReadOnly);
        }
        let segment = self.segment_for_write()?;
        let mut buffer = Vec::new();
        let mut places = Vec::with_capacity(pending.len());
        let (mut next, mut chain, mut last_received) = (self.next, self.chain, self.last_received);
        let mut group = None;
        for frame in pending {
            let (kind, rows, zone, meta, body, vault) = parts(&frame.content);
            let first = place_rows(next, rows);
            let group_seq = *group.get_or_insert(first);
            let received = Timestamp::from_micros(now.micros().max(last_received.micros().saturating_add(1)));
            let mut header = Header {
                kind,
                rewritten: false,
                expired: false,
                first_seq: first,
                group_seq,
                rows,
                received,
                meta_length: meta.len() as u32,
                body_length: body.len() as u32,
                vault_length: vault.len() as u32,
                previous: chain,
                chain: [0; 32],
                content: content_hash(meta, &body),
                vault_crc: crc32fast::hash(vault),
                zone,
            };
            header.chain = header.chain_value();
            places.push(Place { segment: self.ledger.segment_count() - 1, offset: self.offset + buffer.len() as u64, header });
            buffer.reserve(HEADER + meta.len() + body.len() + vault.len());
            buffer.extend_from_slice(&header.to_bytes());
            buffer.extend_from_slice(meta);
            buffer.extend_from_slice(&body);
            buffer.extend_from_slice(vault);
            chain = header.chain;
            next = header.end();
            last_received = header.received_at(rows.saturating_sub(1));
        }
        let written = segment.file.write_all_at(&buffer, self.offset).and_then(|()| segment.file.sync_data());
        if let Err(source) = written {
            // The tail may hold part of the write; without it the next open would have to cut it.
            self.broken = segment.file.set_len(self.offset).is_err();
            return Err(LedgerError::io(&segment.path, source));
        }
        self.offset += buffer.len() as u64;
        self.next = next;
        self.chain = chain;
        self.last_received = last_received;
        self.ledger.places.write().extend_from_slice(&places);
        Ok(places)
    }

    /// Destroys a value in the segments from `from` on, the open one included. Gives the number of entries destroyed.
    ///
    /// # Errors
    /// As `rewrite::erase`.
    pub fn erase(&mut self, from: u32, victim: &Victim) -> Result<u64, LedgerError> {
        self.rewrite(|ledger| rewrite::erase(ledger, from..ledger.segment_count(), victim))
    }

    /// Empties expired frames in the segments from `from` on, the open one included. Gives their number.
    ///
    /// # Errors
    /// As `rewrite::expire`.
    pub(crate) fn expire(&mut self, from: u32, expired: &Expired) -> Result<u64, LedgerError> {
        self.rewrite(|ledger| rewrite::expire(ledger, from..ledger.segment_count(), expired))
    }

    fn rewrite(&mut self, work: impl FnOnce(&Ledger) -> Result<u64, LedgerError>) -> Result<u64, LedgerError> {
        if self.broken {
            return Err(LedgerError::ReadOnly);
        }
        let rewritten = work(&self.ledger);
        // The open segment may be another file with another end now.
        self.segment = self.ledger.segments.read().last().cloned();
        if let Some(segment) = &self.segment {
            match segment.file.metadata() {
                Ok(metadata) => self.offset = metadata.len(),
                Err(_) => self.broken = true,
            }
        }
        if rewritten.is_err() && sync_folder(&self.ledger.folder).is_err() {
            // A crash may bring the old file back, and what is appended to the new one would be lost with it.
            self.broken = true;
        }
        rewritten
    }

    /// The sequence number that the next frame gets at the least.
    pub fn next(&self) -> Seq {
        self.next
    }

    fn segment_for_write(&mut self) -> Result<Arc<Segment>, LedgerError> {
        if let Some(segment) = &self.segment
            && self.offset < SEGMENT_SIZE
        {
            return Ok(segment.clone());
        }
        let number = self.segment.as_ref().map_or(1, |segment| segment.number + 1);
        let path = self.ledger.folder.join(format!("{number:08}.seg"));
        let io = |source| LedgerError::io(&path, source);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(io)?;
        let made = file.write_all_at(&SEGMENT_MAGIC, 0).and_then(|()| file.sync_all()).map_err(io).and_then(|()| sync_folder(&self.ledger.folder));
        if let Err(error) = made {
            // An empty file without a header would be taken for a torn one; either is fine on opening.
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        let segment = Arc::new(Segment { number, path: path.clone(), file });
        self.ledger.segments.write().push(segment.clone());
        self.segment = Some(segment.clone());
        self.offset = SEGMENT_MAGIC.len() as u64;
        Ok(segment)
    }
}

fn parts(content: &Content) -> (Kind, u32, Zone, &[u8], std::borrow::Cow<'_, [u8]>, &[u8]) {
    match content {
        Content::Events { encoded, meta } => (Kind::Events, encoded.events, encoded.zone, meta, std::borrow::Cow::Borrowed(&encoded.body), &encoded.vault),
        Content::Control(control) => {
            let body = serde_json::to_vec(control).unwrap_or_default();
            (Kind::Control, 1, Zone::default(), &[], std::borrow::Cow::Owned(body), &[])
        }
    }
}

/// The first sequence number for `rows` rows: in the current block where they fit, else at the start of the next.
fn place_rows(next: Seq, rows: u32) -> Seq {
    if u32::from(next.position()) + rows <= Seq::MAX_POSITION { next } else { Seq::new(next.block() + 1, 0) }
}
