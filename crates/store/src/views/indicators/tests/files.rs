//! Facts of the log by itself: bodies, the rows of the three collections for many that name them, and what a crash leaves of both.

use super::super::block::place;
use super::super::bodies::{self, Bodies};
use super::super::growing;
use super::super::pending::Pending;
use super::super::rows::{ROW, Row, Rows, file_name, first_damage};
use super::super::{Collection, Indicator, MAX_ROOM};
use crate::views::Keys;
use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn keys() -> Keys {
    Keys::new([7; 32])
}

/// Bytes that were synced: of bodies, and of the rows of each collection.
type Synced = (u64, [u64; 3]);

const NOTHING: Synced = (0, [0; 3]);

struct Log {
    bodies: Bodies,
    rows: BTreeMap<Collection, Arc<Rows>>,
}

/// The collections that have the version with this number: some all three, some two, some one.
fn having(number: u64) -> &'static [Collection] {
    match number % 5 {
        0 => &Collection::ALL,
        1 | 2 => &[Collection::Green, Collection::Amber],
        3 => &[Collection::Amber],
        _ => &[Collection::Clear, Collection::Amber],
    }
}

fn version(number: u64, added: Timestamp) -> Indicator {
    let (kind, value) = match number % 3 {
        0 => (ObservableType::Ipv4, Text::from(std::net::Ipv4Addr::from(number as u32).to_string())),
        _ => (ObservableType::Domain, Text::from(format!("h{number}.{}net", "long-name.".repeat(number as usize % 5)))),
    };
    Indicator {
        collection: Collection::Amber,
        added,
        key: keys().observable(kind, &value),
        kind,
        value,
        created: added,
        revoked: number.is_multiple_of(7),
        category: Category::Phishing,
        malware: number.is_multiple_of(3).then(|| Text::from("Emotet")),
        pap: Pap::Green,
        tlp: Tlp::Green,
        confidence: number.is_multiple_of(2).then_some(50),
        reporters: 1,
        first_seen: added,
        last_seen: added,
        valid_until: Some(added),
        sectors: Vec::new(),
        techniques: if number.is_multiple_of(4) { vec![Text::from("T1190"), Text::from("T1566.001")] } else { Vec::new() },
        cves: if number.is_multiple_of(6) { vec![Text::from("CVE-2024-3400")] } else { Vec::new() },
        threats_before: if number.is_multiple_of(8) { 3 } else { 0 },
    }
}

impl Log {
    fn open(folder: &Path, synced: Synced) -> Option<Self> {
        let bodies = Bodies::open(folder, keys(), synced.0).unwrap()?;
        let mut rows = BTreeMap::new();
        for (collection, length) in Collection::ALL.into_iter().zip(synced.1) {
            rows.insert(collection, Arc::new(Rows::open(folder, collection, length, &bodies).unwrap()?));
        }
        bodies.settle(rows.values().map(|rows| rows.stand().named).max().unwrap().max(synced.0)).unwrap();
        Some(Self { bodies, rows })
    }

    fn synced(&self) -> Synced {
        (self.bodies.end(), Collection::ALL.map(|collection| self.rows[&collection].end()))
    }

    fn pending(&self) -> Pending {
        Pending::new(&self.bodies, self.rows.iter().map(|(collection, rows)| (*collection, rows.clone())))
    }

    /// Versions with these numbers, all at the same time by the clock, on their way.
    fn filled(&self, numbers: std::ops::Range<u64>) -> (Pending, Vec<Indicator>) {
        let mut pending = self.pending();
        let mut all = Vec::new();
        for number in numbers {
            let indicator = version(number, pending.next_added(NOW, MAX_ROOM));
            let placed = pending.add(&indicator, None).unwrap();
            having(number).iter().for_each(|collection| pending.name(*collection, placed));
            all.push(indicator);
        }
        (pending, all)
    }

    fn append(&self, numbers: std::ops::Range<u64>) -> Vec<Indicator> {
        let (mut pending, all) = self.filled(numbers);
        pending.write(&self.bodies).unwrap();
        pending.publish(&self.bodies);
        all
    }

    fn page(&self, collection: Collection, after: Option<Timestamp>, limit: usize) -> Vec<Indicator> {
        self.rows[&collection].page(&self.bodies, after, limit).unwrap()
    }

    fn pages(&self, collection: Collection, size: usize, mut between: impl FnMut()) -> Vec<Indicator> {
        let mut found: Vec<Indicator> = Vec::new();
        loop {
            let page = self.page(collection, found.last().map(|last| last.added), size);
            assert!(page.len() <= size);
            if page.is_empty() {
                return found;
            }
            found.extend(page);
            between();
        }
    }
}

/// Those of versions numbered from 0 on that a collection has.
fn of(all: &[Indicator], collection: Collection) -> Vec<Indicator> {
    let has = |number: usize| having(number as u64).contains(&collection);
    all.iter().enumerate().filter(|(number, _)| has(*number)).map(|(_, one)| Indicator { collection, ..one.clone() }).collect()
}

#[test]
fn page_by_page_gives_every_version_once_in_order_whatever_the_size_while_versions_are_added() {
    for size in [1, 2, 127, 128, 129, 300, 5_000] {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), NOTHING).unwrap();
        assert_eq!(log.page(Collection::Amber, None, size), []);
        let mut all = log.append(0..400);
        for collection in Collection::ALL {
            let found = log.pages(collection, size, || {
                let next = all.len() as u64;
                if next < 900 {
                    all.extend(log.append(next..next + 37));
                }
            });
            assert_eq!(found, of(&all, collection), "pages of {size}");
            assert_eq!(log.rows[&collection].stand().count, found.len() as u64);
        }
        assert!(all.windows(2).all(|two| two[0].added < two[1].added));
    }
}

#[test]
fn a_page_after_any_version_begins_with_the_next_before_and_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), NOTHING).unwrap();
    let mut all = log.append(0..500);
    let early = log.synced();
    for next in 500..520 {
        all.extend(log.append(next..next + 1));
    }
    let compare = |log: &Log| {
        for collection in Collection::ALL {
            let own = of(&all, collection);
            for (at, one) in own.iter().enumerate() {
                let between = Timestamp::from_micros(one.added.micros() + 1);
                for after in [one.added, between] {
                    assert_eq!(log.page(collection, Some(after), 3), own[at + 1..(at + 4).min(own.len())], "after version {at}");
                }
            }
            assert_eq!(log.page(collection, Some(Timestamp::MIN), 5_000), own);
        }
    };
    compare(&log);
    let late = log.synced();
    drop(log);
    for synced in [late, early, NOTHING] {
        let log = Log::open(folder.path(), synced).unwrap();
        compare(&log);
        assert_eq!(log.synced(), late);
    }
}

#[test]
fn pages_say_the_same_whether_bodies_are_shared_or_not_and_shared_ones_take_less_room() {
    let (shared_folder, apart_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (shared, apart) = (Log::open(shared_folder.path(), NOTHING).unwrap(), Log::open(apart_folder.path(), NOTHING).unwrap());
    shared.append(0..900);
    let mut pending = apart.pending();
    for number in 0..900 {
        for collection in having(number) {
            let placed = pending.add(&version(number, pending.next_added(NOW, MAX_ROOM)), None).unwrap();
            pending.name(*collection, placed);
        }
    }
    pending.write(&apart.bodies).unwrap();
    pending.publish(&apart.bodies);
    for collection in Collection::ALL {
        let said = |log: &Log, after: Option<Timestamp>| log.page(collection, after, 130).into_iter().map(|one| (one.key, one.value)).collect::<Vec<_>>();
        let (left, right) = (shared.pages(collection, 100, || ()), apart.pages(collection, 100, || ()));
        assert_eq!(left.len(), right.len());
        for (one, other) in left.iter().zip(&right) {
            assert_eq!(said(&shared, Some(one.added)), said(&apart, Some(other.added)));
        }
    }
    assert!(shared.bodies.end() < apart.bodies.end(), "{} bytes and {}", shared.bodies.end(), apart.bodies.end());
}

#[test]
fn a_walk_gives_the_place_and_the_key_of_every_version_from_any_row_on_and_each_leads_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), NOTHING).unwrap();
    let (mut pending, mut places) = (log.pending(), Vec::new());
    for number in 0..300 {
        let placed =
            pending.add(&version(number % 30, pending.next_added(NOW, MAX_ROOM)), (number as usize).checked_sub(30).map(|before| places[before])).unwrap();
        pending.name(Collection::Green, placed);
        places.push(placed.place);
    }
    pending.write(&log.bodies).unwrap();
    pending.publish(&log.bodies);
    assert!(places.is_sorted());
    let rows = &log.rows[&Collection::Green];
    let mut from = growing::START;
    let mut left = places.clone();
    while from < rows.end() {
        assert!(rows.has_row_at(from) && !rows.has_row_at(from + 1));
        let (mut keys_found, mut found) = (Vec::new(), Vec::new());
        let mut first = None;
        let reached = rows.walk(&log.bodies, from, |walked| {
            walked.put_keys(&mut keys_found).unwrap();
            found.extend(walked.versions().map(Result::unwrap));
            assert_eq!(walked.last_added().unwrap(), found.last().unwrap().1.added);
            first.get_or_insert((walked.next, found.len()));
            Ok(true)
        });
        assert_eq!(reached.unwrap(), rows.end());
        assert_eq!(found.iter().map(|(place, one)| (*place, one.key)).collect::<Vec<_>>(), keys_found);
        assert_eq!(found.iter().map(|(place, _)| *place).collect::<Vec<_>>(), left);
        // One that wants no more is where it was.
        assert_eq!(rows.walk(&log.bodies, from, |_| Ok(false)).unwrap(), from);
        let (next, taken) = first.unwrap();
        left.drain(..taken);
        from = next;
    }
    for (number, &at) in places.iter().enumerate() {
        let entry = log.bodies.entry(at, Collection::Green).unwrap();
        assert_eq!((entry.indicator.key, entry.previous), (version(number as u64 % 30, NOW).key, number.checked_sub(30).map(|before| places[before])));
    }
    for nowhere in [0, place(log.bodies.end(), 0), u64::MAX] {
        let refused = log.bodies.entry(nowhere, Collection::Green).map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::InvalidData), "{nowhere}");
    }
}

#[test]
fn a_torn_tail_is_cut_and_what_was_synced_is_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name(Collection::Amber));
    let bodies_path = folder.path().join(bodies::FILE);
    let log = Log::open(folder.path(), NOTHING).unwrap();
    let mut all = log.append(0..200);
    let synced = log.synced();
    log.append(200..201);
    drop(log);
    let (whole, whole_bodies) = (std::fs::read(&path).unwrap(), std::fs::read(&bodies_path).unwrap());
    let amber = synced.1[2];
    let cut = |rows: &[u8], blocks: &[u8]| {
        std::fs::write(&path, rows).unwrap();
        std::fs::write(&bodies_path, blocks).unwrap();
        let log = Log::open(folder.path(), synced).unwrap();
        assert_eq!(log.rows[&Collection::Amber].stand().count, 200);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), amber);
    };
    for length in amber..whole.len() as u64 {
        cut(&whole[..length as usize], &whole_bodies);
    }
    for length in synced.0..whole_bodies.len() as u64 {
        cut(&whole, &whole_bodies[..length as usize]);
    }
    // A file system may leave zeros where bytes were to be.
    cut(&[&whole[..amber as usize], [0; 300].as_slice()].concat(), &whole_bodies);
    cut(&whole, &[&whole_bodies[..synced.0 as usize], [0; 3_000].as_slice()].concat());
    // Number 200 was in the other collections, too, whose rows were cut with its block.
    let log = Log::open(folder.path(), synced).unwrap();
    assert_eq!(log.synced(), synced);
    all.extend(log.append(200..300));
    assert_eq!(log.pages(Collection::Amber, 50, || ()), of(&all, Collection::Amber));
    let synced = log.synced();
    drop(log);

    let sound = std::fs::read(&path).unwrap();
    let damage = |synced: Synced| {
        let bodies = Bodies::open_to_check(folder.path()).unwrap().unwrap();
        first_damage(folder.path(), Collection::Amber, synced.1[2], &bodies).unwrap()
    };
    assert_eq!(damage(synced), None);
    let mut damaged = sound.clone();
    let middle = growing::START as usize + ROW as usize + 9;
    damaged[middle] ^= 4;
    std::fs::write(&path, &damaged).unwrap();
    assert_eq!(damage(synced), Some(growing::START + ROW));
    std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    assert!(Log::open(folder.path(), synced).is_none());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), sound.len() as u64 - 1);
    std::fs::write(&path, &sound).unwrap();
    let blocks = std::fs::read(&bodies_path).unwrap();
    std::fs::write(&bodies_path, &blocks[..blocks.len() - 1]).unwrap();
    assert!(Log::open(folder.path(), synced).is_none());
    assert_eq!(std::fs::metadata(&bodies_path).unwrap().len(), blocks.len() as u64 - 1);
    // The last row that was synced is looked at with its block.
    let mut damaged = blocks.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&bodies_path, &damaged).unwrap();
    assert!(Log::open(folder.path(), synced).is_none());
    assert!(damage(synced).is_some());
}

#[test]
fn a_row_never_names_another_block_that_came_where_its_own_was() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &Path| {
        let log = Log::open(folder, NOTHING).unwrap();
        log.append(0..10);
        (log.synced(), log)
    };
    let ((synced, log), (_, again)) = (open(folder.path()), open(other.path()));
    // The same number of bodies with the same dates in the same place, of which other collections have other ones.
    log.append(10..20);
    again.append(11..21);
    drop((log, again));
    std::fs::copy(other.path().join(bodies::FILE), folder.path().join(bodies::FILE)).unwrap();
    let log = Log::open(folder.path(), synced).unwrap();
    assert_eq!(log.synced(), synced, "the rows were cut, and the blocks after them");
}

#[test]
fn what_a_write_that_failed_left_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), NOTHING).unwrap();
    let mut all = log.append(0..100);
    let synced = log.synced();
    // Written and never published, as where the disk was full before the last file.
    let (mut failed, _) = log.filled(100..900);
    failed.write(&log.bodies).unwrap();
    assert_eq!(log.pages(Collection::Amber, 64, || ()), of(&all, Collection::Amber), "readers see nothing of it");
    log.rows.values().for_each(|rows| rows.cut().unwrap());
    log.bodies.cut().unwrap();
    all.extend(log.append(100..101));
    drop(log);
    let log = Log::open(folder.path(), synced).unwrap();
    for collection in Collection::ALL {
        assert_eq!(log.pages(collection, 64, || ()), of(&all, collection));
    }
}

#[test]
fn long_texts_close_a_block_early_and_one_that_is_too_long_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), NOTHING).unwrap();
    let mut pending = log.pending();
    let mut all = Vec::new();
    for number in 0..200 {
        let value = Text::from(format!("{number}{}", "x".repeat(8_000)));
        let key = keys().observable(ObservableType::Url, &value);
        let indicator = Indicator { kind: ObservableType::Url, value, key, ..version(number, pending.next_added(NOW, MAX_ROOM)) };
        let placed = pending.add(&indicator, None).unwrap();
        pending.name(Collection::Amber, placed);
        all.push(indicator);
    }
    let too_long = Indicator { value: Text::from("x".repeat(300_000)), ..version(1, pending.next_added(NOW, MAX_ROOM)) };
    assert_eq!(pending.add(&too_long, None), None);
    pending.write(&log.bodies).unwrap();
    pending.publish(&log.bodies);
    assert!(log.rows[&Collection::Amber].end() > growing::START + 4 * ROW);
    assert_eq!(log.pages(Collection::Amber, 77, || ()), all);
}

#[test]
fn files_of_a_later_release_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = Bodies::open(folder.path(), keys(), 0).unwrap().unwrap();
    let path = folder.path().join(file_name(Collection::Amber));
    std::fs::write(&path, b"BGIND\0\x03\0 and more").unwrap();
    assert_eq!(Rows::open(folder.path(), Collection::Amber, 0, &bodies).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(std::fs::read(&path).unwrap(), b"BGIND\0\x03\0 and more");
    let path = folder.path().join(bodies::FILE);
    std::fs::write(&path, b"BGBOD\0\x02\0 and more").unwrap();
    assert_eq!(Bodies::open(folder.path(), keys(), 0).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(std::fs::read(&path).unwrap(), b"BGBOD\0\x02\0 and more");
}

proptest! {
    #[test]
    fn a_row_comes_back_from_its_bytes_and_a_changed_one_is_none(
        (first, block, before) in (0_i64..4_000_000_000_000_000, 8_u64..1 << 56, 0_u64..1 << 56),
        (length, crc, bits) in (18_u32..1_000_000, any::<u32>(), 1_u128..),
        (at, bit) in (0_usize..ROW as usize, 0_u8..8),
    ) {
        let row = Row { first: Timestamp::from_micros(first), block, length, crc, bits, before };
        let mut bytes = Vec::new();
        row.write(&mut bytes);
        prop_assert_eq!(bytes.len() as u64, ROW);
        prop_assert_eq!(Row::read(&bytes), Some(row));
        prop_assert_eq!(Row::read(&bytes[..at]), None);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Row::read(&bytes), None);
    }

    #[test]
    fn broken_files_do_no_harm(rows in proptest::collection::vec(any::<u8>(), 0..300), blocks in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file_name(Collection::Green)), [b"BGIND\0\x02\0".as_slice(), rows.as_slice()].concat()).unwrap();
        std::fs::write(folder.path().join(bodies::FILE), [b"BGBOD\0\x01\0".as_slice(), blocks.as_slice()].concat()).unwrap();
        let log = Log::open(folder.path(), NOTHING).unwrap();
        prop_assert!(log.page(Collection::Green, None, 100).is_empty());
    }
}
