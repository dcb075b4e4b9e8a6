//! Owners of networks: what is wrong in whose network, made of the events that say so.
//!
//! Flow: `follow` reads applied frames behind the other views → [`Table`] finds every owner, `fallback` who stands in for one → rows of
//! [`Finding`] here → `hub::owners` asks.
//! Invariant: a function of the ledger: registrations and releases come to it as control entries. No value is in it, only keys. One thing a
//! control entry only names: the table of the nation's address space ([`national`]), which lies beside the ledger under the hash of its bytes.
//! It lags behind answers to senders; nothing waits for it. Without registrations and without such a table no frame of events is read.
//! Not here: who may see a finding (`policy`), what people do with it (`store::records`).

mod fallback;
mod file;
mod finding;
mod follow;
pub mod national;
mod ranges;
mod register;
mod table;

pub(crate) use follow::Following;

pub use finding::{Finding, Seen, Waiting, finding_id, repeats_after};
pub use register::{Register, Registered};
pub use table::{MAX_STEPS, Owner, Table, matches};

use crate::ledger::Nation;
use fallback::{Fallback, Nations};
use finding::Hit;
use hashbrown::HashMap;
use model::{ObservableType, OrgNo, Seq, Text, Timestamp};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use tokio::sync::watch;

/// Findings at the most; past it the owners with the most lose those that were not seen for the longest.
pub const MAX_FINDINGS: usize = 5_000_000;
/// Parts of findings that wait for release, of one reporter at the most; what would be more is dropped and counted.
pub const MAX_WAITING: usize = 100_000;
/// One of so many is dropped at a time, so that not every frame past the limit looks at all.
const DROPPED_SHARE: usize = 100;

/// Name of the folder in a realm's.
pub const FOLDER: &str = "owners";

/// Place of a finding in lists: the first event of what the reader sees of it, and its number.
pub type Place = (Seq, u128);

/// Everything known, as of one position.
#[derive(Debug, Default)]
struct State {
    register: Register,
    nations: Nations,
    rows: HashMap<u128, Finding>,
    /// What owners are told, by owner, then by place. What waits has no place here.
    by_owner: BTreeSet<(OrgNo, Seq, u128)>,
    /// The same, by owner, then by when the owner was to be told last.
    told: BTreeSet<(OrgNo, Timestamp, u128)>,
    /// What waits for release, by reporter and whether it is red, then by place.
    waiting: BTreeSet<(OrgNo, bool, Seq, u128)>,
    /// How many of those each reporter has.
    waiting_of: HashMap<OrgNo, usize>,
    /// Dropped for want of room.
    dropped: u64,
}

/// What readers ask.
#[derive(Debug)]
pub struct Owners {
    state: RwLock<State>,
    /// What holds of the nation now, as far as its table is there.
    fallback: RwLock<Option<Arc<Fallback>>>,
    position: watch::Sender<Seq>,
    limit: usize,
}

impl Default for Owners {
    fn default() -> Self {
        Self::with_limit(MAX_FINDINGS)
    }
}

impl Owners {
    fn with_limit(limit: usize) -> Self {
        Self { state: RwLock::default(), fallback: RwLock::default(), position: watch::Sender::new(Seq(0)), limit }
    }

    /// The sequence number up to which, exclusive, findings are current.
    pub fn position(&self) -> Seq {
        *self.position.borrow()
    }

    /// The position, for those who wait for it.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.position.subscribe()
    }

    /// How many findings there are, and how many were dropped for want of room.
    pub fn size(&self) -> (usize, u64) {
        let state = self.state.read();
        (state.rows.len(), state.dropped)
    }

    /// One finding.
    pub fn get(&self, id: u128) -> Option<Finding> {
        self.state.read().rows.get(&id).cloned()
    }

    /// Every registration that ever counted: its id, the version that the ledger told last, and whether it counts now.
    pub fn registrations(&self) -> Vec<(Text, u64, bool)> {
        self.state.read().register.all().collect()
    }

    /// What the ledger told last of the nation's address space.
    pub fn nation(&self) -> Option<Nation> {
        self.state.read().nations.current().cloned()
    }

    /// Whether the table that holds is in use; without it nobody stands in for an owner.
    pub fn has_table(&self) -> bool {
        self.fallback.read().is_some()
    }

    /// The tables of address space that findings may be made anew with.
    pub fn tables(&self) -> Vec<Text> {
        self.state.read().nations.tables().cloned().collect()
    }

    /// The AS numbers that announce a value's addresses, innermost prefix first, as far as the nation's table knows.
    pub fn announced(&self, kind: ObservableType, value: &str) -> Vec<u32> {
        self.fallback.read().as_ref().map(|fallback| fallback.announced(kind, value)).unwrap_or_default()
    }

    /// Gives the findings that one owner was to be told of after `after`, oldest first, with when, until told to stop.
    pub fn told_since(&self, owner: OrgNo, after: Timestamp, mut give: impl FnMut(Timestamp, &Finding) -> ControlFlow<()>) {
        let state = self.state.read();
        let range = (Bound::Excluded((owner, after, u128::MAX)), Bound::Included((owner, Timestamp::MAX, u128::MAX)));
        for (_, told, id) in state.told.range(range) {
            if let Some(finding) = state.rows.get(id)
                && give(*told, finding).is_break()
            {
                return;
            }
        }
    }

    /// Gives the findings that one owner is told, newest first, from the one before `before`, until told to stop.
    pub fn of_owner(&self, owner: OrgNo, before: Option<Place>, mut give: impl FnMut(&Finding) -> ControlFlow<()>) {
        let state = self.state.read();
        let end = before.map_or(Bound::Included((owner, Seq(u64::MAX), u128::MAX)), |(seq, id)| Bound::Excluded((owner, seq, id)));
        for (_, _, id) in state.by_owner.range((Bound::Included((owner, Seq(0), 0)), end)).rev() {
            if let Some(finding) = state.rows.get(id)
                && give(finding).is_break()
            {
                return;
            }
        }
    }

    /// Gives the findings of whoever in which a reporter's events wait for release, red ones or the others, with the first event's place,
    /// newest first, from the one before `before`, until told to stop.
    pub fn waiting(&self, reporter: OrgNo, red: bool, before: Option<Place>, mut give: impl FnMut(Seq, &Finding) -> ControlFlow<()>) {
        let state = self.state.read();
        let end = before.map_or(Bound::Included((reporter, red, Seq(u64::MAX), u128::MAX)), |(seq, id)| Bound::Excluded((reporter, red, seq, id)));
        for (_, _, seq, id) in state.waiting.range((Bound::Included((reporter, red, Seq(0), 0)), end)).rev() {
            if let Some(finding) = state.rows.get(id)
                && give(*seq, finding).is_break()
            {
                return;
            }
        }
    }

    fn moved_to(&self, position: Seq) {
        self.position.send_replace(position);
    }
}

impl State {
    fn index(&mut self, id: u128, finding: &Finding) {
        if let Some(told) = &finding.told {
            self.by_owner.insert((finding.owner, told.first_seq, id));
        }
        if let Some(told) = finding.told_at() {
            self.told.insert((finding.owner, told, id));
        }
        for one in &finding.waiting {
            if self.waiting.insert((one.reporter, one.red, one.seen.first_seq, id)) {
                *self.waiting_of.entry(one.reporter).or_default() += 1;
            }
        }
    }

    fn unindex(&mut self, id: u128, finding: &Finding) {
        if let Some(told) = &finding.told {
            self.by_owner.remove(&(finding.owner, told.first_seq, id));
        }
        if let Some(told) = finding.told_at() {
            self.told.remove(&(finding.owner, told, id));
        }
        for one in &finding.waiting {
            if self.waiting.remove(&(one.reporter, one.red, one.seen.first_seq, id))
                && let Some(count) = self.waiting_of.get_mut(&one.reporter)
            {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Changes one finding, or makes it; one that is left empty goes.
    fn change(&mut self, id: u128, make: impl FnOnce() -> Option<Finding>, change: impl FnOnce(&mut Finding)) {
        let known = self.rows.remove(&id);
        if let Some(known) = &known {
            self.unindex(id, known);
        }
        let Some(mut finding) = known.or_else(make) else { return };
        change(&mut finding);
        if !finding.is_empty() {
            self.index(id, &finding);
            self.rows.insert(id, finding);
        }
    }

    fn add(&mut self, hit: &Hit) {
        self.add_within(hit, MAX_WAITING);
    }

    /// Takes an event in, unless it would wait and its reporter has `most` waiting already.
    fn add_within(&mut self, hit: &Hit, most: usize) {
        let room = self.waiting_of.get(&hit.reporter).is_none_or(|count| *count < most);
        let mut taken = true;
        self.change(hit.id(), || Some(Finding::new(hit)), |finding| taken = finding.add_where_room(hit, room));
        self.dropped += u64::from(!taken);
    }

    /// Makes a finding of these events alone. What was released is remembered; of a reporter who has `most` waiting nothing more begins to wait.
    fn refill(&mut self, id: u128, hits: &[Hit], most: usize) {
        let Some(known) = self.rows.remove(&id) else { return };
        self.unindex(id, &known);
        let mut finding = known.emptied();
        for hit in hits {
            let here = finding.waiting.iter().filter(|waiting| waiting.reporter == hit.reporter).count();
            let room = self.waiting_of.get(&hit.reporter).copied().unwrap_or_default() + here < most;
            self.dropped += u64::from(!finding.add_where_room(hit, room));
        }
        if !finding.is_empty() {
            self.index(id, &finding);
            self.rows.insert(id, finding);
        }
    }

    /// Where there are more than `limit`, drops of the owners with the most what was not seen for the longest: nobody's rows push out those of
    /// an owner with few.
    fn make_room(&mut self, limit: usize) {
        if self.rows.len() <= limit {
            return;
        }
        let surplus = self.rows.len() - limit + limit / DROPPED_SHARE;
        let mut counts: HashMap<OrgNo, usize> = HashMap::new();
        for finding in self.rows.values() {
            *counts.entry(finding.owner).or_default() += 1;
        }
        let level = level(&counts, surplus);
        // What waits for release goes last: somebody is to decide on it.
        let mut old: Vec<(OrgNo, bool, Timestamp, u128)> = self
            .rows
            .iter()
            .filter(|(_, finding)| counts.get(&finding.owner).is_some_and(|count| *count > level))
            .map(|(id, finding)| (finding.owner, !finding.waiting.is_empty(), finding.last_time(), *id))
            .collect();
        old.sort_unstable();
        let mut over: HashMap<OrgNo, usize> = counts.into_iter().map(|(owner, count)| (owner, count.saturating_sub(level))).collect();
        old.retain(|(owner, ..)| match over.get_mut(owner) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        });
        old.sort_unstable_by_key(|&(_, waits, time, id)| (waits, time, id));
        for (_, _, _, id) in old.into_iter().take(surplus) {
            if let Some(finding) = self.rows.remove(&id) {
                self.unindex(id, &finding);
                self.dropped += 1;
            }
        }
    }
}

/// The highest count to which owners can be cut so that at least `surplus` rows go.
fn level(counts: &HashMap<OrgNo, usize>, surplus: usize) -> usize {
    let (mut low, mut high) = (0, counts.values().copied().max().unwrap_or_default());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if counts.values().map(|count| count.saturating_sub(middle)).sum::<usize>() >= surplus {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::finding::tests::hit;
    use super::*;

    fn listed(owners: &Owners, owner: u32, before: Option<Place>, most: usize) -> Vec<Place> {
        let mut found = Vec::new();
        owners.of_owner(OrgNo(owner), before, |finding| {
            found.push((finding.opened(), finding.id()));
            if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    #[test]
    fn an_owner_finds_its_own_newest_first_page_by_page() {
        let owners = Owners::default();
        for seq in 1..=10 {
            owners.state.write().add(&Hit { key: u128::from(seq % 5), ..hit(seq, 2) });
            owners.state.write().add(&Hit { owner: OrgNo(2), key: 1, ..hit(seq, 2) });
        }
        assert_eq!(owners.size().0, 6);
        let all = listed(&owners, 1, None, 100);
        assert_eq!(all.iter().map(|place| place.0.0).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
        assert_eq!(listed(&owners, 1, Some(all[1]), 2), all[2..4]);
        assert!(listed(&owners, 3, None, 100).is_empty());
    }

    #[test]
    fn what_waits_is_listed_until_it_is_released() {
        let owners = Owners::default();
        let red = Hit { red: true, ..hit(3, 2) };
        owners.state.write().add(&red);
        let waiting = || {
            let mut count = 0;
            owners.waiting(OrgNo(2), true, None, |seq, _| {
                assert_eq!(seq, Seq(3));
                count += 1;
                ControlFlow::Continue(())
            });
            count
        };
        assert_eq!(waiting(), 1);
        assert!(listed(&owners, 1, None, 100).is_empty(), "no place in the owner's list tells of it");
        owners.state.write().change(red.id(), || None, |finding| finding.release(&[OrgNo(2)], Seq(4), Timestamp::from_seconds(9)));
        assert_eq!(waiting(), 0);
        assert!(owners.get(red.id()).unwrap().told.is_some());
    }

    #[test]
    fn past_the_limit_what_was_not_seen_for_the_longest_is_dropped_and_counted() {
        let owners = Owners::with_limit(64);
        let mut state = owners.state.write();
        for seq in 1..=66 {
            state.add(&Hit { key: u128::from(seq), ..hit(seq, 2) });
            state.make_room(owners.limit);
        }
        assert!(state.rows.len() <= 64 && state.rows.len() >= 60, "{}", state.rows.len());
        assert_eq!(state.rows.len(), state.by_owner.len());
        assert!(state.dropped >= 2 && state.rows.values().all(|finding| finding.opened() > Seq(1)));
    }

    #[test]
    fn the_owner_with_the_most_makes_room() {
        let mut state = State::default();
        state.add(&hit(1, 2));
        for seq in 2..=11 {
            state.add(&Hit { owner: OrgNo(2), key: u128::from(seq), hold: true, ..hit(seq, 3) });
        }
        state.make_room(6);
        assert_eq!((state.rows.len(), state.by_owner.len(), state.waiting.len(), state.dropped), (6, 1, 5, 5));
    }

    #[test]
    fn a_reporter_has_so_much_waiting_and_no_more() {
        let mut state = State::default();
        for seq in 1..=5 {
            state.add_within(&Hit { key: u128::from(seq), hold: true, ..hit(seq, 2) }, 3);
        }
        state.add_within(&Hit { key: 1, hold: true, ..hit(6, 2) }, 3);
        assert_eq!((state.rows.len(), state.dropped), (3, 2), "what waits already takes its repeats in");
        state.add_within(&Hit { key: 9, hold: true, protected: true, ..hit(7, 2) }, 3);
        assert_eq!((state.rows.len(), state.by_owner.len()), (4, 1), "an owner is told of what is protected all the same");
        state.add_within(&Hit { key: 8, hold: true, ..hit(8, 3) }, 3);
        assert_eq!(state.rows.len(), 5);
    }

    #[test]
    fn what_is_made_anew_waits_within_the_same_limit() {
        let mut state = State::default();
        for key in 1..=3 {
            state.add_within(&Hit { key, hold: true, ..hit(1, 2) }, 4);
        }
        let id = Hit { key: 1, ..hit(1, 2) }.id();
        let held = |seq: u64, red: bool| Hit { key: 1, hold: true, red, ..hit(seq, 2) };
        state.refill(id, &[held(2, false), held(3, false), held(4, true)], 4);
        assert_eq!(state.waiting_of.get(&OrgNo(2)), Some(&4), "two parts of this one beside two of others");
        state.refill(id, &[held(2, false), held(3, false), held(4, true)], 3);
        let finding = &state.rows[&id];
        assert_eq!((finding.waiting.len(), finding.waiting[0].seen.events, state.dropped), (1, 2, 1), "the red part has no room, repeats need none");
        state.refill(id, &[], 3);
        assert_eq!((state.rows.len(), state.waiting.len(), state.waiting_of.get(&OrgNo(2))), (2, 2, Some(&2)));
    }

    #[test]
    fn an_owner_is_told_in_order_and_of_a_repeat_once_it_is_told_again() {
        let owners = Owners::default();
        let day = 86_400;
        for (seq, key) in [(1, 7), (2, 8), (3, 7), (9 * day, 8)] {
            owners.state.write().add(&Hit { key, ..hit(seq, 2) });
        }
        owners.state.write().add(&Hit { key: 9, hold: true, ..hit(5, 3) });
        let since = |after: u64| {
            let mut found = Vec::new();
            owners.told_since(OrgNo(1), hit(after, 2).received, |told, finding| {
                found.push((told.seconds() - 1_700_000_000, finding.key));
                ControlFlow::Continue(())
            });
            found
        };
        assert_eq!(since(0), [(1, 7), (9 * day as i64, 8)], "what waits is not told, a suppressed repeat moves nothing");
        assert_eq!(since(1), [(9 * day as i64, 8)]);
        assert!(since(9 * day).is_empty());
    }
}
