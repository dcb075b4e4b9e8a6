//! `findings`: what is wrong in one's own networks, newest first, page by page.

use super::lookup::plain;
use super::{Api, parse};
use crate::cli::FindingsArguments;
use crate::{Exit, output};
use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;

/// Findings a request; the hub's limit.
const PAGE: u64 = 1_000;
/// What the table shows.
const COLUMNS: [&str; 8] = ["id", "state", "category", "value", "port", "malware", "events", "last_time"];

/// What the hub answers a request.
#[derive(Deserialize)]
struct Page {
    findings: Vec<Box<RawValue>>,
    cursor: Option<String>,
}

/// Runs `findings`.
pub fn run(arguments: &FindingsArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    let mut rows = Vec::new();
    let mut left = arguments.limit;
    let mut cursor: Option<String> = None;
    while left > 0 {
        let mut parameters = parameters(arguments);
        parameters.push(("limit", left.min(PAGE).to_string()));
        parameters.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let Page { findings, cursor: next } = api.get("/api/v1/findings", &parameters)?.read::<Page>()?;
        left = left.saturating_sub(findings.len() as u64);
        for finding in &findings {
            if arguments.json {
                writeln!(out, "{finding}")?;
            } else {
                let finding = parse(finding)?;
                rows.push(COLUMNS.iter().map(|column| plain(finding.get(*column))).collect());
            }
        }
        if next.is_some() && next == cursor {
            bail!("the hub's cursor does not move on");
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if !arguments.json {
        output::table(&mut out, &COLUMNS.map(|column| if column == "last_time" { "last seen" } else { column }), &rows)?;
    }
    out.flush()?;
    Ok(Exit::Done)
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
