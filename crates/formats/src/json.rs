//! Events as JSON, for answers, the stream and handing a member's data back.
//!
//! Flow: `policy` decides what of an event a reader sees → [`write_event`] writes what is left.
//! Invariant: one object on one line; every event that [`crate::ndjson`] takes is the same again when its JSON is read back.
//! Not here: leaving anything out for a reader (`policy`).

use model::{Details, Event, Notify, Observable, OrgId, Seq, Target, Text, Timestamp};
use std::io::Write;

/// What stands beside an event in an answer.
#[derive(Debug, Clone, Copy)]
pub struct EventHead<'a> {
    /// Its place in the ledger.
    pub seq: Seq,
    /// When the hub received it.
    pub received: Timestamp,
    /// Who reported it, where the reader may know.
    pub reporter: Option<Reporter<'a>>,
    /// Whether the reader reported it.
    pub own: bool,
}

/// The organisation that reported an event.
#[derive(Debug, Clone, Copy)]
pub struct Reporter<'a> {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: &'a str,
}

/// Appends an event as one JSON object without a newline.
pub fn write_event(out: &mut Vec<u8>, head: &EventHead<'_>, event: &Event) {
    let mut writer = Writer { out, text: String::with_capacity(TIME_LENGTH) };
    writer.out.push(b'{');
    writer.number("seq", head.seq.0);
    writer.time("received", head.received);
    writer.event(event);
    if head.own {
        writer.flag("own", true);
    }
    if let Some(reporter) = head.reporter {
        writer.name("reporter");
        writer.out.push(b'{');
        writer.string("id", &reporter.id.to_string());
        writer.string("name", reporter.name);
        writer.out.push(b'}');
    }
    writer.out.push(b'}');
}

/// An event as one line of NDJSON that can be submitted again, without the newline.
pub fn to_submission(event: &Event) -> String {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer { out: &mut out, text: String::with_capacity(TIME_LENGTH) };
    writer.out.push(b'{');
    writer.event(event);
    writer.out.push(b'}');
    // Everything written is text or ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends a text as a JSON string.
pub(crate) fn quote_into(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(clean_from..index).unwrap_or_default());
        clean_from = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xF)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(clean_from..).unwrap_or_default());
    out.push(b'"');
}

/// Appends a valid JSON text without the spaces between its tokens, and so on one line.
pub(crate) fn compact_into(out: &mut Vec<u8>, json: &str) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json.as_bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            out.push(byte);
        } else if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            in_string = byte == b'"';
            out.push(byte);
        }
    }
}

/// `2026-11-21T19:26:00.000000Z`.
const TIME_LENGTH: usize = 27;

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Writes fields, with a comma before each but the first of an object.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Reused for every time.
    text: String,
}

impl Writer<'_> {
    fn event(&mut self, event: &Event) {
        let none = Details::default();
        let details = event.details.as_deref().unwrap_or(&none);
        self.time("time", event.time);
        self.string("category", event.category.as_str());
        self.name("observables");
        self.out.push(b'[');
        for observable in &event.observables {
            self.observable(observable);
        }
        self.out.push(b']');
        self.string("origin", event.origin.as_str());
        self.string("tlp", event.tlp.as_str());
        self.string("pap", event.pap.as_str());
        self.list("audience", &details.audience);
        self.flag("named", event.named);
        if event.notify_owner != Notify::Now {
            self.string("notify_owner", event.notify_owner.as_str());
        }
        self.optional_time("valid_until", details.valid_until);
        self.optional("id", event.id.as_ref());
        self.optional_number("confidence", event.confidence.map(u64::from));
        self.optional_word("severity", event.severity.map(model::Severity::as_str));
        self.optional("sector", event.sector.as_ref());
        self.optional("malware", event.malware.as_ref());
        self.list("technique", &details.technique);
        self.list("cve", &details.cve);
        self.optional_number("port", event.port.map(u64::from));
        self.optional("dst_ip", details.dst_ip.as_ref());
        self.optional_number("dst_port", details.dst_port.map(u64::from));
        self.optional("protocol", details.protocol.as_ref());
        self.number("count", u64::from(event.count));
        self.optional_time("last_time", details.last_time);
        if let Some(target) = &details.target {
            self.target(target);
        }
        self.optional_number("source_asn", details.source_asn.map(u64::from));
        self.optional("note", details.note.as_ref());
        if let Some(extra) = &details.extra {
            self.extra(extra);
        }
        self.optional("original", details.original.as_ref());
    }

    fn observable(&mut self, observable: &Observable) {
        self.comma();
        self.out.push(b'{');
        self.string("type", observable.kind.as_str());
        self.string("value", &observable.value);
        self.string("role", observable.role.as_str());
        self.flag("detect", observable.detect);
        if observable.reserved {
            self.flag("reserved", true);
        }
        self.out.push(b'}');
    }

    fn target(&mut self, target: &Target) {
        self.name("target");
        self.out.push(b'{');
        self.optional("ip", target.ip.as_ref());
        self.optional_number("asn", target.asn.map(u64::from));
        self.optional("sector", target.sector.as_ref());
        self.out.push(b'}');
    }

    /// Other formats fill `extra` too: what is no JSON object is written as text rather than breaking the line.
    fn extra(&mut self, extra: &str) {
        if extra.starts_with('{') && crate::ndjson::check_json(extra).is_ok() {
            self.name("extra");
            compact_into(self.out, extra);
        } else {
            self.string("extra", extra);
        }
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    /// Field names are ours and need no escaping.
    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, name: &str, text: &str) {
        self.name(name);
        quote_into(self.out, text);
    }

    fn optional(&mut self, name: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.string(name, text);
        }
    }

    fn optional_word(&mut self, name: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.string(name, word);
        }
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        // Writing into memory cannot fail.
        let _ = write!(self.out, "{number}");
    }

    fn optional_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    fn time(&mut self, name: &str, time: Timestamp) {
        self.name(name);
        self.text.clear();
        time.write_to(&mut self.text);
        self.out.push(b'"');
        self.out.extend_from_slice(self.text.as_bytes());
        self.out.push(b'"');
    }

    fn optional_time(&mut self, name: &str, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.time(name, time);
        }
    }

    fn list(&mut self, name: &str, items: &[Text]) {
        if items.is_empty() {
            return;
        }
        self.name(name);
        self.out.push(b'[');
        for item in items {
            self.comma();
            quote_into(self.out, item);
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::Defaults;
    use crate::ndjson::parse_event;
    use model::{Category, ObservableType, Pap, Role, Tlp};
    use proptest::prelude::*;
    use serde_json::{Value, json};

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

    fn head() -> EventHead<'static> {
        let id = "org_00000000000000000000000000000007".parse().unwrap();
        EventHead { seq: Seq(65_537), received: Timestamp::from_seconds(7), reporter: Some(Reporter { id, name: "A \"quoted\" name" }), own: true }
    }

    #[test]
    fn an_event_is_written_as_one_object_on_one_line() {
        let observable = Observable { kind: ObservableType::Ipv4, role: Role::Attacker, detect: true, reserved: true, value: Text::new("192.0.2.1") };
        let mut event = Event::new(Timestamp::from_micros(1_500_000), Category::Scanner, observable);
        event.details_mut().note = Some(Text::new("a\nb\u{1}\\\"가"));
        event.details_mut().extra = Some(Text::new("{\"x\" :\n [1, \"a b\"]}"));
        let mut out = Vec::new();
        write_event(&mut out, &head(), &event);
        assert!(!out.contains(&b'\n'));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value,
            json!({
                "seq": 65537, "received": "1970-01-01T00:00:07Z", "time": "1970-01-01T00:00:01.500000Z", "category": "scanner",
                "observables": [{"type": "ipv4", "value": "192.0.2.1", "role": "attacker", "detect": true, "reserved": true}],
                "origin": "sensor", "tlp": "amber", "pap": "green", "named": false, "count": 1, "note": "a\nb\u{1}\\\"가",
                "extra": {"x": [1, "a b"]}, "own": true,
                "reporter": {"id": "org_00000000000000000000000000000007", "name": "A \"quoted\" name"}
            })
        );
    }

    #[test]
    fn extra_that_is_no_json_object_is_written_as_text() {
        let observable = Observable { kind: ObservableType::Ipv4, role: Role::Attacker, detect: true, reserved: false, value: Text::new("8.8.8.8") };
        let mut event = Event::new(Timestamp::from_seconds(1), Category::Scanner, observable);
        for extra in ["{\"x\":", "{} {}", "17", ""] {
            event.details_mut().extra = Some(Text::new(extra));
            let value: Value = serde_json::from_str(&to_submission(&event)).unwrap();
            assert_eq!(value["extra"], extra);
        }
    }

    fn words(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
        proptest::sample::select(words).prop_map(Value::from)
    }

    /// Fields that the parser takes; each is present in about half of the events.
    fn submission() -> impl Strategy<Value = Value> {
        let observable =
            words(&["8.8.8.8", "10.0.0.1", "2001:db8::1", "evil.example.com", "http://evil.example.com/a?b=c", "d41d8cd98f00b204e9800998ecf8427e"]);
        let field = prop_oneof![
            ("[a-z]{1,6}", any::<String>().prop_map(Value::from)),
            ("[a-z]{1,6}", any::<i64>().prop_map(|number| json!({"n": number, "deep": [null, true, 1.5]}))),
            (Just("note".to_owned()), any::<String>().prop_map(Value::from)),
            (Just("malware".to_owned()), "[ a-zA-Z.]{0,20}".prop_map(Value::from)),
            (Just("id".to_owned()), "\\PC{0,40}".prop_map(Value::from)),
            (Just("origin".to_owned()), words(&["sensor", "honeypot", "relayed"])),
            (Just("tlp".to_owned()), words(&["clear", "GREEN", "amber+strict", "red"])),
            (Just("pap".to_owned()), words(&["clear", "amber", "red"])),
            (Just("severity".to_owned()), words(&["low", "critical"])),
            (Just("named".to_owned()), any::<bool>().prop_map(Value::from)),
            (Just("notify_owner".to_owned()), words(&["now", "hold"])),
            (Just("confidence".to_owned()), (0u8..=100).prop_map(Value::from)),
            (Just("count".to_owned()), (1u32..).prop_map(Value::from)),
            (Just("port".to_owned()), any::<u16>().prop_map(Value::from)),
            (Just("dst_ip".to_owned()), words(&["8.8.4.4", "2001:DB8::0:1"])),
            (Just("dst_port".to_owned()), any::<u16>().prop_map(Value::from)),
            (Just("protocol".to_owned()), words(&["TCP", "udp"])),
            (Just("technique".to_owned()), Just(json!(["T1059", "t1059.001"]))),
            (Just("cve".to_owned()), Just(json!(["cve-2024-3400"]))),
            (Just("audience".to_owned()), Just(json!(["energy", "b", "a", "b"]))),
            (Just("target".to_owned()), Just(json!({"ip": "8.8.4.4", "asn": 7, "sector": "energy", "more": 1}))),
            (Just("target".to_owned()), Just(json!("a brand"))),
            (Just("source_asn".to_owned()), any::<u32>().prop_map(Value::from)),
            (Just("last_time".to_owned()), (0i64..1_700_000_000).prop_map(Value::from)),
            (Just("valid_until".to_owned()), (0i64..4_000_000_000).prop_map(Value::from)),
            (Just("extra".to_owned()), Just(json!({"a": {"b": "900101-1234567"}, "extra": 1}))),
        ];
        let observables = proptest::collection::vec(observable, 1..4);
        let category = words(&["phishing", "infected-system", "dos-victim", "something new"]);
        (0i64..1_700_000_000, category, observables, proptest::collection::vec(field, 0..12)).prop_map(|(time, category, observables, fields)| {
            let mut event = json!({"time": time, "category": category, "observables": observables});
            for (name, value) in fields {
                if !["time", "category", "value", "type", "role", "detect", "named", "count", "seq", "own"].contains(&name.as_str())
                    || value.is_number()
                    || value.is_boolean()
                {
                    event[name] = value;
                }
            }
            event
        })
    }

    proptest! {
        #[test]
        fn an_event_read_back_is_the_same(submission in submission()) {
            let text = submission.to_string();
            if let Ok(event) = parse_event(text.as_bytes(), &defaults()) {
                let mut out = Vec::new();
                write_event(&mut out, &head(), &event);
                prop_assert_eq!(parse_event(&out, &defaults()), Ok(event.clone()));
                prop_assert_eq!(parse_event(to_submission(&event).as_bytes(), &defaults()), Ok(event));
            }
        }

        #[test]
        fn a_quoted_text_reads_back(text in any::<String>()) {
            let mut out = Vec::new();
            quote_into(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
