//! Whole documents in, events and refusals out.

use super::parse;
use crate::{Defaults, Parsed};
use model::{Category, ObservableType, Pap, Role, Timestamp, Tlp};
use proptest::prelude::*;

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn now() -> Timestamp {
    Timestamp::parse("2026-03-01T00:00:00Z").unwrap()
}

fn defaults() -> Defaults {
    Defaults { now: now(), tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None }
}

fn read(document: &str) -> Parsed {
    let mut parsed = Parsed::default();
    parse(document.as_bytes(), &defaults(), &mut parsed);
    assert_eq!(parsed.events.len(), parsed.lines.len());
    parsed
}

fn values(parsed: &Parsed) -> Vec<Vec<(ObservableType, &str)>> {
    parsed.events.iter().map(|event| event.observables.iter().map(|observable| (observable.kind, observable.value.as_str())).collect()).collect()
}

fn indicator(number: u32, pattern: &str, more: &str) -> String {
    let pattern = serde_json::to_string(pattern).unwrap();
    format!(
        r#"{{"type":"indicator","id":"indicator--00000000-0000-4000-8000-{number:012}","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-02T00:00:00.123456Z","valid_from":"2026-01-03T00:00:00Z","pattern":{pattern}{more}}}"#
    )
}

fn bundle(objects: &[&str]) -> String {
    format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{}]}}"#, objects.join(","))
}

#[test]
fn an_indicator_becomes_an_event_with_its_values_time_and_id() {
    let parsed = read(&bundle(&[&indicator(
        1,
        &format!("[ipv4-addr:value = '198.51.100[.]7' OR file:hashes.'SHA-256' = '{SHA256}']"),
        r#","labels":["c2"],"confidence":80,"valid_until":"2026-02-01T00:00:00Z""#,
    )]));
    assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
    assert_eq!(values(&parsed), [vec![(ObservableType::Ipv4, "198.51.100.7"), (ObservableType::Sha256, SHA256)]]);
    let event = &parsed.events[0];
    assert_eq!(event.time, Timestamp::parse("2026-01-03T00:00:00Z").unwrap());
    assert_eq!(event.id.as_deref(), Some("indicator--00000000-0000-4000-8000-000000000001|2026-01-02T00:00:00.123456Z"));
    assert_eq!((event.category, event.tlp, event.confidence, event.timeless), (Category::C2Server, Tlp::Amber, Some(80), false));
    let details = event.details.as_deref().unwrap();
    assert_eq!(details.valid_until, Some(Timestamp::parse("2026-02-01T00:00:00Z").unwrap()));
    assert!(details.original.as_deref().unwrap().starts_with(r#"{"type":"indicator""#));
}

#[test]
fn every_layout_of_a_document_is_taken() {
    let (one, two) = (indicator(1, "[domain-name:value = 'a.example.com']", ""), indicator(2, "[domain-name:value = 'b.example.com']", ""));
    for document in [
        bundle(&[&one, &two]),
        format!(r#"{{"type":"bundle","spec_version":"2.0","objects":[{one},{two},]}}"#),
        format!(r#"{{"more":false,"objects":[{one},{two}]}}"#),
        format!("[{one},{two}]"),
        format!("{one}\n{two}\n"),
        format!("\u{feff}{one}\r\n\r\n{two}"),
        format!("{}\n{}", bundle(&[&one]), bundle(&[&two])),
        format!("[{}]", bundle(&[&one, &two])),
    ] {
        let parsed = read(&document);
        assert!(parsed.refusals.is_empty(), "{document}: {:?}", parsed.refusals);
        assert_eq!(parsed.lines, [1, 2], "{document}");
    }
    assert_eq!(read(&one).lines, [1]);
}

#[test]
fn a_bad_object_is_named_and_spoils_no_other() {
    let good = indicator(9, "[domain-name:value = 'a.example.com']", "");
    for (bad, reason) in [
        (r#"{"id":"x--1"}"#.to_owned(), "object has no type"),
        ("7".to_owned(), "entry is no object"),
        (r#"{"type":5}"#.to_owned(), "not readable as JSON"),
        (indicator(1, "rule x {}", r#","pattern_type":"yara""#), "pattern type yara is not matched by value"),
        (indicator(1, "[windows-registry-key:key = 'HKLM\\\\x']", ""), "pattern names no value that this hub matches: windows-registry-key:key"),
        (indicator(1, "[domain-name:value NOT = 'a.example.com']", ""), "is negated"),
        (indicator(1, "[domain-name:value = 'a.example.com']", r#","revoked":true"#), "revoked"),
        (r#"{"type":"indicator","id":"indicator--1"}"#.to_owned(), "indicator has no pattern"),
        (r#"{"type":"mutex","id":"mutex--1","name":"m"}"#.to_owned(), "object type mutex is matched by no observable"),
        (r#"{"type":"sighting","id":"sighting--1","sighting_of_ref":"indicator--2"}"#.to_owned(), "it is not in the document"),
        (r#"{"type":"vulnerability","id":"vulnerability--1","name":"bad thing"}"#.to_owned(), "vulnerability names no CVE"),
    ] {
        let parsed = read(&bundle(&[&bad, &good]));
        assert_eq!(parsed.lines, [2], "{bad}");
        assert_eq!(parsed.refusals.len(), 1, "{bad}: {:?}", parsed.refusals);
        assert_eq!(parsed.refusals[0].line, 1);
        assert!(parsed.refusals[0].reason.contains(reason), "{}", parsed.refusals[0].reason);
    }
}

#[test]
fn a_document_that_is_cut_off_gives_its_whole_objects() {
    let (one, two) = (indicator(1, "[domain-name:value = 'a.example.com']", ""), indicator(2, "[domain-name:value = 'b.example.com']", ""));
    let whole = bundle(&[&one, &two]);
    let parsed = read(&whole[..whole.len() - 20]);
    assert_eq!(parsed.lines, [1]);
    assert_eq!(parsed.refusals[0].line, 2);
}

#[test]
fn stix_1_and_text_are_refused_with_a_reason_and_nothing_with_none() {
    for (document, reason) in [
        (r#"{"id":"x:Package-1","version":"1.1.1","stix_header":{},"indicators":[]}"#, "STIX 1.x"),
        ("<stix:STIX_Package/>", "document is no JSON"),
        (r#"{"type":"identity","id":"identity--1"}"#, "no observation"),
    ] {
        let parsed = read(document);
        assert_eq!((parsed.events.len(), parsed.refusals.len()), (0, 1), "{document}");
        assert!(parsed.refusals[0].reason.contains(reason), "{}", parsed.refusals[0].reason);
    }
    assert!(read(" \n").refusals.is_empty());
}

#[test]
fn what_an_indicator_indicates_names_malware_and_techniques() {
    let parsed = read(&bundle(&[
        r#"{"type":"relationship","id":"relationship--1","relationship_type":"indicates","source_ref":"indicator--00000000-0000-4000-8000-000000000001","target_ref":"malware--1"}"#,
        r#"{"type":"relationship","id":"relationship--2","relationship_type":"indicates","source_ref":"indicator--00000000-0000-4000-8000-000000000001","target_ref":"attack-pattern--1"}"#,
        r#"{"type":"malware","id":"malware--1","name":" PoisonIvy "}"#,
        r#"{"type":"attack-pattern","id":"attack-pattern--1","external_references":[{"source_name":"mitre-attack","external_id":"t1566.001"},{"source_name":"capec","external_id":"CAPEC-1"}]}"#,
        &indicator(1, "[domain-name:value = 'a.example.com']", ""),
    ]));
    let event = &parsed.events[0];
    assert_eq!(event.malware.as_deref(), Some("PoisonIvy"));
    assert_eq!(event.details.as_deref().unwrap().technique, ["T1566.001"]);
    assert!(parsed.refusals.is_empty());
}

#[test]
fn the_object_s_marking_wins_over_the_default_and_an_unknown_one_is_amber_at_least() {
    for (marking, expected) in [
        ("", Tlp::Amber),
        (r#","object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"]"#, Tlp::Clear),
        (
            r#","object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9","marking-definition--00000000-0000-4000-8000-00000000dead"]"#,
            Tlp::Amber,
        ),
        (r#","object_marking_refs":["marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"]"#, Tlp::AmberStrict),
    ] {
        let parsed = read(&indicator(1, "[domain-name:value = 'a.example.com']", marking));
        assert_eq!(parsed.events[0].tlp, expected, "{marking}");
    }
}

#[test]
fn benign_values_are_not_worth_detecting_and_file_names_only_alone() {
    let detect =
        |pattern: &str, more: &str| read(&indicator(1, pattern, more)).events[0].observables.iter().map(|observable| observable.detect).collect::<Vec<_>>();
    assert_eq!(detect("[domain-name:value = 'a.example.com']", r#","indicator_types":["benign"]"#), [false]);
    assert_eq!(detect("[file:name = 'update.exe']", ""), [true]);
    assert_eq!(detect(&format!("[file:name = 'update.exe' AND file:hashes.sha256 = '{SHA256}']"), ""), [false, true]);
}

#[test]
fn observed_data_takes_its_objects_and_nothing_twice() {
    let parsed = read(&bundle(&[
        r#"{"type":"ipv4-addr","id":"ipv4-addr--1","value":"198.51.100.1"}"#,
        r#"{"type":"ipv4-addr","id":"ipv4-addr--2","value":"198.51.100.2"}"#,
        r#"{"type":"ipv4-addr","id":"ipv4-addr--3","value":"198.51.100.3"}"#,
        r#"{"type":"network-traffic","id":"network-traffic--1","src_ref":"ipv4-addr--1","dst_ref":"ipv4-addr--2","src_port":4711,"dst_port":443}"#,
        r#"{"type":"observed-data","id":"observed-data--1","created":"2026-01-01T00:00:00Z","first_observed":"2026-01-02T00:00:00Z","last_observed":"2026-01-03T00:00:00Z","number_observed":50,"object_refs":["network-traffic--1","windows-registry-key--1"]}"#,
        r#"{"type":"windows-registry-key","id":"windows-registry-key--1","key":"HKLM"}"#,
    ]));
    assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
    assert_eq!(
        values(&parsed),
        [vec![(ObservableType::Ipv4, "198.51.100.3")], vec![(ObservableType::Ipv4, "198.51.100.1"), (ObservableType::Ipv4, "198.51.100.2")]]
    );
    assert!(parsed.events[0].timeless);
    assert_eq!(parsed.events[0].time, now());
    let observed = &parsed.events[1];
    assert_eq!((observed.count, observed.port, observed.timeless), (50, Some(4711), false));
    let details = observed.details.as_deref().unwrap();
    assert_eq!((details.dst_port, details.last_time), (Some(443), Some(Timestamp::parse("2026-01-03T00:00:00Z").unwrap())));
}

#[test]
fn objects_inside_observed_data_are_taken_and_recipients_are_victims() {
    let parsed = read(
        r#"{"type":"observed-data","id":"observed-data--1","first_observed":"2026-01-02T00:00:00Z","objects":{
            "0":{"type":"email-addr","value":"from@example.com"},"1":{"type":"email-addr","value":"to@example.com"},
            "2":{"type":"email-message","from_ref":"0","to_refs":["1"]},"3":{"type":"file","hashes":{"SHA-256":"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"}}}}"#,
    );
    let roles: Vec<_> = parsed.events[0].observables.iter().map(|observable| (observable.value.as_str(), observable.role)).collect();
    assert_eq!(roles, [("from@example.com", Role::Attacker), ("to@example.com", Role::Victim), (SHA256, Role::Attacker)]);
}

#[test]
fn a_recipient_beside_its_message_is_a_victim_too() {
    let parsed = read(&bundle(&[
        r#"{"type":"email-addr","id":"email-addr--1","value":"to@example.com"}"#,
        r#"{"type":"email-message","id":"email-message--1","to_refs":["email-addr--1"],"from_ref":"email-addr--2"}"#,
        r#"{"type":"email-addr","id":"email-addr--2","value":"from@example.com"}"#,
    ]));
    assert_eq!(parsed.lines, [2]);
    let victims: Vec<_> =
        parsed.events[0].observables.iter().filter(|observable| observable.role == Role::Victim).map(|observable| observable.value.as_str()).collect();
    assert_eq!(victims, ["to@example.com"]);
}

#[test]
fn a_sighting_is_an_event_of_its_own_with_the_indicator_s_values() {
    let sighting = r#"{"type":"sighting","id":"sighting--1","modified":"2026-02-03T00:00:00Z","first_seen":"2026-02-01T00:00:00Z","last_seen":"2026-02-02T00:00:00Z","count":3,"sighting_of_ref":"indicator--00000000-0000-4000-8000-000000000001"}"#;
    let parsed = read(&bundle(&[sighting, &indicator(1, "[domain-name:value = 'a.example.com']", "")]));
    assert_eq!(parsed.lines, [1, 2]);
    assert_eq!(parsed.events[0].observables, parsed.events[1].observables);
    assert_eq!((parsed.events[0].count, parsed.events[0].time), (3, Timestamp::parse("2026-02-01T00:00:00Z").unwrap()));
    assert_eq!(parsed.events[0].id.as_deref(), Some("sighting--1|2026-02-03T00:00:00Z"));
}

#[test]
fn a_vulnerability_gives_its_cve_which_is_not_worth_detecting() {
    let parsed = read(
        r#"{"type":"vulnerability","id":"vulnerability--1","created":"2026-01-01T00:00:00Z","name":"cve-2021-44228 (Log4Shell)","external_references":[{"source_name":"cve","external_id":"CVE-2021-44228"}]}"#,
    );
    assert_eq!(values(&parsed), [vec![(ObservableType::Cve, "CVE-2021-44228")]]);
    assert!(!parsed.events[0].observables[0].detect);
}

#[test]
fn a_time_too_far_ahead_gives_way_to_the_next_or_refuses() {
    let ahead = |created: &str| {
        read(&format!(
            r#"{{"type":"indicator","id":"indicator--1","valid_from":"2027-01-01T00:00:00Z","created":"{created}","pattern":"[domain-name:value = 'a.example.com']"}}"#
        ))
    };
    assert_eq!(ahead("2026-01-01T00:00:00Z").events[0].time, Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
    assert!(ahead("2028-01-01T00:00:00Z").refusals[0].reason.contains("more than 24 hours ahead"));
}

#[test]
fn values_are_taken_for_what_they_evidently_are() {
    for (pattern, expected) in [
        ("[domain-name:value = '198.51.100.1']", (ObservableType::Ipv4, "198.51.100.1")),
        ("[ipv4-addr:value = '198.51.100.0/24']", (ObservableType::Cidr, "198.51.100.0/24")),
        ("[url:value = 'a.example.com/x/y']", (ObservableType::Url, "http://a.example.com/x/y")),
    ] {
        assert_eq!(values(&read(&indicator(1, pattern, ""))), [vec![expected]], "{pattern}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse(&bytes, &defaults(), &mut Parsed::default());
    }

    #[test]
    fn no_cut_or_changed_bundle_makes_the_parser_fail(cut in 0_usize..2000, at in 0_usize..2000, byte in any::<u8>()) {
        let mut bytes = bundle(&[
            &indicator(1, "[domain-name:value IN ('a.example.com', '\u{e9}.example.com') AND file:hashes.'SHA-256' = 'x']", r#","object_marking_refs":["x"]"#),
            r#"{"type":"sighting","id":"sighting--1","count":"2","sighting_of_ref":"indicator--00000000-0000-4000-8000-000000000001"}"#,
            r#"{"type":"observed-data","id":"observed-data--1","object_refs":["url--1"],"objects":{"0":{"type":"url","value":"http://a.example.com/"}}}"#,
            r#"{"type":"url","id":"url--1","value":"http://a.example.com/"}"#,
        ]).into_bytes();
        bytes.truncate(cut);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        parse(&bytes, &defaults(), &mut Parsed::default());
    }
}
