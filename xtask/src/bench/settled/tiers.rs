//! The tiers under test: our runs, and fjall in two ways.
//!
//! Invariant: fjall gets what it does best with: sorted input, its own compression, a cache larger than what the runs keep in memory, background
//! threads of its own while ours write and merge in one, no sync of its journal, and rows in the encoding of the runs.
//! Not here: what is measured of them (`measure`).

use super::Tier;
use crate::bench::process;
use anyhow::{Context, bail};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::views::Row;
use store::views::observables::{Observables, merge, write_frozen};
use store::views::recent::Recent;
use store::views::run::{Record, Run, read_alone};

/// As many runs of like size are merged into one, as in `store::maintenance`.
const FAN_IN: usize = 4;
/// Bytes of fjall's block cache.
const CACHE: u64 = 256 << 20;
/// Rows of a batch where rows are written one by one.
const BATCH: usize = 10_000;
/// So long nothing may happen before fjall counts as at rest; not part of a measured time.
const QUIET: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(2);
/// It comes to rest within this.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// What takes frozen rows and finds them again.
pub trait Settled {
    /// Takes a frozen part in; gives the time until all work that follows from it was done.
    fn settle(&mut self, frozen: &Recent) -> anyhow::Result<Duration>;
    /// Puts on disk what is not there yet; gives the time.
    fn finish(&mut self) -> anyhow::Result<Duration>;
    /// The rows of a key, one for a class.
    fn get(&self, key: u128) -> anyhow::Result<Vec<Row>>;
    /// Bytes on disk.
    fn disk(&self) -> anyhow::Result<u64>;
}

/// An empty tier in a folder.
pub fn open(tier: Tier, folder: &Path) -> anyhow::Result<Box<dyn Settled>> {
    let settled: Box<dyn Settled> = match tier {
        Tier::Runs => Box::new(Runs::new(folder)),
        Tier::Append => Box::new(Append { engine: Engine::open(folder)?, freezes: 0 }),
        Tier::Modify => Box::new(Modify { engine: Engine::open(folder)? }),
    };
    Ok(settled)
}

/// Our runs, written and merged as `store::maintenance` does.
struct Runs {
    folder: PathBuf,
    /// Newest first.
    runs: Vec<Arc<Run>>,
    written: u64,
    view: Observables,
}

impl Runs {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), runs: Vec::new(), written: 0, view: Observables::new(1, Vec::new()) }
    }

    fn next_path(&mut self) -> PathBuf {
        self.written += 1;
        self.folder.join(format!("observables-{:08}.run", self.written))
    }
}

impl Settled for Runs {
    fn settle(&mut self, frozen: &Recent) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let path = self.next_path();
        self.runs.insert(0, Arc::new(write_frozen(frozen, &path)?));
        while let Some(range) = due(&self.runs) {
            let path = self.next_path();
            let merged = merge(self.runs.get(range.clone()).unwrap_or(&[]), range.end == self.runs.len(), &path)?;
            for input in self.runs.splice(range, [Arc::new(merged)]) {
                std::fs::remove_file(input.path())?;
            }
        }
        self.view.install(self.runs.clone(), false);
        Ok(began.elapsed())
    }

    fn finish(&mut self) -> anyhow::Result<Duration> {
        // Every freeze was synced when it was written.
        Ok(Duration::ZERO)
    }

    fn get(&self, key: u128) -> anyhow::Result<Vec<Row>> {
        Ok(self.view.get(key)?)
    }

    fn disk(&self) -> anyhow::Result<u64> {
        process::disk(&self.folder)
    }
}

/// The first neighbours, newest first, that are of like size and enough of them; the rule of `store::maintenance`.
fn due(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    let level = |run: &Arc<Run>| run.records().max(1).ilog2() / 2;
    (0..runs.len()).find_map(|start| {
        let rest = runs.get(start..)?;
        let first = level(rest.first()?);
        let length = rest.iter().take_while(|run| level(run) <= first).count();
        (length >= FAN_IN).then_some(start..start + length)
    })
}

/// fjall with one keyspace.
struct Engine {
    keyspace: Keyspace,
    database: Database,
}

impl Engine {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let database = Database::builder(folder.join("fjall")).cache_size(CACHE).open()?;
        let keyspace = database.keyspace("observables", KeyspaceCreateOptions::default)?;
        Ok(Self { keyspace, database })
    }

    /// Waits until nothing is flushed or compacted any more; gives the moment from which on that was so.
    fn at_rest(&self) -> anyhow::Result<Instant> {
        let began = Instant::now();
        let mut since = began;
        let mut compactions = self.database.compactions_completed();
        while since.elapsed() < QUIET {
            std::thread::sleep(LOOK);
            let now = self.database.compactions_completed();
            if now != compactions || self.database.outstanding_flushes() > 0 || self.database.active_compactions() > 0 {
                compactions = now;
                since = Instant::now();
            }
            if began.elapsed() > PATIENCE {
                bail!("fjall has not come to rest in {} s", PATIENCE.as_secs());
            }
        }
        Ok(since)
    }

    /// The rows under a key's prefix, those of one class folded into one.
    fn get(&self, key: u128) -> anyhow::Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        for guard in self.keyspace.prefix(key.to_be_bytes()) {
            let (place, value) = guard.into_inner()?;
            let class = place.get(16..20).and_then(|four| <[u8; 4]>::try_from(four).ok()).context("a key is too short")?;
            let row = read_value(key, !u32::from_be_bytes(class), &value)?;
            match rows.last_mut() {
                Some(last) if last.class == row.class => last.merge(&row),
                _ => rows.push(row),
            }
        }
        Ok(rows)
    }

    /// Bytes of its tables; the journal, which is bounded, is left out.
    fn disk(&self) -> u64 {
        self.keyspace.disk_space()
    }
}

/// Key and class. A frozen part is ordered by falling class, so the class is turned round: its rows come in the engine's order.
fn write_place(row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&row.key.to_be_bytes());
    out.extend_from_slice(&(!row.class).to_be_bytes());
}

/// A row as the runs write it; the class stands in the key already.
fn write_value(row: &Row, out: &mut Vec<u8>) {
    out.clear();
    Row { class: 0, ..*row }.write(&Row::FIRST, out);
}

fn read_value(key: u128, class: u32, value: &[u8]) -> anyhow::Result<Row> {
    let row: Row = read_alone(key, value).context("a row does not come back")?;
    Ok(Row { class, ..row })
}

/// A row for each key, class and freeze.
struct Append {
    engine: Engine,
    freezes: u32,
}

impl Settled for Append {
    fn settle(&mut self, frozen: &Recent) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.freezes += 1;
        let (mut place, mut value) = (Vec::new(), Vec::new());
        let mut ingestion = self.engine.keyspace.start_ingestion()?;
        for shard in 0..frozen.shards() {
            for row in &frozen.sorted_shard(shard) {
                write_place(row, &mut place);
                place.extend_from_slice(&self.freezes.to_be_bytes());
                write_value(row, &mut value);
                ingestion.write(place.as_slice(), value.as_slice())?;
            }
        }
        ingestion.finish()?;
        Ok(self.engine.at_rest()?.duration_since(began))
    }

    fn finish(&mut self) -> anyhow::Result<Duration> {
        // What is ingested is in tables at once.
        Ok(Duration::ZERO)
    }

    fn get(&self, key: u128) -> anyhow::Result<Vec<Row>> {
        self.engine.get(key)
    }

    fn disk(&self) -> anyhow::Result<u64> {
        Ok(self.engine.disk())
    }
}

/// One row for a key and class.
struct Modify {
    engine: Engine,
}

impl Settled for Modify {
    fn settle(&mut self, frozen: &Recent) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let (mut place, mut value) = (Vec::new(), Vec::new());
        for shard in 0..frozen.shards() {
            for rows in frozen.sorted_shard(shard).chunks(BATCH) {
                let mut batch = self.engine.database.batch();
                for row in rows {
                    let mut merged = *row;
                    write_place(row, &mut place);
                    if let Some(before) = self.engine.keyspace.get(place.as_slice())? {
                        merged.merge(&read_value(row.key, row.class, &before)?);
                    }
                    write_value(&merged, &mut value);
                    batch.insert(&self.engine.keyspace, place.as_slice(), value.as_slice());
                }
                batch.commit()?;
            }
        }
        Ok(self.engine.at_rest()?.duration_since(began))
    }

    fn finish(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.engine.keyspace.rotate_memtable_and_wait()?;
        Ok(self.engine.at_rest()?.duration_since(began))
    }

    fn get(&self, key: u128) -> anyhow::Result<Vec<Row>> {
        self.engine.get(key)
    }

    fn disk(&self) -> anyhow::Result<u64> {
        Ok(self.engine.disk())
    }
}
