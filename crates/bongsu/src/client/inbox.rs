//! `inbox`: what came to the organisation, as a list, and one message whole.
//!
//! Invariant: showing one message notes that it was read; listing them notes nothing.
//! Not here: what is delivered (the hub decides), asking for it (`super::subscribe`).

use super::lookup::plain;
use super::pages::Pages;
use super::{Api, findings, parse, query, search};
use crate::cli::InboxArguments;
use crate::{Exit, output};
use serde_json::{Value, json};
use std::io::{self, Write};
use ureq::http::Method;

/// Messages a request.
const PAGE: u64 = 100;
/// What the table of the inbox shows.
const COLUMNS: [&str; 7] = ["id", "made", "name", "events", "findings", "withdrawn", "read"];

/// Runs `inbox`.
pub fn run(arguments: &InboxArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    if let Some(id) = &arguments.id {
        let mut path = "/api/v1/inbox/".to_owned();
        query::encode(id, &mut path);
        let answer = api.send_json(Method::POST, &format!("{path}/read"), &json!({}))?;
        if arguments.json {
            writeln!(out, "{}", answer.raw()?)?;
        } else {
            tell(&answer.json()?, &mut out)?;
        }
        out.flush()?;
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    let mut none = true;
    let unread = arguments.unread.then(|| ("unread", "1".to_owned()));
    let mut pages = Pages::new(&api, "/api/v1/inbox", "messages", unread.into_iter().collect()).of(PAGE).up_to(arguments.limit);
    while let Some(messages) = pages.next_page()? {
        none &= messages.is_empty();
        for message in &messages {
            if arguments.json {
                writeln!(out, "{message}")?;
            } else {
                let message = parse(message)?;
                rows.push(COLUMNS.iter().map(|column| counted(message.get(*column))).collect());
            }
        }
    }
    if !arguments.json {
        output::table(&mut out, &COLUMNS, &rows)?;
    }
    out.flush()?;
    if none {
        output::note("no messages");
    }
    Ok(Exit::Done)
}

/// A field as a cell; of a list how many there are.
fn counted(value: Option<&Value>) -> String {
    match value {
        Some(Value::Array(items)) => items.len().to_string(),
        other => plain(other),
    }
}

/// Writes one message for people: what it is, then what is in it as the commands that list such things show it.
fn tell(message: &Value, out: &mut impl Write) -> io::Result<()> {
    let field = |name: &str| plain(message.get(name));
    line(out, "message", &field("id"))?;
    line(out, "subscription", &format!("{} ({})", field("name"), field("subscription")))?;
    line(out, "made", &field("made"))?;
    if field("lane") == "warning" {
        line(out, "lane", "warning")?;
    }
    if let Some(notice) = message.get("notice").filter(|notice| !notice.is_null()) {
        line(out, "notice", &words(notice))?;
    }
    section(out, ["event", "events"], items(message, "events"), &search::COLUMNS, search::row)?;
    section(out, ["finding", "findings"], items(message, "findings"), &findings::titles(), findings::row)?;
    section(out, ["withdrawn", "withdrawn"], items(message, "withdrawn"), &["what", "since"], withdrawn)?;
    match message.get("left_out").and_then(Value::as_u64) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "\n{more} more had matched and are in no message; `bongsu search` finds them"),
    }
}

fn line(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{title:<13} {}", output::shorten(text, usize::MAX))
}

/// The hub's own words.
fn words(notice: &Value) -> String {
    let field = |name: &str| plain(notice.get(name));
    match field("kind").as_str() {
        "test" => "a test; nothing is the matter".to_owned(),
        "confirm" => format!("the code {}, to be given back by {}", field("code"), field("until")),
        "parked" => format!("sending was given up: {}; `bongsu subscribe resume` goes on", field("error")),
        other => other.to_owned(),
    }
}

fn items<'a>(message: &'a Value, name: &str) -> &'a [Value] {
    message.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A table under a line that says how many there are; nothing where there is none.
fn section(out: &mut impl Write, [one, many]: [&str; 2], items: &[Value], titles: &[&str], row: fn(&Value) -> Vec<String>) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{} {}", items.len(), if items.len() == 1 { one } else { many })?;
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    output::table(out, titles, &rows)
}

/// What was delivered before and no longer stands.
fn withdrawn(item: &Value) -> Vec<String> {
    let what = match item.get("seq") {
        Some(seq) => format!("event {}", plain(Some(seq))),
        None => format!("finding {}", plain(item.get("finding"))),
    };
    vec![what, plain(item.get("at"))]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn told(message: &Value) -> String {
        let mut out = Vec::new();
        tell(message, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_shown_as_lines_and_tables() {
        let message = json!({ "id": "0190", "lane": "ordinary", "subscription": "sub_1", "name": "night", "made": "2026-11-21T09:00:00Z", "read": null,
            "events": [{ "seq": 65536, "time": "2026-11-21T08:00:00Z", "category": "scanner", "tlp": "green",
                "observables": [{ "type": "ipv4", "value": "185.60.1.1" }] }, { "seq": 65537, "category": "phishing", "observables": [] }],
            "findings": [{ "id": "fnd_1", "state": "open", "category": "infected-system", "value": "192.0.2.7" }],
            "withdrawn": [{ "seq": 7, "at": "2026-11-21T08:30:00Z" }], "left_out": 3 });
        let text = told(&message);
        for part in ["subscription  night (sub_1)\n", "\n2 events\nSEQ ", "185.60.1.1", "\n1 finding\nID ", "1 withdrawn\n", "event 7  2026", "3 more"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('{') && !text.contains("notice"), "{text}");
    }

    #[test]
    fn the_hubs_own_words_are_told_in_words() {
        let notice = |notice: Value| told(&json!({ "id": "0190", "lane": "warning", "name": "night", "notice": notice }));
        assert!(notice(json!({ "kind": "test" })).contains("a test"));
        assert!(notice(json!({ "kind": "parked", "error": "connection refused" })).contains("given up: connection refused"));
        assert!(notice(json!({ "kind": "confirm", "code": "0000-1111-2222", "until": "2026-11-22T00:00:00Z" })).contains("0000-1111-2222"));
    }
}
