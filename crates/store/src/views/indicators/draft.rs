//! A block being filled: each body's fields go to the ends of the columns at once, and the columns are used again for the next block.
//!
//! Flow: [`Draft::push`] for each body → [`Draft::finish`]: the columns in one piece, compressed where that is shorter, under their length and checksum.
//! Invariant: what is written is within the bounds that reading asks for; a version whose texts are too long for that does not [`fits`].
//! Not here: the shape, and reading ([`super::block`]).

use super::block::{BODIES, COLUMNS, HEAD, MICROS, has};
use super::{Indicator, MAX_THREATS};
use crate::codec::{put_difference, put_u32, put_varint};
use crate::ledger::compress;
use crate::packing::pack;
use model::{Text, Timestamp};

/// Bytes of the texts of one body at the most: more is not written. Values have at most 8,192.
const MAX_BODY: usize = 256 * 1024;
/// From here on a block is closed.
const FULL: usize = 256 * 1024;
/// Below this many bytes compression does not pay.
const MIN_COMPRESSED: usize = 96;
/// Bytes of one body's numbers at the most, all columns together.
const NUMBERS: usize = 128;

/// Whether a version can be written at all.
pub(super) fn fits(indicator: &Indicator) -> bool {
    let lists = [&indicator.sectors, &indicator.techniques, &indicator.cves];
    let listed: usize = lists.into_iter().flatten().map(|text| text.len() + 1).sum();
    let is_short = indicator.value.len() + indicator.malware.as_ref().map_or(0, Text::len) + listed <= MAX_BODY;
    is_short && indicator.techniques.len() <= MAX_THREATS && indicator.cves.len() <= MAX_THREATS && usize::from(indicator.threats_before) <= 2 * MAX_THREATS
}

/// A block being filled. Its columns are used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Draft {
    count: usize,
    /// Bytes that it has, at the most.
    weight: usize,
    /// Date of the body before.
    before: i64,
    columns: [Vec<u8>; COLUMNS],
    packed: Vec<u8>,
    known_malware: Vec<Text>,
    known_sectors: Vec<Vec<Text>>,
    known_threats: Vec<[Vec<Text>; 2]>,
    raw: Vec<u8>,
}

impl Draft {
    /// Bodies in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether another body belongs into the next block.
    pub(super) fn is_full(&self) -> bool {
        self.count == BODIES || self.weight >= FULL
    }

    /// Takes a body that lies at `place`. Its date is later than that of the one before, and the version before lies before.
    pub(super) fn push(&mut self, indicator: &Indicator, previous: Option<u64>, place: u64) {
        let Self { count, weight, before, columns, packed, known_malware, known_sectors, known_threats, .. } = self;
        let [
            added,
            back,
            kinds,
            categories,
            markings,
            bits,
            reporters,
            confidence,
            created,
            first,
            first_micros,
            last,
            last_micros,
            valid,
            valid_micros,
            malware,
            sectors,
            lengths,
            texts,
            names,
            lists,
            threats,
            threats_before,
            ids,
        ] = columns;
        let date = indicator.added.micros();
        if *count == 0 {
            put_difference(added, date, 0);
        } else {
            put_varint(added, date.wrapping_sub(*before) as u64);
        }
        *before = date;
        put_varint(back, previous.map_or(0, |previous| place.saturating_sub(previous)));
        kinds.push(indicator.kind.number());
        categories.push(indicator.category.number());
        markings.push(indicator.pap.number() | indicator.tlp.number() << 4);
        let is_packed = pack(indicator.kind, &indicator.value, packed);
        if !is_packed {
            put_varint(lengths, indicator.value.len() as u64);
            texts.extend_from_slice(indicator.value.as_bytes());
        }
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bits.push(
            bit(indicator.revoked, has::REVOKED)
                | bit(indicator.confidence.is_some(), has::CONFIDENCE)
                | bit(indicator.valid_until.is_some(), has::VALID_UNTIL)
                | bit(is_packed, has::PACKED)
                | bit(indicator.threats_before > 0, has::THREATS_BEFORE),
        );
        put_varint(reporters, u64::from(indicator.reporters));
        confidence.extend(indicator.confidence);
        put_difference(created, indicator.created.micros(), date);
        let (first_second, first_rest) = split(indicator.first_seen);
        put_difference(first, first_second, indicator.added.seconds());
        put_varint(first_micros, first_rest as u64);
        let (last_second, last_rest) = split(indicator.last_seen);
        put_difference(last, last_second, first_second);
        put_difference(last_micros, last_rest, first_rest);
        if let Some(valid_until) = indicator.valid_until {
            let (second, rest) = split(valid_until);
            put_difference(valid, second, last_second);
            put_varint(valid_micros, rest as u64);
        }
        *weight += NUMBERS + indicator.value.len();
        let number = indicator.malware.as_ref().map_or(0, |name| {
            // Most are of the malware of one shortly before.
            number_of(known_malware, |known| known == name).unwrap_or_else(|| {
                put_short(names, name);
                *weight += name.len() + 2;
                known_malware.push(name.clone());
                known_malware.len()
            })
        });
        put_varint(malware, number as u64);
        let number = if indicator.sectors.is_empty() {
            0
        } else {
            number_of(known_sectors, |known| *known == indicator.sectors).unwrap_or_else(|| {
                put_varint(lists, indicator.sectors.len() as u64);
                for sector in &indicator.sectors {
                    put_short(lists, sector);
                    *weight += sector.len() + 4;
                }
                known_sectors.push(indicator.sectors.clone());
                known_sectors.len()
            })
        };
        put_varint(sectors, number as u64);
        let both = [&indicator.techniques, &indicator.cves];
        let number = if both.iter().all(|list| list.is_empty()) {
            0
        } else {
            number_of(known_threats, |known| known.iter().eq(both)).unwrap_or_else(|| {
                for list in both {
                    put_varint(ids, list.len() as u64);
                    for id in list {
                        put_short(ids, id);
                        *weight += id.len() + 4;
                    }
                }
                known_threats.push(both.map(Vec::clone));
                known_threats.len()
            })
        };
        put_varint(threats, number as u64);
        if indicator.threats_before > 0 {
            threats_before.push(indicator.threats_before);
        }
        *count += 1;
    }

    /// Appends the block and begins the next one. Gives its length and the CRC-32 of its content.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> (u32, u32) {
        let start = out.len();
        self.raw.clear();
        for column in &mut self.columns {
            put_varint(&mut self.raw, column.len() as u64);
            self.raw.extend_from_slice(column);
            column.clear();
        }
        let short = if self.raw.len() < MIN_COMPRESSED { None } else { compress(&self.raw).filter(|short| short.len() < self.raw.len()) };
        out.extend_from_slice(&[0; HEAD]);
        out.extend_from_slice(&[self.count as u8, u8::from(short.is_some())]);
        put_u32(out, self.raw.len() as u32);
        put_u32(out, self.packed.len() as u32);
        out.extend_from_slice(&self.packed);
        out.extend_from_slice(short.as_deref().unwrap_or(&self.raw));
        (self.count, self.weight, self.before) = (0, 0, 0);
        self.packed.clear();
        self.known_malware.clear();
        self.known_sectors.clear();
        self.known_threats.clear();
        seal(out, start)
    }
}

/// Fills in length and checksum of the block that begins at `start`; gives the length of the block and its checksum.
fn seal(out: &mut [u8], start: usize) -> (u32, u32) {
    let Some((head, content)) = out.get_mut(start..).and_then(|block| block.split_first_chunk_mut::<HEAD>()) else { return (0, 0) };
    let (length, crc) = (content.len() as u32, crc32fast::hash(content));
    head.copy_from_slice(&[length.to_le_bytes(), crc.to_le_bytes()].concat());
    (length + HEAD as u32, crc)
}

/// The number, from 1 on, of the last thing that is the same.
fn number_of<T>(known: &[T], is_same: impl Fn(&T) -> bool) -> Option<usize> {
    known.iter().rposition(is_same).map(|at| at + 1)
}

/// Whole seconds of a time and the microseconds after them.
fn split(time: Timestamp) -> (i64, i64) {
    (time.seconds(), time.micros() - time.seconds() * MICROS)
}

fn put_short(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
