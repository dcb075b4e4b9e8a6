//! Changes of attributes: adding, editing, deleting them, and taking that back.
//!
//! Invariant: an attribute that says what is there already is refused, or changed where that is asked for.

use super::{Act, Changed, after_deletion, saved};
use crate::misp::answer::Shown;
use crate::misp::document::{Document, Moment, mark_deleted, merge_attribute, new_attribute};
use crate::misp::fields::{Fields, flag, object, set, text, unwrapped, wrong};
use crate::misp::show::{Wait, attribute_alone};
use crate::misp::{MAX_ATTRIBUTES, apart};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use policy::Sight;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Head, Part};

impl Hub {
    /// Adds one attribute to an event, or several.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`]; of several, those that cannot be added are named and the others added.
    pub async fn misp_add_attributes(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, again: bool) -> Result<Shown, HubError> {
        let list = match body {
            Value::Array(list) => list,
            one => match unwrapped(one, "Attribute") {
                Some(mut fields) => match fields.remove("Attribute") {
                    Some(Value::Array(list)) => list,
                    _ => return self.add_one(actor, name, fields, again).await,
                },
                None => return Err(wrong("Attribute", "the body must be an attribute, or a list of them")),
            },
        };
        for given in &list {
            self.not_listed(given.get("Attribute").unwrap_or(given))?;
        }
        if list.len() > MAX_ATTRIBUTES {
            return Err(HubError::TooLarge { limit: MAX_ATTRIBUTES as u64, unit: "attributes an event" });
        }
        let (head, (uuids, errors)) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                let (mut uuids, mut errors) = (Vec::new(), Fields::new());
                let mut held = Held::of(document);
                for (place, given) in list.into_iter().enumerate() {
                    let given = unwrapped(given, "Attribute").ok_or_else(|| wrong("Attribute", "is no attribute"));
                    match given.and_then(|given| add_to(document, &mut held, given, again, moment)) {
                        Ok(uuid) => uuids.push(uuid),
                        Err(HubError::Invalid { pointer, reason }) => {
                            set(&mut errors, &format!("attribute_{place}"), json!({ (pointer.trim_start_matches('/')): [reason] }));
                        }
                        Err(other) => return Err(other),
                    }
                }
                if uuids.is_empty() && !errors.is_empty() {
                    return Err(wrong("Attribute", Value::Object(errors).to_string()));
                }
                Ok(Changed::new((uuids, errors)))
            })
            .await?;
        let (document, room) = self.opened(&head, Wait::InLine).await?;
        let sight = self.misp_sight(actor, &head);
        let mut attributes = apart(move || Ok(shown_of(&document, &uuids, &head, sight))).await?;
        // MISP answers a list of one with the one.
        let given = if attributes.len() == 1 && errors.is_empty() { attributes.pop().unwrap_or_default() } else { Value::Array(attributes) };
        let mut answer = Fields::new();
        set(&mut answer, "Attribute", given);
        if !errors.is_empty() {
            set(&mut answer, "errors", errors);
        }
        Ok(Shown::new(Value::Object(answer), Some(room), Wait::InLine))
    }

    async fn add_one(self: &Arc<Self>, actor: &Actor, name: &str, given: Fields, again: bool) -> Result<Shown, HubError> {
        let given = Value::Object(given);
        self.not_listed(&given)?;
        let given = object(given).unwrap_or_default();
        let (head, uuid) =
            self.changed(actor, Part::Event, name, Act::Change, move |document, _, moment| Ok(Changed::new(add(document, given, again, moment)?))).await?;
        let (document, room) = self.opened(&head, Wait::InLine).await?;
        let shown = shown_of(&document, &[uuid], &head, self.misp_sight(actor, &head)).pop();
        Ok(Shown::new(json!({ "Attribute": shown.ok_or(HubError::NotFound)? }), Some(room), Wait::InLine))
    }

    /// Refuses an attribute that asks for that where a warning list holds its value.
    fn not_listed(&self, given: &Value) -> Result<(), HubError> {
        let Some(fields) = given.as_object().filter(|fields| flag(fields, "enforceWarninglist") == Some(true)) else { return Ok(()) };
        let (kind, value) = (text(fields, "type").unwrap_or_default(), text(fields, "value").unwrap_or_default());
        if self.misp_is_listed(&kind, &value) {
            return Err(HubError::Forbidden("the attribute trips over a warninglist and enforceWarninglist is enforced"));
        }
        Ok(())
    }

    /// Takes in what a request says of an attribute.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_edit_attribute(self: &Arc<Self>, actor: &Actor, name: &str, body: Value) -> Result<Shown, HubError> {
        let given = unwrapped(body, "Attribute").ok_or_else(|| wrong("Attribute", "the body must be an attribute"))?;
        let (head, id) = self
            .changed(actor, Part::Attribute, name, Act::Change, move |document, id, moment| {
                let there = document.attribute_mut(id).ok_or(HubError::NotFound)?;
                if !merge_attribute(there, given, moment)? {
                    return Err(HubError::Forbidden("the attribute in the request is not newer than the one here"));
                }
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.misp_attribute_at(actor, &head, id, Wait::InLine).await
    }

    /// Deletes an attribute: it is marked, or with `hard` gone.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete_attribute(self: &Arc<Self>, actor: &Actor, name: &str, hard: bool) -> Result<Value, HubError> {
        let publishing = after_deletion(actor);
        let (head, ()) = self
            .changed(actor, Part::Attribute, name, Act::Duty, move |document, id, moment| {
                if hard {
                    document.remove_attribute(id);
                } else {
                    mark_deleted(document.attribute_mut(id).ok_or(HubError::NotFound)?, true, moment);
                }
                document.touch(moment);
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        Ok(saved("Attribute deleted.", "Attribute deleted.", head.id))
    }

    /// Takes the deletion of an attribute back.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_restore_attribute(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Shown, HubError> {
        let (head, id) = self
            .changed(actor, Part::Attribute, name, Act::Change, move |document, id, moment| {
                mark_deleted(document.attribute_mut(id).ok_or(HubError::NotFound)?, false, moment);
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.misp_attribute_at(actor, &head, id, Wait::InLine).await
    }
}

/// What an attribute says: its type, category and value.
type Said = (Option<String>, Option<String>, Option<String>);

fn said(fields: &Fields) -> Said {
    (text(fields, "type"), text(fields, "category"), text(fields, "value"))
}

/// What an event holds, so that a long list of attributes does not look through all of it for each.
struct Held {
    uuids: HashSet<String>,
    /// Places of the attributes outside of objects that are not deleted, by what they say.
    says: HashMap<Said, usize>,
}

impl Held {
    fn of(document: &Document) -> Self {
        let uuids = document.each().filter_map(|(attribute, _)| text(attribute, "uuid")).collect();
        let mut says = HashMap::new();
        for (place, there) in document.attributes.iter().enumerate().filter(|(_, there)| flag(there, "deleted") != Some(true)) {
            says.entry(said(there)).or_insert(place);
        }
        Self { uuids, says }
    }
}

/// Adds an attribute and gives its UUID. One that is there is refused, or with `again` changed.
pub(in crate::misp) fn add(document: &mut Document, given: Fields, again: bool, moment: &Moment) -> Result<String, HubError> {
    let mut held = Held::of(document);
    add_to(document, &mut held, given, again, moment)
}

fn add_to(document: &mut Document, held: &mut Held, given: Fields, again: bool, moment: &Moment) -> Result<String, HubError> {
    let new = new_attribute(given.clone(), moment)?;
    let uuid = text(&new, "uuid").unwrap_or_default();
    if held.uuids.contains(&uuid) {
        return Err(wrong("uuid", "an attribute of this UUID is in the event"));
    }
    let says = said(&new);
    if let Some(place) = held.says.get(&says).copied() {
        if !again {
            // MISP's words; clients look for them.
            return Err(wrong("value", "A similar attribute already exists for this event."));
        }
        let there = document.attributes.get_mut(place).ok_or(HubError::NotFound)?;
        let mut given = given;
        ["uuid", "id", "timestamp"].iter().for_each(|name| drop(given.remove(*name)));
        merge_attribute(there, given, moment)?;
        let uuid = text(there, "uuid").unwrap_or_default();
        if flag(there, "deleted") == Some(true) {
            held.says.remove(&says);
        }
        document.touch(moment);
        return Ok(uuid);
    }
    let place = document.attributes.len();
    document.add_attribute(given_with(given, &uuid), moment)?;
    document.touch(moment);
    held.uuids.insert(uuid.clone());
    if flag(&new, "deleted") != Some(true) {
        held.says.insert(says, place);
    }
    Ok(uuid)
}

/// The same with the UUID that was made for it.
fn given_with(mut given: Fields, uuid: &str) -> Fields {
    set(&mut given, "uuid", uuid);
    given
}

/// Attributes of an event in the order in which they are named, however many they are: the event is looked through once.
fn shown_of(document: &Document, uuids: &[String], head: &Head, sight: Sight) -> Vec<Value> {
    let wanted: HashSet<&str> = uuids.iter().map(String::as_str).collect();
    let mut found: HashMap<String, (&Fields, Option<&Fields>)> = HashMap::new();
    for (attribute, object) in document.each() {
        if let Some(uuid) = text(attribute, "uuid").filter(|uuid| wanted.contains(uuid.as_str())) {
            found.entry(uuid).or_insert((attribute, object));
        }
    }
    let named = uuids.iter().filter_map(|uuid| found.get(uuid));
    named.map(|(attribute, object)| Value::Object(attribute_alone(attribute, *object, head, sight))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_is_there_is_refused_or_changed() {
        let moment = Moment { now: 1_000, today: "2026-11-21".to_owned() };
        let fields = |value: Value| object(value).unwrap();
        let mut document = Document::new(fields(json!({ "info": "x" })), &moment).unwrap();
        let one = json!({ "type": "domain", "value": "a.example" });
        let uuid = add(&mut document, fields(one.clone()), false, &moment).unwrap();
        assert!(matches!(add(&mut document, fields(one.clone()), false, &moment), Err(HubError::Invalid { pointer, .. }) if pointer == "/value"));
        let mut commented = fields(one);
        set(&mut commented, "comment", "again");
        assert_eq!(add(&mut document, commented, true, &moment).unwrap(), uuid);
        assert_eq!((document.attributes.len(), &document.attributes[0]["comment"]), (1, &json!("again")));
    }
}
