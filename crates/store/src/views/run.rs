//! An immutable sorted run on disk: records in pages, ordered by key, with a filter and an index of the pages in memory.
//!
//! Shape: header of 64 bytes; pages of up to 32 records; first keys and lengths of the pages; filter; CRC-32 of what comes after the pages.
//! A page is a CRC-32 and its records, each written as its difference from the one before: the key (nothing where it is the same), then what the
//! record makes of itself. Written to a temporary name, synced, then renamed.
//! Invariant: a lookup reads one page but for keys that straddle two; nothing in a run is ever changed; a damaged page is an error, never an answer.
//! Not here: which runs there are (`checkpoint`), what a record means.

use super::filter::Filter;
use crate::codec::Reader;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: [u8; 8] = *b"BGRUN\0\x02\0";
const HEADER: u64 = 64;
/// Records of a page.
const PAGE: usize = 32;
/// Bytes read at once in a scan.
const SCAN_BYTES: usize = 1 << 18;
/// A run is synced step by step: one large sync would hold up the ledger's.
const SYNC_EVERY: usize = 4 * 1024 * 1024;

/// What a run holds.
pub trait Record: Copy + Send + Sync + 'static {
    /// Tells files of different records apart.
    const TAG: u64;
    /// What stands before the first record of a page.
    const FIRST: Self;
    /// The key it is ordered by.
    fn key(&self) -> u128;
    /// Appends all but the key, as it differs from the record before.
    fn write(&self, before: &Self, out: &mut Vec<u8>);
    /// Reads what was appended; `None` for broken bytes.
    fn read(reader: &mut Reader<'_>, key: u128, before: &Self) -> Option<Self>;
}

/// Reads one record that was written by itself, after [`Record::FIRST`]: as an engine without pages of ours would keep it. `None` for broken bytes.
pub fn read_alone<R: Record>(key: u128, bytes: &[u8]) -> Option<R> {
    R::read(&mut Reader::new(bytes), key, &R::FIRST)
}

/// Where the pages are and which key each begins with.
#[derive(Debug, Default)]
struct Pages {
    /// First halves of the first keys.
    firsts: Vec<u64>,
    /// Where each page begins, and where the last one ends.
    places: Vec<u64>,
}

impl Pages {
    /// The first page that may hold a key. Keys are uniform, so the look begins where the key should be.
    fn find(&self, key: u128) -> usize {
        let prefix = (key >> 64) as u64;
        let before = |page: usize| self.firsts.get(page).is_some_and(|&first| first < prefix);
        let mut low = ((u128::from(prefix) * self.firsts.len() as u128) >> 64) as usize;
        let mut high = low;
        let mut step = 1;
        while low > 0 && !before(low) {
            (high, low, step) = (low, low.saturating_sub(step), step * 2);
        }
        step = 1;
        while high < self.firsts.len() && before(high) {
            (low, high, step) = (high, high.saturating_add(step).min(self.firsts.len()), step * 2);
        }
        let between = self.firsts.get(low..high).unwrap_or_default();
        (low + between.partition_point(|&first| first < prefix)).saturating_sub(1)
    }

    fn extent(&self, page: usize) -> Option<(u64, usize)> {
        let (&start, &end) = (self.places.get(page)?, self.places.get(page + 1)?);
        Some((start, end.checked_sub(start)? as usize))
    }
}

/// One run, open for lookups.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    file: File,
    records: u64,
    keys: u64,
    pages: Arc<Pages>,
    filter: Filter,
}

impl Run {
    /// Opens a run.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where the file is no run of this release or is damaged.
    pub fn open<R: Record>(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0)?;
        let mut fields = Reader::new(&header);
        let magic = fields.array::<8>();
        let mut number = || fields.u64().unwrap_or(0);
        let (tag, records, keys, pages, tail_at, filter_length) = (number(), number(), number(), number(), number(), number());
        if magic != Some(MAGIC) || tag != R::TAG {
            return Err(invalid("not a run of this release"));
        }
        let length = file.metadata()?.len();
        let table = pages.checked_mul(12).filter(|table| tail_at.checked_add(*table).and_then(|end| end.checked_add(filter_length + 4)) == Some(length));
        let table = table.ok_or_else(|| invalid("run is cut"))?;
        let mut tail = vec![0; (length - tail_at) as usize];
        file.read_exact_at(&mut tail, tail_at)?;
        let (content, crc) = tail.split_at(tail.len() - 4);
        if crc32fast::hash(content).to_le_bytes() != crc {
            return Err(invalid("run's index is damaged"));
        }
        let (table, filter) = content.split_at(table as usize);
        let (firsts, lengths) = table.split_at(pages as usize * 8);
        let firsts = firsts.chunks_exact(8).filter_map(|eight| eight.try_into().ok().map(u64::from_le_bytes)).collect();
        let mut place = HEADER;
        let ends = lengths.chunks_exact(4).filter_map(|four| four.try_into().ok().map(u32::from_le_bytes)).map(|length| {
            place += u64::from(length);
            place
        });
        let places = std::iter::once(HEADER).chain(ends).collect();
        let filter = Filter::from_bytes(filter).ok_or_else(|| invalid("run has no filter"))?;
        Ok(Self { path: path.to_owned(), file, records, keys, pages: Arc::new(Pages { firsts, places }), filter })
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Number of different keys.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends every record with `key` to `out`.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where a page is damaged.
    pub fn get<R: Record>(&self, key: u128, out: &mut Vec<R>) -> std::io::Result<()> {
        if !self.filter.may_contain(key) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut page = self.pages.find(key);
        while let Some((start, length)) = self.pages.extent(page) {
            bytes.resize(length, 0);
            self.file.read_exact_at(&mut bytes, start)?;
            let mut past = false;
            read_page(&bytes, |record: R| {
                if record.key() == key {
                    out.push(record);
                }
                past = record.key() > key;
                !past
            })
            .ok_or_else(|| invalid("a page of a run is damaged"))?;
            if past {
                break;
            }
            page += 1;
        }
        Ok(())
    }

    /// Reads every record in order of key.
    ///
    /// # Errors
    /// An I/O error.
    pub fn scan<R: Record>(&self) -> std::io::Result<Scan<R>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(HEADER))?;
        let reader = std::io::BufReader::with_capacity(SCAN_BYTES, file);
        Ok(Scan { reader, pages: self.pages.clone(), next: 0, bytes: Vec::new(), records: Vec::with_capacity(PAGE), at: 0, read: None })
    }
}

fn invalid(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

/// Gives the records of a page in order until `take` wants no more; `None` where the page is damaged.
fn read_page<R: Record>(bytes: &[u8], mut take: impl FnMut(R) -> bool) -> Option<()> {
    let (crc, content) = bytes.split_first_chunk::<4>()?;
    if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut reader = Reader::new(content);
    let mut before = R::FIRST;
    let mut key = 0_u128;
    while !reader.is_empty() {
        key = key.checked_add(read_step(&mut reader)?)?;
        before = R::read(&mut reader, key, &before)?;
        if !take(before) {
            break;
        }
    }
    Some(())
}

/// A step from key to key: how many bytes it has, and these.
fn write_step(step: u128, out: &mut Vec<u8>) {
    let length = (128 - step.leading_zeros()).div_ceil(8);
    out.push(length as u8);
    out.extend_from_slice(step.to_le_bytes().split_at(length as usize).0);
}

fn read_step(reader: &mut Reader<'_>) -> Option<u128> {
    let length = usize::from(reader.u8()?);
    let mut step = [0; 16];
    step.get_mut(..length)?.copy_from_slice(reader.bytes(length)?);
    Some(u128::from_le_bytes(step))
}

/// Every record of a run, in order.
pub struct Scan<R> {
    reader: std::io::BufReader<File>,
    pages: Arc<Pages>,
    next: usize,
    bytes: Vec<u8>,
    records: Vec<R>,
    at: usize,
    read: Option<Arc<AtomicU64>>,
}

impl<R: Record> Scan<R> {
    /// Counts the records read, so that an end before the end is noticed: see [`all_read`].
    #[must_use]
    pub fn counting(self, read: &Arc<AtomicU64>) -> Self {
        Self { read: Some(read.clone()), ..self }
    }

    fn next_page(&mut self) -> Option<()> {
        let (_, length) = self.pages.extent(self.next)?;
        self.bytes.resize(length, 0);
        self.reader.read_exact(&mut self.bytes).ok()?;
        self.records.clear();
        self.at = 0;
        read_page(&self.bytes, |record| {
            self.records.push(record);
            true
        })?;
        self.next += 1;
        if let Some(read) = &self.read {
            read.fetch_add(self.records.len() as u64, Ordering::Relaxed);
        }
        Some(())
    }
}

/// Whether as many records were read as there are; a run that could not be read to its end must not be merged.
///
/// # Errors
/// `UnexpectedEof` where records are missing.
pub fn all_read(read: &AtomicU64, records: u64) -> std::io::Result<()> {
    if read.load(Ordering::Relaxed) == records {
        return Ok(());
    }
    Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "a run could not be read to its end"))
}

impl<R: Record> Iterator for Scan<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.at == self.records.len() {
            self.next_page()?;
        }
        let record = self.records.get(self.at).copied();
        self.at += 1;
        record
    }
}

/// Writes a run record by record, in order of key.
pub struct RunWriter<R> {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once finished.
    out: Option<BufWriter<File>>,
    records: u64,
    keys: u64,
    firsts: Vec<u64>,
    lengths: Vec<u32>,
    filter: Filter,
    /// The page being filled and how many records it has.
    page: Vec<u8>,
    filled: usize,
    before: R,
    key: u128,
    unsynced: usize,
}

impl<R: Record> RunWriter<R> {
    /// A writer for a run of up to `keys` different keys at `path`.
    ///
    /// # Errors
    /// An I/O error.
    pub fn create(path: &Path, keys: u64) -> std::io::Result<Self> {
        let temporary = path.with_extension("tmp");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        out.write_all(&[0; HEADER as usize])?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            out: Some(out),
            records: 0,
            keys: 0,
            firsts: Vec::new(),
            lengths: Vec::new(),
            filter: Filter::with_capacity(keys as usize),
            page: Vec::with_capacity(PAGE * 64),
            filled: 0,
            before: R::FIRST,
            key: 0,
            unsynced: 0,
        })
    }

    /// Appends a record; keys must not go down.
    ///
    /// # Errors
    /// An I/O error; `InvalidInput` where keys go down.
    pub fn push(&mut self, record: &R) -> std::io::Result<()> {
        let key = record.key();
        let Some(mut step) = key.checked_sub(self.key) else {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "keys must not go down"));
        };
        if step != 0 || self.records == 0 {
            self.filter.insert(key);
            self.keys += 1;
        }
        if self.filled == PAGE {
            self.end_page()?;
        }
        if self.filled == 0 {
            self.firsts.push((key >> 64) as u64);
            self.page.extend_from_slice(&[0; 4]);
            self.before = R::FIRST;
            step = key;
        }
        write_step(step, &mut self.page);
        record.write(&self.before, &mut self.page);
        self.before = *record;
        self.key = key;
        self.filled += 1;
        self.records += 1;
        Ok(())
    }

    fn end_page(&mut self) -> std::io::Result<()> {
        let Some(out) = self.out.as_mut().filter(|_| self.filled > 0) else { return Ok(()) };
        if let Some((crc, content)) = self.page.split_first_chunk_mut::<4>() {
            *crc = crc32fast::hash(content).to_le_bytes();
        }
        out.write_all(&self.page)?;
        self.lengths.push(self.page.len() as u32);
        self.unsynced += self.page.len();
        self.page.clear();
        self.filled = 0;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            out.flush()?;
            out.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// Makes the run durable under its name and opens it.
    ///
    /// # Errors
    /// An I/O error.
    pub fn finish(mut self) -> std::io::Result<Run> {
        // A run that is not finished is of no use and takes the ledger's room: dropping the writer removes it.
        self.end_page()?;
        if let Some(out) = &mut self.out {
            let mut tail: Vec<u8> = self.firsts.iter().flat_map(|first| first.to_le_bytes()).collect();
            tail.extend(self.lengths.iter().flat_map(|length| length.to_le_bytes()));
            let filter = self.filter.to_bytes();
            tail.extend_from_slice(&filter);
            tail.extend_from_slice(&crc32fast::hash(&tail).to_le_bytes());
            let tail_at = HEADER + self.lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
            let mut header = MAGIC.to_vec();
            for number in [R::TAG, self.records, self.keys, self.firsts.len() as u64, tail_at, filter.len() as u64] {
                header.extend_from_slice(&number.to_le_bytes());
            }
            header.resize(HEADER as usize, 0);
            out.write_all(&tail)?;
            out.seek(SeekFrom::Start(0))?;
            out.write_all(&header)?;
            out.flush()?;
            out.get_ref().sync_all()?;
        }
        std::fs::rename(&self.temporary, &self.path)?;
        self.out = None;
        Run::open::<R>(&self.path)
    }
}

impl<R> Drop for RunWriter<R> {
    fn drop(&mut self) {
        if self.out.is_some() {
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::views::seen::Mark;
    use model::Timestamp;

    fn mark(number: u64) -> Mark {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(blake3::hash(&number.to_le_bytes()).as_bytes().split_at(16).0);
        Mark { key: u128::from_le_bytes(bytes), received: Timestamp::from_micros(number as i64 * 977), taken: number % 5 }
    }

    fn written(folder: &Path, count: u64) -> (Run, Vec<Mark>) {
        let mut marks: Vec<Mark> = (0..count).map(mark).collect();
        marks.sort_unstable_by_key(|mark| mark.key);
        let mut writer = RunWriter::<Mark>::create(&folder.join("seen-1.run"), count).unwrap();
        marks.iter().for_each(|mark| writer.push(mark).unwrap());
        (writer.finish().unwrap(), marks)
    }

    #[test]
    fn every_record_is_found_and_no_other() {
        for count in [0, 1, PAGE as u64 - 1, PAGE as u64, PAGE as u64 + 1, 5_000] {
            let folder = tempfile::tempdir().unwrap();
            let (run, marks) = written(folder.path(), count);
            assert_eq!(run.scan::<Mark>().unwrap().collect::<Vec<_>>(), marks);
            assert_eq!((run.records(), run.keys()), (count, count));
            for mark in &marks {
                let mut found: Vec<Mark> = Vec::new();
                run.get(mark.key, &mut found).unwrap();
                assert_eq!(found, [*mark]);
            }
            for number in count..count + 1_000 {
                let mut found: Vec<Mark> = Vec::new();
                run.get(mark(number).key, &mut found).unwrap();
                assert!(found.is_empty());
            }
        }
    }

    #[test]
    fn a_record_written_by_itself_comes_back() {
        let mut bytes = Vec::new();
        mark(3).write(&Mark::FIRST, &mut bytes);
        assert_eq!(read_alone::<Mark>(mark(3).key, &bytes), Some(mark(3)));
        assert_eq!(read_alone::<Mark>(mark(3).key, &[]), None);
    }

    #[test]
    fn records_of_one_key_over_many_pages_are_all_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::<Mark>::create(&folder.path().join("seen-1.run"), 3).unwrap();
        let marks: Vec<Mark> =
            (0..300_u64).map(|number| Mark { key: 1 << 127 | u128::from(number / 299), received: Timestamp::from_micros(0), taken: number }).collect();
        marks.iter().for_each(|mark| writer.push(mark).unwrap());
        assert!(writer.push(&Mark { key: 3, ..marks[0] }).is_err(), "keys must not go down");
        let run = writer.finish().unwrap();
        let mut found: Vec<Mark> = Vec::new();
        run.get(1 << 127, &mut found).unwrap();
        assert_eq!(found.len(), 299);
        assert_eq!(run.keys(), 2);
    }

    #[test]
    fn a_changed_byte_is_an_error_and_never_another_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (run, marks) = written(folder.path(), 200);
        let sound = std::fs::read(run.path()).unwrap();
        let damaged = folder.path().join("seen-2.run");
        for at in (8..sound.len()).step_by(7) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&damaged, &bytes).unwrap();
            let Ok(run) = Run::open::<Mark>(&damaged) else { continue };
            for mark in &marks {
                let mut found: Vec<Mark> = Vec::new();
                // What is counted in the header alone does not change an answer.
                assert!(run.get(mark.key, &mut found).is_err() || found == [*mark], "byte {at}");
            }
        }
    }
}
