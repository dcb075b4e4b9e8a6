//! Collections of STIX objects: those made from events, those that members contribute to, and each organisation's own.
//!
//! Flow: `web::taxii` asks which collections a caller has ([`Hub::taxii_collections`]), then for a page of one ([`Hub::taxii_events`] with
//! what [`Hub::taxii_reach`] says of the caller, [`Hub::taxii_kept`]), to add ([`Hub::taxii_add`]) or to delete ([`Hub::taxii_delete`]).
//! Invariant: a collection is in the list of those alone who may read or write it; to everyone else it does not exist. What of a contributed object
//! a reader sees is asked of `policy` through `sharing::view`.
//! Not here: HTTP (`web::taxii`), how objects are kept (`store::objects`) and indicators are made (`store::views::indicators`).

mod agreed;
mod beside;
mod brought;
mod events;
mod families;
mod filter;
mod gather;
mod kept;
mod posting;
mod reach;
mod rights;
mod targets;
#[cfg(test)]
mod tests;

pub(crate) use families::{Families, warm};
pub use filter::Filter;
pub(crate) use posting::MAX_GATHERED;
pub(crate) use reach::Pasts;
pub use reach::Reach;
pub use store::objects::Versions;

use crate::{Actor, Hub, HubError};
use formats::stix::write::shaped;
use model::{Agreement, KeyRole, OrgKind, OrgNo, Organisation, Text, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::objects::CollectionNo;
use store::views::indicators;
use uuid::Uuid;

/// Objects of a page at the most, and where the caller does not say.
pub const MAX_PAGE: usize = 1_000;
/// Bytes of a request that adds objects.
pub const MAX_CONTENT: usize = 64 * 1024 * 1024;
/// How long what became of a request can be asked for.
pub const STATUS_KEPT: std::time::Duration = std::time::Duration::from_secs(25 * 3_600);

/// A collection, for one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its id, always the same for the realm and the name.
    pub id: Uuid,
    /// Its name, which is its alias too.
    pub title: String,
    /// What it holds.
    pub description: Cow<'static, str>,
    /// Whether the caller may read it.
    pub can_read: bool,
    /// Whether the caller may add to it.
    pub can_write: bool,
    source: Source,
}

/// Where a collection's objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Made from events, for many.
    Events(indicators::Collection),
    /// Made from events, for the partner of an agreement.
    Agreement(OrgNo, Arc<Agreement>),
    /// Contributed by members for all of them.
    Intelligence,
    /// Contributed by the members of a sector for each other.
    Sector(Text),
    /// One organisation's own.
    Private,
}

impl Collection {
    /// Whether it is made from events, so that [`Hub::taxii_events`] has its pages, not [`Hub::taxii_kept`].
    pub fn is_made_of_events(&self) -> bool {
        matches!(self.source, Source::Events(_) | Source::Agreement(..))
    }

    fn number(&self) -> CollectionNo {
        CollectionNo::of(self.id)
    }

    /// Says no to a caller who may not read it.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may only add.
    pub fn readable(&self) -> Result<(), HubError> {
        if self.can_read { Ok(()) } else { Err(HubError::Forbidden("you may add to this collection but not read it")) }
    }

    /// Says no to a caller who may not add to it.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may only read.
    pub fn writable(&self) -> Result<(), HubError> {
        if self.can_write { Ok(()) } else { Err(HubError::Forbidden("you may read this collection but not add to it")) }
    }
}

/// One version of an object, as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// When it was added.
    pub added: Timestamp,
    /// Its STIX id.
    pub id: String,
    /// Its version.
    pub version: Timestamp,
    /// `2.0` or `2.1`.
    pub spec: String,
    /// Its JSON.
    pub json: Vec<u8>,
}

/// Some objects of a collection, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The objects.
    pub items: Vec<Item>,
    /// The place of the last object looked at, where there may be more after it.
    pub more_after: Option<Timestamp>,
}

impl Hub {
    /// The name of the realm, which is the name of its API root.
    pub fn realm(&self) -> &str {
        &self.options.realm
    }

    /// The collections that the caller may read or add to, always in the same order.
    pub fn taxii_collections(&self, actor: &Actor) -> Vec<Collection> {
        rights::collections(self.realm(), &self.sectors_for(actor), &self.agreements_of(actor), actor)
    }

    /// The sectors of which there is a collection for the caller, if there is any: for an authority those in which its own line has members.
    fn sectors_for(&self, actor: &Actor) -> Vec<Text> {
        let sectors = self.members().sectors().iter();
        if actor.is_coordinator() || actor.role != KeyRole::Authority {
            return sectors.cloned().collect();
        }
        let directory = self.directory().snapshot();
        let in_line = directory.organisations().filter(|organisation| actor.reader.is_authority_of(organisation.constituency));
        let of_line: BTreeSet<&Text> = in_line.filter_map(|organisation| organisation.sector.as_ref()).collect();
        sectors.filter(|sector| of_line.contains(sector) || actor.organisation.sector.as_ref() == Some(*sector)).cloned().collect()
    }

    /// The partners whose agreements hold and concern the caller, with the agreements.
    fn agreements_of(&self, actor: &Actor) -> Vec<(Arc<Organisation>, Arc<Agreement>)> {
        let now = self.clock().now();
        let held = |partner: &Arc<Organisation>| {
            let agreement = partner.agreement.as_ref().filter(|agreement| partner.kind == OrgKind::Partner && agreement.holds(now))?;
            Some((partner.clone(), Arc::new(agreement.clone())))
        };
        if actor.is_coordinator() {
            self.directory().snapshot().organisations().filter_map(held).collect()
        } else {
            held(&actor.organisation).into_iter().collect()
        }
    }

    /// One of them, by its id or its alias.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub fn taxii_collection(&self, actor: &Actor, name: &str) -> Result<Collection, HubError> {
        let id = Uuid::try_parse(name).ok();
        let mut all = self.taxii_collections(actor).into_iter();
        all.find(|collection| Some(collection.id) == id || collection.title == name).ok_or(HubError::NotFound)
    }

    /// What cursors are enciphered under.
    pub fn taxii_cursor_secret(&self) -> u128 {
        self.store().views.keys.label("taxii cursor")
    }

    /// What marks of erased objects are made under.
    pub(crate) fn taxii_erasure_secret(&self) -> u128 {
        self.store().views.keys.label("taxii erased")
    }

    /// The UUID of the identity that stands for the hub.
    pub(crate) fn stix_identity(&self) -> Uuid {
        shaped(self.store().views.keys.label("stix identity"))
    }
}
