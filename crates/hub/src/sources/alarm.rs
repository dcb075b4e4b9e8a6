//! What is believed of a run: whether it is taken, whether what is missing is delisted, and what someone should know.
//!
//! Invariant: pure. What came broken, empty or by far too small never delists anything; what is far from usual is taken when the next run says
//! the same, or a coordinator accepts it. What is accepted is what was seen: a run that differs from it is judged as if nobody had accepted anything.
//! Not here: when a source is silent or failing for too long (`schedule` asks [`silent`] and [`FAILURES`]).

use super::config::Expect;
use super::state::{AlarmKind, Saved};
use model::Timestamp;
use std::collections::BTreeMap;

/// Runs of which the median is what is usual.
pub(super) const USUAL_OF: usize = 10;
/// Runs that break in a row, from which on someone should look.
pub(super) const FAILURES: u32 = 3;
/// Entries under which numbers go up and down by chance.
const FEW: u64 = 20;
/// How many times more or fewer entries than a run that was held back say the same.
const AGREES: f64 = 1.5;

/// The figures of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Entries; of a snapshot different ones.
    pub entries: u64,
    /// Entries that could not be read.
    pub refused: u64,
    /// Whether it broke off.
    pub cut: bool,
    /// Whether such a run always gives everything there is.
    pub gives_all: bool,
    /// Of a snapshot: entries listed before.
    pub listed: Option<u64>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Judgement {
    /// Whether its entries are taken.
    pub take: bool,
    /// Whether what is missing from the snapshot is withdrawn.
    pub delist: bool,
    /// Whether a next run of so many entries is to be believed.
    pub held: Option<u64>,
    /// Whether its number was far from usual and is believed: what is usual is counted from here on.
    pub is_new_level: bool,
    /// What someone should know.
    pub alarms: BTreeMap<AlarmKind, String>,
}

/// Judges a run by what is expected, by the numbers of the last runs, and by a run that was held back before. `accepted` are the entries of the run
/// that someone saw held back and accepts: about as many are believed.
pub(super) fn judge(figures: &Figures, expect: &Expect, past: &[u64], held: Option<u64>, accepted: Option<u64>) -> Judgement {
    let Figures { entries, refused, cut, gives_all, listed } = *figures;
    let mut judgement = Judgement { take: true, delist: listed.is_some(), ..Judgement::default() };
    let accepted = accepted.is_some_and(|seen| is_what_was_seen(seen, entries));
    let believed = accepted || held.is_some_and(|held| held > 0 && ratio(held, entries) <= AGREES);
    if cut {
        judgement.delist = false;
        judgement.alarms.insert(AlarmKind::Truncated, "the last line is incomplete; it was left out and nothing is delisted".to_owned());
    }
    let share = refused as f64 * 100.0 / (entries + refused).max(1) as f64;
    if refused > 0 && share > expect.max_refused {
        judgement.delist = false;
        judgement.alarms.insert(AlarmKind::Refused, format!("{refused} of {} entries are refused; nothing is delisted", entries + refused));
    }
    let hold = |judgement: &mut Judgement, kind: AlarmKind, text: String| {
        (judgement.take, judgement.delist, judgement.held) = (false, false, Some(entries));
        judgement.alarms.insert(kind, format!("{text}; held back until it is accepted"));
    };
    if gives_all && entries == 0 {
        // Emptiness is what broken servers have in common: it is never believed for being repeated.
        if !accepted {
            hold(&mut judgement, AlarmKind::Empty, "there is no entry".to_owned());
        }
        return judgement;
    }
    if gives_all && entries < expect.min_entries && !accepted {
        hold(&mut judgement, AlarmKind::TooFew, format!("{entries} entries, expected at least {}", expect.min_entries));
        return judgement;
    }
    if let Some(usual) = median(past)
        && usual.max(entries) >= FEW
        && ratio(usual, entries) > expect.max_change
        && (gives_all || entries > usual)
    {
        judgement.is_new_level = believed;
        if !believed {
            hold(&mut judgement, AlarmKind::Jump, format!("{entries} entries where {usual} are usual, or until the next run has about as many"));
            return judgement;
        }
    }
    if let Some(listed) = listed
        && !believed
        && listed >= FEW
        && entries < listed / 2
    {
        judgement.delist = false;
        judgement.held = Some(entries);
        let text = format!("{entries} entries where {listed} were listed; nothing is delisted until it is accepted or the next run has about as many");
        judgement.alarms.insert(AlarmKind::Shrunk, text);
    }
    judgement
}

/// Since when a source is silent, where it is for longer than is expected.
pub(super) fn silent(saved: &Saved, expect: &Expect, now: Timestamp) -> Option<String> {
    let (bound, last) = (expect.silence?, saved.last_new?);
    (now > last.plus(bound)).then(|| format!("nothing new since {last}"))
}

/// Whether a run has about as many entries as the one that somebody saw. None at all is something else than a few.
fn is_what_was_seen(seen: u64, entries: u64) -> bool {
    (seen == 0) == (entries == 0) && ratio(seen, entries) <= AGREES
}

/// How many times the larger one is the smaller.
fn ratio(one: u64, other: u64) -> f64 {
    one.max(other) as f64 / one.min(other).max(1) as f64
}

/// The middle of the numbers, of an even number of them the upper one.
fn median(numbers: &[u64]) -> Option<u64> {
    let mut sorted: Vec<u64> = numbers.iter().copied().take(USUAL_OF).collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn snapshot(entries: u64, listed: u64) -> Figures {
        Figures { entries, gives_all: true, listed: Some(listed), ..Figures::default() }
    }

    /// Whether it is taken and delists, and its alarms.
    fn told(figures: &Figures, past: &[u64], held: Option<u64>, accepted: bool) -> (bool, bool, Vec<AlarmKind>) {
        after(figures, past, held, accepted.then_some(figures.entries))
    }

    /// The same, of a run after one of `seen` entries was accepted.
    fn after(figures: &Figures, past: &[u64], held: Option<u64>, accepted: Option<u64>) -> (bool, bool, Vec<AlarmKind>) {
        let judgement = judge(figures, &Expect::default(), past, held, accepted);
        (judgement.take, judgement.delist, judgement.alarms.into_keys().collect())
    }

    #[test]
    fn a_usual_run_is_taken_and_delists() {
        for (entries, past) in [(100, vec![]), (100, vec![90, 110]), (60, vec![100]), (1, vec![2]), (15, vec![1])] {
            assert_eq!(told(&snapshot(entries, 100.min(entries * 2)), &past, None, false), (true, true, vec![]), "{entries} {past:?}");
        }
    }

    #[test]
    fn ten_times_more_or_fewer_is_held_back_until_the_next_run_agrees_or_someone_accepts() {
        for entries in [1_001, 9, 100_000] {
            let figures = snapshot(entries, 100);
            assert_eq!(told(&figures, &[100, 90, 100], None, false), (false, false, vec![AlarmKind::Jump]), "{entries}");
            assert_eq!(told(&figures, &[100, 90, 100], Some(entries * 4 / 3), false), (true, true, vec![]), "{entries}");
            assert_eq!(told(&figures, &[100, 90, 100], Some(entries * 2), false), (false, false, vec![AlarmKind::Jump]), "{entries}");
            assert_eq!(told(&figures, &[100, 90, 100], None, true), (true, true, vec![]), "{entries}");
        }
        // A single odd run does not make what is usual.
        assert_eq!(told(&snapshot(100, 100), &[5_000, 100, 90, 110], None, false), (true, true, vec![]));
    }

    #[test]
    fn a_source_that_brings_what_is_new_may_bring_little_but_not_ten_times_more() {
        let news = |entries| Figures { entries, ..Figures::default() };
        assert_eq!(told(&news(0), &[500], None, false), (true, false, vec![]));
        assert_eq!(told(&news(3), &[500], None, false), (true, false, vec![]));
        assert_eq!(told(&news(5_001), &[500], None, false), (false, false, vec![AlarmKind::Jump]));
    }

    #[test]
    fn emptiness_is_never_believed_but_by_a_person() {
        let figures = snapshot(0, 100);
        assert_eq!(told(&figures, &[100], None, false), (false, false, vec![AlarmKind::Empty]));
        assert_eq!(told(&figures, &[100], Some(0), false), (false, false, vec![AlarmKind::Empty]));
        assert_eq!(told(&figures, &[100], None, true), (true, true, vec![]));
        let expect = Expect { min_entries: 50, ..Expect::default() };
        let few = judge(&snapshot(49, 60), &expect, &[60], Some(49), None);
        assert_eq!((few.take, few.delist, few.alarms.into_keys().collect::<Vec<_>>()), (false, false, vec![AlarmKind::TooFew]));
    }

    #[test]
    fn what_is_broken_or_has_shrunk_by_half_is_taken_but_delists_nothing() {
        assert_eq!(told(&Figures { cut: true, ..snapshot(95, 100) }, &[100], None, false), (true, false, vec![AlarmKind::Truncated]));
        assert_eq!(told(&Figures { cut: true, ..snapshot(95, 100) }, &[100], None, true), (true, false, vec![AlarmKind::Truncated]));
        assert_eq!(told(&Figures { refused: 40, ..snapshot(60, 100) }, &[100], None, false), (true, false, vec![AlarmKind::Refused]));
        let shrunk = judge(&snapshot(40, 100), &Expect::default(), &[100], None, None);
        assert_eq!((shrunk.take, shrunk.delist, shrunk.held), (true, false, Some(40)));
        assert_eq!(told(&snapshot(41, 100), &[100], shrunk.held, false), (true, true, vec![]));
    }

    #[test]
    fn only_what_was_seen_is_accepted() {
        let jump = (false, false, vec![AlarmKind::Jump]);
        for (seen, entries, believed) in [(5_000, 5_000, true), (5_000, 7_000, true), (5_000, 3_500, true), (5_000, 8_000, false), (5_000, 100_000, false)] {
            let told = after(&snapshot(entries, 100), &[100], Some(seen), Some(seen));
            assert_eq!(told, if believed { (true, true, vec![]) } else { jump.clone() }, "{seen} {entries}");
        }
        // What was accepted as large is not accepted as nothing, and the other way about.
        assert_eq!(after(&snapshot(0, 100), &[100], Some(5_000), Some(5_000)), (false, false, vec![AlarmKind::Empty]));
        assert_eq!(after(&snapshot(0, 100), &[100], Some(1), Some(1)), (false, false, vec![AlarmKind::Empty]));
        assert_eq!(after(&snapshot(5_000, 100), &[100], Some(0), Some(0)), jump);
        assert_eq!(after(&snapshot(1, 100), &[100], Some(0), Some(0)), jump);
        // A source that is well again needs no acceptance.
        assert_eq!(after(&snapshot(100, 100), &[100], Some(0), Some(0)), (true, true, vec![]));
        let expect = Expect { min_entries: 50, ..Expect::default() };
        assert!(judge(&snapshot(45, 60), &expect, &[60], Some(40), Some(40)).take);
        assert_eq!(judge(&snapshot(10, 60), &expect, &[60], Some(40), Some(40)).held, Some(10));
    }

    #[test]
    fn a_jump_that_is_believed_is_what_is_usual_from_then_on() {
        let judged = |entries, accepted| judge(&snapshot(entries, 100), &Expect::default(), &[100, 100], None, accepted);
        assert!(judged(5_000, Some(5_000)).is_new_level);
        assert!(!judged(5_000, None).is_new_level && !judged(120, None).is_new_level && !judged(120, Some(120)).is_new_level);
    }

    #[test]
    fn silence_is_told_after_its_time() {
        let expect = Expect { silence: Some(Duration::from_secs(100)), ..Expect::default() };
        let saved = Saved { last_new: Some(Timestamp::from_seconds(1_000)), ..Saved::default() };
        assert_eq!(silent(&saved, &expect, Timestamp::from_seconds(1_100)), None);
        assert!(silent(&saved, &expect, Timestamp::from_seconds(1_101)).unwrap().contains("1970"));
        assert_eq!(silent(&saved, &Expect::default(), Timestamp::from_seconds(9_000)), None);
    }
}
