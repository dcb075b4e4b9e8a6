//! Sheets: what readers with the same facts see of a piece of a frame, worked out once for all who follow the stream.
//!
//! Flow: a follower asks [`Sheets::sheet`] for the piece at its place → who comes first makes it → each asks its own filter of each row, and the first
//! whom a row is for has it rendered for all.
//! Invariant: a row is shared only where `policy` cannot tell its readers apart: it has no audience, and the reader did not report it. Whatever else
//! there is each follower asks for by itself. A sheet is given to who has its facts, by the directory of the moment, and of frames that are kept alone.
//! Not here: what a follower is given, and when (`super::stream`); who sees what (`policy`).

use super::view::View;
use crate::directory::Snapshot;
use bytes::Bytes;
use model::{Category, Event, Filter, ObservableType, OrgNo, Seq, Text};
use parking_lot::Mutex;
use policy::{Reader, Sight, redact};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use store::LiveFrame;

/// Rows of a sheet at the most: so many are worked out at a time, on the thread of who asks first.
const ROWS: u32 = 512;
/// Rows kept at the most, those of all sheets together; the oldest go first.
const MAX_ROWS: usize = 32_768;
/// Sheets kept at the most.
const MAX_SHEETS: usize = 1_024;
/// Bytes of an event's texts past which it is kept for nobody.
const MAX_TEXTS: usize = 4_096;
/// No organisation has this number.
const NOBODY: OrgNo = OrgNo(u32::MAX);

/// The reader that all with the same facts are to what has no audience and what they did not report.
pub(super) fn in_common(reader: &Reader) -> Reader {
    Reader { org: NOBODY, audience_ids: Vec::new(), ..reader.clone() }
}

/// What of a filter is told by categories and types alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glass {
    categories: u64,
    /// Of each of these an event must have one.
    kinds: [u32; 3],
}

impl Glass {
    /// That of a filter.
    pub(super) fn of(filter: &Filter) -> Self {
        use ObservableType::{Cidr, Domain, Email, Ipv4, Ipv6, Url};
        let types = if filter.types.is_empty() { u32::MAX } else { kind_bits(&filter.types) };
        let within = if filter.within.is_some() { kind_bits(&[Ipv4, Ipv6, Cidr]) } else { u32::MAX };
        let domain = if filter.domain.is_some() { kind_bits(&[Domain, Url, Email]) } else { u32::MAX };
        let categories =
            if filter.categories.is_empty() { u64::MAX } else { filter.categories.iter().fold(0, |bits, category| bits | category_bit(*category)) };
        Self { categories, kinds: [types, within, domain] }
    }

    /// Whether the filter may want an event, or one of several, with these categories and types.
    fn may_match(&self, categories: u64, kinds: u32) -> bool {
        self.categories & categories != 0 && self.kinds.iter().all(|wanted| wanted & kinds != 0)
    }
}

/// A number that does not fit is as all of them: the filter itself decides then.
fn category_bit(category: Category) -> u64 {
    1_u64.checked_shl(u32::from(category.number())).unwrap_or(u64::MAX)
}

fn kind_bits(kinds: &[ObservableType]) -> u32 {
    kinds.iter().fold(0, |bits, kind| bits | 1_u32.checked_shl(u32::from(kind.number())).unwrap_or(u32::MAX))
}

fn kinds_of(event: &Event) -> u32 {
    event.observables.iter().fold(0, |bits, observable| bits | kind_bits(&[observable.kind]))
}

/// What readers with the same facts see of a piece of a frame.
#[derive(Debug)]
pub(super) struct Sheet {
    /// Its first row in the frame.
    first: u32,
    rows: Vec<Row>,
    /// What the shared rows have, together.
    categories: u64,
    kinds: u32,
    /// Whether each follower must ask for a row by itself.
    apart: bool,
    /// Who reported the rows, sorted.
    reporters: Vec<OrgNo>,
}

#[derive(Debug)]
struct Row {
    categories: u64,
    kinds: u32,
    reporter: OrgNo,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    /// To nobody with these facts but its reporter.
    Hidden,
    /// To some of them, or too large to be kept.
    Apart,
    /// To all of them alike.
    Shared(Box<Shared>),
}

/// An event as all with the same facts see it.
#[derive(Debug)]
pub(super) struct Shared {
    event: Event,
    sight: Sight,
    json: OnceLock<Bytes>,
}

impl Shared {
    /// What is left of the event for them.
    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    /// Its JSON; `write` makes it for all who ask.
    pub(super) fn json(&self, write: impl FnOnce(&Event, Sight) -> Vec<u8>) -> Bytes {
        self.json.get_or_init(|| Bytes::from(write(&self.event, self.sight))).clone()
    }
}

/// A row that may be for a follower.
#[derive(Debug)]
pub(super) enum Candidate<'s> {
    /// It asks for it by itself: what it sees of it is its own.
    Apart,
    /// Its filter is asked of what all see alike.
    Shared(&'s Shared),
}

impl Sheet {
    fn make(frame: &LiveFrame, first: u32, common: &Reader, directory: &Arc<Snapshot>) -> Self {
        let view = View { reader: common, directory: Arc::clone(directory) };
        let end = end_of_piece(frame, first);
        let mut sheet = Self { first, rows: Vec::with_capacity((end - first) as usize), categories: 0, kinds: 0, apart: false, reporters: Vec::new() };
        for place in first..end {
            let row = match frame.event(place) {
                Some((reporter, event)) => row(&view, reporter, event),
                None => Row { categories: 0, kinds: 0, reporter: NOBODY, shown: Shown::Hidden },
            };
            sheet.categories |= row.categories;
            sheet.kinds |= row.kinds;
            sheet.apart |= matches!(row.shown, Shown::Apart);
            sheet.reporters.push(row.reporter);
            sheet.rows.push(row);
        }
        sheet.reporters.sort_unstable();
        sheet.reporters.dedup();
        sheet
    }

    /// The row of the frame after its last one.
    pub(super) fn end(&self) -> u32 {
        self.first + self.rows.len() as u32
    }

    /// The rows from `from` on that may be for a follower of this organisation with this filter, by their place in the frame.
    pub(super) fn candidates(&self, from: u32, org: OrgNo, glass: Glass) -> impl Iterator<Item = (u32, Candidate<'_>)> {
        let reported = self.reporters.binary_search(&org).is_ok();
        let concerned = self.apart || reported || glass.may_match(self.categories, self.kinds);
        let passed = from.saturating_sub(self.first) as usize;
        let rows = if concerned { self.rows.get(passed..).unwrap_or_default() } else { &[] };
        let begin = self.first + passed as u32;
        rows.iter().zip(begin..).filter_map(move |(row, place)| {
            if row.reporter == org {
                return Some((place, Candidate::Apart));
            }
            match &row.shown {
                Shown::Hidden => None,
                Shown::Apart => Some((place, Candidate::Apart)),
                Shown::Shared(shared) => glass.may_match(row.categories, row.kinds).then_some((place, Candidate::Shared(shared))),
            }
        })
    }
}

fn row(view: &View<'_>, reporter: OrgNo, event: &Event) -> Row {
    let without = |shown: Shown| Row { categories: 0, kinds: 0, reporter, shown };
    if !event.audience().is_empty() {
        return without(Shown::Apart);
    }
    let sight = view.event(reporter, event);
    if !sight.sees_event() {
        return without(Shown::Hidden);
    }
    let mut event = event.clone();
    if !redact(&mut event, sight) {
        return without(Shown::Hidden);
    }
    if texts(&event) > MAX_TEXTS {
        return without(Shown::Apart);
    }
    let (categories, kinds) = (category_bit(event.category), kinds_of(&event));
    Row { categories, kinds, reporter, shown: Shown::Shared(Box::new(Shared { event, sight, json: OnceLock::new() })) }
}

/// Bytes of an event's texts, about.
fn texts(event: &Event) -> usize {
    let values: usize = event.observables.iter().map(|observable| size_of_val(observable) + observable.value.len()).sum();
    let Some(details) = event.details.as_deref() else { return values };
    let free: usize = [&details.note, &details.extra, &details.original].into_iter().flatten().map(Text::len).sum();
    let listed: usize = details.technique.iter().chain(&details.cve).map(|word| size_of_val(word) + word.len()).sum();
    values + free + listed
}

fn end_of_piece(frame: &LiveFrame, first: u32) -> u32 {
    first.saturating_add(ROWS).min(frame.header.rows)
}

/// The sheets of the newest frames.
#[derive(Debug, Default)]
pub(crate) struct Sheets {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the number of their first row.
    sheets: BTreeMap<Seq, Vec<Slot>>,
    count: usize,
    rows: usize,
}

/// A sheet that is made, or is being made.
#[derive(Debug)]
struct Slot {
    common: Reader,
    directory: Arc<Snapshot>,
    frame: Weak<LiveFrame>,
    rows: usize,
    sheet: Arc<OnceLock<Arc<Sheet>>>,
}

impl Sheets {
    /// What readers with these facts ([`in_common`]) see of the piece of a frame that holds a row.
    pub(super) fn sheet(&self, frame: &Arc<LiveFrame>, row: u32, common: &Reader, directory: &Arc<Snapshot>) -> Arc<Sheet> {
        let first = row - row % ROWS;
        let slot = self.kept.lock().slot(frame, first, common, directory);
        // Outside the lock: whoever wants another sheet need not wait for this one.
        Arc::clone(slot.get_or_init(|| Arc::new(Sheet::make(frame, first, common, directory))))
    }

    /// Lets go of the sheets of frames that are not kept any more.
    pub(super) fn tidy(&self) {
        self.kept.lock().retain(|slot| slot.frame.strong_count() > 0);
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.kept.lock().rows
    }
}

impl Kept {
    fn slot(&mut self, frame: &Arc<LiveFrame>, first: u32, common: &Reader, directory: &Arc<Snapshot>) -> Arc<OnceLock<Arc<Sheet>>> {
        let key = Seq(frame.header.first_seq.0 + u64::from(first));
        let slots = self.sheets.entry(key).or_default();
        let is_it = |slot: &&Slot| Arc::ptr_eq(&slot.directory, directory) && std::ptr::eq(slot.frame.as_ptr(), Arc::as_ptr(frame)) && slot.common == *common;
        if let Some(slot) = slots.iter().find(is_it) {
            return Arc::clone(&slot.sheet);
        }
        let rows = end_of_piece(frame, first).saturating_sub(first) as usize;
        let sheet = Arc::default();
        slots.push(Slot { common: common.clone(), directory: Arc::clone(directory), frame: Arc::downgrade(frame), rows, sheet: Arc::clone(&sheet) });
        self.count += 1;
        self.rows += rows;
        if self.count > MAX_SHEETS || self.rows > MAX_ROWS {
            self.retain(|slot| slot.frame.strong_count() > 0 && Arc::ptr_eq(&slot.directory, directory));
        }
        while self.count > MAX_SHEETS || self.rows > MAX_ROWS {
            // Who is behind the others makes its own: those in front are many.
            let Some((_, gone)) = self.sheets.pop_first() else { break };
            self.count -= gone.len();
            self.rows -= gone.iter().map(|slot| slot.rows).sum::<usize>();
        }
        sheet
    }

    fn retain(&mut self, keep: impl Fn(&Slot) -> bool) {
        self.sheets.retain(|_, slots| {
            slots.retain(|slot| keep(slot));
            !slots.is_empty()
        });
        self.count = self.sheets.values().map(Vec::len).sum();
        self.rows = self.sheets.values().flatten().map(|slot| slot.rows).sum();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Agreement, Constituency, KeyRole, Observable, OrgKind, Redistribution, Role, Standing, Timestamp, Tlp};
    use policy::{Item, sight};
    use proptest::prelude::*;
    use proptest::sample::select;

    fn readers() -> impl Strategy<Value = Reader> {
        let agreement = proptest::option::of((select(Tlp::ALL), any::<bool>()).prop_map(|(tlp, names)| Agreement { names, ..Agreement::up_to(tlp) }));
        let words = (select(OrgKind::ALL), proptest::option::of(select(Constituency::ALL)), select(Standing::ALL), select(KeyRole::ALL));
        (1..4_u32, words, agreement, any::<bool>()).prop_map(|(org, (kind, constituency, standing, role), agreement, red)| Reader {
            org: OrgNo(org),
            kind,
            constituency,
            audience_ids: vec![Text::from(format!("org_{org}")), Text::from("energy")],
            standing,
            agreement,
            role,
            red,
        })
    }

    fn events() -> impl Strategy<Value = Event> {
        let observables = proptest::collection::vec((select(ObservableType::ALL), select(Role::ALL)), 1..4);
        (select(Category::ALL), observables, select(Tlp::ALL)).prop_map(|(category, observables, tlp)| {
            let value = |kind: ObservableType| match kind {
                ObservableType::Ipv4 => "185.1.2.3",
                ObservableType::Domain => "a.b.kr",
                _ => "x@b.kr",
            };
            let observable = |(kind, role)| Observable { kind, value: Text::from(value(kind)), role, detect: true, reserved: false };
            let mut observables = observables.into_iter().map(observable);
            let mut event = Event::new(Timestamp::from_seconds(1_800_000_000), category, observables.next().unwrap());
            event.observables.extend(observables);
            event.tlp = tlp;
            event
        })
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let lists = (proptest::collection::vec(select(Category::ALL), 0..3), proptest::collection::vec(select(ObservableType::ALL), 0..3));
        (lists, any::<bool>(), any::<bool>()).prop_map(|((categories, types), within, domain)| Filter {
            categories,
            types,
            within: within.then(|| "185.0.0.0/8".parse().unwrap()),
            domain: domain.then(|| Text::from("b.kr")),
            ..Filter::default()
        })
    }

    proptest! {
        #[test]
        fn readers_with_the_same_facts_see_alike_what_has_no_audience_and_what_they_did_not_report(
            reader in readers(),
            event in events(),
            (reporter, constituency) in (1..5_u32, proptest::option::of(select(Constituency::ALL))),
            (source, named, licence) in (any::<bool>(), any::<bool>(), proptest::option::of(select(Redistribution::ALL))),
        ) {
            let item = Item {
                reporter: OrgNo(reporter),
                reporter_constituency: constituency,
                source,
                licence,
                tlp: event.tlp,
                audience: event.audience(),
                category: event.category,
                sector: None,
                named,
                group_leave: false,
            };
            if reader.org != item.reporter {
                prop_assert_eq!(sight(&reader, &item), sight(&in_common(&reader), &item));
            }
        }

        #[test]
        fn a_glance_passes_over_nothing_that_a_filter_wants(event in events(), filter in filters()) {
            let glance = Glass::of(&filter).may_match(category_bit(event.category), kinds_of(&event));
            prop_assert!(glance || !filter.matches(&event));
        }
    }

    #[test]
    fn a_glance_sees_categories_and_types() {
        let event = Event::new(
            Timestamp::from_seconds(1_800_000_000),
            Category::Phishing,
            Observable { kind: ObservableType::Url, value: Text::from("http://a.kr/"), role: Role::Attacker, detect: true, reserved: false },
        );
        let glance = |filter: Filter| Glass::of(&filter).may_match(category_bit(event.category), kinds_of(&event));
        assert!(glance(Filter::default()));
        assert!(glance(Filter { categories: vec![Category::Scanner, Category::Phishing], ..Filter::default() }));
        assert!(!glance(Filter { categories: vec![Category::Scanner], ..Filter::default() }));
        assert!(!glance(Filter { types: vec![ObservableType::Ipv4], ..Filter::default() }));
        assert!(!glance(Filter { within: Some("0.0.0.0/0".parse().unwrap()), ..Filter::default() }));
        assert!(glance(Filter { domain: Some(Text::from("b.kr")), ..Filter::default() }));
    }
}
