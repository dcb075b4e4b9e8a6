//! Facts of the log of indicators through a whole store on disk; of the log by itself in [`files`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod files;

use super::state::FILE;
use super::{Collection, FOLDER, Indicator, bodies, check, make_anew, rows};
use crate::ledger::{Control, Submission};
use crate::views::{Days, Keys, prepare};
use crate::{Batch, BatchResult, Options, Store};
use model::{Agreement, Category, Event, ObservableType, OrgNo, Redistribution, Role, Text, Timestamp, Tlp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

const BEGIN: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;
const SENDER: OrgNo = OrgNo(1);
const PARTNER: OrgNo = OrgNo(7);
const OTHER: OrgNo = OrgNo(8);
const OWN: Collection = Collection::Agreement(PARTNER);
const PATIENCE: Duration = Duration::from_secs(30);

struct UtcDays;

impl Days for UtcDays {
    fn day(&mut self, time: Timestamp) -> i32 {
        time.utc_day() as i32
    }
}

/// A store and its clock.
struct World {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
    store: Arc<Store>,
}

fn options(folder: &Path, seconds: &Arc<AtomicI64>) -> Options {
    let seconds = seconds.clone();
    Options {
        folder: folder.to_owned(),
        views_folder: None,
        recent_rows: 1_000,
        recent_age: Duration::from_secs(600),
        keys: Keys::new([7; 32]),
        days: Arc::new(|| -> Box<dyn Days + Send> { Box::new(UtcDays) }),
        now: Arc::new(move || Timestamp::from_seconds(seconds.load(Ordering::Relaxed))),
        threads: 1,
    }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicI64::new(BEGIN));
        let (store, _) = Store::open(&options(folder.path(), &seconds)).unwrap();
        Self { folder, seconds, store }
    }

    fn log_folder(&self) -> std::path::PathBuf {
        self.folder.path().join(FOLDER)
    }

    fn wait(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn close(&self) {
        self.store.checkpoint().await;
        self.store.close().await;
    }

    fn open(&mut self) {
        self.store = Store::open(&options(self.folder.path(), &self.seconds)).unwrap().0;
    }

    async fn send(&self, events: Vec<Event>) -> BatchResult {
        self.send_as(SENDER, events).await
    }

    async fn send_as(&self, org: OrgNo, events: Vec<Event>) -> BatchResult {
        let rows = events.len() as u32;
        let prepared = prepare(events, org, &self.store.views.keys, &mut UtcDays);
        let (reply, answer) = oneshot::channel();
        let submission = Submission { org, nonce: 1, idempotency: None, first_ordinal: 0, start: 0, rows, last: true };
        self.store.submit(Batch { prepared, encoded: None, submission, holes: Vec::new(), reply }).await.unwrap();
        let result = answer.await.unwrap().unwrap();
        self.settle().await;
        result
    }

    async fn control(&self, control: Control) {
        self.store.control(control).await.unwrap();
        self.settle().await;
    }

    async fn withdraw(&self, event: &BatchResult) {
        self.control(Control::Withdraw { ranges: vec![(event.first_seq, event.last_seq)], by: SENDER, reason: String::new() }).await;
    }

    async fn dispute(&self, value: &str, upheld: bool) {
        self.control(Control::Dispute { key: format!("{:032x}", self.key(value)), upheld }).await;
    }

    async fn tell_reporter(&self, organisation: OrgNo, version: u64, partner: bool, licence: Option<Redistribution>) {
        self.control(Control::Reporter { organisation, version, partner, licence, at: Timestamp::MIN }).await;
    }

    async fn agree(&self, organisation: OrgNo, version: u64, agreement: Option<Agreement>) {
        let audience = vec![Text::from(format!("org_{organisation}"))];
        self.control(Control::Agreement { organisation, version, agreement, audience, at: Timestamp::MIN }).await;
    }

    /// Values of a collection that stand, sorted.
    fn standing(&self, collection: Collection) -> Vec<String> {
        let log = self.store.indicators.page(collection, None, 10_000).unwrap();
        let newest: std::collections::BTreeMap<String, bool> = log.iter().map(|version| (version.value.to_string(), version.revoked)).collect();
        newest.into_iter().filter(|(_, revoked)| !revoked).map(|(value, _)| value).collect()
    }

    async fn until_standing(&self, collection: Collection, expected: &[&str]) {
        let began = std::time::Instant::now();
        while self.standing(collection) != expected {
            assert!(began.elapsed() < PATIENCE, "{:?} stand and not {expected:?}", self.standing(collection));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the log has taken in all that the ledger holds.
    async fn settle(&self) {
        let end = self.store.views.position();
        let mut position = self.store.indicators.watch();
        let reached = tokio::time::timeout(PATIENCE, position.wait_for(|position| *position >= end)).await;
        assert!(reached.is_ok_and(|known| known.is_ok()), "the log never came to {end}");
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        while !what(self) {
            assert!(began.elapsed() < PATIENCE, "it never came to be");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn key(&self, value: &str) -> u128 {
        self.store.views.keys.observable(ObservableType::Domain, value)
    }

    /// Newest first.
    fn versions(&self, value: &str) -> Vec<Indicator> {
        self.store.indicators.versions(Collection::Green, self.key(value)).unwrap()
    }

    fn counts(&self) -> [u64; 3] {
        Collection::ALL.map(|collection| self.store.indicators.count(collection))
    }

    fn all(&self) -> [Vec<Indicator>; 3] {
        Collection::ALL.map(|collection| self.store.indicators.page(collection, None, 1_000).unwrap())
    }

    fn assert_dates_go_up(&self) {
        for log in self.all() {
            assert!(log.windows(2).all(|two| two[0].added < two[1].added));
        }
    }
}

fn event(value: &str, tlp: Tlp, confidence: Option<u8>) -> Event {
    let observable = model::canonical::observable(ObservableType::Domain, value, Role::Attacker, None).unwrap();
    let mut event = Event::new(Timestamp::from_seconds(BEGIN - HOUR), Category::C2Server, observable);
    event.tlp = tlp;
    event.confidence = confidence;
    event
}

fn values(log: &[Indicator]) -> Vec<&str> {
    let mut values: Vec<&str> = log.iter().map(|version| version.value.as_str()).collect();
    values.sort_unstable();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_enters_the_collections_whose_readers_may_all_see_it() {
    let world = World::new();
    let mut narrowed = event("narrowed.net", Tlp::Clear, None);
    narrowed.details_mut().audience = vec![Text::from("energy")];
    let mut victim = event("victim.net", Tlp::Clear, None);
    victim.observables[0].role = Role::Victim;
    let mut weak = event("weak.net", Tlp::Clear, None);
    weak.category = Category::VulnerableSystem;
    let mut named = event("clear.net", Tlp::Clear, Some(50));
    named.malware = Some(Text::from("Emotet"));
    let strict = event("strict.net", Tlp::AmberStrict, None);
    let rest = [event("green.net", Tlp::Green, None), event("amber.net", Tlp::Amber, None)];
    world.send([narrowed, victim, weak, named, strict].into_iter().chain(rest).collect()).await;
    let [clear, green, amber] = world.all();
    assert_eq!(values(&clear), ["clear.net"]);
    assert_eq!(values(&green), ["clear.net", "green.net"]);
    assert_eq!(values(&amber), ["amber.net", "clear.net", "green.net"]);
    assert_eq!(world.counts(), [1, 2, 3]);
    world.assert_dates_go_up();
    let one = &clear[0];
    assert_eq!((one.collection, one.kind, one.key), (Collection::Clear, ObservableType::Domain, world.key("clear.net")));
    assert_eq!((one.revoked, one.created), (false, one.added));
    assert_eq!((one.category, one.malware.as_deref(), one.confidence, one.reporters), (Category::C2Server, Some("Emotet"), Some(50), 1));
    assert_eq!((one.first_seen, one.last_seen), (Timestamp::from_seconds(BEGIN - HOUR), Timestamp::from_seconds(BEGIN - HOUR)));

    // What one may see sooner than another shows nothing of the rest.
    world.send(vec![event("amber.net", Tlp::Clear, None)]).await;
    assert_eq!(world.counts(), [2, 3, 3]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_written_when_the_last_version_is_a_day_old_and_not_before() {
    let world = World::new();
    world.send(vec![event("thief.net", Tlp::Green, None), event("other.net", Tlp::Green, None)]).await;
    world.wait(HOUR);
    world.send(vec![event("thief.net", Tlp::Green, Some(90))]).await;
    assert_eq!(world.counts(), [0, 2, 2]);
    world.wait(23 * HOUR + 1);
    world.until(|world| world.counts() == [0, 3, 3]).await;
    let versions = world.versions("thief.net");
    assert_eq!(versions.iter().map(|version| version.confidence).collect::<Vec<_>>(), [Some(90), None]);
    assert_eq!((versions[0].created, versions[1].created), (versions[1].added, versions[1].added));
    let before = versions[1].added.max(world.versions("other.net")[0].added);
    assert_eq!(world.store.indicators.page(Collection::Green, Some(before), 10).unwrap(), versions[..1]);

    // A day later a change comes with its event; what is the same makes no version.
    world.wait(25 * HOUR);
    world.send(vec![event("thief.net", Tlp::Green, Some(95)), event("other.net", Tlp::Green, Some(1))]).await;
    assert_eq!(world.counts(), [0, 4, 4]);
    assert_eq!(world.versions("other.net")[0].confidence, Some(1));
    world.assert_dates_go_up();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_gives_a_revoked_version_at_once_and_another_event_brings_the_value_back() {
    let world = World::new();
    let gone = world.send(vec![event("gone.net", Tlp::Green, Some(50)), event("stays.net", Tlp::Green, None)]).await;
    world.send(vec![event("stays.net", Tlp::Green, None)]).await;
    world.withdraw(&gone).await;
    let versions = world.versions("gone.net");
    assert_eq!(versions.iter().map(|version| version.revoked).collect::<Vec<_>>(), [true, false]);
    assert_eq!(versions[0], Indicator { added: versions[0].added, revoked: true, ..versions[1].clone() });
    assert_eq!(world.versions("stays.net").len(), 1);
    assert_eq!(world.counts(), [0, 3, 3]);

    world.send(vec![event("gone.net", Tlp::Amber, None)]).await;
    assert_eq!(world.counts(), [0, 3, 4], "green readers see nothing of it yet");
    world.send(vec![event("gone.net", Tlp::Green, None)]).await;
    let versions = world.versions("gone.net");
    assert_eq!(versions.iter().map(|version| version.revoked).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(versions[0].created, versions[2].added);
    world.assert_dates_go_up();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_marking_and_a_withdrawal_that_leaves_something_are_written_at_once() {
    let world = World::new();
    world.send(vec![event("marked.net", Tlp::Clear, None)]).await;
    world.send(vec![event("marked.net", Tlp::Green, None)]).await;
    assert_eq!(world.versions("marked.net").iter().map(|version| version.tlp).collect::<Vec<_>>(), [Tlp::Green, Tlp::Clear]);
    assert_eq!(world.counts(), [1, 2, 2], "readers of clear see nothing of it");
    let wrong = world.send(vec![event("partly.net", Tlp::Green, Some(90))]).await;
    world.send(vec![event("partly.net", Tlp::Green, None)]).await;
    world.withdraw(&wrong).await;
    assert_eq!(world.versions("partly.net").iter().map(|version| version.confidence).collect::<Vec<_>>(), [None, Some(90)]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upheld_false_positive_is_revoked_and_comes_back_when_it_is_rejected_again() {
    let world = World::new();
    world.send(vec![event("false.net", Tlp::Green, None)]).await;
    world.dispute("false.net", true).await;
    world.dispute("later.net", true).await;
    world.send(vec![event("false.net", Tlp::Green, None), event("later.net", Tlp::Green, None)]).await;
    assert_eq!(world.versions("false.net").iter().map(|version| version.revoked).collect::<Vec<_>>(), [true, false]);
    assert_eq!(world.versions("later.net"), []);
    world.dispute("false.net", false).await;
    world.dispute("later.net", false).await;
    assert_eq!(world.versions("false.net").iter().map(|version| version.revoked).collect::<Vec<_>>(), [false, true, false]);
    let later = world.versions("later.net");
    assert_eq!((later.len(), later[0].value.as_str(), later[0].kind), (1, "later.net", ObservableType::Domain));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_without_duplicates_from_any_position() {
    let mut world = World::new();
    world.send((0..300).map(|number| event(&format!("h{number}.net"), Tlp::Clear, None)).collect()).await;
    world.close().await;
    let early = std::fs::read(world.log_folder().join(FILE)).unwrap();
    world.open();
    let second = world.send(vec![event("h1.net", Tlp::Clear, None), event("new.net", Tlp::Clear, None)]).await;
    world.withdraw(&second).await;
    let all = world.all();
    assert_eq!(world.counts(), [302; 3]);
    world.close().await;
    let late = std::fs::read(world.log_folder().join(FILE)).unwrap();

    for position in [Some(&late), Some(&early), None] {
        match position {
            Some(position) => std::fs::write(world.log_folder().join(FILE), position).unwrap(),
            None => std::fs::remove_file(world.log_folder().join(FILE)).unwrap(),
        }
        let (store, _) = Store::open(&options(world.folder.path(), &world.seconds)).unwrap();
        let again = World { folder: tempfile::tempdir().unwrap(), seconds: world.seconds.clone(), store };
        again.settle().await;
        assert_eq!(again.all(), all);
        assert_eq!(again.versions("new.net").iter().map(|version| version.revoked).collect::<Vec<_>>(), [true, false]);
        again.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_go_up_even_where_the_clock_goes_back() {
    let mut world = World::new();
    world.send(vec![event("first.net", Tlp::Green, None)]).await;
    world.wait(-HOUR);
    world.send(vec![event("second.net", Tlp::Green, None), event("third.net", Tlp::Green, None)]).await;
    world.close().await;
    world.wait(-HOUR);
    world.open();
    world.send(vec![event("fourth.net", Tlp::Green, None)]).await;
    assert_eq!(world.counts(), [0, 4, 4]);
    world.assert_dates_go_up();
    world.close().await;
}

async fn verified(world: &World) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    crate::verify(&options(world.folder.path(), &world.seconds), scratch.path(), &[]).await.unwrap().problems
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_by_verify_and_the_log_is_then_made_anew() {
    let mut world = World::new();
    world.send((0..50).map(|number| event(&format!("h{number}.net"), Tlp::Green, None)).collect()).await;
    world.close().await;
    assert_eq!(verified(&world).await, Vec::<String>::new());
    make_anew(&world.log_folder()).unwrap();
    assert!(world.log_folder().join("events-green.log").exists(), "a sound log stays");

    let path = world.log_folder().join("events-green.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let problems = verified(&world).await;
    assert!(problems.len() == 1 && problems[0].contains("events-green"), "{problems:?}");
    make_anew(&world.log_folder()).unwrap();
    assert!(!path.exists());
    world.open();
    world.settle().await;
    assert_eq!(world.counts(), [0, 50, 50]);
    world.close().await;
    assert_eq!(check(&world.log_folder()).unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_what_versions_say_is_named_for_each_collection_that_says_it_and_a_cut_too() {
    let mut world = World::new();
    world.send((0..50).map(|number| event(&format!("h{number}.net"), Tlp::Green, None)).collect()).await;
    world.close().await;
    let path = world.log_folder().join(bodies::FILE);
    let sound = std::fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    for damaged in [bytes.as_slice(), &sound[..sound.len() - 1], &[]] {
        std::fs::write(&path, damaged).unwrap();
        let problems = check(&world.log_folder()).unwrap();
        for name in ["events-green", "events-amber"] {
            assert_eq!(problems.iter().filter(|problem| problem.contains(name) && problem.contains(bodies::FILE)).count(), 1, "{problems:?}");
        }
        assert!(!problems.iter().any(|problem| problem.contains("events-clear")));
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "a check changes nothing");
    }
    // A start makes it anew.
    world.open();
    world.settle().await;
    assert_eq!(world.counts(), [0, 50, 50]);
    world.close().await;
    assert_eq!(check(&world.log_folder()).unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_collections_say_alike_is_on_disk_once() {
    let mut sizes = Vec::new();
    for tlp in [Tlp::Clear, Tlp::Amber] {
        let world = World::new();
        world.send((0..3_000).map(|number| event(&format!("h{number}.example.net"), tlp, Some(50))).collect()).await;
        assert_eq!(world.counts(), if tlp == Tlp::Clear { [3_000; 3] } else { [0, 0, 3_000] });
        let all = world.all();
        let alike = |one: &Indicator, other: &Indicator| *one == Indicator { collection: one.collection, ..other.clone() };
        assert!(all[0].iter().zip(&all[2]).all(|(clear, amber)| alike(clear, amber)), "one date for all");
        world.close().await;
        sizes.push(std::fs::metadata(world.log_folder().join(bodies::FILE)).unwrap().len());
    }
    // One collection alone takes as much: three apart would take three times that.
    let (three, one) = (sizes[0], sizes[1]);
    assert!(three * 5 <= one * 3 * 2, "{three} bytes for three collections, {one} for one");
    assert!(one < 3_000 * 40, "{one} bytes for 3,000 domain names");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_may_say_less_has_versions_of_its_own() {
    let world = World::new();
    world.send(vec![event("seen.net", Tlp::Clear, Some(20)), event("seen.net", Tlp::Amber, Some(90))]).await;
    let [clear, green, amber] = world.all();
    assert_eq!(
        [&clear, &green, &amber].map(|log| (log.len(), log[0].confidence, log[0].tlp)),
        [(1, Some(20), Tlp::Clear), (1, Some(20), Tlp::Clear), (1, Some(90), Tlp::Amber)]
    );
    assert_eq!((clear[0].added, clear[0].created), (green[0].added, green[0].added), "clear and green say the same");
    assert!(amber[0].added > green[0].added);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_tell_nothing_of_what_fewer_readers_have() {
    let world = World::new();
    let marked = (0..300).map(|number| event(&format!("h{number}.net"), [Tlp::Clear, Tlp::Amber, Tlp::Green][number % 3], None));
    // Of some clear values amber says more.
    let more = (0..300).step_by(9).map(|number| event(&format!("h{number}.net"), Tlp::Amber, Some(90)));
    world.send(marked.chain(more).collect()).await;
    let [clear, green, amber] = world.all();
    assert_eq!([clear.len(), green.len(), amber.len()], [100, 200, 300]);
    let close = |log: &[Indicator]| log.windows(2).all(|pair| pair[1].added == pair[0].added.plus(pair[1].room()));
    assert!(close(&clear) && close(&green), "as close to each other as if there were nothing else");
    let order = |log: &[Indicator]| log.iter().map(|version| version.key).collect::<Vec<_>>();
    assert!(order(&clear).is_sorted(), "and in the order of their keys, whatever others say of the same values");
    world.assert_dates_go_up();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_of_a_write_loses_nothing_and_doubles_nothing() {
    let mut world = World::new();
    world.send((0..200).map(|number| event(&format!("h{number}.net"), Tlp::Clear, None)).collect()).await;
    world.close().await;
    let names = [bodies::FILE.to_owned()].into_iter().chain(Collection::ALL.map(rows::file_name));
    let files: Vec<std::path::PathBuf> = names.map(|name| world.log_folder().join(name)).collect();
    let read = || files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    let position = std::fs::read(world.log_folder().join(FILE)).unwrap();
    let before = read();
    world.open();
    let more = (150..420).map(|number| event(&format!("h{number}.net"), Tlp::Clear, None)).chain([event("amber.net", Tlp::Amber, None)]);
    world.send(more.collect()).await;
    world.close().await;
    let after = read();
    // So many files were written whole, and so much of the next one.
    for written in 0..files.len() {
        for torn in [0, 30] {
            for (place, path) in files.iter().enumerate() {
                let (old, new) = (&before[place], &after[place]);
                let length = if place < written { new.len() } else { old.len() + if place == written { torn } else { 0 } };
                std::fs::write(path, &new[..length]).unwrap();
            }
            std::fs::write(world.log_folder().join(FILE), &position).unwrap();
            world.open();
            world.settle().await;
            assert_eq!(world.counts(), [420, 420, 421], "{written} files and {torn} bytes were written");
            for (collection, log) in Collection::ALL.into_iter().zip(world.all()) {
                let mut all = values(&log);
                all.dedup();
                assert_eq!(all.len(), log.len(), "{} has no value twice", collection.title());
                let one = world.store.indicators.versions(collection, world.key("h400.net")).unwrap();
                assert_eq!((one.len(), one[0].value.as_str(), one[0].collection), (1, "h400.net", collection));
            }
            world.assert_dates_go_up();
            world.close().await;
            assert_eq!(check(&world.log_folder()).unwrap(), Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_held_whole_versions_is_made_anew_and_is_no_damage() {
    let mut world = World::new();
    world.send(vec![event("first.net", Tlp::Green, None)]).await;
    world.close().await;
    let old = |world: &World| {
        std::fs::remove_dir_all(world.log_folder()).unwrap();
        std::fs::create_dir(world.log_folder()).unwrap();
        for name in ["events-clear.log", "events-green.log", "events-amber.log", "agreement-7.log"] {
            std::fs::write(world.log_folder().join(name), b"BGIND\0\x01\0 and entries as they were").unwrap();
        }
        std::fs::write(world.log_folder().join("events-green.idx"), b"BGINX\0\x01\0").unwrap();
        std::fs::write(world.log_folder().join(FILE), r#"{"version":2,"position":1,"chain":"ab","logs":{},"runs":[]}"#).unwrap();
    };
    old(&world);
    assert_eq!(check(&world.log_folder()).unwrap(), Vec::<String>::new());
    world.open();
    world.settle().await;
    assert_eq!(world.counts(), [0, 1, 1]);
    assert!(!world.log_folder().join("events-green.idx").exists() && !world.log_folder().join("agreement-7.log").exists());
    world.close().await;
    old(&world);
    make_anew(&world.log_folder()).unwrap();
    assert_eq!(world.log_folder().read_dir().unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_names_bodies_after_the_rows_that_name_them_and_rows_after_the_position() {
    let world = World::new();
    world.agree(PARTNER, 1, Some(Agreement::up_to(Tlp::Green))).await;
    world.send(vec![event("first.net", Tlp::Green, None)]).await;
    world.close().await;
    let expected = ["POSITION", "events-clear.log", "events-green.log", "events-amber.log", "agreement-7.log", "bodies.log"];
    assert_eq!(super::files(&world.log_folder()).unwrap(), expected);
}

fn partly(value: &str, tlp: Tlp, category: Category, sector: &str) -> Event {
    let mut event = event(value, tlp, None);
    event.category = category;
    event.sector = (!sector.is_empty()).then(|| Text::from(sector));
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agreement_that_begins_finds_what_was_there_before_and_what_comes_but_nothing_that_partners_reported() {
    let world = World::new();
    world.tell_reporter(PARTNER, 1, true, None).await;
    world.tell_reporter(OTHER, 1, true, None).await;
    let mut addressed = event("addressed.net", Tlp::Amber, None);
    addressed.details_mut().audience = vec![Text::from("org_7")];
    let mut elsewhere = event("elsewhere.net", Tlp::Clear, None);
    elsewhere.details_mut().audience = vec![Text::from("org_8")];
    let strict = event("strict.net", Tlp::AmberStrict, None);
    let both = event("both.net", Tlp::Amber, None);
    world.send(vec![event("clear.net", Tlp::Clear, None), both.clone(), strict, addressed, elsewhere, event("red.net", Tlp::Red, None)]).await;
    world.send_as(PARTNER, vec![event("own.net", Tlp::Clear, None), both]).await;
    world.send_as(OTHER, vec![event("others.net", Tlp::Clear, None)]).await;
    assert_eq!(world.store.indicators.count(OWN), 0);
    world.agree(PARTNER, 2, Some(Agreement::up_to(Tlp::Amber))).await;
    world.until_standing(OWN, &["addressed.net", "both.net", "clear.net"]).await;
    world.agree(PARTNER, 3, Some(Agreement::up_to(Tlp::AmberStrict))).await;
    world.until_standing(OWN, &["addressed.net", "both.net", "clear.net", "strict.net"]).await;
    world.send(vec![event("later.net", Tlp::Amber, None), event("own.net", Tlp::Green, None)]).await;
    assert_eq!(world.standing(OWN), ["addressed.net", "both.net", "clear.net", "later.net", "own.net", "strict.net"]);
    let one = world.store.indicators.versions(OWN, world.key("own.net")).unwrap();
    assert_eq!((one[0].reporters, one[0].tlp), (1, Tlp::Green), "what the partner said of it is no part of it");
    assert_eq!(world.standing(Collection::Green), ["clear.net", "others.net", "own.net"]);
    world.assert_dates_go_up();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agreement_no_longer_covers_is_revoked_and_what_ended_goes_on_where_it_stood() {
    let mut world = World::new();
    world.tell_reporter(PARTNER, 1, true, None).await;
    world.agree(PARTNER, 2, Some(Agreement::up_to(Tlp::Amber))).await;
    let all = [("a.net", Category::Phishing, "energy"), ("b.net", Category::Phishing, ""), ("c.net", Category::Scanner, "energy")];
    let sent = world.send(all.map(|(value, category, sector)| partly(value, Tlp::Amber, category, sector)).to_vec()).await;
    world.send(vec![event("green.net", Tlp::Green, None)]).await;
    assert_eq!(world.standing(OWN), ["a.net", "b.net", "c.net", "green.net"]);
    let narrow = Agreement { categories: vec![Category::Phishing], sectors: vec![Text::from("energy")], ..Agreement::up_to(Tlp::Amber) };
    world.agree(PARTNER, 3, Some(narrow.clone())).await;
    world.until_standing(OWN, &["a.net", "green.net"]).await;
    let revoked = world.store.indicators.versions(OWN, world.key("b.net")).unwrap();
    assert_eq!(revoked.iter().map(|version| version.revoked).collect::<Vec<_>>(), [true, false]);
    assert_eq!(world.standing(Collection::Amber), ["a.net", "b.net", "c.net", "green.net"], "members keep what they have");

    // It is closed, then told again after a restart: nothing was written meanwhile, and what is gone is taken back.
    world.agree(PARTNER, 4, None).await;
    let written = world.store.indicators.count(OWN);
    world.send(vec![event("meanwhile.net", Tlp::Green, None)]).await;
    world.withdraw(&sent).await;
    assert_eq!(world.store.indicators.count(OWN), written);
    world.close().await;
    world.open();
    world.agree(PARTNER, 5, Some(narrow)).await;
    world.until_standing(OWN, &["green.net", "meanwhile.net"]).await;
    let log = world.store.indicators.page(OWN, None, 1_000).unwrap();
    assert!(log.windows(2).all(|two| two[0].added < two[1].added));
    world.close().await;
    assert_eq!(verified(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_known_when_a_log_had_settled_under_an_agreement_also_after_a_restart() {
    let mut world = World::new();
    let settled = |world: &World| world.store.indicators.settled(OWN);
    let last = |world: &World| world.store.indicators.settled(OWN).last().map(|last| last.version);
    world.tell_reporter(PARTNER, 1, true, None).await;
    world.agree(PARTNER, 2, Some(Agreement::up_to(Tlp::Amber))).await;
    world.send(vec![partly("a.net", Tlp::Amber, Category::Phishing, ""), partly("b.net", Tlp::Amber, Category::Scanner, "")]).await;
    world.until(|world| last(world) == Some(2)).await;
    assert_eq!(world.standing(OWN), ["a.net", "b.net"]);
    world.agree(PARTNER, 3, Some(Agreement { categories: vec![Category::Phishing], ..Agreement::up_to(Tlp::Amber) })).await;
    world.until(|world| last(world) == Some(3)).await;
    assert_eq!(world.standing(OWN), ["a.net"], "what was too much is taken back by then");
    let log = world.store.indicators.page(OWN, None, 100).unwrap();
    let known = settled(&world);
    assert_eq!(known.last().unwrap().at, log.last().unwrap().added);
    // What is closed does not settle.
    world.agree(PARTNER, 4, None).await;
    world.close().await;
    world.open();
    world.settle().await;
    assert_eq!(settled(&world), known);
    world.agree(PARTNER, 5, Some(Agreement::up_to(Tlp::Green))).await;
    world.until(|world| last(world) == Some(5)).await;
    assert!(world.standing(OWN).is_empty() && settled(&world).starts_with(&known));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agreement_writes_nothing_after_its_date_and_is_caught_up_with_when_it_is_prolonged() {
    let world = World::new();
    let until = |seconds: i64| Agreement { expires: Some(Timestamp::from_seconds(BEGIN + seconds)), ..Agreement::up_to(Tlp::Green) };
    world.agree(PARTNER, 1, Some(until(HOUR))).await;
    world.send(vec![event("before.net", Tlp::Green, None)]).await;
    assert_eq!(world.standing(OWN), ["before.net"]);
    world.wait(HOUR);
    world.send(vec![event("after.net", Tlp::Green, None)]).await;
    assert_eq!(world.standing(OWN), ["before.net"]);
    world.agree(PARTNER, 2, Some(until(2 * HOUR))).await;
    world.until_standing(OWN, &["after.net", "before.net"]).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_keeps_a_reporters_values_where_they_may_go_also_when_it_changes() {
    let world = World::new();
    world.tell_reporter(SENDER, 1, false, Some(Redistribution::Members)).await;
    world.agree(PARTNER, 1, Some(Agreement::up_to(Tlp::Amber))).await;
    world.send(vec![event("feed.net", Tlp::Clear, None), event("both.net", Tlp::Clear, Some(90))]).await;
    world.send_as(OrgNo(2), vec![event("both.net", Tlp::Clear, Some(20))]).await;
    assert_eq!((world.standing(Collection::Clear), world.standing(OWN)), (vec!["both.net".to_owned()], vec!["both.net".to_owned()]));
    assert_eq!(world.standing(Collection::Amber), ["both.net", "feed.net"]);
    world.tell_reporter(SENDER, 2, false, Some(Redistribution::Public)).await;
    for collection in [Collection::Clear, Collection::Green, OWN] {
        world.until_standing(collection, &["both.net", "feed.net"]).await;
    }
    world.tell_reporter(SENDER, 3, false, Some(Redistribution::None)).await;
    for collection in [Collection::Clear, Collection::Green, Collection::Amber, OWN] {
        world.until_standing(collection, &["both.net"]).await;
    }
    let amber = world.store.indicators.versions(Collection::Amber, world.key("both.net")).unwrap();
    world.until(|world| world.store.indicators.versions(Collection::Amber, world.key("both.net")).unwrap()[0].confidence == Some(20)).await;
    assert!(amber.iter().all(|version| !version.revoked));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_a_position_hears_what_was_told_before_it_gives_anything_out() {
    let mut world = World::new();
    world.tell_reporter(PARTNER, 1, true, None).await;
    world.agree(PARTNER, 2, Some(Agreement::up_to(Tlp::Amber))).await;
    world.send((0..40).map(|number| event(&format!("h{number}.net"), Tlp::Amber, None)).collect()).await;
    world.agree(PARTNER, 3, Some(Agreement::up_to(Tlp::Green))).await;
    world.until_standing(OWN, &[]).await;
    let written = world.store.indicators.count(OWN);
    world.close().await;
    std::fs::remove_file(world.log_folder().join(FILE)).unwrap();
    world.open();
    world.settle().await;
    assert_eq!(world.store.indicators.count(OWN), written, "nothing is given out by what was agreed once");
    let (heard, register) = world.store.indicators.told();
    assert!(heard >= world.store.ledger.end());
    assert_eq!(register.terms(PARTNER).unwrap().agreement, Some(Agreement::up_to(Tlp::Green)));
    assert!(register.reporter(PARTNER).unwrap().partner);
    // Nor where the logs are lost with it.
    world.close().await;
    std::fs::remove_dir_all(world.log_folder()).unwrap();
    world.open();
    world.settle().await;
    assert_eq!((world.store.indicators.count(OWN), world.counts()), (0, [0, 0, 40]));
    world.close().await;
}
