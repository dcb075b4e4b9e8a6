//! Facts of erasure, through a whole store on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use crate::ledger::{Control, Submission, Victim};
use crate::views::{Days, Keys, Part, prepare, replay};
use crate::{Batch, BatchResult, Options, Store};
use model::{Category, Event, ObservableType, OrgNo, Role, Text, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

const VICTIM: &str = "erase.me@household.kr";
const SENDER: OrgNo = OrgNo(1);

pub(crate) struct UtcDays;

impl Days for UtcDays {
    fn day(&mut self, time: Timestamp) -> i32 {
        time.utc_day() as i32
    }
}

fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        views_folder: None,
        recent_rows: 1_000,
        recent_age: Duration::from_secs(600),
        keys: Keys::new([7; 32]),
        days: Arc::new(|| -> Box<dyn Days + Send> { Box::new(UtcDays) }),
        now: Arc::new(|| Timestamp::from_seconds(1_800_000_000)),
        threads: 1,
    }
}

fn event(values: &[(ObservableType, Role, &str)]) -> Event {
    let mut all = values.iter().map(|&(kind, role, value)| model::canonical::observable(kind, value, role, None).unwrap());
    let mut event = Event::new(Timestamp::from_seconds(1_799_999_000), Category::DataLeak, all.next().unwrap());
    event.observables.extend(all);
    event
}

fn with_texts() -> Event {
    let mut event = event(&[(ObservableType::Domain, Role::Attacker, "thief.net")]);
    event.id = Some(Text::from(format!("mail-{VICTIM}")));
    event.details_mut().note = Some(Text::from("Mail of ERASE.ME@household.kr."));
    event.details_mut().original = Some(Text::from("stolen from erase[.]me[@]household[.]kr"));
    event
}

fn listed() -> Event {
    let mut event = event(&[(ObservableType::Email, Role::Victim, VICTIM)]);
    event.timeless = true;
    event
}

async fn send(store: &Store, events: Vec<Event>) -> BatchResult {
    let rows = events.len() as u32;
    let prepared = prepare(events, SENDER, &store.views.keys, &mut UtcDays);
    let (reply, answer) = oneshot::channel();
    let submission = Submission { org: SENDER, nonce: 1, idempotency: None, first_ordinal: 0, start: 0, rows, last: true };
    store.submit(Batch { prepared, encoded: None, submission, holes: Vec::new(), reply }).await.unwrap();
    answer.await.unwrap().unwrap()
}

async fn erase(store: &Store, kind: ObservableType, value: &str) -> u64 {
    store.erase(Victim::new(&store.views.keys, kind, value), "ers_1".to_owned(), "a law".to_owned()).await.unwrap()
}

async fn close(store: &Store) {
    store.checkpoint().await;
    store.close().await;
}

/// The first frame as it is read now.
fn first_part(store: &Store) -> Part {
    let frame = store.ledger.read_checked(&store.ledger.place(0).unwrap()).unwrap();
    replay(&frame, &store.views.keys, &mut UtcDays).unwrap().remove(0)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files that hold a value as it stands or inside a compressed column.
pub(crate) fn holding(folder: &Path, value: &str) -> Vec<PathBuf> {
    let found = |bytes: &[u8]| bytes.to_ascii_lowercase().windows(value.len()).any(|window| window == value.as_bytes());
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let frames = bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xB5, 0x2F, 0xFD]);
        found(&bytes)
            || frames.map(|(at, _)| at).any(|at| {
                let mut plain = Vec::new();
                let decoder = zstd::Decoder::with_buffer(&bytes[at..]).map(zstd::Decoder::single_frame);
                // What follows is not the frame's own; what could be read is what counts.
                let _ = decoder.and_then(|mut decoder| std::io::copy(&mut decoder, &mut plain));
                found(&plain)
            })
    };
    files(folder).into_iter().filter(holds).collect()
}

async fn problems(folder: &Path) -> Vec<String> {
    problems_but(folder, &[]).await
}

/// Problems that are left where the erasures of these keys are known to be unfinished.
async fn problems_but(folder: &Path, unfinished: &[u128]) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let report = crate::verify(&options(folder), scratch.path(), unfinished).await.unwrap();
    assert_eq!(report.notes.len(), unfinished.len());
    report.problems
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_value_is_in_no_file_and_everything_counts_and_merges_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&options(folder.path())).unwrap();
    let victim = (ObservableType::Email, Role::Victim, VICTIM);
    let mut whole = event(&[victim, (ObservableType::Domain, Role::Attacker, "thief.net")]);
    whole.details_mut().original = Some(Text::from("erase dot me at household dot kr"));
    let mut other = event(&[(ObservableType::Email, Role::Victim, "stays@household.kr"), (ObservableType::Ipv4, Role::Victim, "203.0.114.9")]);
    other.details_mut().dst_ip = Some(Text::from("203.0.114.9"));
    other.details_mut().note = Some(Text::from("stays too"));
    let sent = vec![whole, with_texts(), listed(), event(&[victim]), other.clone()];
    assert_eq!(send(&store, sent).await.applied.accepted, 5);
    assert!(!holding(folder.path(), VICTIM).is_empty());
    let thief = store.views.keys.observable(ObservableType::Domain, "thief.net");
    let before = (store.views.observables.get(thief).unwrap(), store.views.tallies.read().clone());
    let id_key = first_part(&store).prepared.ids[1];

    // Three values, an id, a note and two originals.
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 7);
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 0, "there is nothing left");
    let key = store.views.keys.observable(ObservableType::Email, VICTIM);
    assert!(store.views.observables.get(key).unwrap().is_empty());
    assert_eq!((store.views.observables.get(thief).unwrap(), store.views.tallies.read().clone()), before);
    let prepared = first_part(&store).prepared;
    assert_eq!(prepared.events.iter().map(|event| event.observables.len()).collect::<Vec<_>>(), [1, 1, 0, 0, 2]);
    assert_eq!(prepared.events[4], other, "what lies after a hole is read from its own place");
    assert_eq!((prepared.events[1].id.clone(), prepared.ids[1]), (None, id_key));
    assert_eq!(erase(&store, ObservableType::Ipv4, "203.0.114.9").await, 2);
    assert_eq!(first_part(&store).prepared.events[4].details.as_ref().unwrap().dst_ip, None);
    assert_eq!(send(&store, vec![event(&[(ObservableType::Domain, Role::Attacker, "later.net")])]).await.applied.accepted, 1);
    close(&store).await;
    assert_eq!(holding(folder.path(), VICTIM), Vec::<PathBuf>::new());
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());

    // From the ledger alone, beside what an interrupted erasure left.
    std::fs::remove_dir_all(folder.path().join("views")).unwrap();
    std::fs::write(folder.path().join("ledger/00000001.seg.tmp"), VICTIM).unwrap();
    let (store, report) = Store::open(&options(folder.path())).unwrap();
    assert_eq!((report.torn_bytes, report.damage, store.views.events.load(Ordering::Relaxed)), (0, None, 6));
    assert_eq!(send(&store, vec![with_texts(), listed()]).await.applied.merged, 2, "an erased id and an erased list entry are known again");
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 4);
    close(&store).await;
    assert_eq!(holding(folder.path(), VICTIM), Vec::<PathBuf>::new());
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_before_an_erasure_is_as_the_ledger_says_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&options(folder.path())).unwrap();
    let thief = (ObservableType::Domain, Role::Attacker, "thief.net");
    send(&store, vec![event(&[thief, (ObservableType::Email, Role::Victim, VICTIM)])]).await;
    let taken_back = send(&store, vec![event(&[thief])]).await.first_seq;
    store.control(Control::Withdraw { ranges: vec![(taken_back, taken_back)], by: SENDER, reason: "wrong".to_owned() }).await.unwrap();
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 1);
    close(&store).await;
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_leave_of_each_value_what_a_count_of_all_events_says() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&Options { recent_rows: 20, ..options(folder.path()) }).unwrap();
    let name = |number: u64| format!("n{number}.net");
    // Two batches share the value of their first row, and that of their last; between these one that comes back every fifth time, and one that is in all.
    let mut sent: Vec<(model::Seq, Vec<String>)> = Vec::new();
    for number in 0..40 {
        let values = [vec![name(1_000 + number / 2)], vec![name(number % 5), name(7)], vec![name(3_000 + number / 2)]];
        let events =
            values.iter().map(|values| event(&values.iter().map(|value| (ObservableType::Domain, Role::Attacker, value.as_str())).collect::<Vec<_>>()));
        let first = send(&store, events.collect()).await.first_seq.0;
        sent.extend((first..).zip(values).map(|(seq, values)| (model::Seq(seq), values)));
    }
    let mut left = sent.clone();
    for round in 0..12_u64 {
        let gone: Vec<_> = sent.iter().map(|(seq, _)| *seq).filter(|seq| seq.0 * 7 % 12 == round && (seq.0 / 12 + round).is_multiple_of(2)).collect();
        left.retain(|(seq, _)| !gone.contains(seq));
        let ranges = gone.iter().map(|seq| (*seq, *seq)).collect();
        store.control(Control::Withdraw { ranges, by: SENDER, reason: "wrong".to_owned() }).await.unwrap();
        for value in sent.iter().flat_map(|(_, values)| values) {
            let rows = store.views.observables.get(store.views.keys.observable(ObservableType::Domain, value)).unwrap();
            let counted: u32 = rows.iter().filter(|row| !store.views.classes.get(row.class).unwrap().withdrawn).map(|row| row.events).sum();
            let expected = left.iter().flat_map(|(_, values)| values).filter(|other| *other == value).count();
            assert_eq!(counted as usize, expected, "{value} after round {round}");
        }
    }
    close(&store).await;
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_cut_short_before_its_control_entry_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&options(folder.path())).unwrap();
    let victim = (ObservableType::Email, Role::Victim, VICTIM);
    send(&store, vec![event(&[victim, (ObservableType::Domain, Role::Attacker, "thief.net")]), with_texts()]).await;
    store.checkpoint().await;
    let key = store.views.keys.observable(ObservableType::Email, VICTIM);
    let gone = Victim::new(&store.views.keys, ObservableType::Email, VICTIM);
    assert!(super::erase(&store.ledger, 0..store.ledger.segment_count(), &gone).unwrap() > 0);
    close(&store).await;
    assert!(!problems(folder.path()).await.is_empty(), "the views hold what the ledger lost");
    assert_eq!(problems_but(folder.path(), &[key]).await, Vec::<String>::new());

    let (store, _) = Store::open(&options(folder.path())).unwrap();
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 0, "the ledger was done, the views follow");
    close(&store).await;
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
    assert_eq!(holding(folder.path(), VICTIM), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_withdrawals_and_of_earlier_erasures_lose_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&options(folder.path())).unwrap();
    let first = send(&store, vec![event(&[(ObservableType::Domain, Role::Attacker, "thief.net")])]).await.first_seq;
    let reason = format!("it was {}", VICTIM.to_uppercase());
    store.control(Control::Withdraw { ranges: vec![(first, first)], by: SENDER, reason }).await.unwrap();
    let other = Victim::new(&store.views.keys, ObservableType::Email, "other@household.kr");
    store.erase(other, "ers_0".to_owned(), format!("together with {VICTIM}")).await.unwrap();
    assert_eq!(erase(&store, ObservableType::Email, VICTIM).await, 2);
    close(&store).await;
    assert_eq!(holding(folder.path(), VICTIM), Vec::<PathBuf>::new());
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attackers_value_is_never_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&options(folder.path())).unwrap();
    let shared = "shared.net";
    send(&store, vec![event(&[(ObservableType::Domain, Role::Attacker, shared)]), event(&[(ObservableType::Domain, Role::Victim, shared)])]).await;
    assert_eq!(erase(&store, ObservableType::Domain, shared).await, 1);
    let rows = store.views.observables.get(store.views.keys.observable(ObservableType::Domain, shared)).unwrap();
    let roles: Vec<Role> = rows.iter().map(|row| store.views.class(row.class).unwrap().role).collect();
    assert_eq!((roles, rows[0].events), (vec![Role::Attacker], 1));
    close(&store).await;
    assert_eq!(problems(folder.path()).await, Vec::<String>::new());
}
