//! `findings`: what is wrong in one's own networks, newest first, page by page.

use super::lookup::{plain, shown};
use super::pages::Pages;
use super::{Api, parse};
use crate::cli::FindingsArguments;
use crate::{Exit, output};
use serde_json::Value;
use std::io::Write;

/// Findings a request; the hub's limit.
const PAGE: u64 = 1_000;
/// What the table shows.
const COLUMNS: [&str; 8] = ["id", "state", "category", "value", "port", "malware", "events", "last_time"];

/// Runs `findings`.
pub fn run(arguments: &FindingsArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    let mut rows = Vec::new();
    let mut none = true;
    let mut pages = Pages::new(&api, "/api/v1/findings", "findings", parameters(arguments)).of(PAGE).up_to(arguments.limit);
    while let Some(findings) = pages.next_page()? {
        none &= findings.is_empty();
        for finding in &findings {
            if arguments.json {
                writeln!(out, "{finding}")?;
            } else {
                rows.push(row(&parse(finding)?));
            }
        }
    }
    if !arguments.json {
        output::table(&mut out, &titles(), &rows)?;
    }
    out.flush()?;
    if none {
        output::note("no findings");
    }
    Ok(Exit::Done)
}

/// What stands above the rows.
pub(super) fn titles() -> [&'static str; 8] {
    COLUMNS.map(|column| if column == "last_time" { "last seen" } else { column })
}

/// A finding as a row.
pub(super) fn row(finding: &Value) -> Vec<String> {
    COLUMNS.iter().map(|&column| if column == "value" { shown(finding) } else { plain(finding.get(column)) }).collect()
}

fn parameters(arguments: &FindingsArguments) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    for (name, words) in [("state", &arguments.state), ("category", &arguments.category)] {
        if !words.is_empty() {
            parameters.push((name, words.join(",")));
        }
    }
    parameters.extend(arguments.since.map(|since| ("since", since.to_string())));
    parameters.extend(arguments.owner.map(|owner| ("owner", owner.to_string())));
    parameters
}
