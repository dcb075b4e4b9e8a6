//! Events as columns: the body of a block, and beside it the vault page with victims' values and free text.
//!
//! Flow: [`encode`] when a batch is written; [`Body`] to read one column, a few, or whole events.
//! Invariant: the body holds no victim's value, no far side of a flow and no free text; destroying an entry of the vault page leaves
//! nothing of it in the body. A column in which every row has its default is left out.
//! Not here: who sent the events and where they stand in the ledger (`frame`, `submission`), erasure (`erasing`).

mod erasing;

pub use erasing::{Victim, Without, without};

use super::container::{self, Container};
use super::ints::{self, Ints};
use super::pack::{self, Stream};
use super::zone::Zone;
use crate::views::KeyFilter;
use hashbrown::HashMap;
use model::event::Target;
use model::{Category, Details, Event, Notify, Observable, ObservableType, Origin, Pap, Role, Severity, Text, Timestamp, Tlp};
use smallvec::SmallVec;
use std::borrow::Cow;

mod id {
    pub const TIME: u8 = 1;
    pub const TIME_UNIT: u8 = 2;
    pub const CATEGORY: u8 = 3;
    pub const WORDS: u8 = 4;
    pub const SEVERITY: u8 = 5;
    pub const CONFIDENCE: u8 = 6;
    pub const PORT: u8 = 7;
    pub const COUNT: u8 = 8;
    pub const SECTOR: u8 = 9;
    pub const MALWARE: u8 = 10;
    pub const DICTIONARY: u8 = 11;
    pub const CHILDREN: u8 = 12;
    pub const CHILD_KIND: u8 = 13;
    pub const CHILD_WORDS: u8 = 14;
    pub const FOUR: u8 = 15;
    pub const BINARY: u8 = 16;
    pub const TEXT: u8 = 17;
    pub const TEXT_LENGTH: u8 = 18;
    pub const LAST_TIME: u8 = 19;
    pub const VALID_UNTIL: u8 = 20;
    pub const AUDIENCE: u8 = 21;
    pub const TECHNIQUE: u8 = 22;
    pub const CVE: u8 = 23;
    pub const DST_PORT: u8 = 24;
    pub const PROTOCOL: u8 = 25;
    pub const TARGET_ASN: u8 = 26;
    pub const TARGET_SECTOR: u8 = 27;
    pub const SOURCE_ASN: u8 = 28;
    pub const HAS_TARGET: u8 = 29;
}

mod vault_id {
    pub const FOUR: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const TEXT_LENGTH: u8 = 4;
    /// Erased values: index among the block's values and key, see [`super::Erased`].
    pub const ERASED: u8 = 5;
    /// Erased ids: row and key.
    pub const ERASED_ID: u8 = 6;
    /// Each free text has its bytes here and its lengths at the next number.
    pub const ID: u8 = 10;
    pub const NOTE: u8 = 12;
    pub const EXTRA: u8 = 14;
    pub const ORIGINAL: u8 = 16;
    pub const DST_IP: u8 = 18;
    pub const TARGET_IP: u8 = 20;
}

/// The texts of a row that are in the vault page, in the order of [`encode_columns`] and `erasing`.
const TEXT_IDS: [u8; 6] = [vault_id::ID, vault_id::NOTE, vault_id::EXTRA, vault_id::ORIGINAL, vault_id::DST_IP, vault_id::TARGET_IP];

/// Between the entries of a joined list; cannot occur in them, control characters are refused at the edge.
const JOIN: &str = "\u{1f}";

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

#[derive(Default)]
struct Values {
    four: Vec<u8>,
    binary: Vec<u8>,
    text: Vec<u8>,
    text_lengths: Vec<u64>,
}

impl Values {
    /// Adds a value; true where it had to be kept as text although its type is binary.
    fn push(&mut self, observable: &Observable) -> bool {
        let packed = match pack::stream(observable.kind) {
            Stream::Four => pack::pack(observable.kind, &observable.value, &mut self.four),
            Stream::Binary(_) => pack::pack(observable.kind, &observable.value, &mut self.binary),
            Stream::Text => {
                self.push_text(&observable.value);
                return false;
            }
        };
        if !packed {
            self.push_text(&observable.value);
        }
        !packed
    }

    fn push_text(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
        self.text_lengths.push(text.len() as u64);
    }

    fn write(&self, out: &mut Vec<u8>, ids: [u8; 4], scratch: &mut Vec<u8>) {
        container::push(out, ids[0], &self.four, true);
        container::push(out, ids[1], &self.binary, false);
        container::push(out, ids[2], &self.text, true);
        push_ints(out, ids[3], &self.text_lengths, scratch);
    }
}

#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    lengths: Vec<u64>,
    any: bool,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                self.lengths.push(text.len() as u64 + 1);
                self.any = true;
            }
            None => self.lengths.push(0),
        }
    }

    fn write(&self, out: &mut Vec<u8>, id: u8, scratch: &mut Vec<u8>) {
        if self.any {
            push_ints(out, id + 1, &self.lengths, scratch);
            container::push(out, id, &self.bytes, true);
        }
    }
}

fn push_ints(out: &mut Vec<u8>, id: u8, values: &[u64], scratch: &mut Vec<u8>) {
    if values.iter().all(|&value| value == 0) {
        return;
    }
    scratch.clear();
    ints::write(values, scratch);
    container::push(out, id, scratch, true);
}

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

/// Parts a body into its filter's bytes and its columns; `None` where it is broken.
pub fn split_filter(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_at_checked(4)?;
    rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)
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
    let (mut time, mut category, mut words, mut severity, mut confidence) = (column(), column(), column(), column(), column());
    let (mut port, mut count, mut sector, mut malware, mut children) = (column(), column(), column(), column(), column());
    let (mut child_kind, mut child_words) = (column(), column());
    let (mut ids, mut notes, mut extras, mut originals, mut far_sides, mut targets) =
        (Texts::default(), Texts::default(), Texts::default(), Texts::default(), Texts::default(), Texts::default());
    let mut rare: [Vec<u64>; 10] = Default::default();
    let any_details = events.iter().any(|event| event.details.is_some());

    for &event in events {
        zone.add(event);
        time.push(event.time.micros().wrapping_sub(Timestamp::MIN.micros()) as u64);
        category.push(u64::from(event.category.number()));
        words.push(event_words(event));
        severity.push(event.severity.map_or(0, |severity| u64::from(severity.number()) + 1));
        confidence.push(event.confidence.map_or(0, |confidence| u64::from(confidence) + 1));
        port.push(event.port.map_or(0, |port| u64::from(port) + 1));
        count.push(u64::from(event.count));
        sector.push(dictionary.optional(event.sector.as_ref()));
        malware.push(dictionary.optional(event.malware.as_ref()));
        children.push(event.observables.len() as u64);
        for observable in &event.observables {
            let values = if observable.role == Role::Attacker { &mut open } else { &mut sealed };
            let as_text = values.push(observable);
            child_kind.push(u64::from(observable.kind.number()));
            child_words
                .push(u64::from(observable.role.number()) | u64::from(observable.detect) << 2 | u64::from(observable.reserved) << 3 | u64::from(as_text) << 4);
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
        (id::WORDS, &words),
        (id::SEVERITY, &severity),
        (id::CONFIDENCE, &confidence),
        (id::PORT, &port),
        (id::COUNT, &count),
        (id::SECTOR, &sector),
        (id::MALWARE, &malware),
        (id::CHILDREN, &children),
        (id::CHILD_KIND, &child_kind),
        (id::CHILD_WORDS, &child_words),
    ] {
        push_ints(&mut body, column_id, values, &mut scratch);
    }
    container::push(&mut body, id::DICTIONARY, &dictionary.bytes, true);
    open.write(&mut body, [id::FOUR, id::BINARY, id::TEXT, id::TEXT_LENGTH], &mut scratch);
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

/// A vault page of sealed values and of the texts named by [`TEXT_IDS`].
fn write_page(sealed: &Values, texts: &[Texts; 6], scratch: &mut Vec<u8>) -> Vec<u8> {
    let mut page = Vec::new();
    sealed.write(&mut page, [vault_id::FOUR, vault_id::BINARY, vault_id::TEXT, vault_id::TEXT_LENGTH], scratch);
    for (column_id, texts) in TEXT_IDS.into_iter().zip(texts) {
        texts.write(&mut page, column_id, scratch);
    }
    page
}

const RARE_IDS: [u8; 10] =
    [id::LAST_TIME, id::VALID_UNTIL, id::AUDIENCE, id::TECHNIQUE, id::CVE, id::DST_PORT, id::PROTOCOL, id::TARGET_ASN, id::TARGET_SECTOR, id::SOURCE_ASN];

/// The largest unit that every time is a multiple of: senders give seconds or milliseconds, seldom microseconds.
fn time_unit(times: &[u64]) -> u64 {
    for unit in [1_000_000, 1_000] {
        if times.iter().all(|time| time % unit == 0) {
            return unit;
        }
    }
    1
}

/// The small words of an event in one number: origin 4 bits, TLP 3, PAP 2, then one bit each.
fn event_words(event: &Event) -> u64 {
    u64::from(event.origin.number())
        | u64::from(event.tlp.number()) << 4
        | u64::from(event.pap.number()) << 7
        | u64::from(event.named) << 9
        | u64::from(event.timeless) << 10
        | u64::from(event.notify_owner.number()) << 11
        | u64::from(event.details.is_some()) << 12
}

/// The small words of an event, unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What saw it.
    pub origin: Origin,
    /// Who may receive it.
    pub tlp: Tlp,
    /// What recipients may do.
    pub pap: Pap,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Whether it came without a time of its own.
    pub timeless: bool,
    /// When owners are told.
    pub notify_owner: Notify,
    has_details: bool,
}

impl Words {
    fn unpack(words: u64) -> Option<Self> {
        Some(Self {
            origin: Origin::from_number((words & 15) as u8)?,
            tlp: Tlp::from_number((words >> 4 & 7) as u8)?,
            pap: Pap::from_number((words >> 7 & 3) as u8)?,
            named: words >> 9 & 1 == 1,
            timeless: words >> 10 & 1 == 1,
            notify_owner: Notify::from_number((words >> 11 & 1) as u8)?,
            has_details: words >> 12 & 1 == 1,
        })
    }
}

/// A block's body, opened for reading.
#[derive(Debug)]
pub struct Body<'a> {
    rows: usize,
    container: Container<'a>,
}

impl<'a> Body<'a> {
    /// Opens a body of `rows` events; `None` where it is broken.
    pub fn open(rows: u32, body: &'a [u8]) -> Option<Self> {
        Some(Self { rows: rows as usize, container: Container::open(body)? })
    }

    /// Number of events.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn ints(&self, column_id: u8) -> Option<Ints<'a>> {
        let bytes = self.container.column(column_id)?;
        if bytes.is_empty() { Some(Ints::constant(0)) } else { Ints::read(bytes) }
    }

    /// The columns that a search needs to decide most events without reading the rest.
    pub fn scan(&self) -> Option<Scan<'a>> {
        Some(Scan {
            time: self.times()?,
            category: self.ints(id::CATEGORY)?,
            words: self.ints(id::WORDS)?,
            sector: self.ints(id::SECTOR)?,
            malware: self.ints(id::MALWARE)?,
        })
    }

    fn times(&self) -> Option<Times<'a>> {
        let unit = self.container.column(id::TIME_UNIT)?;
        let unit = unit.as_ref().try_into().map_or(1, u64::from_le_bytes);
        Some(Times { unit, values: self.ints(id::TIME)? })
    }

    /// The texts that sectors, malware names and lists refer to; number 0 is none.
    pub fn dictionary(&self) -> Option<Vec<Text>> {
        let bytes = self.container.column(id::DICTIONARY)?;
        let mut rest = bytes.as_ref();
        let mut texts = vec![Text::default()];
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(4)?;
            let (text, after) = after.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
            texts.push(Text::from_utf8_lossy(text));
            rest = after;
        }
        Some(texts)
    }

    /// Opens every column, with the vault page's, to read whole events.
    pub fn events(&self, vault: &'a [u8]) -> Option<EventReader<'a>> {
        let vault = Container::open(vault)?;
        let children = self.ints(id::CHILDREN)?;
        let child_kind = self.ints(id::CHILD_KIND)?;
        let child_words = self.ints(id::CHILD_WORDS)?;
        let places = places(self.rows, &children, &child_kind, &child_words)?;
        let [open_texts, sealed_texts] = places.texts;
        let open = ValueReader::open(&self.container, [id::FOUR, id::BINARY, id::TEXT, id::TEXT_LENGTH], open_texts)?;
        let sealed = ValueReader::open(&vault, [vault_id::FOUR, vault_id::BINARY, vault_id::TEXT, vault_id::TEXT_LENGTH], sealed_texts)?;
        let texts = |column_id| TextReader::open(&vault, column_id, self.rows);
        let [last_time, valid_until, audience, technique, cve, dst_port, protocol, target_asn, target_sector, source_asn] =
            RARE_IDS.map(|column_id| self.ints(column_id));
        Some(EventReader {
            scan: self.scan()?,
            dictionary: self.dictionary()?,
            severity: self.ints(id::SEVERITY)?,
            confidence: self.ints(id::CONFIDENCE)?,
            port: self.ints(id::PORT)?,
            count: self.ints(id::COUNT)?,
            child_kind,
            child_words,
            open,
            sealed,
            erased: read_erased(&vault.column(vault_id::ERASED)?),
            erased_ids: read_erased(&vault.column(vault_id::ERASED_ID)?),
            places,
            ids: texts(vault_id::ID)?,
            notes: texts(vault_id::NOTE)?,
            extras: texts(vault_id::EXTRA)?,
            originals: texts(vault_id::ORIGINAL)?,
            far_sides: texts(vault_id::DST_IP)?,
            targets: texts(vault_id::TARGET_IP)?,
            last_time: last_time?,
            valid_until: valid_until?,
            audience: audience?,
            technique: technique?,
            cve: cve?,
            dst_port: dst_port?,
            protocol: protocol?,
            target_asn: target_asn?,
            target_sector: target_sector?,
            source_asn: source_asn?,
            has_target: self.ints(id::HAS_TARGET)?,
        })
    }
}

/// Event times.
#[derive(Debug)]
pub struct Times<'a> {
    unit: u64,
    values: Ints<'a>,
}

impl Times<'_> {
    /// One event's time.
    #[inline]
    pub fn get(&self, row: usize) -> Timestamp {
        offset_time(self.values.get(row).wrapping_mul(self.unit))
    }
}

fn offset_time(offset: u64) -> Timestamp {
    Timestamp::from_micros((offset as i64).wrapping_add(Timestamp::MIN.micros()))
}

/// The columns a search looks at first.
#[derive(Debug)]
pub struct Scan<'a> {
    /// Event times.
    pub time: Times<'a>,
    category: Ints<'a>,
    words: Ints<'a>,
    sector: Ints<'a>,
    malware: Ints<'a>,
}

impl Scan<'_> {
    /// An event's category.
    #[inline]
    pub fn category(&self, row: usize) -> Option<Category> {
        Category::from_number(self.category.get(row) as u8)
    }

    /// An event's small words.
    #[inline]
    pub fn words(&self, row: usize) -> Option<Words> {
        Words::unpack(self.words.get(row))
    }

    /// Number of an event's sector in the dictionary; 0 is none.
    #[inline]
    pub fn sector(&self, row: usize) -> u64 {
        self.sector.get(row)
    }

    /// Number of an event's malware name in the dictionary; 0 is none.
    #[inline]
    pub fn malware(&self, row: usize) -> u64 {
        self.malware.get(row)
    }
}

/// Where a child's value lies in its stream.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Index of the value among its stream's values.
    index: u32,
}

#[derive(Debug)]
struct Places {
    /// First child of each event, and one past the last.
    starts: Vec<u32>,
    children: Vec<Place>,
    /// Values kept as text, of attackers and of all others.
    texts: [u32; 2],
}

fn places(rows: usize, children: &Ints<'_>, child_kind: &Ints<'_>, child_words: &Ints<'_>) -> Option<Places> {
    const MAX_CHILDREN: u64 = 65_535 * 1_000;
    let mut starts = Vec::with_capacity(rows + 1);
    let mut total = 0_u64;
    starts.push(0);
    for row in 0..rows {
        total += children.get(row);
        if total > MAX_CHILDREN {
            return None;
        }
        starts.push(total as u32);
    }
    let mut next = [Counters::default(); 2];
    let mut list = Vec::with_capacity(total as usize);
    for child in 0..total as usize {
        let words = child_words.get(child);
        let kind = ObservableType::from_number(child_kind.get(child) as u8)?;
        let counters = if words & 3 == 0 { &mut next[0] } else { &mut next[1] };
        list.push(Place { index: counters.take(child_stream(kind, words)) });
    }
    Some(Places { starts, children: list, texts: next.map(|counters| counters.text) })
}

fn child_stream(kind: ObservableType, words: u64) -> Stream {
    if words >> 4 & 1 == 1 { Stream::Text } else { pack::stream(kind) }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    four: u32,
    binary_bytes: u32,
    text: u32,
}

impl Counters {
    fn take(&mut self, stream: Stream) -> u32 {
        let (counter, step) = match stream {
            Stream::Four => (&mut self.four, 4),
            Stream::Binary(length) => (&mut self.binary_bytes, length as u32),
            Stream::Text => (&mut self.text, 1),
        };
        let place = *counter;
        *counter += step;
        place
    }
}

#[derive(Debug)]
struct ValueReader<'a> {
    four: Cow<'a, [u8]>,
    binary: Cow<'a, [u8]>,
    text: Cow<'a, [u8]>,
    text_ends: Vec<u32>,
}

impl<'a> ValueReader<'a> {
    fn open(container: &Container<'a>, ids: [u8; 4], texts: u32) -> Option<Self> {
        let text = container.column(ids[2])?;
        let lengths = container.column(ids[3])?;
        let mut text_ends = Vec::new();
        if !lengths.is_empty() {
            let lengths = Ints::read(lengths)?;
            let mut end = 0_u64;
            for row in 0..texts as usize {
                end += lengths.get(row);
                if end > text.len() as u64 {
                    break;
                }
                text_ends.push(end as u32);
            }
        }
        Some(Self { four: container.column(ids[0])?, binary: container.column(ids[1])?, text, text_ends })
    }

    fn bytes(&self, stream: Stream, place: u32) -> &[u8] {
        let place = place as usize;
        match stream {
            Stream::Four => self.four.get(place..place + 4),
            Stream::Binary(length) => self.binary.get(place..place + length),
            Stream::Text => {
                let start = if place == 0 { 0 } else { self.text_ends.get(place - 1).copied().unwrap_or(u32::MAX) as usize };
                self.text_ends.get(place).and_then(|&end| self.text.get(start..end as usize))
            }
        }
        .unwrap_or(&[])
    }
}

#[derive(Debug)]
struct TextReader<'a> {
    bytes: Cow<'a, [u8]>,
    /// End of each row's text; `None` where no row has one.
    spans: Option<Vec<(u32, u32)>>,
}

impl<'a> TextReader<'a> {
    fn open(vault: &Container<'a>, column_id: u8, rows: usize) -> Option<Self> {
        let lengths = vault.column(column_id + 1)?;
        let bytes = vault.column(column_id)?;
        if lengths.is_empty() {
            return Some(Self { bytes, spans: None });
        }
        let lengths = Ints::read(lengths)?;
        let mut end = 0_u32;
        let spans = (0..rows)
            .map(|row| match lengths.get(row) {
                0 => (u32::MAX, u32::MAX),
                length => {
                    let start = end;
                    end = end.saturating_add((length - 1) as u32);
                    (start, end)
                }
            })
            .collect();
        Some(Self { bytes, spans: Some(spans) })
    }

    fn get(&self, row: usize) -> Option<Text> {
        let &(start, end) = self.spans.as_ref()?.get(row)?;
        self.bytes.get(start as usize..end as usize).map(Text::from_utf8_lossy)
    }
}

/// What an erasure leaves of a value or an id in the vault page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Erased {
    /// Index of the value among the block's, or row of the id.
    place: u32,
    /// Key by which the event merges; 0 for a value by which it does not.
    ///
    /// It may stay: without it a list sent again would count twice after a rebuild, and it is a keyed hash that nobody without the
    /// realm's secret can try a guess against. Where merging does not need it, it is not kept.
    key: u128,
}

/// Bytes of one [`Erased`] in its column.
const ERASED_BYTES: usize = 20;

fn read_erased(bytes: &[u8]) -> Vec<Erased> {
    let read = |entry: &[u8]| {
        let (place, key) = entry.split_at_checked(4)?;
        Some(Erased { place: u32::from_le_bytes(place.try_into().ok()?), key: u128::from_le_bytes(key.try_into().ok()?) })
    };
    bytes.chunks_exact(ERASED_BYTES).filter_map(read).collect()
}

/// What erasures left of a batch's events, so that replay counts and merges them as if nothing were missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// Of values, in order of row and position.
    pub values: Vec<Tombstone>,
    /// Of ids: row in the batch and key, in order.
    pub ids: Vec<(u32, u128)>,
}

/// What an erasure left of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Row of the event in the batch.
    pub row: u32,
    /// Place among the event's values.
    pub position: u32,
    /// Type of the value.
    pub kind: ObservableType,
    /// Its key, where the event merges by it; else 0.
    pub key: u128,
}

impl Tombstones {
    /// The tombstones of one event's values.
    pub fn of(&self, row: u32) -> &[Tombstone] {
        let start = self.values.partition_point(|tombstone| tombstone.row < row);
        let end = self.values.partition_point(|tombstone| tombstone.row <= row);
        self.values.get(start..end).unwrap_or(&[])
    }
}

/// Reads whole events.
#[derive(Debug)]
pub struct EventReader<'a> {
    /// The columns a search looks at first.
    pub scan: Scan<'a>,
    /// The block's texts; number 0 is none.
    pub dictionary: Vec<Text>,
    severity: Ints<'a>,
    confidence: Ints<'a>,
    port: Ints<'a>,
    count: Ints<'a>,
    child_kind: Ints<'a>,
    child_words: Ints<'a>,
    open: ValueReader<'a>,
    sealed: ValueReader<'a>,
    /// Of values, in order.
    erased: Vec<Erased>,
    /// Of ids, in order.
    erased_ids: Vec<Erased>,
    places: Places,
    ids: TextReader<'a>,
    notes: TextReader<'a>,
    extras: TextReader<'a>,
    originals: TextReader<'a>,
    far_sides: TextReader<'a>,
    targets: TextReader<'a>,
    last_time: Ints<'a>,
    valid_until: Ints<'a>,
    audience: Ints<'a>,
    technique: Ints<'a>,
    cve: Ints<'a>,
    dst_port: Ints<'a>,
    protocol: Ints<'a>,
    target_asn: Ints<'a>,
    target_sector: Ints<'a>,
    source_asn: Ints<'a>,
    has_target: Ints<'a>,
}

impl EventReader<'_> {
    fn text(&self, number: u64) -> Option<Text> {
        (number > 0).then(|| self.dictionary.get(number as usize).cloned()).flatten()
    }

    fn list(&self, number: u64) -> Vec<Text> {
        self.text(number).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect())
    }

    /// An event's audience.
    pub fn audience(&self, row: usize) -> Vec<Text> {
        self.list(self.audience.get(row))
    }

    /// Types of an event's values as a set of bits.
    pub fn type_bits(&self, row: usize) -> u32 {
        self.children(row).fold(0, |bits, child| bits | 1 << (self.child_kind.get(child) & 31))
    }

    /// Whether an event may meet the conditions on its values: decided on packed bytes, victims included. The filter decides on what
    /// the reader sees.
    pub fn may_match(&self, row: usize, filter: &model::Filter) -> bool {
        if !filter.types.is_empty() && !filter.types.iter().any(|kind| self.type_bits(row) >> kind.number() & 1 == 1) {
            return false;
        }
        if filter.within.is_none() && filter.domain.is_none() {
            return true;
        }
        let (mut within, mut domain) = (filter.within.is_none(), filter.domain.is_none());
        for child in self.children(row) {
            let words = self.child_words.get(child);
            let (Some(kind), Some(place)) = (ObservableType::from_number(self.child_kind.get(child) as u8), self.places.children.get(child)) else { continue };
            let values = if words & 3 == 0 { &self.open } else { &self.sealed };
            let bytes = values.bytes(child_stream(kind, words), place.index);
            within |= filter.within.is_some_and(|range| pack::within(kind, bytes, &range));
            domain |= filter.domain.as_ref().is_some_and(|suffix| {
                matches!(kind, ObservableType::Domain | ObservableType::Url | ObservableType::Email)
                    && std::str::from_utf8(bytes).is_ok_and(|text| model::filter::value_under(kind, text, suffix))
            });
        }
        within && domain
    }

    fn children(&self, row: usize) -> std::ops::Range<usize> {
        let start = self.places.starts.get(row).copied().unwrap_or(0) as usize;
        start..self.places.starts.get(row + 1).copied().unwrap_or(0).max(start as u32) as usize
    }

    fn erased_at(&self, child: usize) -> Option<&Erased> {
        self.erased.binary_search_by_key(&(child as u32), |erased| erased.place).ok().and_then(|at| self.erased.get(at))
    }

    /// What erasures left of the events in these rows; rows of the answer are counted from the first.
    pub fn tombstones(&self, rows: std::ops::Range<usize>) -> Tombstones {
        let mut tombstones = Tombstones::default();
        if self.erased.is_empty() && self.erased_ids.is_empty() {
            return tombstones;
        }
        for row in rows.clone() {
            let number = (row - rows.start) as u32;
            for (position, child) in self.children(row).enumerate() {
                if let (Some(erased), Some(kind)) = (self.erased_at(child), ObservableType::from_number(self.child_kind.get(child) as u8)) {
                    tombstones.values.push(Tombstone { row: number, position: position as u32, kind, key: erased.key });
                }
            }
            if let Ok(at) = self.erased_ids.binary_search_by_key(&(row as u32), |erased| erased.place) {
                tombstones.ids.extend(self.erased_ids.get(at).map(|erased| (number, erased.key)));
            }
        }
        tombstones
    }

    /// One event; `None` where a word is out of range.
    pub fn event(&self, row: usize) -> Option<Event> {
        let words = self.scan.words(row)?;
        let mut observables: SmallVec<[Observable; 1]> = SmallVec::new();
        for child in self.children(row) {
            if self.erased_at(child).is_some() {
                continue;
            }
            let child_words = self.child_words.get(child);
            let kind = ObservableType::from_number(self.child_kind.get(child) as u8)?;
            let role = Role::from_number((child_words & 3) as u8)?;
            let values = if role == Role::Attacker { &self.open } else { &self.sealed };
            let bytes = values.bytes(child_stream(kind, child_words), self.places.children.get(child)?.index);
            let value = if child_words >> 4 & 1 == 1 { Text::from_utf8_lossy(bytes) } else { pack::unpack(kind, bytes) };
            observables.push(Observable { kind, role, detect: child_words >> 2 & 1 == 1, reserved: child_words >> 3 & 1 == 1, value });
        }
        let optional = |ints: &Ints<'_>| match ints.get(row) {
            0 => None,
            value => Some(value - 1),
        };
        Some(Event {
            time: self.scan.time.get(row),
            category: self.scan.category(row)?,
            observables,
            origin: words.origin,
            tlp: words.tlp,
            pap: words.pap,
            named: words.named,
            timeless: words.timeless,
            notify_owner: words.notify_owner,
            confidence: optional(&self.confidence).map(|value| value as u8),
            severity: optional(&self.severity).and_then(|value| Severity::from_number(value as u8)),
            port: optional(&self.port).map(|value| value as u16),
            count: self.count.get(row) as u32,
            sector: self.text(self.scan.sector(row)),
            malware: self.text(self.scan.malware(row)),
            id: self.ids.get(row),
            details: words.has_details.then(|| Box::new(self.details(row))),
        })
    }

    fn details(&self, row: usize) -> Details {
        let optional = |ints: &Ints<'_>| match ints.get(row) {
            0 => None,
            value => Some(value - 1),
        };
        Details {
            last_time: optional(&self.last_time).map(offset_time),
            valid_until: optional(&self.valid_until).map(offset_time),
            audience: self.audience(row),
            technique: self.list(self.technique.get(row)),
            cve: self.list(self.cve.get(row)),
            dst_ip: self.far_sides.get(row),
            dst_port: optional(&self.dst_port).map(|value| value as u16),
            protocol: self.text(self.protocol.get(row)),
            target: (self.has_target.get(row) == 1).then(|| Target {
                ip: self.targets.get(row),
                asn: optional(&self.target_asn).map(|value| value as u32),
                sector: self.text(self.target_sector.get(row)),
            }),
            source_asn: optional(&self.source_asn).map(|value| value as u32),
            note: self.notes.get(row),
            extra: self.extras.get(row),
            original: self.originals.get(row),
        }
    }
}
