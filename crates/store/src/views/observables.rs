//! The observables view: aggregate rows by key, the recent part in memory, the rest in sorted runs on disk.
//!
//! Flow: `apply` adds rows to the active part; when it is full it is frozen, written as a run in the background, and runs of like size
//! are merged.
//! Invariant: an answer is the fold of every tier, newest first, down to the first that voids the older ones.

use super::recent::Recent;
use super::row::{RESET, Row};
use super::run::{Run, RunWriter, Scan, all_read};
use hashbrown::HashSet;
use model::Seq;
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Every tier of the observables.
#[derive(Debug)]
pub struct Observables {
    tiers: RwLock<Tiers>,
    /// Keys left out of answers while their rows are being recomputed.
    withheld: RwLock<HashSet<u128>>,
    /// A part that was written, emptied: the next one need not ask the system for memory under load.
    spare: Mutex<Option<Recent>>,
    /// Rows that a part is made for.
    rows: usize,
}

#[derive(Debug, Clone)]
struct Tiers {
    active: Arc<Recent>,
    frozen: Option<Arc<Recent>>,
    /// Newest first.
    runs: Arc<Vec<Arc<Run>>>,
}

impl Observables {
    /// A view with an empty active part of about `rows` rows over the runs of a checkpoint.
    pub fn new(rows: usize, runs: Vec<Arc<Run>>) -> Self {
        Self {
            tiers: RwLock::new(Tiers { active: Arc::new(Recent::with_capacity(rows)), frozen: None, runs: Arc::new(runs) }),
            withheld: RwLock::new(HashSet::new()),
            spare: Mutex::new(None),
            rows,
        }
    }

    /// The part that takes rows in now.
    pub fn active(&self) -> Arc<Recent> {
        self.tiers.read().active.clone()
    }

    /// Freezes the active part; `None` where one is still being written.
    pub fn freeze(&self) -> Option<Arc<Recent>> {
        let mut tiers = self.tiers.write();
        if tiers.frozen.is_some() {
            return None;
        }
        let empty = self.spare.lock().take().unwrap_or_else(|| Recent::with_capacity(self.rows));
        let full = std::mem::replace(&mut tiers.active, Arc::new(empty));
        tiers.frozen = Some(full.clone());
        Some(full)
    }

    /// Makes the next part ready while the active one fills, so that freezing it does not wait for memory.
    pub fn prepare_spare(&self) {
        let filling = self.active().rows() >= self.rows / 4;
        if filling && self.tiers.read().frozen.is_none() && self.spare.lock().is_none() {
            let spare = Recent::with_capacity(self.rows);
            *self.spare.lock() = Some(spare);
        }
    }

    /// Puts new runs in place and, with them, lets go of the frozen part.
    pub fn install(&self, runs: Vec<Arc<Run>>, frozen_written: bool) {
        let mut tiers = self.tiers.write();
        tiers.runs = Arc::new(runs);
        let written = if frozen_written { tiers.frozen.take() } else { None };
        drop(tiers);
        // Emptied here, outside the lock. Who still reads it keeps it, and the next part is made new.
        if let Some(mut emptied) = written.and_then(Arc::into_inner) {
            emptied.clear();
            *self.spare.lock() = Some(emptied);
        }
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Arc<Vec<Arc<Run>>> {
        self.tiers.read().runs.clone()
    }

    /// Leaves keys out of answers until [`Observables::replace`] brings their rows anew.
    pub fn withhold(&self, keys: impl IntoIterator<Item = u128>) {
        self.withheld.write().extend(keys);
    }

    /// The keys that are left out of answers now.
    pub fn withheld(&self) -> HashSet<u128> {
        self.withheld.read().clone()
    }

    /// Whether a key is left out of answers now.
    pub(crate) fn is_withheld(&self, key: u128) -> bool {
        self.withheld.read().contains(&key)
    }

    /// Replaces all that is known of a key and lets it be answered again.
    pub fn replace(&self, key: u128, rows: &[Row]) {
        self.active().replace(key, rows);
        self.withheld.write().remove(&key);
    }

    /// The rows of a key, one per class. Empty for a key that is unknown or withheld.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub fn get(&self, key: u128) -> std::io::Result<Vec<Row>> {
        Ok(self.get_unless_withheld(key)?.unwrap_or_default())
    }

    /// The rows of a key as [`Observables::get`] gives them; `None` while it is withheld.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub(crate) fn get_unless_withheld(&self, key: u128) -> std::io::Result<Option<Vec<Row>>> {
        if self.is_withheld(key) {
            return Ok(None);
        }
        let mut rows = Vec::new();
        self.rows(key, 0, &mut rows)?;
        Ok(Some(rows))
    }

    /// As [`Observables::get`], appended to `rows`, which is empty; up to `untidy` rows a class may have several of them, one from each tier.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub fn rows(&self, key: u128, untidy: usize, rows: &mut Vec<Row>) -> std::io::Result<()> {
        if self.is_withheld(key) {
            return Ok(());
        }
        self.known(key, rows)?;
        if rows.len() > untidy {
            fold(rows);
        }
        Ok(())
    }

    /// Between which places all events of a key lie that are in any row of it, also while it is withheld; `None` where there is no row.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub(crate) fn span(&self, key: u128) -> std::io::Result<Option<(Seq, Seq)>> {
        let mut rows = Vec::new();
        self.known(key, &mut rows)?;
        Ok(rows.iter().map(|row| (row.first_seq, row.last_seq)).reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))))
    }

    /// The rows of all tiers, down to the first that voids the older ones.
    fn known(&self, key: u128, rows: &mut Vec<Row>) -> std::io::Result<()> {
        let tiers = self.tiers.read().clone();
        let mut void = tiers.active.get(key, rows);
        if !void && let Some(frozen) = &tiers.frozen {
            void = frozen.get(key, rows);
        }
        for run in tiers.runs.iter() {
            if void {
                break;
            }
            let start = rows.len();
            run.get(key, rows)?;
            void = rows.get(start..).is_some_and(|part| part.iter().any(|row| row.class == RESET));
        }
        rows.retain(counts);
        Ok(())
    }

    /// Every key with its rows, in order of key. What came after the call may or may not be there.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub fn scan(&self) -> std::io::Result<Groups> {
        let tiers = self.tiers.read().clone();
        let mut sources: Vec<Box<dyn Iterator<Item = Row> + Send>> = vec![Box::new(tiers.active.sorted().into_iter())];
        if let Some(frozen) = &tiers.frozen {
            sources.push(Box::new(frozen.sorted().into_iter()));
        }
        for run in tiers.runs.iter() {
            sources.push(Box::new(run.scan::<Row>()?));
        }
        Ok(Groups::new(sources))
    }
}

/// Whether a row tells of events.
fn counts(row: &Row) -> bool {
    row.class != RESET && row.events > 0
}

/// One row per class.
fn fold(rows: &mut Vec<Row>) {
    rows.sort_unstable_by_key(|row| row.class);
    rows.dedup_by(|later, kept| {
        let same = later.class == kept.class;
        if same {
            kept.merge(later);
        }
        same
    });
}

/// Merges sorted sources into groups of one key each.
pub struct Groups {
    sources: Vec<std::iter::Peekable<Box<dyn Iterator<Item = Row> + Send>>>,
}

impl Groups {
    /// Merges sources, newest first.
    pub fn new(sources: Vec<Box<dyn Iterator<Item = Row> + Send>>) -> Self {
        Self { sources: sources.into_iter().map(Iterator::peekable).collect() }
    }

    /// The next key's rows and whether one of them voids tiers older than all sources.
    fn next_group(&mut self) -> Option<(u128, Vec<Row>, bool)> {
        let key = self.sources.iter_mut().filter_map(|source| source.peek().map(|row| row.key)).min()?;
        let mut rows = Vec::new();
        let mut void = false;
        for source in &mut self.sources {
            let mut voids = false;
            while let Some(row) = source.next_if(|row| row.key == key) {
                if void {
                    continue;
                }
                if row.class == RESET {
                    voids = true;
                } else {
                    rows.push(row);
                }
            }
            void |= voids;
        }
        rows.retain(counts);
        fold(&mut rows);
        Some((key, rows, void))
    }
}

impl Iterator for Groups {
    type Item = (u128, Vec<Row>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, rows, _) = self.next_group()?;
            if !rows.is_empty() {
                return Some((key, rows));
            }
        }
    }
}

/// Writes the frozen part as a run.
///
/// # Errors
/// An I/O error.
pub fn write_frozen(frozen: &Recent, path: &Path) -> std::io::Result<Run> {
    let mut writer = RunWriter::<Row>::create(path, frozen.keys() as u64)?;
    // Shard by shard: less memory, and breath for the threads that answer.
    for shard in 0..frozen.shards() {
        for row in &frozen.sorted_shard(shard) {
            writer.push(row)?;
        }
        std::thread::yield_now();
    }
    writer.finish()
}

/// Merges runs (newest first) into one. With `oldest` none older remain, so that voiding rows are dropped.
///
/// # Errors
/// An I/O error.
pub fn merge(runs: &[Arc<Run>], oldest: bool, path: &Path) -> std::io::Result<Run> {
    let mut sources: Vec<Box<dyn Iterator<Item = Row> + Send>> = Vec::new();
    let read = Arc::new(AtomicU64::new(0));
    for run in runs {
        let scan: Scan<Row> = run.scan()?;
        sources.push(Box::new(scan.counting(&read)));
    }
    let mut groups = Groups::new(sources);
    let mut writer = RunWriter::<Row>::create(path, runs.iter().map(|run| run.keys()).sum())?;
    while let Some((key, rows, void)) = groups.next_group() {
        if void && !oldest {
            writer.push(&Row::reset(key))?;
        }
        for row in &rows {
            writer.push(row)?;
        }
    }
    all_read(&read, runs.iter().map(|run| run.records()).sum())?;
    writer.finish()
}
