//! Whether a canonical value names something that is set apart: private, documentation, example, loopback.
//!
//! Invariant: reserved values are taken and counted like any other; the flag only keeps them out of the products under `/feeds/`.
//! Source: the IANA special-purpose address registries (RFC 6890, RFC 6598, RFC 5737, RFC 3849, RFC 9637, RFC 2544, RFC 5180), RFC 5771 and
//! RFC 4291 (multicast), RFC 2606, RFC 6761, RFC 6762, RFC 8375 and RFC 9476 (names), RFC 5398 and RFC 6996 (AS numbers).

use super::plain_ipv4;
use crate::ObservableType;
use crate::filter::host_of_url;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reserved IPv4 ranges: first address, length.
const IPV4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carriers' shared addresses
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarking
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// Reserved IPv6 ranges: first address, length. IPv4-mapped addresses are judged by the address they carry.
const IPV6: &[([u16; 8], u8)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 127),         // unspecified, loopback
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),  // local translation
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),      // discard
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),     // benchmarking
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),  // deprecated ORCHID
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),     // documentation
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),     // segment routing
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),      // unique local
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),     // link-local
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),     // site-local, deprecated
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),      // multicast
];

/// Top-level names that are nobody's.
const TOP_LEVEL: &[&str] = &["test", "example", "invalid", "localhost", "local", "internal", "alt"];
/// Second-level names that are nobody's, each with its top-level name.
const SECOND_LEVEL: &[(&str, &str)] = &[("example", "com"), ("example", "net"), ("example", "org"), ("home", "arpa")];

/// Whether a canonical value names a reserved range: private, loopback, link-local, carriers' shared, documentation, benchmarking, multicast,
/// example names. A range counts as soon as it shares an address with a reserved one; URLs and mail addresses count by their host.
pub fn is_reserved(kind: ObservableType, canonical: &str) -> bool {
    match kind {
        ObservableType::Ipv4 => plain_ipv4(canonical.as_bytes()).is_some_and(ipv4),
        ObservableType::Ipv6 => canonical.parse::<Ipv6Addr>().is_ok_and(ipv6),
        ObservableType::Cidr => canonical.parse::<IpNet>().is_ok_and(range),
        ObservableType::Domain => name(canonical),
        ObservableType::Url => host(host_of_url(canonical)),
        ObservableType::Email => canonical.rsplit_once('@').is_some_and(|(_, after)| host(after)),
        ObservableType::Asn => canonical.parse::<u32>().is_ok_and(as_number),
        ObservableType::Md5
        | ObservableType::Sha1
        | ObservableType::Sha256
        | ObservableType::Sha512
        | ObservableType::Ssdeep
        | ObservableType::Filename
        | ObservableType::Mac
        | ObservableType::Cve
        | ObservableType::UserAgent
        | ObservableType::Ja3
        | ObservableType::X509Sha1
        | ObservableType::X509Sha256
        | ObservableType::Bitcoin
        | ObservableType::Phone => false,
    }
}

fn host(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal.parse::<IpAddr>().is_ok_and(|address| match address {
            IpAddr::V4(address) => ipv4(address),
            IpAddr::V6(address) => ipv6(address),
        });
    }
    plain_ipv4(text.as_bytes()).map_or_else(|| name(text), ipv4)
}

fn name(text: &str) -> bool {
    let mut labels = text.strip_suffix('.').unwrap_or(text).rsplit('.');
    let top = labels.next().unwrap_or_default();
    let second = labels.next().unwrap_or_default();
    TOP_LEVEL.contains(&top) || SECOND_LEVEL.contains(&(second, top))
}

fn ipv4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    IPV4.iter().any(|&(first, length)| same_v4(bits, u32::from_be_bytes(first), length))
}

fn ipv6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return ipv4(mapped);
    }
    let bits = address.to_bits();
    IPV6.iter().any(|&(first, length)| same_v6(bits, Ipv6Addr::from(first).to_bits(), length))
}

/// Two ranges share an address if they agree in as many bits as the shorter of the two lengths.
fn range(range: IpNet) -> bool {
    match range {
        IpNet::V4(range) => {
            let bits = range.network().to_bits();
            IPV4.iter().any(|&(first, length)| same_v4(bits, u32::from_be_bytes(first), length.min(range.prefix_len())))
        }
        IpNet::V6(range) => {
            let bits = range.network().to_bits();
            IPV6.iter().any(|&(first, length)| same_v6(bits, Ipv6Addr::from(first).to_bits(), length.min(range.prefix_len())))
        }
    }
}

fn same_v4(one: u32, other: u32, length: u8) -> bool {
    (one ^ other).leading_zeros() >= u32::from(length)
}

fn same_v6(one: u128, other: u128, length: u8) -> bool {
    (one ^ other).leading_zeros() >= u32::from(length)
}

fn as_number(number: u32) -> bool {
    matches!(number, 0 | 23_456 | 64_496..=65_551 | 4_200_000_000..=u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn reserved_values_are_known() {
        for (kind, values) in [
            (
                ObservableType::Ipv4,
                &[
                    "0.1.2.3",
                    "10.1.1.1",
                    "100.64.0.1",
                    "100.127.255.255",
                    "127.0.0.1",
                    "169.254.169.254",
                    "172.31.255.255",
                    "192.0.0.1",
                    "192.0.2.1",
                    "192.168.1.1",
                    "198.18.0.1",
                    "198.19.255.255",
                    "198.51.100.7",
                    "203.0.113.9",
                    "224.0.0.1",
                    "255.255.255.255",
                ][..],
            ),
            (ObservableType::Ipv6, &["::", "::1", "::ffff:10.0.0.1", "100::1", "2001:2::1", "2001:db8::1", "3fff:fff::1", "fd00::1", "fe80::1", "ff02::1"][..]),
            (ObservableType::Cidr, &["10.0.0.0/8", "10.2.0.0/16", "0.0.0.0/0", "192.0.0.0/8", "2001:db8:1::/48", "::/0"][..]),
            (ObservableType::Domain, &["example.com", "www.example.org", "example", "a.test", "localhost", "printer.local", "x.invalid", "nas.home.arpa"][..]),
            (
                ObservableType::Url,
                &["http://127.0.0.1/x", "http://user@example.com:80/", "http://[::1]/", "http://localhost:8000/", "http://example.net./"][..],
            ),
            (ObservableType::Email, &["a@example.com", "a@[10.0.0.1]"][..]),
            (ObservableType::Asn, &["0", "64500", "65000", "65540", "4294967295"][..]),
        ] {
            for value in values {
                assert!(is_reserved(kind, value), "{kind} {value}");
            }
        }
    }

    #[test]
    fn everything_else_is_not() {
        for (kind, values) in [
            (ObservableType::Ipv4, &["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.255", "192.0.1.1"][..]),
            (ObservableType::Ipv6, &["2001:4860:4860::8888", "::ffff:8.8.8.8", "::2", "2a00::1"][..]),
            (ObservableType::Cidr, &["8.8.8.0/24", "8.0.0.0/8", "2a00::/16"][..]),
            (ObservableType::Domain, &["notexample.com", "example.co.kr", "test.com", "x.onion", "example.com.evil.net"][..]),
            (ObservableType::Url, &["http://evil.com/example.com", "http://example.com@evil.com/"][..]),
            (ObservableType::Email, &["example.com@evil.com"][..]),
            (ObservableType::Asn, &["3320", "65552", "64495"][..]),
            (ObservableType::Filename, &["localhost"][..]),
        ] {
            for value in values {
                assert!(!is_reserved(kind, value), "{kind} {value}");
            }
        }
    }
}
