//! How long an observable stays active after it was last seen.
//!
//! Invariant: `valid_until` of the event wins; hashes and other content identifiers do not decay.
//! Source: our own defaults, published in `docs/formats.md`; infrastructure that attackers rent changes hands within days, names within months.

use crate::observable::Ages;
use crate::{Category, ObservableType};
use std::time::Duration;

const DAY: u64 = 86_400;

/// The time after `last_seen` until an observable expires; `None`: it does not.
pub const fn lifetime(kind: ObservableType, category: Category) -> Option<Duration> {
    let days = match kind.ages() {
        Ages::Never => return None,
        Ages::LikeAddresses => match category {
            Category::C2Server | Category::MalwareDistribution => 30,
            Category::Scanner | Category::BruteForce | Category::Ddos | Category::Dos => 7,
            _ => 14,
        },
        Ages::LikeDomains => match category {
            Category::Phishing | Category::Spam => 60,
            _ => 90,
        },
        Ages::LikeUrls => match category {
            Category::Phishing => 30,
            _ => 60,
        },
        Ages::LikeAccounts => 90,
        Ages::LikeNetworks => 365,
    };
    Some(Duration::from_secs(days * DAY))
}
