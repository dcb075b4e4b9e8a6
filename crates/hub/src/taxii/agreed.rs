//! Which versions in the log of a partner's collection an agreement covers, where it names categories or sectors.
//!
//! A version has the strictest marking, the newest category and all the sectors of its events, but not which event was of which: whether what lies above
//! green in it is of an agreement's categories and sectors cannot be told from what is stored, neither that it is nor that it is not. What can be told is
//! which agreements it can have been written by, and whether the log has looked at it since.
//!
//! Flow: what was agreed one after the other ([`super::reach`]), and when the log had settled under it ([`Settled`]) → [`Course::surely`],
//! [`Course::stood`].
//! Invariant: a version is covered by an agreement where none that covers more of it can have written it, or where it stood when the log had looked at
//! everything under that agreement. What is neither is held back: one that stands until the log has looked at it ([`Course::is_open`]), one that was
//! replaced before that for good, for nobody looks at it again.
//! Not here: markings, which are known of every version ([`super::Reach`]); licences of reporters and audiences, which are in no agreement: what they no
//! longer let pass is hidden when the log has taken it back.

use model::{Agreement, Timestamp, Tlp};
use policy::{is_within_up_to, reach};
use store::views::indicators::Settled;

/// What was agreed for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agreed {
    /// It is not known.
    Unknown,
    /// Nothing was, and nothing was written.
    Nothing,
    /// This.
    On(Agreement),
}

/// What was agreed with a partner one after the other, and when the log of its collection had settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Course {
    /// Each with the version of the record with which it came.
    terms: Vec<(u64, Agreed)>,
    /// Which of them each part of the past had.
    parts: Vec<usize>,
    settled: Vec<Settled>,
}

impl Course {
    /// From the parts of the past, oldest first: the version with which each began, and what was agreed in it. `told` is the version with which the log
    /// was told what is agreed now, if it was; asked for after `settled`.
    pub(super) fn of(past: &[(u64, Agreed)], told: Option<u64>, settled: Vec<Settled>) -> Self {
        let (mut terms, mut parts): (Vec<(u64, Agreed)>, Vec<usize>) = (Vec::new(), Vec::new());
        // What lies before the oldest part is not known, but where the record began with that.
        if past.first().is_some_and(|(version, _)| *version > 1) {
            terms.push((0, Agreed::Unknown));
        }
        for (version, agreed) in past {
            if terms.last().is_none_or(|(_, last)| last != agreed) {
                terms.push((*version, agreed.clone()));
            }
            parts.push(terms.len().saturating_sub(1));
        }
        if let Some(((last, _), told)) = terms.last_mut().zip(told) {
            // Where the past has a gap it may have been agreed before that.
            *last = told.min(*last);
        }
        Self { terms, parts, settled }
    }

    /// What was agreed in a part of the past, and which of the terms it is.
    fn terms(&self, part: usize) -> Option<(usize, &Agreement)> {
        let place = *self.parts.get(part)?;
        match self.terms.get(place)? {
            (_, Agreed::On(agreement)) => Some((place, agreement)),
            (_, Agreed::Unknown | Agreed::Nothing) => None,
        }
    }

    /// Whether, of what was added at a moment, nothing can have been written by those of the terms before these that are chosen.
    fn none_wrote(&self, terms: usize, added: Timestamp, chosen: impl Fn(&Agreed) -> bool) -> bool {
        let mut before = self.terms.iter().enumerate().take(terms).filter(|(_, (_, agreed))| chosen(agreed));
        before.all(|(place, _)| {
            // What was added after the log had settled under any that came later was written by that one or a later one.
            let later = self.terms.get(place + 1).and_then(|(version, _)| self.settled.iter().find(|settled| settled.version >= *version));
            later.is_some_and(|settled| settled.at < added)
        })
    }

    /// Whether what was agreed in a part of the past surely covers a version of this marking, which it reaches, added at a moment.
    pub(super) fn surely(&self, part: usize, tlp: Tlp, added: Timestamp) -> bool {
        let Some((terms, agreement)) = self.terms(part) else { return false };
        if is_whole_up_to(agreement, tlp) {
            return true;
        }
        self.none_wrote(terms, added, |before| match before {
            Agreed::Unknown => true,
            Agreed::Nothing => false,
            Agreed::On(before) => reach(Some(before)) >= tlp && !is_within_up_to(Some(before), Some(agreement), tlp),
        })
    }

    /// Whether what was agreed in a part of the past covers all that the log may hold of a moment, whatever its marking.
    pub(super) fn everything(&self, part: usize, most: Tlp, added: Timestamp) -> bool {
        let Some((terms, agreement)) = self.terms(part) else { return false };
        most >= reach(Some(agreement))
            && self.none_wrote(terms, added, |before| match before {
                Agreed::Unknown => true,
                Agreed::Nothing => false,
                Agreed::On(before) => !is_within_up_to(Some(before), Some(agreement), Tlp::Red),
            })
    }

    /// Whether a version that was replaced at a moment stood when the log had settled under what was agreed in a part of the past.
    pub(super) fn stood(&self, part: usize, until: Timestamp) -> bool {
        self.looks(part).any(|settled| settled.at < until)
    }

    /// Whether the log has not settled yet under what was agreed in a part of the past.
    pub(super) fn is_open(&self, part: usize) -> bool {
        self.looks(part).next().is_none()
    }

    /// Whether that can hold anything back: more was agreed before.
    pub(super) fn awaits(&self, part: usize) -> bool {
        let Some((terms, agreement)) = self.terms(part).filter(|_| self.is_open(part)) else { return false };
        let most = reach(Some(agreement));
        !is_whole_up_to(agreement, most)
            && !self.none_wrote(terms, Timestamp::MIN, |before| match before {
                Agreed::Unknown => true,
                Agreed::Nothing => false,
                Agreed::On(before) => !is_within_up_to(Some(before), Some(agreement), most),
            })
    }

    /// When the log had settled under what was agreed in a part of the past.
    fn looks(&self, part: usize) -> impl Iterator<Item = &Settled> {
        let place = self.parts.get(part).copied().unwrap_or(usize::MAX);
        let from = self.terms.get(place).map(|(version, _)| *version);
        let until = self.terms.get(place.saturating_add(1)).map_or(u64::MAX, |(version, _)| *version);
        self.settled.iter().filter(move |settled| from.is_some_and(|from| settled.version >= from) && settled.version < until)
    }
}

/// Whether an agreement covers everything up to a marking, which it reaches.
fn is_whole_up_to(agreement: &Agreement, tlp: Tlp) -> bool {
    tlp <= Tlp::Green || (agreement.categories.is_empty() && agreement.sectors.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::taxii::reach::tests::at;
    use model::{Category, Text};

    fn settled(version: u64, second: i64) -> Settled {
        Settled { version, at: at(second) }
    }

    fn on(tlp: Tlp, categories: &[Category]) -> Agreed {
        Agreed::On(Agreement { categories: categories.to_vec(), ..Agreement::up_to(tlp) })
    }

    const PHISHING: &[Category] = &[Category::Phishing];

    #[test]
    fn what_a_wider_agreement_can_have_written_is_not_surely_covered_until_the_log_had_settled() {
        let past = [(1, Agreed::Nothing), (2, on(Tlp::Amber, &[])), (3, on(Tlp::Amber, PHISHING))];
        let open = Course::of(&past, None, vec![settled(2, 5)]);
        // Clear and green are covered whatever they are of.
        assert!(open.surely(2, Tlp::Green, at(9)) && !open.surely(2, Tlp::Amber, at(9)) && open.surely(1, Tlp::Amber, at(9)));
        assert!(open.is_open(2) && open.awaits(2) && !open.stood(2, Timestamp::MAX) && !open.awaits(1));
        let done = Course::of(&past, None, vec![settled(2, 5), settled(3, 20)]);
        assert!(!done.surely(2, Tlp::Amber, at(20)) && done.surely(2, Tlp::Amber, at(21)));
        // What stands, or stood then, was looked at; what was replaced before was not.
        assert!(done.stood(2, Timestamp::MAX) && done.stood(2, at(21)) && !done.stood(2, at(20)) && !done.is_open(2) && !done.awaits(2));
        assert!(!done.everything(2, Tlp::Amber, at(20)) && done.everything(2, Tlp::Amber, at(21)) && done.everything(1, Tlp::Amber, at(1)));
        assert!(!done.everything(1, Tlp::Green, at(1)), "not all of it was read");
    }

    #[test]
    fn a_sector_narrows_as_a_category_does_and_a_marking_alone_needs_no_look() {
        let energy = Agreed::On(Agreement { sectors: vec![Text::from("energy")], ..Agreement::up_to(Tlp::Amber) });
        let course = Course::of(&[(1, on(Tlp::Amber, &[])), (2, energy)], None, Vec::new());
        assert!(!course.surely(1, Tlp::Amber, at(9)) && course.awaits(1));
        let course = Course::of(&[(1, on(Tlp::AmberStrict, &[])), (2, on(Tlp::Amber, &[]))], None, Vec::new());
        assert!(course.surely(1, Tlp::Amber, at(9)) && course.is_open(1) && !course.awaits(1));
        assert!(!course.everything(1, Tlp::Amber, at(9)), "what was stricter was there");
        // A narrower one before, one as wide, or one that did not go as far wrote nothing of it.
        for before in [on(Tlp::AmberStrict, PHISHING), on(Tlp::Green, &[]), Agreed::Nothing] {
            let course = Course::of(&[(1, before), (2, on(Tlp::Amber, PHISHING))], None, Vec::new());
            assert!(course.surely(1, Tlp::Amber, at(9)) && !course.awaits(1));
        }
        let strict = Course::of(&[(1, on(Tlp::Amber, &[])), (2, on(Tlp::AmberStrict, PHISHING))], None, Vec::new());
        assert!(strict.surely(1, Tlp::AmberStrict, at(9)) && !strict.surely(1, Tlp::Amber, at(9)) && strict.awaits(1));
    }

    #[test]
    fn what_is_not_known_may_have_been_wider_and_the_same_agreement_is_one() {
        let past = |first: u64, agreed: Agreed| [(first, agreed), (first + 1, on(Tlp::Amber, PHISHING)), (first + 2, on(Tlp::Amber, PHISHING))];
        assert!(Course::of(&past(1, Agreed::Nothing), None, Vec::new()).surely(2, Tlp::Amber, at(9)));
        // The log was told before the gap, and of nothing else since.
        let told = Course::of(&past(7, Agreed::Unknown), Some(3), vec![settled(3, 20)]);
        assert!(!told.is_open(2) && told.stood(2, at(21)) && told.surely(2, Tlp::Amber, at(21)) && !told.surely(2, Tlp::Amber, at(20)));
        assert!(Course::of(&past(7, Agreed::Unknown), None, vec![settled(3, 20)]).awaits(2));
        for (first, agreed) in [(1, Agreed::Unknown), (7, Agreed::Nothing)] {
            let course = Course::of(&past(first, agreed), None, vec![settled(first + 1, 20)]);
            assert!(!course.surely(2, Tlp::Amber, at(20)) && course.surely(2, Tlp::Amber, at(21)) && course.stood(2, at(21)) && !course.is_open(2));
            assert!(!course.surely(0, Tlp::Green, at(21)) && !course.everything(0, Tlp::Red, at(21)) && !course.awaits(0));
        }
    }

    #[test]
    fn that_the_log_had_settled_counts_for_what_was_agreed_then() {
        let past = [(1, on(Tlp::Amber, &[])), (2, on(Tlp::Amber, PHISHING)), (3, on(Tlp::Amber, &[Category::Scanner]))];
        let course = Course::of(&past, None, vec![settled(2, 20)]);
        assert!(course.stood(1, at(30)) && !course.stood(2, at(30)) && course.is_open(2));
        assert!(course.surely(1, Tlp::Amber, at(21)) && !course.surely(2, Tlp::Amber, at(21)), "phishing was written since");
        let course = Course::of(&past, None, vec![settled(2, 20), settled(3, 40)]);
        assert!(course.surely(2, Tlp::Amber, at(41)) && !course.surely(2, Tlp::Amber, at(40)) && course.stood(2, at(41)));
    }
}
