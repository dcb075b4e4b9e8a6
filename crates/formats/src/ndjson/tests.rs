//! Facts of the bulk path: every field, every refusal, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use model::{Category, Notify, ObservableType, Pap, Role, Severity, Timestamp, Tlp};
use proptest::prelude::*;

fn defaults() -> Defaults {
    Defaults {
        now: Timestamp::parse("2026-11-21T19:26:00Z").unwrap(),
        tlp: Tlp::Amber,
        pap: Pap::Green,
        named: false,
        category: None,
        origin: None,
        role: None,
    }
}

fn event(json: &str) -> Result<Event, String> {
    parse_event(json.as_bytes(), &defaults())
}

/// The event of `fields` beside a time, a category and one observable.
fn with(fields: &str) -> Result<Event, String> {
    event(&format!(r#"{{"time":"2026-11-20T00:00:00Z","category":"phishing","value":"evil.example.com",{fields}}}"#))
}

#[test]
fn every_field_of_the_contract_is_read() {
    let event = event(
        r#"{"time":"2026-11-20T00:00:00Z","category":"c2-server","observables":[{"type":"ipv4","value":"8.8.8.8","role":"bystander","detect":false},"evil.example.com"],
        "origin":"ids","tlp":"amber+strict","pap":"red","audience":["org_b","energy","org_b"],"named":true,"valid_until":1800000000,"notify_owner":"hold","id":17,
        "confidence":"80","severity":"high","sector":"Energy","malware":" Emotet ","technique":["t1059.001"],"cve":"cve-2024-3400","port":"443","dst_ip":"9.9.9.9",
        "dst_port":8080,"protocol":"TCP","count":3,"last_time":"2026-11-20T01:00:00Z","target":{"ip":"192.0.2.1","asn":"AS4766","sector":"finance"},"source_asn":13335,"note":"seen"}"#,
    )
    .unwrap();
    assert_eq!(event.category, Category::C2Server);
    assert_eq!(event.observables.len(), 2);
    assert_eq!((event.observables[0].kind, event.observables[0].role, event.observables[0].detect), (ObservableType::Ipv4, Role::Bystander, false));
    assert_eq!((event.observables[1].kind, event.observables[1].role), (ObservableType::Domain, Role::Attacker));
    assert_eq!((event.origin, event.tlp, event.pap, event.named), (Origin::Ids, Tlp::AmberStrict, Pap::Red, true));
    assert_eq!((event.notify_owner, event.confidence, event.severity), (Notify::Hold, Some(80), Some(Severity::High)));
    assert_eq!((event.id.as_deref(), event.malware.as_deref(), event.sector.as_deref()), (Some("17"), Some("Emotet"), Some("energy")));
    assert_eq!((event.port, event.count, event.timeless), (Some(443), 3, false));
    let details = event.details.unwrap();
    assert_eq!(details.audience, ["energy", "org_b"]);
    assert_eq!(details.technique, ["T1059.001"]);
    assert_eq!(details.cve, ["CVE-2024-3400"]);
    assert_eq!((details.dst_ip.as_deref(), details.dst_port, details.protocol.as_deref()), (Some("9.9.9.9"), Some(8080), Some("tcp")));
    let target = details.target.unwrap();
    assert_eq!((target.ip.as_deref(), target.asn, target.sector.as_deref()), (Some("192.0.2.1"), Some(4766), Some("finance")));
    assert_eq!((details.source_asn, details.note.as_deref(), details.extra), (Some(13335), Some("seen"), None));
}

#[test]
fn a_refusal_names_the_field() {
    for (json, reason) in [
        (r#"{"category":"phishing","value":"8.8.8.8"}"#, "time is missing"),
        (r#"{"time":null,"category":"phishing","value":"8.8.8.8"}"#, "time is missing"),
        (r#"{"time":"2026-11-22T19:26:01Z","category":"phishing","value":"8.8.8.8"}"#, "time lies more than 24 h ahead"),
        (r#"{"time":1,"value":"8.8.8.8"}"#, "category is missing"),
        (r#"{"time":1,"category":"phishing"}"#, "observables are missing"),
        (r#"{"time":1,"category":"phishing","observables":[]}"#, "observables are missing"),
        (r#"{"time":1,"category":"phishing","observables":[{"type":"ipv4"}]}"#, "observables[0]: value is missing"),
        (r#"{"time":1,"category":"phishing","observables":[{"type":"ipv5","value":"x"}]}"#, "observables[0]: unknown observable type \"ipv5\""),
        ("[]", "not a JSON object"),
        ("17", "not a JSON object"),
    ] {
        assert_eq!(event(json).unwrap_err(), reason, "{json}");
    }
    for (fields, reason) in [
        (r#""confidence":101"#, "confidence must be 0 to 100"),
        (r#""confidence":true"#, "confidence must be 0 to 100"),
        (r#""count":0"#, "count must be 1 to 4294967295"),
        (r#""count":4294967296"#, "count must be 1 to 4294967295"),
        (r#""port":65536"#, "port must be 0 to 65535"),
        (r#""tlp":"purple""#, "unknown TLP marking \"purple\""),
        (r#""pap":"purple""#, "unknown PAP marking \"purple\""),
        (r#""role":"hero""#, "unknown role \"hero\""),
        (r#""origin":"dream""#, "unknown origin \"dream\""),
        (r#""notify_owner":"never""#, "unknown notify_owner \"never\""),
        (r#""severity":"dire""#, "unknown severity \"dire\""),
        (r#""dst_ip":"nowhere""#, "dst_ip: not an IP address"),
        (r#""named":"perhaps""#, "named must be true or false"),
        (r#""note":{}"#, "note must be text"),
        (r#""technique":["?"]"#, "technique[0]: not an ATT&CK id: \"?\""),
    ] {
        assert_eq!(with(fields).unwrap_err(), reason, "{fields}");
    }
    assert!(with(r#""extra":{"a":1e999}"#).unwrap_err().starts_with("extra: \"a\" holds a number"));
    assert!(with(r#""time":1e999"#).unwrap_err().starts_with("not JSON: number out of range"));
    assert!(with(r#""observables":[{"type":"ipv4","value":"8.8.8.8"},{"type":"ipv4","value":"x"}]"#).unwrap_err().starts_with("observables[1]: "));
    assert!(event("{\"time\":1").unwrap_err().starts_with("not JSON: EOF"));
    assert!(parse_event(b"{\"time\":\"\xff\"}", &defaults()).unwrap_err().starts_with("not UTF-8 at byte 10"));
}

#[test]
fn limits_are_kept() {
    let values = |count: usize| (0..count).map(|n| format!("\"10.0.{}.{}\"", n / 250, n % 250)).collect::<Vec<_>>().join(",");
    let list = |count: usize| (0..count).map(|n| format!("\"a{n}\"")).collect::<Vec<_>>().join(",");
    assert_eq!(event(&format!(r#"{{"time":1,"category":"scanner","observables":[{}]}}"#, values(1000))).unwrap().observables.len(), 1000);
    assert_eq!(event(&format!(r#"{{"time":1,"category":"scanner","observables":[{}]}}"#, values(1001))).unwrap_err(), "observables: more than 1000");
    assert!(with(&format!(r#""audience":[{}]"#, list(64))).is_ok());
    assert_eq!(with(&format!(r#""audience":[{}]"#, list(65))).unwrap_err(), "audience: more than 64 entries");
    assert_eq!(with(&format!(r#""id":"{}""#, "x".repeat(256))).unwrap_err(), "id is longer than 255 bytes");
    assert_eq!(with(&format!(r#""note":"{}""#, "x".repeat((16 << 10) + 1))).unwrap_err(), "note is longer than 16384 bytes");
    assert_eq!(with(&format!(r#""x":"{}""#, "x".repeat(64 << 10))).unwrap_err(), "extra is larger than 64 KiB");
    let mut long = br#"{"time":1,"note":""#.to_vec();
    long.resize(MAX_LINE, b'x');
    long.extend_from_slice(b"\"}");
    assert_eq!(parse_event(&long, &defaults()).unwrap_err(), TOO_LONG);
}

#[test]
fn unknown_fields_and_categories_are_kept() {
    let event = event(r#"{"time":1,"category":"weird thing","observables":[{"value":"8.8.8.8","asn":15169}],"a": [1, 2],"b":1,"b":"\u0041","extra":{"c":null,"b":0},"target":"bank"}"#).unwrap();
    assert_eq!(event.category, Category::Other);
    let extra = event.details.unwrap().extra.unwrap();
    assert_eq!(extra, r#"{"c":null,"a":[1,2],"b":"\u0041","category":"weird thing","observables[0].asn":15169,"target":"bank"}"#);
}

#[test]
fn of_a_repeated_field_the_last_counts_and_repeated_observables_count_once() {
    let event = event(r#"{"time":5,"time":7,"category":"scanner","observables":["1.1.1.1"],"observables":["8.8.8.8","8.8.8.8"],"observable":{"value":"9.9.9.9"},"value":"8.8.8.8"}"#).unwrap();
    assert_eq!(event.time, Timestamp::from_seconds(7));
    let values: Vec<_> = event.observables.iter().map(|observable| observable.value.as_str()).collect();
    assert_eq!(values, ["8.8.8.8", "9.9.9.9"]);
}

#[test]
fn the_role_is_the_observables_own_then_the_events_then_the_categorys() {
    let role = |json: &str, defaults: &Defaults| parse_event(json.as_bytes(), defaults).unwrap().observables[0].role;
    let plain = defaults();
    let batch = Defaults { role: Some(Role::Bystander), ..defaults() };
    assert_eq!(role(r#"{"time":1,"category":"infected-system","value":"8.8.8.8"}"#, &plain), Role::Victim);
    assert_eq!(role(r#"{"time":1,"category":"infected-system","value":"8.8.8.8"}"#, &batch), Role::Bystander);
    assert_eq!(role(r#"{"time":1,"category":"dos-attacker","value":"8.8.8.8"}"#, &batch), Role::Attacker);
    assert_eq!(role(r#"{"time":1,"category":"dos-victim","value":"8.8.8.8","role":"bystander"}"#, &plain), Role::Bystander);
    assert_eq!(role(r#"{"time":1,"category":"scanner","role":"bystander","observable":{"value":"8.8.8.8","role":"victim"}}"#, &plain), Role::Victim);
}

#[test]
fn lines_are_numbered_and_blank_ones_passed_over() {
    let body = b"\xEF\xBB\xBF{\"time\":1,\"category\":\"scanner\",\"value\":\"8.8.8.8\"}\r\n\r\n  \nnot json\n{\"time\":1,\"category\":\"scanner\",\"value\":\"9.9.9.9\"}";
    let mut parsed = Parsed::default();
    parse(body, 1, &defaults(), &mut parsed);
    assert_eq!(parsed.lines, [1, 5]);
    assert_eq!(parsed.refusals.len(), 1);
    assert_eq!(parsed.refusals[0].line, 4);
}

#[test]
fn a_misspelt_field_is_kept_and_named_where_the_right_one_is_absent() {
    let line = |fields: &str| format!("{{\"time\":1,\"category\":\"scanner\",\"value\":\"8.8.8.8\",{fields}}}\n");
    let body = [
        line(r#""tpl":"red","valid_unitl":1900000000"#),
        line(r#""tlp":"green","tpl":"red""#),
        line(r#""name":"x","colour":"blue","target":{"nmae":"y"}"#),
        line(r#""TLP":"red","tlp":null"#),
        "{\"time\":1,\"categroy\":\"scanner\",\"value\":\"8.8.8.8\"}\n".to_owned(),
    ]
    .concat();
    let mut parsed = Parsed::default();
    parse(body.as_bytes(), 7, &defaults(), &mut parsed);
    assert_eq!(parsed.lines, [7, 8, 9, 10]);
    let warnings: Vec<(u64, &str)> = parsed.notes.warnings.iter().map(|warning| (warning.line, warning.reason.as_str())).collect();
    assert_eq!(
        warnings,
        [
            (7, "\"tpl\" is unknown and kept under extra; is tlp meant?"),
            (7, "\"valid_unitl\" is unknown and kept under extra; is valid_until meant?"),
            (10, "\"TLP\" is unknown and kept under extra; is tlp meant?"),
        ]
    );
    assert_eq!((parsed.notes.warned, parsed.notes.assumed.tlp, parsed.notes.assumed.other, parsed.notes.assumed.relayed), (3, 3, 0, 0));
    let extra = parsed.events[0].details.as_ref().unwrap().extra.as_deref();
    assert_eq!(extra, Some(r#"{"tpl":"red","valid_unitl":1900000000}"#));
    assert_eq!((parsed.refusals[0].line, parsed.refusals[0].reason.as_str()), (11, "category is missing; \"categroy\" is unknown"));
}

#[test]
fn resident_numbers_in_text_are_masked() {
    let event = with(r#""note":"900101-1234567","x":"9001011234567""#).unwrap();
    let details = event.details.unwrap();
    assert_eq!(details.note.as_deref(), Some("900101-1******"));
    assert_eq!(details.extra.as_deref(), Some(r#"{"x":"9001011******"}"#));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut parsed = Parsed::default();
        parse(&bytes, 1, &defaults(), &mut parsed);
    }

    #[test]
    fn no_json_like_text_makes_it_panic(text in r#"(\{|\}|\[|\]|"|:|,|1|e9|null|true|"time"|"observables"|"value"|"category"|"scanner"|"8.8.8.8"|"extra"|"target"|"cve"|\\u0031| ){0,40}"#) {
        let mut parsed = Parsed::default();
        parse(text.as_bytes(), 1, &defaults(), &mut parsed);
        prop_assert_eq!(parsed.events.len(), parsed.lines.len());
    }
}
