//! What stands beside the attributes of an event in an answer: sightings of them, and proposals for them.
//!
//! Flow: [`Hub::misp_beside`] learns which attributes of an event have any → [`Beside::take_out`], [`Beside::write`]: an attribute, and after its own fields
//! all that is beside it.
//! Invariant: all that the reader may know is given, however much it is: it is written as it is read, and little of it is in memory.
//! Not here: lists of sightings and proposals alone ([`super::sightings`], [`super::proposals`]).

use super::answer::Out;
use super::fields::Fields;
use super::{proposals, sightings};
use crate::{Actor, Hub, HubError};
use hashbrown::HashSet;
use serde_json::Value;
use std::sync::Arc;
use store::misp::{Head, MAX_PROPOSALS_READ, MAX_READ};

/// The field of proposals, which is there without any, too.
const PROPOSALS: &str = "ShadowAttribute";

/// What is given beside attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Sightings.
    pub sightings: bool,
    /// Of attributes that have none, too, that they have none.
    pub always: bool,
    /// Proposals.
    pub proposals: bool,
}

/// What is beside the attributes of one event.
pub(super) struct Beside {
    hub: Arc<Hub>,
    actor: Actor,
    head: Head,
    wanted: Wanted,
    sighted: HashSet<i64>,
    proposed: HashSet<i64>,
}

impl Hub {
    /// Learns what is beside the attributes of an event that the caller sees.
    pub(super) async fn misp_beside(self: &Arc<Self>, actor: &Actor, head: &Head, wanted: Wanted) -> Result<Beside, HubError> {
        let sighted = if wanted.sightings { self.misp_events().sighted(head.id).await? } else { Vec::new() };
        let proposed = if wanted.proposals { self.misp_events().proposed(head.id).await? } else { Vec::new() };
        let (sighted, proposed) = (sighted.into_iter().collect(), proposed.into_iter().collect());
        Ok(Beside { hub: Arc::clone(self), actor: actor.clone(), head: head.clone(), wanted, sighted, proposed })
    }
}

impl Beside {
    /// Takes out of the fields of an attribute what is written after them. 0 is the event.
    pub(super) fn take_out(&self, id: i64, fields: &mut Fields) {
        if self.proposed.contains(&id) {
            fields.remove(PROPOSALS);
        }
    }

    /// Writes what is beside an attribute that the reader sees: further fields of an object that is open. 0 is the event.
    pub(super) async fn write(&mut self, id: i64, out: &mut Out) -> Result<(), HubError> {
        if self.wanted.sightings && (self.wanted.always || self.sighted.contains(&id)) {
            self.write_sightings(id, out).await?;
        }
        if self.proposed.contains(&id) {
            self.write_proposals(id, out).await?;
        }
        Ok(())
    }

    async fn write_sightings(&mut self, id: i64, out: &mut Out) -> Result<(), HubError> {
        // That there are some is nothing to know for those who may know none of them.
        let mut list = List::new("Sighting", self.wanted.always, out);
        let mut after = if self.sighted.contains(&id) { 0 } else { i64::MAX };
        while after < i64::MAX {
            self.actor = self.hub.misp_again(&self.actor)?;
            let page = self.hub.misp_events().sightings(Some(self.head.id), Some(id), after).await?;
            after = page.last().filter(|_| page.len() >= MAX_READ).map_or(i64::MAX, |sighting| sighting.id);
            for sighting in page.iter().filter(|sighting| sightings::may_know(&self.actor, &self.head, sighting)) {
                list.entry(&self.hub.sighting_json(&self.actor, sighting), out);
                out.pass_on().await?;
            }
        }
        list.end(out);
        Ok(())
    }

    async fn write_proposals(&mut self, id: i64, out: &mut Out) -> Result<(), HubError> {
        let mut list = List::new(PROPOSALS, true, out);
        let mut after = 0;
        while after < i64::MAX {
            self.actor = self.hub.misp_again(&self.actor)?;
            let page = self.hub.misp_events().proposals(Some(self.head.id), Some(id), after).await?;
            after = page.last().filter(|_| page.len() >= MAX_PROPOSALS_READ).map_or(i64::MAX, |proposal| proposal.id);
            for proposal in page.iter().filter(|proposal| proposals::concerns(&self.actor, &self.head, proposal)) {
                list.entry(&Value::Object(self.hub.proposal_json(&self.actor, &self.head, proposal)?), out);
                out.pass_on().await?;
            }
        }
        list.end(out);
        Ok(())
    }
}

/// A list that is a further field of an object.
struct List {
    name: &'static str,
    is_open: bool,
    is_empty: bool,
}

impl List {
    fn new(name: &'static str, always: bool, out: &mut Out) -> Self {
        let mut list = Self { name, is_open: false, is_empty: true };
        if always {
            list.open(out);
        }
        list
    }

    fn open(&mut self, out: &mut Out) {
        if !self.is_open {
            out.write(format!(",\"{}\":[", self.name).as_bytes());
            self.is_open = true;
        }
    }

    fn entry(&mut self, entry: &Value, out: &mut Out) {
        self.open(out);
        if !std::mem::replace(&mut self.is_empty, false) {
            out.write(b",");
        }
        out.write(entry.to_string().as_bytes());
    }

    fn end(self, out: &mut Out) {
        if self.is_open {
            out.write(b"]");
        }
    }
}
