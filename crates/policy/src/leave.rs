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
use model::{Category, Pap, Standing, Tlp};
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
/// Products are made for everyone alike, so that nothing stricter than amber is in them. Roles that read no events get what strangers get.
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
    use model::{Constituency, KeyRole, OrgKind, OrgNo};

    const DAY: Duration = Duration::from_secs(86_400);

    fn candidate() -> Candidate {
        Candidate { tlp: Tlp::Clear, pap: Pap::Clear, category: Category::Phishing, revoked: false, expired: false, spared: false, confidence: 50, age: DAY }
    }

    fn terms() -> Terms {
        Terms { export: Export::Public, purpose: Purpose::Block, min_confidence: 0, max_age: None }
    }

    fn reader(kind: OrgKind, standing: Standing, agreement: Option<Tlp>, role: KeyRole) -> Reader {
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
            (Some(full(OrgKind::Partner, Some(Tlp::Amber))), Tlp::Amber),
            (Some(full(OrgKind::Partner, Some(Tlp::Clear))), Tlp::Clear),
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
