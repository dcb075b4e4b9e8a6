//! Encoding: a batch of events as columns behind a filter of their values' keys, with the vault page beside.
//!
//! Flow: `intake` (large batches) or the ledger's writer (small ones) calls [`encode`] → `frame`.
//! Invariant: attackers' values go into the body, all others and every free text into the page. What a row does not have is 0, and what it
//! has is one more where 0 could be meant.
//! Not here: the shape of a column (`container`, `ints`), of a value (`pack`).

use super::page::{Texts, Values, push_ints, write_page};
use super::{JOIN, OPEN_IDS, RARE_IDS, children, id, words};
use crate::ledger::container;
use crate::ledger::zone::Zone;
use crate::views::KeyFilter;
use hashbrown::HashMap;
use model::{Event, Role, Text, Timestamp};
use std::borrow::Cow;

/// A block's content, ready to be framed.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Number of events.
    pub events: u32,
    /// What the block holds, for skipping.
    pub zone: Zone,
    /// Columns.
    pub body: Vec<u8>,
    /// Erasable values.
    pub vault: Vec<u8>,
}

/// Encodes events as columns behind a filter of their values' keys. At most 65,535 events.
pub fn encode<'e>(events: impl Iterator<Item = &'e Event> + Clone, keys: &[u128]) -> Encoded {
    let mut filter = KeyFilter::with_capacity(keys.len());
    keys.iter().for_each(|&key| filter.insert(key));
    let filter = filter.to_bytes();
    let mut encoded = encode_columns(&events.collect::<Vec<_>>());
    let mut body = Vec::with_capacity(4 + filter.len() + encoded.body.len());
    body.extend_from_slice(&(filter.len() as u32).to_le_bytes());
    body.extend_from_slice(&filter);
    body.extend_from_slice(&encoded.body);
    encoded.body = body;
    encoded
}

fn encode_columns(events: &[&Event]) -> Encoded {
    let mut zone = Zone::default();
    let mut dictionary = Dictionary::default();
    let (mut open, mut sealed) = (Values::default(), Values::default());
    let rows = events.len();
    let column = || Vec::<u64>::with_capacity(rows);
    let (mut time, mut category, mut small, mut severity, mut confidence) = (column(), column(), column(), column(), column());
    let (mut port, mut count, mut sector, mut malware, mut values_of) = (column(), column(), column(), column(), column());
    let (mut child_kind, mut child_words) = (column(), column());
    let (mut ids, mut notes, mut extras, mut originals, mut far_sides, mut targets) =
        (Texts::default(), Texts::default(), Texts::default(), Texts::default(), Texts::default(), Texts::default());
    let mut rare: [Vec<u64>; 10] = Default::default();
    let any_details = events.iter().any(|event| event.details.is_some());

    for &event in events {
        zone.add(event);
        time.push(event.time.micros().wrapping_sub(Timestamp::MIN.micros()) as u64);
        category.push(u64::from(event.category.number()));
        small.push(words::pack(event));
        severity.push(event.severity.map_or(0, |severity| u64::from(severity.number()) + 1));
        confidence.push(event.confidence.map_or(0, |confidence| u64::from(confidence) + 1));
        port.push(event.port.map_or(0, |port| u64::from(port) + 1));
        count.push(u64::from(event.count));
        sector.push(dictionary.optional(event.sector.as_ref()));
        malware.push(dictionary.optional(event.malware.as_ref()));
        values_of.push(event.observables.len() as u64);
        for observable in &event.observables {
            let values = if observable.role == Role::Attacker { &mut open } else { &mut sealed };
            let as_text = values.push(observable);
            child_kind.push(u64::from(observable.kind.number()));
            child_words.push(children::pack_words(observable, as_text));
        }
        ids.push(event.id.as_deref());
        if any_details {
            let details = event.details.as_deref();
            notes.push(details.and_then(|details| details.note.as_deref()));
            extras.push(details.and_then(|details| details.extra.as_deref()));
            originals.push(details.and_then(|details| details.original.as_deref()));
            far_sides.push(details.and_then(|details| details.dst_ip.as_deref()));
            targets.push(details.and_then(|details| details.target.as_ref()).and_then(|target| target.ip.as_deref()));
            let numbers = match details {
                None => [0; 10],
                Some(details) => {
                    let target = details.target.as_ref();
                    [
                        details.last_time.map_or(0, |time| time.micros().wrapping_sub(Timestamp::MIN.micros()) as u64 + 1),
                        details.valid_until.map_or(0, |time| time.micros().wrapping_sub(Timestamp::MIN.micros()) as u64 + 1),
                        dictionary.joined(&details.audience),
                        dictionary.joined(&details.technique),
                        dictionary.joined(&details.cve),
                        details.dst_port.map_or(0, |port| u64::from(port) + 1),
                        dictionary.optional(details.protocol.as_ref()),
                        target.and_then(|target| target.asn).map_or(0, |asn| u64::from(asn) + 1),
                        target.and_then(|target| target.sector.as_ref()).map_or(0, |sector| dictionary.number(Cow::Borrowed(sector.as_str()))),
                        details.source_asn.map_or(0, |asn| u64::from(asn) + 1),
                    ]
                }
            };
            for (list, number) in rare.iter_mut().zip(numbers) {
                list.push(number);
            }
        }
    }

    let mut scratch = Vec::with_capacity(rows * 8 + 9);
    let mut body = Vec::with_capacity(rows * 32);
    let unit = time_unit(&time);
    for value in &mut time {
        *value /= unit;
    }
    push_ints(&mut body, id::TIME, &time, &mut scratch);
    container::push(&mut body, id::TIME_UNIT, &unit.to_le_bytes(), false);
    for (column_id, values) in [
        (id::CATEGORY, &category),
        (id::WORDS, &small),
        (id::SEVERITY, &severity),
        (id::CONFIDENCE, &confidence),
        (id::PORT, &port),
        (id::COUNT, &count),
        (id::SECTOR, &sector),
        (id::MALWARE, &malware),
        (id::CHILDREN, &values_of),
        (id::CHILD_KIND, &child_kind),
        (id::CHILD_WORDS, &child_words),
    ] {
        push_ints(&mut body, column_id, values, &mut scratch);
    }
    container::push(&mut body, id::DICTIONARY, &dictionary.bytes, true);
    open.write(&mut body, OPEN_IDS, &mut scratch);
    if any_details {
        for (column_id, values) in RARE_IDS.into_iter().zip(&rare) {
            push_ints(&mut body, column_id, values, &mut scratch);
        }
        let has_target: Vec<u64> = events.iter().map(|event| u64::from(event.details.as_deref().is_some_and(|details| details.target.is_some()))).collect();
        push_ints(&mut body, id::HAS_TARGET, &has_target, &mut scratch);
    }

    let vault = write_page(&sealed, &[ids, notes, extras, originals, far_sides, targets], &mut scratch);
    Encoded { events: rows as u32, zone, body, vault }
}

/// The largest unit that every time is a multiple of: senders give seconds or milliseconds, seldom microseconds.
fn time_unit(times: &[u64]) -> u64 {
    for unit in [1_000_000, 1_000] {
        if times.iter().all(|time| time % unit == 0) {
            return unit;
        }
    }
    1
}

/// Texts that rows refer to by number.
#[derive(Default)]
struct Dictionary<'e> {
    numbers: HashMap<Cow<'e, str>, u64>,
    bytes: Vec<u8>,
}

impl<'e> Dictionary<'e> {
    /// The number of a text; 0 stands for none.
    fn number(&mut self, text: Cow<'e, str>) -> u64 {
        if let Some(&number) = self.numbers.get(&text) {
            return number;
        }
        let number = self.numbers.len() as u64 + 1;
        self.bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.numbers.insert(text, number);
        number
    }

    fn optional(&mut self, text: Option<&'e Text>) -> u64 {
        text.map_or(0, |text| self.number(Cow::Borrowed(text.as_str())))
    }

    fn joined(&mut self, list: &'e [Text]) -> u64 {
        match list {
            [] => 0,
            [one] => self.number(Cow::Borrowed(one.as_str())),
            many => self.number(Cow::Owned(many.iter().map(Text::as_str).collect::<Vec<_>>().join(JOIN))),
        }
    }
}
