//! Which values no product may hold, whatever is said of them: reserved ranges, benign values, protected systems, and what is so wide that
//! it holds bystanders.
//!
//! Invariant: a range is spared as soon as it shares an address with what is spared, and a name as soon as something spared is below it: who
//! blocks it would block that.

use crate::directory::Snapshot;
use crate::warning_lists::WarningLists;
use hashbrown::HashSet;
use ipnet::IpNet;
use model::canonical::is_reserved;
use model::filter::host_of_url;
use model::{ObservableType, Text};
use std::net::IpAddr;
use store::records::NetworkKind;

/// Prefix lengths below which a range is too wide for a product.
const WIDEST_IPV4: u8 = 8;
/// As [`WIDEST_IPV4`].
const WIDEST_IPV6: u8 = 19;
/// Second-level labels under which registries of two-letter domains give out names: `co.kr` is nobody's.
const REGISTRY_LABELS: &[&str] = &["ac", "co", "com", "edu", "go", "gov", "gob", "mil", "ne", "net", "nom", "or", "org", "pe", "re"];

/// The protected systems of one moment.
#[derive(Debug, Default)]
pub(super) struct Protected {
    ranges: HashSet<IpNet>,
    /// Lengths in use, so that a look is one probe per length.
    lengths: Vec<u8>,
    names: HashSet<Text>,
    /// Every name above a protected one.
    above: HashSet<Text>,
    as_numbers: HashSet<Text>,
    /// Places on the web, without their scheme.
    places: Vec<Text>,
    /// Tells one set of protected systems from another.
    pub(super) stamp: u32,
}

impl Protected {
    /// What is registered as protected, approved and proven.
    pub(super) fn of(directory: &Snapshot) -> Self {
        let mut protected = Self::default();
        let mut hasher = blake3::Hasher::new();
        for network in directory.networks().iter().filter(|network| network.protected && network.counts()) {
            hasher.update(network.kind.as_str().as_bytes());
            hasher.update(network.value.as_bytes());
            hasher.update(b"\n");
            match network.kind {
                NetworkKind::Cidr => {
                    if let Some(range) = crate::directory::parse_range(&network.value) {
                        protected.lengths.push(range.prefix_len());
                        protected.ranges.insert(range);
                    }
                }
                NetworkKind::Domain => {
                    protected.above.extend(parents(&network.value).map(Text::from));
                    protected.names.insert(network.value.clone());
                }
                NetworkKind::Asn => {
                    protected.as_numbers.insert(network.value.clone());
                }
                NetworkKind::Url => protected.add_place(&network.value),
            }
        }
        protected.lengths.sort_unstable();
        protected.lengths.dedup();
        protected.stamp = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        protected
    }

    /// A place on the web: what is below it is spared, and so is the host and every name above it, but not what else the host serves.
    fn add_place(&mut self, place: &str) {
        let host = host_of_url(place);
        if let Some(address) = crate::directory::parse_range(host.trim_matches(['[', ']'])) {
            self.lengths.push(address.prefix_len());
            self.ranges.insert(address);
        } else {
            self.above.extend(std::iter::once(host).chain(parents(host)).map(Text::from));
        }
        self.places.push(Text::from(without_scheme(place)));
    }

    /// Whether a URL is at a protected place or below it.
    fn place(&self, url: &str) -> bool {
        let url = without_scheme(url);
        self.places.iter().any(|place| {
            let rest = url.strip_prefix(place.as_str());
            rest.is_some_and(|rest| rest.is_empty() || place.ends_with('/') || rest.starts_with(['/', '?', '#']))
        })
    }

    /// Whether blocking a value would touch a protected system.
    fn holds(&self, kind: ObservableType, value: &str) -> bool {
        match kind {
            ObservableType::Cidr => value.parse::<IpNet>().is_ok_and(|wide| self.ranges.iter().any(|range| range.contains(&wide) || wide.contains(range))),
            ObservableType::Asn => self.as_numbers.contains(value),
            ObservableType::Domain => self.above.contains(value) || self.host(value),
            ObservableType::Url => self.host(host_of_url(value)) || self.place(value),
            _ => host_of(kind, value).is_some_and(|host| self.host(host)),
        }
    }

    /// Whether a name or address is protected.
    fn host(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = address.to_canonical();
            return self.lengths.iter().any(|&length| IpNet::new(address, length).is_ok_and(|range| self.ranges.contains(&range.trunc())));
        }
        // URLs keep the dot of the root.
        let host = host.strip_suffix('.').unwrap_or(host);
        std::iter::once(host).chain(parents(host)).any(|name| self.names.contains(name))
    }
}

/// Whether no product may hold a value.
pub(super) fn is_spared(kind: ObservableType, value: &str, protected: &Protected, lists: &WarningLists) -> bool {
    is_reserved(kind, value) || is_too_wide(kind, value) || protected.holds(kind, value) || lists.touches(kind, value)
}

fn is_too_wide(kind: ObservableType, value: &str) -> bool {
    match kind {
        ObservableType::Cidr => value.parse::<IpNet>().is_ok_and(|range| match range {
            IpNet::V4(range) => range.prefix_len() < WIDEST_IPV4,
            IpNet::V6(range) => range.prefix_len() < WIDEST_IPV6,
        }),
        ObservableType::Domain => match value.rsplit_once('.') {
            None => true,
            Some((before, top)) => top.len() == 2 && REGISTRY_LABELS.contains(&before),
        },
        _ => false,
    }
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// The host that an address or a mail address names.
fn host_of(kind: ObservableType, value: &str) -> Option<&str> {
    match kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 => Some(value),
        ObservableType::Email => value.rsplit_once('@').map(|(_, host)| host),
        _ => None,
    }
}

/// Every name above a name, the nearest first.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.').map(|(_, rest)| rest), |name| name.split_once('.').map(|(_, rest)| rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn protected(ranges: &[&str], names: &[&str]) -> Protected {
        let ranges: HashSet<IpNet> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        Protected {
            lengths: ranges.iter().map(IpNet::prefix_len).collect(),
            ranges,
            names: names.iter().map(|name| Text::from(*name)).collect(),
            above: names.iter().flat_map(|name| parents(name)).map(Text::from).collect(),
            as_numbers: [Text::from("9318")].into_iter().collect(),
            ..Protected::default()
        }
    }

    #[test]
    fn what_touches_a_protected_system_is_spared() {
        use ObservableType::{Asn, Cidr, Domain, Email, Ipv4, Ipv6, Sha256, Url};
        let mut protected = protected(&["211.45.0.0/24", "2001:290::/32"], &["grid.go.kr"]);
        protected.add_place("https://portal.kr/tax");
        let lists = WarningLists::default();
        for (kind, value, expected) in [
            (Ipv4, "211.45.0.7", true),
            (Ipv4, "211.45.1.7", false),
            (Ipv6, "2001:290::1", true),
            (Ipv6, "2001:291::1", false),
            (Cidr, "211.45.0.128/25", true),
            (Cidr, "211.45.0.0/16", true),
            (Cidr, "211.46.0.0/16", false),
            (Domain, "grid.go.kr", true),
            (Domain, "a.grid.go.kr", true),
            (Domain, "go.kr", true),
            (Domain, "mygrid.go.kr", false),
            (Url, "http://www.grid.go.kr/x", true),
            (Url, "http://www.grid.go.kr./x", true),
            (Url, "http://211.45.0.7/x", true),
            (Url, "http://[2001:290::1]/x", true),
            (Url, "http://evil.kr/grid.go.kr", false),
            (Email, "a@grid.go.kr", true),
            (Url, "http://portal.kr/tax/login", true),
            (Url, "http://portal.kr/taxi", false),
            (Domain, "portal.kr", true),
            (Domain, "www.portal.kr", false),
            (Asn, "9318", true),
            (Asn, "9319", false),
            (Ipv4, "10.1.2.3", true),
            (Cidr, "185.0.0.0/7", true),
            (Cidr, "185.0.0.0/8", false),
            (Domain, "com", true),
            (Domain, "co.kr", true),
            (Domain, "co.example", true),
            (Domain, "evil.co.kr", false),
            (Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false),
        ] {
            assert_eq!(is_spared(kind, value, &protected, &lists), expected, "{kind} {value}");
        }
    }
}
