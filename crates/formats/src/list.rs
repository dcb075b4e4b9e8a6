//! Plain lists: one value per line, in the shapes that public lists have.
//!
//! Flow: [`read_header`] looks at the first lines for a shape; [`parse`] cuts a chunk into lines, takes what each holds and makes events.
//! Each line is read alone, so chunks can be parsed in any order.
//! Invariant: a line gives events, or is named with a reason, or is no entry (blank, comment, heading, ruler). The line itself is kept
//! where it says more than the value.
//! Not here: CSV with a header that we know ([`crate::csv`]); the table of shapes is in `docs/formats.md`.

mod cells;
mod free;
mod lines;
mod rules;

use crate::{Defaults, Header, Parsed};
use lines::{Lines, is_wide, text_of};
use model::canonical::{is_reserved, tidy};
use model::detect::detect_with_port;
use model::{Category, Event, Observable, ObservableType, Origin, Role, Text, Timestamp};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::time::Duration;

/// The longest line that is looked at.
const MAX_LINE_BYTES: usize = 65_536;
/// The longest original that is kept.
const MAX_ORIGINAL_BYTES: usize = 4_096;
/// How much of a line a refusal quotes.
const MAX_QUOTE_CHARS: usize = 80;
/// How far ahead of the hub's clock a time may be.
const MAX_AHEAD: Duration = Duration::from_hours(24);
/// Lines with content that decide on the shape.
const SNIFF_ENTRIES: usize = 200;
/// Lines looked at for them, comments included.
const SNIFF_LINES: usize = 2_000;
/// Bytes that may stand between cells, the most telling first.
const DELIMITERS: [u8; 4] = [b'\t', b',', b';', b'|'];
/// A column that a Zeek log does not have.
const NO_COLUMN: u8 = u8::MAX;

/// How a list's lines are to be read. What one line tells by itself (AdBlock, RPZ, hosts) is understood in any shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// One value per line.
    #[default]
    Plain,
    /// A hosts file: `0.0.0.0 name`.
    Hosts,
    /// Filter rules: `||name^$all`.
    AdBlock,
    /// A response policy zone: `name CNAME .`.
    Rpz,
    /// A Zeek log: the numbers of the columns that matter, 255 for none.
    Zeek {
        /// The value.
        indicator: u8,
        /// Its type, as the intelligence framework names it.
        kind: u8,
        /// When it was seen.
        time: u8,
    },
    /// Cells without a header; [`Header::delimiter`] stands between them.
    Delimited,
}

/// What one line holds.
enum Line {
    /// No entry.
    Nothing,
    /// Entries, one event each.
    Entries(SmallVec<[Entry; 1]>),
    /// An entry that cannot be taken, and why.
    Refused(Cow<'static, str>),
}

/// One entry: a value, and other hashes of the same file.
struct Entry {
    kind: ObservableType,
    value: Text,
    hashes: Vec<(ObservableType, Text)>,
    port: Option<u16>,
    time: Option<Timestamp>,
}

impl Entry {
    fn new((kind, value, port): (ObservableType, Text, Option<u16>)) -> Self {
        Self { kind, value, hashes: Vec::new(), port, time: None }
    }
}

impl Line {
    fn one(entry: Entry) -> Self {
        Self::Entries(SmallVec::from_buf([entry]))
    }

    fn refused(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(reason.into())
    }
}

/// Reads the shape from the first lines of a list.
pub fn read_header(beginning: &[u8]) -> Header {
    let is_wide = is_wide(beginning);
    let (mut entries, mut zone, mut hosts, mut filters, mut rows) = (0_usize, 0_usize, 0_usize, 0_usize, [0_usize; DELIMITERS.len()]);
    for raw in Lines::new(beginning).take(SNIFF_LINES) {
        if raw.len() > MAX_LINE_BYTES {
            continue;
        }
        let Some(text) = text_of(raw, is_wide) else { continue };
        let text = tidy(&text);
        if let Some(fields) = text.strip_prefix("#fields") {
            return Header { is_wide, ..zeek_header(fields) };
        }
        if text.starts_with("[Adblock") {
            filters += 1;
        }
        if text.is_empty() || is_no_entry(text, Shape::Plain) {
            continue;
        }
        entries += 1;
        zone += usize::from(rules::is_zone_line(text));
        hosts += usize::from(rules::is_hosts_line(text));
        filters += usize::from(text.starts_with("||"));
        for (count, delimiter) in rows.iter_mut().zip(DELIMITERS) {
            *count += usize::from(memchr::memchr(delimiter, text.as_bytes()).is_some() && cells::is_row(text, delimiter));
        }
        if entries == SNIFF_ENTRIES {
            break;
        }
    }
    // Nine in ten, for a heading and a few comments of another kind are in most files.
    let delimiter = rows.iter().zip(DELIMITERS).find(|(count, _)| **count > 0 && **count * 10 >= entries * 9).map(|(_, delimiter)| delimiter);
    let (list, delimiter) = if zone > 0 {
        (Shape::Rpz, 0)
    } else if hosts * 2 > entries {
        (Shape::Hosts, 0)
    } else if filters > 0 {
        (Shape::AdBlock, 0)
    } else if let Some(delimiter) = delimiter {
        (Shape::Delimited, delimiter)
    } else {
        (Shape::Plain, 0)
    };
    Header { columns: Vec::new(), delimiter, list, is_wide }
}

fn zeek_header(fields: &str) -> Header {
    let column = |names: &[&str]| {
        let found = names.iter().find_map(|name| fields.split('\t').skip(1).position(|field| tidy(field) == *name));
        found.and_then(|index| u8::try_from(index).ok()).unwrap_or(NO_COLUMN)
    };
    let indicator = column(&["indicator", "seen.indicator", "src", "id.orig_h", "host"]);
    let list = if indicator == NO_COLUMN {
        Shape::Delimited
    } else {
        Shape::Zeek { indicator, kind: column(&["indicator_type", "seen.indicator_type"]), time: column(&["ts"]) }
    };
    Header { delimiter: b'\t', list, ..Header::default() }
}

/// Parses a chunk of whole lines.
///
/// Lines end in LF, CRLF or CR alone; each of them counts one from `first_line` on.
pub fn parse(header: &Header, chunk: &[u8], first_line: u64, defaults: &Defaults, parsed: &mut Parsed) {
    let before = parsed.events.len();
    for (raw, number) in Lines::new(chunk).zip(first_line..) {
        if raw.len() > MAX_LINE_BYTES {
            parsed.refuse(number, "line is longer than 65536 bytes");
            continue;
        }
        let Some(text) = text_of(raw, header.is_wide) else {
            parsed.refuse(number, format!("line contains NUL bytes: {}", quote(&String::from_utf8_lossy(raw))));
            continue;
        };
        let line = tidy(&text);
        if line.is_empty() {
            continue;
        }
        match read_line(header, line) {
            Line::Nothing => {}
            Line::Refused(reason) => parsed.refuse(number, format!("{reason}: {}", quote(line))),
            Line::Entries(entries) => {
                for entry in entries {
                    match event(entry, line, defaults) {
                        Ok(event) => parsed.take(number, event),
                        Err(reason) => parsed.refuse(number, format!("{reason}: {}", quote(line))),
                    }
                }
            }
        }
    }
    // No entry of a list says any of these.
    let taken = (parsed.events.len() - before) as u64;
    let assumed = &mut parsed.notes.assumed;
    assumed.tlp += taken;
    assumed.other += if defaults.category.is_none() { taken } else { 0 };
    assumed.relayed += if defaults.origin.is_none() { taken } else { 0 };
}

fn read_line(header: &Header, line: &str) -> Line {
    if is_no_entry(line, header.list) {
        return Line::Nothing;
    }
    match header.list {
        Shape::Zeek { indicator, kind, time } => return rules::zeek(line, indicator, kind, time),
        Shape::Delimited if !rules::is_hosts_line(line) => {
            if let Some(read) = cells::row(line, header.delimiter) {
                return read;
            }
        }
        Shape::Plain | Shape::Hosts | Shape::AdBlock | Shape::Rpz | Shape::Delimited => {}
    }
    if let Some(found) = detect_with_port(line) {
        return Line::one(Entry::new(found));
    }
    rules::filter(line, header.list)
        .or_else(|| rules::zone(line, header.list))
        .or_else(|| rules::hosts(line))
        .or_else(|| rules::markup(line))
        .unwrap_or_else(|| free::read(line))
}

/// Comments, the header of filter lists, rulers, fences, rows of empty cells.
fn is_no_entry(line: &str, shape: Shape) -> bool {
    let bytes = line.as_bytes();
    match bytes.first() {
        Some(b'#' | b';') => true,
        Some(b'/') => bytes.starts_with(b"//"),
        Some(b'!') => shape == Shape::AdBlock || matches!(bytes.get(1), None | Some(b' ' | b'!' | b'#' | b'-')),
        Some(b',') => bytes.iter().all(|byte| matches!(byte, b',' | b' ' | b'"')),
        Some(b'[') => shape == Shape::AdBlock || line.starts_with("[Adblock"),
        Some(b'-' | b'=' | b'*' | b'_' | b'~' | b'`' | b'+' | b'.' | b'|') => {
            bytes.len() >= 3 && bytes.iter().all(|byte| matches!(byte, b'-' | b'=' | b'*' | b'_' | b'~' | b'`' | b'+' | b'.' | b'|' | b':' | b' '))
        }
        Some(_) | None => false,
    }
}

fn event(entry: Entry, line: &str, defaults: &Defaults) -> Result<Event, &'static str> {
    if entry.time.is_some_and(|time| time > defaults.now.plus(MAX_AHEAD)) {
        return Err("time is more than 24 hours ahead");
    }
    // The sign of bytes that were no UTF-8, as it stands or percent-encoded in a path.
    if line.contains('\u{fffd}') && (entry.value.contains('\u{fffd}') || entry.value.contains("%EF%BF%BD")) {
        return Err("value is not valid UTF-8");
    }
    let category = defaults.category.unwrap_or(Category::Other);
    let observable = |kind: ObservableType, value: Text| Observable {
        kind,
        role: defaults.role.unwrap_or(Role::default_for(category, kind)),
        detect: kind.detect_by_default(),
        reserved: is_reserved(kind, &value),
        value,
    };
    let original = says_more(line, &entry.value).then(|| Text::new(clip(line)));
    let mut event = Event::new(entry.time.unwrap_or(defaults.now), category, observable(entry.kind, entry.value));
    event.observables.extend(entry.hashes.into_iter().map(|(kind, value)| observable(kind, value)));
    event.timeless = entry.time.is_none();
    event.origin = defaults.origin.unwrap_or(Origin::Relayed);
    event.tlp = defaults.tlp;
    event.pap = defaults.pap;
    event.named = defaults.named;
    event.port = entry.port;
    if original.is_some() {
        event.details_mut().original = original;
    }
    Ok(event)
}

/// Whether a line holds more than its value: not only another case, or the slash of an empty path.
fn says_more(line: &str, value: &str) -> bool {
    !(line.eq_ignore_ascii_case(value) || value.strip_suffix('/').is_some_and(|bare| line.eq_ignore_ascii_case(bare)))
}

fn clip(line: &str) -> &str {
    let mut end = line.len().min(MAX_ORIGINAL_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

/// The beginning of a line without control characters, for a refusal.
fn quote(line: &str) -> String {
    line.chars().take(MAX_QUOTE_CHARS).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests;
