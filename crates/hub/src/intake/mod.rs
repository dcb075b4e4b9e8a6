//! Intake: turns one request's body into events in the ledger.
//!
//! Flow: [`Session::push`] takes bytes as they come → decompress → cut into chunks → parse threads → in order to the store → answer.
//! Invariant: bounded memory: every chunk holds a share of [`MAX_IN_FLIGHT`] until its events are applied; a body is never held whole,
//! but for the formats that are one document, of which [`MAX_DOCUMENTS`] are gathered at a time.
//! Not here: who may see an event (`policy`), how it is kept (`store`).

mod decode;
mod notes;
mod queue;
mod receipt;
mod workers;

pub use decode::Encoding;
pub(crate) use notes::warnings;
pub use receipt::{make_receipt, nonce as make_nonce, read_receipt};
pub use workers::Workers;

use crate::answers::{LineError, Outcome};
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use decode::Decoder;
use formats::split::{Chunk, Limits, SplitError, Splitter};
use formats::{Defaults, Format, Header, Refusal};
use model::agreement::Sends;
use model::{Category, Event, KeyRole, OrgKind, Organisation, Origin, Role, Seq, Tlp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::ledger::Submission;
use store::{Batch, BatchResult, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use workers::{ParseJob, ParsedBatch, ParsedChunk};

/// Bytes of chunks being parsed, written or applied, over all requests.
pub const MAX_IN_FLIGHT: usize = 192 * 1024 * 1024;
/// A list's or a table's bytes become so many in memory, about; those of other formats stay what they are.
const SHORT_ENTRIES: usize = 16;
/// Documents of more than a chunk that are gathered at the same time: they are kept whole before they can have a share.
pub const MAX_DOCUMENTS: usize = 4;
/// Longest wait for a share, or for a document's place, before the request is told to try again.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Chunks of one request that are parsed ahead.
const PARSE_AHEAD: usize = 6;
/// Refused entries that an answer names.
const MAX_ERRORS: usize = 1_000;
/// Bytes looked at to tell the format.
const DETECT_BYTES: usize = 64 * 1024;
/// Bytes of a chunk.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// Bytes that are unpacked before other requests have their turn.
const UNPACK_TURN: usize = 256 * 1024;
/// Bytes of memory that an event which was parsed elsewhere is charged for.
const EVENT_BYTES: usize = 512;
/// Bytes of an entry at the most.
const ENTRY_BYTES: usize = 1024 * 1024;

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The format; `None`: told from the content.
    pub format: Option<Format>,
    /// How the body is compressed.
    pub encoding: Encoding,
    /// The sender's key for this request.
    pub idempotency_key: Option<String>,
    /// Parse and check, keep nothing.
    pub dry_run: bool,
    /// Marking of events that have none.
    pub tlp: Option<Tlp>,
    /// Category of entries that have none.
    pub category: Option<Category>,
    /// Origin of events that have none.
    pub origin: Option<Origin>,
    /// Role of values that have none.
    pub role: Option<Role>,
    /// The file's name, where there is one: helps to tell the format.
    pub file_name: Option<String>,
    /// The organisation whose events these are, where the caller's acts for it.
    pub on_behalf_of: Option<model::OrgId>,
}

/// One request under way.
pub struct Session {
    hub: Arc<Hub>,
    org: model::OrgNo,
    /// Who sends another's events.
    agent: Option<(model::KeyId, model::OrgId)>,
    /// What the reporter may send, where something is agreed on that.
    sends: Option<Arc<Sends>>,
    options: Options,
    defaults: Arc<Defaults>,
    decoder: Decoder,
    began: Instant,
    /// Bytes after decompression.
    bytes: u64,
    /// The body's beginning until its format is told.
    beginning: Vec<u8>,
    splitting: Option<Splitting>,
    /// The place of a large document.
    document: Option<OwnedSemaphorePermit>,
    parsing: VecDeque<oneshot::Receiver<ParsedChunk>>,
    /// The newest batch, held back until it is known whether it is the last.
    held: Option<(ParsedBatch, Option<Arc<OwnedSemaphorePermit>>)>,
    applying: VecDeque<(oneshot::Receiver<Result<BatchResult, StoreError>>, Option<Arc<OwnedSemaphorePermit>>)>,
    nonce: u64,
    idempotency: Option<u128>,
    /// Ordinal of the next batch's first line, as `store::ledger::Submission` counts them.
    ordinal: u64,
    /// Refused lines since the last event, which the next batch begins with.
    refused_since: u32,
    /// Events handed to the store.
    handed: u64,
    /// First and last place of each batch, in order.
    places: Vec<(Seq, Seq)>,
    quota_left: Option<u64>,
    outcome: Outcome,
}

struct Splitting {
    format: Format,
    splitter: Splitter,
    header: Option<Arc<Header>>,
}

impl Hub {
    /// Begins to take in a request's events.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not submit and for organisations that the caller's does not act for, [`HubError::NotFound`] for such
    /// that the caller may not know, [`HubError::Quota`] where the day's quota is used up.
    pub fn intake(self: &Arc<Self>, actor: &Actor, options: Options) -> Result<Session, HubError> {
        match actor.role {
            KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter => {}
            KeyRole::Reader | KeyRole::Auditor => return Err(HubError::Forbidden("this role does not submit events")),
        }
        let organisation = self.members().reporter_for(actor, options.on_behalf_of)?;
        let now = self.clock().now();
        let quota_left = self.quotas.left(organisation.number, organisation.quota_per_day, now);
        if quota_left == Some(0) {
            return Err(HubError::Quota { retry_after: self.quotas.seconds_to_next_day(now) });
        }
        let defaults = Arc::new(Defaults {
            now,
            tlp: options.tlp.unwrap_or(organisation.default_tlp),
            pap: organisation.default_pap,
            named: organisation.named,
            category: options.category,
            origin: options.origin,
            role: options.role,
        });
        let idempotency = options.idempotency_key.as_deref().map(|key| self.store().views.keys.idempotency(organisation.number, key));
        Ok(Session {
            hub: self.clone(),
            org: organisation.number,
            agent: (organisation.id != actor.organisation.id).then(|| (actor.key, actor.organisation.id)),
            sends: sends_of(&organisation).map(Arc::new),
            decoder: Decoder::new(options.encoding)?,
            options,
            defaults,
            began: Instant::now(),
            bytes: 0,
            beginning: Vec::new(),
            splitting: None,
            document: None,
            parsing: VecDeque::new(),
            held: None,
            applying: VecDeque::new(),
            nonce: receipt::nonce(),
            idempotency,
            ordinal: 0,
            refused_since: 0,
            handed: 0,
            places: Vec::new(),
            quota_left,
            outcome: Outcome::default(),
        })
    }
}

impl Session {
    /// Takes the next bytes of the body; waits where the hub has too much work.
    ///
    /// # Errors
    /// [`HubError`]; what was written before stays, and is not taken twice when sent again with the same idempotency key.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), HubError> {
        if self.decoder.is_identity() {
            return self.take(&bytes).await;
        }
        // Piece by piece, so that what has been unpacked waits for its share before more is.
        let mut rest: &[u8] = &bytes;
        let mut turn = 0;
        while !rest.is_empty() {
            let (taken, plain) = self.decoder.unpack(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            turn += plain.len();
            self.take(&plain).await?;
            if turn >= UNPACK_TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Ends the body and waits until its events are durable and applied.
    ///
    /// # Errors
    /// As [`Session::push`], in [`HubError::Partly`] where a part was kept; [`HubError::NothingUsable`] where every entry was refused.
    pub async fn finish(mut self) -> Result<Outcome, HubError> {
        if let Err(error) = self.end().await {
            let outcome = self.so_far().await;
            return Err(if outcome.receipt.is_some() { HubError::Partly { error: Box::new(error), outcome: Box::new(outcome) } } else { error });
        }
        if self.options.dry_run {
            self.outcome.dry_run = true;
        }
        if self.outcome.accepted + self.outcome.merged == 0 && self.outcome.refused > 0 {
            return Err(HubError::NothingUsable { outcome: Box::new(self.outcome) });
        }
        count(&self.outcome);
        Ok(self.outcome)
    }

    /// Gives up a request that failed, and says what of it was kept: what was handed to the store, and the batch held back, which comes right
    /// after. Without a receipt nothing was.
    pub async fn so_far(mut self) -> Outcome {
        // These come later, and what is kept is the beginning of the request.
        self.parsing.clear();
        // Where a part before was refused, the store refuses this one too; why is told already.
        let _ = self.submit_held(true).await;
        while !self.applying.is_empty() {
            let _ = self.next_applied().await;
        }
        if self.outcome.receipt.is_some() {
            count(&self.outcome);
        }
        self.outcome
    }

    /// Why an event lies outside of what is agreed that its reporter sends; `None` where it does not.
    pub(crate) fn outside(&self, event: &Event) -> Option<String> {
        self.sends.as_deref().and_then(|sends| policy::outside(sends, event.tlp, event.category))
    }

    /// Takes events that were parsed elsewhere, as the next of the request.
    ///
    /// # Errors
    /// As [`Session::push`].
    pub(crate) async fn push_events(&mut self, events: Vec<Event>) -> Result<(), HubError> {
        let count = events.len() as u64;
        if count == 0 {
            return Ok(());
        }
        // Whoever takes them from a partner leaves out before what is outside of the agreement, and says so; here nothing passes by.
        if let Some(reason) = events.iter().find_map(|event| self.outside(event)) {
            return Err(HubError::Invalid { pointer: "/".to_owned(), reason });
        }
        let so_far = self.handed + self.held_events() + count;
        if so_far > self.hub.options.max_events {
            return Err(HubError::TooLarge { limit: self.hub.options.max_events, unit: "events a request" });
        }
        if self.quota_left.is_some_and(|left| so_far > left) {
            return Err(HubError::Quota { retry_after: self.hub.quotas.seconds_to_next_day(self.defaults.now) });
        }
        let kib = (events.len().saturating_mul(EVENT_BYTES) / 1024 + 1).min(MAX_IN_FLIGHT / 1024) as u32;
        let share = Arc::new(self.share(kib).await?);
        let (hub, org) = (self.hub.clone(), self.org);
        let prepared = tokio::task::spawn_blocking(move || workers::batches_of(events, org, &hub.store().views.keys, hub.make_days().as_mut())).await;
        for batch in prepared.map_err(|broken| HubError::Internal(Box::new(broken)))? {
            self.submit_held(false).await?;
            self.held = Some((batch, Some(share.clone())));
        }
        while self.applying.front_mut().is_some_and(|(answer, _)| !answer.is_empty()) {
            self.next_applied().await?;
        }
        Ok(())
    }

    /// As [`Session::finish`] for a request of [`Session::push_events`]: also tells first and last place of each run of its events, in order.
    ///
    /// # Errors
    /// As [`Session::push`]; what was handed to the store before is kept, and waited for.
    pub(crate) async fn finish_events(mut self) -> Result<(Outcome, Vec<(Seq, Seq)>), HubError> {
        let ended = async {
            self.submit_held(true).await?;
            while !self.applying.is_empty() {
                self.next_applied().await?;
            }
            Ok::<(), HubError>(())
        };
        if let Err(error) = ended.await {
            drop(self.so_far().await);
            return Err(error);
        }
        count(&self.outcome);
        Ok((self.outcome, self.places))
    }

    async fn end(&mut self) -> Result<(), HubError> {
        let rest = self.decoder.finish()?;
        self.take(&rest).await?;
        if self.splitting.is_none() {
            self.tell_format();
            let beginning = std::mem::take(&mut self.beginning);
            self.cut(&beginning).await?;
        }
        let last = match &mut self.splitting {
            Some(splitting) => splitting.splitter.finish().map_err(split_error)?,
            None => None,
        };
        if let Some(chunk) = last {
            self.parse(chunk).await?;
        }
        self.take_chunks().await?;
        while !self.parsing.is_empty() {
            self.next_parsed().await?;
        }
        self.submit_held(true).await?;
        while !self.applying.is_empty() {
            self.next_applied().await?;
        }
        Ok(())
    }

    async fn take(&mut self, plain: &[u8]) -> Result<(), HubError> {
        self.bytes += plain.len() as u64;
        let limit = self.hub.options.max_body;
        if self.bytes > limit {
            return Err(HubError::TooLarge { limit, unit: "bytes after decompression" });
        }
        self.split(plain).await
    }

    async fn split(&mut self, plain: &[u8]) -> Result<(), HubError> {
        if self.splitting.is_none() {
            self.beginning.extend_from_slice(plain);
            if self.beginning.len() < DETECT_BYTES && self.options.format.is_none() {
                return Ok(());
            }
            self.tell_format();
            let beginning = std::mem::take(&mut self.beginning);
            return self.cut(&beginning).await;
        }
        self.cut(plain).await
    }

    fn tell_format(&mut self) {
        let detected = || {
            let beginning = self.beginning.get(..DETECT_BYTES).unwrap_or(&self.beginning);
            formats::detect_format(beginning, self.options.file_name.as_deref())
        };
        let format = self.options.format.unwrap_or_else(detected);
        let limits = Limits { target_bytes: CHUNK_BYTES, entry_bytes: ENTRY_BYTES, document_bytes: self.hub.options.max_body as usize };
        self.splitting = Some(Splitting { format, splitter: Splitter::new(format, limits), header: None });
    }

    async fn cut(&mut self, plain: &[u8]) -> Result<(), HubError> {
        self.take_place().await?;
        // A large piece is cut step by step, so that chunks leave while it is being cut.
        for piece in plain.chunks(CHUNK_BYTES) {
            if let Some(splitting) = &mut self.splitting {
                splitting.splitter.push(piece).map_err(split_error)?;
            }
            self.take_chunks().await?;
        }
        Ok(())
    }

    /// A document waits for its place before more than a chunk of it is kept.
    async fn take_place(&mut self) -> Result<(), HubError> {
        let is_document = self.splitting.as_ref().is_some_and(|splitting| matches!(splitting.format, Format::Stix | Format::Misp));
        if is_document && self.document.is_none() && self.bytes > CHUNK_BYTES as u64 {
            self.document = Some(wait_for(&self.hub.documents, 1).await?);
        }
        Ok(())
    }

    async fn take_chunks(&mut self) -> Result<(), HubError> {
        while let Some(chunk) = self.splitting.as_mut().and_then(|splitting| splitting.splitter.next_chunk()) {
            self.parse(chunk).await?;
        }
        Ok(())
    }

    /// Gives a chunk to a parse thread; waits for older ones where too many are ahead.
    async fn parse(&mut self, chunk: Chunk) -> Result<(), HubError> {
        let Some(splitting) = &mut self.splitting else { return Ok(()) };
        let format = splitting.format;
        let header = splitting.header.get_or_insert_with(|| Arc::new(Header::read(format, &chunk.bytes))).clone();
        while self.parsing.len() >= PARSE_AHEAD {
            self.next_parsed().await?;
        }
        let share = self.share(share_of(format, chunk.bytes.len())).await?;
        let (reply, parsed) = oneshot::channel();
        let has_key = self.idempotency.is_some();
        let (defaults, sends) = (self.defaults.clone(), self.sends.clone());
        let job = ParseJob { format, header, chunk, defaults, sends, org: self.org, has_key, share, reply };
        self.hub.workers.parse(job, self.began, self.bytes);
        self.parsing.push_back(parsed);
        Ok(())
    }

    /// A share of the memory for work under way. Who has to wait for one first brings its own work to an end: requests that kept their shares
    /// while they wait for another's would wait for each other.
    async fn share(&mut self, kib: u32) -> Result<OwnedSemaphorePermit, HubError> {
        loop {
            if let Ok(share) = self.hub.in_flight.clone().try_acquire_many_owned(kib) {
                return Ok(share);
            }
            if !self.parsing.is_empty() {
                self.next_parsed().await?;
            } else if self.held.is_some() {
                self.submit_held(false).await?;
            } else if !self.applying.is_empty() {
                self.next_applied().await?;
            } else {
                return wait_for(&self.hub.in_flight, kib).await;
            }
        }
    }

    /// Takes the oldest parsed chunk and hands its events to the store.
    async fn next_parsed(&mut self) -> Result<(), HubError> {
        let Some(parsed) = self.parsing.pop_front() else { return Ok(()) };
        let mut parsed = parsed.await.map_err(|_| HubError::Overloaded { retry_after: 5 })?;
        self.name_refusals(parsed.refusals, parsed.refused);
        notes::add(&mut self.outcome, parsed.notes, self.options.tlp.is_none().then_some(self.defaults.tlp));
        let events: u64 = parsed.batches.iter().map(|batch| batch.prepared.events.len() as u64).sum();
        let so_far = self.handed + self.held_events() + events;
        if so_far + self.outcome.refused > self.hub.options.max_events {
            return Err(HubError::TooLarge { limit: self.hub.options.max_events, unit: "events a request" });
        }
        if self.quota_left.is_some_and(|left| so_far > left) {
            return Err(HubError::Quota { retry_after: self.hub.quotas.seconds_to_next_day(self.defaults.now) });
        }
        if self.options.dry_run {
            self.outcome.accepted += events;
            return Ok(());
        }
        if let Some(first) = parsed.batches.first_mut() {
            first.follow(std::mem::take(&mut self.refused_since));
        }
        self.refused_since = self.refused_since.saturating_add(parsed.trailing);
        let permit = Arc::new(parsed.share);
        for batch in parsed.batches {
            self.submit_held(false).await?;
            self.held = Some((batch, Some(permit.clone())));
        }
        // Answers that are there already give their memory back.
        while self.applying.front_mut().is_some_and(|(answer, _)| !answer.is_empty()) {
            self.next_applied().await?;
        }
        Ok(())
    }

    fn held_events(&self) -> u64 {
        self.held.as_ref().map_or(0, |(batch, _)| batch.prepared.events.len() as u64)
    }

    fn name_refusals(&mut self, refusals: Vec<Refusal>, refused: u64) {
        self.outcome.refused += refused;
        let room = MAX_ERRORS.saturating_sub(self.outcome.errors.len());
        self.outcome.errors.extend(refusals.into_iter().take(room).map(|Refusal { line, reason }| LineError { line, reason }));
    }

    async fn submit_held(&mut self, last: bool) -> Result<(), HubError> {
        let Some((batch, permit)) = self.held.take() else { return Ok(()) };
        let rows = batch.prepared.events.len() as u32;
        let submission = Submission { org: self.org, nonce: self.nonce, idempotency: self.idempotency, first_ordinal: self.ordinal, start: 0, rows, last };
        self.ordinal = submission.reached(&batch.holes);
        self.handed += u64::from(rows);
        let (reply, answer) = oneshot::channel();
        self.hub.store().submit(Batch { prepared: batch.prepared, encoded: batch.encoded, submission, holes: batch.holes, reply }).await?;
        self.applying.push_back((answer, permit));
        Ok(())
    }

    async fn next_applied(&mut self) -> Result<(), HubError> {
        let Some((answer, permit)) = self.applying.pop_front() else { return Ok(()) };
        let result = answer.await.map_err(|_| HubError::Overloaded { retry_after: 5 })??;
        drop(permit);
        self.hub.quotas.used(self.org, self.defaults.now, result.applied.accepted);
        self.outcome.accepted += result.applied.accepted;
        self.outcome.merged += result.applied.merged;
        self.places.push((result.first_seq, result.last_seq));
        self.outcome.merged_withdrawn += result.applied.merged_withdrawn;
        if self.outcome.first_seq.is_none() {
            self.outcome.first_seq = Some(result.first_seq);
            let receipt = make_receipt(result.first_seq, self.nonce).to_string();
            if let Some((key, agent)) = self.agent {
                // The ledger names the reporter alone.
                tracing::info!(%receipt, %key, %agent, reporter = %self.org, "events taken on behalf of another organisation");
            }
            self.outcome.receipt = Some(receipt);
        }
        self.outcome.last_seq = self.outcome.last_seq.max(Some(result.last_seq));
        Ok(())
    }
}

/// What an organisation may send, where something is agreed on that. It holds on after the agreement's date: that an agreement lapses opens nothing.
pub(crate) fn sends_of(organisation: &Organisation) -> Option<Sends> {
    let agreement = organisation.agreement.as_ref().filter(|_| organisation.kind == OrgKind::Partner)?;
    (agreement.sends != Sends::default()).then(|| agreement.sends.clone())
}

fn count(outcome: &Outcome) {
    metrics::counter!("bongsu_events_accepted_total").increment(outcome.accepted);
    metrics::counter!("bongsu_events_merged_total").increment(outcome.merged);
    metrics::counter!("bongsu_events_refused_total").increment(outcome.refused);
}

/// The KiB that a chunk takes until its events are applied.
fn share_of(format: Format, bytes: usize) -> u32 {
    let times = match format {
        Format::List | Format::Csv => SHORT_ENTRIES,
        Format::Ndjson | Format::JsonArray | Format::Stix | Format::Misp => 1,
    };
    // One document may be larger than all shares together: it then waits for all of them.
    (bytes.saturating_mul(times) / 1024 + 1).min(MAX_IN_FLIGHT / 1024) as u32
}

async fn wait_for(places: &Arc<Semaphore>, count: u32) -> Result<OwnedSemaphorePermit, HubError> {
    match tokio::time::timeout(MAX_WAIT, places.clone().acquire_many_owned(count)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(HubError::Overloaded { retry_after: 2 }),
    }
}

fn split_error(error: SplitError) -> HubError {
    match error {
        SplitError::DocumentTooLarge { limit } => HubError::TooLarge { limit: limit as u64, unit: "bytes a document" },
        #[expect(unreachable_patterns, reason = "the splitter may learn to refuse more")]
        other => HubError::BadBody(other.to_string()),
    }
}

impl From<StoreError> for HubError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull => Self::DiskFull,
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::Stopped => Self::Overloaded { retry_after: 10 },
            StoreError::Ledger(store::ledger::LedgerError::DiskFull) => Self::DiskFull,
            StoreError::Ledger(_) | StoreError::View(_) => Self::Internal(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_entries_are_charged_for_what_they_become_and_nobody_for_more_than_there_is() {
        assert_eq!(share_of(Format::Ndjson, 2 << 20), 2_049);
        assert_eq!(share_of(Format::List, 2 << 20), 32_769);
        assert_eq!(share_of(Format::Stix, usize::MAX), (MAX_IN_FLIGHT / 1024) as u32);
        assert_eq!(share_of(Format::Csv, usize::MAX), (MAX_IN_FLIGHT / 1024) as u32);
    }
}
