//! A frame: one write of the ledger, with its header, the submissions it holds, the body and the vault page.
//!
//! Shape (little-endian): header of [`HEADER`] bytes, then meta, body, vault, whose lengths the header gives.
//! Invariant: a frame is whole or not there: header, content and vault page each have a checksum; `chain` binds it to every frame before.
//! A rewritten frame (expired or erased parts) keeps its numbers and its `chain`. An expired one has in the place of its content what is left of it, and
//! the checksum of that in the place of the vault page's; the hash of its content stays, so that the chain can still be followed.
//! Not here: files (`segment`), what is inside a body (`columns`), the table of submissions (`submission`), what is left of a frame (`views::remains`).

use super::submission::Submission;
use super::zone::Zone;
use model::{Seq, Timestamp};

/// Bytes of a header.
pub const HEADER: usize = 192;
/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"BGF1";
/// Version of the frame's shape; a reader refuses a later one.
pub const VERSION: u16 = 2;
/// Version of frames that are not expired: a release that knows of no expired ones reads them, too.
const WHOLE_VERSION: u16 = 1;
/// A frame's content at the most; one larger is damage.
pub const MAX_CONTENT: u64 = 1 << 30;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events of members.
    Events,
    /// A control entry: a deliberate act that views depend on.
    Control,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub kind: Kind,
    /// Whether content was rewritten after it was first written.
    pub rewritten: bool,
    /// Whether its events expired and were taken out of it.
    pub expired: bool,
    /// Sequence number of its first row.
    pub first_seq: Seq,
    /// Sequence number of the first row that was written in the same sync.
    pub group_seq: Seq,
    /// Rows; a control entry is one.
    pub rows: u32,
    /// Receipt of the first row; each row after is one microsecond later.
    pub received: Timestamp,
    /// Bytes of the submissions table; where the frame expired, of what is left of it.
    pub meta_length: u32,
    /// Bytes of the body.
    pub body_length: u32,
    /// Bytes of the vault page.
    pub vault_length: u32,
    /// Chain value of the frame before.
    pub previous: [u8; 32],
    /// Chain value of this frame.
    pub chain: [u8; 32],
    /// BLAKE3 of meta and body, as they were before the frame expired.
    pub content: [u8; 32],
    /// CRC-32 of the vault page; where the frame expired, of what is left of it.
    pub vault_crc: u32,
    /// What it holds, for skipping.
    pub zone: Zone,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too short, wrong magic, or a checksum does not fit.
    #[error("frame is torn or damaged")]
    Damaged,
    /// Written by a later release.
    #[error("frame has format version {found}, this release reads up to {VERSION}")]
    UnknownVersion {
        /// The version found.
        found: u16,
    },
}

impl Header {
    /// Length of the whole frame.
    pub fn length(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta_length) + u64::from(self.body_length) + u64::from(self.vault_length)
    }

    /// The sequence number after its last row.
    pub fn end(&self) -> Seq {
        Seq(self.first_seq.0 + u64::from(self.rows))
    }

    /// Receipt of one row.
    pub fn received_at(&self, row: u32) -> Timestamp {
        Timestamp::from_micros(self.received.micros() + i64::from(row))
    }

    /// The chain value that follows from `previous` and the content.
    pub fn chain_value(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.previous);
        hasher.update(&[kind_number(self.kind)]);
        hasher.update(&self.first_seq.0.to_le_bytes());
        hasher.update(&self.rows.to_le_bytes());
        hasher.update(&self.received.micros().to_le_bytes());
        hasher.update(&self.content);
        *hasher.finalize().as_bytes()
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(&MAGIC);
        let version = if self.expired { VERSION } else { WHOLE_VERSION };
        out.extend_from_slice(&version.to_le_bytes());
        out.push(kind_number(self.kind));
        out.push(u8::from(self.rewritten) | u8::from(self.expired) << 1);
        out.extend_from_slice(&self.first_seq.0.to_le_bytes());
        out.extend_from_slice(&self.group_seq.0.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.received.micros().to_le_bytes());
        out.extend_from_slice(&self.meta_length.to_le_bytes());
        out.extend_from_slice(&self.body_length.to_le_bytes());
        out.extend_from_slice(&self.vault_length.to_le_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.chain);
        out.extend_from_slice(&self.content);
        out.extend_from_slice(&self.vault_crc.to_le_bytes());
        out.extend_from_slice(&self.zone.to_bytes());
        out.resize(HEADER - 4, 0);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.try_into().unwrap_or([0; HEADER])
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError`] where it is torn, damaged or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrameError> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER).and_then(|slice| slice.try_into().ok()).ok_or(FrameError::Damaged)?;
        let crc = u32::from_le_bytes(take(bytes, HEADER - 4));
        if take::<4>(bytes, 0) != MAGIC || crc32fast::hash(&bytes[..HEADER - 4]) != crc {
            return Err(FrameError::Damaged);
        }
        let version = u16::from_le_bytes(take(bytes, 4));
        if version > VERSION {
            return Err(FrameError::UnknownVersion { found: version });
        }
        Ok(Self {
            kind: if bytes[6] == kind_number(Kind::Control) { Kind::Control } else { Kind::Events },
            rewritten: bytes[7] & 1 == 1,
            expired: bytes[7] & 2 == 2,
            first_seq: Seq(u64::from_le_bytes(take(bytes, 8))),
            group_seq: Seq(u64::from_le_bytes(take(bytes, 16))),
            rows: u32::from_le_bytes(take(bytes, 24)),
            received: Timestamp::from_micros(i64::from_le_bytes(take(bytes, 28))),
            meta_length: u32::from_le_bytes(take(bytes, 36)),
            body_length: u32::from_le_bytes(take(bytes, 40)),
            vault_length: u32::from_le_bytes(take(bytes, 44)),
            previous: take(bytes, 48),
            chain: take(bytes, 80),
            content: take(bytes, 112),
            vault_crc: u32::from_le_bytes(take(bytes, 144)),
            zone: Zone::from_bytes(take(bytes, 148)),
        })
    }
}

const fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Events => 1,
        Kind::Control => 2,
    }
}

fn take<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or(0))
}

/// A frame read from its file, checked.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    content: Vec<u8>,
}

impl Frame {
    /// Takes header and the bytes after it, checking every checksum.
    ///
    /// # Errors
    /// [`FrameError::Damaged`] where a checksum does not fit.
    pub fn new(header: Header, content: Vec<u8>) -> Result<Self, FrameError> {
        let frame = Self { header, content };
        let whole = if header.expired {
            frame.body().is_empty() && frame.vault().is_empty() && crc32fast::hash(frame.meta()) == header.vault_crc
        } else {
            content_hash(frame.meta(), frame.body()) == header.content && crc32fast::hash(frame.vault()) == header.vault_crc
        };
        if frame.content.len() as u64 + HEADER as u64 == header.length() && whole { Ok(frame) } else { Err(FrameError::Damaged) }
    }

    /// As [`Frame::new`], checking lengths only: for reads of what was checked on opening or is checked by `verify`.
    pub fn trusting(header: Header, content: Vec<u8>) -> Option<Self> {
        (content.len() as u64 + HEADER as u64 == header.length()).then_some(Self { header, content })
    }

    /// The submissions table; where the frame expired, what is left of it.
    pub fn meta(&self) -> &[u8] {
        self.content.get(..self.header.meta_length as usize).unwrap_or(&[])
    }

    /// The columns, or a control entry's JSON.
    pub fn body(&self) -> &[u8] {
        let start = self.header.meta_length as usize;
        self.content.get(start..start + self.header.body_length as usize).unwrap_or(&[])
    }

    /// The vault page.
    pub fn vault(&self) -> &[u8] {
        self.content.get(self.header.meta_length as usize + self.header.body_length as usize..).unwrap_or(&[])
    }

    /// The submissions of the frame; none where it expired.
    pub fn submissions(&self) -> Vec<Submission> {
        if self.header.expired {
            return Vec::new();
        }
        Submission::read_all(self.meta()).unwrap_or_default().into_iter().map(|(submission, _)| submission).collect()
    }
}

/// BLAKE3 over meta and body.
pub fn content_hash(meta: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(meta.len() as u64).to_le_bytes());
    hasher.update(meta);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Events,
            rewritten: false,
            expired: false,
            first_seq: Seq(65_536),
            group_seq: Seq(65_536),
            rows: 3,
            received: Timestamp::from_seconds(1_700_000_000),
            meta_length: 1,
            body_length: 2,
            vault_length: 3,
            previous: [1; 32],
            chain: [2; 32],
            content: content_hash(&[9], &[8, 8]),
            vault_crc: crc32fast::hash(&[7, 7, 7]),
            zone: Zone::default(),
        }
    }

    #[test]
    fn a_header_comes_back_and_any_changed_byte_is_noticed() {
        let bytes = header().to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Ok(header()));
        for index in 0..HEADER {
            let mut changed = bytes;
            changed[index] ^= 0x40;
            assert!(Header::from_bytes(&changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn an_expired_frame_keeps_its_chain_and_is_whole_by_what_is_left_of_it() {
        let chain = header().chain_value();
        let left = [9, 8, 7];
        let expired = Header { rewritten: true, expired: true, meta_length: 3, body_length: 0, vault_length: 0, vault_crc: crc32fast::hash(&left), ..header() };
        let bytes = expired.to_bytes();
        assert_eq!((bytes[4], header().to_bytes()[4]), (2, 1), "an earlier release refuses it and reads the others");
        assert_eq!(Header::from_bytes(&bytes), Ok(expired));
        assert_eq!(expired.chain_value(), chain);
        assert_eq!(Frame::new(expired, left.to_vec()).unwrap().meta(), left);
        for index in 0..left.len() {
            let mut changed = left.to_vec();
            changed[index] ^= 1;
            assert_eq!(Frame::new(expired, changed).unwrap_err(), FrameError::Damaged);
        }
    }

    #[test]
    fn content_with_a_changed_byte_is_damaged() {
        assert!(Frame::new(header(), vec![9, 8, 8, 7, 7, 7]).is_ok());
        for index in 0..6 {
            let mut content = vec![9, 8, 8, 7, 7, 7];
            content[index] ^= 1;
            assert_eq!(Frame::new(header(), content).unwrap_err(), FrameError::Damaged);
        }
    }
}
