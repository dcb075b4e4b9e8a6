//! Events as columns: the body of a block, and beside it the vault page with victims' values and free text.
//!
//! Flow: [`encode`] (`encoding`, `page`) when a batch is written; [`Body`] to find the rows that a filter may want (`matching`) or to read
//! whole events (`events`), both over the block's values one after another (`children`, `values`).
//! Invariant: the body holds no victim's value, no far side of a flow and no free text; destroying an entry of the vault page leaves
//! nothing of it in the body. A column in which every row has its default is left out.
//! Not here: who sent the events and where they stand in the ledger (`frame`, `submission`).

mod body;
mod children;
mod encoding;
mod erasing;
mod events;
mod matching;
mod outline;
mod page;
mod tombstones;
mod values;
mod words;

pub use body::Body;
pub use encoding::{Encoded, encode};
pub use erasing::{Victim, Without, without};
pub use events::EventReader;
pub use tombstones::{Tombstone, Tombstones};

mod id {
    pub const TIME: u8 = 1;
    pub const TIME_UNIT: u8 = 2;
    pub const CATEGORY: u8 = 3;
    pub const WORDS: u8 = 4;
    pub const SEVERITY: u8 = 5;
    pub const CONFIDENCE: u8 = 6;
    pub const PORT: u8 = 7;
    pub const COUNT: u8 = 8;
    pub const SECTOR: u8 = 9;
    pub const MALWARE: u8 = 10;
    pub const DICTIONARY: u8 = 11;
    pub const CHILDREN: u8 = 12;
    pub const CHILD_KIND: u8 = 13;
    pub const CHILD_WORDS: u8 = 14;
    pub const FOUR: u8 = 15;
    pub const BINARY: u8 = 16;
    pub const TEXT: u8 = 17;
    pub const TEXT_LENGTH: u8 = 18;
    pub const LAST_TIME: u8 = 19;
    pub const VALID_UNTIL: u8 = 20;
    pub const AUDIENCE: u8 = 21;
    pub const TECHNIQUE: u8 = 22;
    pub const CVE: u8 = 23;
    pub const DST_PORT: u8 = 24;
    pub const PROTOCOL: u8 = 25;
    pub const TARGET_ASN: u8 = 26;
    pub const TARGET_SECTOR: u8 = 27;
    pub const SOURCE_ASN: u8 = 28;
    pub const HAS_TARGET: u8 = 29;
}

mod vault_id {
    pub const FOUR: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const TEXT_LENGTH: u8 = 4;
    /// Erased values: index among the block's values and key, see `tombstones`.
    pub const ERASED: u8 = 5;
    /// Erased ids: row and key.
    pub const ERASED_ID: u8 = 6;
    /// Each free text has its bytes here and its lengths at the next number.
    pub const ID: u8 = 10;
    pub const NOTE: u8 = 12;
    pub const EXTRA: u8 = 14;
    pub const ORIGINAL: u8 = 16;
    pub const DST_IP: u8 = 18;
    pub const TARGET_IP: u8 = 20;
}

/// The texts of a row that are in the vault page, in the order of `encoding` and `erasing`.
const TEXT_IDS: [u8; 6] = [vault_id::ID, vault_id::NOTE, vault_id::EXTRA, vault_id::ORIGINAL, vault_id::DST_IP, vault_id::TARGET_IP];

/// The columns of values that are in the body: four bytes, binary, text, lengths of texts.
const OPEN_IDS: [u8; 4] = [id::FOUR, id::BINARY, id::TEXT, id::TEXT_LENGTH];

/// The columns of values that are in the vault page, likewise.
const SEALED_IDS: [u8; 4] = [vault_id::FOUR, vault_id::BINARY, vault_id::TEXT, vault_id::TEXT_LENGTH];

/// The columns that few events have, in the order of `encoding` and `events`.
const RARE_IDS: [u8; 10] =
    [id::LAST_TIME, id::VALID_UNTIL, id::AUDIENCE, id::TECHNIQUE, id::CVE, id::DST_PORT, id::PROTOCOL, id::TARGET_ASN, id::TARGET_SECTOR, id::SOURCE_ASN];

/// Between the entries of a joined list; cannot occur in them, control characters are refused at the edge.
const JOIN: &str = "\u{1f}";

/// Bytes before a body's filter, which tell its length.
pub(super) const FILTER_LENGTH: usize = 4;

/// Parts a body into its filter's bytes and its columns; `None` where it is broken.
pub fn split_filter(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_at_checked(FILTER_LENGTH)?;
    rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)
}
