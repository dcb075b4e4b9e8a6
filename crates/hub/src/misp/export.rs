//! Answers to searches in other formats than MISP's own: tables, values, rules, STIX, hashes.
//!
//! Invariant: what is written is what the search shows the reader, and nothing of the hub's own events.
//! Not here: which attributes are written ([`super::search`]), products (`crate::products`).

use super::fields::{Fields, flag, number, text};
use formats::Defaults;
use formats::misp::judge::{Surroundings, judge, parts};
use formats::misp::md5_hex;
use formats::products::{Entry, Product, body};
use formats::stix::write;
use hashbrown::HashSet;
use model::canonical::is_reserved;
use model::{Event, Observable, Pap, Role, Timestamp, Tlp};
use policy::{Purpose, actions_allowed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// An attribute to be written, with the event it is in.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub attribute: Fields,
    pub object_uuid: String,
    pub object_name: String,
    pub object_category: String,
    /// The event's own fields.
    pub event: Arc<Fields>,
}

/// Columns of a table, as MISP has them.
const COLUMNS: [&str; 13] = [
    "uuid",
    "event_id",
    "category",
    "type",
    "value",
    "comment",
    "to_ids",
    "date",
    "object_relation",
    "attribute_tag",
    "object_uuid",
    "object_name",
    "object_meta_category",
];
/// Columns of the event.
const CONTEXT: [&str; 9] = [
    "event_info",
    "event_member_org",
    "event_source_org",
    "event_distribution",
    "event_threat_level_id",
    "event_analysis",
    "event_date",
    "event_tag",
    "event_timestamp",
];
/// Confidence of what is found in a member's event: neither confirmed nor doubted.
const CONFIDENCE: u8 = 50;

/// A table.
pub(super) fn csv(lines: &[Line], context: bool, wanted: &[String], headerless: bool) -> Vec<u8> {
    let usual = COLUMNS.iter().chain(CONTEXT.iter().filter(|_| context)).map(|name| (*name).to_owned());
    let columns: Vec<String> = if wanted.is_empty() { usual.collect() } else { wanted.to_vec() };
    let mut out = String::new();
    if !headerless {
        out.push_str(&columns.iter().map(|name| name.replace([',', '\n', '"'], " ")).collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    for line in lines {
        let cells: Vec<String> = columns.iter().map(|name| quoted(&cell(line, name))).collect();
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out.into_bytes()
}

fn cell(line: &Line, column: &str) -> String {
    let of_event = |name: &str| text(&line.event, name).unwrap_or_default();
    let name_of = |name: &str| line.event.get(name).and_then(|org| org.get("name")).and_then(Value::as_str).unwrap_or_default().to_owned();
    match column {
        "to_ids" => i32::from(flag(&line.attribute, "to_ids") == Some(true)).to_string(),
        "date" => day_of(number(&line.attribute, "timestamp").unwrap_or(0)),
        "attribute_tag" => tags(&line.attribute),
        "object_uuid" => line.object_uuid.clone(),
        "object_name" => line.object_name.clone(),
        "object_meta_category" => line.object_category.clone(),
        "event_member_org" => name_of("Org"),
        "event_source_org" => name_of("Orgc"),
        "event_tag" => tags(&line.event),
        "event_uuid" => of_event("uuid"),
        // Both have one of this name.
        "event_id" => of_event("id"),
        _ => match column.strip_prefix("event_") {
            Some(name) => of_event(name),
            None => text(&line.attribute, column).unwrap_or_default(),
        },
    }
}

fn tags(fields: &Fields) -> String {
    let names = fields.get("Tag").and_then(Value::as_array).into_iter().flatten().filter_map(|tag| tag.get("name").and_then(Value::as_str));
    names.collect::<Vec<_>>().join(",")
}

fn day_of(seconds: i64) -> String {
    super::civil_day(seconds.div_euclid(86_400)).replace('-', "")
}

/// A cell as readers of tables expect it.
fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'/')) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Values, one a line, each once: not those that are `known` by a hash, to which the others come.
pub(super) fn text_lines(lines: &[Line], known: &mut HashSet<u128>) -> Vec<u8> {
    let mut out = String::new();
    for value in lines.iter().filter_map(|line| text(&line.attribute, "value")) {
        let value = value.replace(['\r', '\n'], " ");
        let hash = blake3::hash(value.as_bytes()).as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
        if known.insert(hash) {
            out.push_str(&value);
            out.push('\n');
        }
    }
    out.into_bytes()
}

/// Hashes of values with the events they are in.
pub(super) fn cache(lines: &[Line]) -> Vec<u8> {
    let mut out = String::new();
    for line in lines {
        let (Some(kind), Some(value)) = (text(&line.attribute, "type"), text(&line.attribute, "value")) else { continue };
        let event = text(&line.event, "uuid").unwrap_or_default();
        let (first, second) = parts(&kind, &value);
        for part in std::iter::once(first).chain(second) {
            out.push_str(&format!("{},{event}\n", md5_hex(part)));
        }
    }
    out.into_bytes()
}

/// Rules of Suricata that alert.
pub(super) fn suricata(lines: &[Line], now: Timestamp) -> Vec<u8> {
    let mut found: Vec<(Observable, Event)> = observables(lines, now).map(|(observable, event, _)| (observable, event)).collect();
    found.retain(|(observable, event)| {
        Product::SuricataRules.takes(observable.kind, &observable.value)
            && !is_reserved(observable.kind, &observable.value)
            && actions_allowed(event.pap, Purpose::Detect)
    });
    found.sort_by(|(a, _), (b, _)| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
    found.dedup_by(|(a, _), (b, _)| (a.kind, &a.value) == (b.kind, &b.value));
    let entries = found.iter().map(|(observable, event)| Entry {
        kind: observable.kind,
        value: &observable.value,
        category: event.category,
        malware: event.malware.as_deref(),
        tlp: event.tlp,
        pap: event.pap,
        confidence: event.confidence.unwrap_or(CONFIDENCE),
        first_seen: event.time,
        last_seen: event.time,
        valid_until: None,
        sectors: &[],
    });
    body(Product::SuricataRules, entries)
}

/// A bundle of STIX 2.1: an indicator for each value that STIX has a pattern for.
pub(super) fn stix2(lines: &[Line], creator: Uuid, name: &str, now: Timestamp) -> Vec<u8> {
    let mut objects = Vec::new();
    write::project(&mut objects);
    objects.push(b',');
    write::extension(&mut objects);
    objects.push(b',');
    write::identity(&mut objects, creator, name);
    let mut markings: BTreeSet<Tlp> = BTreeSet::new();
    let mut indicators = Vec::new();
    for (observable, event, id) in observables(lines, now) {
        let mut one = Vec::new();
        let written = write::indicator(
            &mut one,
            &write::Indicator {
                id,
                creator,
                kind: observable.kind,
                value: &observable.value,
                created: event.time,
                modified: event.time,
                revoked: false,
                category: event.category,
                malware: event.malware.as_deref(),
                pap: event.pap,
                tlp: event.tlp,
                confidence: event.confidence,
                first_seen: event.time,
                last_seen: event.time,
                valid_until: None,
                sectors: &[],
                warning_lists: &[],
                reserved: observable.reserved,
            },
        );
        if written {
            markings.insert(event.tlp);
            indicators.push(b',');
            indicators.append(&mut one);
        }
    }
    for tlp in markings {
        objects.push(b',');
        write::marking(&mut objects, tlp);
    }
    objects.append(&mut indicators);
    let number = blake3::hash(&objects).as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
    let mut bundle = format!("{{\"type\":\"bundle\",\"id\":\"bundle--{}\",\"objects\":[", write::shaped(number)).into_bytes();
    bundle.append(&mut objects);
    bundle.extend_from_slice(b"]}\n");
    bundle
}

/// What of the attributes is an attacker's and to be detected, with the event it gives and an id.
fn observables(lines: &[Line], now: Timestamp) -> impl Iterator<Item = (Observable, Event, Uuid)> {
    // Whatever says nothing of its marking is as strict as a member's by default.
    let defaults = Defaults { now, tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None };
    let each = lines.iter().filter(|line| flag(&line.attribute, "to_ids") == Some(true)).filter_map(move |line| {
        let event = judge(&line.attribute, &Surroundings::of_event(&line.event), &defaults).event?;
        let id = text(&line.attribute, "uuid").and_then(|uuid| Uuid::try_parse(&uuid).ok())?;
        Some((event, id))
    });
    each.flat_map(|(event, id)| {
        let found: Vec<_> = event.observables.iter().enumerate().map(|(place, observable)| (place, observable.clone())).collect();
        found
            .into_iter()
            .filter(|(_, observable)| observable.role == Role::Attacker && observable.detect)
            .map(move |(place, observable)| (observable, event.clone(), write::shaped(id.as_u128() ^ place as u128)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn fields(value: Value) -> Fields {
        super::super::fields::object(value).unwrap()
    }

    fn line(kind: &str, value: &str) -> Line {
        let attribute = json!({ "uuid": "ab2b6e28-fda5-4282-bf60-22b81de77851", "type": kind, "value": value, "category": "Network activity", "to_ids": true,
            "timestamp": "1767225600", "comment": "said \"x\", twice", "Tag": [{ "name": "tlp:green" }] });
        let event = json!({ "id": "7", "uuid": "5b0a6f3e-0d8e-4a47-8c24-0d3a4f1e2b11", "info": "A case", "Orgc": { "name": "Bongsu main" }, "Tag": [{ "name": "PAP:GREEN" }] });
        Line {
            attribute: fields(attribute),
            object_uuid: String::new(),
            object_name: String::new(),
            object_category: String::new(),
            event: Arc::new(fields(event)),
        }
    }

    #[test]
    fn a_table_has_the_columns_that_are_asked_for_and_quotes_what_needs_it() {
        let lines = [line("ip-dst", "198.51.100.1")];
        let table = String::from_utf8(csv(&lines, true, &[], false)).unwrap();
        let (head, row) = table.split_once('\n').unwrap();
        assert!(head.starts_with("uuid,event_id,category,type,value,comment,to_ids,date,") && head.ends_with("event_tag,event_timestamp"));
        assert!(row.contains(",7,\"Network activity\",ip-dst,198.51.100.1,\"said \"\"x\"\", twice\",1,20260101,"), "{row}");
        let wanted = ["value".to_owned(), "event_id".to_owned()];
        assert_eq!(csv(&lines, false, &wanted, true), b"198.51.100.1,7\n");
    }

    #[test]
    fn values_are_given_once_and_hashes_for_each_part() {
        let lines = [line("domain|ip", "abc|198.51.100.1"), line("domain|ip", "abc|198.51.100.1")];
        let mut known = HashSet::new();
        assert_eq!(text_lines(&lines, &mut known), b"abc|198.51.100.1\n");
        assert!(text_lines(&lines, &mut known).is_empty(), "not again in what comes after");
        let cache = String::from_utf8(cache(&lines[..1])).unwrap();
        assert_eq!(cache.lines().count(), 2);
        assert!(cache.starts_with("900150983cd24fb0d6963f7d28e17f72,5b0a6f3e"));
    }

    #[test]
    fn rules_and_stix_hold_what_is_to_be_detected() {
        let mut seen = line("ip-dst", "185.60.1.9");
        seen.attribute.insert("to_ids".to_owned(), json!(false));
        let lines = [line("ip-dst", "185.60.1.1"), line("text", "words"), seen];
        let rules = String::from_utf8(suricata(&lines, NOW)).unwrap();
        assert!(rules.contains("185.60.1.1") && !rules.contains("185.60.1.9"), "{rules}");
        let bundle: Value = serde_json::from_slice(&stix2(&lines, Uuid::from_u128(1), "Bongsu", NOW)).unwrap();
        let patterns: Vec<&str> = bundle["objects"].as_array().unwrap().iter().filter_map(|object| object["pattern"].as_str()).collect();
        assert_eq!(patterns.len(), 1);
        assert!(patterns[0].contains("185.60.1.1"));
    }
}
