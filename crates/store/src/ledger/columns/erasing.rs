//! Erasure in a block: its vault page without one value.
//!
//! Invariant: the body is not touched, so that content hash and chain hold. Attackers' values are in the body and are never altered.
//! Tombstones stay in the page, so that the event counts and merges as before.
//! Not here: files (`rewrite`), who may erase what (`hub::erasures`).

use super::{Body, Container, Erased, EventReader, Stream, TEXT_IDS, Texts, Values, child_stream, container, pack, split_filter, vault_id, write_page};
use crate::ledger::Frame;
use crate::views::{KeyFilter, Keys, reporter_of};
use model::canonical::canonical;
use model::detect::refang;
use model::{ObservableType, OrgNo, Role, Text};

/// A value to be destroyed, and how it is recognised. Not printable, so that no log can hold it.
#[derive(Clone)]
pub struct Victim {
    keys: Keys,
    kind: ObservableType,
    value: Text,
    lower: String,
    key: u128,
}

impl Victim {
    /// The victim with this canonical value.
    pub fn new(keys: &Keys, kind: ObservableType, value: &str) -> Self {
        Self { keys: keys.clone(), kind, value: Text::from(value), lower: value.to_lowercase(), key: keys.observable(kind, value) }
    }

    /// Key of the value.
    pub fn key(&self) -> u128 {
        self.key
    }

    /// Whether a text holds the value: as it is, in another case, defanged, or as a word that means it. A text that holds it inside a
    /// longer one is taken too: too much free text lost is better than a value left.
    pub fn is_in(&self, text: &str) -> bool {
        let text = text.to_lowercase().replace("\\/", "/");
        let means_it = |word: &str| canonical(self.kind, &refang(word)).is_ok_and(|other| other.to_lowercase() == self.lower);
        text.contains(&self.lower) || text.split(is_between_words).any(|word| !word.is_empty() && means_it(word))
    }

    fn is(&self, text: Option<&str>) -> bool {
        text == Some(self.value.as_str())
    }
}

fn is_between_words(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '\\' | ',' | ';' | '<' | '>' | '|' | '=')
}

/// A vault page without a value.
#[derive(Debug, Clone, Default)]
pub struct Without {
    /// The page; the old one is as good where nothing was taken out.
    pub page: Vec<u8>,
    /// What was taken out: values, texts and ids.
    pub entries: u64,
}

/// The vault page of a frame of events without a value; `None` where the frame is broken.
pub fn without(frame: &Frame, victim: &Victim) -> Option<Without> {
    let (filter, columns) = split_filter(frame.body())?;
    let may_hold = KeyFilter::from_bytes(filter).is_none_or(|filter| filter.may_contain(victim.key));
    if !may_hold && !has_texts(&Container::open(frame.vault())?)? {
        return Some(Without::default());
    }
    let body = Body::open(frame.header.rows, columns)?;
    let reader = body.events(frame.vault())?;
    let submissions = frame.submissions();
    let mut page = Page::default();
    for row in 0..body.rows() {
        page.take_values(&reader, row, victim, may_hold)?;
        page.take_texts(&reader, row, victim, reporter_of(&submissions, row as u32));
    }
    Some(Without { entries: page.entries, page: if page.entries > 0 { page.write() } else { Vec::new() } })
}

fn has_texts(page: &Container<'_>) -> Option<bool> {
    for column_id in TEXT_IDS {
        if !page.column(column_id)?.is_empty() {
            return Some(true);
        }
    }
    Some(false)
}

/// A page being made.
#[derive(Default)]
struct Page {
    sealed: Values,
    /// In the order of [`TEXT_IDS`].
    texts: [Texts; 6],
    erased: Vec<Erased>,
    erased_ids: Vec<Erased>,
    entries: u64,
    /// Whether the row at hand lost a value.
    hit: bool,
}

impl Page {
    /// Takes over the sealed values of a row, but for the victim's.
    fn take_values(&mut self, reader: &EventReader<'_>, row: usize, victim: &Victim, may_hold: bool) -> Option<()> {
        // Only an entry without a time of its own is known again by its values.
        let key = if reader.scan.words(row)?.timeless { victim.key } else { 0 };
        self.hit = false;
        for child in reader.children(row) {
            let words = reader.child_words.get(child);
            if words & 3 == u64::from(Role::Attacker.number()) {
                continue;
            }
            let kind = ObservableType::from_number(reader.child_kind.get(child) as u8)?;
            let stream = child_stream(kind, words);
            let bytes = reader.sealed.bytes(stream, reader.places.children.get(child)?.index);
            let mut erased = reader.erased_at(child).copied();
            if erased.is_none() && may_hold && kind == victim.kind && text_of(kind, stream, bytes) == victim.value {
                erased = Some(Erased { place: child as u32, key });
                self.hit = true;
                self.entries += 1;
            }
            self.sealed.keep(stream, bytes, erased.is_some())?;
            self.erased.extend(erased);
        }
        Some(())
    }

    /// Takes over the texts of a row, but for those that hold the victim's value.
    fn take_texts(&mut self, reader: &EventReader<'_>, row: usize, victim: &Victim, reporter: OrgNo) {
        let texts = [&reader.ids, &reader.notes, &reader.extras, &reader.originals, &reader.far_sides, &reader.targets].map(|texts| texts.get(row));
        let [id, note, extra, original, far_side, target] = texts.each_ref().map(Option::as_deref);
        let holds = |text: Option<&str>| text.is_some_and(|text| victim.is_in(text));
        let hit = self.hit || victim.is(far_side) || victim.is(target);
        // The original entry of an event that holds the value spells it in a way of its own.
        let gone = [holds(id), holds(note), holds(extra), hit || holds(original), victim.is(far_side), victim.is(target)];
        if let (true, Some(id)) = (gone[0], id) {
            self.erased_ids.push(Erased { place: row as u32, key: victim.keys.sender_id(reporter, id) });
        } else if let Ok(at) = reader.erased_ids.binary_search_by_key(&(row as u32), |erased| erased.place) {
            self.erased_ids.extend(reader.erased_ids.get(at));
        }
        for ((column, text), gone) in self.texts.iter_mut().zip([id, note, extra, original, far_side, target]).zip(gone) {
            self.entries += u64::from(text.is_some() && gone);
            column.push(text.filter(|_| !gone));
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut scratch = Vec::new();
        let mut page = write_page(&self.sealed, &self.texts, &mut scratch);
        for (column_id, all) in [(vault_id::ERASED, &self.erased), (vault_id::ERASED_ID, &self.erased_ids)] {
            scratch.clear();
            for erased in all {
                scratch.extend_from_slice(&erased.place.to_le_bytes());
                scratch.extend_from_slice(&erased.key.to_le_bytes());
            }
            container::push(&mut page, column_id, &scratch, true);
        }
        page
    }
}

impl Values {
    /// Takes over a packed value, or leaves a hole in its place: values are found by counting. `None` where it is not whole.
    fn keep(&mut self, stream: Stream, bytes: &[u8], erased: bool) -> Option<()> {
        let kept: &[u8] = if erased { &[] } else { bytes };
        let (out, length) = match stream {
            Stream::Four => (&mut self.four, 4),
            Stream::Binary(length) => (&mut self.binary, length),
            Stream::Text => {
                self.text.extend_from_slice(kept);
                self.text_lengths.push(kept.len() as u64);
                return Some(());
            }
        };
        let end = out.len() + length;
        out.extend_from_slice(kept);
        if erased {
            out.resize(end, 0);
        }
        (out.len() == end).then_some(())
    }
}

fn text_of(kind: ObservableType, stream: Stream, bytes: &[u8]) -> Text {
    match stream {
        Stream::Text => Text::from_utf8_lossy(bytes),
        Stream::Four | Stream::Binary(_) => pack::unpack(kind, bytes),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_in_every_spelling_of_it() {
        let keys = Keys::new([7; 32]);
        let victim = Victim::new(&keys, ObservableType::Email, "lee@household.kr");
        for text in ["Mail of LEE@Household.kr.", "lee@household.kr로 보냄", r#"{"mail":"x\nlee@household.kr"}"#, "to: lee[@]household[.]kr"] {
            assert!(victim.is_in(text), "{text}");
        }
        assert!(!victim.is_in("kim@household.kr"));
        let victim = Victim::new(&keys, ObservableType::Url, "http://shop.kr/users/lee");
        assert!(victim.is_in(r#"{"link":"http:\/\/shop.kr\/users\/lee"}"#) && victim.is_in("see hxxp://shop[.]kr/users/lee"));
    }

    #[test]
    fn holes_keep_the_places_of_the_values_around_them() {
        let mut values = Values::default();
        for (stream, bytes, erased) in [(Stream::Four, [1; 4], false), (Stream::Four, [2; 4], true), (Stream::Four, [3; 4], false)] {
            values.keep(stream, &bytes, erased).unwrap();
        }
        assert_eq!(values.four, [1, 1, 1, 1, 0, 0, 0, 0, 3, 3, 3, 3]);
        assert_eq!(values.keep(Stream::Binary(16), &[1], false), None);
    }
}
