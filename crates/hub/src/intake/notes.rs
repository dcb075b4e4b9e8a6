//! What an answer says beside counts and refusals: what looks like a mistake, and which defaults stood in.
//!
//! Flow: a parsed chunk's notes → [`add`] → the request's outcome.
//! Invariant: bounded, whatever the chunks hold; what the request states for the batch is no default.

use crate::answers::{DefaultUsed, LineError, Outcome};
use formats::{Assumed, MAX_WARNINGS, Notes, Warning};
use model::{Category, Origin, Tlp};

/// Adds a chunk's notes. `tlp` is the member's marking, where the request states none.
pub(super) fn add(outcome: &mut Outcome, notes: Notes, tlp: Option<Tlp>) {
    let Assumed { other, relayed, tlp: unmarked } = notes.assumed;
    use_default(outcome, "category", Category::Other.as_str(), other);
    use_default(outcome, "origin", Origin::Relayed.as_str(), relayed);
    if let Some(tlp) = tlp {
        use_default(outcome, "tlp", tlp.as_str(), unmarked);
    }
    outcome.warned += notes.warned;
    let room = MAX_WARNINGS.saturating_sub(outcome.warnings.len());
    outcome.warnings.extend(warnings(notes).take(room));
}

/// Warnings as answers name them.
pub(crate) fn warnings(notes: Notes) -> impl Iterator<Item = LineError> {
    notes.warnings.into_iter().map(|Warning { line, reason }| LineError { line, reason })
}

fn use_default(outcome: &mut Outcome, field: &'static str, value: &'static str, entries: u64) {
    match outcome.defaults.iter_mut().find(|used| used.field == field) {
        Some(used) => used.entries += entries,
        None if entries > 0 => outcome.defaults.push(DefaultUsed { field, value, entries }),
        None => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn notes(other: u64, tlp: u64, warned: u64) -> Notes {
        let mut notes = Notes::default();
        notes.warnings.extend((1..=warned.min(MAX_WARNINGS as u64)).map(|line| Warning { line, reason: "again".to_owned() }));
        notes.warned += warned;
        notes.assumed.other += other;
        notes.assumed.tlp += tlp;
        notes
    }

    #[test]
    fn the_notes_of_chunks_are_added_up_within_their_limits() {
        let mut outcome = Outcome::default();
        add(&mut outcome, notes(0, 2, 70), Some(Tlp::Amber));
        add(&mut outcome, notes(3, 1, 150), Some(Tlp::Amber));
        assert_eq!((outcome.warnings.len(), outcome.warned), (MAX_WARNINGS, 220));
        let used: Vec<(&str, &str, u64)> = outcome.defaults.iter().map(|used| (used.field, used.value, used.entries)).collect();
        assert_eq!(used, [("tlp", "amber", 3), ("category", "other", 3)]);
    }

    #[test]
    fn what_the_request_states_is_no_default() {
        let mut outcome = Outcome::default();
        add(&mut outcome, notes(0, 2, 0), None);
        assert!(outcome.defaults.is_empty() && outcome.warnings.is_empty());
    }
}
