use super::*;
use crate::members::{NewKey, OrganisationPatch, Patch};
use crate::test_support::Realm;
use model::{Category, KeyRole, ObservableType, OrgKind, Standing, Text};

const BEGIN: i64 = 1_800_000_000;
const WITHIN: Duration = Duration::from_secs(20);

async fn take(follower: &mut Subscription, events: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < events {
        match tokio::time::timeout(WITHIN, follower.next()).await.expect("the stream goes on") {
            StreamItem::Event { json, .. } => taken.push(json.to_vec()),
            StreamItem::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_with_the_same_facts_and_with_others_get_each_what_a_search_gives_them() {
    let realm = Realm::open(BEGIN, None).await;
    let (_, sender) = realm.member("Sender", OrgKind::Company).await;
    let (id, one) = realm.member("One", OrgKind::Company).await;
    let (_, two) = realm.member("Two", OrgKind::Company).await;
    let filters = [
        Filter::default(),
        Filter { categories: vec![Category::Phishing], ..Filter::default() },
        Filter { types: vec![ObservableType::Domain], ..Filter::default() },
        Filter { domain: Some(Text::from("b.kr")), categories: vec![Category::Phishing, Category::Scanner], ..Filter::default() },
        Filter { within: Some("185.60.0.0/16".parse().unwrap()), ..Filter::default() },
    ];
    let readers = [&sender, &one, &two, &realm.coordinator];
    let mut followers = Vec::new();
    for actor in readers {
        for filter in &filters {
            followers.push((actor, filter, realm.hub.subscribe(actor, filter.clone(), None).unwrap()));
        }
    }
    for number in 0..60 {
        let (tlp, category) = (["clear", "green", "amber", "red"][number % 4], ["phishing", "scanner", "test"][number % 3]);
        let value = if number.is_multiple_of(2) { format!("185.60.1.{number}") } else { format!("a{number}.b.kr") };
        let audience = if number.is_multiple_of(5) { format!(",\"audience\":[\"{id}\"]") } else { String::new() };
        let from = if number.is_multiple_of(7) { &one } else { &sender };
        realm.send(from, &format!("\"category\":\"{category}\",\"value\":\"{value}\",\"tlp\":\"{tlp}\",\"note\":\"a note\"{audience}")).await;
    }
    for (actor, filter, follower) in &mut followers {
        let mut expected = realm.hub.search(actor, filter, false, 1_000, None).unwrap().events;
        expected.reverse();
        assert!(!expected.is_empty());
        assert_eq!(take(follower, expected.len()).await, expected, "{:?} {filter:?}", actor.organisation.name);
        let more = tokio::time::timeout(Duration::from_millis(20), follower.next()).await;
        assert!(!matches!(more, Ok(StreamItem::Event { .. })), "{more:?}");
    }
    assert!(realm.hub.sheets.rows() > 0);

    // What was kept for followers goes with the frames.
    drop(followers);
    realm.send(&sender, "\"category\":\"scanner\",\"value\":\"185.60.1.99\"").await;
    let began = Instant::now();
    while realm.hub.sheets.rows() > 0 {
        assert!(began.elapsed() < WITHIN, "sheets of forgotten frames are kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    realm.close().await;
}

async fn next_place(follower: &mut Subscription) -> Seq {
    loop {
        match tokio::time::timeout(WITHIN, follower.next()).await.expect("the stream goes on") {
            StreamItem::Event { seq, .. } => return seq,
            StreamItem::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_event_is_judged_by_the_standing_and_the_memberships_of_its_moment() {
    let realm = Realm::open(BEGIN, None).await;
    let (_, sender) = realm.member("Sender", OrgKind::Company).await;
    let (id, one) = realm.member("One", OrgKind::Company).await;
    let members = realm.hub.members();
    let [amber, green] = ["amber", "green"].map(|tlp| format!("\"category\":\"scanner\",\"value\":\"185.60.1.1\",\"tlp\":\"{tlp}\""));
    let mut follower = realm.hub.subscribe(&one, Filter::default(), None).unwrap();
    let seen = realm.send(&sender, &amber).await;
    assert_eq!(next_place(&mut follower).await, seen);

    // The clock stands still, so that no look by time comes in between.
    members.set_standing(&realm.coordinator, id, Standing::ReceiveLimited, "idle", None).await.unwrap();
    realm.send(&sender, &amber).await;
    let seen = realm.send(&sender, &green).await;
    assert_eq!(next_place(&mut follower).await, seen, "amber is no longer for it");
    members.set_standing(&realm.coordinator, id, Standing::Full, "heard", None).await.unwrap();
    let seen = realm.send(&sender, &amber).await;
    assert_eq!(next_place(&mut follower).await, seen);

    let named = format!("{green},\"audience\":[\"energy\"]");
    realm.send(&sender, &named).await;
    let version = realm.hub.directory().by_id(id).unwrap().version;
    let patch = OrganisationPatch { sector: Patch::Set(Text::from("energy")), ..OrganisationPatch::default() };
    members.change(&realm.coordinator, id, version, patch, "moved").await.unwrap();
    let seen = realm.send(&sender, &named).await;
    let first = next_place(&mut follower).await;
    // What came before the change may be judged by either.
    assert!(first == seen || next_place(&mut follower).await == seen);
    let version = realm.hub.directory().by_id(id).unwrap().version;
    members.change(&realm.coordinator, id, version, OrganisationPatch { sector: Patch::Clear, ..OrganisationPatch::default() }, "back").await.unwrap();
    realm.send(&sender, &named).await;
    let seen = realm.send(&sender, &green).await;
    assert_eq!(next_place(&mut follower).await, seen, "it is in the audience no more");
    drop(follower);
    realm.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_a_waiting_stream_at_once_with_a_last_word() {
    let realm = Realm::open(BEGIN, None).await;
    let (id, one) = realm.member("One", OrgKind::Company).await;
    let mut follower = realm.hub.subscribe(&one, Filter::default(), None).unwrap();
    let waiting = tokio::spawn(async move { follower.next().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    realm.hub.members().revoke_key(&realm.coordinator, id, one.key, "lost").await.unwrap();
    let last = tokio::time::timeout(WITHIN, waiting).await.unwrap().unwrap();
    assert!(matches!(last, StreamItem::Dropped { reason } if reason.contains("key")), "{last:?}");
    assert!(began.elapsed() < HEARTBEAT / 3, "{:?}", began.elapsed());
    assert!(matches!(realm.hub.subscribe(&one, Filter::default(), None), Err(HubError::Unauthenticated)));
    realm.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_to_its_end_gets_nothing_after_it() {
    let realm = Realm::open(BEGIN, None).await;
    let (_, sender) = realm.member("Sender", OrgKind::Company).await;
    let (id, _) = realm.member("One", OrgKind::Company).await;
    let new = NewKey { role: KeyRole::Reader, expires: Some(Timestamp::from_seconds(BEGIN + 5)), allow: Vec::new(), red: false, holder: None };
    let (_, secret) = realm.hub.members().add_key(&realm.coordinator, id, new).await.unwrap();
    let reader = realm.hub.authenticate(&secret, "192.0.2.10".parse().unwrap()).unwrap();
    let mut follower = realm.hub.subscribe(&reader, Filter::default(), None).unwrap();
    let seen = realm.send(&sender, "\"category\":\"scanner\",\"value\":\"185.60.1.1\",\"tlp\":\"green\"").await;
    assert_eq!(next_place(&mut follower).await, seen);
    realm.now(BEGIN + 6);
    realm.send(&sender, "\"category\":\"scanner\",\"value\":\"185.60.1.2\",\"tlp\":\"green\"").await;
    let last = tokio::time::timeout(WITHIN, follower.next()).await.unwrap();
    assert!(matches!(last, StreamItem::Dropped { .. }), "{last:?}");
    drop(follower);
    realm.close().await;
}
