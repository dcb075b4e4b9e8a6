//! Writing values and texts: the streams that body and vault page share, and the page itself.
//!
//! Flow: `encoding` fills [`Values`] and [`Texts`] row by row, `erasing` fills them anew → [`write_page`].
//! Invariant: what stands in a stream is found again by counting (`children`), so nothing may be left out without a hole in its place.
//! Not here: reading them (`values`), which values are sealed (`encoding`).

use super::{SEALED_IDS, TEXT_IDS};
use crate::ledger::streams::{Stream, stream};
use crate::ledger::{container, ints};
use crate::packing::pack;
use model::Observable;

/// A vault page of sealed values and of the texts named by [`TEXT_IDS`].
pub(super) fn write_page(sealed: &Values, texts: &[Texts; 6], scratch: &mut Vec<u8>) -> Vec<u8> {
    let mut page = Vec::new();
    sealed.write(&mut page, SEALED_IDS, scratch);
    for (column_id, texts) in TEXT_IDS.into_iter().zip(texts) {
        texts.write(&mut page, column_id, scratch);
    }
    page
}

/// Packed values, a stream of bytes for each form.
#[derive(Default)]
pub(super) struct Values {
    pub(super) four: Vec<u8>,
    pub(super) binary: Vec<u8>,
    pub(super) text: Vec<u8>,
    pub(super) text_lengths: Vec<u64>,
}

impl Values {
    /// Adds a value; true where it had to be kept as text although its type is binary.
    pub(super) fn push(&mut self, observable: &Observable) -> bool {
        let packed = match stream(observable.kind) {
            Stream::Four => pack(observable.kind, &observable.value, &mut self.four),
            Stream::Binary(_) => pack(observable.kind, &observable.value, &mut self.binary),
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

    pub(super) fn write(&self, out: &mut Vec<u8>, ids: [u8; 4], scratch: &mut Vec<u8>) {
        container::push(out, ids[0], &self.four, true);
        container::push(out, ids[1], &self.binary, false);
        container::push(out, ids[2], &self.text, true);
        push_ints(out, ids[3], &self.text_lengths, scratch);
    }
}

/// A text of each row, or none.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    lengths: Vec<u64>,
    any: bool,
}

impl Texts {
    pub(super) fn push(&mut self, text: Option<&str>) {
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

/// Adds a column of integers; nothing where all are zero.
pub(super) fn push_ints(out: &mut Vec<u8>, id: u8, values: &[u64], scratch: &mut Vec<u8>) {
    if values.iter().all(|&value| value == 0) {
        return;
    }
    scratch.clear();
    ints::write(values, scratch);
    container::push(out, id, scratch, true);
}
