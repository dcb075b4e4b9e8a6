#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

const ME: OrgNo = OrgNo(3);
const OTHER: OrgNo = OrgNo(4);

async fn events() -> (tempfile::TempDir, Events) {
    let folder = tempfile::tempdir().unwrap();
    let events = Events::open(&folder.path().join("misp.sqlite")).await.unwrap();
    (folder, events)
}

fn attribute(id: i64, kind: &str, value: &str) -> NewAttribute {
    NewAttribute {
        id,
        object: 0,
        uuid: format!("uuid-{id}"),
        kind: kind.to_owned(),
        category: "network activity".to_owned(),
        value: key_of(value),
        value1: key_of(value.split('|').next().unwrap()),
        value2: key_of(value.split('|').nth(1).unwrap_or_default()),
        comment: String::new(),
        to_ids: true,
        deleted: false,
        timestamp: 100 + id,
        tlp: Tlp::Amber,
        audience: Vec::new(),
        victim: false,
        test: false,
    }
}

fn event(id: i64, org: OrgNo, attributes: Vec<NewAttribute>) -> NewEvent {
    let head = Head {
        id,
        org,
        uuid: format!("event-{id}"),
        published: false,
        deleted: false,
        tlp: Tlp::Green,
        audience: vec![Text::from("members")],
        test: false,
        timestamp: 1_000 + id,
        published_at: 0,
        date: "2026-11-21".to_owned(),
        attributes: 0,
        generation: 1,
        json: "{}".to_owned(),
    };
    NewEvent {
        head,
        info: "a thing".to_owned(),
        content: b"{\"Attribute\":[]}".to_vec(),
        attributes,
        objects: Vec::new(),
        reports: Vec::new(),
        tags: Vec::new(),
    }
}

/// The same, with something else in its head.
fn with(mut event: NewEvent, change: impl FnOnce(&mut Head)) -> NewEvent {
    change(&mut event.head);
    event
}

async fn put(events: &Events, event: &NewEvent) {
    let mut edit = events.write().await.unwrap();
    edit.put(event).await.unwrap();
    edit.commit().await.unwrap();
}

async fn found(events: &Events, query: RowQuery) -> Vec<i64> {
    events.rows(&RowQuery { limit: 100, ..query }).await.unwrap().iter().map(|found| found.id).collect()
}

fn words(any: &[&str]) -> Words {
    Words { any: any.iter().map(|word| (*word).to_owned()).collect(), none: Vec::new() }
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_put_and_is_replaced_by_the_next_put() {
    let (folder, events) = events().await;
    let mut one = event(1, ME, vec![attribute(1, "domain", "A.example"), attribute(2, "domain|ip", "b.example|198.51.100.1")]);
    put(&events, &one).await;
    let head = events.named(&Name::Uuid("event-1".into())).await.unwrap().remove(0);
    assert_eq!((head.id, head.org, head.attributes, head.audience.len(), head.deleted), (1, ME, 2, 1, false));
    assert_eq!(events.content(1).await.unwrap().unwrap(), one.content);
    one.attributes.remove(0);
    one.attributes[0].comment = "changed".into();
    put(&events, &one).await;
    events.close().await;
    let events = Events::open(&folder.path().join("misp.sqlite")).await.unwrap();
    assert_eq!(found(&events, RowQuery::default()).await, [2]);
    assert_eq!(found(&events, RowQuery { anywhere: words(&["%chang%"]), ..RowQuery::default() }).await, [2]);
    assert_eq!(events.pending().await.unwrap(), [1]);
}

#[tokio::test]
async fn two_organisations_may_keep_an_event_of_the_same_uuid_and_one_may_not() {
    let (_folder, events) = events().await;
    put(&events, &event(1, ME, Vec::new())).await;
    let mut again = event(2, OTHER, Vec::new());
    again.head.uuid = "event-1".into();
    put(&events, &again).await;
    assert_eq!(events.named(&Name::Uuid("event-1".into())).await.unwrap().len(), 2);
    again.head.id = 3;
    let mut edit = events.write().await.unwrap();
    assert!(matches!(edit.put(&again).await, Err(RecordsError::Taken)));
}

#[tokio::test]
async fn values_are_found_whole_by_their_parts_and_by_pattern_and_never_by_what_they_are_not() {
    let (_folder, events) = events().await;
    let mut one = event(1, ME, vec![attribute(1, "domain", "A.example"), attribute(2, "domain|ip", "b.example|198.51.100.1"), attribute(3, "text", "100%_x")]);
    one.tags = vec![(0, "tlp:green".into()), (2, "c2".into())];
    put(&events, &one).await;
    for (value, expected) in
        [("a.EXAMPLE", &[1][..]), ("198.51.100.1", &[2]), ("%.example", &[1, 2]), ("example", &[]), ("%198%", &[2]), ("%0%_x", &[3]), ("%a_example", &[])]
    {
        assert_eq!(found(&events, RowQuery { value: words(&[value]), ..RowQuery::default() }).await, expected, "{value}");
    }
    let not = RowQuery { value: Words { any: Vec::new(), none: vec!["a.example".into()] }, ..RowQuery::default() };
    assert_eq!(found(&events, not).await, [2, 3]);
    let tagged = |any: &[&str], all: &[&str], none: &[&str]| {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        RowQuery { tags: TagCondition { any: list(any), all: list(all), none: list(none) }, ..RowQuery::default() }
    };
    assert_eq!(found(&events, tagged(&["TLP:green"], &[], &[])).await, [1, 2, 3]);
    assert_eq!(found(&events, tagged(&[], &["tlp:%", "c2"], &[])).await, [2]);
    assert_eq!(found(&events, tagged(&["tlp:green"], &[], &["c2"])).await, [1, 3]);
    assert!(found(&events, tagged(&[], &[], &["tlp:green"])).await.is_empty());
}

#[tokio::test]
async fn heads_are_given_in_order_by_what_is_asked_for_and_deleted_ones_only_by_name() {
    let (_folder, events) = events().await;
    for id in 1..=4 {
        let one = event(id, if id < 3 { ME } else { OTHER }, Vec::new());
        put(&events, &with(one, |head| (head.published, head.deleted) = (id % 2 == 0, id == 4))).await;
    }
    let ids = async |query: EventQuery| -> Vec<i64> { events.heads(&EventQuery { limit: 10, ..query }).await.unwrap().iter().map(|head| head.id).collect() };
    assert_eq!(ids(EventQuery::default()).await, [1, 2, 3]);
    assert_eq!(ids(EventQuery { published: Some(true), ..EventQuery::default() }).await, [2]);
    assert_eq!(ids(EventQuery { orgs: Condition { any: Vec::new(), none: vec![4] }, ..EventQuery::default() }).await, [1, 2]);
    assert_eq!(ids(EventQuery { timestamp: (Some(1_002), Some(1_003)), after: 2, ..EventQuery::default() }).await, [3]);
    assert!(events.named(&Name::Id(4)).await.unwrap()[0].deleted);
}

#[tokio::test]
async fn what_is_shared_is_noted_and_only_the_change_it_was_made_of_is_behind_no_more() {
    let (_folder, events) = events().await;
    put(&events, &with(event(1, ME, Vec::new()), |head| head.generation = 2)).await;
    let came = [Shared { attribute: "u".into(), digest: 5, seq: Seq(9) }];
    for (generation, pending) in [(1, 1), (2, 0)] {
        let mut edit = events.write().await.unwrap();
        edit.set_shared(1, generation, &[], &came).await.unwrap();
        edit.commit().await.unwrap();
        assert_eq!(events.pending().await.unwrap().len(), pending);
    }
    assert_eq!(events.shared(1).await.unwrap(), came);
}

#[tokio::test]
async fn numbers_are_never_given_twice_and_sightings_are_taken_back() {
    let (_folder, events) = events().await;
    let mut edit = events.write().await.unwrap();
    assert_eq!(edit.numbers(Part::Attribute, 3).await.unwrap(), 1);
    assert_eq!(edit.numbers(Part::Attribute, 1).await.unwrap(), 4);
    let sighting = NewSighting { uuid: "s".into(), event: 1, attribute: 2, org: ME, kind: 1, seen: 7, source: "x".into() };
    let id = edit.add_sighting(&sighting).await.unwrap();
    edit.commit().await.unwrap();
    assert_eq!(events.sightings(Some(1), Some(2), 0).await.unwrap()[0].id, id);
    let mut edit = events.write().await.unwrap();
    edit.delete_sighting(id).await.unwrap();
    edit.commit().await.unwrap();
    assert!(events.sighting(&Name::Uuid("s".into())).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_uuid_of_one_organisation_stands_in_no_others_way() {
    let (_folder, events) = events().await;
    // Another organisation has filled events of its own with the UUID that an attribute of mine has.
    for id in 1..=PLACES_OF_ONE + 5 {
        put(&events, &event(id, OTHER, vec![NewAttribute { uuid: "same".into(), ..attribute(id, "domain", "a.example") }])).await;
    }
    let mine = event(500, ME, vec![NewAttribute { uuid: "same".into(), ..attribute(500, "domain", "a.example") }]);
    put(&events, &mine).await;
    let places = events.places(Part::Attribute, &Name::Uuid("same".into()), ME).await.unwrap();
    assert_eq!((places[0], places.len()), (Place { event: 500, id: 500 }, 101));
    let third = events.places(Part::Attribute, &Name::Uuid("same".into()), OrgNo(9)).await.unwrap();
    assert!(third.contains(&Place { event: 500, id: 500 }) && third[0].id == 1);
    put(&events, &with(mine, |head| head.deleted = true)).await;
    assert!(events.places(Part::Attribute, &Name::Id(500), ME).await.unwrap().is_empty());

    let sighting = |org| NewSighting { uuid: "s".into(), event: 1, attribute: 2, org, kind: 0, seen: 7, source: String::new() };
    let mut edit = events.write().await.unwrap();
    edit.add_sighting(&sighting(OTHER)).await.unwrap();
    edit.add_sighting(&sighting(ME)).await.unwrap();
    assert!(matches!(edit.add_sighting(&sighting(ME)).await, Err(RecordsError::Taken)));
    edit.add_sighting(&NewSighting { uuid: "t".into(), ..sighting(ME) }).await.unwrap();
    assert_eq!(edit.count_sightings(ME, 1).await.unwrap(), (2, vec![(2, 2)]));
    assert_eq!(edit.count_sightings(ME, 7).await.unwrap(), (2, Vec::new()));
    edit.commit().await.unwrap();
    assert_eq!(events.sighting(&Name::Uuid("s".into())).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_name_leads_to_is_found_by_any_of_its_parts() {
    let (_folder, events) = events().await;
    let inside = NewAttribute { object: 7, ..attribute(3, "filename", "x") };
    put(&events, &event(1, ME, vec![attribute(1, "domain", "a.example"), attribute(2, "domain", "b.example"), inside])).await;
    put(&events, &event(2, ME, vec![attribute(4, "domain", "c.example")])).await;
    let of = |events: &[i64], attributes: &[i64], objects: &[i64]| RowQuery {
        named: Named { events: events.to_vec(), attributes: attributes.to_vec(), objects: objects.to_vec() },
        ..RowQuery::default()
    };
    assert_eq!(found(&events, of(&[2], &[1], &[])).await, [1, 4]);
    assert_eq!(found(&events, of(&[], &[2], &[7])).await, [2, 3]);
    assert_eq!(found(&events, of(&[], &[], &[])).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn sightings_of_an_earlier_file_stay_and_no_longer_stand_in_anothers_way() {
    let (folder, events) = events().await;
    for statement in [
        "DROP TABLE sighting",
        "CREATE TABLE sighting (id INTEGER NOT NULL PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, event BIGINT NOT NULL, \
        attribute BIGINT NOT NULL, org BIGINT NOT NULL, kind BIGINT NOT NULL, seen BIGINT NOT NULL, source TEXT NOT NULL)",
        "CREATE INDEX sighting_by_attribute ON sighting (event, attribute)",
        "INSERT INTO sighting VALUES (70, 's', 1, 2, 4, 0, 7, 'x')",
    ] {
        sqlx::query(statement).execute(&events.file.writes).await.unwrap();
    }
    events.close().await;
    let events = Events::open(&folder.path().join("misp.sqlite")).await.unwrap();
    let mut edit = events.write().await.unwrap();
    edit.add_sighting(&NewSighting { uuid: "s".into(), event: 1, attribute: 2, org: ME, kind: 0, seen: 7, source: String::new() }).await.unwrap();
    edit.commit().await.unwrap();
    let there = events.sighting(&Name::Uuid("s".into())).await.unwrap();
    let said: Vec<_> = there.iter().map(|sighting| (sighting.org, sighting.source.as_str())).collect();
    assert_eq!(said, [(ME, ""), (OTHER, "x")]);
}

#[tokio::test]
async fn reports_are_found_by_name_and_those_of_an_earlier_file_are_numbered() {
    let (folder, events) = events().await;
    let head = r#"{"info":"x","EventReport":[{"id":"900","uuid":"UUID-A","name":"a"},{"name":"b"}]}"#;
    put(&events, &with(event(1, ME, Vec::new()), |event| event.json = head.to_owned())).await;
    for statement in ["DROP TABLE report", "DELETE FROM counter WHERE name = 'report'"] {
        sqlx::query(statement).execute(&events.file.writes).await.unwrap();
    }
    events.close().await;
    let events = Events::open(&folder.path().join("misp.sqlite")).await.unwrap();
    let (first, second) = (Place { event: 1, id: 1 }, Place { event: 1, id: 2 });
    assert_eq!(events.reports(None, 0).await.unwrap(), [first, second]);
    assert_eq!(events.places(Part::Report, &Name::Uuid("uuid-a".into()), ME).await.unwrap(), [first]);
    let there = events.named(&Name::Id(1)).await.unwrap().remove(0).json;
    assert!(there.contains(r#""id":"1""#) && there.contains(r#""id":"2""#) && !there.contains("900"), "{there}");
    let mut edit = events.write().await.unwrap();
    assert_eq!(edit.numbers(Part::Report, 1).await.unwrap(), 3);
    edit.commit().await.unwrap();
    put(&events, &NewEvent { reports: vec![(3, "uuid-c".into())], ..event(1, ME, Vec::new()) }).await;
    assert_eq!(events.reports(Some(1), 0).await.unwrap(), [Place { event: 1, id: 3 }]);
    put(&events, &with(event(1, ME, Vec::new()), |event| event.deleted = true)).await;
    assert!(events.reports(None, 0).await.unwrap().is_empty(), "what is deleted has none");
}

#[tokio::test]
async fn the_length_of_a_content_is_known_before_it_is_unpacked_however_it_was_packed() {
    let (_folder, events) = events().await;
    let one = NewEvent { content: vec![b'x'; 3_000_000], ..event(1, ME, Vec::new()) };
    put(&events, &one).await;
    let packed: Vec<u8> = sqlx::query_scalar("SELECT content FROM event WHERE id = 1").fetch_one(&events.file.reads).await.unwrap();
    assert_eq!(zstd::decompressed_size(&packed), Some(3_000_000));
    assert_eq!((events.size(1).await.unwrap(), events.size(2).await.unwrap()), (Some(3_000_000), None));
    // As an earlier program packed it.
    let earlier = zstd::encode_all(one.content.as_slice(), LEVEL).unwrap();
    sqlx::query("UPDATE event SET content = $1 WHERE id = 1").bind(earlier).execute(&events.file.writes).await.unwrap();
    assert_eq!((events.size(1).await.unwrap(), events.content(1).await.unwrap().unwrap()), (Some(3_000_000), one.content));
}

#[tokio::test]
async fn proposals_are_kept_counted_and_taken_out_once() {
    let (_folder, events) = events().await;
    let proposal = NewProposal { uuid: "u".into(), event: 1, attribute: 2, org: ME, created: 7, json: "{}".into() };
    let mut edit = events.write().await.unwrap();
    let (first, second) = (edit.add_proposal(&proposal).await.unwrap(), edit.add_proposal(&proposal).await.unwrap());
    assert_eq!((edit.count_proposals(ME).await.unwrap(), edit.count_proposals(OTHER).await.unwrap()), (2, 0));
    edit.commit().await.unwrap();
    let ids = |list: Vec<Proposal>| list.iter().map(|proposal| proposal.id).collect::<Vec<_>>();
    assert_eq!(ids(events.proposals(Some(1), None, 0).await.unwrap()), [first, second]);
    assert_eq!(ids(events.proposals(None, None, first).await.unwrap()), [second]);
    assert_eq!(ids(events.proposal(&Name::Uuid("u".into())).await.unwrap()), [first, second]);
    assert!(events.proposals(Some(2), None, 0).await.unwrap().is_empty());
    assert_eq!((ids(events.proposals(Some(1), Some(2), 0).await.unwrap()).len(), events.proposed(1).await.unwrap()), (2, vec![2]));
    assert!(events.proposals(Some(1), Some(0), 0).await.unwrap().is_empty() && events.sighted(1).await.unwrap().is_empty());
    let mut edit = events.write().await.unwrap();
    assert!(edit.delete_proposal(first).await.unwrap() && !edit.delete_proposal(first).await.unwrap());
    edit.commit().await.unwrap();
    assert!(events.proposal(&Name::Id(first)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_check_finds_nothing_in_a_sound_file_and_names_what_does_not_fit() {
    let (folder, events) = events().await;
    put(&events, &event(1, ME, vec![attribute(1, "domain", "a.example")])).await;
    put(&events, &with(event(2, ME, Vec::new()), |head| head.deleted = true)).await;
    assert_eq!((events.check().await.unwrap(), events.ids(0).await.unwrap()), (Vec::<String>::new(), vec![1, 2]));
    let copy = folder.path().join("copy.sqlite");
    events.backup_to(&copy).await.unwrap();
    assert_eq!(Events::open(&copy).await.unwrap().ids(1).await.unwrap(), [2]);
    put(&events, &NewEvent { content: b"no JSON".to_vec(), ..event(1, ME, Vec::new()) }).await;
    assert_eq!(events.check().await.unwrap(), ["content of event 1 cannot be read"]);
    events.checkpoint().await.unwrap();
}
