//! The log of one collection: a file that only grows, with a sparse index that says where each 128th entry lies and when it was added.
//!
//! Flow: the thread that follows fills a [`Pending`], [`Log::write`] makes it durable, [`Log::publish`] lets readers see it.
//! Invariant: readers see synced entries alone. A page is a binary search in memory and one contiguous read, wherever it lies. What a crash
//! left after the last whole entry is cut on opening; what was synced and cannot be read is damage and is never cut.
//! Not here: which versions there are (`follow`), where a value's newest one lies (`latest`).

use super::{Collection, Indicator, entry};
use crate::codec::{Reader, put_u32, put_u64};
use model::Timestamp;
use parking_lot::RwLock;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// First bytes of a log: name and format version.
const MAGIC: [u8; 8] = *b"BGIND\0\x01\0";
/// First bytes of a sparse index.
const INDEX_MAGIC: [u8; 8] = *b"BGINX\0\x01\0";
/// Byte at which the first entry begins.
pub(super) const START: u64 = 8;
/// Entries between two places of the sparse index.
const EVERY: usize = 128;
/// Bytes of one place of the sparse index on disk: date, offset, CRC-32.
const PLACE: usize = 20;
/// Bytes read at once in a scan.
const SCAN_BYTES: u64 = 1 << 20;
/// Bytes read at first where one entry is wanted; most are shorter.
const GUESS: u64 = 512;
/// Between two dates of addition at the least.
/// The two before an entry's are for what stands beside it.
const TICK: Duration = Duration::from_micros(3);

/// How the names of the files end.
pub(super) const ENDING: &str = ".log";

/// Name of a collection's file.
pub(super) fn file_name(collection: Collection) -> String {
    format!("{}{ENDING}", collection.title())
}

/// Where the index points: when the entry was added and the byte at which it begins.
type IndexPlace = (Timestamp, u64);

/// One collection's log.
#[derive(Debug)]
pub(super) struct Log {
    collection: Collection,
    shared: RwLock<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Log and index; `None` where nothing is kept.
    files: Option<(Arc<File>, Arc<File>)>,
    index: Vec<IndexPlace>,
    /// Places of the index that are in its file.
    index_written: usize,
    end: u64,
    count: u64,
    last: Timestamp,
}

impl Shared {
    fn nothing() -> Self {
        Self { files: None, index: Vec::new(), index_written: 0, end: START, count: 0, last: Timestamp::MIN }
    }

    /// Takes in the next entry.
    fn push(&mut self, added: Timestamp, offset: u64, length: u64) {
        if self.count.is_multiple_of(EVERY as u64) {
            self.index.push((added, offset));
        }
        self.count += 1;
        self.last = added;
        self.end = offset + length;
    }
}

/// Entries on their way into a log.
#[derive(Debug)]
pub(super) struct Pending {
    start: u64,
    last: Timestamp,
    bytes: Vec<u8>,
    places: Vec<IndexPlace>,
}

impl Pending {
    /// The date of the next entry.
    pub(super) fn next_added(&self, now: Timestamp) -> Timestamp {
        now.max(self.last.plus(TICK))
    }

    /// Takes an entry whose date is [`Pending::next_added`]; gives its place.
    pub(super) fn push(&mut self, indicator: &Indicator, previous: Option<u64>) -> u64 {
        let offset = self.start + self.bytes.len() as u64;
        entry::write(indicator, previous, &mut self.bytes);
        self.last = indicator.added;
        self.places.push((indicator.added, offset));
        offset
    }
}

impl Log {
    /// A log without a file, which stays empty.
    pub(super) fn empty(collection: Collection) -> Self {
        Self { collection, shared: RwLock::new(Shared::nothing()) }
    }

    /// Opens a log, making it where it is not there; `None` where what lies before `synced` is damaged.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a log of a later release.
    pub(super) fn open(folder: &Path, collection: Collection, synced: u64) -> std::io::Result<Option<Self>> {
        let file = open_file(&folder.join(file_name(collection)))?;
        let index_file = open_file(&index_path(folder, collection))?;
        let mut length = file.metadata()?.len();
        if length < START {
            if synced > START {
                return Ok(None);
            }
            begin(&file, MAGIC)?;
            length = START;
        }
        if !is_log(&file)? {
            return Ok(None);
        }
        let mut shared = Shared::nothing();
        shared.index = read_index(&index_file, &file, length)?;
        shared.index_written = shared.index.len();
        // The last place's entry is read once more, with what follows.
        let from = shared.index.pop().map_or(START, |(_, offset)| offset);
        shared.index_written = shared.index_written.min(shared.index.len());
        shared.count = (shared.index.len() * EVERY) as u64;
        shared.last = shared.index.last().map_or(Timestamp::MIN, |&(added, _)| added);
        shared.end = from;
        let stopped = scan(&file, from, length, |offset, content| {
            let Some(added) = entry::added(content).filter(|&added| added > shared.last) else { return false };
            shared.push(added, offset, (entry::HEAD + content.len()) as u64);
            true
        })?;
        if stopped < synced {
            return Ok(None);
        }
        if stopped < length {
            tracing::warn!(collection = %collection.title(), bytes = length - stopped, "an unfinished write at the end of a log of indicators was cut");
            file.set_len(stopped)?;
            file.sync_all()?;
        }
        shared.files = Some((Arc::new(file), Arc::new(index_file)));
        Ok(Some(Self { collection, shared: RwLock::new(shared) }))
    }

    /// The byte after the last entry that readers see.
    pub(super) fn end(&self) -> u64 {
        self.shared.read().end
    }

    /// Entries that readers see.
    pub(super) fn count(&self) -> u64 {
        self.shared.read().count
    }

    /// Versions after `after`, oldest first.
    pub(super) fn page(&self, after: Option<Timestamp>, limit: usize) -> std::io::Result<Vec<Indicator>> {
        let Some((file, from, to)) = self.extent(after, limit) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        let mut rest = bytes.as_slice();
        let mut page = Vec::with_capacity(limit.min(bytes.len() / entry::HEAD));
        while !rest.is_empty() && page.len() < limit {
            let content = entry::content(rest).ok_or_else(damaged)?;
            if after.is_none_or(|after| entry::added(content).is_some_and(|added| added > after)) {
                page.push(entry::read(content, self.collection).ok_or_else(damaged)?.indicator);
            }
            rest = rest.get(entry::HEAD + content.len()..).unwrap_or(&[]);
        }
        Ok(page)
    }

    /// The bytes that hold a page, from an indexed entry at or before its first to one after its last; `None` for an empty page.
    fn extent(&self, after: Option<Timestamp>, limit: usize) -> Option<(Arc<File>, u64, u64)> {
        let shared = self.shared.read();
        let (file, _) = shared.files.as_ref()?;
        if limit == 0 || shared.count == 0 || after.is_some_and(|after| after >= shared.last) {
            return None;
        }
        let first = after.map_or(0, |after| shared.index.partition_point(|&(added, _)| added <= after).saturating_sub(1));
        let &(_, from) = shared.index.get(first)?;
        // As many entries as lie between two places may be before the page.
        let to = shared.index.get(first + 1 + limit.div_ceil(EVERY)).map_or(shared.end, |&(_, offset)| offset);
        Some((file.clone(), from, to))
    }

    /// The entry at a place that [`Pending::push`] gave.
    pub(super) fn entry_at(&self, offset: u64) -> std::io::Result<entry::Entry> {
        let (file, end) = self.file_and_end().ok_or_else(damaged)?;
        let mut bytes = vec![0; GUESS.min(end.saturating_sub(offset)) as usize];
        file.read_exact_at(&mut bytes, offset)?;
        let length = entry::whole_length(&bytes).filter(|&length| offset.saturating_add(length as u64) <= end).ok_or_else(damaged)?;
        if length > bytes.len() {
            bytes.resize(length, 0);
            file.read_exact_at(&mut bytes, offset)?;
        }
        entry::content(&bytes).and_then(|content| entry::read(content, self.collection)).ok_or_else(damaged)
    }

    /// Gives entries from `from` on, with their places, until `visit` wants no more; gives the place of the first that was not taken.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where an entry is damaged.
    pub(super) fn walk(&self, from: u64, mut visit: impl FnMut(u64, &[u8]) -> bool) -> std::io::Result<u64> {
        let Some((file, end)) = self.file_and_end() else { return Ok(from) };
        let mut wanted = true;
        let stopped = scan(&file, from, end, |offset, content| {
            wanted = visit(offset, content);
            wanted
        })?;
        if wanted && stopped < end { Err(damaged()) } else { Ok(stopped) }
    }

    fn file_and_end(&self) -> Option<(Arc<File>, u64)> {
        let shared = self.shared.read();
        shared.files.as_ref().map(|(file, _)| (file.clone(), shared.end))
    }

    /// What is to come after the last entry. Only one may be on its way.
    pub(super) fn pending(&self) -> Pending {
        let shared = self.shared.read();
        Pending { start: shared.end, last: shared.last, bytes: Vec::new(), places: Vec::new() }
    }

    /// Makes entries durable; readers do not see them yet. What a failure leaves is written over by the next try, or cut on opening: its
    /// dates are older than those of whatever is written before it then.
    pub(super) fn write(&self, pending: &Pending) -> std::io::Result<()> {
        let Some((file, _)) = self.file_and_end().filter(|_| !pending.bytes.is_empty()) else { return Ok(()) };
        file.write_all_at(&pending.bytes, pending.start)?;
        file.sync_data()
    }

    /// Lets readers see what was written.
    pub(super) fn publish(&self, pending: &Pending) {
        let mut shared = self.shared.write();
        let ends = pending.places.iter().skip(1).map(|&(_, offset)| offset).chain(std::iter::once(pending.start + pending.bytes.len() as u64));
        for (&(added, offset), end) in pending.places.iter().zip(ends) {
            shared.push(added, offset, end - offset);
        }
    }

    /// Makes the places of the index durable that its file lacks.
    pub(super) fn write_index(&self) -> std::io::Result<()> {
        let (file, written, bytes, all) = {
            let shared = self.shared.read();
            let Some((_, file)) = &shared.files else { return Ok(()) };
            let mut bytes = Vec::new();
            for &(added, offset) in shared.index.get(shared.index_written..).unwrap_or_default() {
                put_place(&mut bytes, added, offset);
            }
            (file.clone(), shared.index_written, bytes, shared.index.len())
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if written == 0 {
            begin(&file, INDEX_MAGIC)?;
        }
        file.write_all_at(&bytes, START + (written * PLACE) as u64)?;
        file.sync_data()?;
        self.shared.write().index_written = all;
        Ok(())
    }
}

/// The byte of the first entry before `synced` that cannot be read, where there is one.
///
/// # Errors
/// An I/O error.
pub(super) fn first_damage(folder: &Path, collection: Collection, synced: u64) -> std::io::Result<Option<u64>> {
    let file = match File::open(folder.join(file_name(collection))) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((synced > START).then_some(0)),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length < START || !is_log(&file)? {
        return Ok((length >= START || synced > START).then_some(0));
    }
    let mut last = Timestamp::MIN;
    let stopped = scan(&file, START, length, |offset, content| {
        let sound = entry::read(content, collection).filter(|entry| entry.indicator.added > last && entry.previous.is_none_or(|previous| previous < offset));
        last = sound.as_ref().map_or(last, |entry| entry.indicator.added);
        sound.is_some()
    })?;
    Ok((stopped < synced).then_some(stopped))
}

/// Gives the entries between two places in order until `visit` wants no more or one is damaged or cut; gives where that was.
fn scan(file: &File, from: u64, to: u64, mut visit: impl FnMut(u64, &[u8]) -> bool) -> std::io::Result<u64> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut used = 0;
    let mut at = from;
    loop {
        let rest = bytes.get(used..).unwrap_or(&[]);
        if let Some(content) = entry::content(rest) {
            if !visit(at, content) {
                return Ok(at);
            }
            let length = entry::HEAD + content.len();
            used += length;
            at += length as u64;
            continue;
        }
        let (left, read_from) = (rest.len(), at + rest.len() as u64);
        let wanted = SCAN_BYTES.min(to.saturating_sub(read_from)) as usize;
        if wanted == 0 || left > entry::HEAD + entry::MAX_CONTENT {
            return Ok(at);
        }
        bytes.drain(..used);
        used = 0;
        bytes.resize(left + wanted, 0);
        if let Some(free) = bytes.get_mut(left..) {
            file.read_exact_at(free, read_from)?;
        }
    }
}

fn index_path(folder: &Path, collection: Collection) -> PathBuf {
    folder.join(file_name(collection)).with_extension("idx")
}

fn open_file(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Empties a file but for its first bytes.
fn begin(file: &File, magic: [u8; 8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(&magic, 0)?;
    file.sync_all()
}

/// Whether a file begins as a log of this release does.
///
/// # Errors
/// An I/O error; `Unsupported` for a log of another release.
fn is_log(file: &File) -> std::io::Result<bool> {
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, 0)?;
    let ([name @ .., _, _], [own @ .., _, _]) = (magic, MAGIC);
    if name == own && magic != MAGIC {
        return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "the log of indicators is of another release"));
    }
    Ok(magic == MAGIC)
}

fn put_place(out: &mut Vec<u8>, added: Timestamp, offset: u64) {
    let mut place = Vec::with_capacity(PLACE);
    put_u64(&mut place, added.micros() as u64);
    put_u64(&mut place, offset);
    let crc = crc32fast::hash(&place);
    put_u32(&mut place, crc);
    out.extend_from_slice(&place);
}

fn place(bytes: &[u8]) -> Option<IndexPlace> {
    let mut reader = Reader::new(bytes);
    let (added, offset, crc) = (reader.u64()?, reader.u64()?, reader.u32()?);
    let sound = crc32fast::hash(bytes.get(..PLACE - 4)?) == crc;
    sound.then_some((Timestamp::from_micros(added as i64), offset))
}

/// The places of the index that lie in a log of `length` bytes, as far as they can be trusted. What is missing is found by reading the log.
fn read_index(index_file: &File, log: &File, length: u64) -> std::io::Result<Vec<IndexPlace>> {
    let mut bytes = vec![0; index_file.metadata()?.len() as usize];
    index_file.read_exact_at(&mut bytes, 0)?;
    let Some(bytes) = bytes.strip_prefix(&INDEX_MAGIC) else { return Ok(Vec::new()) };
    let mut index: Vec<IndexPlace> = Vec::with_capacity(bytes.len() / PLACE);
    for (added, offset) in bytes.chunks_exact(PLACE).map_while(place) {
        let follows = index.last().map_or(offset == START, |&(last, before)| added > last && offset > before);
        if !follows || offset >= length {
            break;
        }
        index.push((added, offset));
    }
    // The last one must fit this log; so do those before it then.
    while let Some(&(added, offset)) = index.last() {
        let mut found = None;
        scan(log, offset, length, |_, content| {
            found = entry::added(content);
            false
        })?;
        if found == Some(added) {
            break;
        }
        index.pop();
    }
    Ok(index)
}

fn damaged() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "the log of indicators is damaged")
}
