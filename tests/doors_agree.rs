//! Every door tells the same truth: random events and readers of every kind against one model, what is taken back, and owners without a proof.
//!
//! Flow: a seed gives a nation ([`nation`]), its members send at once what it draws, every reader goes through every door once, and
//! [`model::model`] says what each must find there. Doors for events show exactly what the law says, doors for indicators and products what their own
//! rules leave of it.
//! Invariant: no byte of any answer holds a mark that the model does not show to its reader. What follows behind may lack something for a while and
//! never has too much.
//! Not here: counts and filters of a look-up and a search (`policy_doors`), the shape of each door (`taxii`, `products`, `delivery`, `owners`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "doors_agree/model.rs"]
mod model;
#[path = "doors_agree/nation.rs"]
mod nation;
#[path = "doors_agree/owner.rs"]
mod owner;
mod support;
#[path = "doors_agree/taken_back.rs"]
mod taken_back;

use model::{Shown, all_shown};
use nation::{MISP_FEED, Nation, OWNER, PRODUCTS, Place, Reader, TLPS, Watched, found};
use serde_json::Value;
use std::collections::BTreeSet;
use support::{Visit, becomes, eventually, marks, same, setting};

/// Readers that are at the doors at the same time.
const AT_ONCE: usize = 4;

#[test]
fn every_door_shows_every_reader_what_the_model_says_and_nothing_more() {
    // The same nation each time, so that a change that fails is at fault; others by the variable.
    let seed = setting("BONGSU_SEED", 20_261_122);
    eprintln!("BONGSU_SEED={seed}");
    let nation = found(seed);
    check_deliveries(&nation);
    std::thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let nation = &nation;
            scope.spawn(move || nation.readers.iter().skip(part).step_by(AT_ONCE).for_each(|reader| check_reader(nation, reader)));
        }
    });
    println!("seed {seed}: {} readers and {} events at {}, no difference", nation.readers.len(), nation.events.len(), nation.hub.url);
}

/// Goes through every door with a reader's key.
fn check_reader(nation: &Nation, reader: &Reader) {
    let (each, all) = all_shown(nation, reader);
    let who = &reader.name;
    let mut visit = Visit::new(&reader.client);
    // The marker is in everything that the reader may open.
    let marker = each.last().unwrap();
    let reads = !marker.event.is_empty();

    let expected: BTreeSet<(u64, BTreeSet<String>)> =
        nation.events.iter().zip(&each).filter(|(_, shown)| !shown.event.is_empty()).map(|(event, shown)| (event.seq, shown.event.clone())).collect();
    let found = visit.search();
    let streamed = visit.stream(nation.events.last().unwrap().seq);
    let asked: Vec<Value> = nation.events.iter().filter_map(|event| visit.event(event.seq)).collect();
    for (door, found) in [("search", found), ("stream", streamed), ("one event", (reads || !asked.is_empty()).then_some(asked))] {
        assert_eq!(found.is_some(), reads, "{who}: {door} is open");
        let found = found.unwrap_or_default();
        same(&format!("{who}: {door}"), &told_of(nation, &found), &expected);
        assert_eq!(found.len(), expected.len(), "{who}: {door}: each once");
    }

    check_lookup(nation, reader, &mut visit, &each, reads);
    let found = visit.findings();
    assert_eq!(found.is_some(), reads, "{who}: findings are open");
    let found: BTreeSet<String> = found.unwrap_or_default().iter().flat_map(|finding| marks(finding["value"].as_str().unwrap())).collect();
    same(&format!("{who}: findings"), &found, &all.findings);

    let agreed = nation.organisations.iter().filter(|other| other.agreement.is_some()).map(|other| format!("agreement-{}", other.id));
    for title in TLPS[..3].iter().map(|tlp| format!("events-{tlp}")).chain(agreed) {
        let door = format!("{who}: collection {title}");
        if marker.collections.contains_key(&title) {
            becomes(&door, &all.collections[&title], || visit.collection(&title).unwrap_or_else(|| panic!("{door} is closed")).stands);
        } else {
            assert_eq!(visit.collection(&title), None, "{door} is open");
        }
    }
    for (product, tlp) in PRODUCTS.iter().flat_map(|(product, _)| (0..=2).map(move |tlp| (*product, tlp))) {
        let door = format!("{who}: {product} of {}", TLPS[tlp]);
        if marker.products.contains_key(&(product, tlp)) {
            let look = || values_in(nation, &visit.product(product, TLPS[tlp]).unwrap_or_else(|| panic!("{door} is closed")));
            becomes(&door, &all.products[&(product, tlp)], look);
        } else {
            assert_eq!(visit.product(product, TLPS[tlp]), None, "{door} is open");
        }
    }
    check_misp(nation, reader, &mut visit, &each, &all);

    for path in ["/api/v1/inbox", "/feeds/list.txt", "/feeds/recalls", "/taxii2/main/collections/", "/api/v1/status"] {
        visit.get(path);
    }
    let may_know = knows_protection(nation, reader);
    for (path, said) in &visit.said {
        assert_no_more(nation, &format!("{who}: {path}"), said, &all.any);
        assert!(may_know || !said.contains("\"protected\":true"), "{who}: {path}: tells what is protected: {said}");
    }
}

/// Looks every value up.
fn check_lookup(nation: &Nation, reader: &Reader, visit: &mut Visit<'_>, each: &[Shown], reads: bool) {
    let who = &reader.name;
    let asked: Vec<(&Watched, &Shown)> =
        nation.events.iter().zip(each).flat_map(|(event, shown)| event.values.iter().map(move |value| (value, shown))).collect();
    let values: Vec<String> = asked.iter().map(|(value, _)| value.value.clone()).collect();
    let answers = visit.lookup(&values);
    assert_eq!(answers.is_some(), reads, "{who}: look-up is open");
    for ((value, shown), answer) in asked.iter().zip(answers.unwrap_or_default()) {
        let context = format!("{who}: look-up of {} ({}, {:?}): {answer}", value.value, value.role, value.place);
        assert_eq!(!answer.is_null(), shown.values.contains(&value.mark), "{context}");
        assert_no_more(nation, &context, &answer.to_string(), &shown.event);
        if !answer.is_null() {
            assert_eq!(answer["protected"] == true, knows_protection(nation, reader) && value.place == Place::Protected, "protection: {context}");
            assert_eq!(answer["reserved"] == true, value.place == Place::Reserved, "reserved: {context}");
            assert_eq!(answer["warning_lists"].as_array().is_some_and(|lists| !lists.is_empty()), value.place == Place::Listed, "warning lists: {context}");
        }
    }
}

/// Whether a reader may know what is protected: as its owner, its line's authority or the coordinator.
fn knows_protection(nation: &Nation, reader: &Reader) -> bool {
    let line = |number: usize| nation.organisations[number].constituency;
    reader.organisation == OWNER || reader.role == "coordinator" || (reader.role == "authority" && line(reader.organisation) == line(OWNER))
}

/// MISP's doors, where they are: the search finds what came that way, the feed is as a product.
fn check_misp(nation: &Nation, reader: &Reader, visit: &mut Visit<'_>, each: &[Shown], all: &Shown) {
    let who = &reader.name;
    let Some(misp) = visit.misp() else { return };
    let by_misp = nation.events.iter().zip(each).filter(|(event, _)| event.by_misp);
    let contributed: BTreeSet<String> = by_misp.flat_map(|(_, shown)| shown.values.iter().cloned()).collect();
    let reads = !each.last().unwrap().event.is_empty();
    assert_eq!(misp.found.is_some(), reads, "{who}: MISP's search is open");
    let found = values_in(nation, &misp.found.unwrap_or_default());
    if nation.organisations[reader.organisation].kind == "partner" {
        // An agreement by category does not reach what is kept whole under several.
        assert!(found.is_subset(&contributed), "{who}: MISP's search: {found:?}");
    } else {
        same(&format!("{who}: MISP's search"), &found, &contributed);
    }
    let widest = (0..=2).rev().find(|tlp| each.last().unwrap().products.contains_key(&(MISP_FEED.0, *tlp)));
    assert_eq!(misp.feed.is_some(), widest.is_some(), "{who}: MISP's feed is open");
    if let Some(tlp) = widest {
        becomes(&format!("{who}: MISP's feed"), &all.products[&(MISP_FEED.0, tlp)], || values_in(nation, &visit.misp().unwrap().feed.unwrap()));
    }
}

/// What came to each organisation by inbox, webhook and mail: what a key of its own with the role reader and without red sees, but for its own reports.
fn check_deliveries(nation: &Nation) {
    let last = nation.events.last().unwrap().seq;
    for (number, told) in &nation.told {
        let recipient = Reader { name: format!("deliveries to {number}"), organisation: *number, role: "reader", red: false, client: told.client.clone() };
        let (each, _) = all_shown(nation, &recipient);
        let others = nation.events.iter().zip(&each).filter(|(event, shown)| event.reporter != *number && !shown.event.is_empty());
        let expected: BTreeSet<(u64, BTreeSet<String>)> = others.map(|(event, shown)| (event.seq, shown.event.clone())).collect();
        let own = &nation.organisations[*number];
        let may_have: BTreeSet<String> = expected.iter().flat_map(|(_, marks)| marks.iter().cloned()).chain([own.id.clone(), own.name.clone()]).collect();
        let events = |messages: &[Value]| -> Vec<Value> { messages.iter().flat_map(|message| message["events"].as_array().unwrap().iter().cloned()).collect() };
        // Everything comes in order, so that what comes before the marker is there with it.
        let has_all = |messages: &[Value]| expected.is_empty() || events(messages).iter().any(|event| event["seq"] == last);
        let what = format!("{} hears of the marker", recipient.name);
        let ways = eventually(&what, || Some(told.so_far(&nation.receiver, &nation.mail)).filter(|ways| ways.iter().all(|(_, messages, _)| has_all(messages))));
        for (way, messages, said) in ways {
            let door = format!("{} by {way}", recipient.name);
            let events = events(&messages);
            same(&door, &told_of(nation, &events), &expected);
            assert_eq!(events.len(), expected.len(), "{door}: each once");
            assert_no_more(nation, &door, &said, &may_have);
            assert!(!said.contains("\"protected\":true"), "{door}: {said}");
        }
    }
}

/// Events by place, each with the marks in it.
fn told_of(nation: &Nation, events: &[Value]) -> BTreeSet<(u64, BTreeSet<String>)> {
    events.iter().map(|event| (event["seq"].as_u64().unwrap(), marks(&event.to_string()).intersection(&nation.known).cloned().collect())).collect()
}

/// Those of some marks that are values'.
fn values_in(nation: &Nation, found: &BTreeSet<String>) -> BTreeSet<String> {
    nation.events.iter().flat_map(|event| &event.values).map(|value| &value.mark).filter(|mark| found.contains(*mark)).cloned().collect()
}

/// Fails where a text holds a mark that is not among those that its reader may have.
fn assert_no_more(nation: &Nation, door: &str, said: &str, may_have: &BTreeSet<String>) {
    let found = marks(said);
    let more: Vec<&String> = found.iter().filter(|mark| nation.known.contains(*mark) && !may_have.contains(*mark)).take(5).collect();
    assert!(more.is_empty(), "{door}: holds {more:?}:\n{}", said.chars().take(2_000).collect::<String>());
}
