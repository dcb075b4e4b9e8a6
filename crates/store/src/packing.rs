//! How a value is kept in fewer bytes than its text has: addresses and hashes as the numbers that they are.
//!
//! Invariant: what comes back is the text that was there, letter for letter. A text that would not come back so stays a text.
//! Not here: where the bytes lie (`ledger::streams`, `views::indicators::block`).

use model::{ObservableType, Text};
use std::fmt::{Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of the longest packed value.
const LONGEST: usize = 64;

/// Bytes of a packed value of a type; `None` where its values are texts.
pub(crate) const fn width(kind: ObservableType) -> Option<usize> {
    match kind {
        ObservableType::Ipv4 => Some(4),
        ObservableType::Ipv6 | ObservableType::Md5 | ObservableType::Ja3 => Some(16),
        ObservableType::Sha1 | ObservableType::X509Sha1 => Some(20),
        ObservableType::Sha256 | ObservableType::X509Sha256 => Some(32),
        ObservableType::Sha512 => Some(LONGEST),
        ObservableType::Cidr
        | ObservableType::Domain
        | ObservableType::Url
        | ObservableType::Email
        | ObservableType::Ssdeep
        | ObservableType::Asn
        | ObservableType::Filename
        | ObservableType::Mac
        | ObservableType::Cve
        | ObservableType::UserAgent
        | ObservableType::Bitcoin
        | ObservableType::Phone => None,
    }
}

/// Appends a value packed, where its text comes back from that; false where it does not, and then nothing is appended.
pub(crate) fn pack(kind: ObservableType, value: &str, out: &mut Vec<u8>) -> bool {
    let Some(width) = width(kind) else { return false };
    match kind {
        ObservableType::Ipv4 => match value.parse::<Ipv4Addr>() {
            // No other text is read as this address.
            Ok(address) => out.extend_from_slice(&address.octets()),
            Err(_) => return false,
        },
        ObservableType::Ipv6 => match value.parse::<Ipv6Addr>() {
            Ok(address) if is_written_as(address, value) => out.extend_from_slice(&address.octets()),
            _ => return false,
        },
        _ => return pack_digits(value.as_bytes(), width, out),
    }
    true
}

/// The value that was packed; `None` for bytes that are none.
pub(crate) fn unpack(kind: ObservableType, bytes: &[u8]) -> Option<Text> {
    if width(kind) != Some(bytes.len()) {
        return None;
    }
    match kind {
        ObservableType::Ipv4 => Some(ipv4_text(*bytes.first_chunk::<4>()?)),
        ObservableType::Ipv6 => {
            let mut text = Text::default();
            write!(text, "{}", Ipv6Addr::from(*bytes.first_chunk::<16>()?)).ok()?;
            Some(text)
        }
        _ => {
            let mut digits = [0; 2 * LONGEST];
            for (two, byte) in digits.chunks_exact_mut(2).zip(bytes) {
                two.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            Text::from_utf8(digits.get(..2 * bytes.len())?).ok()
        }
    }
}

/// Every lookup and search writes addresses, so that they do not go through the formatter.
fn ipv4_text(octets: [u8; 4]) -> Text {
    let mut text = Text::default();
    for (index, octet) in octets.into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
    text
}

/// Whether a text is the one that an address is written as; nothing is written down for it.
fn is_written_as(address: impl Display, text: &str) -> bool {
    let mut left = Left(text);
    write!(left, "{address}").is_ok() && left.0.is_empty()
}

/// What of a text is still to be written.
struct Left<'t>(&'t str);

impl std::fmt::Write for Left<'_> {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.0 = self.0.strip_prefix(piece).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

fn pack_digits(text: &[u8], width: usize, out: &mut Vec<u8>) -> bool {
    if text.len() != 2 * width {
        return false;
    }
    let start = out.len();
    for two in text.chunks_exact(2) {
        let &[high, low] = two else { continue };
        let (Some(high), Some(low)) = (number(high), number(low)) else {
            out.truncate(start);
            return false;
        };
        out.push(high << 4 | low);
    }
    true
}

/// The number of a hexadecimal digit; `None` for what the canonical form has not.
const fn number(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The digit of a number below 16.
const fn digit(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'a' + number - 10 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(kind: ObservableType, value: &str) -> Option<Vec<u8>> {
        let mut out = vec![1, 2, 3];
        let is_packed = pack(kind, value, &mut out);
        assert_eq!(out[..3], [1, 2, 3]);
        assert_eq!(is_packed, out.len() > 3, "what is not packed appends nothing");
        is_packed.then(|| out.split_off(3))
    }

    #[test]
    fn canonical_addresses_and_hashes_are_packed_and_other_spellings_stay_texts() {
        let hash = "0123456789abcdef0123456789abcdef";
        for (kind, value, width) in [
            (ObservableType::Ipv4, "198.51.100.7", 4),
            (ObservableType::Ipv4, "0.10.255.99", 4),
            (ObservableType::Ipv6, "2001:db8::7", 16),
            (ObservableType::Ipv6, "::ffff:198.51.100.7", 16),
            (ObservableType::Md5, hash, 16),
            (ObservableType::Sha512, hash.repeat(4).as_str(), 64),
        ] {
            let bytes = packed(kind, value).unwrap();
            assert_eq!((bytes.len(), unpack(kind, &bytes).as_deref()), (width, Some(value)));
            assert_eq!(unpack(kind, &bytes[1..]), None);
        }
        for (kind, value) in [
            (ObservableType::Ipv4, "198.51.100.07"),
            (ObservableType::Ipv4, ""),
            (ObservableType::Ipv6, "2001:DB8::7"),
            (ObservableType::Ipv6, "2001:db8:0::7"),
            (ObservableType::Md5, "0123456789ABCDEF0123456789ABCDEF"),
            (ObservableType::Md5, "0123456789abcdef"),
            (ObservableType::Md5, "0123456789abcdef0123456789abcdeg"),
            (ObservableType::Domain, "198.51.100.7"),
        ] {
            assert_eq!(packed(kind, value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(number in 0_u8..21, value in "[0-9a-f:.]{0,40}|\\PC{0,20}", bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let kind = ObservableType::from_number(number).unwrap();
            if let Some(bytes) = packed(kind, &value) {
                let unpacked = unpack(kind, &bytes);
                prop_assert_eq!(unpacked.as_deref(), Some(value.as_str()));
            }
            if let Some(value) = unpack(kind, &bytes) {
                prop_assert_eq!(packed(kind, &value), Some(bytes));
            }
        }
    }
}
