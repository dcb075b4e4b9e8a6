//! Which format a body has, from its beginning.
//!
//! Invariant: a guess reads names at the outer level only, so that no field of ours that happens to hold another format's word decides.

use crate::ndjson::BYTE_ORDER_MARK;
use crate::{Format, csv};

/// Names that only MISP's objects have, at the outer level.
const MISP_NAMES: [&[u8]; 9] =
    [b"Attribute", b"Event", b"Object", b"Orgc", b"attribute_count", b"publish_timestamp", b"response", b"threat_level_id", b"Galaxy"];
/// Names that only STIX objects, bundles and TAXII envelopes have, at the outer level.
const STIX_NAMES: [&[u8]; 3] = [b"spec_version", b"objects", b"stix_header"];

/// Guesses the format from the first bytes (decompressed) and the file's name without compression endings.
///
/// Anything that is no JSON of ours, STIX or MISP and no CSV with a header we know is a list.
pub fn detect_format(beginning: &[u8], file_name: Option<&str>) -> Format {
    let body = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning).trim_ascii_start();
    let ending = file_name.and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
    if looks_like_json(body) {
        return json_format(body, ending.as_deref());
    }
    match ending.as_deref() {
        Some("stix" | "stix2") => Format::Stix,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        Some(_) | None if csv::is_table(beginning) => Format::Csv,
        Some(_) | None => Format::List,
    }
}

/// Lists too may begin with a bracket: `[Adblock Plus]`, `[2001:db8::1]:80`.
fn looks_like_json(body: &[u8]) -> bool {
    let Some((first, rest)) = body.split_first() else { return false };
    let next = rest.trim_ascii_start().first();
    match first {
        b'{' => matches!(next, None | Some(b'"' | b'}')),
        b'[' => matches!(next, None | Some(b'{' | b'[' | b'"' | b']')),
        _ => false,
    }
}

fn json_format(body: &[u8], ending: Option<&str>) -> Format {
    let names = OuterNames::read(body);
    if names.is_stix || matches!(ending, Some("stix" | "stix2")) {
        Format::Stix
    } else if names.is_misp {
        Format::Misp
    } else if body.first() == Some(&b'[') || names.is_spread_object() {
        Format::JsonArray
    } else {
        Format::Ndjson
    }
}

/// What the names at the level of the outermost objects tell.
#[derive(Debug, Default)]
struct OuterNames {
    is_stix: bool,
    is_misp: bool,
    /// The first object goes over a line's end.
    is_spread: bool,
    /// What comes after that line's end cannot go on with the object: the line was cut short.
    is_broken: bool,
}

impl OuterNames {
    /// Reads tokens, not grammar: the beginning may be cut anywhere.
    fn read(body: &[u8]) -> Self {
        let mut names = Self::default();
        let mut objects_deep = 0_usize;
        let mut arrays_deep = 0_usize;
        let mut saw_object_end = false;
        // The last byte that is no space.
        let mut before = b' ';
        // The last string at the outer level, the name it is the value of, and the object's `type`.
        let mut last: &[u8] = b"";
        let mut name: &[u8] = b"";
        let mut type_word: &[u8] = b"";
        let mut id: &[u8] = b"";
        let mut at = 0;
        while let Some(&byte) = body.get(at) {
            at += 1;
            // Names of an object in an array of an outer object are not outer; a top-level array is.
            let is_outer = objects_deep == 1 && arrays_deep <= usize::from(body.first() == Some(&b'['));
            match byte {
                b'"' => {
                    let text = string_at(body, at);
                    at += text.len() + 1;
                    names.is_broken |= !saw_object_end && text.contains(&b'\n');
                    if is_outer {
                        if name == b"type" {
                            type_word = text;
                        } else if name == b"id" {
                            id = text;
                        }
                        names.is_stix |= type_word == b"bundle" || is_stix_id(id, type_word);
                        name = b"";
                        last = text;
                    }
                }
                b':' if is_outer => {
                    name = last;
                    names.note(name);
                }
                b'{' => {
                    // In an object only a name's value begins so.
                    names.is_broken |= !saw_object_end && objects_deep > 0 && arrays_deep == 0 && before != b':';
                    objects_deep += 1;
                    if objects_deep == 1 {
                        type_word = b"";
                        id = b"";
                    }
                    name = b"";
                }
                b'}' => {
                    objects_deep = objects_deep.saturating_sub(1);
                    saw_object_end |= objects_deep == 0;
                }
                b'[' => arrays_deep += 1,
                b']' => arrays_deep = arrays_deep.saturating_sub(1),
                b',' if is_outer => name = b"",
                b'\n' => names.is_spread |= objects_deep > 0 && !saw_object_end,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
        }
        names
    }

    fn note(&mut self, name: &[u8]) {
        self.is_stix |= STIX_NAMES.contains(&name);
        self.is_misp |= MISP_NAMES.contains(&name);
    }

    /// One object written over several lines: cut by lines, every one of them would be refused.
    const fn is_spread_object(&self) -> bool {
        self.is_spread && !self.is_broken
    }
}

/// The text of a string whose first character is at `from`, escapes and all, up to its closing quote.
fn string_at(body: &[u8], from: usize) -> &[u8] {
    let mut end = from;
    while let Some(&byte) = body.get(end) {
        match byte {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    body.get(from..end.min(body.len())).unwrap_or_default()
}

/// `indicator--8e2e2d2b-…` of an object of type `indicator`.
fn is_stix_id(id: &[u8], type_word: &[u8]) -> bool {
    !type_word.is_empty() && id.strip_prefix(type_word).is_some_and(|rest| rest.starts_with(b"--"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formats_are_told_from_their_beginning() {
        for (body, expected) in [
            ("{\"time\":1,\"value\":\"8.8.8.8\"}\n{\"time\":2", Format::Ndjson),
            ("\u{feff}\n {\"time\":1,\"type\":\"ipv4\",\"id\":\"ipv4-7\",\"extra\":{\"Event\":1,\"objects\":[]}}", Format::Ndjson),
            ("{\n  \"time\": 1,\n  \"value\": \"8.8.8.8\"\n}", Format::JsonArray),
            ("{\n  \"results\": [\n {\"type\":\"cname\"}", Format::JsonArray),
            ("{\n  \"category\": \"phishing\",\n  \"target\": {\n    \"asn\": 1\n  }\n}\n{\n  \"time\": 1\n}", Format::JsonArray),
            ("{\"time\":1,\"value\":\"8.8.8.8\"\n{\"time\":2,\"value\":\"9.9.9.9\"}\n", Format::Ndjson),
            ("{\"time\":1,\n{\"time\":2,\"value\":\"9.9.9.9\"}\n", Format::Ndjson),
            ("{\"time\":1,\"val\n{\"time\":2,\"value\":\"9.9.9.9\"}\n", Format::Ndjson),
            ("[{\"time\":1}]", Format::JsonArray),
            ("[", Format::JsonArray),
            ("{\"type\":\"bundle\",\"id\":\"bundle--1\"", Format::Stix),
            ("{\"id\": \"indicator--8e2e2d2b\", \"type\": \"indicator\"}\n", Format::Stix),
            ("[{\"type\":\"indicator\",\"id\":\"indicator--8e2e2d2b\"}]", Format::Stix),
            ("{\"more\":false,\"objects\":[", Format::Stix),
            ("{\"Event\":{\"info\":\"x\"", Format::Misp),
            ("{\"response\":[{\"Event\":{}}]}", Format::Misp),
            ("[{\"Event\":{}}]", Format::Misp),
            ("{\"info\":\"x\",\"threat_level_id\":\"1\"}", Format::Misp),
            ("time,category,value\n", Format::Csv),
            ("# a list\n\"host\",\"path\",\"message\"\n", Format::Csv),
            ("time.source;source.ip;source.geolocation.cc\n", Format::Csv),
            ("Domain,Malware,Date added,Source\n", Format::Csv),
            ("2024-01-15 00:05:38,malpulse,ip,185.156.172.62,#Qakbot\n", Format::List),
            ("sha256\n7a756f507283bf2bac73fa6c68fd71d6e9e43c16b7f68e0f86fbd37a1ae23d2f\n", Format::List),
            ("evil.example.com\n", Format::List),
            ("Telegram Token,Chat ID,Comment\n", Format::List),
            ("#separator \\x09\n#fields\tindicator\tindicator_type\n#types\tstring\ttime\n8.8.8.8\tIntel::ADDR\n", Format::List),
            ("[Adblock Plus 2.0]\n||evil.example.com^\n", Format::List),
            ("[2001:db8::1]:80\n", Format::List),
            ("", Format::List),
        ] {
            assert_eq!(detect_format(body.as_bytes(), None), expected, "{body}");
        }
    }

    #[test]
    fn a_files_name_helps_where_its_beginning_does_not_tell() {
        assert_eq!(detect_format(b"", Some("a.ndjson")), Format::Ndjson);
        assert_eq!(detect_format(b"{}", Some("a.stix2")), Format::Stix);
        assert_eq!(detect_format(b"8.8.8.8\n", Some("a.csv")), Format::List);
        assert_eq!(detect_format(b"time,value\n", Some("a.txt")), Format::Csv);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = detect_format(&bytes, None);
        }

        #[test]
        fn no_json_like_text_makes_it_panic(text in "(\\{|\\}|\\[|\\]|\"|:|,|type|id|\\\\| |\n){0,60}") {
            let _ = detect_format(text.as_bytes(), Some("x.json"));
        }
    }
}
