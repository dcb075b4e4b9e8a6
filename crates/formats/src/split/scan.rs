//! Where rows of a table and elements of a JSON array end, found byte by byte as they come.
//!
//! Invariant: the same ends however the bytes are pieced; quotes count as the table's reader (the `csv` crate) counts them.

use crate::Refusal;
use crate::ndjson::TOO_LONG;

/// Finds the ends of rows.
#[derive(Debug)]
pub(super) struct RowScan {
    delimiter: u8,
    state: RowState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowState {
    /// At the beginning of a cell, the only place where a quote opens.
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: doubled, or the end of the quoted part.
    AfterQuote,
    /// After a carriage return; a line feed may follow.
    AfterReturn,
}

impl RowScan {
    pub(super) const fn new(delimiter: u8) -> Self {
        Self { delimiter, state: RowState::CellStart }
    }

    /// Goes on as if at the beginning of a row.
    pub(super) const fn restart(&mut self) {
        self.state = RowState::CellStart;
    }

    /// Reads on and gives the offset in `new` where the last row ends.
    pub(super) fn last_end(&mut self, new: &[u8]) -> Option<usize> {
        let mut last = None;
        let mut at = 0;
        while let Some(&byte) = new.get(at) {
            let rest = new.get(at..).unwrap_or_default();
            match self.state {
                RowState::AfterReturn => {
                    at += usize::from(byte == b'\n');
                    last = Some(at);
                    self.state = RowState::CellStart;
                }
                RowState::CellStart | RowState::AfterQuote if byte == b'"' => {
                    at += 1;
                    self.state = RowState::Quoted;
                }
                RowState::Quoted => match memchr::memchr(b'"', rest) {
                    Some(quote) => {
                        at += quote + 1;
                        self.state = RowState::AfterQuote;
                    }
                    None => at = new.len(),
                },
                RowState::CellStart | RowState::Plain | RowState::AfterQuote => {
                    if let Some(end) = memchr::memchr3(self.delimiter, b'\n', b'\r', rest) {
                        at += end + 1;
                        self.state = if rest.get(end) == Some(&b'\r') { RowState::AfterReturn } else { RowState::CellStart };
                        if rest.get(end) == Some(&b'\n') {
                            last = Some(at);
                        }
                    } else {
                        at = new.len();
                        self.state = RowState::Plain;
                    }
                }
            }
        }
        last
    }
}

/// Finds the elements of a top-level array, or objects that follow one another.
#[derive(Debug, Default)]
pub(super) struct ArrayScan {
    place: ArrayPlace,
    is_array: bool,
    /// 1-based number of the last element begun.
    number: u64,
    /// The element so far, on one line.
    pub(super) element: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    is_too_long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum ArrayPlace {
    /// Nothing but spaces came.
    #[default]
    Before,
    /// Where an element, a comma or the end may come.
    Between,
    /// In an element.
    Inside,
    /// After the array.
    After,
    /// What came does not belong; nothing more is read.
    Lost,
}

/// What reading on came to.
#[derive(Debug)]
pub(super) enum Found {
    /// All was read; more is to come.
    Nothing,
    /// The element of this number is whole.
    Element(u64),
    /// Something was not taken.
    Refused(Refusal),
}

impl ArrayScan {
    /// Reads up to the next thing found and gives how many bytes that took: none where an element ends before the first.
    pub(super) fn advance(&mut self, bytes: &[u8], limit: usize) -> (usize, Found) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let is_space = byte.is_ascii_whitespace();
            match self.place {
                ArrayPlace::Inside => {
                    let (taken, has_ended) = self.read_element(bytes.get(at..).unwrap_or_default(), limit);
                    at += taken;
                    if has_ended {
                        return (at, self.end_element());
                    }
                }
                ArrayPlace::Lost => return (bytes.len(), Found::Nothing),
                // The byte-order mark's bytes are passed over like spaces.
                ArrayPlace::Before if is_space || matches!(byte, 0xEF | 0xBB | 0xBF) => at += 1,
                ArrayPlace::Before if byte == b'[' => {
                    at += 1;
                    self.is_array = true;
                    self.place = ArrayPlace::Between;
                }
                ArrayPlace::Between if is_space || byte == b',' => at += 1,
                ArrayPlace::Between if self.is_array && byte == b']' => {
                    at += 1;
                    self.place = ArrayPlace::After;
                }
                ArrayPlace::After if is_space => at += 1,
                ArrayPlace::Before | ArrayPlace::Between if self.is_array || byte == b'{' => {
                    self.begin_element();
                    // A stray closing bracket would end an element before it began.
                    if byte == b'}' {
                        self.element.push(byte);
                        return (at + 1, self.end_element());
                    }
                }
                ArrayPlace::Before => return (bytes.len(), self.lose("neither a JSON array nor an object")),
                ArrayPlace::Between | ArrayPlace::After => return (bytes.len(), self.lose("text after the end of the JSON")),
            }
        }
        (bytes.len(), Found::Nothing)
    }

    /// Ends the body: an element cut short is given as it is, for its parser to refuse.
    pub(super) fn finish(&mut self) -> Found {
        match self.place {
            ArrayPlace::Inside => self.end_element(),
            ArrayPlace::Between if self.is_array => self.lose("the JSON array is not closed"),
            ArrayPlace::Before | ArrayPlace::Between | ArrayPlace::After | ArrayPlace::Lost => Found::Nothing,
        }
    }

    fn lose(&mut self, reason: &str) -> Found {
        self.place = ArrayPlace::Lost;
        Found::Refused(Refusal { line: self.number + 1, reason: reason.into() })
    }

    fn begin_element(&mut self) {
        self.place = ArrayPlace::Inside;
        self.number += 1;
        self.element.clear();
        self.depth = 0;
        self.in_string = false;
        self.escaped = false;
        self.is_too_long = false;
    }

    fn end_element(&mut self) -> Found {
        self.place = ArrayPlace::Between;
        if self.is_too_long {
            return Found::Refused(Refusal { line: self.number, reason: TOO_LONG.into() });
        }
        Found::Element(self.number)
    }

    /// Reads on inside an element; gives how many bytes belong to it and whether it ended there.
    fn read_element(&mut self, bytes: &[u8], limit: usize) -> (usize, bool) {
        let mut at = 0;
        let mut has_ended = false;
        while let Some(&byte) = bytes.get(at)
            && !has_ended
        {
            if self.in_string {
                at += self.read_string(bytes.get(at..).unwrap_or_default());
                has_ended = !self.in_string && self.depth == 0;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    has_ended = self.depth == 0;
                }
                // A number or word ends before what follows it.
                b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 => {
                    self.keep(bytes.get(..at).unwrap_or_default(), limit);
                    return (at, true);
                }
                _ => {}
            }
            at += 1;
        }
        self.keep(bytes.get(..at).unwrap_or_default(), limit);
        (at, has_ended)
    }

    /// Reads on inside a string, up to its closing quote; gives how many bytes that took.
    fn read_string(&mut self, bytes: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            return 1;
        }
        let Some(found) = memchr::memchr2(b'"', b'\\', bytes) else { return bytes.len() };
        if bytes.get(found) == Some(&b'\\') {
            self.escaped = true;
        } else {
            self.in_string = false;
        }
        found + 1
    }

    /// Adds to the element, without line ends; drops it once it is too long.
    fn keep(&mut self, bytes: &[u8], limit: usize) {
        if self.is_too_long || self.element.len() + bytes.len() > limit {
            self.is_too_long = true;
            self.element = Vec::new();
            return;
        }
        let from = self.element.len();
        self.element.extend_from_slice(bytes);
        for byte in self.element.get_mut(from..).unwrap_or_default() {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_end_outside_quotes() {
        for (body, end) in [
            ("a,b\nc", Some(4)),
            ("a,\"b\nc\"\nd", Some(8)),
            ("a,\"b\n\"\"c\"\nd", Some(10)),
            ("a,b\"c\nd\"e", Some(6)),
            ("a\r\nb", Some(3)),
            ("a\rb", Some(2)),
            ("a\r", None),
            ("\"a", None),
        ] {
            assert_eq!(RowScan::new(b',').last_end(body.as_bytes()), end, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn rows_end_where_the_reader_ends_them(text in "[a,\"\n\r]{0,40}", piece in 1usize..10) {
            let bytes = text.as_bytes();
            let mut scan = RowScan::new(b',');
            let mut end = 0;
            for (index, new) in bytes.chunks(piece).enumerate() {
                if let Some(at) = scan.last_end(new) {
                    end = index * piece + at;
                }
            }
            let rows = |bytes: &[u8]| -> Vec<Vec<Vec<u8>>> {
                let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
                reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
            };
            let mut pieced = rows(&bytes[..end]);
            pieced.extend(rows(&bytes[end..]));
            prop_assert_eq!(pieced, rows(bytes));
        }
    }
}
