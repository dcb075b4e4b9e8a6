//! One aggregate row: the events of one observable that share a class.

use super::run::Record;
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

impl Record for Row {
    const SIZE: usize = 68;

    fn key(&self) -> u128 {
        self.key
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_be_bytes());
        out.extend_from_slice(&self.class.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.first_time.micros().to_le_bytes());
        out.extend_from_slice(&self.last_time.micros().to_le_bytes());
        out.extend_from_slice(self.first_seq.0.to_le_bytes().split_at(7).0);
        out.extend_from_slice(self.last_seq.0.to_le_bytes().split_at(7).0);
        out.extend_from_slice(self.expires.to_le_bytes().split_at(5).0);
        out.push(self.confidence);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = crate::codec::Reader::new(bytes);
        let key = u128::from_be_bytes(reader.array()?);
        let (class, events, count) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let first_time = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
        let last_time = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
        let seven = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let first_seq = Seq(seven(reader.bytes(7)?));
        let last_seq = Seq(seven(reader.bytes(7)?));
        let expires = seven(reader.bytes(5)?) as i64;
        Some(Self { key, class, events, count, first_time, last_time, first_seq, last_seq, expires, confidence: reader.u8()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_from_its_bytes() {
        let row = Row {
            key: 0x0123_4567_89AB_CDEF_0011_2233_4455_6677,
            class: 9,
            events: 8,
            count: 7_000_000_000,
            first_time: Timestamp::from_seconds(-5),
            last_time: Timestamp::from_seconds(1_700_000_000),
            first_seq: Seq(65_537),
            last_seq: Seq(Seq::LIMIT - 1),
            expires: NEVER,
            confidence: 101,
        };
        let mut out = Vec::new();
        row.write(&mut out);
        assert_eq!(out.len(), Row::SIZE);
        assert_eq!(Row::read(&out), Some(row));
    }
}
