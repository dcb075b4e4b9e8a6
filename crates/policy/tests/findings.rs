//! The laws of findings: an owner is told of its own value and of nothing else; what waits is seen by whom the event would be seen whole.
//!
//! Not here: that an owner's claim is approved and proven before anything is matched with it (`store::views::owners`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[allow(dead_code, reason = "shared with the other laws")]
mod support;

use model::{Category, Constituency, ObservableType, Origin, Role, Standing};
use policy::{FindingPart, finding, sees_told, sees_waiting};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use support::{FAR_SIDE, NOTE, ORIGINAL, OWN_ID, TARGET, reader, report, value_of};

/// Every value that a generated event can hold.
fn values() -> Vec<String> {
    let observables = Role::ALL.iter().flat_map(|role| (0..5).map(|place| value_of(*role, place)));
    observables.chain([FAR_SIDE.to_owned(), TARGET.to_owned()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_owner_of_nothing_is_told_nothing(report in report()) {
        prop_assert_eq!(finding(&report.event, |_, _| false), None);
    }

    #[test]
    fn a_finding_holds_the_owners_value_and_no_other_and_nothing_of_the_reporter(report in report(), own in select(values())) {
        let Some(content) = finding(&report.event, |_, value| value == own) else { return Ok(()) };
        prop_assert_eq!(content.value.as_str(), own.as_str());
        let told = format!("{content:?}");
        for other in values().into_iter().filter(|other| *other != own) {
            prop_assert!(!told.contains(&other), "{told}");
        }
        for text in [NOTE, ORIGINAL, OWN_ID, "kim", "T1566", "org_"] {
            prop_assert!(!told.contains(text), "{told}");
        }
        prop_assert!(report.event.category != Category::Test);
    }

    #[test]
    fn a_honeypots_own_address_is_told_to_nobody(report in report(), all in any::<bool>()) {
        let mut event = report.event;
        event.origin = Origin::Honeypot;
        let hidden = event.observables.iter().filter(|observable| observable.role != Role::Attacker);
        let hidden: Vec<String> = hidden.map(|observable| observable.value.to_string()).collect();
        if let Some(content) = finding(&event, |kind, value| all || kind == ObservableType::Ipv4 && value != "x") {
            prop_assert!(!hidden.contains(&content.value.to_string()) && ![FAR_SIDE, TARGET].contains(&content.value.as_str()));
        }
    }

    #[test]
    fn what_is_told_is_seen_by_the_owner_its_authority_and_the_coordinator(reader in reader(), owner in report(), line in option::of(select(Constituency::ALL))) {
        let part = sees_told(&reader, owner.reporter, line);
        prop_assert_eq!(part == Some(FindingPart::Owner), part.is_some() && reader.org == owner.reporter);
        if part == Some(FindingPart::Authority) {
            prop_assert!(reader.is_coordinator() || reader.is_authority_of(line));
        }
        if part.is_some() {
            prop_assert!(reader.reads_events() && reader.standing != Standing::Revoked);
        }
        let limited = policy::Reader { standing: Standing::ReceiveLimited, ..reader.clone() };
        let full = policy::Reader { standing: Standing::Full, ..reader };
        prop_assert_eq!(sees_told(&limited, owner.reporter, line), sees_told(&full, owner.reporter, line), "standing never limits own findings");
    }

    #[test]
    fn what_waits_is_seen_by_its_sender_and_by_who_sees_the_event_whole(reader in reader(), report in report(), red in any::<bool>()) {
        match sees_waiting(&reader, report.reporter, report.constituency, red) {
            Some(FindingPart::Sender) => prop_assert_eq!(reader.org, report.reporter),
            Some(FindingPart::Authority) => {
                prop_assert!(reader.is_coordinator() || reader.is_authority_of(report.constituency));
                prop_assert!(!red || reader.red);
            }
            Some(FindingPart::Owner) => prop_assert!(false, "nobody sees what waits as its owner"),
            None => {}
        }
    }
}
