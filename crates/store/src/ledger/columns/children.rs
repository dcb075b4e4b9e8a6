//! The values of a block one after another: of which event each is, of which type, and where its bytes lie.
//!
//! Flow: [`walk`] counts through the columns → `events` keeps every [`Child`] to read events by row, `matching` those that a filter asks of.
//! Invariant: a value's place is found by counting the values of its form before it, apart for attackers and for all others. Nothing but
//! the three columns of integers is unpacked for it.
//! Not here: the bytes (`values`).

use super::{Body, id};
use crate::ledger::streams::{Stream, stream};
use crate::packing::unpack;
use model::{Observable, ObservableType, Role, Text};

/// Values of one block at the most; more is damage.
const MAX_CHILDREN: u64 = 65_535 * 1_000;

/// The small words of a value in one number: role 2 bits, then one bit each.
pub(super) fn pack_words(observable: &Observable, as_text: bool) -> u64 {
    u64::from(observable.role.number()) | u64::from(observable.detect) << 2 | u64::from(observable.reserved) << 3 | u64::from(as_text) << 4
}

/// One value of an event, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    /// Its type.
    pub(super) kind: ObservableType,
    words: u8,
    /// Where its bytes lie: the first byte in a stream of fixed lengths, the index among the texts.
    pub(super) place: u32,
}

impl Child {
    /// Its part in the event; `None` where the number is out of range.
    pub(super) fn role(self) -> Option<Role> {
        Role::from_number(self.words & 3)
    }

    /// Whether its bytes are in the vault page.
    pub(super) fn is_sealed(self) -> bool {
        self.words & 3 != Role::Attacker.number()
    }

    /// Whether it is worth detecting.
    pub(super) fn detect(self) -> bool {
        self.words >> 2 & 1 == 1
    }

    /// Whether it lies in a reserved range.
    pub(super) fn reserved(self) -> bool {
        self.words >> 3 & 1 == 1
    }

    /// The stream that holds its bytes.
    pub(super) fn stream(self) -> Stream {
        if self.words >> 4 & 1 == 1 { Stream::Text } else { stream(self.kind) }
    }

    /// Its canonical text, of the bytes that the stream holds.
    pub(super) fn text(self, bytes: &[u8]) -> Text {
        match self.stream() {
            Stream::Text => Text::from_utf8_lossy(bytes),
            Stream::Four | Stream::Binary(_) => unpack(self.kind, bytes).unwrap_or_default(),
        }
    }
}

/// Visits every value with its event's row, in order. Gives the number of texts among attackers' values and among all others;
/// `None` where the block is broken.
pub(super) fn walk(body: &Body<'_>, mut visit: impl FnMut(usize, Child)) -> Option<[u32; 2]> {
    let counts = body.ints(id::CHILDREN)?;
    let kinds = body.ints(id::CHILD_KIND)?;
    let words = body.ints(id::CHILD_WORDS)?;
    let (mut open, mut sealed) = (Counters::default(), Counters::default());
    let mut end = 0_u64;
    for row in 0..body.rows() {
        let start = end;
        end = end.saturating_add(counts.get(row));
        if end > MAX_CHILDREN {
            return None;
        }
        for at in start as usize..end as usize {
            let kind = ObservableType::from_number(kinds.get(at) as u8)?;
            let mut child = Child { kind, words: words.get(at) as u8, place: 0 };
            let counters = if child.is_sealed() { &mut sealed } else { &mut open };
            child.place = counters.take(child.stream());
            visit(row, child);
        }
    }
    Some([open.text, sealed.text])
}

/// How far each stream is counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    four: u32,
    binary_bytes: u32,
    text: u32,
}

impl Counters {
    fn take(&mut self, stream: Stream) -> u32 {
        let (counter, step) = match stream {
            Stream::Four => (&mut self.four, 4),
            Stream::Binary(length) => (&mut self.binary_bytes, length as u32),
            Stream::Text => (&mut self.text, 1),
        };
        let place = *counter;
        *counter += step;
        place
    }
}

/// The values of every event of a block.
#[derive(Debug)]
pub(super) struct Children {
    /// First value of each event, and one past the last.
    starts: Vec<u32>,
    list: Vec<Child>,
}

impl Children {
    /// Reads them, with the number of texts as [`walk`] gives it; `None` where the block is broken.
    pub(super) fn read(body: &Body<'_>) -> Option<(Self, [u32; 2])> {
        let mut starts = Vec::with_capacity(body.rows() + 1);
        // Most events have one value.
        let mut list = Vec::with_capacity(body.rows() + body.rows() / 4);
        let texts = walk(body, |row, child| {
            while starts.len() <= row {
                starts.push(list.len() as u32);
            }
            list.push(child);
        })?;
        starts.resize(body.rows() + 1, list.len() as u32);
        Some((Self { starts, list }, texts))
    }

    /// One event's values, each with its index among the block's.
    pub(super) fn of(&self, row: usize) -> impl Iterator<Item = (usize, Child)> {
        let start = self.starts.get(row).copied().unwrap_or(0) as usize;
        let end = self.starts.get(row + 1).copied().unwrap_or(0) as usize;
        self.list.get(start..end).unwrap_or(&[]).iter().enumerate().map(move |(at, &child)| (start + at, child))
    }
}
