//! Changes of a whole event: adding, editing, publishing, deleting it.
//!
//! Invariant: a UUID is one organisation's: what another keeps under it, seen or not, is nothing that the caller's own waits for. What comes from another
//! instance reaches one step less far.

use super::{Act, Changed, Kept, Publishing, fits, saved};
use crate::misp::answer::Shown;
use crate::misp::apart;
use crate::misp::document::Document;
use crate::misp::fields::{Fields, flag, number, set, text, unwrapped, uuid_of, wrong};
use crate::misp::find::name_of;
use crate::misp::people::may_write;
use crate::misp::show::{Extent, Wait};
use crate::{Actor, Hub, HubError};
use model::KeyRole;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Head, Name, Part};

impl Hub {
    /// Adds an event.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not submit and for events that are another's; [`HubError::Invalid`] for what is no event or there already.
    pub async fn misp_add(self: &Arc<Self>, actor: &Actor, body: Value, metadata: bool, sync: bool) -> Result<Shown, HubError> {
        if !may_write(actor) && actor.role != KeyRole::Reporter {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let mut given = unwrapped(body, "Event").ok_or_else(|| wrong("Event", "the body must be an event"))?;
        let creator = self.creator(actor, &given)?;
        if sync {
            step_down(&mut given);
        }
        let publish = flag(&given, "published") == Some(true);
        let stated = number(&given, "timestamp");
        let moment = self.misp_moment();
        let at = moment.clone();
        let mut document = apart(move || Document::new(given, &at)).await?;
        if let Some(creator) = creator {
            set(&mut document.head, "Orgc", creator);
        }
        fits(&document, 0)?;
        let uuid = text(&document.head, "uuid").unwrap_or_default();
        if self.misp.feed.is_ours(&uuid) {
            return Err(HubError::Forbidden("this event is this instance's own"));
        }
        let mut edit = self.misp_events().write().await?;
        let own = edit.named(&Name::Uuid(uuid)).await?.into_iter().find(|head| head.org == actor.organisation.number);
        let old = match own {
            // Whoever deleted it may add it anew; an instance that has not heard of it does not bring it back.
            Some(head) if head.deleted && stated.is_none_or(|stated| stated > head.timestamp) && !sync => Some(head),
            Some(head) if head.deleted => return Err(HubError::Forbidden("the event was deleted here")),
            Some(_) => return Err(wrong("uuid", "the event is here already; edit it")),
            None => None,
        };
        let (id, generation) = match &old {
            Some(head) => (head.id, head.generation + 1),
            None => (edit.numbers(Part::Event, 1).await?, 1),
        };
        let kept =
            Kept { id, generation, org: actor.organisation.number, published: publish, published_at: if publish { moment.now } else { 0 }, deleted: false };
        self.keep(&mut edit, &actor.organisation, document, kept).await?;
        edit.commit().await?;
        self.misp_share(id).await;
        if actor.role == KeyRole::Reporter {
            return Ok(Shown::new(json!({ "Event": { "id": id.to_string(), "published": publish } }), None, Wait::InLine));
        }
        let head = self.misp_find(actor, &Name::Id(id), false).await?;
        self.misp_shown(actor, &head, Extent { metadata, ..Extent::WHOLE }, false, Wait::InLine).await
    }

    /// Who made an event, where that is nobody of this hub's.
    fn creator(&self, actor: &Actor, given: &Fields) -> Result<Option<Value>, HubError> {
        let Some(creator) = given.get("Orgc").and_then(Value::as_object) else { return Ok(None) };
        let Some(uuid) = text(creator, "uuid").and_then(|uuid| uuid_of(&uuid)) else { return Ok(None) };
        if uuid == self.stix_identity().to_string() {
            // It has been here before, under the hub's name.
            return Err(HubError::Forbidden("this event is this instance's own"));
        }
        let known = self.directory().snapshot().organisations().find(|organisation| organisation.id.0.to_string() == uuid).map(|found| found.number);
        match known {
            Some(number) if number == actor.organisation.number => Ok(None),
            // Whether another is a member is nothing that this answer tells: the event is taken as one that was passed on.
            Some(_) | None => {
                let name = text(creator, "name").unwrap_or_else(|| uuid.clone());
                Ok(Some(json!({ "id": "0", "uuid": uuid, "name": name })))
            }
        }
    }

    /// Takes in what a request says of an event that is there.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of, [`HubError::Forbidden`] where it is another's or the request is not newer.
    pub async fn misp_edit(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, metadata: bool, sync: bool) -> Result<Shown, HubError> {
        let mut given = unwrapped(body, "Event").ok_or_else(|| wrong("Event", "the body must be an event"))?;
        if sync && may_write(actor) && self.is_beside_anothers(actor, name, &given).await? {
            set(&mut given, "uuid", name);
            return self.misp_add(actor, Value::Object(given), metadata, sync).await;
        }
        if sync {
            step_down(&mut given);
        }
        let publishing = Publishing::Set(flag(&given, "published") == Some(true));
        let (head, ()) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                document.merge(given, moment)?;
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        self.misp_shown(actor, &head, Extent { metadata, ..Extent::WHOLE }, false, Wait::InLine).await
    }

    /// Whether an instance changes an event that the caller's organisation does not have: it asks first whether there is one of the UUID, and is told of
    /// another's, which is not the caller's to change. What it pushes is added beside that one, lest whoever took the UUID first keep it from coming; but not
    /// where it is the same event, no newer than what the caller sees: that has come from here.
    async fn is_beside_anothers(&self, actor: &Actor, name: &str, given: &Fields) -> Result<bool, HubError> {
        let Name::Uuid(uuid) = name_of(name)? else { return Ok(false) };
        let heads = self.misp_events().named(&Name::Uuid(uuid)).await?;
        let own = &actor.organisation;
        if heads.iter().any(|head| head.org == own.number && !head.deleted) {
            return Ok(false);
        }
        let reading = self.misp_reading(actor, true);
        let seen: Vec<Head> = heads.into_iter().filter(|head| !head.deleted && reading.event(head).sees_event()).collect();
        let (by, stated) = (creator_of(given).unwrap_or_else(|| own.id.0.to_string()), number(given, "timestamp").unwrap_or(i64::MAX));
        let is_same = |head: &Head| {
            let passed_on = serde_json::from_str::<Fields>(&head.json).ok().and_then(|fields| creator_of(&fields));
            let creator = passed_on.or_else(|| self.directory().organisation(head.org).map(|organisation| organisation.id.0.to_string()));
            head.timestamp >= stated && creator.is_some_and(|creator| creator == by)
        };
        Ok(!seen.is_empty() && !seen.iter().any(is_same))
    }

    /// Publishes an event, or takes that back.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_publish(self: &Arc<Self>, actor: &Actor, name: &str, publish: bool) -> Result<Value, HubError> {
        let act = if publish { Act::Change } else { Act::Duty };
        let (head, ()) = self.changed(actor, Part::Event, name, act, move |_, _, _| Ok(Changed::publishing((), Publishing::Set(publish)))).await?;
        let said = if publish { "Event published" } else { "Event unpublished" };
        Ok(saved(said, &format!("{said}."), head.id))
    }

    /// Deletes an event. It stays, to be seen by nobody, so that it does not come back from elsewhere.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let (head, ()) = self
            .changed(actor, Part::Event, name, Act::Duty, |document, _, moment| {
                document.touch(moment);
                Ok(Changed { given: (), publishing: Publishing::Set(false), deleted: true })
            })
            .await?;
        Ok(saved("Event deleted.", "Event deleted.", head.id))
    }
}

/// The UUID of who made an event, where that is said.
fn creator_of(fields: &Fields) -> Option<String> {
    fields.get("Orgc").and_then(Value::as_object).and_then(|creator| text(creator, "uuid")).and_then(|uuid| uuid_of(&uuid))
}

/// One step less far, for what comes from another instance.
fn step_down(given: &mut Fields) {
    let step = |fields: &mut Fields| match number(fields, "distribution") {
        Some(1) => set(fields, "distribution", "0"),
        Some(2) => set(fields, "distribution", "1"),
        _ => {}
    };
    // What is not said is this community alone, which is what is stepped down from.
    if given.get("distribution").is_none_or(Value::is_null) && given.contains_key("info") {
        set(given, "distribution", "1");
    }
    step(given);
    let mut parts: Vec<&mut Fields> = Vec::new();
    let mut rest: Vec<&mut Value> = given.iter_mut().filter(|(name, _)| matches!(name.as_str(), "Attribute" | "Object")).map(|(_, value)| value).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(list) => rest.extend(list.iter_mut()),
            Value::Object(fields) => parts.push(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for part in parts {
        step(part);
        if let Some(Value::Array(list)) = part.get_mut("Attribute") {
            list.iter_mut().filter_map(Value::as_object_mut).for_each(step);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_another_instance_reaches_one_step_less_far() {
        let mut given = crate::misp::fields::object(json!({ "info": "x", "distribution": "2", "Attribute": [{ "distribution": 1 }, { "distribution": 5 }],
            "Object": [{ "distribution": 3, "Attribute": [{ "distribution": "2" }] }] }))
        .unwrap();
        step_down(&mut given);
        assert_eq!(
            (&given["distribution"], &given["Attribute"][0]["distribution"], &given["Attribute"][1]["distribution"]),
            (&json!("1"), &json!("0"), &json!(5))
        );
        assert_eq!((&given["Object"][0]["distribution"], &given["Object"][0]["Attribute"][0]["distribution"]), (&json!(3), &json!("1")));
        let mut unsaid = crate::misp::fields::object(json!({ "info": "x" })).unwrap();
        step_down(&mut unsaid);
        assert_eq!(unsaid["distribution"], "0");
    }
}
