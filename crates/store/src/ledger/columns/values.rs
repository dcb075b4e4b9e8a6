//! The bytes of values and texts, read by place.
//!
//! Invariant: of values a stream is unpacked when the first of its values is asked for, and kept; whoever looks at addresses alone does not
//! pay for the texts, which are most of the bytes.
//! Not here: where a value lies (`children`), what its bytes mean (`pack`).

use super::children::Child;
use super::{OPEN_IDS, SEALED_IDS};
use crate::ledger::container::Container;
use crate::ledger::ints::Ints;
use crate::ledger::streams::Stream;
use model::Text;
use std::borrow::Cow;
use std::cell::OnceCell;

/// Reads the values of a block.
#[derive(Debug)]
pub(super) struct ValueReader<'a> {
    open: Side<'a>,
    sealed: Side<'a>,
}

impl<'a> ValueReader<'a> {
    /// A reader over a body and a vault page that hold so many texts.
    pub(super) fn new(body: &Container<'a>, vault: &Container<'a>, [open, sealed]: [u32; 2]) -> Self {
        Self { open: Side::new(body, OPEN_IDS, open), sealed: Side::new(vault, SEALED_IDS, sealed) }
    }

    /// A value's bytes, empty where they are missing; `None` where its column is broken.
    pub(super) fn bytes(&self, child: Child) -> Option<&[u8]> {
        let side = if child.is_sealed() { &self.sealed } else { &self.open };
        side.bytes(child.stream(), child.place as usize)
    }
}

/// The values that are in the body, or those in the vault page.
#[derive(Debug)]
struct Side<'a> {
    container: Container<'a>,
    ids: [u8; 4],
    /// Number of texts.
    count: u32,
    four: OnceCell<Option<Cow<'a, [u8]>>>,
    binary: OnceCell<Option<Cow<'a, [u8]>>>,
    texts: OnceCell<Option<ValueTexts<'a>>>,
}

impl<'a> Side<'a> {
    fn new(container: &Container<'a>, ids: [u8; 4], count: u32) -> Self {
        Self { container: container.clone(), ids, count, four: OnceCell::new(), binary: OnceCell::new(), texts: OnceCell::new() }
    }

    fn bytes(&self, stream: Stream, place: usize) -> Option<&[u8]> {
        let bytes = match stream {
            Stream::Four => self.four.get_or_init(|| self.container.column(self.ids[0])).as_deref()?.get(place..place + 4),
            Stream::Binary(length) => self.binary.get_or_init(|| self.container.column(self.ids[1])).as_deref()?.get(place..place + length),
            Stream::Text => self.texts.get_or_init(|| ValueTexts::open(&self.container, self.ids, self.count)).as_ref()?.get(place),
        };
        Some(bytes.unwrap_or(&[]))
    }
}

/// Values of which each has a length of its own.
#[derive(Debug)]
struct ValueTexts<'a> {
    bytes: Cow<'a, [u8]>,
    ends: Vec<u32>,
}

impl<'a> ValueTexts<'a> {
    fn open(container: &Container<'a>, ids: [u8; 4], count: u32) -> Option<Self> {
        let bytes = container.column(ids[2])?;
        let lengths = container.column(ids[3])?;
        let mut ends = Vec::new();
        if !lengths.is_empty() {
            let lengths = Ints::read(lengths)?;
            let mut end = 0_u64;
            for index in 0..count as usize {
                end = end.saturating_add(lengths.get(index));
                if end > bytes.len() as u64 {
                    break;
                }
                ends.push(end as u32);
            }
        }
        Some(Self { bytes, ends })
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.bytes.get(start as usize..*self.ends.get(index)? as usize)
    }
}

/// Reads one of the vault page's columns that hold a text of each row, or none.
#[derive(Debug)]
pub(super) struct TextReader<'a> {
    bytes: Cow<'a, [u8]>,
    /// Beginning and end of each row's text; `None` where no row has one.
    spans: Option<Vec<(u32, u32)>>,
}

impl<'a> TextReader<'a> {
    /// Opens the column; `None` where it is broken.
    pub(super) fn open(vault: &Container<'a>, column_id: u8, rows: usize) -> Option<Self> {
        let lengths = vault.column(column_id + 1)?;
        let bytes = vault.column(column_id)?;
        if lengths.is_empty() {
            return Some(Self { bytes, spans: None });
        }
        let lengths = Ints::read(lengths)?;
        let mut end = 0_u32;
        let spans = (0..rows)
            .map(|row| match lengths.get(row) {
                0 => (u32::MAX, u32::MAX),
                length => {
                    let start = end;
                    end = end.saturating_add((length - 1) as u32);
                    (start, end)
                }
            })
            .collect();
        Some(Self { bytes, spans: Some(spans) })
    }

    /// A row's text.
    pub(super) fn get(&self, row: usize) -> Option<Text> {
        let &(start, end) = self.spans.as_ref()?.get(row)?;
        self.bytes.get(start as usize..end as usize).map(Text::from_utf8_lossy)
    }
}
