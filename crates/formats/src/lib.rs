//! Bytes to events and back, a file per format.
//!
//! Flow: `hub::intake` cuts a body into chunks ([`split`]) and gives each to [`parse_chunk`] (line formats) or a whole document to
//! [`parse_document`]; answers go out through [`json`].
//! Invariant: pure, bounded, no panic on any bytes. What can be understood is taken; every entry that cannot is named with its line and
//! a reason that quotes at most 80 characters of input.
//! Not here: who sent it and when it was received (`hub`), canonical values (`model::canonical`).

pub mod csv;
pub mod delegated;
pub mod json;
pub mod list;
pub mod misp;
pub mod ndjson;
mod notes;
pub mod privacy;
pub mod products;
pub mod shadowserver;
pub mod split;
pub mod stix;

pub use notes::{Assumed, MAX_WARNINGS, Notes, Warning};

use model::{Category, Event, Origin, Pap, Role, Timestamp, Tlp};

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object per line.
    Ndjson,
    /// One JSON array of objects.
    JsonArray,
    /// Comma-separated (or `;`, tab) with a header row of column names.
    Csv,
    /// One value per line, in the shapes that public lists have.
    List,
    /// A STIX 2.0 or 2.1 bundle, a list of objects, or objects one per line.
    Stix,
    /// MISP events.
    Misp,
}

/// What an event has where the sender does not say.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The hub's time: events more than 24 h ahead of it are refused; entries without a time of their own get it.
    pub now: Timestamp,
    /// Marking.
    pub tlp: Tlp,
    /// Permissible actions.
    pub pap: Pap,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Category of entries that carry none (plain lists, STIX, MISP without a telling tag); `None`: `other` for those, refused for NDJSON and CSV.
    pub category: Option<Category>,
    /// Origin stated for the whole batch; `None`: `sensor`, for plain lists `relayed`.
    pub origin: Option<Origin>,
    /// Role stated for the whole batch; an event's own role wins.
    pub role: Option<Role>,
}

/// One entry that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 1-based line of the body; for documents the 1-based number of the object or attribute.
    pub line: u64,
    /// Why, in words for the sender.
    pub reason: String,
}

/// What a chunk gave.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Events in the order of the input.
    pub events: Vec<Event>,
    /// The line of each event; as long as `events`.
    pub lines: Vec<u64>,
    /// Entries not taken.
    pub refusals: Vec<Refusal>,
    /// What else is to be told.
    pub notes: Notes,
}

impl Parsed {
    /// Adds an event.
    pub fn take(&mut self, line: u64, event: Event) {
        self.events.push(event);
        self.lines.push(line);
    }

    /// Names an entry that was not taken.
    pub fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        self.refusals.push(Refusal { line, reason: reason.into() });
    }
}

/// Parses a chunk of whole entries of a format that can be cut: NDJSON, JSON array elements (as [`split`] gives them), CSV rows, list lines.
///
/// `header` is the CSV header, or the state of a list's own header lines; it is read from the first chunk by [`Header::read`].
/// `first_line` is the 1-based line of the chunk's first byte.
pub fn parse_chunk(format: Format, header: &Header, chunk: &[u8], first_line: u64, defaults: &Defaults) -> Parsed {
    let mut parsed = Parsed::default();
    match format {
        Format::Ndjson | Format::JsonArray => ndjson::parse(chunk, first_line, defaults, &mut parsed),
        Format::Csv => csv::parse(header, chunk, first_line, defaults, &mut parsed),
        Format::List => list::parse(header, chunk, first_line, defaults, &mut parsed),
        Format::Stix => stix::parse(chunk, defaults, &mut parsed),
        Format::Misp => misp::parse(chunk, defaults, &mut parsed),
    }
    parsed
}

/// Parses a whole document.
pub fn parse_document(format: Format, document: &[u8], defaults: &Defaults) -> Parsed {
    let header = Header::read(format, document);
    parse_chunk(format, &header, document, 1, defaults)
}

/// What the first lines of a body tell about the rest.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Column names of a CSV, lower-case, trimmed; empty where there is none.
    pub columns: Vec<String>,
    /// The byte between cells (`,` `;` tab); 0 where it does not matter.
    pub delimiter: u8,
    /// How a list's lines are to be read.
    pub list: list::Shape,
    /// Whether a list is UTF-16, as its byte order mark says.
    pub is_wide: bool,
}

impl Header {
    /// Reads it from the beginning of a body (the first chunk, whole lines).
    pub fn read(format: Format, beginning: &[u8]) -> Self {
        match format {
            Format::Csv => csv::read_header(beginning),
            Format::List => list::read_header(beginning),
            Format::Ndjson | Format::JsonArray | Format::Stix | Format::Misp => Self::default(),
        }
    }
}

/// Guesses the format from the first bytes (up to 64 KiB, decompressed) and the file's name without compression endings.
///
/// Anything that is no JSON of ours, STIX or MISP and no CSV with a header we know is a list.
pub fn detect_format(beginning: &[u8], file_name: Option<&str>) -> Format {
    split::detect_format(beginning, file_name)
}
