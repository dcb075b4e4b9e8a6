//! The rule that gives a standing: full → warned → receive-limited, and back.
//!
//! Flow: `sharing::standing` gathers [`Facts`] of each member → [`decide`] → `Members::settle_standing` writes the decision.
//! Invariant: a pure function of its facts; deciding twice on the same day decides nothing the second time.
//! Invariant: an operator's decision stands until its date, and nobody is limited who was not warned with the date before.
//! Not here: what a standing lets a reader see (`policy`). The rule in words with dates and an example: `docs/standing.md`.

use model::time::{civil_from_days, days_from_civil};
use model::{OrgKind, OrgNo, Organisation, Standing, StandingBy, Timestamp};
use std::fmt;
use std::time::Duration;

/// Whole civil months after the one of accreditation that are not judged.
pub const GRACE_MONTHS: i64 = 2;
/// Civil days after the end of a warned member's next month from which it is limited.
pub const NOTICE_DAYS: i64 = 14;
/// How long an operator's decision stands where it names no date: half a year.
pub const OPERATOR_HOLDS: Duration = Duration::from_secs(183 * 86_400);
/// How far ahead the date of an operator's decision may lie.
pub const MAX_HOLD: Duration = Duration::from_secs(5 * 366 * 86_400);

/// The rule in words, for answers.
pub const RULE: &str = "A company or agency that in a whole calendar month of the realm's zone shares nothing of use is warned with a date, and receive-limited from that date, \
     14 days after the next month's end, unless it shares something of use before. One observation of use restores full standing within a day. Of use is an accepted own observation: \
     relayed events, category test and withdrawn events are not, nor are events of which every value's false-positive claim was upheld; more than one count no more than one. \
     The month of accreditation and the two after it are not judged. An operator can decide otherwise with a reason, until a date. \
     Standing never limits a member's own findings, warnings, or clear data.";

/// A civil month in the realm's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i64);

impl Month {
    /// The month of a civil day, days since 1970-01-01.
    pub const fn of_day(day: i64) -> Self {
        let (year, month, _) = civil_from_days(day);
        Self(year * 12 + month - 1)
    }

    /// The month so many months later.
    #[must_use]
    pub const fn plus(self, months: i64) -> Self {
        Self(self.0 + months)
    }

    /// Its first civil day, days since 1970-01-01.
    pub const fn first_day(self) -> i64 {
        days_from_civil(self.0.div_euclid(12), self.0.rem_euclid(12) + 1, 1)
    }

    /// The civil day from which a member that is warned in this month is limited.
    pub const fn limit_day(self) -> i64 {
        self.plus(1).first_day() + NOTICE_DAYS
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// What the hub received of a member since the month that is judged began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shared {
    /// Whether one event of the judged month or of the current one is of use.
    pub of_use: bool,
    /// Relayed events of the judged month.
    pub relayed: u64,
    /// Its events of category `test`.
    pub test: u64,
    /// Its events that were withdrawn.
    pub withdrawn: u64,
    /// Its own observations of which every value's false-positive claim was upheld.
    pub disputed: u64,
}

/// What the rule decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the rule applies to the organisation.
    pub bound: bool,
    /// Its standing now.
    pub standing: Standing,
    /// Who decided that.
    pub by: StandingBy,
    /// The date of that decision.
    pub review: Option<Timestamp>,
    /// The moment.
    pub now: Timestamp,
    /// Its civil month; the one before is judged.
    pub month: Month,
    /// The month of accreditation.
    pub joined: Month,
    /// The moment at which [`Month::limit_day`] of the current month begins.
    pub limit_from: Timestamp,
    /// What was received.
    pub shared: Shared,
}

/// What the rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Everything stays.
    Keep,
    /// Another standing, or a warning in an operator's place.
    Set {
        /// The standing from now on.
        standing: Standing,
        /// Its date.
        review: Option<Timestamp>,
        /// The rule and the figures, in words.
        reason: String,
    },
}

/// Whether an organisation is bound to share and the rule not switched off for it.
pub fn is_bound(organisation: &Organisation) -> bool {
    let kind = match organisation.kind {
        OrgKind::Company | OrgKind::Agency => true,
        OrgKind::Authority | OrgKind::Cert | OrgKind::Vendor | OrgKind::Partner | OrgKind::Source => false,
    };
    kind && organisation.standing_rule && organisation.number != OrgNo::HUB
}

/// Whether an operator's decision stands at `now`.
pub fn is_held(by: StandingBy, review: Option<Timestamp>, now: Timestamp) -> bool {
    match by {
        StandingBy::Operator => review.is_none_or(|until| now < until),
        StandingBy::Rule => false,
    }
}

/// The only place where the rule changes a standing.
pub fn decide(facts: &Facts) -> Decision {
    if facts.standing == Standing::Revoked || is_held(facts.by, facts.review, facts.now) {
        return Decision::Keep;
    }
    if !facts.bound {
        // Where the rule no longer applies it takes back what it did; what an operator decided stays.
        let its_own = facts.by == StandingBy::Rule && facts.standing != Standing::Full;
        return if its_own { full("the rule of contribution does not apply to this organisation".to_owned()) } else { Decision::Keep };
    }
    if facts.shared.of_use {
        if facts.standing == Standing::Full {
            return Decision::Keep;
        }
        return full(format!("something of use was shared since the beginning of {}: by rule that restores full standing", facts.month.plus(-1)));
    }
    let first_judged = facts.joined.plus(1 + GRACE_MONTHS);
    if facts.month.plus(-1) < first_judged {
        return Decision::Keep;
    }
    match (facts.standing, facts.by, facts.review) {
        (Standing::Warned, StandingBy::Rule, Some(from)) if facts.now >= from => limited(facts),
        // Warned, and its date is still to come; or limited already.
        (Standing::Warned, StandingBy::Rule, Some(_)) | (Standing::ReceiveLimited | Standing::Revoked, _, _) => Decision::Keep,
        // An operator's warning whose date is over names no date from which the member is limited: it is warned anew.
        (Standing::Full, _, _) | (Standing::Warned, StandingBy::Operator, _) | (Standing::Warned, StandingBy::Rule, None) => warned(facts),
    }
}

fn full(reason: String) -> Decision {
    Decision::Set { standing: Standing::Full, review: None, reason }
}

fn warned(facts: &Facts) -> Decision {
    let (year, month, day) = civil_from_days(facts.month.limit_day());
    let reason = format!(
        "nothing of use was shared in the whole month {} ({}): warned by rule; receive-limited from {year:04}-{month:02}-{day:02} unless something of use is shared before; \
         one observation of use restores full standing",
        facts.month.plus(-1),
        figures(&facts.shared),
    );
    Decision::Set { standing: Standing::Warned, review: Some(facts.limit_from), reason }
}

fn limited(facts: &Facts) -> Decision {
    let reason = format!(
        "nothing of use was shared since the warning, {} included ({}): receive-limited by rule from the date of the warning; one observation of use restores full standing",
        facts.month.plus(-1),
        figures(&facts.shared),
    );
    Decision::Set { standing: Standing::ReceiveLimited, review: None, reason }
}

fn figures(shared: &Shared) -> String {
    let Shared { of_use: _, relayed, test, withdrawn, disputed } = shared;
    format!("own observations that count 0; relayed {relayed}, test {test}, withdrawn {withdrawn}, upheld as false positives {disputed}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn day(year: i64, month: i64, day: i64) -> i64 {
        days_from_civil(year, month, day)
    }

    fn at(civil: i64) -> Timestamp {
        Timestamp::from_seconds(civil * DAY)
    }

    /// A company accredited on 2026-01-20, judged on a civil day (UTC), with nothing of use.
    fn idle(standing: Standing, by: StandingBy, review: Option<i64>, today: i64) -> Facts {
        let month = Month::of_day(today);
        Facts {
            bound: true,
            standing,
            by,
            review: review.map(at),
            now: at(today),
            month,
            joined: Month::of_day(day(2026, 1, 20)),
            limit_from: at(month.limit_day()),
            shared: Shared { relayed: 7, ..Shared::default() },
        }
    }

    fn verdict(facts: &Facts) -> (Standing, Option<Timestamp>) {
        match decide(facts) {
            Decision::Keep => (facts.standing, facts.review),
            Decision::Set { standing, review, .. } => (standing, review),
        }
    }

    #[test]
    fn each_standing_follows_from_the_one_before_by_date() {
        use Standing::{Full, ReceiveLimited, Revoked, Warned};
        use StandingBy::{Operator, Rule};
        let limit = Some(day(2026, 6, 15));
        // Standing, who decided it, its date, today; then what it becomes and its date.
        let table = [
            // February and March are grace; April is the first month that is judged.
            (Full, Rule, None, day(2026, 2, 1), Full, None),
            (Full, Rule, None, day(2026, 4, 30), Full, None),
            (Full, Rule, None, day(2026, 5, 1), Warned, limit),
            (Full, Rule, None, day(2026, 5, 31), Warned, limit),
            (Warned, Rule, limit, day(2026, 5, 2), Warned, limit),
            (Warned, Rule, limit, day(2026, 6, 14), Warned, limit),
            (Warned, Rule, limit, day(2026, 6, 15), ReceiveLimited, None),
            (Warned, Rule, limit, day(2026, 9, 1), ReceiveLimited, None),
            (ReceiveLimited, Rule, None, day(2026, 9, 1), ReceiveLimited, None),
            (Revoked, Rule, None, day(2026, 9, 1), Revoked, None),
            // Of records that were written before warnings had dates.
            (Warned, Rule, None, day(2026, 5, 2), Warned, limit),
            // An operator's decision stands until its date; then the rule goes on, with a warning first.
            (Full, Operator, Some(day(2026, 9, 1)), day(2026, 8, 31), Full, Some(day(2026, 9, 1))),
            (Full, Operator, Some(day(2026, 9, 1)), day(2026, 9, 1), Warned, Some(day(2026, 10, 15))),
            (Warned, Operator, Some(day(2026, 9, 1)), day(2026, 9, 1), Warned, Some(day(2026, 10, 15))),
            (ReceiveLimited, Operator, Some(day(2026, 9, 1)), day(2026, 9, 1), ReceiveLimited, Some(day(2026, 9, 1))),
            (Full, Operator, None, day(2026, 9, 1), Full, None),
        ];
        for (standing, by, review, today, after, date) in table {
            let facts = idle(standing, by, review, today);
            assert_eq!(verdict(&facts), (after, date.map(at)), "{standing} by {by} on {:?}", civil_from_days(today));
        }
    }

    #[test]
    fn one_observation_of_use_restores_and_keeps_full_standing() {
        let today = day(2026, 7, 20);
        for standing in [Standing::Warned, Standing::ReceiveLimited, Standing::Full] {
            let facts = idle(standing, StandingBy::Rule, None, today);
            let facts = Facts { shared: Shared { of_use: true, ..facts.shared }, ..facts };
            assert_eq!(verdict(&facts), (Standing::Full, None));
        }
        let held = idle(Standing::ReceiveLimited, StandingBy::Operator, Some(today + 1), today);
        let held = Facts { shared: Shared { of_use: true, ..held.shared }, ..held };
        assert_eq!(decide(&held), Decision::Keep);
    }

    #[test]
    fn deciding_again_decides_nothing() {
        for standing in Standing::ALL {
            for by in StandingBy::ALL {
                for review in [None, Some(day(2026, 6, 15))] {
                    for today in [day(2026, 3, 1), day(2026, 5, 1), day(2026, 6, 20)] {
                        for bound in [true, false] {
                            let facts = Facts { bound, ..idle(*standing, *by, review, today) };
                            if let Decision::Set { standing, review, .. } = decide(&facts) {
                                let after = Facts { standing, review, by: StandingBy::Rule, ..facts };
                                assert_eq!(decide(&after), Decision::Keep, "{facts:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_rule_takes_back_what_it_did_where_it_no_longer_applies() {
        let unbound = |by| Facts { bound: false, ..idle(Standing::Warned, by, None, day(2026, 9, 1)) };
        assert_eq!(verdict(&unbound(StandingBy::Rule)).0, Standing::Full);
        assert_eq!(verdict(&unbound(StandingBy::Operator)).0, Standing::Warned);
    }

    #[test]
    fn a_reason_holds_the_month_the_figures_and_the_date() {
        let Decision::Set { reason, .. } = decide(&idle(Standing::Full, StandingBy::Rule, None, day(2026, 12, 3))) else { panic!("is warned") };
        for part in ["2026-11", "relayed 7", "2027-01-15"] {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn months_go_over_the_years() {
        let month = Month::of_day(day(2026, 12, 31));
        assert_eq!((month.to_string(), month.plus(1).to_string()), ("2026-12".to_owned(), "2027-01".to_owned()));
        assert_eq!(month.plus(1).first_day(), day(2027, 1, 1));
        assert_eq!(Month::of_day(day(1969, 12, 31)).plus(1).first_day(), 0);
    }
}
