//! Threads that parse: bytes of a chunk in, prepared and encoded batches out.

use super::MAX_ERRORS;
use super::queue::Queue;

use formats::split::Chunk;
use formats::{Defaults, Format, Header, Notes, Parsed, Refusal};
use model::agreement::Sends;
use model::{Event, OrgNo};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;
use store::ledger::{Encoded, Hole, encode};
use store::views::{Days, Keys, Prepared, prepare};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A batch of at least so many events gets a frame of its own, encoded here.
const OWN_FRAME_EVENTS: usize = 2_048;
/// Events of a batch at the most; a block holds 65,535.
const MAX_BATCH: usize = 32_768;

/// Parsing takes most of the processor; what is parsed goes first on its way to being acknowledged.
const NICENESS: i32 = 3;

/// A chunk to parse.
#[derive(Debug)]
pub(super) struct ParseJob {
    pub(super) format: Format,
    pub(super) header: Arc<Header>,
    pub(super) chunk: Chunk,
    pub(super) defaults: Arc<Defaults>,
    /// What the reporter may send, where something is agreed on that.
    pub(super) sends: Option<Arc<Sends>>,
    pub(super) org: OrgNo,
    /// Whether refused lines are to be remembered by their place: where the request has an idempotency key.
    pub(super) has_key: bool,
    /// Of the memory; it stays with the chunk when the request is gone.
    pub(super) share: OwnedSemaphorePermit,
    pub(super) reply: oneshot::Sender<ParsedChunk>,
}

/// What a chunk gave.
#[derive(Debug)]
pub(super) struct ParsedChunk {
    pub(super) batches: Vec<ParsedBatch>,
    /// The first [`MAX_ERRORS`].
    pub(super) refusals: Vec<Refusal>,
    /// All of them.
    pub(super) refused: u64,
    /// What else is to be told.
    pub(super) notes: Notes,
    /// Refused lines after the last event, or all where there is none; where they are to be remembered.
    pub(super) trailing: u32,
    pub(super) share: OwnedSemaphorePermit,
}

/// Events ready for the store.
#[derive(Debug)]
pub(super) struct ParsedBatch {
    pub(super) prepared: Prepared,
    pub(super) encoded: Option<Encoded>,
    /// The refused lines before and between the events, where they are to be remembered.
    pub(super) holes: Vec<Hole>,
}

impl ParsedBatch {
    /// Puts refused lines of the chunks before in front of its first event.
    pub(super) fn follow(&mut self, lines: u32) {
        if lines == 0 {
            return;
        }
        if self.holes.first().is_none_or(|hole| hole.row > 0) {
            self.holes.insert(0, Hole { row: 0, lines: 0 });
        }
        if let Some(first) = self.holes.first_mut() {
            first.lines = first.lines.saturating_add(lines);
        }
    }
}

/// Lines that were refused, each once, in order.
type RefusedLines = Peekable<std::vec::IntoIter<u64>>;

/// The parse threads.
#[derive(Debug)]
pub struct Workers {
    jobs: Arc<Queue<ParseJob>>,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

impl Workers {
    /// Starts `threads` threads. They end when this is dropped.
    ///
    /// # Errors
    /// An I/O error where no thread can be made.
    pub fn start(threads: usize, keys: &Keys, days: &Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync>) -> std::io::Result<Self> {
        // The sessions' shares of memory bound what can wait here.
        let jobs = Arc::new(Queue::new());
        for number in 0..threads.max(1) {
            let (jobs, keys, mut days) = (jobs.clone(), keys.clone(), days());
            std::thread::Builder::new().name(format!("parse-{number}")).spawn(move || {
                store::give_way_by(NICENESS);
                while let Some(job) = jobs.next() {
                    let ParseJob { format, header, chunk, defaults, sends, org, has_key, share, reply } = job;
                    // Nobody waits for it any more.
                    if reply.is_closed() {
                        continue;
                    }
                    let mut parsed = formats::parse_chunk(format, &header, &chunk.bytes, chunk.first_line, &defaults);
                    if let Some(sends) = &sends {
                        keep_within(sends, &mut parsed);
                    }
                    let mut refusals = chunk.refusals;
                    drop(chunk.bytes);
                    refusals.extend(parsed.refusals);
                    refusals.sort_by_key(|refusal| refusal.line);
                    let refused = refusals.len() as u64;
                    let mut refused_lines = refused_lines(if has_key { &refusals } else { &[] });
                    if refusals.len() > MAX_ERRORS {
                        refusals.truncate(MAX_ERRORS);
                        refusals.shrink_to_fit();
                    }
                    let batches = batches(parsed.events, &parsed.lines, &mut refused_lines, org, &keys, days.as_mut());
                    let trailing = refused_lines.count() as u32;
                    // The request may be gone.
                    drop(reply.send(ParsedChunk { batches, refusals, refused, notes: parsed.notes, trailing, share }));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Parses a chunk when its turn comes: of a request that began then and has sent so many bytes with it.
    pub(super) fn parse(&self, job: ParseJob, request_began: Instant, bytes: u64) {
        self.jobs.push(self.jobs.turn(request_began, bytes), job);
    }
}

/// Refuses the events that lie outside of what is agreed that their reporter sends.
fn keep_within(sends: &Sends, parsed: &mut Parsed) {
    let (events, lines) = (std::mem::take(&mut parsed.events), std::mem::take(&mut parsed.lines));
    for (event, line) in events.into_iter().zip(lines) {
        match policy::outside(sends, event.tlp, event.category) {
            None => parsed.take(line, event),
            Some(reason) => parsed.refuse(line, reason),
        }
    }
}

/// The lines of refusals that are sorted by line.
fn refused_lines(refusals: &[Refusal]) -> RefusedLines {
    let mut lines: Vec<u64> = refusals.iter().map(|refusal| refusal.line).collect();
    lines.dedup();
    lines.into_iter().peekable()
}

/// Takes the refused lines that lie before and between the events of these lines. On one line events come before what was refused of it.
fn holes_of(lines: &[u64], refused: &mut RefusedLines) -> Vec<Hole> {
    let mut holes = Vec::new();
    if refused.peek().is_none() {
        return holes;
    }
    for (row, &line) in lines.iter().enumerate() {
        let mut count = 0;
        while refused.next_if(|refused| *refused < line).is_some() {
            count += 1;
        }
        if count > 0 {
            holes.push(Hole { row: row as u32, lines: count });
        }
    }
    holes
}

fn batches(mut events: Vec<Event>, lines: &[u64], refused: &mut RefusedLines, org: OrgNo, keys: &Keys, days: &mut dyn Days) -> Vec<ParsedBatch> {
    let mut out = Vec::new();
    let mut lines = lines.chunks(MAX_BATCH);
    while !events.is_empty() {
        let rest = if events.len() > MAX_BATCH { events.split_off(MAX_BATCH) } else { Vec::new() };
        let holes = lines.next().map_or_else(Vec::new, |lines| holes_of(lines, refused));
        out.push(batch(events, holes, org, keys, days));
        events = rest;
    }
    out
}

/// The batches of events that were parsed elsewhere.
pub(super) fn batches_of(events: Vec<Event>, org: OrgNo, keys: &Keys, days: &mut dyn Days) -> Vec<ParsedBatch> {
    batches(events, &[], &mut refused_lines(&[]), org, keys, days)
}

/// Prepares, and where the batch is large enough encodes, one batch.
fn batch(events: Vec<Event>, holes: Vec<Hole>, org: OrgNo, keys: &Keys, days: &mut dyn Days) -> ParsedBatch {
    let prepared = prepare(events, org, keys, days);
    let encoded = (prepared.events.len() >= OWN_FRAME_EVENTS).then(|| {
        let keys: Vec<u128> = prepared.references.iter().map(|reference| reference.key).collect();
        encode(prepared.events.iter(), &keys)
    });
    ParsedBatch { prepared, encoded, holes }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusals(lines: &[u64]) -> Vec<Refusal> {
        lines.iter().map(|&line| Refusal { line, reason: String::new() }).collect()
    }

    #[test]
    fn refused_lines_are_holes_before_the_event_that_follows_them() {
        let mut refused = refused_lines(&refusals(&[1, 1, 2, 4, 5, 9]));
        // Line 4 gave events and a refusal.
        assert_eq!(holes_of(&[3, 4, 4], &mut refused), [Hole { row: 0, lines: 2 }]);
        assert_eq!(holes_of(&[6, 7], &mut refused), [Hole { row: 0, lines: 2 }]);
        assert_eq!(refused.count(), 1);
    }

    #[test]
    fn what_lies_outside_of_what_is_agreed_is_refused_by_its_line() {
        let (now, tlp, pap) = (model::Timestamp::from_seconds(1_800_000_000), model::Tlp::Green, model::Pap::Green);
        let defaults = Defaults { now, tlp, pap, named: false, category: None, origin: None, role: None };
        let lines = ["phishing", "scanner"].map(|category| format!("{{\"time\":1700000000,\"category\":\"{category}\",\"value\":\"{category}.net\"}}\n"));
        let mut parsed = formats::parse_document(Format::Ndjson, lines.concat().as_bytes(), &defaults);
        keep_within(&Sends { max_tlp: None, categories: vec![model::Category::Phishing] }, &mut parsed);
        assert_eq!((parsed.events.len(), parsed.lines), (1, vec![1]));
        assert_eq!(parsed.refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(), [2]);
        assert!(parsed.refusals[0].reason.contains("scanner"));
    }

    #[test]
    fn what_follows_refused_lines_of_a_chunk_before_begins_with_them() {
        let mut batch = ParsedBatch { prepared: Prepared::default(), encoded: None, holes: vec![Hole { row: 2, lines: 1 }] };
        batch.follow(0);
        assert_eq!(batch.holes, [Hole { row: 2, lines: 1 }]);
        batch.follow(3);
        batch.follow(4);
        assert_eq!(batch.holes, [Hole { row: 0, lines: 7 }, Hole { row: 2, lines: 1 }]);
    }

    proptest! {
        #[test]
        fn ordinals_do_not_depend_on_where_a_body_is_cut(body in proptest::collection::vec(any::<bool>(), 1..60), chunk in 1_usize..20, size in 1_usize..10) {
            let (mut ordinals, mut ordinal, mut carried) = (Vec::new(), 0, 0);
            for (number, good) in body.chunks(chunk).enumerate() {
                let line = |at: usize| (number * chunk + at) as u64;
                let of = |is: bool| good.iter().enumerate().filter(|(_, good)| **good == is).map(|(at, _)| line(at)).collect::<Vec<u64>>();
                let mut refused = refused_lines(&refusals(&of(false)));
                for lines in of(true).chunks(size) {
                    let mut batch = ParsedBatch { prepared: Prepared::default(), encoded: None, holes: holes_of(lines, &mut refused) };
                    batch.follow(std::mem::take(&mut carried));
                    for row in 0..lines.len() as u32 {
                        ordinal += batch.holes.iter().filter(|hole| hole.row == row).map(|hole| u64::from(hole.lines)).sum::<u64>();
                        ordinals.push(ordinal);
                        ordinal += 1;
                    }
                }
                carried += refused.count() as u32;
            }
            let expected: Vec<u64> = body.iter().enumerate().filter(|(_, good)| **good).map(|(line, _)| line as u64).collect();
            prop_assert_eq!(ordinals, expected);
        }
    }
}
