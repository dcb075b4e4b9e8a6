//! Facts of expiry, through a whole store on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::ledger::rewrite::tests::{UtcDays, holding};
use crate::ledger::{Hole, Submission};
use crate::views::{Days, Keys, prepare};
use crate::{Batch, BatchResult, Options};
use model::{Category, Event, ObservableType, OrgNo, Role, Text};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

const SENDER: OrgNo = OrgNo(1);
const BEGIN: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// A store's folder and its clock.
struct Realm {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
}

impl Realm {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), seconds: Arc::new(AtomicI64::new(BEGIN)) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn views(&self) -> PathBuf {
        self.path().join("views")
    }

    /// Sets the clock to so many days after the beginning.
    fn day(&self, day: i64) {
        self.seconds.store(BEGIN + day * DAY, Ordering::Relaxed);
    }

    fn options(&self) -> Options {
        let seconds = self.seconds.clone();
        Options {
            folder: self.path().to_owned(),
            views_folder: None,
            recent_rows: 1_000,
            recent_age: Duration::from_secs(600),
            keys: Keys::new([7; 32]),
            days: Arc::new(|| -> Box<dyn Days + Send> { Box::new(UtcDays) }),
            now: Arc::new(move || Timestamp::from_seconds(seconds.load(Ordering::Relaxed))),
            threads: 2,
        }
    }

    fn open(&self) -> Arc<Store> {
        let (store, report) = Store::open(&self.options()).unwrap();
        assert_eq!((report.torn_bytes, report.damage), (0, None));
        store
    }

    /// Closes the store and gives what `verify` finds: problems, and the number of notes.
    async fn verify(&self, store: Arc<Store>) -> (Vec<String>, usize) {
        close(&store).await;
        let scratch = tempfile::tempdir().unwrap();
        let report = crate::verify(&self.options(), scratch.path(), &[]).await.unwrap();
        (report.problems, report.notes.len())
    }

    /// The store with views made of the ledger alone.
    fn rebuilt(&self) -> Arc<Store> {
        std::fs::remove_dir_all(self.views()).unwrap();
        self.open()
    }
}

async fn close(store: &Store) {
    store.checkpoint().await;
    store.close().await;
}

fn event(value: &str) -> Event {
    let observable = model::canonical::observable(ObservableType::Domain, value, Role::Attacker, None).unwrap();
    Event::new(Timestamp::from_seconds(BEGIN - 50), Category::Scanner, observable)
}

fn with_id(value: &str, id: &str) -> Event {
    Event { id: Some(Text::from(id)), ..event(value) }
}

fn listed(value: &str) -> Event {
    Event { timeless: true, ..event(value) }
}

async fn send(store: &Store, events: Vec<Event>) -> BatchResult {
    send_under(store, events, None, Vec::new()).await
}

/// Sends a whole body under an idempotency key.
async fn send_under(store: &Store, events: Vec<Event>, idempotency: Option<u128>, holes: Vec<Hole>) -> BatchResult {
    let rows = events.len() as u32;
    let prepared = prepare(events, SENDER, &store.views.keys, &mut UtcDays);
    let (reply, answer) = oneshot::channel();
    let submission = Submission { org: SENDER, nonce: 1, idempotency, first_ordinal: 0, start: 0, rows, last: true };
    store.submit(Batch { prepared, encoded: None, submission, holes, reply }).await.unwrap();
    answer.await.unwrap().unwrap()
}

/// Events and first place of a value.
fn known(store: &Store, value: &str) -> Option<(u32, Seq)> {
    let key = store.views.keys.observable(ObservableType::Domain, value);
    let rows = store.views.observables.get(key).unwrap();
    rows.iter().map(|row| (row.events, row.first_seq)).reduce(|one, two| (one.0 + two.0, one.1.min(two.1)))
}

fn counting(store: &Store) -> (u64, u64) {
    let tallies: u64 = store.views.tallies.read().iter().map(|(_, tally)| tally.events).sum();
    (store.views.events.load(Ordering::Relaxed), tallies)
}

/// Up to where events of the first days expire.
fn of_days_before(store: &Store, day: i64) -> Seq {
    store.next_expiry(Timestamp::from_seconds(BEGIN + day * DAY)).unwrap()
}

/// How many frames hold events, and what is left of how many more.
fn frames(store: &Store) -> (usize, usize) {
    let places: Vec<Place> = store.ledger.places(0..store.ledger.frames()).into_iter().filter(|place| place.header.kind == Kind::Events).collect();
    let whole = places.iter().filter(|place| !place.header.expired).count();
    (whole, places.iter().filter(|place| place.header.expired && place.header.meta_length > 0).count())
}

/// A store with events of two days: six of the first, of which one is withdrawn, and two of the second, of which one had come before.
async fn two_days(realm: &Realm) -> (Arc<Store>, BatchResult) {
    let store = realm.open();
    let mut noted = event("both.net");
    noted.details_mut().note = Some(Text::from("a word of the old day"));
    send(&store, vec![with_id("old.net", "a"), listed("listed.net"), noted]).await;
    let withdrawn = send(&store, vec![event("withdrawn.net")]).await.first_seq;
    send_under(&store, vec![event("first.net"), event("third.net")], Some(77), vec![Hole { row: 1, lines: 1 }]).await;
    store.control(Control::Withdraw { ranges: vec![(withdrawn, withdrawn)], by: SENDER, reason: "wrong".to_owned() }).await.unwrap();
    realm.day(3);
    let later = send(&store, vec![with_id("again.net", "a"), event("both.net")]).await;
    assert_eq!((later.applied.accepted, later.applied.merged), (1, 1));
    assert_eq!(counting(&store), (6, 6));
    (store, later)
}

/// What holds once the first of two days is expired, whatever happened to files and views since.
fn first_day_is_gone(store: &Store, later: &BatchResult) {
    assert_eq!(counting(store), (1, 1));
    for value in ["old.net", "listed.net", "withdrawn.net", "first.net", "third.net"] {
        assert_eq!(known(store, value), None, "{value}");
    }
    assert_eq!(known(store, "both.net"), Some((1, later.last_seq)));
    assert_eq!(known(store, "again.net"), None, "it had come before, and that stays so");
    let first = store.ledger.place(0).unwrap().header.first_seq;
    assert!(store.views.is_expired(first) && !store.views.counts(first));
    assert!(!store.views.is_expired(later.first_seq) && store.views.counts(later.last_seq));
    assert!(store.views.merged.read().contains(later.first_seq.0));
    assert!(store.views.withdrawn.read().is_empty());
}

/// What was sent on the first day is known again within its window.
async fn first_day_covers(store: &Store) {
    let again = send(store, vec![with_id("old.net", "a")]).await.applied;
    assert_eq!((again.accepted, again.merged), (0, 1));
    let line = |value: &str| vec![event(value)];
    let body = [line("first.net"), line("second.net"), line("third.net")].concat();
    // The refused line of the middle is corrected now; it alone is taken.
    let corrected = send_under(store, body, Some(77), Vec::new()).await.applied;
    assert_eq!((corrected.accepted, corrected.merged), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_events_leave_views_and_files_and_later_ones_stay_as_they_were() {
    let realm = Realm::new();
    let (store, later) = two_days(&realm).await;
    assert!(!holding(realm.path(), "old.net").is_empty() && !holding(realm.path(), "a word of the old day").is_empty());
    realm.day(6);
    let before = of_days_before(&store, 1);
    assert!(before <= later.first_seq);
    store.expire(before).await.unwrap();
    first_day_is_gone(&store, &later);
    assert_eq!(store.next_expiry(Timestamp::from_seconds(BEGIN + DAY)), None, "entries themselves do not expire");

    assert_eq!(store.empty_expired().await.unwrap(), 3);
    assert_eq!(store.empty_expired().await.unwrap(), 0);
    assert_eq!(frames(&store), (1, 2), "the withdrawn event had no id and left nothing");
    first_day_is_gone(&store, &later);
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
    for value in ["old.net", "listed.net", "first.net", "withdrawn.net", "a word of the old day"] {
        assert_eq!(holding(realm.path(), value), Vec::<PathBuf>::new(), "{value}");
    }
    assert!(!holding(realm.path(), "again.net").is_empty(), "what repeats an expired event is as old as its own receipt");

    let store = realm.rebuilt();
    first_day_is_gone(&store, &later);
    first_day_covers(&store).await;
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_day_covers_alike_without_a_restart() {
    let realm = Realm::new();
    let (store, later) = two_days(&realm).await;
    realm.day(6);
    store.expire(of_days_before(&store, 1)).await.unwrap();
    store.empty_expired().await.unwrap();
    first_day_is_gone(&store, &later);
    first_day_covers(&store).await;
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_entry_and_files_is_made_good() {
    let realm = Realm::new();
    let (store, later) = two_days(&realm).await;
    store.checkpoint().await;
    realm.day(6);
    store.expire(of_days_before(&store, 1)).await.unwrap();
    // As after a kill: no checkpoint knows of the entry.
    store.close().await;
    let store = realm.open();
    first_day_is_gone(&store, &later);
    assert_eq!(realm.verify(store).await, (Vec::new(), 1), "that blocks are still whole is a note");

    let store = realm.rebuilt();
    first_day_is_gone(&store, &later);
    assert_eq!(store.empty_expired().await.unwrap(), 3);
    first_day_covers(&store).await;
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
    assert_eq!(holding(realm.path(), "a word of the old day"), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn views_from_before_an_expiry_are_not_used_once_files_were_emptied() {
    let realm = Realm::new();
    let (store, later) = two_days(&realm).await;
    close(&store).await;
    let old = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    };
    copy(&realm.views(), old.path());
    let store = realm.open();
    realm.day(6);
    store.expire(of_days_before(&store, 1)).await.unwrap();
    assert_eq!(store.empty_expired().await.unwrap(), 3);
    close(&store).await;
    std::fs::remove_dir_all(realm.views()).unwrap();
    std::fs::create_dir(realm.views()).unwrap();
    copy(old.path(), &realm.views());

    let store = realm.open();
    first_day_is_gone(&store, &later);
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_emptied_in_part_say_the_same_as_whole_and_as_empty_ones() {
    let realm = Realm::new();
    let store = realm.open();
    let first = send(&store, vec![with_id("x.net", "x"), with_id("y.net", "y")]).await;
    realm.day(6);
    // It had come before, so it marks nothing: the one of day 8 is new.
    assert_eq!(send(&store, vec![with_id("x.net", "x"), with_id("z.net", "z")]).await.applied.merged, 1);
    realm.day(8);
    let last = send(&store, vec![with_id("x.net", "x"), with_id("z.net", "z")]).await;
    assert_eq!((last.applied.accepted, last.applied.merged), (1, 1));
    realm.day(20);
    store.expire(of_days_before(&store, 7)).await.unwrap();
    store.checkpoint_reaches(store.views.position()).await.unwrap();

    // As where a kill came between the files: the newer are emptied first.
    let (before, keep_from) = (store.views.expired_before(), Timestamp::from_seconds(BEGIN - 2 * DAY));
    let mut remains = remains::remains(&store.ledger, &store.views.keys, &mut UtcDays, before, keep_from).unwrap();
    assert!(remains.remove(&first.first_seq).is_some());
    let segments = 0..store.ledger.segment_count();
    store.close().await;
    assert_eq!(rewrite::expire(&store.ledger, segments, &Expired { before, keep_from, remains }).unwrap(), 1);
    let store = realm.rebuilt();
    let as_it_was = |store: &Store| {
        assert_eq!((counting(store), known(store, "x.net"), known(store, "z.net")), ((1, 1), Some((1, last.first_seq)), None));
    };
    as_it_was(&store);
    assert_eq!(realm.verify(store).await, (Vec::new(), 1));

    let store = realm.open();
    assert_eq!(store.empty_expired().await.unwrap(), 1);
    assert_eq!(frames(&store), (1, 2));
    close(&store).await;
    let store = realm.rebuilt();
    as_it_was(&store);

    // A later expiry needs what is left of the earlier ones no longer.
    send(&store, vec![event("newest.net")]).await;
    let before = of_days_before(&store, 9);
    assert_eq!(before, last.last_seq.next());
    store.expire(before).await.unwrap();
    assert_eq!(store.empty_expired().await.unwrap(), 2, "the last, and what was left of the first");
    assert_eq!(frames(&store), (1, 2));
    assert_eq!(counting(&store), (1, 1));
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_and_erasures_pass_over_what_is_expired() {
    let realm = Realm::new();
    let (store, later) = two_days(&realm).await;
    realm.day(6);
    let first = store.ledger.place(0).unwrap().header.first_seq;
    let before = of_days_before(&store, 1);
    store.expire(before).await.unwrap();
    store.control(Control::Withdraw { ranges: vec![(first, Seq(before.0 - 1))], by: SENDER, reason: "late".to_owned() }).await.unwrap();
    store.expire(Seq(before.0 - 1)).await.unwrap();
    first_day_is_gone(&store, &later);
    store.empty_expired().await.unwrap();
    let victim = crate::ledger::Victim::new(&store.views.keys, ObservableType::Domain, "old.net");
    assert_eq!(store.erase(victim, "ers_1".to_owned(), "a law".to_owned()).await.unwrap(), 0);
    first_day_is_gone(&store, &later);
    assert_eq!(realm.verify(store).await, (Vec::new(), 0));
}
