//! `contacts`: whom to tell of what belongs to no member, and members' contacts that somebody has to look after.
//!
//! Invariant: a table is sent in requests of [`ROWS`] rows; a row that is refused is named by its line of the file, and the others are taken.
//! Not here: what a row may hold (the hub decides).

use super::lookup::plain;
use super::members::{list, organisations_named, pages};
use super::{Api, parse, query};
use crate::cli::{Connection, ContactsCommand};
use crate::{Exit, output};
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use ureq::http::Method;

/// Rows a request.
const ROWS: usize = 1_000;
/// Bytes of a line at the most.
const LONGEST_LINE: usize = 16 * 1024;
/// Refused rows that are named.
const NAMED: usize = 50;
/// Where they are.
const PATH: &str = "/api/v1/contacts";

/// What the hub answers an import.
#[derive(Debug, Default, Deserialize)]
struct Outcome {
    added: u64,
    changed: u64,
    unchanged: u64,
    removed: u64,
    refused: u64,
    errors: Vec<RowError>,
}

#[derive(Debug, Deserialize)]
struct RowError {
    line: usize,
    reason: String,
}

#[derive(Deserialize)]
struct Queue {
    contacts: Vec<Box<RawValue>>,
    total: usize,
}

/// One row of a file: its line, the place, the mail address.
type Row = (usize, String, Option<String>);

/// Runs `contacts`.
pub fn run(command: &ContactsCommand) -> anyhow::Result<Exit> {
    match command {
        ContactsCommand::Import { file, source, json, connection } => return import(file, source.as_deref(), *json, connection),
        ContactsCommand::List { value, json, connection } => {
            let mut path = PATH.to_owned();
            if let Some(value) = value {
                path.push_str("?value=");
                query::encode(value, &mut path);
            }
            let api = Api::new(connection)?;
            let rows = if value.is_some() { api.get(&path, &[])?.read::<Found>()?.contacts } else { pages(&api, &path, "contacts")? };
            let what = value.as_ref().map_or_else(|| "abuse contacts".to_owned(), |value| format!("abuse contact for {value}"));
            list(&rows, &["kind", "value", "address", "source", "updated"], &what, *json)?;
        }
        ContactsCommand::Queue { state, limit, json, connection } => {
            let mut parameters = vec![("limit", limit.to_string())];
            if !state.is_empty() {
                parameters.push(("state", state.join(",")));
            }
            let api = Api::new(connection)?;
            let Queue { contacts, total } = api.get("/api/v1/contacts/queue", &parameters)?.read::<Queue>()?;
            if *json || contacts.is_empty() {
                let what = if state.is_empty() { "contacts that somebody has to look after" } else { "contacts in these states" };
                list(&contacts, &[], what, *json)?;
            } else {
                let names: HashMap<String, String> = organisations_named(&api)?.into_iter().collect();
                let mut rows = Vec::with_capacity(contacts.len());
                for contact in &contacts {
                    rows.push(row_of(&parse(contact)?, &names));
                }
                let mut out = output::standard();
                output::table(&mut out, &["state", "organisation", "address", "bounces", "bounced", "due", "asks", "asked", "id"], &rows)?;
                out.flush()?;
            }
            if contacts.len() < total {
                output::note(&format!("the {} most urgent of {total}", contacts.len()));
            }
        }
    }
    Ok(Exit::Done)
}

/// A contact of the queue for people: its organisation by name, the id last.
fn row_of(contact: &Value, names: &HashMap<String, String>) -> Vec<String> {
    let field = |name: &str| plain(contact.get(name));
    let id = field("organisation");
    let name = names.get(&id).cloned().unwrap_or_default();
    vec![field("state"), name, field("address"), field("bounces"), field("bounced"), field("due"), field("asks"), field("asked"), id]
}

#[derive(Deserialize)]
struct Found {
    contacts: Vec<Box<RawValue>>,
}

fn import(file: &Path, source: Option<&str>, json: bool, connection: &Connection) -> anyhow::Result<Exit> {
    let api = Api::new(connection)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let source = source.unwrap_or(if name == "-" { "" } else { &name });
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(file).with_context(|| file.display().to_string())?) };
    let mut all = Outcome::default();
    let mut batch: Vec<Row> = Vec::with_capacity(ROWS);
    let mut lines = BufReader::new(input);
    let mut number = 0;
    loop {
        let mut line = Vec::new();
        let length = lines.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line).with_context(|| file.display().to_string())?;
        number += 1;
        if length > LONGEST_LINE {
            bail!("{}: line {number} is longer than {LONGEST_LINE} bytes", file.display());
        }
        let ended = length == 0;
        batch.extend(row(number, &String::from_utf8_lossy(&line)));
        if batch.len() == ROWS || (ended && !batch.is_empty()) {
            send(&api, source, &batch, &mut all)?;
            batch.clear();
        }
        if ended {
            break;
        }
    }
    for error in all.errors.iter().take(NAMED) {
        output::note(&format!("line {}: {}", error.line, error.reason));
    }
    let Outcome { added, changed, unchanged, removed, refused, .. } = all;
    if json {
        output::line(&json!({ "added": added, "changed": changed, "unchanged": unchanged, "removed": removed, "refused": refused }).to_string())?;
    } else {
        output::line(&format!("{added} added, {changed} changed, {unchanged} unchanged, {removed} removed, {refused} refused"))?;
    }
    Ok(if refused > 0 { Exit::Refused } else { Exit::Done })
}

fn send(api: &Api, source: &str, batch: &[Row], all: &mut Outcome) -> anyhow::Result<()> {
    let rows: Vec<Value> = batch.iter().map(|(_, value, address)| json!({ "value": value, "address": address })).collect();
    let mut body = json!({ "contacts": rows });
    if let (Some(fields), false) = (body.as_object_mut(), source.is_empty()) {
        fields.insert("source".to_owned(), json!(source));
    }
    let outcome = api.send_json(Method::POST, PATH, &body)?.read::<Outcome>()?;
    all.added += outcome.added;
    all.changed += outcome.changed;
    all.unchanged += outcome.unchanged;
    all.removed += outcome.removed;
    all.refused += outcome.refused;
    // The hub counts rows of its request from 1 on.
    let of_file = |error: RowError| Some(RowError { line: batch.get(error.line.checked_sub(1)?)?.0, ..error });
    all.errors.extend(outcome.errors.into_iter().filter_map(of_file));
    Ok(())
}

/// A line's two columns; `None` for one that says nothing.
fn row(number: usize, line: &str) -> Option<Row> {
    let line = line.trim().trim_start_matches('\u{feff}');
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let cell = |text: &str| text.trim().trim_matches('"').trim().to_owned();
    let mut cells = line.split([',', ';', '\t']);
    let (value, address) = (cell(cells.next().unwrap_or_default()), cell(cells.next().unwrap_or_default()));
    // A line of titles names no mail address and no place.
    let is_title = number == 1 && !address.contains('@') && !value.contains(['.', ':', '/']) && !value.bytes().any(|byte| byte.is_ascii_digit());
    if value.is_empty() || is_title { None } else { Some((number, value, (!address.is_empty()).then_some(address))) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_of_the_queue_is_told_by_its_organisations_name() {
        let contact =
            json!({ "organisation": "org_1", "address": null, "state": "missing", "bounces": 0, "bounced": null, "due": null, "asks": 0, "asked": null });
        let names = HashMap::from([("org_1".to_owned(), "Harbour Waterworks".to_owned())]);
        assert_eq!(row_of(&contact, &names), ["missing", "Harbour Waterworks", "", "0", "", "", "0", "", "org_1"]);
        assert_eq!(row_of(&contact, &HashMap::new())[8], "org_1", "one whose name is not known still has its id");
    }

    #[test]
    fn a_line_has_a_place_and_a_mail_address_or_says_nothing() {
        let some = |number, value: &str, address: Option<&str>| Some((number, value.to_owned(), address.map(str::to_owned)));
        assert_eq!(row(1, "\u{feff}prefix,email\r\n"), None);
        assert_eq!(row(1, "203.0.113.0/24,abuse@isp.example"), some(1, "203.0.113.0/24", Some("abuse@isp.example")), "a first line need be no title");
        assert_eq!(row(2, "\"AS4766\" ; \"abuse@isp.example\" ; KT\n"), some(2, "AS4766", Some("abuse@isp.example")));
        assert_eq!(row(3, "shop.example\t\n"), some(3, "shop.example", None));
        assert_eq!((row(4, "# comment"), row(5, " \n")), (None, None));
    }
}
