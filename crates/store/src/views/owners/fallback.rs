//! Who is told of what lies in the nation and nobody registered: the access provider by AS number, else the authority of the line.
//!
//! Flow: control entries → [`Nations`] (what held from where until where) → a [`Fallback`] of the one that holds → asked where no registration matches.
//! Invariant: for a value of the nation somebody is always named; for one that is not the nation's nobody is. Whose an address is the registries'
//! tables and the registrations say; an AS number that a reporter states serves only where they say nothing else and a member stands behind it.
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
        let number: Option<u32> = if concern.kind == ObservableType::Asn { concern.value.parse().ok() } else { None };
        // By the registries' tables alone: a reporter's AS number brings no address into the nation.
        let here = span.is_some_and(|span| self.national.holds(span)) || number.is_some_and(|asn| self.national.holds_asn(asn));
        if !here {
            return Told::new();
        }
        let mut known: SmallVec<[u32; 4]> = number.into_iter().collect();
        if let Some(span) = span {
            self.national.announced(span, &mut |asn| known.push(asn));
        }
        // Where no route is known the reporter's word may name the provider, as far as a member stands behind that number; the line it does not.
        let asked = if known.is_empty() { concern.asn.as_slice() } else { known.as_slice() };
        let provider = asked.iter().map(|asn| self.provider(*asn, &mut registrants)).find(|told| !told.is_empty());
        provider.unwrap_or_else(|| {
            let line = span.and_then(|span| self.national.line(span)).or_else(|| known.iter().find_map(|asn| self.national.line_of_asn(*asn)));
            smallvec![self.authority(line.unwrap_or(Constituency::Private))]
        })
    }

    /// Whether the tables leave room for a reporter's word that a value lies in an AS: its addresses are announced by that one or by none that is
    /// known, and an AS number of the nation is said of no address that the registries gave to somebody abroad.
    pub(super) fn leaves_room(&self, concern: &Concern<'_>, asn: u32) -> bool {
        let Some(span) = Span::of(concern.kind, &concern.value) else { return true };
        match self.announces(span, asn) {
            Some(by_it) => by_it,
            None => self.national.holds(span) || !self.national.knows(span) || !self.national.holds_asn(asn),
        }
    }

    /// Whether a route says that an AS announces a value's addresses.
    pub(super) fn is_announced_by(&self, concern: &Concern<'_>, asn: u32) -> bool {
        Span::of(concern.kind, &concern.value).and_then(|span| self.announces(span, asn)).unwrap_or_default()
    }

    /// Whether an AS is among those that announce these addresses; `None` where none is known.
    fn announces(&self, span: Span, asn: u32) -> Option<bool> {
        let mut found = None;
        self.national.announced(span, &mut |by| found = Some(found.unwrap_or_default() || by == asn));
        found
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
            // Abroad by its address, whatever the reporter says of it.
            (ObservableType::Ipv4, "8.8.8.8", Some(9_317), vec![]),
            (ObservableType::Ipv4, "8.8.8.8", Some(9_318), vec![]),
            (ObservableType::Ipv4, "8.8.8.8", Some(15_169), vec![]),
            (ObservableType::Ipv6, "2606:4700::1", Some(4_766), vec![]),
            // The routes say who announces it, and the reporter changes nothing of that.
            (ObservableType::Ipv4, "203.0.114.7", Some(9_318), vec![8, 9]),
            (ObservableType::Ipv4, "1.11.9.9", Some(4_766), vec![7]),
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
        for (asn, expected) in [(9_318, vec![7]), (4_766, vec![8, 9]), (9_319, vec![2]), (15_169, vec![2])] {
            let said = told(&fallback, ObservableType::Ipv4, "203.0.113.7", Some(asn));
            assert_eq!(said, expected, "{asn}: where no route is known a member behind the number is told, and nobody's line is taken from it");
        }
        let foreign = national::NationalParts { routes: vec![("1.11.0.0".parse().unwrap(), 16, 9_319)], ..parts() };
        let (name, _) = national::keep(folder.path(), &foreign).unwrap();
        let fallback = Fallback::new(Arc::new(National::load(folder.path(), &name).unwrap()), &nation(&name));
        assert_eq!(told(&fallback, ObservableType::Ipv4, "1.11.9.9", Some(9_318)), [0], "announced by one of the line of defence, which has no authority");
    }

    #[test]
    fn a_reporters_as_number_is_believed_where_no_table_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let open = |parts: &national::NationalParts| {
            let (name, _) = national::keep(folder.path(), parts).unwrap();
            Fallback::new(Arc::new(National::load(folder.path(), &name).unwrap()), &nation(&name))
        };
        let leaves = |fallback: &Fallback, kind: ObservableType, value: &str, asn: u32| {
            let concern = Concern { kind, value: Cow::Borrowed(value), port: None, asn: Some(asn), observable: true };
            fallback.leaves_room(&concern, asn)
        };
        let fallback = open(&parts());
        for (value, asn, expected) in [
            ("1.11.9.9", 9_318, true),
            // By the innermost route and by the outer one.
            ("1.11.7.9", 64_500, true),
            ("1.11.7.9", 9_318, true),
            ("1.11.7.9", 4_766, false),
            // Abroad: no AS of the nation's is there, one from abroad may be.
            ("8.8.8.8", 9_318, false),
            ("8.8.8.8", 15_169, true),
            ("203.0.115.9", 4_766, true),
        ] {
            assert_eq!(leaves(&fallback, ObservableType::Ipv4, value, asn), expected, "{value} {asn}");
        }
        assert!(leaves(&fallback, ObservableType::Asn, "9318", 9_318));
        let announced = |value: &'static str, asn: u32| {
            let concern = Concern { kind: ObservableType::Ipv4, value: Cow::Borrowed(value), port: None, asn: Some(asn), observable: true };
            fallback.is_announced_by(&concern, asn)
        };
        assert!(announced("1.11.7.9", 9_318) && !announced("1.11.7.9", 4_766) && !announced("8.8.8.8", 15_169));
        let numbers = national::NationalParts { asns: vec![(9_318, 9_318)], ..national::NationalParts::default() };
        assert!(leaves(&open(&numbers), ObservableType::Ipv4, "8.8.8.8", 9_318), "a nation of AS numbers alone knows of no address whose it is");
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
