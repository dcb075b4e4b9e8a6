//! How far the log of indicators is: one small file, replaced by rename after all that it names is durable.
//!
//! Invariant: what lies before the position is in the logs, and what lies before the lengths was synced. Without the file, or with one of
//! another ledger, everything is looked at once more, which writes nothing twice.

use crate::views::checkpoint::write_durably;
use model::Seq;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "POSITION";
/// Version of the file's shape; another one counts as none.
const VERSION: u32 = 1;

/// What `POSITION` says. Lengths and places are by collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Version of the file's shape.
    pub(super) version: u32,
    /// Everything before it in the ledger was looked at.
    pub(super) position: Seq,
    /// Chain value of the last frame before the position, hexadecimal.
    pub(super) chain: String,
    /// Bytes of the logs that were synced.
    pub(super) lengths: [u64; 3],
    /// What lies before is in the runs.
    pub(super) covered: [u64; 3],
    /// What lies before was looked at again when it was a day old.
    pub(super) looked_at: [u64; 3],
    /// Runs of the newest versions, newest first.
    pub(super) runs: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, position: Seq(0), chain: String::new(), lengths: [0; 3], covered: [0; 3], looked_at: [0; 3], runs: Vec::new() }
    }
}

impl State {
    /// Reads the file; `None` where there is none that can be used.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()?;
        (state.version == VERSION).then_some(state)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// An I/O error; the one before stays.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        write_durably(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}
