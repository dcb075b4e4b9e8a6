//! What the ledger told of agreements with partners and of reporters, and what of an event a collection admits by it.
//!
//! Flow: control entries → [`Register::hear`] → [`Register::admits`] for each class of rows; [`looks`] tells what a change asks to be looked at anew.
//! Invariant: a collection for many admits what all its readers may see. That of an agreement admits what its partner may see by `policy` and
//! what no partner reported: what came from one is handed to none, so that whatever is agreed between hubs nothing runs in a circle.
//! Invariant: of two things told of one organisation the one of its record's later version counts, so that saying it again changes nothing.

use super::Collection;
use crate::ledger::Control;
use crate::views::prepare::JOIN;
use crate::views::strings::Class;
use model::category::Class as CategoryClass;
use model::{Agreement, OrgNo, Redistribution, Role, Text, Timestamp};
use policy::{Export, covers, is_within, licence_allows, way_out};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// What decides which collections the events of an organisation enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reporter {
    /// Version of its record.
    pub version: u64,
    /// Whether it is a partner.
    pub partner: bool,
    /// How widely its events may be passed on; `None`: as their marking says.
    pub licence: Option<Redistribution>,
}

/// What is agreed with a partner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Version of the partner's record.
    pub version: u64,
    /// The agreement; `None`: it has ended.
    pub agreement: Option<Agreement>,
    /// Ids under which an audience can name the partner.
    pub audience: Vec<Text>,
}

/// All that was told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Register {
    #[serde(default)]
    reporters: BTreeMap<OrgNo, Reporter>,
    #[serde(default)]
    agreements: BTreeMap<OrgNo, Terms>,
}

/// The collections that something enters.
pub(super) type Enters = SmallVec<[Collection; 4]>;

/// What is to be looked at anew after a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Looks {
    /// Collections that may say more than they may now.
    pub(super) again: Vec<Collection>,
    /// Whether some may say more than they do, of any event.
    pub(super) everything: bool,
}

impl Register {
    /// What was told of a reporter.
    pub fn reporter(&self, organisation: OrgNo) -> Option<Reporter> {
        self.reporters.get(&organisation).copied()
    }

    /// Every organisation of which something was told as of a reporter.
    pub fn reporters(&self) -> impl Iterator<Item = (OrgNo, Reporter)> {
        self.reporters.iter().map(|(organisation, reporter)| (*organisation, *reporter))
    }

    /// What was told of the agreement with a partner.
    pub fn terms(&self, partner: OrgNo) -> Option<&Terms> {
        self.agreements.get(&partner)
    }

    /// Every partner with which something is or was agreed.
    pub fn partners(&self) -> impl Iterator<Item = OrgNo> {
        self.agreements.keys().copied()
    }

    /// Takes in what a control entry tells.
    pub(super) fn hear(&mut self, control: Control) {
        match control {
            Control::Reporter { organisation, version, partner, licence, .. } => {
                if self.reporters.get(&organisation).is_none_or(|known| known.version <= version) {
                    self.reporters.insert(organisation, Reporter { version, partner, licence });
                }
            }
            Control::Agreement { organisation, version, agreement, audience, .. } => {
                if self.agreements.get(&organisation).is_none_or(|known| known.version <= version) {
                    self.agreements.insert(organisation, Terms { version, agreement, audience });
                }
            }
            Control::Withdraw { .. }
            | Control::Amend { .. }
            | Control::Dispute { .. }
            | Control::Erase { .. }
            | Control::Expire { .. }
            | Control::Record { .. }
            | Control::Network { .. }
            | Control::National { .. }
            | Control::Release { .. } => {}
        }
    }

    /// What is agreed with a partner and holds at `now`.
    fn in_force(&self, partner: OrgNo, now: Timestamp) -> Option<(&Agreement, &[Text])> {
        let terms = self.agreements.get(&partner)?;
        let agreement = terms.agreement.as_ref().filter(|agreement| agreement.holds(now))?;
        Some((agreement, &terms.audience))
    }

    /// Whether a collection is written at `now`: those for many always, that of an agreement while it holds.
    pub(super) fn is_open(&self, collection: Collection, now: Timestamp) -> bool {
        match collection {
            Collection::Clear | Collection::Green | Collection::Amber => true,
            Collection::Agreement(partner) => self.in_force(partner, now).is_some(),
        }
    }

    /// Every collection that is written at `now`.
    pub(super) fn open_collections(&self, now: Timestamp) -> Vec<Collection> {
        let agreements = self.agreements.keys().map(|partner| Collection::Agreement(*partner)).filter(|collection| self.is_open(*collection, now));
        Collection::ALL.into_iter().chain(agreements).collect()
    }

    /// Whether a collection admits events of this class. `text` gives the texts that the class names by number.
    pub(super) fn admits<'t>(&self, collection: Collection, class: &Class, text: impl Fn(u32) -> Option<&'t Text>, now: Timestamp) -> bool {
        if !could_enter(class) {
            return false;
        }
        let reporter = self.reporter(class.reporter).unwrap_or_default();
        match collection {
            Collection::Clear | Collection::Green | Collection::Amber => {
                let for_all = class.audience == 0 && class.tlp <= collection.tlp();
                for_all && licence_allows(reporter.licence, way_out(collection.tlp()))
            }
            Collection::Agreement(partner) => {
                let Some((agreement, ids)) = self.in_force(partner, now) else { return false };
                let named = |joined: &Text| joined.split(JOIN).any(|id| ids.iter().any(|own| own.as_str() == id));
                let own = reporter.partner || class.reporter == partner;
                !own && licence_allows(reporter.licence, Export::OnwardHub)
                    && covers(Some(agreement), class.tlp, class.category, text(class.sector).map(Text::as_str))
                    && (class.audience == 0 || text(class.audience).is_some_and(named))
            }
        }
    }

    /// Those of the collections that admit events of this class.
    pub(super) fn entered<'t>(&self, collections: &[Collection], class: &Class, text: impl Fn(u32) -> Option<&'t Text> + Copy, now: Timestamp) -> Enters {
        if !could_enter(class) {
            return Enters::new();
        }
        collections.iter().copied().filter(|collection| self.admits(*collection, class, text, now)).collect()
    }
}

/// Whether a collection may admit events of this class at all: an attacker's value that is to be detected, of what still counts.
pub(super) fn could_enter(class: &Class) -> bool {
    let left_out = matches!(class.category.class(), CategoryClass::Vulnerable | CategoryClass::Test);
    !class.withdrawn && class.role == Role::Attacker && class.detect && !left_out
}

/// What a change asks to be looked at anew. `has_events` tells whether an organisation has reported anything.
pub(super) fn looks(before: &Register, after: &Register, now: Timestamp, has_events: impl Fn(OrgNo) -> bool) -> Looks {
    let mut looks = Looks::default();
    let agreements: Vec<Collection> = after.agreements.keys().map(|partner| Collection::Agreement(*partner)).collect();
    for partner in after.partners() {
        // What does not hold is closed and stands still.
        let Some((agreement, ids)) = after.in_force(partner, now) else { continue };
        let was = before.in_force(partner, now);
        let narrowed = was.is_none_or(|(was, had)| !is_within(Some(was), Some(agreement)) || had.iter().any(|id| !ids.contains(id)));
        let widened = was.is_none_or(|(was, had)| !is_within(Some(agreement), Some(was)) || ids.iter().any(|id| !had.contains(id)));
        if narrowed {
            looks.again.push(Collection::Agreement(partner));
        }
        looks.everything |= widened;
    }
    for (organisation, reporter) in after.reporters() {
        let was = before.reporter(organisation).unwrap_or_default();
        let (licence, had) = (reporter.licence.unwrap_or(Redistribution::Public), was.licence.unwrap_or(Redistribution::Public));
        if (reporter.partner, licence) == (was.partner, had) || !has_events(organisation) {
            continue;
        }
        if licence < had {
            looks.again.extend(Collection::ALL);
        }
        if licence < had || reporter.partner && !was.partner {
            looks.again.extend(&agreements);
        }
        looks.everything |= licence > had || was.partner && !reporter.partner;
    }
    looks.again.sort_unstable();
    looks.again.dedup();
    looks
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, ObservableType, Pap, Tlp};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const MEMBER: OrgNo = OrgNo(1);
    const PARTNER: OrgNo = OrgNo(7);
    const OTHER: OrgNo = OrgNo(8);
    const OWN: Collection = Collection::Agreement(PARTNER);

    fn class() -> Class {
        Class {
            reporter: MEMBER,
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

    fn reporter(organisation: OrgNo, version: u64, partner: bool, licence: Option<Redistribution>) -> Control {
        Control::Reporter { organisation, version, partner, licence, at: NOW }
    }

    fn agreed(organisation: OrgNo, version: u64, agreement: Option<Agreement>) -> Control {
        Control::Agreement { organisation, version, agreement, audience: vec![Text::from("org_7"), Text::from("grp-south")], at: NOW }
    }

    fn register(told: impl IntoIterator<Item = Control>) -> Register {
        let mut register = Register::default();
        told.into_iter().for_each(|control| register.hear(control));
        register
    }

    fn partners(agreement: Agreement) -> Register {
        register([reporter(PARTNER, 1, true, None), reporter(OTHER, 1, true, None), agreed(PARTNER, 2, Some(agreement))])
    }

    /// Numbers 1 to 4 of the texts.
    fn text(number: u32) -> Option<&'static Text> {
        static TEXTS: std::sync::OnceLock<Vec<Text>> = std::sync::OnceLock::new();
        let texts = TEXTS.get_or_init(|| ["energy", "finance", "grp-north\u{1f}grp-south", "grp-north"].map(Text::from).to_vec());
        texts.get((number as usize).checked_sub(1)?)
    }

    fn admits(register: &Register, collection: Collection, class: Class) -> bool {
        register.admits(collection, &class, text, NOW)
    }

    #[test]
    fn a_collection_for_many_admits_what_all_its_readers_see_and_no_victim_test_or_vulnerability() {
        let register = Register::default();
        let enters = |class: Class| register.entered(&Collection::ALL, &class, text, NOW).to_vec();
        assert_eq!(enters(Class { tlp: Tlp::Clear, ..class() }), Collection::ALL);
        assert_eq!(enters(class()), [Collection::Green, Collection::Amber]);
        assert_eq!(enters(Class { tlp: Tlp::Amber, ..class() }), [Collection::Amber]);
        for refused in [
            Class { tlp: Tlp::AmberStrict, ..class() },
            Class { tlp: Tlp::Red, ..class() },
            Class { audience: 1, ..class() },
            Class { withdrawn: true, ..class() },
            Class { detect: false, ..class() },
            Class { role: Role::Victim, ..class() },
            Class { role: Role::Bystander, ..class() },
            Class { category: Category::Test, ..class() },
            Class { category: Category::VulnerableSystem, ..class() },
        ] {
            assert!(enters(refused).is_empty(), "{refused:?}");
        }
    }

    #[test]
    fn a_licence_keeps_events_out_of_collections_that_go_further() {
        let enters = |licence| {
            let register = register([reporter(MEMBER, 1, false, licence), agreed(PARTNER, 1, Some(Agreement::up_to(Tlp::Amber)))]);
            let all: Vec<Collection> = Collection::ALL.into_iter().chain([OWN]).collect();
            register.entered(&all, &Class { tlp: Tlp::Clear, ..class() }, text, NOW).to_vec()
        };
        assert_eq!(enters(None), [Collection::Clear, Collection::Green, Collection::Amber, OWN]);
        assert_eq!(enters(Some(Redistribution::Public)), enters(None));
        assert_eq!(enters(Some(Redistribution::Partners)), [Collection::Green, Collection::Amber, OWN]);
        assert_eq!(enters(Some(Redistribution::Members)), [Collection::Amber]);
        assert_eq!(enters(Some(Redistribution::None)), []);
    }

    #[test]
    fn what_a_partner_reported_enters_no_agreements_collection_and_every_other() {
        let register = partners(Agreement::up_to(Tlp::Amber));
        assert!(admits(&register, OWN, class()));
        for reporter in [PARTNER, OTHER] {
            assert!(!admits(&register, OWN, Class { reporter, ..class() }));
            assert!(admits(&register, Collection::Green, Class { reporter, ..class() }));
        }
        assert!(!admits(&register, Collection::Agreement(OTHER), class()), "nothing is agreed with it");
    }

    #[test]
    fn an_agreements_collection_admits_what_the_agreement_covers_while_it_holds() {
        let amber = || Class { tlp: Tlp::Amber, ..class() };
        let narrow = Agreement { categories: vec![Category::C2Server], sectors: vec![Text::from("energy")], ..Agreement::up_to(Tlp::Amber) };
        let register = partners(narrow.clone());
        for (class, expected) in [
            (class(), true),
            (amber(), false),
            (Class { sector: 1, ..amber() }, true),
            (Class { sector: 2, ..amber() }, false),
            (Class { sector: 1, category: Category::Phishing, ..amber() }, false),
            (Class { sector: 1, tlp: Tlp::AmberStrict, ..amber() }, false),
            (Class { audience: 3, ..class() }, true),
            (Class { audience: 4, ..class() }, false),
        ] {
            assert_eq!(admits(&register, OWN, class), expected, "{class:?}");
        }
        assert!(admits(&partners(Agreement::up_to(Tlp::AmberStrict)), OWN, Class { tlp: Tlp::AmberStrict, ..class() }));
        assert!(!admits(&partners(Agreement { expires: Some(NOW), ..narrow.clone() }), OWN, class()));
        let mut ended = partners(narrow);
        ended.hear(agreed(PARTNER, 3, None));
        assert!(!admits(&ended, OWN, class()) && !ended.is_open(OWN, NOW));
        ended.hear(agreed(PARTNER, 1, Some(Agreement::up_to(Tlp::Amber))));
        assert!(!ended.is_open(OWN, NOW), "what an older version says is over");
    }

    #[test]
    fn a_change_asks_for_a_look_at_what_it_concerns_and_no_more() {
        let amber = Agreement::up_to(Tlp::Amber);
        let base = partners(amber.clone());
        let after = |told: Control| {
            let mut after = base.clone();
            after.hear(told);
            looks(&base, &after, NOW, |_| true)
        };
        let asked = |again: &[Collection], everything| Looks { again: again.to_vec(), everything };
        let with = |agreement| after(agreed(PARTNER, 3, Some(agreement)));
        assert_eq!(with(amber.clone()), asked(&[], false));
        assert_eq!(with(Agreement { expires: Some(Timestamp::from_seconds(1_900_000_000)), ..amber.clone() }), asked(&[], false));
        assert_eq!(with(Agreement::up_to(Tlp::AmberStrict)), asked(&[], true));
        assert_eq!(with(Agreement { categories: vec![Category::Phishing], ..amber.clone() }), asked(&[OWN], false));
        assert_eq!(after(agreed(PARTNER, 3, None)), asked(&[], false), "it is closed");
        let other = Collection::Agreement(OTHER);
        assert_eq!(after(agreed(OTHER, 3, Some(amber))), asked(&[other], true), "a new one, or one that was there before");
        assert_eq!(after(reporter(MEMBER, 1, true, None)), asked(&[OWN], false));
        let all = [Collection::Clear, Collection::Green, Collection::Amber, OWN];
        assert_eq!(after(reporter(MEMBER, 1, false, Some(Redistribution::Members))), asked(&all, false));
        assert_eq!(after(reporter(OTHER, 2, false, None)), asked(&[], true));
        let mut silent = base.clone();
        silent.hear(reporter(OrgNo(9), 1, true, Some(Redistribution::None)));
        assert_eq!(looks(&base, &silent, NOW, |_| false), asked(&[], false), "it has reported nothing");
    }
}
