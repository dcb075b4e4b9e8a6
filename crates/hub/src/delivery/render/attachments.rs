//! What a message carries as data: CSV for people and spreadsheets, NDJSON for programs. Values are as they are.
//!
//! Invariant: every line of NDJSON is one object whose only field names its kind (`event`, `finding`, `withdrawn`) and holds what the API
//! gives; every row of CSV has all columns, an event a row for each observable. Free text in CSV is no formula to a spreadsheet.

use super::super::message::Message;
use super::field;
use serde_json::Value;

/// The columns of the CSV file.
const COLUMNS: [&str; 19] = [
    "record",
    "seq",
    "id",
    "time",
    "received",
    "category",
    "type",
    "value",
    "role",
    "tlp",
    "pap",
    "confidence",
    "severity",
    "malware",
    "sector",
    "port",
    "count",
    "state",
    "note",
];

/// Everything as NDJSON.
pub fn ndjson(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, items) in [("event", &message.events), ("finding", &message.findings), ("withdrawn", &message.withdrawn)] {
        for item in items {
            out.extend_from_slice(format!("{{\"{kind}\":{item}}}\n").as_bytes());
        }
    }
    out
}

/// Everything as CSV with a line of names (RFC 4180).
pub fn csv(message: &Message) -> Vec<u8> {
    let mut out = String::new();
    out.push_str(&COLUMNS.join(","));
    out.push_str("\r\n");
    let nothing = Value::Null;
    for event in &message.events {
        let observables = event.get("observables").and_then(Value::as_array).filter(|observables| !observables.is_empty());
        match observables {
            Some(observables) => observables.iter().for_each(|observable| row(&mut out, "event", event, observable, "time")),
            None => row(&mut out, "event", event, &nothing, "time"),
        }
    }
    for finding in &message.findings {
        row(&mut out, "finding", finding, finding, "last_time");
    }
    for withdrawn in &message.withdrawn {
        row(&mut out, "withdrawn", withdrawn, &nothing, "at");
    }
    out.into_bytes()
}

/// One row: type, value and role are the observable's, everything else the item's.
fn row(out: &mut String, record: &str, item: &Value, observable: &Value, time: &str) {
    for (place, column) in COLUMNS.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match *column {
            "record" => out.push_str(record),
            "time" => cell(out, field(item, time).unwrap_or_default()),
            "id" => cell(out, field(item, "id").or_else(|| field(item, "finding")).unwrap_or_default()),
            "type" | "value" | "role" => cell(out, field(observable, column).unwrap_or_default()),
            "malware" | "note" => cell(out, &guarded(field(item, column).unwrap_or_default())),
            _ => match item.get(*column) {
                Some(Value::String(text)) => cell(out, text),
                Some(Value::Number(number)) => out.push_str(&number.to_string()),
                Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {}
            },
        }
    }
    out.push_str("\r\n");
}

/// Free text that a spreadsheet takes as text: what would be a formula gets an apostrophe in front.
fn guarded(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("{}{text}", if formula { "'" } else { "" })
}

/// A cell, quoted where it must be. A value is never changed: what is changed matches nothing.
fn cell(out: &mut String, text: &str) {
    if text.contains([',', '"', '\n', '\r', ';', '\t']) || text.starts_with(['#', ' ', '=', '+', '-', '@']) || text.ends_with(' ') {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}
