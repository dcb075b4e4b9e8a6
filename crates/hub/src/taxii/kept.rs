//! Collections that members contribute to: pages, what of an object a reader sees, deletion.
//!
//! Invariant: an object that `policy` hides is in no page, no manifest and no count of versions; who contributed it is shown as `policy` says.
//! Not here: adding objects (`super::posting`).

use super::{Collection, Filter, Item, Page, STATUS_KEPT, Source, Versions};
use crate::sharing::view::View;
use crate::{Actor, Hub, HubError};
use formats::stix::contributed::{Part, redact};
use model::{Category, KeyRole, Text, Timestamp};
use policy::Sight;
use std::sync::Arc;
use store::objects::{MAX_PAGE_BYTES, Object};
use uuid::Uuid;

/// Why the events of a deleted object are withdrawn.
const DELETED: &str = "the STIX object that brought it was deleted";
/// Objects read at once where few of them are shown.
const READ_AT_ONCE: usize = 1_000;
/// Objects looked at for one page; then what was found is given, with where to go on.
const MAX_LOOKED_AT: usize = 50_000;

impl Hub {
    /// A page of a collection of contributed objects, from after `after` on.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may not read it.
    pub async fn taxii_kept(&self, actor: &Actor, collection: &Collection, filter: &Filter, after: Option<Timestamp>, limit: usize) -> Result<Page, HubError> {
        collection.readable()?;
        let limit = limit.clamp(1, super::MAX_PAGE);
        let mut page = Page::default();
        let mut place = after;
        let (mut looked_at, mut bytes) = (0, 0);
        // As for the events that are made of them: a sector's objects are for its members.
        let audience: &[Text] = if let Source::Sector(sector) = &collection.source { std::slice::from_ref(sector) } else { &[] };
        loop {
            let want = (limit + 1).saturating_sub(page.items.len()).clamp(1, READ_AT_ONCE);
            let read = self.objects().page(&filter.query(collection, place, want)).await?;
            let end = read.objects.len() < want && !read.cut;
            looked_at += read.objects.len();
            for object in read.objects {
                let added = object.added;
                if let Some(item) = self.kept_item(actor, audience, object) {
                    bytes += item.json.len();
                    if page.items.len() >= limit || (bytes > MAX_PAGE_BYTES && !page.items.is_empty()) {
                        page.more_after = last_shown(&page);
                        return Ok(page);
                    }
                    page.items.push(item);
                }
                place = Some(added);
            }
            if end {
                return Ok(page);
            }
            if looked_at >= MAX_LOOKED_AT {
                // Where nothing is shown the place is that of something hidden; the cursor does not tell it in clear.
                page.more_after = last_shown(&page).or(place);
                return Ok(page);
            }
        }
    }

    /// An object as the caller sees it; `None` where it is hidden.
    fn kept_item(&self, actor: &Actor, audience: &[Text], object: Object) -> Option<Item> {
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        // Whether it shows its name is each member's own setting, as of now.
        let named = view.directory.organisation(object.org).is_some_and(|organisation| organisation.named);
        let sight_at = |tlp| view.sight(object.org, tlp, audience, (Category::Other, None), named);
        let sight = sight_at(object.tlp);
        if !sight.sees_event() {
            return None;
        }
        let parts: Vec<Part> = match object.parts.as_deref() {
            Some(parts) => serde_json::from_str(parts).ok()?,
            None => Vec::new(),
        };
        let hidden: Vec<&str> = parts.iter().filter(|part| !sight_at(part.tlp).sees_event()).flat_map(|part| &part.selectors).map(String::as_str).collect();
        let creator = (sight < Sight::WithoutVictims).then(|| format!("identity--{}", self.stix_identity()));
        let json = if hidden.is_empty() && creator.is_none() { object.json } else { redact(&object.json, &hidden, creator.as_deref())? };
        Some(Item { added: object.added, id: object.id, version: object.version, spec: object.spec, json })
    }

    /// Takes an object out of a collection: all its versions, or those named. The events that they brought are withdrawn.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] without the right to read and to write, and to all but its contributor and the coordinator; [`HubError::NotFound`] where
    /// there is no such object, or none that the caller may know of.
    pub async fn taxii_delete(
        self: &Arc<Self>,
        actor: &Actor,
        collection: &Collection,
        id: &str,
        versions: &Versions,
        specs: &[String],
    ) -> Result<(), HubError> {
        collection.readable()?;
        collection.writable()?;
        if collection.is_made_of_events() {
            return Err(HubError::Forbidden("what is made from events is taken back by withdrawing the events"));
        }
        let filter = Filter { ids: vec![id.to_owned()], versions: versions.clone(), specs: specs.to_vec(), ..Filter::default() };
        if self.taxii_kept(actor, collection, &filter, None, 1).await?.items.is_empty() {
            return Err(HubError::NotFound);
        }
        let only = (!actor.is_coordinator()).then_some(actor.organisation.number);
        self.withdraw_brought(actor, collection, &[id.to_owned()], (versions, specs), only, DELETED).await?;
        let deleted = self.objects().delete(collection.number(), id, versions, specs, only).await?;
        match (deleted.found, deleted.deleted) {
            (0, _) => Err(HubError::NotFound),
            (_, 0) => Err(HubError::Forbidden("only the contributor and the coordinator take an object out")),
            _ => Ok(()),
        }
    }

    /// What became of a request that added objects: JSON of a status resource.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none, where it is older than [`STATUS_KEPT`], and to other organisations.
    pub async fn taxii_status(&self, actor: &Actor, id: &str) -> Result<String, HubError> {
        if actor.role == KeyRole::Auditor || actor.role == KeyRole::Reader {
            return Err(HubError::NotFound);
        }
        let id = Uuid::try_parse(id).map_err(|_| HubError::NotFound)?.to_string();
        let status = self.objects().status(&id).await?.ok_or(HubError::NotFound)?;
        let kept = status.created >= self.clock().now().minus(STATUS_KEPT);
        if kept && status.org == actor.organisation.number { Ok(status.json) } else { Err(HubError::NotFound) }
    }
}

/// The place of the last object on a page: what comes after it may be hidden.
fn last_shown(page: &Page) -> Option<Timestamp> {
    page.items.last().map(|item| item.added)
}
