//! What a block holds, in 32 bytes: enough for a search to skip it.

use model::{Event, Filter, Timestamp};

/// Zone map of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Earliest event time.
    pub time_min: Timestamp,
    /// Latest event time.
    pub time_max: Timestamp,
    /// Categories present, a bit each.
    pub categories: u64,
    /// Types of observables present, a bit each.
    pub types: u32,
    /// Markings present, a bit each.
    pub markings: u8,
}

impl Default for Zone {
    fn default() -> Self {
        Self { time_min: Timestamp::MAX, time_max: Timestamp::MIN, categories: 0, types: 0, markings: 0 }
    }
}

impl Zone {
    /// Takes an event in.
    pub fn add(&mut self, event: &Event) {
        self.time_min = self.time_min.min(event.time);
        self.time_max = self.time_max.max(event.time);
        self.categories |= 1 << event.category.number();
        self.markings |= 1 << event.tlp.number();
        for observable in &event.observables {
            self.types |= 1 << observable.kind.number();
        }
    }

    /// Whether an event that the filter wants can be in the block.
    pub fn may_match(&self, filter: &Filter) -> bool {
        filter.since.is_none_or(|since| self.time_max >= since)
            && filter.until.is_none_or(|until| self.time_min < until)
            && (filter.categories.is_empty() || filter.categories.iter().any(|category| self.categories >> category.number() & 1 == 1))
            && (filter.types.is_empty() || filter.types.iter().any(|kind| self.types >> kind.number() & 1 == 1))
            && (filter.values.is_empty() || filter.values.iter().any(|(kind, _)| self.types >> kind.number() & 1 == 1))
    }

    /// The 29 bytes kept in a frame's header.
    pub fn to_bytes(self) -> [u8; 29] {
        let mut out = [0; 29];
        out[..8].copy_from_slice(&self.time_min.micros().to_le_bytes());
        out[8..16].copy_from_slice(&self.time_max.micros().to_le_bytes());
        out[16..24].copy_from_slice(&self.categories.to_le_bytes());
        out[24..28].copy_from_slice(&self.types.to_le_bytes());
        out[28] = self.markings;
        out
    }

    /// Reads what [`Zone::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 29]) -> Self {
        let eight = |at: usize| -> [u8; 8] { std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or(0)) };
        Self {
            time_min: Timestamp::from_micros(i64::from_le_bytes(eight(0))),
            time_max: Timestamp::from_micros(i64::from_le_bytes(eight(8))),
            categories: u64::from_le_bytes(eight(16)),
            types: u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]),
            markings: bytes[28],
        }
    }
}
