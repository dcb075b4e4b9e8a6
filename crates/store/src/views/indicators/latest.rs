//! Where the newest version of each value lies in the logs, and what decides whether another is due.
//!
//! Flow: what changed since the last freeze in memory, the rest in sorted runs on disk, merged by the thread that follows.
//! Invariant: a record of a key holds all three collections, so that the newest record alone counts. Nothing is forgotten. All of it can be
//! told from the logs.

use super::Indicator;
use super::fold::{band, what};
use crate::codec::{Reader, put_difference, put_u32, put_varint};
use crate::views::row::NEVER;
use crate::views::run::{Record, Run, RunWriter, all_read};
use crate::views::seen::KeyHash;
use hashbrown::HashMap;
use model::{Pap, Timestamp, Tlp};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The newest version of a value in one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// When it was added.
    pub(super) added: Timestamp,
    /// Where it lies in the collection's log.
    pub(super) offset: u64,
    /// Second since 1970 until which it counts as active; [`NEVER`] where it does not decay.
    pub(super) valid_until: i64,
    /// Checksum of category and malware.
    pub(super) what: u32,
    /// Band of its confidence.
    pub(super) band: u8,
    /// What recipients may do.
    pub(super) pap: Pap,
    /// The strictest marking of what it was made of.
    pub(super) tlp: Tlp,
    /// Whether nothing was left of it.
    pub(super) revoked: bool,
}

impl Version {
    /// What is kept of a version that lies at `offset`.
    pub(super) fn of(indicator: &Indicator, offset: u64) -> Self {
        Self {
            added: indicator.added,
            offset,
            valid_until: indicator.valid_until.map_or(NEVER, Timestamp::seconds),
            what: what(indicator.category, indicator.malware.as_deref()),
            band: band(indicator.confidence),
            pap: indicator.pap,
            tlp: indicator.tlp,
            revoked: indicator.revoked,
        }
    }
}

/// The newest versions of one value, by collection.
pub(super) type Versions = [Option<Version>; 3];

/// The newest versions of one value as they stand in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latest {
    key: u128,
    versions: Versions,
}

/// Of a version's byte: two bits of the band, two of the PAP, three of the TLP, and this.
const REVOKED: u8 = 0x80;

impl Record for Latest {
    const TAG: u64 = 3;
    const FIRST: Self = Self { key: 0, versions: [None; 3] };

    fn key(&self) -> u128 {
        self.key
    }

    fn write(&self, before: &Self, out: &mut Vec<u8>) {
        let there = self.versions.iter().rev().fold(0, |bits, version| bits << 1 | u8::from(version.is_some()));
        out.push(there);
        let mut base = before.base();
        for version in self.versions.iter().flatten() {
            put_difference(out, version.added.micros(), base);
            put_varint(out, version.offset);
            put_difference(out, version.valid_until, version.added.seconds());
            put_u32(out, version.what);
            out.push(version.band | version.pap.number() << 2 | version.tlp.number() << 4 | if version.revoked { REVOKED } else { 0 });
            base = version.added.micros();
        }
    }

    fn read(reader: &mut Reader<'_>, key: u128, before: &Self) -> Option<Self> {
        let there = reader.u8()?;
        let mut versions = [None; 3];
        let mut base = before.base();
        for (number, slot) in versions.iter_mut().enumerate() {
            if there >> number & 1 == 0 {
                continue;
            }
            let added = Timestamp::from_micros(reader.difference(base)?);
            base = added.micros();
            let offset = reader.varint()?;
            let valid_until = reader.difference(added.seconds())?;
            let what = reader.u32()?;
            let state = reader.u8()?;
            let (band, pap, tlp) = (state & 3, Pap::from_number(state >> 2 & 3)?, Tlp::from_number(state >> 4 & 7)?);
            *slot = Some(Version { added, offset, valid_until, what, band, pap, tlp, revoked: state & REVOKED != 0 });
        }
        Some(Self { key, versions })
    }
}

impl Latest {
    /// A date near which the next record's may be.
    fn base(&self) -> i64 {
        self.versions.iter().flatten().next().map_or(0, |version| version.added.micros())
    }
}

/// Every tier. Written by the thread that follows alone.
#[derive(Debug, Default)]
pub(super) struct Newest {
    tiers: RwLock<Tiers>,
}

#[derive(Debug, Default)]
struct Tiers {
    active: HashMap<u128, Versions, KeyHash>,
    /// Newest first.
    runs: Arc<Vec<Arc<Run>>>,
}

impl Newest {
    /// An empty active part over runs, newest first.
    pub(super) fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { tiers: RwLock::new(Tiers { active: HashMap::default(), runs: Arc::new(runs) }) }
    }

    /// The newest versions of a key.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub(super) fn get(&self, key: u128) -> std::io::Result<Versions> {
        let runs = {
            let tiers = self.tiers.read();
            if let Some(versions) = tiers.active.get(&key) {
                return Ok(*versions);
            }
            tiers.runs.clone()
        };
        let mut found: Vec<Latest> = Vec::new();
        for run in runs.iter() {
            run.get(key, &mut found)?;
            if let Some(latest) = found.first() {
                return Ok(latest.versions);
            }
        }
        Ok([None; 3])
    }

    /// Replaces the newest versions of keys.
    pub(super) fn put(&self, keys: impl IntoIterator<Item = (u128, Versions)>) {
        self.tiers.write().active.extend(keys);
    }

    /// Keys in memory.
    pub(super) fn len(&self) -> usize {
        self.tiers.read().active.len()
    }

    /// The runs, newest first.
    pub(super) fn runs(&self) -> Arc<Vec<Arc<Run>>> {
        self.tiers.read().runs.clone()
    }

    /// Writes what is in memory as a run.
    ///
    /// # Errors
    /// An I/O error; nothing changed then.
    pub(super) fn freeze(&self, path: &Path) -> std::io::Result<()> {
        let mut all: Vec<Latest> = self.tiers.read().active.iter().map(|(&key, &versions)| Latest { key, versions }).collect();
        all.sort_unstable_by_key(|latest| latest.key);
        let mut writer = RunWriter::<Latest>::create(path, all.len() as u64)?;
        for latest in &all {
            writer.push(latest)?;
        }
        let run = Arc::new(writer.finish()?);
        let mut tiers = self.tiers.write();
        tiers.runs = Arc::new(std::iter::once(run).chain(tiers.runs.iter().cloned()).collect());
        tiers.active.clear();
        Ok(())
    }

    /// Merges neighbouring runs into one in their place. The files of what was merged stay for the caller to remove.
    ///
    /// # Errors
    /// An I/O error, `Interrupted` on `stop`; nothing changed then.
    pub(super) fn merge(&self, range: std::ops::Range<usize>, path: &Path, stop: &AtomicBool) -> std::io::Result<()> {
        let runs = self.runs();
        let chosen = runs.get(range.clone()).unwrap_or_default();
        let merged = Arc::new(merge(chosen, path, stop)?);
        let mut left: Vec<Arc<Run>> = runs.as_ref().clone();
        drop(left.splice(range, std::iter::once(merged)));
        self.tiers.write().runs = Arc::new(left);
        Ok(())
    }
}

/// Merges runs, newest first: of each key the newest record.
fn merge(runs: &[Arc<Run>], path: &Path, stop: &AtomicBool) -> std::io::Result<Run> {
    let read = Arc::new(AtomicU64::new(0));
    let mut sources = Vec::new();
    for run in runs {
        sources.push(run.scan::<Latest>()?.counting(&read).peekable());
    }
    let mut writer = RunWriter::<Latest>::create(path, runs.iter().map(|run| run.keys()).sum())?;
    while let Some(key) = sources.iter_mut().filter_map(|source| source.peek().map(|latest| latest.key)).min() {
        if stop.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let mut newest: Option<Latest> = None;
        for source in &mut sources {
            while let Some(latest) = source.next_if(|latest| latest.key == key) {
                newest.get_or_insert(latest);
            }
        }
        if let Some(latest) = newest {
            writer.push(&latest)?;
        }
    }
    all_read(&read, runs.iter().map(|run| run.records()).sum())?;
    writer.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = Version> {
        let words = (any::<u32>(), 0_u8..4, 0_u8..4, 0_u8..5, any::<bool>());
        let places = (0_i64..4_000_000_000_000_000, 0_u64..1 << 50, prop_oneof![Just(NEVER), 0..NEVER]);
        (places, words).prop_map(|((added, offset, valid_until), (what, band, pap, tlp, revoked))| {
            let (pap, tlp) = (Pap::from_number(pap).unwrap(), Tlp::from_number(tlp).unwrap());
            Version { added: Timestamp::from_micros(added), offset, valid_until, what, band, pap, tlp, revoked }
        })
    }

    fn any_versions() -> impl Strategy<Value = Versions> {
        prop::array::uniform3(proptest::option::of(any_version()))
    }

    proptest! {
        #[test]
        fn a_record_comes_back_from_its_bytes_whatever_record_was_before(versions in any_versions(), before in any_versions()) {
            let (latest, before) = (Latest { key: 7, versions }, Latest { key: 3, versions: before });
            let mut out = Vec::new();
            latest.write(&before, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Latest::read(&mut reader, 7, &before), Some(latest));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn the_newest_record_of_a_key_counts_before_and_after_freezing_and_merging(
            rounds in proptest::collection::vec(proptest::collection::vec((0_u128..12, any_versions()), 1..12), 1..6)
        ) {
            let folder = tempfile::tempdir().unwrap();
            let newest = Newest::default();
            let mut expected: HashMap<u128, Versions> = HashMap::new();
            // Keys are spread over the whole range, as keyed hashes are.
            let spread = |key: u128| key << 124 | key;
            for (number, round) in rounds.iter().enumerate() {
                newest.put(round.iter().map(|&(key, versions)| (spread(key), versions)));
                expected.extend(round.iter().copied());
                newest.freeze(&folder.path().join(format!("latest-{number}.run"))).unwrap();
            }
            let check = || (0..12).all(|key| newest.get(spread(key)).unwrap() == expected.get(&key).copied().unwrap_or([None; 3]));
            prop_assert!(check());
            newest.merge(0..rounds.len(), &folder.path().join("latest-merged.run"), &AtomicBool::new(false)).unwrap();
            prop_assert_eq!(newest.runs().len(), 1);
            prop_assert!(check());
        }
    }
}
