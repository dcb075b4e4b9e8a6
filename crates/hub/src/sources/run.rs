//! One run of a source, from asking it to writing down what became of it.
//!
//! Flow: [`run`], on a thread of its own → [`Attempt::ask`] → what came is the same as before, or is surveyed and judged → [`Attempt::take`] → the end is written.
//! Invariant: the collector's new place is written with what was taken, and only then; a dry run writes nothing and withdraws nothing. One run of a
//! source at a time.
//! Not here: when it runs (`schedule`), who may ask for it (`doors`).

use super::alarm::{self, Figures, USUAL_OF};
use super::fetch::{configuration_of, on_own_thread, on_thread};
use super::schedule::{Source, next_run};
use super::snapshot::{self, Listed};
use super::state::{AlarmKind, RunResult, RunView, Saved};
use super::take::{self, Reader, Survey};
use super::{Body, Collected, Context, Kind, MAX_STATE, SourceError, collect, superseded};
use crate::outbound::OutboundError;
use crate::{Actor, Hub, HubError};
use model::{KeyId, KeyRole, OrgKind, Seq, Standing};
use parking_lot::Mutex;
use policy::Reader as Facts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::sources::{Entry, Finished};
use uuid::Uuid;

/// The longest time of asking a source.
const ASKING: Duration = Duration::from_secs(1_800);
/// Alarms that a run which was read settles.
const OF_A_RUN: [AlarmKind; 6] = [AlarmKind::Empty, AlarmKind::TooFew, AlarmKind::Jump, AlarmKind::Shrunk, AlarmKind::Truncated, AlarmKind::Refused];
/// Alarms that are over when the source has again what was taken of it.
const OF_A_HELD_RUN: [AlarmKind; 4] = [AlarmKind::Empty, AlarmKind::TooFew, AlarmKind::Jump, AlarmKind::Shrunk];

/// How a run is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meant {
    /// Only look.
    pub dry_run: bool,
    /// Believe a number of entries about as large as that of the run which was held back when somebody accepted it.
    pub accepted: Option<u64>,
}

/// A run under way.
struct Attempt<'a> {
    hub: &'a Arc<Hub>,
    source: &'a Source,
    meant: Meant,
    saved: Saved,
    view: RunView,
    actor: Actor,
    reader: Reader,
    /// What a snapshot lists, and the rows that say so.
    listed: Option<(Listed, Vec<Entry>)>,
    /// Whether the entries are wanted although they have not changed.
    wants_all: bool,
    added: Vec<Entry>,
    removed: Vec<u128>,
}

/// Runs a source once; also tells whether there is more right now.
///
/// # Errors
/// [`HubError`] where the end of the run cannot be written; what broke the run itself is told in it.
pub(super) async fn run(hub: &Arc<Hub>, source: &Arc<Source>, meant: Meant) -> Result<(RunView, bool), HubError> {
    let _turn = source.turn.lock().await;
    let _place = hub.sources.turns.acquire().await.map_err(|_| HubError::Overloaded { retry_after: 10 })?;
    let (hub, source) = (Arc::clone(hub), Arc::clone(source));
    // Unpacking, reading and comparing what came takes its time between the requests.
    on_own_thread(move || async move { run_now(&hub, &source, meant).await }).await?
}

/// The run, once it has its turn.
async fn run_now(hub: &Arc<Hub>, source: &Arc<Source>, meant: Meant) -> Result<(RunView, bool), HubError> {
    let started = hub.clock().now();
    let before = source.saved.lock().clone();
    let attempt = Attempt::begin(hub, source, meant, before.clone(), RunView::begun(started)).await;
    let mut more = false;
    let (mut view, mut saved, added, removed, error) = match attempt {
        Err(error) => (RunView::begun(started), before, Vec::new(), Vec::new(), Some(error)),
        Ok(mut attempt) => {
            let done = attempt.go().await;
            // What was taken before it broke is found again by the mark.
            let Attempt { view, saved, added, removed, .. } = attempt;
            match done {
                Ok(is_more) => {
                    more = is_more;
                    (view, saved, added, removed, None)
                }
                Err(error) => (view, Saved { taking: saved.taking, ..before }, Vec::new(), Vec::new(), Some(error)),
            }
        }
    };
    view.ended = hub.clock().now();
    let mut retry_after = None;
    if let Some(error) = error {
        (view.result, view.error) = (RunResult::Failed, Some(error.to_string()));
        saved.failures = saved.failures.saturating_add(1);
        if let SourceError::Status { retry_after: Some(seconds), .. } = &error {
            retry_after = Some(Duration::from_secs(*seconds));
        }
        if matches!(&error, SourceError::Outbound(OutboundError::Unreachable(text)) if text.starts_with("the answer broke off")) {
            view.alarms.insert(AlarmKind::Truncated, "the transfer broke off; nothing was taken".to_owned());
        }
        if saved.failures >= alarm::FAILURES {
            view.alarms.insert(AlarmKind::Failing, format!("{} runs in a row broke: {error}", saved.failures));
        }
    }
    if meant.dry_run {
        if view.error.is_none() {
            view.result = RunResult::DryRun;
        }
        *source.tried.lock() = Some(view.clone());
        return Ok((view, false));
    }
    saved.last_run = Some(view.started);
    saved.last_new = saved.last_new.or(Some(view.started));
    match view.result {
        RunResult::Failed => source.settle_alarms(&mut saved, &view.alarms, &[], view.ended),
        RunResult::Unchanged => source.settle_alarms(&mut saved, &view.alarms, &OF_A_HELD_RUN, view.ended),
        RunResult::Taken | RunResult::Held | RunResult::DryRun => source.settle_alarms(&mut saved, &view.alarms, &OF_A_RUN, view.ended),
    }
    if view.result != RunResult::Failed {
        saved.failures = 0;
        saved.last_success = Some(view.ended);
        source.settle_alarms(&mut saved, &BTreeMap::new(), &[AlarmKind::Failing], view.ended);
    }
    if view.taken + view.delisted > 0 {
        saved.last_new = Some(view.ended);
        source.settle_alarms(&mut saved, &BTreeMap::new(), &[AlarmKind::Silent], view.ended);
    }
    saved.next = Some(next_run(&source.options, view.ended, saved.failures, retry_after, Uuid::new_v4().as_u128() as u64));
    let state = json(&saved)?;
    let told = json(&view)?;
    let end = Finished { state: &state, run: Some(&told), started: view.started, added: &added, removed: &removed };
    hub.sources.file.finish(&source.options.name, &end).await?;
    *source.saved.lock() = saved;
    source.report(&view);
    Ok((view, more))
}

impl<'a> Attempt<'a> {
    /// Finds out who sends and what is listed.
    async fn begin(hub: &'a Arc<Hub>, source: &'a Arc<Source>, meant: Meant, saved: Saved, view: RunView) -> Result<Self, SourceError> {
        let now = view.started;
        let actor = actor_of(hub, source, now)?;
        let reader = Reader::new(&source.options, &actor, now);
        let mut attempt =
            Self { hub, source: source.as_ref(), meant, saved, view, actor, reader, listed: None, wants_all: false, added: Vec::new(), removed: Vec::new() };
        if source.options.snapshot && source.options.kind.gives_all() {
            let entries = attempt.entries().await?;
            let listed = Listed::new(&source.options.name, &entries, attempt.saved.takings, now);
            attempt.wants_all = listed.has_due();
            attempt.listed = Some((listed, entries));
        }
        attempt.wants_all |= attempt.saved.taking.is_some() || meant.dry_run || meant.accepted.is_some();
        Ok(attempt)
    }

    /// What the snapshot lists, with what a run that broke has left in the ledger.
    async fn entries(&mut self) -> Result<Vec<Entry>, SourceError> {
        let mut entries = self.hub.sources.file.entries(&self.source.options.name).await.map_err(|error| failed(error.into()))?;
        let Some(from) = self.saved.taking else { return Ok(entries) };
        let (hub, source, org, now) = (self.hub.clone(), Arc::clone(&self.source.options), self.actor.organisation.number, self.view.started);
        let mut found = on_thread(move || snapshot::found_since(&hub, &source.name, org, from, now).map_err(failed)).await?;
        let known: hashbrown::HashSet<Seq> = entries.iter().map(|entry| entry.seq).collect();
        found.retain(|new| !known.contains(&new.seq));
        self.added.extend_from_slice(&found);
        entries.append(&mut found);
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.seq));
        Ok(entries)
    }

    /// The run itself; tells whether there is more right now.
    async fn go(&mut self) -> Result<bool, SourceError> {
        let mut collected = self.ask().await?;
        self.view.bytes = collected.bodies.iter().map(|body| body.bytes.len() as u64).sum();
        let content = content_of(&self.source.options, &collected.bodies);
        let is_same = collected.bodies.is_empty() || self.saved.content.as_ref() == Some(&content);
        let brings_nothing = is_same && collected.superseded.is_empty() && collected.refused.is_empty() && !self.wants_all;
        if collected.unchanged || brings_nothing && (!collected.bodies.is_empty() || !self.source.options.kind.gives_all()) {
            self.view.result = RunResult::Unchanged;
            self.saved.held = None;
            if !collected.state.is_null() {
                self.saved.collector = collected.state;
            }
            if !self.meant.dry_run {
                self.move_files(collected.moved).await?;
            }
            return Ok(collected.more);
        }
        let name = &self.source.options.name;
        self.view.merged += superseded::leave_known(&self.hub.sources.file, name, &mut collected).await.map_err(|error| failed(error.into()))?;
        let mut cut = collected.bodies.iter().any(|body| !body.complete) || trim(&mut collected.bodies, self.source.options.kind, self.saved.ended_whole);
        let (reader, bodies, whole) = (self.reader.clone(), std::mem::take(&mut collected.bodies), collected.whole && self.listed.is_some());
        let (mut survey, bodies) = on_thread(move || Ok((take::survey(&reader, &bodies, whole)?, bodies))).await?;
        cut |= survey.last_refused && is_by_lines(self.source.options.kind) && bodies.last().is_some_and(|body| !ends_whole(body));
        for (file, refusal) in &collected.refused {
            survey.refuse(file, std::slice::from_ref(refusal));
        }
        let judgement = self.judge(&survey, cut, whole);
        let Survey { entries, refused, refusals, samples, .. } = survey;
        (self.view.entries, self.view.refused, self.view.refusals) = (entries, refused, refusals);
        self.view.alarms = judgement.alarms;
        self.saved.held = judgement.held;
        if self.meant.dry_run {
            self.view.samples = samples;
            return Ok(false);
        }
        if !judgement.take {
            self.view.result = RunResult::Held;
            return Ok(false);
        }
        let ended_whole = bodies.last().is_some_and(ends_whole);
        self.take(bodies, &collected, judgement.delist).await?;
        // What was cut, or is to be confirmed by the next run, is asked for again as if it had not come.
        if !cut && self.saved.held.is_none() {
            (self.saved.content, self.saved.ended_whole) = (Some(content), ended_whole);
            self.saved.collector = std::mem::take(&mut collected.state);
        }
        if !cut && entries > 0 {
            // What was usual before says nothing of what somebody, or a second run, has confirmed.
            if judgement.is_new_level {
                self.saved.past.clear();
            }
            self.saved.past.insert(0, entries);
            self.saved.past.truncate(USUAL_OF);
        }
        self.view.result = RunResult::Taken;
        self.move_files(collected.moved).await?;
        Ok(collected.more)
    }

    async fn ask(&self) -> Result<Collected, SourceError> {
        let nothing = Value::Null;
        // A condition would keep back what is wanted all the same. Sources that bring what is new go on from their place.
        let state = if self.wants_all && self.source.options.kind.gives_all() { &nothing } else { &self.saved.collector };
        let context = Context { source: &self.source.options, outbound: &self.hub.outbound, state, now: self.view.started };
        let collected = tokio::time::timeout(ASKING, collect(&context)).await.map_err(|_| SourceError::Outbound(OutboundError::TimedOut))??;
        if collected.state.to_string().len() > MAX_STATE {
            return Err(SourceError::Content("the source needs more to be remembered than there is room for".to_owned()));
        }
        Ok(collected)
    }

    fn judge(&self, survey: &Survey, cut: bool, whole: bool) -> alarm::Judgement {
        let listed = self.listed.as_ref().filter(|_| whole).map(|(listed, _)| listed.len());
        let figures = Figures { entries: survey.entries, refused: survey.refused, cut, gives_all: self.source.options.kind.gives_all(), listed };
        alarm::judge(&figures, &self.source.options.expect, &self.saved.past, self.saved.held, self.meant.accepted)
    }

    /// Takes the bodies in, then withdraws what is missing or superseded.
    async fn take(&mut self, bodies: Vec<Body>, collected: &Collected, delist: bool) -> Result<(), SourceError> {
        let (hub, org) = (self.hub, self.actor.organisation.number);
        let from: Seq = self.saved.taking.unwrap_or_else(|| hub.store().views.position());
        self.note(from).await?;
        let (listed, entries) = self.listed.take().unzip();
        let listed = listed.map(|listed| Arc::new(Mutex::new(listed)));
        let configuration = configuration_of(&self.source.options);
        for body in bodies {
            let key = format!("{configuration} {} {}", body.name, blake3::hash(&body.bytes).to_hex());
            let (outcome, new) = take::take(hub, &self.actor, &self.reader, Arc::new(body), key, listed.clone()).await?;
            self.view.taken += outcome.accepted;
            self.view.merged += outcome.merged;
            self.view.receipt = self.view.receipt.take().or(outcome.receipt);
            self.added.extend(new);
        }
        if let (Some(listed), Some(entries)) = (listed, entries) {
            let (missing, kept) = {
                let listed = listed.lock();
                (listed.missing(), listed.kept)
            };
            self.view.merged += kept;
            if delist && !missing.is_empty() {
                self.removed = missing;
                let gone: hashbrown::HashSet<u128> = self.removed.iter().copied().collect();
                let gone: Vec<Entry> = entries.into_iter().filter(|entry| gone.contains(&entry.hash)).collect();
                self.view.delisted = snapshot::delist(hub, org, gone).await.map_err(failed)?;
            }
        }
        let name = &self.source.options.name;
        if matches!(self.source.options.kind, Kind::MispFeed | Kind::Taxii) {
            self.view.delisted += superseded::settle(hub, &hub.sources.file, name, org, from, &collected.superseded).await.map_err(failed)?;
        }
        self.saved.taking = None;
        self.saved.takings += 1;
        Ok(())
    }

    /// Writes where the ledger ends before anything is taken, so that a run that breaks can be taken up.
    async fn note(&mut self, from: Seq) -> Result<(), SourceError> {
        self.saved.taking = Some(from);
        let noted = {
            let mut saved = self.source.saved.lock();
            saved.taking = Some(from);
            json(&*saved).map_err(failed)?
        };
        self.hub.sources.file.save(&self.source.options.name, &noted).await.map_err(|error| failed(error.into()))
    }

    /// Puts files away that were taken.
    async fn move_files(&self, moved: Vec<(std::path::PathBuf, std::path::PathBuf)>) -> Result<(), SourceError> {
        on_thread(move || {
            for (from, to) in moved {
                match std::fs::rename(&from, &to) {
                    // Someone else has put it away.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(SourceError::File { what: from.display().to_string(), error }),
                    Ok(()) => {}
                }
            }
            Ok(())
        })
        .await
    }
}

/// Who sends a source's events: an organisation without a key.
fn actor_of(hub: &Hub, source: &Source, now: model::Timestamp) -> Result<Actor, SourceError> {
    let organisation = hub.directory().by_id(source.organisation).ok_or_else(|| SourceError::Content("its organisation is not there".to_owned()))?;
    let refuse = |why: &str| Err(SourceError::Content(why.to_owned()));
    if organisation.standing == Standing::Revoked {
        return refuse("its organisation is revoked");
    }
    if source.options.partner.is_some() {
        if organisation.kind != OrgKind::Partner {
            return refuse("partner: the organisation is no partner");
        }
        if !organisation.agreement.as_ref().is_some_and(|agreement| agreement.holds(now)) {
            return refuse("partner: there is no agreement that holds");
        }
    }
    let reader = Facts::new(&organisation, KeyRole::Reporter, false, now);
    Ok(Actor { key: KeyId(Uuid::nil()), organisation, role: KeyRole::Reporter, red: false, reader })
}

/// A hash of the configuration and of the bodies.
fn content_of(source: &super::SourceOptions, bodies: &[Body]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(configuration_of(source).as_bytes());
    for body in bodies {
        hasher.update(body.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(blake3::hash(&body.bytes).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Whether entries end with lines, so that a body which ends within one was cut.
const fn is_by_lines(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::Csv | Kind::Ndjson)
}

fn ends_whole(body: &Body) -> bool {
    body.bytes.last().is_none_or(|last| matches!(last, b'\n' | b'\r'))
}

/// Takes the last line away that has no end, where the source has always ended its lines; tells whether it did.
fn trim(bodies: &mut [Body], kind: Kind, ended_whole: bool) -> bool {
    let Some(last) = bodies.last_mut().filter(|_| ended_whole && is_by_lines(kind)) else { return false };
    if ends_whole(last) {
        return false;
    }
    let end = last.bytes.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    last.bytes.truncate(end);
    true
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, HubError> {
    serde_json::to_string(value).map_err(|error| HubError::Internal(Box::new(error)))
}

fn failed(error: HubError) -> SourceError {
    SourceError::Hub(Box::new(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_without_an_end_is_left_out_where_lines_always_ended() {
        let body = |text: &str| vec![Body::new("x", None, text.as_bytes().to_vec())];
        for (text, kind, ended_whole, cut, left) in [
            ("a\nb", Kind::List, true, true, "a\n"),
            ("a\nb", Kind::List, false, false, "a\nb"),
            ("a\nb\n", Kind::List, true, false, "a\nb\n"),
            ("a", Kind::Ndjson, true, true, ""),
            ("[1", Kind::Json, true, false, "[1"),
            ("", Kind::Csv, true, false, ""),
        ] {
            let mut bodies = body(text);
            assert_eq!(trim(&mut bodies, kind, ended_whole), cut, "{text:?}");
            assert_eq!(bodies[0].bytes, left, "{text:?}");
        }
    }
}
