//! What may leave the hub in a product: who fetches which collection, and which indicators a product may hold.
//!
//! Flow: `hub::products` asks [`may_fetch`] once per request and [`may_leave`] once per indicator.
//! Invariant: a stricter marking, less confidence or more age never lets more leave; red never does; a stranger gets clear alone.
//! Source: FIRST TLP 2.0; MISP's PAP taxonomy: red is for passive work on logs and not for the network, amber for passive checks, green
//! for active measures such as blocking.
//! Not here: what a product looks like (`formats::products`), how confidence is worked out (`model::confidence`).

use crate::Reader;
use crate::sight::{Export, blocking_allowed, export_allowed, strictest_received};
use model::category::Class;
use model::{Category, Pap, Redistribution, Standing, Tlp};
use std::time::Duration;

/// What a consumer does with a product by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Loads it into what blocks: firewalls, resolvers, proxies. Lists that carry no marking per entry count here, for nothing in them says otherwise.
    Block,
    /// Loads it into what watches the network.
    Detect,
    /// Reads it; each entry carries its marking.
    Inform,
}

/// What decides whether an indicator may be in a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The strictest marking of what it is made of.
    pub tlp: Tlp,
    /// The strictest permissible actions of what it is made of.
    pub pap: Pap,
    /// Of its newest event.
    pub category: Category,
    /// Whether nothing is left of it, or a claim that it is a false positive was upheld.
    pub revoked: bool,
    /// Whether its lifetime is over.
    pub expired: bool,
    /// Whether it is reserved, on a warning list, a protected system, or so wide that it holds bystanders.
    pub spared: bool,
    /// Its confidence today, 0 to 100.
    pub confidence: u8,
    /// Since it was last seen.
    pub age: Duration,
}

/// What a product may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Where it goes.
    pub export: Export,
    /// What is done with it.
    pub purpose: Purpose,
    /// The least confidence, 0 to 100.
    pub min_confidence: u8,
    /// The greatest age; `None`: as long as it is active.
    pub max_age: Option<Duration>,
}

/// Where a product made of a collection of this marking goes.
pub fn way_out(collection: Tlp) -> Export {
    match collection {
        Tlp::Clear => Export::Public,
        Tlp::Green => Export::Community,
        Tlp::Amber => Export::OwnAndClients,
        Tlp::AmberStrict | Tlp::Red => Export::OwnOnly,
    }
}

/// The strictest collection that a caller gets products of; `None` is a caller without a key.
///
/// Products are made for everyone alike, so that nothing stricter than amber is in them. The amber ones hold what a licence keeps for members, and
/// so are theirs alone: a partner has its agreement's own collection for what lies above green. Roles that read no events get what strangers get.
pub fn strictest_product(reader: Option<&Reader>) -> Tlp {
    match reader {
        Some(reader) if reader.reads_events() && reader.standing != Standing::Revoked => strictest_received(reader).min(Tlp::Amber),
        Some(_) | None => Tlp::Clear,
    }
}

/// Whether a caller may fetch products of a collection of this marking.
pub fn may_fetch(reader: Option<&Reader>, collection: Tlp) -> bool {
    collection <= strictest_product(reader)
}

/// Whether a reporter's licence lets what it reports leave by this way; `None` is a reporter without one, for whom the marking alone decides.
pub fn licence_allows(licence: Option<Redistribution>, export: Export) -> bool {
    let least = match export {
        Export::Public => Redistribution::Public,
        Export::Community | Export::OnwardHub => Redistribution::Partners,
        Export::OwnAndClients | Export::OwnOnly => Redistribution::Members,
    };
    licence.is_none_or(|licence| licence >= least)
}

/// Whether an indicator may be in a product.
pub fn may_leave(candidate: &Candidate, terms: &Terms) -> bool {
    export_allowed(candidate.tlp, terms.export)
        && actions_allowed(candidate.pap, terms.purpose)
        && !matches!(candidate.category.class(), Class::Vulnerable | Class::Test)
        && !candidate.revoked
        && !candidate.expired
        && !candidate.spared
        && candidate.confidence >= terms.min_confidence
        && terms.max_age.is_none_or(|most| candidate.age <= most)
}

/// Whether these permissible actions cover what is done with a product.
pub fn actions_allowed(pap: Pap, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Block => blocking_allowed(pap),
        Purpose::Detect => pap <= Pap::Amber,
        Purpose::Inform => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::sight::{Item, Sight, sight};
    use model::{Agreement, Constituency, KeyRole, OrgKind, OrgNo, Text};

    const DAY: Duration = Duration::from_secs(86_400);

    fn candidate() -> Candidate {
        Candidate { tlp: Tlp::Clear, pap: Pap::Clear, category: Category::Phishing, revoked: false, expired: false, spared: false, confidence: 50, age: DAY }
    }

    fn terms() -> Terms {
        Terms { export: Export::Public, purpose: Purpose::Block, min_confidence: 0, max_age: None }
    }

    fn reader(kind: OrgKind, standing: Standing, agreement: Option<Agreement>, role: KeyRole) -> Reader {
        let constituency = (kind != OrgKind::Partner).then_some(Constituency::Private);
        Reader { org: OrgNo(7), kind, constituency, audience_ids: Vec::new(), standing, agreement, role, red: true }
    }

    #[test]
    fn what_a_caller_may_fetch_follows_from_its_membership() {
        let full = |kind, agreement| reader(kind, Standing::Full, agreement, KeyRole::Reader);
        for (caller, strictest) in [
            (None, Tlp::Clear),
            (Some(full(OrgKind::Company, None)), Tlp::Amber),
            (Some(full(OrgKind::Partner, None)), Tlp::Green),
            (Some(full(OrgKind::Partner, Some(Agreement::up_to(Tlp::Amber)))), Tlp::Green),
            (Some(full(OrgKind::Partner, Some(Agreement::up_to(Tlp::AmberStrict)))), Tlp::Green),
            (Some(full(OrgKind::Partner, Some(Agreement::up_to(Tlp::Clear)))), Tlp::Clear),
            // A product is made for all alike: whom an agreement gives a part of amber gets none of it here.
            (Some(full(OrgKind::Partner, Some(Agreement { categories: vec![Category::Phishing], ..Agreement::up_to(Tlp::Amber) }))), Tlp::Green),
            (Some(full(OrgKind::Partner, Some(Agreement { sectors: vec![Text::from("energy")], ..Agreement::up_to(Tlp::Amber) }))), Tlp::Green),
            (Some(reader(OrgKind::Company, Standing::ReceiveLimited, None, KeyRole::Analyst)), Tlp::Green),
            (Some(reader(OrgKind::Company, Standing::Revoked, None, KeyRole::Analyst)), Tlp::Clear),
            (Some(reader(OrgKind::Company, Standing::Full, None, KeyRole::Reporter)), Tlp::Clear),
            (Some(reader(OrgKind::Company, Standing::Full, None, KeyRole::Auditor)), Tlp::Clear),
        ] {
            for &tlp in Tlp::ALL {
                assert_eq!(may_fetch(caller.as_ref(), tlp), tlp <= strictest, "{caller:?} {tlp}");
            }
        }
    }

    #[test]
    fn a_licence_leaves_by_the_ways_of_the_table() {
        const WAYS: [Export; 5] = [Export::Public, Export::Community, Export::OwnAndClients, Export::OwnOnly, Export::OnwardHub];
        for (licence, allowed) in [
            (None, [true, true, true, true, true]),
            (Some(Redistribution::Public), [true, true, true, true, true]),
            (Some(Redistribution::Partners), [false, true, true, true, true]),
            (Some(Redistribution::Members), [false, false, true, true, false]),
            (Some(Redistribution::None), [false, false, false, false, false]),
        ] {
            assert_eq!(WAYS.map(|way| licence_allows(licence, way)), allowed, "{licence:?}");
        }
    }

    #[test]
    fn whoever_fetches_a_product_would_see_all_that_licence_and_marking_let_into_it() {
        let agreements = [None, Some(Agreement::up_to(Tlp::Clear)), Some(Agreement::up_to(Tlp::Amber)), Some(Agreement::up_to(Tlp::AmberStrict))];
        let licences = [None, Some(Redistribution::None), Some(Redistribution::Members), Some(Redistribution::Partners), Some(Redistribution::Public)];
        for kind in [OrgKind::Company, OrgKind::Agency, OrgKind::Authority, OrgKind::Cert, OrgKind::Vendor, OrgKind::Partner] {
            for (agreement, &standing) in agreements.iter().flat_map(|agreement| Standing::ALL.iter().map(move |standing| (agreement, standing))) {
                let caller = reader(kind, standing, agreement.clone(), KeyRole::Analyst);
                for (licence, collection) in licences.iter().flat_map(|licence| [Tlp::Clear, Tlp::Green, Tlp::Amber].map(|tlp| (*licence, tlp))) {
                    let held = standing != Standing::Revoked && may_fetch(Some(&caller), collection) && licence_allows(licence, way_out(collection));
                    let item = Item {
                        reporter: OrgNo(1),
                        reporter_constituency: None,
                        source: false,
                        licence,
                        tlp: collection,
                        audience: &[],
                        category: Category::Phishing,
                        sector: None,
                        named: false,
                        group_leave: false,
                    };
                    assert!(!held || sight(&caller, &item) > Sight::Hidden, "{licence:?} {collection} {caller:?}");
                }
            }
        }
    }

    #[test]
    fn permissible_actions_decide_by_what_is_done_with_a_product() {
        for (purpose, allowed) in
            [(Purpose::Block, [true, true, false, false]), (Purpose::Detect, [true, true, true, false]), (Purpose::Inform, [true, true, true, true])]
        {
            for (&pap, expected) in Pap::ALL.iter().zip(allowed) {
                assert_eq!(may_leave(&Candidate { pap, ..candidate() }, &Terms { purpose, ..terms() }), expected, "{purpose:?} {pap}");
            }
        }
    }

    #[test]
    fn each_reason_alone_keeps_an_indicator_in() {
        assert!(may_leave(&candidate(), &terms()));
        for kept in [
            Candidate { tlp: Tlp::Green, ..candidate() },
            Candidate { category: Category::Test, ..candidate() },
            Candidate { category: Category::VulnerableSystem, ..candidate() },
            Candidate { revoked: true, ..candidate() },
            Candidate { expired: true, ..candidate() },
            Candidate { spared: true, ..candidate() },
        ] {
            assert!(!may_leave(&kept, &terms()), "{kept:?}");
        }
        assert!(!may_leave(&candidate(), &Terms { min_confidence: 51, ..terms() }));
        assert!(may_leave(&candidate(), &Terms { min_confidence: 50, ..terms() }));
        assert!(!may_leave(&candidate(), &Terms { max_age: Some(DAY / 2), ..terms() }));
        assert!(may_leave(&candidate(), &Terms { max_age: Some(DAY), ..terms() }));
    }

    #[test]
    fn no_product_of_any_collection_holds_anything_stricter_than_it() {
        for &collection in &[Tlp::Clear, Tlp::Green, Tlp::Amber] {
            for &tlp in Tlp::ALL {
                let leaves = may_leave(&Candidate { tlp, ..candidate() }, &Terms { export: way_out(collection), ..terms() });
                assert_eq!(leaves, tlp <= collection, "{tlp} in {collection}");
            }
        }
    }
}
