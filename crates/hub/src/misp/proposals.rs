//! Proposals: what somebody else than its contributor would have changed in an event.
//!
//! Flow: the attribute as it would be → kept beside the event, where its contributor sees it → accepted, which makes the change as any of the
//! contributor's own, or discarded.
//! Invariant: a proposal changes nothing until the contributor accepts it, and asks for nothing but what [`KEPT`] names: whom an attribute reaches is
//! nobody else's to say. The contributor learns what is proposed and not by whom; no other member learns of it.
//! Not here: claims that a value is a false positive (`crate::members`), which reach the hub's desk as well. Proposals are not synchronised.

use super::answer::{self, MispAnswer, MispMedia, Out};
use super::change::{Act, Changed, NOT_YOURS, add};
use super::document::{mark_deleted, merge_attribute, new_attribute};
use super::fields::{Fields, flag, set, text, unwrapped, wrong};
use super::find::name_of;
use super::people::{may_write, organisation_number};
use super::search::{Page, ROOM};
use super::show::Wait;
use super::{MAX_PROPOSALS, reads};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Condition, Head, MAX_PROPOSALS_READ, Name, NewProposal, Part, Proposal, RowQuery};

/// What of an attribute can be proposed.
const KEPT: [&str; 10] = ["uuid", "type", "category", "value", "to_ids", "comment", "first_seen", "last_seen", "disable_correlation", DELETION];
/// That an attribute be deleted.
const DELETION: &str = "proposal_to_delete";
/// Bytes of what is proposed at the most.
const MAX_PROPOSAL: usize = 256 * 1024;

/// A list of proposals that is being written.
struct Listing {
    hub: Arc<Hub>,
    actor: Actor,
    /// For this event alone.
    event: Option<i64>,
    sync: bool,
    page: Page,
}

impl Hub {
    /// Proposes an attribute for an event.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event that the caller may know of, [`HubError::Invalid`] for what is no attribute.
    pub async fn misp_propose(&self, actor: &Actor, event: &str, body: Value) -> Result<Value, HubError> {
        proposes(actor)?;
        let given = read(body)?;
        let head = self.misp_find(actor, &name_of(event)?, false).await?;
        let fields = new_attribute(given, &self.misp_moment())?;
        let proposal = self.propose(actor, &head, 0, fields).await?;
        self.proposal_shown(actor, &head, &proposal)
    }

    /// Proposes a change of an attribute.
    ///
    /// # Errors
    /// As [`Hub::misp_propose`].
    pub async fn misp_propose_change(&self, actor: &Actor, attribute: &str, body: Value) -> Result<Value, HubError> {
        proposes(actor)?;
        let mut given = read(body)?;
        // It is proposed now, whatever the time of what the caller has read.
        given.remove("timestamp");
        let (head, id, mut fields) = self.proposed_for(actor, attribute).await?;
        merge_attribute(&mut fields, given, &self.misp_moment())?;
        let proposal = self.propose(actor, &head, id, fields).await?;
        self.proposal_shown(actor, &head, &proposal)
    }

    /// Proposes that an attribute be deleted.
    ///
    /// # Errors
    /// As [`Hub::misp_propose`].
    pub async fn misp_propose_deletion(&self, actor: &Actor, attribute: &str) -> Result<Value, HubError> {
        proposes(actor)?;
        let (head, id, mut fields) = self.proposed_for(actor, attribute).await?;
        set(&mut fields, DELETION, true);
        self.propose(actor, &head, id, fields).await?;
        Ok(said("The proposal to delete the attribute has been saved"))
    }

    /// An attribute that the caller sees, with its event.
    async fn proposed_for(&self, actor: &Actor, attribute: &str) -> Result<(Head, i64, Fields), HubError> {
        let (head, place) = self.misp_find_part(actor, Part::Attribute, &name_of(attribute)?, false).await?;
        let (mut document, _room) = self.opened(&head, Wait::Refused).await?;
        let fields = document.attribute_mut(place.id).ok_or(HubError::NotFound)?.clone();
        if flag(&fields, "deleted") == Some(true) {
            return Err(wrong("deleted", "the attribute is deleted"));
        }
        Ok((head, place.id, fields))
    }

    async fn propose(&self, actor: &Actor, head: &Head, attribute: i64, fields: Fields) -> Result<Proposal, HubError> {
        let kept: Fields = fields.into_iter().filter(|(name, _)| KEPT.contains(&name.as_str())).collect();
        let new = NewProposal {
            uuid: text(&kept, "uuid").unwrap_or_default(),
            event: head.id,
            attribute,
            org: actor.organisation.number,
            created: self.clock().now().seconds(),
            json: Value::Object(kept).to_string(),
        };
        if new.json.len() > MAX_PROPOSAL {
            return Err(HubError::TooLarge { limit: MAX_PROPOSAL as u64, unit: "bytes a proposal" });
        }
        let mut edit = self.misp_events().write().await?;
        if edit.count_proposals(new.org).await? >= MAX_PROPOSALS {
            return Err(HubError::TooLarge { limit: MAX_PROPOSALS as u64, unit: "proposals of an organisation that wait" });
        }
        let id = edit.add_proposal(&new).await?;
        edit.commit().await?;
        let NewProposal { uuid, event, attribute, org, created, json } = new;
        Ok(Proposal { id, uuid, event, attribute, org, created, json })
    }

    /// Proposals for an event, or for all events, as far as the caller sees them, oldest first.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event that the caller may know of.
    pub async fn misp_proposals(self: &Arc<Self>, actor: &Actor, event: Option<&str>, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let event = match event {
            Some(name) => Some(self.misp_find(actor, &name_of(name)?, sync).await?.id),
            None => None,
        };
        let listing = Listing { hub: Arc::clone(self), actor: actor.clone(), event, sync, page: Page::asked(given) };
        let answer = answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| listing.run(out)).await?;
        Ok(MispAnswer { count: None, ..answer })
    }

    /// One proposal.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_proposal(&self, actor: &Actor, name: &str, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let (head, proposal) = self.find_proposal(actor, name, sync).await?;
        self.proposal_shown(actor, &head, &proposal)
    }

    /// Makes the change that a proposal for an event of one's own asks for.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no proposal that the caller may know of, [`HubError::Forbidden`] where the event is another's, and what
    /// the change itself meets.
    pub async fn misp_accept(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Value, HubError> {
        proposes(actor)?;
        let (head, proposal) = self.find_proposal(actor, name, false).await?;
        if head.org != actor.organisation.number {
            return Err(NOT_YOURS);
        }
        let mut fields = content(&proposal)?;
        // Whoever proposes a change may write the field, too, and say no in it.
        let deletes = deletes(&fields);
        fields.remove(DELETION);
        if proposal.attribute == 0 {
            let event = head.id.to_string();
            self.changed(actor, Part::Event, &event, Act::Change, move |document, _, moment| Ok(Changed::new(add(document, fields, false, moment)?))).await?;
        } else {
            let attribute = proposal.attribute.to_string();
            self.changed(actor, Part::Attribute, &attribute, Act::Change, move |document, id, moment| {
                let there = document.attribute_mut(id).ok_or(HubError::NotFound)?;
                if deletes {
                    mark_deleted(there, true, moment);
                } else {
                    merge_attribute(there, fields, moment)?;
                }
                document.touch(moment);
                Ok(Changed::new(()))
            })
            .await?;
        }
        // Where the hub ends between the two the proposal stays; accepting it again says what is there, and it can be discarded.
        self.drop_proposal(proposal.id).await?;
        Ok(said("Proposed change accepted."))
    }

    /// Takes a proposal out: by whose event it is for, by who made it, or by the coordinator.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_discard(&self, actor: &Actor, name: &str) -> Result<Value, HubError> {
        proposes(actor)?;
        let (_, proposal) = self.find_proposal(actor, name, false).await?;
        self.drop_proposal(proposal.id).await?;
        Ok(said("Proposal discarded."))
    }

    async fn drop_proposal(&self, id: i64) -> Result<(), HubError> {
        let mut edit = self.misp_events().write().await?;
        edit.delete_proposal(id).await?;
        edit.commit().await?;
        Ok(())
    }

    /// The first proposal that a name leads the caller to, with its event.
    async fn find_proposal(&self, actor: &Actor, name: &str, sync: bool) -> Result<(Head, Proposal), HubError> {
        for proposal in self.misp_events().proposal(&name_of(name)?).await? {
            let heads = self.misp_events().named(&Name::Id(proposal.event)).await?;
            let Some(head) = self.first_seen_by(actor, heads, sync) else { continue };
            let query = RowQuery { ids: Condition { any: vec![proposal.attribute], none: Vec::new() }, ..RowQuery::default() };
            let visible = self.misp_visible(actor, &head, query).await?;
            if may_know(actor, &head, &proposal, &visible) {
                return Ok((head, proposal));
            }
        }
        Err(HubError::NotFound)
    }

    /// Of a few proposals those that the caller may know, each with its event.
    async fn known_of(&self, actor: &Actor, some: Vec<Proposal>, sync: bool) -> Result<Vec<(Arc<Head>, Proposal)>, HubError> {
        let mut attributes: HashMap<i64, Vec<i64>> = HashMap::new();
        for proposal in &some {
            attributes.entry(proposal.event).or_default().push(proposal.attribute);
        }
        let mut known: HashMap<i64, (Arc<Head>, HashSet<i64>)> = HashMap::new();
        for (event, any) in attributes {
            let heads = self.misp_events().named(&Name::Id(event)).await?;
            let Some(head) = self.first_seen_by(actor, heads, sync) else { continue };
            let query = RowQuery { ids: Condition { any, none: Vec::new() }, ..RowQuery::default() };
            let visible = self.misp_visible(actor, &head, query).await?;
            known.insert(event, (Arc::new(head), visible));
        }
        let seen = some.into_iter().filter_map(|proposal| {
            let (head, visible) = known.get(&proposal.event)?;
            may_know(actor, head, &proposal, visible).then(|| (Arc::clone(head), proposal))
        });
        Ok(seen.collect())
    }

    fn proposal_shown(&self, actor: &Actor, head: &Head, proposal: &Proposal) -> Result<Value, HubError> {
        Ok(json!({ "ShadowAttribute": self.proposal_json(actor, head, proposal)? }))
    }

    /// A proposal in MISP's form. Who made it is shown to its own organisation and the coordinator.
    pub(super) fn proposal_json(&self, actor: &Actor, head: &Head, proposal: &Proposal) -> Result<Fields, HubError> {
        let named = proposal.org == actor.organisation.number || actor.is_coordinator();
        let organisation = self.directory().organisation(proposal.org).filter(|_| named);
        let number = if organisation.is_some() { organisation_number(proposal.org) } else { 0 };
        let mut shown = content(proposal)?;
        set(&mut shown, "id", proposal.id.to_string());
        set(&mut shown, "old_id", proposal.attribute.to_string());
        set(&mut shown, "event_id", head.id.to_string());
        set(&mut shown, "event_uuid", head.uuid.as_str());
        set(&mut shown, "org_id", number.to_string());
        set(&mut shown, "timestamp", proposal.created.to_string());
        set(&mut shown, "deleted", false);
        let deletes = deletes(&shown);
        set(&mut shown, DELETION, deletes);
        let organisation = organisation.map_or_else(|| self.misp_hub_json(), |organisation| self.misp_organisation_json(&organisation));
        set(&mut shown, "Org", organisation);
        Ok(shown)
    }
}

/// Whether a proposal asks that the attribute be deleted. What is shown of it and what is done are the same.
fn deletes(fields: &Fields) -> bool {
    flag(fields, DELETION) == Some(true)
}

/// The attribute that a proposal asks for.
fn content(proposal: &Proposal) -> Result<Fields, HubError> {
    serde_json::from_str(&proposal.json).map_err(|error| HubError::Internal(Box::new(error)))
}

/// Whether a proposal for an event that the reader sees is the reader's to know. Its contributor sees those for what is gone by now, to discard them.
fn may_know(actor: &Actor, head: &Head, proposal: &Proposal, visible: &HashSet<i64>) -> bool {
    let is_seen = proposal.attribute == 0 || head.org == actor.organisation.number || visible.contains(&proposal.attribute);
    is_seen && concerns(actor, head, proposal)
}

/// The same of a proposal for something that the reader sees.
pub(super) fn concerns(actor: &Actor, head: &Head, proposal: &Proposal) -> bool {
    let own = actor.organisation.number;
    proposal.org == own || head.org == own || actor.is_coordinator()
}

impl Listing {
    async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.hub.misp_room(ROOM).await?;
        out.write(b"[");
        let mut after = 0;
        while after < i64::MAX && self.page.left > 0 {
            self.actor = self.hub.misp_again(&self.actor)?;
            let page = self.hub.misp_events().proposals(self.event, None, after).await?;
            after = page.last().filter(|_| page.len() >= MAX_PROPOSALS_READ).map_or(i64::MAX, |proposal| proposal.id);
            let mut known = self.hub.known_of(&self.actor, page, self.sync).await?;
            let passed = self.page.skip.min(known.len());
            self.page.skip -= passed;
            known.drain(..passed);
            known.truncate(self.page.left);
            self.page.left -= known.len();
            for (head, proposal) in &known {
                out.entry(self.hub.proposal_shown(&self.actor, head, proposal)?.to_string().as_bytes());
                out.pass_on().await?;
            }
        }
        out.write(b"]");
        Ok(out)
    }
}

fn proposes(actor: &Actor) -> Result<(), HubError> {
    if may_write(actor) { Ok(()) } else { Err(HubError::Forbidden("this role may not do this")) }
}

/// The attribute of a request.
fn read(body: Value) -> Result<Fields, HubError> {
    let inner = unwrapped(body, "ShadowAttribute").and_then(|fields| unwrapped(Value::Object(fields), "Attribute"));
    let given = inner.ok_or_else(|| wrong("Attribute", "the body must be an attribute"))?;
    if given.get("data").is_some_and(|data| !data.is_null()) {
        return Err(wrong("data", "what is attached cannot be proposed"));
    }
    Ok(given)
}

fn said(message: &str) -> Value {
    json!({ "saved": true, "success": message, "name": message, "message": message, "url": "/shadow_attributes/index" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_is_read_from_either_wrapper_and_attachments_are_refused() {
        for body in [json!({ "value": "x" }), json!({ "Attribute": { "value": "x" } }), json!({ "ShadowAttribute": { "value": "x" } })] {
            assert_eq!(read(body).unwrap()["value"], "x");
        }
        assert!(matches!(read(json!({ "value": "x", "data": "AAAA" })), Err(HubError::Invalid { pointer, .. }) if pointer == "/data"));
        assert!(matches!(read(json!([])), Err(HubError::Invalid { .. })));
    }

    #[test]
    fn a_proposal_that_says_no_to_deletion_deletes_nothing() {
        let fields = |value: Value| super::super::fields::object(value).unwrap();
        assert!(deletes(&fields(json!({ (DELETION): true }))) && deletes(&fields(json!({ (DELETION): "1" }))));
        assert!(!deletes(&fields(json!({ (DELETION): false }))) && !deletes(&fields(json!({ (DELETION): "no" }))) && !deletes(&fields(json!({}))));
    }

    #[test]
    fn nobody_proposes_whom_an_attribute_reaches() {
        assert!(!KEPT.contains(&"distribution") && !KEPT.contains(&"sharing_group_id") && !KEPT.contains(&"Tag"));
    }
}
