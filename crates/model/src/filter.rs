//! What a search, a stream or an export asks for. One grammar for every door.
//!
//! Invariant: a filter is decided on one event alone, so it can be tested block by block in any order.

use crate::{Category, Event, ObservableType, Text, Timestamp};
use ipnet::IpNet;
use std::net::IpAddr;

/// Conditions on an event; all must hold. `None` or empty: no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// `time` at or after.
    pub since: Option<Timestamp>,
    /// `time` before.
    pub until: Option<Timestamp>,
    /// One of these categories.
    pub categories: Vec<Category>,
    /// Has an observable of one of these types.
    pub types: Vec<ObservableType>,
    /// One of these sectors.
    pub sectors: Vec<Text>,
    /// Has an address, or a range, inside this range.
    pub within: Option<IpNet>,
    /// Has a domain, or a URL's or mail address's host, equal to this suffix or below it. Canonical.
    pub domain: Option<Text>,
    /// Malware name, ignoring ASCII case.
    pub malware: Option<Text>,
    /// Has one of these values, each of its type and canonical: the ways in which a text can be read.
    pub values: Vec<(ObservableType, Text)>,
}

impl Filter {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event as its reader sees it (hidden values already removed) meets every condition.
    pub fn matches(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time < until)
            && (self.categories.is_empty() || self.categories.contains(&event.category))
            && (self.sectors.is_empty() || event.sector.as_ref().is_some_and(|sector| self.sectors.contains(sector)))
            && self.malware.as_ref().is_none_or(|malware| event.malware.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(malware)))
            && (self.types.is_empty() || event.observables.iter().any(|observable| self.types.contains(&observable.kind)))
            && self.within.is_none_or(|range| event.observables.iter().any(|observable| value_within(observable.kind, &observable.value, &range)))
            && self.domain.as_ref().is_none_or(|suffix| event.observables.iter().any(|observable| value_under(observable.kind, &observable.value, suffix)))
            && (self.values.is_empty() || event.observables.iter().any(|observable| self.wants_value(observable.kind, &observable.value)))
    }

    fn wants_value(&self, kind: ObservableType, value: &str) -> bool {
        self.values.iter().any(|(wanted, text)| *wanted == kind && text.as_str() == value)
    }
}

/// Whether a canonical address or range lies inside `range`.
pub fn value_within(kind: ObservableType, value: &str, range: &IpNet) -> bool {
    match kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 => value.parse::<IpAddr>().is_ok_and(|address| range.contains(&address)),
        ObservableType::Cidr => value.parse::<IpNet>().is_ok_and(|inner| range.contains(&inner)),
        _ => false,
    }
}

/// Whether a canonical value's host is `suffix` or a name below it.
pub fn value_under(kind: ObservableType, value: &str, suffix: &str) -> bool {
    let host = match kind {
        ObservableType::Domain => value,
        ObservableType::Url => host_of_url(value),
        ObservableType::Email => value.rsplit_once('@').map_or("", |(_, host)| host),
        _ => return false,
    };
    host.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The host of a canonical URL, without userinfo and port.
pub fn host_of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host_port.starts_with('[') {
        return host_port.split_inclusive(']').next().unwrap_or(host_port);
    }
    host_port.split(':').next().unwrap_or(host_port)
}
