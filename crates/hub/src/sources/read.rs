//! From a body to events: their names of fields become ours, and what they leave out is as the configuration says.
//!
//! Flow: [`entries`] tells how the body is to be read → cuts it → hands on each piece's events and refused lines ([`Parsed`]).
//! Invariant: pure and bounded: a piece at a time is in memory, but for documents. Whatever an entry claims, its origin is relayed.
//! Not here: what is done with the events (`take`), the formats themselves (`formats`).

use super::{Body, Kind, SourceError, SourceOptions};
use formats::split::{Limits, Splitter};
use formats::{Defaults, Format, Header, Parsed, csv, detect_format, ndjson, parse_chunk};
use model::{Event, Origin, Timestamp};
use serde_json::{Map, Value};

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Bytes of one entry at the most.
const ENTRY: usize = 1 << 20;
/// Bytes of a JSON, STIX or MISP document at the most: it is held whole.
pub(super) const MAX_DOCUMENT: usize = 64 << 20;
/// Objects of a JSON document that are handed on at once.
const AT_ONCE: usize = 4_096;
/// Bytes looked at to tell a format.
const BEGINNING: usize = 64 << 10;
/// The name by which `columns` calls the key of an entry in an object of entries.
const KEY: &str = "$key";

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// By a format's own parser.
    Format(Format),
    /// A JSON document, its entries wherever they are.
    Document,
    /// A JSON object a line, or whatever else JSON makes an entry.
    Lines,
}

/// Reads a body, piece by piece in order.
///
/// # Errors
/// [`SourceError::Content`] where nothing can be read at all, and what `take` says.
pub(super) fn entries(
    body: &Body,
    source: &SourceOptions,
    defaults: &Defaults,
    take: &mut dyn FnMut(Parsed) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut take = |mut parsed: Parsed| {
        parsed.events.iter_mut().for_each(|event| settle(event, source));
        take(parsed)
    };
    match reading(body, source) {
        Reading::Format(Format::Csv) if !body.is_ours && !source.columns.is_empty() => {
            let renamed = csv::rename(&body.bytes, &source.columns).map_err(SourceError::Content)?;
            pieces(Format::Csv, &renamed.body, defaults, &mut |mut parsed| {
                // The header that was put in front is on no line of theirs.
                parsed.refusals.iter_mut().for_each(|refusal| refusal.line = refusal.line.saturating_sub(renamed.added).max(1));
                take(parsed)
            })
        }
        Reading::Format(format) => pieces(format, &body.bytes, defaults, &mut take),
        Reading::Document => document(&body.bytes, source, defaults, &mut take),
        Reading::Lines => lines(&body.bytes, source, defaults, &mut take),
    }
}

fn reading(body: &Body, source: &SourceOptions) -> Reading {
    let format = || {
        let beginning = body.bytes.get(..BEGINNING).unwrap_or(&body.bytes);
        body.format.unwrap_or_else(|| detect_format(beginning, Some(&body.name)))
    };
    if body.is_ours {
        return Reading::Format(format());
    }
    match source.kind {
        Kind::List => Reading::Format(Format::List),
        Kind::Csv => Reading::Format(Format::Csv),
        Kind::Json => Reading::Document,
        Kind::Ndjson => Reading::Lines,
        Kind::Stix => Reading::Format(Format::Stix),
        Kind::MispFeed | Kind::Taxii | Kind::Shadowserver | Kind::Mail | Kind::Folder => {
            let name = body.name.to_ascii_lowercase();
            // With columns of their own a table may have no name that we would know.
            let is_table = !source.columns.is_empty() && [".csv", ".tsv", ".csv.gz", ".csv.zst"].iter().any(|ending| name.ends_with(ending));
            let format = if is_table { Format::Csv } else { format() };
            match format {
                Format::Ndjson => Reading::Lines,
                Format::JsonArray => Reading::Document,
                Format::Csv | Format::List | Format::Stix | Format::Misp => Reading::Format(format),
            }
        }
    }
}

/// What holds for every entry of a source.
fn settle(event: &mut Event, source: &SourceOptions) {
    event.origin = Origin::Relayed;
    if event.confidence.is_none() {
        event.confidence = source.confidence;
    }
    if source.partner.is_none() {
        // There is nobody to be named.
        event.named = false;
    }
}

fn pieces(format: Format, bytes: &[u8], defaults: &Defaults, take: &mut dyn FnMut(Parsed) -> Result<(), SourceError>) -> Result<(), SourceError> {
    let broken = |error: formats::split::SplitError| SourceError::Content(error.to_string());
    let mut splitter = Splitter::new(format, Limits { target_bytes: PIECE, entry_bytes: ENTRY, document_bytes: MAX_DOCUMENT });
    let mut header: Option<Header> = None;
    let mut parse = |chunk: formats::split::Chunk| {
        let header = header.get_or_insert_with(|| Header::read(format, &chunk.bytes));
        let mut parsed = parse_chunk(format, header, &chunk.bytes, chunk.first_line, defaults);
        parsed.refusals.extend(chunk.refusals);
        take(parsed)
    };
    for piece in bytes.chunks(PIECE) {
        splitter.push(piece).map_err(broken)?;
        while let Some(chunk) = splitter.next_chunk() {
            parse(chunk)?;
        }
    }
    let mut last = splitter.finish().map_err(broken)?;
    while let Some(chunk) = last {
        parse(chunk)?;
        last = splitter.next_chunk();
    }
    Ok(())
}

/// The entries of a JSON document: the array it is or holds, or the values of the object it is or holds.
fn document(bytes: &[u8], source: &SourceOptions, defaults: &Defaults, take: &mut dyn FnMut(Parsed) -> Result<(), SourceError>) -> Result<(), SourceError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(SourceError::Content(format!("a JSON document of more than {MAX_DOCUMENT} bytes")));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes);
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| SourceError::Content(format!("not JSON, at line {} column {}", error.line(), error.column())))?;
    if let Some(path) = &source.entries {
        for step in path.split('.') {
            value = match value {
                Value::Object(mut fields) => fields.remove(step),
                Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            }
            .ok_or_else(|| SourceError::Content(format!("the document has no field {path:?}")))?;
        }
    }
    let mut found: Vec<(Option<String>, Value)> = Vec::new();
    match value {
        Value::Array(items) => found.extend(items.into_iter().map(|item| (None, item))),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    // As `{"123": [{…}]}`.
                    Value::Array(items) => found.extend(items.into_iter().map(|item| (Some(key.clone()), item))),
                    value => found.push((Some(key), value)),
                }
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(SourceError::Content("the document holds no list of entries".to_owned())),
    }
    let mut parsed = Parsed::default();
    for ((key, item), number) in found.into_iter().zip(1..) {
        entry(item, key, number, source, defaults, &mut parsed);
        if parsed.events.len() >= AT_ONCE {
            take(std::mem::take(&mut parsed))?;
        }
    }
    take(parsed)
}

fn lines(bytes: &[u8], source: &SourceOptions, defaults: &Defaults, take: &mut dyn FnMut(Parsed) -> Result<(), SourceError>) -> Result<(), SourceError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes);
    let mut parsed = Parsed::default();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if line.len() > ENTRY {
            parsed.refuse(number, "entry is longer than 1 MiB");
            continue;
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(item) => entry(item, None, number, source, defaults, &mut parsed),
            Err(error) => parsed.refuse(number, format!("not JSON, at column {}", error.column())),
        }
        if parsed.events.len() >= AT_ONCE {
            take(std::mem::take(&mut parsed))?;
        }
    }
    take(parsed)
}

/// One entry of a JSON document or line.
fn entry(item: Value, key: Option<String>, number: u64, source: &SourceOptions, defaults: &Defaults, parsed: &mut Parsed) {
    let fields = match item {
        Value::Object(fields) => fields,
        // A bare value is what was seen.
        item @ (Value::String(_) | Value::Number(_)) => Map::from_iter([("value".to_owned(), item)]),
        Value::Null | Value::Bool(_) | Value::Array(_) => return parsed.refuse(number, "not an object"),
    };
    let named = Value::Object(renamed(fields, key, source)).to_string();
    match ndjson::parse_entry(named.as_bytes(), defaults) {
        Ok(event) => parsed.take(number, event),
        Err(reason) => parsed.refuse(number, reason),
    }
}

/// The fields under our names; those that hold an observable of a type become observables.
fn renamed(mut theirs: Map<String, Value>, key: Option<String>, source: &SourceOptions) -> Map<String, Value> {
    let mut ours = Map::new();
    let mut observables: Vec<Value> = Vec::new();
    for (path, name) in &source.columns {
        let value = if path == KEY { key.clone().map(Value::String) } else { removed(&mut theirs, path) };
        let Some(value) = value.filter(|value| !value.is_null()) else { continue };
        if csv::is_observable(name) {
            observe(name, value, &mut observables);
        } else {
            ours.insert(name.clone(), value);
        }
    }
    for (name, value) in theirs {
        let is_taken = source.columns.values().any(|taken| *taken == name);
        if !csv::is_observable(&name) && !is_taken {
            ours.insert(name, value);
        } else if source.columns.is_empty() && !value.is_object() {
            observe(&name, value, &mut observables);
        } else {
            // With columns named, a field of a type that is not among them was left out on purpose.
            ours.insert(format!("their {name}"), value);
        }
    }
    if !observables.is_empty() {
        match ours.get_mut("observables") {
            Some(Value::Array(given)) => given.append(&mut observables),
            Some(_) | None => drop(ours.insert("observables".to_owned(), Value::Array(observables))),
        }
    }
    for name in ["time", "last_time", "valid_until"] {
        tidy_time(&mut ours, name);
    }
    ours
}

/// Adds a value of a type, or several of them.
fn observe(kind: &str, value: Value, observables: &mut Vec<Value>) {
    let values = if let Value::Array(values) = value { values } else { vec![value] };
    let some = values.into_iter().filter(|value| !value.is_null() && value.as_str() != Some(""));
    observables.extend(some.map(|value| serde_json::json!({ "type": kind, "value": value })));
}

/// Takes a field out, by its name or by steps.
fn removed(fields: &mut Map<String, Value>, path: &str) -> Option<Value> {
    if let Some(value) = fields.remove(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    removed(fields.get_mut(first)?.as_object_mut()?, rest)
}

/// Times of feeds are written in more ways than ours; what cannot be read is kept beside.
fn tidy_time(fields: &mut Map<String, Value>, name: &str) {
    let Some(Value::String(text)) = fields.get(name) else { return };
    let bare = text.trim();
    let bare = ["UTC", "GMT", "Z"].iter().find_map(|zone| bare.strip_suffix(zone)).unwrap_or(bare).trim();
    let read = Timestamp::parse(text).or_else(|_| Timestamp::parse(bare)).or_else(|_| Timestamp::parse(&format!("{bare}T00:00:00")));
    match read {
        Ok(time) => drop(fields.insert(name.to_owned(), Value::String(time.to_string()))),
        Err(_) => {
            if let Some(value) = fields.remove(name) {
                fields.insert(format!("their {name}"), value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, ObservableType, Pap, Tlp};

    fn source(kind: &str, more: &str) -> SourceOptions {
        let fields: Value = serde_json::from_str(&format!(r#"{{"name":"s","kind":"{kind}","url":"https://feed.example/x"{more}}}"#)).unwrap();
        serde_json::from_value(fields).unwrap()
    }

    fn defaults() -> Defaults {
        Defaults {
            now: Timestamp::parse("2026-06-01T00:00:00Z").unwrap(),
            tlp: Tlp::Green,
            pap: Pap::Green,
            named: false,
            category: Some(Category::C2Server),
            origin: Some(Origin::Relayed),
            role: None,
        }
    }

    fn read(source: &SourceOptions, name: &str, body: &str) -> (Vec<Event>, Vec<u64>) {
        let (mut events, mut refused) = (Vec::new(), Vec::new());
        entries(&Body::new(name, None, body.as_bytes().to_vec()), source, &defaults(), &mut |parsed| {
            events.extend(parsed.events);
            refused.extend(parsed.refusals.into_iter().map(|refusal| refusal.line));
            Ok(())
        })
        .unwrap();
        (events, refused)
    }

    fn values(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| event.observables.iter().map(|one| one.value.as_str()).collect::<Vec<_>>().join("+")).collect()
    }

    #[test]
    fn a_list_is_read_with_what_the_configuration_says() {
        let (events, refused) = read(&source("list", r#","confidence":70"#), "x", "# c\n185.60.1.1\nnot a value at all\nevil.example.com\n");
        assert_eq!(values(&events), ["185.60.1.1", "evil.example.com"]);
        assert_eq!(refused, [3]);
        assert!(events.iter().all(|event| event.origin == Origin::Relayed && event.confidence == Some(70) && event.category == Category::C2Server));
    }

    #[test]
    fn a_table_is_read_by_its_own_columns_or_their_numbers() {
        let by_name = source("csv", r#","columns":{"Bad IP":"ip","Seen":"time","who":"origin"}"#);
        let (events, refused) = read(&by_name, "x", "Seen;Bad IP;who\n2026-05-01 10:00:00;185.60.1.1;sensor\n2026-05-01;nonsense;x\n");
        assert_eq!((values(&events), refused), (vec!["185.60.1.1".to_owned()], vec![3]));
        assert_eq!((events[0].origin, events[0].time.to_string().starts_with("2026-05-01T10:00:00")), (Origin::Relayed, true));
        let by_number = source("csv", r#","columns":{"2":"ip"}"#);
        let (events, refused) = read(&by_number, "x", "# first,address\nx,185.60.1.2\ny,oops\n");
        assert_eq!((values(&events), refused), (vec!["185.60.1.2".to_owned()], vec![3]));
    }

    #[test]
    fn a_document_is_read_wherever_its_entries_are() {
        let nested = source("json", r#","entries":"data.items","columns":{"ioc.host":"domain","ioc.ip":"ip","when":"time"}"#);
        let body = r#"{"data":{"items":[{"ioc":{"host":"evil.example.com","ip":"185.60.1.1"},"when":"2026-05-01 10:00:00 UTC","score":3},{"ioc":{}},7]}}"#;
        let (events, refused) = read(&nested, "x", body);
        assert_eq!((values(&events), refused), (vec!["evil.example.com+185.60.1.1".to_owned()], vec![2, 3]));
        assert!(!events[0].timeless && events[0].details.as_ref().unwrap().extra.as_ref().unwrap().contains("score"));
        let keyed = source("json", r#","columns":{"$key":"id","url":"url"}"#);
        let (events, _) = read(&keyed, "x", r#"{"17":[{"url":"https://evil.example.com/a"}],"18":[{"url":"https://evil.example.com/b"}]}"#);
        assert_eq!((events.len(), events[0].id.as_deref()), (2, Some("17")));
        let plain = source("json", "");
        let (events, _) = read(&plain, "x", r#"["185.60.1.1",{"domain":"evil.example.com","sha256":""}]"#);
        assert_eq!(values(&events), ["185.60.1.1", "evil.example.com"]);
        assert!(events.iter().all(|event| event.timeless));
        assert_eq!(events[1].observables[0].kind, ObservableType::Domain);
    }

    #[test]
    fn lines_of_json_need_neither_time_nor_category() {
        let (events, refused) = read(&source("ndjson", ""), "x", "{\"value\":\"185.60.1.1\"}\n{broken\n{\"value\":\"185.60.1.2\",\"time\":\"yesterday\"}");
        assert_eq!((values(&events), refused), (vec!["185.60.1.1".to_owned(), "185.60.1.2".to_owned()], vec![2]));
        assert!(events[1].details.as_ref().unwrap().extra.as_ref().unwrap().contains("yesterday"));
    }

    #[test]
    fn a_broken_document_is_an_error() {
        let body = Body::new("x", None, r#"[{"value":"185.60.1.1"},"#.as_bytes().to_vec());
        assert!(entries(&body, &source("json", ""), &defaults(), &mut |_| Ok(())).is_err());
    }
}
