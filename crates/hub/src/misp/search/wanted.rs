//! What a search finds: numbers of events, and of the attributes or objects in them, of what the reader sees.
//!
//! Flow: [`Hub::narrow`] looks names up → [`Wanted::next`] gives the next events of the page that was asked for, from slices of rows and heads.
//! Invariant: a slice is whole events in the order of their numbers; nothing that meets the filter is passed over between two. Heads are looked at a few
//! at a time and not kept.

use super::AT_ONCE;
use super::page::Page;
use crate::misp::fields::{Fields, text};
use crate::misp::filter::{Scope, Search};
use crate::{Actor, Hub, HubError};
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::misp::{Condition, EventQuery, Found, Head, MAX_READ, Name, Part, Place, RowQuery, TagCondition};

/// Events, attributes or objects of a slice, about.
const SLICE: usize = 50_000;
/// Heads read at once that rows are in: each may be large.
const HEADS: usize = 100;

/// An event, with the attributes or objects of it that were found.
pub(super) type Of = (i64, Vec<i64>);

/// Events of a search, those with the smallest numbers first.
struct Slice {
    events: Vec<Of>,
    /// The last event that was looked at; `None`: there are no more.
    after: Option<i64>,
}

/// The page that was asked for, as far as it was not given yet.
pub(super) struct Wanted {
    hub: Arc<Hub>,
    actor: Actor,
    search: Arc<Search>,
    scope: Scope,
    sync: bool,
    page: Page,
    after: i64,
    over: bool,
}

impl Wanted {
    pub(super) fn new(hub: &Arc<Hub>, actor: &Actor, search: &Arc<Search>, scope: Scope, sync: bool, page: Page) -> Self {
        Self { hub: Arc::clone(hub), actor: actor.clone(), search: Arc::clone(search), scope, sync, page, after: 0, over: search.never }
    }

    /// The next events; none: that was all.
    pub(super) async fn next(&mut self) -> Result<Vec<Of>, HubError> {
        while !self.over && self.page.left > 0 {
            self.actor = self.hub.misp_again(&self.actor)?;
            let most = self.page.skip.saturating_add(self.page.left).min(SLICE);
            let slice = match self.scope {
                Scope::Events => self.hub.slice_of_events(&self.actor, &self.search, self.sync, self.after, most).await?,
                Scope::Attributes => self.hub.slice_of_parts(&self.actor, &self.search, self.sync, self.after, most, false).await?,
                Scope::Objects => self.hub.slice_of_parts(&self.actor, &self.search, self.sync, self.after, most, true).await?,
            };
            match slice.after {
                Some(after) => self.after = after,
                None => self.over = true,
            }
            let events = self.page.cut(slice.events);
            if !events.is_empty() {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }
}

/// Heads by number; those that are not there, not seen, or do not meet what is asked of events are none.
struct Heads<'h> {
    hub: &'h Hub,
    actor: &'h Actor,
    search: &'h Search,
    sync: bool,
    known: HashMap<i64, Option<Head>>,
}

impl Heads<'_> {
    /// Learns the events of a page of rows, and which of them the reader sees and asks for. Those of the page before are forgotten.
    async fn learn(&mut self, events: impl Iterator<Item = i64>) -> Result<(), HubError> {
        let there: BTreeSet<i64> = events.collect();
        self.known.retain(|event, _| there.contains(event));
        let wanted: Vec<i64> = there.into_iter().filter(|event| !self.known.contains_key(event)).collect();
        for ids in wanted.chunks(HEADS) {
            self.known.extend(ids.iter().map(|id| (*id, None)));
            let tags = self.search.rows.events.tags.clone();
            let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, tags, limit: MAX_READ, ..EventQuery::default() };
            for head in self.hub.misp_events().heads(&query).await? {
                if self.hub.misp_wants(self.actor, self.search, &head, self.sync)? {
                    // Its own fields have been looked at, and would fill the memory.
                    self.known.insert(head.id, Some(Head { json: String::new(), ..head }));
                }
            }
        }
        Ok(())
    }

    fn get(&self, event: i64) -> Option<&Head> {
        self.known.get(&event).and_then(Option::as_ref)
    }
}

impl Hub {
    /// Looks up what is named by UUID, so that the rest goes by numbers.
    pub(super) async fn narrow(&self, actor: &Actor, search: &mut Search, scope: Scope, sync: bool) -> Result<(), HubError> {
        if sync {
            search.rows.events.published = Some(true);
        }
        if search.uuids.is_empty() {
            return Ok(());
        }
        let own = actor.organisation.number;
        for uuid in &search.uuids {
            let name = Name::Uuid(uuid.to_lowercase());
            let heads = self.misp_events().named(&name).await?;
            let reading = self.misp_reading(actor, sync);
            let named = &mut search.rows.named;
            // A UUID may be an event's here and an attribute's there: whoever takes one that another has does not hide what that is.
            named.events.extend(heads.iter().filter(|head| !head.deleted && reading.event(head).sees_event()).map(|head| head.id));
            let (part, list) = match scope {
                Scope::Events | Scope::Attributes => (Part::Attribute, &mut named.attributes),
                Scope::Objects => (Part::Object, &mut named.objects),
            };
            let places = self.misp_events().places(part, &name, own).await?;
            list.extend(self.seen_parts(actor, part, &places, sync).await?);
            if named.events.len() + named.attributes.len() + named.objects.len() > MAX_READ {
                return Err(HubError::TooLarge { limit: MAX_READ as u64, unit: "events, attributes and objects that the UUIDs of a search name" });
            }
        }
        let named = &search.rows.named;
        search.never |= named.events.is_empty() && named.attributes.is_empty() && named.objects.is_empty();
        Ok(())
    }

    /// Of some attributes or objects those that the reader sees, or sees anything of: the others are not even counted.
    async fn seen_parts(&self, actor: &Actor, part: Part, places: &[Place], sync: bool) -> Result<BTreeSet<i64>, HubError> {
        let mut search = Search::read(&Fields::new(), Scope::Attributes, &self.misp_moment())?;
        search.rows.deleted = None;
        let mut seen: BTreeSet<i64> = BTreeSet::new();
        for places in places.chunks(AT_ONCE) {
            let events: BTreeSet<i64> = places.iter().map(|place| place.event).collect();
            search.rows.events.ids.any = events.into_iter().collect();
            let ids = Condition { any: places.iter().map(|place| place.id).collect(), none: Vec::new() };
            if part == Part::Object {
                search.rows.objects = ids;
            } else {
                search.rows.ids = ids;
            }
            self.each_row(actor, &search, sync, 0, |found, _| {
                seen.insert(if part == Part::Object { found.object } else { found.id });
                true
            })
            .await?;
        }
        Ok(seen)
    }

    /// Whether the reader sees an event, and it meets the conditions on what is shown of it.
    fn misp_wants(&self, actor: &Actor, search: &Search, head: &Head, sync: bool) -> Result<bool, HubError> {
        if !self.misp_reading(actor, sync).event(head).sees_event() {
            return Ok(false);
        }
        if search.orgs.is_empty() && search.levels.is_empty() {
            return Ok(true);
        }
        let shown = self.misp_head(actor, head, false)?;
        let creator = shown.get("Orgc").and_then(Value::as_object);
        let is_by = |wanted: &String| {
            let says = |name: &str| creator.and_then(|creator| text(creator, name)).is_some_and(|said| said.eq_ignore_ascii_case(wanted));
            says("id") || says("uuid") || says("name")
        };
        let by = (search.orgs.any.is_empty() || search.orgs.any.iter().any(is_by)) && !search.orgs.none.iter().any(is_by);
        Ok(by && search.levels.iter().all(|(field, values)| text(&shown, field).is_some_and(|level| values.contains(&level))))
    }

    /// The next events with their attributes or objects that meet a search and that the reader sees: about `most` of these.
    async fn slice_of_parts(&self, actor: &Actor, search: &Search, sync: bool, after: i64, most: usize, objects: bool) -> Result<Slice, HubError> {
        let mut events: Vec<Of> = Vec::new();
        let mut count = 0;
        let is_end = self
            .each_row(actor, search, sync, after, |found, _| {
                let part = if objects { found.object } else { found.id };
                if objects && part == 0 {
                    return true;
                }
                match events.last_mut() {
                    Some((event, parts)) if *event == found.event => {
                        if !objects || !parts.contains(&part) {
                            parts.push(part);
                            count += 1;
                        }
                    }
                    _ if count >= most => return false,
                    _ => {
                        events.push((found.event, vec![part]));
                        count += 1;
                    }
                }
                true
            })
            .await?;
        let after = if is_end { None } else { events.last().map(|(event, _)| *event) };
        Ok(Slice { events, after })
    }

    /// The next events that meet a search and that the reader sees: about `most`, by what is in them, by what stands in themselves, or both.
    async fn slice_of_events(&self, actor: &Actor, search: &Search, sync: bool, after: i64, most: usize) -> Result<Slice, HubError> {
        let mut picked: BTreeSet<i64> = BTreeSet::new();
        let mut ends = Vec::new();
        if search.by_rows() {
            let is_end = self
                .each_row(actor, search, sync, after, |found, _| {
                    if picked.len() >= most && !picked.contains(&found.event) {
                        return false;
                    }
                    picked.insert(found.event);
                    true
                })
                .await?;
            if !is_end {
                ends.extend(picked.last().copied());
            }
        }
        let mut query = EventQuery { after, tags: both(&search.rows.tags, &search.rows.events.tags), limit: AT_ONCE, ..search.rows.events.clone() };
        if search.by_heads() && within(&mut query.ids.any, &search.rows.named.events) {
            let mut count = 0;
            loop {
                let heads = self.misp_events().heads(&query).await?;
                for head in &heads {
                    if self.misp_wants(actor, search, head, sync)? {
                        picked.insert(head.id);
                        count += 1;
                    }
                }
                let Some(last) = heads.last().filter(|_| heads.len() >= AT_ONCE).map(|head| head.id) else { break };
                query.after = last;
                if count >= most {
                    ends.push(last);
                    break;
                }
            }
        }
        // What the one found past where the other stopped is found again.
        let end = ends.into_iter().min();
        let events = picked.into_iter().filter(|event| end.is_none_or(|end| *event <= end)).map(|event| (event, Vec::new())).collect();
        Ok(Slice { events, after: end })
    }

    /// Gives every attribute of the events after one that meets a search and that the reader sees, in order of events and numbers, until it is enough.
    /// True where there are no more.
    pub(in crate::misp) async fn each_row(
        &self,
        actor: &Actor,
        search: &Search,
        sync: bool,
        after: i64,
        mut take: impl FnMut(&Found, &Head) -> bool,
    ) -> Result<bool, HubError> {
        let mut heads = Heads { hub: self, actor, search, sync, known: HashMap::new() };
        let mut query = RowQuery { limit: MAX_READ, after: (after, i64::MAX), ..search.rows.clone() };
        loop {
            let rows = self.misp_events().rows(&query).await?;
            heads.learn(rows.iter().map(|found| found.event)).await?;
            let reading = self.misp_reading(actor, sync);
            for found in &rows {
                let Some(head) = heads.get(found.event) else { continue };
                if reading.attribute(head, found) && !take(found, head) {
                    return Ok(false);
                }
            }
            match rows.last().filter(|_| rows.len() >= MAX_READ) {
                Some(last) => query.after = (last.event, last.id),
                None => return Ok(true),
            }
        }
    }
}

/// Narrows numbers that are wanted to those that are among others, too. An empty list wants all. False where nothing is in both.
fn within(any: &mut Vec<i64>, others: &[i64]) -> bool {
    if others.is_empty() {
        return true;
    }
    if any.is_empty() {
        any.extend_from_slice(others);
        return true;
    }
    any.retain(|id| others.contains(id));
    !any.is_empty()
}

/// Two conditions on tags at once.
fn both(one: &TagCondition, other: &TagCondition) -> TagCondition {
    let mut all: Vec<String> = one.all.iter().chain(&other.all).cloned().collect();
    let any = if one.any.is_empty() || other.any.is_empty() {
        one.any.iter().chain(&other.any).cloned().collect()
    } else {
        // Tags of which one is wanted, twice: narrower than asked for where several are named, and never wider.
        all.extend(other.any.iter().cloned());
        one.any.clone()
    };
    TagCondition { any, all, none: one.none.iter().chain(&other.none).cloned().collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn condition(any: &[&str], all: &[&str], none: &[&str]) -> TagCondition {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        TagCondition { any: list(any), all: list(all), none: list(none) }
    }

    #[test]
    fn two_conditions_on_tags_are_never_wider_than_each() {
        assert_eq!(both(&condition(&["a"], &[], &["x"]), &condition(&[], &["b"], &["y"])), condition(&["a"], &["b"], &["x", "y"]));
        assert_eq!(both(&condition(&["a"], &[], &[]), &condition(&["b"], &[], &[])), condition(&["a"], &["b"], &[]));
    }

    #[test]
    fn numbers_that_are_wanted_twice_are_those_in_both() {
        for (any, others, expected, found) in
            [(&[][..], &[][..], &[][..], true), (&[1], &[], &[1], true), (&[], &[2], &[2], true), (&[1, 2], &[2, 3], &[2], true), (&[1], &[2], &[], false)]
        {
            let mut any = any.to_vec();
            assert_eq!((within(&mut any, others), any.as_slice()), (found, expected));
        }
    }
}
