//! Facts of cutting: entries, numbers and refusals are the same however a body comes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::{Defaults, Header, Parsed, parse_chunk, parse_document};
use model::{Category, Pap, Timestamp, Tlp};
use proptest::prelude::*;

fn defaults() -> Defaults {
    Defaults {
        now: Timestamp::parse("2026-11-21T19:26:00Z").unwrap(),
        tlp: Tlp::Amber,
        pap: Pap::Green,
        named: false,
        category: Some(Category::Scanner),
        origin: None,
        role: None,
    }
}

/// The chunks of a body pushed in pieces of a size.
fn chunks(format: Format, limits: Limits, body: &[u8], piece: usize) -> Vec<Chunk> {
    let mut splitter = Splitter::new(format, limits);
    let mut chunks = Vec::new();
    for bytes in body.chunks(piece.max(1)) {
        splitter.push(bytes).unwrap();
        while let Some(chunk) = splitter.next_chunk() {
            chunks.push(chunk);
        }
    }
    chunks.extend(splitter.finish().unwrap());
    while let Some(chunk) = splitter.next_chunk() {
        chunks.push(chunk);
    }
    chunks
}

/// What the chunks of a body give together.
fn parsed(format: Format, limits: Limits, body: &[u8], piece: usize) -> Parsed {
    let mut all = Parsed::default();
    let header = Header::read(format, body);
    for chunk in chunks(format, limits, body, piece) {
        let part = parse_chunk(format, &header, &chunk.bytes, chunk.first_line, &defaults());
        all.events.extend(part.events);
        all.lines.extend(part.lines);
        all.refusals.extend(part.refusals);
        all.refusals.extend(chunk.refusals);
    }
    all.refusals.sort_by_key(|refusal| refusal.line);
    all
}

fn small(target_bytes: usize) -> Limits {
    Limits { target_bytes, ..Limits::default() }
}

#[test]
fn lines_are_kept_whole_and_numbered() {
    let body = b"aaa\nbbb\n\nccc\nd";
    for piece in 1..body.len() {
        let chunks = chunks(Format::Ndjson, small(5), body, piece);
        let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        assert_eq!(joined, body);
        let mut line = 1;
        for chunk in &chunks {
            assert_eq!(chunk.first_line, line);
            line += memchr::memchr_iter(b'\n', &chunk.bytes).count() as u64;
        }
    }
}

#[test]
fn lists_also_end_lines_with_a_carriage_return_alone() {
    for piece in 1..12 {
        let chunks = chunks(Format::List, small(1), b"a\rb\r\nc\nd\r", piece);
        let all: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        assert_eq!(all, b"a\rb\r\nc\nd\r");
        for chunk in &chunks {
            let before = match chunk.bytes.first() {
                Some(b'a') => 1,
                Some(b'b') => 2,
                Some(b'c') => 3,
                Some(b'd') => 4,
                other => panic!("a chunk begins with {other:?}"),
            };
            assert_eq!(chunk.first_line, before, "{piece}");
        }
    }
}

#[test]
fn an_entry_that_is_too_long_is_named_and_the_next_is_taken() {
    let limits = Limits { target_bytes: 8, entry_bytes: 16, ..Limits::default() };
    let long = "x".repeat(100);
    for piece in [1, 3, 7, 1000] {
        for (format, body) in
            [(Format::Ndjson, format!("a\n{long}\nb\n")), (Format::List, format!("a\r\n{long}\r\nb\r\n")), (Format::JsonArray, format!("[1,\"{long}\",2]"))]
        {
            let chunks = chunks(format, limits, body.as_bytes(), piece);
            let refused: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.refusals.iter().map(|refusal| refusal.line)).collect();
            assert_eq!(refused, [2], "{format:?} {piece}");
            let last = chunks.iter().rfind(|chunk| !chunk.bytes.is_empty()).unwrap();
            assert_eq!((last.first_line, last.bytes[0]), (3, if format == Format::JsonArray { b'2' } else { b'b' }), "{format:?} {piece}");
        }
    }
}

#[test]
fn a_quote_that_is_never_closed_costs_one_entry_of_the_limit() {
    let limits = Limits { target_bytes: 1 << 17, entry_bytes: 1 << 17, ..Limits::default() };
    let mut body = b"time,ip\n\"never closed\n".to_vec();
    for _ in 0..20_000 {
        body.extend_from_slice(b"1700000000,8.8.8.8\n");
    }
    let parsed = parsed(Format::Csv, limits, &body, 10_000);
    assert_eq!(parsed.refusals.len(), 1);
    assert_eq!(parsed.refusals[0].line, 2);
    assert!(parsed.events.len() > 10_000);
    assert_eq!(parsed.lines.last(), Some(&20_002));
}

#[test]
fn elements_of_an_array_become_lines() {
    let body = b"\xEF\xBB\xBF [ {\"a\":\n\"]},\\\"\"} ,\n[1,[2]], \"x\",17 , null\n]\n";
    for piece in 1..body.len() {
        let chunks = chunks(Format::JsonArray, small(1), body, piece);
        let lines: Vec<String> = chunks.iter().map(|chunk| String::from_utf8(chunk.bytes.clone()).unwrap()).collect();
        assert_eq!(lines, ["{\"a\": \"]},\\\"\"}\n", "[1,[2]]\n", "\"x\"\n", "17\n", "null\n"]);
        assert_eq!(chunks.iter().map(|chunk| chunk.first_line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert!(chunks.iter().all(|chunk| chunk.refusals.is_empty()));
    }
}

#[test]
fn an_object_alone_is_one_element_and_what_does_not_belong_is_named() {
    for (body, elements, refused) in [
        ("{\"a\":\n1}", 1, vec![]),
        ("{} {}\n{}", 3, vec![]),
        ("[]", 0, vec![]),
        ("", 0, vec![]),
        ("[1] x y", 1, vec![2]),
        ("[1", 1, vec![]),
        ("[1,", 1, vec![2]),
        ("[{\"a\":", 1, vec![]),
        ("[}", 1, vec![2]),
        ("hello", 0, vec![1]),
    ] {
        let chunks = chunks(Format::JsonArray, Limits::default(), body.as_bytes(), 1);
        let lines: usize = chunks.iter().map(|chunk| memchr::memchr_iter(b'\n', &chunk.bytes).count()).sum();
        assert_eq!(lines, elements, "{body}");
        let named: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.refusals.iter().map(|refusal| refusal.line)).collect();
        assert_eq!(named, refused, "{body}");
    }
}

#[test]
fn a_document_is_one_chunk_up_to_its_limit() {
    let limits = Limits { document_bytes: 10, ..small(3) };
    assert_eq!(chunks(Format::Stix, limits, b"0123456789", 4).len(), 1);
    let mut splitter = Splitter::new(Format::Misp, limits);
    assert_eq!(splitter.push(b"0123456789a"), Err(SplitError::DocumentTooLarge { limit: 10 }));
}

fn bodies(format: Format) -> impl Strategy<Value = Vec<u8>> {
    let entry = match format {
        Format::Csv => "(1700000000,8\\.8\\.8\\.8,\"a\nb\"|1700000001,9\\.9\\.9\\.9,\"\"\"\"|x,y,z|1700000002,1\\.1\\.1\\.1,in\"ch){0,1}",
        Format::List => "(8\\.8\\.8\\.8|# note|evil\\.example\\.com|not a value){0,1}",
        _ => "(\\{\"time\":1700000000,\"value\":\"8\\.8\\.8\\.8\"\\}|\\{\"time\":1\\}|\\{\"note\":\"\\[,\\{\"\\}|17)",
    };
    let end = match format {
        Format::JsonArray => "(,|, |,\n)",
        Format::Ndjson => "(\n|\r\n)",
        _ => "(\n|\r\n|\r)",
    };
    proptest::collection::vec((entry, end), 0..20).prop_map(move |entries| {
        let middle: String = entries.into_iter().map(|(entry, end)| entry + &end).collect();
        match format {
            Format::Csv => format!("time,ip,note\n{middle}").into_bytes(),
            Format::JsonArray => format!("[{middle}]").into_bytes(),
            _ => middle.into_bytes(),
        }
    })
}

fn same_however_cut(format: Format, body: &[u8], piece: usize, target: usize) -> Result<(), TestCaseError> {
    // Rows are cut only once 64 KiB have come, which small bodies never have; their cutting has its own tests in `scan`.
    let whole = parsed(format, Limits::default(), body, body.len());
    let cut = parsed(format, small(target), body, piece);
    prop_assert_eq!(&whole.events, &cut.events);
    prop_assert_eq!(&whole.lines, &cut.lines);
    prop_assert_eq!(&whole.refusals, &cut.refusals);
    if format != Format::JsonArray {
        let document = parse_document(format, body, &defaults());
        prop_assert_eq!(&document.events, &cut.events);
        prop_assert_eq!(&document.lines, &cut.lines);
    }
    Ok(())
}

proptest! {
    #[test]
    fn ndjson_is_the_same_however_it_is_cut(body in bodies(Format::Ndjson), piece in 1usize..50, target in 1usize..200) {
        same_however_cut(Format::Ndjson, &body, piece, target)?;
    }

    #[test]
    fn tables_are_the_same_however_they_are_cut(body in bodies(Format::Csv), piece in 1usize..50, target in 1usize..200) {
        same_however_cut(Format::Csv, &body, piece, target)?;
    }

    #[test]
    fn arrays_are_the_same_however_they_are_cut(body in bodies(Format::JsonArray), piece in 1usize..50, target in 1usize..200) {
        same_however_cut(Format::JsonArray, &body, piece, target)?;
    }

    #[test]
    fn lists_are_the_same_however_they_are_cut(body in bodies(Format::List), piece in 1usize..50, target in 1usize..200) {
        same_however_cut(Format::List, &body, piece, target)?;
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..100) {
        let limits = Limits { target_bytes: 20, entry_bytes: 50, document_bytes: 1000 };
        for format in [Format::Ndjson, Format::JsonArray, Format::Csv, Format::List, Format::Stix, Format::Misp] {
            let _ = chunks(format, limits, &bytes, piece);
        }
    }
}
