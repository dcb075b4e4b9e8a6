//! One entry of a log: a version with its value inline, so that a page is one read.
//!
//! Shape: length and CRC-32 of the content, then the content: date of addition, place of the version before, key, words, times as
//! differences from the date of addition, texts.
//! Invariant: reading broken bytes gives `None`, never a panic; what was written comes back equal.

use super::{Collection, Indicator};
use crate::codec::{Reader, put_difference, put_u64, put_varint};
use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};

/// Bytes before the content.
pub(super) const HEAD: usize = 8;
/// Bytes of the content at the most; longer is damage. Values have at most 8,192.
pub(super) const MAX_CONTENT: usize = 1 << 20;
/// Bytes of the content at the least: its fixed part.
const MIN_CONTENT: usize = 24;

/// Bits that tell what is there.
mod has {
    pub(super) const REVOKED: u8 = 1;
    pub(super) const MALWARE: u8 = 2;
    pub(super) const CONFIDENCE: u8 = 4;
    pub(super) const VALID_UNTIL: u8 = 8;
}

/// A version and where the one before it lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) indicator: Indicator,
    /// Byte in the same log; `None` for the value's first version.
    pub(super) previous: Option<u64>,
}

/// Appends an entry.
pub(super) fn write(indicator: &Indicator, previous: Option<u64>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let added = indicator.added.micros();
    put_u64(out, added as u64);
    out.extend_from_slice(&indicator.key.to_le_bytes());
    put_varint(out, previous.map_or(0, |offset| offset + 1));
    out.extend_from_slice(&[indicator.kind.number(), indicator.category.number(), indicator.pap.number(), indicator.tlp.number()]);
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        bit(indicator.revoked, has::REVOKED)
            | bit(indicator.malware.is_some(), has::MALWARE)
            | bit(indicator.confidence.is_some(), has::CONFIDENCE)
            | bit(indicator.valid_until.is_some(), has::VALID_UNTIL),
    );
    put_varint(out, u64::from(indicator.reporters));
    for time in [indicator.created, indicator.first_seen, indicator.last_seen].into_iter().chain(indicator.valid_until) {
        put_difference(out, time.micros(), added);
    }
    out.extend(indicator.confidence);
    put_short(out, &indicator.value);
    if let Some(malware) = &indicator.malware {
        put_short(out, malware);
    }
    put_varint(out, indicator.sectors.len() as u64);
    indicator.sectors.iter().for_each(|sector| put_short(out, sector));
    seal(out, start);
}

/// Fills in length and checksum of the entry that begins at `start`.
fn seal(out: &mut [u8], start: usize) {
    let Some((head, content)) = out.get_mut(start..).and_then(|entry| entry.split_first_chunk_mut::<HEAD>()) else { return };
    let [length, crc] = [content.len() as u32, crc32fast::hash(content)].map(u32::to_le_bytes);
    head.copy_from_slice(&[length, crc].concat());
}

/// The content of the entry at the beginning of `bytes`; `None` where it is cut or damaged.
pub(super) fn content(bytes: &[u8]) -> Option<&[u8]> {
    let content = bytes.get(HEAD..whole_length(bytes)?)?;
    let crc = bytes.get(4..HEAD)?;
    (crc32fast::hash(content).to_le_bytes() == crc).then_some(content)
}

/// Bytes of the entry at the beginning of `bytes`, by what it says of itself.
pub(super) fn whole_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
    (MIN_CONTENT..=MAX_CONTENT).contains(&length).then_some(HEAD + length)
}

/// The date of addition in an entry's content.
pub(super) fn added(content: &[u8]) -> Option<Timestamp> {
    content.first_chunk::<8>().map(|bytes| Timestamp::from_micros(i64::from_le_bytes(*bytes)))
}

/// The key in an entry's content.
pub(super) fn key(content: &[u8]) -> Option<u128> {
    content.get(8..24)?.try_into().ok().map(u128::from_le_bytes)
}

/// Reads an entry's content.
pub(super) fn read(content: &[u8], collection: Collection) -> Option<Entry> {
    let mut reader = Reader::new(content);
    let added = reader.u64()? as i64;
    let key = reader.array().map(u128::from_le_bytes)?;
    let previous = reader.varint()?.checked_sub(1);
    let kind = ObservableType::from_number(reader.u8()?)?;
    let category = Category::from_number(reader.u8()?)?;
    let pap = Pap::from_number(reader.u8()?)?;
    let tlp = Tlp::from_number(reader.u8()?)?;
    let bits = reader.u8()?;
    let has = |bit: u8| bits & bit != 0;
    let reporters = u32::try_from(reader.varint()?).ok()?;
    let mut time = || reader.difference(added).map(Timestamp::from_micros);
    let (created, first_seen, last_seen) = (time()?, time()?, time()?);
    let valid_until = if has(has::VALID_UNTIL) { Some(time()?) } else { None };
    let confidence = if has(has::CONFIDENCE) { Some(reader.u8()?) } else { None };
    let value = short(&mut reader)?;
    let malware = if has(has::MALWARE) { Some(short(&mut reader)?) } else { None };
    let sectors = (0..reader.varint()?).map(|_| short(&mut reader)).collect::<Option<Vec<_>>>()?;
    let revoked = has(has::REVOKED);
    let added = Timestamp::from_micros(added);
    let indicator = Indicator {
        collection,
        added,
        key,
        kind,
        value,
        created,
        revoked,
        category,
        malware,
        pap,
        tlp,
        confidence,
        reporters,
        first_seen,
        last_seen,
        valid_until,
        sectors,
    };
    reader.is_empty().then_some(Entry { indicator, previous })
}

fn put_short(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn short(reader: &mut Reader<'_>) -> Option<Text> {
    let length = usize::try_from(reader.varint()?).ok()?;
    Text::from_utf8(reader.bytes(length)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_indicator() -> impl Strategy<Value = Indicator> {
        let time = || (-2_000_000_000_000_000_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros);
        let text = || "\\PC{0,40}".prop_map(Text::from);
        let times = (time(), time(), time(), time(), proptest::option::of(time()));
        let words = (0_u8..21, 0_u8..39, 0_u8..4, 0_u8..3, any::<bool>());
        let counts = (any::<u128>(), proptest::option::of(0_u8..=100), any::<u32>());
        let texts = (text(), proptest::option::of(text()), proptest::collection::vec(text(), 0..4));
        (times, words, counts, texts).prop_map(|((added, created, first_seen, last_seen, valid_until), words, (key, confidence, reporters), texts)| Indicator {
            collection: Collection::Green,
            added,
            key,
            kind: ObservableType::from_number(words.0).unwrap(),
            value: texts.0,
            created,
            revoked: words.4,
            category: Category::from_number(words.1).unwrap(),
            malware: texts.1,
            pap: Pap::from_number(words.2).unwrap(),
            tlp: Tlp::from_number(words.3).unwrap(),
            confidence,
            reporters,
            first_seen,
            last_seen,
            valid_until,
            sectors: texts.2,
        })
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_from_its_bytes(indicator in any_indicator(), previous in proptest::option::of(0_u64..1 << 50), behind in any::<[u8; 5]>()) {
            let mut out = Vec::new();
            write(&indicator, previous, &mut out);
            let length = out.len();
            out.extend_from_slice(&behind);
            prop_assert_eq!(whole_length(&out), Some(length));
            let content = content(&out).unwrap();
            prop_assert_eq!((added(content), key(content)), (Some(indicator.added), Some(indicator.key)));
            prop_assert_eq!(read(content, Collection::Green), Some(Entry { indicator, previous }));
        }

        #[test]
        fn a_cut_or_changed_entry_is_none(indicator in any_indicator(), cut in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut out = Vec::new();
            write(&indicator, None, &mut out);
            let at = cut.index(out.len());
            prop_assert_eq!(content(&out[..at]), None);
            out[at] ^= 1 << bit;
            prop_assert_eq!(content(&out), None);
        }

        #[test]
        fn broken_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = content(&bytes).and_then(|content| read(content, Collection::Clear));
            let _ = read(&bytes, Collection::Clear);
        }
    }

    #[test]
    fn zeros_are_no_entry() {
        assert_eq!(content(&[0; 64]), None);
    }
}
