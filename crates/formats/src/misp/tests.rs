//! Whole documents in, events and refusals out.

use super::parse;
use crate::{Defaults, Parsed};
use model::{Category, ObservableType, Pap, Role, Timestamp, Tlp};
use proptest::prelude::*;

const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn defaults() -> Defaults {
    Defaults {
        now: Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
        tlp: Tlp::Amber,
        pap: Pap::Green,
        named: false,
        category: None,
        origin: None,
        role: None,
    }
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

fn attribute(kind: &str, value: &str, more: &str) -> String {
    let value = serde_json::to_string(value).unwrap();
    format!(
        r#"{{"uuid":"00000000-0000-4000-8000-000000000001","type":"{kind}","category":"Network activity","to_ids":true,"timestamp":"1767225600","value":{value}{more}}}"#
    )
}

fn event(attributes: &[&str], more: &str) -> String {
    format!(r#"{{"Event":{{"info":"x","date":"2026-01-01","timestamp":"1767312000","distribution":"3"{more},"Attribute":[{}]}}}}"#, attributes.join(","))
}

#[test]
fn an_attribute_becomes_an_event_with_its_id_time_and_note() {
    let parsed = read(&event(
        &[&attribute(
            "ip-dst|port",
            "198.51.100.7|8080",
            r#","comment":"seen at the gate","first_seen":"2026-01-02T00:00:00+00:00","last_seen":"2026-01-03T00:00:00+00:00""#,
        )],
        "",
    ));
    assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
    assert_eq!(values(&parsed), [vec![(ObservableType::Ipv4, "198.51.100.7")]]);
    let event = &parsed.events[0];
    assert_eq!(event.id.as_deref(), Some("00000000-0000-4000-8000-000000000001|1767225600"));
    assert_eq!((event.port, event.timeless, event.category), (Some(8080), false, Category::Other));
    assert_eq!(event.time, Timestamp::parse("2026-01-02T00:00:00Z").unwrap());
    let details = event.details.as_deref().unwrap();
    assert_eq!(details.note.as_deref(), Some("seen at the gate"));
    assert_eq!(details.last_time, Some(Timestamp::parse("2026-01-03T00:00:00Z").unwrap()));
    assert!(details.original.is_some());
}

#[test]
fn every_wrapper_is_opened() {
    let one = attribute("domain", "a.example.com", "");
    let bare = format!(r#"{{"info":"x","date":"2026-01-01","Attribute":[{one}]}}"#);
    for document in [
        format!(r#"{{"Event":{bare}}}"#),
        format!(r#"{{"response":[{{"Event":{bare}}}]}}"#),
        format!(r#"{{"response":[{bare}]}}"#),
        format!(r#"{{"response":{{"Attribute":[{one}]}}}}"#),
        format!("[{{\"Event\":{bare}}}]"),
        bare.clone(),
        one.clone(),
        format!("[{one}]"),
        format!(r#"{{"Attribute":{one}}}"#),
        format!(r#"{{"Event":{{"info":"x","Attribute":[{one},],}},}}"#),
        format!(r#"{{"Event":{{"Object":[{{"name":"file","Attribute":[{one}]}}]}}}}"#),
    ] {
        let parsed = read(&document);
        assert!(parsed.refusals.is_empty(), "{document}: {:?}", parsed.refusals);
        assert_eq!(values(&parsed), [vec![(ObservableType::Domain, "a.example.com")]], "{document}");
        assert_eq!(parsed.lines, [1]);
    }
}

#[test]
fn composite_values_are_taken_in_parts() {
    let (sample, imphash) = (format!("x y.exe|{MD5}"), format!("x.exe|{MD5}"));
    for (kind, value, expected) in [
        ("domain|ip", "a.example.com|198.51.100.1", vec![(ObservableType::Domain, "a.example.com"), (ObservableType::Ipv4, "198.51.100.1")]),
        ("filename|md5", sample.as_str(), vec![(ObservableType::Filename, "x y.exe"), (ObservableType::Md5, MD5)]),
        ("malware-sample", "x.exe", vec![(ObservableType::Filename, "x.exe")]),
        ("filename|imphash", imphash.as_str(), vec![(ObservableType::Filename, "x.exe")]),
        ("ip-src", "198.51.100.0/24", vec![(ObservableType::Cidr, "198.51.100.0/24")]),
        ("hostname|port", "a.example.com|443", vec![(ObservableType::Domain, "a.example.com")]),
        ("ip-dst", "198.51.100.1\r\n198.51.100.2\n", vec![(ObservableType::Ipv4, "198.51.100.1"), (ObservableType::Ipv4, "198.51.100.2")]),
        ("hostname", "hxxp://a.example[.]com/x", vec![(ObservableType::Url, "http://a.example.com/x")]),
        ("AS", "AS64500", vec![(ObservableType::Asn, "64500")]),
    ] {
        let parsed = read(&event(&[&attribute(kind, value, "")], ""));
        assert_eq!(values(&parsed), [expected], "{kind} {value}: {:?}", parsed.refusals);
    }
}

#[test]
fn what_is_not_taken_is_named_by_number_and_what_describes_is_not() {
    let parsed = read(&event(
        &[
            &attribute("text", "words", ""),
            &attribute("regkey", "HKLM\\x", ""),
            &attribute("domain", "a.example.com", ""),
            &attribute("uri", "/path/alone", ""),
            &attribute("domain", "gone.example.com", r#","deleted":"1""#),
            &attribute("no-such-type", "x", ""),
            "7",
        ],
        "",
    ));
    assert_eq!(parsed.lines, [3]);
    let refused: Vec<_> = parsed.refusals.iter().map(|refusal| (refusal.line, refusal.reason.as_str())).collect();
    assert_eq!(refused[0], (2, "attribute type regkey is no observable of this hub"));
    assert_eq!((refused[1].0, refused[2], refused[3].0, refused.len()), (4, (6, "attribute type no-such-type is unknown"), 7, 4));
}

#[test]
fn a_type_without_end_is_not_repeated_in_the_reason() {
    let endless = format!("filename|{}", "x".repeat(2_000));
    let parsed = read(&event(&[&attribute(&endless, "  ", ""), &format!(r#"{{"type":"{endless}"}}"#)], ""));
    let reasons: Vec<_> = parsed.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(|reason| reason.starts_with("filename|x") || reason.contains("type filename|x")), "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.len() < 200), "{reasons:?}");
}

#[test]
fn other_documents_are_refused_once_with_a_reason() {
    for (document, reason) in [
        (r#"{"2e035642-c558-5019-89f2-bc7bdf8b34ce":{"info":"x","Orgc":{}}}"#, "manifest"),
        ("d41d8cd98f00b204e9800998ecf8427e,2e035642-c558-5019-89f2-bc7bdf8b34ce\n", "list of hashes"),
        (r#"{"type":"bundle","id":"bundle--1","objects":[]}"#, "this is STIX"),
        (r#"{"info":"x","date":"2026-01-01"}"#, "no observation"),
        ("{}", "no MISP event"),
        (r#"{"Event":{"info":"x","#, "no JSON"),
    ] {
        let parsed = read(document);
        assert_eq!((parsed.events.len(), parsed.refusals.len()), (0, 1), "{document}");
        assert!(parsed.refusals[0].reason.contains(reason), "{}", parsed.refusals[0].reason);
    }
    assert!(read("").refusals.is_empty());
}

#[test]
fn markings_come_from_the_attribute_then_the_event_and_distribution_only_tightens() {
    let tag = |name: &str| format!(r#","Tag":[{{"name":"{name}"}}]"#);
    for (of_attribute, of_event, expected) in [
        (String::new(), String::new(), Tlp::Amber),
        (String::new(), tag("tlp:white"), Tlp::Clear),
        (tag("TLP:GREEN"), tag("tlp:red"), Tlp::Green),
        (tag("tlp:clear"), String::new(), Tlp::Clear),
        (format!(r#"{},"distribution":"0""#, tag("tlp:clear")), String::new(), Tlp::AmberStrict),
        (format!(r#"{},"distribution":4,"sharing_group_id":"12""#, tag("tlp:clear")), String::new(), Tlp::Amber),
        (format!(r#"{},"distribution":"5""#, tag("tlp:clear")), String::new(), Tlp::Clear),
    ] {
        let parsed = read(&event(&[&attribute("domain", "a.example.com", &of_attribute)], &of_event));
        assert_eq!(parsed.events[0].tlp, expected, "{of_attribute} {of_event}");
    }
    let parsed = read(&event(&[&attribute("domain", "a.example.com", r#","distribution":4,"sharing_group_id":"12""#)], ""));
    assert_eq!(parsed.events[0].details.as_deref().unwrap().extra.as_deref(), Some(r#"{"distribution":4,"sharing_group_id":"12"}"#));
}

#[test]
fn categories_come_from_tags_then_from_the_section() {
    let tag = |name: &str| format!(r#","Tag":[{{"name":"{name}"}}]"#);
    let category = |of_attribute: &str, of_event: &str| read(&event(&[&attribute("domain", "a.example.com", of_attribute)], of_event)).events[0].category;
    assert_eq!(category(&tag("phishing"), &tag("C2")), Category::Phishing);
    assert_eq!(category("", &tag("C2")), Category::C2Server);
    assert_eq!(category("", ""), Category::Other);
    let dropped = attribute("md5", MD5, "").replace("Network activity", "Payload delivery");
    assert_eq!(read(&event(&[&dropped], "")).events[0].category, Category::MalwareDistribution);
}

#[test]
fn an_event_s_tag_makes_no_victims_of_values_to_detect() {
    let tag = r#","Tag":[{"name":"rsit:malicious-code=\"infected-system\""}]"#;
    let to_detect = read(&event(&[&attribute("ip-dst", "198.51.100.1", "")], tag));
    assert_eq!((to_detect.events[0].category, to_detect.events[0].observables[0].role), (Category::Other, Role::Attacker));
    let seen = attribute("ip-dst", "198.51.100.1", "").replace(r#""to_ids":true"#, r#""to_ids":"0""#);
    let seen = read(&event(&[&seen], tag));
    assert_eq!(
        (seen.events[0].category, seen.events[0].observables[0].role, seen.events[0].observables[0].detect),
        (Category::InfectedSystem, Role::Victim, false)
    );
}

#[test]
fn targets_and_recipients_are_victims() {
    for attribute in [
        attribute("target-email", "to@example.com", ""),
        attribute("email-dst", "to@example.com", r#","object_relation":"to""#),
        attribute("email", "to@example.com", "").replace("Network activity", "Targeting data"),
    ] {
        let parsed = read(&event(&[&attribute], ""));
        assert_eq!(parsed.events[0].observables[0].role, Role::Victim, "{attribute}");
    }
}

#[test]
fn without_uuid_or_time_the_entry_is_timeless() {
    let parsed = read(
        r#"[{"type":"domain","value":"a.example.com"},{"type":"domain","value":"b.example.com","uuid":"u","timestamp":"0"},{"type":"AS","value":64500,"timestamp":1767225600}]"#,
    );
    let seen: Vec<_> = parsed.events.iter().map(|event| (event.timeless, event.time, event.id.as_deref())).collect();
    let now = defaults().now;
    assert_eq!(seen, [(true, now, None), (true, now, Some("u|0")), (true, Timestamp::from_seconds(1_767_225_600), None)]);
    assert_eq!(values(&parsed)[2], [(ObservableType::Asn, "64500")]);
}

#[test]
fn a_deleted_object_gives_nothing_and_an_object_s_times_hold_for_its_attributes() {
    let one = attribute("domain", "a.example.com", "");
    let object = |more: &str| read(&format!(r#"{{"Event":{{"Object":[{{"name":"x"{more},"Attribute":[{one}]}}],"Attribute":[]}}}}"#));
    assert!(object(r#","deleted":true"#).events.is_empty());
    assert_eq!(object(r#","first_seen":"2026-01-05T00:00:00Z""#).events[0].time, Timestamp::parse("2026-01-05T00:00:00Z").unwrap());
}

#[test]
fn a_time_too_far_ahead_is_refused() {
    let late = attribute("domain", "a.example.com", "").replace("1767225600", "1999999999");
    let parsed = read(&format!("[{late}]"));
    assert!(parsed.refusals[0].reason.contains("more than 24 hours ahead"), "{:?}", parsed.refusals);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse(&bytes, &defaults(), &mut Parsed::default());
    }

    #[test]
    fn no_type_and_value_make_the_parser_fail(kind in "[a-z0-9|-]{0,20}", known in proptest::sample::select(vec!["ip-dst|port", "domain|ip", "filename|md5", "url", "AS", "target-email", "malware-sample"]), value in "\\PC{0,80}") {
        read(&event(&[&attribute(&kind, &value, "")], ""));
        read(&event(&[&attribute(known, &value, "")], ""));
    }

    #[test]
    fn no_cut_or_changed_document_makes_the_parser_fail(cut in 0_usize..1500, at in 0_usize..1500, byte in any::<u8>()) {
        let one = attribute("domain|ip", "a.example.com|198.51.100.1", r#","Tag":[{"name":"tlp:\u00e9"}],"Galaxy":[{"GalaxyCluster":[{"tag_name":"misp-galaxy:rat=\"x\""}]}]"#);
        let mut bytes = format!(r#"{{"response":[{{"Event":{{"info":"x","date":"2026-01-01","Object":[{{"Attribute":[{one}]}}],"Attribute":[{one},]}}}}]}}"#).into_bytes();
        bytes.truncate(cut);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        parse(&bytes, &defaults(), &mut Parsed::default());
    }
}
