//! Collections of STIX objects: those made from events, those that members contribute to, and each organisation's own.
//!
//! Flow: `web::taxii` asks which collections a caller has ([`Hub::taxii_collections`]), then for a page of one ([`Hub::taxii_events`],
//! [`Hub::taxii_kept`]), to add ([`Hub::taxii_add`]) or to delete ([`Hub::taxii_delete`]).
//! Invariant: a collection is in the list of those alone who may read or write it; to everyone else it does not exist. What of a contributed object
//! a reader sees is asked of `policy` through `sharing::view`.
//! Not here: HTTP (`web::taxii`), how objects are kept (`store::objects`) and indicators are made (`store::views::indicators`).

mod events;
mod filter;
mod kept;
mod posting;
mod rights;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub(crate) use posting::MAX_GATHERED;
pub use store::objects::Versions;

use crate::{Actor, Hub, HubError};
use formats::stix::write::shaped;
use model::{Text, Timestamp};
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
    pub description: &'static str,
    /// Whether the caller may read it.
    pub can_read: bool,
    /// Whether the caller may add to it.
    pub can_write: bool,
    source: Source,
}

/// Where a collection's objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Made from events.
    Events(indicators::Collection),
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
        matches!(self.source, Source::Events(_))
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
        rights::collections(self.realm(), self.members().sectors(), actor)
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

    /// The UUID of the identity that stands for the hub.
    pub(crate) fn stix_identity(&self) -> Uuid {
        shaped(self.store().views.keys.label("stix identity"))
    }
}
