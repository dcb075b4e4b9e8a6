#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::ledger::Victim;
use crate::views::Keys;
use model::{Category, ObservableType, Timestamp};

const CAP: u64 = 10;
const LANE: i64 = 1;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

async fn opened() -> (tempfile::TempDir, Deliveries, i64) {
    let folder = tempfile::tempdir().unwrap();
    let file = Deliveries::open(&folder.path().join("deliveries.sqlite")).await.unwrap();
    let number = file.add_subscriber("sub_1", Seq(0), at(0)).await.unwrap();
    (folder, file, number)
}

fn event(subscriber: i64, seq: u64) -> Match {
    Match { subscriber, item: Item::Event(Seq(seq)), category: None, noticed: at(0), due: at(1) }
}

fn finding(subscriber: i64, id: u128, noticed: i64) -> Match {
    Match { subscriber, item: Item::Finding(id), category: Some(Category::InfectedSystem), noticed: at(noticed), due: at(1) }
}

fn message<'a>(id: &'a str, made: i64, content: &'a [u8]) -> NewMessage<'a> {
    NewMessage { id, lane: LANE, reader: "r", made: at(made), inbox: None, content }
}

fn taken(items: &[Item]) -> Outcome {
    Outcome { taken: items.to_vec(), ..Outcome::default() }
}

#[tokio::test]
async fn marks_are_kept_and_have_no_part_in_what_the_ledger_lacks() {
    let (_folder, file, _) = opened().await;
    assert_eq!(file.mark("a").await.unwrap(), None);
    file.set_marks(&[("a", 5_000), ("b", -1)]).await.unwrap();
    file.set_marks(&[("a", 4_000)]).await.unwrap();
    file.note(Seq(100), &[], CAP).await.unwrap();
    file.cut(Seq(50)).await.unwrap();
    assert_eq!((file.mark("a").await.unwrap(), file.mark("b").await.unwrap(), file.position().await.unwrap()), (Some(4_000), Some(-1), Some(Seq(50))));
}

async fn waiting(file: &Deliveries, subscriber: i64) -> Vec<Item> {
    file.waiting(subscriber, at(1_000), 100).await.unwrap()
}

async fn told(file: &Deliveries, subscriber: i64) -> Vec<Item> {
    file.to_tell(subscriber, 100).await.unwrap().into_iter().map(|told| told.item).collect()
}

async fn queued(file: &Deliveries) -> Vec<Queued> {
    file.to_send(LANE, at(1_000), &[], &[], 100).await.unwrap()
}

#[tokio::test]
async fn what_matched_is_there_once_with_the_place_and_past_the_limit_it_is_counted() {
    let (_folder, file, number) = opened().await;
    assert_eq!(file.position().await.unwrap(), None);
    let matches: Vec<Match> = (1..=8).map(|seq| event(number, seq)).collect();
    file.note(Seq(9), &matches, CAP).await.unwrap();
    // As after a crash: the same frames are looked through again.
    file.note(Seq(9), &matches, CAP).await.unwrap();
    assert_eq!(file.position().await.unwrap(), Some(Seq(9)));
    assert_eq!(waiting(&file, number).await.len(), 8);
    let more: Vec<Match> = (9..=14).map(|seq| event(number, seq)).collect();
    file.note(Seq(15), &more, CAP).await.unwrap();
    let subscriber = file.subscriber("sub_1").await.unwrap().unwrap();
    assert_eq!((subscriber.waiting, subscriber.left_out), (10, 4));
    assert_eq!(file.left_out(number).await.unwrap(), 4);
    // For somebody who was removed meanwhile nothing is kept, and the place moves all the same.
    file.note(Seq(20), &[event(99, 16)], CAP).await.unwrap();
    assert_eq!(file.position().await.unwrap(), Some(Seq(20)));
}

#[tokio::test]
async fn a_message_holds_its_content_through_every_attempt_and_loses_it_when_it_is_taken() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(4), &[event(number, 1), event(number, 2), event(number, 3)], CAP).await.unwrap();
    let items = [Item::Event(Seq(1)), Item::Event(Seq(2))];
    let outcome = Outcome { dropped: vec![Item::Event(Seq(3))], ..taken(&items) };
    file.make(number, Some(&message("m1", 2, b"content")), &outcome).await.unwrap();
    assert!(waiting(&file, number).await.is_empty());
    assert!(file.state(number).await.unwrap().queued);
    let first = queued(&file).await.remove(0);
    for attempt in 1..=3_i64 {
        assert_eq!(file.begin_attempt(first.number).await.unwrap().as_deref(), Some(&b"content"[..]));
        file.failed(first.number, at(attempt), "503", at(attempt + 1)).await.unwrap();
    }
    assert_eq!(queued(&file).await[0].attempts, 3);
    assert!(file.to_send(LANE, at(3), &[], &[], 10).await.unwrap().is_empty(), "its time has not come");
    assert!(file.to_send(LANE, at(100), &[first.number], &[], 10).await.unwrap().is_empty(), "it is being sent");
    assert!(file.to_send(LANE, at(100), &[], &[first.subscriber], 10).await.unwrap().is_empty(), "its subscriber has its share");
    file.sent(first.number, at(9)).await.unwrap();
    assert_eq!(file.begin_attempt(first.number).await.unwrap(), None);
    let subscriber = file.subscriber("sub_1").await.unwrap().unwrap();
    assert_eq!((subscriber.sent, subscriber.queued, subscriber.waiting, subscriber.error), (1, 0, 0, None));
}

#[tokio::test]
async fn a_withdrawal_takes_what_waits_and_has_told_what_was_tried() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(9), &(1..=6).map(|seq| event(number, seq)).collect::<Vec<_>>(), CAP).await.unwrap();
    file.make(number, Some(&message("m1", 2, b"a")), &taken(&[Item::Event(Seq(1)), Item::Event(Seq(2))])).await.unwrap();
    let sent = queued(&file).await[0].number;
    file.begin_attempt(sent).await.unwrap();
    file.sent(sent, at(3)).await.unwrap();
    file.make(number, Some(&message("m2", 4, b"b")), &taken(&[Item::Event(Seq(3)), Item::Event(Seq(4))])).await.unwrap();

    let concerned = file.withdraw(Seq(10), &[(Seq(2), Seq(3)), (Seq(6), Seq(6))], at(5)).await.unwrap();
    assert_eq!(concerned, [number]);
    assert_eq!(file.position().await.unwrap(), Some(Seq(10)));
    assert_eq!(told(&file, number).await, [Item::Event(Seq(2))]);
    // The second message was never tried: it is taken apart, and what stands waits again.
    assert!(queued(&file).await.is_empty());
    assert_eq!(waiting(&file, number).await, [Item::Event(Seq(4)), Item::Event(Seq(5))]);
    assert_eq!(file.subscriber("sub_1").await.unwrap().unwrap().waiting, 2);

    let outcome = Outcome { told: vec![Item::Event(Seq(2))], ..taken(&[Item::Event(Seq(4)), Item::Event(Seq(5))]) };
    file.make(number, Some(&message("m3", 6, b"c")), &outcome).await.unwrap();
    assert!(told(&file, number).await.is_empty());
    // Taken apart it gives everything back, what was to be told too.
    let third = queued(&file).await[0].number;
    file.unmake(third).await.unwrap();
    assert_eq!((told(&file, number).await.len(), waiting(&file, number).await.len()), (1, 2));
}

#[tokio::test]
async fn what_may_have_arrived_is_told_when_it_is_withdrawn() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(2), &[event(number, 1)], CAP).await.unwrap();
    file.make(number, Some(&message("m1", 2, b"a")), &taken(&[Item::Event(Seq(1))])).await.unwrap();
    let first = queued(&file).await[0].number;
    file.begin_attempt(first).await.unwrap();
    file.withdraw(Seq(3), &[(Seq(1), Seq(1))], at(3)).await.unwrap();
    assert_eq!(queued(&file).await.len(), 1, "a retry sends the same");
    assert_eq!(told(&file, number).await, [Item::Event(Seq(1))]);
}

#[tokio::test]
async fn a_parked_subscriber_waits_until_it_is_released() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(2), &[event(number, 1)], CAP).await.unwrap();
    file.make(number, Some(&message("m1", 2, b"a")), &taken(&[Item::Event(Seq(1))])).await.unwrap();
    let first = queued(&file).await[0].number;
    file.begin_attempt(first).await.unwrap();
    assert!(file.park(first, at(3), "gone").await.unwrap());
    assert!(!file.park(first, at(4), "gone").await.unwrap(), "it is told once");
    assert!(queued(&file).await.is_empty());
    let subscriber = file.subscriber("sub_1").await.unwrap().unwrap();
    assert_eq!((subscriber.parked, subscriber.error.as_deref(), subscriber.queued), (Some(at(3)), Some("gone"), 1));
    file.release(number, at(9)).await.unwrap();
    let again = queued(&file).await;
    assert_eq!((again[0].number, again[0].attempts), (first, 0));
    assert_eq!(file.begin_attempt(first).await.unwrap().as_deref(), Some(&b"a"[..]), "the same message");
}

#[tokio::test]
async fn a_finding_is_sent_again_where_the_owner_was_told_again() {
    let (_folder, file, number) = opened().await;
    file.note_findings(number, at(10), &[finding(number, 7, 10)], CAP).await.unwrap();
    file.make(number, Some(&message("m1", 11, b"a")), &taken(&[Item::Finding(7)])).await.unwrap();
    assert_eq!(file.told_findings(number).await.unwrap(), [7]);
    file.note_findings(number, at(10), &[finding(number, 7, 10)], CAP).await.unwrap();
    assert!(waiting(&file, number).await.is_empty(), "looked at twice it is sent once");
    file.note_findings(number, at(20), &[finding(number, 7, 20)], CAP).await.unwrap();
    assert_eq!(waiting(&file, number).await, [Item::Finding(7)]);
    assert_eq!(file.subscriber("sub_1").await.unwrap().unwrap().noticed, at(20));
    file.make(number, Some(&message("m2", 21, b"b")), &taken(&[Item::Finding(7)])).await.unwrap();
    file.withdraw_findings(number, &[7], at(30)).await.unwrap();
    assert_eq!(told(&file, number).await, [Item::Finding(7)]);
}

#[tokio::test]
async fn a_changed_rhythm_moves_what_waits() {
    let (_folder, file, number) = opened().await;
    file.note_findings(number, at(10), &[finding(number, 7, 10)], CAP).await.unwrap();
    file.note(Seq(2), &[event(number, 1)], CAP).await.unwrap();
    file.set_due(number, None, at(500)).await.unwrap();
    assert!(file.waiting(number, at(499), 10).await.unwrap().is_empty());
    file.set_due(number, Some(Category::InfectedSystem), at(100)).await.unwrap();
    assert_eq!(file.waiting(number, at(100), 10).await.unwrap(), [Item::Finding(7)]);
    assert_eq!(file.state(number).await.unwrap().due, Some(at(100)));
}

#[tokio::test]
async fn what_is_left_out_of_a_digest_is_told_once() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(9), &(1..=5).map(|seq| event(number, seq)).collect::<Vec<_>>(), CAP).await.unwrap();
    // Two were counted for the message, and a third came to it since.
    let outcome = Outcome { leave_out: Some((at(1), 2)), ..taken(&[Item::Event(Seq(1)), Item::Event(Seq(2))]) };
    file.make(number, Some(&message("m1", 2, b"a")), &outcome).await.unwrap();
    let subscriber = file.subscriber("sub_1").await.unwrap().unwrap();
    assert_eq!((subscriber.waiting, subscriber.left_out), (0, 3));
    assert_eq!(file.left_out(number).await.unwrap(), 1);
}

#[tokio::test]
async fn an_inbox_is_its_organisations_alone_and_has_room_for_the_newest() {
    let (_folder, file, number) = opened().await;
    for count in 0..3_i64 {
        file.note(Seq(2), &[event(number, count as u64 + 1)], CAP).await.unwrap();
        let (id, content) = (format!("m{count}"), format!("message {count}"));
        let new = NewMessage { inbox: Some(NewInbox { organisation: "org_1" }), ..message(&id, count, content.as_bytes()) };
        file.make(number, Some(&new), &taken(&[Item::Event(Seq(count as u64 + 1))])).await.unwrap();
    }
    assert!(queued(&file).await.is_empty(), "nothing of it is sent");
    let page = file.inbox("org_1", None, false, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["m2", "m1"]);
    assert_eq!(file.inbox("org_1", Some(page[1].number), false, 2).await.unwrap()[0].content, b"message 0");
    assert!(file.inbox("org_2", None, false, 2).await.unwrap().is_empty());
    assert_eq!(file.read_inbox("org_2", "m1", at(5)).await.unwrap(), None);
    assert_eq!(file.read_inbox("org_1", "m1", at(5)).await.unwrap().unwrap().read, Some(at(5)));
    assert_eq!(file.read_inbox("org_1", "m1", at(6)).await.unwrap().unwrap().read, Some(at(5)), "who read it first did");
    assert_eq!((file.inbox("org_1", None, true, 9).await.unwrap().len(), file.unread("org_1").await.unwrap()), (2, 2));
    let large = vec![b'x'; MAX_INBOX_BYTES as usize];
    file.say("large", NewInbox { organisation: "org_1" }, at(7), &large).await.unwrap();
    let left = file.inbox("org_1", None, false, 9).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["large"]);
}

#[tokio::test]
async fn a_code_is_taken_once_in_time_and_after_too_many_guesses_not_at_all() {
    let (_folder, file, number) = opened().await;
    assert_eq!(file.try_code(number, "h", at(0)).await.unwrap(), CodeAnswer::None);
    file.set_code(number, "h", at(100)).await.unwrap();
    assert_eq!(file.try_code(number, "x", at(1)).await.unwrap(), CodeAnswer::Wrong);
    assert_eq!(file.try_code(number, "h", at(100)).await.unwrap(), CodeAnswer::None);
    assert_eq!(file.try_code(number, "h", at(2)).await.unwrap(), CodeAnswer::Right);
    assert_eq!(file.try_code(number, "h", at(3)).await.unwrap(), CodeAnswer::None);
    file.set_code(number, "h", at(100)).await.unwrap();
    for _ in 0..MAX_TRIES {
        assert_eq!(file.try_code(number, "x", at(1)).await.unwrap(), CodeAnswer::Wrong);
    }
    assert_eq!(file.try_code(number, "h", at(2)).await.unwrap(), CodeAnswer::None);
}

#[tokio::test]
async fn an_erased_value_is_in_no_file() {
    let (folder, file, number) = opened().await;
    file.note(Seq(3), &[event(number, 1), event(number, 2)], CAP).await.unwrap();
    let content = br#"{"events":[{"value":"lee@household.kr"}]}"#;
    file.make(number, Some(&message("m1", 2, content)), &taken(&[Item::Event(Seq(1))])).await.unwrap();
    let tried = queued(&file).await[0].number;
    file.begin_attempt(tried).await.unwrap();
    file.failed(tried, at(3), "550 no mailbox lee@household.kr", at(9)).await.unwrap();
    file.say("kept", NewInbox { organisation: "org_1" }, at(4), content).await.unwrap();
    file.say("other", NewInbox { organisation: "org_1" }, at(4), b"{}").await.unwrap();

    let victim = Victim::new(&Keys::new([7; 32]), ObservableType::Email, "lee@household.kr");
    assert_eq!(file.erase(&victim).await.unwrap(), Erased { inbox: 1, messages: 1 });
    assert_eq!(waiting(&file, number).await.len(), 2, "what it held waits again, to be rendered without it");
    assert_eq!(file.inbox("org_1", None, false, 9).await.unwrap().len(), 1);
    file.close().await;
    for entry in folder.path().read_dir().unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"household"), "{}", entry.path().display());
    }
}

#[tokio::test]
async fn what_is_past_its_time_is_forgotten_but_what_is_still_to_be_told() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(3), &[event(number, 1), event(number, 2)], CAP).await.unwrap();
    file.make(number, Some(&message("m1", 2, b"a")), &taken(&[Item::Event(Seq(1)), Item::Event(Seq(2))])).await.unwrap();
    let first = queued(&file).await[0].number;
    file.begin_attempt(first).await.unwrap();
    file.sent(first, at(3)).await.unwrap();
    file.say("kept", NewInbox { organisation: "org_1" }, at(4), b"{}").await.unwrap();
    file.withdraw(Seq(4), &[(Seq(2), Seq(2))], at(5)).await.unwrap();
    file.tidy(at(10).plus(SENT_KEPT)).await.unwrap();
    assert_eq!(told(&file, number).await, [Item::Event(Seq(2))]);
    assert_eq!(file.withdraw(Seq(5), &[(Seq(1), Seq(1))], at(6)).await.unwrap(), [0_i64; 0], "the first is forgotten");
    assert_eq!(file.inbox("org_1", None, false, 9).await.unwrap().len(), 1);
    file.tidy(at(10).plus(INBOX_KEPT)).await.unwrap();
    assert!(file.inbox("org_1", None, false, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn after_a_restore_nothing_stands_for_events_that_the_ledger_lacks() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(9), &[event(number, 3), event(number, 7)], CAP).await.unwrap();
    file.cut(Seq(5)).await.unwrap();
    assert_eq!(file.position().await.unwrap(), Some(Seq(5)));
    assert_eq!(waiting(&file, number).await, [Item::Event(Seq(3))]);
    assert_eq!(file.subscriber("sub_1").await.unwrap().unwrap().waiting, 1);
}

#[tokio::test]
async fn a_removed_subscriber_leaves_nothing_but_its_inbox() {
    let (_folder, file, number) = opened().await;
    file.note(Seq(3), &[event(number, 1), event(number, 2)], CAP).await.unwrap();
    file.make(number, Some(&message("m1", 2, b"a")), &taken(&[Item::Event(Seq(1))])).await.unwrap();
    file.remove_subscriber("sub_1").await.unwrap();
    assert!(queued(&file).await.is_empty() && waiting(&file, number).await.is_empty());
    assert_eq!(file.subscriber("sub_1").await.unwrap(), None);
    // Whoever comes next has nothing of it.
    assert_ne!(file.add_subscriber("sub_2", Seq(3), at(9)).await.unwrap(), number);
}
