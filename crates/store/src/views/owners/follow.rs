//! The thread that follows the ledger behind the other views and makes findings of it.
//!
//! Flow: a frame that is applied → control entries change registrations, nation and findings; events are matched with the table, and where
//! nobody registered with the nation's → one lock a frame.
//! Invariant: nobody waits for this thread; whether an event counts was decided before it comes to it. What a withdrawal takes away is made
//! anew from the events that are left.
//! Not here: merging and withdrawing themselves (`views`, `engine`); how findings are made anew (`anew`).

mod anew;

use super::fallback::{Fallback, Told};
use super::finding::{Hit, Seen};
use super::national::National;
use super::register::Registered;
use super::{Owner, Owners, Table, file};
use crate::ledger::{Body, Control, Frame, Kind, Ledger, Nation, Place, columns};
use crate::maintenance::{Pace, give_way};
use crate::views::{Views, last_time};
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
    /// Who stands in for owners now.
    fallback: Option<Arc<Fallback>>,
    idle: bool,
    position: Seq,
    chain: [u8; 32],
    changed: bool,
    last_saved: Instant,
}

/// Whom one value concerns.
type Concerned = SmallVec<[Owner; 4]>;

impl Following {
    /// A follower that takes up where the file in `folder` ends.
    pub(crate) fn new(owners: Arc<Owners>, views: Arc<Views>, ledger: Arc<Ledger>, folder: PathBuf, stop: Arc<AtomicBool>) -> Self {
        let fits = |position: Seq, chain: &[u8; 32]| {
            let before = ledger.index_of(position).checked_sub(1).and_then(|index| ledger.place(index));
            before.is_some_and(|place| place.header.end() == position && place.header.chain == *chain)
        };
        let (state, position, chain) = file::read(&folder, fits).unwrap_or_default();
        *owners.state.write() = state;
        owners.moved_to(position);
        let last_saved = Instant::now();
        let mut following = Self { owners, views, ledger, folder, stop, table: None, fallback: None, idle: false, position, chain, changed: false, last_saved };
        following.nation_changed();
        following
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
                    self.idle = state.register.is_idle() && self.fallback.is_none();
                    self.table = None;
                    self.changed = true;
                }
            }
            Control::National { nation, .. } => {
                if self.owners.state.write().nations.set(seq, nation) {
                    self.nation_changed();
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
            // Who owns what does not depend on them.
            Control::Reporter { .. } | Control::Agreement { .. } => {}
        }
    }

    /// Takes up what holds of the nation now.
    fn nation_changed(&mut self) {
        let nation = self.owners.state.read().nations.current().cloned();
        self.fallback = nation.and_then(|nation| self.fallback_of(&nation));
        self.owners.fallback.write().clone_from(&self.fallback);
        self.idle = self.owners.state.read().register.is_idle() && self.fallback.is_none();
    }

    /// Who stands in for owners by what a control entry told. Where its table is lost the newest one stands for it: a nation's addresses change
    /// little, and nobody being told is worse.
    fn fallback_of(&self, nation: &Nation) -> Option<Arc<Fallback>> {
        let found = National::load(&self.folder, &nation.table).or_else(|| {
            let other = National::newest(&self.folder);
            match &other {
                Some((name, _)) => tracing::warn!(table = %nation.table, instead = %name, "a table of the nation's addresses is lost; another stands for it"),
                None => tracing::error!(table = %nation.table, "a table of the nation's addresses is lost; nobody is told of what nobody registered"),
            }
            other.map(|(_, national)| national)
        });
        found.map(|national| Arc::new(Fallback::new(Arc::new(national), nation)))
    }

    /// Matches the events of a frame.
    fn events(&mut self, frame: &Frame) {
        let table = self.table();
        let fallback = self.fallback.clone();
        let mut hits: Vec<Hit> = Vec::new();
        let read = each_event(frame, |seq, reporter, row, event| {
            if event.category == Category::Test {
                return;
            }
            // Of one owner and value once, whatever parts the value plays.
            let mut here: SmallVec<[(OrgNo, u128); 4]> = SmallVec::new();
            let mut counts = None;
            concerns(event, |concern| {
                let mut owners = Concerned::new();
                table.owners(concern.kind, &concern.value, &mut |owner| join(&mut owners, owner));
                if table.knows_asns()
                    && let Some(asn) = believed(&concern, !owners.is_empty(), fallback.as_deref())
                {
                    table.asn(asn, &mut |owner| join(&mut owners, owner));
                }
                if let Some(fallback) = fallback.as_deref().filter(|_| owners.is_empty()) {
                    owners.extend(fallback.told(&concern, |asn| registrants(&table, asn)).into_iter().map(Owner::standing_in));
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

/// Adds an owner, or what more is known of one that is there.
fn join(owners: &mut Concerned, owner: Owner) {
    match owners.iter_mut().find(|known| known.organisation == owner.organisation) {
        Some(known) => known.protected |= owner.protected,
        None => owners.push(owner),
    }
}

/// The AS number that a reporter states of a value, where no table of the hub's says otherwise. Of a value that somebody registered it counts only
/// where the routes say the same: a reporter's word alone shows nobody what is another's.
fn believed(concern: &Concern<'_>, registered: bool, fallback: Option<&Fallback>) -> Option<u32> {
    concern.asn.filter(|asn| match fallback {
        Some(fallback) if registered => fallback.is_announced_by(concern, *asn),
        Some(fallback) => fallback.leaves_room(concern, *asn),
        None => !registered,
    })
}

/// Who has registered an AS number.
fn registrants(table: &Table, asn: u32) -> Told {
    let mut told = Told::new();
    table.asn(asn, &mut |owner| {
        if !told.contains(&owner.organisation) {
            told.push(owner.organisation);
        }
    });
    told
}

fn hit(owner: Owner, key: u128, concern: &Concern<'_>, event: &Event, seq: Seq, reporter: OrgNo, received: model::Timestamp) -> Hit {
    Hit {
        owner: owner.organisation,
        key,
        category: event.category,
        protected: owner.protected,
        far: !concern.observable,
        fallback: owner.fallback,
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
