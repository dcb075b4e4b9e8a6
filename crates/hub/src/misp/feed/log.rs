//! The log of indicators as parts of the feed, each of which is one event.
//!
//! Invariant: a value stays in the part in which its first version came, whatever becomes of it.

use crate::misp::civil_day;
use hashbrown::{HashMap, HashSet};
use model::Timestamp;
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

/// Attributes of one event at the most; a day that has more has further events.
pub(super) const MAX_PART: usize = 10_000;

/// Some indicators whose first versions were added on one day, in the order in which they were.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) uuid: Uuid,
    pub(super) collection: Collection,
    pub(super) day: i32,
    pub(super) number: usize,
    /// When the first and the last of its values came.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: usize,
    /// When any of them changed last.
    pub(super) changed: Timestamp,
    /// Values that have a later version than the one they came with.
    pub(super) updated: HashSet<u128>,
}

/// How far the log is followed.
#[derive(Debug, Default)]
pub(super) struct Log {
    positions: [Option<Timestamp>; 3],
    /// In order of their coming, those of all collections.
    pub(super) parts: Vec<Part>,
    by_day: HashMap<(Collection, i32), Vec<usize>>,
    pub(super) by_uuid: HashMap<Uuid, usize>,
}

impl Log {
    pub(super) fn position(&self, collection: Collection) -> Option<Timestamp> {
        self.positions.get(collection.number() as usize).copied().flatten()
    }

    pub(super) fn take(&mut self, version: &Indicator, day: i32, uuid: impl Fn(&str) -> Uuid) {
        if let Some(position) = self.positions.get_mut(version.collection.number() as usize) {
            *position = Some(version.added);
        }
        let of_day = self.by_day.entry((version.collection, day)).or_default();
        if version.added == version.created {
            let open = of_day.last().and_then(|place| self.parts.get_mut(*place)).filter(|part| part.count < MAX_PART);
            if let Some(part) = open {
                part.count += 1;
                part.last = version.added;
                part.changed = version.added;
                return;
            }
            let number = of_day.len();
            let uuid = uuid(&name_of(version.collection, day, number));
            of_day.push(self.parts.len());
            self.by_uuid.insert(uuid, self.parts.len());
            self.parts.push(Part {
                uuid,
                collection: version.collection,
                day,
                number,
                first: version.added,
                last: version.added,
                count: 1,
                changed: version.added,
                updated: HashSet::new(),
            });
            return;
        }
        let held = of_day.iter().copied().find(|place| self.parts.get(*place).is_some_and(|part| (part.first..=part.last).contains(&version.created)));
        if let Some(part) = held.and_then(|place| self.parts.get_mut(place)) {
            part.changed = part.changed.max(version.added);
            part.updated.insert(version.key);
        }
    }
}

/// What an event's id is made of. The first of a day is the day's.
fn name_of(collection: Collection, day: i32, number: usize) -> String {
    let date = civil_day(i64::from(day));
    if number == 0 { format!("{}/{date}", collection.title()) } else { format!("{}/{date}/{number}", collection.title()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::test_support::indicator;

    fn version(collection: Collection, key: u128, created: i64, added: i64) -> Indicator {
        let at = Timestamp::from_seconds;
        Indicator { collection, key, created: at(created), first_seen: at(created), ..indicator(at(added)) }
    }

    fn uuid(name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::nil(), name.as_bytes())
    }

    #[test]
    fn a_value_stays_in_the_event_of_the_day_on_which_it_came() {
        let mut log = Log::default();
        for (key, created, added) in [(1, 10, 10), (2, 20, 20), (3, 86_400, 86_400), (1, 10, 90_000)] {
            let version = version(Collection::Green, key, created, added);
            log.take(&version, i32::try_from(created / 86_400).unwrap(), uuid);
        }
        assert_eq!((log.parts.len(), log.position(Collection::Green)), (2, Some(Timestamp::from_seconds(90_000))));
        let first = &log.parts[0];
        assert_eq!((first.count, first.changed, first.updated.contains(&1)), (2, Timestamp::from_seconds(90_000), true));
        assert_eq!((log.parts[1].count, log.parts[1].changed), (1, Timestamp::from_seconds(86_400)));
        assert!(log.by_uuid.contains_key(&uuid("events-green/1970-01-02")) && log.by_uuid.len() == 2);
    }

    #[test]
    fn a_day_of_many_values_has_further_events_and_collections_have_their_own() {
        let mut log = Log::default();
        for key in 0..=MAX_PART as u128 {
            let added = i64::try_from(key).unwrap();
            log.take(&version(Collection::Clear, key, added, added), 0, uuid);
        }
        log.take(&version(Collection::Amber, 0, 0, 0), 0, uuid);
        let counts: Vec<usize> = log.parts.iter().map(|part| part.count).collect();
        assert_eq!(counts, [MAX_PART, 1, 1]);
        assert_eq!(log.parts[1].uuid, uuid("events-clear/1970-01-01/1"));
        log.take(&version(Collection::Clear, 5, 5, 20_000), 0, uuid);
        assert!(log.parts[0].updated.contains(&5) && log.parts[1].updated.is_empty());
    }
}
