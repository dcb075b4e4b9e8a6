//! Facts of collections that need no files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use model::{Agreement, KeyId, KeyRole, OrgId, OrgKind, OrgNo, Organisation, Pap, Standing, StandingBy, Tlp};
use policy::Reader;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn organisation(kind: OrgKind, sector: &str) -> Organisation {
    Organisation {
        id: OrgId(Uuid::from_u128(5)),
        number: OrgNo(5),
        name: "Company".to_owned(),
        kind,
        constituency: None,
        sector: (!sector.is_empty()).then(|| Text::from(sector)),
        country: None,
        groups: Vec::new(),
        standing: Standing::Full,
        standing_since: None,
        standing_reason: None,
        standing_review: None,
        standing_by: StandingBy::Rule,
        standing_rule: true,
        acts_for: Vec::new(),
        agreement: None,
        licence: None,
        default_tlp: Tlp::Amber,
        default_pap: Pap::Green,
        named: false,
        quota_per_day: None,
        version: 1,
        created: NOW,
        updated: NOW,
    }
}

fn actor(organisation: Organisation, role: KeyRole) -> Actor {
    let reader = Reader::new(&organisation, role, false, NOW);
    Actor { key: KeyId(Uuid::from_u128(6)), organisation: Arc::new(organisation), role, red: false, reader }
}

/// The agreement of the caller's own organisation, where there is one.
fn agreed(actor: &Actor) -> Vec<(Arc<Organisation>, Arc<Agreement>)> {
    actor.reader.agreement.iter().map(|agreement| (actor.organisation.clone(), Arc::new(agreement.clone()))).collect()
}

/// Titles with `r` and `w`.
fn rights(actor: &Actor) -> Vec<String> {
    let sectors = [Text::from("energy"), Text::from("water")];
    let all = rights::collections("main", &sectors, &agreed(actor), actor);
    let flag = |flag: bool, letter: &'static str| if flag { letter } else { "" };
    all.iter().map(|collection| format!("{} {}{}", collection.title, flag(collection.can_read, "r"), flag(collection.can_write, "w"))).collect()
}

#[test]
fn who_has_which_collection() {
    let company = || organisation(OrgKind::Company, "energy");
    let events = ["events-clear r", "events-green r", "events-amber r"];
    let with = |more: &[&str]| events.iter().chain(more).map(|title| (*title).to_owned()).collect::<Vec<_>>();
    assert_eq!(rights(&actor(company(), KeyRole::Analyst)), with(&["intelligence rw", "sector-energy rw", "private rw"]));
    assert_eq!(rights(&actor(company(), KeyRole::Reader)), with(&["intelligence r", "sector-energy r", "private r"]));
    assert_eq!(rights(&actor(company(), KeyRole::Reporter)), ["intelligence w", "sector-energy w", "private w"]);
    assert_eq!(rights(&actor(company(), KeyRole::Auditor)), [""; 0]);
    let authority = organisation(OrgKind::Authority, "");
    assert_eq!(rights(&actor(authority, KeyRole::Authority)), with(&["intelligence rw", "sector-energy r", "sector-water r", "private rw"]));
    let hub = organisation(OrgKind::Cert, "");
    assert_eq!(rights(&actor(hub, KeyRole::Coordinator)), with(&["intelligence rw", "sector-energy rw", "sector-water rw", "private rw"]));
}

#[test]
fn a_limited_member_gets_green_and_still_contributes() {
    let limited = Organisation { standing: Standing::ReceiveLimited, ..organisation(OrgKind::Company, "energy") };
    let expected = ["events-clear r", "events-green r", "intelligence w", "sector-energy w", "private rw"];
    assert_eq!(rights(&actor(limited, KeyRole::Analyst)), expected);
    let revoked = Organisation { standing: Standing::Revoked, ..organisation(OrgKind::Company, "energy") };
    assert_eq!(rights(&actor(revoked, KeyRole::Analyst)), [""; 0]);
}

#[test]
fn a_partner_gets_what_its_agreement_covers() {
    let partner = || organisation(OrgKind::Partner, "energy");
    assert_eq!(rights(&actor(partner(), KeyRole::Analyst)), ["events-clear r", "events-green r", "private rw"]);
    let agreed = |agreement| Organisation { agreement: Some(agreement), ..partner() };
    let own = ["rw", "r", "w"].map(|flags| format!("{} {flags}", crate::members::collection_title(partner().id)));
    let [both, reads, adds] = own.each_ref().map(String::as_str);
    let amber = || Agreement::up_to(Tlp::Amber);
    let expected = ["events-clear r", "events-green r", "private rw", both];
    assert_eq!(rights(&actor(agreed(amber()), KeyRole::Analyst)), expected);
    let reader = ["events-clear r", "events-green r", "private r", reads];
    assert_eq!(rights(&actor(agreed(amber()), KeyRole::Reader)), reader);
    assert_eq!(rights(&actor(agreed(amber()), KeyRole::Reporter)), ["private w", adds]);
    // Amber is in its own collection, never in that of members.
    let some = Agreement { categories: vec![model::Category::Phishing], ..amber() };
    assert_eq!(rights(&actor(agreed(some), KeyRole::Analyst)), ["events-clear r", "events-green r", "private rw", both]);
    assert_eq!(rights(&actor(agreed(Agreement::up_to(Tlp::Clear)), KeyRole::Analyst)), ["events-clear r", "private rw", both]);
}

#[test]
fn the_coordinator_reads_every_agreements_collection_and_nobody_else_knows_of_it() {
    let partner = Arc::new(Organisation { id: OrgId(Uuid::from_u128(77)), number: OrgNo(77), ..organisation(OrgKind::Partner, "") });
    let partners = [(partner.clone(), Arc::new(Agreement::up_to(Tlp::Amber)))];
    let title = crate::members::collection_title(partner.id);
    let found = |actor: Actor| {
        let all = rights::collections("main", &[], &partners, &actor);
        all.into_iter().find(|collection| collection.title == title).map(|collection| (collection.can_read, collection.can_write))
    };
    assert_eq!(found(actor(organisation(OrgKind::Cert, ""), KeyRole::Coordinator)), Some((true, false)));
    for (kind, role) in [(OrgKind::Authority, KeyRole::Authority), (OrgKind::Company, KeyRole::Analyst), (OrgKind::Partner, KeyRole::Analyst)] {
        assert_eq!(found(actor(organisation(kind, ""), role)), None);
    }
}

#[test]
fn ids_are_stable_and_a_private_collection_is_each_organisations_own() {
    let first = rights::collections("main", &[], &[], &actor(organisation(OrgKind::Company, "energy"), KeyRole::Analyst));
    let again = rights::collections("main", &[], &[], &actor(organisation(OrgKind::Company, "energy"), KeyRole::Analyst));
    assert_eq!(first, again);
    let other = Organisation { id: OrgId(Uuid::from_u128(9)), ..organisation(OrgKind::Company, "energy") };
    let other = rights::collections("main", &[], &[], &actor(other, KeyRole::Analyst));
    for (mine, theirs) in first.iter().zip(&other) {
        assert_eq!(mine.id == theirs.id, mine.title != "private", "{}", mine.title);
    }
    let elsewhere = rights::collections("drill", &[], &[], &actor(organisation(OrgKind::Company, "energy"), KeyRole::Analyst));
    assert!(first.iter().zip(&elsewhere).all(|(here, there)| here.id != there.id));
}

#[test]
fn a_cursor_is_good_for_its_own_listing_and_filters_alone() {
    let all = rights::collections("main", &[], &[], &actor(organisation(OrgKind::Company, "energy"), KeyRole::Analyst));
    let (filter, place) = (Filter { types: vec!["indicator".to_owned()], ..Filter::default() }, Timestamp::from_micros(1_700_000_000_000_001));
    let cursor = filter.cursor(&all[0], "objects", place, 7);
    assert_eq!(filter.start(&all[0], "objects", Some(&cursor), 7).unwrap(), Some(place));
    assert!(!cursor.starts_with(&format!("{:016x}", place.micros())), "the place is not told in clear");
    assert_ne!(filter.start(&all[0], "objects", Some(&cursor), 8).ok().flatten(), Some(place));
    assert!(filter.start(&all[1], "objects", Some(&cursor), 7).is_err());
    assert!(filter.start(&all[0], "manifest", Some(&cursor), 7).is_err());
    assert!(Filter::default().start(&all[0], "objects", Some(&cursor), 7).is_err());
    for wrong in ["", "x", "é", "0000000000000000ffffffff"] {
        assert!(filter.start(&all[0], "objects", Some(wrong), 7).is_err(), "{wrong}");
    }
    let later = Filter { added_after: Some(place), ..Filter::default() };
    assert_eq!(later.start(&all[0], "objects", None, 7).unwrap(), Some(place));
}
