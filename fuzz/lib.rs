//! What the fuzz targets share: the sender's defaults, and the laws that hold for whatever any parser makes of any bytes.

use formats::split::{Chunk, Limits, Splitter};
use formats::{Defaults, Format, Header, Parsed};
use model::{Pap, Timestamp, Tlp, canonical};

/// The longest reason a refusal may give: it quotes at most 80 characters of input.
const LONGEST_REASON: usize = 1_000;
/// Small, so that short inputs are cut too.
const SMALL_CHUNK: usize = 64;

/// A sender's defaults at a fixed moment, so that a crash can be repeated.
pub fn defaults() -> Defaults {
    Defaults { now: Timestamp::from_seconds(1_795_000_000), tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None }
}

/// Parses a whole document and checks what came out of it.
pub fn parse(format: Format, bytes: &[u8]) {
    check(&formats::parse_document(format, bytes, &defaults()));
}

/// Takes a body in pieces as intake does; gives the number of events. A document larger than the limit gives none.
pub fn arrive(format: Format, body: &[u8], piece: usize) -> usize {
    let mut splitter = Splitter::new(format, Limits { target_bytes: SMALL_CHUNK, ..Limits::default() });
    let (mut header, mut events) = (None, 0);
    let mut take = |chunk: Chunk| {
        let header = header.get_or_insert_with(|| Header::read(format, &chunk.bytes));
        let parsed = formats::parse_chunk(format, header, &chunk.bytes, chunk.first_line, &defaults());
        check(&parsed);
        events += parsed.events.len();
    };
    for part in body.chunks(piece) {
        if splitter.push(part).is_err() {
            return 0;
        }
        while let Some(chunk) = splitter.next_chunk() {
            take(chunk);
        }
    }
    if let Ok(Some(last)) = splitter.finish() {
        take(last);
    }
    while let Some(chunk) = splitter.next_chunk() {
        take(chunk);
    }
    events
}

/// Every event has a line and a value, every value is canonical, and no refusal repeats its input at length.
pub fn check(parsed: &Parsed) {
    assert_eq!(parsed.events.len(), parsed.lines.len());
    for event in &parsed.events {
        assert!(!event.observables.is_empty());
        for observable in &event.observables {
            let again = canonical::canonical(observable.kind, &observable.value);
            assert_eq!(again.as_deref().ok(), Some(observable.value.as_str()), "{:?} is not canonical", observable.kind);
        }
    }
    for refusal in &parsed.refusals {
        assert!(refusal.line > 0 && refusal.reason.len() < LONGEST_REASON);
    }
}
