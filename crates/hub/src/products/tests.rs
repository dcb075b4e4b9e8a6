//! The table, what products take of it, differences and recalls, on versions made by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::delta::{Before, Old, difference};
use super::prepared::{Basis, Choice, step};
use super::recalls::{Fetches, list};
use super::table::{Claims, REMEMBERED, Table};
use super::want::{ProductFilter, Want};
use crate::test_support::indicator;
use formats::products::{Product, body};
use model::{Category, Constituency, KeyRole, ObservableType, OrgId, OrgKind, OrgNo, Pap, Standing, Text, Timestamp, Tlp};
use policy::Reader;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_seconds(1_770_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn key(value: &str) -> u128 {
    u128::from_le_bytes(blake3::hash(value.as_bytes()).as_bytes()[..16].try_into().unwrap())
}

fn version(collection: Collection, value: &str, added: i64) -> Indicator {
    let kind = if value.contains('/') {
        ObservableType::Url
    } else if value.ends_with("kr") {
        ObservableType::Domain
    } else {
        ObservableType::Ipv4
    };
    Indicator {
        collection,
        key: key(value),
        kind,
        value: Text::from(value),
        malware: Some(Text::from("Emotet")),
        tlp: Tlp::Clear,
        confidence: Some(80),
        first_seen: NOW.minus(DAY),
        last_seen: NOW,
        valid_until: Some(NOW.plus(DAY * 30)),
        sectors: vec![Text::from("energy")],
        ..indicator(Timestamp::from_micros(NOW.micros() + added))
    }
}

fn revoked(collection: Collection, value: &str, added: i64, created: i64) -> Indicator {
    let created = Timestamp::from_micros(NOW.micros() + created);
    Indicator { revoked: true, created, ..version(collection, value, added) }
}

fn want(product: Product) -> Want {
    Want::new(product, Collection::Clear, ProductFilter::default())
}

fn made(table: &Table, want: &Want, at: Timestamp) -> String {
    let choice = Choice::of(table, want, at, &Claims::new()).ordered();
    String::from_utf8(body(want.product, choice.entries())).unwrap()
}

fn lines(table: &Table, want: &Want, at: Timestamp) -> BTreeSet<String> {
    made(table, want, at).lines().map(str::to_owned).collect()
}

const LIST: Product = Product::List(None);

#[test]
fn a_product_holds_the_newest_state_of_its_own_collection() {
    let mut table = Table::default();
    for (place, version) in [
        version(Collection::Clear, "185.60.1.1", 1),
        version(Collection::Green, "185.60.1.1", 2),
        version(Collection::Green, "evil.kr", 3),
        revoked(Collection::Clear, "185.60.1.1", 4, 1),
        version(Collection::Clear, "http://bad.kr/x", 5),
    ]
    .into_iter()
    .enumerate()
    {
        table.fold(&version, false);
        assert_eq!(table.position(version.collection), Some(version.added), "{place}");
    }
    let green = Want::new(LIST, Collection::Green, ProductFilter::default());
    assert_eq!(made(&table, &want(LIST), NOW), "http://bad.kr/x\n");
    assert_eq!(made(&table, &green, NOW), "185.60.1.1\nevil.kr\n");
    assert_eq!(table.recalled().count(), 1);
    table.fold(&revoked(Collection::Green, "185.60.1.1", 6, 2), false);
    assert!(table.get(key("185.60.1.1")).is_none() && table.get(key("http://bad.kr/x")).is_some());
    assert_eq!(table.entries().len(), 2);
}

#[test]
fn filters_and_the_reasons_of_policy_keep_values_out() {
    let mut table = Table::default();
    let base = version(Collection::Clear, "evil.kr", 1);
    table.fold(&base, false);
    let all = ProductFilter::default();
    for (filter, at, expected) in [
        (all.clone(), NOW, true),
        (ProductFilter { types: vec![ObservableType::Ipv4], ..all.clone() }, NOW, false),
        (ProductFilter { types: vec![ObservableType::Url, ObservableType::Domain], ..all.clone() }, NOW, true),
        (ProductFilter { sectors: vec![Text::from("water")], ..all.clone() }, NOW, false),
        (ProductFilter { sectors: vec![Text::from("energy"), Text::from("water")], ..all.clone() }, NOW, true),
        (ProductFilter { min_confidence: 80, ..all.clone() }, NOW, true),
        (ProductFilter { min_confidence: 81, ..all.clone() }, NOW, false),
        (ProductFilter { min_confidence: 80, ..all.clone() }, NOW.plus(DAY * 15), false),
        (ProductFilter { max_age_days: Some(1), ..all.clone() }, NOW.plus(DAY * 2), false),
        (ProductFilter { max_age_days: Some(3), ..all.clone() }, NOW.plus(DAY * 2), true),
        (all.clone(), NOW.plus(DAY * 30), false),
    ] {
        let want = Want::new(LIST, Collection::Clear, filter.clone());
        assert_eq!(!made(&table, &want, at).is_empty(), expected, "{filter:?}");
    }
    for (changed, blocks, detects) in [
        (Indicator { pap: Pap::Amber, ..base.clone() }, false, true),
        (Indicator { pap: Pap::Red, ..base.clone() }, false, false),
        (Indicator { category: Category::Test, ..base.clone() }, false, false),
        (Indicator { tlp: Tlp::Green, ..base.clone() }, false, false),
        (base.clone(), true, true),
    ] {
        table.fold(&changed, false);
        assert_eq!((made(&table, &want(Product::Hosts), NOW).is_empty(), made(&table, &want(Product::SuricataRules), NOW).is_empty()), (!blocks, !detects));
    }
    table.fold(&base, true);
    for product in Product::all().into_iter().filter(|product| *product != Product::Stix) {
        assert_eq!(lines(&table, &want(product), NOW), lines(&Table::default(), &want(product), NOW), "what is spared is in no product: {}", product.name());
    }
}

#[test]
fn what_stopped_holding_long_ago_is_let_go_and_a_new_version_brings_it_back() {
    let mut table = Table::default();
    assert!(table.forget(NOW));
    for (collection, value, days) in [
        (Collection::Clear, "short.kr", 1),
        (Collection::Amber, "short.kr", 1),
        (Collection::Clear, "half.kr", 1),
        (Collection::Amber, "half.kr", 300),
        (Collection::Clear, "185.60.1.1", 40),
        // It had stopped holding before it came.
        (Collection::Clear, "185.60.1.2", -60),
    ] {
        let valid_until = if days < 0 { NOW.minus(DAY * 60) } else { NOW.plus(DAY * u32::try_from(days).unwrap()) };
        table.fold(&Indicator { valid_until: Some(valid_until), ..version(collection, value, 1) }, false);
    }
    let lasting = Indicator { valid_until: None, ..version(Collection::Clear, "lasting.kr", 2) };
    table.fold(&lasting, false);
    assert_eq!(table.entries().len(), 4, "what is over for longer than anyone may ask is not taken in");
    let later = NOW.plus(REMEMBERED + DAY * 2);
    let wanted = want(LIST);
    let before = lines(&table, &wanted, later);
    assert!(table.forget(later));
    assert_eq!(lines(&table, &wanted, later), before, "no product of now changes by it");
    assert_eq!(table.entries().len(), 3);
    assert!(table.get(key("short.kr")).is_none());
    let half = table.get(key("half.kr")).unwrap();
    assert!(half.state(Collection::Clear).is_none() && half.state(Collection::Amber).is_some());
    assert!(table.get(key("185.60.1.1")).is_some() && table.get(key("lasting.kr")).is_some());
    assert_eq!(table.recalled().count(), 0, "nothing was taken back");

    let again = Indicator { valid_until: Some(later.plus(DAY * 10)), last_seen: later, ..version(Collection::Clear, "short.kr", 3) };
    table.fold(&again, false);
    assert!(lines(&table, &wanted, later).contains("short.kr"));
    assert!(!table.forget(NOW.minus(DAY)), "a clock that was set back asks for a new table");
}

#[test]
fn years_of_short_lived_values_take_no_more_room_than_a_month_of_them() {
    let mut table = Table::default();
    let mut most = 0;
    for day in 0..1_000_u32 {
        let now = NOW.plus(DAY * day);
        assert!(table.forget(now));
        for number in 0..20 {
            let value = format!("n{number}-{day}.kr");
            table.fold(&Indicator { last_seen: now, valid_until: Some(now.plus(DAY * 5)), ..version(Collection::Clear, &value, i64::from(day)) }, false);
        }
        most = most.max(table.entries().len());
        assert_eq!(lines(&table, &want(LIST), now).len(), 20 * usize::try_from(day.min(4) + 1).unwrap());
    }
    assert!(most <= 20 * 38, "{most}");
    assert!(table.get(key("n0-999.kr")).is_some() && table.get(key("n0-900.kr")).is_none());
}

#[test]
fn claims_of_several_organisations_lower_confidence_and_one_alone_does_not() {
    let mut table = Table::default();
    table.fold(&version(Collection::Clear, "evil.kr", 1), false);
    let want = Want::new(LIST, Collection::Clear, ProductFilter { min_confidence: 60, ..ProductFilter::default() });
    for (count, held) in [(0, 1), (1, 1), (2, 0)] {
        let claims: Claims = [(key("evil.kr"), count)].into_iter().collect();
        assert_eq!(Choice::of(&table, &want, NOW, &claims).len(), held, "{count}");
    }
}

#[test]
fn a_version_is_read_as_it_was_written_and_nothing_else_is_one() {
    let basis = Basis { position: Some(NOW), at: step(NOW), stamp: 0xDEAD_BEEF };
    assert_eq!(Basis::parse(&basis.version()), Some(basis));
    assert_eq!(Basis::parse(&format!("W/\"{}-0123456789abcdef\"", basis.version())), Some(basis));
    let none = Basis { position: None, ..basis };
    assert_eq!(Basis::parse(&none.version()), Some(none));
    for wrong in ["", "1", "1-2", "x-y-z", "1-2-3ffffffff", "-1-2-3", "1-7fffffffffffffff-3"] {
        assert_eq!(Basis::parse(wrong), None, "{wrong}");
    }
}

/// Something that happens to the log, or time that passes.
#[derive(Debug, Clone)]
enum Step {
    Version { value: usize, green: bool, confidence: u8, pap: u8 },
    Revoked { value: usize, green: bool },
    Days(u8),
}

const VALUES: [&str; 6] = ["185.60.1.1", "185.60.1.2", "evil.kr", "bad.kr", "http://bad.kr/x", "http://evil.kr/y"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = 0..VALUES.len();
    let step = prop_oneof![
        4 => (value.clone(), any::<bool>(), 0..=100_u8, 0..4_u8).prop_map(|(value, green, confidence, pap)| Step::Version { value, green, confidence, pap }),
        2 => (value, any::<bool>()).prop_map(|(value, green)| Step::Revoked { value, green }),
        1 => (1..20_u8).prop_map(Step::Days),
    ];
    proptest::collection::vec(step, 0..30)
}

proptest! {
    #[test]
    fn a_list_with_its_difference_is_the_newer_list(steps in steps(), cut in any::<prop::sample::Index>(), min_confidence in 0..90_u8) {
        let want = Want::new(LIST, Collection::Clear, ProductFilter { min_confidence, ..ProductFilter::default() });
        let cut = cut.index(steps.len() + 1);
        let mut table = Table::default();
        let mut log: Vec<Indicator> = Vec::new();
        let mut now = NOW;
        let mut older = (Basis { position: None, at: step(now), stamp: 0 }, BTreeSet::new());
        for place in 0..=steps.len() {
            if place == cut {
                older = (Basis { position: table.position(Collection::Clear), at: step(now), stamp: 0 }, lines(&table, &want, step(now)));
            }
            let Some(next) = steps.get(place) else { break };
            let added = i64::try_from(place).unwrap() + 1;
            let collection = |green: bool| if green { Collection::Green } else { Collection::Clear };
            match next {
                Step::Days(days) => {
                    now = now.plus(DAY * u32::from(*days));
                    prop_assert!(table.forget(now));
                }
                Step::Version { value, green, confidence, pap } => log.push(Indicator {
                    confidence: Some(*confidence),
                    pap: Pap::from_number(*pap).unwrap(),
                    last_seen: now,
                    valid_until: Some(now.plus(DAY * 10)),
                    ..version(collection(*green), VALUES[*value], added)
                }),
                Step::Revoked { value, green } => log.push(revoked(collection(*green), VALUES[*value], added, 0)),
            }
            if !matches!(next, Step::Days(_)) {
                table.fold(log.last().unwrap(), false);
            }
        }
        let (since, list) = older;
        if since.at < table.horizon() {
            // Such a version is refused: the whole is to be fetched.
            return Ok(());
        }
        let current = Basis { position: table.position(Collection::Clear), at: step(now), stamp: 0 };
        let own = |version: &&Indicator| version.collection == Collection::Clear;
        let changed: BTreeSet<u128> = log.iter().filter(own).filter(|version| Some(version.added) > since.position).map(|version| version.key).collect();
        let mut before = Before::new();
        for key in changed {
            let old = log.iter().filter(own).rfind(|version| version.key == key && Some(version.added) <= since.position).filter(|version| !version.revoked);
            let old = old.map(|version| Old { kind: version.kind, value: version.value.clone(), state: table.compact(version), spared: false });
            before.insert(key, old);
        }
        let delta = difference(&table, &want, (since, &before), current, &Claims::new());
        let mut list = list;
        let mut changes = 0;
        for line in delta.text.lines().filter(|line| !line.starts_with('#')) {
            changes += 1;
            let new = match line.split_at(1) {
                ("+", value) => list.insert(value.to_owned()),
                ("-", value) => list.remove(value),
                other => panic!("{other:?}"),
            };
            prop_assert!(new, "{} said for nothing", line);
        }
        prop_assert_eq!(changes, delta.changes);
        prop_assert_eq!(list, lines(&table, &want, step(now)));
    }

    #[test]
    fn the_table_knows_each_value_once_whatever_comes_and_goes(steps in steps()) {
        let mut table = Table::default();
        let mut there: BTreeSet<(usize, bool)> = BTreeSet::new();
        for (place, next) in steps.iter().enumerate() {
            let added = i64::try_from(place).unwrap();
            let collection = |green: bool| if green { Collection::Green } else { Collection::Clear };
            match next {
                Step::Days(_) => {}
                Step::Version { value, green, .. } => {
                    there.insert((*value, *green));
                    table.fold(&version(collection(*green), VALUES[*value], added), false);
                }
                Step::Revoked { value, green } => {
                    there.remove(&(*value, *green));
                    table.fold(&revoked(collection(*green), VALUES[*value], added, 0), false);
                }
            }
        }
        let values: BTreeSet<usize> = there.iter().map(|(value, _)| *value).collect();
        prop_assert_eq!(table.entries().len(), values.len());
        for (place, value) in VALUES.iter().enumerate() {
            let entry = table.get(key(value));
            prop_assert_eq!(entry.is_some(), values.contains(&place));
            for (green, collection) in [(false, Collection::Clear), (true, Collection::Green)] {
                prop_assert_eq!(entry.is_some_and(|entry| entry.state(collection).is_some()), there.contains(&(place, green)));
            }
        }
    }
}

fn reader(standing: Standing) -> Reader {
    Reader {
        org: OrgNo(7),
        kind: OrgKind::Company,
        constituency: Some(Constituency::Private),
        audience_ids: Vec::new(),
        standing,
        agreement: None,
        role: KeyRole::Reader,
        red: false,
    }
}

#[test]
fn who_fetched_a_product_that_held_a_value_learns_of_its_recall_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let fetches = Fetches::load(folder.path());
    let (one, two, three) = (OrgId(Uuid::from_u128(1)), OrgId(Uuid::from_u128(2)), OrgId(Uuid::from_u128(3)));
    let mut table = Table::default();
    table.fold(&version(Collection::Clear, "evil.kr", 10), false);
    table.fold(&version(Collection::Clear, "185.60.1.1", 11), false);
    let position = table.position(Collection::Clear);
    fetches.note(one, &want(LIST), position, NOW);
    fetches.note(one, &want(Product::Hosts), position, NOW);
    fetches.note(two, &want(Product::List(Some(ObservableType::Ipv4))), position, NOW);
    table.fold(&revoked(Collection::Clear, "evil.kr", 20, 10), false);
    fetches.note(three, &want(LIST), table.position(Collection::Clear), NOW);
    fetches.note(one, &want(LIST), table.position(Collection::Clear), NOW);
    fetches.save();
    let fetches = Fetches::load(folder.path());
    let recalls = |organisation| list(&table, &fetches.of(organisation), &reader(Standing::Full), None, 100, |other| other == key("evil.kr"));
    let found = recalls(one);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].value.as_str(), found[0].reason, found[0].replaced), ("evil.kr", "false-positive", false));
    assert_eq!(found[0].products, ["hosts", "list.txt"]);
    assert!(recalls(two).is_empty(), "its list is of addresses");
    assert!(recalls(three).is_empty(), "it fetched after the recall");
    assert!(recalls(OrgId(Uuid::from_u128(4))).is_empty());
    let later = Some(NOW.plus(DAY));
    assert!(list(&table, &fetches.of(one), &reader(Standing::Full), later, 100, |_| false).is_empty());
    table.fold(&version(Collection::Clear, "evil.kr", 30), false);
    assert!(list(&table, &fetches.of(one), &reader(Standing::Full), None, 100, |_| false).is_empty(), "it is back");
}

#[test]
fn a_recall_is_no_way_to_what_a_membership_no_longer_covers() {
    let folder = tempfile::tempdir().unwrap();
    let fetches = Fetches::load(folder.path());
    let member = OrgId(Uuid::from_u128(1));
    let amber = Want::new(LIST, Collection::Amber, ProductFilter::default());
    let mut table = Table::default();
    table.fold(&version(Collection::Amber, "evil.kr", 10), false);
    fetches.note(member, &amber, table.position(Collection::Amber), NOW);
    table.fold(&revoked(Collection::Amber, "evil.kr", 20, 10), false);
    for (standing, count) in [(Standing::Full, 1), (Standing::ReceiveLimited, 0)] {
        assert_eq!(list(&table, &fetches.of(member), &reader(standing), None, 100, |_| false).len(), count, "{standing}");
    }
}
