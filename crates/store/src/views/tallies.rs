//! Counters per civil day in the realm's zone: the ground of the weekly index and of totals.

use crate::codec::{Reader, put_u32, put_u64};
use hashbrown::HashMap;
use model::{Category, ObservableType, OrgNo, Severity, Tlp};

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TallyKey {
    /// Civil day of the event's own time, days since 1970-01-01.
    pub day: i32,
    /// Category.
    pub category: Category,
    /// Number of the sector; 0 is none.
    pub sector: u32,
    /// Type of the first value.
    pub kind: ObservableType,
    /// Severity.
    pub severity: Option<Severity>,
    /// Marking.
    pub tlp: Tlp,
    /// Who reported.
    pub reporter: OrgNo,
}

/// Events and the sum of their counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Sum of counts.
    pub count: u64,
}

/// The counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallies {
    counters: HashMap<TallyKey, Tally>,
}

impl Tallies {
    /// Adds to a counter.
    pub fn add(&mut self, key: TallyKey, events: u64, count: u64) {
        let tally = self.counters.entry(key).or_default();
        tally.events += events;
        tally.count += count;
    }

    /// Takes an event out of a counter, after a withdrawal.
    pub fn subtract(&mut self, key: TallyKey, count: u64) {
        if let Some(tally) = self.counters.get_mut(&key) {
            tally.events = tally.events.saturating_sub(1);
            tally.count = tally.count.saturating_sub(count);
            if tally.events == 0 {
                self.counters.remove(&key);
            }
        }
    }

    /// Every counter.
    pub fn iter(&self) -> impl Iterator<Item = (&TallyKey, &Tally)> {
        self.counters.iter()
    }

    /// Appends every counter to a checkpoint.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64(out, self.counters.len() as u64);
        for (key, tally) in &self.counters {
            put_u32(out, key.day as u32);
            put_u32(out, key.sector);
            put_u32(out, key.reporter.0);
            out.extend_from_slice(&[key.category.number(), key.kind.number(), key.severity.map_or(255, Severity::number), key.tlp.number()]);
            put_u64(out, tally.events);
            put_u64(out, tally.count);
        }
    }

    /// Reads what [`Tallies::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut tallies = Self::default();
        for _ in 0..reader.u64()? {
            let (day, sector, reporter) = (reader.u32()? as i32, reader.u32()?, OrgNo(reader.u32()?));
            let key = TallyKey {
                day,
                sector,
                reporter,
                category: Category::from_number(reader.u8()?)?,
                kind: ObservableType::from_number(reader.u8()?)?,
                severity: Severity::from_number(reader.u8()?),
                tlp: Tlp::from_number(reader.u8()?)?,
            };
            tallies.counters.insert(key, Tally { events: reader.u64()?, count: reader.u64()? });
        }
        Some(tallies)
    }
}
