//! What every reader is shown of every event at every door: all that the tests believe.
//!
//! Invariant: written from the table, the contract and `docs/`; it reads every event for every reader and shares no code with the hub.

use crate::nation::{Agreement, Event, GREEN, MEMBERS, MISP_FEED, Nation, OWNER, Organisation, PARTNERS, PRODUCTS, PUBLIC, Place, RED, Reader, TLPS, Watched};
use std::collections::{BTreeMap, BTreeSet};

/// How much of an event is seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sees {
    Nothing,
    WithoutReporter,
    WithReporter,
    AllButHoneypots,
    Everything,
}

/// What every door shows to a reader of one event, or of all. Everything is told by its marks.
#[derive(Default)]
pub struct Shown {
    /// All that an answer holds that has the event in it; nothing: the event is not there.
    pub event: BTreeSet<String>,
    /// Values that are known.
    pub values: BTreeSet<String>,
    /// Values in each TAXII collection, by its title.
    pub collections: BTreeMap<String, BTreeSet<String>>,
    /// Values in each product of each marking.
    pub products: BTreeMap<(&'static str, usize), BTreeSet<String>>,
    /// Values of findings.
    pub findings: BTreeSet<String>,
    /// Everything that may be in any byte that the reader gets.
    pub any: BTreeSet<String>,
}

/// THE MODEL: what a reader is shown of one event, at every door.
///
/// Sources: the table of markings; the contract; `docs/partners.md` (agreements, licences), `docs/taxii.md` (collections),
/// `docs/products.md` (products), `docs/owners.md` (findings).
pub fn model(nation: &Nation, reader: &Reader, event: &Event) -> Shown {
    let (own, sender) = (&nation.organisations[reader.organisation], &nation.organisations[event.reporter]);
    let mut shown = Shown::default();
    // The keys of who was revoked open nothing, not even what is public.
    if own.standing == "revoked" {
        return shown;
    }

    // How much is seen.
    let reads = !["reporter", "auditor", "stranger"].contains(&reader.role);
    let (partner, red, honeypot) = (own.kind == "partner", event.tlp == RED, event.origin == "honeypot");
    let (coordinator, authority) = (reader.role == "coordinator", reader.role == "authority");
    let of_its_line = |other: &Organisation| authority && !other.constituency.is_empty() && own.constituency == other.constituency;
    let names = |other: &Organisation| event.audience.iter().any(|id| *id == other.id || id == other.sector || other.groups.contains(&id.as_str()));
    let licensed = sender.licence
        >= if authority {
            0
        } else if partner {
            PARTNERS
        } else {
            MEMBERS
        };
    let received = if partner { covers(own.agreement, event) } else { own.standing != "receive-limited" || event.tlp <= GREEN };
    let addressed = (event.audience.is_empty() && !red) || (names(own) && (!red || reader.red));
    let sees = if !reads {
        Sees::Nothing
    } else if reader.organisation == event.reporter {
        Sees::Everything
    } else if event.category == "test" {
        Sees::Nothing
    } else if coordinator || of_its_line(sender) {
        if red && !reader.red { Sees::Nothing } else { Sees::AllButHoneypots }
    } else if !licensed || !received || !addressed {
        Sees::Nothing
    } else if event.named && (!partner || own.agreement.is_some_and(|agreement| agreement.names)) {
        Sees::WithReporter
    } else {
        Sees::WithoutReporter
    };

    // Events: values by their role; an event without any is not there.
    let visible = |role: &str| match sees {
        Sees::Nothing => false,
        Sees::Everything => true,
        Sees::AllButHoneypots => role == "attacker" || !honeypot,
        Sees::WithoutReporter | Sees::WithReporter => role == "attacker" || (role == "bystander" && !honeypot),
    };
    shown.values = event.values.iter().filter(|value| visible(value.role)).map(|value| value.mark.clone()).collect();
    let word = |what: &str| (!event.by_misp).then(|| format!("{}{what}", event.mark));
    if !shown.values.is_empty() {
        shown.event.clone_from(&shown.values);
        shown.event.extend(word("malware"));
        if sees >= Sees::WithReporter {
            shown.event.extend([sender.id.clone(), sender.name.clone()].into_iter().chain(word("note")).chain(word("id")));
        }
        if sees >= Sees::AllButHoneypots {
            shown.event.extend(event.audience.iter().filter(|id| id.starts_with("org_")).cloned().chain(word("extra")));
        }
        if sees == Sees::Everything || (sees == Sees::AllButHoneypots && !honeypot) {
            shown.event.extend(event.far_side.clone());
        }
    }

    // Indicators: an attacker's value that is to be detected, of no test and no vulnerability.
    let makes = event.detect && !["test", "vulnerable-system"].contains(&event.category);
    let made = || event.values.iter().filter(move |value| makes && value.role == "attacker");
    let widest = match own.agreement {
        Some(agreement) => agreement.covered.min(GREEN),
        None if partner || own.standing == "receive-limited" => GREEN,
        None => 2,
    };
    let most = if reads { widest } else { 0 };
    for (tlp, (title, least)) in TLPS.iter().zip([PUBLIC, PARTNERS, MEMBERS]).enumerate() {
        // What is public may be had by anyone; anything else by those alone who see the event.
        let admitted = event.audience.is_empty() && event.tlp <= tlp && sender.licence >= least && (tlp == 0 || sees > Sees::Nothing);
        if !admitted || tlp > most {
            continue;
        }
        if reads {
            shown.collections.entry(format!("events-{title}")).or_default().extend(made().map(|value| value.mark.clone()));
        }
        for (product, _) in PRODUCTS.into_iter().chain([MISP_FEED]).filter(|(_, pap)| event.pap <= *pap) {
            let held = made().filter(|value| value.place == Place::Anywhere).map(|value| value.mark.clone());
            shown.products.entry((product, tlp)).or_default().extend(held);
        }
    }
    for (number, other) in nation.organisations.iter().enumerate().filter(|(_, other)| other.agreement.is_some()) {
        let to_it = covers(other.agreement, event) && (event.audience.is_empty() || names(other));
        let handed_over = to_it && sender.kind != "partner" && sender.licence >= PARTNERS && sees > Sees::Nothing;
        if handed_over && (coordinator || number == reader.organisation) {
            shown.collections.entry(format!("agreement-{}", other.id)).or_default().extend(made().map(|value| value.mark.clone()));
            // Its title and description name the partner.
            shown.any.extend([other.id.clone(), other.name.clone()]);
        }
    }

    // Findings: told to the owner, its line's authority and the coordinator; what is red waits, and is seen by who sees the event whole.
    let owner = &nation.organisations[OWNER];
    let owners_side = reads && (reader.organisation == OWNER || coordinator || of_its_line(owner));
    let concerned = |value: &&Watched| value.place == Place::Protected && (value.role == "attacker" || !honeypot);
    let told = if red { sees >= Sees::AllButHoneypots } else { owners_side };
    if told && !event.early && event.category != "test" {
        shown.findings = event.values.iter().filter(concerned).map(|value| value.mark.clone()).collect();
    }

    shown.any.extend(shown.event.union(&shown.findings).cloned());
    shown.any.extend(shown.collections.values().chain(shown.products.values()).flatten().cloned());
    if !shown.any.is_empty() {
        shown.any.extend(word("malware"));
    }
    if !shown.findings.is_empty() && owners_side {
        shown.any.insert(owner.id.clone());
    }
    shown
}

/// Whether an agreement covers an event; without one clear and green are covered. Categories and sectors narrow what lies above green alone.
fn covers(agreement: Option<Agreement>, event: &Event) -> bool {
    let Some(agreement) = agreement else { return event.tlp <= GREEN };
    let of = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
    event.tlp <= agreement.covered && (event.tlp <= GREEN || (of(agreement.categories, event.category) && of(agreement.sectors, event.sector)))
}

/// What a reader is shown of each event, and of all together.
pub fn all_shown(nation: &Nation, reader: &Reader) -> (Vec<Shown>, Shown) {
    let each: Vec<Shown> = nation.events.iter().map(|event| model(nation, reader, event)).collect();
    let mut all = Shown::default();
    for shown in &each {
        all.event.extend(shown.event.iter().cloned());
        all.values.extend(shown.values.iter().cloned());
        all.findings.extend(shown.findings.iter().cloned());
        all.any.extend(shown.any.iter().cloned());
        for (title, values) in &shown.collections {
            all.collections.entry(title.clone()).or_default().extend(values.iter().cloned());
        }
        for (product, values) in &shown.products {
            all.products.entry(*product).or_default().extend(values.iter().cloned());
        }
    }
    // Who it is itself it may know.
    let own = &nation.organisations[reader.organisation];
    all.any.extend([own.id.clone(), own.name.clone()]);
    (each, all)
}
