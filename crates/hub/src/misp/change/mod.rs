//! Changes of contributed events: adding, editing, publishing, tagging, deleting them and their parts.
//!
//! Flow: who may → [`Hub::changed`]: one transaction reads the event, changes it on a thread for that, numbers what is new, works out who sees what,
//! writes it ([`kept`]) → [`super::sharing`] brings the hub's own events in line → the answer is what the caller sees of it then.
//! Invariant: success means durable. Only the organisation that contributed an event changes it; the coordinator may take it or parts of it back and
//! tag it, but not widen it. A change of an event ends its being published, unless it says otherwise.
//! Not here: what a document may hold ([`super::document`]), whom it is for ([`super::access`]).

mod attribute;
mod event;
mod kept;
mod object;
mod tags;

pub(super) use attribute::add;
pub(super) use kept::{Kept, defaults, judge_in};

use super::document::{Document, Moment};
use super::find::name_of;
use super::people::may_write;
use super::{MAX_HEAD, apart};
use crate::{Actor, Hub, HubError};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Condition, Edit, Head, Name, Part, Place, RowQuery};

/// MISP's words for a refusal for want of rights; clients look for them, and make proposals instead.
pub(super) const NOT_YOURS: HubError = HubError::Forbidden("You do not have permission to do that.");

/// What a caller wants to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Anything.
    Change,
    /// Take it or a part of it back, or tag it without touching its marking: the coordinator may, too.
    Duty,
}

/// What a change does to the event's being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// It is published from now on, or not.
    Set(bool),
    /// It stays as it is.
    Keep,
}

/// What a change of a document gives back: what it found or made, and what becomes of publishing.
pub(super) struct Changed<T> {
    given: T,
    publishing: Publishing,
    deleted: bool,
}

impl<T> Changed<T> {
    pub(super) fn new(given: T) -> Self {
        Self { given, publishing: Publishing::Set(false), deleted: false }
    }

    pub(super) fn publishing(given: T, publishing: Publishing) -> Self {
        Self { given, publishing, deleted: false }
    }
}

impl Hub {
    /// Makes one change of one event. Gives its new head and what the change gives.
    pub(super) async fn changed<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        part: Part,
        name: &str,
        act: Act,
        change: impl FnOnce(&mut Document, i64, &Moment) -> Result<Changed<T>, HubError> + Send + 'static,
    ) -> Result<(Head, T), HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let name = name_of(name)?;
        let mut edit = self.misp_events().write().await?;
        let (head, place) = self.to_change(actor, &mut edit, part, &name, act).await?;
        let content = edit.content(head.id).await?;
        let (moment, json, id) = (self.misp_moment(), head.json.clone(), place.id);
        let at = moment.clone();
        let (document, Changed { given, publishing, deleted }) = apart(move || {
            let mut document = Document::open(&json, &content)?;
            let changed = change(&mut document, id, &at)?;
            if !changed.deleted {
                fits(&document, json.len())?;
            }
            Ok((document, changed))
        })
        .await?;
        let (published, published_at) = match publishing {
            Publishing::Set(true) => (true, moment.now),
            Publishing::Set(false) => (false, head.published_at),
            Publishing::Keep => (head.published, head.published_at),
        };
        let organisation = self.directory().organisation(head.org).ok_or(HubError::NotFound)?;
        let kept = Kept { id: head.id, generation: head.generation + 1, org: head.org, published, published_at, deleted };
        self.keep(&mut edit, &organisation, document, kept).await?;
        let heads = edit.named(&Name::Id(head.id)).await?;
        edit.commit().await?;
        self.misp_share(head.id).await;
        let head = heads.into_iter().next().ok_or(HubError::NotFound)?;
        Ok((head, given))
    }

    /// The event that is to be changed, where the caller may.
    async fn to_change(&self, actor: &Actor, edit: &mut Edit, part: Part, name: &Name, act: Act) -> Result<(Head, Place), HubError> {
        // One's own come first, whatever others keep under the same name.
        let own = actor.organisation.number;
        let places = if part == Part::Event {
            let mut heads = edit.named(name).await?;
            heads.sort_by_key(|head| head.org != own);
            heads.iter().map(|head| Place { event: head.id, id: head.id }).collect()
        } else {
            edit.places(part, name, own).await?
        };
        let mut foreign: Vec<(Head, Place)> = Vec::new();
        for place in places {
            let Some(head) = edit.named(&Name::Id(place.event)).await?.into_iter().find(|head| !head.deleted) else { continue };
            if head.org == own {
                return Ok((head, place));
            }
            if self.misp_reading(actor, false).event(&head).sees_event() {
                foreign.push((head, place));
            }
        }
        // Of the others the one that the name leads to where it is viewed.
        let ranks = self.misp_ranks(foreign.iter().map(|(head, _)| head), own);
        foreign.sort_by_key(|(head, place)| (ranks.get(&head.id).copied(), place.id));
        let is_duty = act == Act::Duty && actor.is_coordinator();
        let mut hidden = None;
        for (head, place) in foreign {
            let is_meant = part == Part::Event || (is_duty && part == Part::Object) || self.sees_part(actor, &head, part, place.id).await?;
            if is_meant {
                return if is_duty { Ok((head, place)) } else { Err(NOT_YOURS) };
            }
            hidden.get_or_insert((head, place));
        }
        // Of another's event the parts that are hidden are not known, but to the desk.
        hidden.filter(|_| is_duty).ok_or(HubError::NotFound)
    }

    /// Whether the caller sees an attribute or a report of an event that it sees, or anything of an object.
    async fn sees_part(&self, actor: &Actor, head: &Head, part: Part, id: i64) -> Result<bool, HubError> {
        if part == Part::Report {
            return Ok(self.misp_report_of(actor, head, id, false)?.is_some());
        }
        let one = Condition { any: vec![id], none: Vec::new() };
        let query = if part == Part::Object { RowQuery { objects: one, ..RowQuery::default() } } else { RowQuery { ids: one, ..RowQuery::default() } };
        Ok(!self.misp_visible(actor, head, query).await?.is_empty())
    }
}

/// What the desk takes out does not hold the rest of a member's event back; its own contributor says anew what is published.
pub(super) fn after_deletion(actor: &Actor) -> Publishing {
    if actor.is_coordinator() { Publishing::Keep } else { Publishing::Set(false) }
}

/// An event's own fields are read with those of many others, wherever events are listed. What was larger before may stay so.
fn fits(document: &Document, before: usize) -> Result<(), HubError> {
    if document.head_json().len() > MAX_HEAD.max(before) {
        return Err(HubError::TooLarge { limit: MAX_HEAD as u64, unit: "bytes of an event without its attributes and objects" });
    }
    Ok(())
}

pub(super) fn saved(name: &str, message: &str, id: i64) -> Value {
    json!({ "saved": true, "success": true, "name": name, "message": message, "url": "/events/view", "id": id.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_its_attributes_has_a_bound_that_what_is_there_may_keep() {
        let moment = Moment { now: 1_000, today: "2026-11-21".to_owned() };
        let given = crate::misp::fields::object(json!({ "info": "x", "x_own": "y".repeat(MAX_HEAD) })).unwrap();
        let document = Document::new(given, &moment).unwrap();
        assert!(matches!(fits(&document, 0), Err(HubError::TooLarge { .. })));
        assert!(fits(&document, document.head_json().len()).is_ok());
    }
}
