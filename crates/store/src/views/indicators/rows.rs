//! Which bodies a collection has: a file of rows of one size that only grows, one for each block that holds versions of it.
//!
//! Flow: `pending` gathers rows, [`Rows::write`] makes them durable after the blocks that they name, [`Rows::publish`] lets readers see them.
//! Shape: 8 bytes of name and version, then rows: date of the first version named, byte, length and CRC-32 of the block, the numbers of the bodies named as 128
//! bits, versions of the collection before, CRC-32 of all this.
//! Invariant: readers see synced rows alone, whose blocks were synced before them. A page is a binary search over rows and a read of the blocks named,
//! wherever it lies. What a crash left after the last row that is whole, block and all, is cut on opening; what was synced and cannot be read is damage and is
//! never cut.
//! Not here: what a block says (`block`), where a value's newest version lies (`latest`).

use super::block::{Block, HEAD, MAX_BLOCK, place};
use super::bodies::Bodies;
use super::growing::{self, Found, START, append, cut, damaged};
use super::{Collection, Indicator};
use crate::codec::{Reader, put_u32, put_u64};
use crate::views::Keys;
use model::Timestamp;
use parking_lot::RwLock;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// First bytes of a file of rows: name and format version.
const MAGIC: [u8; 8] = *b"BGIND\0\x02\0";
/// How a log began that held whole versions; no release was made of it.
pub(super) const FIRST_MAGIC: [u8; 8] = *b"BGIND\0\x01\0";
/// Bytes of a row.
pub(super) const ROW: u64 = 52;
/// No file has as many bytes, nor as many versions: what says more is damage.
const TOO_MANY: u64 = 1 << 56;
/// Rows read at once.
const AT_ONCE: u64 = 32;
/// Versions that a page has room for from the start.
const ROOM: usize = 1_024;

/// How the names of the files end.
pub(super) const ENDING: &str = ".log";

/// Name of a collection's file.
pub(super) fn file_name(collection: Collection) -> String {
    format!("{}{ENDING}", collection.title())
}

/// Which bodies of a block a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// When the first of them was added.
    pub(super) first: Timestamp,
    /// Byte of the block.
    pub(super) block: u64,
    /// Length of the block.
    pub(super) length: u32,
    /// CRC-32 of its content.
    pub(super) crc: u32,
    /// A bit for each body; never none.
    pub(super) bits: u128,
    /// Versions of the collection in the rows before.
    pub(super) before: u64,
}

impl Row {
    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        put_u64(out, self.first.micros() as u64);
        put_u64(out, self.block);
        put_u32(out, self.length);
        put_u32(out, self.crc);
        out.extend_from_slice(&self.bits.to_le_bytes());
        put_u64(out, self.before);
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        put_u32(out, crc);
    }

    /// Reads what was appended; `None` for anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(content);
        let (first, block) = (Timestamp::from_micros(reader.u64()? as i64), reader.u64()?);
        let (length, crc) = (reader.u32()?, reader.u32()?);
        let (bits, before) = (u128::from_le_bytes(reader.array()?), reader.u64()?);
        let is_somewhere = (START..TOO_MANY).contains(&block) && (HEAD..=MAX_BLOCK).contains(&(length as usize));
        let is_sound = reader.is_empty() && is_somewhere && bits != 0 && before < TOO_MANY;
        is_sound.then_some(Self { first, block, length, crc, bits, before })
    }

    /// The byte after its block.
    pub(super) fn end(&self) -> Option<u64> {
        self.block.checked_add(u64::from(self.length))
    }

    /// Versions that it names.
    fn count(&self) -> u64 {
        u64::from(self.bits.count_ones())
    }

    /// The numbers of the bodies that it names, in order.
    fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.bits;
        std::iter::from_fn(move || {
            let number = (left != 0).then(|| left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            number
        })
    }

    /// Number of the last body that it names.
    fn last(&self) -> usize {
        127_u32.saturating_sub(self.bits.leading_zeros()) as usize
    }

    /// Whether this is the block that it names, with all the bodies that it names.
    pub(super) fn names(&self, block: &Block) -> bool {
        let is_it = (block.length, block.crc) == (self.length, self.crc);
        is_it && block.added(self.bits.trailing_zeros() as usize) == Some(self.first) && block.added(self.last()).is_some()
    }
}

/// One collection's rows.
#[derive(Debug)]
pub(super) struct Rows {
    collection: Collection,
    shared: RwLock<Shared>,
}

#[derive(Debug, Clone)]
struct Shared {
    /// `None` where nothing is kept.
    file: Option<Arc<File>>,
    stand: Stand,
}

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    /// The byte after the last row.
    pub(super) end: u64,
    /// Versions.
    pub(super) count: u64,
    /// When the last one was added.
    pub(super) last: Timestamp,
    /// Where the last block ends that is named.
    pub(super) named: u64,
}

impl Stand {
    const NOTHING: Self = Self { end: START, count: 0, last: Timestamp::MIN, named: START };

    /// Takes in the next row; false, and then nothing is taken, where it does not follow or its block cannot be read.
    fn take(&mut self, row: &Row, bodies: &Bodies) -> std::io::Result<bool> {
        if row.before != self.count || row.block < self.named || row.first <= self.last {
            return Ok(false);
        }
        let block = match bodies.named(row) {
            Ok(block) => block,
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (Some(last), Some(named)) = (block.added(row.last()), row.end()) else { return Ok(false) };
        *self = Self { end: self.end + ROW, count: self.count + row.count(), last, named };
        Ok(true)
    }
}

/// A row with its block, on a walk.
pub(super) struct Walked<'w> {
    /// The byte of the row after it.
    pub(super) next: u64,
    row: &'w Row,
    block: &'w Block,
    collection: Collection,
    keys: &'w Keys,
}

impl Walked<'_> {
    /// When the last of its versions was added.
    pub(super) fn last_added(&self) -> std::io::Result<Timestamp> {
        self.block.added(self.row.last()).ok_or_else(damaged)
    }

    /// Its versions with their places.
    pub(super) fn versions(&self) -> impl Iterator<Item = std::io::Result<(u64, Indicator)>> {
        self.row.numbers().map(move |number| {
            let indicator = self.block.indicator(number, self.collection, self.keys).ok_or_else(damaged)?;
            Ok((place(self.row.block, number), indicator))
        })
    }

    /// Appends the places and keys of its versions.
    pub(super) fn put_keys(&self, out: &mut Vec<(u64, u128)>) -> std::io::Result<()> {
        for number in self.row.numbers() {
            out.push((place(self.row.block, number), self.block.key(number, self.keys).ok_or_else(damaged)?));
        }
        Ok(())
    }
}

impl Rows {
    /// Rows without a file, of which there are none.
    pub(super) fn empty(collection: Collection) -> Self {
        Self { collection, shared: RwLock::new(Shared { file: None, stand: Stand::NOTHING }) }
    }

    /// Opens the rows of a collection, making the file where it is not there; `None` where what lies before `synced` is damaged.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a file of another release.
    pub(super) fn open(folder: &Path, collection: Collection, synced: u64, bodies: &Bodies) -> std::io::Result<Option<Self>> {
        let Some((file, length)) = growing::open(&folder.join(file_name(collection)), MAGIC, synced)? else { return Ok(None) };
        let mut stand = Stand::NOTHING;
        // The last row that was synced is read once more, with what follows.
        let mut at = synced.saturating_sub(START).div_ceil(ROW).saturating_sub(1);
        let there = rows_before(length);
        if let Some(row) = row_at(&file, at)?.filter(|_| at > 0 && at < there) {
            stand = Stand { end: START + at * ROW, count: row.before, ..stand };
        }
        while at < there {
            let Some(row) = row_at(&file, at)? else { break };
            if !stand.take(&row, bodies)? {
                break;
            }
            at += 1;
        }
        if stand.end < synced {
            return Ok(None);
        }
        if stand.end < length {
            tracing::warn!(collection = %collection.title(), bytes = length - stand.end, "an unfinished write at the end of a log of indicators was cut");
            cut(&file, stand.end)?;
        }
        Ok(Some(Self { collection, shared: RwLock::new(Shared { file: Some(Arc::new(file)), stand }) }))
    }

    /// How far it is.
    pub(super) fn stand(&self) -> Stand {
        self.shared.read().stand
    }

    /// The byte after the last row that readers see.
    pub(super) fn end(&self) -> u64 {
        self.stand().end
    }

    /// Whether a row begins at a byte, or the next one will.
    pub(super) fn has_row_at(&self, byte: u64) -> bool {
        byte >= START && byte <= self.end() && (byte - START).is_multiple_of(ROW)
    }

    /// Versions after `after`, oldest first.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where a row or a block is damaged.
    pub(super) fn page(&self, bodies: &Bodies, after: Option<Timestamp>, limit: usize) -> std::io::Result<Vec<Indicator>> {
        let mut page = Vec::new();
        let Some((file, stand)) = self.file_and_stand() else { return Ok(page) };
        if limit == 0 || stand.count == 0 || after.is_some_and(|after| after >= stand.last) {
            return Ok(page);
        }
        let there = rows_before(stand.end);
        let mut at = after.map_or(Ok(0), |after| row_of(&file, there, after))?;
        page.reserve(limit.min(ROOM));
        while page.len() < limit && at < there {
            let mut rows = read_rows(&file, at, there)?;
            // As many as fill the page; of one that begins before it nothing may be on it.
            let mut filled = page.len() as u64;
            let wanted = rows.iter().take_while(|row| {
                let is_wanted = filled < limit as u64;
                filled += if after.is_some_and(|after| row.first <= after) { 0 } else { row.count() };
                is_wanted
            });
            let wanted = wanted.count();
            rows.truncate(wanted);
            at += wanted as u64;
            bodies.read(&rows, |row, block| {
                for number in row.numbers() {
                    if page.len() == limit {
                        return Ok(false);
                    }
                    if after.is_none_or(|after| block.added(number).is_some_and(|added| added > after)) {
                        page.push(block.indicator(number, self.collection, bodies.keys()).ok_or_else(damaged)?);
                    }
                }
                Ok(true)
            })?;
        }
        Ok(page)
    }

    /// Gives rows from the byte `from` on, with their blocks, until `visit` wants no more; gives the byte of the first that was not taken.
    ///
    /// # Errors
    /// Those of `visit`; an I/O error; `InvalidData` where a row or a block is damaged.
    pub(super) fn walk(&self, bodies: &Bodies, from: u64, mut visit: impl FnMut(&Walked<'_>) -> std::io::Result<bool>) -> std::io::Result<u64> {
        let Some((file, stand)) = self.file_and_stand() else { return Ok(from) };
        let mut reached = from;
        let mut is_wanted = true;
        while is_wanted && reached < stand.end {
            let rows = read_rows(&file, rows_before(reached), rows_before(stand.end))?;
            if rows.is_empty() {
                break;
            }
            bodies.read(&rows, |row, block| {
                let walked = Walked { next: reached + ROW, row, block, collection: self.collection, keys: bodies.keys() };
                is_wanted = visit(&walked)?;
                if is_wanted {
                    reached = walked.next;
                }
                Ok(is_wanted)
            })?;
        }
        Ok(reached)
    }

    fn file_and_stand(&self) -> Option<(Arc<File>, Stand)> {
        let shared = self.shared.read();
        shared.file.as_ref().map(|file| (file.clone(), shared.stand))
    }

    /// Makes rows durable after the last one; nobody sees them yet. The blocks that they name are durable.
    ///
    /// # Errors
    /// An I/O error; what it leaves is to be cut before the next try.
    pub(super) fn write(&self, rows: &[u8]) -> std::io::Result<()> {
        let Some((file, stand)) = self.file_and_stand() else { return Ok(()) };
        append(&file, stand.end, rows)
    }

    /// Lets readers see what was written.
    pub(super) fn publish(&self, stand: Stand) {
        self.shared.write().stand = stand;
    }

    /// Cuts what a write that failed left past the end.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn cut(&self) -> std::io::Result<()> {
        self.file_and_stand().map_or(Ok(()), |(file, stand)| cut(&file, stand.end))
    }
}

/// The byte of the first row before `synced` that cannot be read, or whose block cannot, where there is one.
///
/// # Errors
/// An I/O error; `Unsupported` for a file of another release.
pub(super) fn first_damage(folder: &Path, collection: Collection, synced: u64, bodies: &Bodies) -> std::io::Result<Option<u64>> {
    let (file, length) = match growing::open_to_check(&folder.join(file_name(collection)), MAGIC)? {
        Found::Whole(file, length) => (file, length),
        Found::Another => return Ok(Some(0)),
        Found::Nothing => return Ok((synced > START).then_some(0)),
    };
    let mut stand = Stand::NOTHING;
    for at in 0..rows_before(length) {
        match row_at(&file, at)? {
            Some(row) if stand.take(&row, bodies)? => {}
            _ => break,
        }
    }
    Ok((stand.end < synced).then_some(stand.end))
}

/// Whole rows before a byte.
fn rows_before(byte: u64) -> u64 {
    byte.saturating_sub(START) / ROW
}

/// The row with this number; `None` where it is damaged or not there.
fn row_at(file: &File, number: u64) -> std::io::Result<Option<Row>> {
    let mut bytes = [0; ROW as usize];
    match file.read_exact_at(&mut bytes, START + number * ROW) {
        Ok(()) => Ok(Row::read(&bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Rows from the one with number `from` on, at most [`AT_ONCE`], and none from `to` on.
fn read_rows(file: &File, from: u64, to: u64) -> std::io::Result<Vec<Row>> {
    let mut bytes = vec![0; (AT_ONCE.min(to.saturating_sub(from)) * ROW) as usize];
    file.read_exact_at(&mut bytes, START + from * ROW)?;
    bytes.chunks_exact(ROW as usize).map(|row| Row::read(row).ok_or_else(damaged)).collect()
}

/// The number of the last row that begins at `after` or before, else 0.
fn row_of(file: &File, there: u64, after: Timestamp) -> std::io::Result<u64> {
    let (mut low, mut high) = (0, there);
    while low < high {
        let middle = low + (high - low) / 2;
        if row_at(file, middle)?.ok_or_else(damaged)?.first <= after {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.saturating_sub(1))
}
