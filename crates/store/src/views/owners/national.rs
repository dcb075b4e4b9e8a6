//! The nation's address space: which addresses and AS numbers are the nation's, which AS announces them, and which line they belong to.
//!
//! Flow: tables of the registries → [`NationalParts`] → [`keep`] → `owners/national-HASH.bin`, which a control entry names → `fallback`.
//! Shape of the file: magic and version, then lists, each behind its length: addresses, AS numbers, routes, lines of addresses and of AS numbers.
//! Invariant: immutable, and named by the hash of its bytes, so that a name means one content for good; broken bytes are no table.
//! Not here: reading the registries' tables (`formats::delegated`), who is told (`fallback`).

use super::ranges::{Address, Range, Ranges};
use super::table::Span;
use crate::codec::{Reader, put_u32, put_u64};
use hashbrown::HashMap;
use ipnet::IpNet;
use model::{Constituency, Text};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// First bytes: name and format version.
const MAGIC: [u8; 8] = *b"BGNAT\0\x01\0";
/// Begins the names of these files.
const PREFIX: &str = "national-";
/// Ends them.
const SUFFIX: &str = ".bin";
/// Hexadecimal digits of the hash in a name: 128 bits.
const DIGITS: usize = 32;

/// What a table is made of, in any order and with repeats.
#[derive(Debug, Clone, Default)]
pub struct NationalParts {
    /// Addresses from the first to the last, both of one family.
    pub spans: Vec<(IpAddr, IpAddr)>,
    /// AS numbers from the first to the last.
    pub asns: Vec<(u32, u32)>,
    /// Which AS announces a prefix: its address, its length, the AS number. Those that touch no address of the nation are left out.
    pub routes: Vec<(IpAddr, u8, u32)>,
    /// The line that a prefix belongs to, the innermost counts.
    pub lines: Vec<(IpNet, Constituency)>,
    /// The line that an AS number belongs to; a prefix's own wins.
    pub asn_lines: Vec<(u32, Constituency)>,
}

/// How much a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NationalSize {
    /// Ranges of IPv4 addresses.
    pub ipv4_ranges: u64,
    /// Addresses in them.
    pub ipv4_addresses: u64,
    /// Ranges of IPv6 addresses.
    pub ipv6_ranges: u64,
    /// AS numbers.
    pub asns: u64,
    /// Routes.
    pub routes: u64,
}

/// A table in memory.
#[derive(Debug)]
pub(super) struct National {
    v4: Ranges<u32, ()>,
    v6: Ranges<u128, ()>,
    /// Apart and in order.
    asns: Vec<(u32, u32)>,
    routes_v4: Ranges<u32, u32>,
    routes_v6: Ranges<u128, u32>,
    lines_v4: Ranges<u32, Constituency>,
    lines_v6: Ranges<u128, Constituency>,
    asn_lines: HashMap<u32, Constituency>,
}

impl National {
    /// Whether all these addresses are the nation's.
    pub(super) fn holds(&self, span: Span) -> bool {
        let mut found = false;
        let mut give = |()| found = true;
        match span {
            Span::V4(first, last) => self.v4.holding(first, last, &mut give),
            Span::V6(first, last) => self.v6.holding(first, last, &mut give),
        }
        found
    }

    /// Whether anything is known of the family of these addresses, so that what is not the nation's by it is abroad.
    pub(super) fn knows(&self, span: Span) -> bool {
        match span {
            Span::V4(..) => !self.v4.is_empty(),
            Span::V6(..) => !self.v6.is_empty(),
        }
    }

    /// Whether the AS number is the nation's.
    pub(super) fn holds_asn(&self, asn: u32) -> bool {
        covering(&self.asns, asn).is_some_and(|range| asn <= range.1)
    }

    /// Gives the AS numbers that announce prefixes around these addresses, those of the innermost prefix first.
    pub(super) fn announced(&self, span: Span, give: &mut impl FnMut(u32)) {
        match span {
            Span::V4(first, last) => self.routes_v4.holding(first, last, give),
            Span::V6(first, last) => self.routes_v6.holding(first, last, give),
        }
    }

    /// The line that these addresses were said to belong to.
    pub(super) fn line(&self, span: Span) -> Option<Constituency> {
        let mut found = None;
        let mut give = |line: Constituency| {
            found.get_or_insert(line);
        };
        match span {
            Span::V4(first, last) => self.lines_v4.holding(first, last, &mut give),
            Span::V6(first, last) => self.lines_v6.holding(first, last, &mut give),
        }
        found
    }

    /// The line that an AS number was said to belong to.
    pub(super) fn line_of_asn(&self, asn: u32) -> Option<Constituency> {
        self.asn_lines.get(&asn).copied()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.array::<8>()? != MAGIC {
            return None;
        }
        let v4 = list(&mut reader, |reader| Some(Range { first: reader.u32()?, last: reader.u32()?, entry: () }))?;
        let v6 = list(&mut reader, |reader| Some(Range { first: read_u128(reader)?, last: read_u128(reader)?, entry: () }))?;
        let asns = list(&mut reader, |reader| Some((reader.u32()?, reader.u32()?)))?;
        let routes_v4 = list(&mut reader, |reader| Some(Range { first: reader.u32()?, last: reader.u32()?, entry: reader.u32()? }))?;
        let routes_v6 = list(&mut reader, |reader| Some(Range { first: read_u128(reader)?, last: read_u128(reader)?, entry: reader.u32()? }))?;
        let lines_v4 = list(&mut reader, |reader| Some(Range { first: reader.u32()?, last: reader.u32()?, entry: read_line(reader)? }))?;
        let lines_v6 = list(&mut reader, |reader| Some(Range { first: read_u128(reader)?, last: read_u128(reader)?, entry: read_line(reader)? }))?;
        let asn_lines = list(&mut reader, |reader| Some((reader.u32()?, read_line(reader)?)))?;
        reader.is_empty().then(|| Self {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
            asns,
            routes_v4: Ranges::new(routes_v4),
            routes_v6: Ranges::new(routes_v6),
            lines_v4: Ranges::new(lines_v4),
            lines_v6: Ranges::new(lines_v6),
            asn_lines: asn_lines.into_iter().collect(),
        })
    }

    /// The table of a name; `None` where there is no such file or its bytes are others.
    pub(super) fn load(folder: &Path, name: &str) -> Option<Self> {
        let bytes = std::fs::read(path(folder, name)).ok()?;
        if hash(&bytes) == name { Self::from_bytes(&bytes) } else { None }
    }

    /// The newest table there is, for one that is lost.
    pub(super) fn newest(folder: &Path) -> Option<(Text, Self)> {
        let mut names: Vec<_> = names(folder).filter_map(|name| Some((path(folder, &name).metadata().ok()?.modified().ok()?, name))).collect();
        names.sort_unstable();
        names.into_iter().rev().find_map(|(_, name)| Some((name.clone(), Self::load(folder, &name)?)))
    }
}

/// Of ranges apart and in order the last one that begins at or before `value`.
fn covering<A: Address>(ranges: &[(A, A)], value: A) -> Option<&(A, A)> {
    ranges.partition_point(|range| range.0 <= value).checked_sub(1).and_then(|at| ranges.get(at))
}

impl NationalParts {
    /// The bytes of the table and how much it holds; the same content gives the same bytes whatever its order.
    fn to_bytes(&self) -> (Vec<u8>, NationalSize) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for span in &self.spans {
            match span {
                (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => v4.push((u32::from(*first), u32::from(*last))),
                (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => v6.push((u128::from(*first), u128::from(*last))),
                _ => {}
            }
        }
        let (v4, v6) = (merged(v4), merged(v6));
        let asns = merged(self.asns.iter().copied().filter(|range| range.0 <= range.1).collect());
        let (mut routes_v4, mut routes_v6) = (Vec::new(), Vec::new());
        for &(address, length, asn) in &self.routes {
            match IpNet::new(address, length).map(|range| Span::of_range(range.trunc())) {
                Ok(Span::V4(first, last)) if touches(&v4, first, last) => routes_v4.push((first, last, asn)),
                Ok(Span::V6(first, last)) if touches(&v6, first, last) => routes_v6.push((first, last, asn)),
                Ok(_) | Err(_) => {}
            }
        }
        let (mut lines_v4, mut lines_v6) = (Vec::new(), Vec::new());
        for &(range, line) in &self.lines {
            match Span::of_range(range.trunc()) {
                Span::V4(first, last) => lines_v4.push((first, last, line.number())),
                Span::V6(first, last) => lines_v6.push((first, last, line.number())),
            }
        }
        let mut asn_lines: Vec<(u32, u8)> = self.asn_lines.iter().map(|&(asn, line)| (asn, line.number())).collect();
        tidy(&mut routes_v4);
        tidy(&mut routes_v6);
        tidy(&mut lines_v4);
        tidy(&mut lines_v6);
        tidy(&mut asn_lines);
        let size = NationalSize {
            ipv4_ranges: v4.len() as u64,
            ipv4_addresses: v4.iter().map(|range| u64::from(range.1 - range.0) + 1).sum(),
            ipv6_ranges: v6.len() as u64,
            asns: asns.iter().map(|range| u64::from(range.1 - range.0) + 1).sum(),
            routes: (routes_v4.len() + routes_v6.len()) as u64,
        };
        let mut out = MAGIC.to_vec();
        put_list(&mut out, &v4, |out, range| {
            put_u32(out, range.0);
            put_u32(out, range.1);
        });
        put_list(&mut out, &v6, |out, range| {
            put_u128(out, range.0);
            put_u128(out, range.1);
        });
        put_list(&mut out, &asns, |out, range| {
            put_u32(out, range.0);
            put_u32(out, range.1);
        });
        put_list(&mut out, &routes_v4, |out, route| {
            put_u32(out, route.0);
            put_u32(out, route.1);
            put_u32(out, route.2);
        });
        put_list(&mut out, &routes_v6, |out, route| {
            put_u128(out, route.0);
            put_u128(out, route.1);
            put_u32(out, route.2);
        });
        put_list(&mut out, &lines_v4, |out, line| {
            put_u32(out, line.0);
            put_u32(out, line.1);
            out.push(line.2);
        });
        put_list(&mut out, &lines_v6, |out, line| {
            put_u128(out, line.0);
            put_u128(out, line.1);
            out.push(line.2);
        });
        put_list(&mut out, &asn_lines, |out, line| {
            put_u32(out, line.0);
            out.push(line.1);
        });
        (out, size)
    }
}

/// Writes a table durably below `folder`, where it is not there yet; gives its name and how much it holds.
///
/// # Errors
/// What the file system says.
pub fn keep(folder: &Path, parts: &NationalParts) -> std::io::Result<(Text, NationalSize)> {
    let (bytes, size) = parts.to_bytes();
    let name = hash(&bytes);
    if !is_kept(folder, &name) {
        std::fs::create_dir_all(folder)?;
        let temporary = folder.join("national.tmp");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path(folder, &name))?;
        File::open(folder)?.sync_all()?;
    }
    Ok((name, size))
}

/// Whether the table of this name is there.
pub fn is_kept(folder: &Path, name: &str) -> bool {
    std::fs::read(path(folder, name)).is_ok_and(|bytes| hash(&bytes) == name)
}

/// The names of the tables that are there.
pub fn names(folder: &Path) -> impl Iterator<Item = Text> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let file = entry.file_name();
        let name = file.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        (name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Text::from(name))
    })
}

/// Where the table of this name is, or would be.
pub fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{name}{SUFFIX}"))
}

/// Takes away the tables that no name in `wanted` means; gives how many.
pub fn tidy_away(folder: &Path, wanted: &[Text]) -> usize {
    names(folder).filter(|name| !wanted.contains(name)).filter(|name| std::fs::remove_file(path(folder, name)).is_ok()).count()
}

fn hash(bytes: &[u8]) -> Text {
    let hex = blake3::hash(bytes).to_hex();
    Text::from(hex.get(..DIGITS).unwrap_or_default())
}

/// Ranges apart and in order that hold the same values.
fn merged<A: Address>(mut ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    ranges.sort_unstable();
    let mut made: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match made.last_mut() {
            // Where nothing comes after the last one, everything else lies in it.
            Some(last) if last.1.after().is_none_or(|after| range.0 <= after) => last.1 = last.1.max(range.1),
            _ => made.push(range),
        }
    }
    made
}

/// Whether one of the ranges, apart and in order, shares a value with these.
fn touches<A: Address>(ranges: &[(A, A)], first: A, last: A) -> bool {
    covering(ranges, last).is_some_and(|range| first <= range.1)
}

fn tidy<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

fn put_list<T>(out: &mut Vec<u8>, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_u64(out, list.len() as u64);
    list.iter().for_each(|item| put(out, item));
}

fn list<T>(reader: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    // No room is made for a number that broken bytes may state.
    (0..reader.u64()?).map(|_| read(reader)).collect()
}

fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn read_u128(reader: &mut Reader<'_>) -> Option<u128> {
    reader.array().map(u128::from_le_bytes)
}

fn read_line(reader: &mut Reader<'_>) -> Option<Constituency> {
    Constituency::from_number(reader.u8()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
pub(super) mod tests {
    use super::*;
    use model::ObservableType;

    pub(in super::super) fn parts() -> NationalParts {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        NationalParts {
            spans: vec![
                (address("1.11.128.0"), address("1.11.255.255")),
                (address("1.11.0.0"), address("1.11.127.255")),
                (address("203.0.113.0"), address("203.0.115.255")),
                (address("2001:dc5::"), address("2001:dc5:ffff:ffff:ffff:ffff:ffff:ffff")),
            ],
            asns: vec![(9_316, 9_319), (4_766, 4_766)],
            routes: vec![
                (address("1.11.0.0"), 16, 9_318),
                (address("1.11.7.0"), 24, 64_500),
                (address("203.0.112.0"), 22, 4_766),
                (address("8.8.8.0"), 24, 15_169),
                (address("2001:dc5::"), 32, 4_766),
            ],
            lines: vec![("203.0.114.0/24".parse().unwrap(), Constituency::Public)],
            asn_lines: vec![(9_319, Constituency::Defence)],
        }
    }

    fn span(value: &str) -> Span {
        let kind = if value.contains('/') { ObservableType::Cidr } else { ObservableType::Ipv6 };
        Span::of(kind, value).unwrap()
    }

    fn announced(national: &National, value: &str) -> Vec<u32> {
        let mut found = Vec::new();
        national.announced(span(value), &mut |asn| found.push(asn));
        found
    }

    #[test]
    fn a_table_knows_whose_an_address_is_and_who_announces_it() {
        let folder = tempfile::tempdir().unwrap();
        let (name, size) = keep(folder.path(), &parts()).unwrap();
        assert_eq!(size, NationalSize { ipv4_ranges: 2, ipv4_addresses: 65_536 + 768, ipv6_ranges: 1, asns: 5, routes: 4 });
        let national = National::load(folder.path(), &name).unwrap();
        for (value, expected) in [
            ("1.11.127.255", true),
            ("1.11.0.0/16", true),
            ("1.12.0.0", false),
            ("203.0.112.9", false),
            ("203.0.115.9", true),
            ("2001:dc5::9", true),
            ("2001:dc6::9", false),
        ] {
            assert_eq!(national.holds(span(value)), expected, "{value}");
        }
        assert_eq!([4_765, 4_766, 4_767, 9_319, 9_320].map(|asn| national.holds_asn(asn)), [false, true, false, true, false]);
        assert_eq!(announced(&national, "1.11.7.9"), [64_500, 9_318]);
        assert_eq!(announced(&national, "203.0.113.9"), [4_766], "a route may reach beyond the nation");
        assert!(announced(&national, "8.8.8.8").is_empty());
        assert_eq!(national.line(span("203.0.114.1")), Some(Constituency::Public));
        assert_eq!((national.line(span("203.0.113.1")), national.line_of_asn(9_319)), (None, Some(Constituency::Defence)));
    }

    #[test]
    fn the_same_content_has_the_same_name_and_broken_bytes_are_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let (name, _) = keep(folder.path(), &parts()).unwrap();
        let mut turned = parts();
        turned.spans.reverse();
        turned.routes.reverse();
        turned.routes.extend(parts().routes);
        assert_eq!(keep(folder.path(), &turned).unwrap().0, name);
        assert_eq!(names(folder.path()).collect::<Vec<_>>(), std::slice::from_ref(&name));
        assert!(is_kept(folder.path(), &name));
        let bytes = std::fs::read(path(folder.path(), &name)).unwrap();
        for end in 0..bytes.len() {
            assert!(National::from_bytes(&bytes[..end]).is_none(), "{end}");
        }
        std::fs::write(path(folder.path(), &name), &bytes[1..]).unwrap();
        assert!(!is_kept(folder.path(), &name) && National::load(folder.path(), &name).is_none());
        assert_eq!(keep(folder.path(), &parts()).unwrap().0, name, "what is broken is written again");
        assert!(National::newest(folder.path()).is_some_and(|(newest, _)| newest == name));
        let other = keep(folder.path(), &NationalParts::default()).unwrap().0;
        assert_eq!(tidy_away(folder.path(), std::slice::from_ref(&other)), 1);
        assert_eq!(names(folder.path()).collect::<Vec<_>>(), [other]);
    }

    #[test]
    fn ranges_that_meet_are_one() {
        assert_eq!(merged::<u32>(vec![(5, 9), (0, 4), (11, 12), (11, 11)]), [(0, 9), (11, 12)]);
        assert_eq!(merged::<u32>(vec![(u32::MAX - 1, u32::MAX), (u32::MAX, u32::MAX), (0, u32::MAX)]), [(0, u32::MAX)]);
        assert!(touches::<u32>(&[(5, 9)], 0, 5) && touches::<u32>(&[(5, 9)], 6, 7) && !touches::<u32>(&[(5, 9)], 10, 12) && !touches::<u32>(&[(5, 9)], 0, 4));
    }
}
