//! Versions on their way into the log: the blocks of their bodies, and for each collection the rows that name them.
//!
//! Flow: [`Pending::add`] for each body, [`Pending::name`] for each collection that has it → [`Pending::write`]: the blocks, synced; then the rows of each
//! collection, synced → [`Pending::publish`].
//! Invariant: rows are written after what they name is durable, so that a crash anywhere in between leaves whole versions of some collections at the most; the
//! rest is looked at once more. Dates go up over the collections for many together, so that a body has one date wherever it is, and over each agreement's by
//! themselves: bodies come in the order of the first collection that has them, so that no date depends on bodies that fewer readers have.
//! Not here: which versions there are (`evaluate`).

use super::block::{block_of, place};
use super::bodies::Bodies;
use super::draft::{Draft, fits};
use super::rows::{Row, Rows, Stand};
use super::{Collection, Indicator};
use model::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Microseconds of a millisecond.
const MILLI: i64 = 1_000;

/// A body that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Where it lies.
    pub(super) place: u64,
    added: Timestamp,
}

/// What is to come after the last block and the last rows. Only one may be on its way.
#[derive(Debug)]
pub(super) struct Pending {
    /// Where the first block will lie.
    start: u64,
    /// Blocks that are closed.
    bytes: Vec<u8>,
    closed: Vec<Closed>,
    draft: Draft,
    last: Timestamp,
    logs: BTreeMap<Collection, Naming>,
}

#[derive(Debug)]
struct Closed {
    offset: u64,
    length: u32,
    crc: u32,
}

/// What comes into one collection's rows.
#[derive(Debug)]
struct Naming {
    rows: Arc<Rows>,
    stand: Stand,
    named: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    /// The block's number among those of the batch.
    block: usize,
    first: Timestamp,
    bits: u128,
}

impl Pending {
    /// Nothing yet, for these collections.
    pub(super) fn new(bodies: &Bodies, logs: impl IntoIterator<Item = (Collection, Arc<Rows>)>) -> Self {
        let naming = |(collection, rows): (Collection, Arc<Rows>)| {
            let stand = rows.stand();
            (collection, Naming { rows, stand, named: Vec::new() })
        };
        let logs: BTreeMap<Collection, Naming> = logs.into_iter().map(naming).collect();
        let many = logs.iter().filter(|(collection, _)| collection.place().is_some());
        let last = many.map(|(_, naming)| naming.stand.last).max().map_or(Timestamp::MIN, coarse);
        Self { start: bodies.end(), bytes: Vec::new(), closed: Vec::new(), draft: Draft::default(), last, logs }
    }

    /// The collections that are written.
    pub(super) fn collections(&self) -> impl Iterator<Item = Collection> {
        self.logs.keys().copied()
    }

    /// Turns to the bodies that this collection is the first to have.
    pub(super) fn turn_to(&mut self, collection: Collection) {
        if let Some(naming) = self.logs.get(&collection).filter(|_| collection.place().is_none()) {
            self.last = naming.stand.last;
            // Dates go up within a block.
            self.close();
        }
    }

    /// The date of the next body. `room` is [`Indicator::room`]: what lies before the date is for what stands beside the version.
    pub(super) fn next_added(&self, now: Timestamp, room: Duration) -> Timestamp {
        now.max(self.last.plus(room))
    }

    /// Takes a body whose date is [`Pending::next_added`]; `None` where its texts are too long to be written.
    pub(super) fn add(&mut self, indicator: &Indicator, previous: Option<u64>) -> Option<Placed> {
        if !fits(indicator) {
            return None;
        }
        if self.draft.is_full() {
            self.close();
        }
        let place = place(self.start + self.bytes.len() as u64, self.draft.count());
        self.draft.push(indicator, previous, place);
        self.last = indicator.added;
        Some(Placed { place, added: indicator.added })
    }

    /// Puts a body into a collection. Those of one collection come in the order in which they were added.
    pub(super) fn name(&mut self, collection: Collection, placed: Placed) {
        let Some(Naming { stand, named, .. }) = self.logs.get_mut(&collection) else { return };
        let (offset, number) = block_of(placed.place);
        let block = self.closed.partition_point(|closed| closed.offset < offset);
        match named.last_mut() {
            Some(row) if row.block == block => row.bits |= 1 << number,
            _ => named.push(Named { block, first: placed.added, bits: 1 << number }),
        }
        stand.count += 1;
        stand.last = placed.added;
    }

    /// Closes the block that is being filled.
    fn close(&mut self) {
        if self.draft.count() > 0 {
            let offset = self.start + self.bytes.len() as u64;
            let (length, crc) = self.draft.finish(&mut self.bytes);
            self.closed.push(Closed { offset, length, crc });
        }
    }

    /// Makes all of it durable; readers do not see it yet. What a failure leaves must be cut before the next try.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn write(&mut self, bodies: &Bodies) -> std::io::Result<()> {
        self.close();
        if self.closed.is_empty() {
            return Ok(());
        }
        bodies.write(&self.bytes)?;
        let mut bytes = Vec::new();
        for Naming { rows, stand, named } in self.logs.values_mut().filter(|naming| !naming.named.is_empty()) {
            bytes.clear();
            let mut before = rows.stand().count;
            for Named { block, first, bits } in named {
                let Some(&Closed { offset, length, crc }) = self.closed.get(*block) else { continue };
                let row = Row { first: *first, block: offset, length, crc, bits: *bits, before };
                row.write(&mut bytes);
                before += u64::from(bits.count_ones());
                stand.named = offset + u64::from(length);
            }
            stand.end = rows.end() + bytes.len() as u64;
            rows.write(&bytes)?;
        }
        Ok(())
    }

    /// Lets readers see what was written: bodies before the rows that name them.
    pub(super) fn publish(&self, bodies: &Bodies) {
        bodies.publish(self.start + self.bytes.len() as u64);
        for naming in self.logs.values().filter(|naming| !naming.named.is_empty()) {
            naming.rows.publish(naming.stand);
        }
    }
}

/// The next whole millisecond: where dates ran ahead of the clock, the first ones of a batch do not tell by how much to the body.
fn coarse(date: Timestamp) -> Timestamp {
    Timestamp::from_micros(date.micros().saturating_add(MILLI - 1).div_euclid(MILLI).saturating_mul(MILLI))
}
