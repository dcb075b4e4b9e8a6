//! JSON as senders of documents write it: byte order marks, broken UTF-8, one document or one per line, commas too many, numbers as text.
//!
//! Flow: [`text`] → [`body`] → raw slices → [`fields`] of one entry at a time, read with the `*_of` helpers.
//! Invariant: borrows from the document; only one entry is ever held as a tree. No recursion of its own; the parser's depth limit holds.
//! Not here: what the fields mean ([`super`], [`crate::misp`]).

use model::{Text, Timestamp};
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The fields of one JSON object.
pub(crate) type Fields = Map<String, Value>;

/// Entries (objects, attributes) read of one document: the contract's limit of events in a request.
pub(crate) const MAX_ENTRIES: u64 = 1_000_000;
/// Longest original text kept beside an event, in bytes.
pub(crate) const MAX_ORIGINAL: usize = 64 * 1024;
/// Longest sender's id, in bytes; a longer one is dropped and the event counts as one without an id.
const MAX_ID: usize = 255;
/// Longest name of malware kept, in bytes.
const MAX_NAME: usize = 255;
/// Most characters of input quoted in a reason.
pub(crate) const MAX_QUOTE: usize = 80;

/// The text of a document: without byte order mark, broken UTF-8 replaced.
pub(crate) fn text(document: &[u8]) -> Cow<'_, str> {
    let bytes = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    String::from_utf8_lossy(bytes)
}

/// How a document is laid out.
pub(crate) enum Body<'a> {
    /// Nothing but white space.
    Empty,
    /// One JSON value.
    One(&'a str),
    /// One JSON value per line, for [`lines`]; single lines may be broken.
    Lines(&'a str),
    /// Neither; what the parser says of it.
    Broken(&'a str, serde_json::Error),
}

/// Tells how a document is laid out, without building a tree.
pub(crate) fn body(text: &str) -> Body<'_> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0'));
    if text.is_empty() {
        return Body::Empty;
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Body::One(text),
        Err(error) => {
            let first_is_whole = lines(text).next().is_some_and(|line| line.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(line).is_ok());
            if first_is_whole && lines(text).nth(1).is_some() { Body::Lines(text) } else { Body::Broken(text, error) }
        }
    }
}

/// The lines of a document that hold something, trimmed.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Gives the elements of a JSON array one by one, unparsed.
///
/// # Errors
/// What the parser says of an array that is broken from some element on.
pub(crate) fn each_element<'a>(raw: &'a str, take: &mut dyn FnMut(&'a str)) -> Result<(), String> {
    struct Elements<'f, 'a>(&'f mut dyn FnMut(&'a str));

    impl<'de: 'a, 'a> Visitor<'de> for Elements<'_, 'a> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            while let Some(element) = elements.next_element::<&'de RawValue>()? {
                (self.0)(element.get());
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(raw);
    serde::Deserializer::deserialize_seq(&mut deserializer, Elements(take)).map_err(|error| unreadable(&error))
}

/// The fields of a JSON object.
pub(crate) fn fields(raw: &str) -> Result<Fields, String> {
    serde_json::from_str::<Fields>(raw).map_err(|error| unreadable(&error))
}

/// The parser's complaint as a reason.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    format!("not readable as JSON: {}", clip(&error.to_string(), MAX_QUOTE))
}

/// At most `limit` characters of a text, with a sign that something was cut.
pub(crate) fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The id of an event: the entry's id and its version, so that the same version again is the same event and a new one is new.
pub(crate) fn sender_id(id: &str, version: &str) -> Option<Text> {
    (id.len() + 1 + version.len() <= MAX_ID).then(|| Text::from(format!("{id}|{version}")))
}

/// The name of malware, as given, cut where it is longer than a name; `None` where it is empty.
pub(crate) fn name(text: &str) -> Option<Text> {
    let text = text.trim();
    let mut end = text.len().min(MAX_NAME);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).filter(|name| !name.is_empty()).map(Text::from)
}

/// The original text of an entry, where it is short enough to be kept.
pub(crate) fn original(raw: &str) -> Option<Text> {
    (raw.len() <= MAX_ORIGINAL).then(|| Text::from(raw))
}

/// A field's text, trimmed; numbers count as text; `None` where it is absent, empty or of another shape.
pub(crate) fn text_of<'a>(fields: &'a Fields, key: &str) -> Option<Cow<'a, str>> {
    let text = match fields.get(key)? {
        Value::String(text) => Cow::Borrowed(text.trim()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A list of texts; one bare text counts as a list of one; what is no text is passed over.
pub(crate) fn texts_of<'a>(fields: &'a Fields, key: &str) -> Vec<&'a str> {
    match fields.get(key) {
        Some(Value::String(text)) => vec![text.trim()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::trim).collect(),
        _ => Vec::new(),
    }
}

/// A list of objects; one bare object counts as a list of one.
pub(crate) fn objects_of<'a>(fields: &'a Fields, key: &str) -> Vec<&'a Fields> {
    match fields.get(key) {
        Some(Value::Object(object)) => vec![object],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    }
}

/// A whole number from 0, given as number or text.
pub(crate) fn number_of(fields: &Fields, key: &str) -> Option<u64> {
    /// Whole numbers below are exact as floating point.
    const EXACT: f64 = 9e15;
    match fields.get(key)? {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().filter(|value| (0.0..EXACT).contains(value)).map(|value| value as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A truth value, given as such, as number or as text.
pub(crate) fn flag_of(fields: &Fields, key: &str) -> Option<bool> {
    match fields.get(key)? {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_u64().map(|value| value != 0),
        Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
        _ => None,
    }
}

/// A moment; `None` where it is absent.
pub(crate) fn time_of(fields: &Fields, key: &str) -> Option<Result<Timestamp, model::time::TimeError>> {
    text_of(fields, key).map(|text| Timestamp::parse(&text))
}

/// The text without commas that stand before a closing bracket, outside strings.
pub(crate) fn without_trailing_commas(text: &str) -> String {
    let bytes = text.as_bytes();
    let closes =
        |from: usize| bytes.get(from..).unwrap_or_default().iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b']' | b'}'));
    let mut out = String::with_capacity(text.len());
    let (mut kept, mut quoted, mut escaped) = (0, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == b'"' {
            quoted = true;
        } else if byte == b',' && closes(at + 1) {
            out.push_str(text.get(kept..at).unwrap_or_default());
            kept = at + 1;
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_removed_outside_strings_only() {
        for (given, expected) in
            [(r#"{"a":[1,2,],}"#, r#"{"a":[1,2]}"#), (r#"{"a":",]" , }"#, r#"{"a":",]"  }"#), (r#"{"a":"\",}"}"#, r#"{"a":"\",}"}"#), ("[1 ,\n ]", "[1 \n ]")]
        {
            assert_eq!(without_trailing_commas(given), expected);
        }
    }

    #[test]
    fn a_document_is_one_value_lines_or_broken() {
        assert!(matches!(body("\u{feff} \r\n"), Body::Empty));
        assert!(matches!(body("{\"a\":\n1}"), Body::One(_)));
        assert!(matches!(body("{}\n\n{\"b\n{}"), Body::Lines(text) if lines(text).count() == 3));
        assert!(matches!(body("{\"a\":1,}"), Body::Broken(..)));
    }

    #[test]
    fn elements_are_given_unparsed_and_a_broken_list_is_named() {
        let mut seen = Vec::new();
        assert_eq!(each_element(r#"[{"a":[1]}, 2]"#, &mut |element| seen.push(element)), Ok(()));
        assert_eq!(seen, [r#"{"a":[1]}"#, "2"]);
        assert!(each_element("[1, x]", &mut |_| {}).is_err());
    }

    #[test]
    fn broken_utf8_and_a_byte_order_mark_do_not_spoil_a_document() {
        assert_eq!(text(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(text(b"\"\xff\""), "\"\u{fffd}\"");
    }

    #[test]
    fn numbers_and_flags_may_be_text() {
        let fields = fields(r#"{"a":"7","b":7.0,"c":-1,"d":"1","e":true,"f":0}"#).unwrap();
        assert_eq!((number_of(&fields, "a"), number_of(&fields, "b"), number_of(&fields, "c")), (Some(7), Some(7), None));
        assert_eq!((flag_of(&fields, "d"), flag_of(&fields, "e"), flag_of(&fields, "f")), (Some(true), Some(true), Some(false)));
    }
}
