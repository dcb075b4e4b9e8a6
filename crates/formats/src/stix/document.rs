//! Cuts a document into its STIX objects.
//!
//! Flow: bundle, TAXII envelope, array, single object or objects one per line → [`objects`] → raw slices in order, numbered from 1.
//! Invariant: no object's content is kept here but its type and id; a broken object is named and the rest goes on.
//! Not here: what an object says ([`super::reader`]).

use super::lenient::{self, Body, MAX_ENTRIES};
use crate::Parsed;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bundles in arrays in bundles: deeper than this nobody nests on purpose.
const MAX_NESTING: u32 = 4;

/// One object of a document.
#[derive(Debug)]
pub(super) struct Object<'a> {
    /// 1-based number in order of the document.
    pub line: u64,
    /// Its JSON text.
    pub raw: &'a str,
    /// STIX type; not empty.
    pub kind: Cow<'a, str>,
    /// STIX id; empty where it has none.
    pub id: Cow<'a, str>,
}

/// Cuts a document; what is no object is refused.
pub(super) fn objects<'a>(text: &'a str, parsed: &mut Parsed) -> Vec<Object<'a>> {
    let mut cutter = Cutter { objects: Vec::new(), next: 1, full: false, parsed };
    match lenient::body(text) {
        Body::Empty => {}
        Body::One(text) => cutter.value(text, 0),
        Body::Lines(text) => lenient::lines(text).for_each(|line| cutter.value(line, 0)),
        Body::Broken(text, error) => cutter.salvage(text, &error),
    }
    cutter.objects
}

/// What tells an object from a bundle.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", default, borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    objects: Option<&'a RawValue>,
}

struct Cutter<'a, 'p> {
    objects: Vec<Object<'a>>,
    next: u64,
    full: bool,
    parsed: &'p mut Parsed,
}

impl<'a> Cutter<'a, '_> {
    fn value(&mut self, raw: &'a str, depth: u32) {
        if raw.starts_with('[') {
            if depth >= MAX_NESTING {
                return self.refuse(format!("arrays and bundles are nested deeper than {MAX_NESTING} levels"));
            }
            let read = lenient::each_element(raw, &mut |element| self.value(element, depth + 1));
            if let Err(reason) = read {
                self.refuse(reason);
            }
            return;
        }
        if !raw.starts_with('{') {
            return self.refuse("entry is no object");
        }
        let head = match serde_json::from_str::<Head<'a>>(raw) {
            Ok(head) => head,
            Err(error) => return self.refuse(lenient::unreadable(&error)),
        };
        let list = head.objects.map(RawValue::get).filter(|list| list.starts_with('['));
        let (is_bundle, has_type) = (head.kind == "bundle", !head.kind.is_empty());
        if let Some(list) = list
            && (is_bundle || !has_type)
        {
            self.value(list, depth + 1);
        } else if !has_type {
            self.refuse(without_type(raw));
        } else if !is_bundle {
            self.push(raw, head.kind, head.id);
        }
    }

    fn push(&mut self, raw: &'a str, kind: Cow<'a, str>, id: Cow<'a, str>) {
        if let Some(line) = self.number() {
            self.objects.push(Object { line, raw, kind, id });
        }
    }

    fn refuse(&mut self, reason: impl Into<String>) {
        if let Some(line) = self.number() {
            self.parsed.refuse(line, reason);
        }
    }

    /// The next entry's number; `None` past the limit, which is said once.
    fn number(&mut self) -> Option<u64> {
        if self.next > MAX_ENTRIES {
            if !self.full {
                self.full = true;
                self.parsed.refuse(self.next, format!("document holds more than {MAX_ENTRIES} objects; the rest is not read"));
            }
            return None;
        }
        let line = self.next;
        self.next += 1;
        Some(line)
    }

    /// Takes the whole objects out of a document that is no JSON as a whole: cut off, with commas too many or missing.
    fn salvage(&mut self, text: &'a str, error: &serde_json::Error) {
        let before = self.next;
        let mut from = list_start(text);
        loop {
            match next_object(text, from) {
                Piece::Whole(raw, end) => {
                    self.value(raw, 1);
                    from = end;
                }
                Piece::BreaksOff => return self.refuse(format!("document breaks off inside this object: {}", lenient::unreadable(error))),
                Piece::End => break,
            }
        }
        if self.next == before {
            self.refuse(format!("document is no JSON: {}", lenient::unreadable(error)));
        }
    }
}

fn without_type(raw: &str) -> &'static str {
    const KEYS_OF_STIX_1: [&str; 4] = ["\"stix_header\"", "\"indicators\"", "\"observables\"", "\"package_intents\""];
    let beginning = lenient::clip(raw, 4096);
    let is_stix_1 = (beginning.contains("\"1.") && beginning.contains("\"version\"")) || KEYS_OF_STIX_1.iter().any(|key| beginning.contains(key));
    if is_stix_1 { "STIX 1.x is not read; send STIX 2.0 or 2.1" } else { "object has no type" }
}

/// Where the first list of objects begins: behind the bracket of `"objects": [`, else the start.
fn list_start(text: &str) -> usize {
    const KEY: &str = "\"objects\"";
    for (at, _) in text.match_indices(KEY) {
        let after = text.get(at + KEY.len()..).unwrap_or_default().trim_start();
        if let Some(value) = after.strip_prefix(':').map(str::trim_start)
            && value.starts_with('[')
        {
            return text.len() - value.len() + 1;
        }
    }
    0
}

enum Piece<'a> {
    /// An object and where the text goes on after it.
    Whole(&'a str, usize),
    /// An object begins and never ends.
    BreaksOff,
    /// No further object.
    End,
}

/// The next `{…}` from an offset on, counting brackets outside strings.
fn next_object(text: &str, from: usize) -> Piece<'_> {
    let Some(rest) = text.get(from..) else { return Piece::End };
    let Some(open) = memchr::memchr(b'{', rest.as_bytes()) else { return Piece::End };
    let (mut depth, mut quoted, mut escaped) = (0_u64, false, false);
    for (at, &byte) in rest.as_bytes().iter().enumerate().skip(open) {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return rest.get(open..=at).map_or(Piece::End, |raw| Piece::Whole(raw, from + at + 1));
                }
            }
            _ => {}
        }
    }
    Piece::BreaksOff
}
