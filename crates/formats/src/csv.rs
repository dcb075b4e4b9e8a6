//! Tables: rows of cells under a header of column names.
//!
//! Flow: [`read_header`] finds the header row → [`parse`] reads each row into a draft (`row`) by its columns' meaning (`columns`) →
//! the same checks as for JSON (`ndjson::draft`).
//! Invariant: a table without a header that we know is read as a list; a cell under an unknown name is kept under `extra`.
//! Not here: what the names mean (`columns`), cutting at row ends (`split`), lists (`list`).

mod columns;
mod intelmq;
mod rename;
mod row;

pub(crate) use intelmq::{from_object, is_name};
pub use rename::{Renamed, is_field, is_observable, rename};

use crate::ndjson::scalar::quoted;
use crate::ndjson::{BYTE_ORDER_MARK, MAX_LINE, TOO_LONG};
use crate::{Defaults, Header, Notes, Parsed, list};
use ::csv::{ByteRecord, ReaderBuilder};
use model::detect::detect_with_port;
use row::{Plan, Row, clean};

/// Bytes between cells, in the order in which they are tried.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Reads the header row; for a table without one, what the first lines tell about a list.
pub fn read_header(beginning: &[u8]) -> Header {
    let body = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
    match find_header(body) {
        Some(found) => Header { columns: found.names, delimiter: found.delimiter, ..Header::default() },
        None => list::read_header(beginning),
    }
}

/// Parses a chunk of whole rows.
///
/// `first_line` is the 1-based line of its first byte; the header row is in the chunk that begins at line 1.
pub fn parse(header: &Header, chunk: &[u8], first_line: u64, defaults: &Defaults, parsed: &mut Parsed) {
    if !header.columns.iter().any(|name| columns::is_name(name)) {
        list::parse(header, chunk, first_line, defaults, parsed);
        return;
    }
    let plan = Plan::of(&header.columns);
    let rules = plan.rules(defaults);
    let rows_from = if first_line == 1 { rows_start(chunk) } else { 0 };
    let rows = chunk.get(rows_from..).unwrap_or_default();
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(header.delimiter).from_reader(rows);
    let mut record = ByteRecord::new();
    let mut line = first_line + count_lines(chunk.get(..rows_from).unwrap_or_default());
    if first_line == 1 {
        warn_of_columns(&header.columns, line.saturating_sub(1).max(1), &mut parsed.notes);
    }
    let mut counted_to = 0;
    // Reading from memory cannot fail, and rows may have any number of cells.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let start = row_start(rows, &record);
        line += count_lines(rows.get(counted_to..start).unwrap_or_default());
        counted_to = start;
        if says_nothing(&record) {
            continue;
        }
        if record.as_slice().len() > MAX_LINE {
            parsed.refuse(line, TOO_LONG);
            continue;
        }
        let mut draft = Row::read(&plan, &record).settle();
        match draft.build(defaults, &rules) {
            Ok(event) => {
                draft.note_assumed(defaults, &rules, &mut parsed.notes.assumed);
                parsed.take(line, event);
            }
            Err(reason) => parsed.refuse(line, reason),
        }
    }
}

/// Names columns that look like a field of the contract which no column is.
fn warn_of_columns(names: &[String], line: u64, notes: &mut Notes) {
    let is_there = |field: &str| match field {
        "observables" | "observable" | "value" => names.iter().any(|name| columns::holds_observables(name)),
        _ => names.iter().any(|name| columns::column(name) == columns::column(field)),
    };
    for name in names.iter().filter(|name| columns::column(name).is_none()) {
        if let Some(field) = notes.field_near(name).filter(|field| !is_there(field)) {
            notes.warn(line, || format!("column {} is unknown and kept under extra; is {field} meant?", quoted(name)));
        }
    }
}

/// The byte between the cells of a table; a comma where there is no header to tell.
pub(crate) fn delimiter(beginning: &[u8]) -> u8 {
    find_header(beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning)).map_or(b',', |found| found.delimiter)
}

/// Whether a body begins with a header of at least two columns, one of them of observables.
pub(crate) fn is_table(beginning: &[u8]) -> bool {
    let found = find_header(beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning));
    found.is_some_and(|found| found.names.len() > 1 && found.names.iter().any(|name| columns::holds_observables(name)))
}

/// Line ends in some bytes: line feeds, and carriage returns standing alone.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    let feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone_returns = memchr::memchr_iter(b'\r', bytes).filter(|&at| bytes.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone_returns) as u64
}

/// A header row.
struct Found {
    names: Vec<String>,
    delimiter: u8,
    /// Where the rows begin.
    rows_from: usize,
}

/// The header: the first line that is no comment, else the last comment before it.
fn find_header(body: &[u8]) -> Option<Found> {
    let mut at = 0;
    let mut comment: &[u8] = b"";
    let mut is_zeek = false;
    loop {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length)?.trim_ascii();
        if let Some(text) = line.strip_prefix(b"#") {
            comment = text.trim_ascii();
            is_zeek |= comment.starts_with(b"fields");
        } else if !line.is_empty() {
            return best_header(rest).map(|found| Found { rows_from: at + found.rows_from, ..found }).or_else(|| {
                // `# id,dateadded,url,…`: two known names at least, for comments are prose too.
                let found = best_header(comment).filter(|_| !is_zeek)?;
                let known = found.names.iter().filter(|name| columns::column(name).is_some()).count();
                (known > 1).then_some(Found { rows_from: at, ..found })
            });
        }
        at += length;
    }
}

/// The first record as a header, with the delimiter that gives the most known names.
fn best_header(body: &[u8]) -> Option<Found> {
    let mut best: Option<(usize, Found)> = None;
    for delimiter in DELIMITERS {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(body);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).unwrap_or(false) {
            continue;
        }
        let names: Vec<String> = record.iter().map(|cell| clean(cell).to_lowercase()).collect();
        let known = names.iter().filter(|name| columns::column(name).is_some()).count();
        let holds_values = names.iter().any(|name| !columns::is_name(name) && detect_with_port(name).is_some());
        if known > 0 && !holds_values && best.as_ref().is_none_or(|(most, _)| known > *most) {
            let ended = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
            // The reader stops between a carriage return and its line feed.
            let inside_line_end = ended > 0 && body.get(ended - 1) == Some(&b'\r') && body.get(ended) == Some(&b'\n');
            let rows_from = ended + usize::from(inside_line_end);
            best = Some((known, Found { names, delimiter, rows_from }));
        }
    }
    best.map(|(_, found)| found)
}

/// Where the rows begin in the first chunk.
fn rows_start(chunk: &[u8]) -> usize {
    let body = chunk.strip_prefix(BYTE_ORDER_MARK).unwrap_or(chunk);
    let mark = chunk.len() - body.len();
    mark + find_header(body).map_or(0, |found| found.rows_from.min(body.len()))
}

/// Where a row begins; the reader's own position may lie before blank lines.
fn row_start(rows: &[u8], record: &ByteRecord) -> usize {
    let from = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
    let blank = rows.get(from..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    from.saturating_add(blank).min(rows.len())
}

/// Whether a row holds no cell, or a comment alone.
fn says_nothing(record: &ByteRecord) -> bool {
    let mut filled = record.iter().map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty());
    match (filled.next(), filled.next()) {
        (None, _) => true,
        (Some(only), None) => only.starts_with(b"#"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::{Format, parse_chunk, parse_document};
    use model::{Category, ObservableType, Origin, Pap, Role, Timestamp, Tlp};
    use proptest::prelude::*;

    fn defaults() -> Defaults {
        Defaults {
            now: Timestamp::parse("2026-11-21T19:26:00Z").unwrap(),
            tlp: Tlp::Amber,
            pap: Pap::Green,
            named: false,
            category: None,
            origin: None,
            role: None,
        }
    }

    fn table(body: &str) -> Parsed {
        parse_document(Format::Csv, body.as_bytes(), &defaults())
    }

    fn values(parsed: &Parsed) -> Vec<Vec<&str>> {
        parsed.events.iter().map(|event| event.observables.iter().map(|observable| observable.value.as_str()).collect()).collect()
    }

    #[test]
    fn our_own_columns_are_read() {
        let parsed = table(
            "\u{feff}time;category;type;value;role;confidence;malware;cve;colour\r\n2026-11-20T00:00:00Z;phishing;ipv4;8.8.8.8;victim;high;\"a;\nb\";CVE-2024-3400;blue\r\n\r\n;;\r\n2026-11-20T00:00:01Z;phishing;;evil.example.com\r\n",
        );
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        assert_eq!(parsed.lines, [2, 6]);
        let first = &parsed.events[0];
        assert_eq!((first.category, first.origin, first.timeless, first.confidence), (Category::Phishing, Origin::Sensor, false, Some(75)));
        assert_eq!((first.observables[0].kind, first.observables[0].role), (ObservableType::Ipv4, Role::Victim));
        assert_eq!(first.malware.as_deref(), Some("a;\nb"));
        assert_eq!(first.details.as_ref().unwrap().extra.as_deref(), Some(r#"{"colour":"blue"}"#));
    }

    #[test]
    fn n6_columns_are_read() {
        let parsed = table(
            "time,id,source,name,ip,dip,dport,sport,proto,category,confidence,origin,asn,cc,until,count\n2026-11-20 00:00:00,abc,some.channel,emotet,8.8.8.8,9.9.9.9,443,50000,tcp,bots,medium,sinkhole,15169,US,2026-11-20 01:00:00,5\n2026-11-20 00:00:00,abd,some.channel,,8.8.8.8,,,,,cnc,low,p2p-crawler,,,,\n",
        );
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        let event = &parsed.events[0];
        assert_eq!((event.origin, event.confidence, event.port, event.count), (Origin::Sinkhole, Some(50), Some(50000), 5));
        assert_eq!((event.malware.as_deref(), event.id.as_deref()), (Some("emotet"), Some("abc")));
        let details = event.details.as_ref().unwrap();
        assert_eq!((details.dst_ip.as_deref(), details.dst_port, details.source_asn), (Some("9.9.9.9"), Some(443), Some(15169)));
        assert!(details.last_time.is_some());
        assert_eq!(parsed.events[1].origin, Origin::Sensor);
    }

    #[test]
    fn intelmq_columns_are_read() {
        let parsed = table(
            "time.observation,time.source,classification.type,classification.taxonomy,source.ip,source.port,source.asn,source.geolocation.cc,destination.ip,malware.name,feed.name,extra\n2026-11-20T01:00:00+00:00,2026-11-20T00:00:00+00:00,infected-system,malicious-code,8.8.8.8,1234,15169,US,9.9.9.9,emotet,A feed,\"{\"\"a\"\": 1}\"\n2026-11-20T01:00:00+00:00,,c2-server,,,,,,9.9.9.9,,,\n",
        );
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        assert_eq!(values(&parsed), [["8.8.8.8"], ["9.9.9.9"]]);
        let details = parsed.events[0].details.as_ref().unwrap();
        assert_eq!(details.dst_ip.as_deref(), Some("9.9.9.9"));
        assert!(details.extra.as_ref().unwrap().contains(r#""a":1"#));
        assert_eq!(parsed.events[1].time, Timestamp::parse("2026-11-20T01:00:00Z").unwrap());
    }

    #[test]
    fn threat_lists_are_passed_on_and_need_no_category() {
        let parsed = table("Domain,Malware,Date added,Source\nstatsrvv.com,keitaro,2024-09-01,ViriBack\nother.example.com,,not a date,\n");
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        assert_eq!((parsed.events[0].category, parsed.events[0].origin, parsed.events[0].timeless), (Category::Other, Origin::Relayed, false));
        assert_eq!(parsed.events[0].malware.as_deref(), Some("keitaro"));
        assert!(parsed.events[1].timeless);
        let parsed =
            table("value,type,notes\n104.217.128.133,ipaddress,\"seen, often\"\nindustry.faxsolution@gmail.com,email-sender,\"\"\nnonsense here,thing,\n");
        assert_eq!(values(&parsed), [["104.217.128.133"], ["industry.faxsolution@gmail.com"]]);
        assert_eq!(parsed.refusals.len(), 1);
        assert_eq!(parsed.refusals[0].line, 4);
        assert!(parsed.events.iter().all(|event| event.timeless && event.time == defaults().now));
    }

    #[test]
    fn several_values_in_a_row_are_one_event() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let parsed = table(&format!("value,entity_type,description\n\"{md5},{sha1}\",file,a sample\n"));
        assert_eq!(values(&parsed), [[md5, sha1]]);
        let parsed = table(&format!("First Seen,SHA1,MD5\n2018-01-27 17:06:56,{sha1},-\n2018-01-27 17:06:57,broken,{md5}\n2018-01-27 17:06:58,broken,\n"));
        assert_eq!(values(&parsed), [[sha1], [md5]]);
        assert_eq!(parsed.events[1].details.as_ref().unwrap().extra.as_deref(), Some(r#"{"sha1":"broken"}"#));
        assert!(parsed.refusals[0].reason.starts_with("sha1: "), "{:?}", parsed.refusals);
    }

    #[test]
    fn a_host_and_a_path_are_a_url() {
        let parsed = table(
            "# Title: a list\n# Updated: 2025-07-19T12:11:28Z\n\"host\",\"path\",\"message\",\"updated\"\n\"evil.example.com\",\"\",\"seen\",\"2025-07-19T12:11:28Z\"\n\"evil.example.com\",\"/a.exe\",\"seen\",\"2025-07-19T12:11:28Z\"\n",
        );
        assert_eq!(parsed.lines, [4, 5]);
        assert_eq!(parsed.events[0].observables[0].kind, ObservableType::Domain);
        assert_eq!(parsed.events[1].observables[0].kind, ObservableType::Url);
    }

    #[test]
    fn a_header_may_stand_in_a_comment() {
        let parsed = table("# A dump\n# id,dateadded,url,threat\n\"1\",\"2025-07-19 12:11:28\",\"http://evil.example.com/x\",\"malware_download\"\n");
        assert_eq!(parsed.events[0].category, Category::MalwareDistribution);
        assert_eq!(parsed.lines, [3]);
    }

    #[test]
    fn a_misspelt_column_is_named_once_and_defaults_are_counted() {
        let parsed = table("# mine\nvalue,categroy,tpl,reference\nevil.example.com,phishing,green,x\n8.8.8.8,phishing,red,y\n");
        assert_eq!((parsed.events.len(), parsed.notes.warned), (2, 2));
        assert_eq!(parsed.notes.warnings[0].line, 2);
        assert_eq!(parsed.notes.warnings[0].reason, "column \"categroy\" is unknown and kept under extra; is category meant?");
        let assumed = parsed.notes.assumed;
        assert_eq!((assumed.other, assumed.relayed, assumed.tlp), (2, 2, 2));
        let parsed = table("time,category,value,tlp,sport\n2026-11-20T00:00:00Z,scanner,8.8.8.8,green,1\n2026-11-20T00:00:00Z,scanner,8.8.8.9,,1\n");
        assert_eq!((parsed.events.len(), parsed.notes.warned, parsed.notes.assumed.tlp, parsed.notes.assumed.other), (2, 0, 1, 0));
    }

    #[test]
    fn a_table_with_our_time_needs_a_category() {
        let parsed = table("time,ip\n2026-11-20T00:00:00Z,8.8.8.8\n");
        assert_eq!(parsed.refusals[0].reason, "category is missing");
        let with_category = Defaults { category: Some(Category::Scanner), ..defaults() };
        assert_eq!(parse_document(Format::Csv, b"time,ip\n2026-11-20T00:00:00Z,8.8.8.8\n", &with_category).events.len(), 1);
    }

    #[test]
    fn later_chunks_have_no_header_and_lines_go_on() {
        let header = read_header(b"time,category,ip\n");
        let parsed = parse_chunk(Format::Csv, &header, b"2026-11-20T00:00:00Z,scanner,8.8.8.8\nx,scanner,8.8.8.8\n", 100, &defaults());
        assert_eq!(parsed.lines, [100]);
        assert_eq!(parsed.refusals[0].line, 101);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let header = Header { columns: vec!["time".into(), "category".into(), "value".into(), String::new()], delimiter: b',', ..Header::default() };
            let mut parsed = Parsed::default();
            parse(&header, &bytes, 2, &defaults(), &mut parsed);
            parse(&header, &bytes, 1, &defaults(), &mut parsed);
            let _ = is_table(&bytes);
        }

        #[test]
        fn no_table_makes_it_panic(text in "(time|value|ip|host|path|type|observables|8\\.8\\.8\\.8|evil\\.example\\.com|2026-11-20|\\[\"|,|;|\"|\n|\r|#| ){0,60}") {
            let parsed = parse_document(Format::Csv, text.as_bytes(), &defaults());
            prop_assert_eq!(parsed.events.len(), parsed.lines.len());
        }
    }
}
