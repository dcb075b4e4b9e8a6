#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::ledger::Victim;
use crate::views::Keys;
use model::{ObservableType, Seq};
use std::time::Duration;

const ME: OrgNo = OrgNo(3);
const OTHER: OrgNo = OrgNo(4);

async fn objects() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(&folder.path().join("objects.sqlite")).await.unwrap();
    (folder, objects)
}

fn collection(number: u128) -> CollectionNo {
    CollectionNo::of(Uuid::from_u128(number << 64))
}

fn object(id: &str, version: Option<i64>) -> NewObject {
    NewObject {
        id: id.to_owned(),
        kind: id.split("--").next().unwrap_or_default().to_owned(),
        spec: "2.1",
        version: version.map(Timestamp::from_seconds),
        tlp: Tlp::Green,
        parts: None,
        json: format!("{{\"id\":\"{id}\",\"version\":{version:?}}}").into_bytes(),
    }
}

fn posting(status: &str, org: OrgNo, objects: Vec<NewObject>) -> Posting {
    Posting {
        status: status.to_owned(),
        collection: collection(1),
        org,
        supersedes_others: false,
        now: Timestamp::from_seconds(1_000_000),
        keep_statuses: Duration::from_secs(86_400),
        brings: false,
        most: MAX_HELD,
        secret: 7,
        objects,
    }
}

async fn add(objects: &Objects, posting: Posting) -> Vec<Outcome> {
    let (told, added) = told(objects, &posting).await;
    assert!(matches!(added, Added::Done(_)), "{added:?}");
    told
}

async fn told(objects: &Objects, posting: &Posting) -> (Vec<Outcome>, Added) {
    let mut told = Vec::new();
    let added = objects.add(posting, |outcomes| {
        told = outcomes.to_vec();
        String::from("{}")
    });
    let added = added.await.unwrap();
    (told, added)
}

/// Adds objects that may bring events.
async fn bring(objects: &Objects, posting: Posting) -> Bringing {
    match told(objects, &Posting { brings: true, ..posting }).await.1 {
        Added::Done(bringing) => bringing,
        Added::Full(held) => panic!("{held:?}"),
    }
}

async fn dates(objects: &Objects) -> Vec<Timestamp> {
    objects.page(&all(&Versions::All)).await.unwrap().objects.iter().map(|object| object.added).collect()
}

fn all(versions: &Versions) -> Query<'_> {
    Query { collection: collection(1), after: None, ids: &[], types: &[], specs: &[], versions, limit: 1_000 }
}

async fn ids(objects: &Objects, query: Query<'_>) -> Vec<(String, i64)> {
    objects.page(&query).await.unwrap().objects.into_iter().map(|object| (object.id, object.version.seconds())).collect()
}

fn pair(id: &str, version: i64) -> (String, i64) {
    (id.to_owned(), version)
}

#[tokio::test]
async fn dates_of_addition_only_go_up_whatever_the_clock_says() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("x--2", Some(1)), object("x--3", Some(1))])).await;
    let mut earlier = posting("b", ME, vec![object("x--4", Some(1))]);
    earlier.now = Timestamp::from_seconds(5);
    add(&objects, earlier).await;
    let added: Vec<i64> = objects.page(&all(&Versions::Last)).await.unwrap().objects.iter().map(|object| object.added.micros()).collect();
    assert_eq!(added.len(), 4);
    assert!(added.windows(2).all(|pair| pair[0] < pair[1]), "{added:?}");
}

#[tokio::test]
async fn what_was_deleted_gives_no_date_to_what_comes_after() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("x--2", Some(1))])).await;
    let before = objects.page(&all(&Versions::Last)).await.unwrap().objects.last().unwrap().added;
    objects.delete(collection(1), "x--2", &Versions::All, &[], Some(ME)).await.unwrap();
    add(&objects, posting("b", ME, vec![object("x--3", Some(1))])).await;
    assert!(objects.page(&all(&Versions::Last)).await.unwrap().objects.last().unwrap().added > before);
}

#[tokio::test]
async fn the_newest_version_is_the_one_of_the_latest_date_however_they_come() {
    let (_folder, objects) = objects().await;
    let told = add(&objects, posting("a", ME, vec![object("x--1", Some(2)), object("x--1", Some(3)), object("x--1", Some(2))])).await;
    assert_eq!(told, [Outcome::Added(Timestamp::from_seconds(2)), Outcome::Added(Timestamp::from_seconds(3)), Outcome::Known(Timestamp::from_seconds(2))]);
    add(&objects, posting("b", ME, vec![object("x--1", Some(1)), object("x--2", Some(1))])).await;
    assert_eq!(ids(&objects, all(&Versions::Last)).await, [pair("x--1", 3), pair("x--2", 1)]);
    let first = Versions::Chosen { first: true, last: false, at: vec![Timestamp::from_seconds(3)] };
    assert_eq!(ids(&objects, all(&first)).await, [pair("x--1", 3), pair("x--1", 1), pair("x--2", 1)]);
    add(&objects, posting("c", ME, vec![object("x--1", Some(9))])).await;
    assert_eq!(ids(&objects, all(&Versions::Last)).await, [pair("x--2", 1), pair("x--1", 9)]);
    assert_eq!(ids(&objects, all(&Versions::All)).await.len(), 5);
}

#[tokio::test]
async fn a_deleted_newest_version_leaves_the_one_before_as_the_newest() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("x--1", Some(2))])).await;
    let deleted = objects.delete(collection(1), "x--1", &Versions::Last, &[], Some(OTHER)).await.unwrap();
    assert_eq!(deleted, Deleted { found: 1, deleted: 0 });
    let deleted = objects.delete(collection(1), "x--1", &Versions::Last, &[], Some(ME)).await.unwrap();
    assert_eq!(deleted, Deleted { found: 1, deleted: 1 });
    assert_eq!(ids(&objects, all(&Versions::Last)).await, [pair("x--1", 1)]);
}

#[tokio::test]
async fn nobody_else_versions_an_object_and_the_same_object_again_is_no_error() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("ipv4-addr--1", None)])).await;
    let told = add(&objects, posting("b", OTHER, vec![object("x--1", Some(1)), object("x--1", Some(2)), object("ipv4-addr--1", None)])).await;
    assert!(matches!(told[..], [Outcome::Known(_), Outcome::Foreign(_), Outcome::Known(_)]), "{told:?}");
    let mut changed = object("ipv4-addr--1", None);
    changed.json = b"{\"changed\":true}".to_vec();
    let told = add(&objects, posting("other", OTHER, vec![changed.clone()])).await;
    assert!(matches!(told[..], [Outcome::Foreign(_)]), "{told:?}");
    let told = add(&objects, posting("c", ME, vec![changed])).await;
    assert!(matches!(told[..], [Outcome::Added(_)]), "{told:?}");
    assert_eq!(objects.page(&all(&Versions::Last)).await.unwrap().objects.len(), 2);
}

#[tokio::test]
async fn a_page_is_of_one_collection_and_of_what_the_filters_name() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("y--1", Some(1)), object("y--2", Some(1))])).await;
    let mut elsewhere = posting("b", ME, vec![object("y--9", Some(1))]);
    elsewhere.collection = collection(2);
    add(&objects, elsewhere).await;
    let (types, names, specs) = (["y".to_owned()], ["y--2".to_owned(), "x--1".to_owned()], ["2.0".to_owned()]);
    let last = Versions::Last;
    assert_eq!(ids(&objects, Query { types: &types, ..all(&last) }).await, [pair("y--1", 1), pair("y--2", 1)]);
    assert_eq!(ids(&objects, Query { types: &types, ids: &names, ..all(&last) }).await, [pair("y--2", 1)]);
    assert!(ids(&objects, Query { specs: &specs, ..all(&last) }).await.is_empty());
    let first = objects.page(&Query { limit: 1, ..all(&last) }).await.unwrap().objects;
    assert_eq!(ids(&objects, Query { after: Some(first[0].added), ..all(&last) }).await, [pair("y--1", 1), pair("y--2", 1)]);
}

#[tokio::test]
async fn what_was_added_is_there_after_the_file_is_opened_again_and_so_is_its_status() {
    let (folder, objects) = objects().await;
    add(&objects, posting("a", ME, (0..250).map(|number| object(&format!("x--{number}"), Some(1))).collect())).await;
    objects.close().await;
    let objects = Objects::open(&folder.path().join("objects.sqlite")).await.unwrap();
    assert_eq!(objects.page(&all(&Versions::Last)).await.unwrap().objects.len(), 250);
    assert_eq!(objects.status("a").await.unwrap().map(|status| status.org), Some(ME));
    let mut later = posting("b", ME, Vec::new());
    later.now = Timestamp::from_seconds(1_000_000 + 86_401);
    add(&objects, later).await;
    assert_eq!(objects.status("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_page_ends_where_its_bytes_end_and_says_so() {
    let (_folder, objects) = objects().await;
    let big = |id: &str, bytes: usize| NewObject { json: vec![b' '; bytes], ..object(id, Some(1)) };
    let half = MAX_PAGE_BYTES / 2;
    add(&objects, posting("a", ME, vec![big("x--1", half), big("x--2", half), big("x--3", 1), big("x--4", MAX_PAGE_BYTES + 1)])).await;
    let first = objects.page(&all(&Versions::All)).await.unwrap();
    assert_eq!((first.objects.len(), first.cut), (2, true));
    let second = objects.page(&Query { after: Some(first.objects[1].added), ..all(&Versions::All) }).await.unwrap();
    assert_eq!((second.objects.len(), second.cut), (1, true));
    let third = objects.page(&Query { after: Some(second.objects[0].added), ..all(&Versions::All) }).await.unwrap();
    assert_eq!((third.objects.len(), third.cut), (1, false));
}

#[tokio::test]
async fn an_object_has_no_more_versions_than_the_limit_and_many_may_be_asked_for() {
    let (_folder, objects) = objects().await;
    let count = i64::try_from(writer::MAX_VERSIONS).unwrap();
    let told = add(&objects, posting("a", ME, (0..=count).map(|version| object("x--1", Some(version))).collect())).await;
    assert!(matches!(told.last(), Some(Outcome::TooMany(_))) && told.iter().filter(|told| matches!(told, Outcome::Added(_))).count() == writer::MAX_VERSIONS);
    let told = add(&objects, posting("b", ME, vec![object("x--1", Some(count + 1)), object("x--1", Some(5))])).await;
    assert!(matches!(told[..], [Outcome::TooMany(_), Outcome::Known(_)]), "{told:?}");
    let many = Versions::Chosen { first: false, last: false, at: (0..2_000).map(Timestamp::from_seconds).collect() };
    assert_eq!(ids(&objects, Query { limit: 5_000, ..all(&many) }).await.len(), 2_000);
}

#[tokio::test]
async fn an_organisation_holds_no_more_than_the_limit_and_what_it_takes_out_makes_room() {
    let (_folder, objects) = objects().await;
    let three = Holding { objects: 3, bytes: 1_000 };
    let full = |status: &str, objects: Vec<NewObject>| Posting { most: three, ..posting(status, ME, objects) };
    add(&objects, Posting { most: three, ..posting("a", ME, vec![object("x--1", Some(1)), object("x--2", Some(1))]) }).await;
    let (told, added) = told(&objects, &full("b", vec![object("x--3", Some(1)), object("x--4", Some(1))])).await;
    let Added::Full(held) = added else { panic!("{told:?}") };
    assert_eq!((held.objects, objects.page(&all(&Versions::All)).await.unwrap().objects.len()), (2, 2), "nothing of it is there");
    assert_eq!(objects.status("b").await.unwrap(), None);
    add(&objects, full("b", vec![object("x--1", Some(1)), object("x--3", Some(1))])).await;
    add(&objects, Posting { most: three, ..posting("c", OTHER, vec![object("y--1", Some(1))]) }).await;
    assert!(matches!(self::told(&objects, &full("d", vec![object("x--4", Some(1))])).await.1, Added::Full(_)));
    objects.delete(collection(1), "x--1", &Versions::All, &[], Some(ME)).await.unwrap();
    add(&objects, full("e", vec![object("x--4", Some(1))])).await;
    let wide = NewObject { json: vec![b' '; 1_001], ..object("z--1", Some(1)) };
    assert!(matches!(self::told(&objects, &Posting { most: three, ..posting("f", OTHER, vec![wide]) }).await.1, Added::Full(_)), "bytes count, too");
}

#[tokio::test]
async fn the_events_of_an_object_are_those_of_the_requests_that_brought_them() {
    let (_folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("tool--1", Some(1))])).await;
    let first = bring(&objects, posting("b", ME, vec![object("x--1", Some(1)), object("x--2", Some(1))])).await;
    let unknown = dates(&objects).await;
    let since = Brought::Since(Timestamp::from_seconds(1_000_000));
    assert_eq!(objects.events_of(&unknown).await.unwrap(), [(unknown[1], since), (unknown[2], since)], "a crash may have come between");
    let places = Brought::Between(Seq(70_000), Seq(70_001));
    objects.note_events(&first, Some((Seq(70_000), Seq(70_001))), 2).await.unwrap();
    assert_eq!(objects.events_of(&unknown).await.unwrap(), [(unknown[1], places), (unknown[2], places)]);

    // The hub had no room for the events of a request, which came again later.
    let none = bring(&objects, posting("c", ME, vec![object("y--1", Some(1))])).await;
    objects.note_events(&none, None, 0).await.unwrap();
    let again = bring(&objects, posting("d", ME, vec![object("y--1", Some(1)), object("x--1", Some(1))])).await;
    objects.note_events(&again, Some((Seq(90_000), Seq(90_000))), 1).await.unwrap();
    let all = dates(&objects).await;
    let later = Brought::Between(Seq(90_000), Seq(90_000));
    assert_eq!(objects.events_of(&all[3..]).await.unwrap(), [(all[3], later)]);
    assert_eq!(objects.events_of(&all[1..2]).await.unwrap(), [(all[1], places), (all[1], later)]);
    objects.delete(collection(1), "y--1", &Versions::All, &[], None).await.unwrap();
    assert!(objects.events_of(&all[3..]).await.unwrap().is_empty());
    // Sent again, and again without anything new: nothing is noted of it.
    let same = bring(&objects, posting("e", ME, vec![object("x--2", Some(1))])).await;
    objects.note_events(&same, None, 0).await.unwrap();
    assert_eq!(objects.events_of(&all[2..3]).await.unwrap(), [(all[2], places)]);
}

#[tokio::test]
async fn an_erased_value_is_in_no_file_and_its_objects_do_not_come_back() {
    let (folder, objects) = objects().await;
    let naming = |id: &str, version: Option<i64>, text: &str| NewObject { json: format!("{{\"x\":\"{text}\"}}").into_bytes(), ..object(id, version) };
    let objects_with_it = || {
        vec![
            naming("x--1", Some(1), "lee@household.kr"),
            naming("x--1", Some(2), "nothing"),
            naming("y--1", None, r"to LEE\u0040household[.]kr"),
            naming("z--1", Some(1), "email-addr--0190a5b8-a1b2-5000-8000-000000000001"),
            naming("x--2", Some(1), "kim@household.kr"),
        ]
    };
    add(&objects, posting("a", ME, objects_with_it())).await;
    let mut elsewhere = posting("b", OTHER, vec![naming("x--1", Some(1), "lee@household.kr")]);
    elsewhere.collection = collection(2);
    add(&objects, elsewhere).await;
    let victim = Victim::new(&Keys::new([7; 32]), ObservableType::Email, "lee@household.kr");
    let id = Some("email-addr--0190a5b8-a1b2-5000-8000-000000000001");
    assert_eq!(objects.erase(&victim, id, 7).await.unwrap(), 4);
    assert_eq!(objects.erase(&victim, id, 7).await.unwrap(), 0);
    assert_eq!(ids(&objects, all(&Versions::Last)).await, [pair("x--1", 2), pair("x--2", 1)]);

    let told = add(&objects, posting("c", ME, objects_with_it())).await;
    assert!(matches!(told[..], [Outcome::Erased(_), Outcome::Known(_), Outcome::Erased(_), Outcome::Erased(_), Outcome::Known(_)]), "{told:?}");
    let (told, _) = self::told(&objects, &posting("d", ME, vec![naming("x--1", Some(3), "kim"), naming("z--1", Some(2), "kim")])).await;
    assert!(matches!(told[..], [Outcome::Added(_), Outcome::Added(_)]), "a new version is new: {told:?}");
    objects.close().await;
    for entry in folder.path().read_dir().unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        for word in [&b"lee@"[..], b"LEE"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word), "{}", entry.path().display());
        }
    }
}

#[tokio::test]
async fn a_file_of_before_is_counted_when_it_is_opened() {
    let (folder, objects) = objects().await;
    add(&objects, posting("a", ME, vec![object("x--1", Some(1)), object("x--2", Some(1))])).await;
    for statement in ["DROP TABLE holding", "DROP TABLE posting", "DROP TABLE again", "DROP TABLE erased"] {
        sqlx::query(statement).execute(&objects.file.writes).await.unwrap();
    }
    objects.close().await;
    let objects = Objects::open(&folder.path().join("objects.sqlite")).await.unwrap();
    let most = Holding { objects: 2, bytes: 1_000 };
    let (_, added) = told(&objects, &Posting { most, ..posting("b", ME, vec![object("x--3", Some(1))]) }).await;
    assert!(matches!(added, Added::Full(held) if held.objects == 2 && held.bytes > 20), "{added:?}");
}
