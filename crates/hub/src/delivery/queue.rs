//! Messages are made of what is due, as of now.
//!
//! Flow: a subscription has something due and nothing on its way → what waits is rendered through `policy` → what is withdrawn, expired or no
//! longer to be seen drops out → the message is stored with all that is in it, in one transaction → `sending`, or the inbox at once.
//! Invariant: at most one message of events or findings is on its way to a subscription, so that its receiver gets them in order and what
//! waits behind it is rendered as of when it goes. What does not fit into a mail for people is counted in it; a receiver that is a program, and
//! an inbox, get it in the next message.
//! Not here: attempts (`sending`), what a mail looks like (`render`).

use super::mark;
use super::message::{Lane, Message, Notice};
use super::rhythm::{Rhythm, next_due};
use super::roster::Entry;
use crate::owners::FindingView;
use crate::sharing::view::View;
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::filter::{value_under, value_within};
use model::{Filter, FindingState, OrgId, Organisation, Seq, Standing, Text, Timestamp};
use policy::redact;
use serde_json::{Value, json};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::deliveries::{Item, NewInbox, NewMessage, Outcome, ToTell};
use store::ledger::{Body, columns};
use store::records::Channel;
use store::views::reporter_of;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Events, findings or withdrawals of one message at the most.
pub const MAX_THINGS: usize = 1_000;
/// Things of one subscription that wait at the most; past it they are counted and left out.
pub const MAX_WAITING: u64 = 100_000;
/// Bytes of a message's events and findings, but for a message of one.
const MAX_BYTES: usize = 4 << 20;
/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(250);
/// Wait before what could not be read or written is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Things as their organisation may see them now.
#[derive(Debug, Default)]
struct Rendered {
    events: Vec<Value>,
    findings: Vec<Value>,
    taken: Vec<Item>,
    dropped: Vec<Item>,
    bytes: usize,
    /// A block could not be read; what is in it waits on.
    unreadable: bool,
}

impl Rendered {
    fn has_room_for(&self, bytes: usize) -> bool {
        self.taken.is_empty() || self.bytes + bytes <= MAX_BYTES
    }
}

/// Makes messages until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>, nudge: Arc<Notify>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            hub.make_due_messages().await;
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = nudge.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

impl Hub {
    /// Makes a message for each subscription that has something due and nothing on its way: one of each organisation, then of each the next one.
    async fn make_due_messages(self: &Arc<Self>) {
        let mut served: HashSet<i64> = HashSet::new();
        loop {
            let turns = self.organisations_turns(self.clock().now(), &served);
            if turns.is_empty() {
                return;
            }
            for entry in turns {
                served.insert(entry.number);
                // Something of it may have set out while it waited for its turn.
                if self.subscription_due(&entry).is_none() {
                    continue;
                }
                let made = match self.make_message(&entry).await {
                    Ok(whole) => self.delivery.look_at(entry.number).await.map(|()| whole),
                    Err(error) => Err(error),
                };
                match made {
                    Ok(true) => {}
                    Ok(false) => self.put_off_subscription(entry.number),
                    Err(error) => {
                        tracing::warn!(%error, subscriber = entry.number, "a message was not made; it is tried again");
                        self.put_off_subscription(entry.number);
                    }
                }
            }
        }
    }

    /// Of each organisation the subscription that has been due for the longest, in this order, but for those served already: who has many has one
    /// turn as everybody else, and what comes to be due for another meanwhile waits for one turn of each.
    pub(super) fn organisations_turns(&self, now: Timestamp, served: &HashSet<i64>) -> Vec<Arc<Entry>> {
        let mut turns: HashMap<OrgId, (Timestamp, Arc<Entry>)> = HashMap::new();
        for entry in self.delivery.roster.entries().iter().filter(|entry| entry.is_ready() && !served.contains(&entry.number)) {
            let Some(since) = self.subscription_due(entry).filter(|since| *since <= now) else { continue };
            let first = turns.entry(entry.subscription.organisation).or_insert_with(|| (since, Arc::clone(entry)));
            if since < first.0 {
                *first = (since, Arc::clone(entry));
            }
        }
        let mut turns: Vec<(Timestamp, Arc<Entry>)> = turns.into_values().collect();
        turns.sort_unstable_by_key(|(since, entry)| (*since, entry.number));
        turns.into_iter().map(|(_, entry)| entry).collect()
    }

    /// When a message is to be made for a subscription; `None` where there is nothing to tell or something is on its way.
    fn subscription_due(&self, entry: &Entry) -> Option<Timestamp> {
        let state = self.delivery.states.lock().get(&entry.number).copied()?;
        if state.parked || state.queued {
            return None;
        }
        state.due.into_iter().chain(state.withdrawn.map(|at| self.withdrawal_due(entry, at))).min()
    }

    /// When a withdrawal is told.
    fn withdrawal_due(&self, entry: &Entry, at: Timestamp) -> Timestamp {
        match &entry.rhythm {
            Rhythm::AtOnce => at,
            Rhythm::Digest { .. } => next_due(&entry.rhythm, at, &self.delivery.zone, &self.delivery.holidays),
        }
    }

    fn put_off_subscription(&self, subscriber: i64) {
        let until = self.clock().now().plus(RETRY);
        if let Some(state) = self.delivery.states.lock().get_mut(&subscriber) {
            state.due = state.due.map(|due| due.max(until));
            state.withdrawn = state.withdrawn.map(|at| at.max(until));
        }
    }

    /// Makes a message of what is due for a subscription, or none where nothing is left to tell. False where it is to be tried later.
    async fn make_message(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<bool, HubError> {
        let file = &self.delivery.file;
        let _turn = self.delivery.making.lock().await;
        let now = self.clock().now();
        // It may have been changed while this one waited for its turn.
        let Some(entry) = self.delivery.roster.entry(entry.number).filter(|entry| entry.is_ready()) else { return Ok(true) };
        let Some(organisation) = self.directory().by_id(entry.subscription.organisation) else { return Ok(true) };
        if organisation.standing == Standing::Revoked {
            return Ok(false);
        }
        let items = file.waiting(entry.number, now, MAX_THINGS).await?;
        let told: Vec<ToTell> = file.to_tell(entry.number, MAX_THINGS).await?.into_iter().filter(|told| self.withdrawal_due(&entry, told.at) <= now).collect();
        let recipient = self.delivery_recipient(&organisation, now);
        let (hub, asked, actor) = (Arc::clone(self), Arc::clone(&entry), recipient.clone());
        let rendered = self.delivery.background.run(move || hub.rendered_items(&asked, &actor, &items)).await;
        let rendered = rendered.map_err(|error| HubError::Internal(Box::new(error)))?;
        let before = file.left_out(entry.number).await?;
        let over = if is_for_people(&entry) && !rendered.unreadable {
            file.due_count(entry.number, now).await?.saturating_sub((rendered.taken.len() + rendered.dropped.len()) as u64)
        } else {
            0
        };
        let whole = !rendered.unreadable;
        let message = Message {
            events: rendered.events,
            findings: rendered.findings,
            withdrawn: told.iter().map(withdrawn).collect(),
            left_out: before + over,
            ..self.blank_message(&entry, &organisation, Lane::Ordinary, now)
        };
        let outcome = Outcome {
            taken: rendered.taken,
            told: told.iter().map(|told| told.item).collect(),
            dropped: rendered.dropped,
            left_out: before,
            leave_out: (over > 0).then_some((now, over)),
        };
        if message.is_empty() {
            file.make(entry.number, None, &Outcome { leave_out: None, ..outcome }).await?;
            return Ok(whole);
        }
        self.store_message(&entry, &message, &mark(&recipient.reader), &outcome).await?;
        Ok(whole)
    }

    /// Stores a message; it is sent from then on, or is in the inbox.
    pub(super) async fn store_message(&self, entry: &Entry, message: &Message, reader: &str, outcome: &Outcome) -> Result<(), HubError> {
        let content = serde_json::to_vec(message).map_err(|error| HubError::Internal(Box::new(error)))?;
        let organisation = entry.subscription.organisation.to_string();
        let kept = matches!(entry.subscription.channel, Channel::Inbox);
        let new = NewMessage {
            id: &message.id,
            lane: message.lane.number(),
            reader,
            made: message.made,
            inbox: kept.then_some(NewInbox { organisation: &organisation }),
            content: &content,
        };
        self.delivery.file.make(entry.number, Some(&new), outcome).await?;
        metrics::counter!("bongsu_deliveries_made_total", "channel" => entry.subscription.channel.as_str()).increment(1);
        if !kept {
            self.nudge_lane(message.lane);
        }
        Ok(())
    }

    /// Lets a lane look at once what there is to send.
    pub(super) fn nudge_lane(&self, lane: Lane) {
        let [warnings, ordinary] = &self.delivery.lane_nudges;
        match lane {
            Lane::Warning => warnings.notify_one(),
            Lane::Ordinary => ordinary.notify_one(),
        }
    }

    /// A message with nothing in it yet.
    pub(super) fn blank_message(&self, entry: &Entry, organisation: &Organisation, lane: Lane, now: Timestamp) -> Message {
        Message {
            id: self.clock().uuid().to_string(),
            lane,
            realm: self.options.realm.clone(),
            subscription: entry.subscription.id.to_string(),
            name: entry.subscription.name.to_string(),
            organisation: organisation.name.clone(),
            language: entry.language,
            made: now,
            events: Vec::new(),
            findings: Vec::new(),
            withdrawn: Vec::new(),
            left_out: 0,
            notice: None,
        }
    }

    /// Sends a subscription a word of the hub's own.
    pub(super) async fn say_to(&self, entry: &Entry, notice: Notice) -> Result<String, HubError> {
        let now = self.clock().now();
        let organisation = self.directory().by_id(entry.subscription.organisation).ok_or(HubError::NotFound)?;
        let message = Message { notice: Some(notice), ..self.blank_message(entry, &organisation, Lane::Warning, now) };
        // A word holds nothing that policy decides on.
        self.store_message(entry, &message, "", &Outcome::default()).await?;
        Ok(message.id)
    }

    fn rendered_items(&self, entry: &Entry, actor: &Actor, items: &[Item]) -> Rendered {
        let mut rendered = Rendered::default();
        let Some(filter) = entry.filter() else { return rendered };
        let mut seqs: Vec<Seq> = Vec::new();
        let mut ids: Vec<u128> = Vec::new();
        for item in items {
            match item {
                Item::Event(seq) => seqs.push(*seq),
                Item::Finding(id) => ids.push(*id),
            }
        }
        seqs.sort_unstable();
        self.render_events(&mut rendered, filter, actor, &seqs);
        self.render_findings(&mut rendered, filter, actor, &ids);
        rendered
    }

    /// Renders events, a block at a time.
    fn render_events(&self, rendered: &mut Rendered, filter: &Filter, actor: &Actor, seqs: &[Seq]) {
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let mut rest = seqs;
        while let Some(&first) = rest.first() {
            let Some(frame) = self.blocks.frame(first) else {
                // Expired, or not to be read now.
                if self.store().views.is_expired(first) {
                    rendered.dropped.push(Item::Event(first));
                } else {
                    rendered.unreadable = true;
                }
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let (here, after) = rest.split_at(rest.partition_point(|&seq| seq < frame.header.end()).max(1));
            rest = after;
            let submissions = frame.submissions();
            let body = columns::split_filter(frame.body()).and_then(|(_, body)| Body::open(frame.header.rows, body));
            let reader = body.as_ref().and_then(|body| body.events(frame.vault()));
            if reader.is_none() && !frame.header.expired {
                tracing::error!(block = frame.header.first_seq.0, "a block cannot be decoded; what matched in it is not delivered");
            }
            for &seq in here {
                let row = seq.0.checked_sub(frame.header.first_seq.0).filter(|row| *row < u64::from(frame.header.rows) && self.store().views.counts(seq));
                let found = row.and_then(|row| Some((row as u32, reader.as_ref()?.event(row as usize)?)));
                let json = found.and_then(|(row, mut event)| {
                    let reporter = reporter_of(&submissions, row);
                    let sight = view.event(reporter, &event);
                    let shown = reporter != actor.organisation.number && sight.sees_event() && redact(&mut event, sight) && filter.matches(&event);
                    shown.then(|| view.write(seq, frame.header.received_at(row), reporter, &event, sight))
                });
                let Some(value) = json.as_deref().and_then(|json| serde_json::from_slice::<Value>(json).ok()) else {
                    rendered.dropped.push(Item::Event(seq));
                    continue;
                };
                let bytes = json.as_ref().map_or(0, Vec::len);
                if !rendered.has_room_for(bytes) {
                    return;
                }
                rendered.bytes += bytes;
                rendered.events.push(value);
                rendered.taken.push(Item::Event(seq));
            }
        }
    }

    fn render_findings(&self, rendered: &mut Rendered, filter: &Filter, actor: &Actor, ids: &[u128]) {
        let views = self.findings_told(actor, ids);
        for id in ids {
            let finding = views.iter().find(|finding| finding.id.0 == Uuid::from_u128(*id));
            let wanted = finding.filter(|finding| is_worth_telling(finding.state) && wants(filter, finding));
            let Some(value) = wanted.and_then(|finding| serde_json::to_value(finding).ok()) else {
                rendered.dropped.push(Item::Finding(*id));
                continue;
            };
            let bytes = value.to_string().len();
            if !rendered.has_room_for(bytes) {
                return;
            }
            rendered.bytes += bytes;
            rendered.findings.push(value);
            rendered.taken.push(Item::Finding(*id));
        }
    }
}

/// Whether one message a time is enough: a digest by mail is read by people.
fn is_for_people(entry: &Entry) -> bool {
    matches!((&entry.subscription.channel, &entry.rhythm), (Channel::Mail { .. }, Rhythm::Digest { .. }))
}

/// What was delivered and no longer stands, as a message has it.
fn withdrawn(told: &ToTell) -> Value {
    match told.item {
        Item::Event(seq) => json!({ "seq": seq, "at": told.at }),
        Item::Finding(id) => json!({ "finding": model::ids::FindingId(Uuid::from_u128(id)), "at": told.at }),
    }
}

/// Whether an owner is to be told of a finding in this state: not of what its people have ended or set aside meanwhile.
const fn is_worth_telling(state: FindingState) -> bool {
    match state {
        FindingState::Open | FindingState::Acknowledged | FindingState::Reopened => true,
        FindingState::Fixed
        | FindingState::Verified
        | FindingState::NotMine
        | FindingState::FalsePositive
        | FindingState::AcceptedRisk
        | FindingState::Closed => false,
    }
}

/// Whether a finding meets a filter: its time is when it was seen last.
fn wants(filter: &Filter, finding: &FindingView) -> bool {
    let value = finding.kind.zip(finding.value.as_ref());
    filter.since.is_none_or(|since| finding.last_time >= since)
        && filter.until.is_none_or(|until| finding.last_time < until)
        && (filter.categories.is_empty() || filter.categories.contains(&finding.category))
        && (filter.types.is_empty() || finding.kind.is_some_and(|kind| filter.types.contains(&kind)))
        && filter.within.is_none_or(|range| value.is_some_and(|(kind, value)| value_within(kind, value, &range)))
        && filter.domain.as_ref().is_none_or(|suffix| value.is_some_and(|(kind, value)| value_under(kind, value, suffix)))
        && (filter.values.is_empty() || value.is_some_and(|(kind, value)| filter.values.iter().any(|(wanted, text)| *wanted == kind && text == value)))
        && filter.malware.as_ref().is_none_or(|malware| finding.malware.as_ref().is_some_and(|name: &Text| name.eq_ignore_ascii_case(malware)))
}
