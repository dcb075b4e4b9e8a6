//! A block's body, opened: its columns one by one.
//!
//! Invariant: a column is unpacked when it is asked for; a broken one gives `None`.
//! Not here: what a filter asks for (`matching`), whole events (`events`), values (`children`, `values`).

use super::id;
use crate::ledger::container::Container;
use crate::ledger::ints::Ints;
use model::{Text, Timestamp};

/// A block's body, opened for reading.
#[derive(Debug)]
pub struct Body<'a> {
    rows: usize,
    pub(super) container: Container<'a>,
}

impl<'a> Body<'a> {
    /// Opens a body of `rows` events; `None` where it is broken.
    pub fn open(rows: u32, body: &'a [u8]) -> Option<Self> {
        Some(Self { rows: rows as usize, container: Container::open(body)? })
    }

    /// Number of events.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column of integers; where it was left out every row is 0.
    pub(super) fn ints(&self, column_id: u8) -> Option<Ints<'a>> {
        let bytes = self.container.column(column_id)?;
        if bytes.is_empty() { Some(Ints::constant(0)) } else { Ints::read(bytes) }
    }

    /// The events' times.
    pub(super) fn times(&self) -> Option<Times<'a>> {
        let unit = self.container.column(id::TIME_UNIT)?;
        let unit = unit.as_ref().try_into().map_or(1, u64::from_le_bytes);
        Some(Times { unit, values: self.ints(id::TIME)? })
    }

    /// The texts that sectors, malware names and lists refer to; number 0 is none.
    pub(super) fn dictionary(&self) -> Option<Vec<Text>> {
        let bytes = self.container.column(id::DICTIONARY)?;
        let mut rest = bytes.as_ref();
        let mut texts = vec![Text::default()];
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(4)?;
            let (text, after) = after.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
            texts.push(Text::from_utf8_lossy(text));
            rest = after;
        }
        Some(texts)
    }
}

/// Event times.
#[derive(Debug)]
pub(super) struct Times<'a> {
    unit: u64,
    values: Ints<'a>,
}

impl Times<'_> {
    /// One event's time.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Timestamp {
        offset_time(self.values.get(row).wrapping_mul(self.unit))
    }
}

/// The time that lies so many microseconds after the earliest there is.
pub(super) fn offset_time(offset: u64) -> Timestamp {
    Timestamp::from_micros((offset as i64).wrapping_add(Timestamp::MIN.micros()))
}
