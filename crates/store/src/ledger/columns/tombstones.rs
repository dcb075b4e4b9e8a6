//! What erasures leave in a vault page, so that replay counts and merges as if nothing were missing.
//!
//! Flow: `erasing` writes [`Erased`] entries → [`EventReader::tombstones`] → `views::prepare_remains`.
//! Invariant: no value can be had from them: a place and a keyed hash.
//! Not here: what is erased (`erasing`), what replay makes of it (`views`).

use super::EventReader;
use model::ObservableType;

/// What erasures left of a batch's events, so that replay counts and merges them as if nothing were missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// Of values, in order of row and position.
    pub values: Vec<Tombstone>,
    /// Of ids: row in the batch and key, in order.
    pub ids: Vec<(u32, u128)>,
}

/// What an erasure left of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Row of the event in the batch.
    pub row: u32,
    /// Place among the event's values.
    pub position: u32,
    /// Type of the value.
    pub kind: ObservableType,
    /// Its key, where the event merges by it; else 0.
    pub key: u128,
}

impl Tombstones {
    /// The tombstones of one event's values.
    pub fn of(&self, row: u32) -> &[Tombstone] {
        let start = self.values.partition_point(|tombstone| tombstone.row < row);
        let end = self.values.partition_point(|tombstone| tombstone.row <= row);
        self.values.get(start..end).unwrap_or(&[])
    }
}

impl EventReader<'_> {
    /// What erasures left of the events in these rows; rows of the answer are counted from the first.
    pub fn tombstones(&self, rows: std::ops::Range<usize>) -> Tombstones {
        let mut tombstones = Tombstones::default();
        if self.erased.is_empty() && self.erased_ids.is_empty() {
            return tombstones;
        }
        for row in rows.clone() {
            let number = (row - rows.start) as u32;
            for (position, (index, child)) in self.children.of(row).enumerate() {
                if let Some(erased) = self.erased_at(index) {
                    tombstones.values.push(Tombstone { row: number, position: position as u32, kind: child.kind, key: erased.key });
                }
            }
            if let Ok(at) = self.erased_ids.binary_search_by_key(&(row as u32), |erased| erased.place) {
                tombstones.ids.extend(self.erased_ids.get(at).map(|erased| (number, erased.key)));
            }
        }
        tombstones
    }
}

/// What an erasure leaves of a value or an id in the vault page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Erased {
    /// Index of the value among the block's, or row of the id.
    pub(super) place: u32,
    /// Key by which the event merges; 0 for a value by which it does not.
    ///
    /// It may stay: without it a list sent again would count twice after a rebuild, and it is a keyed hash that nobody without the
    /// realm's secret can try a guess against. Where merging does not need it, it is not kept.
    pub(super) key: u128,
}

/// Bytes of one [`Erased`] in its column.
const ERASED_BYTES: usize = 20;

/// The column of these entries.
pub(super) fn write_erased(all: &[Erased]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(all.len() * ERASED_BYTES);
    for erased in all {
        bytes.extend_from_slice(&erased.place.to_le_bytes());
        bytes.extend_from_slice(&erased.key.to_le_bytes());
    }
    bytes
}

/// Reads what [`write_erased`] wrote.
pub(super) fn read_erased(bytes: &[u8]) -> Vec<Erased> {
    let read = |entry: &[u8]| {
        let (place, key) = entry.split_at_checked(4)?;
        Some(Erased { place: u32::from_le_bytes(place.try_into().ok()?), key: u128::from_le_bytes(key.try_into().ok()?) })
    };
    bytes.chunks_exact(ERASED_BYTES).filter_map(read).collect()
}
