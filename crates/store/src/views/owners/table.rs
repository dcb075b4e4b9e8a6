//! Who owns a value: every registration that matches it, not the longest alone.
//!
//! Flow: the registrations that count → [`Table::new`] → [`Table::owners`] for each value of each event. What an entry stands for is the caller's
//! matter: an [`Owner`] where events are routed, a place in a list where the past or a table of contacts is asked.
//! Invariant: immutable; a look costs a search for an address, a hash a label for a name, a hash a step of its path for a URL.
//! Not here: which registrations count when (`register`).

use super::ranges::{Range, Ranges};
use crate::records::NetworkKind;
use hashbrown::HashMap;
use ipnet::IpNet;
use model::filter::{host_of_url, value_under, value_within};
use model::{ObservableType, OrgNo, Text};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Steps of a URL's path that are looked at, and that a registered one may have.
pub const MAX_STEPS: usize = 32;

/// What a match tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Whose registration it is.
    pub organisation: OrgNo,
    /// Whether a system in it may not be touched.
    pub protected: bool,
    /// Whether nobody registered the value and this one is told of it in the owner's place.
    pub fallback: bool,
}

impl Owner {
    /// Who is told where nobody registered.
    pub(super) const fn standing_in(organisation: OrgNo) -> Self {
        Self { organisation, protected: false, fallback: true }
    }
}

/// The addresses that a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    V4(u32, u32),
    V6(u128, u128),
}

impl Span {
    /// Of an address, a range, or a URL whose host is an address.
    pub(super) fn of(kind: ObservableType, value: &str) -> Option<Self> {
        match kind {
            ObservableType::Ipv4 | ObservableType::Ipv6 => value.parse().ok().map(Self::of_address),
            ObservableType::Cidr => value.parse::<IpNet>().ok().map(Self::of_range),
            ObservableType::Url => {
                let host = host_of_url(value);
                let literal = host.starts_with('[') || host.ends_with(|last: char| last.is_ascii_digit());
                let address = host.trim_start_matches('[').trim_end_matches(']');
                if literal { address.parse().ok().map(Self::of_address) } else { None }
            }
            _ => None,
        }
    }

    pub(super) fn of_range(range: IpNet) -> Self {
        match range {
            IpNet::V4(range) => Self::V4(u32::from(range.network()), u32::from(range.broadcast())),
            IpNet::V6(range) => Self::V6(u128::from(range.network()), u128::from(range.broadcast())),
        }
    }

    fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(u32::from(address), u32::from(address)),
            IpAddr::V6(address) => Self::V6(u128::from(address), u128::from(address)),
        }
    }
}

type Entries<E> = SmallVec<[E; 1]>;

/// Every registration of one moment.
#[derive(Debug)]
pub struct Table<E = Owner> {
    v4: Ranges<u32, E>,
    v6: Ranges<u128, E>,
    domains: HashMap<Text, Entries<E>>,
    urls: HashMap<Text, Entries<E>>,
    asns: HashMap<u32, Entries<E>>,
    registrations: usize,
}

impl<E: Copy> Table<E> {
    /// A table of registrations: what, its canonical value, whose. One that cannot be read is left out.
    pub fn new<'a>(registrations: impl IntoIterator<Item = (NetworkKind, &'a str, E)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut domains, mut urls): (HashMap<Text, Entries<E>>, HashMap<Text, Entries<E>>) = (HashMap::new(), HashMap::new());
        let mut asns: HashMap<u32, Entries<E>> = HashMap::new();
        let mut count = 0;
        for (kind, value, entry) in registrations {
            count += 1;
            match kind {
                NetworkKind::Cidr => match Span::of(ObservableType::Cidr, value) {
                    Some(Span::V4(first, last)) => v4.push(Range { first, last, entry }),
                    Some(Span::V6(first, last)) => v6.push(Range { first, last, entry }),
                    None => count -= 1,
                },
                NetworkKind::Domain => domains.entry(Text::from(value)).or_default().push(entry),
                NetworkKind::Url => urls.entry(Text::from(value.trim_end_matches('/'))).or_default().push(entry),
                NetworkKind::Asn => match value.parse() {
                    Ok(number) => asns.entry(number).or_default().push(entry),
                    Err(_) => count -= 1,
                },
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6), domains, urls, asns, registrations: count }
    }

    /// How many registrations there are.
    pub fn registrations(&self) -> usize {
        self.registrations
    }

    /// Gives every registration that matches a canonical value; one organisation may be given several times.
    pub fn owners(&self, kind: ObservableType, value: &str, give: &mut impl FnMut(E)) {
        match kind {
            ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr => self.addresses(kind, value, give),
            ObservableType::Domain => self.name(value, give),
            ObservableType::Url => {
                self.addresses(kind, value, give);
                self.name(host_of_url(value), give);
                self.url(value, give);
            }
            ObservableType::Email => self.name(value.rsplit_once('@').map_or("", |(_, host)| host), give),
            ObservableType::Asn => {
                if let Ok(number) = value.parse() {
                    self.asn(number, give);
                }
            }
            _ => {}
        }
    }

    /// Whether an AS number is registered.
    pub(super) fn knows_asns(&self) -> bool {
        !self.asns.is_empty()
    }

    /// Gives every registration of an AS number.
    pub fn asn(&self, number: u32, give: &mut impl FnMut(E)) {
        self.asns.get(&number).into_iter().flatten().for_each(|entry| give(*entry));
    }

    fn addresses(&self, kind: ObservableType, value: &str, give: &mut impl FnMut(E)) {
        match Span::of(kind, value) {
            Some(Span::V4(first, last)) => self.v4.holding(first, last, give),
            Some(Span::V6(first, last)) => self.v6.holding(first, last, give),
            None => {}
        }
    }

    /// A name and every name above it.
    fn name(&self, name: &str, give: &mut impl FnMut(E)) {
        if self.domains.is_empty() {
            return;
        }
        let mut rest = name.trim_end_matches('.');
        loop {
            self.domains.get(rest).into_iter().flatten().for_each(|entry| give(*entry));
            match rest.split_once('.') {
                Some((_, above)) => rest = above,
                None => return,
            }
        }
    }

    /// A URL and everything above it, as far as its host.
    fn url(&self, url: &str, give: &mut impl FnMut(E)) {
        if self.urls.is_empty() {
            return;
        }
        for end in url_steps(url) {
            if let Some(above) = url.get(..end) {
                self.urls.get(above).into_iter().flatten().for_each(|entry| give(*entry));
            }
        }
    }
}

/// Where the host and each step of the path of a URL end, up to [`MAX_STEPS`] of them.
fn url_steps(url: &str) -> impl Iterator<Item = usize> {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path_end = url.find(['?', '#']).unwrap_or(url.len());
    let path = url.get(host..path_end).unwrap_or_default();
    // A path that ends in a slash names what is before it, too.
    let whole = path.trim_end_matches('/').len();
    path.match_indices('/').map(|(at, _)| at).filter(move |at| *at < whole).take(MAX_STEPS).chain(std::iter::once(whole)).map(move |at| host + at)
}

/// Whether one registration matches a canonical value: what a [`Table`] of it alone finds, without making one.
pub fn matches(kind: NetworkKind, registered: &str, value_kind: ObservableType, value: &str) -> bool {
    match kind {
        NetworkKind::Cidr => registered.parse::<IpNet>().is_ok_and(|range| {
            let host = || host_of_url(value).trim_start_matches('[').trim_end_matches(']');
            value_within(value_kind, value, &range) || (value_kind == ObservableType::Url && host().parse::<IpAddr>().is_ok_and(|host| range.contains(&host)))
        }),
        NetworkKind::Domain => value_under(value_kind, value, registered),
        NetworkKind::Url => value_kind == ObservableType::Url && url_steps(value).any(|end| value.get(..end) == Some(registered.trim_end_matches('/'))),
        NetworkKind::Asn => value_kind == ObservableType::Asn && value == registered,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn owner(number: u32) -> Owner {
        Owner { organisation: OrgNo(number), protected: false, fallback: false }
    }

    fn owners(table: &Table, kind: ObservableType, value: &str) -> Vec<u32> {
        let mut found = Vec::new();
        table.owners(kind, value, &mut |owner| found.push(owner.organisation.0));
        found.sort_unstable();
        found
    }

    fn table() -> Table {
        Table::new([
            (NetworkKind::Cidr, "198.51.0.0/16", owner(1)),
            (NetworkKind::Cidr, "198.51.100.0/24", owner(2)),
            (NetworkKind::Cidr, "198.51.100.0/24", owner(3)),
            (NetworkKind::Cidr, "2001:db8::/32", owner(4)),
            (NetworkKind::Domain, "bank.example", owner(5)),
            (NetworkKind::Domain, "pay.bank.example", owner(6)),
            (NetworkKind::Url, "https://host.example/shop", owner(7)),
            (NetworkKind::Url, "https://host.example/", owner(8)),
            (NetworkKind::Asn, "4766", owner(9)),
        ])
    }

    #[test]
    fn all_prefixes_of_an_address_are_given_not_the_longest_alone() {
        let table = table();
        assert_eq!(owners(&table, ObservableType::Ipv4, "198.51.100.7"), [1, 2, 3]);
        assert_eq!(owners(&table, ObservableType::Ipv4, "198.51.101.7"), [1]);
        assert_eq!(owners(&table, ObservableType::Ipv6, "2001:db8:7::1"), [4]);
        assert_eq!(owners(&table, ObservableType::Cidr, "198.51.100.128/25"), [1, 2, 3]);
        assert_eq!(owners(&table, ObservableType::Cidr, "198.51.0.0/15"), [0_u32; 0], "a range that only touches is not the owner's");
    }

    #[test]
    fn names_are_walked_by_labels_for_domains_urls_and_mail() {
        let table = table();
        assert_eq!(owners(&table, ObservableType::Domain, "www.pay.bank.example"), [5, 6]);
        assert_eq!(owners(&table, ObservableType::Domain, "notbank.example"), [0_u32; 0]);
        assert_eq!(owners(&table, ObservableType::Url, "http://user@pay.bank.example:8080/x"), [5, 6]);
        assert_eq!(owners(&table, ObservableType::Url, "http://198.51.101.7:8080/x"), [1]);
        assert_eq!(owners(&table, ObservableType::Url, "http://[2001:db8::1]/"), [4]);
        assert_eq!(owners(&table, ObservableType::Email, "lee@bank.example"), [5]);
    }

    #[test]
    fn a_url_is_held_by_what_its_path_lies_under() {
        let table = table();
        for (url, expected) in [
            ("https://host.example/shop", vec![7, 8]),
            ("https://host.example/shop/", vec![7, 8]),
            ("https://host.example/shop/a/b?x=/shop", vec![7, 8]),
            ("https://host.example/shop?x=1", vec![7, 8]),
            ("https://host.example/shopping", vec![8]),
            ("https://host.example/", vec![8]),
            ("http://host.example/shop", vec![]),
            ("https://other.example/?u=https://host.example/shop", vec![]),
        ] {
            assert_eq!(owners(&table, ObservableType::Url, url), expected, "{url}");
        }
    }

    #[test]
    fn an_as_number_is_matched_as_a_value_and_as_a_statement() {
        let table = table();
        assert_eq!(owners(&table, ObservableType::Asn, "4766"), [9]);
        let mut found = 0;
        table.asn(4766, &mut |_| found += 1);
        table.asn(1, &mut |_| found += 1);
        assert_eq!(found, 1);
    }

    #[test]
    fn one_registration_alone_matches_as_in_a_table() {
        let registrations = [
            (NetworkKind::Cidr, "198.51.100.0/24"),
            (NetworkKind::Cidr, "2001:db8::/32"),
            (NetworkKind::Domain, "bank.example"),
            (NetworkKind::Url, "https://bank.example/shop"),
            (NetworkKind::Asn, "4766"),
        ];
        let values = [
            (ObservableType::Ipv4, "198.51.100.9"),
            (ObservableType::Ipv4, "198.51.101.9"),
            (ObservableType::Ipv6, "2001:db8::9"),
            (ObservableType::Cidr, "198.51.100.0/25"),
            (ObservableType::Cidr, "198.51.0.0/16"),
            (ObservableType::Domain, "bank.example"),
            (ObservableType::Domain, "my-bank.example"),
            (ObservableType::Url, "https://www.bank.example/shop"),
            (ObservableType::Url, "https://bank.example/shop/cart"),
            (ObservableType::Url, "https://198.51.100.9/shop"),
            (ObservableType::Url, "https://[2001:db8::9]/shop"),
            (ObservableType::Email, "lee@pay.bank.example"),
            (ObservableType::Asn, "4766"),
            (ObservableType::Filename, "bank.example"),
        ];
        for (kind, registered) in registrations {
            let table = Table::new([(kind, registered, owner(1))]);
            for (value_kind, value) in values {
                assert_eq!(matches(kind, registered, value_kind, value), !owners(&table, value_kind, value).is_empty(), "{registered}: {value}");
            }
        }
    }
}
