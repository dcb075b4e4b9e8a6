//! Place of an event in the ledger.
//!
//! Invariant: `seq` = block number × 65,536 + position, below 2^53 so that JSON readers keep it exact. Gaps mean nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One event's place in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Events in a block at the most.
    pub const MAX_POSITION: u32 = 65_535;
    /// One past the largest sequence number.
    pub const LIMIT: u64 = 1 << 53;

    /// The place of position `position` in block `block`.
    pub const fn new(block: u64, position: u16) -> Self {
        Self(block << 16 | position as u64)
    }

    /// The block's number.
    pub const fn block(self) -> u64 {
        self.0 >> 16
    }

    /// The position inside the block.
    pub const fn position(self) -> u16 {
        (self.0 & 0xFFFF) as u16
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
