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
mod tests;
