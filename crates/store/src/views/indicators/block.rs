//! A block of the file of bodies: what up to 128 versions say, column by column, so that like lies beside like.
//!
//! Shape: length and CRC-32 of the content, then the content: how many bodies, whether the columns are compressed (0 no, 1 zstd), bytes of the columns as
//! they are when they are not (u32), bytes of the packed values (u32), the packed values, the columns in one piece. Each column is its length (varint) and its
//! bytes. Times are whole seconds as they differ from another time, and the microseconds beside them; names of malware, lists of sectors, and lists of
//! techniques and vulnerabilities are kept once.
//! Invariant: what [`super::draft`] wrote comes back equal. Broken bytes give `None`, never a panic nor much memory; dates of addition rise within a
//! block, and the version before lies before.
//! Not here: whose versions they are (`rows`). A key is not written: it is a function of type and value.

use super::{Collection, Indicator, MAX_THREATS};
use crate::codec::Reader;
use crate::ledger::decompress;
use crate::packing::{unpack, width};
use crate::views::Keys;
use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};
use std::borrow::Cow;

/// Bytes before the content.
pub(super) const HEAD: usize = 8;
/// Bodies of a block at the most.
pub(super) const BODIES: usize = 128;
/// Bytes of a block at the most; longer is damage.
pub(super) const MAX_BLOCK: usize = HEAD + FIXED + MAX_PACKED + MAX_COLUMNS;
/// Bytes of the columns at the most: a block that is nearly full, with the largest body after it.
const MAX_COLUMNS: usize = 1 << 20;
/// Bytes of the packed values at the most.
const MAX_PACKED: usize = BODIES * 64;
/// Bytes of the content before the packed values.
const FIXED: usize = 10;
/// Columns of a block.
pub(super) const COLUMNS: usize = 24;
pub(super) const MICROS: i64 = 1_000_000;

/// Bits that tell what is there.
pub(super) mod has {
    pub(in super::super) const REVOKED: u8 = 1;
    pub(in super::super) const CONFIDENCE: u8 = 2;
    pub(in super::super) const VALID_UNTIL: u8 = 4;
    /// The value is among the packed ones.
    pub(in super::super) const PACKED: u8 = 8;
    /// A version before named techniques or vulnerabilities.
    pub(in super::super) const THREATS_BEFORE: u8 = 16;
}

/// The time of whole seconds and microseconds after them; `None` for what is no time.
fn joined(second: i64, micros: i64) -> Option<Timestamp> {
    if !(0..MICROS).contains(&micros) {
        return None;
    }
    let all = second.checked_mul(MICROS)?.checked_add(micros)?;
    Some(Timestamp::from_micros(all)).filter(|time| time.micros() == all)
}

fn short(reader: &mut Reader<'_>) -> Option<Text> {
    let length = usize::try_from(reader.varint()?).ok()?;
    Text::from_utf8(reader.bytes(length)?).ok()
}

/// As many texts as come first say, which are at most [`MAX_THREATS`].
fn few(reader: &mut Reader<'_>) -> Option<Vec<Text>> {
    let count = usize::try_from(reader.varint()?).ok().filter(|&count| count <= MAX_THREATS)?;
    (0..count).map(|_| short(reader)).collect()
}

/// Bytes of the block at the beginning of `bytes`, by what it says of itself.
pub(super) fn whole_length(bytes: &[u8]) -> Option<usize> {
    let length = HEAD + u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
    (HEAD + FIXED..=MAX_BLOCK).contains(&length).then_some(length)
}

/// What one body says, with the texts in the block.
#[derive(Debug, Clone, Copy)]
struct Body {
    added: Timestamp,
    previous: Option<u64>,
    kind: ObservableType,
    category: Category,
    pap: Pap,
    tlp: Tlp,
    bits: u8,
    reporters: u32,
    confidence: Option<u8>,
    created: Timestamp,
    first_seen: Timestamp,
    last_seen: Timestamp,
    valid_until: Option<Timestamp>,
    /// From 1 on; 0: none.
    malware: usize,
    sectors: usize,
    threats: usize,
    threats_before: u8,
    /// Where the value begins and ends.
    value: (usize, usize),
}

/// A block read.
#[derive(Debug)]
pub(super) struct Block {
    /// Of the whole block.
    pub(super) length: u32,
    /// Of its content.
    pub(super) crc: u32,
    bodies: Vec<Body>,
    values: Vec<u8>,
    malware: Vec<Text>,
    sectors: Vec<Vec<Text>>,
    /// Techniques and vulnerabilities.
    threats: Vec<[Vec<Text>; 2]>,
}

impl Block {
    /// Reads a whole block that lies at the byte `offset` of the file; `None` where it is cut or damaged.
    pub(super) fn open(bytes: &[u8], offset: u64) -> Option<Self> {
        let crc = u32::from_le_bytes(*bytes.get(4..HEAD)?.first_chunk::<4>()?);
        let content = bytes.get(HEAD..).filter(|_| whole_length(bytes) == Some(bytes.len()))?;
        if crc32fast::hash(content) != crc {
            return None;
        }
        let block = Self::read(content, offset)?;
        Some(Self { length: bytes.len() as u32, crc, ..block })
    }

    /// Reads a block's content.
    fn read(content: &[u8], offset: u64) -> Option<Self> {
        let (fixed, rest) = content.split_at_checked(FIXED)?;
        let mut fixed = Reader::new(fixed);
        let (count, form) = (usize::from(fixed.u8()?), fixed.u8()?);
        let (raw_length, packed_length) = (fixed.u32()? as usize, fixed.u32()? as usize);
        if !(1..=BODIES).contains(&count) || raw_length > MAX_COLUMNS || packed_length > MAX_PACKED {
            return None;
        }
        let (packed, kept) = rest.split_at_checked(packed_length)?;
        let raw = match form {
            0 => Cow::Borrowed(kept),
            1 => Cow::Owned(decompress(kept, raw_length)?),
            _ => return None,
        };
        if raw.len() != raw_length {
            return None;
        }
        let mut reader = Reader::new(&raw);
        let mut columns: [Reader<'_>; COLUMNS] = std::array::from_fn(|_| Reader::new(&[]));
        for column in &mut columns {
            let length = usize::try_from(reader.varint()?).ok()?;
            *column = Reader::new(reader.bytes(length)?);
        }
        let [
            mut added,
            mut back,
            mut kinds,
            mut categories,
            mut markings,
            mut bits,
            mut reporters,
            mut confidences,
            mut created,
            mut first,
            mut first_micros,
            mut last,
            mut last_micros,
            mut valid,
            mut valid_micros,
            mut malware_of,
            mut sectors_of,
            mut lengths,
            mut texts,
            mut names,
            mut lists,
            mut threats_of,
            mut threats_before,
            mut ids,
        ] = columns;
        let mut packed = Reader::new(packed);
        let mut malware = Vec::new();
        while !names.is_empty() {
            malware.push(short(&mut names)?);
        }
        let mut sectors = Vec::new();
        while !lists.is_empty() {
            let length = lists.varint()?;
            sectors.push((0..length).map(|_| short(&mut lists)).collect::<Option<Vec<_>>>()?);
        }
        let mut threats = Vec::new();
        while !ids.is_empty() {
            threats.push([few(&mut ids)?, few(&mut ids)?]);
        }
        let mut bodies = Vec::with_capacity(count);
        let mut values = Vec::with_capacity(packed_length + 16 * count);
        let mut before = 0;
        for number in 0..count {
            let date = if number == 0 {
                added.difference(0)?
            } else {
                let step = i64::try_from(added.varint()?).ok().filter(|&step| step > 0)?;
                i64::checked_add(before, step)?
            };
            before = date;
            let own = Timestamp::from_micros(date);
            if own.micros() != date {
                return None;
            }
            let previous = match back.varint()? {
                0 => None,
                back => Some(place(offset, number).checked_sub(back).filter(|&previous| previous > 0)?),
            };
            let kind = ObservableType::from_number(kinds.u8()?)?;
            let category = Category::from_number(categories.u8()?)?;
            let marking = markings.u8()?;
            let (pap, tlp) = (Pap::from_number(marking & 15)?, Tlp::from_number(marking >> 4)?);
            let bits = bits.u8()?;
            let confidence = if bits & has::CONFIDENCE == 0 { None } else { Some(confidences.u8()?) };
            let first_second = first.difference(own.seconds())?;
            let first_rest = i64::try_from(first_micros.varint()?).ok()?;
            let last_second = last.difference(first_second)?;
            let last_rest = last_micros.difference(first_rest)?;
            let valid_until = if bits & has::VALID_UNTIL == 0 {
                None
            } else {
                let second = valid.difference(last_second)?;
                Some(joined(second, i64::try_from(valid_micros.varint()?).ok()?)?)
            };
            let start = values.len();
            if bits & has::PACKED == 0 {
                let length = usize::try_from(lengths.varint()?).ok()?;
                values.extend_from_slice(std::str::from_utf8(texts.bytes(length)?).ok()?.as_bytes());
            } else {
                values.extend_from_slice(packed.bytes(width(kind)?)?);
            }
            let among = |number: u64, known: usize| usize::try_from(number).ok().filter(|&number| number <= known);
            bodies.push(Body {
                added: own,
                previous,
                kind,
                category,
                pap,
                tlp,
                bits,
                reporters: u32::try_from(reporters.varint()?).ok()?,
                confidence,
                created: Timestamp::from_micros(created.difference(date)?),
                first_seen: joined(first_second, first_rest)?,
                last_seen: joined(last_second, last_rest)?,
                valid_until,
                malware: among(malware_of.varint()?, malware.len())?,
                sectors: among(sectors_of.varint()?, sectors.len())?,
                threats: among(threats_of.varint()?, threats.len())?,
                threats_before: if bits & has::THREATS_BEFORE == 0 {
                    0
                } else {
                    threats_before.u8().filter(|count| (1..=2 * MAX_THREATS).contains(&usize::from(*count)))?
                },
                value: (start, values.len()),
            });
        }
        let numbers = [added, back, kinds, categories, markings, bits, reporters, confidences, created, first, first_micros];
        let others = [last, last_micros, valid, valid_micros, malware_of, sectors_of, threats_of, threats_before, lengths, texts, packed, reader];
        let all_read = numbers.iter().chain(&others).all(Reader::is_empty);
        all_read.then_some(Self { length: 0, crc: 0, bodies, values, malware, sectors, threats })
    }

    /// When the body with this number was added.
    pub(super) fn added(&self, number: usize) -> Option<Timestamp> {
        self.bodies.get(number).map(|body| body.added)
    }

    /// Where the version before the body with this number lies; `None` for a value's first.
    pub(super) fn previous(&self, number: usize) -> Option<u64> {
        self.bodies.get(number).and_then(|body| body.previous)
    }

    /// The key of the body with this number.
    pub(super) fn key(&self, number: usize, keys: &Keys) -> Option<u128> {
        let body = self.bodies.get(number)?;
        Some(keys.observable(body.kind, &self.value(body)?))
    }

    /// What the body with this number says, as a version of a collection.
    pub(super) fn indicator(&self, number: usize, collection: Collection, keys: &Keys) -> Option<Indicator> {
        let body = self.bodies.get(number)?;
        let value = self.value(body)?;
        let [techniques, cves] = body.threats.checked_sub(1).and_then(|at| self.threats.get(at)).cloned().unwrap_or_default();
        Some(Indicator {
            collection,
            added: body.added,
            key: keys.observable(body.kind, &value),
            kind: body.kind,
            value,
            created: body.created,
            revoked: body.bits & has::REVOKED != 0,
            category: body.category,
            malware: body.malware.checked_sub(1).and_then(|at| self.malware.get(at)).cloned(),
            pap: body.pap,
            tlp: body.tlp,
            confidence: body.confidence,
            reporters: body.reporters,
            first_seen: body.first_seen,
            last_seen: body.last_seen,
            valid_until: body.valid_until,
            sectors: body.sectors.checked_sub(1).and_then(|at| self.sectors.get(at)).cloned().unwrap_or_default(),
            techniques,
            cves,
            threats_before: body.threats_before,
        })
    }

    fn value(&self, body: &Body) -> Option<Text> {
        let bytes = self.values.get(body.value.0..body.value.1)?;
        if body.bits & has::PACKED == 0 { Text::from_utf8(bytes).ok() } else { unpack(body.kind, bytes) }
    }
}

/// The place of the body with this number in the block at this byte.
pub(super) const fn place(offset: u64, number: usize) -> u64 {
    offset << 7 | number as u64
}

/// The block's byte and the number in it.
pub(super) const fn block_of(place: u64) -> (u64, usize) {
    (place >> 7, (place & (BODIES as u64 - 1)) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::draft::Draft;
    use super::*;
    use proptest::prelude::*;

    const OFFSET: u64 = 900;

    fn keys() -> Keys {
        Keys::new([7; 32])
    }

    fn any_value() -> impl Strategy<Value = (ObservableType, Text)> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|bytes| (ObservableType::Ipv4, unpack(ObservableType::Ipv4, &bytes).unwrap())),
            any::<[u8; 16]>().prop_map(|bytes| (ObservableType::Ipv6, unpack(ObservableType::Ipv6, &bytes).unwrap())),
            any::<[u8; 32]>().prop_map(|bytes| (ObservableType::Sha256, unpack(ObservableType::Sha256, &bytes).unwrap())),
            (0_u8..21, "\\PC{0,60}").prop_map(|(kind, text)| (ObservableType::from_number(kind).unwrap(), Text::from(text))),
        ]
    }

    fn any_indicator() -> impl Strategy<Value = (Indicator, Option<u64>)> {
        let time = || prop_oneof![any::<i64>().prop_map(Timestamp::from_micros), (0_i64..4_000_000_000).prop_map(Timestamp::from_seconds)];
        let text = || prop_oneof![Just(Text::from("Emotet")), "\\PC{0,40}".prop_map(Text::from)];
        let times = (time(), time(), time(), proptest::option::of(time()));
        let words = (0_u8..39, 0_u8..4, 0_u8..5, any::<bool>(), proptest::option::of(any::<u8>()), any::<u32>());
        let texts = (any_value(), proptest::option::of(text()), proptest::collection::vec(text(), 0..4));
        let ids = || proptest::collection::vec(text(), 0..=MAX_THREATS);
        let threats = prop_oneof![2 => Just((Vec::new(), Vec::new(), 0)), 3 => (ids(), ids(), 0..=2 * MAX_THREATS as u8)];
        let previous = proptest::option::of(1..place(OFFSET, 0));
        (times, words, texts, threats, previous).prop_map(|((created, first_seen, last_seen, valid_until), words, texts, threats, previous)| {
            let (((kind, value), malware, sectors), (techniques, cves, threats_before)) = (texts, threats);
            let indicator = Indicator {
                collection: Collection::Green,
                added: Timestamp::MIN,
                key: keys().observable(kind, &value),
                kind,
                value,
                created,
                revoked: words.3,
                category: Category::from_number(words.0).unwrap(),
                malware,
                pap: Pap::from_number(words.1).unwrap(),
                tlp: Tlp::from_number(words.2).unwrap(),
                confidence: words.4,
                reporters: words.5,
                first_seen,
                last_seen,
                valid_until,
                sectors,
                techniques,
                cves,
                threats_before,
            };
            (indicator, previous)
        })
    }

    /// Up to a block of versions, each later than the one before.
    fn any_versions(most: usize) -> impl Strategy<Value = Vec<(Indicator, Option<u64>)>> {
        let steps = (-2_000_000_000_000_000_i64..4_000_000_000_000_000, proptest::collection::vec((any_indicator(), 1_i64..100_000_000), 1..=most));
        steps.prop_map(|(mut date, all)| {
            let dated = all.into_iter().map(|((indicator, previous), step)| {
                date += step;
                (Indicator { added: Timestamp::from_micros(date), ..indicator }, previous)
            });
            dated.collect::<Vec<_>>()
        })
    }

    fn written(draft: &mut Draft, versions: &[(Indicator, Option<u64>)]) -> Vec<u8> {
        for (number, (indicator, previous)) in versions.iter().enumerate() {
            draft.push(indicator, *previous, place(OFFSET, number));
        }
        let mut out = Vec::new();
        let (length, crc) = draft.finish(&mut out);
        assert_eq!((length as usize, crc), (out.len(), crc32fast::hash(&out[HEAD..])));
        assert_eq!(draft.count(), 0);
        out
    }

    fn read(block: &Block, count: usize) -> Vec<(Indicator, Option<u64>)> {
        (0..count).map(|number| (block.indicator(number, Collection::Green, &keys()).unwrap(), block.previous(number))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bodies_come_back_from_a_block_whatever_was_in_the_draft_before(first in any_versions(9), second in any_versions(BODIES)) {
            let mut draft = Draft::default();
            for versions in [first, second] {
                let bytes = written(&mut draft, &versions);
                prop_assert_eq!(whole_length(&bytes), Some(bytes.len()));
                let block = Block::open(&bytes, OFFSET).unwrap();
                prop_assert_eq!(block.length as usize, bytes.len());
                prop_assert_eq!(&read(&block, versions.len()), &versions);
                for (number, (indicator, _)) in versions.iter().enumerate() {
                    prop_assert_eq!((block.added(number), block.key(number, &keys())), (Some(indicator.added), Some(indicator.key)));
                }
                prop_assert_eq!(block.indicator(versions.len(), Collection::Green, &keys()), None);
            }
        }

        #[test]
        fn a_cut_or_changed_block_is_none(versions in any_versions(12), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut bytes = written(&mut Draft::default(), &versions);
            let at = at.index(bytes.len());
            prop_assert!(Block::open(&bytes[..at], OFFSET).is_none());
            bytes[at] ^= 1 << bit;
            prop_assert!(Block::open(&bytes, OFFSET).is_none());
        }

        #[test]
        fn broken_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), offset in any::<u64>()) {
            drop(Block::open(&bytes, offset));
            drop(Block::read(&bytes, offset));
            // As if there were bodies and nothing was compressed.
            let mut shaped = vec![1 + bytes.len() as u8 % 128, 0];
            shaped.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            shaped.extend_from_slice(&[0; 4]);
            shaped.extend_from_slice(&bytes);
            drop(Block::read(&shaped, offset));
        }

        #[test]
        fn changed_columns_do_no_harm(versions in any_versions(4), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let bytes = written(&mut Draft::default(), &versions);
            let mut content = bytes[HEAD..].to_vec();
            for (at, byte) in changes {
                let at = at.index(content.len());
                content[at] = byte;
            }
            // Whatever can still be read can be made into versions.
            if let Some(block) = Block::read(&content, OFFSET) {
                read(&block, block.bodies.len());
            }
        }
    }

    #[test]
    fn zeros_are_no_block_and_lengths_that_lie_ask_for_no_memory() {
        assert!(Block::open(&[0; 64], OFFSET).is_none());
        assert_eq!((whole_length(&[0; 64]), whole_length(&[0xff; 64])), (None, None));
        for form in [0, 1, 2] {
            let content = [[1, form].as_slice(), &[0xff; 4], &[0; 4], &[0; 100]].concat();
            assert!(Block::read(&content, OFFSET).is_none());
        }
    }
}
