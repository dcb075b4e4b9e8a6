//! Cuts a streamed body into chunks of whole entries, without holding the body.
//!
//! Flow: the door pushes bytes as they come → [`Splitter::next_chunk`] until it has none → `parse_chunk` on any thread.
//! Invariant: entries and their lines do not depend on how the bytes were pushed, only where chunks end does; the memory held is bounded
//! by the target size and one entry. An entry longer than the limit is named and passed over.
//! Not here: decompression and the limit on the whole body (the door), what an entry means (the formats).

mod guess;
mod scan;

use crate::ndjson::{MAX_LINE, TOO_LONG};
use crate::{Format, Refusal, csv};
pub use guess::detect_format;
use scan::{ArrayScan, Found, RowScan};
use std::collections::VecDeque;

/// Bytes of a chunk, about.
pub const TARGET_BYTES: usize = 1 << 20;
/// Bytes of a STIX or MISP document at the most, unless the door says otherwise.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// Bytes that a table's header is looked for in.
const HEADER_BYTES: usize = 64 << 10;

/// Sizes a [`Splitter`] keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a chunk, about.
    pub target_bytes: usize,
    /// Bytes of one entry of the formats that are cut.
    pub entry_bytes: usize,
    /// Bytes of a whole document of the formats that are not.
    pub document_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { target_bytes: TARGET_BYTES, entry_bytes: MAX_LINE, document_bytes: MAX_DOCUMENT_BYTES }
    }
}

/// Why a body cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A STIX or MISP document, which is read whole, is too large.
    #[error("document is larger than {limit} bytes")]
    DocumentTooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Whole entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// The entries; may be empty where there are only refusals.
    pub bytes: Vec<u8>,
    /// The 1-based line of the first byte; for a JSON array the 1-based number of its first element, one element a line.
    pub first_line: u64,
    /// Entries that no parser gets to see: longer than the limit, or what stands outside a JSON array.
    pub refusals: Vec<Refusal>,
}

/// Takes a body in pieces and gives chunks of whole entries.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    ends: Ends,
    /// Bytes of the next chunk; for an array its elements, a line each.
    buffer: Vec<u8>,
    /// Where the last whole entry of the buffer ends.
    whole_to: usize,
    /// How far the buffer was searched.
    searched_to: usize,
    /// Line of the buffer's first byte.
    line: u64,
    skipping: Skipping,
    refusals: Vec<Refusal>,
    ready: VecDeque<Chunk>,
}

/// How entries end.
#[derive(Debug)]
enum Ends {
    /// With a line; in lists also with a carriage return alone.
    Lines { returns: bool },
    /// With a line outside quotes. `None` until the header told the delimiter.
    Rows(Option<RowScan>),
    /// With a top-level array's element.
    Elements(ArrayScan),
    /// With the body.
    Document,
}

/// Whether an entry that is too long is being passed over, up to the next line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    No,
    Yes,
    /// Its line ended with a carriage return; a line feed may follow.
    AfterReturn,
}

impl Splitter {
    /// A splitter for one body.
    pub fn new(format: Format, limits: Limits) -> Self {
        let ends = match format {
            Format::Ndjson => Ends::Lines { returns: false },
            Format::List => Ends::Lines { returns: true },
            Format::Csv => Ends::Rows(None),
            Format::JsonArray => Ends::Elements(ArrayScan::default()),
            Format::Stix | Format::Misp => Ends::Document,
        };
        Self {
            limits: Limits { target_bytes: limits.target_bytes.max(1), entry_bytes: limits.entry_bytes.max(1), ..limits },
            ends,
            buffer: Vec::new(),
            whole_to: 0,
            searched_to: 0,
            line: 1,
            skipping: Skipping::No,
            refusals: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the body. Chunks that are ready should be fetched between pushes.
    ///
    /// # Errors
    /// [`SplitError`] where a document is too large; the body is lost then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        for piece in bytes.chunks(self.limits.target_bytes.min(TARGET_BYTES)) {
            match &self.ends {
                Ends::Lines { .. } | Ends::Rows(_) => self.push_lines(piece, false),
                Ends::Elements(_) => self.push_elements(piece),
                Ends::Document => {
                    if self.buffer.len() + piece.len() > self.limits.document_bytes {
                        self.buffer = Vec::new();
                        return Err(SplitError::DocumentTooLarge { limit: self.limits.document_bytes });
                    }
                    self.buffer.extend_from_slice(piece);
                }
            }
        }
        Ok(())
    }

    /// A chunk that is ready.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// Ends the body and gives the next chunk; [`Self::next_chunk`] gives any others.
    ///
    /// # Errors
    /// None at present; the signature leaves room for formats that must end in some way.
    pub fn finish(&mut self) -> Result<Option<Chunk>, SplitError> {
        match &mut self.ends {
            Ends::Lines { .. } | Ends::Rows(_) => {
                self.push_lines(&[], true);
                if self.buffer.len() - self.whole_to > self.limits.entry_bytes {
                    self.cut();
                    self.refuse_buffer();
                }
            }
            Ends::Elements(scan) => {
                let found = scan.finish();
                self.take_element(found);
            }
            Ends::Document => {}
        }
        self.whole_to = self.buffer.len();
        self.cut();
        if !self.refusals.is_empty() {
            let refusals = std::mem::take(&mut self.refusals);
            self.ready.push_back(Chunk { bytes: Vec::new(), first_line: self.line, refusals });
        }
        Ok(self.next_chunk())
    }

    fn push_lines(&mut self, piece: &[u8], is_end: bool) {
        let piece = self.skip(piece);
        self.buffer.extend_from_slice(piece);
        if let Ends::Rows(scan) = &mut self.ends
            && scan.is_none()
        {
            // Quotes count only at the beginning of a cell, so the delimiter must be known first.
            if self.buffer.len() < HEADER_BYTES && !is_end {
                return;
            }
            let beginning = self.buffer.get(..HEADER_BYTES).unwrap_or(&self.buffer);
            *scan = Some(RowScan::new(csv::delimiter(beginning)));
        }
        self.search();
        if self.buffer.len() >= self.limits.target_bytes {
            self.cut();
        }
        if self.whole_to == 0 && self.buffer.len() > self.limits.entry_bytes {
            self.refuse_buffer();
        }
    }

    /// Finds where the last whole entry ends, looking at new bytes only.
    fn search(&mut self) {
        let new = self.buffer.get(self.searched_to..).unwrap_or_default();
        match &mut self.ends {
            Ends::Lines { returns } => {
                // A carriage return at the very end may be the first half of a line end.
                let half = usize::from(*returns && new.last() == Some(&b'\r'));
                let decided = new.get(..new.len() - half).unwrap_or_default();
                let last = if *returns { memchr::memrchr2(b'\n', b'\r', decided) } else { memchr::memrchr(b'\n', decided) };
                if let Some(at) = last {
                    self.whole_to = self.searched_to + at + 1;
                }
                self.searched_to += decided.len();
            }
            Ends::Rows(Some(scan)) => {
                if let Some(at) = scan.last_end(new) {
                    self.whole_to = self.searched_to + at;
                }
                self.searched_to += new.len();
            }
            Ends::Rows(None) | Ends::Elements(_) | Ends::Document => {}
        }
    }

    /// Makes a chunk of the whole entries in the buffer.
    fn cut(&mut self) {
        if self.whole_to == 0 {
            return;
        }
        let rest = self.buffer.split_off(self.whole_to);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        self.searched_to = self.searched_to.saturating_sub(self.whole_to);
        self.whole_to = 0;
        let first_line = self.line;
        self.line += self.count_lines(&bytes);
        self.ready.push_back(Chunk { bytes, first_line, refusals: std::mem::take(&mut self.refusals) });
    }

    /// Whether a carriage return alone ends a line.
    const fn ends_with_returns(&self) -> bool {
        matches!(self.ends, Ends::Lines { returns: true } | Ends::Rows(_))
    }

    fn count_lines(&self, bytes: &[u8]) -> u64 {
        if self.ends_with_returns() { csv::count_lines(bytes) } else { memchr::memchr_iter(b'\n', bytes).count() as u64 }
    }

    /// Names the entry that fills the buffer, drops what came of it and passes over the rest.
    fn refuse_buffer(&mut self) {
        self.refusals.push(Refusal { line: self.line, reason: TOO_LONG.into() });
        let dropped = std::mem::take(&mut self.buffer);
        // A row may hold line ends inside quotes.
        self.line += self.count_lines(&dropped);
        let has_ended = self.ends_with_returns() && dropped.last() == Some(&b'\r');
        self.skipping = if has_ended { Skipping::AfterReturn } else { Skipping::Yes };
        if let Ends::Rows(Some(scan)) = &mut self.ends {
            scan.restart();
        }
        self.searched_to = 0;
        self.whole_to = 0;
    }

    /// Passes over the rest of an entry that is too long; gives what follows it.
    fn skip<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let mut rest = piece;
        if self.skipping == Skipping::Yes {
            let end = if self.ends_with_returns() { memchr::memchr2(b'\n', b'\r', rest) } else { memchr::memchr(b'\n', rest) };
            let Some(end) = end else { return &[] };
            self.line += 1;
            self.skipping = if rest.get(end) == Some(&b'\r') { Skipping::AfterReturn } else { Skipping::No };
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        if self.skipping == Skipping::AfterReturn && !rest.is_empty() {
            self.skipping = Skipping::No;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        rest
    }

    fn push_elements(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ends::Elements(scan) = &mut self.ends else { return };
            let (taken, found) = scan.advance(rest, self.limits.entry_bytes);
            rest = rest.get(taken..).unwrap_or_default();
            self.take_element(found);
        }
    }

    /// Adds an element as a line. What is refused ends the chunk, so that lines and numbers keep step.
    fn take_element(&mut self, found: Found) {
        match found {
            Found::Nothing => {}
            Found::Element(number) => {
                let Ends::Elements(scan) = &mut self.ends else { return };
                if self.buffer.is_empty() {
                    self.line = number;
                }
                self.buffer.append(&mut scan.element);
                self.buffer.push(b'\n');
                self.whole_to = self.buffer.len();
                if self.whole_to >= self.limits.target_bytes {
                    self.cut();
                }
            }
            Found::Refused(refusal) => {
                self.cut();
                self.refusals.push(refusal);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
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
}
