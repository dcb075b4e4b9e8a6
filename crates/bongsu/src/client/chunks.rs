//! Cutting: an input of any length as requests of bounded size.
//!
//! Flow: [`Chunks::next_chunk`] reads on until a request is full, cuts after its last whole entry, and puts the header lines before every
//! request but the first; [`whole`] takes a document that cannot be cut.
//! Invariant: the requests' own bytes, put together, are the input; a line's number in the file is known from its number in the request.
//! Not here: what the lines mean (`formats`), sending them (`sender`).

use anyhow::{Context, bail};
use formats::{Format, Header};
use std::io::Read;

/// Lines a request at the most.
pub const MOST_LINES: u64 = 100_000;
/// Bytes a request, give or take one line.
pub const MOST_BYTES: usize = 32 << 20;
/// A longer line is an error.
const LONGEST_LINE: usize = 64 << 20;
/// Largest document that is sent whole; the hub's own limit.
const LARGEST_DOCUMENT: u64 = 256 << 20;
/// Header lines longer than this together are not repeated.
const LONGEST_HEADER: usize = 64 << 10;
/// A quoted cell that goes on for longer is taken for a stray quote.
const LONGEST_QUOTED: usize = 1 << 20;
/// Bytes read at once.
const STEP: u64 = 1 << 20;

/// The body of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Header lines, then own lines.
    pub body: Vec<u8>,
    /// Bytes of the header lines that are repeated.
    header_bytes: usize,
    /// Their number.
    header_lines: u64,
    /// Number in the file of the first own line, from 1.
    first_line: u64,
}

impl Chunk {
    /// The bytes that are the input's at this place.
    pub fn own(&self) -> &[u8] {
        self.body.get(self.header_bytes..).unwrap_or_default()
    }

    /// The file's number of its first own line.
    pub fn first_line(&self) -> u64 {
        self.first_line
    }

    /// The file's number of a line of this request.
    pub fn line_in_file(&self, line: u64) -> u64 {
        match line.checked_sub(self.header_lines) {
            Some(own) if own > 0 => self.first_line + own - 1,
            _ => line,
        }
    }

    /// Header lines, own lines after them: the first request of a file holds its header itself.
    fn parts(&self, format: Format) -> (&[u8], &[u8]) {
        let header = if self.header_bytes == 0 { prelude(format, &self.body).len() } else { self.header_bytes };
        self.body.split_at_checked(header).unwrap_or((&[], self.body.as_slice()))
    }

    /// How many own lines after the header hold its first `entries` entries. Blank lines and comments hold none.
    pub fn lines_of_entries(&self, format: Format, entries: u64) -> u64 {
        let mut lines = 0;
        let mut left = entries;
        for line in self.parts(format).1.split_inclusive(|&byte| byte == b'\n') {
            let text = line.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            lines += 1;
        }
        lines
    }

    /// How many own lines after the header lie whole in the first `bytes` bytes.
    pub fn lines_within(&self, format: Format, bytes: u64) -> u64 {
        let (header, rest) = self.parts(format);
        let room = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(header.len());
        rest.get(..room).unwrap_or(rest).split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")).count() as u64
    }

    /// Cuts it into requests of up to `lines` own lines each.
    pub fn pieces(&self, format: Format, lines: u64) -> Vec<Self> {
        let (header, mut rest) = self.parts(format);
        let (header_lines, mut first_line) = if self.header_bytes == 0 {
            let header_lines = count_lines(format, header);
            (header_lines, self.first_line + header_lines)
        } else {
            (self.header_lines, self.first_line)
        };
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (end, count) = Cutter::new(format).cut(rest, true, lines, usize::MAX).unwrap_or((rest.len(), 1));
            let (own, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            pieces.push(Self { body: [header, own].concat(), header_bytes: header.len(), header_lines, first_line });
            first_line += count;
            rest = after;
        }
        pieces
    }

    /// How many own lines it has.
    pub fn lines(&self, format: Format) -> u64 {
        count_lines(format, self.own())
    }
}

/// Cuts an input of lines.
pub struct Chunks<'a> {
    reader: &'a mut dyn Read,
    format: Format,
    buffer: Vec<u8>,
    cutter: Cutter,
    ended: bool,
    header: Vec<u8>,
    header_lines: u64,
    next_line: u64,
    most_lines: u64,
    most_bytes: usize,
}

impl<'a> Chunks<'a> {
    /// Prepares to cut an input of a format made of lines.
    pub fn new(format: Format, reader: &'a mut dyn Read) -> Self {
        Self {
            reader,
            format,
            buffer: Vec::new(),
            cutter: Cutter::new(format),
            ended: false,
            header: Vec::new(),
            header_lines: 0,
            next_line: 1,
            most_lines: MOST_LINES,
            most_bytes: MOST_BYTES,
        }
    }

    /// The next request; `None` at the end.
    pub fn next_chunk(&mut self) -> anyhow::Result<Option<Chunk>> {
        let (end, lines) = loop {
            if let Some(cut) = self.cutter.cut(&self.buffer, self.ended, self.most_lines, self.most_bytes) {
                break cut;
            }
            if self.ended {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                // No line end at all, or a quote that never closes.
                break (self.buffer.len(), count_lines(self.format, &self.buffer));
            }
            if self.cutter.last.is_none() && self.buffer.len() > LONGEST_LINE {
                bail!("line {} is longer than {} MiB", self.next_line, LONGEST_LINE >> 20);
            }
            let read = (&mut *self.reader).take(STEP).read_to_end(&mut self.buffer).context("reading")?;
            self.ended = read == 0;
        };
        let rest = self.buffer.split_off(end);
        let own = std::mem::replace(&mut self.buffer, rest);
        self.cutter = Cutter::new(self.format);
        let first_line = self.next_line;
        self.next_line += lines;
        if first_line == 1 {
            let header = prelude(self.format, &own);
            self.header = header.to_vec();
            self.header_lines = count_lines(self.format, header);
            return Ok(Some(Chunk { body: own, header_bytes: 0, header_lines: 0, first_line }));
        }
        let body = [self.header.as_slice(), &own].concat();
        Ok(Some(Chunk { body, header_bytes: self.header.len(), header_lines: self.header_lines, first_line }))
    }
}

/// Reads a document that is sent as it is.
pub fn whole(reader: &mut dyn Read) -> anyhow::Result<Chunk> {
    let mut body = Vec::new();
    reader.take(LARGEST_DOCUMENT + 1).read_to_end(&mut body).context("reading")?;
    if body.len() as u64 > LARGEST_DOCUMENT {
        bail!("a document is larger than {} MiB; cut it, or send its events as NDJSON", LARGEST_DOCUMENT >> 20);
    }
    Ok(Chunk { body, header_bytes: 0, header_lines: 0, first_line: 1 })
}

/// Whether inputs of this format can be cut at lines.
pub fn is_cut(format: Format, head: &[u8]) -> bool {
    // UTF-16 has zero bytes beside its line ends.
    let wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    match format {
        Format::Ndjson | Format::Csv | Format::List => !wide,
        Format::JsonArray | Format::Stix | Format::Misp => false,
    }
}

/// Looks for the place to cut, going on where it stopped. Lines are counted as the hub counts them.
struct Cutter {
    quoted_cells: bool,
    lone_returns: bool,
    in_quotes: bool,
    quotes_since: usize,
    /// Whether a quote here would open a cell, or go on with one that holds a quote.
    may_open: bool,
    scanned: usize,
    lines: u64,
    /// After the last whole entry: place, and lines so far.
    last: Option<(usize, u64)>,
}

impl Cutter {
    fn new(format: Format) -> Self {
        Self {
            quoted_cells: format == Format::Csv,
            lone_returns: matches!(format, Format::Csv | Format::List),
            in_quotes: false,
            quotes_since: 0,
            may_open: true,
            scanned: 0,
            lines: 0,
            last: None,
        }
    }

    /// Follows quotes: they count at the beginning of a cell, and doubled inside a quoted one.
    fn quote(&mut self, byte: u8, place: usize) {
        if byte != b'"' {
            self.may_open = matches!(byte, b',' | b';' | b'\t' | b'\n' | b'\r');
        } else if self.in_quotes {
            self.in_quotes = false;
            self.may_open = true;
        } else if self.may_open {
            self.in_quotes = true;
            self.quotes_since = place;
        }
    }

    /// Where to cut and how many lines come before; `None` where more bytes are needed.
    fn cut(&mut self, bytes: &[u8], ended: bool, most_lines: u64, most_bytes: usize) -> Option<(usize, u64)> {
        while let Some(&byte) = bytes.get(self.scanned) {
            let place = self.scanned;
            let line_ends = match byte {
                b'\n' => true,
                // A carriage return alone ends a line; before a line feed it belongs to it.
                b'\r' if self.lone_returns => match bytes.get(place + 1) {
                    Some(b'\n') => false,
                    Some(_) => true,
                    None if ended => true,
                    None => return None,
                },
                _ => false,
            };
            self.scanned += 1;
            if self.quoted_cells {
                self.quote(byte, place);
            }
            if line_ends {
                self.lines += 1;
                if self.in_quotes && place - self.quotes_since > LONGEST_QUOTED {
                    self.in_quotes = false;
                }
                if !self.in_quotes {
                    self.last = Some((self.scanned, self.lines));
                    if self.lines >= most_lines || self.scanned >= most_bytes {
                        return self.last;
                    }
                }
            }
        }
        if !ended {
            return None;
        }
        let unfinished = bytes.last().is_some_and(|&last| last != b'\n' && !(last == b'\r' && self.lone_returns));
        (!bytes.is_empty()).then_some((bytes.len(), self.lines + u64::from(unfinished)))
    }
}

/// Lines of some bytes, as the hub counts them.
fn count_lines(format: Format, bytes: &[u8]) -> u64 {
    Cutter::new(format).cut(bytes, true, u64::MAX, usize::MAX).map_or(0, |(_, lines)| lines)
}

/// The lines at the beginning that every request needs: comments, which may hold the names of columns, and a CSV's row of names.
fn prelude(format: Format, first: &[u8]) -> &[u8] {
    if !matches!(format, Format::Csv | Format::List) {
        return &[];
    }
    let mut end = 0;
    loop {
        let rest = first.get(end..).unwrap_or_default();
        let text = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        let comment = text.first().is_some_and(|&byte| matches!(byte, b'#' | b'\n' | b'\r'));
        if !(comment || format == Format::Csv && names_come_first(first, text)) {
            break;
        }
        // Comments end with their line, whatever quotes they hold.
        let ends_like = if comment { Format::List } else { format };
        let Some((length, _)) = Cutter::new(ends_like).cut(rest, true, 1, usize::MAX) else { break };
        end += length;
        if end > LONGEST_HEADER {
            return &[];
        }
        if !comment {
            break;
        }
    }
    let header = first.get(..end).unwrap_or_default();
    // A header without a line end would run into the first line after it.
    if header.last().is_some_and(|last| !matches!(last, b'\n' | b'\r')) { &[] } else { header }
}

/// Whether the first line that is no comment holds the names of a table's columns; else a comment does, or nothing.
fn names_come_first(table: &[u8], without_comments: &[u8]) -> bool {
    let beginning = |bytes: &[u8]| Header::read(Format::Csv, bytes.get(..LONGEST_HEADER).unwrap_or(bytes)).columns;
    let names = beginning(without_comments);
    !names.is_empty() && names == beginning(table)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn cut(format: Format, text: &str, most_lines: u64) -> Vec<Chunk> {
        let mut reader = text.as_bytes();
        let mut chunks = Chunks::new(format, &mut reader);
        chunks.most_lines = most_lines;
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            all.push(chunk);
        }
        all
    }

    #[test]
    fn own_bytes_put_together_are_the_input() {
        for text in ["", "a", "a\n", "a\r\nb\rc\nd", "\n\n\n", "a\r", "\u{feff}#c\nx\ny\nz"] {
            for format in [Format::Ndjson, Format::Csv, Format::List] {
                for lines in [1, 2, 100] {
                    let joined: Vec<u8> = cut(format, text, lines).iter().flat_map(|chunk| chunk.own().to_vec()).collect();
                    assert_eq!(joined, text.as_bytes(), "{text:?} {format:?} {lines}");
                }
            }
        }
    }

    #[test]
    fn a_csv_repeats_its_names_and_keeps_the_files_line_numbers() {
        let chunks = cut(Format::Csv, "# made by x\ntime,value\n1,a\n2,b\n3,c\n4,d\n", 3);
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].body, b"# made by x\ntime,value\n1,a\n");
        assert_eq!(chunks[1].body, b"# made by x\ntime,value\n2,b\n3,c\n4,d\n");
        assert_eq!(chunks[0].line_in_file(3), 3);
        assert_eq!(chunks[1].line_in_file(3), 4);
        assert_eq!(chunks[1].line_in_file(5), 6);
    }

    #[test]
    fn a_row_with_a_line_end_in_a_cell_is_not_cut() {
        let chunks = cut(Format::Csv, "time,note\n1,\"a\nb\nc\"\n2,d\n", 2);
        assert_eq!(chunks[1].own(), b"2,d\n".as_slice());
        assert_eq!(chunks[1].line_in_file(2), 5);
    }

    #[test]
    fn names_in_a_comment_are_repeated_without_the_first_row() {
        let text = "# time,value,category\n2026-01-01,a.example,phishing\n2026-01-02,b.example,phishing\n2026-01-03,c.example,phishing\n";
        let chunks = cut(Format::Csv, text, 2);
        assert_eq!(chunks[1].body, b"# time,value,category\n2026-01-02,b.example,phishing\n2026-01-03,c.example,phishing\n");
        assert_eq!(chunks[1].line_in_file(2), 3);
    }

    #[test]
    fn quotes_count_at_the_beginning_of_a_cell_alone() {
        let text = "time,note\n1,5\" disk\n2,\"a \"\"b\"\"\nc\"\n3,d\n";
        let chunks = cut(Format::Csv, text, 3);
        assert_eq!(chunks[0].own(), b"time,note\n1,5\" disk\n2,\"a \"\"b\"\"\nc\"\n");
    }

    #[test]
    fn a_carriage_return_alone_ends_no_line_of_json() {
        assert_eq!(cut(Format::Ndjson, "{\r}\n{}\n", 1).len(), 2);
    }

    #[test]
    fn a_stray_quote_does_not_swallow_the_file() {
        let mut text = "time,value\n1,\"a\n".to_owned();
        for _ in 0..300_000 {
            text.push_str("2,b.example\n");
        }
        assert!(cut(Format::Csv, &text, 1000).len() > 100);
    }

    #[test]
    fn lone_carriage_returns_end_lines() {
        let chunks = cut(Format::List, "a\rb\rc\r\nd", 2);
        assert_eq!(chunks[1].own(), b"c\r\nd");
        assert_eq!(chunks[1].line_in_file(2), 4);
    }

    #[test]
    fn a_lists_comments_are_repeated() {
        let chunks = cut(Format::List, "#fields\tts\thost\n1\ta\n2\tb\n3\tc\n", 2);
        assert_eq!(chunks[1].body, b"#fields\tts\thost\n2\tb\n3\tc\n");
        assert_eq!(chunks[1].line_in_file(2), 3);
    }

    #[test]
    fn pieces_are_the_request_cut_smaller() {
        let chunks = cut(Format::Csv, "time,value\n1,a\n2,b\n3,c\n4,d\n5,e\n", 4);
        for chunk in &chunks {
            let pieces = chunk.pieces(Format::Csv, 1);
            for piece in &pieces {
                assert!(piece.body.starts_with(b"time,value\n"));
                assert_eq!(piece.lines(Format::Csv), 1);
                let number = String::from_utf8(piece.own().to_vec()).unwrap().split_once(',').unwrap().0.parse::<u64>().unwrap();
                assert_eq!(piece.line_in_file(2), number + 1);
            }
        }
        assert_eq!(chunks.iter().map(|chunk| chunk.pieces(Format::Csv, 1).len()).sum::<usize>(), 5);
    }

    #[test]
    fn the_lines_of_so_many_entries_are_counted_without_header_blanks_and_comments() {
        let chunks = cut(Format::Csv, "time,value\n1,a\n\n# b\n2,b\n3,c\n", 100);
        let chunk = &chunks[0];
        assert_eq!(chunk.lines_of_entries(Format::Csv, 1), 3);
        assert_eq!(chunk.lines_of_entries(Format::Csv, 2), 4);
        assert_eq!(chunk.lines_of_entries(Format::Csv, 9), 5);
        assert_eq!(chunk.lines_within(Format::Csv, 15), 1);
        assert_eq!(chunk.lines_within(Format::Csv, 14), 0);
        assert_eq!(chunk.lines_within(Format::Csv, 1_000), 5);
    }

    #[test]
    fn wide_characters_are_not_cut() {
        assert!(!is_cut(Format::List, &[0xff, 0xfe, b'a', 0]));
        assert!(is_cut(Format::List, b"a"));
        assert!(!is_cut(Format::Stix, b"{"));
    }
}
