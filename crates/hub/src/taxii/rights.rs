//! Which collections there are for a caller.
//!
//! Invariant: whether a collection made from events may be read is what `policy` says of an item with its marking that nobody in particular
//! reported.
//! Not here: what of an object a reader sees (`super::kept`). An agreement with a partner will be one more row of [`collections`].

use super::{Collection, Source};
use crate::Actor;
use model::{KeyRole, OrgKind, OrgNo, Standing, Text, Tlp};
use policy::{Item, sight};
use store::views::indicators;
use uuid::Uuid;

/// The caller's collections.
pub(super) fn collections(realm: &str, sectors: &[Text], actor: &Actor) -> Vec<Collection> {
    let names = Names(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("bongsu:taxii:{realm}").as_bytes()));
    let mut all: Vec<Collection> = indicators::Collection::ALL.into_iter().map(|events| names.events(events, actor)).collect();
    all.push(names.intelligence(actor));
    all.extend(sectors.iter().map(|sector| names.sector(sector, actor)));
    all.push(names.private(actor));
    all.retain(|collection| collection.can_read || collection.can_write);
    all
}

/// The namespace of the realm's collections.
struct Names(Uuid);

impl Names {
    fn collection(&self, title: &str, description: &'static str, source: Source, (can_read, can_write): (bool, bool)) -> Collection {
        Collection { id: Uuid::new_v5(&self.0, title.as_bytes()), title: title.to_owned(), description, can_read, can_write, source }
    }

    fn events(&self, events: indicators::Collection, actor: &Actor) -> Collection {
        let description = match events {
            indicators::Collection::Clear => "Indicators made from events that anyone may have",
            indicators::Collection::Green => "Indicators made from events that the community may have",
            indicators::Collection::Amber => "Indicators made from events that members may have",
        };
        self.collection(events.title(), description, Source::Events(events), (receives(actor, events.tlp()), false))
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

/// Whether the caller would see what someone reported under this marking.
fn receives(actor: &Actor, tlp: Tlp) -> bool {
    /// No organisation comes to have this number.
    const NOBODY: OrgNo = OrgNo(u32::MAX);
    let item = Item { reporter: NOBODY, reporter_constituency: None, tlp, audience: &[], test: false, named: false, group_leave: false };
    sight(&actor.reader, &item).sees_event()
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
