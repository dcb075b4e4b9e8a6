//! `stream`: the live stream as NDJSON, without a gap and without a double, however often the connection breaks.
//!
//! Flow: connect → frames of server-sent events → one line each; when the connection ends, come back with the last number seen.
//! Invariant: numbers only grow: an event at or below the last one printed is not printed again.
//! Not here: which events the key may see (the hub decides).
//!
//! Source: WHATWG HTML, section 9.2 (server-sent events).

use super::{Api, query};
use crate::cli::StreamArguments;
use crate::output::ToHub;
use crate::{Exit, output};
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

/// The first pause before coming back; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause before coming back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the hub may stay away before the command gives up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest line of the stream, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

/// Runs `stream`.
pub fn run(arguments: &StreamArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let filter = query::parameters(&arguments.filter);
    if let Some(text) = arguments.from.and_then(|from| beyond(from, last(&api)?)) {
        output::note(&text);
    }
    let mut reader = Reader { last: None, left: arguments.limit };
    let mut pause = FIRST_PAUSE;
    let mut alive = Instant::now();
    while reader.left != Some(0) {
        match connect(&api, &filter, arguments.from, &mut reader) {
            Ok(printed) => {
                if printed > 0 {
                    pause = FIRST_PAUSE;
                }
                // The hub was there; how long the connection held does not matter.
                alive = Instant::now();
            }
            Err(error) if error.downcast_ref::<ToHub>().is_none() || alive.elapsed() > PATIENCE => return Err(error),
            Err(error) => output::note(&format!("{error:#}; coming back")),
        }
        if reader.left != Some(0) {
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
    Ok(Exit::Done)
}

/// The last sequence number so far; nothing where the hub does not say: the stream itself tells what is wrong.
fn last(api: &Api) -> Option<u64> {
    api.get("/api/v1/status", &[]).ok()?.json().ok()?.pointer("/ledger/last_seq").and_then(Value::as_u64)
}

/// What is said where the first number wanted is yet to come.
fn beyond(from: u64, last: u64) -> Option<String> {
    (from > last).then(|| format!("--from {from}: the last sequence number so far is {last}; waiting for what comes from {from} on"))
}

/// Reads one connection to its end; gives the number of events printed.
fn connect(api: &Api, filter: &[(&str, String)], from: Option<u64>, reader: &mut Reader) -> anyhow::Result<u64> {
    let mut parameters = filter.to_vec();
    let last = reader.last.map(|last| last.to_string());
    let mut headers = vec![("accept", "text/event-stream")];
    match (&last, from) {
        (Some(last), _) => headers.push(("last-event-id", last.as_str())),
        (None, Some(from)) => parameters.push(("from", from.to_string())),
        (None, None) => {}
    }
    match api.open("/api/v1/stream", &parameters, &headers)? {
        Ok(body) => reader.read(&mut BufReader::new(body), &mut output::standard()),
        Err(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => Err(answer.problem().context(ToHub)),
        Err(answer) => Err(answer.problem()),
    }
}

/// What was read so far.
struct Reader {
    last: Option<u64>,
    left: Option<u64>,
}

impl Reader {
    fn read<R: Read>(&mut self, input: &mut BufReader<R>, out: &mut impl Write) -> anyhow::Result<u64> {
        let mut printed = 0;
        let mut frame = Frame::default();
        let mut line = Vec::new();
        while self.left != Some(0) {
            if input.buffer().is_empty() {
                // Nothing waits to be read: show what there is before waiting.
                out.flush()?;
            }
            line.clear();
            match input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                // A broken connection is where a reader comes back, not an error.
                Err(_) => break,
            }
            if line.last() != Some(&b'\n') {
                if line.len() as u64 >= LONGEST_LINE {
                    bail!("the hub sent a line longer than {LONGEST_LINE} bytes");
                }
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty() {
                frame.field(text);
                continue;
            }
            printed += u64::from(self.dispatch(&frame, out)?);
            frame = Frame::default();
        }
        out.flush()?;
        Ok(printed)
    }

    /// Ends a frame: prints its event where it is a new one.
    fn dispatch(&mut self, frame: &Frame, out: &mut impl Write) -> anyhow::Result<bool> {
        if frame.kind == b"dropped" {
            output::note(&format!("the hub closed the stream: {}; coming back", String::from_utf8_lossy(&frame.data)));
            return Ok(false);
        }
        let Some(id) = frame.id else { return Ok(false) };
        if self.last.is_some_and(|last| id <= last) {
            return Ok(false);
        }
        if frame.data.is_empty() {
            self.last = Some(id);
            return Ok(false);
        }
        out.write_all(&frame.data).context("writing")?;
        out.write_all(b"\n").context("writing")?;
        self.last = Some(id);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or_else(|| anyhow!("more events than wanted"))?;
        }
        Ok(true)
    }
}

/// The fields of one frame so far.
#[derive(Debug, Default)]
struct Frame {
    id: Option<u64>,
    kind: Vec<u8>,
    data: Vec<u8>,
}

impl Frame {
    fn field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            // A comment; heartbeats are.
            Some(0) => return,
            Some(colon) => (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default()),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"id" => self.id = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            b"event" => self.kind = value.to_vec(),
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b' ');
                }
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader, text: &str) -> String {
        let mut out = Vec::new();
        reader.read(&mut BufReader::new(text.as_bytes()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_are_printed_in_order_and_comments_are_not() {
        let mut reader = Reader { last: None, left: None };
        let text = "retry: 2000\n: open\n\nid: 1\ndata: {\"a\":1}\n\n: heartbeat\n\nid: 2\r\ndata: {\"a\":2}\r\n\r\n";
        assert_eq!(read(&mut reader, text), "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(reader.last, Some(2));
    }

    #[test]
    fn an_id_without_an_event_is_where_the_next_connection_goes_on() {
        let mut reader = Reader { last: None, left: Some(1) };
        assert_eq!(read(&mut reader, "retry: 2000\n: open\nid: 8\n\n: heartbeat\nid: 9\n\n"), "");
        assert_eq!((reader.last, reader.left), (Some(9), Some(1)));
    }

    #[test]
    fn an_event_that_came_before_is_not_printed_again() {
        let mut reader = Reader { last: Some(5), left: None };
        assert_eq!(read(&mut reader, "id: 5\ndata: x\n\nid: 6\ndata: y\n\n"), "y\n");
    }

    #[test]
    fn half_a_frame_at_the_end_is_left_for_the_next_connection() {
        let mut reader = Reader { last: None, left: None };
        assert_eq!(read(&mut reader, "id: 1\ndata: x\n\nid: 2\ndata: y\n"), "x\n");
        assert_eq!(reader.last, Some(1));
        assert_eq!(read(&mut reader, "id: 2\ndata: y\n\n"), "y\n");
    }

    #[test]
    fn a_start_that_is_yet_to_come_is_told() {
        assert_eq!((beyond(7, 9), beyond(9, 9)), (None, None));
        assert!(beyond(12, 9).unwrap().contains("so far is 9; waiting for what comes from 12 on"));
    }

    #[test]
    fn a_limit_ends_the_stream() {
        let mut reader = Reader { last: None, left: Some(1) };
        assert_eq!(read(&mut reader, "id: 1\ndata: x\n\nid: 2\ndata: y\n\n"), "x\n");
        assert_eq!(reader.left, Some(0));
    }

    #[test]
    fn a_last_word_is_no_event() {
        let mut reader = Reader { last: Some(1), left: None };
        assert_eq!(read(&mut reader, "event: dropped\ndata: {\"reason\":\"too slow\"}\n\n"), "");
        assert_eq!(reader.last, Some(1));
    }
}
