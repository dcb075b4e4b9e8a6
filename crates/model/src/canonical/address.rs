//! IPv4, IPv6 and ranges of them.
//!
//! Invariant: the usual dotted quad takes one pass over its bytes and is copied as it stands.
//! Source: RFC 5952 for IPv6 text, RFC 4632 for ranges, WHATWG URL Standard (IPv4 parser) for octal and hexadecimal parts.

use super::{CanonicalError, visible};
use crate::Text;
use crate::detect::refang;
use compact_str::ToCompactString;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A decimal part of an address never needs more digits; a longer one with a leading zero is octal.
const DECIMAL_DIGITS: usize = 3;
/// Longer parts are no numbers of ours.
const MAX_PART_BYTES: usize = 12;

pub(super) fn ipv4(text: &str) -> Result<Text, CanonicalError> {
    if plain_ipv4(text.as_bytes()).is_some() {
        return Ok(Text::new(text));
    }
    let visible = visible(text);
    let refanged = refang(&visible);
    let bare = refanged.strip_suffix("/32").unwrap_or(&refanged);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    plain_ipv4(bare.as_bytes()).or_else(|| loose_ipv4(bare)).map(|address| address.to_compact_string()).ok_or(CanonicalError::Ipv4)
}

pub(super) fn ipv6(text: &str) -> Result<Text, CanonicalError> {
    let visible = visible(text);
    let refanged = refang(&visible);
    let bare = refanged.strip_suffix("/128").unwrap_or(&refanged);
    loose_ipv6(bare).or_else(|| loose_ipv6(&bare.replace(['[', ']', '(', ')'], ""))).map(|address| address.to_compact_string()).ok_or(CanonicalError::Ipv6)
}

/// Host bits cleared. A netmask is taken for the length; an address alone is a range of one.
pub(super) fn cidr(text: &str) -> Result<Text, CanonicalError> {
    let visible = visible(text);
    let refanged = refang(&visible);
    let (address, length) = refanged.split_once('/').map_or((&*refanged, None), |(address, length)| (address, Some(length)));
    let address = parse_address(address.trim()).ok_or(CanonicalError::Cidr)?;
    let length = length.map(str::trim);
    let range = match length {
        None => IpNet::from(address),
        Some(length) if !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse::<u8>().map_err(|_| CanonicalError::Cidr)?;
            IpNet::new(address, length).map_err(|_| CanonicalError::Cidr)?
        }
        Some(mask) => {
            let mask = plain_ipv4(mask.as_bytes()).ok_or(CanonicalError::Cidr)?;
            if !address.is_ipv4() {
                return Err(CanonicalError::Cidr);
            }
            IpNet::with_netmask(address, IpAddr::V4(mask)).map_err(|_| CanonicalError::Cidr)?
        }
    };
    Ok(range.trunc().to_compact_string())
}

/// An address in any of the forms that are understood.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    plain_ipv4(text.as_bytes()).or_else(|| loose_ipv4(text)).map(IpAddr::V4).or_else(|| loose_ipv6(text).map(IpAddr::V6))
}

/// The canonical text of an address.
pub(crate) fn address_text(address: IpAddr) -> Text {
    address.to_compact_string()
}

/// Four decimal parts without leading zeros, nothing else.
pub(crate) fn plain_ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    if bytes.len() > "255.255.255.255".len() {
        return None;
    }
    let (mut address, mut part, mut digits, mut dots) = (0_u32, 0_u32, 0_u32, 0_u32);
    for &byte in bytes {
        match byte {
            b'0'..=b'9' => {
                if digits > 0 && part == 0 {
                    return None;
                }
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
                if part > 255 {
                    return None;
                }
            }
            b'.' => {
                if digits == 0 || dots == 3 {
                    return None;
                }
                address = (address << 8) | part;
                dots += 1;
                part = 0;
                digits = 0;
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from_bits((address << 8) | part))
}

/// Four parts, zero-padded, octal or hexadecimal.
///
/// Loggers pad decimal parts to three digits, attackers hide addresses in octal. A decimal part never has four digits, so an address
/// with a longer part, or with a hexadecimal one, is read as a browser does (a leading zero means octal); any other as padded decimal.
pub(crate) fn loose_ipv4(text: &str) -> Option<Ipv4Addr> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let octal = text.split('.').any(|part| part.len() > DECIMAL_DIGITS || is_hexadecimal(part));
    let mut parts = text.split('.');
    let mut address = 0_u32;
    for _ in 0..4 {
        address = (address << 8) | u32::from(part_value(parts.next()?, octal)?);
    }
    parts.next().is_none().then(|| Ipv4Addr::from_bits(address))
}

fn is_hexadecimal(part: &str) -> bool {
    part.starts_with("0x") || part.starts_with("0X")
}

fn part_value(part: &str, octal: bool) -> Option<u8> {
    if part.is_empty() || part.len() > MAX_PART_BYTES {
        return None;
    }
    let (digits, radix) = if is_hexadecimal(part) {
        (part.get(2..)?, 16)
    } else if octal && part.len() > 1 && part.starts_with('0') {
        (part, 8)
    } else {
        (part, 10)
    };
    // `from_str_radix` takes a sign, which no address has.
    if digits.starts_with(['+', '-']) { None } else { u8::from_str_radix(digits, radix).ok() }
}

/// With or without brackets; a zone (`%eth0`) names an interface of someone's machine and is taken away.
fn loose_ipv6(text: &str) -> Option<Ipv6Addr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split('%').next().unwrap_or(bare);
    bare.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ipv4_has_no_leading_zeros() {
        for (text, value) in [
            ("1.2.3.4", "1.2.3.4"),
            ("255.255.255.255", "255.255.255.255"),
            ("192.168.001.010", "192.168.1.10"),
            ("046.105.081.076", "46.105.81.76"),
            ("0056.0151.0121.0114", "46.105.81.76"),
            ("0x2e.0x69.0x51.0x4c", "46.105.81.76"),
            ("0056.105.0121.76", "46.105.81.76"),
            ("1[.]2[.]3[.]4", "1.2.3.4"),
            ("1(.)2(.)3(.)4", "1.2.3.4"),
            ("1.2.3[dot]4", "1.2.3.4"),
            ("1.2.3.]4", "1.2.3.4"),
            ("1.2.3[.4", "1.2.3.4"),
            ("1.2.3.4/32", "1.2.3.4"),
            ("1.2.3.4\u{200b}", "1.2.3.4"),
        ] {
            assert_eq!(ipv4(text).as_deref(), Ok(value), "{text:?}");
        }
        for text in
            ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.+4", "0999.1.1.1", "1.2.3.4:80", "1.2.3.0/24", "2001:db8::1", "a.b.c.d", "1..2.3"]
        {
            assert_eq!(ipv4(text), Err(CanonicalError::Ipv4), "{text:?}");
        }
    }

    #[test]
    fn ipv6_is_written_as_rfc_5952_says() {
        for (text, value) in [
            ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001[:]db8[:]0[:]0[:]0[:]0[:]0[:]1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
            ("::", "::"),
            ("2001:db8::1/128", "2001:db8::1"),
        ] {
            assert_eq!(ipv6(text).as_deref(), Ok(value), "{text:?}");
        }
        for text in ["1.2.3.4", "2001:db8", "2001:db8:::1", "g::1", ""] {
            assert_eq!(ipv6(text), Err(CanonicalError::Ipv6), "{text:?}");
        }
    }

    #[test]
    fn ranges_have_their_host_bits_cleared() {
        for (text, value) in [
            ("1.2.3.4/24", "1.2.3.0/24"),
            ("1[.]2[.]3[.]0/24", "1.2.3.0/24"),
            ("1.2.3.0[/]24", "1.2.3.0/24"),
            ("10.1.2.3/255.0.0.0", "10.0.0.0/8"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("1.2.3.4", "1.2.3.4/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:ffff::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(cidr(text).as_deref(), Ok(value), "{text:?}");
        }
        for text in ["1.2.3.4/33", "1.2.3.4/2.php", "/24", "1.2.3.4/", "2001:db8::/129", "2001:db8::/255.0.0.0", "example.com/24"] {
            assert_eq!(cidr(text), Err(CanonicalError::Cidr), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_standard_library(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(plain_ipv4(address.to_string().as_bytes()), Some(address));
        }

        #[test]
        fn what_the_short_way_takes_is_canonical(text in "[0-9.]{0,16}") {
            if let Some(address) = plain_ipv4(text.as_bytes()) {
                prop_assert_eq!(address.to_string(), text);
            }
        }

        #[test]
        fn octal_and_hexadecimal_say_the_same(bits in any::<u32>()) {
            let [a, b, c, d] = bits.to_be_bytes();
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(loose_ipv4(&format!("0{a:03o}.0{b:03o}.0{c:03o}.0{d:03o}")), Some(address));
            prop_assert_eq!(loose_ipv4(&format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}")), Some(address));
            prop_assert_eq!(loose_ipv4(&format!("{a:03}.{b:03}.{c:03}.{d:03}")), Some(address));
        }
    }
}
