//! What is left of a frame whose events expired: the marks that it set, so that what came after it merges at a replay as it did.
//!
//! Flow: `engine::expiry` asks [`remains`] before frames are emptied → `ledger::rewrite` puts what it gives in the place of their content → a replay
//! of such a frame sets [`marks_in`] it and nothing else.
//! Shape: a mark is its key (16 bytes), its time as the difference from the mark before, and what it says, as varints; the oldest comes first.
//! Invariant: a frame that is whole is decided about anew, with the marks of every frame before it: the result is what applying it gave.
//! Invariant: bounded memory: of the marks in frames emptied before only those are held that a frame to be emptied asks for.
//! Not here: when events expire (`hub::expiry`), files (`ledger::rewrite`).

use super::coverage::{Coverage, keys_of};
use super::seen::{Mark, Seen};
use super::{Days, Keys, Part, came_before, id_of, list_entry_of, replay};
use crate::codec::{Reader, put_difference, put_varint};
use crate::ledger::{Frame, Header, Kind, Ledger, LedgerError, Place};
use hashbrown::{HashMap, HashSet};
use model::{Seq, Timestamp};

/// The marks that are left of an expired frame; `None` where they are broken.
pub(crate) fn marks_in(frame: &Frame) -> Option<Vec<Mark>> {
    let mut reader = Reader::new(frame.meta());
    let mut marks: Vec<Mark> = Vec::new();
    while !reader.is_empty() {
        let key = u128::from_le_bytes(reader.array()?);
        let before = marks.last().map_or(0, |mark| mark.received.micros());
        let received = Timestamp::from_micros(reader.difference(before)?);
        marks.push(Mark { key, received, taken: reader.varint()? });
    }
    Some(marks)
}

fn write(marks: &[Mark]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    for mark in marks {
        out.extend_from_slice(&mark.key.to_le_bytes());
        put_difference(&mut out, mark.received.micros(), before);
        put_varint(&mut out, mark.taken);
        before = mark.received.micros();
    }
    out
}

/// What is to be left of each frame of events that ends at `before` or earlier and is still whole, by its first sequence number. Marks from before
/// `keep_from` are left out: nothing that came after `before` is covered by them.
///
/// # Errors
/// [`LedgerError`] where a frame cannot be read.
pub(crate) fn remains(ledger: &Ledger, keys: &Keys, days: &mut dyn Days, before: Seq, keep_from: Timestamp) -> Result<HashMap<Seq, Vec<u8>>, LedgerError> {
    let end = ledger.index_of(before);
    // One by one: a copy of every place there is would be large.
    let places = || (0..end).filter_map(move |index| ledger.place(index)).filter(|place| place.header.kind == Kind::Events);
    let mut all = HashMap::new();
    if places().all(|place| place.header.expired) {
        return Ok(all);
    }
    let mut asked = HashSet::new();
    for place in places().filter(|place| !place.header.expired) {
        for part in parts(ledger, &place, &ledger.read_checked(&place)?, keys, days)? {
            ask_for(keys, &part, &mut asked);
        }
    }
    let mut seen = Seen::default();
    for place in places().filter(|place| !place.header.expired || place.header.meta_length > 0) {
        let frame = ledger.read_checked(&place)?;
        if frame.header.expired {
            let marks = marks_in(&frame).ok_or_else(|| damaged(ledger, &place))?;
            marks.iter().filter(|mark| asked.contains(&mark.key)).for_each(|mark| seen.set(mark.key, mark.received, mark.taken));
            drop(seen.take_new());
            continue;
        }
        for part in parts(ledger, &place, &frame, keys, days)? {
            mark(&mut seen, keys, &frame.header, &part);
        }
        let mut marks = seen.take_new();
        marks.retain(|mark| mark.received >= keep_from);
        marks.sort_unstable_by_key(|mark| (mark.received, mark.key));
        all.insert(frame.header.first_seq, write(&marks));
    }
    Ok(all)
}

fn parts(ledger: &Ledger, place: &Place, frame: &Frame, keys: &Keys, days: &mut dyn Days) -> Result<Vec<Part>, LedgerError> {
    replay(frame, keys, days).ok_or_else(|| damaged(ledger, place))
}

fn damaged(ledger: &Ledger, place: &Place) -> LedgerError {
    LedgerError::Damaged { path: ledger.folder().to_owned(), offset: place.offset }
}

/// Adds the keys of all marks that deciding about a part may look at.
fn ask_for(keys: &Keys, part: &Part, asked: &mut HashSet<u128>) {
    asked.extend(keys_of(&part.submission, &part.holes));
    for (row, event) in part.prepared.events.iter().enumerate() {
        asked.extend(id_of(part, row).or_else(|| list_entry_of(keys, part, row, event)));
    }
}

/// Sets the marks that applying a part set: `Applier::apply` without its views.
fn mark(seen: &mut Seen, keys: &Keys, header: &Header, part: &Part) {
    let mut coverage = Coverage::of(seen, &part.submission, &part.holes, header.received);
    for (row, event) in part.prepared.events.iter().enumerate() {
        let covered = coverage.as_mut().is_some_and(|coverage| coverage.next_came_before(seen));
        came_before(seen, keys, header.received_at(part.submission.start + row as u32), part, row, event, covered);
    }
    if let Some(coverage) = coverage {
        coverage.remember(seen);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::ledger::zone::Zone;
    use proptest::prelude::*;

    fn left(content: Vec<u8>) -> Frame {
        let header = Header {
            kind: Kind::Events,
            rewritten: true,
            expired: true,
            first_seq: Seq(1),
            group_seq: Seq(1),
            rows: 3,
            received: Timestamp::from_seconds(1_800_000_000),
            meta_length: content.len() as u32,
            body_length: 0,
            vault_length: 0,
            previous: [1; 32],
            chain: [2; 32],
            content: [3; 32],
            vault_crc: crc32fast::hash(&content),
            zone: Zone::default(),
        };
        Frame::new(header, content).unwrap()
    }

    proptest! {
        #[test]
        fn marks_come_back(marks in proptest::collection::vec((any::<u128>(), 0_i64..1 << 52, any::<u64>()), 0..40)) {
            let marks: Vec<Mark> = marks.into_iter().map(|(key, micros, taken)| Mark { key, received: Timestamp::from_micros(micros), taken }).collect();
            let frame = left(write(&marks));
            prop_assert!(frame.submissions().is_empty());
            prop_assert_eq!(marks_in(&frame), Some(marks));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = marks_in(&left(bytes));
        }
    }
}
