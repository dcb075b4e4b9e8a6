//! Tables whose columns have names of their own: the header is written anew with ours.
//!
//! Invariant: rows and their lines stay as they are; of a table without a header the header goes in front of its first row.
//! Not here: what our names mean (`columns`).

use super::{BYTE_ORDER_MARK, DELIMITERS, columns};
use crate::csv::row::clean;
use ::csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use std::collections::BTreeMap;

/// Bytes looked at for the header.
const HEADER_BYTES: usize = 64 << 10;
/// Columns of a table without a header at the most.
const MAX_COLUMNS: usize = 1_000;

/// A table with our header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The table.
    pub body: Vec<u8>,
    /// Lines that were put in front of it.
    pub added: u64,
}

/// Whether a name is one of a field that tables of events have.
pub fn is_field(name: &str) -> bool {
    columns::column(name).is_some()
}

/// Whether a name is one of a field that holds an observable of a type, as `ip` or `sha256`.
pub fn is_observable(name: &str) -> bool {
    matches!(columns::column(name), Some(columns::Column::Typed(_)))
}

/// Writes the header of a table anew: each column that `names` holds (by its name, whatever its case, or by its number from 1 on where the table
/// has no header) is called as `names` says.
///
/// # Errors
/// A reason for the operator where no column of the table is among them.
pub fn rename(body: &[u8], names: &BTreeMap<String, String>) -> Result<Renamed, String> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if names.keys().all(|name| name.parse::<usize>().is_ok()) {
        return number(body, names);
    }
    let names: BTreeMap<String, &str> = names.iter().map(|(theirs, ours)| (theirs.trim().to_lowercase(), ours.as_str())).collect();
    let beginning = body.get(..HEADER_BYTES).unwrap_or(body);
    let mut at = 0;
    let mut comment: Option<(usize, usize)> = None;
    while let Some(rest) = beginning.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest).trim_ascii();
        if line.starts_with(b"#") {
            comment = Some((at, at + length));
        } else if !line.is_empty() {
            // The line itself, else the last comment before it, as `# id,dateadded,url`.
            let places = [Some((at, at + length)), comment];
            let found = places.into_iter().flatten().find_map(|(from, to)| Some((from, to, renamed(beginning.get(from..to)?, &names)?)));
            let Some((from, to, header)) = found else { break };
            let mut out = Vec::with_capacity(body.len() + header.len());
            out.extend_from_slice(body.get(..from).unwrap_or_default());
            out.extend_from_slice(&header);
            out.extend_from_slice(body.get(to..).unwrap_or_default());
            return Ok(Renamed { body: out, added: 0 });
        }
        at += length;
    }
    if at >= body.len() {
        // Nothing but comments and blank lines: an empty table.
        return Ok(Renamed { body: body.to_vec(), added: 0 });
    }
    Err("none of the configured columns is in the table's header".to_owned())
}

/// One line as a header with our names; `None` where it has none of theirs.
fn renamed(line: &[u8], names: &BTreeMap<String, &str>) -> Option<Vec<u8>> {
    let end = line.len() - line.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let (text, ending) = line.split_at_checked(end)?;
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"#").unwrap_or(text).trim_ascii_start();
    let mut best: Option<(usize, Vec<u8>)> = None;
    for delimiter in DELIMITERS {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).unwrap_or(false) {
            continue;
        }
        let cells: Vec<String> = record.iter().map(|cell| clean(cell).to_lowercase()).collect();
        let known = cells.iter().filter(|cell| names.contains_key(*cell)).count();
        if known > 0 && best.as_ref().is_none_or(|(most, _)| known > *most) {
            let ours = cells.iter().map(|cell| names.get(cell).copied().unwrap_or(cell.as_str()));
            best = Some((known, written(ours, delimiter)?));
        }
    }
    let (_, mut header) = best?;
    header.extend_from_slice(ending);
    Some(header)
}

/// Puts a header in front of a table that has none.
fn number(body: &[u8], names: &BTreeMap<String, String>) -> Result<Renamed, String> {
    let numbered: BTreeMap<usize, &str> = names.iter().filter_map(|(number, ours)| Some((number.parse().ok()?, ours.as_str()))).collect();
    let count = numbered.keys().max().copied().unwrap_or(0);
    if count == 0 || count > MAX_COLUMNS || numbered.contains_key(&0) {
        return Err(format!("columns by number: expected 1 to {MAX_COLUMNS}"));
    }
    let mut at = 0;
    let first = loop {
        let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(Renamed { body: body.to_vec(), added: 0 }) };
        let length = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest).trim_ascii();
        if !line.is_empty() && !line.starts_with(b"#") {
            break line;
        }
        at += length;
    };
    let cells = |delimiter: u8| memchr::memchr_iter(delimiter, first).count();
    // Of equal ones the first in the order in which they are tried.
    let delimiter = DELIMITERS.into_iter().rev().max_by_key(|delimiter| cells(*delimiter)).unwrap_or(b',');
    let unnamed: Vec<String> = (1..=count).map(|column| format!("column {column}")).collect();
    let header = unnamed.iter().enumerate().map(|(place, unnamed)| numbered.get(&(place + 1)).copied().unwrap_or(unnamed.as_str()));
    let header = written(header, delimiter).ok_or("columns cannot be written as a header")?;
    // Comments stay in front: behind a header they would be rows.
    let (before, rows) = body.split_at_checked(at).unwrap_or((body, b"".as_slice()));
    Ok(Renamed { body: [before, header.as_slice(), b"\n".as_slice(), rows].concat(), added: 1 })
}

/// Cells as one record without its line end.
fn written<'a>(cells: impl Iterator<Item = &'a str>, delimiter: u8) -> Option<Vec<u8>> {
    let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    writer.write_record(cells).ok()?;
    let mut out = writer.into_inner().ok()?;
    out.truncate(out.trim_ascii_end().len());
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned())).collect()
    }

    fn text(renamed: &Renamed) -> &str {
        std::str::from_utf8(&renamed.body).unwrap()
    }

    #[test]
    fn columns_get_our_names_wherever_the_header_is() {
        let map = names(&[("Bad Host", "domain"), ("when", "time")]);
        for (body, expected) in [
            ("when,Bad Host,other\r\n1,a.example,x\r\n", "time,domain,other\r\n1,a.example,x\r\n"),
            ("\u{feff}# a feed\n# when;\"bad host\"\n\n1;a.example\n", "# a feed\ntime;domain\n\n1;a.example\n"),
            ("# nothing\n", "# nothing\n"),
            ("", ""),
        ] {
            let renamed = rename(body.as_bytes(), &map).unwrap();
            assert_eq!((text(&renamed), renamed.added), (expected, 0), "{body:?}");
        }
        assert!(rename(b"a,b\n1,2\n", &map).is_err());
    }

    #[test]
    fn a_table_without_a_header_is_read_by_numbers() {
        let renamed = rename(b"# c\n2026-01-01;x;1.2.3.4;443\n", &names(&[("1", "time"), ("3", "ip")])).unwrap();
        assert_eq!((text(&renamed), renamed.added), ("# c\ntime;column 2;ip\n2026-01-01;x;1.2.3.4;443\n", 1));
        assert!(rename(b"1,2\n", &names(&[("0", "ip")])).is_err());
    }

    #[test]
    fn only_names_that_we_know_are_fields() {
        assert!(is_field("value") && is_field("time") && is_field("domain") && !is_field("colour"));
        assert!(is_observable("ip") && is_observable("sha256") && !is_observable("value") && !is_observable("time"));
    }
}
