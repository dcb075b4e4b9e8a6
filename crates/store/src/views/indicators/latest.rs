//! Where the newest version of each value lies in the logs, and what decides whether another is due.
//!
//! Flow: what changed since the last freeze in memory, the rest in sorted runs on disk, merged by the thread that follows.
//! Invariant: what a run or the memory has of a key is all there was of it, in every collection, so that the newest tier that knows it alone
//! counts. Nothing is forgotten. All of it can be told from the logs.

use super::fold::{band, what};
use super::{Collection, Indicator};
use crate::codec::{Reader, put_difference, put_u32, put_varint};
use crate::views::row::NEVER;
use crate::views::run::{Record, Run, RunWriter, all_read};
use crate::views::seen::KeyHash;
use hashbrown::HashMap;
use model::{OrgNo, Pap, Timestamp, Tlp};
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The newest version of a value in one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// The second in which it was added.
    pub(super) added: Timestamp,
    /// Where what it says lies.
    pub(super) place: u64,
    /// Second since 1970 until which it counts as active; [`NEVER`] where it does not decay.
    pub(super) valid_until: i64,
    /// Checksum of category, malware, techniques and vulnerabilities.
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
    /// What is kept of a version that lies at `place`. Its age counts in hours: whole seconds, rounded down, are never later than it was added.
    pub(super) fn of(indicator: &Indicator, place: u64) -> Self {
        Self {
            added: Timestamp::from_seconds(indicator.added.seconds()),
            place,
            valid_until: indicator.valid_until.map_or(NEVER, Timestamp::seconds),
            what: what(indicator.category, indicator.malware.as_deref(), &indicator.techniques, &indicator.cves),
            band: band(indicator.confidence),
            pap: indicator.pap,
            tlp: indicator.tlp,
            revoked: indicator.revoked,
        }
    }
}

/// The newest versions of one value, in order of their collections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Versions(SmallVec<[(Collection, Version); 3]>);

impl Versions {
    /// The one of a collection.
    pub(super) fn of(&self, collection: Collection) -> Option<&Version> {
        self.0.iter().find(|(of, _)| *of == collection).map(|(_, version)| version)
    }

    /// Each with its collection.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Collection, &Version)> {
        self.0.iter().map(|(collection, version)| (*collection, version))
    }

    /// Puts one in the place of what there was of its collection.
    pub(super) fn set(&mut self, collection: Collection, version: Version) {
        match self.0.binary_search_by_key(&collection, |(of, _)| *of) {
            Ok(place) => {
                if let Some(slot) = self.0.get_mut(place) {
                    slot.1 = version;
                }
            }
            Err(place) => self.0.insert(place, (collection, version)),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The collections that have one version, as they stand in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those for many, a bit for each; never none.
    Many(u8),
    /// That of an agreement.
    Agreement(OrgNo),
}

/// The newest version of one value in the collections that have it, as it stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latest {
    key: u128,
    of: Of,
    version: Version,
}

/// Of a record's first number: the lowest bit tells that an agreement's collection has it, this that it is the version of the record before of the key.
const SAME: u64 = 2;
/// Of a record's first number: it does not decay.
const LASTING: u64 = 4;
/// Bits of a record's first number before the collections.
const FLAGS: u32 = 3;
/// The second since 1970 from which dates of addition are counted: 1 January 2026. Earlier ones take more bytes.
const SINCE: i64 = 1_767_225_600;

/// Of a version's byte: two bits of the band, two of the PAP, three of the TLP, and this.
const REVOKED: u8 = 0x80;

/// What stands before the first version of a page.
const NOTHING: Version =
    Version { added: Timestamp::from_seconds(0), place: 0, valid_until: 0, what: 0, band: 0, pap: Pap::Clear, tlp: Tlp::Clear, revoked: false };

impl Latest {
    /// Whether it is the version of the record before, in other collections.
    fn repeats(&self, before: &Self) -> bool {
        self.key == before.key && self.version == before.version
    }
}

impl Record for Latest {
    /// 4 had each collection's version in a record of its own, 3 all of one value in one record.
    const TAG: u64 = 5;
    const FIRST: Self = Self { key: 0, of: Of::Many(1), version: NOTHING };

    fn key(&self) -> u128 {
        self.key
    }

    fn write(&self, before: &Self, out: &mut Vec<u8>) {
        let version = &self.version;
        let collections = match self.of {
            Of::Many(bits) => u64::from(bits) << FLAGS,
            Of::Agreement(partner) => u64::from(partner.0) << FLAGS | 1,
        };
        if self.repeats(before) {
            put_varint(out, collections | SAME);
            return;
        }
        let is_lasting = version.valid_until == NEVER;
        put_varint(out, collections | if is_lasting { LASTING } else { 0 });
        put_varint(out, version.added.seconds().wrapping_sub(SINCE) as u64);
        put_varint(out, version.place);
        if !is_lasting {
            put_difference(out, version.valid_until, version.added.seconds());
        }
        put_u32(out, version.what);
        out.push(version.band | version.pap.number() << 2 | version.tlp.number() << 4 | if version.revoked { REVOKED } else { 0 });
    }

    fn read(reader: &mut Reader<'_>, key: u128, before: &Self) -> Option<Self> {
        let first = reader.varint()?;
        let of = if first & 1 == 0 {
            Of::Many(u8::try_from(first >> FLAGS).ok().filter(|bits| (1..1 << Collection::ALL.len()).contains(bits))?)
        } else {
            Of::Agreement(OrgNo(u32::try_from(first >> FLAGS).ok()?))
        };
        if first & SAME != 0 {
            return (before.key == key).then_some(Self { key, of, version: before.version });
        }
        let added = Timestamp::from_seconds(SINCE.wrapping_add(reader.varint()? as i64));
        let place = reader.varint()?;
        let valid_until = if first & LASTING == 0 { reader.difference(added.seconds())? } else { NEVER };
        let what = reader.u32()?;
        let state = reader.u8()?;
        let (band, pap, tlp) = (state & 3, Pap::from_number(state >> 2 & 3)?, Tlp::from_number(state >> 4 & 7)?);
        let version = Version { added, place, valid_until, what, band, pap, tlp, revoked: state & REVOKED != 0 };
        Some(Self { key, of, version })
    }
}

/// Appends the records of one key: collections for many that have the same version share one.
fn put_records(key: u128, versions: &Versions, out: &mut Vec<Latest>) {
    let start = out.len();
    for (collection, version) in versions.iter() {
        let of = match collection {
            Collection::Agreement(partner) => Of::Agreement(partner),
            Collection::Clear | Collection::Green | Collection::Amber => Of::Many(1 << collection.number()),
        };
        let own = out.get_mut(start..).unwrap_or_default();
        let shared = own.iter_mut().find(|latest| latest.version == *version);
        match (shared, of) {
            (Some(Latest { of: Of::Many(bits), .. }), Of::Many(bit)) => *bits |= bit,
            _ => out.push(Latest { key, of, version: *version }),
        }
    }
}

/// Records of one key, as versions.
fn versions(records: &[Latest]) -> Versions {
    let mut versions = Versions::default();
    for latest in records {
        match latest.of {
            Of::Agreement(partner) => versions.set(Collection::Agreement(partner), latest.version),
            Of::Many(bits) => {
                let have = Collection::ALL.into_iter().filter(|collection| bits >> collection.number() & 1 == 1);
                have.for_each(|collection| versions.set(collection, latest.version));
            }
        }
    }
    versions
}

/// Every tier. Written by the thread that follows alone.
#[derive(Debug, Default)]
pub(super) struct Newest {
    tiers: RwLock<Tiers>,
}

#[derive(Debug, Default)]
struct Tiers {
    active: HashMap<u128, Versions, KeyHash>,
    /// Versions in the active part.
    held: usize,
    /// Newest first.
    runs: Arc<Vec<Arc<Run>>>,
}

impl Newest {
    /// An empty active part over runs, newest first.
    pub(super) fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { tiers: RwLock::new(Tiers { active: HashMap::default(), held: 0, runs: Arc::new(runs) }) }
    }

    /// The newest versions of a key.
    ///
    /// # Errors
    /// An I/O error of a run.
    pub(super) fn get(&self, key: u128) -> std::io::Result<Versions> {
        let runs = {
            let tiers = self.tiers.read();
            if let Some(versions) = tiers.active.get(&key) {
                return Ok(versions.clone());
            }
            tiers.runs.clone()
        };
        let mut found: Vec<Latest> = Vec::new();
        for run in runs.iter() {
            run.get(key, &mut found)?;
            if !found.is_empty() {
                return Ok(versions(&found));
            }
        }
        Ok(Versions::default())
    }

    /// Replaces the newest versions of keys.
    pub(super) fn put(&self, keys: impl IntoIterator<Item = (u128, Versions)>) {
        let mut tiers = self.tiers.write();
        let Tiers { active, held, .. } = &mut *tiers;
        for (key, versions) in keys {
            *held += versions.len();
            *held -= active.insert(key, versions).map_or(0, |before| before.len());
        }
    }

    /// Versions in memory.
    pub(super) fn held(&self) -> usize {
        self.tiers.read().held
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
        let mut all: Vec<Latest> = Vec::new();
        let keys = {
            let tiers = self.tiers.read();
            for (&key, versions) in &tiers.active {
                put_records(key, versions, &mut all);
            }
            tiers.active.len()
        };
        // Records of one key stay as they are, one behind another.
        all.sort_by_key(|latest| latest.key);
        let mut writer = RunWriter::<Latest>::create(path, keys as u64)?;
        for latest in &all {
            writer.push(latest)?;
        }
        let run = Arc::new(writer.finish()?);
        let mut tiers = self.tiers.write();
        tiers.runs = Arc::new(std::iter::once(run).chain(tiers.runs.iter().cloned()).collect());
        tiers.active.clear();
        tiers.held = 0;
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

/// Merges runs, newest first: of each key what the newest run that knows it has.
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
        let mut newest: SmallVec<[Latest; 4]> = SmallVec::new();
        for source in &mut sources {
            let known = !newest.is_empty();
            while let Some(latest) = source.next_if(|latest| latest.key == key) {
                if !known {
                    newest.push(latest);
                }
            }
        }
        for latest in &newest {
            writer.push(latest)?;
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
        let places = (-62_135_596_800_i64..253_402_300_800, 0_u64..1 << 50, prop_oneof![Just(NEVER), 0..NEVER]);
        (places, words).prop_map(|((added, place, valid_until), (what, band, pap, tlp, revoked))| {
            let (pap, tlp) = (Pap::from_number(pap).unwrap(), Tlp::from_number(tlp).unwrap());
            Version { added: Timestamp::from_seconds(added), place, valid_until, what, band, pap, tlp, revoked }
        })
    }

    fn any_collection() -> impl Strategy<Value = Collection> {
        prop_oneof![3 => proptest::sample::select(Collection::ALL.to_vec()), 2 => (0_u32..4).prop_map(|partner| Collection::Agreement(OrgNo(partner)))]
    }

    /// One of a collection at the least, as whatever is put has; often several have the same.
    fn any_versions() -> impl Strategy<Value = Versions> {
        let all = proptest::collection::vec((any_collection(), 0_usize..2), 1..6);
        (all, [any_version(), any_version()]).prop_map(|(all, some)| {
            let mut versions = Versions::default();
            all.into_iter().for_each(|(collection, which)| versions.set(collection, some[which]));
            versions
        })
    }

    fn any_latest() -> impl Strategy<Value = Latest> {
        let of = prop_oneof![(1_u8..8).prop_map(Of::Many), any::<u32>().prop_map(|partner| Of::Agreement(OrgNo(partner)))];
        (any::<u128>(), of, any_version()).prop_map(|(key, of, version)| Latest { key, of, version })
    }

    #[test]
    fn every_collection_has_a_number_and_a_title_of_its_own() {
        let all: Vec<Collection> = Collection::ALL.into_iter().chain([0, 1, u32::MAX].map(|partner| Collection::Agreement(OrgNo(partner)))).collect();
        for (place, collection) in all.iter().enumerate() {
            assert_eq!(Collection::from_number(collection.number()), Some(*collection));
            assert_eq!(Collection::from_title(&collection.title()), Some(*collection));
            assert!(all.iter().skip(place + 1).all(|other| other > collection && other.number() > collection.number()));
        }
        assert_eq!(Collection::from_number(u64::MAX), None);
        for title in ["", "events-red", "agreement-", "agreement-x", "agreement-007", "agreement-4294967296"] {
            assert_eq!(Collection::from_title(title), None, "{title}");
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_from_its_bytes_whatever_record_was_before(latest in any_latest(), before in any_latest()) {
            let mut out = Vec::new();
            latest.write(&before, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Latest::read(&mut reader, latest.key, &before), Some(latest));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_record_comes_back_behind_one_of_the_same_key_and_takes_two_bytes_where_it_says_the_same(first in any_latest(), second in any_latest()) {
            for version in [first.version, second.version] {
                let second = Latest { key: first.key, version, ..second };
                let mut out = Vec::new();
                second.write(&first, &mut out);
                prop_assert_eq!(Latest::read(&mut Reader::new(&out), first.key, &first), Some(second));
                if version == first.version && matches!(second.of, Of::Many(_) | Of::Agreement(OrgNo(0..2_048))) {
                    prop_assert!(out.len() <= 2);
                }
            }
        }

        #[test]
        fn broken_records_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40), key in any::<u128>(), before in any_latest()) {
            if let Some(latest) = Latest::read(&mut Reader::new(&bytes), key, &before) {
                prop_assert!(versions(&[latest]).len() > 0);
            }
        }

        #[test]
        fn versions_come_back_from_their_records_and_those_for_many_share_them(all in any_versions()) {
            let mut records = Vec::new();
            put_records(9, &all, &mut records);
            prop_assert_eq!(&versions(&records), &all);
            let shared: Vec<Version> = records.iter().filter(|latest| matches!(latest.of, Of::Many(_))).map(|latest| latest.version).collect();
            prop_assert!(shared.iter().enumerate().all(|(at, version)| !shared[..at].contains(version)));
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
                newest.put(round.iter().map(|(key, versions)| (spread(*key), versions.clone())));
                expected.extend(round.iter().cloned());
                newest.freeze(&folder.path().join(format!("latest-{number}.run"))).unwrap();
            }
            let check = || (0..12).all(|key| newest.get(spread(key)).unwrap() == expected.get(&key).cloned().unwrap_or_default());
            prop_assert!(check());
            newest.merge(0..rounds.len(), &folder.path().join("latest-merged.run"), &AtomicBool::new(false)).unwrap();
            prop_assert_eq!(newest.runs().len(), 1);
            prop_assert!(check());
        }
    }
}
