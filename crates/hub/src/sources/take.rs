//! Reading what a run brought, and taking it in.
//!
//! Flow: [`survey`] reads everything once and keeps nothing but figures and a few samples → the run is judged (`alarm`) → [`take`] reads it again and
//! hands the events to intake, a request per body.
//! Invariant: a body is never in memory as events; the same body sent again changes nothing, for its request has a key of its content.
//! Not here: what a run is (`run`), what of a snapshot is new (`snapshot`).

use super::read;
use super::snapshot::{Listed, MAX_LISTED, hash_of};
use super::state::RefusedLine;
use super::{Body, SourceError, SourceOptions};
use crate::answers::Outcome;
use crate::intake::Options;
use crate::{Actor, Hub};
use formats::{Defaults, Parsed, Refusal};
use hashbrown::HashSet;
use model::agreement::Sends;
use model::{Event, Origin, Seq, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use store::sources::Entry;
use tokio::sync::mpsc;

/// Refused entries that are named.
pub(super) const NAMED: usize = 20;
/// Entries that a dry run shows.
const SAMPLES: usize = 5;
/// Pieces that are read ahead of intake.
const AHEAD: usize = 2;

/// What is needed to read a source's bodies.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub source: Arc<SourceOptions>,
    pub defaults: Arc<Defaults>,
    /// What a partner may send.
    pub sends: Option<Arc<Sends>>,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Entries; of a snapshot different ones.
    pub entries: u64,
    pub refused: u64,
    pub refusals: Vec<RefusedLine>,
    /// The first entries, as they would be taken.
    pub samples: Vec<Value>,
    /// Whether the last entry of the last body was refused.
    pub last_refused: bool,
}

impl Reader {
    /// The reader of a source whose events are the actor's organisation's.
    pub(super) fn new(source: &Arc<SourceOptions>, actor: &Actor, now: Timestamp) -> Self {
        let organisation = &actor.organisation;
        let defaults = Defaults {
            now,
            tlp: source.tlp.unwrap_or(organisation.default_tlp),
            pap: source.pap.unwrap_or(organisation.default_pap),
            named: organisation.named,
            category: source.category,
            origin: Some(Origin::Relayed),
            role: source.role,
        };
        let agreement = organisation.agreement.as_ref().filter(|_| source.partner.is_some());
        Self { source: source.clone(), defaults: Arc::new(defaults), sends: agreement.map(|agreement| Arc::new(agreement.sends.clone())) }
    }

    /// Reads a body, piece by piece; what a partner may not send is refused.
    fn entries(&self, body: &Body, take: &mut dyn FnMut(Parsed) -> Result<(), SourceError>) -> Result<(), SourceError> {
        read::entries(body, &self.source, &self.defaults, &mut |parsed| take(self.within(parsed)))
    }

    fn within(&self, parsed: Parsed) -> Parsed {
        let Some(sends) = &self.sends else { return parsed };
        let mut within = Parsed { refusals: parsed.refusals, ..Parsed::default() };
        for (event, line) in parsed.events.into_iter().zip(parsed.lines) {
            match policy::outside(sends, event.tlp, event.category) {
                None => within.take(line, event),
                Some(reason) => within.refuse(line, reason),
            }
        }
        within
    }
}

/// Reads everything once. `whole` counts different entries.
///
/// # Errors
/// [`SourceError::Content`] where a body cannot be read at all, or a snapshot lists too much.
pub(super) fn survey(reader: &Reader, bodies: &[Body], whole: bool) -> Result<Survey, SourceError> {
    let mut survey = Survey::default();
    let mut met: HashSet<u128> = HashSet::new();
    for body in bodies {
        let (mut last_event, mut last_refusal) = (0, 0);
        reader.entries(body, &mut |parsed| {
            last_event = parsed.lines.iter().copied().max().unwrap_or(0).max(last_event);
            last_refusal = parsed.refusals.iter().map(|refusal| refusal.line).max().unwrap_or(0).max(last_refusal);
            survey.refuse(&body.name, &parsed.refusals);
            for event in &parsed.events {
                if survey.samples.len() < SAMPLES {
                    survey.samples.push(serde_json::from_str(&formats::json::to_submission(event)).unwrap_or_default());
                }
                survey.entries += u64::from(!whole || met.insert(hash_of(event)));
            }
            if met.len() > MAX_LISTED {
                return Err(SourceError::Content(format!("a snapshot of more than {MAX_LISTED} entries")));
            }
            Ok(())
        })?;
        survey.last_refused = last_refusal > last_event;
    }
    Ok(survey)
}

impl Survey {
    /// Counts refused entries and names the first.
    pub(super) fn refuse(&mut self, file: &str, refusals: &[Refusal]) {
        self.refused += refusals.len() as u64;
        let room = NAMED.saturating_sub(self.refusals.len());
        let some = refusals.iter().take(room);
        self.refusals.extend(some.map(|refusal| RefusedLine { file: file.to_owned(), line: refusal.line, reason: refusal.reason.clone() }));
    }
}

/// Takes a body in as one request of the actor's; of a snapshot what `listed` chooses, and tells where that is.
///
/// # Errors
/// [`SourceError`]; what was taken before stays.
pub(super) async fn take(
    hub: &Arc<Hub>,
    actor: &Actor,
    reader: &Reader,
    body: Arc<Body>,
    key: String,
    listed: Option<Arc<Mutex<Listed>>>,
) -> Result<(Outcome, Vec<Entry>), SourceError> {
    let failed = |error: crate::HubError| SourceError::Hub(Box::new(error));
    let options = Options {
        // What a snapshot brings has ids of its own.
        idempotency_key: listed.is_none().then_some(key),
        tlp: Some(reader.defaults.tlp),
        category: reader.source.category,
        origin: Some(Origin::Relayed),
        role: reader.source.role,
        ..Options::default()
    };
    let mut session = hub.intake(actor, options).map_err(failed)?;
    let (sender, mut pieces) = mpsc::channel::<Vec<(Event, u128, Timestamp)>>(AHEAD);
    let (reading, views) = (reader.clone(), hub.store().views.clone());
    let reading = tokio::task::spawn_blocking(move || {
        reading.entries(&body, &mut |parsed| {
            let events = match &listed {
                Some(listed) => listed.lock().choose(parsed.events, |seq| views.counts(seq)),
                None => parsed.events.into_iter().map(|event| (event, 0, Timestamp::default())).collect(),
            };
            if events.is_empty() {
                return Ok(());
            }
            // Nobody takes them any more: the reason is told there.
            sender.blocking_send(events).map_err(|_| SourceError::Content("broken off".to_owned()))
        })
    });
    let mut marks: Vec<(u128, Timestamp)> = Vec::new();
    while let Some(piece) = pieces.recv().await {
        let (events, told): (Vec<Event>, Vec<(u128, Timestamp)>) = piece.into_iter().map(|(event, hash, due)| (event, (hash, due))).unzip();
        session.push_events(events).await.map_err(failed)?;
        marks.extend(told);
    }
    let read = reading.await.map_err(|broken| failed(crate::HubError::Internal(Box::new(broken))))?;
    let (outcome, places) = session.finish_events().await.map_err(failed)?;
    read?;
    let seqs = places.into_iter().flat_map(|(first, last)| (first.0..=last.0).map(Seq));
    let entries = marks.into_iter().zip(seqs).filter(|((hash, _), _)| *hash != 0).map(|((hash, due), seq)| Entry { hash, seq, due }).collect();
    Ok((outcome, entries))
}
