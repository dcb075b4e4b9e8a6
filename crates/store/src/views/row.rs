//! One aggregate row: the events of one observable that share a class.

use super::run::Record;
use crate::codec::{Reader, put_difference, put_varint};
use model::{ObservableType, Seq, Timestamp};

/// Class number of a row that says: whatever older tiers hold of this key is void.
pub const RESET: u32 = u32::MAX;
/// `expires` of what does not decay.
pub const NEVER: i64 = (1 << 39) - 1;

/// Counts and times of the events of one observable and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Key of the observable.
    pub key: u128,
    /// Number of the class.
    pub class: u32,
    /// Events.
    pub events: u32,
    /// Sum of their counts.
    pub count: u64,
    /// Earliest time.
    pub first_time: Timestamp,
    /// Latest time.
    pub last_time: Timestamp,
    /// Earliest place.
    pub first_seq: Seq,
    /// Latest place.
    pub last_seq: Seq,
    /// Second since 1970 from which none of the events counts as active any more.
    pub expires: i64,
    /// Highest confidence plus one; 0 where none was given.
    pub confidence: u8,
}

impl Row {
    /// The row that voids older tiers.
    pub fn reset(key: u128) -> Self {
        Self {
            key,
            class: RESET,
            events: 0,
            count: 0,
            first_time: Timestamp::MAX,
            last_time: Timestamp::MIN,
            first_seq: Seq(Seq::LIMIT),
            last_seq: Seq(0),
            expires: 0,
            confidence: 0,
        }
    }

    /// Takes in a row of the same key and class.
    pub fn merge(&mut self, other: &Self) {
        self.events = self.events.saturating_add(other.events);
        self.count = self.count.saturating_add(other.count);
        self.first_time = self.first_time.min(other.first_time);
        self.last_time = self.last_time.max(other.last_time);
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.expires = self.expires.max(other.expires);
        self.confidence = self.confidence.max(other.confidence);
    }
}

/// The second from which an event's value no longer counts as active.
pub fn expires(kind: ObservableType, category: model::Category, time: Timestamp, valid_until: Option<Timestamp>) -> i64 {
    match (valid_until, model::lifetime::lifetime(kind, category)) {
        (Some(until), _) => until.seconds().clamp(0, NEVER - 1),
        (None, Some(lifetime)) => time.plus(lifetime).seconds().clamp(0, NEVER - 1),
        (None, None) => NEVER,
    }
}

/// Bits of a record's first byte: what of it need not be written.
mod same {
    pub(super) const ONE_EVENT: u8 = 1;
    pub(super) const COUNT_IS_EVENTS: u8 = 2;
    pub(super) const ONE_TIME: u8 = 4;
    pub(super) const ONE_PLACE: u8 = 8;
    pub(super) const NEVER_EXPIRES: u8 = 16;
    pub(super) const NO_CONFIDENCE: u8 = 32;
    /// Times are whole milliseconds.
    pub(super) const MILLIS: u8 = 64;
}

const MILLI: i64 = 1_000;

/// Seconds that a row is active past its latest time; rows of like events share it.
const fn lifetime(row: &Row) -> i64 {
    row.expires.wrapping_sub(row.last_time.seconds())
}

impl Record for Row {
    const TAG: u64 = 1;
    const FIRST: Self = Self {
        key: 0,
        class: 0,
        events: 0,
        count: 0,
        first_time: Timestamp::from_micros(0),
        last_time: Timestamp::from_micros(0),
        first_seq: Seq(0),
        last_seq: Seq(0),
        expires: 0,
        confidence: 0,
    };

    fn key(&self) -> u128 {
        self.key
    }

    fn write(&self, before: &Self, out: &mut Vec<u8>) {
        let (first, last) = (self.first_time.micros(), self.last_time.micros());
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let bits = bit(self.events == 1, same::ONE_EVENT)
            | bit(self.count == u64::from(self.events), same::COUNT_IS_EVENTS)
            | bit(first == last, same::ONE_TIME)
            | bit(self.first_seq == self.last_seq, same::ONE_PLACE)
            | bit(self.expires == NEVER, same::NEVER_EXPIRES)
            | bit(self.confidence == 0, same::NO_CONFIDENCE)
            | bit(first % MILLI == 0 && last % MILLI == 0, same::MILLIS);
        let unit = if bits & same::MILLIS == 0 { 1 } else { MILLI };
        out.push(bits);
        put_varint(out, u64::from(self.class));
        if bits & same::ONE_EVENT == 0 {
            put_varint(out, u64::from(self.events));
        }
        if bits & same::COUNT_IS_EVENTS == 0 {
            put_varint(out, self.count);
        }
        put_difference(out, first / unit, before.first_time.micros() / unit);
        if bits & same::ONE_TIME == 0 {
            put_difference(out, last / unit, first / unit);
        }
        put_difference(out, self.first_seq.0 as i64, before.first_seq.0 as i64);
        if bits & same::ONE_PLACE == 0 {
            put_difference(out, self.last_seq.0 as i64, self.first_seq.0 as i64);
        }
        if bits & same::NEVER_EXPIRES == 0 {
            put_difference(out, lifetime(self), lifetime(before));
        }
        if bits & same::NO_CONFIDENCE == 0 {
            out.push(self.confidence);
        }
    }

    fn read(reader: &mut Reader<'_>, key: u128, before: &Self) -> Option<Self> {
        let bits = reader.u8()?;
        let has = |bit: u8| bits & bit != 0;
        let unit = if has(same::MILLIS) { MILLI } else { 1 };
        let class = u32::try_from(reader.varint()?).ok()?;
        let events = if has(same::ONE_EVENT) { 1 } else { u32::try_from(reader.varint()?).ok()? };
        let count = if has(same::COUNT_IS_EVENTS) { u64::from(events) } else { reader.varint()? };
        let first = reader.difference(before.first_time.micros() / unit)?;
        let last = if has(same::ONE_TIME) { first } else { reader.difference(first)? };
        let first_seq = reader.difference(before.first_seq.0 as i64)?;
        let last_seq = if has(same::ONE_PLACE) { first_seq } else { reader.difference(first_seq)? };
        let (first_time, last_time) = (Timestamp::from_micros(first.wrapping_mul(unit)), Timestamp::from_micros(last.wrapping_mul(unit)));
        let expires = if has(same::NEVER_EXPIRES) { NEVER } else { last_time.seconds().wrapping_add(reader.difference(lifetime(before))?) };
        let confidence = if has(same::NO_CONFIDENCE) { 0 } else { reader.u8()? };
        Some(Self { key, class, events, count, first_time, last_time, first_seq: Seq(first_seq as u64), last_seq: Seq(last_seq as u64), expires, confidence })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_row() -> impl Strategy<Value = Row> {
        let times = (any::<i64>(), any::<i64>(), any::<bool>());
        let places = (0..Seq::LIMIT, 0..Seq::LIMIT);
        let counts = (any::<u32>(), 0..3_u32, any::<u64>(), any::<bool>());
        (times, places, counts, prop_oneof![Just(NEVER), 0..NEVER], any::<u8>(), any::<bool>()).prop_map(
            |((first, last, whole), (first_seq, last_seq), (class, events, count, one), expires, confidence, reset)| {
                let unit = if whole { 1_000 } else { 1 };
                let row = Row {
                    key: 7,
                    class,
                    events,
                    count: if one { u64::from(events) } else { count },
                    first_time: Timestamp::from_micros(first / unit * unit),
                    last_time: Timestamp::from_micros(if one { first } else { last } / unit * unit),
                    first_seq: Seq(first_seq),
                    last_seq: Seq(if one { first_seq } else { last_seq }),
                    expires,
                    confidence,
                };
                if reset { Row::reset(7) } else { row }
            },
        )
    }

    proptest! {
        #[test]
        fn a_row_comes_back_from_its_bytes_whatever_row_was_before(row in any_row(), before in any_row()) {
            let mut out = Vec::new();
            row.write(&before, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Row::read(&mut reader, 7, &before), Some(row));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn broken_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Row::read(&mut Reader::new(&bytes), 7, &Row::FIRST);
        }
    }
}
