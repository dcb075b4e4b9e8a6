//! Who is told of what lies in the nation and nobody registered: the access provider by AS number, else the authority of the line.
//!
//! Flow: control entries → [`Nations`] (what held from where until where) → a [`Fallback`] of the one that holds → asked where no registration matches.
//! Invariant: for a value of the nation somebody is always named; for one that is not the nation's nobody is.
//! Not here: the table of addresses (`national`), which organisations stand for whom (`hub::owners`).

use super::national::National;
use super::table::Span;
use crate::ledger::Nation;
use hashbrown::HashMap;
use model::concern::Concern;
use model::{Constituency, ObservableType, OrgNo, Seq, Text};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// Changes that are remembered; past it the oldest go, and what held after them stands for their time, too.
const MAX_SPANS: usize = 128;

/// Who is told.
pub(super) type Told = SmallVec<[OrgNo; 2]>;

/// What holds at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// From here on.
    from: Seq,
    /// Until before here; `None`: still.
    until: Option<Seq>,
    nation: Nation,
}

/// What held when, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nations(Vec<Held>);

impl Nations {
    /// Notes what a control entry at `seq` tells; gives whether anything changes.
    pub(super) fn set(&mut self, seq: Seq, nation: Option<Nation>) -> bool {
        if self.current() == nation.as_ref() {
            return false;
        }
        if let Some(last) = self.0.last_mut() {
            last.until.get_or_insert(seq);
        }
        self.0.extend(nation.map(|nation| Held { from: seq, until: None, nation }));
        while self.0.len() > MAX_SPANS {
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                next.from = oldest.from;
            }
        }
        true
    }

    /// What holds now.
    pub(super) fn current(&self) -> Option<&Nation> {
        self.0.last().filter(|held| held.until.is_none()).map(|held| &held.nation)
    }

    /// What held at a place.
    pub(super) fn at(&self, seq: Seq) -> Option<&Nation> {
        self.0.iter().rev().find(|held| held.from <= seq && held.until.is_none_or(|until| seq < until)).map(|held| &held.nation)
    }

    /// The tables that are named.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|held| &held.nation.table)
    }
}

/// What holds, ready to be asked.
#[derive(Debug)]
pub(super) struct Fallback {
    national: Arc<National>,
    providers: HashMap<u32, OrgNo>,
    authorities: Vec<(Constituency, OrgNo)>,
}

impl Fallback {
    pub(super) fn new(national: Arc<National>, nation: &Nation) -> Self {
        Self { national, providers: nation.providers.iter().copied().collect(), authorities: nation.authorities.clone() }
    }

    /// Who is told of a value that nobody registered; nobody where it is not the nation's. `registrants` tells who registered an AS number.
    pub(super) fn told(&self, concern: &Concern<'_>, mut registrants: impl FnMut(u32) -> Told) -> Told {
        let span = Span::of(concern.kind, &concern.value);
        let named = if concern.kind == ObservableType::Asn { concern.value.parse().ok() } else { None };
        let stated: Option<u32> = concern.asn.or(named);
        let here = span.is_some_and(|span| self.national.holds(span)) || stated.is_some_and(|asn| self.national.holds_asn(asn));
        if !here {
            return Told::new();
        }
        let mut told = Told::new();
        // The routes first, for they are measured; then what the reporter says.
        if let Some(span) = span {
            self.national.announced(span, &mut |asn| {
                if told.is_empty() {
                    told = self.provider(asn, &mut registrants);
                }
            });
        }
        if told.is_empty()
            && let Some(asn) = stated
        {
            told = self.provider(asn, &mut registrants);
        }
        if told.is_empty() {
            let line = span.and_then(|span| self.national.line(span)).or_else(|| stated.and_then(|asn| self.national.line_of_asn(asn)));
            told.push(self.authority(line.unwrap_or(Constituency::Private)));
        }
        told
    }

    /// The AS numbers that announce a value's addresses, innermost prefix first.
    pub(super) fn announced(&self, kind: ObservableType, value: &str) -> Vec<u32> {
        let mut found = Vec::new();
        if let Some(span) = Span::of(kind, value) {
            self.national.announced(span, &mut |asn| found.push(asn));
        }
        found
    }

    fn provider(&self, asn: u32, registrants: &mut impl FnMut(u32) -> Told) -> Told {
        self.providers.get(&asn).map_or_else(|| registrants(asn), |provider| smallvec![*provider])
    }

    fn authority(&self, line: Constituency) -> OrgNo {
        self.authorities.iter().find(|(of, _)| *of == line).map_or(OrgNo::HUB, |(_, authority)| *authority)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::national::{self, tests::parts};
    use super::*;
    use std::borrow::Cow;

    fn nation(table: &str) -> Nation {
        Nation {
            table: Text::from(table),
            providers: vec![(9_318, OrgNo(7))],
            authorities: vec![(Constituency::Private, OrgNo(2)), (Constituency::Public, OrgNo(3))],
        }
    }

    fn told(fallback: &Fallback, kind: ObservableType, value: &str, asn: Option<u32>) -> Vec<u32> {
        let concern = Concern { kind, value: Cow::Borrowed(value), port: None, asn, observable: true };
        let registrants = |asn| if asn == 4_766 { smallvec![OrgNo(8), OrgNo(9)] } else { Told::new() };
        fallback.told(&concern, registrants).into_iter().map(|told| told.0).collect()
    }

    #[test]
    fn the_provider_is_told_else_the_authority_of_the_line_and_nobody_of_what_is_abroad() {
        let folder = tempfile::tempdir().unwrap();
        let (name, _) = national::keep(folder.path(), &parts()).unwrap();
        let fallback = Fallback::new(Arc::new(National::load(folder.path(), &name).unwrap()), &nation(&name));
        for (kind, value, asn, expected) in [
            (ObservableType::Ipv4, "1.11.9.9", None, vec![7]),
            // The innermost route is that of a customer whom nobody knows, so its provider is told.
            (ObservableType::Ipv4, "1.11.7.9", None, vec![7]),
            (ObservableType::Url, "http://1.11.9.9:8080/x", None, vec![7]),
            (ObservableType::Cidr, "1.11.9.0/24", None, vec![7]),
            (ObservableType::Cidr, "1.0.0.0/8", None, vec![]),
            // Who registered the AS number is its provider.
            (ObservableType::Ipv6, "2001:dc5::7", None, vec![8, 9]),
            (ObservableType::Ipv4, "203.0.114.7", None, vec![8, 9]),
            // Abroad by its address, here by what the reporter says of it.
            (ObservableType::Ipv4, "8.8.8.8", Some(9_317), vec![2]),
            (ObservableType::Ipv4, "8.8.8.8", Some(9_318), vec![7]),
            (ObservableType::Ipv4, "8.8.8.8", Some(15_169), vec![]),
            (ObservableType::Asn, "9317", None, vec![2]),
            (ObservableType::Asn, "9319", None, vec![0]),
            (ObservableType::Asn, "15169", None, vec![]),
            (ObservableType::Domain, "www.example.kr", None, vec![]),
        ] {
            assert_eq!(told(&fallback, kind, value, asn), expected, "{value} {asn:?}");
        }
        let mut without = parts();
        without.routes.clear();
        let (name, _) = national::keep(folder.path(), &without).unwrap();
        let fallback = Fallback::new(Arc::new(National::load(folder.path(), &name).unwrap()), &nation(&name));
        assert_eq!(told(&fallback, ObservableType::Ipv4, "203.0.114.7", None), [3], "the line of its prefix");
        assert_eq!(told(&fallback, ObservableType::Ipv4, "203.0.113.7", None), [2], "the private line where none is said");
    }

    #[test]
    fn what_held_at_a_place_is_known_and_the_oldest_makes_room() {
        let mut nations = Nations::default();
        assert!(!nations.set(Seq(5), None));
        assert!(nations.set(Seq(10), Some(nation("a"))));
        assert!(!nations.set(Seq(11), Some(nation("a"))), "told twice, it changes nothing");
        assert!(nations.set(Seq(20), Some(nation("b"))));
        assert!(nations.set(Seq(30), None));
        assert!(nations.current().is_none());
        let at = |seq| nations.at(Seq(seq)).map(|nation| nation.table.to_string());
        assert_eq!([9, 10, 19, 20, 29, 30].map(at), [None, Some("a"), Some("a"), Some("b"), Some("b"), None].map(|table| table.map(str::to_owned)));
        for seq in 0..500 {
            nations.set(Seq(100 + seq), Some(nation(&seq.to_string())));
        }
        assert_eq!(nations.tables().count(), MAX_SPANS);
        assert_eq!(nations.at(Seq(15)).map(|nation| nation.table.as_str()), Some("372"), "the oldest that is known stands for what was before");
    }
}
