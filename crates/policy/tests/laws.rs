//! The laws of sight, over readers and reports of every kind.
//!
//! Flow: a reader of any organisation and key, a report of any event → what `sight` and `redact` leave → a law.
//! Not here: that every door asks `policy` (`tests/policy_doors.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use model::agreement::{Agreement, Redistribution};
use model::{Category, Constituency, Event, KeyRole, OrgKind, Organisation, Origin, Pap, Role, Standing, Tlp};
use policy::{Export, Reader, Sight, blocking_allowed, covers, export_allowed, is_within, reach, receives_all, redact};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use support::{
    FAR_SIDE, NOTE, NOW, ORIGINAL, OWN_ID, Report, SECOND, SIGHTS, TARGET, agreement, audience_id, event, fields, is_named_in, is_part, organisation, oversees,
    partner, reader, report, value_of,
};

/// Cases of each law.
const CASES: u32 = 2_000;

fn laws() -> ProptestConfig {
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

// Markings.
proptest! {
    #![proptest_config(laws())]

    #[test]
    fn a_stricter_marking_never_shows_more(reader in reader(), report in report(), other in select(Tlp::ALL)) {
        let looser = report.with_tlp(report.event.tlp.min(other));
        let stricter = report.with_tlp(report.event.tlp.max(other));
        prop_assert!(stricter.sight(&reader) <= looser.sight(&reader));
        prop_assert!(is_part(&stricter.answer(&reader), &looser.answer(&reader)));
    }

    #[test]
    fn red_reaches_only_flagged_keys_of_those_its_audience_names(reader in reader(), report in report()) {
        let report = report.with_tlp(Tlp::Red);
        let sight = report.sight(&reader);
        if sight.sees_event() && sight != Sight::Own {
            prop_assert!(reader.red);
            prop_assert!(oversees(&reader, &report) || is_named_in(&reader, report.event.audience()));
        }
    }

    #[test]
    fn amber_reaches_members_in_full_standing_and_partners_whose_agreement_covers_it(
        reader in reader(), report in report(), tlp in select(vec![Tlp::Amber, Tlp::AmberStrict])
    ) {
        let report = report.with_tlp(tlp);
        let sight = report.sight(&reader);
        if sight.sees_event() && sight != Sight::Own && !oversees(&reader, &report) {
            if reader.kind == OrgKind::Partner {
                prop_assert!(reader.agreement.as_ref().is_some_and(|agreement| reach(Some(agreement)) >= tlp));
            } else {
                prop_assert!(matches!(reader.standing, Standing::Full | Standing::Warned));
            }
        }
    }
}

// Audiences.
proptest! {
    #![proptest_config(laws())]

    // A red event reaches nobody until an audience names them (the law on red above), so there is nothing to narrow.
    #[test]
    fn an_added_audience_never_shows_more(
        reader in reader(), report in report(), audience in vec(audience_id(), 1..4), tlp in select(vec![Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict])
    ) {
        let wide = report.with_tlp(tlp).with_audience(Vec::new());
        let narrow = wide.with_audience(audience);
        prop_assert!(narrow.sight(&reader) <= wide.sight(&reader));
        prop_assert!(is_part(&narrow.answer(&reader), &wide.answer(&reader)));
    }

    #[test]
    fn who_is_not_named_by_an_audience_sees_nothing(reader in reader(), report in report(), audience in vec(audience_id(), 1..4)) {
        let report = report.with_audience(audience);
        if reader.org != report.reporter && !oversees(&reader, &report) && !is_named_in(&reader, report.event.audience()) {
            prop_assert_eq!(report.sight(&reader), Sight::Hidden);
        }
    }

    #[test]
    fn one_more_name_in_an_audience_changes_nothing_for_those_it_does_not_name(
        reader in reader(), report in report(), audience in vec(audience_id(), 1..4), added in audience_id()
    ) {
        let before = report.with_audience(audience.clone());
        let after = report.with_audience(audience.into_iter().chain([added.clone()]).collect());
        if !reader.audience_ids.contains(&added) {
            prop_assert_eq!(after.sight(&reader), before.sight(&reader));
            prop_assert_eq!(after.answer(&reader).is_empty(), before.answer(&reader).is_empty());
        }
    }
}

// Readers.
proptest! {
    #![proptest_config(laws())]

    #[test]
    fn a_test_is_seen_by_its_reporter_alone(reader in reader(), mut report in report()) {
        report.event.category = Category::Test;
        let may = reader.org == report.reporter && reader.reads_events() && reader.standing != Standing::Revoked;
        prop_assert_eq!(report.sight(&reader), if may { Sight::Own } else { Sight::Hidden });
    }

    #[test]
    fn a_reporter_sees_its_own_event_whole_whatever_its_marking_audience_and_standing(reader in reader(), report in report()) {
        let report = Report { reporter: reader.org, ..report };
        if reader.reads_events() && reader.standing != Standing::Revoked {
            prop_assert_eq!(report.sight(&reader), Sight::Own);
            let mut event = report.event.clone();
            prop_assert!(redact(&mut event, Sight::Own));
            prop_assert_eq!(event, report.event);
        }
    }

    #[test]
    fn a_partner_sees_who_reported_only_where_its_agreement_lets_names_pass(reader in partner(), report in report()) {
        let sight = report.sight(&reader);
        if reader.agreement.as_ref().is_some_and(|agreement| agreement.names) {
            prop_assert!(report.event.named || sight == Sight::Own || !report.sight(&reader).sees_reporter());
            return Ok(());
        }
        prop_assert!(!sight.sees_reporter() || sight == Sight::Own);
        prop_assert!(sight == Sight::Own || report.answer(&reader).iter().all(|(name, _)| !["reporter", "id", "note"].contains(name)));
    }

    #[test]
    fn a_partner_without_an_agreement_sees_at_most_green(reader in partner(), report in report()) {
        let reader = Reader { agreement: None, ..reader };
        if report.event.tlp > Tlp::Green && reader.org != report.reporter {
            prop_assert_eq!(report.sight(&reader), Sight::Hidden);
        }
    }

    #[test]
    fn an_agreement_holds_until_the_moment_it_expires_and_then_clear_and_green_are_left(
        organisation in organisation(), report in report(), agreement in agreement()
    ) {
        for (expires, holds) in [(None, true), (Some(NOW.plus(SECOND)), true), (Some(NOW), false), (Some(NOW.minus(SECOND)), false)] {
            let agreement = Agreement { expires, ..agreement.clone() };
            let with = Organisation { agreement: Some(agreement.clone()), ..organisation.clone() };
            let reader = Reader::new(&with, KeyRole::Analyst, false, NOW);
            prop_assert_eq!(&reader.agreement, &holds.then_some(agreement));
            if !holds {
                let without = Reader::new(&Organisation { agreement: None, ..organisation.clone() }, KeyRole::Analyst, false, NOW);
                prop_assert_eq!(report.sight(&reader), report.sight(&without));
            }
        }
    }

    #[test]
    fn a_stricter_agreement_never_shows_more(reader in partner(), report in report(), one in option::of(agreement()), other in option::of(agreement())) {
        if is_within(one.as_ref(), other.as_ref()) {
            let (narrow, wide) = (Reader { agreement: one, ..reader.clone() }, Reader { agreement: other, ..reader });
            prop_assert!(report.sight(&narrow) <= report.sight(&wide));
            prop_assert!(is_part(&report.answer(&narrow), &report.answer(&wide)));
        }
    }

    #[test]
    fn categories_and_sectors_of_an_agreement_take_nothing_of_clear_and_green_away(reader in partner(), report in report(), agreement in agreement()) {
        let open = Agreement { categories: Vec::new(), sectors: Vec::new(), ..agreement.clone() };
        let (narrowed, open) = (Reader { agreement: Some(agreement), ..reader.clone() }, Reader { agreement: Some(open), ..reader });
        if report.event.tlp <= Tlp::Green {
            prop_assert_eq!(report.sight(&narrowed), report.sight(&open));
        }
    }

    #[test]
    fn a_partner_sees_of_others_only_what_its_agreement_covers_and_never_red(reader in partner(), report in report()) {
        if reader.org != report.reporter && report.sight(&reader).sees_event() {
            let event = &report.event;
            prop_assert!(covers(reader.agreement.as_ref(), event.tlp, event.category, event.sector.as_deref()));
            prop_assert!(event.tlp < Tlp::Red);
        }
    }

    #[test]
    fn who_receives_all_of_a_marking_sees_each_event_of_it_that_is_for_everyone(reader in reader(), report in report()) {
        let report = Report { licence: None, ..report.with_audience(Vec::new()) };
        if report.event.category != Category::Test && receives_all(&reader, report.event.tlp) {
            prop_assert!(report.sight(&reader).sees_event());
        }
    }

    #[test]
    fn a_narrower_licence_never_shows_more(reader in reader(), report in report(), one in select(Redistribution::ALL), two in select(Redistribution::ALL)) {
        let with = |licence| Report { licence, ..report.clone() };
        let (narrow, wide, open) = (with(Some(one.min(two))), with(Some(one.max(two))), with(None));
        prop_assert!(narrow.sight(&reader) <= wide.sight(&reader) && wide.sight(&reader) <= open.sight(&reader));
        prop_assert_eq!(with(Some(Redistribution::Public)).sight(&reader), open.sight(&reader));
        let above = oversees(&reader, &report) || reader.org == report.reporter;
        if !above && with(Some(Redistribution::None)).sight(&reader).sees_event() {
            prop_assert_eq!((reader.role, reader.kind), (KeyRole::Authority, OrgKind::Authority));
        }
        if !above && reader.kind == OrgKind::Partner {
            prop_assert_eq!(with(Some(Redistribution::Members)).sight(&reader), Sight::Hidden);
        }
    }

    #[test]
    fn a_source_is_named_to_nobody_but_who_oversees_it(reader in reader(), report in report()) {
        let report = Report { source: true, ..report.named(true) };
        if reader.org != report.reporter && !oversees(&reader, &report) {
            prop_assert!(!report.sight(&reader).sees_reporter());
        }
    }

    #[test]
    fn a_members_agreement_changes_nothing(reader in reader(), report in report(), agreement in option::of(agreement())) {
        if reader.kind != OrgKind::Partner {
            let other = Reader { agreement, ..reader.clone() };
            prop_assert_eq!(report.sight(&other), report.sight(&reader));
        }
    }

    #[test]
    fn revoked_standing_sees_nothing(reader in reader(), report in report()) {
        let reader = Reader { standing: Standing::Revoked, ..reader };
        prop_assert_eq!(report.sight(&reader), Sight::Hidden);
        prop_assert!(report.answer(&reader).is_empty());
    }

    #[test]
    fn a_receive_limited_member_sees_clear_green_and_its_own_only(reader in reader(), report in report()) {
        let reader = Reader { standing: Standing::ReceiveLimited, ..reader };
        let member = reader.kind != OrgKind::Partner && !oversees(&reader, &report);
        if member && report.event.tlp > Tlp::Green && reader.org != report.reporter {
            prop_assert_eq!(report.sight(&reader), Sight::Hidden);
        }
        // What it may see is what it would see in full standing.
        if report.event.tlp <= Tlp::Green {
            prop_assert_eq!(report.sight(&reader), report.sight(&Reader { standing: Standing::Full, ..reader.clone() }));
        }
    }

    #[test]
    fn a_better_standing_never_shows_less(reader in reader(), report in report(), one in select(Standing::ALL), two in select(Standing::ALL)) {
        let better = Reader { standing: one.min(two), ..reader.clone() };
        let worse = Reader { standing: one.max(two), ..reader };
        prop_assert!(report.sight(&worse) <= report.sight(&better));
    }

    #[test]
    fn a_red_flag_never_shows_less(reader in reader(), report in report()) {
        let flagged = Reader { red: true, ..reader.clone() };
        let plain = Reader { red: false, ..reader };
        prop_assert!(report.sight(&plain) <= report.sight(&flagged));
        prop_assert!(report.event.tlp == Tlp::Red || report.sight(&plain) == report.sight(&flagged));
    }

    #[test]
    fn reporter_and_auditor_keys_see_no_events(reader in reader(), report in report(), role in select(vec![KeyRole::Reporter, KeyRole::Auditor])) {
        let reader = Reader { role, ..reader };
        prop_assert_eq!(report.sight(&reader), Sight::Hidden);
    }

    #[test]
    fn the_coordinator_and_the_reporters_authority_see_everything_but_tests_and_unflagged_red(reader in reader(), report in report()) {
        if oversees(&reader, &report) && reader.standing != Standing::Revoked && reader.org != report.reporter {
            let withheld = report.event.category == Category::Test || (report.event.tlp == Tlp::Red && !reader.red);
            prop_assert_eq!(report.sight(&reader), if withheld { Sight::Hidden } else { Sight::Whole });
        }
    }

    #[test]
    fn only_the_coordinator_the_reporters_authority_and_the_reporter_see_victims(reader in reader(), report in report()) {
        if report.sight(&reader).sees_victims() {
            prop_assert!(oversees(&reader, &report) || reader.org == report.reporter);
        }
    }

    #[test]
    fn an_authority_is_one_only_of_its_own_constituency(reader in reader(), constituency in option::of(select(Constituency::ALL))) {
        if reader.is_authority_of(constituency) {
            prop_assert_eq!(reader.kind, OrgKind::Authority);
            prop_assert_eq!(reader.role, KeyRole::Authority);
            prop_assert!(constituency.is_some() && reader.constituency == constituency);
        }
    }

    #[test]
    fn only_leave_shows_a_reporter_to_others(reader in reader(), report in report()) {
        let withheld = report.named(false);
        let leave = report.named(true);
        prop_assert!(withheld.sight(&reader) <= leave.sight(&reader));
        prop_assert!(is_part(&withheld.answer(&reader), &leave.answer(&reader)));
        if reader.org != report.reporter && !oversees(&reader, &report) {
            prop_assert!(!withheld.sight(&reader).sees_reporter());
            prop_assert!(!withheld.answer(&reader).iter().any(|(name, _)| ["reporter", "id", "note"].contains(name)));
        }
    }

    #[test]
    fn a_groups_leave_names_a_reporter_inside_the_groups_alone(reader in reader(), report in report(), groups in vec(audience_id(), 0..4)) {
        let report = report.named(false);
        let (without, with) = (report.sight(&reader), report.sight_with_leave_of(&reader, &groups));
        prop_assert!(without <= with);
        prop_assert_eq!(without.sees_event(), with.sees_event());
        prop_assert_eq!(without.sees_victims(), with.sees_victims());
        if without != with {
            prop_assert!(is_named_in(&reader, report.event.audience()));
            prop_assert!(reader.kind != OrgKind::Partner || reader.agreement.as_ref().is_some_and(|agreement| agreement.names));
            prop_assert!(!report.source);
            prop_assert!(report.event.audience().iter().all(|id| groups.contains(id)));
        }
        // One id in the audience without leave, or nobody named, and it stays withheld.
        let open = report.with_audience(Vec::new());
        prop_assert_eq!(open.sight(&reader), open.sight_with_leave_of(&reader, &groups));
    }
}

// Redaction.
proptest! {
    #![proptest_config(laws())]

    #[test]
    fn less_sight_leaves_a_part_of_the_fields(event in event(), one in select(SIGHTS), two in select(SIGHTS)) {
        let (mut less, mut more) = (event.clone(), event);
        if redact(&mut less, one.min(two)) {
            prop_assert!(redact(&mut more, one.max(two)));
            prop_assert!(is_part(&fields(&less), &fields(&more)));
        }
    }

    #[test]
    fn redacting_twice_is_redacting_for_the_lesser_sight(event in event(), one in select(SIGHTS), two in select(SIGHTS)) {
        let mut once = event.clone();
        let shown = redact(&mut once, one.min(two));
        for (first, second) in [(one, two), (two, one)] {
            let mut twice = event.clone();
            let shown_twice = redact(&mut twice, first) && redact(&mut twice, second);
            prop_assert_eq!(shown_twice, shown);
            if shown {
                prop_assert_eq!(fields(&twice), fields(&once));
            }
        }
    }

    #[test]
    fn below_whole_no_trace_of_what_is_withheld_is_left(event in event(), sight in select(vec![Sight::WithoutReporterAndVictims, Sight::WithoutVictims])) {
        let mut shown = event.clone();
        if redact(&mut shown, sight) {
            let text = format!("{shown:?}");
            for (place, observable) in event.observables.iter().enumerate().filter(|(_, observable)| observable.role == Role::Victim) {
                prop_assert!(!text.contains(&value_of(observable.role, place)), "{text}");
            }
            for trace in [FAR_SIDE, TARGET, "analyst", ORIGINAL, "grp_", "org_"] {
                prop_assert!(!text.contains(trace), "{trace} in {text}");
            }
            if !sight.sees_reporter() {
                prop_assert!(!text.contains(NOTE) && !text.contains(OWN_ID) && !shown.named, "{text}");
            }
            prop_assert!(shown.details.as_ref().and_then(|details| details.target.as_ref()).is_none_or(|target| target.asn.is_none()));
        }
    }

    #[test]
    fn a_honeypots_own_address_is_its_senders_alone(event in event(), sight in select(vec![Sight::WithoutReporterAndVictims, Sight::WithoutVictims, Sight::Whole])) {
        let mut shown = Event { origin: Origin::Honeypot, ..event };
        if redact(&mut shown, sight) {
            prop_assert!(shown.observables.iter().all(|observable| observable.role == Role::Attacker));
            let text = format!("{shown:?}");
            prop_assert!(!text.contains(FAR_SIDE) && !text.contains(TARGET), "{text}");
        }
    }

    #[test]
    fn what_is_hidden_or_only_an_own_finding_is_no_event(event in event(), sight in select(vec![Sight::Hidden, Sight::OwnFinding])) {
        prop_assert!(!sight.sees_event());
        prop_assert!(!redact(&mut event.clone(), sight));
    }

    #[test]
    fn an_event_that_is_shown_has_a_value(event in event(), sight in select(SIGHTS)) {
        let mut shown = event;
        prop_assert!(!redact(&mut shown, sight) || !shown.observables.is_empty());
    }
}

#[test]
fn each_sight_shows_what_the_one_before_it_shows() {
    assert!(SIGHTS.is_sorted());
    for sight in SIGHTS {
        assert!(!sight.sees_victims() || sight.sees_reporter(), "{sight:?}");
        assert!(!sight.sees_reporter() || sight.sees_event(), "{sight:?}");
    }
}

#[test]
fn a_marking_leaves_only_by_the_ways_of_the_table() {
    const WAYS: [Export; 5] = [Export::Public, Export::Community, Export::OwnAndClients, Export::OwnOnly, Export::OnwardHub];
    for (tlp, allowed) in [
        (Tlp::Clear, [true, true, true, true, true]),
        (Tlp::Green, [false, true, true, true, true]),
        (Tlp::Amber, [false, false, true, true, true]),
        (Tlp::AmberStrict, [false, false, false, true, false]),
        (Tlp::Red, [false, false, false, false, false]),
    ] {
        assert_eq!(WAYS.map(|way| export_allowed(tlp, way)), allowed, "{tlp}");
    }
}

#[test]
fn a_stricter_marking_leaves_by_no_more_ways() {
    for way in [Export::Public, Export::Community, Export::OwnAndClients, Export::OwnOnly, Export::OnwardHub] {
        for pair in Tlp::ALL.windows(2) {
            assert!(export_allowed(pair[0], way) || !export_allowed(pair[1], way), "{} by {way:?}", pair[1]);
        }
    }
}

#[test]
fn only_clear_and_green_actions_allow_blocking() {
    for (pap, allowed) in [(Pap::Clear, true), (Pap::Green, true), (Pap::Amber, false), (Pap::Red, false)] {
        assert_eq!(blocking_allowed(pap), allowed, "{pap}");
    }
}
