//! Values of observables as short bytes: addresses and hashes in binary, everything else as it is.
//!
//! Invariant: unpacking gives the canonical text that was packed; a value that is not in canonical form is kept as text.

use model::{ObservableType, Text};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a value's bytes go: fixed four, fixed by type, or text with a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Four bytes.
    Four,
    /// 16, 20, 32 or 64 bytes, by type.
    Binary(usize),
    /// Text.
    Text,
}

/// The stream of a type.
pub const fn stream(kind: ObservableType) -> Stream {
    match kind {
        ObservableType::Ipv4 => Stream::Four,
        ObservableType::Ipv6 | ObservableType::Md5 | ObservableType::Ja3 => Stream::Binary(16),
        ObservableType::Sha1 | ObservableType::X509Sha1 => Stream::Binary(20),
        ObservableType::Sha256 | ObservableType::X509Sha256 => Stream::Binary(32),
        ObservableType::Sha512 => Stream::Binary(64),
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
        | ObservableType::Phone => Stream::Text,
    }
}

/// Appends the packed form to `out`; false where the text is not canonical for its type and nothing was appended.
pub fn pack(kind: ObservableType, value: &str, out: &mut Vec<u8>) -> bool {
    match (stream(kind), kind) {
        (Stream::Text, _) => out.extend_from_slice(value.as_bytes()),
        (Stream::Four, _) => match value.parse::<Ipv4Addr>() {
            Ok(address) => out.extend_from_slice(&address.octets()),
            Err(_) => return false,
        },
        (Stream::Binary(_), ObservableType::Ipv6) => match value.parse::<Ipv6Addr>() {
            Ok(address) if address.to_string() == value => out.extend_from_slice(&address.octets()),
            _ => return false,
        },
        (Stream::Binary(length), _) => {
            let bytes = value.as_bytes();
            let start = out.len();
            if bytes.len() != length * 2 {
                return false;
            }
            for pair in bytes.chunks_exact(2) {
                let &[high, low] = pair else { return false };
                let (Some(high), Some(low)) = (nibble(high), nibble(low)) else {
                    out.truncate(start);
                    return false;
                };
                out.push(high << 4 | low);
            }
        }
    }
    true
}

const fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The canonical text of packed bytes.
pub fn unpack(kind: ObservableType, bytes: &[u8]) -> Text {
    match (stream(kind), kind) {
        (Stream::Four, _) => match <[u8; 4]>::try_from(bytes) {
            Ok(octets) => ipv4_text(octets),
            Err(_) => Text::default(),
        },
        (Stream::Binary(_), ObservableType::Ipv6) => match <[u8; 16]>::try_from(bytes) {
            Ok(octets) => {
                use std::fmt::Write as _;
                let mut text = Text::default();
                // Writing into memory cannot fail.
                let _ = write!(text, "{}", Ipv6Addr::from(octets));
                text
            }
            Err(_) => Text::default(),
        },
        (Stream::Binary(_), _) => {
            let mut text = Text::with_capacity(bytes.len() * 2);
            for byte in bytes {
                text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            }
            text
        }
        (Stream::Text, _) => Text::from_utf8_lossy(bytes),
    }
}

/// Whether packed bytes are an address or range inside `range`.
pub fn within(kind: ObservableType, bytes: &[u8], range: &ipnet::IpNet) -> bool {
    match (kind, range) {
        (ObservableType::Ipv4, ipnet::IpNet::V4(range)) => <[u8; 4]>::try_from(bytes).is_ok_and(|octets| range.contains(&Ipv4Addr::from(octets))),
        (ObservableType::Ipv6, ipnet::IpNet::V6(range)) => <[u8; 16]>::try_from(bytes).is_ok_and(|octets| range.contains(&Ipv6Addr::from(octets))),
        (ObservableType::Cidr, range) => std::str::from_utf8(bytes).is_ok_and(|text| model::filter::value_within(kind, text, range)),
        _ => false,
    }
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_and_hashes_come_back(v4 in any::<u32>(), v6 in any::<u128>(), hash in "[0-9a-f]{64}") {
            for (kind, value) in [
                (ObservableType::Ipv4, Ipv4Addr::from(v4).to_string()),
                (ObservableType::Ipv6, Ipv6Addr::from(v6).to_string()),
                (ObservableType::Sha256, hash),
            ] {
                let mut out = Vec::new();
                prop_assert!(pack(kind, &value, &mut out));
                let text = unpack(kind, &out);
                prop_assert_eq!(text.as_str(), value);
            }
        }
    }

    #[test]
    fn what_is_not_canonical_is_not_packed() {
        let mut out = Vec::new();
        assert!(!pack(ObservableType::Ipv4, "1.2.3", &mut out));
        assert!(!pack(ObservableType::Md5, "D41D8CD98F00B204E9800998ECF8427E", &mut out));
        assert!(out.is_empty());
    }
}
