//! Which rows of a block a filter may want, decided on columns, without making events.
//!
//! Flow: a search asks [`Body::rows_that_may_match`] → reads those events alone → `policy` redacts each → the filter is asked again.
//! Invariant: no row that the filter wants is left out, whoever asks: victims' values count here, erased ones may. A column is unpacked only
//! where the filter asks for it and rows are left that it decides.
//! Not here: what a reader may see (`policy`), skipping whole blocks (`zone`).

use super::children::{self, Child};
use super::values::ValueReader;
use super::{Body, id};
use crate::ledger::container::Container;
use crate::ledger::streams::{self, Stream};
use crate::ledger::zone::Zone;
use crate::packing::pack;
use ipnet::IpNet;
use model::{Filter, ObservableType, Text};

/// A value of an asked type was found.
const TYPE: u8 = 1;
/// A value inside the range was found.
const WITHIN: u8 = 2;
/// A value under the domain was found.
const UNDER: u8 = 4;
/// One of the values asked for was found.
const VALUE: u8 = 8;
/// Another column has decided against the row: its values are passed over.
const DECIDED: u8 = 128;

impl Body<'_> {
    /// The rows that may meet a filter, oldest first, given the block's vault page and zone map; `None` where the block is broken.
    pub fn rows_that_may_match(&self, vault: &[u8], zone: &Zone, filter: &Filter) -> Option<Vec<u32>> {
        let mut rows: Vec<u32> = (0..self.rows() as u32).collect();
        self.keep_times(&mut rows, zone, filter)?;
        self.keep_categories(&mut rows, filter)?;
        self.keep_names(&mut rows, filter)?;
        self.keep_values(&mut rows, vault, zone, filter)?;
        Some(rows)
    }

    /// The rows with a value that is wanted, oldest first, given the block's vault page; `None` where the block is broken. Erased values are asked for as
    /// what is left of them.
    pub fn rows_with(&self, vault: &[u8], mut wanted: impl FnMut(ObservableType, &str) -> bool) -> Option<Vec<u32>> {
        let mut children: Vec<(usize, Child)> = Vec::with_capacity(self.rows());
        let texts = children::walk(self, |row, child| children.push((row, child)))?;
        let vault = Container::open(vault)?;
        let values = ValueReader::new(&self.container, &vault, texts);
        let mut rows: Vec<u32> = Vec::new();
        for (row, child) in children {
            if rows.last() != Some(&(row as u32)) && wanted(child.kind, &child.text(values.bytes(child)?)) {
                rows.push(row as u32);
            }
        }
        Some(rows)
    }

    fn keep_times(&self, rows: &mut Vec<u32>, zone: &Zone, filter: &Filter) -> Option<()> {
        // Most often the whole block lies in the time asked for.
        let since = filter.since.filter(|&since| zone.time_min < since);
        let until = filter.until.filter(|&until| zone.time_max >= until);
        if since.is_some() || until.is_some() {
            let times = self.times()?;
            rows.retain(|&row| {
                let time = times.get(row as usize);
                since.is_none_or(|since| time >= since) && until.is_none_or(|until| time < until)
            });
        }
        Some(())
    }

    fn keep_categories(&self, rows: &mut Vec<u32>, filter: &Filter) -> Option<()> {
        if !filter.categories.is_empty() && !rows.is_empty() {
            let wanted = filter.categories.iter().fold(0_u64, |bits, category| bits | 1_u64 << category.number());
            let categories = self.ints(id::CATEGORY)?;
            rows.retain(|&row| wanted >> (categories.get(row as usize) & 63) & 1 == 1);
        }
        Some(())
    }

    /// Sectors and malware names: what the block's dictionary does not have cannot be in it.
    fn keep_names(&self, rows: &mut Vec<u32>, filter: &Filter) -> Option<()> {
        if (filter.sectors.is_empty() && filter.malware.is_none()) || rows.is_empty() {
            return Some(());
        }
        let dictionary = self.dictionary()?;
        if !filter.sectors.is_empty() {
            self.keep_numbers(rows, id::SECTOR, &numbers(&dictionary, |text| filter.sectors.contains(text)))?;
        }
        if let Some(name) = &filter.malware {
            self.keep_numbers(rows, id::MALWARE, &numbers(&dictionary, |text| name.eq_ignore_ascii_case(text)))?;
        }
        Some(())
    }

    fn keep_numbers(&self, rows: &mut Vec<u32>, column_id: u8, wanted: &[u64]) -> Option<()> {
        if wanted.is_empty() {
            rows.clear();
        }
        if !rows.is_empty() {
            let column = self.ints(column_id)?;
            rows.retain(|&row| wanted.contains(&column.get(row as usize)));
        }
        Some(())
    }

    fn keep_values(&self, rows: &mut Vec<u32>, vault: &[u8], zone: &Zone, filter: &Filter) -> Option<()> {
        let tests = ValueTests::new(filter);
        if tests.asked == 0 || rows.is_empty() {
            return Some(());
        }
        if !tests.can_be_in(zone) {
            rows.clear();
            return Some(());
        }
        let mut found = vec![DECIDED; self.rows()];
        for &row in rows.iter() {
            if let Some(found) = found.get_mut(row as usize) {
                *found = 0;
            }
        }
        // First by type, which costs no bytes of values; then only the values that a range or a domain can hold.
        let mut candidates: Vec<(usize, Child)> = Vec::new();
        let texts = children::walk(self, |row, child| {
            let Some(found) = found.get_mut(row).filter(|found| **found != DECIDED) else { return };
            if has(tests.types, child.kind) {
                *found |= TYPE;
            }
            if has(tests.within | tests.under | tests.values, child.kind) {
                candidates.push((row, child));
            }
        })?;
        if !candidates.is_empty() {
            let vault = Container::open(vault)?;
            let values = ValueReader::new(&self.container, &vault, texts);
            for (row, child) in candidates {
                let bytes = values.bytes(child)?;
                if let Some(found) = found.get_mut(row) {
                    *found |= tests.met_by(child, bytes);
                }
            }
        }
        rows.retain(|&row| found.get(row as usize) == Some(&tests.asked));
        Some(())
    }
}

/// Numbers of the texts that are wanted; number 0 is none.
fn numbers(dictionary: &[Text], wanted: impl Fn(&Text) -> bool) -> Vec<u64> {
    dictionary.iter().enumerate().skip(1).filter(|(_, text)| wanted(text)).map(|(number, _)| number as u64).collect()
}

/// What a filter asks of values: per condition the types that can meet it, a bit each.
struct ValueTests<'f> {
    types: u32,
    within: u32,
    under: u32,
    values: u32,
    range: Option<IpNet>,
    suffix: Option<&'f str>,
    wanted: Vec<Wanted<'f>>,
    /// The conditions there are; all must be met, each by any value.
    asked: u8,
}

impl<'f> ValueTests<'f> {
    fn new(filter: &'f Filter) -> Self {
        let types = filter.types.iter().fold(0, |bits, &kind| bits | bit(kind));
        let within = match filter.within {
            None => 0,
            Some(IpNet::V4(_)) => bit(ObservableType::Ipv4) | bit(ObservableType::Cidr),
            Some(IpNet::V6(_)) => bit(ObservableType::Ipv6) | bit(ObservableType::Cidr),
        };
        let under = match filter.domain {
            None => 0,
            Some(_) => bit(ObservableType::Domain) | bit(ObservableType::Url) | bit(ObservableType::Email),
        };
        let values = filter.values.iter().fold(0, |bits, (kind, _)| bits | bit(*kind));
        let conditions = [(types, TYPE), (within, WITHIN), (under, UNDER), (values, VALUE)];
        let asked = conditions.into_iter().filter(|(kinds, _)| *kinds != 0).fold(0, |all, (_, one)| all | one);
        let wanted = filter.values.iter().map(|(kind, value)| Wanted::new(*kind, value)).collect();
        Self { types, within, under, values, range: filter.within, suffix: filter.domain.as_deref(), wanted, asked }
    }

    /// Whether the block has values of types that can meet every condition.
    fn can_be_in(&self, zone: &Zone) -> bool {
        [self.types, self.within, self.under, self.values].into_iter().all(|kinds| kinds == 0 || kinds & zone.types != 0)
    }

    /// The conditions on bytes that a value meets.
    fn met_by(&self, child: Child, bytes: &[u8]) -> u8 {
        let mut met = 0;
        if has(self.within, child.kind) && self.range.is_some_and(|range| is_within(child, bytes, &range)) {
            met |= WITHIN;
        }
        if has(self.under, child.kind) && self.suffix.is_some_and(|suffix| is_under(child.kind, bytes, suffix)) {
            met |= UNDER;
        }
        if has(self.values, child.kind) && self.wanted.iter().any(|wanted| wanted.is(child, bytes)) {
            met |= VALUE;
        }
        met
    }
}

/// A value that is asked for, in both forms in which blocks hold values.
struct Wanted<'f> {
    kind: ObservableType,
    text: &'f str,
    /// Empty where it has no packed form.
    packed: Vec<u8>,
}

impl<'f> Wanted<'f> {
    fn new(kind: ObservableType, text: &'f str) -> Self {
        let mut packed = Vec::new();
        // What cannot be packed is held as text, which is compared as it is.
        pack(kind, text, &mut packed);
        Self { kind, text, packed }
    }

    fn is(&self, child: Child, bytes: &[u8]) -> bool {
        let mine = match child.stream() {
            Stream::Text => self.text.as_bytes(),
            Stream::Four | Stream::Binary(_) => &self.packed,
        };
        child.kind == self.kind && bytes == mine
    }
}

fn bit(kind: ObservableType) -> u32 {
    1_u32 << kind.number()
}

fn has(kinds: u32, kind: ObservableType) -> bool {
    kinds & bit(kind) != 0
}

fn is_within(child: Child, bytes: &[u8], range: &IpNet) -> bool {
    match child.stream() {
        Stream::Text => std::str::from_utf8(bytes).is_ok_and(|text| model::filter::value_within(child.kind, text, range)),
        Stream::Four | Stream::Binary(_) => streams::within(child.kind, bytes, range),
    }
}

fn is_under(kind: ObservableType, bytes: &[u8], suffix: &str) -> bool {
    // A domain is decided by its end, and most are elsewhere: no need to look whether it is UTF-8.
    if kind == ObservableType::Domain && !bytes.ends_with(suffix.as_bytes()) {
        return false;
    }
    std::str::from_utf8(bytes).is_ok_and(|text| model::filter::value_under(kind, text, suffix))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::ledger::columns::{Encoded, encode, split_filter};
    use model::{Category, Event, Role, Timestamp};
    use proptest::prelude::*;

    const VALUES: [(ObservableType, &str); 12] = [
        (ObservableType::Ipv4, "8.8.8.8"),
        (ObservableType::Ipv4, "45.12.7.1"),
        (ObservableType::Ipv4, "45.13.0.0"),
        (ObservableType::Ipv6, "2606:4700::1111"),
        (ObservableType::Ipv6, "2a00::1"),
        (ObservableType::Cidr, "45.12.7.0/24"),
        (ObservableType::Cidr, "2606:4700::/32"),
        (ObservableType::Domain, "shop.evil.kr"),
        (ObservableType::Domain, "notevil.kr"),
        (ObservableType::Url, "http://shop.evil.kr:8080/a?b=evil.kr"),
        (ObservableType::Email, "lee@evil.kr"),
        (ObservableType::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
    ];

    fn event(seconds: i64, category: Category, values: &[(usize, Role)], malware: Option<&str>) -> Event {
        let mut observables = values.iter().map(|&(at, role)| model::canonical::observable(VALUES[at].0, VALUES[at].1, role, None).unwrap());
        let mut event = Event::new(Timestamp::from_seconds(seconds), category, observables.next().unwrap());
        event.observables.extend(observables);
        event.malware = malware.map(Text::from);
        event.sector = (seconds % 3 == 0).then(|| Text::from("energy"));
        event
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let values = proptest::collection::vec((0..VALUES.len(), prop_oneof![Just(Role::Attacker), Just(Role::Victim), Just(Role::Bystander)]), 1..4);
        let category = prop_oneof![Just(Category::Phishing), Just(Category::C2Server), Just(Category::InfectedSystem)];
        let malware = prop_oneof![Just(None::<&str>), Just(Some("Emotet")), Just(Some("emotet")), Just(Some("Mirai"))];
        proptest::collection::vec((1_000_i64..1_010, category, values, malware), 1..40)
            .prop_map(|all| all.into_iter().map(|(seconds, category, values, malware)| event(seconds, category, &values, malware)).collect())
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let time = || proptest::option::of((999_i64..1_011).prop_map(Timestamp::from_seconds));
        let categories = prop_oneof![Just(Vec::<Category>::new()), Just(vec![Category::Phishing]), Just(vec![Category::C2Server, Category::Scanner])];
        let types = prop_oneof![Just(Vec::<ObservableType>::new()), Just(vec![ObservableType::Email]), Just(vec![ObservableType::Ipv4, ObservableType::Md5])];
        let sectors = prop_oneof![Just(Vec::<Text>::new()), Just(vec![Text::from("energy")]), Just(vec![Text::from("water")])];
        let range = prop_oneof![Just("45.12.0.0/16"), Just("45.12.7.1/32"), Just("2606:4700::/16"), Just("0.0.0.0/0"), Just("9.0.0.0/8")];
        let within = proptest::option::of(range.prop_map(|range| range.parse::<IpNet>().unwrap()));
        let domain = proptest::option::of(prop_oneof![Just("kr"), Just("evil.kr"), Just("shop.evil.kr"), Just("nowhere.example")].prop_map(Text::from));
        let malware = prop_oneof![Just(None::<Text>), Just(Some(Text::from("EMOTET"))), Just(Some(Text::from("none")))];
        let value = (0..VALUES.len()).prop_map(|at| vec![(VALUES[at].0, Text::from(VALUES[at].1))]);
        let several = Just(vec![(ObservableType::Ja3, Text::from(VALUES[11].1)), (ObservableType::Md5, Text::from(VALUES[11].1))]);
        let values = prop_oneof![Just(Vec::new()), value, several];
        let all = (time(), time(), categories, types, sectors, within, domain, malware, values);
        all.prop_map(|(since, until, categories, types, sectors, within, domain, malware, values)| Filter {
            since,
            until,
            categories,
            types,
            sectors,
            within,
            domain,
            malware,
            values,
        })
    }

    fn rows(encoded: &Encoded, filter: &Filter) -> Vec<u32> {
        let (_, columns) = split_filter(&encoded.body).unwrap();
        Body::open(encoded.events, columns).unwrap().rows_that_may_match(&encoded.vault, &encoded.zone, filter).unwrap()
    }

    proptest! {
        #[test]
        fn the_rows_are_those_whose_whole_event_matches(events in events(), filter in filters()) {
            let encoded = encode(events.iter(), &[]);
            let expected: Vec<u32> = (0..events.len() as u32).filter(|&row| filter.matches(&events[row as usize])).collect();
            prop_assert_eq!(rows(&encoded, &filter), expected);
        }

        #[test]
        fn rows_with_a_value_are_those_whose_events_have_it(events in events(), at in 0..VALUES.len()) {
            let encoded = encode(events.iter(), &[]);
            let (kind, value) = VALUES[at];
            let (_, columns) = split_filter(&encoded.body).unwrap();
            let has = |event: &Event| event.observables.iter().any(|observable| (observable.kind, observable.value.as_str()) == (kind, value));
            let expected: Vec<u32> = (0..events.len() as u32).filter(|&row| has(&events[row as usize])).collect();
            let rows = Body::open(encoded.events, columns).unwrap().rows_with(&encoded.vault, |mine, text| (mine, text) == (kind, value));
            prop_assert_eq!(rows.unwrap(), expected);
        }

        #[test]
        fn events_come_back_whole(events in events()) {
            let encoded = encode(events.iter(), &[]);
            let (_, columns) = split_filter(&encoded.body).unwrap();
            let body = Body::open(encoded.events, columns).unwrap();
            let reader = body.events(&encoded.vault).unwrap();
            for (row, event) in events.iter().enumerate() {
                prop_assert_eq!(&reader.event(row).unwrap(), event);
            }
        }
    }

    #[test]
    fn a_value_that_is_not_in_packed_form_is_found_too() {
        let mut event = event(1_000, Category::Phishing, &[(1, Role::Attacker)], None);
        event.observables[0].kind = ObservableType::Ipv6;
        event.observables[0].value = Text::from("2606:4700:0:0:0:0:0:1");
        let encoded = encode(std::iter::once(&event), &[]);
        let within = |range: &str| Filter { within: Some(range.parse().unwrap()), ..Filter::default() };
        assert_eq!(rows(&encoded, &within("2606:4700::/32")), [0]);
        assert!(rows(&encoded, &within("2607::/32")).is_empty());
        let value = |value: &str| Filter { values: vec![(ObservableType::Ipv6, Text::from(value))], ..Filter::default() };
        assert_eq!(rows(&encoded, &value("2606:4700:0:0:0:0:0:1")), [0]);
        assert!(rows(&encoded, &value("2606:4700::1")).is_empty());
    }

    #[test]
    fn columns_that_are_not_asked_for_are_not_looked_at() {
        let event = event(1_000, Category::Phishing, &[(1, Role::Attacker), (7, Role::Victim)], None);
        let encoded = encode(std::iter::once(&event), &[]);
        let (_, columns) = split_filter(&encoded.body).unwrap();
        let body = Body::open(1, columns).unwrap();
        let broken = [0xFF; 3];
        let filter = Filter { categories: vec![Category::Phishing], ..Filter::default() };
        assert_eq!(body.rows_that_may_match(&broken, &encoded.zone, &filter), Some(vec![0]));
        assert_eq!(body.rows_that_may_match(&broken, &encoded.zone, &Filter { domain: Some(Text::from("kr")), ..filter }), None);
    }
}
