//! What came before: senders' ids, list entries and idempotency keys, so that sending again changes nothing.
//!
//! Invariant: a key is remembered for at least its window; forgetting later than that is harmless because the window is checked too.

use super::run::{Record, Run, RunWriter};
use crate::codec::{Reader, put_difference, put_varint};
use hashbrown::HashMap;
use model::Timestamp;
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One remembered key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Key of sender and id, list entry, or idempotency key.
    pub key: u128,
    /// When it was taken last.
    pub received: Timestamp,
    /// For idempotency keys and their lines: what `coverage` remembers of them.
    pub taken: u64,
}

impl Record for Mark {
    const TAG: u64 = 2;
    const FIRST: Self = Self { key: 0, received: Timestamp::from_micros(0), taken: 0 };

    fn key(&self) -> u128 {
        self.key
    }

    fn write(&self, before: &Self, out: &mut Vec<u8>) {
        put_difference(out, self.received.micros(), before.received.micros());
        put_varint(out, self.taken);
    }

    fn read(reader: &mut Reader<'_>, key: u128, before: &Self) -> Option<Self> {
        let received = Timestamp::from_micros(reader.difference(before.received.micros())?);
        Some(Self { key, received, taken: reader.varint()? })
    }
}

/// Marks in memory.
pub type Marks = HashMap<u128, (Timestamp, u64), KeyHash>;

/// Keys are uniform already.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyHash;

impl std::hash::BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(0)
    }
}

/// Takes the low half of a key.
#[derive(Debug)]
pub struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The marks that no longer change. Shared with the threads that write and merge runs, so that a frozen part goes in the same instant in
/// which its run comes.
#[derive(Debug, Default)]
pub struct Settled {
    tiers: RwLock<(Option<Arc<Marks>>, Vec<Arc<Run>>)>,
    damaged: AtomicBool,
}

impl Settled {
    /// Settled marks over the runs of a checkpoint, newest first.
    pub fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { tiers: RwLock::new((None, runs)), damaged: AtomicBool::new(false) }
    }

    /// Puts new runs in place and, where the frozen part is among them, lets go of it.
    pub fn install(&self, runs: Vec<Arc<Run>>, frozen_written: bool) {
        let mut tiers = self.tiers.write();
        tiers.1 = runs;
        let written = if frozen_written { tiers.0.take() } else { None };
        drop(tiers);
        // As for the rows: outside the lock.
        drop(written);
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.tiers.read().1.clone()
    }

    /// Whether a page was found damaged: nothing can be taken any more until the views are made anew.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn get(&self, key: u128) -> std::io::Result<Option<(Timestamp, u64)>> {
        let tiers = self.tiers.read();
        if let Some(mark) = tiers.0.as_ref().and_then(|frozen| frozen.get(&key)) {
            return Ok(Some(*mark));
        }
        let mut found: Vec<Mark> = Vec::new();
        for run in &tiers.1 {
            run.get(key, &mut found)?;
            if let Some(mark) = found.first() {
                return Ok(Some((mark.received, mark.taken)));
            }
        }
        Ok(None)
    }
}

/// Every tier of the marks. Written by the apply thread alone.
#[derive(Debug, Default)]
pub struct Seen {
    active: Marks,
    /// What no longer changes.
    pub settled: Arc<Settled>,
}

impl Seen {
    /// Marks over the runs of a checkpoint, newest first.
    pub fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { active: Marks::default(), settled: Arc::new(Settled::new(runs)) }
    }

    /// Marks in memory that are not frozen.
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Whether nothing was marked since the last freeze.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// The newest mark of a key. A run that cannot be read is tried again until it can: half an answer would merge what is new or take
    /// what came before.
    pub fn get(&self, key: u128) -> Option<(Timestamp, u64)> {
        if let Some(mark) = self.active.get(&key) {
            return Some(*mark);
        }
        loop {
            match self.settled.get(key) {
                Ok(mark) => return mark,
                Err(error) => {
                    if error.kind() == std::io::ErrorKind::InvalidData && !self.settled.damaged.swap(true, Ordering::Relaxed) {
                        tracing::error!("a run of marks is damaged: nothing is taken any more; stop the hub and run `bongsu rebuild`");
                    }
                    tracing::error!(%error, "marks cannot be read, trying again");
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }

    /// Remembers a key.
    pub fn set(&mut self, key: u128, received: Timestamp, taken: u64) {
        self.active.insert(key, (received, taken));
    }

    /// Moves what was marked since the last call among the marks that no longer change, and gives it. For marks that are never written.
    pub(super) fn take_new(&mut self) -> Vec<Mark> {
        let new = std::mem::take(&mut self.active);
        let marks = new.iter().map(|(&key, &(received, taken))| Mark { key, received, taken }).collect();
        let mut tiers = self.settled.tiers.write();
        Arc::make_mut(tiers.0.get_or_insert_with(Arc::default)).extend(new);
        drop(tiers);
        marks
    }

    /// Freezes the active part. Called only once the part before has been written.
    pub fn freeze(&mut self) -> Arc<Marks> {
        // As large as the one before: a table that doubles under load stands still meanwhile.
        let next = Marks::with_capacity_and_hasher(self.active.len() + self.active.len() / 8, KeyHash);
        let full = Arc::new(std::mem::replace(&mut self.active, next));
        self.settled.tiers.write().0 = Some(full.clone());
        full
    }
}

/// Writes frozen marks as a run.
///
/// # Errors
/// An I/O error.
pub fn write_frozen(frozen: &Marks, path: &Path) -> std::io::Result<Run> {
    let mut marks: Vec<Mark> = frozen.iter().map(|(&key, &(received, taken))| Mark { key, received, taken }).collect();
    marks.sort_unstable_by_key(|mark| mark.key);
    let mut writer = RunWriter::<Mark>::create(path, marks.len() as u64)?;
    for mark in &marks {
        writer.push(mark)?;
    }
    writer.finish()
}

/// Merges runs (newest first) into one, forgetting marks from before `keep_from`.
///
/// # Errors
/// An I/O error.
pub fn merge(runs: &[Arc<Run>], keep_from: Timestamp, path: &Path) -> std::io::Result<Run> {
    let mut sources = Vec::new();
    let read = Arc::new(AtomicU64::new(0));
    for run in runs {
        sources.push(run.scan::<Mark>()?.counting(&read).peekable());
    }
    let mut writer = RunWriter::<Mark>::create(path, runs.iter().map(|run| run.keys()).sum())?;
    while let Some(key) = sources.iter_mut().filter_map(|source| source.peek().map(|mark| mark.key)).min() {
        let mut newest: Option<Mark> = None;
        for source in &mut sources {
            while let Some(mark) = source.next_if(|mark| mark.key == key) {
                newest.get_or_insert(mark);
            }
        }
        if let Some(mark) = newest.filter(|mark| mark.received >= keep_from) {
            writer.push(&mark)?;
        }
    }
    super::run::all_read(&read, runs.iter().map(|run| run.records()).sum())?;
    writer.finish()
}
