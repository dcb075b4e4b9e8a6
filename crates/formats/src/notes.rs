//! What parsing tells beside events and refusals: names that look misspelt, and where defaults stood in for what a sender left out.
//!
//! Flow: a format reads a chunk → the chunk's notes in [`crate::Parsed`] → `hub::intake` adds up those of a request.
//! Invariant: an entry is taken or refused as if nobody looked. Bounded: so many warnings are named and all are counted, so many distinct names of a
//! chunk are looked at. An entry of which nothing is to be told costs a comparison or two.
//! Not here: which names are near which fields (`misspelt`); STIX and MISP, whose fields are not ours.

mod misspelt;

use std::collections::BTreeMap;

/// Warnings that are named.
pub const MAX_WARNINGS: usize = 100;
/// Distinct unknown names of a chunk that are looked at.
const MAX_NAMES: usize = 256;

/// What of an entry looks like a mistake, although the entry was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// 1-based line of the body; for an array the number of the element.
    pub line: u64,
    /// What, in words for the sender.
    pub reason: String,
}

/// How many entries got what their sender did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assumed {
    /// Category `other`, for want of one in the entry and for the batch.
    pub other: u64,
    /// Origin `relayed`, for want of one in the entry of a list and for the batch.
    pub relayed: u64,
    /// The marking of [`crate::Defaults`].
    pub tlp: u64,
}

/// The notes of a chunk.
#[derive(Debug, Default)]
pub struct Notes {
    /// The first [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
    /// All of them.
    pub warned: u64,
    /// Where defaults stood in.
    pub assumed: Assumed,
    /// Unknown names looked at so far, each with the field that it is near.
    names: BTreeMap<String, Option<&'static str>>,
}

impl Notes {
    /// Names something that looks like a mistake.
    pub(crate) fn warn(&mut self, line: u64, reason: impl FnOnce() -> String) {
        self.warned += 1;
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { line, reason: reason() });
        }
    }

    /// The field of the contract that an unknown name is likely meant for.
    pub(crate) fn field_near(&mut self, name: &str) -> Option<&'static str> {
        if name.len() > misspelt::LONGEST {
            return None;
        }
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        if self.names.len() >= MAX_NAMES {
            return None;
        }
        let near = misspelt::field_near(name);
        self.names.insert(name.to_owned(), near);
        near
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_past_those_that_are_named() {
        let mut notes = Notes::default();
        for line in 1..=150 {
            notes.warn(line, || "again".to_owned());
        }
        assert_eq!((notes.warnings.len(), notes.warned, notes.warnings[99].line), (MAX_WARNINGS, 150, 100));
    }

    #[test]
    fn only_so_many_names_are_looked_at() {
        let mut notes = Notes::default();
        assert_eq!(notes.field_near("tpl"), Some("tlp"));
        for number in 0..MAX_NAMES {
            notes.field_near(&format!("x{number}"));
        }
        assert_eq!((notes.field_near("tpl"), notes.field_near("categroy")), (Some("tlp"), None));
    }
}
