//! Registrations as lists and field by field.

use super::which::networks;
use super::words::{found, has_ended, in_force, named};
use crate::client::lookup::{plain, shown};
use crate::client::members::{list, organisations_named};
use crate::client::{Api, parse};
use crate::output;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Write;

/// What is shown of one registration: field and title.
const FIELDS: [(&str, &str); 15] = [
    ("id", "id"),
    ("organisation", "organisation"),
    ("kind", "kind"),
    ("value", "value"),
    ("state", "state"),
    ("proof", "proof"),
    ("proof_method", "proven by"),
    ("proven", "proven at"),
    ("protected", "protected"),
    ("conflict", "conflict"),
    ("reason", "reason"),
    ("decided", "decided at"),
    ("decided_by", "decided by"),
    ("created", "registered"),
    ("updated", "changed"),
];

pub(super) fn tell(network: &Value) -> anyhow::Result<()> {
    for (field, title) in FIELDS {
        let value = match field {
            "value" => cell(network),
            "proof" if has_ended(network) => String::new(),
            _ => plain(network.get(field)),
        };
        if !value.is_empty() {
            output::line(&format!("{title:<14} {}", output::shorten(&value, usize::MAX)))?;
        }
    }
    output::line(&format!("{:<14} {}", "in force", in_force(network)))?;
    if let Some(checked) = network.pointer("/challenge/checked").filter(|checked| !checked.is_null()) {
        output::line(&format!("{:<14} {}: {}", "last look", plain(Some(checked)), found(network)))?;
    }
    Ok(())
}

pub(super) fn table(rows: &[Box<RawValue>], owners: Option<&[String]>, json: bool) -> anyhow::Result<()> {
    if json || rows.is_empty() {
        return list(rows, &[], "registered networks", json);
    }
    let networks = rows.iter().map(|row| parse(row)).collect::<anyhow::Result<Vec<Value>>>()?;
    let ended = networks.iter().any(has_ended);
    let mut cells = Vec::with_capacity(rows.len());
    for (place, row) in networks.iter().enumerate() {
        let field = |name: &str| plain(row.get(name));
        let proof = if has_ended(row) { String::new() } else { field("proof") };
        let mut line = vec![field("id"), field("kind"), cell(row), field("state"), proof, in_force(row).to_string(), field("conflict")];
        if ended {
            line.extend([field("decided"), field("reason")]);
        }
        line.extend(owners.and_then(|owners| owners.get(place)).cloned());
        cells.push(line);
    }
    let mut titles = vec!["id", "kind", "value", "state", "proof", "in force", "conflict"];
    if ended {
        titles.extend(["decided", "reason"]);
    }
    if owners.is_some() {
        titles.push("organisation");
    }
    let mut out = output::standard();
    output::table(&mut out, &titles, &cells)?;
    Ok(out.flush()?)
}

/// The registrations of every organisation that the key may know.
pub(super) fn every(api: &Api, states: &[String], json: bool) -> anyhow::Result<()> {
    let (mut rows, mut owners) = (Vec::new(), Vec::new());
    for (id, name) in organisations_named(api)? {
        let own = networks(api, &id, states)?;
        owners.extend(own.iter().map(|_| name.clone()));
        rows.extend(own);
    }
    table(&rows, Some(&owners), json)
}

/// What is registered: an AS number with the letters before it, a name that is not plain ASCII also in its letters.
fn cell(network: &Value) -> String {
    if network.get("kind").and_then(Value::as_str) == Some("asn") { named(network) } else { shown(network) }
}

/// Says that there are rejected ones beside those that a list shows, so that nobody waits for what was decided.
pub(super) fn rejected(api: &Api, whose: &str, rows: &[Box<RawValue>]) -> anyhow::Result<()> {
    let form = |network: &Value| (plain(network.get("kind")), plain(network.get("value")));
    let mut there = Vec::with_capacity(rows.len());
    for row in rows {
        there.push(form(&parse(row)?));
    }
    let mut count = 0_usize;
    for row in networks(api, whose, &["rejected".to_owned()])? {
        // What was asked for anew is answered anew.
        count += usize::from(!there.contains(&form(&parse(&row)?)));
    }
    if count > 0 {
        output::note(&format!("rejected and not listed: {count}; with --state rejected they are, with the reason"));
    }
    Ok(())
}
