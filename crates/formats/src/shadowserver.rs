//! Shadowserver's reports: tables of one kind of fault or sighting each, whose kind stands in the file's name.
//!
//! Flow: [`report_of`] reads the kind from a file's name → [`convert`] makes one NDJSON line of each row, in our fields, with the category and
//! role of the kind (`reports`) → intake like any NDJSON.
//! Invariant: every cell that is not empty is kept: in a field of ours, else under `extra`; a row without an address or URL is named.
//! Not here: where reports come from (`hub::sources`).
//!
//! Source: the public descriptions of the report types and their columns at shadowserver.org.

mod reports;

pub use reports::{Report, Subject, report};

use crate::Refusal;
use ::csv::{ByteRecord, ReaderBuilder};
use model::{ObservableType, Severity};
use serde_json::{Map, Value, json};

/// Cells of a row that are read.
const MAX_COLUMNS: usize = 200;
/// Bytes of a cell that are kept.
const MAX_CELL: usize = 4_096;
/// Refused rows that are named.
const MAX_REFUSED: usize = 1_000;
/// Columns that every report has one of; a table with none of them is no report.
const TELLING: [&str; 3] = ["timestamp", "ip", "src_ip"];
/// What a row is about where the column it should be about is empty.
const FALLBACK: [&str; 5] = ["ip", "src_ip", "fqdn", "domain", "hostname"];
/// CVE ids of a row.
const MAX_CVES: usize = 20;

/// The rows of a report.
#[derive(Debug, Default)]
pub struct Converted {
    /// One event per line.
    pub ndjson: Vec<u8>,
    /// Rows read.
    pub rows: u64,
    /// Rows that hold nothing that can be taken.
    pub refused: Vec<Refusal>,
}

/// The kind of a report by its file's name: `2026-11-22-scan_ssl-country-report.csv` is `scan_ssl`. `None` where the name has another shape.
pub fn report_of(file_name: &str) -> Option<String> {
    let name = file_name.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    let is_date =
        |text: &str| text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    let rest = match name.get(..10) {
        Some(date) if is_date(date) => name.get(10..)?.strip_prefix('-')?,
        _ => return None,
    };
    let kind = rest.split(['-', '.']).next()?;
    let plain = kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (!kind.is_empty() && plain).then(|| kind.to_owned())
}

/// Makes events of a report's rows. `id` gives the id of a row's event from the row, so that the same row again is the same event.
///
/// # Errors
/// What is wrong with the table as a whole.
pub fn convert(kind: &str, table: &[u8], id: impl Fn(&[u8]) -> String) -> Result<Converted, String> {
    let table = table.strip_prefix(b"\xef\xbb\xbf").unwrap_or(table);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(table);
    let mut record = ByteRecord::new();
    let mut converted = Converted::default();
    // Reading from memory cannot fail, and rows may have any number of cells.
    if !reader.read_byte_record(&mut record).unwrap_or(false) {
        return Ok(converted);
    }
    let columns: Vec<String> = record.iter().take(MAX_COLUMNS).map(|cell| String::from_utf8_lossy(cell).trim().to_ascii_lowercase()).collect();
    if !columns.iter().any(|column| TELLING.contains(&column.as_str())) {
        return Err("the table has none of the columns timestamp, ip, src_ip: it is no report of Shadowserver".to_owned());
    }
    let report = report(kind);
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let line = record.position().map_or(0, ::csv::Position::line);
        let row = Row::read(&columns, &record);
        if row.0.is_empty() {
            continue;
        }
        converted.rows += 1;
        // What is left of the last row could name another address than the whole one did.
        let is_last = reader.position().byte() >= table.len() as u64;
        if is_last && record.len() < columns.len() && !table.ends_with(b"\n") {
            converted.refuse(line, "row breaks off at the report's end");
            continue;
        }
        match row.event(kind, report, id(record.as_slice())) {
            Ok(event) => {
                converted.ndjson.extend_from_slice(event.to_string().as_bytes());
                converted.ndjson.push(b'\n');
            }
            Err(reason) => converted.refuse(line, reason),
        }
    }
    Ok(converted)
}

impl Converted {
    fn refuse(&mut self, line: u64, reason: &str) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(Refusal { line, reason: reason.to_owned() });
        }
    }
}

/// The cells of a row that are not empty, by column; a cell is taken out when it has found its place.
struct Row(Vec<(String, String)>);

impl Row {
    fn read(columns: &[String], record: &ByteRecord) -> Self {
        let cells = columns.iter().zip(record.iter()).filter_map(|(column, cell)| {
            let text = String::from_utf8_lossy(cell);
            let text = text.trim();
            (!text.is_empty() && !column.is_empty()).then(|| (column.clone(), text.chars().take(MAX_CELL).collect::<String>()))
        });
        Self(cells.collect())
    }

    fn take(&mut self, names: &[&str]) -> Option<String> {
        let place = names.iter().find_map(|name| self.0.iter().position(|(column, _)| column == name))?;
        Some(self.0.swap_remove(place).1)
    }

    fn peek(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, text)| text.as_str())
    }

    fn event(mut self, kind: &str, report: &Report, id: String) -> Result<Value, &'static str> {
        let mut event = Map::new();
        let time = self.take(&["timestamp"]).ok_or("timestamp is empty")?;
        event.insert("time".to_owned(), Value::String(time));
        event.insert("category".to_owned(), json!(report.category.as_str()));
        let observable = self.observable(report).ok_or("row names no address, domain or URL")?;
        event.insert("observables".to_owned(), json!([observable]));
        event.insert("origin".to_owned(), json!("relayed"));
        event.insert("id".to_owned(), Value::String(id));
        self.numbers(report, &mut event);
        if let Some(far) = self.take(if report.subject == Subject::Destination { &["src_ip"] } else { &["dst_ip"] }) {
            event.insert("dst_ip".to_owned(), Value::String(far));
        }
        if let Some(protocol) = self.take(&["protocol"]) {
            event.insert("protocol".to_owned(), Value::String(protocol));
        }
        if let Some(severity) = self.peek("severity").and_then(Severity::parse) {
            event.insert("severity".to_owned(), json!(severity.as_str()));
            let _ = self.take(&["severity"]);
        }
        let malware = self.peek("infection").or_else(|| self.peek("family")).or_else(|| self.peek("malware")).map(str::to_owned);
        if let Some(malware) = malware.filter(|name| name.len() <= 255) {
            event.insert("malware".to_owned(), Value::String(malware));
        }
        let cves = self.cves();
        if !cves.is_empty() {
            event.insert("cve".to_owned(), json!(cves));
        }
        let mut extra: Map<String, Value> = self.0.into_iter().map(|(column, text)| (column, Value::String(text))).collect();
        extra.insert("report".to_owned(), json!(kind));
        event.insert("extra".to_owned(), Value::Object(extra));
        Ok(Value::Object(event))
    }

    /// What the row is about.
    fn observable(&mut self, report: &Report) -> Option<Value> {
        let (names, kind): (&[&str], Option<ObservableType>) = match report.subject {
            Subject::Source => (&["ip", "src_ip"], None),
            Subject::Destination => (&["dst_ip", "ip"], None),
            Subject::Url => (&["url", "http_url"], Some(ObservableType::Url)),
        };
        let (value, kind) = match self.take(names) {
            // A path alone is no URL.
            Some(value) if kind != Some(ObservableType::Url) || value.contains("://") => (value, kind),
            Some(path) => {
                self.0.push(("url".to_owned(), path));
                (self.take(&FALLBACK)?, None)
            }
            None => (self.take(&FALLBACK)?, None),
        };
        let role = report.role.as_str();
        Some(match kind {
            Some(kind) => json!({ "type": kind.as_str(), "value": value, "role": role }),
            None => json!({ "value": value, "role": role }),
        })
    }

    fn numbers(&mut self, report: &Report, event: &mut Map<String, Value>) {
        let (near, far): (&[&str], &[&str]) =
            if report.subject == Subject::Destination { (&["dst_port", "port"], &["src_port"]) } else { (&["port", "src_port"], &["dst_port"]) };
        let asn: &[&str] = if report.subject == Subject::Destination { &["dst_asn", "asn"] } else { &["asn", "src_asn"] };
        for (field, names, most) in [
            ("port", near, u64::from(u16::MAX)),
            ("dst_port", far, u64::from(u16::MAX)),
            ("source_asn", asn, u64::from(u32::MAX)),
            ("count", &["count"][..], u64::from(u32::MAX)),
        ] {
            let number = names.iter().find_map(|name| self.peek(name)).and_then(|text| text.parse::<u64>().ok()).filter(|number| *number <= most);
            // A count of nothing says nothing.
            if let Some(number) = number.filter(|number| *number > 0 || field.ends_with("port")) {
                event.insert(field.to_owned(), json!(number));
                let _ = self.take(names);
            }
        }
    }

    /// Ids of vulnerabilities among the tags.
    fn cves(&self) -> Vec<String> {
        let tags = ["tag", "vulnerability", "vulnerability_enum", "vulnerability_id"].iter().filter_map(|name| self.peek(name));
        let mut cves: Vec<String> = tags
            .flat_map(|tags| tags.split([';', ',', ' ', '|']))
            .map(|tag| tag.trim().to_ascii_uppercase())
            .filter(|tag| is_cve(tag))
            .take(MAX_CVES)
            .collect();
        cves.sort_unstable();
        cves.dedup();
        cves
    }
}

/// Whether a word is a CVE id: year, then four digits or more.
fn is_cve(tag: &str) -> bool {
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit());
    tag.strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| year.len() == 4 && digits(year, 4) && digits(number, 4) && number.len() <= 12)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::{Defaults, Format, parse_document};
    use model::{Category, Pap, Role, Timestamp, Tlp};

    fn defaults() -> Defaults {
        Defaults {
            now: Timestamp::parse("2026-11-22T10:00:00Z").unwrap(),
            tlp: Tlp::Amber,
            pap: Pap::Green,
            named: false,
            category: None,
            origin: None,
            role: None,
        }
    }

    fn events(kind: &str, table: &str) -> (Vec<model::Event>, Converted) {
        let converted = convert(kind, table.as_bytes(), |row| format!("{}", row.len())).unwrap();
        let parsed = parse_document(Format::Ndjson, &converted.ndjson, &defaults());
        assert!(parsed.refusals.is_empty(), "{:?}", parsed.refusals);
        (parsed.events, converted)
    }

    #[test]
    fn the_kind_stands_in_the_files_name() {
        for (name, kind) in [
            ("2026-11-22-scan_ssl-country-report.csv", Some("scan_ssl")),
            ("/var/reports/2026-11-22-event4_sinkhole_http-kr.csv.gz", Some("event4_sinkhole_http")),
            ("2026-11-22-Scan6_RDP.csv", Some("scan6_rdp")),
            ("scan_ssl.csv", None),
            ("2026-11-22.csv", None),
            ("2026-11-22-..-x.csv", None),
        ] {
            assert_eq!(report_of(name).as_deref(), kind, "{name}");
        }
    }

    #[test]
    fn a_row_of_a_scan_is_a_victims_open_service() {
        let table = "\"timestamp\",\"severity\",\"ip\",\"protocol\",\"port\",\"hostname\",\"tag\",\"asn\",\"geo\",\"sector\"\n\
            \"2026-11-21 03:00:01\",\"high\",\"192.0.2.7\",\"tcp\",3389,\"a.example\",\"rdp;cve-2019-0708\",64500,\"KR\",\"Health\"\n";
        let (events, converted) = events("scan_rdp", table);
        let event = &events[0];
        assert_eq!((event.category, event.observables[0].role, event.port), (Category::PotentiallyUnwantedAccessible, Role::Victim, Some(3389)));
        assert_eq!(event.severity, Some(Severity::High));
        let details = event.details.as_deref().unwrap();
        assert_eq!((details.source_asn, details.cve.len(), details.cve[0].as_str()), (Some(64500), 1, "CVE-2019-0708"));
        let extra: Value = serde_json::from_str(details.extra.as_deref().unwrap()).unwrap();
        assert_eq!(
            (&extra["geo"], &extra["hostname"], &extra["report"], &extra["sector"]),
            (&json!("KR"), &json!("a.example"), &json!("scan_rdp"), &json!("Health"))
        );
        assert_eq!((converted.rows, converted.refused.len()), (1, 0));
    }

    #[test]
    fn a_sinkhole_sees_an_infected_system_and_keeps_its_own_address_apart() {
        let table = "timestamp,protocol,src_ip,src_port,src_asn,dst_ip,dst_port,infection,family\n2026-11-21 03:00:01,tcp,192.0.2.9,50000,64500,198.51.100.1,443,avalanche,x\n";
        let (events, _) = events("event4_sinkhole", table);
        assert_eq!(
            (events[0].category, events[0].observables[0].value.as_str(), events[0].malware.as_deref()),
            (Category::InfectedSystem, "192.0.2.9", Some("avalanche"))
        );
        assert_eq!(events[0].details.as_deref().unwrap().dst_ip.as_deref(), Some("198.51.100.1"));
        assert_eq!(events[0].observables[0].role, Role::Victim);
    }

    #[test]
    fn the_target_of_an_attack_is_the_far_side() {
        let table = "timestamp,src_ip,src_port,dst_ip,dst_port\n2026-11-21 03:00:01,192.0.2.9,5,198.51.100.1,80\n";
        let (events, _) = events("event4_honeypot_ddos_target", table);
        assert_eq!((events[0].observables[0].value.as_str(), events[0].observables[0].role, events[0].port), ("198.51.100.1", Role::Victim, Some(80)));
    }

    #[test]
    fn a_url_is_what_a_report_of_urls_is_about() {
        let table =
            "timestamp,url,host,ip,asn\n2026-11-21 03:00:01,http://bad.example/x.exe,bad.example,192.0.2.1,64500\n2026-11-21 03:00:01,/x,,192.0.2.2,64500\n";
        let (events, _) = events("malware_url", table);
        assert_eq!((events[0].observables[0].kind, events[0].observables[0].role), (ObservableType::Url, Role::Attacker));
        assert_eq!(events[1].observables[0].value.as_str(), "192.0.2.2");
    }

    #[test]
    fn bad_days_are_told() {
        assert!(convert("scan_ssl", b"<html>no</html>\n", |_| String::new()).is_err());
        assert_eq!(convert("scan_ssl", b"", |_| String::new()).unwrap().rows, 0);
        let cut = convert("scan_ssl", b"timestamp,ip,port\n2026-11-21 03:00:01,192.0.2.1,443\n2026-11-21 03:00:01,192.0.2.1", |_| "a".to_owned()).unwrap();
        assert_eq!((cut.rows, cut.refused.len()), (2, 1));
        let without = convert("scan_ssl", b"timestamp,ip\n2026-11-21 03:00:01,\n,\n", |_| "a".to_owned()).unwrap();
        assert_eq!(without.refused.len(), 1);
    }
}
