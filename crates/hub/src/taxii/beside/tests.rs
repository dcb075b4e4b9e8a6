//! Facts of what a reader is given of a value's versions, and of what stands beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::taxii::reach::tests::{self as reaching, agreed, at, reach};
use crate::taxii::targets::Kind;
use model::{Agreement, Category, Text, Tlp};
use proptest::prelude::*;
use store::views::indicators::MAX_ROOM;

fn version(second: i64, malware: Option<&str>, revoked: bool) -> Indicator {
    Indicator { malware: malware.map(Text::from), revoked, ..reaching::version(second) }
}

fn target(kind: Kind, name: &str) -> Target {
    Target { kind, name: Text::from(name) }
}

fn changes(said: &[Target], version: &Indicator) -> Vec<Change> {
    Given { said: said.to_vec(), ..Given::new(version.clone()) }.changes()
}

/// Kind and name of what changes, and whether it ends.
fn changed(said: &[Target], version: &Indicator) -> Vec<(Target, bool)> {
    changes(said, version).into_iter().map(|change| (change.target, change.ends)).collect()
}

#[test]
fn a_relationship_changes_with_the_malware_that_is_named_and_ends_with_it() {
    let names = |name: &str| vec![(target(Kind::Malware, name), false)];
    let takes_back = |name: &str| vec![(target(Kind::Malware, name), true)];
    for (before, after, expected) in [
        (None, (Some("a"), false), names("a")),
        (None, (None, false), vec![]),
        (None, (Some("a"), true), vec![]),
        (Some((Some("a"), false)), (Some("a"), false), vec![]),
        (Some((Some("a"), false)), (Some("b"), false), names("b")),
        (Some((Some("a"), false)), (None, false), takes_back("a")),
        (Some((Some("a"), false)), (Some("a"), true), takes_back("a")),
        (Some((Some("a"), true)), (Some("a"), false), names("a")),
        (Some((Some("a"), true)), (None, false), vec![]),
    ] {
        let before = before.map(|(malware, revoked)| version(1, malware, revoked));
        let said = before.as_ref().map(named).unwrap_or_default();
        assert_eq!(changed(&said, &version(2, after.0, after.1)), expected, "{before:?} {after:?}");
    }
}

#[test]
fn techniques_and_vulnerabilities_have_a_relationship_each_which_begins_and_ends_alone() {
    let ids = |ids: &[&str]| ids.iter().copied().map(Text::from).collect::<Vec<_>>();
    let saying = |malware: Option<&str>, techniques: &[&str], cves: &[&str]| Indicator {
        techniques: ids(techniques),
        cves: ids(cves),
        threats_before: 3,
        ..version(2, malware, false)
    };
    let (technique, cve) = (|id: &str| target(Kind::AttackPattern, id), |id: &str| target(Kind::Vulnerability, id));
    let both = saying(Some("a"), &["T1190", "T1566.001"], &["CVE-2024-3400"]);
    let first = changes(&[], &both);
    let dates: Vec<(Target, i64)> = first.iter().map(|change| (change.target.clone(), change.before)).collect();
    let expected = [(target(Kind::Malware, "a"), 1), (technique("T1190"), 2), (technique("T1566.001"), 3), (cve("CVE-2024-3400"), 4)];
    assert_eq!(dates, expected);
    assert_eq!([0, 1, 2, 3].map(|place| object_before(place, 4)), [5, 6, 7, 8]);
    let next = saying(Some("b"), &["T1566.001", "T1999"], &[]);
    let expected = [(target(Kind::Malware, "b"), false), (technique("T1999"), false), (technique("T1190"), true), (cve("CVE-2024-3400"), true)];
    assert_eq!(changed(&named(&both), &next), expected);
    assert_eq!(changed(&named(&both), &both), []);
    let gone = Indicator { revoked: true, ..both.clone() };
    let ended = changes(&said_by(&gone), &gone);
    assert!(ended.len() == 4 && ended.iter().all(|change| change.ends && change.before < gone.room().as_micros() as i64), "{ended:?}");
    // What is no id has no relationship.
    assert_eq!(named(&saying(None, &["t1190", "TA0001"], &["CVE-2021-00012"])), []);
}

/// Versions, written oldest first, as the log has them: second, marking, malware, whether it takes back.
fn log(versions: &[(i64, Tlp, &str, bool)]) -> Vec<Indicator> {
    versions.iter().rev().map(|&(second, tlp, malware, revoked)| Indicator { tlp, ..version(second, Some(malware), revoked) }).collect()
}

/// What is given, oldest first: second, malware, whether it is revoked, what its relationship said before.
fn told(versions: &[Indicator], reach: &Reach) -> Vec<(i64, String, bool, String)> {
    let text = |text: &Option<Text>| text.as_ref().map_or_else(String::new, ToString::to_string);
    let said = |given: &Given| given.standing().map(|target| target.name.as_str()).collect::<String>();
    let given = given(versions, reach);
    given.iter().rev().map(|given| (given.version.added.seconds(), text(&given.version.malware), given.version.revoked, said(given))).collect()
}

fn item_of(second: i64, malware: &str, revoked: bool, said: &str) -> (i64, String, bool, String) {
    (second, malware.to_owned(), revoked, said.to_owned())
}

#[test]
fn who_was_always_there_is_given_every_version_as_it_is() {
    let versions = log(&[(10, Tlp::Green, "a", false), (20, Tlp::Green, "b", false), (30, Tlp::Green, "b", true)]);
    let expected = [item_of(10, "a", false, ""), item_of(20, "b", false, "a"), item_of(30, "b", true, "b")];
    assert_eq!(told(&versions, &reach(&[(1, 0, Tlp::Green)])), expected);
    // Who came later gets what was not replaced by then, and that it was taken back.
    let later = [item_of(20, "b", false, ""), item_of(30, "b", true, "b")];
    assert_eq!(told(&versions, &reach(&[(20, 0, Tlp::Green)])), later);
    assert_eq!(told(&versions, &reach(&[(29, 0, Tlp::Green)])), later);
}

#[test]
fn what_was_taken_back_before_a_reader_came_is_nothing_to_it() {
    let versions = log(&[(10, Tlp::Green, "a", false), (20, Tlp::Green, "a", true), (30, Tlp::Green, "c", false)]);
    assert!(told(&versions[1..], &reach(&[(20, 0, Tlp::Green)])).is_empty());
    let last = [item_of(30, "c", false, "")];
    assert_eq!(told(&versions, &reach(&[(25, 0, Tlp::Green)])), last);
    // As is what came and went while it could not read.
    assert_eq!(told(&versions, &reach(&[(1, 5, Tlp::Green), (25, 0, Tlp::Green)])), last);
    assert_eq!(told(&versions, &reach(&[(1, 11, Tlp::Green), (25, 0, Tlp::Green)])).len(), 3);
    assert!(told(&versions, &Reach::default()).is_empty());
}

#[test]
fn who_reads_less_than_before_is_told_that_what_it_had_is_taken_back_and_nothing_of_what_it_never_had() {
    let had = reach(&[(1, 25, Tlp::Amber), (25, 0, Tlp::Green)]);
    let never = reach(&[(1, 5, Tlp::Amber), (5, 0, Tlp::Green)]);
    let versions = log(&[(10, Tlp::Amber, "secret", false), (30, Tlp::Amber, "secret", true)]);
    assert_eq!(told(&versions, &had), [item_of(30, "secret", true, "secret")]);
    assert!(told(&versions, &never).is_empty());
    // Written after it was agreed otherwise, before the log heard of that: the words are those of the version that it had.
    let versions = log(&[(10, Tlp::Green, "known", false), (20, Tlp::Amber, "secret", false), (30, Tlp::Amber, "secret", true)]);
    assert_eq!(told(&versions, &never), [item_of(10, "known", false, ""), item_of(30, "known", true, "known")]);
    let revoked = given(&versions, &never).remove(0).version;
    assert_eq!((revoked.tlp, revoked.added.seconds(), revoked.revoked), (Tlp::Green, 30, true));
    // What stands and is too strict now is hidden.
    assert_eq!(told(&versions[1..], &had), [item_of(10, "known", false, "")]);
}

#[test]
fn what_was_had_of_a_version_that_is_hidden_by_now_ends_with_the_next_that_is_given() {
    let saying = |second: i64, tlp: Tlp, techniques: &[&str], revoked: bool| {
        let techniques = techniques.iter().copied().map(Text::from).collect();
        Indicator { tlp, techniques, threats_before: 2, ..version(second, None, revoked) }
    };
    let ends = |given: &Given| given.changes().into_iter().filter(|change| change.ends).map(|change| change.target.name.to_string()).collect::<Vec<_>>();
    let hidden = [saying(20, Tlp::Amber, &["T1002"], false), saying(10, Tlp::Green, &["T1001"], false)];
    let (had, never) = (reach(&[(1, 25, Tlp::Amber), (25, 0, Tlp::Green)]), reach(&[(1, 5, Tlp::Amber), (5, 0, Tlp::Green)]));
    for next in [saying(30, Tlp::Green, &["T1003"], false), saying(30, Tlp::Amber, &["T1002"], true)] {
        let versions = [std::slice::from_ref(&next), &hidden[..]].concat();
        assert_eq!(ends(&given(&versions, &had)[0]), ["T1001", "T1002"]);
        assert_eq!(ends(&given(&versions, &never)[0]), ["T1001"]);
    }
}

/// When the oldest version was added that may have been received.
fn oldest(versions: &[Indicator], reach: &Reach) -> Option<Timestamp> {
    let mut oldest = Oldest::new(reach);
    _ = versions.iter().all(|version| oldest.look(version));
    oldest.found
}

#[test]
fn created_is_when_the_oldest_version_was_added_that_the_reader_may_have_received() {
    let versions = log(&[(10, Tlp::Green, "a", false), (20, Tlp::Green, "a", true), (30, Tlp::Green, "b", false), (40, Tlp::Amber, "c", false)]);
    let of = |stretches: &[(i64, i64, Tlp)]| oldest(&versions, &reach(stretches)).map(Timestamp::seconds);
    assert_eq!([1, 10, 15, 19].map(|from| of(&[(from, 0, Tlp::Green)])), [Some(10); 4]);
    // What came and went before, or while nothing could be read, or under another marking, has left no trace.
    assert_eq!([20, 25, 30, 39].map(|from| of(&[(from, 0, Tlp::Green)])), [Some(30); 4]);
    assert_eq!([of(&[(1, 5, Tlp::Green), (25, 0, Tlp::Green)]), of(&[(1, 11, Tlp::Green), (25, 0, Tlp::Green)])], [Some(30), Some(10)]);
    assert_eq!([of(&[(40, 0, Tlp::Green)]), of(&[(40, 0, Tlp::Amber)]), of(&[])], [None, Some(40), None]);
    // The first version of all ends the look.
    let first = Indicator { created: at(30), ..versions[1].clone() };
    assert!(!Oldest::new(&reach(&[(1, 0, Tlp::Green)])).look(&first));
}

#[test]
fn a_narrower_agreement_holds_back_what_it_may_not_cover_and_says_nothing_of_what_was_never_had() {
    let amber = || Some(Agreement::up_to(Tlp::Amber));
    let phishing = || Some(Agreement { categories: vec![Category::Phishing], ..Agreement::up_to(Tlp::Amber) });
    let with = |settled: &[(u64, i64)]| agreed(&[(1, None), (5, amber()), (25, phishing())], settled);
    let (open, done) = (with(&[]), with(&[(3, 35)]));
    // The second was written by what was agreed before, as the log had not heard of it.
    let versions = log(&[(10, Tlp::Amber, "a", false), (30, Tlp::Amber, "b", false)]);
    assert_eq!((told(&versions, &open), Others::of(&versions, &open).open), (vec![], Some(at(30))));
    assert_eq!((told(&versions, &done), Others::of(&versions, &done).open), (vec![item_of(30, "b", false, "a")], None));
    let taken = log(&[(10, Tlp::Amber, "a", false), (30, Tlp::Amber, "b", false), (32, Tlp::Amber, "b", true)]);
    for reach in [&open, &done] {
        assert_eq!(told(&taken, reach), [item_of(32, "a", true, "a")]);
        assert_eq!(Others::of(&taken, reach).open, None);
    }
    // A value that came in between alone was never there.
    assert!(told(&taken[..2], &done).is_empty() && oldest(&taken[..2], &done).is_none());
    // Up to green nothing is narrowed.
    let green = log(&[(10, Tlp::Green, "a", false), (30, Tlp::Green, "b", false)]);
    assert_eq!(told(&green, &open), [item_of(10, "a", false, ""), item_of(30, "b", false, "a")]);
    assert_eq!([oldest(&green, &open), oldest(&versions, &done)], [Some(at(10)); 2]);
}

proptest! {
    #[test]
    fn nothing_is_given_that_could_not_be_had_and_the_short_way_says_the_same(
        steps in proptest::collection::vec((1_i64..6, 0_usize..3, proptest::option::of(0_u8..3), 0_u8..8, any::<bool>()), 1..8),
        stretches in proptest::collection::vec((0_i64..6, 1_i64..9, 0_usize..3), 0..4),
        lasts in any::<bool>(),
    ) {
        // As the log writes them: what is taken back says what stood.
        let mut versions: Vec<Indicator> = Vec::new();
        let mut second = 0;
        for (step, tlp, malware, threats, taken) in steps {
            second += step;
            let threats_before = versions.last().map_or(0, |last| last.threats_before.max((last.techniques.len() + last.cves.len()) as u8));
            let before = versions.last().filter(|before| taken && !before.revoked);
            let chosen = ["T1001", "T1002", "CVE-2024-0003"].into_iter().enumerate().filter(|(bit, _)| threats >> bit & 1 == 1);
            let (cves, techniques) = chosen.map(|(_, id)| Text::from(id)).partition(|id| id.starts_with("CVE-"));
            let fresh = version(second, malware.map(|name| ["a", "b", "c"][usize::from(name)]), false);
            let fresh = Indicator { tlp: Tlp::ALL[tlp], techniques, cves, ..fresh };
            let next = before.map_or(fresh, |before| Indicator { added: Timestamp::from_seconds(second), revoked: true, ..before.clone() });
            let next = Indicator { threats_before, ..next };
            versions.push(next);
        }
        versions.reverse();
        let mut from = 0;
        let mut all: Vec<(i64, i64, Tlp)> = Vec::new();
        for (gap, length, tlp) in stretches {
            all.push((from + gap, from + gap + length, Tlp::ALL[tlp]));
            from += gap + length;
        }
        if let Some(last) = all.last_mut().filter(|_| lasts) {
            last.1 = 0;
        }
        let reach = reach(&all);
        let given = given(&versions, &reach);
        for (place, version) in versions.iter().enumerate() {
            let found = given.iter().find(|given| given.version.added == version.added).map(|given| &given.version);
            match reach.gives(version) {
                Some(true) => prop_assert_eq!(found, Some(version)),
                Some(false) => prop_assert_eq!(found, None),
                None => {}
            }
            let Some(found) = found else { continue };
            // Some version of its life that says the same could be had while it stood.
            let source = (place..versions.len()).find(|&place| !versions[place].revoked && was_had(&versions, place, &reach)
                && said_by(&versions[place]) == said_by(found) && versions[place].tlp == found.tlp);
            prop_assert!(source.is_some(), "{versions:?} {reach:?}");
            prop_assert!(found.revoked || reach.now().is_some_and(|most| found.tlp <= most));
            // It was made before it was changed, and by what could be had.
            prop_assert!(oldest(&versions, &reach).is_some_and(|created| created <= found.added));
        }
        // What was said once of when it was made stays so, whatever comes after.
        for place in 1..versions.len() {
            let then = versions[place - 1].added.seconds();
            let past = all.iter().filter(|(from, _, _)| *from < then).map(|&(from, until, tlp)| (from, if until < then { until } else { 0 }, tlp));
            let created = oldest(&versions[place..], &reaching::reach(&past.collect::<Vec<_>>()));
            prop_assert!(created.is_none() || created == oldest(&versions, &reach), "{created:?} {versions:?} {reach:?}");
        }
        let mut said: Vec<Target> = Vec::new();
        for one in given.iter().rev() {
            // Nothing has the date of anything else, and all of it has room.
            let entry = versions.iter().find(|version| version.added == one.version.added).unwrap();
            let changes = one.changes();
            let count = named(&one.version).len();
            let mut dates: Vec<i64> = changes.iter().map(|change| change.before).chain((0..count).map(|place| object_before(place, count))).collect();
            dates.sort_unstable();
            prop_assert!(dates.windows(2).all(|two| two[0] < two[1]) && dates.iter().all(|date| (1..entry.room().as_micros() as i64).contains(date)));
            // Whoever follows the relationships knows what the newest version names.
            for change in changes {
                said.retain(|target| !target.is_linked_as(&change.target));
                if !change.ends {
                    said.push(change.target);
                }
            }
            said.sort_unstable();
            let mut now = named(&one.version);
            now.sort_unstable();
            prop_assert_eq!(&said, &now);
        }
    }
}

#[test]
fn an_entry_has_room_where_the_one_before_lies_as_far_behind_as_it_needs() {
    let at = Timestamp::from_micros;
    let plain = Indicator { added: at(105), ..version(1, Some("a"), false) };
    let full = Indicator { techniques: vec![Text::from("T1190"); 8], cves: vec![Text::from("CVE-2024-3400"); 8], threats_before: 16, ..plain.clone() };
    assert!(has_room(None, &plain) && has_room(Some(at(102)), &plain) && !has_room(Some(at(103)), &plain));
    assert!(has_room(Some(at(54)), &full) && !has_room(Some(at(55)), &full));
    assert_eq!(full.added.minus(MAX_ROOM), free_after(&full));
}
