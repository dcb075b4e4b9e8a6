//! The life of a finding: what is wrong in a network, from the first sight of it to its end.
//!
//! Flow: people of the owner take steps → [`FindingState::after`]; what is seen since then and time itself → [`FindingState::as_of`].
//! Invariant: these two functions alone move a finding; one that is seen again after it was fixed is open again whoever says what.
//! Not here: who may take a step (`hub::owners`), what a finding is made of (`store::views::owners`).

use crate::Timestamp;
use crate::event::word_enum;
use std::time::Duration;

/// Not seen for so long, a finding is closed.
pub const CLOSED_AFTER: Duration = Duration::from_secs(30 * 86_400);

word_enum! {
    /// State of a finding.
    FindingState: u8, "state" {
        /// Nobody has acted on it.
        Open = 0 => "open",
        /// The owner knows.
        Acknowledged = 1 => "acknowledged",
        /// The owner says that it is over.
        Fixed = 2 => "fixed",
        /// Somebody looked and it is over.
        Verified = 3 => "verified",
        /// It was seen again after it was fixed, or somebody says so.
        Reopened = 4 => "reopened",
        /// The owner says that the value is not its own.
        NotMine = 5 => "not_mine",
        /// The owner says that nothing is wrong.
        FalsePositive = 6 => "false_positive",
        /// The owner lives with it until a date.
        AcceptedRisk = 7 => "accepted_risk",
        /// Not seen again for thirty days.
        Closed = 8 => "closed",
    }
}

word_enum! {
    /// What is done with a finding.
    FindingStep: u8, "step" {
        /// The owner takes notice.
        Acknowledge = 0 => "acknowledge",
        /// The owner has ended it.
        Fix = 1 => "fix",
        /// Somebody looked and it is over.
        Verify = 2 => "verify",
        /// It is not over.
        Reopen = 3 => "reopen",
        /// The value is not the owner's.
        NotMine = 4 => "not-mine" | "not_mine",
        /// Nothing is wrong.
        FalsePositive = 5 => "false-positive" | "false_positive",
        /// The owner lives with it until a date.
        AcceptRisk = 6 => "accept-risk" | "accept_risk",
        /// What waited for release is told to the owner.
        Release = 7 => "release",
    }
}

impl FindingState {
    /// The only place where a step changes the state; `None` where it is not legal. A release changes what the owner sees and no state.
    pub const fn after(self, step: FindingStep) -> Option<Self> {
        match (self, step) {
            (Self::Open | Self::Reopened, FindingStep::Acknowledge) => Some(Self::Acknowledged),
            (Self::Open | Self::Reopened | Self::Acknowledged, FindingStep::Fix) => Some(Self::Fixed),
            (Self::Open | Self::Reopened | Self::Acknowledged, FindingStep::NotMine) => Some(Self::NotMine),
            (Self::Open | Self::Reopened | Self::Acknowledged, FindingStep::FalsePositive) => Some(Self::FalsePositive),
            (Self::Open | Self::Reopened | Self::Acknowledged, FindingStep::AcceptRisk) => Some(Self::AcceptedRisk),
            (Self::Fixed, FindingStep::Verify) => Some(Self::Verified),
            (Self::Fixed | Self::Verified | Self::NotMine | Self::FalsePositive | Self::AcceptedRisk | Self::Closed, FindingStep::Reopen) => {
                Some(Self::Reopened)
            }
            (
                Self::Open
                | Self::Acknowledged
                | Self::Fixed
                | Self::Verified
                | Self::Reopened
                | Self::NotMine
                | Self::FalsePositive
                | Self::AcceptedRisk
                | Self::Closed,
                FindingStep::Acknowledge
                | FindingStep::Fix
                | FindingStep::Verify
                | FindingStep::Reopen
                | FindingStep::NotMine
                | FindingStep::FalsePositive
                | FindingStep::AcceptRisk
                | FindingStep::Release,
            ) => None,
        }
    }

    /// The words of the legal steps, comma-separated.
    pub fn legal(self) -> String {
        let legal: Vec<&str> = FindingStep::ALL.iter().filter(|step| self.after(**step).is_some()).map(|step| step.as_str()).collect();
        legal.join(", ")
    }

    /// The state at `now`, of one that people set to this at `set` (`until`: of an accepted risk) and that was seen last at `last_seen`.
    #[must_use]
    pub fn as_of(self, set: Timestamp, until: Option<Timestamp>, last_seen: Timestamp, now: Timestamp) -> Self {
        let over = now >= last_seen.plus(CLOSED_AFTER) && now >= set.plus(CLOSED_AFTER);
        match self {
            Self::Fixed | Self::Verified if last_seen > set => {
                if over {
                    Self::Closed
                } else {
                    Self::Reopened
                }
            }
            Self::AcceptedRisk if until.is_none_or(|until| now >= until) => {
                if over {
                    Self::Closed
                } else {
                    Self::Reopened
                }
            }
            Self::Open | Self::Acknowledged | Self::Reopened | Self::Fixed if over => Self::Closed,
            Self::Open
            | Self::Acknowledged
            | Self::Fixed
            | Self::Verified
            | Self::Reopened
            | Self::NotMine
            | Self::FalsePositive
            | Self::AcceptedRisk
            | Self::Closed => self,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn day(days: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000).plus(Duration::from_secs(days * DAY))
    }

    #[test]
    fn what_is_seen_again_after_it_was_fixed_is_open_again() {
        for fixed in [FindingState::Fixed, FindingState::Verified] {
            assert_eq!(fixed.as_of(day(2), None, day(1), day(3)), fixed);
            assert_eq!(fixed.as_of(day(2), None, day(3), day(4)), FindingState::Reopened);
        }
    }

    #[test]
    fn thirty_days_unseen_close_it_and_the_next_sight_opens_it() {
        assert_eq!(FindingState::Open.as_of(day(0), None, day(0), day(29)), FindingState::Open);
        assert_eq!(FindingState::Open.as_of(day(0), None, day(0), day(30)), FindingState::Closed);
        assert_eq!(FindingState::Open.as_of(day(0), None, day(31), day(32)), FindingState::Open);
        assert_eq!(FindingState::Reopened.as_of(day(40), None, day(0), day(41)), FindingState::Reopened, "somebody has just said that it is not over");
        assert_eq!(FindingState::NotMine.as_of(day(0), None, day(0), day(99)), FindingState::NotMine);
    }

    #[test]
    fn a_risk_is_accepted_until_its_date() {
        assert_eq!(FindingState::AcceptedRisk.as_of(day(0), Some(day(90)), day(60), day(89)), FindingState::AcceptedRisk);
        assert_eq!(FindingState::AcceptedRisk.as_of(day(0), Some(day(90)), day(80), day(90)), FindingState::Reopened);
        assert_eq!(FindingState::AcceptedRisk.as_of(day(0), Some(day(90)), day(1), day(90)), FindingState::Closed);
    }

    #[test]
    fn every_state_names_its_legal_steps() {
        for (state, legal) in [
            (FindingState::Open, "acknowledge, fix, not-mine, false-positive, accept-risk"),
            (FindingState::Acknowledged, "fix, not-mine, false-positive, accept-risk"),
            (FindingState::Fixed, "verify, reopen"),
            (FindingState::Verified, "reopen"),
            (FindingState::Closed, "reopen"),
        ] {
            assert_eq!(state.legal(), legal, "{state}");
        }
    }
}
