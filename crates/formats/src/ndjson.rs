//! Newline-delimited JSON: one event per line. The bulk path.
//!
//! Flow: [`parse`] cuts lines → `fields` reads one object into a `Draft` that borrows from the line → `Draft::build` checks it.
//! Invariant: a field that is not ours is kept as it stands; of a repeated field the last counts.
//! Not here: which field goes where (`fields`), what it may hold (`draft`), cutting a body into chunks (`split`), writing (`json`).

pub(crate) mod draft;
mod fields;
mod raw;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;

use crate::{Defaults, Notes, Parsed};
use draft::{Draft, DraftObservable, Member, Rules};
use fields::{IntoDraft, IntoObservables};
use model::{Category, Event, Origin};
use raw::{IntoMembers, Readable};
use scalar::quoted;
use serde::de::DeserializeSeed;
use smallvec::SmallVec;
use std::borrow::Cow;

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
    // Growing step by step would copy every event several times over.
    let lines = memchr::memchr_iter(b'\n', chunk).count() + 1;
    parsed.events.reserve(lines);
    parsed.lines.reserve(lines);
    let mut line = first_line;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', chunk).chain(std::iter::once(chunk.len())) {
        let text = chunk.get(start..end).unwrap_or_default().trim_ascii();
        start = end + 1;
        if !text.is_empty() {
            match parse_event_noting(text, line, defaults, &mut parsed.notes) {
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
    parse_event_noting(json, 1, defaults, &mut Notes::default())
}

/// As [`parse_event`], noting what looks like a mistake in an object on this line.
///
/// # Errors
/// As [`parse_event`].
pub fn parse_event_noting(json: &[u8], line: u64, defaults: &Defaults, notes: &mut Notes) -> Result<Event, String> {
    let rules = Rules { category: defaults.category, origin: defaults.origin.unwrap_or(Origin::Sensor), timeless: false, lenient: false };
    parse_by(json, line, defaults, &rules, notes)
}

/// Parses one JSON object of a feed, which may lack what a member must say: without a time it is an entry of a list, seen now.
///
/// # Errors
/// The reason, naming the field.
pub fn parse_entry(json: &[u8], defaults: &Defaults) -> Result<Event, String> {
    let rules =
        Rules { category: defaults.category.or(Some(Category::Other)), origin: defaults.origin.unwrap_or(Origin::Relayed), timeless: true, lenient: true };
    parse_by(json, 1, defaults, &rules, &mut Notes::default())
}

fn parse_by(json: &[u8], line: u64, defaults: &Defaults, rules: &Rules, notes: &mut Notes) -> Result<Event, String> {
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
    // None of our fields, but those of another system that we read as a table.
    if draft.category.is_blank() && draft.time.is_blank() && draft.members.iter().any(|(name, _)| crate::csv::is_name(name)) {
        return crate::csv::from_object(text, defaults);
    }
    let misspelt = misspelt(&draft, notes);
    match draft.build(defaults, rules) {
        Ok(event) => {
            draft.note_assumed(defaults, rules, &mut notes.assumed);
            for (name, field) in misspelt {
                notes.warn(line, || format!("{} is unknown and kept under extra; is {field} meant?", quoted(&name)));
            }
            Ok(event)
        }
        Err(reason) => {
            let meant = misspelt.iter().find(|(_, field)| reason.starts_with(*field) && reason.ends_with(" missing"));
            Err(match meant {
                Some((name, _)) => format!("{reason}; {} is unknown", quoted(name)),
                None => reason,
            })
        }
    }
}

/// Unknown names that look like a field which is not given, each with the field.
fn misspelt<'a>(draft: &Draft<'a>, notes: &mut Notes) -> SmallVec<[(Cow<'a, str>, &'static str); 1]> {
    let near = |(name, _): &Member<'a>| {
        let field = notes.field_near(name).filter(|field| !draft.has(field))?;
        Some((name.clone(), field))
    };
    draft.members.iter().filter_map(near).collect()
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
