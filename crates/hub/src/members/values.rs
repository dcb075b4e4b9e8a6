//! What may be registered: the canonical form of a range, domain, AS number or URL, and what is refused with a reason.
//!
//! Flow: [`tidy_value`] reads what was given → [`overlapping`] finds who holds it, or a part of it, already.
//! Invariant: what is many networks' at once (private, shared, link-local addresses) is nobody's, whoever asks. Documentation ranges and names are
//! taken: they are in nobody's traffic, and every example uses them.
//! Source: the IANA special-purpose address registries (RFC 6890, RFC 6598, RFC 2544, RFC 5180), RFC 5771 and RFC 4291 (multicast).
//! Not here: who may register (`networks`), names under which everybody registers (`suffixes`).

use super::invalid;
use super::suffixes::{is_mail_host, is_public};
use crate::HubError;
use crate::directory::Snapshot;
use ipnet::IpNet;
use model::canonical::canonical;
use model::ids::NetworkId;
use model::{ObservableType, OrgId, Text};
use std::net::IpAddr;
use store::records::{NetworkKind, NetworkState};
use store::views::owners::MAX_STEPS;

/// The largest IPv4 range that may be registered without a reason of the coordinator's.
const WIDEST_IPV4: u8 = 8;
/// The largest IPv6 range that may be registered without a reason of the coordinator's.
const WIDEST_IPV6: u8 = 19;
/// Registrations of others that one names as overlapping at the most.
const MAX_CONFLICTS: usize = 20;
/// What can be registered, for who gave something else.
const ACCEPTED: &str = "accepted are a range such as 203.0.113.0/24, an AS number such as AS64500, a domain such as bank.example, or the beginning of a URL";
/// Ranges that nobody owns on the internet, with what they are.
const NOBODYS: [(&str, &str); 21] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private addresses"),
    ("100.64.0.0/10", "addresses that carriers share among their customers"),
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local addresses"),
    ("172.16.0.0/12", "private addresses"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.168.0.0/16", "private addresses"),
    ("198.18.0.0/15", "addresses for benchmarks"),
    ("224.0.0.0/4", "multicast addresses"),
    ("240.0.0.0/4", "reserved addresses"),
    ("::/96", "unspecified and loopback addresses"),
    ("::ffff:0:0/96", "IPv4 addresses in another form"),
    ("64:ff9b:1::/48", "addresses of local translation"),
    ("100::/64", "addresses that are discarded"),
    ("2001:2::/48", "addresses for benchmarks"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private addresses"),
    ("fe80::/10", "link-local addresses"),
    ("fec0::/10", "site-local addresses"),
    ("ff00::/8", "multicast addresses"),
];

/// A value for people: an AS number with the letters before it.
pub(super) fn shown(kind: NetworkKind, value: &str) -> String {
    match kind {
        NetworkKind::Asn => format!("AS{value}"),
        NetworkKind::Cidr | NetworkKind::Domain | NetworkKind::Url => value.to_owned(),
    }
}

/// The canonical form of a value of this kind; a bare address is a range of one. `any_width` lets a range be wider than the limits, hold ranges
/// that are nobody's, and a domain be a mail service's.
pub(super) fn tidy_value(kind: NetworkKind, given: &str, any_width: bool) -> Result<Text, HubError> {
    let observable = match kind {
        NetworkKind::Cidr => ObservableType::Cidr,
        NetworkKind::Domain => ObservableType::Domain,
        NetworkKind::Asn => ObservableType::Asn,
        NetworkKind::Url => ObservableType::Url,
    };
    let value = canonical(observable, given).map_err(|error| unread(given, error.to_string()))?;
    match kind {
        NetworkKind::Cidr => {
            let range: IpNet = value.parse().map_err(|_| unread(given, "not an address range".to_owned()))?;
            fits(range, any_width)?;
        }
        NetworkKind::Domain if is_public(&value) => return Err(invalid("/value", "everybody can register names below this one")),
        NetworkKind::Domain if is_mail_host(&value) && !any_width => {
            return Err(invalid("/value", "everybody can have a mail address there; to register it takes the coordinator and a reason"));
        }
        NetworkKind::Url => {
            let rest = value.split_once("://").map_or("", |(_, rest)| rest);
            if rest.contains(['?', '#', '@']) {
                return Err(invalid("/value", "only scheme, host and path can be registered"));
            }
            if rest.matches('/').count() > MAX_STEPS {
                return Err(invalid("/value", format!("a path has at most {MAX_STEPS} steps")));
            }
            let host = model::filter::host_of_url(&value);
            if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
                fits(IpNet::from(address), any_width)?;
            } else if is_public(host) {
                return Err(invalid("/value", "everybody can register names below this host"));
            }
        }
        NetworkKind::Domain | NetworkKind::Asn => {}
    }
    Ok(value)
}

/// Why something could not be read, and what could be.
fn unread(given: &str, why: String) -> HubError {
    let is_address = |text: &str| text.trim().parse::<IpAddr>().is_ok();
    let why = if given.split_once('-').is_some_and(|(first, last)| is_address(first) && is_address(last)) {
        "addresses from one to another are written as ranges with a length, each registered by itself".to_owned()
    } else if given.contains('@') && !given.contains("://") {
        "a mail address is not registered; its domain is".to_owned()
    } else {
        why
    };
    invalid("/value", format!("{why}; {ACCEPTED}"))
}

/// Whether a range may be registered.
fn fits(range: IpNet, any_width: bool) -> Result<(), HubError> {
    let widest = match range {
        IpNet::V4(_) => WIDEST_IPV4,
        IpNet::V6(_) => WIDEST_IPV6,
    };
    if range.prefix_len() == 0 {
        return Err(invalid("/value", "all addresses are nobody's"));
    }
    for (nobodys, what) in NOBODYS {
        let Ok(set_apart) = nobodys.parse::<IpNet>() else { continue };
        if set_apart.contains(&range) {
            let reason = format!("{what} ({nobodys}) are nobody's own on the internet, so nobody could be told by them; register the public addresses");
            return Err(invalid("/value", reason));
        }
        if range.contains(&set_apart) && !any_width {
            let reason = format!("it holds {nobodys}, which is nobody's ({what}): register what is the organisation's, or let the coordinator give a reason");
            return Err(invalid("/value", reason));
        }
    }
    if range.prefix_len() < widest && !any_width {
        return Err(invalid("/value", format!("wider than /{widest}, which takes the coordinator and a reason")));
    }
    Ok(())
}

/// Approved registrations of others that hold this value, or that it holds, up to [`MAX_CONFLICTS`] of them.
pub(super) fn overlapping(snapshot: &Snapshot, organisation: OrgId, kind: NetworkKind, value: &str) -> Vec<NetworkId> {
    let range: Option<IpNet> = value.parse().ok();
    let under = |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    let below = |inner: &str, outer: &str| {
        let outer = outer.trim_end_matches('/');
        inner.trim_end_matches('/').strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let overlaps = |other: &str| match kind {
        NetworkKind::Cidr => range.is_some_and(|range| other.parse::<IpNet>().is_ok_and(|other| range.contains(&other) || other.contains(&range))),
        NetworkKind::Domain => under(other, value) || under(value, other),
        NetworkKind::Url => below(other, value) || below(value, other),
        NetworkKind::Asn => other == value,
    };
    let others = snapshot.networks().iter().filter(|other| other.organisation != organisation && other.kind == kind && other.state == NetworkState::Approved);
    others.filter(|other| overlaps(&other.value)).map(|other| other.id).take(MAX_CONFLICTS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn refusal(kind: NetworkKind, value: &str, any_width: bool) -> String {
        tidy_value(kind, value, any_width).unwrap_err().to_string()
    }

    #[test]
    fn every_range_of_the_table_can_be_read() {
        for (range, what) in NOBODYS {
            assert!(range.parse::<IpNet>().is_ok_and(|range| range.trunc() == range), "{range} {what}");
        }
    }

    #[test]
    fn addresses_that_are_nobodys_on_the_internet_are_refused_whoever_asks() {
        for value in
            ["10.1.0.0/16", "172.16.0.0/12", "192.168.0.7", "100.64.1.0/24", "127.0.0.1", "169.254.0.0/16", "224.0.0.0/8", "fd00::/8", "fe80::/64", "::1"]
        {
            for any_width in [false, true] {
                assert!(refusal(NetworkKind::Cidr, value, any_width).contains("nobody's own on the internet"), "{value}");
            }
        }
        assert!(refusal(NetworkKind::Cidr, "192.168.1.0/24", false).contains("private addresses (192.168.0.0/16)"));
        assert!(refusal(NetworkKind::Url, "http://10.0.0.1/shop", false).contains("private addresses"));
        assert!(refusal(NetworkKind::Cidr, "172.0.0.0/8", false).contains("it holds 172.16.0.0/12"));
        assert_eq!(tidy_value(NetworkKind::Cidr, "172.0.0.0/8", true).unwrap().as_str(), "172.0.0.0/8");
    }

    #[test]
    fn documentation_and_public_ranges_are_taken() {
        for value in ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "185.60.0.0/16", "172.32.0.0/16", "2a00::/19"] {
            assert_eq!(tidy_value(NetworkKind::Cidr, value, false).unwrap().as_str(), value);
        }
    }

    #[test]
    fn a_refusal_says_what_is_accepted() {
        for (value, words) in [("our office", "AS64500"), ("info@x", "its domain is"), ("1.2.3.4-1.2.3.9", "written as ranges"), ("x_y z", "203.0.113.0/24")] {
            let refusal = refusal(NetworkKind::Domain, value, false);
            assert!(refusal.contains(words) && refusal.contains(ACCEPTED), "{value}: {refusal}");
        }
        assert!(refusal(NetworkKind::Domain, "naver.com", false).contains("mail address"));
        assert!(tidy_value(NetworkKind::Domain, "naver.com", true).is_ok());
    }
}
