//! Contributed events, attributes and objects as a reader sees them.
//!
//! Flow: an event that was found ([`super::find`]) → which attributes are visible, by their rows → room for the event, by its length → the document
//! without the rest.
//! Invariant: no event is unpacked before it has room, which stays with what is made of it; what is hidden is absent; who contributed is the hub where
//! `policy` withholds it. Other instances see nothing that is not published.
//! Not here: what stands beside attributes ([`super::beside`]), what is for the owner alone ([`super::limit`]).

use super::answer::Shown;
use super::document::{Document, REPORTS, inner};
use super::fields::{Fields, flag, number, set};
use super::find::name_of;
use super::limit::limit;
use super::people::organisation_number;
use super::{apart, reads};
use crate::{Actor, Hub, HubError};
use hashbrown::HashSet;
use model::OrgKind;
use policy::Sight;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Head, Part, RowQuery};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// How many times its bytes an event takes in memory while it is looked at, about.
const GROWS: usize = 4;

/// How much of an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Only the event's own fields.
    pub metadata: bool,
    /// Also what is attached.
    pub attachments: bool,
    /// Deleted parts: none, only those, or both.
    pub deleted: Option<bool>,
}

impl Extent {
    /// What a client is answered that has changed an event.
    pub(super) const WHOLE: Self = Self { metadata: false, attachments: true, deleted: Some(false) };
}

/// What becomes of a caller for whose event there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It is refused, and asks again later.
    Refused,
    /// Its change, or a part of it, was made, and a refusal would say that it was not: one event at a time is opened beside the room.
    InLine,
}

impl Hub {
    /// An event that the caller sees, in its wrapper.
    pub(super) async fn misp_shown(&self, actor: &Actor, head: &Head, extent: Extent, sync: bool, wait: Wait) -> Result<Shown, HubError> {
        let (event, room) = self.misp_event(actor, head, extent, sync, wait).await?;
        Ok(Shown::new(json!({ "Event": event }), room, wait))
    }

    /// The same without its wrapper, with the room that it takes.
    pub(super) async fn misp_event(
        &self,
        actor: &Actor,
        head: &Head,
        extent: Extent,
        sync: bool,
        wait: Wait,
    ) -> Result<(Fields, Option<OwnedSemaphorePermit>), HubError> {
        if extent.metadata {
            return Ok((self.misp_written(actor, head, extent, sync, None, HashSet::new()).await?, None));
        }
        let query = RowQuery { deleted: extent.deleted, ..RowQuery::default() };
        let visible = self.misp_visible(actor, head, query).await?;
        let (document, room) = self.opened(head, wait).await?;
        Ok((self.misp_written(actor, head, extent, sync, Some(document), visible).await?, Some(room)))
    }

    /// An event's own fields with what is kept of it, where that is wanted, as far as its attributes are to be shown.
    pub(super) async fn misp_written(
        &self,
        actor: &Actor,
        head: &Head,
        extent: Extent,
        sync: bool,
        document: Option<Document>,
        visible: HashSet<i64>,
    ) -> Result<Fields, HubError> {
        let mut shown = self.misp_head(actor, head, sync)?;
        if let Some(Value::Array(reports)) = shown.get_mut(REPORTS) {
            let is_wanted = |report: &Fields| extent.deleted.is_none_or(|wanted| (flag(report, "deleted") == Some(true)) == wanted);
            reports.retain(|report| report.as_object().is_some_and(is_wanted));
        }
        let sight = self.misp_sight(actor, head);
        if let Some(document) = document {
            let event = head.id;
            set(&mut shown, "attribute_count", visible.len().to_string());
            let parts = apart(move || Ok(parts(document, event, &visible, extent, sight, sync))).await?;
            shown.extend(parts);
        }
        for name in ["RelatedEvent", "ShadowAttribute", "Galaxy", REPORTS, "CryptographicKey", "Attribute", "Object"] {
            if !shown.contains_key(name) {
                set(&mut shown, name, Vec::<Value>::new());
            }
        }
        Ok(shown)
    }

    /// An event's own fields.
    pub(super) fn misp_head(&self, actor: &Actor, head: &Head, sync: bool) -> Result<Fields, HubError> {
        let sight = self.misp_sight(actor, head);
        let mut shown: Fields = serde_json::from_str(&head.json).map_err(|error| HubError::Internal(Box::new(error)))?;
        // Nobody appears as another member by saying so.
        let foreign = shown.remove("Orgc").filter(|creator| sight == Sight::Own || !self.passes_for_member(creator));
        let organisation = self.directory().organisation(head.org).filter(|_| sight.sees_reporter());
        let (org, orgc) = match organisation {
            Some(organisation) => {
                let own = self.misp_organisation_json(&organisation);
                (own.clone(), foreign.unwrap_or(own))
            }
            None => (self.misp_hub_json(), self.misp_hub_json()),
        };
        let number = if sight.sees_reporter() { organisation_number(head.org) } else { 0 };
        set(&mut shown, "id", head.id.to_string());
        set(&mut shown, "org_id", number.to_string());
        set(&mut shown, "orgc_id", orgc.get("id").and_then(Value::as_str).unwrap_or("0"));
        set(&mut shown, "published", head.published);
        set(&mut shown, "publish_timestamp", head.published_at.to_string());
        if sight.sees_victims() {
            // How many there are tells of hidden ones.
            set(&mut shown, "attribute_count", head.attributes.to_string());
        }
        set(&mut shown, "locked", false);
        set(&mut shown, "proposal_email_lock", false);
        set(&mut shown, "Org", org);
        set(&mut shown, "Orgc", orgc);
        for report in shown.get_mut(REPORTS).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            set(report, "event_id", head.id.to_string());
        }
        limit(&mut shown, sight, sync);
        Ok(shown)
    }

    /// Whether a creator has the UUID or the name of an organisation of this hub's, or of the hub. Sources are no members: others pass on what they
    /// publish, too, under the name that they have everywhere.
    fn passes_for_member(&self, creator: &Value) -> bool {
        let uuid = creator.get("uuid").and_then(Value::as_str).and_then(|uuid| Uuid::try_parse(uuid).ok());
        let name = creator.get("name").and_then(Value::as_str).map(plain_name).filter(|name| !name.is_empty());
        let directory = self.directory().snapshot();
        let is_named = |known: &str| name.as_ref().is_some_and(|name| *name == plain_name(known));
        uuid == Some(self.stix_identity())
            || is_named(&self.misp_hub_name())
            || directory
                .organisations()
                .any(|organisation| uuid == Some(organisation.id.0) || (organisation.kind != OrgKind::Source && is_named(&organisation.name)))
    }

    pub(super) fn misp_sight(&self, actor: &Actor, head: &Head) -> Sight {
        self.misp_reading(actor, false).event(head)
    }

    /// What is kept of an event, with the room that it takes while it is looked at: of the length that it has, before it is unpacked.
    pub(super) async fn opened(&self, head: &Head, wait: Wait) -> Result<(Document, OwnedSemaphorePermit), HubError> {
        let size = self.misp_events().size(head.id).await?.ok_or(HubError::NotFound)?;
        let room = match (self.misp_room(size.saturating_add(head.json.len()).saturating_mul(GROWS)).await, wait) {
            (Err(HubError::Overloaded { .. }), Wait::InLine) => {
                let turn = Arc::clone(&self.misp.changed).acquire_owned().await;
                turn.map_err(|_| HubError::Overloaded { retry_after: 5 })?
            }
            (room, _) => room?,
        };
        let content = self.misp_events().content(head.id).await?.ok_or(HubError::NotFound)?;
        let json = head.json.clone();
        let document = apart(move || Document::open(&json, &content)).await?;
        Ok((document, room))
    }

    /// One attribute, in its wrapper.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_attribute(&self, actor: &Actor, name: &str, sync: bool) -> Result<Shown, HubError> {
        reads(actor)?;
        let (head, place) = self.misp_find_part(actor, Part::Attribute, &name_of(name)?, sync).await?;
        self.misp_attribute_at(actor, &head, place.id, Wait::Refused).await
    }

    pub(super) async fn misp_attribute_at(&self, actor: &Actor, head: &Head, id: i64, wait: Wait) -> Result<Shown, HubError> {
        let (document, room) = self.opened(head, wait).await?;
        let found = document.each().find(|(attribute, _)| number(attribute, "id") == Some(id));
        let (attribute, object) = found.ok_or(HubError::NotFound)?;
        let shown = json!({ "Attribute": attribute_alone(attribute, object, head, self.misp_sight(actor, head)) });
        Ok(Shown::new(shown, Some(room), wait))
    }

    /// One object with its attributes, in its wrapper.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_object(&self, actor: &Actor, name: &str, sync: bool) -> Result<Shown, HubError> {
        reads(actor)?;
        let (head, place) = self.misp_find_part(actor, Part::Object, &name_of(name)?, sync).await?;
        let (document, room) = self.opened(&head, Wait::Refused).await?;
        let shown = self.misp_object_of(actor, &head, &document, place.id).await?;
        Ok(Shown::new(shown, Some(room), Wait::Refused))
    }

    /// The same of an event that is open.
    pub(super) async fn misp_object_of(&self, actor: &Actor, head: &Head, document: &Document, id: i64) -> Result<Value, HubError> {
        let sight = self.misp_sight(actor, head);
        let found = document.objects.iter().find(|object| number(object, "id") == Some(id)).ok_or(HubError::NotFound)?;
        // A deleted attribute of an object that stands is asked for by its own name.
        let deleted = if flag(found, "deleted") == Some(true) { None } else { Some(false) };
        let visible = self.misp_visible(actor, head, RowQuery { deleted, ..RowQuery::default() }).await?;
        let extent = Extent { deleted, ..Extent::WHOLE };
        let shown = object_fields(found, head.id, &visible, extent, sight, false).ok_or(HubError::NotFound)?;
        Ok(json!({ "Object": shown }))
    }
}

/// A name as it is compared.
fn plain_name(name: &str) -> String {
    name.trim().to_lowercase()
}

/// An attribute on its own.
pub(super) fn attribute_alone(attribute: &Fields, object: Option<&Fields>, head: &Head, sight: Sight) -> Fields {
    let object = object.and_then(|object| number(object, "id")).unwrap_or(0);
    let mut shown = attribute_fields(attribute, head.id, object, true, sight, false);
    set(&mut shown, "event_uuid", head.uuid.as_str());
    shown
}

/// Which parts a list of truth values asks for: deleted ones, others, or both.
pub(super) fn deleted_of(list: &[Value]) -> Option<bool> {
    let asks = |wanted| list.iter().any(|value| super::fields::flag_of(value) == Some(wanted));
    match (asks(true), asks(false)) {
        (true, true) => None,
        (true, false) => Some(true),
        (false, _) => Some(false),
    }
}

/// The attributes and objects of an event.
fn parts(document: Document, event: i64, visible: &HashSet<i64>, extent: Extent, sight: Sight, sync: bool) -> Fields {
    let is_seen = |fields: &&Fields| number(fields, "id").is_some_and(|id| visible.contains(&id));
    let attributes: Vec<Value> = document
        .attributes
        .iter()
        .filter(is_seen)
        .map(|attribute| Value::Object(attribute_fields(attribute, event, 0, extent.attachments, sight, sync)))
        .collect();
    let objects: Vec<Value> =
        document.objects.iter().filter_map(|object| object_fields(object, event, visible, extent, sight, sync)).map(Value::Object).collect();
    let mut parts = Fields::new();
    set(&mut parts, "Attribute", attributes);
    set(&mut parts, "Object", objects);
    parts
}

/// An object with those of its attributes that are to be shown; `None` where it is not.
pub(super) fn object_fields(object: &Fields, event: i64, visible: &HashSet<i64>, extent: Extent, sight: Sight, sync: bool) -> Option<Fields> {
    if extent.deleted.is_some_and(|wanted| (flag(object, "deleted") == Some(true)) != wanted) {
        return None;
    }
    let id = number(object, "id").unwrap_or(0);
    let attributes: Vec<Value> = inner(object)
        .filter(|attribute| number(attribute, "id").is_some_and(|id| visible.contains(&id)))
        .map(|attribute| Value::Object(attribute_fields(attribute, event, id, extent.attachments, sight, sync)))
        .collect();
    // An object of which nothing may be seen is not there, but for those who see everything.
    if attributes.is_empty() && !sight.sees_victims() {
        return None;
    }
    let mut shown: Fields = object.iter().filter(|(name, _)| name.as_str() != "Attribute").map(|(name, value)| (name.clone(), value.clone())).collect();
    set(&mut shown, "event_id", event.to_string());
    set(&mut shown, "Attribute", attributes);
    if !shown.contains_key("ObjectReference") {
        set(&mut shown, "ObjectReference", Vec::<Value>::new());
    }
    limit(&mut shown, sight, sync);
    Some(shown)
}

/// An attribute.
pub(super) fn attribute_fields(attribute: &Fields, event: i64, object: i64, attachments: bool, sight: Sight, sync: bool) -> Fields {
    let mut shown: Fields =
        attribute.iter().filter(|(name, _)| attachments || name.as_str() != "data").map(|(name, value)| (name.clone(), value.clone())).collect();
    set(&mut shown, "event_id", event.to_string());
    set(&mut shown, "object_id", object.to_string());
    for name in ["Galaxy", "ShadowAttribute"] {
        if !shown.contains_key(name) {
            set(&mut shown, name, Vec::<Value>::new());
        }
    }
    limit(&mut shown, sight, sync);
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        super::super::fields::object(value).unwrap()
    }

    #[tokio::test]
    async fn nobody_passes_for_a_member_or_the_hub_by_its_name() {
        let realm = crate::test_support::Realm::open(1_790_000_000, None).await;
        let (id, _) = realm.member("Kim Co", OrgKind::Company).await;
        let passes = |name: &str, uuid: &str| realm.hub.passes_for_member(&json!({ "id": "0", "uuid": uuid, "name": name }));
        let elsewhere = "0d3a4f1e-2b11-4a47-8c24-5b0a6f3e0d8e";
        assert!(passes(" KIM co", elsewhere) && passes("bongsu MAIN ", elsewhere));
        assert!(passes("Someone", &id.0.to_string()) && passes("Someone", &realm.hub.stix_identity().to_string()));
        assert!(!passes("Kim", elsewhere) && !passes("", elsewhere));
    }

    #[tokio::test]
    async fn no_event_is_opened_without_room_but_to_answer_a_change_that_was_made() {
        let realm = crate::test_support::Realm::open(1_790_000_000, None).await;
        let (_, actor) = realm.member("A", OrgKind::Company).await;
        let taken = Arc::clone(&realm.hub.gathering).acquire_many_owned(u32::try_from(realm.hub.gathering.available_permits()).unwrap()).await.unwrap();
        let event = json!({ "info": "x", "Attribute": [{ "type": "domain", "value": "evil.example.kr" }] });
        let added = realm.hub.misp_add(&actor, event, false, false).await.unwrap();
        let (id, attribute) = (added.value["Event"]["id"].as_str().unwrap(), added.value["Event"]["Attribute"][0]["id"].as_str().unwrap());
        assert!(matches!(realm.hub.misp_view(&actor, id, &Fields::new(), false).await, Err(HubError::Overloaded { .. })));
        drop(taken);
        assert_eq!(realm.hub.misp_attribute(&actor, attribute, false).await.unwrap().value["Attribute"]["value"], "evil.example.kr");
        assert!(realm.hub.misp_view(&actor, id, &Fields::new(), false).await.is_ok());
    }

    #[test]
    fn an_object_without_anything_to_see_is_not_there_but_for_its_owner() {
        let object = fields(json!({ "id": "3", "name": "file", "deleted": false, "Attribute": [{ "id": "9", "value": "x", "data": "AAAA" }] }));
        let shown = |visible: &[i64], sight| {
            object_fields(&object, 1, &visible.iter().copied().collect(), Extent { attachments: false, ..Extent::WHOLE }, sight, false)
        };
        assert!(shown(&[], Sight::WithoutVictims).is_none());
        assert!(shown(&[], Sight::Own).unwrap()["Attribute"].as_array().unwrap().is_empty());
        let seen = shown(&[9], Sight::WithoutVictims).unwrap();
        assert_eq!((&seen["Attribute"][0]["object_id"], seen["Attribute"][0].get("data")), (&json!("3"), None));
    }

    #[test]
    fn a_list_of_truth_values_asks_for_deleted_parts_others_or_both() {
        for (list, expected) in [(json!([0, 1]), None), (json!([1]), Some(true)), (json!(["0"]), Some(false)), (json!([true, false]), None)] {
            assert_eq!(deleted_of(list.as_array().unwrap()), expected, "{list}");
        }
    }
}
