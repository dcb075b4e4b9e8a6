//! Which collections there are for a caller.
//!
//! Invariant: whether a collection made from events for many may be read is whether the caller receives everything of its marking, as `policy` says;
//! one made for a partner is its own and the coordinator's, while the agreement holds.
//! Not here: what of an object a reader sees (`super::kept`).

use super::{Collection, Source};
use crate::Actor;
use crate::members::collection_title;
use model::{Agreement, KeyRole, OrgKind, Organisation, Standing, Text};
use policy::receives_all;
use std::borrow::Cow;
use std::sync::Arc;
use store::views::indicators;
use uuid::Uuid;

/// The caller's collections. `partners` are those whose agreements hold, with the agreements.
pub(super) fn collections(realm: &str, sectors: &[Text], partners: &[(Arc<Organisation>, Arc<Agreement>)], actor: &Actor) -> Vec<Collection> {
    let names = Names(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("bongsu:taxii:{realm}").as_bytes()));
    let mut all: Vec<Collection> = indicators::Collection::ALL.into_iter().map(|events| names.events(events, actor)).collect();
    all.push(names.intelligence(actor));
    all.extend(sectors.iter().map(|sector| names.sector(sector, actor)));
    all.push(names.private(actor));
    all.extend(partners.iter().map(|(partner, agreement)| names.agreement(partner, agreement, actor)));
    all.retain(|collection| collection.can_read || collection.can_write);
    all
}

/// The namespace of the realm's collections.
struct Names(Uuid);

impl Names {
    fn collection(&self, title: &str, description: &'static str, source: Source, (can_read, can_write): (bool, bool)) -> Collection {
        let (id, description) = (Uuid::new_v5(&self.0, title.as_bytes()), Cow::Borrowed(description));
        Collection { id, title: title.to_owned(), description, can_read, can_write, source }
    }

    fn agreement(&self, partner: &Organisation, agreement: &Arc<Agreement>, actor: &Actor) -> Collection {
        let own = actor.organisation.id == partner.id;
        let rights = ((own || actor.is_coordinator()) && reads(actor), own && submits(actor));
        let description = Cow::Owned(format!("Indicators that the agreement with {} covers and no partner reported", partner.name));
        let collection = self.collection(&collection_title(partner.id), "", Source::Agreement(partner.number, agreement.clone()), rights);
        Collection { description, ..collection }
    }

    fn events(&self, events: indicators::Collection, actor: &Actor) -> Collection {
        let description = match events {
            indicators::Collection::Clear => "Indicators made from events that anyone may have",
            indicators::Collection::Green => "Indicators made from events that the community may have",
            indicators::Collection::Amber => "Indicators made from events that members may have",
            indicators::Collection::Agreement(_) => "Indicators that an agreement covers",
        };
        self.collection(&events.title(), description, Source::Events(events), (receives_all(&actor.reader, events.tlp()), false))
    }

    fn intelligence(&self, actor: &Actor) -> Collection {
        let member = actor.reader.kind != OrgKind::Partner;
        let rights = (member && in_standing(actor) && reads(actor), member && submits(actor));
        self.collection("intelligence", "What members contribute for all members", Source::Intelligence, rights)
    }

    fn sector(&self, sector: &Text, actor: &Actor) -> Collection {
        let member = actor.organisation.sector.as_ref() == Some(sector) && actor.reader.kind != OrgKind::Partner;
        let above = actor.is_coordinator() || (actor.role == KeyRole::Authority && actor.reader.kind == OrgKind::Authority);
        let rights = ((member || above) && in_standing(actor) && reads(actor), (member || actor.is_coordinator()) && submits(actor));
        self.collection(&format!("sector-{sector}"), "What the members of a sector contribute for each other", Source::Sector(sector.clone()), rights)
    }

    fn private(&self, actor: &Actor) -> Collection {
        // The name is the same for everyone, the id is each organisation's own.
        let id = Uuid::new_v5(&self.0, format!("private:{}", actor.organisation.id).as_bytes());
        let collection = self.collection("private", "Your organisation's own", Source::Private, (reads(actor), submits(actor)));
        Collection { id, ..collection }
    }
}

fn in_standing(actor: &Actor) -> bool {
    matches!(actor.reader.standing, Standing::Full | Standing::Warned)
}

fn reads(actor: &Actor) -> bool {
    actor.reader.reads_events() && actor.reader.standing != Standing::Revoked
}

fn submits(actor: &Actor) -> bool {
    let role = match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter => true,
        KeyRole::Reader | KeyRole::Auditor => false,
    };
    role && actor.reader.standing != Standing::Revoked
}
