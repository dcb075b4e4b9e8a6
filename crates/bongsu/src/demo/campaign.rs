//! Campaigns: one actor's malware, servers, sites and files, and the wave in which they reach one sector after the other.
//!
//! Not here: the events that members report of it (`nation`).

use super::names;
use super::random::Random;

/// Campaigns before the demo's start; they make the history.
const PAST: u64 = 9;
/// Seconds of the history.
pub const HISTORY: f64 = 14.0 * 86_400.0;
/// Seconds between two campaigns after the start.
const PERIOD: f64 = 900.0;
/// Campaigns after the start: they last for four days.
const FUTURE: u64 = 384;

/// A campaign. Times are seconds relative to the demo's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Its malware.
    pub malware: String,
    /// Control servers' addresses.
    pub servers: Vec<String>,
    /// Control servers' domains.
    pub domains: Vec<String>,
    /// Phishing pages.
    pub pages: Vec<String>,
    /// SHA-256 of its files.
    pub files: Vec<String>,
    /// ATT&CK techniques.
    pub techniques: Vec<&'static str>,
    /// Sectors in the order in which the wave reaches them.
    pub sectors: Vec<&'static str>,
    /// When the wave reaches the first sector.
    pub start: f64,
    /// From one sector to the next.
    pub lag: f64,
    /// From a sector's first event to its peak.
    pub rise: f64,
    /// Height of the peak, in multiples of the everyday noise.
    pub height: f64,
}

/// Every campaign of a seed, in order of their start.
pub fn all(seed: u64, sectors: &[&'static str]) -> Vec<Campaign> {
    let mut campaigns: Vec<Campaign> = (0..PAST + FUTURE).map(|number| campaign(seed, number, sectors)).collect();
    campaigns.sort_by(|one, other| one.start.total_cmp(&other.start));
    campaigns
}

fn campaign(seed: u64, number: u64, sectors: &[&'static str]) -> Campaign {
    let mut random = Random::new(seed, 0xca3f_0000 + number);
    let domains: Vec<String> = (0..3 + random.below(4)).map(|_| names::domain(&mut random)).collect();
    let pages = (0..8 + random.below(12))
        .map(|_| {
            let host = domains.get(random.zipf(domains.len())).cloned().unwrap_or_default();
            names::url(&mut random, &host)
        })
        .collect();
    let mut order = sectors.to_vec();
    let mut reached = Vec::new();
    for _ in 0..3 + random.below(4) {
        if !order.is_empty() {
            reached.push(order.swap_remove(random.below(order.len())));
        }
    }
    // The last past campaign is at its height when the demo starts, so that there is something to look up and to watch.
    let (start, lag, rise) = match number {
        0 => (-6.0 * 3600.0, 5400.0, 7200.0),
        1..PAST => (-HISTORY * (0.1 + 0.85 * number as f64 / PAST as f64), 12.0 * 3600.0, 10.0 * 3600.0),
        _ => ((number - PAST) as f64 * PERIOD + 120.0, 90.0, 180.0),
    };
    Campaign {
        malware: format!("{}{}", names::word(&mut random, 2), random.pick(&["Loader", "Bot", "Stealer", "Lock", "RAT", ""], "")),
        servers: (0..2 + random.below(4)).map(|_| names::dotted(names::address(&mut random))).collect(),
        domains,
        pages,
        files: (0..4 + random.below(8)).map(|_| names::hash(&mut random, 64)).collect(),
        techniques: vec![
            random.pick(&["T1566.001", "T1566.002", "T1190", "T1195.002"], "T1566.001"),
            random.pick(&["T1071.001", "T1059.001", "T1027", "T1486"], "T1071.001"),
        ],
        sectors: reached,
        start,
        lag,
        rise,
        height: 0.5 + 1.5 * random.fraction(),
    }
}

impl Campaign {
    /// How strongly it reaches the sector at this place of its order, in multiples of the everyday noise: rises quickly, falls slowly.
    pub fn strength(&self, place: usize, at: f64) -> f64 {
        let since = (at - self.start - self.lag * place as f64) / self.rise;
        if since <= 0.0 { 0.0 } else { self.height * since * (1.0 - since).exp() }
    }

    /// How strong it is over all sectors.
    pub fn total(&self, at: f64) -> f64 {
        (0..self.sectors.len()).map(|place| self.strength(place, at)).sum()
    }

    /// Whether it can be felt at all; twelve times its rise after the peak it is over.
    pub fn is_felt(&self, at: f64) -> bool {
        at > self.start && at < self.start + self.lag * self.sectors.len() as f64 + 12.0 * self.rise
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const SECTORS: [&str; 4] = ["finance", "water", "energy", "health"];

    #[test]
    fn a_wave_reaches_the_sectors_one_after_the_other() {
        for campaign in all(1, &SECTORS) {
            let early = campaign.start + campaign.lag / 2.0;
            assert!(campaign.strength(0, early) > 0.0);
            assert!(campaign.strength(1, early).abs() < f64::EPSILON);
            assert!(campaign.strength(0, campaign.start + campaign.rise) > campaign.strength(0, campaign.start + 6.0 * campaign.rise));
        }
    }

    #[test]
    fn one_is_under_way_at_the_start() {
        let felt: Vec<Campaign> = all(1, &SECTORS).into_iter().filter(|campaign| campaign.total(0.0) > 0.3).collect();
        assert!(!felt.is_empty());
    }

    #[test]
    fn campaigns_are_the_same_for_the_same_seed() {
        assert_eq!(all(5, &SECTORS), all(5, &SECTORS));
        assert_ne!(all(5, &SECTORS)[0].malware, all(6, &SECTORS)[0].malware);
    }
}
