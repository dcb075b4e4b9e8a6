//! `lookup`: what the hub knows of each value.
//!
//! Flow: values (arguments or lines of standard input) → batches of [`BATCH`] → one row or one JSON line per value, in the order asked.
//! Invariant: as many answers as values; a value the hub does not know, or may not tell of, is `unknown`, a text that is none `not a value`
//! (both `null`). Blank lines and those that begin with `#` are passed over.

use super::{Api, parse};
use crate::cli::LookupArguments;
use crate::{Exit, output};
use anyhow::{Context, bail};
use model::ObservableType;
use model::letters::with_letters;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use ureq::http::Method;

/// Values a request at the most; the contract's limit.
pub const BATCH: usize = 10_000;
/// Bytes of the values of a request at the most; the hub takes 8 MiB of JSON, in which a byte may need two.
const BATCH_BYTES: usize = 3 << 20;
/// Longest line of standard input, in bytes.
const LONGEST_LINE: u64 = 16 << 10;

/// Runs `lookup`.
pub fn run(arguments: &LookupArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let show = |values: &[String]| -> anyhow::Result<()> {
        let answers = ask(&api, values)?;
        let mut out = output::standard();
        if arguments.json {
            for answer in &answers {
                writeln!(out, "{answer}")?;
            }
        } else {
            let mut rows = Vec::with_capacity(values.len());
            for (value, answer) in values.iter().zip(&answers) {
                rows.push(row(value, &parse(answer)?));
            }
            output::table(&mut out, &["value", "state", "events", "reporters", "last seen", "categories"], &rows)?;
        }
        Ok(out.flush()?)
    };
    if arguments.values.is_empty() || arguments.values.iter().any(|value| value == "-") {
        let mut values: Vec<String> = arguments.values.iter().filter(|value| *value != "-").cloned().collect();
        let mut lines = BufReader::new(std::io::stdin().lock());
        while let Some(line) = next_line(&mut lines)? {
            if !line.is_empty() && !line.starts_with('#') {
                values.push(line);
            }
            if values.len() >= BATCH {
                show(&values)?;
                values.clear();
            }
        }
        if !values.is_empty() {
            show(&values)?;
        }
    } else {
        for values in arguments.values.chunks(BATCH) {
            show(values)?;
        }
    }
    Ok(Exit::Done)
}

/// What the hub answers a request.
#[derive(Deserialize)]
struct Answers {
    results: Vec<Box<RawValue>>,
}

/// Asks for values in as many requests as their number and length need; as many answers come back, as the hub wrote them.
pub fn ask(api: &Api, values: &[String]) -> anyhow::Result<Vec<Box<RawValue>>> {
    let mut answers = Vec::with_capacity(values.len());
    let mut rest = values;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|value| {
            bytes += value.len() + 3;
            bytes <= BATCH_BYTES
        });
        let count = fitting.count().clamp(1, BATCH);
        let (batch, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = after;
        let Answers { results } = api.send_json(Method::POST, "/api/v1/observables/lookup", &json!({ "values": batch }))?.read::<Answers>()?;
        if results.len() != batch.len() {
            bail!("the hub answered {} results for {} values", results.len(), batch.len());
        }
        answers.extend(results);
    }
    Ok(answers)
}

fn next_line(lines: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = Vec::new();
    if lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).context("reading standard input")? == 0 {
        return Ok(None);
    }
    if line.len() as u64 >= LONGEST_LINE {
        bail!("standard input: a line is longer than {LONGEST_LINE} bytes");
    }
    Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
}

fn row(value: &str, answer: &Value) -> Vec<String> {
    let text = |field: &str| plain(answer.get(field));
    if answer.is_null() {
        let (shown, state) = match model::detect::detect(value) {
            Some((kind, canonical)) => (with_letters(kind, &canonical), "unknown"),
            None => (value.to_owned(), "not a value"),
        };
        return vec![shown, state.to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned(), String::new()];
    }
    let mut state = text("state");
    for (field, mark) in [("reserved", "reserved"), ("protected", "protected")] {
        if answer.get(field) == Some(&Value::Bool(true)) {
            state.push_str(", ");
            state.push_str(mark);
        }
    }
    let mut categories = text("categories");
    let lists = text("warning_lists");
    if !lists.is_empty() {
        categories.push_str(&format!(" (on warning lists: {lists})"));
    }
    vec![shown(answer), state, text("events"), text("reporters"), text("last_seen"), categories]
}

/// The value of an observable, a registration or a finding for people: a name that is not plain ASCII also in its letters.
pub fn shown(of: &Value) -> String {
    let value = plain(of.get("value"));
    let kind = of.get("type").or_else(|| of.get("kind")).and_then(Value::as_str).and_then(ObservableType::parse);
    match kind {
        Some(kind) => with_letters(kind, &value),
        None => value,
    }
}

/// A JSON value as people write it: texts bare, lists separated by commas, nothing for null.
pub fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_value_has_a_row_of_its_own() {
        assert_eq!(row("x.example", &Value::Null)[..2], ["x.example".to_owned(), "unknown".to_owned()]);
        assert_eq!(row("X[.]example", &Value::Null)[..2], ["x.example".to_owned(), "unknown".to_owned()]);
        assert_eq!(row("not a value at all", &Value::Null)[..2], ["not a value at all".to_owned(), "not a value".to_owned()]);
    }

    #[test]
    fn a_known_value_is_shown_with_its_state() {
        let answer = json!({"type":"ipv4","value":"1.2.3.4","state":"active","events":3,"reporters":"<3","last_seen":"2026-11-21T00:00:00Z",
            "categories":["c2-server","scanner"],"warning_lists":["Public DNS"],"reserved":true});
        assert_eq!(
            row("1.2.3[.]4", &answer),
            ["1.2.3.4", "active, reserved", "3", "<3", "2026-11-21T00:00:00Z", "c2-server, scanner (on warning lists: Public DNS)"]
        );
    }

    #[test]
    fn a_name_is_also_told_in_its_letters() {
        assert_eq!(row("한국.kr", &Value::Null)[..2], ["xn--3e0b707e.kr (한국.kr)".to_owned(), "unknown".to_owned()]);
        assert_eq!(row("한국.kr", &json!({"type": "domain", "value": "xn--3e0b707e.kr"}))[0], "xn--3e0b707e.kr (한국.kr)");
        assert_eq!(shown(&json!({"kind": "domain", "value": "xn--3e0b707e.kr"})), "xn--3e0b707e.kr (한국.kr)");
        assert_eq!(shown(&json!({"type": "domain", "value": "xn--80ak6aa92e.com"})), "xn--80ak6aa92e.com", "it would pass for another name");
        assert_eq!((shown(&json!({"value": "x"})), shown(&json!({"type": "domain", "value": null}))), ("x".to_owned(), String::new()));
    }

    #[test]
    fn lines_are_trimmed_and_the_end_is_told() {
        let mut input = std::io::Cursor::new(b" a \r\n\nb".to_vec());
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some("a"));
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some(""));
        assert_eq!(next_line(&mut input).unwrap().as_deref(), Some("b"));
        assert_eq!(next_line(&mut input).unwrap(), None);
    }
}
