//! Sets: Suricata's data sets and nftables' named sets.
//!
//! Source: Suricata's documentation of data sets (values of type `string` in base64, addresses and hashes as text, no comments); nft(8).

use super::Entry;
use model::ObservableType;

/// Elements of one `add element`; longer commands are slow to parse.
const ELEMENTS: usize = 1_000;
/// The table and its two sets. Adding what is there changes nothing, and the sets are emptied in the same transaction that fills them.
const TABLE: &str = "add table inet bongsu
add set inet bongsu ipv4 { type ipv4_addr; flags interval; auto-merge; }
add set inet bongsu ipv6 { type ipv6_addr; flags interval; auto-merge; }
flush set inet bongsu ipv4
flush set inet bongsu ipv6
";

/// One line of a data set.
pub(super) fn dataset(out: &mut String, entry: &Entry<'_>) {
    match entry.kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Md5 | ObservableType::Sha256 => out.push_str(entry.value),
        _ => base64(out, entry.value.as_bytes()),
    }
    out.push('\n');
}

/// A file for `nft -f` that replaces the content of both sets at once and leaves every other table alone.
pub(super) fn nft<'a>(entries: impl Iterator<Item = Entry<'a>>, out: &mut String) {
    let (mut v4, mut v6): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.value.contains(':') { v6.push(entry.value) } else { v4.push(entry.value) }
    }
    out.push_str(TABLE);
    for (set, values) in [("ipv4", &v4), ("ipv6", &v6)] {
        for part in values.chunks(ELEMENTS) {
            out.push_str("add element inet bongsu ");
            out.push_str(set);
            out.push_str(" { ");
            for (place, value) in part.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                out.push_str(value);
            }
            out.push_str(" }\n");
        }
    }
}

/// Source: RFC 4648 section 4.
pub(super) fn base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32, place: u32| ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize).map_or('=', |&byte| char::from(byte));
    for part in bytes.chunks(3) {
        let bits = part.iter().enumerate().fold(0_u32, |bits, (place, &byte)| bits | u32::from(byte) << (16 - 8 * place));
        for place in 0..4 {
            out.push(if place <= part.len() as u32 { digit(bits, place) } else { '=' });
        }
    }
}
