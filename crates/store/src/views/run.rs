//! An immutable sorted run on disk: records of one size, ordered by key, with a filter and an index of every 64th key in memory.
//!
//! Shape: header of 64 bytes, records, index (8 bytes per page), filter. Written to a temporary name, synced, then renamed.
//! Invariant: a lookup reads one page (64 records) but for keys that straddle two; nothing in a run is ever changed.
//! Not here: which runs there are (`checkpoint`), what a record means.

use super::filter::Filter;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: [u8; 8] = *b"BGRUN\0\x01\0";
const HEADER: u64 = 64;
const PAGE: usize = 64;
/// A run is synced step by step: one large sync would hold up the ledger's.
const SYNC_EVERY: usize = 4 * 1024 * 1024;

/// What a run holds.
pub trait Record: Copy + Send + Sync + 'static {
    /// Bytes of a record; the first 16 are the key, big-endian.
    const SIZE: usize;
    /// The key it is ordered by.
    fn key(&self) -> u128;
    /// Appends exactly [`Record::SIZE`] bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads what was appended; `None` for broken bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// One run, open for lookups.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    file: File,
    records: u64,
    index: Vec<u64>,
    filter: Filter,
}

impl Run {
    /// Opens a run.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where the file is no run of this release.
    pub fn open<R: Record>(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| header.get(at + index).copied().unwrap_or(0)));
        let (records, size, filter_length) = (number(8), number(16), number(24));
        if header[..8] != MAGIC || size != R::SIZE as u64 {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a run of this release"));
        }
        let pages = records.div_ceil(PAGE as u64);
        let index_at = HEADER + records * size;
        let mut bytes = vec![0; (pages * 8) as usize];
        file.read_exact_at(&mut bytes, index_at)?;
        let index = bytes.chunks_exact(8).filter_map(|eight| eight.try_into().ok().map(u64::from_le_bytes)).collect();
        let mut bytes = vec![0; filter_length as usize];
        file.read_exact_at(&mut bytes, index_at + pages * 8)?;
        let filter = Filter::from_bytes(&bytes).ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "run has no filter"))?;
        Ok(Self { path: path.to_owned(), file, records, index, filter })
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends every record with `key` to `out`.
    ///
    /// # Errors
    /// An I/O error.
    pub fn get<R: Record>(&self, key: u128, out: &mut Vec<R>) -> std::io::Result<()> {
        if !self.filter.may_contain(key) {
            return Ok(());
        }
        let prefix = (key >> 64) as u64;
        let mut page = self.index.partition_point(|&first| first < prefix).saturating_sub(1) as u64;
        let mut buffer = vec![0; PAGE * R::SIZE];
        while page * (PAGE as u64) < self.records {
            let first = page * PAGE as u64;
            let count = (self.records - first).min(PAGE as u64) as usize;
            let slice = buffer.get_mut(..count * R::SIZE).unwrap_or_default();
            self.file.read_exact_at(slice, HEADER + first * R::SIZE as u64)?;
            for record in slice.chunks_exact(R::SIZE).filter_map(R::read) {
                match record.key().cmp(&key) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => out.push(record),
                    std::cmp::Ordering::Greater => return Ok(()),
                }
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
        Ok(Scan { reader: BufReader::with_capacity(1 << 18, file), left: self.records, buffer: vec![0; R::SIZE], read: None, marker: std::marker::PhantomData })
    }
}

/// Every record of a run, in order.
pub struct Scan<R> {
    reader: BufReader<File>,
    left: u64,
    buffer: Vec<u8>,
    read: Option<Arc<AtomicU64>>,
    marker: std::marker::PhantomData<R>,
}

impl<R> Scan<R> {
    /// Counts the records read, so that an end before the end is noticed: see [`all_read`].
    #[must_use]
    pub fn counting(self, read: &Arc<AtomicU64>) -> Self {
        Self { read: Some(read.clone()), ..self }
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
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.reader.read_exact(&mut self.buffer).ok()?;
        let record = R::read(&self.buffer)?;
        if let Some(read) = &self.read {
            read.fetch_add(1, Ordering::Relaxed);
        }
        Some(record)
    }
}

/// Writes a run record by record, in order of key.
pub struct RunWriter<R> {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once finished.
    out: Option<BufWriter<File>>,
    records: u64,
    index: Vec<u64>,
    filter: Filter,
    last_key: u128,
    buffer: Vec<u8>,
    unsynced: usize,
    marker: std::marker::PhantomData<R>,
}

impl<R: Record> RunWriter<R> {
    /// A writer for a run of up to `capacity` records at `path`.
    ///
    /// # Errors
    /// An I/O error.
    pub fn create(path: &Path, capacity: u64) -> std::io::Result<Self> {
        let temporary = path.with_extension("tmp");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        out.write_all(&[0; HEADER as usize])?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            out: Some(out),
            records: 0,
            index: Vec::new(),
            filter: Filter::with_capacity(capacity as usize),
            last_key: 0,
            buffer: Vec::with_capacity(R::SIZE),
            unsynced: 0,
            marker: std::marker::PhantomData,
        })
    }

    /// Appends a record; keys must not go down.
    ///
    /// # Errors
    /// An I/O error; `InvalidInput` where keys go down.
    pub fn push(&mut self, record: &R) -> std::io::Result<()> {
        let key = record.key();
        if key < self.last_key {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "keys must not go down"));
        }
        if self.records.is_multiple_of(PAGE as u64) {
            self.index.push((key >> 64) as u64);
        }
        if key != self.last_key || self.records == 0 {
            self.filter.insert(key);
        }
        self.last_key = key;
        self.records += 1;
        self.buffer.clear();
        record.write(&mut self.buffer);
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(&self.buffer)?;
        self.unsynced += R::SIZE;
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
        let Some(mut out) = self.out.take() else { return Err(std::io::ErrorKind::InvalidInput.into()) };
        let filter = self.filter.to_bytes();
        if let Err(error) = self.complete(&mut out, &filter) {
            // A run that was not finished is of no use and takes the ledger's room.
            drop(std::fs::remove_file(&self.temporary));
            return Err(error);
        }
        std::fs::rename(&self.temporary, &self.path)?;
        Run::open::<R>(&self.path)
    }

    fn complete(&self, out: &mut BufWriter<File>, filter: &[u8]) -> std::io::Result<()> {
        for first in &self.index {
            out.write_all(&first.to_le_bytes())?;
        }
        out.write_all(filter)?;
        let mut header = Vec::with_capacity(HEADER as usize);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&self.records.to_le_bytes());
        header.extend_from_slice(&(R::SIZE as u64).to_le_bytes());
        header.extend_from_slice(&(filter.len() as u64).to_le_bytes());
        header.resize(HEADER as usize, 0);
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header)?;
        out.flush()?;
        out.get_ref().sync_all()
    }
}

impl<R> Drop for RunWriter<R> {
    fn drop(&mut self) {
        if self.out.is_some() {
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}
