//! Which addresses the hub may call: everything public, nothing inside but what the operator allows.
//!
//! Flow: [`Guard::check_url`] judges scheme and literal address of each hop → the client resolves names through [`Checked`], which hands on only
//! addresses that [`Guard::admits`]; the connection goes to exactly these. Where a proxy connects, [`Guard::check_for_proxy`] resolves the name
//! beforehand and judges every address it has here; the proxy resolves it again, which nobody but the proxy can judge.
//! Invariant: an address is judged after every disguise is taken off it (mapped, translated, tunnelled forms); what is not known to be public is
//! not called.
//! Source: IANA's special-purpose address registries (RFC 6890 and its updates); addresses of clouds' metadata services.

use super::OutboundError;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// How long a name may take to be resolved that a proxy is asked for; a network without names of the outside is often silent.
const RESOLVE: Duration = Duration::from_secs(3);

/// IPv4 ranges that are not called: first address, bits, why.
const CLOSED_V4: [([u8; 4], u32, &str); 18] = [
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared by a provider's customers"),
    ([127, 0, 0, 0], 8, "loopback"),
    // Azure's, the one metadata address in public space.
    ([168, 63, 129, 16], 32, "a cloud's metadata service"),
    ([169, 254, 169, 254], 32, "a cloud's metadata service"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "reserved for protocols"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "a retired relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarks"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([255, 255, 255, 255], 32, "broadcast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// IPv6 ranges inside 2000::/3 that are not called; outside of it nothing is but translated IPv4.
const CLOSED_V6: [(u128, u32, &str); 6] = [
    (0x2001_0000 << 96, 32, "a tunnel"),
    (0x2001_0002 << 96, 48, "benchmarks"),
    (0x2001_0010 << 96, 28, "no address of a host"),
    (0x2001_0020 << 96, 28, "no address of a host"),
    (0x2001_0db8 << 96, 32, "documentation"),
    (0x3fff_0000 << 96, 20, "documentation"),
];

/// Names that never lead outside, whatever they resolve to; a proxy is never asked for them.
const CLOSED_NAMES: [&str; 5] = ["localhost", "local", "internal", "home.arpa", "localdomain"];

/// What may be called.
#[derive(Debug)]
pub(super) struct Guard {
    /// Internal ranges that may be called all the same.
    pub(super) allow: Vec<IpNet>,
    /// Whether a proxy resolves names and connects.
    pub(super) by_proxy: bool,
    /// Whether names that cannot be resolved here are left to the proxy.
    pub(super) proxy_resolves: bool,
}

/// A name resolved to nothing that may be called.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Closed(pub(super) String);

impl Guard {
    /// Whether an address may be called: over TLS the public ones and the allowed ones, in the clear the allowed ones alone.
    pub(super) fn admits(&self, address: IpAddr, plain: bool) -> Result<(), &'static str> {
        if self.is_allowed(address) {
            return Ok(());
        }
        match why_closed(address) {
            Some(why) => Err(why),
            None if plain => Err("without TLS"),
            None => Ok(()),
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allow.iter().any(|range| range.contains(&address) || range.contains(&canonical))
    }

    /// Judges scheme, literal address and name of a URL, before anything is resolved.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), OutboundError> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(OutboundError::Forbidden(format!("{other}: is not called; expected https"))),
        };
        if plain && self.allow.is_empty() {
            return Err(OutboundError::Forbidden("http: is not called; expected https".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Invalid("an address with a user or password in it".to_owned()));
        }
        let literal = match url.host() {
            None => return Err(OutboundError::Invalid("an address without a host".to_owned())),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(name)) => {
                // Where we resolve ourselves, the address decides.
                if self.by_proxy && is_closed_name(name) {
                    return Err(OutboundError::Forbidden(format!("{name} is a name of the inside")));
                }
                if self.by_proxy && plain {
                    return Err(OutboundError::Forbidden("http: is not called through a proxy by name; expected https".to_owned()));
                }
                return Ok(());
            }
        };
        self.admits(literal, plain).map_err(|why| refusal(&literal.to_string(), why))
    }

    /// Where a proxy connects, resolves the URL's name and judges what it leads to, before the proxy is asked for it.
    pub(super) async fn check_for_proxy(&self, url: &Url) -> Result<(), OutboundError> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        if !self.by_proxy {
            return Ok(());
        }
        let found: Vec<SocketAddr> = match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        self.admits_for_proxy(name, &found, url.scheme() == "http")
    }

    /// Whether a proxy may be asked for a name with these addresses: it takes whichever it likes, so that each has to be one that may be called.
    fn admits_for_proxy(&self, name: &str, found: &[SocketAddr], plain: bool) -> Result<(), OutboundError> {
        if found.is_empty() && !self.proxy_resolves {
            // It may come back; what is waiting is tried again.
            return Err(OutboundError::Unreachable(format!("{name} has no address here; outbound.proxy_resolves = true leaves such names to the proxy")));
        }
        found.iter().try_for_each(|address| self.admits(address.ip(), plain)).map_err(|why| refusal(name, why))
    }

    /// Of the addresses of a name those that may be called; an error where there is none.
    fn admitted(&self, name: &str, addresses: impl Iterator<Item = SocketAddr>, plain: bool) -> Result<Vec<SocketAddr>, Closed> {
        let mut open = Vec::new();
        let mut why = "without an address";
        for address in addresses {
            match self.admits(address.ip(), plain) {
                Ok(()) => open.push(address),
                Err(closed) => why = closed,
            }
        }
        if open.is_empty() { Err(Closed(format!("{name} is not called: {why}"))) } else { Ok(open) }
    }
}

fn refusal(what: &str, why: &str) -> OutboundError {
    OutboundError::Forbidden(format!("{what} is not called: {why}"))
}

fn is_closed_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A bare name is completed by the search list of the inside, and one that ends with a number is an address in some resolver's eyes.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_number = is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit());
    !name.contains('.')
        || is_number
        || CLOSED_NAMES.iter().any(|closed| name.strip_suffix(closed).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

/// Why an address is not called; `None` for public ones.
pub(super) fn why_closed(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => why_closed_v4(address),
        IpAddr::V6(address) => why_closed_v6(address),
    }
}

fn why_closed_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    CLOSED_V4.iter().find(|(first, length, _)| same_prefix(bits.into(), u32::from_be_bytes(*first).into(), *length, 32)).map(|(_, _, why)| *why)
}

fn why_closed_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(address);
    let inner = |shift: u32| why_closed_v4(Ipv4Addr::from((bits >> shift) as u32));
    // ::ffff:a.b.c.d is what it stands for, and 64:ff9b::a.b.c.d is translated to it on networks without IPv4.
    if bits >> 32 == 0xffff || bits >> 32 == 0x0064_ff9b << 64 {
        return inner(0);
    }
    if bits >> 125 != 0b001 {
        return Some(match bits {
            0 => "unspecified",
            1 => "loopback",
            _ if bits >> 121 == 0xfc >> 1 => "private",
            _ if bits >> 118 == 0xfe80 >> 6 => "link-local",
            _ if bits >> 120 == 0xff => "multicast",
            _ => "no public address",
        });
    }
    // 2002:a.b.c.d::/48 leads to a.b.c.d, and so does an interface of the form 0:5efe:a.b.c.d.
    if bits >> 112 == 0x2002
        && let Some(why) = inner(80)
    {
        return Some(why);
    }
    if (bits >> 32) as u32 & 0xfdff_ffff == 0x0000_5efe
        && let Some(why) = inner(0)
    {
        return Some(why);
    }
    CLOSED_V6.iter().find(|(first, length, _)| same_prefix(bits, *first, *length, 128)).map(|(_, _, why)| *why)
}

fn same_prefix(address: u128, first: u128, length: u32, width: u32) -> bool {
    let shift = width - length;
    address >> shift == first >> shift
}

/// Resolves names and keeps back what the guard does not admit.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) guard: Arc<Guard>,
    /// Whether the connections are made without TLS.
    pub(super) plain: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // Port 0 stands for the one of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // With a proxy this is its own name, which the operator chose; the URL's was judged before (`check_for_proxy`).
            let open = if checked.guard.by_proxy { found } else { checked.guard.admitted(&host, found.into_iter(), checked.plain)? };
            let addresses: Addrs = Box::new(open.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard { allow: allow.iter().map(|range| range.parse().unwrap()).collect(), by_proxy: false, proxy_resolves: false }
    }

    fn judged(guard: &Guard, url: &str) -> bool {
        guard.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    /// Both ends of each closed range, and what lies right outside of it.
    #[test]
    fn every_internal_range_is_closed_from_its_first_to_its_last_address_and_no_further() {
        let ranges = [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("168.63.129.16", "168.63.129.16"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ];
        for (first, last) in ranges {
            let (first, last): (Ipv4Addr, Ipv4Addr) = (first.parse().unwrap(), last.parse().unwrap());
            for closed in [first, last] {
                assert!(why_closed(IpAddr::V4(closed)).is_some(), "{closed}");
            }
            for open in [u32::from(first).checked_sub(1), u32::from(last).checked_add(1)].into_iter().flatten() {
                let open = Ipv4Addr::from(open);
                assert_eq!(why_closed(IpAddr::V4(open)), None, "{open}");
            }
        }
        let closed = [
            "::",
            "::1",
            "::2",
            "100::1",
            "fc00::1",
            "fdff:ffff::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b:1::808:808",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:2f::1",
            "2001:db8::1",
            "3fff:fff::1",
            "5f00::1",
            "4000::1",
            "::ffff:0:8.8.8.8",
            "::8.8.8.8",
        ];
        for closed in closed {
            assert!(why_closed(closed.parse().unwrap()).is_some(), "{closed}");
        }
        for open in ["2001:4860:4860::8888", "2606:4700::1111", "2400:cb00::1", "8.8.8.8", "2002:808:808::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"] {
            assert_eq!(why_closed(open.parse().unwrap()), None, "{open}");
        }
    }

    #[test]
    fn a_literal_address_is_judged_in_every_spelling() {
        let guard = guard(&[]);
        let disguised = [
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://127.0.0.1.:8443/",
            "https://%31%32%37.0.0.1/",
            "https://１２７.0.0.1/",
            "https://127。0。0。1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/latest/meta-data",
            "https://[64:ff9b::10.0.0.1]/",
            "https://[2002:c0a8:1::1]/",
            "https://[2002:7f00:1::]/",
            "https://[2400:cb00::5efe:10.0.0.1]/",
            "https://[2400:cb00::200:5efe:192.168.1.1]/",
            "https://[fe80::1]/",
            "https://169.254.169.254/",
            "https://0/",
        ];
        for url in disguised {
            assert!(!judged(&guard, url), "{url}");
        }
        for url in ["https://8.8.8.8/", "https://example.com:8443/x", "https://[2606:4700::1111]/"] {
            assert!(judged(&guard, url), "{url}");
        }
    }

    #[test]
    fn only_https_is_called_but_for_what_is_allowed() {
        let none = guard(&[]);
        for url in ["http://8.8.8.8/", "http://example.com/", "ftp://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/", "https://user:secret@example.com/"] {
            assert!(!judged(&none, url), "{url}");
        }
        let some = guard(&["127.0.0.0/8", "::1/128", "10.1.0.0/16"]);
        for url in ["http://127.0.0.1:9/", "https://127.8.8.8/", "https://[::ffff:127.0.0.1]/", "http://[::1]/", "http://10.1.2.3/", "http://example.com/"] {
            // Of a name the address decides, when it is resolved.
            assert!(judged(&some, url), "{url}");
        }
        for url in ["http://8.8.8.8/", "http://10.2.0.1/", "https://10.2.0.1/", "https://192.168.0.1/"] {
            assert!(!judged(&some, url), "{url}");
        }
    }

    #[test]
    fn of_a_name_only_open_addresses_are_left() {
        let addresses = |list: &[&str]| list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect::<Vec<_>>();
        let none = guard(&[]);
        let mixed = addresses(&["10.0.0.1", "8.8.8.8", "::1", "169.254.169.254"]);
        assert_eq!(none.admitted("n", mixed.iter().copied(), false).unwrap(), addresses(&["8.8.8.8"]));
        let inside = addresses(&["10.0.0.1", "::ffff:10.0.0.2"]);
        let error = none.admitted("intern.example.com", inside.iter().copied(), false).unwrap_err();
        assert_eq!(error.to_string(), "intern.example.com is not called: private");
        assert!(none.admitted("n", mixed.iter().copied(), true).is_err(), "in the clear only what is allowed");
        let some = guard(&["10.0.0.0/8"]);
        assert_eq!(some.admitted("n", mixed.iter().copied(), true).unwrap(), addresses(&["10.0.0.1"]));
        assert_eq!(some.admitted("n", inside.iter().copied(), true).unwrap(), inside);
        assert!(some.admitted("n", std::iter::empty(), false).is_err());
    }

    #[test]
    fn a_proxy_is_not_asked_for_names_of_the_inside() {
        let guard = Guard { allow: vec!["127.0.0.0/8".parse().unwrap()], by_proxy: true, proxy_resolves: true };
        for url in ["https://localhost/", "https://a.localhost./", "https://metadata.google.internal/", "https://printer.local/", "https://intranet/"] {
            assert!(!judged(&guard, url), "{url}");
        }
        assert!(judged(&guard, "https://notlocal.example.com/"));
        for name in ["localhost", "A.Local", "x.internal.", "intranet", "127.0.0.1.5", "a.0x7f", "a.017", ""] {
            assert!(is_closed_name(name), "{name}");
        }
        for name in ["example.com", "local.example", "1.2.3.4.example", "0x7f.example."] {
            assert!(!is_closed_name(name), "{name}");
        }
    }

    #[test]
    fn a_proxy_is_asked_for_a_name_only_where_each_address_it_has_may_be_called() {
        let addresses = |list: &[&str]| list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect::<Vec<_>>();
        let with = |proxy_resolves| Guard { allow: vec!["10.1.0.0/16".parse().unwrap()], by_proxy: true, proxy_resolves };
        for guard in [with(false), with(true)] {
            assert!(guard.admits_for_proxy("a.example", &addresses(&["8.8.8.8", "2606:4700::1111"]), false).is_ok());
            assert!(guard.admits_for_proxy("a.example", &addresses(&["10.1.2.3"]), false).is_ok());
            for inside in [&["10.2.0.1"][..], &["8.8.8.8", "127.0.0.1"], &["::1", "8.8.8.8"], &["169.254.169.254"], &["::ffff:192.168.0.1"]] {
                let refused = guard.admits_for_proxy("a.example", &addresses(inside), false);
                assert!(matches!(refused, Err(OutboundError::Forbidden(_))), "{inside:?}");
            }
        }
        assert!(matches!(with(false).admits_for_proxy("a.example", &[], false), Err(OutboundError::Unreachable(_))));
        assert!(with(true).admits_for_proxy("a.example", &[], false).is_ok());
    }

    proptest! {
        #[test]
        fn a_disguise_changes_nothing(bits in any::<u32>()) {
            let plain = Ipv4Addr::from(bits);
            let expected = why_closed(IpAddr::V4(plain)).is_some();
            let low = u128::from(bits);
            for disguised in [0xffff_0000_0000 | low, 0x0064_ff9b << 96 | low] {
                prop_assert_eq!(why_closed(IpAddr::V6(Ipv6Addr::from(disguised))).is_some(), expected);
            }
            let six_to_four = Ipv6Addr::from(0x2002_u128 << 112 | low << 80 | 1);
            prop_assert_eq!(why_closed(IpAddr::V6(six_to_four)).is_some(), expected);
        }
    }
}
