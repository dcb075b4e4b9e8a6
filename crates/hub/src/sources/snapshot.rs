//! Snapshots: sources of which each run is the whole state, so that what vanishes from one is taken back.
//!
//! Flow: [`Listed`] holds what is listed → [`Listed::choose`] picks of a body what is new or due → after intake what is missing is
//! [`delist`]ed. After a crash [`found_since`] reads what the broken run has left in the ledger.
//! Invariant: only the source's own events are withdrawn: before it is, each is read again and must be the reporter's and the entry's. What a
//! person withdrew while it is listed is not reported again.
//! Not here: whether a run is believed (`alarm`), how the list is kept (`store::sources`).

use crate::sharing::runs_of;
use crate::{Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::lifetime::lifetime;
use model::{Event, OrgNo, Seq, Text, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::ledger::{Body, Control, Kind, columns};
use store::sources::Entry;

/// Different entries of a snapshot at the most.
pub(super) const MAX_LISTED: usize = 2_000_000;
/// Events of one withdrawal.
const WITHDRAWN_AT_ONCE: usize = 50_000;
/// Why these events are withdrawn.
const REASON: &str = "delisted by the source";
/// A listing with an older time of its own is told as seen last when it was listed.
const FRESH: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What a source lists, with what a run adds.
#[derive(Debug)]
pub(super) struct Listed {
    source: String,
    /// When the run began.
    now: Timestamp,
    /// Number of the run: it tells one listing of an entry from the next.
    taking: u64,
    /// Known entries: when each is due, and where it was reported last.
    known: HashMap<u128, (Timestamp, Seq)>,
    /// Entries met in this run.
    met: HashSet<u128>,
    /// Entries that needed no report.
    pub(super) kept: u64,
}

/// What an entry is: its category and what was seen, whatever else is said of it.
pub(super) fn hash_of(event: &Event) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(event.category.as_str().as_bytes());
    for observable in &event.observables {
        hasher.update(&[0]);
        hasher.update(observable.kind.as_str().as_bytes());
        hasher.update(&[0, observable.role.number()]);
        hasher.update(observable.value.as_bytes());
    }
    let mut first = [0; 16];
    first.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(first)
}

/// When an entry that is listed at `now` is to be reported again, so that it does not expire while it is listed.
pub(super) fn due(event: &Event, now: Timestamp) -> Timestamp {
    let shortest = event.observables.iter().filter_map(|observable| lifetime(observable.kind, event.category)).min();
    shortest.map_or(Timestamp::from_micros(i64::MAX), |lifetime| now.plus(lifetime / 2))
}

impl Listed {
    /// What `entries`, in the order of hashes and places, list when run number `taking` begins.
    pub(super) fn new(source: &str, entries: &[Entry], taking: u64, now: Timestamp) -> Self {
        let mut known = HashMap::with_capacity(entries.len());
        for entry in entries {
            // The last report of an entry says when it is due.
            known.insert(entry.hash, (entry.due, entry.seq));
        }
        Self { source: source.to_owned(), now, taking, known, met: HashSet::new(), kept: 0 }
    }

    /// Whether an entry is due, so that the list is needed although it has not changed.
    pub(super) fn has_due(&self) -> bool {
        self.known.values().any(|(due, _)| *due <= self.now)
    }

    /// Different entries listed.
    pub(super) fn len(&self) -> u64 {
        self.known.len() as u64
    }

    /// Of a body's events those that are to be reported, each with what it is and when it is due again. `counts` tells whether a report stands.
    pub(super) fn choose(&mut self, events: Vec<Event>, counts: impl Fn(Seq) -> bool) -> Vec<(Event, u128, Timestamp)> {
        let mut chosen = Vec::new();
        for mut event in events {
            let hash = hash_of(&event);
            if !self.met.insert(hash) {
                self.kept += 1;
                continue;
            }
            if let Some((due, seq)) = self.known.get(&hash)
                && (*due > self.now || !counts(*seq))
            {
                self.kept += 1;
                continue;
            }
            let due = due(&event, self.now);
            self.mark(&mut event, hash);
            chosen.push((event, hash, due));
        }
        chosen
    }

    /// Entries that were listed and have not been met.
    pub(super) fn missing(&self) -> Vec<u128> {
        self.known.keys().filter(|hash| !self.met.contains(*hash)).copied().collect()
    }

    /// Gives an event an id of its own: what came back is no repetition of what was withdrawn.
    fn mark(&self, event: &mut Event, hash: u128) {
        let own = event.id.replace(Text::from(format!("{}{}", id_of(&self.source, hash), self.taking)));
        if let Some(own) = own {
            keep_id(event, &own);
        }
        event.timeless = false;
        let listed = self.now;
        if event.time < listed.minus(FRESH) {
            let details = event.details_mut();
            details.last_time = details.last_time.max(Some(listed));
        }
    }
}

/// How the ids of an entry's events begin; a source's name holds no colon.
fn id_of(source: &str, hash: u128) -> String {
    format!("{source}:{hash:032x}:")
}

/// Keeps the source's own id under `extra`, where it fits.
fn keep_id(event: &mut Event, id: &str) {
    let extra = event.details.as_ref().and_then(|details| details.extra.as_deref());
    let mut fields: Map<String, Value> = extra.and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or_default();
    fields.entry("source_id").or_insert_with(|| Value::String(id.to_owned()));
    event.details_mut().extra = Some(Text::from(Value::Object(fields).to_string()));
}

/// Withdraws the events of entries that are listed no more; tells how many that were.
///
/// # Errors
/// [`HubError`]; it can be done again.
pub(super) async fn delist(hub: &Arc<Hub>, org: OrgNo, gone: Vec<Entry>) -> Result<u64, HubError> {
    let reading = hub.clone();
    let found = tokio::task::spawn_blocking(move || standing(&reading, org, gone)).await;
    let seqs = found.map_err(|broken| HubError::Internal(Box::new(broken)))?;
    for some in seqs.chunks(WITHDRAWN_AT_ONCE) {
        // An event being corrected is either withdrawn before, and then not corrected, or corrected before.
        let _turn = hub.amending.lock().await;
        hub.store().control(Control::Withdraw { ranges: runs_of(some), by: org, reason: REASON.to_owned() }).await?;
    }
    Ok(seqs.len() as u64)
}

/// The places among those of `gone` where the organisation's event of the entry still stands, in order.
fn standing(hub: &Hub, org: OrgNo, mut gone: Vec<Entry>) -> Vec<Seq> {
    gone.sort_unstable_by_key(|entry| entry.seq);
    let is_own = |entry: &Entry| hub.blocks.event(entry.seq).is_some_and(|found| found.reporter == org && hash_of(&found.event) == entry.hash);
    let mut seqs: Vec<Seq> = gone.iter().filter(|entry| is_own(entry)).map(|entry| entry.seq).collect();
    seqs.dedup();
    seqs
}

/// The events from a place on that stand and that the snapshot of this source has reported, as entries. What else the organisation has sent, as a
/// partner does by its own key or by another source, is none of its entries and is never taken for one that vanished.
///
/// # Errors
/// [`HubError::Internal`] where a block cannot be read.
pub(super) fn found_since(hub: &Hub, source: &str, org: OrgNo, from: Seq, now: Timestamp) -> Result<Vec<Entry>, HubError> {
    let store = hub.store();
    let mut found = Vec::new();
    for place in store.ledger.places(store.ledger.index_of(from)..store.ledger.frames()) {
        if place.header.kind == Kind::Control || place.header.first_seq >= store.views.position() {
            continue;
        }
        let frame = store.ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
        let submissions: Vec<_> = frame.submissions().into_iter().filter(|submission| submission.org == org).collect();
        if submissions.is_empty() {
            continue;
        }
        let unreadable = || HubError::Internal(Box::new(std::io::Error::other("a block of a source's run cannot be opened")));
        let (_, body) = columns::split_filter(frame.body()).ok_or_else(unreadable)?;
        let reader = Body::open(frame.header.rows, body).and_then(|body| body.events(frame.vault())).ok_or_else(unreadable)?;
        for row in submissions.iter().flat_map(|submission| submission.start..submission.start + submission.rows) {
            let seq = Seq(place.header.first_seq.0 + u64::from(row));
            let Some(event) = reader.event(row as usize).filter(|_| seq >= from && store.views.counts(seq)) else { continue };
            let hash = hash_of(&event);
            if event.id.as_deref().is_some_and(|id| id.starts_with(&id_of(source, hash))) {
                found.push(Entry { hash, seq, due: due(&event, now) });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, Observable, ObservableType, Role};

    fn observable(kind: ObservableType, value: &str) -> Observable {
        Observable { kind, role: Role::Attacker, detect: true, reserved: false, value: Text::from(value) }
    }

    fn event(value: &str, category: Category) -> Event {
        Event::new(Timestamp::from_seconds(1_000_000), category, observable(ObservableType::Ipv4, value))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn listed(entries: &[Entry], now: Timestamp) -> Listed {
        Listed::new("feed", entries, 7, now)
    }

    #[test]
    fn new_entries_are_reported_once_and_known_ones_when_they_are_due() {
        let now = at(1_000_500);
        let known = event("185.60.1.1", Category::Scanner);
        let entry = Entry { hash: hash_of(&known), seq: Seq(5), due: at(1_000_900) };
        let new = event("185.60.1.2", Category::Scanner);
        let mut list = listed(&[entry], now);
        let chosen = list.choose(vec![known.clone(), new.clone(), new.clone()], |_| true);
        assert_eq!(chosen.len(), 1);
        assert_eq!((chosen[0].1, list.kept, list.len(), list.has_due()), (hash_of(&new), 2, 1, false));
        // Half of the seven days of a scanner's address.
        assert_eq!(chosen[0].2, at(1_000_500 + 7 * 86_400 / 2));
        assert_eq!(chosen[0].0.id.as_deref(), Some(format!("feed:{:032x}:7", hash_of(&new)).as_str()));
        assert!(list.missing().is_empty());

        let later = at(1_000_900);
        assert!(listed(&[entry], later).has_due());
        assert_eq!(listed(&[entry], later).choose(vec![known.clone()], |_| true).len(), 1);
        assert!(listed(&[entry], later).choose(vec![known.clone()], |_| false).is_empty(), "what a person withdrew stays withdrawn");
        assert_eq!(listed(&[entry], now).missing(), [entry.hash]);
    }

    #[test]
    fn an_entry_is_what_was_seen_and_not_when() {
        let one = event("185.60.1.1", Category::Scanner);
        let later = Event { time: at(9), confidence: Some(3), id: Some(Text::from("x")), ..one.clone() };
        assert_eq!(hash_of(&one), hash_of(&later));
        for other in [event("185.60.1.2", Category::Scanner), event("185.60.1.1", Category::Phishing)] {
            assert_ne!(hash_of(&one), hash_of(&other));
        }
    }

    #[test]
    fn a_listing_keeps_the_sources_own_id_and_says_when_it_was_listed() {
        let now = at(2_000_000);
        let mut given = event("185.60.1.1", Category::Scanner);
        given.id = Some(Text::from("their-1"));
        given.details_mut().extra = Some(Text::from(r#"{"a":1}"#));
        let chosen = listed(&[], now).choose(vec![given], |_| true);
        let details = chosen[0].0.details.as_ref().unwrap();
        assert!(details.extra.as_ref().unwrap().contains("their-1") && details.extra.as_ref().unwrap().contains("\"a\":1"));
        assert_eq!(details.last_time, Some(now));
    }

    #[test]
    fn what_does_not_expire_is_never_due() {
        let hash = Event::new(at(1), Category::Other, observable(ObservableType::Sha256, "00"));
        assert_eq!(due(&hash, at(5)), Timestamp::from_micros(i64::MAX));
    }
}
