//! A finding: what is wrong with one value of one owner, made of the events that say so.
//!
//! Invariant: what waits for release is kept apart, by reporter, so that neither a count nor a time of it shows in what the owner is told.
//! No value is in it, only the value's key: who asks reads the value from the ledger, where it can be erased.

use crate::codec::{Reader, put_u32, put_u64};
use model::category::Class;
use model::{Category, OrgNo, Seq, Timestamp};
use std::time::Duration;

/// Repeats of what is infected or compromised are told again after so long.
const REPEATS: Duration = Duration::from_secs(7 * 86_400);
/// Repeats of what is exposed or vulnerable are told again after so long.
const REPEATS_OF_EXPOSED: Duration = Duration::from_secs(30 * 86_400);

/// Events folded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Place of the first event.
    pub first_seq: Seq,
    /// Place of the last event.
    pub last_seq: Seq,
    /// How many.
    pub events: u64,
    /// The sum of their counts.
    pub count: u64,
    /// The earliest time of one.
    pub first_time: Timestamp,
    /// The latest time of one.
    pub last_time: Timestamp,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.events += other.events;
        self.count = self.count.saturating_add(other.count);
        self.first_time = self.first_time.min(other.first_time);
        self.last_time = self.last_time.max(other.last_time);
    }
}

/// One reporter's events that wait for release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Who reported them.
    pub reporter: OrgNo,
    /// Whether they are red: then keys flagged for red alone see them meanwhile.
    pub red: bool,
    /// Whether the owner was told at once; they are kept as if not, so that a sender does not see that the value is protected.
    pub told: bool,
    /// Receipt of the first.
    pub since: Timestamp,
    /// The events.
    pub seen: Seen,
}

/// What is wrong with one value of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose value it is.
    pub owner: OrgNo,
    /// The value's key.
    pub key: u128,
    /// What is wrong.
    pub category: Category,
    /// Whether the value lies in a protected network.
    pub protected: bool,
    /// Whether an event names the value elsewhere than among its observables.
    pub(super) far: bool,
    /// Whether its owner reported some of it as red or to be held: it knows, and nobody else is told.
    pub(super) guarded: bool,
    /// Whether nobody had registered the value in any of its events, so that who is told of it stands in for an owner.
    pub fallback: bool,
    /// What the owner is told; `None` while everything waits.
    pub told: Option<Seen>,
    /// Receipt of the first event told, or its release.
    pub since: Timestamp,
    /// Repeats before this are counted and not told again.
    pub notify_after: Timestamp,
    /// How often the owner was to be told.
    pub notices: u32,
    /// Repeats since then.
    pub suppressed: u32,
    /// What waits for release.
    pub waiting: Vec<Waiting>,
    /// Whose reports before which place were released.
    pub(super) released: Vec<(OrgNo, Seq)>,
}

/// One event's part in a finding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) owner: OrgNo,
    pub(super) key: u128,
    pub(super) category: Category,
    pub(super) protected: bool,
    pub(super) far: bool,
    pub(super) fallback: bool,
    pub(super) reporter: OrgNo,
    pub(super) red: bool,
    pub(super) hold: bool,
    pub(super) received: Timestamp,
    pub(super) seen: Seen,
}

impl Hit {
    pub(super) fn id(&self) -> u128 {
        finding_id(self.owner, self.key, self.category)
    }
}

/// The number of a finding. The value's key is made under the realm's secret, so the number cannot be guessed.
pub fn finding_id(owner: OrgNo, key: u128, category: Category) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"finding");
    hasher.update(&owner.0.to_le_bytes());
    hasher.update(&key.to_le_bytes());
    hasher.update(&[category.number()]);
    let mut half = [0; 16];
    half.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
    u128::from_le_bytes(half)
}

/// How long repeats are not told again.
pub const fn repeats_after(category: Category) -> Duration {
    match category.class() {
        Class::Vulnerable => REPEATS_OF_EXPOSED,
        Class::AbusiveContent
        | Class::MaliciousCode
        | Class::InformationGathering
        | Class::IntrusionAttempts
        | Class::Intrusions
        | Class::Availability
        | Class::InformationContentSecurity
        | Class::Fraud
        | Class::Other
        | Class::Test => REPEATS,
    }
}

impl Finding {
    pub(super) fn new(hit: &Hit) -> Self {
        Self {
            owner: hit.owner,
            key: hit.key,
            category: hit.category,
            protected: false,
            far: false,
            guarded: false,
            fallback: true,
            told: None,
            since: Timestamp::MIN,
            notify_after: Timestamp::MIN,
            notices: 0,
            suppressed: 0,
            waiting: Vec::new(),
            released: Vec::new(),
        }
    }

    /// The same without its events; what was released stays so.
    pub(super) fn emptied(&self) -> Self {
        Self {
            protected: false,
            guarded: false,
            fallback: true,
            told: None,
            since: Timestamp::MIN,
            notify_after: Timestamp::MIN,
            notices: 0,
            suppressed: 0,
            waiting: Vec::new(),
            released: self.released.clone(),
            ..*self
        }
    }

    /// Its number.
    pub fn id(&self) -> u128 {
        finding_id(self.owner, self.key, self.category)
    }

    /// Whether no event is left in it.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_none() && self.waiting.is_empty()
    }

    /// Place of its first event, told or not; nothing an owner may see is made of it.
    pub(super) fn opened(&self) -> Seq {
        self.parts().map(|seen| seen.first_seq).min().unwrap_or_default()
    }

    /// Place of its last event.
    pub(super) fn last_seq(&self) -> Seq {
        self.parts().map(|seen| seen.last_seq).max().unwrap_or_default()
    }

    /// When the owner was to be told last, repeats that are only counted aside; `None` while it was never to be.
    pub fn told_at(&self) -> Option<Timestamp> {
        self.told.map(|_| self.notify_after.minus(repeats_after(self.category)))
    }

    /// Whether its owner reported some of it as red or to be held.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Whether the value was the far side of what was seen, or its target, in some event.
    pub fn is_far(&self) -> bool {
        self.far
    }

    /// The latest time of any event in it.
    pub(super) fn last_time(&self) -> Timestamp {
        self.parts().map(|seen| seen.last_time).max().unwrap_or(Timestamp::MIN)
    }

    fn parts(&self) -> impl Iterator<Item = &Seen> {
        self.told.iter().chain(self.waiting.iter().map(|waiting| &waiting.seen))
    }

    /// Takes an event in; without `room` nothing more begins to wait. Whether the event was taken.
    pub(super) fn add_where_room(&mut self, hit: &Hit, room: bool) -> bool {
        self.protected |= hit.protected;
        self.far |= hit.far;
        self.fallback &= hit.fallback;
        // Nobody waits for itself.
        self.guarded |= (hit.red || hit.hold) && hit.reporter == hit.owner;
        let waits = (hit.red || hit.hold) && hit.reporter != hit.owner;
        let released = self.released.iter().any(|&(reporter, before)| reporter == hit.reporter && hit.seen.last_seq < before);
        if !waits || released {
            self.tell(hit.received, &hit.seen);
            return true;
        }
        // Red always waits; a hold does not keep it from the owner where the system is protected, for it may be compromised.
        let told = hit.protected && !hit.red;
        if told {
            self.tell(hit.received, &hit.seen);
        }
        match self.waiting.iter_mut().find(|waiting| waiting.reporter == hit.reporter && waiting.red == hit.red && waiting.told == told) {
            Some(waiting) => {
                waiting.seen.add(&hit.seen);
                waiting.since = waiting.since.min(hit.received);
            }
            None if room => self.waiting.push(Waiting { reporter: hit.reporter, red: hit.red, told, since: hit.received, seen: hit.seen }),
            None => return told,
        }
        true
    }

    /// Tells the owner what waits of these reporters' events before `seq`. A reporter of whom something came since waits on as a whole: who
    /// released did not see it.
    pub(super) fn release(&mut self, reporters: &[OrgNo], seq: Seq, at: Timestamp) {
        let late = |reporter: &OrgNo| self.waiting.iter().any(|waiting| waiting.reporter == *reporter && waiting.seen.last_seq >= seq);
        let reporters: Vec<OrgNo> = reporters.iter().copied().filter(|reporter| !late(reporter)).collect();
        let (released, waiting): (Vec<Waiting>, Vec<Waiting>) = self.waiting.drain(..).partition(|waiting| reporters.contains(&waiting.reporter));
        self.waiting = waiting;
        for waiting in released.iter().filter(|waiting| !waiting.told) {
            self.tell(at, &waiting.seen);
        }
        for reporter in reporters {
            match self.released.iter_mut().find(|known| known.0 == reporter) {
                Some(known) => known.1 = seq,
                None => self.released.push((reporter, seq)),
            }
        }
    }

    fn tell(&mut self, at: Timestamp, seen: &Seen) {
        if self.notices == 0 || self.protected || at >= self.notify_after {
            self.notices += 1;
            self.suppressed = 0;
            self.notify_after = at.plus(repeats_after(self.category));
        } else {
            self.suppressed = self.suppressed.saturating_add(1);
        }
        match &mut self.told {
            Some(told) => told.add(seen),
            None => {
                self.told = Some(*seen);
                self.since = at;
            }
        }
    }

    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.owner.0);
        out.extend_from_slice(&self.key.to_le_bytes());
        let flags = u8::from(self.protected)
            | u8::from(self.far) << 1
            | u8::from(self.told.is_some()) << 2
            | u8::from(self.fallback) << 3
            | u8::from(self.guarded) << 4;
        out.extend_from_slice(&[self.category.number(), flags]);
        if let Some(told) = &self.told {
            write_seen(told, out);
        }
        put_time(out, self.since);
        put_time(out, self.notify_after);
        put_u32(out, self.notices);
        put_u32(out, self.suppressed);
        put_u32(out, self.waiting.len() as u32);
        for waiting in &self.waiting {
            put_u32(out, waiting.reporter.0);
            out.push(u8::from(waiting.red) | u8::from(waiting.told) << 1);
            put_time(out, waiting.since);
            write_seen(&waiting.seen, out);
        }
        put_u32(out, self.released.len() as u32);
        for (reporter, before) in &self.released {
            put_u32(out, reporter.0);
            put_u64(out, before.0);
        }
    }

    /// Reads what was appended; `None` where it is broken.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let owner = OrgNo(reader.u32()?);
        let key = u128::from_le_bytes(reader.array()?);
        let category = Category::from_number(reader.u8()?)?;
        let flags = reader.u8()?;
        let told = if flags & 4 == 0 { None } else { Some(read_seen(reader)?) };
        let (since, notify_after) = (read_time(reader)?, read_time(reader)?);
        let (notices, suppressed) = (reader.u32()?, reader.u32()?);
        let waiting = (0..reader.u32()?)
            .map(|_| {
                let (reporter, flags) = (OrgNo(reader.u32()?), reader.u8()?);
                Some(Waiting { reporter, red: flags & 1 != 0, told: flags & 2 != 0, since: read_time(reader)?, seen: read_seen(reader)? })
            })
            .collect::<Option<Vec<_>>>()?;
        let released = (0..reader.u32()?).map(|_| Some((OrgNo(reader.u32()?), Seq(reader.u64()?)))).collect::<Option<Vec<_>>>()?;
        let (protected, far, fallback, guarded) = (flags & 1 != 0, flags & 2 != 0, flags & 8 != 0, flags & 16 != 0);
        Some(Self { owner, key, category, protected, far, guarded, fallback, told, since, notify_after, notices, suppressed, waiting, released })
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_u64(out, time.micros() as u64);
}

fn read_time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    reader.u64().map(|micros| Timestamp::from_micros(micros as i64))
}

fn write_seen(seen: &Seen, out: &mut Vec<u8>) {
    for number in [seen.first_seq.0, seen.last_seq.0, seen.events, seen.count] {
        put_u64(out, number);
    }
    put_time(out, seen.first_time);
    put_time(out, seen.last_time);
}

fn read_seen(reader: &mut Reader<'_>) -> Option<Seen> {
    Some(Seen {
        first_seq: Seq(reader.u64()?),
        last_seq: Seq(reader.u64()?),
        events: reader.u64()?,
        count: reader.u64()?,
        first_time: read_time(reader)?,
        last_time: read_time(reader)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn hit(seq: u64, reporter: u32) -> Hit {
        let time = Timestamp::from_seconds(1_700_000_000 + seq as i64);
        Hit {
            owner: OrgNo(1),
            key: 7,
            category: Category::InfectedSystem,
            protected: false,
            far: false,
            fallback: false,
            reporter: OrgNo(reporter),
            red: false,
            hold: false,
            received: time,
            seen: Seen { first_seq: Seq(seq), last_seq: Seq(seq), events: 1, count: 2, first_time: time, last_time: time },
        }
    }

    fn finding(hits: &[Hit]) -> Finding {
        let mut finding = Finding::new(&hits[0]);
        hits.iter().for_each(|hit| {
            finding.add_where_room(hit, true);
        });
        finding
    }

    #[test]
    fn what_waits_shows_neither_in_counts_nor_in_times_until_it_is_released() {
        let open = hit(1, 5);
        let held = Hit { hold: true, ..hit(9, 6) };
        let red = Hit { red: true, ..hit(8, 7) };
        let mut with = finding(&[open, held, red]);
        assert_eq!(with.told, finding(&[open]).told);
        assert_eq!(with.waiting.len(), 2);
        with.release(&[OrgNo(6)], Seq(10), Timestamp::from_seconds(1_700_000_100));
        assert_eq!(with.told.map(|told| (told.events, told.count, told.last_seq)), Some((2, 4, Seq(9))));
        assert_eq!(with.waiting.iter().map(|waiting| waiting.reporter).collect::<Vec<_>>(), [OrgNo(7)]);
        with.add_where_room(&Hit { hold: true, ..hit(11, 6) }, true);
        assert_eq!(with.waiting.len(), 2, "what comes after a release waits again");
    }

    #[test]
    fn a_hold_does_not_hold_what_lies_in_a_protected_network_and_red_does() {
        assert!(finding(&[Hit { hold: true, protected: true, ..hit(1, 5) }]).told.is_some());
        assert!(finding(&[Hit { red: true, protected: true, ..hit(1, 5) }]).told.is_none());
        assert!(finding(&[Hit { red: true, ..hit(1, 1) }]).told.is_some(), "an owner's own report waits for nobody");
    }

    #[test]
    fn a_sender_sees_its_hold_wait_whether_the_value_is_protected_or_not() {
        let held = Hit { hold: true, ..hit(1, 5) };
        let mut protected = finding(&[Hit { protected: true, ..held }]);
        let parts = |finding: &Finding| finding.waiting.iter().map(|part| (part.reporter, part.red, part.since, part.seen)).collect::<Vec<_>>();
        assert_eq!(parts(&protected), parts(&finding(&[held])));
        let told = protected.told;
        protected.release(&[OrgNo(5)], Seq(2), Timestamp::from_seconds(1_700_000_100));
        assert!(protected.waiting.is_empty() && protected.told == told, "it is not told twice");
    }

    #[test]
    fn what_came_after_the_releasing_look_keeps_its_reporter_waiting() {
        let mut red_since = finding(&[Hit { hold: true, ..hit(1, 5) }, Hit { red: true, ..hit(4, 5) }]);
        red_since.release(&[OrgNo(5)], Seq(2), Timestamp::from_seconds(1_700_000_100));
        assert!(red_since.told.is_none() && red_since.waiting.len() == 2);
    }

    #[test]
    fn repeats_are_counted_and_told_again_after_their_time() {
        let day = 86_400;
        let repeated = finding(&[hit(0, 5), hit(day, 5), hit(2 * day, 5)]);
        assert_eq!((repeated.notices, repeated.suppressed), (1, 2));
        let later = finding(&[hit(0, 5), hit(day, 5), hit(8 * day, 5)]);
        assert_eq!((later.notices, later.suppressed), (2, 0));
        let exposed = |seq| Hit { category: Category::VulnerableSystem, ..hit(seq, 5) };
        let exposed = finding(&[exposed(0), exposed(8 * day)]);
        assert_eq!((exposed.notices, exposed.suppressed), (1, 1));
    }

    #[test]
    fn bytes_give_the_same_finding_back_and_broken_ones_none() {
        let mut one = finding(&[hit(1, 5), Hit { red: true, far: true, protected: true, ..hit(2, 6) }]);
        one.release(&[OrgNo(9)], Seq(3), Timestamp::from_seconds(1_700_000_100));
        let mut bytes = Vec::new();
        one.write(&mut bytes);
        assert_eq!(Finding::read(&mut Reader::new(&bytes)), Some(one));
        for end in 0..bytes.len() {
            assert_eq!(Finding::read(&mut Reader::new(&bytes[..end])), None, "{end}");
        }
    }
}
