//! Address space as the registries tell it: which addresses and AS numbers are a country's, and which AS announces which prefix.
//!
//! Flow: [`delegated`] reads a registry's delegated-extended file for one country; [`routes`] reads prefixes with the AS numbers that announce them.
//! Invariant: bounded by [`MAX_ROWS`] and [`MAX_LINE`]. A file that is cut off or not what it should be is refused as a whole: half a nation is
//! worse than yesterday's.
//! Not here: reading files (`hub::owners`), looking an address up (`store::views::owners`).
//! Source: the registries' README-EXTENDED-STATS on the format "delegated-extended" (version 2.x); CAIDA's description of `pfx2as` files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Rows of a file at the most.
pub const MAX_ROWS: u64 = 8_000_000;
/// Bytes of a line at the most.
pub const MAX_LINE: usize = 1_024;
/// AS numbers that are taken of one prefix.
pub const MAX_ORIGINS: usize = 8;
/// Of so many rows one may be unreadable.
const ROWS_FOR_ONE_FAULT: u64 = 100;
/// So many percent of the records that a file says it has must be there.
const LEAST_PERCENT: u64 = 90;

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More rows than are read.
    #[error("more than {MAX_ROWS} rows")]
    TooManyRows,
    /// It ends before its end.
    #[error("says that it has {stated} records and has {found}: it is cut off")]
    CutOff {
        /// Records by its first line.
        stated: u64,
        /// Records that are there.
        found: u64,
    },
    /// Too much of it is something else.
    #[error("{unreadable} of {rows} rows cannot be read; the first is line {line}: {reason}")]
    Unreadable {
        /// Rows that cannot be read.
        unreadable: u64,
        /// Rows.
        rows: u64,
        /// The first of them.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing is in it.
    #[error("holds no row")]
    Empty,
}

/// What a registry says is a country's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegated {
    /// Addresses from the first to the last, both of one family.
    pub spans: Vec<(IpAddr, IpAddr)>,
    /// AS numbers from the first to the last.
    pub asns: Vec<(u32, u32)>,
    /// Rows that cannot be read and were passed over.
    pub unreadable: u64,
}

/// Rows counted, and the first that cannot be read.
#[derive(Default)]
struct Tally {
    rows: u64,
    unreadable: u64,
    first: Option<(u64, &'static str)>,
}

impl Tally {
    fn row(&mut self) -> Result<(), TableError> {
        self.rows += 1;
        if self.rows > MAX_ROWS { Err(TableError::TooManyRows) } else { Ok(()) }
    }

    fn fault(&mut self, line: u64, reason: &'static str) {
        self.unreadable += 1;
        self.first.get_or_insert((line, reason));
    }

    fn verdict(&self) -> Result<(), TableError> {
        let few = self.unreadable.saturating_mul(ROWS_FOR_ONE_FAULT) <= self.rows;
        match self.first {
            Some((line, reason)) if !few => Err(TableError::Unreadable { unreadable: self.unreadable, rows: self.rows, line, reason }),
            _ if self.rows == 0 => Err(TableError::Empty),
            _ => Ok(()),
        }
    }
}

/// Reads a delegated-extended file for what is allocated or assigned in `country` (two letters).
///
/// # Errors
/// [`TableError`] where it is cut off, too large, or another kind of file.
pub fn delegated(bytes: &[u8], country: &str) -> Result<Delegated, TableError> {
    let mut found = Delegated::default();
    let mut tally = Tally::default();
    let mut stated = None;
    for (number, line) in lines(bytes) {
        let Some(line) = line else {
            tally.row()?;
            tally.fault(number, "a line that is too long or no text");
            continue;
        };
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        match fields.as_slice() {
            [_, "*", _, "*", _, "summary", ..] => {}
            // The first line: version, registry, serial number, records …
            [version, _, _, records, ..] if tally.rows == 0 && stated.is_none() && version.starts_with(|first: char| first.is_ascii_digit()) => {
                stated = Some(records.parse::<u64>().unwrap_or_default());
            }
            [_, of, kind, start, value, _, status, ..] => {
                tally.row()?;
                if of.eq_ignore_ascii_case(country)
                    && (status.eq_ignore_ascii_case("allocated") || status.eq_ignore_ascii_case("assigned"))
                    && let Err(reason) = found.take(kind, start, value)
                {
                    tally.fault(number, reason);
                }
            }
            _ => {
                tally.row()?;
                tally.fault(number, "fewer than seven fields");
            }
        }
    }
    tally.verdict()?;
    if let Some(stated) = stated.filter(|stated| tally.rows.saturating_mul(100) < stated.saturating_mul(LEAST_PERCENT)) {
        return Err(TableError::CutOff { stated, found: tally.rows });
    }
    found.unreadable = tally.unreadable;
    Ok(found)
}

impl Delegated {
    fn take(&mut self, kind: &str, start: &str, value: &str) -> Result<(), &'static str> {
        if kind.eq_ignore_ascii_case("ipv4") {
            let first: Ipv4Addr = start.parse().map_err(|_| "no IPv4 address")?;
            let many: u64 = value.parse().map_err(|_| "no number of addresses")?;
            let last = many.checked_sub(1).and_then(|more| u64::from(u32::from(first)).checked_add(more)).and_then(|last| u32::try_from(last).ok());
            self.spans.push((first.into(), Ipv4Addr::from(last.ok_or("no such range of addresses")?).into()));
        } else if kind.eq_ignore_ascii_case("ipv6") {
            let first: Ipv6Addr = start.parse().map_err(|_| "no IPv6 address")?;
            let length: u8 = value.parse().ok().filter(|length| (1..=128).contains(length)).ok_or("no length of a prefix")?;
            let hosts = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let first = u128::from(first) & !hosts;
            self.spans.push((Ipv6Addr::from(first).into(), Ipv6Addr::from(first | hosts).into()));
        } else if kind.eq_ignore_ascii_case("asn") {
            let first = as_number(start).ok_or("no AS number")?;
            let many: u32 = value.parse().map_err(|_| "no number of AS numbers")?;
            let last = many.checked_sub(1).and_then(|more| first.checked_add(more)).ok_or("no such range of AS numbers")?;
            self.asns.push((first, last));
        } else {
            return Err("an unknown type");
        }
        Ok(())
    }
}

/// Reads prefixes with the AS numbers that announce them, and gives each pair: `PREFIX,ASN` (more columns are passed over) or `pfx2as`, whose
/// columns are address, length and AS numbers. Gives how many rows could not be read and were passed over.
///
/// # Errors
/// [`TableError`] where it is too large or another kind of file.
pub fn routes(bytes: &[u8], mut give: impl FnMut(IpAddr, u8, u32)) -> Result<u64, TableError> {
    let mut tally = Tally::default();
    let mut titled = false;
    for (number, line) in lines(bytes) {
        tally.row()?;
        match line.and_then(route) {
            // Everything is nobody's.
            Some((_, 0, _)) => {}
            Some((address, length, origins)) => {
                origins.filter_map(as_number).filter(|asn| *asn != 0).take(MAX_ORIGINS).for_each(|asn| give(address, length, asn));
            }
            // A line of titles.
            None if tally.rows == 1 && !titled => {
                titled = true;
                tally.rows = 0;
            }
            None => tally.fault(number, "no prefix with an AS number"),
        }
    }
    tally.verdict()?;
    Ok(tally.unreadable)
}

/// A prefix with its host bits cleared, and the texts of its AS numbers, of which the first is one.
fn route(line: &str) -> Option<(IpAddr, u8, impl Iterator<Item = &str>)> {
    let separator = [',', ';', '\t', ' '];
    let (prefix, rest) = line.trim().split_once(separator)?;
    let prefix = prefix.trim_matches('"');
    let (address, length, origins) = match prefix.split_once('/') {
        Some((address, length)) => {
            let column = rest.trim_start_matches(separator).split(separator).next().unwrap_or_default();
            (address, length, column.trim_matches('"'))
        }
        None => {
            let (length, origins) = rest.trim_start().split_once([' ', '\t'])?;
            (prefix, length, origins.trim())
        }
    };
    let length: u8 = length.parse().ok()?;
    let address = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) if length <= 32 => {
            let hosts = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            IpAddr::from(Ipv4Addr::from(u32::from(address) & !hosts))
        }
        IpAddr::V6(address) if length <= 128 => {
            let hosts = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            IpAddr::from(Ipv6Addr::from(u128::from(address) & !hosts))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    // Several announce it (`_`), or it was put together of several (`,` and braces).
    let parts = move || origins.split(['_', ',', '{', '}', ' ']).filter(|part| !part.is_empty());
    as_number(parts().next()?)?;
    Some((address, length, parts()))
}

/// `4766` or `AS4766`.
fn as_number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and_then(|_| text.get(2..)).unwrap_or(text);
    // The parser would take a sign.
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

/// Lines with their numbers, without comments and empty ones; `None` for one that is too long or no text.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, Option<&str>)> {
    bytes.split(|byte| *byte == b'\n').zip(1_u64..).filter_map(|(line, number)| {
        let text = if line.len() > MAX_LINE { None } else { std::str::from_utf8(line).ok() };
        let text = text.map(str::trim);
        if text.is_some_and(|text| text.is_empty() || text.starts_with('#')) { None } else { Some((number, text)) }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "2.3|apnic|20260101|8|19850701|20251231|+1000\n\
        # a comment\n\
        apnic|*|asn|*|2|summary\n\
        apnic|*|ipv4|*|4|summary\n\
        apnic|KR|asn|4766|1|19950101|allocated|A91\n\
        apnic|KR|asn|9316|4|20000101|allocated|A92\n\
        apnic|KR|ipv4|1.11.0.0|65536|20100101|allocated|A93\n\
        apnic|kr|ipv4|203.0.113.0|768|20100101|assigned|A93\n\
        apnic|JP|ipv4|1.0.16.0|4096|20110412|allocated|A94\n\
        apnic||ipv4|1.1.1.0|256||available|\n\
        apnic|KR|ipv4|1.2.0.0|256|20110412|reserved|A94\n\
        apnic|KR|ipv6|2001:dc5::|32|20010101|allocated|A95\n";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_allocated_or_assigned_in_the_country_is_taken_and_nothing_else() {
        let found = delegated(FILE.as_bytes(), "KR").unwrap();
        assert_eq!(
            found.spans,
            [
                (address("1.11.0.0"), address("1.11.255.255")),
                (address("203.0.113.0"), address("203.0.115.255")),
                (address("2001:dc5::"), address("2001:dc5:ffff:ffff:ffff:ffff:ffff:ffff")),
            ],
            "a number of addresses need be no power of two"
        );
        assert_eq!(found.asns, [(4_766, 4_766), (9_316, 9_319)]);
        assert_eq!(delegated(FILE.as_bytes(), "FR").unwrap(), Delegated::default());
    }

    #[test]
    fn a_file_that_is_cut_off_or_another_kind_is_refused_as_a_whole() {
        let half: String = FILE.lines().take(8).flat_map(|line| [line, "\n"]).collect();
        assert_eq!(delegated(half.as_bytes(), "KR").unwrap_err(), TableError::CutOff { stated: 8, found: 4 });
        assert_eq!(delegated(b"", "KR").unwrap_err(), TableError::Empty);
        let page = delegated(b"<html>\n<body>moved</body>\n", "KR").unwrap_err();
        assert!(page.to_string().contains("line 1"), "{page}");
        let rows = ["ipv4|1.2.3.4|0", "ipv4|255.255.255.0|512", "ipv6|::|0", "asn|4294967295|2", "asn|x|1", "ipx|1|1"];
        for row in rows.map(|row| format!("apnic|KR|{row}|x|allocated")) {
            assert!(matches!(delegated(row.as_bytes(), "KR"), Err(TableError::Unreadable { unreadable: 1, .. })), "{row}");
        }
    }

    #[test]
    fn one_bad_row_among_many_is_passed_over_and_counted() {
        let mut file = String::from("apnic|KR|ipv4|nowhere|256|x|allocated|A\n");
        for third in 0..200 {
            file.push_str(&format!("apnic|KR|ipv4|10.0.{third}.0|256|x|allocated|A\n"));
        }
        let found = delegated(file.as_bytes(), "KR").unwrap();
        assert_eq!((found.spans.len(), found.unreadable), (200, 1));
    }

    #[test]
    fn routes_are_read_in_both_shapes() {
        let file = "prefix,asn,name\n\
            1.11.7.9/16,AS9318,\"SK Broadband, Co.\"\n\
            2001:dc5::/32;4766\n\
            0.0.0.0/0,64500\n\
            \"203.0.113.0/24\",\"4766\"\n";
        let mut found = Vec::new();
        assert_eq!(routes(file.as_bytes(), |address, length, asn| found.push((address.to_string(), length, asn))).unwrap(), 0);
        let expected = [("1.11.0.0", 16, 9_318), ("2001:dc5::", 32, 4_766), ("203.0.113.0", 24, 4_766)];
        assert_eq!(found, expected.map(|(address, length, asn)| (address.to_owned(), length, asn)));

        let mut found = Vec::new();
        routes(b"1.11.0.0\t16\t9318_4766\n2001:dc5::\t32\t{4766,3786}\n", |_, length, asn| found.push((length, asn))).unwrap();
        assert_eq!(found, [(16, 9_318), (16, 4_766), (32, 4_766), (32, 3_786)]);
        assert!(matches!(routes(b"nothing\nof\nthe kind\n", |_, _, _| {}), Err(TableError::Unreadable { .. })));
        assert_eq!(routes(b"# only this\n", |_, _, _| {}), Err(TableError::Empty));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[0-9a-fA-FKR|./:,_{}\t\n ]{0,200}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = delegated(bytes, "KR");
                let _ = routes(bytes, |address, length, _| assert!(length <= if address.is_ipv4() { 32 } else { 128 }));
            }
        }
    }
}
