//! Tags put on events and attributes, and taken off.
//!
//! Invariant: a marking is its contributor's to set; another tag is the hub's desk's, too.

use super::{Act, Changed, Publishing};
use crate::misp::document::{add_tag, remove_tag, tag_name};
use crate::misp::fields::{flag, text, wrong};
use crate::misp::find::name_of;
use crate::misp::people::may_write;
use crate::{Actor, Hub, HubError};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Name, Part};

impl Hub {
    /// Adds a tag to an event or attribute, or takes it off.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`]; [`HubError::Forbidden`] for a marking on another's.
    pub async fn misp_tag_part(self: &Arc<Self>, actor: &Actor, body: &Value, attach: bool) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let fields = body.as_object().ok_or_else(|| wrong("uuid", "the body must name what is tagged"))?;
        let name = text(fields, "uuid").ok_or_else(|| wrong("uuid", "names nothing that can be tagged"))?;
        let asked = match fields.get("tag") {
            Some(Value::Object(tag)) => text(tag, "name"),
            _ => text(fields, "tag"),
        };
        let mut asked = asked.ok_or_else(|| wrong("tag", "a tag is needed"))?;
        if asked.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number is one of a tag that there is.
            let tag = self.misp_tag(actor, &asked, false).await?;
            tag_name(&tag).unwrap_or_default().clone_into(&mut asked);
        }
        let marks = ["tlp:", "pap:"].iter().any(|beginning| asked.to_ascii_lowercase().starts_with(beginning));
        let act = if marks { Act::Change } else { Act::Duty };
        let local = flag(fields, "local") == Some(true);
        let relationship = text(fields, "relationship_type");
        let part = self.part_to_tag(actor, &name_of(&name)?).await?;
        let (tag, stays) = (asked.clone(), local || actor.is_coordinator());
        let (_, id) = self
            .changed(actor, part, &name, act, move |document, id, moment| {
                let target = if part == Part::Event { &mut document.head } else { document.attribute_mut(id).ok_or(HubError::NotFound)? };
                if attach {
                    add_tag(target, &tag, local, relationship.as_deref())?;
                } else if !remove_tag(target, &tag) {
                    return Err(wrong("tag", "is not attached"));
                }
                if !local {
                    document.touch(moment);
                }
                // A local tag is nothing that others are told of, and the desk's tags do not hold a member's event back.
                let publishing = if stays { Publishing::Keep } else { Publishing::Set(false) };
                Ok(Changed::publishing(id, publishing))
            })
            .await?;
        let kind = if part == Part::Event { "Event" } else { "Attribute" };
        let message = match (attach, local) {
            (true, true) => format!("Local tag {asked} successfully attached to {kind}({id})."),
            (true, false) => format!("Global tag {asked} successfully attached to {kind}({id})."),
            (false, _) => format!("Tag {asked} successfully removed from {kind}({id})."),
        };
        Ok(json!({ "saved": true, "success": message, "check_publish": true, "name": message, "message": message, "url": "/tags" }))
    }

    /// Whether a name is that of an event or of an attribute: one's own first, whatever others keep under the same UUID.
    async fn part_to_tag(&self, actor: &Actor, name: &Name) -> Result<Part, HubError> {
        let own = actor.organisation.number;
        let heads = self.misp_events().named(name).await?;
        if heads.iter().any(|head| head.org == own && !head.deleted) {
            return Ok(Part::Event);
        }
        if matches!(name, Name::Uuid(_)) {
            // One's own places are the first.
            let places = self.misp_events().places(Part::Attribute, name, own).await?;
            let first = places.first().map_or(0, |place| place.event);
            if self.misp_events().named(&Name::Id(first)).await?.iter().any(|head| head.org == own) {
                return Ok(Part::Attribute);
            }
        }
        Ok(if self.first_seen_by(actor, heads, false).is_some() { Part::Event } else { Part::Attribute })
    }
}
