//! Where the bytes of a value go in a column: addresses and hashes packed, everything else as it is.
//!
//! Not here: how they are packed (`crate::packing`). A value that cannot be is kept as text, and its row says so.

use crate::packing::width;
use model::ObservableType;
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
    match width(kind) {
        Some(4) => Stream::Four,
        Some(width) => Stream::Binary(width),
        None => Stream::Text,
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
