//! Changes of objects: adding, editing, deleting them with their attributes.

use super::{Act, Changed, after_deletion, saved};
use crate::misp::answer::Shown;
use crate::misp::document::{inner_mut, mark_deleted, merge_object};
use crate::misp::fields::{flag, number, text, unwrapped, uuid_of, wrong};
use crate::misp::show::Wait;
use crate::{Actor, Hub, HubError};
use serde_json::Value;
use std::sync::Arc;
use store::misp::Part;

impl Hub {
    /// Adds an object to an event; with `unique` only one that says something new.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_add_object(self: &Arc<Self>, actor: &Actor, name: &str, body: Value, unique: bool) -> Result<Shown, HubError> {
        let given = unwrapped(body, "Object").ok_or_else(|| wrong("Object", "the body must be an object of MISP's"))?;
        let unique = unique || flag(&given, "breakOnDuplicate") == Some(true);
        let (head, uuid) = self
            .changed(actor, Part::Event, name, Act::Change, move |document, _, moment| {
                let uuid = text(&given, "uuid").and_then(|uuid| uuid_of(&uuid));
                if uuid.is_some() && document.objects.iter().any(|there| text(there, "uuid") == uuid) {
                    return Err(wrong("uuid", "an object of this UUID is in the event"));
                }
                if unique && document.repeats_object(&given) {
                    return Err(HubError::Forbidden("Duplicate object found; without breakOnDuplicate it would be added all the same"));
                }
                document.add_object(given, moment)?;
                document.touch(moment);
                Ok(Changed::new(document.objects.last().and_then(|object| text(object, "uuid")).unwrap_or_default()))
            })
            .await?;
        let (document, room) = self.opened(&head, Wait::InLine).await?;
        let id = document.objects.iter().find(|object| text(object, "uuid").as_ref() == Some(&uuid)).and_then(|object| number(object, "id"));
        let shown = self.misp_object_of(actor, &head, &document, id.ok_or(HubError::NotFound)?).await?;
        Ok(Shown::new(shown, Some(room), Wait::InLine))
    }

    /// Takes in what a request says of an object.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_edit_object(self: &Arc<Self>, actor: &Actor, name: &str, body: Value) -> Result<Shown, HubError> {
        let given = unwrapped(body, "Object").ok_or_else(|| wrong("Object", "the body must be an object of MISP's"))?;
        let (head, id) = self
            .changed(actor, Part::Object, name, Act::Change, move |document, id, moment| {
                merge_object(document.object_mut(id).ok_or(HubError::NotFound)?, given, moment)?;
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        let (document, room) = self.opened(&head, Wait::InLine).await?;
        let shown = self.misp_object_of(actor, &head, &document, id).await?;
        Ok(Shown::new(shown, Some(room), Wait::InLine))
    }

    /// Deletes an object with its attributes: they are marked, or with `hard` gone.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete_object(self: &Arc<Self>, actor: &Actor, name: &str, hard: bool) -> Result<Value, HubError> {
        let publishing = after_deletion(actor);
        let (head, ()) = self
            .changed(actor, Part::Object, name, Act::Duty, move |document, id, moment| {
                if hard {
                    document.objects.retain(|object| number(object, "id") != Some(id));
                } else {
                    let object = document.object_mut(id).ok_or(HubError::NotFound)?;
                    mark_deleted(object, true, moment);
                    inner_mut(object).for_each(|attribute| mark_deleted(attribute, true, moment));
                }
                document.touch(moment);
                Ok(Changed::publishing((), publishing))
            })
            .await?;
        Ok(saved("Object deleted", "Object deleted", head.id))
    }
}
