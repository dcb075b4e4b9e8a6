//! What a collection's readers may all see of a value, and whether that is worth a version.
//!
//! Invariant: pure. Only rows that the collection admits are looked at, so that nothing of a version depends on others.
//! Not here: what a collection admits (`register`), what a door leaves out or marks beside it: warning lists, protected systems, reserved ranges.

use super::latest::Version;
use super::register::could_enter;
use super::{Collection, Indicator, MAX_THREATS};
use crate::views::Row;
use crate::views::row::NEVER;
use crate::views::strings::{Class, OVERFLOW, Strings};
use model::{Category, ObservableType, Pap, Seq, Text, Timestamp, Tlp};
use std::time::Duration;

/// Age of a version from which a change is worth another.
pub(super) const SETTLED: Duration = Duration::from_secs(86_400);
/// Seconds that the end of validity must have moved by to be a change.
const VALIDITY_STEP: u64 = 86_400;
/// Confidence from which the band is medium, and from which it is high.
const MEDIUM: u8 = 40;
const HIGH: u8 = 70;
/// Sectors of one version at the most.
const MAX_SECTORS: usize = 64;

/// What the rows of a value say together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    category: Category,
    malware: Option<Text>,
    pap: Pap,
    tlp: Tlp,
    confidence: Option<u8>,
    reporters: u32,
    first_seen: Timestamp,
    last_seen: Timestamp,
    valid_until: Option<Timestamp>,
    sectors: Vec<Text>,
    techniques: Vec<Text>,
    cves: Vec<Text>,
}

/// Folds the rows that a collection admits; `None` where it admits none.
pub(super) fn fold(rows: &[(Row, Class)], admits: impl Fn(&Class) -> bool, collection: Collection, strings: &Strings) -> Option<Content> {
    let mut admitted: Vec<&(Row, Class)> = rows.iter().filter(|(_, class)| admits(class)).collect();
    // Newest first.
    admitted.sort_unstable_by_key(|(row, _)| std::cmp::Reverse(row.last_seq));
    let (_, newest) = admitted.first()?;
    let text = |number: u32| strings.get(number).filter(|text| text.as_str() != OVERFLOW).cloned();
    let mut reporters: Vec<_> = admitted.iter().filter(|(_, class)| !class.relayed).map(|(_, class)| class.reporter).collect();
    reporters.sort_unstable();
    reporters.dedup();
    let mut sectors: Vec<Text> = admitted.iter().filter_map(|(_, class)| text(class.sector)).collect();
    sectors.sort_unstable();
    sectors.dedup();
    sectors.truncate(MAX_SECTORS);
    let (mut techniques, mut cves) = (Vec::new(), Vec::new());
    for (_, class) in admitted.iter().filter(|(_, class)| class.threats != 0) {
        let (own_techniques, own_cves) = strings.threats(class.threats);
        techniques.extend(own_techniques);
        cves.extend(own_cves);
    }
    for ids in [&mut techniques, &mut cves] {
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(MAX_THREATS);
    }
    let expires = admitted.iter().map(|(row, _)| row.expires).max().unwrap_or(NEVER);
    Some(Content {
        category: newest.category,
        malware: admitted.iter().find_map(|(_, class)| text(class.malware)),
        pap: admitted.iter().map(|(_, class)| class.pap).max().unwrap_or(Pap::Red),
        tlp: admitted.iter().map(|(_, class)| class.tlp).max().unwrap_or(collection.tlp()),
        confidence: admitted.iter().filter_map(|(row, _)| row.confidence.checked_sub(1)).max(),
        reporters: reporters.len() as u32,
        first_seen: admitted.iter().map(|(row, _)| row.first_time).min().unwrap_or(Timestamp::MIN),
        last_seen: admitted.iter().map(|(row, _)| row.last_time).max().unwrap_or(Timestamp::MIN),
        valid_until: (expires < NEVER).then(|| Timestamp::from_seconds(expires)),
        sectors,
        techniques,
        cves,
    })
}

/// The newest event among the rows that a collection may admit.
pub(super) fn newest_event(rows: &[(Row, Class)]) -> Option<Seq> {
    rows.iter().filter(|(_, class)| could_enter(class)).map(|(row, _)| row.last_seq).max()
}

impl Content {
    /// The version that says it, as the value's first.
    pub(super) fn into_indicator(
        self,
        collection: Collection,
        key: u128,
        (kind, value): (ObservableType, Text),
        added: Timestamp,
        created: Timestamp,
    ) -> Indicator {
        let Self { category, malware, pap, tlp, confidence, reporters, first_seen, last_seen, valid_until, sectors, techniques, cves } = self;
        Indicator {
            collection,
            added,
            key,
            kind,
            value,
            created,
            revoked: false,
            category,
            malware,
            pap,
            tlp,
            confidence,
            reporters,
            first_seen,
            last_seen,
            valid_until,
            sectors,
            techniques,
            cves,
            threats_before: 0,
        }
    }

    /// Whether a version says exactly this.
    pub(super) fn is_said_by(&self, version: &Indicator) -> bool {
        let own = self.clone().into_indicator(version.collection, version.key, (version.kind, version.value.clone()), version.added, version.created);
        Indicator { threats_before: version.threats_before, ..own } == *version
    }

    /// Whether a version says more than this: what it was made of is no longer all there for its readers.
    pub(super) fn takes_back(&self, version: &Indicator) -> bool {
        version.tlp > self.tlp
            || version.category != self.category
            || version.confidence > self.confidence
            || version.first_seen < self.first_seen
            || version.last_seen > self.last_seen
            || (version.malware.is_some() && version.malware != self.malware)
            || version.sectors.iter().any(|sector| !self.sectors.contains(sector))
            || version.techniques.iter().any(|id| !self.techniques.contains(id))
            || version.cves.iter().any(|id| !self.cves.contains(id))
    }

    fn differs(&self, last: &Version) -> bool {
        let valid_until = self.valid_until.map_or(NEVER, Timestamp::seconds);
        what(self.category, self.malware.as_deref(), &self.techniques, &self.cves) != last.what
            || self.pap != last.pap
            || self.tlp != last.tlp
            || band(self.confidence) != last.band
            || valid_until.abs_diff(last.valid_until) > VALIDITY_STEP
    }
}

/// Checksum of what an indicator is of.
pub(super) fn what(category: Category, malware: Option<&str>, techniques: &[Text], cves: &[Text]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[category.number()]);
    hasher.update(malware.unwrap_or_default().as_bytes());
    for id in techniques.iter().chain(cves) {
        // A byte that no text has.
        hasher.update(&[0xff]);
        hasher.update(id.as_bytes());
    }
    hasher.finalize()
}

/// Band of a confidence: none, low, medium, high.
pub(super) fn band(confidence: Option<u8>) -> u8 {
    match confidence {
        None => 0,
        Some(confidence) if confidence < MEDIUM => 1,
        Some(confidence) if confidence < HIGH => 2,
        Some(_) => 3,
    }
}

/// Whether a version is so young that no change but a revocation is worth another.
pub(super) fn is_young(last: &Version, now: Timestamp) -> bool {
    last.added.plus(SETTLED) > now
}

/// What is to be done about a value in one collection.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// A version that says this.
    Write(Content),
    /// A version that says that nothing is left.
    Revoke,
}

/// Decides by the newest version and what there is now.
pub(super) fn step(last: Option<&Version>, found: Option<Content>, now: Timestamp) -> Step {
    match (last, found) {
        (None, None) => Step::Keep,
        (None, Some(content)) => Step::Write(content),
        (Some(last), None) if last.revoked => Step::Keep,
        (Some(_), None) => Step::Revoke,
        // A stricter limit on what recipients may do or pass on does not wait for tomorrow.
        (Some(last), Some(content)) if last.revoked || content.pap > last.pap || content.tlp > last.tlp => Step::Write(content),
        (Some(last), Some(content)) if !is_young(last, now) && content.differs(last) => Step::Write(content),
        (Some(_), Some(_)) => Step::Keep,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::views::indicators::MAX_ROOM;
    use crate::views::indicators::register::Register;
    use crate::views::prepare::JOIN;
    use model::{OrgNo, Role};

    const DAY: i64 = 86_400;

    fn class() -> Class {
        Class {
            reporter: OrgNo(1),
            kind: ObservableType::Domain,
            role: Role::Attacker,
            category: Category::C2Server,
            tlp: Tlp::Green,
            pap: Pap::Green,
            named: false,
            relayed: false,
            honeypot: false,
            detect: true,
            reserved: false,
            related: false,
            withdrawn: false,
            audience: 0,
            sector: 0,
            malware: 0,
            threats: 0,
        }
    }

    fn row(seq: u64, confidence: u8) -> Row {
        let time = Timestamp::from_seconds(1_000 + seq as i64);
        let (seq, expires) = (Seq(seq), 5_000 + seq as i64);
        Row { key: 1, class: 1, events: 1, count: 1, first_time: time, last_time: time, first_seq: seq, last_seq: seq, expires, confidence }
    }

    fn fold_of(rows: &[(Row, Class)], collection: Collection, strings: &Strings) -> Option<Content> {
        let admits = |class: &Class| Register::default().admits(collection, class, |number| strings.get(number), Timestamp::MIN);
        fold(rows, admits, collection, strings)
    }

    #[test]
    fn a_fold_takes_what_the_collection_admits_and_nothing_of_the_rest() {
        let strings = Strings::default();
        let (old, new, hidden) = (strings.intern("Old"), strings.intern("New"), strings.intern("Hidden"));
        let (energy, secret) = (strings.intern("energy"), strings.intern("secret"));
        let rows = [
            (row(10, 31), Class { malware: old, sector: energy, ..class() }),
            (row(20, 0), Class { malware: new, reporter: OrgNo(2), tlp: Tlp::Clear, category: Category::Scanner, ..class() }),
            (row(25, 11), Class { relayed: true, reporter: OrgNo(3), pap: Pap::Amber, ..class() }),
            (row(30, 99), Class { malware: hidden, sector: secret, tlp: Tlp::Amber, pap: Pap::Red, reporter: OrgNo(4), ..class() }),
        ];
        let green = fold_of(&rows, Collection::Green, &strings).unwrap();
        assert_eq!((green.category, green.malware.as_deref(), green.pap, green.tlp), (Category::C2Server, Some("New"), Pap::Amber, Tlp::Green));
        assert_eq!((green.confidence, green.reporters, green.sectors), (Some(30), 2, vec![Text::from("energy")]));
        assert_eq!((green.first_seen.seconds(), green.last_seen.seconds(), green.valid_until), (1_010, 1_025, Some(Timestamp::from_seconds(5_025))));
        let clear = fold_of(&rows, Collection::Clear, &strings).unwrap();
        assert_eq!((clear.category, clear.confidence, clear.reporters, clear.tlp), (Category::Scanner, None, 1, Tlp::Clear));
        assert_eq!(fold_of(&rows[3..], Collection::Green, &strings), None);
        assert_eq!(newest_event(&rows), Some(Seq(30)));
        let lasting = [(Row { expires: NEVER, ..row(1, 0) }, class())];
        assert_eq!(fold_of(&lasting, Collection::Green, &strings).unwrap().valid_until, None);
    }

    #[test]
    fn a_version_is_due_when_type_band_or_validity_changed_and_the_last_is_a_day_old_and_at_once_when_all_is_gone_or_back() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let strings = Strings::default();
        let content = |confidence: u8, expires: i64| fold_of(&[(Row { expires, ..row(1, confidence) }, class())], Collection::Green, &strings).unwrap();
        let same = content(51, 100 * DAY);
        let last = |age: i64, revoked: bool| {
            let added = Timestamp::from_seconds(1_800_000_000 - age);
            let indicator = same.clone().into_indicator(Collection::Green, 1, (ObservableType::Domain, Text::from("a.net")), added, now);
            Version { revoked, ..Version::of(&indicator, 8) }
        };
        let changed = [content(91, 100 * DAY), content(0, 100 * DAY), content(51, 101 * DAY + 1), content(51, 99 * DAY - 1), content(51, NEVER)];
        for content in changed {
            assert_eq!(step(Some(&last(DAY, false)), Some(content.clone()), now), Step::Write(content.clone()), "{content:?}");
            assert_eq!(step(Some(&last(DAY - 1, false)), Some(content.clone()), now), Step::Keep, "{content:?}");
        }
        for content in [same.clone(), content(41, 100 * DAY), content(70, 101 * DAY)] {
            assert_eq!(step(Some(&last(9 * DAY, false)), Some(content.clone()), now), Step::Keep, "{content:?}");
        }
        let stricter = Content { pap: Pap::Red, ..same.clone() };
        assert_eq!(step(Some(&last(1, false)), Some(stricter.clone()), now), Step::Write(stricter));
        let marked = Content { tlp: Tlp::Amber, ..same.clone() };
        assert_eq!(step(Some(&last(1, false)), Some(marked.clone()), now), Step::Write(marked));
        let freed = Content { tlp: Tlp::Clear, ..same.clone() };
        assert_eq!(step(Some(&last(1, false)), Some(freed.clone()), now), Step::Keep);
        assert_eq!(step(Some(&last(DAY, false)), Some(freed.clone()), now), Step::Write(freed));
        assert_eq!(step(None, Some(same.clone()), now), Step::Write(same.clone()));
        assert_eq!(step(None, None, now), Step::Keep);
        assert_eq!(step(Some(&last(1, false)), None, now), Step::Revoke);
        assert_eq!(step(Some(&last(9 * DAY, true)), None, now), Step::Keep);
        assert_eq!(step(Some(&last(1, true)), Some(same.clone()), now), Step::Write(same));
        let (technique, cve) = ([Text::from("T1190")], [Text::from("CVE-2024-3400")]);
        let all = [
            what(Category::C2Server, Some("A"), &[], &[]),
            what(Category::C2Server, None, &[], &[]),
            what(Category::C2Server, None, &technique, &[]),
            what(Category::C2Server, None, &technique, &cve),
            what(Category::C2Server, Some("T1190"), &[], &[]),
        ];
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
    }

    #[test]
    fn techniques_and_vulnerabilities_are_those_of_all_admitted_rows_up_to_a_limit_and_are_taken_back_with_them() {
        let strings = Strings::default();
        let joined = |ids: &[&str]| strings.intern(&ids.join(&*JOIN.to_string()));
        let (one, other) = (joined(&["CVE-2024-3400", "T1566.001"]), joined(&["CVE-2021-44228", "T1190", "T1566.001"]));
        let hidden = joined(&["T1999"]);
        let rows = [
            (row(10, 0), Class { threats: one, ..class() }),
            (row(20, 0), Class { threats: other, reporter: OrgNo(2), ..class() }),
            (row(25, 0), class()),
            (row(30, 0), Class { threats: hidden, tlp: Tlp::Amber, ..class() }),
        ];
        let green = fold_of(&rows, Collection::Green, &strings).unwrap();
        assert_eq!(green.techniques, ["T1190", "T1566.001"]);
        assert_eq!(green.cves, ["CVE-2021-44228", "CVE-2024-3400"]);
        let (value, at) = ((ObservableType::Domain, Text::from("a.net")), Timestamp::from_seconds(9));
        let version = green.clone().into_indicator(Collection::Green, 1, value, at, at);
        assert!(green.is_said_by(&Indicator { threats_before: 3, ..version.clone() }) && !green.takes_back(&version));
        // As old and as new, but without what one of them named.
        let fewer = Content { techniques: vec![Text::from("T1566.001")], ..green.clone() };
        assert!(fewer.takes_back(&version) && !green.takes_back(&Indicator { techniques: Vec::new(), cves: Vec::new(), ..version.clone() }));
        assert!(Content { cves: Vec::new(), ..green.clone() }.takes_back(&version));
        let day_old = Version::of(&version, 8);
        assert_eq!(step(Some(&day_old), Some(fewer.clone()), at.plus(SETTLED)), Step::Write(fewer));
        assert_eq!(step(Some(&day_old), Some(green.clone()), at.plus(SETTLED)), Step::Keep);

        let many: Vec<String> = (0..12).map(|number| format!("T{:04}", 1_000 + number)).collect();
        let halves = many.chunks(6).map(|half| joined(&half.iter().map(String::as_str).collect::<Vec<_>>()));
        let rows: Vec<(Row, Class)> = halves.map(|threats| (row(1, 0), Class { threats, ..class() })).collect();
        assert_eq!(fold_of(&rows, Collection::Green, &strings).unwrap().techniques, many[..MAX_THREATS]);
    }

    #[test]
    fn a_version_has_room_for_all_that_it_names_and_for_all_that_may_end_with_it() {
        let strings = Strings::default();
        let at = Timestamp::from_seconds(9);
        let plain = fold_of(&[(row(1, 0), class())], Collection::Green, &strings).unwrap();
        let plain = plain.into_indicator(Collection::Green, 1, (ObservableType::Domain, Text::from("a.net")), at, at);
        let ids = |count: usize| vec![Text::from("T1190"); count];
        let room = |malware: bool, techniques: usize, cves: usize, threats_before: u8, revoked: bool| {
            let malware = malware.then(|| Text::from("Emotet"));
            Indicator { malware, techniques: ids(techniques), cves: ids(cves), threats_before, revoked, ..plain.clone() }.room().as_micros() as usize
        };
        assert_eq!([room(false, 0, 0, 0, false), room(true, 0, 0, 0, false), room(true, 0, 0, 0, true)], [3; 3]);
        assert_eq!([room(false, 1, 0, 0, false), room(true, 1, 1, 0, false), room(true, 1, 1, 2, true)], [4, 7, 4]);
        assert_eq!(room(true, MAX_THREATS, MAX_THREATS, 2 * MAX_THREATS as u8, false), MAX_ROOM.as_micros() as usize);
        assert!(room(false, MAX_THREATS, MAX_THREATS, 2 * MAX_THREATS as u8, false) < MAX_ROOM.as_micros() as usize);
    }

    #[test]
    fn confidence_has_four_bands() {
        assert_eq!([None, Some(0), Some(39), Some(40), Some(69), Some(70), Some(100)].map(band), [0, 1, 1, 2, 2, 3, 3]);
    }
}
