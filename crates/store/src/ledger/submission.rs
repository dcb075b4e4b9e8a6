//! A request's part of a frame, and the table of them that a frame begins with.
//!
//! Shape (little-endian): 45 bytes an entry: sender, nonce, idempotency key, first ordinal, first row, rows, flags. Where the flags say so its holes
//! follow: their number, then for each the distance of its row from the row after the hole before, and its lines, all as varints.
//! An *ordinal* numbers what a request holds in order of line: each event counts one, and each refused line counts one.
//! Invariant: a table is read whole or not at all; holes go up by row, and each lies before an event of its submission.
//! Not here: what holes are for (`views::coverage`), where they come from (`hub::intake`).

use crate::codec::{Reader, put_varint};
use model::OrgNo;
use std::ops::Range;

/// Rows of a frame that came in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// Who sent them.
    pub org: OrgNo,
    /// The receipt's nonce, the same in every frame of the request.
    pub nonce: u64,
    /// Hash of sender and idempotency key, where one was given.
    pub idempotency: Option<u128>,
    /// Ordinal in the request of the first row, or of the hole right before it.
    pub first_ordinal: u64,
    /// First row in the frame.
    pub start: u32,
    /// Rows.
    pub rows: u32,
    /// Whether the request ends here.
    pub last: bool,
}

/// Refused lines right before an event. Kept only where the request has an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Row of the event in its submission.
    pub row: u32,
    /// How many lines.
    pub lines: u32,
}

const LAST: u8 = 1;
const HAS_HOLES: u8 = 2;

impl Submission {
    /// Appends the entry and its holes, which go up by row, to a table.
    pub fn write(&self, holes: &[Hole], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.org.0.to_le_bytes());
        out.extend_from_slice(&self.nonce.to_le_bytes());
        out.extend_from_slice(&self.idempotency.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.first_ordinal.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        let mut flags = if self.last { LAST } else { 0 };
        if holes.is_empty() {
            out.push(flags);
            return;
        }
        flags |= HAS_HOLES;
        out.push(flags);
        put_varint(out, holes.len() as u64);
        let mut next = 0;
        for hole in holes {
            put_varint(out, u64::from(hole.row.saturating_sub(next)));
            put_varint(out, u64::from(hole.lines));
            next = hole.row.saturating_add(1);
        }
    }

    /// Reads a table; `None` where it is broken.
    pub fn read_all(bytes: &[u8]) -> Option<Vec<(Self, Vec<Hole>)>> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while !reader.is_empty() {
            all.push(Self::read(&mut reader)?);
        }
        Some(all)
    }

    fn read(reader: &mut Reader<'_>) -> Option<(Self, Vec<Hole>)> {
        let (org, nonce, key) = (OrgNo(reader.u32()?), reader.u64()?, u128::from_le_bytes(reader.array()?));
        let (first_ordinal, start, rows, flags) = (reader.u64()?, reader.u32()?, reader.u32()?, reader.u8()?);
        if flags & !(LAST | HAS_HOLES) != 0 {
            return None;
        }
        let holes = if flags & HAS_HOLES == 0 { Vec::new() } else { read_holes(reader, rows)? };
        let submission = Self { org, nonce, idempotency: (key != 0).then_some(key), first_ordinal, start, rows, last: flags & LAST != 0 };
        Some((submission, holes))
    }

    /// The ordinal after its last event.
    pub fn reached(&self, holes: &[Hole]) -> u64 {
        self.first_ordinal + u64::from(self.rows) + holes.iter().map(|hole| u64::from(hole.lines)).sum::<u64>()
    }

    /// The ordinals of its refused lines, hole by hole.
    pub fn refused(&self, holes: &[Hole]) -> impl Iterator<Item = Range<u64>> {
        let mut before = self.first_ordinal;
        holes.iter().map(move |hole| {
            let start = before + u64::from(hole.row);
            before += u64::from(hole.lines);
            start..start + u64::from(hole.lines)
        })
    }
}

fn read_holes(reader: &mut Reader<'_>, rows: u32) -> Option<Vec<Hole>> {
    let count = reader.varint()?;
    // Each lies before a row of its own; a hole takes two bytes at the least, so that a broken number ends with the bytes.
    if count == 0 || count > u64::from(rows) {
        return None;
    }
    let mut holes = Vec::new();
    let mut next = 0_u32;
    for _ in 0..count {
        let distance = u32::try_from(reader.varint()?).ok()?;
        let row = next.checked_add(distance).filter(|row| *row < rows)?;
        let lines = u32::try_from(reader.varint()?).ok().filter(|lines| *lines > 0)?;
        holes.push(Hole { row, lines });
        next = row + 1;
    }
    Some(holes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of an entry without holes.
    const ENTRY: usize = 45;

    fn submission(rows: u32) -> Submission {
        Submission { org: OrgNo(7), nonce: 9, idempotency: Some(11), first_ordinal: 5, start: 0, rows, last: true }
    }

    fn table(entries: &[(Submission, Vec<Hole>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (submission, holes) in entries {
            submission.write(holes, &mut out);
        }
        out
    }

    #[test]
    fn submissions_come_back() {
        let one = submission(10);
        let two = Submission { idempotency: None, last: false, ..one };
        let entries = vec![(one, Vec::new()), (two, Vec::new())];
        let bytes = table(&entries);
        assert_eq!(bytes.len(), 2 * ENTRY);
        assert_eq!(Submission::read_all(&bytes), Some(entries));
        assert_eq!(Submission::read_all(&bytes[1..]), None);
        assert_eq!(Submission::read_all(&[]), Some(Vec::new()));
    }

    #[test]
    fn broken_tables_are_refused() {
        let holes = vec![Hole { row: 0, lines: 1 }, Hole { row: 2, lines: 300 }];
        let bytes = table(&[(submission(3), holes)]);
        for length in 1..bytes.len() {
            assert_eq!(Submission::read_all(&bytes[..length]), None, "{length} bytes");
        }
        let mut unknown_flag = bytes.clone();
        unknown_flag[ENTRY - 1] |= 4;
        assert_eq!(Submission::read_all(&unknown_flag), None);
        for (holes, fact) in [
            (vec![Hole { row: 3, lines: 1 }], "no event after the hole"),
            (vec![Hole { row: 1, lines: 0 }], "an empty hole"),
            (vec![Hole { row: 0, lines: 1 }; 4], "more holes than events"),
        ] {
            assert_eq!(Submission::read_all(&table(&[(submission(3), holes)])), None, "{fact}");
        }
    }

    #[test]
    fn ordinals_count_events_and_refused_lines() {
        let holes = [Hole { row: 0, lines: 2 }, Hole { row: 3, lines: 1 }];
        let refused: Vec<_> = submission(4).refused(&holes).collect();
        assert_eq!(refused, [5..7, 10..11]);
        assert_eq!(submission(4).reached(&holes), 12);
    }

    proptest! {
        #[test]
        fn holes_come_back(rows in 1_u32..60_000, places in proptest::collection::btree_map(0_u32..60_000, 1_u32.., 0..40), last in any::<bool>()) {
            let holes: Vec<Hole> = places.into_iter().filter(|(row, _)| *row < rows).map(|(row, lines)| Hole { row, lines }).collect();
            let entries = vec![(Submission { last, ..submission(rows) }, holes), (submission(1), Vec::new())];
            prop_assert_eq!(Submission::read_all(&table(&entries)), Some(entries));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), flags in 0_u8..4) {
            let mut entry = bytes;
            if let Some(byte) = entry.get_mut(ENTRY - 1) {
                *byte = flags;
            }
            let _ = Submission::read_all(&entry);
        }
    }
}
