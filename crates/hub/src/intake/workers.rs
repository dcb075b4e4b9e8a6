//! Threads that parse: bytes of a chunk in, prepared and encoded batches out.

use super::MAX_ERRORS;
use crate::HubError;
use formats::split::Chunk;
use formats::{Defaults, Format, Header, Refusal};
use model::{Event, OrgNo};
use std::sync::Arc;
use store::ledger::{Encoded, encode};
use store::views::{Days, Keys, Prepared, prepare};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A batch of at least so many events gets a frame of its own, encoded here.
const OWN_FRAME_EVENTS: usize = 2_048;
/// Events of a batch at the most; a block holds 65,535.
const MAX_BATCH: usize = 32_768;

/// A chunk to parse.
pub(super) struct ParseJob {
    pub(super) format: Format,
    pub(super) header: Arc<Header>,
    pub(super) chunk: Chunk,
    pub(super) defaults: Arc<Defaults>,
    pub(super) org: OrgNo,
    /// Of the memory; it stays with the chunk when the request is gone.
    pub(super) share: OwnedSemaphorePermit,
    pub(super) reply: oneshot::Sender<ParsedChunk>,
}

/// What a chunk gave.
pub(super) struct ParsedChunk {
    pub(super) batches: Vec<ParsedBatch>,
    /// The first [`MAX_ERRORS`].
    pub(super) refusals: Vec<Refusal>,
    /// All of them.
    pub(super) refused: u64,
    pub(super) share: OwnedSemaphorePermit,
}

/// Events ready for the store.
pub(super) struct ParsedBatch {
    pub(super) prepared: Prepared,
    pub(super) encoded: Option<Encoded>,
}

/// The parse threads.
#[derive(Debug)]
pub struct Workers {
    jobs: crossbeam_channel::Sender<ParseJob>,
}

impl Workers {
    /// Starts `threads` threads. They end when this is dropped.
    ///
    /// # Errors
    /// An I/O error where no thread can be made.
    pub fn start(threads: usize, keys: &Keys, days: &Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync>) -> std::io::Result<Self> {
        // The sessions' shares of memory bound what can wait here.
        let (jobs, waiting) = crossbeam_channel::unbounded::<ParseJob>();
        for number in 0..threads.max(1) {
            let (waiting, keys, mut days) = (waiting.clone(), keys.clone(), days());
            std::thread::Builder::new().name(format!("parse-{number}")).spawn(move || {
                for job in waiting {
                    let ParseJob { format, header, chunk, defaults, org, share, reply } = job;
                    // Nobody waits for it any more.
                    if reply.is_closed() {
                        continue;
                    }
                    let parsed = formats::parse_chunk(format, &header, &chunk.bytes, chunk.first_line, &defaults);
                    let mut refusals = chunk.refusals;
                    drop(chunk.bytes);
                    refusals.extend(parsed.refusals);
                    refusals.sort_by_key(|refusal| refusal.line);
                    let refused = refusals.len() as u64;
                    if refusals.len() > MAX_ERRORS {
                        refusals.truncate(MAX_ERRORS);
                        refusals.shrink_to_fit();
                    }
                    let batches = batches(parsed.events, org, &keys, days.as_mut());
                    // The request may be gone.
                    drop(reply.send(ParsedChunk { batches, refusals, refused, share }));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    pub(super) fn parse(&self, job: ParseJob) -> Result<(), HubError> {
        self.jobs.send(job).map_err(|_| HubError::Overloaded { retry_after: 10 })
    }
}

fn batches(mut events: Vec<Event>, org: OrgNo, keys: &Keys, days: &mut dyn Days) -> Vec<ParsedBatch> {
    let mut out = Vec::new();
    while !events.is_empty() {
        let rest = if events.len() > MAX_BATCH { events.split_off(MAX_BATCH) } else { Vec::new() };
        out.push(batch(events, org, keys, days));
        events = rest;
    }
    out
}

/// Prepares, and where the batch is large enough encodes, one batch.
fn batch(events: Vec<Event>, org: OrgNo, keys: &Keys, days: &mut dyn Days) -> ParsedBatch {
    let prepared = prepare(events, org, keys, days);
    let encoded = (prepared.events.len() >= OWN_FRAME_EVENTS).then(|| {
        let keys: Vec<u128> = prepared.references.iter().map(|reference| reference.key).collect();
        encode(prepared.events.iter(), &keys)
    });
    ParsedBatch { prepared, encoded }
}
