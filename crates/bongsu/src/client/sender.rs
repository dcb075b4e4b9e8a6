//! Sending one request of events, as often as it takes, without ever doubling.
//!
//! Flow: [`Sender::send`] → the hub's counts; broken connections and overload are tried again with the same idempotency key; a request
//! that the hub finds too large is halved; where the hub names fewer refused lines than it counts, [`Sender::name_all`] asks for the rest.
//! Invariant: the key of a request depends on the input and the options alone, so any later try is the same request.
//! Not here: reading and cutting the input (`input`, `chunks`).

use super::chunks::Chunk;
use super::{Answer, Api};
use crate::output;
use crate::output::ToHub;
use anyhow::anyhow;
use formats::Format;
use serde_json::Value;
use std::cell::RefCell;
use std::time::Duration;
use ureq::http::Method;

/// Tries of one request at the most.
const MOST_TRIES: u32 = 10;
/// The first pause between tries; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between tries, also where the hub asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Where the hub asks for a longer pause than this (a quota that is used up), waiting is the caller's to decide.
const PATIENCE: Duration = Duration::from_secs(600);
/// Lines of a request of which the hub names every refused one.
const NAMED_LINES: u64 = 1_000;
/// How hard bodies are compressed for a hub on another machine.
const COMPRESSION: i32 = 1;

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken.
    pub accepted: u64,
    /// Had come before.
    pub merged: u64,
    /// Not taken.
    pub refused: u64,
    /// Of the merged, those whose event was withdrawn since.
    pub merged_withdrawn: u64,
}

impl Counts {
    /// Adds another request's.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.merged += other.merged;
        self.refused += other.refused;
        self.merged_withdrawn += other.merged_withdrawn;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "accepted {}, merged {}, refused {}", self.accepted, self.merged, self.refused)
    }
}

/// One refused entry, or one that looks like a mistake, with its line in the file.
pub type Refusal = (u64, String);

/// What the hub says of the entries that it read, beside counts and refusals.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What looks like a mistake, as far as the hub named it.
    pub warnings: Vec<Refusal>,
    /// All that looks so.
    pub warned: u64,
    /// Defaults that stood in: field, value, entries.
    pub defaults: Vec<(String, String, u64)>,
}

impl Told {
    fn add(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.warned += other.warned;
        for (field, value, entries) in other.defaults {
            self.add_default(field, value, entries);
        }
    }

    /// Counts a default that stood in.
    pub fn add_default(&mut self, field: String, value: String, entries: u64) {
        match self.defaults.iter_mut().find(|known| known.0 == field && known.1 == value) {
            Some(known) => known.2 += entries,
            None => self.defaults.push((field, value, entries)),
        }
    }
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Failure {
    /// This input is at fault; others may go on.
    Input(anyhow::Error),
    /// The hub cannot be reached, or refuses the key: nothing else would go through either.
    Hub(anyhow::Error),
}

/// Sends requests of events.
pub struct Sender<'a> {
    api: &'a Api,
    parameters: Vec<(&'static str, String)>,
    dry_run: bool,
    compress: bool,
    /// Of the requests taken so far, in the order sent.
    receipts: RefCell<Vec<String>>,
}

impl<'a> Sender<'a> {
    /// Prepares a sender with the parameters of every request.
    pub fn new(api: &'a Api, parameters: Vec<(&'static str, String)>, dry_run: bool) -> Self {
        Self { api, parameters, dry_run, compress: !is_this_machine(api.url()), receipts: RefCell::default() }
    }

    /// The receipts of the requests that the hub has taken, in the order sent.
    pub fn receipts(&self) -> Vec<String> {
        self.receipts.borrow().clone()
    }

    /// Sends a request; gives counts and every refused line that the hub named or that asking again brought out.
    pub fn send(&self, format: Format, chunk: &Chunk, key: &str) -> Result<(Counts, Vec<Refusal>, Told), Failure> {
        let answer = self.persist(format, &chunk.body, Some(key), self.dry_run)?;
        if answer.status == 413 && super::chunks::is_cut(format, &chunk.body) {
            let pieces = chunk.pieces(format, fitting_lines(&answer, format, chunk));
            if pieces.len() > 1 {
                return self.send_pieces(format, &pieces, key);
            }
        }
        let (counts, mut refusals) = outcome(&answer, chunk)?;
        let told = told(&answer, chunk);
        self.receipts.borrow_mut().extend(receipt(&answer));
        if counts.refused > refusals.len() as u64 && super::chunks::is_cut(format, &chunk.body) {
            refusals = self.name_all(format, chunk)?;
        }
        Ok((counts, refusals, told))
    }

    /// Sends a request that was too large in pieces. The hub may have kept its beginning, as far as the limit reached, under its key: the first
    /// piece reaches as far and goes under the same key, so that nothing is kept twice.
    fn send_pieces(&self, format: Format, pieces: &[Chunk], key: &str) -> Result<(Counts, Vec<Refusal>, Told), Failure> {
        let mut counts = Counts::default();
        let mut refusals = Vec::new();
        let mut told = Told::default();
        for (place, piece) in pieces.iter().enumerate() {
            // Named by its place in the file, so that a piece that is cut again shares no key with its neighbours.
            let key = if place == 0 { key.to_owned() } else { format!("{key}.{}", piece.first_line()) };
            let (part, named, more) = self.send(format, piece, &key)?;
            counts.add(part);
            refusals.extend(named);
            told.add(more);
        }
        Ok((counts, refusals, told))
    }

    /// Names every refused line of a request by checking it again in small pieces; nothing is kept of that.
    fn name_all(&self, format: Format, chunk: &Chunk) -> Result<Vec<Refusal>, Failure> {
        let mut refusals = Vec::new();
        for piece in chunk.pieces(format, NAMED_LINES) {
            let answer = self.persist(format, &piece.body, None, true)?;
            refusals.extend(outcome(&answer, &piece)?.1);
        }
        Ok(refusals)
    }

    /// Tries until the hub has decided.
    fn persist(&self, format: Format, body: &[u8], key: Option<&str>, dry_run: bool) -> Result<Answer, Failure> {
        let compressed = if self.compress { zstd::encode_all(body, COMPRESSION).ok() } else { None };
        let mut parameters = self.parameters.clone();
        if dry_run {
            parameters.push(("dry_run", "1".to_owned()));
        }
        let mut headers = vec![("content-type", media_type(format))];
        if compressed.is_some() {
            headers.push(("content-encoding", "zstd"));
        }
        if let Some(key) = key.filter(|_| !dry_run) {
            headers.push(("idempotency-key", key));
        }
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MOST_TRIES {
            let (why, asked) = match self.api.send(Method::POST, "/api/v1/events", &parameters, &headers, compressed.as_deref().unwrap_or(body)) {
                Ok(answer) if is_passing(answer.status) => (answer.problem(), answer.retry_after.map(Duration::from_secs)),
                Ok(answer) => return Ok(answer),
                Err(error) if error.downcast_ref::<ToHub>().is_some() => (error, None),
                Err(error) => return Err(Failure::Input(error)),
            };
            if let Some(asked) = asked.filter(|&asked| asked > PATIENCE) {
                return Err(Failure::Hub(why.context(format!("the hub asks to come back in {} s", asked.as_secs()))));
            }
            if attempt == MOST_TRIES {
                return Err(Failure::Hub(why.context(format!("gave up after {MOST_TRIES} tries"))));
            }
            let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            output::note(&format!("{why:#}; trying again in {:.1} s", wait.as_secs_f64()));
            std::thread::sleep(wait);
            pause = pause.saturating_mul(2);
        }
        // The last try has returned already.
        Err(Failure::Hub(anyhow!("no tries left")))
    }
}

/// How many lines of a request that was too large fit into one, going by the limit that the hub named; half of them where it named none.
fn fitting_lines(answer: &Answer, format: Format, chunk: &Chunk) -> u64 {
    let lines = chunk.lines(format);
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let unit = document.get("unit").and_then(Value::as_str).unwrap_or_default();
    let fitting = document.get("limit").and_then(Value::as_u64).map(|limit| match unit.split(' ').next() {
        Some("events") => chunk.lines_of_entries(format, limit),
        Some("bytes") => chunk.lines_within(format, limit),
        _ => lines.div_ceil(2),
    });
    fitting.filter(|&fitting| fitting > 0 && fitting < lines).unwrap_or_else(|| lines.div_ceil(2)).max(1)
}

/// Whether a later try may fare better: overload (429, 503) and what proxies answer for a hub that restarts.
fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// Counts and refused lines of an answer.
fn outcome(answer: &Answer, chunk: &Chunk) -> Result<(Counts, Vec<Refusal>), Failure> {
    match answer.status {
        200 | 422 => {}
        400 | 408 | 413 | 415 => return Err(Failure::Input(answer.problem())),
        _ => return Err(Failure::Hub(answer.problem())),
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(Failure::Hub(anyhow!("the hub's answer is no JSON")));
    };
    let number = |field: &str| document.get(field).and_then(Value::as_u64);
    let errors = document.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut refusals = Vec::with_capacity(errors.len());
    for error in errors {
        // Without a line it is the request that is wrong, not an entry.
        let Some(line) = error.get("line").and_then(Value::as_u64) else { return Err(Failure::Hub(answer.problem())) };
        let reason = error.get("reason").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
        refusals.push((chunk.line_in_file(line), reason));
    }
    let counts = Counts {
        accepted: number("accepted").unwrap_or(0),
        merged: number("merged").unwrap_or(0),
        refused: number("refused").unwrap_or(refusals.len() as u64),
        merged_withdrawn: number("merged_withdrawn").unwrap_or(0),
    };
    Ok((counts, refusals))
}

/// What an answer says beside counts and refusals; what of it cannot be read is passed over.
fn told(answer: &Answer, chunk: &Chunk) -> Told {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let list = |field: &str| document.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |of: &Value, field: &str| of.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |of: &Value, field: &str| of.get(field).and_then(Value::as_u64);
    let mut told = Told { warned: number(&document, "warned").unwrap_or(0), ..Told::default() };
    told.warnings.extend(list("warnings").iter().filter_map(|warning| Some((chunk.line_in_file(number(warning, "line")?), text(warning, "reason")))));
    for used in list("defaults") {
        told.add_default(text(used, "field"), text(used, "value"), number(used, "entries").unwrap_or(0));
    }
    told
}

/// The receipt that an answer names.
fn receipt(answer: &Answer) -> Option<String> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    document.get("receipt").and_then(Value::as_str).map(str::to_owned)
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Ndjson => "application/x-ndjson",
        Format::JsonArray => "application/json",
        Format::Csv => "text/csv",
        Format::List => "text/plain",
        Format::Stix => "application/stix+json",
        Format::Misp => "application/x-misp+json",
    }
}

/// Whether the hub is on this machine, where compressing costs more than it saves.
fn is_this_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::client::chunks::whole;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    fn chunk() -> Chunk {
        whole(&mut b"x\ny\n".as_slice()).unwrap()
    }

    #[test]
    fn nothing_usable_is_an_outcome_and_no_failure() {
        let answer = answer(422, r#"{"title":"x","refused":2,"errors":[{"line":1,"reason":"no"},{"line":2,"reason":"never"}]}"#);
        let (counts, refusals) = outcome(&answer, &chunk()).unwrap();
        assert_eq!(counts, Counts { refused: 2, ..Counts::default() });
        assert_eq!(refusals[1], (2, "never".to_owned()));
    }

    #[test]
    fn warnings_and_defaults_of_an_answer_are_read() {
        let body = r#"{"accepted":1,"merged":3,"merged_withdrawn":2,"refused":0,"errors":[],"warnings":[{"line":2,"reason":"\"tpl\" is unknown"}],"warned":5,
            "defaults":[{"field":"tlp","value":"amber","entries":4}]}"#;
        let answer = answer(200, body);
        assert_eq!(outcome(&answer, &chunk()).unwrap().0, Counts { accepted: 1, merged: 3, refused: 0, merged_withdrawn: 2 });
        let mut all = told(&answer, &chunk());
        assert_eq!((all.warned, all.warnings.as_slice()), (5, [(2, "\"tpl\" is unknown".to_owned())].as_slice()));
        all.add(told(&answer, &chunk()));
        assert_eq!(all.defaults, [("tlp".to_owned(), "amber".to_owned(), 8)]);
        assert_eq!(told(&self::answer(502, "<html>"), &chunk()), Told::default());
    }

    #[test]
    fn a_wrong_parameter_or_key_stops_everything_and_a_wrong_file_does_not() {
        assert!(matches!(outcome(&answer(401, ""), &chunk()), Err(Failure::Hub(_))));
        assert!(matches!(outcome(&answer(422, r#"{"errors":[{"pointer":"/x","reason":"no"}]}"#), &chunk()), Err(Failure::Hub(_))));
        assert!(matches!(outcome(&answer(413, "{}"), &chunk()), Err(Failure::Input(_))));
    }

    #[test]
    fn a_request_that_is_too_large_is_cut_where_the_hub_stopped() {
        let chunk = whole(&mut b"{}\n\n{}\n{}\n{}\n".as_slice()).unwrap();
        let lines = |body: &str| fitting_lines(&answer(413, body), Format::Ndjson, &chunk);
        assert_eq!(lines(r#"{"limit":2,"unit":"events a request"}"#), 3);
        assert_eq!(lines(r#"{"limit":8,"unit":"bytes after decompression"}"#), 3);
        assert_eq!(lines(r#"{"limit":100,"unit":"events a request"}"#), 3);
        assert_eq!(lines("<html>"), 3);
        assert_eq!(lines(r#"{"limit":2,"unit":"bytes after decompression"}"#), 3);
    }

    #[test]
    fn a_receipt_is_read_where_the_hub_gives_one() {
        assert_eq!(receipt(&answer(200, r#"{"receipt":"rcp_1","accepted":1}"#)).as_deref(), Some("rcp_1"));
        assert_eq!(receipt(&answer(422, "{}")), None);
        assert_eq!(receipt(&answer(200, r#"{"receipt":null}"#)), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_passing(429) && is_passing(503));
        assert!(!is_passing(500) && !is_passing(507) && !is_passing(422));
    }

    #[test]
    fn bodies_are_compressed_for_other_machines_alone() {
        assert!(is_this_machine("http://127.0.0.1:8470") && is_this_machine("http://[::1]:1"));
        assert!(!is_this_machine("https://hub.example"));
    }
}
