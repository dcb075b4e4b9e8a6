//! The thread that follows the ledger behind the other views and makes findings of it.
//!
//! Flow: a frame that is applied → control entries change registrations and findings, events are matched with the table → one lock a frame.
//! Invariant: nobody waits for this thread; whether an event counts was decided before it comes to it. What a withdrawal takes away is made
//! anew from the events that are left.
//! Not here: merging and withdrawing themselves (`views`, `engine`).

use super::finding::{Hit, Seen};
use super::register::Registered;
use super::{Owner, Owners, Table, file};
use crate::ledger::{Body, Control, Frame, Kind, Ledger, Place, columns};
use crate::maintenance::{Pace, give_way};
use crate::views::{KeyFilter, Views, last_time};
use hashbrown::{HashMap, HashSet};
use model::concern::{Concern, can_be_owned, concerns};
use model::{Category, Event, Notify, OrgNo, Seq, Tlp};
use smallvec::SmallVec;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the thread looks whether there is more.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the state is written while it changes.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// Wait before a frame that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The follower.
pub(crate) struct Following {
    owners: Arc<Owners>,
    views: Arc<Views>,
    ledger: Arc<Ledger>,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    /// Of the registrations that count now; `None` until it is needed.
    table: Option<Arc<Table>>,
    idle: bool,
    position: Seq,
    chain: [u8; 32],
    changed: bool,
    last_saved: Instant,
}

/// A finding whose events are to be read again.
type Anew = HashMap<(u128, Category), SmallVec<[OrgNo; 2]>>;

impl Following {
    /// A follower that takes up where the file in `folder` ends.
    pub(crate) fn new(owners: Arc<Owners>, views: Arc<Views>, ledger: Arc<Ledger>, folder: PathBuf, stop: Arc<AtomicBool>) -> Self {
        let fits = |position: Seq, chain: &[u8; 32]| {
            let before = ledger.index_of(position).checked_sub(1).and_then(|index| ledger.place(index));
            before.is_some_and(|place| place.header.end() == position && place.header.chain == *chain)
        };
        let (state, position, chain) = file::read(&folder, fits).unwrap_or_default();
        let idle = state.register.is_idle();
        *owners.state.write() = state;
        owners.moved_to(position);
        Self { owners, views, ledger, folder, stop, table: None, idle, position, chain, changed: false, last_saved: Instant::now() }
    }

    /// Follows until it is told to stop.
    pub(crate) fn run(mut self) {
        give_way();
        let mut pace = Pace::default();
        while !self.stopping() {
            pace.rest(self.views.position());
            if !self.step() {
                self.save_where_due(false);
                std::thread::sleep(PAUSE);
            }
        }
        self.save_where_due(true);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes the next frame in, where one is applied.
    fn step(&mut self) -> bool {
        let Some(place) = self.ledger.place(self.ledger.index_of(self.position)) else { return false };
        if place.header.end() > self.views.position() {
            return false;
        }
        match place.header.kind {
            Kind::Control => {
                let Some(frame) = self.read(&place) else { return false };
                match serde_json::from_slice(frame.body()) {
                    Ok(control) => self.control(&place, control),
                    Err(_) => tracing::error!(seq = place.header.first_seq.0, "a control entry cannot be read; the findings pass over it"),
                }
            }
            Kind::Events if self.idle => {}
            Kind::Events => {
                let Some(frame) = self.read(&place) else { return false };
                self.events(&frame);
            }
        }
        self.position = place.header.end();
        self.chain = place.header.chain;
        self.owners.moved_to(self.position);
        true
    }

    /// A frame; `None` only when told to stop.
    fn read(&self, place: &Place) -> Option<Frame> {
        loop {
            match self.ledger.read(place) {
                Ok(frame) => return Some(frame),
                Err(error) if self.stopping() => {
                    tracing::debug!(%error, "stopped at a frame that cannot be read");
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, "a frame cannot be read, so findings wait");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn control(&mut self, place: &Place, control: Control) {
        let seq = place.header.first_seq;
        match control {
            Control::Network { id, version, organisation, kind, value, protected, counts, .. } => {
                let told = Registered { organisation, kind, value, protected, version, spans: Vec::new() };
                let mut state = self.owners.state.write();
                // What is in this frame's place is after every event before it.
                if state.register.set(seq, &id, told, counts) {
                    self.idle = state.register.is_idle();
                    self.table = None;
                    self.changed = true;
                }
            }
            Control::Release { finding, reporters, before, .. } => {
                let before = before.map_or(seq, |before| before.min(seq));
                if let Ok(id) = u128::from_str_radix(&finding, 16) {
                    self.owners.state.write().change(id, || None, |finding| finding.release(&reporters, before, place.header.received));
                    self.changed = true;
                }
            }
            Control::Withdraw { ranges, .. } => self.withdraw(ranges),
            Control::Amend { old, .. } => self.withdraw(vec![(old, old)]),
            // A finding closes by itself long before the events it was made of expire.
            Control::Expire { .. } | Control::Dispute { .. } | Control::Erase { .. } | Control::Record { .. } => {}
        }
    }

    /// Matches the events of a frame.
    fn events(&mut self, frame: &Frame) {
        let table = self.table();
        let mut hits: Vec<Hit> = Vec::new();
        let read = each_event(frame, |seq, reporter, row, event| {
            if event.category == Category::Test {
                return;
            }
            // Of one owner and value once, whatever parts the value plays.
            let mut here: SmallVec<[(OrgNo, u128); 4]> = SmallVec::new();
            let mut counts = None;
            concerns(event, |concern| {
                let mut owners: SmallVec<[Owner; 4]> = SmallVec::new();
                let mut add = |owner: Owner| match owners.iter_mut().find(|known| known.organisation == owner.organisation) {
                    Some(known) => known.protected |= owner.protected,
                    None => owners.push(owner),
                };
                table.owners(concern.kind, &concern.value, &mut add);
                if let Some(asn) = concern.asn {
                    table.asn(asn, &mut add);
                }
                if owners.is_empty() || !*counts.get_or_insert_with(|| self.views.counts(seq)) {
                    return;
                }
                let key = self.views.keys.observable(concern.kind, &concern.value);
                for owner in owners {
                    if here.contains(&(owner.organisation, key)) {
                        continue;
                    }
                    here.push((owner.organisation, key));
                    hits.push(hit(owner, key, &concern, event, seq, reporter, frame.header.received_at(row)));
                }
            });
        });
        if read.is_none() {
            tracing::error!(seq = frame.header.first_seq.0, "a block cannot be read; the findings pass over it");
        }
        if hits.is_empty() {
            return;
        }
        self.changed = true;
        let mut state = self.owners.state.write();
        hits.iter().for_each(|hit| state.add(hit));
        state.make_room(self.owners.limit);
    }

    fn table(&mut self) -> Arc<Table> {
        if let Some(table) = &self.table {
            return table.clone();
        }
        let table = Arc::new(self.owners.state.read().register.table());
        self.table = Some(table.clone());
        table
    }

    /// Makes every finding anew that an event in `ranges` may have a part in.
    fn withdraw(&mut self, mut ranges: Vec<(Seq, Seq)>) {
        ranges.sort_unstable();
        let (Some(&(first, _)), Some(last)) = (ranges.first(), ranges.iter().map(|range| range.1).max()) else { return };
        if self.owners.state.read().rows.is_empty() {
            return;
        }
        let table = self.owners.state.read().register.table_of_all();
        let mut anew = Anew::new();
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            if place.header.kind == Kind::Control || place.header.first_seq >= self.position {
                continue;
            }
            let Some(frame) = self.read(&place) else { return };
            each_event(&frame, |seq, _, _, event| {
                let range = ranges.partition_point(|range| range.0 <= seq).checked_sub(1).and_then(|at| ranges.get(at));
                if range.is_none_or(|range| seq > range.1) {
                    return;
                }
                concerns(event, |concern| {
                    let key = self.views.keys.observable(concern.kind, &concern.value);
                    let mut add = |owner: Owner| {
                        let owners = anew.entry((key, event.category)).or_default();
                        if !owners.contains(&owner.organisation) {
                            owners.push(owner.organisation);
                        }
                    };
                    table.owners(concern.kind, &concern.value, &mut add);
                    if let Some(asn) = concern.asn {
                        table.asn(asn, &mut add);
                    }
                });
            });
        }
        self.make_anew(&anew);
    }

    fn make_anew(&mut self, anew: &Anew) {
        let (mut first, mut last, mut far) = (Seq(u64::MAX), Seq(0), false);
        let mut ids = Vec::new();
        {
            let state = self.owners.state.read();
            for (&(key, category), owners) in anew {
                for &owner in owners {
                    let id = super::finding_id(owner, key, category);
                    let Some(finding) = state.rows.get(&id) else { continue };
                    ids.push(id);
                    first = first.min(finding.opened());
                    last = last.max(finding.last_seq());
                    far |= finding.far;
                }
            }
        }
        if ids.is_empty() {
            return;
        }
        let keys: HashSet<u128> = anew.keys().map(|(key, _)| *key).collect();
        let mut hits: HashMap<u128, Vec<Hit>> = HashMap::new();
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            if place.header.kind == Kind::Control {
                continue;
            }
            let Some(frame) = self.read(&place) else { return };
            // A frame's filter knows its observables, and no far side.
            let filter = columns::split_filter(frame.body()).and_then(|(filter, _)| KeyFilter::from_bytes(filter));
            if !far && filter.is_some_and(|filter| !keys.iter().any(|&key| filter.may_contain(key))) {
                continue;
            }
            self.hits_anew(&frame, anew, &mut hits);
        }
        let mut state = self.owners.state.write();
        for id in &ids {
            // What was released is remembered.
            if let Some(mut finding) = state.rows.remove(id) {
                state.unindex(*id, &finding);
                finding = finding.emptied();
                hits.get(id).into_iter().flatten().for_each(|hit| finding.add(hit));
                if !finding.is_empty() {
                    state.index(*id, &finding);
                    state.rows.insert(*id, finding);
                }
            }
        }
        self.changed = true;
    }

    /// The hits of a frame on some values, by what was registered then.
    fn hits_anew(&self, frame: &Frame, anew: &Anew, hits: &mut HashMap<u128, Vec<Hit>>) {
        let state = self.owners.state.read();
        each_event(frame, |seq, reporter, row, event| {
            if seq >= self.position || !self.views.counts(seq) {
                return;
            }
            let mut here: SmallVec<[(OrgNo, u128); 4]> = SmallVec::new();
            concerns(event, |concern| {
                let key = self.views.keys.observable(concern.kind, &concern.value);
                for &owner in anew.get(&(key, event.category)).into_iter().flatten() {
                    let Some(protected) = state.register.owned(owner, &concern, seq).filter(|_| !here.contains(&(owner, key))) else { continue };
                    here.push((owner, key));
                    let hit = hit(Owner { organisation: owner, protected }, key, &concern, event, seq, reporter, frame.header.received_at(row));
                    hits.entry(hit.id()).or_default().push(hit);
                }
            });
        });
    }

    fn save_where_due(&mut self, now: bool) {
        if !(self.changed && (now || self.last_saved.elapsed() >= SAVE_EVERY)) {
            return;
        }
        // Readers go on meanwhile; this thread alone writes.
        let saved = file::write(&self.folder, &self.owners.state.read(), self.position, &self.chain);
        self.last_saved = Instant::now();
        match saved {
            Ok(()) => self.changed = false,
            Err(error) => tracing::warn!(%error, "the findings cannot be written; the next start reads more of the ledger"),
        }
    }
}

fn hit(owner: Owner, key: u128, concern: &Concern<'_>, event: &Event, seq: Seq, reporter: OrgNo, received: model::Timestamp) -> Hit {
    Hit {
        owner: owner.organisation,
        key,
        category: event.category,
        protected: owner.protected,
        far: !concern.observable,
        reporter,
        red: event.tlp == Tlp::Red,
        hold: event.notify_owner == Notify::Hold,
        received,
        seen: Seen { first_seq: seq, last_seq: seq, events: 1, count: u64::from(event.count), first_time: event.time, last_time: last_time(event) },
    }
}

/// Gives every event of a frame that may concern somebody, with its place, reporter and row; `None` where the frame is broken.
fn each_event(frame: &Frame, mut give: impl FnMut(Seq, OrgNo, u32, &Event)) -> Option<()> {
    if frame.header.expired {
        return Some(());
    }
    let (_, body) = columns::split_filter(frame.body())?;
    let body = Body::open(frame.header.rows, body)?;
    let reader = body.events(frame.vault())?;
    for submission in frame.submissions() {
        for row in submission.start..submission.start + submission.rows {
            let event = reader.event(row as usize)?;
            let plain = event.details.is_none() && !event.observables.iter().any(|observable| can_be_owned(observable.kind));
            if !plain {
                give(Seq(frame.header.first_seq.0 + u64::from(row)), submission.org, row, &event);
            }
        }
    }
    Some(())
}
