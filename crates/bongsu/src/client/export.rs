//! `export`: products, and events as files.
//!
//! Flow: a product is fetched as it is (`products`, `misp_feed`); of events the pages of a search go through one writer per format → a new file that
//! takes the old one's place when it is whole.
//! Invariant: what leaves is what the key may see: the hub has decided it; a list of one's own events holds no victim's value, no reserved or benign
//! value, and nothing whose lifetime is over.
//! Not here: what a product holds (`hub::products`), the directory (`super::import::directory`).

mod misp_feed;
mod products;

use super::lookup::{self, plain};
use super::pages::Pages;
use super::search;
use super::{Api, parse};
use crate::cli::{ExportArguments, ExportFormat, ExportWhat};
use crate::{Exit, output};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Columns of a CSV; the names that intake reads.
const COLUMNS: [&str; 22] = [
    "seq",
    "time",
    "category",
    "type",
    "value",
    "role",
    "origin",
    "tlp",
    "pap",
    "confidence",
    "severity",
    "sector",
    "malware",
    "technique",
    "cve",
    "port",
    "dst_ip",
    "dst_port",
    "protocol",
    "count",
    "id",
    "note",
];

/// Runs `export`.
pub fn run(arguments: &ExportArguments) -> anyhow::Result<Exit> {
    if arguments.what == ExportWhat::Directory {
        return super::import::directory::export(arguments);
    }
    let format = arguments.format.unwrap_or(if arguments.mine { ExportFormat::Ndjson } else { ExportFormat::List });
    let api = Api::new(&arguments.connection)?;
    if !arguments.mine && format != ExportFormat::Ndjson {
        if arguments.what == ExportWhat::Events && arguments.format.is_none() {
            output::note("this is the list of values worth blocking; events themselves come with --format ndjson, one's own with --mine");
        }
        return match format {
            ExportFormat::MispFeed => misp_feed::run(&api, arguments),
            other => products::run(&api, arguments, other),
        };
    }
    let (file_name, write): (&str, fn(&mut Pages<'_>, &Api, &mut dyn Write) -> anyhow::Result<u64>) = match format {
        ExportFormat::List => ("values.txt", list),
        ExportFormat::Csv => ("events.csv", csv),
        ExportFormat::Ndjson => ("events.ndjson", ndjson),
        ExportFormat::Stix
        | ExportFormat::MispFeed
        | ExportFormat::Suricata
        | ExportFormat::SuricataDataset
        | ExportFormat::Snort
        | ExportFormat::Rpz
        | ExportFormat::Hosts
        | ExportFormat::Zeek
        | ExportFormat::Squid
        | ExportFormat::SquidIp
        | ExportFormat::Pf
        | ExportFormat::Nft => {
            bail!("--mine gives one's own events as list, csv or ndjson; this format is of products, which are made of what all report")
        }
    };
    if arguments.tlp.is_some() || arguments.min_confidence.is_some() || arguments.max_age_days.is_some() {
        bail!("--tlp, --min-confidence and --max-age-days choose indicators for a product; events are chosen by --since, --category and the like");
    }
    let mut pages = search::pages(&api, &arguments.filter, arguments.mine, None);
    deliver(&arguments.out, file_name, "lines", |out| write(&mut pages, &api, out))
}

/// Has something written to standard output, or to a new file that takes the old one's place when it is whole.
fn deliver(out: &Path, file_name: &str, unit: &str, write: impl FnOnce(&mut dyn Write) -> anyhow::Result<u64>) -> anyhow::Result<Exit> {
    if out == Path::new("-") {
        let mut out = output::standard();
        write(&mut out)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    let target = if out.is_dir() { out.join(file_name) } else { out.to_owned() };
    let unfinished = unfinished(&target);
    let mut out = BufWriter::new(File::create(&unfinished).with_context(|| format!("--out {}", unfinished.display()))?);
    let result = write(&mut out).and_then(|written| {
        out.flush()?;
        out.get_ref().sync_all()?;
        std::fs::rename(&unfinished, &target)?;
        Ok(written)
    });
    match result {
        Ok(written) => {
            output::note(&format!("{written} {unit} written to {}", target.display()));
            Ok(Exit::Done)
        }
        Err(error) => {
            // The earlier export stays in place; half a one is of no use.
            let _ = std::fs::remove_file(&unfinished);
            Err(error.context(format!("--out {}", target.display())))
        }
    }
}

/// Where a file grows until it is whole: beside its place, so that the renaming is at once.
fn unfinished(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    target.with_file_name(name)
}

fn ndjson(pages: &mut Pages<'_>, _: &Api, out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut lines = 0;
    while let Some(events) = pages.next_page()? {
        for event in &events {
            writeln!(out, "{event}")?;
            lines += 1;
        }
    }
    Ok(lines)
}

fn csv(pages: &mut Pages<'_>, _: &Api, out: &mut dyn Write) -> anyhow::Result<u64> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    let mut lines = 1;
    while let Some(events) = pages.next_page()? {
        for event in &events {
            let event = parse(event)?;
            for row in rows(&event) {
                writeln!(out, "{row}")?;
                lines += 1;
            }
        }
    }
    Ok(lines)
}

/// One row per value. Only the first carries the sender's id: were it on each, reading the rows back would merge them into one.
fn rows(event: &Value) -> Vec<String> {
    let observables = event.get("observables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row = |place: usize, observable: &Value| {
        let cells = COLUMNS.iter().map(|&column| match column {
            "type" | "value" | "role" => cell(&plain(observable.get(column))),
            "id" if place > 0 => String::new(),
            _ => cell(&plain(event.get(column))),
        });
        cells.collect::<Vec<_>>().join(",")
    };
    observables.iter().enumerate().map(|(place, observable)| row(place, observable)).collect()
}

/// A cell, quoted where it must be.
///
/// Source: RFC 4180.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r', ';', '\t']) || text.starts_with(['#', ' ']) || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn list(pages: &mut Pages<'_>, api: &Api, out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut seen = BTreeSet::new();
    let mut waiting = Vec::new();
    let mut lines = 0;
    while let Some(events) = pages.next_page()? {
        for event in &events {
            let event = parse(event)?;
            for value in worth_detecting(&event) {
                if !seen.contains(value) {
                    seen.insert(value.to_owned());
                    waiting.push(value.to_owned());
                }
            }
        }
        if waiting.len() >= lookup::BATCH {
            lines += write_active(api, &waiting, out)?;
            waiting.clear();
        }
    }
    Ok(lines + write_active(api, &waiting, out)?)
}

/// The attackers' values of an event that are meant for detection and name nothing private.
fn worth_detecting(event: &Value) -> impl Iterator<Item = &str> {
    let observables = event.get("observables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let fits = |observable: &&Value| {
        let says = |field: &str, word: bool| observable.get(field).and_then(Value::as_bool) == Some(word);
        observable.get("role").and_then(Value::as_str).is_none_or(|role| role == "attacker") && !says("detect", false) && !says("reserved", true)
    };
    observables.iter().filter(fits).filter_map(|observable| observable.get("value").and_then(Value::as_str))
}

/// Writes those values that still count and are on no list of benign ones.
fn write_active(api: &Api, values: &[String], out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut lines = 0;
    for (value, answer) in values.iter().zip(lookup::ask(api, values)?) {
        if is_active(&parse(&answer)?) {
            writeln!(out, "{value}")?;
            lines += 1;
        }
    }
    Ok(lines)
}

fn is_active(answer: &Value) -> bool {
    let listed = answer.get("warning_lists").and_then(Value::as_array).is_some_and(|lists| !lists.is_empty());
    answer.get("state").and_then(Value::as_str) == Some("active") && !listed && answer.get("reserved") != Some(&Value::Bool(true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_per_value_and_the_id_once() {
        let event = json!({"seq": 65536, "time": "2026-11-21T00:00:00Z", "category": "phishing", "id": "a-1", "note": "say \"hi\", twice",
            "observables": [{"type": "url", "value": "http://a.example/,"}, {"type": "domain", "value": "a.example"}]});
        let rows = rows(&event);
        assert_eq!(rows.len(), 2);
        assert!(rows[0].contains("\"http://a.example/,\"") && rows[0].contains(",a-1,\"say \"\"hi\"\", twice\""), "{}", rows[0]);
        assert!(!rows[1].contains("a-1"));
        assert_eq!(rows[1].split(',').count(), COLUMNS.len() + 1);
    }

    #[test]
    fn a_list_holds_no_victim_and_nothing_reserved() {
        let event = json!({"observables": [
            {"value": "bad.example", "role": "attacker"}, {"value": "1.2.3.4", "role": "victim"},
            {"value": "10.0.0.1", "role": "attacker", "reserved": true}, {"value": "x", "role": "attacker", "detect": false}]});
        assert_eq!(worth_detecting(&event).collect::<Vec<_>>(), ["bad.example"]);
    }

    #[test]
    fn expired_and_benign_values_are_left_out() {
        assert!(is_active(&json!({"state": "active", "warning_lists": []})));
        assert!(!is_active(&json!({"state": "expired"})));
        assert!(!is_active(&json!({"state": "active", "warning_lists": ["Public DNS"]})));
        assert!(!is_active(&Value::Null));
    }
}
