//! What a page is asked for, and where it goes on.
//!
//! Invariant: a cursor names a place in the order of addition and what was asked for, so that it is not used for anything else.
//! The place is enciphered, for it may be that of something hidden.

use super::{Collection, Versions};
use crate::HubError;
use model::Timestamp;
use store::objects::Query;

/// What a page is asked for. Empty lists ask for nothing in particular.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Added after this, exclusive.
    pub added_after: Option<Timestamp>,
    /// Ids.
    pub ids: Vec<String>,
    /// Types.
    pub types: Vec<String>,
    /// Versions of the specification.
    pub specs: Vec<String>,
    /// Versions.
    pub versions: Versions,
}

impl Filter {
    /// The cursor of a page that goes on after `place`. `listing` names what is listed, `secret` is the hub's.
    pub fn cursor(&self, collection: &Collection, listing: &str, place: Timestamp, secret: u128) -> String {
        format!("{:016x}{:08x}", encipher(secret, place.micros() as u64), self.mark(collection, listing))
    }

    /// Where a page starts, exclusive: after the cursor, or after what the filter says.
    ///
    /// # Errors
    /// [`HubError::Invalid`] where the cursor is not one of this collection, listing and filter.
    pub fn start(&self, collection: &Collection, listing: &str, cursor: Option<&str>, secret: u128) -> Result<Option<Timestamp>, HubError> {
        let Some(cursor) = cursor else { return Ok(self.added_after) };
        let wrong = || HubError::Invalid { pointer: "next".to_owned(), reason: "no cursor of this listing with these filters".to_owned() };
        let (place, mark) = cursor.split_at_checked(16).ok_or_else(wrong)?;
        if mark != format!("{:08x}", self.mark(collection, listing)) {
            return Err(wrong());
        }
        let place = u64::from_str_radix(place, 16).map_err(|_| wrong())?;
        let micros = i64::try_from(decipher(secret, place)).map_err(|_| wrong())?;
        Ok(Some(Timestamp::from_micros(micros)))
    }

    /// The question to the store, from a place on.
    pub(super) fn query<'a>(&'a self, collection: &Collection, after: Option<Timestamp>, limit: usize) -> Query<'a> {
        Query { collection: collection.number(), after, ids: &self.ids, types: &self.types, specs: &self.specs, versions: &self.versions, limit }
    }

    fn mark(&self, collection: &Collection, listing: &str) -> u32 {
        let hash = blake3::hash(format!("{} {listing} {self:?}", collection.id).as_bytes());
        hash.as_bytes().iter().take(4).fold(0, |sum, &byte| sum << 8 | u32::from(byte))
    }
}

/// Rounds of the Feistel network.
const ROUNDS: u8 = 4;

/// A number that tells nothing of `place` to whoever does not know the secret.
fn encipher(secret: u128, place: u64) -> u64 {
    (0..ROUNDS).fold(place, |place, round| {
        let (left, right) = (place >> 32, place & 0xFFFF_FFFF);
        right << 32 | (left ^ mix(secret, round, right))
    })
}

/// Undoes [`encipher`].
fn decipher(secret: u128, place: u64) -> u64 {
    (0..ROUNDS).rev().fold(place, |place, round| {
        let (left, right) = (place >> 32, place & 0xFFFF_FFFF);
        (right ^ mix(secret, round, left)) << 32 | left
    })
}

/// 32 bits that follow from a half under the secret.
fn mix(secret: u128, round: u8, half: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&secret.to_le_bytes()).update(&[round]).update(&half.to_le_bytes());
    hasher.finalize().as_bytes().iter().take(4).fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}
