//! Findings for the owners of networks: what is wrong, where, and what becomes of it.
//!
//! Flow: the view's rows (`store::views::owners`) → `policy` says which part of each the reader sees → decisions of people are merged in →
//! [`FindingView`]. Steps are records; a release goes through the outbox into the ledger, for the view depends on it.
//! Invariant: an owner sees its own value with what describes it and nothing else, whatever the marking; a sender learns nothing of an owner.
//! Not here: which event concerns whom (`store`), telling owners by mail (`delivery`, by [`Hub::findings_told_since`]).

pub mod abuse;
mod dns;
mod guidance;
mod national;
mod steps;
mod summary;
mod tell;
mod told;

pub(crate) use dns::Resolver;
pub use dns::{DnsError, DnsOptions};
pub use guidance::{Guidance, guidance, guidance_of_far_side};
pub use national::{MAX_PROVIDERS, NationalOptions, NationalPlace, NationalProvider, NationalView};
pub(crate) use national::{NationalTables, tell_nation};
pub use steps::NewStep;
pub use summary::{FindingSummary, TimeToFix};
pub(crate) use tell::tell_registrations;

use crate::members::{MAX_PAGE, invalid};
use crate::{Actor, Hub, HubError};
use hashbrown::HashMap;
use model::ids::FindingId;
use model::{Category, FindingState, ObservableType, OrgId, OrgNo, Seq, Text, Timestamp};
use parking_lot::RwLock;
use policy::{FindingContent, FindingPart, Reader, finding, sees_told, sees_waiting};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use store::ledger::{Body, columns};
use store::records::{FindingRecord, Records};
use store::views::owners::{Finding, Place, Seen, Waiting};
use uuid::Uuid;

/// How long sender or authority have to decide on what waits for release.
pub const RELEASE_CLOCK: Duration = Duration::from_secs(72 * 3_600);
/// Findings of one export at the most.
pub const MAX_EXPORT: usize = 10_000;

/// People's decisions on findings, in memory.
#[derive(Debug, Default)]
pub(crate) struct Decisions(RwLock<HashMap<u128, Arc<FindingRecord>>>);

impl Decisions {
    /// All that the records hold.
    pub(crate) async fn load(records: &Records) -> Result<Self, HubError> {
        let all: Vec<FindingRecord> = records.all().await?;
        Ok(Self(RwLock::new(all.into_iter().map(|record| (record.id.0.as_u128(), Arc::new(record))).collect())))
    }

    fn get(&self, id: u128) -> Option<Arc<FindingRecord>> {
        self.0.read().get(&id).cloned()
    }

    fn set(&self, record: FindingRecord) {
        self.0.write().insert(record.id.0.as_u128(), Arc::new(record));
    }

    fn all(&self) -> Vec<Arc<FindingRecord>> {
        self.0.read().values().cloned().collect()
    }
}

/// Which findings are asked for; all must hold. Empty: no condition.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// In one of these states.
    pub states: Vec<FindingState>,
    /// Of one of these categories.
    pub categories: Vec<Category>,
    /// Seen at or after.
    pub since: Option<Timestamp>,
    /// Of this owner.
    pub owner: Option<OrgId>,
}

/// What waits for release, for those who may release it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingView {
    /// Since when.
    pub since: Timestamp,
    /// Until when it is to be decided.
    pub due: Timestamp,
    /// Whether it waits past that.
    pub overdue: bool,
    /// How many events.
    pub events: u64,
    /// Whether one of them is red.
    pub red: bool,
}

/// A finding as its reader may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// Its id.
    pub id: FindingId,
    /// Why the caller sees it: `owner`, `authority` or `sender`.
    pub part: &'static str,
    /// Whether nobody registered the value, so that its provider or authority stands in for an owner; absent where it is not so, and for a sender and
    /// its authority.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Whose it is; absent for a sender and its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OrgId>,
    /// How far it is.
    pub state: FindingState,
    /// Version of what people decided; 0: nobody has acted.
    pub version: u64,
    /// What is wrong.
    pub category: Category,
    /// Type of the value; absent where its events are erased.
    #[serde(rename = "type")]
    pub kind: Option<ObservableType>,
    /// The owner's own value; absent where it is erased.
    pub value: Option<Text>,
    /// The value's port.
    pub port: Option<u16>,
    /// Name of the malware.
    pub malware: Option<Text>,
    /// How many events say so.
    pub events: u64,
    /// The sum of their counts.
    pub count: u64,
    /// When it was seen first.
    pub first_time: Timestamp,
    /// When it was seen last.
    pub last_time: Timestamp,
    /// Since when the owner could know.
    pub since: Option<Timestamp>,
    /// Whether the value lies in a protected network; absent for a sender and its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Until when a risk is accepted.
    pub until: Option<Timestamp>,
    /// Why, in the words of the last step; absent for a sender and its authority.
    pub reason: Option<Text>,
    /// Repeats before this are counted and not told again.
    pub notify_after: Option<Timestamp>,
    /// Repeats since the owner was told last.
    pub suppressed: u32,
    /// What to do.
    pub guidance: Guidance,
    /// What waits for release, for those who may release it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingView>,
}

/// A finding with the parts of it that a reader sees.
struct Shown {
    place: Place,
    finding: Finding,
    part: FindingPart,
    /// Why the reader sees what the owner is told; without it the reader learns neither of the owner nor of what was decided.
    owner_side: Option<FindingPart>,
    told: Option<Seen>,
    waiting: Vec<Waiting>,
    state: FindingState,
    record: Option<Arc<FindingRecord>>,
}

impl Shown {
    /// What its numbers are made of: what the owner is told, else what waits.
    fn seen(&self) -> Option<Seen> {
        self.told.or_else(|| self.waiting.iter().max_by_key(|waiting| waiting.seen.last_seq).map(|waiting| waiting.seen))
    }

    fn version(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.version)
    }
}

impl Hub {
    /// The findings that the actor has a part in, newest first, and where the next page starts.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that read no events, [`HubError::Invalid`] for a cursor of another list.
    pub fn findings(&self, actor: &Actor, filter: &FindingFilter, limit: usize, cursor: Option<&str>) -> Result<(Vec<FindingView>, Option<String>), HubError> {
        let before = cursor.map(|cursor| parse_place(cursor).ok_or_else(|| invalid("cursor", "not a cursor of this list"))).transpose()?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut shown = self.shown_findings(actor, filter, limit + 1, before)?;
        let more = shown.len() > limit;
        shown.truncate(limit);
        let cursor = shown.last().filter(|_| more).map(|last| format!("{:016x}{:032x}", last.place.0.0, last.place.1));
        Ok((self.views_of(&shown), cursor))
    }

    /// Up to [`MAX_EXPORT`] findings, newest first.
    ///
    /// # Errors
    /// As [`Hub::findings`].
    pub fn export_findings(&self, actor: &Actor, filter: &FindingFilter) -> Result<Vec<FindingView>, HubError> {
        let shown = self.shown_findings(actor, filter, MAX_EXPORT, None)?;
        Ok(self.views_of(&shown))
    }

    /// One finding.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the actor has no part in it.
    pub fn finding(&self, actor: &Actor, id: FindingId) -> Result<FindingView, HubError> {
        reads(actor)?;
        let shown = self.shown_finding(actor, id)?;
        self.views_of(std::slice::from_ref(&shown)).pop().ok_or(HubError::NotFound)
    }

    /// Of the findings with these numbers those that the actor is told of as their owner, as they are now.
    pub(crate) fn findings_told(&self, actor: &Actor, ids: &[u128]) -> Vec<FindingView> {
        let now = self.clock().now();
        let found = ids.iter().filter_map(|id| self.store().owners.get(*id)).filter_map(|finding| self.shown(&actor.reader, &finding, now));
        let told: Vec<Shown> = found.filter(|shown| shown.told.is_some() && shown.owner_side == Some(FindingPart::Owner)).collect();
        self.views_of(&told)
    }

    fn shown_finding(&self, actor: &Actor, id: FindingId) -> Result<Shown, HubError> {
        let finding = self.store().owners.get(id.0.as_u128()).ok_or(HubError::NotFound)?;
        self.shown(&actor.reader, &finding, self.clock().now()).ok_or(HubError::NotFound)
    }

    /// Up to `most` findings before a place, newest first.
    fn shown_findings(&self, actor: &Actor, filter: &FindingFilter, most: usize, before: Option<Place>) -> Result<Vec<Shown>, HubError> {
        reads(actor)?;
        let now = self.clock().now();
        let directory = self.directory().snapshot();
        let asked = match filter.owner {
            Some(owner) => match directory.by_id(owner) {
                // Who sees it as a sender's, or as the sender's authority, must not learn of an owner by asking for it.
                Some(organisation) if sees_told(&actor.reader, organisation.number, organisation.constituency).is_some() => Some(organisation.number),
                Some(_) | None => return Ok(Vec::new()),
            },
            None => None,
        };
        let mut found: Vec<Shown> = Vec::new();
        for organisation in directory.organisations() {
            if asked.is_some_and(|asked| asked != organisation.number) || sees_told(&actor.reader, organisation.number, organisation.constituency).is_none() {
                continue;
            }
            let start = found.len();
            self.store().owners.of_owner(organisation.number, before, |finding| self.gather(actor, filter, finding, None, now, most, start, &mut found));
        }
        // What waits is seen by others than who sees what the owner is told.
        for organisation in directory.organisations() {
            for red in [false, true] {
                if sees_waiting(&actor.reader, organisation.number, organisation.constituency, red).is_none() {
                    continue;
                }
                let start = found.len();
                self.store().owners.waiting(organisation.number, red, before, |seq, finding| {
                    if asked.is_some_and(|asked| asked != finding.owner) {
                        return ControlFlow::Continue(());
                    }
                    self.gather(actor, filter, finding, Some(seq), now, most, start, &mut found)
                });
            }
        }
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.place));
        found.dedup_by(|a, b| a.place == b.place);
        found.truncate(most);
        Ok(found)
    }

    #[expect(clippy::too_many_arguments, reason = "one row of a page, with all that decides on it")]
    fn gather(
        &self,
        actor: &Actor,
        filter: &FindingFilter,
        finding: &Finding,
        waiting_at: Option<Seq>,
        now: Timestamp,
        most: usize,
        start: usize,
        found: &mut Vec<Shown>,
    ) -> ControlFlow<()> {
        if !filter.categories.is_empty() && !filter.categories.contains(&finding.category) {
            return ControlFlow::Continue(());
        }
        // A finding has one place in a reader's list: others at which it is come upon are passed over.
        if let Some(shown) = self.shown(&actor.reader, finding, now)
            && waiting_at.is_none_or(|seq| shown.told.is_none() && shown.place.0 == seq)
            && (filter.states.is_empty() || filter.states.contains(&shown.state))
            && filter.since.is_none_or(|since| shown.seen().is_some_and(|seen| seen.last_time >= since))
        {
            found.push(shown);
        }
        if found.len() - start >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The parts of a finding that the reader sees; `None` where it may not know of it.
    fn shown(&self, reader: &Reader, finding: &Finding, now: Timestamp) -> Option<Shown> {
        let directory = self.directory().snapshot();
        let line = |number: OrgNo| directory.organisation(number).and_then(|organisation| organisation.constituency);
        let owner_side = sees_told(reader, finding.owner, line(finding.owner));
        let as_told = finding.told.and(owner_side);
        let mut part = as_told;
        let mut waiting = Vec::new();
        for one in &finding.waiting {
            if let Some(why) = sees_waiting(reader, one.reporter, line(one.reporter), one.red) {
                waiting.push(*one);
                part = part.max(Some(why));
            }
        }
        let part = part?;
        // A sender's side is told of the sender's events alone, not of what the owner's people decided.
        let record = self.findings.get(finding.id()).filter(|_| owner_side.is_some());
        let told = finding.told.filter(|_| as_told.is_some());
        let state = match (&record, told) {
            (Some(record), Some(told)) => record.state.as_of(record.set, record.until, told.last_time, now),
            (None, Some(told)) => FindingState::Open.as_of(Timestamp::MIN, None, told.last_time, now),
            (_, None) => FindingState::Open,
        };
        // Made of what the reader sees: a place goes out in cursors.
        let first = told.map(|told| told.first_seq).or_else(|| newest_waiting(&waiting))?;
        Some(Shown { place: (first, finding.id()), finding: finding.clone(), part, owner_side, told, waiting, state, record })
    }

    fn views_of(&self, shown: &[Shown]) -> Vec<FindingView> {
        let now = self.clock().now();
        let directory = self.directory().snapshot();
        let wanted: Vec<(Seq, u128)> = shown.iter().filter_map(|shown| Some((shown.seen()?.last_seq, shown.finding.key))).collect();
        let contents = self.contents(wanted);
        let view = |shown: &Shown| {
            let seen = shown.seen()?;
            let content = contents.get(&(seen.last_seq, shown.finding.key));
            let owner_side = shown.owner_side.is_some();
            let told = shown.told.is_some();
            Some(FindingView {
                id: FindingId(Uuid::from_u128(shown.finding.id())),
                part: match shown.part {
                    FindingPart::Owner => "owner",
                    FindingPart::Authority => "authority",
                    FindingPart::Sender => "sender",
                },
                fallback: owner_side && shown.finding.fallback,
                owner: directory.organisation(shown.finding.owner).filter(|_| owner_side).map(|organisation| organisation.id),
                state: shown.state,
                version: shown.version(),
                category: shown.finding.category,
                kind: content.map(|content| content.kind),
                value: content.map(|content| content.value.clone()),
                port: content.and_then(|content| content.port),
                malware: content.and_then(|content| content.malware.clone()),
                events: seen.events,
                count: seen.count,
                first_time: seen.first_time,
                last_time: seen.last_time,
                since: told.then_some(shown.finding.since),
                protected: owner_side.then_some(shown.finding.protected),
                until: shown.record.as_ref().and_then(|record| record.until),
                reason: shown.record.as_ref().and_then(|record| record.reason.clone()),
                notify_after: told.then_some(shown.finding.notify_after),
                suppressed: if told { shown.finding.suppressed } else { 0 },
                guidance: if shown.finding.is_far() { guidance_of_far_side(shown.finding.category) } else { guidance(shown.finding.category) },
                waiting: waiting_view(&shown.waiting, now),
            })
        };
        shown.iter().filter_map(view).collect()
    }

    /// What owners may be told of events, each by its place and the key of the owner's value. A block is read once for all in it.
    fn contents(&self, mut wanted: Vec<(Seq, u128)>) -> HashMap<(Seq, u128), FindingContent> {
        wanted.sort_unstable();
        wanted.dedup();
        let keys = &self.store().views.keys;
        let mut contents = HashMap::new();
        let mut rest = wanted.as_slice();
        while let Some(&(first, _)) = rest.first() {
            let Some(frame) = self.blocks.frame(first) else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let (here, after) = rest.split_at(rest.partition_point(|&(seq, _)| seq < frame.header.end()).max(1));
            rest = after;
            let body = columns::split_filter(frame.body()).and_then(|(_, body)| Body::open(frame.header.rows, body));
            let Some(reader) = body.as_ref().and_then(|body| body.events(frame.vault())) else { continue };
            for &(seq, key) in here {
                let row = seq.0.checked_sub(frame.header.first_seq.0).filter(|row| *row < u64::from(frame.header.rows));
                let event = row.filter(|_| self.store().views.counts(seq)).and_then(|row| reader.event(row as usize));
                let Some(content) = event.and_then(|event| finding(&event, |kind, value| keys.observable(kind, value) == key)) else { continue };
                contents.insert((seq, key), content);
            }
        }
        contents
    }
}

/// Of the parts that wait the one that began last; where it began is the finding's place for who sees nothing else of it.
fn newest_waiting(waiting: &[Waiting]) -> Option<Seq> {
    waiting.iter().map(|waiting| waiting.seen.first_seq).max()
}

fn waiting_view(waiting: &[Waiting], now: Timestamp) -> Option<WaitingView> {
    let since = waiting.iter().map(|waiting| waiting.since).min()?;
    let due = since.plus(RELEASE_CLOCK);
    Some(WaitingView {
        since,
        due,
        overdue: now > due,
        events: waiting.iter().map(|waiting| waiting.seen.events).sum(),
        red: waiting.iter().any(|waiting| waiting.red),
    })
}

/// A place as a cursor has it.
fn parse_place(cursor: &str) -> Option<Place> {
    let (seq, id) = cursor.split_at_checked(16).filter(|(_, id)| id.len() == 32)?;
    Some((Seq(u64::from_str_radix(seq, 16).ok()?), u128::from_str_radix(id, 16).ok()?))
}

/// Reporters only submit and auditors read totals: neither reads findings.
fn reads(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role reads no findings")) }
}
