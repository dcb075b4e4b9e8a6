//! A response policy zone: names and addresses that a resolver answers with NXDOMAIN.
//!
//! Source: draft-vixie-dnsop-dns-rpz-00: a name and everything below it by a wildcard, an address in an answer by `rpz-ip` (prefix length,
//! then the address backwards, the first longest run of zero groups as `zz`), `CNAME .` for NXDOMAIN; RFC 1035 section 5.1 for the text.

use super::{Entry, Heading};
use model::ObservableType;
use std::fmt::Write;
use std::net::IpAddr;

/// Seconds that a resolver may keep a record.
const TTL: u32 = 300;
/// Bytes of a name at the most: with the wildcard before it and the zone's own name after it, it must still be a name.
const MAX_NAME: usize = 200;
/// Labels that begin so (`rpz-ip`, `rpz-client-ip`, `rpz-nsdname`) are commands to the resolver, not names.
const TRIGGER: &str = "rpz-";

/// Whether the zone can hold a value.
pub(super) fn takes(kind: ObservableType, value: &str) -> bool {
    match kind {
        ObservableType::Domain => value.len() <= MAX_NAME && !value.split('.').any(|label| label.starts_with(TRIGGER)),
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr => true,
        _ => false,
    }
}

/// What makes it a zone. The serial is the moment it was made, so that a later one is always higher.
pub(super) fn head(heading: &Heading<'_>, out: &mut String) {
    let serial = heading.generated.seconds().clamp(1, i64::from(u32::MAX));
    let expire = (heading.expires.seconds() - heading.generated.seconds()).clamp(3_600, 2_419_200);
    let _ = write!(out, "$TTL {TTL}\n@ IN SOA localhost. hostmaster.localhost. ( {serial} {TTL} 60 {expire} {TTL} )\n@ IN NS localhost.\n");
}

/// The records of one indicator.
pub(super) fn records(out: &mut String, entry: &Entry<'_>) {
    match entry.kind {
        ObservableType::Domain => {
            for wildcard in ["", "*."] {
                out.push_str(wildcard);
                name(out, entry.value);
                out.push_str(" IN CNAME .\n");
            }
        }
        _ => {
            if let Some((first, length)) = range(entry.value) {
                address(out, first, length);
                out.push_str(".rpz-ip IN CNAME .\n");
            }
        }
    }
}

/// A name whose characters mean nothing else in a zone file.
fn name(out: &mut String, text: &str) {
    for character in text.chars() {
        if !(character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')) {
            out.push('\\');
        }
        out.push(character);
    }
}

/// First address and length of a canonical range, whose host bits are cleared; an address alone is a range of one.
fn range(value: &str) -> Option<(IpAddr, u8)> {
    let (first, length) = value.split_once('/').map_or((value, None), |(first, length)| (first, Some(length)));
    let first: IpAddr = first.parse().ok()?;
    let whole = if first.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(whole), |text| text.parse().ok())?;
    (length <= whole).then_some((first, length))
}

fn address(out: &mut String, first: IpAddr, length: u8) {
    let _ = write!(out, "{length}");
    match first {
        IpAddr::V4(first) => {
            for byte in first.octets().iter().rev() {
                let _ = write!(out, ".{byte}");
            }
        }
        IpAddr::V6(first) => {
            let groups = first.segments();
            let zeros = longest_zeros(&groups);
            for (place, group) in groups.iter().enumerate().rev() {
                match zeros {
                    Some((_, end)) if place + 1 == end => out.push_str(".zz"),
                    Some((begin, end)) if (begin..end).contains(&place) => {}
                    _ => {
                        let _ = write!(out, ".{group:x}");
                    }
                }
            }
        }
    }
}

/// The first longest run of two or more groups of zeros: where it begins and where it ends.
fn longest_zeros(groups: &[u16]) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    let mut begin = 0;
    for (place, &group) in groups.iter().enumerate() {
        if group != 0 {
            begin = place + 1;
            continue;
        }
        let length = place + 1 - begin;
        if length >= 2 && best.is_none_or(|(first, end)| length > end - first) {
            best = Some((begin, place + 1));
        }
    }
    best
}
