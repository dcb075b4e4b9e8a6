//! What the views need to know of a batch, computed beside the parsing so that applying stays short.
//!
//! Invariant: a pure function of the events, the reporter and the realm's keys; the same at intake and at replay.

use super::key::Keys;
use super::row;
use super::strings::Class;
use super::tallies::TallyKey;
use crate::ledger::columns::{Tombstone, Tombstones};
use hashbrown::HashMap;
use model::{Event, ObservableType, OrgNo, Origin, Text, Timestamp};

/// Civil days in the realm's zone.
pub trait Days {
    /// Civil day of a moment, days since 1970-01-01.
    fn day(&mut self, time: Timestamp) -> i32;
}

/// One value of one event, as the observables view takes it in.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Row of the event in the batch.
    pub event: u32,
    /// Number of the class in [`Prepared::classes`]; [`NO_CLASS`] for an erased value, which only merging still knows.
    pub class: u32,
    /// Second from which it no longer counts as active.
    pub expires: i64,
    /// Key of the value.
    pub key: u128,
}

/// Class of a reference that has none.
pub const NO_CLASS: u32 = u32::MAX;

/// A batch of one sender, ready to be written and applied.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The events.
    pub events: Vec<Event>,
    /// Their values, in order of the events.
    pub references: Vec<Reference>,
    /// Classes of the values; their texts are numbers of [`Prepared::strings`].
    pub classes: Vec<Class>,
    /// Texts; the first has number 1.
    pub strings: Vec<Text>,
    /// Counter of each event, a number of [`Prepared::tally_keys`].
    pub tallies: Vec<u32>,
    /// Counters; their sectors are numbers of [`Prepared::strings`].
    pub tally_keys: Vec<TallyKey>,
    /// Key of each event's own id; zero for none. Empty where no event has one.
    pub ids: Vec<u128>,
}

#[derive(Default)]
struct Local<'e> {
    numbers: HashMap<&'e str, u32>,
    list: Vec<Text>,
}

impl<'e> Local<'e> {
    fn number(&mut self, text: Option<&'e str>) -> u32 {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return 0 };
        let Self { numbers, list } = self;
        *numbers.entry(text).or_insert_with(|| {
            list.push(Text::from(text));
            list.len() as u32
        })
    }
}

/// Between the entries of a joined audience.
pub const JOIN: char = '\u{1f}';

/// Techniques, and vulnerabilities, of one event that its class keeps.
const MAX_THREATS: usize = 8;

/// Techniques and vulnerabilities of an event, joined: sorted, so that the same ones are one text however they were sent.
fn threats(event: &Event) -> Option<String> {
    let details = event.details.as_ref().filter(|details| !details.technique.is_empty() || !details.cve.is_empty())?;
    let mut all: Vec<&str> = details.technique.iter().take(MAX_THREATS).chain(details.cve.iter().take(MAX_THREATS)).map(Text::as_str).collect();
    all.sort_unstable();
    all.dedup();
    Some(all.join(&*JOIN.to_string()))
}

/// Prepares a batch of one sender.
pub fn prepare(events: Vec<Event>, reporter: OrgNo, keys: &Keys, days: &mut dyn Days) -> Prepared {
    prepare_remains(events, &Tombstones::default(), reporter, keys, days)
}

/// Prepares a batch read back from the ledger, of which erasures left `tombstones`: it counts and merges as it did when it was whole.
pub fn prepare_remains(events: Vec<Event>, tombstones: &Tombstones, reporter: OrgNo, keys: &Keys, days: &mut dyn Days) -> Prepared {
    let prepared = summarise(&events, tombstones, reporter, keys, days);
    Prepared { events, ..prepared }
}

fn summarise(events: &[Event], tombstones: &Tombstones, reporter: OrgNo, keys: &Keys, days: &mut dyn Days) -> Prepared {
    // Audiences of several ids are joined first, so that the local table can borrow them.
    let joined: Vec<Option<String>> = if events.iter().any(|event| event.audience().len() > 1) {
        events.iter().map(|event| (event.audience().len() > 1).then(|| event.audience().join(&*JOIN.to_string()))).collect()
    } else {
        Vec::new()
    };
    let threats: Vec<Option<String>> = if events.iter().any(|event| event.details.is_some()) { events.iter().map(threats).collect() } else { Vec::new() };
    let mut strings = Local::default();
    let mut class_numbers: HashMap<Class, u32> = HashMap::new();
    let mut classes = Vec::new();
    let mut tally_numbers: HashMap<TallyKey, u32> = HashMap::new();
    let mut tally_keys = Vec::new();
    let mut references = Vec::with_capacity(events.len() + events.len() / 8);
    let mut tallies = Vec::with_capacity(events.len());
    let mut ids = Vec::new();
    if !tombstones.ids.is_empty() || events.iter().any(|event| event.id.is_some()) {
        ids = events.iter().map(|event| event.id.as_ref().map_or(0, |id| keys.sender_id(reporter, id))).collect();
        for &(row, key) in &tombstones.ids {
            if let Some(id) = ids.get_mut(row as usize) {
                *id = key;
            }
        }
    }
    for (row, event) in events.iter().enumerate() {
        let sector = strings.number(event.sector.as_deref());
        let malware = strings.number(event.malware.as_deref());
        let audience = match event.audience() {
            [] => 0,
            [one] => strings.number(Some(one)),
            _ => strings.number(joined.get(row).and_then(|text| text.as_deref())),
        };
        let threats = strings.number(threats.get(row).and_then(|text| text.as_deref()));
        let valid_until = event.details.as_ref().and_then(|details| details.valid_until);
        let gone = tombstones.of(row as u32);
        let values = event.observables.len() + gone.len();
        let mut left = event.observables.iter();
        for position in 0..values {
            if let Some(tombstone) = gone.iter().find(|tombstone| tombstone.position as usize == position) {
                if tombstone.key != 0 {
                    references.push(Reference { event: row as u32, class: NO_CLASS, expires: 0, key: tombstone.key });
                }
                continue;
            }
            let Some(observable) = left.next() else { break };
            let class = Class {
                reporter,
                kind: observable.kind,
                role: observable.role,
                category: event.category,
                tlp: event.tlp,
                pap: event.pap,
                named: event.named,
                relayed: event.origin == Origin::Relayed,
                honeypot: event.origin == Origin::Honeypot,
                detect: observable.detect,
                reserved: observable.reserved,
                related: values > 1,
                withdrawn: false,
                audience,
                sector,
                malware,
                threats,
            };
            let class = *class_numbers.entry(class).or_insert_with(|| {
                classes.push(class);
                classes.len() as u32 - 1
            });
            references.push(Reference {
                event: row as u32,
                class,
                expires: row::expires(observable.kind, event.category, event.time, valid_until),
                key: keys.observable(observable.kind, &observable.value),
            });
        }
        let tally = TallyKey {
            day: days.day(event.time),
            category: event.category,
            sector,
            kind: first_kind(event, gone),
            severity: event.severity,
            tlp: event.tlp,
            reporter,
        };
        tallies.push(*tally_numbers.entry(tally).or_insert_with(|| {
            tally_keys.push(tally);
            tally_keys.len() as u32 - 1
        }));
    }
    Prepared { events: Vec::new(), references, classes, strings: strings.list, tallies, tally_keys, ids }
}

/// Type of the event's first value, erased or not.
fn first_kind(event: &Event, gone: &[Tombstone]) -> ObservableType {
    let erased = gone.first().filter(|tombstone| tombstone.position == 0).map(|tombstone| tombstone.kind);
    erased.or_else(|| event.observables.first().map(|observable| observable.kind)).unwrap_or(ObservableType::Filename)
}
