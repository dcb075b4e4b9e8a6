//! IntelMQ's events as JSON: one flat object whose names have dots, read as a row of a table with those names.
//!
//! Flow: `ndjson` meets an object without our fields whose names are IntelMQ's → [`from_object`] → the same row, and the same checks, as for a CSV.
//! Invariant: JSON and CSV of the same event of IntelMQ give the same event of ours.
//! Not here: what the names mean ([`super::columns`]).
//!
//! Source: IntelMQ data format, version 3.

use super::row::{Plan, Row};
use crate::Defaults;
use ::csv::ByteRecord;
use model::{Event, Text};
use serde_json::{Map, Value};

/// Fields of an event at the most.
const MAX_FIELDS: usize = 1_000;
/// First words of IntelMQ's names that no object of ours has.
const TELLING: [&str; 4] = ["classification.", "source.", "destination.", "time."];

/// Whether a field's name is one of IntelMQ's.
pub(crate) fn is_name(name: &str) -> bool {
    TELLING.iter().any(|group| name.starts_with(group))
}

/// Reads an object with IntelMQ's names.
///
/// # Errors
/// The reason for the sender, naming the field.
pub(crate) fn from_object(json: &str, defaults: &Defaults) -> Result<Event, String> {
    let fields: Map<String, Value> = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}").replace(" line 1", ""))?;
    if fields.len() > MAX_FIELDS {
        return Err(format!("more than {MAX_FIELDS} fields"));
    }
    let has_original = fields.contains_key("original");
    let mut names = Vec::with_capacity(fields.len());
    let mut record = ByteRecord::new();
    for (name, value) in &fields {
        let cell = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        let name = name.trim().to_lowercase();
        // What IntelMQ was given, in base64 as it keeps it; it says of itself what it is a message of.
        match name.as_str() {
            "__type" => continue,
            "raw" if !has_original => names.push("original".to_owned()),
            _ => names.push(name),
        }
        record.push_field(cell.as_bytes());
    }
    let plan = Plan::of(&names);
    let mut event = Row::read(&plan, &record).settle().build(defaults, &plan.rules(defaults))?;
    // An output bot whose request broke off sends the same text again.
    event.id.get_or_insert_with(|| Text::from(format!("intelmq-{:032x}", fingerprint(json.as_bytes()))));
    Ok(event)
}

/// A hash that is the same in every release.
///
/// Source: Fowler, Noll, Vo: FNV-1a, 128 bits.
fn fingerprint(bytes: &[u8]) -> u128 {
    const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(START, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use crate::{Defaults, Format, parse_document};
    use model::{Category, Event, Pap, Role, Timestamp, Tlp};

    fn one(format: Format, body: &str) -> Event {
        let now = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
        let defaults = Defaults { now, tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None };
        let parsed = parse_document(format, body.as_bytes(), &defaults);
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        parsed.events.into_iter().next().unwrap()
    }

    const JSON: &str = r#"{"__type":"Event","classification.taxonomy":"malicious-code","classification.type":"infected-system","source.ip":"192.0.2.7","source.port":4444,"source.asn":64500,"destination.ip":"198.51.100.1","destination.port":443,"protocol.transport":"tcp","malware.name":"emotet","time.source":"2026-11-21T03:00:00+00:00","time.observation":"2026-11-21T04:00:00+00:00","feed.name":"Feed","event_description.text":"seen","extra.sinkhole":"a","raw":"eA=="}"#;

    #[test]
    fn an_object_of_intelmq_is_read_as_its_row_is() {
        let event = one(Format::Ndjson, JSON);
        assert_eq!(
            (event.category, event.observables[0].value.as_str(), event.observables[0].role, event.port),
            (Category::InfectedSystem, "192.0.2.7", Role::Victim, Some(4444))
        );
        let details = event.details.as_deref().unwrap();
        assert_eq!(
            (details.dst_ip.as_deref(), details.dst_port, details.protocol.as_deref(), details.source_asn),
            (Some("198.51.100.1"), Some(443), Some("tcp"), Some(64500))
        );
        assert_eq!((event.malware.as_deref(), details.note.as_deref(), details.original.as_deref()), (Some("emotet"), Some("seen"), Some("eA==")));
        assert_eq!(event.time, Timestamp::parse("2026-11-21T03:00:00Z").unwrap());
        assert!(details.extra.as_deref().unwrap().contains("extra.sinkhole"));

        let header = "classification.taxonomy,classification.type,source.ip,source.port,source.asn,destination.ip,destination.port,protocol.transport,malware.name,time.source,time.observation,feed.name,event_description.text,extra.sinkhole,original\n";
        let row = "malicious-code,infected-system,192.0.2.7,4444,64500,198.51.100.1,443,tcp,emotet,2026-11-21T03:00:00+00:00,2026-11-21T04:00:00+00:00,Feed,seen,a,eA==\n";
        let table = one(Format::Csv, &format!("{header}{row}"));
        assert_eq!((event.time, &event.observables, event.port, &event.malware), (table.time, &table.observables, table.port, &table.malware));
    }

    #[test]
    fn the_same_text_again_is_the_same_event_and_another_is_another() {
        let again = JSON.replace("emotet", "other");
        assert_eq!(one(Format::JsonArray, JSON).id, one(Format::Ndjson, JSON).id);
        assert_ne!(one(Format::Ndjson, JSON).id, one(Format::Ndjson, &again).id);
    }

    #[test]
    fn our_own_objects_are_read_as_before() {
        let ours = r#"{"time":"2026-11-21T03:00:00Z","category":"phishing","value":"a.example.net","source.note":"x"}"#;
        let event = one(Format::Ndjson, ours);
        assert_eq!((event.category, event.id), (Category::Phishing, None));
    }
}
