//! The list of events, without what is in them, and what another instance asks before it pushes.
//!
//! Invariant: of several events of one UUID an instance is told of the one that it is given under that UUID.

use super::page::Page;
use super::wanted::Wanted;
use super::{AT_ONCE, ROOM};
use crate::misp::answer::{self, MispAnswer, MispMedia, Out};
use crate::misp::fields::{Fields, flag, number, set, text, uuid_of};
use crate::misp::filter::{Scope, Search};
use crate::misp::people::may_write;
use crate::misp::show::Wait;
use crate::misp::{MAX_LISTED, reads};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Condition, EventQuery, Head, MAX_READ, Name};
use uuid::Uuid;

/// Characters of what a list is sorted by.
const MAX_KEY: usize = 256;

/// A list that is being written.
struct Listing {
    hub: Arc<Hub>,
    actor: Actor,
    search: Arc<Search>,
    sync: bool,
    /// Only what another instance needs to tell whether it has an event.
    minimal: bool,
    /// What it is sorted by, and whether the other way round.
    sort: Option<(String, bool)>,
}

impl Hub {
    /// The list of events, without what is in them.
    ///
    /// # Errors
    /// As [`Hub::misp_search`].
    pub async fn misp_index(self: &Arc<Self>, actor: &Actor, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let mut search = Search::read(given, Scope::Events, &self.misp_moment())?;
        self.narrow(actor, &mut search, Scope::Events, sync).await?;
        if number(given, "limit").is_none_or(|limit| limit <= 0) {
            search.limit = search.limit.map(|_| MAX_LISTED);
        }
        let minimal = flag(given, "minimal") == Some(true);
        let descending = text(given, "direction").is_some_and(|word| word.eq_ignore_ascii_case("desc"));
        let sort = text(given, "sort").filter(|_| !minimal).map(|by| (by, descending));
        let listing = Listing { hub: Arc::clone(self), actor: actor.clone(), search: Arc::new(search), sync, minimal, sort };
        answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| listing.run(out)).await
    }

    /// Of the events that another instance would push, those that it should: unknown here, or older.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not write.
    pub async fn misp_wanted(&self, actor: &Actor, given: &Value) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let mut wanted = Vec::new();
        let list = given.as_array().map(Vec::as_slice).unwrap_or_default();
        if list.len() > MAX_LISTED {
            return Err(HubError::TooLarge { limit: MAX_LISTED as u64, unit: "events asked for" });
        }
        for entry in list {
            let Some(event) = entry.get("Event").and_then(Value::as_object) else { continue };
            let Some(uuid) = text(event, "uuid").and_then(|uuid| uuid_of(&uuid)) else { continue };
            let heads = self.misp_events().named(&Name::Uuid(uuid.clone())).await?;
            let own = heads.iter().find(|head| head.org == actor.organisation.number);
            let stamp = number(event, "timestamp").unwrap_or(i64::MAX);
            if !self.misp.feed.is_ours(&uuid) && own.is_none_or(|head| head.timestamp < stamp) {
                wanted.push(Value::from(uuid));
            }
        }
        Ok(Value::Array(wanted))
    }
}

impl Listing {
    async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.hub.misp_room(ROOM).await?;
        let mut uuids: HashSet<u128> = HashSet::new();
        out.write(b"[");
        if let Some((by, descending)) = self.sort.clone() {
            let sorted = self.sorted(&by, descending).await?;
            for ids in sorted.chunks(AT_ONCE) {
                self.write(ids, &mut uuids, &mut out).await?;
            }
        } else {
            let mut wanted = Wanted::new(&self.hub, &self.actor, &self.search, Scope::Events, self.sync, Page::of(&self.search));
            loop {
                let found: Vec<i64> = wanted.next().await?.into_iter().map(|(event, _)| event).collect();
                if found.is_empty() {
                    break;
                }
                for ids in found.chunks(AT_ONCE) {
                    self.write(ids, &mut uuids, &mut out).await?;
                }
            }
        }
        out.write(b"]");
        Ok(out)
    }

    /// Writes some events that were found.
    async fn write(&mut self, ids: &[i64], uuids: &mut HashSet<u128>, out: &mut Out) -> Result<(), HubError> {
        let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, limit: MAX_READ, ..EventQuery::default() };
        let mut heads: HashMap<i64, Head> = self.hub.misp_events().heads(&query).await?.into_iter().map(|head| (head.id, head)).collect();
        let others = if self.minimal { self.of_same_uuid(&heads).await? } else { HashMap::new() };
        for id in ids {
            let Some(head) = heads.remove(id) else { continue };
            self.actor = self.hub.misp_again(&self.actor)?;
            let same = others.get(&head.uuid).cloned().unwrap_or_else(|| vec![head]);
            let Some(head) = self.hub.first_seen_by(&self.actor, same, self.sync) else { continue };
            let event = self.hub.misp_head(&self.actor, &head, self.sync)?;
            if !self.minimal {
                out.entry(listed(event).to_string().as_bytes());
            } else if uuids.insert(Uuid::try_parse(&head.uuid).map_or(0, |uuid| uuid.as_u128())) {
                out.entry(minimal_of(&head, &event).to_string().as_bytes());
            }
            out.pass_on().await?;
        }
        Ok(())
    }

    /// Events that share their UUID with others, by it.
    async fn of_same_uuid(&self, heads: &HashMap<i64, Head>) -> Result<HashMap<String, Vec<Head>>, HubError> {
        let uuids = Condition { any: heads.values().map(|head| head.uuid.clone()).collect(), none: Vec::new() };
        if uuids.any.is_empty() {
            return Ok(HashMap::new());
        }
        let mut grouped: HashMap<String, Vec<Head>> = HashMap::new();
        for head in self.hub.misp_events().heads(&EventQuery { uuids, limit: MAX_READ, ..EventQuery::default() }).await? {
            grouped.entry(head.uuid.clone()).or_default().push(head);
        }
        grouped.retain(|_, same| same.len() > 1);
        Ok(grouped)
    }

    /// The page that was asked for, of all events in the order that was asked for.
    async fn sorted(&self, by: &str, descending: bool) -> Result<Vec<i64>, HubError> {
        let mut keyed: Vec<(String, i64)> = Vec::new();
        let mut wanted = Wanted::new(&self.hub, &self.actor, &self.search, Scope::Events, self.sync, Page::ALL);
        loop {
            let found: Vec<i64> = wanted.next().await?.into_iter().map(|(event, _)| event).collect();
            if found.is_empty() {
                break;
            }
            if keyed.len() + found.len() > MAX_LISTED {
                return Err(HubError::TooLarge { limit: MAX_LISTED as u64, unit: "events that are sorted; ask for fewer by a filter, or leave out sort" });
            }
            for ids in found.chunks(AT_ONCE) {
                let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, limit: MAX_READ, ..EventQuery::default() };
                keyed.extend(self.hub.misp_events().heads(&query).await?.iter().map(|head| (key_by(head, by), head.id)));
            }
        }
        keyed.sort_unstable();
        if descending {
            keyed.reverse();
        }
        let page = Page::of(&self.search);
        Ok(keyed.into_iter().skip(page.skip).take(page.left).map(|(_, id)| id).collect())
    }
}

/// What an event is sorted by.
fn key_by(head: &Head, by: &str) -> String {
    match by {
        "timestamp" => format!("{:020}", head.timestamp),
        "publish_timestamp" => format!("{:020}", head.published_at),
        "date" => head.date.clone(),
        "info" => {
            let info = serde_json::from_str::<Fields>(&head.json).ok().and_then(|fields| text(&fields, "info"));
            info.map(|info| info.chars().take(MAX_KEY).collect()).unwrap_or_default()
        }
        _ => format!("{:020}", head.id),
    }
}

/// What another instance needs to tell whether it has an event.
fn minimal_of(head: &Head, event: &Fields) -> Value {
    json!({
        "id": head.id.to_string(),
        "uuid": head.uuid,
        "timestamp": head.timestamp.to_string(),
        "sighting_timestamp": "0",
        "published": head.published,
        "orgc_uuid": event.get("Orgc").and_then(|creator| creator.get("uuid")),
    })
}

/// An event of a list: tags are called otherwise there.
fn listed(mut event: Fields) -> Value {
    let id = event.get("id").cloned().unwrap_or_default();
    let tags: Vec<Value> = match event.remove("Tag") {
        Some(Value::Array(tags)) => tags,
        _ => Vec::new(),
    };
    let of_event: Vec<Value> = tags.into_iter().map(|tag| json!({ "event_id": id, "tag_id": tag.get("id"), "local": tag.get("local"), "Tag": tag })).collect();
    set(&mut event, "EventTag", of_event);
    for name in ["EventReport", "CryptographicKey"] {
        event.remove(name);
    }
    Value::Object(event)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_list_carries_its_tags_as_misp_does_there() {
        let event = crate::misp::fields::object(json!({ "id": "7", "Tag": [{ "id": "3", "name": "a" }], "EventReport": [] })).unwrap();
        let listed = listed(event);
        assert_eq!((&listed["EventTag"][0]["Tag"]["name"], &listed["EventTag"][0]["event_id"]), (&json!("a"), &json!("7")));
        assert!(listed.get("Tag").is_none() && listed.get("EventReport").is_none());
    }
}
