//! Newline-delimited JSON: one event per line. The bulk path.
//!
//! Flow: [`parse`] cuts lines → the seeds here read one object into a `Draft` that borrows from the line → `Draft::build` checks it.
//! Invariant: a field that is not ours is kept as it stands; of a repeated field the last counts.
//! Not here: what a field may hold (`draft`), cutting a body into chunks (`split`), writing (`json`).

pub(crate) mod draft;
pub(crate) mod scalar;

use crate::{Defaults, Parsed};
use draft::{Draft, DraftObservable, MAX_EXTRA_FIELDS, MAX_LIST, MAX_OBSERVABLES, Member, Rules};
use model::{Event, Origin};
use scalar::Scalar;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// Longest line taken, in bytes.
pub const MAX_LINE: usize = 1 << 20;
/// The reason where an entry is longer.
pub(crate) const TOO_LONG: &str = "entry is longer than 1 MiB";
/// UTF-8's byte-order mark, which some editors write first.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Parses a chunk of whole lines.
///
/// `first_line` is the 1-based number of its first line. Blank lines are passed over.
pub fn parse(chunk: &[u8], first_line: u64, defaults: &Defaults, parsed: &mut Parsed) {
    let chunk = if first_line == 1 { chunk.strip_prefix(BYTE_ORDER_MARK).unwrap_or(chunk) } else { chunk };
    let mut line = first_line;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', chunk).chain(std::iter::once(chunk.len())) {
        let text = chunk.get(start..end).unwrap_or_default().trim_ascii();
        start = end + 1;
        if !text.is_empty() {
            match parse_event(text, defaults) {
                Ok(event) => parsed.take(line, event),
                Err(reason) => parsed.refuse(line, reason),
            }
        }
        line += 1;
    }
}

/// Parses one JSON object.
///
/// # Errors
/// The reason for the sender, naming the field.
pub fn parse_event(json: &[u8], defaults: &Defaults) -> Result<Event, String> {
    if json.len() > MAX_LINE {
        return Err(TOO_LONG.into());
    }
    let text = std::str::from_utf8(json).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
    if !text.trim_start().starts_with('{') {
        return Err("not a JSON object".into());
    }
    let mut draft = Draft::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    IntoDraft(&mut draft).deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| reason(&error))?;
    let rules = Rules { category: defaults.category, origin: defaults.origin.unwrap_or(Origin::Sensor), timeless: false, lenient: false };
    draft.build(defaults, &rules)
}

/// Lines are numbered by their body, so the parser's own line number would mislead.
fn reason(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "" } else { "not JSON: " };
    format!("{what}{error}").replace(" line 1", "")
}

/// The fields of a JSON object as they stand; `None` for anything else. One more than `limit` are read at most.
pub(crate) fn object_members(json: &str, limit: usize) -> Option<Vec<Member<'_>>> {
    if !json.trim_start().starts_with('{') {
        return None;
    }
    let mut members = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    IntoMembers { members: &mut members, limit }.deserialize(&mut deserializer).and_then(|()| deserializer.end()).ok()?;
    Some(members)
}

/// The observables of a JSON array, object or text; `None` where it is no JSON.
pub(crate) fn observables(json: &str) -> Option<SmallVec<[DraftObservable<'_>; 1]>> {
    let mut given = SmallVec::new();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    IntoObservables(&mut given).deserialize(&mut deserializer).and_then(|()| deserializer.end()).ok()?;
    Some(given)
}

/// Whether every number and text in a JSON value can be read, and nothing is nested deeper than readers bear.
pub(crate) fn check_json(json: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Readable>(json).map(|Readable| ())
}

/// A field's name, borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(name) => Ok(Self(name)),
            Scalar::Absent | Scalar::Bool(_) | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Compound => {
                Err(serde::de::Error::custom("a field name must be text"))
            }
        }
    }
}

/// Reads one event object into a draft.
struct IntoDraft<'d, 'a>(&'d mut Draft<'a>);

impl<'de> DeserializeSeed<'de> for IntoDraft<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IntoDraft<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let draft = self.0;
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "time" => draft.time = fields.next_value()?,
                "category" => draft.category = fields.next_value()?,
                "observables" => {
                    draft.observables.clear();
                    fields.next_value_seed(IntoObservables(&mut draft.observables))?;
                }
                "observable" => {
                    let mut given = SmallVec::new();
                    fields.next_value_seed(IntoObservables(&mut given))?;
                    draft.single = given.into_vec();
                }
                "value" => draft.value = fields.next_value()?,
                "type" => draft.kind = fields.next_value()?,
                "role" => draft.role = fields.next_value()?,
                "detect" => draft.detect = fields.next_value()?,
                "origin" => draft.origin = fields.next_value()?,
                "tlp" => draft.tlp = fields.next_value()?,
                "pap" => draft.pap = fields.next_value()?,
                "audience" => draft.audience = fields.next_value::<Words<'de>>()?.0,
                "named" => draft.named = fields.next_value()?,
                "notify_owner" => draft.notify_owner = fields.next_value()?,
                "valid_until" => draft.valid_until = fields.next_value()?,
                "id" => draft.id = fields.next_value()?,
                "confidence" => draft.confidence = fields.next_value()?,
                "severity" => draft.severity = fields.next_value()?,
                "sector" => draft.sector = fields.next_value()?,
                "malware" => draft.malware = fields.next_value()?,
                "technique" => draft.technique = fields.next_value::<Words<'de>>()?.0,
                "cve" => draft.cve = fields.next_value::<Words<'de>>()?.0,
                "port" => draft.port = fields.next_value()?,
                "dst_ip" => draft.dst_ip = fields.next_value()?,
                "dst_port" => draft.dst_port = fields.next_value()?,
                "protocol" => draft.protocol = fields.next_value()?,
                "count" => draft.count = fields.next_value()?,
                "last_time" => draft.last_time = fields.next_value()?,
                "target" => fields.next_value_seed(IntoTarget(draft))?,
                "source_asn" => draft.source_asn = fields.next_value()?,
                "note" => draft.note = fields.next_value()?,
                "original" => draft.original = fields.next_value()?,
                "extra" => draft.extra = Some(fields.next_value::<&'de RawValue>()?.get()),
                // What an answer carries beside the event: sent back, it means nothing.
                "seq" | "received" | "reporter" | "own" => {
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    draft.keep(name, Cow::Borrowed(json));
                }
            }
        }
        Ok(())
    }
}

/// Reads `observables`: an array of objects and texts, or one of them.
struct IntoObservables<'d, 'a>(&'d mut SmallVec<[DraftObservable<'a>; 1]>);

impl<'de> DeserializeSeed<'de> for IntoObservables<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IntoObservables<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("observables as objects or texts")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<(), E> {
        self.0.push(ObservableVisitor.visit_borrowed_str::<E>(text)?);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push(ObservableVisitor.visit_str::<E>(text)?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        self.0.push(ObservableVisitor.visit_map(fields)?);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<DraftObservable<'de>>()? {
            // One more than the limit is enough to be refused.
            if self.0.len() <= MAX_OBSERVABLES {
                self.0.push(item);
            }
        }
        Ok(())
    }
}

struct ObservableVisitor;

impl<'de> Visitor<'de> for ObservableVisitor {
    type Value = DraftObservable<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an observable as object or text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(DraftObservable { value: Scalar::borrowed(text), ..DraftObservable::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(DraftObservable { value: Scalar::Text(Cow::Owned(text.to_owned())), ..DraftObservable::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut observable = DraftObservable::default();
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "type" => observable.kind = fields.next_value()?,
                "value" => observable.value = fields.next_value()?,
                "role" => observable.role = fields.next_value()?,
                "detect" => observable.detect = fields.next_value()?,
                // The hub's own flag.
                "reserved" => {
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    if observable.members.len() <= MAX_EXTRA_FIELDS {
                        observable.members.push((name, json));
                    }
                }
            }
        }
        Ok(observable)
    }
}

impl<'de> Deserialize<'de> for DraftObservable<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObservableVisitor)
    }
}

/// Reads `target`: an object, or a text.
struct IntoTarget<'d, 'a>(&'d mut Draft<'a>);

impl<'de> DeserializeSeed<'de> for IntoTarget<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let draft = self.0;
        draft.target = Scalar::Absent;
        draft.target_ip = Scalar::Absent;
        draft.target_asn = Scalar::Absent;
        draft.target_sector = Scalar::Absent;
        deserializer.deserialize_any(IntoTarget(draft))
    }
}

impl<'de> Visitor<'de> for IntoTarget<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target as object or text")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.target = Scalar::borrowed(text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.target = Scalar::Text(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let draft = self.0;
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "ip" => draft.target_ip = fields.next_value()?,
                "asn" => draft.target_asn = fields.next_value()?,
                "sector" => draft.target_sector = fields.next_value()?,
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    draft.keep(Cow::Owned(format!("target.{name}")), Cow::Borrowed(json));
                }
            }
        }
        Ok(())
    }
}

/// A list of words, or one word.
struct Words<'a>(Vec<Scalar<'a>>);

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Words(Vec::new()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Words(vec![Scalar::borrowed(text)]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Words(vec![Scalar::Text(Cow::Owned(text.to_owned()))]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut words = Vec::new();
        while let Some(item) = items.next_element::<Scalar<'de>>()? {
            if words.len() <= MAX_LIST {
                words.push(item);
            }
        }
        Ok(Words(words))
    }
}

impl<'de> Deserialize<'de> for Words<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor)
    }
}

/// Reads the fields of an object as they stand.
struct IntoMembers<'d, 'a> {
    members: &'d mut Vec<Member<'a>>,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for IntoMembers<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IntoMembers<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            let json = fields.next_value::<&'de RawValue>()?.get();
            if self.members.len() <= self.limit {
                self.members.push((name, Cow::Borrowed(json)));
            }
        }
        Ok(())
    }
}

/// A JSON value that was read through and dropped.
struct Readable;

struct ReadableVisitor;

impl<'de> Visitor<'de> for ReadableVisitor {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Readable, A::Error> {
        while fields.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadableVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
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
}
