//! Lines of cells without a header.
//!
//! Invariant: which cell is the value is a rule, not a guess about one source: a cell beside the name of a type; else the first cell that
//! is a value of a telling type; else the first file name or AS number. A date is the entry's time. A URL in the last of three or more
//! cells is a reference, unless the others are dates, numbers and names of types.
//! Not here: CSV with a header that we know ([`crate::csv`]).

use super::{Entry, Line};
use model::canonical::{canonical, tidy};
use model::detect::{detect, detect_with_port};
use model::{ObservableType, Text, Timestamp};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Cells past this number are not looked at.
const MAX_CELLS: usize = 64;
/// Hashes of one file in one cell.
const MAX_HASHES: usize = 8;
/// Names of columns, as headings have them.
const HEADINGS: &[&str] = &[
    "asn",
    "comment",
    "comments",
    "country",
    "date",
    "date added",
    "description",
    "domain",
    "domains",
    "email",
    "entity_type",
    "filename",
    "first seen",
    "first_seen",
    "hash",
    "hashes",
    "host",
    "indicator",
    "indicator type",
    "indicators",
    "ioc",
    "ioc type",
    "ip",
    "ip address",
    "ipv4",
    "ipv6",
    "last seen",
    "last_seen",
    "malware",
    "md5",
    "name",
    "note",
    "notes",
    "port",
    "reference",
    "sha1",
    "sha256",
    "source",
    "status",
    "tag",
    "tags",
    "time",
    "timestamp",
    "type",
    "updated",
    "url",
    "urls",
    "user",
    "value",
];

type Cells<'a> = SmallVec<[Cow<'a, str>; 8]>;

/// What the name of a type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A value of this type.
    Kind(ObservableType),
    /// An address or range of either version.
    Address,
    /// One or more hashes of one file.
    Hash,
}

/// Reads a line as a row; `None` where it has fewer than two cells.
pub(super) fn row(line: &str, delimiter: u8) -> Option<Line> {
    let cells = split(line, char::from(delimiter));
    if cells.len() < 2 {
        return None;
    }
    if cells.iter().all(|cell| cell.is_empty()) {
        return Some(Line::Nothing);
    }
    let time = cells.iter().find_map(|cell| date(cell));
    if let Some(mut entry) = beside_a_type(&cells).or_else(|| first_value(&cells)) {
        if let Some(mut entries) = all_values(&cells) {
            for entry in &mut entries {
                entry.time = time;
            }
            return Some(Line::Entries(entries));
        }
        entry.time = time;
        return Some(Line::one(entry));
    }
    Some(if is_heading(&cells) { Line::Nothing } else { Line::refused("no cell holds a value of a known type") })
}

/// Whether a line is made of cells: for a line that is a value as it stands, only if another cell is empty or tells something by itself.
pub(super) fn is_row(line: &str, delimiter: u8) -> bool {
    let cells = split(line, char::from(delimiter));
    if cells.len() < 2 {
        return false;
    }
    let tells = |cell: &str| date(cell).is_some() || type_word(cell).is_some() || detect(cell).is_some();
    if detect(line).is_some() {
        return cells.iter().skip(1).any(|cell| cell.is_empty() || tells(cell));
    }
    is_heading(&cells) || cells.iter().any(|cell| !cell.is_empty() && tells(cell))
}

/// Cells, trimmed; quotes around a cell are taken away and hold delimiters.
fn split(line: &str, delimiter: char) -> Cells<'_> {
    let mut cells = Cells::new();
    let mut rest = line;
    while cells.len() < MAX_CELLS {
        if let Some((cell, after)) = rest.trim_start_matches(' ').strip_prefix('"').and_then(|quoted| quoted_cell(quoted, delimiter)) {
            cells.push(cell);
            let Some(after) = after else { break };
            rest = after;
            continue;
        }
        let Some((cell, after)) = rest.split_once(delimiter) else {
            cells.push(Cow::Borrowed(tidy(rest)));
            break;
        };
        cells.push(Cow::Borrowed(tidy(cell)));
        rest = after;
    }
    cells
}

/// The cell up to its closing quote, and the rest of the line; `None` where the quotes do not close before a delimiter.
fn quoted_cell(text: &str, delimiter: char) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let after = text.get(quote + 1..)?;
        if after.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let cell = tidy(text.get(..quote)?);
        let cell = if cell.contains("\"\"") { Cow::Owned(cell.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) };
        let after = after.trim_start_matches(' ');
        if after.is_empty() {
            return Some((cell, None));
        }
        return after.strip_prefix(delimiter).map(|rest| (cell, Some(rest)));
    }
}

/// A date that begins with a year of four digits; anything shorter is a number.
fn date(cell: &str) -> Option<Timestamp> {
    match cell.as_bytes() {
        [a, b, c, d, b'-', _, _, b'-', _, _, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => Timestamp::parse(cell).ok(),
        _ => None,
    }
}

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'))
}

/// What a cell asks for if it names a type.
pub(super) fn type_word(cell: &str) -> Option<Wanted> {
    if cell.len() > 24 || !cell.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let is = |words: &[&str]| words.iter().any(|word| cell.eq_ignore_ascii_case(word));
    if is(&["ip", "ips", "ip address", "ip-address", "ipaddress", "ip-src", "ip-dst", "ip:port", "ip-port", "address"]) {
        Some(Wanted::Address)
    } else if is(&["hash", "hashes", "file", "file hash", "filehash", "file-hash"]) {
        Some(Wanted::Hash)
    } else if is(&["domains", "host"]) {
        Some(Wanted::Kind(ObservableType::Domain))
    } else if is(&["urls", "uri"]) {
        Some(Wanted::Kind(ObservableType::Url))
    } else if is(&["email-sender", "email-src", "email-dst", "e-mail", "email address"]) {
        Some(Wanted::Kind(ObservableType::Email))
    } else {
        ObservableType::parse(cell).map(Wanted::Kind)
    }
}

/// The value that a cell holds if it is of the type that is asked for.
pub(super) fn value_of(wanted: Wanted, cell: &str) -> Option<Entry> {
    match wanted {
        Wanted::Hash => hashes(cell),
        Wanted::Address => detect_with_port(cell).filter(|(kind, _, _)| kind.is_address()).map(Entry::new),
        Wanted::Kind(kind) if kind.is_address() => detect_with_port(cell).filter(|(kind, _, _)| kind.is_address()).map(Entry::new),
        Wanted::Kind(kind @ (ObservableType::Domain | ObservableType::Url | ObservableType::Email)) => {
            if cell.contains(char::is_whitespace) || !cell.contains(['.', ':']) || date(cell).is_some() {
                return None;
            }
            // Lists of domains hold addresses and URLs too.
            canonical(kind, cell).ok().map(|value| Entry::new((kind, value, None))).or_else(|| detect_with_port(cell).map(Entry::new))
        }
        Wanted::Kind(kind) => canonical(kind, cell).ok().map(|value| Entry::new((kind, value, None))),
    }
}

/// One or more hashes of one file, with anything between them that is in no hash.
fn hashes(cell: &str) -> Option<Entry> {
    let mut found: Option<Entry> = None;
    let parts = cell.split([',', ';', '|', '/', ' ']).filter(|part| !part.is_empty());
    for part in parts.take(MAX_HASHES) {
        let (kind, value) = detect(part).filter(|(kind, _)| is_hash(*kind))?;
        match &mut found {
            None => found = Some(Entry::new((kind, value, None))),
            Some(entry) => add_hash(entry, kind, value),
        }
    }
    found
}

/// Adds a hash of a kind that the entry does not have yet: two of one kind are two files.
fn add_hash(entry: &mut Entry, kind: ObservableType, value: Text) {
    if entry.kind != kind && entry.hashes.iter().all(|(known, _)| *known != kind) {
        entry.hashes.push((kind, value));
    }
}

const fn is_hash(kind: ObservableType) -> bool {
    matches!(kind, ObservableType::Md5 | ObservableType::Sha1 | ObservableType::Sha256 | ObservableType::Sha512)
}

/// Types that tell little: their texts are in prose as well.
pub(super) const fn is_weak(kind: ObservableType) -> bool {
    matches!(kind, ObservableType::Filename | ObservableType::Asn)
}

/// The cell after, or before, a cell that names a type. `value,type,…` has the type second; elsewhere it comes first.
fn beside_a_type(cells: &Cells<'_>) -> Option<Entry> {
    cells.iter().enumerate().find_map(|(index, cell)| {
        let wanted = type_word(cell)?;
        let beside = |at: Option<usize>| at.and_then(|at| cells.get(at)).and_then(|cell| value_of(wanted, cell));
        let (after, before) = (Some(index + 1), index.checked_sub(1));
        if index == 1 { beside(before).or_else(|| beside(after)) } else { beside(after).or_else(|| beside(before)) }
    })
}

fn first_value(cells: &Cells<'_>) -> Option<Entry> {
    let mut weak = None;
    for (index, cell) in cells.iter().enumerate() {
        if cell.is_empty() || date(cell).is_some() {
            continue;
        }
        if let Some(mut entry) = hashes(cell) {
            for other in cells.iter().skip(index + 1) {
                if let Some((kind, value)) = detect(other).filter(|(kind, _)| is_hash(*kind)) {
                    add_hash(&mut entry, kind, value);
                }
            }
            return Some(entry);
        }
        let Some(found) = detect_with_port(cell) else { continue };
        if found.0 == ObservableType::Url && is_reference(cells, index) {
            continue;
        }
        if is_weak(found.0) {
            weak = weak.or(Some(Entry::new(found)));
        } else {
            return Some(Entry::new(found));
        }
    }
    weak
}

/// Whether the URL in a cell is where the row was told of.
fn is_reference(cells: &Cells<'_>, index: usize) -> bool {
    let is_last = cells.iter().skip(index + 1).all(|cell| cell.is_empty());
    let is_dry = |cell: &str| cell.is_empty() || is_number(cell) || date(cell).is_some() || type_word(cell).is_some();
    index >= 2 && is_last && !cells.iter().take(index).all(|cell| is_dry(cell))
}

/// Every cell, where all of them are values of one telling type: many values on one line.
fn all_values(cells: &Cells<'_>) -> Option<SmallVec<[Entry; 1]>> {
    many(cells.iter().map(|cell| &**cell).filter(|cell| !cell.is_empty()))
}

/// The values of texts that are all of one telling type, two or more; URLs are not, for one of two may be a reference.
pub(super) fn many<'a>(texts: impl Iterator<Item = &'a str>) -> Option<SmallVec<[Entry; 1]>> {
    let mut entries: SmallVec<[Entry; 1]> = SmallVec::new();
    for text in texts.take(MAX_CELLS) {
        let entry = Entry::new(detect_with_port(text)?);
        let same = entries.first().is_none_or(|first| first.kind == entry.kind);
        if !same || is_weak(entry.kind) || entry.kind == ObservableType::Url {
            return None;
        }
        entries.push(entry);
    }
    (entries.len() >= 2).then_some(entries)
}

/// Whether cells are names of columns: words only, the first or two of them usual ones.
fn is_heading(cells: &Cells<'_>) -> bool {
    let is_usual = |cell: &str| HEADINGS.iter().any(|heading| cell.eq_ignore_ascii_case(heading));
    let are_words = cells.iter().all(|cell| {
        !cell.is_empty() && cell.len() <= 40 && cell.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-' | b'/' | b'(' | b')'))
    });
    let usual = cells.iter().filter(|cell| is_usual(cell)).count();
    are_words && (usual >= 2 || (cells.len() == 2 && cells.first().is_some_and(|first| is_usual(first))))
}
