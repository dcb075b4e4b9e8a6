//! Receipts: an id that carries the place of the batch's first event, so that no index of receipts is needed.
//!
//! Shape: a UUID of version 8: 60 bits of sequence number, 62 bits of a nonce that the ledger keeps beside the rows.

use model::{ReceiptId, Seq};
use uuid::Uuid;

const NONCE_BITS: u32 = 62;

/// A fresh nonce.
pub fn nonce() -> u64 {
    (Uuid::new_v4().as_u128() as u64) & ((1 << NONCE_BITS) - 1)
}

/// The receipt of a batch.
pub fn make_receipt(first: Seq, nonce: u64) -> ReceiptId {
    let high = u128::from(first.0 >> 12) << 80;
    let low = u128::from(first.0 & 0xFFF) << 64;
    ReceiptId(Uuid::from_u128(high | 8 << 76 | low | 2 << 62 | u128::from(nonce)))
}

/// The place and the nonce that a receipt carries.
pub fn read_receipt(receipt: ReceiptId) -> (Seq, u64) {
    let bits = receipt.0.as_u128();
    let seq = ((bits >> 80) as u64) << 12 | (bits >> 64) as u64 & 0xFFF;
    (Seq(seq), bits as u64 & ((1 << NONCE_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_carries_place_and_nonce() {
        for seq in [0, 1, 65_536, Seq::LIMIT - 1] {
            let nonce = nonce();
            let receipt = make_receipt(Seq(seq), nonce);
            assert_eq!(receipt.0.get_version_num(), 8);
            assert_eq!(read_receipt(receipt), (Seq(seq), nonce));
        }
    }
}
