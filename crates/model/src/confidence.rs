//! How much an indicator is trusted today: what was said of it, less with age and with open claims that it is benign.
//!
//! Invariant: pure and monotonic: older never means more, nor does another claim. An upheld claim is no matter of confidence: the
//! indicator is revoked.
//! Source: our own formula, published in `docs/products.md`; the halving by age is the exponential decay that indicators' half-lives
//! are commonly modelled with.

use crate::ObservableType;
use crate::observable::Ages;
use std::time::Duration;

const DAY: u64 = 86_400;
/// Independent reporters below this number are not told from each other: it would tell who is alone.
const FEW: u32 = 3;
const MANY: u32 = 5;

/// The confidence of what nobody gave a confidence to, by the number of its independent reporters.
pub const fn by_reporters(reporters: u32) -> u8 {
    match reporters {
        0..FEW => 50,
        FEW..MANY => 70,
        MANY.. => 85,
    }
}

/// The time in which confidence halves; `None`: content does not age.
pub const fn half_life(kind: ObservableType) -> Option<Duration> {
    let days = match kind.ages() {
        Ages::Never => return None,
        Ages::LikeAddresses => 7,
        Ages::LikeUrls => 15,
        Ages::LikeDomains => 30,
        Ages::LikeAccounts => 45,
        Ages::LikeNetworks => 180,
    };
    Some(Duration::from_secs(days * DAY))
}

/// Confidence today, 0 to 100.
///
/// `given` is the highest that a reporter gave; `age` is the time since it was last seen; `claims` counts the organisations that claim it
/// a false positive and wait for a decision. The first of them changes nothing.
pub fn confidence(given: Option<u8>, reporters: u32, kind: ObservableType, age: Duration, claims: u32) -> u8 {
    let begin = f64::from(given.unwrap_or_else(|| by_reporters(reporters)).min(100));
    let halvings = half_life(kind).map_or(0.0, |half| age.as_secs_f64() / half.as_secs_f64()) + f64::from(claims.saturating_sub(1));
    (begin * (-halvings).exp2()).round() as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn confidence_halves_with_age_and_with_each_claim_but_the_first() {
        use ObservableType::{Domain, Ipv4, Sha256, Url};
        for (given, reporters, kind, days, claims, expected) in [
            (Some(80), 1, Ipv4, 0, 0, 80),
            (Some(80), 1, Ipv4, 7, 0, 40),
            (Some(80), 1, Ipv4, 14, 0, 20),
            (Some(80), 1, Ipv4, 7, 1, 40),
            (Some(80), 1, Ipv4, 7, 2, 20),
            (Some(80), 1, Ipv4, 0, 3, 20),
            (Some(100), 9, Domain, 30, 0, 50),
            (Some(100), 9, Url, 15, 0, 50),
            (Some(100), 9, Sha256, 3_650, 0, 100),
            (None, 0, Ipv4, 0, 0, 50),
            (None, 1, Ipv4, 0, 0, 50),
            (None, 2, Ipv4, 0, 0, 50),
            (None, 3, Ipv4, 0, 0, 70),
            (None, 5, Ipv4, 0, 0, 85),
            (Some(0), 9, Ipv4, 0, 0, 0),
            (Some(255), 0, Ipv4, 0, 0, 100),
            (Some(80), 0, Ipv4, 36_500, 40, 0),
        ] {
            let found = confidence(given, reporters, kind, Duration::from_secs(days * DAY), claims);
            assert_eq!(found, expected, "{given:?} {reporters} {kind} {days} d {claims}");
        }
    }

    proptest! {
        #[test]
        fn neither_age_nor_a_claim_ever_adds(given in proptest::option::of(0..=100_u8), reporters in 0..9_u32, kind in 0..21_u8, age in 0..400_000_000_u64, more in 0..40_000_000_u64, claims in 0..9_u32) {
            let kind = ObservableType::from_number(kind).unwrap();
            let now = confidence(given, reporters, kind, Duration::from_secs(age), claims);
            prop_assert!(now <= 100);
            prop_assert!(confidence(given, reporters, kind, Duration::from_secs(age + more), claims) <= now);
            prop_assert!(confidence(given, reporters, kind, Duration::from_secs(age), claims + 1) <= now);
        }
    }
}
