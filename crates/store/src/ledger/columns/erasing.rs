//! Erasure in a block: its vault page without one value.
//!
//! Invariant: the body is not touched, so that content hash and chain hold. Attackers' values are in the body and are never altered.
//! Tombstones stay in the page, so that the event counts and merges as before.
//! Not here: files (`rewrite`), who may erase what (`hub::erasures`).

use super::page::{Texts, Values, write_page};
use super::tombstones::{Erased, write_erased};
use super::{Body, EventReader, TEXT_IDS, split_filter, vault_id};
use crate::ledger::Frame;
use crate::ledger::container::{self, Container};
use crate::ledger::rewrite::mention::Mention;
use crate::ledger::streams::Stream;
use crate::views::{KeyFilter, Keys, reporter_of};
use model::{ObservableType, OrgNo, Text};

/// A value to be destroyed, and how it is recognised. Not printable, so that no log can hold it.
#[derive(Clone)]
pub struct Victim {
    keys: Keys,
    kind: ObservableType,
    value: Text,
    key: u128,
    mention: Mention,
}

impl Victim {
    /// The victim with this canonical value.
    pub fn new(keys: &Keys, kind: ObservableType, value: &str) -> Self {
        Self { keys: keys.clone(), kind, value: Text::from(value), key: keys.observable(kind, value), mention: Mention::of(kind, value) }
    }

    /// Key of the value.
    pub fn key(&self) -> u128 {
        self.key
    }

    /// Whether a value of a type is the victim's.
    pub fn is_value(&self, kind: ObservableType, value: &str) -> bool {
        kind == self.kind && self.is(Some(value))
    }

    /// Whether a text holds the value in any spelling. A text that holds it inside a longer word is taken too: too much free text lost is
    /// better than a value left.
    pub fn is_in(&self, text: &str) -> bool {
        self.mention.is_in(text)
    }

    fn is(&self, text: Option<&str>) -> bool {
        text == Some(self.value.as_str())
    }
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
        let key = if reader.words(row)?.timeless { victim.key } else { 0 };
        self.hit = false;
        for (index, child) in reader.children.of(row) {
            if !child.is_sealed() {
                continue;
            }
            let bytes = reader.values.bytes(child)?;
            let mut erased = reader.erased_at(index).copied();
            if erased.is_none() && may_hold && child.kind == victim.kind && child.text(bytes) == victim.value {
                erased = Some(Erased { place: index as u32, key });
                self.hit = true;
                self.entries += 1;
            }
            self.sealed.keep(child.stream(), bytes, erased.is_some())?;
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
            container::push(&mut page, column_id, &write_erased(all), true);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

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
