//! Which lines of a request came before under its idempotency key.
//!
//! Flow: for each part of a request `Applier::apply` makes a [`Coverage`], asks it about each event in order, and lets it remember the part.
//! What is remembered: one mark a key with the ordinals reached, and for each refused line below them a mark of its own: a hole, which is open until an
//! event comes for it. So a body sent again takes the lines that were corrected and no other, wherever it is cut and wherever it broke off.
//! Invariant: a line's event is taken once within the window. A line is known by its place: one left out or put in moves those after it.
//! Not here: events' own ids and the repeats of lists (`Applier::came_before`).

use super::ID_WINDOW;
use super::seen::Seen;
use crate::ledger::{Hole, Submission};
use model::Timestamp;
use std::iter::Peekable;
use std::slice::Iter;

/// Between the marks of neighbouring lines. The idempotency key is a keyed hash, so neither chance nor a sender brings two keys within reach of each
/// other's lines; an odd factor gives every line another mark and spreads them over all bits, as filters and tables of marks expect.
const STEP: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
/// Between the marks of lines and those that say that a line's event was withdrawn; of a key itself, that some line's was.
const WITHDRAWN: u128 = 0x6A09_E667_F3BC_C908_B2FB_1366_EA95_7D3F;
/// A hole for which no event came yet.
const OPEN: u64 = 0;
/// A hole for which one came.
const FILLED: u64 = 1;

/// What a key covers, while one part of a request is taken in.
pub(super) struct Coverage<'p> {
    submission: &'p Submission,
    holes: &'p [Hole],
    key: u128,
    /// When the part was received.
    now: Timestamp,
    /// Ordinals reached by the parts before.
    taken: u64,
    /// When the key was marked; with holes, when the first of them was.
    since: Timestamp,
    /// Whether there are holes below `taken`.
    has_holes: bool,
    /// Whether events of lines below `taken` were withdrawn.
    has_withdrawn: bool,
    upcoming: Peekable<Iter<'p, Hole>>,
    row: u32,
    ordinal: u64,
}

impl<'p> Coverage<'p> {
    /// What the request's key covers so far; `None` where it has none.
    pub(super) fn of(seen: &Seen, submission: &'p Submission, holes: &'p [Hole], now: Timestamp) -> Option<Self> {
        let key = submission.idempotency?;
        let (since, mark) = seen.get(key).filter(|(since, _)| *since >= now.minus(ID_WINDOW)).unwrap_or((now, 0));
        let (taken, has_holes) = (mark >> 1, mark & 1 == 1);
        let has_withdrawn = taken > 0 && is_marked(seen, key.wrapping_add(WITHDRAWN), now);
        let upcoming = holes.iter().peekable();
        Some(Self { submission, holes, key, now, taken, since, has_holes, has_withdrawn, upcoming, row: 0, ordinal: submission.first_ordinal })
    }

    /// Whether the event of the line that was asked about last, which came before, was withdrawn since.
    pub(super) fn was_withdrawn(&self, seen: &Seen) -> bool {
        self.has_withdrawn && self.ordinal.checked_sub(1).is_some_and(|ordinal| is_marked(seen, withdrawn_mark(self.key, ordinal), self.now))
    }

    /// Whether the line of the next event was taken before. From now on it was, whatever the event's own id says of it.
    pub(super) fn next_came_before(&mut self, seen: &mut Seen) -> bool {
        let row = self.row;
        if let Some(hole) = self.upcoming.next_if(|hole| hole.row == row) {
            self.ordinal += u64::from(hole.lines);
        }
        let ordinal = self.ordinal;
        self.row += 1;
        self.ordinal += 1;
        if ordinal >= self.taken {
            return false;
        }
        if !self.has_holes {
            return true;
        }
        let hole = hole_mark(self.key, ordinal);
        // A mark from before `since` is of a time that the key has forgotten.
        let is_open = seen.get(hole).is_some_and(|(marked, state)| marked >= self.since && state == OPEN);
        if is_open {
            seen.set(hole, self.now, FILLED);
        }
        !is_open
    }

    /// Remembers the part, once every event was asked about.
    pub(super) fn remember(self, seen: &mut Seen) {
        let reached = self.submission.reached(self.holes);
        // A gap means that a part before was refused: what comes after it is not covered.
        if self.submission.first_ordinal > self.taken || reached <= self.taken {
            return;
        }
        let mut has_holes = self.has_holes;
        for lines in self.submission.refused(self.holes) {
            // What is refused now and was taken before stays taken.
            for ordinal in lines.start.max(self.taken)..lines.end {
                seen.set(hole_mark(self.key, ordinal), self.now, OPEN);
                has_holes = true;
            }
        }
        // The key must not outlive its holes: a line without one would count as taken.
        let since = if self.has_holes { self.since } else { self.now };
        seen.set(self.key, since, reached * 2 + u64::from(has_holes));
    }
}

/// Remembers that the events of some rows of a part were withdrawn, where the part came under a key. `rows` are in order.
pub(super) fn remember_withdrawn(seen: &mut Seen, submission: &Submission, holes: &[Hole], rows: &[u32], received: Timestamp) {
    let Some(key) = submission.idempotency.filter(|_| !rows.is_empty()) else { return };
    seen.set(key.wrapping_add(WITHDRAWN), received, 0);
    let mut upcoming = holes.iter().peekable();
    let mut refused = 0;
    for &row in rows {
        while let Some(hole) = upcoming.next_if(|hole| hole.row <= row) {
            refused += u64::from(hole.lines);
        }
        seen.set(withdrawn_mark(key, submission.first_ordinal + u64::from(row) + refused), received, 0);
    }
}

fn is_marked(seen: &Seen, key: u128, now: Timestamp) -> bool {
    seen.get(key).is_some_and(|(marked, _)| marked >= now.minus(ID_WINDOW))
}

fn withdrawn_mark(key: u128, ordinal: u64) -> u128 {
    hole_mark(key, ordinal).wrapping_add(WITHDRAWN)
}

/// Keys of every mark that taking a part in may ask for or set: the request's own and its lines'.
pub(super) fn keys_of(submission: &Submission, holes: &[Hole]) -> impl Iterator<Item = u128> {
    let lines = submission.first_ordinal..submission.reached(holes);
    submission.idempotency.into_iter().flat_map(move |key| std::iter::once(key).chain(lines.clone().map(move |ordinal| hole_mark(key, ordinal))))
}

fn hole_mark(key: u128, ordinal: u64) -> u128 {
    key.wrapping_add((u128::from(ordinal) + 1).wrapping_mul(STEP))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::OrgNo;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, VecDeque};
    use std::time::Duration;

    const DAY: Duration = Duration::from_hours(24);

    /// A part of a request as it lies in the ledger, with the line of each event.
    struct Part {
        table: Vec<u8>,
        lines: Vec<usize>,
    }

    /// Cuts a body of good (`true`) and refused lines into parts of at most `size` events, as intake does.
    fn parts(body: &[bool], size: usize) -> VecDeque<Part> {
        let mut parts = VecDeque::new();
        let (mut lines, mut holes, mut refused, mut first_ordinal) = (Vec::new(), Vec::new(), 0, 0);
        for (line, &is_good) in body.iter().enumerate() {
            if !is_good {
                refused += 1;
                continue;
            }
            if refused > 0 {
                holes.push(Hole { row: lines.len() as u32, lines: refused });
                refused = 0;
            }
            lines.push(line);
            if lines.len() == size || !body[line + 1..].contains(&true) {
                let rows = lines.len() as u32;
                let submission = Submission { org: OrgNo(1), nonce: 1, idempotency: Some(99), first_ordinal, start: 0, rows, last: false };
                first_ordinal = submission.reached(&holes);
                assert_eq!(first_ordinal, line as u64 + 1, "an ordinal is a line's place");
                let mut table = Vec::new();
                submission.write(&holes, &mut table);
                parts.push_back(Part { table, lines: std::mem::take(&mut lines) });
                holes.clear();
            }
        }
        parts
    }

    /// Takes a part in; gives the lines whose events are new.
    fn take(seen: &mut Seen, part: &Part, now: Timestamp) -> Vec<usize> {
        let (submission, holes) = Submission::read_all(&part.table).unwrap().remove(0);
        let mut coverage = Coverage::of(seen, &submission, &holes, now).unwrap();
        let new = part.lines.iter().copied().filter(|_| !coverage.next_came_before(seen)).collect();
        coverage.remember(seen);
        new
    }

    /// Takes a whole body in; `x` is a refused line.
    fn send(seen: &mut Seen, body: &str, now: Timestamp) -> Vec<usize> {
        let body: Vec<bool> = body.chars().map(|line| line != 'x').collect();
        parts(&body, 3).iter().flat_map(|part| take(seen, part, now)).collect()
    }

    fn begin() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    #[test]
    fn a_corrected_body_takes_the_corrected_lines_alone() {
        let mut seen = Seen::default();
        assert_eq!(send(&mut seen, "x..xx.....x", begin()), [1, 2, 5, 6, 7, 8, 9]);
        assert_eq!(send(&mut seen, "x..x......x", begin()), [4]);
        assert_eq!(send(&mut seen, "...........", begin()), [0, 3, 10]);
        assert_eq!(send(&mut seen, "...........", begin()), [] as [usize; 0]);
    }

    #[test]
    fn a_line_once_taken_stays_taken_when_it_is_refused_later() {
        let mut seen = Seen::default();
        assert_eq!(send(&mut seen, "....", begin()), [0, 1, 2, 3]);
        assert_eq!(send(&mut seen, "x..x..", begin()), [4, 5]);
        assert_eq!(send(&mut seen, "......", begin()), [] as [usize; 0]);
    }

    #[test]
    fn marks_that_were_frozen_decide_alike() {
        let mut seen = Seen::default();
        assert_eq!(send(&mut seen, "..x.x.", begin()), [0, 1, 3, 5]);
        drop(seen.freeze());
        assert_eq!(send(&mut seen, "....x.", begin()), [2]);
        assert_eq!(send(&mut seen, "......", begin()), [4]);
        assert_eq!(send(&mut seen, "......", begin()), [] as [usize; 0]);
    }

    #[test]
    fn a_key_and_its_holes_are_forgotten_together() {
        let mut seen = Seen::default();
        assert_eq!(send(&mut seen, ".x.x.", begin()), [0, 2, 4]);
        // It goes on six days later, and its holes are open as long as the key is known.
        assert_eq!(send(&mut seen, ".x.x..", begin().plus(6 * DAY)), [5]);
        assert_eq!(send(&mut seen, "...x..", begin().plus(7 * DAY)), [1]);
        let later = begin().plus(7 * DAY + Duration::from_micros(1));
        assert_eq!(send(&mut seen, "x.....", later), [1, 2, 3, 4, 5]);
        assert_eq!(send(&mut seen, "......", later), [0], "a hole of the time before is none");
        assert_eq!(send(&mut seen, "......", later), [] as [usize; 0]);
    }

    #[test]
    fn what_comes_after_a_refused_part_is_not_covered() {
        let mut seen = Seen::default();
        let all = parts(&[true, false, true, true, false, true, true, true], 2);
        assert_eq!(take(&mut seen, &all[0], begin()), [0, 2]);
        assert_eq!(take(&mut seen, &all[2], begin()), [6, 7]);
        let again: Vec<usize> = all.iter().flat_map(|part| take(&mut seen, part, begin())).collect();
        assert_eq!(again, [3, 5, 6, 7]);
    }

    #[test]
    fn a_withdrawn_line_that_comes_again_says_so_and_no_other_does() {
        let mut seen = Seen::default();
        let all = parts(&[false, true, true, false, true, true], 3);
        let lines: Vec<usize> = all.iter().flat_map(|part| take(&mut seen, part, begin())).collect();
        assert_eq!(lines, [1, 2, 4, 5]);
        let (submission, holes) = Submission::read_all(&all[0].table).unwrap().remove(0);
        assert_eq!(all[0].lines, [1, 2, 4]);
        remember_withdrawn(&mut seen, &submission, &holes, &[1, 2], begin());
        let again = |seen: &mut Seen, now: Timestamp| {
            let mut withdrawn = Vec::new();
            for part in &all {
                let (submission, holes) = Submission::read_all(&part.table).unwrap().remove(0);
                let mut coverage = Coverage::of(seen, &submission, &holes, now).unwrap();
                for &line in &part.lines {
                    if coverage.next_came_before(seen) && coverage.was_withdrawn(seen) {
                        withdrawn.push(line);
                    }
                }
                coverage.remember(seen);
            }
            withdrawn
        };
        assert_eq!(again(&mut seen, begin().plus(DAY)), [2, 4]);
        drop(seen.freeze());
        assert_eq!(again(&mut seen, begin().plus(2 * DAY)), [2, 4], "also from marks that were frozen");
        assert!(again(&mut seen, begin().plus(9 * DAY)).is_empty());
    }

    proptest! {
        /// Bodies of good and refused lines under one key, each cut in its own way, broken off anywhere and mixed with the others.
        #[test]
        fn each_line_is_taken_once(
            bodies in proptest::collection::vec((proptest::collection::vec(any::<bool>(), 1..40), 1_usize..9), 1..6),
            order in proptest::collection::vec((0_usize..6, 1_usize..8), 0..40),
        ) {
            let mut requests: Vec<VecDeque<Part>> = bodies.iter().map(|(body, size)| parts(body, *size)).collect();
            let (mut seen, mut taken) = (Seen::default(), BTreeSet::new());
            for (number, (request, count)) in order.into_iter().enumerate() {
                let request = request % requests.len();
                for _ in 0..count {
                    let Some(part) = requests[request].pop_front() else { break };
                    let now = begin().plus(Duration::from_secs(number as u64));
                    let expected: Vec<usize> = part.lines.iter().copied().filter(|line| taken.insert(*line)).collect();
                    prop_assert_eq!(take(&mut seen, &part, now), expected);
                }
            }
        }
    }
}
