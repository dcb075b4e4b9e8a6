//! The newest state of every indicator, folded from the log, for all three collections at once.
//!
//! Invariant: a function of the log, of what is spared and of the horizon: what stopped holding before that is let go, so that years of values need no
//! more memory than those of the last month and those that hold. About 135 bytes a value that fits 24 bytes.
//! Not here: what of it may leave (`policy::leave`), when it is folded ([`super`]).

use super::want::{Want, consumption_of};
use hashbrown::{HashMap, HashTable};
use model::confidence::confidence;
use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};
use policy::{Candidate, Terms, may_leave, way_out};
use std::collections::VecDeque;
use std::time::Duration;
use store::views::indicators::{Collection, Indicator};

/// Values at the most; the log goes on without the table past it, and the hub says so.
pub(super) const MAX_ENTRIES: usize = 8_000_000;
/// Different names of malware at the most; indicators past it have none in products.
const MAX_NAMES: usize = 65_536;
/// Different sets of sectors at the most; indicators past it have none in products.
const MAX_SETS: usize = 65_536;
/// Recalls kept at the most.
const MAX_RECALLS: usize = 50_000;
/// How long a recall is kept.
const RECALL_AGE: Duration = Duration::from_secs(30 * 86_400);
/// How long a value is remembered after its validity is over, for the difference from an older version of a product.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// The horizon moves in steps, for all values are looked at then.
const HORIZON_STEP: i64 = 3_600;
/// Confidence changes on the hour, so that products change no more often for it.
const CONFIDENCE_STEP: i64 = 3_600;

/// Nobody gave a confidence.
const NONE_GIVEN: u8 = u8::MAX;
/// Does not age.
const FOREVER: u32 = u32::MAX;

/// What a collection says of a value, in 28 bytes. Times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    first_seen: u32,
    last_seen: u32,
    valid_until: u32,
    malware: u32,
    sectors: u16,
    reporters: u16,
    /// Tells this version of the value from its others.
    version: u32,
    category: Category,
    pap: Pap,
    tlp: Tlp,
    confidence: u8,
}

impl State {
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn category(&self) -> Category {
        self.category
    }

    pub(super) fn pap(&self) -> Pap {
        self.pap
    }

    pub(super) fn tlp(&self) -> Tlp {
        self.tlp
    }

    pub(super) fn first_seen(&self) -> Timestamp {
        Timestamp::from_seconds(i64::from(self.first_seen))
    }

    pub(super) fn last_seen(&self) -> Timestamp {
        Timestamp::from_seconds(i64::from(self.last_seen))
    }

    pub(super) fn valid_until(&self) -> Option<Timestamp> {
        (self.valid_until != FOREVER).then(|| Timestamp::from_seconds(i64::from(self.valid_until)))
    }

    /// Whether its validity was over before a moment.
    fn is_over(&self, before: Timestamp) -> bool {
        self.valid_until().is_some_and(|until| until < before)
    }

    /// Its confidence at a moment.
    fn confidence(&self, kind: ObservableType, at: Timestamp, claims: u32) -> u8 {
        let given = (self.confidence != NONE_GIVEN).then_some(self.confidence);
        let hour = Timestamp::from_seconds(at.seconds() - at.seconds().rem_euclid(CONFIDENCE_STEP));
        confidence(given, u32::from(self.reporters), kind, age(self.last_seen(), hour), claims)
    }
}

/// The last 32 bits of a date of addition: those of a value's versions lie minutes apart at the least, or are a withdrawal's.
pub(super) const fn version_stamp(added: Timestamp) -> u32 {
    added.micros() as u32
}

fn age(since: Timestamp, at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.seconds() - since.seconds()).unwrap_or(0))
}

/// One value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: u128,
    pub(super) value: Text,
    states: [Option<State>; 3],
    pub(super) kind: ObservableType,
    /// Whether no product may hold it.
    spared: bool,
}

impl Entry {
    pub(super) fn state(&self, collection: Collection) -> Option<&State> {
        self.states.get(collection.place()?).and_then(Option::as_ref)
    }
}

/// A value that was taken out of a collection.
#[derive(Debug, Clone)]
pub(super) struct Recalled {
    pub(super) collection: Collection,
    pub(super) key: u128,
    pub(super) kind: ObservableType,
    pub(super) value: Text,
    /// What it was before.
    pub(super) state: State,
    pub(super) spared: bool,
    /// When its first version was added.
    pub(super) created: Timestamp,
    /// When it was taken out.
    pub(super) at: Timestamp,
}

/// What a product takes of an entry.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) key: u128,
    pub(super) kind: ObservableType,
    pub(super) value: Text,
    pub(super) state: State,
    pub(super) confidence: u8,
}

/// How many organisations claim a value a false positive, by its key; only those with an undecided claim.
pub(super) type Claims = HashMap<u128, u32>;

/// Texts by small numbers; 0 is none.
#[derive(Debug, Default)]
struct Names<T> {
    list: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + std::hash::Hash> Names<T> {
    fn number(&mut self, name: &T, limit: usize) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        if self.list.len() + 1 >= limit {
            return 0;
        }
        self.list.push(name.clone());
        let number = self.list.len() as u32;
        self.numbers.insert(name.clone(), number);
        number
    }
}

/// What the numbers of states stand for, beside the table.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    malware: Vec<Text>,
    sectors: Vec<Vec<Text>>,
}

impl Dictionary {
    /// Name of the malware of a state.
    pub(super) fn malware(&self, state: &State) -> Option<&str> {
        self.malware.get((state.malware as usize).checked_sub(1)?).map(Text::as_str)
    }

    /// Sectors of a state.
    pub(super) fn sectors(&self, state: &State) -> &[Text] {
        sectors_of(&self.sectors, state)
    }
}

fn sectors_of<'a>(sectors: &'a [Vec<Text>], state: &State) -> &'a [Text] {
    let place = usize::from(state.sectors).checked_sub(1);
    place.and_then(|place| sectors.get(place)).map_or(&[], Vec::as_slice)
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    index: HashTable<u32>,
    malware: Names<Text>,
    sectors: Names<Vec<Text>>,
    recalled: VecDeque<Recalled>,
    /// Date of the last entry of each log that was folded.
    positions: [Option<Timestamp>; 3],
    /// What stopped holding before this moment is not known any more.
    horizon: Timestamp,
    /// Whether a value was left out for want of room.
    full: bool,
}

/// Keys are keyed hashes already.
const fn hash(key: u128) -> u64 {
    key as u64
}

impl Table {
    /// Date of the last entry of a log that was folded.
    pub(super) fn position(&self, collection: Collection) -> Option<Timestamp> {
        collection.place().and_then(|place| self.positions.get(place)).copied().flatten()
    }

    /// The moment before which nothing can be said of what products held.
    pub(super) fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// Every value.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was taken out, oldest first.
    pub(super) fn recalled(&self) -> impl DoubleEndedIterator<Item = &Recalled> {
        self.recalled.iter()
    }

    /// What the numbers of its states stand for.
    pub(super) fn dictionary(&self) -> Dictionary {
        Dictionary { malware: self.malware.list.clone(), sectors: self.sectors.list.clone() }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: u128) -> Option<&Entry> {
        let place = self.place(key)?;
        self.entries.get(place as usize)
    }

    /// Takes the next version of a log in.
    pub(super) fn fold(&mut self, version: &Indicator, spared: bool) {
        // No product is made of what one partner alone has.
        let Some(slot) = version.collection.place() else { return };
        if let Some(position) = self.positions.get_mut(slot) {
            *position = Some(version.added);
        }
        let found = self.place(version.key);
        if version.revoked {
            if let Some(place) = found {
                self.take_out(place, version);
            }
            return;
        }
        let state = Some(self.compact(version)).filter(|state| !state.is_over(self.horizon));
        match (found, state) {
            (Some(place), state) => {
                let Some(entry) = self.entries.get_mut(place as usize) else { return };
                entry.spared = spared;
                if let Some(old) = entry.states.get_mut(slot) {
                    *old = state;
                }
                self.remove_where_empty(place);
            }
            (None, Some(state)) => self.add(version, slot, state, spared),
            (None, None) => {}
        }
    }

    /// Judges anew which values are spared, after what decides it has changed.
    pub(super) fn spare(&mut self, spared: impl Fn(ObservableType, &str) -> bool) {
        for entry in &mut self.entries {
            entry.spared = spared(entry.kind, &entry.value);
        }
    }

    /// Forgets recalls that are too old, and what stopped holding long ago. False where the clock is behind what was forgotten: the table has to be made
    /// anew then.
    pub(super) fn forget(&mut self, now: Timestamp) -> bool {
        let oldest = now.minus(RECALL_AGE);
        while self.recalled.front().is_some_and(|recalled| recalled.at < oldest) {
            self.recalled.pop_front();
        }
        let remembered = now.minus(REMEMBERED).seconds();
        let horizon = Timestamp::from_seconds(remembered - remembered.rem_euclid(HORIZON_STEP));
        if horizon > self.horizon {
            self.horizon = horizon;
            self.let_go();
        }
        now >= self.horizon
    }

    /// Lets go of what stopped holding before the horizon.
    fn let_go(&mut self) {
        let horizon = self.horizon;
        // From the end: what comes to the place of one that goes was looked at before.
        for place in (0..self.entries.len() as u32).rev() {
            let Some(entry) = self.entries.get_mut(place as usize) else { continue };
            for state in &mut entry.states {
                *state = state.filter(|state| !state.is_over(horizon));
            }
            self.remove_where_empty(place);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.full = false;
        }
        // A wave of short-lived values must not keep its room for good.
        if self.entries.capacity() / 4 > self.entries.len() {
            let room = self.entries.len() * 2;
            self.entries.shrink_to(room);
            let entries = &self.entries;
            self.index.shrink_to(room, |&place| entries.get(place as usize).map_or(0, |entry| hash(entry.key)));
        }
    }

    /// What a product holds at a moment, in order of type and value.
    pub(super) fn choose(&self, want: &Want, at: Timestamp, claims: &Claims) -> Vec<Chosen> {
        self.entries.iter().filter_map(|entry| self.choice(entry, entry.state(want.collection)?, want, at, claims)).collect()
    }

    /// Whether a product holds a value of this state at a moment, and how.
    pub(super) fn choice(&self, entry: &Entry, state: &State, want: &Want, at: Timestamp, claims: &Claims) -> Option<Chosen> {
        let claims = if claims.is_empty() { 0 } else { claims.get(&entry.key).copied().unwrap_or(0) };
        let confidence = self.admits(want, (entry.kind, &entry.value), state, entry.spared, at, claims)?;
        Some(Chosen { key: entry.key, kind: entry.kind, value: entry.value.clone(), state: *state, confidence })
    }

    /// The confidence of a value that a product holds at a moment; `None` where it does not hold it. A function of its arguments.
    pub(super) fn admits(&self, want: &Want, (kind, value): (ObservableType, &str), state: &State, spared: bool, at: Timestamp, claims: u32) -> Option<u8> {
        let filter = &want.filter;
        if spared || !(filter.types.is_empty() || filter.types.contains(&kind)) || !want.product.takes(kind, value) {
            return None;
        }
        if !filter.sectors.is_empty() && !sectors_of(&self.sectors.list, state).iter().any(|sector| filter.sectors.contains(sector)) {
            return None;
        }
        let confidence = state.confidence(kind, at, claims);
        let candidate = Candidate {
            tlp: state.tlp,
            pap: state.pap,
            category: state.category,
            revoked: false,
            expired: state.valid_until().is_some_and(|until| until <= at),
            spared,
            confidence,
            age: age(state.last_seen(), at),
        };
        let terms = Terms {
            export: way_out(want.collection.tlp()),
            purpose: consumption_of(want.product),
            min_confidence: filter.min_confidence,
            max_age: filter.max_age_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
        };
        may_leave(&candidate, &terms).then_some(confidence)
    }

    /// The state that a version says.
    pub(super) fn compact(&mut self, version: &Indicator) -> State {
        let seconds = |time: Timestamp| u32::try_from(time.seconds().clamp(0, i64::from(FOREVER) - 1)).unwrap_or(0);
        State {
            first_seen: seconds(version.first_seen),
            last_seen: seconds(version.last_seen),
            valid_until: version.valid_until.map_or(FOREVER, seconds),
            malware: version.malware.as_ref().map_or(0, |name| self.malware.number(name, MAX_NAMES)),
            sectors: if version.sectors.is_empty() { 0 } else { u16::try_from(self.sectors.number(&version.sectors, MAX_SETS)).unwrap_or(0) },
            reporters: u16::try_from(version.reporters).unwrap_or(u16::MAX),
            version: version_stamp(version.added),
            category: version.category,
            pap: version.pap,
            tlp: version.tlp,
            confidence: version.confidence.map_or(NONE_GIVEN, |given| given.min(100)),
        }
    }

    fn place(&self, key: u128) -> Option<u32> {
        self.index.find(hash(key), |&place| self.entries.get(place as usize).is_some_and(|entry| entry.key == key)).copied()
    }

    fn add(&mut self, version: &Indicator, slot: usize, state: State, spared: bool) {
        if self.entries.len() >= MAX_ENTRIES {
            if !std::mem::replace(&mut self.full, true) {
                tracing::error!(limit = MAX_ENTRIES, "more indicators than products have room for; the newest values are left out of them");
            }
            return;
        }
        let place = self.entries.len() as u32;
        let mut entry = Entry { key: version.key, value: version.value.clone(), states: [None; 3], kind: version.kind, spared };
        if let Some(own) = entry.states.get_mut(slot) {
            *own = Some(state);
        }
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash(version.key), place, |&other| entries.get(other as usize).map_or(0, |entry| hash(entry.key)));
    }

    fn take_out(&mut self, place: u32, version: &Indicator) {
        let Some(entry) = self.entries.get_mut(place as usize) else { return };
        let before = version.collection.place().and_then(|slot| entry.states.get_mut(slot)).and_then(Option::take);
        if let Some(state) = before {
            if self.recalled.len() >= MAX_RECALLS {
                self.recalled.pop_front();
            }
            self.recalled.push_back(Recalled {
                collection: version.collection,
                key: version.key,
                kind: entry.kind,
                value: entry.value.clone(),
                state,
                spared: entry.spared,
                created: version.created,
                at: version.added,
            });
        }
        self.remove_where_empty(place);
    }

    /// Removes a value of which no collection says anything.
    fn remove_where_empty(&mut self, place: u32) {
        if self.entries.get(place as usize).is_some_and(|entry| entry.states.iter().all(Option::is_none)) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: u32) {
        let Some(key) = self.entries.get(place as usize).map(|entry| entry.key) else { return };
        if let Ok(found) = self.index.find_entry(hash(key), |&other| other == place) {
            found.remove();
        }
        self.entries.swap_remove(place as usize);
        // The last one has come to its place.
        let last = self.entries.len() as u32;
        if let Some(moved) = self.entries.get(place as usize)
            && let Some(slot) = self.index.find_mut(hash(moved.key), |&other| other == last)
        {
            *slot = place;
        }
    }
}
